# Keyspace notifications: which commands make which events, and which settings let them through.

# Runs commands and expects the events that they make, each as `event key` (or `event key db`), in this order. A last
# event of our own says that there are no more.
proc events {commands expected} {
    set c [run::connection EVENTS]
    resp::send $c {PSUBSCRIBE __keyevent@*}
    resp::read $c
    foreach command $commands {
        ask {*}$command
    }
    ask SELECT 0
    ask SET the-end x
    set got {}
    while 1 {
        lassign [lindex [resp::read $c] 1] type pattern channel key
        regexp {^__keyevent@(\d+)__:(.*)$} [lindex $channel 1] all db event
        set key [lindex $key 1]
        if {$event eq "set" && $key eq "the-end"} {
            break
        }
        if {$key eq "the-end"} {
            continue
        }
        lappend got [expr {$db == 0 ? [list $event $key] : [list $event $key $db]}]
    }
    resp::send $c PUNSUBSCRIBE
    resp::read $c
    same [list {*}$expected] $got $commands
    ask FLUSHALL
}

check "strings" -config {notify-keyspace-events AE} {
    events {{SET k v}} {{set k}}
    events {{SET k v EX 100} {GETEX k PERSIST} {GETEX k EX 10} {GETEX k}} {{set k} {expire k} {persist k} {expire k}}
    events {{SETEX k 100 v} {PSETEX k 1000 v} {SETNX k v} {SETNX n v}} {{set k} {expire k} {set k} {expire k} {set n}}
    events {{SET k v NX} {SET k w NX} {SET k v XX KEEPTTL} {SET m v XX}} {{set k} {set k}}
    events {{MSET a 1 b 2} {MSETNX c 3 d 4} {MSETNX d 5 e 6}} {{set a} {set b} {set c} {set d}}
    events {{SET n 1} {INCR n} {DECRBY n 2} {INCRBYFLOAT n 1.5} {INCRBY n x}} {
        {set n} {incrby n} {incrby n} {incrbyfloat n}
    }
    events {{APPEND k a} {APPEND k b} {SETRANGE k 0 x} {SETRANGE nokey 0 ""} {SETBIT k 0 1} {SETBIT k 0 1}} {
        {append k} {append k} {setrange k} {setbit k}
    }
    events {{SET k v} {GETSET k w} {GETDEL k} {GETDEL k}} {{set k} {set k} {del k}}
    events {{SET a x} {BITOP NOT b a} {BITOP AND b nokey} {BITFIELD a SET u8 0 1 INCRBY u8 0 1} {BITFIELD a GET u8 0}} {
        {set a} {set b} {del b} {setbit a}
    }
    events {{SET k v PX 1000} {GETEX k EXAT 1}} {{set k} {expire k} {del k}}
}

check "HyperLogLogs" -config {notify-keyspace-events AE} {
    events {{PFADD k a} {PFADD k a} {PFCOUNT k} {PFDEBUG TODENSE k} {PFMERGE d k nokey} {PFMERGE d} {PFADD e}} {
        {pfadd k} {pfadd d} {pfadd d} {pfadd e}
    }
}

check "keys of any type" -config {notify-keyspace-events AE} {
    events {{MSET a 1 b 2} {DEL a nokey b} {SET a 1} {UNLINK a}} {{set a} {set b} {del a} {del b} {set a} {del a}}
    events {{SET a 1} {RENAME a b} {RENAMENX b c} {COPY c d} {COPY c d} {COPY c d REPLACE}} {
        {set a} {rename_from a} {rename_to b} {rename_from b} {rename_to c} {copy_to d} {copy_to d}
    }
    events {{SET a 1} {MOVE a 9} {SELECT 9} {COPY a b DB 0}} {
        {set a} {move_from a} {move_to a 9} {copy_to b}
    }
    events {{SET k v} {EXPIRE k 100} {PERSIST k} {PERSIST k} {PEXPIREAT k 99999999999999} {EXPIRE k 50 GT} {EXPIRE k -1}} {
        {set k} {expire k} {persist k} {expire k} {del k}
    }
    events {{EXPIRE nokey 1} {TOUCH nokey} {PERSIST nokey}} {}
}

check "lists" -config {notify-keyspace-events AE} {
    events {{RPUSH l a b c} {LPUSH l d} {LPUSHX l e} {RPUSHX nolist e} {LINSERT l BEFORE a x} {LINSERT l BEFORE no x}} {
        {rpush l} {lpush l} {lpush l} {linsert l}
    }
    events {{RPUSH l a b c d} {LSET l 0 x} {LREM l 1 b} {LREM l 1 nosuch} {LTRIM l 0 1} {LPOP l} {RPOP l}} {
        {rpush l} {lset l} {lrem l} {ltrim l} {lpop l} {rpop l} {del l}
    }
    events {{RPUSH l a} {LMOVE l m LEFT RIGHT} {RPOPLPUSH m l}} {
        {rpush l} {rpush m} {lpop l} {del l} {lpush l} {rpop m} {del m}
    }
    events {{RPUSH l a b} {LMOVE l l LEFT RIGHT} {LMOVE l l LEFT LEFT} {LMPOP 2 m l LEFT COUNT 5} {BLPOP l 0.01}} {
        {rpush l} {rpush l} {lpop l} {lpush l} {lpop l} {lpop l} {del l}
    }
    events {{RPUSH l a b c} {LTRIM l 5 9} {RPUSH l a} {LREM l 0 a}} {
        {rpush l} {ltrim l} {del l} {rpush l} {lrem l} {del l}
    }
    events {{RPUSH l a b} {LTRIM l 0 -1} {LTRIM nolist 0 -1}} {{rpush l} {ltrim l}}
    events {{RPUSH l 2 1} {SORT l} {SORT l STORE d} {SORT nokey STORE d}} {{rpush l} {sortstore d} {del d}}
}

check "sets" -config {notify-keyspace-events AE} {
    events {{SADD s a b} {SADD s a} {SREM s a} {SREM s nosuch} {SREM s b}} {{sadd s} {srem s} {srem s} {del s}}
    events {{SADD s a b c d} {SPOP s} {SPOP s 2} {SPOP s 5}} {{sadd s} {spop s} {spop s} {spop s} {del s}}
    events {{SADD s a} {SMOVE s t a} {SMOVE t s nosuch} {SMOVE t t a}} {{sadd s} {srem s} {del s} {sadd t}}
    events {{SADD s a} {SADD t a b} {SINTERSTORE x s t} {SUNIONSTORE x s t} {SDIFFSTORE x s t} {SINTERSTORE x s nokey}} {
        {sadd s} {sadd t} {sinterstore x} {sunionstore x} {del x}
    }
}

check "hashes" -config {notify-keyspace-events AE} {
    events {{HSET h a 1 b 2} {HSETNX h a 1} {HSETNX h c 3} {HINCRBY h a 1} {HINCRBYFLOAT h a 1.5} {HMSET h x y}} {
        {hset h} {hset h} {hincrby h} {hincrbyfloat h} {hset h}
    }
    events {{HSET h a 1 b 2} {HDEL h nosuch} {HDEL h a b}} {{hset h} {hdel h} {del h}}
}

check "fields that expire" -config {notify-keyspace-events AE} -needs {debug} {
    ask DEBUG SET-ACTIVE-EXPIRE 0
    # Makes a hash of so many fields, of which a and b have expired.
    proc half_gone {fields} {
        ask DEL h
        foreach field $fields {
            ask HSET h $field 1
        }
        ask HPEXPIRE h 1 FIELDS 2 a b
        after 3
    }
    foreach entries {128 0} {
        ask CONFIG SET hash-max-listpack-entries $entries
        foreach {command some all} {
            {HGET h a}             {{hexpired h}}           {{hexpired h}}
            {HEXISTS h a}          {{hexpired h}}           {{hexpired h}}
            {HSTRLEN h a}          {{hexpired h}}           {{hexpired h}}
            {HMGET h a b}          {{hexpired h}}           {{hexpired h} {del h}}
            {HMGET h a x}          {{hexpired h}}           {{hexpired h}}
            {HRANDFIELD h}         {{hexpired h}}           {{hexpired h} {del h}}
            {HINCRBY h a 1}        {{hexpired h} {hincrby h}} {{hexpired h} {hincrby h}}
            {HDEL h a b}           {{hdel h}}               {{hdel h} {del h}}
            {HGETALL h}            {}                       {}
        } {
            half_gone {a b c}
            events [list $command] $some
            half_gone {a b}
            events [list $command] $all
        }
    }
    ask DEBUG SET-ACTIVE-EXPIRE 1
}

check "sorted sets" -config {notify-keyspace-events AE} {
    events {
        {GEOADD g 1 1 a} {GEOADD g 1 1 a} {GEOADD g CH 2 2 a} {GEOSEARCHSTORE d g FROMMEMBER a BYRADIUS 1 km}
        {GEORADIUSBYMEMBER g a 1 km STOREDIST d} {GEORADIUS g 1 1 1 m STORE d}
    } {{zadd g} {zadd g} {geosearchstore d} {georadiusstore d} {del d}}
    events {{ZADD z 1 a 2 b} {ZADD z 1 a} {ZADD z INCR 1 a} {ZINCRBY z 1 a} {ZADD z XX CH 9 a} {ZREM z a nosuch}} {
        {zadd z} {zincr z} {zincr z} {zadd z} {zrem z}
    }
    events {{ZADD z 1 a 2 b 3 c 4 d} {ZPOPMIN z} {ZPOPMAX z} {ZMPOP 1 z MIN COUNT 9}} {
        {zadd z} {zpopmin z} {zpopmax z} {zpopmin z} {del z}
    }
    events {{ZADD z 1 a 2 b 3 c} {ZREMRANGEBYRANK z 0 0} {ZREMRANGEBYSCORE z 2 2} {ZREMRANGEBYLEX z - +}} {
        {zadd z} {zremrangebyrank z} {zremrangebyscore z} {zremrangebylex z} {del z}
    }
    events {{ZADD z 1 a} {ZUNIONSTORE x 1 z} {ZINTERSTORE x 1 z} {ZDIFFSTORE x 2 z z} {ZRANGESTORE y z 0 -1}} {
        {zadd z} {zunionstore x} {zinterstore x} {del x} {zrangestore y}
    }
}

check "expiry" -config {notify-keyspace-events AE} {
    events {{SET k v PX 1} {DEBUG SLEEP 0.01} {GET k}} {{set k} {expire k} {expired k}}
    events {{DEBUG SET-ACTIVE-EXPIRE 0} {SET k v PX 1} {DEBUG SLEEP 0.01} {SET k w} {DEBUG SET-ACTIVE-EXPIRE 1}} {
        {set k} {expire k} {expired k} {set k}
    }
}

check "a hash whose fields have all expired was found by who reads it" -config {notify-keyspace-events AEm} {
    ask DEBUG SET-ACTIVE-EXPIRE 0
    foreach command {{HGET h f} {HEXISTS h f} {HSTRLEN h f} {HRANDFIELD h} {HRANDFIELD h 2} {HRANDFIELD h -2 WITHVALUES}} {
        ask HSET h f v
        ask HPEXPIRE h 1 FIELDS 1 f
        after 5
        ask CONFIG RESETSTAT
        events [list $command $command] {{hexpired h} {del h} {keymiss h}}
        regexp {keyspace_hits:(\d+)\s+keyspace_misses:(\d+)} [lindex [ask INFO stats] 1] all hits misses
        same {1 1} [list $hits $misses] $command
    }
    ask DEBUG SET-ACTIVE-EXPIRE 1
}

check "a key whose time is over, in the place of what is stored" -config {notify-keyspace-events AE} {
    ask DEBUG SET-ACTIVE-EXPIRE 0
    ask SET five 5
    set five [lindex [ask DUMP five] 1]
    foreach {command expected} {
        {SINTERSTORE k nokey} {{del k}}        {SDIFFSTORE k nokey s} {{del k}}
        {ZUNIONSTORE k 1 nokey} {{del k}}      {ZRANGESTORE k nokey 0 -1} {{del k}}
        {SORT nokey STORE k} {{del k}}         {GEORADIUS nokey 1 1 1 km STORE k} {{del k}}
        {BITOP AND k nokey} {{del k}}          {RESTORE k 1 FIVE REPLACE ABSTTL} {{del k}}
        {RESTORE k 0 FIVE REPLACE} {{restore k}} {RESTORE k 0 FIVE} {{expired k} {restore k}}
        {SUNIONSTORE k s} {{expired k} {sunionstore k}}
        {SORT s ALPHA STORE k} {{expired k} {sortstore k}}
        {COPY s k REPLACE} {{expired k} {copy_to k}}
        {RENAME s k} {{expired k} {rename_from s} {rename_to k}}
        {DEL k} {{expired k}}                  {SET k v} {{expired k} {set k}}
    } {
        set command [string map [list FIVE [list $five]] $command]
        events [list {SADD s a} {SET k v PX 1} {DEBUG SLEEP 0.004} $command] [concat {{sadd s} {set k} {expire k}} $expected]
    }
    ask DEBUG SET-ACTIVE-EXPIRE 1
}

case "a key that nobody looks at expires with an event" -config {notify-keyspace-events Ex} {
    B: PSUBSCRIBE *            -> any
    A: SET k v PX 20           -> +OK
    B: -> >["pmessage" "*" "__keyevent@0__:expired" "k"]
}

check "a key that makes room for others is evicted with an event" -config {notify-keyspace-events Ee} {
    set c [run::connection EVENTS]
    resp::send $c {PSUBSCRIBE *}
    resp::read $c
    ask SET k [string repeat x 100000]
    ask CONFIG SET maxmemory-policy allkeys-lru
    ask CONFIG SET maxmemory 1
    ask SET n x
    ask CONFIG SET maxmemory 0
    ask CONFIG SET maxmemory-policy noeviction
    expect {>["pmessage" "*" "__keyevent@0__:evicted" "k"]} [resp::read $c]
}

check "new keys and missing ones" -config {notify-keyspace-events AEnm} {
    events {{SET k v} {SET k w} {GET k} {GET nokey} {EXISTS nokey} {TTL nokey} {TYPE nokey} {OBJECT ENCODING nokey}} {
        {new k} {set k} {set k} {keymiss nokey} {keymiss nokey} {keymiss nokey} {keymiss nokey}
    }
    events {{RPUSH l a} {RPUSH l b} {SADD s a} {ZADD z 1 a} {HSET h a b} {INCR n} {APPEND a x} {SETBIT b 1 1}} {
        {new l} {rpush l} {rpush l} {new s} {sadd s} {new z} {zadd z} {new h} {hset h} {new n} {incrby n}
        {new a} {append a} {new b} {setbit b}
    }
    events {{SET a 1} {SET b 1} {RENAME a b} {COPY b c} {COPY b c REPLACE} {MOVE c 9}} {
        {new a} {set a} {new b} {set b} {new b} {rename_from a} {rename_to b} {new c} {copy_to c} {new c} {copy_to c}
        {new c 9} {move_from c} {move_to c 9}
    }
    ask SET k 5
    set five [lindex [ask DUMP k] 1]
    ask FLUSHALL
    events [list {SET k v} [list RESTORE k 0 $five REPLACE]] {{new k} {set k} {new k} {restore k}}
    events {{LPUSHX l a} {DEL nokey} {EXPIRE nokey 1} {MGET a b} {GETDEL c} {HGET h f} {SMISMEMBER s a b}} {
        {keymiss a} {keymiss b} {keymiss c} {keymiss h} {keymiss s}
    }
    events {{XACK x g 1-1} {XCLAIM x g c 0 1-1} {XAUTOCLAIM x g c 0 0}} {{keymiss x} {keymiss x} {keymiss x}}
    # XAUTOCLAIM looks for its key before it judges what else it was told, XCLAIM and XACK behind that.
    events {{XAUTOCLAIM x g c bad 0} {XAUTOCLAIM x g c 0 bad} {XAUTOCLAIM x g c 0 0 COUNT 0} {XAUTOCLAIM x g c 0 0 BAD}} {
        {keymiss x} {keymiss x} {keymiss x} {keymiss x}
    }
    events {{RPUSH l a} {LMOVE l m LEFT LEFT} {SADD s a} {SUNIONSTORE t s} {SUNIONSTORE t s} {ZADD z 1 a} {ZUNIONSTORE y 1 z}} {
        {new l} {rpush l} {new m} {lpush m} {lpop l} {del l} {new s} {sadd s} {new t} {sunionstore t} {sunionstore t}
        {new z} {zadd z} {new y} {zunionstore y}
    }
}

case "events go to the key's channel, to the event's, or to both" -config {notify-keyspace-events KEA} {
    B: PSUBSCRIBE *            -> any
    A: SET k v                 -> +OK
    B: -> >["pmessage" "*" "__keyspace@0__:k" "set"]
    -> >["pmessage" "*" "__keyevent@0__:set" "k"]
    A: SELECT 9                -> +OK
    CONFIG SET notify-keyspace-events KA -> +OK
    SADD k v                   -> :1
    CONFIG SET notify-keyspace-events El -> +OK
    SADD k w                   -> :1
    RPUSH l v                  -> :1
    CONFIG SET notify-keyspace-events A -> +OK
    RPUSH l w                  -> :2
    CONFIG SET notify-keyspace-events "" -> +OK
    RPUSH l w                  -> :3
    PUBLISH ch end             -> :1
    B: -> >["pmessage" "*" "__keyspace@9__:k" "sadd"]
    -> >["pmessage" "*" "__keyevent@9__:rpush" "l"]
    -> >["pmessage" "*" "ch" "end"]
}

case "each class has its letter" -config {notify-keyspace-events ""} {
    B: PSUBSCRIBE *            -> any
    A: CONFIG SET notify-keyspace-events Eg$lshz -> +OK
    CONFIG GET notify-keyspace-events -> {"notify-keyspace-events" "g$lshzE"}
    CONFIG SET notify-keyspace-events Eg -> +OK
    SET k v                    -> +OK
    DEL k                      -> :1
    B: -> >["pmessage" "*" "__keyevent@0__:del" "k"]
    A: CONFIG SET notify-keyspace-events E$ -> +OK
    SET k v                    -> +OK
    DEL k                      -> :1
    B: -> >["pmessage" "*" "__keyevent@0__:set" "k"]
    A: CONFIG SET notify-keyspace-events Es -> +OK
    HSET h a b                 -> :1
    SADD s a                   -> :1
    B: -> >["pmessage" "*" "__keyevent@0__:sadd" "s"]
    A: CONFIG SET notify-keyspace-events Eh -> +OK
    ZADD z 1 a                 -> :1
    HSET h c d                 -> :1
    B: -> >["pmessage" "*" "__keyevent@0__:hset" "h"]
    A: CONFIG SET notify-keyspace-events Ez -> +OK
    HSET h e f                 -> :1
    ZADD z 1 b                 -> :1
    B: -> >["pmessage" "*" "__keyevent@0__:zadd" "z"]
    A: CONFIG SET notify-keyspace-events En -> +OK
    ZADD z 1 c                 -> :1
    SET new x                  -> +OK
    B: -> >["pmessage" "*" "__keyevent@0__:new" "new"]
    A: CONFIG SET notify-keyspace-events Em -> +OK
    SET other x                -> +OK
    GET nokey                  -> nil
    B: -> >["pmessage" "*" "__keyevent@0__:keymiss" "nokey"]
    A: CONFIG SET notify-keyspace-events Q -> /^-ERR CONFIG SET failed.*Invalid event class character/
}

case "events of a transaction keep their order among its messages" -config {notify-keyspace-events Kg$} {
    B: PSUBSCRIBE *            -> any
    A: MULTI                   -> +OK
    SET k v                    -> +QUEUED
    PUBLISH ch x               -> +QUEUED
    DEL k                      -> +QUEUED
    EXEC                       -> [+OK :1 :1]
    B: -> >["pmessage" "*" "__keyspace@0__:k" "set"]
    -> >["pmessage" "*" "ch" "x"]
    -> >["pmessage" "*" "__keyspace@0__:k" "del"]
}

case "one's own events come behind the reply" -config {notify-keyspace-events K$} {
    HELLO 3                    -> any
    PSUBSCRIBE *               -> any
    !raw "SET k v\r\nPING\r\n" -> +OK
    -> >["pmessage" "*" "__keyspace@0__:k" "set"]
    -> +PONG
    MULTI                      -> +OK
    SET k w                    -> +QUEUED
    GET k                      -> +QUEUED
    EXEC                       -> [+OK "w"]
    -> >["pmessage" "*" "__keyspace@0__:k" "set"]
}

case "a command that waited makes its events when it runs" -config {notify-keyspace-events Kgl} {
    B: PSUBSCRIBE *            -> any
    C: !send BLPOP l 0
    C: !send ECHO x
    A: PING                    -> +PONG
    RPUSH l a                  -> :1
    C: -> ["l" "a"]
    B: -> >["pmessage" "*" "__keyspace@0__:l" "rpush"]
    -> >["pmessage" "*" "__keyspace@0__:l" "lpop"]
    -> >["pmessage" "*" "__keyspace@0__:l" "del"]
}
