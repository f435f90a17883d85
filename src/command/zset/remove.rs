//! Taking members out of sorted sets: ZREM, the ZREMRANGE commands, and those that pop, of which some wait.

use super::entry_reply;
use super::range::{By, Span};
use crate::command::Ctx;
use crate::command::error::{Error, Outcome};
use crate::effects::Event;
use crate::keyspace::Key;
use crate::keyspace::entry::Type;
use crate::keyspace::value::Changed;
use crate::resp::{Args, Proto, Reply};
use crate::types::number::parse_i64;
use crate::types::zset::{self, ZsetMut};

pub(super) fn zrem(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
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

pub(super) fn remove_range(cx: &mut Ctx<'_>, args: &Args<'_>, by: By, event: Event) -> Outcome {
    let span = Span::parse(by, &args[2], &args[3])?;
    let key = cx.key(args, 1);
    let removed = cx.server.keys.change(cx.db, key, Type::Zset, event, |value| {
        let ranks = span.ranks(value.zset(), false, usize::MAX);
        let removed = ranks.len();
        zset::remove_ranks(value, ranks);
        Changed { result: removed, changes: removed as u64, empty: value.zset().is_empty() }
    })?;
    cx.reply.count(removed.unwrap_or(0));
    Ok(())
}

/// Which members are taken out.
#[derive(Clone, Copy)]
pub(super) enum End {
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

pub(super) fn pop(cx: &mut Ctx<'_>, args: &Args<'_>, end: End) -> Outcome {
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
pub(super) fn waiting_pop(cx: &mut Ctx<'_>, args: &mut Args<'_>, end: End) -> Outcome {
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
pub(super) fn take_from_any(cx: &mut Ctx<'_>, args: &mut Args<'_>, number: usize, waits: bool) -> Outcome {
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
