//! Strings.
//!
//! A long string goes out by reference wherever the whole of it is asked for; everything else copies just the bytes that
//! the client gets. Numbers live in the keyspace as their text, so INCR reads and prints digits in place.

use std::ops::Range;

use super::error::{Error, Outcome};
use super::table::{Acl, Command, Doc, Flags, KeyFlags, KeySpec};
use super::{Ctx, wrong_arity};
use crate::effects::Event;
use crate::keyspace::entry::{Encoding, EntryRef, Object, Type};
use crate::keyspace::{EMBSTR_MAX, Expiry, Schedule, StringValue};
use crate::resp::{Args, Reply};
use crate::types::lcs;
use crate::types::long_double::LongDouble;
use crate::types::number::parse_i64;

const STRING: Command = Command { acl: Acl::STRING, ..Command::NONE };
const DOC: Doc = Doc { group: "string", since: "1.0.0", complexity: "O(1)", ..Command::NONE.doc };

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.union(Flags::FAST);
const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);
const WRITE_FAST: Flags = WRITE.union(Flags::FAST);

const READS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::READS)];
const SETS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))];
const UPDATES: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))];

pub const COMMANDS: &[Command] = &[
    Command {
        name: "get",
        arity: 2,
        flags: READ_FAST,
        keys: READS,
        doc: Doc { summary: "Answers a key's string.", syntax: "key", ..DOC },
        handler: get,
        ..STRING
    },
    Command {
        name: "set",
        arity: -3,
        flags: WRITE,
        keys: &[KeySpec {
            notes: "It reads the old value where GET is given.",
            ..KeySpec::one(
                1,
                KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE).union(KeyFlags::VARIABLE_FLAGS),
            )
        }],
        doc: Doc {
            summary: "Makes a key a string, whatever it was, on a condition and with a time to live if so wished.",
            syntax: "key value [condition: NX | XX] [GET] [expiration: EX seconds | PX milliseconds | EXAT unix-time-seconds | \
                     PXAT unix-time-milliseconds | KEEPTTL]",
            ..DOC
        },
        handler: set,
        ..STRING
    },
    Command {
        name: "setnx",
        arity: 3,
        flags: WRITE_FAST,
        keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::INSERT))],
        doc: Doc {
            summary: "Makes a key a string if there is no such key.",
            syntax: "key value",
            deprecated_since: "2.6.12",
            replaced_by: "`SET` with the `NX` argument",
            ..DOC
        },
        handler: setnx,
        ..STRING
    },
    Command {
        name: "setex",
        arity: 4,
        flags: WRITE,
        keys: SETS,
        doc: Doc {
            summary: "Makes a key a string that expires, with a time to live in seconds.",
            since: "2.0.0",
            syntax: "key seconds value",
            deprecated_since: "2.6.12",
            replaced_by: "`SET` with the `EX` argument",
            ..DOC
        },
        handler: setex,
        ..STRING
    },
    Command {
        name: "psetex",
        arity: 4,
        flags: WRITE,
        keys: SETS,
        doc: Doc {
            summary: "Makes a key a string that expires, with a time to live in milliseconds.",
            since: "2.6.0",
            syntax: "key milliseconds value",
            deprecated_since: "2.6.12",
            replaced_by: "`SET` with the `PX` argument",
            ..DOC
        },
        handler: psetex,
        ..STRING
    },
    Command {
        name: "getset",
        arity: 3,
        flags: WRITE_FAST,
        keys: UPDATES,
        doc: Doc {
            summary: "Answers a key's string and puts another in its place.",
            syntax: "key value",
            deprecated_since: "6.2.0",
            replaced_by: "`SET` with the `!GET` argument",
            ..DOC
        },
        handler: getset,
        ..STRING
    },
    Command {
        name: "getdel",
        arity: 2,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
        doc: Doc { summary: "Answers a key's string and removes the key.", since: "6.2.0", syntax: "key", ..DOC },
        handler: getdel,
        ..STRING
    },
    Command {
        name: "getex",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: UPDATES,
        doc: Doc {
            summary: "Answers a key's string and changes the key's time to live.",
            since: "6.2.0",
            syntax: "key [expiration: EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | \
                     PERSIST]",
            ..DOC
        },
        handler: getex,
        ..STRING
    },
    Command {
        name: "mget",
        arity: -2,
        flags: READ_FAST,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::READS)],
        tips: &["request_policy:multi_shard"],
        doc: Doc {
            summary: "Answers the strings of several keys.",
            complexity: "O(N) in the number of keys",
            syntax: "key [key ...]",
            ..DOC
        },
        handler: mget,
        ..STRING
    },
    Command {
        name: "mset",
        arity: -3,
        flags: WRITE,
        keys: &[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::UPDATE))],
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        doc: Doc {
            summary: "Makes several keys strings at once.",
            since: "1.0.1",
            complexity: "O(N) in the number of keys",
            syntax: "key value [data: key value ...]",
            ..DOC
        },
        handler: mset,
        ..STRING
    },
    Command {
        name: "msetnx",
        arity: -3,
        flags: WRITE,
        keys: &[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::INSERT))],
        doc: Doc {
            summary: "Makes several keys strings at once if none of the keys exists.",
            since: "1.0.1",
            complexity: "O(N) in the number of keys",
            syntax: "key value [data: key value ...]",
            ..DOC
        },
        handler: msetnx,
        ..STRING
    },
    Command {
        name: "append",
        arity: 3,
        flags: WRITE_FAST,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
        doc: Doc {
            summary: "Adds bytes at the end of a key's string, which begins empty.",
            since: "2.0.0",
            complexity: "O(1), amortized over calls that add little",
            syntax: "key value",
            ..DOC
        },
        handler: append,
        ..STRING
    },
    Command {
        name: "strlen",
        arity: 2,
        flags: READ_FAST,
        keys: &[KeySpec::one(1, KeyFlags::LOOKS)],
        doc: Doc { summary: "Answers how many bytes a key's string has.", since: "2.2.0", syntax: "key", ..DOC },
        handler: strlen,
        ..STRING
    },
    Command {
        name: "getrange",
        arity: 4,
        flags: READ,
        keys: READS,
        doc: Doc {
            summary: "Answers a part of a key's string.",
            since: "2.4.0",
            complexity: "O(N) in the bytes answered",
            syntax: "key start end",
            ..DOC
        },
        handler: getrange,
        ..STRING
    },
    Command {
        name: "substr",
        arity: 4,
        flags: READ,
        keys: READS,
        doc: Doc {
            summary: "Answers a part of a key's string.",
            complexity: "O(N) in the bytes answered",
            syntax: "key start end",
            deprecated_since: "2.0.0",
            replaced_by: "`GETRANGE`",
            ..DOC
        },
        handler: getrange,
        ..STRING
    },
    Command {
        name: "setrange",
        arity: 4,
        flags: WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        doc: Doc {
            summary: "Writes over a part of a key's string, which grows as far as needed.",
            since: "2.2.0",
            complexity: "O(N) in the bytes written and those that the string grows by",
            syntax: "key offset value",
            ..DOC
        },
        handler: setrange,
        ..STRING
    },
    Command {
        name: "incr",
        arity: 2,
        flags: WRITE_FAST,
        keys: UPDATES,
        doc: Doc { summary: "Adds one to a key's integer, which begins at 0.", syntax: "key", ..DOC },
        handler: incr,
        ..STRING
    },
    Command {
        name: "decr",
        arity: 2,
        flags: WRITE_FAST,
        keys: UPDATES,
        doc: Doc { summary: "Takes one from a key's integer, which begins at 0.", syntax: "key", ..DOC },
        handler: decr,
        ..STRING
    },
    Command {
        name: "incrby",
        arity: 3,
        flags: WRITE_FAST,
        keys: UPDATES,
        doc: Doc { summary: "Adds to a key's integer, which begins at 0.", syntax: "key increment", ..DOC },
        handler: incrby,
        ..STRING
    },
    Command {
        name: "decrby",
        arity: 3,
        flags: WRITE_FAST,
        keys: UPDATES,
        doc: Doc { summary: "Takes from a key's integer, which begins at 0.", syntax: "key decrement", ..DOC },
        handler: decrby,
        ..STRING
    },
    Command {
        name: "incrbyfloat",
        arity: 3,
        flags: WRITE_FAST,
        keys: UPDATES,
        doc: Doc {
            summary: "Adds to a key's decimal number, which begins at 0.",
            since: "2.6.0",
            syntax: "key increment",
            ..DOC
        },
        handler: incrbyfloat,
        ..STRING
    },
    Command {
        name: "lcs",
        arity: -3,
        flags: READ,
        keys: &[KeySpec::range(1, 1, 1, KeyFlags::READS)],
        doc: Doc {
            summary: "Answers the longest sequence of bytes that is part of two keys' strings in the same order.",
            since: "7.0.0",
            complexity: "O(N*M) in the lengths of the strings",
            syntax: "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
            ..DOC
        },
        handler: lcs,
        ..STRING
    },
];

/// The bytes of a string of the keyspace.
///
/// # Errors
/// If the entry is of another type.
#[inline]
pub fn bytes_of(entry: EntryRef<'_>) -> Result<&[u8], Error> {
    if entry.kind() == Type::String { Ok(entry.string()) } else { Err(Error::WRONG_TYPE) }
}

/// Replies with a string of the keyspace: a long one by reference.
#[inline]
fn string_reply(reply: &mut Reply, entry: EntryRef<'_>) -> Outcome {
    if entry.kind() != Type::String {
        return Err(Error::WRONG_TYPE);
    }
    match entry.object() {
        Some(Object::Blob(blob)) => reply.blob(blob),
        _ => reply.bulk(entry.inline()),
    }
    Ok(())
}

/// An argument as a value for the keyspace. `owned` is what [`Args::take_owned`] gave for it.
#[inline]
pub(super) fn value<'a>(owned: Option<Vec<u8>>, args: &'a Args<'_>, at: usize) -> StringValue<'a> {
    match owned {
        Some(bytes) => StringValue::Owned(bytes),
        None => StringValue::Borrowed(&args[at]),
    }
}

/// An argument as an integer.
pub fn integer(text: &[u8]) -> Result<i64, Error> {
    parse_i64(text).ok_or(Error::NOT_AN_INTEGER)
}

/// How an option says when a key expires.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    Seconds,
    Milliseconds,
    UnixSeconds,
    UnixMilliseconds,
}

impl Time {
    fn named(word: &[u8]) -> Option<Time> {
        let names: [(&[u8], Time); 4] = [
            (b"EX", Time::Seconds),
            (b"PX", Time::Milliseconds),
            (b"EXAT", Time::UnixSeconds),
            (b"PXAT", Time::UnixMilliseconds),
        ];
        names.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, time)| time)
    }

    /// The deadline in Unix milliseconds that an amount of this means.
    ///
    /// # Errors
    /// If the amount is no number, not positive, or beyond what an `i64` of milliseconds can say.
    fn deadline(self, cx: &Ctx<'_>, amount: &[u8]) -> Result<u64, Error> {
        let amount = integer(amount)?;
        let milliseconds = match self {
            Time::Seconds | Time::UnixSeconds => amount.checked_mul(1000),
            Time::Milliseconds | Time::UnixMilliseconds => Some(amount),
        };
        let base = match self {
            Time::Seconds | Time::Milliseconds => cx.server.keys.now_ms() as i64,
            Time::UnixSeconds | Time::UnixMilliseconds => 0,
        };
        milliseconds
            .filter(|&milliseconds| milliseconds > 0)
            .and_then(|milliseconds| milliseconds.checked_add(base))
            .map(|deadline| deadline as u64)
            .ok_or_else(|| Error::new(format!("ERR invalid expire time in '{}' command", cx.command.full_name)))
    }
}

/// What SET and GETEX say about expiry.
#[derive(Default)]
struct ExpiryOption<'a> {
    /// A time with its amount. It may be given again, but not in another unit.
    time: Option<(Time, &'a [u8])>,
    /// KEEPTTL of SET, PERSIST of GETEX.
    word: bool,
}

impl<'a> ExpiryOption<'a> {
    /// Takes the option whose first word is at `at`, if it is `other` or a time and fits what was said before. Returns
    /// how many words it has.
    fn take(&mut self, args: &'a Args<'_>, at: usize, other: &str) -> Option<usize> {
        if args[at].eq_ignore_ascii_case(other.as_bytes()) && self.time.is_none() {
            self.word = true;
            return Some(1);
        }
        let time = Time::named(&args[at])?;
        let amount = args.get(at + 1)?;
        if self.word || self.time.is_some_and(|(before, _)| before != time) {
            return None;
        }
        self.time = Some((time, amount));
        Some(2)
    }
}

fn get(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    get_first(cx, args)
}

/// Replies with the string of the first key.
#[inline]
fn get_first(cx: &mut Ctx<'_>, args: &Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    match cx.server.keys.read(cx.db, key, cx.touch) {
        Some(entry) => string_reply(&mut cx.reply, entry)?,
        None => cx.reply.null(),
    }
    Ok(())
}

fn set(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.len() > 3 {
        return set_with_options(cx, args);
    }
    let owned = args.take_owned(2);
    let key = cx.key(args, 1);
    cx.server.keys.set_string(cx.db, key, value(owned, args, 2), Expiry::Clear, Event::SET);
    cx.reply.ok();
    Ok(())
}

fn set_with_options(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut options = SetOptions::default();
    let mut at = 3;
    while at < args.len() {
        at += options.take(args, at).ok_or(Error::SYNTAX)?;
    }
    let way = options.settle(cx)?;
    way.answer_old(cx, args)?;
    let was_set = set_if(cx, args, 2, way.must_exist, way.expiry);
    way.finish(cx, args, was_set, &[]);
    Ok(())
}

/// The options of SET and SETTAG.
#[derive(Default)]
pub(super) struct SetOptions<'a> {
    must_exist: Option<bool>,
    answer_old: bool,
    expiry: ExpiryOption<'a>,
}

impl<'a> SetOptions<'a> {
    /// Whether a word is the first of an option.
    #[inline]
    pub fn has(word: &[u8]) -> bool {
        let names: [&[u8]; 4] = [b"NX", b"XX", b"GET", b"KEEPTTL"];
        matches!(word.len(), 2..=4 | 7)
            && (names.iter().any(|name| word.eq_ignore_ascii_case(name)) || Time::named(word).is_some())
    }

    /// Takes the option whose first word is at `at`, if there is one and it fits what was said before. Returns how many words
    /// it has.
    pub fn take(&mut self, args: &'a Args<'_>, at: usize) -> Option<usize> {
        let word = &args[at];
        if word.eq_ignore_ascii_case(b"NX") && self.must_exist != Some(true) {
            self.must_exist = Some(false);
        } else if word.eq_ignore_ascii_case(b"XX") && self.must_exist != Some(false) {
            self.must_exist = Some(true);
        } else if word.eq_ignore_ascii_case(b"GET") {
            self.answer_old = true;
        } else {
            return self.expiry.take(args, at, "KEEPTTL");
        }
        Some(1)
    }

    /// What the options amount to.
    ///
    /// # Errors
    /// If the time is none that a key can expire at.
    pub fn settle(&self, cx: &Ctx<'_>) -> Result<SetWay, Error> {
        let expiry = match self.expiry {
            ExpiryOption { time: Some((time, amount)), .. } => Expiry::At(time.deadline(cx, amount)?),
            ExpiryOption { word: true, .. } => Expiry::Keep,
            _ => Expiry::Clear,
        };
        let needs_clock = !matches!(self.expiry.time, None | Some((Time::UnixMilliseconds, _)));
        Ok(SetWay { must_exist: self.must_exist, answer_old: self.answer_old, expiry, needs_clock })
    }
}

/// How SET or SETTAG sets a key.
pub(super) struct SetWay {
    /// Only if the key exists, or does not, if that matters.
    pub must_exist: Option<bool>,
    /// The reply is the string that was there.
    answer_old: bool,
    pub expiry: Expiry,
    /// The deadline depends on what time it is.
    needs_clock: bool,
}

impl SetWay {
    /// Replies with what is there, if that is asked for.
    ///
    /// # Errors
    /// If it is no string.
    pub fn answer_old(&self, cx: &mut Ctx<'_>, args: &Args<'_>) -> Outcome {
        if self.answer_old { get_first(cx, args) } else { Ok(()) }
    }

    /// Says whether the key was set, with `tags` if there are any, and propagates that.
    pub fn finish(&self, cx: &mut Ctx<'_>, args: &Args<'_>, was_set: bool, tags: &[&[u8]]) {
        match self.expiry {
            _ if !was_set => {}
            Expiry::At(deadline) if self.needs_clock => propagate_set(cx, args, 2, deadline, tags),
            Expiry::Clear | Expiry::Keep if self.answer_old && cx.propagates() => {
                let words: Vec<&[u8]> = (0..args.len())
                    .map(|at| &args[at])
                    .enumerate()
                    .filter(|(at, word)| *at < 3 || !word.eq_ignore_ascii_case(b"GET"))
                    .map(|(_, word)| word)
                    .collect();
                cx.propagate(&words);
            }
            _ => {}
        }
        if !self.answer_old {
            if was_set { cx.reply.ok() } else { cx.reply.null() }
        }
    }
}

/// Sets the first key to the argument at `at`, provided that the key exists or does not, if that matters.
fn set_if(cx: &mut Ctx<'_>, args: &mut Args<'_>, at: usize, must_exist: Option<bool>, expiry: Expiry) -> bool {
    let owned = args.take_owned(at);
    let key = cx.key(args, 1);
    let value = value(owned, args, at);
    match must_exist {
        Some(exists) => cx.server.keys.set_string_if(exists, cx.db, key, cx.touch, value, expiry, Event::SET),
        None => {
            cx.server.keys.set_string(cx.db, key, value, expiry, Event::SET);
            true
        }
    }
}

/// Propagates that the first key was set to the argument at `at`, with a deadline that needs no clock, and with `tags` if
/// there are any.
fn propagate_set(cx: &mut Ctx<'_>, args: &Args<'_>, at: usize, deadline: u64, tags: &[&[u8]]) {
    if cx.propagates() {
        let (mut number, verb) = (itoa::Buffer::new(), if tags.is_empty() { &b"SET"[..] } else { b"SETTAG" });
        let mut words: Vec<&[u8]> = vec![verb, &args[1], &args[at], b"PXAT", number.format(deadline).as_bytes()];
        if !tags.is_empty() {
            words.push(b"TAG");
            words.extend(tags);
        }
        cx.propagate(&words);
    }
}

fn setnx(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let was_set = set_if(cx, args, 2, Some(false), Expiry::Clear);
    cx.reply.integer(was_set as i64);
    Ok(())
}

fn setex(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let deadline = Time::Seconds.deadline(cx, &args[2])?;
    set_if(cx, args, 3, None, Expiry::At(deadline));
    propagate_set(cx, args, 3, deadline, &[]);
    cx.reply.ok();
    Ok(())
}

fn psetex(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let deadline = Time::Milliseconds.deadline(cx, &args[2])?;
    set_if(cx, args, 3, None, Expiry::At(deadline));
    propagate_set(cx, args, 3, deadline, &[]);
    cx.reply.ok();
    Ok(())
}

fn getset(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    get(cx, args)?;
    set_if(cx, args, 2, None, Expiry::Clear);
    cx.propagate(&[b"SET", &args[1], &args[2]]);
    Ok(())
}

fn getdel(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    get(cx, args)?;
    let key = cx.key(args, 1);
    if cx.server.keys.delete(cx.db, key, Event::DEL) {
        cx.propagate(&[b"DEL", key.bytes]);
    }
    Ok(())
}

fn getex(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut option = ExpiryOption::default();
    let mut at = 2;
    while at < args.len() {
        at += option.take(args, at, "PERSIST").ok_or(Error::SYNTAX)?;
    }
    // What is wrong with the time matters only if there is a string.
    let deadline = option.time.map(|(time, amount)| time.deadline(cx, amount));
    let key = cx.key(args, 1);
    let Some(entry) = cx.server.keys.read(cx.db, key, cx.touch) else {
        cx.reply.null();
        return Ok(());
    };
    bytes_of(entry)?;
    let deadline = deadline.transpose()?;
    string_reply(&mut cx.reply, entry)?;
    let now_ms = cx.server.keys.horizon_ms();
    let changed = cx.server.keys.reschedule(cx.db, key, cx.touch, |before| match deadline {
        Some(deadline) if deadline <= now_ms => Schedule::Past,
        Some(deadline) => Schedule::At(deadline),
        None if option.word && before.is_some() => Schedule::Never,
        None => Schedule::Leave,
    });
    match deadline {
        _ if !changed => {}
        Some(deadline) if deadline <= now_ms => cx.propagate_expired(key.bytes),
        Some(deadline) => {
            cx.propagate(&[b"PEXPIREAT", key.bytes, itoa::Buffer::new().format(deadline).as_bytes()]);
        }
        None => cx.propagate(&[b"PERSIST", key.bytes]),
    }
    Ok(())
}

fn mget(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.prefetch_keys(args, 1, 1);
    let keys = args.len() - 1;
    cx.reply.array(keys);
    for n in 0..keys {
        let key = cx.hashed_key(args, n, 1 + n);
        match cx.server.keys.read(cx.db, key, cx.touch).filter(|entry| entry.kind() == Type::String) {
            Some(entry) => string_reply(&mut cx.reply, entry)?,
            None => cx.reply.null(),
        }
    }
    Ok(())
}

fn mset(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    prefetch_pairs(cx, args)?;
    set_pairs(cx, args);
    cx.reply.ok();
    Ok(())
}

fn msetnx(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    prefetch_pairs(cx, args)?;
    for n in 0..args.len() / 2 {
        let key = cx.hashed_key(args, n, 1 + 2 * n);
        if cx.server.keys.peek(cx.db, key).is_some() {
            cx.reply.integer(0);
            return Ok(());
        }
    }
    set_pairs(cx, args);
    cx.reply.integer(1);
    Ok(())
}

/// Prepares for keys and values in turn.
fn prefetch_pairs(cx: &mut Ctx<'_>, args: &Args<'_>) -> Outcome {
    if args.len().is_multiple_of(2) {
        return Err(wrong_arity(&cx.command.full_name));
    }
    cx.prefetch_keys(args, 1, 2);
    Ok(())
}

fn set_pairs(cx: &mut Ctx<'_>, args: &mut Args<'_>) {
    for n in 0..args.len() / 2 {
        let owned = args.take_owned(2 + 2 * n);
        let key = cx.hashed_key(args, n, 1 + 2 * n);
        let value = value(owned, args, 2 + 2 * n);
        cx.server.keys.set_string(cx.db, key, value, Expiry::Clear, Event::SET);
    }
}

/// The length of a string of `len` bytes with `more` behind them, `limit` being proto-max-bulk-len.
fn extended(len: u64, more: usize, limit: u64) -> Result<usize, Error> {
    let total = len.checked_add(more as u64).filter(|&total| total <= limit);
    total.map(|total| total as usize).ok_or(Error::TOO_LONG)
}

fn append(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let tail = &args[2];
    let limit = cx.server.settings.proto_max_bulk_len;
    let mut len = tail.len();
    // Without a key, the value is set like any other.
    let resize = |entry: Option<EntryRef<'_>>| {
        let old = bytes_of(entry.ok_or(None)?).map_err(Some)?;
        extended(old.len() as u64, tail.len(), limit).map_err(Some)
    };
    let write = |bytes: &mut [u8]| {
        len = bytes.len();
        bytes[len - tail.len()..].copy_from_slice(tail);
        true
    };
    match cx.server.keys.change_string(cx.db, key, cx.touch, Event::APPEND, resize, write) {
        Ok(()) => {}
        Err(Some(error)) => return Err(error),
        Err(None) => {
            let owned = args.take_owned(2);
            let key = cx.key(args, 1);
            cx.server.keys.set_string(cx.db, key, value(owned, args, 2), Expiry::Clear, Event::APPEND);
        }
    }
    cx.reply.count(len);
    Ok(())
}

fn strlen(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let len = match cx.server.keys.read(cx.db, key, cx.touch) {
        Some(entry) => bytes_of(entry)?.len(),
        None => 0,
    };
    cx.reply.count(len);
    Ok(())
}

/// The part of `len` items that two positions include; negative ones count from the end. What lies outside is left out, but
/// an end before the beginning means the first item.
pub fn inclusive(start: i64, end: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    let from_start = |at: i64| if at < 0 { (len + at).max(0) } else { at };
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    if start > end { 0..0 } else { start as usize..end as usize + 1 }
}

/// As [`inclusive`], but nothing is between two negative positions in the wrong order.
pub fn inclusive_in_order(start: i64, end: i64, len: usize) -> Range<usize> {
    if start < 0 && end < start { 0..0 } else { inclusive(start, end, len) }
}

fn getrange(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let (start, end) = (integer(&args[2])?, integer(&args[3])?);
    let key = cx.key(args, 1);
    let bytes = match cx.server.keys.read(cx.db, key, cx.touch) {
        Some(entry) => bytes_of(entry)?,
        None => b"",
    };
    cx.reply.bulk(&bytes[inclusive_in_order(start, end, bytes.len())]);
    Ok(())
}

fn setrange(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let Ok(offset) = u64::try_from(integer(&args[2])?) else {
        return Err(Error::fixed("ERR offset is out of range"));
    };
    let key = cx.key(args, 1);
    let value = &args[3];
    if value.is_empty() {
        let len = match cx.server.keys.peek(cx.db, key) {
            Some(entry) => bytes_of(entry)?.len(),
            None => 0,
        };
        cx.reply.count(len);
        return Ok(());
    }
    let limit = cx.server.settings.proto_max_bulk_len;
    let resize = |entry: Option<EntryRef<'_>>| {
        let old = entry.map_or(Ok(&b""[..]), bytes_of)?;
        Ok::<_, Error>(extended(offset, value.len(), limit)?.max(old.len()))
    };
    let mut len = 0;
    let write = |bytes: &mut [u8]| {
        len = bytes.len();
        bytes[offset as usize..][..value.len()].copy_from_slice(value);
        true
    };
    cx.server.keys.change_string(cx.db, key, cx.touch, Event::SETRANGE, resize, write)?;
    cx.reply.count(len);
    Ok(())
}

fn incr(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    increase(cx, args, 1)
}

fn decr(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    increase(cx, args, -1)
}

fn incrby(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let increment = integer(&args[2])?;
    increase(cx, args, increment)
}

fn decrby(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let decrement = integer(&args[2])?;
    let increment = decrement.checked_neg().ok_or(Error::fixed("ERR decrement would overflow"))?;
    increase(cx, args, increment)
}

/// Adds to the first key's integer. Every way of doing so is the same event.
#[inline]
fn increase(cx: &mut Ctx<'_>, args: &mut Args<'_>, increment: i64) -> Outcome {
    let key = cx.key(args, 1);
    let sum = cx.server.keys.update_integer(cx.db, key, Event::INCRBY, |entry| {
        let held = match entry {
            Some(entry) => integer(bytes_of(entry)?)?,
            None => 0,
        };
        held.checked_add(increment).ok_or(Error::fixed("ERR increment or decrement would overflow"))
    })?;
    cx.reply.integer(sum);
    Ok(())
}

fn incrbyfloat(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let number = |text: &[u8]| LongDouble::parse(text).ok_or(Error::NOT_A_FLOAT);
    let key = cx.key(args, 1);
    let held = match cx.server.keys.peek(cx.db, key) {
        Some(entry) => number(bytes_of(entry)?)?,
        None => LongDouble::from_i64(0),
    };
    let sum = held.checked_add(number(&args[2])?);
    let sum = sum.ok_or(Error::fixed("ERR increment would produce NaN or Infinity"))?;
    let mut text = Vec::new();
    sum.write(&mut text);
    // A whole number is not made an integer.
    let encoding = if text.len() <= EMBSTR_MAX { Encoding::Embstr } else { Encoding::Raw };
    cx.reply.bulk(&text);
    // Not the sum but its text is to be the same everywhere.
    if cx.propagates() {
        let tags = cx.server.keys.tags_of(cx.db, key).unwrap_or_default();
        let tags: Vec<Vec<u8>> = tags.into_iter().map(<[u8]>::to_vec).collect();
        cx.propagate(&[b"SET", key.bytes, &text, b"KEEPTTL"]);
        if !tags.is_empty() {
            // SET takes them away.
            let words: Vec<&[u8]> = [b"ADDTAG", key.bytes].into_iter().chain(tags.iter().map(Vec::as_slice)).collect();
            cx.propagate(&words);
        }
    }
    cx.server.keys.set_string_as(cx.db, key, StringValue::Owned(text), encoding, Expiry::Keep, Event::INCRBYFLOAT);
    Ok(())
}

fn lcs(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let keys = [cx.key(args, 1), cx.key(args, 2)];
    // Both are looked up, whatever the first one is.
    let is_other =
        keys.map(|key| cx.server.keys.read(cx.db, key, cx.touch).is_some_and(|entry| entry.kind() != Type::String));
    if is_other.contains(&true) {
        return Err(Error::fixed("ERR The specified keys must contain string values"));
    }
    let (mut length_only, mut positions, mut with_lengths) = (false, false, false);
    let mut shortest = 0;
    let mut at = 3;
    while at < args.len() {
        let word = &args[at];
        if word.eq_ignore_ascii_case(b"IDX") {
            positions = true;
        } else if word.eq_ignore_ascii_case(b"LEN") {
            length_only = true;
        } else if word.eq_ignore_ascii_case(b"WITHMATCHLEN") {
            with_lengths = true;
        } else if word.eq_ignore_ascii_case(b"MINMATCHLEN") && at + 1 < args.len() {
            at += 1;
            shortest = integer(&args[at])?;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    if length_only && positions {
        return Err(Error::fixed("ERR If you want both the length and indexes, please just use IDX."));
    }
    let [a, b] = keys.map(|key| cx.server.keys.view(cx.db, key).map_or(&b""[..], EntryRef::string));
    let limit = cx.server.settings.proto_max_bulk_len;
    let refused = |error: lcs::LcsError| Error::new(format!("ERR {error}"));
    let reply = &mut cx.reply;
    if length_only {
        reply.count(lcs::length(a, b, limit).map_err(refused)?);
        return Ok(());
    }
    let alignment = lcs::align(a, b, limit).map_err(refused)?;
    if !positions {
        reply.bulk(&alignment.common);
        return Ok(());
    }
    let runs = || alignment.runs.iter().filter(|run| run.length as i64 >= shortest);
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(runs().count());
    for run in runs() {
        reply.array(if with_lengths { 3 } else { 2 });
        for start in [run.a, run.b] {
            reply.array(2);
            reply.count(start);
            reply.count(start + run.length - 1);
        }
        if with_lengths {
            reply.count(run.length);
        }
    }
    reply.bulk(b"len");
    reply.count(alignment.common.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_include_what_they_name() {
        let cases: &[(i64, i64, usize, &str)] = &[
            (0, -1, 5, "01234"),
            (1, 3, 5, "123"),
            (-3, -2, 5, "23"),
            (3, 1, 5, ""),
            (5, 9, 5, ""),
            (4, i64::MAX, 5, "4"),
            (i64::MIN, i64::MAX, 5, "01234"),
            (i64::MIN, -5, 5, "0"),
            (-99, -88, 5, "0"),
            (0, -88, 5, "0"),
            (0, -1, 0, ""),
            (-1, -1, 0, ""),
        ];
        for &(start, end, len, expected) in cases {
            assert_eq!(&"01234"[..len][inclusive(start, end, len)], expected, "{start} to {end} of {len}");
            assert_eq!(&"01234"[..len][inclusive_in_order(start, end, len)], expected, "{start} to {end} of {len}");
        }
        assert_eq!(inclusive(-88, -99, 5), 0..1);
        assert_eq!(inclusive_in_order(-88, -99, 5), 0..0);
    }
}
