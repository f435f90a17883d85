//! The members of a large set: a table of byte strings.
//!
//! A member is one heap block of exactly the bytes it needs, its length in front:
//!
//! ```text
//!   1 byte     length; 255 stands for "see the long length"
//!   8 bytes    length of 255 and more
//!   ------
//!   the member's bytes
//! ```
//!
//! So a member of up to seven bytes takes eight, and a slot of the table that is eight bytes more.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use super::hash::KeyHasher;
use super::table::{Item, Step, Table, prefetch};
use super::telling::{ByHash, Met, Piece, Slot, Told};
use crate::memory::size_class;

/// The length byte of members whose length does not fit it.
const LONG: u8 = 255;
/// Bytes in front of a short member, and of a long one.
const SHORT_HEADER: usize = 1;
const LONG_HEADER: usize = 9;
/// Members that are brought into the cache together when all are visited.
const BATCH: usize = 32;

/// The size of a member's block, in bytes.
fn block_len(len: usize) -> usize {
    len + if len < LONG as usize { SHORT_HEADER } else { LONG_HEADER }
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(block_len(len), 1).expect("a member is far below isize::MAX")
}

/// A member of a set. Dropping it frees its block.
struct Member(NonNull<u8>);

impl Member {
    fn new(bytes: &[u8]) -> Member {
        let layout = layout(bytes.len());
        // SAFETY: the layout has at least one byte; what is written is the header and the bytes, which is what
        // `block_len` counts.
        unsafe {
            let Some(block) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            let header = if bytes.len() < LONG as usize {
                block.write(bytes.len() as u8);
                SHORT_HEADER
            } else {
                block.write(LONG);
                block.add(1).cast::<[u8; 8]>().write((bytes.len() as u64).to_ne_bytes());
                LONG_HEADER
            };
            block.add(header).copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
            Member(block)
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // SAFETY: the block is live, was allocated with the layout of its length, and is not used afterwards.
        unsafe {
            let len = Member::key(self.0).len();
            dealloc(self.0.as_ptr(), layout(len));
        }
    }
}

// SAFETY: the pointer comes from the allocator (48 significant bits on the supported targets), it is unique to the
// member, and the bytes stay unchanged as long as the member lives.
unsafe impl Item for Member {
    fn into_ptr(self) -> NonNull<u8> {
        let block = self.0;
        std::mem::forget(self);
        block
    }

    unsafe fn from_ptr(block: NonNull<u8>) -> Member {
        Member(block)
    }

    #[inline]
    unsafe fn key<'a>(block: NonNull<u8>) -> &'a [u8] {
        // SAFETY: the caller's block is a live member's: the header says how many bytes follow it.
        unsafe {
            let (header, len) = match block.read() {
                LONG => (LONG_HEADER, u64::from_ne_bytes(block.add(1).cast::<[u8; 8]>().read()) as usize),
                len => (SHORT_HEADER, len as usize),
            };
            NonNull::slice_from_raw_parts(block.add(header), len).as_ref()
        }
    }
}

/// A large set of byte strings. Its operations on one member take a time that does not grow with the set.
pub struct Members {
    table: Table<Member>,
    hasher: KeyHasher,
    /// Memory that the members' blocks take, in bytes.
    block_bytes: usize,
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
        Members { table: Table::new(hasher.clone()), hasher, block_bytes: 0, telling: Slot::default() }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// See [`Table::prefetch`].
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
        self.table.insert(hash, Member::new(member));
        self.block_bytes += size_class(block_len(member.len()));
        true
    }

    /// Takes a member out. Returns whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let hash = self.table.hash(member);
        let Some(position) = self.table.find(hash, member) else { return false };
        if let Some(telling) = self.telling.get_mut() {
            telling.note(hash, member, || Some(()));
        }
        drop(self.table.remove(position));
        self.block_bytes -= size_class(block_len(member.len()));
        true
    }

    /// A member chosen fairly.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<&[u8]> {
        // SAFETY: the table owns the member and is borrowed for as long as its bytes.
        self.table.random(|| rng.u64(..)).map(|member| unsafe { Member::key(member) })
    }

    /// Takes out a member chosen fairly, having shown it to `see`. Returns what that makes of it.
    pub fn pop<R>(&mut self, rng: &mut fastrand::Rng, see: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let address = self.table.random(|| rng.u64(..))?;
        // SAFETY: the table owns the member until it is removed below, when its bytes are used no more.
        let bytes = unsafe { Member::key(address) };
        let seen = see(bytes);
        self.block_bytes -= size_class(block_len(bytes.len()));
        let hash = self.table.hash(bytes);
        if let Some(telling) = self.telling.get_mut() {
            telling.note(hash, bytes, || Some(()));
        }
        let position = self.table.find_address(hash, address);
        drop(self.table.remove(position.expect("what was drawn is in the table")));
        Some(seen)
    }

    /// All members, in no order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { members: self, cursor: 0, batch: Vec::new(), at: 0, ended: false }
    }

    /// Visits members in slices; see [`Table::scan`].
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8])) -> u64 {
        // SAFETY: the table owns the member and is borrowed during the visit.
        self.table.scan(cursor, count, |member| visit(unsafe { Member::key(member) }))
    }

    /// Tells about `count` members. Returns whether all have been told.
    pub fn tell(&mut self, count: usize, tell: &mut dyn FnMut(Piece<'_>)) -> bool {
        let Some(telling) = self.telling.get_mut() else { return true };
        let Some(cursor) = telling.cursor else {
            return telling.tell_rest(count, |member, ()| tell(Piece::Member(member)));
        };
        let mut batch = Vec::with_capacity(count + BATCH);
        let next = self.table.scan(cursor, count, |member| {
            prefetch(member);
            batch.push(member);
        });
        for member in batch {
            // SAFETY: the table owns the member and is borrowed.
            let bytes = unsafe { Member::key(member) };
            match telling.meet(cursor, self.table.hash(bytes), bytes) {
                Met::Skip => {}
                Met::Unchanged | Met::Was(()) => tell(Piece::Member(bytes)),
            }
        }
        telling.cursor = (next != 0).then_some(next);
        false
    }

    /// Frees a few hundred members of a set that nobody uses any more; false when nothing is left.
    pub fn free_slice(&mut self) -> bool {
        self.table.drain_segment(drop)
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.block_bytes
    }

    /// Slots of the table, used or not.
    pub fn capacity(&self) -> usize {
        self.table.capacity()
    }
}

impl Clone for Members {
    fn clone(&self) -> Members {
        let mut copy = Members { block_bytes: self.block_bytes, ..Members::new(self.hasher.clone()) };
        for member in self.iter() {
            copy.table.insert(self.table.hash(member), Member::new(member));
        }
        copy
    }
}

/// The iterator of [`Members::iter`].
pub struct Iter<'a> {
    members: &'a Members,
    cursor: u64,
    /// Members on their way into the cache, of which those before `at` are done.
    batch: Vec<NonNull<u8>>,
    at: usize,
    ended: bool,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while self.at == self.batch.len() {
            if self.ended {
                return None;
            }
            self.batch.clear();
            self.at = 0;
            let batch = &mut self.batch;
            self.cursor = self.members.table.scan(self.cursor, BATCH, |member| {
                prefetch(member);
                batch.push(member);
            });
            self.ended = self.cursor == 0;
        }
        self.at += 1;
        // SAFETY: the table owns the member and is borrowed for 'a.
        Some(unsafe { Member::key(self.batch[self.at - 1]) })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A member that `n` names, of a length around every border of the format.
    fn member(n: u64) -> Vec<u8> {
        let len = [0, 1, 6, 7, 8, 15, 100, 253, 254, 255, 256, 300, 1000][(n % 13) as usize];
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
            assert_eq!(copy.block_bytes, members.block_bytes);
            assert!(copy.iter().all(|bytes| model.contains(bytes)) && copy.len() == model.len());
            assert!(members.random(&mut rng).is_some_and(|bytes| model.contains(bytes)));
        }
        let blocks: usize = model.iter().map(|bytes| size_class(block_len(bytes.len()))).sum();
        assert_eq!(members.block_bytes, blocks);
        while members.free_slice() {}
        assert!(members.is_empty() && members.random(&mut rng).is_none() && members.iter().next().is_none());
    }
}
