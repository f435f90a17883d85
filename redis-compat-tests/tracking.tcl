# Client-side caching: CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO, and what invalidates a copy.

# A field of INFO.
proc info_value {section name} {
    regexp "(?n)^$name:(.*?)\r?$" [lindex [ask INFO $section] 1] all value
    return $value
}

case "a reader is told once when its key changes" {
    HELLO 3                    -> any
    CLIENT TRACKING ON         -> +OK
    SET k v                    -> +OK
    GET k                      -> "v"
    GET other                  -> nil
    B: SET k w                 -> +OK
    SET k x                    -> +OK
    SET unread x               -> +OK
    SET other x                -> +OK
    A: -> >["invalidate" ["k"]]
    -> >["invalidate" ["other"]]
    GET k                      -> "x"
    CLIENT TRACKING OFF        -> +OK
    B: SET k y                 -> +OK
    A: PING                    -> +PONG
}

case "every reading command counts, and every change" {
    HELLO 3                    -> any
    CLIENT TRACKING ON         -> +OK
    MGET a b                   -> [nil nil]
    HGETALL h                  -> {}
    ZRANGE z 0 -1              -> []
    EXISTS e                   -> :0
    TTL t                      -> :-2
    OBJECT ENCODING o          -> any
    B: MSET a 1 b 2            -> +OK
    HSET h f v                 -> :1
    ZADD z 1 m                 -> :1
    SET e x                    -> +OK
    SET t x                    -> +OK
    SET o x                    -> +OK
    A: -> >["invalidate" ["a"]]
    -> >["invalidate" ["b"]]
    -> >["invalidate" ["h"]]
    -> >["invalidate" ["z"]]
    -> >["invalidate" ["e"]]
    -> >["invalidate" ["t"]]
    -> >["invalidate" ["o"]]
    GET a                      -> "1"
    B: EXPIRE a 100            -> :1
    A: -> >["invalidate" ["a"]]
    GET a                      -> "1"
    B: PERSIST a               -> :1
    A: -> >["invalidate" ["a"]]
    MGET a c                   -> ["1" nil]
    B: RENAME a c              -> +OK
    A: -> >["invalidate" ["a"]]
    -> >["invalidate" ["c"]]
    GET c                      -> "1"
    B: DEL c                   -> :1
    A: -> >["invalidate" ["c"]]
}

case "one's own changes are told, behind the reply, unless NOLOOP" {
    HELLO 3                    -> any
    CLIENT TRACKING ON         -> +OK
    GET k                      -> nil
    !raw "SET k v\r\nPING\r\n" -> +OK
    -> >["invalidate" ["k"]]
    -> +PONG
    GET k                      -> "v"
    MULTI                      -> +OK
    SET k w                    -> +QUEUED
    GET k                      -> +QUEUED
    SET k x                    -> +QUEUED
    EXEC                       -> [+OK "w" +OK]
    -> >["invalidate" ["k"]]
    -> >["invalidate" ["k"]]
    CLIENT TRACKING ON NOLOOP  -> +OK
    GET k                      -> "x"
    SET k y                    -> +OK
    GET k                      -> "y"
    B: SET k z                 -> +OK
    A: -> >["invalidate" ["k"]]
}

case "CLIENT CACHING holds until the end of a command that waits" {
    HELLO 3                    -> any
    CLIENT TRACKING ON OPTIN   -> +OK
    CLIENT CACHING YES         -> +OK
    !send XREAD BLOCK 0 STREAMS s $
    B: XADD s 1-1 f v          -> "1-1"
    A: -> >["invalidate" ["s"]]
    -> {"s" [["1-1" ["f" "v"]]]}
    B: XADD s 2-1 f v          -> "2-1"
    A: -> >["invalidate" ["s"]]
    CLIENT CACHING YES         -> +OK
    XREAD BLOCK 1 STREAMS s $  -> nil
    GET other                  -> nil
    B: SET other x             -> +OK
    A: PING                    -> +PONG
}

case "what one's own command has made wrong is told behind its other messages" -config {notify-keyspace-events EA} {
    HELLO 3                    -> any
    CLIENT TRACKING ON         -> +OK
    PSUBSCRIBE __keyevent@*    -> >["psubscribe" "__keyevent@*" :1]
    SET k v                    -> +OK
    -> >["pmessage" "__keyevent@*" "__keyevent@0__:set" "k"]
    MGET k j                   -> ["v" nil]
    RENAME k j                 -> +OK
    -> >["pmessage" "__keyevent@*" "__keyevent@0__:rename_from" "k"]
    -> >["pmessage" "__keyevent@*" "__keyevent@0__:rename_to" "j"]
    -> >["invalidate" ["k"]]
    -> >["invalidate" ["j"]]
    GET j                      -> "v"
    MULTI                      -> +OK
    SET j w                    -> +QUEUED
    PUBLISH __keyevent@x m     -> +QUEUED
    GET j                      -> +QUEUED
    DEL j                      -> +QUEUED
    EXEC                       -> [+OK :1 "w" :1]
    -> >["pmessage" "__keyevent@*" "__keyevent@0__:set" "j"]
    -> >["pmessage" "__keyevent@*" "__keyevent@x" "m"]
    -> >["pmessage" "__keyevent@*" "__keyevent@0__:del" "j"]
    -> >["invalidate" ["j"]]
    -> >["invalidate" ["j"]]
    GET k                      -> nil
    B: SET k v                 -> +OK
    A: -> >["invalidate" ["k"]]
    -> >["pmessage" "__keyevent@*" "__keyevent@0__:set" "k"]
}

case "one's own flush is told before the reply, where that waits for memory" {
    HELLO 3                    -> any
    CLIENT TRACKING ON NOLOOP  -> +OK
    !send FLUSHALL
    -> >["invalidate" nil]
    -> +OK
    !send FLUSHDB SYNC
    -> >["invalidate" nil]
    -> +OK
    FLUSHALL ASYNC             -> +OK
    -> >["invalidate" nil]
    MULTI                      -> +OK
    FLUSHALL                   -> +QUEUED
    SET k v                    -> +QUEUED
    EXEC                       -> [+OK +OK]
    -> >["invalidate" nil]
    EVAL "return redis.call('FLUSHALL')" 0 -> +OK
    -> >["invalidate" nil]
    PING                       -> +PONG
}

case "NOLOOP does not hold for what a script changes, in broadcast mode" {
    HELLO 3                    -> any
    CLIENT TRACKING ON BCAST NOLOOP -> +OK
    SET k v                    -> +OK
    EVAL "return redis.call('SET', KEYS[1], 'w')" 1 j -> +OK
    -> >["invalidate" ["j"]]
    PING                       -> +PONG
}

check "who does not track any more is remembered until the key changes" {
    ask HELLO 3
    ask CLIENT TRACKING ON
    ask MGET a b c
    same 3 [info_value stats tracking_total_keys]
    ask CLIENT TRACKING OFF
    same {0 3} [list [info_value clients tracking_clients] [info_value stats tracking_total_keys]]
    ask SET a x
    same 2 [info_value stats tracking_total_keys]
    ask CLIENT TRACKING ON
    expect +OK [ask SET b x]
    same {>["invalidate" ["b"]]} [resp::show [resp::read [run::connection A]]]
    ask CLIENT TRACKING OFF
    ask FLUSHALL
    same 0 [info_value stats tracking_total_keys]
}

case "an XREAD whose words are not in place has read nothing" {
    HELLO 3                    -> any
    CLIENT TRACKING ON         -> +OK
    XREAD STREAMS a b 0        -> /^-ERR Unbalanced /
    XREAD BAD STREAMS c 0      -> -ERR syntax error
    XREAD COUNT STREAMS d 0    -> /^-ERR /
    XREAD COUNT x STREAMS e 0  -> /^-ERR /
    XREAD NOACK STREAMS f 0    -> /^-ERR /
    XREAD BLOCK 1 COUNT 2 STREAMS g h 0 bad -> /^-ERR /
    B: MSET a 1 b 1 c 1 d 1 e 1 f 1 g 1 h 1 -> +OK
    A: -> >["invalidate" ["e"]]
    -> >["invalidate" ["f"]]
    -> >["invalidate" ["g"]]
    -> >["invalidate" ["h"]]
    PING                       -> +PONG
}

case "RESP2 tells nobody but a subscriber that it is redirected to" {
    B: HELLO 2                 -> any
    id := CLIENT ID
    SUBSCRIBE __redis__:invalidate -> ["subscribe" "__redis__:invalidate" :1]
    A: HELLO 2                 -> any
    CLIENT TRACKING ON         -> +OK
    GET k                      -> nil
    SET k v                    -> +OK
    CLIENT TRACKING ON REDIRECT $id -> +OK
    CLIENT GETREDIR            -> :1..99999999
    GET k                      -> "v"
    SET k w                    -> +OK
    B: -> ["message" "__redis__:invalidate" ["k"]]
    A: GET k                   -> "w"
    FLUSHALL                   -> +OK
    B: -> ["message" "__redis__:invalidate" nil]
}

case "a redirection to RESP3, and what remains when it is gone" {
    B: HELLO 3                 -> any
    id := CLIENT ID
    A: HELLO 3                 -> any
    CLIENT TRACKING ON REDIRECT $id -> +OK
    GET k                      -> nil
    SET k v                    -> +OK
    B: -> >["invalidate" ["k"]]
    A: GET k                   -> "v"
    C: CLIENT KILL ID $id      -> :1
    SET k w                    -> +OK
    A: -> >["tracking-redir-broken" :1..99999999]
    CLIENT TRACKINGINFO        -> {"flags" ~["on" "broken_redirect"] "redirect" :1..99999999 "prefixes" []}
    CLIENT GETREDIR            -> :1..99999999
}

case "broadcasting" {
    HELLO 3                    -> any
    CLIENT TRACKING ON BCAST PREFIX a: PREFIX b: -> +OK
    B: MSET a:1 x a:2 x b:1 x c:1 x a x -> +OK
    A: -> >["invalidate" ["a:1" "a:2"]]
    -> >["invalidate" ["b:1"]]
    CLIENT TRACKING ON BCAST PREFIX c: -> +OK
    GET c:1                    -> "x"
    B: SET c:1 y               -> +OK
    A: -> >["invalidate" ["c:1"]]
    CLIENT TRACKINGINFO        -> {"flags" ~["on" "bcast"] "redirect" :0 "prefixes" ["a:" "b:" "c:"]}
    CLIENT TRACKING OFF        -> +OK
    CLIENT TRACKING ON BCAST NOLOOP -> +OK
    SET a:1 mine               -> +OK
    B: SET a:2 theirs          -> +OK
    A: -> >["invalidate" ["a:2"]]
    CLIENT TRACKINGINFO        -> {"flags" ~["on" "bcast" "noloop"] "redirect" :0 "prefixes" [""]}
}

case "OPTIN and OPTOUT" {
    HELLO 3                    -> any
    CLIENT TRACKING ON OPTIN   -> +OK
    MGET a b                   -> any
    CLIENT CACHING YES         -> +OK
    CLIENT TRACKINGINFO        -> {"flags" ~["on" "optin" "caching-yes"] "redirect" :0 "prefixes" []}
    GET c                      -> nil
    CLIENT TRACKINGINFO        -> {"flags" ~["on" "optin"] "redirect" :0 "prefixes" []}
    GET d                      -> nil
    B: MSET a 1 b 2 c 3 d 4    -> +OK
    A: -> >["invalidate" ["c"]]
    CLIENT CACHING YES         -> +OK
    MULTI                      -> +OK
    GET a                      -> +QUEUED
    GET b                      -> +QUEUED
    EXEC                       -> ["1" "2"]
    GET c                      -> "3"
    B: MSET a 1 b 2 c 3        -> +OK
    A: -> >["invalidate" ["a"]]
    -> >["invalidate" ["b"]]
    CLIENT CACHING YES         -> +OK
    NOSUCH                     -> /^-ERR unknown command/
    GET a                      -> "1"
    B: SET a 1                 -> +OK
    A: CLIENT TRACKING OFF     -> +OK
    CLIENT TRACKING ON OPTOUT  -> +OK
    GET a                      -> "1"
    CLIENT CACHING NO          -> +OK
    CLIENT TRACKINGINFO        -> {"flags" ~["on" "optout" "caching-no"] "redirect" :0 "prefixes" []}
    GET b                      -> "2"
    GET c                      -> "3"
    B: MSET a 1 b 2 c 3        -> +OK
    A: -> >["invalidate" ["a"]]
    -> >["invalidate" ["c"]]
}

case "what does not go together" {
    CLIENT GETREDIR            -> :-1
    CLIENT TRACKINGINFO        -> {"flags" ~["off"] "redirect" :-1 "prefixes" []}
    CLIENT TRACKING            -> -ERR wrong number of arguments for 'client|tracking' command
    CLIENT TRACKING MAYBE      -> -ERR syntax error
    CLIENT TRACKING ON NOSUCH  -> -ERR syntax error
    CLIENT TRACKING ON PREFIX  -> -ERR syntax error
    CLIENT TRACKING ON REDIRECT -> -ERR syntax error
    CLIENT TRACKING ON REDIRECT x -> -ERR value is not an integer or out of range
    CLIENT TRACKING ON REDIRECT 99999999 -> -ERR The client ID you want redirect to does not exist
    CLIENT TRACKING ON REDIRECT 0 -> -ERR The client ID you want redirect to does not exist
    id := CLIENT ID
    CLIENT TRACKING ON REDIRECT $id REDIRECT $id -> -ERR A client can only redirect to a single other client
    CLIENT TRACKING ON PREFIX a -> -ERR PREFIX option requires BCAST mode to be enabled
    CLIENT TRACKING ON BCAST OPTIN -> -ERR OPTIN and OPTOUT are not compatible with BCAST
    CLIENT TRACKING ON OPTIN OPTOUT -> -ERR You can't specify both OPTIN mode and OPTOUT mode
    CLIENT CACHING YES         -> -ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled
    CLIENT TRACKING ON BCAST PREFIX foo PREFIX fo -> -ERR Prefix 'foo' overlaps with another provided prefix 'fo'. Prefixes for a single client must not overlap.
    CLIENT TRACKING ON BCAST PREFIX foo -> +OK
    CLIENT TRACKING ON BCAST PREFIX foobar -> -ERR Prefix 'foobar' overlaps with an existing prefix 'foo'. Prefixes for a single client must not overlap.
    CLIENT TRACKING ON         -> -ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.
    CLIENT CACHING YES         -> -ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.
    CLIENT CACHING NO          -> -ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.
    CLIENT CACHING MAYBE       -> -ERR syntax error
    CLIENT TRACKING OFF        -> +OK
    CLIENT TRACKING ON OPTIN   -> +OK
    CLIENT TRACKING ON OPTOUT  -> -ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.
    CLIENT TRACKING ON         -> +OK
    CLIENT TRACKING ON OPTOUT  -> +OK
    CLIENT TRACKING OFF OPTOUT -> +OK
}

case "flushing, swapping and expiry" {
    HELLO 3                    -> any
    CLIENT TRACKING ON         -> +OK
    MSET a 1 b 2               -> +OK
    MGET a b                   -> ["1" "2"]
    B: FLUSHDB                 -> +OK
    A: -> >["invalidate" nil]
    B: FLUSHALL                -> +OK
    A: -> >["invalidate" nil]
    !raw "FLUSHALL ASYNC\r\nPING\r\n" -> +OK
    -> >["invalidate" nil]
    -> +PONG
    B: SET k v PX 500          -> +OK
    A: GET k                   -> "v"
    -> >["invalidate" ["k"]]
    GET k                      -> nil
    B: SWAPDB 0 9              -> +OK
    SWAPDB 0 9                 -> +OK
    SET k v                    -> +OK
    A: -> >["invalidate" ["k"]]
}

case "no more keys are remembered than allowed" -config {tracking-table-max-keys 1} {
    HELLO 3                    -> any
    CLIENT TRACKING ON         -> +OK
    GET a                      -> nil
    !send GET b
    -> nil
    -> >["invalidate" [any]]
}

case "of a key that is evicted one is told before the reply" -config {maxmemory-policy volatile-random} {
    HELLO 3                    -> any
    CLIENT TRACKING ON         -> +OK
    SETEX k 1000 x             -> +OK
    GET k                      -> "x"
    B: CONFIG SET maxmemory 1  -> +OK
    A: GET k                   -> >["invalidate" ["k"]]
    -> nil
    CONFIG SET maxmemory 0     -> +OK
}

case "RESET ends tracking, HELLO 2 silences it" {
    HELLO 3                    -> any
    CLIENT TRACKING ON BCAST   -> +OK
    HELLO 2                    -> any
    SET k v                    -> +OK
    PING                       -> +PONG
    RESET                      -> +RESET
    CLIENT TRACKINGINFO        -> {"flags" ~["off"] "redirect" :-1 "prefixes" []}
}

case "messages come although replies are off" {
    HELLO 3                    -> any
    CLIENT TRACKING ON         -> +OK
    GET k                      -> nil
    !raw "CLIENT REPLY OFF\r\nSET k v\r\nPING\r\n" -> >["invalidate" ["k"]]
    !raw "CLIENT REPLY ON\r\n" -> +OK
}

check "INFO and CLIENT LIST tell of tracking" {
    set c [run::connection B]
    foreach command {{HELLO 3} {CLIENT TRACKING ON} {MGET a b c}} {
        resp::send $c $command
        resp::read $c
    }
    set d [run::connection C]
    foreach command {{CLIENT TRACKING ON BCAST PREFIX x PREFIX y} {MGET a b c}} {
        resp::send $d $command
        resp::read $d
    }
    same {2 3 3 2} [list [info_value clients tracking_clients] [info_value stats tracking_total_keys] \
        [info_value stats tracking_total_items] [info_value stats tracking_total_prefixes]]
    same {tB t} [lsort -decreasing [lmap {all flags} [regexp -all -inline {flags=(t\S*)} [lindex [ask CLIENT LIST] 1]] {
        string cat $flags
    }]]
    run::disconnect
    eventually {[info_value clients tracking_clients] == 0}
    same 0 [info_value stats tracking_total_prefixes]
}

check "the table of tracked keys keeps to its limit, however much is read at once" -config {tracking-table-max-keys 100} {
    set c [run::connection B]
    foreach command {{HELLO 3} {CLIENT TRACKING ON}} {
        resp::send $c $command
        resp::read $c
    }
    set reads ""
    for {set n 0} {$n < 1000} {incr n} {
        set keys {}
        for {set key 0} {$key < 100} {incr key} {
            lappend keys "key:$n:$key"
        }
        append reads [resp::encode [list MGET {*}$keys]]
    }
    resp::raw $c $reads[resp::encode PING]
    while {[resp::read $c] ne "+ PONG"} {}
    same 1 [expr {[info_value stats tracking_total_keys] <= 1000}]
}

check "a tracking client that does not read is left out at its limit" -config {client-output-buffer-limit "normal 1000000 0 0"} {
    set c [run::connection B]
    foreach command {{HELLO 3} {CLIENT TRACKING ON BCAST}} {
        resp::send $c $command
        resp::read $c
    }
    set before [info_value memory used_memory]
    set most 0
    set chunk [resp::encode [list SET [string repeat k 1000] x]]
    for {set n 0} {$n < 20000} {incr n} {
        # Each turn tells of a key once.
        resp::raw [run::connection A] $chunk
        resp::read [run::connection A]
        if {$n % 1000 == 0} {
            set most [expr {max($most, [info_value memory used_memory] - $before)}]
            if {[info_value clients tracking_clients] == 0} {
                break
            }
        }
    }
    same 1 [expr {$most < 5000000}] "used $most bytes more"
    eventually {[info_value clients tracking_clients] == 0}
}
