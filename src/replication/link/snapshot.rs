//! A full synchronization: the master's snapshot goes into a file, which takes the place of the server's own when it is whole,
//! and is taken in then. Until then the old data serve; a transfer that breaks off leaves them. Where the settings say so it is
//! taken in as it comes, without a file.

use std::mem;
use std::path::Path;
use std::time::{Duration, Instant};

use super::direct::pipe;
use super::wire::{Body, End, take_line};
use super::{SECOND_MS, Stage};
use crate::command::aof::State;
use crate::command::load::{Manner, SnapshotLoader};
use crate::command::loading::Loader;
use crate::command::save::{self, Purpose};
use crate::command::state::Server;
use crate::config::DisklessLoad;
use crate::observe::reason;
use crate::persist::Sink;
use crate::persist::disk::{Background, DiskError, Target, Told};
use crate::replication::backlog::Backlog;
use crate::replication::new_id;

/// How it is taken in. The master decides when keys go, and tells.
const MANNER: Manner = Manner { merge: false, keep_expired: true, go_on: false };
/// A slice of freeing the old data takes so long.
const FREE_SLICE: Duration = Duration::from_millis(10);

/// A snapshot that comes.
pub struct Reception {
    body: Body,
    sink: Box<dyn Sink>,
}

impl Reception {
    /// Whether more may be read: what waits for the disk is memory.
    pub fn has_room(&self) -> bool {
        self.sink.has_room()
    }
}

/// How far a full synchronization is.
#[derive(Clone, Default)]
pub struct Progress {
    /// What the snapshot amounts to. A master that knows no PSYNC does not say.
    id: Option<String>,
    offset: u64,
    /// The master waits to be told that all has been taken in.
    is_marked: bool,
    /// All of it has come.
    pub is_whole: bool,
    /// It is taken in as it comes, and beside the data that are there.
    is_direct: bool,
    is_aside: bool,
    /// Bytes of the snapshot, 0 if the master does not know and -1 before it says anything, and those that have come.
    pub total: i64,
    pub received: u64,
}

impl Progress {
    /// A snapshot is to come that amounts to this.
    pub(super) fn of(id: Option<String>, offset: u64) -> Progress {
        Progress { id, offset, total: -1, ..Progress::default() }
    }
}

// --- as it comes ------------------------------------------------------------------------------------------------

impl Server {
    /// Takes in what has come of a snapshot, or the line before it. Returns whether something had.
    pub(super) fn hear_snapshot(&mut self, token: usize) -> bool {
        let client = &mut self.clients[token];
        let Some(link) = &mut client.link else { return false };
        let Some(following) = &mut self.replication.following else { return false };
        if following.progress.is_whole {
            return false;
        }
        let Some(reception) = &mut link.reception else { return self.hear_announcement(token) };
        if client.input.is_empty() {
            return false;
        }
        let before = client.input.len();
        let (bytes, whole) = reception.body.take(&mut client.input);
        following.progress.received += (before - client.input.len()) as u64;
        if !bytes.is_empty() {
            reception.sink.write(bytes);
        }
        if whole {
            reception.sink.finish();
            following.progress.is_whole = true;
        }
        true
    }

    /// The line before a snapshot.
    fn hear_announcement(&mut self, token: usize) -> bool {
        let line = match take_line(&mut self.clients[token].input) {
            Ok(Some(line)) => line,
            Ok(None) => return false,
            Err(_) => {
                self.fail_link(token, "I/O error reading bulk count from MASTER: the line is too long");
                return false;
            }
        };
        let text = String::from_utf8_lossy(&line);
        if let Some(error) = text.strip_prefix('-') {
            self.fail_link(token, &format!("MASTER aborted replication with an error: {error}"));
            return false;
        }
        let Some(end) = End::parse(&line) else {
            self.fail_link(
                token,
                &format!(
                    "Bad protocol from MASTER, the first byte is not '$' (we received '{text}'), are you sure the host \
                     and port are right?"
                ),
            );
            return false;
        };
        match self.begin_reception(token, end) {
            Ok(()) => true,
            Err(error) => {
                let why =
                    format!("Opening the temp file needed for MASTER <-> REPLICA synchronization: {}", error.error);
                self.fail_link(token, &why);
                false
            }
        }
    }

    fn begin_reception(&mut self, token: usize, end: End) -> Result<(), DiskError> {
        let is_aside = self.settings.repl_diskless_load == DisklessLoad::SwapDb;
        let is_direct = match self.settings.repl_diskless_load {
            DisklessLoad::Disabled => false,
            DisklessLoad::SwapDb => true,
            DisklessLoad::OnEmptyDb => {
                (0..self.keys.databases()).all(|db| self.keys.database(db).is_none_or(|db| db.is_empty()))
            }
        };
        let Some(following) = &mut self.replication.following else { return Ok(()) };
        let place = if is_direct { "parser" } else { "disk" };
        match end {
            End::After(bytes) => {
                following.progress.total = bytes as i64;
                log::info!("MASTER <-> REPLICA sync: receiving {bytes} bytes from master to {place}");
            }
            End::Mark(_) => {
                following.progress.is_marked = true;
                following.progress.total = 0;
                log::info!("MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to {place}");
            }
        }
        (following.progress.is_direct, following.progress.is_aside) = (is_direct, is_aside);
        let sink: Box<dyn Sink> = if is_direct { self.begin_direct_load() } else { Box::new(self.begin_file()?) };
        if let Some(link) = &mut self.clients[token].link {
            link.reception = Some(Box::new(Reception { body: Body::new(end), sink }));
        }
        Ok(())
    }

    /// Begins to write what comes into a file.
    fn begin_file(&mut self) -> Result<Background, DiskError> {
        let attempt = self.replication.attempts;
        let target = Target {
            path: self.settings.dbfilename.clone().into(),
            temporary: format!("temp-{}.{}-{attempt}.rdb", self.clock.unix_ms() / 1000, std::process::id()).into(),
            // The master's own stands in it.
            checksum: false,
            trailer: false,
            incremental_sync: self.settings.rdb_save_incremental_fsync,
        };
        let outbox = self.outbox.clone();
        Background::start(target, move |told| match told {
            Told::PassedOn(bytes) => {
                outbox.send(move |server: &mut Server| server.reception_went_on(attempt, bytes.len()))
            }
            Told::Over(result) => outbox.send(move |server: &mut Server| server.reception_over(attempt, result)),
        })
    }

    /// The connection that a snapshot of an attempt comes over.
    fn receiving(&self, attempt: u64) -> Option<usize> {
        let following = self.replication.following.as_ref()?;
        following.token.filter(|_| following.attempt == attempt && following.stage == Stage::Snapshot)
    }

    fn reception_went_on(&mut self, attempt: u64, bytes: usize) {
        let Some(token) = self.receiving(attempt) else { return };
        let Some(reception) = self.clients[token].link.as_mut().and_then(|link| link.reception.as_mut()) else {
            return;
        };
        let had_room = reception.has_room();
        reception.sink.passed_on(bytes);
        if !had_room && reception.has_room() {
            self.resumed.push(token);
        }
    }

    fn reception_over(&mut self, attempt: u64, result: Result<u64, DiskError>) {
        let Some(following) = &mut self.replication.following else { return };
        if following.attempt != attempt || following.stage != Stage::Snapshot {
            return;
        }
        match result {
            Ok(_) => self.take_snapshot_in(),
            Err(DiskError { doing, error }) => {
                following.progress.is_whole = false;
                let (file, error) = (&self.settings.dbfilename, reason(&error));
                let why = match doing {
                    "rename" => format!(
                        "Failed trying to rename the temp DB into {file} in MASTER <-> REPLICA synchronization: {error}"
                    ),
                    "fsync" => format!(
                        "Failed trying to sync the temp DB to disk in MASTER <-> REPLICA synchronization: {error}"
                    ),
                    _ => format!(
                        "Write error or short write writing to the DB dump file needed for MASTER <-> REPLICA \
                         synchronization: {error}"
                    ),
                };
                match following.token {
                    Some(token) => self.fail_link(token, &why),
                    None => {
                        log::warn!("{why}");
                        following.stage = Stage::Down;
                    }
                }
            }
        }
    }
}

// --- taking it in -----------------------------------------------------------------------------------------------

/// Takes a snapshot in when the memory of the old data is back, unless nobody waits for that.
struct SyncLoader {
    loader: Box<dyn Loader>,
    frees: bool,
}

impl Loader for SyncLoader {
    fn slice(&mut self, server: &mut Server) -> Result<bool, String> {
        let began = Instant::now();
        while self.frees && server.keys.free_slice() {
            if began.elapsed() > FREE_SLICE {
                return Ok(true);
            }
        }
        self.frees = false;
        self.loader.slice(server)
    }

    fn progress(&self) -> (u64, u64) {
        self.loader.progress()
    }

    fn used_memory(&self) -> u64 {
        self.loader.used_memory()
    }

    fn waits(&self) -> bool {
        !self.frees && self.loader.waits()
    }
}

impl Server {
    /// The snapshot is in its place: it replaces the data.
    fn take_snapshot_in(&mut self) {
        self.stop_keeping();
        self.make_way();
        match SnapshotLoader::open(Path::new(&self.settings.dbfilename), MANNER) {
            Ok(Some(loader)) => self.begin_sync(Box::new(loader), false),
            Ok(None) | Err(_) => self.snapshot_failed(),
        }
    }

    /// Begins to take a snapshot in as it comes.
    fn begin_direct_load(&mut self) -> Box<dyn Sink> {
        self.stop_keeping();
        let Some(following) = &self.replication.following else { return Box::new(pipe(0, MANNER, false).0) };
        let Progress { total, is_aside, .. } = following.progress;
        // What serves meanwhile has to be older data of the same stream.
        let serves = following.progress.id.as_ref() == Some(&self.replication.id);
        let (pipe, loader) = pipe(total.max(0) as u64, MANNER, is_aside);
        if is_aside {
            log::info!("MASTER <-> REPLICA sync: Loading DB in memory");
        } else {
            self.make_way();
        }
        self.begin_sync(Box::new(loader), is_aside && serves);
        Box::new(pipe)
    }

    /// Begins to load; `serves` says whether the data that are there serve meanwhile.
    fn begin_sync(&mut self, loader: Box<dyn Loader>, serves: bool) {
        let loader = Box::new(SyncLoader { loader, frees: !serves && !self.settings.replica_lazy_flush });
        if serves {
            self.begin_loading_aside(loader);
        } else {
            self.begin_loading(loader);
        }
        if let Some(loading) = &mut self.loading {
            loading.for_link = true;
        }
    }

    /// Lets the master's connection be read again: what came has been taken in.
    pub(super) fn listen_again(&mut self) {
        if let Some(token) = self.replication.following.as_ref().and_then(|following| following.token) {
            self.resumed.push(token);
        }
    }

    /// Keeps the data nowhere any more, for they are about to be others.
    fn stop_keeping(&mut self) {
        self.stop_file();
        if save::give_up(self, Purpose::File) {
            log::info!(
                "Replica is about to load the RDB file received from the master, but there is a pending RDB child running. \
                 The snapshot that is being written in the background is given up."
            );
        }
    }

    /// Drops the data, and what is made of them.
    fn make_way(&mut self) {
        self.leave_stream();
        log::info!("MASTER <-> REPLICA sync: Flushing old data");
        self.empty_for_snapshot();
        log::info!("MASTER <-> REPLICA sync: Loading DB in memory");
    }

    /// What the server has counts for nothing from here on, for it is about to go.
    pub(super) fn leave_stream(&mut self) {
        self.disconnect_replicas();
        self.replication.backlog = None;
        self.replication.begin_stream();
        if let Some(following) = &mut self.replication.following {
            following.has_history = false;
            following.marks.clear();
        }
    }

    /// Drops all data. Namespaces with names stay for now: the snapshot will say which there are.
    fn empty_for_snapshot(&mut self) {
        for db in 0..self.keys.databases() {
            self.keys.flush(db);
        }
        self.functions.clear(self.settings.replica_lazy_flush);
        self.doubt_namespaces();
    }

    /// A snapshot of the master has been taken in, or not.
    #[cold]
    pub fn snapshot_loaded(&mut self, loaded: Result<(), String>) {
        if let Err(why) = loaded {
            log::debug!("{why}");
            return self.snapshot_failed();
        }
        self.forget_doubted_namespaces();
        let (stream_db, replication) = (self.last_load.stream_db, &mut self.replication);
        let Some(following) = &mut replication.following else { return };
        let Progress { id, offset, is_marked, is_direct, .. } = mem::take(&mut following.progress);
        following.durable = offset;
        following.has_history = id.is_some();
        replication.id = id.unwrap_or_else(|| new_id(&mut replication.rng));
        replication.ancestor = None;
        replication.offset = offset;
        replication.stream_db = stream_db;
        replication.backlog = Some(Backlog::new(offset));
        following.stage = Stage::Down;
        following.file_due_ms = self.settings.appendonly.then_some(0);
        let token = following.token;
        if !is_direct {
            self.remove_transferred();
        }
        log::info!("MASTER <-> REPLICA sync: Finished with success");
        if let Some(token) = token {
            self.begin_following(token);
            if is_marked {
                self.acknowledge();
            }
        }
        self.restart_file();
    }

    /// The snapshot cannot be taken in: there are no data, until another attempt.
    fn snapshot_failed(&mut self) {
        let Some(following) = &mut self.replication.following else { return };
        let Progress { is_direct, is_aside, .. } = mem::take(&mut following.progress);
        let from = if is_direct { "socket" } else { "disk" };
        log::warn!("Failed trying to load the MASTER synchronization DB from {from}, check server logs.");
        if !is_direct {
            self.remove_transferred();
        }
        if !is_aside {
            self.empty_for_snapshot();
        }
        let Some(following) = &mut self.replication.following else { return };
        match following.token {
            Some(token) => {
                if let Some(link) = &mut self.clients[token].link {
                    link.ends = true;
                }
                self.close(token, crate::net::Closing::Now);
            }
            None => following.stage = Stage::Down,
        }
    }

    /// Removes the file that was received if nobody wants it any more.
    fn remove_transferred(&mut self) {
        let settings = &self.settings;
        if settings.rdb_del_sync_files && settings.save.is_empty() && !settings.appendonly {
            log::info!("Removing the RDB file obtained from the master. This replica has persistence disabled");
            self.aof.remove(Path::new(&settings.dbfilename));
        }
    }

    /// Turns the append-only file off before the data are replaced.
    fn stop_file(&mut self) {
        if self.aof.state != State::Off {
            self.turn_aof_off();
            if let Some(following) = &mut self.replication.following {
                following.file_due_ms = Some(0);
            }
        }
    }

    /// Turns the append-only file on again that was turned off for a synchronization. What fails is tried again.
    pub(super) fn restart_file(&mut self) {
        let now_ms = self.clock.uptime_ms();
        let Some(following) = &mut self.replication.following else { return };
        // While there are no data, there is nothing to write.
        let is_whole = following.has_history || following.is_online();
        if !is_whole || following.stage == Stage::Snapshot || following.file_due_ms.is_none_or(|due| due > now_ms) {
            return;
        }
        following.file_due_ms = None;
        if self.settings.appendonly
            && self.aof.state == State::Off
            && let Err(why) = self.turn_aof_on()
        {
            log::debug!("{why}");
            log::warn!(
                "Failed enabling the AOF after successful master synchronization! Trying it again in one second."
            );
            if let Some(following) = &mut self.replication.following {
                following.file_due_ms = Some(now_ms + SECOND_MS);
            }
        }
    }
}
