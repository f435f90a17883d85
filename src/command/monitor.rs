//! MONITOR: showing every command to those who watch.

use super::Ctx;
use super::table::Flags;
use crate::resp::Args;

/// Sends the command that just ran to all monitors.
#[cold]
pub fn feed(cx: &mut Ctx<'_>, args: &Args<'_>) {
    if cx.command.command.flags.intersects(Flags::SKIP_MONITOR | Flags::ADMIN) {
        return;
    }
    let client = &cx.server.clients[cx.token];
    let now = cx.server.clock.unix_us;
    let addr = if client.stream.is_unix() {
        format!("unix:{}", client.addr.strip_suffix(":0").unwrap_or(&client.addr))
    } else {
        client.addr.clone()
    };
    let mut line = format!("+{}.{:06} [{} {addr}]", now / 1_000_000, now % 1_000_000, client.db).into_bytes();
    for (at, arg) in args.iter_from(0).enumerate() {
        line.extend_from_slice(b" \"");
        quote(if cx.redacted.contains(&at) { b"(redacted)" } else { arg }, &mut line);
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
    for at in 0..cx.server.monitors.len() {
        let token = cx.server.monitors[at];
        if token == cx.token {
            cx.reply.raw(&line);
        } else {
            cx.server.clients[token].output.tail().extend_from_slice(&line);
            cx.server.will_send(token);
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
