//! A snapshot: every key as it was at one instant, told while the keys go on changing.
//!
//! Every entry carries a mark, one bit. When a snapshot begins, the meaning of the marks is turned round, so that no entry
//! of the database has the right one, and all that enter from then on do. The snapshot walks the table in hash order, a
//! slice at a time, tells the [`Recorder`] each entry without the right mark, and gives it one. An entry that is about to
//! change before its turn is told first. So each key is told once, as it was in the beginning; that tables split, shrink
//! and exchange places meanwhile does not matter.
//!
//! A large value is told in parts, from its turn on or from when it is about to change, whichever comes first. Its mark is right
//! from then on, and it takes notes of its changes by itself ([`crate::types::telling`]) until it has been told. When it is
//! removed or replaced meanwhile, it is kept that long. One such value is told after the other, before the walk goes on.
//!
//! Databases that are flushed meanwhile are kept until they have been told. Links between tags are told before the keys, in slices
//! as well, and their graph takes notes of its changes ([`super::tags`]). A snapshot that is given up leaves marks of both kinds,
//! and the walk goes on without telling anybody.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::rc::Weak;

use super::Keyspace;
use super::entry::{EntryMut, EntryRef, Object, Type};
use super::namespace::Namespace;
use super::tags::Tags;
use crate::types::telling::Piece;

/// Values with more items than this are told in parts.
pub const WHOLE_MAX: usize = 256;
/// Items of a large value that are told at once.
const PART: usize = 256;

/// Who is told.
pub trait Recorder {
    /// The tags of the key that is told next; none if it has no tags any more.
    fn record_tags(&mut self, tags: &mut dyn Iterator<Item = &[u8]>);

    /// A link between two tags of a database, from parent to child. It does not come while a key is being told in parts.
    fn record_link(&mut self, db: usize, parent: &[u8], child: &[u8]);

    /// A whole key of a database. It may come while another is being told in parts.
    fn record(&mut self, db: usize, entry: EntryRef<'_>);

    /// A key with a large value, which follows in pieces. Other keys may come between them, but no other large one.
    fn record_large(&mut self, head: &Head);

    /// A piece of that value.
    fn record_piece(&mut self, piece: Piece<'_>);

    /// The value is complete.
    fn record_large_end(&mut self);

    /// There are no more keys.
    fn record_end(&mut self);

    /// How many bytes have been made of all that and are still here.
    fn recorded(&self) -> usize;

    /// Hands over the first of those bytes.
    fn take_recorded(&mut self) -> Vec<u8>;

    /// A buffer that was handed over comes back, to be used again. If another thread freed it, the reactor might have to wait
    /// for the allocator's lock, and for as long as that thread waits for a processor.
    fn reuse(&mut self, buffer: Vec<u8>);
}

/// A key with a large value, without the value.
pub struct Head {
    /// The database's number when the snapshot began.
    pub db: usize,
    pub key: Box<[u8]>,
    pub tags: Vec<Box<[u8]>>,
    pub kind: Type,
    pub deadline: Option<u64>,
    pub access: u32,
    /// How many members, fields or nodes there are.
    pub count: usize,
    /// The earliest deadline of a field.
    pub earliest: Option<u64>,
}

/// A large value that is told in parts.
pub(super) struct Large {
    head: Head,
    object: NonNull<Object>,
    /// Good as long as the value is there and being told.
    alive: Weak<()>,
    /// Whether the recorder knows of it.
    begun: bool,
}

impl Large {
    /// Begins to tell the value of an entry, if it can be told in parts.
    pub fn begin(db: usize, tags: Option<&Tags>, entry: &mut EntryMut<'_>) -> Option<Large> {
        let view = entry.as_ref();
        let count = match view.object()? {
            Object::Blob(_) | Object::Compact(_) => return None,
            Object::Set(members) => members.len(),
            Object::List(list) => list.nodes(),
            Object::Hash(fields) => fields.len(),
            Object::Zset(tree) => tree.len(),
            Object::Stream(stream) => stream.log.node_count(),
        };
        let names = tags.map(|tags| view.tags().iter().map(|pair| tags.name(pair.tag()).into()).collect());
        let head = Head {
            db,
            key: view.key().into(),
            tags: names.unwrap_or_default(),
            kind: view.kind(),
            deadline: view.deadline(),
            access: view.access(),
            count,
            earliest: view.earliest_field(),
        };
        let alive = entry.object_mut()?.begin_telling()?;
        Some(Large { head, object: entry.object_ptr()?, alive, begun: false })
    }

    /// The value, which may belong to another key by now, or to none.
    ///
    /// # Panics
    /// If it has been freed, which must not happen while it is being told.
    fn object(&mut self) -> &mut Object {
        assert!(self.alive.strong_count() > 0, "a value that is being told is kept");
        // SAFETY: the object has not been freed, for what the handle belongs to is still in it. Whoever holds it, an entry or
        // a `Removed`, has its address and no reference or box, and is a part of the keyspace, which is borrowed exclusively by
        // who holds this.
        unsafe { self.object.as_mut() }
    }

    /// Tells the next part. Returns whether that was the last.
    pub fn tell(&mut self, recorder: &mut dyn Recorder) -> bool {
        if !std::mem::replace(&mut self.begun, true) {
            recorder.record_large(&self.head);
        }
        let over = self.object().tell(PART, &mut |piece| recorder.record_piece(piece));
        if over {
            recorder.record_large_end();
            self.end();
        }
        over
    }

    /// It is not to be told any more.
    pub fn end(&mut self) {
        self.object().end_telling();
    }
}

/// A snapshot that is being told.
pub(super) struct Snapshot {
    pub recorder: Box<dyn Recorder>,
    /// Large values, of which the first is told first.
    pub large: VecDeque<Large>,
    /// Keys that were told because they were about to change, and that nobody has counted yet.
    pub ahead: u64,
}

/// How far a database has been told.
pub(super) struct Walk {
    /// The database's number when the snapshot began.
    pub db: usize,
    /// Whether somebody is told.
    pub recording: bool,
    /// Where the table's walk goes on.
    pub cursor: u64,
}

impl Keyspace {
    /// Whether a snapshot that was given up has left marks, which [`Keyspace::walk_slice`] tidies up.
    pub fn has_stale_marks(&self) -> bool {
        self.snapshot.is_none() && self.databases.iter().flatten().any(|database| database.walked_as().is_some())
    }

    /// Begins a snapshot of all databases as they are now, which `recorder` is told of. What is left of stale marks is tidied up
    /// before, in one piece.
    ///
    /// # Panics
    /// If there is one already.
    pub fn begin_snapshot(&mut self, recorder: Box<dyn Recorder>) {
        assert!(self.snapshot.is_none(), "one snapshot at a time");
        while self.walk_slice(usize::MAX).1 {}
        for (db, database) in self.databases.iter_mut().enumerate() {
            if let Some(database) = database {
                database.begin_walk(db);
            }
        }
        self.unwalked = 0;
        self.snapshot = Some(Snapshot { recorder, large: VecDeque::new(), ahead: 0 });
    }

    /// Goes on with a snapshot, or tidies up behind one that was given up: about `count` keys or links of tags, or a part of a
    /// large value. Returns how many keys were told, and whether there are more.
    pub fn walk_slice(&mut self, count: usize) -> (u64, bool) {
        if let Some(Snapshot { recorder, large, .. }) = &mut self.snapshot
            && let Some(first) = large.front_mut()
        {
            let over = first.tell(recorder.as_mut());
            if over {
                large.pop_front();
                self.free_told();
            }
            return (u64::from(over), true);
        }
        let Some(number) = self.next_walk() else { return (0, false) };
        let is_it = |database: &&mut Box<Namespace>| database.walked_as() == Some(number);
        let database = match self.databases.get_mut(number).and_then(Option::as_mut).filter(is_it) {
            Some(database) => database,
            None => {
                let mut all = self.databases.iter_mut().flatten().chain(&mut self.doomed);
                all.find(is_it).expect("the one that has the number")
            }
        };
        let ahead = self.snapshot.as_mut().map_or(0, |snapshot| std::mem::take(&mut snapshot.ahead));
        (ahead + database.walk_slice(count, self.snapshot.as_mut()), true)
    }

    /// The number of the next database that a snapshot has not been told of, or not all of it. The order matters, because one
    /// large value is told after the other.
    fn next_walk(&mut self) -> Option<usize> {
        let next = if self.walks_moved {
            let unfinished = self.databases.iter().flatten().chain(&self.doomed);
            unfinished.filter_map(|one| one.walked_as()).min()
        } else {
            let slots = self.unwalked..self.databases.len();
            slots.into_iter().find(|&slot| self.database(slot).is_some_and(|one| one.walked_as().is_some()))
        };
        self.unwalked = next.unwrap_or(usize::MAX);
        self.walks_moved &= next.is_some();
        next
    }

    /// Who is told of the running snapshot.
    pub fn recorder(&mut self) -> Option<&mut (dyn Recorder + 'static)> {
        self.snapshot.as_mut().map(|snapshot| &mut *snapshot.recorder)
    }

    /// Ends a snapshot, whether or not all has been told.
    pub fn end_snapshot(&mut self) {
        if let Some(snapshot) = self.snapshot.take() {
            snapshot.large.into_iter().for_each(|mut large| large.end());
            self.free_told();
        }
        self.databases.iter_mut().flatten().for_each(|database| database.mute_walk());
        self.doomed.iter_mut().for_each(|database| database.forget_walk());
    }
}
