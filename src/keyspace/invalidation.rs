//! Invalidation: removing all keys that have some tags.
//!
//! Invalidating a tag with few members removes these on the spot. The members of one with many die: from that instant nobody
//! sees them, and [`Keyspace::sweep_slice`] removes them piece by piece, reporting each. Very many tags are looked for in slices
//! before their members die. See [`super::tags`].

use std::collections::{HashSet, VecDeque};
use std::ptr::NonNull;
use std::rc::Rc;

use foldhash::fast::RandomState;

use super::expiry::report_end;
use super::membership::Demise;
use super::tags::Open;
use super::tags::plan::{Names, Plan, Stage};
use super::{Keyspace, Overdue};
use crate::types::table::Position;

/// What [`Keyspace::invalidate_at_once`] is by default: the work of a hundred microseconds.
pub(super) const AT_ONCE: usize = 512;
/// What [`Keyspace::tags_at_once`] is by default.
pub(super) const TAGS_AT_ONCE: usize = 256;
/// Tags whose invalidation is told at once.
const TELL: usize = 256;
/// Due keys that are removed ahead of a large invalidation.
const EXPIRE: usize = 400;

/// What became of an invalidation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalidation {
    /// So many keys are gone.
    Done(usize),
    /// Keys are gone. How many will be known when they have been removed: ask [`Keyspace::take_count`] for this.
    Counting(u64),
    /// The tags are being looked for. When all have been found their keys are gone, and the journal has been told. How many there
    /// were, ask as for `Counting`.
    Planned(u64),
    /// Nothing has happened: it must be tried again when [`Keyspace::is_settled`].
    Later,
}

/// Tags of a large invalidation that are still to be told as invalidated.
pub(super) struct Untold {
    db: usize,
    tags: VecDeque<Box<[u8]>>,
    count: usize,
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

impl Keyspace {
    /// Removes every key that has one of these tags, or a tag below them if they are to be taken with their `descendants`.
    /// What has expired does not count. Does not take long, unless the count must be known now.
    pub fn invalidate(&mut self, db: usize, names: &[&[u8]], descendants: bool, count: Count) -> Invalidation {
        let Some(mut dying) = self.dying(db, names, descendants) else {
            let names: Vec<Box<[u8]>> = names.iter().map(|&name| name.into()).collect();
            return self.plan(db, Rc::new(names), descendants, count);
        };
        let (members, _) = self.database(db).map_or((0, 0), |database| database.count_members(&dying));
        if members > self.invalidate_at_once && self.has_due(db) {
            // So that their number is the right one, as a rule: most keys that are due have just become so.
            self.expire_some(db);
            dying = self.dying(db, names, descendants).unwrap_or_default();
        }
        let told = self.names_told(db, names, &dying);
        let (members, shared) = self.database(db).map_or((0, 0), |database| database.count_members(&dying));
        if members <= self.invalidate_at_once {
            let removed = self.remove_members(db, &dying);
            self.finish_invalidation(db, told, removed);
            return Invalidation::Done(removed);
        }
        let (open, mixed) = self.unknown(db);
        let is_exact = !open && mixed + shared <= 1 && !self.has_due(db);
        let waits = if is_exact { count == Count::Behind && shared > 0 } else { open || mixed > 0 };
        let waits = waits || self.tags(db).is_some_and(|tags| tags.is_planning());
        if waits && count == Count::Now {
            self.sweep_all(db);
            return self.invalidate(db, names, descendants, count);
        }
        if waits {
            return Invalidation::Later;
        }
        self.note_unswept(db);
        if is_exact {
            self.database_mut(db).kill(&dying, None);
            self.effects.dirty += members as u64;
            self.stats.invalidated += members as u64;
            self.finish_invalidation(db, told, members);
            return Invalidation::Done(members);
        }
        let claim = self.claim();
        let open = Open::new(claim, told, self.horizon_ms);
        self.database_mut(db).kill(&dying, Some(open));
        if count == Count::Now {
            self.count_dead(db);
            return Invalidation::Done(self.take_count(claim).unwrap_or(0));
        }
        Invalidation::Counting(claim)
    }

    /// As [`Keyspace::invalidate`], for more names than [`Keyspace::tags_at_once`].
    pub fn invalidate_many(&mut self, db: usize, names: Rc<dyn Names>, count: Count) -> Invalidation {
        self.plan(db, names, false, count)
    }

    /// The number of an invalidation whose count is not known yet.
    fn claim(&mut self) -> u64 {
        self.claims += 1;
        self.claims
    }

    /// There is something to be swept in a database.
    fn note_unswept(&mut self, db: usize) {
        self.sweeping = true;
        self.unswept = self.unswept.min(db);
    }

    /// Whether it is not known how many keys died in a database, and how many dead tags share members.
    fn unknown(&self, db: usize) -> (bool, usize) {
        self.tags(db).map_or((false, 0), |tags| (tags.is_open(), tags.mixed()))
    }

    /// The tags that have these names, and those below them, each once; `None` if these are too many to be looked for at once.
    fn dying(&mut self, db: usize, names: &[&[u8]], descendants: bool) -> Option<Vec<u32>> {
        let most = self.tags_at_once;
        if names.len() > most {
            return None;
        }
        let Some(tags) = self.databases[db].as_mut().and_then(|one| one.tags.as_mut()) else { return Some(Vec::new()) };
        let (mut dying, mut seen) = (Vec::new(), HashSet::with_hasher(RandomState::default()));
        for name in names {
            let Some(tag) = tags.find_live(name) else { continue };
            if seen.insert(tag) {
                dying.push(tag);
            }
            if descendants {
                dying.extend(tags.descendants(tag, &mut seen, most));
            }
            if seen.len() > most {
                return None;
            }
        }
        // Their numbers lead to the living, as names do.
        Some(dying.into_iter().map(|tag| tags.live(tag)).collect())
    }

    /// Sets out to invalidate very many tags.
    fn plan(&mut self, db: usize, names: Rc<dyn Names>, descendants: bool, count: Count) -> Invalidation {
        let now = count == Count::Now;
        if now && self.tags(db).is_some_and(|tags| tags.plan().is_some()) {
            self.sweep_all(db);
        }
        if count == Count::Behind || self.tags(db).is_some_and(|tags| tags.plan().is_some()) {
            return Invalidation::Later;
        }
        let claim = self.claim();
        let plan = Plan::new(claim, names, descendants, self.effects.tells_invalidations(), !now);
        self.database_mut(db).plan(plan);
        self.note_unswept(db);
        if now {
            self.carry_out_plan(db);
            self.count_dead(db);
            return Invalidation::Done(self.take_count(claim).unwrap_or(0));
        }
        Invalidation::Planned(claim)
    }

    /// Goes on with a plan until what it wants is dead, however long that takes.
    pub(super) fn carry_out_plan(&mut self, db: usize) {
        while self.tags(db).is_some_and(|tags| tags.is_planning()) {
            self.sweep_step(db);
        }
    }

    /// Lets all tags die that a plan has found, unless it has to wait for those that died before. Returns whether they did.
    fn kill_planned(&mut self, db: usize) -> bool {
        let members = |keys: &Keyspace| keys.tags(db).map_or((0, 0), |tags| tags.planned());
        if members(self).0 > self.invalidate_at_once && self.has_due(db) {
            self.expire_some(db);
        }
        let (members, shared) = members(self);
        let (open, mixed) = self.unknown(db);
        let is_exact = !open && mixed + shared <= 1 && !self.has_due(db);
        if !is_exact && (open || mixed > 0) {
            return false;
        }
        let Some(database) = self.databases[db].as_deref_mut() else { return false };
        let walk = database.walks;
        let Some(tags) = &mut database.tags else { return false };
        let told = tags.take_told();
        let Some(plan) = tags.plan() else { return false };
        let claim = plan.claim;
        if plan.journalled && members > 0 {
            self.effects.journal.invalidated(db, plan.names(), plan.descendants);
        }
        if is_exact {
            tags.kill_planned(walk, None);
            self.effects.dirty += members as u64;
            self.stats.invalidated += members as u64;
            self.counted.push((claim, members));
            self.finish_invalidation(db, told, members);
        } else {
            tags.kill_planned(walk, Some(Open::new(claim, told, self.horizon_ms)));
        }
        true
    }

    /// A database is flushed: what a plan has found so far goes with everything, and of what it wants nothing is left.
    pub(super) fn drop_plan(&mut self, db: usize) {
        let Some(tags) = self.databases[db].as_mut().and_then(|one| one.tags.as_mut()) else { return };
        if let Some(claim) = tags.give_plan_up() {
            let told = tags.take_told();
            self.counted.push((claim, 0));
            self.finish_invalidation(db, told, 0);
        }
    }

    /// The names of what is invalidated, if anybody is told: those that were given, whether or not there are such tags, and those
    /// below.
    fn names_told(&self, db: usize, names: &[&[u8]], dying: &[u32]) -> Vec<Box<[u8]>> {
        if !self.effects.tells_invalidations() {
            return Vec::new();
        }
        let mut seen: HashSet<&[u8]> = HashSet::new();
        let mut told: Vec<Box<[u8]>> =
            names.iter().filter(|&&name| seen.insert(name)).map(|&name| name.into()).collect();
        if let Some(tags) = self.tags(db) {
            told.extend(dying.iter().map(|&tag| tags.name(tag)).filter(|name| seen.insert(name)).map(Box::from));
        }
        told
    }

    /// Reports an invalidation, whose count is known now.
    fn finish_invalidation(&mut self, db: usize, tags: Vec<Box<[u8]>>, count: usize) {
        self.stats.invalidations += 1;
        if tags.len() > TELL {
            self.sweeping = true;
            self.untold.push_back(Untold { db, tags: tags.into(), count });
        } else {
            self.effects.invalidated(db, tags, count);
        }
    }

    /// Tells some of what is to be told of large invalidations. Returns whether there was anything.
    fn tell_some(&mut self) -> bool {
        let Some(Untold { db, tags, count }) = self.untold.front_mut() else { return false };
        let some = tags.drain(..tags.len().min(TELL)).collect();
        self.effects.invalidated(*db, some, *count);
        if tags.is_empty() {
            self.untold.pop_front();
        }
        true
    }

    /// Whether keys of a database may have expired that have not been removed. A wheel that has just begun tells of what was due
    /// before as due now, so that counts as well.
    fn has_due(&self, db: usize) -> bool {
        let due = self.database(db).and_then(|database| database.next_deadline());
        due.is_some_and(|due| due <= self.horizon_ms)
    }

    /// Removes some of those keys.
    fn expire_some(&mut self, db: usize) {
        if let (Overdue::Removed, Some(past_ms)) = (self.overdue, self.horizon_ms.checked_sub(1)) {
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
        if self.sweeping && !self.tell_some() {
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
        let database = self.database_mut(db);
        if let Some(tags) = &mut database.tags {
            match tags.plan_stage() {
                Some(Stage::Finding) => return tags.find_some(),
                Some(Stage::Found) if self.kill_planned(db) => return,
                _ => {}
            }
        }
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
                .all(|tags| !tags.is_open() && tags.mixed() == 0 && tags.plan().is_none())
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
