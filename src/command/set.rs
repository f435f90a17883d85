//! Sets.
//!
//! A command that stores what it makes of other sets builds it aside, and puts it in the place of what is at the
//! destination, whatever that is: the destination may be among the sets that are read.

use std::ops::ControlFlow;

use super::error::{Error, Outcome};
use super::scan_options::{self, ScanOptions};
use super::state::Server;
use super::table::{Acl, Begin, Command, Doc, Find, Flags, KeyFlags, KeySpec};
use super::{Ctx, in_portions};
use crate::effects::Event;
use crate::keyspace::entry::{Encoding, INLINE_MAX, NewValue, Object, Type};
use crate::keyspace::value::Changed;
use crate::keyspace::{Key, Keyspace, Touch};
use crate::resp::{Args, Reply};
use crate::types::intset;
use crate::types::listpack::{self, Element};
use crate::types::number::{is_canonical_i64, parse_i64};
use crate::types::set::{self, Limits, Rules, Set, SetMut, SetRef};

const SET: Command = Command { acl: Acl::SET, ..Command::NONE };
const DOC: Doc = Doc { group: "set", since: "1.0.0", complexity: "O(1)", ..Command::NONE.doc };
const DOC_OF_SOME: Doc = Doc { complexity: "O(N) where N is the number of members named", ..DOC };
const DOC_OF_ALL: Doc = Doc { complexity: "O(N) where N is the number of members of all sets", ..DOC };
const DOC_OF_COUNT: Doc = Doc { complexity: "O(1), or O(N) for a count of N", ..DOC };
const DOC_OF_PRODUCT: Doc = Doc {
    complexity: "O(N*M) at worst, where N is the number of members of the smallest set and M the number of sets",
    ..DOC
};

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.union(Flags::FAST);
const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);
const STORE: Flags = Flags::WRITE.union(Flags::DENYOOM);

const READS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::READS)];
const READS_ALL: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::READS)];
const LOOKS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::LOOKS)];
const INSERTS: KeyFlags = KeyFlags::RW.union(KeyFlags::INSERT);
const DELETES: KeyFlags = KeyFlags::RW.union(KeyFlags::DELETE);
const TAKES: KeyFlags = DELETES.union(KeyFlags::ACCESS);
const STORES: &[KeySpec] =
    &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)), KeySpec::range(2, -1, 1, KeyFlags::READS)];

const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];
const ANY_OUTPUT: &[&str] = &["nondeterministic_output"];

pub const COMMANDS: &[Command] = &[
    Command {
        name: "sadd",
        arity: -3,
        flags: WRITE_FAST.union(Flags::DENYOOM),
        keys: &[KeySpec::one(1, INSERTS)],
        member: 2,
        doc: Doc {
            summary: "Adds members to a set and counts the new ones.",
            syntax: "key member [member ...]",
            ..DOC_OF_SOME
        },
        handler: sadd,
        ..SET
    },
    Command {
        name: "srem",
        arity: -3,
        flags: WRITE_FAST,
        keys: &[KeySpec::one(1, DELETES)],
        member: 2,
        doc: Doc {
            summary: "Removes members from a set and counts those that were there.",
            syntax: "key member [member ...]",
            ..DOC_OF_SOME
        },
        handler: srem,
        ..SET
    },
    Command {
        name: "smove",
        arity: 4,
        flags: WRITE_FAST,
        keys: &[KeySpec::one(1, TAKES), KeySpec::one(2, INSERTS)],
        member: 3,
        doc: Doc { summary: "Moves a member to another set.", syntax: "source destination member", ..DOC },
        handler: smove,
        ..SET
    },
    Command {
        name: "sismember",
        arity: 3,
        flags: READ_FAST,
        keys: LOOKS,
        member: 2,
        doc: Doc { summary: "Tells whether a set has a member.", syntax: "key member", ..DOC },
        handler: sismember,
        ..SET
    },
    Command {
        name: "smismember",
        arity: -3,
        flags: READ_FAST,
        keys: READS,
        member: 2,
        doc: Doc {
            summary: "Tells of each of several members whether a set has it.",
            since: "6.2.0",
            syntax: "key member [member ...]",
            ..DOC_OF_SOME
        },
        handler: smismember,
        ..SET
    },
    Command {
        name: "scard",
        arity: 2,
        flags: READ_FAST,
        keys: LOOKS,
        doc: Doc { summary: "Counts the members of a set.", syntax: "key", ..DOC },
        handler: scard,
        ..SET
    },
    Command {
        name: "spop",
        arity: -2,
        flags: WRITE_FAST,
        keys: &[KeySpec::one(1, TAKES)],
        tips: ANY_OUTPUT,
        doc: Doc { summary: "Draws members of a set and removes them.", syntax: "key [count]", ..DOC_OF_COUNT },
        handler: spop,
        ..SET
    },
    Command {
        name: "srandmember",
        arity: -2,
        flags: READ,
        keys: READS,
        tips: ANY_OUTPUT,
        doc: Doc {
            summary: "Draws members of a set: different ones, or for a negative count each from all.",
            syntax: "key [count]",
            ..DOC_OF_COUNT
        },
        handler: srandmember,
        ..SET
    },
    Command {
        name: "sinter",
        arity: -2,
        flags: READ,
        keys: READS_ALL,
        tips: ANY_ORDER,
        doc: Doc { summary: "Lists the members that all sets have.", syntax: "key [key ...]", ..DOC_OF_PRODUCT },
        handler: sinter,
        ..SET
    },
    Command {
        name: "sinterstore",
        arity: -3,
        flags: STORE,
        keys: STORES,
        doc: Doc {
            summary: "Stores the members that all sets have in another set and counts them.",
            syntax: "destination key [key ...]",
            ..DOC_OF_PRODUCT
        },
        handler: sinterstore,
        ..SET
    },
    Command {
        name: "sintercard",
        arity: -3,
        flags: READ.union(Flags::MOVABLE_KEYS),
        keys: &[KeySpec {
            begin: Begin::Index(1),
            find: Find::KeyNum { number: 0, first: 1, step: 1 },
            flags: KeyFlags::READS,
            notes: "",
        }],
        doc: Doc {
            summary: "Counts the members that all sets have, up to a limit.",
            since: "7.0.0",
            syntax: "numkeys key [key ...] [LIMIT limit]",
            ..DOC_OF_PRODUCT
        },
        handler: sintercard,
        ..SET
    },
    Command {
        name: "sunion",
        arity: -2,
        flags: READ,
        keys: READS_ALL,
        tips: ANY_ORDER,
        doc: Doc { summary: "Lists the members that any of some sets has.", syntax: "key [key ...]", ..DOC_OF_ALL },
        handler: sunion,
        ..SET
    },
    Command {
        name: "sunionstore",
        arity: -3,
        flags: STORE,
        keys: STORES,
        doc: Doc {
            summary: "Stores the members that any of some sets has in another set and counts them.",
            syntax: "destination key [key ...]",
            ..DOC_OF_ALL
        },
        handler: sunionstore,
        ..SET
    },
    Command {
        name: "sdiff",
        arity: -2,
        flags: READ,
        keys: READS_ALL,
        tips: ANY_ORDER,
        doc: Doc {
            summary: "Lists the members of a set that no other of some sets has.",
            syntax: "key [key ...]",
            ..DOC_OF_ALL
        },
        handler: sdiff,
        ..SET
    },
    Command {
        name: "sdiffstore",
        arity: -3,
        flags: STORE,
        keys: STORES,
        doc: Doc {
            summary: "Stores the members of a set that no other of some sets has in another set and counts them.",
            syntax: "destination key [key ...]",
            ..DOC_OF_ALL
        },
        handler: sdiffstore,
        ..SET
    },
    Command {
        name: "smembers",
        arity: 2,
        flags: READ,
        keys: READS,
        tips: ANY_ORDER,
        doc: Doc { summary: "Lists the members of a set.", syntax: "key", ..DOC_OF_ALL },
        handler: smembers,
        ..SET
    },
    Command {
        name: "sscan",
        arity: -3,
        flags: READ,
        keys: READS,
        tips: ANY_OUTPUT,
        doc: Doc {
            summary: "Lists the members of a set piece by piece.",
            since: "2.8.0",
            complexity: "O(1) for a call, O(N) for a whole iteration, where N is the number of members",
            syntax: "key cursor [MATCH pattern] [COUNT count]",
            ..DOC
        },
        handler: sscan,
        ..SET
    },
];

/// The rules for sets that are changed.
pub fn rules(server: &Server) -> Rules {
    let settings = &server.settings;
    Rules {
        limits: Limits {
            intset_entries: settings.set_max_intset_entries,
            listpack_entries: settings.set_max_listpack_entries,
            listpack_value: settings.set_max_listpack_value,
        },
        hasher: server.keys.hasher().clone(),
    }
}

/// The set of a key that is read, if there is one.
fn read_set<'k>(keys: &'k mut Keyspace, db: usize, key: Key<'_>, touch: Touch) -> Result<Option<SetRef<'k>>, Error> {
    match keys.read(db, key, touch) {
        Some(entry) => entry.set().map(Some).ok_or(Error::WRONG_TYPE),
        None => Ok(None),
    }
}

/// Replies with a member.
fn member(reply: &mut Reply, element: Element<'_>) {
    match element {
        Element::Text(text) => reply.bulk(text),
        Element::Integer(integer) => reply.bulk_integer(integer),
    }
}

/// Replies with all members of a set.
fn members(reply: &mut Reply, set: SetRef<'_>) {
    reply.set(set.len());
    set.iter().for_each(|element| member(reply, element));
}

fn sadd(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let added = add_all(cx, key, args, 2)?;
    cx.reply.count(added);
    Ok(())
}

/// Adds the arguments from the one at `first` on to the set of a key. Returns how many are new.
fn add_all(cx: &mut Ctx<'_>, key: Key<'_>, args: &Args<'_>, first: usize) -> Result<usize, Error> {
    let rules = &rules(cx.server);
    let count = args.len() - first;
    let fresh = if count <= rules.limits.intset_entries && is_canonical_i64(&args[first]) {
        (Type::Set, Encoding::Intset, intset::EMPTY)
    } else {
        (Type::Set, Encoding::Listpack, listpack::EMPTY)
    };
    let added = cx.server.keys.change_or_create(cx.db, key, fresh, Event("sadd"), |value| {
        set::expect(value, count, rules);
        let added = args.iter_from(first).filter(|member| set::add(value, member, rules)).count();
        Changed { result: added, changes: added as u64, empty: false }
    })?;
    Ok(added)
}

fn srem(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let removed = cx.server.keys.change(cx.db, key, Type::Set, Event("srem"), |value| {
        let removed = args.iter_from(2).filter(|member| set::remove(value, member)).count();
        Changed { result: removed, changes: removed as u64, empty: value.set().is_empty() }
    })?;
    cx.reply.count(removed.unwrap_or(0));
    Ok(())
}

fn smove(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let (from, to) = (cx.key(args, 1), cx.key(args, 2));
    let keys = &mut cx.server.keys;
    let Some(source) = keys.peek(cx.db, from) else {
        cx.reply.integer(0);
        return Ok(());
    };
    let moved = source.set().ok_or(Error::WRONG_TYPE)?.contains(&args[3]);
    if keys.peek(cx.db, to).is_some_and(|entry| entry.kind() != Type::Set) {
        return Err(Error::WRONG_TYPE);
    }
    if moved && from.bytes != to.bytes {
        keys.change(cx.db, from, Type::Set, Event("srem"), |value| {
            set::remove(value, &args[3]);
            Changed { result: (), changes: 1, empty: value.set().is_empty() }
        })?;
        add_all(cx, to, args, 3)?;
    }
    cx.reply.integer(moved as i64);
    Ok(())
}

fn sismember(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let set = read_set(&mut cx.server.keys, cx.db, key, cx.touch)?;
    let found = set.is_some_and(|set| set.contains(&args[2]));
    cx.reply.integer(found as i64);
    Ok(())
}

fn smismember(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let set = read_set(&mut cx.server.keys, cx.db, key, cx.touch)?;
    cx.reply.array(args.len() - 2);
    for member in args.iter_from(2) {
        cx.reply.integer(set.is_some_and(|set| set.contains(member)) as i64);
    }
    Ok(())
}

fn scard(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let set = read_set(&mut cx.server.keys, cx.db, key, cx.touch)?;
    cx.reply.count(set.map_or(0, SetRef::len));
    Ok(())
}

/// Members that one propagated SREM names at most.
const SPOP_BATCH: usize = 1024;

fn spop(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let count = match args.get(2) {
        _ if args.len() > 3 => return Err(Error::SYNTAX),
        Some(count) => {
            let count = parse_i64(count).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(Error::NOT_POSITIVE)?)
        }
        None => None,
    };
    let key = cx.key(args, 1);
    let rules = &rules(cx.server);
    let mut rng = cx.server.keys.random_source();
    // Which members it was is chance: others are told.
    let told = cx.propagates();
    let mut names: Vec<Vec<u8>> = Vec::new();
    let reply = &mut cx.reply;
    let popped = cx.server.keys.change(cx.db, key, Type::Set, Event("spop"), |value| {
        let len = value.set().len();
        let popped = count.unwrap_or(1).min(len);
        if count.is_some() {
            reply.set(popped);
        }
        let told = told && (popped < len || count.is_none());
        let mut take = |element: Element<'_>| {
            member(reply, element);
            if told {
                let mut name = Vec::new();
                element.write(&mut name);
                names.push(name);
            }
        };
        if popped < len {
            set::pop(value, popped, &mut rng, rules, take);
        } else {
            value.set().iter().for_each(&mut take);
        }
        Changed { result: popped == len, changes: popped as u64, empty: popped == len }
    })?;
    match (popped, count) {
        (Some(all), Some(_)) if all && told => cx.propagate_removal(key.bytes),
        (Some(_), _) => {
            for names in names.chunks(SPOP_BATCH) {
                let words: [&[u8]; 2] = [b"SREM", key.bytes];
                let words: Vec<&[u8]> = words.into_iter().chain(names.iter().map(Vec::as_slice)).collect();
                cx.propagate(&words);
            }
        }
        (None, Some(_)) => cx.reply.set(0),
        (None, None) => cx.reply.null(),
    }
    Ok(())
}

fn srandmember(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let count = match args.get(2) {
        _ if args.len() > 3 => return Err(Error::SYNTAX),
        Some(count) => Some(parse_i64(count).ok_or(Error::NOT_AN_INTEGER)?),
        None => None,
    };
    if count == Some(i64::MIN) {
        return Err(Error::fixed(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let (key, most) = (cx.key(args, 1), cx.most_output());
    let mut rng = cx.server.keys.random_source();
    let set = read_set(&mut cx.server.keys, cx.db, key, cx.touch)?;
    let reply = &mut cx.reply;
    match (set, count) {
        (None, None) => reply.null(),
        (None, Some(_)) => reply.array(0),
        (Some(set), None) => set.draw(1, &mut rng, |element| member(reply, element)),
        (Some(set), Some(count)) => {
            let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
            if count < 0 {
                reply.array(wanted);
                in_portions(wanted, |count| {
                    set.draw(count, &mut rng, |element| member(reply, element));
                    reply.out.len() <= most
                });
            } else {
                reply.array(wanted.min(set.len()));
                set.sample(wanted, &mut rng, |element| member(reply, element));
            }
        }
    }
    cx.end_if_beyond(most)
}

/// Looks for the sets of the arguments in a range, and lends them to `work`; a key that is missing has none.
///
/// # Errors
/// One of the keys is no set.
fn with_sets<R>(
    cx: &mut Ctx<'_>,
    args: &Args<'_>,
    range: std::ops::Range<usize>,
    work: impl FnOnce(&mut Reply, &[Option<SetRef<'_>>]) -> R,
) -> Result<R, Error> {
    let named: Vec<Key<'_>> = range.map(|at| cx.key(args, at)).collect();
    let keys = &mut cx.server.keys;
    named.iter().for_each(|key| keys.prefetch_bucket(cx.db, key.hash));
    for &key in &named {
        read_set(keys, cx.db, key, cx.touch)?;
    }
    // Once more, because reading one may have taken away another that has expired.
    let sets: Vec<_> = named.iter().map(|&key| keys.view(cx.db, key)?.set()).collect();
    Ok(work(&mut cx.reply, &sets))
}

/// The sets, if none is missing.
fn all<'a>(sets: &[Option<SetRef<'a>>]) -> Option<Vec<SetRef<'a>>> {
    sets.iter().copied().collect()
}

/// Puts a set in the place of what a key holds, or deletes the key if the set is empty. Replies with its size.
fn store(cx: &mut Ctx<'_>, key: Key<'_>, set: Set, event: Event) -> Outcome {
    let keys = &mut cx.server.keys;
    let len = set.set().len();
    cx.reply.count(len);
    if len == 0 {
        keys.vacate(cx.db, key);
        return Ok(());
    }
    let (encoding, bytes) = match set {
        Set::Ints(bytes) => (Encoding::Intset, bytes),
        Set::List(bytes) => (Encoding::Listpack, bytes),
        Set::Few(bytes) => (Encoding::Hashtable, bytes),
        Set::Table(members) => {
            let value = NewValue::Boxed(Box::new(Object::Set(members)));
            keys.store(cx.db, key, Type::Set, Encoding::Hashtable, value, event);
            return Ok(());
        }
    };
    let value = if bytes.len() <= INLINE_MAX {
        NewValue::Inline(&bytes)
    } else {
        NewValue::Boxed(Box::new(Object::Compact(bytes)))
    };
    keys.store(cx.db, key, Type::Set, encoding, value, event);
    Ok(())
}

fn sinter(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    with_sets(cx, args, 1..args.len(), |reply, sets| {
        let Some(sets) = all(sets) else { return reply.set(0) };
        let list = reply.deferred_array();
        let mut found = 0;
        set::intersection(&sets, |element| {
            member(reply, element);
            found += 1;
            ControlFlow::Continue(())
        });
        reply.finish_set(list, found);
    })
}

fn sinterstore(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let rules = &rules(cx.server);
    let result = with_sets(cx, args, 2..args.len(), |_, sets| {
        let Some(sets) = all(sets) else { return Set::empty() };
        let mut result = match set::smallest(&sets) {
            Some(SetRef::Ints(_)) => Set::empty(),
            _ => Set::List(listpack::EMPTY.to_vec()),
        };
        set::intersection(&sets, |element| {
            set::add_element(&mut result, element, rules);
            ControlFlow::Continue(())
        });
        set::into_ints(&mut result, rules);
        result
    })?;
    let key = cx.key(args, 1);
    store(cx, key, result, Event("sinterstore"))
}

fn sintercard(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let number = parse_i64(&args[1]).filter(|&number| number > 0);
    let number = number.ok_or(Error::fixed("ERR numkeys should be greater than 0"))?;
    let number = usize::try_from(number).ok().filter(|&number| number <= args.len() - 2);
    let end = 2 + number.ok_or(Error::fixed("ERR Number of keys can't be greater than number of args"))?;
    let mut limit = 0;
    for at in (end..args.len()).step_by(2) {
        let value = args.get(at + 1).filter(|_| args[at].eq_ignore_ascii_case(b"LIMIT")).ok_or(Error::SYNTAX)?;
        let value = parse_i64(value).and_then(|value| usize::try_from(value).ok());
        limit = value.ok_or(Error::fixed("ERR LIMIT can't be negative"))?;
    }
    with_sets(cx, args, 2..end, |reply, sets| {
        let mut found = 0;
        if let Some(sets) = all(sets) {
            set::intersection(&sets, |_| {
                found += 1;
                if found == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        }
        reply.count(found);
    })
}

fn sunion(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let rules = &rules(cx.server);
    with_sets(cx, args, 1..args.len(), |reply, sets| match sets {
        [Some(set)] => members(reply, *set),
        _ => members(reply, set::union(sets.iter().flatten().copied(), rules).set()),
    })
}

fn sunionstore(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let rules = &rules(cx.server);
    let result = with_sets(cx, args, 2..args.len(), |_, sets| set::union(sets.iter().flatten().copied(), rules))?;
    let key = cx.key(args, 1);
    store(cx, key, result, Event("sunionstore"))
}

fn sdiff(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let rules = &rules(cx.server);
    with_sets(cx, args, 1..args.len(), |reply, sets| {
        let list = reply.deferred_array();
        let mut found = 0;
        let rest = set::difference(sets, rules, |element| {
            member(reply, element);
            found += 1;
        });
        if let Some(rest) = rest {
            found = rest.set().len();
            rest.set().iter().for_each(|element| member(reply, element));
        }
        reply.finish_set(list, found);
    })
}

fn sdiffstore(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let rules = &rules(cx.server);
    let result = with_sets(cx, args, 2..args.len(), |_, sets| {
        let mut result = Set::empty();
        let rest = set::difference(sets, rules, |element| {
            set::add_element(&mut result, element, rules);
        });
        rest.unwrap_or(result)
    })?;
    let key = cx.key(args, 1);
    store(cx, key, result, Event("sdiffstore"))
}

fn smembers(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    match read_set(&mut cx.server.keys, cx.db, key, cx.touch)? {
        Some(set) => members(&mut cx.reply, set),
        None => cx.reply.set(0),
    }
    Ok(())
}

fn sscan(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let cursor = scan_options::cursor(args)?;
    let key = cx.key(args, 1);
    let Some(set) = read_set(&mut cx.server.keys, cx.db, key, cx.touch)? else {
        scan_options::answer_nothing(&mut cx.reply);
        return Ok(());
    };
    let options = ScanOptions::parse(args, false)?;
    // The cursor comes before the members, but is known after them.
    let mut list = Reply::default();
    let mut found = 0;
    let mut visit = |element: Element<'_>| {
        if element.with_bytes(|member| options.pattern.matches(member)) {
            member(&mut list, element);
            found += 1;
        }
    };
    let next = match set {
        SetRef::Table(members) => members.scan(cursor, options.count, |text| visit(Element::Text(text))),
        compact => {
            compact.iter().for_each(visit);
            0
        }
    };
    cx.reply.array(2);
    cx.reply.bulk_integer(next as i64);
    cx.reply.array(found);
    cx.reply.raw(list.out.tail());
    Ok(())
}
