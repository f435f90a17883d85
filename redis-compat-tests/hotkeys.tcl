# HOTKEYS: which keys are accessed most. A client that sends one command at a time has each of them counted. Counts outlive a
# case, so that each has keys of its own.

# The keys told, without their accesses.
proc hot {args} {
    return [lmap pair [lindex [ask HOTKEYS {*}$args] 1] {lindex $pair 1 0 1}]
}

# The accesses a minute of a key, 0 if it is not told.
proc accesses {key} {
    foreach pair [lindex [ask HOTKEYS 100] 1] {
        if {[lindex $pair 1 0 1] eq $key} {
            return [lindex $pair 1 1 1]
        }
    }
    return 0
}

proc times {count code} {
    for {set n 0} {$n < $count} {incr n} {
        uplevel #0 $code
    }
}

# Counts fade by a sixtieth each second. Behind a turn of the loop with many commands, one may stand for sixteen.
proc about {expected got {off 1}} {
    same 1 [expr {$got <= $expected + $off && $got >= $expected * 0.8 - $off}] "$got for $expected"
}

case "pairs of a key and a number" -only cachestorm {
    HOTKEYS                   -> []
    SET pair v                -> +OK
    GET pair                  -> "v"
    GET pair                  -> "v"
    HOTKEYS                   -> [["pair" :2..3]]
    HOTKEYS 1                 -> [["pair" :2..3]]
}

check "reads and writes of every type count, the hottest first" -only cachestorm {
    ask CONFIG RESETSTAT
    times 60 {ask INCR counter}
    times 50 {ask SISMEMBER members x}
    ask SADD members x
    times 40 {ask LPUSH list x}
    times 30 {ask HGET hash field}
    ask HSET hash field v
    times 20 {ask MGET counter list strings}
    ask SET strings v
    same {counter list members hash strings} [hot]
    about 80 [accesses counter]
    about 60 [accesses list]
    about 51 [accesses members]
    about 31 [accesses hash]
    about 21 [accesses strings]
}

check "asking about a key is no access" -only cachestorm -needs {debug} {
    ask SET asked v
    about 1 [accesses asked]
    times 20 {
        ask EXISTS asked
        ask TTL asked
        ask TYPE asked
        ask OBJECT ENCODING asked
        ask MEMORY USAGE asked
        ask DEBUG OBJECT asked
        ask SCAN 0
    }
    ask CLIENT NO-TOUCH ON
    times 20 {ask GET asked}
    same 1 [expr {[accesses asked] <= 1}]
}

check "how many are told" -only cachestorm {
    for {set n 0} {$n < 120} {incr n} {
        ask SET many:$n v
        times 2 "ask GET many:$n"
    }
    same 10 [llength [hot]]
    same 3 [llength [hot 3]]
    same 100 [llength [hot 100]]
    same 100 [llength [hot 1000000]]
}

check "only keys that exist are told" -only cachestorm {
    ask SET gone v
    ask SET stays v
    times 20 {ask GET gone}
    times 10 {ask GET stays}
    times 30 {ask GET never}
    same {gone stays} [hot]
    ask DEL gone
    same stays [hot]
    # A key of that name goes on where the last one was.
    ask SET gone v
    same {gone stays} [hot]
    ask RENAME stays renamed
    same {gone renamed} [hot]
    about 1 [accesses renamed]
    ask PEXPIRE gone 1
    after 5
    same renamed [hot]
    ask FLUSHDB
    same {} [hot]
}

check "each database has its own, and SWAPDB takes them along" -only cachestorm {
    times 5 {ask SET mine v}
    ask SELECT 1
    times 10 {ask SET theirs v}
    times 3 {ask SET mine v}
    same {theirs mine} [hot]
    ask SWAPDB 0 1
    same mine [hot]
    ask SELECT 0
    same {theirs mine} [hot]
    about 3 [accesses mine]
    ask SWAPDB 0 1
    same mine [hot]
    about 5 [accesses mine]
}

check "commands in a transaction count" -only cachestorm {
    ask MULTI
    times 20 {ask INCR queued}
    expect +QUEUED [ask GET queued]
    ask EXEC
    about 21 [accesses queued] 32
}

check "commands of scripts count, and the script does not" -only cachestorm -needs {eval} {
    ask EVAL {for i = 1, 200 do redis.call("INCR", KEYS[1]) end} 1 scripted
    about 200 [accesses scripted] 32
    times 50 {ask EVAL {return 1} 1 scripted}
    about 200 [accesses scripted] 32
}

check "without statistics nothing is counted" -only cachestorm -config {stats-enabled no} {
    times 10 {ask SET uncounted v}
    expect {-ERR hot keys are not counted while stats-enabled is no} [ask HOTKEYS]
    ask CONFIG SET stats-enabled yes
    same 1 [expr {"uncounted" ni [hot 100]}]
    ask SET uncounted v
    same uncounted [hot]
    ask CONFIG SET stats-enabled no
}

case "arguments" -only cachestorm {
    HOTKEYS 0                 -> -ERR value is out of range, must be positive
    HOTKEYS -1                -> -ERR value is out of range, must be positive
    HOTKEYS x                 -> -ERR value is not an integer or out of range
    HOTKEYS 1 2               -> -ERR syntax error
}

case "what clients can know of it" -only cachestorm {
    COMMAND INFO hotkeys      -> [["hotkeys" :-1 ~[+readonly] :0 :0 :0 ~[+"@keyspace" +"@read" +"@slow" +"@dangerous"] any any any]]
    COMMAND DOCS hotkeys      -> {"hotkeys" any}
    ACL SETUSER asker on nopass +hotkeys -> +OK
    AUTH asker x              -> +OK
    HOTKEYS                   -> []
    GET k                     -> -NOPERM User asker has no permissions to run the 'get' command
    AUTH default ""           -> +OK
    ACL DELUSER asker         -> :1
}

check "of a long pipeline some commands are drawn, and stand for the others" -only cachestorm {
    resp::raw [run::connection B] [string repeat "INCR piped\r\n" 20000]
    times 20000 {resp::read [run::connection B]}
    about 20000 [accesses piped] 4000
}
