//! The entries of a stream, and what it remembers of those that are gone.
//!
//! Nodes are kept by the ID of their first entry. A new entry joins the last node unless that is full, so nodes only lose
//! entries, and go when they have none; a node that only holds deleted ones may stay for a while. Appending, finding an
//! entry and removing one cost a search among the nodes and a walk through one.

use std::ptr::NonNull;

use super::id::Id;
use super::node::{self, Entries, Entry};
use super::nodes::{Nodes, Place};
use crate::types::table::prefetch;

/// Bytes of names and values that an entry may have, and of a node whatever the settings say.
const NODE_BYTES_MAX: usize = 1 << 30;
/// Bytes of a listpack in Redis that ours do not have: its length and its end.
const REDIS_HEADER: usize = 5;

/// When a node is full; 0 for no limit.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// stream-node-max-bytes
    pub bytes: usize,
    /// stream-node-max-entries
    pub entries: u64,
}

/// What a trim leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// So many of the last entries.
    Last(u64),
    /// The entries from this ID on.
    From(Id),
}

/// How a stream is trimmed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trim {
    pub keep: Keep,
    /// Only whole nodes go, so that more may be left than asked for.
    pub whole_nodes: bool,
    /// How many entries may go at most; 0 for any number. A node that would exceed it stays.
    pub limit: u64,
}

/// The entry is too large for a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLarge;

/// Parts from outside are not those of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// The numbers that a stream has beside its entries.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// The greatest ID that an entry has had.
    pub last_id: Id,
    /// The greatest ID that was deleted one by one, or 0-0.
    pub max_deleted_id: Id,
    /// How many entries there have been.
    pub entries_added: u64,
}

/// The entries, and the numbers about them.
#[derive(Clone, Default)]
pub struct Log {
    nodes: Nodes,
    len: u64,
    /// Of the first entry; 0-0 if there is none.
    first_id: Id,
    counters: Counters,
}

impl Log {
    /// How many entries there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first entry's ID; 0-0 if there is none.
    pub fn first_id(&self) -> Id {
        self.first_id
    }

    /// Asks for both ends of the last node to be brought into the cache.
    #[inline]
    pub fn prefetch_end(&self) {
        if let Some([first, .., last]) = self.nodes.last() {
            prefetch(NonNull::from(first));
            prefetch(NonNull::from(last));
        }
    }

    /// The numbers that do not follow from the entries.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The greatest ID that an entry has had.
    pub fn last_id(&self) -> Id {
        self.counters.last_id
    }

    /// The nodes in their order: their IDs, and their bytes as snapshots have them but for the listpack's header and end.
    pub fn nodes(&self) -> impl Iterator<Item = (Id, &[u8])> {
        self.nodes.iter()
    }

    /// The nodes, to be told.
    pub fn nodes_mut(&mut self) -> &mut Nodes {
        &mut self.nodes
    }

    /// The ID of an entry that is added now.
    pub fn next_id(&self, now_ms: u64) -> Option<Id> {
        let last = self.counters.last_id;
        if now_ms > last.ms { Some(Id { ms: now_ms, seq: 0 }) } else { last.next() }
    }

    /// The ID of an entry that is added under a time.
    pub fn next_id_at(&self, ms: u64) -> Option<Id> {
        let last = self.counters.last_id;
        if ms == last.ms { Some(Id { ms, seq: last.seq.checked_add(1)? }) } else { Some(Id { ms, seq: 0 }) }
    }

    /// Appends an entry: names and values in turn. Its ID must be above [`Log::last_id`].
    ///
    /// # Errors
    /// If its names and values have more than 1 GiB; then nothing has changed.
    pub fn append<'p>(
        &mut self,
        id: Id,
        pairs: impl ExactSizeIterator<Item = &'p [u8]> + Clone,
        limits: Limits,
    ) -> Result<(), TooLarge> {
        debug_assert!(id > self.counters.last_id);
        let bytes: usize = pairs.clone().map(<[u8]>::len).sum();
        if bytes > NODE_BYTES_MAX {
            return Err(TooLarge);
        }
        let most = if limits.bytes == 0 { NODE_BYTES_MAX } else { limits.bytes.min(NODE_BYTES_MAX) };
        let last = self.nodes.last_mut().filter(|(_, node)| {
            let full = node.len() + REDIS_HEADER + bytes >= most
                || limits.entries > 0 && node::entries_ever(node) >= limits.entries;
            !full
        });
        match last {
            Some((at, node)) => node::append(node, at, id, pairs),
            None => {
                let names: Vec<&[u8]> = pairs.clone().step_by(2).collect();
                let mut node = node::begin(names.into_iter());
                node::append(&mut node, id, id, pairs);
                self.nodes.push(id, node);
            }
        }
        self.len += 1;
        self.counters.entries_added = self.counters.entries_added.wrapping_add(1);
        self.counters.last_id = id;
        if self.len == 1 {
            self.first_id = id;
        }
        Ok(())
    }

    /// The entries from one ID to another, which is included.
    pub fn range(&self, from: Id, to: Id) -> Range<'_> {
        // The first ones may lie in the node before.
        let next = self.nodes.find(from).or(self.nodes.first());
        Range { nodes: &self.nodes, next, node: None, from, to, backwards: false }
    }

    /// The entries from one ID to another, from the last one on.
    pub fn range_backwards(&self, from: Id, to: Id) -> Range<'_> {
        Range { nodes: &self.nodes, next: self.nodes.find(to), node: None, from, to, backwards: true }
    }

    /// How many entries [`Log::range`] has, if that is known without walking.
    pub fn count_in(&self, from: Id, to: Id) -> Option<u64> {
        (from <= self.first_id && to >= self.counters.last_id).then_some(self.len)
    }

    /// The entry with an ID.
    pub fn entry(&self, id: Id) -> Option<Entry<'_>> {
        self.range(id, id).next()
    }

    /// The last entry's ID.
    pub fn last_entry_id(&self) -> Option<Id> {
        self.range_backwards(Id::MIN, Id::MAX).next().map(|entry| entry.id)
    }

    /// Deletes entries. Returns how many were there.
    pub fn delete(&mut self, ids: &[Id]) -> usize {
        let first = self.first_id;
        let (mut deleted, mut first_deleted) = (0, false);
        for &id in ids {
            let Some(place) = self.nodes.find(id) else { continue };
            // What is left of its node, if it was there.
            let left = self.nodes.edit(place, |at, bytes| node::delete(bytes, at, id).then(|| node::live(bytes)));
            let Some(left) = left else { continue };
            if left == 0 {
                self.nodes.remove(place);
            }
            self.len -= 1;
            deleted += 1;
            first_deleted |= id == first;
            self.counters.max_deleted_id = self.counters.max_deleted_id.max(id);
        }
        if first_deleted {
            self.renew_first_id();
        }
        deleted
    }

    /// Removes entries from the first on. Returns how many.
    pub fn trim(&mut self, trim: &Trim) -> u64 {
        let mut removed = 0;
        while let Some((place, at, bytes)) = self.first_node() {
            let live = node::live(bytes);
            let whole = match trim.keep {
                Keep::Last(count) if self.len <= count => break,
                Keep::Last(count) => self.len - live >= count,
                Keep::From(id) => node::last_id(bytes, at) < id,
            };
            if trim.limit > 0 && removed + live > trim.limit {
                break;
            }
            if whole {
                self.nodes.remove(place);
                self.len -= live;
                removed += live;
                continue;
            }
            if !trim.whole_nodes {
                let (most, before) = match trim.keep {
                    Keep::Last(count) => (self.len - count, None),
                    Keep::From(id) => (u64::MAX, Some(id)),
                };
                let part = self.nodes.edit(place, |at, bytes| node::delete_first(bytes, at, most, before));
                self.len -= part;
                removed += part;
            }
            break;
        }
        if removed > 0 {
            self.renew_first_id();
        }
        removed
    }

    /// The ID of the first entry whose bytes are still there, deleted or not: by it a trim of whole nodes can be repeated.
    pub fn first_kept_id(&self) -> Option<Id> {
        let (_, at, bytes) = self.first_node()?;
        Entries::new(bytes, at).next().map(|entry| entry.id)
    }

    fn first_node(&self) -> Option<(Place, Id, &[u8])> {
        let place = self.nodes.first()?;
        let (id, bytes) = self.nodes.get(place)?;
        Some((place, id, bytes))
    }

    fn renew_first_id(&mut self) {
        self.first_id = self.range(Id::MIN, Id::MAX).next().map_or(Id::MIN, |entry| entry.id);
    }

    /// Puts other numbers in the place of those that do not follow from the entries.
    pub fn set_counters(&mut self, counters: Counters) {
        self.counters = counters;
    }

    /// Whether the last deleted entry lies among those that are still there, and not before `from`. Then the entries from
    /// there on cannot be counted by their numbers.
    pub fn has_gap_from(&self, from: Id) -> bool {
        let gap = self.counters.max_deleted_id;
        self.len > 0 && gap != Id::MIN && gap >= self.first_id && gap >= from
    }

    /// How many entries there have been up to an ID, if that can be told without counting.
    pub fn entries_until(&self, id: Id) -> Option<i64> {
        let Counters { last_id, max_deleted_id, entries_added } = self.counters;
        let added = entries_added as i64;
        if added == 0 {
            return Some(0);
        }
        if id > last_id {
            return None;
        }
        if self.len == 0 || id == last_id {
            return Some(added);
        }
        let before_first = added.wrapping_sub(self.len as i64);
        match id.cmp(&self.first_id) {
            _ if max_deleted_id != Id::MIN && max_deleted_id >= self.first_id => None,
            std::cmp::Ordering::Less => Some(before_first),
            std::cmp::Ordering::Equal => Some(before_first.wrapping_add(1)),
            std::cmp::Ordering::Greater => None,
        }
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// See [`Nodes::radix_nodes`].
    pub fn radix_nodes(&self) -> usize {
        self.nodes.radix_nodes()
    }

    /// Bytes of memory the nodes take.
    pub fn memory_bytes(&self) -> usize {
        self.nodes.memory_bytes()
    }

    /// Frees some nodes. Returns whether there are more.
    pub fn free_slice(&mut self) -> bool {
        self.nodes.free_slice()
    }

    /// Adds a node from outside, behind those that were added before.
    ///
    /// # Errors
    /// If it is none, or its entries do not follow those before.
    pub fn add_node(&mut self, at: Id, bytes: Vec<u8>) -> Result<(), Malformed> {
        let last = self.nodes.last_mut().map(|(at, _)| at);
        // While nodes come, the last ID is that of the last entry, which may lie many nodes of deleted ones behind.
        let behind = last.is_none_or(|last| at > last) && (self.len == 0 || at > self.counters.last_id);
        if !behind || !node::validate(&bytes, at) {
            return Err(Malformed);
        }
        if let Some(last) = Entries::new(&bytes, at).live().next_back() {
            self.counters.last_id = last.id;
        }
        self.len += node::live(&bytes);
        self.nodes.push(at, bytes);
        Ok(())
    }

    /// Ends the adding of nodes: there are to be `len` entries.
    ///
    /// # Errors
    /// If there are more or fewer, or an entry lies beyond the last ID.
    pub fn complete(&mut self, len: u64, counters: Counters) -> Result<(), Malformed> {
        if len != self.len || self.last_entry_id().is_some_and(|last| last > counters.last_id) {
            return Err(Malformed);
        }
        self.counters = counters;
        self.renew_first_id();
        Ok(())
    }
}

/// Entries in a range of IDs; see [`Log::range`].
#[derive(Clone)]
pub struct Range<'a> {
    nodes: &'a Nodes,
    /// The node that is read next.
    next: Option<Place>,
    /// What is left of the node that is being read.
    node: Option<Entries<'a>>,
    from: Id,
    to: Id,
    backwards: bool,
}

impl<'a> Range<'a> {
    fn step(&mut self) -> Option<Entry<'a>> {
        loop {
            if let Some(entries) = &mut self.node {
                let entry = if self.backwards { entries.next_back() } else { entries.next() };
                if entry.is_some() {
                    return entry;
                }
            }
            let place = self.next?;
            self.next = if self.backwards { self.nodes.previous(place) } else { self.nodes.next(place) };
            let (at, bytes) = self.nodes.get(place)?;
            self.node = Some(Entries::new(bytes, at));
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let entry = self.step()?;
            if entry.is_deleted() {
                continue;
            }
            let (before, behind) = (entry.id < self.from, entry.id > self.to);
            let (not_yet, over) = if self.backwards { (behind, before) } else { (before, behind) };
            if over {
                return None;
            }
            if !not_yet {
                return Some(entry);
            }
        }
    }
}
