# Times to live: setting them under conditions, reading them, and what happens when they have passed.

case "EXPIRE and TTL" {
    TTL k                       -> :-2
    PTTL k                      -> :-2
    EXPIRETIME k                -> :-2
    PEXPIRETIME k               -> :-2
    EXPIRE k 100                -> :0
    SET k v                     -> +OK
    TTL k                       -> :-1
    PTTL k                      -> :-1
    EXPIRETIME k                -> :-1
    PEXPIRETIME k               -> :-1
    EXPIRE k 100                -> :1
    TTL k                       -> :99..100
    PTTL k                      -> :99000..100000
    PEXPIRE k 200000            -> :1
    PTTL k                      -> :199000..200000
    EXPIREAT k 32503680000      -> :1
    EXPIRETIME k                -> :32503680000
    PEXPIRETIME k               -> :32503680000000
    PEXPIREAT k 32503680000123  -> :1
    EXPIRETIME k                -> :32503680000
    PEXPIRETIME k               -> :32503680000123
    PEXPIREAT k 32503680000500  -> :1
    EXPIRETIME k                -> :32503680001
    GET k                       -> "v"
}

case "PERSIST" {
    PERSIST k                   -> :0
    SET k v                     -> +OK
    PERSIST k                   -> :0
    EXPIRE k 100                -> :1
    PERSIST k                   -> :1
    TTL k                       -> :-1
    PERSIST                     -> -ERR wrong number of arguments for 'persist' command
    PERSIST a b                 -> -ERR wrong number of arguments for 'persist' command
}

case "a time that has passed deletes at once" {
    SET k v                     -> +OK
    EXPIRE k 0                  -> :1
    EXISTS k                    -> :0
    SET k v                     -> +OK
    EXPIRE k -1                 -> :1
    EXISTS k                    -> :0
    SET k v                     -> +OK
    PEXPIRE k -1000             -> :1
    EXISTS k                    -> :0
    SET k v                     -> +OK
    EXPIREAT k 1                -> :1
    EXISTS k                    -> :0
    SET k v                     -> +OK
    PEXPIREAT k 1               -> :1
    EXISTS k                    -> :0
    SET k v                     -> +OK
    EXPIREAT k -1               -> :1
    EXISTS k                    -> :0
    EXPIRE k -1                 -> :0
    DBSIZE                      -> :0
}

case "EXPIRE NX, XX, GT, LT" {
    SET k v                     -> +OK
    EXPIRE k 100 XX             -> :0
    EXPIRE k 100 GT             -> :0
    TTL k                       -> :-1
    EXPIRE k 100 NX             -> :1
    EXPIRE k 200 NX             -> :0
    TTL k                       -> :99..100
    EXPIRE k 200 XX             -> :1
    TTL k                       -> :199..200
    EXPIRE k 100 GT             -> :0
    EXPIRE k 300 GT             -> :1
    TTL k                       -> :299..300
    EXPIRE k 400 LT             -> :0
    EXPIRE k 100 LT             -> :1
    TTL k                       -> :99..100
    EXPIRE k 200 XX GT          -> :1
    EXPIRE k 100 xx lt          -> :1
    PERSIST k                   -> :1
    EXPIRE k 100 XX LT          -> :0
    TTL k                       -> :-1
    EXPIRE k 100 LT             -> :1
    TTL k                       -> :99..100
    EXPIRE missing 100 NX       -> :0
    EXPIRE missing 100 LT       -> :0
    EXPIRE k -1 GT              -> :0
    EXISTS k                    -> :1
    EXPIRE k -1 NX              -> :0
    EXPIRE k -1 LT              -> :1
    EXISTS k                    -> :0
}

case "the conditions hold for all four commands" {
    SET k v                     -> +OK
    PEXPIRE k 100000 GT         -> :0
    PEXPIRE k 100000 NX         -> :1
    PEXPIRE k 50000 GT          -> :0
    PEXPIRE k 50000 LT          -> :1
    EXPIREAT k 32503680000 NX   -> :0
    EXPIREAT k 32503680000 GT   -> :1
    EXPIREAT k 32503680000 GT   -> :0
    EXPIREAT k 32503680000 LT   -> :0
    PEXPIREAT k 32503679999999 LT -> :1
    PEXPIREAT k 32503679999999 LT -> :0
    PEXPIREAT k 32503680000000 XX -> :1
    PEXPIRETIME k               -> :32503680000000
}

case "errors of EXPIRE and its kin" {
    SET k v                     -> +OK
    EXPIRE                      -> -ERR wrong number of arguments for 'expire' command
    EXPIRE k                    -> -ERR wrong number of arguments for 'expire' command
    EXPIRE k x                  -> -ERR value is not an integer or out of range
    EXPIRE k 1.5                -> -ERR value is not an integer or out of range
    EXPIRE k ""                 -> -ERR value is not an integer or out of range
    EXPIRE k 10 nonsense        -> -ERR Unsupported option nonsense
    EXPIRE k 10 NX XX           -> -ERR NX and XX, GT or LT options at the same time are not compatible
    EXPIRE k 10 NX GT           -> -ERR NX and XX, GT or LT options at the same time are not compatible
    EXPIRE k 10 NX LT           -> -ERR NX and XX, GT or LT options at the same time are not compatible
    EXPIRE k 10 GT LT           -> -ERR GT and LT options at the same time are not compatible
    EXPIRE k 10 XX nonsense     -> -ERR Unsupported option nonsense
    EXPIRE k x nonsense         -> -ERR Unsupported option nonsense
    EXPIRE k 10 ""              -> -"ERR Unsupported option "
    EXPIRE k 9223372036854775807    -> -ERR invalid expire time in 'expire' command
    EXPIRE k 9223372036854775808    -> -ERR value is not an integer or out of range
    EXPIRE k 9223372036854776       -> -ERR invalid expire time in 'expire' command
    EXPIRE k -9223372036854775808   -> -ERR invalid expire time in 'expire' command
    EXPIRE k -9223372036854776      -> -ERR invalid expire time in 'expire' command
    PEXPIRE k 9223372036854775807   -> -ERR invalid expire time in 'pexpire' command
    PEXPIRE k x                 -> -ERR value is not an integer or out of range
    PEXPIRE k                   -> -ERR wrong number of arguments for 'pexpire' command
    EXPIREAT k 9223372036854775807  -> -ERR invalid expire time in 'expireat' command
    EXPIREAT k -9223372036854775808 -> -ERR invalid expire time in 'expireat' command
    EXPIREAT k x                -> -ERR value is not an integer or out of range
    EXPIREAT k                  -> -ERR wrong number of arguments for 'expireat' command
    PEXPIREAT k 9223372036854775808 -> -ERR value is not an integer or out of range
    PEXPIREAT k x               -> -ERR value is not an integer or out of range
    PEXPIREAT k                 -> -ERR wrong number of arguments for 'pexpireat' command
    EXPIRE missing x            -> -ERR value is not an integer or out of range
    EXPIRE missing 10 nonsense  -> -ERR Unsupported option nonsense
    EXPIRE missing 9223372036854775807 -> -ERR invalid expire time in 'expire' command
    TTL                         -> -ERR wrong number of arguments for 'ttl' command
    TTL a b                     -> -ERR wrong number of arguments for 'ttl' command
    PTTL                        -> -ERR wrong number of arguments for 'pttl' command
    EXPIRETIME                  -> -ERR wrong number of arguments for 'expiretime' command
    EXPIRETIME a b              -> -ERR wrong number of arguments for 'expiretime' command
    PEXPIRETIME                 -> -ERR wrong number of arguments for 'pexpiretime' command
    TTL k                       -> :-1
}

case "the latest possible time" {
    SET k v                     -> +OK
    PEXPIREAT k 9223372036854775807 -> :1
    PEXPIRETIME k               -> :9223372036854775807
    EXISTS k                    -> :1
    PEXPIRE k 9223372036854775807 -> -ERR invalid expire time in 'pexpire' command
    EXPIREAT k 9223372036854775 -> :1
    PEXPIRETIME k               -> :9223372036854775000
}

# --- after the time -----------------------------------------------------------------
# The keys expire within milliseconds and are asked for until they are gone, so nothing depends on how long that takes.

check "an expired key is gone for every command" {
    foreach command {
        {GET k} {EXISTS k} {TTL k} {PTTL k} {TYPE k} {STRLEN k} {OBJECT ENCODING k} {PERSIST k}
        {EXPIRE k 100} {GETDEL k} {GETEX k} {DEL k} {UNLINK k} {TOUCH k} {RANDOMKEY} {KEYS *} {RENAME k x}
        {COPY k x} {MOVE k 1} {GETRANGE k 0 -1} {MGET k} {EXPIRETIME k} {SET k v XX} {LCS k k}
    } expected {
        nil :0 :-2 :-2 +none :0 nil :0
        :0 nil nil :0 :0 :0 nil [] {-ERR no such key}
        :0 :0 {""} [nil] :-2 nil {""}
    } {
        ask FLUSHALL
        ask SET k v PX 1
        eventually {[ask EXISTS k] eq {: 0}}
        expect $expected [ask {*}$command] $command
    }
}

check "keys that only a command would notice are noticed" {
    ask DEBUG SET-ACTIVE-EXPIRE 0
    foreach command {
        {GET k} {EXISTS k} {TTL k} {TYPE k} {INCR k} {APPEND k x} {SETNX k v} {GETSET k v} {SETRANGE k 1 x} {MSETNX k v}
        {COPY k x} {DEL k} {EXPIRE k 100} {RENAMENX k x} {SET k v GET}
    } expected {
        nil :0 :-2 +none :1 :1 :1 nil :2 :1
        :0 :0 :0 {-ERR no such key} nil
    } {
        ask FLUSHALL
        ask SET k 41 PX 1
        after 3
        expect $expected [ask {*}$command] $command
    }
    ask DEBUG SET-ACTIVE-EXPIRE 1
}

check "expired keys are removed without being asked for" {
    ask CONFIG RESETSTAT
    for {set i 0} {$i < 1000} {incr i} {
        ask SET key:$i v PX 5
    }
    ask SET stays v
    eventually {[ask DBSIZE] eq {: 1}}
    expect {/expired_keys:1000\r\n/} [ask INFO stats]
}

case "writes keep or drop the time to live" {
    SET k 1 EX 100              -> +OK
    INCR k                      -> :2
    APPEND k 0                  -> :2
    SETRANGE k 0 3              -> :2
    INCRBYFLOAT k 1             -> "31"
    TTL k                       -> :99..100
    SET k 1                     -> +OK
    TTL k                       -> :-1
    SET k 1 EX 100              -> +OK
    GETSET k 2                  -> "1"
    TTL k                       -> :-1
    SET k 1 EX 100              -> +OK
    MSET k 2                    -> +OK
    TTL k                       -> :-1
    SET k 1 EX 100              -> +OK
    SETNX k 2                   -> :0
    TTL k                       -> :99..100
    DEL k                       -> :1
    SET k 1                     -> +OK
    TTL k                       -> :-1
}

check "a key that a command finds expired is counted as expired, a deleted one is not" {
    ask DEBUG SET-ACTIVE-EXPIRE 0
    ask CONFIG RESETSTAT
    ask SET k v
    ask EXPIRE k -1
    ask SET k v PX 1
    after 3
    expect nil [ask GET k]
    expect {/\r\nexpired_keys:1\r\n.*\r\nkeyspace_hits:0\r\nkeyspace_misses:1\r\n/} [ask INFO stats]
    ask DEBUG SET-ACTIVE-EXPIRE 1
}
