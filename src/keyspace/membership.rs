//! Entries as members of tags: what keeps the lists of members and the entries of a namespace in step.
//!
//! What holds between calls: for each tag that an entry of the table has, the tag's list has the entry's address where the
//! entry says. An entry that has just entered the table, or has moved in memory, is made so by [`Namespace::settle_tags`]; one
//! that has just left it, by [`Namespace::leave_tags`].
#![allow(unsafe_code)]

use std::ptr::NonNull;

use super::entry::{Entry, EntryMut, EntryRef};
use super::namespace::Namespace;
use super::tags::plan::Plan;
use super::tags::set::{MOST_TAGS, Membership, TagSet};
use super::tags::{Open, Sweep, Tags};
use crate::types::table::{self, Position};

/// Entries that the sweep takes at once, so that the cache misses of one overlap with those of the next.
const SWEEP: usize = 32;

/// How a key came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Demise {
    /// Its time was over.
    Expired,
    /// A tag of it was invalidated, which has been counted.
    Counted,
    /// A tag of it was invalidated, which is counted now.
    Invalidated,
}

/// A key would have more than [`MOST_TAGS`] tags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyTags;

impl Namespace {
    /// The tags of all keys and their links, if there are any.
    pub fn tags(&self) -> Option<&Tags> {
        self.tags.as_deref()
    }

    /// Bytes of memory that tags take: their lists and names, and what entries hold.
    pub fn tag_bytes(&self) -> usize {
        self.tags().map_or(0, |tags| tags.memory_bytes() + tags.memberships() * size_of::<Membership>())
    }

    fn tags_mut(&mut self) -> &mut Tags {
        let hasher = self.table.hasher();
        self.tags.get_or_insert_with(|| Box::new(Tags::new(hasher.clone())))
    }

    /// Dead entries, as far as they are counted.
    pub(super) fn dead(&self) -> usize {
        self.tags.as_ref().map_or(0, |tags| tags.dead())
    }

    /// Puts an entry into the lists of its tags that do not have it, and tells those that do where it is now.
    #[inline]
    pub(super) fn settle_tags(&mut self, position: Position) {
        if self.entry(position).is_tagged() {
            self.settle_tagged(position);
        }
    }

    fn settle_tagged(&mut self, position: Position) {
        let address = self.table.get(position);
        let tags = self.tags.as_mut().expect("a tagged entry has tags");
        // SAFETY: the table owns the entry and is borrowed exclusively; lists of members do not look at entries.
        let mut entry = unsafe { EntryMut::from_ptr(address) };
        let pairs = entry.tags_mut();
        let several = pairs.len() > 1;
        for pair in pairs {
            match pair.index() {
                Some(index) => tags.rehome(pair.tag(), index, address),
                None => pair.set_index(tags.join(pair.tag(), address, several)),
            }
        }
    }

    /// Takes an entry, which is not in the table any more, out of the lists that have it.
    #[inline]
    pub(super) fn leave_tags(&mut self, entry: &Entry) {
        if entry.as_ref().is_tagged() {
            let pairs = entry.as_ref().tags();
            self.leave(pairs, pairs.len() > 1);
        }
    }

    /// Takes the entry with these memberships, which has had `several`, out of the lists where it is in them.
    fn leave(&mut self, pairs: &[Membership], several: bool) {
        let Some(tags) = &mut self.tags else { return };
        for pair in pairs {
            let Some(index) = pair.index() else { continue };
            let Some(moved) = tags.leave(pair.tag(), index, several) else { continue };
            // SAFETY: members are entries of the table, which is borrowed exclusively. The caller's memberships are of
            // another entry, for this one had another place.
            let mut moved = unsafe { EntryMut::from_ptr(moved) };
            let own = moved.tags_mut().iter_mut().find(|own| own.tag() == pair.tag());
            own.expect("a member has the tag").set_index(index);
        }
        self.drop_tags_if_empty();
    }

    pub(super) fn drop_tags_if_empty(&mut self) {
        if self.tags.as_ref().is_some_and(|tags| tags.is_empty()) {
            self.tags = None;
        }
    }

    /// Gives an entry the places of its predecessor in the lists of the tags that both have: who iterates over the members
    /// of a tag does not miss a key that is written meanwhile.
    #[inline]
    pub(super) fn inherit_tags(&mut self, position: Position, old: &mut Entry) {
        if !old.as_ref().is_tagged() || !self.entry(position).is_tagged() {
            return;
        }
        // SAFETY: both entries are borrowed exclusively, the one by the table, the other by itself.
        let (mut new, mut old) =
            unsafe { (EntryMut::from_ptr(self.table.get(position)), EntryMut::from_ptr(old.as_ref().as_ptr())) };
        let (heirs, old) = (new.tags_mut(), old.tags_mut());
        let (several, had_several) = (heirs.len() > 1, old.len() > 1);
        let Some(tags) = &mut self.tags else { return };
        for heir in heirs.iter_mut().filter(|heir| heir.index().is_none()) {
            let Some(own) = old.iter_mut().find(|own| own.tag() == heir.tag()) else { continue };
            if let Some(index) = own.take_index() {
                heir.set_index(index);
                if several != had_several {
                    tags.share(heir.tag(), several);
                }
            }
        }
    }

    /// The tags that an entry is to have by names, which must all be different and not too many, as it takes them into the
    /// table. They must get there before anything else is done to tags.
    pub(super) fn tag_set<'a>(&mut self, names: impl Iterator<Item = &'a [u8]>) -> TagSet {
        names.map(|name| Membership::new(self.tags_mut().intern(name))).collect()
    }

    /// Makes a tag the child of another; see [`Tags::link`].
    pub(super) fn link_tags(&mut self, parent: &[u8], child: &[u8]) -> Option<bool> {
        let linked = self.tags_mut().link(parent, child);
        self.drop_tags_if_empty();
        linked
    }

    /// Removes a link; see [`Tags::unlink`].
    pub(super) fn unlink_tags(&mut self, parent: &[u8], child: &[u8]) -> bool {
        let unlinked = self.tags.as_mut().is_some_and(|tags| tags.unlink(parent, child));
        self.drop_tags_if_empty();
        unlinked
    }

    /// Whether an entry has exactly these tags, which must all be different.
    pub(super) fn has_tags(&self, position: Position, names: &[&[u8]]) -> bool {
        let pairs = self.entry(position).tags();
        let Some(tags) = self.tags() else { return names.is_empty() };
        pairs.len() == names.len()
            && names.iter().all(|name| tags.find(name).is_some_and(|tag| pairs.iter().any(|pair| pair.tag() == tag)))
    }

    /// Adds tags to an entry. Returns how many it did not have.
    ///
    /// # Errors
    /// [`TooManyTags`]; then nothing has changed.
    pub(super) fn add_tags(&mut self, position: Position, names: &[&[u8]]) -> Result<usize, TooManyTags> {
        let own = self.entry(position).tags();
        let new: Vec<&[u8]> = match self.tags() {
            Some(tags) => {
                let has = |name: &[u8]| tags.find(name).is_some_and(|tag| own.iter().any(|pair| pair.tag() == tag));
                names.iter().copied().filter(|name| !has(name)).collect()
            }
            None => names.to_vec(),
        };
        let before = own.len();
        if before + new.len() > MOST_TAGS {
            return Err(TooManyTags);
        }
        if !new.is_empty() {
            let mut pairs = own.to_vec();
            let tags = self.tags_mut();
            if let [only] = pairs[..] {
                tags.share(only.tag(), true);
            }
            pairs.extend(new.iter().map(|name| Membership::new(tags.intern(name))));
            self.retag(position, pairs.into_iter().collect());
        }
        Ok(new.len())
    }

    /// Takes tags from an entry. Returns how many it had.
    pub(super) fn remove_tags(&mut self, position: Position, names: &[&[u8]]) -> usize {
        let Some(tags) = &mut self.tags else { return 0 };
        let gone: Vec<u32> = names.iter().filter_map(|name| tags.find(name)).collect();
        // SAFETY: the table owns the entry and is borrowed exclusively.
        let mut entry = unsafe { EntryMut::from_ptr(self.table.get(position)) };
        let old = entry.take_tags();
        let is_gone = |pair: &Membership| gone.contains(&pair.tag());
        let (left, kept): (Vec<Membership>, Vec<Membership>) = old.as_slice().iter().copied().partition(is_gone);
        if let ([only], false) = (&kept[..], left.is_empty()) {
            tags.share(only.tag(), false);
        }
        let kept = kept.into_iter().collect();
        let room = entry.put_tags(kept);
        debug_assert!(room.is_ok() || left.is_empty(), "an entry with tags has room for fewer");
        let several = old.as_slice().len() > 1;
        self.leave(&left, several);
        left.len()
    }

    /// Gives an entry other tags, which know where the lists have it, as far as they do.
    fn retag(&mut self, position: Position, tags: TagSet) {
        // SAFETY: the table owns the entry and is borrowed exclusively.
        let mut entry = unsafe { EntryMut::from_ptr(self.table.get(position)) };
        if let Err(tags) = entry.put_tags(tags) {
            self.make_room_for(position, tags);
        }
        self.settle_tags(position);
    }
}

/// Death.
impl Namespace {
    /// Whether an entry is dead: it is still here, but nobody must see it.
    #[inline]
    pub fn is_dead(&self, entry: EntryRef<'_>) -> bool {
        self.sweeping && self.fate(entry).is_some()
    }

    #[cold]
    fn fate(&self, entry: EntryRef<'_>) -> Option<bool> {
        self.tags.as_ref()?.fate(entry.tags())
    }

    /// Whether any entry may be dead.
    #[inline]
    pub fn is_sweeping(&self) -> bool {
        self.sweeping
    }

    /// Says how an entry ends that is about to be removed, and counts it if it is dead; `otherwise` if it is not.
    pub(super) fn demise(&mut self, position: Position, otherwise: Demise) -> Demise {
        let entry = self.entry(position);
        if !self.is_dead(entry) {
            return otherwise;
        }
        let (fate, deadline) = (self.fate(entry), entry.deadline());
        let Some(tags) = &mut self.tags else { return otherwise };
        match tags.open() {
            Some(open) if fate == Some(true) => {
                if deadline.is_some_and(|deadline| deadline < open.at_ms) {
                    return Demise::Expired;
                }
                open.count += 1;
                Demise::Invalidated
            }
            _ => {
                tags.bury_counted();
                Demise::Counted
            }
        }
    }

    /// How many members tags, which may be no more, have in all, an entry counted as often as it is one, and how many of the
    /// tags share members.
    pub(super) fn count_members(&self, tags: &[u32]) -> (usize, usize) {
        let records = || tags.iter().filter_map(|&tag| self.tags()?.find_record(tag));
        (records().map(|record| record.members.len()).sum(), records().filter(|record| record.shared > 0).count())
    }

    /// Invalidates tags: those with members die. If their keys are to be counted as they are removed, that is `open`.
    pub(super) fn kill(&mut self, dying: &[u32], open: Option<Open>) {
        let walk = self.walks;
        let Some(tags) = &mut self.tags else { return };
        if let Some(open) = open {
            tags.begin_open(open);
        }
        for &tag in dying {
            if !tags.record(tag).members.is_empty() {
                tags.kill(tag, walk);
                self.sweeping = true;
            }
        }
    }

    /// Sets out to invalidate what a plan says.
    pub(super) fn plan(&mut self, plan: Plan) {
        self.tags_mut().begin_plan(plan);
        self.sweeping = true;
    }

    /// The next step of the sweep: positions of a few dead entries, or an open invalidation that is over.
    pub(super) fn sweep(&mut self, found: &mut Vec<NonNull<u8>>) -> Option<Box<Open>> {
        let mut addresses = [NonNull::dangling(); SWEEP];
        let step = self.tags.as_mut().map_or(Sweep::Done, |tags| tags.sweep(&mut addresses));
        match step {
            Sweep::Remove(count) => {
                let addresses = &addresses[..count];
                addresses.iter().for_each(|&address| table::prefetch(address));
                for &address in addresses {
                    self.table.prefetch_bucket(self.hash_at(address));
                }
                found.extend_from_slice(addresses);
                None
            }
            Sweep::Counted(open) => Some(open),
            Sweep::Done => {
                self.sweeping = false;
                self.drop_tags_if_empty();
                None
            }
        }
    }

    fn hash_at(&self, address: NonNull<u8>) -> u64 {
        // SAFETY: members of tags are entries of the table, which is borrowed.
        self.table.hash(unsafe { EntryRef::from_ptr(address) }.key())
    }

    /// Where the member of a tag is.
    pub(super) fn position_of(&self, address: NonNull<u8>) -> Position {
        self.table.find_address(self.hash_at(address), address).expect("a member of a tag is in the table")
    }

    /// The entry that a tag's list has at an index.
    pub(super) fn member(&self, tag: u32, index: usize) -> Option<EntryRef<'_>> {
        let members = &self.tags()?.find_record(tag)?.members;
        // SAFETY: members of tags are entries of the table, which is borrowed for as long as the view.
        (index < members.len()).then(|| unsafe { EntryRef::from_ptr(members.get(index)) })
    }
}
