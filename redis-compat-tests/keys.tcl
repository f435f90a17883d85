# The generic family: keys whatever their type. Times to live are in expire.tcl, SCAN in scan.tcl.

case "DEL, UNLINK, EXISTS, TOUCH count keys" {
    MSET a 1 b 2 c 3            -> +OK
    EXISTS a                    -> :1
    EXISTS a b missing a        -> :3
    EXISTS missing              -> :0
    TOUCH a b missing a         -> :3
    DEL a                       -> :1
    DEL a b b missing           -> :1
    UNLINK c c                  -> :1
    UNLINK missing              -> :0
    DBSIZE                      -> :0
}

case "arity of DEL, UNLINK, EXISTS, TOUCH, TYPE" {
    DEL                         -> -ERR wrong number of arguments for 'del' command
    UNLINK                      -> -ERR wrong number of arguments for 'unlink' command
    EXISTS                      -> -ERR wrong number of arguments for 'exists' command
    TOUCH                       -> -ERR wrong number of arguments for 'touch' command
    TYPE                        -> -ERR wrong number of arguments for 'type' command
    TYPE a b                    -> -ERR wrong number of arguments for 'type' command
    DBSIZE x                    -> -ERR wrong number of arguments for 'dbsize' command
    RANDOMKEY x                 -> -ERR wrong number of arguments for 'randomkey' command
}

case "TYPE" {
    TYPE missing                -> +none
    SET s v                     -> +OK
    TYPE s                      -> +string
    SET n 1                     -> +OK
    TYPE n                      -> +string
}

case "TYPE of the other types" -needs {RPUSH SADD ZADD HSET XADD} {
    RPUSH l a                   -> :1
    SADD s a                    -> :1
    ZADD z 1 a                  -> :1
    HSET h f v                  -> :1
    XADD x 1-1 f v              -> "1-1"
    TYPE l                      -> +list
    TYPE s                      -> +set
    TYPE z                      -> +zset
    TYPE h                      -> +hash
    TYPE x                      -> +stream
}

# --- RENAME, RENAMENX, COPY, MOVE ---------------------------------------------------

case "RENAME" {
    SET a 1 EX 100              -> +OK
    SET b 2                     -> +OK
    RENAME a b                  -> +OK
    EXISTS a                    -> :0
    GET b                       -> "1"
    TTL b                       -> :99..100
    SET c 3                     -> +OK
    RENAME c b                  -> +OK
    TTL b                       -> :-1
    RENAME b b                  -> +OK
    GET b                       -> "3"
    RENAME missing b            -> -ERR no such key
    RENAME missing missing      -> -ERR no such key
    GET b                       -> "3"
    RENAME a                    -> -ERR wrong number of arguments for 'rename' command
    RENAME a b c                -> -ERR wrong number of arguments for 'rename' command
}

case "RENAMENX" {
    MSET a 1 b 2                -> +OK
    RENAMENX a b                -> :0
    RENAMENX a c                -> :1
    MGET a b c                  -> [nil "2" "1"]
    RENAMENX c c                -> :0
    RENAMENX missing d          -> -ERR no such key
    RENAMENX missing missing    -> -ERR no such key
    RENAMENX a                  -> -ERR wrong number of arguments for 'renamenx' command
    RENAMENX a b c              -> -ERR wrong number of arguments for 'renamenx' command
}

case "COPY" {
    SET a 1 EX 100              -> +OK
    COPY a b                    -> :1
    GET b                       -> "1"
    TTL b                       -> :99..100
    SET c 3                     -> +OK
    COPY c b                    -> :0
    COPY c b REPLACE            -> :1
    GET b                       -> "3"
    TTL b                       -> :-1
    GET c                       -> "3"
    APPEND b x                  -> :2
    GET c                       -> "3"
    COPY missing d              -> :0
    COPY a a                    -> -ERR source and destination objects are the same
    COPY missing missing        -> -ERR source and destination objects are the same
    COPY a a DB 1               -> :1
    COPY a a DB 1               -> :0
    COPY a a DB 1 REPLACE       -> :1
    COPY a z replace db 1       -> :1
    COPY a a DB 0               -> -ERR source and destination objects are the same
    SELECT 1                    -> +OK
    DBSIZE                      -> :2
    GET a                       -> "1"
    TTL z                       -> :99..100
}

case "COPY's errors" {
    SET a 1                     -> +OK
    COPY a                      -> -ERR wrong number of arguments for 'copy' command
    COPY a b DB                 -> -ERR syntax error
    COPY a b DB x               -> -ERR value is not an integer or out of range
    COPY a b DB -1              -> -ERR DB index is out of range
    COPY a b DB 16              -> -ERR DB index is out of range
    COPY a b DB 9223372036854775807 -> -ERR value is out of range, value must between -2147483648 and 2147483647
    COPY a b DB 1 DB 2          -> :1
    COPY a b REPLACE REPLACE    -> :1
    COPY a b nonsense           -> -ERR syntax error
    COPY a a REPLACE            -> -ERR source and destination objects are the same
}

case "MOVE" {
    SET a 1 EX 100              -> +OK
    SET b 2                     -> +OK
    MOVE a 1                    -> :1
    EXISTS a                    -> :0
    MOVE a 1                    -> :0
    MOVE missing 1              -> :0
    SELECT 1                    -> +OK
    GET a                       -> "1"
    TTL a                       -> :99..100
    SET b other                 -> +OK
    SELECT 0                    -> +OK
    MOVE b 1                    -> :0
    GET b                       -> "2"
    MOVE b 0                    -> -ERR source and destination objects are the same
    MOVE b 16                   -> -ERR DB index is out of range
    MOVE b -1                   -> -ERR DB index is out of range
    MOVE b x                    -> -ERR value is not an integer or out of range
    MOVE b                      -> -ERR wrong number of arguments for 'move' command
    MOVE b 1 2                  -> -ERR wrong number of arguments for 'move' command
}

# --- databases ---------------------------------------------------------------------------

case "SELECT keeps databases apart" {
    SET k zero                  -> +OK
    SELECT 15                   -> +OK
    GET k                       -> nil
    SET k fifteen               -> +OK
    SELECT 0                    -> +OK
    GET k                       -> "zero"
    SELECT 16                   -> -ERR DB index is out of range
    SELECT -1                   -> -ERR DB index is out of range
    SELECT x                    -> -ERR value is not an integer or out of range
    SELECT 99999999999999999999 -> -ERR value is not an integer or out of range
    SELECT 9223372036854775807  -> -ERR value is out of range, value must between -2147483648 and 2147483647
    SELECT                      -> -ERR wrong number of arguments for 'select' command
    SELECT 1 2                  -> -ERR wrong number of arguments for 'select' command
    GET k                       -> "zero"
}

case "SWAPDB" {
    SET k zero EX 100           -> +OK
    SELECT 1                    -> +OK
    SET k one                   -> +OK
    B: GET k                    -> "zero"
    A: SWAPDB 0 1               -> +OK
    GET k                       -> "zero"
    B: GET k                    -> "one"
    TTL k                       -> :-1
    SWAPDB 0 0                  -> +OK
    SWAPDB 1 0                  -> +OK
    TTL k                       -> :99..100
    SWAPDB 0 16                 -> -ERR DB index is out of range
    SWAPDB 16 0                 -> -ERR DB index is out of range
    SWAPDB -1 0                 -> -ERR DB index is out of range
    SWAPDB x 0                  -> -ERR invalid first DB index
    SWAPDB 0 x                  -> -ERR invalid second DB index
    SWAPDB 0                    -> -ERR wrong number of arguments for 'swapdb' command
    SWAPDB 0 1 2                -> -ERR wrong number of arguments for 'swapdb' command
}

case "FLUSHDB and FLUSHALL" {
    SET a 1                     -> +OK
    SELECT 1                    -> +OK
    MSET b 2 c 3                -> +OK
    FLUSHDB                     -> +OK
    DBSIZE                      -> :0
    B: DBSIZE                   -> :1
    A: SET b 2                  -> +OK
    FLUSHDB SYNC                -> +OK
    SET b 2                     -> +OK
    FLUSHDB async               -> +OK
    DBSIZE                      -> :0
    SET b 2                     -> +OK
    FLUSHALL                    -> +OK
    DBSIZE                      -> :0
    B: DBSIZE                   -> :0
    SET a 1                     -> +OK
    FLUSHALL ASYNC              -> +OK
    FLUSHALL SYNC               -> +OK
    DBSIZE                      -> :0
    FLUSHDB nonsense            -> -ERR syntax error
    FLUSHALL nonsense           -> -ERR syntax error
    FLUSHDB SYNC ASYNC          -> -ERR syntax error
    FLUSHALL SYNC SYNC          -> -ERR syntax error
    FLUSHDB ""                  -> -ERR syntax error
}

case "DBSIZE" {
    DBSIZE                      -> :0
    MSET a 1 b 2 c 3            -> +OK
    DBSIZE                      -> :3
    DEL b                       -> :1
    DBSIZE                      -> :2
}

case "INFO keyspace lists databases that have keys" {
    SET a 1                     -> +OK
    SET b 1 EX 100              -> +OK
    SELECT 3                    -> +OK
    SET c 1                     -> +OK
    INFO keyspace               -> /^# Keyspace\r\ndb0:keys=2,expires=1,avg_ttl=\d+,subexpiry=0\r\ndb3:keys=1,expires=0,avg_ttl=0,subexpiry=0\r\n/
}

# --- KEYS and RANDOMKEY ----------------------------------------------------------------------

case "KEYS" {
    KEYS *                      -> []
    MSET foo 1 bar 2 foobar 3   -> +OK
    KEYS *                      -> ?["foo" "bar" "foobar"]
    KEYS foo*                   -> ?["foo" "foobar"]
    KEYS *bar                   -> ?["bar" "foobar"]
    KEYS foo                    -> ["foo"]
    KEYS missing                -> []
    KEYS ???                    -> ?["foo" "bar"]
    KEYS ""                     -> []
    SELECT 1                    -> +OK
    KEYS *                      -> []
    KEYS                        -> -ERR wrong number of arguments for 'keys' command
    KEYS a b                    -> -ERR wrong number of arguments for 'keys' command
}

case "patterns" {
    MSET hello 1 hallo 2 hxllo 3 hllo 4 heello 5 "h*llo" 6 "h?llo" 7 "h\[e" 8 "h^llo" 9 -> +OK
    KEYS h?llo                  -> ?["hello" "hallo" "hxllo" "h*llo" "h?llo" "h^llo"]
    KEYS h*llo                  -> ?["hello" "hallo" "hxllo" "hllo" "heello" "h*llo" "h?llo" "h^llo"]
    KEYS "h\[ae]llo"            -> ?["hello" "hallo"]
    KEYS "h\[^e]llo"            -> ?["hallo" "hxllo" "h*llo" "h?llo" "h^llo"]
    KEYS "h\[a-e]llo"           -> ?["hello" "hallo"]
    KEYS "h\[e-a]llo"           -> ?["hello" "hallo"]
    KEYS "h\\*llo"              -> ["h*llo"]
    KEYS "h\\?llo"              -> ["h?llo"]
    KEYS "h\[?]llo"             -> ["h?llo"]
    KEYS "h\\\[e"               -> ["h[e"]
    KEYS "h\[e"                 -> []
    KEYS "h\[\\^]llo"           -> ["h^llo"]
    KEYS "h**llo"               -> ?["hello" "hallo" "hxllo" "hllo" "heello" "h*llo" "h?llo" "h^llo"]
    KEYS "h\[]llo"              -> []
    KEYS "hell\\"               -> []
    KEYS HELLO                  -> []
    KEYS "*\x00*"               -> []
}

check "a pattern of many stars is matched without backtracking for ever" {
    ask SET [string repeat a 30] v
    expect {[]} [ask KEYS "[string repeat a* 50]b"]
}

case "RANDOMKEY" {
    RANDOMKEY                   -> nil
    SET only v                  -> +OK
    RANDOMKEY                   -> "only"
    SELECT 1                    -> +OK
    RANDOMKEY                   -> nil
}

check "RANDOMKEY finds every key" {
    for {set i 0} {$i < 10} {incr i} {
        ask SET key:$i v
    }
    array unset seen
    for {set i 0} {$i < 2000 && [array size seen] < 10} {incr i} {
        set seen([lindex [ask RANDOMKEY] 1]) 1
    }
    same 10 [array size seen] "different keys in 2000 tries"
}

# --- OBJECT --------------------------------------------------------------------------------------

case "OBJECT" {
    SET k v                     -> +OK
    OBJECT ENCODING k           -> "embstr"
    OBJECT REFCOUNT k           -> :1
    OBJECT IDLETIME k           -> :0..5
    OBJECT encoding k           -> "embstr"
    OBJECT FREQ k               -> /^-ERR An LFU maxmemory policy is not selected, access frequency not tracked\./
    OBJECT ENCODING missing     -> nil
    OBJECT REFCOUNT missing     -> nil
    OBJECT IDLETIME missing     -> nil
    OBJECT FREQ missing         -> nil
    OBJECT ENCODING             -> -ERR wrong number of arguments for 'object|encoding' command
    OBJECT ENCODING a b         -> -ERR wrong number of arguments for 'object|encoding' command
    OBJECT REFCOUNT             -> -ERR wrong number of arguments for 'object|refcount' command
    OBJECT IDLETIME             -> -ERR wrong number of arguments for 'object|idletime' command
    OBJECT FREQ                 -> -ERR wrong number of arguments for 'object|freq' command
    OBJECT                      -> -ERR wrong number of arguments for 'object' command
    OBJECT nonsense             -> -ERR unknown subcommand 'nonsense'. Try OBJECT HELP.
    OBJECT nonsense k           -> -ERR unknown subcommand 'nonsense'. Try OBJECT HELP.
    OBJECT HELP                 -> [/^OBJECT <subcommand>/ ...]
    OBJECT HELP me              -> -ERR wrong number of arguments for 'object|help' command
}

case "small integers are shared" {
    SET k 1                     -> +OK
    OBJECT REFCOUNT k           -> :2147483647
    SET k 9999                  -> +OK
    OBJECT REFCOUNT k           -> :2147483647
    SET k 10000                 -> +OK
    OBJECT REFCOUNT k           -> :1
}

case "OBJECT FREQ and IDLETIME follow the policy" -config {maxmemory-policy allkeys-lfu} {
    SET k v                     -> +OK
    OBJECT FREQ k               -> :5
    OBJECT IDLETIME k           -> /^-ERR An LFU maxmemory policy is selected, idle time not tracked\./
    OBJECT FREQ missing         -> nil
    OBJECT IDLETIME missing     -> nil
}

case "OBJECT ENCODING of the other types" -needs {RPUSH SADD ZADD HSET XADD} {
    RPUSH l a                   -> :1
    SADD si 1 2 3               -> :3
    SADD s a                    -> :1
    ZADD z 1 a                  -> :1
    HSET h f v                  -> :1
    XADD x 1-1 f v              -> "1-1"
    OBJECT ENCODING l           -> "listpack"
    OBJECT ENCODING si          -> "intset"
    OBJECT ENCODING s           -> "listpack"
    OBJECT ENCODING z           -> "listpack"
    OBJECT ENCODING h           -> "listpack"
    OBJECT ENCODING x           -> "stream"
}

case "COPY and RENAME of the other types" -needs {RPUSH SADD ZADD HSET XADD} {
    RPUSH l a b                 -> :2
    SADD s a                    -> :1
    ZADD z 1 a                  -> :1
    HSET h f v                  -> :1
    XADD x 1-1 f v              -> "1-1"
    COPY l l2                   -> :1
    COPY s s2                   -> :1
    COPY z z2                   -> :1
    COPY h h2                   -> :1
    COPY x x2                   -> :1
    RPUSH l c                   -> :3
    LRANGE l2 0 -1              -> ["a" "b"]
    SMEMBERS s2                 -> ~["a"]
    ZRANGE z2 0 -1              -> ["a"]
    HGET h2 f                   -> "v"
    XLEN x2                     -> :1
    RENAME l l3                 -> +OK
    TYPE l3                     -> +list
}

# --- DUMP and RESTORE ---------------------------------------------------------------------------------

case "DUMP and RESTORE" -needs {DUMP RESTORE} {
    SET k "some value"          -> +OK
    dumped := DUMP k
    DUMP missing                -> nil
    RESTORE copy 0 $dumped      -> +OK
    GET copy                    -> "some value"
    TTL copy                    -> :-1
    RESTORE copy 0 $dumped      -> -BUSYKEY Target key name already exists.
    RESTORE copy 100000 $dumped REPLACE -> +OK
    PTTL copy                   -> :99000..100000
    RESTORE copy 32503680000123 $dumped REPLACE ABSTTL -> +OK
    PEXPIRETIME copy            -> :32503680000123
    RESTORE copy 1 $dumped REPLACE ABSTTL -> +OK
    EXISTS copy                 -> :0
    RESTORE idle 0 $dumped IDLETIME 1000 -> +OK
    OBJECT IDLETIME idle        -> :1000..1010
    RESTORE bad 0 $dumped IDLETIME -1 -> -ERR Invalid IDLETIME value, must be >= 0
    RESTORE bad 0 $dumped FREQ 256 -> -ERR Invalid FREQ value, must be >= 0 and <= 255
    RESTORE bad 0 $dumped FREQ -1 -> -ERR Invalid FREQ value, must be >= 0 and <= 255
    RESTORE bad -1 $dumped      -> -ERR Invalid TTL value, must be >= 0
    RESTORE bad x $dumped       -> -ERR value is not an integer or out of range
    RESTORE bad 0 garbage       -> -ERR DUMP payload version or checksum are wrong
    RESTORE bad 0 ""            -> -ERR DUMP payload version or checksum are wrong
    RESTORE bad 0 $dumped nonsense -> -ERR syntax error
    RESTORE bad 0               -> -ERR wrong number of arguments for 'restore' command
    DUMP                        -> -ERR wrong number of arguments for 'dump' command
    DUMP a b                    -> -ERR wrong number of arguments for 'dump' command
    EXISTS bad                  -> :0
}
