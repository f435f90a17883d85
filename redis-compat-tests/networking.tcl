# Listeners, limits on clients and buffers, timeouts.

proc stat {field} {
    regexp "\r\n$field:(\[^\r]*)" [lindex [ask INFO everything] 1] all value
    return $value
}

# --- listeners ------------------------------------------------------------------------

check "a unix socket" {
    set dir [server::new_dir]
    set id [server::start --unixsocket $dir/sock --unixsocketperm 770]
    set run::server $id
    same "PONG" [exec redis-cli -s $dir/sock PING]
    same "OK" [exec redis-cli -s $dir/sock SET k v]
    expect {"v"} [ask GET k]
    same 0770 [string range [file attributes $dir/sock -permissions] end-3 end] "permissions"
    same 1 [regexp {laddr=\S*sock:0 } [exec redis-cli -s $dir/sock CLIENT INFO]] "laddr"
    same 1 [regexp { addr=\S*sock:0 } [exec redis-cli -s $dir/sock CLIENT INFO]] "addr"
    expect "/listener1:name=unix,bind=[string map {. \\. / \\/} $dir/sock]/" [ask INFO server]
    run::disconnect
    server::stop $id
    same 0 [file exists $dir/sock] "the socket is removed"
}

check "a stale unix socket is replaced" {
    set dir [server::new_dir]
    set id [server::start --unixsocket $dir/sock]
    server::signal $id KILL
    server::wait_exit $id
    server::stop $id
    same 1 [file exists $dir/sock] "the socket is left"
    set id [server::start --unixsocket $dir/sock]
    same "PONG" [exec redis-cli -s $dir/sock PING]
    server::stop $id
}

check "a unix socket without TCP" {
    set dir [server::new_dir]
    exec setpriv --pdeathsig KILL -- $server::binary --port 0 --unixsocket $dir/sock --dir $dir --save "" \
        < /dev/null >& $dir/log &
    for {set tries 0} {$tries < 1000 && [catch {exec redis-cli -s $dir/sock PING} said]} {incr tries} {
        after 10
    }
    same "PONG" $said
    catch {exec redis-cli -s $dir/sock SHUTDOWN NOSAVE}
    for {set tries 0} {$tries < 1000 && [file exists $dir/sock]} {incr tries} {
        after 10
    }
    same 0 [file exists $dir/sock] "the socket after SHUTDOWN"
}

check "CONFIG SET bind to fewer addresses and to more" {
    set port [server::free_port]
    set dir [server::new_dir]
    set run::server [server::launch $port $dir [list --port $port --bind "* -::*" --dir $dir --save ""]]
    foreach bind {127.0.0.1 "127.0.0.1 -::1" 0.0.0.0 127.0.0.1 "127.0.0.1 127.0.0.2" "* -::*"} {
        expect +OK [ask CONFIG SET bind $bind] $bind
    }
    expect "-ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified addresses." \
        [ask CONFIG SET bind "127.0.0.1 192.0.2.1"]
    expect +PONG [ask PING] "who is connected stays so"
    set c [resp::open $port 127.0.0.2]
    resp::send $c PING
    expect +PONG [resp::read $c] "what was before remains"
}

check "a server that would listen nowhere does not start" {
    foreach flags [list {--port 0} [list --port [server::free_port] --bind ""]] {
        lassign [server::run $flags] code output
        same 1 $code "exit code with $flags"
        same 1 [string match "*Configured to not listen anywhere, exiting.*" $output] "told: $output"
    }
}

check "who asks for encryption that cannot be had does not get clear text" {
    foreach flags {{--tls-port 6390} {--tls-replication yes} {--tls-cluster yes}} {
        lassign [server::run [list --port [server::free_port] {*}$flags]] code output
        same 1 $code "exit code with $flags"
        same 1 [string match "*TLS*" $output] "told: $output"
    }
}

check "several addresses, some of them optional" {
    set port [server::free_port]
    set dir [server::new_dir]
    set id [server::launch $port $dir [list --port $port --bind "127.0.0.1 127.0.0.2 -192.0.2.1" --dir $dir --save ""]]
    foreach host {127.0.0.1 127.0.0.2} {
        set c [resp::open $port $host]
        resp::send $c PING
        expect +PONG [resp::read $c] $host
        resp::close $c
    }
    same 1 [catch {resp::open $port 127.0.0.3}] "127.0.0.3 refuses"
    server::stop $id
}

check "an address or port that cannot be had ends the start" {
    set port $server::port($run::server)
    lassign [server::run [list --port $port --bind 127.0.0.1]] code output
    same 1 [expr {$code != 0}] "exit code $code with a busy port"
    same 1 [regexp -nocase {address already in use} $output] "names the reason: $output"
    lassign [server::run [list --port [server::free_port] --bind 192.0.2.1]] code output
    same 1 [expr {$code != 0}] "exit code $code with a foreign address"
}

check "CONFIG SET port and bind move the listener" -server {--hz 10} {
    set old $server::port($run::server)
    set new [server::free_port]
    expect +OK [ask CONFIG SET port $new]
    expect +PONG [ask PING]
    same 1 [catch {resp::open $old}] "the old port refuses"
    set c [resp::open $new]
    resp::send $c PING
    expect +PONG [resp::read $c]
    resp::close $c
    expect +OK [ask CONFIG SET bind 127.0.0.2]
    set c [resp::open $new 127.0.0.2]
    resp::send $c PING
    expect +PONG [resp::read $c]
    resp::close $c
    same 1 [catch {resp::open $new 127.0.0.1}] "the old address refuses"
    expect {/^-ERR CONFIG SET failed \(possibly related to argument 'bind'\) - Failed to bind to specified addresses\.$/} \
        [ask CONFIG SET bind 192.0.2.1]
    set c [resp::open $new 127.0.0.2]
    resp::close $c
}

# --- many clients -----------------------------------------------------------------------

check "maxclients" -server {--maxclients 5} {
    ask CONFIG RESETSTAT
    set held {}
    for {set i 0} {$i < 4} {incr i} {
        lappend held [resp::open $server::port($run::server)]
        resp::send [lindex $held end] PING
        expect +PONG [resp::read [lindex $held end]]
    }
    set c [resp::open $server::port($run::server)]
    expect "-ERR max number of clients reached" [resp::read $c]
    expect closed [resp::read $c]
    resp::close $c
    same 1 [stat rejected_connections] rejected_connections
    expect +OK [ask CONFIG SET maxclients 10]
    set c [resp::open $server::port($run::server)]
    resp::send $c PING
    expect +PONG [resp::read $c]
    resp::close $c
    foreach c $held {
        resp::close $c
    }
    expect +OK [ask CONFIG SET maxclients 5]
    eventually {[stat connected_clients] == 1}
}

check "a thousand clients at once" {
    set clients {}
    for {set i 0} {$i < 1000} {incr i} {
        lappend clients [resp::open $server::port($run::server)]
    }
    foreach c $clients {
        resp::send $c [list INCR n]
    }
    set sum 0
    foreach c $clients {
        incr sum [lindex [resp::read $c] 1]
    }
    same 500500 $sum "every client got a number of its own"
    same 1001 [stat connected_clients]
    foreach c $clients {
        resp::close $c
    }
    eventually {[stat connected_clients] == 1}
}

# --- output buffers ------------------------------------------------------------------------

check "a client that does not read is cut off at the hard limit" -config {client-output-buffer-limit "normal 1mb 0 0"} {
    ask CONFIG RESETSTAT
    ask SET k [string repeat x 1000000]
    set c [resp::open $server::port($run::server)]
    resp::raw $c [string repeat [resp::encode {GET k}] 50]
    eventually {[stat client_output_buffer_limit_disconnections] == 1}
    resp::close $c
    expect +PONG [ask PING]
}

check "a client that does not read is cut off when over the soft limit for its time" \
        -config {client-output-buffer-limit "normal 0 100kb 1"} {
    ask CONFIG RESETSTAT
    ask SET k [string repeat x 1000000]
    set c [resp::open $server::port($run::server)]
    resp::raw $c [string repeat [resp::encode {GET k}] 50]
    eventually {[stat client_output_buffer_limit_disconnections] == 1}
    resp::close $c
}

check "a client that reads late gets everything" {
    ask SET k [string repeat x 1000000]
    set c [resp::open $server::port($run::server)]
    resp::raw $c [string repeat [resp::encode {GET k}] 50]
    expect +PONG [ask PING]
    for {set i 0} {$i < 50} {incr i} {
        if {[string length [lindex [resp::read $c] 1]] != 1000000} {
            run::problem "reply $i" "1000000 bytes" "something else"
            break
        }
    }
    resp::close $c
}

check "what a MONITOR does not read takes what it is long" {
    set c [resp::open $server::port($run::server)]
    resp::send $c {CLIENT SETNAME lazy}
    resp::read $c
    resp::send $c {MONITOR}
    resp::read $c
    for {set n 0} {$n < 1000} {incr n} {
        ask PING [string repeat x 20000]
    }
    same 1 [regexp { name=lazy [^\n]* omem=(\d+) tot-mem=(\d+) } [lindex [ask CLIENT LIST] 1] all omem memory]
    same 1 [expr {$omem > 10000000 && $memory < 1.2 * $omem}] "$omem bytes wait and take $memory"
    resp::close $c
}

check "who is answered more than it may leave unread costs nobody's keys" -server {
    --maxmemory 40mb --maxmemory-policy allkeys-lru --client-output-buffer-limit {normal 4mb 0 0}
} {
    for {set n 0} {$n < 20} {incr n} {
        ask RPUSH list {*}[lrepeat 100 [string repeat x 500]]
    }
    set range [resp::encode {LRANGE list 0 -1}]
    set pieces [list [string repeat $range 200] [resp::encode MULTI][string repeat $range 200][resp::encode EXEC]]
    foreach commands $pieces {
        set c [resp::open $server::port($run::server)]
        resp::raw $c $commands
        eventually {[stat connected_clients] == 1}
        resp::close $c
    }
    same 2 [stat client_output_buffer_limit_disconnections]
    same 0 [stat evicted_keys]
    expect :2000 [ask LLEN list]
}

check "who leaves without having read its replies is gone" {
    ask SET k [string repeat x 10000]
    for {set n 0} {$n < 20} {incr n} {
        set c [resp::open $server::port($run::server)]
        resp::raw $c [string repeat "GET k\r\n" 1000]
        if {$n % 2} {
            after 10
        }
        resp::close $c
    }
    eventually {[stat connected_clients] == 1}
}

check "CLIENT LIST shows what waits to be sent" {
    ask SET k [string repeat x 1000000]
    set c [resp::open $server::port($run::server)]
    resp::send $c {CLIENT SETNAME lazy}
    resp::read $c
    resp::raw $c [string repeat [resp::encode {GET k}] 50]
    eventually {[regexp { name=lazy [^\n]* omem=(\d+) } [lindex [ask CLIENT LIST] 1] all omem] && $omem > 1000000}
    resp::close $c
    eventually {[stat connected_clients] == 1}
}

check "maxmemory-clients evicts the largest client" -server {--maxmemory-clients 20mb} {
    ask SET k [string repeat x 1000000]
    ask CLIENT NO-EVICT on
    set c [resp::open $server::port($run::server)]
    resp::raw $c [string repeat [resp::encode {GET k}] 100]
    eventually {[stat evicted_clients] == 1}
    resp::close $c
}

# --- timeouts ---------------------------------------------------------------------------------

check "idle clients are closed after timeout" -config {timeout 1} {
    set idle [resp::open $server::port($run::server)]
    set busy [resp::open $server::port($run::server)]
    # The busy one asks until the idle one is closed.
    while {[catch {read $idle 1} data] == 0 && ![chan eof $idle]} {
        resp::send $busy PING
        if {[resp::read $busy] ne "+ PONG"} {
            run::problem "the busy client" +PONG closed
            break
        }
        after 50
    }
    resp::close $idle
    resp::close $busy
}

check "accepting goes on while others are served" {
    set c [resp::open $server::port($run::server)]
    resp::raw $c [string repeat [resp::encode {PING}] 50000]
    for {set i 0} {$i < 20} {incr i} {
        set other [resp::open $server::port($run::server)]
        resp::send $other PING
        expect +PONG [resp::read $other]
        resp::close $other
    }
    for {set i 0} {$i < 50000} {incr i} {
        resp::read $c
    }
    resp::close $c
}

# --- who leaves ---------------------------------------------------------------------------------

check "what has been sent runs, although the client closes the connection at once" {
    foreach size {40 33000 200000} {
        set element [string repeat x $size]
        for {set n 0} {$n < 20} {incr n} {
            set c [resp::open $server::port($run::server)]
            resp::send $c [list RPUSH list:$size $element]
            resp::close $c
        }
        eventually "\[lindex \[ask LLEN list:$size\] 1\] == 20"
    }
    for {set n 0} {$n < 10} {incr n} {
        set c [resp::open $server::port($run::server)]
        # In one piece: what comes behind an answer that nobody takes may get lost on the way.
        chan configure $c -buffersize 100000
        resp::raw $c [string repeat [resp::encode {INCR n}] 600]
        resp::close $c
    }
    eventually {[lindex [ask GET n] 1] == 6000}
}

check "who says its last word and waits for a key has its replies, and does not wait" {
    foreach {commands replies left} {
        {{RPUSH l1 a} {BLPOP l1 0} {BLPOP l2 0}} {:1 {["l1" "a"]}} 0
        {{RPUSH l1 a} {BLPOP l2 0} {RPUSH l1 b}} {:1} 1
        {{BLPOP l2 0} {RPUSH l1 a}} {} 0
    } {
        ask DEL l1
        set c [resp::open $server::port($run::server)]
        resp::raw $c [join [lmap words $commands {resp::encode $words}] ""]
        close $c write
        foreach reply $replies {
            expect $reply [resp::read $c] $commands
        }
        same {closed {}} [resp::read $c] "the end of $commands"
        resp::close $c
        expect ":$left" [ask LLEN l1] $commands
        eventually {[regexp {blocked_clients:0} [lindex [ask INFO clients] 1]]}
    }
}

check "who waits and has much to say is still seen to leave" {
    foreach wait {{BLPOP queue 0} {WAIT 1 0}} {
        foreach {lengths at_once} {{100000 100000 100000} 0 {100000 100000 100000} 1 {3000000 100000 100} 1} {
            set c [resp::open $server::port($run::server)]
            set said {}
            foreach key {k1 k2 k3} length $lengths {
                append said [resp::encode [list SET $key [string repeat x $length]]]
            }
            if {$at_once} {
                resp::raw $c [resp::encode $wait]$said
            } else {
                resp::send $c $wait
            }
            eventually {[regexp {blocked_clients:1} [lindex [ask INFO clients] 1]]}
            if {!$at_once} {
                resp::raw $c $said
            }
            ask PING
            resp::close $c
            eventually {[regexp {blocked_clients:0} [lindex [ask INFO clients] 1]]}
            expect :0 [ask EXISTS k1 k2 k3]
        }
    }
    expect :1 [ask RPUSH queue a]
    expect {"a"} [ask LPOP queue]
}

check "what comes while its client waits runs when the wait is over" {
    set b [run::connection B]
    resp::send $b {BLPOP queue 0}
    eventually {[regexp {blocked_clients:1} [lindex [ask INFO clients] 1]]}
    for {set n 0} {$n < 50} {incr n} {
        resp::send $b [list APPEND text [string repeat $n 10000]]
    }
    resp::send $b {STRLEN text}
    ask RPUSH queue a
    expect {["queue" "a"]} [resp::read $b]
    for {set n 1} {$n <= 50} {incr n} {
        set length [expr {$n <= 10 ? $n * 10000 : 100000 + ($n - 10) * 20000}]
        expect ":$length" [resp::read $b]
    }
    expect :900000 [resp::read $b]
}

check "who has waited goes on before those who have come since" {
    foreach {name client} {B b C c D d} {
        set $client [run::connection $name]
    }
    resp::raw $b [resp::encode {BLPOP queue 0}][resp::encode {APPEND order 1}]
    eventually {[regexp {blocked_clients:1} [lindex [ask INFO clients] 1]]}
    resp::send $b {APPEND order 2}
    # Two of them lie there; the second came in another segment.
    eventually {[regexp { qbuf=68 } [lindex [ask CLIENT LIST] end]]}
    # While the server is busy with D, C asks: that lies there before the next turn begins.
    resp::raw $d [resp::encode {RPUSH queue a}][resp::encode {DEBUG SLEEP 0.6}]
    after 100
    resp::send $c {APPEND order 3}
    foreach {connection replies} [list $b {{["queue" "a"]} :1 :2} $c {:3} $d {:1 +OK}] {
        foreach reply $replies {
            expect $reply [resp::read $connection]
        }
    }
    expect {"123"} [ask GET order]
}

check "who leaves during a pause is gone, however much it has said" {
    foreach length {10 100000 3000000} {
        ask CLIENT PAUSE 20000 WRITE
        for {set n 0} {$n < 5} {incr n} {
            set c [resp::open $server::port($run::server)]
            resp::raw $c [resp::encode [list SET "key:$n" [string repeat x $length]]]
            resp::close $c
        }
        eventually {[regexp {connected_clients:1\y.*blocked_clients:0} [lindex [ask INFO clients] 1]]}
        ask CLIENT UNPAUSE
    }
    expect :0 [ask EXISTS key:0 key:1 key:2 key:3 key:4]
}

check "who waits for the end of a pause goes on in the order of arrival" {
    foreach name {B C D E F} {
        resp::send [run::connection $name] PING
        resp::read [run::connection $name]
    }
    foreach mode {WRITE ALL} {
        ask DEL order
        expect +OK [ask CLIENT PAUSE [expr {$mode eq "ALL" ? 600 : 30000}] $mode]
        foreach name {E C F B D} {
            resp::send [run::connection $name] [list RPUSH order $name]
            if {$mode eq "WRITE"} {
                eventually "\[regexp {blocked_clients:[incr waiting]} \[lindex \[ask INFO clients\] 1\]\]"
            } else {
                after 20
            }
        }
        if {$mode eq "WRITE"} {
            expect +OK [ask CLIENT UNPAUSE]
        }
        foreach name {B C D E F} {
            resp::read [run::connection $name]
        }
        expect {["E" "C" "F" "B" "D"]} [ask LRANGE order 0 -1] $mode
    }
}
