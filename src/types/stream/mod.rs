//! A stream: entries that are appended under ever greater IDs, and the consumer groups that read them.
//!
//! The [`Log`] holds the entries, many to a node; a [`Group`] knows how far it has read and what is pending. Groups
//! remember IDs only: an entry may be deleted while it is pending.
//!
//! A stream comes from outside in these steps: [`Log::add_node`] for each node and [`Log::complete`]; for each group
//! [`Group::new`], [`Group::restore_pending`] for each entry that is pending, [`Group::add_consumer`] for each consumer and
//! [`Group::claim_restored`] for each entry that it has pending, [`Group::complete`], and [`Stream::groups`] takes it. Each
//! step refuses what does not fit, so that no bytes make a stream that panics later.

mod by_id;
mod group;
mod id;
mod log;
mod node;
mod nodes;
mod telling;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::BTreeMap;

pub use group::{Consumer, ConsumerKey, Group, Pending};
pub use id::{ID_TEXT_MAX, Id};
pub use log::{Counters, Keep, Limits, Log, Malformed, Range, TooLarge, Trim};
pub use node::Entry;
use telling::Telling;

use super::telling::Slot;
use super::weight::Weight;
use crate::memory::size_class;

/// Groups whose pending entries are looked at when the size of a stream is estimated.
const GROUPS_COUNTED: usize = 1024;

/// The entries of a node, given its ID and its bytes.
pub fn entries_of(id: Id, bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    node::Entries::new(bytes, id).live()
}

/// A stream.
#[derive(Clone, Default)]
pub struct Stream {
    pub log: Log,
    /// The consumer groups by name. They are boxed because most trees of groups have one or two.
    pub groups: BTreeMap<Box<[u8]>, Box<Group>>,
    /// Kept for those who count what all values weigh.
    pub weight: Cell<Weight>,
    telling: Slot<Telling>,
}

impl Stream {
    /// How many things there are to free: nodes, groups and what is pending, as far as many groups are counted.
    pub fn items(&self) -> usize {
        let pending = self.groups.values().take(GROUPS_COUNTED).map(|group| group.pending_len());
        self.log.node_count() + self.groups.len() + pending.sum::<usize>()
    }

    /// Frees a part of it; false when what is left is freed at once.
    pub fn free_slice(&mut self) -> bool {
        if self.log.free_slice() {
            return true;
        }
        if let Some(mut group) = self.groups.first_entry()
            && !group.get_mut().free_slice()
        {
            group.remove();
        }
        !self.groups.is_empty()
    }

    /// Bytes of memory it takes, besides its own box.
    pub fn memory_bytes(&self) -> usize {
        let names = self.groups.keys().map(|name| size_class(name.len()));
        self.log.memory_bytes()
            + tree_bytes(self.groups.len(), size_of::<(Box<[u8]>, Box<Group>)>())
            + names.sum::<usize>()
            + self.groups.values().map(|group| group.memory_bytes()).sum::<usize>()
    }
}

/// Bytes of memory that the standard library's B-tree takes for so many entries of a size. Its nodes hold up to eleven and
/// are about half full when entries come in their order; those above the leaves are few.
fn tree_bytes(entries: usize, entry_bytes: usize) -> usize {
    const CAPACITY: usize = 11;
    const FILL: usize = 6;
    let leaves = if entries <= CAPACITY { usize::from(entries > 0) } else { entries.div_ceil(FILL) };
    leaves * size_class(CAPACITY * entry_bytes + 2 * size_of::<usize>())
}
