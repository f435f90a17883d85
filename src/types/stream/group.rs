//! A consumer group of a stream: how far it has read, and what its consumers have been given and not acknowledged.
//!
//! An entry that is *pending* is known to the group by its ID, with its consumer and the history of its deliveries, and to
//! its consumer by its ID alone, so that both can be read in order.

use std::collections::BTreeMap;
use std::rc::Rc;

use slab::Slab;

use super::by_id::ById;
use super::id::Id;
use super::log::{Log, Malformed};
use super::tree_bytes;
use crate::memory::size_class;
use crate::types::telling::Slot;

/// Pending entries that are freed in one slice.
const FREED_AT_ONCE: usize = 512;

/// A consumer within its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConsumerKey(usize);

/// While a pending entry from outside has no consumer yet.
const NOBODY: ConsumerKey = ConsumerKey(usize::MAX);

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pending {
    /// When it was delivered last, in Unix milliseconds.
    pub delivered_ms: i64,
    /// How often it was delivered.
    pub deliveries: u64,
    /// To whom it was delivered last.
    pub consumer: ConsumerKey,
}

/// A reader in a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    name: Rc<[u8]>,
    /// When it was last heard of, in Unix milliseconds.
    pub seen_ms: i64,
    /// When it was last given something, in Unix milliseconds.
    pub active_ms: Option<i64>,
    pending: ById<()>,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many entries it has been given and not acknowledged.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The IDs of those from one on.
    pub fn pending_from(&self, from: Id) -> impl Iterator<Item = Id> {
        self.pending.from(from).map(|entry| entry.0)
    }
}

/// A consumer group.
#[derive(Clone, Debug)]
pub struct Group {
    /// The greatest ID that was delivered.
    pub last_id: Id,
    /// How many of the entries that there have been the group has read, if that is known.
    pub entries_read: Option<i64>,
    pending: ById<Pending>,
    consumers: Slab<Consumer>,
    names: BTreeMap<Rc<[u8]>, ConsumerKey>,
    /// What was pending under the IDs that have changed since the telling of the stream began; see [`crate::types::telling`].
    notes: Slot<Notes>,
}

/// What was pending under IDs, if anything was.
pub type Notes = BTreeMap<Id, Option<Pending>>;

impl Group {
    /// A group without consumers.
    pub fn new(last_id: Id, entries_read: Option<i64>) -> Group {
        Group {
            last_id,
            entries_read,
            pending: ById::new(),
            consumers: Slab::new(),
            names: BTreeMap::new(),
            notes: Slot::default(),
        }
    }

    /// How many entries are pending.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The pending entries from an ID on.
    pub fn pending_from(&self, from: Id) -> impl DoubleEndedIterator<Item = (Id, &Pending)> {
        self.pending.from(from).map(|(id, pending)| (*id, pending))
    }

    /// A pending entry.
    pub fn pending(&self, id: Id) -> Option<&Pending> {
        self.pending.get(id)
    }

    /// How many consumers there are.
    pub fn consumers_len(&self) -> usize {
        self.names.len()
    }

    /// The consumers, in the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.names.values().map(|&key| self.consumer(key))
    }

    /// The consumer with a name.
    pub fn find(&self, name: &[u8]) -> Option<ConsumerKey> {
        self.names.get(name).copied()
    }

    /// A consumer.
    ///
    /// # Panics
    /// If it has been removed.
    pub fn consumer(&self, key: ConsumerKey) -> &Consumer {
        &self.consumers[key.0]
    }

    /// A consumer, to be changed.
    ///
    /// # Panics
    /// If it has been removed.
    pub fn consumer_mut(&mut self, key: ConsumerKey) -> &mut Consumer {
        &mut self.consumers[key.0]
    }

    /// The consumer with a name, seen now, and whether it had to be added.
    pub fn consumer_named(&mut self, name: &[u8], now_ms: i64) -> (ConsumerKey, bool) {
        if let Some(key) = self.find(name) {
            self.consumer_mut(key).seen_ms = now_ms;
            return (key, false);
        }
        (self.insert_consumer(name, now_ms), true)
    }

    /// Adds a consumer. `None` if there is one with this name.
    pub fn add_consumer(&mut self, name: &[u8], seen_ms: i64) -> Option<ConsumerKey> {
        self.find(name).is_none().then(|| self.insert_consumer(name, seen_ms))
    }

    fn insert_consumer(&mut self, name: &[u8], seen_ms: i64) -> ConsumerKey {
        let name: Rc<[u8]> = name.into();
        let consumer = Consumer { name: Rc::clone(&name), seen_ms, active_ms: None, pending: ById::new() };
        let key = ConsumerKey(self.consumers.insert(consumer));
        self.names.insert(name, key);
        key
    }

    /// Removes a consumer with what it has pending. Returns how many entries that were; `None` if there is none.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let key = self.names.remove(name)?;
        let consumer = self.consumers.remove(key.0);
        for &(id, ()) in consumer.pending.from(Id::MIN) {
            self.note(id);
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    /// What is pending under an ID is about to change.
    #[inline]
    fn note(&mut self, id: Id) {
        if let Some(notes) = self.notes.get_mut() {
            notes.entry(id).or_insert_with(|| self.pending.get(id).copied());
        }
    }

    /// Begins to take notes.
    pub fn begin_notes(&mut self) {
        self.notes.begin(BTreeMap::new());
    }

    /// What was noted.
    pub fn notes(&self) -> Option<&Notes> {
        self.notes.get()
    }

    /// Ends that.
    pub fn end_notes(&mut self) {
        self.notes.end();
    }

    /// The consumers' names, in their order, and keys.
    pub fn names(&self) -> impl Iterator<Item = (&Rc<[u8]>, ConsumerKey)> {
        self.names.iter().map(|(name, &key)| (name, key))
    }

    /// The entries from an ID on that are pending with a consumer, if there is such a consumer.
    pub fn held_from(&self, key: ConsumerKey, from: Id) -> impl Iterator<Item = (Id, &Pending)> {
        let held = self.consumers.get(key.0).into_iter().flat_map(move |consumer| consumer.pending_from(from));
        held.filter_map(|id| Some((id, self.pending.get(id)?)))
    }

    /// The group has read an entry of a stream for the first time.
    pub fn advance(&mut self, log: &Log, id: Id) {
        self.entries_read = match self.entries_read {
            Some(read) if !log.has_gap_from(id) => Some(read.wrapping_add(1)),
            read if log.counters().entries_added == 0 => read,
            _ => log.entries_until(id),
        };
        self.last_id = id;
    }

    /// How many entries of a stream the group has not read yet, if that can be told.
    pub fn lag(&self, log: &Log) -> Option<i64> {
        let added = log.counters().entries_added as i64;
        let read = match self.entries_read {
            _ if added == 0 => return Some(0),
            Some(read) if !log.has_gap_from(self.last_id) => read,
            _ => log.entries_until(self.last_id)?,
        };
        Some(added.wrapping_sub(read))
    }

    /// Delivers an entry to a consumer as if for the first time, whoever had it.
    pub fn deliver(&mut self, id: Id, consumer: ConsumerKey, now_ms: i64) -> Pending {
        let pending = Pending { delivered_ms: now_ms, deliveries: 1, consumer };
        self.assign(id, pending);
        self.consumer_mut(consumer).active_ms = Some(now_ms);
        pending
    }

    /// Makes an entry pending like this, whether it was or not.
    pub fn assign(&mut self, id: Id, pending: Pending) {
        self.note(id);
        let before = self.pending.insert(id, pending).map(|before| before.consumer);
        if before == Some(pending.consumer) {
            return;
        }
        if let Some(before) = before {
            self.consumer_mut(before).pending.remove(id);
        }
        self.consumer_mut(pending.consumer).pending.insert(id, ());
    }

    /// A pending entry is delivered to its consumer again.
    pub fn redeliver(&mut self, id: Id, now_ms: i64) {
        self.note(id);
        if let Some(pending) = self.pending.get_mut(id) {
            pending.delivered_ms = now_ms;
            pending.deliveries = pending.deliveries.wrapping_add(1);
        }
    }

    /// An entry is pending no more. Returns whether it was.
    pub fn acknowledge(&mut self, id: Id) -> bool {
        self.note(id);
        let Some(pending) = self.pending.remove(id) else { return false };
        self.consumer_mut(pending.consumer).pending.remove(id);
        true
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        // A name's block counts its owners.
        let name = |consumer: &Consumer| size_class(2 * size_of::<usize>() + consumer.name.len());
        let consumer = |consumer: &Consumer| name(consumer) + consumer.pending.memory_bytes();
        size_class(size_of::<Group>())
            + self.pending.memory_bytes()
            + size_class(self.consumers.capacity() * (size_of::<Consumer>() + size_of::<usize>()))
            + tree_bytes(self.names.len(), size_of::<(Rc<[u8]>, ConsumerKey)>())
            + self.consumers.iter().map(|(_, one)| consumer(one)).sum::<usize>()
    }

    /// Frees some of what is pending, and some consumers. Returns whether there is more.
    pub fn free_slice(&mut self) -> bool {
        let mut left = FREED_AT_ONCE;
        while left > 0 && !self.pending.is_empty() {
            left = left.saturating_sub(self.pending.free_slice());
        }
        left = FREED_AT_ONCE;
        while left > 0 {
            let Some(last) = self.names.last_entry() else { break };
            let key = last.get().0;
            let consumer = &mut self.consumers[key];
            while left > 0 && !consumer.pending.is_empty() {
                left = left.saturating_sub(consumer.pending.free_slice());
            }
            if consumer.pending.is_empty() {
                self.consumers.remove(key);
                last.remove();
                left = left.saturating_sub(1);
            }
        }
        !self.pending.is_empty() || !self.names.is_empty()
    }

    /// Adds a pending entry from outside, which [`Group::claim_restored`] gives to a consumer.
    ///
    /// # Errors
    /// If it is there already.
    pub fn restore_pending(&mut self, id: Id, delivered_ms: i64, deliveries: u64) -> Result<(), Malformed> {
        match self.pending.insert(id, Pending { delivered_ms, deliveries, consumer: NOBODY }) {
            None => Ok(()),
            Some(before) => {
                self.pending.insert(id, before);
                Err(Malformed)
            }
        }
    }

    /// Gives a pending entry from outside to its consumer.
    ///
    /// # Errors
    /// If it is not pending, or has a consumer.
    pub fn claim_restored(&mut self, id: Id, consumer: ConsumerKey) -> Result<(), Malformed> {
        let pending = self.pending.get_mut(id).filter(|pending| pending.consumer == NOBODY).ok_or(Malformed)?;
        pending.consumer = consumer;
        self.consumer_mut(consumer).pending.insert(id, ());
        Ok(())
    }

    /// Ends the adding of pending entries and consumers.
    ///
    /// # Errors
    /// If an entry has no consumer: the group must not be used.
    pub fn complete(&self) -> Result<(), Malformed> {
        let claimed: usize = self.consumers.iter().map(|(_, consumer)| consumer.pending.len()).sum();
        if claimed == self.pending.len() { Ok(()) } else { Err(Malformed) }
    }
}
