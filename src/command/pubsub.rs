//! Publish and subscribe.
//!
//! A client that speaks RESP2 and subscribes to something can only subscribe, unsubscribe, PING and leave, because a
//! message looks like a reply there. RESP3 tells them apart, and knows no such limit.

use super::deliver::{count_receivers, publish};
use super::error::{Error, Outcome};
use super::table::{Channels, Command, Doc, Flags, Handler, KeyFlags, KeySpec};
use super::{Ctx, malformed};
use crate::pubsub::Kind;
use crate::resp::Args;
use crate::types::glob;

const ANYTIME: Flags = Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE);
const LISTEN: Flags = ANYTIME.union(Flags::NOSCRIPT);
const SEND: Flags = ANYTIME.union(Flags::FAST).union(Flags::MAY_REPLICATE);
const SHARD_CHANNELS: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::NOT_KEY)];

const fn doc(since: &'static str, complexity: &'static str, syntax: &'static str, summary: &'static str) -> Doc {
    Doc { summary, since, group: "pubsub", complexity, syntax, ..Command::NONE.doc }
}

const fn row(name: &'static str, arity: i16, flags: Flags, doc: Doc, handler: Handler) -> Command {
    Command { name, arity, flags, doc, handler, ..Command::NONE }
}

const fn with_keys(command: Command, keys: &'static [KeySpec]) -> Command {
    Command { keys, ..command }
}

/// A command whose user must be allowed to use the channels.
const fn on(channels: Channels, command: Command) -> Command {
    Command { channels, ..command }
}

pub const COMMANDS: &[Command] = &[
    on(
        Channels::All,
        row(
            "subscribe",
            -2,
            LISTEN,
            doc(
                "2.0.0",
                "O(N) where N is the number of channels.",
                "channel [channel ...]",
                "Sends this connection whatever is published to the channels.",
            ),
            |cx, args| subscribe(cx, args, Kind::Channel),
        ),
    ),
    row(
        "unsubscribe",
        -1,
        LISTEN,
        doc(
            "2.0.0",
            "O(N) where N is the number of channels.",
            "[channel [channel ...]]",
            "Ends subscriptions to these channels, or to all.",
        ),
        |cx, args| unsubscribe(cx, args, Kind::Channel),
    ),
    on(
        Channels::Patterns,
        row(
            "psubscribe",
            -2,
            LISTEN,
            doc(
                "2.0.0",
                "O(N) where N is the number of patterns.",
                "pattern [pattern ...]",
                "Sends this connection whatever is published to channels that match the patterns.",
            ),
            |cx, args| subscribe(cx, args, Kind::Pattern),
        ),
    ),
    row(
        "punsubscribe",
        -1,
        LISTEN,
        doc(
            "2.0.0",
            "O(N) where N is the number of patterns.",
            "[pattern [pattern ...]]",
            "Ends subscriptions to these patterns, or to all.",
        ),
        |cx, args| unsubscribe(cx, args, Kind::Pattern),
    ),
    on(
        Channels::All,
        with_keys(
            row(
                "ssubscribe",
                -2,
                LISTEN,
                doc(
                    "7.0.0",
                    "O(N) where N is the number of shard channels.",
                    "shardchannel [shardchannel ...]",
                    "Sends this connection whatever is published to the shard channels.",
                ),
                |cx, args| subscribe(cx, args, Kind::Shard),
            ),
            SHARD_CHANNELS,
        ),
    ),
    with_keys(
        row(
            "sunsubscribe",
            -1,
            LISTEN,
            doc(
                "7.0.0",
                "O(N) where N is the number of shard channels.",
                "[shardchannel [shardchannel ...]]",
                "Ends subscriptions to these shard channels, or to all.",
            ),
            |cx, args| unsubscribe(cx, args, Kind::Shard),
        ),
        SHARD_CHANNELS,
    ),
    on(
        Channels::First,
        row(
            "publish",
            3,
            SEND,
            doc(
                "2.0.0",
                "O(N+M) where N is the number of the channel's subscribers, and M that of all patterns.",
                "channel message",
                "Sends a message to the subscribers of a channel.",
            ),
            |cx, args| send(cx, args, Kind::Channel),
        ),
    ),
    on(
        Channels::First,
        with_keys(
            row(
                "spublish",
                3,
                SEND,
                doc(
                    "7.0.0",
                    "O(N) where N is the number of the channel's subscribers.",
                    "shardchannel message",
                    "Sends a message to the subscribers of a shard channel.",
                ),
                |cx, args| send(cx, args, Kind::Shard),
            ),
            &[KeySpec::one(1, KeyFlags::NOT_KEY)],
        ),
    ),
    Command {
        name: "pubsub",
        arity: -2,
        doc: doc("2.8.0", "Depends on the subcommand.", "", "Holds the commands that tell of subscriptions."),
        subcommands: &[
            row(
                "channels",
                -2,
                ANYTIME,
                doc(
                    "2.8.0",
                    "O(N) where N is the number of channels with subscribers.",
                    "[pattern]",
                    "Lists the channels that have subscribers.",
                ),
                |cx, args| channels(cx, args, Kind::Channel),
            ),
            row(
                "help",
                2,
                Flags::LOADING.union(Flags::STALE),
                doc("6.2.0", "O(1)", "", "Lists what PUBSUB can do."),
                help,
            ),
            row(
                "numpat",
                2,
                ANYTIME,
                doc("2.8.0", "O(1)", "", "Counts the patterns that have subscribers."),
                |cx, _| {
                    cx.reply.count(cx.server.subscriptions.topics(Kind::Pattern));
                    Ok(())
                },
            ),
            row(
                "numsub",
                -2,
                ANYTIME,
                doc(
                    "2.8.0",
                    "O(N) where N is the number of channels.",
                    "[channel [channel ...]]",
                    "Counts the subscribers of channels.",
                ),
                |cx, args| subscribers(cx, args, Kind::Channel),
            ),
            row(
                "shardchannels",
                -2,
                ANYTIME,
                doc(
                    "7.0.0",
                    "O(N) where N is the number of shard channels with subscribers.",
                    "[pattern]",
                    "Lists the shard channels that have subscribers.",
                ),
                |cx, args| channels(cx, args, Kind::Shard),
            ),
            row(
                "shardnumsub",
                -2,
                ANYTIME,
                doc(
                    "7.0.0",
                    "O(N) where N is the number of shard channels.",
                    "[shardchannel [shardchannel ...]]",
                    "Counts the subscribers of shard channels.",
                ),
                |cx, args| subscribers(cx, args, Kind::Shard),
            ),
        ],
        ..Command::NONE
    },
];

fn subscribe(cx: &mut Ctx<'_>, args: &mut Args<'_>, kind: Kind) -> Outcome {
    // In a transaction the reply is not what the client takes it for; only what is older than that rule is let through.
    if cx.in_exec && kind == Kind::Shard {
        return Err(Error::fixed("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    for name in args.iter_from(1) {
        cx.server.subscriptions.subscribe(cx.token, kind, name);
        let word = match kind {
            Kind::Channel => "subscribe",
            Kind::Pattern => "psubscribe",
            Kind::Shard => "ssubscribe",
        };
        tell(cx, word, Some(name), kind);
    }
    cx.server.clients[cx.token].subscriber = true;
    cx.settle_reply();
    Ok(())
}

fn unsubscribe(cx: &mut Ctx<'_>, args: &mut Args<'_>, kind: Kind) -> Outcome {
    let word = match kind {
        Kind::Channel => "unsubscribe",
        Kind::Pattern => "punsubscribe",
        Kind::Shard => "sunsubscribe",
    };
    if args.len() > 1 {
        for name in args.iter_from(1) {
            cx.server.subscriptions.unsubscribe(cx.token, kind, name);
            tell(cx, word, Some(name), kind);
        }
    } else {
        let all = cx.server.subscriptions.names(cx.token, kind);
        for name in &all {
            cx.server.subscriptions.unsubscribe(cx.token, kind, name);
            tell(cx, word, Some(name), kind);
        }
        if all.is_empty() {
            tell(cx, word, None, kind);
        }
    }
    cx.server.clients[cx.token].subscriber = cx.server.subscriptions.has(cx.token);
    cx.settle_reply();
    Ok(())
}

/// Tells the client that a subscription has begun or ended, and how many it has now: of shard channels, or of all else.
fn tell(cx: &mut Ctx<'_>, word: &str, name: Option<&[u8]>, kind: Kind) {
    let count = |kind| cx.server.subscriptions.count(cx.token, kind);
    let left = match kind {
        Kind::Shard => count(Kind::Shard),
        Kind::Channel | Kind::Pattern => count(Kind::Channel) + count(Kind::Pattern),
    };
    cx.reply.push(3);
    cx.reply.bulk(word.as_bytes());
    match name {
        Some(name) => cx.reply.bulk(name),
        None => cx.reply.null(),
    }
    cx.reply.count(left);
}

fn send(cx: &mut Ctx<'_>, args: &mut Args<'_>, kind: Kind) -> Outcome {
    let receivers = match cx.server.scripts.trial {
        None => publish(cx.server, kind, &args[1], &args[2]),
        // It will not have been called.
        Some(_) => count_receivers(cx.server, kind, &args[1]),
    };
    cx.propagate_message(args);
    cx.reply.count(receivers);
    Ok(())
}

fn channels(cx: &mut Ctx<'_>, args: &mut Args<'_>, kind: Kind) -> Outcome {
    if args.len() > 3 {
        return Err(malformed(args));
    }
    let array = cx.reply.deferred_array();
    let mut len = 0;
    cx.server.subscriptions.each(kind, |name| {
        if args.get(2).is_none_or(|pattern| glob::matches(pattern, name, false)) {
            cx.reply.bulk(name);
            len += 1;
        }
    });
    cx.reply.finish_array(array, len);
    Ok(())
}

fn subscribers(cx: &mut Ctx<'_>, args: &mut Args<'_>, kind: Kind) -> Outcome {
    cx.reply.array((args.len() - 2) * 2);
    for name in args.iter_from(2) {
        cx.reply.bulk(name);
        cx.reply.count(cx.server.subscriptions.subscribers(kind, name).len());
    }
    Ok(())
}

fn help(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.help(
        args,
        &[
            "CHANNELS [<pattern>]",
            "    List the channels that have subscribers, all or those that match.",
            "NUMPAT",
            "    Count the patterns that have subscribers.",
            "NUMSUB [<channel> ...]",
            "    Count the subscribers of each channel; those of patterns do not count.",
            "SHARDCHANNELS [<pattern>]",
            "    List the shard channels that have subscribers, all or those that match.",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    Count the subscribers of each shard channel.",
        ],
    )
}
