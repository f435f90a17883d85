//! Tags as commands see them: giving and taking them, who has them, and how they are linked. See [`super::tags`], and
//! [`super::invalidation`] for what removes their keys.

use super::entry::EntryRef;
use super::membership::TooManyTags;
use super::namespace::Namespace;
use super::tags::Tags;
use super::tags::record::NO_NODE;
use super::tags::set::MOST_TAGS;
use super::weight::{Parts, SLOT_BYTES, WHEEL_CELL_BYTES};
use super::{Expiry, Key, Keyspace, Retag, StringValue, Touch, string_encoding};
use crate::effects::Event;
use crate::memory::size_class;
use crate::types::table::Position;

/// Members that are looked at to find out whether a tag has live ones.
const LOOKS: usize = 256;

/// What is asked for cannot be told before more dead entries have been removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unsettled;

/// What became of tags that a key was to get or to lose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tagging {
    /// So many were new, or were there.
    Done(usize),
    /// There is no such key.
    NoKey,
    /// The key would have too many, and nothing has changed.
    TooMany,
}

/// How large the tags of a database are.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct TagTotals {
    pub tags: usize,
    /// How many times a key has a tag.
    pub memberships: usize,
    pub links: usize,
    /// Members of invalidated tags that are still to be removed.
    pub unswept: usize,
    /// Bytes of memory that tags take beside keys and in them.
    pub bytes: usize,
}

impl Keyspace {
    /// Sets a key to a string with tags, which must all be different and no more than a key can have; provided that it
    /// `exists`, or does not, if that matters. Returns whether it was set.
    #[expect(clippy::too_many_arguments, reason = "tags on top of what setting a string on a condition takes")]
    pub fn set_tagged(
        &mut self,
        exists: Option<bool>,
        db: usize,
        key: Key<'_>,
        touch: Touch,
        value: StringValue<'_>,
        expiry: Expiry,
        tags: &[&[u8]],
    ) -> bool {
        let found = match exists {
            Some(_) => self.reach(db, key, touch),
            None => self.find(db, key),
        };
        if exists.is_some_and(|exists| exists != found.is_some()) {
            return false;
        }
        let encoding = string_encoding(value.bytes());
        self.write_string(db, key, found, value, encoding, (expiry, Retag::These(tags)), Event::SET);
        true
    }

    /// Adds tags, all different, to a key.
    pub fn add_tags(&mut self, db: usize, key: Key<'_>, tags: &[&[u8]]) -> Tagging {
        self.retag(db, key, |database, position| database.add_tags(position, tags))
    }

    /// Takes tags, all different, from a key.
    pub fn remove_tags(&mut self, db: usize, key: Key<'_>, tags: &[&[u8]]) -> Tagging {
        self.retag(db, key, |database, position| Ok(database.remove_tags(position, tags)))
    }

    /// Changes the tags of a key. That is a change of the key, but no event of it.
    fn retag(
        &mut self,
        db: usize,
        key: Key<'_>,
        change: impl FnOnce(&mut Namespace, Position) -> Result<usize, TooManyTags>,
    ) -> Tagging {
        let Some(position) = self.find(db, key) else { return Tagging::NoKey };
        self.preserve(db, position);
        match change(self.database_mut(db), position) {
            Ok(0) => Tagging::Done(0),
            Ok(count) => {
                self.effects.changed_by(db, key.bytes, Event::SILENT, count as u64);
                Tagging::Done(count)
            }
            Err(TooManyTags) => Tagging::TooMany,
        }
    }

    /// Gives a key that was read from a file its tags, without telling anybody. What is too many is left out.
    pub fn restore_tags(&mut self, db: usize, key: Key<'_>, mut tags: Vec<Vec<u8>>) {
        tags.sort_unstable();
        tags.dedup();
        tags.truncate(MOST_TAGS);
        let tags: Vec<&[u8]> = tags.iter().map(|tag| &**tag).collect();
        if let (false, Some(position)) = (tags.is_empty(), self.find(db, key)) {
            self.preserve(db, position);
            let added = self.database_mut(db).add_tags(position, &tags);
            debug_assert!(added.is_ok(), "a key that was just read has no other tags");
        }
    }

    /// Links tags as a file says, unless that would close a cycle, without telling anybody.
    pub fn restore_link(&mut self, db: usize, parent: &[u8], child: &[u8]) {
        self.carry_out_plan(db);
        if self.database_mut(db).link_tags(parent, child).is_none() {
            log::warn!("A link between tags was left out that would close a cycle");
        }
    }

    /// The tags of a live key. Counts a hit or a miss.
    pub fn tags_of(&mut self, db: usize, key: Key<'_>) -> Option<Vec<&[u8]>> {
        self.read(db, key, Touch::No)?;
        let entry = self.view(db, key)?;
        let tags = self.tags(db);
        Some(tags.map_or_else(Vec::new, |tags| entry.tags().iter().map(|pair| tags.name(pair.tag())).collect()))
    }

    pub(super) fn tags(&self, db: usize) -> Option<&Tags> {
        self.database(db)?.tags()
    }

    /// The names of an entry's tags.
    pub(super) fn tag_names(&self, db: usize, position: Position) -> Vec<Box<[u8]>> {
        let Some(database) = self.database(db) else { return Vec::new() };
        let Some(tags) = database.tags() else { return Vec::new() };
        database.entry(position).tags().iter().map(|pair| tags.name(pair.tag()).into()).collect()
    }

    /// How many keys have a tag, expired ones that have not been removed yet included, as they are where all keys are
    /// counted.
    ///
    /// # Errors
    /// [`Unsettled`] while keys with this tag and another may be dead because of the latter.
    pub fn count_tagged(&self, db: usize, tag: &[u8]) -> Result<usize, Unsettled> {
        let Some((tags, tag)) = self.tags(db).and_then(|tags| Some((tags, tags.find(tag)?))) else { return Ok(0) };
        let members = &tags.record(tag).members;
        if tags.is_dead(tag) {
            return Ok(0);
        }
        if may_have_dead(tags, tag) {
            if members.len() > LOOKS {
                return Err(Unsettled);
            }
            let live = |&index: &usize| {
                self.database(db).is_some_and(|one| one.member(tag, index).is_some_and(|entry| !one.is_dead(entry)))
            };
            return Ok((0..members.len()).filter(live).count());
        }
        Ok(members.len())
    }

    /// Visits the live keys that have a tag.
    pub fn each_tagged(&self, db: usize, tag: &[u8], visit: impl FnMut(EntryRef<'_>)) {
        self.scan_tagged(db, tag, 0, usize::MAX, visit);
    }

    /// Visits the live keys that have a tag, in slices of about `count`: from `cursor` on (0 to start). Returns the cursor to
    /// go on with, 0 at the end. A key that has the tag from the first call to the last is visited; one may be visited twice
    /// if others lose the tag meanwhile.
    pub fn scan_tagged(
        &self,
        db: usize,
        tag: &[u8],
        cursor: u64,
        count: usize,
        mut visit: impl FnMut(EntryRef<'_>),
    ) -> u64 {
        let Some(database) = self.database(db) else { return 0 };
        let Some(tag) = database.tags().and_then(|tags| tags.find(tag)) else { return 0 };
        let len = database.count_members(&[tag]).0;
        // What is behind the cursor has been visited; members only ever move away from there.
        let end = if cursor == 0 { len } else { usize::try_from(cursor).map_or(len, |cursor| cursor.min(len)) };
        let begin = end.saturating_sub(count.max(1));
        for index in (begin..end).rev() {
            if let Some(entry) = database.member(tag, index).filter(|&entry| !self.is_gone(database, entry)) {
                visit(entry);
            }
        }
        begin as u64
    }

    /// Visits the tags of a database, in slices; see [`crate::types::table::Table::scan`].
    ///
    /// # Errors
    /// [`Unsettled`] while it is not known whether one of them has live members.
    pub fn scan_tags(
        &self,
        db: usize,
        cursor: u64,
        count: usize,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<u64, Unsettled> {
        let Some(tags) = self.tags(db) else { return Ok(0) };
        let mut settled = Ok(());
        let next = tags.scan(cursor, count, |tag| match self.has_life(db, tags, tag) {
            Ok(true) => visit(tags.name(tag)),
            Ok(false) => {}
            Err(Unsettled) => settled = Err(Unsettled),
        });
        settled.map(|()| next)
    }

    /// Whether a tag has links or members that are not dead.
    fn has_life(&self, db: usize, tags: &Tags, tag: u32) -> Result<bool, Unsettled> {
        let record = tags.record(tag);
        if record.node != NO_NODE {
            return Ok(true);
        }
        if record.members.is_empty() || tags.is_dead(tag) {
            return Ok(false);
        }
        if !may_have_dead(tags, tag) {
            return Ok(true);
        }
        let Some(database) = self.database(db) else { return Ok(false) };
        let live = |index| database.member(tag, index).is_some_and(|entry| !database.is_dead(entry));
        let len = record.members.len();
        if (0..len.min(LOOKS)).any(live) {
            return Ok(true);
        }
        if len > LOOKS { Err(Unsettled) } else { Ok(false) }
    }

    /// Makes a tag the child of another. Returns false if that would close a cycle.
    ///
    /// # Errors
    /// [`Unsettled`] while an invalidation looks for what is below its tags.
    pub fn link_tags(&mut self, db: usize, parent: &[u8], child: &[u8]) -> Result<bool, Unsettled> {
        self.may_link(db)?;
        let linked = self.database_mut(db).link_tags(parent, child);
        self.effects.dirty += u64::from(linked == Some(true));
        Ok(linked.is_some())
    }

    /// Removes a link. Returns whether there was one.
    ///
    /// # Errors
    /// As [`Keyspace::link_tags`].
    pub fn unlink_tags(&mut self, db: usize, parent: &[u8], child: &[u8]) -> Result<bool, Unsettled> {
        self.may_link(db)?;
        let unlinked = self.database_mut(db).unlink_tags(parent, child);
        self.effects.dirty += u64::from(unlinked);
        Ok(unlinked)
    }

    fn may_link(&self, db: usize) -> Result<(), Unsettled> {
        if self.tags(db).is_some_and(|tags| tags.is_planning()) { Err(Unsettled) } else { Ok(()) }
    }

    /// The names of a tag's children.
    pub fn children_of(&self, db: usize, tag: &[u8]) -> Vec<&[u8]> {
        let Some(tags) = self.tags(db) else { return Vec::new() };
        let children = tags.find(tag).map_or_else(Vec::new, |tag| tags.children(tag));
        children.into_iter().map(|child| tags.name(child)).collect()
    }

    /// How large the tags of a database are.
    pub fn tag_totals(&self, db: usize) -> TagTotals {
        let Some((database, tags)) = self.database(db).and_then(|one| Some((one, one.tags()?))) else {
            return TagTotals::default();
        };
        TagTotals {
            tags: tags.len(),
            memberships: tags.memberships(),
            links: tags.links(),
            unswept: tags.unswept(),
            bytes: database.tag_bytes(),
        }
    }

    /// What one tag and its keys with all that is theirs take, judged by up to `samples` of the keys. Dead ones may be among
    /// them.
    pub fn tag_parts(&self, db: usize, tag: &[u8], samples: usize) -> Parts {
        let mut parts = Parts::default();
        let Some(database) = self.database(db) else { return parts };
        let Some((tags, tag)) = database.tags().and_then(|tags| Some((tags, tags.find(tag)?))) else { return parts };
        let record = tags.record(tag);
        let keys = record.members.len();
        let looked = keys.min(samples);
        for entry in (0..looked).filter_map(|n| database.member(tag, n * keys / looked)) {
            parts.add(database.weigh(entry));
            parts.keys += SLOT_BYTES;
            parts.expiry += if entry.deadline().is_some() { WHEEL_CELL_BYTES } else { 0 };
            parts.tags += size_of_val(entry.tags());
        }
        parts.scale(looked, keys);
        parts.tags += size_class(size_of_val(record)) + record.name.memory_bytes() + record.members.memory_bytes();
        parts
    }
}

/// Whether some of a tag's members may be dead because of another tag.
fn may_have_dead(tags: &Tags, tag: u32) -> bool {
    tags.mixed() > 0 && tags.record(tag).shared > 0
}
