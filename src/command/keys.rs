//! Keys, whatever they hold: deleting, naming, moving, expiring, listing and looking into them.

use super::blocking::Until;
use super::error::{Error, Outcome};
use super::table::{Acl, Command, Doc, Flags, Handler, KeyFlags, KeySpec};
use super::{Ctx, database};
use crate::config::EvictionPolicy;
use crate::effects::Event;
use crate::keyspace::entry::{Encoding, EntryRef};
use crate::keyspace::{Key, Keyspace, Placed, Schedule, Touch};
use crate::resp::{Args, Reply};
use crate::types::glob;
use crate::types::number::{parse_i64, parse_u64};

const FAST_READ: Flags = Flags::READONLY.union(Flags::FAST);
const FAST_WRITE: Flags = Flags::WRITE.union(Flags::FAST);

/// One key, of which only the surroundings are looked at.
const LOOKS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::LOOKS)];
const LOOKS_AT_ALL: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::LOOKS)];
const LOOKS_BEHIND_WORD: &[KeySpec] = &[KeySpec::one(2, KeyFlags::LOOKS)];
const READS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::READS)];
const UPDATES: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
const DELETES_ALL: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::RM.union(KeyFlags::DELETE))];
const TAKES: KeySpec = KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE));

const SUM_OF_SHARDS: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];
const VARIES: &[&str] = &["nondeterministic_output"];

const EACH_KEY: &str = "O(N) where N is the number of keys";

pub const COMMANDS: &[Command] = &[
    Command {
        tips: SUM_OF_SHARDS,
        ..row("del", -2, Flags::WRITE, DELETES_ALL, del, doc("1.0.0", EACH_KEY, "key [key ...]", "Deletes keys."))
    },
    Command {
        tips: SUM_OF_SHARDS,
        ..row(
            "unlink",
            -2,
            FAST_WRITE,
            DELETES_ALL,
            del,
            doc(
                "4.0.0",
                "O(1) for each key",
                "key [key ...]",
                "Deletes keys; large values are freed in the background.",
            ),
        )
    },
    Command {
        tips: SUM_OF_SHARDS,
        ..row(
            "exists",
            -2,
            FAST_READ,
            LOOKS_AT_ALL,
            exists,
            doc("1.0.0", EACH_KEY, "key [key ...]", "Counts the keys that exist, each as often as it is named."),
        )
    },
    Command {
        tips: SUM_OF_SHARDS,
        ..row(
            "touch",
            -2,
            FAST_READ,
            LOOKS_AT_ALL,
            touch,
            doc("3.2.1", EACH_KEY, "key [key ...]", "Notes a use of keys and counts those that exist."),
        )
    },
    row("type", 2, FAST_READ, LOOKS, type_of, doc("1.0.0", "O(1)", "key", "Names the type of a key's value.")),
    row(
        "rename",
        3,
        Flags::WRITE,
        &[TAKES, KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE))],
        rename,
        doc("1.0.0", "O(1)", "key newkey", "Gives a key another name, in the place of what has that name."),
    ),
    row(
        "renamenx",
        3,
        FAST_WRITE,
        &[TAKES, KeySpec::one(2, KeyFlags::OW.union(KeyFlags::INSERT))],
        renamenx,
        doc("1.0.0", "O(1)", "key newkey", "Gives a key another name if no key has that name."),
    ),
    row(
        "copy",
        -3,
        Flags::WRITE.union(Flags::DENYOOM),
        &[KeySpec::one(1, KeyFlags::READS), KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE))],
        copy,
        doc(
            "6.2.0",
            "O(N) where N is the number of elements; O(1) for strings",
            "source destination [DB destination-db] [REPLACE]",
            "Copies a key's value and time to live to another key.",
        ),
    ),
    row(
        "move",
        3,
        FAST_WRITE,
        &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
        move_,
        doc("1.0.0", "O(1)", "key db", "Moves a key to another database if it has no such key."),
    ),
    expiring(
        "expire",
        expire,
        doc("1.0.0", "O(1)", "key seconds [condition: NX | XX | GT | LT]", "Sets a key's time to live in seconds."),
    ),
    expiring(
        "pexpire",
        pexpire,
        doc(
            "2.6.0",
            "O(1)",
            "key milliseconds [condition: NX | XX | GT | LT]",
            "Sets a key's time to live in milliseconds.",
        ),
    ),
    expiring(
        "expireat",
        expireat,
        doc(
            "1.2.0",
            "O(1)",
            "key unix-time-seconds [condition: NX | XX | GT | LT]",
            "Sets when a key expires, in seconds of Unix time.",
        ),
    ),
    expiring(
        "pexpireat",
        pexpireat,
        doc(
            "2.6.0",
            "O(1)",
            "key unix-time-milliseconds [condition: NX | XX | GT | LT]",
            "Sets when a key expires, in milliseconds of Unix time.",
        ),
    ),
    Command {
        tips: VARIES,
        ..row("ttl", 2, FAST_READ, READS, ttl, doc("1.0.0", "O(1)", "key", "Tells a key's time to live in seconds."))
    },
    Command {
        tips: VARIES,
        ..row(
            "pttl",
            2,
            FAST_READ,
            READS,
            pttl,
            doc("2.6.0", "O(1)", "key", "Tells a key's time to live in milliseconds."),
        )
    },
    row(
        "expiretime",
        2,
        FAST_READ,
        READS,
        expiretime,
        doc("7.0.0", "O(1)", "key", "Tells when a key expires, in seconds of Unix time."),
    ),
    row(
        "pexpiretime",
        2,
        FAST_READ,
        READS,
        pexpiretime,
        doc("7.0.0", "O(1)", "key", "Tells when a key expires, in milliseconds of Unix time."),
    ),
    row("persist", 2, FAST_WRITE, UPDATES, persist, doc("2.2.0", "O(1)", "key", "Takes a key's time to live away.")),
    Command {
        acl: Acl::KEYSPACE.union(Acl::DANGEROUS),
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        ..row(
            "keys",
            2,
            Flags::READONLY,
            &[],
            keys,
            doc(
                "1.0.0",
                "O(N) where N is the number of keys in the database",
                "pattern",
                "Lists the keys like a pattern.",
            ),
        )
    },
    Command {
        tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
        ..row("randomkey", 1, Flags::READONLY, &[], randomkey, doc("1.0.0", "O(1)", "", "Draws a key of the database."))
    },
    Command {
        tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        ..row(
            "scan",
            -2,
            Flags::READONLY,
            &[],
            scan,
            doc(
                "2.8.0",
                "O(1) for a call, O(N) for a whole iteration, where N is the number of keys",
                "cursor [MATCH pattern] [COUNT count] [TYPE type]",
                "Lists the keys of the database piece by piece.",
            ),
        )
    },
    Command {
        name: "object",
        arity: -2,
        doc: doc("2.2.3", "Depends on the subcommand", "", "Looks into how keys are kept."),
        subcommands: &[
            looking(
                "encoding",
                object_encoding,
                doc("2.2.3", "O(1)", "key", "Names the representation of a key's value in memory."),
            ),
            looking(
                "freq",
                object_freq,
                doc("4.0.0", "O(1)", "key", "Tells how often a key is used, logarithmically."),
            ),
            Command {
                name: "help",
                arity: 2,
                flags: Flags::LOADING.union(Flags::STALE),
                acl: Acl::KEYSPACE,
                doc: doc("6.2.0", "O(1)", "", "Explains the subcommands."),
                handler: object_help,
                ..Command::NONE
            },
            looking(
                "idletime",
                object_idletime,
                doc("2.2.3", "O(1)", "key", "Tells the seconds since a key was last used."),
            ),
            looking("refcount", object_refcount, doc("2.2.3", "O(1)", "key", "Tells how many keys share a value.")),
        ],
        ..Command::NONE
    },
];

const fn row(
    name: &'static str,
    arity: i16,
    flags: Flags,
    keys: &'static [KeySpec],
    handler: Handler,
    doc: Doc,
) -> Command {
    Command { name, arity, flags, acl: Acl::KEYSPACE, keys, doc, handler, ..Command::NONE }
}

/// A row of the EXPIRE family.
const fn expiring(name: &'static str, handler: Handler, doc: Doc) -> Command {
    row(name, -3, FAST_WRITE, UPDATES, handler, doc)
}

/// A subcommand of OBJECT about a key.
const fn looking(name: &'static str, handler: Handler, doc: Doc) -> Command {
    Command { tips: VARIES, ..row(name, 3, Flags::READONLY, LOOKS_BEHIND_WORD, handler, doc) }
}

const fn doc(since: &'static str, complexity: &'static str, syntax: &'static str, summary: &'static str) -> Doc {
    Doc { summary, since, group: "generic", complexity, syntax, ..Command::NONE.doc }
}

/// Replies how many of the keys that the arguments name are such that `holds`.
#[inline]
fn count_keys(
    cx: &mut Ctx<'_>,
    args: &Args<'_>,
    mut holds: impl FnMut(&mut Keyspace, usize, Key<'_>) -> bool,
) -> Outcome {
    let mut count = 0;
    if args.len() == 2 {
        let key = cx.key(args, 1);
        count += holds(&mut cx.server.keys, cx.db, key) as usize;
    } else {
        cx.prefetch_keys(args, 1, 1);
        for at in 1..args.len() {
            let key = cx.hashed_key(args, at - 1, at);
            count += holds(&mut cx.server.keys, cx.db, key) as usize;
        }
    }
    cx.reply.count(count);
    Ok(())
}

fn del(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    count_keys(cx, args, |keys, db, key| keys.delete(db, key, Event::DEL))
}

fn exists(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    count_keys(cx, args, |keys, db, key| keys.read(db, key, Touch::No).is_some())
}

fn touch(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    // Clients in NO-TOUCH mode too: this is what the command is for.
    count_keys(cx, args, |keys, db, key| keys.read(db, key, Touch::Yes).is_some())
}

fn type_of(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let entry = cx.server.keys.read(cx.db, key, Touch::No);
    cx.reply.status(entry.map_or("none", |entry| entry.kind().name()));
    Ok(())
}

fn rename(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    rename_key(cx, args, true)?;
    cx.reply.ok();
    Ok(())
}

fn renamenx(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let renamed = rename_key(cx, args, false)?;
    cx.reply.integer(renamed as i64);
    Ok(())
}

/// Returns whether no other key was in the way.
fn rename_key(cx: &mut Ctx<'_>, args: &Args<'_>, replace: bool) -> Result<bool, Error> {
    let from = (cx.db, cx.key(args, 1));
    let to = (cx.db, cx.key(args, 2));
    let events = (Event::RENAME_FROM, Event::RENAME_TO);
    match cx.server.keys.relocate(from, to, replace, cx.touch, events) {
        Placed::Missing => Err(Error::NO_SUCH_KEY),
        placed => Ok(placed == Placed::Done),
    }
}

fn copy(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let (mut to_db, mut replace) = (cx.db, false);
    let mut at = 3;
    while at < args.len() {
        if args[at].eq_ignore_ascii_case(b"REPLACE") {
            replace = true;
        } else if args[at].eq_ignore_ascii_case(b"DB") && at + 1 < args.len() {
            at += 1;
            to_db = database::place(cx, &args[at])?;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    if to_db == cx.db && args[1] == args[2] {
        return Err(Error::SAME_OBJECT);
    }
    let from = (cx.db, cx.key(args, 1));
    let to = (to_db, cx.key(args, 2));
    let placed = cx.server.keys.copy(from, to, replace, cx.touch);
    cx.reply.integer((placed == Placed::Done) as i64);
    Ok(())
}

fn move_(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let to_db = database::place(cx, &args[2])?;
    if to_db == cx.db {
        return Err(Error::SAME_OBJECT);
    }
    let key = cx.key(args, 1);
    let events = (Event::MOVE_FROM, Event::MOVE_TO);
    let placed = cx.server.keys.relocate((cx.db, key), (to_db, key), false, cx.touch, events);
    cx.reply.integer((placed == Placed::Done) as i64);
    Ok(())
}

fn expire(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.now_ms();
    set_expiry(cx, args, now_ms as i64, 1000)
}

fn pexpire(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.now_ms();
    set_expiry(cx, args, now_ms as i64, 1)
}

fn expireat(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    set_expiry(cx, args, 0, 1000)
}

fn pexpireat(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    set_expiry(cx, args, 0, 1)
}

/// The EXPIRE family: the time is given in units of `unit_ms` from `base_ms` on.
#[inline]
fn set_expiry(cx: &mut Ctx<'_>, args: &Args<'_>, base_ms: i64, unit_ms: i64) -> Outcome {
    let conditions = Conditions::parse(args)?;
    let time = parse_i64(&args[2]).ok_or(Error::NOT_AN_INTEGER)?;
    let Some(at_ms) = time.checked_mul(unit_ms).and_then(|ms| ms.checked_add(base_ms)) else {
        return Err(Error::new(format!("ERR invalid expire time in '{}' command", cx.command.full_name)));
    };
    let key = cx.key(args, 1);
    let now_ms = cx.server.keys.horizon_ms() as i64;
    let changed = cx.server.keys.reschedule(cx.db, key, cx.touch, |current| {
        if !conditions.allow(current.map(|ms| ms as i64), at_ms) {
            Schedule::Leave
        } else if at_ms <= now_ms {
            Schedule::Past
        } else {
            Schedule::At(at_ms as u64)
        }
    });
    if changed && cx.propagates() {
        if at_ms <= now_ms {
            cx.propagate_expired(key.bytes);
        } else if (base_ms, unit_ms) != (0, 1) {
            let mut number = itoa::Buffer::new();
            let mut words: Vec<&[u8]> = vec![b"PEXPIREAT", key.bytes, number.format(at_ms).as_bytes()];
            words.extend(args.iter_from(3));
            cx.propagate(&words);
        }
    }
    cx.reply.integer(changed as i64);
    Ok(())
}

/// When the EXPIRE family does its work.
#[derive(Default)]
struct Conditions {
    /// Only on a key that does not expire.
    nx: bool,
    /// Only on a key that expires.
    xx: bool,
    /// Only if the key would live longer.
    gt: bool,
    /// Only if the key would live shorter.
    lt: bool,
}

impl Conditions {
    #[inline]
    fn parse(args: &Args<'_>) -> Result<Conditions, Error> {
        let mut conditions = Conditions::default();
        for word in args.iter_from(3) {
            let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
            let condition = if is(b"NX") {
                &mut conditions.nx
            } else if is(b"XX") {
                &mut conditions.xx
            } else if is(b"GT") {
                &mut conditions.gt
            } else if is(b"LT") {
                &mut conditions.lt
            } else {
                // As in the texts of a C program, a zero byte is the end.
                let shown = word.split(|&byte| byte == 0).next().unwrap_or_default();
                return Err(Error::new([b"ERR Unsupported option ", shown].concat()));
            };
            *condition = true;
        }
        let Conditions { nx, xx, gt, lt } = conditions;
        if nx && (xx || gt || lt) {
            return Err(Error::fixed("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if gt && lt {
            return Err(Error::fixed("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// Whether a key with this deadline may get that one. No deadline is later than any.
    #[inline]
    fn allow(&self, current: Option<i64>, new: i64) -> bool {
        !(self.nx && current.is_some()
            || self.xx && current.is_none()
            || self.gt && current.is_none_or(|current| new <= current)
            || self.lt && current.is_some_and(|current| new >= current))
    }
}

fn ttl(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.now_ms() as i64;
    tell_expiry(cx, args, |deadline| to_seconds((deadline - now_ms).max(0)))
}

fn pttl(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.now_ms() as i64;
    tell_expiry(cx, args, |deadline| (deadline - now_ms).max(0))
}

fn expiretime(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    tell_expiry(cx, args, to_seconds)
}

fn pexpiretime(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    tell_expiry(cx, args, |deadline| deadline)
}

/// Replies what `tell` makes of a key's deadline in milliseconds; -1 if it has none, -2 if there is no such key.
#[inline]
fn tell_expiry(cx: &mut Ctx<'_>, args: &Args<'_>, tell: impl FnOnce(i64) -> i64) -> Outcome {
    let key = cx.key(args, 1);
    let told = match cx.server.keys.read(cx.db, key, Touch::No).map(EntryRef::deadline) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => tell(deadline as i64),
    };
    cx.reply.integer(told);
    Ok(())
}

/// The nearest second. `ms` is not negative.
fn to_seconds(ms: i64) -> i64 {
    ((ms as u64 + 500) / 1000) as i64
}

fn persist(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let changed = cx.server.keys.reschedule(cx.db, key, cx.touch, |current| match current {
        Some(_) => Schedule::Never,
        None => Schedule::Leave,
    });
    cx.reply.integer(changed as i64);
    Ok(())
}

/// A glob pattern with what can be told about a key before it is matched.
pub(super) struct Pattern<'a> {
    pattern: &'a [u8],
    /// What all matching keys start with.
    prefix: &'a [u8],
    /// Every key matches, the empty one too, which a `*` as such does not match.
    matches_all: bool,
}

impl<'a> Pattern<'a> {
    pub(super) fn new(pattern: &'a [u8]) -> Pattern<'a> {
        Pattern { pattern, prefix: glob::prefix(pattern), matches_all: pattern == b"*" }
    }

    #[inline]
    pub(super) fn matches(&self, key: &[u8]) -> bool {
        self.matches_all || key.starts_with(self.prefix) && glob::matches(self.pattern, key, false)
    }
}

fn keys(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let pattern = Pattern::new(&args[1]);
    let keys = &cx.server.keys;
    let array = cx.reply.deferred_array();
    let mut found = 0;
    let mut list = |entry: EntryRef<'_>| {
        cx.reply.bulk(entry.key());
        found += 1;
    };
    if pattern.prefix == pattern.pattern {
        // Nothing special in it: only one key is meant.
        if let Some(entry) = keys.view(cx.db, keys.key(pattern.pattern)) {
            list(entry);
        }
    } else {
        keys.each(cx.db, |entry| {
            if pattern.matches(entry.key()) {
                list(entry);
            }
        });
    }
    cx.reply.finish_array(array, found);
    Ok(())
}

fn randomkey(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let drawn = cx.ask_settled(args, Until::NextTurn, |cx| cx.server.keys.random_key(cx.db));
    match drawn {
        Some(Some(key)) => cx.reply.bulk(&key),
        Some(None) => cx.reply.null(),
        // It waits for more of a sweep.
        None => {}
    }
    Ok(())
}

/// The cursor of a scan.
///
/// # Errors
/// It is no number.
pub(super) fn cursor(word: &[u8]) -> Result<u64, Error> {
    // As for strtoul, a NUL ends the number.
    let number = word.split(|&byte| byte == 0).next().unwrap_or_default();
    parse_u64(number).ok_or(Error::fixed("ERR invalid cursor"))
}

fn scan(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let cursor = cursor(&args[1])?;
    let mut count = 10;
    let mut pattern = Pattern::new(b"*");
    let mut kind: Option<&[u8]> = None;
    let mut at = 2;
    while at < args.len() {
        let (word, value) = (&args[at], args.get(at + 1));
        at += 2;
        match value {
            Some(value) if word.eq_ignore_ascii_case(b"COUNT") => {
                count = parse_i64(value).ok_or(Error::NOT_AN_INTEGER)?;
                if count < 1 {
                    return Err(Error::SYNTAX);
                }
            }
            Some(value) if word.eq_ignore_ascii_case(b"MATCH") => pattern = Pattern::new(value),
            Some(value) if word.eq_ignore_ascii_case(b"TYPE") => kind = Some(value),
            _ if word.eq_ignore_ascii_case(b"NOVALUES") => {
                return Err(Error::fixed("ERR NOVALUES option can only be used in HSCAN"));
            }
            _ => return Err(Error::SYNTAX),
        }
    }
    let keys = &mut cx.server.keys;
    let expired_before = keys.stats.expired;
    let (mut found, mut live) = (0, 0);
    // The cursor comes before the keys, but is known after them.
    let mut list = Reply::default();
    let next = keys.scan(
        cx.db,
        cursor,
        usize::try_from(count).unwrap_or(usize::MAX),
        |key| pattern.matches(key),
        |entry| {
            live += 1;
            // A name that no type has is of no key.
            if kind.is_none_or(|kind| kind.eq_ignore_ascii_case(entry.kind().name().as_bytes())) {
                list.bulk(entry.key());
                found += 1;
            }
        },
    );
    if kind.is_some() {
        // Asking for the type counts as reading the key.
        keys.stats.hits += live;
        keys.stats.misses += keys.stats.expired - expired_before;
    }
    cx.reply.array(2);
    cx.reply.bulk_integer(next as i64);
    cx.reply.array(found);
    cx.reply.raw(list.out.tail());
    Ok(())
}

/// Replies what `tell` makes of the entry of the key behind the subcommand; null if there is none.
fn tell_of_object(
    cx: &mut Ctx<'_>,
    args: &Args<'_>,
    tell: impl FnOnce(&mut Reply, EntryRef<'_>) -> Outcome,
) -> Outcome {
    let key = cx.key(args, 2);
    match cx.server.keys.inspect(cx.db, key) {
        Some(entry) => tell(&mut cx.reply, entry),
        None => {
            cx.reply.null();
            Ok(())
        }
    }
}

fn object_encoding(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    tell_of_object(cx, args, |reply, entry| {
        reply.bulk(entry.encoding().name().as_bytes());
        Ok(())
    })
}

fn object_freq(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let (clock, now_ms) = (cx.server.keys.access, cx.server.keys.now_ms());
    let key = cx.key(args, 2);
    let counted = cx.server.keys.counted_uses(cx.db, key);
    tell_of_object(cx, args, |reply, entry| {
        if let Some(uses) = counted {
            reply.integer(i64::from(uses));
            return Ok(());
        }
        if !clock.lfu {
            return Err(Error::fixed(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
                 switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        reply.integer(clock.frequency(entry.access(), now_ms) as i64);
        Ok(())
    })
}

fn object_help(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.help(
        args,
        &[
            "ENCODING <key>",
            "    Name the representation of the key's value in memory.",
            "FREQ <key>",
            "    Tell how often the key is used, on a logarithmic scale of 0 to 255, or of 0 to 15",
            "    under allkeys-tinylfu. Needs an LFU policy in maxmemory-policy.",
            "IDLETIME <key>",
            "    Tell how many seconds ago the key was last used. Needs a policy other than Redis' LFU ones.",
            "REFCOUNT <key>",
            "    Tell how many keys share the value.",
        ],
    )
}

fn object_idletime(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let (clock, now_ms) = (cx.server.keys.access, cx.server.keys.now_ms());
    tell_of_object(cx, args, |reply, entry| {
        if clock.lfu {
            return Err(Error::fixed(
                "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching \
                 between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        reply.integer(clock.idle_seconds(entry.access(), now_ms) as i64);
        Ok(())
    })
}

fn object_refcount(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    /// What Redis counts for the integers 0 to 9999, of which it keeps one copy for all keys, unless every key needs
    /// an access clock of its own. Nothing is shared here, but clients look for it.
    const SHARED: i64 = i32::MAX as i64;
    use EvictionPolicy::{AllkeysLfu, AllkeysLru, VolatileLfu, VolatileLru};
    let settings = &cx.server.settings;
    let needs_clock = matches!(settings.maxmemory_policy, AllkeysLfu | AllkeysLru | VolatileLfu | VolatileLru);
    let may_share = settings.maxmemory == 0 || !needs_clock;
    tell_of_object(cx, args, |reply, entry| {
        let small = matches!(entry.inline(), [b'0'..=b'9', rest @ ..] if rest.len() < 4);
        reply.integer(if may_share && entry.encoding() == Encoding::Int && small { SHARED } else { 1 });
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_compare_deadlines() {
        const NEVER: Option<i64> = None;
        let conditions = |words: &str| Conditions {
            nx: words.contains("nx"),
            xx: words.contains("xx"),
            gt: words.contains("gt"),
            lt: words.contains("lt"),
        };
        // A new deadline of 5 against none, an earlier one, the same and a later one.
        let cases = [
            ("", [true, true, true, true]),
            ("nx", [true, false, false, false]),
            ("xx", [false, true, true, true]),
            ("gt", [false, true, false, false]),
            ("lt", [true, false, false, true]),
            ("xx gt", [false, true, false, false]),
            ("xx lt", [false, false, false, true]),
        ];
        for (words, expected) in cases {
            let allowed = [NEVER, Some(4), Some(5), Some(6)].map(|current| conditions(words).allow(current, 5));
            assert_eq!(allowed, expected, "{words}");
        }
    }

    #[test]
    fn seconds_are_rounded_to_the_nearest() {
        for (ms, seconds) in [(0, 0), (499, 0), (500, 1), (1499, 1), (1500, 2), (i64::MAX, i64::MAX / 1000 + 1)] {
            assert_eq!(to_seconds(ms), seconds, "{ms} ms");
        }
    }

    #[test]
    fn shortcuts_of_a_pattern_do_not_change_what_it_matches() {
        let keys = ["", "k", "key", "key:1", "key:12", "*", "k*", "other"];
        for pattern in ["", "*", "k*", "key", "key:?", "k[e]y*", "\\*", "k\\*", "**", "?", "x*"] {
            let shortened = Pattern::new(pattern.as_bytes());
            for key in keys {
                let expected = pattern == "*" || glob::matches(pattern.as_bytes(), key.as_bytes(), false);
                assert_eq!(shortened.matches(key.as_bytes()), expected, "{pattern} and {key}");
            }
        }
    }
}
