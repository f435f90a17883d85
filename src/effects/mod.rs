//! What a change causes.
//!
//! The keyspace reports every change of a key here, exactly once, with the event it amounts to; everything that
//! follows from a change starts from this report. Handlers never call it.

pub mod journal;
pub mod waiting;
pub mod watch;

use journal::Journal;
use waiting::Waiting;
use watch::Watches;

/// An event of a key, by the name that keyspace notifications give it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event(pub &'static str);

impl Event {
    pub const SET: Event = Event("set");
    pub const APPEND: Event = Event("append");
    pub const SETRANGE: Event = Event("setrange");
    pub const SETBIT: Event = Event("setbit");
    pub const INCRBY: Event = Event("incrby");
    pub const DECRBY: Event = Event("decrby");
    pub const INCRBYFLOAT: Event = Event("incrbyfloat");
    pub const EXPIRE: Event = Event("expire");
    pub const PERSIST: Event = Event("persist");
    pub const DEL: Event = Event("del");
    pub const EXPIRED: Event = Event("expired");
    pub const RENAME_FROM: Event = Event("rename_from");
    pub const RENAME_TO: Event = Event("rename_to");
    pub const COPY_TO: Event = Event("copy_to");
    pub const MOVE_FROM: Event = Event("move_from");
    pub const MOVE_TO: Event = Event("move_to");
}

/// The receiver of change reports.
#[derive(Default)]
pub struct Effects {
    /// Changes since the data was last made durable.
    pub dirty: u64,
    /// Who wants to know of a change before a transaction runs.
    pub watches: Watches,
    /// Whose commands wait for a change.
    pub waiting: Waiting,
    /// What the append-only file and replicas are told.
    pub journal: Journal,
}

impl Effects {
    /// A key of database `db` changed.
    #[inline]
    pub fn changed(&mut self, db: usize, key: &[u8], event: Event) {
        self.dirty += 1;
        self.reach(db, key, event);
        log::trace!(target: "keyspace", "db {db}: {} of a key of {} bytes", event.0, key.len());
    }

    /// As [`Effects::changed`], for a command that made `changes` changes of one key, such as an element pushed each.
    pub fn changed_by(&mut self, db: usize, key: &[u8], event: Event, changes: u64) {
        self.dirty += changes;
        self.reach(db, key, event);
        log::trace!(target: "keyspace", "db {db}: {changes} times {} of a key of {} bytes", event.0, key.len());
    }

    /// As [`Effects::changed`], for what does not count as a change of its own: a key expired, or it was moved away and
    /// counts where it went.
    #[inline]
    pub fn changed_uncounted(&mut self, db: usize, key: &[u8], event: Event) {
        self.reach(db, key, event);
        if event == Event::EXPIRED && self.journal.is_on() {
            self.journal.expired(db, key);
        }
        log::trace!(target: "keyspace", "db {db}: {} of a key of {} bytes", event.0, key.len());
    }

    /// Tells those who wait for a change of this key.
    #[inline]
    fn reach(&mut self, db: usize, key: &[u8], event: Event) {
        if !self.watches.is_empty() | self.waiting.any() {
            self.watches.changed(db, key, event == Event::EXPIRED);
            self.waiting.changed(db, key);
        }
    }

    /// Two databases were exchanged; they may be one and the same.
    pub fn swapped(&mut self, a: usize, b: usize) {
        self.dirty += 1;
        if self.waiting.any() {
            self.waiting.changed_all(a);
            self.waiting.changed_all(b);
        }
        log::trace!(target: "keyspace", "db {a} and db {b} were exchanged");
    }

    /// A database lost all of its `keys` keys at once.
    pub fn flushed(&mut self, db: usize, keys: usize) {
        self.dirty += keys as u64;
        log::trace!(target: "keyspace", "db {db}: flushed {keys} keys");
    }
}
