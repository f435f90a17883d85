//! Streams.
//!
//! This file has the rows, what all of them share, and the commands that deal with entries; `read.rs` has XREAD and
//! XREADGROUP, `group.rs` what else consumer groups need, `outcome.rs` what of that is propagated, `info.rs` XINFO. Entries go from where they lie into the reply.
//!
//! What happens to a stream's groups is no change of its value: it counts as one to be saved, but spoils no transaction
//! that watches the key and wakes nobody who waits for it.

mod group;
mod info;
mod outcome;
pub mod read;

use super::error::{Error, Outcome};
use super::string::integer;
use super::table::{Acl, Begin, Command, Doc, Find, Flags, KeyFlags, KeySpec};
use super::{Ctx, wrong_arity};
use crate::effects::Event;
use crate::keyspace::entry::{Encoding, NewValue, Object, Type};
use crate::keyspace::value::{Changed, Value};
use crate::keyspace::{Key, Keyspace, Touch};
use crate::resp::{Args, Reply};
use crate::types::listpack::Element;
use crate::types::number::c_text;
use crate::types::stream::{Counters, Entry, ID_TEXT_MAX, Id, Keep, Limits, Log, Stream, Trim};

const STREAM: Command = Command { acl: Acl::STREAM, ..Command::NONE };
const DOC: Doc = Doc { group: "stream", since: "5.0.0", complexity: "O(1)", ..Command::NONE.doc };

const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);
const ADD_FAST: Flags = WRITE_FAST.union(Flags::DENYOOM);
const ADD: Flags = Flags::WRITE.union(Flags::DENYOOM);
const HELP: Flags = Flags::LOADING.union(Flags::STALE);

const READS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::READS)];
const UPDATE: KeySpec = KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE));
const UPDATES: &[KeySpec] = &[UPDATE];
const DELETES: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))];
const GROUP_READS: &[KeySpec] = &[KeySpec::one(2, KeyFlags::READS)];
const GROUP_INSERTS: &[KeySpec] = &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT))];
const GROUP_UPDATES: &[KeySpec] = &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::UPDATE))];
const GROUP_DELETES: &[KeySpec] = &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::DELETE))];

/// The first half of what comes behind STREAMS.
const fn listed(from: i16) -> KeySpec {
    KeySpec {
        begin: Begin::Keyword("STREAMS", from),
        find: Find::Range { last: -1, step: 1, limit: 2 },
        ..KeySpec::one(1, KeyFlags::READS)
    }
}

const VARIES: &[&str] = &["nondeterministic_output"];
const BY_ANSWERED: &str = "O(N) in the number of entries answered";

pub const COMMANDS: &[Command] = &[
    Command {
        name: "xadd",
        arity: -5,
        flags: ADD_FAST,
        keys: &[KeySpec { notes: "it may remove entries as well as add one", ..UPDATE }],
        tips: VARIES,
        doc: Doc {
            summary: "Adds an entry at the end of a stream, which may be trimmed at once. The stream begins empty.",
            complexity: "O(1) without trimming, O(N) in the number of entries removed with it",
            syntax: "key [NOMKSTREAM] [trim: <strategy: MAXLEN | MINID> [operator: <equal: => | <approximately: ~>] threshold \
                     [LIMIT count]] <id-selector: <auto-id: *> | id> <data: field value ...>",
            ..DOC
        },
        handler: xadd,
        ..STREAM
    },
    Command {
        name: "xlen",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::LOOKS)],
        doc: Doc { summary: "Answers how many entries a stream has.", syntax: "key", ..DOC },
        handler: xlen,
        ..STREAM
    },
    Command {
        name: "xrange",
        arity: -4,
        flags: Flags::READONLY,
        keys: READS,
        doc: Doc {
            summary: "Answers the entries from an ID to another, or some of the first ones of these.",
            complexity: BY_ANSWERED,
            syntax: "key start end [COUNT count]",
            ..DOC
        },
        handler: |cx, args| range(cx, args, false),
        ..STREAM
    },
    Command {
        name: "xrevrange",
        arity: -4,
        flags: Flags::READONLY,
        keys: READS,
        doc: Doc {
            summary: "Answers the entries from an ID back to another, or some of the last ones of these.",
            complexity: BY_ANSWERED,
            syntax: "key end start [COUNT count]",
            ..DOC
        },
        handler: |cx, args| range(cx, args, true),
        ..STREAM
    },
    Command {
        name: "xdel",
        arity: -3,
        flags: WRITE_FAST,
        keys: DELETES,
        doc: Doc {
            summary: "Removes entries by their IDs.",
            complexity: "O(1) for each ID",
            syntax: "key <id ...>",
            ..DOC
        },
        handler: xdel,
        ..STREAM
    },
    Command {
        name: "xtrim",
        arity: -4,
        flags: Flags::WRITE,
        keys: DELETES,
        tips: VARIES,
        doc: Doc {
            summary: "Removes the first entries of a stream: those above a number, or before an ID.",
            complexity: "O(N) in the number of entries removed, most of them many at a time",
            syntax: "key <trim: <strategy: MAXLEN | MINID> [operator: <equal: => | <approximately: ~>] threshold [LIMIT count]>",
            ..DOC
        },
        handler: xtrim,
        ..STREAM
    },
    Command {
        name: "xsetid",
        arity: -3,
        flags: ADD_FAST,
        keys: UPDATES,
        doc: Doc {
            summary: "Sets the numbers that a stream has beside its entries. Snapshots and replicas need it.",
            syntax: "key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
            ..DOC
        },
        handler: xsetid,
        ..STREAM
    },
    Command {
        name: "xread",
        arity: -4,
        flags: Flags::BLOCKING.union(Flags::READONLY).union(Flags::MOVABLE_KEYS),
        keys: &[listed(1)],
        doc: Doc {
            summary: "Answers the entries of several streams behind an ID in each, and may wait for one.",
            complexity: "",
            syntax: "[COUNT count] [BLOCK milliseconds] STREAMS <key ...> <id ...>",
            ..DOC
        },
        handler: |cx, args| read::read(cx, args, false),
        ..STREAM
    },
    Command {
        name: "xreadgroup",
        arity: -7,
        flags: Flags::BLOCKING.union(Flags::WRITE).union(Flags::MOVABLE_KEYS),
        keys: &[listed(4)],
        doc: Doc {
            summary: "Answers entries of several streams that no consumer of a group has been given, or again those that \
                      this one was, and may wait for one.",
            complexity: "O(N) in the number of entries answered; an entry that is waited for costs its adder as much",
            syntax: "<group-block: GROUP group consumer> [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS <key ...> <id ...>",
            ..DOC
        },
        handler: |cx, args| read::read(cx, args, true),
        ..STREAM
    },
    Command {
        name: "xgroup",
        arity: -2,
        doc: Doc { summary: "Makes and changes consumer groups.", complexity: "Depends on the subcommand", ..DOC },
        subcommands: &[
            Command {
                name: "create",
                arity: -5,
                flags: ADD,
                keys: GROUP_INSERTS,
                doc: Doc {
                    summary: "Makes a consumer group that begins to read behind an ID.",
                    syntax: "key group <id-selector: id | <new-id: $>> [MKSTREAM] [entriesread: ENTRIESREAD entries-read]",
                    ..DOC
                },
                handler: group::create,
                ..STREAM
            },
            Command {
                name: "setid",
                arity: -5,
                flags: Flags::WRITE,
                keys: GROUP_UPDATES,
                doc: Doc {
                    summary: "Sets the ID behind which a consumer group reads on.",
                    syntax: "key group <id-selector: id | <new-id: $>> [entriesread: ENTRIESREAD entries-read]",
                    ..DOC
                },
                handler: group::set_id,
                ..STREAM
            },
            Command {
                name: "destroy",
                arity: 4,
                flags: Flags::WRITE,
                keys: GROUP_DELETES,
                doc: Doc {
                    summary: "Removes a consumer group with all that it has pending.",
                    complexity: "O(N) in the number of pending entries",
                    syntax: "key group",
                    ..DOC
                },
                handler: group::destroy,
                ..STREAM
            },
            Command {
                name: "createconsumer",
                arity: 5,
                flags: ADD,
                keys: GROUP_INSERTS,
                doc: Doc {
                    summary: "Adds a consumer to a group.",
                    since: "6.2.0",
                    syntax: "key group consumer",
                    ..DOC
                },
                handler: group::create_consumer,
                ..STREAM
            },
            Command {
                name: "delconsumer",
                arity: 5,
                flags: Flags::WRITE,
                keys: GROUP_DELETES,
                doc: Doc {
                    summary: "Removes a consumer from a group with all that it has pending.",
                    complexity: "O(N) in the number of its pending entries",
                    syntax: "key group consumer",
                    ..DOC
                },
                handler: group::delete_consumer,
                ..STREAM
            },
            Command {
                name: "help",
                arity: 2,
                flags: HELP,
                doc: Doc { summary: "Tells about the subcommands.", ..DOC },
                handler: |cx, args| cx.help(args, group::HELP),
                ..STREAM
            },
        ],
        ..Command::NONE
    },
    Command {
        name: "xack",
        arity: -4,
        flags: WRITE_FAST,
        keys: UPDATES,
        doc: Doc {
            summary: "Says that entries which a group's consumers were given have been dealt with.",
            complexity: "O(1) for each ID",
            syntax: "key group <id ...>",
            ..DOC
        },
        handler: group::ack,
        ..STREAM
    },
    Command {
        name: "xpending",
        arity: -3,
        flags: Flags::READONLY,
        keys: READS,
        tips: VARIES,
        doc: Doc {
            summary: "Answers what a group's consumers were given and have not acknowledged.",
            complexity: "O(N) in the number of entries answered, or looked at with IDLE; without a range, in the number of \
                         consumers",
            syntax: "key group [filters: [IDLE min-idle-time] start end count [consumer]]",
            ..DOC
        },
        handler: group::pending,
        ..STREAM
    },
    Command {
        name: "xclaim",
        arity: -6,
        flags: WRITE_FAST,
        keys: UPDATES,
        tips: VARIES,
        doc: Doc {
            summary: "Gives pending entries to another consumer.",
            complexity: "O(log N) in the number of pending entries, for each ID",
            syntax: "key group consumer min-idle-time <id ...> [IDLE ms] [TIME unix-time-milliseconds] \
                     [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
            ..DOC
        },
        handler: group::claim,
        ..STREAM
    },
    Command {
        name: "xautoclaim",
        arity: -6,
        flags: WRITE_FAST,
        keys: DELETES,
        tips: VARIES,
        doc: Doc {
            summary: "Gives those pending entries to another consumer that have been idle for some time.",
            since: "6.2.0",
            complexity: "O(N) in COUNT",
            syntax: "key group consumer min-idle-time start [COUNT count] [JUSTID]",
            ..DOC
        },
        handler: group::auto_claim,
        ..STREAM
    },
    Command {
        name: "xinfo",
        arity: -2,
        doc: Doc {
            summary: "Tells about streams, groups and consumers.",
            complexity: "Depends on the subcommand",
            ..DOC
        },
        subcommands: &[
            Command {
                name: "stream",
                arity: -3,
                flags: Flags::READONLY,
                keys: GROUP_READS,
                doc: Doc {
                    summary: "Tells about a stream, in full or in short.",
                    complexity: "O(N) in the number of nodes that hold the entries, and of what is answered in full",
                    syntax: "key [FULL [COUNT count]]",
                    ..DOC
                },
                handler: info::stream,
                ..STREAM
            },
            Command {
                name: "groups",
                arity: 3,
                flags: Flags::READONLY,
                keys: GROUP_READS,
                doc: Doc { summary: "Tells about the groups of a stream.", syntax: "key", ..DOC },
                handler: info::groups,
                ..STREAM
            },
            Command {
                name: "consumers",
                arity: 4,
                flags: Flags::READONLY,
                keys: GROUP_READS,
                tips: VARIES,
                doc: Doc { summary: "Tells about the consumers of a group.", syntax: "key group", ..DOC },
                handler: info::consumers,
                ..STREAM
            },
            Command {
                name: "help",
                arity: 2,
                flags: HELP,
                doc: Doc { summary: "Tells about the subcommands.", ..DOC },
                handler: |cx, args| cx.help(args, info::HELP),
                ..STREAM
            },
        ],
        ..Command::NONE
    },
];

const INVALID_ID: Error = Error::fixed("ERR Invalid stream ID specified as stream command argument");

/// An ID, whose sequence number may be missing.
fn id(text: &[u8], missing_seq: u64) -> Result<Id, Error> {
    Id::parse(text, missing_seq).ok_or(INVALID_ID)
}

/// An ID, or a sign for the least or the greatest.
fn id_or_end(text: &[u8], missing_seq: u64) -> Result<Id, Error> {
    match c_text(text) {
        b"-" => Ok(Id::MIN),
        b"+" => Ok(Id::MAX),
        _ => id(text, missing_seq),
    }
}

/// IDs from an argument on.
fn ids(args: &Args<'_>, from: usize) -> Result<Vec<Id>, Error> {
    args.iter_from(from).map(|text| id(text, 0)).collect()
}

/// Where an interval begins: at an ID, or behind it if there is a bracket.
fn start_of(text: &[u8]) -> Result<Id, Error> {
    match text {
        [b'(', text @ ..] if !text.is_empty() => {
            id(text, 0)?.next().ok_or(Error::fixed("ERR invalid start ID for the interval"))
        }
        _ => id_or_end(text, 0),
    }
}

/// Where an interval ends: at an ID, or before it if there is a bracket.
fn end_of(text: &[u8]) -> Result<Id, Error> {
    match text {
        [b'(', text @ ..] if !text.is_empty() => {
            id(text, u64::MAX)?.previous().ok_or(Error::fixed("ERR invalid end ID for the interval"))
        }
        _ => id_or_end(text, u64::MAX),
    }
}

/// The stream that a key holds, for a command that reads it.
fn look<'k>(keys: &'k mut Keyspace, db: usize, key: Key<'_>, touch: Touch) -> Result<Option<&'k Stream>, Error> {
    match keys.read(db, key, touch) {
        Some(entry) => entry.stream().map(Some).ok_or(Error::WRONG_TYPE),
        None => Ok(None),
    }
}

/// The stream that a value of this type is. One that has just been created becomes an empty stream.
fn stream_mut<'v>(value: &'v mut Value<'_>) -> &'v mut Stream {
    if value.object().is_none() {
        value.convert(Encoding::Stream, NewValue::Boxed(Box::new(Object::Stream(Box::default()))));
    }
    match value.object_mut() {
        Some(Object::Stream(stream)) => stream,
        _ => unreachable!("a value of type stream is one"),
    }
}

fn reply_id(reply: &mut Reply, id: Id) {
    reply.bulk(id.format(&mut [0; ID_TEXT_MAX]));
}

fn reply_element(reply: &mut Reply, element: Element<'_>) {
    match element {
        Element::Text(text) => reply.bulk(text),
        Element::Integer(number) => reply.bulk_integer(number),
    }
}

/// An entry: its ID, and its names and values in turn.
fn reply_entry(reply: &mut Reply, entry: &Entry<'_>) {
    reply.array(2);
    reply_id(reply, entry.id);
    reply.array(2 * entry.fields());
    for (name, value) in entry.pairs() {
        reply_element(reply, name);
        reply_element(reply, value);
    }
}

/// The entries of a range, but no more than `count`, which is 0 for all.
fn reply_range(reply: &mut Reply, log: &Log, (from, to): (Id, Id), count: u64, backwards: bool) {
    let entries = if backwards { log.range_backwards(from, to) } else { log.range(from, to) };
    let most = if count == 0 { usize::MAX } else { usize::try_from(count).unwrap_or(usize::MAX) };
    let entries = entries.take(most);
    if let Some(there) = log.count_in(from, to) {
        reply.array(most.min(there as usize));
        entries.for_each(|entry| reply_entry(reply, &entry));
        return;
    }
    let array = reply.deferred_array();
    let mut answered = 0;
    for entry in entries {
        reply_entry(reply, &entry);
        answered += 1;
    }
    reply.finish_array(array, answered);
}

/// When a node of a stream is full, by the settings.
fn limits(cx: &Ctx<'_>) -> Limits {
    let settings = &cx.server.settings;
    Limits { bytes: settings.stream_node_max_bytes, entries: settings.stream_node_max_entries }
}

/// The ID that a new entry is to have.
#[derive(Clone, Copy)]
enum NewId {
    /// The next one, by the time.
    Any,
    /// The next one at a time.
    At(u64),
    /// This one.
    This(Id),
}

/// What XADD and XTRIM have before the entry.
struct AddOptions {
    id: NewId,
    /// The position of the ID.
    id_at: usize,
    only_existing: bool,
    trim: Option<Trim>,
}

/// Reads the options of XADD, which end with an ID, or those of XTRIM.
fn add_options(cx: &Ctx<'_>, args: &Args<'_>, adds: bool) -> Result<AddOptions, Error> {
    let (mut keep, mut whole_nodes, mut limit) = (None, false, None);
    let mut options = AddOptions { id: NewId::Any, id_at: args.len(), only_existing: false, trim: None };
    let mut at = 2;
    while at < args.len() {
        let (word, more) = (&args[at], args.len() - 1 - at);
        let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
        if adds && word == b"*" {
            options.id_at = at;
            break;
        }
        if (is("MAXLEN") || is("MINID")) && more > 0 {
            if keep.is_some() {
                return Err(Error::fixed(
                    "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
                ));
            }
            whole_nodes = false;
            if more > 1 && matches!(&args[at + 1], b"~" | b"=") {
                whole_nodes = args[at + 1] == *b"~";
                at += 1;
            }
            at += 1;
            keep = Some(if is("MAXLEN") {
                let most = integer(&args[at])?;
                Keep::Last(u64::try_from(most).map_err(|_| Error::fixed("ERR The MAXLEN argument must be >= 0."))?)
            } else {
                Keep::From(id(&args[at], 0)?)
            });
        } else if is("LIMIT") && more > 0 {
            at += 1;
            let most = integer(&args[at])?;
            limit = Some(u64::try_from(most).map_err(|_| Error::fixed("ERR The LIMIT argument must be >= 0."))?);
        } else if adds && is("NOMKSTREAM") {
            options.only_existing = true;
        } else if adds {
            options.id = match Id::parse_ms_of_any(word) {
                Some(ms) => NewId::At(ms),
                None => NewId::This(id(word, 0)?),
            };
            options.id_at = at;
            break;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    if keep.is_none() && limit.is_some_and(|limit| limit > 0) {
        return Err(Error::fixed("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"));
    }
    if keep.is_none() && !adds {
        return Err(Error::fixed("ERR syntax error, XTRIM must be called with a trimming strategy"));
    }
    // Redis repeats a trim of whole nodes as an exact one, and leaves its limit there.
    if cx.is_repeated() {
        limit = Some(0);
    } else if limit.is_some() && !whole_nodes {
        return Err(Error::fixed("ERR syntax error, LIMIT cannot be used without the special ~ option"));
    }
    let limit = match limit {
        Some(limit) => limit,
        None if whole_nodes => usual_limit(cx.server.settings.stream_node_max_entries),
        None => 0,
    };
    options.trim = keep.map(|keep| Trim { keep, whole_nodes, limit });
    Ok(options)
}

/// How many entries a trim of whole nodes removes at most if nobody says: those of a hundred nodes, within reason.
fn usual_limit(node_entries: u64) -> u64 {
    match node_entries.saturating_mul(100) {
        0 => 10_000,
        limit => limit.min(1_000_000),
    }
}

fn xadd(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let options = add_options(cx, args, true)?;
    let fields_at = options.id_at + 1;
    if args.len() < fields_at + 2 || !(args.len() - fields_at).is_multiple_of(2) {
        return Err(wrong_arity(&cx.command.full_name));
    }
    if matches!(options.id, NewId::This(Id::MIN)) {
        return Err(Error::fixed("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let (limits, now_ms) = (limits(cx), cx.server.keys.now_ms());
    let key = cx.key(args, 1);
    let add = |value: &mut Value<'_>| {
        let log = &mut stream_mut(value).log;
        match add_entry(log, options.id, now_ms, limits, args, fields_at) {
            Ok(id) => {
                let trimmed = options.trim.map_or(0, |trim| log.trim(&trim));
                let kept = options.trim.map(|trim| repeatable(log, &trim));
                Changed { result: Ok((id, trimmed, kept)), changes: 1, empty: false }
            }
            Err(error) => Changed { result: Err(error), changes: 0, empty: false },
        }
    };
    let (keys, event) = (&mut cx.server.keys, Event("xadd"));
    let added = if options.only_existing {
        keys.change(cx.db, key, Type::Stream, event, add)?
    } else {
        Some(keys.change_or_create(cx.db, key, (Type::Stream, Encoding::Stream, &[]), event, add)?)
    };
    let Some(added) = added else {
        cx.reply.null();
        return Ok(());
    };
    let (id, trimmed, kept) = added?;
    if trimmed > 0 {
        keys.report(cx.db, key, Event::XTRIM);
    }
    reply_id(&mut cx.reply, id);
    let as_it_came = matches!(options.id, NewId::This(_)) && !options.trim.is_some_and(|trim| trim.whole_nodes);
    if cx.propagates() && !as_it_came {
        let (id, trim) = (id.to_vec(), kept.map(trim_words));
        let mut words: Vec<&[u8]> = vec![b"XADD", key.bytes];
        if let Some((strategy, threshold)) = &trim {
            words.extend([strategy.as_bytes(), b"=", threshold]);
        }
        words.push(&id);
        words.extend(args.iter_from(fields_at));
        cx.propagate(&words);
    }
    Ok(())
}

/// What a trim that has been done has kept, so that it can be repeated exactly where nodes are others.
fn repeatable(log: &Log, trim: &Trim) -> Keep {
    match trim.keep {
        keep if !trim.whole_nodes => keep,
        Keep::Last(_) => Keep::Last(log.len()),
        Keep::From(_) => Keep::From(log.first_kept_id().unwrap_or(Id::MAX)),
    }
}

/// The option that says what to keep, and its argument.
fn trim_words(keep: Keep) -> (&'static str, Vec<u8>) {
    match keep {
        Keep::Last(count) => ("MAXLEN", itoa::Buffer::new().format(count).as_bytes().to_vec()),
        Keep::From(id) => ("MINID", id.to_vec()),
    }
}

/// Adds the entry whose names and values are the arguments from a position on.
fn add_entry(
    log: &mut Log,
    wanted: NewId,
    now_ms: u64,
    limits: Limits,
    args: &Args<'_>,
    fields_at: usize,
) -> Result<Id, Error> {
    if log.last_id() == Id::MAX {
        return Err(Error::fixed("ERR The stream has exhausted the last possible ID, unable to add more items"));
    }
    let id = match wanted {
        NewId::Any => log.next_id(now_ms),
        NewId::At(ms) => log.next_id_at(ms),
        NewId::This(id) => Some(id),
    };
    let id = id
        .filter(|&id| id > log.last_id())
        .ok_or(Error::fixed("ERR The ID specified in XADD is equal or smaller than the target stream top item"))?;
    let added = log.append(id, args.iter_from(fields_at), limits);
    added.map_err(|_| Error::fixed("ERR Elements are too large to be stored"))?;
    Ok(id)
}

fn xlen(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let stream = look(&mut cx.server.keys, cx.db, key, cx.touch)?;
    cx.reply.count(stream.map_or(0, |stream| stream.log.len() as usize));
    Ok(())
}

fn range(cx: &mut Ctx<'_>, args: &mut Args<'_>, backwards: bool) -> Outcome {
    let (start_at, end_at) = if backwards { (3, 2) } else { (2, 3) };
    let range = (start_of(&args[start_at])?, end_of(&args[end_at])?);
    let mut count = None;
    let mut at = 4;
    while at < args.len() {
        if !args[at].eq_ignore_ascii_case(b"COUNT") || at + 1 == args.len() {
            return Err(Error::SYNTAX);
        }
        count = Some(u64::try_from(integer(&args[at + 1])?).unwrap_or(0));
        at += 2;
    }
    let key = cx.key(args, 1);
    match (look(&mut cx.server.keys, cx.db, key, cx.touch)?, count) {
        (None, _) => cx.reply.array(0),
        (Some(_), Some(0)) => cx.reply.null_array(),
        (Some(stream), count) => reply_range(&mut cx.reply, &stream.log, range, count.unwrap_or(0), backwards),
    }
    Ok(())
}

fn xdel(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    let deleted = cx.server.keys.change(cx.db, key, Type::Stream, Event::XDEL, |value| match ids(args, 2) {
        Ok(ids) => {
            let deleted = stream_mut(value).log.delete(&ids);
            Changed { result: Ok(deleted), changes: deleted as u64, empty: false }
        }
        Err(error) => Changed { result: Err(error), changes: 0, empty: false },
    })?;
    cx.reply.count(deleted.unwrap_or(Ok(0))?);
    Ok(())
}

fn xtrim(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let Some(trim) = add_options(cx, args, false)?.trim else { return Err(Error::SYNTAX) };
    let key = cx.key(args, 1);
    let removed = cx.server.keys.change(cx.db, key, Type::Stream, Event::XTRIM, |value| {
        let log = &mut stream_mut(value).log;
        let removed = log.trim(&trim);
        Changed { result: (removed, repeatable(log, &trim)), changes: removed, empty: false }
    })?;
    cx.reply.count(removed.map_or(0, |(removed, _)| removed as usize));
    if let Some((1.., kept)) = removed.filter(|_| trim.whole_nodes && cx.propagates()) {
        let (strategy, threshold) = trim_words(kept);
        cx.propagate(&[b"XTRIM", key.bytes, strategy.as_bytes(), b"=", &threshold]);
    }
    Ok(())
}

fn xsetid(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let last_id = id(&args[2], 0)?;
    let (mut entries_added, mut max_deleted_id) = (None, Id::MIN);
    let mut at = 3;
    while at < args.len() {
        let value = args.get(at + 1).ok_or(Error::SYNTAX)?;
        if args[at].eq_ignore_ascii_case(b"ENTRIESADDED") {
            let added = u64::try_from(integer(value)?);
            entries_added = Some(added.map_err(|_| Error::fixed("ERR entries_added must be positive"))?);
        } else if args[at].eq_ignore_ascii_case(b"MAXDELETEDID") {
            max_deleted_id = id(value, 0)?;
            if last_id < max_deleted_id {
                return Err(Error::fixed(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(Error::SYNTAX);
        }
        at += 2;
    }
    let key = cx.key(args, 1);
    let set = cx.server.keys.change_within(cx.db, key, Type::Stream, |value| {
        let log = &mut stream_mut(value).log;
        let refusal = refusal_of_counters(log, last_id, entries_added);
        if refusal.is_none() {
            let old = log.counters();
            log.set_counters(Counters {
                last_id,
                max_deleted_id: if max_deleted_id == Id::MIN { old.max_deleted_id } else { max_deleted_id },
                entries_added: entries_added.unwrap_or(old.entries_added),
            });
        }
        Changed { changes: u64::from(refusal.is_none()), result: refusal, empty: false }
    })?;
    if let Some(refusal) = set.ok_or(Error::NO_SUCH_KEY)? {
        return Err(refusal);
    }
    cx.server.keys.report(cx.db, key, Event("xsetid"));
    cx.reply.ok();
    Ok(())
}

/// Why a stream may not be given these numbers, if so.
fn refusal_of_counters(log: &Log, last_id: Id, entries_added: Option<u64>) -> Option<Error> {
    if last_id < log.counters().max_deleted_id {
        return Some(Error::fixed("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"));
    }
    if log.last_entry_id().is_some_and(|last| last_id < last) {
        return Some(Error::fixed("ERR The ID specified in XSETID is smaller than the target stream top item"));
    }
    if entries_added.is_some_and(|added| added < log.len()) {
        return Some(Error::fixed(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    None
}
