# The server commands: INFO, CONFIG, COMMAND, MEMORY, DEBUG and the small ones.

# --- INFO --------------------------------------------------------------------------

# The fields that tools read, by section; a server may have more.
set info_fields {
    Server {redis_version redis_git_sha1 redis_git_dirty redis_build_id redis_mode os arch_bits monotonic_clock
        multiplexing_api process_id process_supervised run_id tcp_port server_time_usec uptime_in_seconds
        uptime_in_days hz configured_hz lru_clock executable config_file io_threads_active listener0}
    Clients {connected_clients cluster_connections maxclients client_recent_max_input_buffer
        client_recent_max_output_buffer blocked_clients tracking_clients pubsub_clients watching_clients
        clients_in_timeout_table total_watched_keys total_blocking_keys total_blocking_keys_on_nokey}
    Memory {used_memory used_memory_human used_memory_rss used_memory_rss_human used_memory_peak
        used_memory_peak_human used_memory_peak_perc used_memory_overhead used_memory_startup used_memory_dataset
        used_memory_dataset_perc allocator_allocated allocator_active allocator_resident total_system_memory
        total_system_memory_human used_memory_lua used_memory_vm_eval used_memory_scripts_eval
        number_of_cached_scripts number_of_functions number_of_libraries used_memory_vm_functions
        used_memory_vm_total used_memory_functions used_memory_scripts maxmemory maxmemory_human maxmemory_policy
        allocator_frag_ratio allocator_frag_bytes allocator_rss_ratio allocator_rss_bytes rss_overhead_ratio
        rss_overhead_bytes mem_fragmentation_ratio mem_fragmentation_bytes mem_not_counted_for_evict
        mem_replication_backlog mem_total_replication_buffers mem_clients_slaves mem_clients_normal mem_cluster_links
        mem_aof_buffer mem_allocator active_defrag_running lazyfree_pending_objects lazyfreed_objects}
    Persistence {loading async_loading current_cow_peak current_cow_size current_cow_size_age current_fork_perc
        current_save_keys_processed current_save_keys_total rdb_changes_since_last_save rdb_bgsave_in_progress
        rdb_last_save_time rdb_last_bgsave_status rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec rdb_saves
        rdb_last_cow_size rdb_last_load_keys_expired rdb_last_load_keys_loaded aof_enabled aof_rewrite_in_progress
        aof_rewrite_scheduled aof_last_rewrite_time_sec aof_current_rewrite_time_sec aof_last_bgrewrite_status
        aof_rewrites aof_last_write_status aof_last_cow_size}
    Stats {total_connections_received total_commands_processed instantaneous_ops_per_sec total_net_input_bytes
        total_net_output_bytes total_net_repl_input_bytes total_net_repl_output_bytes instantaneous_input_kbps
        instantaneous_output_kbps rejected_connections sync_full sync_partial_ok sync_partial_err expired_subkeys
        expired_keys expired_stale_perc expired_time_cap_reached_count expire_cycle_cpu_milliseconds evicted_keys
        evicted_clients evicted_scripts total_eviction_exceeded_time current_eviction_exceeded_time keyspace_hits
        keyspace_misses pubsub_channels pubsub_patterns pubsubshard_channels latest_fork_usec total_forks
        migrate_cached_sockets slave_expires_tracked_keys active_defrag_hits active_defrag_misses
        tracking_total_keys tracking_total_items tracking_total_prefixes unexpected_error_replies
        total_error_replies dump_payload_sanitizations total_reads_processed total_writes_processed
        client_query_buffer_limit_disconnections client_output_buffer_limit_disconnections reply_buffer_shrinks
        reply_buffer_expands eventloop_cycles eventloop_duration_sum eventloop_duration_cmd_sum
        instantaneous_eventloop_cycles_per_sec instantaneous_eventloop_duration_usec acl_access_denied_auth
        acl_access_denied_cmd acl_access_denied_key acl_access_denied_channel}
    Replication {role connected_slaves master_failover_state master_replid master_replid2 master_repl_offset
        second_repl_offset repl_backlog_active repl_backlog_size repl_backlog_first_byte_offset
        repl_backlog_histlen}
    CPU {used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children used_cpu_sys_main_thread
        used_cpu_user_main_thread}
    Modules {}
    Errorstats {}
    Cluster {cluster_enabled}
    Keyspace {}
}

# INFO's text as {section {field value …} …}.
proc info_of {args} {
    set sections {}
    set name ""
    foreach line [split [string map {\r ""} [string trimleft [lindex [ask INFO {*}$args] 1] "txt:"]] \n] {
        if {[regexp {^# (\w+)$} $line all name]} {
            dict set sections $name {}
        } elseif {[regexp {^([^:]+):(.*)$} $line all field value]} {
            dict set sections $name $field $value
        }
    }
    return $sections
}

# The sections of INFO that Redis has, too.
proc sections_of {args} {
    return [lmap section [dict keys [info_of {*}$args]] {
        if {$section in {Plugins Namespaces Tags}} continue
        set section
    }]
}

check "INFO has every section and field" {
    set info [info_of]
    same [dict keys $info_fields] [sections_of] sections
    dict for {section fields} $info_fields {
        foreach field $fields {
            if {![dict exists $info $section $field]} {
                run::problem "INFO $section" $field missing
            }
        }
        same $section [dict keys [info_of [string tolower $section]]] "INFO $section alone"
    }
}

check "INFO's choice of sections" {
    same {Server Clients} [dict keys [info_of clients server]]
    same {Server Clients} [dict keys [info_of CLIENTS SERVER server]]
    same {} [info_of nonsense]
    same {Server} [dict keys [info_of nonsense server]]
    same [dict keys [info_of]] [dict keys [info_of default]]
    same {Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Latencystats Cluster Keyspace} \
        [sections_of all]
    same [dict keys [info_of all]] [dict keys [info_of everything]]
    same {Commandstats} [dict keys [info_of commandstats]]
}

check "INFO names the server as Redis 7.4" {
    set server [dict get [info_of server] Server]
    same 1 [string match 7.4.* [dict get $server redis_version]]
    same standalone [dict get $server redis_mode]
    same 64 [dict get $server arch_bits]
    same $run::server [dict get $server process_id]
    same $server::port($run::server) [dict get $server tcp_port]
    same 1 [regexp {^[0-9a-f]{40}$} [dict get $server run_id]]
    same "name=tcp,bind=127.0.0.1,port=$server::port($run::server)" [dict get $server listener0]
}

check "INFO names CacheStorm's own version" -only cachestorm {
    same 1 [dict exists [info_of server] Server cachestorm_version]
}

case "INFO is empty text for a section nobody knows" {
    INFO nonsense               -> =""
}

check "INFO counts connections, commands and errors" {
    ask CONFIG RESETSTAT
    ask GET missing
    ask SET k v
    ask GET k
    ask NOSUCH
    ask SET k
    ask INCR k
    set info [info_of everything]
    same 1 [dict get $info Stats keyspace_hits]
    same 1 [dict get $info Stats keyspace_misses]
    same 3 [dict get $info Stats total_error_replies]
    same {errorstat_ERR count=3} [dict get $info Errorstats] errorstats
    same 1 [regexp {^calls=2,usec=\d+,usec_per_call=\d+\.\d\d,rejected_calls=0,failed_calls=0$} \
        [dict get $info Commandstats cmdstat_get]] "cmdstat_get"
    same 1 [regexp {^calls=1,.*,rejected_calls=1,failed_calls=0$} [dict get $info Commandstats cmdstat_set]] "cmdstat_set"
    same 1 [regexp {^calls=1,.*,rejected_calls=0,failed_calls=1$} [dict get $info Commandstats cmdstat_incr]] "cmdstat_incr"
    same 1 [dict exists $info Commandstats cmdstat_config|resetstat] "cmdstat_config|resetstat"
    same 1 [regexp {^p50=\d+\.\d+,p99=\d+\.\d+,p99\.9=\d+\.\d+$} \
        [dict get $info Latencystats latency_percentiles_usec_get]] "latency of get"
    same 1 [dict get $info Clients connected_clients]
}

check "CONFIG RESETSTAT" {
    ask GET missing
    ask NOSUCH
    expect +OK [ask CONFIG RESETSTAT]
    set info [info_of everything]
    foreach field {keyspace_hits keyspace_misses total_error_replies expired_keys evicted_keys rejected_connections} {
        same 0 [dict get $info Stats $field] $field
    }
    same 1 [dict get $info Stats total_commands_processed]
    same {} [dict get $info Errorstats]
    same cmdstat_config|resetstat [dict keys [dict get $info Commandstats]]
}

check "used_memory follows the data" {
    set before [dict get [info_of memory] Memory used_memory]
    ask SET k [string repeat x 1000000]
    set full [dict get [info_of memory] Memory used_memory]
    ask DEL k
    set after [dict get [info_of memory] Memory used_memory]
    same 1 [expr {$full - $before > 900000 && $full - $after > 900000}] "$before, $full, $after"
}

# --- CONFIG GET ------------------------------------------------------------------------

# What Redis 7.4 answers to CONFIG GET * when nothing is set.
set config_defaults {
    acl-pubsub-default {resetchannels}
    aclfile {}
    acllog-max-len {128}
    active-defrag-cycle-max {25}
    active-defrag-cycle-min {1}
    active-defrag-ignore-bytes {104857600}
    active-defrag-max-scan-fields {1000}
    active-defrag-threshold-lower {10}
    active-defrag-threshold-upper {100}
    active-expire-effort {1}
    activedefrag {no}
    activerehashing {yes}
    always-show-logo {no}
    aof-load-truncated {yes}
    aof-rewrite-cpulist {}
    aof-rewrite-incremental-fsync {yes}
    aof-timestamp-enabled {no}
    aof-use-rdb-preamble {yes}
    aof_rewrite_cpulist {}
    appenddirname {appendonlydir}
    appendfilename {appendonly.aof}
    appendfsync {everysec}
    appendonly {no}
    auto-aof-rewrite-min-size {67108864}
    auto-aof-rewrite-percentage {100}
    bgsave-cpulist {}
    bgsave_cpulist {}
    bind-source-addr {}
    bio-cpulist {}
    bio_cpulist {}
    busy-reply-threshold {5000}
    client-output-buffer-limit {normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60}
    client-query-buffer-limit {1073741824}
    cluster-allow-pubsubshard-when-down {yes}
    cluster-allow-reads-when-down {no}
    cluster-allow-replica-migration {yes}
    cluster-announce-bus-port {0}
    cluster-announce-hostname {}
    cluster-announce-human-nodename {}
    cluster-announce-ip {}
    cluster-announce-port {0}
    cluster-announce-tls-port {0}
    cluster-config-file {nodes.conf}
    cluster-enabled {no}
    cluster-link-sendbuf-limit {0}
    cluster-migration-barrier {1}
    cluster-node-timeout {15000}
    cluster-port {0}
    cluster-preferred-endpoint-type {ip}
    cluster-replica-no-failover {no}
    cluster-replica-validity-factor {10}
    cluster-require-full-coverage {yes}
    cluster-slave-no-failover {no}
    cluster-slave-validity-factor {10}
    crash-log-enabled {yes}
    crash-memcheck-enabled {yes}
    daemonize {no}
    databases {16}
    dbfilename {dump.rdb}
    disable-thp {yes}
    dynamic-hz {yes}
    enable-module-command {no}
    enable-protected-configs {no}
    hash-max-listpack-entries {512}
    hash-max-listpack-value {64}
    hash-max-ziplist-entries {512}
    hash-max-ziplist-value {64}
    hide-user-data-from-log {no}
    hll-sparse-max-bytes {3000}
    hz {10}
    ignore-warnings {}
    io-threads {1}
    io-threads-do-reads {no}
    jemalloc-bg-thread {yes}
    latency-monitor-threshold {0}
    latency-tracking {yes}
    latency-tracking-info-percentiles {50 99 99.9}
    lazyfree-lazy-eviction {no}
    lazyfree-lazy-expire {no}
    lazyfree-lazy-server-del {no}
    lazyfree-lazy-user-del {no}
    lazyfree-lazy-user-flush {no}
    lfu-decay-time {1}
    lfu-log-factor {10}
    list-compress-depth {0}
    list-max-listpack-size {-2}
    list-max-ziplist-size {-2}
    locale-collate {}
    logfile {}
    loglevel {notice}
    lua-time-limit {5000}
    masterauth {}
    masteruser {}
    max-new-connections-per-cycle {10}
    max-new-tls-connections-per-cycle {1}
    maxclients {10000}
    maxmemory {0}
    maxmemory-clients {0}
    maxmemory-eviction-tenacity {10}
    maxmemory-policy {noeviction}
    maxmemory-samples {5}
    min-replicas-max-lag {10}
    min-replicas-to-write {0}
    min-slaves-max-lag {10}
    min-slaves-to-write {0}
    no-appendfsync-on-rewrite {no}
    notify-keyspace-events {}
    oom-score-adj {no}
    oom-score-adj-values {0 200 800}
    pidfile {}
    proc-title-template {{title} {listen-addr} {server-mode}}
    propagation-error-behavior {ignore}
    protected-mode {yes}
    proto-max-bulk-len {536870912}
    rdb-del-sync-files {no}
    rdb-save-incremental-fsync {yes}
    rdbchecksum {yes}
    rdbcompression {yes}
    repl-backlog-size {1048576}
    repl-backlog-ttl {3600}
    repl-disable-tcp-nodelay {no}
    repl-diskless-load {disabled}
    repl-diskless-sync {yes}
    repl-diskless-sync-delay {5}
    repl-diskless-sync-max-replicas {0}
    repl-ping-replica-period {10}
    repl-ping-slave-period {10}
    repl-timeout {60}
    replica-announce-ip {}
    replica-announce-port {0}
    replica-announced {yes}
    replica-ignore-disk-write-errors {no}
    replica-ignore-maxmemory {yes}
    replica-lazy-flush {no}
    replica-priority {100}
    replica-read-only {yes}
    replica-serve-stale-data {yes}
    replicaof {}
    requirepass {}
    sanitize-dump-payload {no}
    server-cpulist {}
    server_cpulist {}
    set-max-intset-entries {512}
    set-max-listpack-entries {128}
    set-max-listpack-value {64}
    set-proc-title {yes}
    shutdown-on-sigint {default}
    shutdown-on-sigterm {default}
    shutdown-timeout {10}
    slave-announce-ip {}
    slave-announce-port {0}
    slave-ignore-maxmemory {yes}
    slave-lazy-flush {no}
    slave-priority {100}
    slave-read-only {yes}
    slave-serve-stale-data {yes}
    slaveof {}
    slowlog-log-slower-than {10000}
    slowlog-max-len {128}
    socket-mark-id {0}
    stop-writes-on-bgsave-error {yes}
    stream-node-max-bytes {4096}
    stream-node-max-entries {100}
    supervised {no}
    syslog-enabled {no}
    syslog-facility {local0}
    syslog-ident {redis}
    tcp-backlog {511}
    tcp-keepalive {300}
    timeout {0}
    tls-auth-clients {yes}
    tls-ca-cert-dir {}
    tls-ca-cert-file {}
    tls-cert-file {}
    tls-ciphers {}
    tls-ciphersuites {}
    tls-client-cert-file {}
    tls-client-key-file {}
    tls-client-key-file-pass {}
    tls-cluster {no}
    tls-dh-params-file {}
    tls-key-file {}
    tls-key-file-pass {}
    tls-port {0}
    tls-prefer-server-ciphers {no}
    tls-protocols {}
    tls-replication {no}
    tls-session-cache-size {20480}
    tls-session-cache-timeout {300}
    tls-session-caching {yes}
    tracking-table-max-keys {1000000}
    unixsocket {}
    unixsocketperm {0}
    zset-max-listpack-entries {128}
    zset-max-listpack-value {64}
    zset-max-ziplist-entries {128}
    zset-max-ziplist-value {64}
}

check "CONFIG GET knows every setting of Redis and its default" {
    foreach {name value} $config_defaults {
        set reply [lindex [ask CONFIG GET $name] 1]
        same [list [list \$ $name] [list \$ $value]] $reply "CONFIG GET $name"
    }
}

case "CONFIG GET" {
    CONFIG GET maxmemory        -> {"maxmemory" "0"}
    CONFIG GET MAXMEMORY        -> {"MAXMEMORY" "0"}
    CONFIG GET maxmemory-s*     -> {"maxmemory-samples" "5"}
    CONFIG GET nonsense         -> {}
    CONFIG GET maxmemory maxmemory-samples maxmemory -> ?{"maxmemory" "0" "maxmemory-samples" "5"}
    CONFIG GET maxmemory-s* *-samples -> {"maxmemory-samples" "5"}
    CONFIG GET "\[mn]axmemory"  -> {"maxmemory" "0"}
    CONFIG GET bind             -> {"bind" "127.0.0.1"}
    CONFIG GET save             -> {"save" ""}
    CONFIG GET                  -> -ERR wrong number of arguments for 'config|get' command
    CONFIG                      -> -ERR wrong number of arguments for 'config' command
    CONFIG nonsense             -> -ERR unknown subcommand 'nonsense'. Try CONFIG HELP.
    CONFIG GET ""               -> {}
}

# --- CONFIG SET ----------------------------------------------------------------------------

case "CONFIG SET of each kind of value" -server {--hz 10} {
    CONFIG SET maxmemory 100mb  -> +OK
    CONFIG GET maxmemory        -> {"maxmemory" "104857600"}
    CONFIG SET maxmemory 1k     -> +OK
    CONFIG GET maxmemory        -> {"maxmemory" "1000"}
    CONFIG SET maxmemory 1Kb    -> +OK
    CONFIG GET maxmemory        -> {"maxmemory" "1024"}
    CONFIG SET maxmemory 0      -> +OK
    CONFIG SET maxmemory-policy ALLKEYS-LRU -> +OK
    CONFIG GET maxmemory-policy -> {"maxmemory-policy" "allkeys-lru"}
    CONFIG SET maxmemory-policy noeviction -> +OK
    CONFIG SET lazyfree-lazy-expire YES -> +OK
    CONFIG GET lazyfree-lazy-expire -> {"lazyfree-lazy-expire" "yes"}
    CONFIG SET hz 100           -> +OK
    CONFIG GET hz               -> {"hz" "100"}
    CONFIG SET HZ 50            -> +OK
    CONFIG GET hz               -> {"hz" "50"}
    CONFIG SET save "900 1 300 10" -> +OK
    CONFIG GET save             -> {"save" "900 1 300 10"}
    CONFIG SET save ""          -> +OK
    CONFIG GET save             -> {"save" ""}
    CONFIG SET client-output-buffer-limit "normal 1mb 2mb 60" -> +OK
    CONFIG GET client-output-buffer-limit -> {"client-output-buffer-limit" "normal 1048576 2097152 60 slave 268435456 67108864 60 pubsub 33554432 8388608 60"}
    CONFIG SET client-output-buffer-limit "replica 0 0 0 pubsub 1 2 3" -> +OK
    CONFIG GET client-output-buffer-limit -> {"client-output-buffer-limit" "normal 1048576 2097152 60 slave 0 0 0 pubsub 1 2 3"}
    CONFIG SET notify-keyspace-events KEA -> +OK
    CONFIG GET notify-keyspace-events -> {"notify-keyspace-events" "AKE"}
    CONFIG SET notify-keyspace-events g$lshzxe -> +OK
    CONFIG GET notify-keyspace-events -> {"notify-keyspace-events" "g$lshzxe"}
    CONFIG SET notify-keyspace-events "" -> +OK
    CONFIG SET oom-score-adj-values "1 2 3" -> +OK
    CONFIG GET oom-score-adj-values -> {"oom-score-adj-values" "1 2 3"}
    CONFIG SET maxmemory-clients 10% -> +OK
    CONFIG GET maxmemory-clients -> {"maxmemory-clients" "10%"}
    CONFIG SET maxmemory-clients 1mb -> +OK
    CONFIG GET maxmemory-clients -> {"maxmemory-clients" "1048576"}
    CONFIG SET latency-tracking-info-percentiles "50 90.5" -> +OK
    CONFIG GET latency-tracking-info-percentiles -> {"latency-tracking-info-percentiles" "50 90.5"}
    CONFIG SET slowlog-log-slower-than -1 -> +OK
    CONFIG GET slowlog-log-slower-than -> {"slowlog-log-slower-than" "-1"}
    CONFIG SET hash-max-ziplist-entries 100 -> +OK
    CONFIG GET hash-max-listpack-entries -> {"hash-max-listpack-entries" "100"}
    CONFIG SET lfu-log-factor 0 lfu-decay-time 0 -> +OK
    CONFIG GET lfu-*            -> ?{"lfu-decay-time" "0" "lfu-log-factor" "0"}
    CONFIG SET timeout 100 tcp-keepalive 0 -> +OK
    CONFIG GET timeout tcp-keepalive -> ?{"tcp-keepalive" "0" "timeout" "100"}
}

case "CONFIG SET's errors" {
    CONFIG SET                  -> -ERR wrong number of arguments for 'config|set' command
    CONFIG SET maxmemory        -> -ERR wrong number of arguments for 'config|set' command
    CONFIG SET maxmemory 1 hz   -> -ERR syntax error
    CONFIG SET nonsense 1       -> -ERR Unknown option or number of arguments for CONFIG SET - 'nonsense'
    CONFIG SET maxmemory lots   -> -ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value
    CONFIG SET maxmemory -1     -> -ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value
    CONFIG SET maxmemory 10xb   -> -ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value
    CONFIG SET repl-backlog-size 99999999999999999999 -> -ERR CONFIG SET failed (possibly related to argument 'repl-backlog-size') - argument must be between 1 and 9223372036854775807 inclusive
    CONFIG SET maxmemory-policy nonsense -> /'maxmemory-policy'\) - argument\(s\) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, /
    CONFIG SET appendonly maybe -> -ERR CONFIG SET failed (possibly related to argument 'appendonly') - argument must be 'yes' or 'no'
    CONFIG SET appendfsync sometimes -> -ERR CONFIG SET failed (possibly related to argument 'appendfsync') - argument(s) must be one of the following: everysec, always, no
    CONFIG SET hz x             -> -ERR CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be parsed into an integer
    CONFIG SET timeout -1       -> -ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be between 0 and 2147483647 inclusive
    CONFIG SET tcp-keepalive x  -> -ERR CONFIG SET failed (possibly related to argument 'tcp-keepalive') - argument couldn't be parsed into an integer
    CONFIG SET maxmemory-samples 0 -> -ERR CONFIG SET failed (possibly related to argument 'maxmemory-samples') - argument must be between 1 and 64 inclusive
    CONFIG SET maxmemory-samples 65 -> -ERR CONFIG SET failed (possibly related to argument 'maxmemory-samples') - argument must be between 1 and 64 inclusive
    CONFIG SET maxclients 0     -> -ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument must be between 1 and 4294967295 inclusive
    CONFIG SET slowlog-max-len -1 -> -ERR CONFIG SET failed (possibly related to argument 'slowlog-max-len') - argument must be between 0 and 9223372036854775807 inclusive
    CONFIG SET loglevel loud    -> -ERR CONFIG SET failed (possibly related to argument 'loglevel') - argument(s) must be one of the following: debug, verbose, notice, warning, nothing
    CONFIG SET notify-keyspace-events q -> /'notify-keyspace-events'\) - Invalid event class character\. Use '/
    CONFIG SET save nonsense    -> -ERR CONFIG SET failed (possibly related to argument 'save') - Invalid save parameters
    CONFIG SET save "1"         -> -ERR CONFIG SET failed (possibly related to argument 'save') - Invalid save parameters
    CONFIG SET save "0 1"       -> -ERR CONFIG SET failed (possibly related to argument 'save') - Invalid save parameters
    CONFIG SET client-output-buffer-limit "normal 1" -> -ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Wrong number of arguments in buffer limit configuration.
    CONFIG SET client-output-buffer-limit "nonsense 0 0 0" -> -ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Invalid client class specified in buffer limit configuration.
    CONFIG SET client-output-buffer-limit "normal x 0 0" -> -ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Error in hard, soft or soft_seconds setting in buffer limit configuration.
    CONFIG SET oom-score-adj-values "1 2" -> -ERR CONFIG SET failed (possibly related to argument 'oom-score-adj-values') - wrong number of arguments
    CONFIG SET latency-tracking-info-percentiles 101 -> -ERR CONFIG SET failed (possibly related to argument 'latency-tracking-info-percentiles') - latency-tracking-info-percentiles parameters should sit between [0.0,100.0]
    CONFIG SET latency-tracking-info-percentiles x -> -ERR CONFIG SET failed (possibly related to argument 'latency-tracking-info-percentiles') - Invalid latency-tracking-info-percentiles parameters
    CONFIG SET maxmemory-clients 101% -> -ERR CONFIG SET failed (possibly related to argument 'maxmemory-clients') - percentage argument must be less or equal to 100
    CONFIG SET proto-max-bulk-len 1 -> -ERR CONFIG SET failed (possibly related to argument 'proto-max-bulk-len') - argument must be between 1048576 and 9223372036854775807 inclusive
    CONFIG SET databases 32     -> -ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config
    CONFIG SET unixsocket /x    -> -ERR CONFIG SET failed (possibly related to argument 'unixsocket') - can't set immutable config
    CONFIG SET tcp-backlog 1    -> -ERR CONFIG SET failed (possibly related to argument 'tcp-backlog') - can't set immutable config
    CONFIG SET daemonize yes    -> -ERR CONFIG SET failed (possibly related to argument 'daemonize') - can't set immutable config
    CONFIG SET dir /nonexistent/directory -> -ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config
    CONFIG SET enable-debug-command yes -> -ERR CONFIG SET failed (possibly related to argument 'enable-debug-command') - can't set immutable config
    CONFIG SET maxmemory 1 maxmemory 2 -> -ERR CONFIG SET failed (possibly related to argument 'maxmemory') - duplicate parameter
    CONFIG SET dbfilename a/b   -> -ERR CONFIG SET failed (possibly related to argument 'dbfilename') - can't set protected config
    CONFIG SET logfile x        -> -ERR CONFIG SET failed (possibly related to argument 'logfile') - can't set immutable config
}

case "CONFIG SET sets all or none" {
    CONFIG SET hz 20 maxmemory-samples 7 maxmemory nonsense -> -ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value
    CONFIG GET hz maxmemory-samples -> ?{"maxmemory-samples" "5" "hz" "10"}
    CONFIG SET hz 20 nonsense 7 -> -ERR Unknown option or number of arguments for CONFIG SET - 'nonsense'
    CONFIG GET hz               -> {"hz" "10"}
    CONFIG SET hz 20 maxmemory-samples 7 -> +OK
    CONFIG GET hz maxmemory-samples -> ?{"maxmemory-samples" "7" "hz" "20"}
    CONFIG SET hz 10 maxmemory-samples 5 -> +OK
}

case "CONFIG REWRITE needs a file" {
    CONFIG REWRITE              -> -ERR The server is running without a config file
    CONFIG REWRITE x            -> -ERR wrong number of arguments for 'config|rewrite' command
    CONFIG RESETSTAT x          -> -ERR wrong number of arguments for 'config|resetstat' command
    CONFIG HELP                 -> [/^CONFIG <subcommand>/ ...]
    CONFIG HELP x               -> -ERR wrong number of arguments for 'config|help' command
}

# --- COMMAND ----------------------------------------------------------------------------------

# name, arity, flags, first key, last key, step, ACL categories, tips
set command_table {
    {get 2 {fast readonly} 1 1 1 {@fast @read @string} {}}
    {set -3 {denyoom write} 1 1 1 {@slow @string @write} {}}
    {setnx 3 {denyoom fast write} 1 1 1 {@fast @string @write} {}}
    {setex 4 {denyoom write} 1 1 1 {@slow @string @write} {}}
    {psetex 4 {denyoom write} 1 1 1 {@slow @string @write} {}}
    {append 3 {denyoom fast write} 1 1 1 {@fast @string @write} {}}
    {strlen 2 {fast readonly} 1 1 1 {@fast @read @string} {}}
    {del -2 {write} 1 -1 1 {@keyspace @slow @write} {request_policy:multi_shard response_policy:agg_sum}}
    {unlink -2 {fast write} 1 -1 1 {@fast @keyspace @write} {request_policy:multi_shard response_policy:agg_sum}}
    {exists -2 {fast readonly} 1 -1 1 {@fast @keyspace @read} {request_policy:multi_shard response_policy:agg_sum}}
    {setrange 4 {denyoom write} 1 1 1 {@slow @string @write} {}}
    {getrange 4 {readonly} 1 1 1 {@read @slow @string} {}}
    {substr 4 {readonly} 1 1 1 {@read @slow @string} {}}
    {incr 2 {denyoom fast write} 1 1 1 {@fast @string @write} {}}
    {decr 2 {denyoom fast write} 1 1 1 {@fast @string @write} {}}
    {mget -2 {fast readonly} 1 -1 1 {@fast @read @string} {request_policy:multi_shard}}
    {incrby 3 {denyoom fast write} 1 1 1 {@fast @string @write} {}}
    {decrby 3 {denyoom fast write} 1 1 1 {@fast @string @write} {}}
    {incrbyfloat 3 {denyoom fast write} 1 1 1 {@fast @string @write} {}}
    {getset 3 {denyoom fast write} 1 1 1 {@fast @string @write} {}}
    {getex -2 {fast write} 1 1 1 {@fast @string @write} {}}
    {getdel 2 {fast write} 1 1 1 {@fast @string @write} {}}
    {lcs -3 {readonly} 1 2 1 {@read @slow @string} {}}
    {mset -3 {denyoom write} 1 -1 2 {@slow @string @write} {request_policy:multi_shard response_policy:all_succeeded}}
    {msetnx -3 {denyoom write} 1 -1 2 {@slow @string @write} {}}
    {copy -3 {denyoom write} 1 2 1 {@keyspace @slow @write} {}}
    {rename 3 {write} 1 2 1 {@keyspace @slow @write} {}}
    {renamenx 3 {fast write} 1 2 1 {@fast @keyspace @write} {}}
    {move 3 {fast write} 1 1 1 {@fast @keyspace @write} {}}
    {expire -3 {fast write} 1 1 1 {@fast @keyspace @write} {}}
    {expireat -3 {fast write} 1 1 1 {@fast @keyspace @write} {}}
    {pexpire -3 {fast write} 1 1 1 {@fast @keyspace @write} {}}
    {pexpireat -3 {fast write} 1 1 1 {@fast @keyspace @write} {}}
    {ttl 2 {fast readonly} 1 1 1 {@fast @keyspace @read} {nondeterministic_output}}
    {pttl 2 {fast readonly} 1 1 1 {@fast @keyspace @read} {nondeterministic_output}}
    {expiretime 2 {fast readonly} 1 1 1 {@fast @keyspace @read} {}}
    {pexpiretime 2 {fast readonly} 1 1 1 {@fast @keyspace @read} {}}
    {persist 2 {fast write} 1 1 1 {@fast @keyspace @write} {}}
    {keys 2 {readonly} 0 0 0 {@dangerous @keyspace @read @slow} {nondeterministic_output_order request_policy:all_shards}}
    {scan -2 {readonly} 0 0 0 {@keyspace @read @slow} {nondeterministic_output request_policy:special response_policy:special}}
    {randomkey 1 {readonly} 0 0 0 {@keyspace @read @slow} {nondeterministic_output request_policy:all_shards response_policy:special}}
    {type 2 {fast readonly} 1 1 1 {@fast @keyspace @read} {}}
    {touch -2 {fast readonly} 1 -1 1 {@fast @keyspace @read} {request_policy:multi_shard response_policy:agg_sum}}
    {object -2 {} 0 0 0 {@slow} {}}
    {object|encoding 3 {readonly} 2 2 1 {@keyspace @read @slow} {nondeterministic_output}}
    {object|freq 3 {readonly} 2 2 1 {@keyspace @read @slow} {nondeterministic_output}}
    {object|help 2 {loading stale} 0 0 0 {@keyspace @slow} {}}
    {object|idletime 3 {readonly} 2 2 1 {@keyspace @read @slow} {nondeterministic_output}}
    {object|refcount 3 {readonly} 2 2 1 {@keyspace @read @slow} {nondeterministic_output}}
    {dbsize 1 {fast readonly} 0 0 0 {@fast @keyspace @read} {request_policy:all_shards response_policy:agg_sum}}
    {select 2 {fast loading stale} 0 0 0 {@connection @fast} {}}
    {swapdb 3 {fast write} 0 0 0 {@dangerous @fast @keyspace @write} {}}
    {flushdb -1 {write} 0 0 0 {@dangerous @keyspace @slow @write} {request_policy:all_shards response_policy:all_succeeded}}
    {flushall -1 {write} 0 0 0 {@dangerous @keyspace @slow @write} {request_policy:all_shards response_policy:all_succeeded}}
    {auth -2 {allow_busy fast loading no_auth noscript stale} 0 0 0 {@connection @fast} {}}
    {ping -1 {fast} 0 0 0 {@connection @fast} {request_policy:all_shards response_policy:all_succeeded}}
    {echo 2 {fast loading stale} 0 0 0 {@connection @fast} {}}
    {hello -1 {allow_busy fast loading no_auth noscript stale} 0 0 0 {@connection @fast} {}}
    {quit -1 {allow_busy fast loading no_auth noscript stale} 0 0 0 {@connection @fast} {}}
    {reset 1 {allow_busy fast loading no_auth noscript stale} 0 0 0 {@connection @fast} {}}
    {client -2 {} 0 0 0 {@slow} {}}
    {client|caching 3 {loading noscript stale} 0 0 0 {@connection @slow} {}}
    {client|getname 2 {loading noscript stale} 0 0 0 {@connection @slow} {}}
    {client|getredir 2 {loading noscript stale} 0 0 0 {@connection @slow} {}}
    {client|help 2 {loading stale} 0 0 0 {@connection @slow} {}}
    {client|id 2 {loading noscript stale} 0 0 0 {@connection @slow} {}}
    {client|info 2 {loading noscript stale} 0 0 0 {@connection @slow} {nondeterministic_output}}
    {client|kill -3 {admin loading noscript stale} 0 0 0 {@admin @connection @dangerous @slow} {}}
    {client|list -2 {admin loading noscript stale} 0 0 0 {@admin @connection @dangerous @slow} {nondeterministic_output}}
    {client|no-evict 3 {admin loading noscript stale} 0 0 0 {@admin @connection @dangerous @slow} {}}
    {client|no-touch 3 {loading noscript stale} 0 0 0 {@connection @slow} {}}
    {client|pause -3 {admin loading noscript stale} 0 0 0 {@admin @connection @dangerous @slow} {}}
    {client|reply 3 {loading noscript stale} 0 0 0 {@connection @slow} {}}
    {client|setinfo 4 {loading noscript stale} 0 0 0 {@connection @slow} {request_policy:all_nodes response_policy:all_succeeded}}
    {client|setname 3 {loading noscript stale} 0 0 0 {@connection @slow} {request_policy:all_nodes response_policy:all_succeeded}}
    {client|tracking -3 {loading noscript stale} 0 0 0 {@connection @slow} {}}
    {client|trackinginfo 2 {loading noscript stale} 0 0 0 {@connection @slow} {}}
    {client|unblock -3 {admin loading noscript stale} 0 0 0 {@admin @connection @dangerous @slow} {}}
    {client|unpause 2 {admin loading noscript stale} 0 0 0 {@admin @connection @dangerous @slow} {}}
    {config -2 {} 0 0 0 {@slow} {}}
    {config|get -3 {admin loading noscript stale} 0 0 0 {@admin @dangerous @slow} {}}
    {config|help 2 {loading stale} 0 0 0 {@slow} {}}
    {config|resetstat 2 {admin loading noscript stale} 0 0 0 {@admin @dangerous @slow} {request_policy:all_nodes response_policy:all_succeeded}}
    {config|rewrite 2 {admin loading noscript stale} 0 0 0 {@admin @dangerous @slow} {request_policy:all_nodes response_policy:all_succeeded}}
    {config|set -4 {admin loading noscript stale} 0 0 0 {@admin @dangerous @slow} {request_policy:all_nodes response_policy:all_succeeded}}
    {info -1 {loading stale} 0 0 0 {@dangerous @slow} {nondeterministic_output request_policy:all_shards response_policy:special}}
    {command -1 {loading stale} 0 0 0 {@connection @slow} {nondeterministic_output_order}}
    {command|count 2 {loading stale} 0 0 0 {@connection @slow} {}}
    {command|docs -2 {loading stale} 0 0 0 {@connection @slow} {nondeterministic_output_order}}
    {command|getkeys -3 {loading stale} 0 0 0 {@connection @slow} {}}
    {command|getkeysandflags -3 {loading stale} 0 0 0 {@connection @slow} {}}
    {command|help 2 {loading stale} 0 0 0 {@connection @slow} {}}
    {command|info -2 {loading stale} 0 0 0 {@connection @slow} {nondeterministic_output_order}}
    {command|list -2 {loading stale} 0 0 0 {@connection @slow} {nondeterministic_output_order}}
    {memory -2 {} 0 0 0 {@slow} {}}
    {memory|doctor 2 {} 0 0 0 {@slow} {nondeterministic_output request_policy:all_shards response_policy:special}}
    {memory|help 2 {loading stale} 0 0 0 {@slow} {}}
    {memory|malloc-stats 2 {} 0 0 0 {@slow} {nondeterministic_output request_policy:all_shards response_policy:special}}
    {memory|purge 2 {} 0 0 0 {@slow} {request_policy:all_shards response_policy:all_succeeded}}
    {memory|stats 2 {} 0 0 0 {@slow} {nondeterministic_output request_policy:all_shards response_policy:special}}
    {memory|usage -3 {readonly} 2 2 1 {@read @slow} {}}
    {debug -2 {admin loading noscript stale} 0 0 0 {@admin @dangerous @slow} {}}
    {time 1 {fast loading stale} 0 0 0 {@fast} {nondeterministic_output}}
    {lastsave 1 {fast loading stale} 0 0 0 {@admin @dangerous @fast} {nondeterministic_output}}
    {shutdown -1 {admin allow_busy loading no_multi noscript stale} 0 0 0 {@admin @dangerous @slow} {}}
    {dump 2 {readonly} 1 1 1 {@keyspace @read @slow} {nondeterministic_output}}
    {restore -4 {denyoom write} 1 1 1 {@dangerous @keyspace @slow @write} {}}
    {lolwut -1 {fast readonly} 0 0 0 {@fast @read} {}}
}

check "COMMAND INFO describes every command" {
    foreach row $command_table {
        lassign $row name arity flags first last step categories tips
        set info [lindex [ask COMMAND INFO $name] 1 0 1]
        if {$info eq ""} continue
        set words {tree {lsort [lmap item [lindex $tree 1] {lindex $item 1}]}}
        same [list $name $arity $flags $first $last $step $categories $tips] [list \
            [lindex $info 0 1] [lindex $info 1 1] [apply $words [lindex $info 2]] [lindex $info 3 1] \
            [lindex $info 4 1] [lindex $info 5 1] [apply $words [lindex $info 6]] [apply $words [lindex $info 7]]] $name
    }
}

check "COMMAND, COMMAND COUNT and COMMAND LIST agree" {
    set names [lsort [lmap item [lindex [ask COMMAND] 1] {lindex $item 1 0 1}]]
    same [llength $names] [lindex [ask COMMAND COUNT] 1]
    # COMMAND LIST names the subcommands too.
    same $names [lsort [lsearch -all -inline -not [lmap item [lindex [ask COMMAND LIST] 1] {lindex $item 1}] *|*]]
    foreach name {get set del config client} {
        if {$name ni $names} {
            run::problem COMMAND $name missing
        }
    }
}

case "COMMAND" {
    COMMAND INFO nosuch         -> [nil]
    COMMAND INFO nosuch get     -> [nil ["get" :2 any :1 :1 :1 any any any any]]
    COMMAND INFO GET            -> [["get" :2 any :1 :1 :1 any any any any]]
    COMMAND INFO config|get     -> [["config|get" :-3 any :0 :0 :0 any any any any]]
    COMMAND INFO config|nosuch  -> [nil]
    COMMAND INFO get|nosuch     -> [nil]
    COMMAND COUNT x             -> -ERR wrong number of arguments for 'command|count' command
    COMMAND LIST x              -> -ERR syntax error
    COMMAND LIST FILTERBY       -> -ERR syntax error
    COMMAND LIST FILTERBY nonsense x -> -ERR syntax error
    COMMAND LIST FILTERBY PATTERN getr* -> ["getrange"]
    COMMAND LIST FILTERBY PATTERN config|re* -> ?["config|resetstat" "config|rewrite"]
    COMMAND LIST FILTERBY ACLCAT nonsense -> []
    COMMAND LIST FILTERBY MODULE nonsense -> []
    COMMAND nosuch              -> -ERR unknown subcommand 'nosuch'. Try COMMAND HELP.
    COMMAND HELP                -> [/^COMMAND/ ...]
}

case "COMMAND GETKEYS" {
    COMMAND GETKEYS GET k       -> ["k"]
    COMMAND GETKEYS MSET a 1 b 2 -> ["a" "b"]
    COMMAND GETKEYS SET k v GET -> ["k"]
    COMMAND GETKEYS LCS a b     -> ["a" "b"]
    COMMAND GETKEYS OBJECT ENCODING k -> ["k"]
    COMMAND GETKEYS MEMORY USAGE k -> ["k"]
    COMMAND GETKEYS COPY a b    -> ["a" "b"]
    COMMAND GETKEYS PING        -> -ERR The command has no key arguments
    COMMAND GETKEYS GET         -> -ERR Invalid number of arguments specified for command
    COMMAND GETKEYS NOSUCH k    -> -ERR Invalid command specified
    COMMAND GETKEYS CONFIG GET x -> -ERR The command has no key arguments
    COMMAND GETKEYS             -> -ERR wrong number of arguments for 'command|getkeys' command
    COMMAND GETKEYSANDFLAGS GET k -> [["k" ~[+"RO" +"access"]]]
    COMMAND GETKEYSANDFLAGS SET k v -> [["k" ~[+"OW" +"update"]]]
    COMMAND GETKEYSANDFLAGS SET k v GET -> [["k" ~[+"RW" +"access" +"update"]]]
    COMMAND GETKEYSANDFLAGS DEL a b -> [["a" ~[+"RM" +"delete"]] ["b" ~[+"RM" +"delete"]]]
    COMMAND GETKEYSANDFLAGS RENAME a b -> [["a" ~[+"RW" +"access" +"delete"]] ["b" ~[+"OW" +"update"]]]
    COMMAND GETKEYSANDFLAGS COPY a b -> [["a" ~[+"RO" +"access"]] ["b" ~[+"OW" +"update"]]]
    COMMAND GETKEYSANDFLAGS INCR a -> [["a" ~[+"RW" +"access" +"update"]]]
    COMMAND GETKEYSANDFLAGS TYPE a -> [["a" ~[+"RO"]]]
    COMMAND GETKEYSANDFLAGS GETEX a -> [["a" ~[+"RW" +"access" +"update"]]]
}

case "COMMAND DOCS" {
    COMMAND DOCS get            -> {"get" {"summary" any "since" "1.0.0" "group" "string" "complexity" any ...}}
    COMMAND DOCS GET nosuch     -> {"get" any}
    COMMAND DOCS nosuch         -> {}
    COMMAND DOCS hdel           -> {"hdel" {"summary" any "since" any "group" any "complexity" any "history" ~[["2.4.0" any]] ...}}
    COMMAND DOCS bgsave         -> {"bgsave" {"summary" any "since" any "group" any "complexity" any "history" ~[["3.2.2" any]] ...}}
    COMMAND DOCS lpop           -> {"lpop" {"summary" any "since" any "group" any "complexity" any "history" ~[["6.2.0" any]] "arguments" [any {"name" "count" "type" "integer" "display_text" "count" "since" "6.2.0" "flags" ~[+"optional"]}]}}
    COMMAND DOCS function|restore -> {"function|restore" {any any any any any any any any "arguments" [any {"name" "policy" "type" "oneof" ...}]}}
    COMMAND DOCS function|list  -> {"function|list" {any any any any any any any any "arguments" [{"name" "library-name-pattern" "type" "string" ...} any]}}
    COMMAND DOCS script|debug   -> {"script|debug" {any any any any any any any any "arguments" [{"name" "mode" "type" "oneof" ...}]}}
    COMMAND DOCS monitor        -> {"monitor" {"summary" any "since" "1.0.0" "group" "server"}}
    COMMAND DOCS sync           -> {"sync" {"summary" any "since" "1.0.0" "group" "server"}}
    COMMAND DOCS zrevrange      -> {"zrevrange" {any any any any any any any any "doc_flags" any "deprecated_since" "6.2.0" "replaced_by" "`ZRANGE` with the `REV` argument" ...}}
    COMMAND DOCS client|kill    -> {"client|kill" {any any any any any any any any any any "arguments" [{"name" "filter" "type" "oneof" "arguments" [{"name" "old-format" "type" "string" "display_text" "ip:port" "deprecated_since" "2.8.12"} any]}]}}
    COMMAND DOCS debug          -> {"debug" {"summary" any "since" "1.0.0" "group" "server" "complexity" any "doc_flags" ~[+"syscmd"]}}
    COMMAND DOCS config|set     -> {"config|set" {"summary" any "since" "2.0.0" "group" "server" ...}}
}

# The parts of a command's documentation that tell of an argument.
proc argument {command name} {
    set documented [lindex [ask COMMAND DOCS $command] 1 1 1]
    foreach {field value} $documented {
        if {[lindex $field 1] eq "arguments"} {
            foreach argument [lindex $value 1] {
                if {[lindex $argument 1 1 1] eq $name} {
                    return $argument
                }
            }
        }
    }
}

check "COMMAND DOCS knows the keys that patterns name" {
    foreach command {sort sort_ro} {
        expect {{"name" any "type" "pattern" "display_text" any "key_spec_index" :1 "token" "BY" "flags" any}} [argument $command by-pattern]
        expect {{"name" any "type" "pattern" "display_text" any "key_spec_index" :1 "token" "GET" "flags" any}} [argument $command get-pattern]
    }
    expect {{"name" any "type" "key" "display_text" any "key_spec_index" :2 "token" "STORE" "flags" any}} [argument sort destination]
}

# --- MEMORY --------------------------------------------------------------------------------------

case "MEMORY" {
    SET k v                     -> +OK
    MEMORY USAGE k              -> :16..200
    MEMORY USAGE k SAMPLES 0    -> :16..200
    MEMORY USAGE missing        -> nil
    MEMORY USAGE                -> -ERR wrong number of arguments for 'memory|usage' command
    MEMORY USAGE k SAMPLES      -> -ERR syntax error
    MEMORY USAGE k SAMPLES x    -> -ERR value is not an integer or out of range
    MEMORY USAGE k SAMPLES -1   -> -ERR syntax error
    MEMORY USAGE k nonsense 1   -> -ERR syntax error
    MEMORY DOCTOR               -> /./
    MEMORY PURGE                -> +OK
    MEMORY MALLOC-STATS         -> /./
    MEMORY STATS                -> {"peak.allocated" :1..1000000000 "total.allocated" :1..1000000000 ...}
    MEMORY STATS x              -> -ERR wrong number of arguments for 'memory|stats' command
    MEMORY nosuch               -> -ERR unknown subcommand 'nosuch'. Try MEMORY HELP.
    MEMORY                      -> -ERR wrong number of arguments for 'memory' command
    MEMORY HELP                 -> [/^MEMORY <subcommand>/ ...]
}

check "MEMORY USAGE grows with the value" {
    ask SET k [string repeat x 100000]
    set usage [lindex [ask MEMORY USAGE k] 1]
    same 1 [expr {$usage > 100000 && $usage < 140000}] $usage
}

check "MEMORY STATS has the fields tools read" {
    set names [lmap {name value} [lindex [ask MEMORY STATS] 1] {lindex $name 1}]
    foreach name {
        peak.allocated total.allocated startup.allocated replication.backlog clients.slaves clients.normal
        cluster.links aof.buffer lua.caches functions.caches overhead.total keys.count keys.bytes-per-key dataset.bytes
        dataset.percentage peak.percentage allocator.allocated allocator.active allocator.resident
        allocator-fragmentation.ratio allocator-fragmentation.bytes allocator-rss.ratio allocator-rss.bytes
        rss-overhead.ratio rss-overhead.bytes fragmentation fragmentation.bytes
    } {
        if {$name ni $names} {
            run::problem "MEMORY STATS" $name missing
        }
    }
}

# --- DEBUG ---------------------------------------------------------------------------------------

case "DEBUG" {
    SET k v                     -> +OK
    DEBUG OBJECT k              -> /^Value at:\S+ refcount:1 encoding:embstr serializedlength:\d+ lru:\d+ lru_seconds_idle:\d+/
    DEBUG OBJECT missing        -> -ERR no such key
    DEBUG SLEEP 0               -> +OK
    DEBUG ERROR "MYERR text"    -> -MYERR text
    DEBUG LOG "a line"          -> +OK
    DEBUG STRINGMATCH-LEN 10 "a*" -> -ERR unknown subcommand or wrong number of arguments for 'STRINGMATCH-LEN'. Try DEBUG HELP.
    DEBUG nosuch                -> -ERR unknown subcommand or wrong number of arguments for 'nosuch'. Try DEBUG HELP.
    DEBUG                       -> -ERR wrong number of arguments for 'debug' command
    DEBUG HELP                  -> [/^DEBUG <subcommand>/ ...]
    DEBUG POPULATE 3            -> +OK
    MGET key:0 key:1 key:2 key:3 -> ["value:0" "value:1" "value:2" nil]
    DEBUG POPULATE 2 p 5        -> +OK
    MGET p:0 p:1                -> ["value" "value"]
    DBSIZE                      -> :6
}

case "DEBUG DIGEST: the same data have the same digest on every server" {
    DEBUG DIGEST                -> +0000000000000000000000000000000000000000
    SET s abc                   -> +OK
    SET i 12345                 -> +OK
    RPUSH l a 1 b               -> :3
    SADD n 3 1 2                -> :3
    SADD m a b 1                -> :3
    ZADD z 1.5 a 3 b -inf c 0.1 d 123456789012345678 e -> :5
    HSET h f v g 1              -> :2
    HSET t f v g 1              -> :2
    HEXPIRE t 1000 FIELDS 1 f   -> [:1]
    XADD x 1-1 a 1 b 2          -> "1-1"
    XADD x 2-0 a 3              -> "2-0"
    DEBUG DIGEST-VALUE s i l n  -> [+21ffcd2d36aebffca02995acb412bcb827d4c1db +e1cf90774e995ae03de66e8109dc5cb9d9c2dc83 +d5f44352f6226abea9252dad248ef5de0d964396 +2a462a3f51a1db89738ebbeef0c47ce1bbc85246]
    DEBUG DIGEST-VALUE m z h t  -> [+e8f32bbb1ad9bf537c8867de4f19fec9e001296d +39a28710b185f5d3d91014c9cb708a607d04c728 +6679ee22f89ed8001eeb5309d0900265ea56c03a +8206116f17c298693b1f57963ce14e2aef55498f]
    DEBUG DIGEST-VALUE x missing -> [+0505a204e5d25f07d7331064f4a3c35588044e09 +0000000000000000000000000000000000000000]
    DEBUG DIGEST                -> +a3bd64094415a8385543ba1782fbfc83b916fef7
    EXPIRE s 1000               -> :1
    DEBUG DIGEST-VALUE s        -> [+c77a33d2ea9755a8613f7e54f17873233d7a8058]
    SELECT 5                    -> +OK
    SET k v                     -> +OK
    DEBUG DIGEST                -> +e8857c7ef30898b3ac3dc08675dec40a8a19d645
    FLUSHALL                    -> +OK
    SELECT 0                    -> +OK
    SET k v                     -> +OK
    DEBUG DIGEST                -> +264ccf65edec66bccfa7cc659414ccca432057d2
}

check "DEBUG DIGEST does not depend on encodings" {
    foreach count {3 1000} {
        set members {}
        for {set at 0} {$at < $count} {incr at} {
            lappend members [expr {$at * 7919 % 1009}]
        }
        ask SADD s {*}$members
        ask SADD texts {*}$members text
        ask SREM texts text
        foreach member $members {
            ask ZADD z [expr {$member / 7.0}] $member
            ask HSET h $member $member
            ask RPUSH l $member
        }
        set before [ask DEBUG DIGEST]
        same [ask DEBUG DIGEST-VALUE s] [ask DEBUG DIGEST-VALUE texts]
        foreach setting {set-max-intset-entries zset-max-listpack-entries hash-max-listpack-entries list-max-listpack-size} {
            ask CONFIG SET $setting [expr {$count == 3 ? 1 : 10000}]
        }
        ask DEBUG RELOAD
        same $before [ask DEBUG DIGEST] "with $count members"
        ask FLUSHALL
    }
}

case "DEBUG: what has to do with a cluster, with lists, scripts and clients" {
    DEBUG LEAK text                         -> +OK
    DEBUG LEAK                              -> -ERR unknown subcommand or wrong number of arguments for 'LEAK'. Try DEBUG HELP.
    DEBUG DROP-CLUSTER-PACKET-FILTER -1     -> +OK
    DEBUG DROP-CLUSTER-PACKET-FILTER x      -> -ERR value is not an integer or out of range
    DEBUG CLUSTERLINK KILL all someone      -> -ERR Debug option only available for cluster mode enabled setup!
    DEBUG CLUSTERLINK KILL all              -> -ERR unknown subcommand or wrong number of arguments for 'CLUSTERLINK'. Try DEBUG HELP.
    RPUSH l a                               -> :1
    DEBUG QUICKLIST l                       -> -ERR Not a quicklist encoded object.
    DEBUG QUICKLIST missing                 -> -ERR no such key
    CONFIG SET list-max-listpack-size 1     -> +OK
    RPUSH l b c                             -> :3
    DEBUG QUICKLIST l                       -> +Quicklist structure printed on stdout
    DEBUG QUICKLIST l 1                     -> +Quicklist structure printed on stdout
    CONFIG SET list-max-listpack-size -2    -> +OK
    EVAL "return 1" 0                       -> :1
    DEBUG SCRIPT LIST                       -> +OK
    DEBUG SCRIPT e0e1f9fabfc9d4800c877a703b823ac0578ff8db -> +OK
    DEBUG SCRIPT aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa -> -NOSCRIPT No matching script. Please use EVAL.
    DEBUG SCRIPT x                          -> -ERR unknown subcommand or wrong number of arguments for 'SCRIPT'. Try DEBUG HELP.
    DEBUG CLIENT-EVICTION                   -> -ERR maxmemory-clients is disabled.
    CONFIG SET maxmemory-clients 100mb      -> +OK
    DEBUG CLIENT-EVICTION                   -> /^bucket          0 -      32767: tot-mem: +\d+, clients: \d+\nbucket      32768 -      65535: /
    CONFIG SET maxmemory-clients 0          -> +OK
}

check "DEBUG CHANGE-REPL-ID gives the stream another name" {
    set before [dict get [info_of replication] Replication master_replid]
    expect {+OK} [ask DEBUG CHANGE-REPL-ID]
    if {[dict get [info_of replication] Replication master_replid] eq $before} {
        run::problem "DEBUG CHANGE-REPL-ID" "another master_replid" $before
    }
    same [string repeat 0 40] [dict get [info_of replication] Replication master_replid2]
}

check "DEBUG LOADAOF without an append-only file: the data are gone" -server {--appendonly no} {
    ask SET k v
    expect {-ERR Error trying to load the AOF files, check server logs.} [ask DEBUG LOADAOF]
    expect {:0} [ask DBSIZE]
}

check "commands that Redis does not have say since which version of CacheStorm" -only cachestorm {
    foreach command {
        settag tags addtag remtag tagkeys tagcount tagscan invalidate taginvalidate taglink tagunlink tagchildren
        namespace namespaces namespacedel namespaceinfo hotkeys meminfo
    } {
        regexp {"since" "([^"]*)"} [resp::show [ask COMMAND DOCS $command]] all since
        same 0.1.0 $since $command
    }
}

case "DEBUG MALLCTL reads and sets what the allocator has a name for" {
    DEBUG MALLCTL arenas.page                       -> :4096
    DEBUG MALLCTL nosuch                            -> -ERR No such file or directory
    DEBUG MALLCTL arenas.page 1                     -> -ERR Operation not permitted
    DEBUG MALLCTL arenas.dirty_decay_ms x           -> -ERR value is not an integer or out of range
    DEBUG MALLCTL arenas.muzzy_decay_ms 100         -> :0
    DEBUG MALLCTL arenas.muzzy_decay_ms 0           -> :100
    DEBUG MALLCTL-STR version                       -> /^5\.\d+\.\d+/
    DEBUG MALLCTL-STR nosuch                        -> -ERR No such file or directory
    DEBUG MALLCTL-STR thread.tcache.flush           -> -ERR Operation not permitted
    DEBUG MALLCTL-STR thread.tcache.flush VOID      -> +OK
    DEBUG MALLCTL-STR arena.0.dss primary           -> "secondary"
    DEBUG MALLCTL-STR arena.0.dss nosuch            -> "primary"
    DEBUG MALLCTL-STR arena.0.dss secondary         -> "primary"
}

case "DEBUG PROTOCOL shows every type of reply" {
    DEBUG PROTOCOL string       -> "Hello World"
    DEBUG PROTOCOL integer      -> :12345
    DEBUG PROTOCOL double       -> ,3.141
    DEBUG PROTOCOL null         -> nil
    DEBUG PROTOCOL array        -> [:0 :1 :2]
    DEBUG PROTOCOL set          -> ~[:0 :1 :2]
    DEBUG PROTOCOL map          -> {:0 #f :1 #t :2 #f}
    DEBUG PROTOCOL bignum       -> (1234567999999999999999999999999999999
    DEBUG PROTOCOL true         -> #t
    DEBUG PROTOCOL false        -> #f
    DEBUG PROTOCOL verbatim     -> ="This is a verbatim\nstring"
    DEBUG PROTOCOL nonsense     -> /^-ERR Wrong protocol type name\./
}

check "DEBUG DIGEST depends on the data alone" {
    expect {+0000000000000000000000000000000000000000} [ask DEBUG DIGEST]
    ask MSET a 1 b 2
    set one [ask DEBUG DIGEST]
    ask FLUSHALL
    ask SET b 2
    ask SET a 1
    same $one [ask DEBUG DIGEST]
    ask SET a 2
    same 0 [expr {$one eq [ask DEBUG DIGEST]}] "digest of other data"
    ask SET c 2
    same [lindex [ask DEBUG DIGEST-VALUE a] 1 0] [lindex [ask DEBUG DIGEST-VALUE b] 1 0] "digest of equal values"
}

check "DEBUG is refused unless enabled" {
    set id [server::launch [set port [server::free_port]] [set dir [server::new_dir]] \
        [list --port $port --bind 127.0.0.1 --dir $dir --save ""]]
    set c [resp::open $port]
    resp::send $c {DEBUG SLEEP 0}
    expect {/^-ERR DEBUG command not allowed\. If the enable-debug-command option is set to "local", /} [resp::read $c]
    resp::close $c
    server::stop $id
}

# --- the small ones --------------------------------------------------------------------------------

check "TIME" {
    set now [clock seconds]
    lassign [lmap item [lindex [ask TIME] 1] {lindex $item 1}] seconds microseconds
    same 1 [expr {abs($seconds - $now) <= 2 && $microseconds >= 0 && $microseconds < 1000000}] "$seconds $microseconds"
}

check "LASTSAVE" -needs {LASTSAVE} {
    set now [clock seconds]
    set saved [lindex [ask LASTSAVE] 1]
    same 1 [expr {$saved <= $now + 2 && $saved > $now - 86400}] "LASTSAVE $saved"
}

case "arity of the small ones" {
    TIME x                      -> -ERR wrong number of arguments for 'time' command
    LOLWUT                      -> /7\.4\.\d/
    LOLWUT VERSION 5            -> any
    LOLWUT VERSION 5 x          -> -ERR value is not an integer or out of range
    LOLWUT VERSION 5 1 2 x      -> -ERR value is not an integer or out of range
    LOLWUT VERSION 6 1 x        -> -ERR value is not an integer or out of range
    LOLWUT VERSION 6 1 2 x      -> any
    LOLWUT VERSION 9 x          -> any
    LOLWUT x y                  -> any
}

case "ROLE of a master" -needs {ROLE} {
    ROLE                        -> ["master" :0 []]
}

case "SLOWLOG" -needs {SLOWLOG} -config {slowlog-log-slower-than 0} {
    SLOWLOG RESET               -> +OK
    SET k v                     -> +OK
    SLOWLOG GET 1               -> [[:0..1000000 :1..4000000000 :0..1000000 ["SET" "k" "v"] /^127\.0\.0\.1:\d+$/ ""]]
    SLOWLOG LEN                 -> :1..100
    SLOWLOG GET -2              -> -ERR count should be greater than or equal to -1
    SLOWLOG GET x               -> -ERR count should be greater than or equal to -1
    SLOWLOG GET 1 2             -> -ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.
    SLOWLOG RESET               -> +OK
    SLOWLOG nosuch              -> -ERR unknown subcommand 'nosuch'. Try SLOWLOG HELP.
    SLOWLOG HELP                -> [/^SLOWLOG <subcommand>/ ...]
}

case "LATENCY" -needs {LATENCY} {
    LATENCY LATEST              -> []
    LATENCY HISTORY command     -> []
    LATENCY RESET               -> :0
    LATENCY HISTOGRAM nosuch    -> {}
    LATENCY DOCTOR              -> /./
    LATENCY nosuch              -> -ERR unknown subcommand 'nosuch'. Try LATENCY HELP.
    LATENCY HELP                -> [/^LATENCY <subcommand>/ ...]
}

# --- SHUTDOWN ------------------------------------------------------------------------------------------

case "SHUTDOWN's errors" {
    SHUTDOWN nonsense           -> -ERR syntax error
    SHUTDOWN SAVE NOSAVE        -> -ERR syntax error
    SHUTDOWN ABORT              -> -ERR No shutdown in progress.
    SHUTDOWN ABORT NOW          -> -ERR syntax error
    PING                        -> +PONG
}

check "SHUTDOWN closes the connections and ends the process" {
    foreach words {SHUTDOWN {SHUTDOWN NOSAVE} {SHUTDOWN NOW FORCE} {shutdown nosave now}} {
        set id [server::start]
        set c [resp::open $server::port($id)]
        resp::send $c $words
        expect closed [resp::read $c] $words
        same 1 [server::wait_exit $id] "the process is gone after $words"
        resp::close $c
        server::stop $id
    }
}

check "SIGTERM and SIGINT end the process" {
    foreach signal {TERM INT} {
        set id [server::start]
        server::signal $id $signal
        same 1 [server::wait_exit $id] "the process is gone after SIG$signal"
        server::stop $id
    }
}

check "COMMAND DOCS names what its groups are" {
    foreach {command names} {
        set {key value condition get expiration}
        zadd {key condition comparison change increment data}
        bitfield {key operation}
        geosearch {key from by order count-block withcoord withdist withhash}
        xadd {key nomkstream trim id-selector data}
    } {
        array unset docs
        foreach {field value} [lindex [ask COMMAND DOCS $command] 1 1 1] {
            set docs([lindex $field 1]) [lindex $value 1]
        }
        same $names [lmap argument $docs(arguments) {lindex $argument 1 1 1}] "arguments of $command"
    }
}

# The processors that a thread is bound to, as a list of the kernel's; the thread is a path in /proc.
proc processors {thread} {
    regexp {Cpus_allowed_list:\s+(\S+)} [slurp $thread/status] all list
    return $list
}

# How many threads of a process, and of processes that it forked, are bound to just these processors.
proc bound {pid list} {
    set children [lmap child [slurp /proc/$pid/task/$pid/children] {string cat /proc/$child}]
    return [llength [lmap thread [concat [glob /proc/$pid/task/*] $children] {
        if {[catch {processors $thread} own] || $own ne $list} continue
        set thread
    }]]
}

regexp {^\d+} [processors /proc/self] first
regexp {\d+$} [processors /proc/self] last

check "threads run on the processors that are named" -server [list --server-cpulist $first --bio_cpulist $last --bgsave-cpulist $last] {
    same [list $first $last $last ""] [lmap name {server_cpulist bio-cpulist bgsave-cpulist aof-rewrite-cpulist} {
        lindex [ask CONFIG GET $name] 1 1 1
    }]
    same $first [processors /proc/$run::server]
    set helpers [bound $run::server $last]
    same 1 [expr {$helpers > 0}] "those who sync files"
    ask SET key value
    ask CONFIG SET rdb-key-save-delay 1000000
    ask BGSAVE
    eventually {[bound $run::server $last] > $helpers}
    same $first [processors /proc/$run::server] "who starts a snapshot stays"
}

check "lists that name no processors bind nobody" -server {--server-cpulist 1-0 --bio-cpulist none} {
    same [llength [glob /proc/$run::server/task/*]] [bound $run::server [processors /proc/self]]
}

check "no mapping stays one whose pages the kernel makes huge (hg): what is free there would fill up" -server {} {
    for {set n 0} {$n < 64} {incr n} {
        ask SET large:$n [string repeat x 1000000]
    }
    eventually {![regexp {VmFlags:[^\n]* hg} [slurp /proc/$run::server/smaps]]}
    ask FLUSHALL
}

check "the score by which the kernel kills is left alone unless it is set" -config {oom-score-adj no oom-score-adj-values {0 200 800}} {
    regexp {process_id:(\d+)} [lindex [ask INFO server] 1] all pid
    proc score {pid {new ""}} {
        set file [open /proc/$pid/oom_score_adj [expr {$new eq "" ? "r" : "w"}]]
        if {$new ne ""} {
            puts $file $new
        } else {
            set new [gets $file]
        }
        close $file
        return $new
    }
    set base [expr {[score $pid] + 2}]
    score $pid $base
    ask CONFIG SET oom-score-adj-values "5 5 5"
    same $base [score $pid]
    ask CONFIG SET oom-score-adj relative
    same [expr {$base + 5}] [score $pid]
    ask CONFIG SET oom-score-adj-values "7 7 7"
    same [expr {$base + 7}] [score $pid]
    ask CONFIG SET oom-score-adj no
    same $base [score $pid]
    score $pid [incr base]
    ask CONFIG SET oom-score-adj yes
    same [expr {$base + 7}] [score $pid]
    ask CONFIG SET oom-score-adj absolute
    same 7 [score $pid]
    ask CONFIG SET oom-score-adj no
    same $base [score $pid]
}

check "the kernel is told which processes to end first" -config {oom-score-adj no oom-score-adj-values "0 200 800"} {
    regexp {process_id:(\d+)} [lindex [ask INFO server] 1] all pid
    set score {{} {
        upvar 1 pid pid
        set file [open /proc/$pid/oom_score_adj]
        set score [string trim [read $file]]
        close $file
        return $score
    }}
    set base [apply $score]
    ask CONFIG SET oom-score-adj-values "10 20 30"
    same $base [apply $score] "not yet"
    ask CONFIG SET oom-score-adj yes
    same [expr {$base + 10}] [apply $score] "a master"
    ask REPLICAOF 127.0.0.1 1
    same [expr {$base + 20}] [apply $score] "a replica"
    ask REPLICAOF NO ONE
    ask CONFIG SET oom-score-adj-values "15 20 30"
    same [expr {$base + 15}] [apply $score] "a master again, with other values"
    ask CONFIG SET oom-score-adj no
    same $base [apply $score] "as it was"
}
