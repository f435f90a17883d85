//! The keyspace against a plain model: for each database a map from keys to strings and deadlines.
//!
//! Random mixes of operations run on both. What they answer, count and hold must be the same after every step, expired
//! keys that nobody has looked at included. The clock is moved by hand, now and then backwards.
//!
//! The test program's allocator counts what each thread has in use, so that tests can tell whether memory comes back
//! while others run beside them.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::rc::Rc;

use super::entry::INLINE_MAX;
use super::*;
use crate::types::field::FieldTable;
use crate::types::member::Members;

/// The system's allocator, so that valgrind sees every block, with a count of bytes by thread.
struct CountingAllocator;

thread_local! {
    static IN_USE: Cell<isize> = const { Cell::new(0) };
}

fn count(delta: isize) {
    IN_USE.with(|bytes| bytes.set(bytes.get() + delta));
}

// SAFETY: every call is forwarded unchanged to the system's allocator; counting touches no memory of the caller.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Bytes that this thread has allocated and not freed.
pub(super) fn in_use() -> isize {
    IN_USE.with(Cell::get)
}

const DATABASES: usize = 4;
const START_MS: u64 = 1_700_000_000_000;

/// What a key holds.
#[derive(Clone, PartialEq, Debug)]
struct Held {
    value: Vec<u8>,
    deadline: Option<u64>,
}

/// What the keyspace should be.
struct Model {
    databases: Vec<HashMap<Vec<u8>, Held>>,
    now_ms: u64,
    dirty: u64,
    hits: u64,
    misses: u64,
    expired: u64,
}

impl Model {
    fn new() -> Model {
        let databases = vec![HashMap::new(); DATABASES];
        Model { databases, now_ms: START_MS, dirty: 0, hits: 0, misses: 0, expired: 0 }
    }

    fn is_past(&self, held: &Held) -> bool {
        held.deadline.is_some_and(|deadline| deadline < self.now_ms)
    }

    /// A key that somebody looks at: what has expired goes.
    fn find(&mut self, db: usize, key: &[u8]) -> Option<&mut Held> {
        if self.databases[db].get(key).is_some_and(|held| self.is_past(held)) {
            self.databases[db].remove(key);
            self.expired += 1;
        }
        self.databases[db].get_mut(key)
    }

    fn read(&mut self, db: usize, key: &[u8]) -> Option<Held> {
        let held = self.find(db, key).cloned();
        match held {
            Some(_) => self.hits += 1,
            None => self.misses += 1,
        }
        held
    }

    fn live(&self, db: usize) -> HashMap<Vec<u8>, Held> {
        let live = self.databases[db].iter().filter(|(_, held)| !self.is_past(held));
        live.map(|(key, held)| (key.clone(), held.clone())).collect()
    }

    /// Removes the keys of a database that have expired and are `wanted`.
    fn expire(&mut self, db: usize, wanted: impl Fn(&[u8]) -> bool) {
        let past: Vec<Vec<u8>> = self.databases[db].keys().filter(|key| wanted(key)).cloned().collect();
        for key in past {
            self.find(db, &key);
        }
    }
}

/// Both, and the source of chance.
struct Pair {
    keys: Keyspace,
    model: Model,
    rng: fastrand::Rng,
    /// How many different keys there are, but for a few odd ones.
    names: u32,
}

fn held(entry: EntryRef<'_>) -> Held {
    Held { value: entry.string().to_vec(), deadline: entry.deadline() }
}

impl Pair {
    fn new(seed: u64, names: u32) -> Pair {
        let keys = Keyspace::new(DATABASES, seed, START_MS);
        Pair { keys, model: Model::new(), rng: fastrand::Rng::with_seed(seed), names }
    }

    fn db(&mut self) -> usize {
        self.rng.usize(..DATABASES)
    }

    fn key(&mut self) -> Vec<u8> {
        match self.rng.u32(..20) {
            0 => Vec::new(),
            1 => vec![b'k'; 300],
            2 => b"other".to_vec(),
            _ => format!("key:{}", self.rng.u32(..self.names)).into_bytes(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let lengths = [0, 1, 5, 20, 44, 45, 200, 1000, INLINE_MAX, INLINE_MAX + 1, 40_000];
        let frequent = if self.rng.u32(..10) == 0 { lengths.len() } else { 8 };
        vec![self.rng.alphanumeric() as u8; lengths[self.rng.usize(..frequent)]]
    }

    /// A moment around now, mostly later.
    fn moment(&mut self) -> u64 {
        let now_ms = self.model.now_ms;
        match self.rng.u32(..10) {
            0 => now_ms - self.rng.u64(..3),
            1 => now_ms + self.rng.u64(..1_000_000_000),
            2 => i64::MAX as u64,
            _ => now_ms + self.rng.u64(..300),
        }
    }

    /// One operation on both.
    fn step(&mut self) {
        match self.rng.u32(..100) {
            0..25 => self.set(),
            25..29 => self.change(),
            29..32 => self.increase(),
            32..42 => self.delete(),
            42..57 => self.reschedule(),
            57..67 => self.relocate(),
            67..75 => self.copy(),
            75..77 => self.swap(),
            // Rarely where many keys are to gather.
            77 if self.rng.u32(..self.names) < 15 => self.flush(),
            78..86 => self.pass_time(),
            86..88 => self.expire(),
            88..91 => self.scan(),
            91..93 => self.draw(),
            _ => self.look(),
        }
        self.compare_counts();
    }

    fn set(&mut self) {
        let (db, key, value) = (self.db(), self.key(), self.value());
        let expiry = match self.rng.u32(..3) {
            0 => Expiry::Clear,
            1 => Expiry::Keep,
            _ => Expiry::At(self.moment()),
        };
        let given = match self.rng.u32(..3) {
            0 => StringValue::Borrowed(&value),
            1 => StringValue::Owned(value.clone()),
            _ => StringValue::Shared(Rc::new(value.clone())),
        };
        let found = self.model.find(db, &key).is_some();
        let must_exist = [Some(true), Some(false), None, None][self.rng.usize(..4)];
        let at = self.keys.key(&key);
        match must_exist {
            None => self.keys.set_string(db, at, given, expiry, Event::SET),
            Some(exists) => {
                let was_set = self.keys.set_string_if(exists, db, at, Touch::Yes, given, expiry, Event::SET);
                assert_eq!(was_set, found == exists);
                if !was_set {
                    return;
                }
            }
        }
        let deadline = match (expiry, self.model.find(db, &key)) {
            (Expiry::At(deadline), _) => Some(deadline),
            (Expiry::Keep, Some(old)) => old.deadline,
            _ => None,
        };
        self.model.databases[db].insert(key, Held { value, deadline });
        self.model.dirty += 1;
    }

    fn increase(&mut self) {
        let (db, key) = (self.db(), self.key());
        let number = |bytes: &[u8]| crate::types::number::parse_i64(bytes).ok_or(());
        let step = self.rng.i64(-1000..1000);
        let sum = self.keys.update_integer(db, self.keys.key(&key), Event::INCRBY, |entry| {
            entry.map_or(Ok(0), |entry| number(entry.string())).map(|held| held.wrapping_add(step))
        });
        let old = self.model.find(db, &key).cloned();
        let (held, deadline) = old.map_or((Ok(0), None), |old| (number(&old.value), old.deadline));
        assert_eq!(sum, held.map(|held| held.wrapping_add(step)));
        if let Ok(sum) = sum {
            let position = self.keys.find(db, self.keys.key(&key));
            assert_eq!(self.keys.entry_at(db, position).map(EntryRef::encoding), Some(Encoding::Int));
            self.model.databases[db].insert(key, Held { value: sum.to_string().into_bytes(), deadline });
            self.model.dirty += 1;
        }
    }

    fn change(&mut self) {
        let (db, key, value) = (self.db(), self.key(), self.value());
        let at = self.keys.key(&key);
        let resize = |_: Option<EntryRef<'_>>| Ok::<_, Infallible>(value.len());
        let write = |bytes: &mut [u8]| {
            bytes.copy_from_slice(&value);
            true
        };
        assert!(self.keys.change_string(db, at, Touch::Yes, Event::SETRANGE, resize, write).is_ok());
        let deadline = self.model.find(db, &key).and_then(|old| old.deadline);
        self.model.databases[db].insert(key, Held { value, deadline });
        self.model.dirty += 1;
    }

    fn delete(&mut self) {
        let (db, key) = (self.db(), self.key());
        let deleted = self.keys.delete(db, self.keys.key(&key), Event::DEL);
        assert_eq!(deleted, self.model.find(db, &key).is_some());
        self.model.databases[db].remove(&key);
        self.model.dirty += deleted as u64;
    }

    fn reschedule(&mut self) {
        let (db, key) = (self.db(), self.key());
        let decision = match self.rng.u32(..10) {
            0 => Schedule::Leave,
            1 => Schedule::Past,
            2..4 => Schedule::Never,
            _ => Schedule::At(self.moment()),
        };
        let mut seen = None;
        let changed = self.keys.reschedule(db, self.keys.key(&key), Touch::Yes, |deadline| {
            seen = Some(deadline);
            decision
        });
        let old = self.model.find(db, &key);
        assert_eq!(seen, old.as_ref().map(|old| old.deadline));
        assert_eq!(changed, old.is_some() && decision != Schedule::Leave);
        self.model.dirty += changed as u64;
        match (self.model.find(db, &key), decision) {
            (Some(old), Schedule::At(deadline)) => old.deadline = Some(deadline),
            (Some(old), Schedule::Never) => old.deadline = None,
            (Some(_), Schedule::Past) => drop(self.model.databases[db].remove(&key)),
            _ => {}
        }
    }

    fn relocate(&mut self) {
        let (from, key, to, new) = (self.db(), self.key(), self.db(), self.key());
        let replace = self.rng.bool();
        let events = (Event::RENAME_FROM, Event::RENAME_TO);
        let (here, there) = ((from, self.keys.key(&key)), (to, self.keys.key(&new)));
        let placed = self.keys.relocate(here, there, replace, Touch::Yes, events);
        let Some(moved) = self.model.find(from, &key).cloned() else { return assert_eq!(placed, Placed::Missing) };
        let to_itself = from == to && key == new;
        if !replace && (to_itself || self.model.find(to, &new).is_some()) {
            return assert_eq!(placed, Placed::Occupied);
        }
        assert_eq!(placed, Placed::Done);
        if !to_itself {
            self.model.databases[from].remove(&key);
            self.model.find(to, &new);
            self.model.databases[to].insert(new, moved);
            self.model.dirty += 1;
        }
    }

    fn copy(&mut self) {
        let (from, key, to, new) = (self.db(), self.key(), self.db(), self.key());
        if from == to && key == new {
            return;
        }
        let replace = self.rng.bool();
        let (here, there) = ((from, self.keys.key(&key)), (to, self.keys.key(&new)));
        let placed = self.keys.copy(here, there, replace, Touch::Yes);
        let Some(copied) = self.model.read(from, &key) else { return assert_eq!(placed, Placed::Missing) };
        if self.model.find(to, &new).is_some() && !replace {
            return assert_eq!(placed, Placed::Occupied);
        }
        assert_eq!(placed, Placed::Done);
        self.model.databases[to].insert(new, copied);
        self.model.dirty += 1;
    }

    fn swap(&mut self) {
        let (a, b) = (self.db(), self.db());
        self.keys.swap(a, b);
        self.model.databases.swap(a, b);
        self.model.dirty += 1;
    }

    fn flush(&mut self) {
        let db = self.db();
        let flushed = self.model.databases[db].drain().count();
        assert_eq!(self.keys.flush(db), flushed);
        self.model.dirty += flushed as u64;
    }

    fn pass_time(&mut self) {
        self.model.now_ms = match self.rng.u32(..20) {
            0 => self.model.now_ms - self.rng.u64(..20),
            1 => self.model.now_ms + self.rng.u64(..10_000_000),
            _ => self.model.now_ms + self.rng.u64(..50),
        };
        self.keys.set_now(self.model.now_ms);
    }

    fn expire(&mut self) {
        let budget = self.rng.usize(1..5);
        while self.keys.expire_slice(budget) {}
        (0..DATABASES).for_each(|db| self.model.expire(db, |_| true));
        let due = self.model.databases.iter().flat_map(HashMap::values).filter_map(|held| held.deadline).min();
        match (self.keys.next_deadline(), due) {
            (Some(at), Some(due)) => assert!(at > self.model.now_ms && at <= due + 1),
            // A deadline that has gone is noticed when its time comes.
            (Some(at), None) => assert!(at > self.model.now_ms),
            (None, due) => assert_eq!(due, None),
        }
    }

    fn scan(&mut self) {
        let (db, count) = (self.db(), self.rng.usize(1..20));
        let prefix: &[u8] = if self.rng.bool() { b"key:1" } else { b"" };
        let wanted = |key: &[u8]| key.starts_with(prefix);
        let mut found = HashMap::new();
        let mut cursor = 0;
        loop {
            cursor = self.keys.scan(db, cursor, count, wanted, |entry| {
                found.insert(entry.key().to_vec(), held(entry));
            });
            if cursor == 0 {
                break;
            }
        }
        self.model.expire(db, wanted);
        let mut live = self.model.live(db);
        live.retain(|key, _| wanted(key));
        assert_eq!(found, live);
    }

    fn draw(&mut self) {
        let db = self.db();
        let live = self.model.live(db);
        match self.keys.random_key(db).expect("nothing was invalidated") {
            Some(key) => assert!(live.contains_key(&key)),
            None => assert!(live.is_empty()),
        }
        // Which expired keys were drawn on the way is chance.
        let keys = &self.keys;
        let there = |key: &[u8]| keys.database(db).is_some_and(|database| database.find(keys.hash(key), key).is_some());
        self.model.expire(db, |key| !there(key));
    }

    fn look(&mut self) {
        let (db, key) = (self.db(), self.key());
        let seen = self.keys.view(db, self.keys.key(&key)).map(held);
        assert_eq!(seen, self.model.databases[db].get(&key).filter(|held| !self.model.is_past(held)).cloned());
        let seen = match self.rng.bool() {
            true => self.keys.peek(db, self.keys.key(&key)).map(held),
            false => {
                self.model.read(db, &key);
                self.keys.read(db, self.keys.key(&key), Touch::Yes).map(held)
            }
        };
        assert_eq!(seen, self.model.find(db, &key).cloned());
    }

    fn compare_counts(&self) {
        let (keys, model) = (&self.keys, &self.model);
        assert_eq!(keys.effects.dirty, model.dirty);
        let KeyspaceStats { hits, misses, expired, .. } = keys.stats;
        assert_eq!((hits, misses, expired), (model.hits, model.misses, model.expired));
        for (db, expected) in model.databases.iter().enumerate() {
            let expiring = expected.values().filter(|held| held.deadline.is_some()).count();
            let found = keys.database(db).map_or((0, 0), |database| (database.len(), database.expires()));
            assert_eq!(found, (expected.len(), expiring));
        }
    }

    fn compare_all(&self) {
        for db in 0..DATABASES {
            let mut found = HashMap::new();
            self.keys.each(db, |entry| {
                assert_eq!(found.insert(entry.key().to_vec(), held(entry)), None);
            });
            assert_eq!(found, self.model.live(db));
        }
    }
}

#[test]
fn any_mix_of_operations_does_what_a_map_does() {
    // A few keys are often in each other's way; thousands make the tables grow and shrink.
    for (seed, names) in (0..20).zip([15, 5000].into_iter().cycle()) {
        let mut pair = Pair::new(seed, names);
        for n in 0..12_000 {
            pair.step();
            if n % 50 == 0 {
                pair.compare_all();
            }
        }
    }
}

#[test]
fn memory_returns_to_where_it_started() {
    let mut pair = Pair::new(1, 100);
    let left: [isize; 3] = std::array::from_fn(|_| {
        (0..5000).for_each(|_| pair.step());
        for db in 0..DATABASES {
            for n in 0..FREE_AT_ONCE + 100 {
                let key = format!("{n}");
                let key = pair.keys.key(key.as_bytes());
                pair.keys.set_string(db, key, StringValue::Borrowed(b"v"), Expiry::At(n as u64), Event::SET);
            }
            pair.keys.flush(db);
        }
        while pair.keys.free_slice() {}
        assert_eq!(pair.keys.pending_free(), 0);
        pair.model = Model { now_ms: pair.model.now_ms, ..Model::new() };
        pair.keys.effects.dirty = 0;
        pair.keys.stats = KeyspaceStats::default();
        in_use()
    });
    // The first round makes what the keyspace keeps for good.
    assert_eq!(left[1], left[2]);
}

#[test]
fn refreshing_times_to_live_takes_no_memory() {
    const KEYS: usize = 1000;
    let mut keys = Keyspace::new(1, 1, START_MS);
    let mut rng = fastrand::Rng::with_seed(1);
    let names: Vec<String> = (0..KEYS).map(|n| format!("session:{n}")).collect();
    for name in &names {
        keys.set_string(0, keys.key(name.as_bytes()), StringValue::Borrowed(b"v"), Expiry::At(u64::MAX), Event::SET);
    }
    let at_first = in_use();
    let mut most = 0;
    for n in 0..1_000_000 {
        if n % 10 == 0 {
            keys.set_now(keys.now_ms() + 1);
            while keys.expire_slice(100) {}
        }
        let key = keys.key(names[rng.usize(..KEYS)].as_bytes());
        let deadline = keys.now_ms() + 1_800_000;
        assert!(keys.reschedule(0, key, Touch::Yes, |_| Schedule::At(deadline)));
        most = most.max(in_use());
    }
    assert_eq!(keys.database(0).map(Namespace::expires), Some(KEYS));
    // A cell for each key, and a chunk that is partly full for each slot of the wheel in use.
    assert!(most - at_first < 16 * 1024, "{} bytes more", most - at_first);
}

#[test]
fn refreshing_times_to_live_of_fields_takes_no_memory() {
    const FIELDS: usize = 1000;
    let mut keys = Keyspace::new(1, 1, START_MS);
    let mut rng = fastrand::Rng::with_seed(1);
    let names: Vec<String> = (0..FIELDS).map(|n| format!("field:{n}")).collect();
    let key = Key { bytes: b"key", hash: keys.hash(b"key") };
    let mut fields = FieldTable::new(keys.hasher().clone());
    for name in &names {
        fields.set_expiring(name.as_bytes(), StringValue::Borrowed(b"v"), Expiry::At(START_MS + 1000));
    }
    let value = NewValue::Boxed(Box::new(Object::Hash(fields)));
    keys.store(0, key, Type::Hash, Encoding::Hashtable, value, Event("hset"));
    let at_first = in_use();
    let mut most = 0;
    for n in 0..1_000_000 {
        if n % 10 == 0 {
            keys.set_now(keys.now_ms() + 1);
            while keys.expire_slice(100) {}
        }
        let name = names[rng.usize(..FIELDS)].as_bytes();
        let deadline = keys.now_ms() + 1_800_000;
        let at = |_| Schedule::At(deadline);
        assert_eq!(keys.reschedule_fields(0, key, std::iter::once(name), at, |_| {}), Ok(true));
        most = most.max(in_use());
    }
    // Some fields expire in the first second. The set of deadlines may be less dense than at first.
    assert!(most - at_first < 16 * 1024, "{} bytes more", most - at_first);
    assert!(keys.delete(0, key, Event::DEL));
    assert_eq!(keys.database(0).map(Namespace::fields_expire), Some(0));
}

#[test]
fn a_flushed_database_is_freed_in_slices() {
    let mut keys = Keyspace::new(2, 1, START_MS);
    for (db, count) in [(0, FREE_AT_ONCE), (1, 10 * FREE_AT_ONCE)] {
        for n in 0..count {
            let key = format!("{n}");
            let key = keys.key(key.as_bytes());
            keys.set_string(db, key, StringValue::Borrowed(b"v"), Expiry::At(START_MS + n as u64), Event::SET);
        }
    }
    assert_eq!(keys.flush(0), FREE_AT_ONCE);
    assert_eq!((keys.pending_free(), keys.stats.lazily_freed), (0, FREE_AT_ONCE as u64));
    assert_eq!(keys.flush(0), 0);
    assert_eq!(keys.flush(1), 10 * FREE_AT_ONCE);
    assert_eq!(keys.pending_free(), 10 * FREE_AT_ONCE);
    assert!(keys.peek(1, keys.key(b"1")).is_none());
    assert_eq!(keys.next_deadline(), None);
    let mut slices = 0;
    while keys.free_slice() {
        slices += 1;
    }
    assert!(slices > 1);
    assert_eq!((keys.pending_free(), keys.stats.lazily_freed), (0, 11 * FREE_AT_ONCE as u64));
}

#[test]
fn a_large_value_is_freed_in_slices_however_it_ends() {
    type End = fn(&mut Keyspace, Key<'_>);
    fn expire(keys: &mut Keyspace, key: Key<'_>) {
        keys.reschedule(0, key, Touch::No, |_| Schedule::At(START_MS + 1));
        keys.set_now(START_MS + 2);
    }
    let ends: [(&str, End); 7] = [
        ("deleted", |keys, key| assert!(keys.delete(0, key, Event::DEL))),
        ("overwritten", |keys, key| keys.set_string(0, key, StringValue::Borrowed(b"v"), Expiry::Clear, Event::SET)),
        ("expired by a command", |keys, key| assert!(keys.reschedule(0, key, Touch::No, |_| Schedule::Past))),
        ("flushed", |keys, _| assert_eq!(keys.flush(0), 1)),
        ("expired when seen", |keys, key| {
            expire(keys, key);
            assert!(keys.peek(0, key).is_none());
        }),
        ("expired in time", |keys, key| {
            expire(keys, key);
            while keys.expire_slice(100) {}
        }),
        ("in the place of another", |keys, key| {
            let other = keys.key(b"other");
            keys.set_string(0, other, StringValue::Borrowed(b"v"), Expiry::Clear, Event::SET);
            keys.relocate((0, other), (0, key), true, Touch::No, (Event::RENAME_FROM, Event::RENAME_TO));
        }),
    ];
    for (how, end) in ends {
        let mut keys = Keyspace::new(1, 1, START_MS);
        let key = keys.key(b"key");
        let mut members = Members::new(keys.hasher().clone());
        (0..10 * FREE_AT_ONCE).for_each(|n| assert!(members.insert(n.to_string().as_bytes())));
        let value = NewValue::Boxed(Box::new(Object::Set(members)));
        keys.store(0, key, Type::Set, Encoding::Hashtable, value, Event("sadd"));
        end(&mut keys, key);
        assert_eq!(keys.pending_free(), 1, "{how}");
        let slices = std::iter::repeat_with(|| keys.free_slice()).take_while(|more| *more).count();
        assert!(slices > 1, "{how}");
        assert_eq!(keys.pending_free(), 0, "{how}");
    }
}

#[test]
fn a_key_lives_through_the_millisecond_of_its_deadline() {
    for look_first in [true, false] {
        let mut keys = Keyspace::new(1, 1, START_MS);
        keys.set_string(0, keys.key(b"k"), StringValue::Borrowed(b"v"), Expiry::At(START_MS + 5), Event::SET);
        keys.set_now(START_MS + 5);
        assert!(!keys.expire_slice(100));
        assert!(keys.peek(0, keys.key(b"k")).is_some());
        assert_eq!(keys.next_deadline(), Some(START_MS + 6));
        keys.set_now(START_MS + 6);
        if look_first {
            assert!(keys.peek(0, keys.key(b"k")).is_none());
        } else {
            assert!(!keys.expire_slice(100));
        }
        assert_eq!((keys.database(0).map(Namespace::len), keys.stats.expired), (Some(0), 1));
    }
}

#[test]
fn of_many_databases_those_with_something_due_are_looked_at() {
    const DATABASES: usize = 500;
    let mut keys = Keyspace::new(DATABASES, 4, START_MS);
    let put = |keys: &mut Keyspace, db: usize, name: &[u8], expiry: Expiry| {
        keys.set_string(db, keys.key(name), StringValue::Borrowed(b"v"), expiry, Event::SET);
    };
    for db in 0..DATABASES {
        put(&mut keys, db, b"soon", Expiry::At(START_MS + 1000 + db as u64));
        put(&mut keys, db, b"late", Expiry::At(START_MS + 1_000_000));
        put(&mut keys, db, b"never", Expiry::Clear);
    }
    let len = |keys: &Keyspace| keys.databases.iter().flatten().map(|database| database.len()).sum::<usize>();
    // Deadlines that go, come and move, databases that change places, and one that is emptied.
    put(&mut keys, 0, b"soon", Expiry::Clear);
    put(&mut keys, 1, b"never", Expiry::At(START_MS + 500));
    keys.swap(1, 2);
    keys.flush(3);
    put(&mut keys, 3, b"soon", Expiry::At(START_MS + 600));
    let before = len(&keys);
    let mut run = |now_ms: u64| {
        keys.set_now(now_ms);
        let mut turns = 0;
        while keys.next_deadline().is_some_and(|at| at <= now_ms) {
            turns += 1;
            keys.expire_slice(40);
            assert!(turns < 3 * DATABASES, "it comes to an end");
        }
        (before - len(&keys), turns)
    };
    assert_eq!(run(START_MS + 500), (0, 0));
    assert_eq!(run(START_MS + 501).0, 1);
    assert_eq!(run(START_MS + 601).0, 2);
    let (gone, turns) = run(START_MS + 1000 + DATABASES as u64);
    // All but those of the first, which never goes, and the fourth, which went.
    assert_eq!(gone, DATABASES);
    assert!(turns > 10, "many databases share one budget");
    assert_eq!(run(START_MS + 1_000_001).0, 2 * DATABASES - 1);
    assert_eq!(keys.next_deadline(), None);
}

#[test]
fn nothing_expires_while_it_may_not() {
    let mut keys = Keyspace::new(1, 1, START_MS);
    keys.set_string(0, keys.key(b"k"), StringValue::Borrowed(b"v"), Expiry::At(START_MS), Event::SET);
    keys.set_now(START_MS + 1);
    keys.hide_overdue(true);
    assert!(keys.peek(0, keys.key(b"k")).is_none());
    assert!(keys.read(0, keys.key(b"k"), Touch::Yes).is_none());
    assert_eq!(keys.scan(0, 0, 10, |_| true, |_| panic!("it has expired")), 0);
    assert_eq!(keys.random_key(0), Ok(Some(b"k".to_vec())), "there is no other");
    assert!(!keys.expire_slice(100));
    assert_eq!(keys.next_deadline(), None);
    assert_eq!((keys.database(0).map(Namespace::len), keys.stats.expired), (Some(1), 0));
    keys.hide_overdue(false);
    assert_eq!(keys.random_key(0), Ok(None));
    assert_eq!(keys.stats.expired, 1);
}

#[test]
fn uses_and_new_names_move_the_access_clock() {
    const IDLE: u64 = 100;
    type Use = fn(&mut Keyspace, Touch);
    fn there<'a>(keys: &Keyspace) -> (usize, Key<'a>) {
        (1, keys.key(b"new"))
    }
    let uses: &[(Use, bool)] = &[
        (|keys, touch| assert!(keys.read(0, keys.key(b"k"), touch).is_some()), false),
        (|keys, touch| assert!(keys.reschedule(0, keys.key(b"k"), touch, |_| Schedule::At(u64::MAX))), false),
        (|keys, touch| assert!(!keys.reschedule(0, keys.key(b"k"), touch, |_| Schedule::Leave)), false),
        (|keys, touch| assert_eq!(keys.copy((0, keys.key(b"k")), there(keys), false, touch), Placed::Done), true),
        (
            |keys, touch| {
                let events = (Event::MOVE_FROM, Event::MOVE_TO);
                assert_eq!(keys.relocate((0, keys.key(b"k")), there(keys), false, touch, events), Placed::Done);
            },
            true,
        ),
    ];
    for (use_it, makes_new) in uses {
        for touch in [Touch::Yes, Touch::No] {
            let mut keys = Keyspace::new(2, 1, START_MS);
            keys.set_string(0, keys.key(b"k"), StringValue::Borrowed(b"v"), Expiry::Clear, Event::SET);
            keys.set_now(START_MS + IDLE * 1000);
            use_it(&mut keys, touch);
            let idle = |keys: &Keyspace, db, key: &[u8]| {
                let entry = keys.view(db, keys.key(key))?;
                Some(keys.access.idle_seconds(entry.access(), keys.now_ms()))
            };
            let expected = if touch == Touch::Yes { 0 } else { IDLE };
            assert!(idle(&keys, 0, b"k").is_none_or(|idle| idle == expected));
            assert_eq!(idle(&keys, 1, b"new"), makes_new.then_some(0));
        }
    }
}
