//! W-TinyLFU: who may stay is decided by how often keys were asked for lately, not by what a key in memory remembers.
//!
//! A count-min sketch estimates the frequency of every key, in memory or not. New keys stand in a small window, first in
//! first out; when one leaves it and room is needed, it is admitted only if it is asked for more often than the key that
//! would have to go for it. So a loop over more keys than fit passes through the window and leaves the others alone. What
//! is other than in the paper: the window is a queue rather than an LRU list, and the one that would have to go is the
//! least frequent of a few drawn at random ([`super::eviction`]), so that no order of all keys is kept. Source: Einziger,
//! Friedman, Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", 2017.

use std::collections::{HashSet, VecDeque};

/// Four-bit counters in a block of the sketch: a cache line less its epoch.
const COUNTERS: u64 = 120;
/// The highest count.
const HIGHEST: u8 = 15;
/// Counters that a key has, all in one block.
const ROWS: u32 = 4;
/// Keys for each block.
const KEYS: usize = 12;
/// The fewest and the most blocks: 4 KB, and 8 MB.
const FEWEST_BLOCKS: usize = 1 << 6;
const MOST_BLOCKS: usize = 1 << 17;
/// All counts are halved after so many uses for each key in memory.
const USES: usize = 10;
/// The part of the keys that the window holds, and its bounds; ahead of need it may hold twice as many.
const WINDOW_PART: usize = 100;
const WINDOW_MIN: usize = 16;
const WINDOW_MAX: usize = 1 << 15;
/// Keys that leave a window which is too large without a question, when one is asked about.
const ADMITTED_AT_ONCE: usize = 8;
/// New keys between two looks at how many keys there are.
const FIT_EVERY: u32 = 1024;

/// Counters that lie together, and the epoch in which they were halved last.
#[repr(align(64))]
#[derive(Clone)]
struct Block {
    epoch: u32,
    counters: [u8; COUNTERS as usize / 2],
}

/// How often keys were used lately, from 0 to 15, never less than it was.
struct Sketch {
    blocks: Box<[Block]>,
    /// The blocks are halved when they are looked at next after it moved on.
    epoch: u32,
    /// Uses since then, and how many make it move on.
    uses: usize,
    most_uses: usize,
}

impl Sketch {
    fn new(blocks: usize) -> Sketch {
        let block = Block { epoch: 0, counters: [0; COUNTERS as usize / 2] };
        Sketch { blocks: vec![block; blocks].into(), epoch: 0, uses: 0, most_uses: usize::MAX }
    }

    /// The block of a hash. Its lower half decides, so that a sketch of twice the size agrees on the bits they share.
    fn block(&self, hash: u64) -> usize {
        hash as usize & (self.blocks.len() - 1)
    }

    /// The counters of a hash in its block.
    fn counters(hash: u64) -> impl Iterator<Item = usize> {
        let bits = hash >> 32;
        (0..ROWS).map(move |row| (((bits >> (8 * row) & 255) * COUNTERS) >> 8) as usize)
    }

    /// How often the epoch moved on since a block was halved.
    fn behind(&self, block: &Block) -> u32 {
        self.epoch.wrapping_sub(block.epoch).min(4)
    }

    fn estimate(&self, hash: u64) -> u8 {
        let block = &self.blocks[self.block(hash)];
        let least = Self::counters(hash).map(|at| block.counters[at / 2] >> (4 * (at & 1)) & HIGHEST).min();
        least.unwrap_or(0) >> self.behind(block)
    }

    /// Counts a use. Only the lowest of the key's counters go up, which the estimate depends on.
    fn count(&mut self, hash: u64) {
        let (at, epoch) = (self.block(hash), self.epoch);
        let behind = self.behind(&self.blocks[at]);
        let block = &mut self.blocks[at];
        if behind > 0 {
            let kept = HIGHEST >> behind;
            block.counters.iter_mut().for_each(|pair| *pair = *pair >> behind & (kept << 4 | kept));
            block.epoch = epoch;
        }
        let least = Self::counters(hash).map(|at| block.counters[at / 2] >> (4 * (at & 1)) & HIGHEST).min();
        let Some(least) = least.filter(|&least| least < HIGHEST) else { return };
        for at in Self::counters(hash) {
            let pair = &mut block.counters[at / 2];
            if *pair >> (4 * (at & 1)) & HIGHEST == least {
                *pair += 1 << (4 * (at & 1));
            }
        }
        self.uses += 1;
        if self.uses >= self.most_uses {
            self.epoch = self.epoch.wrapping_add(1);
            self.uses /= 2;
        }
    }

    /// Suits it to so many keys; what was counted stays.
    fn fit(&mut self, keys: usize) {
        while self.blocks.len() * KEYS < keys && self.blocks.len() < MOST_BLOCKS {
            self.blocks = [&*self.blocks, &*self.blocks].concat().into();
        }
        self.most_uses = USES * keys.max(FEWEST_BLOCKS * KEYS);
    }
}

/// A key as the window knows it.
type Newcomer = (u32, u64);

/// What the policy remembers.
pub struct TinyLfu {
    sketch: Sketch,
    /// Keys in the order in which they came.
    window: VecDeque<Newcomer>,
    members: HashSet<Newcomer>,
    /// How many it holds when nothing is to be evicted right now.
    room: usize,
    entered: u32,
}

impl Default for TinyLfu {
    fn default() -> TinyLfu {
        let mut sketch = Sketch::new(FEWEST_BLOCKS);
        sketch.fit(0);
        TinyLfu { sketch, window: VecDeque::new(), members: HashSet::new(), room: WINDOW_MIN, entered: 0 }
    }
}

/// A key's hash and its database as one number.
fn name(db: usize, hash: u64) -> u64 {
    hash ^ (db as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl TinyLfu {
    /// A key was used.
    pub fn used(&mut self, db: usize, hash: u64) {
        self.sketch.count(name(db, hash));
    }

    /// A key has come into being, which is a use. Returns whether [`TinyLfu::fit`] is due.
    pub fn entered(&mut self, db: usize, hash: u64) -> bool {
        self.used(db, hash);
        let newcomer = (db as u32, hash);
        if self.members.insert(newcomer) {
            self.window.push_back(newcomer);
            // While there is memory to spare, it is admitted.
            if self.window.len() > 2 * self.room {
                self.leaves();
            }
        }
        self.entered = self.entered.wrapping_add(1);
        self.entered.is_multiple_of(FIT_EVERY)
    }

    /// Suits it to so many keys in memory.
    pub fn fit(&mut self, keys: usize) {
        self.sketch.fit(keys);
        self.room = (keys / WINDOW_PART).clamp(WINDOW_MIN, WINDOW_MAX);
    }

    /// How often a key was used lately: from 0 to 15.
    pub fn frequency(&self, db: usize, hash: u64) -> u8 {
        self.sketch.estimate(name(db, hash))
    }

    /// Whether a key is in the window.
    pub fn is_new(&self, db: usize, hash: u64) -> bool {
        self.members.contains(&(db as u32, hash))
    }

    /// The key that leaves the window, if there are more than `room`; of a window that was filled ahead of need, a few others
    /// are admitted with no question asked.
    pub fn leaving(&mut self) -> Option<(usize, u64)> {
        let surplus = self.window.len().checked_sub(self.room + 1)?;
        for _ in 0..surplus.min(ADMITTED_AT_ONCE) {
            self.leaves();
        }
        self.leaves()
    }

    fn leaves(&mut self) -> Option<(usize, u64)> {
        let (db, hash) = self.window.pop_front()?;
        self.members.remove(&(db, hash));
        Some((db as usize, hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> u64 {
        crate::types::hash::KeyHasher::new(3).hash(&n.to_le_bytes())
    }

    #[test]
    fn estimates_are_not_too_low_and_seldom_too_high() {
        let mut sketch = Sketch::new(FEWEST_BLOCKS);
        sketch.fit(4000);
        for n in 0..4000 {
            (0..n % 7).for_each(|_| sketch.count(hash(n)));
        }
        let off = |n: &u64| u64::from(sketch.estimate(hash(*n))) != n % 7;
        assert!((0..4000).all(|n| u64::from(sketch.estimate(hash(n))) >= n % 7));
        let wrong = (0..4000).filter(off).count();
        assert!(wrong < 400, "{wrong} of 4000");
        assert_eq!(sketch.blocks.len(), 512);
    }

    #[test]
    fn what_was_counted_stays_when_it_grows_and_fades_with_time() {
        let mut sketch = Sketch::new(FEWEST_BLOCKS);
        sketch.fit(0);
        (0..50).for_each(|n| (0..12).for_each(|_| sketch.count(hash(n))));
        sketch.fit(20_000);
        assert!((0..50).all(|n| sketch.estimate(hash(n)) >= 12));
        for halved in [6, 3, 1, 0, 0] {
            sketch.epoch += 1;
            assert!((0..50).all(|n| (halved..halved + 2).contains(&sketch.estimate(hash(n)))), "{halved}");
        }
        // What is used goes on from there.
        sketch.count(hash(1));
        assert_eq!((sketch.estimate(hash(1)), sketch.behind(&sketch.blocks[sketch.block(hash(1))])), (1, 0));
        (0..40).for_each(|_| sketch.count(hash(2)));
        assert_eq!(sketch.estimate(hash(2)), HIGHEST);
    }

    #[test]
    fn its_memory_is_bounded() {
        let mut tiny = TinyLfu::default();
        tiny.fit(usize::MAX / 100);
        assert_eq!(size_of::<Block>() * tiny.sketch.blocks.len(), 8 << 20);
        for n in 0..200_000 {
            tiny.entered(0, hash(n));
        }
        assert_eq!((tiny.window.len(), tiny.members.len()), (2 * WINDOW_MAX, 2 * WINDOW_MAX));
        assert!(tiny.is_new(0, hash(199_999)) && !tiny.is_new(0, hash(5)) && !tiny.is_new(1, hash(199_999)));
        let mut asked = 0;
        while let Some((0, left)) = tiny.leaving() {
            assert!(!tiny.is_new(0, left));
            asked += 1;
        }
        assert_eq!((tiny.window.len(), asked), (WINDOW_MAX, WINDOW_MAX.div_ceil(ADMITTED_AT_ONCE + 1)));
    }
}
