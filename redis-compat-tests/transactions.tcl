# Transactions: MULTI, EXEC and DISCARD, what spoils them, and WATCH.

# Sends a command on a named connection and returns the reply.
proc other {name command} {
    resp::send [run::connection $name] $command
    return [resp::read [run::connection $name]]
}

case "MULTI keeps commands, EXEC runs them" {
    MULTI                       -> +OK
    SET k v                     -> +QUEUED
    B: EXISTS k                 -> :0
    A: INCR n                   -> +QUEUED
    GET k                       -> +QUEUED
    NOSUCH                      -> /^-ERR unknown command/
    DISCARD                     -> +OK
    MULTI                       -> +OK
    SET k v                     -> +QUEUED
    LPUSH list a b              -> +QUEUED
    LRANGE list 0 -1            -> +QUEUED
    GET nokey                   -> +QUEUED
    EXEC                        -> [+OK :2 ["b" "a"] nil]
    GET k                       -> "v"
    MULTI                       -> +OK
    EXEC                        -> []
}

case "errors in between do not stop the others" {
    MULTI                       -> +OK
    SET k v                     -> +QUEUED
    LPUSH k a                   -> +QUEUED
    SET k w                     -> +QUEUED
    EXEC                        -> [+OK -"WRONGTYPE Operation against a key holding the wrong kind of value" +OK]
    GET k                       -> "w"
}

case "MULTI, EXEC, DISCARD and WATCH in the wrong place" {
    EXEC                        -> -ERR EXEC without MULTI
    DISCARD                     -> -ERR DISCARD without MULTI
    MULTI                       -> +OK
    MULTI                       -> -ERR MULTI calls can not be nested
    WATCH k                     -> -ERR WATCH inside MULTI is not allowed
    PING                        -> +QUEUED
    EXEC                        -> [+PONG]
    EXEC                        -> -ERR EXEC without MULTI
}

case "what is refused while it would be kept spoils the transaction" {
    MULTI                       -> +OK
    SET k v                     -> +QUEUED
    GET                         -> -ERR wrong number of arguments for 'get' command
    SET k w                     -> +QUEUED
    EXEC                        -> -EXECABORT Transaction discarded because of previous errors.
    EXISTS k                    -> :0
    MULTI                       -> +OK
    CLIENT NOSUCH               -> -ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.
    EXEC                        -> -EXECABORT Transaction discarded because of previous errors.
    MULTI                       -> +OK
    SHUTDOWN NOSAVE             -> -ERR Command not allowed inside a transaction
    EXEC                        -> -EXECABORT Transaction discarded because of previous errors.
    MULTI                       -> +OK
    DISCARD now                 -> -ERR wrong number of arguments for 'discard' command
    EXEC                        -> -EXECABORT Transaction discarded because of previous errors.
    EXEC                        -> -ERR EXEC without MULTI
    PING                        -> +PONG
}

case "an EXEC that is refused ends the transaction" {
    MULTI                       -> +OK
    SET k v                     -> +QUEUED
    EXEC now    -> -EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command
    EXEC                        -> -ERR EXEC without MULTI
    EXISTS k                    -> :0
    EXEC now    -> -EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command
}

case "DISCARD forgets what was watched" {
    WATCH k                     -> +OK
    MULTI                       -> +OK
    SET k v                     -> +QUEUED
    DISCARD                     -> +OK
    SET k w                     -> +OK
    MULTI                       -> +OK
    GET k                       -> +QUEUED
    EXEC                        -> ["w"]
}

case "QUIT and RESET run at once" {
    MULTI                       -> +OK
    SET k v                     -> +QUEUED
    RESET                       -> +RESET
    EXEC                        -> -ERR EXEC without MULTI
    EXISTS k                    -> :0
    B: MULTI                    -> +OK
    B: QUIT                     -> +OK
    -> closed
}

case "SELECT within a transaction stays" {
    MULTI                       -> +OK
    SELECT 1                    -> +QUEUED
    SET k v                     -> +QUEUED
    EXEC                        -> [+OK +OK]
    GET k                       -> "v"
    SELECT 0                    -> +OK
    EXISTS k                    -> :0
}

set big [string repeat x 200000]
case "large values go through a transaction" {
    MULTI                       -> +OK
    SET big $big                -> +QUEUED
    APPEND big tail             -> +QUEUED
    STRLEN big                  -> +QUEUED
    EXEC                        -> [+OK :200004 :200004]
}

case "MONITOR is refused within a transaction" {
    MULTI                       -> +OK
    MONITOR                     -> +QUEUED
    PING                        -> +QUEUED
    EXEC                        -> [-"ERR MONITOR isn't allowed for DENY BLOCKING client" +PONG]
}

# --- WATCH -----------------------------------------------------------------------------

foreach {what prepare change} {
    "set"                       {}                  {SET k w}
    "set to what it was"        {SET k v}           {SET k v}
    "created"                   {DEL k}             {APPEND k v}
    "deleted"                   {SET k v}           {DEL k}
    "given a time to live"      {SET k v}           {EXPIRE k 100}
    "freed of its time to live" {SET k v EX 100}    {PERSIST k}
    "pushed to"                 {RPUSH k a}         {RPUSH k b}
    "popped empty"              {RPUSH k a}         {RPOP k}
    "added to"                  {SADD k a}          {SADD k b}
    "renamed"                   {SET k v}           {RENAME k other}
    "renamed over"              {SET source v}      {RENAME source k}
    "copied over"               {SET source v}      {COPY source k}
    "moved away"                {SET k v}           {MOVE k 1}
    "flushed with its database" {SET k v}           FLUSHDB
    "flushed with all"          {SET k v}           FLUSHALL
    "swapped away"              {SET k v}           {SWAPDB 0 1}
    "swapped in"                {}                  {SWAPDB 0 2}
} {
    check "a watched key that is $what keeps EXEC from running" {
        other B {SELECT 2}
        other B {SET k v}
        if {$prepare ne ""} {
            ask {*}$prepare
        }
        expect +OK [ask WATCH before k after]
        other C $change
        expect +OK [ask MULTI]
        expect +QUEUED [ask PING]
        expect nil* [ask EXEC]
        expect +OK [ask MULTI]
        expect +QUEUED [ask PING]
        expect {[+PONG]} [ask EXEC]
    }
}

foreach {what prepare change} {
    "another key is set"                    {}              {SET other v}
    "it is read"                            {SET k v}       {GET k}
    "deleting it finds nothing"             {}              {DEL k}
    "a condition is not met"                {SET k v}       {SET k w NX}
    "nothing is added"                      {SADD k a}      {SADD k a}
    "it does not exist when all is flushed" {}              FLUSHALL
    "it exists in neither database"         {}              {SWAPDB 0 1}
    "a database is swapped with itself"     {SET k v}       {SWAPDB 0 0}
    "others are swapped"                    {SET k v}       {SWAPDB 1 2}
} {
    check "a watched key is the same when $what" {
        if {$prepare ne ""} {
            ask {*}$prepare
        }
        expect +OK [ask WATCH k]
        other C $change
        ask MULTI
        ask PING
        expect {[+PONG]} [ask EXEC]
    }
}

case "keys are watched in the database in which WATCH was said" {
    SELECT 1                    -> +OK
    WATCH k                     -> +OK
    SELECT 0                    -> +OK
    B: SET k v                  -> +OK
    A: MULTI                    -> +OK
    PING                        -> +QUEUED
    EXEC                        -> [+PONG]
    SELECT 1                    -> +OK
    WATCH k                     -> +OK
    SELECT 0                    -> +OK
    B: SELECT 1                 -> +OK
    B: SET k v                  -> +OK
    A: MULTI                    -> +OK
    PING                        -> +QUEUED
    EXEC                        -> nil*
}

case "UNWATCH forgets, also that something changed" {
    UNWATCH                     -> +OK
    WATCH a b                   -> +OK
    SET b v                     -> +OK
    UNWATCH                     -> +OK
    MULTI                       -> +OK
    PING                        -> +QUEUED
    EXEC                        -> [+PONG]
    WATCH a                     -> +OK
    UNWATCH                     -> +OK
    SET a v                     -> +OK
    MULTI                       -> +OK
    PING                        -> +QUEUED
    UNWATCH                     -> +QUEUED
    EXEC                        -> [+PONG +OK]
    WATCH                       -> -ERR wrong number of arguments for 'watch' command
    UNWATCH a                   -> -ERR wrong number of arguments for 'unwatch' command
}

case "RESET forgets what was watched" {
    WATCH k                     -> +OK
    SET k v                     -> +OK
    RESET                       -> +RESET
    MULTI                       -> +OK
    PING                        -> +QUEUED
    EXEC                        -> [+PONG]
}

case "a changed key and an error: the error wins" {
    WATCH k                     -> +OK
    SET k v                     -> +OK
    MULTI                       -> +OK
    NOSUCH                      -> /^-ERR unknown/
    EXEC                        -> -EXECABORT Transaction discarded because of previous errors.
}

foreach active {0 1} {
    check "a watched key that expires keeps EXEC from running (active expiry $active)" {
        ask DEBUG SET-ACTIVE-EXPIRE $active
        # Long enough to be watched alive on a busy machine.
        ask SET k v PX 500
        ask WATCH k
        after 600
        ask MULTI
        ask PING
        set reply [ask EXEC]
        ask DEBUG SET-ACTIVE-EXPIRE 1
        expect nil* $reply
    }
}

foreach change {{PING} {DEL k} {FLUSHDB} {SWAPDB 0 1} {EXISTS k}} {
    check "a key that had expired when it was watched does not exist: $change" {
        ask DEBUG SET-ACTIVE-EXPIRE 0
        ask SET k v PX 1
        after 30
        ask WATCH k
        ask {*}$change
        ask MULTI
        ask PING
        set reply [ask EXEC]
        ask DEBUG SET-ACTIVE-EXPIRE 1
        expect {[+PONG]} $reply
    }
}

check "a key that had expired when it was watched and is set again has changed" {
    ask DEBUG SET-ACTIVE-EXPIRE 0
    ask SET k v PX 1
    after 30
    ask WATCH k
    ask SET k v
    ask MULTI
    ask PING
    set reply [ask EXEC]
    ask DEBUG SET-ACTIVE-EXPIRE 1
    expect nil* $reply
}

check "a transaction is done at one moment, however long it takes" {
    foreach command {MULTI {SET k v PX 50} TIME {DEBUG SLEEP 0.1} TIME {GET k} EXEC} {
        set reply [ask {*}$command]
    }
    lassign [lindex $reply 1] set before slept behind got
    same $before $behind
    expect {"v"} $got
    expect nil [ask GET k] "the transaction is over"
}

check "who waits for a key that a transaction made and outlived waits on" {
    resp::send [run::connection B] {BLPOP list 0}
    eventually {[string match *blocked_clients:1* [ask INFO clients]]}
    foreach command {MULTI {RPUSH list a} {PEXPIRE list 20} {DEBUG SLEEP 0.1} EXEC {RPUSH list b}} {
        ask {*}$command
    }
    expect {["list" "b"]} [resp::read [run::connection B]]
}

# --- what others see -------------------------------------------------------------------

check "CLIENT LIST and INFO tell of transactions and watched keys" {
    proc fields {} {
        regexp {flags=(\S+) .* multi=(\S+) watch=(\S+) .* multi-mem=(\S+) } \
            [lindex [ask CLIENT INFO] 1] all flags multi watch memory
        list $flags $multi $watch $memory
    }
    proc counts {} {
        set info [lindex [ask INFO clients] 1]
        regexp {watching_clients:(\d+)} $info all clients
        regexp {total_watched_keys:(\d+)} $info all keys
        list $clients $keys
    }
    same {N -1 0 0} [fields]
    same {0 0} [counts]
    ask WATCH a b a
    other B {WATCH a}
    same {N -1 2 0} [fields]
    same {2 2} [counts]
    ask SET b v
    same {d -1 0 0} [fields]
    same {1 1} [counts]
    ask WATCH c
    same {d -1 0 0} [fields]
    ask UNWATCH
    ask MULTI
    ask GET key
    ask CLIENT INFO
    regexp {flags=(\S+) .* multi=(\S+) watch=(\S+) .* multi-mem=(\S+) } \
        [lindex [ask EXEC] 1 1 1] all flags multi watch memory
    same {x 2 0 48} [list $flags $multi $watch $memory]
    same {N -1 0 0} [fields]
    resp::close [run::connection B]
    set tries 0
    while {[counts] ne {0 0} && [incr tries] < 500} {
        after 10
    }
    same {0 0} [counts]
}

check "MONITOR shows commands when they run" {
    run::connection A
    other M MONITOR
    foreach command {MULTI {SET k v} {SELECT 1} {GET k} EXEC {SELECT 0} MULTI NOSUCH EXEC MULTI {EXEC now} {ECHO end}} {
        ask {*}$command
    }
    set shown {}
    while {[lindex $shown end] ne {0 "ECHO" "end"}} {
        regexp {\[(\d) \S+\] (.*)} [lindex [resp::read [run::connection M]] 1] all db words
        lappend shown "$db $words"
    }
    same {{0 "MULTI"} {0 "SET" "k" "v"} {1 "SELECT" "1"} {1 "GET" "k"} {1 "EXEC"} {0 "SELECT" "0"} {0 "MULTI"}\
        {0 "EXEC"} {0 "MULTI"} {0 "EXEC" "now"} {0 "ECHO" "end"}} $shown
}

check "a reply to be skipped is that of the command behind EXEC" {
    set c [run::connection A]
    resp::raw $c "MULTI\r\nCLIENT REPLY SKIP\r\nPING\r\nEXEC\r\nECHO a\r\nECHO b\r\n"
    foreach expected {+OK +QUEUED +QUEUED} {
        expect $expected [resp::read $c]
    }
    # Of the two members that were announced only one comes.
    set announced "*2\r\n+PONG\r\n\$1\r\nb\r\n"
    same $announced [resp::bytes $c [string length $announced]]
}

check "replies that are off and on again within a transaction" {
    set c [run::connection A]
    ask SET k v
    resp::raw $c "MULTI\r\nPING\r\nCLIENT REPLY OFF\r\nPING\r\nEXEC\r\nPING\r\nCLIENT REPLY ON\r\n"
    foreach expected {+OK +QUEUED +QUEUED +QUEUED} {
        expect $expected [resp::read $c]
    }
    # The array was announced with three members, and one of them was sent before the replies went off.
    set announced "*3\r\n+PONG\r\n+OK\r\n"
    same $announced [resp::bytes $c [string length $announced]]
    resp::raw $c "CLIENT REPLY OFF\r\nMULTI\r\nPING\r\nCLIENT REPLY ON\r\nECHO a\r\nEXEC\r\nPING\r\n"
    foreach expected {+OK {"a"} +PONG} {
        expect $expected [resp::read $c]
    }
}

check "CLIENT PAUSE WRITE holds up an EXEC with writes, and writes that would be kept" {
    foreach {name first} {W {SET k v} R {GET k}} {
        other $name MULTI
        other $name $first
    }
    ask CLIENT PAUSE 100000 WRITE
    expect {[nil]} [other R EXEC]
    expect +OK [other R MULTI]
    resp::send [run::connection W] EXEC
    resp::send [run::connection R] {SET k w}
    set tries 0
    while {![string match *blocked_clients:2* [lindex [ask INFO clients] 1]] && [incr tries] < 500} {
        after 10
    }
    expect nil [ask GET k]
    ask CLIENT UNPAUSE
    expect {[+OK]} [resp::read [run::connection W]]
    expect +QUEUED [resp::read [run::connection R]]
    expect {[+OK]} [other R EXEC]
}

check "memory is short: what needs memory is neither kept nor run" {
    ask MULTI
    ask SET k v
    other B MULTI
    other B {GET k}
    other C {CONFIG SET maxmemory 1}
    set oom "OOM command not allowed when used memory > 'maxmemory'."
    expect "-EXECABORT Transaction discarded because of: $oom" [ask EXEC]
    expect {[nil]} [other B EXEC]
    expect +OK [ask MULTI]
    expect +QUEUED [ask GET k]
    expect "-$oom" [ask SET k v]
    expect "-EXECABORT Transaction discarded because of previous errors." [ask EXEC]
    expect +OK [ask MULTI]
    expect +OK [ask DISCARD]
    ask CONFIG SET maxmemory 0
}
