//! The tags of a namespace: which entries have them, how they are linked, and which are being swept away.
//!
//! ```text
//!   names                records (numbered, in pages of 64)            entries
//!   +-----------+        +------------------------------------+
//!   | "news"  --|------->| 7: "news"   members  [ . . . . ]  -|-----> tags: (7, 0), (9, 4)
//!   | "user:1"--|---+    +------------------------------------+
//!   +-----------+   +--->| 9: "user:1" members  [ . . . . . ]-|-----> tags: (9, 1)
//!                        +------------------------------------+
//!                        | 8: "user:1" members  [ . . . ]   † |
//!                        +------------------------------------+
//! ```
//!
//! A member costs a cell of eight bytes in the tag's list, and a pair of eight bytes in the entry, which says where that
//! cell is: so an entry leaves a list, or moves in memory, by one stroke for each of its tags ([`cells`], [`set`]).
//!
//! **A tag with many members is invalidated at once** by making its record *dead* (†): it leaves the table of names, and
//! whoever uses the name from then on gets a fresh record. An entry is dead if one of its tags is. Nobody is shown a dead
//! entry; it is removed when somebody comes across it, or by the sweep, which goes through the members of dead records a few
//! at a time. The sweep needs no order of times, because a dead record gets no new members.
//!
//! **Counts.** How many entries died is known at once if no entry can have died twice. An entry with two dead tags makes both
//! of them *mixed*, having members with other tags; so as long as at most one dead record is mixed, the numbers of members add
//! up. If that is not so, an invalidation is *open*: its entries are counted as they are removed, and who needs to know how
//! many there are has to wait.
//!
//! A tag without members and links does not exist.
#![allow(unsafe_code)]

pub mod cells;
mod links;
mod paged;
pub mod record;
pub mod set;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ptr::NonNull;

use links::Links;
use paged::Paged;
use record::{NO_NODE, Name, Named, Record, State};
use set::Membership;

use crate::types::hash::KeyHasher;
use crate::types::table::Table;

/// Chunks of cells that are freed in one slice.
const SLICE: usize = 64;

/// An invalidation whose keys are counted as they are removed.
pub struct Open {
    /// By which who waits for the count knows it.
    pub claim: u64,
    /// What was invalidated.
    pub tags: Vec<Box<[u8]>>,
    /// When, in Unix milliseconds: what had expired by then does not count.
    pub at_ms: u64,
    /// How many keys were removed for it so far.
    pub count: usize,
    /// How many dead records of it have not been swept yet.
    records: usize,
}

impl Open {
    /// An invalidation of tags of which none has died yet.
    pub fn new(claim: u64, tags: Vec<Box<[u8]>>, at_ms: u64) -> Open {
        Open { claim, tags, at_ms, count: 0, records: 0 }
    }
}

/// What the next step of a sweep is.
pub enum Sweep {
    /// So many of the addresses are of dead entries.
    Remove(usize),
    /// An open invalidation is over.
    Counted(Box<Open>),
    /// There is nothing more to do.
    Done,
}

/// All tags of a namespace.
pub struct Tags {
    names: Table<Named>,
    records: Paged<Record>,
    links: Links,
    /// Dead records in the order in which they died.
    graves: VecDeque<u32>,
    /// How many of them are mixed.
    mixed: usize,
    /// Dead entries that are still there, but for those of the open invalidation.
    dead: usize,
    open: Option<Box<Open>>,
    /// How many cells there are, and bytes of names and cells.
    memberships: usize,
    bytes: usize,
}

impl Tags {
    /// None.
    pub fn new(hasher: KeyHasher) -> Tags {
        Tags {
            names: Table::new(hasher),
            records: Paged::default(),
            links: Links::default(),
            graves: VecDeque::new(),
            mixed: 0,
            dead: 0,
            open: None,
            memberships: 0,
            bytes: 0,
        }
    }

    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.records.len() == 0
    }

    /// How many tags there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// How many times an entry has a tag, dead ones included.
    pub fn memberships(&self) -> usize {
        self.memberships
    }

    /// How many links there are.
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// The record of a tag.
    #[inline]
    pub fn record(&self, tag: u32) -> &Record {
        self.records.get(tag)
    }

    /// The record of a tag that may be no more.
    pub fn find_record(&self, tag: u32) -> Option<&Record> {
        self.records.find(tag)
    }

    /// The name of a tag.
    pub fn name(&self, tag: u32) -> &[u8] {
        self.record(tag).name.text()
    }

    /// The tag with a name.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<u32> {
        self.find_hashed(self.names.hash(name), name)
    }

    #[inline]
    fn find_hashed(&self, hash: u64, name: &[u8]) -> Option<u32> {
        let position = self.names.find(hash, name)?;
        // SAFETY: what is in the table has not gone.
        Some(unsafe { Named::tag(self.names.get(position)) })
    }

    /// The tag with a name, made if there is none; then it must get a member or a link, or be released.
    pub fn intern(&mut self, name: &[u8]) -> u32 {
        let hash = self.names.hash(name);
        self.find_hashed(hash, name).unwrap_or_else(|| self.create(hash, name))
    }

    fn create(&mut self, hash: u64, name: &[u8]) -> u32 {
        let tag = self.records.insert(|tag| Record::new(Name::new(tag, name)));
        let name = &self.records.get(tag).name;
        self.bytes += name.memory_bytes();
        self.names.insert(hash, name.named());
        tag
    }

    /// Removes a tag if it has neither members nor links.
    pub fn release(&mut self, tag: u32) {
        let record = self.record(tag);
        if record.members.is_empty() && record.node == NO_NODE && !record.is_dead() {
            self.forget_name(tag);
            self.remove_record(tag);
        }
    }

    fn forget_name(&mut self, tag: u32) {
        let name = &self.records.get(tag).name;
        let hash = self.names.hash(name.text());
        let position = self.names.find_address(hash, name.named().address()).expect("a live tag is in the table");
        self.names.remove(position);
    }

    fn remove_record(&mut self, tag: u32) {
        let record = self.records.remove(tag);
        self.bytes -= record.name.memory_bytes();
    }

    /// An entry gets a tag, and has `several`, or just this one. Returns its place among the members.
    pub fn join(&mut self, tag: u32, address: NonNull<u8>, several: bool) -> u32 {
        let record = self.records.get_mut(tag);
        debug_assert!(!record.is_dead(), "the dead get no members");
        let before = record.members.memory_bytes();
        let index = record.members.push(address);
        self.bytes += record.members.memory_bytes() - before;
        record.shared += u32::from(several);
        self.memberships += 1;
        index
    }

    /// The entry at a place among the members has moved in memory.
    #[inline]
    pub fn rehome(&mut self, tag: u32, index: u32, address: NonNull<u8>) {
        self.records.get_mut(tag).members.set(index as usize, address);
    }

    /// An entry that had several tags has just this one now, or the other way round.
    pub fn share(&mut self, tag: u32, several: bool) {
        let record = self.records.get_mut(tag);
        record.shared = if several { record.shared + 1 } else { record.shared - 1 };
    }

    /// The entry at a place among the members loses the tag. Returns the entry that has that place now, if any.
    pub fn leave(&mut self, tag: u32, index: u32, several: bool) -> Option<NonNull<u8>> {
        let record = self.records.get_mut(tag);
        let before = record.members.memory_bytes();
        let moved = record.members.swap_remove(index as usize);
        self.bytes -= before - record.members.memory_bytes();
        self.memberships -= 1;
        if several {
            record.shared -= 1;
            self.mixed -= usize::from(record.shared == 0 && record.is_dead());
        }
        self.release(tag);
        moved
    }
}

/// Death.
impl Tags {
    /// Invalidates a tag with members. `walk` is the number of the last snapshot that has begun.
    pub fn kill(&mut self, tag: u32, walk: u32) {
        self.forget_name(tag);
        let open = self.open.is_some();
        let record = self.records.get_mut(tag);
        record.state = State::Dead { walk, open };
        self.mixed += usize::from(record.shared > 0);
        match &mut self.open {
            Some(open) => open.records += 1,
            None => self.dead += record.members.len(),
        }
        self.graves.push_back(tag);
        let node = std::mem::replace(&mut record.node, NO_NODE);
        if node != NO_NODE {
            let name = record.name.text().to_vec();
            let heir = self.create(self.names.hash(&name), &name);
            self.records.get_mut(heir).node = node;
            self.links.set_tag(node, heir);
        }
    }

    /// What is killed from now on belongs to an open invalidation.
    pub fn begin_open(&mut self, open: Open) {
        debug_assert!(self.open.is_none() && self.mixed == 0, "whose a dead entry is must be known");
        self.open = Some(Box::new(open));
    }

    /// The open invalidation.
    pub fn open(&mut self) -> Option<&mut Open> {
        self.open.as_deref_mut()
    }

    /// Whether how many entries died is not known.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// How many dead records are mixed.
    pub fn mixed(&self) -> usize {
        self.mixed
    }

    /// Dead entries that are still there, but for those of an open invalidation.
    pub fn dead(&self) -> usize {
        self.dead
    }

    /// Of how many members the sweep has to look after, in all.
    pub fn unswept(&self) -> usize {
        self.graves.iter().map(|&tag| self.record(tag).members.len()).sum()
    }

    /// Whether an entry is dead, and then whether it belongs to the open invalidation.
    #[inline]
    pub fn fate(&self, pairs: &[Membership]) -> Option<bool> {
        pairs.iter().find_map(|pair| match self.record(pair.tag()).state {
            State::Dead { open, .. } => Some(open),
            State::Alive => None,
        })
    }

    /// Whether an entry was dead when the snapshot with a number began.
    pub fn died_before(&self, pairs: &[Membership], walk: u32) -> bool {
        pairs.iter().any(|pair| match self.record(pair.tag()).state {
            State::Dead { walk: last, .. } => last < walk,
            State::Alive => false,
        })
    }

    /// A dead entry is being removed that belongs to no open invalidation.
    pub fn bury_counted(&mut self) {
        self.dead -= 1;
    }

    /// The next step of the sweep; it fills in addresses of entries that are to be removed.
    pub fn sweep(&mut self, addresses: &mut [NonNull<u8>]) -> Sweep {
        while let Some(&tag) = self.graves.front() {
            let members = &self.records.get(tag).members;
            let found = members.len().min(addresses.len());
            if found > 0 {
                let from = members.len() - found;
                addresses[..found].iter_mut().zip(from..).for_each(|(address, index)| *address = members.get(index));
                return Sweep::Remove(found);
            }
            let State::Dead { open, .. } = self.records.get(tag).state else { unreachable!("what is buried is dead") };
            self.graves.pop_front();
            self.remove_record(tag);
            if let Some(of) = self.open.as_mut().filter(|_| open) {
                of.records -= 1;
            }
            if let Some(done) = self.open.take_if(|open| open.records == 0) {
                return Sweep::Counted(done);
            }
        }
        self.graves = VecDeque::new();
        Sweep::Done
    }
}

/// Links.
impl Tags {
    fn node(&mut self, tag: u32) -> u32 {
        let record = self.records.get_mut(tag);
        if record.node == NO_NODE {
            record.node = self.links.add(tag);
        }
        record.node
    }

    fn prune(&mut self, tag: u32) {
        let node = self.record(tag).node;
        if node != NO_NODE && self.links.prune(node) {
            self.records.get_mut(tag).node = NO_NODE;
        }
        self.release(tag);
    }

    /// Makes a tag the child of another, both made if need be. Returns whether it was not; `None` if that would close a
    /// cycle.
    pub fn link(&mut self, parent: &[u8], child: &[u8]) -> Option<bool> {
        let tags = [self.intern(parent), self.intern(child)];
        let [parent, child] = tags.map(|tag| self.node(tag));
        if self.links.closes_cycle(parent, child) {
            // One and the same tag goes once.
            let last = if tags[0] == tags[1] { 1 } else { 2 };
            tags.into_iter().take(last).for_each(|tag| self.prune(tag));
            return None;
        }
        Some(self.links.link(parent, child))
    }

    /// Removes a link. Returns whether there was one.
    pub fn unlink(&mut self, parent: &[u8], child: &[u8]) -> bool {
        let (Some(parent), Some(child)) = (self.find(parent), self.find(child)) else { return false };
        let nodes = [parent, child].map(|tag| self.record(tag).node);
        let was = nodes.iter().all(|&node| node != NO_NODE) && self.links.unlink(nodes[0], nodes[1]);
        if was {
            self.prune(parent);
            self.prune(child);
        }
        was
    }

    /// The children of a tag.
    pub fn children(&self, tag: u32) -> Vec<u32> {
        let node = self.record(tag).node;
        if node == NO_NODE { Vec::new() } else { self.links.children(node).collect() }
    }

    /// All tags below a tag.
    pub fn descendants(&self, tag: u32) -> Vec<u32> {
        let node = self.record(tag).node;
        if node == NO_NODE { Vec::new() } else { self.links.descendants(node) }
    }

    /// The names of the tags that each link connects.
    pub fn all_links(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.links.iter().map(|(parent, child)| (self.name(parent), self.name(child)))
    }
}

impl Tags {
    /// Visits tags in slices; see [`Table::scan`].
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(u32)) -> u64 {
        // SAFETY: what is in the table has not gone.
        self.names.scan(cursor, count, |block| visit(unsafe { Named::tag(block) }))
    }

    /// Frees a part of tags that nobody uses any more; false when there is nothing left.
    pub fn free_slice(&mut self) -> bool {
        if self.names.drain_segment(drop) || self.links.free_slice() {
            return true;
        }
        let Some(last) = self.records.last() else { return false };
        let members = &mut self.records.get_mut(last).members;
        if !(0..SLICE).all(|_| members.free_chunk()) {
            self.records.remove(last);
        }
        true
    }

    /// Bytes of memory it takes, without what entries hold.
    pub fn memory_bytes(&self) -> usize {
        self.bytes + self.names.memory_bytes() + self.records.memory_bytes() + self.links.memory_bytes()
    }
}
