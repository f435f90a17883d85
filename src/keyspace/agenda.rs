//! The agenda: which databases have something that expires, and when the first of it does. So a turn of the loop looks at
//! those in which something is due, however many others there are.
//!
//! A database is on it by a time that is no later than the first of its deadlines. Who gives a key an earlier one moves it
//! ([`Listing::due`], one comparison for most); that a deadline has gone is noticed when its time comes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Unix milliseconds, and slots of databases.
type Times = RefCell<BTreeSet<(u64, usize)>>;

/// The time of a database on which nothing expires, and which is not on the agenda.
const NEVER: u64 = u64::MAX;

/// The agenda of all databases.
#[derive(Default)]
pub struct Agenda(Rc<Times>);

impl Agenda {
    /// A place for the database in a slot.
    pub fn listing(&self, slot: usize) -> Listing {
        Listing { agenda: self.0.clone(), slot, at: NEVER }
    }

    /// The earliest time, in Unix milliseconds, and the slot of its database.
    pub fn first(&self) -> Option<(u64, usize)> {
        self.0.borrow().first().copied()
    }
}

/// The place of a database on the agenda.
pub struct Listing {
    agenda: Rc<Times>,
    slot: usize,
    at: u64,
}

impl Listing {
    /// Something is due at a time in Unix milliseconds.
    #[inline]
    pub fn due(&mut self, at: u64) {
        if at < self.at {
            self.put(Some(at));
        }
    }

    /// Nothing is due before a time in Unix milliseconds, or at all.
    pub fn put(&mut self, at: Option<u64>) {
        let at = at.unwrap_or(NEVER);
        if at != self.at {
            let mut times = self.agenda.borrow_mut();
            if self.at != NEVER {
                times.remove(&(self.at, self.slot));
            }
            if at != NEVER {
                times.insert((at, self.slot));
            }
            self.at = at;
        }
    }

    /// Its time, in Unix milliseconds.
    pub fn at(&self) -> Option<u64> {
        Some(self.at).filter(|&at| at != NEVER)
    }

    /// The database is in another slot now, which nobody else is listed for.
    pub fn move_to(&mut self, slot: usize) {
        let at = self.at;
        self.put(None);
        self.slot = slot;
        self.put(Some(at));
    }

    /// Exchanges the slots of two databases.
    pub fn exchange(&mut self, other: &mut Listing) {
        let times = [self.at, other.at];
        self.put(None);
        other.put(None);
        std::mem::swap(&mut self.slot, &mut other.slot);
        self.put(Some(times[0]));
        other.put(Some(times[1]));
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.put(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_the_one_with_the_earliest_time() {
        let agenda = Agenda::default();
        let (mut a, mut b) = (agenda.listing(1), agenda.listing(2));
        assert_eq!(agenda.first(), None);
        a.due(50);
        a.due(70);
        b.due(60);
        assert_eq!(agenda.first(), Some((50, 1)));
        b.due(40);
        assert_eq!(agenda.first(), Some((40, 2)));
        b.put(None);
        assert_eq!(agenda.first(), Some((50, 1)));
        b.due(50);
        a.exchange(&mut b);
        a.put(Some(90));
        assert_eq!(agenda.first(), Some((50, 1)));
        b.move_to(7);
        assert_eq!(agenda.first(), Some((50, 7)));
        drop(b);
        assert_eq!(agenda.first(), Some((90, 2)));
        drop(a);
        assert_eq!(agenda.first(), None);
    }
}
