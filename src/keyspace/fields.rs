//! Fields of hashes that expire.
//!
//! A field whose deadline has passed goes when a command names it, when HRANDFIELD is about to draw, or in a slice of what
//! is due. Until then it still counts as one of the hash's fields, and the key lives on even if no other field is left.
//! Each field that goes so is journalled as deleted.

use super::entry::Type;
use super::value::Value;
use super::{Key, Keyspace, Overdue, Schedule, WrongType};
use crate::effects::Event;
use crate::keyspace::hashmap;
use crate::types::table::Position;

/// What went because its time was over.
#[derive(Default)]
struct Expired {
    /// So many fields of a hash.
    fields: usize,
    /// The hash, which had no others.
    gone: bool,
}

impl Keyspace {
    /// Removes those of the named fields of a hash whose deadlines have passed, unless they are only hidden. Returns whether the hash
    /// went with them.
    #[inline]
    pub fn expire_named_fields<'n>(&mut self, db: usize, key: Key<'_>, names: impl Iterator<Item = &'n [u8]>) -> bool {
        let Some(position) = self.find_due(db, key) else { return false };
        let now_ms = self.horizon_ms;
        self.expire_fields(db, position, |hash, tell| {
            let past = |name: &&[u8], hash: &Value<'_>| {
                hashmap::view(hash).find(name).is_some_and(|held| hashmap::is_past(held.deadline, now_ms))
            };
            names.filter(|name| past(name, hash) && hashmap::remove(hash, name)).inspect(|name| tell(name)).count()
        })
        .gone
    }

    /// Removes all fields of a hash whose deadlines have passed, unless they are only hidden. Returns whether the hash went with them.
    pub fn expire_all_fields(&mut self, db: usize, key: Key<'_>) -> bool {
        let Some(position) = self.find_due(db, key) else { return false };
        let now_ms = self.horizon_ms;
        self.expire_fields(db, position, |hash, tell| hashmap::remove_due(hash, now_ms, usize::MAX, tell)).gone
    }

    /// Removes fields that are due, about `budget` at most.
    pub(super) fn expire_fields_slice(&mut self, db: usize, budget: &mut usize) {
        let now_ms = self.horizon_ms;
        while let Some(position) = self.databases[db].as_deref().and_then(|database| database.first_fields_due(now_ms))
        {
            if *budget == 0 {
                return;
            }
            if self.database(db).is_some_and(|database| database.is_dead(database.entry(position))) {
                self.remove_dead(db, position);
                *budget -= 1;
                continue;
            }
            let most = *budget;
            let expired = self.expire_fields(db, position, |hash, tell| hashmap::remove_due(hash, now_ms, most, tell));
            *budget = most.saturating_sub(expired.fields.max(1));
        }
    }

    /// Lets a hash that has just come to a database stand for a while although fields of it are overdue, perhaps all: whoever
    /// sent it finds the key that was accepted. `otherwise` is when something is due there besides, in Unix milliseconds.
    pub(super) fn let_fields_stand(&mut self, db: usize, otherwise: Option<u64>) {
        /// As long as Redis needs to come to them, in milliseconds.
        const STAND: u64 = 100;
        let (now_ms, from) = (self.now_ms, self.now_ms.saturating_add(STAND));
        let database = self.database_mut(db);
        if database.looked_at().is_some_and(|at| at < now_ms) {
            database.look_at(otherwise.map_or(from, |otherwise| otherwise.min(from)));
        }
    }

    /// Where a hash is that has fields to be removed. It is not even looked for while no field of the database expires.
    #[inline]
    fn find_due(&mut self, db: usize, key: Key<'_>) -> Option<Position> {
        if self.database(db)?.fields_expire() == 0 || self.overdue != Overdue::Removed {
            return None;
        }
        let position = self.find(db, key)?;
        let earliest = self.database(db)?.entry(position).earliest_field();
        hashmap::is_past(earliest, self.horizon_ms).then_some(position)
    }

    /// Lets `remove` take expired fields out of a hash and tell their names, and reports that.
    fn expire_fields(
        &mut self,
        db: usize,
        position: Position,
        remove: impl FnOnce(&mut Value<'_>, &mut dyn FnMut(&[u8])) -> usize,
    ) -> Expired {
        self.preserve(db, position);
        let Some(database) = self.databases[db].as_deref_mut() else { return Expired::default() };
        let due = database.fields_due(position);
        let journal = &mut self.effects.journal;
        let key = if journal.is_on() { database.entry(position).key().to_vec() } else { Vec::new() };
        let lent = database.lend(position);
        let mut hash = Value::new(database, position);
        let removed = remove(&mut hash, &mut |name| {
            if journal.is_on() {
                journal.field_expired(db, &key, name);
            }
        });
        let empty = hashmap::view(&hash).is_empty();
        database.give_back(position, lent);
        database.fields_changed(position, due);
        if removed == 0 {
            return Expired::default();
        }
        self.stats.expired_fields += removed as u64;
        if empty {
            let entry = self.database_mut(db).remove(position);
            self.effects.changed_uncounted(db, entry.as_ref().key(), Event::HEXPIRED);
            self.effects.changed_uncounted(db, entry.as_ref().key(), Event::DEL);
            self.discard(entry);
        } else if let Some(database) = &self.databases[db] {
            self.effects.changed_uncounted(db, database.entry(position).key(), Event::HEXPIRED);
        }
        Expired { fields: removed, gone: empty }
    }

    /// Lets a command decide about the deadlines of fields of a hash, given those they have. `tell` learns what became of
    /// each, `None` if there is no such field. Returns whether there is such a key. Fields that the command deletes so are
    /// journalled here, the others by the command.
    ///
    /// # Errors
    /// [`WrongType`] if the key holds a value of another type.
    pub fn reschedule_fields<'n>(
        &mut self,
        db: usize,
        key: Key<'_>,
        names: impl Iterator<Item = &'n [u8]>,
        mut decide: impl FnMut(Option<u64>) -> Schedule,
        mut tell: impl FnMut(Option<Schedule>),
    ) -> Result<bool, WrongType> {
        let Some(position) = self.find(db, key) else { return Ok(false) };
        self.preserve(db, position);
        let Some(database) = self.databases[db].as_deref_mut() else { return Ok(false) };
        if database.entry(position).kind() != Type::Hash {
            return Err(WrongType);
        }
        let due = database.fields_due(position);
        let lent = database.lend(position);
        let mut hash = Value::new(database, position);
        hashmap::allow_deadlines(&mut hash);
        let (mut moved, mut removed) = (0, 0);
        for name in names {
            let decision = hashmap::reschedule(&mut hash, name, &mut decide);
            match decision {
                Some(Schedule::At(_) | Schedule::Never) => moved += 1,
                Some(Schedule::Past) => {
                    removed += 1;
                    if self.effects.journal.is_on() {
                        self.effects.journal.field_expired(db, key.bytes, name);
                    }
                }
                Some(Schedule::Leave) | None => {}
            }
            tell(decision);
        }
        let empty = hashmap::view(&hash).is_empty();
        database.give_back(position, lent);
        database.fields_changed(position, due);
        self.stats.expired_fields += removed;
        self.touch(db, position, self.change_touches);
        if moved + removed > 0 {
            let event = if removed > 0 { Event("hdel") } else { Event("hexpire") };
            self.effects.changed_by(db, key.bytes, event, moved + removed);
        }
        if empty {
            let entry = self.database_mut(db).remove(position);
            self.discard(entry);
            self.effects.changed_by(db, key.bytes, Event::DEL, 0);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::entry::Encoding;
    use crate::keyspace::hashmap::{HashView, Limits};
    use crate::keyspace::value::Changed;
    use crate::keyspace::{Expiry, Fresh, NewValue, StringValue, Touch};
    use crate::types::listpack;

    const FIELDS: u32 = 12;

    fn set(keys: &mut Keyspace, db: usize, name: &[u8], field: &[u8], limits: Limits) {
        let (key, hasher) = (Key { bytes: name, hash: keys.hash(name) }, keys.hasher().clone());
        let fresh = (Type::Hash, Encoding::Listpack, listpack::EMPTY);
        // What is no hash stays what it is.
        let _ = keys.change_or_create(db, key, fresh, Event("hset"), |hash| {
            let pair = std::iter::once((field, StringValue::Borrowed(b"value")));
            let room = limits.room(1, [field.len(), b"value".len()].into_iter());
            let result = hashmap::set(hash, pair, Expiry::Clear, room, limits, &hasher);
            Changed { result, changes: 1, empty: false }
        });
    }

    fn schedule(keys: &mut Keyspace, db: usize, name: &[u8], field: &[u8], deadline: u64) {
        let key = Key { bytes: name, hash: keys.hash(name) };
        let decide = |_| Schedule::At(deadline);
        let _ = keys.reschedule_fields(db, key, std::iter::once(field), decide, |_| {});
    }

    /// What the namespaces know of deadlines of fields is what their hashes say, whatever becomes of the keys.
    #[test]
    fn hashes_keep_their_places_whatever_becomes_of_their_keys() {
        const NAMES: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];
        let limits = [Limits { entries: 4, bytes: 10 }, Limits { entries: 0, bytes: 0 }];
        for seed in 0..40 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut keys = Keyspace::new(2, seed, 1000);
            for _ in 0..500 {
                let (db, name) = (rng.usize(..2), NAMES[rng.usize(..4)]);
                let (to_db, to_name) = (rng.usize(..2), NAMES[rng.usize(..4)]);
                let (from, to) = (keys.key(name), keys.key(to_name));
                let field = rng.u32(..FIELDS).to_string();
                let soon = keys.now_ms() + rng.u64(1..40);
                let events = (Event::RENAME_FROM, Event::RENAME_TO);
                match rng.u8(..16) {
                    0..3 => set(&mut keys, db, name, field.as_bytes(), limits[rng.usize(..2)]),
                    3..8 => schedule(&mut keys, db, name, field.as_bytes(), soon),
                    8 => drop(keys.reschedule(db, from, Touch::No, |_| Schedule::At(soon))),
                    9 => drop(keys.reschedule(db, from, Touch::No, |_| Schedule::Never)),
                    10 => drop(keys.relocate((db, from), (to_db, to), true, Touch::No, events)),
                    11 => drop(keys.copy((db, from), (to_db, to), name != to_name, Touch::No)),
                    12 => match rng.u8(..4) {
                        0 => drop(keys.flush(db)),
                        1 => keys.swap(0, 1),
                        2 => drop(keys.delete(db, from, Event::DEL)),
                        _ => keys.set_string(db, from, StringValue::Borrowed(b"s"), Expiry::Clear, Event::SET),
                    },
                    13 => _ = keys.expire_all_fields(db, from),
                    14 => keys.set_now(keys.now_ms() + rng.u64(..20)),
                    _ => drop(keys.expire_slice(rng.usize(1..4))),
                }
                for db in 0..2 {
                    let Some(database) = keys.database(db) else { continue };
                    let mut expected = Vec::new();
                    database.scan(0, usize::MAX, |entry| {
                        expected.extend(entry.earliest_field().map(|deadline| (deadline, entry.as_ptr())));
                    });
                    expected.sort_unstable();
                    assert_eq!(database.all_fields_due().collect::<Vec<_>>(), expected);
                }
            }
        }
    }

    #[test]
    fn many_fields_that_are_due_at_once_go_in_slices() {
        const MANY: usize = 5000;
        let mut keys = Keyspace::new(1, 1, 1000);
        let key = Key { bytes: b"key", hash: keys.hash(b"key") };
        for field in 0..MANY {
            set(&mut keys, 0, b"key", field.to_string().as_bytes(), Limits { entries: 0, bytes: 0 });
            schedule(&mut keys, 0, b"key", field.to_string().as_bytes(), 2000);
        }
        assert_eq!(keys.next_deadline(), Some(2001));
        keys.set_now(2000);
        assert!(!keys.expire_slice(100), "in the millisecond of its deadline a field still lives");
        keys.set_now(2001);
        for slice in 1..=MANY / 100 {
            let more = keys.expire_slice(100);
            assert_eq!(keys.stats.expired_fields, slice as u64 * 100);
            assert_eq!(more, slice < MANY / 100);
        }
        assert!(keys.peek(0, key).is_none(), "without fields there is no hash");
        assert_eq!(keys.next_deadline(), None);
    }

    #[test]
    fn a_hash_that_comes_with_fields_overdue_stands_for_a_while() {
        let mut keys = Keyspace::new(1, 1, 1000);
        let (key, other) = (keys.key(b"key"), keys.key(b"other"));
        set(&mut keys, 0, b"key", b"field", Limits { entries: 9, bytes: 99 });
        schedule(&mut keys, 0, b"key", b"field", 2000);
        let hash = keys.peek(0, key).expect("it is there");
        let (encoding, bytes) = (hash.encoding(), hash.compact().to_vec());
        let come = |keys: &mut Keyspace, key, deadline| {
            let value = NewValue::Inline(&bytes);
            keys.install(
                0,
                key,
                Fresh { kind: Type::Hash, encoding, value, deadline, access: 0 },
                Some(Event::RESTORE),
            );
        };
        keys.set_now(3000);
        assert!(!keys.expire_slice(100) && keys.peek(0, key).is_none());
        come(&mut keys, key, None);
        assert_eq!(keys.next_deadline(), Some(3101));
        keys.set_now(3050);
        // Nobody else waits for it.
        come(&mut keys, other, Some(3070));
        assert_eq!(keys.next_deadline(), Some(3071));
        keys.set_now(3060);
        assert!(!keys.expire_slice(100) && keys.peek(0, key).is_some());
        keys.set_now(3071);
        assert!(!keys.expire_slice(100) && keys.peek(0, key).is_none() && keys.peek(0, other).is_none());
    }

    #[test]
    fn nothing_goes_while_it_may_not() {
        let mut keys = Keyspace::new(1, 1, 1000);
        let key = Key { bytes: b"key", hash: keys.hash(b"key") };
        set(&mut keys, 0, b"key", b"field", Limits { entries: 9, bytes: 99 });
        schedule(&mut keys, 0, b"key", b"field", 2000);
        keys.set_now(3000);
        keys.hide_overdue(true);
        keys.expire_all_fields(0, key);
        keys.expire_named_fields(0, key, std::iter::once(&b"field"[..]));
        assert!(!keys.expire_slice(100));
        let hash = keys.peek(0, key).and_then(HashView::of).expect("it is still there");
        assert!((hash.len(), hash.live_len(3000)) == (1, 0) && hash.get(b"field", 3000).is_none());
        keys.hide_overdue(false);
        keys.expire_named_fields(0, key, std::iter::once(&b"field"[..]));
        assert!(keys.peek(0, key).is_none());
    }
}
