//! The keyed hash of every table: unpredictable to clients, so that nobody can aim keys at one segment.

use std::hash::{BuildHasher, Hasher};

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

/// A hash function chosen by a seed. Copies hash alike.
#[derive(Clone)]
pub struct KeyHasher(SeedableRandomState);

impl KeyHasher {
    /// The function that belongs to `seed`. Its constants live for the whole process: make one per server.
    pub fn new(seed: u64) -> KeyHasher {
        let shared: &'static SharedSeed = Box::leak(Box::new(SharedSeed::from_u64(seed)));
        KeyHasher(SeedableRandomState::with_seed(seed.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15, shared))
    }

    /// The 64 hash bits of a key; all of them are good.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}
