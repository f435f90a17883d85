# What follows from being a replica: who may write, what is read of keys whose time is over, who is told of what, whom a pause
# holds up.

# Runs `body` with another server that follows this one. `r` is a connection to it, and `m` one to this server.
proc with_replica {flags body} {
    upvar 1 r r m m id id
    set id [server::start {*}$flags]
    set m [resp::open $server::port($run::server)]
    set r [resp::open $server::port($id)]
    foreach c [list $m $r] {
        on $c HELLO $run::protocol
    }
    try {
        attach $r
        uplevel 1 $body
    } finally {
        resp::close $r
        resp::close $m
        server::stop $id
    }
}

# What a connection is answered.
proc on {c args} {
    resp::send $c $args
    return [resp::read $c]
}

# A field of INFO, over a connection.
proc field {c name} {
    if {[regexp "(?n)^$name:(.*?)\r?$" [lindex [on $c INFO everything] 1] all value]} {
        return $value
    }
    return ""
}

# Makes a server follow this one.
proc attach {r} {
    on $r REPLICAOF 127.0.0.1 $server::port($run::server)
    until {[field $r master_link_status] eq "up"}
}

# Waits until something is so.
proc until {condition} {
    for {set i 0} {$i < 1000} {incr i} {
        if {[uplevel 1 [list expr $condition]]} return
        after 10
    }
    error "never: $condition"
}

# Waits until the replica has carried out what the master has.
proc reaches {r m} {
    until {[field $r master_repl_offset] eq [field $m master_repl_offset]}
}

set quick {--repl-diskless-sync-delay 0}

check "a replica lets clients read, but not write" -server $quick {
    with_replica {} {
        foreach {c role} [list $m master $r replica] {
            expect "{\"server\" any \"version\" any \"proto\" any \"id\" any \"mode\" any \"role\" \"$role\" \"modules\" any}" \
                [on $c HELLO $run::protocol]
        }
        on $m SET k v
        on $m FUNCTION LOAD "#!lua name=l\nredis.register_function('w', function() return 1 end)"
        reaches $r $m
        set refused "-READONLY You can't write against a read only replica."
        foreach {answer command} [list \
            {"v"}               {GET k} \
            $refused            {SET k w} \
            $refused            {DEL nothing} \
            $refused            {FUNCTION FLUSH} \
            $refused            {FCALL w 0} \
            :0                  {PUBLISH c m} \
            +OK                 {SCRIPT FLUSH} \
            :1                  {EVAL {return 1} 0} \
            $refused            {EVAL "#!lua\nreturn 1" 0} \
            {:1}                {EVAL "#!lua flags=no-writes\nreturn 1" 0} \
            {/^-READONLY You can't write against a read only replica\. script: /} {EVAL {return redis.call('set', 'k', 'w')} 0} \
            {/^-ERR Can not execute a script with write flag using \*_ro command\.|^-READONLY/} {EVAL_RO "#!lua\nreturn 1" 0} \
            +OK                 {MULTI} \
            $refused            {SET k w} \
            {-EXECABORT Transaction discarded because of previous errors.} {EXEC} \
            +OK                 {CONFIG SET replica-read-only no} \
            +OK                 {SET k w} \
            +OK                 {CONFIG SET slave-read-only yes} \
            {"w"}               {GET k}] {
            expect $answer [on $r {*}[subst -nocommands -novariables $command]] $command
        }
        # What it may do is decided anew when EXEC comes.
        on $r REPLICAOF NO ONE
        on $r MULTI
        expect +QUEUED [on $r SET k x]
        set other [resp::open $server::port($id)]
        on $other REPLICAOF 127.0.0.1 $server::port($run::server)
        expect "-EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica." [on $r EXEC]
        resp::close $other
    }
}

check "a replica without its master may refuse to answer from old data" {
    ask SET k v
    ask REPLICAOF 127.0.0.1 [server::free_port]
    expect {"v"} [ask GET k]
    ask CONFIG SET replica-serve-stale-data no
    set down "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
    foreach {answer command} [list \
        $down       {GET k} \
        $down       {PING} \
        $down       {EVAL {return 1} 0} \
        $down       {EVAL "#!lua flags=no-writes\nreturn 1" 0} \
        {:1}        {EVAL "#!lua flags=no-writes,allow-stale\nreturn 1" 0} \
        {/^-ERR Can not execute the command on a stale replica/} {EVAL "#!lua flags=no-writes,allow-stale\nreturn redis.call('get', 'k')" 0} \
        +OK         {MULTI} \
        $down       {GET k} \
        {-EXECABORT Transaction discarded because of previous errors.} {EXEC} \
        {/role:slave/} {INFO replication} \
        +OK         {REPLICAOF NO ONE} \
        {"v"}       {GET k} \
        +OK         {CONFIG SET replica-serve-stale-data yes}] {
        expect $answer [ask {*}[subst -nocommands -novariables $command]] $command
    }
}

check "a key whose time is over is hidden by a replica, until the master removes it" -server $quick {
    with_replica {} {
        on $m DEBUG SET-ACTIVE-EXPIRE 0
        on $m SET over 1 PX 100
        on $m HSET hash f 1 g 2
        on $m HPEXPIRE hash 100 FIELDS 1 f
        on $m SET there 1
        reaches $r $m
        after 200
        foreach {answer command} {
            nil         {GET over}
            :0          {EXISTS over}
            :-2         {TTL over}
            +none       {TYPE over}
            :3          DBSIZE
            {?["hash" "there"]} {KEYS *}
            {["0" ?["hash" "there"]]} {SCAN 0}
            nil         {HGET hash f}
            {{"g" "2"}} {HGETALL hash}
            :2          {HLEN hash}
            {[[:0] nil nil]} {EVAL {return {{redis.call('exists', 'over')}, redis.call('get', 'over'), redis.call('hget', 'hash', 'f')}} 0}
        } {
            expect $answer [on $r {*}$command] $command
        }
        same 0 [field $r expired_keys]
        # It is the master's to say, and to the master it is removed as soon as somebody looks.
        on $m GET over
        on $m HGET hash f
        reaches $r $m
        expect :2 [on $r DBSIZE]
        expect :1 [on $r HLEN hash]
        same 0 [field $r expired_keys]
        # What the master does not know to be over lives on for it.
        on $m SET own 1 PX 100
        reaches $r $m
        after 200
        on $r REPLICAOF NO ONE
        until {[lindex [on $r DBSIZE] 1] == 2}
        same 1 [field $r expired_keys] "what was hidden is removed"
    }
}

check "what clients write with a time to live on a replica goes there" -server $quick {
    with_replica {--replica-read-only no} {
        on $m DEBUG SET-ACTIVE-EXPIRE 0
        on $m SET theirs 1 PX 50
        reaches $r $m
        on $r SET own 1 PX 50
        until {[lindex [on $r DBSIZE] 1] == 1}
        expect nil [on $r GET theirs]
        same 1 [field $r expired_keys]
        expect :1 [on $r DBSIZE]
        expect :1 [on $r INCR theirs] "who writes it finds it gone"
        same 2 [field $r expired_keys]
    }
}

check "messages, notifications and invalidations on a replica" -server $quick {
    with_replica {--notify-keyspace-events KEA} {
        set listener [resp::open $server::port($id)]
        expect {["subscribe" "news" :1]} [on $listener SUBSCRIBE news]
        expect {["psubscribe" "__keyevent@0__:*" :2]} [on $listener PSUBSCRIBE __keyevent@0__:*]
        if {$run::protocol == 3} {
            on $r CLIENT TRACKING ON
            on $r GET k
        }
        on $m PUBLISH news here
        expect {["message" "news" "here"]} [resp::read $listener]
        on $m SET k v
        expect {["pmessage" "__keyevent@0__:*" "__keyevent@0__:set" "k"]} [resp::read $listener]
        if {$run::protocol == 3} {
            expect {>["invalidate" ["k"]]} [resp::read $r]
            on $r CLIENT TRACKING OFF
        }
        on $m EVAL {redis.call('publish', 'news', 'a') redis.set_repl(redis.REPL_AOF) redis.call('publish', 'news', 'b') redis.call('set', 'x', 1)} 0
        on $m EVAL {redis.set_repl(redis.REPL_REPLICA) redis.call('publish', 'news', 'c') redis.call('set', 'y', 1)} 0
        expect {["message" "news" "a"]} [resp::read $listener]
        expect {["message" "news" "c"]} [resp::read $listener]
        expect {["pmessage" "__keyevent@0__:*" "__keyevent@0__:set" "y"]} [resp::read $listener]
        reaches $r $m
        expect nil [on $r GET x]
        expect {"1"} [on $r GET y]
        resp::close $listener
    }
}

check "waits end when a server becomes a replica, and those on a replica end by the stream" -server $quick {
    with_replica {} {
        on $r REPLICAOF NO ONE
        set waiting [resp::open $server::port($id)]
        resp::send $waiting {BLPOP list 0}
        until {[field $r blocked_clients] == 1}
        attach $r
        expect {-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)} [resp::read $waiting]
        expect closed [resp::read $waiting]
        resp::close $waiting
        set waiting [resp::open $server::port($id)]
        resp::send $waiting {XREAD BLOCK 0 STREAMS s $}
        until {[field $r blocked_clients] == 1}
        on $m XADD s 1-1 a b
        expect {[["s" [["1-1" ["a" "b"]]]]]} [resp::read $waiting]
        expect "-READONLY You can't write against a read only replica." [on $r BLPOP list 0]
        resp::close $waiting
    }
}

check "a pause of writing holds up what the master sends" -server $quick {
    with_replica {} {
        on $m SET k 1
        reaches $r $m
        expect +OK [on $r CLIENT PAUSE 100000 WRITE]
        set before [field $r slave_repl_offset]
        on $m INCR k
        until {[field $r slave_read_repl_offset] eq [field $m master_repl_offset]}
        same $before [field $r slave_repl_offset]
        expect {"1"} [on $r GET k]
        on $r CLIENT UNPAUSE
        until {[lindex [on $r GET k] 1] eq "2"}
        reaches $r $m
    }
}

check "replicas and masters among the clients, and what replication takes" -server $quick {
    with_replica {} {
        same 1 [regexp {^(txt:)?id=\d+ addr=127.0.0.1:\d+ .* flags=S .* omem=\d+ .* cmd=(psync|replconf) } [lindex [on $m CLIENT LIST TYPE replica] 1]] "S"
        same 1 [regexp {^(txt:)?id=\d+ addr=127.0.0.1:\d+ .* flags=M } [lindex [on $r CLIENT LIST TYPE master] 1]] "M"
        same 0 [regexp id= [lindex [on $m CLIENT LIST TYPE master] 1]]
        on $m SET k v
        same 1 [expr {[field $m mem_replication_backlog] > 0}]
        same 1 [expr {[field $m mem_total_replication_buffers] > 0}]
        same 1 [expr {[field $m mem_not_counted_for_evict] >= 0}]
        expect :1 [on $m CLIENT KILL TYPE slave]
        until {[field $r master_link_status] eq "up" && [field $m connected_slaves] == 1}
        on $m CONFIG SET maxmemory-clients 1
        on $m SET k v
    }
}

check "a replica leaves eviction to its master" -server $quick {
    with_replica {--maxmemory-policy allkeys-lru} {
        on $m SET k v
        reaches $r $m
        expect +OK [on $r CONFIG SET maxmemory 1]
        on $m SET l v
        reaches $r $m
        expect :2 [on $r DBSIZE]
        on $r CONFIG SET replica-ignore-maxmemory no
        on $r GET k
        until {[lindex [on $r DBSIZE] 1] == 0}
        on $r CONFIG SET maxmemory 0
    }
}
