//! Tags against a plain model: for each database a map from keys to values with deadlines and sets of tags, and a set of links.
//!
//! Random mixes of everything that changes keys run on both, with invalidations large and small, for which the number of
//! members that go on the spot is lowered, sweeps in small steps, snapshots and slow iterations under way. What can be seen
//! must be what the model holds at every moment, however much of a sweep is still to be done; and what the lists of members
//! and the entries say of each other must agree.
//!
//! CACHESTORM_TEST_STEPS sets the number of steps of the long run, which is ignored by default, and CACHESTORM_TEST_SEED its
//! first seed.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::{cell::RefCell, mem};

use crate::config::{EvictionPolicy, KeyspaceEvents, Settings};
use crate::effects::journal::Sink;
use crate::effects::{Event, News};
use crate::keyspace::entry::{Encoding, EntryRef, NewValue, Object, Type};
use crate::keyspace::hashmap::{self, HashView, Limits, Room};
use crate::keyspace::snapshot::{Head, Recorder};
use crate::keyspace::tags::record::{NO_NODE, State};
use crate::keyspace::tests::in_use;
use crate::keyspace::value::Changed;
use crate::keyspace::*;
use crate::types::listpack;
use crate::types::member::Members;
use crate::types::telling::Piece;

const DATABASES: usize = 3;
const START_MS: u64 = 1_700_000_000_000;
const TAGS: [&[u8]; 9] = [b"a", b"b", b"c", b"d", b"e", b"news", b"1234", b"a tag with a longer name", b"\0\r\n"];

type Name = Vec<u8>;

/// What a key holds.
#[derive(Clone, PartialEq, Debug)]
struct Held {
    value: Vec<u8>,
    kind: u8,
    deadline: Option<u64>,
    tags: BTreeSet<Name>,
}

#[derive(Clone, Default)]
struct Database {
    keys: BTreeMap<Name, Held>,
    links: BTreeSet<(Name, Name)>,
    /// An invalidation that is to happen when its tags have been found: its claim, the tags, whether those below are meant.
    plan: Option<(u64, BTreeSet<Name>, bool)>,
}

/// What a value is, in a form that can be compared.
fn told(entry: EntryRef<'_>) -> (u8, Vec<u8>) {
    let value = match entry.kind() {
        Type::String => entry.string().to_vec(),
        Type::Set => {
            let mut members: Vec<Vec<u8>> = Vec::new();
            entry
                .set()
                .expect("a set")
                .iter()
                .for_each(|member| member.with_bytes(|bytes| members.push(bytes.to_vec())));
            members.sort_unstable();
            members.concat()
        }
        _ => HashView::of(entry).expect("a hash").len().to_string().into_bytes(),
    };
    (entry.kind() as u8, value)
}

/// The keys of a snapshot, with their databases.
type Told = BTreeMap<(usize, Name), Held>;

/// What a snapshot was told.
#[derive(Default)]
struct Taken {
    keys: Told,
    links: BTreeSet<(usize, Name, Name)>,
    tags: BTreeSet<Name>,
    /// The large key that is being told, and its members or fields so far.
    large: Option<(usize, Name, Held)>,
    members: Vec<Name>,
}

struct Witness(Rc<RefCell<Taken>>);

impl Recorder for Witness {
    fn record_tags(&mut self, tags: &mut dyn Iterator<Item = &[u8]>) {
        self.0.borrow_mut().tags = tags.map(<[u8]>::to_vec).collect();
    }

    fn record_link(&mut self, db: usize, parent: &[u8], child: &[u8]) {
        assert!(self.0.borrow_mut().links.insert((db, parent.to_vec(), child.to_vec())));
    }

    fn record(&mut self, db: usize, entry: EntryRef<'_>) {
        let taken = &mut *self.0.borrow_mut();
        let (kind, value) = told(entry);
        let held = Held { value, kind, deadline: entry.deadline(), tags: mem::take(&mut taken.tags) };
        assert!(taken.keys.insert((db, entry.key().to_vec()), held).is_none(), "a key is told once");
    }

    fn record_large(&mut self, head: &Head) {
        let taken = &mut *self.0.borrow_mut();
        let tags = head.tags.iter().map(|tag| tag.to_vec()).collect();
        let held = Held { value: Vec::new(), kind: head.kind as u8, deadline: head.deadline, tags };
        assert!(taken.large.replace((head.db, head.key.to_vec(), held)).is_none(), "one large key at a time");
    }

    fn record_piece(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Member(name) | Piece::Field { name, .. } => self.0.borrow_mut().members.push(name.to_vec()),
            _ => unreachable!("nothing else is large here"),
        }
    }

    fn record_large_end(&mut self) {
        let taken = &mut *self.0.borrow_mut();
        let (db, key, held) = taken.large.take().expect("it has begun");
        let mut members = mem::take(&mut taken.members);
        members.sort_unstable();
        let hash = held.kind == Type::Hash as u8;
        let value = if hash { members.len().to_string().into_bytes() } else { members.concat() };
        assert!(taken.keys.insert((db, key), Held { value, ..held }).is_none(), "a key is told once");
    }

    fn record_end(&mut self) {}

    fn recorded(&self) -> usize {
        0
    }

    fn take_recorded(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn reuse(&mut self, _: Vec<u8>) {}
}

/// A snapshot under way: what it should be, and what it has been told.
struct Snapshot {
    expected: Told,
    /// Keys that had expired when it began, and may be told or not.
    expired: BTreeSet<(usize, Name)>,
    links: BTreeSet<(usize, Name, Name)>,
    taken: Rc<RefCell<Taken>>,
}

/// Both, and the source of chance.
struct Pair {
    keys: Keyspace,
    databases: Vec<Database>,
    rng: fastrand::Rng,
    names: u32,
    now_ms: u64,
    snapshot: Option<Snapshot>,
    /// Invalidations whose counts are still to come.
    claims: BTreeMap<u64, usize>,
    /// Events of invalidated keys that are still to come.
    invalidated: usize,
    /// How often an invalidation had to look for its tags in slices, and how often links had to wait for one.
    planned: usize,
    linked_later: usize,
}

impl Pair {
    fn new(seed: u64, names: u32, at_once: usize) -> Pair {
        let mut keys = Keyspace::new(DATABASES, seed, START_MS);
        keys.invalidate_at_once = at_once;
        keys.tags_at_once = [0, 1, 3, usize::MAX][seed as usize / 4 % 4];
        keys.effects.follow(&Settings {
            notify_keyspace_events: KeyspaceEvents::KEYEVENT | KeyspaceEvents::INVALIDATED,
            ..Settings::default()
        });
        Pair {
            keys,
            databases: vec![Database::default(); DATABASES],
            rng: fastrand::Rng::with_seed(seed),
            names,
            now_ms: START_MS,
            snapshot: None,
            claims: BTreeMap::new(),
            invalidated: 0,
            planned: 0,
            linked_later: 0,
        }
    }

    fn db(&mut self) -> usize {
        // Mostly one, so that tags get many members.
        self.rng.usize(..2 * DATABASES).saturating_sub(DATABASES)
    }

    fn key(&mut self) -> Name {
        match self.rng.u32(..30) {
            0 => vec![b'k'; 300],
            _ => format!("key:{}", self.rng.u32(..self.names)).into_bytes(),
        }
    }

    fn tag(&mut self) -> Name {
        TAGS[self.rng.usize(..TAGS.len())].to_vec()
    }

    fn some_tags(&mut self) -> Vec<Name> {
        let count = [1, 1, 1, 2, 2, 3, 8][self.rng.usize(..7)];
        (0..count).map(|_| self.tag()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn value(&mut self) -> Vec<u8> {
        let lengths = [0, 1, 5, 20, 44, 45, 200, 1000, 20_000];
        let frequent = if self.rng.u32(..10) == 0 { lengths.len() } else { 7 };
        vec![self.rng.alphanumeric() as u8; lengths[self.rng.usize(..frequent)]]
    }

    fn moment(&mut self) -> u64 {
        match self.rng.u32(..8) {
            0 => self.now_ms - self.rng.u64(..3),
            1 => self.now_ms + 1_000_000_000,
            _ => self.now_ms + self.rng.u64(..600),
        }
    }

    fn is_past(&self, held: &Held) -> bool {
        held.deadline.is_some_and(|deadline| deadline < self.now_ms)
    }

    /// A key that can be seen. What has expired goes from the model: whether the keyspace still has it cannot be told.
    fn find(&mut self, db: usize, key: &[u8]) -> Option<&mut Held> {
        self.follow_plans();
        if self.databases[db].keys.get(key).is_some_and(|held| self.is_past(held)) {
            self.databases[db].keys.remove(key);
        }
        self.databases[db].keys.get_mut(key)
    }

    fn live(&self, db: usize) -> impl Iterator<Item = (&Name, &Held)> {
        self.databases[db].keys.iter().filter(|(_, held)| !self.is_past(held))
    }

    fn tagged(&self, db: usize, tag: &[u8]) -> BTreeSet<Name> {
        self.live(db).filter(|(_, held)| held.tags.contains(tag)).map(|(key, _)| key.clone()).collect()
    }

    /// One operation on both.
    fn step(&mut self) {
        match self.rng.u32(..100) {
            0..8 => self.set(),
            8..30 => self.set_tagged(),
            30..35 => self.change(),
            35..40 => self.set_fields(),
            40..42 => self.store(),
            42..46 => self.delete(),
            46..52 => self.reschedule(),
            52..58 => self.relocate(),
            58..63 => self.copy(),
            63 => self.swap(),
            64 if self.rng.u32(..self.names) < 10 => self.flush(),
            65..69 => self.pass_time(),
            69 => drop(self.keys.expire_slice(self.rng.usize(1..40))),
            70 => self.evict(),
            71..75 => self.invalidate(),
            75..80 => drop(self.keys.sweep_slice()),
            80 if self.rng.u32(..4) == 0 => self.keys.sweep_now(),
            81..86 => self.add_tags(),
            86..89 => self.remove_tags(),
            89..91 => self.link(),
            91..94 => self.record(),
            94 => drop(self.keys.free_slice()),
            95..97 => self.draw(),
            _ => self.look(),
        }
        self.listen();
    }

    fn set(&mut self) {
        let (db, key, value) = (self.db(), self.key(), self.value());
        let (expiry, deadline) = self.expiry(db, &key);
        let given = StringValue::Borrowed(&value);
        self.keys.set_string(db, self.keys.key(&key), given, expiry, Event::SET);
        self.databases[db].keys.insert(key, Held { value, kind: 0, deadline, tags: BTreeSet::new() });
    }

    fn expiry(&mut self, db: usize, key: &[u8]) -> (Expiry, Option<u64>) {
        match self.rng.u32(..4) {
            0 => (Expiry::Keep, self.find(db, key).and_then(|held| held.deadline)),
            1 => {
                let moment = self.moment();
                (Expiry::At(moment), Some(moment))
            }
            _ => (Expiry::Clear, None),
        }
    }

    fn set_tagged(&mut self) {
        let (db, key, value, mut tags) = (self.db(), self.key(), self.value(), self.some_tags());
        let exists = [None, None, Some(true), Some(false)][self.rng.usize(..4)];
        let (expiry, deadline) = self.expiry(db, &key);
        // Often the very tags that it has, as when a cache is filled again.
        if let (true, Some(held)) = (self.rng.bool(), self.find(db, &key))
            && !held.tags.is_empty()
        {
            tags = held.tags.iter().rev().cloned().collect();
        }
        let names: Vec<&[u8]> = tags.iter().map(|tag| &**tag).collect();
        let (found, given) = (self.find(db, &key).is_some(), StringValue::Borrowed(&value));
        let set = self.keys.set_tagged(exists, db, self.keys.key(&key), Touch::Yes, given, expiry, &names);
        assert_eq!(set, exists.is_none_or(|exists| exists == found));
        if set {
            let tags = tags.into_iter().collect();
            self.databases[db].keys.insert(key, Held { value, kind: 0, deadline, tags });
        }
    }

    /// A string is changed in place, whatever becomes of its length, and keeps its tags.
    fn change(&mut self) {
        let (db, key, value) = (self.db(), self.key(), self.value());
        let at = self.keys.key(&key);
        let resize = |entry: Option<EntryRef<'_>>| match entry {
            Some(entry) if entry.kind() != Type::String => Err(()),
            _ => Ok(value.len()),
        };
        let write = |bytes: &mut [u8]| {
            bytes.copy_from_slice(&value);
            true
        };
        let changed = self.keys.change_string(db, at, Touch::Yes, Event::SETRANGE, resize, write);
        if let Some(held) = self.find(db, &key) {
            assert_eq!(changed.is_ok(), held.kind == 0);
            if changed.is_ok() {
                held.value = value;
            }
        } else {
            self.databases[db].keys.insert(key, Held { value, kind: 0, deadline: None, tags: BTreeSet::new() });
        }
    }

    /// A hash gets fields, and some of them deadlines: it moves in memory by all the ways there are.
    fn set_fields(&mut self) {
        let (db, key) = (self.db(), self.key());
        let (at, hasher) = (self.keys.key(&key), self.keys.hasher().clone());
        let fresh = (Type::Hash, Encoding::Listpack, listpack::EMPTY);
        let limits = Limits { entries: 5, bytes: 10 };
        let (first, count) = (self.rng.u32(..20), self.rng.u32(1..4));
        let names: Vec<String> = (first..first + count).map(|n| format!("field:{n}")).collect();
        let set = self.keys.change_or_create(db, at, fresh, Event("hset"), |hash| {
            let pairs = names.iter().map(|name| (name.as_bytes(), StringValue::Borrowed(b"value")));
            let room = [Room::Compact, Room::Few, Room::Table][(hashmap::view(hash).len() / 4).min(2)];
            hashmap::set(hash, pairs, Expiry::Keep, room, limits, &hasher);
            Changed { result: hashmap::view(hash).len(), changes: 1, empty: false }
        });
        match (self.find(db, &key), set) {
            (Some(held), Ok(len)) => {
                assert_eq!(held.kind, Type::Hash as u8);
                held.value = len.to_string().into_bytes();
            }
            (Some(held), Err(WrongType)) => assert_ne!(held.kind, Type::Hash as u8),
            (None, len) => {
                let value = len.expect("a new hash").to_string().into_bytes();
                let kind = Type::Hash as u8;
                self.databases[db]
                    .keys
                    .insert(key.clone(), Held { value, kind, deadline: None, tags: BTreeSet::new() });
            }
        }
        if self.rng.bool() {
            let far = |_| Schedule::At(u64::MAX / 2);
            let at = self.keys.key(&key);
            let _ = self.keys.reschedule_fields(db, at, names.iter().map(|name| name.as_bytes()), far, |_| {});
        }
    }

    /// A set is stored as a whole, large or small.
    fn store(&mut self) {
        let (db, key, count) = (self.db(), self.key(), [1, 100, 400][self.rng.usize(..3)]);
        let mut members = Members::new(self.keys.hasher().clone());
        let mut names: Vec<Vec<u8>> = (0..count).map(|n: u32| n.to_string().into_bytes()).collect();
        names.iter().for_each(|name| assert!(members.insert(name)));
        names.sort_unstable();
        let value = NewValue::Boxed(Box::new(Object::Set(members)));
        self.keys.store(db, self.keys.key(&key), Type::Set, Encoding::Hashtable, value, Event("sunionstore"));
        let held = Held { value: names.concat(), kind: Type::Set as u8, deadline: None, tags: BTreeSet::new() };
        self.databases[db].keys.insert(key, held);
    }

    fn delete(&mut self) {
        let (db, key) = (self.db(), self.key());
        let deleted = self.keys.delete(db, self.keys.key(&key), Event::DEL);
        assert_eq!(deleted, self.find(db, &key).is_some());
        self.databases[db].keys.remove(&key);
    }

    fn reschedule(&mut self) {
        let (db, key) = (self.db(), self.key());
        let schedule = if self.rng.bool() { Schedule::Never } else { Schedule::At(self.moment()) };
        let changed = self.keys.reschedule(db, self.keys.key(&key), Touch::Yes, |_| schedule);
        assert_eq!(changed, self.find(db, &key).is_some());
        if let Some(held) = self.find(db, &key) {
            held.deadline = if let Schedule::At(deadline) = schedule { Some(deadline) } else { None };
        }
    }

    fn relocate(&mut self) {
        let (from, key, to, new, replace) = (self.db(), self.key(), self.db(), self.key(), self.rng.bool());
        let (here, there) = ((from, self.keys.key(&key)), (to, self.keys.key(&new)));
        let events = (Event::RENAME_FROM, Event::RENAME_TO);
        let placed = self.keys.relocate(here, there, replace, Touch::Yes, events);
        let Some(moved) = self.find(from, &key).cloned() else { return assert_eq!(placed, Placed::Missing) };
        let to_itself = from == to && key == new;
        if !replace && (to_itself || self.find(to, &new).is_some()) {
            return assert_eq!(placed, Placed::Occupied);
        }
        assert_eq!(placed, Placed::Done);
        if !to_itself {
            self.databases[from].keys.remove(&key);
            self.databases[to].keys.insert(new, moved);
        }
    }

    fn copy(&mut self) {
        let (from, key, to, new, replace) = (self.db(), self.key(), self.db(), self.key(), self.rng.bool());
        if from == to && key == new {
            return;
        }
        let (here, there) = ((from, self.keys.key(&key)), (to, self.keys.key(&new)));
        let placed = self.keys.copy(here, there, replace, Touch::Yes);
        let Some(copied) = self.find(from, &key).cloned() else { return assert_eq!(placed, Placed::Missing) };
        if self.find(to, &new).is_some() && !replace {
            return assert_eq!(placed, Placed::Occupied);
        }
        assert_eq!(placed, Placed::Done);
        self.databases[to].keys.insert(new, copied);
    }

    fn swap(&mut self) {
        let (a, b) = (self.rng.usize(..DATABASES), self.rng.usize(..DATABASES));
        self.keys.swap(a, b);
        self.databases.swap(a, b);
    }

    fn flush(&mut self) {
        let db = self.db();
        let (live, all) = (self.live(db).count(), self.databases[db].keys.len());
        let flushed = self.keys.flush(db);
        // Whether expired keys have been removed cannot be told.
        assert!((live..=all).contains(&flushed), "{live} {flushed} {all}");
        // What was to be invalidated is gone.
        let plan = mem::take(&mut self.databases[db]).plan;
        self.claims.extend(plan.map(|(claim, ..)| (claim, 0)));
        // The dead that were there are told of no more, but for those that had to be counted first.
        self.invalidated = usize::MAX;
    }

    fn pass_time(&mut self) {
        self.now_ms += self.rng.u64(..100);
        self.keys.set_now(self.now_ms);
    }

    fn evict(&mut self) {
        let policy = [EvictionPolicy::AllkeysRandom, EvictionPolicy::VolatileRandom, EvictionPolicy::AllkeysLru];
        self.keys.evict(policy[self.rng.usize(..3)], 5, None);
        let mut gone = 0;
        for db in 0..DATABASES {
            let is_gone = |key: &&Name| self.keys.view(db, self.keys.key(key)).is_none();
            let evicted: Vec<Name> = self.live(db).map(|(key, _)| key).filter(is_gone).cloned().collect();
            for key in evicted {
                self.databases[db].keys.remove(&key);
                gone += 1;
            }
        }
        assert!(gone <= 1);
    }

    fn invalidate(&mut self) {
        let (db, tags, descendants) = (self.db(), self.some_tags(), self.rng.bool());
        let count = [Count::Now, Count::Later, Count::Later, Count::Behind][self.rng.usize(..4)];
        let names: Vec<&[u8]> = tags.iter().map(|tag| &**tag).collect();
        let done = self.keys.invalidate(db, &names, descendants, count);
        // One that was under way happened before.
        self.follow_plans();
        let tags: BTreeSet<Name> = tags.into_iter().collect();
        match done {
            Invalidation::Done(removed) => assert_eq!(removed, self.die(db, tags, descendants)),
            Invalidation::Counting(claim) => {
                assert!(count != Count::Now && !self.keys.is_counted(db));
                let expected = self.die(db, tags, descendants);
                self.claims.insert(claim, expected);
            }
            Invalidation::Planned(claim) => {
                assert!(count == Count::Later && !self.keys.is_settled());
                self.planned += 1;
                assert!(self.databases[db].plan.replace((claim, tags, descendants)).is_none(), "one plan at a time");
            }
            Invalidation::Later => {
                assert!(count == Count::Behind || count == Count::Later && !self.keys.is_settled());
            }
        }
    }

    /// Removes what has one of some tags, or one below them. Returns how many keys that were.
    fn die(&mut self, db: usize, mut dying: BTreeSet<Name>, descendants: bool) -> usize {
        let mut known = 0;
        while descendants && dying.len() > known {
            known = dying.len();
            let links = self.databases[db].links.iter();
            let below: Vec<Name> = links.filter(|(a, _)| dying.contains(a)).map(|link| link.1.clone()).collect();
            dying.extend(below);
        }
        let members: BTreeSet<Name> = dying.iter().flat_map(|tag| self.tagged(db, tag)).collect();
        let has = |held: &Held| held.tags.iter().any(|tag| dying.contains(tag));
        self.databases[db].keys.retain(|_, held| !has(held));
        self.invalidated = self.invalidated.saturating_add(members.len());
        members.len()
    }

    /// Lets those invalidations happen that have just happened in the keyspace. Nothing else has, since they were under way.
    fn follow_plans(&mut self) {
        for db in 0..DATABASES {
            let planning = self.keys.database(db).and_then(Namespace::tags).is_some_and(|tags| tags.is_planning());
            if let Some((claim, tags, descendants)) = self.databases[db].plan.take_if(|_| !planning) {
                let expected = self.die(db, tags, descendants);
                self.claims.insert(claim, expected);
            }
        }
    }

    fn add_tags(&mut self) {
        let (db, key, tags) = (self.db(), self.key(), self.some_tags());
        let names: Vec<&[u8]> = tags.iter().map(|tag| &**tag).collect();
        let tagging = self.keys.add_tags(db, self.keys.key(&key), &names);
        let Some(held) = self.find(db, &key) else { return assert_eq!(tagging, Tagging::NoKey) };
        let before = held.tags.len();
        held.tags.extend(tags);
        assert_eq!(tagging, Tagging::Done(held.tags.len() - before));
    }

    fn remove_tags(&mut self) {
        let (db, key, tags) = (self.db(), self.key(), self.some_tags());
        let names: Vec<&[u8]> = tags.iter().map(|tag| &**tag).collect();
        let tagging = self.keys.remove_tags(db, self.keys.key(&key), &names);
        let Some(held) = self.find(db, &key) else { return assert_eq!(tagging, Tagging::NoKey) };
        let before = held.tags.len();
        held.tags.retain(|tag| !tags.contains(tag));
        assert_eq!(tagging, Tagging::Done(before - held.tags.len()));
    }

    fn link(&mut self) {
        let (db, parent, child) = (self.db(), self.tag(), self.tag());
        if self.databases[db].plan.is_some() {
            // Nothing changes while an invalidation looks for what is below its tags.
            self.linked_later += 1;
            assert_eq!(self.keys.link_tags(db, &parent, &child), Err(Unsettled));
            return assert_eq!(self.keys.unlink_tags(db, &parent, &child), Err(Unsettled));
        }
        let links = &mut self.databases[db].links;
        let mut below = BTreeSet::from([child.clone()]);
        while let Some((_, next)) = links.iter().find(|(a, b)| below.contains(a) && !below.contains(b)) {
            below.insert(next.clone());
        }
        if self.rng.u32(..3) == 0 {
            let was = links.remove(&(parent.clone(), child.clone()));
            assert_eq!(self.keys.unlink_tags(db, &parent, &child), Ok(was));
        } else {
            let closes = below.contains(&parent);
            assert_eq!(self.keys.link_tags(db, &parent, &child), Ok(!closes));
            if !closes {
                links.insert((parent.clone(), child));
            }
        }
        let children = self.keys.children_of(db, &parent).into_iter().map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
        let links = self.databases[db].links.iter().filter(|link| link.0 == parent);
        assert_eq!(children, links.map(|link| link.1.clone()).collect());
    }

    /// Begins a snapshot, or goes on with it.
    fn record(&mut self) {
        let Some(snapshot) = &self.snapshot else {
            let taken = Rc::new(RefCell::new(Taken::default()));
            let all = || (0..DATABASES).flat_map(|db| self.databases[db].keys.iter().map(move |key| (db, key)));
            let expected = all().filter(|(_, key)| !self.is_past(key.1));
            let expected = expected.map(|(db, (key, held))| ((db, key.clone()), held.clone())).collect();
            let expired =
                all().filter(|(_, key)| self.is_past(key.1)).map(|(db, (key, _))| (db, key.clone())).collect();
            let links = (0..DATABASES).flat_map(|db| self.databases[db].links.iter().map(move |link| (db, link)));
            let links = links.map(|(db, (parent, child))| (db, parent.clone(), child.clone())).collect();
            self.keys.begin_snapshot(Box::new(Witness(taken.clone())));
            self.snapshot = Some(Snapshot { expected, expired, links, taken });
            return;
        };
        let count = self.rng.usize(1..60);
        if self.keys.walk_slice(if self.rng.bool() { count } else { 1 }).1 {
            // Now and then one is given up.
            if self.rng.u32(..200) == 0 {
                self.keys.end_snapshot();
                self.snapshot = None;
            }
            return;
        }
        let taken = snapshot.taken.take();
        let mut keys = taken.keys;
        keys.retain(|key, _| !snapshot.expired.contains(key));
        assert_eq!(keys, snapshot.expected);
        assert_eq!(taken.links, snapshot.links);
        self.keys.end_snapshot();
        self.snapshot = None;
    }

    fn draw(&mut self) {
        let db = self.db();
        match self.keys.random_key(db) {
            Ok(Some(key)) => assert!(self.find(db, &key).is_some()),
            Ok(None) => assert!(self.live(db).next().is_none()),
            Err(Unsettled) => assert!(self.keys.is_sweeping()),
        }
    }

    fn look(&mut self) {
        let (db, key, tag) = (self.db(), self.key(), self.tag());
        let expected = self.find(db, &key).cloned();
        let at = self.keys.key(&key);
        let seen = match self.rng.u32(..3) {
            0 => self.keys.view(db, at).map(told),
            1 => self.keys.peek(db, at).map(told),
            _ => self.keys.read(db, at, Touch::Yes).map(told),
        };
        assert_eq!(seen, expected.as_ref().map(|held| (held.kind, held.value.clone())));
        let tags = self.keys.tags_of(db, at).map(|tags| tags.into_iter().map(<[u8]>::to_vec).collect::<BTreeSet<_>>());
        assert_eq!(tags, expected.map(|held| held.tags));
        let mut found = BTreeSet::new();
        self.keys.each_tagged(db, &tag, |entry| assert!(found.insert(entry.key().to_vec())));
        assert_eq!(found, self.tagged(db, &tag));
        match self.keys.count_tagged(db, &tag) {
            Ok(count) => assert!(count >= found.len()),
            Err(Unsettled) => assert!(!self.keys.is_settled()),
        }
    }

    /// Takes what there is to tell, and the counts that have become known.
    fn listen(&mut self) {
        self.follow_plans();
        for news in self.keys.effects.take_news() {
            if let News::Key { event: Event::INVALIDATED, .. } = news {
                self.invalidated = self.invalidated.saturating_sub(usize::from(self.invalidated != usize::MAX));
            }
        }
        let keys = &mut self.keys;
        self.claims.retain(|&claim, &mut expected| match keys.take_count(claim) {
            Some(count) => {
                assert_eq!(count, expected);
                false
            }
            None => true,
        });
    }

    /// Compares all that can be seen.
    fn compare(&mut self) {
        for db in 0..DATABASES {
            let mut found = Vec::new();
            self.keys.each(db, |entry| {
                let held = self.databases[db].keys.get(entry.key()).filter(|held| !self.is_past(held));
                let held = held.unwrap_or_else(|| panic!("{:?} should be gone", entry.key().escape_ascii()));
                let same = match entry.kind() {
                    Type::String => held.kind == Type::String as u8 && entry.string() == held.value,
                    Type::Set => {
                        // Every member of each set is more than can be looked at so often.
                        let mut len = 0;
                        let members = entry.set().expect("a set").iter();
                        members.for_each(|member| member.with_bytes(|bytes| len += bytes.len()));
                        held.kind == Type::Set as u8 && len == held.value.len()
                    }
                    _ => told(entry) == (held.kind, held.value.clone()),
                };
                assert!(same, "{:?} is something else", entry.key().escape_ascii());
                found.push(entry.as_ptr());
            });
            found.sort_unstable();
            found.dedup();
            assert_eq!(found.len(), self.live(db).count());
            let mut scanned = BTreeSet::new();
            let mut cursor = 0;
            let settled = loop {
                let next = self.keys.scan_tags(db, cursor, 3, |tag| scanned.extend([tag.to_vec()]));
                let Ok(next) = next else { break false };
                cursor = next;
                if next == 0 {
                    break true;
                }
            };
            let linked = self.databases[db].links.iter().flat_map(|(parent, child)| [parent, child]);
            let live = self.live(db).flat_map(|(_, held)| &held.tags);
            let with_keys: BTreeSet<&Name> = live.chain(linked.clone()).collect();
            assert!(settled || !self.keys.is_settled());
            assert!(!settled || with_keys.iter().all(|tag| scanned.contains(*tag)));
            let all = self.databases[db].keys.values().flat_map(|held| &held.tags);
            let at_most: BTreeSet<&Name> = all.chain(linked).collect();
            assert!(scanned.iter().all(|tag| at_most.contains(tag)));
        }
        self.check_lists();
    }

    /// What must hold when everything that has expired has been removed.
    fn compare_counts(&mut self) {
        while self.keys.expire_slice(100) {}
        self.listen();
        for db in 0..DATABASES {
            let now_ms = self.now_ms;
            let keys = &mut self.databases[db].keys;
            keys.retain(|_, held| held.deadline.is_none_or(|deadline| deadline >= now_ms));
            let live = keys.len();
            if self.keys.is_counted(db) {
                assert_eq!(self.keys.database(db).map_or(0, Namespace::len), live);
            }
            for tag in TAGS {
                match self.keys.count_tagged(db, tag) {
                    Ok(count) => assert_eq!(count, self.tagged(db, tag).len()),
                    Err(Unsettled) => assert!(!self.keys.is_settled()),
                }
            }
        }
    }

    /// What lists of members and entries say of each other.
    fn check_lists(&self) {
        for db in 0..DATABASES {
            let Some(database) = self.keys.database(db) else { continue };
            let (mut memberships, mut shared) = (0, BTreeMap::new());
            database.scan(0, usize::MAX, |entry| {
                for pair in entry.tags() {
                    let record = database.tags().expect("tags of an entry").record(pair.tag());
                    assert_eq!(record.members.get(pair.index().expect("a place") as usize), entry.as_ptr());
                    *shared.entry(pair.tag()).or_insert(0) += u32::from(entry.tags().len() > 1);
                    memberships += 1;
                }
            });
            let Some(tags) = database.tags() else { continue };
            assert_eq!(tags.memberships(), memberships);
            let (mut mixed, mut members, mut shared_planned, mut hidden) = (0, 0, 0, 0);
            for (tag, record) in tags.records.iter() {
                assert_eq!(record.shared, shared.get(&tag).copied().unwrap_or(0));
                let planned = record.state == State::Condemned;
                assert!(record.is_buried() || planned || !record.is_hollow());
                assert_eq!(record.is_buried(), tags.graves.contains(&tag));
                let named = tags.find_hashed(tags.names.hash(record.name.text()), record.name.text()) == Some(tag);
                assert_eq!(named, !record.is_buried());
                mixed += usize::from(tags.is_dead(tag) && record.shared > 0);
                members += if planned { record.members.len() } else { 0 };
                shared_planned += usize::from(planned && record.shared > 0);
                let bare = planned && record.node == NO_NODE;
                hidden += usize::from(bare && (record.members.is_empty() || tags.is_dead(tag)));
            }
            assert_eq!((tags.planned(), tags.hidden()), ((members, shared_planned), hidden));
            assert_eq!(tags.mixed(), mixed);
            // Between the count of an invalidation and the end of its sweep nothing may be left.
            assert!(database.is_sweeping() || !tags.is_empty() && tags.graves.is_empty());
            let bytes: usize =
                tags.records.iter().map(|(_, one)| one.members.memory_bytes() + one.name.memory_bytes()).sum();
            assert_eq!(tags.bytes, bytes);
        }
    }

    /// Removes all keys and links by commands, ends the snapshot and all sweeps.
    fn clear(&mut self) {
        self.keys.end_snapshot();
        self.snapshot = None;
        for db in 0..DATABASES {
            self.keys.flush(db);
            let plan = mem::take(&mut self.databases[db]).plan;
            self.claims.extend(plan.map(|(claim, ..)| (claim, 0)));
        }
        while self.keys.walk_slice(1000).1 {}
        self.keys.sweep_now();
        self.listen();
        while self.keys.free_slice() {}
        assert!(self.claims.is_empty());
        // What these lists have grown to is no measure of anything.
        self.keys.doomed.shrink_to_fit();
        self.keys.doomed_objects.shrink_to_fit();
        self.keys.counted.shrink_to_fit();
        self.invalidated = 0;
    }

    fn run(&mut self, steps: usize) {
        for n in 0..steps {
            self.step();
            if n % 40 == 0 {
                self.compare();
            }
            if n % 250 == 0 {
                self.compare_counts();
            }
        }
        // After a flush the number of events is not known.
        self.keys.sweep_now();
        self.listen();
        self.compare();
        self.compare_counts();
        assert!(self.invalidated == 0 || self.invalidated == usize::MAX, "{} keys were not told", self.invalidated);
    }
}

fn run(steps: usize, seeds: std::ops::Range<u64>) {
    // A few keys are often in each other's way; hundreds give tags several chunks of members and large sweeps.
    let kinds = [(12, 0), (300, 5), (60, usize::MAX), (3000, 20)];
    let (mut planned, mut linked_later) = (0, 0);
    for (seed, (names, at_once)) in seeds.zip(kinds.into_iter().cycle()) {
        let mut pair = Pair::new(seed, names, at_once);
        pair.run(steps);
        planned += pair.planned;
        linked_later += pair.linked_later;
    }
    assert!(planned > 100 && linked_later > 10, "{planned} invalidations in slices, {linked_later} links that waited");
}

#[test]
fn any_mix_of_operations_does_what_maps_do() {
    run(4000, 0..24);
}

#[test]
#[ignore = "minutes; CACHESTORM_TEST_STEPS says how many steps"]
fn a_long_mix_of_operations_does_what_maps_do() {
    let setting = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let steps = setting("CACHESTORM_TEST_STEPS").unwrap_or(4_000_000) as usize;
    let seed = setting("CACHESTORM_TEST_SEED").unwrap_or(1000);
    run(steps / 40, seed..seed + 40);
}

#[test]
fn memory_returns_to_where_it_started() {
    let mut pair = Pair::new(5, 400, 10);
    let left: [isize; 3] = std::array::from_fn(|_| {
        (0..6000).for_each(|_| pair.step());
        pair.clear();
        in_use()
    });
    // The first round makes what the keyspace keeps for good.
    assert_eq!(left[1], left[2]);
}

#[test]
fn an_invalidated_tag_gives_back_all_memory_without_a_flush() {
    const KEYS: u32 = 5000;
    let mut keys = Keyspace::new(1, 1, START_MS);
    let fill = |keys: &mut Keyspace| {
        for n in 0..KEYS {
            let (name, own) = (n.to_string(), format!("own:{n}"));
            let tags: [&[u8]; 2] = [b"all", own.as_bytes()];
            let value = StringValue::Borrowed(b"value");
            let tags = &tags[..if n % 2 == 0 { 1 } else { 2 }];
            assert!(keys.set_tagged(None, 0, keys.key(name.as_bytes()), Touch::Yes, value, Expiry::Clear, tags));
        }
        assert_eq!(keys.count_tagged(0, b"all"), Ok(KEYS as usize));
        assert_eq!(keys.invalidate(0, &[b"all"], false, Count::Later), Invalidation::Done(KEYS as usize));
        assert_eq!(keys.database(0).map(Namespace::len), Some(0));
        assert_eq!(keys.tag_totals(0).unswept, KEYS as usize);
        keys.sweep_now();
        assert_eq!(keys.tag_totals(0), TagTotals::default());
    };
    fill(&mut keys);
    let at_first = in_use();
    fill(&mut keys);
    assert_eq!(in_use(), at_first);
}

/// What is found meanwhile changes, and dies as it is when all has been found.
#[test]
fn very_many_tags_die_at_one_moment() {
    const TAGS: u32 = 2000;
    let names: Vec<String> = (0..TAGS).map(|n| format!("t{n}")).collect();
    let put = |keys: &mut Keyspace, key: &str, tags: &[&[u8]]| {
        let key = Key { bytes: key.as_bytes(), hash: keys.hash(key.as_bytes()) };
        keys.set_tagged(None, 0, key, Touch::Yes, StringValue::Borrowed(b"v"), Expiry::Clear, tags);
    };
    for cascades in [true, false] {
        let mut keys = Keyspace::new(1, 1, START_MS);
        keys.effects.journal.add_sink(Sink::File);
        for (n, name) in names.iter().enumerate() {
            // A tree in which each has up to three children; or the root has all.
            let parent = if cascades && n % 2 == 0 { (n.max(1) - 1) / 3 } else { 0 };
            assert!(n == 0 || keys.link_tags(0, names[parent].as_bytes(), name.as_bytes()) == Ok(true));
            put(&mut keys, name, &[name.as_bytes()]);
        }
        let all: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let wanted = if cascades { &all[..1] } else { &all[..] };
        assert_eq!(keys.invalidate(0, wanted, cascades, Count::Later), Invalidation::Planned(1));
        let planning =
            |keys: &Keyspace| keys.database(0).and_then(Namespace::tags).is_some_and(|tags| tags.is_planning());
        let mut slices = 0;
        while planning(&keys) {
            // All are there until none is.
            assert_eq!(
                (keys.database(0).map(Namespace::len), keys.take_count(1)),
                (Some(TAGS as usize + slices), None)
            );
            assert_eq!(keys.count_tagged(0, b"t1"), Ok(1 + slices));
            assert_eq!(keys.link_tags(0, b"x", b"y"), Err(Unsettled));
            put(&mut keys, &format!("new{slices}"), &[b"t1"]);
            slices += 1;
            assert_eq!(keys.invalidate(0, wanted, cascades, Count::Later), Invalidation::Later);
            keys.sweep_slice();
        }
        assert!(slices >= TAGS as usize / 64, "{slices} slices");
        assert_eq!((keys.database(0).map(Namespace::len), keys.take_count(1)), (Some(0), Some(TAGS as usize + slices)));
        // Their names mean something again at once, and links have stayed.
        put(&mut keys, "k", &[b"t1", b"t2"]);
        assert_eq!((keys.count_tagged(0, b"t1"), keys.count_tagged(0, b"t3")), (Ok(1), Ok(0)));
        assert_eq!((keys.link_tags(0, b"t1", b"z"), keys.unlink_tags(0, b"t1", b"z")), (Ok(true), Ok(true)));
        assert!(!keys.is_settled() && keys.tag_totals(0).unswept > 0);
        keys.sweep_now();
        assert!(keys.is_settled());
        let totals = keys.tag_totals(0);
        assert_eq!((totals.memberships, totals.links, totals.tags), (2, TAGS as usize - 1, TAGS as usize));
        let told = String::from_utf8_lossy(&keys.effects.journal.pending(Sink::File)).matches("INVALIDATE\r\n").count();
        assert_eq!(told, 1, "it is journalled once");
        // Where nobody may wait, it is done at once.
        assert_eq!(keys.invalidate(0, wanted, cascades, Count::Now), Invalidation::Done(1));
        assert_eq!(keys.database(0).map(Namespace::len), Some(0));
        // A flush leaves nothing of it.
        put(&mut keys, "k", &[b"t1"]);
        keys.sweep_now();
        assert_eq!(keys.invalidate(0, wanted, cascades, Count::Later), Invalidation::Planned(3));
        assert_eq!((keys.flush(0), keys.take_count(3), keys.is_settled()), (1, Some(0), true));
        while keys.free_slice() {}
    }
}

/// A key that has the tag all the time is found by an iteration, whatever else happens between its calls.
#[test]
fn an_iteration_over_a_tag_misses_no_key_that_stays() {
    for seed in 0..60 {
        let mut pair = Pair::new(seed, 400, 10);
        (0..400).for_each(|_| pair.set_tagged());
        for _ in 0..20 {
            let (db, tag, count) = (0, pair.tag(), pair.rng.usize(1..30));
            let (mut stayed, mut found) = (pair.tagged(db, &tag), BTreeSet::new());
            let mut cursor = 0;
            loop {
                cursor = pair.keys.scan_tagged(db, &tag, cursor, count, |entry| found.extend([entry.key().to_vec()]));
                if cursor == 0 {
                    break;
                }
                for _ in 0..pair.rng.usize(..6) {
                    match pair.rng.u32(..12) {
                        0..5 => pair.set_tagged(),
                        5 => pair.delete(),
                        6 => pair.relocate(),
                        7 => pair.copy(),
                        8 => pair.remove_tags(),
                        9 => pair.change(),
                        10 => pair.reschedule(),
                        _ => pair.add_tags(),
                    }
                    let still = pair.tagged(db, &tag);
                    stayed.retain(|key| still.contains(key));
                }
            }
            assert!(stayed.is_subset(&found), "{:?} were missed", stayed.difference(&found).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_key_has_a_bounded_number_of_tags() {
    let mut keys = Keyspace::new(1, 1, START_MS);
    let key = Key { bytes: b"k", hash: keys.hash(b"k") };
    keys.set_string(0, key, StringValue::Borrowed(b"v"), Expiry::Clear, Event::SET);
    let names: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
    assert_eq!(keys.add_tags(0, key, &names[..256]), Tagging::TooMany);
    assert_eq!(keys.tag_totals(0), TagTotals::default());
    assert_eq!(keys.add_tags(0, key, &names[..255]), Tagging::Done(255));
    assert_eq!(keys.add_tags(0, key, &names[250..256]), Tagging::TooMany);
    assert_eq!(keys.add_tags(0, key, &names[..255]), Tagging::Done(0));
    assert_eq!(keys.remove_tags(0, key, &names[100..]), Tagging::Done(155));
    assert_eq!(keys.add_tags(0, key, &names[255..]), Tagging::Done(45));
    assert_eq!(keys.tags_of(0, key).map(|tags| tags.len()), Some(145));
    assert!(keys.delete(0, key, Event::DEL));
    assert_eq!(keys.tag_totals(0), TagTotals::default());
}

#[test]
fn an_invalidation_is_a_change_of_each_key_to_those_who_watch() {
    const WATCHER: usize = 7;
    let tagged = |keys: &mut Keyspace, name: &[u8]| {
        let key = Key { bytes: name, hash: keys.hash(name) };
        keys.set_tagged(None, 0, key, Touch::Yes, StringValue::Borrowed(b"v"), Expiry::Clear, &[b"t"]);
    };
    for at_once in [0, 100] {
        for swept in [false, true] {
            let mut keys = Keyspace::new(1, 1, START_MS);
            keys.invalidate_at_once = at_once;
            [&b"k"[..], b"l"].into_iter().for_each(|name| tagged(&mut keys, name));
            keys.watch(WATCHER, 0, keys.key(b"k"));
            assert!(!keys.watched_changed(WATCHER));
            keys.invalidate(0, &[b"t"], false, Count::Later);
            if swept {
                keys.sweep_now();
            }
            assert!(keys.watched_changed(WATCHER));
            keys.effects.watches.forget(WATCHER);
            // To who begins to watch a dead key, it does not exist, and that it is removed is no change.
            keys.watch(WATCHER, 0, keys.key(b"l"));
            keys.sweep_now();
            assert!(!keys.watched_changed(WATCHER));
            tagged(&mut keys, b"l");
            assert!(keys.watched_changed(WATCHER));
        }
    }
}

#[test]
fn a_large_invalidation_is_exact_or_says_that_it_is_not() {
    let mut keys = Keyspace::new(1, 1, START_MS);
    keys.invalidate_at_once = 3;
    let put = |keys: &mut Keyspace, name: String, tags: &[&[u8]], expiry| {
        let key = Key { bytes: name.as_bytes(), hash: keys.hash(name.as_bytes()) };
        keys.set_tagged(None, 0, key, Touch::Yes, StringValue::Borrowed(b"v"), expiry, tags);
    };
    let fill = |keys: &mut Keyspace| {
        (0..100).for_each(|n| put(keys, format!("a{n}"), &[b"a", b"all"], Expiry::Clear));
        (0..100).for_each(|n| put(keys, format!("b{n}"), &[b"b", b"all"], Expiry::Clear));
        (0..100).for_each(|n| put(keys, format!("ab{n}"), &[b"a", b"b"], Expiry::Clear));
        (0..100).for_each(|n| put(keys, format!("c{n}"), &[b"c"], Expiry::Clear));
    };
    let later = |keys: &mut Keyspace, tags: &[&[u8]]| keys.invalidate(0, tags, false, Count::Later);
    fill(&mut keys);
    // One alone, whatever other tags its keys have; and those whose keys have no others.
    assert_eq!(later(&mut keys, &[b"a"]), Invalidation::Done(200));
    assert_eq!(later(&mut keys, &[b"c"]), Invalidation::Done(100));
    assert_eq!((keys.database(0).map(Namespace::len), keys.is_settled()), (Some(100), false));
    // Nobody knows how many of the others are dead already, but of a few they can be looked at.
    assert_eq!((keys.count_tagged(0, b"b"), keys.count_tagged(0, b"c")), (Ok(100), Ok(0)));
    assert_eq!(later(&mut keys, &[b"b"]), Invalidation::Later);
    assert_eq!(keys.invalidate(0, &[b"b"], false, Count::Now), Invalidation::Done(100));
    keys.sweep_now();
    assert_eq!((keys.database(0).map(Namespace::len), keys.is_settled()), (Some(0), true));
    // Two at once that share keys are counted in the sweep; who needs to know how many keys there are waits.
    fill(&mut keys);
    assert_eq!(later(&mut keys, &[b"a", b"b"]), Invalidation::Counting(1));
    assert!(!keys.is_counted(0) && keys.view(0, keys.key(b"ab1")).is_none());
    assert_eq!((later(&mut keys, &[b"all"]), later(&mut keys, &[b"c"])), (Invalidation::Later, Invalidation::Later));
    keys.sweep_now();
    assert_eq!((keys.take_count(1), keys.take_count(1), keys.is_counted(0)), (Some(300), None, true));
    assert_eq!(keys.database(0).map(Namespace::len), Some(100));
    // Who has expired does not count, even if nobody has removed it.
    (0..1000).for_each(|n| put(&mut keys, format!("d{n}"), &[b"d"], Expiry::At(START_MS + n)));
    keys.set_now(START_MS + 900);
    assert_eq!(later(&mut keys, &[b"d"]), Invalidation::Counting(2));
    keys.sweep_now();
    assert_eq!((keys.take_count(2), keys.stats.expired), (Some(100), 900));
    // A flush must know how many keys it removes.
    fill(&mut keys);
    assert_eq!(later(&mut keys, &[b"a", b"b"]), Invalidation::Counting(3));
    assert_eq!((keys.flush(0), keys.take_count(3)), (100, Some(300)));
}

/// Very many tags that nothing has: when they have been found nothing is left, and the sweep is over.
#[test]
fn a_sweep_that_leaves_no_tags_ends() {
    let names: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    for tagged in [false, true] {
        let mut keys = Keyspace::new(1, 1, START_MS);
        if tagged {
            let (key, value) = (keys.key(b"k"), StringValue::Borrowed(b"v"));
            keys.set_tagged(None, 0, key, Touch::Yes, value, Expiry::Clear, &names[..2]);
        }
        let kept: Vec<Box<[u8]>> = names.iter().map(|&name| name.into()).collect();
        let planned = keys.invalidate_many(0, Rc::new(kept), Count::Later);
        assert_eq!(planned, Invalidation::Planned(1));
        keys.sweep_now();
        assert_eq!(
            (keys.take_count(1), keys.is_sweeping(), keys.is_settled()),
            (Some(usize::from(tagged)), false, true)
        );
        assert!(keys.database(0).is_none_or(|database| database.tags().is_none() && !database.is_sweeping()));
    }
}

/// The last tags go between two steps of a sweep, which has nothing more to look at then.
#[test]
fn a_sweep_whose_tags_have_gone_ends() {
    let mut keys = Keyspace::new(1, 1, START_MS);
    keys.invalidate_at_once = 3;
    for n in 0..100 {
        let name = format!("k{n}");
        let key = Key { bytes: name.as_bytes(), hash: keys.hash(name.as_bytes()) };
        keys.set_tagged(None, 0, key, Touch::Yes, StringValue::Borrowed(b"v"), Expiry::Clear, &[b"a", b"b"]);
    }
    assert_eq!(keys.invalidate(0, &[b"a", b"b"], false, Count::Later), Invalidation::Counting(1));
    let (mut steps, mut gone) = (0, false);
    while keys.sweep_slice() {
        // A link that would close a cycle leaves nothing behind, not even an empty table of tags.
        assert_eq!(keys.link_tags(0, b"x", b"x"), Ok(false));
        gone |= keys.database(0).is_some_and(|database| database.tags().is_none() && database.is_sweeping());
        steps += 1;
        assert!(steps < 1000, "the sweep does not end");
    }
    assert_eq!((gone, keys.take_count(1), keys.is_settled()), (true, Some(100), true));
}
