//! Plugins: code that the server calls at certain points.
//!
//! A plugin is a type of the program that embeds the server, handed to [`crate::Server::builder`]. It is called in the loop,
//! between commands or around one, so it must not wait for anything: while it works, nobody is served, and its time counts
//! as that of the command. If it panics, the server ends, as with any bug. It says which hooks it wants; hooks that no plugin wants
//! cost one branch for all of them together.
//!
//! What came from a file or from a master is not shown to the hooks around commands: whether it may run was decided where it
//! ran first.

mod builtin;
mod registry;

use std::any::Any;

use crate::command::error::Outcome;
use crate::command::state::Server;
use crate::command::table::{Command, Registered};
use crate::config::Settings;
use crate::net::Client;
use crate::resp::Args;

pub use builtin::{BUILTIN, Builtin};
pub use registry::Plugins;

bitflags::bitflags! {
    /// The points at which a plugin wants to be called.
    #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
    pub struct Hooks: u8 {
        const BEFORE_COMMAND = 1;
        const AFTER_COMMAND = 1 << 1;
        const ON_EVICT = 1 << 2;
        const ON_EXPIRE = 1 << 3;
        const ON_TAG_INVALIDATE = 1 << 4;
    }
}

/// A command that runs, as plugins see it.
pub struct Call<'a> {
    pub command: &'static Registered,
    /// The command's words. Behind the command, large values may have left them for the keyspace.
    pub args: &'a Args<'a>,
    /// The number of the client's database.
    pub db: usize,
    pub client: &'a Client,
}

/// What a plugin can do. Every method but its name has a default.
pub trait Plugin: Any {
    /// What INFO calls it: a word.
    fn name(&self) -> &'static str;

    /// Its version, for INFO.
    fn version(&self) -> &'static str {
        "0"
    }

    /// Which of the hooks below it wants; those that it does not name are never called. Asked once, behind [`Plugin::init`].
    fn hooks(&self) -> Hooks {
        Hooks::empty()
    }

    /// The commands it brings: rows of the command table, from which access control, COMMAND and its documentation follow. Their
    /// handlers find their plugin with [`Plugins::get`]. The table is one for the process and made with its first server.
    fn commands(&self) -> &'static [Command] {
        &[]
    }

    /// Called first of all, before the server listens.
    ///
    /// # Errors
    /// The reason why the server must not start.
    fn init(&mut self, _settings: &Settings) -> Result<(), String> {
        Ok(())
    }

    /// Called last, when the server has ended.
    fn close(&mut self) {}

    /// The data is there, and commands are about to be served.
    fn on_startup(&mut self, _server: &mut Server) {}

    /// The server ends; what is to be durable is.
    fn on_shutdown(&mut self, _server: &mut Server) {}

    /// A command that was admitted is about to run. One that waits for a key comes here each time it tries.
    ///
    /// # Errors
    /// What the client is answered instead. In a transaction or a script this is the answer to the one command.
    fn before_command(&mut self, _call: &Call<'_>) -> Outcome {
        Ok(())
    }

    /// A command ran, or was refused by a plugin; a command that still waits for something has not run yet.
    fn after_command(&mut self, _call: &Call<'_>, _outcome: &Outcome) {}

    /// A key went because memory was short.
    fn on_evict(&mut self, _db: usize, _key: &[u8]) {}

    /// A key went because its time was over.
    fn on_expire(&mut self, _db: usize, _key: &[u8]) {}

    /// A tag was invalidated, by a command that removed `count` keys with it and the other tags that it named.
    fn on_tag_invalidate(&mut self, _db: usize, _tag: &[u8], _count: usize) {}
}
