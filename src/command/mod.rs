//! Commands: the table, what is checked before one runs, and a file for each family.

pub mod error;
pub mod state;
pub mod table;
pub mod transaction;

pub mod acl;
pub mod aof;
mod aof_load;
mod aof_rewrite;
pub mod aside;
mod bitmap;
pub mod blocking;
pub mod client;
mod cluster;
mod config;
mod connection;
pub mod crash;
mod database;
mod debug;
pub mod deliver;
mod digest;
pub mod directives;
mod dump;
mod function;
mod geo;
mod hash;
mod hash_expiry;
mod history;
mod hotkeys;
mod hyperloglog;
mod info;
mod introspect;
pub mod key_positions;
mod keys;
mod latency;
pub mod limits;
mod list;
pub mod load;
pub mod loading;
mod meminfo;
mod memory;
mod migrate;
mod module;
mod monitor;
mod namespace;
pub mod pause;
mod propagation;
mod pubsub;
mod replicaof;
mod replication;
mod role;
mod room;
pub mod save;
mod scan_options;
mod script;
mod script_debug;
pub mod script_run;
mod server;
mod set;
mod slowlog;
mod sort;
mod stream;
mod string;
mod syntax;
mod tag;
mod tracking;
mod zset;

use std::rc::Rc;
use std::time::Duration;

use crash::Running;

use crate::keyspace::{Key, Overdue, Touch};
use crate::net::client::Class;
use crate::net::{Client, Closing, ReplyMode};
use crate::observe::slowlog::{Entry as SlowEntry, cut_args};
use crate::plugin::{Call, Hooks};
use crate::resp::{Args, Output, Proto, Reply};
use error::{Error, Outcome};
use loading::REPLAYER;
use state::Server;
use table::{Command, Flags, Registered};

/// All commands, family by family.
const FAMILIES: &[&[Command]] = &[
    string::COMMANDS,
    bitmap::COMMANDS,
    hyperloglog::COMMANDS,
    list::COMMANDS,
    hash::COMMANDS,
    hash_expiry::COMMANDS,
    zset::COMMANDS,
    set::COMMANDS,
    geo::COMMANDS,
    sort::COMMANDS,
    stream::COMMANDS,
    keys::COMMANDS,
    tag::COMMANDS,
    dump::COMMANDS,
    migrate::COMMANDS,
    database::COMMANDS,
    namespace::COMMANDS,
    connection::COMMANDS,
    client::COMMANDS,
    acl::COMMANDS,
    transaction::COMMANDS,
    script::COMMANDS,
    function::COMMANDS,
    monitor::COMMANDS,
    pubsub::COMMANDS,
    server::COMMANDS,
    replication::COMMANDS,
    cluster::COMMANDS,
    module::COMMANDS,
    save::COMMANDS,
    aof_rewrite::COMMANDS,
    info::COMMANDS,
    config::COMMANDS,
    memory::COMMANDS,
    meminfo::COMMANDS,
    hotkeys::COMMANDS,
    slowlog::COMMANDS,
    latency::COMMANDS,
    debug::COMMANDS,
    introspect::COMMANDS,
];

/// The version of Redis whose behaviour is followed.
pub const REDIS_VERSION: &str = "7.4.0";

/// What a pause of writing holds up.
const CHANGES: Flags = Flags::WRITE.union(Flags::MAY_REPLICATE);

/// Nobody reads replies of more bytes than this.
const MOST_OUTPUT: usize = 1 << 30;

/// Bytes of an unknown command's name and arguments that the error repeats.
const UNKNOWN_SHOWN: usize = 128;

/// What a handler works with.
pub struct Ctx<'s> {
    pub server: &'s mut Server,
    /// The client's token.
    pub token: usize,
    /// The command being run.
    pub command: &'static Registered,
    /// The client's database.
    pub db: usize,
    /// Whether its commands count as uses of keys.
    pub touch: Touch,
    /// Its replies.
    pub reply: Reply,
    /// The hash of the command's first key, if it has been computed.
    key_hash: Option<u64>,
    /// Arguments that MONITOR must not show, in order.
    redacted: Vec<usize>,
    /// EXEC is running a transaction: no command may wait.
    pub in_exec: bool,
    /// A script is calling.
    pub in_script: bool,
    /// One of the transaction's commands, or of the script's, has taken its time.
    slept: bool,
    /// When its replies take more bytes, the limit of its output is looked at.
    most_reply: usize,
    /// The reply up to here is not to be withheld any more.
    settled: usize,
    /// Keys of which the client's own command has made its copies wrong, as it will be told.
    stale: Vec<Rc<Vec<u8>>>,
    /// Hashes of a command's keys; see [`Ctx::prefetch_keys`].
    hashes: Vec<u64>,
    /// The command waits.
    blocked: bool,
    /// The command runs again after a wait until this deadline.
    resumed: Option<Option<u64>>,
    /// The cycle clock when the last command ended.
    ticks: u64,
    /// What became of keys that are overdue before, if that is not the same for this client.
    overdue_before: Option<Overdue>,
}

/// What became of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It ran, or was refused.
    Done,
    /// It must be tried again when the pause ends.
    Postponed,
    /// It waits; who ends the wait runs it again, or answers.
    Blocked,
}

/// What is to be done with a command that was not refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Admission {
    Run,
    /// It joins the client's transaction.
    Queue,
    /// It must be tried again when the pause ends.
    Postpone,
}

impl<'s> Ctx<'s> {
    /// The context for the commands of one client, until [`Ctx::finish`].
    pub fn new(server: &'s mut Server, token: usize) -> Ctx<'s> {
        let mut cx = Ctx::unused(server);
        cx.enter(token);
        cx
    }

    /// A context for the commands of one client after another, each of whom is to [enter](Ctx::enter) and [leave](Ctx::leave) it.
    pub fn unused(server: &'s mut Server) -> Ctx<'s> {
        Ctx {
            server,
            token: usize::MAX,
            command: table::first(),
            db: 0,
            touch: Touch::Yes,
            reply: Reply { out: Output::default(), proto: Proto::Resp2 },
            key_hash: None,
            redacted: Vec::new(),
            in_exec: false,
            in_script: false,
            slept: false,
            most_reply: usize::MAX,
            settled: 0,
            stale: Vec::new(),
            hashes: Vec::new(),
            blocked: false,
            resumed: None,
            ticks: 0,
            overdue_before: None,
        }
    }

    /// Makes it a client's: what runs from here on are its commands, and the replies are its own.
    pub fn enter(&mut self, token: usize) {
        self.ticks = self.server.cycles.raw();
        let client = &mut self.server.clients[token];
        (self.token, self.db) = (token, client.db);
        (self.settled, self.blocked) = (0, false);
        self.reply.proto = client.proto;
        let hard_limit = self.server.settings.client_output_buffer_limits[client.class() as usize].hard_bytes as usize;
        self.most_reply = if hard_limit == 0 { usize::MAX } else { hard_limit.saturating_add(client.reply_buffer) };
        std::mem::swap(&mut self.reply.out, &mut client.output);
        let (obeyed, no_touch) = (client.link.is_some(), client.no_touch);
        self.set_touch(if no_touch { Touch::No } else { Touch::Yes });
        if obeyed {
            // To the master, when it ran them, nothing was overdue that it did not say.
            self.overdue_before = Some(self.server.keys.set_overdue(Overdue::Ignored));
        }
    }

    /// Says whether from here on the client's looks at keys, and its changes, are uses of them.
    pub fn set_touch(&mut self, touch: Touch) {
        self.touch = touch;
        self.server.keys.change_touches = touch;
    }

    /// Reads the clock again, because the command has taken its time. What a transaction or a script does, it does at one moment:
    /// there the clock is read behind it.
    pub fn look_at_clock(&mut self) {
        self.slept = self.in_exec;
        if !self.in_exec {
            self.server.tick();
        }
    }

    /// Gives the replies to the client, whose commands end here.
    pub fn leave(&mut self) {
        debug_assert!(self.stale.is_empty(), "a stale copy is told of when the command is over");
        if let Some(before) = self.overdue_before.take() {
            // What holds otherwise may be another now.
            let otherwise = self.server.keys.overdue_otherwise();
            self.server.keys.set_overdue(if before == Overdue::Ignored { before } else { otherwise });
        }
        let client = &mut self.server.clients[self.token];
        std::mem::swap(&mut self.reply.out, &mut client.output);
        if self.reply.out.owns_memory() {
            // Messages that came meanwhile go out behind the replies.
            client.output.append(&mut self.reply.out);
            self.reply.out = Output::default();
        }
        if !client.output.is_empty() {
            self.server.will_send(self.token);
        }
    }

    /// As [`Ctx::leave`], when nobody comes after it.
    pub fn finish(mut self) {
        self.leave();
    }

    /// The argument at a position as a key.
    #[inline]
    pub fn key<'a>(&self, args: &'a Args<'_>, at: usize) -> Key<'a> {
        let bytes = &args[at];
        let hash = match self.key_hash {
            Some(hash) if at == self.command.first_key => hash,
            _ => self.server.keys.hash(bytes),
        };
        Key { bytes, hash }
    }

    /// Hashes every `step`th argument from `first` on and brings what they name into the cache. The hashes are then
    /// found by [`Ctx::hashed_key`], so that the misses of many keys overlap.
    pub fn prefetch_keys(&mut self, args: &Args<'_>, first: usize, step: usize) {
        let keys = &self.server.keys;
        self.hashes.clear();
        for at in (first..args.len()).step_by(step) {
            let hash = keys.hash(&args[at]);
            keys.prefetch_bucket(self.db, hash);
            self.hashes.push(hash);
        }
        for &hash in &self.hashes {
            keys.prefetch_entry(self.db, hash);
        }
    }

    /// The `n`th key of those that were prefetched, which is the argument at `at`.
    #[inline]
    pub fn hashed_key<'a>(&self, args: &'a Args<'_>, n: usize, at: usize) -> Key<'a> {
        Key { bytes: &args[at], hash: self.hashes[n] }
    }

    /// Whether the command has been run before, by this server or another one, and is only repeated here: then it is not held
    /// against limits that it has passed.
    pub fn is_repeated(&self) -> bool {
        // Nobody else's commands that write are run meanwhile.
        self.server.is_loading() || self.server.is_master(self.token)
    }

    /// Keeps an argument out of what MONITOR shows.
    pub fn redact(&mut self, at: usize) {
        if let Err(place) = self.redacted.binary_search(&at) {
            self.redacted.insert(place, at);
        }
    }

    /// Keeps all arguments from one on out of it: what follows a mistake may be meant for a password.
    pub fn redact_from(&mut self, at: usize, args: &Args<'_>) {
        self.redacted.truncate(self.redacted.partition_point(|&redacted| redacted < at));
        self.redacted.extend(at..args.len());
    }

    /// Runs one command, or refuses it. `key_hash` is the hash of its first key, if it is known.
    #[inline]
    pub fn run(&mut self, command: Option<&'static Registered>, args: &mut Args<'_>, key_hash: Option<u64>) -> Verdict {
        self.key_hash = key_hash;
        if self.server.clients[self.token].reply_mode == ReplyMode::On {
            let before = self.reply.out.len();
            let verdict = self.answer(command, args);
            let muted = self.server.clients[self.token].reply_mode == ReplyMode::Off;
            if muted | self.server.delivered {
                self.after_reply(muted, before);
            }
            self.check_reply();
            return verdict;
        }
        self.run_muted(command, args)
    }

    /// Takes a reply back from a position on that the client does not want, and adds the messages that came meanwhile.
    #[cold]
    fn after_reply(&mut self, muted: bool, before: usize) {
        if muted {
            // The command that turns replies off has none itself.
            self.reply.out.truncate(before.max(self.settled));
        }
        if self.server.delivered {
            self.collect_messages();
        }
    }

    /// Ends the connection if the client has been answered more than it may leave unread: what is left of a pipeline or a
    /// transaction does not add to that.
    #[inline]
    fn check_reply(&mut self) {
        if self.reply.out.len() > self.most_reply {
            self.end_if_too_much();
        }
    }

    #[cold]
    fn end_if_too_much(&mut self) {
        let Ctx { server, reply, token, .. } = self;
        std::mem::swap(&mut server.clients[*token].output, &mut reply.out);
        server.check_output(*token);
        let client = &mut server.clients[*token];
        if client.closing == Some(Closing::Now) {
            client.output.clear();
            self.most_reply = 0;
        }
        std::mem::swap(&mut client.output, &mut reply.out);
    }

    /// As [`Ctx::run`] for a client that may not want the reply.
    #[cold]
    fn run_muted(&mut self, command: Option<&'static Registered>, args: &mut Args<'_>) -> Verdict {
        let client = &mut self.server.clients[self.token];
        if client.reply_mode == ReplyMode::SkipNext {
            client.reply_mode = ReplyMode::Skip;
        }
        let never = client.reply_mode == ReplyMode::Never;
        let before = self.reply.out.len();
        let verdict = self.answer(command, args);
        if never && self.reply.out.len() > before {
            self.server.end_answered_replica(self.token);
        }
        let muted = never || matches!(self.server.clients[self.token].reply_mode, ReplyMode::Off | ReplyMode::Skip);
        self.after_reply(muted, before);
        let client = &mut self.server.clients[self.token];
        if verdict == Verdict::Done && client.reply_mode == ReplyMode::Skip {
            client.reply_mode = ReplyMode::On;
        }
        verdict
    }

    #[inline]
    fn answer(&mut self, command: Option<&'static Registered>, args: &mut Args<'_>) -> Verdict {
        match self.admit(command, args) {
            Ok(Admission::Run) => {
                self.call(args);
                if self.blocked | self.server.keys.effects.waiting.has_ready() | self.server.budget.is_on() {
                    return blocking::settle(self);
                }
            }
            Ok(Admission::Queue) => transaction::queue(self, args),
            Ok(Admission::Postpone) => return Verdict::Postponed,
            Err(error) => transaction::refuse(self, command, args, &error),
        }
        Verdict::Done
    }

    /// Checks whether a command may run now. Sets `self.command`.
    #[inline]
    fn admit(&mut self, command: Option<&'static Registered>, args: &Args<'_>) -> Result<Admission, Error> {
        let Some(mut command) = command else { return Err(self.unknown(args)) };
        if command.is_container() && args.len() > 1 {
            let Some(subcommand) = command.subcommand(&args[1]) else {
                self.server.clients[self.token].last_command = None;
                return Err(unknown_subcommand(args));
            };
            command = subcommand;
        }
        self.command = command;
        self.server.clients[self.token].last_command = Some(&command.full_name);
        let admitted = self.may_run(command, args);
        if admitted.is_err() {
            self.server.command_stats[command.id.index()].rejected += 1;
        }
        admitted
    }

    /// Checks whether a known command may run now.
    #[inline]
    fn may_run(&mut self, command: &'static Registered, args: &Args<'_>) -> Result<Admission, Error> {
        let declared = command.command;
        if !declared.takes(args.len()) || (command.is_container() && declared.arity == -2) {
            return Err(wrong_arity(&command.full_name));
        }
        let client = &self.server.clients[self.token];
        let (mut flags, restricted) = (declared.flags, client.restricted);
        if flags.intersects(Flags::DEBUG_GATE | Flags::MODULE_GATE | Flags::SCRIPT) {
            if flags.contains(Flags::SCRIPT) {
                flags = script::flags_of(self.server, command, args);
            } else {
                self.check_gate(client, flags)?;
            }
        }
        if restricted {
            self.check_access(command, args)?;
        }
        if self.server.is_short_of_memory() | self.server.keys.is_limited() | self.server.keys.keeps_own() {
            let flags = transaction::effective_flags(&self.server.clients[self.token], command, flags);
            let room = self.server.find_room(self.db, flags);
            self.tell_first();
            // The master had room for it.
            if !self.server.is_master(self.token) {
                room?;
            }
            if self.server.keys.keeps_own() {
                self.decide_overdue(flags);
            }
        }
        let client = &self.server.clients[self.token];
        if client.transaction.is_some() {
            return transaction::admit(self, client, command, flags);
        }
        self.may_go_on(client, command, flags)
    }

    /// Lets a command that is like `flags` write although keys whose time is over are only hidden, as on a replica that lets clients
    /// write: what is hidden there is removed first.
    fn decide_overdue(&mut self, flags: Flags) {
        let keys = &mut self.server.keys;
        let overdue = if flags.contains(Flags::WRITE) { Overdue::Removed } else { keys.overdue_otherwise() };
        if keys.overdue() != overdue && keys.overdue() != Overdue::Ignored {
            let before = keys.set_overdue(overdue);
            self.overdue_before.get_or_insert(before);
        }
    }

    /// Checks whether the settings let the client run a command that is dangerous in itself.
    #[cold]
    fn check_gate(&self, client: &Client, flags: Flags) -> Result<(), Error> {
        let settings = &self.server.settings;
        let (action, text) = if flags.contains(Flags::DEBUG_GATE) {
            (
                settings.enable_debug_command,
                "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it \
                 from a local connection, otherwise you need to set this option in the configuration file, and then \
                 restart the server.",
            )
        } else {
            (
                settings.enable_module_command,
                "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it \
                 from a local connection, otherwise you need to set this option in the configuration file, and then \
                 restart the server.",
            )
        };
        if action.allows(client.is_local) { Ok(()) } else { Err(Error::fixed(text)) }
    }

    /// Checks whether a command that is like `flags` may run in the client's mode, and whether a pause holds it up.
    #[inline]
    fn may_go_on(&self, client: &Client, command: &Registered, flags: Flags) -> Result<Admission, Error> {
        if self.server.is_troubled | client.monitor | client.subscriber | client.replica.is_some() {
            self.check_troubles(client, command, flags)?;
        }
        let held_up =
            self.server.pause.is_some_and(|pause| (pause.all || flags.intersects(CHANGES)) && !client.only_follows());
        Ok(if held_up { Admission::Postpone } else { Admission::Run })
    }

    /// Checks whether a command that is like `flags` may run although the server is not as it should be, or is there to serve
    /// another purpose, or the client is.
    #[cold]
    fn check_troubles(&self, client: &Client, command: &Registered, flags: Flags) -> Outcome {
        let (server, writes) = (&*self.server, flags.contains(Flags::WRITE));
        if client.link.is_some() {
            // What the master has done is done. It is only not to be lost again.
            if writes
                && !server.settings.replica_ignore_disk_write_errors
                && let Err(why) = self.check_durability()
            {
                log::warn!("{}", String::from_utf8_lossy(why.text()));
                aof::give_up("Replica was unable to write command to disk.");
            }
        } else {
            if writes || command.full_name == "ping" {
                self.check_durability()?;
            }
            if writes {
                server.check_role()?;
            }
        }
        may_run_for_subscriber(client, command)?;
        if server.refuses_stale() && !flags.contains(Flags::STALE) {
            return Err(Error::MASTER_DOWN);
        }
        if let Some(loading) = &server.loading {
            let runs =
                if loading.aside { !flags.contains(Flags::NO_ASYNC_LOADING) } else { flags.contains(Flags::LOADING) };
            if !runs {
                return Err(Error::LOADING);
            }
        }
        if let Some(busy) = server.scripts.busy_error()
            && !flags.contains(Flags::ALLOW_BUSY)
        {
            return Err(busy);
        }
        // Who only follows is not held up by a pause, and for that may not touch keys.
        const TOUCHES: Flags = CHANGES.union(Flags::READONLY);
        if client.only_follows() && flags.intersects(TOUCHES) {
            return Err(Error::fixed("ERR Replica can't interact with the keyspace"));
        }
        Ok(())
    }

    /// Checks whether what is written now can be made durable.
    pub(super) fn check_durability(&self) -> Outcome {
        if let Some(why) = self.server.aof.trouble() {
            return Err(Error::new(format!("MISCONF Errors writing to the AOF file: {why}")));
        }
        if save::refuses_writes(self.server) { Err(Error::MISCONF) } else { Ok(()) }
    }

    /// Runs the command and counts it.
    #[inline]
    fn call(&mut self, args: &mut Args<'_>) {
        let command = self.command;
        // EXEC takes the time of its commands, too.
        let started = self.ticks;
        if self.server.hot_keys.is_due() {
            hotkeys::note_access(self, args);
        }
        let shown = monitor::quoted_args(self, args);
        let (journalled, dirty) = (self.propagates(), self.server.keys.effects.dirty);
        if journalled {
            self.begin_unit(args);
        }
        let mut running = Running::new(self, args);
        let outer = running.begin();
        let outcome = if self.server.plugins.want(Hooks::BEFORE_COMMAND.union(Hooks::AFTER_COMMAND)) {
            self.handle_hooked(args)
        } else {
            (command.command.handler)(self, args)
        };
        crash::resume(outer);
        if journalled {
            self.end_unit(args, dirty);
        }
        if self.server.keys.effects.told() {
            self.tell_and_remember(command, args);
        }
        let now = self.server.cycles.raw();
        if self.blocked {
            // It is counted when its wait is over, without the time of the wait.
            self.ticks = now;
            self.server.clients[self.token].spent_ticks = now.wrapping_sub(started);
            if let Some(shown) = shown {
                monitor::feed(self, &shown);
            }
            return;
        }
        let stats = &mut self.server.command_stats[command.id.index()];
        stats.calls += 1;
        let ticks = now.wrapping_sub(started);
        stats.ticks += ticks;
        if self.server.tracks_latency {
            stats.latency.get_or_insert_default().record(ticks);
        }
        self.ticks = now;
        if ticks >= self.server.slow_ticks {
            let fast = command.command.flags.contains(Flags::FAST);
            self.took_long(args, ticks, if fast { "fast-command" } else { "command" });
        }
        self.server.stats.commands_processed += 1;
        if let Err(error) = outcome {
            self.server.command_stats[command.id.index()].failed += 1;
            self.error(&error);
        }
        if let Some(shown) = shown {
            monitor::feed(self, &shown);
        }
        if !self.redacted.is_empty() {
            self.redacted.clear();
        }
    }

    /// Runs the command's handler between the plugins' hooks.
    #[cold]
    fn handle_hooked(&mut self, args: &mut Args<'_>) -> Outcome {
        let (command, db, token) = (self.command, self.db, self.token);
        let Server { plugins, clients, .. } = &mut *self.server;
        // Nobody is behind it: the command is replayed.
        if clients[token].user.is_none() {
            return (command.command.handler)(self, args);
        }
        let mut outcome = plugins.before_command(&Call { command, args, db, client: &clients[token] });
        if outcome.is_ok() {
            outcome = (command.command.handler)(self, args);
        }
        if !self.blocked {
            let Server { plugins, clients, .. } = &mut *self.server;
            plugins.after_command(&Call { command, args, db, client: &clients[token] }, &outcome);
        }
        outcome
    }

    /// Counts a command whose wait ended without its running again.
    fn count_wait(&mut self, args: &Args<'_>, failed: bool) {
        let ticks = self.server.clients[self.token].spent_ticks;
        let tracked = self.server.tracks_latency;
        let stats = self.server.stats_of(self.command.id);
        stats.calls += 1;
        stats.failed += u64::from(failed);
        stats.ticks += ticks;
        if tracked {
            stats.latency.get_or_insert_default().record(ticks);
        }
        self.server.stats.commands_processed += 1;
        if ticks >= self.server.slow_ticks {
            self.took_long(args, ticks, "command-unblocking");
        }
    }

    /// Reports the command that just ran to the slow log and, as an event, to the latency monitor, as far as they want it.
    #[cold]
    fn took_long(&mut self, args: &Args<'_>, ticks: u64, event: &'static str) {
        let Command { flags, .. } = *self.command.command;
        let took = Duration::from_nanos(self.server.cycles.delta_as_nanos(0, ticks));
        self.server.note_latency(event, took);
        if flags.contains(Flags::SKIP_SLOWLOG) || !self.server.is_slow(took) {
            return;
        }
        let client = &self.server.clients[self.token];
        // Whose script it is stands with the script.
        let (addr, client_name) = match self.in_script {
            true => Default::default(),
            false => (client.addr.to_string(), client.name.clone()),
        };
        let shown = |at| if self.redacted.contains(&at) { b"(redacted)".to_vec() } else { args.shown(at) };
        let entry = SlowEntry {
            id: 0,
            unix_seconds: self.server.clock.seconds_now(),
            micros: took.as_micros() as u64,
            args: cut_args(args.len(), shown),
            addr,
            client_name,
        };
        let most = self.server.settings.slowlog_max_len as usize;
        self.server.slow_log.push(entry, most);
    }

    /// Writes an error reply and counts it.
    #[cold]
    pub fn error(&mut self, error: &Error) {
        self.reply.error(error.text());
        self.count_error(error);
    }

    /// Counts an error.
    #[cold]
    fn count_error(&mut self, error: &Error) {
        let text = error.text();
        let command = self.server.clients[self.token].last_command.unwrap_or("<unknown>");
        if self.server.clients[self.token].class() == Class::Replica {
            self.server.tell_error_to_replica(error, command);
        } else if self.server.is_master(self.token) {
            self.server.stream_failed(error, command);
        } else if self.server.clients[self.token].id == REPLAYER {
            // What fails within a transaction fails in EXEC.
            let is_exec = self.server.clients[self.token].transaction.is_some();
            self.server.tell_error_to_replayer(error, if is_exec { "exec" } else { &self.command.full_name });
        }
        self.server.stats.error_replies += 1;
        let code = text.split(|&byte| byte == b' ').next().unwrap_or_default();
        let code = String::from_utf8_lossy(&code[..code.len().min(32)]);
        self.server.error_stats.count(&code);
    }

    #[cold]
    fn unknown(&mut self, args: &Args<'_>) -> Error {
        self.server.clients[self.token].last_command = None;
        let name = &args[0];
        // Somebody's browser is made to talk to us: it gets no answer.
        if name.eq_ignore_ascii_case(b"host:") || name.eq_ignore_ascii_case(b"post") {
            log::warn!(
                "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. \
                 This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis \
                 instance. Connection from {} aborted.",
                self.server.clients[self.token].addr
            );
            self.server.close(self.token, Closing::Now);
        }
        let mut text = b"ERR unknown command '".to_vec();
        text.extend_from_slice(shown(name, UNKNOWN_SHOWN));
        text.extend_from_slice(b"', with args beginning with: ");
        let start = text.len();
        for arg in args.iter_from(1) {
            let room = UNKNOWN_SHOWN.saturating_sub(text.len() - start);
            if room == 0 {
                break;
            }
            text.push(b'\'');
            text.extend_from_slice(shown(arg, room));
            text.extend_from_slice(b"' ");
        }
        Error::new(text)
    }

    /// The most bytes of replies that a command may have whose replies can be of any length: as many as a client may leave unread,
    /// but in a script, which leaves nothing unread.
    pub fn most_output(&self) -> usize {
        if self.in_script { MOST_OUTPUT } else { self.most_unread() }
    }

    /// The most bytes of replies that the client may leave unread: what the settings say, and otherwise more than anybody reads.
    pub fn most_unread(&self) -> usize {
        let limits = self.server.settings.client_output_buffer_limits;
        match limits[self.server.clients[self.token].class() as usize].hard_bytes {
            0 => MOST_OUTPUT,
            bytes => usize::try_from(bytes).unwrap_or(MOST_OUTPUT),
        }
    }

    /// Ends the connection if its reply, which is not whole then, has more bytes than [`Ctx::most_output`] said.
    ///
    /// # Errors
    /// If the reply is for a script, which would come across its end: it gets this instead.
    pub fn end_if_beyond(&mut self, most: usize) -> Outcome {
        if self.reply.out.len() <= most {
            return Ok(());
        }
        if self.in_script {
            self.reply.out.truncate(0);
            return Err(Error::fixed("ERR the reply of the command is too large"));
        }
        self.server.close(self.token, Closing::Now);
        Ok(())
    }

    /// Answers a container's HELP: `lines` are forms and their explanations, the latter with four leading spaces.
    pub fn help(&mut self, args: &Args<'_>, lines: &[&str]) -> Outcome {
        let container = String::from_utf8_lossy(&args[0]).to_uppercase();
        self.reply.array(lines.len() + 3);
        self.reply.status(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
        for line in lines {
            self.reply.status(line);
        }
        self.reply.status("HELP");
        self.reply.status("    Print this help.");
        Ok(())
    }
}

/// As much of a client's bytes as an error repeats: up to a number, or to the first NUL.
fn shown(bytes: &[u8], most: usize) -> &[u8] {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    &bytes[..end.min(most)]
}

/// Checks whether a client that may subscribe to something may run a command.
fn may_run_for_subscriber(client: &Client, command: &Registered) -> Outcome {
    const STILL_ALLOWED: &[&str] = &[
        "ping",
        "subscribe",
        "unsubscribe",
        "psubscribe",
        "punsubscribe",
        "ssubscribe",
        "sunsubscribe",
        "quit",
        "reset",
    ];
    let name = command.full_name.as_str();
    if client.subscriber && client.proto == Proto::Resp2 && !STILL_ALLOWED.contains(&name) {
        return Err(Error::new(format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context"
        )));
    }
    Ok(())
}

/// A subcommand with more arguments than any of its forms has.
fn malformed(args: &Args<'_>) -> Error {
    let (container, name) = (args[0].to_ascii_uppercase(), shown(&args[1], UNKNOWN_SHOWN));
    Error::new(
        [b"ERR unknown subcommand or wrong number of arguments for '", name, b"'. Try ", &container, b" HELP."]
            .concat(),
    )
}

/// Does something `count` times, a thousand at once, as long as `portion` returns true.
pub fn in_portions(count: usize, mut portion: impl FnMut(usize) -> bool) {
    const PORTION: usize = 1000;
    let mut left = count;
    while left > 0 && portion(left.min(PORTION)) {
        left -= left.min(PORTION);
    }
}

/// "wrong number of arguments"
pub fn wrong_arity(full_name: &str) -> Error {
    Error::new(format!("ERR wrong number of arguments for '{full_name}' command"))
}

/// A subcommand that there is not. The command is named as the client called it, for it may have been renamed.
#[cold]
fn unknown_subcommand(args: &Args<'_>) -> Error {
    let (container, name) = (args[0].to_ascii_uppercase(), shown(&args[1], UNKNOWN_SHOWN));
    Error::new([b"ERR unknown subcommand '", name, b"'. Try ", &container, b" HELP."].concat())
}
