//! Large sorted sets: a B-tree with counts over a table of members.
//!
//! ```text
//!   tree        first, count, node | first, count, node | ...        at most 32 children
//!                            |
//!               score, member | score, member | ...                  a leaf: at most 64 entries
//!                        |
//!   member      score (8) | length (1, or 1 + 8) | bytes             one heap block
//!                        ^
//!   table       ... slot ...                                         members by their bytes
//! ```
//!
//! A member's bytes live once, in a block that the table owns and the leaves point to. Entries are in the order of
//! their scores, and of their bytes where scores are equal; a leaf holds the scores itself, so a search reads members
//! only among equals. Every child comes with its first entry and the number of entries below it, which gives ranks.
//! A full leaf that is written at its end (or its beginning) is not halved but continued, so that ascending (or
//! descending) scores fill leaves to the brim. Iteration finds each leaf by its rank, from the root: no leaf knows its
//! neighbours, which would have to be kept right at every split.
//!
//! Measured against a skip list with spans and backward pointers (levels with probability 1/4) over the same members
//! and the same table, a million random scores and members of 11 bytes, on one core of a shared virtual machine; bytes
//! are those of the order alone:
//!
//! ```text
//!                      insert   rank   range of 100   new score   insert ascending   bytes an entry
//!     this tree         0.7 us   1.3 us      2.7 us      2.8 us         0.3 us       25 (17 ascending)
//!     skip list         2.7 us   4.7 us     25.5 us      7.6 us         0.5 us       53
//! ```
//!
//! of which the table takes 0.2 us for an insertion, and the table and the members 44 bytes.
//!
//! Limits: a score is never NaN; 2^64 bytes in a member.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::ptr::NonNull;

use super::hash::KeyHasher;
use super::table::{Item, Position, Step, Table, prefetch};
use super::telling::{self, Piece, Slot, Told};
use super::weight::Weight;
use crate::memory::size_class;

/// Entries of a leaf: 1024 bytes.
const LEAF: usize = 64;
/// Children of an inner node: 1792 bytes.
const FAN: usize = 32;
/// Bytes of a cache line.
const CACHE_LINE: usize = 64;
/// Lengths from here on take eight bytes more.
const LONG: usize = 255;

/// A member: an owned block.
struct Member(NonNull<u8>);

fn layout(len: usize) -> Layout {
    let prefix = if len >= LONG { 17 } else { 9 };
    Layout::from_size_align(prefix + len, 8).expect("a member is a slice, so its length is far below isize::MAX")
}

/// # Safety
/// `block` is a member's and outlives `'a`.
#[inline]
unsafe fn bytes<'a>(block: NonNull<u8>) -> &'a [u8] {
    // SAFETY: the caller's contract; `Member::new` wrote the length, or 255 and the length behind it, then the bytes.
    unsafe {
        let (at, len) = match block.add(8).read() as usize {
            LONG => (17, block.add(9).cast::<u64>().read_unaligned() as usize),
            len => (9, len),
        };
        NonNull::slice_from_raw_parts(block.add(at), len).as_ref()
    }
}

/// # Safety
/// `block` is a live member's.
#[inline]
unsafe fn score(block: NonNull<u8>) -> f64 {
    // SAFETY: the caller's contract; a block starts with the score and is aligned for it.
    unsafe { block.cast::<f64>().read() }
}

impl Member {
    fn new(member: &[u8], score: f64) -> Member {
        let layout = layout(member.len());
        // SAFETY: the layout has room for the score, the length and the bytes, which are written in full.
        unsafe {
            let Some(block) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            block.cast::<f64>().write(score);
            let at = if member.len() < LONG {
                block.add(8).write(member.len() as u8);
                9
            } else {
                block.add(8).write(LONG as u8);
                block.add(9).cast::<u64>().write_unaligned(member.len() as u64);
                17
            };
            block.add(at).copy_from_nonoverlapping(NonNull::from(member).cast(), member.len());
            Member(block)
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // SAFETY: the block is owned, and was allocated with the layout that its length gives.
        unsafe { dealloc(self.0.as_ptr(), layout(bytes(self.0).len())) }
    }
}

// SAFETY: the pointer comes from the allocator (48 significant bits on the supported targets) and is unique to the
// member, whose bytes are never changed.
unsafe impl Item for Member {
    fn into_ptr(self) -> NonNull<u8> {
        let block = self.0;
        std::mem::forget(self);
        block
    }

    unsafe fn from_ptr(block: NonNull<u8>) -> Member {
        Member(block)
    }

    #[inline]
    unsafe fn key<'a>(block: NonNull<u8>) -> &'a [u8] {
        // SAFETY: the caller's contract.
        unsafe { bytes(block) }
    }
}

/// A place in the order: a score, and a pointer to a member that the same set's table owns. Others get it by reference
/// only, so it cannot outlive the set.
pub struct Entry {
    score: f64,
    member: NonNull<u8>,
}

impl Entry {
    /// The score.
    #[inline]
    pub fn score(&self) -> f64 {
        self.score
    }

    /// The member. It lies elsewhere: looking at it may cost a cache miss.
    #[inline]
    pub fn member(&self) -> &[u8] {
        // SAFETY: the entry is borrowed from its set, whose table owns the member.
        unsafe { bytes(self.member) }
    }

    /// Whether it comes before a score and a member.
    #[inline]
    fn is_before(&self, score: f64, member: &[u8]) -> bool {
        self.score < score || self.score == score && self.member() < member
    }

    fn duplicate(&self) -> Entry {
        Entry { score: self.score, member: self.member }
    }
}

/// A subtree. Only a tree without entries has an empty node, its root.
enum Node {
    Leaf(Vec<Entry>),
    Inner(Vec<Child>),
}

/// A subtree with what its parent must know.
struct Child {
    /// A copy of its first entry.
    first: Entry,
    /// How many entries it has.
    count: usize,
    node: Node,
}

impl Child {
    fn new(node: Node) -> Child {
        Child { first: node.first().duplicate(), count: node.count(), node }
    }

    /// Learns about the node after a change.
    fn refresh(&mut self) {
        self.first = self.node.first().duplicate();
        self.count = self.node.count();
    }
}

/// The half (or all, or nothing) of a full node's items that stay when it is split, given where the new one goes.
fn stay(at: usize, full: usize) -> usize {
    if at == full || at == 0 { at } else { full / 2 }
}

/// Puts an item into a node's list. If that is full, what does not stay is returned as another list.
fn insert_item<T>(items: &mut Vec<T>, at: usize, item: T, full: usize) -> Option<Vec<T>> {
    if items.len() < full {
        items.insert(at, item);
        return None;
    }
    let stay = stay(at, full);
    let mut right = items.split_off(stay);
    if stay == 0 || at < stay {
        items.insert(at, item);
    } else {
        right.insert(at - stay, item);
    }
    Some(right)
}

/// Evens out two neighbours' lists, or moves all to the left one if it stays three quarters full at most.
fn level<T>(left: &mut Vec<T>, right: &mut Vec<T>, full: usize) {
    let both = left.len() + right.len();
    let wanted = if both <= full * 3 / 4 { both } else { both / 2 };
    // What grows gets room for a full list at once, and never for more.
    for (items, len) in [(&mut *left, wanted), (&mut *right, both - wanted)] {
        if items.capacity() < len {
            items.reserve_exact(full - items.len());
        }
    }
    if left.len() < wanted {
        let missing = wanted - left.len();
        left.extend(right.drain(..missing));
    } else {
        right.splice(0..0, left.drain(wanted..));
    }
}

impl Node {
    /// Asks for all of a leaf at once: a search in it would wait for one line after the other.
    #[inline]
    fn prefetch_leaf(&self) {
        if let Node::Leaf(entries) = self {
            for line in entries.chunks(CACHE_LINE / size_of::<Entry>()) {
                prefetch(NonNull::from(line).cast());
            }
        }
    }

    /// # Panics
    /// If the node is empty.
    fn first(&self) -> &Entry {
        match self {
            Node::Leaf(entries) => &entries[0],
            Node::Inner(children) => &children[0].first,
        }
    }

    fn count(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Inner(children) => children.iter().map(|child| child.count).sum(),
        }
    }

    fn is_thin(&self) -> bool {
        match self {
            Node::Leaf(entries) => entries.len() < LEAF / 4,
            Node::Inner(children) => children.len() < FAN / 4,
        }
    }

    /// Inserts an entry that is not there. Returns the node's new right neighbour if it was split.
    fn insert(&mut self, entry: Entry) -> Option<Node> {
        match self {
            Node::Leaf(entries) => {
                let at = entries.partition_point(|other| other.is_before(entry.score, entry.member()));
                insert_item(entries, at, entry, LEAF).map(Node::Leaf)
            }
            Node::Inner(children) => {
                let before = children.partition_point(|child| child.first.is_before(entry.score, entry.member()));
                let at = before.saturating_sub(1);
                let child = &mut children[at];
                child.node.prefetch_leaf();
                if before == 0 {
                    child.first = entry.duplicate();
                }
                child.count += 1;
                let sibling = Child::new(child.node.insert(entry)?);
                child.count -= sibling.count;
                insert_item(children, at + 1, sibling, FAN).map(Node::Inner)
            }
        }
    }

    /// Takes the entry of a score and a member out, which must be there, unless `stays` says otherwise, which sees it between
    /// its neighbours if both are in the same leaf. The node may become empty, or thin.
    fn take_unless(&mut self, score: f64, member: &[u8], stays: impl FnOnce(&mut [Entry; 3]) -> bool) -> Option<Entry> {
        match self {
            Node::Leaf(entries) => {
                let at = entries.partition_point(|entry| entry.is_before(score, member));
                let neighbours = at.checked_sub(1).and_then(|start| entries[start..].first_chunk_mut());
                if neighbours.is_some_and(stays) { None } else { Some(entries.remove(at)) }
            }
            Node::Inner(children) => {
                // The last child whose first entry is not behind the one that is looked for.
                let behind = children.partition_point(|child| {
                    child.first.is_before(score, member) || child.first.score == score && child.first.member() == member
                });
                let at = behind - 1;
                let alone = children.len() == 1;
                let child = &mut children[at];
                child.node.prefetch_leaf();
                let entry = child.node.take_unless(score, member, stays)?;
                child.count -= 1;
                if child.count == 0 {
                    children.remove(at);
                } else if child.node.is_thin() && !alone {
                    feed(children, at);
                } else if child.first.member == entry.member {
                    child.first = child.node.first().duplicate();
                }
                Some(entry)
            }
        }
    }

    /// Takes the entry of a rank out, which must be below the count. The node may become empty, or thin.
    fn take(&mut self, mut rank: usize) -> Entry {
        match self {
            Node::Leaf(entries) => entries.remove(rank),
            Node::Inner(children) => {
                let at = position_of(children, &mut rank);
                let alone = children.len() == 1;
                let child = &mut children[at];
                let entry = child.node.take(rank);
                child.count -= 1;
                if child.count == 0 {
                    children.remove(at);
                } else if child.node.is_thin() && !alone {
                    feed(children, at);
                } else if rank == 0 {
                    child.first = child.node.first().duplicate();
                }
                entry
            }
        }
    }
}

/// The child that the entry of a rank is in; the rank is then counted within that child.
#[inline]
fn position_of(children: &[Child], rank: &mut usize) -> usize {
    let mut at = 0;
    while *rank >= children[at].count {
        *rank -= children[at].count;
        at += 1;
    }
    at
}

/// Levels a thin child with a neighbour, of which there is one.
fn feed(children: &mut Vec<Child>, at: usize) {
    let at = at.saturating_sub(1);
    let [left, right] = &mut children[at..at + 2] else { unreachable!("a thin child has a neighbour") };
    let merged = match (&mut left.node, &mut right.node) {
        (Node::Leaf(left), Node::Leaf(right)) => {
            level(left, right, LEAF);
            right.is_empty()
        }
        (Node::Inner(left), Node::Inner(right)) => {
            level(left, right, FAN);
            right.is_empty()
        }
        _ => unreachable!("all leaves have the same depth"),
    };
    left.refresh();
    if merged {
        children.remove(at + 1);
    } else {
        right.refresh();
    }
}

/// Bytes of memory that a list takes, its items' own lists not counted.
fn list_bytes<T>(list: &Vec<T>) -> usize {
    if list.capacity() == 0 { 0 } else { size_class(list.capacity() * size_of::<T>()) }
}

/// How far a sorted set has been told, from its last entry to its first.
#[derive(Default)]
pub struct Telling {
    /// What was told last.
    bound: Option<(f64, Box<[u8]>)>,
    /// The first entry has been told: what is left are notes.
    ended: bool,
    /// The scores that members had, if they had one.
    notes: BTreeMap<Box<[u8]>, Option<f64>>,
}

impl Telling {
    fn is_passed(&self, score: f64, member: &[u8]) -> bool {
        let behind = |(bound, last): &(f64, Box<[u8]>)| score > *bound || score == *bound && member >= &**last;
        self.ended || self.bound.as_ref().is_some_and(behind)
    }

    /// A member is about to get another score, to come or to go.
    #[cold]
    fn note(&mut self, member: &[u8], old: Option<f64>, new: Option<f64>) {
        if self.notes.contains_key(member) {
            return;
        }
        let was = old.filter(|&score| !self.is_passed(score, member));
        // Even one that has been told must not be told again at another place.
        if was.is_some() || new.is_some_and(|score| !self.is_passed(score, member)) {
            self.notes.insert(member.into(), was);
        }
    }
}

/// A sorted set: members with scores, in the order of the scores.
pub struct Ordered {
    root: Node,
    members: Table<Member>,
    hasher: KeyHasher,
    /// Bytes of all members' blocks.
    member_bytes: usize,
    /// Kept for those who count what all values weigh.
    pub weight: Cell<Weight>,
    telling: Slot<Telling>,
}

impl Told for Ordered {
    type Telling = Telling;

    fn new_telling(&self) -> Telling {
        Telling::default()
    }

    fn slot(&self) -> &Slot<Telling> {
        &self.telling
    }

    fn slot_mut(&mut self) -> &mut Slot<Telling> {
        &mut self.telling
    }
}

impl Ordered {
    /// An empty set.
    pub fn new(hasher: KeyHasher) -> Ordered {
        let members = Table::new(hasher.clone());
        Ordered {
            root: Node::Leaf(Vec::new()),
            members,
            hasher,
            member_bytes: 0,
            weight: Cell::default(),
            telling: Slot::default(),
        }
    }

    /// How many members there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// See [`Table::prefetch`].
    #[inline]
    pub fn prefetch(&self, step: Step, hash: u64) {
        self.members.prefetch(step, hash);
    }

    fn find(&self, member: &[u8]) -> Option<(Position, f64)> {
        let position = self.members.find(self.members.hash(member), member)?;
        // SAFETY: the table's items are members.
        Some((position, unsafe { score(self.members.get(position)) }))
    }

    /// A member's score.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(member).map(|(_, score)| score)
    }

    /// How many entries come first, given that `first` holds for all of those and for no other.
    pub fn partition_point(&self, first: impl Fn(&Entry) -> bool) -> usize {
        let mut node = &self.root;
        let mut rank = 0;
        loop {
            match node {
                Node::Leaf(entries) => return rank + entries.partition_point(&first),
                Node::Inner(children) => {
                    let at = children.partition_point(|child| first(&child.first)).saturating_sub(1);
                    node = &children[at].node;
                    node.prefetch_leaf();
                    rank += children[..at].iter().map(|child| child.count).sum::<usize>();
                }
            }
        }
    }

    fn rank_of(&self, score: f64, member: &[u8]) -> usize {
        self.partition_point(|entry| entry.is_before(score, member))
    }

    /// How many entries come before a member's, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        Some((self.rank_of(score, member), score))
    }

    /// The leaf with the entry of a rank, and where it is in there.
    fn leaf(&self, mut rank: usize) -> (&[Entry], usize) {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(entries) => return (entries, rank),
                Node::Inner(children) => node = &children[position_of(children, &mut rank)].node,
            }
        }
    }

    /// The entry of a rank.
    pub fn at(&self, rank: usize) -> Option<&Entry> {
        if rank >= self.len() {
            return None;
        }
        let (leaf, at) = self.leaf(rank);
        Some(&leaf[at])
    }

    /// The entries of a range of ranks, which must be within the set.
    pub fn iter(&self, ranks: Range<usize>) -> Iter<'_> {
        Iter { set: self, ranks, leaf: &[] }
    }

    /// The entries of a range of ranks, which must be within the set, from the last to the first.
    pub fn iter_back(&self, ranks: Range<usize>) -> IterBack<'_> {
        IterBack { set: self, ranks, leaf: &[] }
    }

    /// Gives a member a score, which is not NaN. Returns the score that it had.
    pub fn set(&mut self, member: &[u8], score: f64) -> Option<f64> {
        self.update(member, |_| Some(score))
    }

    /// Gives a member the score, which is not NaN, that `decide` makes of the one that it has; `None` changes nothing.
    /// Returns the score that it had.
    pub fn update(&mut self, member: &[u8], decide: impl FnOnce(Option<f64>) -> Option<f64>) -> Option<f64> {
        let hash = self.members.hash(member);
        let Some(position) = self.members.find(hash, member) else {
            if let Some(score) = decide(None) {
                debug_assert!(!score.is_nan());
                self.note(member, None, Some(score));
                self.member_bytes += size_class(layout(member.len()).size());
                let position = self.members.insert(hash, Member::new(member, score));
                let entry = Entry { score, member: self.members.get(position) };
                self.insert(entry);
            }
            return None;
        };
        let block = self.members.get(position);
        // SAFETY: the table's items are members.
        let old = unsafe { score(block) };
        let Some(score) = decide(Some(old)).filter(|&score| score != old) else { return Some(old) };
        debug_assert!(!score.is_nan());
        self.prefetch_place(score);
        self.note(member, Some(old), Some(score));
        // SAFETY: the block starts with the score; nobody looks at it meanwhile, for the set is borrowed exclusively.
        unsafe { block.cast::<f64>().write(score) };
        if let Some(entry) = self.root.take_unless(old, member, |neighbours| {
            // Many scores change by little: between two neighbours of the same leaf, nothing moves.
            let [before, entry, after] = neighbours;
            let stays = before.is_before(score, member) && !after.is_before(score, member);
            if stays {
                entry.score = score;
            }
            stays
        }) {
            self.lower_root();
            self.insert(Entry { score, member: entry.member });
        }
        Some(old)
    }

    #[inline]
    fn note(&mut self, member: &[u8], old: Option<f64>, new: Option<f64>) {
        if let Some(telling) = self.telling.get_mut() {
            telling.note(member, old, new);
        }
    }

    /// Asks for the leaf that a score belongs in, before something else is done.
    fn prefetch_place(&self, score: f64) {
        let mut node = &self.root;
        while let Node::Inner(children) = node {
            let at = children.partition_point(|child| child.first.score < score).saturating_sub(1);
            node = &children[at].node;
        }
        node.prefetch_leaf();
    }

    fn insert(&mut self, entry: Entry) {
        if let Some(right) = self.root.insert(entry) {
            let left = std::mem::replace(&mut self.root, Node::Inner(Vec::with_capacity(2)));
            if let Node::Inner(children) = &mut self.root {
                children.extend([Child::new(left), Child::new(right)]);
            }
        }
    }

    fn take(&mut self, rank: usize) -> Entry {
        let entry = self.root.take(rank);
        self.lower_root();
        entry
    }

    /// Takes roots away that have one child, or none.
    fn lower_root(&mut self) {
        while let Node::Inner(children) = &mut self.root
            && children.len() < 2
        {
            self.root = children.pop().map_or(Node::Leaf(Vec::new()), |child| child.node);
        }
    }

    fn forget(&mut self, position: Position) {
        let member = self.members.remove(position);
        // SAFETY: the member is live until the end of this function.
        self.member_bytes -= size_class(layout(unsafe { bytes(member.0) }.len()).size());
    }

    /// Removes a member. Returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (position, score) = self.find(member)?;
        self.note(member, Some(score), None);
        self.root.take_unless(score, member, |_| false);
        self.lower_root();
        self.forget(position);
        Some(score)
    }

    /// Removes the members of a range of ranks, which must be within the set.
    pub fn remove_range(&mut self, ranks: Range<usize>) {
        for _ in ranks.clone() {
            let entry = self.take(ranks.start);
            self.note(entry.member(), Some(entry.score), None);
            let hash = self.members.hash(entry.member());
            if let Some(position) = self.members.find_address(hash, entry.member) {
                self.forget(position);
            }
        }
    }

    /// Visits members in slices; see [`Table::scan`].
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        // SAFETY: the table's items are members, which live as long as the visit.
        self.members.scan(cursor, count, |block| unsafe { visit(bytes(block), score(block)) })
    }

    /// Tells about `count` members, from the last to the first: so each is added at the beginning of a skip list, where it is
    /// cheap. Returns whether all have been told.
    pub fn tell(&mut self, count: usize, tell: &mut dyn FnMut(Piece<'_>)) -> bool {
        let bound = self.telling.get().map(|telling| telling.bound.as_ref());
        let Some(bound) = bound else { return true };
        let to_come = bound.map_or(self.len(), |(score, member)| self.rank_of(*score, member));
        // Taken out, because the set is read meanwhile.
        let mut telling = std::mem::take(&mut self.telling);
        let over = telling.get_mut().is_none_or(|telling| {
            if telling.ended {
                return telling::tell_rest(&mut telling.notes, count, |member, score| {
                    tell(Piece::Scored(member, score));
                });
            }
            let now = to_come.saturating_sub(count)..to_come;
            for entry in self.iter_back(now.clone()) {
                match telling.notes.remove(entry.member()) {
                    None => tell(Piece::Scored(entry.member(), entry.score)),
                    Some(Some(score)) => tell(Piece::Scored(entry.member(), score)),
                    Some(None) => {}
                }
            }
            telling.bound = self.at(now.start).map(|entry| (entry.score, entry.member().into()));
            telling.ended = now.start == 0;
            false
        });
        self.telling = telling;
        over
    }

    /// How many slots the table of members has, used or not.
    pub fn capacity(&self) -> usize {
        self.members.capacity()
    }

    /// Bytes of memory that the set takes besides itself, in size classes of the allocator.
    pub fn memory_bytes(&self) -> usize {
        fn below(node: &Node) -> usize {
            match node {
                Node::Leaf(entries) => list_bytes(entries),
                Node::Inner(children) => {
                    list_bytes(children) + children.iter().map(|child| below(&child.node)).sum::<usize>()
                }
            }
        }
        below(&self.root) + self.members.memory_bytes() + self.member_bytes
    }

    /// Frees some hundreds of members of a set that is to be dropped, and must not be used in another way any more.
    /// Returns whether there are more.
    pub fn free_slice(&mut self) -> bool {
        // The lowest inner node at the right end, with its leaves.
        let mut node = &mut self.root;
        while let Node::Inner(children) = node {
            match children.last().map(|child| &child.node) {
                Some(Node::Inner(below)) if !below.is_empty() => {}
                _ => {
                    children.pop();
                    break;
                }
            }
            node = match children.last_mut() {
                Some(child) => &mut child.node,
                None => break,
            };
        }
        self.members.drain_some(drop)
    }
}

impl Clone for Ordered {
    fn clone(&self) -> Ordered {
        let mut copy = Ordered::new(self.hasher.clone());
        for entry in self.iter(0..self.len()) {
            copy.set(entry.member(), entry.score);
        }
        copy
    }
}

/// Entries in their order.
#[derive(Clone)]
pub struct Iter<'a> {
    set: &'a Ordered,
    /// What is still to come.
    ranks: Range<usize>,
    /// The beginning of that.
    leaf: &'a [Entry],
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Entry;

    #[inline]
    fn next(&mut self) -> Option<&'a Entry> {
        /// Entries whose members are on their way into the cache.
        const AHEAD: usize = 8;
        let rank = self.ranks.next()?;
        if self.leaf.is_empty() {
            let (leaf, at) = self.set.leaf(rank);
            self.leaf = &leaf[at..];
            self.leaf.iter().take(AHEAD.min(self.ranks.len() + 1)).for_each(|entry| prefetch(entry.member));
        }
        let (entry, rest) = self.leaf.split_first()?;
        if self.ranks.len() >= AHEAD
            && let Some(ahead) = rest.get(AHEAD - 1)
        {
            prefetch(ahead.member);
        }
        self.leaf = rest;
        Some(entry)
    }
}

/// Entries from the last to the first.
#[derive(Clone)]
pub struct IterBack<'a> {
    set: &'a Ordered,
    ranks: Range<usize>,
    leaf: &'a [Entry],
}

impl<'a> Iterator for IterBack<'a> {
    type Item = &'a Entry;

    #[inline]
    fn next(&mut self) -> Option<&'a Entry> {
        let rank = self.ranks.next_back()?;
        if self.leaf.is_empty() {
            let (leaf, at) = self.set.leaf(rank);
            self.leaf = &leaf[..=at];
        }
        let (entry, rest) = self.leaf.split_last()?;
        self.leaf = rest;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn set() -> Ordered {
        Ordered::new(KeyHasher::new(7))
    }

    fn name(n: u64) -> Vec<u8> {
        let mut name = format!("member:{n}").into_bytes();
        if n.is_multiple_of(97) {
            name.resize(250 + n as usize % 10, b'x');
        }
        name
    }

    /// The set's contents, in order.
    fn contents(set: &Ordered) -> Vec<(f64, Vec<u8>)> {
        set.iter(0..set.len()).map(|entry| (entry.score(), entry.member().to_vec())).collect()
    }

    /// Checks what must hold of every node, and returns its depth.
    fn check(node: &Node) -> usize {
        match node {
            Node::Leaf(entries) => {
                assert!(entries.len() <= LEAF && entries.capacity() <= LEAF);
                0
            }
            Node::Inner(children) => {
                assert!((1..=FAN).contains(&children.len()));
                let depths: Vec<usize> = children.iter().map(|child| check(&child.node)).collect();
                for child in children {
                    assert_eq!(child.count, child.node.count());
                    assert_eq!(child.first.member, child.node.first().member);
                    assert_eq!(child.first.score, child.node.first().score);
                }
                assert!(depths.iter().all(|&depth| depth == depths[0]));
                depths[0] + 1
            }
        }
    }

    #[test]
    fn behaves_like_a_sorted_map_while_it_grows_and_shrinks() {
        let mut rng = fastrand::Rng::with_seed(1);
        for (scores, phases) in [
            (10, [(100, 3_000, 6), (5_000, 30_000, 8), (5_000, 40_000, 2), (50, 500, 3)]),
            (1_000_000, [(3_000, 20_000, 9), (3_000, 30_000, 1), (100, 2_000, 5), (1, 10, 0)]),
            (1, [(300, 4_000, 9), (300, 4_000, 4), (300, 4_000, 1), (300, 100, 0)]),
        ] {
            let mut set = set();
            let mut model: HashMap<Vec<u8>, f64> = HashMap::new();
            for (range, steps, tenths_of_additions) in phases {
                for step in 0..steps {
                    let member = name(rng.u64(0..range));
                    let score = rng.i64(0..scores) as f64 / 4.0 - 1.0;
                    match rng.u8(0..10) {
                        roll if roll < tenths_of_additions => {
                            assert_eq!(set.set(&member, score), model.insert(member, score));
                        }
                        9 => {
                            let old = set.score(&member);
                            assert_eq!(old, model.get(&member).copied());
                            // A small step, which mostly stays between the neighbours.
                            if let Some(old) = old {
                                set.set(&member, old + 0.125);
                                model.insert(member, old + 0.125);
                            }
                        }
                        _ => assert_eq!(set.remove(&member), model.remove(&member)),
                    }
                    assert_eq!(set.len(), model.len());
                    if step % 1_000 == 0 {
                        check(&set.root);
                    }
                }
                let mut sorted: Vec<(f64, Vec<u8>)> = model.iter().map(|(k, v)| (*v, k.clone())).collect();
                sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
                assert_eq!(contents(&set), sorted);
                assert_eq!(contents(&set.clone()), sorted);
                for (rank, (score, member)) in sorted.iter().enumerate() {
                    assert_eq!(set.rank(member), Some((rank, *score)));
                    assert_eq!(set.at(rank).map(Entry::member), Some(member.as_slice()));
                }
                for _ in 0..50 {
                    let start = rng.usize(0..=sorted.len());
                    let end = rng.usize(start..=sorted.len());
                    let expected: Vec<&[u8]> = sorted[start..end].iter().map(|pair| pair.1.as_slice()).collect();
                    let forward: Vec<&[u8]> = set.iter(start..end).map(Entry::member).collect();
                    assert_eq!(forward, expected);
                    let mut back: Vec<&[u8]> = set.iter_back(start..end).map(Entry::member).collect();
                    back.reverse();
                    assert_eq!(back, expected);
                    let bound = rng.i64(-8..scores * 4) as f64 / 4.0 - 1.0;
                    let below = sorted.iter().filter(|pair| pair.0 < bound).count();
                    assert_eq!(set.partition_point(|entry| entry.score() < bound), below);
                }
                assert_eq!(set.at(sorted.len()).map(Entry::score), None);
            }
        }
    }

    #[test]
    fn ranges_are_removed() {
        let mut rng = fastrand::Rng::with_seed(2);
        for _ in 0..30 {
            let len = rng.u64(1..6_000);
            let mut set = set();
            for n in 0..len {
                set.set(&name(n), (n * 7919 % 1_000) as f64);
            }
            while !set.is_empty() {
                let mut expected = contents(&set);
                let start = rng.usize(0..set.len());
                let end = rng.usize(start..=set.len());
                expected.drain(start..end);
                set.remove_range(start..end);
                check(&set.root);
                assert_eq!(contents(&set), expected);
                if expected.len() < 10 {
                    set.remove_range(0..expected.len());
                }
            }
            assert_eq!(set.member_bytes, 0);
            assert!(set.members.memory_bytes() <= 192, "the smallest segment at most");
        }
    }

    #[test]
    fn scores_in_order_fill_the_leaves() {
        for step in [1.0, -1.0] {
            let mut set = set();
            let empty_table = set.memory_bytes();
            for n in 0..20_000 {
                set.set(&name(n), n as f64 * step);
            }
            check(&set.root);
            let tree = set.memory_bytes() - empty_table - set.members.memory_bytes() - set.member_bytes;
            assert!(tree < 20_000 * 18, "{} bytes an entry", tree as f64 / 20_000.0);
        }
    }

    #[test]
    fn zeros_are_equal_and_infinities_are_at_the_ends() {
        let mut set = set();
        set.set(b"b", 0.0);
        set.set(b"a", -0.0);
        set.set(b"z", f64::NEG_INFINITY);
        set.set(b"0", f64::INFINITY);
        let members: Vec<&[u8]> = set.iter(0..4).map(Entry::member).collect();
        assert_eq!(members, [&b"z"[..], b"a", b"b", b"0"]);
        assert_eq!(set.set(b"a", 0.0), Some(-0.0));
        assert!(set.score(b"a").is_some_and(f64::is_sign_negative), "an equal score is no change");
    }

    #[test]
    fn a_scan_visits_every_member() {
        let mut set = set();
        for n in 0..3_000 {
            set.set(&name(n), n as f64);
        }
        let mut seen: HashMap<Vec<u8>, f64> = HashMap::new();
        let mut cursor = 0;
        loop {
            cursor = set.scan(cursor, 10, |member, score| {
                seen.insert(member.to_vec(), score);
            });
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen.len(), 3_000);
        assert!((0..3_000).all(|n| seen.get(&name(n)) == Some(&(n as f64))));
    }

    #[test]
    fn a_set_is_freed_in_slices() {
        let mut set = set();
        for n in 0..50_000 {
            set.set(&name(n), n as f64);
        }
        let mut slices = 0;
        let mut before = set.len();
        while set.free_slice() {
            assert!(before - set.len() < 500);
            before = set.len();
            slices += 1;
        }
        assert!(slices > 100);
        assert_eq!(set.len(), 0);
    }
}
