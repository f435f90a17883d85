//! SORT: the elements of a list, a set or a sorted set, in an order of their own or one that other keys give.
//!
//! What is to be sorted is copied first, all texts into one buffer, because looking up what a pattern names may remove
//! keys that have expired. As in Redis, patterns and texts that are compared without STORE end at a zero byte, as texts
//! of a C program do; texts are compared byte by byte, whatever the locale. What Redis leaves in any order keeps its own. A
//! sorted set that is sorted stays compact, which it does not in Redis.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use super::Ctx;
use super::error::{Error, Outcome};
use super::list;
use super::string::integer;
use super::table::{Acl, Begin, Command, Doc, Find, Flags, KeyFlags, KeySpec};
use crate::effects::Event;
use crate::keyspace::entry::{Encoding, EntryRef, INLINE_MAX, NewValue, Object, Type};
use crate::keyspace::hashmap::HashView;
use crate::keyspace::{Key, Keyspace, Touch};
use crate::resp::Args;
use crate::types::listpack::Element;
use crate::types::number::{c_text, parse_f64};
use crate::types::quicklist::{End, Quicklist};
use crate::types::zset::{self, ZsetRef};

const SORT: Command =
    Command { acl: Acl::SET.union(Acl::SORTEDSET).union(Acl::LIST).union(Acl::DANGEROUS), arity: -2, ..Command::NONE };
const DOC: Doc = Doc {
    group: "generic",
    complexity: "O(N+M*log(M)) for N elements, M of which are answered; O(N) if nothing is sorted",
    ..Command::NONE.doc
};

const SORTED: KeySpec = KeySpec::one(1, KeyFlags::READS);
const LOOKED_UP: KeySpec = KeySpec {
    begin: Begin::Unknown,
    find: Find::Unknown,
    flags: KeyFlags::READS,
    notes: "What BY and GET look up depends on the elements.",
};
const STORED: KeySpec = KeySpec {
    flags: KeyFlags::OW.union(KeyFlags::UPDATE),
    notes: "The key behind STORE, wherever that stands.",
    ..LOOKED_UP
};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "sort",
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
        keys: &[SORTED, LOOKED_UP, STORED],
        doc: Doc {
            summary: "Answers the elements of a list, a set or a sorted set in order, or stores them.",
            since: "1.0.0",
            syntax: "key [by-pattern: BY pattern] [LIMIT offset count] [get-pattern: GET pattern [GET pattern ...]] [order: ASC | DESC] [sorting: ALPHA] \
                     [STORE destination]",
            ..DOC
        },
        handler: |cx, args| sort(cx, args, true),
        ..SORT
    },
    Command {
        name: "sort_ro",
        flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
        keys: &[SORTED, LOOKED_UP],
        doc: Doc {
            summary: "Answers the elements of a list, a set or a sorted set in order.",
            since: "7.0.0",
            syntax: "key [by-pattern: BY pattern] [LIMIT offset count] [get-pattern: GET pattern [GET pattern ...]] [order: ASC | DESC] [sorting: ALPHA]",
            ..DOC
        },
        handler: |cx, args| sort(cx, args, false),
        ..SORT
    },
];

/// Where patterns are looked up.
struct Place<'k> {
    keys: &'k mut Keyspace,
    db: usize,
    touch: Touch,
}

/// What BY or GET names for an element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pattern<'a> {
    /// `#`: the element itself.
    Itself,
    /// Without a star, nothing depends on the element, and nothing is looked up.
    Nothing,
    /// A key of which the element is a part, or a field of the hash there.
    Key { prefix: &'a [u8], suffix: &'a [u8], field: Option<&'a [u8]> },
}

impl<'a> Pattern<'a> {
    fn new(pattern: &'a [u8]) -> Pattern<'a> {
        let text = c_text(pattern);
        if text == b"#" {
            return Pattern::Itself;
        }
        let Some(star) = memchr::memchr(b'*', text) else { return Pattern::Nothing };
        let arrow = memchr::memmem::find(&text[star + 1..], b"->").map(|at| star + 1 + at);
        match arrow.filter(|arrow| arrow + 2 < text.len()) {
            Some(arrow) => Pattern::Key {
                prefix: &pattern[..star],
                suffix: &pattern[star + 1..arrow],
                field: Some(&pattern[arrow + 2..]),
            },
            None => Pattern::Key { prefix: &pattern[..star], suffix: &pattern[star + 1..], field: None },
        }
    }

    /// Lends what it names for an element.
    fn look_up<R>(self, place: &mut Place<'_>, element: &[u8], see: impl FnOnce(Option<&[u8]>) -> R) -> R {
        let (prefix, suffix, field) = match self {
            Pattern::Itself => return see(Some(element)),
            Pattern::Nothing => return see(None),
            Pattern::Key { prefix, suffix, field } => (prefix, suffix, field),
        };
        let name = [prefix, element, suffix].concat();
        let key = place.keys.key(&name);
        if let Some(field) = field {
            // As in Redis: whoever replays the command would still find a field that is only hidden here.
            place.keys.expire_named_fields(place.db, key, std::iter::once(field));
        }
        let now_ms = place.keys.horizon_ms();
        let Some(entry) = place.keys.read(place.db, key, place.touch) else { return see(None) };
        match field {
            Some(field) => match HashView::of(entry).and_then(|hash| hash.get(field, now_ms)) {
                Some(value) => value.with_bytes(|bytes| see(Some(bytes))),
                None => see(None),
            },
            None => see((entry.kind() == Type::String).then(|| entry.string())),
        }
    }
}

/// What SORT is asked for.
#[derive(Default)]
struct Query<'a> {
    by: Option<Pattern<'a>>,
    gets: Vec<Pattern<'a>>,
    alpha: bool,
    descending: bool,
    /// How many elements to leave out at the beginning; a negative number means none.
    offset: i64,
    /// How many to answer at most; negative for all.
    count: Option<i64>,
    /// The argument that names where to store.
    destination: Option<usize>,
}

impl<'a> Query<'a> {
    /// # Errors
    /// What is wrong with the options, or that the user may not read the keys that patterns can name.
    fn parse(cx: &Ctx<'_>, args: &'a Args<'_>, may_store: bool) -> Result<Query<'a>, Error> {
        let may_look_up = || cx.may_use_all_keys(args, KeyFlags::ACCESS);
        let mut query = Query::default();
        let mut at = 2;
        while let Some(word) = args.get(at) {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            let left = args.len() - at - 1;
            at += 1;
            if is("ASC") {
                query.descending = false;
            } else if is("DESC") {
                query.descending = true;
            } else if is("ALPHA") {
                query.alpha = true;
            } else if is("LIMIT") && left >= 2 {
                query.offset = integer(&args[at])?;
                query.count = Some(integer(&args[at + 1])?);
                at += 2;
            } else if is("STORE") && left >= 1 && may_store {
                query.destination = Some(at);
                at += 1;
            } else if is("BY") && left >= 1 {
                let pattern = Pattern::new(&args[at]);
                if matches!(pattern, Pattern::Key { .. }) && !may_look_up() {
                    return Err(Error::fixed("ERR BY option of SORT denied due to insufficient ACL permissions."));
                }
                query.by = Some(pattern);
                at += 1;
            } else if is("GET") && left >= 1 {
                if !may_look_up() {
                    return Err(Error::fixed("ERR GET option of SORT denied due to insufficient ACL permissions."));
                }
                query.gets.push(Pattern::new(&args[at]));
                at += 1;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(query)
    }

    /// Which of `len` elements are asked for, by their places in the order.
    fn range(&self, len: usize) -> Range<usize> {
        let start = self.offset.clamp(0, len as i64) as usize;
        let count = self.count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
        start..start + count.min(len - start)
    }
}

/// Texts in one buffer.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// Where a text lies.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    len: usize,
}

impl Texts {
    fn push(&mut self, text: &[u8]) -> Span {
        let span = Span { start: self.bytes.len(), len: text.len() };
        self.bytes.extend_from_slice(text);
        span
    }

    fn push_listed(&mut self, text: &[u8]) {
        let span = self.push(text);
        self.spans.push(span);
    }

    fn get(&self, span: Span) -> &[u8] {
        &self.bytes[span.start..][..span.len]
    }
}

/// Copies the elements of a collection in their own order: those of a range of it, or all of what has none.
///
/// # Errors
/// If the entry is none.
fn elements(entry: EntryRef<'_>, query: &Query<'_>, only_range: bool) -> Result<Texts, Error> {
    let mut texts = Texts::default();
    let mut push = |element: Element<'_>| element.with_bytes(|text| texts.push_listed(text));
    let backwards = only_range && query.descending;
    match entry.kind() {
        Type::List => {
            let list = list::list_of(entry)?;
            let len = list.len();
            let range = if only_range { query.range(len) } else { 0..len };
            let mut left = range.len();
            if left > 0 {
                list.visit(if backwards { len - 1 - range.start } else { range.start }, backwards, |item| {
                    item.with_bytes(|text| texts.push_listed(text));
                    left -= 1;
                    left > 0
                });
            }
        }
        Type::Set => {
            if let Some(set) = entry.set() {
                set.iter().for_each(push);
            }
        }
        Type::Zset => {
            if let Some(zset) = entry.zset() {
                let len = zset.len();
                let range = if only_range { query.range(len) } else { 0..len };
                if backwards {
                    zset.iter_back(len - range.end..len - range.start).for_each(|(member, _)| push(member));
                } else {
                    zset.iter(range).for_each(|(member, _)| push(member));
                }
            }
        }
        _ => return Err(Error::WRONG_TYPE),
    }
    Ok(texts)
}

/// The number that a text stands for, by the rules of C's `strtod`: nothing is 0, and white space may stand before a
/// number. `None` for what is no number, and for one that a double cannot tell with all of its precision.
fn weight(text: &[u8]) -> Option<f64> {
    let text = c_text(text);
    if text.is_empty() {
        return Some(0.0);
    }
    let start = text.iter().position(|&byte| !matches!(byte, b' ' | b'\t'..=b'\r'))?;
    parse_f64(&text[start..]).filter(|number| !number.is_subnormal())
}

/// Brings the elements of a range into their places, the others anywhere.
fn arrange<T>(items: &mut [T], range: &Range<usize>, compare: impl Fn(&T, &T) -> Ordering) {
    let mut items = items;
    if range.end < items.len() {
        items.select_nth_unstable_by(range.end, &compare);
        items = &mut items[..range.end];
    }
    if range.start > 0 && range.start < items.len() {
        items.select_nth_unstable_by(range.start, &compare);
        items = &mut items[range.start..];
    }
    items.sort_unstable_by(&compare);
}

/// A comparison's result, the other way around if the order is descending.
fn directed(ordering: Ordering, descending: bool) -> Ordering {
    if descending { ordering.reverse() } else { ordering }
}

/// The elements of the range that is asked for, in order.
///
/// # Errors
/// If one that should be a number is none.
fn sorted(place: &mut Place<'_>, query: &Query<'_>, texts: &Texts, is_set: bool) -> Result<Vec<Span>, Error> {
    let range = query.range(texts.spans.len());
    let descending = query.descending;
    // Where nothing else decides, the elements keep their order; a set has none that is the same everywhere.
    let by_itself = |a: Span, b: Span| match is_set {
        true => texts.get(a).cmp(texts.get(b)),
        false => a.start.cmp(&b.start),
    };
    if !query.alpha {
        let mut items = Vec::with_capacity(texts.spans.len());
        for &span in &texts.spans {
            let text = texts.get(span);
            let number = match query.by {
                None => weight(text),
                Some(pattern) => pattern.look_up(place, text, |found| found.map_or(Some(0.0), weight)),
            };
            let number = number.ok_or(Error::fixed("ERR One or more scores can't be converted into double"))?;
            items.push((number, span));
        }
        arrange(&mut items, &range, |a, b| {
            let by_number = a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal);
            let ordering = by_number.then_with(|| texts.get(a.1).cmp(texts.get(b.1)));
            directed(ordering, descending).then_with(|| by_itself(a.1, b.1))
        });
        return Ok(items[range].iter().map(|&(_, span)| span).collect());
    }
    let mut looked_up = Texts::default();
    let mut pairs: Vec<(Option<Span>, Span)> = Vec::with_capacity(texts.spans.len());
    for &span in &texts.spans {
        let key = match query.by {
            None => Some(span),
            Some(pattern) => pattern.look_up(place, texts.get(span), |found| found.map(|text| looked_up.push(text))),
        };
        pairs.push((key, span));
    }
    let keys = if query.by.is_none() { texts } else { &looked_up };
    let whole = query.destination.is_some();
    let text = |span: Span| if whole { keys.get(span) } else { c_text(keys.get(span)) };
    let mut items: Vec<_> = pairs.into_iter().map(|(key, span)| (key.map(text), span)).collect();
    arrange(&mut items, &range, |a, b| directed(a.0.cmp(&b.0), descending).then_with(|| by_itself(a.1, b.1)));
    Ok(items[range].iter().map(|&(_, span)| span).collect())
}

fn sort(cx: &mut Ctx<'_>, args: &Args<'_>, may_store: bool) -> Outcome {
    let mut query = Query::parse(cx, args, may_store)?;
    let rules = list::rules(cx);
    let key = cx.key(args, 1);
    let hasher = cx.server.keys.hasher().clone();
    let mut place = Place { keys: &mut cx.server.keys, db: cx.db, touch: cx.touch };
    // What has been sorted once is a tree from then on, as OBJECT ENCODING tells in Redis; nothing else changes.
    if place.keys.view(place.db, key).is_some_and(|entry| matches!(entry.zset(), Some(ZsetRef::List(_)))) {
        place.keys.change_form(place.db, key, |value| zset::into_tree(value, &hasher));
    }
    let entry = place.keys.read(place.db, key, place.touch);
    let is_set = entry.is_some_and(|entry| entry.kind() == Type::Set);
    let mut as_they_are = matches!(query.by, Some(Pattern::Nothing | Pattern::Itself));
    if as_they_are && is_set && (query.destination.is_some() || cx.in_script) {
        // A set has no order of its own, and what is stored, or what a script makes of it, has to be the same everywhere.
        (as_they_are, query.alpha, query.by) = (false, true, None);
    }
    let only_range = as_they_are && !is_set;
    let texts = entry.map_or_else(|| Ok(Texts::default()), |entry| elements(entry, &query, only_range))?;
    let found = if only_range {
        texts.spans.clone()
    } else if as_they_are {
        texts.spans[query.range(texts.spans.len())].to_vec()
    } else {
        sorted(&mut place, &query, &texts, is_set)?
    };
    if query.gets.is_empty() {
        query.gets.push(Pattern::Itself);
    }
    let outputs = found.iter().flat_map(|&span| query.gets.iter().map(move |pattern| (span, *pattern)));
    let count = found.len() * query.gets.len();
    let Some(destination) = query.destination else {
        cx.reply.array(count);
        for (span, pattern) in outputs {
            pattern.look_up(&mut place, texts.get(span), |found| match found {
                Some(text) => cx.reply.bulk(text),
                None => cx.reply.null(),
            });
        }
        return Ok(());
    };
    let mut list = Quicklist::new(rules);
    for (span, pattern) in outputs {
        pattern.look_up(&mut place, texts.get(span), |found| {
            list.push(Cow::Borrowed(found.unwrap_or_default()), End::Right);
        });
    }
    let key = cx.key(args, destination);
    store(&mut cx.server.keys, cx.db, key, list);
    cx.reply.count(count);
    Ok(())
}

/// Puts a list in the place of what a key holds, or deletes the key if the list is empty.
fn store(keys: &mut Keyspace, db: usize, key: Key<'_>, mut list: Quicklist) {
    const EVENT: Event = Event("sortstore");
    if list.is_empty() {
        keys.vacate(db, key);
        return;
    }
    match list.take_only_listpack() {
        Some(bytes) if bytes.len() <= INLINE_MAX => {
            keys.store(db, key, Type::List, Encoding::Listpack, NewValue::Inline(&bytes), EVENT);
        }
        Some(bytes) => {
            let value = NewValue::Boxed(Box::new(Object::Compact(bytes)));
            keys.store(db, key, Type::List, Encoding::Listpack, value, EVENT);
        }
        None => {
            let value = NewValue::Boxed(Box::new(Object::List(list)));
            keys.store(db, key, Type::List, Encoding::Quicklist, value, EVENT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let key = |prefix: &'static str, suffix: &'static str, field: Option<&'static str>| Pattern::Key {
            prefix: prefix.as_bytes(),
            suffix: suffix.as_bytes(),
            field: field.map(str::as_bytes),
        };
        let cases = [
            ("#", Pattern::Itself),
            ("", Pattern::Nothing),
            ("##", Pattern::Nothing),
            ("nosort", Pattern::Nothing),
            ("key->field", Pattern::Nothing),
            ("*", key("", "", None)),
            ("w_*", key("w_", "", None)),
            ("a*b*c", key("a", "b*c", None)),
            ("w_*->f", key("w_", "", Some("f"))),
            ("w_*x->f->g", key("w_", "x", Some("f->g"))),
            ("w_*->", key("w_", "->", None)),
            ("->*", key("->", "", None)),
            ("a->*->b", key("a->", "", Some("b"))),
            ("a*\0b->c", key("a", "\0b->c", None)),
            ("a\0*", Pattern::Nothing),
        ];
        for (text, expected) in cases {
            assert_eq!(Pattern::new(text.as_bytes()), expected, "{}", text.escape_default());
        }
    }

    #[test]
    fn weights() {
        let cases: &[(&[u8], Option<f64>)] = &[
            (b"", Some(0.0)),
            (b"12", Some(12.0)),
            (b" \t-1.5", Some(-1.5)),
            (b"1e3", Some(1000.0)),
            (b"0x10", Some(16.0)),
            (b"inf", Some(f64::INFINITY)),
            (b"3\0x", Some(3.0)),
            (b" ", None),
            (b"1 ", None),
            (b"nan", None),
            (b"1e999", None),
            (b"1e-999", None),
            (b"1e-310", None),
            (b"abc", None),
        ];
        for (text, expected) in cases {
            assert_eq!(weight(text), *expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn ranges() {
        let cases: &[(i64, Option<i64>, Range<usize>)] = &[
            (0, None, 0..5),
            (2, None, 2..5),
            (-3, Some(2), 0..2),
            (1, Some(-1), 1..5),
            (1, Some(0), 1..1),
            (4, Some(i64::MAX), 4..5),
            (i64::MAX, Some(i64::MAX), 5..5),
            (i64::MIN, Some(i64::MIN), 0..5),
        ];
        for (offset, count, expected) in cases {
            let query = Query { offset: *offset, count: *count, ..Query::default() };
            assert_eq!(query.range(5), *expected);
        }
    }

    #[test]
    fn a_range_is_arranged_as_if_all_were_sorted() {
        let mut rng = fastrand::Rng::with_seed(4);
        for _ in 0..500 {
            let len = rng.usize(..40);
            let items: Vec<(u8, usize)> = (0..len).map(|nth| (rng.u8(..5), nth)).collect();
            let start = rng.usize(..=len);
            let range = start..rng.usize(start..=len);
            let (mut all, mut some) = (items.clone(), items);
            all.sort();
            arrange(&mut some, &range, Ord::cmp);
            assert_eq!(some[range.clone()], all[range]);
        }
    }
}
