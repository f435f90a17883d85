# Following a master: full and partial synchronization, the stream, what a replica tells of itself, and what it does when a
# master is gone, wrong, or no master at all.

# The value of an INFO field of a server, which need not be the one that is tested.
proc info_of {id field} {
    set c [resp::open $server::port($id)]
    resp::send $c {INFO everything}
    set text [lindex [resp::read $c] 1]
    resp::close $c
    if {[regexp "(?n)^$field:(.*?)\r?$" $text all value]} {
        return $value
    }
    return ""
}

# Sends a command to a server; returns the reply.
proc tell {id args} {
    set c [resp::open $server::port($id)]
    resp::send $c $args
    set reply [resp::read $c]
    resp::close $c
    return $reply
}

proc now {} { return $run::server }

# Lets a server follow another one, and waits until it does.
proc follow {replica master} {
    expect +OK [tell $replica REPLICAOF 127.0.0.1 $server::port($master)]
    eventually "\[info_of $replica master_link_status] eq {up}"
}

# Waits until a replica has what its master has.
proc caught_up {replica master} {
    eventually "\[info_of $replica master_repl_offset] eq \[info_of $master master_repl_offset]"
}

# Runs `body` with another server, whose id is in `name`.
proc with_server {name flags body} {
    upvar 1 $name id
    set id [server::start --repl-diskless-sync-delay 0 {*}$flags]
    try {
        uplevel 1 $body
    } finally {
        server::stop $id
    }
}

# --- whom to follow ---------------------------------------------------------------

check "REPLICAOF, and what a replica tells that finds no master" -server {--replica-priority 7} {
    set port [server::free_port]
    expect {-ERR Invalid master port} [ask REPLICAOF 127.0.0.1 65536]
    expect {-ERR Invalid master port} [ask REPLICAOF 127.0.0.1 -1]
    expect {["master" any []]} [ask ROLE]
    set id [info_of [now] master_replid]
    expect +OK [ask REPLICAOF 127.0.0.1 $port]
    expect "+OK Already connected to specified master" [ask SLAVEOF 127.0.0.1 $port]
    expect "\[\"slave\" \"127.0.0.1\" :$port any :-1]" [ask ROLE]
    foreach {field value} [list role slave master_host 127.0.0.1 master_port $port master_link_status down \
            master_last_io_seconds_ago -1 master_sync_in_progress 0 master_link_down_since_seconds -1 \
            slave_priority 7 slave_read_only 1 replica_announced 1 connected_slaves 0] {
        same $value [info_of [now] $field] $field
    }
    expect "{\"replicaof\" \"127.0.0.1 $port\"}" [ask CONFIG GET replicaof]
    same $id [info_of [now] master_replid] "the history is the old one until there is another"
    expect +OK [ask REPLICAOF NO ONE]
    expect {["master" any []]} [ask ROLE]
    same $id [info_of [now] master_replid2] "what came before has the old name"
    expect {{"replicaof" ""}} [ask CONFIG GET replicaof]
}


# --- the snapshot and the stream --------------------------------------------------

foreach diskless {yes no} {
    check "a replica gets a snapshot and the stream, repl-diskless-sync $diskless" -server [list --repl-diskless-sync $diskless --repl-diskless-sync-delay 0] {
        with_server replica {} {
            ask SET early 1
            ask SELECT 3
            ask RPUSH list a b c
            ask FUNCTION LOAD "#!lua name=l\nredis.register_function{function_name='f', callback=function() return 'here' end, flags={'no-writes'}}"
            tell $replica SET old data
            tell $replica FUNCTION LOAD "#!lua name=old\nredis.register_function('old', function() return 1 end)"
            follow $replica [now]
            expect nil [tell $replica GET old]
            expect {"1"} [tell $replica GET early]
            expect {"here"} [tell $replica FCALL f 0]
            expect {/^-ERR Function not found/} [tell $replica FCALL old 0]
            same [info_of [now] master_replid] [info_of $replica master_replid] "the stream's name"
            # A new connection works on database 0: the stream goes on in another one.
            ask MULTI
            ask RPUSH list d
            ask SET more [string repeat x 100000]
            ask EXEC
            ask SET last 1
            caught_up $replica [now]
            set c [resp::open $server::port($replica)]
            resp::send $c {SELECT 3}
            resp::read $c
            resp::send $c {LRANGE list 0 -1}
            expect {["a" "b" "c" "d"]} [resp::read $c]
            resp::send $c {STRLEN more}
            expect :100000 [resp::read $c]
            resp::send $c {CLIENT LIST TYPE master}
            same 1 [regexp {^id=\d+ addr=127.0.0.1:\d+ .* flags=M db=3 .* user=\(superuser\)} [lindex [resp::read $c] 1]] "flags"
            resp::close $c
            expect {:1} [ask WAIT 1 5000]
            same up [info_of $replica master_link_status]
            same "" [info_of $replica master_link_down_since_seconds]
            expect "\[\"slave\" \"127.0.0.1\" :$server::port([now]) \"connected\" any]" [tell $replica ROLE]
        }
    }
}
