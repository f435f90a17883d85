# The wire: framing, inline commands, malformed requests, limits.

case "requests of no words are ignored" {
    !raw "\r\n"
    !raw "\r\n\r\n"
    !raw "*0\r\n"
    !raw "*-1\r\n"
    !raw "*-10\r\n"
    !raw "PING\r\n"             -> +PONG
    !raw "   \r\n"
    PING                        -> +PONG
}

case "inline commands" {
    !raw "PING\r\n"             -> +PONG
    !raw "PING\n"               -> +PONG
    !raw "  PING  \r\n"         -> +PONG
    !raw "\tPING\t\r\n"         -> +PONG
    !raw "ECHO  hello \r\n"     -> "hello"
    !raw "SET k v\r\nGET k\r\n" -> +OK
    -> "v"
    !raw "GET\r\n"              -> -ERR wrong number of arguments for 'get' command
    !raw "NOSUCH a\r\n"         -> -"ERR unknown command 'NOSUCH', with args beginning with: 'a' "
}

check "no line goes on behind a NUL, so that no handshake of another protocol is a request" {
    foreach start [list "PING a\x00b\r\n" "\x16\x03\x01\x00\xf4\x01\x00\r\n"] {
        set c [resp::open $server::port($run::server)]
        resp::raw $c "${start}SET poison 1\r\n"
        resp::raw $c [string repeat "SET poison 1\r\n" 6000]
        same {-ERR Protocol error: too big inline request} [resp::show [resp::read $c]]
        resp::close $c
    }
    expect :0 [ask EXISTS poison]
}

case "quotes in inline commands" {
    !raw "ECHO \"two words\"\r\n"           -> "two words"
    !raw "ECHO 'two words'\r\n"             -> "two words"
    !raw "ECHO \"\"\r\n"                    -> ""
    !raw "ECHO ''\r\n"                      -> ""
    !raw "ECHO \"\\x41\\x00\\xfF\"\r\n"     -> "A\x00\xff"
    !raw "ECHO \"\\n\\r\\t\\b\\a\\\\\\\"\"\r\n" -> "\n\r\t\x08\x07\\\""
    !raw "ECHO \"\\q\\xg1\"\r\n"            -> "qxg1"
    !raw "ECHO 'a\\'b\\n'\r\n"              -> "a'b\\n"
    !raw "ECHO 'say \"hi\"'\r\n"            -> "say \"hi\""
    !raw "ECHO it's\r\n"                    -> -ERR Protocol error: unbalanced quotes in request
    -> closed
}

case "unbalanced quotes" {
    !raw "ECHO \"open\r\n"      -> -ERR Protocol error: unbalanced quotes in request
    -> closed
    B: !raw "ECHO 'open\r\n"    -> -ERR Protocol error: unbalanced quotes in request
    -> closed
    C: !raw "ECHO \"a\"b\r\n"   -> -ERR Protocol error: unbalanced quotes in request
    -> closed
    D: !raw "ECHO 'a'b\r\n"     -> -ERR Protocol error: unbalanced quotes in request
    -> closed
    E: PING                     -> +PONG
}

case "malformed requests get an error and are cut off" {
    !raw "*x\r\n"               -> -ERR Protocol error: invalid multibulk length
    -> closed
    B: !raw "*1x\r\n"           -> -ERR Protocol error: invalid multibulk length
    -> closed
    C: !raw "*\r\n"             -> -ERR Protocol error: invalid multibulk length
    -> closed
    D: !raw "*1\r\nPING\r\n"    -> -ERR Protocol error: expected '$', got 'P'
    -> closed
    E: !raw "*1\r\n:1\r\n"      -> -ERR Protocol error: expected '$', got ':'
    -> closed
    F: !raw "*1\r\n$x\r\n"      -> -ERR Protocol error: invalid bulk length
    -> closed
    G: !raw "*1\r\n$-1\r\n"     -> -ERR Protocol error: invalid bulk length
    -> closed
    H: !raw "*1\r\n$\r\n"       -> -ERR Protocol error: invalid bulk length
    -> closed
    I: !raw "*2147483648\r\n"   -> -ERR Protocol error: invalid multibulk length
    -> closed
    J: !raw "*1\r\n$536870913\r\n" -> -ERR Protocol error: invalid bulk length
    -> closed
    K: !raw "*99999999999999999999\r\n" -> -ERR Protocol error: invalid multibulk length
    -> closed
    L: !raw "*2\r\n$3\r\nGET\r\n$99999999999999999999\r\n" -> -ERR Protocol error: invalid bulk length
    -> closed
    M: !raw "*+1\r\n"           -> -ERR Protocol error: invalid multibulk length
    -> closed
    N: !raw "*1\r\n$ 4\r\nPING\r\n" -> -ERR Protocol error: invalid bulk length
    -> closed
    O: !raw "*1\r\n\r\n"        -> -ERR Protocol error: expected '$', got ' '
    -> closed
    P: PING                     -> +PONG
}

case "what came before a malformed request is answered" {
    !raw "*1\r\n$4\r\nPING\r\nSET k v\r\n*x\r\n" -> +PONG
    -> +OK
    -> -ERR Protocol error: invalid multibulk length
    -> closed
}

check "lines without an end" {
    foreach {start error} {
        "" "too big inline request"
        "*" "too big mbulk count string"
        "*1\r\n\$" "too big bulk count string"
    } {
        set start [subst $start]
        set c [resp::open $server::port($run::server)]
        resp::raw $c $start[string repeat 1 70000]
        expect "-ERR Protocol error: $error" [resp::read $c] $error
        expect closed [resp::read $c] $error
        resp::close $c
    }
}

check "an inline command of just under 64 kB is taken" {
    set c [run::connection A]
    set text [string repeat x 65000]
    resp::raw $c "ECHO $text\r\n"
    same [list \$ $text] [resp::read $c]
}

case "cross-protocol requests are cut off" {
    !raw "POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET k v\r\n"
    -> closed
    B: EXISTS k                 -> :0
    C: !raw "Host: localhost\r\nSET k v\r\n"
    -> closed
    B: EXISTS k                 -> :0
}

# --- framing ---------------------------------------------------------------------------

check "a request may arrive byte by byte" {
    set c [run::connection A]
    foreach byte [split [resp::encode [list SET k "a\r\nb"]][resp::encode {GET k}]GET\ k\r\n ""] {
        resp::raw $c $byte
        after 1
    }
    expect +OK [resp::read $c]
    expect {"a\r\nb"} [resp::read $c]
    expect {"a\r\nb"} [resp::read $c]
}

check "two halves of a pipeline, cut anywhere" {
    set c [run::connection A]
    set bytes [resp::encode [list SET k "some\r\nvalue"]][resp::encode {GET k}]PING\r\n[resp::encode {STRLEN k}]
    for {set cut 1} {$cut < [string length $bytes]} {incr cut} {
        resp::raw $c [string range $bytes 0 $cut-1]
        resp::raw $c [string range $bytes $cut end]
        foreach expected {+OK {"some\r\nvalue"} +PONG :11} {
            expect $expected [resp::read $c] "cut at $cut"
        }
    }
}

check "a long pipeline is answered in order" {
    set c [run::connection A]
    set batch ""
    for {set i 0} {$i < 20000} {incr i} {
        append batch [resp::encode [list ECHO $i]]
    }
    resp::raw $c $batch
    for {set i 0} {$i < 20000} {incr i} {
        if {[lindex [resp::read $c] 1] ne $i} {
            run::problem "reply $i" $i "something else"
            break
        }
    }
}

check "a command of a hundred thousand words" {
    set words MSET
    for {set i 0} {$i < 50000} {incr i} {
        lappend words key:$i $i
    }
    expect +OK [ask {*}$words]
    expect :50000 [ask DBSIZE]
    set words MGET
    for {set i 0} {$i < 50000} {incr i} {
        lappend words key:$i
    }
    same 49999 [lindex [ask {*}$words] 1 end 1]
}

check "a value of ten megabytes" {
    set value [string repeat "0123456789" 1000000]
    expect +OK [ask SET k $value]
    same 1 [expr {[lindex [ask GET k] 1] eq $value}] "value read back"
    expect :10000000 [ask STRLEN k]
    unset value
}

check "a client that leaves in the middle of a request harms nobody" {
    foreach part {* *2 "*2\r\n" "*2\r\n\$3" "*2\r\n\$3\r\nGE" "*2\r\n\$3\r\nGET\r\n" PIN "*3\r\n\$3\r\nSET\r\n\$1\r\nk\r\n\$9\r\nv"} {
        set c [resp::open $server::port($run::server)]
        resp::raw $c $part
        resp::close $c
    }
    expect +PONG [ask PING]
    expect :0 [ask EXISTS k]
}

# --- limits ---------------------------------------------------------------------------------

case "strangers may send only short requests" -server {--requirepass secret} {
    !raw "*11\r\n"              -> -ERR Protocol error: unauthenticated multibulk length
    -> closed
    B: !raw "*10\r\n$4\r\nPING\r\n$16384\r\n"
    C: !raw "*1\r\n$16385\r\n"  -> -ERR Protocol error: unauthenticated bulk length
    -> closed
    D: AUTH secret              -> +OK
    !raw "*11\r\n$4\r\nPING\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n" -> -ERR wrong number of arguments for 'ping' command
}

case "who authenticates within a pipeline may send more behind that" -server {--requirepass secret} {
    !raw "PING\r\nGET a\r\nAUTH secret\r\n*11\r\n$4\r\nMGET\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n" -> -NOAUTH Authentication required.
    -> -NOAUTH Authentication required.
    -> +OK
    -> [nil nil nil nil nil nil nil nil nil nil]
    B: !raw "HELLO 3 AUTH default secret\r\n*11\r\n$4\r\nMGET\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n" -> any
    -> [nil nil nil nil nil nil nil nil nil nil]
    C: !raw "AUTH wrong\r\n*11\r\n" -> -WRONGPASS invalid username-password pair or user is disabled.
    -> -ERR Protocol error: unauthenticated multibulk length
    -> closed
}

case "proto-max-bulk-len" -config {proto-max-bulk-len 1mb} {
    !raw "*2\r\n$4\r\nECHO\r\n$1048577\r\n" -> -ERR Protocol error: invalid bulk length
    -> closed
}

check "client-query-buffer-limit" -config {client-query-buffer-limit 1mb} {
    ask CONFIG RESETSTAT
    set c [resp::open $server::port($run::server)]
    resp::raw $c "*2\r\n\$4\r\nECHO\r\n\$3000000\r\n[string repeat x 2000000]"
    expect closed [resp::read $c]
    resp::close $c
    expect {/\r\nclient_query_buffer_limit_disconnections:1\r\n/} [ask INFO stats]
}

# --- replies --------------------------------------------------------------------------------------

case "nulls and maps differ between the protocols" {
    GET missing                 -> nil
    [2] HELLO 2                 -> any
    MGET missing                -> [nil]
    CONFIG GET hz               -> {"hz" "10"}
    LCS a b IDX                 -> {"matches" [] "len" :0}
    HELLO 3                     -> any
    CONFIG GET hz               -> {"hz" "10"}
    GET missing                 -> nil
    HELLO 2                     -> any
    CONFIG GET hz               -> {"hz" "10"}
    GET missing                 -> nil
}

check "errors never contain line ends" {
    foreach words {{"NO\r\nSUCH"} {"NOSUCH" "a\r\n+OK"} {CLIENT "x\r\ny"} {DEBUG ERROR "ERR a\r\nb"} {HELLO 3 "x\r\n"} {CONFIG SET "a\r\nb" 1}} {
        ask {*}$words
        expect +PONG [ask PING] $words
    }
}
