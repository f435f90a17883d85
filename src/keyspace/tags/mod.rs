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
//! Very many tags at once are invalidated by a *plan*, which finds them in slices before they die: see [`plan`].
//!
//! A tag without members and links does not exist.
#![allow(unsafe_code)]

pub mod cells;
mod links;
mod paged;
pub mod plan;
pub mod record;
pub mod set;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::ptr::NonNull;

use foldhash::fast::RandomState;
use links::Links;
use paged::Paged;
use plan::Plan;
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
    /// What is to be invalidated, or is dead but still has its name.
    plan: Option<Box<Plan>>,
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
            plan: None,
            memberships: 0,
            bytes: 0,
        }
    }

    /// Whether there is nothing at all, nor anything that a snapshot is still to be told.
    pub fn is_empty(&self) -> bool {
        self.records.len() == 0 && self.plan.is_none() && !self.links.is_being_told()
    }

    /// How many tags there are.
    pub fn len(&self) -> usize {
        self.names.len() - self.hidden()
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

    /// The tag with a name. One that has links may be dead.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<u32> {
        let tag = self.find_hashed(self.names.hash(name), name)?;
        (self.record(tag).node != NO_NODE || !self.is_unburied(tag)).then_some(tag)
    }

    /// The tag with a name, which is not dead.
    pub fn find_live(&mut self, name: &[u8]) -> Option<u32> {
        let tag = self.find_hashed(self.names.hash(name), name)?;
        if !self.is_unburied(tag) {
            return Some(tag);
        }
        self.bury(tag);
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
        self.find_live(name).unwrap_or_else(|| self.create(self.names.hash(name), name))
    }

    fn create(&mut self, hash: u64, name: &[u8]) -> u32 {
        let tag = self.records.insert(|tag| Record::new(Name::new(tag, name)));
        let name = &self.records.get(tag).name;
        self.bytes += name.memory_bytes();
        self.names.insert(hash, name.named());
        tag
    }

    /// Removes a tag if it has neither members nor links, and no plan needs it.
    pub fn release(&mut self, tag: u32) {
        let record = self.record(tag);
        if record.is_hollow() && record.state == State::Alive {
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
        debug_assert!(self.death(tag).is_none(), "the dead get no members");
        let record = self.records.get_mut(tag);
        let (before, members, shared) = (record.members.memory_bytes(), record.members.len(), record.shared);
        let index = record.members.push(address);
        self.bytes += record.members.memory_bytes() - before;
        record.shared += u32::from(several);
        self.memberships += 1;
        self.note(tag, members, shared);
        index
    }

    /// The members of a tag have changed; that matters if it is not alive.
    #[inline]
    fn note(&mut self, tag: u32, members: usize, shared: u32) {
        if self.record(tag).state != State::Alive {
            self.recount(tag, members, shared);
        }
    }

    /// The entry at a place among the members has moved in memory.
    #[inline]
    pub fn rehome(&mut self, tag: u32, index: u32, address: NonNull<u8>) {
        self.records.get_mut(tag).members.set(index as usize, address);
    }

    /// An entry that had several tags has just this one now, or the other way round.
    pub fn share(&mut self, tag: u32, several: bool) {
        let record = self.records.get_mut(tag);
        let (members, shared) = (record.members.len(), record.shared);
        record.shared = if several { shared + 1 } else { shared - 1 };
        self.note(tag, members, shared);
    }

    /// The entry at a place among the members loses the tag. Returns the entry that has that place now, if any.
    pub fn leave(&mut self, tag: u32, index: u32, several: bool) -> Option<NonNull<u8>> {
        let record = self.records.get_mut(tag);
        let (before, members, shared) = (record.members.memory_bytes(), record.members.len(), record.shared);
        let moved = record.members.swap_remove(index as usize);
        self.bytes -= before - record.members.memory_bytes();
        self.memberships -= 1;
        record.shared -= u32::from(several);
        self.note(tag, members, shared);
        self.release(tag);
        moved
    }
}

/// Death.
impl Tags {
    /// Invalidates a tag with members. `walk` is the number of the last snapshot that has begun.
    pub fn kill(&mut self, tag: u32, walk: u32) {
        debug_assert!(self.record(tag).state == State::Alive, "a plan is in the way");
        let open = self.open.is_some();
        let record = self.records.get(tag);
        self.mixed += usize::from(record.shared > 0);
        match &mut self.open {
            Some(open) => open.records += 1,
            None => self.dead += record.members.len(),
        }
        self.inter(tag, walk, open);
    }

    /// Lets a dead tag leave the table of names and join those that are swept. Its links pass to a fresh one.
    fn inter(&mut self, tag: u32, walk: u32, open: bool) {
        self.forget_name(tag);
        let record = self.records.get_mut(tag);
        record.state = State::Dead { walk, open };
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
        self.unburied() + self.graves.iter().map(|&tag| self.record(tag).members.len()).sum::<usize>()
    }

    /// Whether an entry is dead, and then whether it belongs to the open invalidation.
    #[inline]
    pub fn fate(&self, pairs: &[Membership]) -> Option<bool> {
        pairs.iter().find_map(|pair| self.death(pair.tag())).map(|(_, open)| open)
    }

    /// Whether an entry was dead when the snapshot with a number began.
    pub fn died_before(&self, pairs: &[Membership], walk: u32) -> bool {
        pairs.iter().any(|pair| self.death(pair.tag()).is_some_and(|(last, _)| last < walk))
    }

    /// A dead entry is being removed that belongs to no open invalidation.
    pub fn bury_counted(&mut self) {
        self.dead -= 1;
    }

    /// The next step of the sweep; it fills in addresses of entries that are to be removed.
    pub fn sweep(&mut self, addresses: &mut [NonNull<u8>]) -> Sweep {
        for _ in 0..SLICE {
            let Some(&tag) = self.graves.front() else {
                self.graves = VecDeque::new();
                return if self.bury_some() || self.plan.is_some() { Sweep::Remove(0) } else { Sweep::Done };
            };
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
        Sweep::Remove(0)
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
        let names = [parent, child];
        let tags = names.map(|name| self.intern(name));
        let [parent, child] = tags.map(|tag| self.node(tag));
        if self.links.closes_cycle(parent, child) {
            // One and the same tag goes once.
            let last = if tags[0] == tags[1] { 1 } else { 2 };
            tags.into_iter().take(last).for_each(|tag| self.prune(tag));
            return None;
        }
        let new = !self.links.has(parent, child);
        if new {
            self.links.note((parent, child), false, names);
            self.links.link(parent, child);
        }
        Some(new)
    }

    /// Removes a link. Returns whether there was one.
    pub fn unlink(&mut self, parent: &[u8], child: &[u8]) -> bool {
        let names = [parent, child];
        let [Some(parent), Some(child)] = names.map(|name| self.find_live(name)) else { return false };
        let nodes @ (from, to) = (self.record(parent).node, self.record(child).node);
        let was = from != NO_NODE && to != NO_NODE && self.links.has(from, to);
        if was {
            self.links.note(nodes, true, names);
            self.links.unlink(from, to);
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

    /// Adds all tags below a tag to those that have been `seen`, until these are more than `most`. Returns those that were new,
    /// some of which may be dead.
    pub fn descendants(&self, tag: u32, seen: &mut HashSet<u32, RandomState>, most: usize) -> Vec<u32> {
        let node = self.record(tag).node;
        if node == NO_NODE { Vec::new() } else { self.links.descendants(node, seen, most) }
    }

    /// A snapshot begins, which is to be told of all links.
    pub fn begin_telling(&mut self) {
        self.links.begin_telling();
    }

    /// Whether there may be links that it has not been told of.
    pub fn is_being_told(&self) -> bool {
        self.links.is_being_told()
    }

    /// It is not to be told any more.
    pub fn end_telling(&mut self) {
        self.links.end_telling();
    }

    /// Tells a snapshot of about `count` links, as they were when it began, by the names of their tags.
    pub fn tell_links(&mut self, count: usize, mut tell: impl FnMut(&[u8], &[u8])) {
        let (records, told) = (&self.records, RefCell::new(&mut tell));
        let name = |tag| records.get(tag).name.text();
        let whole = |parent, child| (told.borrow_mut())(name(parent), name(child));
        self.links.tell(count, whole, |parent, child| (told.borrow_mut())(parent, child));
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
        if self.names.drain_some(drop) || self.links.free_slice() || self.free_plan_slice() {
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
        self.bytes
            + self.names.memory_bytes()
            + self.records.memory_bytes()
            + self.links.memory_bytes()
            + self.plan_bytes()
    }
}
