//! What the keys of a namespace weigh: bytes of their entries and values, in size classes of the allocator.
//!
//! An entry's block and most values tell their size at once, so that what enters, leaves or changes is counted exactly; a
//! string that is overwritten in its size class changes nothing and costs nothing. A large list, sorted set or stream would
//! have to be gone through. Its weight is therefore remembered; a change adds what the allocator handed out meanwhile, and
//! once the doubt about that exceeds an eighth of the weight, or the number of items has changed by a sixteenth, it is
//! measured anew. Only above [`MEASURED_MAX`] items, where measuring would hold everybody up, it is taken to weigh as much
//! an item as when it was measured last.

use std::collections::BTreeMap;

use super::entry::{EntryRef, Object, Type};
use crate::memory;

/// A collection with more items than this is not gone through.
const MEASURED_MAX: usize = 1 << 16;
/// A change of a large collection leaves doubt about so many bytes, besides those it is seen to have taken or given back.
const DOUBT: usize = 32;
/// Weights of a namespace that nobody uses any more, forgotten in one slice.
const SLICE: usize = 512;

/// The weight of a large collection.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    bytes: usize,
    /// Bytes by which that may be wrong.
    doubt: usize,
    /// What it was when it was measured last, and how many items there were.
    measured: usize,
    items: usize,
}

impl Weight {
    fn measure(object: &Object) -> Weight {
        let bytes = object.memory_bytes();
        Weight { bytes, doubt: 0, measured: bytes, items: object.items() }
    }

    /// Takes a change into account, during which the allocator handed out `delta` bytes more than it got back.
    fn change(&mut self, object: &Object, delta: isize) {
        self.bytes = self.bytes.saturating_add_signed(delta);
        self.doubt += delta.unsigned_abs() + DOUBT;
        let items = object.items();
        if self.doubt > self.bytes / 8 || items.abs_diff(self.items) > self.items / 16 {
            if items <= MEASURED_MAX {
                *self = Weight::measure(object);
            } else {
                let bytes = self.measured as u128 * items as u128 / self.items.max(1) as u128;
                *self = Weight { bytes: bytes as usize, doubt: 0, ..*self };
            }
        }
    }
}

/// What an entry weighs, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    pub kind: Type,
    /// Its header and its key.
    pub name: usize,
    /// Its deadline and its ticket.
    pub expiry: usize,
    /// The rest: its value, and what the allocator has rounded up.
    pub value: usize,
}

impl Share {
    /// What all of it weighs.
    pub fn bytes(self) -> usize {
        self.name + self.expiry + self.value
    }
}

/// What many entries weigh, in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Parts {
    /// Headers and keys.
    pub keys: usize,
    pub expiry: usize,
    /// By [`Type`].
    pub values: [usize; Type::ALL.len()],
}

impl Parts {
    /// What all of it weighs.
    pub fn bytes(&self) -> usize {
        self.keys + self.expiry + self.values.iter().sum::<usize>()
    }

    /// Adds an entry.
    #[inline]
    pub fn add(&mut self, share: Share) {
        self.keys += share.name;
        self.expiry += share.expiry;
        self.values[share.kind as usize] += share.value;
    }

    /// Adds other parts.
    pub fn add_all(&mut self, other: Parts) {
        self.keys += other.keys;
        self.expiry += other.expiry;
        self.values.iter_mut().zip(other.values).for_each(|(value, other)| *value += other);
    }

    #[inline]
    fn subtract(&mut self, share: Share) {
        let value = &mut self.values[share.kind as usize];
        let enough = share.name <= self.keys && share.expiry <= self.expiry && share.value <= *value;
        debug_assert!(enough, "nothing leaves that has not entered");
        *value = value.saturating_sub(share.value);
        self.keys = self.keys.saturating_sub(share.name);
        self.expiry = self.expiry.saturating_sub(share.expiry);
    }
}

/// The weight of all keys of a namespace.
#[derive(Default)]
pub struct Scales {
    parts: Parts,
    /// Large collections, by the addresses of their objects.
    large: BTreeMap<usize, Weight>,
}

/// The state of the scales while a value is open for change.
pub struct Lent {
    /// What its entry weighed.
    share: Share,
    /// The large collection that the value was, and the bytes that were in use.
    large: Option<(usize, isize)>,
}

/// The object's address, if it is one whose weight is remembered.
fn address(object: &Object) -> Option<usize> {
    matches!(object, Object::List(_) | Object::Zset(_) | Object::Stream(_)).then_some(std::ptr::from_ref(object).addr())
}

impl Scales {
    /// What all entries weigh.
    pub fn parts(&self) -> Parts {
        self.parts
    }

    /// What an entry weighs.
    pub fn weigh(&self, entry: EntryRef<'_>) -> Share {
        let value = entry.object().map_or(0, |object| match address(object) {
            Some(address) => self.large.get(&address).map_or(0, |weight| weight.bytes),
            None => object.memory_bytes(),
        });
        entry.share(value)
    }

    /// An entry has entered. What is known of its weight as a large collection need not be measured.
    #[inline]
    pub fn enter(&mut self, entry: EntryRef<'_>, known: Option<Weight>) {
        let value = entry.object().map_or(0, |object| match address(object) {
            Some(address) => {
                let weight = known.unwrap_or_else(|| Weight::measure(object));
                self.large.insert(address, weight);
                weight.bytes
            }
            None => object.memory_bytes(),
        });
        self.parts.add(entry.share(value));
    }

    /// An entry is about to leave. Returns what is known of its weight as a large collection.
    #[inline]
    pub fn leave(&mut self, entry: EntryRef<'_>) -> Option<Weight> {
        let weight = entry.object().and_then(address).and_then(|address| self.large.remove(&address));
        let measured = || entry.object().map_or(0, |object| object.memory_bytes());
        self.parts.subtract(entry.share(weight.map_or_else(measured, |weight| weight.bytes)));
        weight
    }

    /// An entry, but for a large collection, has come to weigh something else.
    pub fn reweigh(&mut self, before: Share, after: Share) {
        self.parts.subtract(before);
        self.parts.add(after);
    }

    /// A value is about to be changed.
    #[inline]
    pub fn lend(&self, entry: EntryRef<'_>) -> Lent {
        let large = entry.object().and_then(address);
        Lent { share: self.weigh(entry), large: large.map(|address| (address, memory::used_by_reactor())) }
    }

    /// The value has been changed, and may have become another object.
    #[inline]
    pub fn give_back(&mut self, entry: EntryRef<'_>, lent: Lent) {
        let now = entry.object().and_then(address);
        match (lent.large, now, entry.object()) {
            (Some((before, used)), Some(now), Some(object)) if before == now => {
                if let Some(weight) = self.large.get_mut(&now) {
                    weight.change(object, memory::used_by_reactor() - used);
                }
            }
            (before, now, object) => {
                if let Some((before, _)) = before {
                    self.large.remove(&before);
                }
                if let (Some(now), Some(object)) = (now, object) {
                    self.large.insert(now, Weight::measure(object));
                }
            }
        }
        self.reweigh(lent.share, self.weigh(entry));
    }

    /// Forgets some weights of what is being freed. Returns whether there are more.
    pub fn free_slice(&mut self) -> bool {
        (0..SLICE).all(|_| self.large.pop_first().is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::effects::Event;
    use crate::keyspace::entry::{Encoding, NewValue, Type};
    use crate::keyspace::value::Changed;
    use crate::keyspace::{Expiry, Key, Keyspace, Schedule, StringValue, Touch};
    use crate::types::hashmap::{self, Limits};
    use crate::types::listpack;
    use crate::types::quicklist::{End, Quicklist, Rules};

    fn parts_of_all(keys: &Keyspace, db: usize) -> Parts {
        let mut parts = Parts::default();
        if let Some(database) = keys.database(db) {
            database.scan(0, usize::MAX, |entry| {
                parts.add(entry.share(entry.object().map_or(0, |object| object.memory_bytes())));
            });
        }
        parts
    }

    /// A list that grows, shrinks and moves is counted nearly as it is.
    #[test]
    fn large_lists_are_measured_now_and_then() {
        memory::claim_reactor_thread();
        let mut rng = fastrand::Rng::with_seed(5);
        let mut keys = Keyspace::new(2, 5, 1000);
        let (list, other) = (keys.key(b"list"), keys.key(b"other"));
        let rules = Rules { fill: -2, depth: 0, plain_from: 8192 };
        let fresh = (Type::List, Encoding::Listpack, listpack::EMPTY);
        let made = keys.change_or_create(0, list, fresh, Event("rpush"), |value| {
            value.convert(Encoding::Quicklist, NewValue::Boxed(Box::new(Object::List(Quicklist::new(rules)))));
            Changed { result: (), changes: 1, empty: false }
        });
        assert_eq!(made, Ok(()));
        for step in 0..20_000 {
            let text = vec![b'x'; [5, 100, 20_000][rng.usize(..3)]];
            let grows = step % 10_000 < 7_000;
            let changed = keys.change(0, list, Type::List, Event("rpush"), |value| {
                if let Some(Object::List(list)) = value.object_mut() {
                    match grows {
                        true => list.push(Cow::Owned(text), End::Right),
                        false => list.remove(0, 1),
                    }
                }
                Changed { result: (), changes: 1, empty: false }
            });
            assert_eq!(changed, Ok(Some(())));
            if step == 6_000 {
                keys.relocate((0, list), (1, other), true, Touch::No, (Event::MOVE_FROM, Event::MOVE_TO));
                keys.relocate((1, other), (0, list), true, Touch::No, (Event::MOVE_FROM, Event::MOVE_TO));
            }
            let counted = keys.database(0).map_or(0, |database| database.entries_parts().bytes());
            let there = parts_of_all(&keys, 0).bytes();
            assert!(counted.abs_diff(there) <= there / 4 + 40_000, "step {step}: {counted}, not {there}");
        }
    }

    fn text(rng: &mut fastrand::Rng) -> Vec<u8> {
        let len = [3, 20, 300, 17_000][rng.usize(..4)];
        vec![b'x'; rng.usize(..len)]
    }

    /// What tells its size at once is counted exactly, whatever becomes of its key.
    #[test]
    fn what_is_counted_is_what_there_is() {
        const NAMES: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];
        for seed in 0..30 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut keys, with_tables) = (Keyspace::new(2, seed, 1000), seed % 2 == 1);
            for step in 0..600 {
                let (db, name, to_db, to_name) =
                    (rng.usize(..2), NAMES[rng.usize(..5)], rng.usize(..2), NAMES[rng.usize(..5)]);
                let (from, to) = (keys.key(name), keys.key(to_name));
                let soon = keys.now_ms() + rng.u64(1..40);
                match rng.u8(..16) {
                    0..3 => {
                        let expiry = if rng.bool() { Expiry::At(soon) } else { Expiry::Keep };
                        keys.set_string(db, from, StringValue::Owned(text(&mut rng)), expiry, Event::SET);
                    }
                    3 => {
                        let len = text(&mut rng).len();
                        let resize = |entry: Option<EntryRef<'_>>| match entry {
                            Some(entry) if entry.kind() != Type::String => Err(()),
                            _ => Ok(len),
                        };
                        let _ = keys.change_string(db, from, Touch::No, Event::APPEND, resize, |_| true);
                    }
                    4..10 => {
                        let (hasher, value) = (keys.hasher().clone(), text(&mut rng));
                        let entries = if with_tables { 4 } else { 10_000 };
                        let limits = Limits { entries, bytes: usize::MAX };
                        let fields: Vec<Vec<u8>> =
                            (0..rng.usize(1..40)).map(|_| rng.u32(..2000).to_string().into_bytes()).collect();
                        let fresh = (Type::Hash, Encoding::Listpack, listpack::EMPTY);
                        let _ = keys.change_or_create(db, from, fresh, Event("hset"), |hash| {
                            let pairs = fields.iter().map(|field| (&field[..], StringValue::Borrowed(&value[..])));
                            let result = hashmap::set(hash, pairs, Expiry::Clear, with_tables, limits, &hasher);
                            Changed { result, changes: 1, empty: false }
                        });
                    }
                    10 => drop(keys.reschedule(db, from, Touch::No, |_| Schedule::At(soon))),
                    11 => drop(keys.reschedule(db, from, Touch::No, |_| Schedule::Never)),
                    12 => {
                        let events = (Event::RENAME_FROM, Event::RENAME_TO);
                        keys.relocate((db, from), (to_db, to), true, Touch::No, events);
                    }
                    13 => drop(keys.copy((db, from), (to_db, to), name != to_name, Touch::No)),
                    14 => {
                        keys.set_now(keys.now_ms() + rng.u64(..20));
                        keys.expire_slice(2);
                    }
                    _ => match rng.u8(..4) {
                        0 => drop(keys.flush(db)),
                        1 => keys.swap(0, 1),
                        _ => drop(keys.delete(db, Key { bytes: name, hash: from.hash }, Event::DEL)),
                    },
                }
                for db in 0..2 {
                    let counted = keys.database(db).map(|database| database.entries_parts()).unwrap_or_default();
                    assert_eq!(counted, parts_of_all(&keys, db), "seed {seed}, step {step}");
                }
            }
        }
    }
}
