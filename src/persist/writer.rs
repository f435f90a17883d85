//! The bytes of a snapshot: what an RDB file holds, in the order in which the keyspace tells it.
//!
//! A key may have to be told while a large value is half written; such keys are kept aside until that value is whole.

use std::collections::VecDeque;

use crate::keyspace::access::AccessClock;
use crate::keyspace::entry::EntryRef;
use crate::keyspace::snapshot::{Head, Recorder};
use crate::types::telling::Piece;

use super::Spare;
use super::rdb::{encode, opcode, own};

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
    /// What comes before that.
    ready: VecDeque<Vec<u8>>,
    /// Keys that came while a large value is half written.
    aside: Stretch,
    /// Whether there is one.
    half: bool,
    /// The earliest deadline of its fields.
    earliest: Option<u64>,
    compress: bool,
    usage: Usage,
    access: AccessClock,
    now_ms: u64,
    /// Sizes of databases, until they have been told.
    sizes: Vec<Option<(usize, usize)>>,
    /// The tags of the next key, as the file has them.
    tags: Vec<u8>,
    spare: Spare,
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
            ready: VecDeque::new(),
            aside: Stretch::default(),
            half: false,
            earliest: None,
            compress: plan.compress,
            usage: plan.usage,
            access: plan.access,
            now_ms: plan.now_ms,
            sizes: plan.sizes.into_iter().map(Some).collect(),
            tags: Vec::new(),
            spare: Spare::default(),
        }
    }

    /// Lets what follows be of a database.
    fn select(&mut self, db: usize) -> &mut Vec<u8> {
        let stretch = if self.half { &mut self.aside } else { &mut self.main };
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

    /// Everything up to the value. Returns where that is to be written.
    fn head(&mut self, db: usize, key: &[u8], deadline: Option<u64>, access: u32, tag: u8) -> &mut Vec<u8> {
        self.select(db);
        let out = if self.half { &mut self.aside.bytes } else { &mut self.main.bytes };
        if !self.tags.is_empty() {
            encode::aux(out, own::TAGS, &self.tags);
            self.tags.clear();
        }
        if let Some(deadline) = deadline {
            out.push(opcode::EXPIRETIME_MS);
            out.extend_from_slice(&deadline.to_le_bytes());
        }
        match self.usage {
            Usage::Nothing => {}
            Usage::Idle => {
                out.push(opcode::IDLE);
                encode::number(out, self.access.idle_seconds(access, self.now_ms));
            }
            Usage::Frequency => {
                out.extend_from_slice(&[opcode::FREQ, self.access.frequency(access, self.now_ms) as u8]);
            }
        }
        out.push(tag);
        encode::text(out, key, self.compress);
        out
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
        encode::aux(self.select(db), own::LINK, &link);
    }

    fn record(&mut self, db: usize, entry: EntryRef<'_>) {
        let (compress, tag) = (self.compress, encode::tag_of(entry));
        let out = self.head(db, entry.key(), entry.deadline(), entry.access(), tag);
        encode::value(out, entry, compress);
    }

    fn record_large(&mut self, head: &Head) {
        let Head { db, deadline, access, count, earliest, .. } = *head;
        self.record_tags(&mut head.tags.iter().map(|tag| &**tag));
        let out = self.head(db, &head.key, deadline, access, encode::large_tag(head.kind, earliest));
        encode::prefix(out, count, earliest);
        self.half = true;
        self.earliest = earliest;
    }

    fn record_piece(&mut self, piece: Piece<'_>) {
        encode::piece(&mut self.main.bytes, piece, self.earliest, self.compress);
    }

    fn record_large_end(&mut self) {
        self.half = false;
        // What was kept aside follows. It may be much, and is not copied.
        if self.aside.db.is_some() {
            let whole = std::mem::replace(&mut self.main, std::mem::take(&mut self.aside));
            self.ready.push_back(whole.bytes);
        }
    }

    fn recorded(&self) -> usize {
        self.main.bytes.len() + self.ready.iter().map(Vec::len).sum::<usize>()
    }

    fn take_recorded(&mut self) -> Vec<u8> {
        if let Some(bytes) = self.ready.pop_front() {
            return bytes;
        }
        let next = self.spare.buffer(self.main.bytes.len());
        std::mem::replace(&mut self.main.bytes, next)
    }

    fn reuse(&mut self, buffer: Vec<u8>) {
        self.spare.keep(buffer);
    }

    fn record_end(&mut self) {
        self.main.bytes.push(opcode::EOF);
    }
}
