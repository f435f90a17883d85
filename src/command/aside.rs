//! Data that are taken in beside those that are there, and take their place at once when they are whole.
//!
//! Each database of a snapshot goes into a hidden namespace that is made for it. In the end the two exchange their places, and
//! what was there before is freed as a flushed database is.

use std::collections::BTreeMap;

use super::state::Server;
use crate::keyspace::directory::TooMany;
use crate::script::functions::Libraries;

/// What holds for a namespace of a snapshot.
pub struct Limits {
    pub name: String,
    pub default_ttl_ms: u64,
    pub max_memory: u64,
    pub created_ms: u64,
}

/// Data beside the others.
#[derive(Default)]
pub struct Aside {
    /// By slot where they are: the number of the database that they belong to, or what holds for the namespace.
    databases: BTreeMap<usize, Result<usize, Limits>>,
    /// Their libraries of functions.
    pub libraries: Libraries,
}

impl Aside {
    /// Makes a place for a database that has a number, or for a namespace. Returns its slot.
    ///
    /// # Errors
    /// If there are too many namespaces.
    pub fn place(&mut self, server: &mut Server, database: Result<usize, Limits>) -> Result<usize, TooMany> {
        let slot = server.keys.create_hidden_namespace()?;
        self.databases.insert(slot, database);
        Ok(slot)
    }
}

impl Server {
    /// Puts data into the place of those that are there. `stream_db` is a slot of theirs; returns which one it is then.
    ///
    /// # Errors
    /// If there are too many namespaces; then there are no data.
    pub fn adopt(&mut self, mut aside: Aside, stream_db: usize) -> Result<usize, String> {
        self.doubt_namespaces();
        for slot in (0..self.keys.databases()).filter(|slot| !aside.databases.contains_key(slot)) {
            self.keys.flush(slot);
        }
        let mut places = BTreeMap::new();
        for (from, database) in &aside.databases {
            let slot = match database {
                Ok(number) => *number,
                Err(limits) => {
                    let keys = &mut self.keys;
                    let found = keys.directory().find(limits.name.as_bytes());
                    let slot = found.map_or_else(|| keys.create_namespace(&limits.name), Ok);
                    let slot = slot.map_err(|_| "There are too many namespaces".to_string())?;
                    keys.set_limits(slot, limits.default_ttl_ms, limits.max_memory);
                    keys.set_created(slot, limits.created_ms);
                    slot
                }
            };
            self.keys.swap(*from, slot);
            places.insert(*from, slot);
        }
        std::mem::swap(&mut self.functions, &mut aside.libraries);
        self.discard(aside);
        Ok(places.get(&stream_db).copied().unwrap_or(stream_db))
    }

    /// Drops data that were taken in beside the others, or those whose place they have taken.
    pub fn discard(&mut self, mut aside: Aside) {
        aside.libraries.clear(true);
        for slot in aside.databases.into_keys() {
            self.drop_namespace(slot, None);
        }
    }
}
