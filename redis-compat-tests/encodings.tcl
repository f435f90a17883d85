# Hashes and sets beyond the limits of the listpack: few entries, and many.

# The texts in an array, a set or a map.
proc texts {reply} {
    return [lmap item [lindex $reply 1] {lindex $item 1}]
}

case "a hash that has outgrown the listpack stays a hashtable" -config {hash-max-listpack-entries 128 hash-max-listpack-value 4} {
    HSET h a 1 b 2              -> :2
    OBJECT ENCODING h           -> "listpack"
    HSET h c 12345              -> :1
    OBJECT ENCODING h           -> "hashtable"
    HGETALL h                   -> ?{"a" "1" "b" "2" "c" "12345"}
    HMGET h a c x               -> ["1" "12345" nil]
    HSET h c 7 longer x         -> :1
    HINCRBY h a 41              -> :42
    HINCRBYFLOAT h b 0.5        -> "2.5"
    HSETNX h c 8                -> :0
    HSTRLEN h longer            -> :1
    HDEL h longer c b x         -> :3
    OBJECT ENCODING h           -> "hashtable"
    HSCAN h 0                   -> ["0" ["a" "42"]]
    HRANDFIELD h -2             -> ["a" "a"]
    CONFIG SET hash-max-listpack-value 64 -> +OK
    HSET h b 2                  -> :1
    OBJECT ENCODING h           -> "hashtable"
    COPY h copy                 -> :1
    OBJECT ENCODING copy        -> "hashtable"
    DEBUG LISTPACK h            -> -ERR Not a listpack encoded object.
    HDEL h a b                  -> :2
    EXISTS h                    -> :0
    HSET h a 1                  -> :1
    OBJECT ENCODING h           -> "listpack"
}

case "a set that has outgrown the listpack stays a hashtable" -config {set-max-listpack-entries 128 set-max-listpack-value 4} {
    SADD s a b 3                -> :3
    OBJECT ENCODING s           -> "listpack"
    SADD s 12345 a              -> :1
    OBJECT ENCODING s           -> "hashtable"
    SMEMBERS s                  -> ~["a" "b" "3" "12345"]
    SMISMEMBER s a 12345 012345 -> [:1 :1 :0]
    SADD s a 3 12345            -> :0
    SREM s 12345 x              -> :1
    OBJECT ENCODING s           -> "hashtable"
    SADD other c                -> :1
    SMOVE s other a             -> :1
    SADD s long5                -> :1
    SUNIONSTORE all s other     -> :5
    OBJECT ENCODING all         -> "hashtable"
    SINTERSTORE all s other     -> :0
    SDIFFSTORE all s other      -> :3
    SMEMBERS all                -> ~["b" "3" "long5"]
    CONFIG SET set-max-listpack-value 64 -> +OK
    SADD s c                    -> :1
    OBJECT ENCODING s           -> "hashtable"
    SREM s b 3 long5 c          -> :4
    EXISTS s                    -> :0
}

foreach {entries} {0 1 7 8 9 15 16 17 40} {
    check "$entries entries beside a long one" -config {hash-max-listpack-value 64 set-max-listpack-value 64} [string map [list ENTRIES $entries] {
        set long [string repeat x 100]
        set fields [list $long $long]
        set members [list $long]
        ask HSET h $long $long
        ask SADD s $long
        for {set i 0} {$i < ENTRIES} {incr i} {
            ask HSET h f$i $i
            ask SADD s m$i
            lappend fields f$i $i
            lappend members m$i
        }
        foreach reload {no yes} {
            expect {"hashtable"} [ask OBJECT ENCODING h]
            expect {"hashtable"} [ask OBJECT ENCODING s]
            same [lsort -stride 2 $fields] [lsort -stride 2 [texts [ask HGETALL h]]]
            same [lsort -stride 2 $fields] [lsort -stride 2 [texts [lindex [ask HSCAN h 0 COUNT 1000] 1 1]]]
            same [lsort $members] [lsort [texts [ask SMEMBERS s]]]
            same [lsort $members] [lsort [texts [lindex [ask SSCAN s 0 COUNT 1000] 1 1]]]
            ask DEBUG RELOAD
        }
        for {set i 0} {$i < ENTRIES} {incr i} {
            ask HDEL h f$i
            ask SREM s m$i
        }
        expect "\[\"$long\"\]" [ask HRANDFIELD h 5]
        expect "\"$long\"" [ask SRANDMEMBER s]
        expect {"hashtable"} [ask OBJECT ENCODING h]
        expect {"hashtable"} [ask OBJECT ENCODING s]
    }]
}

case "deadlines of fields in a hash that has outgrown the listpack" -config {hash-max-listpack-value 4} {
    HSET h a 1 b 12345          -> :2
    OBJECT ENCODING h           -> "hashtable"
    HEXPIREAT h 32503680000 FIELDS 1 a -> [:1]
    OBJECT ENCODING h           -> "hashtable"
    HSET h c longer d 4         -> :2
    HPEXPIREAT h 32503680000001 FIELDS 1 c -> [:1]
    HEXPIRETIME h FIELDS 4 a b c d -> [:32503680000 :-1 :32503680001 :-1]
    d := DUMP h
    RESTORE copy 0 $d           -> +OK
    OBJECT ENCODING copy        -> "hashtable"
    HPEXPIRETIME copy FIELDS 4 a b c d -> [:32503680000000 :-1 :32503680000001 :-1]
    HSET h a longer             -> :0
    HTTL h FIELDS 1 a           -> [:-1]
    HPERSIST h FIELDS 1 c       -> [:1]
    HPEXPIRE h 0 FIELDS 3 a b c -> [:2 :2 :2]
    HGETALL h                   -> ?{"d" "4"}
    OBJECT ENCODING h           -> "hashtable"
}

case "few entries that have outgrown the listpack are saved as a table" -config {hash-max-listpack-value 2 set-max-listpack-value 2} {
    HSET h f abc                -> :1
    DUMP h                      -> "\x04\x01\x01f\x03abc\x0c\x00Y\xfb\xd04Fa\x14\xb1"
    SADD s abc                  -> :1
    DUMP s                      -> "\x02\x01\x03abc\x0c\x00h\xbd\xd8\x8cv\x05\xaf\xb9"
    DEBUG SET-SKIP-CHECKSUM-VALIDATION 1 -> +OK
    RESTORE h 0 "\x04\x02\x01f\x03abc\x01g\xc0\x01\x0c\x00________" REPLACE -> +OK
    HGETALL h                   -> ?{"f" "abc" "g" "1"}
    OBJECT ENCODING h           -> "hashtable"
    RESTORE h 0 "\x04\x02\x01f\x03abc\x01f\x03abc\x0c\x00________" REPLACE -> -ERR Bad data format
    RESTORE s 0 "\x02\x02\x03abc\x03abc\x0c\x00________" REPLACE -> -ERR Bad data format
    DEBUG SET-SKIP-CHECKSUM-VALIDATION 0 -> +OK
}

check "what is left when most of a set is popped may be a listpack again" -config {set-max-listpack-value 4} {
    foreach {members popped encoding} {6 4 hashtable 7 6 listpack 12 10 listpack 20 16 hashtable} {
        ask DEL s
        ask SADD s longer
        ask SREM s longer
        for {set i 0} {$i < $members} {incr i} {
            ask SADD s [expr {$i == 0 ? "longer" : "m$i"}]
        }
        ask SREM s longer
        ask SADD s m0
        ask SPOP s $popped
        expect ":[expr {$members - $popped}]" [ask SCARD s]
        expect "\"$encoding\"" [ask OBJECT ENCODING s] "$popped of $members"
    }
}

check "DEBUG OBJECT tells what few entries take in a snapshot" -config {hash-max-listpack-value 2 set-max-listpack-value 2} {
    ask HSET h f abc g 12345
    ask SADD s abc x 1
    expect {/ encoding:hashtable serializedlength:12 /} [ask DEBUG OBJECT h]
    expect {/ encoding:hashtable serializedlength:9 /} [ask DEBUG OBJECT s]
}
