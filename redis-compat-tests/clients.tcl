# What clients may take together: maxmemory-clients, CLIENT NO-EVICT, and what counts as a client's memory.

# The fields of the line that CLIENT LIST has for a connection, or nothing.
proc client_line {name} {
    set line [lsearch -inline [split [lindex [ask CLIENT LIST] 1] \n] "*name=$name *"]
    set fields {}
    foreach field [split $line " "] {
        set at [string first = $field]
        dict set fields [string range $field 0 $at-1] [string range $field $at+1 end]
    }
    return $fields
}

proc memory_of {name} {
    return [dict get [client_line $name] tot-mem]
}

# A connection with a name.
proc named {name} {
    resp::send [run::connection $name] [list CLIENT SETNAME $name]
    resp::read [run::connection $name]
}

proc is_there {name} {
    return [expr {[client_line $name] ne ""}]
}

# The beginning of a request whose last argument has so many bytes, all but one of which are sent.
proc begin_request {name bytes} {
    resp::raw [run::connection $name] "*2\r\n\$4\r\nECHO\r\n\$$bytes\r\n[string repeat x [expr {$bytes - 1}]]"
}

set unlimited {maxmemory-clients 0}

check "an unfinished request counts" -config $unlimited {
    ask CLIENT NO-EVICT on
    named B
    named C
    ask CONFIG SET maxmemory-clients 2000000
    begin_request B 200000
    eventually {[memory_of B] > 200000}
    begin_request C 1900000
    eventually {![is_there C]}
    same 1 [is_there B]
    regexp {evicted_clients:(\d+)} [lindex [ask INFO stats] 1] all evicted
    same 1 $evicted
}

check "what a client is told of other clients' keys counts at once" -config $unlimited {
    ask CLIENT NO-EVICT on
    named B
    named C
    set id [dict get [client_line B] id]
    resp::send [run::connection B] {SUBSCRIBE __redis__:invalidate}
    resp::read [run::connection B]
    resp::send [run::connection C] [list CLIENT TRACKING ON BCAST REDIRECT $id]
    expect +OK [resp::read [run::connection C]]
    ask CONFIG SET maxmemory-clients 3000000
    ask DEBUG PAUSE-CRON 1
    # It reads nothing, and each key is a long message for it.
    set script [lindex [ask SCRIPT LOAD "return redis.call('incr', string.rep('k', 200000))"] 1]
    for {set n 0} {$n < 1000 && [is_there B]} {incr n} {
        expr {[memory_of B] < 3000000 ? 1 : [error "[memory_of B] bytes are too many"]}
        ask EVALSHA $script 0
    }
    same 0 [is_there B]
    ask DEBUG PAUSE-CRON 0
}

check "what is kept of a transaction counts" -config $unlimited {
    ask CLIENT NO-EVICT on
    named B
    ask CONFIG SET maxmemory-clients 1000000
    resp::send [run::connection B] MULTI
    expect +OK [resp::read [run::connection B]]
    resp::send [run::connection B] [list SET k [string repeat x 400000]]
    expect +QUEUED [resp::read [run::connection B]]
    resp::send [run::connection B] [list SET k [string repeat x 900000]]
    eventually {![is_there B]}
}

check "watched keys count" -config $unlimited {
    named B
    set before [memory_of B]
    resp::send [run::connection B] [list WATCH [string repeat x 10000]]
    resp::read [run::connection B]
    same 1 [expr {[memory_of B] >= $before + ($server::cachestorm ? 10000 : 16)}]
}

check "what a waiting client waits with counts" -config $unlimited -only cachestorm {
    named B
    resp::send [run::connection B] [list BLPOP [string repeat x 50000] 0]
    eventually {[memory_of B] > 50000}
    ask CLIENT NO-EVICT on
    ask CONFIG SET maxmemory-clients 40000
    same 0 [is_there B]
}

check "the arguments of a waiting command count until the wait is over" {
    named B
    resp::send [run::connection B] [list BLPOP k [string repeat x 1000] 0]
    eventually {[dict get [client_line B] argv-mem] >= 1007}
    ask RPUSH k a
    expect {["k" "a"]} [resp::read [run::connection B]]
    same 0 [dict get [client_line B] argv-mem]
}

check "replies that are not read count, command by command" -config $unlimited {
    ask CLIENT NO-EVICT on
    named B
    ask SET k [string repeat x 10000]
    ask CONFIG SET maxmemory-clients 3000000
    # One pipeline has far more replies than that.
    resp::raw [run::connection B] [string repeat "GET k\r\n" 1000]
    eventually {![is_there B]}
}

check "a lower limit ends connections at once, the largest first" -config $unlimited {
    ask CLIENT NO-EVICT on
    foreach {name bytes} {B 300000 C 900000 D 600000} {
        named $name
        begin_request $name $bytes
        set ::wanted [list $name $bytes]
        eventually {[memory_of [lindex $::wanted 0]] > [lindex $::wanted 1]}
    }
    ask CONFIG SET maxmemory-clients 1300000
    same {1 0 1} [lmap name {B C D} {is_there $name}]
    ask CONFIG SET maxmemory-clients 600000
    same {1 0 0} [lmap name {B C D} {is_there $name}]
}

check "who may not be evicted stays until it may" -config $unlimited {
    ask CLIENT NO-EVICT on
    named B
    resp::send [run::connection B] {CLIENT NO-EVICT on}
    expect +OK [resp::read [run::connection B]]
    ask CONFIG SET maxmemory-clients 1
    same 1 [is_there B]
    same 1 [string match *e* [dict get [client_line B] flags]]
    resp::send [run::connection B] {CLIENT NO-EVICT off}
    if {$server::cachestorm} {
        # Redis takes its time.
        eventually {![is_there B]}
    }
    # With this limit no connection would live to restore it.
    ask CONFIG SET maxmemory-clients 0
}

check "a share of maxmemory" -config {maxmemory-clients 0 maxmemory 0} {
    ask CLIENT NO-EVICT on
    named B
    ask CONFIG SET maxmemory-clients 50%
    expect {{"maxmemory-clients" "50%"}} [ask CONFIG GET maxmemory-clients]
    begin_request B 3000000
    eventually {[memory_of B] > 2900000}
    ask CONFIG SET maxmemory 5000000
    same 0 [is_there B]
}

# --- FLUSHALL, FLUSHDB ------------------------------------------------------------------

check "SYNC answers when the memory is back" -needs {debug} {
    proc used {} {
        regexp {used_memory:(\d+)} [lindex [ask INFO memory] 1] all used
        return $used
    }
    foreach command {{FLUSHALL SYNC} {FLUSHDB SYNC} FLUSHALL} {
        set before [used]
        ask DEBUG POPULATE 300000 key 50
        same 1 [expr {[used] - $before > 15000000}]
        expect +OK [ask {*}$command]
        same 1 [expr {[used] - $before < 3000000}] $command
        expect :0 [ask DBSIZE]
    }
}

check "a transaction has its memory back, too" -needs {debug} {
    ask DEBUG POPULATE 100000 key 50
    ask MULTI
    ask FLUSHALL SYNC
    ask INFO memory
    ask DBSIZE
    set reply [lindex [ask EXEC] 1]
    expect +OK [lindex $reply 0]
    expect :0 [lindex $reply 2]
    regexp {lazyfree_pending_objects:(\d+)} [lindex $reply 1 1] all pending
    same 0 $pending
}

check "who waits for the memory holds nobody up, and may leave" -only cachestorm {
    ask DEBUG POPULATE 500000 key 50
    resp::send [run::connection B] {FLUSHALL SYNC}
    expect +PONG [ask PING]
    expect +OK [resp::read [run::connection B]]
    ask DEBUG POPULATE 500000 key 50
    resp::send [run::connection B] {FLUSHALL SYNC}
    resp::close [run::connection B]
    dict unset run::connections B
    expect +PONG [ask PING]
    eventually {[regexp {lazyfree_pending_objects:0\r} [lindex [ask INFO memory] 1]]}
    eventually {[regexp {blocked_clients:0\r} [lindex [ask INFO clients] 1]]}
}

case "arguments" {
    FLUSHALL NOW              -> -ERR syntax error
    FLUSHDB SYNC ASYNC        -> -ERR syntax error
    FLUSHDB async             -> +OK
    CLIENT NO-EVICT maybe     -> -ERR syntax error
}

check "what subscribers leave unread costs them, and no keys" -config {maxmemory-clients 0 maxmemory 0 maxmemory-policy noeviction} {
    ask CLIENT NO-EVICT on
    ask CONFIG RESETSTAT
    ask CONFIG SET maxmemory-clients 3000000 maxmemory-policy allkeys-lru
    for {set n 0} {$n < 30} {incr n} {
        ask SETRANGE key:$n 100000 x
    }
    regexp {used_memory:(\d+)} [lindex [ask INFO memory] 1] all used
    ask CONFIG SET maxmemory [expr {$used + 6000000}]
    for {set n 0} {$n < 5} {incr n} {
        named S$n
        resp::send [run::connection S$n] {SUBSCRIBE news}
        resp::read [run::connection S$n]
    }
    # All at once, so that nobody is sent anything in between.
    set message [string repeat x 20000]
    set publisher [run::connection A]
    for {set n 0} {$n < 600} {incr n} {
        resp::send $publisher [list PUBLISH news $message]
    }
    for {set n 0} {$n < 600} {incr n} {
        resp::read $publisher
    }
    set statistics [lindex [ask INFO stats] 1]
    regexp {evicted_clients:(\d+)} $statistics all clients
    regexp {evicted_keys:(\d+)} $statistics all keys
    same {1 0 30} [list [expr {$clients > 0}] $keys [lindex [ask DBSIZE] 1]]
}
