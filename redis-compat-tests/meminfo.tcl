# MEMINFO: which bytes belong to what.

# The figures as a dictionary; nested ones too.
proc figures {tree} {
    set figures {}
    foreach {name figure} [lindex $tree 1] {
        set value [lindex $figure 1]
        dict set figures [lindex $name 1] [expr {[lindex $figure 0] in {* %} ? [figures $figure] : $value}]
    }
    return $figures
}

proc meminfo {args} {
    return [figures [ask MEMINFO {*}$args]]
}

proc value_of {kind args} {
    return [dict get [meminfo {*}$args] values $kind]
}

# The parts of data add up.
proc parts_fit {info} {
    set sum 0
    foreach part {keys expiry tags} {
        incr sum [dict get $info $part]
    }
    foreach {kind bytes} [dict get $info values] {
        incr sum $bytes
    }
    same [dict get $info data] $sum
}

proc near {expected got {percent 10}} {
    same 1 [expr {abs($got - $expected) <= $expected * $percent / 100}] "$got for $expected"
}

# Keys of every type, about 10 KB each. All is sent before any reply is read.
proc fill {prefix} {
    for {set n 0} {$n < 50} {incr n} {
        lappend members m$n:[string repeat x 200]
    }
    lappend commands [list SET ${prefix}string [string repeat x 10000]]
    lappend commands [list RPUSH ${prefix}list {*}$members] [list SADD ${prefix}set {*}$members]
    foreach member $members {
        lappend commands [list ZADD ${prefix}zset 1 $member] [list HSET ${prefix}hash $member v]
        lappend commands [list XADD ${prefix}stream * field $member]
    }
    set c [run::connection A]
    foreach words $commands {
        resp::send $c $words
    }
    foreach words $commands {
        resp::read $c
    }
}

check "of the server: the parts add up to the total" -only cachestorm {
    fill ""
    ask SET expires v EX 1000
    set info [meminfo]
    same {total startup data keys values expiry tags connections replication_backlog scripts other fragmentation} [dict keys $info]
    same {string list set zset hash stream} [dict keys [dict get $info values]]
    same {query output other} [dict keys [dict get $info connections]]
    parts_fit $info
    set sum 0
    foreach part {startup data replication_backlog scripts other} {
        incr sum [dict get $info $part]
    }
    foreach {kind bytes} [dict get $info connections] {
        incr sum $bytes
    }
    same [dict get $info total] $sum
    foreach {kind bytes} [dict get $info values] {
        near 12000 $bytes 30
    }
    same 1 [expr {[dict get $info expiry] > 0 && [dict get $info keys] > 0}]
}

check "it follows what becomes of the keys" -only cachestorm {
    fill ""
    set before [meminfo]
    ask APPEND string [string repeat x 10000]
    near 20000 [value_of string] 25
    ask LTRIM list 0 0
    same 1 [expr {[value_of list] < 1000}] [value_of list]
    ask DEL hash
    same 0 [value_of hash]
    ask RENAME set [string repeat k 5000]
    same 1 [expr {[dict get [meminfo] keys] > [dict get $before keys] + 4000}]
    near [dict get $before values set] [value_of set]
    ask FLUSHALL
    same {string 0 list 0 set 0 zset 0 hash 0 stream 0} [dict get [meminfo] values]
}

check "data is what the allocator says it is" -only cachestorm {
    ask FLUSHALL SYNC
    set before [meminfo]
    for {set n 0} {$n < 200} {incr n} {
        fill $n:
    }
    set after [meminfo]
    set data [expr {[dict get $after data] - [dict get $before data]}]
    near [expr {[dict get $after total] - [dict get $before total]}] $data 5
}

check "of a namespace: its own part" -only cachestorm {
    ask NAMESPACE meminfo-a
    fill ""
    ask NAMESPACE meminfo-b
    ask SET k v
    set a [meminfo NAMESPACE meminfo-a]
    set b [meminfo namespace meminfo-b]
    same {total data keys values expiry tags} [dict keys $a]
    same [dict get $a total] [dict get $a data]
    parts_fit $a
    parts_fit $b
    same 1 [expr {[dict get $a data] > [dict get $b data] + 50000}]
    # The same as NAMESPACEINFO has it.
    same [dict get $a total] [dict get [figures [ask NAMESPACEINFO meminfo-a]] memory_bytes]
    ask NAMESPACEDEL meminfo-a
    ask NAMESPACEDEL meminfo-b
}

check "of a tag: its keys and itself" -only cachestorm {
    fill ""
    foreach key {string hash} {
        ask ADDTAG $key some
    }
    ask ADDTAG list other
    set some [meminfo TAG some]
    same {total data keys values expiry tags} [dict keys $some]
    parts_fit $some
    same [value_of hash] [dict get $some values hash]
    same [value_of string] [dict get $some values string]
    same 0 [dict get $some values list]
    same 1 [expr {[dict get $some tags] > 0 && [dict get $some tags] < [dict get [meminfo] tags]}]
    # It is that of the client's namespace.
    ask SELECT 1
    same 0 [dict get [meminfo TAG some] total]
    ask SELECT 0
    ask INVALIDATE some
    same 0 [dict get [meminfo TAG some] total]
}

# More keys than are looked at.
check "of a tag with many keys: an estimate" -only cachestorm {
    set commands ""
    for {set n 0} {$n < 6000} {incr n} {
        append commands "SETTAG key:$n [string repeat x 100] TAG many\r\n"
    }
    resp::raw [run::connection A] $commands
    for {set n 0} {$n < 6000} {incr n} {
        resp::read [run::connection A]
    }
    set many [meminfo TAG many]
    parts_fit $many
    near [value_of string] [dict get $many values string] 2
    near [dict get [meminfo] data] [dict get $many data]
}

check "in a transaction and in a script" -only cachestorm -needs {eval} {
    fill ""
    ask MULTI
    ask MEMINFO
    set info [figures [lindex [ask EXEC] 1 0]]
    parts_fit $info
    same [value_of hash] [dict get $info values hash]
    expect {"total"} [ask EVAL {return redis.call("MEMINFO")[1]} 0]
}

check "a large query or reply shows" -only cachestorm {
    resp::raw [run::connection B] "*2\r\n\$3\r\nGET\r\n\$1000000\r\n[string repeat x 400000]"
    eventually {[dict get [meminfo] connections query] > 300000}
    resp::raw [run::connection B] "[string repeat x 600000]\r\n"
    resp::read [run::connection B]
    eventually {[dict get [meminfo] connections query] < 300000}
}

case "arguments" -only cachestorm {
    MEMINFO x                 -> -ERR syntax error
    MEMINFO NAMESPACE         -> -ERR syntax error
    MEMINFO NAMESPACE a b     -> -ERR syntax error
    MEMINFO TAG               -> -ERR syntax error
    MEMINFO NAMESPACE nosuch  -> -ERR no such namespace
    COMMAND INFO meminfo      -> [["meminfo" :-1 ~[] :0 :0 :0 ~[+"@slow"] any any any]]
    COMMAND DOCS meminfo      -> {"meminfo" any}
}
