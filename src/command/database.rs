//! Databases as a whole: their size, exchanging and emptying them.

use std::ops::Range;

use super::blocking::Until;
use super::error::{Error, Outcome};
use super::table::{Acl, Command, Doc, Flags};
use super::{Ctx, save};
use crate::keyspace::Unsettled;
use crate::resp::Args;
use crate::types::number::parse_i64;

const ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

pub const COMMANDS: &[Command] = &[
    Command {
        name: "dbsize",
        arity: 1,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Acl::KEYSPACE,
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        doc: doc("1.0.0", "O(1)", "", "Counts the keys of the database."),
        handler: dbsize,
        ..Command::NONE
    },
    Command {
        name: "swapdb",
        arity: 3,
        flags: Flags::WRITE.union(Flags::FAST),
        acl: Acl::KEYSPACE.union(Acl::DANGEROUS),
        doc: doc(
            "4.0.0",
            "O(N) where N is the number of clients that watch or wait for keys of the two",
            "index1 index2",
            "Exchanges two databases.",
        ),
        handler: swapdb,
        ..Command::NONE
    },
    Command {
        name: "flushdb",
        doc: doc(
            "1.0.0",
            "O(N) where N is the number of keys, none of which holds up other clients",
            "[flush-type: ASYNC | SYNC]",
            "Deletes all keys of the database.",
        ),
        handler: flushdb,
        ..FLUSHING
    },
    Command {
        name: "flushall",
        doc: doc(
            "1.0.0",
            "O(N) where N is the number of keys, none of which holds up other clients",
            "[flush-type: ASYNC | SYNC]",
            "Deletes all keys of all databases.",
        ),
        handler: flushall,
        ..FLUSHING
    },
];

const FLUSHING: Command = Command {
    arity: -1,
    flags: Flags::WRITE,
    acl: Acl::KEYSPACE.union(Acl::DANGEROUS),
    tips: ALL_SHARDS,
    ..Command::NONE
};

const fn doc(since: &'static str, complexity: &'static str, syntax: &'static str, summary: &'static str) -> Doc {
    Doc { summary, since, group: "server", complexity, syntax, ..Command::NONE.doc }
}

/// The database that a word names.
///
/// # Errors
/// If it is no number, or there is no such database.
pub(super) fn index(cx: &Ctx<'_>, word: &[u8]) -> Result<usize, Error> {
    let number = parse_i64(word).ok_or(Error::NOT_AN_INTEGER)?;
    if i32::try_from(number).is_err() {
        return Err(Error::fixed("ERR value is out of range, value must between -2147483648 and 2147483647"));
    }
    existing(cx, number)
}

/// As [`index`], for a word that may also be the name of a namespace.
///
/// # Errors
/// If it is neither.
pub(super) fn place(cx: &Ctx<'_>, word: &[u8]) -> Result<usize, Error> {
    match cx.server.keys.directory().find(word).filter(|_| parse_i64(word).is_none()) {
        Some(slot) => Ok(slot),
        None => index(cx, word),
    }
}

fn existing(cx: &Ctx<'_>, number: i64) -> Result<usize, Error> {
    let databases = 0..cx.server.keys.directory().numbered();
    usize::try_from(number).ok().filter(|number| databases.contains(number)).ok_or(Error::DB_OUT_OF_RANGE)
}

fn dbsize(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if wait_until_counted(cx, args, cx.db..cx.db + 1) {
        return Ok(());
    }
    let keys = cx.server.keys.database(cx.db).map_or(0, |database| database.len());
    cx.reply.count(keys);
    Ok(())
}

/// Whether the client has been set aside until it is known how many keys some databases have.
pub(super) fn wait_until_counted(cx: &mut Ctx<'_>, args: &Args<'_>, mut databases: Range<usize>) -> bool {
    let uncounted = databases.any(|db| !cx.server.keys.is_counted(db));
    let ask = |cx: &mut Ctx<'_>| if cx.server.keys.is_settled() { Ok(()) } else { Err(Unsettled) };
    uncounted && cx.ask_settled(args, Until::Settled, ask).is_none()
}

fn swapdb(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let database = |at: usize, error| {
        let number = parse_i64(&args[at]);
        match (number, cx.server.keys.directory().find(&args[at])) {
            (None, Some(slot)) => Ok(Ok(slot)),
            (Some(number), _) if i32::try_from(number).is_ok() => Ok(existing(cx, number)),
            _ => Err(error),
        }
    };
    let first = database(1, Error::fixed("ERR invalid first DB index"))?;
    let second = database(2, Error::fixed("ERR invalid second DB index"))?;
    let (first, second) = (first?, second?);
    cx.server.keys.swap(first, second);
    cx.server.hot_keys.exchange(first, second);
    cx.reply.ok();
    Ok(())
}

fn flushdb(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    flush(cx, args, cx.db..cx.db + 1)
}

fn flushall(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    flush(cx, args, 0..cx.server.keys.databases())
}

/// Empties databases. The keys are gone at once; their memory follows in slices that hold nobody else up. SYNC answers
/// when all of it is back: who asks for it is about to rely on that.
fn flush(cx: &mut Ctx<'_>, args: &Args<'_>, databases: Range<usize>) -> Outcome {
    let sync = match args.get(1) {
        None => !cx.server.settings.lazyfree_lazy_user_flush,
        Some(word) if args.len() == 2 && word.eq_ignore_ascii_case(b"SYNC") => true,
        Some(word) if args.len() == 2 && word.eq_ignore_ascii_case(b"ASYNC") => false,
        Some(_) => return Err(Error::SYNTAX),
    };
    if wait_until_counted(cx, args, databases.clone()) {
        return Ok(());
    }
    let all = databases.len() == cx.server.keys.databases();
    let lazily_freed = cx.server.keys.stats.lazily_freed;
    for db in databases {
        if !cx.server.keys.directory().is_hidden(db) {
            cx.server.keys.flush(db);
        }
    }
    if all {
        save::after_flush(cx.server);
    }
    // It is propagated even if there was nothing to flush: elsewhere there may be.
    cx.propagate_in(cx.db, args.iter_from(0));
    if sync {
        cx.wait_until_freed(args);
        if cx.in_exec {
            // That was not lazy.
            cx.server.keys.stats.lazily_freed = lazily_freed;
        }
    } else {
        cx.reply.ok();
    }
    Ok(())
}
