//! The registry: every setting is declared here, once.
//!
//! A row binds a field of [`Settings`] to its redis.conf name, its default, its grammar, and where else it can be
//! given (YAML path, flag, environment variable). CONFIG, the files, the flags, the environment, validation and
//! the help text are all derived from the rows. Rows stand in the order in which CONFIG GET lists them.
//!
//! A row reads `field: type = kind("name", "default", …)` and then what is special about it. Redis settings have
//! Redis' names and defaults (but for the port); CacheStorm's own are named in the same style.

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::quality::RandomState;

use super::choices::*;
use super::compound::*;
use super::kind::{Field, Kind, MemoryLimit};
use super::text;

bitflags::bitflags! {
    /// What is special about a setting.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u16 {
        /// CONFIG SET refuses it: it takes a restart.
        const IMMUTABLE = 1 << 0;
        /// A secret: never logged, shown or slow-logged.
        const SENSITIVE = 1 << 1;
        /// CONFIG GET shows it only when asked by its full name. So are our own settings that cannot be set: tools take
        /// for granted that what a pattern shows, besides some Redis settings that they know, can be set.
        const HIDDEN = 1 << 2;
        /// CONFIG SET needs `enable-protected-configs`.
        const PROTECTED = 1 << 3;
        /// CONFIG SET refuses it while a snapshot is loaded.
        const DENY_LOADING = 1 << 4;
        /// Setting it to the value it has counts as a change: what it points to may have changed.
        const VOLATILE = 1 << 5;
        /// It is accepted and kept, but what it steers is not there yet.
        const INERT = 1 << 6;
    }
}

/// What a bare number means where YAML and the environment also take `30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Microseconds,
    Milliseconds,
    Seconds,
}

/// One setting: a row of the registry.
pub struct Setting {
    /// The redis.conf name.
    pub name: &'static str,
    /// Another redis.conf name, usually an older one.
    pub alias: Option<&'static str>,
    /// Path in a YAML file; settings without one stand under `redis:`.
    pub yaml: Option<&'static str>,
    /// A shorter name that only flags have.
    pub short_flag: Option<&'static str>,
    /// The part after `CACHESTORM_` of an environment variable for daily use. May equal the one made of the path.
    pub short_variable: Option<&'static str>,
    pub kind: Kind,
    /// As in redis.conf.
    pub default: &'static str,
    /// Set where YAML and the environment take durations.
    pub unit: Option<Unit>,
    /// Words that YAML and the environment have for values: `("stdout", "")`.
    pub words: &'static [(&'static str, &'static str)],
    pub flags: Flags,
    doc: &'static str,
    pub(super) read: fn(&Settings) -> String,
    pub(super) write: fn(&mut Settings, &[&str], bool) -> Result<(), String>,
}

impl Setting {
    /// The setting with this redis.conf name or alias, in any case, and the name that matched.
    pub fn find(name: &str) -> Option<(&'static Setting, &'static str)> {
        /// By their names and aliases, all of which are in lower case.
        static NAMES: LazyLock<HashMap<&str, &Setting, RandomState>> = LazyLock::new(|| {
            let names = |setting: &'static Setting| [Some(setting.name), setting.alias].into_iter().flatten();
            SETTINGS.iter().flat_map(|setting| names(setting).map(move |name| (name, setting))).collect()
        });
        let (name, setting) = NAMES.get_key_value(&*name.to_ascii_lowercase())?;
        Some((setting, name))
    }

    /// The path in a YAML file.
    pub fn yaml_path(&self) -> String {
        self.yaml.map_or_else(|| format!("redis.{}", self.name), str::to_owned)
    }

    /// The environment variables that set it; the first that is present counts.
    pub fn variables(&self) -> impl Iterator<Item = String> {
        let capitals = |name: &str| format!("CACHESTORM_{}", name.to_uppercase().replace(['.', '-'], "_"));
        let long = capitals(&self.yaml_path());
        let short = self.short_variable.map(capitals).filter(|short| *short != long);
        [Some(long), short].into_iter().flatten()
    }

    /// What it is for, in a line.
    pub fn doc(&self) -> &'static str {
        self.doc.trim()
    }

    /// Whether CONFIG SET may change it.
    pub fn is_mutable(&self) -> bool {
        !self.flags.contains(Flags::IMMUTABLE)
    }

    /// Whether its value must not be seen.
    pub fn is_sensitive(&self) -> bool {
        self.flags.contains(Flags::SENSITIVE)
    }
}

/// A row under construction.
struct Row {
    name: &'static str,
    alias: Option<&'static str>,
    yaml: Option<&'static str>,
    short_flag: Option<&'static str>,
    short_variable: Option<&'static str>,
    kind: Kind,
    default: &'static str,
    unit: Option<Unit>,
    words: &'static [(&'static str, &'static str)],
    flags: Flags,
}

impl Row {
    const fn alias(mut self, alias: &'static str) -> Row {
        self.alias = Some(alias);
        self
    }

    const fn yaml(mut self, path: &'static str) -> Row {
        self.yaml = Some(path);
        self
    }

    const fn short_flag(mut self, name: &'static str) -> Row {
        self.short_flag = Some(name);
        self
    }

    const fn short_variable(mut self, name: &'static str) -> Row {
        self.short_variable = Some(name);
        self
    }

    const fn unit(mut self, unit: Unit) -> Row {
        self.unit = Some(unit);
        self
    }

    const fn words(mut self, words: &'static [(&'static str, &'static str)]) -> Row {
        self.words = words;
        self
    }

    const fn flag(mut self, flag: Flags) -> Row {
        self.flags = self.flags.union(flag);
        self
    }

    const fn immutable(self) -> Row {
        self.flag(Flags::IMMUTABLE)
    }

    const fn inert(self) -> Row {
        self.flag(Flags::INERT)
    }

    const fn hidden(self) -> Row {
        self.flag(Flags::HIDDEN)
    }

    const fn secret(self) -> Row {
        self.flag(Flags::SENSITIVE)
    }

    const fn protected(self) -> Row {
        self.flag(Flags::PROTECTED)
    }

    const fn deny_loading(self) -> Row {
        self.flag(Flags::DENY_LOADING)
    }

    const fn volatile(self) -> Row {
        self.flag(Flags::VOLATILE)
    }
}

const fn row(name: &'static str, default: &'static str, kind: Kind) -> Row {
    Row {
        name,
        alias: None,
        yaml: None,
        short_flag: None,
        short_variable: None,
        kind,
        default,
        unit: None,
        words: &[],
        flags: Flags::empty(),
    }
}

const fn yes_no(name: &'static str, default: &'static str) -> Row {
    row(name, default, Kind::YesNo)
}

const fn integer(name: &'static str, default: &'static str, min: i64, max: i64) -> Row {
    row(name, default, Kind::Integer { min, max })
}

/// From 0 to the largest 32-bit signed number, the range of most of Redis' settings.
const fn count(name: &'static str, default: &'static str) -> Row {
    integer(name, default, 0, INT_MAX)
}

const fn port(name: &'static str, default: &'static str) -> Row {
    integer(name, default, 0, 65535)
}

const fn memory(name: &'static str, default: &'static str, min: u64, max: u64) -> Row {
    row(name, default, Kind::Memory { min, max })
}

const fn choice(name: &'static str, default: &'static str, words: &'static [&'static str]) -> Row {
    row(name, default, Kind::Choice(words))
}

const fn text(name: &'static str, default: &'static str) -> Row {
    row(name, default, Kind::Text(text::no_nul))
}

const fn checked(name: &'static str, default: &'static str, check: fn(&str) -> Result<(), &'static str>) -> Row {
    row(name, default, Kind::Text(check))
}

const fn password(name: &'static str) -> Row {
    row(name, "", Kind::Text(text::any_text)).secret()
}

const INT_MAX: i64 = i32::MAX as i64;
const INT_MIN: i64 = i32::MIN as i64;
const UINT_MAX: i64 = u32::MAX as i64;
const LONG_MAX: i64 = i64::MAX;
const SIZE_MAX: u64 = i64::MAX as u64;
const MB: u64 = 1 << 20;

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty = $row:expr;)+) => {
        /// Every setting, as a plain typed field. See the rows in `config/registry.rs`.
        #[derive(Clone)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        /// Every row, in the order in which CONFIG GET lists them.
        pub static SETTINGS: &[Setting] = &[$({
            const ROW: Row = $row;
            Setting {
                name: ROW.name,
                alias: ROW.alias,
                yaml: ROW.yaml,
                short_flag: ROW.short_flag,
                short_variable: ROW.short_variable,
                kind: ROW.kind,
                default: ROW.default,
                unit: ROW.unit,
                words: ROW.words,
                flags: ROW.flags,
                doc: concat!($($doc),+),
                read: |settings| settings.$field.show(&ROW.kind),
                write: |settings, words, again| settings.$field.assign(&ROW.kind, words, again),
            }
        },)+];

        impl Settings {
            fn blank() -> Settings {
                Settings { $($field: Default::default(),)+ }
            }
        }
    };
}

impl Default for Settings {
    /// The defaults of the rows.
    fn default() -> Settings {
        let mut settings = Settings::blank();
        for setting in SETTINGS.iter().filter(|setting| !setting.kind.is_directive()) {
            let words: Vec<&str> = if setting.kind.takes_many_words() {
                setting.default.split(' ').collect()
            } else {
                vec![setting.default]
            };
            let assigned = (setting.write)(&mut settings, &words, false);
            assert!(assigned.is_ok(), "the default of {} breaks its own rules: {assigned:?}", setting.name);
        }
        settings
    }
}

settings! {
    // Network

    /// Addresses to listen on; a leading `-` forgives an address that this host does not have.
    bind: Vec<String> =
        row("bind", "* -::*", Kind::Words { max: 16, too_many: "Too many bind addresses specified." })
        .yaml("server.bind").short_variable("BIND");
    /// Local address that outgoing connections are made from.
    bind_source_addr: String = text("bind-source-addr", "");
    /// TCP port for clients; 0 listens on none.
    port: u16 = port("port", "6380").yaml("server.port").short_variable("PORT");
    /// Length of the queue of connections that wait to be accepted.
    tcp_backlog: i32 = count("tcp-backlog", "511").immutable();
    /// Path of a Unix socket to listen on.
    unixsocket: String = text("unixsocket", "").yaml("server.unix_socket").immutable();
    /// Permissions of the Unix socket, in octal; 0 leaves them to the umask.
    unixsocketperm: u32 = row("unixsocketperm", "0", Kind::Octal { max: 0o777 }).immutable();
    /// Seconds after which an idle client is disconnected; 0 is never.
    timeout: u32 = count("timeout", "0").yaml("server.timeout").unit(Unit::Seconds);
    /// Seconds between TCP keepalive probes; 0 sends none.
    tcp_keepalive: u32 = count("tcp-keepalive", "300").yaml("server.tcp_keepalive").unit(Unit::Seconds);
    /// Refuse clients from other hosts while there is no password.
    protected_mode: bool = yes_no("protected-mode", "yes").yaml("server.protected_mode");
    /// Firewall mark of the listening sockets; 0 sets none.
    socket_mark_id: u32 = integer("socket-mark-id", "0", 0, UINT_MAX).immutable().inert();
    /// Clients that may be connected at one time.
    maxclients: u32 = integer("maxclients", "10000", 1, UINT_MAX).yaml("server.max_connections");
    /// Connections accepted in one turn of the loop.
    max_new_connections_per_cycle: u32 = integer("max-new-connections-per-cycle", "10", 1, 1000);
    /// TLS connections accepted in one turn of the loop.
    max_new_tls_connections_per_cycle: u32 = integer("max-new-tls-connections-per-cycle", "1", 1, 1000).inert();

    // TLS

    /// TCP port for TLS clients; 0 listens on none.
    tls_port: u16 = port("tls-port", "0").yaml("server.tls.port").inert();
    /// Certificate of the server, PEM.
    tls_cert_file: String = text("tls-cert-file", "").yaml("server.tls.cert_file").volatile().inert();
    /// Private key of the server, PEM.
    tls_key_file: String = text("tls-key-file", "").yaml("server.tls.key_file").volatile().inert();
    /// Passphrase of the server's private key.
    tls_key_file_pass: String = password("tls-key-file-pass").inert();
    /// Certificate for outgoing connections; the server's if empty.
    tls_client_cert_file: String = text("tls-client-cert-file", "").volatile().inert();
    /// Private key for outgoing connections.
    tls_client_key_file: String = text("tls-client-key-file", "").volatile().inert();
    /// Passphrase of the private key for outgoing connections.
    tls_client_key_file_pass: String = password("tls-client-key-file-pass").inert();
    /// Diffie-Hellman parameters, PEM.
    tls_dh_params_file: String = text("tls-dh-params-file", "").volatile().inert();
    /// Certificates of the authorities that peers are checked against, PEM.
    tls_ca_cert_file: String = text("tls-ca-cert-file", "").yaml("server.tls.ca_file").volatile().inert();
    /// Directory of such certificates.
    tls_ca_cert_dir: String = text("tls-ca-cert-dir", "").volatile().inert();
    /// Whether TLS clients must show a certificate.
    tls_auth_clients: TlsAuthClients =
        choice("tls-auth-clients", "yes", TlsAuthClients::WORDS).yaml("server.tls.auth_clients").inert();
    /// TLS versions to speak, such as `TLSv1.2 TLSv1.3`; empty for the library's choice.
    tls_protocols: String = text("tls-protocols", "").inert();
    /// Ciphers of TLS 1.2 and older.
    tls_ciphers: String = text("tls-ciphers", "").inert();
    /// Cipher suites of TLS 1.3.
    tls_ciphersuites: String = text("tls-ciphersuites", "").inert();
    /// Prefer the server's order of ciphers over the client's.
    tls_prefer_server_ciphers: bool = yes_no("tls-prefer-server-ciphers", "no").inert();
    /// Let clients resume TLS sessions.
    tls_session_caching: bool = yes_no("tls-session-caching", "yes").inert();
    /// TLS sessions kept for resumption; 0 is no limit.
    tls_session_cache_size: u32 = count("tls-session-cache-size", "20480").inert();
    /// Seconds for which a TLS session can be resumed.
    tls_session_cache_timeout: u32 = count("tls-session-cache-timeout", "300").inert();
    /// Speak TLS to the master.
    tls_replication: bool = yes_no("tls-replication", "no").inert();
    /// Speak TLS on the cluster bus.
    tls_cluster: bool = yes_no("tls-cluster", "no").inert();

    // The process

    /// Number of databases that SELECT knows.
    databases: u32 = integer("databases", "16", 1, INT_MAX).yaml("server.databases").immutable();
    /// Run in the background.
    daemonize: bool = yes_no("daemonize", "no").immutable();
    /// The supervisor that is told when the server is ready.
    supervised: Supervised = choice("supervised", "no", Supervised::WORDS).immutable();
    /// File that the process id is written to.
    pidfile: String = text("pidfile", "").immutable();
    /// Show the process title below instead of the command line.
    set_proc_title: bool = yes_no("set-proc-title", "yes").immutable();
    /// Process title; knows `{title}`, `{listen-addr}`, `{server-mode}`, `{port}`, `{tls-port}`, `{unixsocket}`,
    /// `{config-file}`.
    proc_title_template: String =
        checked("proc-title-template", "{title} {listen-addr} {server-mode}", text::title_template);
    /// Show the logo at start even when the log is no terminal.
    always_show_logo: bool = yes_no("always-show-logo", "no").immutable();
    /// Locale that strings are compared in by SORT ALPHA; empty for the environment's.
    locale_collate: String = text("locale-collate", "").inert();
    /// Runs of the background work per second, 1 to 500.
    hz: u32 = count("hz", "10");
    /// Do the background work more often when there are many clients.
    dynamic_hz: bool = yes_no("dynamic-hz", "yes");
    /// Threads that read and write sockets.
    io_threads: u32 = integer("io-threads", "1", 1, 128).immutable().inert();
    /// Let those threads read and parse, too.
    io_threads_do_reads: bool = yes_no("io-threads-do-reads", "no").immutable().inert();
    /// Set the kernel's out-of-memory score of the server's processes.
    oom_score_adj: OomScoreAdj = choice("oom-score-adj", "no", OomScoreAdj::WORDS);
    /// Out-of-memory scores of a master, a replica and a background child.
    oom_score_adj_values: [i32; 3] = row("oom-score-adj-values", "0 200 800", Kind::OomScores);
    /// Switch transparent huge pages off for the process.
    disable_thp: bool = yes_no("disable-thp", "yes").immutable().inert();
    /// Processors of the main thread, and of threads without a list of their own that it starts later, such as `0-3,8` or `0-14:2`.
    server_cpulist: String = text("server-cpulist", "").alias("server_cpulist").immutable();
    /// Processors of the threads that sync files and make memory ready.
    bio_cpulist: String = text("bio-cpulist", "").alias("bio_cpulist").immutable();
    /// Processors of the thread that writes the base of an append-only file.
    aof_rewrite_cpulist: String = text("aof-rewrite-cpulist", "").alias("aof_rewrite_cpulist").immutable();
    /// Processors of the thread that writes a snapshot.
    bgsave_cpulist: String = text("bgsave-cpulist", "").alias("bgsave_cpulist").immutable();
    /// Warnings about the system that do not stop the start.
    ignore_warnings: String = text("ignore-warnings", "").inert();
    /// Seconds that a shutdown waits for replicas to catch up.
    shutdown_timeout: u32 = count("shutdown-timeout", "10");
    /// What SIGINT does.
    shutdown_on_sigint: ShutdownFlags =
        row("shutdown-on-sigint", "default", Kind::Choices(ShutdownFlags::WORDS));
    /// What SIGTERM does.
    shutdown_on_sigterm: ShutdownFlags =
        row("shutdown-on-sigterm", "default", Kind::Choices(ShutdownFlags::WORDS));
    /// Log a report when the process crashes.
    crash_log_enabled: bool = yes_no("crash-log-enabled", "yes");
    /// Test the memory when the process crashes.
    crash_memcheck_enabled: bool = yes_no("crash-memcheck-enabled", "yes");
    /// Exit instead of aborting on a broken invariant.
    use_exit_on_panic: bool = yes_no("use-exit-on-panic", "no").hidden();
    /// Milliseconds after which a stuck main thread is reported; 0 is never.
    watchdog_period: u32 = count("watchdog-period", "0").hidden();

    // Logging

    /// How much is logged.
    loglevel: LogLevel = choice("loglevel", "notice", LogLevel::WORDS).yaml("logging.level")
        .short_variable("LOG_LEVEL").words(&[("info", "notice"), ("warn", "warning"), ("trace", "debug")]);
    /// How log lines look; json if the settings file is YAML and says nothing else.
    logformat: LogFormat = choice("logformat", "console", LogFormat::WORDS).yaml("logging.format")
        .short_variable("LOG_FORMAT").immutable().hidden();
    /// File to log to; empty for standard output.
    logfile: String = text("logfile", "").yaml("logging.output")
        .words(&[("stdout", ""), ("stderr", "/dev/stderr")]).immutable();
    /// Also log to syslog.
    syslog_enabled: bool = yes_no("syslog-enabled", "no").immutable();
    /// Name in syslog.
    syslog_ident: String = text("syslog-ident", "redis").immutable();
    /// Facility in syslog.
    syslog_facility: SyslogFacility =
        choice("syslog-facility", "local0", SyslogFacility::WORDS).immutable();
    /// Keep keys and values out of the log.
    hide_user_data_from_log: bool = yes_no("hide-user-data-from-log", "no");

    // Security

    /// Password of the default user.
    requirepass: String = password("requirepass").yaml("plugins.auth.password").short_variable("AUTH_PASSWORD");
    /// Whether the password is asked for.
    auth_enabled: bool = yes_no("auth-enabled", "yes").yaml("plugins.auth.enabled");
    /// File of ACL users.
    aclfile: String = text("aclfile", "").immutable();
    /// An ACL user and its rules.
    user: Vec<Vec<String>> = row("user", "", Kind::Users).immutable().secret();
    /// Entries that ACL LOG keeps.
    acllog_max_len: u64 = integer("acllog-max-len", "128", 0, LONG_MAX);
    /// Channels that a new ACL user may use.
    acl_pubsub_default: AclPubsubDefault =
        choice("acl-pubsub-default", "resetchannels", AclPubsubDefault::WORDS);
    /// A command and its new name; an empty name removes the command.
    rename_command: Vec<Vec<String>> =
        row("rename-command", "", Kind::Lines { min: 2, max: 2 }).immutable();
    /// Who may change settings that can harm the host, such as `dir`.
    enable_protected_configs: ProtectedAction =
        choice("enable-protected-configs", "no", ProtectedAction::WORDS).immutable();
    /// Who may run DEBUG.
    enable_debug_command: ProtectedAction =
        choice("enable-debug-command", "no", ProtectedAction::WORDS).immutable();
    /// Who may run MODULE.
    enable_module_command: ProtectedAction =
        choice("enable-module-command", "no", ProtectedAction::WORDS).immutable().inert();
    /// A module to load, and its arguments.
    loadmodule: Vec<Vec<String>> =
        row("loadmodule", "", Kind::Lines { min: 1, max: usize::MAX }).immutable().inert();

    // Clients

    /// Buffered replies at which a client is disconnected.
    client_output_buffer_limits: OutputBufferLimits = row(
        "client-output-buffer-limit",
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        Kind::OutputBufferLimits,
    );
    /// Bytes that one client's unparsed requests may take.
    client_query_buffer_limit: u64 = memory("client-query-buffer-limit", "1073741824", MB, SIZE_MAX);
    /// Bytes of the largest string that a request may hold.
    proto_max_bulk_len: u64 = memory("proto-max-bulk-len", "536870912", MB, SIZE_MAX);
    /// Memory of all clients together, in bytes or percent of maxmemory; 0 is no limit.
    maxmemory_clients: MemoryLimit = row("maxmemory-clients", "0", Kind::MemoryOrPercent);
    /// Keys remembered for client-side caching; 0 is no limit.
    tracking_table_max_keys: u64 = integer("tracking-table-max-keys", "1000000", 0, LONG_MAX);
    /// Protocol of a new connection, for tests.
    client_default_resp: u32 = integer("client-default-resp", "2", 2, 3).immutable().hidden().inert();
    /// File that requests and replies are written to, for tests.
    req_res_logfile: String = text("req-res-logfile", "").immutable().hidden().inert();

    // Memory

    /// Bytes that the data may take; 0 is no limit.
    maxmemory: u64 = memory("maxmemory", "0", 0, u64::MAX).yaml("memory.max_memory").short_variable("MAX_MEMORY");
    /// What is evicted when that is reached.
    maxmemory_policy: EvictionPolicy = choice("maxmemory-policy", "noeviction", EvictionPolicy::WORDS)
        .yaml("memory.eviction_policy").short_variable("EVICTION_POLICY");
    /// Keys looked at for one eviction.
    maxmemory_samples: u32 = integer("maxmemory-samples", "5", 1, 64).yaml("memory.eviction_sample_size");
    /// How long a command may be held up by eviction, 0 to 100.
    maxmemory_eviction_tenacity: u32 = integer("maxmemory-eviction-tenacity", "10", 0, 100);
    /// Percent of maxmemory at which memory pressure is a warning.
    memory_pressure_warning: u32 =
        integer("memory-pressure-warning", "70", 1, 100).yaml("memory.pressure_warning");
    /// Percent of maxmemory at which memory pressure is critical.
    memory_pressure_critical: u32 =
        integer("memory-pressure-critical", "85", 1, 100).yaml("memory.pressure_critical");
    /// How slowly the LFU counter grows.
    lfu_log_factor: u32 = count("lfu-log-factor", "10");
    /// Minutes after which the LFU counter is halved.
    lfu_decay_time: u32 = count("lfu-decay-time", "1");
    /// How eagerly expired keys are removed, 1 to 10.
    active_expire_effort: u32 = integer("active-expire-effort", "1", 1, 10);
    /// Free evicted values in the background.
    lazyfree_lazy_eviction: bool = yes_no("lazyfree-lazy-eviction", "no");
    /// Free expired values in the background.
    lazyfree_lazy_expire: bool = yes_no("lazyfree-lazy-expire", "no");
    /// Free values in the background that a command replaces.
    lazyfree_lazy_server_del: bool = yes_no("lazyfree-lazy-server-del", "no");
    /// DEL frees in the background.
    lazyfree_lazy_user_del: bool = yes_no("lazyfree-lazy-user-del", "no");
    /// FLUSHALL and FLUSHDB free in the background.
    lazyfree_lazy_user_flush: bool = yes_no("lazyfree-lazy-user-flush", "no");
    /// Move entries to a resized table in the background.
    activerehashing: bool = yes_no("activerehashing", "yes").inert();
    /// Let the allocator return memory from its own thread.
    jemalloc_bg_thread: bool = yes_no("jemalloc-bg-thread", "yes").inert();
    /// Reduce fragmentation while running.
    activedefrag: bool = yes_no("activedefrag", "no").inert();
    /// Bytes of fragmentation below which nothing is moved.
    active_defrag_ignore_bytes: u64 = memory("active-defrag-ignore-bytes", "104857600", 1, SIZE_MAX).inert();
    /// Percent of fragmentation at which moving begins.
    active_defrag_threshold_lower: u32 = integer("active-defrag-threshold-lower", "10", 0, 1000).inert();
    /// Percent of fragmentation at which moving is at full effort.
    active_defrag_threshold_upper: u32 = integer("active-defrag-threshold-upper", "100", 0, 1000).inert();
    /// Percent of a CPU for moving at least effort.
    active_defrag_cycle_min: u32 = integer("active-defrag-cycle-min", "1", 1, 99).inert();
    /// Percent of a CPU for moving at full effort.
    active_defrag_cycle_max: u32 = integer("active-defrag-cycle-max", "25", 1, 99).inert();
    /// Elements up to which a collection is moved in one piece.
    active_defrag_max_scan_fields: u64 = integer("active-defrag-max-scan-fields", "1000", 1, LONG_MAX).inert();
    /// Defaults and limits of namespaces.
    namespaces: Vec<NamespaceLimits> = row("namespace", "", Kind::Namespaces).yaml("namespaces");

    // Compact encodings

    /// Fields up to which a hash is a listpack.
    hash_max_listpack_entries: usize =
        integer("hash-max-listpack-entries", "512", 0, LONG_MAX).alias("hash-max-ziplist-entries");
    /// Bytes of a field or value up to which a hash is a listpack.
    hash_max_listpack_value: usize =
        memory("hash-max-listpack-value", "64", 0, SIZE_MAX).alias("hash-max-ziplist-value");
    /// Elements of a node of a list; -1 to -5 are 4, 8, 16, 32 and 64 kb instead.
    list_max_listpack_size: i32 =
        integer("list-max-listpack-size", "-2", INT_MIN, INT_MAX).alias("list-max-ziplist-size");
    /// Nodes at each end of a list that are not compressed; 0 compresses none.
    list_compress_depth: u32 = count("list-compress-depth", "0");
    /// Members up to which a set of integers is an intset.
    set_max_intset_entries: usize = integer("set-max-intset-entries", "512", 0, LONG_MAX);
    /// Members up to which a set is a listpack.
    set_max_listpack_entries: usize = integer("set-max-listpack-entries", "128", 0, LONG_MAX);
    /// Bytes of a member up to which a set is a listpack.
    set_max_listpack_value: usize = integer("set-max-listpack-value", "64", 0, LONG_MAX);
    /// Members up to which a sorted set is a listpack.
    zset_max_listpack_entries: usize =
        integer("zset-max-listpack-entries", "128", 0, LONG_MAX).alias("zset-max-ziplist-entries");
    /// Bytes of a member up to which a sorted set is a listpack.
    zset_max_listpack_value: usize =
        memory("zset-max-listpack-value", "64", 0, SIZE_MAX).alias("zset-max-ziplist-value");
    /// Bytes up to which a HyperLogLog is sparse.
    hll_sparse_max_bytes: usize = memory("hll-sparse-max-bytes", "3000", 0, SIZE_MAX);
    /// Bytes of a node of a stream; 0 is no limit.
    stream_node_max_bytes: usize = memory("stream-node-max-bytes", "4096", 0, SIZE_MAX);
    /// Entries of a node of a stream; 0 is no limit.
    stream_node_max_entries: u64 = integer("stream-node-max-entries", "100", 0, LONG_MAX);
    /// Whether RESTORE and snapshots are checked in depth.
    sanitize_dump_payload: SanitizeDumpPayload =
        choice("sanitize-dump-payload", "no", SanitizeDumpPayload::WORDS);

    // Observation

    /// Microseconds from which a command is slow; -1 logs none, 0 all.
    slowlog_log_slower_than: i64 = integer("slowlog-log-slower-than", "10000", -1, LONG_MAX)
        .yaml("plugins.slowlog.threshold").unit(Unit::Microseconds);
    /// Slow commands that are kept.
    slowlog_max_len: u64 = integer("slowlog-max-len", "128", 0, LONG_MAX).yaml("plugins.slowlog.max_entries");
    /// Whether slow commands are kept at all.
    slowlog_enabled: bool = yes_no("slowlog-enabled", "yes").yaml("plugins.slowlog.enabled");
    /// Milliseconds from which an event is recorded for LATENCY; 0 records none.
    latency_monitor_threshold: u64 = integer("latency-monitor-threshold", "0", 0, LONG_MAX);
    /// Keep a latency histogram of each command.
    latency_tracking: bool = yes_no("latency-tracking", "yes");
    /// Percentiles of those that INFO shows.
    latency_tracking_info_percentiles: Vec<f64> =
        row("latency-tracking-info-percentiles", "50 99 99.9", Kind::Percentiles);
    /// Whether hot keys are counted, and the histograms of `latency-tracking` kept.
    stats_enabled: bool = yes_no("stats-enabled", "yes").yaml("plugins.stats.enabled");
    /// Whether metrics are served over HTTP.
    metrics_enabled: bool = yes_no("metrics-enabled", "no").yaml("plugins.metrics.enabled").immutable().hidden().inert();
    /// Port of the metrics.
    metrics_port: u16 = integer("metrics-port", "9090", 1, 65535)
        .yaml("plugins.metrics.port").short_variable("METRICS_PORT").immutable().hidden().inert();
    /// Route of the metrics.
    metrics_path: String = checked("metrics-path", "/metrics", text::route)
        .yaml("plugins.metrics.path").immutable().hidden().inert();
    /// Classes of keyspace events that are published; empty for none.
    notify_keyspace_events: KeyspaceEvents = row("notify-keyspace-events", "", Kind::EventClasses);

    // Scripts

    /// Milliseconds after which a script or function counts as stuck.
    busy_reply_threshold: u64 = integer("busy-reply-threshold", "5000", 0, LONG_MAX).alias("lua-time-limit");

    // Snapshots

    /// Whether data is loaded at the start, and saved without being asked to; if not, `save` and `appendonly` count for nothing.
    persistence_enabled: bool =
        yes_no("persistence-enabled", "yes").yaml("persistence.enabled").short_variable("PERSISTENCE_ENABLED")
        .immutable().hidden();
    /// Directory of the data files.
    dir: String = row("dir", ".", Kind::Directory).yaml("persistence.data_dir").short_flag("data-dir")
        .short_variable("PERSISTENCE_DATA_DIR").protected().deny_loading();
    /// When a snapshot is written: seconds and changes.
    save: Vec<SavePoint> =
        row("save", "3600 1 300 100 60 10000", Kind::SavePoints).yaml("persistence.snapshot_interval");
    /// File name of the snapshot.
    dbfilename: String = checked("dbfilename", "dump.rdb", text::snapshot_file_name).protected();
    /// Compress strings in snapshots.
    rdbcompression: bool = yes_no("rdbcompression", "yes");
    /// Checksum snapshots.
    rdbchecksum: bool = yes_no("rdbchecksum", "yes").immutable();
    /// Refuse writes after a snapshot has failed.
    stop_writes_on_bgsave_error: bool = yes_no("stop-writes-on-bgsave-error", "yes");
    /// Fsync a snapshot while it is written.
    rdb_save_incremental_fsync: bool = yes_no("rdb-save-incremental-fsync", "yes");
    /// Delete snapshots that only replication needed.
    rdb_del_sync_files: bool = yes_no("rdb-del-sync-files", "no");
    /// Microseconds to wait after each key that is saved, for tests.
    rdb_key_save_delay: i32 = integer("rdb-key-save-delay", "0", INT_MIN, INT_MAX).hidden();
    /// Microseconds to wait after each key that is loaded, for tests.
    key_load_delay: i32 = integer("key-load-delay", "0", INT_MIN, INT_MAX).hidden();
    /// Bytes loaded between two looks at the clients.
    loading_process_events_interval_bytes: u64 =
        integer("loading-process-events-interval-bytes", "2097152", 1024, INT_MAX).hidden();

    // Append-only file

    /// Log every change to the append-only file.
    appendonly: bool = yes_no("appendonly", "no").yaml("persistence.aof").deny_loading();
    /// Base of the append-only files' names.
    appendfilename: String = checked("appendfilename", "appendonly.aof", text::append_file_name).immutable();
    /// Directory of the append-only files, under `dir`.
    appenddirname: String = checked("appenddirname", "appendonlydir", text::append_dir_name).immutable();
    /// When changes reach the disk.
    appendfsync: AppendFsync =
        choice("appendfsync", "everysec", AppendFsync::WORDS).yaml("persistence.aof_sync");
    /// Do not fsync while a rewrite or a snapshot is written.
    no_appendfsync_on_rewrite: bool = yes_no("no-appendfsync-on-rewrite", "no");
    /// Growth in percent that starts a rewrite; 0 starts none.
    auto_aof_rewrite_percentage: u32 = count("auto-aof-rewrite-percentage", "100");
    /// Bytes below which growth starts no rewrite.
    auto_aof_rewrite_min_size: u64 = memory("auto-aof-rewrite-min-size", "67108864", 0, SIZE_MAX);
    /// Bytes that start a rewrite whatever the growth; 0 is no limit.
    max_aof_size: u64 = memory("max-aof-size", "0", 0, SIZE_MAX).yaml("persistence.max_aof_size");
    /// Fsync a rewrite while it is written.
    aof_rewrite_incremental_fsync: bool = yes_no("aof-rewrite-incremental-fsync", "yes");
    /// Load a file whose end was cut off.
    aof_load_truncated: bool = yes_no("aof-load-truncated", "yes");
    /// Begin a rewritten file with a snapshot.
    aof_use_rdb_preamble: bool = yes_no("aof-use-rdb-preamble", "yes");
    /// Note the time in the file, for recovery to a moment.
    aof_timestamp_enabled: bool = yes_no("aof-timestamp-enabled", "no");
    /// Put checksums, which Redis skips, behind a few kilobytes of commands each.
    aof_checksum_enabled: bool = yes_no("aof-checksum-enabled", "yes");
    /// Keep files that a rewrite has replaced, for tests.
    aof_disable_auto_gc: bool = yes_no("aof-disable-auto-gc", "no").hidden();

    // Replication

    /// The master to replicate.
    replicaof: Option<Endpoint> = row("replicaof", "", Kind::Endpoint).alias("slaveof").immutable();
    /// User name for the master.
    masteruser: String = password("masteruser").alias("primaryuser");
    /// Password for the master.
    masterauth: String = password("masterauth").alias("primaryauth");
    /// Answer from old data while the master cannot be reached.
    replica_serve_stale_data: bool = yes_no("replica-serve-stale-data", "yes").alias("slave-serve-stale-data");
    /// Refuse writes on a replica.
    replica_read_only: bool = yes_no("replica-read-only", "yes").alias("slave-read-only");
    /// Leave eviction to the master.
    replica_ignore_maxmemory: bool = yes_no("replica-ignore-maxmemory", "yes").alias("slave-ignore-maxmemory");
    /// Free the old data in the background when a full sync replaces it.
    replica_lazy_flush: bool = yes_no("replica-lazy-flush", "no").alias("slave-lazy-flush");
    /// Rank among the replicas that may be promoted; 0 is never.
    replica_priority: u32 = count("replica-priority", "100").alias("slave-priority");
    /// Tell sentinels of this replica.
    replica_announced: bool = yes_no("replica-announced", "yes");
    /// Address that the master is told; empty for the real one.
    replica_announce_ip: String = text("replica-announce-ip", "").alias("slave-announce-ip");
    /// Port that the master is told; 0 for the real one.
    replica_announce_port: u16 = port("replica-announce-port", "0").alias("slave-announce-port");
    /// Keep replicating when the disk cannot be written.
    replica_ignore_disk_write_errors: bool = yes_no("replica-ignore-disk-write-errors", "no");
    /// Bytes of changes kept for replicas that come back.
    repl_backlog_size: u64 =
        memory("repl-backlog-size", "1048576", 1, SIZE_MAX).yaml("cluster.replication_backlog");
    /// Seconds without replicas after which they are dropped; 0 is never.
    repl_backlog_ttl: u64 = integer("repl-backlog-ttl", "3600", 0, LONG_MAX);
    /// Seconds of silence after which the other side counts as gone.
    repl_timeout: u32 = integer("repl-timeout", "60", 1, INT_MAX);
    /// Seconds between pings to replicas.
    repl_ping_replica_period: u32 =
        integer("repl-ping-replica-period", "10", 1, INT_MAX).alias("repl-ping-slave-period");
    /// Send fewer, larger packets to replicas.
    repl_disable_tcp_nodelay: bool = yes_no("repl-disable-tcp-nodelay", "no");
    /// Send a full sync without a file in between.
    repl_diskless_sync: bool = yes_no("repl-diskless-sync", "yes");
    /// Seconds to wait for more replicas before that begins.
    repl_diskless_sync_delay: u32 = count("repl-diskless-sync-delay", "5");
    /// Replicas that end that wait; 0 for none.
    repl_diskless_sync_max_replicas: u32 = count("repl-diskless-sync-max-replicas", "0");
    /// Take in a full sync without a file in between.
    repl_diskless_load: DisklessLoad =
        choice("repl-diskless-load", "disabled", DisklessLoad::WORDS).deny_loading();
    /// Replicas without which writes are refused; 0 never refuses.
    min_replicas_to_write: u32 = count("min-replicas-to-write", "0").alias("min-slaves-to-write");
    /// Seconds of silence at which a replica no longer counts for that.
    min_replicas_max_lag: u32 = count("min-replicas-max-lag", "10").alias("min-slaves-max-lag");
    /// What to do when a replicated or stored command fails.
    propagation_error_behavior: PropagationErrorBehavior =
        choice("propagation-error-behavior", "ignore", PropagationErrorBehavior::WORDS);

    // Cluster

    /// Be a node of a cluster.
    cluster_enabled: bool = yes_no("cluster-enabled", "no").yaml("cluster.enabled").short_flag("cluster")
        .short_variable("CLUSTER_ENABLED").immutable().inert();
    /// File in which the node keeps what it knows of the cluster.
    cluster_config_file: String = text("cluster-config-file", "nodes.conf").immutable().inert();
    /// Port of the cluster bus; 0 is 10000 above the client port.
    cluster_port: u16 = port("cluster-port", "0").immutable().inert();
    /// Address that gossip listens on; empty for those of `bind`.
    cluster_bind_addr: String = text("cluster-bind-addr", "").yaml("cluster.bind_addr").immutable().hidden().inert();
    /// Port that gossip listens on.
    cluster_gossip_port: u16 =
        integer("cluster-gossip-port", "7946", 1, 65535).yaml("cluster.bind_port").immutable().hidden().inert();
    /// Nodes to join, `HOST:PORT` of their gossip.
    cluster_seeds: Vec<String> = row("cluster-seeds", "", Kind::Words { max: usize::MAX, too_many: "" })
        .yaml("cluster.seeds").short_variable("CLUSTER_SEEDS").immutable().hidden().inert();
    /// Replicas of each shard.
    cluster_replicas: u32 = count("cluster-replicas", "1").yaml("cluster.replicas").inert();
    /// Milliseconds between rounds of gossip.
    cluster_gossip_interval: u64 = integer("cluster-gossip-interval", "200", 1, INT_MAX)
        .yaml("cluster.gossip_interval").unit(Unit::Milliseconds).inert();
    /// Milliseconds between probes of other nodes.
    cluster_probe_interval: u64 = integer("cluster-probe-interval", "1000", 1, INT_MAX)
        .yaml("cluster.probe_interval").unit(Unit::Milliseconds).inert();
    /// Milliseconds to wait for the answer to a probe.
    cluster_probe_timeout: u64 = integer("cluster-probe-timeout", "500", 1, INT_MAX)
        .yaml("cluster.probe_timeout").unit(Unit::Milliseconds).inert();
    /// Probe intervals, times the logarithm of the cluster's size, until a suspect counts as failed.
    cluster_suspicion_mult: u32 =
        integer("cluster-suspicion-mult", "4", 1, 100).yaml("cluster.suspicion_mult").inert();
    /// Keys that a slot migration moves in one step.
    cluster_migration_batch_size: u32 =
        integer("cluster-migration-batch-size", "100", 1, INT_MAX).yaml("cluster.migration_batch_size").inert();
    /// Milliseconds of silence after which a node counts as failing.
    cluster_node_timeout: u64 = integer("cluster-node-timeout", "15000", 0, LONG_MAX).inert();
    /// Milliseconds between pings of the cluster bus, for tests.
    cluster_ping_interval: u64 = integer("cluster-ping-interval", "0", 0, LONG_MAX).hidden().inert();
    /// Node timeouts after which a replica's data is too old for a failover; 0 is never.
    cluster_replica_validity_factor: u32 =
        count("cluster-replica-validity-factor", "10").alias("cluster-slave-validity-factor").inert();
    /// Replicas that a master keeps before one may move to a master without.
    cluster_migration_barrier: u32 = count("cluster-migration-barrier", "1").inert();
    /// Let replicas move to masters that have none.
    cluster_allow_replica_migration: bool = yes_no("cluster-allow-replica-migration", "yes").inert();
    /// Never promote this replica on its own.
    cluster_replica_no_failover: bool =
        yes_no("cluster-replica-no-failover", "no").alias("cluster-slave-no-failover").inert();
    /// Refuse queries while any slot is served by no node.
    cluster_require_full_coverage: bool = yes_no("cluster-require-full-coverage", "yes").inert();
    /// Allow reads while the cluster is down.
    cluster_allow_reads_when_down: bool = yes_no("cluster-allow-reads-when-down", "no").inert();
    /// Allow sharded publishing while the cluster is down.
    cluster_allow_pubsubshard_when_down: bool = yes_no("cluster-allow-pubsubshard-when-down", "yes").inert();
    /// Bytes waiting for one other node at which the link is cut; 0 is no limit.
    cluster_link_sendbuf_limit: u64 = memory("cluster-link-sendbuf-limit", "0", 0, u64::MAX).inert();
    /// Address that other nodes are told; empty for the real one.
    cluster_announce_ip: String = text("cluster-announce-ip", "").yaml("cluster.advertise_addr").inert();
    /// Client port that other nodes are told; 0 for the real one.
    cluster_announce_port: u16 = port("cluster-announce-port", "0").inert();
    /// TLS port that other nodes are told; 0 for the real one.
    cluster_announce_tls_port: u16 = port("cluster-announce-tls-port", "0").inert();
    /// Bus port that other nodes are told; 0 for the real one.
    cluster_announce_bus_port: u16 =
        port("cluster-announce-bus-port", "0").yaml("cluster.advertise_port").inert();
    /// Host name that other nodes are told.
    cluster_announce_hostname: String = checked("cluster-announce-hostname", "", text::host_name).inert();
    /// Name of the node, for people.
    cluster_announce_human_nodename: String =
        checked("cluster-announce-human-nodename", "", text::node_name).yaml("cluster.node_name")
        .short_variable("CLUSTER_NODE_NAME").inert();
    /// What redirections name as the target.
    cluster_preferred_endpoint_type: ClusterEndpointType =
        choice("cluster-preferred-endpoint-type", "ip", ClusterEndpointType::WORDS).inert();

    // Settings that Valkey 8 has and Redis has not, so that a valkey.conf is accepted as it is.
    /// Send a full sync and what is written meanwhile to a replica on two connections.
    dual_channel_replication_enabled: bool = yes_no("dual-channel-replication-enabled", "no").hidden().inert();
    /// Where this server runs, for clients that prefer what is near.
    availability_zone: String = text("availability-zone", "").hidden().inert();
    /// Events for which one more thread is set to work.
    events_per_io_thread: u32 = count("events-per-io-thread", "2").hidden().inert();
    /// Commands whose keys are looked up together.
    prefetch_batch_max_size: u32 = integer("prefetch-batch-max-size", "16", 0, 128).hidden().inert();
    /// Name the server Redis where clients might look.
    extended_redis_compatibility: bool = yes_no("extended-redis-compatibility", "no").hidden().inert();
    /// Address that clients of IPv4 are told.
    cluster_announce_client_ipv4: String = text("cluster-announce-client-ipv4", "").hidden().inert();
    /// Address that clients of IPv6 are told.
    cluster_announce_client_ipv6: String = text("cluster-announce-client-ipv6", "").hidden().inert();
    /// Seconds for which a node that was forgotten stays so.
    cluster_blacklist_ttl: u32 = count("cluster-blacklist-ttl", "60").hidden().inert();
    /// Count what each slot costs.
    cluster_slot_stats_enabled: bool = yes_no("cluster-slot-stats-enabled", "no").hidden().inert();
}
