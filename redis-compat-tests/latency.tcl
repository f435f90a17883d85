# LATENCY: what held the server up, and how long commands take.

# The durations of an event's samples.
proc delays {event} {
    return [lmap sample [lindex [ask LATENCY HISTORY $event] 1] {lindex $sample 1 1 1}]
}

case "nothing yet" -config {latency-monitor-threshold 0} {
    LATENCY RESET             -> any
    LATENCY LATEST            -> []
    LATENCY HISTORY command   -> []
    LATENCY GRAPH command     -> -ERR No samples available for event 'command'
    LATENCY RESET             -> :0
    LATENCY RESET command     -> :0
    LATENCY DOCTOR            -> /^I'm sorry, Dave, I can't do that. Latency monitoring is disabled/
}

check "commands that reach the threshold" -config {latency-monitor-threshold 0} -needs {debug} {
    ask LATENCY RESET
    ask CONFIG SET latency-monitor-threshold 300
    ask DEBUG SLEEP 0.01
    expect {[]} [ask LATENCY LATEST]
    ask DEBUG SLEEP 0.31
    expect {[["command" :1700000000..9999999999 :310..9999 :310..9999]]} [ask LATENCY LATEST]
    expect {[[:1700000000..9999999999 :310..9999]]} [ask LATENCY HISTORY command]
    expect {[]} [ask LATENCY HISTORY COMMAND]
    # One sample for each second, and the worst of it.
    after 1000
    ask DEBUG SLEEP 0.4
    ask DEBUG SLEEP 0.32
    set delays [delays command]
    same 1 [expr {[llength $delays] in {2 3} && [lindex $delays 1] >= 400}] $delays
    # Every row is as long as there are samples, and one without anything stands between the drawing and the ages.
    expect [format {/^command - high [0-9]+ ms, low [0-9]+ ms \(all time high [0-9]+ ms\)\n-{80}\n([ _o#|]{%1$d}\n){4} {%1$d}\n([0-9s]{%1$d}\n)+$/} [llength $delays]] \
        [ask LATENCY GRAPH command]
    expect {/1. command: [23] latency spikes/} [ask LATENCY DOCTOR]
    ask CONFIG SET latency-monitor-threshold 0
    ask DEBUG SLEEP 0.35
    same $delays [delays command]
    expect :0 [ask LATENCY RESET fork]
    expect :1 [ask LATENCY RESET Command fork]
    expect {[]} [ask LATENCY LATEST]
}

check "a command that waited for its own work counts as that work" -config {latency-monitor-threshold 0} -needs {debug} {
    ask LATENCY RESET
    ask DEBUG POPULATE 300000 key 50
    ask CONFIG SET latency-monitor-threshold 1
    ask FLUSHALL SYNC
    expect {[[:1700000000..9999999999 :1..9999]]} [ask LATENCY HISTORY command-unblocking]
}

check "a transaction takes as long as its commands" -config {latency-monitor-threshold 0} -needs {debug} {
    ask LATENCY RESET
    ask CONFIG SET latency-monitor-threshold 45
    ask MULTI
    ask DEBUG SLEEP 0.03
    ask DEBUG SLEEP 0.03
    ask EXEC
    same 1 [llength [delays command]]
}

check "how long commands take" {
    ask CONFIG RESETSTAT
    ask SET a b
    ask SET c d
    ask GET a
    ask CLIENT ID
    ask CLIENT GETNAME
    expect {?{"set" ?{"calls" :2 "histogram_usec" any} "get" ?{"calls" :1 "histogram_usec" any}}} [ask LATENCY HISTOGRAM set GET nosuch zadd]
    expect {?{"client|id" any "client|getname" any}} [ask LATENCY HISTOGRAM client]
    expect {?{"client|id" any}} [ask LATENCY HISTOGRAM client|id client|nosuch]
    expect {{}} [ask LATENCY HISTOGRAM nosuch]
    set all [dict create]
    foreach {name figures} [lindex [ask LATENCY HISTOGRAM] 1] {
        dict set all [lindex $name 1] [lindex $figures 1 3 1]
    }
    same 1 [expr {[dict exists $all config|resetstat] && [dict exists $all latency|histogram]}] [dict keys $all]
    # Bounds grow, and so do counts, up to all calls.
    set counts [dict get $all set]
    same 2 [lindex $counts end 1]
    set before 0
    foreach {bound count} $counts {
        same 1 [expr {[lindex $bound 1] > $before}]
        set before [lindex $bound 1]
    }
}

case "without tracking there is nothing to tell" -config {latency-tracking no} {
    CONFIG RESETSTAT          -> +OK
    SET a b                   -> +OK
    LATENCY HISTOGRAM set     -> {}
}

check "expired keys" -config {latency-monitor-threshold 0} {
    foreach field {expired_time_cap_reached_count expire_cycle_cpu_milliseconds} {
        same 1 [regexp "$field:\[0-9\]+" [lindex [ask INFO stats] 1]] $field
    }
}

case "arguments" {
    LATENCY                   -> -ERR wrong number of arguments for 'latency' command
    LATENCY HISTORY           -> -ERR wrong number of arguments for 'latency|history' command
    LATENCY GRAPH a b         -> -ERR wrong number of arguments for 'latency|graph' command
    LATENCY LATEST x          -> -ERR wrong number of arguments for 'latency|latest' command
    LATENCY HELP x            -> -ERR wrong number of arguments for 'latency|help' command
    LATENCY NOSUCH            -> -ERR unknown subcommand 'NOSUCH'. Try LATENCY HELP.
    LATENCY HELP              -> [+"LATENCY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:" ...]
}

check "percentiles are told while they are counted" {
    ask GET k
    expect {/latency_percentiles_usec_get:/} [ask INFO latencystats]
    ask CONFIG SET latency-tracking no
    set told [ask INFO latencystats]
    ask CONFIG SET latency-tracking yes
    expect {/^# Latencystats\s*$/} $told
}
