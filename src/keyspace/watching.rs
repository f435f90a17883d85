//! Watching keys: what the table of watched keys needs to know of the databases.

use super::{Key, Keyspace};
use crate::effects::watch::Presence;

impl Keyspace {
    /// What there is of a key. Nothing is removed, counted or touched.
    fn presence(&self, db: usize, key: Key<'_>) -> Presence {
        let Some(database) = self.database(db) else { return Presence::Absent };
        match database.find(key.hash, key.bytes) {
            None => Presence::Absent,
            Some(position) if self.is_gone(database, database.entry(position)) => Presence::Stale,
            Some(_) => Presence::Live,
        }
    }

    /// Makes a client, known by its token, watch a key.
    pub fn watch(&mut self, client: usize, db: usize, key: Key<'_>) {
        let presence = self.presence(db, key);
        self.effects.watches.watch(client, db, key.bytes, presence);
    }

    /// Whether something that a client watches has changed, or ceased to be because its time has passed.
    pub fn watched_changed(&self, client: usize) -> bool {
        let watches = &self.effects.watches;
        watches.is_dirty(client) || watches.has_expired(client, |db, key| self.presence(db, self.key(key)))
    }

    /// The keys of a database are about to be replaced by those of another, or to go.
    #[cold]
    pub(super) fn watched_database_goes(&mut self, db: usize, successor: Option<usize>) {
        let dirty = self.effects.watches.replaced(db, |key| {
            let key = self.key(key);
            let after = successor.map_or(Presence::Absent, |successor| self.presence(successor, key));
            (self.presence(db, key), after)
        });
        self.effects.watches.spoil(dirty);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::Event;
    use crate::keyspace::{Expiry, StringValue};

    const CLIENT: usize = 3;

    fn set(keys: &mut Keyspace, db: usize, name: &[u8], expiry: Expiry) {
        let key = Key { bytes: name, hash: keys.hash(name) };
        keys.set_string(db, key, StringValue::Borrowed(b"v"), expiry, Event::SET);
    }

    /// What happens between WATCH and EXEC to key `k` of database 0, of three; whether EXEC is then refused.
    type Case = (&'static str, fn(&mut Keyspace), fn(&mut Keyspace), bool);

    const NOTHING: fn(&mut Keyspace) = |_| {};

    const CASES: &[Case] = &[
        ("nothing", NOTHING, NOTHING, false),
        ("set", NOTHING, |keys| set(keys, 0, b"k", Expiry::Clear), true),
        ("another key", NOTHING, |keys| set(keys, 0, b"other", Expiry::Clear), false),
        ("another database", NOTHING, |keys| set(keys, 1, b"k", Expiry::Clear), false),
        ("flushed", |keys| set(keys, 0, b"k", Expiry::Clear), flush, true),
        ("flushed without it", |keys| set(keys, 0, b"other", Expiry::Clear), flush, false),
        ("swapped in", |keys| set(keys, 1, b"k", Expiry::Clear), |keys| keys.swap(0, 1), true),
        ("swapped out", |keys| set(keys, 0, b"k", Expiry::Clear), |keys| keys.swap(2, 0), true),
        ("swapped elsewhere", |keys| set(keys, 0, b"k", Expiry::Clear), |keys| keys.swap(1, 2), false),
        ("expired, not removed", |keys| set(keys, 0, b"k", Expiry::At(1500)), |keys| keys.set_now(1600), true),
        ("expired, removed", |keys| set(keys, 0, b"k", Expiry::At(1500)), expire, true),
        ("expired before", stale, NOTHING, false),
        ("expired before, removed now", stale, expire, false),
        ("expired before, flushed", stale, flush, false),
        ("expired before, set again", stale, |keys| set(keys, 0, b"k", Expiry::Clear), true),
        ("expired before, swapped for another such", both_stale, |keys| keys.swap(0, 1), false),
    ];

    fn flush(keys: &mut Keyspace) {
        keys.flush(0);
    }

    fn expire(keys: &mut Keyspace) {
        keys.set_now(1600);
        while keys.expire_slice(100) {}
    }

    fn stale(keys: &mut Keyspace) {
        set(keys, 0, b"k", Expiry::At(1500));
        keys.set_now(1600);
    }

    fn both_stale(keys: &mut Keyspace) {
        set(keys, 0, b"k", Expiry::At(1500));
        set(keys, 1, b"k", Expiry::At(1500));
        keys.set_now(1600);
    }

    #[test]
    fn exec_is_refused_after_a_change_that_the_client_can_see() {
        for &(what, before, between, refused) in CASES {
            let mut keys = Keyspace::new(3, 1, 1000);
            before(&mut keys);
            let key = Key { bytes: b"k", hash: keys.hash(b"k") };
            keys.watch(CLIENT, 0, key);
            between(&mut keys);
            assert_eq!(keys.watched_changed(CLIENT), refused, "{what}");
            keys.effects.watches.forget(CLIENT);
            assert!(!keys.watched_changed(CLIENT), "{what}");
        }
    }
}
