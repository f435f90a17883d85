//! What clients write on a replica that lets them.
//!
//! Keys whose time is over are removed when the master says so. It knows nothing of those that clients write here with a time to
//! live, so that these are remembered and looked at now and then. What a client's command is about to write is removed
//! first if its time is over, like anywhere else, whoever wrote it.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::{Key, Keyspace, Overdue};

/// A key and its database.
type Place = (usize, Box<[u8]>);

/// The keys that clients have given a time to live.
#[derive(Default)]
pub(super) struct Own {
    places: BTreeSet<Place>,
    /// The one that was looked at last.
    last: Option<Place>,
}

impl Keyspace {
    /// Says whether this is a replica that lets clients write.
    pub fn keep_own(&mut self, kept: bool) {
        match kept {
            true => drop(self.own.get_or_insert_default()),
            false => self.own = None,
        }
    }

    /// Whether it is.
    #[inline]
    pub fn keeps_own(&self) -> bool {
        self.own.is_some()
    }

    /// How many keys clients have given a time to live there, as far as is known.
    pub fn own_len(&self) -> usize {
        self.own.as_ref().map_or(0, |own| own.places.len())
    }

    /// A key has got a deadline.
    #[inline]
    pub(super) fn note_own(&mut self, db: usize, key: Key<'_>) {
        if self.own.is_some() {
            self.note_if_own(db, key);
        }
    }

    #[cold]
    fn note_if_own(&mut self, db: usize, key: Key<'_>) {
        // Not if it comes from the master.
        if let Some(own) = &mut self.own
            && self.overdue == Overdue::Removed
        {
            own.places.insert((db, key.bytes.into()));
        }
    }

    /// Removes those whose time is over, of the next `count` of them, and forgets those that have no deadline any more.
    pub fn expire_own(&mut self, count: usize) {
        let Some(mut own) = self.own.take_if(|_| self.active_expiry) else { return };
        let before = self.set_overdue(Overdue::Removed);
        for _ in 0..count.min(own.places.len()) {
            let from = own.last.take().map_or(Bound::Unbounded, Bound::Excluded);
            let next = own.places.range((from, Bound::Unbounded)).next().or_else(|| own.places.first());
            let Some((db, name)) = next.cloned() else { break };
            let key = self.key(&name);
            let there = self.databases.get(db).is_some_and(Option::is_some);
            if !there || self.peek(db, key).and_then(|entry| entry.deadline()).is_none() {
                own.places.remove(&(db, name.clone()));
            }
            own.last = Some((db, name));
        }
        self.set_overdue(before);
        self.own = Some(own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::Event;
    use crate::keyspace::{Expiry, StringValue};

    fn set(keys: &mut Keyspace, name: &str, expiry: Expiry) {
        keys.set_string(0, keys.key(name.as_bytes()), StringValue::Borrowed(b"v"), expiry, Event::SET);
    }

    fn len(keys: &Keyspace) -> usize {
        keys.database(0).map_or(0, |database| database.len())
    }

    #[test]
    fn what_clients_wrote_goes_and_what_the_master_wrote_stays() {
        let mut keys = Keyspace::new(1, 1, 1000);
        keys.hide_overdue(true);
        keys.keep_own(true);
        for n in 0..50 {
            keys.set_overdue(if n < 10 { Overdue::Ignored } else { Overdue::Removed });
            set(&mut keys, &format!("k{n}"), Expiry::At(2000 + n));
        }
        set(&mut keys, "k49", Expiry::Clear);
        keys.set_overdue(Overdue::Hidden);
        keys.set_now(2020);
        assert!(!keys.expire_slice(1000) && keys.next_deadline().is_none());
        for _ in 0..5 {
            keys.expire_own(10);
        }
        assert_eq!((len(&keys), keys.stats.expired), (40, 10), "of twenty the master's are left");
        keys.set_now(3000);
        assert!(keys.peek(0, keys.key(b"k5")).is_none() && keys.peek(0, keys.key(b"k30")).is_none(), "all are hidden");
        for _ in 0..5 {
            keys.expire_own(10);
        }
        assert_eq!(len(&keys), 11);
        assert!(keys.own.as_ref().is_some_and(|own| own.places.is_empty()));
        // A client's command is about to write one of the master's.
        keys.set_overdue(Overdue::Removed);
        set(&mut keys, "k5", Expiry::Clear);
        assert_eq!((len(&keys), keys.stats.expired), (11, 40));
        // The replica becomes a master.
        keys.keep_own(false);
        keys.hide_overdue(false);
        assert!(!keys.expire_slice(1000));
        assert_eq!(len(&keys), 2);
    }
}
