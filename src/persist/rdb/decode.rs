//! Reading values.
//!
//! Bytes may come from anybody: every length is held against what is there, every compact collection is checked, and what
//! does not hold is an error with its place. What a value becomes follows from the settings of now, not from those it was
//! written under. A large value is read in pieces: [`Decoder::step`] reads some items and says whether that was all.

use std::mem;

use super::error::Error;
use super::source::Source;
use super::{frames, node, stream, tag, ziplist};
use crate::keyspace::entry::{Encoding, INLINE_MAX, NewValue, Object, Type};
use crate::keyspace::hashmap::{self, Room};
use crate::keyspace::string_encoding;
use crate::keyspace::{Expiry, StringValue};
use crate::types::field::FieldTable;
use crate::types::hash::KeyHasher;
use crate::types::intset;
use crate::types::listpack::{self, Element};
use crate::types::number::parse_f64;
use crate::types::ordered::Ordered;
use crate::types::quicklist::{self, End, Quicklist};
use crate::types::set::{self, Set, SetMut};
use crate::types::zset;

/// Items of a large value that are read at once.
const PIECE: usize = 256;
const BAD_HASH: &str = "Hash with dup elements";
const TWICE: &str = "Duplicate hash fields detected";
const BAD_SET: &str = "Duplicate set members detected";
const BAD_ZSET: &str = "Duplicate zset fields detected";

/// What decides about the form of what is read.
pub struct Rules {
    pub list: quicklist::Rules,
    pub set: set::Rules,
    pub hash: hashmap::Limits,
    pub zset: zset::Limits,
    pub hasher: KeyHasher,
    /// Whether compact collections are searched for members that come twice. They do no harm, but are not right.
    pub thorough: bool,
}

/// A value that was read.
pub struct Made {
    pub kind: Type,
    pub encoding: Encoding,
    body: Body,
}

enum Body {
    Bytes(Vec<u8>),
    Object(Box<Object>),
}

impl Made {
    fn bytes(kind: Type, encoding: Encoding, bytes: Vec<u8>) -> Made {
        Made { kind, encoding, body: Body::Bytes(bytes) }
    }

    fn object(kind: Type, encoding: Encoding, object: Object) -> Made {
        Made { kind, encoding, body: Body::Object(Box::new(object)) }
    }

    /// Whether it is a hash with fields that expire.
    pub fn has_fields_that_expire(&self) -> bool {
        match &self.body {
            Body::Bytes(_) => matches!(self.encoding, Encoding::ListpackEx | Encoding::HashtableEx),
            Body::Object(object) => matches!(&**object, Object::Hash(fields) if fields.earliest().is_some()),
        }
    }

    /// The value as an entry takes it; `bytes` lends its place.
    pub fn into_value(self, bytes: &mut Vec<u8>) -> NewValue<'_> {
        match self.body {
            Body::Object(object) => NewValue::Boxed(object),
            Body::Bytes(body) if body.len() <= INLINE_MAX => {
                *bytes = body;
                NewValue::Inline(bytes)
            }
            Body::Bytes(body) if self.kind == Type::String => NewValue::Boxed(Box::new(Object::Blob(body.into()))),
            Body::Bytes(body) => NewValue::Boxed(Box::new(Object::Compact(body))),
        }
    }
}

/// What a value comes to.
pub enum Outcome {
    Value(Made),
    /// A collection without items, which no key has.
    Empty,
}

/// A value that is being read.
pub struct Decoder {
    /// Items, or nodes of a list, that are still to come.
    left: u64,
    form: Form,
}

enum Form {
    /// It comes in one piece; by its type.
    Whole(u8),
    /// Text by text; or node by node, by its type.
    List(u8, Quicklist),
    Set(Set),
    /// Fields and values in turn, while they may become a listpack, and whether they have outgrown the settings' limits.
    Fields {
        list: Vec<u8>,
        elements: usize,
        outgrown: bool,
    },
    Hash(FieldTable),
    /// Fields of which some have deadlines, counted from the earliest if that is given.
    Expiring {
        first: Option<u64>,
        fields: FieldTable,
    },
    Stream(Box<stream::Reader>),
    /// Whether scores are texts, and the longest member so far.
    Zset {
        old: bool,
        tree: Ordered,
        longest: usize,
    },
}

impl Decoder {
    /// Begins to read a value of a type.
    ///
    /// # Errors
    /// If there is no such type, or the source fails.
    pub fn new(tag: u8, source: &mut impl Source, rules: &Rules) -> Result<Decoder, Error> {
        let form = match tag {
            tag::STRING
            | tag::HASH_ZIPMAP
            | tag::LIST_ZIPLIST
            | tag::SET_INTSET
            | tag::SET_LISTPACK
            | tag::ZSET_ZIPLIST
            | tag::ZSET_LISTPACK
            | tag::HASH_ZIPLIST
            | tag::HASH_LISTPACK
            | tag::HASH_LISTPACK_EX_PRE_GA
            | tag::HASH_LISTPACK_EX => return Ok(Decoder { left: 1, form: Form::Whole(tag) }),
            tag::LIST | tag::LIST_QUICKLIST | tag::LIST_QUICKLIST_2 => Form::List(tag, Quicklist::new(rules.list)),
            tag::SET => Form::Set(Set::empty()),
            tag::HASH => Form::Fields { list: listpack::EMPTY.to_vec(), elements: 0, outgrown: false },
            tag::HASH_METADATA_PRE_GA => Form::Expiring { first: None, fields: FieldTable::new(rules.hasher.clone()) },
            tag::HASH_METADATA => {
                let first = Some(u64::from_le_bytes(source.array()?));
                Form::Expiring { first, fields: FieldTable::new(rules.hasher.clone()) }
            }
            tag::ZSET | tag::ZSET_2 => {
                Form::Zset { old: tag == tag::ZSET, tree: Ordered::new(rules.hasher.clone()), longest: 0 }
            }
            tag::STREAM_LISTPACKS | tag::STREAM_LISTPACKS_2 | tag::STREAM_LISTPACKS_3 => {
                let nodes = source.number()?;
                return Ok(Decoder { left: 1, form: Form::Stream(Box::new(stream::Reader::new(tag, nodes))) });
            }
            tag::MODULE_PRE_GA => return Err(source.corrupt("Pre-release module format not supported")),
            tag::MODULE_2 => {
                let name = module_name(source.number()?);
                return Err(source.corrupt(format!(
                    "The RDB file contains module data I can't load: no matching module type '{name}'"
                )));
            }
            other => return Err(source.corrupt(format!("Unknown RDB encoding type {other}"))),
        };
        let left = source.number()?;
        let form = match form {
            Form::Set(mut set) => {
                // Those of Redis become what they can be at once, too.
                let most = rules.set.limits.intset_entries.max(rules.set.limits.listpack_entries);
                if left > most as u64 {
                    set::expect(&mut set, left as usize, &rules.set);
                }
                Form::Set(set)
            }
            Form::Fields { list, elements, .. } => {
                Form::Fields { list, elements, outgrown: left > rules.hash.entries as u64 }
            }
            form => form,
        };
        Ok(Decoder { left, form })
    }

    /// Reads some items. Returns the value if those were all; then nothing is left of the decoder.
    ///
    /// # Errors
    /// If the source fails, or what it has cannot be right. If it has too little, this can be tried again from where it was
    /// settled.
    pub fn step(&mut self, source: &mut impl Source, rules: &Rules) -> Result<Option<Outcome>, Error> {
        if let Form::Whole(tag) = self.form {
            return whole(tag, source, rules).map(Some);
        }
        if let Form::Stream(reader) = &mut self.form {
            for _ in 0..PIECE {
                if let Some(stream) = reader.step(source)? {
                    let stream = Object::Stream(Box::new(stream));
                    return Ok(Some(Outcome::Value(Made::object(Type::Stream, Encoding::Stream, stream))));
                }
                source.settle();
            }
            return Ok(None);
        }
        for _ in 0..self.left.min(PIECE as u64) {
            self.item(source, rules)?;
            self.left -= 1;
            source.settle();
        }
        if self.left > 0 {
            return Ok(None);
        }
        if let Form::Fields { list, elements, .. } = &mut self.form {
            count_elements(list, *elements);
            if rules.thorough && listpack::has_twins(list, 2, &rules.hasher) {
                return Err(source.corrupt(BAD_HASH));
            }
        }
        Ok(Some(mem::replace(&mut self.form, Form::Whole(0)).finish(rules)))
    }

    /// Reads a value to its end.
    ///
    /// # Errors
    /// As [`Decoder::new`] and [`Decoder::step`].
    pub fn read(tag: u8, source: &mut impl Source, rules: &Rules) -> Result<Outcome, Error> {
        let mut decoder = Decoder::new(tag, source, rules)?;
        loop {
            if let Some(outcome) = decoder.step(source, rules)? {
                return Ok(outcome);
            }
        }
    }

    fn item(&mut self, source: &mut impl Source, rules: &Rules) -> Result<(), Error> {
        match &mut self.form {
            Form::Whole(_) | Form::Stream(_) => {}
            Form::List(tag, list) => list_item(*tag, list, source)?,
            Form::Set(set) => {
                if !source.with_text(|member| set::add(set, member, &rules.set))? {
                    return Err(source.corrupt(BAD_SET));
                }
            }
            Form::Fields { list, elements, outgrown } => {
                let (name, value) = (source.text()?, source.text()?);
                let bytes = list.len() + name.len() + value.len();
                let room = rules.hash.room(*elements / 2 + 1, [name.len(), value.len()].into_iter());
                if !*outgrown && (room != Room::Compact || bytes > LISTPACK_MAX) {
                    *outgrown = true;
                    count_elements(list, *elements);
                    if listpack::has_twins(list, 2, &rules.hasher) {
                        return Err(source.corrupt(BAD_HASH));
                    }
                }
                if *outgrown && listpack::find(list, listpack::START, &name, 2).is_some() {
                    return Err(source.corrupt(TWICE));
                }
                if !*outgrown || hashmap::are_few((*elements / 2).saturating_add(self.left as usize), bytes) {
                    listpack::encode(&name, list);
                    listpack::encode(&value, list);
                    *elements += 2;
                } else {
                    count_elements(list, *elements);
                    let mut fields = to_fields(list, rules).ok_or_else(|| source.corrupt(BAD_HASH))?;
                    if !fields.set(&name, StringValue::Owned(value)) {
                        return Err(source.corrupt(TWICE));
                    }
                    self.form = Form::Hash(fields);
                }
            }
            Form::Hash(fields) => {
                let (name, value) = (source.text()?, source.text()?);
                if !fields.set(&name, StringValue::Owned(value)) {
                    return Err(source.corrupt(TWICE));
                }
            }
            Form::Expiring { first, fields } => {
                let deadline = match (source.number()?, *first) {
                    (0, _) => Some(0),
                    (behind, Some(first)) => first.checked_add(behind - 1),
                    (deadline, None) => Some(deadline),
                };
                let deadline = deadline.filter(|&deadline| deadline <= hashmap::LATEST_MS);
                let deadline = deadline.ok_or_else(|| source.corrupt("invalid expireAt time of a hash field"))?;
                let expiry = if deadline == 0 { Expiry::Clear } else { Expiry::At(deadline) };
                let (name, value) = (source.text()?, source.text()?);
                if !fields.set_expiring(&name, StringValue::Owned(value), expiry) {
                    return Err(source.corrupt(TWICE));
                }
            }
            Form::Zset { old, tree, longest } => {
                let member = source.text()?;
                let score = if *old { old_score(source)? } else { f64::from_le_bytes(source.array()?) };
                if score.is_nan() {
                    return Err(source.corrupt("Zset with NAN score detected"));
                }
                if tree.set(&member, score).is_some() {
                    return Err(source.corrupt(BAD_ZSET));
                }
                *longest = member.len().max(*longest);
            }
        }
        Ok(())
    }
}

/// No listpack that is made here gets longer, in bytes.
const LISTPACK_MAX: usize = 1 << 30;

/// Writes down how many elements a listpack has got.
fn count_elements(list: &mut [u8], elements: usize) {
    list[..listpack::START].copy_from_slice(&u16::try_from(elements).unwrap_or(u16::MAX).to_le_bytes());
}

impl Form {
    fn finish(self, rules: &Rules) -> Outcome {
        let made = match self {
            Form::Whole(_) | Form::Stream(_) => return Outcome::Empty,
            Form::List(_, list) if list.is_empty() => return Outcome::Empty,
            Form::List(_, list) => finish_list(list, rules),
            Form::Set(set) if set.set().is_empty() => return Outcome::Empty,
            Form::Set(set) => finish_set(set),
            Form::Fields { elements: 0, .. } => return Outcome::Empty,
            Form::Fields { mut list, outgrown, .. } => {
                list.shrink_to_fit();
                let encoding = if outgrown { Encoding::Hashtable } else { Encoding::Listpack };
                Made::bytes(Type::Hash, encoding, list)
            }
            Form::Hash(fields) if fields.is_empty() => return Outcome::Empty,
            Form::Hash(fields) => Made::object(Type::Hash, Encoding::Hashtable, Object::Hash(fields)),
            Form::Expiring { fields, .. } if fields.is_empty() => return Outcome::Empty,
            Form::Expiring { fields, .. } => finish_hash(fields, rules),
            Form::Zset { tree, .. } if tree.is_empty() => return Outcome::Empty,
            Form::Zset { tree, longest, .. } => finish_zset(tree, longest, rules),
        };
        Outcome::Value(made)
    }
}

fn finish_list(mut list: Quicklist, rules: &Rules) -> Made {
    match list.compacted(&rules.list) {
        Some(bytes) => Made::bytes(Type::List, Encoding::Listpack, bytes),
        None => Made::object(Type::List, Encoding::Quicklist, Object::List(list)),
    }
}

fn finish_set(set: Set) -> Made {
    match set {
        Set::Ints(bytes) => Made::bytes(Type::Set, Encoding::Intset, bytes),
        Set::List(bytes) => Made::bytes(Type::Set, Encoding::Listpack, bytes),
        Set::Few(bytes) => Made::bytes(Type::Set, Encoding::Hashtable, bytes),
        Set::Table(members) => Made::object(Type::Set, Encoding::Hashtable, Object::Set(members)),
    }
}

/// A hash becomes a listpack if there is room for it in one.
fn finish_hash(fields: FieldTable, rules: &Rules) -> Made {
    match hashmap::compacted(&fields, rules.hash) {
        Some((encoding, bytes)) => Made::bytes(Type::Hash, encoding, bytes),
        None => Made::object(Type::Hash, Encoding::Hashtable, Object::Hash(fields)),
    }
}

/// A sorted set becomes a listpack if it is small enough for that.
fn finish_zset(tree: Ordered, longest: usize, rules: &Rules) -> Made {
    let bytes = tree.len().saturating_mul(longest);
    if tree.len() > rules.zset.entries || longest > rules.zset.value || bytes > LISTPACK_MAX {
        return Made::object(Type::Zset, Encoding::Skiplist, Object::Zset(tree));
    }
    let mut list = listpack::EMPTY.to_vec();
    for entry in tree.iter(0..tree.len()) {
        listpack::encode(entry.member(), &mut list);
        zset::encode_score(entry.score(), &mut list);
    }
    count_elements(&mut list, tree.len() * 2);
    Made::bytes(Type::Zset, Encoding::Listpack, list)
}

fn list_item(tag: u8, list: &mut Quicklist, source: &mut impl Source) -> Result<(), Error> {
    if tag == tag::LIST {
        list.push(source.text()?.into(), End::Right);
        return Ok(());
    }
    let container = if tag == tag::LIST_QUICKLIST_2 { source.number()? } else { node::PACKED };
    let text = source.text()?;
    if text.is_empty() {
        return Err(source.corrupt("Quicklist integrity check failed."));
    }
    let bytes = match (tag, container) {
        (_, node::PLAIN) => {
            list.append_plain(text);
            return Ok(());
        }
        (tag::LIST_QUICKLIST, _) => {
            ziplist::to_listpack(&text).ok_or_else(|| source.corrupt("Ziplist integrity check failed."))?
        }
        (_, node::PACKED) => {
            frames::listpack(text).ok_or_else(|| source.corrupt("Listpack integrity check failed."))?
        }
        _ => return Err(source.corrupt("Quicklist integrity check failed.")),
    };
    if !listpack::is_empty(&bytes) {
        list.append_packed(bytes);
    }
    Ok(())
}

/// A score of the first form: a length and digits, or a length that stands for what has no digits.
fn old_score(source: &mut impl Source) -> Result<f64, Error> {
    Ok(match source.byte()? {
        255 => f64::NEG_INFINITY,
        254 => f64::INFINITY,
        253 => f64::NAN,
        len => {
            let text = source.bytes(u64::from(len))?;
            parse_f64(&text).ok_or_else(|| source.corrupt("Zset with an invalid score detected"))?
        }
    })
}

/// Reads a value that is one text.
fn whole(tag: u8, source: &mut impl Source, rules: &Rules) -> Result<Outcome, Error> {
    if tag == tag::HASH_LISTPACK_EX {
        // The earliest deadline, which is that of the first field.
        source.array::<8>()?;
    }
    let text = source.text()?;
    let made = match tag {
        tag::STRING => Made::bytes(Type::String, string_encoding(&text), text),
        tag::LIST_ZIPLIST => {
            let mut list = Quicklist::new(rules.list);
            let sound = ziplist::each(&text, |element| list.push(element.to_vec().into(), End::Right));
            sound.ok_or_else(|| source.corrupt("List ziplist integrity check failed."))?;
            if list.is_empty() {
                return Ok(Outcome::Empty);
            }
            finish_list(list, rules)
        }
        tag::SET_INTSET => {
            let bytes = frames::ints(text).ok_or_else(|| source.corrupt("Intset integrity check failed."))?;
            if intset::len(&bytes) == 0 {
                return Ok(Outcome::Empty);
            }
            let mut set = Set::Ints(bytes);
            if set.set().len() > rules.set.limits.intset_entries {
                set::expect(&mut set, usize::MAX, &rules.set);
            }
            finish_set(set)
        }
        tag::SET_LISTPACK => {
            let failed = "Set listpack integrity check failed.";
            let list = frames::listpack(text).ok_or_else(|| source.corrupt(failed))?;
            if rules.thorough && listpack::has_twins(&list, 1, &rules.hasher) {
                return Err(source.corrupt(failed));
            }
            if listpack::is_empty(&list) {
                return Ok(Outcome::Empty);
            }
            let mut set = Set::List(list);
            let len = set.set().len();
            if len > rules.set.limits.listpack_entries {
                set::expect(&mut set, usize::MAX, &rules.set);
                if set.set().len() != len {
                    return Err(source.corrupt(BAD_SET));
                }
            }
            finish_set(set)
        }
        tag::ZSET_ZIPLIST | tag::ZSET_LISTPACK => {
            let (list, failed) = if tag == tag::ZSET_ZIPLIST {
                (ziplist::to_listpack(&text), "Zset ziplist integrity check failed.")
            } else {
                (frames::content(text), "Zset listpack integrity check failed.")
            };
            return match compact_zset(list, rules) {
                Some(outcome) => Ok(outcome),
                None => Err(source.corrupt(failed)),
            };
        }
        tag::HASH_LISTPACK_EX | tag::HASH_LISTPACK_EX_PRE_GA => {
            let failed = "Hash listpack integrity check failed.";
            let list = frames::listpack(text).ok_or_else(|| source.corrupt(failed))?;
            if listpack::is_empty(&list) {
                return Ok(Outcome::Empty);
            }
            if !hashmap::are_triples(&list) || rules.thorough && listpack::has_twins(&list, 3, &rules.hasher) {
                return Err(source.corrupt(failed));
            }
            if listpack::len(&list) / 3 > rules.hash.entries {
                let mut fields = FieldTable::new(rules.hasher.clone());
                for (name, value, deadline) in hashmap::entries(&list, hashmap::Form::Triples) {
                    let (name, value) = (name.to_vec(), StringValue::Owned(value.to_vec()));
                    if !fields.set_expiring(&name, value, deadline.map_or(Expiry::Clear, Expiry::At)) {
                        return Err(source.corrupt(BAD_HASH));
                    }
                }
                finish_hash(fields, rules)
            } else {
                Made::bytes(Type::Hash, Encoding::ListpackEx, list)
            }
        }
        _ => {
            let (list, failed) = match tag {
                tag::HASH_ZIPMAP => (ziplist::zipmap_to_listpack(&text), "Zipmap integrity check failed."),
                tag::HASH_ZIPLIST => (ziplist::to_listpack(&text), "Hash ziplist integrity check failed."),
                _ => (frames::listpack(text), "Hash listpack integrity check failed."),
            };
            let list = list.filter(|list| listpack::len(list).is_multiple_of(2));
            let list = list.ok_or_else(|| source.corrupt(failed))?;
            // The older forms were never checked when they were written.
            let thorough = rules.thorough || tag != tag::HASH_LISTPACK;
            if thorough && listpack::has_twins(&list, 2, &rules.hasher) {
                return Err(source.corrupt(if tag == tag::HASH_ZIPMAP { BAD_HASH } else { failed }));
            }
            if listpack::is_empty(&list) {
                return Ok(Outcome::Empty);
            }
            // As in Redis, the lengths of texts do not matter here, but in the form that knew no such limit.
            let too_long = |list| listpack::iter(list).any(|(_, element)| element.text_len() > rules.hash.bytes);
            if listpack::len(&list) / 2 > rules.hash.entries || tag == tag::HASH_ZIPMAP && too_long(&list) {
                let fields = to_fields(&list, rules).ok_or_else(|| source.corrupt(BAD_HASH))?;
                finish_hash(fields, rules)
            } else {
                Made::bytes(Type::Hash, Encoding::Listpack, list)
            }
        }
    };
    Ok(Outcome::Value(made))
}

/// A sorted set of unknown bytes, if they are a listpack of members and scores.
fn compact_zset(list: Option<Vec<u8>>, rules: &Rules) -> Option<Outcome> {
    let list = list?;
    let score_of = |element| match element {
        Element::Integer(whole) => Some(whole as f64),
        Element::Text(text) => parse_f64(text).filter(|score| !score.is_nan()),
    };
    // Where the last member is, and its score.
    let mut last: Option<(usize, f64)> = None;
    let mut in_order = true;
    let (mut at, mut elements) = (listpack::START, 0);
    while at < list.len() {
        let score_at = listpack::checked_end(&list, at)?;
        let end = listpack::checked_end(&list, score_at)?;
        let score = score_of(listpack::get(&list, score_at))?;
        in_order &= last.is_none_or(|(before, before_score)| {
            before_score < score
                || before_score == score && {
                    let (before, member) = (listpack::get(&list, before), listpack::get(&list, at));
                    before.with_bytes(|before| member.with_bytes(|member| before < member))
                }
        });
        last = Some((at, score));
        at = end;
        elements += 2;
    }
    if !listpack::is_count(&list, elements) {
        return None;
    }
    if elements == 0 {
        return Some(Outcome::Empty);
    }
    // As in Redis, the lengths of members do not matter here.
    let few = elements / 2 <= rules.zset.entries;
    if few && in_order && !(rules.thorough && listpack::has_twins(&list, 2, &rules.hasher)) {
        return Some(Outcome::Value(Made::bytes(Type::Zset, Encoding::Listpack, list)));
    }
    // Twins, too, are found on the way.
    let mut longest = 0;
    let mut tree = Ordered::new(rules.hasher.clone());
    for (member, score) in pairs(&list) {
        let score = score_of(score)?;
        longest = member.text_len().max(longest);
        if member.with_bytes(|member| tree.set(member, score)).is_some() {
            return None;
        }
    }
    Some(Outcome::Value(finish_zset(tree, longest, rules)))
}

/// Elements two by two: fields and values, members and scores.
fn pairs(list: &[u8]) -> impl Iterator<Item = (Element<'_>, Element<'_>)> {
    let mut elements = listpack::iter(list).map(|(_, element)| element);
    std::iter::from_fn(move || Some((elements.next()?, elements.next()?)))
}

/// The fields of a compact hash as a table; `None` if one comes twice.
fn to_fields(list: &[u8], rules: &Rules) -> Option<FieldTable> {
    let mut fields = FieldTable::new(rules.hasher.clone());
    for (name, value) in pairs(list) {
        let new = name.with_bytes(|name| value.with_bytes(|value| fields.set(name, StringValue::Borrowed(value))));
        if !new {
            return None;
        }
    }
    Some(fields)
}

/// The name of a module's type: nine letters of six bits each, above ten bits of its version.
pub fn module_name(id: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).map(|nth| char::from(LETTERS[(id >> (10 + 6 * (8 - nth)) & 63) as usize])).collect()
}
