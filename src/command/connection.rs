//! Connections: who the client is, what it speaks, which database it works on, and how it leaves.

use super::client::check_name;
use super::database::index;
use super::error::{Error, Outcome};
use super::table::{Acl, Command, Doc, Flags};
use super::{Ctx, REDIS_VERSION, transaction, wrong_arity};
use crate::acl::{Context, DEFAULT, Reason};
use crate::keyspace::Touch;
use crate::net::{Closing, ReplyMode};
use crate::resp::{Args, Proto};
use crate::types::number::parse_i64;

/// Flags of the commands that do not ask who the client is.
const OPEN: Flags = Flags::NOSCRIPT
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::FAST)
    .union(Flags::NO_AUTH)
    .union(Flags::ALLOW_BUSY);

const fn doc(summary: &'static str, since: &'static str, complexity: &'static str, syntax: &'static str) -> Doc {
    Doc { summary, since, group: "connection", complexity, syntax, ..Command::NONE.doc }
}

pub const COMMANDS: &[Command] = &[
    Command {
        name: "auth",
        arity: -2,
        flags: OPEN,
        acl: Acl::CONNECTION,
        doc: doc(
            "Gives the connection a user's rights.",
            "1.0.0",
            "O(N) where N is the number of the user's passwords",
            "[username] password",
        ),
        handler: auth,
        ..Command::NONE
    },
    Command {
        name: "echo",
        arity: 2,
        flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
        acl: Acl::CONNECTION,
        doc: doc("Answers what it is told.", "1.0.0", "O(1)", "message"),
        handler: echo,
        ..Command::NONE
    },
    Command {
        name: "hello",
        arity: -1,
        flags: OPEN,
        acl: Acl::CONNECTION,
        doc: doc(
            "Introduces the server, and chooses the protocol version.",
            "6.0.0",
            "O(1)",
            "[arguments: protover [AUTH username password] [SETNAME clientname]]",
        ),
        handler: hello,
        ..Command::NONE
    },
    Command {
        name: "ping",
        arity: -1,
        flags: Flags::FAST,
        acl: Acl::CONNECTION,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        doc: doc("Answers PONG, or what it is told.", "1.0.0", "O(1)", "[message]"),
        handler: ping,
        ..Command::NONE
    },
    Command {
        name: "quit",
        arity: -1,
        flags: OPEN,
        acl: Acl::CONNECTION,
        doc: Doc {
            deprecated_since: "7.2.0",
            replaced_by: "just closing the connection",
            ..doc("Ends the connection.", "1.0.0", "O(1)", "")
        },
        handler: quit,
        ..Command::NONE
    },
    Command {
        name: "reset",
        arity: 1,
        flags: OPEN,
        acl: Acl::CONNECTION,
        doc: doc("Makes the connection like a new one.", "6.2.0", "O(1)", ""),
        handler: reset,
        ..Command::NONE
    },
    Command {
        name: "select",
        arity: 2,
        flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
        acl: Acl::CONNECTION,
        doc: doc("Chooses the database that the connection works on.", "1.0.0", "O(1)", "index"),
        handler: select,
        ..Command::NONE
    },
];

fn auth(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    for at in 1..args.len() {
        cx.redact(at);
    }
    match args.len() {
        2 if cx.server.acl.default_user().has_no_password() => {
            return Err(Error::fixed(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ));
        }
        2 => authenticate(cx, &args[0], DEFAULT, &args[1])?,
        3 => authenticate(cx, &args[0], &args[1], &args[2])?,
        _ => return Err(Error::SYNTAX),
    }
    cx.reply.ok();
    Ok(())
}

/// Makes the client act as a user if the password is right; `word` is the command that it said it with.
fn authenticate(cx: &mut Ctx<'_>, word: &[u8], name: &[u8], password: &[u8]) -> Outcome {
    let acl = &cx.server.acl;
    let client = &mut cx.server.clients[cx.token];
    if let Some(user) = acl.authenticate(name, password) {
        client.act_as(user, true, acl.is_open());
        return Ok(());
    }
    let context = if client.transaction.is_some() { Context::Multi } else { Context::TopLevel };
    cx.server.note_denied(cx.token, Reason::Auth, context, word, Some(name));
    Err(Error::fixed("WRONGPASS invalid username-password pair or user is disabled."))
}

fn echo(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.reply.bulk(&args[1]);
    Ok(())
}

fn hello(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let proto = match args.get(1).map(parse_i64) {
        None => None,
        Some(Some(2)) => Some(Proto::Resp2),
        Some(Some(3)) => Some(Proto::Resp3),
        Some(wrong) => {
            cx.redact_from(2, args);
            return Err(Error::fixed(match wrong {
                Some(_) => "NOPROTO unsupported protocol version",
                None => "ERR Protocol version is not an integer or out of range",
            }));
        }
    };
    let mut credentials = None;
    let mut name = None;
    let mut at = 2;
    while at < args.len() {
        let (option, more) = (&args[at], args.len() - at - 1);
        if option.eq_ignore_ascii_case(b"AUTH") && more >= 2 {
            cx.redact(at + 1);
            cx.redact(at + 2);
            credentials = Some((&args[at + 1], &args[at + 2]));
            at += 3;
        } else if option.eq_ignore_ascii_case(b"SETNAME") && more >= 1 {
            name = Some(check_name(&args[at + 1]).inspect_err(|_| cx.redact_from(at, args))?);
            at += 2;
        } else {
            cx.redact_from(at, args);
            return Err(Error::new([b"ERR Syntax error in HELLO option '", option, b"'"].concat()));
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(cx, &args[0], user, password)?;
    }
    let client = &mut cx.server.clients[cx.token];
    if !client.authenticated {
        return Err(Error::fixed(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the \
             same time",
        ));
    }
    if let Some(name) = name {
        client.name = name.to_vec();
    }
    let id = client.id;
    if let Some(proto) = proto {
        speak(cx, proto);
    }
    let is_replica = cx.server.replication.is_replica();
    let reply = &mut cx.reply;
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(reply.proto as i64);
    reply.bulk(b"id");
    reply.integer(id as i64);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(if is_replica { b"replica" } else { b"master" });
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

/// Chooses the protocol, from this reply on.
fn speak(cx: &mut Ctx<'_>, proto: Proto) {
    cx.server.clients[cx.token].proto = proto;
    cx.reply.proto = proto;
}

fn ping(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let client = &cx.server.clients[cx.token];
    if client.subscriber && client.proto == Proto::Resp2 && args.len() <= 2 {
        // Among messages, the reply looks like one.
        cx.reply.array(2);
        cx.reply.bulk(b"pong");
        cx.reply.bulk(args.get(1).unwrap_or_default());
        return Ok(());
    }
    match args.len() {
        1 => cx.reply.status("PONG"),
        2 => cx.reply.bulk(&args[1]),
        _ => return Err(wrong_arity("ping")),
    }
    Ok(())
}

fn quit(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply.ok();
    cx.server.close(cx.token, Closing::AfterReply);
    Ok(())
}

/// What the client said of its library stays: it is still the same library.
fn reset(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    transaction::end(cx);
    cx.server.subscriptions.forget(cx.token);
    cx.server.stop_tracking(cx.token);
    cx.server.become_nobody(cx.token);
    let client = &mut cx.server.clients[cx.token];
    client.name = Vec::new();
    client.monitor = false;
    client.subscriber = false;
    client.no_evict = false;
    client.no_touch = false;
    client.debugging = None;
    client.db = 0;
    // A reply that is being skipped is this command's, and stays so.
    if client.reply_mode == ReplyMode::Off {
        client.reply_mode = ReplyMode::On;
    }
    cx.db = 0;
    cx.set_touch(Touch::Yes);
    cx.server.monitors.retain(|&monitor| monitor != cx.token);
    speak(cx, Proto::Resp2);
    cx.reply.status("RESET");
    Ok(())
}

fn select(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let db = index(cx, &args[1])?;
    cx.db = db;
    cx.server.clients[cx.token].db = db;
    cx.reply.ok();
    Ok(())
}
