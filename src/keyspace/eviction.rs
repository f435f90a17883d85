//! Eviction: which key goes when memory is short.
//!
//! No order of all keys is kept: that would cost every access. A few keys are drawn at random, those that best deserve
//! to go stay in a small pool from one eviction to the next, and the best of the pool goes, unless it has been used since
//! it was drawn. With a pool the choice comes close to that of the exact order. Source: "Approximated LRU algorithm" in Redis'
//! documentation on key eviction; other than there, the pool knows keys by their hash, so it owns no memory, and no key
//! goes that was used after it was drawn.

use super::entry::EntryRef;
use super::namespace::Namespace;
use super::{Key, Keyspace};
use crate::config::EvictionPolicy;
use crate::effects::Event;
use crate::memory;
use crate::types::table::Position;

/// Candidates that are remembered.
const POOL: usize = 16;

/// Of so many databases with keys some are drawn for one eviction; where there are more, they take turns.
const DATABASES: usize = 16;
/// So many empty ones at least are passed over before an eviction makes do with what it has.
const PASSED: usize = 512;

/// Of keys that are used equally rarely, one in about 23 is the last to go, always the same ones: those whose hash ends in a byte
/// below this. Otherwise each key of a loop that is longer than what fits would go before it is asked for again. What
/// caches of processors do by chance (Qureshi et al., "Adaptive Insertion Policies for High Performance Caching", 2007) is
/// done by hash here, so that it lasts from one round to the next.
const LINGERING: u8 = 11;

/// By what a key deserves to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    /// The longest time without use.
    Idle,
    /// The fewest uses.
    Rare,
    /// The nearest deadline.
    Deadline,
    /// The fewest uses lately, as the sketch of TinyLFU estimates them.
    Counted,
    /// None: chance decides.
    Random,
}

/// A policy taken apart: what keys are chosen by, and whether only keys that expire may go.
fn order_of(policy: EvictionPolicy) -> Option<(Order, bool)> {
    Some(match policy {
        EvictionPolicy::NoEviction => return None,
        EvictionPolicy::AllkeysLru => (Order::Idle, false),
        EvictionPolicy::VolatileLru => (Order::Idle, true),
        EvictionPolicy::AllkeysLfu => (Order::Rare, false),
        EvictionPolicy::VolatileLfu => (Order::Rare, true),
        EvictionPolicy::AllkeysRandom => (Order::Random, false),
        EvictionPolicy::AllkeysTinylfu => (Order::Counted, false),
        EvictionPolicy::VolatileRandom => (Order::Random, true),
        EvictionPolicy::VolatileTtl => (Order::Deadline, true),
    })
}

/// A key that may go.
#[derive(Clone, Copy)]
struct Candidate {
    /// How much it deserves to.
    merit: u64,
    db: usize,
    hash: u64,
}

/// What is remembered between evictions.
#[derive(Default)]
pub struct Evictor {
    /// Candidates in the order of their merit.
    pool: Vec<Candidate>,
    /// The policy they were chosen by.
    policy: Option<EvictionPolicy>,
    /// The database from which a key is drawn next, where databases take turns.
    next_db: usize,
}

impl Evictor {
    /// Remembers a candidate if it is better than one of those in the pool.
    fn consider(&mut self, candidate: Candidate) {
        let full = self.pool.len() == POOL;
        if full && candidate.merit <= self.pool[0].merit {
            return;
        }
        if self.pool.iter().any(|other| (other.db, other.hash) == (candidate.db, candidate.hash)) {
            return;
        }
        if full {
            self.pool.remove(0);
        }
        let at = self.pool.partition_point(|other| other.merit < candidate.merit);
        self.pool.insert(at, candidate);
    }
}

/// What the eviction of a key gave.
#[derive(Clone, Copy, Default)]
pub struct Evicted {
    /// Bytes that came free at once; those of a large value are freed in slices.
    pub freed: isize,
    /// Bytes that the data weigh less.
    pub weight: usize,
}

/// A key of a database drawn at random, of those that expire or of all.
fn draw<'n>(database: &'n Namespace, volatile: bool, rng: &mut fastrand::Rng) -> Option<EntryRef<'n>> {
    if volatile { database.random_volatile(|below| rng.usize(..below)) } else { database.random(|| rng.u64(..)) }
}

impl Keyspace {
    /// Removes one key that the policy chooses, looking at `samples` keys of each of up to [`DATABASES`] databases, or of the one
    /// `within` which it has to be; `None` if no key may go.
    pub fn evict(&mut self, policy: EvictionPolicy, samples: usize, within: Option<usize>) -> Option<Evicted> {
        let (order, volatile) = order_of(policy)?;
        let mut evictor = std::mem::take(self.evictor(within));
        if evictor.policy != Some(policy) {
            evictor = Evictor { policy: Some(policy), ..Evictor::default() };
        }
        let found = match order {
            Order::Random => self.choose_any(&mut evictor, volatile, within),
            Order::Counted => self.choose_by_admission(&mut evictor, samples, within),
            _ => self.choose(&mut evictor, (order, volatile), samples, within),
        };
        *self.evictor(within) = evictor;
        found.map(|(db, position)| self.evict_at(db, position))
    }

    /// What is remembered of candidates of a database, or of all.
    fn evictor(&mut self, within: Option<usize>) -> &mut Evictor {
        match within.and_then(|db| self.directory.profile_mut(db)) {
            Some(profile) => &mut profile.evictor,
            None => &mut self.evictor,
        }
    }

    /// The databases that `within` allows.
    fn eligible(&self, within: Option<usize>) -> std::ops::Range<usize> {
        within.map_or(0..self.databases.len(), |db| db..db + 1)
    }

    /// How much an entry deserves to go. Under TinyLFU the window decides on new keys.
    fn merit(&self, order: Order, db: usize, hash: u64, entry: EntryRef<'_>) -> Option<u64> {
        let idle = || self.access.idle_seconds(entry.access(), self.now_ms);
        match (order, &self.tiny) {
            (Order::Idle, _) => Some(idle()),
            (Order::Rare, _) => {
                let rarity = u64::from(u8::MAX) - u64::from(self.access.frequency(entry.access(), self.now_ms));
                Some(rarity << 1 | u64::from(hash as u8 >= LINGERING))
            }
            (Order::Deadline, _) => Some(entry.deadline().map_or(0, |deadline| u64::MAX - deadline)),
            (Order::Counted, Some(tiny)) if tiny.is_new(db, hash) => None,
            // Of those with as many uses, the one that was not used for the longest time; it has 24 bits.
            (Order::Counted, Some(tiny)) => Some(u64::from(u8::MAX - tiny.frequency(db, hash)) << 24 | idle()),
            (Order::Counted, None) | (Order::Random, _) => Some(0),
        }
    }

    /// The key that goes by W-TinyLFU: the one that leaves the window of new keys, or, if that is asked for more often, the
    /// one that most deserves to go of all others.
    fn choose_by_admission(
        &mut self,
        evictor: &mut Evictor,
        samples: usize,
        within: Option<usize>,
    ) -> Option<(usize, Position)> {
        let eligible = self.eligible(within);
        let leaving = self.tiny.as_mut().and_then(|tiny| tiny.leaving()).and_then(|(db, hash)| {
            let database = self.databases[db].as_deref().filter(|_| eligible.contains(&db))?;
            Some((db, hash, database.find_hash(hash)?))
        });
        let Some((db, position)) = self.choose(evictor, (Order::Counted, false), samples, within) else {
            // There may be nothing but new keys.
            let leaving = leaving.map(|(db, _, position)| (db, position));
            return leaving.or_else(|| self.choose_any(evictor, false, within));
        };
        let (Some((new_db, new_hash, new)), Some(tiny)) = (leaving, &self.tiny) else { return Some((db, position)) };
        let database = self.databases[db].as_deref()?;
        let hash = self.hasher.hash(database.entry(position).key());
        if tiny.frequency(new_db, new_hash) > tiny.frequency(db, hash) {
            return Some((db, position));
        }
        if let Some(merit) = self.merit(Order::Counted, db, hash, database.entry(position)) {
            evictor.consider(Candidate { merit, db, hash });
        }
        Some((new_db, new))
    }

    /// The key that most deserves to go.
    fn choose(
        &mut self,
        evictor: &mut Evictor,
        (order, volatile): (Order, bool),
        samples: usize,
        within: Option<usize>,
    ) -> Option<(usize, Position)> {
        loop {
            let (mut drawn, mut looked) = (false, 0);
            let eligible = self.eligible(within);
            for passed in 0..eligible.len() {
                if looked == DATABASES || (drawn && passed >= PASSED) {
                    break;
                }
                let db = eligible.start + evictor.next_db % eligible.len();
                evictor.next_db = evictor.next_db.wrapping_add(1);
                let Some(database) = self.databases[db].as_deref() else { continue };
                let keys = if volatile { database.expires() } else { database.len() };
                looked += usize::from(keys > 0);
                for _ in 0..samples.min(keys) {
                    let Some(entry) = draw(database, volatile, &mut self.rng) else { break };
                    let hash = self.hasher.hash(entry.key());
                    if let Some(merit) = self.merit(order, db, hash, entry) {
                        evictor.consider(Candidate { merit, db, hash });
                        drawn = true;
                    }
                }
            }
            if !drawn {
                return None;
            }
            // The one drawn last at the latest is still what it was.
            while let Some(best) = evictor.pool.pop() {
                let Some(database) = self.databases[best.db].as_deref() else { continue };
                let Some(position) = database.find_hash(best.hash) else { continue };
                let entry = database.entry(position);
                let eligible = !volatile || entry.deadline().is_some();
                if eligible && self.merit(order, best.db, best.hash, entry) >= Some(best.merit) {
                    return Some((best.db, position));
                }
            }
        }
    }

    /// Any key; databases take turns.
    fn choose_any(
        &mut self,
        evictor: &mut Evictor,
        volatile: bool,
        within: Option<usize>,
    ) -> Option<(usize, Position)> {
        let eligible = self.eligible(within);
        for _ in eligible.clone() {
            let db = eligible.start + evictor.next_db % eligible.len();
            evictor.next_db = evictor.next_db.wrapping_add(1);
            let Some(database) = self.databases[db].as_deref() else { continue };
            let Some(entry) = draw(database, volatile, &mut self.rng) else { continue };
            if let Some(position) = database.find(self.hasher.hash(entry.key()), entry.key()) {
                return Some((db, position));
            }
        }
        None
    }

    /// Remembers what the settings' policy needs to know of keys, and nothing else.
    pub fn follow_policy(&mut self, policy: EvictionPolicy) {
        if policy != EvictionPolicy::AllkeysTinylfu {
            self.tiny = None;
        } else if self.tiny.is_none() {
            self.tiny = Some(Box::default());
            self.fit_sketch();
        }
    }

    fn fit_sketch(&mut self) {
        let keys = self.databases.iter().flatten().map(|database| database.len()).sum();
        if let Some(tiny) = &mut self.tiny {
            tiny.fit(keys);
        }
    }

    /// Counts a use of a key for TinyLFU.
    #[cold]
    pub(super) fn count_use(&mut self, db: usize, position: Position) {
        if let (Some(tiny), Some(database)) = (&mut self.tiny, &self.databases[db]) {
            tiny.used(db, self.hasher.hash(database.entry(position).key()));
        }
    }

    /// Counts a new key for TinyLFU.
    #[cold]
    pub(super) fn count_newcomer(&mut self, db: usize, hash: u64) {
        if self.tiny.as_mut().is_some_and(|tiny| tiny.entered(db, hash)) {
            self.fit_sketch();
        }
    }

    /// How often a key was used lately, as TinyLFU counts, from 0 to 15; `None` under another policy.
    pub fn counted_uses(&self, db: usize, key: Key<'_>) -> Option<u8> {
        self.tiny.as_ref().map(|tiny| tiny.frequency(db, key.hash))
    }

    /// Removes an entry.
    fn evict_at(&mut self, db: usize, position: Position) -> Evicted {
        let Some(database) = self.database(db) else { return Evicted::default() };
        let entry = database.entry(position);
        let weight = database.weigh(entry).bytes();
        if database.is_dead(entry) {
            let before = memory::used();
            self.remove_dead(db, position);
            return Evicted { freed: before as isize - memory::used() as isize, weight };
        }
        self.preserve(db, position);
        let entry = self.database_mut(db).remove(position);
        self.stats.evicted += 1;
        self.effects.changed_uncounted(db, entry.as_ref().key(), Event::EVICTED);
        let before = memory::used();
        self.discard(entry);
        Evicted { freed: before as isize - memory::used() as isize, weight }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::{Expiry, StringValue, Touch};

    const POLICIES: [EvictionPolicy; 8] = [
        EvictionPolicy::AllkeysTinylfu,
        EvictionPolicy::AllkeysLru,
        EvictionPolicy::VolatileLru,
        EvictionPolicy::AllkeysLfu,
        EvictionPolicy::VolatileLfu,
        EvictionPolicy::AllkeysRandom,
        EvictionPolicy::VolatileRandom,
        EvictionPolicy::VolatileTtl,
    ];
    const START_MS: u64 = 1_700_000_000_000;

    fn set(keys: &mut Keyspace, db: usize, n: u64, deadline: Option<u64>) {
        let name = n.to_le_bytes();
        let key = Key { bytes: &name, hash: keys.hash(&name) };
        let expiry = deadline.map_or(Expiry::Clear, Expiry::At);
        keys.set_string(db, key, StringValue::Borrowed(b"v"), expiry, Event::SET);
    }

    fn has(keys: &Keyspace, db: usize, n: u64) -> bool {
        keys.view(db, keys.key(&n.to_le_bytes())).is_some()
    }

    fn len(keys: &Keyspace) -> usize {
        (0..keys.databases()).filter_map(|db| keys.database(db)).map(Namespace::len).sum()
    }

    #[test]
    fn every_policy_removes_what_it_may_and_nothing_else() {
        for policy in POLICIES {
            let mut keys = Keyspace::new(3, 7, START_MS);
            keys.follow_policy(policy);
            // A third of the keys, in two databases, expire.
            for n in 0..600 {
                set(&mut keys, (n % 2) as usize, n, (n % 3 == 0).then_some(START_MS + 100_000 + n));
            }
            let volatile = order_of(policy).is_some_and(|(_, volatile)| volatile);
            let may_go = if volatile { 200 } else { 600 };
            for gone in 1..=may_go {
                assert!(keys.evict(policy, 5, None).is_some(), "{policy:?} after {gone}");
                assert_eq!((len(&keys), keys.stats.evicted), (600 - gone, gone as u64), "{policy:?}");
            }
            assert!(keys.evict(policy, 5, None).is_none(), "{policy:?}: nothing is left that may go");
            assert!((0..600).all(|n| has(&keys, (n % 2) as usize, n) == (volatile && n % 3 != 0)), "{policy:?}");
        }
        assert!(Keyspace::new(1, 7, START_MS).evict(EvictionPolicy::NoEviction, 5, None).is_none());
    }

    #[test]
    fn a_loop_longer_than_what_fits_hits_now_and_then() {
        const FITS: usize = 1000;
        let mut keys = Keyspace::new(1, 5, START_MS);
        keys.access.lfu = true;
        let mut ask = |n: u64| {
            let name = n.to_le_bytes();
            let hit = keys.read(0, keys.key(&name), Touch::Yes).is_some();
            if !hit {
                set(&mut keys, 0, n, None);
                while len(&keys) > FITS {
                    keys.evict(EvictionPolicy::AllkeysLfu, 5, None);
                }
            }
            hit
        };
        // Half of what fits is used all the time, and stays.
        let (mut hot, mut looped) = (0, 0);
        for round in 0..5 {
            for n in 0..3000 {
                (hot, looped) = if round == 4 { (hot, looped) } else { (0, 0) };
                hot += usize::from(ask(n % 500));
                looped += usize::from(ask(10_000 + n));
            }
        }
        assert!(hot >= 2990 && looped > 100, "of 3000 each: {hot}, {looped}");
    }

    #[test]
    fn what_is_used_stays_and_what_is_idle_goes() {
        for (policy, lfu) in [(EvictionPolicy::AllkeysLru, false), (EvictionPolicy::AllkeysLfu, true)] {
            let mut keys = Keyspace::new(1, 11, START_MS);
            keys.access.lfu = lfu;
            (0..1000).for_each(|n| set(&mut keys, 0, n, None));
            // The first hundred are used again and again, while time passes.
            for second in 1..200 {
                keys.set_now(START_MS + second * 1000);
                for n in 0..100u64 {
                    let name = n.to_le_bytes();
                    let key = Key { bytes: &name, hash: keys.hash(&name) };
                    assert!(keys.read(0, key, Touch::Yes).is_some());
                }
            }
            (0..800).for_each(|_| assert!(keys.evict(policy, 5, None).is_some()));
            let kept = (0..100).filter(|&n| has(&keys, 0, n)).count();
            assert!(kept >= 98, "{policy:?} kept {kept} of 100 used keys among the last 200");
        }
    }

    /// A read-through cache of 1000 keys, asked for what `trace` says. Returns the part of the requests that it could answer.
    fn hit_ratio(policy: EvictionPolicy, trace: impl Fn(&mut fastrand::Rng, u64) -> u64) -> f64 {
        const REQUESTS: u64 = 60_000;
        let mut keys = Keyspace::new(1, 23, START_MS);
        keys.follow_policy(policy);
        keys.access.lfu = policy == EvictionPolicy::AllkeysLfu;
        let (mut rng, mut hits) = (fastrand::Rng::with_seed(29), 0);
        for request in 0..REQUESTS {
            keys.set_now(START_MS + request * 100);
            let n = trace(&mut rng, request);
            let name = n.to_le_bytes();
            let key = Key { bytes: &name, hash: keys.hash(&name) };
            if keys.read(0, key, Touch::Yes).is_some() {
                hits += u64::from(request >= REQUESTS / 2);
                continue;
            }
            if len(&keys) == 1000 {
                assert!(keys.evict(policy, 5, None).is_some());
            }
            set(&mut keys, 0, n, None);
        }
        2.0 * hits as f64 / REQUESTS as f64
    }

    #[test]
    fn a_scan_does_not_drive_out_what_is_asked_for_often() {
        // Every other request is for one of 500 keys, the others go round a loop of 3000.
        let scan = |rng: &mut fastrand::Rng, request: u64| {
            if request.is_multiple_of(2) { rng.u64(..500) } else { 1000 + request % 3000 }
        };
        let (lru, tiny) =
            (hit_ratio(EvictionPolicy::AllkeysLru, scan), hit_ratio(EvictionPolicy::AllkeysTinylfu, scan));
        assert!(tiny > 0.5 && tiny > lru + 0.1, "TinyLFU {tiny}, LRU {lru}");
        // Some are asked for much more often than others.
        let skewed = |rng: &mut fastrand::Rng, _: u64| (rng.f64().powi(3) * 10_000.0) as u64;
        let (lru, tiny) =
            (hit_ratio(EvictionPolicy::AllkeysLru, skewed), hit_ratio(EvictionPolicy::AllkeysTinylfu, skewed));
        assert!(tiny > lru, "TinyLFU {tiny}, LRU {lru}");
    }

    #[test]
    fn a_namespace_gives_up_its_own_keys_alone() {
        for policy in POLICIES {
            let mut keys = Keyspace::new(2, 19, START_MS);
            keys.follow_policy(policy);
            (0..200).for_each(|n| set(&mut keys, (n % 2) as usize, n, Some(START_MS + 100_000 + n)));
            for left in (0..100).rev() {
                assert!(keys.evict(policy, 5, Some(1)).is_some());
                assert_eq!(keys.database(1).map(Namespace::len), Some(left), "{policy:?}");
            }
            assert!(keys.evict(policy, 5, Some(1)).is_none());
            assert_eq!(keys.database(0).map(Namespace::len), Some(100), "{policy:?}");
        }
    }

    #[test]
    fn near_deadlines_go_before_far_ones() {
        let mut keys = Keyspace::new(1, 13, START_MS);
        (0..1000).for_each(|n| set(&mut keys, 0, n, Some(START_MS + 100_000 + n * 1000)));
        (0..500).for_each(|_| assert!(keys.evict(EvictionPolicy::VolatileTtl, 10, None).is_some()));
        let near = (0..500).filter(|&n| has(&keys, 0, n)).count();
        assert!(near < 60, "{near} of the nearer half are left");
    }

    #[test]
    fn a_candidate_that_was_used_or_persisted_since_does_not_go() {
        let mut keys = Keyspace::new(1, 17, START_MS);
        (0..20).for_each(|n| set(&mut keys, 0, n, Some(START_MS + 1_000_000)));
        keys.set_now(START_MS + 50_000);
        // This fills the pool.
        assert!(keys.evict(EvictionPolicy::VolatileLru, 20, None).is_some());
        let left: Vec<u64> = (0..20).filter(|&n| has(&keys, 0, n)).collect();
        let (idle, others) = left.split_last().expect("19 keys");
        for &n in others {
            set(&mut keys, 0, n, (n % 2 == 0).then_some(START_MS + 1_000_000));
        }
        assert!(keys.evict(EvictionPolicy::VolatileLru, 20, None).is_some());
        assert!(!has(&keys, 0, *idle), "the only idle key went");
    }
}
