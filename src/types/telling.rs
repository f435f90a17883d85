//! Telling what is in a large collection while it changes.
//!
//! A snapshot has a large collection told in parts, and between two parts the collection may change. So while it is being
//! told it takes notes: before an element changes that has not been told yet, it is noted as it was, or that it was not
//! there. What was noted is told as it was, when its turn comes or in the end. So what is told is what there was in the
//! beginning, and a change costs what it changes, however large the collection is.
//!
//! Members and fields are noted one by one, lists and streams by their nodes. A copy of a collection is not being told.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::{Rc, Weak};

use super::stream::{Counters, Id, Pending};
use super::table;

/// Nodes of lists and streams are large: so many items are one.
pub const NODE_ITEMS: usize = 16;

/// A part of a collection that is told.
pub enum Piece<'a> {
    /// Of a set.
    Member(&'a [u8]),
    /// Of a sorted set.
    Scored(&'a [u8], f64),
    /// Of a hash.
    Field { name: &'a [u8], value: &'a [u8], deadline: Option<u64> },
    /// Of a list, in their order: a listpack, or an element by itself.
    Node { bytes: Cow<'a, [u8]>, plain: bool },
    /// A node of a stream, in their order.
    Entries(Id, &'a [u8]),
    /// What follows the nodes of a stream; so many groups come next.
    Counters { len: u64, first_id: Id, counters: Counters, groups: usize },
    /// A group of a stream; so many pending entries come next, and then consumers.
    Group { name: &'a [u8], last_id: Id, entries_read: Option<i64>, pending: usize },
    /// A pending entry of a group.
    Pending(Id, Pending),
    /// How many consumers come next.
    Consumers(usize),
    /// A consumer; so many entries that are pending with it come next.
    Consumer { name: &'a [u8], seen_ms: i64, active_ms: Option<i64>, pending: usize },
    /// An entry that is pending with a consumer.
    Held(Id, Pending),
}

/// Where a collection keeps what belongs to its being told, while it is.
pub struct Slot<T>(Option<Box<(Rc<()>, T)>>);

impl<T> Slot<T> {
    /// Begins the telling. The handle is good until it is over, or the collection gone.
    pub fn begin(&mut self, telling: T) -> Weak<()> {
        let alive = Rc::new(());
        let handle = Rc::downgrade(&alive);
        self.0 = Some(Box::new((alive, telling)));
        handle
    }

    /// Whether the collection is being told.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.0.as_ref().map(|inner| &inner.1)
    }

    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut().map(|inner| &mut inner.1)
    }

    /// Ends it.
    pub fn end(&mut self) {
        self.0 = None;
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Slot<T> {
        Slot(None)
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Slot<T> {
        Slot(None)
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "telling" } else { "silent" })
    }
}

/// A collection that keeps everything that belongs to its being told in a slot.
pub trait Told {
    type Telling;

    /// A telling that begins with the collection as it is.
    fn new_telling(&self) -> Self::Telling;

    fn slot(&self) -> &Slot<Self::Telling>;

    fn slot_mut(&mut self) -> &mut Slot<Self::Telling>;

    /// Begins to tell what is in it. The handle is good until that is over, or the collection gone.
    fn begin_telling(&mut self) -> Weak<()> {
        let telling = self.new_telling();
        self.slot_mut().begin(telling)
    }

    /// Whether it is being told.
    fn is_being_told(&self) -> bool {
        self.slot().is_on()
    }

    /// Ends that.
    fn end_telling(&mut self) {
        self.slot_mut().end();
    }
}

/// The telling of a table: in hash order, and what was noted and has left its place in the end.
pub struct ByHash<S> {
    /// Where the table's scan goes on; `None` behind its end.
    pub cursor: Option<u64>,
    notes: BTreeMap<Box<[u8]>, Option<S>>,
}

/// What is to be told of an element of the table.
pub enum Met<S> {
    /// Nothing.
    Skip,
    /// The element as it is.
    Unchanged,
    /// The element as it was.
    Was(S),
}

impl<S> Default for ByHash<S> {
    /// At the start of the table.
    fn default() -> ByHash<S> {
        ByHash { cursor: Some(0), notes: BTreeMap::new() }
    }
}

impl<S> ByHash<S> {
    /// Notes what an element was, unless it has been told or noted.
    #[cold]
    pub fn note(&mut self, hash: u64, name: &[u8], was: impl FnOnce() -> Option<S>) {
        let to_come = self.cursor.is_some_and(|cursor| table::cursor_of(hash) >= cursor);
        if to_come && !self.notes.contains_key(name) {
            self.notes.insert(name.into(), was());
        }
    }

    /// The scan, which went on from `cursor`, meets an element. It meets some that come before again when the table has grown
    /// or shrunk.
    pub fn meet(&mut self, cursor: u64, hash: u64, name: &[u8]) -> Met<S> {
        if table::cursor_of(hash) < cursor {
            return Met::Skip;
        }
        match self.notes.remove(name) {
            None => Met::Unchanged,
            Some(None) => Met::Skip,
            Some(Some(was)) => Met::Was(was),
        }
    }

    /// Behind the scan: tells what was there under so many of the names that are left. Returns whether that is all.
    pub fn tell_rest(&mut self, count: usize, tell: impl FnMut(&[u8], S)) -> bool {
        tell_rest(&mut self.notes, count, tell)
    }
}

/// Tells what was there of so many notes. Returns whether none is left.
pub fn tell_rest<S>(notes: &mut BTreeMap<Box<[u8]>, Option<S>>, count: usize, mut tell: impl FnMut(&[u8], S)) -> bool {
    for _ in 0..count {
        match notes.pop_first() {
            None => return true,
            Some((name, Some(was))) => tell(&name, was),
            Some((_, None)) => {}
        }
    }
    notes.is_empty()
}
