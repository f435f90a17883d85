//! Transactions: MULTI, EXEC, DISCARD, and WATCH, which makes EXEC conditional.
//!
//! Between MULTI and EXEC a client's commands are checked as always, but kept instead of run; one that is refused spoils
//! the transaction. EXEC runs them one behind the other as nothing else runs in between: there is one thread, and within
//! EXEC no command waits. What is watched, and whether it changed, is known to
//! [`Watches`](crate::effects::watch::Watches).

use super::error::{Error, Outcome};
use super::table::{Acl, Command, Doc, Flags, KeyFlags, KeySpec, Registered};
use super::{Admission, Ctx, monitor, script};
use crate::net::{Client, ReplyMode};
use crate::resp::{Args, KeptArgs};

/// What Redis adds to the size of each kept argument where it tells how much a transaction holds.
const ARGUMENT_OVERHEAD: usize = 8;

const BASE: Command = Command {
    arity: 1,
    flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST).union(Flags::ALLOW_BUSY),
    acl: Acl::TRANSACTION,
    ..Command::NONE
};

const fn doc(since: &'static str, complexity: &'static str, syntax: &'static str, summary: &'static str) -> Doc {
    Doc { summary, since, group: "transactions", complexity, syntax, ..Command::NONE.doc }
}

pub const COMMANDS: &[Command] = &[
    Command {
        name: "multi",
        doc: doc("1.2.0", "O(1)", "", "Begins a transaction: what follows is kept until EXEC."),
        handler: multi,
        ..BASE
    },
    Command {
        name: "exec",
        flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::SKIP_SLOWLOG),
        doc: doc("1.2.0", "That of the transaction's commands", "", "Runs the commands of the transaction."),
        handler: exec,
        ..BASE
    },
    Command {
        name: "discard",
        doc: doc("2.0.0", "O(N) where N is the number of kept commands", "", "Drops the transaction."),
        handler: discard,
        ..BASE
    },
    Command {
        name: "watch",
        arity: -2,
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
        doc: doc(
            "2.2.0",
            "O(1) for each key",
            "key [key ...]",
            "Lets the next EXEC run only if these keys do not change.",
        ),
        handler: watch,
        ..BASE
    },
    Command {
        name: "unwatch",
        doc: doc("2.2.0", "O(N) where N is the number of watched keys", "", "Forgets all watched keys."),
        handler: unwatch,
        ..BASE
    },
];

/// A transaction that a client has begun.
pub struct Transaction {
    queued: Vec<Queued>,
    /// How many commands it holds, also while they run.
    len: usize,
    /// Bytes of their arguments as CLIENT LIST tells them, and bytes of memory that these take.
    bytes: usize,
    memory: usize,
    /// What any of them is like, and what all are.
    flags: Flags,
    common: Flags,
    /// One was refused: EXEC will be, too.
    spoiled: bool,
}

struct Queued {
    command: &'static Registered,
    key_hash: Option<u64>,
    args: KeptArgs,
}

impl Default for Transaction {
    fn default() -> Transaction {
        Transaction {
            queued: Vec::new(),
            len: 0,
            bytes: 0,
            memory: 0,
            flags: Flags::empty(),
            common: Flags::all(),
            spoiled: false,
        }
    }
}

impl Transaction {
    /// How many commands it holds.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks: an empty transaction is still one")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether one of them runs a script.
    pub fn runs_script(&self) -> bool {
        self.flags.contains(Flags::SCRIPT)
    }

    /// Bytes of the arguments it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its commands must not run: where they were to run is no more.
    pub fn spoil(&mut self) {
        self.spoiled = true;
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Transaction>() + self.queued.capacity() * size_of::<Queued>() + self.memory
    }
}

/// Decides on a command of a client that is in a transaction.
///
/// # Errors
/// If it may not be kept, or must not run.
#[cold]
pub(super) fn admit(cx: &Ctx<'_>, client: &Client, command: &Registered, flags: Flags) -> Result<Admission, Error> {
    if command.command.flags.contains(Flags::NO_MULTI) {
        return Err(Error::fixed("ERR Command not allowed inside a transaction"));
    }
    let kept = !matches!(command.full_name.as_str(), "exec" | "discard" | "quit" | "reset" | "multi" | "watch");
    let flags = effective_flags(client, command, flags);
    let admission = cx.may_go_on(client, command, flags)?;
    Ok(if kept && admission == Admission::Run { Admission::Queue } else { admission })
}

/// What a client's command that is like `flags` by itself is like: EXEC does what any command of the transaction does, and may
/// run where all may.
pub(super) fn effective_flags(client: &Client, command: &Registered, flags: Flags) -> Flags {
    match &client.transaction {
        Some(transaction) if is_exec(command) => {
            const DONE: Flags = Flags::WRITE.union(Flags::READONLY).union(Flags::DENYOOM).union(Flags::MAY_REPLICATE);
            const ALLOWED: Flags = Flags::STALE.union(Flags::LOADING);
            (flags & (transaction.common | !ALLOWED)) | (transaction.flags & DONE)
        }
        _ => flags,
    }
}

fn is_exec(command: &Registered) -> bool {
    command.full_name == "exec"
}

/// Keeps a command for EXEC.
#[cold]
pub(super) fn queue(cx: &mut Ctx<'_>, args: &mut Args<'_>) {
    let dirty = cx.server.keys.effects.watches.is_dirty(cx.token);
    let mut flags = cx.command.command.flags;
    if flags.contains(Flags::SCRIPT) {
        flags = script::flags_of(cx.server, cx.command, args);
    }
    // What will not run anyway need not be kept.
    if let Some(transaction) = &mut cx.server.clients[cx.token].transaction
        && !transaction.spoiled
        && !dirty
    {
        transaction.len += 1;
        transaction.bytes += args.total_bytes() + args.len() * ARGUMENT_OVERHEAD;
        transaction.flags |= flags;
        transaction.common &= flags;
        let args = args.keep();
        transaction.memory += args.memory_bytes();
        transaction.queued.push(Queued { command: cx.command, key_hash: cx.key_hash, args });
    }
    cx.reply.status("QUEUED");
}

/// Answers a command that was refused, which spoils a transaction; a refused EXEC ends it.
#[cold]
pub(super) fn refuse(cx: &mut Ctx<'_>, command: Option<&'static Registered>, args: &Args<'_>, error: &Error) {
    cx.forget_caching();
    if !command.is_some_and(is_exec) {
        if let Some(transaction) = &mut cx.server.clients[cx.token].transaction {
            transaction.spoiled = true;
        }
        return cx.error(error);
    }
    end(cx);
    let text = error.text();
    let cause = text.strip_prefix(b"ERR ").unwrap_or(text);
    cx.error(&Error::new([b"EXECABORT Transaction discarded because of: ", cause].concat()));
    // Who watches has seen MULTI, and is to see that the transaction is over.
    if let Some(shown) = monitor::quoted_args(cx, args) {
        monitor::feed(cx, &shown);
    }
}

/// Ends the client's transaction, and its watching.
pub(super) fn end(cx: &mut Ctx<'_>) {
    cx.server.clients[cx.token].transaction = None;
    cx.server.keys.effects.watches.forget(cx.token);
}

fn multi(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let transaction = &mut cx.server.clients[cx.token].transaction;
    if transaction.is_some() {
        return Err(Error::fixed("ERR MULTI calls can not be nested"));
    }
    *transaction = Some(Box::default());
    cx.reply.ok();
    Ok(())
}

fn exec(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let Some(transaction) = &mut cx.server.clients[cx.token].transaction else {
        return Err(Error::fixed("ERR EXEC without MULTI"));
    };
    if transaction.spoiled {
        end(cx);
        return Err(Error::fixed("EXECABORT Transaction discarded because of previous errors."));
    }
    if cx.server.keys.watched_changed(cx.token) {
        end(cx);
        cx.reply.null_array();
        return Ok(());
    }
    let queued = std::mem::take(&mut transaction.queued);
    cx.server.keys.effects.watches.forget(cx.token);
    let exec = cx.command;
    cx.in_exec = true;
    // CLIENT REPLY works at once, so that each part of the reply is sent or not.
    let before = cx.reply.out.len();
    cx.reply.array(queued.len());
    cx.withhold_reply(before);
    for mut queued in queued {
        let before = cx.reply.out.len();
        cx.command = queued.command;
        cx.key_hash = queued.key_hash;
        let mut args = queued.args.args();
        // Rights may have changed since, through this very transaction for one.
        let restricted = cx.server.clients[cx.token].restricted;
        match if restricted { cx.check_kept(queued.command, &args) } else { Ok(()) } {
            Ok(()) => {
                // The transaction may pause writing, or make a replica of the server.
                cx.decide_overdue(queued.command.command.flags);
                cx.call(&mut args);
            }
            Err(error) => cx.error(&error),
        }
        cx.withhold_reply(before);
        cx.check_reply();
    }
    cx.settled = cx.reply.out.len();
    cx.in_exec = false;
    if cx.slept {
        cx.look_at_clock();
    }
    cx.command = exec;
    end(cx);
    Ok(())
}

impl Ctx<'_> {
    /// Takes back the reply from a position on if the client wants none now.
    fn withhold_reply(&mut self, from: usize) {
        if matches!(self.server.clients[self.token].reply_mode, ReplyMode::Off | ReplyMode::Skip) {
            self.reply.out.truncate(from.max(self.settled));
        }
    }
}

fn discard(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    if cx.server.clients[cx.token].transaction.is_none() {
        return Err(Error::fixed("ERR DISCARD without MULTI"));
    }
    end(cx);
    cx.reply.ok();
    Ok(())
}

fn watch(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if cx.server.clients[cx.token].transaction.is_some() {
        return Err(Error::fixed("ERR WATCH inside MULTI is not allowed"));
    }
    for at in 1..args.len() {
        let key = cx.key(args, at);
        cx.server.keys.watch(cx.token, cx.db, key);
    }
    cx.reply.ok();
    Ok(())
}

fn unwatch(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.server.keys.effects.watches.forget(cx.token);
    cx.reply.ok();
    Ok(())
}
