//! A node of a stream: entries that follow one another, in one listpack.
//!
//! ```text
//!   live │ deleted │ number of names │ name … │ 0 │ entry │ entry │ …
//!
//!   entry:  flags │ ms │ seq │ value …                                 │ how many elements so far     with flag SAME
//!           flags │ ms │ seq │ number of fields │ name │ value │ name … │ how many elements so far     without
//! ```
//!
//! The node's head names the fields of its first entry, and an entry with the same names in the same order repeats none of
//! them. `ms` and `seq` are what an entry's ID is above the node's own ID (that of its first entry), modulo 2^64. The
//! number at an entry's end leads to its beginning when the node is read backwards, and 0 says that there is no entry
//! before. An entry that is deleted only gets a flag: its bytes go with the node. These are Redis' nodes (its "stream
//! listpacks"), so that snapshots take them as they are.
//!
//! Bytes that come from outside must pass [`validate`] once; every other function panics on bytes that would not.

use super::id::Id;
use crate::types::listpack::{self, Element};

const DELETED: i64 = 1;
const SAME: i64 = 2;

const BROKEN: &str = "a node that was validated or built here is well formed";

/// The integer at an offset, and the offset behind it.
#[inline]
fn integer(bytes: &[u8], at: usize) -> (i64, usize) {
    if bytes[at] < 0x80 {
        // Most are small, and take a byte and the length of that.
        return (i64::from(bytes[at]), at + 2);
    }
    match listpack::get(bytes, at) {
        Element::Integer(value) => (value, listpack::end(bytes, at)),
        Element::Text(_) => panic!("{BROKEN}"),
    }
}

/// The offset `count` elements further.
#[inline]
fn skip(bytes: &[u8], at: usize, count: usize) -> usize {
    (0..count).fold(at, |at, _| listpack::end(bytes, at))
}

/// Puts another integer in the place of the one at an offset.
fn store(bytes: &mut Vec<u8>, at: usize, value: i64) {
    if (0..0x80).contains(&value) && bytes[at] < 0x80 {
        bytes[at] = value as u8;
        return;
    }
    listpack::replace_element(bytes, at, Element::Integer(value));
}

/// What a node says of itself.
#[derive(Clone, Copy)]
struct Head {
    live: i64,
    deleted: i64,
    deleted_at: usize,
    /// How many names there are, and where they begin.
    names: usize,
    names_at: usize,
}

#[inline]
fn head(bytes: &[u8]) -> Head {
    let (live, deleted_at) = integer(bytes, listpack::START);
    let (deleted, at) = integer(bytes, deleted_at);
    let (names, names_at) = integer(bytes, at);
    Head { live, deleted, deleted_at, names: names as usize, names_at }
}

/// How many entries it has that are not deleted.
pub fn live(bytes: &[u8]) -> u64 {
    integer(bytes, listpack::START).0 as u64
}

/// How many entries it has, deleted ones included.
pub fn entries_ever(bytes: &[u8]) -> u64 {
    let head = head(bytes);
    (head.live + head.deleted) as u64
}

/// A node without entries, for entries with these names.
pub fn begin<'n>(names: impl ExactSizeIterator<Item = &'n [u8]>) -> Vec<u8> {
    let mut bytes = listpack::EMPTY.to_vec();
    let count = 4 + names.len();
    listpack::encode_integer(0, &mut bytes);
    listpack::encode_integer(0, &mut bytes);
    listpack::encode_integer(names.len() as i64, &mut bytes);
    names.for_each(|name| listpack::encode(name, &mut bytes));
    listpack::encode_integer(0, &mut bytes);
    listpack::count_more(&mut bytes, count);
    bytes
}

/// Appends an entry: names and values in turn.
pub fn append<'p>(bytes: &mut Vec<u8>, node: Id, id: Id, pairs: impl ExactSizeIterator<Item = &'p [u8]> + Clone) {
    let head = head(bytes);
    let len = bytes.len();
    store(bytes, listpack::START, head.live + 1);
    let names = head.names;
    // The number before them may have become longer.
    let names_at = head.names_at + (bytes.len() - len);
    let fields = pairs.len() / 2;
    let mut name_at = names_at;
    let same = fields == names
        && pairs.clone().step_by(2).all(|name| {
            let own = listpack::get(bytes, name_at);
            name_at = listpack::end(bytes, name_at);
            own == *name
        });
    let push = |number: i64, bytes: &mut Vec<u8>| listpack::encode_integer(number, bytes);
    push(if same { SAME } else { 0 }, bytes);
    push(id.ms.wrapping_sub(node.ms) as i64, bytes);
    push(id.seq.wrapping_sub(node.seq) as i64, bytes);
    let elements = if same {
        pairs.skip(1).step_by(2).for_each(|value| listpack::encode(value, bytes));
        3 + fields
    } else {
        push(fields as i64, bytes);
        pairs.for_each(|text| listpack::encode(text, bytes));
        4 + 2 * fields
    };
    push(elements as i64, bytes);
    listpack::count_more(bytes, elements + 1);
}

/// An entry, in its node.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub id: Id,
    bytes: &'a [u8],
    /// Where it begins.
    at: usize,
    flags: i64,
    fields: usize,
    /// Where the node's names begin.
    names_at: usize,
    /// Where its names and values begin.
    body: usize,
}

impl<'a> Entry<'a> {
    /// The one that begins at an offset.
    #[inline]
    fn read(bytes: &'a [u8], node: Id, head: &Head, at: usize) -> Entry<'a> {
        let (flags, next) = integer(bytes, at);
        let (ms, next) = integer(bytes, next);
        let (seq, next) = integer(bytes, next);
        let id = Id { ms: node.ms.wrapping_add(ms as u64), seq: node.seq.wrapping_add(seq as u64) };
        let (fields, body) = if flags & SAME != 0 {
            (head.names, next)
        } else {
            let (fields, body) = integer(bytes, next);
            (fields as usize, body)
        };
        Entry { id, bytes, at, flags, fields, names_at: head.names_at, body }
    }

    /// How many fields it has.
    pub fn fields(&self) -> usize {
        self.fields
    }

    /// Whether it is only still there because its node is.
    pub fn is_deleted(&self) -> bool {
        self.flags & DELETED != 0
    }

    fn has_same_names(&self) -> bool {
        self.flags & SAME != 0
    }

    /// Where the next one begins.
    #[inline]
    fn end(&self) -> usize {
        let elements = if self.has_same_names() { self.fields } else { 2 * self.fields };
        // And the number of elements.
        skip(self.bytes, self.body, elements + 1)
    }

    /// Its names and values.
    pub fn pairs(&self) -> impl Iterator<Item = (Element<'a>, Element<'a>)> + use<'a> {
        let (bytes, same) = (self.bytes, self.has_same_names());
        let (mut name_at, mut at) = (self.names_at, self.body);
        (0..self.fields).map(move |_| {
            let next_name = if same { &mut name_at } else { &mut at };
            let name = listpack::get(bytes, *next_name);
            *next_name = listpack::end(bytes, *next_name);
            let value = listpack::get(bytes, at);
            at = listpack::end(bytes, at);
            (name, value)
        })
    }
}

/// The entries of a node, deleted ones included, from either end.
#[derive(Clone)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    node: Id,
    head: Head,
    front: usize,
    back: usize,
}

impl<'a> Entries<'a> {
    pub fn new(bytes: &'a [u8], node: Id) -> Entries<'a> {
        let head = head(bytes);
        // The names, and the 0 behind them.
        let front = skip(bytes, head.names_at, head.names + 1);
        Entries { bytes, node, head, front, back: bytes.len() }
    }

    /// Those that are not deleted.
    pub fn live(self) -> impl DoubleEndedIterator<Item = Entry<'a>> {
        self.filter(|entry| !entry.is_deleted())
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        if self.front >= self.back {
            return None;
        }
        let entry = Entry::read(self.bytes, self.node, &self.head, self.front);
        self.front = entry.end();
        Some(entry)
    }
}

impl<'a> DoubleEndedIterator for Entries<'a> {
    fn next_back(&mut self) -> Option<Entry<'a>> {
        if self.front >= self.back {
            return None;
        }
        let mut at = listpack::previous(self.bytes, self.back).expect(BROKEN);
        let (elements, _) = integer(self.bytes, at);
        for _ in 0..elements {
            at = listpack::previous(self.bytes, at).expect(BROKEN);
        }
        self.back = at;
        Some(Entry::read(self.bytes, self.node, &self.head, at))
    }
}

/// The ID of its last entry, deleted or not.
pub fn last_id(bytes: &[u8], node: Id) -> Id {
    Entries::new(bytes, node).next_back().map_or(node, |entry| entry.id)
}

/// Deletes the entries at these offsets, none of which is deleted yet. The offsets ascend.
fn delete_at(bytes: &mut Vec<u8>, entries: &[usize]) {
    // From behind, so that no offset moves before it is used: a flag that is not as short as it could be becomes shorter.
    for &at in entries.iter().rev() {
        let (flags, _) = integer(bytes, at);
        store(bytes, at, flags | DELETED);
    }
    let (head, count) = (head(bytes), entries.len() as i64);
    store(bytes, head.deleted_at, head.deleted + count);
    store(bytes, listpack::START, head.live - count);
}

/// Deletes an entry. Returns whether it was there.
pub fn delete(bytes: &mut Vec<u8>, node: Id, id: Id) -> bool {
    let found = Entries::new(bytes, node).live().find(|entry| entry.id >= id).filter(|entry| entry.id == id);
    let at = found.map(|entry| entry.at);
    if let Some(at) = at {
        delete_at(bytes, &[at]);
    }
    at.is_some()
}

/// Deletes entries from the first on: at most `most` of them, and only those before an ID if there is one. Returns how
/// many.
pub fn delete_first(bytes: &mut Vec<u8>, node: Id, most: u64, before: Option<Id>) -> u64 {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let old = Entries::new(bytes, node).take_while(|entry| before.is_none_or(|before| entry.id < before));
    let found: Vec<usize> = old.filter(|entry| !entry.is_deleted()).map(|entry| entry.at).take(most).collect();
    if !found.is_empty() {
        delete_at(bytes, &found);
    }
    found.len() as u64
}

/// Whether bytes of unknown origin are a node with entries, whose head counts them right, and in which the IDs of live
/// ones ascend. It takes time proportional to the number of elements and never panics.
pub fn validate(bytes: &[u8], node: Id) -> bool {
    structure(bytes, node).is_some()
}

/// The elements of unknown bytes, one after the other, as long as they are elements, and what is asked for.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    passed: usize,
}

impl Walk<'_> {
    #[inline]
    fn step(&mut self) -> Option<()> {
        self.at = listpack::checked_end(self.bytes, self.at)?;
        self.passed += 1;
        Some(())
    }

    #[inline]
    fn integer(&mut self) -> Option<i64> {
        let at = self.at;
        if let Some(&[small @ 0..0x80, 1]) = self.bytes.get(at..at + 2) {
            // Most are such.
            self.at += 2;
            self.passed += 1;
            return Some(i64::from(small));
        }
        self.step()?;
        match listpack::get(self.bytes, at) {
            Element::Integer(value) => Some(value),
            Element::Text(_) => None,
        }
    }

    #[inline]
    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.integer()?).ok()
    }

    /// Passes elements by. However many are announced, this ends with those that are there.
    #[inline]
    fn pass(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.step())
    }
}

/// Walks through bytes as a node. `None` where they are none.
fn structure(bytes: &[u8], node: Id) -> Option<()> {
    bytes.get(..listpack::START)?;
    let mut walk = Walk { bytes, at: listpack::START, passed: 0 };
    let (live, deleted, names) = (walk.count()?, walk.count()?, walk.count()?);
    walk.pass(names)?;
    (walk.integer()? == 0).then_some(())?;
    let (mut seen_live, mut seen_deleted, mut last) = (0, 0, None);
    while walk.at < bytes.len() {
        let flags = walk.integer().filter(|flags| (0..=SAME | DELETED).contains(flags))?;
        let (ms, seq) = (walk.integer()?, walk.integer()?);
        let id = Id { ms: node.ms.wrapping_add(ms as u64), seq: node.seq.wrapping_add(seq as u64) };
        let elements = if flags & SAME != 0 {
            walk.pass(names)?;
            names.checked_add(3)?
        } else {
            let texts = walk.count()?.checked_mul(2)?;
            walk.pass(texts)?;
            texts.checked_add(4)?
        };
        (walk.count()? == elements).then_some(())?;
        if flags & DELETED != 0 {
            seen_deleted += 1;
            continue;
        }
        if id < node || last.is_some_and(|last| id <= last) {
            return None;
        }
        last = Some(id);
        seen_live += 1;
    }
    let counted = (seen_live, seen_deleted) == (live, deleted) && listpack::is_count(bytes, walk.passed);
    (counted && live + deleted > 0).then_some(())
}
