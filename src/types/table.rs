//! The table: extendible hashing over segments of cache-line buckets.
//!
//! ```text
//!   hash   |<- depth ->|<--- 10 bits --->|          ...          |<- 8 bits ->|
//!           directory    home bucket                               fingerprint
//!
//!   directory          segment (one allocation)
//!   +--------+         +----------------------------------------------------+
//!   | 0      |-------->| header: items, buckets, depth, window              | 64 bytes
//!   | 1      |----+    +----------------------------------------------------+
//!   | 2      |-+  |    | 7 fingerprints, overflow | 7 slots of 8 bytes      | 64 bytes: a bucket
//!   | 3      |-+  |    | ...                      |                         | at most 63 of them
//!   +--------+ |  +--->+----------------------------------------------------+
//!              |
//!   slot   |<- 16 bits: window of the hash ->|<- 48 bits: address of the item ->|
//! ```
//!
//! The top bits of a key's hash choose the segment, the next ten its home bucket: the table is in hash order, down
//! to the bucket. A lookup reads one directory word, which carries all it needs to know about the segment, one
//! bucket (a cache line) and the item itself. An item that finds its home full goes to the next bucket with
//! room; every bucket counts how many items went past it, so a lookup stops where none did and removal leaves no
//! tombstones.
//!
//! Growth is local. A segment grows through the sizes in [`SIZES`], so that its slots are 79 % used on
//! average, and when the largest is full, it splits in two by the next hash bit. Both read only the segment: the
//! slots carry a 16-bit window of the hash, good for six splits, after which one split reads the keys again. The
//! directory doubles when a segment needs more bits than it has. Segments shrink and merge the same way back.
//!
//! A scan's cursor is a bound in hash order: everything below has been visited. No growth or shrink can move an
//! item across it.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::hash::KeyHasher;

/// What a table holds: an owned pointer to something with a key.
///
/// # Safety
/// The pointer has at most 48 significant bits, is not null and is unique to its item, and the key stays
/// unchanged while a table owns the item.
pub unsafe trait Item: Sized {
    /// Gives up ownership for a pointer.
    fn into_ptr(self) -> NonNull<u8>;
    /// Takes ownership back.
    ///
    /// # Safety
    /// `ptr` came from [`Item::into_ptr`] and is used up by this call.
    unsafe fn from_ptr(ptr: NonNull<u8>) -> Self;
    /// The item's key.
    ///
    /// # Safety
    /// `ptr` came from [`Item::into_ptr`] and its item outlives `'a`.
    unsafe fn key<'a>(ptr: NonNull<u8>) -> &'a [u8];
}

const SLOTS: usize = 7;
/// Buckets whose items are taken out at once when a table is emptied.
const DRAINED: usize = 8;
/// Hash bits that choose the home bucket.
const HOME_BITS: u32 = 10;
/// Splits that the window of a slot is good for.
const WINDOW_SPARE: u32 = 16 - HOME_BITS;
/// The sizes of a segment in buckets. With its header each fills a size class of the allocator.
const SIZES: [u8; 13] = [1, 3, 7, 11, 15, 19, 23, 27, 31, 39, 47, 55, 63];
const LARGEST: usize = 63;
const ADDRESS: u64 = (1 << 48) - 1;
/// Cursors keep this many hash bits, so that every client's number type can hold them.
pub(super) const CURSOR_BITS: u32 = 48;
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
/// The high bits of the seven fingerprint bytes.
const FINGERPRINTS: u64 = HIGH_BITS >> 8;

/// How many items a segment of `buckets` holds before it grows: seven eighths of its slots.
const fn limit(buckets: usize) -> usize {
    buckets * SLOTS * 7 / 8
}

/// The size at which the segment of a hash splits instead of growing: [`LARGEST`] or as little as half of it, by the
/// hash bits that all its keys share. If it were the same for all, they would fill up, and split, nearly all at once.
fn largest(hash: u64, depth: u32) -> usize {
    let shared = hash & !(u64::MAX >> depth);
    LARGEST - (shared.wrapping_add(depth as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59) as usize
}

/// The smallest size that holds `items` with room to grow by a sixth.
fn size_for(items: usize) -> u8 {
    let wanted = items + items / 6;
    SIZES.into_iter().find(|&buckets| limit(buckets as usize) >= wanted).unwrap_or(LARGEST as u8)
}

/// A bucket: one cache line.
#[repr(C, align(64))]
struct Bucket {
    /// Bytes 0..7: the fingerprints of the slots, 0 for an empty one. Byte 7: how many items went past this
    /// bucket because it was full; sticks at 255.
    meta: [u8; 8],
    slots: [u64; SLOTS],
}

/// The first 64 bytes of a segment; the buckets follow.
#[repr(C, align(64))]
struct Header {
    items: u16,
    buckets: u8,
    /// How many hash bits all keys of this segment share.
    depth: u8,
    /// The first hash bit in the slots' windows; `depth - window` is at most [`WINDOW_SPARE`].
    window: u8,
}

/// A directory word: a segment's address (48 bits), and what a lookup must know of it: buckets (6 bits), depth
/// (6 bits), depth - window (3 bits).
#[derive(Clone, Copy, PartialEq)]
struct Segment(u64);

impl Segment {
    /// The word for a segment, which must be live.
    unsafe fn new(header: NonNull<Header>) -> Segment {
        // SAFETY: the caller says so.
        let Header { buckets, depth, window, .. } = unsafe { header.as_ref() };
        let word = *buckets as u64 | (*depth as u64) << 6 | ((depth - window) as u64) << 12;
        Segment(header.as_ptr() as u64 | word << 48)
    }

    fn allocate(buckets: u8, depth: u8, window: u8) -> Segment {
        let layout = Segment::layout(buckets);
        // SAFETY: the layout is not empty; all-zero bytes are a valid header and empty buckets.
        unsafe {
            let Some(block) = NonNull::new(alloc_zeroed(layout).cast::<Header>()) else { handle_alloc_error(layout) };
            block.write(Header { items: 0, buckets, depth, window });
            Segment::new(block)
        }
    }

    /// # Safety
    /// The segment is live, and neither it nor a copy of it is used afterwards. Its items are not dropped.
    unsafe fn free(self) {
        // SAFETY: allocated in `allocate` with the same layout.
        unsafe { dealloc(self.header_ptr().as_ptr().cast(), Segment::layout(self.buckets() as u8)) }
    }

    fn layout(buckets: u8) -> Layout {
        Layout::from_size_align((buckets as usize + 1) * 64, 64).expect("a segment has at most 4096 bytes")
    }

    #[inline]
    fn header_ptr(self) -> NonNull<Header> {
        // SAFETY: a segment's address is never null.
        unsafe { NonNull::new_unchecked((self.0 & ADDRESS) as *mut Header) }
    }

    #[inline]
    fn buckets(self) -> usize {
        (self.0 >> 48 & 63) as usize
    }

    /// Its cache lines: those of the buckets, and that of the header.
    fn lines(self) -> usize {
        self.buckets() + 1
    }

    #[inline]
    fn depth(self) -> u32 {
        (self.0 >> 54 & 63) as u32
    }

    /// How many hash bits of a slot's window lie before the home bits.
    #[inline]
    fn consumed(self) -> u32 {
        (self.0 >> 60 & 7) as u32
    }

    fn window(self) -> u32 {
        self.depth() - self.consumed()
    }

    /// The 16 hash bits that a slot of this segment carries.
    #[inline]
    fn window_of(self, hash: u64) -> u64 {
        hash << self.window() >> 48
    }

    /// The home bucket of an item with this window.
    #[inline]
    fn home(self, window: u64) -> usize {
        let bits = (window << self.consumed() & 0xffff) >> WINDOW_SPARE;
        (bits as usize * self.buckets()) >> HOME_BITS
    }

    #[inline]
    fn bucket_ptr(self, index: usize) -> NonNull<Bucket> {
        debug_assert!(index < self.buckets());
        // SAFETY: a segment has `buckets()` buckets behind its header.
        unsafe { self.header_ptr().cast::<Bucket>().add(1 + index) }
    }

    /// # Safety
    /// The segment is live and the bucket is not changed during `'a`.
    #[inline]
    unsafe fn bucket<'a>(self, index: usize) -> &'a Bucket {
        // SAFETY: the caller's contract.
        unsafe { self.bucket_ptr(index).as_ref() }
    }

    /// # Safety
    /// The segment is live and nothing else looks at the bucket during `'a`.
    #[inline]
    unsafe fn bucket_mut<'a>(self, index: usize) -> &'a mut Bucket {
        // SAFETY: the caller's contract.
        unsafe { self.bucket_ptr(index).as_mut() }
    }

    /// # Safety
    /// The segment is live and nothing else looks at the header during `'a`.
    #[inline]
    unsafe fn header_mut<'a>(self) -> &'a mut Header {
        // SAFETY: the caller's contract.
        unsafe { self.header_ptr().as_mut() }
    }

    /// How many items the segment holds.
    ///
    /// # Safety
    /// The segment is live.
    #[inline]
    unsafe fn items(self) -> usize {
        // SAFETY: the caller's contract.
        unsafe { self.header_ptr().as_ref().items as usize }
    }

    fn next(self, index: usize) -> usize {
        if index + 1 == self.buckets() { 0 } else { index + 1 }
    }

    /// Puts a slot into the first bucket with room from its home on.
    ///
    /// # Safety
    /// The table is owned exclusively and the segment has an empty slot.
    unsafe fn place(self, slot: u64, fingerprint: u8) -> (usize, usize) {
        let mut index = self.home(slot >> 48);
        loop {
            // SAFETY: the caller's exclusive ownership.
            let bucket = unsafe { self.bucket_mut(index) };
            match bucket.empty() {
                Some(at) => {
                    bucket.meta[at] = fingerprint;
                    bucket.slots[at] = slot;
                    // SAFETY: as above.
                    unsafe { self.header_mut().items += 1 };
                    return (index, at);
                }
                None => bucket.meta[SLOTS] = bucket.meta[SLOTS].saturating_add(1),
            }
            index = self.next(index);
        }
    }
}

impl Bucket {
    #[inline]
    fn word(&self) -> u64 {
        u64::from_le_bytes(self.meta)
    }

    /// A bit (the high one of its byte) for each slot that may have this fingerprint: all that have it, and
    /// rarely one that has not.
    #[inline]
    fn candidates(&self, fingerprint: u8) -> u64 {
        let differing = self.word() ^ (LOW_BITS * fingerprint as u64);
        differing.wrapping_sub(LOW_BITS) & !differing & FINGERPRINTS
    }

    /// A bit (the high one of its byte) for each slot in use.
    #[inline]
    fn occupied(&self) -> u64 {
        let word = self.word();
        (((word & !HIGH_BITS) + !HIGH_BITS) | word) & FINGERPRINTS
    }

    fn empty(&self) -> Option<usize> {
        let free = !self.occupied() & FINGERPRINTS;
        (free != 0).then(|| free.trailing_zeros() as usize / 8)
    }

    /// Whether some item went past this bucket.
    #[inline]
    fn overflowed(&self) -> bool {
        self.meta[SLOTS] != 0
    }
}

/// The positions of the bits that [`Bucket::candidates`] and [`Bucket::occupied`] set.
struct SlotBits(u64);

impl Iterator for SlotBits {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let at = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(at)
    }
}

/// Where a scan has an element with a hash: it has visited all that are below its cursor.
#[inline]
pub fn cursor_of(hash: u64) -> u64 {
    hash >> (64 - CURSOR_BITS)
}

#[inline]
fn fingerprint(hash: u64) -> u8 {
    // 0 means an empty slot.
    (hash as u8).max(1)
}

#[inline]
fn address(slot: u64) -> NonNull<u8> {
    // SAFETY: occupied slots hold addresses of items, which are not null.
    unsafe { NonNull::new_unchecked((slot & ADDRESS) as *mut u8) }
}

/// The address of an item, which moves into the table, as a slot holds it.
#[inline]
fn word_of<I: Item>(item: I) -> u64 {
    let word = item.into_ptr().as_ptr() as u64;
    assert!(word & !ADDRESS == 0, "addresses have 48 bits");
    word
}

/// Where an item lies. Good until the next insertion into, or removal from, its table: who uses it later reaches into memory that
/// may be another's. Debug builds, and so all tests, find that out.
#[derive(Clone, Copy)]
pub struct Position {
    segment: Segment,
    bucket: u8,
    slot: u8,
    epoch: Epoch,
}

/// How often items of a table have come, gone or moved. It takes no room and counts nothing but in debug builds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Epoch(#[cfg(debug_assertions)] u64);

impl Epoch {
    #[inline]
    fn advance(&mut self) {
        #[cfg(debug_assertions)]
        {
            self.0 += 1;
        }
    }
}

/// A set of items with unique keys.
pub struct Table<I: Item> {
    /// Empty, or 2^depth words; a segment of smaller depth stands in a run of them.
    directory: Vec<Segment>,
    depth: u32,
    len: usize,
    /// How many segments use all `depth` bits: when none does, the directory halves.
    deepest: usize,
    /// Cache lines of all segments.
    lines: usize,
    hasher: KeyHasher,
    epoch: Epoch,
    items: PhantomData<I>,
}

impl<I: Item> Table<I> {
    /// An empty table; it allocates nothing until the first insertion. One that is emptied keeps its segment if that is small.
    pub fn new(hasher: KeyHasher) -> Table<I> {
        let (directory, epoch) = (Vec::new(), Epoch::default());
        Table { directory, depth: 0, len: 0, deepest: 0, lines: 0, hasher, epoch, items: PhantomData }
    }

    /// How many items there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The hash function of the table.
    pub fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// The hash that all calls here expect for a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }

    #[inline]
    fn directory_index(&self, hash: u64) -> usize {
        // In two steps, because a shift by 64 is not a shift.
        (hash >> 1 >> (63 - self.depth)) as usize
    }

    #[inline]
    fn segment(&self, hash: u64) -> Option<Segment> {
        self.directory.get(self.directory_index(hash)).copied()
    }

    /// Asks for the home bucket of a hash to be brought into the cache.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        if let Some(segment) = self.segment(hash) {
            prefetch(segment.bucket_ptr(segment.home(segment.window_of(hash))).cast());
        }
    }

    /// Asks for the bucket of a hash, or for its item.
    #[inline]
    pub fn prefetch(&self, step: Step, hash: u64) {
        match step {
            Step::Way => self.prefetch_bucket(hash),
            Step::Target => self.prefetch_item(hash),
        }
    }

    /// Asks for the item that a hash most likely means to be brought into the cache.
    #[inline]
    pub fn prefetch_item(&self, hash: u64) {
        if let Some(item) = self.probable(hash) {
            prefetch(item);
        }
    }

    /// The item that a hash most likely means; it is not looked at.
    #[inline]
    pub fn probable(&self, hash: u64) -> Option<NonNull<u8>> {
        let segment = self.segment(hash)?;
        let window = segment.window_of(hash);
        let mut index = segment.home(window);
        // An item is hardly ever further from its home than the next bucket.
        for _ in 0..2 {
            // SAFETY: only read, and let go at once.
            let bucket = unsafe { segment.bucket(index) };
            for at in SlotBits(bucket.candidates(fingerprint(hash))) {
                if bucket.slots[at] >> 48 == window && bucket.slots[at] != 0 {
                    return Some(address(bucket.slots[at]));
                }
            }
            if !bucket.overflowed() {
                return None;
            }
            index = segment.next(index);
        }
        None
    }

    #[inline]
    fn find_by(&self, hash: u64, matches: impl Fn(NonNull<u8>) -> bool) -> Option<Position> {
        let segment = self.segment(hash)?;
        let window = segment.window_of(hash);
        let fingerprint = fingerprint(hash);
        let home = segment.home(window);
        let mut index = home;
        loop {
            // SAFETY: only read, and let go before the next bucket.
            let bucket = unsafe { segment.bucket(index) };
            for at in SlotBits(bucket.candidates(fingerprint)) {
                let slot = bucket.slots[at];
                if slot >> 48 == window && slot != 0 && matches(address(slot)) {
                    return Some(Position { segment, bucket: index as u8, slot: at as u8, epoch: self.epoch });
                }
            }
            if !bucket.overflowed() {
                return None;
            }
            index = segment.next(index);
            if index == home {
                return None;
            }
        }
    }

    /// Where the item with this key is.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<Position> {
        // SAFETY: slots hold live items, which are only read.
        self.find_by(hash, |item| unsafe { I::key(item) } == key)
    }

    /// Where an item is whose key has this hash.
    pub fn find_hash(&self, hash: u64) -> Option<Position> {
        // SAFETY: slots hold live items, which are only read.
        self.find_by(hash, |item| self.hash(unsafe { I::key(item) }) == hash)
    }

    /// Where the item with this address is; `hash` is its key's.
    pub fn find_address(&self, hash: u64, item: NonNull<u8>) -> Option<Position> {
        self.find_by(hash, |found| found == item)
    }

    /// The item's address.
    #[inline]
    pub fn get(&self, position: Position) -> NonNull<u8> {
        debug_assert_eq!(position.epoch, self.epoch, "the position is out of date");
        // SAFETY: the position is good; only read.
        address(unsafe { position.segment.bucket(position.bucket as usize) }.slots[position.slot as usize])
    }

    /// Puts another item with the same key in the place of an item, which is returned.
    #[inline]
    pub fn replace(&mut self, position: Position, item: I) -> I {
        debug_assert_eq!(position.epoch, self.epoch, "the position is out of date");
        // SAFETY: the position is good; the table is borrowed exclusively; the old item leaves the slot, so it is owned once.
        unsafe {
            let slot = &mut position.segment.bucket_mut(position.bucket as usize).slots[position.slot as usize];
            let old = address(*slot);
            *slot = *slot & !ADDRESS | word_of(item);
            I::from_ptr(old)
        }
    }

    /// Takes the item at a position for a moment and puts back what `change` makes of it, which must have the
    /// same key. The caller must not unwind in between: nothing here does.
    #[inline]
    pub fn update(&mut self, position: Position, change: impl FnOnce(I) -> I) {
        debug_assert_eq!(position.epoch, self.epoch, "the position is out of date");
        // SAFETY: the position is good; the item is taken out of the slot and its successor put back before anyone looks.
        unsafe {
            let slot = &mut position.segment.bucket_mut(position.bucket as usize).slots[position.slot as usize];
            let item = change(I::from_ptr(address(*slot)));
            *slot = *slot & !ADDRESS | word_of(item);
        }
    }

    /// Adds an item whose key is not in the table. Returns where it is now.
    pub fn insert(&mut self, hash: u64, item: I) -> Position {
        self.epoch.advance();
        let item = word_of(item);
        if self.directory.is_empty() {
            let first = Segment::allocate(SIZES[0], 0, 0);
            self.directory.push(first);
            self.deepest = 1;
            self.lines = first.lines();
        }
        loop {
            let index = self.directory_index(hash);
            let segment = self.directory[index];
            // SAFETY: the table is borrowed exclusively; `place` is called with room left.
            unsafe {
                if segment.items() < limit(segment.buckets()) {
                    let (bucket, slot) = segment.place(item | segment.window_of(hash) << 48, fingerprint(hash));
                    self.len += 1;
                    return Position { segment, bucket: bucket as u8, slot: slot as u8, epoch: self.epoch };
                }
            }
            if segment.buckets() < largest(hash, segment.depth()) {
                self.resize(index, size_for(limit(segment.buckets()) + 1));
            } else {
                self.split(index);
            }
        }
    }

    /// Takes an item out.
    pub fn remove(&mut self, position: Position) -> I {
        debug_assert_eq!(position.epoch, self.epoch, "the position is out of date");
        self.epoch.advance();
        let Position { segment, bucket: at, slot, .. } = position;
        // SAFETY: the position is good; the table is borrowed exclusively; the item leaves its slot, so it is owned once.
        unsafe {
            let bucket = segment.bucket_mut(at as usize);
            let word = bucket.slots[slot as usize];
            bucket.meta[slot as usize] = 0;
            bucket.slots[slot as usize] = 0;
            let mut index = segment.home(word >> 48);
            while index != at as usize {
                let passed = &mut segment.bucket_mut(index).meta[SLOTS];
                if *passed != u8::MAX {
                    *passed -= 1;
                }
                index = segment.next(index);
            }
            segment.header_mut().items -= 1;
            self.len -= 1;
            let items = segment.items();
            if self.len == 0 {
                // Who empties a small one often fills it again.
                if self.directory.len() > 1 || segment.buckets() > SIZES[0] as usize {
                    self.free_segments();
                }
            } else if items.is_multiple_of(16) && items <= limit(segment.buckets()) / 4 {
                self.shrink(self.hasher.hash(I::key(address(word))), items);
            }
            I::from_ptr(address(word))
        }
    }

    fn free_segments(&mut self) {
        let mut index = 0;
        while index < self.directory.len() {
            let segment = self.directory[index];
            index += 1 << (self.depth - segment.depth());
            // SAFETY: each segment is visited once and the directory is emptied below.
            unsafe { segment.free() };
        }
        self.directory = Vec::new();
        self.depth = 0;
        self.deepest = 0;
        self.lines = 0;
    }

    /// The run of directory words that stand for the segment at `index`.
    fn run(&self, index: usize) -> std::ops::Range<usize> {
        let width = 1 << (self.depth - self.directory[index].depth());
        let start = index & !(width - 1);
        start..start + width
    }

    /// Moves all items of `from` into `into`, whose windows start at the same bit.
    unsafe fn relocate(from: Segment, into: impl Fn(u64) -> Segment) {
        for index in 0..from.buckets() {
            // SAFETY: the caller owns the table; `into` gives other segments than `from`.
            unsafe {
                let bucket = from.bucket(index);
                for at in SlotBits(bucket.occupied()) {
                    let slot = bucket.slots[at];
                    into(slot >> 48).place(slot, bucket.meta[at]);
                }
            }
        }
    }

    fn resize(&mut self, index: usize, buckets: u8) {
        let old = self.directory[index];
        let new = Segment::allocate(buckets, old.depth() as u8, old.window() as u8);
        self.lines = self.lines + new.lines() - old.lines();
        // SAFETY: exclusive; the new segment is larger than the old one's items; the old one is left by all
        // directory words before it is freed.
        unsafe {
            Self::relocate(old, |_| new);
            let run = self.run(index);
            self.directory[run].fill(new);
            old.free();
        }
    }

    fn split(&mut self, index: usize) {
        let old = self.directory[index];
        if old.consumed() == WINDOW_SPARE {
            self.refresh_windows(index);
            return self.split(index);
        }
        if old.depth() == self.depth {
            assert!(self.depth < 40, "a trillion items, or a broken hash");
            self.directory = self.directory.iter().flat_map(|&segment| [segment, segment]).collect();
            self.depth += 1;
            self.deepest = 0;
            return self.split(index * 2);
        }
        let bit = 15 - old.consumed();
        let mut ones = 0;
        // SAFETY: exclusive; as in `resize`.
        unsafe {
            for index in 0..old.buckets() {
                let bucket = old.bucket(index);
                ones += SlotBits(bucket.occupied()).filter(|&at| bucket.slots[at] >> 48 >> bit & 1 == 1).count();
            }
            let zeroes = old.items() - ones;
            let half = |items| Segment::allocate(size_for(items), old.depth() as u8 + 1, old.window() as u8);
            let (low, high) = (half(zeroes), half(ones));
            self.lines = self.lines + low.lines() + high.lines() - old.lines();
            Self::relocate(old, |window| if window >> bit & 1 == 0 { low } else { high });
            let run = self.run(index);
            let middle = run.start + run.len() / 2;
            self.directory[run.start..middle].fill(low);
            self.directory[middle..run.end].fill(high);
            old.free();
        }
        if old.depth() + 1 == self.depth {
            self.deepest += 2;
        }
    }

    /// Reads the keys of a segment again, to let its slots' windows start at its depth.
    fn refresh_windows(&mut self, index: usize) {
        let old = self.directory[index];
        let depth = old.depth() as u8;
        // SAFETY: exclusive; the buckets are changed in place and the directory learns of the new window.
        unsafe {
            old.header_mut().window = depth;
            let new = Segment::new(old.header_ptr());
            for index in 0..old.buckets() {
                for &slot in &old.bucket(index).slots {
                    if slot != 0 {
                        prefetch(address(slot));
                    }
                }
            }
            for index in 0..old.buckets() {
                let bucket = old.bucket_mut(index);
                for at in SlotBits(bucket.occupied()) {
                    let item = bucket.slots[at] & ADDRESS;
                    let hash = self.hasher.hash(I::key(address(item)));
                    bucket.slots[at] = item | new.window_of(hash) << 48;
                }
            }
            let run = self.run(index);
            self.directory[run].fill(new);
        }
    }

    /// Gives memory back around a hash whose segment has become sparse: merges it with its sibling, or makes it
    /// smaller.
    fn shrink(&mut self, hash: u64, items: usize) {
        let index = self.directory_index(hash);
        let segment = self.directory[index];
        let run = self.run(index);
        if segment.depth() > 0 {
            let sibling = self.directory[run.start ^ run.len()];
            // SAFETY: exclusive; only read.
            let both = items + unsafe { sibling.items() };
            if sibling.depth() == segment.depth() && both <= limit(LARGEST) / 3 {
                return self.merge(segment, sibling, run.start & !run.len(), both);
            }
        }
        let buckets = size_for(items);
        if (buckets as usize) < segment.buckets() {
            self.resize(index, buckets);
        }
    }

    fn merge(&mut self, segment: Segment, sibling: Segment, start: usize, items: usize) {
        let depth = segment.depth() - 1;
        // The window must start at or before the new depth; when one does not, both are read again.
        let window = if segment.window() == sibling.window() && segment.window() <= depth {
            segment.window()
        } else {
            depth.saturating_sub(WINDOW_SPARE - 1)
        };
        let merged = Segment::allocate(size_for(items), depth as u8, window as u8);
        self.lines = self.lines + merged.lines() - segment.lines() - sibling.lines();
        // SAFETY: exclusive; the merged segment has room for both, which are freed when no word names them.
        unsafe {
            for old in [segment, sibling] {
                if old.window() == window {
                    Self::relocate(old, |_| merged);
                    continue;
                }
                for index in 0..old.buckets() {
                    let bucket = old.bucket(index);
                    for at in SlotBits(bucket.occupied()) {
                        let item = bucket.slots[at] & ADDRESS;
                        let hash = self.hasher.hash(I::key(address(item)));
                        merged.place(item | merged.window_of(hash) << 48, bucket.meta[at]);
                    }
                }
            }
            let width = 1 << (self.depth - depth);
            self.directory[start..start + width].fill(merged);
            segment.free();
            sibling.free();
        }
        if segment.depth() == self.depth {
            self.deepest -= 2;
        }
        while self.deepest == 0 && self.depth > 0 {
            self.directory = self.directory.iter().copied().step_by(2).collect();
            self.depth -= 1;
            self.deepest = self.directory.iter().filter(|segment| segment.depth() == self.depth).count();
        }
    }

    /// Visits items in hash order from `cursor` on (0 to start), home bucket by home bucket, until at least
    /// `count` were visited. Returns the cursor to go on with, 0 at the end. An item that is in the table from the
    /// first call to the last is visited; one may be visited twice if the table shrinks or grows meanwhile.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(NonNull<u8>)) -> u64 {
        let mut bound = cursor << (64 - CURSOR_BITS);
        let mut visited = 0;
        while let Some(segment) = self.segment(bound) {
            let depth = segment.depth();
            let first = segment.home(segment.window_of(bound));
            for home in first..segment.buckets() {
                let mut index = home;
                loop {
                    // SAFETY: only read.
                    let bucket = unsafe { segment.bucket(index) };
                    for at in SlotBits(bucket.occupied()) {
                        let slot = bucket.slots[at];
                        if segment.home(slot >> 48) == home {
                            visited += 1;
                            visit(address(slot));
                        }
                    }
                    index = segment.next(index);
                    if !bucket.overflowed() || index == home {
                        break;
                    }
                }
                if visited >= count && home + 1 < segment.buckets() {
                    let first_bits = ((home as u64 + 1) << HOME_BITS).div_ceil(segment.buckets() as u64);
                    let prefix = if depth == 0 { 0 } else { bound >> (64 - depth) << (64 - depth) };
                    return (prefix | first_bits << (64 - HOME_BITS - depth)) >> (64 - CURSOR_BITS);
                }
            }
            if depth == 0 {
                return 0;
            }
            let Some(next) = (bound >> (64 - depth)).checked_add(1).filter(|next| next >> depth == 0) else {
                return 0;
            };
            bound = next << (64 - depth);
            if visited >= count {
                return bound >> (64 - CURSOR_BITS);
            }
        }
        0
    }

    /// An item chosen fairly: each is as likely as any other. `random` gives 64 random bits at a call.
    pub fn random(&self, mut random: impl FnMut() -> u64) -> Option<NonNull<u8>> {
        if self.len == 0 {
            return None;
        }
        /// Draws before giving up on luck: a table that has shrunk to one corner of a deep directory is hard to hit.
        const DRAWS: usize = 64;
        let buckets = if self.depth == 0 { self.directory[0].buckets() } else { LARGEST };
        for _ in 0..DRAWS {
            // Every directory word and every slot of the largest segment is as likely as any other; a draw counts
            // only where the word is the first of its segment and the slot is in use.
            let bits = random();
            let index = self.directory_index(bits);
            let segment = self.directory[index];
            let slot = ((bits as u32 as u64 * (buckets * SLOTS) as u64) >> 32) as usize;
            if self.run(index).start != index || slot / SLOTS >= segment.buckets() {
                continue;
            }
            // SAFETY: only read.
            let bucket = unsafe { segment.bucket(slot / SLOTS) };
            if bucket.meta[slot % SLOTS] != 0 {
                return Some(address(bucket.slots[slot % SLOTS]));
            }
        }
        self.nth((random() % self.len as u64) as usize)
    }

    /// The item with a number, counted in hash order segment by segment.
    fn nth(&self, mut n: usize) -> Option<NonNull<u8>> {
        let mut index = 0;
        while index < self.directory.len() {
            let segment = self.directory[index];
            // SAFETY: only read.
            let items = unsafe { segment.items() };
            if n < items {
                // SAFETY: only read.
                let buckets = (0..segment.buckets()).map(|at| unsafe { segment.bucket(at) });
                let mut slots = buckets.flat_map(|bucket| SlotBits(bucket.occupied()).map(|at| bucket.slots[at]));
                return slots.nth(n).map(address);
            }
            n -= items;
            index += 1 << (self.depth - segment.depth());
        }
        None
    }

    /// Takes a few dozen items out and hands them over: a table is emptied by calling this until it returns false. Where
    /// they lie is asked for first, all in a row; at worst each of them is a few cache misses and page walks.
    pub fn drain_some(&mut self, mut take: impl FnMut(I)) -> bool {
        let Some(&segment) = self.directory.last() else { return false };
        // SAFETY: exclusive; each item is owned by `take` when its slot is empty.
        unsafe {
            let first = (0..segment.buckets()).find(|&at| segment.bucket(at).occupied() != 0);
            let first = first.unwrap_or(segment.buckets());
            let end = segment.buckets().min(first + DRAINED);
            for slot in (first..end).flat_map(|at| segment.bucket(at).slots).filter(|&slot| slot != 0) {
                prefetch(address(slot));
            }
            for index in first..end {
                let bucket = segment.bucket_mut(index);
                for at in SlotBits(bucket.occupied()) {
                    bucket.meta[at] = 0;
                    segment.header_mut().items -= 1;
                    self.len -= 1;
                    take(I::from_ptr(address(std::mem::take(&mut bucket.slots[at]))));
                }
            }
            if end < segment.buckets() {
                return true;
            }
        }
        let width = 1usize << (self.depth - segment.depth());
        self.directory.truncate(self.directory.len() - width);
        self.lines -= segment.lines();
        // SAFETY: emptied above, and no longer in the directory.
        unsafe { segment.free() };
        if self.directory.is_empty() {
            self.directory = Vec::new();
            self.depth = 0;
            self.deepest = 0;
        }
        true
    }

    /// Bytes of memory the table itself takes, without its items.
    pub fn memory_bytes(&self) -> usize {
        self.directory.capacity() * size_of::<Segment>() + self.lines * 64
    }

    /// How many slots there are, used or not.
    pub fn capacity(&self) -> usize {
        self.lines * SLOTS
    }
}

impl<I: Item> Drop for Table<I> {
    fn drop(&mut self) {
        while self.drain_some(drop) {}
    }
}

/// How far a value is brought into the cache ahead of its use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// What leads to the element.
    Way,
    /// The element.
    Target,
}

/// Asks for a cache line without waiting for it.
#[inline]
pub fn prefetch(address: NonNull<u8>) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.as_ptr().cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests;
