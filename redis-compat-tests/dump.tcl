# DUMP, RESTORE and MIGRATE.

case "DUMP is what Redis 7.4 makes of small values" {
    SET n 12345                 -> +OK
    DUMP n                      -> "\x00\xc190\x0c\x00V\xe2\xde\xe7i\xd6\x96\xf0"
    RPUSH l a b 1               -> :3
    DUMP l                      -> "\x12\x01\x02\x0f\x0f\x00\x00\x00\x03\x00\x81a\x02\x81b\x02\x01\x01\xff\x0c\x00+m\x9f\x8a\xbd\xe4\xc7k"
    SADD s 1 2                  -> :2
    DUMP s                      -> "\x0b\x0c\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x02\x00\x0c\x00\xa4\x0f\x0cq\xce\xc1\xbeg"
    HSET h f v                  -> :1
    DUMP h                      -> "\x10\r\r\x00\x00\x00\x02\x00\x81f\x02\x81v\x02\xff\x0c\x00\xeb\x87\t\x84\xd9~\x96\xd4"
    ZADD z 1.5 m                -> :1
    DUMP z                      -> "\x11\x0f\x0f\x00\x00\x00\x02\x00\x81m\x02\x831.5\x04\xff\x0c\x00\x82\xaf\xb3\xa0\x82\x0f\xd0\xc3"
    DUMP missing                -> nil
    DUMP                        -> -ERR wrong number of arguments for 'dump' command
}

case "RESTORE takes what other versions wrote" {
    # Compressed text; version 9.
    RESTORE k 0 "\x00\xc3\t(\x01aa\xe0\x1b\x00\x01aa\x0c\x00\x04\x7f\x1bjT\x0f\x1dT" -> +OK
    GET k                       -> "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    TTL k                       -> :-1
}

case "RESTORE and times to live" {
    SET k v                     -> +OK
    d := DUMP k
    RESTORE k 0 $d              -> -BUSYKEY Target key name already exists.
    RESTORE k 100000 $d REPLACE -> +OK
    PTTL k                      -> :90000..100000
    RESTORE other 2000000000000000 $d -> +OK
    PTTL other                  -> :1999999999990000..2000000000000000
    RESTORE k 32503680000000 $d ABSTTL replace -> +OK
    PEXPIRETIME k               -> :32503680000000
    RESTORE k 1 $d absttl REPLACE -> +OK
    EXISTS k                    -> :0
    RESTORE k 1 $d ABSTTL       -> +OK
    EXISTS k                    -> :0
}

case "RESTORE and the access clock" -config {maxmemory-policy allkeys-lru} {
    SET k v                     -> +OK
    d := DUMP k
    RESTORE k 0 $d REPLACE IDLETIME 1000 -> +OK
    OBJECT IDLETIME k           -> :1000..1010
}

case "RESTORE and the access counter" -config {maxmemory-policy allkeys-lfu} {
    SET k v                     -> +OK
    d := DUMP k
    RESTORE k 0 $d REPLACE FREQ 100 -> +OK
    OBJECT FREQ k               -> :99..100
}

case "what RESTORE refuses" {
    RESTORE k 0 abc             -> -ERR DUMP payload version or checksum are wrong
    RESTORE k 0 ""              -> -ERR DUMP payload version or checksum are wrong
    # A newer version; a wrong checksum; a checksum that is right for contents that are not.
    RESTORE k 0 "\x00\xc190\xff\x00V\xe2\xde\xe7i\xd6\x96\xf0" -> -ERR DUMP payload version or checksum are wrong
    RESTORE k 0 "\x00\xc190\x0c\x00V\xe2\xde\xe7i\xd6\x96\xf1" -> -ERR DUMP payload version or checksum are wrong
    DEBUG SET-SKIP-CHECKSUM-VALIDATION 1 -> +OK
    RESTORE k 0 "\x00\x3fab\x0c\x00________" -> -ERR Bad data format
    RESTORE k 0 "\x63\x01a\x0c\x00________" -> -ERR Bad data format
    RESTORE k 0 "\x02\x02\x01a\x01a\x0c\x00________" -> -ERR Bad data format
    RESTORE k 0 "\x02\x00\x0c\x00________" -> -ERR Bad data format
    RESTORE k 0 "\x00\x01a\x0c\x00________" -> +OK
    DEBUG SET-SKIP-CHECKSUM-VALIDATION 0 -> +OK
    GET k                       -> "a"
    RESTORE x -1 abc            -> -ERR Invalid TTL value, must be >= 0
    RESTORE x a abc             -> -ERR value is not an integer or out of range
    RESTORE x 0 abc IDLETIME -1 -> -ERR Invalid IDLETIME value, must be >= 0
    RESTORE x 0 abc IDLETIME x  -> -ERR value is not an integer or out of range
    RESTORE x 0 abc FREQ 256    -> -ERR Invalid FREQ value, must be >= 0 and <= 255
    RESTORE x 0 abc FREQ 1 IDLETIME 1 -> -ERR syntax error
    RESTORE x 0 abc IDLETIME    -> -ERR syntax error
    RESTORE x 0 abc what        -> -ERR syntax error
    RESTORE x 0                 -> -ERR wrong number of arguments for 'restore' command
}

check "a time to live beyond all times is over" {
    ask SET k v
    set dumped [lindex [ask DUMP k] 1]
    expect +OK [ask RESTORE far 9223372036854775807 $dumped]
    expect :0 [ask EXISTS far]
    expect +OK [ask RESTORE k 9223372036854775807 $dumped REPLACE]
    expect :0 [ask DBSIZE]
}

check "MIGRATE moves keys with their times to live" {
    set other [server::start]
    set port $server::port($other)
    ask MSET a 1 b 2 c 3
    ask EXPIRE b 1000
    ask RPUSH list x y z
    expect +OK [ask MIGRATE 127.0.0.1 $port a 1 5000]
    expect :0 [ask EXISTS a]
    expect "+OK" [ask MIGRATE 127.0.0.1 $port "" 1 5000 KEYS b list missing]
    expect "+OK" [ask MIGRATE 127.0.0.1 $port c 1 5000 COPY]
    expect {"3"} [ask GET c]
    expect {/Target instance replied with error: BUSYKEY/} [ask MIGRATE 127.0.0.1 $port c 1 5000]
    expect +OK [ask MIGRATE 127.0.0.1 $port c 1 5000 REPLACE]
    expect :0 [ask DBSIZE]
    expect "+NOKEY" [ask MIGRATE 127.0.0.1 $port c 1 5000]
    expect {/migrate_cached_sockets:1\r\n/} [ask INFO stats]
    set first $run::server
    set run::server $other
    run::disconnect
    ask SELECT 1
    expect {["1" "2" "3"]} [ask MGET a b c]
    expect {:900..1000} [ask TTL b]
    expect {["x" "y" "z"]} [ask LRANGE list 0 -1]
    run::disconnect
    set run::server $first
    server::stop $other
}

case "what MIGRATE refuses" {
    SET k v                     -> +OK
    MIGRATE h p k 0             -> -ERR wrong number of arguments for 'migrate' command
    MIGRATE h p k 0 1 what      -> -ERR syntax error
    MIGRATE h p k 0 1 AUTH      -> -ERR syntax error
    MIGRATE h p k 0 1 AUTH2 a   -> -ERR syntax error
    MIGRATE h p k x 1           -> -ERR value is not an integer or out of range
    MIGRATE h p k 0 x           -> -ERR value is not an integer or out of range
    MIGRATE h p k 0 1 KEYS a    -> -ERR When using MIGRATE KEYS option, the key argument must be set to the empty string
    MIGRATE 127.0.0.1 1 k 0 100 -> /^-IOERR error or timeout/
    COMMAND GETKEYS MIGRATE h p "" 0 1 AUTH keys KEYS a b -> ["a" "b"]
}

case "in NO-TOUCH mode neither reading nor changing is a use" -config {maxmemory-policy allkeys-lru} {
    RPUSH list a b              -> :2
    d := DUMP list
    RESTORE list 0 $d REPLACE IDLETIME 1000 -> +OK
    HSET hash f 1               -> :1
    d := DUMP hash
    RESTORE hash 0 $d REPLACE IDLETIME 1000 -> +OK
    CLIENT NO-TOUCH ON          -> +OK
    LRANGE list 0 -1            -> ["a" "b"]
    LPUSH list c                -> :3
    HINCRBY hash f 5            -> :6
    HEXPIRE hash 100 FIELDS 1 f -> [:1]
    OBJECT IDLETIME list        -> :1000..1010
    OBJECT IDLETIME hash        -> :1000..1010
    CLIENT NO-TOUCH OFF         -> +OK
    LPUSH list d                -> :4
    HINCRBY hash f 5            -> :11
    OBJECT IDLETIME list        -> :0..5
    OBJECT IDLETIME hash        -> :0..5
}
