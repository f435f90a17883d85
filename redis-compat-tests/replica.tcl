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

# --- losing the master, and finding it again ---------------------------------------

check "a connection that ends costs no second snapshot, nor does another master" -server {--repl-diskless-sync-delay 0} {
    with_server first {} {
        with_server second {} {
            ask SELECT 2
            ask SET k 1
            follow $first [now]
            follow $second $first
            same 1 [info_of [now] sync_full]
            ask INCR k
            expect :1 [tell $first CLIENT KILL TYPE master]
            ask INCR k
            eventually "\[info_of [now] sync_partial_ok] eq 1"
            expect :1 [tell $first CLIENT KILL TYPE replica]
            eventually "\[info_of $second master_link_status] eq {up} && \[info_of $first sync_partial_ok] eq 1"
            # The database is the one of before, though nobody says so again.
            ask INCR k
            caught_up $first [now]
            caught_up $second [now]
            set c [resp::open $server::port($second)]
            resp::send $c {SELECT 2}
            resp::read $c
            resp::send $c {GET k}
            expect {"4"} [resp::read $c]
            resp::close $c
            # The one in the middle becomes the master; those around it follow.
            set id [info_of [now] master_replid]
            expect +OK [tell $first REPLICAOF NO ONE]
            same $id [info_of $first master_replid2]
            follow [now] $first
            eventually "\[info_of $second master_link_status] eq {up}"
            tell $first SET new master
            caught_up [now] $first
            caught_up $second $first
            ask SELECT 0
            expect {"master"} [ask GET new]
            expect {"master"} [tell $second GET new]
            same {1 1 0} [list [info_of [now] sync_full] [info_of $first sync_full] [info_of $second sync_full]] "snapshots"
            same [info_of $first master_replid] [info_of $second master_replid]
            same $id [info_of $second master_replid2]
        }
    }
}

check "a password and a user for the master" -server {--requirepass sesame --repl-diskless-sync-delay 0} {
    ask AUTH sesame
    ask ACL SETUSER feeder on >open +@all ~* &*
    with_server replica {} {
        expect +OK [tell $replica REPLICAOF 127.0.0.1 $server::port([now])]
        eventually "\[string match {*Unable to *} \[server::log $replica]] || \[string match {*NOAUTH*} \[server::log $replica]]"
        same down [info_of $replica master_link_status]
        tell $replica CONFIG SET masteruser feeder masterauth wrong
        eventually "\[string match {*Unable to AUTH to MASTER: -WRONGPASS*} \[server::log $replica]]"
        tell $replica CONFIG SET masterauth open
        eventually "\[info_of $replica master_link_status] eq {up}"
        tell $replica CONFIG SET masteruser "" masterauth sesame
        tell $replica CLIENT KILL TYPE master
        eventually "\[info_of $replica master_link_status] eq {up}"
    }
}

check "the replica's address, as it says itself" -server {--repl-diskless-sync-delay 0} {
    with_server replica {--replica-announce-ip 10.1.2.3 --replica-announce-port 7777} {
        follow $replica [now]
        eventually {[regexp {slave0:ip=10\.1\.2\.3,port=7777,state=online} [lindex [ask INFO replication] 1]]}
    }
}

check "a replica named at the start, by flag and in the file that is rewritten" -server {--repl-diskless-sync-delay 0} {
    ask SET k v
    set dir [server::new_dir]
    set file $dir/conf
    set f [open $file w]
    puts $f "slaveof localhost $server::port([now])"
    close $f
    set port [server::free_port]
    set replica [server::launch $port $dir [list $file {*}[server::flags $port $dir]]]
    eventually "\[info_of $replica master_link_status] eq {up}"
    expect {"v"} [tell $replica GET k]
    tell $replica CONFIG REWRITE
    set f [open $file]
    set text [read $f]
    close $f
    same 1 [regexp "(?n)^(slaveof|replicaof) \"?localhost\"? $server::port([now])" $text] $text
    tell $replica REPLICAOF NO ONE
    tell $replica CONFIG REWRITE
    set f [open $file]
    same 0 [regexp "(?n)^(slaveof|replicaof)" [read $f]]
    close $f
    server::stop $replica
}

check "the append-only file of a replica holds what it got" -server {--repl-diskless-sync-delay 0} {
    ask SET snapshot 1
    with_server replica {--appendonly yes --appendfsync always} {
        tell $replica SET old 1
        follow $replica [now]
        eventually "\[info_of $replica aof_enabled] eq 1 && \[info_of $replica aof_rewrite_in_progress] eq 0"
        ask SET stream 1
        expect {[any :1]} [ask WAITAOF 0 1 10000]
        expect +OK [tell $replica REPLICAOF NO ONE]
        expect +OK [tell $replica DEBUG LOADAOF]
        expect {"1"} [tell $replica GET snapshot]
        expect {"1"} [tell $replica GET stream]
        expect nil [tell $replica GET old]
    }
}

check "who waits for a key is sent away when the server becomes a replica" -server {--repl-diskless-sync-delay 0} {
    resp::send [run::connection B] {BLPOP nothing 0}
    eventually {[regexp {blocked_clients:1} [lindex [ask INFO clients] 1]]}
    expect +OK [ask REPLICAOF 127.0.0.1 [server::free_port]]
    expect {/^-UNBLOCKED force unblock from blocking operation, instance state changed/} [resp::read [run::connection B]]
    expect closed [resp::read [run::connection B]]
}

# --- masters of all kinds ----------------------------------------------------------

# Listens like a server; what connects is kept for `accepted`.
proc pretend {} {
    set ::guests {}
    set listener [socket -server {apply {{c address port} {
        chan configure $c -blocking 0 -translation binary -buffering full
        set ::resp::buffer($c) ""
        lappend ::guests $c
    }}} -myaddr 127.0.0.1 0]
    return $listener
}

proc port_of {listener} { return [lindex [chan configure $listener -sockname] 2] }

# The next connection.
proc accepted {} {
    set timer [after 10000 {lappend ::guests ""}]
    while {$::guests eq {}} {
        vwait ::guests
    }
    after cancel $timer
    set ::guests [lassign $::guests c]
    return $c
}

# Reads a command. A replica that takes long sends empty lines meanwhile.
proc hear {c} {
    set words {}
    while {[set resp::buffer($c) [string trimleft $resp::buffer($c) "\n"]] eq "" && ![catch {resp::fill $c}]} {}
    foreach word [lindex [resp::read $c] 1] {
        lappend words [lindex $word 1]
    }
    return $words
}

# Answers everything up to PSYNC, which it returns.
proc greet {c} {
    while 1 {
        set words [hear $c]
        switch -- [lindex $words 0] {
            PING { resp::raw $c "+PONG\r\n" }
            REPLCONF { resp::raw $c "+OK\r\n" }
            default { return $words }
        }
    }
}

# Closes what was opened by `pretend`.
proc vanish {listener} {
    close $listener
    foreach c $::guests {
        resp::close $c
    }
    set ::guests {}
}

set id [string repeat 0123456789abcdef 2]01234567

# A snapshot with the key k, whose value is v; without a checksum.
set snapshot "REDIS0009\xfe\x00\xfb\x01\x00\x00\x01k\x01v\xff[string repeat \x00 8]"

# Redis takes the beginning of a line without an end for an answer.
foreach {what only answer logged} {
    "it is none"                any           "-ERR unknown command\r\n"  {*Error reply to PING from master: '-ERR unknown command'*}
    "it speaks without an end"  cachestorm    ""                          {*Failed to read response from the server*}
    "it hangs up"               any           closed                      {*Failed to read response from the server*}
} {
    check "a master that is no master: $what" -only $only -server {--loglevel notice} {
        set listener [pretend]
        expect +OK [ask REPLICAOF 127.0.0.1 [port_of $listener]]
        set c [accepted]
        same PING [hear $c]
        switch -- $answer {
            closed { resp::close $c }
            "" { resp::raw $c [string repeat x 100000] }
            default { resp::raw $c $answer }
        }
        eventually "\[string match [list $logged] \[server::log [now]]]"
        # It tries again.
        same PING [hear [accepted]]
        vanish $listener
    }
}

foreach {what answer logged} {
    "not now"         "-LOADING wait\r\n"               {*Master is currently unable to PSYNC but should be in the future: -LOADING wait*}
    "no link"         "-NOMASTERLINK wait\r\n"          {*Master is currently unable to PSYNC*}
    "an odd name"     "+FULLRESYNC abc 1\r\n"           {*Master replied with wrong +FULLRESYNC syntax*}
} {
    check "a master that answers PSYNC with: $what" -server {--loglevel notice} {
        set listener [pretend]
        ask SET old data
        expect +OK [ask REPLICAOF 127.0.0.1 [port_of $listener]]
        set c [accepted]
        same [list PSYNC [info_of [now] master_replid] 1] [greet $c]
        resp::raw $c "\r\n"
        resp::raw $c $answer
        eventually "\[string match [list $logged] \[server::log [now]]]"
        expect {"data"} [ask GET old]
        vanish $listener
    }
}

check "a master that knows no PSYNC" {
    set listener [pretend]
    ask REPLICAOF NO ONE
    expect +OK [ask REPLICAOF 127.0.0.1 [port_of $listener]]
    set c [accepted]
    same PSYNC [lindex [greet $c] 0]
    resp::raw $c "-ERR unknown command 'PSYNC'\r\n"
    same "SYNC" [resp::line $c]
    resp::raw $c "\n\n\$[string length $snapshot]\r\n$snapshot"
    eventually {[info_of [now] master_link_status] eq "up"}
    resp::send $c {SET more w}
    eventually {[lindex [ask GET more] 1] eq "w"}
    expect {"v"} [ask GET k]
    vanish $listener
    ask REPLICAOF NO ONE
}

check "what a transfer that breaks off leaves, and one that is no snapshot" -server {--save {}} {
    set listener [pretend]
    ask SET old data
    expect +OK [ask REPLICAOF 127.0.0.1 [port_of $listener]]
    set c [accepted]
    greet $c
    resp::raw $c "+FULLRESYNC $id 100\r\n\$1000\r\nREDIS0009"
    eventually {[info_of [now] master_sync_read_bytes] eq 9}
    same {1 1000 991 0.90} [list [info_of [now] master_sync_in_progress] [info_of [now] master_sync_total_bytes] \
        [info_of [now] master_sync_left_bytes] [info_of [now] master_sync_perc]]
    expect {["slave" "127.0.0.1" any "sync" :-1]} [ask ROLE]
    resp::close $c
    set c [accepted]
    expect {"data"} [ask GET old]
    # The data are what they were: so is what is asked for.
    same [list PSYNC [info_of [now] master_replid] 1] [greet $c]
    resp::raw $c "+FULLRESYNC $id 100\r\n\$9\r\nREDIS9999"
    eventually {[string match {*Failed trying to load the MASTER synchronization DB from disk, check server logs.*} [server::log [now]]]}
    eventually {[ask DBSIZE] eq {: 0}}
    set c [accepted]
    same {PSYNC ? -1} [greet $c]
    set mark [string repeat m 40]
    resp::raw $c "+FULLRESYNC $id 100\r\n\$EOF:$mark\r\n$snapshot$mark"
    # Which is told at once where the master cannot know it.
    same {REPLCONF ACK 100} [hear $c]
    expect {"v"} [ask GET k]
    same [list $id 100] [list [info_of [now] master_replid] [info_of [now] slave_repl_offset]]
    resp::send $c {REPLCONF GETACK *}
    same {REPLCONF ACK 100} [hear $c]
    # What belongs together counts together.
    resp::send $c {MULTI}
    resp::send $c {SET k w}
    resp::send $c {PING}
    resp::send $c {EXEC}
    set text [resp::encode {REPLCONF GETACK *}][resp::encode MULTI][resp::encode {SET k w}][resp::encode PING][resp::encode EXEC]
    eventually "\[info_of [now] slave_repl_offset] eq [expr {100 + [string length $text]}]"
    expect {"w"} [ask GET k]
    resp::send $c {MULTI}
    resp::send $c {SET k never}
    resp::close $c
    set c [accepted]
    same [list PSYNC $id [expr {101 + [string length $text]}]] [greet $c]
    set other [string repeat f 40]
    resp::raw $c "+CONTINUE $other\r\n[resp::encode {SET k x}]"
    eventually {[lindex [ask GET k] 1] eq "x"}
    same [list $other $id] [list [info_of [now] master_replid] [info_of [now] master_replid2]]
    vanish $listener
}

check "a master that sends what is no command, and what fails" {
    set listener [pretend]
    expect +OK [ask REPLICAOF 127.0.0.1 [port_of $listener]]
    set c [accepted]
    greet $c
    resp::raw $c "+FULLRESYNC $id 0\r\n\$[string length $snapshot]\r\n$snapshot"
    eventually {[info_of [now] master_link_status] eq "up"}
    set errors [info_of [now] unexpected_error_replies]
    resp::send $c {NOSUCH command}
    resp::send $c {INCR k}
    resp::send $c {LPUSH list a}
    eventually {[ask LLEN list] eq {: 1}}
    same [expr {$errors + 2}] [info_of [now] unexpected_error_replies]
    same 1 [string match {*== CRITICAL == This replica is sending an error to its master: '*not an integer*' after processing the command 'incr'*} [server::log [now]]]
    resp::raw $c "*2\r\nrubbish\r\n"
    set c [accepted]
    same {PSYNC ? -1} [greet $c]
    vanish $listener
    ask REPLICAOF NO ONE
}

# --- without a file ------------------------------------------------------------------

foreach diskless {yes no} {
    check "a snapshot that is taken in as it comes, repl-diskless-sync $diskless" -server [list --repl-diskless-sync $diskless --repl-diskless-sync-delay 0] {
        ask DEBUG POPULATE 20000
        ask SET large [string repeat 0123456789 300000]
        for {set at 0} {$at < 300} {incr at} {
            ask XADD stream * field [string repeat $at 100]
            ask ZADD zset $at member$at
        }
        ask XGROUP CREATE stream group 0
        ask XREADGROUP GROUP group consumer COUNT 100 STREAMS stream >
        with_server replica {--repl-diskless-load on-empty-db} {
            follow $replica [now]
            same 1 [string match {*to parser*} [server::log $replica]]
            expect :20003 [tell $replica DBSIZE]
            expect :3000000 [tell $replica STRLEN large]
            same [ask DEBUG DIGEST] [tell $replica DEBUG DIGEST]
            ask SET more 1
            caught_up $replica [now]
            expect {"1"} [tell $replica GET more]
        }
    }
}

check "a snapshot that is taken in as it comes, and breaks off" -only cachestorm -server {--repl-diskless-load on-empty-db} {
    set listener [pretend]
    expect +OK [ask REPLICAOF 127.0.0.1 [port_of $listener]]
    set c [accepted]
    greet $c
    set mark [string repeat m 40]
    resp::raw $c "+FULLRESYNC $id 100\r\n\$EOF:$mark\r\n[string range $snapshot 0 19]"
    eventually {[info_of [now] loading] eq 1}
    expect {/^-LOADING/} [ask GET k]
    resp::close $c
    eventually {[info_of [now] loading] eq 0}
    # In pieces, of which no two bytes come at once.
    set c [accepted]
    same {PSYNC ? -1} [greet $c]
    foreach byte [split "+FULLRESYNC $id 100\r\n\$EOF:$mark\r\n$snapshot$mark" ""] {
        resp::raw $c $byte
        after 1
    }
    same {REPLCONF ACK 100} [hear $c]
    expect {"v"} [ask GET k]
    resp::close $c
    # With something behind it that is not the mark.
    set c [accepted]
    greet $c
    resp::raw $c "-ERR\r\n"
    same SYNC [resp::line $c]
    ask FLUSHALL
    vanish $listener
}

# Redis answers nobody while it waits for the next bytes of a snapshot.
check "a snapshot that is taken in beside data that serve meanwhile" -only cachestorm -server {--repl-diskless-load swapdb --appendonly yes} {
    set listener [pretend]
    set mark [string repeat m 40]
    ask SET old data
    expect +OK [ask REPLICAOF 127.0.0.1 [port_of $listener]]
    set c [accepted]
    greet $c
    resp::raw $c "+FULLRESYNC $id 100\r\n\$EOF:$mark\r\n[string range $snapshot 0 19]"
    # Data of another stream do not serve, but stay.
    eventually {[info_of [now] loading] eq 1}
    expect {/^-LOADING/} [ask GET old]
    resp::close $c
    eventually {[info_of [now] loading] eq 0}
    expect {"data"} [ask GET old]
    set c [accepted]
    same [list PSYNC [info_of [now] master_replid] 1] [greet $c]
    resp::raw $c "+FULLRESYNC $id 100\r\n\$EOF:$mark\r\n$snapshot$mark"
    same {REPLCONF ACK 100} [lrange [hear $c] 0 2]
    expect {"v"} [ask GET k]
    expect nil [ask GET old]
    resp::close $c
    # Now they are of the same stream.
    set c [accepted]
    same [list PSYNC $id 101] [greet $c]
    resp::raw $c "+FULLRESYNC $id 200\r\n\$EOF:$mark\r\n[string range $snapshot 0 end-17]"
    eventually {[info_of [now] async_loading] eq 1}
    same {0 1} [list [info_of [now] loading] [info_of [now] master_sync_in_progress]]
    expect {"v"} [ask GET k]
    expect :1 [ask DBSIZE]
    expect {/^-LOADING/} [ask REPLICAOF NO ONE]
    expect {/^-READONLY/} [ask SET k x]
    # It breaks off, and comes again with another key.
    resp::close $c
    set c [accepted]
    same [list PSYNC $id 101] [greet $c]
    expect {"v"} [ask GET k]
    resp::raw $c "+FULLRESYNC $id 200\r\n\$EOF:$mark\r\n[string map [list \x01k\x01v \x01k\x01w\x00\x01l\x01m] $snapshot]$mark"
    same {REPLCONF ACK 200} [lrange [hear $c] 0 2]
    expect {"w"} [ask GET k]
    expect {"m"} [ask GET l]
    expect :2 [ask DBSIZE]
    # Nobody reaches what is on its way.
    resp::close $c
    set c [accepted]
    greet $c
    resp::raw $c "+FULLRESYNC $id 300\r\n\$EOF:$mark\r\n[string range $snapshot 0 end-17]"
    eventually {[info_of [now] async_loading] eq 1}
    ask CONFIG SET replica-read-only no
    expect {["default"]} [ask NAMESPACES]
    expect +OK [ask FLUSHALL]
    expect :0 [ask DBSIZE]
    expect {/^-LOADING/} [ask DEBUG RELOAD]
    expect {/^-LOADING/} [ask DEBUG LOADAOF]
    resp::raw $c "[string range $snapshot end-16 end]$mark"
    same {REPLCONF ACK 300} [lrange [hear $c] 0 2]
    expect {"v"} [ask GET k]
    expect :1 [ask DBSIZE]
    ask CONFIG SET replica-read-only yes
    same 0 [info_of [now] async_loading]
    resp::send $c {SELECT 5}
    resp::send $c {SET five 5}
    eventually {[regexp {db5:keys=1} [lindex [ask INFO keyspace] 1]]}
    eventually {[info_of [now] aof_rewrite_in_progress] eq 0 && [info_of [now] aof_enabled] eq 1}
    vanish $listener
    ask REPLICAOF NO ONE
    expect +OK [ask DEBUG LOADAOF]
    expect {"v"} [ask GET k]
}

# A snapshot like the one above that has a library of functions, too.
proc snapshot_with {source} {
    return [string map [list \xfe\x00 \xf5[binary format c [string length $source]]$source\xfe\x00] $::snapshot]
}

check "a library in it that cannot be loaded leaves the data that were there" -server {--repl-diskless-load swapdb} {
    set listener [pretend]
    set mark [string repeat m 40]
    ask SET k old
    ask FUNCTION LOAD "#!lua name=old\nredis.register_function('f', function() return 1 end)"
    expect +OK [ask REPLICAOF 127.0.0.1 [port_of $listener]]
    set c [accepted]
    greet $c
    resp::raw $c "+FULLRESYNC $id 100\r\n\$EOF:$mark\r\n[snapshot_with "#!lua name=n\nnonsense("]$mark"
    set c [accepted]
    same PSYNC [lindex [greet $c] 0]
    same 1 [string match "*Failed loading library, *" [server::log [now]]]
    expect {"old"} [ask GET k]
    same 1 [regexp {"old"} [resp::show [ask FUNCTION LIST]]]
    resp::raw $c "+FULLRESYNC $id 100\r\n\$EOF:$mark\r\n[snapshot_with \
        "#!lua name=new\nredis.register_function('g', function() end)"]$mark"
    same {REPLCONF ACK 100} [lrange [hear $c] 0 2]
    expect {"v"} [ask GET k]
    set libraries [resp::show [ask FUNCTION LIST]]
    same {1 0} [list [regexp {"new"} $libraries] [regexp {"old"} $libraries]]
    vanish $listener
}

# Lets the server follow a pretended master, and gives it the snapshot; returns the connection.
proc serve_snapshot {listener} {
    expect +OK [ask REPLICAOF 127.0.0.1 [port_of $listener]]
    set c [accepted]
    greet $c
    resp::raw $c "+FULLRESYNC $::id 100\r\n\$[string length $::snapshot]\r\n$::snapshot"
    eventually {[info_of [now] master_link_status] eq {up}}
    return $c
}

check "an inline request is no part of a stream: it has lost its step" -server {--loglevel notice} {
    set listener [pretend]
    set c [serve_snapshot $listener]
    resp::raw $c "\r\n\n[resp::encode {SET k w}]FLUSHALL\r\n[resp::encode {SET k x}]"
    set c [accepted]
    # What it has is not to be relied on, so it asks for everything.
    same {PSYNC ? -1} [greet $c]
    expect {"w"} [ask GET k]
    same 1 [string match "*WARNING: Receiving inline protocol from master, master stream corruption?*" [server::log [now]]]
    vanish $listener
}

check "a master that shows in many empty lines that it is there" -server {--loglevel notice} {
    set listener [pretend]
    expect +OK [ask REPLICAOF 127.0.0.1 [port_of $listener]]
    set c [accepted]
    greet $c
    set waits [string repeat "\n" 500000]
    resp::raw $c "$waits+FULLRESYNC $id 100\r\n$waits"
    eventually {[info_of [now] master_sync_total_bytes] == -1}
    resp::raw $c "\$[string length $snapshot]\r\n$snapshot"
    eventually {[info_of [now] master_link_status] eq {up}}
    expect {"v"} [ask GET k]
    same 1 [expr {[info_of [now] total_net_repl_input_bytes] > 0}] "bytes from the master"
    vanish $listener
}

check "an unknown command of the master's is not told as the one before it" -server {--loglevel notice} {
    set listener [pretend]
    set c [serve_snapshot $listener]
    resp::raw $c [resp::encode {SELECT 0}][resp::encode {NOSUCH a}]
    eventually {[string match "*sending an error to its master: 'unknown command 'NOSUCH', *' after processing the command '<unknown>'*" [server::log [now]]]}
    vanish $listener
}

check "a command of the master's that fails ends a replica, if it is to and nobody else writes there" -server {--repl-diskless-sync-delay 0 --enable-debug-command yes} {
    with_server replica {--propagation-error-behavior panic --replica-read-only no} {
        follow $replica [now]
        ask DEBUG REPLICATE nonsense
        ask SET k v
        eventually "\[tell $replica GET k] eq {bulk v} || \[resp::show \[tell $replica GET k]] eq {\"v\"}"
        same 1 [info_of $replica unexpected_error_replies]
        tell $replica CONFIG SET replica-read-only yes
        ask DEBUG REPLICATE nonsense
        same 1 [server::wait_exit $replica]
    }
}
