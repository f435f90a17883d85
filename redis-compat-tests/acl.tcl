# Users and their rights: ACL, AUTH of users, what is denied, the ACL file, users in the settings file. The hash that
# occurs below is that of the password x.

# Sends a command on a named connection and returns the reply.
proc other {name args} {
    resp::send [run::connection $name] $args
    return [resp::read [run::connection $name]]
}

# Starts a server on an ACL file with that text; it becomes the server of the case.
proc start_with_acl_file {text args} {
    global aclfile
    set dir [server::new_dir]
    set aclfile $dir/users.acl
    spill $aclfile $text
    set run::server [server::start --aclfile $aclfile {*}$args]
}

# --- users and their rules ------------------------------------------------------------------

case "there is a default user" -server {--maxclients 100} {
    ACL WHOAMI                  -> "default"
    ACL USERS                   -> ["default"]
    ACL LIST                    -> ["user default on nopass sanitize-payload ~* &* +@all"]
    ACL GETUSER default         -> {"flags" ~["on" "nopass" "sanitize-payload"] "passwords" [] "commands" "+@all" "keys" "~*" "channels" "&*" "selectors" []}
    ACL GETUSER nobody          -> nil
    ACL DELUSER default         -> -ERR The 'default' user cannot be removed
    ACL DELUSER nobody          -> :0
    ACL DELUSER nobody default  -> -ERR The 'default' user cannot be removed
}

case "users are created without rights" -server {--maxclients 100} {
    ACL SETUSER bob             -> +OK
    ACL SETUSER alice on >x     -> +OK
    ACL USERS                   -> ["alice" "bob" "default"]
    ACL LIST                    -> ["user alice on sanitize-payload #2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 resetchannels -@all" "user bob off sanitize-payload resetchannels -@all" any]
    ACL GETUSER alice           -> {"flags" ~["on" "sanitize-payload"] "passwords" ["2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"] "commands" "-@all" "keys" "" "channels" "" "selectors" []}
    B: AUTH alice wrong         -> -WRONGPASS invalid username-password pair or user is disabled.
    AUTH bob ""                 -> -WRONGPASS invalid username-password pair or user is disabled.
    AUTH alice x                -> +OK
    ACL WHOAMI                  -> -NOPERM User alice has no permissions to run the 'acl|whoami' command
    PING                        -> -NOPERM User alice has no permissions to run the 'ping' command
    CONFIG GET port             -> -NOPERM User alice has no permissions to run the 'config|get' command
    NOSUCH                      -> -"ERR unknown command 'NOSUCH', with args beginning with: "
    GET                         -> -ERR wrong number of arguments for 'get' command
    A: ACL SETUSER alice +@all  -> +OK
    B: PING                     -> +PONG
    GET k                       -> -NOPERM No permissions to access a key
    A: ACL SETUSER alice allkeys -> +OK
    B: GET k                    -> nil
    HELLO 3 AUTH alice x        -> {"server" "redis" ...}
    RESET                       -> +RESET
    ACL WHOAMI                  -> "default"
    A: ACL DELUSER alice bob nobody -> :2
    ACL USERS                   -> ["default"]
}

case "names have no blanks" {
    ACL SETUSER "a b" on        -> -ERR Usernames can't contain spaces or null characters
    ACL SETUSER "a\x00b" on     -> -ERR Usernames can't contain spaces or null characters
    ACL SETUSER "a\tb" on       -> -ERR Usernames can't contain spaces or null characters
}

case "what is no rule changes nothing" {
    ACL SETUSER u reset on +get -> +OK
    ACL SETUSER u off nonsense  -> -ERR Error in ACL SETUSER modifier 'nonsense': Syntax error
    ACL SETUSER u off +nosuch   -> -ERR Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL
    ACL SETUSER u +@nosuch      -> -ERR Error in ACL SETUSER modifier '+@nosuch': Unknown command or category name in ACL
    ACL SETUSER u -config|nosuch -> -ERR Error in ACL SETUSER modifier '-config|nosuch': Unknown command or category name in ACL
    ACL SETUSER u -select|0     -> -ERR Error in ACL SETUSER modifier '-select|0': Unknown command or category name in ACL
    ACL SETUSER u +select|      -> -ERR Error in ACL SETUSER modifier '+select|': Syntax error
    ACL SETUSER u +config|get|x -> -ERR Error in ACL SETUSER modifier '+config|get|x': Allowing first-arg of a subcommand is not supported
    ACL SETUSER u +get|x|y      -> -ERR Error in ACL SETUSER modifier '+get|x|y': Unknown command or category name in ACL
    ACL SETUSER u ~* ~a         -> -"ERR Error in ACL SETUSER modifier '~a': Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
    ACL SETUSER u &* &a         -> -"ERR Error in ACL SETUSER modifier '&a': Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels"
    ACL SETUSER u "~a b"        -> -ERR Error in ACL SETUSER modifier '~a b': Syntax error
    ACL SETUSER u %X~a          -> -ERR Error in ACL SETUSER modifier '%X~a': Syntax error
    ACL SETUSER u <x            -> -ERR Error in ACL SETUSER modifier '<x': The password you are trying to remove from the user does not exist
    ACL SETUSER u #12           -> -ERR Error in ACL SETUSER modifier '#12': The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters
    ACL SETUSER u (+get         -> -ERR Unmatched parenthesis in acl selector starting at '(+get'.
    ACL SETUSER u (on)          -> -ERR Error in ACL SETUSER modifier '(on)': Syntax error
    ACL SETUSER u (~* ~a)       -> -"ERR Error in ACL SETUSER modifier '(~* ~a)': Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
    ACL GETUSER u               -> {"flags" ~["on" "sanitize-payload"] "passwords" [] "commands" "-@all +get" ...}
    ACL DELUSER u               -> :1
    ACL SETUSER v nonsense      -> -ERR Error in ACL SETUSER modifier 'nonsense': Syntax error
    ACL GETUSER v               -> nil
}

case "rules in every form" {
    ACL SETUSER u reset ON AllKeys AllChannels AllCommands nopass skip-sanitize-payload -> +OK
    ACL GETUSER u               -> {"flags" ~["on" "nopass" "skip-sanitize-payload"] "passwords" [] "commands" "+@all" "keys" "~*" "channels" "&*" "selectors" []}
    ACL SETUSER u resetkeys resetchannels nocommands resetpass sanitize-payload off -> +OK
    ACL GETUSER u               -> {"flags" ~["off" "sanitize-payload"] "passwords" [] "commands" "-@all" "keys" "" "channels" "" "selectors" []}
    ACL SETUSER u ~a %R~b %w~c %rw~d %R~e %W~e ~a &x &y &x -> +OK
    ACL SETUSER u +@READ -get +Config|GET +select|1 +client -client|list -> +OK
    ACL GETUSER u               -> {any any any any "commands" "-@all +@read -get +config|get +select|1 +client -client|list" "keys" "~a %R~b %W~c ~d ~e" "channels" "&x &y" "selectors" []}
    ACL SETUSER u +get -@read +client -> +OK
    ACL GETUSER u               -> {any any any any "commands" "-@all +config|get +select|1 +get -@read +client" ...}
    ACL SETUSER u (%R~q +get) ( +set ~w ) "(&c -@all)" -> +OK
    ACL GETUSER u               -> {any any any any any any any any any any "selectors" [{"commands" "-@all +get" "keys" "%R~q" "channels" ""} {"commands" "-@all +set" "keys" "~w" "channels" ""} {"commands" "-@all" "keys" "" "channels" "&c"}]}
    ACL SETUSER u clearselectors >x >y #2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 "" -> +OK
    ACL SETUSER u <y            -> +OK
    ACL GETUSER u               -> {"flags" any "passwords" ["2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"] any any any any any any "selectors" []}
    ACL SETUSER u !2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881      -> +OK
    ACL GETUSER u               -> {"flags" any "passwords" [] ...}
    ACL DELUSER u               -> :1
}

case "ACL CAT" {
    ACL CAT hyperloglog         -> any
    ACL CAT nosuch              -> -ERR Unknown category 'nosuch'
    ACL CAT a b                 -> -ERR unknown subcommand or wrong number of arguments for 'CAT'. Try ACL HELP.
    ACL NOSUCH                  -> -ERR unknown subcommand 'NOSUCH'. Try ACL HELP.
    ACL                         -> -ERR wrong number of arguments for 'acl' command
    ACL HELP x                  -> -ERR wrong number of arguments for 'acl|help' command
}

check "each category holds commands" {
    set categories [lmap item [lindex [ask ACL CAT] 1] {lindex $item 1}]
    same "admin bitmap blocking connection dangerous fast geo hash hyperloglog keyspace list pubsub read scripting\
        set slow sortedset stream string transaction write" [lsearch -all -inline -not [lsort $categories] tag] "ACL CAT"
    foreach {category command} {keyspace del read get write set admin config|set dangerous keys blocking blpop} {
        set members [lmap item [lindex [ask ACL CAT $category] 1] {lindex $item 1}]
        same 1 [expr {$command in $members}] "$command in $category"
    }
}

case "ACL GENPASS" {
    ACL GENPASS                 -> /^[0-9a-f]{64}$/
    ACL GENPASS 1               -> /^[0-9a-f]$/
    ACL GENPASS 5               -> /^[0-9a-f]{2}$/
    ACL GENPASS 4096            -> /^[0-9a-f]{250}/
    ACL GENPASS 0               -> -ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096
    ACL GENPASS 4097            -> -ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096
    ACL GENPASS x               -> -ERR value is not an integer or out of range
    ACL GENPASS 1 2             -> -ERR unknown subcommand or wrong number of arguments for 'GENPASS'. Try ACL HELP.
}

# --- what may run ---------------------------------------------------------------------------

case "ACL DRYRUN" {
    ACL SETUSER u reset +@all %R~r* %W~w* %RW~x* -config|set -> +OK
    ACL DRYRUN u GET r          -> +OK
    ACL DRYRUN u GET w          -> "User u has no permissions to access the 'w' key"
    ACL DRYRUN u SET w v        -> +OK
    ACL DRYRUN u SET w v GET    -> "User u has no permissions to access the 'w' key"
    ACL DRYRUN u SET r v        -> "User u has no permissions to access the 'r' key"
    ACL DRYRUN u COPY r w       -> +OK
    ACL DRYRUN u COPY w r       -> "User u has no permissions to access the 'w' key"
    ACL DRYRUN u MGET x r w     -> "User u has no permissions to access the 'w' key"
    ACL DRYRUN u EXISTS r w     -> +OK
    ACL DRYRUN u EXISTS r q     -> "User u has no permissions to access the 'q' key"
    ACL DRYRUN u BITFIELD r GET u8 0 -> +OK
    ACL DRYRUN u BITFIELD r SET u8 0 1 -> "User u has no permissions to access the 'r' key"
    ACL DRYRUN u MEMORY USAGE w -> +OK
    ACL DRYRUN u ZUNIONSTORE w 2 r q -> "User u has no permissions to access the 'q' key"
    ACL DRYRUN u ZUNIONSTORE w 9 r q -> +OK
    ACL DRYRUN u ZUNIONSTORE q 0 r -> +OK
    ACL DRYRUN u CONFIG SET port 1 -> "User u has no permissions to run the 'config|set' command"
    ACL DRYRUN u CONFIG GET port -> +OK
    ACL DRYRUN nobody GET r     -> -ERR User 'nobody' not found
    ACL DRYRUN u NOSUCH r       -> -ERR Command 'NOSUCH' not found
    ACL DRYRUN u CONFIG NOSUCH  -> -ERR Command 'CONFIG' not found
    ACL DRYRUN u GET            -> -ERR wrong number of arguments for 'get' command
    ACL DELUSER u               -> :1
}

case "keys are looked for behind what is no count, too" {
    COMMAND GETKEYS ZUNION +1 a -> ["a"]
    COMMAND GETKEYS ZUNION 1.5 a -> ["a"]
    COMMAND GETKEYS EVAL x 1x a -> ["a"]
    COMMAND GETKEYS ZUNION x a  -> -ERR Invalid arguments specified for command
    ACL SETUSER u reset on nopass +@all ~mine -> +OK
    B: AUTH u ""                -> +OK
    ZUNION +1 a                 -> -NOPERM No permissions to access a key
    SINTERCARD 1.5 a            -> -NOPERM No permissions to access a key
    FCALL f 1x a                -> -NOPERM No permissions to access a key
    ZUNION +1 mine              -> -ERR value is not an integer or out of range
    A: ACL DELUSER u            -> :1
}

case "one selector must allow all of a command" {
    ACL SETUSER u reset on nopass (+@write ~w*) (+@read ~r*) (+mget ~a) (+mget ~a ~b) -> +OK
    B: AUTH u ""                -> +OK
    SET w v                     -> +OK
    SET r v                     -> -NOPERM No permissions to access a key
    GET r                       -> nil
    GET w                       -> -NOPERM No permissions to access a key
    PING                        -> -NOPERM User u has no permissions to run the 'ping' command
    MGET a b                    -> [nil nil]
    A: ACL LOG RESET            -> +OK
    B: MGET a b c               -> -NOPERM No permissions to access a key
    A: ACL LOG 1                -> [{"count" :1 "reason" "key" "context" "toplevel" "object" "c" "username" "u" ...}]
    ACL DELUSER u               -> :1
}

case "first arguments of commands" {
    ACL SETUSER u reset on nopass +select|1 +acl|whoami -> +OK
    B: AUTH u ""                -> +OK
    SELECT 1                    -> +OK
    SELECT 0                    -> -NOPERM User u has no permissions to run the 'select' command
    ACL WHOAMI                  -> "u"
    ACL LIST                    -> -NOPERM User u has no permissions to run the 'acl|list' command
    A: ACL DELUSER u            -> :1
}

case "transactions check twice" {
    ACL SETUSER u reset on nopass ~k +multi +exec +get +incr -> +OK
    ACL LOG RESET               -> +OK
    B: AUTH u ""                -> +OK
    MULTI                       -> +OK
    SET k v                     -> -NOPERM User u has no permissions to run the 'set' command
    EXEC                        -> -EXECABORT Transaction discarded because of previous errors.
    A: ACL LOG 1                -> [{"count" :1 "reason" "command" "context" "multi" "object" "set" "username" "u" "age-seconds" any "client-info" /cmd=set user=u/ ...}]
    B: MULTI                    -> +OK
    GET k                       -> +QUEUED
    INCR k                      -> +QUEUED
    A: ACL SETUSER u -incr      -> +OK
    B: EXEC                     -> [nil -"NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to execute the command or subcommand"]
    A: ACL LOG 1                -> [{"count" :1 "reason" "command" "context" "multi" "object" "incr" "username" "u" "age-seconds" any "client-info" /cmd=exec user=u/ ...}]
    B: MULTI                    -> +OK
    GET k                       -> +QUEUED
    A: ACL SETUSER u resetkeys  -> +OK
    B: EXEC                     -> [-"NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to touch the specified keys"]
    A: ACL DELUSER u            -> :1
}

case "a command that waits is checked again" {
    ACL SETUSER u reset on nopass ~* +blpop -> +OK
    B: AUTH u ""                -> +OK
    !send BLPOP list 0
    A: PING                     -> +PONG
    ACL SETUSER u resetkeys     -> +OK
    LPUSH list a                -> :1
    B: -> -NOPERM No permissions to access a key
    A: LLEN list                -> :1
    ACL DELUSER u               -> :1
}

case "SORT follows patterns only to keys that are all allowed" -needs {SORT} {
    RPUSH list 1                -> :1
    SET v1 1                    -> +OK
    ACL SETUSER u reset on nopass (+sort ~list ~v*) -> +OK
    B: AUTH u ""                -> +OK
    SORT list                   -> ["1"]
    SORT list BY v*             -> -ERR BY option of SORT denied due to insufficient ACL permissions.
    SORT list GET v*            -> -ERR GET option of SORT denied due to insufficient ACL permissions.
    A: ACL SETUSER u (+sort ~list %R~*) -> +OK
    B: SORT list BY v* GET v*   -> ["1"]
    A: ACL DELUSER u            -> :1
}

# --- who is who ----------------------------------------------------------------------------------

case "clients of a deleted user are disconnected" {
    ACL SETUSER u reset on nopass +@all -> +OK
    B: AUTH u ""                -> +OK
    CLIENT SETNAME doomed       -> +OK
    A: CLIENT LIST              -> /name=doomed .* user=u /
    ACL DELUSER u               -> :1
    CLIENT LIST                 -> /^(?!.*name=doomed)/
    ACL SETUSER me reset on nopass +acl -> +OK
    C: AUTH me ""               -> +OK
    ACL DELUSER me              -> :1
    -> closed
}

case "clients of a disabled user stay" {
    ACL SETUSER u reset on nopass +ping -> +OK
    B: AUTH u ""                -> +OK
    A: ACL SETUSER u off        -> +OK
    B: PING                     -> +PONG
    AUTH u ""                   -> -WRONGPASS invalid username-password pair or user is disabled.
    PING                        -> +PONG
    A: ACL DELUSER u            -> :1
}

case "CLIENT KILL USER" {
    CLIENT KILL USER nobody     -> -ERR No such user 'nobody'
    ACL SETUSER u reset on nopass -> +OK
    CLIENT KILL USER u          -> :0
    B: AUTH u ""                -> +OK
    A: CLIENT KILL USER u       -> :1
    CLIENT KILL USER default SKIPME yes -> any
    ACL DELUSER u               -> :1
}

case "a default user that is off or has a password" -server {--maxclients 100} {
    ACL SETUSER root on >x +@all ~* -> +OK
    ACL SETUSER default off     -> +OK
    PING                        -> +PONG
    AUTH default ""             -> -WRONGPASS invalid username-password pair or user is disabled.
    B: PING                     -> -NOAUTH Authentication required.
    AUTH root x                 -> +OK
    PING                        -> +PONG
    RESET                       -> +RESET
    PING                        -> -NOAUTH Authentication required.
    A: ACL SETUSER default on   -> +OK
    B: PING                     -> +PONG
    A: ACL SETUSER default resetpass >y -> +OK
    B: PING                     -> -NOAUTH Authentication required.
    AUTH y                      -> +OK
    A: ACL SETUSER default -@all +acl -> +OK
    B: PING                     -> -NOPERM User default has no permissions to run the 'ping' command
    HELLO 2 AUTH root x         -> [...]
    PING                        -> +PONG
}

case "requirepass is the default user's only password" -server {--maxclients 100} {
    ACL SETUSER default resetpass >x >y -> +OK
    CONFIG SET requirepass "\xff\x00z" -> +OK
    CONFIG GET requirepass      -> {"requirepass" "\xff\x00z"}
    B: AUTH x                   -> -WRONGPASS invalid username-password pair or user is disabled.
    AUTH "\xff"                 -> -WRONGPASS invalid username-password pair or user is disabled.
    AUTH "\xff\x00z"            -> +OK
    CONFIG SET requirepass ""   -> +OK
    C: PING                     -> +PONG
    ACL GETUSER default         -> {"flags" ~["on" "nopass" "sanitize-payload"] ...}
}

# --- what was denied -------------------------------------------------------------------------------

case "ACL LOG" {
    ACL SETUSER u reset on >x ~a +get -> +OK
    ACL LOG RESET               -> +OK
    ACL LOG                     -> []
    B: AUTH u wrong             -> -WRONGPASS invalid username-password pair or user is disabled.
    AUTH u wrong                -> -WRONGPASS invalid username-password pair or user is disabled.
    HELLO 3 AUTH nobody x       -> -WRONGPASS invalid username-password pair or user is disabled.
    AUTH u x                    -> +OK
    GET b                       -> -NOPERM No permissions to access a key
    SET a v                     -> -NOPERM User u has no permissions to run the 'set' command
    GET b                       -> -NOPERM No permissions to access a key
    A: ACL LOG                  -> [{"count" :2 "reason" "key" "context" "toplevel" "object" "b" "username" "u" ...} {"count" :1 "reason" "command" "context" "toplevel" "object" "set" "username" "u" "age-seconds" any "client-info" /^id=[0-9]+ .* user=u / "entry-id" any "timestamp-created" any "timestamp-last-updated" any} {"count" :1 "reason" "auth" "context" "toplevel" "object" "HELLO" "username" "nobody" ...} {"count" :2 "reason" "auth" "context" "toplevel" "object" "AUTH" "username" "u" ...}]
    ACL LOG 1                   -> [any]
    ACL LOG -1                  -> []
    ACL LOG x                   -> -ERR value is not an integer or out of range
    ACL LOG 1 2                 -> -ERR unknown subcommand or wrong number of arguments for 'LOG'. Try ACL HELP.
    ACL LOG RESET               -> +OK
    ACL LOG                     -> []
    ACL DELUSER u               -> :1
}

case "the log has as many entries as acllog-max-len says" -config {acllog-max-len 2} {
    ACL LOG RESET               -> +OK
    AUTH a x                    -> -WRONGPASS invalid username-password pair or user is disabled.
    AUTH b x                    -> -WRONGPASS invalid username-password pair or user is disabled.
    AUTH c x                    -> -WRONGPASS invalid username-password pair or user is disabled.
    ACL LOG                     -> [any any]
    CONFIG SET acllog-max-len 0 -> +OK
    ACL LOG                     -> [any any]
    AUTH d x                    -> -WRONGPASS invalid username-password pair or user is disabled.
    ACL LOG                     -> []
}

check "INFO counts denials" {
    proc denied {} {
        set info [lindex [ask INFO stats] end]
        return [lmap name {auth cmd key channel} {
            regexp "acl_access_denied_$name:(\[0-9\]+)" $info all count
            set count
        }]
    }
    lassign [denied] auth cmd key channel
    ask ACL SETUSER u reset on nopass +get
    other B AUTH nobody x
    other B AUTH u ""
    other B GET k
    other B SET k v
    other B SET k v
    same [list [incr auth] [incr cmd 2] [incr key] $channel] [denied]
    ask ACL DELUSER u
}

# --- users in files --------------------------------------------------------------------------------------

check "an ACL file" {
    start_with_acl_file "user alice on >x ~a* +@all (+get ~b)\n\nuser bob off\n"
    expect {["alice" "bob" "default"]} [ask ACL USERS]
    expect +OK [other B AUTH alice x]
    expect +OK [ask ACL SETUSER carol on nopass]
    expect +OK [ask ACL SAVE]
    expect +OK [ask ACL LOAD]
    same "user alice on sanitize-payload #2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 ~a* resetchannels +@all (~b resetchannels -@all +get)
user bob off sanitize-payload resetchannels -@all
user carol on nopass sanitize-payload resetchannels -@all
user default on nopass sanitize-payload ~* &* +@all\n" [slurp $aclfile]
    expect nil [other B GET a]
    expect nil [other B GET b]

    set broken "user dave on +nosuch\nuser erin nonsense\nnonsense\n"
    spill $aclfile $broken
    set prefix "ERR $aclfile:1: Error in applying operation '+nosuch': Unknown command or category name in ACL."
    append prefix " $aclfile:2: Syntax error. $aclfile:3 should start with user keyword followed by the username."
    same "- {$prefix WARNING: ACL errors detected, no change to the previously active ACL rules was performed}" \
        [ask ACL LOAD]
    expect {["alice" "bob" "carol" "default"]} [ask ACL USERS]
    expect nil [other B GET a]

    spill $aclfile "user alice on >x ~a* +get\nuser default on nopass +acl ~*\n"
    expect +OK [other C AUTH carol ""]
    expect +OK [ask ACL LOAD]
    expect {["alice" "default"]} [ask ACL USERS]
    expect {-NOPERM User default has no permissions to run the 'ping' command} [ask PING]
    expect {-NOPERM User alice has no permissions to run the 'set' command} [other B SET a v]
    expect nil [other B GET a]
}

check "a broken ACL file, or users in two places, stop the start" {
    set dir [server::new_dir]
    spill $dir/users.acl "user alice nonsense\n"
    foreach flags [list [list --aclfile $dir/users.acl] [list --aclfile $dir/nosuch.acl] \
        [list --user "alice on" --aclfile $dir/users.acl] [list --user "alice nonsense"] [list --user "alice +nosuch"]] {
        lassign [server::run [list {*}$flags --port [server::free_port]]] code
        same 1 $code "exit code with $flags"
    }
}

case "without an ACL file" {
    ACL LOAD                    -> -ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.
    ACL SAVE                    -> -ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.
}

check "users in the settings file, and CONFIG REWRITE" {
    set port [server::free_port]
    set dir [server::new_dir]
    set file $dir/redis.conf
    spill $file "port $port\ndir $dir\nbind 127.0.0.1\nuser alice on \"#2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\" ~a* +get ( +set ~b )\nuser default on nopass ~* +@all -flushdb\n"
    set run::server [server::launch $port $dir [list $file]]
    expect {-NOPERM User default has no permissions to run the 'flushdb' command} [ask FLUSHDB]
    expect {{"flags" any "passwords" ["2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"] "commands" "-@all +get" "keys" "~a*" "channels" "" "selectors" [{"commands" "-@all +set" "keys" "~b" "channels" ""}]}} \
        [ask ACL GETUSER alice]
    expect +OK [ask ACL SETUSER bob on ">\xff" &c]
    expect +OK [ask CONFIG REWRITE]
    # Nothing but a line's first character begins a comment.
    same 1 [string match "*user alice * #2d711642*" [slurp $file]] [slurp $file]
    run::disconnect
    server::stop $run::server
    set run::server [server::launch $port $dir [list $file]]
    expect {["alice" "bob" "default"]} [ask ACL USERS]
    expect +OK [other B AUTH bob "\xff"]
    expect {-NOPERM User default has no permissions to run the 'flushdb' command} [ask FLUSHDB]
    expect {{any any any any any any any any any any "selectors" [{"commands" "-@all +set" "keys" "~b" "channels" ""}]}} \
        [ask ACL GETUSER alice]
}

check "secrets of any bytes in the settings file, and CONFIG REWRITE" {
    set port [server::free_port]
    set dir [server::new_dir]
    set file $dir/redis.conf
    spill $file "port $port\ndir $dir\nbind 127.0.0.1\nrequirepass \"a\\xff\\x01\"\nmasterauth \"m\\xfe\"\nmasteruser \"u\\xfe\"\nuser bob on \">p\\xff\" ~* +@all\n"
    foreach {auth user} {"m\xfe" "u\xfe" "n\x00\xff" "v\xff"} {
        set run::server [server::launch $port $dir [list $file]]
        expect +OK [ask AUTH "a\xff\x01"]
        expect +OK [ask AUTH bob "p\xff"]
        same "a\xff\x01" [lindex [ask CONFIG GET requirepass] 1 1 1]
        same $auth [lindex [ask CONFIG GET masterauth] 1 1 1]
        same $user [lindex [ask CONFIG GET masteruser] 1 1 1]
        expect +OK [ask CONFIG SET masterauth "n\x00\xff" masteruser "v\xff"]
        expect +OK [ask CONFIG REWRITE]
        run::disconnect
        server::stop $run::server
    }
    set run::server [server::start]
}

case "rules with backslashes in selectors" {
    ACL SETUSER u reset "(&\\*)" -> +OK
    ACL LIST                    -> [any "user u off sanitize-payload resetchannels -@all (resetchannels &\\* -@all)"]
}

case "acl-pubsub-default" -config {acl-pubsub-default allchannels} {
    ACL SETUSER u reset         -> +OK
    ACL SETUSER u (+get)        -> +OK
    ACL GETUSER u               -> {any any any any any any any any "channels" "&*" "selectors" [{"commands" "-@all +get" "keys" "" "channels" "&*"}]}
    CONFIG SET acl-pubsub-default resetchannels -> +OK
    ACL SETUSER u (+get)        -> +OK
    ACL GETUSER u               -> {any any any any any any any any "channels" "&*" "selectors" [any {"commands" "-@all +get" "keys" "" "channels" ""}]}
    ACL SETUSER u reset         -> +OK
    ACL GETUSER u               -> {any any any any any any any any "channels" "" "selectors" []}
    ACL DELUSER u               -> :1
}

case "rules know commands by their own names" -server {--rename-command GET FETCH} {
    ACL SETUSER u reset on nopass ~* +get -> +OK
    B: AUTH u ""                -> +OK
    FETCH k                     -> nil
    A: ACL SETUSER u -get       -> +OK
    B: FETCH k                  -> -NOPERM User u has no permissions to run the 'get' command
    A: ACL SETUSER u +fetch     -> -ERR Error in ACL SETUSER modifier '+fetch': Unknown command or category name in ACL
    ACL DRYRUN u FETCH k        -> "User u has no permissions to run the 'get' command"
    ACL DRYRUN u GET k          -> -ERR Command 'GET' not found
}

# --- secrets -----------------------------------------------------------------------------------------

case "MONITOR shows no secrets" {
    PING                        -> +PONG
    B: MONITOR                  -> +OK
    A: AUTH default sesame      -> +OK
    AUTH nobody sesame          -> -WRONGPASS invalid username-password pair or user is disabled.
    B: -> /"AUTH" "\(redacted\)" "\(redacted\)"$/
    -> /"AUTH" "\(redacted\)" "\(redacted\)"$/
    A: PING                     -> +PONG
    B: -> /"PING"$/
}

case "a pattern of any bytes is told so that it can be read back" -only cachestorm -server {--maxclients 100} {
    ACL SETUSER u reset "~a\"b" "(\"~c\\\"d\" +get)" -> +OK
    ACL LIST                    -> [any "user u off sanitize-payload ~a\"b resetchannels -@all (\"~c\\\"d\" resetchannels -@all +get)"]
    ACL DELUSER u               -> :1
}

case "a key to store at that is named twice" {
    ACL SETUSER alice on nopass +@all ~src ~dst -> +OK
    ACL DRYRUN alice GEORADIUS src 1 1 1 km STORE dst -> +OK
    ACL DRYRUN alice GEORADIUS src 1 1 1 km STORE x STORE dst -> "User alice has no permissions to access the 'x' key"
    ACL DRYRUN alice GEORADIUS src 1 1 1 km STORE dst STOREDIST x -> "User alice has no permissions to access the 'x' key"
    ACL DRYRUN alice SORT src STORE dst STORE x -> "User alice has no permissions to access the 'x' key"
    ACL DELUSER alice -> :1
}

# Redis looks at the first STORE only, and writes where the last one says.
case "a key to store at that is named behind one that is allowed" -only cachestorm {
    ACL SETUSER alice on nopass +@all ~src ~dst -> +OK
    ACL DRYRUN alice GEORADIUS src 1 1 1 km STORE dst STORE x -> "User alice has no permissions to access the 'x' key"
    ACL DRYRUN alice GEORADIUSBYMEMBER src m 1 km STOREDIST dst STOREDIST x -> "User alice has no permissions to access the 'x' key"
    ACL DELUSER alice -> :1
}

# To Redis, what is left of such a transaction is the default user's.
check "who deletes itself in a transaction may nothing more" -only cachestorm {
    ask SET secret v
    expect +OK [ask ACL SETUSER fleeting on nopass +acl|deluser +multi +exec +eval]
    set b [run::connection B]
    foreach {command reply} {{AUTH fleeting x} +OK MULTI +OK {ACL DELUSER fleeting} +QUEUED} {
        resp::send $b $command
        expect $reply [resp::read $b]
    }
    resp::send $b [list EVAL "redis.call('SET', 'mine', 'v') return redis.call('GET', 'secret')" 0]
    expect +QUEUED [resp::read $b]
    resp::send $b EXEC
    set why "This command is no longer allowed for the following reason: no permission to execute the command or subcommand"
    set moment "between the moment the transaction was accumulated and the EXEC call"
    expect "\[:1 -\"NOPERM ACLs rules changed $moment. $why\"\]" [resp::read $b]
    expect :0 [ask EXISTS mine]
}

check "who may not have its channels loses its connection when its user changes" {
    expect +OK [ask ACL SETUSER listener on nopass allkeys +@all resetchannels &ch:1]
    foreach {kind rule} {SUBSCRIBE -get PSUBSCRIBE resetkeys SSUBSCRIBE &other} {
        foreach {name channel} {B ch:1 C ch:3} {
            set c [run::connection $name]
            foreach words [list {HELLO 3} [list $kind $channel] {AUTH listener x}] {
                resp::send $c $words
                resp::read $c
            }
        }
        expect +OK [ask ACL SETUSER listener $rule]
        same {closed {}} [resp::read [run::connection C]] "$kind $rule"
        resp::send [run::connection B] PING
        same 1 [expr {[resp::read [run::connection B]] ne {closed {}}}] "who may have them stays"
        foreach name {B C} {
            resp::close [run::connection $name]
            dict unset run::connections $name
        }
    }
    expect :1 [ask ACL DELUSER listener]
}

case "the one key of PFMERGE is checked, too" -only cachestorm {
    ACL SETUSER merger on nopass +@all ~a* -> +OK
    B: AUTH merger x            -> +OK
    B: PFMERGE b                -> -NOPERM No permissions to access a key
    B: PFMERGE a                -> +OK
    B: COMMAND GETKEYS PFMERGE b -> ["b"]
    A: ACL DELUSER merger       -> :1
}
