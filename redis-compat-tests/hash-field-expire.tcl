# Fields of hashes that expire: HEXPIRE and its kin, and what the other commands make of such fields.

# Both forms of a hash: the cases that depend on neither run in both.
foreach {form entries encoding} {compact 512 listpackex table 0 hashtable} {

    case "HEXPIRE and HTTL, $form" -config [list hash-max-listpack-entries $entries] [string map [list FORM $encoding] {
        HTTL h FIELDS 1 a                   -> [:-2]
        HEXPIRE h 100 FIELDS 2 a b          -> [:-2 :-2]
        EXISTS h                            -> :0
        HSET h a 1 b 2 c 3                  -> :3
        HTTL h FIELDS 4 a b c x             -> [:-1 :-1 :-1 :-2]
        HEXPIRE h 100 FIELDS 2 a x          -> [:1 :-2]
        OBJECT ENCODING h                   -> "FORM"
        HTTL h FIELDS 3 a b x               -> [:99..100 :-1 :-2]
        HPTTL h FIELDS 1 a                  -> [:90000..100000]
        HPEXPIRE h 200000 FIELDS 1 b        -> [:1]
        HTTL h FIELDS 2 b b                 -> [:199..200 :199..200]
        HEXPIREAT h 32503680000 FIELDS 1 a  -> [:1]
        HEXPIRETIME h FIELDS 1 a            -> [:32503680000]
        HPEXPIRETIME h FIELDS 1 a           -> [:32503680000000]
        HPEXPIREAT h 32503680000001 FIELDS 1 a -> [:1]
        HPEXPIRETIME h FIELDS 2 a c         -> [:32503680000001 :-1]
        HEXPIRETIME h FIELDS 1 a            -> [:32503680001]
        HGETALL h                           -> ?{"a" "1" "b" "2" "c" "3"}
        HLEN h                              -> :3
    }]

    case "HPERSIST, $form" -config [list hash-max-listpack-entries $entries] [string map [list FORM $encoding] {
        HPERSIST h FIELDS 2 a b             -> [:-2 :-2]
        HSET h a 1 b 2                      -> :2
        HPERSIST h FIELDS 2 a x             -> [:-1 :-2]
        HEXPIRE h 100 FIELDS 1 a            -> [:1]
        HPERSIST h FIELDS 3 a b x           -> [:1 :-1 :-2]
        HTTL h FIELDS 1 a                   -> [:-1]
        OBJECT ENCODING h                   -> "FORM"
    }]

    case "HEXPIRE NX, XX, GT, LT, $form" -config [list hash-max-listpack-entries $entries] {
        HSET h a 1 b 2                      -> :2
        HEXPIRE h 100 XX FIELDS 1 a         -> [:0]
        HEXPIRE h 100 GT FIELDS 1 a         -> [:0]
        HEXPIRE h 100 nx FIELDS 1 a         -> [:1]
        HEXPIRE h 200 NX FIELDS 2 a b       -> [:0 :1]
        HEXPIRE h 150 GT FIELDS 2 a b       -> [:1 :0]
        HEXPIRE h 150 LT FIELDS 1 b         -> [:1]
        HPERSIST h FIELDS 1 a               -> [:1]
        HEXPIRE h 300 LT FIELDS 2 a b       -> [:1 :0]
        HEXPIRE h 400 XX FIELDS 2 a b       -> [:1 :1]
        HPEXPIREAT h 32503680000000 FIELDS 1 a    -> [:1]
        HPEXPIREAT h 32503680000000 GT FIELDS 1 a -> [:0]
        HPEXPIREAT h 32503680000000 LT FIELDS 1 a -> [:0]
        HPEXPIREAT h 32503680000001 GT FIELDS 1 a -> [:1]
        HPEXPIREAT h 32503680000000 LT FIELDS 1 a -> [:1]
        HEXPIREAT h 1 GT FIELDS 1 a         -> [:0]
        HEXPIREAT h 1 NX FIELDS 1 a         -> [:0]
        HGET h a                            -> "1"
    }

    case "a time that has passed deletes fields, $form" -config [list hash-max-listpack-entries $entries] {
        HSET h a 1 b 2 c 3                  -> :3
        HEXPIRE h 0 FIELDS 2 a x            -> [:2 :-2]
        HEXPIREAT h 1 FIELDS 2 b b          -> [:2 :-2]
        HKEYS h                             -> ["c"]
        HPEXPIREAT h 0 FIELDS 2 c x         -> [:2 :-2]
        EXISTS h                            -> :0
    }

    case "what keeps a field's deadline and what clears it, $form" -config [list hash-max-listpack-entries $entries] {
        HSET h a 1 b 2 c 3 d 4              -> :4
        HEXPIREAT h 32503680000 FIELDS 4 a b c d -> [:1 :1 :1 :1]
        HINCRBY h a 1                       -> :2
        HINCRBYFLOAT h b 0.5                -> "2.5"
        HSETNX h c 9                        -> :0
        HSET h d 5 e 6                      -> :1
        HEXPIRETIME h FIELDS 5 a b c d e    -> [:32503680000 :32503680000 :32503680000 :-1 :-1]
        HMSET h a 1                         -> +OK
        HEXPIRETIME h FIELDS 1 a            -> [:-1]
        HDEL h b                            -> :1
        HSET h b 1                          -> :1
        HTTL h FIELDS 1 b                   -> [:-1]
        HGETALL h                           -> ?{"a" "1" "b" "1" "c" "3" "d" "5" "e" "6"}
    }

    case "deadlines go where the hash goes, $form" -config [list hash-max-listpack-entries $entries] {
        HSET h a 1 b 2                      -> :2
        HEXPIREAT h 32503680000 FIELDS 1 a  -> [:1]
        COPY h copy                         -> :1
        RENAME h other                      -> +OK
        HEXPIRETIME other FIELDS 2 a b      -> [:32503680000 :-1]
        HPERSIST other FIELDS 1 a           -> [:1]
        HEXPIRETIME copy FIELDS 2 a b       -> [:32503680000 :-1]
        MOVE copy 1                         -> :1
        EXPIRE other 100                    -> :1
        HEXPIREAT other 32503680001 FIELDS 1 b -> [:1]
        PERSIST other                       -> :1
        HEXPIRETIME other FIELDS 2 a b      -> [:-1 :32503680001]
        SELECT 1                            -> +OK
        HEXPIRETIME copy FIELDS 1 a         -> [:32503680000]
        EXISTS copy                         -> :1
        DEL copy                            -> :1
    }

    check "commands that name expired fields remove them, $form" -config [list hash-max-listpack-entries $entries] {
        ask DEBUG SET-ACTIVE-EXPIRE 0
        foreach {command expected removed} {
            {HGET h a} nil 1                {HMGET h a b c} {[nil nil "3"]} 2
            {HEXISTS h a} :0 1              {HSTRLEN h b} :0 1
            {HINCRBY h a 5} :5 1            {HINCRBYFLOAT h a 5} {"5"} 1
            {HSETNX h a x} :1 1             {HSET h a x} :0 0
            {HDEL h a x} :1 0               {HLEN h} :3 0
            {HGETALL h} {{"c" "3"}} 0       {HKEYS h} {["c"]} 0
            {HVALS h} {["3"]} 0             {HSCAN h 0} {["0" ["c" "3"]]} 0
            {HRANDFIELD h} {"c"} 2          {HRANDFIELD h 9} {["c"]} 2
            {HTTL h FIELDS 2 a c} {[:-2 :-1]} 0
            {HPERSIST h FIELDS 2 a c} {[:-2 :-1]} 0
            {HEXPIRE h 100 FIELDS 1 a} {[:1]} 0
            {HEXPIRE h 100 NX FIELDS 1 a} {[:0]} 0
            {EXISTS h} :1 0
        } {
            ask DEL h
            ask HSET h a 1 b 2 c 3
            ask HPEXPIRE h 1 FIELDS 2 a b
            after 3
            ask CONFIG RESETSTAT
            expect $expected [ask {*}$command] $command
            expect "/\r\nexpired_subkeys:$removed\r\n/" [ask INFO stats] $command
        }
        ask DEBUG SET-ACTIVE-EXPIRE 1
    }

    check "a hash lives on until its last expired field is removed, $form" -config [list hash-max-listpack-entries $entries] {
        ask DEBUG SET-ACTIVE-EXPIRE 0
        foreach {command expected exists} {
            {HGET h a} nil :1               {HMGET h a b} {[nil nil]} :0
            {HSTRLEN h a} :0 :1             {HRANDFIELD h} nil :0
            {HRANDFIELD h 2} {[]} :0        {HGETALL h} {{}} :1
            {HKEYS h} {[]} :1               {HLEN h} :2 :1
            {HSCAN h 0} {["0" []]} :1       {HINCRBY h a 1} :1 :1
            {TYPE h} +hash :1               {HDEL h a b} :2 :0
        } {
            ask DEL h
            ask HSET h a 1 b 2
            ask HPEXPIRE h 1 FIELDS 2 a b
            after 3
            expect $expected [ask {*}$command] $command
            expect $exists [ask EXISTS h] $command
        }
        ask DEBUG SET-ACTIVE-EXPIRE 1
    }

    check "a hash all of whose fields were over when it was restored is accepted and goes later, $form" \
        -config [list hash-max-listpack-entries $entries] {
        ask DEBUG SET-ACTIVE-EXPIRE 0
        ask HSET h a 1 b 2
        ask HPEXPIRE h 1 FIELDS 2 a b
        set payload [lindex [ask DUMP h] 1]
        after 3
        ask DEBUG SET-ACTIVE-EXPIRE 1
        ask MULTI
        ask RESTORE h 0 $payload REPLACE
        ask TYPE h
        ask HLEN h
        expect {[+OK +hash :2]} [ask EXEC]
        eventually {[ask EXISTS h] eq {: 0}}
    }

    check "expired fields are removed without being asked for, $form" -config [list hash-max-listpack-entries $entries] {
        ask CONFIG RESETSTAT
        for {set i 0} {$i < 50} {incr i} {
            ask HSET hash:$i a 1 b 2
            ask HPEXPIRE hash:$i 5 FIELDS 2 a b
        }
        ask HSET stays a 1 b 2 c 3
        ask HPEXPIRE stays 5 FIELDS 2 a b
        eventually {[ask DBSIZE] eq {: 1} && [ask HLEN stays] eq {: 1}}
        expect {/expired_subkeys:102\r\nexpired_keys:0\r\n/} [ask INFO stats]
        expect {/subexpiry=0\r\n/} [ask INFO keyspace]
    }
}

check "a compact hash with deadlines grows into a table" -config {hash-max-listpack-entries 128 hash-max-listpack-value 64} {
    ask HSET h f0 v
    ask HEXPIREAT h 32503680000 FIELDS 1 f0
    expect {"listpackex"} [ask OBJECT ENCODING h]
    for {set i 1} {$i <= 128} {incr i} {
        ask HSET h f$i v
    }
    expect {"hashtable"} [ask OBJECT ENCODING h]
    expect {[:32503680000 :-1]} [ask HEXPIRETIME h FIELDS 2 f0 f128]
    ask DEL h
    ask HSET h f v
    ask HEXPIREAT h 32503680000 FIELDS 1 f
    ask HSET h g [string repeat x 65]
    expect {"hashtable"} [ask OBJECT ENCODING h]
    expect {[:32503680000 :-1]} [ask HEXPIRETIME h FIELDS 2 f g]
}

case "HEXPIRE makes room for deadlines even if it sets none" {
    HSET h a 1                          -> :1
    HTTL h FIELDS 1 a                   -> [:-1]
    HPERSIST h FIELDS 1 a               -> [:-1]
    OBJECT ENCODING h                   -> "listpack"
    HEXPIRE h 100 FIELDS 1 x            -> [:-2]
    OBJECT ENCODING h                   -> "listpackex"
    DEBUG LISTPACK h                    -> +Listpack structure printed on stdout
    HGETALL h                           -> {"a" "1"}
}

check "INFO counts the hashes with deadlines" {
    ask HSET h a 1 b 2
    ask HSET g a 1 b 2
    expect {/db0:keys=2,expires=0,avg_ttl=0,subexpiry=0\r\n/} [ask INFO keyspace]
    ask HEXPIRE h 100 FIELDS 2 a b
    expect {/db0:keys=2,expires=0,avg_ttl=0,subexpiry=1\r\n/} [ask INFO keyspace]
    ask HEXPIRE g 100 FIELDS 1 a
    expect {/subexpiry=2\r\n/} [ask INFO keyspace]
    ask DEL g
    expect {/subexpiry=1\r\n/} [ask INFO keyspace]
}

case "errors of HEXPIRE and its kin" {
    HSET h a 1                          -> :1
    SET s v                             -> +OK
    HEXPIRE h 100 FIELDS 1              -> -ERR wrong number of arguments for 'hexpire' command
    HTTL h FIELDS 1                     -> -ERR wrong number of arguments for 'httl' command
    HPERSIST h FIELDS                   -> -ERR wrong number of arguments for 'hpersist' command
    HEXPIRE s x FIELDS 1 a              -> -WRONGTYPE Operation against a key holding the wrong kind of value
    HTTL s FIELDS 1 a                   -> -WRONGTYPE Operation against a key holding the wrong kind of value
    HPERSIST s FIELDS x a               -> -WRONGTYPE Operation against a key holding the wrong kind of value
    HEXPIRE h x FIELDS 1 a              -> -ERR value is not an integer or out of range
    HEXPIRE h -1 FIELDS 1 a             -> -ERR invalid expire time, must be >= 0
    HEXPIRE h 70368744178 FIELDS 1 a    -> -ERR invalid expire time in 'hexpire' command
    HEXPIRE h 9223372036854775807 FIELDS 1 a -> -ERR invalid expire time in 'hexpire' command
    HPEXPIRE h 70368744177663 FIELDS 1 a -> -ERR invalid expire time in 'hpexpire' command
    HEXPIREAT h 70368744178 FIELDS 1 a  -> -ERR invalid expire time in 'hexpireat' command
    HPEXPIREAT h 70368744177664 FIELDS 1 a -> -ERR invalid expire time in 'hpexpireat' command
    HPEXPIREAT h 70368744177663 FIELDS 1 a -> [:1]
    HEXPIRE h 100 NX 1 a b              -> -ERR Mandatory argument FIELDS is missing or not at the right position
    HEXPIRE h 100 YY FIELDS 1 a         -> -ERR Mandatory argument FIELDS is missing or not at the right position
    HEXPIRE h 100 FIELDS 0 a            -> -ERR Parameter `numFields` should be greater than 0
    HEXPIRE h 100 FIELDS x a            -> -ERR Parameter `numFields` should be greater than 0
    HEXPIRE h 100 FIELDS -1 a           -> -ERR Parameter `numFields` should be greater than 0
    HEXPIRE h 100 FIELDS 2 a            -> -ERR The `numfields` parameter must match the number of arguments
    HEXPIRE h 100 FIELDS 1 a b          -> -ERR The `numfields` parameter must match the number of arguments
    HEXPIRE h 100 NX FIELDS 1           -> -ERR The `numfields` parameter must match the number of arguments
    HEXPIRE missing 100 FIELDS 2 a      -> -ERR The `numfields` parameter must match the number of arguments
    HTTL h 1 a b                        -> -ERR Mandatory argument FIELDS is missing or not at the right position
    HTTL h FIELDS 0 a                   -> -ERR Number of fields must be a positive integer
    HTTL h FIELDS 2 a                   -> -ERR The `numfields` parameter must match the number of arguments
    HPERSIST h FIELDS x a               -> -ERR Number of fields must be a positive integer
    HPERSIST h FIELDS 9 a               -> -ERR The `numfields` parameter must match the number of arguments
    HPEXPIRETIME h FIELDS 1 a           -> [:70368744177663]
}
