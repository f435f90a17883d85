//! The append-only file in the life of the server: opening it, feeding it from the journal, holding replies until it is
//! durable.
//!
//! While it is *on*, everything journalled goes to its last increment. When it is turned on at run time, there is no base
//! yet: increments gather in a temporary file until the first rewrite has made one.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::process;
use std::sync::Arc;

use super::aof_load::AofLoader;
use super::aof_rewrite::Rewrites;
use super::load;
use super::state::Server;
use crate::config::{AppendFsync, Settings};
use crate::effects::journal::{Journal, Sink};
use crate::helper::disk::Disk;
use crate::observe::reason;
use crate::persist::aof::gathering::Gathering;
use crate::persist::aof::manifest::{Manifest, Place, open_file};
use crate::persist::aof::writer::{Manner, Writer};

/// Whether there is an append-only file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Off,
    /// It was turned on while the server ran, and waits for a base; see [`super::aof_rewrite`].
    AwaitsBase,
    On,
}

/// The append-only file.
pub struct Aof {
    pub state: State,
    pub(super) place: Place,
    pub(super) manifest: Manifest,
    /// The increment that is written while it awaits its base.
    pub(super) temporary: Option<String>,
    pub rewrites: Rewrites,
    /// What is asked for now is asked for within a transaction, of which no part can wait for a rewrite.
    pub in_transaction: bool,
    /// The end of the last increment, while it is written.
    writer: Option<Writer>,
    /// The thread that waits for disks. Without one, nothing is ever durable.
    disk: Option<Disk<Server>>,
    /// Which writer it is: syncs of former ones mean nothing to it.
    generation: u64,
    /// Replies wait for the disk.
    strict: bool,
    /// Clients whose replies wait.
    held: Vec<usize>,
    /// Whom the next sync waits for, and until when at most, if it does.
    gathering: Gathering,
    gathers_until: Option<u64>,
    /// Bytes of all files but the last increment, and of all after the last rewrite.
    pub(super) size_before: u64,
    pub(super) base_size: u64,
    /// DEBUG AOF-FLUSH-SLEEP, in microseconds.
    pub flush_sleep_us: u64,
}

impl Aof {
    pub fn new(settings: &Settings) -> Aof {
        Aof {
            state: State::Off,
            rewrites: Rewrites::default(),
            in_transaction: false,
            place: Place { directory: (&settings.appenddirname).into(), name: settings.appendfilename.clone() },
            manifest: Manifest::default(),
            temporary: None,
            writer: None,
            disk: None,
            generation: 0,
            strict: settings.appendfsync == AppendFsync::Always,
            held: Vec::new(),
            gathering: Gathering::default(),
            gathers_until: None,
            size_before: 0,
            base_size: 0,
            flush_sleep_us: 0,
        }
    }

    /// Puts settings into effect.
    pub fn follow(&mut self, settings: &Settings) {
        self.strict = settings.appendfsync == AppendFsync::Always;
    }

    /// Lets a thread wait for disks.
    pub fn use_disk(&mut self, disk: Disk<Server>) {
        self.disk = Some(disk);
    }

    /// Removes a file. Its blocks are freed in the background, when nobody has it open any more.
    pub fn remove(&self, path: &Path) {
        let file = File::open(path);
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                log::warn!("The file {} could not be removed: {}", path.display(), reason(&error));
            }
            _ => {}
        }
        if let (Some(disk), Ok(file)) = (&self.disk, file) {
            disk.close(Arc::new(file));
        }
    }

    /// Up to which position in the journal the file is durable, if there is a file that counts.
    pub fn durable(&self) -> Option<u64> {
        self.writer.as_ref().filter(|_| self.state == State::On).map(Writer::durable)
    }

    /// Whether replies must wait that end at a position in the journal.
    #[inline]
    pub fn holds(&self, offset: u64) -> bool {
        self.strict && self.writer.as_ref().is_some_and(|writer| writer.holds(offset))
    }

    /// Lets a client wait for the disk.
    #[cold]
    pub fn hold(&mut self, token: usize) {
        self.held.push(token);
    }

    /// Until when a write waits for others at most, if it does, in microseconds of uptime: the loop must not sleep through that.
    #[inline]
    pub fn gathers_until(&self) -> Option<u64> {
        self.gathers_until
    }

    /// The files have been loaded: how many bytes there are in all of them and in the base.
    pub fn loaded(&mut self, total: u64, base: u64) {
        self.size_before = total.saturating_sub(self.writer.as_ref().map_or(0, Writer::size));
        self.base_size = base;
    }

    /// Why the file takes no writes, if so.
    pub fn trouble(&self) -> Option<&str> {
        self.writer.as_ref()?.trouble()
    }

    /// The end of the last increment; `None` while it is off.
    pub fn writer(&self) -> Option<&Writer> {
        self.writer.as_ref()
    }

    /// Bytes of all files that are needed.
    pub fn size(&self) -> u64 {
        self.size_before + self.writer.as_ref().map_or(0, Writer::size)
    }

    /// Bytes that there were after the last rewrite, or at the start.
    pub fn base_size(&self) -> u64 {
        self.base_size
    }
}

/// Ends the process, because what comes next must not be seen by anybody.
pub fn give_up(why: &str) -> ! {
    log::warn!("{why}");
    process::exit(1);
}

impl Server {
    /// Reads the manifest, takes over an old file of one piece, and begins to load. Returns whether there is anything to load.
    ///
    /// # Errors
    /// If the server must not start with these files.
    pub fn begin_loading_aof(&mut self) -> Result<bool, String> {
        let place = self.aof.place.clone();
        self.aof.manifest = read_manifest(&place)?;
        take_over_old_file(&place, &mut self.aof.manifest)?;
        let loader = AofLoader::new(place, &self.aof.manifest)?;
        let found = loader.is_some();
        if let Some(loader) = loader {
            self.begin_loading(Box::new(loader));
        }
        Ok(found)
    }

    /// Begins to write behind what has been loaded.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn open_aof(&mut self) -> Result<(), String> {
        let place = self.aof.place.clone();
        place.create().map_err(|error| {
            format!("Can't open or create append-only dir {}: {}", place.directory.display(), reason(&error))
        })?;
        if self.aof.manifest.is_empty() {
            let is_rdb = self.settings.aof_use_rdb_preamble;
            let name = self.aof.manifest.begin_base(&place.name, is_rdb);
            self.make_empty_base(is_rdb, place.path(&name))?;
            log::info!("Creating AOF base file {name} on server start");
        }
        let manifest = &mut self.aof.manifest;
        let is_new = manifest.increments.is_empty();
        let (name, verb) = match manifest.increments.last() {
            Some(last) => (last.name.clone(), "Opening"),
            None => (manifest.begin_increment(&place.name), "Creating"),
        };
        let failed = |error| format!("Can't open the append-only file {name}: {}", reason(&error));
        let file = open_file(&place.path(&name), false).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        if is_new {
            place.store(manifest)?;
        }
        log::info!("{verb} AOF incr file {name} on server start");
        self.aof.size_before = self.aof.size_before.saturating_sub(size);
        self.attach(file, size);
        self.aof.state = State::On;
        self.remove_history();
        Ok(())
    }

    /// Turns the append-only file on while the server runs. It counts when the first rewrite has made a base for it.
    ///
    /// # Errors
    /// If the rewrite cannot begin.
    pub fn turn_aof_on(&mut self) -> Result<(), String> {
        self.aof.state = State::AwaitsBase;
        let in_transaction = self.aof.in_transaction;
        if self.aof.rewrites.current.is_some() && !in_transaction {
            log::info!(
                "AOF was enabled but there is already an AOF rewriting in background. Stopping background AOF and \
                 starting a rewrite now."
            );
            self.cancel_rewrite();
        }
        if in_transaction || !super::save::is_free(self) {
            self.aof.rewrites.scheduled = true;
            log::info!(
                "AOF was enabled {}. An AOF background was scheduled to start when possible.",
                if in_transaction {
                    "during a transaction"
                } else {
                    "but there is already another background operation"
                }
            );
            return Ok(());
        }
        self.begin_rewrite().inspect_err(|why| {
            log::warn!("{why}");
            log::warn!(
                "Redis needs to enable the AOF but can't trigger a background AOF rewrite operation. Check the above \
                 logs for more info about the error."
            );
            self.aof.state = State::Off;
        })
    }

    /// Turns the append-only file off. What has been journalled is made durable.
    pub fn turn_aof_off(&mut self) {
        self.flush_journal(true);
        if let Some(writer) = &mut self.aof.writer
            && let Err(error) = writer.finish()
        {
            log::warn!("Fail to fsync the AOF file: {}", reason(&error));
        }
        self.cancel_rewrite();
        self.abandon_increment();
        self.detach();
        self.aof.state = State::Off;
        self.aof.rewrites.scheduled = false;
        self.look_for_troubles();
    }

    /// Has everything journalled from here on written to another, empty file, whether or not it was written before.
    pub(super) fn go_on_in(&mut self, file: File) {
        let generation = self.aof.generation;
        let Aof { writer: Some(writer), disk: Some(disk), size_before, .. } = &mut self.aof else {
            self.aof.size_before = 0;
            return self.attach(file, 0);
        };
        *size_before += writer.size();
        let old = writer.go_on_in(file, |file, offset| {
            disk.sync(file, move |server: &mut Server, result| server.aof_synced(generation, offset, result));
        });
        disk.close(old);
        self.keys.effects.journal.select_again();
    }

    /// Makes durable at once what has been written, which another file is to follow.
    ///
    /// # Errors
    /// If that fails.
    pub(super) fn conclude_increment(&mut self) -> Result<(), String> {
        let synced = self.aof.writer.as_mut().map_or(Ok(()), Writer::conclude);
        synced.map_err(|error| format!("Fail to fsync the AOF file: {}", reason(&error)))
    }

    /// Has nothing written any more.
    pub(super) fn detach(&mut self) {
        if self.aof.writer.take().is_some() {
            self.keys.effects.journal.remove_sink(Sink::File);
            self.aof.generation += 1;
            self.release_held();
        }
    }

    /// Has everything journalled from here on written to a file.
    fn attach(&mut self, file: File, size: u64) {
        let journal = &mut self.keys.effects.journal;
        journal.add_sink(Sink::File);
        self.aof.generation += 1;
        self.aof.writer = Some(Writer::new(file, size, journal.offset()));
    }

    /// Hands what was journalled to those who want it, and writes the append-only file. To be called before replies are sent.
    #[inline]
    pub fn flush_journal(&mut self, forced: bool) {
        if self.keys.effects.journal.is_within_unit() {
            return;
        }
        if self.aof.writer.is_some() {
            self.flush_aof(forced);
        }
        self.feed_journal();
        let journal = &mut self.keys.effects.journal;
        if journal.is_on() {
            journal.clear();
        }
    }

    /// Takes in what was journalled, and writes and syncs as far as the policy wants it now.
    fn flush_aof(&mut self, forced: bool) {
        let Server { aof, settings, clock, keys, saving, .. } = self;
        let Some(writer) = &mut aof.writer else { return };
        accept(writer, &keys.effects.journal, settings, clock.unix_us / 1_000_000);
        let (started, writes) = (self.cycles.raw(), writer.buffered() > 0);
        if aof.flush_sleep_us > 0 && writes {
            std::thread::sleep(std::time::Duration::from_micros(aof.flush_sleep_us));
        }
        let may_wait = aof.strict && !forced && writes && writer.syncing() == 0;
        aof.gathers_until = if may_wait { aof.gathering.awaits(aof.held.len(), clock.uptime_us) } else { None };
        if aof.gathers_until.is_some() {
            return;
        }
        let manner = Manner {
            now_ms: clock.uptime_ms(),
            policy: settings.appendfsync,
            forced,
            spare_disk: settings.no_appendfsync_on_rewrite && saving.purpose().is_some(),
        };
        let (disk, gathering, generation) = (&aof.disk, &mut aof.gathering, aof.generation);
        let flushed = writer.flush(manner, |file, offset| {
            gathering.ordered(clock.uptime_us);
            if let Some(disk) = disk {
                disk.sync(file, move |server: &mut Server, result| server.aof_synced(generation, offset, result));
            }
        });
        if let Err(why) = flushed {
            give_up(&why);
        }
        let troubled = writer.trouble().is_some();
        if troubled != self.is_troubled {
            self.look_for_troubles();
        }
        self.release_held();
        if writes {
            let took = self.cycles.delta(started, self.cycles.raw());
            self.stats.aof_us += took.as_micros() as u64;
            let synced = self.settings.appendfsync == AppendFsync::Always;
            self.note_latency(if synced { "aof-fsync-always" } else { "aof-write" }, took);
        }
    }

    /// Makes everything durable that was journalled, because the server ends.
    pub fn finish_aof(&mut self) {
        if self.aof.rewrites.current.is_some() {
            log::warn!("There is a child rewriting the AOF. Killing it!");
            self.cancel_rewrite();
        }
        self.flush_journal(true);
        if let Some(writer) = &mut self.aof.writer {
            log::info!("Calling fsync() on the AOF file.");
            if let Err(error) = writer.finish() {
                log::warn!("Fail to fsync the AOF file: {}", reason(&error));
            }
        }
    }

    /// Begins to load what there is to be loaded when the server starts.
    ///
    /// # Errors
    /// If the server must not start.
    pub fn start_loading(&mut self) -> Result<(), String> {
        if !self.settings.persistence_enabled {
            return Ok(());
        }
        if !self.settings.appendonly {
            // Files of an append-only file that is turned on later come behind those that are there.
            self.aof.manifest = read_manifest(&self.aof.place)?;
            return load::begin(self);
        }
        if self.begin_loading_aof()? {
            return Ok(());
        }
        self.open_aof()
    }

    /// What there was to be loaded has been loaded.
    ///
    /// # Errors
    /// If the server cannot go on writing where it has read.
    pub fn finish_loading(&mut self) -> Result<(), String> {
        if self.settings.appendonly { self.open_aof() } else { Ok(()) }
    }

    fn aof_synced(&mut self, generation: u64, offset: u64, result: std::io::Result<()>) {
        if self.aof.generation != generation {
            return;
        }
        let policy = self.settings.appendfsync;
        if let Some(writer) = &mut self.aof.writer
            && let Err(why) = writer.synced(offset, result, policy)
        {
            give_up(&why);
        }
        let before = self.aof.held.len();
        self.release_held();
        let waiting = self.aof.held.len();
        self.aof.gathering.over(before - waiting, waiting, self.clock.uptime_us);
    }

    /// Drops all data and loads the append-only file at once.
    ///
    /// # Errors
    /// If it cannot be loaded, or not all of it, or there is none. The data are gone all the same.
    pub fn reload_aof(&mut self) -> Result<(), String> {
        self.flush_journal(true);
        if let Some(writer) = &mut self.aof.writer {
            writer.trim();
        }
        self.keys.effects.journal.pause(true);
        for db in 0..self.keys.databases() {
            self.keys.flush(db);
        }
        self.functions.clear(false);
        let place = self.aof.place.clone();
        let loaded = read_manifest(&place).and_then(|manifest| {
            self.aof.manifest = manifest;
            self.remove_history();
            take_over_old_file(&place, &mut self.aof.manifest)?;
            if self.aof.manifest.is_empty() {
                return Err("There is no append-only file".to_string());
            }
            let loader = AofLoader::new(place, &self.aof.manifest)?;
            loader.map_or(Ok(()), |loader| self.load_at_once(Box::new(loader)))
        });
        self.keys.effects.journal.pause(false);
        loaded.inspect(|()| log::info!("Append Only File loaded by DEBUG LOADAOF"))
    }

    /// Lets those go on whose replies wait no longer.
    fn release_held(&mut self) {
        let mut held = std::mem::take(&mut self.aof.held);
        held.retain(|&token| {
            let Some(client) = self.clients.get(token) else { return false };
            let waits = self.aof.holds(client.written);
            if !waits {
                self.unsent.push(token);
            }
            waits
        });
        self.aof.held = held;
    }
}

/// Hands what was journalled to the writer.
fn accept(writer: &mut Writer, journal: &Journal, settings: &Settings, unix_seconds: u64) {
    let timestamp = settings.aof_timestamp_enabled.then_some(unix_seconds);
    writer.accept(&journal.pending(Sink::File), journal.offset(), timestamp, settings.aof_checksum_enabled);
}

/// The manifest as it is on disk; an empty one if there is none.
fn read_manifest(place: &Place) -> Result<Manifest, String> {
    let path = place.manifest();
    if !path.exists() {
        log::debug!("The AOF manifest file {} doesn't exist", path.display());
        return Ok(Manifest::default());
    }
    let text = std::fs::read(&path).map_err(|error| {
        format!("Fatal error: can't open the AOF manifest file {} for reading: {}", path.display(), reason(&error))
    })?;
    Manifest::parse(&text).map_err(|error| {
        log::warn!("\n*** FATAL AOF MANIFEST FILE ERROR ***\n");
        if let Some((number, line)) = error.line {
            log::warn!("Reading the manifest file, at line {number}\n");
            log::warn!(">>> '{line}'\n");
        }
        error.reason.to_string()
    })
}

/// Moves an append-only file of one piece, as servers before Redis 7 wrote it, into the directory, as the base of a new manifest.
/// What a crash interrupts is done again.
fn take_over_old_file(place: &Place, manifest: &mut Manifest) -> Result<(), String> {
    let old = std::path::Path::new(&place.name);
    if !old.is_file() {
        return Ok(());
    }
    let half_done = manifest.increments.is_empty()
        && manifest.base.as_ref().is_some_and(|base| base.name == place.name)
        && !place.path(&place.name).exists();
    if !manifest.is_empty() && !half_done {
        return Ok(());
    }
    let directory = place.directory.display();
    place.create().map_err(|error| format!("Can't open or create append-only dir {directory}: {}", reason(&error)))?;
    *manifest = Manifest::of_old_file(&place.name);
    place.store(manifest)?;
    std::fs::rename(old, place.path(&place.name)).map_err(|error| {
        format!("Error trying to move the old AOF file {} into dir {directory}: {}", place.name, reason(&error))
    })?;
    log::info!("Successfully migrated an old-style AOF file ({}) into the AOF directory ({directory}).", place.name);
    Ok(())
}
