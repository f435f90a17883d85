# Replication, clusters and modules, as far as a master without replicas, without a cluster and without modules has them.

case "a master that nobody follows" {
    ROLE                      -> ["master" any []]
    REPLICAOF NO ONE          -> +OK
    SLAVEOF no one            -> +OK
    REPLICAOF localhost x     -> -ERR Invalid master port
    REPLICAOF localhost 65536 -> -ERR Invalid master port
    REPLICAOF localhost       -> -ERR wrong number of arguments for 'replicaof' command
    FAILOVER                  -> -ERR FAILOVER requires connected replicas.
    FAILOVER ABORT            -> -ERR No failover in progress.
    FAILOVER TO localhost x   -> -ERR value is not an integer or out of range
    FAILOVER TIMEOUT 0        -> -ERR FAILOVER timeout must be greater than 0
    FAILOVER FORCE FORCE      -> -ERR syntax error
    FAILOVER TO localhost 1 FORCE TIMEOUT 5 -> -ERR FAILOVER requires connected replicas.
}

check "INFO of a master that nobody follows" {
    set info [lindex [ask INFO replication] 1]
    foreach line {role:master connected_slaves:0 master_failover_state:no-failover second_repl_offset:-1} {
        same 1 [regexp "(?n)^$line\r?$" $info] $line
    }
    same 1 [regexp {master_replid:([0-9a-f]{40})} $info all id]
    same 0 [regexp {^0+$} $id] "the history of the data has a name"
}

case "WAIT" {
    SET k v                   -> +OK
    WAIT 0 0                  -> :0
    WAIT -1 0                 -> :0
    WAIT 1 20                 -> :0
    WAIT 1 -1                 -> -ERR timeout is negative
    WAIT x 0                  -> -ERR value is not an integer or out of range
    WAIT 1 x                  -> -ERR timeout is not an integer or out of range
    WAIT 1 9223372036854775807 -> -ERR timeout is out of range
    MULTI                     -> +OK
    WAIT 1 0                  -> +QUEUED
    EXEC                      -> [:0]
}

check "who waits for a replica waits, and can be unblocked" {
    resp::send [run::connection B] {CLIENT ID}
    set id [lindex [resp::read [run::connection B]] 1]
    foreach {how reply} {TIMEOUT :0 ERROR {-UNBLOCKED client unblocked via CLIENT UNBLOCK}} {
        resp::send [run::connection B] {WAIT 1 0}
        eventually {[regexp {blocked_clients:1} [lindex [ask INFO clients] 1]]}
        expect :1 [ask CLIENT UNBLOCK $id $how]
        expect $reply [resp::read [run::connection B]]
    }
}

case "WAITAOF without an append-only file" {
    SET k v                   -> +OK
    WAITAOF 0 0 0             -> [any :0]
    WAITAOF 1 0 0             -> -ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.
    WAITAOF 0 1 20            -> [any :0]
    WAITAOF 2 0 0             -> -ERR value is out of range, value must between 0 and 1
    WAITAOF x 0 0             -> -ERR value is not an integer or out of range
    WAITAOF 0 -1 0            -> -ERR value is out of range, must be positive
    WAITAOF 0 x 0             -> -ERR value is out of range, must be positive
    WAITAOF 0 0 -1            -> -ERR timeout is negative
}

foreach policy {always everysec} {
    case "WAITAOF with an append-only file, appendfsync $policy" -server [list --appendonly yes --appendfsync $policy] {
        WAITAOF 1 0 0         -> [:1 :0]
        SET k v               -> +OK
        WAITAOF 1 0 0         -> [:1 :0]
        WAITAOF 1 1 20        -> [:0..1 :0]
        WAITAOF 0 0 0         -> [:0..1 :0]
        # What comes behind it in a pipeline runs when it is over.
        !raw "SET k w\r\nWAITAOF 1 0 5000\r\nGET k\r\n" -> +OK
        -> [:1 :0]
        -> "w"
        MULTI                 -> +OK
        SET k x               -> +QUEUED
        WAITAOF 1 0 0         -> +QUEUED
        EXEC                  -> [+OK [:0..1 :0]]
    }
}

check "the append-only file goes away while WAITAOF waits" -server {--appendonly yes --appendfsync no} {
    ask SET k v
    set writer [run::connection B]
    resp::send $writer {SET k w}
    resp::read $writer
    resp::send $writer {WAITAOF 1 0 0}
    eventually {[regexp {blocked_clients:1} [lindex [ask INFO clients] 1]]}
    ask CONFIG SET appendonly no
    expect {-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.} [resp::read $writer]
}

case "there is no cluster" {
    CLUSTER INFO              -> -ERR This instance has cluster support disabled
    CLUSTER KEYSLOT k         -> -ERR This instance has cluster support disabled
    CLUSTER HELP              -> -ERR This instance has cluster support disabled
    CLUSTER NOSUCH            -> -ERR unknown subcommand 'NOSUCH'. Try CLUSTER HELP.
    CLUSTER KEYSLOT           -> -ERR wrong number of arguments for 'cluster|keyslot' command
    READONLY                  -> -ERR This instance has cluster support disabled
    READWRITE                 -> -ERR This instance has cluster support disabled
    ASKING                    -> -ERR This instance has cluster support disabled
}

case "there are no modules" {
    MODULE LIST               -> []
    MODULE LOAD /no/such.so   -> /^-ERR MODULE command not allowed. If the enable-module-command option is set to "local"/
    MODULE LOADEX /no/such.so -> /^-ERR MODULE command not allowed/
    MODULE UNLOAD x           -> /^-ERR MODULE command not allowed/
    MODULE HELP               -> [+"MODULE <subcommand> [<arg> [value] [opt] ...]. Subcommands are:" ...]
}

case "nor can any be loaded" -server {--enable-module-command yes} {
    MODULE LOAD /no/such.so   -> -ERR Error loading the extension. Please check the server logs.
    MODULE LOADEX /no/such.so -> -ERR Error loading the extension. Please check the server logs.
    MODULE UNLOAD x           -> -ERR Error unloading module: no such module with that name
}
