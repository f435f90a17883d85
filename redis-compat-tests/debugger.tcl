# SCRIPT DEBUG: the debugger of scripts, its requests and what it shows, and what is left of a session.

set short "local a = 1\nredis.call('set', KEYS\[1\], ARGV\[1\])\nreturn redis.call('get', KEYS\[1\])"

# Closes connections by name.
proc leave {args} {
    foreach name $args {
        if {[dict exists $run::connections $name]} {
            resp::close [dict get $run::connections $name]
            dict unset run::connections $name
        }
    }
}

# Debugs a script with keys k1 and k2 on a new connection: sends each request and returns what is shown for it, for all of them.
proc debug {mode script args} {
    leave D
    expect +OK [request SCRIPT DEBUG $mode]
    set shown [list [lines [request EVAL $script 2 k1 k2 arg]]]
    foreach words $args {
        lappend shown [lines [request {*}$words]]
    }
    return $shown
}

# A request of a session, and the reply to it.
proc request {args} {
    resp::send [run::connection D] $args
    return [next]
}

# One more reply in a session.
proc next {} {
    return [resp::read [run::connection D]]
}

# The lines that are shown; a reply that is something else is one line.
proc lines {reply} {
    if {[lindex $reply 0] ne "*"} {
        return [list [resp::show $reply]]
    }
    return [lmap line [lindex $reply 1] { lindex $line 1 }]
}

# --- a session -------------------------------------------------------------------------

foreach mode {SYNC YES} {
    case "$mode: step by step to the end" {
        SCRIPT DEBUG $mode               -> +OK
        EVAL $short 1 k v                -> [+"* Stopped at 1, stop reason = step over" +"-> 1   local a = 1"]
        step                             -> [+"* Stopped at 2, stop reason = step over" +"-> 2   redis.call('set', KEYS[1], ARGV[1])"]
        n                                -> [+"<redis> set k v" +"<reply> \"+OK\"" +"* Stopped at 3, stop reason = step over" +"-> 3   return redis.call('get', KEYS[1])"]
        S                                -> [+"<redis> get k" +"<reply> \"v\"" +"<endsession>"]
        -> "v"
        -> closed
    }
}

case "a session without a stop, because the script cannot run" {
    SCRIPT DEBUG SYNC                    -> +OK
    EVAL "return return" 0               -> [+"<endsession>"]
    -> -ERR Error compiling script (new function): user_script:1: unexpected symbol near 'return'
    -> closed
    B: SCRIPT DEBUG SYNC                 -> +OK
    B: EVAL "return 1" x                 -> [+"<endsession>"]
    -> -ERR value is not an integer or out of range
    -> closed
}

case "who debugs, and what" {
    SCRIPT DEBUG SYNC                    -> +OK
    SCRIPT DEBUG what                    -> -ERR Use SCRIPT DEBUG YES/SYNC/NO
    SCRIPT DEBUG                         -> -ERR wrong number of arguments for 'script|debug' command
    EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0 -> -ERR Please use EVAL instead of EVALSHA for debugging
    EVALSHA_RO e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0 -> -ERR Please use EVAL instead of EVALSHA for debugging
    EVALSHA x 0                          -> -NOSCRIPT No matching script. Please use EVAL.
    B: EVAL "return 1" 0                 -> :1
    SCRIPT DEBUG NO                      -> +OK
    EVAL "return 1" 0                    -> :1
    MULTI                                -> +OK
    SCRIPT DEBUG YES                     -> +QUEUED
    EXEC                                 -> [-"ERR SCRIPT DEBUG must be called outside a pipeline"]
    !raw "PING\r\nSCRIPT DEBUG YES\r\n"  -> +PONG
    -> -ERR SCRIPT DEBUG must be called outside a pipeline
    EVAL "return 1" 0                    -> :1
}

case "no session behind other replies, and none after RESET" -only cachestorm {
    SCRIPT DEBUG SYNC                    -> +OK
    MULTI                                -> +OK
    EVAL "return 1" 0                    -> +QUEUED
    EXEC                                 -> [-"ERR A script can be debugged outside a pipeline and a transaction only"]
    RESET                                -> +RESET
    EVAL "return 1" 0                    -> :1
}

# --- requests ----------------------------------------------------------------------------

case "code, breakpoints and the way to them" {
    SCRIPT DEBUG SYNC                    -> +OK
    EVAL "local a = 1\n\nlocal function f(x)\n  return x + 1\nend\na = f(a)\nreturn a\n\n" 0 -> [+"* Stopped at 1, stop reason = step over" +"-> 1   local a = 1"]
    b                                    -> [+"No breakpoints set. Use 'b <line>' to add one."]
    b 4                                  -> [+"   3   local function f(x)" +"  #4     return x + 1" +"   5   end"]
    break 1 8 0x                         -> [+"->#1   local a = 1" +"   2   " +"Wrong line number." +"Invalid argument:'0x'"]
    b 4                                  -> [+"Wrong line number."]
    b                                    -> [+"2 breakpoints set:" +"  #4     return x + 1" +"->#1   local a = 1"]
    b -1                                 -> [+"Breakpoint removed."]
    b -1                                 -> [+"No breakpoint in the specified line."]
    list                                 -> [+"-> 1   local a = 1" +"   2   " +"   3   local function f(x)" +"  #4     return x + 1" +"   5   end" +"   6   a = f(a)"]
    l 6 1                                -> [+"   5   end" +"   6   a = f(a)" +"   7   return a"]
    l 0 0                                -> [+"-> 1   local a = 1"]
    whole                                -> [+"-> 1   local a = 1" +"   2   " +"   3   local function f(x)" +"  #4     return x + 1" +"   5   end" +"   6   a = f(a)" +"   7   return a"]
    continue                             -> [+"* Stopped at 4, stop reason = break point" +"->#4     return x + 1"]
    t                                    -> [+"In f:" +"->#4     return x + 1" +"From top level:" +"   6   a = f(a)"]
    print                                -> [+"<value> x = 1"]
    p x                                  -> [+"<value> 1"]
    p a                                  -> [+"<value> 1"]
    p y                                  -> [+"No such variable."]
    b 0                                  -> [+"All breakpoints removed."]
    c                                    -> [+"<endsession>"]
    -> :2
}

case "commands, code and what is none" {
    SCRIPT DEBUG SYNC                    -> +OK
    EVAL $short 1 k v                    -> [any any]
    p KEYS                               -> [+"<value> {\"k\"}"]
    p ARGV                               -> [+"<value> {\"v\"}"]
    p                                    -> [+"No local variables in the current context."]
    r set k w                            -> [+"<redis> set k w" +"<reply> \"+OK\""]
    redis lpush k x                      -> [+"<redis> lpush k x" +"<error> -WRONGTYPE Operation against a key holding the wrong kind of value" +"<reply> \"-WRONGTYPE Operation against a key holding the wrong kind of value\""]
    r nosuch                             -> [+"<redis> nosuch" +"<error> Unknown Redis command called from script"]
    r mset a 1 b 2 c 3 d 4 e 5 f 6       -> [+"<redis> mset a 1 b 2 c 3 d 4 e ... (2 more)" +"<reply> \"+OK\""]
    r mget a nosuch                      -> [+"<redis> mget a nosuch" +"<reply> [\"1\",NULL]"]
    e 1+1                                -> [+"<retval> 2"]
    eval if true then return 5 end       -> [+"<retval> 5"]
    e local y = 5                        -> [+"<retval> nil"]
    e y                                  -> [+"<error> ldb_eval:1: Script attempted to access nonexistent global variable 'y'"]
    e y = 1                              -> [+"<error> ldb_eval:1: Attempt to modify a readonly table"]
    e return return                      -> [+"<error> ldb_eval:1: unexpected symbol near 'return'"]
    e redis.call('get','k')              -> [+"<retval> \"w\""]
    e error('no')                        -> [+"<error> ldb_eval:1: no"]
    r                                    -> [+"<error> Unknown Redis Lua debugger command or wrong number of arguments."]
    PING                                 -> [+"<error> Unknown Redis Lua debugger command or wrong number of arguments."]
    help                                 -> [+"Redis Lua debugger help:" ...]
    c                                    -> [+"<endsession>"]
    -> "v"
}

check "values as they are shown" {
    set script "local t = {1, 'two', {x = 3}, false}\nlocal m = {\[5\] = 1.5}\nlocal n = {1e20, 0.1, 123456789, -1/0}\nlocal s = '\\0\\1\"\\\\\\n\\255'\n"
    append script "local d = {{{{{{{{{{{}}}}}}}}}}}\nreturn 1"
    set shown [debug SYNC $script {b 6} c p e c]
    same [list {<value> t = {1; "two"; {["x"]=3}; false}} {<value> m = {[5]=1.5}} {<value> n = {1e+20; 0.1; 1.23457e+08; -inf}} \
        {<value> s = "\x00\x01\"\\\n\xff"} {<value> d = {{{{{{{{{{<max recursion level reached! Nested table?>}}}}}}}}}}}] \
        [lindex $shown 3] "values"
    same [list "<retval> nil"] [lindex $shown 4]
    expect :1 [next]
    set shown [debug SYNC "local f = redis.call\nreturn 1" s "p f" c]
    same 1 [regexp {^\{<value> "function@0x[0-9a-f]+"\}$} [lindex $shown 2]] "a function"
}

check "what is long is cut" {
    set shown [debug SYNC "local s = ('x'):rep(300)\nlocal t = s\nreturn redis.call('set', KEYS\[1\], s)" s "p s" "p s" m "m 100" "p s" "m 5" "m 0" "p s" s s]
    set cut "<value> \"[string repeat x 247] ..."
    same [list $cut "<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming."] [lindex $shown 2] "the first time"
    same [list $cut] [lindex $shown 3] "the second time"
    same "{<value> replies are truncated at 256 bytes.}" [lindex $shown 4]
    same "{<value> replies are truncated at 100 bytes.}" [lindex $shown 5]
    same [list "<value> \"[string repeat x 91] ..."] [lindex $shown 6]
    same "{<value> replies are truncated at 60 bytes.}" [lindex $shown 7]
    same "{<value> replies are unlimited.}" [lindex $shown 8]
    same [list "<value> \"[string repeat x 300]\""] [lindex $shown 9]
    same [list "<redis> set k1 [string repeat x 300]" {<reply> "+OK"} <endsession>] [lindex $shown 11] "commands are not cut"
}

case "what is shown of RESP3" {
    SCRIPT DEBUG SYNC                    -> +OK
    EVAL "redis.setresp(3)\nredis.call('hset', KEYS[1], 'f', 'v')\nredis.call('hgetall', KEYS[1])\nredis.call('zadd', KEYS[2], 1.5, 'm')\nredis.call('zscore', KEYS[2], 'm')\nredis.call('sadd', 's', 'm')\nredis.call('smembers', 's')\nredis.call('get', 'nosuch')\nreturn 1" 2 h z -> [any any]
    s -> [any any]
    s -> [+"<redis> hset h f v" +"<reply> 1" any any]
    s -> [+"<redis> hgetall h" +"<reply> {\"f\" => \"v\"}" any any]
    s -> [+"<redis> zadd z 1.5 m" +"<reply> 1" any any]
    s -> [+"<redis> zscore z m" +"<reply> (double) 1.5" any any]
    s -> [+"<redis> sadd s m" +"<reply> 1" any any]
    s -> [+"<redis> smembers s" +"<reply> ~(\"m\")" any any]
    s -> [+"<redis> get nosuch" +"<reply> (null)" any any]
    c -> [+"<endsession>"]
    -> :1
}

case "what scripts say to the debugger" {
    SCRIPT DEBUG SYNC                    -> +OK
    EVAL "redis.debug('a', 1, {2}, nil)\nlocal b = redis.breakpoint()\nredis.debug()\nreturn b" 0 -> [any any]
    c                                    -> [+"<debug> line 1: \"a\", 1, {2}, nil" +"* Stopped at 3, stop reason = redis.breakpoint() called" +"-> 3   redis.debug()"]
    c                                    -> [+"<debug> line 3: " +"<endsession>"]
    -> :1
    B: EVAL "redis.debug('a') return redis.breakpoint()" 0 -> nil
}

case "errors of a script while it is stepped through" {
    SCRIPT DEBUG SYNC                    -> +OK
    EVAL "redis.pcall('set')\nredis.pcall()\nredis.error_reply('My text')\nredis.call('nosuch')" 0 -> [any any]
    s                                    -> [+"<redis> set" +"<error> Wrong number of args calling Redis command from script" any any]
    s                                    -> [+"<error> Please specify at least one argument for this redis lib call" any any]
    s                                    -> [+"<error> -My text" any any]
    s                                    -> [+"<redis> nosuch" +"<error> Unknown Redis command called from script" +"<endsession>"]
    -> /^-ERR Unknown Redis command called from script script: [0-9a-f]{40}, on @user_script:4\.$/
    -> closed
}

case "coroutines are stepped through, code that a script compiles is not" {
    SCRIPT DEBUG SYNC                    -> +OK
    EVAL "local f = coroutine.wrap(function(a)\n  local b = a\n  coroutine.yield(b)\nend)\nlocal g = loadstring('local x = 1\\nreturn x')\nreturn {f(7), g()}" 0 -> [any any]
    b 3 6                                -> any
    c                                    -> [+"* Stopped at 6, stop reason = break point" any]
    c                                    -> [+"* Stopped at 3, stop reason = break point" any]
    p                                    -> [+"<value> a = 7" +"<value> b = 7"]
    c                                    -> [+"<endsession>"]
    -> [:7 :1]
}

# --- the end of a session ----------------------------------------------------------------

case "abort" {
    SCRIPT DEBUG SYNC                    -> +OK
    EVAL $short 1 k v                    -> [any any]
    s                                    -> [any any]
    s                                    -> [any any any any]
    a                                    -> [+"<endsession>"]
    -> /^-ERR script aborted for user request script: [0-9a-f]{40}, on @user_script:3\.$/
    -> closed
    B: GET k                             -> "v"
}

case "a script cannot go on after abort" -only cachestorm {
    SCRIPT DEBUG SYNC                    -> +OK
    EVAL "pcall(function()\n  local a = 1\n  local b = 2\nend)\nredis.call('set', KEYS[1], 'x')\nreturn 1" 1 k -> [any any]
    b 3                                  -> any
    c                                    -> [any any]
    abort                                -> [+"<endsession>"]
    -> /^-ERR script aborted for user request/
    B: EXISTS k                          -> :0
}

check "what is no request ends the script" {
    foreach {bytes error} {
        "*1\r\nx\r\n"                   "protocol error"
        "*0\r\n"                        "protocol error"
        "*1\r\n$-1\r\n"                 "protocol error"
    } {
        debug SYNC $short
        resp::raw [run::connection D] [subst -nocommands -novariables $bytes]
        expect {[+"<endsession>"]} [next]
        expect "/^-ERR $error script: /" [next]
        expect closed [next]
    }
}

case "half a request is waited for" {
    SCRIPT DEBUG SYNC                    -> +OK
    EVAL $short 1 k v                    -> [any any]
    !raw "*2\r\n$1\r\np\r\n$4\r\nKE"
    !raw "YS\r\n"                        -> [+"<value> {\"k\"}"]
    c                                    -> [+"<endsession>"]
    -> "v"
}

check "the client goes: the script runs to its end" {
    debug SYNC $short s
    leave D
    expect {"arg"} [ask GET k1]
    expect +PONG [ask PING]
}

check "the client goes, and the script would run for ever" -config {busy-reply-threshold 50} {
    debug SYNC "while true do end"
    leave D
    expect +PONG [ask PING]
}

check "a script that runs for long is stopped" -config {busy-reply-threshold 50} {
    set shown [debug SYNC "local n = 0\nwhile true do\n  n = n + 1\nend" c a]
    same 1 [regexp {^\* Stopped at \d, stop reason = timeout reached, infinite loop\?$} [lindex $shown 1 0]] "stopped"
    same "<endsession>" [lindex $shown 2]
    expect {/^-ERR script aborted for user request/} [next]
}

check "others are told that the server is busy, and can end the session" -only cachestorm -config {busy-reply-threshold 50} {
    debug SYNC $short
    set b [run::connection B]
    eventually { [resp::send $b PING; string match {- {BUSY *}} [resp::read $b]] }
    resp::send $b {SCRIPT KILL}
    expect +OK [resp::read $b]
    expect {[+"<endsession>"]} [next]
    expect {/^-ERR Script killed by user with SCRIPT KILL\.\.\. script: /} [next]
    # What has written is not ended, unless it will be undone.
    debug SYNC $short s s
    set b [run::connection B]
    eventually { [resp::send $b {SCRIPT KILL}; string match {- {UNKILLABLE *}} [resp::read $b]] }
    debug YES $short s s
    set b [run::connection B]
    eventually { [resp::send $b {SCRIPT KILL}; string match {+ OK} [resp::read $b]] }
    expect {[+"<endsession>"]} [next]
    # Code that a debugger evaluates can be ended as well.
    debug SYNC $short
    resp::send [run::connection D] {eval "redis.log(redis.LOG_WARNING, 'evaluated') while true do end"}
    eventually {[string match *evaluated* [server::log $run::server]]}
    set b [run::connection B]
    eventually { [resp::send $b {SCRIPT KILL}; string match {+ OK} [resp::read $b]] }
    expect {[+"<error> ERR Script killed by user with SCRIPT KILL..." +"<endsession>"]} [next]
}

check "SIGTERM does not wait for who debugs" -only cachestorm -server {--save ""} {
    debug SYNC $short
    server::signal $run::server TERM
    expect {[+"<endsession>"]} [next]
    expect {"arg"} [next]
    same 1 [server::wait_exit $run::server]
}

check "SIGTERM does not wait for a trial" -only cachestorm -server {--save ""} {
    debug YES $short
    server::signal $run::server TERM
    same 1 [server::wait_exit $run::server]
}

# --- trials ----------------------------------------------------------------------------

set writes "redis.call('set', 's', '2')
redis.call('append', 'long', 'y')
redis.call('del', 'l')
redis.call('hset', 'h', 'f1', 'changed', 'new', '1')
redis.call('hdel', 'expiring', 'a')
redis.call('srem', 'numbers', '1', '2', '3')
redis.call('zadd', 'z', '5', 'a', '6', 'c')
redis.call('xadd', 'x', '2-1', 'f', 'w')
redis.call('xreadgroup', 'group', 'g', 'c', 'streams', 'x', '>')
redis.call('set', 'fresh', '1')
redis.call('rename', 'expiring', 'renamed')
redis.call('move', 's', '5')
redis.call('copy', 'z', 'z', 'db', '3')
redis.call('select', '3')
redis.call('del', 'other')
redis.call('set', 'here', '1')
redis.call('select', '0')
redis.call('pfadd', 'hll', 'a')
redis.call('sort', 'numbers', 'store', 'sorted')
redis.call('rpush', 'queue', '1')
redis.call('publish', 'channel', 'message')
return redis.call('exists', 'fresh', 's', 'renamed')"

# Commands that describe what there is.
proc description {} {
    set all [ask DEBUG DIGEST]
    foreach key {s long l h expiring numbers z x} {
        lappend all [ask OBJECT ENCODING $key] [ask PEXPIRETIME $key]
    }
    lappend all [ask HPEXPIRETIME expiring FIELDS 2 a b] [ask XINFO GROUPS x] [ask DBSIZE]
    regexp {rdb_changes_since_last_save:\d+} [lindex [ask INFO persistence] 1] changes
    return [lappend all $changes]
}

check "what a script does after SCRIPT DEBUG YES is undone" {
    ask SET s 1 PX 1000000
    ask SET long [string repeat x 50000]
    ask RPUSH l a b
    ask HSET h {*}[lmap n [lrepeat 2000 f] { append n [incr count] }]
    ask HSET expiring a 1 b 2
    ask HPEXPIRE expiring 1000000 FIELDS 1 a
    ask SADD numbers 1 2 3
    ask ZADD z 1 a 2 b
    ask XADD x 1-1 f v
    ask XGROUP CREATE x g 0
    ask SELECT 3
    ask SET other here
    ask SELECT 0
    set before [description]
    foreach end {c s a {}} {
        # Those who would be told of a change.
        foreach {name commands} {W {{WATCH s l fresh} MULTI PING} B {{BLPOP queue 0}} S {{SUBSCRIBE channel}}} {
            foreach command $commands {
                resp::send [run::connection $name] $command
                if {$name ne "B"} {
                    resp::read [run::connection $name]
                }
            }
        }
        debug YES $writes
        switch $end {
            c { expect {[+"<endsession>"]} [request c] }
            s { while {"<endsession>" ni [lines [request s]]} {} }
            default {
                for {set steps 0} {$steps < 16} {incr steps} {
                    request s
                }
            }
        }
        if {$end eq "a"} {
            expect {[+"<endsession>"]} [request a]
            expect {/^-ERR script aborted/} [next]
        } elseif {$end ne ""} {
            expect :2 [next]
        }
        leave D
        same $before [description] "after '$end'"
        resp::send [run::connection W] EXEC
        expect {[+PONG]} [resp::read [run::connection W]]
        resp::send [run::connection S] {UNSUBSCRIBE channel}
        same unsubscribe [lindex [resp::read [run::connection S]] 1 0 1] "the next message"
        eventually { [regexp {blocked_clients:1\r} [lindex [ask INFO clients] 1]] }
        leave W B S
        eventually { [regexp {blocked_clients:0\r} [lindex [ask INFO clients] 1]] }
    }
}

check "nothing of a trial is in the append-only file" -server {--appendonly yes --enable-debug-command yes} {
    ask SET k1 before
    debug YES "#!lua\nredis.set_repl(redis.REPL_ALL)\nredis.call('set', KEYS\[1\], 'x')\nredis.call('set', KEYS\[2\], 'x')\nreturn 1" c
    debug SYNC "return redis.call('set', KEYS\[2\], 'stays')" c
    leave D
    expect {"before"} [ask GET k1]
    expect +OK [ask DEBUG LOADAOF]
    expect {"before"} [ask GET k1]
    expect {"stays"} [ask GET k2]
}

case "commands that cannot be undone" -only cachestorm {
    SCRIPT DEBUG YES                     -> +OK
    EVAL "redis.pcall('flushall')\nredis.pcall('swapdb', 0, 1)\nredis.pcall('invalidate', 't')\nreturn redis.call('flushdb')" 0 -> [any any]
    s -> [+"<redis> flushall" +"<error> 'flushall' cannot be undone. Use SCRIPT DEBUG SYNC to debug a script that calls it" any any]
    s -> [+"<redis> swapdb 0 1" +"<error> 'swapdb' cannot be undone. Use SCRIPT DEBUG SYNC to debug a script that calls it" any any]
    s -> [+"<redis> invalidate t" +"<error> 'invalidate' cannot be undone. Use SCRIPT DEBUG SYNC to debug a script that calls it" any any]
    c -> [+"<endsession>"]
    -> /^-ERR 'flushdb' cannot be undone/
}

case "tags and default times to live are what they were" -only cachestorm {
    SETTAG a 1 TAG t u                   -> +OK
    SET b 2                              -> +OK
    SCRIPT DEBUG YES                     -> +OK
    EVAL "redis.call('set', 'a', 'plain')\nredis.call('addtag', 'b', 't', 'v')\nreturn 1" 0 -> [any any]
    c                                    -> [+"<endsession>"]
    -> :1
    B: TAGS a                            -> ~["t" "u"]
    B: TAGS b                            -> ~[]
    B: GET a                             -> "1"
    B: TAGCOUNT t                        -> :1
}

# --- redis-cli ----------------------------------------------------------------------------

check "redis-cli --ldb" {
    set dir [server::new_dir]
    set file [open $dir/script.lua w]
    puts $file "local double = ARGV\[1\] * 2\nredis.call('set', KEYS\[1\], double)\nreturn redis.call('get', KEYS\[1\])"
    close $file
    foreach {flag left} {--ldb nil --ldb-sync-mode {"42"}} {
        set said [exec redis-cli -p $server::port($run::server) $flag --eval $dir/script.lua k , 21 << "s\nb 3\nc\np\nrestart\np double\ns\np double\ns\nc\nquit\n"]
        foreach text {
            "* Stopped at 1, stop reason = step over" "-> 2   redis.call('set', KEYS\[1\], double)" "* Stopped at 3, stop reason = break point"
            "<value> double = 42" "No such variable." "<value> 42" "<redis> set k 42" "\"42\"" "(Lua debugging session ended"
        } {
            same 1 [expr {[string first $text $said] >= 0}] "$flag: $text in $said"
        }
        expect $left [ask GET k] $flag
    }
}
