//! The keyspace: all databases, their expiry, and the one place where a change of a key is reported.
//!
//! Everything here works on the time that [`Keyspace::set_now`] was given last; expired keys are invisible from then
//! on, whether or not the wheel has come to them. What would take long is queued and done in slices by
//! [`Keyspace::free_slice`] and [`Keyspace::expire_slice`].

pub mod access;
mod agenda;
pub mod directory;
pub mod entry;
mod eviction;
mod expiry;
mod fields;
mod freeing;
pub mod hashmap;
mod invalidation;
pub mod membership;
pub mod namespace;
mod own;
pub mod snapshot;
mod string;
mod tagging;
pub mod tags;
#[cfg(test)]
mod tests;
mod tinylfu;
pub mod undo;
pub mod value;
mod watching;
pub mod weight;
pub mod wheel;

use std::collections::VecDeque;

use crate::effects::{Effects, Event};
use crate::types::hash::KeyHasher;
use crate::types::table::Position;
pub use crate::types::value::{Expiry, StringValue};
use access::AccessClock;
use agenda::Agenda;
use directory::Directory;
use entry::{Encoding, Entry, EntryRef, NewValue, Object, Removed, Type};
use eviction::Evictor;
pub use expiry::Overdue;
use freeing::{FREE_AT_ONCE, doom};
use invalidation::Untold;
pub use invalidation::{Count, Invalidation};
use namespace::Namespace;
use own::Own;
use snapshot::Snapshot;
pub use string::string_encoding;
pub use tagging::{TagTotals, Tagging, Unsettled};
use tinylfu::TinyLfu;
use value::{Changed, Value};

/// The longest string that is `embstr`, in bytes.
pub const EMBSTR_MAX: usize = 44;

/// A key and its hash, which is computed once for each command.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    pub bytes: &'a [u8],
    pub hash: u64,
}

/// What becomes of a key's tags when its value is replaced.
#[derive(Clone, Copy)]
enum Retag<'a> {
    /// They go.
    Drop,
    /// They stay.
    Keep,
    /// They become these, which are all different.
    These(&'a [&'a [u8]]),
}

/// The key holds a value of another type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongType;

/// Whether a look at a key is a use of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// It moves the access clock.
    Yes,
    /// It does not (TTL, EXISTS, OBJECT …, and clients in NO-TOUCH mode).
    No,
}

/// A key's contents on their way into the keyspace; see [`Keyspace::install`].
pub struct Fresh<'a> {
    pub kind: Type,
    pub encoding: Encoding,
    pub value: NewValue<'a>,
    /// In Unix milliseconds.
    pub deadline: Option<u64>,
    /// The access clock (24 bits).
    pub access: u32,
}

/// What a command decides about a key's deadline; see [`Keyspace::reschedule`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Schedule {
    /// It stays as it is.
    Leave,
    /// It becomes this one, in Unix milliseconds.
    At(u64),
    /// It goes: the key lives until it is deleted.
    Never,
    /// It has passed: the key is deleted.
    Past,
}

/// What became of a key that was to be moved or copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placed {
    /// It is there.
    Done,
    /// There is no such key.
    Missing,
    /// Another key is in the way.
    Occupied,
}

/// Counters that INFO tells.
#[derive(Default, Clone)]
pub struct KeyspaceStats {
    pub hits: u64,
    pub misses: u64,
    pub expired: u64,
    pub evicted: u64,
    /// Fields of hashes.
    pub expired_fields: u64,
    /// Entries of flushed databases that have been freed.
    pub lazily_freed: u64,
    /// Invalidations of tags, and keys that were removed by them.
    pub invalidations: u64,
    pub invalidated: u64,
}

/// All databases.
pub struct Keyspace {
    /// By slot.
    databases: Vec<Option<Box<Namespace>>>,
    /// Which namespace has which slot.
    directory: Directory,
    /// In which of them something expires, and when.
    agenda: Agenda,
    hasher: KeyHasher,
    rng: fastrand::Rng,
    now_ms: u64,
    /// Deadlines before this have passed: it is now, or never while they are ignored.
    horizon_ms: u64,
    /// What becomes of those who are overdue, for who works on the keyspace now.
    overdue: Overdue,
    /// The same for who comes next. Only if they are removed do they go ahead of being looked at.
    overdue_otherwise: Overdue,
    /// What became of changes.
    pub effects: Effects,
    /// How uses of keys are remembered.
    pub access: AccessClock,
    /// Whether a change is a use: not by clients in NO-TOUCH mode.
    pub change_touches: Touch,
    pub stats: KeyspaceStats,
    /// Whether keys that are due are removed ahead of being looked at.
    pub active_expiry: bool,
    /// What clients write on a replica that lets them.
    own: Option<Box<Own>>,
    /// Large values that were removed, being freed in slices.
    doomed_objects: VecDeque<Removed>,
    /// Values that were removed, but a snapshot still has to tell.
    kept_objects: VecDeque<Removed>,
    /// Databases that were flushed, being freed in slices.
    doomed: VecDeque<Box<Namespace>>,
    /// The snapshot that is being told.
    snapshot: Option<Snapshot>,
    /// How many keys of flushed databases may be freed at once before time goes on.
    free_at_once: usize,
    /// Databases before this one are no part of the snapshot any more, unless they have moved.
    unwalked: usize,
    /// Whether a database has another slot than when the snapshot began, or none.
    walks_moved: bool,
    /// Databases before this one have no dead entries.
    unswept: usize,
    /// Which key goes next when memory is short.
    evictor: Evictor,
    /// Up to so many members of tags are removed at once when these are invalidated. It takes a moment that nobody notices,
    /// and nobody has to look out for dead entries afterwards.
    pub invalidate_at_once: usize,
    /// Up to so many tags are looked for at once when they are invalidated; more are a plan, which is carried out in slices.
    pub tags_at_once: usize,
    /// Whether there may be dead entries in any database, or something else is left to be done for invalidations.
    sweeping: bool,
    /// The number of the last invalidation whose keys were counted as they were removed.
    claims: u64,
    /// Those that are over and nobody has asked for yet, with their counts.
    counted: Vec<(u64, usize)>,
    /// Large invalidations that are still to be told, or the rest of them.
    untold: VecDeque<Untold>,
    /// What the policy `allkeys-tinylfu` remembers, while it is chosen.
    tiny: Option<Box<TinyLfu>>,
}

impl Keyspace {
    /// `databases` empty databases. `seed` decides hashes and every random choice.
    pub fn new(databases: usize, seed: u64, now_ms: u64) -> Keyspace {
        let hasher = KeyHasher::new(seed);
        Keyspace {
            databases: (0..databases).map(|_| None).collect(),
            directory: Directory::new(databases, now_ms),
            agenda: Agenda::default(),
            effects: Effects::new(hasher.clone()),
            hasher,
            rng: fastrand::Rng::with_seed(seed),
            now_ms,
            horizon_ms: now_ms,
            overdue: Overdue::Removed,
            overdue_otherwise: Overdue::Removed,
            access: AccessClock::default(),
            change_touches: Touch::Yes,
            stats: KeyspaceStats::default(),
            active_expiry: true,
            own: None,
            doomed_objects: VecDeque::new(),
            kept_objects: VecDeque::new(),
            doomed: VecDeque::new(),
            snapshot: None,
            free_at_once: FREE_AT_ONCE,
            unwalked: usize::MAX,
            walks_moved: false,
            unswept: usize::MAX,
            evictor: Evictor::default(),
            invalidate_at_once: invalidation::AT_ONCE,
            tags_at_once: invalidation::TAGS_AT_ONCE,
            sweeping: false,
            claims: 0,
            counted: Vec::new(),
            untold: VecDeque::new(),
            tiny: None,
        }
    }

    /// Says what time it is, in Unix milliseconds.
    pub fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.free_at_once = FREE_AT_ONCE;
        if self.overdue != Overdue::Ignored {
            self.horizon_ms = now_ms;
        }
    }

    /// The time, in Unix milliseconds.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// How many slots for databases there are: those that SELECT knows by number, and those of namespaces with names of
    /// their own behind them, some of which may be free.
    pub fn databases(&self) -> usize {
        self.databases.len()
    }

    /// The hash of a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }

    /// The hash function of all tables.
    pub fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// A source of random numbers for one command.
    pub fn random_source(&mut self) -> fastrand::Rng {
        self.rng.fork()
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
        self.databases[db]
            .get_or_insert_with(|| Box::new(Namespace::new(self.hasher.clone(), self.now_ms, self.agenda.listing(db))))
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

    /// Asks for the value of a key's hash to be brought into the cache, whose entry should be there already. What lies behind
    /// a large one is asked for by [`Object::prefetch`].
    #[inline]
    pub fn prefetch_value(&self, db: usize, hash: u64) -> Option<&Object> {
        self.database(db)?.probable(hash)?.prefetch_value()
    }

    /// Where a live key is. An expired or dead one is removed on the way.
    #[inline]
    fn find(&mut self, db: usize, key: Key<'_>) -> Option<Position> {
        let database = self.databases[db].as_deref()?;
        let position = database.find(key.hash, key.bytes)?;
        if self.is_past(database.entry(position).deadline()) | database.is_sweeping() {
            return self.find_doubtful(db, position);
        }
        Some(position)
    }

    /// A position, unless the entry there is expired or dead, and is removed.
    #[cold]
    fn find_doubtful(&mut self, db: usize, position: Position) -> Option<Position> {
        let database = self.databases[db].as_deref()?;
        let entry = database.entry(position);
        if database.is_dead(entry) {
            self.remove_dead(db, position);
        } else if self.is_past(entry.deadline()) {
            self.expire_at(db, position);
        } else {
            return Some(position);
        }
        None
    }

    /// As [`Keyspace::find`]; a key whose time is over is found, too.
    fn find_even_overdue(&self, db: usize, key: Key<'_>) -> Option<Position> {
        let database = self.database(db)?;
        database.find(key.hash, key.bytes).filter(|&position| !database.is_dead(database.entry(position)))
    }

    /// Whether nobody is to see an entry any more.
    #[inline]
    fn is_gone(&self, database: &Namespace, entry: EntryRef<'_>) -> bool {
        self.is_past(entry.deadline()) || database.is_dead(entry)
    }

    /// Tells a snapshot of an entry that is about to change.
    #[inline]
    fn preserve(&mut self, db: usize, position: Position) {
        if let (Some(snapshot), Some(database)) = (&mut self.snapshot, &mut self.databases[db]) {
            database.preserve(position, snapshot);
        }
    }

    /// Where a live key is that a command writes to: that is a use, but neither a hit nor a miss.
    fn reach(&mut self, db: usize, key: Key<'_>, touch: Touch) -> Option<Position> {
        let position = self.find(db, key)?;
        self.touch(db, position, touch);
        Some(position)
    }

    /// The live entry of a key, without counting a hit or a miss.
    #[inline]
    pub fn peek(&mut self, db: usize, key: Key<'_>) -> Option<EntryRef<'_>> {
        let position = self.find(db, key)?;
        Some(self.databases[db].as_deref()?.entry(position))
    }

    /// The live entry of a key, like [`Keyspace::peek`], but shared: several can be looked at together, and an expired
    /// one stays where it is.
    pub fn view(&self, db: usize, key: Key<'_>) -> Option<EntryRef<'_>> {
        let database = self.database(db)?;
        let entry = database.entry(database.find(key.hash, key.bytes)?);
        (!self.is_gone(database, entry)).then_some(entry)
    }

    /// The live entry whose key has a hash, as [`Keyspace::view`] has that of a key.
    pub fn view_hash(&self, db: usize, hash: u64) -> Option<EntryRef<'_>> {
        let database = self.database(db)?;
        let entry = database.entry(database.find_hash(hash)?);
        (!self.is_gone(database, entry)).then_some(entry)
    }

    /// The live entry of a key for a command that reads it: counts a hit or a miss.
    #[inline]
    pub fn read(&mut self, db: usize, key: Key<'_>, touch: Touch) -> Option<EntryRef<'_>> {
        let Some(position) = self.find(db, key) else {
            self.stats.misses += 1;
            self.directory.missed(db);
            self.effects.missed(db, key.bytes);
            return None;
        };
        self.found(db);
        self.touch(db, position, touch);
        Some(self.databases[db].as_deref()?.entry(position))
    }

    /// Counts a hit: a key was found that is to be read.
    #[inline]
    pub fn found(&mut self, db: usize) {
        self.stats.hits += 1;
        self.directory.hit(db);
    }

    /// The live entry of a key for a command that asks about it, not for its value: counts a hit or a miss, and is
    /// neither a use nor an event.
    pub fn inspect(&mut self, db: usize, key: Key<'_>) -> Option<EntryRef<'_>> {
        let Some(position) = self.find(db, key) else {
            self.stats.misses += 1;
            self.directory.missed(db);
            return None;
        };
        self.found(db);
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
            if self.tiny.is_some() {
                self.count_use(db, position);
            }
        }
    }

    /// A key came into being. That it changed is reported apart.
    #[inline]
    fn entered(&mut self, db: usize, key: Key<'_>) {
        self.effects.created(db, key.bytes);
        if self.tiny.is_some() {
            self.count_newcomer(db, key.hash);
        }
    }

    /// Lets a command decide about the deadline of a live key, given the one it has. Returns whether that changed
    /// anything.
    pub fn reschedule(
        &mut self,
        db: usize,
        key: Key<'_>,
        touch: Touch,
        decide: impl FnOnce(Option<u64>) -> Schedule,
    ) -> bool {
        let Some(position) = self.reach(db, key, touch) else { return false };
        let decision = decide(self.database_mut(db).entry(position).deadline());
        if decision != Schedule::Leave {
            self.preserve(db, position);
        }
        let database = self.database_mut(db);
        let event = match decision {
            Schedule::Leave => return false,
            Schedule::At(deadline) => {
                database.set_deadline(position, Some(deadline));
                self.note_own(db, key);
                Event::EXPIRE
            }
            Schedule::Never => {
                database.set_deadline(position, None);
                Event::PERSIST
            }
            Schedule::Past => {
                let entry = database.remove(position);
                self.discard(entry);
                Event::DEL
            }
        };
        self.effects.changed(db, key.bytes, event);
        true
    }

    /// Removes a key. Returns whether it was there.
    pub fn delete(&mut self, db: usize, key: Key<'_>, event: Event) -> bool {
        let Some(position) = self.find(db, key) else { return false };
        self.delete_at(db, key, position, event);
        true
    }

    /// Removes the key of a command that has nothing to store there. Returns whether it was there. To Redis one whose time is over
    /// is deleted by that, and has not expired.
    pub fn vacate(&mut self, db: usize, key: Key<'_>) -> bool {
        let Some(position) = self.find_even_overdue(db, key) else { return false };
        self.delete_at(db, key, position, Event::DEL);
        true
    }

    fn delete_at(&mut self, db: usize, key: Key<'_>, position: Position, event: Event) {
        self.preserve(db, position);
        let entry = self.database_mut(db).remove(position);
        self.discard(entry);
        self.effects.changed(db, key.bytes, event);
    }

    /// Lends the value of a live key to `change`, and reports what it did as `event` (a value that became empty also as
    /// `del`). `Ok(None)` without the key.
    ///
    /// # Errors
    /// [`WrongType`] if the key holds a value of another type.
    pub fn change<R>(
        &mut self,
        db: usize,
        key: Key<'_>,
        kind: Type,
        event: Event,
        change: impl FnOnce(&mut Value<'_>) -> Changed<R>,
    ) -> Result<Option<R>, WrongType> {
        match self.find(db, key) {
            Some(position) => self.change_at(db, key, position, kind, event, change).map(Some),
            None => Ok(None),
        }
    }

    /// As [`Keyspace::change`], for what moves to another key and counts there as a change to be saved.
    ///
    /// # Errors
    /// [`WrongType`] if the key holds a value of another type.
    pub fn change_uncounted<R>(
        &mut self,
        db: usize,
        key: Key<'_>,
        kind: Type,
        event: Event,
        change: impl FnOnce(&mut Value<'_>) -> Changed<R>,
    ) -> Result<Option<R>, WrongType> {
        let dirty = self.effects.dirty;
        let result = self.change(db, key, kind, event, change);
        self.effects.dirty = dirty;
        result
    }

    /// As [`Keyspace::change`]; a key that does not exist begins as a compact value of an encoding, with the bytes of an
    /// empty one. If it stays without a change, it is not created.
    ///
    /// # Errors
    /// [`WrongType`] if the key holds a value of another type.
    pub fn change_or_create<R>(
        &mut self,
        db: usize,
        key: Key<'_>,
        fresh: (Type, Encoding, &[u8]),
        event: Event,
        change: impl FnOnce(&mut Value<'_>) -> Changed<R>,
    ) -> Result<R, WrongType> {
        match self.find(db, key) {
            Some(position) => self.change_at(db, key, position, fresh.0, event, change),
            None => Ok(self.create(db, key, fresh, event, change)),
        }
    }

    /// As [`Keyspace::change_or_create`], where the fresh value is what the change would make of an empty one: it takes its memory
    /// once. `result` is what there is to know of it then.
    ///
    /// # Errors
    /// [`WrongType`] if the key holds a value of another type.
    pub fn change_or_put<R>(
        &mut self,
        db: usize,
        key: Key<'_>,
        fresh: (Type, Encoding, &[u8]),
        result: R,
        event: Event,
        change: impl FnOnce(&mut Value<'_>) -> Changed<R>,
    ) -> Result<R, WrongType> {
        match self.find(db, key) {
            Some(position) => self.change_at(db, key, position, fresh.0, event, change),
            None => Ok(self.create(db, key, fresh, event, |_| Changed { result, changes: 1, empty: false })),
        }
    }

    /// Creates a key that is not there, with a value that `change` changes at once.
    fn create<R>(
        &mut self,
        db: usize,
        key: Key<'_>,
        (kind, fresh, bytes): (Type, Encoding, &[u8]),
        event: Event,
        change: impl FnOnce(&mut Value<'_>) -> Changed<R>,
    ) -> R {
        let access = self.access.new_entry(self.now_ms);
        let deadline = self.default_deadline(db, key);
        let entry = Entry::new(key.bytes, kind, fresh, NewValue::Inline(bytes), deadline, access);
        let database = self.database_mut(db);
        let position = database.insert(key.hash, entry);
        let lent = database.lend(position);
        let Changed { result, changes, empty } = change(&mut Value::new(database, position));
        database.give_back(position, lent);
        database.fields_changed(position, None);
        if empty || changes == 0 {
            drop(database.remove(position));
            if deadline.is_some() {
                self.effects.journal.not_given();
            }
        } else {
            if deadline.is_some() {
                self.note_own(db, key);
            }
            self.entered(db, key);
            self.effects.changed_by(db, key.bytes, event, changes);
        }
        result
    }

    /// As [`Keyspace::change`], for what belongs to a key but is no part of its value, such as a stream's consumer groups:
    /// nobody who watches the key or waits for it is told. What happened says [`Keyspace::report`].
    ///
    /// # Errors
    /// [`WrongType`] if the key holds a value of another type.
    pub fn change_within<R>(
        &mut self,
        db: usize,
        key: Key<'_>,
        kind: Type,
        change: impl FnOnce(&mut Value<'_>) -> Changed<R>,
    ) -> Result<Option<R>, WrongType> {
        let Some(position) = self.find(db, key) else { return Ok(None) };
        if self.database_mut(db).entry(position).kind() != kind {
            return Err(WrongType);
        }
        self.preserve(db, position);
        let database = self.database_mut(db);
        let lent = database.lend(position);
        let Changed { result, changes, .. } = change(&mut Value::new(database, position));
        database.give_back(position, lent);
        self.touch(db, position, self.change_touches);
        if changes > 0 {
            self.effects.changed_within(db, key.bytes, changes);
        }
        Ok(Some(result))
    }

    /// Reports an event that comes with a change which has been reported already, or was one within a key.
    pub fn report(&mut self, db: usize, key: Key<'_>, event: Event) {
        self.effects.happened(db, key.bytes, event);
    }

    /// Lets those who wait for a key look at it, although its value has not changed.
    pub fn wake(&mut self, db: usize, key: Key<'_>) {
        if self.effects.waiting.any() {
            self.effects.waiting.changed(db, key.bytes);
        }
    }

    fn change_at<R>(
        &mut self,
        db: usize,
        key: Key<'_>,
        position: Position,
        kind: Type,
        event: Event,
        change: impl FnOnce(&mut Value<'_>) -> Changed<R>,
    ) -> Result<R, WrongType> {
        if self.database_mut(db).entry(position).kind() != kind {
            return Err(WrongType);
        }
        self.preserve(db, position);
        let database = self.database_mut(db);
        let due = if kind == Type::Hash { database.fields_due(position) } else { None };
        let lent = database.lend(position);
        let Changed { result, changes, empty } = change(&mut Value::new(database, position));
        database.give_back(position, lent);
        if kind == Type::Hash {
            database.fields_changed(position, due);
        }
        self.touch(db, position, self.change_touches);
        if changes > 0 {
            self.effects.changed_by(db, key.bytes, event, changes);
        }
        if empty {
            let entry = self.database_mut(db).remove(position);
            self.discard(entry);
            self.effects.changed_by(db, key.bytes, Event::DEL, 0);
        }
        Ok(result)
    }

    /// Lets a live key's value take another form that is the same value: nothing is reported, and it is no use.
    pub fn change_form(&mut self, db: usize, key: Key<'_>, change: impl FnOnce(&mut Value<'_>)) {
        if let Some(position) = self.find(db, key) {
            self.preserve(db, position);
            let database = self.database_mut(db);
            let lent = database.lend(position);
            change(&mut Value::new(database, position));
            database.give_back(position, lent);
        }
    }

    /// Creates a key, in the place of what is there: the way of commands that store a whole collection.
    pub fn store(
        &mut self,
        db: usize,
        key: Key<'_>,
        kind: Type,
        encoding: Encoding,
        value: NewValue<'_>,
        event: Event,
    ) {
        let access = self.access.new_entry(self.now_ms);
        self.install(db, key, Fresh { kind, encoding, value, deadline: None, access }, Some(event));
    }

    /// Puts a whole key where it belongs, in the place of what is there: the way of what was read from a file or came from
    /// another server. `access` is its clock. Without an event nothing is reported.
    pub fn install(&mut self, db: usize, key: Key<'_>, fresh: Fresh<'_>, event: Option<Event>) {
        let Fresh { kind, encoding, value, mut deadline, access } = fresh;
        if event.is_some() && deadline.is_none() {
            deadline = self.default_deadline(db, key);
        }
        let entry = Entry::new(key.bytes, kind, encoding, value, deadline, access);
        // To Redis RESTORE makes another key, not a new value, and does not ask what is in its place.
        let restored = event == Some(Event::RESTORE);
        let found = if restored { self.find_even_overdue(db, key) } else { self.find(db, key) };
        let is_new = found.is_none() || restored;
        let due = self.database_mut(db).looked_at().into_iter().chain(deadline).min();
        match found {
            Some(position) => {
                self.preserve(db, position);
                let old = self.database_mut(db).replace(position, entry);
                self.discard(old);
                if is_new {
                    self.effects.created(db, key.bytes);
                }
            }
            None => {
                self.database_mut(db).insert(key.hash, entry);
                if event.is_some() {
                    self.entered(db, key);
                }
            }
        }
        if kind == Type::Hash {
            self.let_fields_stand(db, due);
        }
        if let Some(event) = event {
            if deadline.is_some() {
                self.note_own(db, key);
            }
            if is_new {
                self.effects.changed(db, key.bytes, event);
            } else {
                self.effects.replaced(db, key.bytes, event);
            }
        }
    }

    /// Puts a whole key where there is none, as [`Keyspace::install`] does without an event. Returns false, and does nothing, if
    /// there is one.
    pub fn install_new(&mut self, db: usize, key: Key<'_>, fresh: Fresh<'_>) -> bool {
        let database = self.database_mut(db);
        if database.find(key.hash, key.bytes).is_some() {
            return false;
        }
        let Fresh { kind, encoding, value, deadline, access } = fresh;
        database.insert(key.hash, Entry::new(key.bytes, kind, encoding, value, deadline, access));
        true
    }

    /// Frees an entry; what is large is freed in slices.
    #[inline]
    fn discard(&mut self, entry: Entry) {
        doom(&mut self.doomed_objects, entry);
    }

    /// Moves a key's entry to another key or database, in the place of what is there if `replace` allows it. Its time
    /// to live and its tags go with it. A key is not in the way of itself when it may be replaced: then nothing changes.
    pub fn relocate(
        &mut self,
        from: (usize, Key<'_>),
        to: (usize, Key<'_>),
        replace: bool,
        touch: Touch,
        events: (Event, Event),
    ) -> Placed {
        if self.reach(from.0, from.1, touch).is_none() {
            return Placed::Missing;
        }
        let to_itself = from.0 == to.0 && from.1.bytes == to.1.bytes;
        if !replace && (to_itself || self.reach(to.0, to.1, touch).is_some()) {
            return Placed::Occupied;
        }
        self.find(to.0, to.1);
        // Looked for again, because what had expired in the place may just have been removed from the same table.
        let Some(position) = self.find(from.0, from.1).filter(|_| !to_itself) else { return Placed::Done };
        self.preserve(from.0, position);
        let tags = self.tag_names(from.0, position);
        let entry = self.database_mut(from.0).remove(position);
        let tags = self.database_mut(to.0).tag_set(tags.iter().map(|name| &**name));
        self.place(to.0, to.1, entry.with_key(to.1.bytes, tags));
        self.effects.changed_uncounted(from.0, from.1.bytes, events.0);
        self.effects.changed(to.0, to.1.bytes, events.1);
        Placed::Done
    }

    /// Copies a key with its time to live and its tags, in the place of what is there if `replace` allows it. Counts a hit or a
    /// miss of the original.
    pub fn copy(&mut self, from: (usize, Key<'_>), to: (usize, Key<'_>), replace: bool, touch: Touch) -> Placed {
        if self.read(from.0, from.1, touch).is_none() {
            return Placed::Missing;
        }
        if !replace && self.reach(to.0, to.1, touch).is_some() {
            return Placed::Occupied;
        }
        self.find(to.0, to.1);
        let Some(position) = self.find(from.0, from.1) else { return Placed::Missing };
        let tags = self.tag_names(from.0, position);
        let tags = self.database_mut(to.0).tag_set(tags.iter().map(|name| &**name));
        let copy = self.database_mut(from.0).entry(position).duplicate(to.1.bytes, tags);
        self.place(to.0, to.1, copy);
        self.effects.changed(to.0, to.1.bytes, Event::COPY_TO);
        Placed::Done
    }

    /// Puts an entry where its key belongs, in the place of what is there. Its access clock is that of a new key. What had
    /// expired in the place must have been removed.
    fn place(&mut self, db: usize, key: Key<'_>, mut entry: Entry) {
        let replaced = self.find(db, key);
        if entry.as_ref().deadline().is_none()
            && let Some(deadline) = self.default_deadline(db, key)
        {
            entry = entry.with_deadline(Some(deadline));
        }
        let access = self.access.new_entry(self.now_ms);
        let position = match replaced {
            Some(position) => {
                self.preserve(db, position);
                let old = self.database_mut(db).replace(position, entry);
                self.discard(old);
                position
            }
            None => self.database_mut(db).insert(key.hash, entry),
        };
        let mut entry = self.database_mut(db).entry_mut(position);
        entry.set_access(access);
        if entry.as_ref().deadline().is_some() {
            self.note_own(db, key);
        }
        self.note_crowded(db);
        // What was there counts as deleted first.
        self.entered(db, key);
    }

    /// Visits every live entry of a database. Nothing is removed.
    pub fn each(&self, db: usize, mut visit: impl FnMut(EntryRef<'_>)) {
        if let Some(database) = self.database(db) {
            database.scan(0, usize::MAX, |entry| {
                if !self.is_gone(database, entry) {
                    visit(entry);
                }
            });
        }
    }

    /// Visits the live entries of a database whose keys are `wanted`, in slices; see [`crate::types::table::Table::scan`]. Wanted
    /// keys that have expired are removed.
    pub fn scan(
        &mut self,
        db: usize,
        cursor: u64,
        count: usize,
        wanted: impl Fn(&[u8]) -> bool,
        mut visit: impl FnMut(EntryRef<'_>),
    ) -> u64 {
        let Some(database) = self.database(db) else { return 0 };
        let mut expired = Vec::new();
        let next = database.scan(cursor, count, |entry| {
            if wanted(entry.key()) && !database.is_dead(entry) {
                if self.is_past(entry.deadline()) {
                    expired.push(entry.key().to_vec());
                } else {
                    visit(entry);
                }
            }
        });
        for key in expired {
            let key = self.key(&key);
            self.find(db, key);
        }
        next
    }

    /// A live key of a database, chosen fairly.
    ///
    /// # Errors
    /// [`Unsettled`] if dead entries are nearly all that it finds. It gets on each time it is tried.
    pub fn random_key(&mut self, db: usize) -> Result<Option<Vec<u8>>, Unsettled> {
        /// So many expired keys in a row mean that there is hardly anything else.
        const TRIES: usize = 100;
        for attempt in 0.. {
            let rng = &mut self.rng;
            let Some(database) = self.databases[db].as_deref().filter(|database| !database.is_empty()) else { break };
            let Some(entry) = database.random(|| rng.u64(..)) else { break };
            let key = entry.key().to_vec();
            let (past, dead) = (self.is_past(entry.deadline()), database.is_dead(entry));
            if !dead && (!past || (self.overdue == Overdue::Hidden && attempt >= TRIES)) {
                return Ok(Some(key));
            }
            if dead && attempt >= TRIES {
                return Err(Unsettled);
            }
            let key = self.key(&key);
            self.find(db, key);
        }
        Ok(None)
    }

    /// Exchanges two databases.
    pub fn swap(&mut self, a: usize, b: usize) {
        if !self.effects.watches.is_empty() && a != b {
            self.watched_database_goes(a, Some(b));
            self.watched_database_goes(b, Some(a));
        }
        self.databases.swap(a, b);
        if let Ok([in_a, in_b]) = self.databases.get_disjoint_mut([a, b]) {
            match (in_a, in_b) {
                (Some(in_a), Some(in_b)) => in_a.listing.exchange(&mut in_b.listing),
                (Some(moved), None) => moved.listing.move_to(a),
                (None, Some(moved)) => moved.listing.move_to(b),
                (None, None) => {}
            }
        }
        self.note_crowded(a);
        self.note_crowded(b);
        self.walks_moved |= self.unwalked != usize::MAX;
        self.unswept = self.unswept.min(a).min(b);
        self.effects.swapped(a, b);
    }
}
