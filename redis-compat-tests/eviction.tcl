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

check "allkeys-tinylfu keeps within the limit, too" -only cachestorm -config $full {
    fill allkeys-tinylfu 200000
    same 1 [expr {[told used_memory] < [told maxmemory] + 4096}]
    same 1 [expr {[told evicted_keys] > 150}]
    same_keys 500
    ask CONFIG SET maxmemory 0
}

check "allkeys-tinylfu lets a scan pass and keeps what is asked for often" -only cachestorm -config $full {
    ask CONFIG SET maxmemory-policy allkeys-tinylfu
    for {set n 0} {$n < 100} {incr n} {
        ask SET hot:$n [string repeat x 1000]
    }
    for {set times 0} {$times < 4} {incr times} {
        for {set n 0} {$n < 100} {incr n} {
            ask GET hot:$n
        }
    }
    expect :5 [ask OBJECT FREQ hot:7]
    expect :0..5 [ask OBJECT IDLETIME hot:7]
    ask CONFIG SET maxmemory [expr {[told used_memory] + 150000}]
    for {set n 0} {$n < 1500} {incr n} {
        ask SET scan:$n [string repeat x 1000]
    }
    set left 0
    for {set n 0} {$n < 100} {incr n} {
        incr left [lindex [ask EXISTS hot:$n] 1]
    }
    same 1 [expr {$left >= 95}] $left
    same 1 [expr {[told evicted_keys] > 1000}]
    ask CONFIG SET maxmemory 0
    ask CONFIG SET maxmemory-policy allkeys-lru
    expect "/An LFU maxmemory policy is not selected/" [ask OBJECT FREQ hot:99]
}

# Writes keys until so many percent of the limit are in use.
proc fill_to {percent} {
    while {[told used_memory] * 100 < [told maxmemory] * $percent} {
        for {set n 0} {$n < 20} {incr n} {
            ask SET key:[incr ::written] [string repeat x 1000]
        }
    }
}

check "under pressure keys go ahead of need, for what comes in" -only cachestorm -config $full {
    same none [told memory_pressure]
    ask CONFIG RESETSTAT
    ask CONFIG SET maxmemory-policy allkeys-lru
    ask CONFIG SET maxmemory [expr {[told used_memory] * 4}]
    fill_to 60
    same {none 0} [list [told memory_pressure] [told evicted_keys]]
    fill_to 75
    same warning [told memory_pressure]
    # The server looks at the pressure now and then: what comes until then is not to lead to the next level.
    for {set n 0} {$n < 2000 && [told evicted_keys] == 0} {incr n} {
        ask SET warning:$n [string repeat x 500]
        after 2
    }
    same 1 [expr {[told evicted_keys] > 0 && [told used_memory] < [told maxmemory]}]
    fill_to 88
    same critical [told memory_pressure]
    # Who stops to write loses nothing.
    after 250
    set evicted [told evicted_keys]
    after 300
    same $evicted [told evicted_keys]
    # Nothing goes ahead of need where the settings say so.
    ask CONFIG SET memory-pressure-warning 100 memory-pressure-critical 100
    same none [told memory_pressure]
    fill_to 92
    after 250
    same $evicted [told evicted_keys]
    ask CONFIG SET memory-pressure-warning 70 memory-pressure-critical 85
    ask CONFIG SET maxmemory 0
    same none [told memory_pressure]
}

check "for what clients take no key goes ahead of need" -config $full {
    ask CONFIG RESETSTAT
    ask CONFIG SET maxmemory-policy allkeys-lru
    # With the next look at the pressure a second away, all that follows is new to it.
    ask CONFIG SET hz 1
    after 200
    # What arrives in many small parts takes more memory for a moment, which must not lead beyond the limit itself.
    ask CONFIG SET maxmemory [expr {[told used_memory] + 24000000}]
    for {set n 0} {$n < 50} {incr n} {
        ask SETRANGE key:$n 100000 x
    }
    for {set n 0} {$n < 6} {incr n} {
        resp::raw [run::connection B$n] "*250\r\n[string repeat "\$10000\r\n[string repeat x 10000]\r\n" 200]"
    }
    eventually {[told used_memory] > [told maxmemory] * 0.72}
    after 1200
    same {50 0} [list [lindex [ask DBSIZE] 1] [told evicted_keys]]
    ask CONFIG SET hz 10
    ask CONFIG SET maxmemory 0
}

check "without eviction pressure is only told" -only cachestorm -config $full {
    ask CONFIG RESETSTAT
    ask CONFIG SET maxmemory [expr {[told used_memory] * 2}]
    fill_to 96
    same emergency [told memory_pressure]
    after 300
    same 0 [told evicted_keys]
    ask CONFIG SET maxmemory 0
}
