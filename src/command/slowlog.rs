//! SLOWLOG: what took long lately.

use super::error::{Error, Outcome};
use super::table::{Command, Doc, EVERYWHERE, Flags};
use super::{Ctx, malformed};
use crate::resp::Args;
use crate::types::number::parse_i64;

const DOC: Doc = Doc { group: "server", since: "2.2.12", ..Command::NONE.doc };
const FLAGS: Flags = Flags::ADMIN.union(Flags::LOADING).union(Flags::STALE);

/// Entries that GET answers when it is not told how many.
const USUAL_COUNT: usize = 10;

pub const COMMANDS: &[Command] = &[Command {
    name: "slowlog",
    arity: -2,
    doc: Doc { summary: "Holds the commands about the slow log.", complexity: "Depends on the subcommand.", ..DOC },
    subcommands: &[
        Command {
            name: "get",
            arity: -2,
            flags: FLAGS,
            tips: &["request_policy:all_nodes", "nondeterministic_output"],
            doc: Doc {
                summary: "Answers the latest entries of the slow log.",
                complexity: "O(N) where N is the number of entries answered.",
                syntax: "[count]",
                ..DOC
            },
            handler: get,
            ..Command::NONE
        },
        Command {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.union(Flags::STALE),
            doc: Doc { summary: "Lists the subcommands.", since: "6.2.0", complexity: "O(1)", ..DOC },
            handler: help,
            ..Command::NONE
        },
        Command {
            name: "len",
            arity: 2,
            flags: FLAGS,
            tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
            doc: Doc { summary: "Counts the entries of the slow log.", complexity: "O(1)", ..DOC },
            handler: len,
            ..Command::NONE
        },
        Command {
            name: "reset",
            arity: 2,
            flags: FLAGS,
            tips: EVERYWHERE,
            doc: Doc { summary: "Empties the slow log.", complexity: "O(N) where N is the number of entries.", ..DOC },
            handler: reset,
            ..Command::NONE
        },
    ],
    ..Command::NONE
}];

fn get(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    const COUNT: Error = Error::fixed("ERR count should be greater than or equal to -1");
    if args.len() > 3 {
        return Err(malformed(args));
    }
    let entries = cx.server.slow_log.iter();
    let count = match args.get(2) {
        None => USUAL_COUNT,
        Some(word) => match parse_i64(word).ok_or(COUNT)? {
            -1 => entries.len(),
            count => usize::try_from(count).map_err(|_| COUNT)?,
        },
    };
    let entries = entries.take(count);
    let reply = &mut cx.reply;
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.unix_seconds as i64);
        reply.integer(entry.micros as i64);
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.addr.as_bytes());
        reply.bulk(&entry.client_name);
    }
    Ok(())
}

fn help(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.help(
        args,
        &[
            "GET [<count>]",
            "    Answer the latest <count> entries (10 unless told otherwise, -1 for all), each of which is:",
            "    number, time, duration in microseconds, arguments, address and name of the client",
            "LEN",
            "    Count the entries.",
            "RESET",
            "    Forget all entries.",
        ],
    )
}

fn len(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let entries = cx.server.slow_log.iter().len();
    cx.reply.count(entries);
    Ok(())
}

fn reset(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.server.slow_log.clear();
    cx.reply.ok();
    Ok(())
}
