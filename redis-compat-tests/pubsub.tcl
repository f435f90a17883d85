# Publish and subscribe: channels, patterns, shard channels, and what a connection can do while it subscribes.

# A field of INFO.
proc info_value {section name} {
    regexp "(?n)^$name:(.*?)\r?$" [lindex [ask INFO $section] 1] all value
    return $value
}

# A field of a connection's line in CLIENT LIST, or "" if there is no such connection.
proc client_field {id field} {
    if {[regexp "(?n)(?:^|:)id=$id .* $field=(\\S*)" [lindex [ask CLIENT LIST] 1] all value]} {
        return $value
    }
    return ""
}

case "a message reaches who subscribes to its channel" {
    B: SUBSCRIBE ch            -> >["subscribe" "ch" :1]
    C: SUBSCRIBE ch other      -> >["subscribe" "ch" :1]
    -> >["subscribe" "other" :2]
    A: PUBLISH ch hello        -> :2
    PUBLISH other x            -> :1
    PUBLISH nobody x           -> :0
    PUBLISH CH x               -> :0
    B: -> >["message" "ch" "hello"]
    C: -> >["message" "ch" "hello"]
    -> >["message" "other" "x"]
    C: UNSUBSCRIBE ch          -> >["unsubscribe" "ch" :1]
    A: PUBLISH ch again        -> :1
    B: -> >["message" "ch" "again"]
    C: PING                    -> any
    A: PUBLISH ch ""           -> :1
    B: -> >["message" "ch" ""]
}

check "however many listen, each hears everything and in its order" {
    set listeners {}
    for {set n 0} {$n < 200} {incr n} {
        lappend listeners [run::connection L$n]
        resp::send [lindex $listeners end] {SUBSCRIBE ch}
        resp::read [lindex $listeners end]
    }
    # Two publish in turn and wait for their replies only; in between some leave, and one asks for something.
    set asks [lindex $listeners 100]
    set left 200
    for {set n 0} {$n < 60} {incr n} {
        set publisher [run::connection [lindex {A B} [expr {$n % 2}]]]
        resp::send $publisher [list PUBLISH ch $n]
        same $left [lindex [resp::read $publisher] 1] "who hears $n"
        if {$n == 20} {
            resp::send $asks {PING}
        } elseif {$n == 30} {
            resp::send [lindex $listeners 150] {UNSUBSCRIBE}
            eventually {[lindex [ask PUBSUB NUMSUB ch] 1 1 1] == 199}
            incr left -1
        }
    }
    foreach listener $listeners {
        set heard {}
        while {[llength $heard] < 60} {
            set message [resp::read $listener]
            set kind [lindex $message 1 0 1]
            if {$kind eq "unsubscribe"} break
            if {$kind eq "message"} {
                lappend heard [lindex $message 1 2 1]
            }
        }
        set all {}
        for {set n 0} {$n < ($kind eq "unsubscribe" ? 31 : 60)} {incr n} {
            lappend all $n
        }
        same $all $heard "what is heard"
    }
}

case "subscribing twice is subscribing once" {
    B: SUBSCRIBE ch ch         -> >["subscribe" "ch" :1]
    -> >["subscribe" "ch" :1]
    A: PUBLISH ch x            -> :1
    B: -> >["message" "ch" "x"]
    UNSUBSCRIBE ch ch          -> >["unsubscribe" "ch" :0]
    -> >["unsubscribe" "ch" :0]
}

case "unsubscribing from everything, or from nothing" {
    UNSUBSCRIBE                -> >["unsubscribe" nil :0]
    PUNSUBSCRIBE               -> >["punsubscribe" nil :0]
    SUNSUBSCRIBE               -> >["sunsubscribe" nil :0]
    UNSUBSCRIBE a b            -> >["unsubscribe" "a" :0]
    -> >["unsubscribe" "b" :0]
    SUNSUBSCRIBE a             -> >["sunsubscribe" "a" :0]
    SUBSCRIBE a                -> >["subscribe" "a" :1]
    PSUBSCRIBE a*              -> >["psubscribe" "a*" :2]
    SSUBSCRIBE a               -> >["ssubscribe" "a" :1]
    UNSUBSCRIBE                -> >["unsubscribe" "a" :1]
    PUNSUBSCRIBE               -> >["punsubscribe" "a*" :0]
    SUNSUBSCRIBE               -> >["sunsubscribe" "a" :0]
    GET k                      -> nil
}

case "patterns" {
    B: PSUBSCRIBE news.* h?llo -> >["psubscribe" "news.*" :1]
    -> >["psubscribe" "h?llo" :2]
    A: PUBLISH news.art x      -> :1
    PUBLISH hallo y            -> :1
    PUBLISH hllo z             -> :0
    B: -> >["pmessage" "news.*" "news.art" "x"]
    -> >["pmessage" "h?llo" "hallo" "y"]
    SUBSCRIBE news.art         -> >["subscribe" "news.art" :3]
    A: PUBLISH news.art both   -> :2
    B: -> >["message" "news.art" "both"]
    -> >["pmessage" "news.*" "news.art" "both"]
    PUNSUBSCRIBE news.* nosuch -> >["punsubscribe" "news.*" :2]
    -> >["punsubscribe" "nosuch" :2]
    A: PUBLISH news.art x      -> :1
}

case "shard channels are channels of their own" {
    B: SSUBSCRIBE ch           -> >["ssubscribe" "ch" :1]
    SUBSCRIBE ch               -> >["subscribe" "ch" :1]
    PSUBSCRIBE *               -> >["psubscribe" "*" :2]
    A: SPUBLISH ch shard       -> :1
    PUBLISH ch plain           -> :2
    B: -> >["smessage" "ch" "shard"]
    -> >["message" "ch" "plain"]
    -> >["pmessage" "*" "ch" "plain"]
    SUNSUBSCRIBE ch            -> >["sunsubscribe" "ch" :0]
    A: SPUBLISH ch shard       -> :0
}

case "PUBSUB tells who subscribes" {
    PUBSUB CHANNELS            -> []
    PUBSUB NUMSUB              -> []
    PUBSUB NUMSUB a b          -> ["a" :0 "b" :0]
    PUBSUB NUMPAT              -> :0
    B: SUBSCRIBE abc abd x     -> any
    -> any
    -> any
    PSUBSCRIBE p* q*           -> any
    -> any
    SSUBSCRIBE s1 s2           -> any
    -> any
    C: SUBSCRIBE abc           -> any
    PSUBSCRIBE p*              -> any
    A: PUBSUB CHANNELS         -> ?["abc" "abd" "x"]
    PUBSUB CHANNELS a*         -> ?["abc" "abd"]
    PUBSUB CHANNELS ""         -> []
    PUBSUB NUMSUB abc x nosuch abc -> ["abc" :2 "x" :1 "nosuch" :0 "abc" :2]
    PUBSUB NUMPAT              -> :2
    PUBSUB SHARDCHANNELS       -> ?["s1" "s2"]
    PUBSUB SHARDCHANNELS *2    -> ["s2"]
    PUBSUB SHARDNUMSUB s1 abc  -> ["s1" :1 "abc" :0]
    pubsub channels ab[c]      -> ["abc"]
}

case "wrong arguments" {
    SUBSCRIBE                  -> -ERR wrong number of arguments for 'subscribe' command
    PSUBSCRIBE                 -> -ERR wrong number of arguments for 'psubscribe' command
    SSUBSCRIBE                 -> -ERR wrong number of arguments for 'ssubscribe' command
    PUBLISH a                  -> -ERR wrong number of arguments for 'publish' command
    SPUBLISH a b c             -> -ERR wrong number of arguments for 'spublish' command
    PUBSUB                     -> -ERR wrong number of arguments for 'pubsub' command
    PUBSUB NOSUCH              -> -ERR unknown subcommand 'NOSUCH'. Try PUBSUB HELP.
    PUBSUB NUMPAT x            -> -ERR wrong number of arguments for 'pubsub|numpat' command
    PUBSUB CHANNELS a b        -> -ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.
    PUBSUB SHARDCHANNELS a b   -> -ERR unknown subcommand or wrong number of arguments for 'SHARDCHANNELS'. Try PUBSUB HELP.
    PUBSUB HELP                -> [+"PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:" ...]
}

case "in RESP2 a subscriber can do little else" {
    HELLO 2                    -> any
    SUBSCRIBE ch               -> ["subscribe" "ch" :1]
    GET k                      -> -ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
    PUBLISH ch x               -> -ERR Can't execute 'publish': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
    CLIENT ID                  -> -ERR Can't execute 'client|id': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
    MULTI                      -> -ERR Can't execute 'multi': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
    HELLO 3                    -> -ERR Can't execute 'hello': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
    NOSUCH                     -> /^-ERR unknown command/
    GET                        -> -ERR wrong number of arguments for 'get' command
    PING                       -> ["pong" ""]
    PING hello                 -> ["pong" "hello"]
    PING a b                   -> -ERR wrong number of arguments for 'ping' command
    SSUBSCRIBE s               -> ["ssubscribe" "s" :1]
    UNSUBSCRIBE ch             -> ["unsubscribe" "ch" :0]
    GET k                      -> /^-ERR Can't execute/
    SUNSUBSCRIBE s             -> ["sunsubscribe" "s" :0]
    GET k                      -> nil
    PING                       -> +PONG
    PSUBSCRIBE p               -> ["psubscribe" "p" :1]
    QUIT                       -> +OK
    -> closed
}

case "in RESP3 a subscriber can do everything" {
    HELLO 3                    -> any
    SUBSCRIBE ch               -> >["subscribe" "ch" :1]
    SET k v                    -> +OK
    PING                       -> +PONG
    PUBLISH ch me              -> :1
    -> >["message" "ch" "me"]
    HELLO 2                    -> any
    PING                       -> ["pong" ""]
    GET k                      -> /^-ERR Can't execute 'get'/
    RESET                      -> +RESET
    GET k                      -> "v"
    PUBSUB NUMSUB ch           -> ["ch" :0]
}

case "a message to oneself comes behind the reply, and before the next" {
    HELLO 3                    -> any
    SUBSCRIBE ch               -> any
    !raw "PUBLISH ch 1\r\nECHO a\r\nPUBLISH ch 2\r\nECHO b\r\n" -> :1
    -> >["message" "ch" "1"]
    -> "a"
    -> :1
    -> >["message" "ch" "2"]
    -> "b"
}

case "transactions" {
    B: SUBSCRIBE ch            -> any
    A: MULTI                   -> +OK
    PUBLISH ch 1               -> +QUEUED
    SET k v                    -> +QUEUED
    PUBLISH ch 2               -> +QUEUED
    EXEC                       -> [:1 +OK :1]
    B: -> >["message" "ch" "1"]
    -> >["message" "ch" "2"]
    C: HELLO 3                 -> any
    SUBSCRIBE ch               -> >["subscribe" "ch" :1]
    MULTI                      -> +OK
    PUBLISH ch mine            -> +QUEUED
    PING                       -> +QUEUED
    EXEC                       -> [:2 +PONG]
    -> >["message" "ch" "mine"]
    B: -> any
}

case "subscribing in a transaction" {
    HELLO 2                    -> any
    MULTI                      -> +OK
    SUBSCRIBE ch               -> +QUEUED
    PING                       -> +QUEUED
    SSUBSCRIBE s               -> +QUEUED
    UNSUBSCRIBE ch             -> +QUEUED
    EXEC                       -> [["subscribe" "ch" :1] ["pong" ""] -"ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client" ["unsubscribe" "ch" :0]]
    GET k                      -> nil
}

case "RESET and the end of a connection end its subscriptions" {
    B: SUBSCRIBE a             -> any
    PSUBSCRIBE a*              -> any
    SSUBSCRIBE a               -> any
    A: PUBSUB NUMSUB a         -> ["a" :1]
    B: RESET                   -> +RESET
    PING                       -> +PONG
    A: PUBLISH a x             -> :0
    SPUBLISH a x               -> :0
    C: CLIENT ID               -> any
    c := CLIENT ID
    SUBSCRIBE a                -> any
    A: CLIENT KILL ID $c       -> :1
    PUBSUB NUMSUB a            -> ["a" :0]
    PUBSUB NUMPAT              -> :0
}

case "CLIENT KILL TYPE pubsub" {
    B: SUBSCRIBE a             -> any
    C: PING                    -> +PONG
    A: CLIENT KILL TYPE pubsub -> :1
    B: -> closed
    C: PING                    -> +PONG
    A: CLIENT LIST TYPE pubsub -> =""
}

case "replies can be off, messages and answers to subscribing are not" {
    HELLO 3                    -> any
    !raw "CLIENT REPLY OFF\r\nPING\r\nSUBSCRIBE ch\r\nPING\r\n" -> >["subscribe" "ch" :1]
    B: PUBLISH ch x            -> :1
    A: -> >["message" "ch" "x"]
    !raw "PUBLISH ch mine\r\nUNSUBSCRIBE\r\nCLIENT REPLY ON\r\n" -> >["message" "ch" "mine"]
    -> >["unsubscribe" "ch" :0]
    -> +OK
    !raw "CLIENT REPLY SKIP\r\nSUBSCRIBE ch\r\nPING\r\n" -> >["subscribe" "ch" :1]
    -> +PONG
}

case "a pause of writes holds PUBLISH up" {
    B: SUBSCRIBE ch            -> any
    A: CLIENT PAUSE 100 WRITE  -> +OK
    C: !send PUBLISH ch x
    A: GET k                   -> nil
    B: -> >["message" "ch" "x"]
    C: -> :1
}

case "MONITOR and PUBLISH do not go together" {
    MONITOR                    -> +OK
    PUBLISH ch x               -> -ERR Replica can't interact with the keyspace
}

check "CLIENT LIST and INFO tell of subscriptions" {
    resp::send [run::connection B] {CLIENT ID}
    set id [lindex [resp::read [run::connection B]] 1]
    same N [client_field $id flags]
    foreach command {{SUBSCRIBE a b c} {PSUBSCRIBE a b} {SSUBSCRIBE a}} {
        resp::send [run::connection B] $command
        for {set n 1} {$n < [llength $command]} {incr n} {
            resp::read [run::connection B]
        }
    }
    same {P 3 2 1} [lmap field {flags sub psub ssub} {client_field $id $field}]
    same {1 3 2 1} [list [info_value clients pubsub_clients] [info_value stats pubsub_channels] \
        [info_value stats pubsub_patterns] [info_value stats pubsubshard_channels]]
    run::disconnect
    eventually {[info_value clients pubsub_clients] == 0}
    same {0 0 0} [list [info_value stats pubsub_channels] [info_value stats pubsub_patterns] \
        [info_value stats pubsubshard_channels]]
}

check "long messages reach everybody whole" {
    foreach name {B C D} {
        resp::send [run::connection $name] {SUBSCRIBE ch}
        resp::read [run::connection $name]
    }
    foreach length {1000 3000 20000 100000 3000000} {
        set message [string repeat x $length]
        expect :3 [ask PUBLISH ch $message] $length
        foreach name {B C D} {
            set got [lindex [resp::read [run::connection $name]] 1 2 1]
            same 1 [expr {$got eq $message}] "$length bytes to $name"
        }
    }
}

# --- who does not read -----------------------------------------------------------------

# Bytes that the server uses.
proc used_memory {} {
    return [info_value memory used_memory]
}

check "a subscriber that does not read is left out at its limit" -config {client-output-buffer-limit "pubsub 1000000 0 0"} {
    foreach name {B C D} {
        resp::send [run::connection $name] {SUBSCRIBE ch}
        resp::read [run::connection $name]
    }
    set before [used_memory]
    set most 0
    set chunk [resp::encode [list PUBLISH ch [string repeat x 1000]]]
    for {set n 0} {$n < 300} {incr n} {
        resp::raw [run::connection A] [string repeat $chunk 100]
        for {set replies 0} {$replies < 100} {incr replies} {
            resp::read [run::connection A]
        }
        set most [expr {max($most, [used_memory] - $before)}]
    }
    same 1 [expr {$most < 8000000}] "used $most bytes more"
    eventually {[info_value clients pubsub_clients] == 0}
    expect :0 [ask PUBLISH ch x]
}

check "a soft limit ends a subscriber that lags too long" -config {client-output-buffer-limit "pubsub 0 100000 1"} {
    resp::send [run::connection B] {SUBSCRIBE ch}
    resp::read [run::connection B]
    set start [clock milliseconds]
    for {set n 0} {$n < 100} {incr n} {
        ask PUBLISH ch [string repeat x 100000]
    }
    eventually {[info_value clients pubsub_clients] == 0}
    same 1 [expr {[clock milliseconds] - $start >= 1000}] "ended too early"
}

check "a MONITOR that does not read is left out at its limit" -config {client-output-buffer-limit "normal 1000000 0 0"} {
    resp::send [run::connection B] {MONITOR}
    resp::read [run::connection B]
    set before [used_memory]
    set most 0
    set chunk [resp::encode [list SET k [string repeat x 1000]]]
    for {set n 0} {$n < 100} {incr n} {
        resp::raw [run::connection A] [string repeat $chunk 100]
        for {set replies 0} {$replies < 100} {incr replies} {
            resp::read [run::connection A]
        }
        set most [expr {max($most, [used_memory] - $before)}]
    }
    same 1 [expr {$most < 5000000}] "used $most bytes more"
    same "" [regexp -inline {flags=O} [lindex [ask CLIENT LIST] 1]]
}
