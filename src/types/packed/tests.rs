use std::collections::HashSet;

use super::*;
use crate::memory::size_class;

fn table() -> PackedTable {
    PackedTable::new(KeyHasher::new(7))
}

/// A string that `n` names, of a length around every border of the format.
fn mixed(n: u64) -> Vec<u8> {
    const LENGTHS: [usize; 16] = [0, 1, 2, 3, 6, 20, 20, 20, 124, 125, 126, 127, 510, 511, 512, 5000];
    let mut bytes = n.to_string().into_bytes();
    let length = LENGTHS[(n % 16) as usize];
    if n % 32 < 16 {
        bytes.resize(bytes.len().max(length), b'.');
    }
    if n == 1 { Vec::new() } else { bytes }
}

/// Strings of one length.
fn even(n: u64) -> Vec<u8> {
    format!("member:{n:012}").into_bytes()
}

fn add(table: &mut PackedTable, bytes: &[u8]) -> bool {
    let hash = table.hash(bytes);
    let new = table.find(hash, bytes).is_none();
    if new {
        table.insert(hash, bytes);
        assert_eq!(table.find(hash, bytes).map(|position| table.get(position)), Some(bytes));
    }
    new
}

fn take(table: &mut PackedTable, bytes: &[u8]) -> bool {
    let hash = table.hash(bytes);
    let position = table.find(hash, bytes);
    if let Some(position) = position {
        table.remove(hash, position);
    }
    position.is_some()
}

/// Checks the table's counts, its directory and its segments.
fn check(table: &PackedTable) {
    let bytes: usize = table.segments.iter().map(|segment| segment.check(&table.hasher)).sum();
    assert_eq!(table.bytes, bytes);
    let lists = table.directory.capacity() * 4 + table.segments.capacity() * size_of::<Segment>();
    assert!((lists + bytes..=lists + lists / 4 + 16 + bytes).contains(&table.memory_bytes()));
    assert_eq!(table.segments.iter().map(Segment::items).sum::<usize>(), table.len());
    assert!(table.segments.iter().all(|segment| segment.buckets() <= table.widest));
    assert_eq!(table.segments.iter().filter(|segment| segment.depth() == table.depth).count(), table.deepest);
    let mut covered = 0;
    for (index, segment) in table.segments.iter().enumerate() {
        let first = table.directory_index(segment.start());
        let run = &table.directory[first..first + (1 << (table.depth - segment.depth()))];
        assert!(run.iter().all(|&word| word as usize == index));
        covered += run.len();
    }
    assert_eq!(covered, table.directory.len());
}

#[test]
fn behaves_like_a_set_while_it_grows_and_shrinks() {
    for string in [mixed, even] {
        let (mut table, mut model) = (table(), HashSet::new());
        let mut rng = fastrand::Rng::with_seed(1);
        // The range swells and ebbs, so that segments split, merge and are built anew.
        for (range, steps) in [(50, 2_000), (60_000, 120_000), (500, 30_000), (20_000, 40_000), (1, 10)] {
            for n in range..60_000 {
                assert_eq!(take(&mut table, &string(n)), model.remove(&string(n)));
            }
            check(&table);
            for _ in 0..steps {
                let bytes = string(rng.u64(..range));
                if rng.u8(..10) < 6 {
                    assert_eq!(add(&mut table, &bytes), model.insert(bytes));
                } else {
                    assert_eq!(take(&mut table, &bytes), model.remove(&bytes));
                }
                assert_eq!(table.len(), model.len());
            }
            check(&table);
            let copy = table.clone();
            check(&copy);
            for table in [&table, &copy] {
                assert_eq!(table.iter().map(<[u8]>::to_vec).collect::<HashSet<_>>(), model);
                assert_eq!(table.iter().count(), model.len());
            }
        }
        for bytes in model {
            assert!(take(&mut table, &bytes));
        }
        assert_eq!((table.len(), table.memory_bytes()), (0, 0));
    }
}

#[test]
fn a_scan_visits_all_that_stays_while_the_table_changes() {
    let mut rng = fastrand::Rng::with_seed(2);
    for count in [1, 10, 1000] {
        for (before, during) in [(40_000, 30), (40_000, -30), (300, 40), (5, 5), (80_000, -100)] {
            let mut table = table();
            (0..before).for_each(|n| assert!(add(&mut table, &even(n))));
            let mut seen = HashSet::new();
            let mut cursor = 0;
            let mut next = before;
            loop {
                cursor = table.scan(cursor, count, |bytes| {
                    seen.insert(bytes.to_vec());
                });
                if cursor == 0 {
                    break;
                }
                for _ in 0..during {
                    add(&mut table, &even(next));
                    next += 1;
                }
                for _ in 0..-during {
                    // Even numbers stay.
                    take(&mut table, &even(rng.u64(..before) | 1));
                }
            }
            let missed = (0..before).step_by(2).find(|&n| !seen.contains(&even(n)));
            assert_eq!(missed, None, "of {before}, {count} at once");
        }
    }
}

#[test]
fn a_scan_of_a_table_at_rest_visits_each_once_and_few_at_a_time() {
    for len in [0, 1, 40, 3000, 100_000] {
        let mut table = table();
        (0..len).for_each(|n| assert!(add(&mut table, &even(n))));
        let (mut seen, mut cursor, mut visited) = (HashSet::new(), 0, 0);
        loop {
            let before = visited;
            cursor = table.scan(cursor, 10, |bytes| {
                visited += 1;
                assert!(seen.insert(bytes.to_vec()));
            });
            assert!(visited - before < 10 + 2 * SLOTS);
            if cursor == 0 {
                break;
            }
            assert!(visited - before >= 10 && cursor < 1 << CURSOR_BITS);
        }
        assert_eq!(visited, len as usize);
    }
}

#[test]
fn the_cursor_tells_what_a_scan_has_visited() {
    let mut table = table();
    (0..50_000).for_each(|n| assert!(add(&mut table, &even(n))));
    let mut cursor = 0;
    loop {
        let (hasher, mut least, mut most) = (table.hasher.clone(), u64::MAX, 0);
        let next = table.scan(cursor, 100, |bytes| {
            let at = cursor_of(hasher.hash(bytes));
            (least, most) = (least.min(at), most.max(at));
        });
        assert!(least >= cursor && (next == 0 || most < next));
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
}

#[test]
fn random_strings_are_fair() {
    for len in [3, 400, 6000] {
        let mut table = table();
        (0..len).for_each(|n| assert!(add(&mut table, &even(n))));
        let mut rng = fastrand::Rng::with_seed(3);
        let mut hits = vec![0u32; len as usize];
        for _ in 0..200 * len {
            let drawn = table.get(table.random(|| rng.u64(..)).expect("not empty"));
            let number = std::str::from_utf8(&drawn[7..]).expect("digits");
            hits[number.parse::<usize>().expect("digits")] += 1;
        }
        // 200 draws each on average; five standard deviations are 71.
        assert!(hits.iter().all(|&n| n.abs_diff(200) < 75), "{hits:?}");
    }
    assert!(table().random(|| 0).is_none());
    // Luck is of no use here: what is left lies in one corner.
    let mut sparse = table();
    (0..100_000).for_each(|n| assert!(add(&mut sparse, &even(n))));
    let mut order = Vec::new();
    sparse.scan(0, usize::MAX, |bytes| order.push(bytes.to_vec()));
    order.iter().skip(50).for_each(|bytes| assert!(take(&mut sparse, bytes)));
    let mut rng = fastrand::Rng::with_seed(4);
    let mut random = || sparse.get(sparse.random(|| rng.u64(..)).expect("not empty"));
    let seen: HashSet<&[u8]> = (0..2000).map(|_| random()).collect();
    assert_eq!(seen.len(), 50);
}

#[test]
fn a_string_takes_little_more_than_its_bytes() {
    let mut table = table();
    let (mut worst, mut sum, mut samples) = (0.0f64, 0.0, 0);
    for n in 0..600_000 {
        add(&mut table, &even(n));
        if n > 100_000 && n % 10_000 == 0 {
            let bytes = table.memory_bytes() as f64 / table.len() as f64 - 19.0;
            worst = worst.max(bytes);
            sum += bytes;
            samples += 1;
        }
    }
    let mean = sum / samples as f64;
    assert!(mean < 6.2 && worst < 6.7, "{mean} on average, {worst} at worst");
}

#[test]
fn small_tables_take_little() {
    for length in [8, 19, 64, 100, 300, 500, 600] {
        let mut table = table();
        for n in 0..2000u64 {
            add(&mut table, format!("{n:0length$}").as_bytes());
            let members = table.len();
            // With a block for each, and an address of it.
            let blocks = members * (size_class(1 + length) + 12);
            let most = if members < 100 { 240 + blocks + blocks / 8 } else { blocks + blocks / 25 };
            assert!(table.memory_bytes() <= most, "{members} of {length}: {}", table.memory_bytes());
        }
    }
}

#[test]
fn coming_and_going_leaves_nothing_behind() {
    // As many as before, of the same length: each takes the place of another.
    let mut table = table();
    (0..50_000).for_each(|n| assert!(add(&mut table, &even(n))));
    let before = table.memory_bytes();
    for n in 0..200_000 {
        assert!(take(&mut table, &even(n)) && add(&mut table, &even(n + 50_000)));
    }
    check(&table);
    assert!(table.memory_bytes() < before + before / 8);
    // Of any length: what is free stays a part.
    let mut rng = fastrand::Rng::with_seed(5);
    let any =
        |n: u64| format!("{n}{}", ".".repeat((n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize)).into_bytes();
    let mut table = PackedTable::new(KeyHasher::new(8));
    let mut live: Vec<u64> = (0..20_000).collect();
    live.iter().for_each(|&n| assert!(add(&mut table, &any(n))));
    let before = table.memory_bytes();
    for n in 20_000..100_000 {
        let at = rng.usize(..live.len());
        assert!(take(&mut table, &any(live.swap_remove(at))) && add(&mut table, &any(n)));
        live.push(n);
    }
    check(&table);
    assert!(table.memory_bytes() < before + before / 2, "{before}, then {}", table.memory_bytes());
}

#[test]
fn long_strings_have_blocks_that_go_with_them() {
    let long = |n: u64| format!("{n:01000}").into_bytes();
    let mut table = table();
    (0..1000).for_each(|n| assert!(add(&mut table, &long(n))));
    assert!(table.memory_bytes() >= 1000 * size_class(1000));
    (100..1000).for_each(|n| assert!(take(&mut table, &long(n))));
    check(&table);
    assert!(table.memory_bytes() < 110 * size_class(1000));
    assert!((0..100).all(|n| !add(&mut table, &long(n))));
}

#[test]
fn freeing_takes_everything_in_steps() {
    let mut table = table();
    (0..20_000).for_each(|n| assert!(add(&mut table, &mixed(n))));
    let segments = table.segments.len();
    let steps = std::iter::repeat_with(|| table.free_slice()).take_while(|more| *more).count();
    assert_eq!((steps, table.len(), table.memory_bytes()), (segments, 0, 0));
    assert!(steps > 8 && table.iter().next().is_none() && table.scan(0, 10, |_| ()) == 0);
    assert!(add(&mut table, b"again"));
    check(&table);
}
