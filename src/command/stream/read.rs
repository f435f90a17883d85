//! XREAD and XREADGROUP: entries of several streams at once, now or as soon as there is one.

use std::ops::Range;

use super::outcome::GroupOutcome;
use super::{id, look, reply_entry, reply_id, reply_range, stream_mut};
use crate::command::blocking::Wait;
use crate::command::error::{Error, Outcome};
use crate::command::string::integer;
use crate::command::{Ctx, shown};
use crate::effects::Event;
use crate::keyspace::Key;
use crate::keyspace::entry::Type;
use crate::keyspace::value::Changed;
use crate::resp::{Args, Deferred, KeptArgs, Proto, Reply};
use crate::types::number::c_text;
use crate::types::stream::{ConsumerKey, Group, Id, Log};

/// What is wanted of a stream.
#[derive(Clone, Copy)]
enum From {
    /// What is behind an ID: of the entries, or, in a group, of those that the consumer has pending.
    Behind(Id),
    /// What nobody in the group has been given.
    New,
}

/// What XREAD and XREADGROUP have before the streams.
struct Request<'a> {
    /// 0 for all.
    count: u64,
    /// Until when to wait, if at all.
    wait: Option<Option<u64>>,
    group: Option<Reader<'a>>,
    /// The positions of the keys; as many IDs follow.
    keys: Range<usize>,
}

/// Who reads for a group.
#[derive(Clone, Copy)]
struct Reader<'a> {
    group: &'a [u8],
    consumer: &'a [u8],
    /// What is delivered does not become pending.
    no_ack: bool,
}

/// Whether the words of an XREAD are in place, whatever their values: if not, none of its keys has been read.
pub fn is_in_order(args: &Args<'_>) -> bool {
    let mut at = 1;
    while let Some(word) = args.get(at) {
        let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
        if is("STREAMS") {
            return (args.len() - at) % 2 == 1;
        }
        at += if is("BLOCK") || is("COUNT") {
            2
        } else if is("GROUP") {
            3
        } else if is("NOACK") {
            1
        } else {
            return false;
        };
    }
    false
}

fn request<'a>(cx: &Ctx<'_>, args: &'a Args<'_>, in_group: bool) -> Result<Request<'a>, Error> {
    let (mut count, mut wait, mut group, mut no_ack, mut keys) = (0, None, None, false, None);
    let mut at = 1;
    while at < args.len() && keys.is_none() {
        let (word, more) = (&args[at], args.len() - 1 - at);
        let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
        if is("BLOCK") && more > 0 {
            wait = Some(cx.deadline_in_ms(&args[at + 1])?);
            at += 1;
        } else if is("COUNT") && more > 0 {
            count = u64::try_from(integer(&args[at + 1])?).unwrap_or(0);
            at += 1;
        } else if is("STREAMS") && more > 0 {
            if more % 2 != 0 {
                let symbol = if in_group { '>' } else { '$' };
                return Err(Error::new(format!(
                    "ERR Unbalanced '{}' list of streams: for each stream key an ID or '{symbol}' must be specified.",
                    cx.command.full_name
                )));
            }
            keys = Some(at + 1..at + 1 + more / 2);
        } else if is("GROUP") && more > 1 {
            if !in_group {
                return Err(Error::fixed(
                    "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
                ));
            }
            group = Some((&args[at + 1], &args[at + 2]));
            at += 2;
        } else if is("NOACK") {
            if !in_group {
                return Err(Error::fixed(
                    "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
                ));
            }
            no_ack = true;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    let keys = keys.ok_or(Error::SYNTAX)?;
    if in_group && group.is_none() {
        return Err(Error::fixed("ERR Missing GROUP option for XREADGROUP"));
    }
    let group = group.map(|(group, consumer)| Reader { group, consumer, no_ack });
    Ok(Request { count, wait, group, keys })
}

/// What is wanted of the stream at a key, which may not be there.
fn wanted(cx: &mut Ctx<'_>, key: Key<'_>, text: &[u8], reader: Option<Reader<'_>>) -> Result<From, Error> {
    let stream = look(&mut cx.server.keys, cx.db, key, cx.touch)?;
    if let Some(reader) = reader {
        if stream.is_none_or(|stream| !stream.groups.contains_key(reader.group)) {
            return Err(no_group(key.bytes, reader.group, " in XREADGROUP with GROUP option"));
        }
        let meaningless = match c_text(text) {
            b"$" => '$',
            b"+" => '+',
            b">" => return Ok(From::New),
            _ => {
                let behind = id(text, 0)?;
                // This is how Redis writes `>` to itself.
                return Ok(if behind == Id::MAX { From::New } else { From::Behind(behind) });
            }
        };
        return Err(Error::new(format!(
            "ERR The {meaningless} ID is meaningless in the context of XREADGROUP: you want to read the history of this \
             consumer by specifying a proper ID, or use the > ID to get new messages. The {meaningless} ID would just \
             return an empty result set."
        )));
    }
    let last_id = stream.map(|stream| stream.log.last_id());
    Ok(From::Behind(match c_text(text) {
        b"$" => last_id.unwrap_or(Id::MIN),
        b"+" => match last_id {
            Some(last) => last.previous().ok_or(Error::fixed("ERR the stream last element ID is 0-0"))?,
            None => Id::MIN,
        },
        b">" => {
            return Err(Error::fixed(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
            ));
        }
        _ => id(text, 0)?,
    }))
}

/// "There is no such group", or no such key.
pub fn no_group(key: &[u8], group: &[u8], where_: &str) -> Error {
    let text = [
        b"NOGROUP No such key '",
        shown(key, usize::MAX),
        b"' or consumer group '",
        shown(group, usize::MAX),
        b"'",
        where_.as_bytes(),
    ];
    Error::new(text.concat())
}

/// A reply of several streams, which gets its head when it is known how many there are.
struct Streams {
    array: Deferred,
    len: usize,
}

impl Streams {
    fn begin(reply: &mut Reply) -> Streams {
        Streams { array: reply.deferred_array(), len: 0 }
    }

    /// The next stream's key. Its entries follow.
    fn key(&mut self, reply: &mut Reply, key: &[u8]) {
        if reply.proto == Proto::Resp2 {
            reply.array(2);
        }
        reply.bulk(key);
        self.len += 1;
    }

    fn finish(self, reply: &mut Reply) {
        match reply.proto {
            Proto::Resp2 => reply.finish_array(self.array, self.len),
            Proto::Resp3 => reply.finish_map(self.array, self.len),
        }
    }
}

pub fn read(cx: &mut Ctx<'_>, args: &mut Args<'_>, in_group: bool) -> Outcome {
    let request = request(cx, args, in_group)?;
    let (first, number) = (request.keys.start, request.keys.len());
    let mut from = Vec::with_capacity(number);
    for at in request.keys.clone() {
        let key = cx.key(args, at);
        from.push(wanted(cx, key, &args[at + number], request.group)?);
    }
    if in_group {
        // Piece by piece, if at all.
        cx.propagate_nothing();
    }
    let mut streams = Streams::begin(&mut cx.reply);
    for (nth, &from) in from.iter().enumerate() {
        let key = cx.key(args, first + nth);
        match (request.group, from) {
            (Some(reader), from) => read_for_group(cx, key, reader, from, request.count, &mut streams)?,
            (None, From::Behind(behind)) => read_behind(cx, key, behind, request.count, &mut streams),
            (None, From::New) => {}
        }
    }
    if streams.len > 0 {
        streams.finish(&mut cx.reply);
        return Ok(());
    }
    let Some(deadline_ms) = request.wait else {
        cx.reply.null_array();
        return Ok(());
    };
    let wait = Wait {
        keys: request.keys.clone(),
        kind: Type::Stream,
        // A group goes with its stream.
        until_gone: in_group,
        deadline_ms,
        instead: with_last_ids(args, &request.keys, &from),
    };
    cx.wait_for(args, wait, |cx| cx.reply.null_array())
}

/// The command with the ID that it means now for every `$`: when the command runs again it would mean another. `None` if there is
/// none.
fn with_last_ids(args: &Args<'_>, keys: &Range<usize>, from: &[From]) -> Option<KeptArgs> {
    let last = |at: usize| {
        let behind = from.get(at.checked_sub(keys.end)?)?;
        match behind {
            From::Behind(behind) if c_text(&args[at]) == b"$" => Some(behind.to_vec()),
            _ => None,
        }
    };
    let ids: Vec<_> = (0..args.len()).map(last).collect();
    if ids.iter().all(Option::is_none) {
        return None;
    }
    let mut kept = KeptArgs::of(ids.iter().enumerate().map(|(at, id)| id.as_deref().unwrap_or(&args[at])));
    ids.iter().enumerate().filter(|(_, id)| id.is_some()).for_each(|(at, _)| kept.stands_for(at, &args[at]));
    Some(kept)
}

fn read_behind(cx: &mut Ctx<'_>, key: Key<'_>, behind: Id, count: u64, streams: &mut Streams) {
    // As in Redis, this is another use of the key, or another miss, beside the one that told what is wanted.
    let Some(stream) = cx.server.keys.read(cx.db, key, cx.touch).and_then(|entry| entry.stream()) else { return };
    let Some(from) = behind.next() else { return };
    if stream.log.last_entry_id().is_some_and(|last| last > behind) {
        streams.key(&mut cx.reply, key.bytes);
        reply_range(&mut cx.reply, &stream.log, (from, Id::MAX), count, false);
    }
}

fn read_for_group(
    cx: &mut Ctx<'_>,
    key: Key<'_>,
    reader: Reader<'_>,
    from: From,
    count: u64,
    streams: &mut Streams,
) -> Outcome {
    let now_ms = cx.server.keys.now_ms() as i64;
    let mut outcome = GroupOutcome::begin(cx);
    let reply = &mut cx.reply;
    let outcome = cx.server.keys.change_within(cx.db, key, Type::Stream, |value| {
        let stream = stream_mut(value);
        let Some(group) = stream.groups.get_mut(reader.group) else {
            return Changed { result: outcome, changes: 0, empty: false };
        };
        let (consumer, made) = group.consumer_named(reader.consumer, now_ms);
        outcome.new_consumer = made;
        outcome.changes = u64::from(made);
        match from {
            From::Behind(behind) => {
                streams.key(reply, key.bytes);
                reply_pending(reply, &stream.log, group, consumer, behind, count, now_ms);
            }
            From::New if stream.log.last_entry_id().is_some_and(|last| last > group.last_id) => {
                streams.key(reply, key.bytes);
                let consumer = (!reader.no_ack).then_some(consumer);
                deliver_new(reply, &stream.log, group, consumer, count, now_ms, &mut outcome);
                outcome.changes += 1;
            }
            From::New => {}
        }
        outcome.end(group);
        Changed { changes: outcome.changes, result: outcome, empty: false }
    })?;
    if let Some(outcome) = outcome {
        if outcome.new_consumer {
            cx.server.keys.report(cx.db, key, Event("xgroup-createconsumer"));
        }
        outcome.propagate(cx, key.bytes, reader.group, reader.consumer);
    }
    Ok(())
}

/// Delivers what nobody in a group has been given; it becomes pending for a consumer, if there is one.
fn deliver_new(
    reply: &mut Reply,
    log: &Log,
    group: &mut Group,
    consumer: Option<ConsumerKey>,
    count: u64,
    now_ms: i64,
    outcome: &mut GroupOutcome,
) {
    let Some(from) = group.last_id.next() else { return reply.array(0) };
    outcome.read_on();
    let (array, mut answered) = (reply.deferred_array(), 0);
    for entry in log.range(from, Id::MAX) {
        group.advance(log, entry.id);
        reply_entry(reply, &entry);
        if let Some(consumer) = consumer {
            let pending = group.deliver(entry.id, consumer, now_ms);
            outcome.claimed(entry.id, &pending);
        }
        answered += 1;
        if answered as u64 == count {
            break;
        }
    }
    reply.finish_array(array, answered);
}

/// What a consumer has pending behind an ID, which is thereby delivered again. An entry that has been deleted meanwhile has
/// nothing but its ID.
fn reply_pending(
    reply: &mut Reply,
    log: &Log,
    group: &mut Group,
    consumer: ConsumerKey,
    behind: Id,
    count: u64,
    now_ms: i64,
) {
    let Some(from) = behind.next() else { return reply.array(0) };
    let most = if count == 0 { usize::MAX } else { usize::try_from(count).unwrap_or(usize::MAX) };
    let pending: Vec<Id> = group.consumer(consumer).pending_from(from).take(most).collect();
    reply.array(pending.len());
    for id in pending {
        match log.entry(id) {
            Some(entry) => {
                reply_entry(reply, &entry);
                group.redeliver(id, now_ms);
            }
            None => {
                reply.array(2);
                reply_id(reply, id);
                reply.null_array();
            }
        }
    }
}
