//! Snapshots on the disk: SAVE, BGSAVE and LASTSAVE, save points, and what runs a snapshot slice by slice.
//!
//! There is one snapshot at a time, for whatever purpose. A background one takes a part of every turn of the loop; its
//! bytes go to a [`Sink`], and it waits while that has no room. SAVE, a shutdown and DEBUG RELOAD write one in one piece.

use std::time::{Duration, Instant};

use super::error::{Error, Outcome};
use super::state::Server;
use super::table::{Acl, Command, Doc, Flags};
use super::{Ctx, REDIS_VERSION, load};
use crate::config::{EvictionPolicy, SavePoint};
use crate::keyspace::snapshot::Recorder;
use crate::memory;
use crate::observe::clock::Clock;
use crate::observe::processors;
use crate::observe::reason;
use crate::persist::Sink;
use crate::persist::disk::{Background, DiskError, SnapshotFile, Target, Told};
use crate::persist::rdb;
use crate::persist::writer::{Plan, Usage, Writer};
use crate::replication::replica::Wants;
use crate::resp::Args;

/// Keys between two looks at the clock.
const STEP: usize = 16;
/// Bytes that are handed to the sink together.
const CHUNK: usize = 64 * 1024;
/// While a delay is waited for, impatience is looked for so often.
const NAP: Duration = Duration::from_millis(10);
/// After a background save that failed, save points wait so long, in milliseconds.
const RETRY_MS: u64 = 5000;

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING);
const DOC: Doc = Doc { group: "server", ..Command::NONE.doc };

pub const COMMANDS: &[Command] = &[
    Command {
        name: "bgsave",
        arity: -1,
        flags: ADMIN,
        doc: Doc {
            summary: "Writes a snapshot while clients are served.",
            since: "1.0.0",
            complexity: "O(1); the snapshot takes O(N) in slices, where N is the number of keys",
            syntax: "[SCHEDULE | CANCEL]",
            ..DOC
        },
        handler: bgsave,
        ..Command::NONE
    },
    Command {
        name: "lastsave",
        arity: 1,
        flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
        acl: Acl::ADMIN.union(Acl::DANGEROUS),
        tips: &["nondeterministic_output"],
        doc: Doc {
            summary: "Tells when the last snapshot was written, as a Unix time.",
            since: "1.0.0",
            complexity: "O(1)",
            ..DOC
        },
        handler: lastsave,
        ..Command::NONE
    },
    Command {
        name: "save",
        arity: 1,
        flags: ADMIN.union(Flags::NO_MULTI),
        doc: Doc {
            summary: "Writes a snapshot while everybody waits.",
            since: "1.0.0",
            complexity: "O(N) where N is the number of keys",
            ..DOC
        },
        handler: save,
        ..Command::NONE
    },
];

/// What a snapshot is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The snapshot file.
    File,
    /// The base of an append-only file that is being rewritten.
    Rewrite,
    /// Somebody who asked for all data.
    Replica,
}

/// A snapshot in the background.
struct Running {
    id: u64,
    purpose: Purpose,
    sink: Box<dyn Sink>,
    /// Uptime in microseconds.
    started_us: u64,
    /// Keys that there were, and that have been told.
    keys: u64,
    told: u64,
    /// Changes that there were since the last snapshot.
    dirty: u64,
    /// All has been told; the sink is not done.
    walked: bool,
}

/// All about snapshots.
pub struct Saving {
    running: Option<Running>,
    /// The number of the next snapshot in the background.
    next_id: u64,
    /// BGSAVE SCHEDULE has been called.
    scheduled: bool,
    /// When the last one was written, in Unix seconds.
    pub last_unix: u64,
    /// The same in milliseconds of uptime, from which save points count.
    last_ms: u64,
    /// When the last one in the background began, in milliseconds of uptime.
    last_try_ms: Option<u64>,
    /// Whether the last one in the background failed.
    pub failed: bool,
    /// How many seconds the last one in the background took.
    last_seconds: Option<u64>,
    /// How many SAVE, BGSAVE, save points and replicas have begun, whether or not they came to an end.
    saves: u64,
    /// Snapshots of all kinds that have begun in the background.
    begun: u64,
}

impl Saving {
    /// Nothing saved so far; an empty server counts as saved when it starts.
    pub fn new(clock: &Clock) -> Saving {
        Saving {
            running: None,
            next_id: 1,
            scheduled: false,
            last_unix: clock.unix_ms() / 1000,
            last_ms: clock.uptime_ms(),
            last_try_ms: None,
            failed: false,
            last_seconds: None,
            saves: 0,
            begun: 0,
        }
    }

    /// A file is written.
    fn succeeded(&mut self, clock: &Clock) {
        self.last_unix = clock.unix_ms() / 1000;
        self.last_ms = clock.uptime_ms();
        self.failed = false;
    }

    /// How many snapshot files have been begun, and how many snapshots in the background, files or not.
    pub fn counts(&self) -> (u64, u64) {
        (self.saves, self.begun)
    }

    /// Counts from nothing again.
    pub fn reset_counts(&mut self) {
        (self.saves, self.begun) = (0, 0);
    }

    /// What the snapshot that is being written is for.
    pub fn purpose(&self) -> Option<Purpose> {
        self.running.as_ref().map(|running| running.purpose)
    }

    /// Keys that the running snapshot has told, and how many there are; 0 of 0 without one.
    pub fn progress(&self) -> (u64, u64) {
        self.running.as_ref().map_or((0, 0), |running| (running.told, running.keys))
    }

    /// How long the running snapshot file and the last one took, in seconds; -1 for none.
    pub fn seconds(&self, uptime_us: u64) -> (i64, i64) {
        let current = self.running.as_ref().filter(|running| running.purpose == Purpose::File);
        let current = current.map_or(-1, |running| (uptime_us.saturating_sub(running.started_us) / 1_000_000) as i64);
        (current, self.last_seconds.map_or(-1, |seconds| seconds as i64))
    }
}

/// The fields that tell what wrote a snapshot, and when.
fn origin(server: &Server, base: bool) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("redis-ver", REDIS_VERSION.to_string()),
        ("redis-bits", "64".to_string()),
        ("ctime", (server.clock.unix_ms() / 1000).to_string()),
        ("used-mem", memory::used().to_string()),
        ("aof-base", u8::from(base).to_string()),
        ("cachestorm-ver", env!("CARGO_PKG_VERSION").to_string()),
    ];
    fields.extend(server.replication.fields());
    fields
}

/// The writer of a snapshot that begins now.
pub fn writer(server: &Server, base: bool) -> Writer {
    use EvictionPolicy::{AllkeysLfu, AllkeysLru, VolatileLfu, VolatileLru};
    let settings = &server.settings;
    let usage = match settings.maxmemory_policy {
        AllkeysLru | VolatileLru => Usage::Idle,
        AllkeysLfu | VolatileLfu => Usage::Frequency,
        _ => Usage::Nothing,
    };
    let keys = &server.keys;
    let mut aux = origin(server, base);
    aux.extend(load::namespace_fields(keys));
    let size = |db| keys.database(db).map_or((0, 0), |database| (database.len(), database.expires()));
    let fields_expire = (0..keys.databases()).filter_map(|db| keys.database(db)).any(|one| one.fields_expire() > 0);
    Writer::new(Plan {
        // Who reads nothing newer can read this as long as there is nothing that is newer.
        version: if fields_expire { rdb::VERSION } else { rdb::COMMON_VERSION },
        compress: settings.rdbcompression,
        usage,
        access: keys.access,
        now_ms: keys.now_ms(),
        aux: &aux,
        libraries: server.functions.sources().collect(),
        sizes: (0..keys.databases()).map(size).collect(),
    })
}

fn count_keys(server: &Server) -> u64 {
    let keys = &server.keys;
    (0..keys.databases()).filter_map(|db| keys.database(db)).map(|database| database.len() as u64).sum()
}

fn target(server: &Server, temporary: String) -> Target {
    // The settings may name another directory before the file is whole.
    let here = |name: &str| std::path::absolute(name).unwrap_or_else(|_| name.into());
    Target {
        path: here(&server.settings.dbfilename),
        temporary: here(&temporary),
        checksum: server.settings.rdbchecksum,
        trailer: true,
        incremental_sync: server.settings.rdb_save_incremental_fsync,
    }
}

// --- in the background ------------------------------------------------------------------------------------------

/// Whether a snapshot can begin at once: none is running, and nothing is left of one that was given up, which would have to be
/// tidied up first while everybody waits.
pub fn is_free(server: &Server) -> bool {
    server.saving.running.is_none() && !server.keys.has_stale_marks()
}

/// Begins a snapshot of the state of this moment. `base` says that an append-only file begins with it. There must be none
/// running. Returns its number.
///
/// # Panics
/// If one is running.
pub fn begin(server: &mut Server, purpose: Purpose, base: bool, sink: Box<dyn Sink>) -> u64 {
    let writer = writer(server, base);
    begin_telling(server, purpose, Box::new(writer), sink)
}

/// As [`begin`], with somebody else to make the bytes.
///
/// # Panics
/// If a snapshot is running.
pub fn begin_telling(server: &mut Server, purpose: Purpose, recorder: Box<dyn Recorder>, sink: Box<dyn Sink>) -> u64 {
    server.keys.begin_snapshot(recorder);
    let saving = &mut server.saving;
    let id = saving.next_id;
    saving.next_id += 1;
    saving.begun += 1;
    saving.running = Some(Running {
        id,
        purpose,
        sink,
        started_us: server.clock.uptime_us,
        keys: 0,
        told: 0,
        dirty: server.keys.effects.dirty,
        walked: false,
    });
    let keys = count_keys(server);
    if let Some(running) = &mut server.saving.running {
        running.keys = keys;
    }
    id
}

/// The number that the next snapshot gets.
pub fn next_id(server: &Server) -> u64 {
    server.saving.next_id
}

/// Begins a snapshot that goes straight to replicas. What has no keys in it is told at once.
pub fn begin_for_replicas(server: &mut Server, wanted: Wants, mut sink: Box<dyn Sink>) {
    if wanted == Wants::Everything {
        begin(server, Purpose::Replica, false, sink);
        return;
    }
    let mut writer = Writer::new(Plan {
        version: rdb::COMMON_VERSION,
        compress: server.settings.rdbcompression,
        usage: Usage::Nothing,
        access: server.keys.access,
        now_ms: server.keys.now_ms(),
        aux: &origin(server, false),
        libraries: server.functions.sources().filter(|_| wanted == Wants::Functions).collect(),
        sizes: Vec::new(),
    });
    writer.record_end();
    hand_over(&mut writer, &mut *sink, 1);
    sink.finish();
    server.saving.next_id += 1;
    server.saving.begun += 1;
}

/// Begins a snapshot file that replicas are sent when it is in its place.
///
/// # Errors
/// If the file cannot be made.
pub fn begin_file_for_replicas(server: &mut Server) -> Result<(), DiskError> {
    begin_file(server, Purpose::Replica)
}

/// Starts a background save.
fn begin_file(server: &mut Server, purpose: Purpose) -> Result<(), DiskError> {
    let id = next_id(server);
    server.saving.saves += 1;
    server.saving.last_try_ms = Some(server.clock.uptime_ms());
    let outbox = server.outbox.clone();
    let target = target(server, format!("temp-{}-{id}.rdb", std::process::id()));
    let tell = move |told| match told {
        Told::PassedOn(buffer) => outbox.send(move |server| written(server, id, buffer)),
        Told::Over(result) => outbox.send(move |server| file_over(server, id, result)),
    };
    let sink = processors::start_on(&server.settings.bgsave_cpulist, || Background::start(target, tell))?;
    begin(server, purpose, false, Box::new(sink));
    log::info!("Background saving started by pid {}", std::process::id());
    Ok(())
}

/// The sink of a snapshot has passed bytes on.
pub fn passed_on(server: &mut Server, id: u64, bytes: usize) {
    if let Some(running) = server.saving.running.as_mut().filter(|running| running.id == id) {
        running.sink.passed_on(bytes);
    }
}

/// The sink of a snapshot has written these bytes.
pub fn written(server: &mut Server, id: u64, mut buffer: Vec<u8>) {
    passed_on(server, id, buffer.len());
    let running = server.saving.running.as_ref().is_some_and(|running| running.id == id);
    if let Some(recorder) = server.keys.recorder().filter(|_| running) {
        buffer.clear();
        recorder.reuse(buffer);
    }
}

/// When a snapshot wants its next slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// In the next turn, which should come at once.
    Now,
    /// After so many microseconds.
    After(u64),
    /// When the sink says something, or never.
    Told,
}

/// Does a slice of the running snapshot, of about `budget`; or tidies up behind one that was given up.
pub fn slice(server: &mut Server, budget: Duration) -> Next {
    let begin = Instant::now();
    let Server { keys, saving, clock, settings, .. } = server;
    let Some(running) = &mut saving.running else {
        while keys.walk_slice(STEP * 16).1 {
            if begin.elapsed() > budget {
                return Next::Now;
            }
        }
        return Next::Told;
    };
    if running.walked {
        return Next::Told;
    }
    let delay_us = settings.rdb_key_save_delay.max(0) as u64;
    loop {
        if !running.sink.has_room() {
            return Next::Told;
        }
        if delay_us > 0 {
            // Its own clock, which goes on within a turn.
            let due_us = running.started_us + running.told * delay_us;
            if clock.uptime_us < due_us {
                return Next::After(due_us - clock.uptime_us);
            }
        }
        let (told, more) = keys.walk_slice(if delay_us > 0 { 1 } else { STEP });
        running.told += told;
        let Some(recorder) = keys.recorder() else { return Next::Told };
        if !more {
            recorder.record_end();
            hand_over(recorder, &mut *running.sink, 1);
            running.sink.finish();
            running.walked = true;
            keys.end_snapshot();
            return Next::Told;
        }
        hand_over(recorder, &mut *running.sink, CHUNK);
        if begin.elapsed() > budget {
            return Next::Now;
        }
    }
}

/// Hands over bytes as long as there are so many.
fn hand_over(recorder: &mut dyn Recorder, sink: &mut dyn Sink, least: usize) {
    while recorder.recorded() >= least {
        sink.write(recorder.take_recorded());
    }
}

/// Tells the rest of a running snapshot at once, however much memory its bytes take until the sink has taken them.
fn hurry(server: &mut Server) {
    let Server { keys, saving, .. } = server;
    let Some(running) = saving.running.as_mut().filter(|running| !running.walked) else { return };
    while keys.walk_slice(STEP * 16).1 {}
    if let Some(recorder) = keys.recorder() {
        recorder.record_end();
        hand_over(recorder, &mut *running.sink, 1);
    }
    running.sink.finish();
    running.walked = true;
    running.told = running.keys;
    keys.end_snapshot();
}

/// Gives up the running snapshot if it is for this purpose. Returns whether it was.
pub fn give_up(server: &mut Server, purpose: Purpose) -> bool {
    let running = server.saving.running.take_if(|running| running.purpose == purpose);
    let Some(running) = running else { return false };
    if purpose == Purpose::File {
        let took_us = server.clock.uptime_us.saturating_sub(running.started_us);
        server.saving.last_seconds = Some(took_us / 1_000_000);
    }
    if !running.walked {
        server.keys.end_snapshot();
    }
    true
}

/// A snapshot is over, in whichever way: there may be another. Returns what there was of changes when it began, and how
/// long it took in microseconds; `None` if it was given up before.
pub fn close(server: &mut Server, id: u64) -> Option<(u64, u64)> {
    let running = server.saving.running.take_if(|running| running.id == id)?;
    if !running.walked {
        server.keys.end_snapshot();
    }
    Some((running.dirty, server.clock.uptime_us.saturating_sub(running.started_us)))
}

fn file_over(server: &mut Server, id: u64, result: Result<u64, DiskError>) {
    let Some((dirty, took_us)) = close(server, id) else { return };
    let saving = &mut server.saving;
    saving.last_seconds = Some(took_us / 1_000_000);
    match &result {
        Ok(bytes) => {
            log::info!("DB saved on disk: {bytes} bytes");
            log::info!("Background saving terminated with success");
            saving.succeeded(&server.clock);
            let dirty_now = &mut server.keys.effects.dirty;
            *dirty_now = dirty_now.saturating_sub(dirty);
        }
        Err(error) => {
            tell(error, &server.settings.dir);
            log::warn!("Background saving error");
            saving.failed = true;
        }
    }
    server.look_for_troubles();
    server.end_file_transfer(id, result);
}

fn tell(DiskError { doing, error }: &DiskError, dir: &str) {
    match *doing {
        "open" => {
            log::warn!("Failed opening the temp RDB file (in server root dir {dir}) for saving: {}", reason(error))
        }
        "rename" => log::warn!("Error moving temp DB file on the final destination: {}", reason(error)),
        doing => log::warn!("Write error while saving DB to the disk({doing}): {}", reason(error)),
    }
}

/// Periodic work: scheduled snapshots and save points.
pub fn cron(server: &mut Server) {
    let now_ms = server.clock.uptime_ms();
    let rests = server.saving.failed && server.saving.last_try_ms.is_some_and(|last| now_ms - last <= RETRY_MS);
    if rests || !is_free(server) || server.loading.is_some() {
        return;
    }
    if server.saving.scheduled {
        if begin_file_or_fail(server) {
            server.saving.scheduled = false;
        }
        return;
    }
    let dirty = server.keys.effects.dirty;
    let age_ms = now_ms - server.saving.last_ms;
    let reached = |point: &&SavePoint| dirty >= point.changes && age_ms > point.seconds.saturating_mul(1000);
    if let Some(point) = server.settings.save.iter().find(reached) {
        log::info!("{} changes in {} seconds. Saving...", point.changes, point.seconds);
        begin_file_or_fail(server);
    }
}

/// Starts a background save; returns whether it runs.
fn begin_file_or_fail(server: &mut Server) -> bool {
    match begin_file(server, Purpose::File) {
        Ok(()) => true,
        Err(error) => {
            tell(&error, &server.settings.dir);
            log::warn!("Can't save in background");
            server.saving.failed = true;
            server.look_for_troubles();
            false
        }
    }
}

// --- in one piece -----------------------------------------------------------------------------------------------

/// Why a snapshot in one piece was not written.
#[derive(Debug)]
pub enum Unsaved {
    Disk(DiskError),
    /// Somebody has no patience.
    Interrupted,
}

/// Writes a snapshot at once. `impatient` is asked now and then whether to stop.
///
/// # Errors
/// If that fails, which is in the log then, or was interrupted.
pub fn save_now(server: &mut Server, impatient: &mut dyn FnMut() -> bool) -> Result<(), Unsaved> {
    // There is one walk at a time; the other snapshot has all it needs then.
    hurry(server);
    let target = target(server, format!("temp-{}.rdb", std::process::id()));
    let written = write_now(server, target, impatient);
    server.keys.end_snapshot();
    note_saved(server, written)
}

/// Notes that a snapshot in one piece was written, or why not.
fn note_saved(server: &mut Server, written: Result<u64, Unsaved>) -> Result<(), Unsaved> {
    match written {
        Ok(bytes) => {
            log::info!("DB saved on disk: {bytes} bytes");
            server.keys.effects.dirty = 0;
            server.saving.succeeded(&server.clock);
            server.look_for_troubles();
            Ok(())
        }
        Err(unsaved) => {
            if let Unsaved::Disk(error) = &unsaved {
                tell(error, &server.settings.dir);
            }
            Err(unsaved)
        }
    }
}

fn write_now(server: &mut Server, target: Target, impatient: &mut dyn FnMut() -> bool) -> Result<u64, Unsaved> {
    let mut file = SnapshotFile::create(target).map_err(Unsaved::Disk)?;
    let delay_us = server.settings.rdb_key_save_delay.max(0) as u64;
    let writer = writer(server, false);
    let keys = &mut server.keys;
    keys.begin_snapshot(Box::new(writer));
    loop {
        let (told, more) = keys.walk_slice(if delay_us > 0 { 1 } else { STEP * 16 });
        let Some(recorder) = keys.recorder() else { break };
        if !more {
            recorder.record_end();
        }
        while recorder.recorded() >= if more { CHUNK } else { 1 } {
            file.write(&recorder.take_recorded()).map_err(Unsaved::Disk)?;
        }
        if !more {
            break;
        }
        let until = Instant::now() + Duration::from_micros(told.saturating_mul(delay_us));
        loop {
            if impatient() {
                return Err(Unsaved::Interrupted);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(NAP));
        }
    }
    file.finish().map_err(Unsaved::Disk)
}

/// All data is gone: a snapshot of what was is not wanted any more, and the file should not bring it back.
pub fn after_flush(server: &mut Server) {
    give_up(server, Purpose::File);
    server.give_up_transfer();
    if server.settings.save.is_empty() {
        return;
    }
    let written = write_empty(server);
    if note_saved(server, written.map_err(Unsaved::Disk)).is_err() {
        log::warn!("The snapshot still holds what was flushed");
    }
}

/// Writes a snapshot of a server without keys, while another one may be under way. Returns its bytes.
fn write_empty(server: &Server) -> Result<u64, DiskError> {
    let mut writer = writer(server, false);
    writer.record_end();
    let mut file = SnapshotFile::create(target(server, format!("temp-{}.rdb", std::process::id())))?;
    file.write(&writer.take_recorded())?;
    file.finish()
}

/// Whether commands that write are refused because of a snapshot that could not be written.
#[cold]
pub fn refuses_writes(server: &Server) -> bool {
    server.saving.failed && server.settings.stop_writes_on_bgsave_error && !server.settings.save.is_empty()
}

// --- the commands -----------------------------------------------------------------------------------------------

const IN_PROGRESS: Error = Error::fixed("ERR Background save already in progress");

fn save(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    if matches!(cx.server.saving.purpose(), Some(Purpose::File | Purpose::Replica)) {
        return Err(IN_PROGRESS);
    }
    cx.server.saving.saves += 1;
    match save_now(cx.server, &mut || false) {
        Ok(()) => {
            cx.reply.ok();
            Ok(())
        }
        // The log tells why.
        Err(_) => Err(Error::fixed("ERR")),
    }
}

fn bgsave(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let word = args.get(1);
    let is = |option: &str| word.is_some_and(|word| word.eq_ignore_ascii_case(option.as_bytes()));
    let schedule = is("schedule");
    if args.len() > 2 || (args.len() == 2 && !schedule && !is("cancel")) {
        return Err(Error::SYNTAX);
    }
    if is("cancel") {
        return cancel(cx);
    }
    match cx.server.saving.purpose() {
        Some(Purpose::File | Purpose::Replica) => return Err(IN_PROGRESS),
        // A file never holds half a transaction.
        running if cx.in_exec || (schedule && running.is_some()) || (running.is_none() && !is_free(cx.server)) => {
            cx.server.saving.scheduled = true;
            cx.reply.status("Background saving scheduled");
        }
        Some(_) => {
            return Err(Error::fixed(
                "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to \
                 schedule a BGSAVE whenever possible.",
            ));
        }
        None if begin_file_or_fail(cx.server) => cx.reply.status("Background saving started"),
        None => return Err(Error::fixed("ERR")),
    }
    Ok(())
}

fn cancel(cx: &mut Ctx<'_>) -> Outcome {
    if give_up(cx.server, Purpose::File) {
        log::info!("Background saving was cancelled by a client");
        cx.reply.status("Background saving cancelled");
    } else if std::mem::take(&mut cx.server.saving.scheduled) {
        log::info!("Scheduled background saving was cancelled by a client");
        cx.reply.status("Scheduled background saving cancelled");
    } else {
        return Err(Error::fixed("ERR Background saving is currently not in progress or scheduled"));
    }
    Ok(())
}

fn lastsave(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply.integer(cx.server.saving.last_unix as i64);
    Ok(())
}
