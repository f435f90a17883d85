//! Watched keys: which clients want to know whether a key has changed before their transaction runs.
//!
//! A change of a watched key makes all who watch it dirty, and a dirty client watches nothing any more: all it can learn
//! from then on is that its transaction does not run. So the table holds only what may still matter, and while nobody
//! watches, a change costs the question whether the table is empty.
//!
//! A key whose time had passed when it began to be watched, or whose tag had been invalidated, but that had not been removed
//! yet, is *stale*: to the client it does not exist, and that it is removed is no change.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::types::hash::KeyHasher;
use crate::types::map::Map;

/// What a client sees under a name, and what of it is still there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// There is no key.
    Absent,
    /// There is one, and its time has passed, or its tag was invalidated.
    Stale,
    /// There is one.
    Live,
}

/// Who watches a key, and whether it was stale when they began.
type Watchers = BTreeMap<usize, Cell<bool>>;

/// What one client watches.
#[derive(Default)]
struct Watching {
    keys: Vec<(usize, Rc<[u8]>)>,
    /// One of its keys has changed.
    dirty: bool,
    /// Bytes of memory that its interest takes.
    bytes: usize,
}

/// The table of watched keys. Clients are known by their tokens.
pub struct Watches {
    /// Who watches a key, by database, where somebody has watched one.
    databases: Vec<Option<Box<Map<Watchers>>>>,
    hasher: KeyHasher,
    /// Those who watch something, or did until it changed.
    clients: HashMap<usize, Watching>,
    /// How many keys are watched.
    keys: usize,
}

impl Watches {
    /// Nobody watches anything. The hashes of keys are those of `hasher`.
    pub fn new(hasher: KeyHasher) -> Watches {
        Watches { databases: Vec::new(), hasher, clients: HashMap::new(), keys: 0 }
    }

    /// Who watches a key.
    fn watchers(&self, db: usize, key: &[u8]) -> Option<&Watchers> {
        let (_, watchers) = self.databases.get(db)?.as_ref()?.get(self.hasher.hash(key), key)?;
        Some(watchers)
    }

    /// Whether nobody watches anything.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys == 0
    }

    /// How many keys are watched, each counted once in its database.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// How many clients watch something.
    pub fn clients(&self) -> usize {
        self.clients.values().filter(|watching| !watching.keys.is_empty()).count()
    }

    /// How many keys a client watches.
    pub fn count(&self, client: usize) -> usize {
        self.clients.get(&client).map_or(0, |watching| watching.keys.len())
    }

    /// Bytes of memory that a client's watching takes.
    pub fn bytes(&self, client: usize) -> usize {
        self.clients.get(&client).map_or(0, |watching| watching.bytes)
    }

    /// Whether something has changed that a client watched.
    pub fn is_dirty(&self, client: usize) -> bool {
        self.clients.get(&client).is_some_and(|watching| watching.dirty)
    }

    /// Makes a client watch a key, unless it does already or it is too late anyway.
    pub fn watch(&mut self, client: usize, db: usize, key: &[u8], presence: Presence) {
        let watching = self.clients.entry(client).or_default();
        if watching.dirty {
            return;
        }
        if self.databases.len() <= db {
            self.databases.resize_with(db + 1, || None);
        }
        let keys = self.databases[db].get_or_insert_with(|| Box::new(Map::new(self.hasher.clone())));
        let (key, watchers) = keys.get_or_insert(self.hasher.hash(key), key, Watchers::new);
        if watchers.contains_key(&client) {
            return;
        }
        if watchers.is_empty() {
            self.keys += 1;
        }
        watchers.insert(client, Cell::new(presence == Presence::Stale));
        watching.keys.push((db, Rc::clone(key)));
        watching.bytes += key.len() + size_of::<(usize, Rc<[u8]>)>() + size_of::<(usize, Cell<bool>)>();
    }

    /// A database is no more, and another may take its place: nothing that was watched in it is what it was.
    pub fn spoil_all(&mut self, db: usize) {
        let Some(Some(keys)) = self.databases.get(db) else { return };
        let mut clients = Vec::new();
        keys.each(|_, watchers| clients.extend(watchers.keys()));
        self.spoil(clients);
    }

    /// Lets a client forget all that it watches, and whether any of it has changed.
    pub fn forget(&mut self, client: usize) {
        if let Some(watching) = self.clients.remove(&client) {
            self.leave(client, &watching.keys);
        }
    }

    /// Takes a client away from keys.
    fn leave(&mut self, client: usize, keys: &[(usize, Rc<[u8]>)]) {
        for (db, key) in keys {
            let Some(watched) = &mut self.databases[*db] else { continue };
            watched.change(self.hasher.hash(key), key, |watchers| {
                watchers.remove(&client);
                self.keys -= usize::from(watchers.is_empty());
                !watchers.is_empty()
            });
        }
    }

    /// A key changed; `expired` if the change is that its time has passed, or its tag was invalidated, and it was removed.
    #[cold]
    pub fn changed(&mut self, db: usize, key: &[u8], expired: bool) {
        let Some(watchers) = self.watchers(db, key) else { return };
        let mut dirty = Vec::new();
        for (&client, stale) in watchers {
            if expired && stale.get() {
                stale.set(false);
            } else {
                dirty.push(client);
            }
        }
        self.spoil(dirty);
    }

    /// Makes clients dirty, which ends their watching.
    pub fn spoil(&mut self, clients: Vec<usize>) {
        for client in clients {
            if let Some(watching) = self.clients.get_mut(&client) {
                watching.dirty = true;
                let keys = std::mem::take(&mut watching.keys);
                watching.bytes = 0;
                self.leave(client, &keys);
            }
        }
    }

    /// All keys of a database are about to be replaced: `change` tells what is there under a name, and what will be.
    /// Returns the clients that this is to [spoil](Watches::spoil).
    #[cold]
    pub fn replaced(&self, db: usize, change: impl Fn(&[u8]) -> (Presence, Presence)) -> Vec<usize> {
        let mut dirty = Vec::new();
        let Some(Some(keys)) = self.databases.get(db) else { return dirty };
        keys.each(|key, watchers| {
            let (before, after) = change(key);
            if (before, after) == (Presence::Absent, Presence::Absent) {
                return;
            }
            for (&client, stale) in watchers {
                match after {
                    Presence::Absent if stale.get() => stale.set(false),
                    Presence::Stale if stale.get() => {}
                    Presence::Stale if before == Presence::Absent => stale.set(true),
                    _ => dirty.push(client),
                }
            }
        });
        dirty
    }

    /// Whether one of a client's keys has ceased to be since it began to watch it, although nobody has removed it yet.
    pub fn has_expired(&self, client: usize, presence: impl Fn(usize, &[u8]) -> Presence) -> bool {
        let Some(watching) = self.clients.get(&client) else { return false };
        watching.keys.iter().any(|(db, key)| {
            let stale = self.watchers(*db, key).and_then(|watchers| watchers.get(&client));
            stale.is_some_and(|stale| !stale.get()) && presence(*db, key) == Presence::Stale
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Presence::{Absent, Live, Stale};

    fn nothing() -> Watches {
        Watches::new(KeyHasher::new(3))
    }

    fn watched(presence: Presence) -> Watches {
        let mut watches = nothing();
        watches.watch(7, 2, b"k", presence);
        watches
    }

    #[test]
    fn a_change_makes_dirty_whoever_watches_that_key_in_that_database() {
        let cases: &[(usize, &[u8], bool, Presence, bool)] = &[
            (2, b"k", false, Live, true),
            (2, b"k", false, Absent, true),
            (2, b"k", true, Live, true),
            (2, b"k", true, Stale, false),
            (2, b"k", false, Stale, true),
            (2, b"other", false, Live, false),
            (1, b"k", false, Live, false),
            (9, b"k", false, Live, false),
        ];
        for &(db, key, expired, presence, dirty) in cases {
            let mut watches = watched(presence);
            watches.changed(db, key, expired);
            assert_eq!(watches.is_dirty(7), dirty, "{db} {key:?} {expired} {presence:?}");
            assert_eq!((watches.keys(), watches.clients()), if dirty { (0, 0) } else { (1, 1) });
        }
    }

    #[test]
    fn a_stale_key_that_was_removed_is_watched_like_any_other() {
        let mut watches = watched(Stale);
        watches.changed(2, b"k", true);
        assert!(!watches.is_dirty(7));
        watches.changed(2, b"k", true);
        assert!(watches.is_dirty(7));
    }

    #[test]
    fn replacing_a_database_makes_dirty_who_sees_a_difference() {
        let cases = [
            (Live, Live, Absent, true),
            (Live, Live, Live, true),
            (Live, Stale, Absent, true),
            (Absent, Absent, Absent, false),
            (Absent, Absent, Live, true),
            (Absent, Absent, Stale, false),
            (Stale, Stale, Absent, false),
            (Stale, Stale, Stale, false),
            (Stale, Stale, Live, true),
        ];
        for (watched_as, before, after, dirty) in cases {
            let mut watches = watched(watched_as);
            let spoiled = watches.replaced(2, |_| (before, after));
            watches.spoil(spoiled);
            assert_eq!(watches.is_dirty(7), dirty, "{watched_as:?}: {before:?} -> {after:?}");
            assert!(watches.replaced(1, |_| (Live, Absent)).is_empty());
        }
    }

    #[test]
    fn a_watched_key_expires_without_being_removed() {
        for (watched_as, now, expired) in
            [(Live, Stale, true), (Live, Live, false), (Live, Absent, false), (Stale, Stale, false)]
        {
            assert_eq!(watched(watched_as).has_expired(7, |_, _| now), expired, "{watched_as:?} {now:?}");
        }
    }

    #[test]
    fn who_watches_something_in_a_database_that_goes_is_dirty_in_any_case() {
        let mut watches = watched(Absent);
        watches.watch(8, 1, b"k", Live);
        watches.spoil_all(2);
        assert!(watches.is_dirty(7) && !watches.is_dirty(8));
        assert_eq!((watches.keys(), watches.clients()), (1, 1));
        watches.spoil_all(9);
    }

    #[test]
    fn nothing_is_left_of_who_forgets() {
        let mut watches = nothing();
        for client in 0..3 {
            for key in [b"a", b"b", b"a"] {
                watches.watch(client, client % 2, key, Live);
            }
        }
        assert_eq!((watches.keys(), watches.clients(), watches.count(0)), (4, 3, 2));
        watches.changed(0, b"b", false);
        assert_eq!((watches.keys(), watches.clients(), watches.count(0)), (2, 1, 0));
        watches.watch(0, 0, b"c", Live);
        assert_eq!(watches.count(0), 0, "who is dirty watches nothing new");
        for client in 0..3 {
            watches.forget(client);
            assert!(!watches.is_dirty(client));
        }
        assert!(watches.is_empty());
    }
}
