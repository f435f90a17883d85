# Namespaces: databases with names, what holds for their keys, and how they are kept. Redis has none.

# The value of a field of NAMESPACEINFO.
proc about {field args} {
    set reply [lindex [ask NAMESPACEINFO {*}$args] 1]
    foreach {name value} $reply {
        if {[lindex $name 1] eq $field} {
            return [lindex $value 1]
        }
    }
    error "no field $field in $reply"
}

# Deletes all namespaces with names of their own, and what holds for the others.
proc tidy {} {
    foreach name [lindex [ask NAMESPACES] 1] {
        ask NAMESPACEDEL [lindex $name 1]
    }
    ask NAMESPACE default TTL 0 MAXMEMORY 0
}

case "NAMESPACE creates and chooses" -only cachestorm {
    NAMESPACES                   -> ["default"]
    SET k zero                   -> +OK
    NAMESPACE sessions           -> +OK
    GET k                        -> nil
    SET k one                    -> +OK
    SET j one                    -> +OK
    DBSIZE                       -> :2
    NAMESPACES                   -> ["default" "sessions"]
    NAMESPACE default            -> +OK
    GET k                        -> "zero"
    B: NAMESPACE sessions        -> +OK
    B: KEYS *                    -> ?["k" "j"]
    B: SCAN 0                    -> ["0" ?["k" "j"]]
    B: RANDOMKEY                 -> /[jk]/
    A: namespace sessions        -> +OK
    A: FLUSHDB                   -> +OK
    B: DBSIZE                    -> :0
    A: SELECT 0                  -> +OK
    A: GET k                     -> "zero"
    A: NAMESPACEDEL sessions        -> +OK
    NAMESPACES                   -> ["default"]
}

case "numbers stand for default and db1, db2 and so on" -only cachestorm {
    SELECT 3                     -> +OK
    SET k three                  -> +OK
    NAMESPACE db3                -> +OK
    GET k                        -> "three"
    NAMESPACES                   -> ["db3" "default"]
    NAMESPACEINFO                -> {"name" "db3" "keys" :1 ...}
    NAMESPACE db0                -> +OK
    NAMESPACES                   -> ["db0" "db3" "default"]
    NAMESPACEDEL db0             -> +OK
    NAMESPACE db16               -> +OK
    SELECT 16                    -> -ERR DB index is out of range
    NAMESPACEDEL db16            -> +OK
    NAMESPACE db3                -> +OK
    NAMESPACEDEL db3             -> +OK
    GET k                        -> nil
    NAMESPACEINFO                -> {"name" "default" ...}
    NAMESPACES                   -> ["default"]
    SELECT 3                     -> +OK
    DBSIZE                       -> :0
}

case "what is refused" -only cachestorm {
    NAMESPACE                    -> -ERR wrong number of arguments for 'namespace' command
    NAMESPACE ""                 -> -ERR a namespace's name is 1 to 64 letters, digits, '_', '-', '.' or ':'
    NAMESPACE "a b"              -> -ERR a namespace's name is 1 to 64 letters, digits, '_', '-', '.' or ':'
    NAMESPACE "\xff"             -> -ERR a namespace's name is 1 to 64 letters, digits, '_', '-', '.' or ':'
    NAMESPACE a/b                -> -ERR a namespace's name is 1 to 64 letters, digits, '_', '-', '.' or ':'
    NAMESPACE aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa -> -ERR a namespace's name is 1 to 64 letters, digits, '_', '-', '.' or ':'
    NAMESPACE aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  -> +OK
    NAMESPACEDEL aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa -> +OK
    NAMESPACE A.b-c_d:9          -> +OK
    NAMESPACEDEL A.b-c_d:9       -> +OK
    NAMESPACE a TTL              -> -ERR syntax error
    NAMESPACE a LIFE 3           -> -ERR syntax error
    NAMESPACE a TTL x            -> -ERR value is not an integer or out of range
    NAMESPACE a TTL -1           -> -ERR a time in milliseconds is not negative
    NAMESPACE a MAXMEMORY much   -> -ERR MAXMEMORY must be a memory value
    NAMESPACE a MAXMEMORY -1     -> -ERR MAXMEMORY must be a memory value
    NAMESPACE a CREATED -1       -> -ERR a time in milliseconds is not negative
    NAMESPACES                   -> ["default"]
    NAMESPACES x                 -> -ERR wrong number of arguments for 'namespaces' command
    NAMESPACEDEL                 -> -ERR wrong number of arguments for 'namespacedel' command
    NAMESPACEDEL default         -> -ERR cannot delete the default namespace
    NAMESPACEDEL nosuch          -> -ERR no such namespace
    NAMESPACEINFO nosuch         -> -ERR no such namespace
    NAMESPACEINFO a b            -> -ERR wrong number of arguments for 'namespaceinfo' command
}

case "NAMESPACEINFO tells what there is and what holds" -only cachestorm {
    NAMESPACE pages TTL 60000 MAXMEMORY 1mb CREATED 1700000000123 -> +OK
    SET k v                      -> +OK
    SET j v PX 5000              -> +OK
    PERSIST j                    -> :1
    GET k                        -> "v"
    GET nosuch                   -> nil
    NAMESPACEINFO                -> {"name" "pages" "keys" :2 "expires" :1 "memory_bytes" :1000..40000 "tags" :0 "default_ttl_ms" :60000 "max_memory_bytes" :1048576 "hits" :1 "misses" :1 "created_at" :1700000000 ...}
    NAMESPACE pages TTL 0        -> +OK
    CONFIG RESETSTAT             -> +OK
    NAMESPACE default            -> +OK
    NAMESPACEINFO pages          -> {"name" "pages" "keys" :2 "expires" :1 "memory_bytes" any "tags" :0 "default_ttl_ms" :0 "max_memory_bytes" :1048576 "hits" :0 "misses" :0 "created_at" :1700000000 ...}
    NAMESPACEDEL pages           -> +OK
    NAMESPACE pages              -> +OK
    NAMESPACEINFO                -> {"name" "pages" "keys" :0 "expires" :0 "memory_bytes" :0 "tags" :0 "default_ttl_ms" :0 "max_memory_bytes" :0 "hits" :0 "misses" :0 "created_at" :1750000000..4000000000 ...}
    NAMESPACEDEL pages           -> +OK
}

check "every command that creates a key gives it the default time to live" -only cachestorm {
    ask SET from:default v
    ask NAMESPACE brief TTL 50000
    ask RPUSH list b a
    ask SADD set b a
    foreach {command key} {
        {SET k v} k                        {SETNX nx v} nx              {MSET m1 v m2 v} m2
        {MSETNX n1 v n2 v} n1              {GETSET gs v} gs             {APPEND ap v} ap
        {SETRANGE sr 3 v} sr               {SETBIT sb 3 1} sb           {BITOP NOT bo k} bo
        {BITFIELD bf SET u8 0 7} bf        {INCR i} i                   {INCRBYFLOAT f 1.5} f
        {HSET h f v} h                     {HINCRBY hi f 1} hi          {LPUSH l v} l
        {SADD s v} s                       {ZADD z 1 v} z               {XADD x 1-1 f v} x
        {XGROUP CREATE xg g $ MKSTREAM} xg {PFADD pf v} pf              {PFMERGE pm pf} pm
        {GEOADD g 1 2 v} g                 {SINTERSTORE si set set} si  {SUNIONSTORE su set} su
        {SDIFFSTORE sd set nosuch} sd      {SMOVE set sm a} sm          {ZUNIONSTORE zu 1 z} zu
        {ZRANGESTORE zr z 0 -1} zr         {SORT list ALPHA STORE so} so
        {RPOPLPUSH list rp} rp             {LMOVE list lm LEFT LEFT} lm
        {COPY k copied} copied             {RENAME k renamed} renamed   {RENAMENX renamed again} again
        {SET kept v KEEPTTL} kept
    } {
        set reply [ask {*}$command]
        if {[lindex $reply 0] eq "-"} {
            run::problem $command "no error" $reply
        }
        expect :40000..50000 [ask PTTL $key] $command
    }
    # What says itself how long it lives does.
    ask SET own v PX 7000
    expect :1..7000 [ask PTTL own]
    ask RENAME own other
    expect :1..7000 [ask PTTL other]
    # What is changed in place keeps what it has, what is replaced is new.
    ask SET p v
    ask PERSIST p
    ask APPEND p v
    expect :-1 [ask PTTL p]
    ask SET p v
    expect :40000..50000 [ask PTTL p]
    tidy
}

check "keys that come from elsewhere get the default time to live" -only cachestorm {
    ask SET k v
    set dump [lindex [ask DUMP k] 1]
    ask SET j v
    ask NAMESPACE brief TTL 50000
    expect +OK [ask RESTORE restored 0 $dump]
    expect :40000..50000 [ask PTTL restored]
    ask SELECT 0
    expect :1 [ask MOVE j brief]
    expect :1 [ask COPY k copied DB brief]
    expect :-1 [ask PTTL k]
    ask NAMESPACE brief
    expect :40000..50000 [ask PTTL j]
    expect :40000..50000 [ask PTTL copied]
    tidy
}

case "MOVE, COPY and SWAPDB know names" -only cachestorm {
    SET k v                      -> +OK
    MOVE k nosuch                -> -ERR value is not an integer or out of range
    COPY k j DB nosuch           -> -ERR value is not an integer or out of range
    SWAPDB 0 nosuch              -> -ERR invalid second DB index
    SWAPDB nosuch 0              -> -ERR invalid first DB index
    NAMESPACE a                  -> +OK
    SELECT 0                     -> +OK
    MOVE k a                     -> :1
    GET k                        -> nil
    MOVE k default               -> -ERR source and destination objects are the same
    NAMESPACE a                  -> +OK
    COPY k j DB db5              -> :1
    COPY k j DB a                -> :1
    MOVE k a                     -> -ERR source and destination objects are the same
    SWAPDB a 1                   -> +OK
    DBSIZE                       -> :0
    SELECT 1                     -> +OK
    MGET k j                     -> ["v" "v"]
    SWAPDB db1 a                 -> +OK
    SELECT 5                     -> +OK
    GET j                        -> "v"
    NAMESPACEDEL a               -> +OK
}

case "who is in a deleted namespace goes back to default" -only cachestorm {
    SET k default                -> +OK
    B: NAMESPACE a               -> +OK
    B: SET k a                   -> +OK
    C: NAMESPACE a               -> +OK
    A: NAMESPACEDEL a            -> +OK
    B: GET k                     -> "default"
    A: NAMESPACE b               -> +OK
    A: GET k                     -> nil
    C: GET k                     -> "default"
    A: NAMESPACEDEL b            -> +OK
    A: GET k                     -> "default"
}

check "what was begun in a deleted namespace comes to nothing" -only cachestorm {
    ask SET watched v
    foreach name {B C D E} {
        set link($name) [run::connection $name]
        resp::send $link($name) {NAMESPACE a}
        expect +OK [resp::read $link($name)]
    }
    # A wait ends, a transaction is refused, and so is one that watches even what was never there.
    resp::send $link(B) {BLPOP list 0}
    resp::send $link(C) {MULTI}
    expect +OK [resp::read $link(C)]
    resp::send $link(C) {SET k v}
    expect +QUEUED [resp::read $link(C)]
    resp::send $link(D) {WATCH nosuch}
    expect +OK [resp::read $link(D)]
    eventually {[regexp {blocked_clients:1} [lindex [ask INFO clients] 1]]}
    expect +OK [ask NAMESPACEDEL a]
    expect "-UNBLOCKED the namespace was deleted" [resp::read $link(B)]
    resp::send $link(B) {GET watched}
    expect {"v"} [resp::read $link(B)]
    resp::send $link(C) {EXEC}
    expect "-EXECABORT Transaction discarded because of previous errors." [resp::read $link(C)]
    foreach {command reply} {MULTI +OK PING +QUEUED EXEC nil*} {
        resp::send $link(D) $command
        expect $reply [resp::read $link(D)] $command
    }
    # Another namespace in its place starts anew.
    ask NAMESPACE b
    ask LPUSH list v
    expect :1 [ask DBSIZE]
    expect {"v"} [ask LPOP list]
    ask NAMESPACEDEL b
    expect :0 [ask EXISTS k]
}

case "in a transaction" -only cachestorm {
    MULTI                        -> +OK
    NAMESPACE a                  -> +QUEUED
    SET k v                      -> +QUEUED
    NAMESPACEINFO                -> +QUEUED
    NAMESPACES                   -> +QUEUED
    EXEC                         -> [+OK +OK {"name" "a" "keys" :1 ...} ["a" "default"]]
    GET k                        -> "v"
    MULTI                        -> +OK
    NAMESPACEDEL a               -> +QUEUED
    SET k default                -> +QUEUED
    NAMESPACES                   -> +QUEUED
    EXEC                         -> [+OK +OK ["default"]]
    SELECT 0                     -> +OK
    GET k                        -> "default"
}

case "in a script" -only cachestorm -needs {eval} {
    EVAL "redis.call('NAMESPACE', 'a') redis.call('SET', 'k', 'v') return redis.call('DBSIZE')" 0 -> :1
    GET k                        -> nil
    NAMESPACE a                  -> +OK
    GET k                        -> "v"
    EVAL "redis.call('NAMESPACEDEL', 'a') redis.call('SET', 'k', 'default') return redis.call('NAMESPACES')" 0 -> ["default"]
    GET k                        -> "default"
    NAMESPACE a                  -> +OK
    EVAL "redis.call('NAMESPACEDEL', 'a') redis.call('NAMESPACE', 'b') return redis.call('DBSIZE')" 0 -> :0
    NAMESPACEINFO                -> {"name" "default" ...}
    NAMESPACE b TTL 50000        -> +OK
    EVAL "redis.call('SET', 'k', 'v') return redis.call('PTTL', 'k')" 0 -> :40000..50000
    NAMESPACEDEL b               -> +OK
}

case "notifications, MONITOR and CLIENT LIST say names" -only cachestorm -config {notify-keyspace-events KEA} {
    B: PSUBSCRIBE __key*         -> >["psubscribe" "__key*" :1]
    A: NAMESPACE a               -> +OK
    A: SET k v                   -> +OK
    B: -> >["pmessage" "__key*" "__keyspace@a__:k" "set"]
    B: -> >["pmessage" "__key*" "__keyevent@a__:set" "k"]
    A: CLIENT INFO               -> / db=16 .* ns=a\n$/
    C: MONITOR                   -> +OK
    A: PING                      -> +PONG
    C: -> /^[0-9.]+ \[a 127.0.0.1:[0-9]+\] "PING"$/
    A: NAMESPACE default         -> +OK
    A: CLIENT INFO               -> / db=0 .* lib-ver=\n$/
    A: NAMESPACEDEL a            -> +OK
}

check "INFO" -only cachestorm {
    ask NAMESPACE a TTL 90000
    ask SET k v
    ask GET k
    set info [lindex [ask INFO namespaces] 1]
    same 1 [regexp {# Namespaces\r\nnamespaces:2\r\nnamespace0:name=a,keys=1,expires=1,memory_bytes=\d+,default_ttl_ms=90000,max_memory_bytes=0,hits=1,misses=0\r\nnamespace1:name=default,} $info] $info
    same 0 [regexp {db16} [lindex [ask INFO keyspace] 1]]
    same 0 [regexp {# Namespaces} [lindex [ask INFO] 1]]
    same 1 [regexp {# Namespaces} [lindex [ask INFO all] 1]]
    tidy
}

check "who waits in a namespace that is deleted does nothing in another" -only cachestorm {
    expect +OK [ask SETTAG victim v TAG all]
    ask NAMESPACE x
    ask EVAL {
        for n = 1, 20000 do
            redis.call('SETTAG', 'a' .. n, 'v', 'TAG', 't', 'all')
            redis.call('SETTAG', 'b' .. n, 'v', 'TAG', 'u', 'all')
        end
    } 0
    ask NAMESPACE default
    foreach {name command} {B {INVALIDATE t u} C {INVALIDATE all} D {TAGLINK parent child}} {
        set link($name) [run::connection $name]
        resp::send $link($name) {NAMESPACE x}
        expect +OK [resp::read $link($name)]
        resp::send $link($name) $command
        ask PING
    }
    ask MULTI
    ask NAMESPACEDEL x
    expect {[+OK]} [ask EXEC]
    foreach name {B C D} {
        # It was done where it was meant, or not at all.
        expect any [resp::read $link($name)]
    }
    expect {"v"} [ask GET victim]
    same {} [lindex [ask TAGCHILDREN parent] 1] children
    ask DEL victim
}

case "COMMAND DOCS" -only cachestorm {
    COMMAND DOCS namespaces      -> {"namespaces" {"summary" any "since" "0.1.0" "group" "server" "complexity" any ...}}
    COMMAND DOCS namespace       -> {"namespace" {"summary" any "since" "0.1.0" "group" "server" "complexity" any "arguments" [any any any any]}}
    COMMAND GETKEYS namespacedel x -> -ERR The command has no key arguments
}

case "ACL categories" -only cachestorm {
    ACL SETUSER u on nopass ~* +@all -@dangerous -namespaces -> +OK
    B: AUTH u x                  -> +OK
    B: NAMESPACE a               -> +OK
    B: NAMESPACE b TTL 5000 MAXMEMORY 1mb -> +OK
    B: NAMESPACE b TTL 6000      -> -NOPERM only who may run NAMESPACEDEL may change what holds for a namespace
    B: NAMESPACE default MAXMEMORY 1 -> -NOPERM only who may run NAMESPACEDEL may change what holds for a namespace
    B: NAMESPACE a               -> +OK
    B: NAMESPACEDEL a            -> -NOPERM User u has no permissions to run the 'namespacedel' command
    B: NAMESPACES                -> -NOPERM User u has no permissions to run the 'namespaces' command
    B: NAMESPACEINFO             -> {"name" "a" ...}
    A: NAMESPACEDEL a            -> +OK
    A: NAMESPACEDEL b            -> +OK
    A: ACL DELUSER u             -> :1
    ACL SETUSER u on nopass ~* +@all -@write -> +OK
    A: NAMESPACE a               -> +OK
    C: AUTH u x                  -> +OK
    C: NAMESPACE a               -> +OK
    C: NAMESPACE b               -> -NOPERM only who may write may create a namespace
    A: NAMESPACE default         -> +OK
    A: NAMESPACEDEL a            -> +OK
    A: ACL DELUSER u             -> :1
    A: COMMAND INFO namespacedel -> [["namespacedel" :2 ~[+"write"] :0 :0 :0 ~[+"@keyspace" +"@write" +"@slow" +"@dangerous"] ~[] ~[] ~[]]]
}

case "a replica creates and changes none" -only cachestorm -server {--replicaof "127.0.0.1 1"} {
    NAMESPACE db3                -> +OK
    NAMESPACE new                -> -READONLY You can't write against a read only replica.
    NAMESPACE db3 TTL 1000       -> -READONLY You can't write against a read only replica.
    CONFIG SET replica-read-only no -> +OK
    NAMESPACE new                -> +OK
}

check "settings name namespaces" -only cachestorm -server {--namespace "sessions 50s 1mb" --namespace "db2 0 2mb"} {
    expect {["db2" "default" "sessions"]} [ask NAMESPACES]
    same {50000 1048576} [list [about default_ttl_ms sessions] [about max_memory_bytes sessions]]
    same {0 2097152} [list [about default_ttl_ms db2] [about max_memory_bytes db2]]
    ask NAMESPACE sessions
    ask SET k v
    expect :40000..50000 [ask PTTL k]
    # What settings say no more holds no more; what NAMESPACE said stays.
    ask NAMESPACE mine TTL 9
    expect +OK [ask CONFIG SET namespace "pages 1m 0"]
    expect {["default" "mine" "pages" "sessions"]} [ask NAMESPACES]
    same {0 60000 9 0} [list [about max_memory_bytes sessions] [about default_ttl_ms pages] [about default_ttl_ms mine] [about max_memory_bytes db2]]
    expect {-ERR CONFIG SET failed (possibly related to argument 'namespace') - a/b is no name of a namespace: 1 to 64 letters, digits and _ - . :} [ask CONFIG SET namespace "a/b 0 0"]
    # A new one of a name that the settings have starts with what they say.
    ask NAMESPACEDEL pages
    ask NAMESPACE pages
    same 60000 [about default_ttl_ms]
}

check "a namespace keeps within its limit by removing its own keys" -only cachestorm -config {maxmemory-policy allkeys-lru} {
    for {set n 0} {$n < 100} {incr n} {
        ask SET default:$n [string repeat x 1000]
    }
    ask NAMESPACE small MAXMEMORY 200kb
    for {set n 0} {$n < 1000} {incr n} {
        ask SET key:$n [string repeat x 1000]
    }
    same 1 [expr {[about memory_bytes] < 200 * 1024 + 4096}] [about memory_bytes]
    same 1 [expr {[lindex [ask DBSIZE] 1] > 100}] [ask DBSIZE]
    expect :1 [ask EXISTS key:999]
    # A limit that is lowered is kept before long, whether or not anybody writes.
    ask NAMESPACE small MAXMEMORY 100kb
    ask SELECT 0
    eventually {[about memory_bytes small] <= 100 * 1024}
    expect :100 [ask DBSIZE]
    # Large values weigh, too.
    ask NAMESPACE small
    ask FLUSHDB
    for {set n 0} {$n < 3000} {incr n} {
        ask RPUSH list:[expr {$n % 3}] [string repeat x 100]
        ask HSET hash:[expr {$n % 3}] field:$n [string repeat x 100]
        ask ZADD zset:[expr {$n % 3}] $n member:$n
    }
    eventually {[about memory_bytes small] <= 130 * 1024}
    tidy
}

check "where nothing may be removed a full namespace takes no more" -only cachestorm -config {maxmemory-policy noeviction} {
    ask NAMESPACE small MAXMEMORY 60kb
    for {set n 0} {$n < 100 && [lindex [set reply [ask SET key:$n [string repeat x 1000]]] 0] ne "-"} {incr n} {}
    expect "-OOM command not allowed when the namespace takes more memory than it may" $reply
    expect [list :[expr {$n}]] [ask DBSIZE]
    expect :1 [ask DEL key:0]
    ask SELECT 0
    expect +OK [ask SET k v]
    tidy
}

# Persistence

proc launch_in {dir args} {
    set port [server::free_port]
    run::disconnect
    set run::server [server::launch $port $dir [list {*}[server::flags $port $dir] {*}$args]]
}

proc relaunch_in {dir args} {
    server::stop $run::server
    launch_in $dir {*}$args
}

proc fill_three {} {
    ask SET k default
    ask NAMESPACE sessions TTL 500000 MAXMEMORY 5mb CREATED 1700000000000
    ask SET k sessions
    ask SET lasting v
    ask PERSIST lasting
    ask NAMESPACE gone
    ask SET k gone
    ask NAMESPACE pages
    ask SET k pages
    ask NAMESPACEDEL gone
    ask NAMESPACE db4 TTL 7000
    ask SET k four PX 1000000
    ask SELECT 0
}

proc all_three_are_there {} {
    expect {["db4" "default" "pages" "sessions"]} [ask NAMESPACES]
    expect {{"name" "sessions" "keys" :2 "expires" :1 "memory_bytes" any "tags" :0 "default_ttl_ms" :500000 "max_memory_bytes" :5242880 "hits" any "misses" any "created_at" :1700000000 ...}} [ask NAMESPACEINFO sessions]
    same 7000 [about default_ttl_ms db4]
    expect {"default"} [ask GET k]
    ask NAMESPACE sessions
    expect {"sessions"} [ask GET k]
    expect :1..500000 [ask PTTL k]
    expect :-1 [ask PTTL lasting]
    ask NAMESPACE pages
    expect {"pages"} [ask GET k]
    ask SELECT 4
    expect {"four"} [ask GET k]
    expect :900000..1000000 [ask PTTL k]
    ask SELECT 0
}

check "snapshots keep namespaces" -only cachestorm -server {} {
    set dir [server::new_dir]
    launch_in $dir
    fill_three
    set digest [ask DEBUG DIGEST]
    expect +OK [ask DEBUG RELOAD]
    same $digest [ask DEBUG DIGEST]
    all_three_are_there
    expect +OK [ask SAVE]
    relaunch_in $dir
    all_three_are_there
    # Slots may be others: what counts are names. Settings come before what was written down.
    relaunch_in $dir --databases 20 --namespace "first 0 0" --namespace "sessions 500s 5mb"
    ask NAMESPACEDEL first
    same $digest [ask DEBUG DIGEST]
    all_three_are_there
    relaunch_in $dir --namespace "sessions 1s 0"
    same 1000 [about default_ttl_ms sessions]
}

foreach preamble {yes no} {
    check "the append-only file keeps namespaces (preamble $preamble)" -only cachestorm -server {} [string map [list PREAMBLE $preamble] {
        set dir [server::new_dir]
        set flags {--appendonly yes --aof-use-rdb-preamble PREAMBLE}
        launch_in $dir {*}$flags
        fill_three
        set digest [ask DEBUG DIGEST]
        relaunch_in $dir {*}$flags
        same $digest [ask DEBUG DIGEST]
        all_three_are_there
        expect +OK [ask DEBUG LOADAOF]
        same $digest [ask DEBUG DIGEST]
        ask BGREWRITEAOF
        eventually {[regexp {aof_rewrite_in_progress:0} [lindex [ask INFO persistence] 1]]}
        ask NAMESPACE pages
        ask SET more v
        ask SELECT 0
        set digest [ask DEBUG DIGEST]
        relaunch_in $dir {*}$flags
        same $digest [ask DEBUG DIGEST]
        all_three_are_there
        ask NAMESPACEDEL pages
        relaunch_in $dir {*}$flags
        expect {["db4" "default" "sessions"]} [ask NAMESPACES]
    }]
}

check "many namespaces come and go" -only cachestorm {
    for {set n 0} {$n < 300} {incr n} {
        ask NAMESPACE many:$n
        ask SET k $n
        ask SET passing v PX 1
    }
    same 301 [llength [lindex [ask NAMESPACES] 1]]
    for {set n 0} {$n < 300} {incr n 2} {
        ask NAMESPACEDEL many:$n
    }
    for {set n 1} {$n < 300} {incr n 2} {
        ask NAMESPACE many:$n
        expect "\"$n\"" [ask GET k]
        eventually {[lindex [ask DBSIZE] 1] == 1}
    }
    ask NAMESPACE fresh
    expect :0 [ask DBSIZE]
    expect +OK [ask FLUSHALL]
    ask NAMESPACE many:1
    expect :0 [ask DBSIZE]
    tidy
}
