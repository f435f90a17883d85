# What happens when maxmemory is reached: which keys each policy removes, and what is refused.

# A field of INFO.
proc told {field} {
    regexp "(?:^|\n)$field:(\[^\r]*)" [lindex [ask INFO everything] 1] all value
    return $value
}

# Every key that was set is there or was evicted. The question itself takes memory, so that a few go between its two parts.
proc same_keys {set} {
    set seen [expr {[lindex [ask DBSIZE] 1] + [told evicted_keys]}]
    same 1 [expr {$set <= $seen && $seen < $set + 50}]
}

# Fills the server over a limit of so many bytes above what is in use: keys with a time to live, and keys without.
proc fill {policy bytes} {
    ask CONFIG RESETSTAT
    ask CONFIG SET maxmemory-policy $policy
    for {set n 0} {$n < 100} {incr n} {
        ask SET lasting:$n [string repeat x 1000]
    }
    ask CONFIG SET maxmemory [expr {[told used_memory] + $bytes}]
    for {set n 0} {$n < 400} {incr n} {
        ask SET passing:$n [string repeat x 1000] EX [expr {10000 + $n}]
    }
}

set full {maxmemory 0 maxmemory-policy noeviction}

check "allkeys policies keep within the limit by removing any key" -config $full {
    foreach policy {allkeys-lru allkeys-lfu allkeys-random} {
        fill $policy 200000
        same 1 [expr {[told used_memory] < [told maxmemory] + 4096}]
        same 1 [expr {[told evicted_keys] > 150}]
        same_keys 500
        ask CONFIG SET maxmemory 0
        ask FLUSHALL
    }
}

check "volatile policies remove only keys that expire" -config $full {
    foreach policy {volatile-lru volatile-lfu volatile-random volatile-ttl} {
        fill $policy 200000
        same 1 [expr {[told used_memory] < [told maxmemory] + 4096}]
        for {set n 0} {$n < 100} {incr n} {
            expect ":1" [ask EXISTS lasting:$n]
        }
        same_keys 500
        ask CONFIG SET maxmemory 0
        ask FLUSHALL
    }
}

check "volatile-ttl removes what would go soonest" -config $full {
    ask CONFIG SET maxmemory-samples 10
    fill volatile-ttl 200000
    # The first ones went to make room for the last ones.
    set first 0
    for {set n 0} {$n < 100} {incr n} {
        incr first [lindex [ask EXISTS passing:$n] 1]
    }
    same 1 [expr {$first < 15}]
}

check "without eviction, and when nothing may be evicted, writes that need memory are refused" -config $full {
    foreach policy {noeviction volatile-lru} {
        ask CONFIG SET maxmemory-policy $policy
        ask SET k v
        ask CONFIG SET maxmemory 1
        expect "-OOM command not allowed when used memory > 'maxmemory'." [ask SET k w]
        expect "-OOM command not allowed when used memory > 'maxmemory'." [ask RPUSH l a]
        expect {"v"} [ask GET k]
        expect ":1" [ask DEL k]
        expect "+OK" [ask MULTI]
        expect "-OOM command not allowed when used memory > 'maxmemory'." [ask SET k v]
        expect "-EXECABORT Transaction discarded because of previous errors." [ask EXEC]
        ask CONFIG SET maxmemory 0
    }
}

check "a limit that is lowered removes keys without a command's help" -config $full {
    ask CONFIG RESETSTAT
    ask CONFIG SET maxmemory-policy allkeys-lru
    for {set n 0} {$n < 300} {incr n} {
        ask SET key:$n [string repeat x 1000]
    }
    ask CONFIG SET maxmemory [expr {[told used_memory] - 100000}]
    eventually {[told used_memory] <= [told maxmemory] + 4096}
    same_keys 300
    same 1 [expr {[told evicted_keys] < 170}]
}

check "an eviction is told" -config {maxmemory 0 maxmemory-policy noeviction notify-keyspace-events Ee} {
    resp::send [run::connection B] {PSUBSCRIBE __keyevent@*}
    resp::read [run::connection B]
    ask SET only-key [string repeat x 10000]
    ask CONFIG SET maxmemory-policy allkeys-random
    ask CONFIG SET maxmemory [expr {[told used_memory] - 5000}]
    ask PING
    same 1 [string match {*__keyevent@0__:evicted*only-key*} [resp::read [run::connection B]]]
}
