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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::Event;
    use crate::keyspace::entry::{Encoding, NewValue, Type};
    use crate::keyspace::{Fresh, Schedule, Touch};

    /// What is there of a key: its value, its deadline, its access clock and its tags.
    type State = (Vec<u8>, Option<u64>, u32, Vec<Vec<u8>>);

    fn state(keys: &mut Keyspace, name: &[u8]) -> Option<State> {
        let key = keys.key(name);
        let mut tags: Vec<Vec<u8>> = keys.tags_of(0, key)?.into_iter().map(<[u8]>::to_vec).collect();
        tags.sort();
        let entry = keys.view(0, key)?;
        Some((entry.inline().to_vec(), entry.deadline(), entry.access(), tags))
    }

    #[test]
    fn what_was_done_to_a_key_is_undone() {
        let mut keys = Keyspace::new(1, 1, 1_000_000);
        let names: [&[u8]; 3] = [b"tagged", b"expiring", b"missing"];
        for (name, deadline) in [(names[0], None), (names[1], Some(2_000_000))] {
            let key = keys.key(name);
            let fresh = Fresh {
                kind: Type::String,
                encoding: Encoding::Raw,
                value: NewValue::Inline(b"old"),
                deadline,
                access: 77,
            };
            keys.install(0, key, fresh, None);
        }
        keys.restore_tags(0, keys.key(b"tagged"), vec![b"a".to_vec(), b"b".to_vec()]);
        let before: Vec<_> = names.iter().map(|name| state(&mut keys, name)).collect();
        assert!(before[2].is_none() && before[0].as_ref().is_some_and(|(.., tags)| tags.len() == 2));
        // Deleted, replaced, and both: no matter what, all is as it was.
        for what in 0..8 {
            let kept = names.map(|name| keys.set_aside(0, keys.key(name)));
            for (at, name) in names.into_iter().enumerate() {
                let key = keys.key(name);
                if what & 1 << at == 0 {
                    keys.delete(0, key, Event::DEL);
                } else {
                    keys.store(0, key, Type::List, Encoding::Listpack, NewValue::Inline(b"\0\0"), Event("rpush"));
                    keys.add_tags(0, key, &[b"b", b"c"]);
                    keys.reschedule(0, key, Touch::Yes, |_| Schedule::At(3_000_000));
                }
            }
            let dirty = keys.effects.dirty;
            for (name, kept) in names.into_iter().zip(kept) {
                keys.put_back(0, keys.key(name), kept);
            }
            assert_eq!(names.iter().map(|name| state(&mut keys, name)).collect::<Vec<_>>(), before, "{what}");
            assert_eq!(keys.effects.dirty, dirty, "to put back is no change");
            for (tag, count) in [(&b"a"[..], 1), (b"b", 1), (b"c", 0)] {
                assert_eq!(keys.count_tagged(0, tag).ok(), Some(count));
            }
        }
        assert_eq!(keys.database(0).map(|database| (database.len(), database.expires())), Some((2, 1)));
    }
}
