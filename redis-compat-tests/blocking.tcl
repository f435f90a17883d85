# Commands that wait for a key: BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH, BZPOPMIN, BZPOPMAX, BZMPOP, and what ends a
# wait.

# A field of INFO.
proc info_field {name} {
    regexp "(?n)^$name:(.*?)\r?$" [lindex [ask INFO clients] 1] all value
    return $value
}

# Waits until so many clients are blocked.
proc blocked_clients {count} {
    set ::blocked_wanted $count
    eventually {[info_field blocked_clients] == $::blocked_wanted}
}

# A command on a connection of its own, which waits when this returns.
proc wait_in {name args} {
    set before [info_field blocked_clients]
    resp::send [run::connection $name] $args
    blocked_clients [expr {$before + 1}]
}

# Expects the next reply on a connection.
proc then {name notation} {
    expect $notation [resp::read [run::connection $name]] $name
}

proc client_id {name} {
    resp::send [run::connection $name] {CLIENT ID}
    return [lindex [resp::read [run::connection $name]] 1]
}

# --- at once -----------------------------------------------------------------------

case "elements that are there are taken at once" {
    RPUSH b 1 2 3 4 5 6       -> :6
    RPUSH c x                 -> :1
    BLPOP a b c 0             -> ["b" "1"]
    BRPOP a b c 0             -> ["b" "6"]
    BLMPOP 0 2 a b RIGHT COUNT 2 -> ["b" ["5" "4"]]
    BLMPOP 0 2 a b LEFT       -> ["b" ["2"]]
    BLMOVE b d LEFT RIGHT 0   -> "3"
    BRPOPLPUSH c d 0          -> "x"
    LRANGE d 0 -1             -> ["x" "3"]
    EXISTS b c                -> :0
}

case "wrong types and arguments" {
    SET s x                   -> +OK
    BLPOP a s 1               -> -WRONGTYPE Operation against a key holding the wrong kind of value
    BLMPOP 1 2 a s LEFT       -> -WRONGTYPE Operation against a key holding the wrong kind of value
    BLMOVE s a LEFT LEFT 1    -> -WRONGTYPE Operation against a key holding the wrong kind of value
    BRPOPLPUSH s a 1          -> -WRONGTYPE Operation against a key holding the wrong kind of value
    BLPOP a x                 -> -ERR timeout is not a float or out of range
    BLPOP a nan               -> -ERR timeout is not a float or out of range
    BLPOP a -1                -> -ERR timeout is negative
    BLPOP a -0.1              -> -ERR timeout is negative
    BLPOP a inf               -> -ERR timeout is out of range
    BLPOP a 1e400             -> -ERR timeout is out of range
    BLPOP a -1e400            -> -ERR timeout is negative
    BLPOP a 9223372036854775807 -> -ERR timeout is out of range
    BLPOP a 0x7FFFFFFFFFFFFF  -> -ERR timeout is out of range
    BLMOVE a b LEFT UP 1      -> -ERR syntax error
    BLMOVE a b LEFT LEFT x    -> -ERR timeout is not a float or out of range
    BRPOPLPUSH a b -1         -> -ERR timeout is negative
    BLMPOP 1 0 a LEFT         -> -ERR numkeys should be greater than 0
    BLMPOP 1 1 a UP           -> -ERR syntax error
    BLMPOP 1 1 a LEFT COUNT 0 -> -ERR count should be greater than 0
    BLMPOP 1 1 a LEFT COUNT 1 COUNT 1 -> -ERR syntax error
    BLMPOP x 1 a LEFT         -> -ERR timeout is not a float or out of range
    BLMPOP x 1 a UP           -> -ERR syntax error
    BLPOP a                   -> -ERR wrong number of arguments for 'blpop' command
}

case "in a transaction nobody waits" -needs {multi} {
    MULTI                     -> +OK
    BLPOP a 0                 -> +QUEUED
    BLMPOP 0 1 a LEFT         -> +QUEUED
    BLMOVE a b LEFT LEFT 0    -> +QUEUED
    BRPOPLPUSH a b 0          -> +QUEUED
    RPUSH a x                 -> +QUEUED
    BLPOP a 0                 -> +QUEUED
    [3] EXEC                  -> [nil nil nil nil :1 ["a" "x"]]
    [2] EXEC                  -> [nil* nil* nil nil :1 ["a" "x"]]
}

# --- being served ------------------------------------------------------------------

check "a push serves who waits, and the reply to the push tells the length before" {
    foreach {command reply left} {
        {BLPOP k 0}             {["k" "a"]}           {["b" "c"]}
        {BRPOP x k 0}           {["k" "c"]}           {["a" "b"]}
        {BLMPOP 0 1 k LEFT COUNT 2} {["k" ["a" "b"]]} {["c"]}
        {BLMOVE k d LEFT LEFT 0} {"a"}                {["b" "c"]}
        {BRPOPLPUSH k d 0}      {"c"}                 {["a" "b"]}
    } {
        ask DEL k
        wait_in B {*}$command
        expect :3 [ask RPUSH k a b c] $command
        then B $reply
        expect $left [ask LRANGE k 0 -1] $command
        blocked_clients 0
    }
}

check "first come, first served" {
    wait_in B BLPOP k 0
    wait_in C BRPOP j k 0
    wait_in D BLPOP k 0
    expect :2 [ask RPUSH k 1 2]
    then B {["k" "1"]}
    then C {["k" "2"]}
    blocked_clients 1
    expect :1 [ask RPUSH k 3]
    then D {["k" "3"]}
}

check "a key named twice is waited for once" {
    wait_in B BLPOP k k 0
    same 1 [info_field total_blocking_keys]
    wait_in C BLPOP k 0
    expect :2 [ask RPUSH k 1 2]
    then B {["k" "1"]}
    then C {["k" "2"]}
    same 0 [info_field total_blocking_keys]
}

check "the first of a command's keys that exists" -needs {multi} {
    wait_in B BLPOP a b 0
    ask MULTI
    ask RPUSH b 2
    ask RPUSH a 1
    ask EXEC
    then B {["a" "1"]}
    expect {["2"]} [ask LRANGE b 0 -1]
}

check "a transaction serves when it is over" -needs {multi} {
    wait_in B BLPOP k 0
    ask MULTI
    ask RPUSH k a
    ask DEL k
    ask EXEC
    ask MULTI
    ask RPUSH k a
    ask SET k x
    ask EXEC
    ask DEL k
    same 1 [info_field blocked_clients]
    ask MULTI
    ask RPUSH k a
    ask LPUSH k b
    expect {[:1 :2]} [ask EXEC]
    then B {["k" "b"]}
}

check "keys that come from elsewhere: RENAME, COPY, MOVE, LMOVE, SWAPDB" {
    foreach {before command after} {
        {RPUSH j a}  {RENAME j k}   {}
        {RPUSH j a}  {RENAMENX j k} {}
        {RPUSH j a}  {COPY j k}     {DEL j}
        {RPUSH j a}  {LMOVE j k LEFT LEFT} {}
        {RPUSH j a}  {RPOPLPUSH j k} {}
    } {
        ask {*}$before
        wait_in B BLPOP k 0
        ask {*}$command
        then B {["k" "a"]}
        ask {*}$after k
    }
    ask SELECT 9
    ask RPUSH k a
    wait_in C BLPOP k 0
    ask MOVE k 0
    then C {["k" "a"]}
    ask RPUSH k b
    wait_in C BLPOP k 0
    ask SWAPDB 0 9
    then C {["k" "b"]}
    expect :0 [ask EXISTS k]
    ask SELECT 0
}

check "who waits in another database, or for a list, is not served" {
    wait_in B BLPOP k 0
    ask SELECT 9
    ask RPUSH k a
    ask DEL k
    ask SELECT 0
    ask SET k a
    ask DEL k
    ask SADD k a
    ask DEL k
    same 1 [info_field blocked_clients]
    ask RPUSH k b
    then B {["k" "b"]}
}

check "a chain of moves" {
    wait_in B BLMOVE a b LEFT LEFT 0
    wait_in C BLMOVE b c RIGHT RIGHT 0
    wait_in D BLPOP c 0
    expect :1 [ask RPUSH a x]
    then B {"x"}
    then C {"x"}
    then D {["c" "x"]}
    expect :0 [ask EXISTS a b c]
}

check "a move in a circle ends" {
    wait_in B BLMOVE a b LEFT LEFT 0
    wait_in C BLMOVE b a LEFT LEFT 0
    expect :1 [ask RPUSH a x]
    then B {"x"}
    then C {"x"}
    expect {["x"]} [ask LRANGE a 0 -1]
    wait_in B BLMOVE b b LEFT LEFT 0
    ask RPUSH b y
    then B {"y"}
    expect {["y"]} [ask LRANGE b 0 -1]
}

check "a destination of another type is told when there is something to move" {
    ask SET s x
    wait_in B BLMOVE k s LEFT LEFT 0
    wait_in C BLPOP k 0
    expect :1 [ask RPUSH k a]
    then B {-WRONGTYPE Operation against a key holding the wrong kind of value}
    then C {["k" "a"]}
    expect {"x"} [ask GET s]
}

check "BRPOPLPUSH onto itself, and what it keeps others from" {
    wait_in B BRPOPLPUSH k k 0
    wait_in C BLPOP k 0
    ask RPUSH k a
    then B {"a"}
    then C {["k" "a"]}
}

check "what comes behind a waiting command waits, too" {
    set c [run::connection B]
    resp::send $c {BLPOP k 0}
    resp::send $c {RPUSH log x}
    resp::send $c {BLPOP j 0}
    resp::send $c {PING}
    resp::raw $c "ECHO he"
    blocked_clients 1
    expect :0 [ask EXISTS log]
    ask RPUSH k a
    then B {["k" "a"]}
    then B :1
    blocked_clients 1
    resp::raw $c "llo\r\n"
    ask RPUSH j b
    then B {["j" "b"]}
    then B +PONG
    then B {"hello"}
}

check "a malformed request behind a waiting command is told in its turn" {
    set c [run::connection B]
    resp::raw $c "*3\r\n\$5\r\nBLPOP\r\n\$1\r\nk\r\n\$1\r\n0\r\nPING\r\n*1\r\nx\r\n"
    blocked_clients 1
    ask RPUSH k a
    then B {["k" "a"]}
    then B +PONG
    then B {-ERR Protocol error: expected '$', got 'x'}
    then B closed
}

check "large elements and many keys" {
    set big [string repeat x 100000]
    set keys {}
    for {set n 1} {$n <= 500} {incr n} {
        lappend keys k$n
    }
    wait_in B BLPOP {*}$keys 0
    same 500 [info_field total_blocking_keys]
    ask RPUSH k250 $big
    then B [format {["k250" "%s"]} $big]
    same 0 [info_field total_blocking_keys]
}

# --- sorted sets -------------------------------------------------------------------------

case "members that are there are taken at once" {
    ZADD z 1 a 2 b 3 c 4 d 5.5 e -> :5
    BZPOPMIN x z 0            -> ["z" "a" ,1]
    BZPOPMAX z 0              -> ["z" "e" ,5.5]
    BZMPOP 0 2 x z MIN COUNT 2 -> ["z" [["b" ,2] ["c" ,3]]]
    BZMPOP 0 1 z MAX          -> ["z" [["d" ,4]]]
    BZPOPMIN z 0.01           -> nil*
    BZPOPMAX z 0.01           -> nil*
    BZMPOP 0.01 1 z MIN       -> nil*
    SET s x                   -> +OK
    BZPOPMIN s 0              -> -WRONGTYPE Operation against a key holding the wrong kind of value
    BZPOPMIN z x              -> -ERR timeout is not a float or out of range
    BZPOPMAX z -1             -> -ERR timeout is negative
    BZMPOP 1 0 z MIN          -> -ERR numkeys should be greater than 0
    BZMPOP 1 1 z LEFT         -> -ERR syntax error
    BZMPOP -1 1 z MIN         -> -ERR timeout is negative
}

check "ZADD and ZUNIONSTORE serve who waits, each type its own" {
    wait_in B BZPOPMIN k 0
    wait_in C BLPOP k 0
    wait_in D BZMPOP 0 1 k MAX COUNT 5
    ask RPUSH k x
    then C {["k" "x"]}
    expect :2 [ask ZADD k 2 b 1 a]
    then B {["k" "a" ,1]}
    then D {["k" [["b" ,2]]]}
    ask ZADD j 1 a
    wait_in B BZPOPMAX k 0
    ask ZUNIONSTORE k 1 j
    then B {["k" "a" ,1]}
    expect :0 [ask EXISTS k]
}

check "a value in the place of another wakes nobody, a key in its place does" {
    ask RPUSH l a
    ask ZADD z 1 a
    ask GEOADD g 1 1 a
    wait_in B BLPOP k 0
    wait_in C BZPOPMIN k 0
    foreach {before commands} {
        {SET k x}      {{SORT l ALPHA STORE k} {ZUNIONSTORE k 1 z} {ZRANGESTORE k z 0 -1}
                        {GEOSEARCHSTORE k g FROMMEMBER a BYRADIUS 1 km} {GEORADIUS g 1 1 9 km STORE k}}
        {HSET k f v}   {{SORT l ALPHA STORE k} {ZUNIONSTORE k 1 z}}
        {SADD k x}     {{SORT l ALPHA STORE k} {ZINTERSTORE k 1 z}}
        {XADD k 1 f v} {{SORT l ALPHA STORE k} {ZDIFFSTORE k 1 z}}
    } {
        foreach command $commands {
            ask {*}$before
            expect :1 [ask {*}$command] $command
            same 2 [info_field blocked_clients] "$before; $command"
            # At once, so that nobody sees it gone.
            expect {[:1 +OK]} [ask EVAL {return {redis.call('DEL', KEYS[1]), redis.status_reply('OK')}} 1 k]
        }
    }
    ask SET k x
    expect +OK [ask RENAME l k]
    then B {["k" "a"]}
    ask SET k x
    expect :1 [ask COPY z k REPLACE]
    then C {["k" "a" ,1]}
}

# --- ends without an element -----------------------------------------------------------

check "a timeout" {
    foreach {command} {{BLPOP a b 0.05} {BRPOP a 0.05} {BLMPOP 0.05 1 a LEFT} {BLMOVE a b LEFT LEFT 0.05}
                       {BRPOPLPUSH a b 0.05}} {
        set started [clock milliseconds]
        expect nil* [ask {*}$command] $command
        set took [expr {[clock milliseconds] - $started}]
        same 1 [expr {$took >= 50}] "$command took $took ms"
    }
    expect nil* [ask BLPOP a 0.0000001]
    same 0 [info_field clients_in_timeout_table]
    wait_in B BLPOP a 100
    wait_in C BLPOP a 0
    same 1 [info_field clients_in_timeout_table]
}

check "an earlier deadline is kept after a wait in vain" {
    set started [clock milliseconds]
    resp::send [run::connection C] {BLMOVE k k2 LEFT LEFT 0}
    resp::send [run::connection B] {BLPOP k 0.5}
    blocked_clients 2
    ask RPUSH k a
    then C {"a"}
    then B nil*
    same 1 [expr {[clock milliseconds] - $started >= 500}]
}

check "CLIENT UNBLOCK" {
    set id [client_id B]
    expect :0 [ask CLIENT UNBLOCK $id]
    expect :0 [ask CLIENT UNBLOCK 999999]
    foreach {reason reply} {{} nil* TIMEOUT nil* ERROR {-UNBLOCKED client unblocked via CLIENT UNBLOCK}} {
        wait_in B BLPOP k 0
        expect :1 [ask CLIENT UNBLOCK $id {*}$reason]
        expect :0 [ask CLIENT UNBLOCK $id]
        then B $reply
    }
    ask RPUSH k a
    resp::send [run::connection B] {PING}
    then B +PONG
    expect {["a"]} [ask LRANGE k 0 -1]
    expect {-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR} [ask CLIENT UNBLOCK $id LATER]
    expect {-ERR value is not an integer or out of range} [ask CLIENT UNBLOCK x]
}

check "CLIENT KILL, and a client that leaves" {
    set id [client_id B]
    wait_in B BLPOP k 0
    wait_in C BLPOP k 0
    wait_in D BLPOP k 0
    expect :1 [ask CLIENT KILL ID $id]
    then B closed
    blocked_clients 2
    resp::close [run::connection C]
    dict unset run::connections C
    blocked_clients 1
    ask RPUSH k a b
    then D {["k" "a"]}
    expect {["b"]} [ask LRANGE k 0 -1]
}

check "a client that waits is told so" {
    set id [client_id B]
    wait_in B BLPOP k 5
    set line [lindex [ask CLIENT LIST ID $id] 1]
    same 1 [regexp { flags=b .* cmd=blpop } $line] $line
    ask RPUSH k a
    then B {["k" "a"]}
    set line [lindex [ask CLIENT LIST ID $id] 1]
    same 1 [regexp { flags=N } $line] $line
}

check "CLIENT REPLY SKIP leaves out the reply of a command that waits" {
    set c [run::connection B]
    resp::send $c {CLIENT REPLY SKIP}
    wait_in B BLPOP k 0
    ask RPUSH k a
    blocked_clients 0
    resp::send $c {PING}
    then B +PONG
}

check "a wait counts once, when it is over, and MONITOR shows it once, when it begins" {
    ask CONFIG RESETSTAT
    resp::send [run::connection M] MONITOR
    then M +OK
    wait_in B BLPOP k 0
    set stats [lindex [ask INFO commandstats] 1]
    same 0 [regexp {cmdstat_blpop:} $stats]
    ask RPUSH k a
    then B {["k" "a"]}
    regexp {cmdstat_blpop:calls=(\d+)} [lindex [ask INFO commandstats] 1] all calls
    same 1 $calls
    set id [client_id B]
    wait_in B BLPOP k 0
    ask CLIENT UNBLOCK $id ERROR
    set stats [lindex [ask INFO commandstats] 1]
    same 1 [regexp {cmdstat_blpop:calls=2,.*,failed_calls=1} $stats] $stats
    # The error counts for the command that caused it, too.
    same 1 [regexp {(?n)cmdstat_client\|unblock:calls=1,.*,failed_calls=1} $stats] $stats
    ask ECHO end
    set shown {}
    while {![string match *ECHO* [set line [lindex [resp::read [run::connection M]] 1]]]} {
        lappend shown $line
    }
    same 2 [llength [lsearch -all $shown *BLPOP*]] $shown
}

check "a pause does not hold up a timeout" {
    wait_in B BLPOP k 0.5
    ask CLIENT PAUSE 100000 WRITE
    then B nil*
    ask CLIENT UNPAUSE
}

check "who waits for a stream is not served again for a time to live" -config {notify-keyspace-events KEAm} {
    set c [run::connection B]
    resp::send $c {XREAD BLOCK 0 STREAMS missing s 0 0}
    ask XGROUP CREATE s g $ MKSTREAM
    set events [run::connection EVENTS]
    resp::send $events {PSUBSCRIBE __keyevent@*}
    resp::read $events
    blocked_clients 1
    ask EXPIRE s 1000
    ask PERSIST s
    ask SET the-end x
    set got {}
    while {[lindex [lindex [lindex [resp::read $events] 1] 3] 1] ne "the-end"} {
        lappend got one
    }
    # expire and persist, and no keymiss of the other stream.
    same 2 [llength $got]
    ask XADD s 1-1 a b
    resp::read $c
}
