# The append-only file: what is written to it, that it is loaded, and what happens when it is damaged.

# Starts a server with an append-only file in `dir`, which may hold one already; it becomes the server of the case.
proc start_aof {dir args} {
    set port [server::free_port]
    set flags [list {*}[server::flags $port $dir] --appendonly yes --auto-aof-rewrite-percentage 0 {*}$args]
    if {$server::cachestorm} {
        lappend flags --aof-checksum-enabled no
    }
    run::disconnect
    set run::server [server::launch $port $dir $flags]
}

# As [start_aof], for one that is expected to exit: its exit code and its log.
proc refused {dir args} {
    set port [server::free_port]
    return [server::run [list {*}[server::flags $port $dir] --appendonly yes {*}$args]]
}

proc restart_aof {dir args} {
    server::stop $run::server
    start_aof $dir {*}$args
}

proc kill_and_restart {dir args} {
    server::signal $run::server KILL
    server::wait_exit $run::server
    server::stop $run::server
    start_aof $dir {*}$args
}

proc request {args} {
    return [resp::encode $args]
}

# Makes a directory with an append-only file of one increment.
proc made_of {args} {
    set dir [server::new_dir]
    spill $dir/appendonlydir/appendonly.aof.manifest "file appendonly.aof.1.incr.aof seq 1 type i\n"
    spill $dir/appendonlydir/appendonly.aof.1.incr.aof [join $args ""]
    return $dir
}

# The commands of an append-only file, each as a list.
proc commands_in {path} {
    set bytes [slurp $path]
    set found {}
    set at 0
    while {$at < [string length $bytes]} {
        set end [string first \r\n $bytes $at]
        set count [string range $bytes $at+1 $end-1]
        set at [expr {$end + 2}]
        set words {}
        for {set n 0} {$n < $count} {incr n} {
            set end [string first \r\n $bytes $at]
            set length [string range $bytes $at+1 $end-1]
            lappend words [string range $bytes $end+2 [expr {$end + 1 + $length}]]
            set at [expr {$end + 4 + $length}]
        }
        lappend found $words
    }
    return $found
}

# Runs commands and expects them in the file as these patterns.
proc propagated {commands patterns} {
    set dir [server::new_dir]
    start_aof $dir
    foreach command $commands {
        ask {*}$command
    }
    set found [commands_in $dir/appendonlydir/appendonly.aof.1.incr.aof]
    same [llength $patterns] [llength $found] "number of commands in $found"
    foreach pattern $patterns words $found {
        if {![string match -nocase $pattern $words]} {
            same $pattern $words "propagated"
        }
    }
}

proc manifest {dir} {
    return [slurp $dir/appendonlydir/appendonly.aof.manifest]
}

proc aof_field {name} {
    regexp "(?n)^$name:(.*?)\r?$" [lindex [ask INFO persistence] 1] all value
    return $value
}

# --- what is written ---------------------------------------------------------------------

check "commands are written as they came, in their databases" {
    propagated {{SET a 1} {GET a} {SELECT 3} {set b 2} {SET c 3} {SELECT 0} {DEL a} {DEL a} {INCR missing}} {
        {SELECT 0} {SET a 1} {SELECT 3} {set b 2} {SET c 3} {SELECT 0} {DEL a} {INCR missing}
    }
}

check "times become moments" {
    propagated {
        {SET a 1 EX 100} {SET a 2 PX 100000 XX} {SETEX a 100 3} {PSETEX a 100000 4} {EXPIRE a 100} {EXPIRE a 200 GT} {GETEX a EX 50}
        {GETEX a PERSIST} {GETEX a} {PERSIST a} {SET a 5 PXAT 32503680000000} {EXPIRE a -1} {EXPIRE a 10}
    } {
        {SELECT 0} {SET a 1 PXAT *} {SET a 2 PXAT *} {SET a 3 PXAT *} {SET a 4 PXAT *} {PEXPIREAT a *} {PEXPIREAT a * GT} {PEXPIREAT a *}
        {PERSIST a} {SET a 5 PXAT 32503680000000} {DEL a}
    }
}

check "results stand for what they were computed from" {
    propagated {
        {INCRBYFLOAT f 1.5} {HINCRBYFLOAT h f 2.25} {GETSET f 3} {SET f 4 GET} {GETDEL f} {GETDEL f} {SETRANGE s 2 x} {MSETNX s 1 t 2}
    } {{SELECT 0} {SET f 1.5 KEEPTTL} {HSET h f 2.25} {SET f 3} {SET f 4} {DEL f} {SETRANGE s 2 x}}
}

check "what chance or waiting decided is told" {
    propagated {
        {SADD s one} {SPOP s} {SADD s one two} {SPOP s 5} {RPUSH l 1 2 3 4 5 6 7} {BLPOP x l 0} {BRPOP l 0} {LMPOP 2 x l LEFT COUNT 2}
        {BLMPOP 0 2 x l RIGHT COUNT 9} {RPUSH l 1 2} {BLMOVE l m LEFT RIGHT 0} {BRPOPLPUSH l m 0} {ZADD z 1 a 2 b 3 c} {BZPOPMIN z 0}
        {ZMPOP 1 z MAX} {BZMPOP 0 1 z MIN COUNT 4}
    } {
        {SELECT 0} {SADD s one} {SREM s one} {SADD s one two} {DEL s} {RPUSH l *} {LPOP l} {RPOP l} {LPOP l 2} {RPOP l 3} {RPUSH l 1 2}
        {LMOVE l m LEFT RIGHT} {RPOPLPUSH l m} {ZADD z *} {ZPOPMIN z} {ZPOPMAX z 1} {ZPOPMIN z 1}
    }
}

check "a transaction is written as one, unless it is one command" {
    propagated {{MULTI} {SET a 1} {GET a} {INCR a} {EXEC} {MULTI} {INCR a} {EXEC} {MULTI} {GET a} {EXEC} {MULTI} {SET a 1} {DISCARD}} {
        MULTI {SELECT 0} {SET a 1} {INCR a} EXEC {INCR a}
    }
}

check "a key that a command found expired is removed first" {
    propagated {{DEBUG SET-ACTIVE-EXPIRE 0} {SET a 1 PX 1} {SET b 1 PX 1} {DEBUG SLEEP 0.01} {GET a} {RPUSH b x}} {
        {SELECT 0} {SET a 1 PXAT *} {SET b 1 PXAT *} {DEL a} MULTI {DEL b} {RPUSH b x} EXEC
    }
}

check "a field that SORT found expired is removed first" {
    propagated {{DEBUG SET-ACTIVE-EXPIRE 0} {RPUSH l 1} {HSET h1 f hidden g x} {HPEXPIRE h1 1 FIELDS 1 f} {DEBUG SLEEP 0.01}
                {SORT l BY nosort GET h*->f STORE d}} {
        {SELECT 0} {RPUSH l 1} {HSET h1 f hidden g x} {HPEXPIREAT h1 * FIELDS 1 f} MULTI {HDEL h1 f} {SORT l BY nosort GET h*->f STORE d} EXEC
    }
    expect {[""]} [ask LRANGE d 0 -1]
}

check "flushes are written even if there is nothing to flush" {
    propagated {{FLUSHALL} {FLUSHDB} {SET a 1} {FLUSHDB ASYNC}} {{SELECT 0} FLUSHALL FLUSHDB {SET a 1} {FLUSHDB ASYNC}}
}

# --- loading -------------------------------------------------------------------------------

check "everything acknowledged survives kill -9" {
    foreach policy {always everysec no} {
        set dir [server::new_dir]
        start_aof $dir --appendfsync $policy
        ask MSET a 1 b 2
        ask RPUSH l 1 2 3
        ask SET c 3 EX 1000
        ask SELECT 5
        ask HSET h f v
        kill_and_restart $dir
        expect {["1" "2"]} [ask MGET a b]
        expect {["1" "2" "3"]} [ask LRANGE l 0 -1]
        expect :900..1000 [ask TTL c]
        ask SELECT 5
        expect {"v"} [ask HGET h f]
    }
}

check "an end that was cut off is dropped" {
    set dir [made_of [request SET a 1] [request SET b 2] [string range [request SET c 3] 0 end-3]]
    start_aof $dir
    expect {["1" "2" nil]} [ask MGET a b c]
    same [expr {2 * [string length [request SET a 1]]}] [file size $dir/appendonlydir/appendonly.aof.1.incr.aof] size
    ask SET d 4
    restart_aof $dir --aof-load-truncated no
    expect {["1" "2" nil "4"]} [ask MGET a b c d]
}

check "half a transaction is dropped" {
    set dir [made_of [request SET a 1] [request MULTI] [request SET b 2]]
    start_aof $dir
    expect {["1" nil]} [ask MGET a b]
    expect {/Revert incomplete MULTI/} [list + [server::log $run::server]]
}

check "an annotation without its end is no reason not to start" {
    set commands [request SELECT 0][request SET k v]
    foreach torn {"#" "#TS:160" "#CRC:12:ab"} {
        set dir [made_of $commands$torn]
        start_aof $dir --aof-load-truncated no
        expect {"v"} [ask GET k] $torn
        set dir [made_of $commands$torn]
        spill $dir/appendonlydir/appendonly.aof.2.incr.aof [request SELECT 0][request SET b 2]
        spill $dir/appendonlydir/appendonly.aof.manifest "file appendonly.aof.1.incr.aof seq 1 type i\nfile appendonly.aof.2.incr.aof seq 2 type i\n"
        start_aof $dir --aof-load-truncated no
        expect {["v" "2"]} [ask MGET k b] "$torn, not the last"
    }
}

check "what is written behind an annotation without its end can be read" -only cachestorm {
    set dir [made_of [request SELECT 0][request SET k v]#TS:160]
    start_aof $dir --aof-load-truncated no
    ask SET b 2
    restart_aof $dir --aof-load-truncated no
    expect {["v" "2"]} [ask MGET k b]
}

# Commands that fail or are refused while they are loaded, and the log lines of it.
proc complains {commands lines} {
    set dir [made_of [request SELECT 0] $commands [request SELECT 0][request SET end 1]]
    start_aof $dir
    expect {"1"} [ask GET end]
    set log [server::log $run::server]
    foreach {error command} $lines {
        set line "== CRITICAL == This server is sending an error to its AOF-loading-client: '$error' after processing the command '$command'"
        same 1 [expr {[string first $line $log] >= 0}] "$line in $log"
    }
    regexp {unexpected_error_replies:(\d+)} [lindex [ask INFO stats] 1] all count
    same [expr {[llength $lines] / 2}] $count unexpected_error_replies
}

check "a command that fails while it is loaded is told in the log" {
    complains [request SET k v][request LPUSH k 1][request SELECT 99][request RENAME none k][request EXEC] {
        "-WRONGTYPE Operation against a key holding the wrong kind of value" lpush
        "DB index is out of range" select
        "-ERR no such key" rename
        "EXEC without MULTI" exec
    }
    complains [request MULTI][request SET a 1][request MULTI][request WATCH a][request LPUSH a 1][request EXEC] {
        "MULTI calls can not be nested" exec
        "WATCH inside MULTI is not allowed" exec
        "-WRONGTYPE Operation against a key holding the wrong kind of value" exec
    }
    complains [request SHUTDOWN][request SUBSCRIBE c][request PSUBSCRIBE c][request MONITOR] {
        "SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client" shutdown
        "SUBSCRIBE isn't allowed for a DENY BLOCKING client" subscribe
        "PSUBSCRIBE isn't allowed for a DENY BLOCKING client" psubscribe
        "MONITOR isn't allowed for DENY BLOCKING client" monitor
    }
}

check "nothing that is loaded makes a replica of who loads it, or ends the server" -only cachestorm {
    set refused "SYNC and PSYNC aren't allowed for a DENY BLOCKING client"
    complains [request PSYNC ? -1][request SYNC] [list $refused psync $refused sync]
    complains [request MULTI][request PSYNC ? -1][request SHUTDOWN NOW][request EXEC] [list $refused exec \
        "SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client" exec]
    complains [request WATCH end][request CLIENT TRACKING ON] {}
    expect {:0} [ask PUBLISH c message]
}

check "the log tells of a preamble, and of one that is cut off" {
    set dir [server::new_dir]
    start_aof $dir
    ask SET k v
    ask BGREWRITEAOF
    eventually {[aof_field aof_rewrite_in_progress] == 0 && [file exists $dir/appendonlydir/appendonly.aof.2.base.rdb]}
    set snapshot [slurp $dir/appendonlydir/appendonly.aof.2.base.rdb]
    set old [server::new_dir]
    spill $old/appendonly.aof $snapshot[request SELECT 0][request SET b 2]
    start_aof $old
    expect {["v" "2"]} [ask MGET k b]
    set log [server::log $run::server]
    expect {/Reading RDB preamble from AOF file\.\.\./} [list + $log]
    expect {/Reading the remaining AOF tail\.\.\./} [list + $log]
    spill $dir/appendonlydir/appendonly.aof.2.base.rdb [string range $snapshot 0 end-20]
    server::stop $run::server
    lassign [refused $dir] code log
    same 1 $code "exit code"
    expect {/Reading RDB base file on AOF loading\.\.\..*Short read or OOM loading DB\. Unrecoverable error, aborting now\./} [list + $log]
}

check "what cannot be loaded is refused, with a reason" {
    foreach {dir flags reason} [list \
        [made_of [request SET a 1] [string range [request SET b 2] 0 end-3]] {--aof-load-truncated no} \
            "*Unexpected end of file reading the append only file appendonly.aof.1.incr.aof*" \
        [made_of [request SET a 1] [request MULTI]] {--aof-load-truncated no} \
            "*Unexpected end of file reading the append only file*" \
        [made_of [request SET a 1] !!!] {} "*Bad file format reading the append only file appendonly.aof.1.incr.aof: make a backup*" \
        [made_of [request BLA a 1]] {} "*Unknown command 'BLA' reading the append only file appendonly.aof.1.incr.aof*" \
    ] {
        lassign [refused $dir {*}$flags] code log
        same 1 $code "exit code"
        same 1 [string match $reason $log] "$reason in $log"
    }
}

check "a manifest that makes no sense is refused" {
    foreach {text reason} {
        "" "Found an empty AOF manifest"
        "file a.1.incr.aof seq 1 type i\n\n" "Invalid AOF manifest file format"
        "file a.1.incr.aof seq 2 type i\nfile a.2.incr.aof seq 1 type i\n" "Found a non-monotonic sequence number"
        "file a seq 1 type b\nfile b seq 2 type b\n" "Found duplicate base file information"
        "file a seq 1 type x\n" "Unknown AOF file type"
        "file a/b seq 1 type i\n" "File can't be a path, just a filename"
    } {
        set dir [made_of [request SET a 1]]
        spill $dir/appendonlydir/appendonly.aof.manifest $text
        lassign [refused $dir] code log
        same 1 $code "exit code for $text"
        same 1 [string match "*$reason*" $log] "$reason in $log"
    }
}

check "a file that is missing is refused" {
    set dir [server::new_dir]
    spill $dir/appendonlydir/appendonly.aof.manifest "file appendonly.aof.1.incr.aof seq 1 type i\n"
    lassign [refused $dir] code log
    same 1 $code "exit code"
    same 1 [string match "*appendonly.aof.1.incr.aof*No such file or directory*" $log] $log
}

check "an old file of one piece is taken over" {
    set dir [server::new_dir]
    spill $dir/appendonly.aof [request SET a 1]
    start_aof $dir
    expect {"1"} [ask GET a]
    same "file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n" [manifest $dir] manifest
    same 0 [file exists $dir/appendonly.aof] "it has moved"
}

check "a manifest that needs no change stays as it is" {
    set dir [made_of [request SET a 1]]
    set path $dir/appendonlydir/appendonly.aof.manifest
    spill $path "# an operator's line\n[slurp $path]"
    set text [slurp $path]
    start_aof $dir
    expect {"1"} [ask GET a]
    same $text [manifest $dir] manifest
}

check "several increments and annotations are loaded in order" {
    set dir [made_of "#TS:1628217470\r\n" [request SET a 1] "#anything\r\n" [request APPEND b x]]
    spill $dir/appendonlydir/appendonly.aof.4.incr.aof [request APPEND b y]
    spill $dir/appendonlydir/appendonly.aof.manifest \
        "# a comment\nfile appendonly.aof.1.incr.aof seq 1 type i more words\nfile appendonly.aof.4.incr.aof seq 4 type i\n"
    start_aof $dir
    expect {["1" "xy"]} [ask MGET a b]
}

check "keys that expire are loaded alive and then expire" {
    set dir [made_of [request RPUSH l a] [request PEXPIREAT l 1000] [request RPUSH l b] [request SET x 1 PXAT 2000] [request PERSIST x]]
    start_aof $dir
    expect {:0} [ask EXISTS l]
    expect {"1"} [ask GET x]
}

# --- settings and figures ------------------------------------------------------------------

check "timestamps are written when they are wanted" {
    set dir [server::new_dir]
    start_aof $dir --aof-timestamp-enabled yes
    ask SET a 1
    same 1 [regexp "^#TS:\\d+\r\n\\*2\r\n" [slurp $dir/appendonlydir/appendonly.aof.1.incr.aof]] annotation
    restart_aof $dir
    expect {"1"} [ask GET a]
}

check "INFO tells of the file" {
    set dir [server::new_dir]
    start_aof $dir --appendfsync always
    same 1 [aof_field aof_enabled] aof_enabled
    same ok [aof_field aof_last_write_status] aof_last_write_status
    set before [aof_field aof_current_size]
    ask SET a [string repeat x 1000]
    same 1 [expr {[aof_field aof_current_size] > $before + 1000}] growth
    same 0 [aof_field aof_buffer_length] aof_buffer_length
    same 0 [aof_field loading] loading
}

check "DEBUG LOADAOF gives the same data" {
    set dir [server::new_dir]
    start_aof $dir
    foreach command {{SET a 1 EX 1000} {RPUSH l 1 2 3} {SADD s a b 1} {ZADD z 1 a 2.5 b} {HSET h f v g 2} {SELECT 2} {SET b 2}} {
        ask {*}$command
    }
    set before [ask DEBUG DIGEST]
    expect {+OK} [ask DEBUG LOADAOF]
    same $before [ask DEBUG DIGEST] digest
    ask SET c 3
    expect {+OK} [ask DEBUG LOADAOF]
    expect {"3"} [ask GET c]
}

check "a damaged middle is noticed" -only cachestorm {
    set dir [server::new_dir]
    set port [server::free_port]
    run::disconnect
    set run::server [server::launch $port $dir [list {*}[server::flags $port $dir] --appendonly yes]]
    for {set n 0} {$n < 500} {incr n} {
        ask SET key:$n value:$n
    }
    server::stop $run::server
    set path $dir/appendonlydir/appendonly.aof.1.incr.aof
    set bytes [slurp $path]
    set at [string first value:77 $bytes]
    spill $path [string replace $bytes $at $at V]
    lassign [refused $dir] code log
    same 1 $code "exit code"
    same 1 [string match "*appendonly.aof.1.incr.aof is damaged*" $log] $log
    spill $path $bytes
    start_aof $dir
    expect {"value:499"} [ask GET key:499]
}

# With checksums, which start_aof does without.
proc start_filling {dir} {
    set port [server::free_port]
    run::disconnect
    set run::server [server::launch $port $dir [list {*}[server::flags $port $dir] --appendonly yes --appendfsync always \
        --auto-aof-rewrite-percentage 0]]
}

# Bytes in a file without the filling.
proc written {path} {
    return [string length [regsub {##+[0-9a-f]{16}\n$} [slurp $path] ""]]
}

check "a file that grows is filled ahead of its end while every write must be safe" -only cachestorm {
    set dir [server::new_dir]
    set path $dir/appendonlydir/appendonly.aof.1.incr.aof
    start_filling $dir
    ask SET a 1
    same [aof_field aof_current_size] [file size $path] "a small one"
    for {set n 0} {$n < 100} {incr n} {
        ask SET key:$n [string repeat $n 1000]
    }
    set written [written $path]
    same [aof_field aof_current_size] $written "a large one"
    same 1 [expr {[file size $path] > $written}] filled
    # What is killed leaves the filling behind; with half of a write before it, that is gone, too, whatever its values look like.
    set forged "value#CRC:5:[format %08x [zlib crc32 value]]"
    foreach half [list "" "*3\r\n\$3\r\nSET\r\n\$1\r\na\r\n\$5\r\nno" "*3\r\n$forged\r\n" "*3\r\n$forged:[string repeat 0 16]\r\n"] {
        server::signal $run::server KILL
        server::wait_exit $run::server
        set bytes [slurp $path]
        same 1 [regexp {##([0-9a-f]{16})\n$} $bytes - seal] "the end"
        same ":$seal\r\n" [string range $bytes $written-19 $written-1] "the end of what was written"
        spill $path [string replace $bytes $written [expr {$written + [string length $half] - 1}] $half]
        server::stop $run::server
        start_filling $dir
        same $written [file size $path] "what was loaded"
        expect {"1"} [ask GET a]
        expect "\"[string repeat 99 1000]\"" [ask GET key:99]
        ask SET key:99 [string repeat 99 1000]
        set written [written $path]
    }
    expect {+OK} [ask DEBUG LOADAOF]
    expect {:101} [ask DBSIZE]
    ask SET b 2
    expect {+OK} [ask CONFIG SET appendfsync everysec]
    ask SET c 3
    same 0 [regexp {#[0-9a-f]{16}\n$} [slurp $path]] "without always"
    expect {+OK} [ask CONFIG SET appendfsync always]
    ask SET d 4
    same 1 [regexp {#[0-9a-f]{16}\n$} [slurp $path]] "with it again"
    server::stop $run::server
    same 0 [regexp {#[0-9a-f]{16}\n$} [slurp $path]] "at the end"
    start_aof $dir
    expect {["2" "3" "4"]} [ask MGET b c d]
}

# --- rewriting -----------------------------------------------------------------------------

proc rewritten {} {
    eventually {[aof_field aof_rewrite_scheduled] == 0 && [aof_field aof_rewrite_in_progress] == 0}
    same ok [aof_field aof_last_bgrewrite_status] "rewrite status"
}

# A key of each type, some of them large, in two databases.
proc fill {} {
    foreach command {
        {SET a 1} {SET b 2 EX 1000} {SELECT 3} {RPUSH l a b 3} {SADD ints 1 2 3} {SADD s a b 1} {ZADD z 1 a 2.5 b -inf c} {HSET h f v g 2}
        {XADD x 1-1 f v} {XADD x 2-1 f w} {XGROUP CREATE x g 0} {XREADGROUP GROUP g me COUNT 1 STREAMS x >} {XADD e 5-5 a b} {XDEL e 5-5}
    } {
        ask {*}$command
    }
    for {set n 0} {$n < 300} {incr n} {
        ask RPUSH large:l value:$n
        ask SADD large:s value:$n
        ask ZADD large:z $n.5 value:$n
        ask HSET large:h field:$n value:$n
    }
}

foreach {preamble suffix} {yes rdb no aof} {
    check "a rewrite with aof-use-rdb-preamble $preamble leaves a base and an increment" [string map "PREAMBLE $preamble SUFFIX $suffix" {
        set dir [server::new_dir]
        start_aof $dir --aof-use-rdb-preamble PREAMBLE
        fill
        expect "+Background append only file rewriting started" [ask BGREWRITEAOF]
        rewritten
        same "file appendonly.aof.2.base.SUFFIX seq 2 type b\nfile appendonly.aof.2.incr.aof seq 2 type i\n" [manifest $dir] manifest
        ask SET c 3
        set before [ask DEBUG DIGEST]
        expect {+OK} [ask DEBUG LOADAOF]
        same $before [ask DEBUG DIGEST] "digest after loading"
        restart_aof $dir
        same $before [ask DEBUG DIGEST] "digest after a start"
        ask SELECT 3
        expect {[:1 "1-1" "1-1" [["me" "1"]]]} [ask XPENDING x g]
        expect {:0} [ask XLEN e]
    }]
}

foreach preamble {yes no} {
    check "a rewrite with aof-use-rdb-preamble $preamble has large values as they were, whatever becomes of them meanwhile" \
        [string map "PREAMBLE $preamble" {
        start_aof [server::new_dir] --aof-use-rdb-preamble PREAMBLE --rdb-key-save-delay 10000000 --list-max-listpack-size 4 \
            --stream-node-max-entries 4
        foreach from {0 1000} {
            foreach {verb key each} {
                SADD s {m:$n} SADD gone {m:$n} SADD moved {m:$n} HSET h {f:$n $n} ZADD z {[expr {$n % 700}] m:$n} RPUSH l {e:$n}
            } {
                set words {}
                for {set n $from} {$n < $from + 1000} {incr n} {
                    lappend words {*}[subst $each]
                }
                ask $verb $key {*}$words
            }
        }
        for {set n 1} {$n <= 1500} {incr n} {
            ask XADD x $n-1 f $n
        }
        ask XGROUP CREATE x g 0
        ask XREADGROUP GROUP g a COUNT 400 STREAMS x >
        ask XREADGROUP GROUP g b COUNT 400 STREAMS x >
        expect "+Background append only file rewriting started" [ask BGREWRITEAOF]
        foreach command {
            {SREM s m:5} {SADD s m:5 new} {SPOP s 50} {DEL gone} {SADD gone m:7} {RENAME moved elsewhere} {SREM elsewhere m:9}
            {HSET h f:3 other} {HDEL h f:4} {HINCRBY h f:5 7} {HPEXPIRE h 9000000 FIELDS 1 f:6} {ZINCRBY z 300 m:1} {ZREM z m:2}
            {ZREMRANGEBYRANK z 0 20} {LPUSH l first} {RPUSH l last} {LSET l 1000 other} {LINSERT l BEFORE e:1500 between}
            {LREM l 1 e:700} {LTRIM l 30 1950} {XADD x 5000-1 f new} {XDEL x 1400-1} {XACK x g 3-1} {XCLAIM x g c 0 500-1}
            {XGROUP CREATECONSUMER x g d} {XGROUP CREATE x other 0} {COPY z copy} {SUNIONSTORE union s elsewhere}
        } {
            ask {*}$command
        }
        same 1 [aof_field aof_rewrite_in_progress] "the rewrite is on"
        ask CONFIG SET rdb-key-save-delay 0
        rewritten
        set before [list [ask DEBUG DIGEST] [ask XINFO STREAM x] [ask XPENDING x g] [ask HPEXPIRETIME h FIELDS 1 f:6]]
        expect {+OK} [ask DEBUG LOADAOF]
        same $before [list [ask DEBUG DIGEST] [ask XINFO STREAM x] [ask XPENDING x g] [ask HPEXPIRETIME h FIELDS 1 f:6]] "what is loaded"
    }]
}

check "INFO tells what a base that is a snapshot has brought" {
    set dir [server::new_dir]
    start_aof $dir
    ask MSET a 1 b 2
    ask BGREWRITEAOF
    rewritten
    server::stop $run::server
    start_aof $dir
    same 1 [regexp {\nrdb_last_load_keys_loaded:2\r} [lindex [ask INFO persistence] 1]] "keys"
}

check "turned on at run time, the file begins with a base" {
    set run::server [server::start --auto-aof-rewrite-percentage 0]
    run::disconnect
    set dir $server::dir($run::server)
    fill
    expect {+OK} [ask CONFIG SET appendonly yes]
    rewritten
    same "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n" [manifest $dir] manifest
    ask SET c 3
    set before [ask DEBUG DIGEST]
    expect {+OK} [ask DEBUG LOADAOF]
    same $before [ask DEBUG DIGEST] digest
    expect {+OK} [ask CONFIG SET appendonly no]
    same 0 [aof_field aof_enabled] aof_enabled
    set size [file size $dir/appendonlydir/appendonly.aof.1.incr.aof]
    ask SET d 4
    same $size [file size $dir/appendonlydir/appendonly.aof.1.incr.aof] "size once it is off"
}

check "a rewrite while it is off leaves a base alone, and numbers go on" {
    set dir [server::new_dir]
    start_aof $dir
    fill
    expect {+OK} [ask CONFIG SET appendonly no]
    expect "+Background append only file rewriting started" [ask BGREWRITEAOF]
    rewritten
    same "file appendonly.aof.2.base.rdb seq 2 type b\n" [manifest $dir] "manifest while it is off"
    set before [ask DEBUG DIGEST]
    expect {+OK} [ask DEBUG LOADAOF]
    same $before [ask DEBUG DIGEST] "digest after loading the base"
    expect {+OK} [ask CONFIG SET appendonly yes]
    rewritten
    same "file appendonly.aof.3.base.rdb seq 3 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n" [manifest $dir] \
        "manifest once it is on again"
    expect {+OK} [ask DEBUG LOADAOF]
    ask BGREWRITEAOF
    rewritten
    same "file appendonly.aof.4.base.rdb seq 4 type b\nfile appendonly.aof.2.incr.aof seq 2 type i\n" [manifest $dir] \
        "manifest after loading and a rewrite"
}

check "what a rewrite replaces is kept as long as that is wished" {
    set dir [server::new_dir]
    start_aof $dir --aof-disable-auto-gc yes
    for {set n 0} {$n < 2} {incr n} {
        ask BGREWRITEAOF
        rewritten
    }
    same "file appendonly.aof.3.base.rdb seq 3 type b
file appendonly.aof.2.incr.aof seq 2 type h
file appendonly.aof.2.base.rdb seq 2 type h
file appendonly.aof.1.incr.aof seq 1 type h
file appendonly.aof.1.base.rdb seq 1 type h
file appendonly.aof.3.incr.aof seq 3 type i
" [manifest $dir] "manifest with history"
    same 7 [llength [glob $dir/appendonlydir/*]] "files with the manifest"
    expect {+OK} [ask CONFIG SET aof-disable-auto-gc no]
    same "file appendonly.aof.3.base.rdb seq 3 type b\nfile appendonly.aof.3.incr.aof seq 3 type i\n" [manifest $dir] "manifest"
    eventually {[llength [glob $dir/appendonlydir/*]] == 3}
}

check "others are told to wait while a script is replayed for long" -needs EVAL {
    set script "redis.call('set', KEYS\[1\], 'y'); for i = 1, 1000000 do redis.call('ping') end"
    set dir [made_of [request SELECT 0] [request EVAL $script 1 x] [request SET z 1]]
    start_aof $dir --busy-reply-threshold 1
    expect {["y" "1"]} [ask MGET x z]
    expect +PONG [ask PING]
}

check "a trim of whole nodes that another server wrote with its limit is repeated" {
    set commands [request SELECT 0]
    for {set n 1} {$n <= 10} {incr n} {
        append commands [request XADD x $n-1 f v]
    }
    append commands [request XADD x MAXLEN = 4 LIMIT 100 11-1 f v] [request XTRIM x MINID = 10-1 LIMIT 100]
    set dir [made_of $commands]
    start_aof $dir
    expect {[["10-1" ["f" "v"]] ["11-1" ["f" "v"]]]} [ask XRANGE x - +]
}

check "in a transaction a rewrite is scheduled" {
    set dir [server::new_dir]
    start_aof $dir
    ask MULTI
    ask BGREWRITEAOF
    expect {[+"Background append only file rewriting scheduled"]} [ask EXEC]
    rewritten
    same 2 [llength [regexp -all -inline {seq 2} [manifest $dir]]] "numbers in the manifest"
}

check "the file is rewritten when it has grown" {
    set dir [server::new_dir]
    start_aof $dir --auto-aof-rewrite-percentage 100 --auto-aof-rewrite-min-size 100kb
    for {set n 0} {$n < 200} {incr n} {
        ask SET a [string repeat x 1000]
    }
    eventually {[aof_field aof_rewrites] > 0}
    rewritten
    expect :1000 [ask STRLEN a]
}

check "a file that is turned on later comes behind those that are there" {
    set dir [server::new_dir]
    start_aof $dir
    ask SET k old
    foreach n {1 2} {
        ask BGREWRITEAOF
        eventually {[aof_field aof_rewrite_in_progress] == 0 && [file exists $dir/appendonlydir/appendonly.aof.[expr {$n + 1}].base.rdb]}
    }
    same {appendonly.aof.3.base.rdb appendonly.aof.3.incr.aof appendonly.aof.manifest} \
        [lsort [lmap path [glob $dir/appendonlydir/*] {file tail $path}]]
    restart_aof $dir --appendonly no
    ask SET k new
    # When the manifest cannot be written, the old files stay as they were.
    set blocked $dir/appendonlydir/temp-appendonly.aof.manifest
    file mkdir $blocked
    ask CONFIG SET appendonly yes
    eventually {[aof_field aof_last_bgrewrite_status] eq "err"}
    same {appendonly.aof.3.base.rdb appendonly.aof.3.incr.aof} \
        [lsearch -all -inline -glob [lsort [lmap path [glob $dir/appendonlydir/*] {file tail $path}]] appendonly.aof.3.*]
    ask CONFIG SET appendonly no
    file delete $blocked
    ask CONFIG SET appendonly yes
    eventually {[string match "file appendonly.aof.4.base.rdb seq 4 type b\nfile appendonly.aof.4.incr.aof seq 4 type i\n" [manifest $dir]]}
    eventually {[llength [glob $dir/appendonlydir/*]] == 3}
    ask SET more 1
    kill_and_restart $dir
    expect {["new" "1"]} [ask MGET k more]
}

check "FLUSHALL does not hurry a rewrite" -only cachestorm {
    set dir [server::new_dir]
    start_aof $dir --save {3600 1}
    for {set n 0} {$n < 200} {incr n} {
        ask SET key:$n $n
    }
    ask CONFIG SET rdb-key-save-delay 1000000
    ask BGREWRITEAOF
    same 1 [aof_field aof_rewrite_in_progress]
    expect +OK [ask FLUSHALL]
    same 1 [aof_field aof_rewrite_in_progress]
    same 1 [expr {[aof_field current_save_keys_processed] < 100}] [aof_field current_save_keys_processed]
    same 1 [file exists $dir/dump.rdb]
    same 0 [aof_field rdb_changes_since_last_save]
    ask CONFIG SET rdb-key-save-delay 0
    eventually {[aof_field aof_rewrite_in_progress] == 0}
    expect +OK [ask DEBUG LOADAOF]
    expect :0 [ask DBSIZE]
    ask SET k v
    expect +OK [ask DEBUG RELOAD NOSAVE]
    expect :0 [ask DBSIZE]
}
