# SORT and SORT_RO.

case "numbers" {
    RPUSH l 3 1 2 10 -5 1.5     -> :6
    SORT l                      -> ["-5" "1" "1.5" "2" "3" "10"]
    SORT l DESC                 -> ["10" "3" "2" "1.5" "1" "-5"]
    SORT l ASC                  -> ["-5" "1" "1.5" "2" "3" "10"]
    SORT_RO l DESC              -> ["10" "3" "2" "1.5" "1" "-5"]
    SORT l ALPHA                -> ["-5" "1" "1.5" "10" "2" "3"]
    SORT l LIMIT 1 2            -> ["1" "1.5"]
    SORT l DESC LIMIT 0 1       -> ["10"]
    SORT l LIMIT 0 -1           -> ["-5" "1" "1.5" "2" "3" "10"]
    SORT l LIMIT -3 2           -> ["-5" "1"]
    SORT l LIMIT 4 100          -> ["3" "10"]
    SORT l LIMIT 6 1            -> []
    SORT l LIMIT 0 0            -> []
    SORT missing                -> []
    SORT missing STORE d        -> :0
}

case "sets and sorted sets" {
    SADD s 3 1 2                -> :3
    SORT s                      -> ["1" "2" "3"]
    SADD t b a c                -> :3
    SORT t ALPHA DESC           -> ["c" "b" "a"]
    ZADD z 3 1 2 2 1 3          -> :3
    OBJECT ENCODING z           -> "listpack"
    SORT z                      -> ["1" "2" "3"]
    OBJECT ENCODING z           -> "skiplist"
    ZRANGE z 0 -1               -> ["3" "2" "1"]
    ZADD y 1 a                  -> :1
    SORT_RO y BY nosort LIMIT 0 0 -> []
    OBJECT ENCODING y           -> "skiplist"
    SORT z BY nosort            -> ["3" "2" "1"]
    SORT z BY nosort DESC       -> ["1" "2" "3"]
    SORT z BY nosort LIMIT 1 1  -> ["2"]
    SORT z BY nosort DESC LIMIT 2 5 -> ["3"]
}

case "what is no number" {
    RPUSH l 1 x                 -> :2
    SORT l                      -> -ERR One or more scores can't be converted into double
    SORT l ALPHA                -> ["1" "x"]
    RPUSH e "" 1 -1             -> :3
    SORT e                      -> ["-1" "" "1"]
    RPUSH n 1 nan               -> :2
    SORT n                      -> -ERR One or more scores can't be converted into double
    SORT n LIMIT 0 0            -> -ERR One or more scores can't be converted into double
    SET w_1 y                   -> +OK
    SORT l BY w_*               -> -ERR One or more scores can't be converted into double
}

case "BY" {
    RPUSH l a b c d             -> :4
    MSET w_a 3 w_b 1 w_c 2      -> +OK
    SORT l BY w_*               -> ["d" "b" "c" "a"]
    SORT l BY w_* DESC          -> ["a" "c" "b" "d"]
    SORT l BY w_* LIMIT 1 2     -> ["b" "c"]
    SORT l BY missing_*         -> ["a" "b" "c" "d"]
    SORT l BY missing_* DESC    -> ["d" "c" "b" "a"]
    MSET n_a z n_b y n_c x      -> +OK
    SORT l BY n_* ALPHA         -> ["d" "c" "b" "a"]
    SORT l BY nosort            -> ["a" "b" "c" "d"]
    SORT l BY nosort DESC       -> ["d" "c" "b" "a"]
    SORT l BY nosort LIMIT 1 2  -> ["b" "c"]
    SORT l BY nosort DESC LIMIT 1 2 -> ["c" "b"]
    HSET h_a f 2                -> :1
    HSET h_b f 1                -> :1
    SORT l BY h_*->f            -> ["c" "d" "b" "a"]
    SORT l BY h_*->g            -> ["a" "b" "c" "d"]
    SORT l BY w_*->f            -> ["a" "b" "c" "d"]
    SORT l BY h_*               -> ["a" "b" "c" "d"]
}

case "GET" {
    RPUSH l 2 1                 -> :2
    MSET k1 one k2 two k3* star -> +OK
    SORT l GET k*               -> ["one" "two"]
    SORT l GET # GET k*         -> ["1" "one" "2" "two"]
    SORT l GET missing_*        -> [nil nil]
    SORT l GET constant         -> [nil nil]
    HSET h_1 f 11 "->" arrow    -> :2
    SORT l GET h_*->f           -> ["11" nil]
    SORT l GET "h_*->->"        -> ["arrow" nil]
    SORT l GET h_*              -> [nil nil]
    SORT l GET *1               -> [nil nil]
    SET 11 eleven               -> +OK
    SORT l GET *1               -> ["eleven" nil]
    SORT l BY nosort GET #      -> ["2" "1"]
}

case "STORE" {
    RPUSH l 2 1 3               -> :3
    SORT l STORE d              -> :3
    LRANGE d 0 -1               -> ["1" "2" "3"]
    TYPE d                      -> +list
    OBJECT ENCODING d           -> "listpack"
    SORT l STORE l              -> :3
    LRANGE l 0 -1               -> ["1" "2" "3"]
    SET k1 one                  -> +OK
    EXPIRE d 100                -> :1
    SORT l GET # GET k* STORE d -> :6
    LRANGE d 0 -1               -> ["1" "one" "2" "" "3" ""]
    TTL d                       -> :-1
    SORT l LIMIT 5 1 STORE d    -> :0
    EXISTS d                    -> :0
    SADD s b a c                -> :3
    SORT s BY nosort STORE d    -> :3
    LRANGE d 0 -1               -> ["a" "b" "c"]
    SET d string                -> +OK
    SORT l STORE a STORE d      -> :3
    EXISTS a                    -> :0
    SORT_RO l STORE d           -> -ERR syntax error
}

check "a long list is stored as one" -config {list-max-listpack-size 10} {
    ask RPUSH l {*}[lreverse {1 2 3 4 5 6 7 8 9 10 11}]
    expect :11 [ask SORT l STORE d]
    expect {"quicklist"} [ask OBJECT ENCODING d]
    expect {["1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11"]} [ask LRANGE d 0 -1]
    expect :10 [ask SORT l LIMIT 0 10 STORE d]
    expect {"listpack"} [ask OBJECT ENCODING d]
}

case "what is refused" {
    SORT                        -> -ERR wrong number of arguments for 'sort' command
    SORT l LIMIT 1              -> -ERR syntax error
    SORT l LIMIT x 1            -> -ERR value is not an integer or out of range
    SORT l BY                   -> -ERR syntax error
    SORT l GET                  -> -ERR syntax error
    SORT l STORE                -> -ERR syntax error
    SORT l UP                   -> -ERR syntax error
    SET s x                     -> +OK
    SORT s                      -> -WRONGTYPE Operation against a key holding the wrong kind of value
    SORT s UP                   -> -ERR syntax error
    HSET h f v                  -> :1
    SORT h                      -> -WRONGTYPE Operation against a key holding the wrong kind of value
}

case "where the keys are" {
    COMMAND GETKEYS SORT k      -> ["k"]
    COMMAND GETKEYS SORT k BY w_* STORE d -> ["k" "d"]
    COMMAND GETKEYS SORT k GET STORE STORE d STORE e -> ["k" "e"]
    COMMAND GETKEYS SORT_RO k   -> ["k"]
}

case "patterns need a user who may read all keys" {
    RPUSH k 2 1                 -> :2
    ACL SETUSER limited on nopass +sort +sort_ro ~k %W~* -> +OK
    ACL SETUSER reader on nopass +sort %R~* -> +OK
    B: AUTH limited x           -> +OK
    B: SORT k                   -> ["1" "2"]
    B: SORT k BY nosort         -> ["2" "1"]
    B: SORT k BY w_*            -> -ERR BY option of SORT denied due to insufficient ACL permissions.
    B: SORT_RO k GET #          -> -ERR GET option of SORT denied due to insufficient ACL permissions.
    C: AUTH reader x            -> +OK
    C: SORT k BY w_* GET #      -> ["1" "2"]
    A: ACL DELUSER limited reader -> :2
}
