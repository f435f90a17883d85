//! The rows of all commands of sorted sets.

use super::combine::{Operation, combine, zintercard};
use super::range::{By, range, zrangestore};
use super::remove::{End, pop, remove_range, take_from_any, waiting_pop, zrem};
use super::sample::{zrandmember, zscan};
use super::score::{rank, zadd, zcard, zcount, zincrby, zlexcount, zmscore, zscore};
use crate::command::table::{Acl, Begin, Command, Doc, Find, Flags, KeyFlags, KeySpec};
use crate::effects::Event;

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
            replaced_by: "`ZRANGE` with the `REV` argument",
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
            replaced_by: "`ZRANGE` with the `BYSCORE` argument",
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
            replaced_by: "`ZRANGE` with the `REV` and `BYSCORE` arguments",
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
            replaced_by: "`ZRANGE` with the `BYLEX` argument",
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
            replaced_by: "`ZRANGE` with the `REV` and `BYLEX` arguments",
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
