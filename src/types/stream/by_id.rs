//! A map from the IDs of entries, most of which come in their order.
//!
//! ```text
//!   tree of chunks:  least ID → │ ID, value │ ID, value │ … up to 64, in the order of their IDs
//! ```
//!
//! What is added behind all others fills the last chunk to the brim, so that a pending entry costs little more than its
//! bytes. A full chunk is halved where something comes between, and a chunk that has lost most joins one beside it.

use std::collections::BTreeMap;

use super::id::Id;
use super::tree_bytes;
use crate::memory::size_class;

/// Most entries of a chunk.
const FULL: usize = 64;
/// With so few, a chunk joins one beside it if both together are no more than three quarters full.
const FEW: usize = FULL / 4;

#[derive(Clone, Debug)]
pub struct ById<V> {
    /// Each under an ID that none of its own is below, and none of those before reaches. None is empty.
    chunks: BTreeMap<Id, Vec<(Id, V)>>,
    len: usize,
}

impl<V> ById<V> {
    pub fn new() -> ById<V> {
        ById { chunks: BTreeMap::new(), len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, id: Id) -> Option<&V> {
        let (_, chunk) = self.chunks.range(..=id).next_back()?;
        let at = chunk.binary_search_by_key(&id, |entry| entry.0).ok()?;
        Some(&chunk[at].1)
    }

    pub fn get_mut(&mut self, id: Id) -> Option<&mut V> {
        let (_, chunk) = self.chunks.range_mut(..=id).next_back()?;
        let at = chunk.binary_search_by_key(&id, |entry| entry.0).ok()?;
        Some(&mut chunk[at].1)
    }

    /// Those from an ID on.
    pub fn from(&self, id: Id) -> impl DoubleEndedIterator<Item = &(Id, V)> {
        let start = self.chunks.range(..=id).next_back().map_or(id, |(&start, _)| start);
        let chunks = self.chunks.range(start..).map(|(_, chunk)| chunk);
        chunks.flat_map(move |chunk| chunk[chunk.partition_point(|entry| entry.0 < id)..].iter())
    }

    /// Puts a value under an ID and returns the one that was there.
    pub fn insert(&mut self, id: Id, value: V) -> Option<V> {
        if self.chunks.first_key_value().is_some_and(|(&least, _)| id < least)
            && let Some((_, first)) = self.chunks.pop_first()
        {
            self.chunks.insert(id, first);
        }
        let last = self.chunks.last_key_value().map(|(&least, _)| least);
        let Some((&least, chunk)) = self.chunks.range_mut(..=id).next_back() else {
            self.len += 1;
            self.chunks.insert(id, vec![(id, value)]);
            return None;
        };
        let at = match chunk.binary_search_by_key(&id, |entry| entry.0) {
            Ok(at) => return Some(std::mem::replace(&mut chunk[at].1, value)),
            Err(at) => at,
        };
        self.len += 1;
        if chunk.len() < FULL {
            chunk.insert(at, (id, value));
        } else if at == FULL && last == Some(least) {
            self.chunks.insert(id, vec![(id, value)]);
        } else {
            let mut behind = chunk.split_off(FULL / 2);
            let middle = behind[0].0;
            match at.checked_sub(FULL / 2) {
                Some(at @ 1..) => behind.insert(at, (id, value)),
                _ => chunk.insert(at, (id, value)),
            }
            self.chunks.insert(middle, behind);
        }
        None
    }

    /// Removes what is under an ID.
    pub fn remove(&mut self, id: Id) -> Option<V> {
        let (&least, chunk) = self.chunks.range_mut(..=id).next_back()?;
        let at = chunk.binary_search_by_key(&id, |entry| entry.0).ok()?;
        let (_, value) = chunk.remove(at);
        self.len -= 1;
        let left = chunk.len();
        if left == 0 {
            self.chunks.remove(&least);
        } else if left <= FEW {
            self.tidy(least);
        }
        Some(value)
    }

    /// Joins a chunk of few entries with one beside it, or gives back the memory that it does not need.
    fn tidy(&mut self, least: Id) {
        let next = self.chunks.range(least..).nth(1).map(|(&next, _)| (least, next));
        let previous = self.chunks.range(..least).next_back().map(|(&previous, _)| (previous, least));
        let len = |least: &Id| self.chunks.get(least).map_or(0, Vec::len);
        let fitting = |(front, behind): &(Id, Id)| len(front) + len(behind) <= FULL - FEW;
        if let Some((front, behind)) = [next, previous].into_iter().flatten().find(fitting) {
            let moved = self.chunks.remove(&behind);
            if let Some(chunk) = self.chunks.get_mut(&front) {
                chunk.extend(moved.into_iter().flatten());
            }
        } else if let Some(chunk) = self.chunks.get_mut(&least).filter(|chunk| chunk.capacity() >= 2 * FEW) {
            chunk.shrink_to(FEW);
        }
    }

    /// Frees some of the first ones. Returns how many.
    pub fn free_slice(&mut self) -> usize {
        let freed = self.chunks.pop_first().map_or(0, |(_, chunk)| chunk.len());
        self.len -= freed;
        freed
    }

    /// Bytes of memory it takes, besides itself.
    pub fn memory_bytes(&self) -> usize {
        let chunks = self.chunks.values().map(|chunk| size_class(chunk.capacity() * size_of::<(Id, V)>()));
        tree_bytes(self.chunks.len(), size_of::<(Id, Vec<(Id, V)>)>()) + chunks.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_a_plain_map() {
        let mut rng = fastrand::Rng::with_seed(9);
        for round in 0..60 {
            let (mut map, mut model) = (ById::new(), BTreeMap::new());
            let span = [40, 400, 4000][round % 3];
            for step in 0..3000 {
                let id = Id { ms: rng.u64(..span), seq: rng.u64(..2) };
                // Growing and shrinking by turns, and often in order.
                let id = if rng.bool() { Id { ms: step % span, seq: 1 } } else { id };
                if rng.u64(..10) < 3 + 4 * (step / 500 % 2) {
                    assert_eq!(map.remove(id), model.remove(&id));
                } else {
                    assert_eq!(map.insert(id, step), model.insert(id, step));
                }
                assert_eq!((map.len(), map.get(id)), (model.len(), model.get(&id)));
                if step % 50 == 0 {
                    let from = Id { ms: rng.u64(..span), seq: 1 };
                    assert!(
                        map.from(from).map(|&(id, value)| (id, value)).eq(model.range(from..).map(|(&id, &v)| (id, v)))
                    );
                    assert!(map.from(from).rev().map(|entry| entry.0).eq(model.range(from..).rev().map(|(&id, _)| id)));
                    if let Some(value) = map.get_mut(from) {
                        *value += 1;
                        model.entry(from).and_modify(|value| *value += 1);
                    }
                }
            }
            for (least, chunk) in &map.chunks {
                assert!(!chunk.is_empty() && chunk.len() <= FULL && chunk[0].0 >= *least);
                assert!(chunk.capacity() <= 4 * chunk.len().max(FEW), "{} of {}", chunk.len(), chunk.capacity());
            }
            while map.free_slice() > 0 {}
            assert!(map.is_empty());
        }
    }

    #[test]
    fn what_comes_in_order_is_packed() {
        let mut map = ById::new();
        for ms in 0..6400 {
            map.insert(Id { ms, seq: 0 }, ());
        }
        assert_eq!((map.chunks.len(), map.memory_bytes() / 6400), (100, 17));
        for ms in (0..6400).filter(|ms| ms % 8 > 0) {
            map.remove(Id { ms, seq: 0 });
        }
        assert!(map.chunks.len() <= 34 && map.memory_bytes() < 800 * 40, "{} {}", map.chunks.len(), map.memory_bytes());
    }
}
