//! XINFO: what streams, groups and consumers are like.

use super::group::no_group_of;
use super::{Id, integer, look, reply_entry, reply_id, reply_range};
use crate::command::error::{Error, Outcome};
use crate::command::{Ctx, shown};
use crate::keyspace::{Key, Keyspace, Touch};
use crate::resp::{Args, Reply};
use crate::types::stream::{Consumer, Group, Stream};

pub const HELP: &[&str] = &[
    "CONSUMERS <key> <groupname>",
    "    Tells about the consumers of a group.",
    "GROUPS <key>",
    "    Tells about the groups of a stream.",
    "STREAM <key> [FULL [COUNT <count>]",
    "    Tells about a stream.",
];

/// Entries, and pending entries of each group and consumer, that are answered in full unless it is said how many.
const USUAL_COUNT: u64 = 10;

/// The stream at the key that XINFO names.
fn stream_of<'s>(keys: &'s mut Keyspace, db: usize, key: Key<'_>, touch: Touch) -> Result<&'s Stream, Error> {
    look(keys, db, key, touch)?.ok_or(Error::NO_SUCH_KEY)
}

pub fn stream(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 2);
    let stream = stream_of(&mut cx.server.keys, cx.db, key, cx.touch)?;
    let reply = &mut cx.reply;
    match full_count(args)? {
        None => {
            reply.map(10);
            numbers(reply, stream);
            reply.bulk(b"groups");
            reply.count(stream.groups.len());
            let (first, last) = (stream.log.range(Id::MIN, Id::MAX), stream.log.range_backwards(Id::MIN, Id::MAX));
            for (name, mut entries) in [("first-entry", first), ("last-entry", last)] {
                reply.bulk(name.as_bytes());
                match entries.next() {
                    Some(entry) => reply_entry(reply, &entry),
                    None => reply.null(),
                }
            }
        }
        Some(count) => {
            reply.map(9);
            numbers(reply, stream);
            reply.bulk(b"entries");
            reply_range(reply, &stream.log, (Id::MIN, Id::MAX), count, false);
            reply.bulk(b"groups");
            reply.array(stream.groups.len());
            for (name, group) in &stream.groups {
                full_group(reply, stream, name, group, count);
            }
        }
    }
    Ok(())
}

/// How much is to be answered in full, 0 for everything; `None` if it is to be in short.
fn full_count(args: &Args<'_>) -> Result<Option<u64>, Error> {
    let is = |at: usize, word: &str| args[at].eq_ignore_ascii_case(word.as_bytes());
    match args.len() {
        3 => Ok(None),
        4 if is(3, "FULL") => Ok(Some(USUAL_COUNT)),
        6 if is(3, "FULL") && is(4, "COUNT") => Ok(Some(u64::try_from(integer(&args[5])?).unwrap_or(USUAL_COUNT))),
        _ => Err(Error::new(
            [b"ERR unknown subcommand or wrong number of arguments for '", shown(&args[1], 128), b"'. Try XINFO HELP."]
                .concat(),
        )),
    }
}

/// What both forms begin with.
fn numbers(reply: &mut Reply, stream: &Stream) {
    let (log, counters) = (&stream.log, stream.log.counters());
    let count = |reply: &mut Reply, name: &str, number: u64| {
        reply.bulk(name.as_bytes());
        reply.integer(number as i64);
    };
    let id = |reply: &mut Reply, name: &str, id: Id| {
        reply.bulk(name.as_bytes());
        reply_id(reply, id);
    };
    count(reply, "length", log.len());
    count(reply, "radix-tree-keys", log.node_count() as u64);
    count(reply, "radix-tree-nodes", log.radix_nodes() as u64);
    id(reply, "last-generated-id", counters.last_id);
    id(reply, "max-deleted-entry-id", counters.max_deleted_id);
    count(reply, "entries-added", counters.entries_added);
    id(reply, "recorded-first-entry-id", log.first_id());
}

fn integer_or_null(reply: &mut Reply, number: Option<i64>) {
    match number {
        Some(number) => reply.integer(number),
        None => reply.null(),
    }
}

/// How far a group has read.
fn progress(reply: &mut Reply, stream: &Stream, group: &Group) {
    reply.bulk(b"last-delivered-id");
    reply_id(reply, group.last_id);
    reply.bulk(b"entries-read");
    integer_or_null(reply, group.entries_read);
    reply.bulk(b"lag");
    integer_or_null(reply, group.lag(&stream.log));
}

fn full_group(reply: &mut Reply, stream: &Stream, name: &[u8], group: &Group, count: u64) {
    let most = if count == 0 { usize::MAX } else { usize::try_from(count).unwrap_or(usize::MAX) };
    reply.map(7);
    reply.bulk(b"name");
    reply.bulk(name);
    progress(reply, stream, group);
    reply.bulk(b"pel-count");
    reply.count(group.pending_len());
    reply.bulk(b"pending");
    reply.array(most.min(group.pending_len()));
    for (id, pending) in group.pending_from(Id::MIN).take(most) {
        reply.array(4);
        reply_id(reply, id);
        reply.bulk(group.consumer(pending.consumer).name());
        reply.integer(pending.delivered_ms);
        reply.integer(pending.deliveries as i64);
    }
    reply.bulk(b"consumers");
    reply.array(group.consumers_len());
    for consumer in group.consumers() {
        full_consumer(reply, group, consumer, most);
    }
}

fn full_consumer(reply: &mut Reply, group: &Group, consumer: &Consumer, most: usize) {
    reply.map(5);
    reply.bulk(b"name");
    reply.bulk(consumer.name());
    reply.bulk(b"seen-time");
    reply.integer(consumer.seen_ms);
    reply.bulk(b"active-time");
    reply.integer(consumer.active_ms.unwrap_or(-1));
    reply.bulk(b"pel-count");
    reply.count(consumer.pending_len());
    reply.bulk(b"pending");
    reply.array(most.min(consumer.pending_len()));
    for id in consumer.pending_from(Id::MIN).take(most) {
        let pending = group.pending(id);
        reply.array(3);
        reply_id(reply, id);
        reply.integer(pending.map_or(0, |pending| pending.delivered_ms));
        reply.integer(pending.map_or(0, |pending| pending.deliveries as i64));
    }
}

pub fn groups(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 2);
    let stream = stream_of(&mut cx.server.keys, cx.db, key, cx.touch)?;
    let reply = &mut cx.reply;
    reply.array(stream.groups.len());
    for (name, group) in &stream.groups {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(name);
        reply.bulk(b"consumers");
        reply.count(group.consumers_len());
        reply.bulk(b"pending");
        reply.count(group.pending_len());
        progress(reply, stream, group);
    }
    Ok(())
}

pub fn consumers(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.now_ms() as i64;
    let key = cx.key(args, 2);
    let stream = stream_of(&mut cx.server.keys, cx.db, key, cx.touch)?;
    let group = stream.groups.get(&args[3]).ok_or_else(|| no_group_of(&args[3], key.bytes))?;
    let reply = &mut cx.reply;
    reply.array(group.consumers_len());
    for consumer in group.consumers() {
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(consumer.name());
        reply.bulk(b"pending");
        reply.count(consumer.pending_len());
        reply.bulk(b"idle");
        reply.integer(now_ms.wrapping_sub(consumer.seen_ms).max(0));
        reply.bulk(b"inactive");
        reply.integer(consumer.active_ms.map_or(-1, |active_ms| now_ms.wrapping_sub(active_ms)));
    }
    Ok(())
}
