//! Clients that wait for keys: who waits for which key, in which order, and until when.
//!
//! A key has a queue of the clients that wait for it; whoever came first is first. Changes of keys are reported here,
//! and a change of a key with a queue makes the key ready, which is looked at when the command that changed it is over.
//! Neither a report, nor the earliest deadline, nor a client that leaves costs more than a few steps, however many wait, and
//! nothing grows in one large piece but a list of pointers.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::ops::{Bound, Range};

use foldhash::fast::RandomState;

use crate::resp::KeptArgs;
use crate::types::value::Type;

/// What a client waits for.
pub struct Waiter {
    pub db: usize,
    /// The command, which runs again when a key is ready.
    pub args: KeptArgs,
    /// Which of its arguments are keys. Any of them will do.
    pub keys: Range<usize>,
    /// The type that a key must have.
    pub kind: Type,
    /// A key that is removed, or becomes something else, will do as well: the command then has an error to tell.
    pub until_gone: bool,
    /// Until when, in milliseconds of uptime; `None` for as long as it takes.
    pub deadline_ms: Option<u64>,
}

impl Waiter {
    fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.clone().filter_map(|at| self.args.get(at))
    }
}

/// The clients that wait for one key.
struct Queue {
    db: usize,
    key: Box<[u8]>,
    /// The turn in which the first came, and its token.
    first: (u64, usize),
    /// The others' tokens by their turns. Most queues have none.
    others: BTreeMap<u64, usize>,
    /// How many of them wait for the key to be gone, too.
    until_gone: usize,
    /// It is listed as ready.
    ready: bool,
}

impl Queue {
    /// Lets a client with the newest turn wait here, unless it does already. Returns whether it did not.
    fn join(&mut self, turn: u64, token: usize) -> bool {
        self.first.0 != turn && self.others.insert(turn, token).is_none()
    }

    /// Lets the client with a turn go. Returns whether it was here, and whether anybody still is.
    fn leave(&mut self, turn: u64) -> (bool, bool) {
        if self.first.0 != turn {
            return (self.others.remove(&turn).is_some(), true);
        }
        match self.others.pop_first() {
            Some(next) => {
                self.first = next;
                (true, true)
            }
            None => (true, false),
        }
    }

    /// Who is next behind a turn, or first of all.
    fn next(&self, behind: Option<u64>) -> Option<(u64, usize)> {
        match behind {
            Some(behind) if self.first.0 <= behind => self
                .others
                .range((Bound::Excluded(behind), Bound::Unbounded))
                .next()
                .map(|(&turn, &token)| (turn, token)),
            _ => Some(self.first),
        }
    }
}

/// For keys that are hashes.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, _: &[u8]) {
        unreachable!("hashes are numbers");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The queues by the hash of database and key; with luck there is one of a kind. In parts, each of which grows by itself.
struct Queues([HashMap<u64, Vec<Queue>, BuildHasherDefault<AsItIs>>; 256]);

impl Default for Queues {
    fn default() -> Queues {
        Queues(std::array::from_fn(|_| HashMap::default()))
    }
}

impl Queues {
    fn part(hash: u64) -> usize {
        // Neither the first bits nor the last, by which the part finds its place.
        usize::from((hash >> 40) as u8)
    }

    fn alike(&self, hash: u64) -> Option<&Vec<Queue>> {
        self.0[Queues::part(hash)].get(&hash)
    }

    fn alike_mut(&mut self, hash: u64) -> Option<&mut Vec<Queue>> {
        self.0[Queues::part(hash)].get_mut(&hash)
    }

    fn alike_or_new(&mut self, hash: u64) -> &mut Vec<Queue> {
        self.0[Queues::part(hash)].entry(hash).or_insert_with(|| Vec::with_capacity(1))
    }

    fn remove(&mut self, hash: u64) {
        self.0[Queues::part(hash)].remove(&hash);
    }

    fn each(&self) -> impl Iterator<Item = &Queue> {
        self.0.iter().flat_map(HashMap::values).flatten()
    }

    fn each_mut(&mut self) -> impl Iterator<Item = &mut Queue> {
        self.0.iter_mut().flat_map(HashMap::values_mut).flatten()
    }
}

/// All that wait.
#[derive(Default)]
pub struct Waiting {
    /// What each waits for and in which turn it came, by its token.
    waiters: Vec<Option<Box<(u64, Waiter)>>>,
    /// How many wait.
    clients: usize,
    queues: Box<Queues>,
    hasher: RandomState,
    /// Deadlines and whose they are.
    deadlines: BTreeSet<(u64, usize)>,
    /// Keys with a queue that have changed, in the order in which they did.
    ready: VecDeque<(usize, Box<[u8]>)>,
    /// The next client's turn.
    next_turn: u64,
}

impl Waiting {
    fn hash(&self, db: usize, key: &[u8]) -> u64 {
        self.hasher.hash_one((db, key))
    }

    fn queue(&self, db: usize, key: &[u8]) -> Option<&Queue> {
        self.queues.alike(self.hash(db, key))?.iter().find(|queue| queue.db == db && *queue.key == *key)
    }

    fn queue_mut(&mut self, db: usize, key: &[u8]) -> Option<&mut Queue> {
        let hash = self.hash(db, key);
        self.queues.alike_mut(hash)?.iter_mut().find(|queue| queue.db == db && *queue.key == *key)
    }

    fn waiter(&self, token: usize) -> Option<&(u64, Waiter)> {
        self.waiters.get(token)?.as_deref()
    }

    /// Whether anybody waits.
    #[inline]
    pub fn any(&self) -> bool {
        self.clients > 0
    }

    /// Whether a key that somebody waits for has changed.
    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A key changed.
    #[cold]
    pub fn changed(&mut self, db: usize, key: &[u8]) {
        let Some(queue) = self.queue_mut(db, key) else { return };
        if !std::mem::replace(&mut queue.ready, true) {
            self.ready.push_back((db, key.into()));
        }
    }

    /// Every key of a database may have changed.
    #[cold]
    pub fn changed_all(&mut self, db: usize) {
        for queue in self.queues.each_mut().filter(|queue| queue.db == db && !queue.ready) {
            queue.ready = true;
            self.ready.push_back((db, queue.key.clone()));
        }
    }

    /// Takes the key that became ready first.
    pub fn take_ready(&mut self) -> Option<(usize, Box<[u8]>)> {
        self.ready.pop_front()
    }

    /// Says that a ready key is being looked at: from now on it can become ready again. Returns how many wait for it.
    pub fn look_at(&mut self, db: usize, key: &[u8]) -> usize {
        let Some(queue) = self.queue_mut(db, key) else { return 0 };
        queue.ready = false;
        1 + queue.others.len()
    }

    /// Whether somebody waits for a key to be gone.
    pub fn is_awaited_until_gone(&self, db: usize, key: &[u8]) -> bool {
        self.queue(db, key).is_some_and(|queue| queue.until_gone > 0)
    }

    /// Who waits for a key behind the one with a turn, or first of all: the turn, the token, and what is waited for.
    pub fn next(&self, db: usize, key: &[u8], behind: Option<u64>) -> Option<(u64, usize, &Waiter)> {
        let (turn, token) = self.queue(db, key)?.next(behind)?;
        Some((turn, token, &self.waiter(token)?.1))
    }

    /// Lets a client wait, behind all others.
    pub fn add(&mut self, token: usize, waiter: Waiter) {
        let turn = self.next_turn;
        self.next_turn += 1;
        let db = waiter.db;
        for key in waiter.keys() {
            let alike = self.queues.alike_or_new(self.hasher.hash_one((db, key)));
            // A key that is named twice is waited for once.
            let joined = match alike.iter_mut().find(|queue| queue.db == db && *queue.key == *key) {
                Some(queue) => queue.join(turn, token).then_some(queue),
                None => {
                    let (first, others) = ((turn, token), BTreeMap::new());
                    alike.push(Queue { db, key: key.into(), first, others, until_gone: 0, ready: false });
                    alike.last_mut()
                }
            };
            if let Some(queue) = joined {
                queue.until_gone += usize::from(waiter.until_gone);
            }
        }
        self.deadlines.extend(waiter.deadline_ms.map(|deadline| (deadline, token)));
        if self.waiters.len() <= token {
            self.waiters.resize_with(token + 1, || None);
        }
        self.clients += 1;
        self.waiters[token] = Some(Box::new((turn, waiter)));
    }

    /// Lets a client wait no longer. `None` if it does not wait.
    pub fn remove(&mut self, token: usize) -> Option<Waiter> {
        let (turn, waiter) = *self.waiters.get_mut(token)?.take()?;
        self.clients -= 1;
        for key in waiter.keys() {
            let hash = self.hash(waiter.db, key);
            let Some(alike) = self.queues.alike_mut(hash) else { continue };
            // A key that was named twice is gone at the second time.
            let Some(at) = alike.iter().position(|queue| queue.db == waiter.db && *queue.key == *key) else { continue };
            let (was_here, anybody) = alike[at].leave(turn);
            if !anybody {
                alike.swap_remove(at);
            } else if was_here {
                alike[at].until_gone -= usize::from(waiter.until_gone);
            }
            if alike.is_empty() {
                self.queues.remove(hash);
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
        self.waiter(token).is_some_and(|(_, waiter)| !waiter.keys.is_empty())
    }

    /// Bytes of memory that a client's waiting takes.
    pub fn bytes(&self, token: usize) -> usize {
        let Some((_, waiter)) = self.waiter(token) else { return 0 };
        // As if nobody else waited for them.
        let queues = waiter.keys().map(|key| key.len() + size_of::<Queue>());
        size_of::<Waiter>() + waiter.args.memory_bytes() + queues.sum::<usize>()
    }

    /// The clients that wait for keys of a database.
    pub fn in_database(&self, db: usize) -> Vec<usize> {
        let waits = |waiter: &Waiter| waiter.db == db && !waiter.keys.is_empty();
        let tokens =
            self.waiters.iter().enumerate().filter(|(_, waiter)| waiter.as_ref().is_some_and(|one| waits(&one.1)));
        tokens.map(|(token, _)| token).collect()
    }

    /// How many clients wait.
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// How many clients wait with a deadline.
    pub fn clients_with_deadline(&self) -> usize {
        self.deadlines.len()
    }

    /// How many keys are waited for.
    pub fn keys(&self) -> usize {
        self.queues.each().count()
    }

    /// How many keys are waited for until they are gone.
    pub fn keys_until_gone(&self) -> usize {
        self.queues.each().filter(|queue| queue.until_gone > 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(keys: &[&str], deadline_ms: Option<u64>) -> Waiter {
        let args = KeptArgs::of(keys.iter().map(|key| key.as_bytes()));
        Waiter { db: 0, args, keys: 0..keys.len(), kind: Type::List, until_gone: false, deadline_ms }
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
        let mut ready = || waiting.take_ready().map(|(db, key)| (db, key.to_vec()));
        assert_eq!([ready(), ready(), ready()], [Some((0, b"b".to_vec())), Some((0, b"a".to_vec())), None]);
        assert!(!waiting.has_ready());
        waiting.changed(0, b"a");
        assert!(!waiting.has_ready(), "it has not been looked at");
        assert_eq!((waiting.look_at(0, b"a"), waiting.look_at(0, b"x")), (1, 0));
        waiting.changed_all(0);
        assert!(waiting.take_ready().is_some() && waiting.take_ready().is_none(), "b is still listed");
    }
}
