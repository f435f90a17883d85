//! The nodes of a stream, by the IDs of their first entries.
//!
//! ```text
//!   ┌──────────────────────────┬──────────────────────────┬─────────────┐
//!   │ ID, node │ ID, node │ …  │ ID, node │ ID, node │ …  │ ID, node    │
//!   └──────────────────────────┴──────────────────────────┴─────────────┘
//!     a row, filled to the brim  the last row               the last node
//! ```
//!
//! Nodes come at the end and mostly go at the beginning, so a search tree would be half empty. Only the last node grows: it
//! stands by itself, where an append finds it without a search, and the others have no spare capacity. Removing a node moves
//! at most the rest of its row, and the other rows' headers when a row has become empty.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use super::id::Id;
use crate::memory::size_class;
use crate::types::telling::Slot;

/// Nodes of a row.
const ROW: usize = 64;

/// The nodes in their order.
#[derive(Clone, Default)]
pub struct Nodes {
    /// All but the last one; no row is empty.
    rows: VecDeque<Vec<(Id, Box<[u8]>)>>,
    last: Option<(Id, Vec<u8>)>,
    len: usize,
    /// What [`Nodes::radix_nodes`] has counted, until nodes come or go.
    radix_nodes: Cell<Option<usize>>,
    telling: Slot<Telling>,
}

/// How far nodes have been told.
#[derive(Default)]
struct Telling {
    /// Those with this ID and with greater ones are to come; `None` if none is.
    next: Option<Id>,
    /// Nodes to come that have changed, as they were, if they were there.
    notes: BTreeMap<Id, Option<Box<[u8]>>>,
}

impl Telling {
    #[cold]
    fn note(&mut self, id: Id, was: impl FnOnce() -> Option<Box<[u8]>>) {
        if self.next.is_some_and(|next| id >= next) {
            self.notes.entry(id).or_insert_with(was);
        }
    }
}

/// Where a node is; the last one comes behind all rows. Good until nodes come or go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    row: usize,
    at: usize,
}

impl Nodes {
    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The nodes in their order: their IDs and their bytes.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &[u8])> {
        let rows = self.rows.iter().flatten().map(|(id, bytes)| (*id, &**bytes));
        rows.chain(self.last.iter().map(|(id, bytes)| (*id, bytes.as_slice())))
    }

    /// The last node's bytes.
    #[inline]
    pub fn last(&self) -> Option<&[u8]> {
        self.last.as_ref().map(|(_, bytes)| bytes.as_slice())
    }

    /// The last node, to be changed.
    #[inline]
    pub fn last_mut(&mut self) -> Option<(Id, &mut Vec<u8>)> {
        if let (Some(telling), Some((id, bytes))) = (self.telling.get_mut(), &self.last) {
            telling.note(*id, || Some(bytes.as_slice().into()));
        }
        self.last.as_mut().map(|(id, bytes)| (*id, bytes))
    }

    /// Adds a node behind all others.
    pub fn push(&mut self, id: Id, bytes: Vec<u8>) {
        self.len += 1;
        self.radix_nodes.take();
        if let Some(telling) = self.telling.get_mut() {
            telling.note(id, || None);
        }
        let Some((before, full)) = self.last.replace((id, bytes)) else { return };
        debug_assert!(before < id, "nodes come in their order");
        match self.rows.back_mut() {
            Some(row) if row.len() < ROW => row.push((before, full.into())),
            _ => self.rows.push_back(vec![(before, full.into())]),
        }
    }

    /// The place of the first node.
    pub fn first(&self) -> Option<Place> {
        self.last.as_ref().map(|_| Place { row: 0, at: 0 })
    }

    /// The place of the last node whose ID is not above one.
    pub fn find(&self, id: Id) -> Option<Place> {
        if self.last.as_ref().is_some_and(|(last, _)| *last <= id) {
            return Some(Place { row: self.rows.len(), at: 0 });
        }
        let row = self.rows.partition_point(|row| row[0].0 <= id).checked_sub(1)?;
        let at = self.rows[row].partition_point(|(first, _)| *first <= id) - 1;
        Some(Place { row, at })
    }

    /// The node at a place.
    pub fn get(&self, place: Place) -> Option<(Id, &[u8])> {
        match self.rows.get(place.row) {
            Some(row) => row.get(place.at).map(|(id, bytes)| (*id, &**bytes)),
            None => self.last.as_ref().map(|(id, bytes)| (*id, bytes.as_slice())),
        }
    }

    /// The place behind another.
    pub fn next(&self, place: Place) -> Option<Place> {
        let row = self.rows.get(place.row)?;
        Some(if place.at + 1 < row.len() {
            Place { at: place.at + 1, ..place }
        } else {
            Place { row: place.row + 1, at: 0 }
        })
    }

    /// The place before another.
    pub fn previous(&self, place: Place) -> Option<Place> {
        if place.at > 0 {
            return Some(Place { at: place.at - 1, ..place });
        }
        let row = place.row.checked_sub(1)?;
        Some(Place { row, at: self.rows[row].len() - 1 })
    }

    /// Lets the bytes of the node at a place be changed.
    ///
    /// # Panics
    /// If there is none.
    pub fn edit<R>(&mut self, place: Place, edit: impl FnOnce(Id, &mut Vec<u8>) -> R) -> R {
        self.note(place);
        if let Some(row) = self.rows.get_mut(place.row) {
            let (id, node) = &mut row[place.at];
            let mut bytes = std::mem::take(node).into_vec();
            let result = edit(*id, &mut bytes);
            *node = bytes.into();
            return result;
        }
        let (id, bytes) = self.last.as_mut().expect("a place is one of a node");
        edit(*id, bytes)
    }

    /// Removes the node at a place.
    pub fn remove(&mut self, place: Place) {
        self.note(place);
        self.len -= 1;
        self.radix_nodes.take();
        if let Some(row) = self.rows.get_mut(place.row) {
            row.remove(place.at);
            if row.is_empty() {
                self.rows.remove(place.row);
            }
            return;
        }
        self.last = self.rows.back_mut().and_then(Vec::pop).map(|(id, bytes)| (id, bytes.into_vec()));
        if self.rows.back().is_some_and(Vec::is_empty) {
            self.rows.pop_back();
        }
    }

    /// The node at a place is about to change or to go.
    fn note(&mut self, place: Place) {
        if !self.telling.is_on() {
            return;
        }
        let mut telling = std::mem::take(&mut self.telling);
        if let (Some(telling), Some((id, bytes))) = (telling.get_mut(), self.get(place)) {
            telling.note(id, || Some(bytes.into()));
        }
        self.telling = telling;
    }

    /// Begins to tell what is in them; see [`crate::types::telling`].
    pub fn begin_telling(&mut self) {
        self.telling.begin(Telling { next: Some(Id::MIN), notes: BTreeMap::new() });
    }

    /// Ends that.
    pub fn end_telling(&mut self) {
        self.telling.end();
    }

    /// Tells about `count` nodes. Returns whether all have been told.
    pub fn tell(&mut self, count: usize, mut tell: impl FnMut(Id, &[u8])) -> bool {
        let mut telling = std::mem::take(&mut self.telling);
        let over = telling.get_mut().is_none_or(|telling| {
            for _ in 0..count {
                let Some(next) = telling.next else { break };
                let noted = telling.notes.first_key_value().map(|(&id, _)| id);
                let there = self.get_from(next).filter(|(id, _)| noted.is_none_or(|noted| *id < noted));
                let told = match (there, noted) {
                    (Some((id, bytes)), _) => {
                        tell(id, bytes);
                        Some(id)
                    }
                    (None, Some(id)) => {
                        if let Some(Some(bytes)) = telling.notes.remove(&id) {
                            tell(id, &bytes);
                        }
                        Some(id)
                    }
                    (None, None) => None,
                };
                telling.next = told.and_then(Id::next);
            }
            telling.next.is_none()
        });
        self.telling = telling;
        over
    }

    /// The first node with an ID or a greater one.
    fn get_from(&self, id: Id) -> Option<(Id, &[u8])> {
        let place = self.find(id).or(self.first())?;
        let found = self.get(place)?;
        if found.0 >= id { Some(found) } else { self.get(self.next(place)?) }
    }

    /// How many nodes the radix tree has in which Redis keeps their IDs: one where IDs part, one for the bytes
    /// between two of these places if there are any, and one at the end of each ID.
    pub fn radix_nodes(&self) -> usize {
        /// The length of an ID, and the depth above the root, whose first byte nobody leads to.
        const END: i32 = 16;
        const NOWHERE: i32 = -1;
        if self.last.is_none() {
            return 1;
        }
        if let Some(counted) = self.radix_nodes.get() {
            return counted;
        }
        let below = |depth: i32, parent: i32| 1 + usize::from(depth - parent > 1);
        let mut ids = self.iter().map(|(id, _)| u128::from_be_bytes(id.to_bytes())).peekable();
        // The depths at which those seen so far part, and how much two neighbours have in common.
        let (mut total, mut partings, mut left) = (0, Vec::<i32>::new(), NOWHERE);
        while let Some(id) = ids.next() {
            let right = ids.peek().map_or(NOWHERE, |next| (id ^ next).leading_zeros() as i32 / 8);
            total += below(END, left.max(right));
            while let Some(depth) = partings.pop_if(|depth| *depth > right) {
                total += below(depth, partings.last().map_or(right, |&parent| parent.max(right)));
            }
            if right != NOWHERE && partings.last() != Some(&right) {
                partings.push(right);
            }
            left = right;
        }
        self.radix_nodes.set(Some(total));
        total
    }

    /// Frees some nodes of a stream that nobody uses any more. Returns whether there are more.
    pub fn free_slice(&mut self) -> bool {
        match self.rows.pop_back() {
            Some(row) => self.len -= row.len(),
            None => *self = Nodes::default(),
        }
        self.last.is_some()
    }

    /// Bytes of memory they take.
    pub fn memory_bytes(&self) -> usize {
        let rows = self.rows.iter().map(|row| size_class(row.capacity() * size_of::<(Id, Box<[u8]>)>()));
        let nodes = self.rows.iter().flatten().map(|(_, bytes)| size_class(bytes.len()));
        let last = self.last.iter().map(|(_, bytes)| size_class(bytes.capacity()));
        size_class(self.rows.capacity() * size_of::<Vec<(Id, Box<[u8]>)>>())
            + rows.chain(nodes).chain(last).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn id(ms: u64) -> Id {
        Id { ms, seq: 0 }
    }

    #[test]
    fn places_agree_with_a_map() {
        let mut rng = fastrand::Rng::with_seed(5);
        let (mut nodes, mut model) = (Nodes::default(), BTreeMap::<Id, Vec<u8>>::new());
        let mut newest = 0;
        for round in 0..4000 {
            let growing = round / 1000 % 2 == 0;
            if rng.u8(..10) < if growing { 9 } else { 3 } {
                newest += rng.u64(1..4);
                let bytes = vec![rng.u8(..); rng.usize(..50)];
                nodes.push(id(newest), bytes.clone());
                model.insert(id(newest), bytes);
            }
            let wanted = id(rng.u64(..newest + 2));
            let place = nodes.find(wanted);
            let expected = model.range(..=wanted).next_back().map(|(&id, bytes)| (id, bytes.as_slice()));
            assert_eq!(place.and_then(|place| nodes.get(place)), expected);
            let Some(place) = place else { continue };
            let at = nodes.get(place).map_or(Id::MIN, |(id, _)| id);
            let neighbour = |place: Option<Place>| place.and_then(|place| nodes.get(place)).map(|(id, _)| id);
            assert_eq!(
                neighbour(nodes.next(place)),
                model.range(wanted.max(at)..).find(|(id, _)| **id > at).map(|(id, _)| *id)
            );
            assert_eq!(neighbour(nodes.previous(place)), model.range(..at).next_back().map(|(id, _)| *id));
            match rng.u8(..4) {
                0 => {
                    nodes.edit(place, |_, bytes| bytes.push(7));
                    model.entry(at).and_modify(|bytes| bytes.push(7));
                }
                1 if !growing => {
                    nodes.remove(place);
                    model.remove(&at);
                }
                2 if !growing => {
                    let first = nodes.first().expect("there is one");
                    assert_eq!(nodes.get(first).map(|(id, _)| id), model.keys().next().copied());
                    nodes.remove(first);
                    model.pop_first();
                }
                _ => {}
            }
            assert_eq!(nodes.len(), model.len());
        }
        assert!(nodes.iter().eq(model.iter().map(|(&id, bytes)| (id, bytes.as_slice()))));
        while nodes.free_slice() {}
    }
}
