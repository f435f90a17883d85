# Feeding replicas: what a master sends to who says it is one, what it tells of them, and what waits for them. Replicas are
# connections of the test's own where every byte matters, and servers where only the outcome does.

# A field of INFO.
proc told {field} {
    regexp "(?n)^$field:(.*?)\r?$" [lindex [ask INFO everything] 1] all value
    return $value
}

# A connection that has introduced itself as a replica.
proc replica {name args} {
    set c [run::connection $name]
    foreach words $args {
        resp::send $c $words
        expect +OK [resp::read $c]
    }
    return $c
}

# Reads a line; in front of it a master that is not ready shows that it is alive.
proc greeting {c} {
    return [string trimleft [resp::line $c] "\n"]
}

# Nothing comes for a while.
proc quiet {c} {
    after 50
    append resp::buffer($c) [resp::some $c]
    same {} $resp::buffer($c) "nothing comes"
}

# Reads all that has come.
proc drain {c} {
    while {[resp::some $c] ne ""} {}
}

# Reads the snapshot that comes, and returns its bytes.
proc snapshot {c} {
    set head [greeting $c]
    if {![regexp {^\$EOF:([0-9a-f]{40})$} $head all mark]} {
        regexp {^\$(\d+)$} $head all length
        return [resp::bytes $c $length]
    }
    set from 0
    while {[set end [string first $mark $resp::buffer($c) $from]] < 0} {
        set from [expr {max(0, [string length $resp::buffer($c)] - 39)}]
        resp::fill $c
    }
    set bytes [resp::bytes $c $end]
    resp::bytes $c 40
    return $bytes
}

# Whether bytes are a snapshot, by its beginning and end; with a text in it.
proc is_snapshot {bytes text} {
    same REDIS [string range $bytes 0 4] "the beginning"
    same 1 [expr {[string first $text $bytes] > 0}] "what is in it"
    same [binary format H* ff] [string index $bytes end-8] "the end, and a checksum behind it"
}

set direct {repl-diskless-sync yes repl-diskless-sync-delay 0 repl-ping-replica-period 3600}
set by_file {repl-diskless-sync no repl-ping-replica-period 3600}

# --- who wants a snapshot ---------------------------------------------------------

foreach {how settings} [list direct $direct file $by_file] {
    check "SYNC, and the stream behind the snapshot: $how" -config $settings {
        ask SET before "in the snapshot"
        set c [replica B]
        resp::send $c SYNC
        is_snapshot [snapshot $c] "in the snapshot"
        ask SET k v
        ask MULTI
        ask INCR n
        ask SELECT 2
        ask INCR n
        ask EXEC
        ask PUBLISH news "for replicas, too"
        foreach expected {
            {["SELECT" "0"]} {["SET" "k" "v"]} {["MULTI"]} {["INCR" "n"]} {["SELECT" "2"]} {["INCR" "n"]} {["EXEC"]}
            {["PUBLISH" "news" "for replicas, too"]}
        } {
            expect $expected [resp::read $c]
        }
        same 1 [told connected_slaves]
        same state=online [regexp -inline {state=[a-z]+} [told slave0]]
    }
}

check "a replica that cannot take an unknown length gets a file" -config $direct {
    ask SET k "in the file"
    set c [replica B {REPLCONF listening-port 7777 ip-address 10.0.0.1} {REPLCONF capa psync2}]
    resp::send $c {PSYNC ? -1}
    same 1 [regexp {^\+FULLRESYNC [0-9a-f]{40} \d+$} [greeting $c]]
    is_snapshot [snapshot $c] "in the file"
    same 1 [regexp {^ip=10.0.0.1,port=7777,state=online,offset=\d+,lag=0$} [told slave0]] [told slave0]
    ask SET k w
    expect {["SELECT" "0"]} [resp::read $c]
    expect {["SET" "k" "w"]} [resp::read $c]
}

check "the stream waits until a snapshot of unknown length has been taken in" -config $direct {
    set c [replica B {REPLCONF capa eof capa psync2}]
    resp::send $c {PSYNC ? -1}
    same 1 [regexp {^\+FULLRESYNC [0-9a-f]{40} \d+$} [greeting $c]]
    snapshot $c
    ask SET k v
    quiet $c
    resp::send $c {REPLCONF ACK 0}
    expect {["SELECT" "0"]} [resp::read $c]
    expect {["SET" "k" "v"]} [resp::read $c]
}

check "several replicas share a snapshot, those that come soon enough" -config {repl-diskless-sync yes repl-diskless-sync-delay 60 repl-diskless-sync-max-replicas 2} {
    set full [told sync_full]
    foreach name {B C} {
        resp::send [replica $name {REPLCONF capa eof}] {PSYNC ? -1}
    }
    foreach name {B C} {
        same +FULLRESYNC [lindex [greeting [run::connection $name]] 0]
        snapshot [run::connection $name]
    }
    same 2 [expr {[told sync_full] - $full}]
}

check "who does not read a snapshot is cut off, and not who waits because of that" -config {repl-diskless-sync yes repl-diskless-sync-delay 60 repl-diskless-sync-max-replicas 2 repl-timeout 3 rdbcompression no} {
    ask SETRANGE large 40000000 x
    set reader [replica B {REPLCONF capa eof}]
    resp::send $reader SYNC
    resp::send [replica C {REPLCONF capa eof}] SYNC
    eventually "\[drain $reader] eq {} && \[told connected_slaves] == 1"
    same 0 [chan eof $reader] "it is the other one"
    same 1 [regexp {state=(wait_bgsave|online)} [told slave0]] [told slave0]
    ask DEL large
}

check "a snapshot alone, of functions alone" -config $direct {
    ask SET key "not a function"
    ask FUNCTION LOAD "#!lua name=mine\nredis.register_function('f', function() return 1 end)"
    set c [replica B {REPLCONF rdb-only 1} {REPLCONF rdb-filter-only functions} {REPLCONF capa eof}]
    resp::send $c SYNC
    set bytes [snapshot $c]
    is_snapshot $bytes "name=mine"
    same 1 [regexp {redis-ver.*ctime.*repl-id} $bytes] "it tells who wrote it"
    same -1 [string first "not a function" $bytes]
    same 0 [regexp {state=online} [told slave0]] "it gets no stream"
    expect {/^-ERR Filtered replica requires EOF capability/} [lindex [list [resp::send [set d [replica C {REPLCONF rdb-filter-only functions}]] SYNC] [resp::read $d]] 1]
    ask FUNCTION FLUSH
}

# --- who goes on where he left off ------------------------------------------------

check "partial synchronization" -config $direct {
    set c [replica B]
    resp::send $c SYNC
    snapshot $c
    ask CONFIG RESETSTAT
    set id [told master_replid]
    ask SET k 1
    set before [told master_repl_offset]
    ask SET k 22
    set after [told master_repl_offset]
    same 28 [expr {$after - $before}] "the offset counts bytes"
    foreach {capabilities reply} [list {capa eof} +CONTINUE {capa psync2} "+CONTINUE $id"] name {C D} {
        set d [replica $name "REPLCONF $capabilities"]
        resp::send $d "PSYNC $id [expr {$before + 1}]"
        expect $reply [resp::read $d]
        expect {["SET" "k" "22"]} [resp::read $d]
    }
    same 2 [expr {[told sync_partial_ok]}]
    # Of another stream, from the time before the backlog, and from the future.
    foreach {wrong offset} [list [string repeat a 40] $before $id 0 $id [expr {$after + 2}]] name {E F G} {
        set e [replica $name {REPLCONF capa eof}]
        resp::send $e "PSYNC $wrong $offset"
        expect "+FULLRESYNC $id $after" [resp::read $e]
        snapshot $e
    }
    same 3 [told sync_partial_err]
}

case "PSYNC and REPLCONF that are wrong" -config $direct {
    PSYNC ? x                       -> -ERR value is not an integer or out of range
    PSYNC ? -1 FAILOVER             -> -ERR PSYNC FAILOVER can't be sent to a master.
    REPLCONF                        -> +OK
    REPLCONF listening-port         -> -ERR syntax error
    REPLCONF listening-port x       -> -ERR value is not an integer or out of range
    REPLCONF rdb-only 2             -> -ERR value is out of range, value must between 0 and 1
    REPLCONF rdb-filter-only keys   -> -ERR Unsupported rdb-filter-only option: keys
    REPLCONF unheard-of 1           -> -ERR Unrecognized REPLCONF option: unheard-of
    REPLCONF capa unheard-of        -> +OK
    MULTI                           -> +OK
    PSYNC ? -1                      -> -ERR Command not allowed inside a transaction
    DISCARD                         -> +OK
    # Nobody answers these; what comes behind them is answered.
    !raw "REPLCONF ACK 1\r\nREPLCONF GETACK *\r\nPING\r\n" -> +PONG
}

foreach {words logged} {
    {SET k v}           {*== CRITICAL == This master is sending an error to its replica: *Replica can't interact with the keyspace*'set'*}
    {GET k}             {*Replica generated a reply to command 'get', disconnecting it: id=*}
    {EVAL {return 1} 0} {*Replica generated a reply to command 'eval', disconnecting it: *flags=S *}
    {PING}              {*Replica generated a reply to command 'ping', disconnecting it: *}
    {SLOWLOG GET}       {*Replica generated a reply to command 'slowlog|get', disconnecting it: *}
    {CLIENT REPLY ON}   {*Replica generated a reply to command 'client|reply', disconnecting it: *}
} {
    check "a replica that wants an answer is cut off: $words" -config $direct {
        set c [replica B]
        resp::send $c SYNC
        snapshot $c
        # These have none.
        foreach silent {{CLIENT REPLY SKIP} {REPLCONF ACK 0} {REPLCONF ACK 0} SYNC} {
            resp::send $c $silent
        }
        after 20
        same 1 [regexp {flags=S } [lindex [ask CLIENT LIST TYPE replica] 1]] "it is shown as what it is"
        same 1 [told connected_slaves]
        resp::send $c $words
        expect closed [resp::read $c]
        same 0 [told connected_slaves]
        same 1 [string match $logged [server::log $run::server]] "the log tells"
    }
}

check "CLIENT KILL of all replicas" -config $direct {
    set c [replica B]
    resp::send $c SYNC
    snapshot $c
    expect :1 [ask CLIENT KILL TYPE replica]
    eventually {[told connected_slaves] == 0}
}

check "who knows no namespaces with names is not fed while there are some" -only cachestorm -config $direct {
    set c [replica B]
    resp::send $c SYNC
    snapshot $c
    set d [replica C {REPLCONF capa namespaces}]
    resp::send $d SYNC
    snapshot $d
    ask NAMESPACE sessions
    ask SET k v
    same closed [lindex [resp::read $c] 0]
    while {[set words [resp::show [resp::read $d]]] ne {["SET" "k" "v"]}} {
        same 1 [string match {\["NAMESPACE" "sessions"*} $words] $words
    }
    set e [replica D]
    resp::send $e {PSYNC ? -1}
    expect {/^-ERR There are namespaces with names/} [resp::read $e]
    # A copy of the file is another matter: there they stand under numbers.
    set f [replica E {REPLCONF rdb-only 1}]
    resp::send $f SYNC
    is_snapshot [snapshot $f] sessions
    ask SELECT 0
    ask NAMESPACEDEL sessions
}

# --- snapshots that nobody waits for any more ---------------------------------------

set slow {repl-diskless-sync no rdb-key-save-delay 100000000 save "" rdbcompression no}

check "a snapshot file goes with the last replica that waits for it" -config $slow {
    ask MSET a 1 b 2 c 3
    foreach name {B C} {
        resp::send [replica $name] SYNC
        eventually {[told rdb_bgsave_in_progress] == 1}
    }
    eventually {[regexp -all {state=wait_bgsave} [lindex [ask INFO replication] 1]] == 2}
    resp::close [replica B]
    eventually {[told connected_slaves] == 1}
    same 1 [told rdb_bgsave_in_progress]
    resp::close [replica C]
    eventually {[told rdb_bgsave_in_progress] == 0}
    eventually {[glob -nocomplain $server::dir($run::server)/temp-*] eq ""}
    # One that comes later is not kept waiting.
    ask CONFIG SET rdb-key-save-delay 0
    resp::send [replica D] SYNC
    is_snapshot [snapshot [replica D]] a
}

check "with save points it goes on without them" -config [dict replace $slow rdb-key-save-delay 300000] {
    ask MSET a 1 b 2 c 3
    ask CONFIG SET save "3600 1000000"
    resp::send [replica B] SYNC
    eventually {[told rdb_bgsave_in_progress] == 1}
    resp::close [replica B]
    eventually {[told connected_slaves] == 0}
    same 1 [told rdb_bgsave_in_progress]
    eventually {[told rdb_bgsave_in_progress] == 0}
    same 1 [file exists $server::dir($run::server)/dump.rdb]
}

foreach {how diskless} {direct yes file no} {
    check "FLUSHALL ends the snapshot of what was: $how" -server {--repl-diskless-sync-delay 0} -config $slow {
        ask CONFIG SET repl-diskless-sync $diskless
        ask MSET a 1 b 2 c 3
        resp::send [replica B {REPLCONF capa eof}] SYNC
        eventually {[told rdb_bgsave_in_progress] == 1}
        same 1 [regexp {state=wait_bgsave} [told slave0]] [told slave0]
        ask FLUSHALL
        eventually {[told rdb_bgsave_in_progress] == 0 && [told connected_slaves] == 0}
        ask CONFIG SET rdb-key-save-delay 0
        ask SET new v
        set c [replica C {REPLCONF capa eof}]
        resp::send $c SYNC
        is_snapshot [snapshot $c] new
    }
}

check "who still reads one snapshot file gets nothing of the next" -config {repl-diskless-sync no rdbcompression no} {
    ask SETRANGE large 20000000 x
    set slow_one [replica B]
    resp::send $slow_one SYNC
    eventually {[regexp {slave0:.*state=send_bulk} [lindex [ask INFO replication] 1]]}
    ask SET more v
    foreach diskless {no yes} {
        ask CONFIG SET repl-diskless-sync $diskless repl-diskless-sync-delay 0
        set c [replica C {REPLCONF capa eof}]
        resp::send $c SYNC
        is_snapshot [snapshot $c] more
        resp::close $c
        dict unset run::connections C
    }
    ask CONFIG SET repl-diskless-sync-delay 5
    set bytes [snapshot $slow_one]
    is_snapshot $bytes large
    same -1 [string first more $bytes] "what came later"
    expect {["SELECT" "0"]} [resp::read $slow_one]
    expect {["SET" "more" "v"]} [resp::read $slow_one]
}

# --- who waits for replicas -------------------------------------------------------

check "WAIT asks replicas, and counts those that have the writes" -config $direct {
    set c [replica B]
    resp::send $c SYNC
    snapshot $c
    ask SET k v
    expect :0 [ask WAIT 1 20]
    resp::read $c
    resp::read $c
    expect {["REPLCONF" "GETACK" "*"]} [resp::read $c]
    set waiting [run::connection W]
    resp::send $waiting {SET k w}
    expect +OK [resp::read $waiting]
    set offset [told master_repl_offset]
    resp::send $waiting {WAIT 1 10000}
    expect {["SET" "k" "w"]} [resp::read $c]
    expect {["REPLCONF" "GETACK" "*"]} [resp::read $c]
    set end [told master_repl_offset]
    resp::send $c "REPLCONF ACK [expr {$offset - 1}]"
    quiet $waiting
    resp::send $c "REPLCONF ACK $offset"
    expect :1 [resp::read $waiting]
    expect "\[\"master\" :$end \[\[\"127.0.0.1\" \"0\" \"$offset\"]]]" [ask ROLE]
}

check "too few replicas that keep up: no writes" -config {repl-diskless-sync-delay 0 min-replicas-to-write 1 min-replicas-max-lag 10} {
    expect {/^-NOREPLICAS Not enough good replicas to write/} [ask SET k v]
    set c [replica B]
    resp::send $c SYNC
    snapshot $c
    resp::send $c {REPLCONF ACK 0}
    eventually {[resp::show [ask SET k v]] eq {+OK}}
    same 1 [told min_slaves_good_slaves]
    resp::close $c
    eventually {[resp::show [ask SET k v]] ne {+OK}}
}

check "who reads the stream too slowly is cut off" -config {repl-diskless-sync-delay 0 repl-backlog-size 16384 client-output-buffer-limit "replica 200000 0 0"} {
    set c [replica B]
    resp::send $c SYNC
    snapshot $c
    resp::send $c {REPLCONF ACK 0}
    eventually {[regexp online [told slave0]]}
    for {set n 0} {$n < 200 && [told connected_slaves] == 1} {incr n} {
        ask SET k [string repeat x 100000]
    }
    same 0 [told connected_slaves]
    eventually {[told repl_backlog_histlen] < 64000}
}

check "a snapshot does not count as output that nobody reads" -config {repl-diskless-sync-delay 0 repl-diskless-sync yes rdbcompression no client-output-buffer-limit "replica 64kb 0 0"} {
    for {set n 0} {$n < 40} {incr n} {
        ask SET k:$n [string repeat $n 100000]
    }
    foreach {diskless name} {yes B no C} {
        ask CONFIG SET repl-diskless-sync $diskless
        set c [replica $name]
        resp::send $c SYNC
        # Some of it waits.
        after 300
        snapshot $c
        resp::send $c {REPLCONF ACK 0}
        eventually {[regexp online [told slave0]]}
        resp::close $c
        eventually {[told connected_slaves] == 0}
    }
}

# --- changing places, and the end -------------------------------------------------

check "FAILOVER: a replica becomes the master, and nothing is lost" -server {--repl-diskless-sync-delay 0} {
    set other [server::start --repl-diskless-sync-delay 0]
    try {
        set port $server::port($other)
        set at_other [resp::open $port]
        resp::send $at_other "REPLICAOF 127.0.0.1 $server::port($run::server)"
        resp::read $at_other
        eventually {[regexp {state=online} [lindex [ask INFO replication] 1]]}
        set c [run::connection W]
        for {set n 0} {$n < 100} {incr n} {
            resp::send $c "INCR n"
        }
        for {set n 1} {$n <= 100} {incr n} {
            expect ":$n" [resp::read $c]
        }
        expect {-ERR FAILOVER target HOST and PORT is not a replica.} [ask FAILOVER TO 127.0.0.1 1]
        expect {/^-ERR FAILOVER with force option requires both a timeout/} [ask FAILOVER FORCE]
        expect +OK [ask FAILOVER TO 127.0.0.1 $port TIMEOUT 10000]
        eventually {[told role] eq {slave} && [told master_link_status] eq {up}}
        same no-failover [told master_failover_state]
        expect {-READONLY You can't write against a read only replica.} [ask SET k v]
        resp::send $at_other {GET n}
        expect {"100"} [resp::read $at_other]
        resp::send $at_other {INCR n}
        expect :101 [resp::read $at_other]
        eventually {[resp::show [ask GET n]] eq {"101"}}
        resp::send $at_other {INFO stats}
        same 1 [regexp {sync_full:0\r} [lindex [resp::read $at_other] 1]] "no snapshot was needed"
        resp::close $at_other
    } finally {
        server::stop $other
    }
}

check "a failover that finds nobody ready ends, and writing goes on" -config $direct {
    set c [replica B {REPLCONF listening-port 7777}]
    resp::send $c SYNC
    snapshot $c
    ask SET k v
    expect +OK [ask FAILOVER TIMEOUT 300]
    expect {-ERR FAILOVER already in progress.} [ask FAILOVER]
    expect {-ERR REPLICAOF not allowed while failing over.} [ask REPLICAOF NO ONE]
    expect {-ERR REPLICAOF not allowed while failing over.} [ask REPLICAOF 127.0.0.1 1]
    same waiting-for-sync [told master_failover_state]
    resp::send [run::connection W] {SET k w}
    quiet [run::connection W]
    expect +OK [resp::read [run::connection W]]
    same no-failover [told master_failover_state]
    expect +OK [ask FAILOVER]
    expect +OK [ask FAILOVER ABORT]
    expect +OK [ask SET k x]
}

check "the end waits for replicas" -server {--repl-diskless-sync-delay 0 --shutdown-timeout 30 --repl-ping-replica-period 3600} {
    set c [replica B]
    resp::send $c SYNC
    snapshot $c
    ask SET k v
    set offset [told master_repl_offset]
    resp::send [run::connection W] {SHUTDOWN NOSAVE}
    resp::read $c
    resp::read $c
    expect {["REPLCONF" "GETACK" "*"]} [resp::read $c]
    same 1 [regexp {shutdown_in_milliseconds:\d+} [lindex [ask INFO server] 1]] "INFO tells"
    expect +OK [ask SHUTDOWN ABORT]
    expect {-ERR Errors trying to SHUTDOWN. Check logs.} [resp::read [run::connection W]]
    ask SET k w
    # Redis 7.4.1 fails an assertion if the same connection asks for it again.
    resp::send [run::connection X] {SHUTDOWN NOSAVE}
    resp::read $c
    expect {["REPLCONF" "GETACK" "*"]} [resp::read $c]
    resp::send $c "REPLCONF ACK [told master_repl_offset]"
    same 1 [server::wait_exit $run::server] "it ends"
}

foreach {wish file} {SAVE 1 NOSAVE 0} {
    check "a signal does not change what SHUTDOWN $wish asked for" \
        -server [list --repl-diskless-sync-delay 0 --shutdown-timeout 1 --save [expr {$file ? "" : "3600 1000"}]] {
        set dump [file join $server::dir($run::server) dump.rdb]
        set c [replica B]
        resp::send $c SYNC
        snapshot $c
        ask SET k v
        file delete $dump
        resp::send [run::connection W] [list SHUTDOWN $wish]
        eventually {[regexp {shutdown_in_milliseconds:} [lindex [ask INFO server] 1]]}
        server::signal $run::server TERM
        same 1 [server::wait_exit $run::server] "it ends"
        same $file [file exists $dump] "there is a file"
    }
}

check "a second SIGINT does not wait for replicas" -server {--repl-diskless-sync-delay 0 --shutdown-timeout 3600} {
    set c [replica B]
    resp::send $c SYNC
    snapshot $c
    ask SET k v
    server::signal $run::server INT
    eventually {[regexp {shutdown_in_milliseconds:} [lindex [ask INFO server] 1]]}
    server::signal $run::server INT
    same 1 [server::wait_exit $run::server] "it ends"
}

check "without replicas the backlog goes" -config {repl-diskless-sync-delay 0 repl-backlog-ttl 1} {
    set c [replica B]
    resp::send $c SYNC
    snapshot $c
    set id [told master_replid]
    same 1 [told repl_backlog_active]
    resp::close $c
    eventually {[told repl_backlog_active] == 0}
    same 0 [expr {[told master_replid] eq $id}] "and so does the stream's name"
}

check "nor does it stay for replicas that have never come back" -server {--repl-backlog-ttl 1} {
    ask REPLICAOF 127.0.0.1 [server::free_port]
    ask REPLICAOF NO ONE
    eventually {[told repl_backlog_active] == 0}
    set offset [told master_repl_offset]
    ask SET k v
    same $offset [told master_repl_offset]
}
