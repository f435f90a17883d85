//! The members of a large set: a packed table, and what belongs to its being told.

use super::hash::KeyHasher;
use super::packed::{self, PackedTable};
use super::table::Step;
use super::telling::{ByHash, Met, Piece, Slot, Told};

/// The iterator of [`Members::iter`].
pub type Iter<'a> = packed::Iter<'a>;

/// A large set of byte strings. Its operations on one member take a time that does not grow with the set.
#[derive(Clone)]
pub struct Members {
    table: PackedTable,
    telling: Slot<ByHash<()>>,
}

impl Told for Members {
    type Telling = ByHash<()>;

    fn new_telling(&self) -> ByHash<()> {
        ByHash::default()
    }

    fn slot(&self) -> &Slot<ByHash<()>> {
        &self.telling
    }

    fn slot_mut(&mut self) -> &mut Slot<ByHash<()>> {
        &mut self.telling
    }
}

impl Members {
    /// An empty set.
    pub fn new(hasher: KeyHasher) -> Members {
        Members { table: PackedTable::new(hasher), telling: Slot::default() }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// See [`PackedTable::prefetch`].
    #[inline]
    pub fn prefetch(&self, step: Step, hash: u64) {
        self.table.prefetch(step, hash);
    }

    /// Whether it has this member.
    pub fn contains(&self, member: &[u8]) -> bool {
        self.table.find(self.table.hash(member), member).is_some()
    }

    /// Adds a member. Returns whether it is new.
    pub fn insert(&mut self, member: &[u8]) -> bool {
        let hash = self.table.hash(member);
        if self.table.find(hash, member).is_some() {
            return false;
        }
        if let Some(telling) = self.telling.get_mut() {
            telling.note(hash, member, || None);
        }
        self.table.insert(hash, member);
        true
    }

    /// Takes a member out. Returns whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let hash = self.table.hash(member);
        let Some(position) = self.table.find(hash, member) else { return false };
        if let Some(telling) = self.telling.get_mut() {
            telling.note(hash, member, || Some(()));
        }
        self.table.remove(hash, position);
        true
    }

    /// A member chosen fairly.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<&[u8]> {
        self.table.random(|| rng.u64(..)).map(|position| self.table.get(position))
    }

    /// Takes out a member chosen fairly, having shown it to `see`. Returns what that makes of it.
    pub fn pop<R>(&mut self, rng: &mut fastrand::Rng, see: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let position = self.table.random(|| rng.u64(..))?;
        let member = self.table.get(position);
        let seen = see(member);
        let hash = self.table.hash(member);
        if let Some(telling) = self.telling.get_mut() {
            telling.note(hash, member, || Some(()));
        }
        self.table.remove(hash, position);
        Some(seen)
    }

    /// All members, in no order.
    pub fn iter(&self) -> Iter<'_> {
        self.table.iter()
    }

    /// Visits members in slices; see [`PackedTable::scan`].
    pub fn scan(&self, cursor: u64, count: usize, visit: impl FnMut(&[u8])) -> u64 {
        self.table.scan(cursor, count, visit)
    }

    /// Tells about `count` members. Returns whether all have been told.
    pub fn tell(&mut self, count: usize, tell: &mut dyn FnMut(Piece<'_>)) -> bool {
        let Members { table, telling } = self;
        let Some(telling) = telling.get_mut() else { return true };
        let Some(cursor) = telling.cursor else {
            return telling.tell_rest(count, |member, ()| tell(Piece::Member(member)));
        };
        let next = table.scan(cursor, count, |member| match telling.meet(cursor, table.hash(member), member) {
            Met::Skip => {}
            Met::Unchanged | Met::Was(()) => tell(Piece::Member(member)),
        });
        telling.cursor = (next != 0).then_some(next);
        false
    }

    /// Frees a part of a set that nobody uses any more; false when nothing is left.
    pub fn free_slice(&mut self) -> bool {
        self.table.free_slice()
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes()
    }

    /// Slots of the table, used or not.
    pub fn capacity(&self) -> usize {
        self.table.capacity()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A member that `n` names, of a length around every border of the format.
    fn member(n: u64) -> Vec<u8> {
        let len = [0, 1, 6, 7, 8, 15, 100, 124, 126, 255, 500, 520, 1000][(n % 13) as usize];
        let mut bytes = n.to_string().into_bytes();
        bytes.resize(bytes.len() + len, b'.');
        if n == 0 { Vec::new() } else { bytes }
    }

    #[test]
    fn behaves_like_a_set() {
        let mut members = Members::new(KeyHasher::new(5));
        let mut model = HashSet::new();
        let mut rng = fastrand::Rng::with_seed(6);
        for (range, steps) in [(20, 500), (5000, 20_000), (300, 3000)] {
            for _ in 0..steps {
                let bytes = member(rng.u64(0..range));
                match rng.u8(0..10) {
                    0..5 => assert_eq!(members.insert(&bytes), model.insert(bytes)),
                    5..8 => assert_eq!(members.remove(&bytes), model.remove(&bytes)),
                    8 => {
                        let popped = members.pop(&mut rng, <[u8]>::to_vec);
                        assert_eq!(popped.is_some(), !model.is_empty());
                        assert!(popped.is_none_or(|popped| model.remove(&popped)));
                    }
                    _ => assert_eq!(members.contains(&bytes), model.contains(&bytes)),
                }
                assert_eq!(members.len(), model.len());
            }
            assert_eq!(members.iter().count(), model.len());
            assert!(members.iter().all(|bytes| model.contains(bytes)));
            let copy = members.clone();
            assert!(copy.iter().all(|bytes| model.contains(bytes)) && copy.len() == model.len());
            assert!(members.random(&mut rng).is_some_and(|bytes| model.contains(bytes)));
        }
        while members.free_slice() {}
        assert!(members.is_empty() && members.random(&mut rng).is_none() && members.iter().next().is_none());
    }
}
