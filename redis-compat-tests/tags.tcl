# Tags: SETTAG, TAGS, INVALIDATE and their kin. Redis has none of them.

proc members {args} {
    return [lsort [lmap item [lindex [ask {*}$args] 1] {lindex $item 1}]]
}

# Gives many keys tags, without reading a reply at a time.
proc tag_many {prefix count args} {
    set c [run::connection A]
    for {set n 0} {$n < $count} {incr n 1000} {
        set text ""
        for {set i $n} {$i < min($n + 1000, $count)} {incr i} {
            append text [resp::encode [list SETTAG $prefix$i value TAG {*}$args]]
        }
        resp::raw $c $text
        for {set i $n} {$i < min($n + 1000, $count)} {incr i} {
            resp::read $c
        }
    }
}

proc tag_info {name} {
    regexp "\n$name:(\[^\r\]*)" [lindex [ask INFO tags] 1] all value
    return $value
}

case "SETTAG sets a key with tags" -only cachestorm {
    SETTAG k v TAG a b a            -> +OK
    GET k                           -> "v"
    TAGS k                          -> ~["a" "b"]
    SETTAG k w TAG c                -> +OK
    TAGS k                          -> ~["c"]
    SETTAG k x TAG c TAG d          -> +OK
    TAGS k                          -> ~["c" "d"]
    TAGS nokey                      -> nil*
    SET k y                         -> +OK
    TAGS k                          -> ~[]
    TTL k                           -> :-1
}

case "SETTAG has the options of SET, before and behind the tags" -only cachestorm {
    SETTAG k v EX 100 TAG a b NX    -> +OK
    TTL k                           -> :99..100
    TAGS k                          -> ~["a" "b"]
    SETTAG k w TAG c NX             -> nil
    TAGS k                          -> ~["a" "b"]
    SETTAG k w TAG c GET            -> "v"
    TAGS k                          -> ~["c"]
    TTL k                           -> :-1
    SETTAG k w PX 100000 TAG c      -> +OK
    SETTAG k x TAG c keepttl XX     -> +OK
    PTTL k                          -> :90000..100000
    SETTAG k x TAG c EXAT 32503680000 -> +OK
    EXPIRETIME k                    -> :32503680000
    SETTAG k x TAG c PXAT 32503680000123 -> +OK
    PEXPIRETIME k                   -> :32503680000123
    SETTAG n x XX TAG c             -> nil
    SETTAG n x TAG c GET            -> nil
    SETTAG k x TAG a EX 0           -> -ERR invalid expire time in 'settag' command
    SETTAG k x TAG a EX no          -> -ERR value is not an integer or out of range
    LPUSH list x                    -> :1
    SETTAG list x GET TAG a         -> -WRONGTYPE Operation against a key holding the wrong kind of value
    SETTAG list x TAG a             -> +OK
    TYPE list                       -> +string
}

case "SETTAG refuses what it does not understand" -only cachestorm {
    SETTAG k v TAG                  -> -ERR wrong number of arguments for 'settag' command
    SETTAG k v TAG TAG              -> -ERR syntax error
    SETTAG k v TAG EX 10            -> -ERR syntax error
    SETTAG k v EX 10                -> -ERR syntax error
    SETTAG k v NX GET               -> -ERR syntax error
    SETTAG k v a b                  -> -ERR syntax error
    SETTAG k v TAG a NX XX          -> -ERR syntax error
    SETTAG k v TAG a EX 10 b        -> -ERR syntax error
    SETTAG k v TAG a EX 10 PX 10    -> -ERR syntax error
    SETTAG k v TAG a ""             -> -ERR a tag must not be empty
    EXISTS k                        -> :0
    TAGCOUNT a                      -> :0
}

case "ADDTAG and REMTAG" -only cachestorm {
    ADDTAG k a                      -> -ERR no such key
    REMTAG k a                      -> -ERR no such key
    RPUSH k 1 2 3                   -> :3
    ADDTAG k a b a                  -> :2
    ADDTAG k b c                    -> :1
    ADDTAG k NX ex                  -> :2
    TAGS k                          -> ~["a" "b" "c" "NX" "ex"]
    REMTAG k x                      -> :0
    REMTAG k a NX ex NX             -> :3
    TAGS k                          -> ~["b" "c"]
    REMTAG k b c                    -> :2
    TAGS k                          -> ~[]
    LRANGE k 0 -1                   -> ["1" "2" "3"]
    ADDTAG k                        -> -ERR wrong number of arguments for 'addtag' command
    REMTAG k                        -> -ERR wrong number of arguments for 'remtag' command
    ADDTAG k ""                     -> -ERR a tag must not be empty
    REMTAG k ""                     -> -ERR a tag must not be empty
    TAGS k x                        -> -ERR wrong number of arguments for 'tags' command
}

check "a key has at most 255 tags" -only cachestorm {
    set tags {}
    for {set n 0} {$n < 256} {incr n} {
        lappend tags tag:$n
    }
    expect "-ERR a key can have at most 255 tags" [ask SETTAG k v TAG {*}$tags]
    expect :0 [ask EXISTS k]
    expect +OK [ask SETTAG k v TAG {*}[lrange $tags 1 end]]
    same 255 [llength [members TAGS k]]
    expect "-ERR a key can have at most 255 tags" [ask ADDTAG k tag:1 tag:0]
    expect :0 [ask ADDTAG k {*}[lrange $tags 1 end]]
    expect :255 [ask REMTAG k {*}$tags]
    expect :1 [ask ADDTAG k tag:0]
}

case "TAGKEYS and TAGCOUNT" -only cachestorm {
    SETTAG a 1 TAG t                -> +OK
    SETTAG b 1 TAG t u              -> +OK
    HSET h f v                      -> :1
    ADDTAG h t                      -> :1
    TAGKEYS t                       -> ~["a" "b" "h"]
    TAGKEYS u                       -> ~["b"]
    TAGKEYS nosuch                  -> ~[]
    TAGCOUNT t                      -> :3
    TAGCOUNT nosuch                 -> :0
    DEL b                           -> :1
    TAGCOUNT t                      -> :2
    TAGCOUNT u                      -> :0
    TAGKEYS ""                      -> -ERR a tag must not be empty
    TAGCOUNT ""                     -> -ERR a tag must not be empty
    TAGKEYS                         -> -ERR wrong number of arguments for 'tagkeys' command
    TAGCOUNT a b                    -> -ERR wrong number of arguments for 'tagcount' command
    SELECT 1                        -> +OK
    TAGCOUNT t                      -> :0
}

case "tags go where their keys go" -only cachestorm {
    SETTAG k v TAG a b              -> +OK
    EXPIRE k 100                    -> :1
    PERSIST k                       -> :1
    APPEND k w                      -> :2
    SETRANGE k 1000 x               -> :1001
    TAGS k                          -> ~["a" "b"]
    SETTAG n 1 TAG a                -> +OK
    INCR n                          -> :2
    INCRBYFLOAT n 1.5               -> "3.5"
    TAGS n                          -> ~["a"]
    GETSET n 5                      -> "3.5"
    TAGS n                          -> ~[]
    SETTAG n 1 TAG a                -> +OK
    SET n 1 KEEPTTL                 -> +OK
    TAGS n                          -> ~[]
    RENAME k l                      -> +OK
    TAGKEYS a                       -> ~["l"]
    COPY l m                        -> :1
    COPY l l DB 1                   -> :1
    TAGKEYS a                       -> ~["l" "m"]
    MOVE m 2                        -> :1
    TAGKEYS a                       -> ~["l"]
    SELECT 1                        -> +OK
    TAGS l                          -> ~["a" "b"]
    SELECT 2                        -> +OK
    TAGKEYS b                       -> ~["m"]
    SWAPDB 0 2                      -> +OK
    TAGKEYS a                       -> ~["l"]
    FLUSHDB                         -> +OK
    TAGCOUNT a                      -> :0
    SELECT 0                        -> +OK
    TAGKEYS a                       -> ~["m"]
    PEXPIRE m -1                    -> :1
    TAGCOUNT a                      -> :0
    SADD s 1                        -> :1
    ADDTAG s a                      -> :1
    SADD s 2 3 x                    -> :3
    TAGS s                          -> ~["a"]
    SPOP s 4                        -> ?["1" "2" "3" "x"]
    TAGCOUNT a                      -> :0
    SADD s 1                        -> :1
    SADD t 1                        -> :1
    ADDTAG s a                      -> :1
    SINTERSTORE s s t               -> :1
    TAGS s                          -> ~[]
}

case "INVALIDATE deletes all keys of tags" -only cachestorm {
    SETTAG a 1 TAG t                -> +OK
    SETTAG b 1 TAG t u              -> +OK
    SETTAG c 1 TAG u v              -> +OK
    SETTAG d 1 TAG w                -> +OK
    ZADD z 1 x                      -> :1
    ADDTAG z t                      -> :1
    INVALIDATE t u                  -> :4
    EXISTS a b c z                  -> :0
    KEYS *                          -> ["d"]
    DBSIZE                          -> :1
    TAGCOUNT v                      -> :0
    INVALIDATE t u nosuch           -> :0
    INVALIDATE w w                  -> :1
    DBSIZE                          -> :0
    SETTAG a 1 TAG t                -> +OK
    TAGINVALIDATE t                 -> :1
    INVALIDATE                      -> -ERR wrong number of arguments for 'invalidate' command
    INVALIDATE a ""                 -> -ERR a tag must not be empty
    TAGINVALIDATE                   -> -ERR wrong number of arguments for 'taginvalidate' command
    TAGINVALIDATE ""                -> -ERR a tag must not be empty
    TAGINVALIDATE t CASCADING       -> -ERR syntax error
    TAGINVALIDATE t CASCADE x       -> -ERR syntax error
}

case "what has expired is not counted" -only cachestorm {
    DEBUG SET-ACTIVE-EXPIRE 0       -> +OK
    SETTAG a 1 TAG t                -> +OK
    SETTAG b 1 PXAT 1 TAG t         -> +OK
    TAGKEYS t                       -> ~["a"]
    INVALIDATE t                    -> :1
    DEBUG SET-ACTIVE-EXPIRE 1       -> +OK
}

case "links, and CASCADE" -only cachestorm {
    TAGLINK animals dogs            -> +OK
    TAGLINK animals cats            -> +OK
    TAGLINK dogs poodles            -> +OK
    TAGLINK dogs poodles            -> +OK
    TAGLINK pets dogs               -> +OK
    TAGCHILDREN animals             -> ~["dogs" "cats"]
    TAGCHILDREN poodles             -> ~[]
    TAGCHILDREN nosuch              -> ~[]
    TAGLINK poodles animals         -> -ERR tag link would create a cycle
    TAGLINK dogs dogs               -> -ERR tag link would create a cycle
    TAGLINK new new                 -> -ERR tag link would create a cycle
    SETTAG a 1 TAG animals          -> +OK
    SETTAG d 1 TAG dogs             -> +OK
    SETTAG p 1 TAG poodles pets     -> +OK
    TAGINVALIDATE animals           -> :1
    TAGCHILDREN animals             -> ~["dogs" "cats"]
    SETTAG a 1 TAG animals          -> +OK
    TAGINVALIDATE animals CASCADE   -> :3
    DBSIZE                          -> :0
    TAGCHILDREN dogs                -> ~["poodles"]
    TAGUNLINK dogs poodles          -> :1
    TAGUNLINK dogs poodles          -> :0
    TAGUNLINK nosuch dogs           -> :0
    TAGCHILDREN dogs                -> ~[]
    TAGLINK poodles animals         -> +OK
    SELECT 1                        -> +OK
    TAGCHILDREN animals             -> ~[]
    SELECT 0                        -> +OK
    FLUSHDB                         -> +OK
    TAGCHILDREN animals             -> ~[]
    TAGLINK a                       -> -ERR wrong number of arguments for 'taglink' command
    TAGLINK a ""                    -> -ERR a tag must not be empty
    TAGLINK "" a                    -> -ERR a tag must not be empty
    TAGUNLINK a                     -> -ERR wrong number of arguments for 'tagunlink' command
    TAGUNLINK a ""                  -> -ERR a tag must not be empty
    TAGUNLINK "" a                  -> -ERR a tag must not be empty
    TAGCHILDREN                     -> -ERR wrong number of arguments for 'tagchildren' command
    TAGCHILDREN ""                  -> -ERR a tag must not be empty
}

check "very many tags are invalidated as one" -only cachestorm -config {appendonly yes} {
    set c [run::connection A]
    set all {}
    for {set n 0} {$n < 3000} {incr n} {
        lappend all tag:$n
    }
    # Half of them are children of one, and the others are below these.
    proc link_all {c all} {
        foreach name $all {
            scan $name tag:%d n
            resp::send $c [list TAGLINK [expr {$n % 2 ? "root" : "tag:[expr {$n + 1}]"}] $name]
        }
        foreach name $all {
            resp::read $c
        }
    }
    proc tag_all {c all} {
        foreach name $all {
            resp::send $c [list SETTAG key:$name v TAG $name]
        }
        foreach name $all {
            resp::read $c
        }
        resp::send $c {SETTAG both v TAG tag:1 tag:2}
        resp::read $c
        resp::send $c {SETTAG other v TAG other}
        resp::read $c
    }
    eventually {[string match *aof_rewrite_in_progress:0* [lindex [ask INFO persistence] 1]]}
    link_all $c $all
    foreach {what command} [list cascade {TAGINVALIDATE root CASCADE} names [list INVALIDATE {*}$all nosuch tag:1]] {
        tag_all $c $all
        expect :3002 [ask DBSIZE]
        expect :3001 [ask {*}$command] $what
        expect :1 [ask DBSIZE] $what
        expect nil [ask GET key:tag:17] $what
        expect {~["other"]} [ask TAGKEYS other] $what
        expect :0 [ask TAGCOUNT tag:1] $what
        expect :0 [ask {*}$command] "$what, again"
        # In a transaction, too, and in a script.
        tag_all $c $all
        ask MULTI
        ask {*}$command
        ask DBSIZE
        expect {[:3001 :1]} [ask EXEC] "$what in a transaction"
        tag_all $c $all
        expect :3001 [ask EVAL {return redis.call(unpack(ARGV))} 0 {*}$command] "$what in a script"
        # What other clients ask for behind it finds it done.
        tag_all $c $all
        resp::send $c $command
        resp::send $c {TAGLINK tag:0 leaf}
        resp::send $c {TAGUNLINK tag:0 leaf}
        resp::send $c {SETTAG new v TAG tag:0}
        resp::send $c {TAGCOUNT tag:0}
        same {{: 3001} {+ OK} {: 1} {+ OK} {: 1}} [lmap n {1 2 3 4 5} {resp::read $c}]
        expect :2 [ask DBSIZE] $what
        eventually {[tag_info tag_unswept_memberships] == 0}
        expect +OK [ask DEBUG LOADAOF]
        same {2 1} [list [lindex [ask DBSIZE] 1] [lindex [ask TAGCOUNT tag:0] 1]] "$what, from the file"
        expect +OK [ask DEBUG RELOAD]
        same {1500 3000} [list [llength [members TAGCHILDREN root]] [tag_info tag_links]] "links from a snapshot"
        ask DEL new
    }
}

case "a tag without keys and links does not exist" -only cachestorm {
    SETTAG k 1 TAG a b              -> +OK
    TAGLINK c d                     -> +OK
    TAGSCAN 0                       -> ["0" ?["a" "b" "c" "d"]]
    REMTAG k a                      -> :1
    TAGUNLINK c d                   -> :1
    TAGLINK e e                     -> -ERR tag link would create a cycle
    TAGSCAN 0                       -> ["0" ["b"]]
    DEL k                           -> :1
    TAGSCAN 0                       -> ["0" []]
    TAGLINK c d                     -> +OK
    INVALIDATE c                    -> :0
    TAGSCAN 0                       -> ["0" ?["c" "d"]]
}

check "TAGSCAN finds all tags, and all keys of one" -only cachestorm {
    for {set n 0} {$n < 2000} {incr n} {
        ask SETTAG key:$n v TAG all tag:[expr {$n % 700}]
    }
    foreach {options expected} {
        {} 701  {COUNT 100} 701  {MATCH tag:1* COUNT 50} 111  {KEYS all} 2000  {KEYS all COUNT 33} 2000
        {KEYS all MATCH key:1* COUNT 500} 1111  {KEYS tag:3} 3  {KEYS nosuch} 0  {COUNT 9223372036854775807} 701
    } {
        set found {}
        set cursor 0
        set calls 0
        while 1 {
            lassign [lindex [ask TAGSCAN $cursor {*}$options] 1] next names
            lappend found {*}[lmap item [lindex $names 1] {lindex $item 1}]
            set cursor [lindex $next 1]
            incr calls
            if {$cursor eq "0"} break
        }
        same $expected [llength [lsort -unique $found]] "TAGSCAN 0 $options"
        same $expected [llength $found] "TAGSCAN 0 $options, without repetitions"
    }
}

case "TAGSCAN refuses what it does not understand" -only cachestorm {
    TAGSCAN                         -> -ERR wrong number of arguments for 'tagscan' command
    TAGSCAN x                       -> -ERR invalid cursor
    TAGSCAN 0 COUNT                 -> -ERR syntax error
    TAGSCAN 0 COUNT 0               -> -ERR syntax error
    TAGSCAN 0 COUNT x               -> -ERR value is not an integer or out of range
    TAGSCAN 0 TYPE string           -> -ERR syntax error
    TAGSCAN 0 KEYS ""               -> -ERR a tag must not be empty
    TAGSCAN 123456789 KEYS nosuch   -> ["0" []]
}

check "a large tag is gone at once, and its memory soon" -only cachestorm {
    ask CONFIG RESETSTAT
    tag_many key 20000 t
    tag_many other 100 u
    same {20100 1} [list [tag_info tag_memberships] [expr {[tag_info tag_bytes] > 20000 * 16}]]
    expect :20000 [ask INVALIDATE t]
    expect :100 [ask DBSIZE]
    expect :0 [ask TAGCOUNT t]
    expect :0 [ask EXISTS key1 key2 key19999]
    expect nil [ask GET key7]
    expect {["0" []]} [ask TAGSCAN 0 KEYS t]
    same 1 [string match other* [lindex [ask RANDOMKEY] 1]]
    same 100 [llength [members KEYS *]]
    expect +OK [ask SETTAG key1 new TAG t]
    expect {~["key1"]} [ask TAGKEYS t]
    eventually {[tag_info tag_unswept_memberships] == 0}
    expect "\"new\"" [ask GET key1]
    expect :101 [ask DBSIZE]
    same {101 2 1} [list [tag_info tag_memberships] [tag_info tags] [tag_info tag_invalidations]]
    same 20000 [tag_info tag_invalidated_keys]
}

check "keys under several tags that go at once are counted once" -only cachestorm {
    tag_many a 3000 t all
    tag_many b 3000 u all
    tag_many ab 3000 t u
    tag_many c 1000 all
    expect :9000 [ask INVALIDATE t u]
    expect :1000 [ask DBSIZE]
    expect :1000 [ask TAGCOUNT all]
    expect :0 [ask TAGCOUNT u]
    tag_many a 3000 t all
    # Others wait for what they must know, and see all or nothing.
    set b [run::connection B]
    resp::send [run::connection A] {INVALIDATE t}
    resp::send $b {TAGCOUNT all}
    resp::send [run::connection C] {INVALIDATE all}
    expect :3000 [resp::read [run::connection A]]
    set counted [lindex [resp::read $b] 1]
    same 1 [expr {$counted in {1000 4000 0}}] "TAGCOUNT all: $counted"
    set gone [lindex [resp::read [run::connection C]] 1]
    same 1 [expr {$gone in {1000 4000}}] "INVALIDATE all: $gone"
    expect :0 [ask DBSIZE]
}

check "in a transaction the count is known at once" -only cachestorm {
    tag_many a 3000 t all
    tag_many b 3000 u all
    tag_many ab 3000 t u
    ask MULTI
    ask INVALIDATE t u
    ask DBSIZE
    ask INVALIDATE all
    expect {[:9000 :0 :0]} [ask EXEC]
}

check "who waits for a count can go" -only cachestorm {
    tag_many a 5000 t all
    tag_many b 5000 u all
    set b [run::connection B]
    resp::send $b {CLIENT ID}
    set id [lindex [resp::read $b] 1]
    resp::send $b {INVALIDATE t u}
    resp::raw $b [resp::encode PING]
    expect :0 [ask CLIENT UNBLOCK $id]
    expect :10000 [resp::read $b]
    expect +PONG [resp::read $b]
    tag_many a 5000 t all
    tag_many b 5000 u all
    resp::raw [run::connection C] [resp::encode {INVALIDATE t u}]
    run::disconnect
    eventually {[lindex [ask DBSIZE] 1] == 0}
    same 0 [tag_info tag_waiting_clients]
}

case "EXEC does not run after an invalidation of a watched key" -only cachestorm {
    SETTAG k v TAG t                -> +OK
    WATCH k                         -> +OK
    B: INVALIDATE t                 -> :1
    A: MULTI                        -> +OK
    A: PING                         -> +QUEUED
    A: EXEC                         -> nil*
    A: WATCH k                      -> +OK
    B: INVALIDATE t                 -> :0
    A: MULTI                        -> +OK
    A: PING                         -> +QUEUED
    A: EXEC                         -> [+PONG]
    SETTAG k v TAG t                -> +OK
    WATCH k                         -> +OK
    B: ADDTAG k u                   -> :1
    A: MULTI                        -> +OK
    A: EXEC                         -> nil*
}

check "EXEC sees keys that are dead but not removed" -only cachestorm {
    tag_many key 20000 t
    ask WATCH key10
    resp::send [run::connection B] {INVALIDATE t}
    expect :20000 [resp::read [run::connection B]]
    ask MULTI
    ask PING
    expect nil* [ask EXEC]
}

check "trackers are told of each key" -only cachestorm {
    if {$run::protocol == 3} {
        ask SETTAG a v TAG t
        ask CLIENT TRACKING ON
        ask GET a
        resp::send [run::connection B] {INVALIDATE t}
        expect :1 [resp::read [run::connection B]]
        expect {>["invalidate" ["a"]]} [resp::read [run::connection A]]
        ask CLIENT TRACKING OFF
    }
}

check "who invalidates a tag is told of its keys, even with NOLOOP" -only cachestorm {
    if {$run::protocol == 3} {
        foreach mode {{} BCAST} {
            ask CLIENT TRACKING ON NOLOOP {*}$mode
            foreach command {INVALIDATE TAGINVALIDATE} {
                ask SETTAG a v TAG t
                ask GET a
                expect :1 [ask $command t]
                expect {>["invalidate" ["a"]]} [resp::read [run::connection A]] "$command $mode"
            }
            ask CLIENT TRACKING OFF
        }
    }
}

check "notifications tell of keys and of tags" -only cachestorm -config {notify-keyspace-events KEi} {
    ask SETTAG a v TAG t u
    ask SETTAG b v TAG t
    ask TAGLINK t u
    set c [run::connection EVENTS]
    resp::send $c {PSUBSCRIBE __*}
    resp::read $c
    ask INVALIDATE t
    ask SETTAG a v TAG u
    ask TAGINVALIDATE t CASCADE
    ask INVALIDATE none
    ask SET k v
    set got {}
    foreach n {1 2 3 4 5 6 7 8 9 10} {
        set message [lindex [resp::read $c] 1]
        lappend got [lindex $message 2 1] [lindex $message 3 1]
    }
    same [list {*}{
        __keyevent@0__:invalidated a __keyevent@0__:invalidated a __keyevent@0__:invalidated b
        __keyspace@0__:a invalidated __keyspace@0__:a invalidated __keyspace@0__:b invalidated
        __tagevent@0__:none 0 __tagevent@0__:t 1 __tagevent@0__:t 2 __tagevent@0__:u 1
    }] [concat {*}[lsort [lmap {channel text} $got {list $channel $text}]]]
}

check "the class of invalidations is part of all" -only cachestorm {
    expect +OK [ask CONFIG SET notify-keyspace-events AE]
    expect "\"AE\"" [lindex [ask CONFIG GET notify-keyspace-events] 1 1]
    expect +OK [ask CONFIG SET notify-keyspace-events Ei]
    expect "\"iE\"" [lindex [ask CONFIG GET notify-keyspace-events] 1 1]
    expect +OK [ask CONFIG SET notify-keyspace-events ""]
}

check "tags are in snapshots, and in the append-only file" -only cachestorm -server {--appendonly yes --aof-use-rdb-preamble no} {
    ask SETTAG a 1 TAG t u 12345
    ask RPUSH list 1 2 3
    ask ADDTAG list "a tag\r\n"
    ask SETTAG gone 1 PX 1 TAG t
    ask SET none 1
    # What is written of it is SET, which takes tags away.
    ask INCRBYFLOAT a 0.5
    ask TAGLINK t child
    ask SELECT 3
    ask SETTAG b 1 EX 1000 TAG t
    ask TAGLINK x y
    ask SELECT 0
    proc state {} {
        set state [list [members TAGS a] [members TAGS list] [members TAGKEYS t] [members TAGCHILDREN t] [members TAGS none]]
        ask SELECT 3
        lappend state [members TAGKEYS t] [members TAGCHILDREN x]
        ask SELECT 0
        return $state
    }
    eventually {[lindex [ask EXISTS gone] 1] == 0}
    set before [state]
    same [list {12345 t u} [list "a tag\r\n"] a child {} b y] $before
    expect +OK [ask DEBUG RELOAD]
    same $before [state] "after DEBUG RELOAD"
    expect +OK [ask DEBUG LOADAOF]
    same $before [state] "after DEBUG LOADAOF"
    expect {any} [ask BGREWRITEAOF]
    eventually {[string match "*aof_rewrite_in_progress:0*" [lindex [ask INFO persistence] 1]]}
    expect +OK [ask DEBUG LOADAOF]
    same $before [state] "after a rewrite as commands"
    ask CONFIG SET aof-use-rdb-preamble yes
    expect {any} [ask BGREWRITEAOF]
    eventually {[string match "*aof_rewrite_in_progress:0*" [lindex [ask INFO persistence] 1]]}
    ask INVALIDATE u
    ask SETTAG a 1 EX 1000 TAG u
    ask TAGUNLINK t child
    set before [state]
    expect +OK [ask DEBUG LOADAOF]
    same $before [state] "after a rewrite as a snapshot, and more"
    ask SAVE
    set dir $server::dir($run::server)
    set tool [server::new_dir]/redis-check-rdb
    file link -symbolic $tool $server::binary
    set said [exec -ignorestderr timeout 20 $tool $dir/dump.rdb 2>@1]
    same 1 [string match "*3 keys with tags*1 links of tags*" $said] $said
}

check "a large invalidation is one command in the append-only file" -only cachestorm -server {--appendonly yes} {
    tag_many key 3000 t all
    tag_many lone 10 u
    expect :3000 [ask INVALIDATE t all]
    expect :10 [ask DBSIZE]
    expect +OK [ask DEBUG LOADAOF]
    expect :10 [ask DBSIZE]
    set f [open [lindex [glob $server::dir($run::server)/appendonlydir/*.incr.aof] 0] rb]
    set text [read $f]
    close $f
    same 1 [regexp -all {INVALIDATE\r\n\$1\r\nt\r\n\$3\r\nall} $text]
    same 0 [regexp -all {DEL\r\n} $text]
}

check "the commands are declared in full" -only cachestorm {
    set names {settag tags addtag remtag tagkeys tagcount tagscan invalidate taginvalidate taglink tagunlink tagchildren}
    same [lsort $names] [members ACL CAT tag]
    foreach name $names {
        set documented [lindex [ask COMMAND DOCS $name] 1 1 1]
        same 1 [expr {[llength $documented] >= 10}] "COMMAND DOCS $name"
    }
    expect {["k"]} [ask COMMAND GETKEYS SETTAG k v TAG a]
    expect {["k"]} [ask COMMAND GETKEYS ADDTAG k a]
    expect +OK [ask ACL SETUSER tagless on nopass ~* +@all -@tag]
    expect +OK [ask AUTH tagless x]
    expect "-NOPERM User tagless has no permissions to run the 'invalidate' command" [ask INVALIDATE t]
    run::disconnect
    expect :1 [ask ACL DELUSER tagless]
    # Keys that are not named are kept by no pattern of keys.
    expect +OK [ask ACL SETUSER careful on nopass ~app:* +@all -@dangerous]
    expect +OK [ask AUTH careful x]
    foreach name {invalidate taginvalidate} {
        expect "-NOPERM User careful has no permissions to run the '$name' command" [ask $name t]
    }
    expect "-NOPERM No permissions to access a key" [ask TAGS other]
    run::disconnect
    expect +OK [ask ACL SETUSER careful resetkeys %W~* %R~app:*]
    expect +OK [ask AUTH careful x]
    expect "-NOPERM No permissions to access a key" [ask TAGS other]
    run::disconnect
    expect :1 [ask ACL DELUSER careful]
}

case "scripts can use tags" -only cachestorm -needs {eval} {
    EVAL "redis.call('SETTAG', KEYS[1], 'v', 'TAG', 'a', 'b') return redis.call('TAGCOUNT', 'a')" 1 k  -> :1
    EVAL "return redis.call('INVALIDATE', 'b')" 0                -> :1
    DBSIZE                                                       -> :0
}
