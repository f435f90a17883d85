# Arguments at the edges of what commands of several types take.

case "LSET looks at 32 bits of an index" {
    RPUSH l a b c               -> :3
    LSET l 4294967297 x         -> +OK
    LRANGE l 0 -1               -> ["a" "x" "c"]
    LSET l 4294967299 x         -> -ERR index out of range
    LSET l 9223372036854775808 x -> -ERR value is not an integer or out of range
    LSET l -4 x                 -> -ERR index out of range
    LINDEX l 4294967297         -> nil
}

case "BITFIELD SET that saturates" {
    BITFIELD k OVERFLOW SAT SET i8 0 200 GET i8 0 -> [:0 :127]
    BITFIELD k OVERFLOW SAT SET i8 0 -200 GET i8 0 -> [:127 :-128]
    BITFIELD k OVERFLOW SAT SET i8 0 -9223372036854775680 GET i8 0 -> [:-128 :-128]
    BITFIELD k OVERFLOW SAT SET i8 0 -9223372036854775681 GET i8 0 -> [:-128 :127]
    BITFIELD k OVERFLOW SAT SET i8 0 -9223372036854775808 GET i8 0 -> [:127 :127]
    BITFIELD k OVERFLOW SAT SET i64 0 -9223372036854775808 GET i64 0 -> [:9151314442816847872 :-9223372036854775808]
    BITFIELD k OVERFLOW SAT SET u8 0 -1 GET u8 0 -> [:128 :255]
    BITFIELD k OVERFLOW FAIL SET i8 0 -9223372036854775808 -> [nil]
}

case "counts of random elements" {
    HSET h f v                  -> :1
    SADD s m                    -> :1
    ZADD z 1 m                  -> :1
    HRANDFIELD h -9223372036854775808 -> -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
    SRANDMEMBER s -9223372036854775808 -> -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
    ZRANDMEMBER z -9223372036854775808 -> -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
    HRANDFIELD h -9223372036854775800 WITHVALUES -> -ERR value is out of range
    ZRANDMEMBER z -9223372036854775800 WITHSCORES -> -ERR value is out of range
    HRANDFIELD h 9223372036854775807 -> ["f"]
    SRANDMEMBER s 9223372036854775807 -> ["m"]
    ZRANDMEMBER z 9223372036854775807 -> ["m"]
}

case "a reply without end costs the connection" -config {client-output-buffer-limit "normal 1000000 0 0"} {
    HSET h f v                  -> :1
    SADD s m                    -> :1
    ZADD z 1 m                  -> :1
    B: HRANDFIELD h -9223372036854775807 -> closed
    C: SRANDMEMBER s -9223372036854775807 -> closed
    D: ZRANDMEMBER z -9223372036854775807 -> closed
    A: EXISTS h                 -> :1
}

case "a size without digits is none" {
    CONFIG SET hash-max-listpack-value "" -> +OK
    CONFIG GET hash-max-listpack-value -> {"hash-max-listpack-value" "0"}
    HSET h f v                  -> :1
    OBJECT ENCODING h           -> "hashtable"
    CONFIG SET hash-max-listpack-value 64 -> +OK
}
