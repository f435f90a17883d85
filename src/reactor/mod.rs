//! The reactor: one thread that owns everything and never waits but for events.
//!
//! A turn: poll; accept; read, parse and run the commands of all ready clients, batch by batch; jobs of helpers; timers;
//! then, before sleeping, send replies, do one slice of background work, close what must close. Replies are never sent
//! command by command: one read and one write for each connection and turn.

mod accept;
mod alarm;
mod attendant;
mod batch;
mod builder;
mod intake;
mod signals;

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Token, Waker};

use crate::command::aof::{State, give_up};
use crate::command::blocking;
use crate::command::crash as crash_report;
use crate::command::deliver;
use crate::command::save::{self, Next, Purpose, Unsaved};
use crate::command::state::{Server, Shutdown};
use crate::config::Loaded;
use crate::helper::disk::Disk;
use crate::helper::{Inbox, Outbox, mailbox};
use crate::memory;
use crate::memory::warm::Warmer;
use crate::net::client::{REPLY_BUFFER_MAX, REPLY_BUFFER_MIN};
use crate::net::listen::{FIRST_LISTENER, ListenError};
use crate::net::{Closing, Listeners};
use crate::observe::reason;
use crate::observe::{crash, process, processors};
use crate::plugin::Plugins;
use accept::{Queue, accept};
use alarm::Alarm;
use attendant::Attendant;
pub use builder::Builder;
use intake::Intake;
use signals::Signals;

const WAKE: Token = Token(usize::MAX - 1);
const ALARM: Token = Token(usize::MAX - 2);
/// Signals have tokens from here on.
const FIRST_SIGNAL: usize = usize::MAX - 16;
/// Sockets that a turn serves at most. When so many have been read from and it comes to replies, what belongs to them is still in
/// the processor's own cache; of a thousand it is not.
const EVENTS: usize = 32;
/// Keys that a turn expires at most, in each database.
const EXPIRE_SLICE: usize = 400;
/// Time for sending messages in a turn, if no more has gone into its replies.
const DELIVERY_TIME: Duration = Duration::from_micros(200);
/// Time for freeing what was flushed, in each turn.
const FREE_TIME: Duration = Duration::from_micros(100);
/// Time for removing keys of invalidated tags, in a turn that serves clients and in one that does not.
const SWEEP_TIME: Duration = Duration::from_micros(200);
const IDLE_SWEEP_TIME: Duration = Duration::from_micros(300);
/// Time for a snapshot in the background, in a turn that serves clients and in one that does not.
const SNAPSHOT_TIME: Duration = Duration::from_micros(250);
const IDLE_SNAPSHOT_TIME: Duration = Duration::from_micros(500);
/// A buffer for a big argument is cut to what has come when the client has been idle for this long.
const IDLE_BUFFER_MS: u64 = 2000;

/// A client that is to be closed and does not read its last replies is closed without them after this time.
const CLOSING_MS: u64 = 60_000;

/// Why the server could not start.
#[derive(Debug)]
pub enum StartError {
    /// The kernel refuses polls, pipes or signals.
    Io(io::Error),
    /// An address is not to be had.
    Listen(ListenError),
    /// The settings contradict the command table.
    Commands(String),
    /// A plugin cannot be had.
    Plugin(String),
    /// The settings name nothing to listen on.
    Unreachable,
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> StartError {
        StartError::Io(error)
    }
}

/// The loop and what it works on.
pub struct Reactor {
    poll: Poll,
    pub server: Server,
    intake: Intake,
    /// Listeners that may have more connections waiting.
    accepting: Vec<Token>,
    /// Listeners that are to be asked again when the periodic work is done.
    stuck: Vec<Token>,
    signals: Rc<RefCell<Signals>>,
    inbox: Inbox<Server>,
    outbox: Outbox<Server>,
    warmer: Warmer,
    alarm: Alarm,
    /// Uptime of the next periodic work, and of the next sample of rates, in milliseconds.
    next_cron_ms: u64,
    next_sample_ms: u64,
    /// Where the periodic look at clients goes on.
    cron_client: u64,
    /// Something is left to do: the next poll must not wait.
    busy: bool,
    /// When the snapshot in the background goes on.
    snapshot: Next,
}

impl Reactor {
    /// See [`Builder::build`].
    fn new(Loaded { settings, source }: Loaded, seed: u64, plugins: Plugins) -> Result<Reactor, StartError> {
        memory::claim_reactor_thread();
        if let Err(error) = memory::merge_free_pages() {
            log::warn!("Large amounts of memory may be freed with pauses: {error}");
        }
        crash_report::prepare();
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        let (outbox, inbox) = mailbox(waker);
        let signals = Rc::new(RefCell::new(Signals::new(poll.registry(), FIRST_SIGNAL)?));
        let listeners = Listeners::new(poll.registry().try_clone()?);
        let mut server =
            Server::new(settings, source, listeners, outbox.clone(), seed, plugins).map_err(StartError::Commands)?;
        let Server { listeners, settings, .. } = &mut server;
        listeners.bind_tcp(settings).map_err(StartError::Listen)?;
        listeners.bind_unix(settings).map_err(StartError::Listen)?;
        if listeners.is_empty() {
            return Err(StartError::Unreachable);
        }
        let (disk, warmer) = processors::start_on(&settings.bio_cpulist, || {
            std::io::Result::Ok((Disk::start(outbox.clone())?, Warmer::start()?))
        })
        .map_err(|error| std::io::Error::other(format!("no thread can be started: {error}")))?;
        processors::bind(&settings.server_cpulist);
        server.aof.use_disk(disk);
        let behind = Rc::default();
        let mut attendant = Attendant::new(Rc::clone(&signals), Rc::clone(&behind));
        server.attendant = Some(Box::new(move |server, look| attendant.attend(server, look)));
        server.follow_as_configured();
        server.startup_memory = memory::used();
        Ok(Reactor {
            poll,
            server,
            intake: Intake::new(behind),
            accepting: Vec::new(),
            stuck: Vec::new(),
            signals,
            inbox,
            outbox,
            warmer,
            alarm,
            next_cron_ms: 0,
            next_sample_ms: 0,
            cron_client: 0,
            busy: false,
            snapshot: Next::Told,
        })
    }

    /// The way for helper threads to hand jobs to the server.
    pub fn outbox(&self) -> Outbox<Server> {
        self.outbox.clone()
    }

    /// Runs until something asks for the end.
    ///
    /// # Errors
    /// The last line of the log, if the end is not a good one: polling fails, or somebody has no patience.
    pub fn run(&mut self) -> Result<(), String> {
        let mut events = Events::with_capacity(EVENTS);
        if let Err(why) = self.server.start_loading() {
            give_up(&why);
        }
        if self.server.loading.is_none() {
            self.announce();
        }
        loop {
            let patience = self.patience();
            match self.poll.poll(&mut events, patience) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(format!("Polling failed: {}", reason(&error)));
                }
                _ => {}
            }
            let started = self.server.cycles.raw();
            let commands_before = self.server.stats.commands_processed;
            self.server.tick();
            for event in &events {
                self.dispatch(event);
            }
            for token in std::mem::take(&mut self.accepting) {
                match accept(&mut self.server, token) {
                    Queue::Empty => {}
                    Queue::More => self.accepting.push(token),
                    Queue::Stuck => self.stuck.push(token),
                }
            }
            self.intake.serve(&mut self.server);
            self.inbox.run(&mut self.server);
            self.timers();
            self.before_sleep(started, self.server.stats.commands_processed != commands_before);
            self.count_turn(started, commands_before);
            if let Some(shutdown) = self.server.shutdown
                && self.prepare_to_end(shutdown)?
            {
                self.server
                    .with_plugins(|plugins, server| plugins.each().for_each(|plugin| plugin.on_shutdown(server)));
                self.intake.deliver(&mut self.server, None, |_| false);
                self.server.finish_aof();
                self.server.listeners.close();
                self.server.plugins.each().for_each(|plugin| plugin.close());
                return Ok(());
            }
        }
    }

    /// Makes durable what is to be before the end. Returns whether it is the end.
    ///
    /// # Errors
    /// If somebody has no patience for that.
    fn prepare_to_end(&mut self, shutdown: Shutdown) -> Result<bool, String> {
        let server = &mut self.server;
        if shutdown.client.is_none() && server.debug.pause_cron {
            // Ending for a signal is periodic work.
            return Ok(false);
        }
        if server.loading.is_some() {
            log::warn!("Received shutdown signal during loading, exiting now.");
            return Ok(true);
        }
        if shutdown.waits_until_ms.is_none() {
            log::warn!("User requested shutdown...");
        }
        if server.waits_for_replicas(shutdown) {
            return Ok(false);
        }
        server.tell_lagging_replicas();
        let awaits_base = server.aof.state == State::AwaitsBase;
        if awaits_base && shutdown.force {
            log::warn!("Writing initial AOF. Exit anyway.");
        } else if awaits_base {
            log::warn!("Writing initial AOF, can't exit");
            refuse_to_end(server);
            return Ok(false);
        }
        if save::give_up(server, Purpose::File) {
            log::warn!("The snapshot that is being written in the background is given up.");
        }
        if !shutdown.save.unwrap_or(!server.settings.save.is_empty()) {
            return Ok(true);
        }
        server.cancel_rewrite();
        log::info!("Saving the final RDB snapshot before exiting.");
        let mut signals = self.signals.borrow_mut();
        match save::save_now(server, &mut || signals.interrupted()) {
            Ok(()) => Ok(true),
            Err(Unsaved::Interrupted) => Err("You insist... exiting now.".to_string()),
            Err(Unsaved::Disk(_)) if shutdown.force => {
                log::warn!("Error trying to save the DB. Exit anyway.");
                Ok(true)
            }
            Err(Unsaved::Disk(_)) => {
                log::warn!("Error trying to save the DB, can't exit.");
                refuse_to_end(server);
                Ok(false)
            }
        }
    }

    /// How long the next poll may wait: until an event, of which the alarm is one, or not at all.
    fn patience(&mut self) -> Option<Duration> {
        let server = &self.server;
        let waiting = !self.intake.is_empty() || !self.accepting.is_empty() || server.replicas_want_more();
        let waiting = waiting || !(server.unsent.is_empty() && server.messaged.is_empty() && server.resumed.is_empty());
        if self.busy || self.snapshot == Next::Now || waiting {
            return Some(Duration::ZERO);
        }
        let due_us = self.due_us();
        self.alarm.ring_by(due_us, self.server.clock.uptime_us)
    }

    /// When something is to be done next, whatever happens until then, in microseconds of uptime.
    fn due_us(&self) -> u64 {
        let Server { clock, keys, aof, .. } = &self.server;
        let cron = self.next_cron_ms.max(clock.uptime_ms() + 1) * 1000;
        // By another clock, whose milliseconds begin at other moments.
        let expiry = keys.next_deadline().map(|at| {
            let wait_us = at.saturating_sub(keys.now_ms()).clamp(1, 1000) * 1000;
            (clock.uptime_us + wait_us).next_multiple_of(1000)
        });
        // In the millisecond of its deadline a client still waits.
        let wait = keys.effects.waiting.next_deadline().map(|at_ms| at_ms.saturating_add(1).saturating_mul(1000));
        let snapshot = if let Next::After(us) = self.snapshot { Some(clock.uptime_us + us) } else { None };
        [expiry, wait, snapshot, aof.gathers_until()].into_iter().flatten().fold(cron, u64::min)
    }

    fn dispatch(&mut self, event: &Event) {
        let token = event.token();
        if token == WAKE {
            // Jobs are run in every turn.
        } else if token == ALARM {
            // What is due is done in every turn, too.
            self.alarm.rang();
        } else if token.0 >= FIRST_SIGNAL {
            self.signals.borrow_mut().handle(token, &mut self.server);
        } else if token.0 >= FIRST_LISTENER {
            self.accepting.push(token);
        } else if let Some(client) = self.server.clients.get_mut(token.0) {
            // Of a client that is held up not all is read, and nothing of one about to be closed: nobody else would see that it has gone.
            let held_up = client.paused || client.blocked;
            let gone = event.is_error() || event.is_write_closed() || (held_up && event.is_read_closed());
            if gone && (held_up || client.closing.is_some()) {
                return self.server.close(token.0, Closing::Now);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                client.readable = true;
                client.hung_up |= event.is_read_closed();
                self.intake.enqueue(&mut self.server, token.0);
            }
            if event.is_writable() && !self.server.clients[token.0].output.is_empty() {
                if self.server.is_master(token.0) {
                    self.server.link_made(token.0);
                }
                self.server.will_send(token.0);
            }
        }
    }

    fn timers(&mut self) {
        let now_ms = self.server.clock.uptime_ms();
        if self.server.pause.is_none() {
            self.resume();
        }
        blocking::end_overdue(&mut self.server);
        for token in std::mem::take(&mut self.server.resumed) {
            self.intake.enqueue(&mut self.server, token);
        }
        if now_ms < self.next_cron_ms {
            return;
        }
        let hz = self.server.settings.hz.clamp(1, 500) as u64;
        self.next_cron_ms = now_ms + 1000 / hz;
        self.accepting.append(&mut self.stuck);
        self.server.relieve_pressure(now_ms);
        crash::watch();
        if now_ms >= self.next_sample_ms {
            self.next_sample_ms = now_ms + 100;
            let now_us = self.server.clock.uptime_us;
            let stats = &mut self.server.stats;
            stats.commands_per_second.sample(stats.commands_processed, now_us);
            stats.input_bytes_per_second.sample(stats.net_input_bytes, now_us);
            stats.output_bytes_per_second.sample(stats.net_output_bytes, now_us);
            stats.replication_input_per_second.sample(stats.replication_input_bytes, now_us);
            stats.replication_output_per_second.sample(stats.replication_output_bytes, now_us);
            stats.turns_per_second.sample(stats.turns, now_us);
            stats.turn_length.sample_per(stats.turns_us, stats.turns);
            stats.recent_max_input.advance(now_us / 1_000_000);
            stats.recent_max_output.advance(now_us / 1_000_000);
            self.server.hot_keys.fade(now_ms);
        }
        if !self.server.debug.pause_cron {
            save::cron(&mut self.server);
            self.server.rewrite_if_due();
            let started = Instant::now();
            self.look_after_clients(hz);
            self.server.migrations.close_idle(now_ms);
            self.server.look_after_replicas();
            self.server.look_after_link();
            if self.server.pause.is_none() {
                self.server.keys.expire_own(EXPIRE_SLICE);
            }
            self.server.stats.cron_us += started.elapsed().as_micros() as u64;
        }
    }

    /// Lets clients go on that a pause held up.
    fn resume(&mut self) {
        if self.server.paused_clients == 0 {
            return;
        }
        for token in self.server.let_go() {
            self.intake.enqueue(&mut self.server, token);
        }
    }

    /// Looks at a part of the clients, so that each is seen about once a second: timeouts, limits, buffer sizes.
    fn look_after_clients(&mut self, hz: u64) {
        let server = &mut self.server;
        let (now_ms, timeout) = (server.clock.uptime_ms(), server.settings.timeout as u64 * 1000);
        let share = (server.clients.len() / hz as usize).max(5).min(server.clients.len());
        for _ in 0..share {
            let tokens = &server.client_tokens;
            let Some((&id, &token)) = tokens.range(self.cron_client..).next().or_else(|| tokens.first_key_value())
            else {
                return;
            };
            self.cron_client = id + 1;
            let client = &mut server.clients[token];
            let idle_ms = now_ms.saturating_sub(client.active_ms);
            let waits = client.subscriber || client.paused || client.blocked;
            let waits = waits || client.only_follows() || client.link.is_some();
            if timeout > 0 && idle_ms > timeout && !waits {
                log::debug!("Closing idle client");
                server.close(token, Closing::Now);
                continue;
            }
            if idle_ms > IDLE_BUFFER_MS {
                client.parser.shrink();
                client.input.shrink_to_fit();
            }
            if server.debug.reply_buffer_resizing {
                resize_reply_buffer(server, token);
            }
            if server.clients[token].closing.is_some() && idle_ms > CLOSING_MS {
                // It has been told why, and does not care to read it.
                server.close(token, Closing::Now);
            }
            server.check_output(token);
            server.note_client(token);
        }
        server.end_large_clients();
    }

    /// Answers clients, and then works off a little of what nobody waits for: who asks during such work waits for the rest of it,
    /// but not for more of it. `served` says whether clients had commands in this turn, which began when the cycle clock stood at
    /// `started`.
    fn before_sleep(&mut self, started: u64, served: bool) {
        self.answer();
        self.deliver(started);
        let sweep_time = if served { SWEEP_TIME } else { IDLE_SWEEP_TIME };
        self.busy = self.load() | self.expire() | self.sweep(sweep_time) | self.server.evict_slice();
        if self.server.keys.effects.waiting.has_ready() {
            // Somebody waited for a key whose time is over now.
            blocking::serve(&mut self.server);
            self.busy |= !self.server.resumed.is_empty();
        }
        self.answer();
        self.server.go_on_with_failover();
        self.server.begin_snapshot_for_replicas();
        self.snapshot = save::slice(&mut self.server, if served { SNAPSHOT_TIME } else { IDLE_SNAPSHOT_TIME });
        let started = self.server.cycles.raw();
        while self.server.keys.free_slice() {
            if self.since(started) > FREE_TIME {
                self.busy = true;
                self.warmer.merge_soon();
                break;
            }
        }
        blocking::end_flushes(&mut self.server);
        bury(&mut self.server, None);
    }

    /// Tells of what was changed, writes it to the journal, and sends what waits to be sent.
    fn answer(&mut self) {
        if self.server.keys.effects.told() {
            deliver::tell_news(&mut self.server, None);
            deliver::forget_excess(&mut self.server);
            deliver::broadcast(&mut self.server);
        }
        self.server.flush_journal(false);
        self.server.answer_copy_waits();
        self.server.feed_replicas();
        bury(&mut self.server, None);
        self.intake.send(&mut self.server, None);
        if self.server.is_short_of_memory() {
            // Nothing is to be evicted for what only waits to be sent.
            self.intake.deliver(&mut self.server, None, |_| false);
        }
    }

    /// Sends messages, for as long as the turn that began at `started` has taken: then who listens hears at least half as fast as
    /// if nobody else were there.
    fn deliver(&mut self, started: u64) {
        if self.server.messaged.is_empty() {
            return;
        }
        let now = self.server.cycles.raw();
        let most = self.server.cycles.delta(started, now).max(DELIVERY_TIME);
        self.intake.deliver(&mut self.server, None, |server| server.cycles.delta(now, server.cycles.raw()) > most);
    }

    /// Loads a slice of what there is to be loaded. Returns whether there is more.
    fn load(&mut self) -> bool {
        let Some(loading) = &self.server.loading else { return false };
        let (started_us, for_link) = (loading.started_us, loading.for_link);
        match self.server.load_slice() {
            Ok(true) => self.server.loading.as_ref().is_some_and(|loading| !loading.waits),
            loaded if for_link => {
                self.server.snapshot_loaded(loaded.map(drop));
                false
            }
            Ok(false) => {
                if self.server.settings.appendonly {
                    let took_us = self.server.clock.uptime_us.saturating_sub(started_us);
                    log::info!("DB loaded from append only file: {:.3} seconds", took_us as f64 / 1e6);
                }
                if let Err(why) = self.server.finish_loading() {
                    give_up(&why);
                }
                self.announce();
                false
            }
            Err(why) => give_up(&why),
        }
    }

    /// Tells plugins, log readers and the supervisor that the server is ready.
    fn announce(&mut self) {
        self.server.with_plugins(|plugins, server| plugins.each().for_each(|plugin| plugin.on_startup(server)));
        if self.server.listeners.listens_on_tcp() {
            log::info!("Ready to accept connections tcp");
        }
        if !self.server.listeners.unix_path().is_empty() {
            log::info!("Ready to accept connections unix");
        }
        process::tell_ready(self.server.settings.supervised);
    }

    /// Removes a part of the keys that are due. Returns whether there are more.
    fn expire(&mut self) -> bool {
        let server = &mut self.server;
        if server.keys.next_deadline().is_none_or(|at| at > server.keys.now_ms()) {
            return false;
        }
        let started = Instant::now();
        let more = server.keys.expire_slice(EXPIRE_SLICE);
        let took = started.elapsed();
        server.stats.expire_us += took.as_micros() as u64;
        server.stats.expire_slices_cut += u64::from(more);
        server.note_latency("expire-cycle", took);
        more
    }

    /// Removes a part of the keys whose tags were invalidated. Returns whether there are more.
    fn sweep(&mut self, time: Duration) -> bool {
        if self.server.keys.is_sweeping() {
            let started = self.server.cycles.raw();
            while self.server.keys.sweep_slice() && self.since(started) < time {}
            self.warmer.merge_soon();
        }
        blocking::end_sweeps(&mut self.server);
        self.server.keys.is_sweeping() || !self.server.sweep_waits.is_empty()
    }

    /// The time since the cycle clock stood at `started`.
    fn since(&self, started: u64) -> Duration {
        self.server.cycles.delta(started, self.server.cycles.raw())
    }

    /// Counts a turn that began when the cycle clock stood at `started`.
    fn count_turn(&mut self, started: u64, commands_before: u64) {
        let used = memory::used();
        self.warmer.notice(used, self.server.clock.uptime_us, self.busy);
        let took_us = self.since(started).as_micros() as u64;
        let server = &mut self.server;
        let stats = &mut server.stats;
        let commands = stats.commands_processed.saturating_sub(commands_before);
        server.hot_keys.end_turn(commands);
        stats.turns += 1;
        stats.turns_us += took_us;
        stats.longest_turn_us = stats.longest_turn_us.max(took_us);
        stats.most_commands_in_turn = stats.most_commands_in_turn.max(commands);
        server.peak_memory = server.peak_memory.max(used);
    }
}

/// Ends the connections whose time has come: before replies go out, so that who is told that it ended one finds that it has ended,
/// and after that for those that were to have theirs. While a client is `busy`, its own is not among them, nor those of clients that the
/// loop is yet to serve.
fn bury(server: &mut Server, busy: Option<usize>) {
    for token in std::mem::take(&mut server.dying) {
        let over = server.clients.get(token).is_some_and(|client| match client.closing {
            Some(Closing::Now) => true,
            Some(Closing::AfterReply) => client.output.is_empty(),
            None => false,
        });
        if !over {
            continue;
        }
        if busy.is_some_and(|busy| busy == token || server.clients[token].queued) {
            // The loop still knows it by its token.
            server.dying.push(token);
            continue;
        }
        server.forget_replica(token);
        server.stop_tracking(token);
        let mut client = server.remove_client(token);
        server.client_tokens.remove(&client.id);
        server.paused_clients -= client.paused as usize;
        server.monitors.retain(|&monitor| monitor != token);
        server.keys.effects.watches.forget(token);
        server.keys.effects.waiting.remove(token);
        server.subscriptions.forget(token);
        server.budget.forget(token);
        if let Err(error) = server.listeners.registry().deregister(client.stream.source()) {
            log::warn!("A connection could not be taken out of the poll: {}", reason(&error));
        }
        if let Some(link) = &client.link {
            server.link_lost(token, link);
        }
    }
}

/// Goes on although somebody asked for the end.
fn refuse_to_end(server: &mut Server) {
    log::warn!("Errors trying to shut down the server. Check the logs for more information.");
    server.refuse_shutdown();
}

/// Lets a client's reply buffer follow the size of its replies.
fn resize_reply_buffer(server: &mut Server, token: usize) {
    let now_ms = server.clock.uptime_ms();
    let client = &mut server.clients[token];
    let (size, peak) = (client.reply_buffer, client.reply_peak);
    if size / 2 >= REPLY_BUFFER_MIN && peak < size / 2 {
        client.reply_buffer = (peak + 1).max(REPLY_BUFFER_MIN);
        server.stats.reply_buffer_shrinks += 1;
    } else if size < REPLY_BUFFER_MAX && peak == size {
        client.reply_buffer = (size * 2).min(REPLY_BUFFER_MAX);
        server.stats.reply_buffer_expands += 1;
    }
    let forget = server.debug.reply_peak_reset;
    if forget.is_some_and(|after| now_ms - client.reply_peak_ms > after.as_millis() as u64) {
        client.reply_peak = 0;
        client.reply_peak_ms = now_ms;
    }
}
