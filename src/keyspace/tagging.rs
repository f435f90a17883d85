//! Tags as commands see them: giving and taking them, who has them, and invalidating them.
//!
//! Invalidating a tag with few members removes these on the spot. The members of one with many die: from that instant nobody
//! sees them, and [`Keyspace::sweep_slice`] removes them piece by piece, reporting each. See [`super::tags`].

use std::collections::HashSet;
use std::ptr::NonNull;

use foldhash::fast::RandomState;

use super::entry::EntryRef;
use super::membership::{Demise, TooManyTags};
use super::namespace::Namespace;
use super::tags::record::NO_NODE;
use super::tags::set::MOST_TAGS;
use super::tags::{Open, Tags};
use super::weight::{Parts, SLOT_BYTES, WHEEL_CELL_BYTES};
use super::{Expiry, Key, Keyspace, Retag, StringValue, Touch, report_end, string_encoding};
use crate::effects::Event;
use crate::memory::size_class;
use crate::types::table::Position;

/// What [`Keyspace::invalidate_at_once`] is by default: the work of a hundred microseconds.
pub(super) const AT_ONCE: usize = 512;
/// Due keys that are removed ahead of a large invalidation.
const EXPIRE: usize = 400;
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

/// What became of an invalidation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalidation {
    /// So many keys are gone.
    Done(usize),
    /// Keys are gone. How many will be known when they have been removed: ask [`Keyspace::take_count`] for this.
    Counting(u64),
    /// Nothing has happened: it must be tried again when [`Keyspace::is_settled`].
    Later,
}

/// What an invalidation may do to learn how many keys go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// Take all the time it needs.
    Now,
    /// Leave the count, or itself, to later.
    Later,
    /// As `Later`, and others wait already, whom it must not keep waiting.
    Behind,
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

    fn tags(&self, db: usize) -> Option<&Tags> {
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
        if tags.record(tag).node != NO_NODE || !may_have_dead(tags, tag) {
            return Ok(true);
        }
        let Some(database) = self.database(db) else { return Ok(false) };
        let live = |index| database.member(tag, index).is_some_and(|entry| !database.is_dead(entry));
        let len = tags.record(tag).members.len();
        if (0..len.min(LOOKS)).any(live) {
            return Ok(true);
        }
        if len > LOOKS { Err(Unsettled) } else { Ok(false) }
    }

    /// Makes a tag the child of another. Returns false if that would close a cycle.
    pub fn link_tags(&mut self, db: usize, parent: &[u8], child: &[u8]) -> bool {
        let linked = self.database_mut(db).link_tags(parent, child);
        self.effects.dirty += u64::from(linked == Some(true));
        linked.is_some()
    }

    /// Removes a link. Returns whether there was one.
    pub fn unlink_tags(&mut self, db: usize, parent: &[u8], child: &[u8]) -> bool {
        let unlinked = self.database_mut(db).unlink_tags(parent, child);
        self.effects.dirty += u64::from(unlinked);
        unlinked
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

/// Invalidation.
impl Keyspace {
    /// Removes every key that has one of these tags, or a tag below them if they are to be taken with their `descendants`.
    /// What has expired does not count. Does not take long, unless the count must be known now.
    pub fn invalidate(&mut self, db: usize, names: &[&[u8]], descendants: bool, count: Count) -> Invalidation {
        let mut dying = self.dying(db, names, descendants);
        let (members, _) = self.database(db).map_or((0, 0), |database| database.count_members(&dying));
        if members > self.invalidate_at_once && self.has_due(db) {
            // So that their number is the right one, as a rule: most keys that are due have just become so.
            self.expire_some(db);
            dying = self.dying(db, names, descendants);
        }
        let told = self.names_told(db, names, &dying);
        let (members, shared) = self.database(db).map_or((0, 0), |database| database.count_members(&dying));
        if members <= self.invalidate_at_once {
            let removed = self.remove_members(db, &dying);
            self.finish_invalidation(db, told, removed);
            return Invalidation::Done(removed);
        }
        let (open, mixed) = self.tags(db).map_or((false, 0), |tags| (tags.is_open(), tags.mixed()));
        let is_exact = !open && mixed + shared <= 1 && !self.has_due(db);
        let waits = if is_exact { count == Count::Behind && shared > 0 } else { open || mixed > 0 };
        if waits && count == Count::Now {
            self.sweep_all(db);
            return self.invalidate(db, names, descendants, count);
        }
        if waits {
            return Invalidation::Later;
        }
        self.sweeping = true;
        self.unswept = self.unswept.min(db);
        if is_exact {
            self.database_mut(db).kill(&dying, None);
            self.effects.dirty += members as u64;
            self.stats.invalidated += members as u64;
            self.finish_invalidation(db, told, members);
            return Invalidation::Done(members);
        }
        self.claims += 1;
        let claim = self.claims;
        let open = Open::new(claim, told, self.horizon_ms);
        self.database_mut(db).kill(&dying, Some(open));
        if count == Count::Now {
            self.count_dead(db);
            return Invalidation::Done(self.take_count(claim).unwrap_or(0));
        }
        Invalidation::Counting(claim)
    }

    /// The tags that have these names, and those below them, each once.
    fn dying(&self, db: usize, names: &[&[u8]], descendants: bool) -> Vec<u32> {
        let Some(tags) = self.tags(db) else { return Vec::new() };
        let (mut dying, mut seen) = (Vec::new(), HashSet::with_hasher(RandomState::default()));
        for tag in names.iter().filter_map(|name| tags.find(name)) {
            let below = if descendants { tags.descendants(tag) } else { Vec::new() };
            dying.extend(std::iter::once(tag).chain(below).filter(|&tag| seen.insert(tag)));
        }
        dying
    }

    /// The names of what is invalidated, if anybody is told: those that were given, whether or not there are such tags, and those
    /// below.
    fn names_told(&self, db: usize, names: &[&[u8]], dying: &[u32]) -> Vec<Box<[u8]>> {
        if !self.effects.tells_invalidations() {
            return Vec::new();
        }
        let mut told: Vec<Box<[u8]>> = names.iter().map(|&name| name.into()).collect();
        if let Some(tags) = self.tags(db) {
            let mut seen: HashSet<&[u8]> = names.iter().copied().collect();
            told.extend(dying.iter().map(|&tag| tags.name(tag)).filter(|name| seen.insert(name)).map(Box::from));
        }
        told
    }

    /// Reports an invalidation, whose count is known now.
    fn finish_invalidation(&mut self, db: usize, tags: Vec<Box<[u8]>>, count: usize) {
        self.stats.invalidations += 1;
        self.effects.invalidated(db, tags, count);
    }

    /// Whether keys of a database may have expired that have not been removed. A wheel that has just begun tells of what was due
    /// before as due now, so that counts as well.
    fn has_due(&self, db: usize) -> bool {
        let due = self.database(db).and_then(|database| database.next_deadline());
        due.is_some_and(|due| due <= self.horizon_ms)
    }

    /// Removes some of those keys.
    fn expire_some(&mut self, db: usize) {
        if let (true, Some(past_ms)) = (self.may_expire, self.horizon_ms.checked_sub(1)) {
            self.expire_database(db, past_ms, &mut { EXPIRE });
        }
    }

    /// Removes the members of a few tags. Returns how many there were, without those that had expired.
    fn remove_members(&mut self, db: usize, tags: &[u32]) -> usize {
        let mut removed = 0;
        for &tag in tags {
            // From behind, because the last member takes the place of one that goes. A tag whose last member goes may be no
            // more.
            let mut index = self.database(db).map_or(0, |database| database.count_members(&[tag]).0);
            while index > 0 {
                index -= 1;
                let Some(database) = self.databases[db].as_deref() else { break };
                let Some(entry) = database.member(tag, index) else { continue };
                let position = database.position_of(entry.as_ptr());
                if self.find_doubtful(db, position).is_none() {
                    continue;
                }
                self.preserve(db, position);
                let entry = self.database_mut(db).remove(position);
                report_end(&mut self.effects, &mut self.stats, db, &entry, Demise::Invalidated);
                self.discard(entry);
                removed += 1;
            }
        }
        removed
    }

    /// Removes a dead entry.
    pub(super) fn remove_dead(&mut self, db: usize, position: Position) {
        self.preserve(db, position);
        let database = self.database_mut(db);
        let demise = database.demise(position, Demise::Invalidated);
        let entry = database.remove(position);
        report_end(&mut self.effects, &mut self.stats, db, &entry, demise);
        self.discard(entry);
    }

    /// Whether there may be dead entries anywhere.
    #[inline]
    pub fn is_sweeping(&self) -> bool {
        self.sweeping
    }

    /// Removes a few dead entries. Returns whether there may be more.
    pub fn sweep_slice(&mut self) -> bool {
        if self.sweeping {
            let mut left = self.databases.iter().enumerate().skip(self.unswept);
            match left.find(|(_, one)| one.as_ref().is_some_and(|one| one.is_sweeping())) {
                Some((db, _)) => {
                    self.unswept = db;
                    self.sweep_step(db);
                }
                None => (self.sweeping, self.unswept) = (false, usize::MAX),
            }
        }
        self.sweeping
    }

    fn sweep_step(&mut self, db: usize) {
        let mut found: Vec<NonNull<u8>> = Vec::new();
        let over = self.database_mut(db).sweep(&mut found);
        for address in found {
            let position = self.database_mut(db).position_of(address);
            self.remove_dead(db, position);
        }
        if let Some(open) = over {
            self.counted.push((open.claim, open.count));
            self.finish_invalidation(db, open.tags, open.count);
        }
    }

    /// Removes all dead entries of a database, however long that takes.
    fn sweep_all(&mut self, db: usize) {
        while self.database(db).is_some_and(|database| database.is_sweeping()) {
            self.sweep_step(db);
        }
    }

    /// Removes the dead entries of a database if it is not known how many there are, however long that takes.
    pub(super) fn count_dead(&mut self, db: usize) {
        while self.tags(db).is_some_and(|tags| tags.is_open()) {
            self.sweep_step(db);
        }
    }

    /// Removes all dead entries, however long that takes.
    pub fn sweep_now(&mut self) {
        while self.sweep_slice() {}
    }

    /// Whether it is known of all tags how many live members they have, and of all databases how many keys.
    pub fn is_settled(&self) -> bool {
        !self.sweeping
            || self
                .databases
                .iter()
                .skip(self.unswept)
                .flatten()
                .filter_map(|one| one.tags())
                .all(|tags| !tags.is_open() && tags.mixed() == 0)
    }

    /// Whether it is known how many keys a database has.
    pub fn is_counted(&self, db: usize) -> bool {
        self.tags(db).is_none_or(|tags| !tags.is_open())
    }

    /// The count of an invalidation that was [`Invalidation::Counting`], if it is over.
    pub fn take_count(&mut self, claim: u64) -> Option<usize> {
        let at = self.counted.iter().position(|&(of, _)| of == claim)?;
        Some(self.counted.swap_remove(at).1)
    }
}
