//! SCRIPT DEBUG, and the sessions that it leads to: the next script that the client calls by EVAL runs in the debugger.
//!
//! While the script stands, the server waits for its client, over a connection that the loop knows nothing of meanwhile. The
//! others wait, too, and after `busy-reply-threshold` they are told that the server is busy, as with any script. When the
//! session is over, so is the connection.
//!
//! SCRIPT DEBUG SYNC is meant literally: what the script does is done. SCRIPT DEBUG YES is a *trial*: Redis runs it in a fork, of
//! which nothing is left. Here each key is set aside before the first command that may write it, and put back in the end. Until
//! then nobody is told of a change, and nothing is journalled. Commands that write without naming keys, such as FLUSHALL,
//! are refused in a trial.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::error::{Error, Outcome};
use super::key_positions::{each_key, has_keys};
use super::state::{Look, Server};
use super::table::{KeyFlags, Registered};
use super::{Ctx, script};
use crate::keyspace::undo::Kept;
use crate::net::client::READ_SIZE;
use crate::net::{Closing, Debugging};
use crate::resp::Args;
use crate::script::Input;
use crate::script::debugger::Debugger;

/// A client that takes nothing for so long has gone.
const SEND_SECONDS: i64 = 5;
/// In this interval signals are looked at while the client is waited for, in nanoseconds.
const LOOK_NANOS: i64 = 100_000_000;

/// What a trial will have to undo.
pub struct Trial {
    /// Keys as they were before they were written.
    kept: BTreeMap<(usize, Box<[u8]>), Option<Kept>>,
    dirty: u64,
}

/// SCRIPT DEBUG
pub fn choose(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if !cx.reply.out.is_empty() {
        return Err(Error::fixed("ERR SCRIPT DEBUG must be called outside a pipeline"));
    }
    let mode = match &args[2].to_ascii_lowercase()[..] {
        b"no" => None,
        b"yes" => Some(Debugging::Trial),
        b"sync" => Some(Debugging::Sync),
        _ => return Err(Error::fixed("ERR Use SCRIPT DEBUG YES/SYNC/NO")),
    };
    cx.server.clients[cx.token].debugging = mode;
    cx.reply.ok();
    Ok(())
}

/// EVAL by a client that debugs.
pub fn evaluate(cx: &mut Ctx<'_>, args: &mut Args<'_>, mode: Debugging, read_only: bool) -> Outcome {
    if !cx.reply.out.is_empty() {
        // What the client sees of the session goes out before any reply.
        return Err(Error::fixed("ERR A script can be debugged outside a pipeline and a transaction only"));
    }
    let Server { scripts, keys, .. } = &mut *cx.server;
    let engine = scripts.engine(|| keys.random_source().i32(..))?;
    log::info!("A debugging session has begun");
    engine.begin_debugging(Debugger::new(&args[1]));
    if mode == Debugging::Trial {
        cx.server.begin_trial();
    }
    let outcome = script::evaluate(cx, args, script::Named::ByText, read_only);
    cx.server.end_trial();
    if let Some(mut debugger) = engine.end_debugging() {
        debugger.say(b"<endsession>");
        send(cx.server, cx.token, &debugger.take_log());
    }
    log::info!("The debugging session has ended");
    cx.server.close(cx.token, Closing::AfterReply);
    outcome
}

impl Server {
    fn begin_trial(&mut self) {
        self.keys.effects.hush(true);
        self.keys.effects.journal.tell(false, false);
        self.scripts.trial = Some(Trial { kept: BTreeMap::new(), dirty: self.keys.effects.dirty });
    }

    /// Undoes what a trial has done, if there is one.
    fn end_trial(&mut self) {
        let Some(Trial { kept, dirty }) = self.scripts.trial.take() else { return };
        for ((db, key), kept) in kept {
            let key = self.keys.key(&key);
            self.keys.put_back(db, key, kept);
        }
        self.keys.effects.dirty = dirty;
        self.keys.effects.journal.tell(true, true);
        self.keys.effects.hush(false);
    }
}

/// Sets aside what a command of a trial, one that writes or is told to replicas, may write.
///
/// # Errors
/// If what it does cannot be undone.
pub fn set_aside(cx: &mut Ctx<'_>, command: &'static Registered, args: &Args<'_>) -> Outcome {
    let Server { scripts, keys, .. } = &mut *cx.server;
    let Some(trial) = &mut scripts.trial else { return Ok(()) };
    let Registered { command, full_name, .. } = command;
    // Messages are not sent in a trial.
    if full_name.ends_with("publish") {
        return Ok(());
    }
    if !has_keys(command) {
        return Err(Error::new(format!(
            "ERR '{full_name}' cannot be undone. Use SCRIPT DEBUG SYNC to debug a script that calls it"
        )));
    }
    // These two write to another database, too.
    let elsewhere = if matches!(command.name, "move" | "copy") { 0..keys.databases() } else { cx.db..cx.db };
    // Arguments that do not fit make an error, and no change.
    let _ = each_key(command, args, 0, |at, flags| {
        if flags.contains(KeyFlags::NOT_KEY) {
            return;
        }
        for db in elsewhere.clone().chain([cx.db]) {
            trial.kept.entry((db, args[at].into())).or_insert_with(|| keys.set_aside(db, keys.key(&args[at])));
        }
    });
    Ok(())
}

/// Sends something to a client, all of it, past whatever waits to be sent.
pub fn send(server: &mut Server, token: usize, mut bytes: &[u8]) {
    let client = &mut server.clients[token];
    while !bytes.is_empty() && client.closing != Some(Closing::Now) {
        match client.stream.write(bytes) {
            Ok(sent) => {
                bytes = &bytes[sent..];
                client.sent += sent as u64;
                server.stats.net_output_bytes += sent as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut socket = [PollFd::from_borrowed_fd(client.stream.socket(), PollFlags::OUT)];
                let timeout = Timespec { tv_sec: SEND_SECONDS, tv_nsec: 0 };
                if matches!(poll(&mut socket, Some(&timeout)), Ok(0)) {
                    client.close(Closing::Now);
                }
            }
            Err(_) => client.close(Closing::Now),
        }
    }
}

/// Reads what a client has sent, if it has. Otherwise it waits a moment, looks whether a signal has come, and returns `None`.
pub fn receive(server: &mut Server, token: usize, input: &mut Vec<u8>) -> Option<Input> {
    let client = &mut server.clients[token];
    if client.closing == Some(Closing::Now) {
        return Some(Input::Gone);
    }
    match client.stream.read_into(input, READ_SIZE) {
        Ok(0) => return Some(Input::Gone),
        Ok(read) => {
            client.received += read as u64;
            server.stats.net_input_bytes += read as u64;
            return Some(Input::Came);
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        Err(_) => return Some(Input::Gone),
    }
    let mut socket = [PollFd::from_borrowed_fd(client.stream.socket(), PollFlags::IN)];
    // A signal ends the wait early.
    let _ = poll(&mut socket, Some(&Timespec { tv_sec: 0, tv_nsec: LOOK_NANOS }));
    server.attend(Look::Signals);
    // Who ends the server does not wait for somebody who thinks.
    server.shutdown.is_some_and(|shutdown| shutdown.client.is_none()).then_some(Input::Gone)
}
