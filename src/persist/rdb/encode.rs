//! Writing values.
//!
//! Everything is appended to a buffer. A value is written as what it is in memory, so a snapshot costs little more than
//! copying, and what is loaded again has the same encoding. A large value is written in pieces: [`begin`] and [`go_on`]
//! write about as much as they are told and return where they stopped.

use super::{length, node, opcode, stream, tag};
use crate::keyspace::entry::{Encoding, EntryRef, Object, Type};
use crate::keyspace::hashmap::{Form, HashView, entries};
use crate::types::number::parse_i64;
use crate::types::quicklist::{List, Quicklist};
use crate::types::set::SetRef;
use crate::types::zset::ZsetRef;
use crate::types::{intset, listpack, lzf};

/// Text that may be an integer has no more bytes than this.
const INTEGER_TEXT_MAX: usize = 11;
/// Shorter text is not worth compressing.
const COMPRESSED_MIN: usize = 21;
/// Compression must save more than so many bytes.
const SAVED_MIN: usize = 4;

/// Appends a length, or another number.
pub fn number(out: &mut Vec<u8>, value: u64) {
    match value {
        0..64 => out.push(length::SIX_BITS | value as u8),
        64..16384 => out.extend_from_slice(&[length::FOURTEEN_BITS | (value >> 8) as u8, value as u8]),
        _ => match u32::try_from(value) {
            Ok(value) => {
                out.push(length::BITS_32);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Err(_) => {
                out.push(length::BITS_64);
                out.extend_from_slice(&value.to_be_bytes());
            }
        },
    }
}

/// Appends text: as an integer where it is one, compressed where that is wished and pays.
pub fn text(out: &mut Vec<u8>, bytes: &[u8], compress: bool) {
    if bytes.len() <= INTEGER_TEXT_MAX
        && let Some(integer) = parse_i64(bytes)
        && small_integer(out, integer)
    {
        return;
    }
    long_text(out, bytes, compress);
}

/// Appends a library of functions.
pub fn library(out: &mut Vec<u8>, source: &[u8], compress: bool) {
    out.push(opcode::FUNCTION2);
    text(out, source, compress);
}

/// Appends an integer in the form that takes least, if it has 32 bits at most.
fn small_integer(out: &mut Vec<u8>, integer: i64) -> bool {
    if let Ok(byte) = i8::try_from(integer) {
        out.extend_from_slice(&[length::INT8, byte as u8]);
    } else if let Ok(short) = i16::try_from(integer) {
        out.push(length::INT16);
        out.extend_from_slice(&short.to_le_bytes());
    } else if let Ok(word) = i32::try_from(integer) {
        out.push(length::INT32);
        out.extend_from_slice(&word.to_le_bytes());
    } else {
        return false;
    }
    true
}

/// Appends text that is not looked at as an integer.
fn long_text(out: &mut Vec<u8>, bytes: &[u8], compress: bool) {
    if compress
        && bytes.len() >= COMPRESSED_MIN
        && let Some(small) = lzf::compress(bytes, bytes.len() - SAVED_MIN)
    {
        out.push(length::LZF);
        number(out, small.len() as u64);
        number(out, bytes.len() as u64);
        out.extend_from_slice(&small);
        return;
    }
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a listpack as text, in Redis' frame: its length before it and an end byte behind it.
pub fn listpack(out: &mut Vec<u8>, bytes: &[u8], compress: bool) {
    let total = bytes.len() + 5;
    let header = (total as u32).to_le_bytes();
    framed(out, &[&header, bytes, &[0xFF]], total, compress);
}

/// Appends an intset as text, in Redis' frame: width and count before it.
fn ints(out: &mut Vec<u8>, bytes: &[u8], compress: bool) {
    let width = u32::from(bytes[0]).to_le_bytes();
    let count = (intset::len(bytes) as u32).to_le_bytes();
    framed(out, &[&width, &count, &bytes[1..]], bytes.len() + 7, compress);
}

fn framed(out: &mut Vec<u8>, parts: &[&[u8]], total: usize, compress: bool) {
    if compress && total >= COMPRESSED_MIN {
        long_text(out, &parts.concat(), true);
    } else {
        number(out, total as u64);
        parts.iter().for_each(|part| out.extend_from_slice(part));
    }
}

/// Appends a field without meaning to the data: who wrote it, and the like.
pub fn aux(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.push(opcode::AUX);
    text(out, name.as_bytes(), false);
    text(out, value, false);
}

/// The type that a value is written as.
pub fn tag_of(entry: EntryRef<'_>) -> u8 {
    let large = entry.object().is_some_and(|object| !matches!(object, Object::Compact(_) | Object::Blob(_)));
    match (entry.kind(), entry.encoding(), large) {
        (Type::String, ..) => tag::STRING,
        (Type::List, ..) => tag::LIST_QUICKLIST_2,
        (Type::Set, _, true) => tag::SET,
        (Type::Set, Encoding::Intset, false) => tag::SET_INTSET,
        (Type::Set, _, false) => tag::SET_LISTPACK,
        (Type::Zset, _, true) => tag::ZSET_2,
        (Type::Zset, _, false) => tag::ZSET_LISTPACK,
        (Type::Hash, _, large) => match (large, entry.earliest_field()) {
            (true, None) => tag::HASH,
            (false, None) => tag::HASH_LISTPACK,
            (true, Some(_)) => tag::HASH_METADATA,
            (false, Some(_)) => tag::HASH_LISTPACK_EX,
        },
        (Type::Stream, ..) => tag::STREAM_LISTPACKS_3,
    }
}

/// Where a value that is half written goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place(u64);

/// How text is written, and how much at once.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// As `rdbcompression`.
    pub compress: bool,
    /// Items of a large value, about.
    pub items: usize,
}

/// Appends a value without its type, or the beginning of it. Returns where to go on.
pub fn begin(out: &mut Vec<u8>, entry: EntryRef<'_>, manner: Manner) -> Option<Place> {
    let compress = manner.compress;
    if entry.kind() == Type::String {
        text(out, entry.string(), compress);
        return None;
    }
    if let Some(list) = entry.list() {
        match list {
            List::Compact(bytes) => {
                number(out, 1);
                number(out, node::PACKED);
                listpack(out, bytes, compress);
                return None;
            }
            List::Nodes(list) => number(out, list.nodes() as u64),
        }
    } else if let Some(set) = entry.set() {
        match set {
            SetRef::Ints(bytes) => {
                ints(out, bytes, compress);
                return None;
            }
            SetRef::List(bytes) => {
                listpack(out, bytes, compress);
                return None;
            }
            SetRef::Table(members) => number(out, members.len() as u64),
        }
    } else if let Some(zset) = entry.zset() {
        match zset {
            ZsetRef::List(bytes) => {
                listpack(out, bytes, compress);
                return None;
            }
            ZsetRef::Tree(tree) => number(out, tree.len() as u64),
        }
    } else if let Some(hash) = HashView::of(entry) {
        match hash {
            HashView::Compact(bytes, form) => {
                compact_hash(out, bytes, form, entry.earliest_field(), compress);
                return None;
            }
            HashView::Large(fields) => {
                if let Some(first) = fields.earliest() {
                    out.extend_from_slice(&first.to_le_bytes());
                }
                number(out, fields.len() as u64);
            }
        }
    } else if let Some(stream) = entry.stream() {
        number(out, stream.log.node_count() as u64);
    }
    go_on(out, entry, Place(0), manner)
}

/// Appends more of a large value, which must not have changed since [`begin`].
pub fn go_on(out: &mut Vec<u8>, entry: EntryRef<'_>, Place(from): Place, manner: Manner) -> Option<Place> {
    let Manner { compress, items } = manner;
    let next = match entry.object() {
        Some(Object::List(list)) => nodes(out, list, from as usize, manner),
        Some(Object::Set(members)) => members.scan(from, items, |member| text(out, member, compress)),
        Some(Object::Hash(fields)) => fields.scan(from, items, |field| {
            // Deadlines count from the earliest, which is one; 0 is none.
            if let Some(first) = fields.earliest() {
                number(out, field.deadline().map_or(0, |deadline| deadline - first + 1));
            }
            text(out, field.name(), compress);
            text(out, field.value(), compress);
        }),
        Some(Object::Stream(stream)) => stream::write(out, stream, from as usize, manner),
        Some(Object::Zset(tree)) => {
            // From the last to the first: so each is added at the beginning of a skip list, where it is cheap.
            let left = tree.len() - from as usize;
            let now = left.min(items);
            for entry in tree.iter_back(left - now..left) {
                text(out, entry.member(), compress);
                out.extend_from_slice(&entry.score().to_le_bytes());
            }
            if now == left { 0 } else { from + now as u64 }
        }
        _ => 0,
    };
    (next != 0).then_some(Place(next))
}

/// Appends a compact hash. One that has only room for deadlines is written without, as older versions know it.
fn compact_hash(out: &mut Vec<u8>, bytes: &[u8], form: Form, first: Option<u64>, compress: bool) {
    match (form, first) {
        (Form::Pairs, _) => listpack(out, bytes, compress),
        (Form::Triples, Some(first)) => {
            out.extend_from_slice(&first.to_le_bytes());
            listpack(out, bytes, compress);
        }
        (Form::Triples, None) => {
            let (mut pairs, mut elements, mut count) = (listpack::EMPTY.to_vec(), Vec::new(), 0);
            for (name, value, _) in entries(bytes, form) {
                name.encode(&mut elements);
                value.encode(&mut elements);
                count += 2;
            }
            listpack::append(&mut pairs, &elements, count);
            listpack(out, &pairs, compress);
        }
    }
}

/// Appends some nodes of a list.
fn nodes(out: &mut Vec<u8>, list: &Quicklist, from: usize, manner: Manner) -> u64 {
    /// Nodes are large: so many items are one.
    const ITEMS: usize = 16;
    let until = from.saturating_add((manner.items / ITEMS).max(1)).min(list.nodes());
    for at in from..until {
        let Some((bytes, plain)) = list.node_bytes(at) else { break };
        if plain {
            number(out, node::PLAIN);
            text(out, &bytes, manner.compress);
        } else {
            number(out, node::PACKED);
            listpack(out, &bytes, manner.compress);
        }
    }
    if until == list.nodes() { 0 } else { until as u64 }
}
