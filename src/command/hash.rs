//! Hashes.
//!
//! A compact hash is answered straight from its entry's bytes, and a long value of a large one goes out by reference.

use std::collections::HashSet;

use super::error::{Error, Outcome};
use super::scan_options::{self, ScanOptions};
use super::state::Server;
use super::table::{Acl, Command, Doc, Flags, KeyFlags, KeySpec};
use super::{Ctx, in_portions, wrong_arity};
use crate::effects::Event;
use crate::keyspace::entry::{Encoding, Type};
use crate::keyspace::hashmap::{self, FieldValue, HashView, Limits};
use crate::keyspace::value::{Changed, Value};
use crate::keyspace::{Expiry, Key, Keyspace, StringValue, Touch};
use crate::resp::{Args, Proto, Reply};
use crate::types::field::FieldRef;
use crate::types::listpack::{self, Element};
use crate::types::long_double::LongDouble;
use crate::types::number::parse_i64;

const HASH: Command = Command { acl: Acl::HASH, ..Command::NONE };
const DOC: Doc = Doc { group: "hash", since: "2.0.0", complexity: "O(1)", ..Command::NONE.doc };
const DOC_OF_ALL: Doc = Doc { complexity: "O(N) where N is the number of fields in the hash.", ..DOC };
const DOC_OF_SOME: Doc = Doc { complexity: "O(N) where N is the number of fields named.", ..DOC };

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.union(Flags::FAST);
const WRITE_FAST: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);

const READS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::READS)];
const LOOKS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::LOOKS)];
const SETS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
const COUNTS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))];

const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];
const ANY_OUTPUT: &[&str] = &["nondeterministic_output"];

pub const COMMANDS: &[Command] = &[
    Command {
        name: "hset",
        arity: -4,
        flags: WRITE_FAST,
        keys: SETS,
        member: 2,
        doc: Doc {
            summary: "Gives fields of a hash their values and counts the new ones.",
            syntax: "key field value [data: field value ...]",
            ..DOC_OF_SOME
        },
        handler: hset,
        ..HASH
    },
    Command {
        name: "hsetnx",
        arity: 4,
        flags: WRITE_FAST,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
        member: 2,
        doc: Doc { summary: "Adds a field to a hash unless the hash has it.", syntax: "key field value", ..DOC },
        handler: hsetnx,
        ..HASH
    },
    Command {
        name: "hmset",
        arity: -4,
        flags: WRITE_FAST,
        keys: SETS,
        member: 2,
        doc: Doc {
            summary: "Gives fields of a hash their values.",
            syntax: "key field value [data: field value ...]",
            deprecated_since: "4.0.0",
            replaced_by: "`HSET` with multiple field-value pairs",
            ..DOC_OF_SOME
        },
        handler: hmset,
        ..HASH
    },
    Command {
        name: "hget",
        arity: 3,
        flags: READ_FAST,
        keys: READS,
        member: 2,
        doc: Doc { summary: "Answers the value of a field.", syntax: "key field", ..DOC },
        handler: hget,
        ..HASH
    },
    Command {
        name: "hmget",
        arity: -3,
        flags: READ_FAST,
        keys: READS,
        member: 2,
        doc: Doc { summary: "Answers the values of several fields.", syntax: "key field [field ...]", ..DOC_OF_SOME },
        handler: hmget,
        ..HASH
    },
    Command {
        name: "hgetall",
        arity: 2,
        flags: READ,
        keys: READS,
        tips: ANY_ORDER,
        doc: Doc { summary: "Answers all fields with their values.", syntax: "key", ..DOC_OF_ALL },
        handler: hgetall,
        ..HASH
    },
    Command {
        name: "hkeys",
        arity: 2,
        flags: READ,
        keys: READS,
        tips: ANY_ORDER,
        doc: Doc { summary: "Answers all fields.", syntax: "key", ..DOC_OF_ALL },
        handler: hkeys,
        ..HASH
    },
    Command {
        name: "hvals",
        arity: 2,
        flags: READ,
        keys: READS,
        tips: ANY_ORDER,
        doc: Doc { summary: "Answers the values of all fields.", syntax: "key", ..DOC_OF_ALL },
        handler: hvals,
        ..HASH
    },
    Command {
        name: "hlen",
        arity: 2,
        flags: READ_FAST,
        keys: LOOKS,
        doc: Doc { summary: "Counts the fields of a hash.", syntax: "key", ..DOC },
        handler: hlen,
        ..HASH
    },
    Command {
        name: "hstrlen",
        arity: 3,
        flags: READ_FAST,
        keys: LOOKS,
        member: 2,
        doc: Doc { summary: "Tells how long a field's value is.", since: "3.2.0", syntax: "key field", ..DOC },
        handler: hstrlen,
        ..HASH
    },
    Command {
        name: "hexists",
        arity: 3,
        flags: READ_FAST,
        keys: LOOKS,
        member: 2,
        doc: Doc { summary: "Tells whether a hash has a field.", syntax: "key field", ..DOC },
        handler: hexists,
        ..HASH
    },
    Command {
        name: "hdel",
        arity: -3,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
        member: 2,
        doc: Doc {
            summary: "Removes fields and counts those that were there. A hash without fields goes.",
            syntax: "key field [field ...]",
            ..DOC_OF_SOME
        },
        handler: hdel,
        ..HASH
    },
    Command {
        name: "hincrby",
        arity: 4,
        flags: WRITE_FAST,
        keys: COUNTS,
        member: 2,
        doc: Doc {
            summary: "Adds to the integer that a field holds; a new field holds 0.",
            syntax: "key field increment",
            ..DOC
        },
        handler: hincrby,
        ..HASH
    },
    Command {
        name: "hincrbyfloat",
        arity: 4,
        flags: WRITE_FAST,
        keys: COUNTS,
        member: 2,
        doc: Doc {
            summary: "Adds to the decimal number that a field holds; a new field holds 0.",
            since: "2.6.0",
            syntax: "key field increment",
            ..DOC
        },
        handler: hincrbyfloat,
        ..HASH
    },
    Command {
        name: "hrandfield",
        arity: -2,
        flags: READ,
        keys: READS,
        tips: ANY_OUTPUT,
        doc: Doc {
            summary: "Answers fields chosen at random, all as likely; with a negative count, repeatedly.",
            since: "6.2.0",
            complexity: "O(N) where N is the number of fields answered.",
            syntax: "key [options: count [WITHVALUES]]",
            ..DOC
        },
        handler: hrandfield,
        ..HASH
    },
    Command {
        name: "hscan",
        arity: -3,
        flags: READ,
        keys: READS,
        tips: ANY_OUTPUT,
        doc: Doc {
            summary: "Goes through the fields of a hash in steps.",
            since: "2.8.0",
            complexity: "O(1) for every call, O(N) for all calls until the cursor is 0 again, where N is the number of \
                         fields in the hash.",
            syntax: "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
            ..DOC
        },
        handler: hscan,
        ..HASH
    },
];

/// A hash that does not exist yet.
const FRESH: (Type, Encoding, &[u8]) = (Type::Hash, Encoding::Listpack, listpack::EMPTY);

/// A key's hash for a command that reads it.
///
/// # Errors
/// If the key holds something else.
#[inline]
fn read<'k>(keys: &'k mut Keyspace, db: usize, key: Key<'_>, touch: Touch) -> Result<Option<HashView<'k>>, Error> {
    match keys.read(db, key, touch) {
        Some(entry) => HashView::of(entry).map(Some).ok_or(Error::WRONG_TYPE),
        None => Ok(None),
    }
}

/// As [`read`], when fields whose time is over have just been removed. A hash that is `gone` with them was found.
#[inline]
fn read_rest<'k>(
    keys: &'k mut Keyspace,
    db: usize,
    key: Key<'_>,
    touch: Touch,
    gone: bool,
) -> Result<Option<HashView<'k>>, Error> {
    if gone {
        keys.found(db);
        return Ok(None);
    }
    read(keys, db, key, touch)
}

/// The hash that the first argument names, for a command that reads it; see [`read`]. Of the fields that are named by
/// arguments, those that have expired are removed before.
macro_rules! hash_of {
    ($cx:ident, $args:ident) => {{
        let key = $cx.key($args, 1);
        read(&mut $cx.server.keys, $cx.db, key, $cx.touch)?
    }};
    ($cx:ident, $args:ident, $names:expr) => {{
        let key = $cx.key($args, 1);
        let gone = $cx.server.keys.expire_named_fields($cx.db, key, $names);
        read_rest(&mut $cx.server.keys, $cx.db, key, $cx.touch, gone)?
    }};
}

fn limits(cx: &Ctx<'_>) -> Limits {
    limits_of(cx.server)
}

/// What a compact hash may hold.
pub fn limits_of(server: &Server) -> Limits {
    let settings = &server.settings;
    Limits { entries: settings.hash_max_listpack_entries, bytes: settings.hash_max_listpack_value }
}

fn element_reply(reply: &mut Reply, element: Element<'_>) {
    match element {
        Element::Text(text) => reply.bulk(text),
        Element::Integer(value) => reply.bulk_integer(value),
    }
}

#[inline]
fn value_reply(reply: &mut Reply, value: &FieldValue<'_>) {
    match value {
        FieldValue::Short(element) => element_reply(reply, *element),
        FieldValue::Long(blob) => reply.blob(blob),
    }
}

/// Writes the pairs from the second argument on. Returns how many fields are new.
fn set_fields(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Result<usize, Error> {
    if !args.len().is_multiple_of(2) {
        return Err(wrong_arity(&cx.command.full_name));
    }
    let limits = limits(cx);
    let room = limits.room(args.len() / 2 - 1, args.iter_from(2).map(<[u8]>::len));
    // Values with memory of their own, and where they stood.
    let mut owned = Vec::new();
    for at in (3..args.len()).step_by(2) {
        owned.extend(args.take_owned(at).map(|value| (at, value)));
    }
    let hasher = cx.server.keys.hasher().clone();
    let key = cx.key(args, 1);
    let created = cx.server.keys.change_or_create(cx.db, key, FRESH, Event("hset"), |hash| {
        let mut owned = owned.into_iter().peekable();
        let pairs = (2..args.len()).step_by(2).map(|at| {
            let value = match owned.next_if(|(place, _)| *place == at + 1) {
                Some((_, value)) => StringValue::Owned(value),
                None => StringValue::Borrowed(&args[at + 1]),
            };
            (&args[at], value)
        });
        let result = hashmap::set(hash, pairs, Expiry::Clear, room, limits, &hasher);
        Changed { result, changes: (args.len() / 2 - 1) as u64, empty: false }
    })?;
    Ok(created)
}

fn hset(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let created = set_fields(cx, args)?;
    cx.reply.count(created);
    Ok(())
}

fn hmset(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    set_fields(cx, args)?;
    cx.reply.ok();
    Ok(())
}

/// Lets a command decide on the new value of the field in the second argument, seeing the old one; `None` leaves all as it
/// is. The field keeps its deadline. Returns what the command wants to know itself.
fn update_field<'p, R>(
    cx: &mut Ctx<'_>,
    args: &'p Args<'_>,
    event: Event,
    decide: impl FnOnce(Option<FieldValue<'_>>) -> (Option<StringValue<'p>>, R),
) -> Result<R, Error> {
    let limits = limits(cx);
    let hasher = cx.server.keys.hasher().clone();
    let key = cx.key(args, 1);
    let name = &args[2];
    cx.server.keys.expire_named_fields(cx.db, key, std::iter::once(name));
    let now_ms = cx.server.keys.horizon_ms();
    let change = |hash: &mut Value<'_>| {
        let (value, result) = decide(hashmap::view(hash).get(name, now_ms));
        let Some(value) = value else { return Changed { result, changes: 0, empty: false } };
        let room = limits.room(1, [name.len(), value.bytes().len()].into_iter());
        hashmap::set(hash, std::iter::once((name, value)), Expiry::Keep, room, limits, &hasher);
        Changed { result, changes: 1, empty: false }
    };
    Ok(cx.server.keys.change_or_create(cx.db, key, FRESH, event, change)?)
}

fn hsetnx(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let owned = args.take_owned(3);
    let value = match owned {
        Some(value) => StringValue::Owned(value),
        None => StringValue::Borrowed(&args[3]),
    };
    let was_set = update_field(cx, args, Event("hset"), |old| match old {
        Some(_) => (None, false),
        None => (Some(value), true),
    })?;
    cx.reply.integer(was_set as i64);
    Ok(())
}

fn hget(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.horizon_ms();
    match hash_of!(cx, args, std::iter::once(&args[2])).and_then(|hash| hash.get(&args[2], now_ms)) {
        Some(value) => value_reply(&mut cx.reply, &value),
        None => cx.reply.null(),
    }
    Ok(())
}

fn hmget(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.horizon_ms();
    let hash = hash_of!(cx, args, args.iter_from(2));
    cx.reply.array(args.len() - 2);
    for name in args.iter_from(2) {
        match hash.and_then(|hash| hash.get(name, now_ms)) {
            Some(value) => value_reply(&mut cx.reply, &value),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

fn hgetall(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.horizon_ms();
    let hash = hash_of!(cx, args);
    let reply = &mut cx.reply;
    reply.map(hash.map_or(0, |hash| hash.live_len(now_ms)));
    if let Some(hash) = hash {
        hash.each_live(now_ms, |name, value| {
            element_reply(reply, name);
            value_reply(reply, &value);
        });
    }
    Ok(())
}

fn hkeys(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.horizon_ms();
    let hash = hash_of!(cx, args);
    cx.reply.array(hash.map_or(0, |hash| hash.live_len(now_ms)));
    if let Some(hash) = hash {
        hash.each_live(now_ms, |name, _| element_reply(&mut cx.reply, name));
    }
    Ok(())
}

fn hvals(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.horizon_ms();
    let hash = hash_of!(cx, args);
    cx.reply.array(hash.map_or(0, |hash| hash.live_len(now_ms)));
    if let Some(hash) = hash {
        hash.each_live(now_ms, |_, value| value_reply(&mut cx.reply, &value));
    }
    Ok(())
}

fn hlen(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let len = hash_of!(cx, args).map_or(0, HashView::len);
    cx.reply.count(len);
    Ok(())
}

fn hstrlen(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.horizon_ms();
    let value = hash_of!(cx, args, std::iter::once(&args[2])).and_then(|hash| hash.get(&args[2], now_ms));
    cx.reply.count(value.map_or(0, |value| value.with_bytes(<[u8]>::len)));
    Ok(())
}

fn hexists(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.horizon_ms();
    let hash = hash_of!(cx, args, std::iter::once(&args[2]));
    let found = hash.is_some_and(|hash| hash.get(&args[2], now_ms).is_some());
    cx.reply.integer(found as i64);
    Ok(())
}

fn hdel(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let removed = cx.server.keys.change(cx.db, key, Type::Hash, Event("hdel"), |hash| {
        let removed = args.iter_from(2).filter(|name| hashmap::remove(hash, name)).count();
        Changed { result: removed, changes: removed as u64, empty: hashmap::view(hash).is_empty() }
    })?;
    cx.reply.count(removed.unwrap_or(0));
    Ok(())
}

fn hincrby(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let increment = parse_i64(&args[3]).ok_or(Error::NOT_AN_INTEGER)?;
    let sum = update_field(cx, args, Event("hincrby"), |old| {
        let held = match old {
            Some(FieldValue::Short(Element::Integer(held))) => Some(held),
            Some(value) => value.with_bytes(parse_i64),
            None => Some(0),
        };
        let sum = held.ok_or(Error::fixed("ERR hash value is not an integer")).and_then(|held| {
            held.checked_add(increment).ok_or(Error::fixed("ERR increment or decrement would overflow"))
        });
        (sum.as_ref().ok().map(|sum| StringValue::Owned(sum.to_string().into_bytes())), sum)
    })??;
    cx.reply.integer(sum);
    Ok(())
}

fn hincrbyfloat(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let increment = LongDouble::parse(&args[3]).ok_or(Error::NOT_A_FLOAT)?;
    if !increment.is_finite() {
        return Err(Error::fixed("ERR value is NaN or Infinity"));
    }
    let sum = update_field(cx, args, Event("hincrbyfloat"), |old| {
        let held = match old {
            Some(FieldValue::Short(Element::Integer(held))) => Some(LongDouble::from_i64(held)),
            Some(value) => value.with_bytes(LongDouble::parse),
            None => Some(LongDouble::from_i64(0)),
        };
        let sum = held.ok_or(Error::fixed("ERR hash value is not a float")).and_then(|held| {
            let sum = held.checked_add(increment);
            let sum = sum.ok_or(Error::fixed("ERR increment would produce NaN or Infinity"))?;
            let mut text = Vec::new();
            sum.write(&mut text);
            Ok(text)
        });
        (sum.as_ref().ok().map(|text| StringValue::Owned(text.clone())), sum)
    })??;
    cx.reply.bulk(&sum);
    // Not the sum but its text is to be the same everywhere.
    cx.propagate(&[b"HSET", &args[1], &args[2], &sum]);
    if cx.propagates() {
        // HSET takes the deadline away that the field has kept.
        let key = cx.key(args, 1);
        let hash = cx.server.keys.peek(cx.db, key).and_then(HashView::of);
        if let Some(deadline) = hash.and_then(|hash| hash.find(&args[2])?.deadline) {
            let mut number = itoa::Buffer::new();
            let deadline = number.format(deadline).as_bytes();
            cx.propagate(&[b"HPEXPIREAT", &args[1], deadline, b"FIELDS", b"1", &args[2]]);
        }
    }
    Ok(())
}

fn hrandfield(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut rng = cx.server.keys.random_source();
    let key = cx.key(args, 1);
    if args.len() == 2 {
        let gone = cx.server.keys.expire_all_fields(cx.db, key);
        match read_rest(&mut cx.server.keys, cx.db, key, cx.touch, gone)? {
            Some(hash) => draw(hash, 1, &mut rng, |name, _| element_reply(&mut cx.reply, name)),
            None => cx.reply.null(),
        }
        return Ok(());
    }
    let count = parse_i64(&args[2]).ok_or(Error::NOT_AN_INTEGER)?;
    if count == i64::MIN {
        return Err(Error::fixed(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let with_values = args.len() > 3;
    if with_values && (args.len() > 4 || !args[3].eq_ignore_ascii_case(b"WITHVALUES")) {
        return Err(Error::SYNTAX);
    }
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::OUT_OF_RANGE);
    }
    let most = cx.most_output();
    let gone = cx.server.keys.expire_all_fields(cx.db, key);
    let Some(hash) = read_rest(&mut cx.server.keys, cx.db, key, cx.touch, gone)? else {
        cx.reply.array(0);
        return Ok(());
    };
    let reply = &mut cx.reply;
    let nested = with_values && reply.proto == Proto::Resp3;
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let found = if count < 0 { wanted } else { wanted.min(hash.len()) };
    reply.array(if with_values && !nested { found * 2 } else { found });
    let write = |reply: &mut Reply, name: Element<'_>, value: FieldValue<'_>| {
        if nested {
            reply.array(2);
        }
        element_reply(reply, name);
        if with_values {
            value_reply(reply, &value);
        }
    };
    if count < 0 {
        in_portions(found, |count| {
            draw(hash, count, &mut rng, |name, value| write(reply, name, value));
            reply.out.len() <= most
        });
    } else {
        choose(hash, found, &mut rng, |name, value| write(reply, name, value));
    }
    cx.end_if_beyond(most)
}

/// Visits a field chosen at random, `count` times.
fn draw<'a>(
    hash: HashView<'a>,
    count: usize,
    rng: &mut fastrand::Rng,
    mut visit: impl FnMut(Element<'a>, FieldValue<'a>),
) {
    match hash {
        HashView::Compact(bytes, form) => {
            let len = hash.len();
            let indexes = (0..count).map(|_| rng.usize(..len));
            listpack::pick(bytes, form.step(), indexes, |at| {
                let value = listpack::get(bytes, listpack::end(bytes, at));
                visit(listpack::get(bytes, at), FieldValue::Short(value));
            });
        }
        HashView::Large(fields) => {
            for field in (0..count).filter_map(|_| fields.random(|| rng.u64(..))) {
                visit(Element::Text(field.name()), hashmap::value_of(field));
            }
        }
    }
}

/// Visits `count` different fields, every choice as likely as any other.
fn choose<'a>(
    hash: HashView<'a>,
    count: usize,
    rng: &mut fastrand::Rng,
    mut visit: impl FnMut(Element<'a>, FieldValue<'a>),
) {
    /// From this part of all fields on, going through all is cheaper than drawing until enough are different.
    const PART: usize = 3;
    match hash {
        HashView::Compact(..) if count == 1 => draw(hash, 1, rng, visit),
        HashView::Large(fields) if count < fields.len() / PART => {
            let mut chosen: HashSet<FieldRef<'a>> = HashSet::with_capacity(count);
            while chosen.len() < count {
                match fields.random(|| rng.u64(..)) {
                    Some(field) if chosen.insert(field) => {
                        visit(Element::Text(field.name()), hashmap::value_of(field));
                    }
                    Some(_) => {}
                    None => break,
                }
            }
        }
        _ => {
            // Each field is taken with the chance that as many as are missing have among those that are left.
            let (mut left, mut missing) = (hash.len(), count);
            hash.each(|name, value, _| {
                if missing > 0 && rng.usize(..left) < missing {
                    visit(name, value);
                    missing -= 1;
                }
                left -= 1;
            });
        }
    }
}

fn hscan(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let cursor = scan_options::cursor(args)?;
    let now_ms = cx.server.keys.horizon_ms();
    let Some(hash) = hash_of!(cx, args) else {
        scan_options::answer_nothing(&mut cx.reply);
        return Ok(());
    };
    let options = ScanOptions::parse(args, true)?;
    // The cursor comes before the fields, but is known after them.
    let mut list = Reply::default();
    let mut replies = 0;
    let mut visit = |name: Element<'_>, deadline: Option<u64>, value: &dyn Fn(&mut Reply)| {
        if !hashmap::is_past(deadline, now_ms) && name.with_bytes(|name| options.pattern.matches(name)) {
            element_reply(&mut list, name);
            if !options.no_values {
                value(&mut list);
            }
            replies += 2 - options.no_values as usize;
        }
    };
    let next = match hash {
        HashView::Compact(bytes, form) => {
            for (name, value, deadline) in hashmap::entries(bytes, form) {
                visit(name, deadline, &|list| element_reply(list, value));
            }
            0
        }
        HashView::Large(fields) => fields.scan(cursor, options.count, |field| {
            visit(Element::Text(field.name()), field.deadline(), &|list| list.bulk(field.value()));
        }),
    };
    cx.reply.array(2);
    cx.reply.bulk_integer(next as i64);
    cx.reply.array(replies);
    cx.reply.raw(list.out.tail());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::keyspace::hashmap::Form;
    use crate::types::field::FieldTable;
    use crate::types::hash::KeyHasher;

    #[test]
    fn every_field_is_as_likely_to_be_chosen() {
        const FIELDS: usize = 40;
        let mut compact = listpack::EMPTY.to_vec();
        let mut large = FieldTable::new(KeyHasher::new(3));
        for field in 0..FIELDS as i64 {
            let mut pair = Vec::new();
            listpack::encode_integer(field, &mut pair);
            listpack::encode_integer(field, &mut pair);
            listpack::append(&mut compact, &pair, 2);
            let text = field.to_string();
            large.set(text.as_bytes(), StringValue::Borrowed(text.as_bytes()));
        }
        let mut rng = fastrand::Rng::with_seed(3);
        for hash in [HashView::Compact(&compact, Form::Pairs), HashView::Large(&large)] {
            // Few, so that they are drawn, and many, so that all are gone through.
            for (count, repeated) in [(4, true), (4, false), (20, false), (FIELDS, false)] {
                let rounds = 40_000 / count;
                let mut seen: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
                for _ in 0..rounds {
                    let mut chosen = Vec::new();
                    let visit = |name: Element<'_>, value: FieldValue<'_>| {
                        value.with_bytes(|value| assert!(name == *value));
                        chosen.push(name.to_vec());
                    };
                    if repeated {
                        draw(hash, count, &mut rng, visit)
                    } else {
                        choose(hash, count, &mut rng, visit)
                    }
                    assert_eq!(chosen.len(), count);
                    chosen.iter().for_each(|name| *seen.entry(name.clone()).or_default() += 1);
                    chosen.sort();
                    chosen.dedup();
                    assert!(repeated || chosen.len() == count);
                }
                // A thousand times each, give or take five standard deviations.
                assert_eq!(seen.len(), FIELDS);
                assert!(seen.values().all(|times| (840..1160).contains(times)), "{seen:?}");
            }
        }
    }
}
