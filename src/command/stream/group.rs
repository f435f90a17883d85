//! Consumer groups: making them, and what becomes of entries that were delivered.

use super::outcome::GroupOutcome;
use super::read::no_group;
use super::{Event, Id, Type, end_of, id, id_or_end, ids, integer, look, reply_entry, reply_id, start_of, stream_mut};
use crate::command::error::{Error, Outcome};
use crate::command::{Ctx, shown};
use crate::keyspace::Key;
use crate::keyspace::entry::{Encoding, Object};
use crate::keyspace::value::Changed;
use crate::resp::{Args, Reply};
use crate::types::number::c_text;
use crate::types::stream::{ConsumerKey, Group, Log, Pending, Stream};

pub const HELP: &[&str] = &[
    "CREATE <key> <groupname> <id|$> [option]",
    "    Makes a group that begins to read behind an ID, or behind the last entry. Options are:",
    "    * MKSTREAM",
    "      Makes an empty stream if there is none.",
    "    * ENTRIESREAD entries_read",
    "      How many entries the group has read already.",
    "CREATECONSUMER <key> <groupname> <consumer>",
    "    Adds a consumer to a group.",
    "DELCONSUMER <key> <groupname> <consumer>",
    "    Removes a consumer from a group.",
    "DESTROY <key> <groupname>",
    "    Removes a group.",
    "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
    "    Sets the ID behind which a group reads on, and how many entries it has read.",
];

/// What XGROUP says of a number of arguments that no form of it has.
fn no_such_form(args: &Args<'_>) -> Error {
    let container = args[0].to_ascii_uppercase();
    let text = [
        b"ERR unknown subcommand or wrong number of arguments for '",
        shown(&args[1], 128),
        b"'. Try ",
        &container,
        b" HELP.",
    ];
    Error::new(text.concat())
}

/// What comes behind the ID in XGROUP CREATE and SETID.
struct GroupOptions {
    make_stream: bool,
    entries_read: Option<i64>,
}

fn group_options(args: &Args<'_>, creates: bool) -> Result<GroupOptions, Error> {
    let mut options = GroupOptions { make_stream: false, entries_read: None };
    let mut at = 5;
    while at < args.len() {
        if creates && args[at].eq_ignore_ascii_case(b"MKSTREAM") {
            options.make_stream = true;
            at += 1;
        } else if args[at].eq_ignore_ascii_case(b"ENTRIESREAD") && at + 1 < args.len() {
            options.entries_read = match integer(&args[at + 1])? {
                -1 => None,
                read @ 0.. => Some(read),
                _ => return Err(Error::fixed("ERR value for ENTRIESREAD must be positive or -1")),
            };
            at += 2;
        } else {
            return Err(no_such_form(args));
        }
    }
    Ok(options)
}

const NO_STREAM: Error = Error::fixed(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to \
     create an empty stream automatically.",
);

/// "There is no such group" in a stream that is there.
pub fn no_group_of(group: &[u8], key: &[u8]) -> Error {
    let text = [
        b"NOGROUP No such consumer group '",
        shown(group, usize::MAX),
        b"' for key name '",
        shown(key, usize::MAX),
        b"'",
    ];
    Error::new(text.concat())
}

/// Changes a stream that must be there, in what is beside its entries, and reports an event if that was a change.
fn change<R>(
    cx: &mut Ctx<'_>,
    key: Key<'_>,
    event: &'static str,
    change: impl FnOnce(&mut Stream) -> Result<(R, bool), Error>,
) -> Result<R, Error> {
    let changed = cx.server.keys.change_within(cx.db, key, Type::Stream, |value| {
        let result = change(stream_mut(value));
        let changes = u64::from(matches!(result, Ok((_, true))));
        Changed { result, changes, empty: false }
    })?;
    let (result, reported) = changed.ok_or(NO_STREAM)??;
    if reported {
        cx.server.keys.report(cx.db, key, Event(event));
    }
    Ok(result)
}

/// As [`change`], for a group that must be there.
fn change_group<R>(
    cx: &mut Ctx<'_>,
    args: &Args<'_>,
    event: &'static str,
    within: impl FnOnce(&Log, &mut Group) -> Result<(R, bool), Error>,
) -> Result<R, Error> {
    let key = cx.key(args, 2);
    change(cx, key, event, |stream| match stream.groups.get_mut(&args[3]) {
        Some(group) => within(&stream.log, group),
        None => Err(no_group_of(&args[3], key.bytes)),
    })
}

pub fn create(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let options = group_options(args, true)?;
    let key = cx.key(args, 2);
    let missing = match cx.server.keys.peek(cx.db, key) {
        Some(entry) if entry.kind() != Type::Stream => return Err(Error::WRONG_TYPE),
        Some(_) => false,
        None => true,
    };
    if missing && !options.make_stream {
        return Err(NO_STREAM);
    }
    if args.len() > 8 {
        return Err(no_such_form(args));
    }
    let add = |stream: &mut Stream| {
        let last_id = match c_text(&args[4]) {
            b"$" => stream.log.last_id(),
            text => id(text, 0)?,
        };
        if stream.groups.contains_key(&args[3]) {
            return Err(Error::fixed("BUSYGROUP Consumer Group name already exists"));
        }
        stream.groups.insert(args[3].into(), Box::new(Group::new(last_id, options.entries_read)));
        Ok(((), true))
    };
    if missing {
        // The stream is new, and that is a change of the key.
        let event = Event("xgroup-create");
        let fresh = (Type::Stream, Encoding::Stream, &[][..]);
        cx.server.keys.change_or_create(cx.db, key, fresh, event, |value| {
            let result = add(stream_mut(value));
            Changed { changes: u64::from(result.is_ok()), result, empty: false }
        })??;
    } else {
        change(cx, key, "xgroup-create", add)?;
    }
    cx.reply.ok();
    Ok(())
}

pub fn set_id(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let options = group_options(args, false)?;
    let form = args.len() == 5 || args.len() == 7;
    change_group(cx, args, "xgroup-setid", |log, group| {
        if !form {
            return Err(no_such_form(args));
        }
        group.last_id = match c_text(&args[4]) {
            b"$" => log.last_id(),
            text => id_or_end(text, 0)?,
        };
        group.entries_read = options.entries_read;
        Ok(((), true))
    })?;
    cx.reply.ok();
    Ok(())
}

pub fn destroy(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 2);
    let (found, group) = change(cx, key, "xgroup-destroy", |stream| {
        let (found, group) = stream.destroy_group(&args[3]);
        Ok(((found, group), found))
    })?;
    cx.reply.integer(i64::from(found));
    if found {
        // Who waits for the group waits for nothing now.
        cx.server.keys.wake(cx.db, key);
    }
    if let Some(group) = group {
        let mut rest = Box::<Stream>::default();
        rest.groups.insert(Box::default(), group);
        cx.server.keys.free_later(Object::Stream(rest));
    }
    Ok(())
}

pub fn create_consumer(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = now(cx);
    let made = change_group(cx, args, "xgroup-createconsumer", |_, group| {
        let made = group.add_consumer(&args[4], now_ms).is_some();
        Ok((made, made))
    })?;
    cx.reply.integer(i64::from(made));
    Ok(())
}

pub fn delete_consumer(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let pending = change_group(cx, args, "xgroup-delconsumer", |_, group| {
        let pending = group.remove_consumer(&args[4]);
        Ok((pending.unwrap_or(0), pending.is_some()))
    })?;
    cx.reply.count(pending);
    Ok(())
}

fn now(cx: &Ctx<'_>) -> i64 {
    cx.server.keys.now_ms() as i64
}

pub fn ack(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    cx.server.keys.read(cx.db, key, cx.touch);
    let acknowledged = cx.server.keys.change_within(cx.db, key, Type::Stream, |value| {
        let acknowledge = |group: &mut Group| -> Result<usize, Error> {
            let ids = ids(args, 3)?;
            Ok(ids.into_iter().filter(|&id| group.acknowledge(id)).count())
        };
        let result = stream_mut(value).groups.get_mut(&args[2]).map_or(Ok(0), |group| acknowledge(group));
        Changed { changes: *result.as_ref().unwrap_or(&0) as u64, result, empty: false }
    })?;
    cx.reply.count(acknowledged.unwrap_or(Ok(0))?);
    Ok(())
}

/// Which pending entries XPENDING is to answer.
struct Wanted<'a> {
    min_idle_ms: i64,
    from: Id,
    to: Id,
    count: u64,
    consumer: Option<&'a [u8]>,
}

fn wanted<'a>(args: &'a Args<'_>) -> Result<Option<Wanted<'a>>, Error> {
    match args.len() {
        3 => return Ok(None),
        6..=9 => {}
        _ => return Err(Error::SYNTAX),
    }
    let (mut at, mut min_idle_ms) = (3, 0);
    if args[3].eq_ignore_ascii_case(b"IDLE") {
        min_idle_ms = integer(&args[4])?;
        if args.len() < 8 {
            return Err(Error::SYNTAX);
        }
        at = 5;
    }
    let count = u64::try_from(integer(&args[at + 2])?).unwrap_or(0);
    let (from, to) = (start_of(&args[at])?, end_of(&args[at + 1])?);
    Ok(Some(Wanted { min_idle_ms, from, to, count, consumer: args.get(at + 3) }))
}

pub fn pending(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let wanted = wanted(args)?;
    let now_ms = now(cx);
    let key = cx.key(args, 1);
    let stream = look(&mut cx.server.keys, cx.db, key, cx.touch)?;
    let group = stream.and_then(|stream| stream.groups.get(&args[2]));
    let group = group.ok_or_else(|| no_group(key.bytes, &args[2], ""))?;
    let reply = &mut cx.reply;
    let Some(wanted) = wanted else {
        reply.array(4);
        reply.count(group.pending_len());
        let mut all = group.pending_from(Id::MIN);
        let Some((first, _)) = all.next() else {
            reply.null();
            reply.null();
            reply.null_array();
            return Ok(());
        };
        reply_id(reply, first);
        reply_id(reply, all.next_back().map_or(first, |(last, _)| last));
        let busy = || group.consumers().filter(|consumer| consumer.pending_len() > 0);
        reply.array(busy().count());
        for consumer in busy() {
            reply.array(2);
            reply.bulk(consumer.name());
            reply.bulk_integer(consumer.pending_len() as i64);
        }
        return Ok(());
    };
    let consumer = match wanted.consumer.map(|name| group.find(name)) {
        Some(None) => {
            reply.array(0);
            return Ok(());
        }
        Some(found) => found,
        None => None,
    };
    let (array, mut answered) = (reply.deferred_array(), 0);
    let mut answer = |id: Id, pending: &Pending| {
        let idle_ms = now_ms.wrapping_sub(pending.delivered_ms);
        if answered as u64 == wanted.count || id > wanted.to {
            return false;
        }
        if wanted.min_idle_ms != 0 && idle_ms < wanted.min_idle_ms {
            return true;
        }
        reply.array(4);
        reply_id(reply, id);
        reply.bulk(group.consumer(pending.consumer).name());
        reply.integer(idle_ms.max(0));
        reply.integer(pending.deliveries as i64);
        answered += 1;
        true
    };
    match consumer {
        Some(consumer) => group
            .consumer(consumer)
            .pending_from(wanted.from)
            .all(|id| group.pending(id).is_some_and(|pending| answer(id, pending))),
        None => group.pending_from(wanted.from).all(|(id, pending)| answer(id, pending)),
    };
    reply.finish_array(array, answered);
    Ok(())
}

/// What XCLAIM is to do with entries.
struct Claim {
    ids: Vec<Id>,
    min_idle_ms: i64,
    /// When the entries are said to be delivered.
    delivered_ms: i64,
    deliveries: Option<u64>,
    /// Entries that are not pending become so.
    force: bool,
    only_ids: bool,
    last_id: Id,
}

/// An integer, or what XCLAIM says of what is none.
fn number(text: &[u8], otherwise: &'static str) -> Result<i64, Error> {
    integer(text).map_err(|_| Error::fixed(otherwise))
}

fn claim_options(args: &Args<'_>, now_ms: i64) -> Result<Claim, Error> {
    let min_idle_ms = number(&args[4], "ERR Invalid min-idle-time argument for XCLAIM")?.max(0);
    let ids: Vec<Id> = args.iter_from(5).map_while(|text| Id::parse(text, 0)).collect();
    let mut at = 5 + ids.len();
    let (mut delivered_ms, mut deliveries) = (-1, None);
    let mut claim =
        Claim { ids, min_idle_ms, delivered_ms: 0, deliveries: None, force: false, only_ids: false, last_id: Id::MIN };
    while at < args.len() {
        let word = &args[at];
        let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
        let value = args.get(at + 1);
        at += 1;
        match value {
            _ if is("FORCE") => claim.force = true,
            _ if is("JUSTID") => claim.only_ids = true,
            Some(value) => {
                if is("IDLE") {
                    let idle_ms = number(value, "ERR Invalid IDLE option argument for XCLAIM")?;
                    delivered_ms = now_ms.wrapping_sub(idle_ms);
                } else if is("TIME") {
                    delivered_ms = number(value, "ERR Invalid TIME option argument for XCLAIM")?;
                } else if is("RETRYCOUNT") {
                    deliveries = Some(number(value, "ERR Invalid RETRYCOUNT option argument for XCLAIM")?);
                } else if is("LASTID") {
                    claim.last_id = id(value, 0)?;
                } else {
                    return Err(unrecognized(word));
                }
                at += 1;
            }
            None => return Err(unrecognized(word)),
        }
    }
    // A time that has not come yet is a mistake of the client's clock.
    claim.delivered_ms = if (0..=now_ms).contains(&delivered_ms) { delivered_ms } else { now_ms };
    claim.deliveries = deliveries.and_then(|deliveries| u64::try_from(deliveries).ok());
    Ok(claim)
}

fn unrecognized(option: &[u8]) -> Error {
    Error::new([b"ERR Unrecognized XCLAIM option '", shown(option, usize::MAX), b"'"].concat())
}

/// Claims entries of the group that the arguments name for the consumer that they name. That the key was looked for is counted before.
fn claim_with(
    cx: &mut Ctx<'_>,
    args: &Args<'_>,
    claim: impl FnOnce(&mut Reply, &Log, &mut Group, &mut GroupOutcome) -> Result<(), Error>,
) -> Outcome {
    let mut outcome = GroupOutcome::begin(cx);
    let key = cx.key(args, 1);
    let reply = &mut cx.reply;
    let outcome = cx.server.keys.change_within(cx.db, key, Type::Stream, |value| {
        let Stream { log, groups, .. } = stream_mut(value);
        let result = match groups.get_mut(&args[2]) {
            Some(group) => claim(reply, log, group, &mut outcome).map(|()| outcome.end(group)),
            None => Err(no_group(key.bytes, &args[2], "")),
        };
        Changed { changes: outcome.changes, result: result.map(|()| outcome), empty: false }
    })?;
    let outcome = outcome.ok_or_else(|| no_group(key.bytes, &args[2], ""))??;
    if outcome.new_consumer {
        cx.server.keys.report(cx.db, key, Event("xgroup-createconsumer"));
    }
    outcome.propagate(cx, key.bytes, &args[2], &args[3]);
    Ok(())
}

/// The consumer who claims, which is made if there is none.
fn claimer(group: &mut Group, name: &[u8], now_ms: i64, outcome: &mut GroupOutcome) -> ConsumerKey {
    let (consumer, made) = group.consumer_named(name, now_ms);
    outcome.new_consumer = made;
    outcome.changes += u64::from(made);
    consumer
}

pub fn claim(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let now_ms = now(cx);
    cx.server.keys.read(cx.db, cx.key(args, 1), cx.touch);
    claim_with(cx, args, |reply, log, group, outcome| {
        let claim = claim_options(args, now_ms)?;
        claim_all(reply, log, group, &args[3], &claim, now_ms, outcome);
        Ok(())
    })
}

fn claim_all(
    reply: &mut Reply,
    log: &Log,
    group: &mut Group,
    name: &[u8],
    claim: &Claim,
    now_ms: i64,
    outcome: &mut GroupOutcome,
) {
    let mut told_last_id = claim.last_id > group.last_id;
    group.last_id = group.last_id.max(claim.last_id);
    let consumer = claimer(group, name, now_ms, outcome);
    let (array, mut answered) = (reply.deferred_array(), 0);
    for &id in &claim.ids {
        let pending = group.pending(id).copied();
        let Some(entry) = log.entry(id) else {
            if group.acknowledge(id) {
                outcome.forgotten(id, now_ms);
                outcome.changes += 1;
                told_last_id = false;
            }
            continue;
        };
        match pending {
            None if !claim.force => continue,
            Some(pending) if claim.min_idle_ms > 0 && now_ms.wrapping_sub(pending.delivered_ms) < claim.min_idle_ms => {
                continue;
            }
            _ => {}
        }
        // One that is made pending only now has been delivered once.
        let deliveries = pending.map_or(1, |pending| pending.deliveries);
        let deliveries = claim.deliveries.unwrap_or(deliveries.wrapping_add(u64::from(!claim.only_ids)));
        let pending = Pending { delivered_ms: claim.delivered_ms, deliveries, consumer };
        group.assign(id, pending);
        group.consumer_mut(consumer).active_ms = Some(now_ms);
        outcome.claimed(id, &pending);
        outcome.changes += 1;
        told_last_id = false;
        if claim.only_ids {
            reply_id(reply, id);
        } else {
            reply_entry(reply, &entry);
        }
        answered += 1;
    }
    if told_last_id {
        // Nothing that was claimed tells it.
        outcome.read_on();
        outcome.changes += 1;
    }
    reply.finish_array(array, answered);
}

/// How many entries XAUTOCLAIM looks at for each that it may answer.
const LOOKED_AT: u64 = 10;

/// What XAUTOCLAIM is to do.
struct Sweep {
    min_idle_ms: i64,
    from: Id,
    count: u64,
    only_ids: bool,
}

fn sweep_options(args: &Args<'_>) -> Result<Sweep, Error> {
    /// What Redis can count the bytes of.
    const COUNT_MAX: i64 = i64::MAX / 16;
    let min_idle_ms = number(&args[4], "ERR Invalid min-idle-time argument for XAUTOCLAIM")?.max(0);
    let mut sweep = Sweep { min_idle_ms, from: start_of(&args[5])?, count: 100, only_ids: false };
    let mut at = 6;
    while at < args.len() {
        if args[at].eq_ignore_ascii_case(b"COUNT") && at + 1 < args.len() {
            let count = number(&args[at + 1], "ERR COUNT must be > 0")?;
            if !(1..=COUNT_MAX).contains(&count) {
                return Err(Error::fixed("ERR COUNT must be > 0"));
            }
            sweep.count = count as u64;
            at += 2;
        } else if args[at].eq_ignore_ascii_case(b"JUSTID") {
            sweep.only_ids = true;
            at += 1;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    Ok(sweep)
}

/// The greatest COUNT of XAUTOCLAIM for which Redis finds an address space: it sets 16 bytes for each aside.
const COUNT_GRANTED: u64 = (1 << 47) / 16 - 1;

pub fn auto_claim(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    // As in Redis, it is looked for before the options are judged.
    cx.server.keys.read(cx.db, cx.key(args, 1), cx.touch);
    let sweep = sweep_options(args)?;
    let now_ms = now(cx);
    claim_with(cx, args, |reply, log, group, outcome| {
        if sweep.count > COUNT_GRANTED {
            return Err(Error::fixed("ERR Insufficient memory, failed allocating transient memory, COUNT too high."));
        }
        let consumer = claimer(group, &args[3], now_ms, outcome);
        sweep_all(reply, log, group, consumer, &sweep, now_ms, outcome);
        Ok(())
    })
}

fn sweep_all(
    reply: &mut Reply,
    log: &Log,
    group: &mut Group,
    consumer: ConsumerKey,
    sweep: &Sweep,
    now_ms: i64,
    outcome: &mut GroupOutcome,
) {
    let (mut answered, mut gone) = (0, Vec::new());
    let (mut left, mut looks) = (sweep.count, sweep.count * LOOKED_AT);
    reply.array(3);
    let head = reply.deferred_array();
    let array = reply.deferred_array();
    // Behind the last one that was looked at; `None` if there can be none.
    let mut cursor = Some(sweep.from);
    while looks > 0 && left > 0 {
        let Some((id, pending)) = cursor.and_then(|from| group.pending_from(from).next()) else { break };
        let pending = *pending;
        cursor = id.next();
        looks -= 1;
        let Some(entry) = log.entry(id) else {
            group.acknowledge(id);
            outcome.forgotten(id, now_ms);
            gone.push(id);
            left -= 1;
            continue;
        };
        if sweep.min_idle_ms > 0 && now_ms.wrapping_sub(pending.delivered_ms) < sweep.min_idle_ms {
            continue;
        }
        let deliveries = pending.deliveries.wrapping_add(u64::from(!sweep.only_ids));
        let pending = Pending { delivered_ms: now_ms, deliveries, consumer };
        group.assign(id, pending);
        outcome.claimed(id, &pending);
        group.consumer_mut(consumer).active_ms = Some(now_ms);
        if sweep.only_ids {
            reply_id(reply, id);
        } else {
            reply_entry(reply, &entry);
        }
        answered += 1;
        left -= 1;
    }
    reply.finish_array(array, answered);
    let next = cursor.and_then(|from| group.pending_from(from).next()).map_or(Id::MIN, |(id, _)| id);
    reply.finish_with(head, |reply| reply_id(reply, next));
    reply.array(gone.len());
    for &id in &gone {
        reply_id(reply, id);
    }
    outcome.changes += (answered + gone.len()) as u64;
}
