//! Loading data at the start, in slices, while the server answers those who may ask.
//!
//! A *loader* knows where the data comes from and puts a slice of it into the keyspace at a time. Meanwhile no key expires: what
//! is loaded was alive when it was written, and what was removed later is told to be removed later.

use std::io;

use super::error::Error;
use super::state::Server;
use super::table::{Flags, Registered};
use super::{Ctx, transaction};
use crate::net::{Client, Stream};
use crate::resp::Args;

/// Where data is loaded from.
pub trait Loader {
    /// Loads some more. Returns whether there is still more.
    ///
    /// # Errors
    /// If the server must not start with what has been loaded; why is the last line of the log.
    fn slice(&mut self, server: &mut Server) -> Result<bool, String>;

    /// How many bytes there are, and how many of them have been loaded.
    fn progress(&self) -> (u64, u64);

    /// Whether there is nothing to load until more has come.
    fn waits(&self) -> bool {
        false
    }

    /// How many bytes of memory the data took when they were saved, if that is known.
    fn used_memory(&self) -> u64 {
        0
    }
}

/// A load that is under way.
pub struct Loading {
    /// `None` while it is at work.
    loader: Option<Box<dyn Loader>>,
    /// Unix seconds, and microseconds of uptime.
    pub started: u64,
    pub started_us: u64,
    /// What INFO tells while the loader is at work.
    pub total_bytes: u64,
    pub loaded_bytes: u64,
    pub used_memory: u64,
    /// The data that are there go on serving.
    pub aside: bool,
    /// There is nothing to do for it until more has come.
    pub waits: bool,
    /// It comes from the master.
    pub for_link: bool,
}

impl Server {
    /// Begins to load.
    pub fn begin_loading(&mut self, loader: Box<dyn Loader>) {
        let (total_bytes, loaded_bytes) = loader.progress();
        let started = self.clock.unix_us / 1_000_000;
        let started_us = self.clock.uptime_us;
        self.keys.freeze(true);
        self.keys.effects.journal.pause(true);
        self.loading = Some(Box::new(Loading {
            loader: Some(loader),
            started,
            started_us,
            total_bytes,
            loaded_bytes,
            used_memory: 0,
            aside: false,
            waits: false,
            for_link: false,
        }));
        self.look_for_troubles();
    }

    /// As [`Server::begin_loading`], beside the data that are there, which go on serving.
    pub fn begin_loading_aside(&mut self, loader: Box<dyn Loader>) {
        self.begin_loading(loader);
        self.keys.freeze(false);
        if let Some(loading) = &mut self.loading {
            loading.aside = true;
        }
    }

    /// Whether data are being loaded that are needed to serve.
    pub fn is_loading(&self) -> bool {
        self.loading.as_ref().is_some_and(|loading| !loading.aside)
    }

    /// Notes whether there is a reason not to run every command.
    pub fn look_for_troubles(&mut self) {
        self.is_troubled = self.loading.is_some()
            || self.aof.trouble().is_some()
            || self.saving.failed
            || self.replication.is_replica()
            || self.lacks_replicas()
            || self.scripts.busy_error().is_some();
    }

    /// Loads a slice, if there is something to load. Returns whether there is more.
    ///
    /// # Errors
    /// See [`Loader::slice`].
    pub fn load_slice(&mut self) -> Result<bool, String> {
        let Some(mut loader) = self.loading.as_mut().and_then(|loading| loading.loader.take()) else {
            return Ok(false);
        };
        let more = loader.slice(self);
        if let Some(loading) = &mut self.loading {
            (loading.total_bytes, loading.loaded_bytes) = loader.progress();
            loading.used_memory = loader.used_memory();
            loading.waits = loader.waits();
            loading.loader = Some(loader);
        }
        if !matches!(more, Ok(true)) {
            self.loading = None;
            self.keys.freeze(false);
            self.keys.effects.journal.pause(false);
            self.keys.effects.dirty = 0;
            // What the settings say now comes before what held when the data were written.
            self.keys.follow_namespaces(&self.settings);
            self.look_for_troubles();
        }
        more
    }

    /// Loads everything at once.
    ///
    /// # Errors
    /// See [`Loader::slice`].
    pub fn load_at_once(&mut self, loader: Box<dyn Loader>) -> Result<(), String> {
        self.begin_loading(loader);
        while self.load_slice()? {}
        Ok(())
    }
}

/// A client that nobody is connected to: it runs commands that come from elsewhere, one after the other. Nobody checks
/// whether they may run, and nobody reads the replies.
pub struct Replayer {
    /// `None` while it stands among the clients.
    client: Option<Box<Client>>,
}

/// The number of the client that replays commands, which no other client has.
pub const REPLAYER: u64 = u64::MAX;

/// Why a command must not be replayed that is about its connection, which here is none, or would end the server at each
/// start; also within a transaction.
fn refusal(command: &Registered) -> Option<Error> {
    if command.command.flags.contains(Flags::WRITE) {
        return None;
    }
    Some(match command.full_name.as_str() {
        "shutdown" => Error::fixed("ERR SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client"),
        "subscribe" => Error::fixed("ERR SUBSCRIBE isn't allowed for a DENY BLOCKING client"),
        "psubscribe" => Error::fixed("ERR PSUBSCRIBE isn't allowed for a DENY BLOCKING client"),
        "ssubscribe" => Error::fixed("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"),
        "psync" | "sync" => Error::fixed("ERR SYNC and PSYNC aren't allowed for a DENY BLOCKING client"),
        _ => return None,
    })
}

impl Server {
    /// A command that is replayed has failed: what was written down is not what was done.
    #[cold]
    pub fn tell_error_to_replayer(&mut self, error: &Error, command: &str) {
        log::warn!(
            "== CRITICAL == This server is sending an error to its AOF-loading-client: '{}' after processing the command \
             '{command}'",
            String::from_utf8_lossy(&logged(error.text()))
        );
        self.stats.unexpected_error_replies += 1;
    }
}

/// An error as Redis writes it to the log: with its code as in a reply, but without the usual one, except for a few texts.
fn logged(text: &[u8]) -> Vec<u8> {
    const WITH_CODE: [&[u8]; 4] =
        [b"no such key", b"syntax error", b"source and destination objects are the same", b"index out of range"];
    match text.strip_prefix(b"ERR ") {
        Some(rest) if !WITH_CODE.contains(&rest) => rest.to_vec(),
        _ => [b"-", text].concat(),
    }
}

/// Why a command could not be replayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unplayable {
    /// There is none of this name.
    Unknown,
    /// It has too few arguments, or too many.
    Malformed,
}

impl Replayer {
    /// # Errors
    /// If the system has no more descriptors.
    pub fn new() -> io::Result<Replayer> {
        // The other end is gone at once: nothing is ever read or sent here.
        let (stream, _) = mio::net::UnixStream::pair()?;
        let mut client = Box::new(Client::new(Stream::Unix(stream), REPLAYER, 0));
        client.authenticated = true;
        Ok(Replayer { client: Some(client) })
    }

    /// Whether it is in a transaction.
    pub fn in_transaction(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.transaction.is_some())
    }

    /// Forgets the transaction it is in.
    pub fn end_transaction(&mut self) {
        if let Some(client) = &mut self.client {
            client.transaction = None;
        }
    }

    /// Runs a command.
    ///
    /// # Errors
    /// If it could not be run.
    pub fn run(&mut self, server: &mut Server, args: &mut Args<'_>) -> Result<(), Unplayable> {
        let command = server.names.resolve(&args[0], args.get(1)).ok_or(Unplayable::Unknown)?;
        if !command.command.takes(args.len()) || command.is_container() {
            return Err(Unplayable::Malformed);
        }
        let Some(client) = self.client.take() else { return Ok(()) };
        let token = server.clients.insert(client);
        carry_out(server, token, command, args);
        leave(server, token, command);
        self.client = Some(server.remove_client(token));
        Ok(())
    }
}

/// Runs a command, or keeps it for EXEC.
fn carry_out(server: &mut Server, token: usize, command: &'static Registered, args: &mut Args<'_>) {
    let refused = refusal(command);
    let queued = server.clients[token].transaction.is_some() && command.full_name != "exec";
    let mut cx = Ctx::new(server, token);
    cx.command = command;
    if queued && refused.is_none() {
        transaction::queue(&mut cx, args);
    } else {
        // Nothing comes that a command could wait for.
        cx.in_exec = true;
        let outcome = refused.map_or_else(|| (command.command.handler)(&mut cx, args), Err);
        if let Err(error) = outcome {
            cx.error(&error);
        }
    }
    cx.server.clients[token].db = cx.db;
}

/// The client goes from among the clients. The token may be another's before the loop comes to it.
fn leave(server: &mut Server, token: usize, command: &Registered) {
    // Who serves others while a script takes long saw that nobody is at the other end.
    server.resumed.retain(|&resumed| resumed != token);
    server.dying.retain(|&dying| dying != token);
    if !command.command.flags.contains(Flags::WRITE) {
        // It may have wanted to watch or to track.
        server.keys.effects.watches.forget(token);
        server.stop_tracking(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_in_the_log() {
        for (text, expected) in [
            ("ERR DB index is out of range", "DB index is out of range"),
            ("ERR no such key", "-ERR no such key"),
            ("WRONGTYPE Operation against a key", "-WRONGTYPE Operation against a key"),
        ] {
            assert_eq!(logged(text.as_bytes()), expected.as_bytes());
        }
    }
}
