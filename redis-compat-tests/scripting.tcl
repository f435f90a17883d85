# Scripts: EVAL and its kin, SCRIPT, what scripts can reach, and what happens while one runs for long.

# Sends a command on a named connection without waiting for its reply.
proc start {name args} {
    resp::send [run::connection $name] $args
}

# Expects the next reply on a connection.
proc then {name notation} {
    expect $notation [resp::read [run::connection $name]] $name
}

# The error, if any, of a command on a connection of its own.
proc refusal {args} {
    resp::send [run::connection probe] $args
    set reply [resp::read [run::connection probe]]
    return [expr {[lindex $reply 0] eq "-" ? [lindex $reply 1] : ""}]
}

proc busy {} {
    eventually {[string match "BUSY *" [refusal PING]]}
}

proc idle {} {
    eventually {[refusal PING] eq ""}
}

proc stat {command} {
    set found ""
    regexp "(?n)^cmdstat_$command:(.*?)\r?$" [lindex [ask INFO commandstats] 1] all found
    return $found
}

# --- calling -----------------------------------------------------------------------

case "keys, arguments and their number" {
    EVAL "return {KEYS[1],KEYS[2],ARGV[1],#KEYS,#ARGV}" 2 a b c -> ["a" "b" "c" :2 :1]
    EVAL "return {#KEYS,#ARGV}" 0        -> [:0 :0]
    EVAL "return 1" x                    -> -ERR value is not an integer or out of range
    EVAL "return 1" -1                   -> -ERR Number of keys can't be negative
    EVAL "return 1" 1                    -> -ERR Number of keys can't be greater than number of args
    EVAL "return 1"                      -> -ERR wrong number of arguments for 'eval' command
    EVALSHA x                            -> -ERR wrong number of arguments for 'evalsha' command
}

case "scripts are known by their digests" {
    SCRIPT FLUSH                         -> +OK
    EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0 -> -NOSCRIPT No matching script. Please use EVAL.
    EVALSHA short 0                      -> -NOSCRIPT No matching script. Please use EVAL.
    SCRIPT LOAD "return 1"               -> "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
    SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db x -> [:1 :0]
    EVALSHA E0E1F9FABFC9D4800C877A703B823AC0578FF8DB 0 -> :1
    EVALSHA_RO e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0 -> :1
    SCRIPT FLUSH ASYNC                   -> +OK
    SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db -> [:0]
    EVAL "return 1" 0                    -> :1
    EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0 -> :1
    SCRIPT FLUSH SYNC                    -> +OK
    SCRIPT FLUSH LATER                   -> -ERR SCRIPT FLUSH only support SYNC|ASYNC option
    SCRIPT LOAD "return return"          -> -ERR Error compiling script (new function): user_script:1: unexpected symbol near 'return'
    EVAL "return return" 0               -> -ERR Error compiling script (new function): user_script:1: unexpected symbol near 'return'
    SCRIPT KILL                          -> -NOTBUSY No scripts in execution right now.
    SCRIPT DEBUG NO                      -> +OK
    SCRIPT DEBUG x                       -> -ERR Use SCRIPT DEBUG YES/SYNC/NO
    SCRIPT NOSUCH                        -> -ERR unknown subcommand 'NOSUCH'. Try SCRIPT HELP.
    SCRIPT EXISTS                        -> -ERR wrong number of arguments for 'script|exists' command
}

check "only five hundred evaluated scripts are kept, and all that were loaded" {
    ask SCRIPT FLUSH
    ask CONFIG RESETSTAT
    ask SCRIPT LOAD "return 'loaded'"
    for {set number 1} {$number <= 510} {incr number} {
        ask EVAL "return $number" 0
    }
    same 1 [regexp {number_of_cached_scripts:501} [lindex [ask INFO memory] 1]] "scripts"
    expect {-NOSCRIPT No matching script. Please use EVAL.} [ask EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0]
    expect {"loaded"} [ask EVALSHA b534286061d4b9e4026607613b95c06c06015ae8 0]
}

# --- values ------------------------------------------------------------------------

case "Lua values become replies" {
    EVAL "return 3.99" 0                 -> :3
    EVAL "return -3.99" 0                -> :-3
    EVAL "return 'text'" 0               -> "text"
    EVAL "return true" 0                 -> :1
    EVAL "return false" 0                -> nil
    EVAL "return nil" 0                  -> nil
    EVAL "return {1,'two',{3},nil,5}" 0  -> [:1 "two" [:3]]
    EVAL "return {ok='fine'}" 0          -> +fine
    EVAL "return {err='MY error'}" 0     -> -MY error
    EVAL "return redis.status_reply('fine')" 0 -> +fine
    EVAL "return redis.error_reply('MY error')" 0 -> -MY error
    EVAL "return redis.error_reply('oops')" 0 -> -ERR oops
    EVAL "return redis.error_reply(1)" 0 -> -ERR wrong number or type of arguments
    EVAL "return 1e300" 0                -> :-9223372036854775808
    EVAL "return {}" 0                   -> []
    EVAL "return print or 1" 0           -> /nonexistent global variable 'print'/
}

case "replies become Lua values" {
    SET s abc                            -> +OK
    HSET h f v                           -> :1
    EVAL "local r = redis.call('set','a','1') return {type(r), r.ok}" 0 -> ["table" "OK"]
    EVAL "local r = redis.call('incr','a') return {type(r), r}" 0 -> ["number" :2]
    EVAL "local r = redis.call('get','s') return {type(r), r}" 0 -> ["string" "abc"]
    EVAL "return tostring(redis.call('get','none'))" 0 -> "false"
    EVAL "local r = redis.call('hgetall','h') return {#r, r[1], r[2]}" 0 -> [:2 "f" "v"]
    EVAL "local r = redis.pcall('incr','s') return {r.err, tostring(r.ok)}" 0 -> ["ERR value is not an integer or out of range" "nil"]
    EVAL "redis.setresp(3) return tostring(redis.call('get','none'))" 0 -> "nil"
    EVAL "redis.setresp(3) return redis.call('hgetall','h').map.f" 0 -> "v"
    EVAL "redis.setresp(3) redis.call('sadd','m','x') return tostring(redis.call('smembers','m').set.x)" 0 -> "true"
    EVAL "redis.setresp(3) redis.call('zadd','z','1.5','x') return tostring(redis.call('zscore','z','x').double)" 0 -> "1.5"
    EVAL "redis.setresp(1)" 0            -> /^-ERR RESP version must be 2 or 3\. script: [0-9a-f]{40}, on @user_script:1\.$/
}

case "numbers become arguments as they are" {
    EVAL "return redis.call('echo', 3.0)" 0   -> "3"
    EVAL "return redis.call('echo', 1.5)" 0   -> "1.5"
    EVAL "return redis.call('echo', 9007199254740991)" 0 -> "9007199254740991"
    EVAL "return redis.call('echo', 1e15)" 0  -> "1000000000000000"
    EVAL "return redis.call('echo', {})" 0    -> /^-ERR Lua redis lib command arguments must be strings or integers script: /
    EVAL "return redis.call()" 0              -> /^-ERR Please specify at least one argument for this redis lib call script: /
}

# --- errors ------------------------------------------------------------------------

case "an error ends a script, and says where" {
    SET s abc                            -> +OK
    EVAL "return redis.call('incr','s')" 0 -> -ERR value is not an integer or out of range script: c243b9f46db13ba8f69da41b45a77708832babed, on @user_script:1.
    EVAL "error('mine')" 0               -> /^-ERR user_script:1: mine script: [0-9a-f]{40}, on @user_script:1\.$/
    EVAL "error({err='MINE too'})" 0     -> /^-MINE too script: [0-9a-f]{40}, on @user_script:1\.$/
    EVAL "redis.call('nosuch')" 0        -> /^-ERR Unknown Redis command called from script script: /
    EVAL "redis.call('get')" 0           -> /^-ERR Wrong number of args calling Redis command from script script: /
    EVAL "redis.call('multi')" 0         -> /^-ERR This Redis command is not allowed from script script: /
    EVAL "redis.call('select', 99)" 0    -> /^-ERR DB index is out of range script: /
    EVAL "local x = nil; x.y = 1" 0      -> /^-ERR user_script:1: attempt to index local 'x' \(a nil value\) script: /
    EVAL "return {pcall(redis.call, 'incr', 's')}" 0 -> [nil "ERR value is not an integer or out of range"]
    EVAL "local ok, e = pcall(redis.call, 'incr', 's') return e" 0 -> "ERR value is not an integer or out of range"
    EVAL "local ok, e = pcall(error, {err='X y'}) return e" 0 -> "X y"
}

check "errors are counted once" {
    ask CONFIG RESETSTAT
    ask SET s abc
    ask EVAL "return redis.call('incr','s')" 0
    ask EVAL "return redis.pcall('incr','s')" 0
    ask EVAL "redis.pcall('incr','s') return 1" 0
    ask EVAL "redis.call('nosuch')" 0
    same 1 [string match "calls=3,*rejected_calls=0,failed_calls=3" [stat incr]] "incr: [stat incr]"
    same 1 [string match "calls=4,*rejected_calls=0,failed_calls=3" [stat eval]] "eval: [stat eval]"
    same 1 [string match "*errorstat_ERR:count=4*" [lindex [ask INFO errorstats] 1]] "errors"
}

# --- what scripts can reach --------------------------------------------------------

case "nothing that is shared can be changed" {
    EVAL "x = 1" 0                       -> /Attempt to modify a readonly table/
    EVAL "return x" 0                    -> /Script attempted to access nonexistent global variable 'x'/
    EVAL "redis.call = 1" 0              -> /Attempt to modify a readonly table/
    EVAL "string.upper = 1" 0            -> /Attempt to modify a readonly table/
    EVAL "_G.x = 1" 0                    -> /Attempt to modify a readonly table/
    EVAL "rawset(_G, 'x', 1)" 0          -> /Attempt to modify a readonly table/
    EVAL "rawset(string, 'upper', 1)" 0  -> /Attempt to modify a readonly table/
    EVAL "setmetatable(_G, {})" 0        -> /Attempt to modify a readonly table/
    EVAL "getmetatable(_G).__index = {}" 0 -> /Attempt to modify a readonly table/
    EVAL "table.insert(redis, 1)" 0      -> /Attempt to modify a readonly table/
    EVAL "for k in pairs(string) do if k == 'upper' then return k end end" 0 -> "upper"
    EVAL "return type(rawget(_G, 'redis'))" 0 -> "table"
    EVAL "return type(next(math))" 0     -> "string"
    EVAL "os.execute()" 0                -> /attempt to call field 'execute' \(a nil value\)/
    EVAL "return loadstring(string.dump(function() return 1 end))()" 0 -> /attempt to call a nil value/
    EVAL "return loadstring('return 7')()" 0 -> :7
    EVAL "KEYS = {}" 0                   -> /Attempt to modify a readonly table/
    EVAL "KEYS[1] = 'own' return KEYS[1]" 0 -> "own"
}

case "what is shared by strings cannot be changed" -only cachestorm {
    EVAL "getmetatable('').__index = {}" 0 -> /Attempt to modify a readonly table/
    EVAL "getmetatable('').__index.upper = 1" 0 -> /Attempt to modify a readonly table/
    EVAL "return ('x'):upper()" 0        -> "X"
    EVAL "getmetatable(newproxy(true)).__gc = function() end" 0 -> /Scripts can not have finalizers/
    EVAL "setfenv(0, {})" 0              -> /Attempt to modify a readonly table/
    EVAL "return x" 0                    -> /nonexistent global variable 'x'/
}

case "what is asked of the string library is limited" -only cachestorm {
    EVAL "return #string.rep('x', 1e10)" 0 -> /resulting string too large/
    EVAL "return ('a'):find(('a?'):rep(100000))" 0 -> /pattern too complex/
    EVAL "return 1" 0                    -> :1
}

case "random numbers by a seed" {
    EVAL "math.randomseed(10) return {math.random(100), math.random(5, 9)}" 0 -> [:88 :8]
    EVAL "return math.random(0)" 0       -> /bad argument #1 to 'random' \(interval is empty\)/
}

case "the functions of redis" {
    EVAL "return redis.sha1hex('')" 0    -> "da39a3ee5e6b4b0d3255bfef95601890afd80709"
    EVAL "return redis.sha1hex()" 0      -> /wrong number of arguments/
    EVAL "redis.log(redis.LOG_NOTICE, 'from', 'a script')" 0 -> nil
    EVAL "redis.log(9, 'x')" 0           -> /Invalid log level\./
    EVAL "redis.log(1)" 0                -> /redis.log\(\) requires two arguments or more\./
    EVAL "return redis.replicate_commands()" 0 -> :1
    EVAL "return redis.breakpoint()" 0   -> nil
    EVAL "redis.set_repl(redis.REPL_ALL)" 0 -> nil
    EVAL "redis.set_repl(9)" 0           -> /Invalid replication flags\. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE\./
    EVAL "return {redis.REPL_NONE, redis.REPL_AOF, redis.REPL_REPLICA, redis.REPL_ALL}" 0 -> [:0 :1 :2 :3]
    EVAL "return redis.acl_check_cmd('set','x','y')" 0 -> :1
    EVAL "return redis.acl_check_cmd('nosuch')" 0 -> /Invalid command passed to redis\.acl_check_cmd\(\)/
}

# --- what a script may do ----------------------------------------------------------

case "scripts that must not write" {
    EVAL_RO "return redis.call('get','k')" 1 k -> nil
    EVAL_RO "return redis.call('set','k','v')" 1 k -> /^-ERR Write commands are not allowed from read-only scripts\. script: /
    EVAL_RO "return redis.call('publish','c','m')" 0 -> /^-ERR Write commands are not allowed from read-only scripts\. script: /
    EVAL "#!lua flags=no-writes\nreturn redis.call('set','k','v')" 1 k -> /^-ERR Write commands are not allowed from read-only scripts\. script: /
    EVAL "#!lua flags=no-writes\nreturn 1" 0 -> :1
    EVAL_RO "#!lua\nreturn 1" 0          -> -ERR Can not execute a script with write flag using *_ro command.
    EVAL "#!lua flags=what\nreturn 1" 0  -> -ERR Unexpected flag in script shebang: what
    EVAL "#!lua name=x\nreturn 1" 0      -> -ERR Unknown lua shebang option: name=x
    EVAL "#!python\nreturn 1" 0          -> -ERR Unexpected engine in script shebang: #!python
    EVAL "#!lua" 0                       -> -ERR Invalid script shebang
}

case "memory is short" -config {maxmemory 1} {
    EVAL "return redis.call('set','k','v')" 1 k -> /^-OOM command not allowed when used memory > 'maxmemory'\. script: /
    EVAL "return redis.call('get','k')" 1 k -> nil
    EVAL "#!lua\nreturn 1" 0             -> -OOM command not allowed when used memory > 'maxmemory'.
    EVAL "#!lua flags=allow-oom\nreturn redis.call('set','k','v')" 1 k -> +OK
    EVAL "#!lua flags=no-writes\nreturn redis.call('get','k')" 1 k -> "v"
}

case "too few replicas" -config {min-replicas-to-write 1} {
    SET k v                              -> -NOREPLICAS Not enough good replicas to write.
    EVAL "return redis.call('set','k','v')" 1 k -> /^-NOREPLICAS Not enough good replicas to write\. script: /
    EVAL "#!lua\nreturn 1" 0             -> -NOREPLICAS Not enough good replicas to write.
    EVAL "return redis.call('get','k')" 1 k -> nil
}

case "a script acts for its user" {
    ACL SETUSER ann on nopass ~own:* +@scripting +get +set -> +OK
    AUTH ann x                           -> +OK
    EVAL "return redis.call('set','own:k','v')" 1 own:k -> +OK
    EVAL "return redis.call('get','k')" 0 -> /^-ERR ACL failure in script: No permissions to access a key script: /
    EVAL "return redis.call('del','own:k')" 0 -> /^-ERR ACL failure in script: User ann has no permissions to run the 'del' command script: /
    EVAL "return 1" 1 k                  -> -NOPERM No permissions to access a key
    EVAL "return {redis.acl_check_cmd('set','own:k','v'), redis.acl_check_cmd('set','k','v')}" 0 -> [:1 nil]
    B: ACL DELUSER ann                   -> :1
}

case "SELECT in a script is the script's own" {
    EVAL "redis.call('select', 3) redis.call('set', 'k', 'v')" 0 -> nil
    EXISTS k                             -> :0
    SELECT 3                             -> +OK
    GET k                                -> "v"
}

case "commands do not wait in a script" {
    EVAL "return redis.call('blpop', 'none', 0)" 0 -> nil
    EVAL "return redis.call('xread', 'block', 0, 'streams', 'none', '$')" 0 -> nil
    EVAL "return redis.call('wait', 1, 0)" 0 -> :0
}

case "sets are sorted where their order would show" {
    SADD s c a b                         -> :3
    EVAL "return redis.call('sort', 's', 'by', 'nosort')" 1 s -> ["a" "b" "c"]
}

case "scripts in transactions" {
    MULTI                                -> +OK
    EVAL "return redis.call('incr', 'n')" 1 n -> +QUEUED
    EVAL "return redis.call('nosuch')" 0 -> +QUEUED
    GET n                                -> +QUEUED
    EXEC                                 -> [:1 /Unknown Redis command called from script/ "1"]
    WATCH n                              -> +OK
    B: EVAL "return redis.call('incr', 'n')" 1 n -> :2
    A: MULTI                             -> +OK
    GET n                                -> +QUEUED
    EXEC                                 -> nil*
}

check "a blocked client is served when the script is over" {
    resp::send [run::connection waiter] {BLPOP list 0}
    eventually {[regexp {blocked_clients:1} [lindex [ask INFO clients] 1]]}
    ask EVAL "redis.call('lpush','list','a') redis.call('lpush','list','b')" 1 list
    then waiter {["list" "b"]}
}

check "MONITOR shows the script, then its commands" {
    ask PING
    resp::send [run::connection monitor] {MONITOR}
    then monitor +OK
    ask EVAL "redis.call('set','k','v')" 0
    then monitor {/\[0 [^]]+\] "EVAL" "redis.call\('set','k','v'\)" "0"/}
    then monitor {/\[0 lua\] "set" "k" "v"/}
}

# --- for long ----------------------------------------------------------------------

check "others are told that the server is busy, and can end the script" -config {lua-time-limit 10} {
    start A EVAL "while true do end" 0
    start A PING
    busy
    same "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE." [refusal GET k] "GET"
    same "" [refusal MULTI] "MULTI"
    same "" [refusal DISCARD] "DISCARD"
    same "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE." [refusal SHUTDOWN] "SHUTDOWN"
    same "" [refusal SCRIPT KILL] "SCRIPT KILL"
    then A {/^-ERR Script killed by user with SCRIPT KILL\.\.\. script: [0-9a-f]{40}, on @user_script:1\.$/}
    then A +PONG
    same "" [refusal PING] "PING"
}

check "MessagePack as deep as it gets is an error" {
    expect {["stack overflow (in function mp_decode_to_lua_array)"]} [ask EVAL {
        local done, problem = pcall(cmsgpack.unpack, string.rep("\145", 1000000))
        return {problem}
    } 0]
}

check "a chunk that never ends can be killed while it is read" -only cachestorm -config {lua-time-limit 10} {
    start A EVAL "return load(os.clock)" 0
    busy
    same "" [refusal SCRIPT KILL] "SCRIPT KILL"
    then A {/^-ERR Script killed by user/}
    same "" [refusal PING] "PING"
}

check "time goes on in a script that runs for long, but not for keys" -config {lua-time-limit 10} {
    expect {["v" "v"]} [ask EVAL {
        redis.call("SET", KEYS[1], "v", "PX", 100)
        local function now()
            local time = redis.call("TIME")
            return time[1] + time[2] / 1000000
        end
        local before, started = redis.call("GET", KEYS[1]), now()
        while now() < started + 0.2 do end
        return {before, redis.call("GET", KEYS[1])}
    } 1 k]
    expect nil [ask GET k]
}

check "what stands behind a script that runs for long does not wait for it" -config {lua-time-limit 10} {
    set busy {-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.}
    foreach name {sleeper before script half broken multi killer} {
        start $name PING
        then $name +PONG
    }
    # What comes during the sleep is read at once.
    start sleeper DEBUG SLEEP 0.8
    after 50
    start before SET k before
    start script EVAL "while true do end" 0
    start script GET k
    resp::raw [run::connection half] "SET k a\r\nGET k\r\nECHO whole"
    resp::raw [run::connection broken] "SET k b\r\n*1\r\n:1\r\n"
    start multi MULTI
    start multi GET k
    start killer SCRIPT KILL
    then sleeper +OK
    then before +OK
    then half $busy
    then half $busy
    then broken $busy
    then broken {-ERR Protocol error: expected '$', got ':'}
    then multi +OK
    then multi $busy
    then killer +OK
    then script {/Script killed by user/}
    then script {"before"}
    resp::raw [run::connection half] "some\r\n"
    then half {"wholesome"}
    start multi EXEC
    then multi {/^-EXECABORT/}
}

check "a script cannot catch its end" -config {lua-time-limit 10} {
    start A EVAL "local f = function() while 1 do redis.call('ping') end end while 1 do pcall(f) end" 0
    busy
    same "" [refusal SCRIPT KILL] "SCRIPT KILL"
    then A {/Script killed by user/}
    start A EVAL "while 1 do coroutine.resume(coroutine.create(function() while 1 do end end)) end" 0
    busy
    same "" [refusal SCRIPT KILL] "SCRIPT KILL"
    then A {/Script killed by user/}
    idle
}

check "a script that has written goes on to its end" -config {lua-time-limit 10} {
    start A EVAL "redis.call('set','k','v') local n = 0 repeat n = n + 1 until n == 50000000 return n" 1 k
    busy
    same 1 [string match "UNKILLABLE Sorry the script already executed write commands against the dataset.*" [refusal SCRIPT KILL]] "SCRIPT KILL"
    then A :50000000
    idle
}

check "the client of a script that runs for long goes" -config {lua-time-limit 10} {
    start A EVAL "while true do end" 0
    busy
    resp::close [run::connection A]
    dict unset run::connections A
    same "" [refusal SCRIPT KILL] "SCRIPT KILL"
    idle
}

check "SHUTDOWN NOSAVE ends a script that has written, and nothing of it lasts" -server {--appendonly yes --appendfsync always} {
    ask CONFIG SET lua-time-limit 10
    ask SET before x
    start A EVAL "redis.call('set','k','v') while true do end" 1 k
    busy
    start B SHUTDOWN NOSAVE
    eventually {![server::alive $run::server]}
}

check "SIGTERM waits for the end of a script, and SHUTDOWN ABORT takes it back" -server {--lua-time-limit 10} {
    start A EVAL "redis.call('set','k','v') local n = 0 repeat n = n + 1 until n == 20000000 return n" 1 k
    busy
    server::signal $run::server TERM
    eventually {[refusal SHUTDOWN ABORT] eq ""}
    then A :20000000
    idle
    start A EVAL "while true do end" 0
    busy
    server::signal $run::server TERM
    busy
    same "" [refusal SCRIPT KILL] "SCRIPT KILL"
    eventually {![server::alive $run::server]}
}

check "a second SIGINT does not wait for a script" -server {--lua-time-limit 10} {
    start A EVAL "redis.call('set','k','v') while true do end" 1 k
    busy
    server::signal $run::server INT
    busy
    server::signal $run::server INT
    eventually {![server::alive $run::server]}
}

check "what a client may leave unread is no limit for a script's commands" \
    -config {client-output-buffer-limit "normal 100kb 0 0"} {
    ask HSET h f v
    ask SADD s v
    ask ZADD z 1 v
    foreach {command key} {HRANDFIELD h SRANDMEMBER s ZRANDMEMBER z} {
        expect :100000 [ask EVAL "return #redis.call(KEYS\[2\], KEYS\[1\], -100000)" 2 $key $command] $command
    }
}

case "nan as an argument" {
    EVAL "redis.call('SET', KEYS\[1\], 0/0) return redis.call('GET', KEYS\[1\])" 1 k -> "-nan"
    EVAL "redis.call('SET', KEYS\[1\], -(0/0)) return redis.call('GET', KEYS\[1\])" 1 k -> "nan"
}

check "a reply without an end is refused" -only cachestorm -config {client-output-buffer-limit "normal 1mb 0 0"} {
    expect {-ERR the reply of the script is too large} [ask EVAL "local t = {} t\[1\] = t t\[2\] = t return t" 0]
}

check "a reply without an end can be killed" -only cachestorm -server {--lua-time-limit 10} {
    start A EVAL "local t = {} t\[1\] = t t\[2\] = t return t" 0
    busy
    same "" [refusal SCRIPT KILL] "SCRIPT KILL"
    then A {/^-ERR Script killed by user with SCRIPT KILL/}
}

check "scripts are forgotten at once, however they are freed" {
    foreach mode {SYNC ASYNC} {
        for {set i 0} {$i < 2000} {incr i} {
            set sha [lindex [ask SCRIPT LOAD "return '[string repeat x 1000] $i'"] 1]
        }
        expect +OK [ask SCRIPT FLUSH $mode] $mode
        expect {[:0]} [ask SCRIPT EXISTS $sha] $mode
        expect :1 [ask EVAL "return 1" 0] $mode
    }
}
