//! Lua scripts: the interpreter, what of it scripts may reach, and the scripts that are known.
//!
//! An [`Engine`] is one interpreter with its own memory. It compiles code into functions and runs them, one at a time, for a
//! [`Host`]: whoever runs a script, knows the server, and carries out its commands. EVAL and FUNCTION have an engine each.
//! What a script shares with all others (the global table, the libraries, the metatable of strings) can be read but not
//! changed: see [`vm`]. A script can be run step by step, by whoever asks for it: see [`debugger`].

mod cache;
pub mod debugger;
pub mod functions;
mod lib;
mod random;
pub mod shebang;
mod vm;

pub use cache::{Cache, Script, Sha, sha1};
use vm::free_aside;
pub use vm::{Engine, Function, Kind, Register, Registration};

use bitflags::bitflags;

use crate::resp::{Args, Proto, Reply};

bitflags! {
    /// What a script says of itself in its first line, or a function when it is registered.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct ScriptFlags: u8 {
        const NO_WRITES = 1;
        const ALLOW_OOM = 1 << 1;
        const ALLOW_STALE = 1 << 2;
        const NO_CLUSTER = 1 << 3;
        const ALLOW_CROSS_SLOT_KEYS = 1 << 4;
    }
}

impl ScriptFlags {
    /// The flags and their names.
    pub const NAMES: &[(ScriptFlags, &str)] = &[
        (ScriptFlags::NO_WRITES, "no-writes"),
        (ScriptFlags::ALLOW_OOM, "allow-oom"),
        (ScriptFlags::ALLOW_STALE, "allow-stale"),
        (ScriptFlags::NO_CLUSTER, "no-cluster"),
        (ScriptFlags::ALLOW_CROSS_SLOT_KEYS, "allow-cross-slot-keys"),
    ];

    /// The flag with a name.
    pub fn named(name: &[u8]) -> Option<ScriptFlags> {
        Self::NAMES.iter().find(|(_, known)| known.as_bytes() == name).map(|(flag, _)| *flag)
    }

    /// The flag with a name in any case.
    pub fn named_in_any_case(name: &[u8]) -> Option<ScriptFlags> {
        Self::NAMES.iter().find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name)).map(|(flag, _)| *flag)
    }
}

/// What waiting for the client that debugs a script came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// It has sent something.
    Came,
    /// There is nobody who could.
    Gone,
    /// The script has to end, and why: a text without a code.
    End(&'static str),
}

/// What a script's calls reach: the server, for one run.
pub trait Host {
    /// The script begins: what it is called with has been made.
    fn begin(&mut self) {}

    /// Runs a command. Its reply, as RESP in the protocol that the script chose, is there until the next call.
    ///
    /// # Errors
    /// The text of an error, code included, if the command does not run at all.
    fn call(&mut self, args: &mut Args<'_>) -> Result<&[u8], Vec<u8>>;

    /// Whether the script's user may run a command; `None` if there is no such command.
    fn may_call(&mut self, args: &mut Args<'_>) -> Option<bool>;

    /// Chooses the protocol in which replies to the script's commands are, which decides what Lua values they become.
    fn set_proto(&mut self, proto: Proto);

    /// The protocol that the script chose.
    fn proto(&self) -> Proto;

    /// Says who is to learn of the changes that the script makes from here on: the append-only file, replicas.
    fn set_propagation(&mut self, aof: bool, replicas: bool);

    /// Writes a line to the log; levels are 0 (debug) to 3 (warning).
    fn log(&mut self, level: u8, line: &[u8]);

    /// Called again and again while the script runs. Returns why it has to end, as a text without a code, if it has to.
    fn interrupt(&mut self) -> Option<&'static str>;

    /// Shows something to the client that debugs the script.
    fn show(&mut self, _text: &[u8]) {}

    /// Waits for what that client sends, and appends it.
    fn await_input(&mut self, _input: &mut Vec<u8>) -> Input {
        Input::Gone
    }

    /// Whether the script has run for long since its client let it go on.
    fn is_overdue(&mut self) -> bool {
        false
    }

    /// The script has ended. Returns where its reply goes.
    fn reply(&mut self) -> &mut Reply;

    /// Asked before each value that is added to the reply. Why there is to be none, as a text without a code, if it is too large or
    /// takes too long: a table that holds itself a few times means a reply without an end.
    fn refuses_reply(&mut self) -> Option<&'static str> {
        None
    }

    /// Adds an error to the script's reply. `counted` says that it is one that a command of the script had, and that the
    /// statistics know it.
    fn error(&mut self, text: &[u8], counted: bool);
}
