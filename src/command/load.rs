//! Taking in a snapshot: at the start, slice by slice while clients are told to wait; for DEBUG RELOAD, in one piece.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::aside::{Aside, Limits};
use super::dump;
use super::loading::Loader;
use super::state::Server;
use crate::config::{NamespaceLimits, SanitizeDumpPayload};
use crate::keyspace::directory::Profile;
use crate::keyspace::{Fresh, Key, Keyspace};
use crate::observe::reason;
use crate::persist::rdb::check;
use crate::persist::rdb::decode::{Outcome, Rules};
use crate::persist::rdb::error::{Error, Reason};
use crate::persist::rdb::file::{Item, Loaded, Reader, Verdict};
use crate::persist::rdb::own;
use crate::persist::rdb::source::{FileSource, Source};
use crate::replication::{History, ID_LEN, MOST_OFFSET};

/// A slice ends after this time, even if the settings allow more bytes.
const SLICE: Duration = Duration::from_millis(10);
/// Items between two looks at the clock.
const STEP: usize = 64;
/// Keys that come into their tables together, so that their cache misses overlap.
const WINDOW: usize = 16;

/// The field of a snapshot's head that tells of a namespace. Redis skips it, and finds the keys under a number.
const NAMESPACE_FIELD: &str = "cachestorm-namespace";

/// What is to be written down of the namespaces: the number that stands for each in the file, the time to live of keys
/// without one and the limit of memory, when it was created, and its name.
pub fn namespace_fields(keys: &Keyspace) -> impl Iterator<Item = (&'static str, String)> {
    let numbered = keys.directory().numbered();
    let told = keys.namespaces().filter(move |&(slot, profile)| slot >= numbered || profile.is_special());
    told.map(|(slot, profile)| {
        let Profile { name, default_ttl_ms, max_memory, created_ms, .. } = profile;
        (NAMESPACE_FIELD, format!("{slot} {default_ttl_ms} {max_memory} {created_ms} {name}"))
    })
}

/// What a snapshot brought.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counts {
    pub keys: u64,
    /// Keys whose time was over.
    pub expired: u64,
    /// Keys without items, which were left out.
    pub empty: u64,
    /// The database on which the replication stream goes on behind it.
    pub stream_db: usize,
}

impl Server {
    /// Tells what a snapshot has brought, in the log and in INFO.
    pub fn note_loaded(&mut self, counts: Counts) {
        let Counts { keys, expired, empty, .. } = counts;
        log::info!(
            "Done loading RDB, keys loaded: {keys}, keys expired: {expired}{}.",
            if empty > 0 { format!(", empty keys skipped: {empty}") } else { String::new() }
        );
        self.last_load = counts;
    }
}

/// How a snapshot is taken in.
#[derive(Clone, Copy, Default, Debug)]
pub struct Manner {
    /// A key that is there already gives way, rather than being an error.
    pub merge: bool,
    /// Keys whose time is over come all the same: the file is the beginning of a history that removes them later.
    pub keep_expired: bool,
    /// The server goes on with the stream that the file tells of; replicas are told of keys whose time is over.
    pub go_on: bool,
}

/// A key on its way into the keyspace.
struct Waiting {
    /// The slot of the keyspace that its database has.
    slot: usize,
    hash: u64,
    loaded: Loaded,
    tags: Vec<Vec<u8>>,
}

/// Takes in what a snapshot holds, item by item.
pub struct Intake {
    manner: Manner,
    /// Which slots of the keyspace the file's databases have, where they are namespaces with names.
    slots: BTreeMap<u64, usize>,
    pub counts: Counts,
    /// Memory that was used when it was written, in bytes, as it tells.
    pub used_memory: u64,
    /// The stream that the data amount to, as it tells.
    pub history: History,
    /// Where everything goes, if that is not the place of the data that are there.
    pub aside: Option<Aside>,
    /// The database chosen last.
    db: usize,
    /// The tags of the next key.
    tags: Vec<Vec<u8>>,
    /// Keys that have been read.
    waiting: Vec<Waiting>,
}

impl Intake {
    pub fn new(manner: Manner) -> Intake {
        let ((counts, slots), waiting) = (Default::default(), Vec::with_capacity(WINDOW));
        Intake {
            manner,
            slots,
            counts,
            used_memory: 0,
            history: History::default(),
            aside: None,
            db: 0,
            tags: Vec::new(),
            waiting,
        }
    }

    /// Takes an item in. Returns whether it was the end.
    ///
    /// # Errors
    /// A line for the log, if the item cannot be.
    pub fn take(&mut self, server: &mut Server, item: Item) -> Result<bool, String> {
        match item {
            Item::Key(loaded) => self.key(server, loaded)?,
            Item::End(_) if !self.waiting.is_empty() => {
                self.settle(server)?;
                return self.take(server, item);
            }
            Item::Part | Item::Hint | Item::ModuleValue => {}
            Item::Database(db) => {
                self.make_place(server, db)?;
                self.go_on(server);
                let databases = server.keys.directory().numbered();
                let Some(slot) = self.slot(server, db) else {
                    return Err(format!(
                        "FATAL: Data file was created with a server configured to handle more than {databases} \
                         databases. Exiting"
                    ));
                };
                self.db = slot;
            }
            Item::Aux(name, value) if name == NAMESPACE_FIELD.as_bytes() => self.namespace(server, &value)?,
            Item::Aux(name, value) if name == own::TAGS.as_bytes() => self.tags = own_texts(&value)?,
            Item::Aux(name, value) if name == own::LINK.as_bytes() => match &own_texts(&value)?[..] {
                [parent, child] => server.keys.restore_link(self.db, parent, child),
                _ => return Err(DAMAGED_TAGS.to_string()),
            },
            Item::Aux(name, value) => self.aux(&name, &value),
            Item::Library(source) => {
                let aside = self.aside.as_mut().map(|aside| &mut aside.libraries);
                server.load_library(&source, self.manner.merge, aside).map_err(|why| {
                    log::warn!("Failed loading library, {}", String::from_utf8_lossy(&why));
                    "A library of functions cannot be loaded".to_string()
                })?;
            }
            Item::ModuleAux(name) => {
                log::warn!("The RDB file contains AUX data of the module type '{name}': left out.")
            }
            Item::End(verdict) => {
                self.go_on(server);
                if let Verdict::Wrong { expected, found } = verdict
                    && server.settings.rdbchecksum
                {
                    log::warn!("Wrong RDB checksum expected: ({expected:x}) but got ({found:x}). Aborting now.");
                    return Err("RDB CRC error".to_string());
                }
                if verdict == Verdict::Disabled {
                    log::info!("RDB file was saved with checksum disabled: no check performed.");
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The slot of the keyspace that one of the file's databases has.
    fn slot(&self, server: &Server, db: u64) -> Option<usize> {
        let numbered = || usize::try_from(db).ok().filter(|&db| db < server.keys.directory().numbered());
        self.slots.get(&db).copied().or_else(numbered)
    }

    /// What was written down of a namespace; see [`namespace_fields`].
    fn namespace(&mut self, server: &mut Server, value: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(value);
        let mut words = text.split(' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(db), Some(default_ttl_ms), Some(max_memory), Some(created_ms), Some(name), None) =
            (number(), number(), number(), number(), words.next(), words.next())
        else {
            return Err(format!("FATAL: '{text}' says nothing of a namespace"));
        };
        if !NamespaceLimits::is_name(name) {
            return Err(format!("FATAL: '{name}' is no name of a namespace"));
        }
        if let Some(aside) = &mut self.aside {
            let limits = Limits { name: name.to_string(), default_ttl_ms, max_memory, created_ms };
            let slot = aside.place(server, Err(limits)).map_err(|_| TOO_MANY)?;
            self.slots.insert(db, slot);
            return Ok(());
        }
        let keys = &mut server.keys;
        let slot = match keys.directory().find(name.as_bytes()) {
            Some(slot) => slot,
            None => keys.create_namespace(name).map_err(|_| TOO_MANY)?,
        };
        keys.set_created(slot, created_ms);
        keys.set_limits(slot, default_ttl_ms, max_memory);
        self.slots.insert(db, slot);
        Ok(())
    }

    /// Makes a place for a database beside those that are there, if that is wanted.
    fn make_place(&mut self, server: &mut Server, db: u64) -> Result<(), String> {
        let numbered = server.keys.directory().numbered();
        if let Some(aside) = &mut self.aside
            && !self.slots.contains_key(&db)
            && let Some(number) = usize::try_from(db).ok().filter(|&number| number < numbered)
        {
            let slot = aside.place(server, Ok(number)).map_err(|_| TOO_MANY)?;
            self.slots.insert(db, slot);
        }
        Ok(())
    }

    fn aux(&mut self, name: &[u8], value: &[u8]) {
        let text = String::from_utf8_lossy(value);
        let number = || text.parse::<u64>().ok();
        match name {
            b"redis-ver" => log::info!("Loading RDB produced by version {text}"),
            b"ctime" => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                if let Some(written) = number() {
                    log::info!("RDB age {} seconds", now.as_secs().saturating_sub(written));
                }
            }
            b"used-mem" => {
                if let Some(bytes) = number() {
                    log::info!("RDB memory usage when created {:.2} Mb", bytes as f64 / (1 << 20) as f64);
                    self.used_memory = bytes;
                }
            }
            b"aof-base" if number() == Some(1) => log::info!("RDB is base AOF"),
            b"repl-id" => self.history.id = Some(text.into_owned()).filter(|id| id.len() == ID_LEN),
            b"repl-offset" => self.history.offset = number().filter(|&offset| offset <= MOST_OFFSET),
            b"repl-stream-db" => self.history.db = number().unwrap_or(0),
            b"redis-bits" | b"aof-base" | b"aof-preamble" | b"cachestorm-ver" => {}
            [b'%', ..] => log::info!("RDB '{}': {text}", String::from_utf8_lossy(name)),
            _ => log::debug!("Unrecognized RDB AUX field: '{}'", String::from_utf8_lossy(name)),
        }
    }

    /// Notes a key, and has its place brought into the cache.
    fn key(&mut self, server: &mut Server, loaded: Loaded) -> Result<(), String> {
        let slot = self.slot(server, loaded.db).ok_or("FATAL: a key is in no database that there is")?;
        let hash = server.keys.hash(&loaded.key);
        server.keys.prefetch_bucket(slot, hash);
        let tags = std::mem::take(&mut self.tags);
        self.waiting.push(Waiting { slot, hash, loaded, tags });
        // For tests that want a slow start.
        let delay_us = u64::try_from(server.settings.key_load_delay).unwrap_or(0);
        if self.waiting.len() == WINDOW || delay_us > 0 {
            self.settle(server)?;
        }
        if delay_us > 0 {
            std::thread::sleep(Duration::from_micros(delay_us));
        }
        Ok(())
    }

    /// Goes on with the stream that the file has told of, if that is wanted.
    fn go_on(&mut self, server: &mut Server) {
        self.counts.stream_db = self.slot(server, self.history.db).unwrap_or(0);
        if self.manner.go_on {
            server.go_back_to(std::mem::take(&mut self.history), self.counts.stream_db);
        }
    }

    /// Puts the keys that have been read where they belong.
    fn settle(&mut self, server: &mut Server) -> Result<(), String> {
        let Server { keys, replication, .. } = server;
        let now_ms = keys.now_ms();
        // A replica removes nothing that its master has not removed.
        let keep_expired = self.manner.keep_expired || replication.is_replica();
        for Waiting { slot, hash, loaded, tags } in self.waiting.drain(..) {
            let Loaded { db, key, value, deadline, idle, frequency } = loaded;
            let Outcome::Value(made) = value else {
                if self.counts.empty < 10 {
                    log::info!("rdbLoadObject skipping empty key: {}", String::from_utf8_lossy(&key));
                }
                self.counts.empty += 1;
                continue;
            };
            if deadline.is_some_and(|deadline| deadline < now_ms) && !keep_expired {
                self.counts.expired += 1;
                if self.manner.go_on {
                    replication.append_removal(keys.directory(), slot, &key);
                }
                continue;
            }
            let access = keys.access.restored(idle, frequency, now_ms);
            let (kind, encoding) = (made.kind, made.encoding);
            let mut bytes = Vec::new();
            let fresh = Fresh { kind, encoding, value: made.into_value(&mut bytes), deadline, access };
            let name = Key { bytes: &key, hash };
            if self.manner.merge {
                keys.install(slot, name, fresh, None);
            } else if !keys.install_new(slot, name, fresh) {
                let name = String::from_utf8_lossy(&key);
                return Err(format!("RDB has duplicated key '{name}' in DB {db}"));
            }
            keys.restore_tags(slot, name, tags);
            self.counts.keys += 1;
        }
        Ok(())
    }
}

const TOO_MANY: &str = "FATAL: there are too many namespaces";
const DAMAGED_TAGS: &str = "The tags of a key, or a link between tags, are damaged";

fn own_texts(value: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let texts = own::texts(value).map_err(|_| DAMAGED_TAGS)?;
    if texts.iter().any(Vec::is_empty) { Err(DAMAGED_TAGS.to_string()) } else { Ok(texts) }
}

/// What the settings say about values in snapshots.
pub fn rules(server: &Server) -> Rules {
    dump::rules(server, server.settings.sanitize_dump_payload == SanitizeDumpPayload::Yes)
}

/// Why a snapshot was not taken in; the details are in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unloaded;

/// A snapshot that is being taken in.
pub struct SnapshotLoader {
    reader: Reader<FileSource>,
    intake: Intake,
    path: PathBuf,
    started: Instant,
    /// Whether the server cannot go on without it.
    vital: bool,
}

/// The last line of the log if the data cannot be taken in.
const UNLOADED: &str = "Fatal error loading the DB, check server logs. Exiting.";

impl SnapshotLoader {
    /// Opens a snapshot; `None` if there is no such file.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub fn open(path: &Path, manner: Manner) -> Result<Option<SnapshotLoader>, Unloaded> {
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.and_then(FileSource::new),
        };
        let source = file.map_err(|error| {
            log::warn!("Fatal error: can't open the RDB file {} for reading: {}", path.display(), reason(&error));
            Unloaded
        })?;
        let reader = Reader::new(source, false).map_err(|error| tell(&error))?;
        let (intake, path, started) = (Intake::new(manner), path.to_path_buf(), Instant::now());
        Ok(Some(SnapshotLoader { reader, intake, path, started, vital: false }))
    }

    /// Takes in so many bytes, about. Returns whether there are more.
    fn take(&mut self, server: &mut Server, bytes: u64, time: Duration) -> Result<bool, Unloaded> {
        let rules = rules(server);
        let (begin, end) = (Instant::now(), self.reader.source().offset().saturating_add(bytes));
        loop {
            for _ in 0..STEP {
                let item = self.reader.next(&rules).map_err(|error| tell(&error))?;
                let offset = self.reader.source().offset();
                match self.intake.take(server, item) {
                    Ok(true) => return Ok(false),
                    Ok(false) => {}
                    Err(line) => {
                        log::warn!("Internal error in RDB reading offset {offset}: {line}");
                        return Err(Unloaded);
                    }
                }
                if offset >= end {
                    return Ok(true);
                }
            }
            if begin.elapsed() > time {
                return Ok(true);
            }
        }
    }
}

impl SnapshotLoader {
    /// Tells in the log what the checker says about the file.
    #[cold]
    fn explain(&self) {
        let mut lines = Vec::new();
        check::run(&[self.path.display().to_string()], &mut lines);
        for line in String::from_utf8_lossy(&lines).lines() {
            log::warn!("{line}");
        }
        log::warn!("Terminating server after rdb file reading failure.");
    }
}

impl Loader for SnapshotLoader {
    fn slice(&mut self, server: &mut Server) -> Result<bool, String> {
        let bytes = server.settings.loading_process_events_interval_bytes;
        let more = self.take(server, bytes, SLICE).map_err(|_| {
            if self.vital {
                self.explain();
            }
            UNLOADED
        })?;
        if !more {
            server.note_loaded(self.intake.counts);
            let seconds = self.started.elapsed().as_secs_f64();
            log::info!("DB loaded from disk: {seconds:.3} seconds ({})", self.path.display());
        }
        Ok(more)
    }

    fn progress(&self) -> (u64, u64) {
        (self.reader.source().len(), self.reader.source().offset())
    }

    fn used_memory(&self) -> u64 {
        self.intake.used_memory
    }
}

/// Tells in the log what was wrong with a snapshot.
pub fn tell(error: &Error) -> Unloaded {
    if matches!(error.reason, Reason::End) {
        log::warn!("Short read or OOM loading DB. Unrecoverable error, aborting now.");
    }
    log::warn!("Internal error in RDB reading offset {}: {error}", error.offset);
    Unloaded
}

fn open_named(server: &Server, manner: Manner) -> Result<Option<SnapshotLoader>, String> {
    SnapshotLoader::open(Path::new(&server.settings.dbfilename), manner).map_err(|_| UNLOADED.to_string())
}

/// Begins to take in the snapshot that the settings name, if there is one.
///
/// # Errors
/// If it cannot be read, or is none.
pub fn begin(server: &mut Server) -> Result<(), String> {
    let keep_expired = server.replication.is_replica();
    let manner = Manner { merge: false, keep_expired, go_on: true };
    if let Some(loader) = open_named(server, manner)? {
        server.begin_loading(Box::new(SnapshotLoader { vital: true, ..loader }));
    }
    Ok(())
}

/// Takes in the snapshot that the settings name, in one piece. Returns whether there was one.
///
/// # Errors
/// If it cannot be read, or something in it cannot be right.
pub fn load_now(server: &mut Server, manner: Manner) -> Result<bool, String> {
    match open_named(server, manner)? {
        Some(loader) => server.load_at_once(Box::new(loader)).map(|()| true),
        None => Ok(false),
    }
}
