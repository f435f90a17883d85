//! A segment of a packed table: buckets that find the strings of one range of hashes, and the heap that has them.
//!
//! ```text
//!   bucket (a cache line)
//!   | 21 fingerprints of a byte, 0 for an empty slot | overflow | 21 places in the heap, of two bytes each |
//! ```
//!
//! A string that finds its home bucket full goes to the next with room; a bucket counts how many went past it, so a lookup
//! stops where none did, and removal leaves no tombstones. A slot knows eight bits of the hash and no more: when strings
//! move, they are hashed anew, which is cheap where they lie together.

use std::ptr::NonNull;

use super::super::hash::KeyHasher;
use super::super::table::prefetch;
use super::heap::{Entry, Heap, Iter, MOST_BYTES, PAGES};

pub const SLOTS: usize = 21;
/// Where in a bucket the count of those that went past it is, and where the places begin.
const OVERFLOW: usize = SLOTS;
const PLACES: usize = SLOTS + 1;
/// Hash bits that choose the home bucket.
const HOME_BITS: u32 = 16;
/// A segment with more hash bits in common than this would need more than a cursor has; that many strings do not exist.
pub const DEEPEST: u32 = 48 - HOME_BITS;
/// The sizes of a segment in buckets: each fills a size class of the allocator.
const SIZES: [u8; 24] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128];
const LARGEST: u8 = 128;
/// Strings in a full segment.
const FULL: usize = limit(LARGEST as usize);
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// How many strings `buckets` buckets hold before there must be more of them: nine tenths of their slots.
const fn limit(buckets: usize) -> usize {
    buckets * SLOTS * 9 / 10
}

/// The smallest size that holds `items` with room to grow by half, if a segment ever gets `most`.
fn size_for(items: usize, most: usize) -> usize {
    let wanted = (items + items / 2).min(most).max(items);
    SIZES.into_iter().find(|&buckets| limit(buckets as usize) >= wanted).unwrap_or(LARGEST) as usize
}

/// A cache line of 21 slots; see above.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Bucket([u8; 64]);

impl Bucket {
    const EMPTY: Bucket = Bucket([0; 64]);

    /// The three words that begin with the fingerprints.
    #[inline]
    fn words(&self) -> [u64; 3] {
        let words = self.0.as_chunks::<8>().0;
        [u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]), u64::from_le_bytes(words[2])]
    }

    /// All slots with this fingerprint. The first is one; behind it there may rarely be one with a fingerprint that differs
    /// in the lowest bit.
    #[inline]
    fn candidates(&self, fingerprint: u8) -> SlotBits {
        let zeros = |word: u64| {
            let differing = word ^ (LOW_BITS * fingerprint as u64);
            differing.wrapping_sub(LOW_BITS) & !differing & HIGH_BITS
        };
        SlotBits::of(self.words().map(zeros))
    }

    /// The slots in use.
    #[inline]
    fn occupied(&self) -> SlotBits {
        SlotBits::of(self.words().map(|word| (((word & !HIGH_BITS) + !HIGH_BITS) | word) & HIGH_BITS))
    }

    /// An empty slot.
    #[inline]
    fn empty(&self) -> Option<usize> {
        let zero = |word: u64| (word.wrapping_sub(LOW_BITS) & !word & HIGH_BITS).trailing_zeros() as usize / 8;
        let [first, second, third] = self.words();
        let slot = match (zero(first), zero(second)) {
            (8, 8) => 16 + zero(third),
            (8, slot) => 8 + slot,
            (slot, _) => slot,
        };
        (slot < SLOTS).then_some(slot)
    }

    /// Where the string of a slot is.
    #[inline]
    fn place(&self, slot: usize) -> u16 {
        u16::from_le_bytes([self.0[PLACES + 2 * slot], self.0[PLACES + 2 * slot + 1]])
    }

    #[inline]
    fn fill(&mut self, slot: usize, fingerprint: u8, at: u16) {
        self.0[slot] = fingerprint;
        [self.0[PLACES + 2 * slot], self.0[PLACES + 2 * slot + 1]] = at.to_le_bytes();
    }

    /// How many strings went past this bucket because it was full; sticks at 255.
    #[inline]
    fn overflow(&mut self) -> &mut u8 {
        &mut self.0[OVERFLOW]
    }

    #[inline]
    fn overflowed(&self) -> bool {
        self.0[OVERFLOW] != 0
    }
}

/// Slots of a bucket: bit 8k + w stands for byte k of its word w.
#[derive(Clone, Copy)]
struct SlotBits(u64);

impl SlotBits {
    /// The bytes whose high bits are set, of the words that have the fingerprints.
    #[inline]
    fn of([first, second, third]: [u64; 3]) -> SlotBits {
        const THIRD: u64 = (1 << (8 * (SLOTS - 16))) - 1;
        SlotBits(first >> 7 | second >> 6 | (third & THIRD) >> 5)
    }
}

impl Iterator for SlotBits {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(bit % 8 * 8 + bit / 8)
    }
}

#[inline]
fn fingerprint(hash: u64) -> u8 {
    // 0 means an empty slot, and 1 may be taken for it; see `Bucket::candidates`.
    (hash as u8).max(2)
}

/// Where a segment has a string.
#[derive(Clone, Copy)]
pub struct Slot {
    bucket: u8,
    slot: u8,
}

/// See above.
#[derive(Clone)]
pub struct Segment {
    /// The least hash that may be here, and how many bits all that may be here share with it.
    start: u64,
    buckets: Box<[Bucket]>,
    heap: Heap,
    items: u16,
    /// Strings and pages with which it splits. They vary by a quarter from one segment to the next: if they were the same for
    /// all, they would all split at nearly the same time.
    most_items: u16,
    most_pages: u8,
    depth: u8,
}

impl Segment {
    /// A segment for the hashes that share `depth` bits with `start`, made for so many strings at first.
    pub fn new(start: u64, depth: u32, items: usize) -> Segment {
        assert!(depth <= DEEPEST, "trillions of strings, or a broken hash");
        let spread = (start.wrapping_add(depth as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize;
        let most_items = FULL - FULL * spread / 1024;
        Segment {
            start,
            buckets: vec![Bucket::EMPTY; size_for(items, most_items)].into(),
            heap: Heap::new(),
            items: 0,
            most_items: most_items as u16,
            most_pages: (PAGES - PAGES * spread / 1024) as u8,
            depth: depth as u8,
        }
    }

    pub fn start(&self) -> u64 {
        self.start
    }

    /// How many hash bits all its strings share.
    #[inline]
    pub fn depth(&self) -> u32 {
        self.depth as u32
    }

    /// The first hash behind its own, if there is one.
    pub fn end(&self) -> Option<u64> {
        if self.depth == 0 { None } else { self.start.checked_add(1 << (64 - self.depth)) }
    }

    /// Where the other half of the segment starts that once split into this one and that.
    pub fn sibling(&self) -> Option<u64> {
        (self.depth > 0).then(|| self.start ^ 1 << (64 - self.depth))
    }

    /// How many strings it has.
    #[inline]
    pub fn items(&self) -> usize {
        self.items as usize
    }

    #[inline]
    pub fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// Bytes of memory that belong to it.
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.buckets) + self.heap.memory_bytes()
    }

    /// The home bucket of a hash.
    #[inline]
    pub fn home(&self, hash: u64) -> usize {
        ((hash << self.depth >> (64 - HOME_BITS)) as usize * self.buckets.len()) >> HOME_BITS
    }

    /// The least hash whose home is this bucket.
    pub fn bound(&self, home: usize) -> u64 {
        let bits = ((home as u64) << HOME_BITS).div_ceil(self.buckets.len() as u64);
        self.start | bits << (64 - HOME_BITS) >> self.depth
    }

    fn next(&self, index: usize) -> usize {
        if index + 1 == self.buckets.len() { 0 } else { index + 1 }
    }

    /// Asks for the home bucket of a hash to be brought into the cache.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        prefetch(NonNull::from(&self.buckets[self.home(hash)]).cast());
    }

    /// Asks for the string that a hash most likely means.
    #[inline]
    pub fn prefetch_string(&self, hash: u64) {
        if let Some(slot) = self.buckets[self.home(hash)].candidates(fingerprint(hash)).next() {
            self.prefetch_place(self.buckets[self.home(hash)].place(slot));
        }
    }

    #[inline]
    fn prefetch_place(&self, at: u16) {
        self.heap.lines(at).into_iter().for_each(|byte| prefetch(byte.into()));
    }

    /// Where the string is that has this hash and these bytes.
    #[inline]
    pub fn find(&self, hash: u64, bytes: &[u8]) -> Option<Slot> {
        let fingerprint = fingerprint(hash);
        let home = self.home(hash);
        let mut index = home;
        loop {
            let bucket = &self.buckets[index];
            for slot in bucket.candidates(fingerprint) {
                if self.heap.is(bucket.place(slot), bytes) {
                    return Some(Slot { bucket: index as u8, slot: slot as u8 });
                }
            }
            if !bucket.overflowed() {
                return None;
            }
            index = self.next(index);
            if index == home {
                return None;
            }
        }
    }

    /// The string of a slot.
    #[inline]
    pub fn get(&self, Slot { bucket, slot }: Slot) -> &[u8] {
        self.heap.get(self.buckets[bucket as usize].place(slot as usize))
    }

    /// A slot by its number, if it is in use.
    pub fn slot(&self, number: usize) -> Option<Slot> {
        let (bucket, slot) = (number / SLOTS, number % SLOTS);
        (self.buckets.get(bucket)?.0[slot] != 0).then_some(Slot { bucket: bucket as u8, slot: slot as u8 })
    }

    /// The slot in use that has so many before it.
    pub fn nth(&self, n: usize) -> Option<Slot> {
        (0..self.buckets.len() * SLOTS).filter_map(|number| self.slot(number)).nth(n)
    }

    /// Whether a string may come in; if not, the segment must be split.
    #[inline]
    pub fn has_room_for(&self, entry: &Entry<'_>) -> bool {
        self.items < self.most_items && self.heap.has_room_for(entry, self.most_pages as usize)
    }

    /// Takes in a string for which there is room and which is not there.
    #[inline]
    pub fn insert(&mut self, hash: u64, entry: Entry<'_>, hasher: &KeyHasher) {
        self.have_slot(hasher);
        let at = self.heap.insert(entry);
        self.place(hash, at);
    }

    /// Sees to it that one more string finds a slot.
    #[inline]
    fn have_slot(&mut self, hasher: &KeyHasher) {
        if self.items as usize == limit(self.buckets.len()) {
            self.grow(hasher);
        }
    }

    #[cold]
    fn grow(&mut self, hasher: &KeyHasher) {
        let items = self.items as usize + 1;
        self.buckets = vec![Bucket::EMPTY; size_for(items, (self.most_items as usize).max(items))].into();
        self.items = 0;
        let heap = std::mem::replace(&mut self.heap, Heap::new());
        for (at, hash) in heap.hashes(hasher) {
            self.place(hash, at);
        }
        self.heap = heap;
    }

    /// Puts a place into the first bucket with room from the home of its hash on.
    fn place(&mut self, hash: u64, at: u16) {
        let mut index = self.home(hash);
        loop {
            let bucket = &mut self.buckets[index];
            if let Some(slot) = bucket.empty() {
                bucket.fill(slot, fingerprint(hash), at);
                self.items += 1;
                return;
            }
            *bucket.overflow() = bucket.overflow().saturating_add(1);
            index = self.next(index);
        }
    }

    /// Takes out the string of a slot; `hash` is its own.
    pub fn remove(&mut self, hash: u64, Slot { bucket: last, slot }: Slot) {
        let bucket = &mut self.buckets[last as usize];
        self.heap.free(bucket.place(slot as usize));
        bucket.fill(slot as usize, 0, 0);
        let mut index = self.home(hash);
        while index != last as usize {
            let passed = self.buckets[index].overflow();
            if *passed != u8::MAX {
                *passed -= 1;
            }
            index = self.next(index);
        }
        self.items -= 1;
    }

    /// Whether so much of it is free that it pays to build it anew.
    #[inline]
    pub fn is_wasteful(&self) -> bool {
        self.heap.is_wasteful()
    }

    /// Whether it and its sibling may be made one, which would not have to split again soon.
    pub fn may_merge(&self, sibling: &Segment) -> bool {
        let bytes = self.heap.live_bytes() + sibling.heap.live_bytes();
        self.depth == sibling.depth && self.items() + sibling.items() <= FULL / 3 && bytes <= MOST_BYTES / 3
    }

    /// Takes in all that was in another one. There is room: some of what was packed in this order, packed again, never needs
    /// more pages than all of it did.
    fn take_all(&mut self, other: Segment, hasher: &KeyHasher) {
        other.heap.drain(|entry| self.take(entry.hash(hasher), entry, hasher));
        self.heap.trim();
    }

    /// Takes in a string as one of many, behind which the heap is trimmed.
    fn take(&mut self, hash: u64, entry: Entry<'_>, hasher: &KeyHasher) {
        self.have_slot(hasher);
        let at = self.heap.insert_one_of_many(entry);
        self.place(hash, at);
    }

    /// Leaves out what is free, and takes the size that fits.
    pub fn rebuild(&mut self, hasher: &KeyHasher) {
        let old = std::mem::replace(self, Segment::new(self.start, self.depth(), self.items()));
        self.take_all(old, hasher);
    }

    /// Takes in its sibling.
    pub fn merge(&mut self, sibling: Segment, hasher: &KeyHasher) {
        let both = self.items() + sibling.items();
        let new = Segment::new(self.start & sibling.start, self.depth() - 1, both);
        let old = std::mem::replace(self, new);
        self.take_all(old, hasher);
        self.take_all(sibling, hasher);
    }

    /// Parts with the strings whose next hash bit is 1.
    pub fn split(&mut self, hasher: &KeyHasher) -> Segment {
        let depth = self.depth() + 1;
        let bit = 1 << (64 - depth);
        let half = |start| Segment::new(start, depth, self.items() / 2);
        let (low, mut high) = (half(self.start), half(self.start | bit));
        let old = std::mem::replace(self, low);
        old.heap.drain(|entry| {
            let hash = entry.hash(hasher);
            let half = if hash & bit == 0 { &mut *self } else { &mut high };
            half.take(hash, entry, hasher);
        });
        self.heap.trim();
        high.heap.trim();
        high
    }

    /// Visits the strings whose home is this bucket. Returns how many there are.
    pub fn visit(&self, home: usize, hasher: &KeyHasher, mut visit: impl FnMut(&[u8])) -> usize {
        let before = if home == 0 { self.buckets.len() } else { home } - 1;
        // Only where strings go past a bucket is one not at home.
        let mut strangers = self.buckets[before].overflowed();
        let mut visited = 0;
        let mut index = home;
        loop {
            let bucket = &self.buckets[index];
            bucket.occupied().for_each(|slot| self.prefetch_place(bucket.place(slot)));
            for at in bucket.occupied().map(|slot| bucket.place(slot)) {
                if !strangers || self.home(self.heap.hash(at, hasher)) == home {
                    visited += 1;
                    visit(self.heap.get(at));
                }
            }
            strangers = true;
            index = self.next(index);
            if !bucket.overflowed() || index == home {
                return visited;
            }
        }
    }

    /// All strings, in no order.
    pub fn iter(&self) -> Iter<'_> {
        self.heap.iter()
    }
}

#[cfg(test)]
impl Segment {
    /// Checks what it counts, and that all that it has is found. Returns the memory that it takes.
    pub fn check(&self, hasher: &KeyHasher) -> usize {
        let used: usize = self.buckets.iter().map(|bucket| bucket.occupied().count()).sum();
        assert_eq!((used, self.heap.iter().count()), (self.items(), self.items()));
        assert!(used <= limit(self.buckets.len()));
        for string in self.iter() {
            let hash = hasher.hash(string);
            assert!(hash >= self.start && self.end().is_none_or(|end| hash < end));
            assert!(self.find(hash, string).is_some_and(|slot| self.get(slot) == string));
        }
        size_of_val(&*self.buckets) + self.heap.check()
    }
}
