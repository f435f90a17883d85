//! MONITOR: showing every command to those who watch.
//!
//! A line is made of the arguments before the command runs, because a handler may take large ones away, and sent after it,
//! because that is when it is known which database the command worked on and what must not be shown.

use super::Ctx;
use super::deliver::put;
use super::error::{Error, Outcome};
use super::table::{Command, Doc, Flags};
use crate::net::ReplyMode;
use crate::resp::Args;

pub const COMMANDS: &[Command] = &[Command {
    name: "monitor",
    arity: 1,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    doc: Doc {
        summary: "Sends every command that the server runs to this connection.",
        since: "1.0.0",
        group: "server",
        ..Command::NONE.doc
    },
    handler: monitor,
    ..Command::NONE
}];

fn monitor(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    if cx.in_exec {
        return Err(Error::fixed("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    let client = &mut cx.server.clients[cx.token];
    // To a client that watches already, Redis answers nothing at all.
    if !client.monitor {
        client.monitor = true;
        cx.server.monitors.push(cx.token);
        cx.reply.ok();
    }
    Ok(())
}

/// The arguments of the command about to run, each quoted, if somebody watches and the command is to be shown.
pub fn quoted_args(cx: &Ctx<'_>, args: &Args<'_>) -> Option<Vec<Vec<u8>>> {
    // What runs again after a wait was shown when it began to wait.
    if cx.server.monitors.is_empty()
        || cx.resumed.is_some()
        || cx.command.command.flags.intersects(Flags::SKIP_MONITOR | Flags::ADMIN)
    {
        return None;
    }
    Some(quote_all(args))
}

fn quote_all(args: &Args<'_>) -> Vec<Vec<u8>> {
    let quoted = args.iter_from(0).map(|arg| {
        let mut quoted = Vec::with_capacity(arg.len() + 2);
        quote(arg, &mut quoted);
        quoted
    });
    quoted.collect()
}

/// Shows a command that is about to run to all monitors, although by its flags it is not shown when it has run.
pub fn show(cx: &mut Ctx<'_>, args: &Args<'_>) {
    if !cx.server.monitors.is_empty() {
        feed(cx, &quote_all(args));
    }
}

/// Sends the command that just ran to all monitors.
pub fn feed(cx: &mut Ctx<'_>, quoted: &[Vec<u8>]) {
    let client = &cx.server.clients[cx.token];
    let now = cx.server.clock.unix_us;
    let addr = if cx.in_script {
        "lua".to_string()
    } else if client.stream.is_unix() {
        format!("unix:{}", client.addr.strip_suffix(":0").unwrap_or(&client.addr))
    } else {
        client.addr.to_string()
    };
    let mut number = itoa::Buffer::new();
    let db = cx.server.keys.directory().own_name(client.db).unwrap_or_else(|| number.format(client.db));
    let mut line = format!("+{}.{:06} [{db} {addr}]", now / 1_000_000, now % 1_000_000).into_bytes();
    for (at, arg) in quoted.iter().enumerate() {
        line.extend_from_slice(b" \"");
        line.extend_from_slice(if cx.redacted.binary_search(&at).is_ok() { b"(redacted)" } else { arg });
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
    for at in 0..cx.server.monitors.len() {
        let token = cx.server.monitors[at];
        if cx.server.clients[token].closing.is_some() {
            // The reply that it leaves with is the last it gets.
            continue;
        }
        if token == cx.token {
            // Left out with the reply if the client wants none.
            cx.reply.raw(&line);
        } else if cx.server.clients[token].reply_mode == ReplyMode::On {
            put(cx.server, token, |output| output.tail().extend_from_slice(&line));
        }
    }
}

/// Appends bytes as a quoted string shows them, without the quotes.
pub fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_break_lines_or_quotes_are_escaped() {
        let mut quoted = Vec::new();
        quote(b"a b\"\\\n\r\t\x07\x08\x00\xff~", &mut quoted);
        assert_eq!(quoted, b"a b\\\"\\\\\\n\\r\\t\\a\\b\\x00\\xff~");
    }
}
