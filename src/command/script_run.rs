//! How a script runs: what is checked before, what its commands may do, and who else is served meanwhile.
//!
//! A script works for the client that called it, in that client's name. Its commands go through [`Ctx::call`] as those of a
//! transaction do: they are counted, journalled as one unit, and none of them waits. Time stands still while it runs. When it
//! has run for `busy-reply-threshold`, other clients are served now and then from within it ([`Server::attendant`]); nearly
//! everything they ask for is refused.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use super::error::{Error, Outcome};
use super::script_debug::{self, Trial};
use super::state::Look;
use super::table::{Flags, Registered};
use super::{Ctx, save};
use crate::acl::Context;
use crate::resp::{Args, Proto, Reply};
use crate::script::functions::Callable;
use crate::script::{Cache, Engine, Function, Host, Input, Kind, ScriptFlags, Sha};

/// A buffer for the replies of a script's commands is kept for the next script up to so many bytes.
const KEPT_BUFFER: usize = 64 * 1024;

/// So many of a script's keys are asked for ahead.
const PREFETCHED: usize = 8;

/// A script that is debugged is stopped after so many milliseconds, if no setting says how long one may run.
const OVERDUE_MS: u128 = 5000;

/// What the server knows of scripts.
#[derive(Default)]
pub struct Scripts {
    /// The interpreter of EVAL, once it has been needed.
    engine: Option<Rc<Engine>>,
    pub cache: Cache,
    /// Scripts that had to go from the cache.
    pub evicted: u64,
    /// The one that runs.
    pub running: Option<Running>,
    /// What it does will be undone: it is debugged after SCRIPT DEBUG YES.
    pub trial: Option<Trial>,
    /// Scripts may call any command: DEBUG SET-DISABLE-DENY-SCRIPTS.
    pub all_commands: bool,
    scratch: Reply,
}

/// A script that runs.
pub struct Running {
    /// The client that called it, and the database to which that client returns.
    pub token: usize,
    pub db: usize,
    pub called: Called,
    /// When it began, by the cycle clock.
    started: u64,
    /// What it was called with, for FUNCTION STATS.
    pub command: Vec<Vec<u8>>,
    /// It has called a command that writes: its end cannot be forced.
    wrote: bool,
    /// It comes from the master: its end cannot be forced at all.
    obeyed: bool,
    /// Others are served from within it.
    busy: bool,
    killed: bool,
}

impl Running {
    /// How long it has run.
    pub fn elapsed(&self, cycles: &quanta::Clock) -> Duration {
        cycles.delta(self.started, cycles.raw())
    }
}

/// What a script was called by.
#[derive(Clone)]
pub enum Called {
    /// Its digest, by EVAL and its kin.
    Digest(Sha),
    /// The name under which a library registered it, by FCALL.
    Name(Rc<Callable>),
}

impl Called {
    /// The digest or the name.
    pub fn name(&self) -> &[u8] {
        match self {
            Called::Digest(sha) => sha,
            Called::Name(function) => &function.name,
        }
    }

    /// Whether it is no function.
    pub fn is_eval(&self) -> bool {
        matches!(self, Called::Digest(_))
    }
}

impl Scripts {
    /// The interpreter of EVAL.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn engine(&mut self, seed: impl FnOnce() -> i32) -> Result<Rc<Engine>, Error> {
        if let Some(engine) = &self.engine {
            return Ok(engine.clone());
        }
        let engine = Engine::new(Kind::Eval, super::REDIS_VERSION, seed());
        let engine = engine.map_err(|error| Error::new(format!("ERR The interpreter cannot be made: {error}")))?;
        Ok(self.engine.insert(Rc::new(engine)).clone())
    }

    /// Forgets all scripts, and the interpreter with all that they left in it; if `aside`, what takes long of that does not
    /// happen here.
    pub fn flush(&mut self, aside: bool) {
        self.cache = Cache::default();
        match self.engine.take() {
            Some(engine) if aside => Engine::free(engine),
            _ => {}
        }
    }

    /// Forgets a compiled function.
    pub fn forget(&self, function: Function) {
        if let Some(engine) = &self.engine {
            engine.forget(function);
        }
    }

    /// Bytes of memory that the interpreter of EVAL and all it holds take.
    pub fn engine_bytes(&self) -> usize {
        self.engine.as_ref().map_or(0, |engine| engine.memory_bytes())
    }

    /// Why a command has to wait for the script that runs, if it has run for long.
    pub fn busy_error(&self) -> Option<Error> {
        self.running.as_ref().filter(|running| running.busy).map(|running| {
            Error::fixed(if running.called.is_eval() {
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
            } else {
                "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
            })
        })
    }

    /// Ends the script that runs, for SCRIPT KILL or FUNCTION KILL.
    ///
    /// # Errors
    /// If there is none, it is not of that kind, or it has written.
    pub fn kill(&mut self, is_eval: bool) -> Outcome {
        let busy = self.busy_error();
        let Some(running) = &mut self.running else {
            return Err(Error::fixed("NOTBUSY No scripts in execution right now."));
        };
        if running.obeyed {
            return Err(Error::fixed(
                "UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be \
                 killed.",
            ));
        }
        if running.wrote && self.trial.is_none() {
            return Err(Error::fixed(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait \
                 the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
            ));
        }
        if running.called.is_eval() != is_eval {
            return busy.map_or(Ok(()), Err);
        }
        running.killed = true;
        Ok(())
    }
}

/// A script to be run.
pub struct Job<'a> {
    pub engine: &'a Engine,
    pub function: Function,
    pub called: &'a Called,
    /// `None` if it says nothing of itself.
    pub flags: Option<ScriptFlags>,
    /// It was called so that it must not write.
    pub read_only: bool,
    /// Which arguments are its keys; the others behind them are its arguments.
    pub keys: Range<usize>,
}

/// The arguments that are keys, as the argument at `number` counts them.
///
/// # Errors
/// If it is no number, or there are not so many.
pub fn key_range(args: &Args<'_>, number: usize) -> Result<Range<usize>, Error> {
    let count = crate::types::number::parse_i64(&args[number]).ok_or(Error::NOT_AN_INTEGER)?;
    if count > (args.len() - number - 1) as i64 {
        return Err(Error::fixed("ERR Number of keys can't be greater than number of args"));
    }
    let count = usize::try_from(count).map_err(|_| Error::fixed("ERR Number of keys can't be negative"))?;
    Ok(number + 1..number + 1 + count)
}

/// What a command that runs a script is like, given what the script says of itself.
pub fn effective_flags(flags: Flags, script: Option<ScriptFlags>) -> Flags {
    let Some(script) = script else { return flags };
    let mut flags = flags - (Flags::STALE | Flags::DENYOOM | Flags::WRITE | Flags::MAY_REPLICATE);
    flags.set(Flags::WRITE, !script.contains(ScriptFlags::NO_WRITES));
    flags.set(Flags::DENYOOM, !script.intersects(ScriptFlags::NO_WRITES | ScriptFlags::ALLOW_OOM));
    flags.set(Flags::STALE, script.contains(ScriptFlags::ALLOW_STALE));
    flags
}

/// Checks whether a script that says what it is like may run now.
fn check_flags(cx: &Ctx<'_>, flags: ScriptFlags, read_only: bool, short_of_memory: bool) -> Outcome {
    if cx.server.refuses_stale() && !flags.contains(ScriptFlags::ALLOW_STALE) {
        return Err(Error::fixed(
            "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' flag is not set \
             on the script.",
        ));
    }
    if flags.contains(ScriptFlags::NO_WRITES) {
        return Ok(());
    }
    let obeyed = cx.is_repeated();
    if cx.server.is_read_only() && !obeyed {
        return Err(Error::fixed("READONLY Can not run script with write flag on readonly replica"));
    }
    if !obeyed {
        check_disks(cx)?;
    }
    if read_only {
        return Err(Error::fixed("ERR Can not execute a script with write flag using *_ro command."));
    }
    if cx.server.is_lonely_master() {
        return Err(Error::NO_REPLICAS);
    }
    if short_of_memory && !flags.contains(ScriptFlags::ALLOW_OOM) {
        return Err(Error::fixed(
            "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
        ));
    }
    Ok(())
}

/// Checks whether what a script that says what it is like may write can be made durable.
fn check_disks(cx: &Ctx<'_>) -> Outcome {
    if let Some(why) = cx.server.aof.trouble() {
        return Err(Error::new(format!(
            "MISCONF Redis is configured to persist data to AOF, but it's currently unable to persist to disk. Writable \
             scripts are blocked. Use 'no-writes' flag for read only scripts. AOF error: {why}"
        )));
    }
    if save::refuses_writes(cx.server) {
        return Err(Error::fixed(
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Writable \
             scripts are blocked. Use 'no-writes' flag for read only scripts.",
        ));
    }
    Ok(())
}

/// Runs a script, whose reply becomes the client's.
///
/// # Errors
/// If it may not run. The errors of a script that ran are in the reply.
pub fn run(cx: &mut Ctx<'_>, args: &Args<'_>, job: Job<'_>) -> Outcome {
    if cx.server.scripts.running.is_some() {
        return Err(Error::fixed("ERR A script can not be called from a script"));
    }
    // What its commands look for comes into the cache while it is made ready: first buckets, then entries.
    let mut hashes = [0; PREFETCHED];
    let hashes = &mut hashes[..job.keys.len().min(PREFETCHED)];
    for (hash, at) in hashes.iter_mut().zip(job.keys.clone()) {
        *hash = cx.key(args, at).hash;
        cx.server.keys.prefetch_bucket(cx.db, *hash);
    }
    let could_be_short = cx.server.is_short_of_memory() | cx.server.keys.is_limited();
    let short_of_memory = could_be_short && cx.server.find_room(cx.db, Flags::DENYOOM.union(Flags::WRITE)).is_err();
    match job.flags {
        Some(flags) => check_flags(cx, flags, job.read_only, short_of_memory)?,
        None if cx.server.refuses_stale() => return Err(Error::MASTER_DOWN),
        None => {}
    }
    let says = |flag| job.flags.is_some_and(|flags| flags.contains(flag));
    cx.server.scripts.running = Some(Running {
        token: cx.token,
        db: cx.db,
        called: job.called.clone(),
        // The command's.
        started: cx.ticks,
        command: match job.called {
            Called::Digest(_) => Vec::new(),
            Called::Name(_) => args.iter_from(0).map(<[u8]>::to_vec).collect(),
        },
        wrote: false,
        obeyed: cx.server.is_master(cx.token),
        busy: false,
        killed: false,
    });
    let (command, in_exec) = (cx.command, cx.in_exec);
    let key_hash = cx.key_hash.take();
    let redacted = std::mem::take(&mut cx.redacted);
    let mut scratch = std::mem::take(&mut cx.server.scripts.scratch);
    scratch.proto = Proto::Resp2;
    let reply = std::mem::replace(&mut cx.reply, scratch);
    (cx.in_exec, cx.in_script) = (true, true);
    let mut run = ScriptRun {
        read_only: job.read_only || says(ScriptFlags::NO_WRITES),
        out_of_memory: short_of_memory && !says(ScriptFlags::ALLOW_OOM),
        proto: Proto::Resp2,
        reply,
        ended: false,
        failed: false,
        values: 0,
        refusal: None,
        resumed: cx.ticks,
        hashes,
        cx,
    };
    let argv = job.keys.end..args.len();
    job.engine.run(job.function, args, job.keys, argv, job.called.name(), &mut run);
    let (failed, mut scratch) = (run.failed, run.reply);
    scratch.out.truncate(0);
    if scratch.out.memory_bytes() > KEPT_BUFFER {
        scratch = Reply::default();
    }
    cx.server.scripts.scratch = scratch;
    (cx.command, cx.in_exec, cx.in_script) = (command, in_exec, false);
    if cx.slept {
        cx.look_at_clock();
    }
    (cx.key_hash, cx.redacted) = (key_hash, redacted);
    cx.server.keys.effects.journal.tell(true, true);
    let (db, busy) = cx.server.scripts.running.take().map_or((0, false), |running| (running.db, running.busy));
    cx.db = db;
    cx.server.clients[cx.token].db = db;
    if busy {
        cx.server.look_for_troubles();
    }
    if cx.propagates() {
        // Its commands have been journalled.
        cx.propagate_nothing();
    }
    if failed {
        cx.server.stats_of(command.id).failed += 1;
    }
    Ok(())
}

/// A script that runs, as it sees the server.
struct ScriptRun<'c, 's> {
    cx: &'c mut Ctx<'s>,
    /// Commands that write are refused.
    read_only: bool,
    /// Commands that may need memory are refused, until one has written.
    out_of_memory: bool,
    proto: Proto,
    /// The client's replies; when the script has ended, those of its commands.
    reply: Reply,
    ended: bool,
    /// There is an error in its reply.
    failed: bool,
    /// How many values its reply has, and why there are to be no more.
    values: u32,
    refusal: Option<&'static str>,
    /// When the client that debugs it let it go on, by the cycle clock.
    resumed: u64,
    /// Of its keys, whose buckets have been asked for.
    hashes: &'c [u64],
}

impl ScriptRun<'_, '_> {
    /// The command that arguments call, if the script may call it.
    fn admit(&mut self, args: &Args<'_>) -> Result<&'static Registered, Error> {
        let cx = &mut *self.cx;
        let Some(command) = cx.server.names.resolve(&args[0], args.get(1)) else {
            return Err(Error::fixed("ERR Unknown Redis command called from script"));
        };
        let flags = command.command.flags;
        let refused = if !command.command.takes(args.len()) || command.is_container() {
            Err(Error::fixed("ERR Wrong number of args calling Redis command from script"))
        } else if flags.contains(Flags::NOSCRIPT) && !cx.server.scripts.all_commands {
            Err(Error::fixed("ERR This Redis command is not allowed from script"))
        } else {
            self.check(command, args)
        };
        if refused.is_err() {
            self.cx.server.stats_of(command.id).rejected += 1;
        }
        refused.map(|()| command)
    }

    /// Checks a command that scripts may call.
    fn check(&mut self, command: &'static Registered, args: &Args<'_>) -> Outcome {
        let cx = &mut *self.cx;
        let flags = command.command.flags;
        if cx.server.refuses_stale() && !flags.contains(Flags::STALE) {
            return Err(Error::fixed("ERR Can not execute the command on a stale replica"));
        }
        if cx.server.clients[cx.token].restricted {
            cx.check_call(command, args, Context::Script).map_err(|denial| {
                let text = cx.denial_text(denial, command, args);
                Error::new([b"ERR ACL failure in script: ", text.as_slice()].concat())
            })?;
        }
        if self.read_only && flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE) {
            return Err(Error::fixed("ERR Write commands are not allowed from read-only scripts."));
        }
        // What has written must be able to finish.
        let Some(running) = cx.server.scripts.running.as_ref().filter(|running| !running.wrote) else { return Ok(()) };
        debug_assert_eq!(running.token, cx.token);
        if flags.contains(Flags::WRITE) && !cx.is_repeated() {
            cx.server.check_role()?;
            cx.check_durability()?;
        }
        if self.out_of_memory && flags.contains(Flags::DENYOOM) {
            return Err(Error::OUT_OF_MEMORY);
        }
        Ok(())
    }
}

impl Host for ScriptRun<'_, '_> {
    fn begin(&mut self) {
        for &hash in self.hashes {
            self.cx.server.keys.prefetch_entry(self.cx.db, hash);
        }
    }

    fn call(&mut self, args: &mut Args<'_>) -> Result<&[u8], Vec<u8>> {
        self.cx.reply.out.truncate(0);
        let command = self.admit(args).map_err(|error| {
            self.cx.count_error(&error);
            error.text().to_vec()
        })?;
        let cx = &mut *self.cx;
        if command.command.flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE) {
            if cx.server.scripts.trial.is_some() {
                script_debug::set_aside(cx, command, args).map_err(|error| error.text().to_vec())?;
            }
            if let Some(running) =
                cx.server.scripts.running.as_mut().filter(|_| command.command.flags.contains(Flags::WRITE))
            {
                running.wrote = true;
            }
        }
        cx.decide_overdue(command.command.flags);
        cx.reply.proto = self.proto;
        cx.command = command;
        cx.key_hash = None;
        cx.ticks = cx.server.cycles.raw();
        cx.call(args);
        Ok(cx.reply.out.flatten())
    }

    fn may_call(&mut self, args: &mut Args<'_>) -> Option<bool> {
        let command = self.cx.server.names.resolve(&args[0], args.get(1))?;
        Some(self.cx.may_call(command, args).is_ok())
    }

    fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    fn proto(&self) -> Proto {
        self.proto
    }

    fn set_propagation(&mut self, aof: bool, replicas: bool) {
        // Nobody is to know of a trial.
        if self.cx.server.scripts.trial.is_none() {
            self.cx.server.keys.effects.journal.tell(aof, replicas);
        }
    }

    fn log(&mut self, level: u8, line: &[u8]) {
        log_line(level, line);
    }

    fn interrupt(&mut self) -> Option<&'static str> {
        let server = &mut *self.cx.server;
        let threshold = u128::from(server.settings.busy_reply_threshold);
        let running = server.scripts.running.as_mut()?;
        if !running.busy {
            let elapsed = running.elapsed(&server.cycles).as_millis();
            if threshold == 0 || elapsed < threshold {
                return None;
            }
            log::warn!(
                "Slow script detected: still in execution after {elapsed} milliseconds. You can try killing the script \
                 using the {} command. Script name is: {}.",
                if running.called.is_eval() { "SCRIPT KILL" } else { "FUNCTION KILL" },
                String::from_utf8_lossy(running.called.name())
            );
            running.busy = true;
            server.is_troubled = true;
        }
        // A script that waits for a time of day comes to its end. What it sees of keys stays the state of one moment.
        server.clock.tick();
        server.attend(Look::Clients { busy: self.cx.token });
        // What a signal asks for waits for the script.
        if server.shutdown.is_some_and(|shutdown| shutdown.client.is_some()) {
            // Nobody is to see half of what it was about to do.
            server.keys.effects.journal.abandon();
            return Some("The server is about to end");
        }
        if server.scripts.running.as_ref().is_some_and(|running| running.killed) {
            log::info!("Lua script killed by user with SCRIPT KILL.");
            return Some("Script killed by user with SCRIPT KILL...");
        }
        None
    }

    fn show(&mut self, text: &[u8]) {
        script_debug::send(self.cx.server, self.cx.token, text);
    }

    fn await_input(&mut self, input: &mut Vec<u8>) -> Input {
        let came = loop {
            if let Some(came) = script_debug::receive(self.cx.server, self.cx.token, input) {
                break came;
            }
            if let Some(reason) = self.interrupt() {
                break Input::End(reason);
            }
        };
        self.resumed = self.cx.server.cycles.raw();
        came
    }

    fn is_overdue(&mut self) -> bool {
        let server = &*self.cx.server;
        let threshold = match server.settings.busy_reply_threshold {
            0 => OVERDUE_MS,
            milliseconds => u128::from(milliseconds),
        };
        server.cycles.delta(self.resumed, server.cycles.raw()).as_millis() >= threshold
    }

    fn reply(&mut self) -> &mut Reply {
        if !self.ended {
            self.ended = true;
            std::mem::swap(&mut self.cx.reply, &mut self.reply);
        }
        &mut self.cx.reply
    }

    fn refuses_reply(&mut self) -> Option<&'static str> {
        /// So many values take about a hundredth of a second.
        const VALUES: u32 = 100_000;
        let most = self.cx.most_unread();
        if self.reply().out.len() > most {
            self.refusal = Some("the reply of the script is too large");
        }
        self.values = self.values.wrapping_add(1);
        if self.refusal.is_none() && self.values.is_multiple_of(VALUES) {
            self.refusal = self.interrupt();
        }
        self.refusal
    }

    fn error(&mut self, text: &[u8], counted: bool) {
        self.failed = true;
        if !counted {
            self.cx.count_error(&Error::new(text));
        }
        self.reply().error(text);
    }
}

/// Writes a line to the log at one of Redis' levels, 0 (debug) to 3 (warning).
pub fn log_line(level: u8, line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    match level {
        0 => log::trace!("{line}"),
        1 => log::debug!("{line}"),
        2 => log::info!("{line}"),
        _ => log::warn!("{line}"),
    }
}
