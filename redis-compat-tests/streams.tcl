# Streams: entries and their IDs, trimming by nodes, reading and waiting, consumer groups, and what XINFO tells.

# A field of INFO.
proc info_field {name} {
    regexp "(?n)^$name:(.*?)\r?$" [lindex [ask INFO clients] 1] all value
    return $value
}

# A command on a connection of its own, which waits when this returns.
proc wait_in {name args} {
    set ::blocked_wanted [expr {[info_field blocked_clients] + 1}]
    resp::send [run::connection $name] $args
    eventually {[info_field blocked_clients] == $::blocked_wanted}
}

# Expects the next reply on a connection.
proc then {name notation} {
    expect $notation [resp::read [run::connection $name]] $name
}

# Expects what XREAD answers of one stream, which is a map in RESP3 and a list of pairs in RESP2.
proc then_of {name key entries} {
    then $name [expr {$run::protocol == 3 ? "{\"$key\" $entries}" : "\[\[\"$key\" $entries\]\]"}]
}

# Adds entries 1-0 to N-0.
proc fill {key count} {
    for {set ms 1} {$ms <= $count} {incr ms} {
        ask XADD $key $ms-0 n $ms
    }
}

# The value of a field in a map of XINFO.
proc told {reply field} {
    foreach {name value} [lindex $reply 1] {
        if {[lindex $name 1] eq $field} {
            return [lindex $value 1]
        }
    }
}

# --- entries -----------------------------------------------------------------------

case "IDs of new entries" {
    XADD s 5-3 a 1            -> "5-3"
    XADD s 5-3 a 1            -> -ERR The ID specified in XADD is equal or smaller than the target stream top item
    XADD s 5 a 1              -> -ERR The ID specified in XADD is equal or smaller than the target stream top item
    XADD s 5-* a 1            -> "5-4"
    XADD s 4-* a 1            -> -ERR The ID specified in XADD is equal or smaller than the target stream top item
    XADD s 6 a 1              -> "6-0"
    XADD s 7-* a 1            -> "7-0"
    XADD s 9000000000000000000-18446744073709551615 a 1 -> "9000000000000000000-18446744073709551615"
    XADD s 9000000000000000000-* a 1 -> -ERR The ID specified in XADD is equal or smaller than the target stream top item
    XADD s * a 1              -> "9000000000000000001-0"
    XADD s 18446744073709551615-18446744073709551615 a 1 -> "18446744073709551615-18446744073709551615"
    XADD s * a 1              -> -ERR The stream has exhausted the last possible ID, unable to add more items
    XLEN s                    -> :7
    XADD new 0-0 a 1          -> -ERR The ID specified in XADD must be greater than 0-0
    XADD new 0-* a 1          -> "0-1"
    XADD now * a 1            -> /^\d{13}-0$/
    TYPE s                    -> +stream
    OBJECT ENCODING s         -> "stream"
    SCAN 0 TYPE stream MATCH now -> ["0" ["now"]]
}

case "what is no ID, and no command" {
    XADD s x a 1              -> -ERR Invalid stream ID specified as stream command argument
    XADD s - a 1              -> -ERR Invalid stream ID specified as stream command argument
    XADD s 1-2-3 a 1          -> -ERR Invalid stream ID specified as stream command argument
    XADD s 18446744073709551616-0 a 1 -> -ERR Invalid stream ID specified as stream command argument
    XADD s * a                -> -ERR wrong number of arguments for 'xadd' command
    XADD s * a 1 b            -> -ERR wrong number of arguments for 'xadd' command
    XADD s MAXLEN -1 * a 1    -> -ERR The MAXLEN argument must be >= 0.
    XADD s MAXLEN x * a 1     -> -ERR value is not an integer or out of range
    XADD s MAXLEN 1 MINID 1 * a 1 -> -ERR syntax error, MAXLEN and MINID options at the same time are not compatible
    XADD s LIMIT 1 * a 1      -> -ERR syntax error, LIMIT cannot be used without specifying a trimming strategy
    XADD s MAXLEN 1 LIMIT 1 * a 1 -> -ERR syntax error, LIMIT cannot be used without the special ~ option
    XADD s MAXLEN ~ 1 LIMIT -1 * a 1 -> -ERR The LIMIT argument must be >= 0.
    XTRIM s LIMIT 0           -> -ERR syntax error, XTRIM must be called with a trimming strategy
    XTRIM s MAXLEN 1 x        -> -ERR syntax error
    XADD s NOMKSTREAM * a 1   -> nil
    EXISTS s                  -> :0
    SET t x                   -> +OK
    XADD t * a 1              -> -WRONGTYPE Operation against a key holding the wrong kind of value
    XLEN t                    -> -WRONGTYPE Operation against a key holding the wrong kind of value
    XRANGE t - +              -> -WRONGTYPE Operation against a key holding the wrong kind of value
    XDEL t 1                  -> -WRONGTYPE Operation against a key holding the wrong kind of value
    XREAD STREAMS t 0         -> -WRONGTYPE Operation against a key holding the wrong kind of value
}

case "ranges" {
    XADD s 1-0 a 1 b 2        -> "1-0"
    XADD s 1-1 a 3 b 4        -> "1-1"
    XADD s 2-0 other x        -> "2-0"
    XADD s 3-5 a 1 a 1        -> "3-5"
    XRANGE s - +              -> [["1-0" ["a" "1" "b" "2"]] ["1-1" ["a" "3" "b" "4"]] ["2-0" ["other" "x"]] ["3-5" ["a" "1" "a" "1"]]]
    XREVRANGE s + - COUNT 2   -> [["3-5" ["a" "1" "a" "1"]] ["2-0" ["other" "x"]]]
    XRANGE s 1 1              -> [["1-0" any] ["1-1" any]]
    XRANGE s (1-0 (3-5        -> [["1-1" any] ["2-0" any]]
    XREVRANGE s (3-5 (1-0     -> [["2-0" any] ["1-1" any]]
    XRANGE s 2 1              -> []
    XRANGE s - + COUNT 0      -> nil*
    XRANGE s - + COUNT -5     -> nil*
    XRANGE none - + COUNT 0   -> []
    XRANGE s - + COUNT        -> -ERR syntax error
    XRANGE s ( +              -> -ERR Invalid stream ID specified as stream command argument
    XRANGE s (- +             -> -ERR Invalid stream ID specified as stream command argument
    XRANGE s (18446744073709551615-18446744073709551615 + -> -ERR invalid start ID for the interval
    XRANGE s - (0             -> []
    XRANGE s - (0-0           -> -ERR invalid end ID for the interval
}

case "deleted entries" {
    XADD s 1 a 1              -> "1-0"
    XADD s 2 a 2              -> "2-0"
    XADD s 3 a 3              -> "3-0"
    XDEL s 1 2 2 9            -> :2
    XDEL s x 3                -> -ERR Invalid stream ID specified as stream command argument
    XRANGE s - +              -> [["3-0" ["a" "3"]]]
    XDEL s 3                  -> :1
    XLEN s                    -> :0
    EXISTS s                  -> :1
    XRANGE s - +              -> []
    XADD s 3-* a 4            -> "3-1"
    XDEL none x               -> :0
}

check "trimming by number and by ID takes whole nodes or parts" -config {stream-node-max-entries 10} {
    foreach {trim removed first} {
        {MAXLEN 25}              10 11-0
        {MAXLEN = 25}            10 11-0
        {MAXLEN ~ 25}            10 11-0
        {MAXLEN 22}              13 14-0
        {MAXLEN ~ 22}            10 11-0
        {MAXLEN ~ 0}             35 {}
        {MAXLEN ~ 0 LIMIT 25}    20 21-0
        {MAXLEN ~ 0 LIMIT 9}     0  1-0
        {MAXLEN ~ 0 LIMIT 0}     35 {}
        {MINID 14}               13 14-0
        {MINID ~ 14}             10 11-0
        {MINID ~ 21}             20 21-0
        {MINID 100}              35 {}
        {MAXLEN 100}             0  1-0
    } {
        ask DEL s
        fill s 35
        expect :$removed [ask XTRIM s {*}$trim] $trim
        set entry [lindex [ask XRANGE s - + COUNT 1] 1]
        same $first [lindex $entry 0 1 0 1] $trim
    }
    ask DEL s
    fill s 30
    expect {"31-0"} [ask XADD s MAXLEN ~ 11 31 n x]
    expect :11 [ask XLEN s]
    expect {"32-0"} [ask XADD s MINID 30 32 n x]
    expect {[["30-0" any] ["31-0" any] ["32-0" any]]} [ask XRANGE s - +]
}

check "nodes end by their entries and by their bytes" -config {stream-node-max-bytes 200} {
    foreach {entries bytes nodes} {10 200 4  0 200 3  10 0 4  100 4096 1} {
        ask CONFIG SET stream-node-max-entries $entries stream-node-max-bytes $bytes
        ask DEL s
        fill s 40
        same $nodes [told [ask XINFO STREAM s] radix-tree-keys] "$entries entries, $bytes bytes"
    }
    ask CONFIG SET stream-node-max-entries 100
}

case "XSETID" {
    XADD s 5 a 1              -> "5-0"
    XSETID s 4                -> -ERR The ID specified in XSETID is smaller than the target stream top item
    XSETID s 7 ENTRIESADDED 0 -> -ERR The entries_added specified in XSETID is smaller than the target stream length
    XSETID s 7 ENTRIESADDED -1 -> -ERR entries_added must be positive
    XSETID s 7 MAXDELETEDID 8 -> -ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id
    XSETID s 7 ENTRIESADDED 9 MAXDELETEDID 6 -> +OK
    XSETID s 5                -> -ERR The ID specified in XSETID is smaller than current max_deleted_entry_id
    XSETID s 7 x              -> -ERR syntax error
    XSETID none 1             -> -ERR no such key
    XINFO STREAM s            -> {"length" :1 "radix-tree-keys" :1 "radix-tree-nodes" :2 "last-generated-id" "7-0" "max-deleted-entry-id" "6-0" "entries-added" :9 "recorded-first-entry-id" "5-0" "groups" :0 "first-entry" ["5-0" ["a" "1"]] "last-entry" ["5-0" ["a" "1"]]}
    XADD s 7-* a 1            -> "7-1"
}

case "copies are of their own" {
    XADD s 1 a 1              -> "1-0"
    XGROUP CREATE s g 0       -> +OK
    [2] XREADGROUP GROUP g c STREAMS s > -> [["s" [["1-0" ["a" "1"]]]]]
    [3] XREADGROUP GROUP g c STREAMS s > -> {"s" [["1-0" ["a" "1"]]]}
    COPY s t                  -> :1
    XACK s g 1                -> :1
    XADD s 2 a 2              -> "2-0"
    XPENDING s g              -> [:0 nil nil nil*]
    XPENDING t g              -> [:1 "1-0" "1-0" [["c" "1"]]]
    XLEN t                    -> :1
}

# --- reading -----------------------------------------------------------------------

case "several streams at once" {
    XADD a 1 n 1              -> "1-0"
    XADD a 2 n 2              -> "2-0"
    XADD b 1 n 3              -> "1-0"
    [2] XREAD STREAMS a b none 1 0 0 -> [["a" [["2-0" ["n" "2"]]]] ["b" [["1-0" ["n" "3"]]]]]
    [3] XREAD STREAMS a b none 1 0 0 -> {"a" [["2-0" ["n" "2"]]] "b" [["1-0" ["n" "3"]]]}
    [2] XREAD COUNT 1 STREAMS a b 0 1 -> [["a" [["1-0" ["n" "1"]]]]]
    [3] XREAD COUNT 1 STREAMS a b 0 1 -> {"a" [["1-0" ["n" "1"]]]}
    [2] XREAD STREAMS a b + + -> [["a" [["2-0" any]]] ["b" [["1-0" any]]]]
    [3] XREAD STREAMS a b + + -> {"a" [["2-0" any]] "b" [["1-0" any]]}
    XREAD STREAMS a b $ $     -> nil*
    XREAD STREAMS a b 0       -> -ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.
    XREAD STREAMS a >         -> -ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.
    XREAD GROUP g c STREAMS a 0 -> -ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.
    XREAD NOACK STREAMS a 0   -> -ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.
    XREAD COUNT 1 BLOCK 1     -> -ERR syntax error
    XREAD COUNT x STREAMS a 0 -> -ERR value is not an integer or out of range
    XREAD BLOCK x STREAMS a 0 -> -ERR timeout is not an integer or out of range
    XREAD BLOCK -1 STREAMS a 0 -> -ERR timeout is negative
    XREAD BLOCK 9223372036854775807 STREAMS a 0 -> -ERR timeout is out of range
    XREAD BLOCK 1 STREAMS a $ -> nil*
    XGROUP CREATE empty g $ MKSTREAM -> +OK
    XREAD STREAMS empty +     -> -ERR the stream last element ID is 0-0
}

check "an entry serves all who wait for it" {
    ask XADD s 1 n 1
    wait_in B XREAD BLOCK 0 STREAMS s $
    wait_in C XREAD BLOCK 0 COUNT 1 STREAMS none s 0 1
    wait_in D XREAD BLOCK 0 STREAMS s 5
    ask XDEL s 1
    ask XADD s 2 n 2
    then_of B s {[["2-0" ["n" "2"]]]}
    then_of C s {[["2-0" ["n" "2"]]]}
    same 1 [info_field blocked_clients]
    ask XADD s 6 n 6
    then_of D s {[["6-0" ["n" "6"]]]}
}

check "who waits for entries of a transaction gets all of them" {
    wait_in B XREAD BLOCK 0 STREAMS s $
    ask MULTI
    ask XADD s 1 n 1
    ask XADD s 2 n 2
    ask EXEC
    then_of B s {[["1-0" ["n" "1"]] ["2-0" ["n" "2"]]]}
}

check "the next entries of a group go to who came first" {
    ask XGROUP CREATE s g $ MKSTREAM
    wait_in B XREADGROUP GROUP g b BLOCK 0 COUNT 1 STREAMS s >
    wait_in C XREADGROUP GROUP g c BLOCK 0 COUNT 1 STREAMS s >
    same 1 [info_field total_blocking_keys_on_nokey]
    ask XADD s 1 n 1
    then_of B s {[["1-0" ["n" "1"]]]}
    same 1 [info_field blocked_clients]
    ask XADD s 2 n 2
    then_of C s {[["2-0" ["n" "2"]]]}
    same 0 [info_field total_blocking_keys_on_nokey]
    expect {[:2 "1-0" "2-0" [["b" "1"] ["c" "1"]]]} [ask XPENDING s g]
}

check "who waits in a group learns when it is gone" {
    set gone {-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option}
    foreach {commands reply} [list \
        {{DEL s}}                         $gone \
        {{UNLINK s}}                      $gone \
        {{RENAME s t}}                    $gone \
        {{XGROUP DESTROY s g}}            $gone \
        {{FLUSHDB}}                       $gone \
        {{FLUSHALL ASYNC}}                $gone \
        {{SWAPDB 0 9} {SWAPDB 0 9}}       $gone \
        {{PEXPIRE s 1}}                   $gone \
        {{SET s x}}                       {-WRONGTYPE Operation against a key holding the wrong kind of value} \
        {MULTI {DEL s} {SADD s x} EXEC}   {-WRONGTYPE Operation against a key holding the wrong kind of value} \
    ] {
        ask FLUSHALL
        ask XGROUP CREATE s g $ MKSTREAM
        wait_in B XREADGROUP GROUP g b BLOCK 0 STREAMS s >
        wait_in C XREAD BLOCK 0 STREAMS s $
        foreach command $commands {
            ask {*}$command
        }
        then B $reply
        same 1 [info_field blocked_clients] $commands
        ask DEL s t
        ask XADD s 1 n 1
        then_of C s {[["1-0" ["n" "1"]]]}
    }
}

case "in a transaction nobody waits" {
    XGROUP CREATE s g $ MKSTREAM -> +OK
    MULTI                     -> +OK
    XREAD BLOCK 0 STREAMS s $ -> +QUEUED
    XREADGROUP GROUP g c BLOCK 0 STREAMS s > -> +QUEUED
    EXEC                      -> [nil* nil*]
}

case "groups are no part of the value that is watched" {
    XADD s 1 n 1              -> "1-0"
    WATCH s                   -> +OK
    B: XGROUP CREATE s g 0    -> +OK
    [2] B: XREADGROUP GROUP g c STREAMS s > -> [["s" any]]
    [3] B: XREADGROUP GROUP g c STREAMS s > -> {"s" any}
    B: XACK s g 1             -> :1
    B: XSETID s 5             -> +OK
    MULTI                     -> +OK
    PING                      -> +QUEUED
    EXEC                      -> [+PONG]
    WATCH s                   -> +OK
    B: XDEL s 1               -> :1
    MULTI                     -> +OK
    PING                      -> +QUEUED
    EXEC                      -> nil*
}

# --- groups ------------------------------------------------------------------------

case "making and removing groups and consumers" {
    XGROUP CREATE s g 0       -> -ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.
    XGROUP CREATE s g x MKSTREAM -> -ERR Invalid stream ID specified as stream command argument
    EXISTS s                  -> :0
    XGROUP CREATE s g 0 MKSTREAM ENTRIESREAD -2 -> -ERR value for ENTRIESREAD must be positive or -1
    XGROUP CREATE s g 0 MKSTREAM x -> -ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP.
    XGROUP CREATE s g 0 MKSTREAM -> +OK
    XGROUP CREATE s g 0       -> -BUSYGROUP Consumer Group name already exists
    XLEN s                    -> :0
    XGROUP SETID s none 0     -> -NOGROUP No such consumer group 'none' for key name 's'
    XGROUP SETID s g 5 ENTRIESREAD 3 -> +OK
    XINFO GROUPS s            -> [{"name" "g" "consumers" :0 "pending" :0 "last-delivered-id" "5-0" "entries-read" :3 "lag" :0}]
    XGROUP CREATECONSUMER s g c -> :1
    XGROUP CREATECONSUMER s g c -> :0
    XGROUP CREATECONSUMER s none c -> -NOGROUP No such consumer group 'none' for key name 's'
    XGROUP DELCONSUMER s g none -> :0
    XGROUP DELCONSUMER s g c  -> :0
    XGROUP DESTROY s none     -> :0
    XGROUP DESTROY s g        -> :1
    XGROUP DESTROY none g     -> -ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.
    XGROUP nonsense s g       -> -ERR unknown subcommand 'nonsense'. Try XGROUP HELP.
    XINFO GROUPS s            -> []
    XREADGROUP GROUP g c STREAMS s > -> -NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option
    XREADGROUP COUNT 1 STREAMS s1 s2 0 0 -> -ERR Missing GROUP option for XREADGROUP
    XPENDING s g              -> -NOGROUP No such key 's' or consumer group 'g'
    XACK s g x                -> :0
    XINFO CONSUMERS s g       -> -NOGROUP No such consumer group 'g' for key name 's'
}

check "what is delivered is pending until it is acknowledged" {
    fill s 4
    ask XGROUP CREATE s g 0
    wait_in B BLPOP nothing 0
    foreach {command entries} {
        {XREADGROUP GROUP g a COUNT 2 STREAMS s >}    {[["1-0" ["n" "1"]] ["2-0" ["n" "2"]]]}
        {XREADGROUP GROUP g b NOACK COUNT 1 STREAMS s >} {[["3-0" ["n" "3"]]]}
        {XREADGROUP GROUP g b STREAMS s >}            {[["4-0" ["n" "4"]]]}
        {XREADGROUP GROUP g a STREAMS s 0}            {[["1-0" ["n" "1"]] ["2-0" ["n" "2"]]]}
        {XREADGROUP GROUP g a STREAMS s 1}            {[["2-0" ["n" "2"]]]}
        {XREADGROUP GROUP g b STREAMS s 4}            {[]}
    } {
        resp::send [run::connection A] $command
        then_of A s $entries
    }
    expect {nil*} [ask XREADGROUP GROUP g c STREAMS s >]
    expect {[:3 "1-0" "4-0" [["a" "2"] ["b" "1"]]]} [ask XPENDING s g]
    expect {[["1-0" "a" any :2] ["2-0" "a" any :3] ["4-0" "b" any :1]]} [ask XPENDING s g - + 10]
    expect {[["2-0" "a" any :3]]} [ask XPENDING s g (1-0 + 10 a]
    expect {[]} [ask XPENDING s g IDLE 3600000 - + 10]
    expect {[]} [ask XPENDING s g - + 10 none]
    expect {[]} [ask XPENDING s g - + 0]
    expect {-ERR syntax error} [ask XPENDING s g - +]
    expect :1 [ask XACK s g 1 1 3 9]
    expect :1 [ask XDEL s 2]
    resp::send [run::connection A] {XREADGROUP GROUP g a STREAMS s 0}
    then_of A s {[["2-0" nil*]]}
    expect :1 [ask XGROUP DELCONSUMER s g a]
    expect {[:1 "4-0" "4-0" [["b" "1"]]]} [ask XPENDING s g]
    expect {[{"name" "b" "pending" :1 "idle" any "inactive" any} {"name" "c" "pending" :0 "idle" any "inactive" :-1}]} [ask XINFO CONSUMERS s g]
}

case "claiming" {
    XADD s 1 n 1              -> "1-0"
    XADD s 2 n 2              -> "2-0"
    XADD s 3 n 3              -> "3-0"
    XGROUP CREATE s g 0       -> +OK
    XCLAIM s g b 0 1          -> []
    XCLAIM s g b 0 1 FORCE    -> [["1-0" ["n" "1"]]]
    XCLAIM s g b 0 2 9 FORCE JUSTID RETRYCOUNT 5 -> ["2-0"]
    XPENDING s g - + 10       -> [["1-0" "b" any :2] ["2-0" "b" any :5]]
    XCLAIM s g c 3600000 1 2  -> []
    XCLAIM s g c 0 1 IDLE 7200000 JUSTID -> ["1-0"]
    XCLAIM s g d 3600000 1 2 TIME 1 LASTID 3-0 -> [["1-0" ["n" "1"]]]
    XPENDING s g - + 10       -> [["1-0" "d" any :3] ["2-0" "b" any :5]]
    [2] XREADGROUP GROUP g d STREAMS s > -> nil*
    [3] XREADGROUP GROUP g d STREAMS s > -> nil*
    XDEL s 2                  -> :1
    XCLAIM s g d 0 2          -> []
    XPENDING s g              -> [:1 "1-0" "1-0" [["d" "1"]]]
    XCLAIM s g d x 1          -> -ERR Invalid min-idle-time argument for XCLAIM
    XCLAIM s g d 0 1 IDLE x   -> -ERR Invalid IDLE option argument for XCLAIM
    XCLAIM s g d 0 1 RETRYCOUNT x -> -ERR Invalid RETRYCOUNT option argument for XCLAIM
    XCLAIM s g d 0 1 TIME     -> -ERR Unrecognized XCLAIM option 'TIME'
    XCLAIM s g d 0 nonsense   -> -ERR Unrecognized XCLAIM option 'nonsense'
    XCLAIM s none d 0 1       -> -NOGROUP No such key 's' or consumer group 'none'
}

case "claiming what has been idle" {
    XADD s 1 n 1              -> "1-0"
    XADD s 2 n 2              -> "2-0"
    XADD s 3 n 3              -> "3-0"
    XGROUP CREATE s g 0       -> +OK
    XCLAIM s g a 0 1 2 3 FORCE JUSTID IDLE 7200000 -> ["1-0" "2-0" "3-0"]
    XAUTOCLAIM s g b 3600000 - COUNT 1 -> ["2-0" [["1-0" ["n" "1"]]] []]
    XDEL s 2                  -> :1
    XAUTOCLAIM s g b 3600000 2 COUNT 1 JUSTID -> ["3-0" [] ["2-0"]]
    XAUTOCLAIM s g b 3600000 0 JUSTID -> ["0-0" ["3-0"] []]
    XAUTOCLAIM s g b 3600000 (3-0 -> ["0-0" [] []]
    XPENDING s g - + 10       -> [["1-0" "b" any :2] ["3-0" "b" any :1]]
    XAUTOCLAIM s g b 0 - COUNT 0 -> -ERR COUNT must be > 0
    XAUTOCLAIM s g b 0 - COUNT 576460752303423488 -> -ERR COUNT must be > 0
    XAUTOCLAIM s g b 0 - COUNT 576460752303423487 -> -ERR Insufficient memory, failed allocating transient memory, COUNT too high.
    XAUTOCLAIM s g b x -      -> -ERR Invalid min-idle-time argument for XAUTOCLAIM
    XAUTOCLAIM s g b 0 x      -> -ERR Invalid stream ID specified as stream command argument
    XAUTOCLAIM s g b 0 - x    -> -ERR syntax error
    XAUTOCLAIM none g b 0 -   -> -NOGROUP No such key 'none' or consumer group 'g'
}

check "lag is told where entries need not be counted" {
    fill s 5
    ask XGROUP CREATE s g 0
    ask XGROUP CREATE s last $
    ask XGROUP CREATE s middle 3
    proc lags {} {
        lmap group [lindex [ask XINFO GROUPS s] 1] {told $group lag}
    }
    same {5 0 {}} [lags]
    ask XREADGROUP GROUP g c COUNT 2 STREAMS s >
    same {3 0 {}} [lags]
    ask XDEL s 1
    same {3 0 {}} [lags]
    ask XDEL s 4
    same {{} 0 {}} [lags]
    ask XREADGROUP GROUP g c COUNT 1 STREAMS s >
    same {{} 0 {}} [lags]
    ask XREADGROUP GROUP g c STREAMS s >
    same {0 0 {}} [lags]
    ask XADD s 6 n 6
    same {1 {} {}} [lags]
    ask XTRIM s MAXLEN 1
    same {1 1 1} [lags]
}

case "XINFO STREAM FULL" {
    XADD s 1 n 1              -> "1-0"
    XADD s 2 n 2              -> "2-0"
    XGROUP CREATE s g 0       -> +OK
    XCLAIM s g c 0 1 2 FORCE JUSTID TIME 1000 -> ["1-0" "2-0"]
    XINFO STREAM s FULL COUNT 1 -> {"length" :2 "radix-tree-keys" :1 "radix-tree-nodes" :2 "last-generated-id" "2-0" "max-deleted-entry-id" "0-0" "entries-added" :2 "recorded-first-entry-id" "1-0" "entries" [["1-0" ["n" "1"]]] "groups" [{"name" "g" "last-delivered-id" "0-0" "entries-read" nil "lag" :2 "pel-count" :2 "pending" [["1-0" "c" :1000 :1]] "consumers" [{"name" "c" "seen-time" any "active-time" any "pel-count" :2 "pending" [["1-0" :1000 :1]]}]}]}
    XINFO STREAM s FULL x     -> -ERR unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP.
    XINFO STREAM s x          -> -ERR unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP.
    XINFO STREAM none         -> -ERR no such key
    XINFO GROUPS none         -> -ERR no such key
}
