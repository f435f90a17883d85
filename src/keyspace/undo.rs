//! Keys as they were: what has been set aside of a key can be put back.
//!
//! That undoes whatever a command did to the key, and is no change: nothing is reported.

use super::entry::Entry;
use super::{Key, Keyspace};

/// A copy of a key, with its time to live, its tags and its access clock.
pub struct Kept {
    entry: Entry,
    tags: Vec<Box<[u8]>>,
}

impl Keyspace {
    /// Copies a live key; `None` if there is none.
    pub fn set_aside(&mut self, db: usize, key: Key<'_>) -> Option<Kept> {
        let position = self.find(db, key)?;
        let tags = self.tag_names(db, position);
        let entry = self.database(db)?.entry(position).duplicate(key.bytes, std::iter::empty().collect());
        Some(Kept { entry, tags })
    }

    /// Makes a key what it was when it was set aside, which may be that it was not there.
    pub fn put_back(&mut self, db: usize, key: Key<'_>, kept: Option<Kept>) {
        let found = self.find(db, key);
        if let Some(position) = found {
            self.preserve(db, position);
        }
        let Some(Kept { entry, tags }) = kept else {
            if let Some(position) = found {
                let entry = self.database_mut(db).remove(position);
                self.discard(entry);
            }
            return;
        };
        let database = self.database_mut(db);
        let tags = database.tag_set(tags.iter().map(|name| &**name));
        let entry = entry.with_key(key.bytes, tags);
        match found {
            Some(position) => {
                let changed = database.replace(position, entry);
                self.discard(changed);
            }
            None => drop(database.insert(key.hash, entry)),
        }
    }
}
