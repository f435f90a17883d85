//! Fields of hashes that expire.
//!
//! What the commands find is decided field by field: each is answered by a number of its own.

use super::Ctx;
use super::error::{Error, Outcome};
use super::table::{Acl, Command, Doc, Flags, KeyFlags, KeySpec};
use crate::effects::Event;
use crate::keyspace::Schedule;
use crate::keyspace::entry::Type;
use crate::keyspace::hashmap::{self, HashView, is_past};
use crate::keyspace::value::Changed;
use crate::resp::Args;
use crate::types::number::parse_i64;

const HASH: Command = Command { acl: Acl::HASH, ..Command::NONE };
const DOC_OF_SOME: Doc = Doc {
    group: "hash",
    since: "7.4.0",
    complexity: "O(N) where N is the number of fields named.",
    ..Command::NONE.doc
};

const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
const WRITE_FAST: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);

const READS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::READS)];
const SETS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];

pub const COMMANDS: &[Command] = &[
    Command {
        name: "hexpire",
        arity: -6,
        flags: WRITE_FAST,
        keys: SETS,
        doc: Doc {
            summary: "Lets fields live for a number of seconds.",
            syntax: "key seconds [condition: NX | XX | GT | LT] <fields: FIELDS <numfields <field ...>>>",
            ..DOC_OF_SOME
        },
        handler: hexpire,
        ..HASH
    },
    Command {
        name: "hpexpire",
        arity: -6,
        flags: WRITE_FAST,
        keys: SETS,
        doc: Doc {
            summary: "Lets fields live for a number of milliseconds.",
            syntax: "key milliseconds [condition: NX | XX | GT | LT] <fields: FIELDS <numfields <field ...>>>",
            ..DOC_OF_SOME
        },
        handler: hpexpire,
        ..HASH
    },
    Command {
        name: "hexpireat",
        arity: -6,
        flags: WRITE_FAST,
        keys: SETS,
        doc: Doc {
            summary: "Lets fields live until a time in Unix seconds.",
            syntax: "key unix-time-seconds [condition: NX | XX | GT | LT] <fields: FIELDS <numfields <field ...>>>",
            ..DOC_OF_SOME
        },
        handler: hexpireat,
        ..HASH
    },
    Command {
        name: "hpexpireat",
        arity: -6,
        flags: WRITE_FAST,
        keys: SETS,
        doc: Doc {
            summary: "Lets fields live until a time in Unix milliseconds.",
            syntax: "key unix-time-milliseconds [condition: NX | XX | GT | LT] <fields: FIELDS <numfields <field ...>>>",
            ..DOC_OF_SOME
        },
        handler: hpexpireat,
        ..HASH
    },
    Command {
        name: "httl",
        arity: -5,
        flags: READ_FAST,
        keys: READS,
        doc: Doc {
            summary: "Tells for how many seconds fields live on.",
            syntax: "key <fields: FIELDS <numfields <field ...>>>",
            ..DOC_OF_SOME
        },
        handler: httl,
        ..HASH
    },
    Command {
        name: "hpttl",
        arity: -5,
        flags: READ_FAST,
        keys: READS,
        doc: Doc {
            summary: "Tells for how many milliseconds fields live on.",
            syntax: "key <fields: FIELDS <numfields <field ...>>>",
            ..DOC_OF_SOME
        },
        handler: hpttl,
        ..HASH
    },
    Command {
        name: "hexpiretime",
        arity: -5,
        flags: READ_FAST,
        keys: READS,
        doc: Doc {
            summary: "Tells until when fields live, in Unix seconds.",
            syntax: "key <fields: FIELDS <numfields <field ...>>>",
            ..DOC_OF_SOME
        },
        handler: hexpiretime,
        ..HASH
    },
    Command {
        name: "hpexpiretime",
        arity: -5,
        flags: READ_FAST,
        keys: READS,
        doc: Doc {
            summary: "Tells until when fields live, in Unix milliseconds.",
            syntax: "key <fields: FIELDS <numfields <field ...>>>",
            ..DOC_OF_SOME
        },
        handler: hpexpiretime,
        ..HASH
    },
    Command {
        name: "hpersist",
        arity: -5,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: SETS,
        doc: Doc {
            summary: "Lets fields live until they are deleted.",
            syntax: "key <fields: FIELDS <numfields <field ...>>>",
            ..DOC_OF_SOME
        },
        handler: hpersist,
        ..HASH
    },
];

/// No field lives longer than until this time in Unix milliseconds: two bits less than the 48 of a deadline in Redis.
const LATEST_MS: i64 = (1 << 46) - 1;

/// What commands answer for a field that the hash does not have.
const NO_FIELD: i64 = -2;
/// What those that do not set a deadline answer for a field without one.
const NO_DEADLINE: i64 = -1;

/// When the HEXPIRE family does its work on a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    /// Only if it does not expire.
    Nx,
    /// Only if it expires.
    Xx,
    /// Only if it would live longer.
    Gt,
    /// Only if it would live shorter.
    Lt,
}

impl Condition {
    fn parse(word: &[u8]) -> Condition {
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        if is(b"NX") {
            Condition::Nx
        } else if is(b"XX") {
            Condition::Xx
        } else if is(b"GT") {
            Condition::Gt
        } else if is(b"LT") {
            Condition::Lt
        } else {
            Condition::Always
        }
    }

    /// Whether a deadline may take the place of another. Without one, a field lives for ever.
    fn allows(self, current: Option<u64>, at_ms: u64) -> bool {
        match self {
            Condition::Always => true,
            Condition::Nx => current.is_none(),
            Condition::Xx => current.is_some(),
            Condition::Gt => current.is_some_and(|current| at_ms > current),
            Condition::Lt => current.is_none_or(|current| at_ms < current),
        }
    }
}

/// Where the names of fields begin that `FIELDS numfields` at a position announces.
///
/// # Errors
/// If that is not there, or announces another number of names than follow; `not_positive` if the number is none.
fn names_at(args: &Args<'_>, at: usize, not_positive: &'static str) -> Result<usize, Error> {
    if !args.get(at).is_some_and(|word| word.eq_ignore_ascii_case(b"FIELDS")) {
        return Err(Error::fixed("ERR Mandatory argument FIELDS is missing or not at the right position"));
    }
    let count = args.get(at + 1).and_then(parse_i64).filter(|&count| count > 0).ok_or(Error::fixed(not_positive))?;
    let names = at + 2;
    if args.len().checked_sub(names).map(|given| given as i64) != Some(count) {
        return Err(Error::fixed("ERR The `numfields` parameter must match the number of arguments"));
    }
    Ok(names)
}

/// [`names_at`] for the commands that have nothing between key and names.
fn names_behind_key(args: &Args<'_>) -> Result<usize, Error> {
    names_at(args, 2, "ERR Number of fields must be a positive integer")
}

/// The HEXPIRE family: the time is given in units of `unit_ms` from `base_ms` on.
fn set_deadlines(cx: &mut Ctx<'_>, args: &Args<'_>, base_ms: u64, unit_ms: i64) -> Outcome {
    let key = cx.key(args, 1);
    if cx.server.keys.peek(cx.db, key).is_some_and(|entry| entry.kind() != Type::Hash) {
        return Err(Error::WRONG_TYPE);
    }
    let time = parse_i64(&args[2]).ok_or(Error::NOT_AN_INTEGER)?;
    if time < 0 {
        return Err(Error::fixed("ERR invalid expire time, must be >= 0"));
    }
    let at_ms = time.checked_mul(unit_ms).and_then(|ms| ms.checked_add(base_ms as i64));
    let Some(at_ms) = at_ms.filter(|&ms| ms <= LATEST_MS).map(|ms| ms as u64) else {
        return Err(Error::new(format!("ERR invalid expire time in '{}' command", cx.command.full_name)));
    };
    let condition = Condition::parse(&args[3]);
    let at = if condition == Condition::Always { 3 } else { 4 };
    let names = names_at(args, at, "ERR Parameter `numFields` should be greater than 0")?;
    let now_ms = cx.server.keys.horizon_ms();
    let decide = |current| {
        if !condition.allows(current, at_ms) {
            Schedule::Leave
        } else if at_ms <= now_ms {
            Schedule::Past
        } else {
            Schedule::At(at_ms)
        }
    };
    let reply = &mut cx.reply;
    reply.array(args.len() - names);
    // Those that live on until then, by their places.
    let mut moved = Vec::new();
    let mut at_name = names..args.len();
    let found = cx.server.keys.reschedule_fields(cx.db, key, args.iter_from(names), decide, |decision| {
        moved.extend(at_name.next().filter(|_| matches!(decision, Some(Schedule::At(_)))));
        reply.integer(match decision {
            None => NO_FIELD,
            Some(Schedule::Leave) => 0,
            Some(Schedule::At(_) | Schedule::Never) => 1,
            Some(Schedule::Past) => 2,
        });
    })?;
    if !found {
        args.iter_from(names).for_each(|_| reply.integer(NO_FIELD));
    }
    if cx.propagates() {
        let mut number = itoa::Buffer::new();
        let start = [b"HPEXPIREAT", key.bytes, number.format(at_ms).as_bytes(), &args[3]];
        propagate_named(cx, args, &start[..at], &moved);
    }
    Ok(())
}

/// Propagates what a command amounts to for some of the fields that it named, if for any.
fn propagate_named(cx: &mut Ctx<'_>, args: &Args<'_>, start: &[&[u8]], names: &[usize]) {
    if names.is_empty() {
        return cx.propagate_nothing();
    }
    let mut number = itoa::Buffer::new();
    let count = number.format(names.len()).as_bytes();
    let mut words: Vec<&[u8]> = [start, &[b"FIELDS", count]].concat();
    words.extend(names.iter().map(|&at| &args[at]));
    cx.propagate(&words);
}

fn hexpire(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.now_ms();
    set_deadlines(cx, args, now_ms, 1000)
}

fn hpexpire(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.now_ms();
    set_deadlines(cx, args, now_ms, 1)
}

fn hexpireat(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    set_deadlines(cx, args, 0, 1000)
}

fn hpexpireat(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    set_deadlines(cx, args, 0, 1)
}

/// Replies for each field what `tell` makes of its deadline.
fn tell_deadlines(cx: &mut Ctx<'_>, args: &Args<'_>, tell: impl Fn(u64) -> u64) -> Outcome {
    let key = cx.key(args, 1);
    let now_ms = cx.server.keys.horizon_ms();
    let hash = match cx.server.keys.read(cx.db, key, cx.touch) {
        Some(entry) => Some(HashView::of(entry).ok_or(Error::WRONG_TYPE)?),
        None => None,
    };
    let names = names_behind_key(args)?;
    cx.reply.array(args.len() - names);
    for name in args.iter_from(names) {
        let held = hash.and_then(|hash| hash.find(name)).filter(|held| !is_past(held.deadline, now_ms));
        cx.reply.integer(match held.map(|held| held.deadline) {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(deadline)) => tell(deadline) as i64,
        });
    }
    Ok(())
}

fn httl(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.now_ms();
    tell_deadlines(cx, args, |deadline| deadline.saturating_sub(now_ms).div_ceil(1000))
}

fn hpttl(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.now_ms();
    tell_deadlines(cx, args, |deadline| deadline.saturating_sub(now_ms))
}

fn hexpiretime(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    tell_deadlines(cx, args, |deadline| deadline.div_ceil(1000))
}

fn hpexpiretime(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    tell_deadlines(cx, args, |deadline| deadline)
}

fn hpersist(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    if cx.server.keys.peek(cx.db, key).is_some_and(|entry| entry.kind() != Type::Hash) {
        return Err(Error::WRONG_TYPE);
    }
    let names = names_behind_key(args)?;
    let now_ms = cx.server.keys.horizon_ms();
    let reply = &mut cx.reply;
    reply.array(args.len() - names);
    // Those that are freed of their deadlines, by their places.
    let mut freed = Vec::new();
    let done = cx.server.keys.change(cx.db, key, Type::Hash, Event("hpersist"), |hash| {
        for at in names..args.len() {
            let mut answer = NO_FIELD;
            hashmap::reschedule(hash, &args[at], |deadline| {
                if is_past(deadline, now_ms) {
                    return Schedule::Leave;
                }
                answer = if deadline.is_some() { 1 } else { NO_DEADLINE };
                if deadline.is_some() { Schedule::Never } else { Schedule::Leave }
            });
            freed.extend((answer == 1).then_some(at));
            reply.integer(answer);
        }
        Changed { result: (), changes: !freed.is_empty() as u64, empty: false }
    })?;
    if done.is_none() {
        args.iter_from(names).for_each(|_| reply.integer(NO_FIELD));
    }
    if cx.propagates() {
        propagate_named(cx, args, &[b"HPERSIST", key.bytes], &freed);
    }
    Ok(())
}
