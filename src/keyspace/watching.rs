//! Watching keys: what the table of watched keys needs to know of the databases.

use super::{Key, Keyspace};
use crate::effects::watch::Presence;

impl Keyspace {
    /// What there is of a key. Nothing is removed, counted or touched.
    fn presence(&self, db: usize, key: Key<'_>) -> Presence {
        let Some(database) = self.database(db) else { return Presence::Absent };
        match database.find(key.hash, key.bytes) {
            None => Presence::Absent,
            Some(position) if self.is_past(database.entry(position).deadline()) => Presence::Stale,
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
        let mut watches = std::mem::take(&mut self.effects.watches);
        watches.replaced(db, |key| {
            let key = self.key(key);
            let after = successor.map_or(Presence::Absent, |successor| self.presence(successor, key));
            (self.presence(db, key), after)
        });
        self.effects.watches = watches;
    }
}
