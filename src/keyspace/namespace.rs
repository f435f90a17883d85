//! A namespace: a table of entries, the wheel that knows which of them expire, and an ordered set that knows which hashes
//! have fields that expire.
//!
//! What holds between calls: an entry is in the wheel exactly if it has a deadline, and its ticket says where. A hash with
//! deadlines of fields is in the set by the earliest of these and the address of its entry; while a hash is being changed
//! ([`Namespace::fields_due`] before, [`Namespace::fields_changed`] after), its place in the set is void. An entry with tags is
//! among the members of each ([`super::membership`]). All unsafe access to entries that live in a table is here and there, behind
//! positions and borrows.
#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::ops::Range;
use std::ptr::NonNull;
use std::rc::Rc;

use super::agenda::Listing;
use super::entry::{Encoding, Entry, EntryMut, EntryRef, INLINE_MAX, NewValue, Object, Type};
use super::membership::Demise;
use super::snapshot::{Large, Snapshot, WHOLE_MAX, Walk};
use super::tags::Tags;
use super::tags::set::TagSet;
use super::weight::{FIELDS_CELL_BYTES, Lent, Parts, Scales, Share};
use super::wheel::{Scheduled, Ticket, Wheel};
use crate::memory::size_class;
use crate::types::hash::KeyHasher;
use crate::types::listpack::Buffer;
use crate::types::table::{self, Position, Table};

/// An entry as the wheel knows it: the address of its block.
#[derive(Clone, Copy)]
struct Timed(NonNull<u8>);

impl Scheduled for Timed {
    fn deadline_ms(self) -> u64 {
        // SAFETY: an entry leaves the wheel before it is freed or moved (see the head of the file).
        unsafe { EntryRef::from_ptr(self.0) }.deadline().expect("only entries with a deadline are in the wheel")
    }

    fn set_ticket(self, ticket: Ticket) {
        // SAFETY: as above; the wheel works while the namespace is borrowed exclusively.
        unsafe { EntryMut::from_ptr(self.0) }.set_ticket(ticket);
    }
}

/// Where a hash is in the set of those with deadlines of fields: the earliest of them, and the entry's address.
pub type FieldsDue = (u64, NonNull<u8>);

/// How many places in the set of hashes with deadlines of fields are freed in one slice.
const FIELDS_SLICE: usize = 512;

/// Keys and their entries.
pub struct Namespace {
    pub(super) table: Table<Entry>,
    wheel: Wheel<Timed>,
    /// Where it stands among all namespaces in which something expires: at its first deadline, or before.
    pub(super) listing: Listing,
    /// The mark of entries that the current snapshot, or else the last one, has or does not have to have.
    mark: bool,
    /// How far the current snapshot has got.
    walk: Option<Walk>,
    /// How many snapshots have begun here.
    pub(super) walks: u32,
    /// Hashes with deadlines of fields.
    fields: BTreeSet<FieldsDue>,
    /// What the entries weigh.
    scales: Scales,
    /// What table and wheel weighed when there were so many keys; see [`Namespace::weight`].
    overhead: (usize, usize),
    /// The tags of all entries, if any has some.
    pub(super) tags: Option<Box<Tags>>,
    /// Whether there may be entries that are dead; see [`super::tags`].
    pub(super) sweeping: bool,
}

impl Namespace {
    /// An empty namespace; `now_ms` is the time in Unix milliseconds.
    pub fn new(hasher: KeyHasher, now_ms: u64, listing: Listing) -> Namespace {
        Namespace {
            table: Table::new(hasher),
            wheel: Wheel::new(now_ms),
            listing,
            mark: false,
            walk: None,
            walks: 0,
            fields: BTreeSet::new(),
            scales: Scales::default(),
            overhead: (0, usize::MAX),
            tags: None,
            sweeping: false,
        }
    }

    /// How many keys there are, expired ones that have not been removed yet included. While an invalidation is open, it is
    /// not known better than from above; see [`super::tags`].
    pub fn len(&self) -> usize {
        self.table.len() - if self.sweeping { self.dead() } else { 0 }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries there are, dead ones included.
    pub fn entries(&self) -> usize {
        self.table.len()
    }

    /// Whether there is nothing at all: no entry, not even a dead one, and no links of tags.
    pub(super) fn is_bare(&self) -> bool {
        self.table.is_empty() && self.tags.is_none()
    }

    /// How many keys expire. Dead entries that do count too, but never more than there are keys.
    pub fn expires(&self) -> usize {
        self.wheel.len().min(self.len())
    }

    /// How many hashes have fields that expire.
    pub fn fields_expire(&self) -> usize {
        self.fields.len()
    }

    /// Bytes of memory taken by the table and the wheel, without the entries.
    pub fn overhead_bytes(&self) -> (usize, usize) {
        (self.table.memory_bytes(), self.wheel.memory_bytes())
    }

    /// How the memory is used that the entries and their values take; see [`super::weight`].
    #[cfg(test)]
    pub fn entries_parts(&self) -> Parts {
        self.scales.parts()
    }

    /// How the memory is used that everything takes, but for a little.
    pub fn parts(&self) -> Parts {
        let (table, wheel) = self.overhead_bytes();
        let mut parts = self.scales.parts();
        parts.keys += size_of::<Namespace>() + table;
        parts.expiry += wheel + self.fields.len() * FIELDS_CELL_BYTES;
        parts.tags += self.tag_bytes();
        parts
    }

    /// What an entry weighs.
    pub fn weigh(&self, entry: EntryRef<'_>) -> Share {
        self.scales.weigh(entry)
    }

    /// Bytes of memory taken by everything.
    pub fn memory_bytes(&self) -> usize {
        self.parts().bytes()
    }

    /// As [`Namespace::memory_bytes`], for those who ask at every command: table, wheel and tags are looked at again when the number
    /// of keys has changed by a sixteenth.
    pub fn weight(&mut self) -> usize {
        let (_, then) = self.overhead;
        if self.len().abs_diff(then) > then / 16 + 16 {
            let (table, wheel) = self.overhead_bytes();
            self.overhead = (size_of::<Namespace>() + table + wheel + self.tag_bytes(), self.len());
        }
        self.overhead.0 + self.scales.parts().bytes()
    }

    /// A value is about to be changed: its weight may, too. Ends with [`Namespace::give_back`].
    #[inline]
    pub(super) fn lend(&self, position: Position) -> Lent {
        self.scales.lend(self.entry(position))
    }

    /// A value has been changed.
    #[inline]
    pub(super) fn give_back(&mut self, position: Position, lent: Lent) {
        // SAFETY: the table owns the entry; the scales, which are changed, are no part of it.
        let entry = unsafe { EntryRef::from_ptr(self.table.get(position)) };
        self.scales.give_back(entry, lent);
    }

    /// Slots of the table, used or not.
    pub fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// See [`Table::prefetch_bucket`].
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        self.table.prefetch_bucket(hash);
    }

    /// See [`Table::prefetch_item`].
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        self.table.prefetch_item(hash);
    }

    /// The entry that a hash most likely means.
    #[inline]
    pub fn probable(&self, hash: u64) -> Option<EntryRef<'_>> {
        // SAFETY: the table owns the entry and is borrowed for as long as the view.
        self.table.probable(hash).map(|address| unsafe { EntryRef::from_ptr(address) })
    }

    /// Where a key is.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<Position> {
        self.table.find(hash, key)
    }

    /// Where the key with a hash is.
    pub fn find_hash(&self, hash: u64) -> Option<Position> {
        self.table.find_hash(hash)
    }

    /// The entry at a position.
    #[inline]
    pub fn entry(&self, position: Position) -> EntryRef<'_> {
        // SAFETY: the table owns the entry and is borrowed for as long as the view.
        unsafe { EntryRef::from_ptr(self.table.get(position)) }
    }

    /// The entry at a position, to be changed. Its deadline must be changed by [`Namespace::set_deadline`] only.
    #[inline]
    pub fn entry_mut(&mut self, position: Position) -> EntryMut<'_> {
        // SAFETY: the table owns the entry and is borrowed exclusively for as long as the view.
        unsafe { EntryMut::from_ptr(self.table.get(position)) }
    }

    /// Adds an entry whose key is not here.
    pub fn insert(&mut self, hash: u64, entry: Entry) -> Position {
        self.scales.enter(entry.as_ref());
        let deadline = entry.as_ref().deadline();
        let position = self.table.insert(hash, entry.marked(self.mark));
        self.schedule(position, deadline);
        self.fields_changed(position, None);
        self.settle_tags(position);
        position
    }

    /// Puts an entry in the place of another with the same key, which is returned. The tags of the other go, but for those
    /// that were taken out of it before.
    pub fn replace(&mut self, position: Position, entry: Entry) -> Entry {
        self.assert_recorded(position);
        self.unschedule(position);
        self.scales.enter(entry.as_ref());
        let deadline = entry.as_ref().deadline();
        let mut old = self.table.replace(position, entry.marked(self.mark));
        self.schedule(position, deadline);
        self.fields_changed(position, None);
        self.scales.leave(old.as_ref());
        self.inherit_tags(position, &mut old);
        self.settle_tags(position);
        self.leave_tags(&old);
        old
    }

    /// Takes an entry out.
    pub fn remove(&mut self, position: Position) -> Entry {
        self.assert_recorded(position);
        self.unschedule(position);
        let entry = self.table.remove(position);
        self.scales.leave(entry.as_ref());
        self.leave_tags(&entry);
        entry
    }

    /// Takes down when an entry expires that is not in the wheel, if it does.
    #[inline]
    fn schedule(&mut self, position: Position, deadline: Option<u64>) {
        if let Some(deadline) = deadline {
            self.listing.due(deadline);
            self.wheel.insert(Timed(self.table.get(position)));
        }
    }

    fn unschedule(&mut self, position: Position) {
        let entry = self.entry(position);
        if entry.deadline().is_some() {
            let ticket = entry.ticket();
            self.wheel.remove(ticket);
        }
        if let Some(due) = self.fields_due(position) {
            self.fields.remove(&due);
        }
    }

    /// Where a hash is in the set of those with deadlines of fields.
    #[inline]
    pub fn fields_due(&self, position: Position) -> Option<FieldsDue> {
        let entry = self.entry(position);
        Some((entry.earliest_field()?, entry.as_ptr()))
    }

    /// Finds a value that was changed its place in the set of hashes with deadlines of fields, given the one it had.
    #[inline]
    pub fn fields_changed(&mut self, position: Position, before: Option<FieldsDue>) {
        let after = self.fields_due(position);
        if before != after {
            if let Some(before) = before {
                self.fields.remove(&before);
            }
            if let Some((deadline, _)) = after {
                self.listing.due(deadline);
            }
            self.fields.extend(after);
        }
    }

    /// The set of hashes with deadlines of fields.
    #[cfg(test)]
    pub fn all_fields_due(&self) -> impl Iterator<Item = FieldsDue> {
        self.fields.iter().copied()
    }

    /// The hash with the earliest deadline of a field, if that is before a time in Unix milliseconds.
    pub fn first_fields_due(&self, before_ms: u64) -> Option<Position> {
        let &(deadline, address) = self.fields.first()?;
        if deadline >= before_ms {
            return None;
        }
        // SAFETY: the set names live entries of this table.
        let hash = self.table.hash(unsafe { EntryRef::from_ptr(address) }.key());
        Some(self.table.find_address(hash, address).expect("what is in the set is in the table"))
    }

    /// Gives an entry a deadline in Unix milliseconds, or takes it away.
    pub fn set_deadline(&mut self, position: Position, deadline: Option<u64>) {
        self.assert_recorded(position);
        let entry = self.entry(position);
        match (entry.deadline(), deadline) {
            (None, None) => {}
            (Some(_), Some(new)) => {
                let ticket = entry.ticket();
                if self.wheel.same_slot(ticket, new) {
                    self.entry_mut(position).set_deadline(new);
                    self.listing.due(new);
                } else {
                    self.wheel.remove(ticket);
                    self.entry_mut(position).set_deadline(new);
                    self.schedule(position, Some(new));
                }
            }
            _ => {
                let before = self.scales.weigh(entry);
                self.unschedule(position);
                let mark = self.mark;
                self.table.update(position, |entry| entry.with_deadline(deadline).marked(mark));
                let after = self.scales.weigh(self.entry(position));
                self.scales.reweigh(before, after);
                self.schedule(position, deadline);
                self.fields_changed(position, None);
                self.settle_tags(position);
            }
        }
    }

    /// Gives an entry tags that it has no room for.
    pub(super) fn make_room_for(&mut self, position: Position, tags: TagSet) {
        self.assert_recorded(position);
        let due = self.fields_due(position);
        let entry = self.entry(position);
        let (before, ticket) = (self.scales.weigh(entry), entry.deadline().map(|_| entry.ticket()));
        self.table.update(position, |entry| entry.retagged(tags));
        let after = self.scales.weigh(self.entry(position));
        self.scales.reweigh(before, after);
        if let Some(ticket) = ticket {
            let moved = Timed(self.table.get(position));
            self.wheel.replace(ticket, moved);
        }
        self.fields_changed(position, due);
    }

    /// Makes a string `len` bytes long, keeping the common prefix, and lends its bytes to be changed; new bytes are
    /// zero. Its encoding becomes `raw`.
    pub fn resize_string(&mut self, position: Position, len: usize) -> &mut [u8] {
        self.assert_recorded(position);
        let entry = self.entry(position);
        let before = self.scales.weigh(entry);
        if entry.object().is_none() && !self.entry_mut(position).resize_inline(len) {
            let entry = self.entry(position);
            let (deadline, access) = (entry.deadline(), entry.access());
            let ticket = deadline.map(|_| entry.ticket());
            let mut bytes = Vec::with_capacity(if len > INLINE_MAX { with_room(len) } else { len });
            bytes.extend_from_slice(&entry.inline()[..len.min(entry.inline().len())]);
            bytes.resize(len, 0);
            let mark = self.mark;
            self.table.update(position, |mut entry| {
                let tags = entry.take_tags();
                let (key, value) = (entry.as_ref().key(), string_value(&mut bytes));
                Entry::with_tags(key, Type::String, Encoding::Raw, value, deadline, access, tags).marked(mark)
            });
            if let Some(ticket) = ticket {
                let moved = Timed(self.table.get(position));
                self.wheel.replace(ticket, moved);
            }
            self.settle_tags(position);
        } else if let Some(Object::Blob(blob)) = self.entry_mut(position).object_mut() {
            if Rc::get_mut(blob).is_none() {
                // Replies keep the old bytes; what is about to grow is copied to where it has room.
                let mut own = Vec::with_capacity(if len > blob.len() { with_room(len) } else { len });
                own.extend_from_slice(&blob[..len.min(blob.len())]);
                *blob = Rc::new(own);
            }
            let bytes = Rc::make_mut(blob);
            if len > bytes.capacity() {
                bytes.reserve_exact(with_room(len) - bytes.len());
            }
            bytes.resize(len, 0);
        }
        self.entry_mut(position).set_encoding(Encoding::Raw);
        let after = self.scales.weigh(self.entry(position));
        self.scales.reweigh(before, after);
        self.entry_mut(position).into_string_mut()
    }

    /// Makes a range of a compact collection's bytes `len` bytes long, in place if the entry keeps its size class. Returns all
    /// bytes, of which those of the range are to be written.
    ///
    /// # Panics
    /// If the value is not compact, or the range is not within it.
    #[inline]
    pub fn reshape(&mut self, position: Position, range: Range<usize>, len: usize) -> &mut [u8] {
        self.assert_recorded(position);
        if self.entry(position).object().is_none() {
            if range.len() != len && !self.entry_mut(position).reshape_inline(range.clone(), len) {
                self.reshape_elsewhere(position, range, len);
            }
        } else if let Some(Object::Compact(bytes)) = self.entry_mut(position).into_object_mut() {
            let grown = bytes.len() - range.len() + len;
            if grown > bytes.capacity() {
                bytes.reserve_exact(size_class(grown) - bytes.len());
            }
            bytes.reshape(range, len);
        }
        self.entry_mut(position).into_compact_mut().expect("only compact values are reshaped")
    }

    /// As [`Namespace::reshape`], for an inline value that will need another block.
    fn reshape_elsewhere(&mut self, position: Position, range: Range<usize>, len: usize) {
        let entry = self.entry(position);
        let old = entry.inline();
        let grown = old.len() - range.len() + len;
        if grown > INLINE_MAX {
            // What the allocator has for so many bytes, and not twice as much: these grow by little at a time.
            let mut bytes = Vec::with_capacity(size_class(grown));
            bytes.extend_from_slice(old);
            bytes.reshape(range, len);
            self.convert(position, entry.encoding(), NewValue::Boxed(Box::new(Object::Compact(bytes))));
            return;
        }
        let ticket = entry.deadline().map(|_| entry.ticket());
        let tags = self.entry_mut(position).take_tags();
        let fresh = self.entry(position).reshaped(range, len);
        drop(self.table.replace(position, fresh));
        if let Some(ticket) = ticket {
            let moved = Timed(self.table.get(position));
            self.wheel.replace(ticket, moved);
        }
        let put = self.entry_mut(position).put_tags(tags);
        debug_assert!(put.err().is_none_or(|none| none.is_empty()), "the copy has room for what the original had");
        self.settle_tags(position);
    }

    /// Gives a key another value of its type, keeping its deadline and access clock. Returns the old value if it was an
    /// object.
    pub fn convert(&mut self, position: Position, encoding: Encoding, value: NewValue<'_>) -> Option<Box<Object>> {
        self.assert_recorded(position);
        let tags = self.entry_mut(position).take_tags();
        let entry = self.entry(position);
        let (kind, deadline, access) = (entry.kind(), entry.deadline(), entry.access());
        let ticket = deadline.map(|_| entry.ticket());
        let fresh = Entry::with_tags(entry.key(), kind, encoding, value, deadline, access, tags);
        let old = self.table.replace(position, fresh.marked(self.mark));
        if let Some(ticket) = ticket {
            let moved = Timed(self.table.get(position));
            self.wheel.replace(ticket, moved);
        }
        self.settle_tags(position);
        let old = old.into_object();
        debug_assert!(old.as_ref().is_none_or(|old| !old.is_being_told()), "what is being told is kept");
        old
    }

    /// Moves time to `now_ms` and takes out the entries that are due by then, in about `budget` steps at most, saying of each
    /// what became of it.
    pub(super) fn take_due(
        &mut self,
        now_ms: u64,
        budget: &mut usize,
        mut snapshot: Option<&mut Snapshot>,
        mut take: impl FnMut(Entry, Demise),
    ) {
        let mut due = Vec::new();
        self.wheel.advance(now_ms, budget, &mut due);
        for &Timed(address) in &due {
            table::prefetch(address);
        }
        for Timed(address) in due {
            // SAFETY: the wheel named a live entry of this table, and now it is in the wheel no more.
            let hash = self.table.hash(unsafe { EntryRef::from_ptr(address) }.key());
            let position = self.table.find_address(hash, address).expect("what is in the wheel is in the table");
            if let Some(snapshot) = snapshot.as_deref_mut() {
                self.preserve(position, snapshot);
            }
            if let Some(due) = self.fields_due(position) {
                self.fields.remove(&due);
            }
            let demise = self.demise(position, Demise::Expired);
            let entry = self.table.remove(position);
            self.scales.leave(entry.as_ref());
            self.leave_tags(&entry);
            take(entry, demise);
        }
    }

    /// When [`Namespace::take_due`] or [`Namespace::first_fields_due`] has something to do, in Unix milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        let fields = self.fields.first().map(|&(deadline, _)| deadline);
        self.wheel.next_deadline().into_iter().chain(fields).min()
    }

    /// Looks when something is due next, now that what was has been taken out.
    pub(super) fn relist(&mut self) {
        let next = self.next_deadline();
        self.listing.put(next);
    }

    /// When it will be looked at next, in Unix milliseconds, if nothing is due before.
    pub(super) fn looked_at(&self) -> Option<u64> {
        self.listing.at()
    }

    /// It is not looked at before a time in Unix milliseconds, although something may be due.
    pub(super) fn look_at(&mut self, at: u64) {
        self.listing.put(Some(at));
    }

    /// The deadlines of up to `count` keys that expire, spread over all of them.
    pub fn sample_deadlines(&self, count: usize) -> impl Iterator<Item = u64> {
        let len = self.wheel.len();
        (0..count.min(len)).filter_map(move |n| Some(self.wheel.pick(n * len / count.min(len))?.deadline_ms()))
    }

    /// See [`Table::scan`].
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(EntryRef<'_>)) -> u64 {
        // SAFETY: the table owns the entry and is borrowed during the visit.
        self.table.scan(cursor, count, |address| visit(unsafe { EntryRef::from_ptr(address) }))
    }

    /// A key chosen fairly; see [`Table::random`].
    pub fn random(&self, random: impl FnMut() -> u64) -> Option<EntryRef<'_>> {
        // SAFETY: the table owns the entry and is borrowed for as long as the view.
        self.table.random(random).map(|address| unsafe { EntryRef::from_ptr(address) })
    }

    /// Begins a snapshot of what is here now, as database `db`. The last one must be over.
    pub(super) fn begin_walk(&mut self, db: usize) {
        assert!(self.walk.is_none(), "one snapshot at a time");
        let links = self.tags.as_mut().filter(|tags| tags.links() > 0);
        if !self.table.is_empty() || links.is_some() {
            if let Some(tags) = links {
                tags.begin_telling();
            }
            self.mark = !self.mark;
            self.walks = self.walks.wrapping_add(1);
            self.walk = Some(Walk { db, recording: true, cursor: 0 });
        }
    }

    /// The number that the database had when the snapshot began which is not done with it.
    pub fn walked_as(&self) -> Option<usize> {
        self.walk.as_ref().map(|walk| walk.db)
    }

    /// Tells nobody any more; the walk must go on all the same, or [`Namespace::forget_walk`] be called.
    pub(super) fn mute_walk(&mut self) {
        if let Some(walk) = &mut self.walk {
            walk.recording = false;
        }
        self.end_links();
    }

    /// Ends the telling of links, of which there may be none left.
    fn end_links(&mut self) {
        if let Some(tags) = self.tags.as_mut().filter(|tags| tags.is_being_told()) {
            tags.end_telling();
            self.drop_tags_if_empty();
        }
    }

    /// Ends a walk whose marks do not matter any more, because the namespace will never be walked again.
    pub(super) fn forget_walk(&mut self) {
        self.walk = None;
        self.end_links();
    }

    /// Tells a snapshot of an entry that is about to change, if it does not have it yet.
    pub(super) fn preserve(&mut self, position: Position, snapshot: &mut Snapshot) {
        let Some(walk) = self.walk.as_mut().filter(|walk| walk.recording) else { return };
        // SAFETY: the table owns the entry and is borrowed exclusively; nobody else looks at it.
        let mut entry = unsafe { EntryMut::from_ptr(self.table.get(position)) };
        if entry.as_ref().mark() != self.mark {
            let small = tell(walk.db, self.tags.as_deref(), self.walks, &mut entry, snapshot);
            snapshot.ahead += u64::from(small);
            entry.set_mark(self.mark);
        }
    }

    /// A change that no snapshot was told of would be missing there, or be there when it should not.
    #[inline]
    fn assert_recorded(&self, position: Position) {
        debug_assert!(
            self.walk.as_ref().is_none_or(|walk| !walk.recording || self.entry(position).mark() == self.mark),
            "an entry changes that the snapshot does not have"
        );
    }

    /// Goes on with the snapshot: about `count` links, or entries when all links have been told. Returns how many keys were told,
    /// large ones not counted.
    pub(super) fn walk_slice(&mut self, count: usize, mut snapshot: Option<&mut Snapshot>) -> u64 {
        let Some(walk) = &mut self.walk else { return 0 };
        if let (Some(tags), Some(snapshot)) = (&mut self.tags, &mut snapshot)
            && tags.is_being_told()
        {
            let db = walk.db;
            tags.tell_links(count, |parent, child| snapshot.recorder.record_link(db, parent, child));
            if !tags.is_being_told() {
                self.drop_tags_if_empty();
            }
            return 0;
        }
        let mut told = 0;
        let (db, mark, tags, walks) = (walk.db, self.mark, self.tags.as_deref(), self.walks);
        let next = self.table.scan(walk.cursor, count, |address| {
            // SAFETY: the table owns the entry, which nobody else looks at during the visit; the table itself looks neither
            // at the mark nor at the value.
            let mut entry = unsafe { EntryMut::from_ptr(address) };
            if entry.as_ref().mark() == mark {
                return;
            }
            if snapshot.as_deref_mut().is_none_or(|snapshot| tell(db, tags, walks, &mut entry, snapshot)) {
                told += 1;
            }
            entry.set_mark(mark);
        });
        walk.cursor = next;
        if next == 0 {
            self.walk = None;
        }
        told
    }

    /// A key of those that expire, chosen fairly; `random` gives a number below its argument.
    pub fn random_volatile(&self, random: impl FnOnce(usize) -> usize) -> Option<EntryRef<'_>> {
        if self.wheel.is_empty() {
            return None;
        }
        let Timed(address) = self.wheel.pick(random(self.wheel.len()))?;
        // SAFETY: the wheel knows entries of the table only, which is borrowed for as long as the view.
        Some(unsafe { EntryRef::from_ptr(address) })
    }

    /// Hands over a few dozen entries of a namespace that nobody uses any more; false when nothing is left.
    pub fn free_slice(&mut self, free: impl FnMut(Entry)) -> bool {
        if !self.fields.is_empty() {
            (0..FIELDS_SLICE).take_while(|_| self.fields.pop_first().is_some()).for_each(drop);
            return true;
        }
        if self.wheel.free_slice() || self.table.drain_some(free) {
            return true;
        }
        let more = self.tags.as_mut().is_some_and(|tags| tags.free_slice());
        if !more {
            self.tags = None;
        }
        more
    }
}

/// Tells a snapshot of an entry of a database, or begins to if its value is large; then returns false. An entry that was dead
/// when the snapshot began is not told.
#[inline]
fn tell(db: usize, tags: Option<&Tags>, walk: u32, entry: &mut EntryMut<'_>, snapshot: &mut Snapshot) -> bool {
    let tags = tags.filter(|_| entry.as_ref().is_tagged());
    if tags.is_some_and(|tags| tags.died_before(entry.as_ref().tags(), walk)) {
        return true;
    }
    if entry.as_ref().object().is_some_and(|object| object.items() > WHOLE_MAX)
        && let Some(large) = Large::begin(db, tags, entry)
    {
        snapshot.large.push_back(large);
        return false;
    }
    if let Some(tags) = tags {
        let pairs = entry.as_ref().tags();
        snapshot.recorder.record_tags(&mut pairs.iter().map(|pair| tags.name(pair.tag())));
    }
    snapshot.recorder.record(db, entry.as_ref());
    true
}

/// The capacity of a long string that has just grown to `len` bytes: room to grow by an eighth, so that appending copies
/// each byte a few times at most and wastes little. Two megabytes are enough, for the pages of large blocks are moved
/// ([`crate::memory`]).
fn with_room(len: usize) -> usize {
    len + (len / 8).min(2 << 20)
}

/// A string's bytes as an entry takes them; those of a long string leave `bytes`.
fn string_value(bytes: &mut Vec<u8>) -> NewValue<'_> {
    if bytes.len() > INLINE_MAX {
        NewValue::Boxed(Box::new(Object::Blob(Rc::new(std::mem::take(bytes)))))
    } else {
        NewValue::Inline(bytes)
    }
}
