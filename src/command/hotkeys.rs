//! HOTKEYS: which keys of the namespace are accessed most.
//!
//! An access is a command with the key among its arguments, whether it reads or writes; one that only asks about the key
//! (EXISTS, TTL, OBJECT, DUMP …) is none, nor is one of a client in NO-TOUCH mode. Accesses are counted by name: what a name has
//! counted outlives the key for as long as it takes to fade, but only keys that exist are told. So a key that is renamed begins
//! anew, a flushed database has no hot keys, and SWAPDB takes them along.

use super::Ctx;
use super::error::{Error, Outcome};
use super::key_positions::each_key;
use super::table::{Accesses, Acl, Command, Doc, Flags, KeyFlags, OURS_SINCE};
use crate::keyspace::Touch;
use crate::resp::Args;
use crate::types::number::parse_i64;

/// Keys told if nobody says how many, and at most.
const USUAL_COUNT: usize = 10;
const MOST: usize = 100;

pub const COMMANDS: &[Command] = &[Command {
    name: "hotkeys",
    arity: -1,
    flags: Flags::READONLY,
    acl: Acl::KEYSPACE.union(Acl::DANGEROUS),
    tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
    doc: Doc {
        summary: "Estimates which keys of the namespace are accessed most: pairs of a key and its accesses a minute.",
        since: OURS_SINCE,
        group: "server",
        complexity: "O(N) where N is the number of counters, which is constant.",
        syntax: "[count]",
        ..Command::NONE.doc
    },
    handler: hotkeys,
    ..Command::NONE
}];

fn hotkeys(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.len() > 2 {
        return Err(Error::SYNTAX);
    }
    let count = match args.get(1) {
        None => USUAL_COUNT,
        Some(word) => match parse_i64(word).ok_or(Error::NOT_AN_INTEGER)? {
            ..1 => return Err(Error::NOT_POSITIVE),
            count => usize::try_from(count).map_or(MOST, |count| count.min(MOST)),
        },
    };
    if !cx.server.settings.stats_enabled {
        return Err(Error::fixed("ERR hot keys are not counted while stats-enabled is no"));
    }
    let mut hottest = cx.server.hot_keys.hottest(cx.db);
    let mut told = 0;
    let pairs = cx.reply.deferred_array();
    while told < count
        && let Some(hot) = hottest.pop()
    {
        if let Some(entry) = cx.server.keys.view_hash(cx.db, hot.hash.0) {
            cx.reply.array(2);
            cx.reply.bulk(entry.key());
            cx.reply.integer(hot.accesses as i64);
            told += 1;
        }
    }
    cx.reply.finish_array(pairs, told);
    Ok(())
}

/// Counts the keys of a command that was drawn.
#[cold]
pub(super) fn note_access(cx: &mut Ctx<'_>, args: &Args<'_>) {
    let Some(weight) = cx.server.hot_keys.draw() else { return };
    if cx.touch == Touch::No {
        return;
    }
    match cx.command.accesses {
        Accesses::Nothing => {}
        Accesses::First => {
            let hash = cx.key(args, cx.command.first_key).hash;
            cx.server.hot_keys.add(cx.db, hash, weight);
        }
        Accesses::Listed => each_key(cx.command.command, args, 0, |at, flags| {
            if !flags.contains(KeyFlags::NOT_KEY) {
                let hash = cx.key(args, at).hash;
                cx.server.hot_keys.add(cx.db, hash, weight);
            }
        })
        // What does not fit its key specifications is about to be refused.
        .unwrap_or_default(),
    }
}
