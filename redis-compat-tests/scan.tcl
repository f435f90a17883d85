# SCAN: its options and errors, and its guarantee that a key present all the time is returned.

# Iterates to the end; the keys returned, each once, sorted.
proc scan_all {args} {
    set cursor 0
    set found {}
    set turns 0
    while 1 {
        set reply [ask SCAN $cursor {*}$args]
        if {[lindex $reply 0] ne "*"} {
            run::problem "SCAN $cursor $args" "an array" [resp::show $reply]
            return {}
        }
        set cursor [lindex $reply 1 0 1]
        foreach key [lindex $reply 1 1 1] {
            lappend found [lindex $key 1]
        }
        if {$cursor eq "0"} {
            return [lsort -unique $found]
        }
        if {[incr turns] > 100000} {
            error "SCAN does not end"
        }
    }
}

proc numbers {count} {
    set list {}
    for {set i 0} {$i < $count} {incr i} {
        lappend list $i
    }
    return $list
}

# Sets PREFIX0 … in one pipeline.
proc fill {prefix count} {
    set c [run::connection A]
    set batch ""
    for {set i 0} {$i < $count} {incr i} {
        append batch [resp::encode [list SET $prefix$i v]]
    }
    resp::raw $c $batch
    for {set i 0} {$i < $count} {incr i} {
        resp::read $c
    }
}

case "SCAN of few keys" {
    SCAN 0                      -> ["0" []]
    SET a 1                     -> +OK
    SCAN 0                      -> ["0" ["a"]]
    SCAN 0 COUNT 100            -> ["0" ["a"]]
    SCAN 0 MATCH a*             -> ["0" ["a"]]
    SCAN 0 MATCH b*             -> ["0" []]
    SCAN 0 TYPE string          -> ["0" ["a"]]
    SCAN 0 TYPE STRING          -> ["0" ["a"]]
    SCAN 0 TYPE list            -> ["0" []]
    SCAN 0 match a* count 5 type string -> ["0" ["a"]]
    SCAN 0 MATCH ""             -> ["0" []]
    SCAN 0 MATCH a MATCH b      -> ["0" []]
    SELECT 1                    -> +OK
    SCAN 0                      -> ["0" []]
}

case "SCAN's errors" {
    SCAN                        -> -ERR wrong number of arguments for 'scan' command
    SCAN x                      -> -ERR invalid cursor
    SCAN -1                     -> -ERR invalid cursor
    SCAN 1.5                    -> -ERR invalid cursor
    SCAN ""                     -> -ERR invalid cursor
    SCAN 99999999999999999999   -> -ERR invalid cursor
    SCAN 0 COUNT                -> -ERR syntax error
    SCAN 0 COUNT 0              -> -ERR syntax error
    SCAN 0 COUNT -5             -> -ERR syntax error
    SCAN 0 COUNT x              -> -ERR value is not an integer or out of range
    SCAN 0 COUNT 9223372036854775808 -> -ERR value is not an integer or out of range
    SCAN 0 MATCH                -> -ERR syntax error
    SCAN 0 TYPE                 -> -ERR syntax error
    SCAN 0 nonsense             -> -ERR syntax error
    SCAN 0 nonsense x           -> -ERR syntax error
    SCAN x COUNT 0              -> -ERR invalid cursor
    SCAN 0 TYPE nonsense        -> ["0" []]
    SCAN 0 NOVALUES             -> -ERR NOVALUES option can only be used in HSCAN
}

check "a whole iteration returns every key" {
    fill key: 10000
    set expected [lsort [lmap i [numbers 10000] {string cat key: $i}]]
    foreach options {{} {COUNT 1000} {COUNT 1} {COUNT 100000}} {
        same $expected [scan_all {*}$options] "SCAN $options"
    }
    same [lsort [lmap i [numbers 10] {string cat key:999 $i}]] [scan_all MATCH key:999?] "MATCH"
    same $expected [scan_all TYPE string] "TYPE string"
    same {} [scan_all TYPE hash] "TYPE hash"
}

check "COUNT bounds one call's work roughly" {
    fill key: 10000
    set reply [ask SCAN 0 COUNT 10]
    set got [llength [lindex $reply 1 1 1]]
    if {$got < 1 || $got > 500} {
        run::problem "keys returned for COUNT 10" "about 10" $got
    }
}

check "keys that stay are returned while others come and go" {
    fill stay: 1000
    fill old: 1000
    set cursor 0
    array unset seen
    set round 0
    while 1 {
        set reply [ask SCAN $cursor COUNT 20]
        set cursor [lindex $reply 1 0 1]
        foreach key [lindex $reply 1 1 1] {
            set seen([lindex $key 1]) 1
        }
        if {$cursor eq "0"} break
        # Grow tenfold, then shrink again, while the iteration is under way.
        if {$round < 20} {
            fill new:$round: 500
            for {set i 0} {$i < 50} {incr i} {
                ask DEL old:[expr {$round * 50 + $i}]
            }
        } elseif {$round < 40} {
            ask DEL {*}[lmap i [numbers 500] {string cat new:[expr {$round - 20}]: $i}]
        }
        incr round
    }
    same 1000 [llength [array names seen stay:*]] "keys seen that stayed"
}

check "an iteration started again from any returned cursor ends" {
    fill key: 1000
    set cursors {}
    set cursor 0
    while 1 {
        set cursor [lindex [ask SCAN $cursor] 1 0 1]
        if {$cursor eq "0"} break
        lappend cursors $cursor
    }
    ask FLUSHDB
    fill other: 10
    foreach cursor $cursors {
        for {set turns 0} {$cursor ne "0" && $turns < 1000} {incr turns} {
            set cursor [lindex [ask SCAN $cursor] 1 0 1]
        }
        same 0 $cursor "cursor at the end"
    }
}

check "expired keys are not returned" {
    ask DEBUG SET-ACTIVE-EXPIRE 0
    fill stay: 10
    for {set i 0} {$i < 10} {incr i} {
        ask SET gone:$i v PX 1
    }
    after 3
    same [lsort [lmap i [numbers 10] {string cat stay: $i}]] [scan_all] "keys"
    ask DEBUG SET-ACTIVE-EXPIRE 1
    eventually {[ask DBSIZE] eq {: 10}}
}

case "SCAN by type" -needs {RPUSH SADD ZADD HSET XADD} {
    RPUSH l a                   -> :1
    SADD s a                    -> :1
    ZADD z 1 a                  -> :1
    HSET h f v                  -> :1
    XADD x 1-1 f v              -> "1-1"
    SCAN 0 COUNT 100 TYPE list  -> ["0" ["l"]]
    SCAN 0 COUNT 100 TYPE set   -> ["0" ["s"]]
    SCAN 0 COUNT 100 TYPE zset  -> ["0" ["z"]]
    SCAN 0 COUNT 100 TYPE hash  -> ["0" ["h"]]
    SCAN 0 COUNT 100 TYPE stream -> ["0" ["x"]]
}
