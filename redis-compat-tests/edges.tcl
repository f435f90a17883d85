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

check "ranges of sorted sets from a negative offset" {
    foreach limit {0 1000} {
        ask CONFIG SET zset-max-listpack-entries $limit
        ask FLUSHALL
        foreach n {1 2 3 4 5} {
            ask ZADD z $n m$n
            ask ZADD lex 0 m$n
        }
        foreach {large command} {
            {["m3" "m4"]}   {ZRANGEBYSCORE z 1 4 LIMIT -2 10}
            {["m3"]}        {ZRANGEBYSCORE z 1 4 LIMIT -2 1}
            {["m1"]}        {ZRANGEBYSCORE z 1 4 LIMIT -4 1}
            {[]}            {ZRANGEBYSCORE z 1 4 LIMIT -5 1}
            {["m2" "m1"]}   {ZREVRANGEBYSCORE z 4 1 LIMIT -2 10}
            {["m3" "m4"]}   {ZRANGEBYLEX lex [m1 [m4 LIMIT -2 10}
            {["m2" "m1"]}   {ZRANGE lex [m4 [m1 BYLEX REV LIMIT -2 10}
            {["m2" "m3" "m4"]} {ZRANGE z 1 4 BYSCORE LIMIT -3 -1}
        } {
            expect [expr {$limit == 0 ? $large : {[]}}] [ask {*}$command] "$command, $limit"
        }
        expect [expr {$limit == 0 ? ":2" : ":0"}] [ask ZRANGESTORE d z 1 4 BYSCORE LIMIT -2 10]
    }
}

check "a union of very many sets that share their members" {
    for {set n 0} {$n < 5000} {incr n} {
        lappend scores $n m$n
    }
    ask ZADD z {*}$scores
    ask ZADD y 1 m1 2 other
    expect :5001 [ask ZUNIONSTORE d 51 {*}[lrepeat 50 z] y]
    expect {[,51 ,100 ,249950 ,2]} [ask ZMSCORE d m1 m2 m4999 other]
    expect :5001 [ask ZUNIONSTORE d 51 {*}[lrepeat 50 z] y AGGREGATE MAX]
    expect {[,1 ,4999 ,2]} [ask ZMSCORE d m1 m4999 other]
}
