# HyperLogLogs: PFADD, PFCOUNT, PFMERGE, PFDEBUG, PFSELFTEST, and the bytes that they keep.

# So many elements, from a number on.
proc elements {from count} {
    set all {}
    for {set i $from} {$i < $from + $count} {incr i} {
        lappend all "element:$i"
    }
    return $all
}

case "adding and counting" {
    PFADD k a b c               -> :1
    PFADD k a b c               -> :0
    PFADD k                     -> :0
    PFCOUNT k                   -> :3
    PFADD k a d                 -> :1
    PFCOUNT k                   -> :4
    PFADD empty                 -> :1
    PFADD empty                 -> :0
    PFCOUNT empty               -> :0
    PFADD empty ""              -> :1
    PFCOUNT empty               -> :1
    PFCOUNT missing             -> :0
    EXISTS missing              -> :0
    PFADD                       -> -ERR wrong number of arguments for 'pfadd' command
    PFCOUNT                     -> -ERR wrong number of arguments for 'pfcount' command
    PFMERGE                     -> -ERR wrong number of arguments for 'pfmerge' command
}

case "the bytes are those of Redis" {
    PFADD k                     -> :1
    GET k                       -> "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff"
    OBJECT ENCODING k           -> "raw"
    PFCOUNT k                   -> :0
    GET k                       -> "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff"
    PFADD k a b c               -> :1
    PFDEBUG DECODE k            -> "Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603"
    GETRANGE k 15 15            -> "\x80"
    PFCOUNT k                   -> :3
    GETRANGE k 8 15             -> "\x03\x00\x00\x00\x00\x00\x00\x00"
    PFADD k a                   -> :0
    GETRANGE k 8 15             -> "\x03\x00\x00\x00\x00\x00\x00\x00"
    STRLEN k                    -> :27
}

case "a value can be copied as a string" {
    PFADD k a b c               -> :1
    v := GET k
    SET copy $v                 -> +OK
    OBJECT ENCODING copy        -> "embstr"
    PFCOUNT copy                -> :3
    OBJECT ENCODING copy        -> "raw"
    PFADD copy d                -> :1
    PFCOUNT k copy              -> :4
}

case "counts of several keys" {
    PFADD a 1 2 3               -> :1
    PFADD b 3 4 5               -> :1
    PFCOUNT a b                 -> :5
    PFCOUNT a b missing a       -> :5
    PFCOUNT missing other       -> :0
    EXISTS missing other        -> :0
}

case "merging" {
    PFADD a 1 2 3               -> :1
    PFADD b 3 4 5               -> :1
    PFMERGE d a b missing       -> +OK
    PFCOUNT d                   -> :5
    PFMERGE d                   -> +OK
    PFCOUNT d                   -> :5
    PFMERGE e missing           -> +OK
    PFCOUNT e                   -> :0
    GET e                       -> "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff"
    PFMERGE f                   -> +OK
    EXISTS f                    -> :1
    EXPIRE a 100                -> :1
    PFMERGE a b                 -> +OK
    PFCOUNT a                   -> :5
    TTL a                       -> :99..100
}

case "dense values" {
    PFADD a 1 2 3               -> :1
    PFDEBUG ENCODING a          -> +sparse
    PFDEBUG TODENSE a           -> :1
    PFDEBUG TODENSE a           -> :0
    PFDEBUG ENCODING a          -> +dense
    STRLEN a                    -> :12304
    PFCOUNT a                   -> :3
    PFADD a 3                   -> :0
    PFADD a 4                   -> :1
    PFCOUNT a                   -> :4
    PFDEBUG DECODE a            -> -ERR HLL encoding is not sparse
    PFADD b 5                   -> :1
    PFMERGE b a                 -> +OK
    PFDEBUG ENCODING b          -> +dense
    PFCOUNT b                   -> :5
    PFMERGE c a                 -> +OK
    STRLEN c                    -> :12304
}

case "a setting says how long a value stays sparse" -config {hll-sparse-max-bytes 30} {
    PFADD k a b c               -> :1
    PFDEBUG ENCODING k          -> +sparse
    PFADD k d e f               -> :1
    PFDEBUG ENCODING k          -> +dense
    PFCOUNT k                   -> :6
}

check "counts grow with the elements, and both forms agree" {
    set total 0
    foreach {count estimate} {10 10 90 99 900 997 9000 10017} {
        ask PFADD k {*}[elements $total $count]
        ask PFADD dense {*}[elements $total $count]
        ask PFDEBUG TODENSE dense
        incr total $count
        expect :$estimate [ask PFCOUNT k]
        expect :$estimate [ask PFCOUNT dense]
        expect :$estimate [ask PFCOUNT k dense]
    }
    expect +dense [ask PFDEBUG ENCODING k]
}

check "registers" {
    ask PFADD k a b c
    set registers [lindex [ask PFDEBUG GETREG k] 1]
    same 16384 [llength $registers]
    set raised {}
    foreach register $registers {
        if {[lindex $register 1]} {
            lappend raised [lindex $register 1]
        }
    }
    same {1 2 1} $raised
    expect +dense [ask PFDEBUG ENCODING k]
}

case "PFDEBUG" {
    PFDEBUG ENCODING missing    -> -ERR The specified key does not exist
    PFADD k                     -> :1
    PFDEBUG nonsense k          -> -ERR Unknown PFDEBUG subcommand 'nonsense'
    PFDEBUG decode k            -> "Z:16384"
    PFDEBUG DECODE              -> -ERR wrong number of arguments for 'pfdebug' command
}

case "the self test" {
    PFSELFTEST                  -> +OK
}

case "what is no HyperLogLog" {
    SET s x                     -> +OK
    PFADD s a                   -> -WRONGTYPE Key is not a valid HyperLogLog string value.
    PFCOUNT s                   -> -WRONGTYPE Key is not a valid HyperLogLog string value.
    PFCOUNT s s                 -> -WRONGTYPE Key is not a valid HyperLogLog string value.
    PFMERGE s                   -> -WRONGTYPE Key is not a valid HyperLogLog string value.
    PFMERGE d s                 -> -WRONGTYPE Key is not a valid HyperLogLog string value.
    EXISTS d                    -> :0
    PFDEBUG ENCODING s          -> -WRONGTYPE Key is not a valid HyperLogLog string value.
    SET s 12                    -> +OK
    PFADD s a                   -> -WRONGTYPE Key is not a valid HyperLogLog string value.
    SET s "HYLL\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff" -> +OK
    PFADD s a                   -> -WRONGTYPE Key is not a valid HyperLogLog string value.
    SET s "HYLL\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff" -> +OK
    PFCOUNT s                   -> -WRONGTYPE Key is not a valid HyperLogLog string value.
    SET s "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" -> +OK
    PFCOUNT s                   -> -WRONGTYPE Key is not a valid HyperLogLog string value.
    RPUSH l x                   -> :1
    PFADD l a                   -> -WRONGTYPE Operation against a key holding the wrong kind of value
    PFCOUNT l                   -> -WRONGTYPE Operation against a key holding the wrong kind of value
    PFMERGE l                   -> -WRONGTYPE Operation against a key holding the wrong kind of value
}

case "runs that do not fit" {
    SET s "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80" -> +OK
    PFCOUNT s                   -> -INVALIDOBJ Corrupted HLL object detected
    PFADD s a                   -> -INVALIDOBJ Corrupted HLL object detected
    PFMERGE d s                 -> -INVALIDOBJ Corrupted HLL object detected
    PFDEBUG GETREG s            -> -INVALIDOBJ Corrupted HLL object detected
    PFDEBUG TODENSE s           -> -INVALIDOBJ Corrupted HLL object detected
    PFDEBUG DECODE s            -> ""
    SET s "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xffhello" -> +OK
    PFCOUNT s                   -> -INVALIDOBJ Corrupted HLL object detected
    PFCOUNT s s                 -> -INVALIDOBJ Corrupted HLL object detected
    PFADD s a                   -> :1
    SET s "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff\xff" -> +OK
    PFCOUNT s                   -> -INVALIDOBJ Corrupted HLL object detected
    PFCOUNT s s                 -> :0
    SET s "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f" -> +OK
    PFCOUNT s                   -> -INVALIDOBJ Corrupted HLL object detected
    PFDEBUG DECODE s            -> "Z:16129"
}

case "they are strings to every other command" {
    PFADD k a b                 -> :1
    TYPE k                      -> +string
    APPEND k ""                 -> :24
    COPY k c                    -> :1
    PFCOUNT c                   -> :2
    RENAME c d                  -> +OK
    PFCOUNT d                   -> :2
}
