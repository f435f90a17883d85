//! MEMINFO: which bytes belong to what; of the server, of a namespace, or of a tag.
//!
//! Nothing is walked for it. The total and what connections, scripts and tables take is exact; so is what entries take, but
//! for large lists, sorted sets and streams, whose weight is kept up to date within some percent (see
//! [`crate::keyspace::weight`]). What belongs to a tag is judged by [`SAMPLES`] of its keys if it has more of them, and
//! exact otherwise. What is neither data nor in any other part (room that buffers keep, data that is being freed, messages
//! on their way) is `other`, so that the parts add up to the total.

use super::Ctx;
use super::error::{Error, Outcome};
use super::memory::Account;
use super::namespace::existing;
use super::table::{Command, Doc, OURS_SINCE};
use super::tag;
use crate::keyspace::entry::Type;
use crate::keyspace::weight::Parts;
use crate::resp::{Args, Reply};

/// Keys of a tag that are looked at.
const SAMPLES: usize = 4096;

pub const COMMANDS: &[Command] = &[Command {
    name: "meminfo",
    arity: -1,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    doc: Doc {
        summary: "Tells what takes how many bytes: in the server, in a namespace, or under a tag.",
        since: OURS_SINCE,
        group: "server",
        complexity: "O(N) where N is the number of clients and namespaces.",
        syntax: "[of: NAMESPACE name | TAG tag]",
        ..Command::NONE.doc
    },
    handler: meminfo,
    ..Command::NONE
}];

fn meminfo(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let is = |at: usize, word: &str| args.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    match args.len() {
        1 => of_server(cx),
        3 if is(1, "namespace") => {
            let slot = existing(cx, &args[2])?;
            let parts = cx.server.keys.database(slot).map_or_else(Parts::default, |database| database.parts());
            cx.reply.map(FIELDS + 1);
            figure(&mut cx.reply, "total", parts.bytes());
            data(&mut cx.reply, parts);
        }
        3 if is(1, "tag") => {
            tag::check(&args[2])?;
            let parts = cx.server.keys.tag_parts(cx.db, &args[2], SAMPLES);
            cx.reply.map(FIELDS + 1);
            figure(&mut cx.reply, "total", parts.bytes());
            data(&mut cx.reply, parts);
        }
        _ => return Err(Error::SYNTAX),
    }
    Ok(())
}

fn of_server(cx: &mut Ctx<'_>) {
    let account = Account::new(cx);
    let server = &*cx.server;
    let mut parts = Parts::default();
    for database in (0..server.keys.databases()).filter_map(|slot| server.keys.database(slot)) {
        parts.add_all(database.parts());
    }
    let query: usize = server.clients.iter().map(|(_, client)| client.query_memory()).sum();
    let sent: usize = server.clients.iter().map(|(_, client)| client.output.memory_bytes()).sum();
    // While a client's command runs, its replies are here.
    let output = sent + cx.reply.out.memory_bytes();
    let scripts = server.scripts.engine_bytes() + server.scripts.cache.memory_bytes();
    let backlog = account.replication.backlog;
    let known = account.startup + parts.bytes() + account.clients + backlog + scripts;
    let fragmentation = account.fragmentation().1;

    let reply = &mut cx.reply;
    reply.map(FIELDS + 7);
    figure(reply, "total", account.used);
    figure(reply, "startup", account.startup);
    data(reply, parts);
    reply.bulk(b"connections");
    reply.map(3);
    figure(reply, "query", query);
    figure(reply, "output", output);
    figure(reply, "other", account.clients.saturating_sub(query + output));
    figure(reply, "replication_backlog", backlog);
    figure(reply, "scripts", scripts);
    figure(reply, "other", account.used.saturating_sub(known));
    reply.bulk(b"fragmentation");
    reply.integer(fragmentation);
}

fn figure(reply: &mut Reply, name: &str, bytes: usize) {
    reply.bulk(name.as_bytes());
    reply.count(bytes);
}

/// How many fields [`data`] writes.
const FIELDS: usize = 5;

fn data(reply: &mut Reply, parts: Parts) {
    figure(reply, "data", parts.bytes());
    figure(reply, "keys", parts.keys);
    reply.bulk(b"values");
    reply.map(Type::ALL.len());
    for kind in Type::ALL {
        figure(reply, kind.name(), parts.values[kind as usize]);
    }
    figure(reply, "expiry", parts.expiry);
    figure(reply, "tags", parts.tags);
}
