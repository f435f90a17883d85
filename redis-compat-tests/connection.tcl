# Connections: AUTH, HELLO, PING, ECHO, SELECT, QUIT, RESET and the CLIENT commands.

case "PING and ECHO" {
    PING                        -> +PONG
    PING hello                  -> "hello"
    PING ""                     -> ""
    PING a b                    -> -ERR wrong number of arguments for 'ping' command
    ping                        -> +PONG
    ECHO "hello world"          -> "hello world"
    ECHO ""                     -> ""
    ECHO "\x00\xff"             -> "\x00\xff"
    ECHO                        -> -ERR wrong number of arguments for 'echo' command
    ECHO a b                    -> -ERR wrong number of arguments for 'echo' command
}

case "unknown commands" {
    NOSUCH                      -> -"ERR unknown command 'NOSUCH', with args beginning with: "
    NOSUCH a b                  -> -"ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' "
    nosuch "two words"          -> -"ERR unknown command 'nosuch', with args beginning with: 'two words' "
    ""                          -> -"ERR unknown command '', with args beginning with: "
    NOSUCH "a\r\nb"             -> -"ERR unknown command 'NOSUCH', with args beginning with: 'a  b' "
    "NO\nSUCH"                  -> -"ERR unknown command 'NO SUCH', with args beginning with: "
    CLIENT                      -> -ERR wrong number of arguments for 'client' command
    CLIENT nosuch               -> -ERR unknown subcommand 'nosuch'. Try CLIENT HELP.
    CLIENT nosuch arg           -> -ERR unknown subcommand 'nosuch'. Try CLIENT HELP.
    CLIENT "a\r\nb"             -> -ERR unknown subcommand 'a  b'. Try CLIENT HELP.
    PING                        -> +PONG
}

check "a long unknown name and long arguments are cut in the error" {
    expect "-\"ERR unknown command '[string repeat n 128]', with args beginning with: \"" [ask [string repeat n 200]]
    expect "-\"ERR unknown command 'NOSUCH', with args beginning with: '[string repeat a 128]' \"" \
        [ask NOSUCH [string repeat a 200] more]
    expect "-\"ERR unknown command 'NOSUCH', with args beginning with: [string repeat {'abcdefgh' } 11]'abcdefg' \"" \
        [ask NOSUCH {*}[lrepeat 40 abcdefgh]]
    expect "-ERR unknown subcommand '[string repeat n 128]'. Try CLIENT HELP." [ask CLIENT [string repeat n 200]]
}

case "QUIT" {
    QUIT                        -> +OK
    -> closed
    B: QUIT now please          -> +OK
    -> closed
    C: PING                     -> +PONG
}

case "commands after QUIT are not run" {
    !raw "*1\r\n$4\r\nQUIT\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n" -> +OK
    -> closed
    B: EXISTS k                 -> :0
}

# --- RESET ---------------------------------------------------------------------------

case "RESET" {
    SET k v                     -> +OK
    SELECT 1                    -> +OK
    CLIENT SETNAME me           -> +OK
    CLIENT NO-EVICT on          -> +OK
    RESET                       -> +RESET
    CLIENT GETNAME              -> nil
    GET k                       -> "v"
    HELLO                       -> {"server" "redis" "version" any "proto" :2 "id" any "mode" "standalone" "role" "master" "modules" []}
    RESET now                   -> -ERR wrong number of arguments for 'reset' command
    HELLO 3                     -> any
    RESET                       -> +RESET
    GET missing                 -> nil
}

case "RESET discards a transaction" -needs {MULTI EXEC} {
    MULTI                       -> +OK
    SET k v                     -> +QUEUED
    RESET                       -> +RESET
    EXEC                        -> -ERR EXEC without MULTI
    EXISTS k                    -> :0
}

# --- HELLO and AUTH ---------------------------------------------------------------------

case "HELLO" {
    id := CLIENT ID
    [2] HELLO                   -> {"server" "redis" "version" /^7\.4\./ "proto" :2 "id" :1..1000000 "mode" "standalone" "role" "master" "modules" []}
    [3] HELLO                   -> {"server" "redis" "version" /^7\.4\./ "proto" :3 "id" :1..1000000 "mode" "standalone" "role" "master" "modules" []}
    HELLO 2                     -> {"server" "redis" "version" any "proto" :2 "id" any "mode" "standalone" "role" "master" "modules" []}
    GET missing                 -> nil
    HELLO 3                     -> {"server" "redis" "version" any "proto" :3 "id" any "mode" "standalone" "role" "master" "modules" []}
    GET missing                 -> nil
    CLIENT ID                   -> any
    HELLO 3 SETNAME me          -> {"server" "redis" ...}
    CLIENT GETNAME              -> "me"
    HELLO 3 setname other       -> {"server" "redis" ...}
    CLIENT GETNAME              -> "other"
}

case "HELLO's errors" {
    HELLO 1                     -> -NOPROTO unsupported protocol version
    HELLO 4                     -> -NOPROTO unsupported protocol version
    HELLO x                     -> -ERR Protocol version is not an integer or out of range
    HELLO 3.0                   -> -ERR Protocol version is not an integer or out of range
    HELLO 99999999999999999999  -> -ERR Protocol version is not an integer or out of range
    HELLO ""                    -> -ERR Protocol version is not an integer or out of range
    HELLO 3 nonsense            -> -ERR Syntax error in HELLO option 'nonsense'
    HELLO 3 AUTH                -> -ERR Syntax error in HELLO option 'AUTH'
    HELLO 3 AUTH default        -> -ERR Syntax error in HELLO option 'AUTH'
    HELLO 3 SETNAME             -> -ERR Syntax error in HELLO option 'SETNAME'
    HELLO 3 SETNAME "a b"       -> -ERR Client names cannot contain spaces, newlines or special characters.
    HELLO 3 AUTH default wrong SETNAME -> -ERR Syntax error in HELLO option 'SETNAME'
    HELLO 3 AUTH nobody x       -> -WRONGPASS invalid username-password pair or user is disabled.
    HELLO AUTH default x        -> -ERR Protocol version is not an integer or out of range
    PING                        -> +PONG
}

case "AUTH without a password set" {
    AUTH secret                 -> -ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?
    AUTH default secret         -> +OK
    AUTH default ""             -> +OK
    AUTH nobody secret          -> -WRONGPASS invalid username-password pair or user is disabled.
    AUTH                        -> -ERR wrong number of arguments for 'auth' command
    AUTH a b c                  -> -ERR syntax error
    PING                        -> +PONG
}

case "AUTH" -server {--requirepass secret} {
    PING                        -> -NOAUTH Authentication required.
    GET k                       -> -NOAUTH Authentication required.
    NOSUCH                      -> -"ERR unknown command 'NOSUCH', with args beginning with: "
    GET                         -> -ERR wrong number of arguments for 'get' command
    HELLO                       -> -NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time
    HELLO 3                     -> -NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time
    HELLO 2                     -> -NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time
    AUTH wrong                  -> -WRONGPASS invalid username-password pair or user is disabled.
    AUTH default wrong          -> -WRONGPASS invalid username-password pair or user is disabled.
    AUTH nobody secret          -> -WRONGPASS invalid username-password pair or user is disabled.
    AUTH ""                     -> -WRONGPASS invalid username-password pair or user is disabled.
    CLIENT SETNAME me           -> -NOAUTH Authentication required.
    RESET                       -> +RESET
    HELLO 3 AUTH default wrong  -> -WRONGPASS invalid username-password pair or user is disabled.
    PING                        -> -NOAUTH Authentication required.
    AUTH secret                 -> +OK
    PING                        -> +PONG
    AUTH wrong                  -> -WRONGPASS invalid username-password pair or user is disabled.
    PING                        -> +PONG
    AUTH default secret         -> +OK
    B: HELLO 3 AUTH default secret SETNAME me -> {"server" "redis" ...}
    CLIENT GETNAME              -> "me"
    C: QUIT                     -> +OK
}

case "requirepass can change at run time" -server {--maxclients 100} {
    CONFIG SET requirepass secret -> +OK
    PING                        -> +PONG
    B: PING                     -> -NOAUTH Authentication required.
    AUTH secret                 -> +OK
    CONFIG GET requirepass      -> {"requirepass" "secret"}
    CONFIG SET requirepass ""   -> +OK
    C: PING                     -> +PONG
    CONFIG GET requirepass      -> {"requirepass" ""}
    AUTH secret                 -> any
}

# --- SELECT -----------------------------------------------------------------------------------

case "a new connection is in database 0" {
    SELECT 5                    -> +OK
    SET k v                     -> +OK
    B: EXISTS k                 -> :0
}

# --- CLIENT -----------------------------------------------------------------------------------------

case "CLIENT SETNAME, GETNAME, ID" {
    CLIENT GETNAME              -> nil
    CLIENT SETNAME me           -> +OK
    CLIENT GETNAME              -> "me"
    CLIENT SETNAME ""           -> +OK
    CLIENT GETNAME              -> nil
    CLIENT SETNAME "two words"  -> -ERR Client names cannot contain spaces, newlines or special characters.
    CLIENT SETNAME "new\nline"  -> -ERR Client names cannot contain spaces, newlines or special characters.
    CLIENT SETNAME "\x80"       -> -ERR Client names cannot contain spaces, newlines or special characters.
    CLIENT SETNAME              -> -ERR wrong number of arguments for 'client|setname' command
    CLIENT SETNAME a b          -> -ERR wrong number of arguments for 'client|setname' command
    CLIENT GETNAME x            -> -ERR wrong number of arguments for 'client|getname' command
    CLIENT ID                   -> :1..1000000
    CLIENT ID x                 -> -ERR wrong number of arguments for 'client|id' command
}

check "CLIENT ID rises with every connection" {
    set first [lindex [ask CLIENT ID] 1]
    run::disconnect
    set second [lindex [ask CLIENT ID] 1]
    same 1 [expr {$second > $first}] "$second > $first"
}

case "CLIENT SETINFO" {
    CLIENT SETINFO LIB-NAME mylib  -> +OK
    CLIENT SETINFO lib-ver 1.2.3   -> +OK
    CLIENT INFO                 -> / lib-name=mylib lib-ver=1\.2\.3\n$/
    CLIENT SETINFO LIB-NAME ""  -> +OK
    CLIENT INFO                 -> / lib-name= lib-ver=1\.2\.3\n$/
    CLIENT SETINFO LIB-NAME "a b" -> -ERR LIB-NAME cannot contain spaces, newlines or special characters.
    CLIENT SETINFO LIB-VER "a\nb" -> -ERR LIB-VER cannot contain spaces, newlines or special characters.
    CLIENT SETINFO nonsense x   -> -ERR Unrecognized option 'nonsense'
    CLIENT SETINFO LIB-NAME     -> -ERR wrong number of arguments for 'client|setinfo' command
    CLIENT SETINFO              -> -ERR wrong number of arguments for 'client|setinfo' command
    CLIENT SETINFO LIB-NAME a b -> -ERR wrong number of arguments for 'client|setinfo' command
}

case "CLIENT INFO" {
    [2] CLIENT INFO             -> /^id=\d+ addr=127\.0\.0\.1:\d+ laddr=127\.0\.0\.1:\d+ fd=\d+ name= age=\d+ idle=0 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 watch=0 qbuf=\d+ qbuf-free=\d+ argv-mem=\d+ multi-mem=0 rbs=\d+ rbp=\d+ obl=0 oll=0 omem=0 tot-mem=\d+ events=r cmd=client\|info user=default redir=-1 resp=2 lib-name= lib-ver=\n$/
    [3] CLIENT INFO             -> /^id=\d+ addr=127\.0\.0\.1:\d+ laddr=127\.0\.0\.1:\d+ fd=\d+ name= age=\d+ idle=0 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 watch=0 qbuf=\d+ qbuf-free=\d+ argv-mem=\d+ multi-mem=0 rbs=\d+ rbp=\d+ obl=0 oll=0 omem=0 tot-mem=\d+ events=r cmd=client\|info user=default redir=-1 resp=3 lib-name= lib-ver=\n$/
    SELECT 3                    -> +OK
    CLIENT SETNAME me           -> +OK
    CLIENT INFO                 -> / name=me .* db=3 /
    CLIENT INFO x               -> -ERR wrong number of arguments for 'client|info' command
}

case "CLIENT LIST" {
    CLIENT SETNAME first        -> +OK
    a := CLIENT ID
    B: CLIENT SETNAME second    -> +OK
    b := CLIENT ID
    GET k                       -> nil
    A: CLIENT LIST              -> /^id=\d+ .* name=first .* cmd=client\|list .*\nid=\d+ .* name=second .* cmd=get .*\n$/
    CLIENT LIST ID $b           -> /^id=\d+ [^\n]* name=second [^\n]*\n$/
    CLIENT LIST ID $b $a        -> /^id=\d+ [^\n]* name=second [^\n]*\nid=\d+ [^\n]* name=first [^\n]*\n$/
    CLIENT LIST ID $a $a        -> /^(id=\d+ [^\n]* name=first [^\n]*\n){2}$/
    CLIENT LIST ID 123456789    -> =""
    CLIENT LIST TYPE normal     -> /name=first .*name=second /
    CLIENT LIST TYPE pubsub     -> =""
    CLIENT LIST TYPE replica    -> =""
    CLIENT LIST TYPE slave      -> =""
    CLIENT LIST TYPE master     -> =""
    CLIENT LIST type NORMAL     -> /name=first /
    CLIENT LIST TYPE nonsense   -> -ERR Unknown client type 'nonsense'
    CLIENT LIST TYPE            -> -ERR syntax error
    CLIENT LIST TYPE normal normal -> -ERR syntax error
    CLIENT LIST ID              -> -ERR syntax error
    CLIENT LIST ID x            -> -ERR Invalid client ID
    CLIENT LIST ID 0            -> =""
    CLIENT LIST ID -1           -> =""
    CLIENT LIST nonsense        -> -ERR syntax error
}

case "CLIENT KILL by address" {
    b := CLIENT ID
    B: PING                     -> +PONG
    A: CLIENT KILL 127.0.0.1:1  -> -ERR No such client
    CLIENT KILL nonsense        -> -ERR No such client
    CLIENT KILL                 -> -ERR wrong number of arguments for 'client|kill' command
    CLIENT KILL ADDR            -> -ERR No such client
}

case "CLIENT KILL with filters" {
    B: CLIENT ID                -> any
    b := CLIENT ID
    C: CLIENT ID                -> any
    c := CLIENT ID
    A: CLIENT KILL ID $b        -> :1
    CLIENT KILL ID $b           -> :0
    B: -> closed
    A: CLIENT KILL ID $c TYPE pubsub -> :0
    CLIENT KILL ID $c ADDR 127.0.0.1:1 -> :0
    CLIENT KILL ID $c USER nobody -> -ERR No such user 'nobody'
    CLIENT KILL LADDR 127.0.0.1:1 -> :0
    CLIENT KILL ID $c MAXAGE 100000 -> :0
    CLIENT KILL ID $c TYPE normal USER default -> :1
    C: -> closed
    a := CLIENT ID
    A: CLIENT KILL ID $a        -> any
}

check "who is told of a killed connection finds that it has ended" {
    for {set n 0} {$n < 20} {incr n} {
        set killed [run::connection K$n]
        resp::send $killed {CLIENT ID}
        set id [lindex [resp::read $killed] 1]
        # A client library would send its next command now, and wait for a reply that never comes.
        expect :1 [ask CLIENT KILL ID $id]
        same {{} 1} [list [read $killed] [eof $killed]]
    }
}

case "CLIENT KILL spares the caller unless told otherwise" {
    a := CLIENT ID
    B: PING                     -> +PONG
    A: CLIENT KILL TYPE normal  -> :1
    B: -> closed
    A: CLIENT KILL TYPE normal  -> :0
    CLIENT KILL TYPE normal SKIPME yes -> :0
    CLIENT KILL TYPE normal SKIPME no  -> :1
    -> closed
}

case "CLIENT KILL's errors" {
    CLIENT KILL ID              -> -ERR No such client
    CLIENT KILL ID x            -> -ERR client-id should be greater than 0
    CLIENT KILL ID 0            -> -ERR client-id should be greater than 0
    CLIENT KILL ID -1           -> -ERR client-id should be greater than 0
    CLIENT KILL TYPE nonsense   -> -ERR Unknown client type 'nonsense'
    CLIENT KILL USER            -> -ERR No such client
    CLIENT KILL USER nobody     -> -ERR No such user 'nobody'
    CLIENT KILL SKIPME maybe    -> -ERR syntax error
    CLIENT KILL MAXAGE x        -> -ERR maxage is not an integer or out of range
    CLIENT KILL MAXAGE 0        -> -ERR maxage should be greater than 0
    CLIENT KILL nonsense x      -> -ERR syntax error
    CLIENT KILL ID 1 TYPE       -> -ERR syntax error
    CLIENT KILL ADDR 127.0.0.1:1 nonsense -> -ERR syntax error
}

case "CLIENT REPLY" {
    CLIENT REPLY ON             -> +OK
    CLIENT REPLY nonsense       -> -ERR syntax error
    CLIENT REPLY                -> -ERR wrong number of arguments for 'client|reply' command
    CLIENT REPLY ON x           -> -ERR wrong number of arguments for 'client|reply' command
    !send CLIENT REPLY OFF
    !send SET k off
    !send GET k
    !send NOSUCH
    !send CLIENT REPLY ON
    -> +OK
    GET k                       -> "off"
    !send CLIENT REPLY SKIP
    !send SET k skipped
    GET k                       -> "skipped"
}

case "CLIENT NO-EVICT and NO-TOUCH" {
    CLIENT NO-EVICT ON          -> +OK
    CLIENT INFO                 -> / flags=e /
    CLIENT NO-EVICT off         -> +OK
    CLIENT NO-EVICT nonsense    -> -ERR syntax error
    CLIENT NO-EVICT             -> -ERR wrong number of arguments for 'client|no-evict' command
    CLIENT NO-TOUCH ON          -> +OK
    CLIENT INFO                 -> / flags=T /
    CLIENT NO-TOUCH off         -> +OK
    CLIENT NO-TOUCH nonsense    -> -ERR syntax error
    CLIENT NO-TOUCH             -> -ERR wrong number of arguments for 'client|no-touch' command
    CLIENT INFO                 -> / flags=N /
}

case "CLIENT PAUSE and UNPAUSE" {
    CLIENT PAUSE 100000 WRITE   -> +OK
    GET k                       -> nil
    B: !send SET k v
    A: PING                     -> +PONG
    CLIENT UNPAUSE              -> +OK
    B: -> +OK
    A: GET k                    -> "v"
    CLIENT PAUSE 0              -> +OK
    CLIENT PAUSE                -> -ERR wrong number of arguments for 'client|pause' command
    CLIENT PAUSE x              -> -ERR timeout is not an integer or out of range
    CLIENT PAUSE -1             -> -ERR timeout is negative
    CLIENT PAUSE 1.5            -> -ERR timeout is not an integer or out of range
    CLIENT PAUSE 10 nonsense    -> -ERR CLIENT PAUSE mode must be WRITE or ALL
    CLIENT PAUSE 10 WRITE x     -> -ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.
    CLIENT UNPAUSE x            -> -ERR wrong number of arguments for 'client|unpause' command
    CLIENT UNPAUSE              -> +OK
}

case "a pause ends by itself" {
    CLIENT PAUSE 20 ALL         -> +OK
    B: SET k v                  -> +OK
}

case "CLIENT UNBLOCK" {
    CLIENT UNBLOCK 123456789    -> :0
    id := CLIENT ID
    CLIENT UNBLOCK $id          -> :0
    CLIENT UNBLOCK x            -> -ERR value is not an integer or out of range
    CLIENT UNBLOCK 1 nonsense   -> -ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR
    CLIENT UNBLOCK 1 TIMEOUT x  -> -ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP.
    CLIENT UNBLOCK              -> -ERR wrong number of arguments for 'client|unblock' command
}

case "CLIENT UNBLOCK of a blocked client" -needs {BLPOP} {
    B: CLIENT ID                -> any
    b := CLIENT ID
    !send BLPOP l 0
    A: PING                     -> +PONG
    CLIENT UNBLOCK $b TIMEOUT   -> :1
    B: -> nil*
    !send BLPOP l 0
    A: PING                     -> +PONG
    CLIENT UNBLOCK $b ERROR     -> :1
    B: -> -UNBLOCKED client unblocked via CLIENT UNBLOCK
}

case "CLIENT TRACKING, TRACKINGINFO, GETREDIR, CACHING" -needs {CLIENT|TRACKING} {
    CLIENT GETREDIR             -> :-1
    CLIENT TRACKINGINFO         -> {"flags" ~["off"] "redirect" :-1 "prefixes" []}
    [3] CLIENT TRACKING ON      -> +OK
    [3] CLIENT GETREDIR         -> :0
    [3] CLIENT TRACKINGINFO     -> {"flags" ~["on"] "redirect" :0 "prefixes" []}
    [3] GET k                   -> nil
    [3] B: SET k v              -> +OK
    [3] A: -> >["invalidate" ["k"]]
    [3] CLIENT TRACKING OFF     -> +OK
    [3] CLIENT TRACKING ON BCAST PREFIX a PREFIX b NOLOOP -> +OK
    [3] CLIENT TRACKINGINFO     -> {"flags" ~["on" "bcast" "noloop"] "redirect" :0 "prefixes" ?["a" "b"]}
    [3] CLIENT TRACKING OFF     -> +OK
    [3] CLIENT TRACKING ON OPTIN -> +OK
    [3] CLIENT CACHING YES      -> +OK
    [3] CLIENT TRACKINGINFO     -> {"flags" ~["on" "optin" "caching-yes"] "redirect" :0 "prefixes" []}
    [3] CLIENT CACHING NO       -> -ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.
    [3] CLIENT TRACKING ON OPTOUT -> -ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.
    [3] CLIENT TRACKING OFF     -> +OK
    [2] CLIENT TRACKING ON      -> +OK
    [2] CLIENT TRACKING OFF     -> +OK
    CLIENT TRACKING             -> -ERR wrong number of arguments for 'client|tracking' command
    CLIENT TRACKING maybe       -> -ERR syntax error
    CLIENT TRACKING ON nonsense -> -ERR syntax error
    CLIENT TRACKING ON REDIRECT -> -ERR syntax error
    CLIENT TRACKING ON REDIRECT x -> -ERR value is not an integer or out of range
    CLIENT TRACKING ON REDIRECT 123456789 -> -ERR The client ID you want redirect to does not exist
    CLIENT TRACKING ON PREFIX a -> -ERR PREFIX option requires BCAST mode to be enabled
    CLIENT TRACKING ON BCAST PREFIX a PREFIX ab -> -ERR Prefix 'a' overlaps with another provided prefix 'ab'. Prefixes for a single client must not overlap.
    CLIENT TRACKING ON OPTIN OPTOUT -> -ERR You can't specify both OPTIN mode and OPTOUT mode
    CLIENT TRACKING ON BCAST OPTIN -> -ERR OPTIN and OPTOUT are not compatible with BCAST
    CLIENT TRACKING OFF         -> +OK
    CLIENT CACHING YES          -> -ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled
    CLIENT CACHING              -> -ERR wrong number of arguments for 'client|caching' command
    CLIENT CACHING maybe        -> -ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled
    CLIENT TRACKINGINFO x       -> -ERR wrong number of arguments for 'client|trackinginfo' command
    CLIENT GETREDIR x           -> -ERR wrong number of arguments for 'client|getredir' command
}

case "CLIENT HELP" {
    CLIENT HELP                 -> [/^CLIENT <subcommand>/ ...]
    CLIENT HELP me              -> -ERR wrong number of arguments for 'client|help' command
}

case "CLIENT KILL: of several filters of a kind the last one counts" {
    B: PING                     -> +PONG
    id := CLIENT ID
    A: CLIENT KILL ID 999999999 ID $id ADDR 1.2.3.4:5 -> :0
    CLIENT KILL ID $id ID 999999999 -> :0
    CLIENT KILL ID 999999999 ID $id -> :1
}

# Redis leaves such a connection open and deaf.
case "who wants no replies is not told of a protocol error" -only cachestorm {
    !send CLIENT REPLY OFF
    !raw "*1\r\n+\r\n"
    -> closed
    B: PING                     -> +PONG
    !send CLIENT REPLY SKIP
    !raw "*1\r\n+\r\n"
    -> closed
}
