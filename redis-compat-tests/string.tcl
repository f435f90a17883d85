# The string family: every command, every option, every error text.

set long [string repeat x 100000]
set binary "\x00\xff\r\n\x80 \""

# --- SET and GET ------------------------------------------------------------------

case "SET and GET" {
    SET k v                     -> +OK
    GET k                       -> "v"
    GET missing                 -> nil
    SET k ""                    -> +OK
    GET k                       -> ""
    SET "" empty-name           -> +OK
    GET ""                      -> "empty-name"
    set K upper                 -> +OK
    gEt K                       -> "upper"
    GET k                       -> ""
}

case "values are bytes" {
    SET bin $binary             -> +OK
    GET bin                     -> $binary
    STRLEN bin                  -> :7
    SET $binary v               -> +OK
    GET $binary                 -> "v"
    SET big $long               -> +OK
    GET big                     -> $long
    STRLEN big                  -> :100000
}

case "SET NX and XX" {
    SET k 1 NX                  -> +OK
    SET k 2 NX                  -> nil
    GET k                       -> "1"
    SET k 3 XX                  -> +OK
    GET k                       -> "3"
    SET other 1 XX              -> nil
    EXISTS other                -> :0
    SET k 4 nx xx               -> -ERR syntax error
    SET k 4 xx nx               -> -ERR syntax error
    SET other 5 nX              -> +OK
}

case "SET with a time to live" {
    SET k v EX 100              -> +OK
    TTL k                       -> :99..100
    SET k v PX 100000           -> +OK
    PTTL k                      -> :99000..100000
    SET k v EXAT 32503680000    -> +OK
    EXPIRETIME k                -> :32503680000
    SET k v PXAT 32503680000123 -> +OK
    PEXPIRETIME k               -> :32503680000123
    SET k v KEEPTTL             -> +OK
    PEXPIRETIME k               -> :32503680000123
    SET k v                     -> +OK
    TTL k                       -> :-1
    SET k v KEEPTTL             -> +OK
    TTL k                       -> :-1
    SET new v KEEPTTL           -> +OK
    SET k v NX EX 100           -> nil
    TTL k                       -> :-1
    SET k v XX EX 100           -> +OK
    TTL k                       -> :99..100
    SET k v EX 100 XX GET       -> "v"
    SET k v ex 10 keepttl       -> -ERR syntax error
}

case "SET with a time that has passed deletes" {
    SET k v                     -> +OK
    SET k v EXAT 1              -> +OK
    GET k                       -> nil
    EXISTS k                    -> :0
    SET k v PXAT 1              -> +OK
    GET k                       -> nil
}

case "SET GET" {
    SET k new GET               -> nil
    GET k                       -> "new"
    SET k newer GET             -> "new"
    SET k newest GET EX 100     -> "newer"
    TTL k                       -> :99..100
    SET k v NX GET              -> "newest"
    GET k                       -> "newest"
    SET fresh v NX GET          -> nil
    GET fresh                   -> "v"
    SET absent v XX GET         -> nil
    EXISTS absent               -> :0
    SET k v XX GET              -> "newest"
    SET k w get keepttl         -> "v"
    TTL k                       -> :-1
}

case "SET's errors" {
    SET                         -> -ERR wrong number of arguments for 'set' command
    SET k                       -> -ERR wrong number of arguments for 'set' command
    SET k v nonsense            -> -ERR syntax error
    SET k v EX                  -> -ERR syntax error
    SET k v PX                  -> -ERR syntax error
    SET k v EX 10 PX 10         -> -ERR syntax error
    SET k v EX 10 EX 10         -> +OK
    SET k v EX 10 EXAT 10       -> -ERR syntax error
    SET k v PXAT 10 PX 10       -> -ERR syntax error
    SET k v KEEPTTL EX 10       -> -ERR syntax error
    SET k v EX 10 PERSIST       -> -ERR syntax error
    SET k v EX abc              -> -ERR value is not an integer or out of range
    SET k v EX 1.5              -> -ERR value is not an integer or out of range
    SET k v EX ""               -> -ERR value is not an integer or out of range
    SET k v EX " 1"             -> -ERR value is not an integer or out of range
    SET k v EX 0                -> -ERR invalid expire time in 'set' command
    SET k v EX -1               -> -ERR invalid expire time in 'set' command
    SET k v PX 0                -> -ERR invalid expire time in 'set' command
    SET k v PX -5               -> -ERR invalid expire time in 'set' command
    SET k v EXAT 0              -> -ERR invalid expire time in 'set' command
    SET k v PXAT -1             -> -ERR invalid expire time in 'set' command
    SET k v EX 9223372036854775807    -> -ERR invalid expire time in 'set' command
    SET k v EX 9223372036854776       -> -ERR invalid expire time in 'set' command
    SET k v PX 9223372036854775807    -> -ERR invalid expire time in 'set' command
    SET k v EXAT 9223372036854775807  -> -ERR invalid expire time in 'set' command
    SET k v PXAT 9223372036854775808  -> -ERR value is not an integer or out of range
    SET k v EX NX               -> -ERR value is not an integer or out of range
    SET k v GET GET             -> "v"
    SET k v NX NX               -> nil
    SET k v XX XX               -> +OK
    DEL k                       -> :1
    SET k v EX 0 NX             -> -ERR invalid expire time in 'set' command
    EXISTS k                    -> :0
}

case "PXAT may be as late as a signed 64-bit number" {
    SET k v PXAT 9223372036854775807  -> +OK
    PEXPIRETIME k               -> :9223372036854775807
    EXPIRETIME k                -> :9223372036854776
    GET k                       -> "v"
}

case "SET replaces a value of another type" -needs {RPUSH} {
    RPUSH k a                   -> :1
    SET k v GET                 -> -WRONGTYPE Operation against a key holding the wrong kind of value
    TYPE k                      -> +list
    SET k v NX                  -> nil
    SET k v                     -> +OK
    GET k                       -> "v"
}

case "GET's errors" {
    GET                         -> -ERR wrong number of arguments for 'get' command
    GET a b                     -> -ERR wrong number of arguments for 'get' command
}

# --- GETSET, GETDEL, GETEX ----------------------------------------------------------

case "GETSET" {
    GETSET k 1                  -> nil
    GETSET k 2                  -> "1"
    GET k                       -> "2"
    EXPIRE k 100                -> :1
    GETSET k 3                  -> "2"
    TTL k                       -> :-1
    GETSET k                    -> -ERR wrong number of arguments for 'getset' command
    GETSET k a b                -> -ERR wrong number of arguments for 'getset' command
}

case "GETDEL" {
    SET k v                     -> +OK
    GETDEL k                    -> "v"
    EXISTS k                    -> :0
    GETDEL k                    -> nil
    GETDEL                      -> -ERR wrong number of arguments for 'getdel' command
    GETDEL a b                  -> -ERR wrong number of arguments for 'getdel' command
}

case "GETEX" {
    GETEX missing               -> nil
    GETEX missing EX 10         -> nil
    SET k v                     -> +OK
    GETEX k                     -> "v"
    TTL k                       -> :-1
    GETEX k EX 100              -> "v"
    TTL k                       -> :99..100
    GETEX k                     -> "v"
    TTL k                       -> :99..100
    GETEX k PX 200000           -> "v"
    PTTL k                      -> :199000..200000
    GETEX k EXAT 32503680000    -> "v"
    EXPIRETIME k                -> :32503680000
    GETEX k PXAT 32503680000123 -> "v"
    PEXPIRETIME k               -> :32503680000123
    GETEX k PERSIST             -> "v"
    TTL k                       -> :-1
    GETEX k persist             -> "v"
    GETEX k PXAT 1              -> "v"
    EXISTS k                    -> :0
}

case "GETEX's errors" {
    SET k v                     -> +OK
    GETEX                       -> -ERR wrong number of arguments for 'getex' command
    GETEX k nonsense            -> -ERR syntax error
    GETEX k EX                  -> -ERR syntax error
    GETEX k EX 0                -> -ERR invalid expire time in 'getex' command
    GETEX k EX -1               -> -ERR invalid expire time in 'getex' command
    GETEX k EX abc              -> -ERR value is not an integer or out of range
    GETEX k PX 0                -> -ERR invalid expire time in 'getex' command
    GETEX k EXAT 0              -> -ERR invalid expire time in 'getex' command
    GETEX k PXAT -1             -> -ERR invalid expire time in 'getex' command
    GETEX k EX 9223372036854775807 -> -ERR invalid expire time in 'getex' command
    GETEX k EX 10 PX 10         -> -ERR syntax error
    GETEX k EX 10 PERSIST       -> -ERR syntax error
    GETEX k PERSIST EX 10       -> -ERR syntax error
    GETEX k KEEPTTL             -> -ERR syntax error
    GETEX k NX                  -> -ERR syntax error
    GETEX k GET                 -> -ERR syntax error
    GETEX missing nonsense      -> -ERR syntax error
    GETEX missing EX 0          -> nil
    TTL k                       -> :-1
}

# --- SETNX, SETEX, PSETEX, MSET, MSETNX, MGET ----------------------------------------

case "SETNX" {
    SETNX k 1                   -> :1
    SETNX k 2                   -> :0
    GET k                       -> "1"
    SETNX k                     -> -ERR wrong number of arguments for 'setnx' command
    SETNX k a b                 -> -ERR wrong number of arguments for 'setnx' command
}

case "SETEX and PSETEX" {
    SETEX k 100 v               -> +OK
    GET k                       -> "v"
    TTL k                       -> :99..100
    PSETEX k 100000 w           -> +OK
    GET k                       -> "w"
    PTTL k                      -> :99000..100000
    SETEX k 0 v                 -> -ERR invalid expire time in 'setex' command
    SETEX k -1 v                -> -ERR invalid expire time in 'setex' command
    SETEX k abc v               -> -ERR value is not an integer or out of range
    SETEX k 9223372036854775807 v -> -ERR invalid expire time in 'setex' command
    SETEX k 10                  -> -ERR wrong number of arguments for 'setex' command
    SETEX k 10 v w              -> -ERR wrong number of arguments for 'setex' command
    PSETEX k 0 v                -> -ERR invalid expire time in 'psetex' command
    PSETEX k -1 v               -> -ERR invalid expire time in 'psetex' command
    PSETEX k 1.0 v              -> -ERR value is not an integer or out of range
    PSETEX k 9223372036854775807 v -> -ERR invalid expire time in 'psetex' command
    PSETEX k 10                 -> -ERR wrong number of arguments for 'psetex' command
    GET k                       -> "w"
}

case "MSET and MGET" {
    MSET a 1 b 2 a 3            -> +OK
    MGET a b missing a          -> ["3" "2" nil "3"]
    MGET missing                -> [nil]
    EXPIRE a 100                -> :1
    MSET a 4                    -> +OK
    TTL a                       -> :-1
    MSET                        -> -ERR wrong number of arguments for 'mset' command
    MSET a                      -> -ERR wrong number of arguments for 'mset' command
    MSET a 1 b                  -> -ERR wrong number of arguments for 'mset' command
    MGET                        -> -ERR wrong number of arguments for 'mget' command
    GET a                       -> "4"
}

case "MSETNX sets all or none" {
    MSETNX a 1 b 2              -> :1
    MSETNX b 3 c 4              -> :0
    MGET a b c                  -> ["1" "2" nil]
    MSETNX d 1 d 2              -> :1
    GET d                       -> "2"
    MSETNX e                    -> -ERR wrong number of arguments for 'msetnx' command
    MSETNX                      -> -ERR wrong number of arguments for 'msetnx' command
    MSETNX e 1 f                -> -ERR wrong number of arguments for 'msetnx' command
}

case "MGET shows a value of another type as null" -needs {RPUSH} {
    RPUSH l a                   -> :1
    SET s v                     -> +OK
    MGET l s                    -> [nil "v"]
    MSETNX l 1 fresh 1          -> :0
    MSET l 1                    -> +OK
    TYPE l                      -> +string
}

# --- INCR and its kin -----------------------------------------------------------------

case "INCR, DECR, INCRBY, DECRBY" {
    INCR n                      -> :1
    INCR n                      -> :2
    INCRBY n 40                 -> :42
    DECR n                      -> :41
    DECRBY n 50                 -> :-9
    INCRBY n -1                 -> :-10
    DECRBY n -10                -> :0
    GET n                       -> "0"
    INCRBY n 0                  -> :0
    DECR fresh                  -> :-1
    DECRBY fresher 5            -> :-5
    EXPIRE n 100                -> :1
    INCR n                      -> :1
    TTL n                       -> :99..100
}

case "INCR at the edges of 64 bits" {
    SET n 9223372036854775806   -> +OK
    INCR n                      -> :9223372036854775807
    INCR n                      -> -ERR increment or decrement would overflow
    GET n                       -> "9223372036854775807"
    INCRBY n 1                  -> -ERR increment or decrement would overflow
    DECRBY n -1                 -> -ERR increment or decrement would overflow
    SET n -9223372036854775807  -> +OK
    DECR n                      -> :-9223372036854775808
    DECR n                      -> -ERR increment or decrement would overflow
    INCRBY n -1                 -> -ERR increment or decrement would overflow
    DECRBY n 1                  -> -ERR increment or decrement would overflow
    DECRBY n -9223372036854775808 -> -ERR decrement would overflow
    INCRBY n 9223372036854775807 -> :-1
    SET n 0                     -> +OK
    INCRBY n -9223372036854775808 -> :-9223372036854775808
    INCRBY n 9223372036854775808  -> -ERR value is not an integer or out of range
    SET n 9223372036854775808   -> +OK
    INCR n                      -> -ERR value is not an integer or out of range
    SET n -9223372036854775809  -> +OK
    DECR n                      -> -ERR value is not an integer or out of range
}

case "what INCR takes for a number" {
    SET n " 1"                  -> +OK
    INCR n                      -> -ERR value is not an integer or out of range
    SET n "1 "                  -> +OK
    INCR n                      -> -ERR value is not an integer or out of range
    SET n +1                    -> +OK
    INCR n                      -> -ERR value is not an integer or out of range
    SET n 01                    -> +OK
    INCR n                      -> -ERR value is not an integer or out of range
    SET n -0                    -> +OK
    INCR n                      -> -ERR value is not an integer or out of range
    SET n 1.0                   -> +OK
    INCR n                      -> -ERR value is not an integer or out of range
    SET n 1e3                   -> +OK
    INCR n                      -> -ERR value is not an integer or out of range
    SET n 0x10                  -> +OK
    INCR n                      -> -ERR value is not an integer or out of range
    SET n ""                    -> +OK
    INCR n                      -> -ERR value is not an integer or out of range
    SET n abc                   -> +OK
    INCR n                      -> -ERR value is not an integer or out of range
    SET n "1\x00"               -> +OK
    INCR n                      -> -ERR value is not an integer or out of range
    SET n 0                     -> +OK
    INCR n                      -> :1
    SET n -1                    -> +OK
    INCR n                      -> :0
}

case "errors of INCR and its kin" {
    INCR                        -> -ERR wrong number of arguments for 'incr' command
    INCR a b                    -> -ERR wrong number of arguments for 'incr' command
    DECR                        -> -ERR wrong number of arguments for 'decr' command
    DECR a b                    -> -ERR wrong number of arguments for 'decr' command
    INCRBY a                    -> -ERR wrong number of arguments for 'incrby' command
    INCRBY a 1 2                -> -ERR wrong number of arguments for 'incrby' command
    INCRBY a x                  -> -ERR value is not an integer or out of range
    INCRBY a 1.5                -> -ERR value is not an integer or out of range
    INCRBY a ""                 -> -ERR value is not an integer or out of range
    DECRBY a                    -> -ERR wrong number of arguments for 'decrby' command
    DECRBY a x                  -> -ERR value is not an integer or out of range
    DECRBY a -9223372036854775808 -> -ERR decrement would overflow
    EXISTS a                    -> :0
}

case "INCRBYFLOAT" {
    INCRBYFLOAT f 1.5           -> "1.5"
    INCRBYFLOAT f 1.5           -> "3"
    INCRBYFLOAT f -0.25         -> "2.75"
    GET f                       -> "2.75"
    INCRBYFLOAT f 1e3           -> "1002.75"
    INCRBYFLOAT f 1E-2          -> "1002.76000000000000001"
    INCRBYFLOAT f 0             -> "1002.76000000000000001"
    SET f 3                     -> +OK
    INCRBYFLOAT f 1.1           -> "4.1"
    SET f 0.1                   -> +OK
    INCRBYFLOAT f 0.2           -> "0.3"
    SET f 17179869184           -> +OK
    INCRBYFLOAT f 1.5           -> "17179869185.5"
    SET f -0                    -> +OK
    INCRBYFLOAT f 0             -> "0"
    SET f 5.0e3                 -> +OK
    INCRBYFLOAT f 2.0e2         -> "5200"
    SET f 10.50                 -> +OK
    INCRBYFLOAT f 0.1           -> "10.6"
    INCRBYFLOAT f -10.6         -> "0"
    SET f 1                     -> +OK
    INCRBYFLOAT f 1             -> "2"
    INCR f                      -> :3
    EXPIRE f 100                -> :1
    INCRBYFLOAT f 0.5           -> "3.5"
    TTL f                       -> :99..100
}

case "INCRBYFLOAT keeps 17 digits after the point" {
    INCRBYFLOAT f 0.12345678901234567      -> "0.12345678901234567"
    SET f 1                                -> +OK
    INCRBYFLOAT f 0.00000000000000001      -> "1.00000000000000001"
    INCRBYFLOAT f 0.000000000000000001     -> "1.00000000000000001"
    SET f 1                                -> +OK
    INCRBYFLOAT f 1e-17                    -> "1.00000000000000001"
    SET f 3.141592653589793238462643       -> +OK
    INCRBYFLOAT f 0                        -> "3.14159265358979324"
    SET f 1e20                             -> +OK
    INCRBYFLOAT f 1                        -> "100000000000000000000"
    SET f 123456789012345678               -> +OK
    INCRBYFLOAT f 1                        -> "123456789012345679"
    SET f 0                                -> +OK
    INCRBYFLOAT f 9223372036854775807      -> "9223372036854775807"
    INCRBYFLOAT f 1                        -> "9223372036854775808"
    SET f 0                                -> +OK
    INCRBYFLOAT f 1e300                    -> "1000000000000000000008997324079559193870523944273290747938260082321265646596180935755849152083750497190350372508614274835903592556184672983913096260520748646287327135641843653294084255107606016789726652932370030551382947620994540294772781889620606179267611627097410650567187386105690089424915104006144"
}

case "INCRBYFLOAT's errors" {
    INCRBYFLOAT                 -> -ERR wrong number of arguments for 'incrbyfloat' command
    INCRBYFLOAT f               -> -ERR wrong number of arguments for 'incrbyfloat' command
    INCRBYFLOAT f 1 2           -> -ERR wrong number of arguments for 'incrbyfloat' command
    INCRBYFLOAT f x             -> -ERR value is not a valid float
    INCRBYFLOAT f ""            -> -ERR value is not a valid float
    INCRBYFLOAT f " 1"          -> -ERR value is not a valid float
    INCRBYFLOAT f "1 "          -> -ERR value is not a valid float
    INCRBYFLOAT f nan           -> -ERR value is not a valid float
    INCRBYFLOAT f inf           -> -ERR increment would produce NaN or Infinity
    INCRBYFLOAT f -inf          -> -ERR increment would produce NaN or Infinity
    INCRBYFLOAT f 1e5000        -> -ERR value is not a valid float
    EXISTS f                    -> :0
    SET f abc                   -> +OK
    INCRBYFLOAT f 1             -> -ERR value is not a valid float
    SET f "1 "                  -> +OK
    INCRBYFLOAT f 1             -> -ERR value is not a valid float
    SET f " 1"                  -> +OK
    INCRBYFLOAT f 1             -> -ERR value is not a valid float
    SET f ""                    -> +OK
    INCRBYFLOAT f 1             -> -ERR value is not a valid float
    SET f inf                   -> +OK
    INCRBYFLOAT f 1             -> -ERR increment would produce NaN or Infinity
    SET f "1\x00"               -> +OK
    INCRBYFLOAT f 1             -> -ERR value is not a valid float
    SET f 0x10                  -> +OK
    INCRBYFLOAT f 1             -> "17"
    SET f 1e4932                -> +OK
    INCRBYFLOAT f 1e4932        -> -ERR increment would produce NaN or Infinity
}

# --- APPEND, STRLEN, GETRANGE, SUBSTR, SETRANGE ----------------------------------------

case "APPEND and STRLEN" {
    STRLEN k                    -> :0
    APPEND k ""                 -> :0
    EXISTS k                    -> :1
    APPEND k abc                -> :3
    APPEND k def                -> :6
    GET k                       -> "abcdef"
    STRLEN k                    -> :6
    SET n 12                    -> +OK
    STRLEN n                    -> :2
    APPEND n 3                  -> :3
    INCR n                      -> :124
    APPEND n x                  -> :4
    GET n                       -> "124x"
    EXPIRE k 100                -> :1
    APPEND k g                  -> :7
    TTL k                       -> :99..100
    APPEND k $long              -> :100007
    STRLEN k                    -> :100007
    APPEND k                    -> -ERR wrong number of arguments for 'append' command
    APPEND k a b                -> -ERR wrong number of arguments for 'append' command
    STRLEN                      -> -ERR wrong number of arguments for 'strlen' command
    STRLEN a b                  -> -ERR wrong number of arguments for 'strlen' command
}

case "GETRANGE and SUBSTR" {
    SET k "Hello world"         -> +OK
    GETRANGE k 0 4              -> "Hello"
    GETRANGE k 0 -1             -> "Hello world"
    GETRANGE k -5 -1            -> "world"
    GETRANGE k -3 -5            -> ""
    GETRANGE k 5 2              -> ""
    GETRANGE k 3 3              -> "l"
    GETRANGE k 0 100            -> "Hello world"
    GETRANGE k -100 2           -> "Hel"
    GETRANGE k -100 -50         -> "H"
    GETRANGE k 11 20            -> ""
    GETRANGE k 9223372036854775807 9223372036854775807 -> ""
    GETRANGE k -9223372036854775808 9223372036854775807 -> "Hello world"
    GETRANGE missing 0 -1       -> ""
    SET n 1234                  -> +OK
    GETRANGE n 0 2              -> "123"
    GETRANGE n -2 -1            -> "34"
    SET empty ""                -> +OK
    GETRANGE empty 0 -1         -> ""
    SUBSTR k 0 4                -> "Hello"
    SUBSTR k -5 -1              -> "world"
    SUBSTR missing 0 1          -> ""
}

case "errors of GETRANGE and SUBSTR" {
    GETRANGE k 0                -> -ERR wrong number of arguments for 'getrange' command
    GETRANGE k 0 1 2            -> -ERR wrong number of arguments for 'getrange' command
    GETRANGE k x 1              -> -ERR value is not an integer or out of range
    GETRANGE k 0 x              -> -ERR value is not an integer or out of range
    GETRANGE k 0 1.0            -> -ERR value is not an integer or out of range
    GETRANGE k 0 9223372036854775808 -> -ERR value is not an integer or out of range
    SUBSTR k 0                  -> -ERR wrong number of arguments for 'substr' command
    SUBSTR k x 1                -> -ERR value is not an integer or out of range
}

case "SETRANGE" {
    SETRANGE k 0 ""             -> :0
    EXISTS k                    -> :0
    SETRANGE k 3 ""             -> :0
    EXISTS k                    -> :0
    SETRANGE k 0 foo            -> :3
    SETRANGE k 1 b              -> :3
    GET k                       -> "fbo"
    SETRANGE k 5 bar            -> :8
    GET k                       -> "fbo\x00\x00bar"
    SETRANGE k 2 ""             -> :8
    SETRANGE pad 2 x            -> :3
    GET pad                     -> "\x00\x00x"
    SET n 1234                  -> +OK
    SETRANGE n 0 2              -> :4
    GET n                       -> "2234"
    SETRANGE n 6 5              -> :7
    GET n                       -> "2234\x00\x005"
    EXPIRE k 100                -> :1
    SETRANGE k 0 x              -> :8
    TTL k                       -> :99..100
}

case "SETRANGE's errors" {
    SETRANGE k 0                -> -ERR wrong number of arguments for 'setrange' command
    SETRANGE k 0 v w            -> -ERR wrong number of arguments for 'setrange' command
    SETRANGE k x v              -> -ERR value is not an integer or out of range
    SETRANGE k -1 v             -> -ERR offset is out of range
    SETRANGE k 536870912 v      -> -ERR string exceeds maximum allowed size (proto-max-bulk-len)
    SETRANGE k 536870911 vw     -> -ERR string exceeds maximum allowed size (proto-max-bulk-len)
    SETRANGE k 9223372036854775807 v -> -ERR string exceeds maximum allowed size (proto-max-bulk-len)
    SETRANGE k 9223372036854775808 v -> -ERR value is not an integer or out of range
    EXISTS k                    -> :0
    SET k abc                   -> +OK
    SETRANGE k -1 v             -> -ERR offset is out of range
    SETRANGE k 536870911 vw     -> -ERR string exceeds maximum allowed size (proto-max-bulk-len)
    SETRANGE k -1 ""            -> -ERR offset is out of range
    GET k                       -> "abc"
}

case "strings are limited to proto-max-bulk-len" -config {proto-max-bulk-len 1mb} {
    SETRANGE k 1048575 x        -> :1048576
    APPEND k y                  -> -ERR string exceeds maximum allowed size (proto-max-bulk-len)
    SETRANGE k 1048576 y        -> -ERR string exceeds maximum allowed size (proto-max-bulk-len)
    STRLEN k                    -> :1048576
}

# --- LCS ---------------------------------------------------------------------------------

case "LCS" {
    MSET a ohmytext b mynewtext -> +OK
    LCS a b                     -> "mytext"
    LCS a b LEN                 -> :6
    LCS a b IDX                 -> {"matches" [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] "len" :6}
    LCS a b IDX MINMATCHLEN 4   -> {"matches" [[[:4 :7] [:5 :8]]] "len" :6}
    LCS a b IDX WITHMATCHLEN    -> {"matches" [[[:4 :7] [:5 :8] :4] [[:2 :3] [:0 :1] :2]] "len" :6}
    LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN -> {"matches" [[[:4 :7] [:5 :8] :4]] "len" :6}
    LCS a b withmatchlen minmatchlen 5 idx -> {"matches" [] "len" :6}
    LCS a b MINMATCHLEN 4       -> "mytext"
    LCS a b LEN WITHMATCHLEN    -> :6
    LCS a b IDX MINMATCHLEN 0   -> {"matches" [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] "len" :6}
    LCS a b IDX MINMATCHLEN -3 WITHMATCHLEN -> {"matches" [[[:4 :7] [:5 :8] :4] [[:2 :3] [:0 :1] :2]] "len" :6}
    LCS a missing               -> ""
    LCS missing nope LEN        -> :0
    LCS missing nope IDX        -> {"matches" [] "len" :0}
    LCS a a                     -> "ohmytext"
    LCS a a IDX WITHMATCHLEN    -> {"matches" [[[:0 :7] [:0 :7] :8]] "len" :8}
}

case "LCS of numbers and binary" {
    MSET a 12345 b 2351 x "\x00\x01\x02" y "\x01\x02\x00" -> +OK
    LCS a b                     -> "235"
    LCS x y                     -> "\x01\x02"
    LCS x y IDX                 -> {"matches" [[[:1 :2] [:0 :1]]] "len" :2}
}

case "LCS's errors" {
    LCS a                       -> -ERR wrong number of arguments for 'lcs' command
    LCS                         -> -ERR wrong number of arguments for 'lcs' command
    LCS a b LEN IDX             -> -ERR If you want both the length and indexes, please just use IDX.
    LCS a b nonsense            -> -ERR syntax error
    LCS a b IDX MINMATCHLEN     -> -ERR syntax error
    LCS a b IDX MINMATCHLEN x   -> -ERR value is not an integer or out of range
}

# --- types and encodings --------------------------------------------------------------------

case "string commands refuse other types" -needs {RPUSH} {
    RPUSH l a                   -> :1
    GET l                       -> -WRONGTYPE Operation against a key holding the wrong kind of value
    GETSET l v                  -> -WRONGTYPE Operation against a key holding the wrong kind of value
    GETDEL l                    -> -WRONGTYPE Operation against a key holding the wrong kind of value
    GETEX l                     -> -WRONGTYPE Operation against a key holding the wrong kind of value
    GETEX l EX 10               -> -WRONGTYPE Operation against a key holding the wrong kind of value
    SET l v GET                 -> -WRONGTYPE Operation against a key holding the wrong kind of value
    SET l v NX GET              -> -WRONGTYPE Operation against a key holding the wrong kind of value
    APPEND l v                  -> -WRONGTYPE Operation against a key holding the wrong kind of value
    STRLEN l                    -> -WRONGTYPE Operation against a key holding the wrong kind of value
    INCR l                      -> -WRONGTYPE Operation against a key holding the wrong kind of value
    DECR l                      -> -WRONGTYPE Operation against a key holding the wrong kind of value
    INCRBY l 1                  -> -WRONGTYPE Operation against a key holding the wrong kind of value
    INCRBYFLOAT l 1             -> -WRONGTYPE Operation against a key holding the wrong kind of value
    GETRANGE l 0 1              -> -WRONGTYPE Operation against a key holding the wrong kind of value
    SUBSTR l 0 1                -> -WRONGTYPE Operation against a key holding the wrong kind of value
    SETRANGE l 0 v              -> -WRONGTYPE Operation against a key holding the wrong kind of value
    SETRANGE l 0 ""             -> -WRONGTYPE Operation against a key holding the wrong kind of value
    LCS l l                     -> -ERR The specified keys must contain string values
    SETNX l v                   -> :0
    LLEN l                      -> :1
}

case "encodings" {
    SET k 0                     -> +OK
    OBJECT ENCODING k           -> "int"
    SET k 9999                  -> +OK
    OBJECT ENCODING k           -> "int"
    SET k -9223372036854775808  -> +OK
    OBJECT ENCODING k           -> "int"
    SET k 9223372036854775808   -> +OK
    OBJECT ENCODING k           -> "embstr"
    SET k 007                   -> +OK
    OBJECT ENCODING k           -> "embstr"
    SET k ""                    -> +OK
    OBJECT ENCODING k           -> "embstr"
    SET k 12345678901234567890123456789012345678901234 -> +OK
    OBJECT ENCODING k           -> "embstr"
    SET k 123456789012345678901234567890123456789012345 -> +OK
    OBJECT ENCODING k           -> "raw"
    SET k abc                   -> +OK
    APPEND k d                  -> :4
    OBJECT ENCODING k           -> "raw"
    SET k 12                    -> +OK
    APPEND k 3                  -> :3
    OBJECT ENCODING k           -> "raw"
    INCR k                      -> :124
    OBJECT ENCODING k           -> "int"
    INCRBYFLOAT k 1             -> "125"
    OBJECT ENCODING k           -> "embstr"
    SETRANGE k 0 9              -> :3
    OBJECT ENCODING k           -> "raw"
    SETRANGE fresh 0 9          -> :1
    OBJECT ENCODING fresh       -> "raw"
    APPEND fresher 9            -> :1
    OBJECT ENCODING fresher     -> "int"
    GETSET fresher 10           -> "9"
    OBJECT ENCODING fresher     -> "int"
    MSET m 10 n ten             -> +OK
    OBJECT ENCODING m           -> "int"
    OBJECT ENCODING n           -> "embstr"
}

check "every byte survives a round trip" {
    set bytes ""
    for {set i 0} {$i < 256} {incr i} {
        append bytes [format %c $i]
    }
    expect +OK [ask SET k $bytes]
    expect {$bytes} [ask GET k]
    expect :256 [ask STRLEN k]
}

check "values of all sizes around the encodings' borders" {
    foreach size {0 1 20 21 43 44 45 127 128 255 256 1023 1024 16383 16384 32767 32768 65535 65536 1048576} {
        set value [string repeat v $size]
        ask SET k $value
        same [list \$ $value] [ask GET k] "GET of $size bytes"
        same [list : $size] [ask STRLEN k] "STRLEN of $size bytes"
    }
}
