//! What has a deadline and outlives it: what becomes of it, and how what is due goes in slices.
//!
//! A key whose deadline has passed is gone for everybody from then on, whether or not its memory is back; who comes across it
//! removes it, and so does a slice of what is due. On a replica and while writing is paused it is only hidden.

use super::entry::Entry;
use super::freeing::doom;
use super::membership::Demise;
use super::{Keyspace, KeyspaceStats, Position};
use crate::effects::{Effects, Event};

/// What becomes of a key, or of a field of a hash, whose deadline has passed and that somebody comes across.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overdue {
    /// It is removed.
    Removed,
    /// Nobody sees it, but it stays where it is: while writing is paused, and on a replica, where it goes when the master says so.
    Hidden,
    /// Nothing: it lives. What is loaded, and what the master tells, was done when it still lived.
    Ignored,
}

impl Keyspace {
    /// Says what becomes of those who are overdue, until somebody else works on the keyspace. Returns what it was before.
    pub fn set_overdue(&mut self, overdue: Overdue) -> Overdue {
        self.horizon_ms = if overdue == Overdue::Ignored { 0 } else { self.now_ms };
        std::mem::replace(&mut self.overdue, overdue)
    }

    /// Says whether those who are overdue stay where they are, whoever comes.
    pub fn hide_overdue(&mut self, hidden: bool) {
        self.overdue_otherwise = if hidden { Overdue::Hidden } else { Overdue::Removed };
        if self.overdue != Overdue::Ignored {
            self.overdue = self.overdue_otherwise;
        }
    }

    /// What becomes of those who are overdue now.
    #[inline]
    pub fn overdue(&self) -> Overdue {
        self.overdue
    }

    /// What becomes of those who are overdue when nobody says anything else.
    pub fn overdue_otherwise(&self) -> Overdue {
        self.overdue_otherwise
    }

    /// Says whether data is being loaded: then all live on whatever their deadlines.
    pub fn freeze(&mut self, frozen: bool) {
        self.set_overdue(if frozen { Overdue::Ignored } else { self.overdue_otherwise });
        if !frozen {
            // What was loaded may be too much.
            self.directory.note_all_crowded();
        }
    }

    /// The time at which a deadline that a command sets has passed already, in Unix milliseconds: now, but 0 while deadlines are
    /// ignored.
    #[inline]
    pub fn horizon_ms(&self) -> u64 {
        self.horizon_ms
    }

    /// Whether a deadline has passed. In the millisecond of its deadline a key still lives.
    #[inline]
    pub(super) fn is_past(&self, deadline: Option<u64>) -> bool {
        deadline.is_some_and(|deadline| deadline < self.horizon_ms)
    }

    /// Removes an expired key, unless it is only hidden.
    pub(super) fn expire_at(&mut self, db: usize, position: Position) {
        if self.overdue == Overdue::Removed {
            self.preserve(db, position);
            let entry = self.database_mut(db).remove(position);
            self.stats.expired += 1;
            self.effects.changed_uncounted(db, entry.as_ref().key(), Event::EXPIRED);
            self.discard(entry);
        }
    }

    /// Whether keys that are due are removed ahead of being looked at.
    fn expires(&self) -> bool {
        self.active_expiry && self.overdue_otherwise == Overdue::Removed
    }

    /// Removes keys that are due, and fields of hashes, in about `budget` steps at most. Returns whether there are more.
    pub fn expire_slice(&mut self, mut budget: usize) -> bool {
        /// Steps that it takes to look at a database.
        const LOOK: usize = 4;
        if !self.expires() {
            return false;
        }
        // What is due now lives on until the millisecond is over.
        let Some(past_ms) = self.horizon_ms.checked_sub(1) else { return false };
        while let Some((at, db)) = self.agenda.first()
            && at <= past_ms
        {
            if budget == 0 {
                return true;
            }
            self.expire_database(db, past_ms, &mut budget);
            budget = budget.saturating_sub(LOOK);
        }
        false
    }

    /// Removes keys of a database that are due at a time, and fields of hashes that are due now, in about `budget` steps at most.
    pub(super) fn expire_database(&mut self, db: usize, past_ms: u64, budget: &mut usize) {
        let Some(mut database) = self.databases[db].take() else { return };
        database.take_due(past_ms, budget, self.snapshot.as_mut(), |entry, demise| {
            report_end(&mut self.effects, &mut self.stats, db, &entry, demise);
            doom(&mut self.doomed_objects, entry);
        });
        self.databases[db] = Some(database);
        self.expire_fields_slice(db, budget);
        if let Some(database) = &mut self.databases[db] {
            database.relist();
        }
    }

    /// When [`Keyspace::expire_slice`] has something to do, in Unix milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        if !self.expires() {
            return None;
        }
        self.agenda.first().map(|(at, _)| at.saturating_add(1))
    }
}

/// Reports the end of an entry that nobody removed by a command of its own.
pub(super) fn report_end(effects: &mut Effects, stats: &mut KeyspaceStats, db: usize, entry: &Entry, demise: Demise) {
    let key = entry.as_ref().key();
    match demise {
        Demise::Expired => {
            stats.expired += 1;
            effects.changed_uncounted(db, key, Event::EXPIRED);
        }
        Demise::Counted => effects.changed_uncounted(db, key, Event::INVALIDATED),
        Demise::Invalidated => {
            stats.invalidated += 1;
            effects.changed(db, key, Event::INVALIDATED);
        }
    }
}
