//! Clients that wait for keys: who waits for which key, in which order, and until when.
//!
//! A key has a queue of the clients that wait for it; whoever came first is first. Changes of keys are reported here,
//! and a change of a key with a queue makes the key ready, which is looked at when the command that changed it is over.
//! Everything is ordered, so that neither a report, nor the earliest deadline, nor a client that leaves costs more than
//! a few steps, however many wait.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::types::value::Type;

/// What a client waits for.
#[derive(Debug)]
pub struct Waiter {
    pub db: usize,
    /// Any of these keys will do.
    pub keys: Vec<Box<[u8]>>,
    /// The type that a key must have.
    pub kind: Type,
    /// A key that is removed, or becomes something else, will do as well: the command then has an error to tell.
    pub until_gone: bool,
    /// Until when, in milliseconds of uptime; `None` for as long as it takes.
    pub deadline_ms: Option<u64>,
    /// The command, as a request: it runs again when a key is ready.
    pub request: Vec<u8>,
}

/// The clients that wait for one key.
#[derive(Default)]
struct Queue {
    /// Tokens by the turn in which they came.
    clients: BTreeMap<u64, usize>,
    /// How many of them wait for the key to be gone, too.
    until_gone: usize,
    /// It is listed as ready.
    ready: bool,
}

/// All that wait.
#[derive(Default)]
pub struct Waiting {
    /// What each waits for and in which turn it came, by its token.
    waiters: BTreeMap<usize, (u64, Waiter)>,
    /// The queues of each database.
    queues: BTreeMap<usize, BTreeMap<Box<[u8]>, Queue>>,
    /// Deadlines and whose they are.
    deadlines: BTreeSet<(u64, usize)>,
    /// Keys with a queue that have changed, in the order in which they did.
    ready: Vec<(usize, Box<[u8]>)>,
    /// The next client's turn.
    next_turn: u64,
}

impl Waiting {
    /// Whether anybody waits.
    #[inline]
    pub fn any(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Whether a key that somebody waits for has changed.
    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A key changed.
    #[cold]
    pub fn changed(&mut self, db: usize, key: &[u8]) {
        let Some(queue) = self.queues.get_mut(&db).and_then(|queues| queues.get_mut(key)) else { return };
        if !queue.ready {
            queue.ready = true;
            self.ready.push((db, key.into()));
        }
    }

    /// Every key of a database may have changed.
    #[cold]
    pub fn changed_all(&mut self, db: usize) {
        let Some(queues) = self.queues.get_mut(&db) else { return };
        for (key, queue) in queues.iter_mut().filter(|(_, queue)| !queue.ready) {
            queue.ready = true;
            self.ready.push((db, key.clone()));
        }
    }

    /// Takes the keys that have become ready.
    pub fn take_ready(&mut self) -> Vec<(usize, Box<[u8]>)> {
        std::mem::take(&mut self.ready)
    }

    /// Says that a ready key is being looked at: from now on it can become ready again. Returns how many wait for it.
    pub fn look_at(&mut self, db: usize, key: &[u8]) -> usize {
        let Some(queue) = self.queues.get_mut(&db).and_then(|queues| queues.get_mut(key)) else { return 0 };
        queue.ready = false;
        queue.clients.len()
    }

    /// Whether somebody waits for a key to be gone.
    pub fn is_awaited_until_gone(&self, db: usize, key: &[u8]) -> bool {
        self.queues.get(&db).and_then(|queues| queues.get(key)).is_some_and(|queue| queue.until_gone > 0)
    }

    /// Who waits for a key behind the one with a turn, or first of all: the turn, the token, and what is waited for.
    pub fn next(&self, db: usize, key: &[u8], behind: Option<u64>) -> Option<(u64, usize, &Waiter)> {
        let queue = self.queues.get(&db)?.get(key)?;
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let (&turn, &token) = queue.clients.range((from, Bound::Unbounded)).next()?;
        Some((turn, token, &self.waiters.get(&token)?.1))
    }

    /// Lets a client wait, behind all others.
    pub fn add(&mut self, token: usize, waiter: Waiter) {
        let turn = self.next_turn;
        self.next_turn += 1;
        let queues = self.queues.entry(waiter.db).or_default();
        for key in &waiter.keys {
            let queue = queues.entry(key.clone()).or_default();
            // A key that is named twice is waited for once.
            if queue.clients.insert(turn, token).is_none() {
                queue.until_gone += usize::from(waiter.until_gone);
            }
        }
        self.deadlines.extend(waiter.deadline_ms.map(|deadline| (deadline, token)));
        self.waiters.insert(token, (turn, waiter));
    }

    /// Lets a client wait no longer. `None` if it does not wait.
    pub fn remove(&mut self, token: usize) -> Option<Waiter> {
        let (turn, waiter) = self.waiters.remove(&token)?;
        if let Some(queues) = self.queues.get_mut(&waiter.db) {
            for key in &waiter.keys {
                // A key that was named twice is gone at the second time.
                let Some(queue) = queues.get_mut(key) else { continue };
                if queue.clients.remove(&turn).is_some() {
                    queue.until_gone -= usize::from(waiter.until_gone);
                }
                if queue.clients.is_empty() {
                    queues.remove(key);
                }
            }
        }
        if let Some(deadline) = waiter.deadline_ms {
            self.deadlines.remove(&(deadline, token));
        }
        Some(waiter)
    }

    /// The earliest deadline, in milliseconds of uptime.
    #[inline]
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// A client whose deadline has passed. In the millisecond of its deadline it still waits.
    #[inline]
    pub fn overdue(&self, now_ms: u64) -> Option<usize> {
        self.deadlines.first().filter(|&&(deadline, _)| deadline < now_ms).map(|&(_, token)| token)
    }

    /// Whether a client waits for keys, rather than for something else until its deadline.
    pub fn has_keys(&self, token: usize) -> bool {
        self.waiters.get(&token).is_some_and(|(_, waiter)| !waiter.keys.is_empty())
    }

    /// Bytes of memory that a client's waiting takes.
    pub fn bytes(&self, token: usize) -> usize {
        let Some((_, waiter)) = self.waiters.get(&token) else { return 0 };
        // A key's name is here, and in the table if nobody else waits for it.
        let keys = waiter.keys.iter().map(|key| 2 * key.len() + size_of::<Box<[u8]>>() + size_of::<Queue>());
        size_of::<Waiter>() + waiter.request.capacity() + keys.sum::<usize>()
    }

    /// The clients that wait for keys of a database.
    pub fn in_database(&self, db: usize) -> Vec<usize> {
        let waits = |waiter: &Waiter| waiter.db == db && !waiter.keys.is_empty();
        self.waiters.iter().filter(|(_, (_, waiter))| waits(waiter)).map(|(&token, _)| token).collect()
    }

    /// How many clients wait.
    pub fn clients(&self) -> usize {
        self.waiters.len()
    }

    /// How many clients wait with a deadline.
    pub fn clients_with_deadline(&self) -> usize {
        self.deadlines.len()
    }

    /// How many keys are waited for.
    pub fn keys(&self) -> usize {
        self.queues.values().map(BTreeMap::len).sum()
    }

    /// How many keys are waited for until they are gone.
    pub fn keys_until_gone(&self) -> usize {
        self.queues.values().flat_map(BTreeMap::values).filter(|queue| queue.until_gone > 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(keys: &[&str], deadline_ms: Option<u64>) -> Waiter {
        let keys = keys.iter().map(|key| key.as_bytes().into()).collect();
        Waiter { db: 0, keys, kind: Type::List, until_gone: false, deadline_ms, request: Vec::new() }
    }

    fn queue(waiting: &Waiting, key: &str) -> Vec<usize> {
        let mut behind = None;
        std::iter::from_fn(|| {
            let (turn, token, _) = waiting.next(0, key.as_bytes(), behind)?;
            behind = Some(turn);
            Some(token)
        })
        .collect()
    }

    #[test]
    fn first_come_first_served_and_who_leaves_is_forgotten() {
        let mut waiting = Waiting::default();
        waiting.add(7, waiter(&["a", "b", "a"], None));
        waiting.add(3, waiter(&["b"], Some(50)));
        waiting.add(5, waiter(&["a"], Some(20)));
        assert_eq!((queue(&waiting, "a"), queue(&waiting, "b")), (vec![7, 5], vec![7, 3]));
        assert_eq!((waiting.clients(), waiting.keys(), waiting.clients_with_deadline()), (3, 2, 2));
        assert_eq!((waiting.in_database(0), waiting.in_database(1)), (vec![3, 5, 7], vec![]));
        assert!(waiting.remove(7).is_some() && waiting.remove(7).is_none());
        assert_eq!((queue(&waiting, "a"), queue(&waiting, "b")), (vec![5], vec![3]));
        waiting.add(7, waiter(&["b"], None));
        assert_eq!(queue(&waiting, "b"), [3, 7]);
        for token in [3, 5, 7] {
            waiting.remove(token);
        }
        assert_eq!((waiting.any(), waiting.keys(), waiting.next_deadline()), (false, 0, None));
    }

    #[test]
    fn deadlines_pass_in_their_order_and_after_their_millisecond() {
        let mut waiting = Waiting::default();
        waiting.add(1, waiter(&["a"], Some(50)));
        waiting.add(2, waiter(&["a"], Some(20)));
        assert_eq!((waiting.next_deadline(), waiting.overdue(20), waiting.overdue(21)), (Some(20), None, Some(2)));
        waiting.remove(2);
        assert_eq!((waiting.overdue(50), waiting.overdue(51)), (None, Some(1)));
    }

    #[test]
    fn only_keys_with_a_queue_become_ready_and_once_until_they_are_looked_at() {
        let mut waiting = Waiting::default();
        waiting.add(1, waiter(&["a", "b"], None));
        for key in ["x", "b", "a", "b"] {
            waiting.changed(0, key.as_bytes());
            waiting.changed(1, key.as_bytes());
        }
        let ready = waiting.take_ready();
        let names: Vec<_> = ready.iter().map(|(db, key)| (*db, &**key)).collect();
        assert_eq!(names, [(0, &b"b"[..]), (0, b"a")]);
        assert!(!waiting.has_ready());
        waiting.changed(0, b"a");
        assert!(!waiting.has_ready(), "it has not been looked at");
        assert_eq!((waiting.look_at(0, b"a"), waiting.look_at(0, b"x")), (1, 0));
        waiting.changed_all(0);
        assert_eq!(waiting.take_ready().len(), 1, "b is still listed");
    }
}
