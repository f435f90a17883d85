//! A quicklist: a long list, as a row of nodes that each hold some of its elements.
//!
//! ```text
//!   ┌──────────┬──────────┬───────┬────────────┬──────────┐
//!   │ listpack │ listpack │ plain │ compressed │ listpack │
//!   └──────────┴──────────┴───────┴────────────┴──────────┘
//!     open     … depth nodes …       inner nodes    … open
//! ```
//!
//! A node is a [listpack](super::listpack) up to a size, or one large element by itself. Both ends are cheap to change, an
//! index is found by adding up the nodes' counts, and an insertion in the middle moves one node's bytes. Nodes farther
//! from both ends than a depth are kept compressed, if that is wished and pays.
//!
//! When nodes are filled, split and joined is decided as in Redis, because it shows: a list whose one node has become
//! small is a plain listpack again. [`List`] is the view of a list in either form.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::ptr::NonNull;
use std::rc::Rc;

use super::listpack::{self, Buffer, Element};
use super::lzf;
use super::number::parse_i64;
use super::table::{Step, prefetch};
use super::telling::{NODE_ITEMS, Piece, Slot, Told};
use super::weight::Weight;
use crate::memory::size_class;

/// Bytes that Redis counts for a listpack beyond ours: half of its header, and its end.
const FRAME: usize = 5;
/// What an element is taken to cost beyond its text when it is decided whether it fits a node, in bytes.
const ELEMENT_OVERHEAD: usize = 8;
/// A node limited by its count of elements is limited to so many bytes as well.
const COUNTED_BYTES_MAX: usize = 8192;
/// A node's listpack that is full gets twice as much room up to so many bytes, and beyond that the next size class of the
/// allocator: a list has two such nodes, and half of them would lie empty in many a list.
const DOUBLED_MAX: usize = 2048;
/// Nodes of fewer bytes are not worth compressing.
const COMPRESSED_MIN: usize = 48;
/// Compression must save more than so many bytes.
const SAVED_MIN: usize = 8;
/// Nodes freed in one slice.
const FREED_AT_ONCE: usize = 512;

/// An end of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Left,
    Right,
}

/// What decides about nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Elements of a node; -1 to -5 are 4, 8, 16, 32 and 64 KiB instead. As `list-max-listpack-size`.
    pub fill: i32,
    /// Nodes at each end that are never compressed; 0 compresses none. As `list-compress-depth`.
    pub depth: usize,
    /// Bytes from which on an element is a node by itself; 0 lets `fill` decide.
    pub plain_from: usize,
}

impl Rules {
    /// The size of a node in bytes and in elements.
    fn limits(&self) -> (usize, usize) {
        match self.fill {
            0.. => (usize::MAX, self.fill.max(1) as usize),
            negative => (4096 << (-1 - negative.max(-5)), usize::MAX),
        }
    }

    /// Whether so many bytes, counted as Redis does, and elements are too many for a node.
    fn exceeded_by(&self, bytes: usize, elements: usize) -> bool {
        let (most_bytes, most_elements) = self.limits();
        if self.fill < 0 { bytes > most_bytes } else { bytes > COUNTED_BYTES_MAX || elements > most_elements }
    }

    /// Whether a listpack must become a quicklist before texts of `text_bytes` in all are added to it.
    pub fn outgrown_by(&self, listpack: &[u8], text_bytes: usize, elements: usize) -> bool {
        self.exceeded_by(listpack.len() + FRAME + text_bytes, listpack::len(listpack) + elements)
    }

    /// Whether an element is a node by itself.
    fn is_large(&self, text_bytes: usize) -> bool {
        match (self.plain_from, self.fill) {
            (0, 0..) => text_bytes > COUNTED_BYTES_MAX,
            (0, _) => text_bytes > self.limits().0,
            (from, _) => text_bytes >= from,
        }
    }
}

/// An element of a list, where it lies.
#[derive(Clone, Copy)]
pub enum Item<'a> {
    Packed(Element<'a>),
    /// A node by itself.
    Plain(&'a Rc<Vec<u8>>),
}

impl Item<'_> {
    /// Lends its text.
    pub fn with_bytes<R>(self, lend: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Item::Packed(element) => element.with_bytes(lend),
            Item::Plain(blob) => lend(blob),
        }
    }

    /// Its text.
    pub fn to_vec(self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }
}

/// A node's listpack, with room to grow at both ends: what is pushed or popped at the left end moves nothing else.
///
/// ```text
///   room │ listpack │ the vector's spare capacity
/// ```
#[derive(Clone, Default)]
struct Pack {
    bytes: Vec<u8>,
    /// Where the listpack begins.
    start: u32,
    /// How many elements it has.
    count: u32,
}

impl Pack {
    fn new(bytes: Vec<u8>) -> Pack {
        let count = listpack::len(&bytes) as u32;
        Pack { bytes, start: 0, count }
    }

    /// The listpack by itself.
    fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.drain(..self.start as usize);
        self.bytes
    }

    /// Gives all room back.
    fn shrink(&mut self) {
        self.bytes.drain(..self.start as usize);
        self.start = 0;
        self.bytes.shrink_to_fit();
    }
}

impl Buffer for Pack {
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start as usize..]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start as usize..]
    }

    fn reshape(&mut self, range: Range<usize>, len: usize) -> &mut [u8] {
        let mut start = self.start as usize;
        if range.start > listpack::START || len == range.len() {
            let range = start + range.start..start + range.end;
            let grown = self.bytes.len() - range.len() + len;
            if grown > self.bytes.capacity().max(DOUBLED_MAX) {
                self.bytes.reserve_exact(size_class(grown) - self.bytes.len());
            }
            self.bytes.reshape(range, len);
            return self.bytes_mut();
        }
        // At the left end, what lies before the range moves: the count.
        if start + range.len() < len {
            let held = self.bytes.len() - start;
            let room = if held + len > DOUBLED_MAX { size_class(held + len) - held } else { held.max(len) };
            let mut bytes = Vec::with_capacity(room + held);
            bytes.resize(room, 0);
            bytes.extend_from_slice(&self.bytes[start..]);
            (self.bytes, start) = (bytes, room);
        }
        let moved = start + range.len() - len;
        self.bytes.copy_within(start..start + range.start, moved);
        self.start = moved as u32;
        self.bytes_mut()
    }
}

#[derive(Clone)]
enum Node {
    Packed(Pack),
    Plain(Rc<Vec<u8>>),
    Compressed { count: usize, plain: bool, len: usize, lzf: Box<[u8]> },
}

impl Node {
    fn packed(text: &[u8]) -> Node {
        let mut bytes = Vec::with_capacity(listpack::START + listpack::encoded_len(text));
        bytes.extend_from_slice(listpack::EMPTY);
        listpack::push(&mut bytes, text);
        Node::Packed(Pack { bytes, start: 0, count: 1 })
    }

    fn count(&self) -> usize {
        match self {
            Node::Packed(pack) => pack.count as usize,
            Node::Compressed { count, .. } => *count,
            Node::Plain(_) => 1,
        }
    }

    fn is_plain(&self) -> bool {
        matches!(self, Node::Plain(_) | Node::Compressed { plain: true, .. })
    }

    /// Its uncompressed size as Redis counts it.
    fn size(&self) -> usize {
        match self {
            Node::Packed(pack) => pack.bytes().len() + FRAME,
            Node::Plain(blob) => blob.len(),
            Node::Compressed { plain, len, .. } => len + if *plain { 0 } else { FRAME },
        }
    }

    /// Its uncompressed bytes.
    fn open(&self) -> Cow<'_, [u8]> {
        match self {
            Node::Packed(pack) => Cow::Borrowed(pack.bytes()),
            Node::Plain(blob) => Cow::Borrowed(blob),
            Node::Compressed { len, lzf, .. } => {
                Cow::Owned(lzf::decompress(lzf, *len).expect("what was compressed here can be decompressed"))
            }
        }
    }

    fn decompress(&mut self) {
        if let Node::Compressed { count, plain, .. } = *self {
            let bytes = self.open().into_owned();
            *self = if plain {
                Node::Plain(Rc::new(bytes))
            } else {
                Node::Packed(Pack { bytes, start: 0, count: count as u32 })
            };
        }
    }

    fn compress(&mut self) {
        if matches!(self, Node::Compressed { .. }) || self.size() < COMPRESSED_MIN {
            return;
        }
        let (count, plain, bytes) = (self.count(), self.is_plain(), self.open());
        if let Some(lzf) = lzf::compress(&bytes, bytes.len() - SAVED_MIN) {
            *self = Node::Compressed { count, plain, len: bytes.len(), lzf: lzf.into() };
        }
    }

    /// Changes a listpack and its count of elements by a difference.
    fn edit(&mut self, difference: i32, edit: impl FnOnce(&mut Pack)) {
        self.decompress();
        match self {
            Node::Packed(pack) => {
                edit(pack);
                pack.count = pack.count.strict_add_signed(difference);
            }
            _ => unreachable!("an element by itself is replaced, not edited"),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Node::Packed(pack) => size_class(pack.bytes.capacity()),
            // The block that counts references, and the one with the bytes.
            Node::Plain(blob) => {
                size_class(size_of::<Vec<u8>>() + 2 * size_of::<usize>()) + size_class(blob.capacity())
            }
            Node::Compressed { lzf, .. } => size_class(lzf.len()),
        }
    }
}

/// A long list.
#[derive(Clone)]
pub struct Quicklist {
    nodes: VecDeque<Node>,
    len: usize,
    rules: Rules,
    /// Kept for those who count what all values weigh.
    pub weight: Cell<Weight>,
    telling: Slot<Telling>,
}

/// How far a list has been told.
pub struct Telling {
    /// For each node that there is, its number when the telling began, from 1 on; 0 for those that have changed since.
    numbers: VecDeque<u32>,
    /// The node with the number that comes next, if it is among those, is not before this one.
    at: usize,
    next: u32,
    /// How many nodes there were.
    count: u32,
    /// Nodes to be told that have changed, as they were.
    notes: BTreeMap<u32, Node>,
}

impl Telling {
    /// A node is about to change. Returns the number under which it is to be noted, if it is.
    fn changes(&mut self, at: usize) -> Option<u32> {
        let number = std::mem::take(&mut self.numbers[at]);
        (number >= self.next).then_some(number)
    }
}

impl Told for Quicklist {
    type Telling = Telling;

    fn new_telling(&self) -> Telling {
        let count = u32::try_from(self.nodes.len()).expect("2^32 nodes do not fit the memory");
        Telling { numbers: (1..=count).collect(), at: 0, next: 1, count, notes: BTreeMap::new() }
    }

    fn slot(&self) -> &Slot<Telling> {
        &self.telling
    }

    fn slot_mut(&mut self) -> &mut Slot<Telling> {
        &mut self.telling
    }
}

impl Quicklist {
    /// An empty list. Its rules stay with it.
    pub fn new(rules: Rules) -> Quicklist {
        let rules = Rules { fill: rules.fill.clamp(-5, i32::from(i16::MAX)), ..rules };
        Quicklist { nodes: VecDeque::new(), len: 0, rules, weight: Cell::default(), telling: Slot::default() }
    }

    /// A list whose first node is a listpack as it is.
    pub fn from_listpack(bytes: Vec<u8>, rules: Rules) -> Quicklist {
        let mut list = Quicklist::new(rules);
        list.len = listpack::len(&bytes);
        if list.len > 0 {
            list.nodes.push_back(Node::Packed(Pack::new(bytes)));
        }
        list
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Asks for both ends' nodes, or for where these begin and end.
    #[inline]
    pub fn prefetch(&self, step: Step) {
        for (node, left) in [(self.nodes.front(), true), (self.nodes.back(), false)] {
            match (node, step) {
                (Some(node), Step::Way) => prefetch(NonNull::from(node).cast()),
                (Some(Node::Packed(pack)), Step::Target) => {
                    let bytes = pack.bytes();
                    prefetch(NonNull::from(if left { &bytes[0] } else { &bytes[bytes.len() - 1] }));
                }
                _ => {}
            }
        }
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The bytes of each node before compression, as Redis counts them.
    pub fn node_sizes(&self) -> impl Iterator<Item = usize> {
        self.nodes.iter().map(Node::size)
    }

    /// The rules it was made with.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// Bytes of memory it takes, without the struct itself. Counts all nodes.
    pub fn memory_bytes(&self) -> usize {
        size_class(self.nodes.capacity() * size_of::<Node>()) + self.nodes.iter().map(Node::memory_bytes).sum::<usize>()
    }

    /// Frees some nodes of a list that nobody uses any more. Returns whether there are more.
    pub fn free_slice(&mut self) -> bool {
        self.nodes.truncate(self.nodes.len().saturating_sub(FREED_AT_ONCE));
        !self.nodes.is_empty()
    }

    /// Its elements as one listpack, if they are in one node and `rules` say that it is small: half of what a node may
    /// have, so that a list that shrinks and grows by turns does not change its form each time.
    pub fn shrunk(&mut self, rules: &Rules) -> Option<Vec<u8>> {
        let (bytes, elements) = rules.limits();
        self.taken_as_one(bytes / 2, elements / 2)
    }

    /// Its elements as one listpack, if they are in one node that `rules` allow: the form of a list that was just loaded.
    pub fn compacted(&mut self, rules: &Rules) -> Option<Vec<u8>> {
        let (bytes, elements) = rules.limits();
        self.taken_as_one(bytes, elements)
    }

    fn taken_as_one(&mut self, most_bytes: usize, most_elements: usize) -> Option<Vec<u8>> {
        match self.nodes.front_mut() {
            // One that is being told stays a list until that is over.
            Some(node @ Node::Packed(_))
                if !self.telling.is_on()
                    && self.len == node.count()
                    && node.size() <= most_bytes
                    && self.len <= most_elements =>
            {
                let Node::Packed(pack) = node else { return None };
                Some(std::mem::take(pack).into_bytes())
            }
            _ => None,
        }
    }

    /// Its elements as one listpack, if they are in one node, and no longer here.
    pub fn take_only_listpack(&mut self) -> Option<Vec<u8>> {
        match self.nodes.front_mut() {
            Some(Node::Packed(pack)) if self.len == pack.count as usize => Some(std::mem::take(pack).into_bytes()),
            _ => None,
        }
    }

    /// Tells about `count` elements. Returns whether all have been told.
    pub fn tell(&mut self, count: usize, tell: &mut dyn FnMut(Piece<'_>)) -> bool {
        let Some(telling) = self.telling.get_mut() else { return true };
        for _ in 0..count.div_ceil(NODE_ITEMS) {
            if telling.next > telling.count {
                return true;
            }
            let mut piece = |node: &Node| tell(Piece::Node { bytes: node.open(), plain: node.is_plain() });
            if let Some(node) = telling.notes.remove(&telling.next) {
                piece(&node);
            } else {
                while telling.numbers[telling.at] != telling.next {
                    telling.at += 1;
                }
                piece(&self.nodes[telling.at]);
                telling.at += 1;
            }
            telling.next += 1;
        }
        telling.next > telling.count
    }

    /// A node, whose elements are about to change.
    fn changing(&mut self, at: usize) -> &mut Node {
        if let Some(telling) = self.telling.get_mut()
            && let Some(number) = telling.changes(at)
        {
            telling.notes.insert(number, self.nodes[at].clone());
        }
        &mut self.nodes[at]
    }

    fn insert_node(&mut self, at: usize, node: Node) {
        if let Some(telling) = self.telling.get_mut() {
            telling.numbers.insert(at, 0);
            telling.at += usize::from(at < telling.at);
        }
        self.nodes.insert(at, node);
    }

    /// Removes nodes that have lost all elements.
    fn remove_nodes(&mut self, range: Range<usize>) {
        if let Some(telling) = self.telling.get_mut() {
            for at in range.clone() {
                if let Some(number) = telling.changes(at) {
                    let node = std::mem::replace(&mut self.nodes[at], Node::Packed(Pack::default()));
                    telling.notes.insert(number, node);
                }
            }
            telling.numbers.drain(range.clone());
            telling.at -= telling.at.min(range.end) - telling.at.min(range.start);
        }
        self.nodes.drain(range);
    }

    /// The uncompressed bytes of a node: a listpack, or, as the flag tells, one element by itself.
    pub fn node_bytes(&self, at: usize) -> Option<(Cow<'_, [u8]>, bool)> {
        self.nodes.get(at).map(|node| (node.open(), node.is_plain()))
    }

    /// Adds a node behind all others: a listpack that has elements and was validated.
    pub fn append_packed(&mut self, bytes: Vec<u8>) {
        self.append_node(Node::Packed(Pack::new(bytes)));
    }

    /// Adds an element that is a node by itself behind all others.
    pub fn append_plain(&mut self, text: Vec<u8>) {
        self.append_node(Node::Plain(Rc::new(text)));
    }

    fn append_node(&mut self, node: Node) {
        self.len += node.count();
        self.insert_node(self.nodes.len(), node);
        self.settle(self.nodes.len().saturating_sub(1 + self.rules.depth));
    }

    /// The node with an element, and the element's index in it.
    fn locate(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.len {
            return None;
        }
        if index <= self.len / 2 {
            let mut left = index;
            for (at, node) in self.nodes.iter().enumerate() {
                if left < node.count() {
                    return Some((at, left));
                }
                left -= node.count();
            }
        } else {
            // How many elements there are behind the one that is looked for.
            let mut behind = self.len - 1 - index;
            for (at, node) in self.nodes.iter().enumerate().rev() {
                if behind < node.count() {
                    return Some((at, node.count() - 1 - behind));
                }
                behind -= node.count();
            }
        }
        None
    }

    /// Visits elements from an index on, or backwards from it, until `visit` returns false.
    pub fn visit(&self, from: usize, backwards: bool, mut visit: impl FnMut(Item<'_>) -> bool) {
        let Some((first, nth)) = self.locate(from) else { return };
        let mut start = Some(nth);
        let mut each = |node: &Node| {
            let start = start.take();
            if let Node::Plain(blob) = node {
                return visit(Item::Plain(blob));
            }
            let bytes = node.open();
            if node.is_plain() {
                return visit(Item::Plain(&Rc::new(bytes.into_owned())));
            }
            visit_listpack(&bytes, start, backwards, &mut visit)
        };
        if backwards {
            self.nodes.range(..=first).rev().all(&mut each);
        } else {
            self.nodes.range(first..).all(&mut each);
        }
    }

    /// Visits the indexes of elements that equal a text, as [`List::visit_equal`].
    fn visit_equal(&self, text: &[u8], backwards: bool, most: usize, mut visit: impl FnMut(usize) -> bool) {
        let mut seen = 0;
        let mut each = |node: &Node| {
            let (bytes, count) = (node.open(), node.count());
            let first = if backwards { self.len - seen - count } else { seen };
            let goes_on = if node.is_plain() {
                *bytes != *text || visit(first)
            } else {
                visit_equal(&bytes, count, text, backwards, most - seen, |nth| visit(first + nth))
            };
            seen += count;
            goes_on && seen < most
        };
        if backwards {
            self.nodes.iter().rev().all(&mut each);
        } else {
            self.nodes.iter().all(&mut each);
        }
    }

    /// Whether a node takes another element of so many bytes.
    fn fits(&self, at: usize, text_bytes: usize) -> bool {
        self.nodes.get(at).is_some_and(|node| {
            !node.is_plain()
                && !self.rules.is_large(text_bytes)
                && !self.rules.exceeded_by(node.size() + text_bytes + ELEMENT_OVERHEAD, node.count() + 1)
        })
    }

    /// Adds an element at an end.
    pub fn push(&mut self, text: Cow<'_, [u8]>, end: End) {
        let at = if end == End::Left { 0 } else { self.nodes.len().saturating_sub(1) };
        self.len += 1;
        if self.fits(at, text.len()) {
            self.changing(at).edit(1, |pack| push_text(pack, &text, end));
            return;
        }
        // The node that was at the end so far is full: it needs no room to grow.
        if let Some(Node::Packed(pack)) = self.nodes.get_mut(at) {
            pack.shrink();
        }
        let node = self.node(text);
        let place = if end == End::Left { 0 } else { self.nodes.len() };
        self.insert_node(place, node);
        self.settle(at);
    }

    /// A node with one element.
    fn node(&self, text: Cow<'_, [u8]>) -> Node {
        if self.rules.is_large(text.len()) { Node::Plain(Rc::new(text.into_owned())) } else { Node::packed(&text) }
    }

    /// Adds an element before or behind the one with an index.
    ///
    /// # Panics
    /// If there is no such element.
    pub fn insert(&mut self, index: usize, text: Cow<'_, [u8]>, behind: bool) {
        let (at, nth) = self.locate(index).expect("the caller has found the element");
        self.insert_beside(at, nth, text, behind);
        self.settle(at);
    }

    fn insert_beside(&mut self, at: usize, nth: usize, text: Cow<'_, [u8]>, behind: bool) {
        self.len += 1;
        let side = usize::from(behind);
        let at_edge = if behind { nth + 1 == self.nodes[at].count() } else { nth == 0 };
        if self.fits(at, text.len()) {
            self.changing(at).edit(1, |pack| {
                let place = offset(pack.bytes(), nth + side);
                listpack::insert_element(pack, place, Element::of(&text));
            });
        } else if at_edge && behind && self.fits(at + 1, text.len()) {
            self.changing(at + 1).edit(1, |pack| push_text(pack, &text, End::Left));
        } else if at_edge && !behind && at > 0 && self.fits(at - 1, text.len()) {
            self.changing(at - 1).edit(1, |pack| push_text(pack, &text, End::Right));
        } else if at_edge {
            let node = self.node(text);
            self.insert_node(at + side, node);
        } else if self.rules.is_large(text.len()) {
            self.split(at, nth + side);
            let node = self.node(text);
            self.insert_node(at + 1, node);
        } else {
            // The new element goes to the part of the node that the old one does not stay in.
            self.split(at, nth + side);
            if behind {
                self.changing(at + 1).edit(1, |pack| push_text(pack, &text, End::Left));
                self.join_around(at);
            } else {
                self.changing(at).edit(1, |pack| push_text(pack, &text, End::Right));
                self.join_around(at + 1);
            }
        }
    }

    /// Splits a listpack before its `nth` element, which must be neither the first nor beyond the end.
    fn split(&mut self, at: usize, nth: usize) {
        let mut tail = listpack::EMPTY.to_vec();
        let moved = self.nodes[at].count() - nth;
        self.changing(at).edit(-(moved as i32), |pack| {
            let from = offset(pack.bytes(), nth);
            listpack::append(&mut tail, &pack.bytes()[from..], moved);
            let end = pack.bytes().len();
            listpack::remove(pack, from..end, moved);
            pack.shrink();
        });
        self.insert_node(at + 1, Node::Packed(Pack { bytes: tail, start: 0, count: moved as u32 }));
    }

    /// Joins small nodes around one: first two to its left, two to its right, then the one itself with its neighbours.
    fn join_around(&mut self, mut at: usize) {
        if at >= 2 && self.join(at - 2) {
            at -= 1;
        }
        self.join(at + 1);
        if at >= 1 && self.join(at - 1) {
            at -= 1;
        }
        self.join(at);
    }

    /// Joins a node with the next one, if both are there and fit one node.
    fn join(&mut self, at: usize) -> bool {
        let (Some(left), Some(right)) = (self.nodes.get(at), self.nodes.get(at + 1)) else { return false };
        // Redis takes off one header and one end.
        let size = (left.size() + right.size()).saturating_sub(7);
        if left.is_plain() || right.is_plain() || self.rules.exceeded_by(size, left.count() + right.count()) {
            return false;
        }
        let (count, bytes) = (right.count(), right.open().into_owned());
        self.remove_nodes(at + 1..at + 2);
        self.changing(at).edit(count as i32, |pack| listpack::append(pack, &bytes[listpack::START..], count));
        true
    }

    /// Puts a text in the place of the element with an index. Returns whether there is one.
    pub fn set(&mut self, index: usize, text: Cow<'_, [u8]>) -> bool {
        let Some((at, nth)) = self.locate(index) else { return false };
        let large = self.rules.is_large(text.len());
        let node = self.changing(at);
        if node.is_plain() {
            if large {
                *node = Node::Plain(Rc::new(text.into_owned()));
            } else {
                self.insert_beside(at, 0, text, true);
                self.remove_nodes(at..at + 1);
                self.len -= 1;
            }
        } else if !large {
            node.edit(0, |pack| {
                let place = offset(pack.bytes(), nth);
                listpack::replace_element(pack, place, Element::of(&text));
            });
        } else {
            let count = node.count();
            if nth + 1 < count {
                self.split(at, nth + 1);
            }
            let new = self.node(text);
            self.insert_node(at + 1, new);
            if nth == 0 {
                self.remove_nodes(at..at + 1);
            } else {
                self.changing(at).edit(-1, |pack| {
                    let range = offset(pack.bytes(), nth)..pack.bytes().len();
                    listpack::remove(pack, range, 1);
                });
                self.join_around(at + 1);
            }
        }
        self.settle(at);
        true
    }

    /// Removes elements from an index on: `count` of them, or as many as there are.
    pub fn remove(&mut self, from: usize, count: usize) {
        let mut left = count.min(self.len.saturating_sub(from));
        let Some((mut at, mut nth)) = self.locate(from).filter(|_| left > 0) else { return };
        self.len -= left;
        let first = at;
        let mut whole = 0..0;
        while left > 0 {
            let there = self.nodes[at].count();
            let here = left.min(there - nth);
            if here == there {
                whole = if whole.is_empty() { at..at + 1 } else { whole.start..at + 1 };
            } else {
                self.changing(at).edit(-(here as i32), |pack| {
                    let bytes = pack.bytes();
                    let start = offset(bytes, nth);
                    let end = (nth..nth + here).fold(start, |place, _| listpack::end(bytes, place));
                    listpack::remove(pack, start..end, here);
                });
            }
            left -= here;
            (at, nth) = (at + 1, 0);
        }
        if !whole.is_empty() {
            self.remove_nodes(whole);
        }
        self.settle(first);
    }

    /// Removes elements that equal `text`, the first ones from either end: `limit` of them at most. Returns how many.
    pub fn remove_equal(&mut self, text: &[u8], limit: usize, backwards: bool) -> usize {
        let mut removed = 0;
        let mut turn = 0;
        while turn < self.nodes.len() && removed < limit {
            let at = if backwards { self.nodes.len() - 1 - turn } else { turn };
            let node = &self.nodes[at];
            let (left, here) = if node.is_plain() {
                let here = usize::from(*node.open() == *text);
                (1 - here, here)
            } else {
                let closed = matches!(node, Node::Compressed { .. });
                let mut bytes = node.open().into_owned();
                let here = remove_equal(&mut bytes, text, limit - removed, backwards);
                let left = node.count() - here;
                if here > 0 && left > 0 {
                    let node = self.changing(at);
                    *node = Node::Packed(Pack { bytes, start: 0, count: left as u32 });
                    if closed {
                        node.compress();
                    }
                }
                (left, here)
            };
            removed += here;
            if left == 0 {
                self.remove_nodes(at..at + 1);
            } else {
                turn += 1;
            }
        }
        self.len -= removed;
        if removed > 0 {
            self.settle(0);
        }
        removed
    }

    /// Opens the nodes near the ends and compresses those that have come to lie farther inside, as well as those around
    /// the one that was changed.
    fn settle(&mut self, changed: usize) {
        let (depth, nodes) = (self.rules.depth, self.nodes.len());
        if depth == 0 {
            return;
        }
        for at in 0..depth.min(nodes) {
            self.nodes[at].decompress();
            self.nodes[nodes - 1 - at].decompress();
        }
        if nodes > 2 * depth {
            let inner = depth..nodes - depth;
            let around = changed.saturating_sub(2)..changed + 3;
            for at in around.chain([inner.start, inner.end - 1]) {
                if inner.contains(&at) {
                    self.nodes[at].compress();
                }
            }
        }
    }
}

/// The offset of the `nth` element, or the end.
fn offset(bytes: &[u8], nth: usize) -> usize {
    listpack::seek(bytes, nth as i64).unwrap_or(bytes.len())
}

/// Adds an element at an end of a node.
fn push_text(pack: &mut Pack, text: &[u8], end: End) {
    let place = if end == End::Left { listpack::START } else { pack.bytes().len() };
    listpack::insert_element(pack, place, Element::of(text));
}

/// Visits a listpack's elements from the `nth` on (without one, from the end where that begins) until `visit` returns
/// false; then returns false, too.
fn visit_listpack(bytes: &[u8], nth: Option<usize>, backwards: bool, visit: &mut impl FnMut(Item<'_>) -> bool) -> bool {
    if backwards {
        let end = nth.map_or(bytes.len(), |nth| offset(bytes, nth + 1));
        listpack::iter_before(bytes, end).rev().all(|(_, element)| visit(Item::Packed(element)))
    } else {
        let start = nth.map_or(listpack::START, |nth| offset(bytes, nth));
        listpack::iter_from(bytes, start).all(|(_, element)| visit(Item::Packed(element)))
    }
}

/// Visits the indexes of the elements that equal `text` in a listpack of `count`, from either end, until `visit` returns
/// false; then returns false, too. It looks at the first `most` from that end.
fn visit_equal(
    bytes: &[u8],
    count: usize,
    text: &[u8],
    backwards: bool,
    most: usize,
    mut visit: impl FnMut(usize) -> bool,
) -> bool {
    if backwards {
        let number = parse_i64(text);
        let mut elements = (0..count).rev().zip(listpack::iter(bytes).rev()).take(most);
        return elements.all(|(index, (_, element))| {
            let same = match element {
                Element::Text(own) => own == text,
                Element::Integer(value) => number == Some(value),
            };
            !same || visit(index)
        });
    }
    let bytes = if most < count { &bytes[..offset(bytes, most)] } else { bytes };
    let (mut at, mut index) = (listpack::START, 0);
    while let Some((found, passed)) = listpack::find_nth(bytes, at, text, 1) {
        index += passed;
        if !visit(index) {
            return false;
        }
        (at, index) = (listpack::end(bytes, found), index + 1);
    }
    true
}

/// Removes elements of a listpack that equal `text`, the first ones from either end: `limit` of them at most. Returns how
/// many.
pub fn remove_equal(buffer: &mut impl Buffer, text: &[u8], limit: usize, backwards: bool) -> usize {
    let bytes = buffer.bytes();
    let mut found = Vec::new();
    let mut from = listpack::START;
    while let Some(at) = listpack::find(bytes, from, text, 1) {
        from = listpack::end(bytes, at);
        found.push(at..from);
        if !backwards && found.len() == limit {
            break;
        }
    }
    let found = &found[if backwards { found.len().saturating_sub(limit) } else { 0 }..];
    if found.is_empty() {
        return 0;
    }
    let (start, end) = (found[0].start, found[found.len() - 1].end);
    // What stays between the removed ones moves up in one piece.
    let kept: Vec<u8> = found.windows(2).flat_map(|pair| &bytes[pair[0].end..pair[1].start]).copied().collect();
    let (removed, kept_len) = (found.len(), kept.len());
    buffer.splice(start..start + kept_len, &kept);
    listpack::remove(buffer, start + kept_len..end, removed);
    removed
}

/// A list in either form, to be read.
#[derive(Clone, Copy)]
pub enum List<'a> {
    Compact(&'a [u8]),
    Nodes(&'a Quicklist),
}

impl List<'_> {
    /// How many elements there are.
    pub fn len(self) -> usize {
        match self {
            List::Compact(bytes) => listpack::len(bytes),
            List::Nodes(list) => list.len(),
        }
    }

    /// Whether there are none. A list of the keyspace has some.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Visits elements from an index on, or backwards from it, until `visit` returns false.
    pub fn visit(self, from: usize, backwards: bool, mut visit: impl FnMut(Item<'_>) -> bool) {
        match self {
            List::Compact(bytes) => {
                visit_listpack(bytes, Some(from), backwards, &mut visit);
            }
            List::Nodes(list) => list.visit(from, backwards, visit),
        }
    }

    /// Visits the indexes of the elements that equal `text`, from either end, until `visit` returns false. It looks at the
    /// first `most` elements from that end.
    pub fn visit_equal(self, text: &[u8], backwards: bool, most: usize, visit: impl FnMut(usize) -> bool) {
        match self {
            List::Compact(bytes) => {
                visit_equal(bytes, listpack::len(bytes), text, backwards, most, visit);
            }
            List::Nodes(list) => list.visit_equal(text, backwards, most, visit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { fill: -2, depth: 0, plain_from: 0 };

    fn texts(list: &Quicklist) -> Vec<Vec<u8>> {
        let mut texts = Vec::new();
        list.visit(0, false, |item| {
            texts.push(item.to_vec());
            true
        });
        texts
    }

    fn check(list: &Quicklist, model: &[Vec<u8>]) {
        assert_eq!(list.len(), model.len());
        let depth = list.rules.depth;
        for (at, node) in list.nodes.iter().enumerate() {
            let bytes = node.open();
            assert!(node.is_plain() || listpack::validate(&bytes) && listpack::len(&bytes) == node.count());
            assert!(node.count() > 0);
            let inner = depth > 0 && at >= depth && at + depth < list.nodes.len();
            assert!(inner || !matches!(node, Node::Compressed { .. }), "an end is open");
        }
        assert_eq!(texts(list), model);
    }

    #[test]
    fn nodes_that_fill_have_little_room_to_spare() {
        for end in [End::Left, End::Right] {
            let mut list = Quicklist::new(RULES);
            for n in 0..1000 {
                list.push(Cow::Owned(vec![b'x'; 50 + n % 20]), end);
                for node in &list.nodes {
                    let Node::Packed(pack) = node else { panic!("no element is large") };
                    assert!(pack.bytes.capacity() <= size_class(pack.bytes().len()).max(2 * DOUBLED_MAX));
                }
            }
            assert!(list.nodes() > 5);
        }
    }

    #[test]
    fn every_edit_agrees_with_a_plain_list() {
        let mut rng = fastrand::Rng::with_seed(11);
        let mut compressed = 0;
        for round in 0..120 {
            let rules = Rules {
                fill: [-1, -2, -5, 1, 2, 5, 100, 0][round % 8],
                depth: [0, 0, 1, 2, 3][round % 5],
                plain_from: [0, 0, 0, 30][round % 4],
            };
            let (mut list, mut model) = (Quicklist::new(rules), Vec::<Vec<u8>>::new());
            for _ in 0..300 {
                let text = match rng.u8(..10) {
                    0 => rng.i64(..).to_string().into_bytes(),
                    1 if rng.u8(..4) == 0 => vec![rng.u8(..); rng.usize(4000..9000)],
                    2 => vec![rng.u8(..); rng.usize(..3000)],
                    3 => vec![b'x'; 40],
                    _ => rng.u8(..4).to_string().into_bytes(),
                };
                let index = rng.usize(..=model.len());
                match rng.u8(..15) {
                    0..4 => {
                        list.push(Cow::Borrowed(&text), End::Right);
                        model.push(text);
                    }
                    4..6 => {
                        list.push(Cow::Owned(text.clone()), End::Left);
                        model.insert(0, text);
                    }
                    6..9 if index < model.len() => {
                        let behind = rng.bool();
                        list.insert(index, Cow::Borrowed(&text), behind);
                        model.insert(index + usize::from(behind), text);
                    }
                    9..11 => {
                        assert_eq!(list.set(index, Cow::Borrowed(&text)), index < model.len());
                        if let Some(place) = model.get_mut(index) {
                            *place = text;
                        }
                    }
                    11 => {
                        let count = rng.usize(..20);
                        list.remove(index, count);
                        model.drain(index..model.len().min(index + count));
                    }
                    12 => {
                        let (limit, backwards) = (rng.usize(1..6), rng.bool());
                        let mut places: Vec<_> = (0..model.len()).filter(|&at| model[at] == text).collect();
                        if backwards {
                            places.reverse();
                        }
                        places.truncate(limit);
                        places.sort();
                        assert_eq!(list.remove_equal(&text, limit, backwards), places.len());
                        places.iter().rev().for_each(|&at| drop(model.remove(at)));
                    }
                    13 => {
                        let (most, wanted, backwards) = (rng.usize(1..60), rng.usize(1..8), rng.bool());
                        let mut indexes = Vec::new();
                        List::Nodes(&list).visit_equal(&text, backwards, most, |index| {
                            indexes.push(index);
                            indexes.len() < wanted
                        });
                        let looked_at = (0..model.len()).map(|at| if backwards { model.len() - 1 - at } else { at });
                        let equal = looked_at.take(most).filter(|&at| model[at] == text).take(wanted);
                        assert_eq!(indexes, equal.collect::<Vec<_>>());
                    }
                    _ => {
                        let backwards = rng.bool();
                        let (mut seen, most) = (Vec::new(), rng.usize(1..50));
                        list.visit(index, backwards, |item| {
                            seen.push(item.to_vec());
                            seen.len() < most
                        });
                        let expected: Vec<_> = if index >= model.len() {
                            Vec::new()
                        } else if backwards {
                            model[..=index].iter().rev().take(most).cloned().collect()
                        } else {
                            model[index..].iter().take(most).cloned().collect()
                        };
                        assert_eq!(seen, expected);
                    }
                }
                check(&list, &model);
            }
            compressed += list.nodes.iter().filter(|node| matches!(node, Node::Compressed { .. })).count();
            check(&list.clone(), &model);
            let nodes = list.nodes();
            assert!(!list.free_slice() || nodes > FREED_AT_ONCE);
        }
        assert!(compressed > 100);
    }

    #[test]
    fn limits_of_nodes() {
        let cases: &[(i32, usize, usize, bool)] = &[
            (-1, 4096, 9999, false),
            (-1, 4097, 1, true),
            (-5, 65536, 1, false),
            (-9, 65537, 1, true),
            (3, 8192, 3, false),
            (3, 8193, 3, true),
            (3, 10, 4, true),
            (0, 10, 1, false),
            (0, 10, 2, true),
        ];
        for &(fill, bytes, elements, exceeded) in cases {
            assert_eq!(Rules { fill, ..RULES }.exceeded_by(bytes, elements), exceeded, "{fill} {bytes} {elements}");
        }
        let large = |fill, plain_from, len| Rules { fill, plain_from, ..RULES }.is_large(len);
        assert_eq!(
            [large(-1, 0, 4096), large(-1, 0, 4097), large(5, 0, 8192), large(5, 0, 8193)],
            [false, true, false, true]
        );
        assert_eq!([large(-1, 5, 4), large(-1, 5, 5)], [false, true]);
    }

    #[test]
    fn a_full_node_is_split_and_its_parts_joined() {
        let mut list = Quicklist::new(Rules { fill: 4, ..RULES });
        for text in ["1", "2", "3", "4", "5"] {
            list.push(Cow::Borrowed(text.as_bytes()), End::Right);
        }
        let counts = |list: &Quicklist| list.nodes.iter().map(Node::count).collect::<Vec<_>>();
        assert_eq!(counts(&list), [4, 1]);
        list.insert(1, Cow::Borrowed(b"x"), false);
        assert_eq!(counts(&list), [2, 4], "the right part went to the next node");
        list.remove(2, 3);
        assert_eq!(counts(&list), [2, 1]);
        assert!(list.shrunk(&Rules { fill: 100, ..RULES }).is_none(), "two nodes");
        list.remove(1, 2);
        assert!(list.shrunk(&Rules { fill: 1, ..RULES }).is_none(), "half of one is none");
        let mut expected = listpack::EMPTY.to_vec();
        listpack::push(&mut expected, b"1");
        assert_eq!(list.shrunk(&Rules { fill: 2, ..RULES }), Some(expected));
    }
}
