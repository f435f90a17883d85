//! The table against a plain map, and what it promises of scans, chance and memory.

use std::collections::HashMap;

use super::*;

/// An item for tests: a boxed key and value.
struct Pair(Box<(Vec<u8>, u64)>);

// SAFETY: a box's pointer is unique and its key is never changed.
unsafe impl Item for Pair {
    fn into_ptr(self) -> NonNull<u8> {
        NonNull::new(Box::into_raw(self.0).cast()).expect("a box is not null")
    }
    unsafe fn from_ptr(ptr: NonNull<u8>) -> Pair {
        // SAFETY: the caller's contract.
        Pair(unsafe { Box::from_raw(ptr.as_ptr().cast()) })
    }
    unsafe fn key<'a>(ptr: NonNull<u8>) -> &'a [u8] {
        // SAFETY: the caller's contract.
        unsafe { &ptr.cast::<(Vec<u8>, u64)>().as_ref().0 }
    }
}

fn value(item: NonNull<u8>) -> u64 {
    // SAFETY: the tests' tables hold pairs.
    unsafe { item.cast::<(Vec<u8>, u64)>().as_ref().1 }
}

fn table() -> Table<Pair> {
    Table::new(KeyHasher::new(7))
}

fn key(n: u64) -> Vec<u8> {
    format!("key:{n}").into_bytes()
}

fn put(table: &mut Table<Pair>, n: u64, value: u64) {
    let key = key(n);
    let hash = table.hash(&key);
    let item = Pair(Box::new((key.clone(), value)));
    match table.find(hash, &key) {
        Some(position) => drop(table.replace(position, item)),
        None => {
            let position = table.insert(hash, item);
            assert_eq!(table.find(hash, &key).map(|found| table.get(found)), Some(table.get(position)));
        }
    }
}

fn take(table: &mut Table<Pair>, n: u64) -> Option<u64> {
    let key = key(n);
    let position = table.find(table.hash(&key), &key)?;
    Some(table.remove(position).0.1)
}

/// How long the insertions of ten million items take at most. All rounds do the same, so what delays one of them only, like
/// another process, is not the table's: of each insertion the quickest counts.
#[test]
#[ignore = "measures; it takes a minute"]
fn the_longest_growth() {
    const ITEMS: u64 = 10_000_000;
    const ROUNDS: usize = 7;
    let mut quickest = vec![u64::MAX; ITEMS as usize];
    let cycles = quanta::Clock::new();
    for _ in 0..ROUNDS {
        let mut table = table();
        for (n, quickest) in (0..ITEMS).zip(&mut quickest) {
            let key = key(n);
            let (hash, item) = (table.hash(&key), Pair(Box::new((key, n))));
            let started = cycles.raw();
            table.insert(hash, item);
            *quickest = (*quickest).min(cycles.delta_as_nanos(started, cycles.raw()));
        }
        assert_eq!(table.len() as u64, ITEMS);
    }
    quickest.sort_unstable();
    let us = |rank: usize| quickest[quickest.len() - rank] as f64 / 1e3;
    println!("longest insertion: {:.1} us; the hundredth {:.1}, the ten thousandth {:.1}", us(1), us(100), us(10_000));
}

#[test]
fn behaves_like_a_map_while_it_grows_and_shrinks() {
    let mut table = table();
    let mut model: HashMap<u64, u64> = HashMap::new();
    let mut rng = fastrand::Rng::with_seed(1);
    // The range of keys swells and ebbs, so that segments split, merge and refresh their windows.
    for (range, steps) in [(50, 2_000), (200_000, 400_000), (500, 60_000), (100_000, 150_000), (1, 10)] {
        for step in 0..steps {
            let n = rng.u64(0..range);
            if rng.u8(0..10) < 6 {
                put(&mut table, n, step);
                model.insert(n, step);
            } else {
                assert_eq!(take(&mut table, n), model.remove(&n));
            }
            assert_eq!(table.len(), model.len());
        }
        for n in range..200_000 {
            assert_eq!(take(&mut table, n), model.remove(&n));
        }
        for n in 0..range {
            let key = key(n);
            let found = table.find(table.hash(&key), &key).map(|position| value(table.get(position)));
            assert_eq!(found, model.get(&n).copied());
        }
    }
    for n in 0..200_000 {
        take(&mut table, n);
    }
    assert_eq!((table.len(), table.memory_bytes()), (0, 0));
}

#[test]
fn its_memory_is_that_of_its_segments() {
    let (mut table, mut rng) = (table(), fastrand::Rng::with_seed(6));
    for step in 0..30_000 {
        // It grows and shrinks by turns.
        let n = rng.u64(0..4000);
        if step / 6000 % 2 == 0 {
            put(&mut table, n, 0);
        } else {
            take(&mut table, n);
        }
        if step % 50 == 0 {
            let mut segments: Vec<_> = table.directory.iter().map(|one| (one.header_ptr(), one.lines())).collect();
            segments.dedup();
            let lines: usize = segments.iter().map(|(_, lines)| lines).sum();
            let words = table.directory.capacity() * size_of::<Segment>();
            assert_eq!(table.memory_bytes(), words + 64 * lines, "step {step}");
        }
    }
    while table.drain_some(drop) {}
    assert_eq!(table.lines, 0);
}

#[test]
fn a_scan_visits_all_that_stays_while_the_table_changes() {
    let mut rng = fastrand::Rng::with_seed(2);
    for count in [1, 10, 1000] {
        for (before, during) in [(20_000, 3), (20_000, -3), (300, 40), (5, 5), (40_000, -10)] {
            let mut table = table();
            for n in 0..before {
                put(&mut table, n, n);
            }
            let mut seen = vec![0; before as usize];
            let mut cursor = 0;
            let mut next = before;
            loop {
                cursor = table.scan(cursor, count, |item| {
                    if let Some(seen) = seen.get_mut(value(item) as usize) {
                        *seen += 1;
                    }
                });
                if cursor == 0 {
                    break;
                }
                for _ in 0..during {
                    put(&mut table, next, next);
                    next += 1;
                }
                for _ in 0..-during {
                    // Even numbers stay.
                    take(&mut table, rng.u64(0..before) | 1);
                }
            }
            for n in (0..before).step_by(2) {
                assert!(seen[n as usize] > 0, "{n} of {before} was missed");
            }
        }
    }
}

#[test]
fn a_scan_of_a_table_at_rest_visits_each_item_once() {
    for len in [0, 1, 6, 7, 300, 10_000] {
        let mut table = table();
        (0..len).for_each(|n| put(&mut table, n, n));
        let mut seen = vec![0; len as usize];
        let mut cursor = 0;
        loop {
            cursor = table.scan(cursor, 10, |item| seen[value(item) as usize] += 1);
            if cursor == 0 {
                break;
            }
        }
        assert!(seen.iter().all(|&times| times == 1));
    }
}

#[test]
fn random_items_are_fair() {
    for len in [3, 400, 1000] {
        let mut table = table();
        (0..len).for_each(|n| put(&mut table, n, n));
        let mut rng = fastrand::Rng::with_seed(3);
        let mut hits = vec![0u32; len as usize];
        let draws = 200 * len as u32;
        for _ in 0..draws {
            hits[value(table.random(|| rng.u64(..)).expect("not empty")) as usize] += 1;
        }
        // 200 draws each on average; five standard deviations are 71.
        assert!(hits.iter().all(|&n| n.abs_diff(200) < 75), "{hits:?}");
    }
    assert!(table().random(|| 0).is_none());
    // Luck is of no use here: what is left after a scan that removed nearly all lies in one corner.
    let mut sparse = table();
    (0..100_000).for_each(|n| put(&mut sparse, n, n));
    let mut order = Vec::new();
    sparse.scan(0, usize::MAX, |item| order.push(value(item)));
    order.iter().skip(50).for_each(|&n| assert_eq!(take(&mut sparse, n), Some(n)));
    let mut seen = std::collections::HashSet::new();
    let mut rng = fastrand::Rng::with_seed(4);
    for _ in 0..2000 {
        seen.insert(value(sparse.random(|| rng.u64(..)).expect("not empty")));
    }
    assert_eq!(seen.len(), 50);
}

#[test]
fn slots_cost_little_more_than_their_eight_bytes() {
    let mut table = table();
    let (mut worst, mut sum, mut samples) = (0.0f64, 0.0, 0);
    for n in 0..400_000 {
        put(&mut table, n, n);
        if n > 100_000 && n % 10_000 == 0 {
            let bytes = table.memory_bytes() as f64 / table.len() as f64;
            worst = worst.max(bytes);
            sum += bytes;
            samples += 1;
        }
    }
    assert!(sum / (samples as f64) < 12.5 && worst < 14.0, "{} on average, {worst} at worst", sum / samples as f64);
}

#[test]
fn draining_takes_everything_in_steps() {
    let mut table = table();
    (0..10_000).for_each(|n| put(&mut table, n, n));
    let mut taken = 0;
    let mut most = 0;
    loop {
        let before = taken;
        if !table.drain_some(|_| taken += 1) {
            break;
        }
        most = most.max(taken - before);
    }
    assert_eq!((taken, table.len(), table.memory_bytes()), (10_000, 0, 0));
    assert!(most <= DRAINED * SLOTS);
}
