# SLOWLOG: what is kept of which commands.

# The arguments of the entries, the latest first.
proc slow_commands {{count -1}} {
    return [lmap entry [lindex [ask SLOWLOG GET $count] 1] {
        lmap arg [lindex $entry 1 3 1] {lindex $arg 1}
    }]
}

# Empties the log and lets it take everything; the two commands of this are the oldest entries.
proc log_everything {} {
    ask CONFIG SET slowlog-log-slower-than 0
    ask SLOWLOG RESET
}

set logging {slowlog-log-slower-than 10000 slowlog-max-len 128}

check "an entry of a command of a script names no client" -config $logging {
    ask CLIENT SETNAME somebody
    ask CONFIG SET slowlog-log-slower-than 0
    ask EVAL "return redis.call('echo', 'hi')" 0
    ask CONFIG SET slowlog-log-slower-than -1
    expect {[any any any ["echo" "hi"] "" ""]} [lindex [ask SLOWLOG GET] 1 1]
}

case "an entry" -config {slowlog-log-slower-than 10000 slowlog-max-len 128} {
    CLIENT SETNAME somebody   -> +OK
    SLOWLOG RESET             -> +OK
    CONFIG SET slowlog-log-slower-than 0 -> +OK
    ECHO hi                   -> "hi"
    SLOWLOG GET 2             -> [[any :1700000000..9999999999 :0..9999999 ["ECHO" "hi"] /^127.0.0.1:[0-9]+$/ "somebody"] [any any any ["CONFIG" "SET" "slowlog-log-slower-than" "0"] any "somebody"]]
    CONFIG SET slowlog-log-slower-than -1 -> +OK
    SLOWLOG LEN               -> :3
    SLOWLOG RESET             -> +OK
    SLOWLOG LEN               -> :0
    SLOWLOG GET               -> []
}

check "numbers go on over a reset" -config $logging {
    log_everything
    set first [lindex [ask SLOWLOG GET 1] 1 0 1 0 1]
    ask SLOWLOG RESET
    set next [lindex [ask SLOWLOG GET 1] 1 0 1 0 1]
    # RESET and GET are commands, too.
    same [expr {$first + 2}] $next
}

check "how many entries are answered" -config $logging {
    log_everything
    for {set i 0} {$i < 20} {incr i} {
        ask ECHO $i
    }
    same 10 [llength [lindex [ask SLOWLOG GET] 1]]
    same 0 [llength [lindex [ask SLOWLOG GET 0] 1]]
    same 5 [llength [lindex [ask SLOWLOG GET 5] 1]]
    same 24 [llength [lindex [ask SLOWLOG GET 1000] 1]]
    same 25 [llength [lindex [ask SLOWLOG GET -1] 1]]
    expect :26 [ask SLOWLOG LEN]
}

check "how many entries are kept" -config $logging {
    ask CONFIG SET slowlog-max-len 3
    log_everything
    for {set i 0} {$i < 10} {incr i} {
        ask ECHO $i
    }
    same {{ECHO 9} {ECHO 8} {ECHO 7}} [slow_commands]
    ask CONFIG SET slowlog-max-len 0
    expect :3 [ask SLOWLOG LEN]
    ask SLOWLOG RESET
    ask ECHO x
    expect :0 [ask SLOWLOG LEN]
}

check "what is long is cut" -config $logging {
    log_everything
    ask ECHO [string repeat a 128]
    ask ECHO [string repeat a 129]
    ask ECHO [string repeat a 100000]
    ask SADD s {*}[lrepeat 30 x]
    ask SADD s {*}[lrepeat 31 x]
    ask SADD s {*}[lrepeat 1000 x]
    set cut [string repeat a 128]
    same [list \
        [list SADD s {*}[lrepeat 29 x] "... (971 more arguments)"] \
        [list SADD s {*}[lrepeat 29 x] "... (2 more arguments)"] \
        [list SADD s {*}[lrepeat 30 x]] \
        [list ECHO "$cut... (99872 more bytes)"] \
        [list ECHO "$cut... (1 more bytes)"] \
        [list ECHO $cut]] [slow_commands 6]
}

# Arguments so large move into the keyspace.
check "what a command took is shown" -config $logging {
    log_everything
    set big [string repeat b 200000]
    ask SET k $big
    ask MSET k1 $big k2 v
    ask RPUSH l $big
    set cut "[string repeat b 128]... (199872 more bytes)"
    same [list [list RPUSH l $cut] [list MSET k1 $cut k2 v] [list SET k $cut]] [slow_commands 3]
    expect :200000 [ask STRLEN k]
}

check "secrets are not shown" -config $logging {
    log_everything
    ask AUTH secret
    ask AUTH user secret
    ask HELLO $run::protocol AUTH user secret
    ask CONFIG SET masterauth secret
    ask CONFIG SET masterauth ""
    same {
        {CONFIG SET masterauth (redacted)}
        {CONFIG SET masterauth (redacted)}
    } "\n        [join [lmap command [slow_commands 2] {list $command}] "\n        "]\n    "
    foreach command [slow_commands] {
        same 0 [string match *secret* $command] $command
    }
}

check "a transaction's commands are logged, and not EXEC" -config $logging {
    log_everything
    ask MULTI
    ask SET k v
    ask GET k
    ask EXEC
    same {{GET k} {SET k v} MULTI} [slow_commands 3]
}

check "errors are logged, what is refused is not" -config $logging {
    log_everything
    ask SET s x
    ask LPUSH s x
    ask LPUSH s
    ask NOSUCH
    same {{LPUSH s x} {SET s x}} [slow_commands 2]
}

check "what waits is logged when it is over, without the wait" -config $logging -needs {debug} {
    log_everything
    resp::send [run::connection B] {CLIENT ID}
    set id [lindex [resp::read [run::connection B]] 1]
    resp::send [run::connection B] {BLPOP k 0}
    eventually {[regexp {blocked_clients:1} [lindex [ask INFO clients] 1]]}
    after 300
    ask SLOWLOG RESET
    ask RPUSH k v
    expect {["k" "v"]} [resp::read [run::connection B]]
    set entries [lindex [ask SLOWLOG GET] 1]
    set waited [lsearch -inline -index {1 3 1 0 1} $entries BLPOP]
    same {BLPOP k 0} [lmap arg [lindex $waited 1 3 1] {lindex $arg 1}]
    same 1 [expr {[lindex $waited 1 2 1] < 300000}] "took [lindex $waited 1 2 1]"
    # So is one whose time is over.
    resp::send [run::connection B] {BLPOP k 0.05}
    resp::read [run::connection B]
    same 1 [expr {{BLPOP k 0.05} in [slow_commands]}]
    resp::send [run::connection B] {BLPOP k 0}
    eventually {[regexp {blocked_clients:1} [lindex [ask INFO clients] 1]]}
    ask SLOWLOG RESET
    ask CLIENT UNBLOCK $id ERROR
    resp::read [run::connection B]
    same 1 [expr {{BLPOP k 0} in [slow_commands]}]
}

check "a read that has waited is logged as it was asked" -config $logging {
    ask XADD s 5-5 f v
    foreach {timeout after} {0 {XADD s 6-6 f v} 0 {XADD nokey 1-1 f v} 1 PING} {
        log_everything
        resp::send [run::connection B] [list XREAD BLOCK $timeout STREAMS s nokey {$} {$}]
        eventually {[regexp {blocked_clients:[1-9]} [lindex [ask INFO clients] 1]] || [lsearch -glob [slow_commands] {XREAD *}] >= 0}
        ask {*}$after
        resp::read [run::connection B]
        same 1 [expr {[list XREAD BLOCK $timeout STREAMS s nokey {$} {$}] in [slow_commands]}] [slow_commands]
        ask DEL nokey
    }
}

check "only what takes long enough" -config $logging -needs {debug} {
    ask CONFIG SET slowlog-log-slower-than 200000
    ask SLOWLOG RESET
    ask PING
    ask DEBUG SLEEP 0.22
    set entries [lindex [ask SLOWLOG GET] 1]
    same 1 [llength $entries]
    same 1 [expr {[lindex $entries 0 1 2 1] >= 220000}]
    ask CONFIG SET slowlog-log-slower-than -1
    ask SLOWLOG RESET
    ask DEBUG SLEEP 0.22
    expect :0 [ask SLOWLOG LEN]
}

case "arguments" {
    SLOWLOG GET -2            -> -ERR count should be greater than or equal to -1
    SLOWLOG GET x             -> -ERR count should be greater than or equal to -1
    SLOWLOG GET 1 2           -> -ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.
    SLOWLOG LEN x             -> -ERR wrong number of arguments for 'slowlog|len' command
    SLOWLOG RESET x           -> -ERR wrong number of arguments for 'slowlog|reset' command
    SLOWLOG NOSUCH            -> -ERR unknown subcommand 'NOSUCH'. Try SLOWLOG HELP.
    SLOWLOG                   -> -ERR wrong number of arguments for 'slowlog' command
    SLOWLOG HELP              -> [+"SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:" ...]
}
