//! The keyspace: all databases, their expiry, and the one place where a change of a key is reported.
//!
//! Everything here works on the time that [`Keyspace::set_now`] was given last; expired keys are invisible from then
//! on, whether or not the wheel has come to them. What would take long is queued and done in slices by
//! [`Keyspace::free_slice`] and [`Keyspace::expire_slice`].

pub mod access;
pub mod alloc;
pub mod entry;
pub mod hash;
pub mod namespace;
pub mod table;
pub mod wheel;

use std::collections::VecDeque;
use std::rc::Rc;

use crate::effects::{Effects, Event};
use crate::types::number::is_canonical_i64;
use access::AccessClock;
use entry::{Encoding, Entry, EntryRef, INLINE_MAX, NewValue, Object, Type};
use hash::KeyHasher;
use namespace::Namespace;
use table::Position;

/// Below this many keys, a database is freed at once: that is no slower than a slice.
const FREE_AT_ONCE: usize = 512;
/// The longest string that is `embstr`.
const EMBSTR_MAX: usize = 44;

/// A key and its hash, which is computed once for each command.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    pub bytes: &'a [u8],
    pub hash: u64,
}

/// A string on its way into the keyspace.
pub enum StringValue<'a> {
    /// Bytes of somebody else.
    Borrowed(&'a [u8]),
    /// Bytes that can stay where they are.
    Owned(Vec<u8>),
    /// A long string that another key, or a reply, has too.
    Shared(Rc<Vec<u8>>),
}

impl StringValue<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            StringValue::Borrowed(bytes) => bytes,
            StringValue::Owned(bytes) => bytes,
            StringValue::Shared(blob) => blob,
        }
    }
}

/// What becomes of a key's time to live when its value is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// It goes.
    Clear,
    /// It stays.
    Keep,
    /// It becomes this deadline, in Unix milliseconds.
    At(u64),
}

/// Whether a look at a key is a use of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// It moves the access clock.
    Yes,
    /// It does not (TTL, EXISTS, OBJECT …, and clients in NO-TOUCH mode).
    No,
}

/// Counters that INFO tells.
#[derive(Default, Clone)]
pub struct KeyspaceStats {
    pub hits: u64,
    pub misses: u64,
    pub expired: u64,
    /// Entries freed in slices since the start.
    pub lazily_freed: u64,
}

/// All databases.
pub struct Keyspace {
    databases: Vec<Option<Box<Namespace>>>,
    hasher: KeyHasher,
    rng: fastrand::Rng,
    now_ms: u64,
    /// What became of changes.
    pub effects: Effects,
    /// How uses of keys are remembered.
    pub access: AccessClock,
    pub stats: KeyspaceStats,
    /// Whether keys that are due are removed ahead of being looked at.
    pub active_expiry: bool,
    /// Whether expired keys may be removed at all; while clients are paused, nothing may change.
    pub may_expire: bool,
    /// Databases that were flushed, being freed in slices.
    doomed: VecDeque<Box<Namespace>>,
}

impl Keyspace {
    /// `databases` empty databases. `seed` decides hashes and every random choice.
    pub fn new(databases: usize, seed: u64, now_ms: u64) -> Keyspace {
        Keyspace {
            databases: (0..databases).map(|_| None).collect(),
            hasher: KeyHasher::new(seed),
            rng: fastrand::Rng::with_seed(seed),
            now_ms,
            effects: Effects::default(),
            access: AccessClock::default(),
            stats: KeyspaceStats::default(),
            active_expiry: true,
            may_expire: true,
            doomed: VecDeque::new(),
        }
    }

    /// Says what time it is, in Unix milliseconds.
    pub fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// The time, in Unix milliseconds.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// How many databases there are.
    pub fn databases(&self) -> usize {
        self.databases.len()
    }

    /// The hash of a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }

    /// A key with its hash.
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key { bytes, hash: self.hash(bytes) }
    }

    /// A database, if it was ever used.
    #[inline]
    pub fn database(&self, db: usize) -> Option<&Namespace> {
        self.databases[db].as_deref()
    }

    #[inline]
    fn database_mut(&mut self, db: usize) -> &mut Namespace {
        self.databases[db].get_or_insert_with(|| Box::new(Namespace::new(self.hasher.clone(), self.now_ms)))
    }

    /// Brings the bucket of a key's hash into the cache.
    #[inline]
    pub fn prefetch_bucket(&self, db: usize, hash: u64) {
        if let Some(database) = self.database(db) {
            database.prefetch_bucket(hash);
        }
    }

    /// Brings the entry of a key's hash into the cache; its bucket should be there already.
    #[inline]
    pub fn prefetch_entry(&self, db: usize, hash: u64) {
        if let Some(database) = self.database(db) {
            database.prefetch_entry(hash);
        }
    }

    /// Whether a deadline has passed.
    #[inline]
    fn is_past(&self, deadline: Option<u64>) -> bool {
        deadline.is_some_and(|deadline| deadline <= self.now_ms)
    }

    /// Where a live key is. An expired one is removed on the way.
    #[inline]
    fn find(&mut self, db: usize, key: Key<'_>) -> Option<Position> {
        let database = self.databases[db].as_deref()?;
        let position = database.find(key.hash, key.bytes)?;
        if self.is_past(database.entry(position).deadline()) {
            self.expire_at(db, position);
            return None;
        }
        Some(position)
    }

    /// Removes an expired key, unless nothing may change now.
    fn expire_at(&mut self, db: usize, position: Position) {
        if self.may_expire {
            let entry = self.database_mut(db).remove(position);
            self.stats.expired += 1;
            self.effects.changed(db, entry.as_ref().key(), Event::EXPIRED);
        }
    }

    /// The live entry of a key, without counting a hit or a miss.
    #[inline]
    pub fn peek(&mut self, db: usize, key: Key<'_>) -> Option<EntryRef<'_>> {
        let position = self.find(db, key)?;
        Some(self.databases[db].as_deref()?.entry(position))
    }

    /// The live entry of a key for a command that reads it: counts a hit or a miss.
    #[inline]
    pub fn read(&mut self, db: usize, key: Key<'_>, touch: Touch) -> Option<EntryRef<'_>> {
        let Some(position) = self.find(db, key) else {
            self.stats.misses += 1;
            return None;
        };
        self.stats.hits += 1;
        self.touch(db, position, touch);
        Some(self.databases[db].as_deref()?.entry(position))
    }

    #[inline]
    fn touch(&mut self, db: usize, position: Position, touch: Touch) {
        if touch == Touch::Yes {
            let access = self.databases[db].as_deref().map_or(0, |database| database.entry(position).access());
            let used = self.access.used(access, self.now_ms, &mut self.rng);
            if used != access {
                self.database_mut(db).entry_mut(position).set_access(used);
            }
        }
    }

    /// Sets a key to a string, whatever it was.
    pub fn set_string(&mut self, db: usize, key: Key<'_>, value: StringValue<'_>, expiry: Expiry, event: Event) {
        let found = self.find(db, key);
        let encoding = string_encoding(value.bytes());
        let access = self.access.new_entry(self.now_ms);
        let database = self.database_mut(db);
        let deadline = match (expiry, found) {
            (Expiry::At(deadline), _) => Some(deadline),
            (Expiry::Keep, Some(position)) => database.entry(position).deadline(),
            _ => None,
        };
        if let (Some(position), bytes) = (found, value.bytes()) {
            // A string of the same size class, with a deadline where there was one, is written in place.
            let mut entry = database.entry_mut(position);
            let old = entry.as_ref();
            if old.kind() == Type::String
                && old.object().is_none()
                && old.deadline().is_some() == deadline.is_some()
                && entry.resize_inline(bytes.len())
            {
                entry.inline_mut().copy_from_slice(bytes);
                entry.set_encoding(encoding);
                database.set_deadline(position, deadline);
                self.touch(db, position, Touch::Yes);
                self.effects.changed(db, key.bytes, event);
                return;
            }
        }
        let value = match value {
            StringValue::Borrowed(bytes) if bytes.len() <= INLINE_MAX => NewValue::Inline(bytes),
            StringValue::Owned(ref bytes) if bytes.len() <= INLINE_MAX => NewValue::Inline(bytes),
            StringValue::Borrowed(bytes) => boxed(Rc::new(bytes.to_vec())),
            StringValue::Owned(mut bytes) => {
                bytes.shrink_to_fit();
                boxed(Rc::new(bytes))
            }
            StringValue::Shared(blob) => boxed(blob),
        };
        let entry = Entry::new(key.bytes, Type::String, encoding, value, deadline, access);
        match found {
            Some(position) => drop(database.replace(position, entry)),
            None => drop(database.insert(key.hash, entry)),
        }
        self.effects.changed(db, key.bytes, event);
    }

    /// Changes a string in place: makes it `len` bytes long (new bytes are zero), lets `write` change them, and keeps
    /// the time to live. A key that does not exist begins as an empty string.
    ///
    /// # Panics
    /// If the key holds another type; the caller has looked.
    pub fn change_string(&mut self, db: usize, key: Key<'_>, len: usize, event: Event, write: impl FnOnce(&mut [u8])) {
        let Some(position) = self.find(db, key) else {
            let mut bytes = vec![0; len];
            write(&mut bytes);
            return self.set_string(db, key, StringValue::Owned(bytes), Expiry::Clear, event);
        };
        let database = self.database_mut(db);
        assert_eq!(database.entry(position).kind(), Type::String, "only strings are changed as strings");
        write(database.resize_string(position, len));
        self.touch(db, position, Touch::Yes);
        self.effects.changed(db, key.bytes, event);
    }

    /// The deadline of a live key: `None` without the key, `Some(None)` if it does not expire.
    pub fn deadline(&mut self, db: usize, key: Key<'_>) -> Option<Option<u64>> {
        self.peek(db, key).map(EntryRef::deadline)
    }

    /// Sets or clears the deadline of a key. Returns whether there is such a key.
    pub fn set_deadline(&mut self, db: usize, key: Key<'_>, deadline: Option<u64>, event: Event) -> bool {
        let Some(position) = self.find(db, key) else { return false };
        self.database_mut(db).set_deadline(position, deadline);
        self.effects.changed(db, key.bytes, event);
        true
    }

    /// Removes a key. Returns whether it was there.
    pub fn delete(&mut self, db: usize, key: Key<'_>, event: Event) -> bool {
        self.take(db, key, event).is_some()
    }

    fn take(&mut self, db: usize, key: Key<'_>, event: Event) -> Option<Entry> {
        let position = self.find(db, key)?;
        let entry = self.database_mut(db).remove(position);
        self.effects.changed(db, key.bytes, event);
        Some(entry)
    }

    /// Moves a key's entry to another key or database, where it takes the place of what is there. Its time to live
    /// goes with it. Returns whether there was such a key.
    pub fn relocate(&mut self, from: (usize, Key<'_>), to: (usize, Key<'_>), events: (Event, Event)) -> bool {
        if self.find(from.0, from.1).is_none() {
            return false;
        }
        if self.find(to.0, to.1).is_some() {
            self.delete(to.0, to.1, Event::DEL);
        }
        let Some(entry) = self.take(from.0, from.1, events.0) else { return false };
        let entry = entry.with_key(to.1.bytes);
        self.database_mut(to.0).insert(to.1.hash, entry);
        self.effects.changed(to.0, to.1.bytes, events.1);
        true
    }

    /// Copies a key with its time to live, replacing what is there. Returns whether there was such a key.
    pub fn copy(&mut self, from: (usize, Key<'_>), to: (usize, Key<'_>)) -> bool {
        let Some(source) = self.peek(from.0, from.1) else { return false };
        let copy = source.duplicate(to.1.bytes);
        if self.find(to.0, to.1).is_some() {
            self.delete(to.0, to.1, Event::DEL);
        }
        self.database_mut(to.0).insert(to.1.hash, copy);
        self.effects.changed(to.0, to.1.bytes, Event::COPY_TO);
        true
    }

    /// Visits the live entries of a database in slices; see [`table::Table::scan`]. Expired keys met are removed.
    pub fn scan(&mut self, db: usize, cursor: u64, count: usize, mut visit: impl FnMut(EntryRef<'_>)) -> u64 {
        let now_ms = self.now_ms;
        let mut expired = Vec::new();
        let Some(database) = self.database(db) else { return 0 };
        let next = database.scan(cursor, count, |entry| {
            if entry.deadline().is_some_and(|deadline| deadline <= now_ms) {
                expired.push(entry.key().to_vec());
            } else {
                visit(entry);
            }
        });
        for key in expired {
            let key = self.key(&key);
            self.find(db, key);
        }
        next
    }

    /// A live key of a database, chosen fairly.
    pub fn random_key(&mut self, db: usize) -> Option<Vec<u8>> {
        /// So many expired keys in a row mean that there is hardly anything else.
        const TRIES: usize = 100;
        for attempt in 0.. {
            let rng = &mut self.rng;
            let database = self.databases[db].as_deref()?;
            let entry = database.random(|| rng.u64(..))?;
            let key = entry.key().to_vec();
            let past = self.is_past(entry.deadline());
            if !past || (!self.may_expire && attempt >= TRIES) {
                return Some(key);
            }
            let key = self.key(&key);
            self.find(db, key);
        }
        None
    }

    /// Exchanges two databases.
    pub fn swap(&mut self, a: usize, b: usize) {
        self.databases.swap(a, b);
        self.effects.dirty += 1;
    }

    /// Empties a database; large ones are freed in slices later. Returns how many keys there were.
    pub fn flush(&mut self, db: usize) -> usize {
        let Some(database) = self.databases[db].take_if(|database| !database.is_empty()) else { return 0 };
        let keys = database.len();
        // A database once used stays listed.
        self.database_mut(db);
        if keys > FREE_AT_ONCE {
            self.doomed.push_back(database);
        }
        self.effects.flushed(db, keys);
        keys
    }

    /// Frees a few hundred entries of what was flushed. Returns whether there is more.
    pub fn free_slice(&mut self) -> bool {
        let Some(database) = self.doomed.front_mut() else { return false };
        let before = database.len();
        let more = database.free_slice();
        self.stats.lazily_freed += (before - database.len()) as u64;
        if !more {
            self.doomed.pop_front();
        }
        !self.doomed.is_empty()
    }

    /// Entries that wait to be freed.
    pub fn pending_free(&self) -> usize {
        self.doomed.iter().map(|database| database.len()).sum()
    }

    /// Removes keys that are due, about `budget` of each database at most. Returns whether there are more.
    pub fn expire_slice(&mut self, budget: usize) -> bool {
        if !self.active_expiry || !self.may_expire {
            return false;
        }
        let now_ms = self.now_ms;
        let mut more = false;
        for db in 0..self.databases.len() {
            let Some(mut database) = self.databases[db].take() else { continue };
            more |= database.take_due(now_ms, budget, |entry| {
                self.stats.expired += 1;
                self.effects.changed(db, entry.as_ref().key(), Event::EXPIRED);
            });
            self.databases[db] = Some(database);
        }
        more
    }

    /// When the next key is due, in Unix milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        if !self.active_expiry || !self.may_expire {
            return None;
        }
        self.databases.iter().flatten().filter_map(|database| database.next_deadline()).min()
    }
}

fn boxed(blob: Rc<Vec<u8>>) -> NewValue<'static> {
    NewValue::Boxed(Box::new(Object::Blob(blob)))
}

/// The encoding of a string that is set as a whole.
#[inline]
fn string_encoding(bytes: &[u8]) -> Encoding {
    if is_canonical_i64(bytes) {
        Encoding::Int
    } else if bytes.len() <= EMBSTR_MAX {
        Encoding::Embstr
    } else {
        Encoding::Raw
    }
}
