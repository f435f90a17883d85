//! The packed table: a set of byte strings, found by their hash, in as little memory as can be.
//!
//! ```text
//!   hash   |<- depth ->|<--- 16 bits --->|          ...          |<- 8 bits ->|
//!           directory    home bucket                               fingerprint
//!
//!   directory       segments
//!   +---+           +----------------------+       buckets
//!   | 0 |---------->| start, depth         |------>| 21 fingerprints, overflow | 21 places | 64 bytes, at most 128 of them
//!   | 1 |-----+     | buckets              |       | ...                       |           |
//!   | 2 |---+ |     | heap                 |---+
//!   | 2 |---+ |     +----------------------+   |   pages
//!   +---+   | +---->| ...                  |   +-->| length, bytes | length, bytes | ...   | 4096 bytes, at most 16
//!           |       +----------------------+       | length, bytes ...       | room for a few more
//!           +------>| ...                  |
//!                   +----------------------+
//! ```
//!
//! It is the table of [`super::table`] with other segments: those have an address of 8 bytes for each item, and an allocation of
//! its own for each, where a [`Segment`] has a place of 2 bytes and the strings themselves, one behind the other. So
//! a string takes 4 bytes about, and one for its length, more than it is long.
//!
//! As there, growth is local: a segment splits alone, and merges alone. What it takes is in proportion to a segment, some two
//! thousand strings or 64 KB. A scan's cursor is a bound in hash order, which no growth or shrink can confuse.

mod heap;
mod segment;
#[cfg(test)]
mod tests;

use heap::{Entry, list_bytes};
use segment::{SLOTS, Segment, Slot};

use super::hash::KeyHasher;
use super::table::{CURSOR_BITS, Step, cursor_of};

/// Where a string lies. Good until the next insertion or removal.
#[derive(Clone, Copy)]
pub struct Position {
    segment: u32,
    slot: Slot,
}

/// See above.
pub struct PackedTable {
    /// Empty, or 2^depth numbers of segments; a segment of smaller depth stands in a run of them.
    directory: Vec<u32>,
    segments: Vec<Segment>,
    depth: u32,
    /// At least as many buckets as any segment has.
    widest: usize,
    len: usize,
    /// How many segments use all `depth` bits: when none does, the directory halves.
    deepest: usize,
    /// Memory of what is in the segments.
    bytes: usize,
    hasher: KeyHasher,
}

impl PackedTable {
    /// An empty table; it allocates nothing until the first insertion.
    pub fn new(hasher: KeyHasher) -> PackedTable {
        PackedTable {
            directory: Vec::new(),
            segments: Vec::new(),
            depth: 0,
            widest: 0,
            len: 0,
            deepest: 0,
            bytes: 0,
            hasher,
        }
    }

    /// How many strings there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The hash that all calls here expect for a string.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        self.hasher.hash(bytes)
    }

    #[inline]
    fn directory_index(&self, hash: u64) -> usize {
        // In two steps, because a shift by 64 is not a shift.
        (hash >> 1 >> (63 - self.depth)) as usize
    }

    #[inline]
    fn segment_index(&self, hash: u64) -> Option<usize> {
        self.directory.get(self.directory_index(hash)).map(|&index| index as usize)
    }

    #[inline]
    fn segment(&self, hash: u64) -> Option<&Segment> {
        self.segment_index(hash).map(|index| &self.segments[index])
    }

    /// Asks for the bucket of a hash, or for its string, to be brought into the cache.
    #[inline]
    pub fn prefetch(&self, step: Step, hash: u64) {
        match (self.segment(hash), step) {
            (Some(segment), Step::Way) => segment.prefetch_bucket(hash),
            (Some(segment), Step::Target) => segment.prefetch_string(hash),
            (None, _) => {}
        }
    }

    /// Where a string is.
    #[inline]
    pub fn find(&self, hash: u64, bytes: &[u8]) -> Option<Position> {
        let index = self.segment_index(hash)?;
        let slot = self.segments[index].find(hash, bytes)?;
        Some(Position { segment: index as u32, slot })
    }

    /// The string at a position.
    #[inline]
    pub fn get(&self, position: Position) -> &[u8] {
        self.segments[position.segment as usize].get(position.slot)
    }

    /// Adds a string that is not in the table.
    pub fn insert(&mut self, hash: u64, bytes: &[u8]) {
        if self.segments.is_empty() {
            *self = PackedTable::new(self.hasher.clone());
            self.directory.reserve_exact(1);
            self.directory.push(0);
            self.segments.reserve_exact(1);
            self.segments.push(Segment::new(0, 0, 1));
            self.bytes = self.segments[0].memory_bytes();
            self.deepest = 1;
        }
        let entry = Entry::new(hash, bytes);
        loop {
            let index = self.directory[self.directory_index(hash)] as usize;
            if self.segments[index].has_room_for(&entry) {
                self.change(index, |segment, hasher| segment.insert(hash, entry, hasher));
                self.len += 1;
                return;
            }
            self.split(index);
        }
    }

    /// Takes out the string at a position; `hash` is its own.
    pub fn remove(&mut self, hash: u64, position: Position) {
        let index = position.segment as usize;
        self.change(index, |segment, _| segment.remove(hash, position.slot));
        self.len -= 1;
        if self.len == 0 {
            *self = PackedTable::new(self.hasher.clone());
        } else if self.segments[index].is_wasteful() {
            self.tidy(index);
        }
    }

    /// Changes a segment and keeps count of what it takes.
    #[inline]
    fn change<R>(&mut self, index: usize, change: impl FnOnce(&mut Segment, &KeyHasher) -> R) -> R {
        let segment = &mut self.segments[index];
        self.bytes -= segment.memory_bytes();
        let result = change(segment, &self.hasher);
        self.bytes += segment.memory_bytes();
        self.widest = self.widest.max(segment.buckets());
        result
    }

    /// Has the directory words of a segment's hashes name it.
    fn enter(&mut self, index: usize) {
        let segment = &self.segments[index];
        let first = self.directory_index(segment.start());
        let run = first..first + (1 << (self.depth - segment.depth()));
        self.directory[run].fill(index as u32);
    }

    #[cold]
    fn split(&mut self, index: usize) {
        if self.segments[index].depth() == self.depth {
            self.directory = self.directory.iter().flat_map(|&index| [index, index]).collect();
            self.depth += 1;
            self.deepest = 0;
            self.widest = self.segments.iter().map(Segment::buckets).max().unwrap_or(0);
        }
        let high = self.change(index, Segment::split);
        self.bytes += high.memory_bytes();
        self.widest = self.widest.max(high.buckets());
        if high.depth() == self.depth {
            self.deepest += 2;
        }
        self.segments.push(high);
        self.enter(self.segments.len() - 1);
    }

    /// Builds a segment anew, together with its sibling if both are small.
    #[cold]
    fn tidy(&mut self, index: usize) {
        let segment = &self.segments[index];
        let sibling = segment.sibling().map(|start| self.directory[self.directory_index(start)] as usize);
        match sibling.filter(|&sibling| segment.may_merge(&self.segments[sibling])) {
            Some(sibling) => self.merge(index.min(sibling), index.max(sibling)),
            None => self.change(index, Segment::rebuild),
        }
    }

    fn merge(&mut self, kept: usize, gone: usize) {
        let sibling = self.segments.swap_remove(gone);
        self.bytes -= sibling.memory_bytes();
        if sibling.depth() == self.depth {
            self.deepest -= 2;
        }
        self.change(kept, |segment, hasher| segment.merge(sibling, hasher));
        self.enter(kept);
        if gone < self.segments.len() {
            self.enter(gone);
        }
        while self.deepest == 0 && self.depth > 0 {
            self.directory = self.directory.iter().copied().step_by(2).collect();
            self.depth -= 1;
            self.deepest = self.segments.iter().filter(|segment| segment.depth() == self.depth).count();
            self.widest = self.segments.iter().map(Segment::buckets).max().unwrap_or(0);
        }
    }

    /// Visits strings in hash order from `cursor` on (0 to start), home bucket by home bucket, until at least `count` were
    /// visited. Returns the cursor to go on with, 0 at the end. A string that is in the table from the first call to the last
    /// is visited; one may be visited twice if the table shrinks or grows meanwhile.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8])) -> u64 {
        let mut bound = cursor << (64 - CURSOR_BITS);
        let mut visited = 0;
        while let Some(segment) = self.segment(bound) {
            for home in segment.home(bound)..segment.buckets() {
                visited += segment.visit(home, &self.hasher, &mut visit);
                if visited >= count && home + 1 < segment.buckets() {
                    return cursor_of(segment.bound(home + 1));
                }
            }
            let Some(end) = segment.end() else { break };
            bound = end;
            if visited >= count {
                return cursor_of(bound);
            }
        }
        0
    }

    /// Where a string lies that is chosen fairly: each is as likely as any other. `random` gives 64 random bits at a call.
    pub fn random(&self, mut random: impl FnMut() -> u64) -> Option<Position> {
        if self.len == 0 {
            return None;
        }
        /// Draws before giving up on luck: a table that has shrunk to one corner of a deep directory is hard to hit.
        const DRAWS: usize = 64;
        for _ in 0..DRAWS {
            // Every directory word and every slot of the widest segment is as likely as any other; a draw counts
            // only where the word is the first of its segment and the slot is in use.
            let bits = random();
            let word = self.directory_index(bits);
            let index = self.directory[word];
            let segment = &self.segments[index as usize];
            let number = (bits as u32 as u64 * (self.widest * SLOTS) as u64) >> 32;
            if self.directory_index(segment.start()) == word
                && let Some(slot) = segment.slot(number as usize)
            {
                return Some(Position { segment: index, slot });
            }
        }
        self.nth((random() % self.len as u64) as usize)
    }

    /// Where the string with a number lies, counted segment by segment.
    fn nth(&self, mut n: usize) -> Option<Position> {
        for (index, segment) in self.segments.iter().enumerate() {
            if n < segment.items() {
                return segment.nth(n).map(|slot| Position { segment: index as u32, slot });
            }
            n -= segment.items();
        }
        None
    }

    /// All strings, in no order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { segments: self.segments.iter(), strings: heap::Iter::default() }
    }

    /// Frees a segment of a table that nobody uses any more; false when nothing is left.
    pub fn free_slice(&mut self) -> bool {
        self.directory = Vec::new();
        let Some(segment) = self.segments.pop() else {
            self.segments = Vec::new();
            return false;
        };
        self.len -= segment.items();
        self.bytes -= segment.memory_bytes();
        true
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        list_bytes(&self.directory) + list_bytes(&self.segments) + self.bytes
    }

    /// How many slots there are, used or not.
    pub fn capacity(&self) -> usize {
        self.segments.iter().map(|segment| segment.buckets() * SLOTS).sum()
    }
}

impl Clone for PackedTable {
    fn clone(&self) -> PackedTable {
        let segments = self.segments.clone();
        PackedTable {
            directory: self.directory.clone(),
            bytes: segments.iter().map(Segment::memory_bytes).sum(),
            segments,
            hasher: self.hasher.clone(),
            ..*self
        }
    }
}

/// The iterator of [`PackedTable::iter`].
pub struct Iter<'a> {
    segments: std::slice::Iter<'a, Segment>,
    strings: heap::Iter<'a>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            if let Some(string) = self.strings.next() {
                return Some(string);
            }
            self.strings = self.segments.next()?.iter();
        }
    }
}
