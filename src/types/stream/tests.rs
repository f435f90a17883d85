//! Streams against plain models, and nodes made of random bytes.

use std::collections::BTreeMap;

use super::node::{self, Entries};
use super::*;
use crate::types::listpack;

const LIMITS: Limits = Limits { bytes: 4096, entries: 100 };

fn id(ms: u64, seq: u64) -> Id {
    Id { ms, seq }
}

fn pairs_of(entry: &Entry<'_>) -> Vec<Vec<u8>> {
    entry.pairs().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]).collect()
}

fn append(log: &mut Log, id: Id, pairs: &[Vec<u8>], limits: Limits) {
    log.append(id, pairs.iter().map(Vec::as_slice), limits).unwrap();
}

/// A log with entries 1-0, 2-0, … in nodes of a few.
fn numbered(entries: u64, node_entries: u64) -> Log {
    let mut log = Log::default();
    for ms in 1..=entries {
        append(&mut log, id(ms, 0), &[b"a".to_vec(), b"b".to_vec()], Limits { entries: node_entries, ..LIMITS });
    }
    log
}

/// An entry as the model has it: its ID, its names and values, and whether it is deleted.
type ModelEntry = (Id, Vec<Vec<u8>>, bool);

/// Nodes as lists of entries.
#[derive(Default)]
struct Model {
    nodes: Vec<Vec<ModelEntry>>,
}

impl Model {
    fn live(&self) -> Vec<(Id, Vec<Vec<u8>>)> {
        let all = self.nodes.iter().flatten();
        all.filter(|entry| !entry.2).map(|(id, pairs, _)| (*id, pairs.clone())).collect()
    }

    fn trim(&mut self, trim: &Trim) -> u64 {
        let (mut removed, mut len) = (0, self.live().len() as u64);
        while !self.nodes.is_empty() {
            let node = &mut self.nodes[0];
            let live = node.iter().filter(|entry| !entry.2).count() as u64;
            let whole = match trim.keep {
                Keep::Last(count) if len <= count => break,
                Keep::Last(count) => len - live >= count,
                Keep::From(id) => node.iter().all(|entry| entry.0 < id),
            };
            if trim.limit > 0 && removed + live > trim.limit {
                break;
            }
            if whole {
                self.nodes.remove(0);
                (len, removed) = (len - live, removed + live);
                continue;
            }
            for entry in node.iter_mut().filter(|_| !trim.whole_nodes) {
                let stop = match trim.keep {
                    Keep::Last(count) => len <= count,
                    Keep::From(id) => entry.0 >= id,
                };
                if stop {
                    break;
                }
                if !std::mem::replace(&mut entry.2, true) {
                    (len, removed) = (len - 1, removed + 1);
                }
            }
            break;
        }
        removed
    }
}

fn check(log: &Log, model: &Model, rng: &mut fastrand::Rng) {
    let live = model.live();
    assert_eq!(log.len(), live.len() as u64);
    assert_eq!(log.node_count(), model.nodes.len());
    assert_eq!(log.first_id(), live.first().map_or(Id::MIN, |entry| entry.0));
    assert_eq!(log.last_entry_id(), live.last().map(|entry| entry.0));
    for ((at, bytes), node) in log.nodes().zip(&model.nodes) {
        assert!(node::validate(bytes, at));
        assert_eq!(Entries::new(bytes, at).count(), node.len());
    }
    let mut bounds = [id(rng.u64(..60), rng.u64(..4)), id(rng.u64(..60), rng.u64(..4))];
    if rng.bool() {
        bounds.sort();
    }
    let within: Vec<_> = live.iter().filter(|entry| entry.0 >= bounds[0] && entry.0 <= bounds[1]).cloned().collect();
    let forth: Vec<_> = log.range(bounds[0], bounds[1]).map(|entry| (entry.id, pairs_of(&entry))).collect();
    let mut back: Vec<_> =
        log.range_backwards(bounds[0], bounds[1]).map(|entry| (entry.id, pairs_of(&entry))).collect();
    back.reverse();
    assert_eq!((&forth, &back), (&within, &within));
    if let Some(count) = log.count_in(bounds[0], bounds[1]) {
        assert_eq!(count, within.len() as u64);
    }
}

fn random_pairs(rng: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let names: &[&[u8]] = &[b"name", b"7", b"", b"-70000", b"other"];
    let usual = rng.u8(..4) > 0;
    (0..if usual { 2 } else { rng.usize(1..5) })
        .flat_map(|n| {
            let name = if usual { names[n] } else { names[rng.usize(..names.len())] };
            let value = match rng.u8(..4) {
                0 => rng.i64(..).to_string().into_bytes(),
                1 => vec![b'x'; rng.usize(..100)],
                _ => rng.u8(..).to_string().into_bytes(),
            };
            [name.to_vec(), value]
        })
        .collect()
}

#[test]
fn every_change_agrees_with_a_plain_model() {
    let mut rng = fastrand::Rng::with_seed(21);
    for round in 0..150 {
        let limits = Limits { bytes: [0, 300, 4096][round % 3], entries: [0, 1, 3, 10][round % 4] };
        let (mut log, mut model) = (Log::default(), Model::default());
        let mut last = Id::MIN;
        for _ in 0..120 {
            match rng.u8(..10) {
                0..6 => {
                    last = id(last.ms + rng.u64(..2), last.seq + 1);
                    if rng.bool() {
                        last.seq = rng.u64(..2) + u64::from(last.ms == log.last_id().ms) * last.seq;
                    }
                    if last <= log.last_id() {
                        last = log.last_id().next().unwrap();
                    }
                    let pairs = random_pairs(&mut rng);
                    let before = log.node_count();
                    append(&mut log, last, &pairs, limits);
                    if log.node_count() > before {
                        model.nodes.push(Vec::new());
                    }
                    model.nodes.last_mut().unwrap().push((last, pairs, false));
                    let node = model.nodes.last().unwrap().len() as u64;
                    assert!(limits.entries == 0 || node <= limits.entries);
                }
                6..8 => {
                    let live = model.live();
                    let mut gone: Vec<Id> = (0..rng.usize(1..4)).map(|_| id(rng.u64(..60), rng.u64(..3))).collect();
                    gone.extend(
                        (0..rng.usize(..3)).filter_map(|_| live.get(rng.usize(..live.len() + 1))).map(|one| one.0),
                    );
                    let mut there = 0;
                    for id in &gone {
                        for entry in model.nodes.iter_mut().flatten().filter(|entry| entry.0 == *id && !entry.2) {
                            entry.2 = true;
                            there += 1;
                            assert!(entry.0 <= log.last_id());
                        }
                        model.nodes.retain(|node| {
                            !node.iter().any(|entry| entry.0 == *id) || node.iter().any(|entry| !entry.2)
                        });
                    }
                    assert_eq!(log.delete(&gone), there);
                }
                8 => {
                    let keep = match rng.bool() {
                        true => Keep::Last(rng.u64(..20)),
                        false => Keep::From(id(rng.u64(..60), rng.u64(..3))),
                    };
                    let trim = Trim { keep, whole_nodes: rng.bool(), limit: rng.u64(..8) };
                    assert_eq!(log.trim(&trim), model.trim(&trim), "{trim:?}");
                }
                _ => {
                    let mut copy = Log::default();
                    for (at, bytes) in log.nodes() {
                        copy.add_node(at, bytes.to_vec()).unwrap();
                    }
                    copy.complete(log.len(), log.counters()).unwrap();
                    assert_eq!(copy.first_id(), log.first_id());
                    log = copy;
                }
            }
            check(&log, &model, &mut rng);
        }
        while log.free_slice() {}
        assert_eq!(log.node_count(), 0);
    }
}

#[test]
fn new_ids() {
    let mut log = Log::default();
    assert_eq!((log.next_id(5), log.next_id(0), log.next_id_at(0)), (Some(id(5, 0)), Some(id(0, 1)), Some(id(0, 1))));
    append(&mut log, id(7, 3), &[b"a".to_vec(), b"b".to_vec()], LIMITS);
    assert_eq!((log.next_id(8), log.next_id(7), log.next_id(6)), (Some(id(8, 0)), Some(id(7, 4)), Some(id(7, 4))));
    assert_eq!((log.next_id_at(7), log.next_id_at(9)), (Some(id(7, 4)), Some(id(9, 0))));
    log.set_counters(Counters { last_id: id(7, u64::MAX), ..log.counters() });
    assert_eq!((log.next_id(7), log.next_id_at(7)), (Some(id(8, 0)), None));
}

#[test]
fn trims_take_whole_nodes_or_parts() {
    let trim = |keep, whole_nodes, limit| {
        let mut log = numbered(30, 10);
        let removed = log.trim(&Trim { keep, whole_nodes, limit });
        assert_eq!(removed, 30 - log.len());
        (removed, log.first_id().ms)
    };
    let cases = [
        (Keep::Last(15), false, 0, (15, 16)),
        (Keep::Last(15), true, 0, (10, 11)),
        (Keep::Last(0), true, 0, (30, 0)),
        (Keep::Last(0), true, 20, (20, 21)),
        (Keep::Last(0), true, 19, (10, 11)),
        (Keep::Last(30), false, 0, (0, 1)),
        (Keep::From(id(11, 0)), true, 0, (10, 11)),
        (Keep::From(id(20, 0)), true, 0, (10, 11)),
        (Keep::From(id(20, 0)), false, 0, (19, 20)),
        (Keep::From(Id::MAX), true, 0, (30, 0)),
    ];
    for (keep, whole_nodes, limit, expected) in cases {
        assert_eq!(trim(keep, whole_nodes, limit), expected, "{keep:?} {whole_nodes} {limit}");
    }
}

#[test]
fn a_node_of_deleted_entries_stays_while_its_last_id_does() {
    let mut log = numbered(3, 10);
    log.delete(&[id(3, 0)]);
    assert_eq!(log.trim(&Trim { keep: Keep::From(id(3, 0)), whole_nodes: false, limit: 0 }), 2);
    assert_eq!((log.len(), log.node_count(), log.first_id(), log.last_entry_id()), (0, 1, Id::MIN, None));
    append(&mut log, id(4, 0), &[b"a".to_vec(), b"b".to_vec()], LIMITS);
    assert_eq!((log.node_count(), log.first_id(), log.first_kept_id()), (1, id(4, 0), Some(id(1, 0))));
}

#[test]
fn what_has_been_read_is_counted_where_it_can_be() {
    let mut log = numbered(5, 2);
    assert_eq!([0, 1, 2, 5, 6].map(|ms| log.entries_until(id(ms, 0))), [Some(0), Some(1), None, Some(5), None]);
    let mut group = Group::new(Id::MIN, Some(0));
    assert_eq!(group.lag(&log), Some(5));
    group.advance(&log, id(1, 0));
    assert_eq!((group.entries_read, group.lag(&log)), (Some(1), Some(4)));
    log.delete(&[id(3, 0)]);
    assert_eq!(group.lag(&log), None, "an entry is gone ahead");
    group.advance(&log, id(2, 0));
    assert_eq!((group.entries_read, group.lag(&log)), (None, None));
    group.advance(&log, id(5, 0));
    assert_eq!((group.entries_read, group.lag(&log)), (Some(5), Some(0)));
    assert_eq!(Group::new(Id::MIN, None).lag(&Log::default()), Some(0));
    log.trim(&Trim { keep: Keep::Last(0), whole_nodes: false, limit: 0 });
    assert_eq!([0, 5, 6].map(|ms| log.entries_until(id(ms, 0))), [Some(5), Some(5), None]);
}

#[test]
fn pending_entries_have_one_consumer_each() {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut group = Group::new(Id::MIN, None);
    let mut model: BTreeMap<Id, (Vec<u8>, u64)> = BTreeMap::new();
    for now_ms in 0..5000 {
        let (entry, name) = (id(rng.u64(..50), 0), vec![b'a' + rng.u8(..4)]);
        match rng.u8(..10) {
            0..4 => {
                let (consumer, _) = group.consumer_named(&name, now_ms);
                group.deliver(entry, consumer, now_ms);
                model.insert(entry, (name, 1));
            }
            4..6 => assert_eq!(group.acknowledge(entry), model.remove(&entry).is_some()),
            6 => {
                group.redeliver(entry, now_ms);
                model.entry(entry).and_modify(|pending| pending.1 += 1);
            }
            7 => {
                let (consumer, _) = group.consumer_named(&name, now_ms);
                group.assign(entry, Pending { delivered_ms: now_ms, deliveries: 9, consumer });
                model.insert(entry, (name, 9));
            }
            8 if rng.u8(..8) == 0 => {
                let before = model.len();
                model.retain(|_, pending| pending.0 != name);
                assert_eq!(group.remove_consumer(&name).unwrap_or(0), before - model.len());
            }
            _ => group = rebuilt(&group),
        }
        let all: Vec<_> = group
            .pending_from(Id::MIN)
            .map(|(id, pending)| (id, (group.consumer(pending.consumer).name().to_vec(), pending.deliveries)))
            .collect();
        assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
        for consumer in group.consumers() {
            let own: Vec<Id> = consumer.pending_from(Id::MIN).collect();
            let expected = model.iter().filter(|(_, pending)| pending.0 == consumer.name()).map(|(&id, _)| id);
            assert_eq!(own, expected.collect::<Vec<_>>());
        }
    }
    while group.free_slice() {}
    assert_eq!((group.pending_len(), group.consumers_len()), (0, 0));
}

/// A group made of another's parts.
fn rebuilt(group: &Group) -> Group {
    let mut copy = Group::new(group.last_id, group.entries_read);
    for (id, pending) in group.pending_from(Id::MIN) {
        copy.restore_pending(id, pending.delivered_ms, pending.deliveries).unwrap();
        assert_eq!(copy.restore_pending(id, 0, 0), Err(Malformed));
    }
    for consumer in group.consumers() {
        let key = copy.add_consumer(consumer.name(), consumer.seen_ms).unwrap();
        copy.consumer_mut(key).active_ms = consumer.active_ms;
        assert!(copy.add_consumer(consumer.name(), 0).is_none());
        for id in consumer.pending_from(Id::MIN) {
            assert_eq!(copy.complete(), Err(Malformed));
            copy.claim_restored(id, key).unwrap();
            assert_eq!(copy.claim_restored(id, key), Err(Malformed));
        }
        assert_eq!(copy.claim_restored(id(99, 9), key), Err(Malformed));
    }
    copy.complete().unwrap();
    copy
}

#[test]
fn a_large_stream_is_freed_in_slices() {
    let mut stream = Stream { log: numbered(3000, 10), ..Stream::default() };
    for name in [b"g", b"h"] {
        let mut group = Group::new(Id::MIN, None);
        let (consumer, _) = group.consumer_named(b"c", 0);
        for ms in 0..2000 {
            group.deliver(id(ms, 0), consumer, 0);
        }
        stream.groups.insert(name[..].into(), Box::new(group));
    }
    assert_eq!(stream.items(), 300 + 2 + 4000);
    let copy = stream.clone();
    let (mut slices, mut before) = (1, stream.items());
    while stream.free_slice() {
        assert!(before - stream.items() <= 1024);
        before = stream.items();
        slices += 1;
    }
    assert!(slices > 8 && stream.items() == 0);
    assert_eq!((copy.items(), copy.log.len()), (4302, 3000));
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let whole = numbered(4, 2);
    let nodes: Vec<_> = whole.nodes().map(|(at, bytes)| (at, bytes.to_vec())).collect();
    let counters = whole.counters();
    let load = |nodes: &[(Id, Vec<u8>)], len, counters| {
        let mut log = Log::default();
        nodes.iter().try_for_each(|(at, bytes)| log.add_node(*at, bytes.clone()))?;
        log.complete(len, counters)
    };
    let reversed: Vec<_> = nodes.iter().rev().cloned().collect();
    let overlapping = [nodes[0].clone(), (id(2, 0), nodes[1].1.clone())];
    let short = Counters { last_id: id(3, 9), ..counters };
    assert_eq!(load(&nodes, 4, counters), Ok(()));
    assert_eq!(load(&nodes, 5, counters), Err(Malformed));
    assert_eq!(load(&nodes, 4, short), Err(Malformed));
    assert_eq!(load(&reversed, 4, counters), Err(Malformed));
    assert_eq!(load(&overlapping, 4, counters), Err(Malformed));
    assert_eq!(load(&[(id(1, 0), listpack::EMPTY.to_vec())], 0, counters), Err(Malformed));
}

#[test]
fn nodes_of_deleted_entries_come_in_any_number() {
    let nobody = |at: Id| {
        let mut bytes = node::begin([].into_iter());
        node::append(&mut bytes, at, at, [&b"f"[..], b"v"].into_iter());
        assert!(node::delete(&mut bytes, at, at));
        (at, bytes)
    };
    let mut log = Log::default();
    let nodes: Vec<_> = numbered(4, 4).nodes().map(|(at, bytes)| (at, bytes.to_vec())).collect();
    for (at, bytes) in nodes.into_iter().chain((5..50_000).map(|ms| nobody(id(ms, 0)))) {
        log.add_node(at, bytes).unwrap();
    }
    let (at, bytes) = nobody(id(49_999, 0));
    assert_eq!(log.add_node(at, bytes), Err(Malformed));
    assert_eq!(log.complete(4, Counters { last_id: id(60_000, 0), ..Counters::default() }), Ok(()));
    assert_eq!((log.len(), log.last_entry_id()), (4, Some(id(4, 0))));
}

#[test]
fn nodes_of_redis_are_ours() {
    // Two entries with the same names, one with others, and the second is deleted.
    let mut log = Log::default();
    for (seq, pairs) in [["a", "1"], ["a", "2"], ["b", "x"]].iter().enumerate() {
        append(&mut log, id(5, seq as u64), &pairs.map(|text| text.as_bytes().to_vec()), LIMITS);
    }
    log.delete(&[id(5, 1)]);
    let (at, bytes) = log.nodes().next().unwrap();
    #[rustfmt::skip]
    let expected = [
        22, 0,
        2, 1, 1, 1, 1, 1, 0x81, b'a', 2, 0, 1,
        2, 1, 0, 1, 0, 1, 1, 1, 4, 1,
        3, 1, 0, 1, 1, 1, 2, 1, 4, 1,
        0, 1, 0, 1, 2, 1, 1, 1, 0x81, b'b', 2, 0x81, b'x', 2, 6, 1,
    ];
    assert_eq!((at, bytes), (id(5, 0), &expected[..]));
}

/// The number of nodes of a radix tree over byte strings of one length, by building it.
fn radix_nodes(keys: &[[u8; 16]], depth: usize) -> usize {
    let common = (depth..16).take_while(|&at| keys.iter().all(|key| key[at] == keys[0][at])).count();
    let here = usize::from(common > 0);
    let depth = depth + common;
    if depth == 16 {
        return here + 1;
    }
    let mut children: BTreeMap<u8, Vec<[u8; 16]>> = BTreeMap::new();
    keys.iter().for_each(|key| children.entry(key[depth]).or_default().push(*key));
    here + 1 + children.values().map(|keys| radix_nodes(keys, depth + 1)).sum::<usize>()
}

#[test]
fn a_radix_tree_is_counted_without_one() {
    assert_eq!(Log::default().radix_nodes(), 1);
    assert_eq!(numbered(1, 1).radix_nodes(), 2);
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..300 {
        let mut log = Log::default();
        let shift = rng.u32(..60);
        for _ in 0..rng.usize(1..60) {
            let last = log.last_id();
            let ms = last.ms.saturating_add(rng.u64(..3) << (shift / (1 + rng.u32(..8))));
            let seq = if ms == last.ms { last.seq + 1 + (rng.u64(..300) >> rng.u32(..9)) } else { rng.u64(..2) };
            append(&mut log, id(ms, seq.max(1)), &[vec![], vec![]], Limits { entries: 1, ..LIMITS });
        }
        let keys: Vec<_> = log.nodes().map(|(at, _)| at.to_bytes()).collect();
        assert_eq!(log.radix_nodes(), radix_nodes(&keys, 0));
        // Counted anew when nodes go, and when they come.
        log.delete(&[Id::from_bytes(keys[0])]);
        assert_eq!(log.radix_nodes(), if keys.len() > 1 { radix_nodes(&keys[1..], 0) } else { 1 });
        append(&mut log, Id::MAX, &[vec![], vec![]], Limits { entries: 1, ..LIMITS });
        let keys: Vec<_> = log.nodes().map(|(at, _)| at.to_bytes()).collect();
        assert_eq!(log.radix_nodes(), radix_nodes(&keys, 0));
    }
}

/// Changed and random bytes: what passes for a node can be read from both ends, searched, changed and appended to. Runs for
/// `FUZZ_SECONDS` when asked, a moment otherwise.
#[test]
fn fuzz_stream_nodes() {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let started = std::time::Instant::now();
    let mut rng = fastrand::Rng::with_seed(seconds.map_or(1, |_| fastrand::u64(..)));
    let (mut round, mut accepted) = (0, 0);
    while seconds.map_or(round < 3000, |seconds: u64| started.elapsed().as_secs() < seconds) {
        round += 1;
        let mut log = Log::default();
        for ms in 1..rng.u64(2..8) {
            append(&mut log, id(ms * 1000, 0), &random_pairs(&mut rng), LIMITS);
        }
        log.delete(&[id(1000 * rng.u64(1..8), 0)]);
        let Some((at, bytes)) = log.nodes().next() else { continue };
        let mut bytes = bytes.to_vec();
        for _ in 0..rng.usize(..4) {
            let place = rng.usize(..bytes.len());
            match rng.u8(..5) {
                0 => bytes[place] = rng.u8(..),
                1 => bytes[place] = bytes[place].wrapping_add(1),
                2 => bytes[place] ^= 1 << rng.u8(..8),
                3 => bytes.truncate(place),
                _ => bytes.insert(place, rng.u8(..)),
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        let at = if rng.bool() { at } else { id(rng.u64(..), rng.u64(..)) };
        let mut restored = Log::default();
        if restored.add_node(at, bytes).is_err() {
            continue;
        }
        accepted += 1;
        let forth: Vec<_> = restored.range(Id::MIN, Id::MAX).map(|entry| (entry.id, pairs_of(&entry))).collect();
        let mut back: Vec<_> =
            restored.range_backwards(Id::MIN, Id::MAX).map(|entry| (entry.id, pairs_of(&entry))).collect();
        back.reverse();
        assert_eq!(forth, back);
        let counters = Counters { last_id: Id::MAX, ..Counters::default() };
        restored.complete(forth.len() as u64, counters).unwrap();
        restored.set_counters(Counters { last_id: forth.last().map_or(at, |entry| entry.0), ..counters });
        if let Some(next) = restored.last_id().next() {
            append(&mut restored, next, &random_pairs(&mut rng), LIMITS);
        }
        for (id, pairs) in &forth {
            assert_eq!(restored.entry(*id).map(|entry| pairs_of(&entry)).as_ref(), Some(pairs));
        }
        let gone: Vec<Id> = forth.iter().map(|entry| entry.0).filter(|_| rng.bool()).collect();
        assert_eq!(restored.delete(&gone), gone.len());
        let trim = Trim { keep: Keep::Last(rng.u64(..3)), whole_nodes: rng.bool(), limit: 0 };
        restored.trim(&trim);
        assert_eq!(restored.range(Id::MIN, Id::MAX).count() as u64, restored.len());
        for (at, bytes) in restored.nodes() {
            assert!(node::validate(bytes, at));
        }
    }
    assert!(seconds.is_some() || accepted > 300, "{accepted}");
}
