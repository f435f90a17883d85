//! The bytes of a snapshot: what an RDB file holds, in the order in which the keyspace tells it.
//!
//! A key may have to be told while a large value is half written; such keys are kept aside until that value is whole.

use crate::keyspace::access::AccessClock;
use crate::keyspace::entry::EntryRef;
use crate::keyspace::snapshot::{Recorder, WHOLE_MAX};

use super::rdb::encode::{self, Manner, Place};
use super::rdb::{opcode, own};

/// Items of a large value that are written at once.
const PART: usize = 256;

/// What is remembered of the use of keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Usage {
    Nothing,
    /// Seconds since the last use, for policies that evict what was used least recently.
    Idle,
    /// The counter, for policies that evict what is used least.
    Frequency,
}

/// What a snapshot is like.
pub struct Plan<'a> {
    /// The version of the format: one that knows all that there is.
    pub version: u16,
    /// As `rdbcompression`.
    pub compress: bool,
    pub usage: Usage,
    pub access: AccessClock,
    pub now_ms: u64,
    /// Fields about the file.
    pub aux: &'a [(&'a str, String)],
    /// The sources of libraries of functions.
    pub libraries: Vec<&'a [u8]>,
    /// Keys of each database, and how many of them expire.
    pub sizes: Vec<(usize, usize)>,
}

/// A stretch of bytes, and the database that was chosen last in it.
#[derive(Default)]
struct Stretch {
    bytes: Vec<u8>,
    db: Option<usize>,
}

/// Makes the bytes.
pub struct Writer {
    main: Stretch,
    /// Keys that came while a large value is half written.
    aside: Stretch,
    /// Where that value goes on.
    half: Option<Place>,
    compress: bool,
    usage: Usage,
    access: AccessClock,
    now_ms: u64,
    /// Sizes of databases, until they have been told.
    sizes: Vec<Option<(usize, usize)>>,
    /// The tags of the next key, as the file has them.
    tags: Vec<u8>,
}

impl Writer {
    /// A writer that has written the head of the file.
    pub fn new(plan: Plan<'_>) -> Writer {
        let mut bytes = format!("REDIS{:04}", plan.version).into_bytes();
        for (name, value) in plan.aux {
            encode::aux(&mut bytes, name, value.as_bytes());
        }
        for source in plan.libraries {
            encode::library(&mut bytes, source, plan.compress);
        }
        Writer {
            main: Stretch { bytes, db: None },
            aside: Stretch::default(),
            half: None,
            compress: plan.compress,
            usage: plan.usage,
            access: plan.access,
            now_ms: plan.now_ms,
            sizes: plan.sizes.into_iter().map(Some).collect(),
            tags: Vec::new(),
        }
    }

    /// Lets what follows be of a database.
    fn select(&mut self, aside: bool, db: usize) -> &mut Vec<u8> {
        let stretch = if aside { &mut self.aside } else { &mut self.main };
        let out = &mut stretch.bytes;
        if stretch.db != Some(db) {
            stretch.db = Some(db);
            out.push(opcode::SELECTDB);
            encode::number(out, db as u64);
            if let Some((keys, expires)) = self.sizes.get_mut(db).and_then(Option::take) {
                out.push(opcode::RESIZEDB);
                encode::number(out, keys as u64);
                encode::number(out, expires as u64);
            }
        }
        out
    }

    /// Everything up to the value.
    fn head(&mut self, aside: bool, db: usize, entry: EntryRef<'_>) {
        self.select(aside, db);
        let out = if aside { &mut self.aside.bytes } else { &mut self.main.bytes };
        if !self.tags.is_empty() {
            encode::aux(out, own::TAGS, &self.tags);
            self.tags.clear();
        }
        if let Some(deadline) = entry.deadline() {
            out.push(opcode::EXPIRETIME_MS);
            out.extend_from_slice(&deadline.to_le_bytes());
        }
        match self.usage {
            Usage::Nothing => {}
            Usage::Idle => {
                out.push(opcode::IDLE);
                encode::number(out, self.access.idle_seconds(entry.access(), self.now_ms));
            }
            Usage::Frequency => {
                out.extend_from_slice(&[opcode::FREQ, self.access.frequency(entry.access(), self.now_ms) as u8]);
            }
        }
        out.push(encode::tag_of(entry));
        encode::text(out, entry.key(), self.compress);
    }

    fn manner(&self, items: usize) -> Manner {
        Manner { compress: self.compress, items }
    }

    /// A large value that is about to change, and holds up everybody until it has been written: it is not compressed.
    fn at_once(&self) -> Manner {
        Manner { compress: false, items: usize::MAX }
    }

    /// The large value is whole: what was kept aside follows.
    fn close_half(&mut self) {
        self.half = None;
        if self.aside.db.is_some() {
            self.main.bytes.append(&mut self.aside.bytes);
            self.main.db = self.aside.db.take();
        }
    }
}

impl Recorder for Writer {
    fn record_tags(&mut self, tags: &mut dyn Iterator<Item = &[u8]>) {
        self.tags.clear();
        tags.for_each(|tag| encode::text(&mut self.tags, tag, false));
    }

    fn record_link(&mut self, db: usize, parent: &[u8], child: &[u8]) {
        let mut link = Vec::new();
        encode::text(&mut link, parent, false);
        encode::text(&mut link, child, false);
        encode::aux(self.select(false, db), own::LINK, &link);
    }

    fn record(&mut self, db: usize, entry: EntryRef<'_>) {
        let aside = self.half.is_some();
        self.head(aside, db, entry);
        let large = entry.object().is_some_and(|object| object.items() > WHOLE_MAX);
        let manner = if large { self.at_once() } else { self.manner(usize::MAX) };
        let out = if aside { &mut self.aside.bytes } else { &mut self.main.bytes };
        encode::begin(out, entry, manner);
    }

    fn record_part(&mut self, db: usize, entry: EntryRef<'_>) -> bool {
        let manner = self.manner(PART);
        self.half = match self.half {
            Some(place) => encode::go_on(&mut self.main.bytes, entry, place, manner),
            None => {
                self.head(false, db, entry);
                encode::begin(&mut self.main.bytes, entry, manner)
            }
        };
        let done = self.half.is_none();
        if done {
            self.close_half();
        }
        done
    }

    fn record_rest(&mut self, entry: EntryRef<'_>) {
        let manner = self.at_once();
        if let Some(place) = self.half {
            encode::go_on(&mut self.main.bytes, entry, place, manner);
        }
        self.close_half();
    }

    fn recorded(&self) -> usize {
        self.main.bytes.len()
    }

    fn take_recorded(&mut self) -> Vec<u8> {
        let room = self.main.bytes.len();
        std::mem::replace(&mut self.main.bytes, Vec::with_capacity(room))
    }

    fn record_end(&mut self) {
        self.main.bytes.push(opcode::EOF);
    }
}
