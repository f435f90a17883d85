//! What the keys of a namespace weigh: bytes of their entries and values, in size classes of the allocator.
//!
//! An entry's block and most values tell their size at once, so that what enters, leaves or changes is counted exactly; a
//! string that is overwritten in its size class changes nothing and costs nothing. A large list, sorted set or stream would
//! have to be gone through; it remembers its [`Weight`].

use super::entry::{EntryRef, Object, Type};
use crate::memory;
use crate::types::weight::Weight;

/// A key's share of its table, in bytes: a bucket of 64 bytes has seven slots.
pub const SLOT_BYTES: usize = 64_usize.div_ceil(7);
/// A key's share of the expiry wheel, in bytes.
pub const WHEEL_CELL_BYTES: usize = 8;
/// A hash's share of the set of those with deadlines of fields, in bytes: 16, in nodes that are about half full.
pub const FIELDS_CELL_BYTES: usize = 32;

/// What an entry weighs, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    pub kind: Type,
    /// Its header and its key.
    pub name: usize,
    /// Its deadline and its ticket.
    pub expiry: usize,
    /// The rest but for its tags, which are counted with them: its value, and what the allocator has rounded up.
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
    pub tags: usize,
    /// By [`Type`].
    pub values: [usize; Type::ALL.len()],
}

impl Parts {
    /// What all of it weighs.
    pub fn bytes(&self) -> usize {
        self.keys + self.expiry + self.tags + self.values.iter().sum::<usize>()
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
        self.tags += other.tags;
        self.values.iter_mut().zip(other.values).for_each(|(value, other)| *value += other);
    }

    /// Makes what `part` entries weigh the weight of so many as they stand for.
    pub fn scale(&mut self, part: usize, whole: usize) {
        let scaled = |bytes: usize| (bytes as u128 * whole as u128 / part.max(1) as u128) as usize;
        for bytes in [&mut self.keys, &mut self.expiry, &mut self.tags].into_iter().chain(&mut self.values) {
            *bytes = scaled(*bytes);
        }
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
}

/// The state of the scales while a value is open for change.
pub struct Lent {
    /// What its entry weighed.
    share: Share,
    /// The address of the large collection that the value was, and the bytes that were in use.
    large: Option<(usize, isize)>,
}

/// The object's address, if it is one whose weight is remembered.
#[inline]
fn address(object: &Object) -> Option<usize> {
    object.weight().map(|_| std::ptr::from_ref(object).addr())
}

fn measure(object: &Object) -> Weight {
    Weight::of(object.memory_bytes(), object.items())
}

impl Scales {
    /// What all entries weigh.
    pub fn parts(&self) -> Parts {
        self.parts
    }

    /// What an entry weighs.
    #[inline]
    pub fn weigh(&self, entry: EntryRef<'_>) -> Share {
        let value = entry.object().map_or(0, |object| match object.weight() {
            Some(weight) => weight.get().bytes(),
            None => object.memory_bytes(),
        });
        entry.share(value)
    }

    /// An entry has entered. A large collection is measured, unless it was already.
    #[inline]
    pub fn enter(&mut self, entry: EntryRef<'_>) {
        if let Some(object) = entry.object()
            && let Some(weight) = object.weight().filter(|weight| weight.get().bytes() == 0)
        {
            weight.set(measure(object));
        }
        self.parts.add(self.weigh(entry));
    }

    /// An entry is about to leave.
    #[inline]
    pub fn leave(&mut self, entry: EntryRef<'_>) {
        self.parts.subtract(self.weigh(entry));
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
        if let Some(object) = entry.object()
            && let Some(weight) = object.weight()
        {
            weight.set(match lent.large {
                Some((before, used)) if Some(before) == address(object) => {
                    let delta = memory::used_by_reactor() - used;
                    weight.get().changed(object.items(), delta, || object.memory_bytes())
                }
                _ => measure(object),
            });
        }
        self.reweigh(lent.share, self.weigh(entry));
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::effects::Event;
    use crate::keyspace::entry::{Encoding, NewValue, Type};
    use crate::keyspace::hashmap::{self, Limits, Room};
    use crate::keyspace::value::Changed;
    use crate::keyspace::{Expiry, Key, Keyspace, Schedule, StringValue, Touch};
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
                        let room = if with_tables { Room::Compact } else { Room::Table };
                        let fields: Vec<Vec<u8>> =
                            (0..rng.usize(1..40)).map(|_| rng.u32(..2000).to_string().into_bytes()).collect();
                        let fresh = (Type::Hash, Encoding::Listpack, listpack::EMPTY);
                        let _ = keys.change_or_create(db, from, fresh, Event("hset"), |hash| {
                            let pairs = fields.iter().map(|field| (&field[..], StringValue::Borrowed(&value[..])));
                            let result = hashmap::set(hash, pairs, Expiry::Clear, room, limits, &hasher);
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
