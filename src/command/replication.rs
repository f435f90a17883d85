//! Replication, as a master that nobody follows sees it. This version neither follows a master nor feeds replicas:
//! the commands that would start either refuse, and those that count replicas count none.

use super::error::{Error, Outcome};
use super::state::Server;
use super::table::{Acl, Command, Doc, Flags};
use super::{Ctx, blocking};
use crate::keyspace::entry::Type;
use crate::resp::Args;
use crate::types::number::parse_i64;

const fn doc(since: &'static str, complexity: &'static str, syntax: &'static str, summary: &'static str) -> Doc {
    Doc { summary, since, group: "server", complexity, syntax, ..Command::NONE.doc }
}

/// Commands that change what the server is.
const ROLE_CHANGE: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::STALE);
/// Commands that a replica sends when it comes.
const HANDSHAKE: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING).union(Flags::NO_MULTI);
const OF_ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:agg_min"];

const FOLLOW: Command =
    Command { arity: 3, flags: ROLE_CHANGE.union(Flags::NO_ASYNC_LOADING), handler: replicaof, ..Command::NONE };

pub const COMMANDS: &[Command] = &[
    Command {
        name: "failover",
        arity: -1,
        flags: ROLE_CHANGE,
        doc: doc(
            "6.2.0",
            "O(1)",
            "[target: TO <host port [FORCE]>] [ABORT] [TIMEOUT milliseconds]",
            "Lets a replica become the master.",
        ),
        handler: failover,
        ..Command::NONE
    },
    Command {
        name: "psync",
        arity: -3,
        flags: HANDSHAKE,
        doc: doc(
            "2.8.0",
            "O(N) where N is the number of keys",
            "replicationid offset",
            "Begins to feed a replica that may have a part of the data.",
        ),
        handler: refuse_replica,
        ..Command::NONE
    },
    Command {
        name: "replconf",
        arity: -1,
        flags: ROLE_CHANGE.union(Flags::LOADING).union(Flags::ALLOW_BUSY),
        doc: Doc { internal: true, ..doc("3.0.0", "O(1)", "", "Tells about a replica that is to be fed.") },
        handler: refuse_replica,
        ..Command::NONE
    },
    Command {
        name: "replicaof",
        doc: doc("5.0.0", "O(1)", "<args: <host-port: host port> | <no-one: NO ONE>>", "Follows a master, or none."),
        ..FOLLOW
    },
    Command {
        name: "role",
        arity: 1,
        flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST),
        acl: Acl::ADMIN.union(Acl::DANGEROUS),
        doc: doc("2.8.12", "O(1)", "", "Tells the part that the server plays in replication."),
        handler: role,
        ..Command::NONE
    },
    Command {
        name: "slaveof",
        doc: Doc {
            deprecated_since: "5.0.0",
            replaced_by: "`REPLICAOF`",
            ..doc("1.0.0", "O(1)", "<args: <host-port: host port> | <no-one: NO ONE>>", "Follows a master, or none.")
        },
        ..FOLLOW
    },
    Command {
        name: "sync",
        arity: 1,
        flags: HANDSHAKE,
        doc: doc("1.0.0", "O(N) where N is the number of keys", "", "Begins to feed a replica."),
        handler: refuse_replica,
        ..Command::NONE
    },
    Command {
        name: "wait",
        arity: 3,
        flags: Flags::BLOCKING,
        acl: Acl::CONNECTION,
        tips: OF_ALL_SHARDS,
        doc: Doc {
            group: "generic",
            ..doc(
                "3.0.0",
                "O(1)",
                "numreplicas timeout",
                "Waits until so many replicas have the connection's writes, and counts them.",
            )
        },
        handler: wait,
        ..Command::NONE
    },
    Command {
        name: "waitaof",
        arity: 4,
        flags: Flags::BLOCKING,
        acl: Acl::CONNECTION,
        tips: OF_ALL_SHARDS,
        doc: Doc {
            group: "generic",
            ..doc(
                "7.2.0",
                "O(1)",
                "numlocal numreplicas timeout",
                "Waits until the connection's writes are on the disks of the server and of so many replicas.",
            )
        },
        handler: waitaof,
        ..Command::NONE
    },
];

const NO_APPEND_ONLY_FILE: Error =
    Error::fixed("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");

fn failover(_: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.len() == 2 && args[1].eq_ignore_ascii_case(b"abort") {
        return Err(Error::fixed("ERR No failover in progress."));
    }
    let (mut timeout, mut host, mut force) = (None, None, false);
    let mut at = 1;
    while at < args.len() {
        let (word, more) = (&args[at], args.len() - at - 1);
        if word.eq_ignore_ascii_case(b"timeout") && more >= 1 && timeout.is_none() {
            let milliseconds = parse_i64(&args[at + 1]).ok_or(Error::NOT_AN_INTEGER)?;
            if milliseconds <= 0 {
                return Err(Error::fixed("ERR FAILOVER timeout must be greater than 0"));
            }
            timeout = Some(milliseconds);
            at += 2;
        } else if word.eq_ignore_ascii_case(b"to") && more >= 2 && host.is_none() {
            parse_i64(&args[at + 2]).ok_or(Error::NOT_AN_INTEGER)?;
            host = Some(&args[at + 1]);
            at += 3;
        } else if word.eq_ignore_ascii_case(b"force") && !force {
            force = true;
            at += 1;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    Err(Error::fixed("ERR FAILOVER requires connected replicas."))
}

fn refuse_replica(_: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    Err(Error::fixed("ERR This version of CacheStorm does not feed replicas"))
}

fn replicaof(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    // It follows nobody as it is.
    if args[1].eq_ignore_ascii_case(b"no") && args[2].eq_ignore_ascii_case(b"one") {
        cx.reply.ok();
        return Ok(());
    }
    if parse_i64(&args[2]).is_none_or(|port| !(0..=65535).contains(&port)) {
        return Err(Error::fixed("ERR Invalid master port"));
    }
    Err(Error::fixed("ERR This version of CacheStorm cannot follow a master: only REPLICAOF NO ONE is supported"))
}

fn role(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    // Nobody follows this server, so nothing has been sent to anybody.
    cx.reply.array(3);
    cx.reply.bulk(b"master");
    cx.reply.integer(0);
    cx.reply.array(0);
    Ok(())
}

fn wait(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let replicas = parse_i64(&args[1]).ok_or(Error::NOT_AN_INTEGER)?;
    let deadline = cx.deadline_in_ms(&args[2])?;
    if replicas <= 0 {
        cx.reply.integer(0);
        return Ok(());
    }
    // No key brings a replica, so this lasts until the deadline.
    cx.wait(args, 0..0, Type::String, deadline, |cx| cx.reply.integer(0))
}

fn waitaof(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let local = parse_i64(&args[1]).ok_or(Error::NOT_AN_INTEGER)?;
    if !(0..=1).contains(&local) {
        return Err(Error::fixed("ERR value is out of range, value must between 0 and 1"));
    }
    let replicas = parse_i64(&args[2]).filter(|&replicas| replicas >= 0).ok_or(Error::NOT_POSITIVE)?;
    let deadline = cx.deadline_in_ms(&args[3])?;
    if local == 1 && !cx.server.settings.appendonly {
        return Err(NO_APPEND_ONLY_FILE);
    }
    if replicas == 0 && (local == 0 || cx.server.is_durable(cx.token)) {
        tell_durable(cx);
        return Ok(());
    }
    if local == 1 && replicas == 0 && !cx.in_exec {
        let id = cx.server.clients[cx.token].id;
        cx.server.waiting_for_disk.push((cx.token, id));
    }
    cx.wait(args, 0..0, Type::String, deadline, tell_durable)
}

/// Answers a wait that is over: WAIT with how many replicas have the writes, WAITAOF with on how many disks they are.
/// Neither waits for a key.
pub fn answer_wait(cx: &mut Ctx<'_>) {
    if cx.command.full_name == "waitaof" {
        tell_durable(cx);
    } else {
        cx.reply.integer(0);
    }
}

fn tell_durable(cx: &mut Ctx<'_>) {
    let local = cx.server.is_durable(cx.token);
    cx.reply.array(2);
    cx.reply.integer(i64::from(local));
    cx.reply.integer(0);
}

impl Server {
    /// Whether a client's writes are on the disk.
    fn is_durable(&self, token: usize) -> bool {
        self.aof.durable().is_some_and(|durable| durable >= self.clients[token].written)
    }

    /// Answers those who wait in WAITAOF and whose writes are on the disk now, or will never be.
    pub fn answer_durable(&mut self) {
        for (token, id) in std::mem::take(&mut self.waiting_for_disk) {
            if !self.clients.get(token).is_some_and(|client| client.id == id && client.blocked) {
                continue;
            }
            if !self.settings.appendonly {
                blocking::unblock_with(self, token, true, |cx| cx.error(&NO_APPEND_ONLY_FILE));
            } else if self.is_durable(token) {
                blocking::unblock_with(self, token, false, tell_durable);
            } else {
                self.waiting_for_disk.push((token, id));
            }
        }
    }
}
