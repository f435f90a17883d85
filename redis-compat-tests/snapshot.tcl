# Snapshots: SAVE, BGSAVE, save points, loading, DEBUG RELOAD, and what happens when something goes wrong.

proc info_of {section name} {
    regexp "${name}:(\[^\r\]*)" [lindex [ask INFO $section] 1] all value
    return $value
}

# Keys of every type, small and large.
proc fill {} {
    ask MSET text "some text" number 12345 long [string repeat "abc " 5000]
    ask PEXPIREAT number 32503680000000
    foreach {size many} {small 5 large 2000} {
        for {set n 0} {$n < $many} {incr n 20} {
            set words {}
            set pairs {}
            for {set i $n} {$i < min($n + 20, $many)} {incr i} {
                lappend words "item $i"
                lappend pairs $i "item $i"
            }
            ask RPUSH list:$size {*}$words
            ask SADD set:$size {*}$words
            ask SADD ints:$size {*}[dict keys $pairs]
            ask ZADD zset:$size {*}$pairs
            ask HSET hash:$size {*}$pairs
        }
    }
    ask SELECT 3
    ask SET elsewhere 1
    ask SELECT 0
}

proc digest {} {
    return [lindex [ask DEBUG DIGEST] 1]
}

proc wait_for_save {} {
    eventually {[info_of persistence rdb_bgsave_in_progress] == 0}
}

check "SAVE, and the data are back after a restart" -server {--appendonly no} {
    fill
    set before [digest]
    expect +OK [ask SAVE]
    same 0 [info_of persistence rdb_changes_since_last_save]
    expect {:1600000000..99999999999} [ask LASTSAVE]
    set port $server::port($run::server)
    set dir $server::dir($run::server)
    run::disconnect
    server::stop $run::server
    set run::server [server::launch $port $dir [server::flags $port $dir]]
    same $before [digest]
    same 14 [info_of persistence rdb_last_load_keys_loaded]
    same 0 [info_of persistence loading]
}

check "BGSAVE keeps the state of one instant while keys change" -server {--appendonly no} {
    fill
    set before [digest]
    ask CONFIG SET rdb-key-save-delay 20000
    expect "+Background saving started" [ask BGSAVE]
    same 1 [info_of persistence rdb_bgsave_in_progress]
    expect "-ERR Background save already in progress" [ask BGSAVE]
    expect "-ERR Background save already in progress" [ask SAVE]
    ask MSET text changed fresh 1
    ask DEL list:large number
    ask SADD set:large another
    ask ZADD zset:small 9 another
    ask APPEND long x
    ask RENAME hash:large hash:moved
    ask SWAPDB 0 3
    ask FLUSHDB
    ask CONFIG SET rdb-key-save-delay 0
    wait_for_save
    same ok [info_of persistence rdb_last_bgsave_status]
    expect +OK [ask DEBUG RELOAD NOSAVE]
    same $before [digest]
}

check "a snapshot that is asked for in a transaction holds all of it" -server {--appendonly no} {
    ask CONFIG RESETSTAT
    ask SET a 1
    ask MULTI
    ask SET a 2
    ask BGSAVE
    ask SET b 2
    ask BGSAVE SCHEDULE
    expect {[+OK +"Background saving scheduled" +OK +"Background saving scheduled"]} [ask EXEC]
    eventually {[info_of persistence rdb_saves] == 1}
    wait_for_save
    expect +OK [ask DEBUG RELOAD NOSAVE]
    expect {["2" "2"]} [ask MGET a b]
    ask CONFIG RESETSTAT
    same {0 0} [list [info_of persistence rdb_saves] [info_of stats total_forks]]
}

check "BGSAVE CANCEL leaves the old file" -only cachestorm -server {--appendonly no} {
    fill
    ask SAVE
    set before [digest]
    ask CONFIG SET rdb-key-save-delay 1000000
    ask SET another 1
    expect {/not in progress or scheduled/} [ask BGSAVE CANCEL]
    ask BGSAVE
    expect "+Background saving cancelled" [ask BGSAVE CANCEL]
    same 0 [info_of persistence rdb_bgsave_in_progress]
    same ok [info_of persistence rdb_last_bgsave_status]
    eventually {[glob -nocomplain $server::dir($run::server)/temp-*] eq ""}
    ask CONFIG SET rdb-key-save-delay 0
    expect +OK [ask DEBUG RELOAD NOSAVE]
    same $before [digest]
    # The next one is whole, and begins when there is nothing to tidy up any more.
    ask SET another 1
    set before [digest]
    expect {/Background saving (started|scheduled)/} [ask BGSAVE]
    eventually {[info_of persistence rdb_saves] >= 3}
    wait_for_save
    expect +OK [ask DEBUG RELOAD NOSAVE]
    same $before [digest]
}

check "a server that is killed while it saves keeps the old file" -server {--appendonly no} {
    fill
    ask SAVE
    set before [digest]
    ask CONFIG SET rdb-key-save-delay 100000
    ask SET another 1
    ask BGSAVE
    eventually {[info_of persistence current_save_keys_processed] > 0 || !$server::cachestorm}
    set port $server::port($run::server)
    set dir $server::dir($run::server)
    run::disconnect
    server::signal $run::server KILL
    server::wait_exit $run::server
    set run::server [server::launch $port $dir [server::flags $port $dir]]
    same $before [digest]
}

check "a file that cannot take its place refuses writes" -server {--appendonly no} {
    set dir $server::dir($run::server)
    ask SET k v
    ask CONFIG SET save "900 1"
    file delete -force $dir/dump.rdb
    file mkdir $dir/dump.rdb
    ask BGSAVE
    wait_for_save
    same err [info_of persistence rdb_last_bgsave_status]
    expect {/^-MISCONF Redis is configured to save RDB snapshots/} [ask SET k w]
    expect {/^-MISCONF/} [ask PING]
    expect {"v"} [ask GET k]
    expect {/Errors trying to SHUTDOWN. Check logs./} [ask SHUTDOWN]
    ask CONFIG SET stop-writes-on-bgsave-error no
    expect +OK [ask SET k w]
    ask CONFIG SET stop-writes-on-bgsave-error yes
    file delete -force $dir/dump.rdb
    ask BGSAVE
    wait_for_save
    same ok [info_of persistence rdb_last_bgsave_status]
    expect +OK [ask SET k x]
    same "" [glob -nocomplain $dir/temp-*]
}

check "save points" -server {--appendonly no} {
    ask CONFIG SET save "1 2"
    ask SET a 1
    ask SET b 2
    set start [clock milliseconds]
    eventually {[info_of persistence rdb_changes_since_last_save] == 0}
    same 1 [file exists $server::dir($run::server)/dump.rdb]
    # FLUSHALL must not be undone by a restart.
    ask FLUSHALL
    same 0 [info_of persistence rdb_changes_since_last_save]
    expect +OK [ask DEBUG RELOAD NOSAVE]
    expect :0 [ask DBSIZE]
}

check "a snapshot at the end, if there are save points" -server {--appendonly no} {
    set port $server::port($run::server)
    set dir $server::dir($run::server)
    foreach {points how expected} {"" TERM 0 "900 1" TERM 1 "900 1" NOSAVE 0 "" SAVE 1} {
        ask SET k v
        ask CONFIG SET save $points
        file delete $dir/dump.rdb
        if {$how eq "TERM"} {
            server::signal $run::server TERM
        } else {
            resp::send [run::connection A] [list SHUTDOWN $how]
        }
        same 1 [server::wait_exit $run::server]
        run::disconnect
        same $expected [file exists $dir/dump.rdb] "$how with save points '$points'"
        set run::server [server::launch $port $dir [server::flags $port $dir]]
    }
    expect {"v"} [ask GET k]
}

check "a damaged file is refused" -server {--appendonly no} {
    set port $server::port($run::server)
    set dir $server::dir($run::server)
    ask SET k v
    ask SAVE
    run::disconnect
    server::stop $run::server
    set f [open $dir/dump.rdb r+]
    chan configure $f -translation binary
    seek $f -8 end
    puts -nonewline $f "damaged!"
    close $f
    lassign [server::run [server::flags $port $dir]] code output
    same 1 $code
    same 1 [string match "*CRC error*" $output] $output
    # Without a checksum nobody sees it.
    set run::server [server::launch $port $dir [list {*}[server::flags $port $dir] --rdbchecksum no]]
    expect {"v"} [ask GET k]
}

check "the checker" -only cachestorm -server {--appendonly no} {
    fill
    ask SAVE
    set path $server::dir($run::server)/dump.rdb
    lassign [server::run [list --check-rdb $path]] code output
    same 0 $code
    same 1 [string match "*14 keys read*1 expires*" $output] $output
    set f [open $path r+]
    chan configure $f -translation binary
    seek $f 200
    puts -nonewline $f [string repeat \xff 20]
    close $f
    lassign [server::run [list --check-rdb $path]] code output
    same 1 $code
    same 1 [string match "*--- RDB ERROR DETECTED ---*offset*" $output] $output
}

check "DEBUG RELOAD" -server {--appendonly no} {
    fill
    set before [digest]
    foreach rules {"hash-max-listpack-entries 0" "set-max-intset-entries 1" "zset-max-listpack-entries 2"
                   "list-max-listpack-size 4" "rdbcompression no" "sanitize-dump-payload yes"} {
        ask CONFIG SET {*}$rules
        expect +OK [ask DEBUG RELOAD] $rules
        same $before [digest] $rules
    }
    expect {"hashtable"} [ask OBJECT ENCODING hash:small]
    expect {"hashtable"} [ask OBJECT ENCODING ints:small]
    expect {"skiplist"} [ask OBJECT ENCODING zset:small]
    expect +OK [ask DEBUG RELOAD NOFLUSH MERGE]
    same $before [digest]
    expect "-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options." [ask DEBUG RELOAD what]
}

check "a set that is told is popped nearly empty meanwhile" -server {--appendonly no} {
    for {set n 0} {$n < 1000} {incr n} {
        lappend members m$n
    }
    ask SADD s {*}$members
    ask DEBUG POPULATE 100 key
    ask CONFIG SET rdb-key-save-delay 1000000
    expect {/Background saving started/} [ask BGSAVE]
    same 990 [llength [lindex [ask SPOP s 990] 1]]
    expect :10 [ask SCARD s]
    ask CONFIG SET rdb-key-save-delay 0
    if {$server::cachestorm} {
        wait_for_save
        expect +OK [ask DEBUG RELOAD NOSAVE]
        expect :1000 [ask SCARD s]
    }
}

check "a save goes on where it began" -server {--appendonly no --enable-protected-configs yes} {
    set dir $server::dir($run::server)
    file mkdir $dir/other
    ask SET k v
    ask CONFIG SET rdb-key-save-delay 300000
    expect {/Background saving started/} [ask BGSAVE]
    expect +OK [ask CONFIG SET dir $dir/other]
    wait_for_save
    same ok [info_of persistence rdb_last_bgsave_status]
    same {1 0} [list [file exists $dir/dump.rdb] [file exists $dir/other/dump.rdb]]
}

check "keys that have expired are left out" -server {--appendonly no} {
    ask DEBUG SET-ACTIVE-EXPIRE 0
    ask MSET a 1 b 2
    ask PEXPIRE a 1
    after 20
    expect +OK [ask DEBUG RELOAD]
    same 1 [info_of persistence rdb_last_load_keys_expired]
    same 1 [info_of persistence rdb_last_load_keys_loaded]
    expect {["b"]} [ask KEYS *]
}

case "what BGSAVE refuses" {
    BGSAVE what                 -> -ERR syntax error
    BGSAVE SCHEDULE what        -> -ERR syntax error
    MULTI                       -> +OK
    SAVE                        -> -ERR Command not allowed inside a transaction
    DISCARD                     -> +OK
    LASTSAVE x                  -> -ERR wrong number of arguments for 'lastsave' command
}

check "while data are loaded, clients wait" -server {--appendonly no} {
    set port $server::port($run::server)
    set dir $server::dir($run::server)
    ask DEBUG POPULATE 20000 key 100
    ask CONFIG SET rdbcompression no
    ask SAVE
    run::disconnect
    server::stop $run::server
    set slow {--key-load-delay 300 --loading-process-events-interval-bytes 1024}
    set id [exec setpriv --pdeathsig KILL -- $server::binary {*}[server::flags $port $dir] {*}$slow < /dev/null >& $dir/log &]
    set server::port($id) $port
    set server::dir($id) $dir
    set run::server $id
    for {set tries 0} {$tries < 1000 && [catch {ask INFO persistence}]} {incr tries} {
        run::disconnect
        after 10
    }
    same 1 [info_of persistence loading]
    expect "-LOADING Redis is loading the dataset in memory" [ask GET key:1]
    expect "+OK" [ask SELECT 1]
    expect {/loading_total_bytes:[1-9]/} [ask INFO persistence]
    server::signal $id TERM
    same 1 [server::wait_exit $id]
}
