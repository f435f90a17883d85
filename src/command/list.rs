//! Lists.
//!
//! A short list is a listpack in its key's entry, a long one a [`Quicklist`]; it becomes one before what is added would
//! outgrow a node, and a listpack again when removals have left it with half a node. Elements go from where they lie
//! straight into the reply, large ones by reference.

use std::borrow::Cow;

use super::error::{Error, Outcome};
use super::state::Server;
use super::string::integer;
use super::table::{Acl, Begin, Command, Doc, Find, Flags, KeyFlags, KeySpec};
use super::{Ctx, wrong_arity};
use crate::effects::Event;
use crate::keyspace::entry::{Encoding, EntryRef, NewValue, Object, Type};
use crate::keyspace::value::{Changed, Value};
use crate::keyspace::{Key, Keyspace};
use crate::resp::{Args, Reply};
use crate::types::listpack::{self, Element};
use crate::types::number::parse_i64;
use crate::types::quicklist::{self, End, Item, List, Quicklist, Rules};

const LIST: Command = Command { acl: Acl::LIST, ..Command::NONE };
const DOC: Doc = Doc { group: "list", since: "1.0.0", complexity: "O(1)", ..Command::NONE.doc };

const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);
const WRITE_FAST: Flags = WRITE.union(Flags::FAST);
const REMOVE_FAST: Flags = Flags::WRITE.union(Flags::FAST);

const READS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::READS)];
const INSERTS: KeySpec = KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT));
const DELETES: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))];
const TAKES: KeySpec = KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE));
const MOVES: &[KeySpec] = &[TAKES, KeySpec { begin: Begin::Index(2), ..INSERTS }];
const TAKES_ANY: &[KeySpec] = &[KeySpec { find: Find::Range { last: -2, step: 1, limit: 0 }, ..TAKES }];
const COUNTED: Find = Find::KeyNum { number: 0, first: 1, step: 1 };

const WAIT: Flags = Flags::WRITE.union(Flags::BLOCKING);

const EACH_ELEMENT: &str = "O(N) in the number of elements added";
const NEARER_END: &str = "O(N) in the number of elements between the index and the nearer end of the list";

/// A list of one element that takes so many bytes is made in one piece.
const SHORT_LIST: usize = 64;
/// The longest text of its element: beside it stand the list's head, the text's length, and the element's.
const SHORT_TEXT: usize = SHORT_LIST - listpack::START - 2;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "lpush",
        arity: -3,
        flags: WRITE_FAST,
        keys: &[INSERTS],
        doc: Doc {
            summary: "Adds elements at the left end of a list, one after the other. The list begins empty.",
            complexity: EACH_ELEMENT,
            syntax: "key <element ...>",
            ..DOC
        },
        handler: |cx, args| push(cx, args, End::Left, false),
        ..LIST
    },
    Command {
        name: "rpush",
        arity: -3,
        flags: WRITE_FAST,
        keys: &[INSERTS],
        doc: Doc {
            summary: "Adds elements at the right end of a list, one after the other. The list begins empty.",
            complexity: EACH_ELEMENT,
            syntax: "key <element ...>",
            ..DOC
        },
        handler: |cx, args| push(cx, args, End::Right, false),
        ..LIST
    },
    Command {
        name: "lpushx",
        arity: -3,
        flags: WRITE_FAST,
        keys: &[INSERTS],
        doc: Doc {
            summary: "Adds elements at the left end of a list if there is such a list.",
            since: "2.2.0",
            complexity: EACH_ELEMENT,
            syntax: "key <element ...>",
            ..DOC
        },
        handler: |cx, args| push(cx, args, End::Left, true),
        ..LIST
    },
    Command {
        name: "rpushx",
        arity: -3,
        flags: WRITE_FAST,
        keys: &[INSERTS],
        doc: Doc {
            summary: "Adds elements at the right end of a list if there is such a list.",
            since: "2.2.0",
            complexity: EACH_ELEMENT,
            syntax: "key <element ...>",
            ..DOC
        },
        handler: |cx, args| push(cx, args, End::Right, true),
        ..LIST
    },
    Command {
        name: "lpop",
        arity: -2,
        flags: REMOVE_FAST,
        keys: &[TAKES],
        doc: Doc {
            summary: "Takes one element, or several, off the left end of a list.",
            complexity: "O(N) in the number of elements taken",
            syntax: "key [count]",
            ..DOC
        },
        handler: |cx, args| pop(cx, args, End::Left),
        ..LIST
    },
    Command {
        name: "rpop",
        arity: -2,
        flags: REMOVE_FAST,
        keys: &[TAKES],
        doc: Doc {
            summary: "Takes one element, or several, off the right end of a list.",
            complexity: "O(N) in the number of elements taken",
            syntax: "key [count]",
            ..DOC
        },
        handler: |cx, args| pop(cx, args, End::Right),
        ..LIST
    },
    Command {
        name: "lmpop",
        arity: -4,
        flags: Flags::WRITE.union(Flags::MOVABLE_KEYS),
        keys: &[KeySpec { find: COUNTED, ..TAKES }],
        doc: Doc {
            summary: "Takes elements off an end of the first of several lists that exists.",
            since: "7.0.0",
            complexity: "O(N+M) in the number of keys looked at and of elements taken",
            syntax: "numkeys key [key ...] <where: LEFT | RIGHT> [COUNT count]",
            ..DOC
        },
        handler: |cx, args| take_from_any(cx, args, 1, false),
        ..LIST
    },
    Command {
        name: "llen",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::LOOKS)],
        doc: Doc { summary: "Answers how many elements a list has.", syntax: "key", ..DOC },
        handler: llen,
        ..LIST
    },
    Command {
        name: "lindex",
        arity: 3,
        flags: Flags::READONLY,
        keys: READS,
        doc: Doc {
            summary: "Answers the element with an index, counted from 0, or from the right end beginning with -1.",
            complexity: NEARER_END,
            syntax: "key index",
            ..DOC
        },
        handler: lindex,
        ..LIST
    },
    Command {
        name: "lset",
        arity: 4,
        flags: WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        doc: Doc {
            summary: "Puts another element in the place of the one with an index.",
            complexity: NEARER_END,
            syntax: "key index element",
            ..DOC
        },
        handler: lset,
        ..LIST
    },
    Command {
        name: "linsert",
        arity: 5,
        flags: WRITE,
        keys: &[INSERTS],
        doc: Doc {
            summary: "Adds an element beside the first one that equals another.",
            since: "2.2.0",
            complexity: "O(N) in the number of elements before the place",
            syntax: "key <where: BEFORE | AFTER> pivot element",
            ..DOC
        },
        handler: linsert,
        ..LIST
    },
    Command {
        name: "lrange",
        arity: 4,
        flags: Flags::READONLY,
        keys: READS,
        doc: Doc {
            summary: "Answers the elements from an index to another.",
            complexity: "O(S+N) in the distance of the first element from the nearer end and in the elements answered",
            syntax: "key start stop",
            ..DOC
        },
        handler: lrange,
        ..LIST
    },
    Command {
        name: "ltrim",
        arity: 4,
        flags: Flags::WRITE,
        keys: DELETES,
        doc: Doc {
            summary: "Removes all elements but those from an index to another.",
            complexity: "O(N) in the number of elements removed",
            syntax: "key start stop",
            ..DOC
        },
        handler: ltrim,
        ..LIST
    },
    Command {
        name: "lrem",
        arity: 4,
        flags: Flags::WRITE,
        keys: DELETES,
        doc: Doc {
            summary: "Removes elements that equal another: all, or the first ones from the left or, by a negative count, \
                      from the right.",
            complexity: "O(N+M) in the length of the list and the number of elements removed",
            syntax: "key count element",
            ..DOC
        },
        handler: lrem,
        ..LIST
    },
    Command {
        name: "lpos",
        arity: -3,
        flags: Flags::READONLY,
        keys: READS,
        doc: Doc {
            summary: "Answers the index of an element that equals another, or the indexes of several.",
            since: "6.0.6",
            complexity: "O(N) in the number of elements compared",
            syntax: "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
            ..DOC
        },
        handler: lpos,
        ..LIST
    },
    Command {
        name: "lmove",
        arity: 5,
        flags: WRITE,
        keys: MOVES,
        doc: Doc {
            summary: "Moves an element from an end of a list to an end of another, or of the same one, and answers it.",
            since: "6.2.0",
            syntax: "source destination <wherefrom: LEFT | RIGHT> <whereto: LEFT | RIGHT>",
            ..DOC
        },
        handler: lmove,
        ..LIST
    },
    Command {
        name: "rpoplpush",
        arity: 3,
        flags: WRITE,
        keys: MOVES,
        doc: Doc {
            summary: "Moves the last element of a list to the front of another, or of the same one, and answers it.",
            since: "1.2.0",
            syntax: "source destination",
            deprecated_since: "6.2.0",
            replaced_by: "`LMOVE` with the `RIGHT` and `LEFT` arguments",
            ..DOC
        },
        handler: |cx, args| transfer(cx, args, End::Right, End::Left),
        ..LIST
    },
    Command {
        name: "blpop",
        arity: -3,
        flags: WAIT,
        keys: TAKES_ANY,
        doc: Doc {
            summary: "Takes the first element of the first of several lists that exists, and waits for one if none does.",
            since: "2.0.0",
            complexity: "O(N) in the number of keys",
            syntax: "key [key ...] timeout",
            ..DOC
        },
        handler: |cx, args| waiting_pop(cx, args, End::Left),
        ..LIST
    },
    Command {
        name: "brpop",
        arity: -3,
        flags: WAIT,
        keys: TAKES_ANY,
        doc: Doc {
            summary: "Takes the last element of the first of several lists that exists, and waits for one if none does.",
            since: "2.0.0",
            complexity: "O(N) in the number of keys",
            syntax: "key [key ...] timeout",
            ..DOC
        },
        handler: |cx, args| waiting_pop(cx, args, End::Right),
        ..LIST
    },
    Command {
        name: "blmpop",
        arity: -5,
        flags: WAIT.union(Flags::MOVABLE_KEYS),
        keys: &[KeySpec { begin: Begin::Index(2), find: COUNTED, ..TAKES }],
        doc: Doc {
            summary: "Takes elements off an end of the first of several lists that exists, and waits for one if none does.",
            since: "7.0.0",
            complexity: "O(N+M) in the number of keys looked at and of elements taken",
            syntax: "timeout numkeys key [key ...] <where: LEFT | RIGHT> [COUNT count]",
            ..DOC
        },
        handler: |cx, args| take_from_any(cx, args, 2, true),
        ..LIST
    },
    Command {
        name: "blmove",
        arity: 6,
        flags: WRITE.union(Flags::BLOCKING),
        keys: MOVES,
        doc: Doc {
            summary: "Moves an element from an end of a list to an end of another, and waits for the list if there is \
                      none.",
            since: "6.2.0",
            syntax: "source destination <wherefrom: LEFT | RIGHT> <whereto: LEFT | RIGHT> timeout",
            ..DOC
        },
        handler: |cx, args| {
            let (from, to) = (end(&args[3])?, end(&args[4])?);
            waiting_transfer(cx, args, from, to)
        },
        ..LIST
    },
    Command {
        name: "brpoplpush",
        arity: 4,
        flags: WRITE.union(Flags::BLOCKING),
        keys: MOVES,
        doc: Doc {
            summary: "Moves the last element of a list to the front of another, and waits for the list if there is none.",
            since: "2.2.0",
            syntax: "source destination timeout",
            deprecated_since: "6.2.0",
            replaced_by: "`BLMOVE` with the `RIGHT` and `LEFT` arguments",
            ..DOC
        },
        handler: |cx, args| waiting_transfer(cx, args, End::Right, End::Left),
        ..LIST
    },
];

/// The list that an entry holds.
///
/// # Errors
/// If it is of another type.
pub fn list_of(entry: EntryRef<'_>) -> Result<List<'_>, Error> {
    entry.list().ok_or(Error::WRONG_TYPE)
}

/// The list that a value of this type is.
fn view<'a>(value: &'a Value<'_>) -> List<'a> {
    match value.object() {
        Some(Object::List(list)) => List::Nodes(list),
        _ => List::Compact(value.compact()),
    }
}

/// The nodes of a long list.
fn nodes<'a>(value: &'a mut Value<'_>) -> Option<&'a mut Quicklist> {
    match value.object_mut() {
        Some(Object::List(list)) => Some(list),
        _ => None,
    }
}

/// What the settings say about the nodes of lists.
pub fn rules(cx: &Ctx<'_>) -> Rules {
    rules_of(cx.server)
}

/// What the settings say about the nodes of lists.
pub fn rules_of(server: &Server) -> Rules {
    let settings = &server.settings;
    Rules {
        fill: settings.list_max_listpack_size,
        depth: settings.list_compress_depth as usize,
        plain_from: server.debug.plain_list_nodes_from,
    }
}

/// Makes a list long, if it is not and would be too large for a node with so much more.
fn grow(value: &mut Value<'_>, rules: &Rules, text_bytes: usize, elements: usize) {
    if nodes(value).is_none() && rules.outgrown_by(value.compact(), text_bytes, elements) {
        let list = Quicklist::from_listpack(value.compact().to_vec(), *rules);
        value.convert(Encoding::Quicklist, NewValue::Boxed(Box::new(Object::List(list))));
    }
}

/// Makes a long list that has become small compact.
fn shrink(value: &mut Value<'_>, rules: &Rules) {
    if let Some(bytes) = nodes(value).and_then(|list| list.shrunk(rules)) {
        value.convert_to_compact(Encoding::Listpack, bytes);
    }
}

/// Adds elements at an end, in their order.
fn push_all<'a>(value: &mut Value<'_>, texts: impl DoubleEndedIterator<Item = Cow<'a, [u8]>>, end: End) {
    if let Some(list) = nodes(value) {
        texts.for_each(|text| list.push(text, end));
        return;
    }
    let (mut elements, mut count) = (Vec::new(), 0);
    let mut encode = |text: Cow<'_, [u8]>| {
        listpack::encode(&text, &mut elements);
        count += 1;
    };
    let at = match end {
        End::Left => {
            texts.rev().for_each(&mut encode);
            listpack::START
        }
        End::Right => {
            texts.for_each(&mut encode);
            value.compact().len()
        }
    };
    listpack::insert(value, at, &elements, count);
}

/// Adds one element at an end. Returns how many there are then.
fn push_one(value: &mut Value<'_>, text: Cow<'_, [u8]>, end: End) -> usize {
    if let Some(list) = nodes(value) {
        list.push(text, end);
        return list.len();
    }
    let at = if end == End::Left { listpack::START } else { value.compact().len() };
    listpack::len(listpack::insert_element(value, at, Element::of(&text)))
}

/// Removes elements from an index on.
fn remove(value: &mut Value<'_>, from: usize, count: usize) {
    if count == 0 {
        return;
    }
    if let Some(list) = nodes(value) {
        return list.remove(from, count);
    }
    let bytes = value.compact();
    let place = |index: usize| listpack::seek(bytes, index as i64).unwrap_or(bytes.len());
    let range = place(from)..place(from + count);
    listpack::remove(value, range, count);
}

/// The index that a number means in a list of `len` elements, if there is one.
fn index_in(number: i64, len: usize) -> Option<usize> {
    let index = if number < 0 { number.checked_add(len as i64)? } else { number };
    usize::try_from(index).ok().filter(|&index| index < len)
}

/// The indexes from one number to another, which is included, in a list of `len` elements.
fn range_in(start: i64, stop: i64, len: usize) -> std::ops::Range<usize> {
    let from_left = |number: i64| if number < 0 { number.saturating_add(len as i64) } else { number };
    let start = from_left(start).max(0) as usize;
    let stop = from_left(stop).saturating_add(1).clamp(0, len as i64) as usize;
    if start < stop { start..stop } else { 0..0 }
}

/// The end that a word names.
fn end(word: &[u8]) -> Result<End, Error> {
    if word.eq_ignore_ascii_case(b"LEFT") {
        Ok(End::Left)
    } else if word.eq_ignore_ascii_case(b"RIGHT") {
        Ok(End::Right)
    } else {
        Err(Error::SYNTAX)
    }
}

fn reply_item(reply: &mut Reply, item: Item<'_>) {
    match item {
        Item::Packed(Element::Text(text)) => reply.bulk(text),
        Item::Packed(Element::Integer(number)) => reply.bulk_integer(number),
        Item::Plain(blob) => reply.blob(blob),
    }
}

/// Replies with `count` elements, from an index on or backwards from it.
fn reply_items(reply: &mut Reply, list: List<'_>, from: usize, count: usize, backwards: bool) {
    reply.array(count);
    let mut left = count;
    if left > 0 {
        list.visit(from, backwards, |item| {
            reply_item(reply, item);
            left -= 1;
            left > 0
        });
    }
}

/// An option's number, not less than `least`.
fn at_least(least: i64, text: &[u8], refusal: Error) -> Result<i64, Error> {
    parse_i64(text).filter(|&number| number >= least).ok_or(refusal)
}

fn push(cx: &mut Ctx<'_>, args: &mut Args<'_>, end: End, only_existing: bool) -> Outcome {
    let count = args.len() - 2;
    let text_bytes = args.iter_from(2).map(<[u8]>::len).sum();
    // Large elements move into the list as they are.
    let owned: Vec<_> = (2..args.len()).filter_map(|at| Some((at, args.take_owned(at)?))).collect();
    let rules = rules(cx);
    let key = cx.key(args, 1);
    let event = pushed(end);
    let change = |value: &mut Value<'_>| {
        grow(value, &rules, text_bytes, count);
        if count == 1 {
            let text = owned.into_iter().next().map_or(Cow::Borrowed(&args[2]), |(_, text)| Cow::Owned(text));
            return Changed { result: push_one(value, text, end), changes: 1, empty: false };
        }
        if owned.is_empty() {
            push_all(value, (2..args.len()).map(|at| Cow::Borrowed(&args[at])), end);
        } else {
            let mut texts: Vec<_> = (2..args.len()).map(|at| Cow::Borrowed(&args[at])).collect();
            owned.into_iter().for_each(|(at, text)| texts[at - 2] = Cow::Owned(text));
            push_all(value, texts.into_iter(), end);
        }
        Changed { result: view(value).len(), changes: count as u64, empty: false }
    };
    let keys = &mut cx.server.keys;
    let len = if only_existing {
        keys.change(cx.db, key, Type::List, event, change)?.unwrap_or(0)
    } else {
        let mut one = [0; SHORT_LIST];
        match list_of_one(&mut one, args, text_bytes, &rules) {
            Some(whole) => keys.change_or_put(cx.db, key, (Type::List, Encoding::Listpack, whole), 1, event, change)?,
            None => {
                keys.change_or_create(cx.db, key, (Type::List, Encoding::Listpack, listpack::EMPTY), event, change)?
            }
        }
    };
    cx.reply.count(len);
    Ok(())
}

/// The list that a push of one short element makes of none.
fn list_of_one<'a>(
    buffer: &'a mut [u8; SHORT_LIST],
    args: &Args<'_>,
    text_bytes: usize,
    rules: &Rules,
) -> Option<&'a [u8]> {
    // What has memory of its own is longer, and has been taken.
    if args.len() > 3 || text_bytes > SHORT_TEXT || rules.outgrown_by(listpack::EMPTY, text_bytes, 1) {
        return None;
    }
    let element = Element::of(&args[2]);
    element.encode_at(&mut buffer[listpack::START..]);
    listpack::count_more(buffer, 1);
    Some(&buffer[..listpack::START + element.encoded_len()])
}

fn pop(cx: &mut Ctx<'_>, args: &mut Args<'_>, end: End) -> Outcome {
    if args.len() > 3 {
        return Err(wrong_arity(&cx.command.full_name));
    }
    let count = match args.get(2) {
        Some(count) => Some(at_least(0, count, Error::NOT_POSITIVE)?),
        None => None,
    };
    let rules = rules(cx);
    let key = cx.key(args, 1);
    let reply = &mut cx.reply;
    let taken =
        take(&mut cx.server.keys, cx.db, key, end, count.unwrap_or(1), &rules, |list, from, taken| match count {
            Some(_) => reply_items(reply, list, from, taken, end == End::Right),
            None => list.visit(from, false, |item| {
                reply_item(reply, item);
                false
            }),
        })?;
    match (taken, count) {
        (true, _) => {}
        (false, Some(_)) => cx.reply.null_array(),
        (false, None) => cx.reply.null(),
    }
    Ok(())
}

/// Takes up to `count` elements off an end of a list, after lending them: the list, the index of the first one to be
/// taken (the next ones lie towards the middle), and how many there are. Returns false without the key.
fn take(
    keys: &mut Keyspace,
    db: usize,
    key: Key<'_>,
    end: End,
    count: i64,
    rules: &Rules,
    lend: impl FnOnce(List<'_>, usize, usize),
) -> Result<bool, Error> {
    let taken = keys.change(db, key, Type::List, popped(end), |value| {
        let list = view(value);
        let len = list.len();
        let taken = usize::try_from(count).unwrap_or(usize::MAX).min(len);
        lend(list, if end == End::Left { 0 } else { len - 1 }, taken);
        remove_at(value, end, taken, rules)
    })?;
    Ok(taken.is_some())
}

/// Removes elements at an end, at most as many as there are.
fn remove_at(value: &mut Value<'_>, end: End, count: usize, rules: &Rules) -> Changed<()> {
    let len = view(value).len();
    // The key of an emptied list goes with all that is in it.
    if count > 0 && count < len {
        remove(value, if end == End::Left { 0 } else { len - count }, count);
        shrink(value, rules);
    }
    Changed { result: (), changes: count as u64, empty: count == len }
}

/// The command that takes elements off an end.
fn taking(end: End) -> &'static [u8] {
    if end == End::Left { b"LPOP" } else { b"RPOP" }
}

fn popped(end: End) -> Event {
    Event(if end == End::Left { "lpop" } else { "rpop" })
}

fn pushed(end: End) -> Event {
    Event(if end == End::Left { "lpush" } else { "rpush" })
}

/// Takes elements from the first of several lists that exists; how many keys there are says the argument at `number`.
/// May wait for one until the timeout that then comes first.
fn take_from_any(cx: &mut Ctx<'_>, args: &mut Args<'_>, number: usize, waits: bool) -> Outcome {
    let first = number + 1;
    let keys = at_least(1, &args[number], Error::fixed("ERR numkeys should be greater than 0"))?;
    let word = usize::try_from(keys).ok().and_then(|keys| keys.checked_add(first)).filter(|&word| word < args.len());
    let word = word.ok_or(Error::SYNTAX)?;
    let end = end(&args[word])?;
    let mut count = None;
    let mut at = word + 1;
    while at < args.len() {
        if count.is_some() || !args[at].eq_ignore_ascii_case(b"COUNT") || at + 1 == args.len() {
            return Err(Error::SYNTAX);
        }
        count = Some(at_least(1, &args[at + 1], Error::fixed("ERR count should be greater than 0"))?);
        at += 2;
    }
    let deadline = if waits { cx.deadline(&args[1])? } else { None };
    let rules = rules(cx);
    for at in first..word {
        let key = cx.key(args, at);
        let (reply, mut number) = (&mut cx.reply, 0);
        let taken = take(&mut cx.server.keys, cx.db, key, end, count.unwrap_or(1), &rules, |list, from, taken| {
            number = taken;
            reply.array(2);
            reply.bulk(key.bytes);
            reply_items(reply, list, from, taken, end == End::Right);
        })?;
        if taken {
            cx.propagate(&[taking(end), key.bytes, itoa::Buffer::new().format(number).as_bytes()]);
            return Ok(());
        }
    }
    if waits {
        return cx.wait(args, first..word, Type::List, deadline, |cx| cx.reply.null_array());
    }
    cx.reply.null_array();
    Ok(())
}

/// Takes an element from the first of several lists that exists, or waits for one.
fn waiting_pop(cx: &mut Ctx<'_>, args: &mut Args<'_>, end: End) -> Outcome {
    let last = args.len() - 1;
    let deadline = cx.deadline(&args[last])?;
    let rules = rules(cx);
    for at in 1..last {
        let key = cx.key(args, at);
        let reply = &mut cx.reply;
        let taken = take(&mut cx.server.keys, cx.db, key, end, 1, &rules, |list, from, _| {
            reply.array(2);
            reply.bulk(key.bytes);
            list.visit(from, false, |item| {
                reply_item(reply, item);
                false
            });
        })?;
        if taken {
            cx.propagate(&[taking(end), key.bytes]);
            return Ok(());
        }
    }
    cx.wait(args, 1..last, Type::List, deadline, |cx| cx.reply.null_array())
}

fn llen(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let len = match cx.server.keys.read(cx.db, key, cx.touch) {
        Some(entry) => list_of(entry)?.len(),
        None => 0,
    };
    cx.reply.count(len);
    Ok(())
}

fn lindex(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let Some(entry) = cx.server.keys.read(cx.db, key, cx.touch) else {
        cx.reply.null();
        return Ok(());
    };
    let list = list_of(entry)?;
    match index_in(integer(&args[2])?, list.len()) {
        Some(index) => list.visit(index, false, |item| {
            reply_item(&mut cx.reply, item);
            false
        }),
        None => cx.reply.null(),
    }
    Ok(())
}

fn lset(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let text_bytes = args[3].len();
    let owned = args.take_owned(3);
    let rules = rules(cx);
    let key = cx.key(args, 1);
    let set = cx.server.keys.change(cx.db, key, Type::List, Event("lset"), |value| {
        let number = match integer(&args[2]) {
            Ok(number) => number,
            Err(error) => return Changed { result: Err(error), changes: 0, empty: false },
        };
        let text = owned.map_or(Cow::Borrowed(&args[3]), Cow::Owned);
        // As if the element came on top of the one that it replaces.
        grow(value, &rules, text_bytes, 1);
        // Of the index, Redis looks at 32 bits.
        let Some(index) = index_in(i64::from(number as i32), view(value).len()) else {
            return Changed { result: Err(Error::fixed("ERR index out of range")), changes: 0, empty: false };
        };
        if let Some(list) = nodes(value) {
            list.set(index, text);
        } else if let Some(at) = listpack::seek(value.compact(), index as i64) {
            listpack::replace_element(value, at, Element::of(&text));
        }
        shrink(value, &rules);
        Changed { result: Ok(()), changes: 1, empty: false }
    })?;
    set.unwrap_or(Err(Error::NO_SUCH_KEY))?;
    cx.reply.ok();
    Ok(())
}

fn linsert(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let behind = if args[2].eq_ignore_ascii_case(b"AFTER") {
        true
    } else if args[2].eq_ignore_ascii_case(b"BEFORE") {
        false
    } else {
        return Err(Error::SYNTAX);
    };
    let text_bytes = args[4].len();
    let owned = args.take_owned(4);
    let rules = rules(cx);
    let key = cx.key(args, 1);
    let len = cx.server.keys.change(cx.db, key, Type::List, Event("linsert"), |value| {
        let text = owned.map_or(Cow::Borrowed(&args[4]), Cow::Owned);
        // Whether the element will be added at all is not known yet; Redis does not wait to know either.
        grow(value, &rules, text_bytes, 1);
        if !insert_beside(value, &args[3], text, behind) {
            return Changed { result: -1, changes: 0, empty: false };
        }
        Changed { result: view(value).len() as i64, changes: 1, empty: false }
    })?;
    cx.reply.integer(len.unwrap_or(0));
    Ok(())
}

/// Adds an element before or behind the first one that equals `pivot`. Returns whether there is one.
fn insert_beside(value: &mut Value<'_>, pivot: &[u8], text: Cow<'_, [u8]>, behind: bool) -> bool {
    if let Some(list) = nodes(value) {
        let index = position(List::Nodes(list), pivot);
        if let Some(index) = index {
            list.insert(index, text, behind);
        }
        return index.is_some();
    }
    let bytes = value.compact();
    let Some(at) = listpack::find(bytes, listpack::START, pivot, 1) else { return false };
    let at = if behind { listpack::end(bytes, at) } else { at };
    listpack::insert_element(value, at, Element::of(&text));
    true
}

/// The index of the first element that equals `text`.
fn position(list: List<'_>, text: &[u8]) -> Option<usize> {
    let mut found = None;
    list.visit_equal(text, false, usize::MAX, |index| {
        found = Some(index);
        false
    });
    found
}

fn lrange(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let (start, stop) = (integer(&args[2])?, integer(&args[3])?);
    let key = cx.key(args, 1);
    match cx.server.keys.read(cx.db, key, cx.touch) {
        Some(entry) => {
            let list = list_of(entry)?;
            let range = range_in(start, stop, list.len());
            reply_items(&mut cx.reply, list, range.start, range.len(), false);
        }
        None => cx.reply.array(0),
    }
    Ok(())
}

fn ltrim(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let (start, stop) = (integer(&args[2])?, integer(&args[3])?);
    let rules = rules(cx);
    let key = cx.key(args, 1);
    let trimmed = cx.server.keys.change(cx.db, key, Type::List, Event("ltrim"), |value| {
        let len = view(value).len();
        let kept = range_in(start, stop, len);
        if !kept.is_empty() {
            remove(value, kept.end, len - kept.end);
            remove(value, 0, kept.start);
            shrink(value, &rules);
        }
        let trimmed = len - kept.len();
        Changed { result: trimmed, changes: trimmed as u64, empty: kept.is_empty() }
    })?;
    if trimmed == Some(0) {
        // That is an event, too.
        let nothing = |_: &mut Value<'_>| Changed { result: (), changes: 1, empty: false };
        cx.server.keys.change_uncounted(cx.db, key, Type::List, Event("ltrim"), nothing)?;
    }
    cx.reply.ok();
    Ok(())
}

fn lrem(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let count = integer(&args[2])?;
    if count == i64::MIN {
        return Err(Error::new(format!(
            "ERR value is out of range, value must between {} and {}",
            -i64::MAX,
            i64::MAX
        )));
    }
    let limit = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let rules = rules(cx);
    let key = cx.key(args, 1);
    let removed = cx.server.keys.change(cx.db, key, Type::List, Event("lrem"), |value| {
        let removed = match nodes(value) {
            Some(list) => list.remove_equal(&args[3], limit, count < 0),
            None => quicklist::remove_equal(value, &args[3], limit, count < 0),
        };
        let empty = view(value).is_empty();
        if removed > 0 && !empty {
            shrink(value, &rules);
        }
        Changed { result: removed, changes: removed as u64, empty }
    })?;
    cx.reply.count(removed.unwrap_or(0));
    Ok(())
}

fn lpos(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let (mut rank, mut count, mut longest) = (1i64, None, 0);
    let mut at = 3;
    while at < args.len() {
        let (word, value) = (&args[at], args.get(at + 1).ok_or(Error::SYNTAX)?);
        if word.eq_ignore_ascii_case(b"RANK") {
            rank = integer(value)?;
            if rank == i64::MIN {
                return Err(Error::new(format!(
                    "ERR value is out of range, value must between {} and {}",
                    -i64::MAX,
                    i64::MAX
                )));
            }
            if rank == 0 {
                return Err(Error::fixed(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use \
                     negative to start from the end of the list",
                ));
            }
        } else if word.eq_ignore_ascii_case(b"COUNT") {
            count = Some(at_least(0, value, Error::fixed("ERR COUNT can't be negative"))?);
        } else if word.eq_ignore_ascii_case(b"MAXLEN") {
            longest = at_least(0, value, Error::fixed("ERR MAXLEN can't be negative"))?;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 2;
    }
    let key = cx.key(args, 1);
    let Some(entry) = cx.server.keys.read(cx.db, key, cx.touch) else {
        match count {
            Some(_) => cx.reply.array(0),
            None => cx.reply.null(),
        }
        return Ok(());
    };
    let list = list_of(entry)?;
    let most = match count {
        Some(0) => u64::MAX,
        Some(count) => count.unsigned_abs(),
        None => 1,
    };
    let looked_at = if longest == 0 { usize::MAX } else { longest as usize };
    let (mut matched, mut answered) = (0, 0);
    let array = count.map(|_| cx.reply.deferred_array());
    list.visit_equal(&args[2], rank < 0, looked_at, |index| {
        matched += 1;
        if matched >= rank.unsigned_abs() {
            cx.reply.count(index);
            answered += 1;
        }
        answered < most
    });
    match array {
        Some(array) => cx.reply.finish_array(array, answered as usize),
        None if answered == 0 => cx.reply.null(),
        None => {}
    }
    Ok(())
}

fn lmove(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let (from, to) = (end(&args[3])?, end(&args[4])?);
    transfer(cx, args, from, to)
}

/// As [`transfer`], but waits for the first key's list until the timeout that comes last.
fn waiting_transfer(cx: &mut Ctx<'_>, args: &mut Args<'_>, from: End, to: End) -> Outcome {
    let deadline = cx.deadline(&args[args.len() - 1])?;
    let source = cx.key(args, 1);
    if cx.server.keys.peek(cx.db, source).is_none() {
        return cx.wait(args, 1..2, Type::List, deadline, |cx| cx.reply.null());
    }
    transfer(cx, args, from, to)?;
    let words: Vec<&[u8]> = match args.len() {
        4 => vec![b"RPOPLPUSH", &args[1], &args[2]],
        _ => vec![b"LMOVE", &args[1], &args[2], &args[3], &args[4]],
    };
    cx.propagate(&words);
    Ok(())
}

/// Moves an element from an end of the first key's list to an end of the second key's.
fn transfer(cx: &mut Ctx<'_>, args: &mut Args<'_>, from: End, to: End) -> Outcome {
    let rules = rules(cx);
    let (source, destination) = (cx.key(args, 1), cx.key(args, 2));
    let keys = &mut cx.server.keys;
    let Some(entry) = keys.peek(cx.db, source) else {
        cx.reply.null();
        return Ok(());
    };
    let list = list_of(entry)?;
    let (mut text, mut text_bytes) = (Vec::new(), 0);
    list.visit(if from == End::Left { 0 } else { list.len() - 1 }, false, |item| {
        text = item.to_vec();
        // An integer out of a node counts for nothing when the destination's size is foreseen, as in Redis.
        let weightless = matches!((list, item), (List::Nodes(_), Item::Packed(Element::Integer(_))));
        text_bytes = if weightless { 0 } else { text.len() };
        false
    });
    if keys.peek(cx.db, destination).is_some_and(|entry| entry.kind() != Type::List) {
        return Err(Error::WRONG_TYPE);
    }
    cx.reply.bulk(&text);
    if source.bytes == destination.bytes {
        keys.change(cx.db, source, Type::List, pushed(to), |value| {
            let last = view(value).len() - 1;
            remove(value, if from == End::Left { 0 } else { last }, 1);
            grow(value, &rules, text_bytes, 1);
            push_one(value, Cow::Owned(text), to);
            shrink(value, &rules);
            Changed { result: (), changes: 1, empty: false }
        })?;
        // That an element was taken out is an event, too.
        let nothing = |_: &mut Value<'_>| Changed { result: (), changes: 1, empty: false };
        keys.change_uncounted(cx.db, source, Type::List, popped(from), nothing)?;
        return Ok(());
    }
    let fresh = (Type::List, Encoding::Listpack, listpack::EMPTY);
    keys.change_or_create(cx.db, destination, fresh, pushed(to), |value| {
        grow(value, &rules, text_bytes, 1);
        push_one(value, Cow::Owned(text), to);
        Changed { result: (), changes: 1, empty: false }
    })?;
    keys.change_uncounted(cx.db, source, Type::List, popped(from), |value| remove_at(value, from, 1, &rules))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_and_ranges() {
        let cases: &[(i64, usize, Option<usize>)] =
            &[(0, 3, Some(0)), (2, 3, Some(2)), (3, 3, None), (-1, 3, Some(2)), (-3, 3, Some(0)), (-4, 3, None)];
        for &(number, len, index) in cases {
            assert_eq!(index_in(number, len), index, "{number} of {len}");
        }
        assert_eq!([index_in(i64::MIN, 3), index_in(i64::MAX, 3)], [None; 2]);
        let cases: &[(i64, i64, std::ops::Range<usize>)] = &[
            (0, -1, 0..3),
            (1, 1, 1..2),
            (-2, 100, 1..3),
            (2, 1, 0..0),
            (3, 5, 0..0),
            (i64::MIN, i64::MAX, 0..3),
            (0, i64::MIN, 0..0),
            (i64::MAX, i64::MAX, 0..0),
        ];
        for &(start, stop, ref range) in cases {
            assert_eq!(range_in(start, stop, 3), *range, "{start} to {stop}");
        }
    }
}
