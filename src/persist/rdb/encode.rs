//! Writing values.
//!
//! Everything is appended to a buffer. A value is written as what it is in memory, so a snapshot costs little more than
//! copying, and what is loaded again has the same encoding. [`value`] writes a value as it is; one that changes while it is
//! written comes as a [`prefix`] and [pieces](piece).

use super::{length, node, opcode, stream, tag};
use crate::keyspace::entry::{Encoding, EntryRef, Object, Type};
use crate::keyspace::hashmap::{Form, HashView, entries};
use crate::types::number::parse_i64;
use crate::types::telling::Piece;
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
    // One that has outgrown the settings' limits is written as a table, even if it is none.
    let large = entry.encoding().is_outgrown()
        || entry.object().is_some_and(|object| !matches!(object, Object::Compact(_) | Object::Blob(_)));
    match (entry.kind(), entry.encoding()) {
        (kind, _) if large => large_tag(kind, entry.earliest_field()),
        (Type::Set, Encoding::Intset) => tag::SET_INTSET,
        (Type::Set, _) => tag::SET_LISTPACK,
        (Type::Zset, _) => tag::ZSET_LISTPACK,
        (Type::Hash, _) if entry.earliest_field().is_some() => tag::HASH_LISTPACK_EX,
        (Type::Hash, _) => tag::HASH_LISTPACK,
        (kind, _) => large_tag(kind, None),
    }
}

/// The type that a large value is written as, given the earliest deadline of a field.
pub fn large_tag(kind: Type, earliest: Option<u64>) -> u8 {
    match kind {
        Type::String => tag::STRING,
        Type::List => tag::LIST_QUICKLIST_2,
        Type::Set => tag::SET,
        Type::Zset => tag::ZSET_2,
        Type::Hash if earliest.is_some() => tag::HASH_METADATA,
        Type::Hash => tag::HASH,
        Type::Stream => tag::STREAM_LISTPACKS_3,
    }
}

/// Appends a value without its type.
pub fn value(out: &mut Vec<u8>, entry: EntryRef<'_>, compress: bool) {
    match entry.object() {
        None | Some(Object::Blob(_) | Object::Compact(_)) => small(out, entry, compress),
        Some(Object::List(list)) => {
            prefix(out, list.nodes(), None);
            for (bytes, plain) in (0..list.nodes()).filter_map(|at| list.node_bytes(at)) {
                piece(out, Piece::Node { bytes, plain }, None, compress);
            }
        }
        Some(Object::Set(members)) => {
            prefix(out, members.len(), None);
            members.iter().for_each(|member| piece(out, Piece::Member(member), None, compress));
        }
        Some(Object::Zset(tree)) => {
            prefix(out, tree.len(), None);
            for entry in tree.iter_back(0..tree.len()) {
                piece(out, Piece::Scored(entry.member(), entry.score()), None, compress);
            }
        }
        Some(Object::Hash(fields)) => {
            let earliest = fields.earliest();
            prefix(out, fields.len(), earliest);
            fields.each(|field| piece(out, field.piece(), earliest, compress));
        }
        Some(Object::Stream(stream)) => {
            prefix(out, stream.log.node_count(), None);
            stream.each(&mut |part| piece(out, part, None, compress));
        }
    }
}

/// Appends a value that is not an object of its own.
fn small(out: &mut Vec<u8>, entry: EntryRef<'_>, compress: bool) {
    let bytes = entry.compact();
    match entry.kind() {
        Type::String => text(out, entry.string(), compress),
        Type::List => {
            number(out, 1);
            number(out, node::PACKED);
            listpack(out, bytes, compress);
        }
        Type::Set if entry.encoding() == Encoding::Intset => ints(out, bytes, compress),
        Type::Set | Type::Hash if entry.encoding().is_outgrown() => few(out, entry, compress),
        Type::Hash => {
            if let Some(HashView::Compact(bytes, form)) = HashView::of(entry) {
                compact_hash(out, bytes, form, entry.earliest_field(), compress);
            }
        }
        Type::Set | Type::Zset | Type::Stream => listpack(out, bytes, compress),
    }
}

/// Appends a set or hash that has outgrown the settings' limits, but is no table.
fn few(out: &mut Vec<u8>, entry: EntryRef<'_>, compress: bool) {
    if let Some(set) = entry.set() {
        prefix(out, set.len(), None);
        set.iter().for_each(|member| member.with_bytes(|member| piece(out, Piece::Member(member), None, compress)));
    } else if let Some(hash) = HashView::of(entry) {
        let earliest = hash.earliest();
        prefix(out, hash.len(), earliest);
        hash.each(|name, value, deadline| {
            name.with_bytes(|name| {
                value.with_bytes(|value| piece(out, Piece::Field { name, value, deadline }, earliest, compress));
            });
        });
    }
}

/// Appends what comes before the pieces of a large value: how many members, fields or nodes there are, and before that the
/// earliest deadline of a field.
pub fn prefix(out: &mut Vec<u8>, count: usize, earliest: Option<u64>) {
    out.extend(earliest.into_iter().flat_map(u64::to_le_bytes));
    number(out, count as u64);
}

/// Appends a piece of a large value. `earliest` is the earliest deadline of a field.
pub fn piece(out: &mut Vec<u8>, piece: Piece<'_>, earliest: Option<u64>, compress: bool) {
    match piece {
        Piece::Member(member) => text(out, member, compress),
        Piece::Scored(member, score) => {
            text(out, member, compress);
            out.extend_from_slice(&score.to_le_bytes());
        }
        Piece::Field { name, value, deadline } => {
            // Deadlines count from the earliest, which is one; 0 is none.
            if let Some(earliest) = earliest {
                number(out, deadline.map_or(0, |deadline| deadline - earliest + 1));
            }
            text(out, name, compress);
            text(out, value, compress);
        }
        Piece::Node { bytes, plain: true } => {
            number(out, node::PLAIN);
            text(out, &bytes, compress);
        }
        Piece::Node { bytes, plain: false } => {
            number(out, node::PACKED);
            listpack(out, &bytes, compress);
        }
        of_stream => stream::write(out, of_stream, compress),
    }
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
