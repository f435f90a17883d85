//! INFO: the state of the server as lines of names and values, in the sections and the order that tools know.
//!
//! Every value is measured or counted somewhere. What belongs to something that this server does not do has the value
//! that is true without it: no replicas are 0 replicas.

use std::env;
use std::fmt::{Display, Write as _};
use std::sync::LazyLock;
use std::time::Duration;

use super::aof::State;
use super::error::Outcome;
use super::memory::Account;
use super::save::Purpose;
use super::state::Server;
use super::table::{Acl, Command, Doc, Flags, all};
use super::{Ctx, REDIS_VERSION, replicaof};
use crate::acl::Reason;
use crate::keyspace::namespace::Namespace;
use crate::memory;
use crate::net::client::Class;
use crate::net::{Client, Closing};
use crate::observe::usage::{self, Whose};
use crate::observe::{heap, process};
use crate::persist::aof::writer::Writer;
use crate::plugin::{BUILTIN, Builtin};
use crate::pubsub::Kind;
use crate::replication::feed::replica_address;
use crate::replication::replica::Stage;
use crate::resp::Args;

pub const COMMANDS: &[Command] = &[Command {
    name: "info",
    arity: -1,
    flags: Flags::LOADING.union(Flags::STALE),
    acl: Acl::DANGEROUS,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    doc: Doc {
        summary: "Tells the state of the server and its statistics.",
        since: "1.0.0",
        group: "server",
        complexity: "O(N) where N is the number of clients and databases.",
        syntax: "[section [section ...]]",
        ..Command::NONE.doc
    },
    handler: info,
    ..Command::NONE
}];

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// When a section is told.
#[derive(Clone, Copy, PartialEq)]
enum Told {
    ByDefault,
    /// With `all` and `everything`: it is long, or has words that tools look for in other sections.
    OnAll,
    /// By its own name alone.
    OnRequest,
}

type Section = (&'static str, Told, fn(&mut Text, &Ctx<'_>));

/// All sections in their order.
const SECTIONS: &[Section] = &[
    ("Server", Told::ByDefault, server),
    ("Clients", Told::ByDefault, clients),
    ("Memory", Told::ByDefault, memory),
    ("Persistence", Told::ByDefault, persistence),
    ("Stats", Told::ByDefault, stats),
    ("Replication", Told::ByDefault, replication),
    ("CPU", Told::ByDefault, cpu),
    ("Modules", Told::ByDefault, nothing),
    ("Plugins", Told::ByDefault, plugins),
    ("Commandstats", Told::OnAll, command_stats),
    ("Errorstats", Told::ByDefault, error_stats),
    ("Latencystats", Told::OnAll, latency_stats),
    ("Cluster", Told::ByDefault, cluster),
    ("Keyspace", Told::ByDefault, keyspace),
    ("Namespaces", Told::OnAll, namespaces),
    ("Tags", Told::ByDefault, tags),
    ("Debug", Told::OnRequest, debug),
];

/// Lines that end as the protocol's do.
struct Text(String);

impl Text {
    fn line(&mut self, name: impl Display, value: impl Display) {
        let written = write!(self.0, "{name}:{value}\r\n");
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }

    /// Bytes, and the same for people.
    fn bytes(&mut self, name: &str, bytes: usize) {
        self.line(name, bytes);
        self.line(format_args!("{name}_human"), human(bytes));
    }

    /// Names with the value 0, or another constant.
    fn constant(&mut self, value: &str, names: &[&str]) {
        names.iter().for_each(|name| self.line(name, value));
    }

    fn ratio(&mut self, name: &str, (ratio, bytes): (f64, i64)) {
        self.line(format_args!("{name}_ratio"), format_args!("{ratio:.2}"));
        self.line(format_args!("{name}_bytes"), bytes);
    }
}

/// Bytes in the largest unit that they fill.
fn human(bytes: usize) -> String {
    const UNITS: &[&str] = &["K", "M", "G", "T", "P", "E"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let unit = (bytes.ilog2() as usize / 10).min(UNITS.len());
    format!("{:.2}{}", bytes as f64 / 1024_f64.powi(unit as i32), UNITS[unit - 1])
}

fn info(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let wanted = |title: &str, told: Told| {
        if args.len() == 1 {
            return told == Told::ByDefault;
        }
        args.iter_from(1).any(|name| {
            let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
            is(title)
                || told == Told::ByDefault && is("default")
                || told != Told::OnRequest && (is("all") || is("everything"))
        })
    };
    let mut text = Text(String::with_capacity(8 * 1024));
    for (title, told, write) in SECTIONS {
        if wanted(title, *told) {
            if !text.0.is_empty() {
                text.0.push_str("\r\n");
            }
            text.0.push_str("# ");
            text.0.push_str(title);
            text.0.push_str("\r\n");
            write(&mut text, cx);
        }
    }
    cx.reply.verbatim("txt", text.0.as_bytes());
    Ok(())
}

/// All sections but those for tests.
pub fn everything(cx: &Ctx<'_>) -> String {
    let mut text = Text(String::new());
    for (title, _, write) in SECTIONS.iter().filter(|(_, told, _)| *told != Told::OnRequest) {
        text.0.push_str(&format!("\r\n# {title}\r\n"));
        write(&mut text, cx);
    }
    text.0
}

fn nothing(_: &mut Text, _: &Ctx<'_>) {}

fn server(text: &mut Text, cx: &Ctx<'_>) {
    /// What does not change while the process lives.
    static SYSTEM: LazyLock<String> = LazyLock::new(usage::system_name);
    static EXECUTABLE: LazyLock<String> =
        LazyLock::new(|| env::current_exe().map_or_else(|_| String::new(), |path| path.display().to_string()));
    /// How the program was built, as far as it can differ for a version.
    const BUILD: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

    let server = &cx.server;
    let settings = &server.settings;
    let build = crc32fast::hash(format!("{VERSION} {BUILD} {} {}", env::consts::ARCH, env::consts::OS).as_bytes());
    let uptime = server.clock.uptime_ms() / 1000;
    text.line("redis_version", REDIS_VERSION);
    text.line("cachestorm_version", VERSION);
    text.line("redis_git_sha1", "00000000");
    text.line("redis_git_dirty", 0);
    text.line("redis_build_id", format_args!("{build:016x}"));
    text.line("redis_mode", "standalone");
    text.line("os", &*SYSTEM);
    text.line("arch_bits", usize::BITS);
    text.line("monotonic_clock", "POSIX clock_gettime");
    text.line("multiplexing_api", if cfg!(target_os = "linux") { "epoll" } else { "kqueue" });
    text.line("process_id", std::process::id());
    text.line("process_supervised", process::supervisor(settings.supervised).word());
    text.line("run_id", &server.run_id);
    text.line("tcp_port", settings.port);
    text.line("server_time_usec", server.clock.unix_us);
    text.line("uptime_in_seconds", uptime);
    text.line("uptime_in_days", uptime / (24 * 3600));
    text.line("hz", settings.hz);
    text.line("configured_hz", settings.hz);
    text.line("lru_clock", (server.clock.unix_ms() / 1000) & ((1 << 24) - 1));
    text.line("executable", &*EXECUTABLE);
    let file = server.source.file.as_ref().map(|file| file.path.display().to_string());
    text.line("config_file", file.unwrap_or_default());
    text.line("io_threads_active", 0);
    if let Some(until_ms) = server.shutdown.and_then(|shutdown| shutdown.waits_until_ms) {
        text.line("shutdown_in_milliseconds", until_ms.saturating_sub(server.clock.uptime_ms()));
    }
    let mut listeners = Vec::new();
    if server.listeners.listens_on_tcp() {
        let addresses: Vec<String> = settings.bind.iter().map(|address| format!("bind={address},")).collect();
        listeners.push(format!("name=tcp,{}port={}", addresses.concat(), settings.port));
    }
    if !server.listeners.unix_path().is_empty() {
        listeners.push(format!("name=unix,bind={}", server.listeners.unix_path()));
    }
    for (number, listener) in listeners.into_iter().enumerate() {
        text.line(format_args!("listener{number}"), listener);
    }
}

fn clients(text: &mut Text, cx: &Ctx<'_>) {
    let server = &cx.server;
    // The link to a master is one when it has been made; replicas are counted apart.
    let counts = |client: &Client| {
        client.closing != Some(Closing::Now)
            && client.link.as_ref().is_none_or(|link| link.is_online())
            && client.class() != Class::Replica
    };
    let (mut connected, mut blocked) = (0, 0);
    for (_, client) in &server.clients {
        connected += usize::from(counts(client));
        blocked += usize::from(client.blocked || client.paused);
    }
    text.line("connected_clients", connected);
    text.line("cluster_connections", 0);
    text.line("maxclients", server.settings.maxclients);
    text.line("client_recent_max_input_buffer", server.stats.recent_max_input.largest());
    text.line("client_recent_max_output_buffer", server.stats.recent_max_output.largest());
    let (watches, waiting) = (&server.keys.effects.watches, &server.keys.effects.waiting);
    text.line("blocked_clients", blocked);
    text.line("tracking_clients", server.keys.effects.trackers.clients());
    text.line("pubsub_clients", server.subscriptions.clients());
    text.line("watching_clients", watches.clients());
    text.line("clients_in_timeout_table", waiting.clients_with_deadline());
    text.line("total_watched_keys", watches.keys());
    text.line("total_blocking_keys", waiting.keys());
    text.line("total_blocking_keys_on_nokey", waiting.keys_until_gone());
}

fn memory(text: &mut Text, cx: &Ctx<'_>) {
    let server = &cx.server;
    let mut account = Account::new(cx);
    // This text itself is gone when its reader sees it.
    account.used = account.used.saturating_sub(memory::size_class(text.0.capacity()));
    text.bytes("used_memory", account.used);
    text.bytes("used_memory_rss", account.resident);
    text.bytes("used_memory_peak", account.peak);
    text.line("used_memory_peak_perc", format_args!("{:.2}%", account.peak_percent()));
    text.line("used_memory_overhead", account.overhead());
    text.line("used_memory_startup", account.startup);
    text.line("used_memory_dataset", account.dataset());
    text.line("used_memory_dataset_perc", format_args!("{:.2}%", account.dataset_percent()));
    text.line("allocator_allocated", account.heap.allocated);
    text.line("allocator_active", account.heap.active);
    text.line("allocator_resident", account.heap.resident);
    text.line("allocator_muzzy", account.heap.muzzy);
    text.bytes("total_system_memory", usage::machine_bytes());
    let (scripts, functions) = (&server.scripts, &server.functions);
    let (engine, functions_engine) = (scripts.engine_bytes(), functions.engine_bytes());
    text.line("used_memory_lua", engine);
    text.line("used_memory_vm_eval", engine);
    text.line("used_memory_lua_human", human(engine));
    text.line("used_memory_scripts_eval", account.scripts);
    text.line("number_of_cached_scripts", scripts.cache.len());
    text.line("number_of_functions", functions.function_count());
    text.line("number_of_libraries", functions.len());
    text.line("used_memory_vm_functions", functions_engine);
    text.bytes("used_memory_vm_total", engine + functions_engine);
    text.line("used_memory_functions", account.functions);
    text.bytes("used_memory_scripts", account.scripts + account.functions);
    text.bytes("maxmemory", server.settings.maxmemory as usize);
    text.line("maxmemory_policy", server.settings.maxmemory_policy.word());
    text.line("memory_pressure", server.pressure_now().word());
    text.ratio("allocator_frag", account.heap_fragmentation());
    text.ratio("allocator_rss", account.heap_resident());
    text.ratio("rss_overhead", account.beside_heap());
    text.ratio("mem_fragmentation", account.fragmentation());
    text.line("mem_not_counted_for_evict", server.uncounted_memory());
    text.line("mem_replication_backlog", account.replication.backlog);
    text.line("mem_total_replication_buffers", account.replication.backlog + account.replication.clients);
    text.line("mem_clients_slaves", account.replication.clients);
    text.line("mem_clients_normal", account.clients);
    text.constant("0", &["mem_cluster_links"]);
    text.line("mem_aof_buffer", server.aof.writer().map_or(0, Writer::buffered));
    text.line("mem_allocator", heap::allocator());
    text.constant("0", &["mem_overhead_db_hashtable_rehashing", "active_defrag_running"]);
    text.line("lazyfree_pending_objects", server.keys.pending_free());
    text.line("lazyfreed_objects", server.keys.stats.lazily_freed);
}

fn persistence(text: &mut Text, cx: &Ctx<'_>) {
    let server = &cx.server;
    let saving = &server.saving;
    text.line("loading", u8::from(server.is_loading()));
    text.line("async_loading", u8::from(server.loading.is_some() && !server.is_loading()));
    text.constant("0", &["current_cow_peak", "current_cow_size", "current_cow_size_age"]);
    let (told, keys) = saving.progress();
    text.line("current_fork_perc", format_args!("{:.2}", 100.0 * told as f64 / keys.max(1) as f64));
    text.line("current_save_keys_processed", told);
    text.line("current_save_keys_total", keys);
    text.line("rdb_changes_since_last_save", server.keys.effects.dirty);
    text.line("rdb_bgsave_in_progress", u8::from(matches!(saving.purpose(), Some(Purpose::File | Purpose::Replica))));
    text.line("rdb_last_save_time", saving.last_unix);
    text.line("rdb_last_bgsave_status", if saving.failed { "err" } else { "ok" });
    let (current, last) = saving.seconds(server.clock.uptime_us);
    text.line("rdb_last_bgsave_time_sec", last);
    text.line("rdb_current_bgsave_time_sec", current);
    text.line("rdb_saves", saving.counts().0);
    text.constant("0", &["rdb_last_cow_size"]);
    text.line("rdb_last_load_keys_expired", server.last_load.expired);
    text.line("rdb_last_load_keys_loaded", server.last_load.keys);
    let (aof, rewrites) = (server.aof.writer(), &server.aof.rewrites);
    text.line("aof_enabled", u8::from(server.aof.state != State::Off));
    text.line("aof_rewrite_in_progress", u8::from(rewrites.current.is_some()));
    text.line("aof_rewrite_scheduled", u8::from(rewrites.scheduled));
    let seconds = |seconds: Option<u64>| seconds.map_or("-1".to_string(), |seconds| seconds.to_string());
    text.line("aof_last_rewrite_time_sec", seconds(rewrites.last_seconds));
    let current = rewrites.current.as_ref().map(|rewrite| (server.clock.uptime_ms() - rewrite.started_ms) / 1000);
    text.line("aof_current_rewrite_time_sec", seconds(current));
    text.line("aof_last_bgrewrite_status", if rewrites.last_failed { "err" } else { "ok" });
    text.line("aof_rewrites", rewrites.count);
    text.line("aof_rewrites_consecutive_failures", rewrites.failures);
    text.line("aof_last_write_status", if aof.is_none_or(Writer::writes) { "ok" } else { "err" });
    text.constant("0", &["aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size"]);
    if server.aof.state != State::Off {
        // Until the first rewrite can begin, there is nothing to write to.
        text.line("aof_current_size", server.aof.size());
        text.line("aof_base_size", server.aof.base_size());
        text.line("aof_pending_rewrite", u8::from(rewrites.scheduled));
        text.line("aof_buffer_length", aof.map_or(0, Writer::buffered));
        text.line("aof_pending_bio_fsync", aof.map_or(0, Writer::syncing));
        text.line("aof_delayed_fsync", aof.map_or(0, |writer| writer.delayed));
    }
    if let Some(loading) = &server.loading {
        let share = 100.0 * loading.loaded_bytes as f64 / loading.total_bytes.max(1) as f64;
        let elapsed = (server.clock.unix_us / 1_000_000).saturating_sub(loading.started);
        let eta = if share > 0.0 && elapsed > 0 { (elapsed as f64 * (100.0 - share) / share) as u64 } else { 1 };
        text.line("loading_start_time", loading.started);
        text.line("loading_total_bytes", loading.total_bytes);
        text.line("loading_rdb_used_mem", loading.used_memory);
        text.line("loading_loaded_bytes", loading.loaded_bytes);
        text.line("loading_loaded_perc", format_args!("{share:.2}"));
        text.line("loading_eta_seconds", eta);
    }
}

/// Deadlines that are looked at in each database to tell how long keys live.
const DEADLINE_SAMPLES: usize = 32;

fn stats(text: &mut Text, cx: &Ctx<'_>) {
    let server = &cx.server;
    let stats = &server.stats;
    let keys = &server.keys;
    let kilobytes = |bytes: f64| format!("{:.2}", bytes / 1024.0);
    text.line("total_connections_received", stats.connections_received);
    text.line("total_commands_processed", stats.commands_processed);
    text.line("instantaneous_ops_per_sec", stats.commands_per_second.average() as u64);
    text.line("total_net_input_bytes", stats.net_input_bytes);
    text.line("total_net_output_bytes", stats.net_output_bytes);
    text.line("total_net_repl_input_bytes", stats.replication_input_bytes);
    text.line("total_net_repl_output_bytes", stats.replication_output_bytes);
    text.line("instantaneous_input_kbps", kilobytes(stats.input_bytes_per_second.average()));
    text.line("instantaneous_output_kbps", kilobytes(stats.output_bytes_per_second.average()));
    text.line("instantaneous_input_repl_kbps", kilobytes(stats.replication_input_per_second.average()));
    text.line("instantaneous_output_repl_kbps", kilobytes(stats.replication_output_per_second.average()));
    text.line("rejected_connections", stats.connections_rejected);
    text.line("sync_full", stats.sync_full);
    text.line("sync_partial_ok", stats.sync_partial_ok);
    text.line("sync_partial_err", stats.sync_partial_err);
    text.line("expired_subkeys", keys.stats.expired_fields);
    text.line("expired_keys", keys.stats.expired);
    let now_ms = keys.now_ms();
    let databases = (0..keys.databases()).filter_map(|db| keys.database(db));
    let deadlines: Vec<u64> = databases.flat_map(|database| database.sample_deadlines(DEADLINE_SAMPLES)).collect();
    let past = deadlines.iter().filter(|&&deadline| deadline < now_ms).count();
    let stale = 100.0 * past as f64 / deadlines.len().max(1) as f64;
    text.line("expired_stale_perc", format_args!("{stale:.2}"));
    text.line("expired_time_cap_reached_count", stats.expire_slices_cut);
    text.line("expire_cycle_cpu_milliseconds", stats.expire_us / 1000);
    text.line("evicted_keys", keys.stats.evicted);
    text.line("evicted_clients", server.stats.evicted_clients);
    text.line("evicted_scripts", server.scripts.evicted);
    let short_us = server.short_since_us.map_or(0, |since_us| server.clock.uptime_us.saturating_sub(since_us));
    text.line("total_eviction_exceeded_time", (stats.short_of_memory_us + short_us) / 1000);
    text.line("current_eviction_exceeded_time", short_us / 1000);
    text.line("keyspace_hits", keys.stats.hits);
    text.line("keyspace_misses", keys.stats.misses);
    text.line("pubsub_channels", server.subscriptions.topics(Kind::Channel));
    text.line("pubsub_patterns", server.subscriptions.topics(Kind::Pattern));
    text.line("pubsubshard_channels", server.subscriptions.topics(Kind::Shard));
    text.constant("0", &["latest_fork_usec"]);
    // Nothing forks; what Redis would fork for is counted.
    text.line("total_forks", server.saving.counts().1);
    text.line("migrate_cached_sockets", server.migrations.len());
    text.line("slave_expires_tracked_keys", keys.own_len());
    text.constant(
        "0",
        &[
            "active_defrag_hits",
            "active_defrag_misses",
            "active_defrag_key_hits",
            "active_defrag_key_misses",
            "total_active_defrag_time",
            "current_active_defrag_time",
        ],
    );
    let (tracked_keys, readers) = keys.effects.trackers.remembered();
    text.line("tracking_total_keys", tracked_keys);
    text.line("tracking_total_items", readers);
    text.line("tracking_total_prefixes", keys.effects.trackers.prefixes());
    text.line("unexpected_error_replies", stats.unexpected_error_replies);
    text.line("total_error_replies", stats.error_replies);
    text.line("dump_payload_sanitizations", stats.payloads_checked);
    text.line("total_reads_processed", stats.reads_processed);
    text.line("total_writes_processed", stats.writes_processed);
    text.constant("0", &["io_threaded_reads_processed", "io_threaded_writes_processed"]);
    text.line("client_query_buffer_limit_disconnections", stats.query_buffer_limit_disconnections);
    text.line("client_output_buffer_limit_disconnections", stats.output_buffer_limit_disconnections);
    text.line("reply_buffer_shrinks", stats.reply_buffer_shrinks);
    text.line("reply_buffer_expands", stats.reply_buffer_expands);
    text.line("eventloop_cycles", stats.turns);
    text.line("eventloop_duration_sum", stats.turns_us);
    let in_commands: u64 = server.command_stats.iter().map(|stats| stats.ticks).sum();
    text.line("eventloop_duration_cmd_sum", time_of(cx, in_commands).as_micros());
    text.line("instantaneous_eventloop_cycles_per_sec", stats.turns_per_second.average() as u64);
    text.line("instantaneous_eventloop_duration_usec", stats.turn_length.average() as u64);
    text.line("loop_longest_turn_usec", stats.longest_turn_us);
    for (name, reason) in [
        ("acl_access_denied_auth", Reason::Auth),
        ("acl_access_denied_cmd", Reason::Command),
        ("acl_access_denied_key", Reason::Key),
        ("acl_access_denied_channel", Reason::Channel),
    ] {
        text.line(name, server.acl.log.count(reason));
    }
}

fn replication(text: &mut Text, cx: &Ctx<'_>) {
    let Server { replication, settings, .. } = &*cx.server;
    if replication.is_replica() {
        text.constant("slave", &["role"]);
        replicaof::tell(cx.server, |name, value| text.line(name, value));
    } else {
        text.constant("master", &["role"]);
    }
    let now_ms = cx.server.clock.uptime_ms();
    text.line("connected_slaves", replication.replicas.len());
    if settings.min_replicas_to_write > 0 && settings.min_replicas_max_lag > 0 {
        text.line("min_slaves_good_slaves", replication.feeding.good);
    }
    let known = cx.server.replicas().filter(|(_, replica)| replica.stage != Stage::Introduced);
    for (number, (client, replica)) in known.enumerate() {
        let (ip, port) = replica_address(client);
        let lag = if replica.stage == Stage::Online { replica.lag_seconds(now_ms) } else { 0 };
        let state = replica.word();
        let line = format!("ip={ip},port={port},state={state},offset={},lag={lag}", replica.acknowledged);
        text.line(format_args!("slave{number}"), line);
    }
    text.constant(replication.failover_word(), &["master_failover_state"]);
    text.line("master_replid", &replication.id);
    text.line("master_replid2", replication.ancestor_id());
    text.line("master_repl_offset", replication.offset);
    match &replication.ancestor {
        Some(ancestor) => text.line("second_repl_offset", ancestor.until),
        None => text.constant("-1", &["second_repl_offset"]),
    }
    text.line("repl_backlog_active", u8::from(replication.backlog.is_some()));
    text.line("repl_backlog_size", settings.repl_backlog_size);
    let (first, len) = replication.backlog.as_ref().map_or((0, 0), |backlog| (backlog.first(), backlog.len()));
    text.line("repl_backlog_first_byte_offset", first);
    text.line("repl_backlog_histlen", len);
}

fn cpu(text: &mut Text, _: &Ctx<'_>) {
    for (whose, suffix) in [(Whose::Process, ""), (Whose::Children, "_children"), (Whose::Thread, "_main_thread")] {
        let time = usage::cpu_time(whose);
        for (kind, time) in [("sys", time.system), ("user", time.user)] {
            let seconds = format_args!("{}.{:06}", time.as_secs(), time.subsec_micros()).to_string();
            text.line(format_args!("used_cpu_{kind}{suffix}"), seconds);
        }
    }
}

/// Ticks of the cycle clock as time.
fn time_of(cx: &Ctx<'_>, ticks: u64) -> Duration {
    Duration::from_nanos(cx.server.cycles.delta_as_nanos(0, ticks))
}

fn plugins(text: &mut Text, cx: &Ctx<'_>) {
    for Builtin { name, is_on } in BUILTIN {
        let on = u8::from(is_on(&cx.server.settings));
        text.line("plugin", format_args!("name={name},version={VERSION},builtin=1,enabled={on},hooks="));
    }
    for (hooks, plugin) in cx.server.plugins.iter() {
        let hooks: Vec<String> = hooks.iter_names().map(|(name, _)| name.to_lowercase()).collect();
        let (name, version) = (plugin.name(), plugin.version());
        text.line(
            "plugin",
            format_args!("name={name},version={version},builtin=0,enabled=1,hooks={}", hooks.join("|")),
        );
    }
}

fn command_stats(text: &mut Text, cx: &Ctx<'_>) {
    for (id, stats) in all().zip(&cx.server.command_stats) {
        if stats.calls + stats.rejected + stats.failed == 0 {
            continue;
        }
        let micros = time_of(cx, stats.ticks).as_micros();
        let each = if stats.calls == 0 { 0.0 } else { micros as f64 / stats.calls as f64 };
        text.line(
            format_args!("cmdstat_{}", id.registered().full_name),
            format_args!(
                "calls={},usec={micros},usec_per_call={each:.2},rejected_calls={},failed_calls={}",
                stats.calls, stats.rejected, stats.failed
            ),
        );
    }
}

fn latency_stats(text: &mut Text, cx: &Ctx<'_>) {
    if !cx.server.settings.latency_tracking {
        return;
    }
    let percents = &cx.server.settings.latency_tracking_info_percentiles;
    for (id, stats) in all().zip(&cx.server.command_stats) {
        let Some(latency) = &stats.latency else { continue };
        let micros = |percent| time_of(cx, latency.percentile(percent)).as_nanos() as f64 / 1000.0;
        let told: Vec<String> = percents.iter().map(|&percent| format!("p{percent}={:.3}", micros(percent))).collect();
        text.line(format_args!("latency_percentiles_usec_{}", id.registered().full_name), told.join(","));
    }
}

fn error_stats(text: &mut Text, cx: &Ctx<'_>) {
    for (code, count) in cx.server.error_stats.iter() {
        // What would look like the structure of these lines.
        let code = code.replace(['#', ':', '\r', '\n'], "_");
        text.line(format_args!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn cluster(text: &mut Text, _: &Ctx<'_>) {
    text.constant("0", &["cluster_enabled"]);
}

fn keyspace(text: &mut Text, cx: &Ctx<'_>) {
    let keys = &cx.server.keys;
    for db in 0..keys.directory().numbered() {
        let Some(database) = keys.database(db).filter(|database| !database.is_empty()) else { continue };
        let (count, sum) = database
            .sample_deadlines(DEADLINE_SAMPLES)
            .fold((0, 0), |(count, sum), deadline| (count + 1, sum + deadline.saturating_sub(keys.now_ms()) as u128));
        let average = sum.checked_div(count).unwrap_or(0);
        text.line(
            format_args!("db{db}"),
            format_args!(
                "keys={},expires={},avg_ttl={average},subexpiry={}",
                database.len(),
                database.expires(),
                database.fields_expire()
            ),
        );
    }
}

/// So many namespaces are told of.
const NAMESPACES_TOLD: usize = 100;

fn namespaces(text: &mut Text, cx: &Ctx<'_>) {
    let keys = &cx.server.keys;
    text.line("namespaces", keys.namespaces().count());
    for (number, (slot, profile)) in keys.namespaces().take(NAMESPACES_TOLD).enumerate() {
        let contents = keys.database(slot);
        let of = |figure: fn(&Namespace) -> usize| contents.map_or(0, figure);
        text.line(
            format_args!("namespace{number}"),
            format_args!(
                "name={},keys={},expires={},memory_bytes={},default_ttl_ms={},max_memory_bytes={},hits={},misses={}",
                profile.name,
                of(Namespace::len),
                of(Namespace::expires),
                of(Namespace::memory_bytes),
                profile.default_ttl_ms,
                profile.max_memory,
                profile.hits,
                profile.misses,
            ),
        );
    }
}

fn tags(text: &mut Text, cx: &Ctx<'_>) {
    let keys = &cx.server.keys;
    let totals = || (0..keys.databases()).map(|db| keys.tag_totals(db));
    text.line("tags", totals().map(|one| one.tags).sum::<usize>());
    text.line("tag_memberships", totals().map(|one| one.memberships).sum::<usize>());
    text.line("tag_links", totals().map(|one| one.links).sum::<usize>());
    text.line("tag_bytes", totals().map(|one| one.bytes).sum::<usize>());
    text.line("tag_invalidations", keys.stats.invalidations);
    text.line("tag_invalidated_keys", keys.stats.invalidated);
    text.line("tag_unswept_memberships", totals().map(|one| one.unswept).sum::<usize>());
    text.line("tag_waiting_clients", cx.server.sweep_waits.len());
}

fn debug(text: &mut Text, cx: &Ctx<'_>) {
    text.line("eventloop_duration_aof_sum", cx.server.stats.aof_us);
    text.line("eventloop_duration_cron_sum", cx.server.stats.cron_us + cx.server.stats.expire_us);
    text.line("eventloop_duration_max", cx.server.stats.longest_turn_us);
    text.line("eventloop_cmd_per_cycle_max", cx.server.stats.most_commands_in_turn);
    text.constant(
        "0",
        &["allocator_allocated_lua", "allocator_active_lua", "allocator_resident_lua", "allocator_frag_bytes_lua"],
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        let cases = [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_011_600, "987.89K"),
            (1 << 20, "1.00M"),
            (25_276_502_016, "23.54G"),
            (3 << 40, "3.00T"),
            (usize::MAX, "16.00E"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(human(bytes), expected, "{bytes} bytes");
        }
    }
}
