//! Freeing what is gone: small things at once, flushed databases and large values in slices, so that nobody waits for it.

use std::collections::VecDeque;

use super::Keyspace;
use super::entry::{Entry, Object, Removed};
use super::namespace::Namespace;

/// So many keys of flushed databases are freed at once in a turn: that is no slower than a slice.
pub(super) const FREE_AT_ONCE: usize = 512;
/// Below this many items, a value is freed at once. As in Redis, so that `lazyfreed_objects` counts the same values.
const VALUE_FREED_AT_ONCE: usize = 64;

impl Keyspace {
    /// Empties a database; large ones are freed in slices later. Returns how many keys there were.
    pub fn flush(&mut self, db: usize) -> usize {
        if !self.effects.watches.is_empty() {
            self.watched_database_goes(db, None);
        }
        self.drop_plan(db);
        self.count_dead(db);
        let Some(mut database) = self.databases[db].take_if(|database| !database.is_bare()) else {
            self.effects.flushed(db, 0);
            return 0;
        };
        let keys = database.len();
        database.sweeping = false;
        database.listing.put(None);
        let entries = database.entries();
        let tags = database.tags().map_or(0, |tags| tags.len());
        // A database once used stays listed.
        self.database_mut(db);
        if self.snapshot.is_none() {
            database.forget_walk();
        }
        if entries.max(tags) > self.free_at_once || database.walked_as().is_some() {
            self.walks_moved |= database.walked_as().is_some();
            self.doomed.push_back(database);
        } else {
            self.free_at_once -= entries.max(tags);
            let waiting = self.doomed_objects.len();
            while database.free_slice(|entry| doom(&mut self.doomed_objects, entry)) {}
            self.stats.lazily_freed += (entries - (self.doomed_objects.len() - waiting)) as u64;
        }
        self.effects.flushed(db, keys);
        keys
    }

    /// Frees what was a part of a value, in slices if it is large.
    pub fn free_later(&mut self, object: Object) {
        if object.items() > VALUE_FREED_AT_ONCE {
            self.doomed_objects.push_back(Removed::from(object));
        }
    }

    /// Whether the memory of all that was flushed is back, save for what a snapshot still has to tell.
    pub fn is_freed(&self) -> bool {
        self.doomed_objects.is_empty() && self.doomed.iter().all(|database| database.walked_as().is_some())
    }

    /// Frees a few dozen entries of what was flushed. Returns whether there is more.
    pub fn free_slice(&mut self) -> bool {
        if self.effects.trackers.free_slice() {
            return true;
        }
        if let Some(object) = self.doomed_objects.front_mut() {
            if object.is_being_told() {
                self.kept_objects.extend(self.doomed_objects.pop_front());
            } else if !object.free_slice() {
                self.doomed_objects.pop_front();
                self.stats.lazily_freed += 1;
            }
            return true;
        }
        // What a snapshot still has to tell stays.
        let free = |database: &Namespace| database.walked_as().is_none();
        let Some(at) = self.doomed.iter().position(|database| free(database)) else { return false };
        let database = &mut self.doomed[at];
        let (before, waiting) = (database.len(), self.doomed_objects.len());
        let more = database.free_slice(|entry| doom(&mut self.doomed_objects, entry));
        // Large values count when they are freed.
        let freed = (before - database.len()) - (self.doomed_objects.len() - waiting);
        self.stats.lazily_freed += freed as u64;
        if !more {
            self.doomed.remove(at);
        }
        !self.doomed_objects.is_empty() || self.doomed.iter().any(|database| free(database))
    }

    /// Values that a snapshot does not have to tell any more can be freed.
    pub(super) fn free_told(&mut self) {
        let (kept, over): (VecDeque<_>, VecDeque<_>) =
            self.kept_objects.drain(..).partition(|object| object.is_being_told());
        self.kept_objects = kept;
        self.doomed_objects.extend(over);
    }

    /// Entries that wait to be freed.
    pub fn pending_free(&self) -> usize {
        self.doomed_objects.len() + self.doomed.iter().map(|database| database.len()).sum::<usize>()
    }
}

/// Frees an entry, but for a large value, which joins those that are freed in slices.
#[inline]
pub(super) fn doom(doomed: &mut VecDeque<Removed>, entry: Entry) {
    if entry.as_ref().object().is_some_and(|object| object.items() > VALUE_FREED_AT_ONCE || object.is_being_told()) {
        doomed.extend(entry.into_removed());
    }
}
