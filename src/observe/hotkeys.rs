//! Hot keys: which keys are accessed most, in memory that does not grow.
//!
//! One access in so many is drawn and counts for all of them; how many depends on how busy the loop is, so that on an idle
//! server every access counts. Drawn accesses go into a set-associative table of counters: the key's hash chooses a set of
//! eight; a key that is not there takes the place of the least of them with a probability that is its share of the sum of
//! both, so that what is frequent gets in and stays, and what is rare passes by. (Randomized admission, d-way: R. Ben Basat,
//! X. Chen, G. Einziger, R. Friedman, Y. Kassner, "Randomized admission policy for efficient top-k and frequency estimation",
//! INFOCOM 2017.)
//!
//! Counters fade with a time constant of a minute. So one that is fed evenly comes to stand at its accesses a minute, and
//! a burst counts in full at first. Keys are known by their hashes; who asks looks in the database for what they are called.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

/// Counters of a set: two cache lines.
const WAYS: usize = 8;
/// Sets, a power of two; with 16 bytes a counter, all take 256 KB.
const SETS: usize = 2048;
/// So many commands have one drawn from them at most.
const MOST_SKIPPED: u64 = 16;
/// Drawn accesses wait in so many places until they are counted.
const MOST_DRAWN: usize = 256;
/// How fast counters fade: to 1/e in so many milliseconds.
const FADE_MS: u64 = 60_000;
/// Milliseconds between two rounds of fading.
const ROUND_MS: u64 = 1000;
/// A counter below this is free.
const NOTHING: f32 = 0.01;

/// What is known of a key.
#[derive(Clone, Copy, Default)]
struct Counter {
    hash: u64,
    /// The label of its database.
    db: u32,
    /// Accesses, faded; 0 if it is free.
    accesses: f32,
}

/// A key that is accessed often, the hottest first in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Hot {
    /// Estimated accesses a minute.
    pub accesses: u64,
    /// Of the key.
    pub hash: Reverse<u64>,
}

/// Estimates how often keys are accessed.
pub struct HotKeys {
    /// Commands until one is drawn; 0 if it has just been.
    left: u32,
    /// How many commands that one stands for.
    weight: u32,
    /// How many the next one will.
    pace: u32,
    on: bool,
    sets: Box<[[Counter; WAYS]]>,
    /// Labels of databases, by their numbers: they change places when databases do. What lies beyond has its number for a label.
    labels: Vec<u32>,
    /// Accesses that are still to be counted: at the end of the turn, so that their cache misses overlap.
    drawn: Vec<Counter>,
    rng: Rng,
    /// Uptime up to which counters have faded, in milliseconds.
    faded_ms: u64,
}

impl HotKeys {
    /// Knows no key. `seed` decides what is drawn.
    pub fn new(seed: u64) -> HotKeys {
        let sets = vec![[Counter::default(); WAYS]; SETS].into_boxed_slice();
        let (drawn, rng) = (Vec::with_capacity(MOST_DRAWN), Rng::with_seed(seed));
        HotKeys { left: 1, weight: 1, pace: 1, on: true, sets, labels: Vec::new(), drawn, rng, faded_ms: 0 }
    }

    /// Turns the drawing on or off. What is known is kept, and fades.
    pub fn turn(&mut self, on: bool) {
        (self.on, self.left) = (on, 1);
    }

    /// Ends a turn of the loop, which had so many commands: what a draw costs is to be small beside a turn.
    pub fn end_turn(&mut self, commands: u64) {
        self.pace = commands.clamp(1, MOST_SKIPPED) as u32;
        self.count_drawn();
    }

    /// Counts a command; true if it is drawn. Then [`HotKeys::draw`] must follow.
    #[inline]
    pub fn is_due(&mut self) -> bool {
        self.left = self.left.wrapping_sub(1);
        self.left == 0
    }

    /// How many commands the drawn one stands for; `None` if nobody wants to know.
    pub fn draw(&mut self) -> Option<u32> {
        if !self.on {
            return None;
        }
        // Skips of random length, for commands may come in a rhythm.
        self.left = self.rng.u32(1..2 * self.pace);
        Some(std::mem::replace(&mut self.weight, self.pace))
    }

    /// Counts accesses of the key with a hash.
    pub fn add(&mut self, db: usize, hash: u64, accesses: u32) {
        if self.drawn.len() == MOST_DRAWN {
            self.count_drawn();
        }
        self.drawn.push(Counter { hash, db: self.label(db), accesses: accesses as f32 });
    }

    fn label(&self, db: usize) -> u32 {
        self.labels.get(db).copied().unwrap_or(db as u32)
    }

    fn count_drawn(&mut self) {
        for at in 0..self.drawn.len() {
            self.count(self.drawn[at]);
        }
        self.drawn.clear();
    }

    fn count(&mut self, Counter { hash, db, accesses }: Counter) {
        let set = &mut self.sets[set_of(db, hash)];
        if let Some(counter) = set.iter_mut().find(|counter| counter.hash == hash && counter.db == db) {
            counter.accesses += accesses;
            return;
        }
        let mut least = 0;
        for at in 1..WAYS {
            if set[at].accesses < set[least].accesses {
                least = at;
            }
        }
        let sum = set[least].accesses + accesses;
        if self.rng.f32() * sum < accesses {
            set[least] = Counter { hash, db, accesses: sum };
        }
    }

    /// Lets time pass, up to an uptime in milliseconds.
    pub fn fade(&mut self, now_ms: u64) {
        let passed_ms = now_ms.saturating_sub(self.faded_ms);
        if passed_ms < ROUND_MS {
            return;
        }
        self.faded_ms = now_ms;
        self.count_drawn();
        let rest = (-(passed_ms as f32) / FADE_MS as f32).exp();
        for counter in self.sets.as_flattened_mut() {
            counter.accesses *= rest;
            if counter.accesses < NOTHING {
                counter.accesses = 0.0;
            }
        }
    }

    /// The keys of a database that are accessed once a minute or more often, the hottest on top. Some may not exist any more.
    pub fn hottest(&mut self, db: usize) -> BinaryHeap<Hot> {
        self.count_drawn();
        let label = self.label(db);
        let counters = self.sets.as_flattened().iter().filter(|counter| counter.db == label);
        let hot =
            counters.map(|counter| Hot { accesses: counter.accesses.round() as u64, hash: Reverse(counter.hash) });
        hot.filter(|hot| hot.accesses > 0).collect()
    }

    /// Follows the exchange of two databases.
    pub fn exchange(&mut self, a: usize, b: usize) {
        self.labels.extend(self.labels.len() as u32..=a.max(b) as u32);
        self.labels.swap(a, b);
    }
}

/// The set in which the key with a hash is counted.
#[inline]
fn set_of(db: u32, hash: u64) -> usize {
    // The same key may be hot in several databases.
    let mixed = (hash ^ u64::from(db)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - SETS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from 0 below a million; how often each comes is inverse to its rank.
    struct Zipf {
        cumulative: Vec<f64>,
        rng: Rng,
    }

    impl Zipf {
        const KEYS: usize = 1_000_000;

        fn new(seed: u64) -> Zipf {
            let mut sum = 0.0;
            let weights = (1..=Zipf::KEYS).map(|rank| 1.0 / rank as f64);
            let running = |weight: f64| {
                sum += weight;
                sum
            };
            Zipf { cumulative: weights.map(running).collect(), rng: Rng::with_seed(seed) }
        }

        fn draw(&mut self) -> usize {
            let at = self.rng.f64() * self.cumulative[Zipf::KEYS - 1];
            self.cumulative.partition_point(|&sum| sum <= at).min(Zipf::KEYS - 1)
        }
    }

    /// A number's hash: any function without collisions that scatters.
    fn hash(number: usize) -> u64 {
        let mixed = (number as u64 ^ 0x5bd1_e995).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ mixed >> 31).wrapping_mul(0x94d0_49bb_1331_11eb)
    }

    fn access(keys: &mut HotKeys, db: usize, hash: u64) {
        if keys.is_due()
            && let Some(weight) = keys.draw()
        {
            keys.add(db, hash, weight);
        }
    }

    fn top(keys: &mut HotKeys, db: usize, count: usize) -> Vec<(u64, u64)> {
        let mut hottest = keys.hottest(db);
        (0..count).map_while(|_| hottest.pop()).map(|hot| (hot.hash.0, hot.accesses)).collect()
    }

    #[test]
    fn the_top_ten_of_a_zipf_stream_over_a_million_keys() {
        for (pace, accesses) in [(1, 1_000_000), (MOST_SKIPPED, 4_000_000)] {
            let (mut keys, mut zipf) = (HotKeys::new(5), Zipf::new(11));
            let mut counts = vec![0u64; Zipf::KEYS];
            keys.end_turn(pace);
            for _ in 0..accesses {
                let number = zipf.draw();
                counts[number] += 1;
                access(&mut keys, 0, hash(number));
            }
            let found = top(&mut keys, 0, 10);
            let mut expected: Vec<usize> = (0..Zipf::KEYS).collect();
            expected.sort_by_key(|&number| Reverse(counts[number]));
            let mut names: Vec<u64> = found.iter().map(|(hash, _)| *hash).collect();
            let mut expected_names: Vec<u64> = expected[..10].iter().map(|&number| hash(number)).collect();
            names.sort_unstable();
            expected_names.sort_unstable();
            assert_eq!(names, expected_names, "one in {pace}");
            for (found, &number) in found.iter().zip(&expected) {
                let off = (found.1 as f64 / counts[number] as f64 - 1.0).abs();
                assert!(off < 0.08, "one in {pace}: {} estimated as {}", counts[number], found.1);
            }
        }
        let bytes = size_of_val(&*HotKeys::new(0).sets);
        assert!(bytes <= 1 << 20, "{bytes} bytes");
    }

    #[test]
    fn few_accesses_of_an_idle_server_are_counted_exactly() {
        let mut keys = HotKeys::new(1);
        for number in 1..=20 {
            (0..number).for_each(|_| access(&mut keys, 3, hash(number)));
        }
        let expected: Vec<_> = (11..=20).rev().map(|number| (hash(number), number as u64)).collect();
        assert_eq!(top(&mut keys, 3, 10), expected);
        assert_eq!(top(&mut keys, 2, 10), []);
    }

    #[test]
    fn an_even_stream_comes_to_its_accesses_a_minute_and_an_end_fades() {
        let mut keys = HotKeys::new(1);
        for second in 1..=600 {
            (0..50).for_each(|_| access(&mut keys, 0, 7));
            keys.fade(second * 1000);
        }
        let (_, accesses) = top(&mut keys, 0, 1)[0];
        assert!((2900..=3050).contains(&accesses), "50 a second are 3000 a minute, not {accesses}");
        keys.fade(660_000);
        let (_, later) = top(&mut keys, 0, 1)[0];
        assert!(later.abs_diff((accesses as f64 / std::f64::consts::E) as u64) <= 1, "{accesses} became {later}");
        keys.fade(2_000_000);
        assert_eq!(top(&mut keys, 0, 1), [], "after half an hour");
    }

    #[test]
    fn what_was_hot_gives_way_to_what_is() {
        let mut keys = HotKeys::new(9);
        // All of one set, so that the new ones have no free counter.
        let rivals: Vec<u64> = (0..).map(hash).filter(|&hash| set_of(0, hash) == 5).take(2 * WAYS).collect();
        for (phase, rivals) in rivals.chunks(WAYS).enumerate() {
            for second in 1..=300 {
                rivals.iter().for_each(|&rival| (0..20).for_each(|_| access(&mut keys, 0, rival)));
                keys.fade((phase as u64 * 300 + second) * 1000);
            }
            let mut found: Vec<u64> = top(&mut keys, 0, WAYS).into_iter().map(|(hash, _)| hash).collect();
            let mut expected = rivals.to_vec();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "phase {phase}");
        }
    }

    #[test]
    fn databases_are_apart_and_can_be_exchanged() {
        let mut keys = HotKeys::new(1);
        keys.add(0, 7, 30);
        keys.add(0, 8, 20);
        keys.add(1, 7, 10);
        keys.add(2, 7, 5);
        keys.exchange(0, 1);
        assert_eq!(top(&mut keys, 0, 10), [(7, 10)]);
        assert_eq!(top(&mut keys, 1, 10), [(7, 30), (8, 20)]);
        assert_eq!(top(&mut keys, 2, 10), [(7, 5)]);
        keys.exchange(2, 2);
        assert_eq!(top(&mut keys, 2, 10), [(7, 5)]);
        keys.add(0, 7, 1);
        keys.exchange(0, 2);
        assert_eq!(top(&mut keys, 0, 10), [(7, 5)]);
        assert_eq!(top(&mut keys, 2, 10), [(7, 11)]);
    }

    #[test]
    fn nothing_is_drawn_while_it_is_off() {
        let mut keys = HotKeys::new(1);
        keys.turn(false);
        (0..100).for_each(|_| access(&mut keys, 0, 7));
        assert_eq!(top(&mut keys, 0, 10), []);
        keys.turn(true);
        (0..100).for_each(|_| access(&mut keys, 0, 7));
        assert_eq!(top(&mut keys, 0, 10), [(7, 100)]);
    }
}
