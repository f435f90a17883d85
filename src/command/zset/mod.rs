//! Sorted sets.
//!
//! The commands of one sorted set, and the rows of all; ranges are in [`range`], ZUNION and its kin in [`combine`].

mod combine;
mod range;

use std::collections::BTreeSet;

use combine::{Operation, combine, zintercard};
use range::{By, Span, members, range, scores, zrangestore};

use crate::command::error::{Error, Outcome};
use crate::command::scan_options::{self, ScanOptions};
use crate::command::state::Server;
use crate::command::string::integer;
use crate::command::table::{Acl, Begin, Command, Doc, Find, Flags, KeyFlags, KeySpec};
use crate::command::{Ctx, in_portions, wrong_arity};
use crate::effects::Event;
use crate::keyspace::entry::{Encoding, INLINE_MAX, NewValue, Object, Type};
use crate::keyspace::value::{Changed, Value};
use crate::keyspace::{Key, Keyspace, Touch};
use crate::resp::{Args, Proto, Reply};
use crate::types::hash::KeyHasher;
use crate::types::listpack::{self, Element};
use crate::types::number::{parse_f64, parse_i64, write_f64_17g};
use crate::types::zset::{self, Limits, Rules, Zset, ZsetMut, ZsetRef};

const ZSET: Command = Command { acl: Acl::SORTEDSET, ..Command::NONE };
const DOC: Doc = Doc { group: "sorted-set", since: "1.2.0", complexity: "O(1)", ..Command::NONE.doc };

const LOG: &str = "O(log(N)) in the size of the sorted set";
const LOG_M: &str = "O(log(N)+M) for a sorted set of N members and a range of M";

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.union(Flags::FAST);
const READ_MANY: Flags = READ.union(Flags::MOVABLE_KEYS);
const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);
const WRITE_FAST: Flags = WRITE.union(Flags::FAST);
const REMOVE: Flags = Flags::WRITE;
const REMOVE_FAST: Flags = REMOVE.union(Flags::FAST);

const DESTINATION: KeySpec = KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE));
const TAKEN: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

const READS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::READS)];
const LOOKS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::LOOKS)];
const UPDATES: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
const INCREMENTS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))];
const REMOVES: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))];
const TAKES: &[KeySpec] = &[KeySpec::one(1, TAKEN)];
const TAKES_MANY: &[KeySpec] = &[counted(1, TAKEN)];
const TAKES_ANY: &[KeySpec] = &[KeySpec::range(1, -2, 1, TAKEN)];
const WAIT: Flags = REMOVE.union(Flags::BLOCKING);
const READS_MANY: &[KeySpec] = &[counted(1, KeyFlags::READS)];
const STORES_ONE: &[KeySpec] = &[DESTINATION, KeySpec::one(2, KeyFlags::READS)];
const STORES_MANY: &[KeySpec] = &[DESTINATION, counted(2, KeyFlags::READS)];

const RANDOM: &[&str] = &["nondeterministic_output"];

/// As many keys as the argument at a position says, which follow it.
const fn counted(index: u16, flags: KeyFlags) -> KeySpec {
    let find = Find::KeyNum { number: 0, first: 1, step: 1 };
    KeySpec { begin: Begin::Index(index), find, flags, notes: "" }
}

pub const COMMANDS: &[Command] = &[
    Command {
        name: "zadd",
        arity: -4,
        flags: WRITE_FAST,
        keys: UPDATES,
        member: 3,
        doc: Doc {
            summary: "Adds members with their scores to a sorted set, or changes scores, on a condition if so wished.",
            complexity: "O(log(N)) for each member, N being the size of the sorted set",
            syntax: "key [condition: NX | XX] [comparison: GT | LT] [change: CH] [increment: INCR] score member [data: score member \
                     ...]",
            ..DOC
        },
        handler: zadd,
        ..ZSET
    },
    Command {
        name: "zincrby",
        arity: 4,
        flags: WRITE_FAST,
        keys: INCREMENTS,
        member: 3,
        doc: Doc {
            summary: "Adds to the score of a member, which begins at 0.",
            complexity: LOG,
            syntax: "key increment member",
            ..DOC
        },
        handler: zincrby,
        ..ZSET
    },
    Command {
        name: "zscore",
        arity: 3,
        flags: READ_FAST,
        keys: READS,
        member: 2,
        doc: Doc { summary: "Answers a member's score.", syntax: "key member", ..DOC },
        handler: zscore,
        ..ZSET
    },
    Command {
        name: "zmscore",
        arity: -3,
        flags: READ_FAST,
        keys: READS,
        member: 2,
        doc: Doc {
            summary: "Answers the scores of several members.",
            since: "6.2.0",
            complexity: "O(N) in the number of members asked for",
            syntax: "key member [member ...]",
            ..DOC
        },
        handler: zmscore,
        ..ZSET
    },
    Command {
        name: "zcard",
        arity: 2,
        flags: READ_FAST,
        keys: LOOKS,
        doc: Doc { summary: "Answers how many members a sorted set has.", syntax: "key", ..DOC },
        handler: zcard,
        ..ZSET
    },
    Command {
        name: "zcount",
        arity: 4,
        flags: READ_FAST,
        keys: READS,
        doc: Doc {
            summary: "Answers how many members have a score in a range.",
            since: "2.0.0",
            complexity: LOG,
            syntax: "key min max",
            ..DOC
        },
        handler: zcount,
        ..ZSET
    },
    Command {
        name: "zlexcount",
        arity: 4,
        flags: READ_FAST,
        keys: READS,
        doc: Doc {
            summary: "Answers how many members, of one score all, are in a range of texts.",
            since: "2.8.9",
            complexity: LOG,
            syntax: "key min max",
            ..DOC
        },
        handler: zlexcount,
        ..ZSET
    },
    Command {
        name: "zrank",
        arity: -3,
        flags: READ_FAST,
        keys: READS,
        member: 2,
        doc: Doc {
            summary: "Answers how many members come before a member, in ascending order.",
            since: "2.0.0",
            complexity: LOG,
            syntax: "key member [WITHSCORE]",
            ..DOC
        },
        handler: |cx, args| rank(cx, args, false),
        ..ZSET
    },
    Command {
        name: "zrevrank",
        arity: -3,
        flags: READ_FAST,
        keys: READS,
        member: 2,
        doc: Doc {
            summary: "Answers how many members come before a member, in descending order.",
            since: "2.0.0",
            complexity: LOG,
            syntax: "key member [WITHSCORE]",
            ..DOC
        },
        handler: |cx, args| rank(cx, args, true),
        ..ZSET
    },
    Command {
        name: "zrange",
        arity: -4,
        flags: READ,
        keys: READS,
        doc: Doc {
            summary: "Answers the members in a range of ranks, scores or texts.",
            complexity: LOG_M,
            syntax: "key start stop [sortby: BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
            ..DOC
        },
        handler: |cx, args| range(cx, args, None, None),
        ..ZSET
    },
    Command {
        name: "zrangestore",
        arity: -5,
        flags: WRITE,
        keys: STORES_ONE,
        doc: Doc {
            summary: "Stores the members in a range of ranks, scores or texts under another key.",
            since: "6.2.0",
            complexity: LOG_M,
            syntax: "dst src min max [sortby: BYSCORE | BYLEX] [REV] [LIMIT offset count]",
            ..DOC
        },
        handler: zrangestore,
        ..ZSET
    },
    Command {
        name: "zrevrange",
        arity: -4,
        flags: READ,
        keys: READS,
        doc: Doc {
            summary: "Answers the members in a range of ranks, in descending order.",
            complexity: LOG_M,
            syntax: "key start stop [WITHSCORES]",
            deprecated_since: "6.2.0",
            replaced_by: "`ZRANGE` with `REV`",
            ..DOC
        },
        handler: |cx, args| range(cx, args, Some(By::Rank), Some(true)),
        ..ZSET
    },
    Command {
        name: "zrangebyscore",
        arity: -4,
        flags: READ,
        keys: READS,
        doc: Doc {
            summary: "Answers the members in a range of scores.",
            since: "1.0.5",
            complexity: LOG_M,
            syntax: "key min max [WITHSCORES] [LIMIT offset count]",
            deprecated_since: "6.2.0",
            replaced_by: "`ZRANGE` with `BYSCORE`",
            ..DOC
        },
        handler: |cx, args| range(cx, args, Some(By::Score), Some(false)),
        ..ZSET
    },
    Command {
        name: "zrevrangebyscore",
        arity: -4,
        flags: READ,
        keys: READS,
        doc: Doc {
            summary: "Answers the members in a range of scores, in descending order.",
            since: "2.2.0",
            complexity: LOG_M,
            syntax: "key max min [WITHSCORES] [LIMIT offset count]",
            deprecated_since: "6.2.0",
            replaced_by: "`ZRANGE` with `REV` and `BYSCORE`",
            ..DOC
        },
        handler: |cx, args| range(cx, args, Some(By::Score), Some(true)),
        ..ZSET
    },
    Command {
        name: "zrangebylex",
        arity: -4,
        flags: READ,
        keys: READS,
        doc: Doc {
            summary: "Answers the members, of one score all, in a range of texts.",
            since: "2.8.9",
            complexity: LOG_M,
            syntax: "key min max [LIMIT offset count]",
            deprecated_since: "6.2.0",
            replaced_by: "`ZRANGE` with `BYLEX`",
            ..DOC
        },
        handler: |cx, args| range(cx, args, Some(By::Member), Some(false)),
        ..ZSET
    },
    Command {
        name: "zrevrangebylex",
        arity: -4,
        flags: READ,
        keys: READS,
        doc: Doc {
            summary: "Answers the members, of one score all, in a range of texts, in descending order.",
            since: "2.8.9",
            complexity: LOG_M,
            syntax: "key max min [LIMIT offset count]",
            deprecated_since: "6.2.0",
            replaced_by: "`ZRANGE` with `REV` and `BYLEX`",
            ..DOC
        },
        handler: |cx, args| range(cx, args, Some(By::Member), Some(true)),
        ..ZSET
    },
    Command {
        name: "zrem",
        arity: -3,
        flags: REMOVE_FAST,
        keys: REMOVES,
        member: 2,
        doc: Doc {
            summary: "Removes members from a sorted set.",
            complexity: "O(M*log(N)) for M members of a sorted set of N",
            syntax: "key member [member ...]",
            ..DOC
        },
        handler: zrem,
        ..ZSET
    },
    Command {
        name: "zremrangebyrank",
        arity: 4,
        flags: REMOVE,
        keys: REMOVES,
        doc: Doc {
            summary: "Removes the members in a range of ranks.",
            since: "2.0.0",
            complexity: LOG_M,
            syntax: "key start stop",
            ..DOC
        },
        handler: |cx, args| remove_range(cx, args, By::Rank, Event("zremrangebyrank")),
        ..ZSET
    },
    Command {
        name: "zremrangebyscore",
        arity: 4,
        flags: REMOVE,
        keys: REMOVES,
        doc: Doc {
            summary: "Removes the members in a range of scores.",
            complexity: LOG_M,
            syntax: "key min max",
            ..DOC
        },
        handler: |cx, args| remove_range(cx, args, By::Score, Event("zremrangebyscore")),
        ..ZSET
    },
    Command {
        name: "zremrangebylex",
        arity: 4,
        flags: REMOVE,
        keys: REMOVES,
        doc: Doc {
            summary: "Removes the members, of one score all, in a range of texts.",
            since: "2.8.9",
            complexity: LOG_M,
            syntax: "key min max",
            ..DOC
        },
        handler: |cx, args| remove_range(cx, args, By::Member, Event("zremrangebylex")),
        ..ZSET
    },
    Command {
        name: "zpopmin",
        arity: -2,
        flags: REMOVE_FAST,
        keys: TAKES,
        doc: Doc {
            summary: "Takes the members with the lowest scores out and answers them.",
            since: "5.0.0",
            complexity: "O(M*log(N)) for M members of a sorted set of N",
            syntax: "key [count]",
            ..DOC
        },
        handler: |cx, args| pop(cx, args, End::Lowest),
        ..ZSET
    },
    Command {
        name: "zpopmax",
        arity: -2,
        flags: REMOVE_FAST,
        keys: TAKES,
        doc: Doc {
            summary: "Takes the members with the highest scores out and answers them.",
            since: "5.0.0",
            complexity: "O(M*log(N)) for M members of a sorted set of N",
            syntax: "key [count]",
            ..DOC
        },
        handler: |cx, args| pop(cx, args, End::Highest),
        ..ZSET
    },
    Command {
        name: "zmpop",
        arity: -4,
        flags: REMOVE.union(Flags::MOVABLE_KEYS),
        keys: TAKES_MANY,
        doc: Doc {
            summary: "Takes the members with the lowest or highest scores out of the first of several sorted sets that exists.",
            since: "7.0.0",
            complexity: "O(K) + O(M*log(N)) for K keys and M members of a sorted set of N",
            syntax: "numkeys key [key ...] <where: MIN | MAX> [COUNT count]",
            ..DOC
        },
        handler: |cx, args| take_from_any(cx, args, 1, false),
        ..ZSET
    },
    Command {
        name: "bzpopmin",
        arity: -3,
        flags: WAIT.union(Flags::FAST),
        keys: TAKES_ANY,
        doc: Doc {
            summary: "Takes the member with the lowest score out of the first of several sorted sets that exists, and \
                      waits for one if none does.",
            since: "5.0.0",
            complexity: LOG,
            syntax: "key [key ...] timeout",
            ..DOC
        },
        handler: |cx, args| waiting_pop(cx, args, End::Lowest),
        ..ZSET
    },
    Command {
        name: "bzpopmax",
        arity: -3,
        flags: WAIT.union(Flags::FAST),
        keys: TAKES_ANY,
        doc: Doc {
            summary: "Takes the member with the highest score out of the first of several sorted sets that exists, and \
                      waits for one if none does.",
            since: "5.0.0",
            complexity: LOG,
            syntax: "key [key ...] timeout",
            ..DOC
        },
        handler: |cx, args| waiting_pop(cx, args, End::Highest),
        ..ZSET
    },
    Command {
        name: "bzmpop",
        arity: -5,
        flags: WAIT.union(Flags::MOVABLE_KEYS),
        keys: &[counted(2, TAKEN)],
        doc: Doc {
            summary: "Takes members with the lowest or the highest scores out of the first of several sorted sets that \
                      exists, and waits for one if none does.",
            since: "7.0.0",
            complexity: "O(K)+O(M*log(N)) for K keys and M members of a sorted set of N",
            syntax: "timeout numkeys key [key ...] <where: MIN | MAX> [COUNT count]",
            ..DOC
        },
        handler: |cx, args| take_from_any(cx, args, 2, true),
        ..ZSET
    },
    Command {
        name: "zrandmember",
        arity: -2,
        flags: READ,
        keys: READS,
        tips: RANDOM,
        doc: Doc {
            summary: "Answers members chosen at random, all as likely; with a negative count, repeatedly.",
            since: "6.2.0",
            complexity: "O(N*log(N)) in the number of members answered",
            syntax: "key [options: count [WITHSCORES]]",
            ..DOC
        },
        handler: zrandmember,
        ..ZSET
    },
    Command {
        name: "zscan",
        arity: -3,
        flags: READ,
        keys: READS,
        tips: RANDOM,
        doc: Doc {
            summary: "Iterates over the members and scores of a sorted set, a few at a time.",
            since: "2.8.0",
            complexity: "O(1) for every call, O(N) for a complete iteration",
            syntax: "key cursor [MATCH pattern] [COUNT count]",
            ..DOC
        },
        handler: zscan,
        ..ZSET
    },
    Command {
        name: "zunion",
        arity: -3,
        flags: READ_MANY,
        keys: READS_MANY,
        doc: Doc {
            summary: "Answers the members of any of several sorted sets, with their scores combined.",
            since: "6.2.0",
            complexity: "O(N*log(N)) in the number of members of all inputs",
            syntax: "numkeys key [key ...] [WEIGHTS weight [weight ...]] [aggregate: AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
            ..DOC
        },
        handler: |cx, args| combine(cx, args, Operation::Union, false),
        ..ZSET
    },
    Command {
        name: "zinter",
        arity: -3,
        flags: READ_MANY,
        keys: READS_MANY,
        doc: Doc {
            summary: "Answers the members that several sorted sets share, with their scores combined.",
            since: "6.2.0",
            complexity: "O(N*K) + O(M*log(M)) for K inputs, the smallest of N members, and a result of M",
            syntax: "numkeys key [key ...] [WEIGHTS weight [weight ...]] [aggregate: AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
            ..DOC
        },
        handler: |cx, args| combine(cx, args, Operation::Inter, false),
        ..ZSET
    },
    Command {
        name: "zdiff",
        arity: -3,
        flags: READ_MANY,
        keys: READS_MANY,
        doc: Doc {
            summary: "Answers the members of the first of several sorted sets that are in none of the others.",
            since: "6.2.0",
            complexity: "O(N*K) + O(M*log(M)) for K inputs, the first of N members, and a result of M",
            syntax: "numkeys key [key ...] [WITHSCORES]",
            ..DOC
        },
        handler: |cx, args| combine(cx, args, Operation::Diff, false),
        ..ZSET
    },
    Command {
        name: "zunionstore",
        arity: -4,
        flags: WRITE.union(Flags::MOVABLE_KEYS),
        keys: STORES_MANY,
        doc: Doc {
            summary: "Stores the members of any of several sorted sets, with their scores combined.",
            since: "2.0.0",
            complexity: "O(N*log(N)) in the number of members of all inputs",
            syntax: "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [aggregate: AGGREGATE <SUM | MIN | MAX>]",
            ..DOC
        },
        handler: |cx, args| combine(cx, args, Operation::Union, true),
        ..ZSET
    },
    Command {
        name: "zinterstore",
        arity: -4,
        flags: WRITE.union(Flags::MOVABLE_KEYS),
        keys: STORES_MANY,
        doc: Doc {
            summary: "Stores the members that several sorted sets share, with their scores combined.",
            since: "2.0.0",
            complexity: "O(N*K) + O(M*log(M)) for K inputs, the smallest of N members, and a result of M",
            syntax: "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [aggregate: AGGREGATE <SUM | MIN | MAX>]",
            ..DOC
        },
        handler: |cx, args| combine(cx, args, Operation::Inter, true),
        ..ZSET
    },
    Command {
        name: "zdiffstore",
        arity: -4,
        flags: WRITE.union(Flags::MOVABLE_KEYS),
        keys: STORES_MANY,
        doc: Doc {
            summary: "Stores the members of the first of several sorted sets that are in none of the others.",
            since: "6.2.0",
            complexity: "O(N*K) + O(M*log(M)) for K inputs, the first of N members, and a result of M",
            syntax: "destination numkeys key [key ...]",
            ..DOC
        },
        handler: |cx, args| combine(cx, args, Operation::Diff, true),
        ..ZSET
    },
    Command {
        name: "zintercard",
        arity: -3,
        flags: READ_MANY,
        keys: READS_MANY,
        doc: Doc {
            summary: "Answers how many members several sorted sets share, counting up to a limit.",
            since: "7.0.0",
            complexity: "O(N*K) for K inputs, the smallest of N members",
            syntax: "numkeys key [key ...] [LIMIT limit]",
            ..DOC
        },
        handler: zintercard,
        ..ZSET
    },
];

/// A sorted set that does not exist yet.
const FRESH: (Type, Encoding, &[u8]) = (Type::Zset, Encoding::Listpack, listpack::EMPTY);

/// A key's sorted set for a command that reads it.
///
/// # Errors
/// If the key holds something else.
#[inline]
pub(super) fn read<'k>(
    keys: &'k mut Keyspace,
    db: usize,
    key: Key<'_>,
    touch: Touch,
) -> Result<Option<ZsetRef<'k>>, Error> {
    match keys.read(db, key, touch) {
        Some(entry) => entry.zset().map(Some).ok_or(Error::WRONG_TYPE),
        None => Ok(None),
    }
}

/// The sorted set that an argument names, for a command that reads it; see [`read`].
macro_rules! zset_of {
    ($cx:ident, $args:ident, $at:expr) => {{
        let key = $cx.key($args, $at);
        $crate::command::zset::read(&mut $cx.server.keys, $cx.db, key, $cx.touch)?
    }};
}
use zset_of;

/// What [`Rules`] are made of, for as long as the keyspace is borrowed.
fn growth(cx: &Ctx<'_>) -> (Limits, KeyHasher) {
    (limits_of(cx.server), cx.server.keys.hasher().clone())
}

/// Up to where a sorted set is a listpack.
pub fn limits_of(server: &Server) -> Limits {
    let settings = &server.settings;
    Limits { entries: settings.zset_max_listpack_entries, value: settings.zset_max_listpack_value }
}

pub(super) fn member_reply(reply: &mut Reply, member: Element<'_>) {
    match member {
        Element::Text(text) => reply.bulk(text),
        Element::Integer(value) => reply.bulk_integer(value),
    }
}

/// An array of members, with their scores if asked for: one flat array in RESP2, an array of pairs in RESP3.
fn entries_reply<'e>(
    reply: &mut Reply,
    len: usize,
    with_scores: bool,
    entries: impl Iterator<Item = (Element<'e>, f64)>,
) {
    let nested = with_scores && reply.proto == Proto::Resp3;
    reply.array(if with_scores && !nested { 2 * len } else { len });
    for (member, score) in entries {
        entry_reply(reply, member, with_scores.then_some(score), nested);
    }
}

#[inline]
fn entry_reply(reply: &mut Reply, member: Element<'_>, score: Option<f64>, nested: bool) {
    if nested {
        reply.array(2);
    }
    member_reply(reply, member);
    if let Some(score) = score {
        reply.double(score);
    }
}

/// A sorted set of entries whose members are all different.
pub(super) fn collected<M: AsRef<[u8]>>(cx: &Ctx<'_>, entries: &[(M, f64)]) -> Zset {
    let (limits, hasher) = growth(cx);
    let rules = Rules { limits, hasher: &hasher };
    let is_short = entries.iter().all(|(member, _)| member.as_ref().len() <= limits.value);
    let expected = if is_short { entries.len() } else { usize::MAX };
    Zset::of(expected, entries.iter().map(|(member, score)| (member.as_ref(), *score)), rules)
}

/// Makes a key a sorted set, and replies how many members that has; without any, the key is removed.
pub(super) fn store(cx: &mut Ctx<'_>, key: Key<'_>, zset: Zset, event: Event) {
    let len = zset.zset().len();
    let keys = &mut cx.server.keys;
    if len == 0 {
        keys.delete(cx.db, key, Event::DEL);
    } else {
        match zset {
            Zset::List(list) if list.len() <= INLINE_MAX => {
                keys.store(cx.db, key, Type::Zset, Encoding::Listpack, NewValue::Inline(&list), event);
            }
            Zset::List(list) => {
                let value = NewValue::Boxed(Box::new(Object::Compact(list)));
                keys.store(cx.db, key, Type::Zset, Encoding::Listpack, value, event);
            }
            Zset::Tree(tree) => {
                let value = NewValue::Boxed(Box::new(Object::Zset(tree)));
                keys.store(cx.db, key, Type::Zset, Encoding::Skiplist, value, event);
            }
        }
    }
    cx.reply.count(len);
}

// --- members and scores --------------------------------------------------------------------------------------------

/// What ZADD is asked for besides members and scores.
#[derive(Clone, Copy, Default)]
pub(super) struct AddOptions {
    pub nx: bool,
    pub xx: bool,
    pub gt: bool,
    pub lt: bool,
    /// Count changed scores too.
    pub changed: bool,
    pub increment: bool,
}

impl AddOptions {
    /// Reads the options and says where the first score is.
    ///
    /// # Errors
    /// Those that exclude each other, or no pairs behind them.
    fn parse(args: &Args<'_>, increment: bool) -> Result<(AddOptions, usize), Error> {
        let mut options = AddOptions { increment, ..AddOptions::default() };
        let mut at = 2;
        while let Some(word) = args.get(at) {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            let option = if is("NX") {
                &mut options.nx
            } else if is("XX") {
                &mut options.xx
            } else if is("GT") {
                &mut options.gt
            } else if is("LT") {
                &mut options.lt
            } else if is("CH") {
                &mut options.changed
            } else if is("INCR") {
                &mut options.increment
            } else {
                break;
            };
            *option = true;
            at += 1;
        }
        let left = args.len() - at;
        if left == 0 || !left.is_multiple_of(2) {
            return Err(Error::SYNTAX);
        }
        let AddOptions { nx, xx, gt, lt, increment, .. } = options;
        if nx && xx {
            return Err(Error::fixed("ERR XX and NX options at the same time are not compatible"));
        }
        if nx && (gt || lt) || gt && lt {
            return Err(Error::fixed("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if increment && left > 2 {
            return Err(Error::fixed("ERR INCR option supports a single increment-element pair"));
        }
        Ok((options, at))
    }

    /// The score that a member gets, given the one that it has; `None` if the options are against it, or the sum of
    /// infinities is none.
    #[inline]
    fn score(self, old: Option<f64>, given: f64) -> Option<f64> {
        let Some(old) = old else { return (!self.xx).then_some(given) };
        let new = if self.increment { old + given } else { given };
        let against = self.nx || new.is_nan() || self.lt && new >= old || self.gt && new <= old;
        (!against).then_some(new)
    }
}

/// What adding did.
#[derive(Default)]
struct Added {
    new: u64,
    changed: u64,
    /// The score of the last member, if the options were not against it.
    score: Option<f64>,
    /// A sum was not a number.
    nan: bool,
}

fn zadd(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    add(cx, args, false)
}

fn zincrby(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    add(cx, args, true)
}

fn add(cx: &mut Ctx<'_>, args: &Args<'_>, increment: bool) -> Outcome {
    let (options, at) = AddOptions::parse(args, increment)?;
    let score_at = |at: usize| parse_f64(&args[at]).ok_or(Error::NOT_A_FLOAT);
    // All scores are read before anything changes; for the usual one nothing is allocated.
    let first = score_at(at)?;
    let others = (at + 2..args.len()).step_by(2).map(score_at).collect::<Result<Vec<f64>, Error>>()?;
    let scores = std::iter::once(first).chain(others);
    add_scored(cx, args, options, scores.zip(args.iter_from(at + 1).step_by(2)))
}

/// Adds members with their scores to the first key's sorted set, as far as the options allow, and replies.
pub(super) fn add_scored<'m>(
    cx: &mut Ctx<'_>,
    args: &Args<'_>,
    options: AddOptions,
    scored: impl Iterator<Item = (f64, &'m [u8])>,
) -> Outcome {
    let (limits, hasher) = growth(cx);
    let rules = Rules { limits, hasher: &hasher };
    let change = |value: &mut Value<'_>| {
        zset::expect(value, scored.size_hint().0, rules);
        let mut added = Added::default();
        for (given, member) in scored {
            zset::update(value, member, rules, |old| {
                let score = options.score(old, given);
                match (old, score) {
                    (None, Some(_)) => added.new += 1,
                    (Some(old), Some(score)) if score != old => added.changed += 1,
                    (Some(old), None) => added.nan = options.increment && (old + given).is_nan() && !options.nx,
                    _ => {}
                }
                added.score = score;
                score
            });
        }
        let changes = added.new + added.changed;
        Changed { result: added, changes, empty: false }
    };
    let event = Event(if options.increment { "zincr" } else { "zadd" });
    let (key, keys) = (cx.key(args, 1), &mut cx.server.keys);
    let added = if options.xx {
        keys.change(cx.db, key, Type::Zset, event, change)?.unwrap_or_default()
    } else {
        keys.change_or_create(cx.db, key, FRESH, event, change)?
    };
    if added.nan {
        return Err(Error::fixed("ERR resulting score is not a number (NaN)"));
    }
    match (options.increment, added.score) {
        (true, Some(score)) => cx.reply.double(score),
        (true, None) => cx.reply.null(),
        (false, _) => cx.reply.count((added.new + if options.changed { added.changed } else { 0 }) as usize),
    }
    Ok(())
}

fn zscore(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    match zset_of!(cx, args, 1).and_then(|zset| zset.score(&args[2])) {
        Some(score) => cx.reply.double(score),
        None => cx.reply.null(),
    }
    Ok(())
}

fn zmscore(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let zset = zset_of!(cx, args, 1);
    cx.reply.array(args.len() - 2);
    for member in args.iter_from(2) {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => cx.reply.double(score),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

fn zcard(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let len = zset_of!(cx, args, 1).map_or(0, ZsetRef::len);
    cx.reply.count(len);
    Ok(())
}

fn zcount(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let bounds = scores(&args[2], &args[3])?;
    let count = zset_of!(cx, args, 1).map_or(0, |zset| zset.ranks(bounds).len());
    cx.reply.count(count);
    Ok(())
}

fn zlexcount(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let bounds = members(&args[2], &args[3])?;
    let count = zset_of!(cx, args, 1).map_or(0, |zset| zset.ranks(bounds).len());
    cx.reply.count(count);
    Ok(())
}

fn rank(cx: &mut Ctx<'_>, args: &Args<'_>, reverse: bool) -> Outcome {
    if args.len() > 4 {
        return Err(wrong_arity(&cx.command.full_name));
    }
    let with_score = match args.get(3) {
        Some(word) if word.eq_ignore_ascii_case(b"WITHSCORE") => true,
        Some(_) => return Err(Error::SYNTAX),
        None => false,
    };
    let zset = zset_of!(cx, args, 1);
    let found = zset.and_then(|zset| zset.rank(&args[2]).map(|found| (zset.len(), found)));
    match found {
        Some((len, (rank, score))) => {
            if with_score {
                cx.reply.array(2);
            }
            cx.reply.count(if reverse { len - 1 - rank } else { rank });
            if with_score {
                cx.reply.double(score);
            }
        }
        None if with_score => cx.reply.null_array(),
        None => cx.reply.null(),
    }
    Ok(())
}

// --- removing --------------------------------------------------------------------------------------------------------

fn zrem(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let removed = cx.server.keys.change(cx.db, key, Type::Zset, Event("zrem"), |value| {
        let mut removed = 0;
        for member in args.iter_from(2) {
            removed += zset::remove(value, member).is_some() as u64;
            if value.zset().is_empty() {
                break;
            }
        }
        Changed { result: removed, changes: removed, empty: value.zset().is_empty() }
    })?;
    cx.reply.count(removed.unwrap_or(0) as usize);
    Ok(())
}

fn remove_range(cx: &mut Ctx<'_>, args: &Args<'_>, by: By, event: Event) -> Outcome {
    let span = Span::parse(by, &args[2], &args[3])?;
    let key = cx.key(args, 1);
    let removed = cx.server.keys.change(cx.db, key, Type::Zset, event, |value| {
        let ranks = span.ranks(value.zset(), false);
        let removed = ranks.len();
        zset::remove_ranks(value, ranks);
        Changed { result: removed, changes: removed as u64, empty: value.zset().is_empty() }
    })?;
    cx.reply.count(removed.unwrap_or(0));
    Ok(())
}

/// Which members are taken out.
#[derive(Clone, Copy)]
enum End {
    Lowest,
    Highest,
}

/// Takes up to `count` members out of a sorted set and replies them: `begin` writes what comes before them, given
/// their number. Returns whether there is such a key.
fn take(
    cx: &mut Ctx<'_>,
    key: Key<'_>,
    end: End,
    count: usize,
    nested: bool,
    begin: impl FnOnce(&mut Reply, usize),
) -> Result<bool, Error> {
    let reply = &mut cx.reply;
    let event = Event(match end {
        End::Lowest => "zpopmin",
        End::Highest => "zpopmax",
    });
    let taken = cx.server.keys.change(cx.db, key, Type::Zset, event, |value| {
        let zset = value.zset();
        let len = zset.len();
        let count = count.min(len);
        begin(reply, count);
        let (ranks, entries) = match end {
            End::Lowest => (0..count, zset.iter(0..count)),
            End::Highest => (len - count..len, zset.iter_back(len - count..len)),
        };
        for (member, score) in entries {
            entry_reply(reply, member, Some(score), nested);
        }
        zset::remove_ranks(value, ranks);
        Changed { result: (), changes: count as u64, empty: count == len }
    })?;
    Ok(taken.is_some())
}

/// The command that takes members out at an end.
fn taking(end: End) -> &'static [u8] {
    match end {
        End::Lowest => b"ZPOPMIN",
        End::Highest => b"ZPOPMAX",
    }
}

fn pop(cx: &mut Ctx<'_>, args: &Args<'_>, end: End) -> Outcome {
    if args.len() > 3 {
        return Err(Error::SYNTAX);
    }
    let count = match args.get(2) {
        Some(text) => Some(parse_i64(text).and_then(|n| usize::try_from(n).ok()).ok_or(Error::NOT_POSITIVE)?),
        None => None,
    };
    let nested = count.is_some() && cx.reply.proto == Proto::Resp3;
    let key = cx.key(args, 1);
    let found = take(cx, key, end, count.unwrap_or(1), nested, |reply, taken| {
        reply.array(if nested { taken } else { 2 * taken });
    })?;
    if !found {
        cx.reply.array(0);
    }
    Ok(())
}

/// An integer of 1 at least.
fn positive(text: &[u8], error: Error) -> Result<usize, Error> {
    parse_i64(text).and_then(|number| usize::try_from(number).ok()).filter(|&number| number > 0).ok_or(error)
}

/// Takes a member out of the first of several sorted sets that exists, or waits for one.
fn waiting_pop(cx: &mut Ctx<'_>, args: &mut Args<'_>, end: End) -> Outcome {
    let last = args.len() - 1;
    let deadline = cx.deadline(&args[last])?;
    for at in 1..last {
        let key = cx.key(args, at);
        let found = take(cx, key, end, 1, false, |reply, _| {
            reply.array(3);
            reply.bulk(key.bytes);
        })?;
        if found {
            cx.propagate(&[taking(end), key.bytes]);
            return Ok(());
        }
    }
    cx.wait(args, 1..last, Type::Zset, deadline, |cx| cx.reply.null_array())
}

/// Takes members out of the first of several sorted sets that exists; how many keys there are says the argument at
/// `number`. May wait for one until the timeout that then comes first.
fn take_from_any(cx: &mut Ctx<'_>, args: &mut Args<'_>, number: usize, waits: bool) -> Outcome {
    let first = number + 1;
    let keys = positive(&args[number], Error::fixed("ERR numkeys should be greater than 0"))?;
    let end_at = keys.saturating_add(first);
    let end = match args.get(end_at) {
        Some(word) if word.eq_ignore_ascii_case(b"MIN") => End::Lowest,
        Some(word) if word.eq_ignore_ascii_case(b"MAX") => End::Highest,
        _ => return Err(Error::SYNTAX),
    };
    let mut count = None;
    let mut at = end_at + 1;
    while let Some(word) = args.get(at) {
        match args.get(at + 1) {
            Some(value) if count.is_none() && word.eq_ignore_ascii_case(b"COUNT") => {
                count = Some(positive(value, Error::fixed("ERR count should be greater than 0"))?);
            }
            _ => return Err(Error::SYNTAX),
        }
        at += 2;
    }
    let deadline = if waits { cx.deadline(&args[1])? } else { None };
    for at in first..end_at {
        let key = cx.key(args, at);
        let mut number = 0;
        let found = take(cx, key, end, count.unwrap_or(1), true, |reply, taken| {
            number = taken;
            reply.array(2);
            reply.bulk(key.bytes);
            reply.array(taken);
        })?;
        if found {
            cx.propagate(&[taking(end), key.bytes, itoa::Buffer::new().format(number).as_bytes()]);
            return Ok(());
        }
    }
    if waits {
        return cx.wait(args, first..end_at, Type::Zset, deadline, |cx| cx.reply.null_array());
    }
    cx.reply.null_array();
    Ok(())
}

// --- chance and iteration ------------------------------------------------------------------------------------------

fn zrandmember(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut rng = cx.server.keys.random_source();
    if args.len() == 2 {
        match zset_of!(cx, args, 1) {
            Some(zset) => zset.visit(&[rng.usize(..zset.len())], |member, _| member_reply(&mut cx.reply, member)),
            None => cx.reply.null(),
        }
        return Ok(());
    }
    let count = integer(&args[2])?;
    if count == i64::MIN {
        return Err(Error::fixed(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let with_scores = args.len() > 3;
    if with_scores && (args.len() > 4 || !args[3].eq_ignore_ascii_case(b"WITHSCORES")) {
        return Err(Error::SYNTAX);
    }
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::OUT_OF_RANGE);
    }
    let most = cx.most_output();
    let zset = zset_of!(cx, args, 1);
    let reply = &mut cx.reply;
    let Some(zset) = zset else {
        reply.array(0);
        return Ok(());
    };
    let len = zset.len();
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        entries_reply(reply, wanted, with_scores, std::iter::empty());
        let nested = with_scores && reply.proto == Proto::Resp3;
        in_portions(wanted, |count| {
            // All ranks first, so that a listpack need not be walked for every member.
            let ranks: Vec<usize> = (0..count).map(|_| rng.usize(..len)).collect();
            zset.visit(&ranks, |member, score| entry_reply(reply, member, with_scores.then_some(score), nested));
            reply.out.len() <= most
        });
    } else if wanted >= len {
        entries_reply(reply, len, with_scores, zset.iter(0..len));
    } else {
        let ranks = choose(len, wanted, &mut rng);
        entries_reply(reply, wanted, with_scores, std::iter::empty());
        let nested = with_scores && reply.proto == Proto::Resp3;
        zset.visit(&ranks, |member, score| entry_reply(reply, member, with_scores.then_some(score), nested));
    }
    cx.end_if_beyond(most);
    Ok(())
}

/// Different numbers below `len`, `count` of them, each choice as likely as any other (R. Floyd, "A sample of
/// brilliance", Communications of the ACM, 1987).
fn choose(len: usize, count: usize, rng: &mut fastrand::Rng) -> Vec<usize> {
    let mut chosen = BTreeSet::new();
    for last in len - count..len {
        let drawn = rng.usize(..=last);
        if !chosen.insert(drawn) {
            chosen.insert(last);
        }
    }
    chosen.into_iter().collect()
}

fn zscan(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let cursor = scan_options::cursor(args)?;
    let Some(zset) = zset_of!(cx, args, 1) else {
        cx.reply.array(2);
        cx.reply.bulk_integer(0);
        cx.reply.array(0);
        return Ok(());
    };
    let options = ScanOptions::parse(args, false)?;
    // The cursor comes before the members, but is known after them.
    let mut list = Reply::default();
    let mut found = 0;
    let next = match zset {
        ZsetRef::List(bytes) => {
            let mut elements = listpack::iter(bytes);
            while let (Some((_, member)), Some((_, score))) = (elements.next(), elements.next()) {
                if member.with_bytes(|member| options.pattern.matches(member)) {
                    member_reply(&mut list, member);
                    member_reply(&mut list, score);
                    found += 1;
                }
            }
            0
        }
        ZsetRef::Tree(tree) => {
            let mut digits = Vec::new();
            tree.scan(cursor, options.count, |member, score| {
                if options.pattern.matches(member) {
                    list.bulk(member);
                    digits.clear();
                    write_f64_17g(score, &mut digits);
                    list.bulk(&digits);
                    found += 1;
                }
            })
        }
    };
    cx.reply.array(2);
    cx.reply.bulk_integer(next as i64);
    cx.reply.array(2 * found);
    cx.reply.raw(list.out.tail());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_decide_about_scores() {
        let options = |words: &str| AddOptions {
            nx: words.contains("nx"),
            xx: words.contains("xx"),
            gt: words.contains("gt"),
            lt: words.contains("lt"),
            increment: words.contains("incr"),
            changed: false,
        };
        // A score of 2 for a member that is new, has 1, 2 and 3.
        let cases = [
            ("", [Some(2.0); 4]),
            ("nx", [Some(2.0), None, None, None]),
            ("xx", [None, Some(2.0), Some(2.0), Some(2.0)]),
            ("gt", [Some(2.0), Some(2.0), None, None]),
            ("lt", [Some(2.0), None, None, Some(2.0)]),
            ("xx gt", [None, Some(2.0), None, None]),
            ("incr", [Some(2.0), Some(3.0), Some(4.0), Some(5.0)]),
            ("lt incr", [Some(2.0), None, None, None]),
        ];
        for (words, expected) in cases {
            let scores = [None, Some(1.0), Some(2.0), Some(3.0)].map(|old| options(words).score(old, 2.0));
            assert_eq!(scores, expected, "{words}");
        }
        assert_eq!(options("incr").score(Some(f64::INFINITY), f64::NEG_INFINITY), None);
    }

    #[test]
    fn choices_are_fair_and_different() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut hits = [0u32; 10];
        for _ in 0..3_000 {
            let chosen = choose(10, 3, &mut rng);
            assert_eq!(chosen.len(), 3);
            chosen.into_iter().for_each(|rank| hits[rank] += 1);
        }
        // 900 each on average; five standard deviations are 125.
        assert!(hits.iter().all(|&n| n.abs_diff(900) < 125), "{hits:?}");
    }
}
