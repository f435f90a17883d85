//! The server's state: what commands work on besides their own client.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use slab::Slab;

use super::acl;
use super::aof::Aof;
use super::blocking::{FlushWait, SweepWait};
use super::client::describe;
use super::load::Counts;
use super::loading::Loading;
use super::memory::Footprint;
use super::migrate::Migrations;
use super::pause::Pause;
use super::replication::{Copies, CopyWait};
use super::room::Pressure;
use super::save::Saving;
use super::script_run::Scripts;
use super::table::{CommandId, Names, all};
use crate::acl::AccessControl;
use crate::config::{Settings, Source};
use crate::helper::Outbox;
use crate::keyspace::Keyspace;
use crate::net::budget::ClientBudget;
use crate::net::{Class, Client, Closing, Listeners};
use crate::observe::clock::Clock;
use crate::observe::hotkeys::HotKeys;
use crate::observe::latency::{LatencyMonitor, Sample};
use crate::observe::slowlog::SlowLog;
use crate::observe::stats::{CommandStats, ErrorStats, Stats};
use crate::plugin::{Hooks, Plugins};
use crate::pubsub::Subscriptions;
use crate::replication::{Replication, new_id};
use crate::script::functions::Libraries;

/// How the server is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shutdown {
    /// Whether a last snapshot is written; the save points decide if nobody has said.
    pub save: Option<bool>,
    /// Go without waiting for anybody.
    pub now: bool,
    /// Go even if something cannot be made durable.
    pub force: bool,
    /// Until when it waits for replicas to catch up, in milliseconds of uptime.
    pub waits_until_ms: Option<u64>,
    /// Who asked for it: a client by token and number, or a signal.
    pub client: Option<(usize, u64)>,
    /// Whether a signal asks for it, or has come since.
    pub signalled: bool,
}

/// Everything that lives as long as the server.
pub struct Server {
    pub settings: Settings,
    /// Where the settings came from.
    pub source: Source,
    pub keys: Keyspace,
    /// Clients by the token under which the poll knows them.
    pub clients: Slab<Box<Client>>,
    pub listeners: Listeners,
    /// The words that call commands.
    pub names: Names,
    pub acl: AccessControl,
    pub clock: Clock,
    pub stats: Stats,
    /// By [`CommandId::index`].
    pub command_stats: Vec<CommandStats>,
    /// How often each error code was replied.
    pub error_stats: ErrorStats,
    /// Counts cycles for the statistics.
    pub cycles: quanta::Clock,
    /// A command that takes so many of its ticks is looked at: the slow log or the latency monitor may want it.
    pub slow_ticks: u64,
    pub slow_log: SlowLog,
    pub latency: LatencyMonitor,
    /// Whether histograms are kept of how long commands take.
    pub tracks_latency: bool,
    /// Which keys are accessed most.
    pub hot_keys: HotKeys,
    /// 40 hexadecimal digits that name this run.
    pub run_id: String,
    pub replication: Replication,
    /// The next client's number.
    pub next_client_id: u64,
    /// The tokens of connected clients by their numbers.
    pub client_tokens: BTreeMap<u64, usize>,
    /// Who subscribes to what.
    pub subscriptions: Subscriptions,
    /// Clients that did not ask have been sent messages, one whose command is running perhaps among them.
    pub delivered: bool,
    /// Clients that MONITOR.
    pub monitors: Vec<usize>,
    /// What pauses there are, by what for, and what they are together.
    pub pauses: [Option<Pause>; 3],
    pub pause: Option<Pause>,
    /// How many clients wait for its end.
    pub paused_clients: usize,
    /// Their numbers and tokens as they came, and those of some that have gone.
    held_up: Vec<(u64, usize)>,
    /// Clients that do not wait any more, and may go on.
    pub resumed: Vec<usize>,
    /// Clients that have something to be sent at once.
    pub unsent: Vec<usize>,
    /// Clients that have messages to be sent, and nothing else, in the order in which they came to have some.
    pub messaged: VecDeque<usize>,
    /// What all clients together take, where that is limited.
    pub budget: ClientBudget,
    /// Clients that wait in WAIT and WAITAOF, by their tokens.
    pub copy_waits: BTreeMap<usize, CopyWait>,
    /// How far copies were when those were last looked at.
    pub copies: Copies,
    /// Clients whose FLUSHALL or FLUSHDB waits until the memory is back.
    pub flushing: Vec<FlushWait>,
    /// Clients whose commands wait until keys of invalidated tags are removed, in the order in which they came.
    pub sweep_waits: Vec<SweepWait>,
    /// Clients whose connections are to end.
    pub dying: Vec<usize>,
    /// The append-only file.
    pub aof: Aof,
    /// Data that is being loaded.
    pub loading: Option<Box<Loading>>,
    /// Not every command may run: data is being loaded, or cannot be made durable.
    pub is_troubled: bool,
    /// Uptime since when more memory is used than allowed, in microseconds.
    pub short_since_us: Option<u64>,
    /// How near it is to maxmemory, as it was seen last.
    pub pressure: Pressure,
    /// What all clients took when each was counted last: within a second, or when it was served under pressure.
    pub clients_bytes: usize,
    /// When keys are evicted ahead of need again, in milliseconds of uptime.
    pub next_relief_ms: u64,
    /// What the data weighed when they were looked at last, under pressure.
    pub data_seen: Option<usize>,
    /// Clients that asked for the end, which has not come yet, and their numbers.
    pub shutdown_waits: Vec<(usize, u64)>,
    /// Set when the loop is to end.
    pub shutdown: Option<Shutdown>,
    /// used_memory when the server was ready.
    pub startup_memory: usize,
    /// The most memory ever in use, in bytes.
    pub peak_memory: usize,
    /// What was heard of the memory last.
    pub footprint: Cell<Option<Footprint>>,
    /// Switches that only DEBUG turns.
    pub debug: DebugSwitches,
    /// Snapshots that are written.
    pub saving: Saving,
    /// What the last snapshot that was taken in brought.
    pub last_load: Counts,
    /// The way for helper threads to hand jobs to the server.
    pub outbox: Outbox<Server>,
    /// Connections to servers that keys were moved to.
    pub migrations: Migrations,
    pub plugins: Plugins,
    /// Scripts that are known, and the one that runs.
    pub scripts: Scripts,
    /// Libraries of functions.
    pub functions: Libraries,
    /// Sees to what else there is while a script runs; taken while it does.
    pub attendant: Option<Attendant>,
}

/// See [`Server::attendant`].
pub type Attendant = Box<dyn FnMut(&mut Server, Look)>;

/// What an attendant is to see to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// Signals alone.
    Signals,
    /// All clients but the one for which the script runs.
    Clients { busy: usize },
}

/// What DEBUG can change of the server's habits.
pub struct DebugSwitches {
    /// The periodic work rests.
    pub pause_cron: bool,
    /// After this time a client's reply peak is forgotten; `None` for never.
    pub reply_peak_reset: Option<Duration>,
    /// Whether reply buffers change their size.
    pub reply_buffer_resizing: bool,
    /// Bytes from which on an element is a list node by itself; 0 lets the settings decide.
    pub plain_list_nodes_from: usize,
    /// Checksums of what RESTORE gets are not looked at.
    pub skip_checksums: bool,
    /// Once the server has ended it starts again, so much later.
    pub restart_after: Option<Duration>,
}

impl Default for DebugSwitches {
    fn default() -> DebugSwitches {
        DebugSwitches {
            pause_cron: false,
            reply_peak_reset: Some(Duration::from_secs(5)),
            reply_buffer_resizing: true,
            plain_list_nodes_from: 0,
            skip_checksums: false,
            restart_after: None,
        }
    }
}

impl Server {
    /// A server without clients and keys.
    ///
    /// # Errors
    /// A text if the settings rename commands or declare users in an impossible way.
    pub fn new(
        settings: Settings,
        source: Source,
        listeners: Listeners,
        outbox: Outbox<Server>,
        seed: u64,
        plugins: Plugins,
    ) -> Result<Server, String> {
        let names = Names::new(&settings.rename_command).map_err(|(_, reason)| reason.to_string())?;
        let acl = acl::from_settings(&settings)?;
        let clock = Clock::new();
        let mut keys = Keyspace::new(settings.databases as usize, seed, clock.unix_ms());
        keys.access.follow(&settings);
        keys.follow_policy(settings.maxmemory_policy);
        keys.effects.journal.lazy = super::config::lazy_removals(&settings);
        let [evict, expire, invalidate] =
            [Hooks::ON_EVICT, Hooks::ON_EXPIRE, Hooks::ON_TAG_INVALIDATE].map(|hook| plugins.want(hook));
        keys.effects.report_removals(evict, expire, invalidate);
        keys.effects.follow(&settings);
        keys.follow_namespaces(&settings);
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(1));
        let run_id = new_id(&mut rng);
        let cycles = quanta::Clock::new();
        let slow_ticks = slow_ticks(&settings, &cycles);
        let tracks_latency = settings.tracks_latency();
        let mut hot_keys = HotKeys::new(seed.wrapping_add(2));
        hot_keys.turn(settings.stats_enabled);
        let mut budget = ClientBudget::default();
        budget.set_limit(settings.maxmemory_clients.bytes(settings.maxmemory));
        Ok(Server {
            subscriptions: Subscriptions::new(keys.hasher().clone()),
            names,
            acl,
            keys,
            aof: Aof::new(&settings),
            loading: None,
            is_troubled: false,
            command_stats: vec![CommandStats::default(); all().count()],
            settings,
            source,
            clients: Slab::new(),
            listeners,
            saving: Saving::new(&clock),
            clock,
            stats: Stats::default(),
            error_stats: ErrorStats::default(),
            slow_ticks,
            slow_log: SlowLog::default(),
            latency: LatencyMonitor::default(),
            tracks_latency,
            hot_keys,
            cycles,
            run_id,
            replication: Replication::new(rng.fork()),
            next_client_id: 1,
            client_tokens: BTreeMap::new(),
            delivered: false,
            monitors: Vec::new(),
            pauses: [None; 3],
            pause: None,
            paused_clients: 0,
            held_up: Vec::new(),
            resumed: Vec::new(),
            unsent: Vec::new(),
            messaged: VecDeque::new(),
            budget,
            copy_waits: BTreeMap::new(),
            copies: Copies::default(),
            flushing: Vec::new(),
            sweep_waits: Vec::new(),
            dying: Vec::new(),
            short_since_us: None,
            pressure: Pressure::None,
            clients_bytes: 0,
            next_relief_ms: 0,
            data_seen: None,
            shutdown: None,
            shutdown_waits: Vec::new(),
            startup_memory: 0,
            peak_memory: 0,
            footprint: Cell::new(None),
            debug: DebugSwitches::default(),
            last_load: Counts::default(),
            outbox,
            migrations: Migrations::default(),
            plugins,
            scripts: Scripts::default(),
            functions: Libraries::default(),
            attendant: None,
        })
    }

    /// Reads the clock for the turn that begins.
    pub fn tick(&mut self) {
        self.clock.tick();
        self.keys.set_now(self.clock.unix_ms());
        if self.pause.is_some_and(|pause| pause.until_ms <= self.clock.uptime_ms()) {
            self.end_pauses(self.clock.uptime_ms());
        }
    }

    /// Puts the thresholds of the slow log and of the latency monitor into effect, and what statistics are kept.
    pub fn follow_thresholds(&mut self) {
        let settings = &self.settings;
        self.slow_ticks = slow_ticks(settings, &self.cycles);
        self.tracks_latency = settings.tracks_latency();
        self.hot_keys.turn(settings.stats_enabled);
        if settings.slow_log_is_on() {
            self.slow_log.truncate(settings.slowlog_max_len as usize);
        }
    }

    /// Whether a command that took so long belongs into the slow log.
    pub fn is_slow(&self, took: Duration) -> bool {
        let settings = &self.settings;
        settings.slow_log_is_on() && took.as_micros() >= settings.slowlog_log_slower_than as u128
    }

    /// Tells the latency monitor how long an event held the server up; it keeps what reaches the threshold.
    pub fn note_latency(&mut self, event: &'static str, took: Duration) {
        let (threshold, millis) = (self.settings.latency_monitor_threshold, took.as_millis() as u64);
        if threshold > 0 && millis >= threshold {
            self.latency.add(event, Sample { unix_seconds: self.clock.seconds_now(), millis });
        }
    }

    /// Whether what is written has fewer replicas that keep up than the settings want.
    pub fn lacks_replicas(&self) -> bool {
        let least = self.settings.min_replicas_to_write as usize;
        let counts = least > 0 && self.settings.min_replicas_max_lag > 0 && !self.replication.is_replica();
        counts && self.replication.feeding.good < least
    }

    /// The token of the client with a number, unless it is about to go.
    pub fn client_with_id(&self, id: i64) -> Option<usize> {
        let token = *self.client_tokens.get(&u64::try_from(id).ok()?)?;
        (self.clients[token].closing != Some(Closing::Now)).then_some(token)
    }

    /// Has a client wait for the end of a pause, behind those who do.
    pub fn hold_up(&mut self, token: usize) {
        let client = &mut self.clients[token];
        client.paused = true;
        self.held_up.push((client.id, token));
        self.paused_clients += 1;
        // Most of them have gone meanwhile.
        if self.held_up.len() > 2 * self.paused_clients + 64 {
            let clients = &self.clients;
            self.held_up.retain(|&(id, token)| clients.get(token).is_some_and(|client| client.id == id));
        }
    }

    /// Lets go all that wait for the end of a pause. Returns them in the order in which they came.
    pub fn let_go(&mut self) -> Vec<usize> {
        self.paused_clients = 0;
        let held_up = std::mem::take(&mut self.held_up);
        let still_there = |&(id, token): &(u64, usize)| {
            let client = self.clients.get_mut(token).filter(|client| client.id == id)?;
            client.paused = false;
            Some(token)
        };
        held_up.iter().filter_map(still_there).collect()
    }

    /// Asks for a client's connection to end.
    pub fn close(&mut self, token: usize, how: Closing) {
        self.clients[token].close(how);
        self.keys.effects.waiting.remove(token);
        self.clients[token].go_on();
        if how == Closing::Now {
            self.subscriptions.forget(token);
            self.stop_tracking(token);
            self.budget.forget(token);
            self.forget_replica(token);
        }
        self.dying.push(token);
    }

    /// Lets the attendant see to something.
    pub fn attend(&mut self, look: Look) {
        if let Some(mut attendant) = self.attendant.take() {
            attendant(self, look);
            self.attendant = Some(attendant);
        }
    }

    /// Ends a connection that leaves too much unread.
    pub fn check_output(&mut self, token: usize) {
        let now_ms = self.clock.uptime_ms();
        let lag = self.stream_lag(&self.clients[token]);
        let client = &mut self.clients[token];
        self.stats.recent_max_output.note(client.output.len());
        // A snapshot has bounds of its own.
        let snapshot = client.replica.as_ref().is_some_and(|replica| replica.is_sent_snapshot());
        let held = lag + if snapshot { 0 } else { client.queued_output() as u64 };
        let class = client.class();
        let limit = self.settings.client_output_buffer_limits[class as usize];
        // Who reads the stream may lag as far behind as who comes back.
        let least = if class == Class::Replica { self.settings.repl_backlog_size } else { 0 };
        let hard = limit.hard_bytes.max(least);
        let soft = limit.soft_bytes > 0 && held > limit.soft_bytes;
        let since = if soft { Some(client.over_soft_limit_since.unwrap_or(now_ms)) } else { None };
        client.over_soft_limit_since = since;
        let too_long = since.is_some_and(|since| now_ms - since > limit.soft_seconds as u64 * 1000);
        if ((limit.hard_bytes > 0 && held > hard) || too_long) && client.closing != Some(Closing::Now) {
            log::warn!(
                "Client {} scheduled to be closed ASAP for overcoming of output buffer limits.",
                describe(self, token)
            );
            self.stats.output_buffer_limit_disconnections += 1;
            self.close(token, Closing::Now);
        }
    }

    /// Notes that a client has something to be sent.
    #[inline]
    pub fn will_send(&mut self, token: usize) {
        let client = &mut self.clients[token];
        if !client.unsent {
            client.unsent = true;
            self.unsent.push(token);
        }
    }

    /// Lets plugins work on the server itself; meanwhile it has none.
    pub fn with_plugins(&mut self, work: impl FnOnce(&mut Plugins, &mut Server)) {
        let mut plugins = std::mem::take(&mut self.plugins);
        work(&mut plugins, self);
        self.plugins = plugins;
    }

    /// The statistics of a command.
    pub fn stats_of(&mut self, id: CommandId) -> &mut CommandStats {
        &mut self.command_stats[id.index()]
    }
}

/// From how many ticks on the slow log or the latency monitor may want a command; a little less, for they look closely.
fn slow_ticks(settings: &Settings, cycles: &quanta::Clock) -> u64 {
    /// So many ticks are timed to learn how long one is.
    const TIMED: u64 = 1 << 32;
    let log_us = settings.slow_log_is_on().then_some(settings.slowlog_log_slower_than as u128);
    let monitor_ms = Some(settings.latency_monitor_threshold as u128).filter(|&millis| millis > 0);
    let Some(least_us) = log_us.into_iter().chain(monitor_ms.map(|millis| millis * 1000)).min() else {
        return u64::MAX;
    };
    let nanos = cycles.delta_as_nanos(0, TIMED).max(1) as u128;
    let ticks = least_us * 1000 * TIMED as u128 / nanos;
    u64::try_from(ticks - ticks / 1024).unwrap_or(u64::MAX)
}

impl Settings {
    /// Whether any command is slow enough for the slow log.
    pub fn slow_log_is_on(&self) -> bool {
        self.slowlog_enabled && self.slowlog_log_slower_than >= 0 && self.slowlog_max_len > 0
    }

    /// Whether histograms are kept of how long commands take.
    fn tracks_latency(&self) -> bool {
        self.latency_tracking && self.stats_enabled
    }
}
