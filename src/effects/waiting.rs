//! Clients that wait for keys: who waits for which key, in which order, and until when.
//!
//! A key has a queue of the clients that wait for it; whoever came first is first. Changes of keys are reported here,
//! and a change of a key with a queue makes the key ready, which is looked at when the command that changed it is over.
//! Neither a report, nor the earliest deadline, nor a client that leaves costs more than a few steps, however many wait, and
//! nothing grows in one large piece but a list of pointers.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Bound, Range};
use std::rc::Rc;

use crate::resp::KeptArgs;
use crate::types::hash::KeyHasher;
use crate::types::map::Map;
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
    /// The turn in which the first came, and its token.
    first: (u64, usize),
    /// The others' tokens by their turns. Most queues have none.
    others: BTreeMap<u64, usize>,
    /// How many of them wait for a value of each type.
    kinds: [u32; Type::ALL.len()],
    /// How many of them wait for the key to be gone, too.
    until_gone: usize,
    /// The key is listed as ready.
    ready: Cell<bool>,
}

impl Queue {
    /// The client that came in a turn is the first to wait here. It is still to [join](Queue::join).
    fn new(turn: u64, token: usize) -> Queue {
        let (first, others) = ((turn, token), BTreeMap::new());
        Queue { first, others, kinds: Default::default(), until_gone: 0, ready: Cell::new(false) }
    }

    /// Lets a client with the newest turn wait here, unless it does already: a key that is named twice is waited for once.
    fn join(&mut self, turn: u64, token: usize, waiter: &Waiter) {
        let nobody = self.kinds.iter().all(|&count| count == 0);
        if nobody || (self.first.0 != turn && self.others.insert(turn, token).is_none()) {
            self.kinds[waiter.kind as usize] += 1;
            self.until_gone += usize::from(waiter.until_gone);
        }
    }

    /// Lets the client with a turn go, if it is here. Returns whether anybody still is.
    fn leave(&mut self, turn: u64, waiter: &Waiter) -> bool {
        let is_first = self.first.0 == turn;
        if !is_first && self.others.remove(&turn).is_none() {
            return true;
        }
        self.kinds[waiter.kind as usize] -= 1;
        self.until_gone -= usize::from(waiter.until_gone);
        if is_first {
            let Some(next) = self.others.pop_first() else { return false };
            self.first = next;
        }
        true
    }

    /// Whether somebody waits for what the key is now: a value of a type, or none.
    fn wants(&self, kind: Option<Type>) -> bool {
        self.until_gone > 0 || kind.is_some_and(|kind| self.kinds[kind as usize] > 0)
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

/// A key that somebody waits for and that has changed.
pub struct Ready {
    pub db: usize,
    pub hash: u64,
    pub key: Rc<[u8]>,
}

/// One of those that wait for a key.
pub struct Next<'a> {
    pub turn: u64,
    pub token: usize,
    pub waiter: &'a Waiter,
    /// Nobody else does.
    pub is_alone: bool,
}

/// All that wait.
pub struct Waiting {
    /// What each waits for and in which turn it came, by its token.
    waiters: Vec<Option<Box<(u64, Waiter)>>>,
    /// How many wait.
    clients: usize,
    /// The queues of the keys of each database, where there have been some.
    queues: Vec<Option<Box<Map<Queue>>>>,
    /// How many of these keys somebody waits for to be gone, too.
    keys_until_gone: usize,
    hasher: KeyHasher,
    /// Deadlines and whose they are.
    deadlines: BTreeSet<(u64, usize)>,
    /// Keys with a queue that have changed, in the order in which they did.
    ready: VecDeque<Ready>,
    /// The next client's turn.
    next_turn: u64,
}

impl Waiting {
    /// Nobody waits. The hashes of keys are those of `hasher`.
    pub fn new(hasher: KeyHasher) -> Waiting {
        Waiting {
            waiters: Vec::new(),
            clients: 0,
            queues: Vec::new(),
            keys_until_gone: 0,
            hasher,
            deadlines: BTreeSet::new(),
            ready: VecDeque::new(),
            next_turn: 0,
        }
    }

    fn queues(&self, db: usize) -> Option<&Map<Queue>> {
        self.queues.get(db)?.as_deref()
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
        self.changed_for(db, key, |_| true);
    }

    /// A key has another value in the place of the one it had: it is ready only if somebody waits for it to be gone.
    #[cold]
    pub fn replaced(&mut self, db: usize, key: &[u8]) {
        self.changed_for(db, key, |queue| queue.until_gone > 0);
    }

    /// A key changed in a way that the queues which are `wanted` wait for.
    fn changed_for(&mut self, db: usize, key: &[u8], wanted: impl FnOnce(&Queue) -> bool) {
        let hash = self.hasher.hash(key);
        let Some((key, queue)) = self.queues.get(db).and_then(|queues| queues.as_ref()?.get(hash, key)) else { return };
        if wanted(queue) && !queue.ready.replace(true) {
            self.ready.push_back(Ready { db, hash, key: Rc::clone(key) });
        }
    }

    /// Every key of a database may have changed.
    pub fn changed_all(&mut self, db: usize) {
        self.changed_all_for(db, |_| true);
    }

    /// Every key of a database is gone.
    pub fn gone_all(&mut self, db: usize) {
        self.changed_all_for(db, |queue| queue.wants(None));
    }

    /// Every key of a database may have changed in a way that the queues which are `wanted` wait for.
    #[cold]
    fn changed_all_for(&mut self, db: usize, wanted: impl Fn(&Queue) -> bool) {
        let Waiting { queues, hasher, ready, .. } = self;
        let Some(queues) = queues.get(db).and_then(Option::as_deref) else { return };
        queues.each(|key, queue| {
            if wanted(queue) && !queue.ready.replace(true) {
                ready.push_back(Ready { db, hash: hasher.hash(key), key: Rc::clone(key) });
            }
        });
    }

    /// Takes the key that became ready first.
    pub fn take_ready(&mut self) -> Option<Ready> {
        self.ready.pop_front()
    }

    /// Who waits for a ready key behind the one with a turn, or first of all; from then on the key can become ready again. Nobody if
    /// nobody waits for what it is now, a value of a type or none.
    pub fn next(&self, ready: &Ready, behind: Option<u64>, kind: Option<Type>) -> Option<Next<'_>> {
        let (_, queue) = self.queues(ready.db)?.get(ready.hash, &ready.key)?;
        if behind.is_none() {
            queue.ready.set(false);
        }
        if !queue.wants(kind) {
            return None;
        }
        let (turn, token) = queue.next(behind)?;
        Some(Next { turn, token, waiter: &self.waiter(token)?.1, is_alone: queue.others.is_empty() })
    }

    /// The turn of the next that comes.
    pub fn next_turn(&self) -> u64 {
        self.next_turn
    }

    /// Lets a client wait, behind all others.
    pub fn add(&mut self, token: usize, waiter: Waiter) {
        let turn = self.next_turn;
        self.next_turn += 1;
        if self.queues.len() <= waiter.db {
            self.queues.resize_with(waiter.db + 1, || None);
        }
        let queues = self.queues[waiter.db].get_or_insert_with(|| Box::new(Map::new(self.hasher.clone())));
        for key in waiter.keys() {
            let (_, queue) = queues.get_or_insert(self.hasher.hash(key), key, || Queue::new(turn, token));
            let was_wanted = queue.wants(None);
            queue.join(turn, token, &waiter);
            self.keys_until_gone += usize::from(queue.wants(None) && !was_wanted);
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
        if let Some(queues) = &mut self.queues[waiter.db] {
            for key in waiter.keys() {
                // A key that was named twice is gone at the second time.
                queues.change(self.hasher.hash(key), key, |queue| {
                    let was_wanted = queue.wants(None);
                    let somebody_stays = queue.leave(turn, &waiter);
                    self.keys_until_gone -= usize::from(was_wanted && !queue.wants(None));
                    somebody_stays
                });
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
        self.queues.iter().flatten().map(|queues| queues.len()).sum()
    }

    /// How many keys are waited for until they are gone.
    pub fn keys_until_gone(&self) -> usize {
        self.keys_until_gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(keys: &[&str], deadline_ms: Option<u64>) -> Waiter {
        let args = KeptArgs::of(keys.iter().map(|key| key.as_bytes()));
        Waiter { db: 0, args, keys: 0..keys.len(), kind: Type::List, until_gone: false, deadline_ms }
    }

    fn nobody() -> Waiting {
        Waiting::new(KeyHasher::new(5))
    }

    fn ready(waiting: &Waiting, key: &str) -> Ready {
        Ready { db: 0, hash: waiting.hasher.hash(key.as_bytes()), key: key.as_bytes().into() }
    }

    fn queue(waiting: &Waiting, key: &str) -> Vec<usize> {
        let mut behind = None;
        std::iter::from_fn(|| {
            let next = waiting.next(&ready(waiting, key), behind, Some(Type::List))?;
            behind = Some(next.turn);
            Some(next.token)
        })
        .collect()
    }

    #[test]
    fn first_come_first_served_and_who_leaves_is_forgotten() {
        let mut waiting = nobody();
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
    fn keys_waited_for_until_gone_are_counted_once_each() {
        let mut waiting = nobody();
        let mut counts = vec![];
        for (token, keys) in [(1, &["a", "b", "a"][..]), (2, &["b", "c"]), (3, &["a", "d"])] {
            waiting.add(token, Waiter { until_gone: token != 3, ..waiter(keys, None) });
            counts.push(waiting.keys_until_gone());
        }
        for token in [1, 3, 2] {
            waiting.remove(token);
            counts.push(waiting.keys_until_gone());
        }
        assert_eq!(counts, [2, 3, 3, 2, 2, 0]);
    }

    #[test]
    fn deadlines_pass_in_their_order_and_after_their_millisecond() {
        let mut waiting = nobody();
        waiting.add(1, waiter(&["a"], Some(50)));
        waiting.add(2, waiter(&["a"], Some(20)));
        assert_eq!((waiting.next_deadline(), waiting.overdue(20), waiting.overdue(21)), (Some(20), None, Some(2)));
        waiting.remove(2);
        assert_eq!((waiting.overdue(50), waiting.overdue(51)), (None, Some(1)));
    }

    #[test]
    fn only_keys_with_a_queue_become_ready_and_once_until_they_are_looked_at() {
        let mut waiting = nobody();
        waiting.add(1, waiter(&["a", "b"], None));
        for key in ["x", "b", "a", "b"] {
            waiting.changed(0, key.as_bytes());
            waiting.changed(1, key.as_bytes());
        }
        let mut taken = || waiting.take_ready().map(|ready| (ready.db, ready.key.to_vec()));
        assert_eq!([taken(), taken(), taken()], [Some((0, b"b".to_vec())), Some((0, b"a".to_vec())), None]);
        assert!(!waiting.has_ready());
        waiting.changed(0, b"a");
        assert!(!waiting.has_ready(), "it has not been looked at");
        let [a, x] = ["a", "x"].map(|key| ready(&waiting, key));
        assert!(waiting.next(&x, None, Some(Type::List)).is_none());
        for unwanted in [None, Some(Type::Hash)] {
            assert!(waiting.next(&a, None, unwanted).is_none(), "nobody waits for {unwanted:?}");
        }
        waiting.replaced(0, b"a");
        assert!(waiting.take_ready().is_none(), "nobody waits for that either");
        waiting.changed(0, b"a");
        assert!(waiting.take_ready().is_some());
        assert!(waiting.next(&a, None, Some(Type::List)).is_some_and(|next| next.token == 1 && next.is_alone));
        waiting.changed_all(0);
        assert!(waiting.take_ready().is_some() && waiting.take_ready().is_none(), "b is still listed");
    }
}
