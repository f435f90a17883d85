# The tools that look at files without a server: the binary under the names redis-check-aof and redis-check-rdb.

proc request {args} {
    return [resp::encode $args]
}

# Runs a tool: its exit code and what it says. `answer` is what it reads when it asks.
proc tool {name arguments {answer ""}} {
    set dir [server::new_dir]
    file link -symbolic $dir/$name $server::binary
    try {
        return [list 0 [exec -ignorestderr timeout 20 $dir/$name {*}$arguments << $answer 2>@1]]
    } trap CHILDSTATUS {output options} {
        return [list [lindex [dict get $options -errorcode] 2] $output]
    }
}

# Runs a tool and expects an exit code, and patterns in what it says.
proc says {code patterns name arguments {answer ""}} {
    lassign [tool $name $arguments $answer] got output
    same $code $got "exit code of $name $arguments: $output"
    foreach pattern $patterns {
        if {![string match *$pattern* $output]} {
            same $pattern $output "what $name $arguments says"
        }
    }
}

# A directory with a base and increments of these contents; returns the manifest's path.
proc parts {base args} {
    set dir [server::new_dir]
    set lines ""
    if {$base ne ""} {
        spill $dir/a.1.base $base
        append lines "file a.1.base seq 1 type b\n"
    }
    set seq 0
    foreach increment $args {
        incr seq
        spill $dir/a.$seq.incr $increment
        append lines "file a.$seq.incr seq $seq type i\n"
    }
    spill $dir/a.manifest $lines
    return $dir/a.manifest
}

set whole [request SELECT 0][request SET k v]
set more [request MULTI][request SET a 1][request SET b 2][request EXEC]

check "the binary answers to the names of the tools" {
    says 0 {"redis-check-aof v=7.4.[0-9] sha="} redis-check-aof --version
    says 0 {"redis-check-rdb v=7.4.[0-9] sha="} redis-check-rdb -v
    says 0 {"Redis server v=7.4.[0-9] sha=*:[01] malloc=* bits=64 build="} redis-server --version
    says 1 {Usage:} redis-check-aof {}
    says 1 {Usage:} redis-check-aof {--fix a b c}
    says 1 {Usage:} redis-check-rdb {}
    says 1 {Cannot open file /nowhere/at/all} redis-check-aof /nowhere/at/all
    says 1 {/nowhere/at/all} redis-check-rdb /nowhere/at/all
}

check "an old file of one piece" {
    set path [server::new_dir]/old.aof
    spill $path $whole$more
    says 0 [list "Start checking Old-Style AOF" "ok_up_to=[file size $path]," "diff=0" "AOF $path is valid"] redis-check-aof [list $path]
    foreach {tail what} [list [string range $more 0 end-3] "cut in EXEC" [request MULTI][request SET a 1] "no EXEC" \
                              "nonsense\r\n" "no command" [request EXEC] "EXEC without MULTI" "*1\r\n\$-5\r\n" "a length below zero"] {
        spill $path $whole$tail
        set good [string length $whole]
        says 1 [list "ok_up_to=$good," "diff=[string length $tail]" "is not valid. Use the --fix option"] redis-check-aof [list $path]
        same $whole$tail [slurp $path] "$what, looked at only"
        says 1 {{Continue? \[y/N\]: Aborting...}} redis-check-aof [list --fix $path] n
        same $whole$tail [slurp $path] "$what, not agreed to"
        says 0 [list "This will shrink the AOF $path from [string length $whole$tail] bytes, with [string length $tail] bytes, to $good bytes" \
                     "Successfully truncated AOF $path"] redis-check-aof [list --fix $path] y
        same $whole [slurp $path] "$what, mended"
    }
}

check "where a file was cut, and what was expected there" {
    set path [server::new_dir]/old.aof
    foreach {len line patterns} {
        3  1 {{0x               0: Expected \\r\\n, got: 0d00}}
        4  2 {}
        7  2 {{0x               4: Expected \\r\\n, got: 0d}}
        11 3 {{0x               8: Expected to read 8 bytes, got 3 bytes}}
        16 4 {}
        22 5 {{0x              14: Expected to read 3 bytes, got 2 bytes}}
    } {
        spill $path [string range $whole 0 $len-1]
        says 1 [list {*}$patterns "size=$len, ok_up_to=0, ok_up_to_line=$line, diff=$len"] redis-check-aof [list $path]
    }
    spill $path [string map {\$3 +3} $whole]
    says 1 [list "Expected prefix '\$', got: '+'" "ok_up_to=[string length [request SELECT 0]],"] redis-check-aof [list $path]
    spill $path $whole[request MULTI][request SET a 1]
    says 1 [list "Reached EOF before reading EXEC for MULTI"] redis-check-aof [list $path]
}

check "an annotation without its end carries no data" {
    set path [server::new_dir]/old.aof
    foreach torn {"#" "#TS:160" "#CRC:12:ab"} {
        spill $path $whole$torn
        says 0 [list "ok_up_to=[file size $path]," "AOF $path is valid"] redis-check-aof [list $path]
    }
}

check "a manifest and its files" {
    set manifest [parts "" $whole $more]
    says 0 {"Start checking Multi Part AOF" "Start to check INCR files." "INCR AOF a.1.incr is valid" "INCR AOF a.2.incr is valid"
            "All AOF files and manifest are valid"} redis-check-aof [list $manifest]
    set manifest [parts $whole $more ""]
    says 0 {"Start to check BASE AOF (RESP format)." "BASE AOF a.1.base is valid" "INCR AOF a.2.incr is empty"} redis-check-aof [list $manifest]
    # Only the end of the last file can be cut off.
    set manifest [parts $whole [string range $more 0 end-3] $more]
    says 1 {"Failed to truncate AOF a.1.incr because it is not the last file"} redis-check-aof [list --fix $manifest] y
    set manifest [parts $whole $more [string range $more 0 end-3]]
    says 0 {"Successfully truncated AOF a.2.incr" "All AOF files and manifest are valid"} redis-check-aof [list --fix $manifest] y
    same 0 [file size [file dirname $manifest]/a.2.incr]
    file delete [file dirname $manifest]/a.1.incr
    says 1 {"a.1.incr: No such file or directory"} redis-check-aof [list $manifest]
    spill $manifest "file a.1.base seq 1 type x\n"
    says 1 {"FATAL AOF MANIFEST FILE ERROR" "at line 1" "Unknown AOF file type"} redis-check-aof [list $manifest]
}

check "back to a time" {
    set path [server::new_dir]/old.aof
    set early "#TS:1000\r\n$whole"
    set late "#TS:2000\r\n$more"
    spill $path $early$late
    says 1 {"Invalid timestamp"} redis-check-aof [list --truncate-to-timestamp soon $path]
    says 0 [list "Truncate nothing in AOF $path to timestamp 2000"] redis-check-aof [list --truncate-to-timestamp 2000 $path]
    says 1 [list "AOF $path has nothing before timestamp 999, aborting..."] redis-check-aof [list --truncate-to-timestamp 999 $path]
    same $early$late [slurp $path]
    foreach never {0 ""} {
        says 0 [list "AOF $path is valid"] redis-check-aof [list --truncate-to-timestamp $never $path]
        same $early$late [slurp $path] "to no time"
    }
    spill $path.bad "$early#TS:soon\r\n"
    says 1 {"Invalid timestamp annotation"} redis-check-aof [list --truncate-to-timestamp 1500 $path.bad]
    says 0 [list "Successfully truncated AOF $path to timestamp 1500"] redis-check-aof [list --truncate-to-timestamp 1500 $path]
    same $early [slurp $path]
    set manifest [parts "" $early$late $late]
    says 1 {"because it is not the last file"} redis-check-aof [list --truncate-to-timestamp 1500 $manifest]
    set manifest [parts "" $early $early$late]
    says 0 {"Successfully truncated AOF a.2.incr to timestamp 1500" "All AOF files and manifest are valid"} \
        redis-check-aof [list --truncate-to-timestamp 1500 $manifest]
}

check "a base that is a snapshot" -server {--appendonly no} {
    ask SET k v
    ask SAVE
    set snapshot [slurp $server::dir($run::server)/dump.rdb]
    set manifest [parts $snapshot $whole]
    says 0 {"Start to check BASE AOF (RDB format)." {\\o/ RDB looks OK! \\o/} "1 keys read" "RDB preamble is OK, proceeding with AOF tail..."
            "BASE AOF a.1.base is valid"} redis-check-aof [list $manifest]
    set path [server::new_dir]/old.aof
    spill $path $snapshot$more
    says 0 [list "RDB preamble is OK" "AOF $path is valid"] redis-check-aof [list $path]
    spill $path [string replace $snapshot 30 60]$more
    says 1 {"RDB preamble of AOF file is not sane, aborting."} redis-check-aof [list $path]
    spill $path.rdb $snapshot
    says 0 {"Checksum OK" "RDB looks OK!" "1 keys read"} redis-check-rdb [list $path.rdb]
    spill $path.rdb [string range $snapshot 0 end-12]
    says 1 {"--- RDB ERROR DETECTED ---"} redis-check-rdb [list $path.rdb]
}

check "what was read before the damage" -server {--appendonly no} {
    ask HSET h f v g w
    ask HPEXPIRE h 100000000 FIELDS 1 f
    ask SAVE
    set snapshot [slurp $server::dir($run::server)/dump.rdb]
    set path [server::new_dir]/a.rdb
    spill $path $snapshot
    says 0 {"1 keys read" "0 expires" "0 already expired" "1 subexpires"} redis-check-rdb [list $path]
    foreach len {0 3 8} {
        spill $path [string range $snapshot 0 $len-1]
        says 1 {{\[offset 0\] Unexpected EOF reading RDB file} "While doing: start" "Reading type 0 (string)" "0 keys read" "0 subexpires"} \
            redis-check-rdb [list $path]
    }
    # Within the value, within the checksum, and another checksum.
    spill $path [string range $snapshot 0 end-12]
    says 1 {"While doing: read-object-value" "Reading key 'h'" "Reading type 25 (hash-listpack-md)" "1 keys read" "0 subexpires"} \
        redis-check-rdb [list $path]
    spill $path [string range $snapshot 0 end-3]
    says 1 [list "offset [expr {[string length $snapshot] - 8}]*Unexpected EOF" "While doing: check-sum" "1 subexpires"] redis-check-rdb [list $path]
    set last [scan [string index $snapshot end] %c]
    spill $path [string replace $snapshot end end [format %c [expr {$last ^ 1}]]]
    says 1 {"RDB CRC error" "1 keys read" "1 subexpires"} redis-check-rdb [list $path]
}
