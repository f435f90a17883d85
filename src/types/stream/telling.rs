//! Telling what is in a stream: its nodes, the numbers about them, and its groups.
//!
//! Nodes note for themselves what changes ([`super::nodes`]), and groups what was pending. Numbers and names are taken down in
//! the beginning; groups and consumers are few beside entries. A group that is destroyed meanwhile is kept until it has been
//! told.

use std::collections::{BTreeMap, VecDeque};
use std::iter::Peekable;
use std::rc::{Rc, Weak};

use super::group::Notes;
use super::{ConsumerKey, Counters, Group, Id, Pending, Stream};
use crate::types::telling::{NODE_ITEMS, Piece};

/// How far a stream has been told.
pub struct Telling {
    len: u64,
    first_id: Id,
    counters: Counters,
    /// All nodes have been told, and the numbers.
    past_nodes: bool,
    groups: VecDeque<GroupHead>,
    /// Where the first of these groups goes on.
    stage: Stage,
    /// Groups that have been destroyed.
    destroyed: BTreeMap<Box<[u8]>, Box<Group>>,
}

/// What there was of a group beside what was pending.
struct GroupHead {
    name: Box<[u8]>,
    last_id: Id,
    entries_read: Option<i64>,
    pending: usize,
    consumers: Vec<ConsumerHead>,
}

struct ConsumerHead {
    key: ConsumerKey,
    name: Rc<[u8]>,
    seen_ms: i64,
    active_ms: Option<i64>,
    pending: usize,
}

#[derive(Clone, Copy)]
enum Stage {
    Head,
    /// Pending entries from an ID on.
    Pending(Id),
    Consumer(usize),
    /// What is pending with a consumer from an ID on.
    Held(usize, Id),
    /// What is left is to be freed.
    Over,
}

impl GroupHead {
    fn new(name: &[u8], group: &Group) -> GroupHead {
        let consumer = |(name, key)| {
            let consumer = group.consumer(key);
            ConsumerHead {
                key,
                name: Rc::clone(name),
                seen_ms: consumer.seen_ms,
                active_ms: consumer.active_ms,
                pending: consumer.pending_len(),
            }
        };
        GroupHead {
            name: name.into(),
            last_id: group.last_id,
            entries_read: group.entries_read,
            pending: group.pending_len(),
            consumers: group.names().map(consumer).collect(),
        }
    }
}

impl Stream {
    /// Begins to tell what is in it; see [`crate::types::telling`].
    pub fn begin_telling(&mut self) -> Weak<()> {
        self.log.nodes_mut().begin_telling();
        self.groups.values_mut().for_each(|group| group.begin_notes());
        self.telling.begin(Telling {
            len: self.log.len(),
            first_id: self.log.first_id(),
            counters: self.log.counters(),
            past_nodes: false,
            groups: self.groups.iter().map(|(name, group)| GroupHead::new(name, group)).collect(),
            stage: Stage::Head,
            destroyed: BTreeMap::new(),
        })
    }

    /// Whether it is being told.
    pub fn is_being_told(&self) -> bool {
        self.telling.is_on()
    }

    /// Ends that.
    pub fn end_telling(&mut self) {
        self.log.nodes_mut().end_telling();
        self.groups.values_mut().for_each(|group| group.end_notes());
        self.telling.end();
    }

    /// Takes a group out. Returns whether there was one, and the group if it is to be freed.
    pub fn destroy_group(&mut self, name: &[u8]) -> (bool, Option<Box<Group>>) {
        let Some((name, group)) = self.groups.remove_entry(name) else { return (false, None) };
        match self.telling.get_mut().filter(|_| group.notes().is_some()) {
            Some(telling) => {
                telling.destroyed.insert(name, group);
                (true, None)
            }
            None => (true, Some(group)),
        }
    }

    /// Tells all that is in it now.
    pub fn each(&self, tell: &mut dyn FnMut(Piece<'_>)) {
        self.log.nodes().for_each(|(id, bytes)| tell(Piece::Entries(id, bytes)));
        let (len, first_id, counters) = (self.log.len(), self.log.first_id(), self.log.counters());
        tell(Piece::Counters { len, first_id, counters, groups: self.groups.len() });
        for (name, group) in &self.groups {
            let (head, mut stage) = (GroupHead::new(name, group), Stage::Head);
            while !matches!(stage, Stage::Over) {
                stage = head.tell(group, &Notes::new(), stage, usize::MAX, tell);
            }
        }
    }

    /// Tells about `count` entries, pending or not. Returns whether all has been told.
    pub fn tell(&mut self, count: usize, tell: &mut dyn FnMut(Piece<'_>)) -> bool {
        let Some(telling) = self.telling.get_mut() else { return true };
        if !telling.past_nodes {
            let told =
                self.log.nodes_mut().tell(count.div_ceil(NODE_ITEMS), |id, bytes| tell(Piece::Entries(id, bytes)));
            if told {
                telling.past_nodes = true;
                let Telling { len, first_id, counters, .. } = *telling;
                tell(Piece::Counters { len, first_id, counters, groups: telling.groups.len() });
            }
            return told && telling.groups.is_empty();
        }
        let Some(head) = telling.groups.front() else { return true };
        let group = telling.destroyed.get_mut(&head.name).or_else(|| self.groups.get_mut(&head.name));
        let group = group.expect("a group is kept until it has been told");
        if let Some(notes) = group.notes() {
            telling.stage = head.tell(group, notes, telling.stage, count, tell);
        }
        if matches!(telling.stage, Stage::Over) {
            group.end_notes();
            let left = telling.destroyed.get_mut(&head.name).is_some_and(|group| group.free_slice());
            if !left {
                telling.destroyed.remove(&head.name);
                telling.groups.pop_front();
                telling.stage = Stage::Head;
            }
        }
        telling.groups.is_empty()
    }
}

impl GroupHead {
    /// Tells about `count` entries that were pending, or what comes between. Returns the stage that follows.
    fn tell(&self, group: &Group, notes: &Notes, stage: Stage, count: usize, tell: &mut dyn FnMut(Piece<'_>)) -> Stage {
        match stage {
            Stage::Head => {
                let GroupHead { ref name, last_id, entries_read, pending, .. } = *self;
                tell(Piece::Group { name, last_id, entries_read, pending });
                Stage::Pending(Id::MIN)
            }
            Stage::Pending(from) => {
                let there = group.pending_from(from).map(|(id, pending)| (id, *pending));
                let noted = notes.range(from..).map(|(&id, was)| (id, *was));
                let mut was = Was { there: there.peekable(), noted: noted.peekable() };
                for (id, pending) in was.by_ref().take(count) {
                    pending.into_iter().for_each(|pending| tell(Piece::Pending(id, pending)));
                }
                match was.next() {
                    Some((id, _)) => Stage::Pending(id),
                    None => {
                        tell(Piece::Consumers(self.consumers.len()));
                        self.consumer(0)
                    }
                }
            }
            Stage::Consumer(at) => {
                let ConsumerHead { ref name, seen_ms, active_ms, pending, .. } = self.consumers[at];
                tell(Piece::Consumer { name, seen_ms, active_ms, pending });
                Stage::Held(at, Id::MIN)
            }
            Stage::Held(at, from) => {
                let key = self.consumers[at].key;
                let there = group.held_from(key, from).map(|(id, pending)| (id, *pending));
                let noted = notes.range(from..).map(|(&id, was)| (id, was.filter(|was| was.consumer == key)));
                let mut was = Was { there: there.peekable(), noted: noted.peekable() };
                for (id, pending) in was.by_ref().take(count) {
                    pending.into_iter().for_each(|pending| tell(Piece::Held(id, pending)));
                }
                was.next().map_or_else(|| self.consumer(at + 1), |(id, _)| Stage::Held(at, id))
            }
            Stage::Over => Stage::Over,
        }
    }

    fn consumer(&self, at: usize) -> Stage {
        if at < self.consumers.len() { Stage::Consumer(at) } else { Stage::Over }
    }
}

/// What was pending, in the order of the IDs: what is, but for what was noted.
struct Was<T: Iterator, N: Iterator> {
    there: Peekable<T>,
    noted: Peekable<N>,
}

impl<T: Iterator<Item = (Id, Pending)>, N: Iterator<Item = (Id, Option<Pending>)>> Iterator for Was<T, N> {
    type Item = (Id, Option<Pending>);

    fn next(&mut self) -> Option<(Id, Option<Pending>)> {
        match (self.there.peek(), self.noted.peek()) {
            (Some(&(there, _)), Some(&(noted, _))) if noted <= there => {
                if noted == there {
                    self.there.next();
                }
                self.noted.next()
            }
            (None, Some(_)) => self.noted.next(),
            _ => self.there.next().map(|(id, pending)| (id, Some(pending))),
        }
    }
}
