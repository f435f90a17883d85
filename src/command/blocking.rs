//! Commands that wait for a key.
//!
//! A command that finds nothing to answer with asks for a wait ([`Ctx::wait`]): the client is set aside with its request
//! and reads nothing more. When a command has changed keys that are waited for, the clients that wait for them run their
//! requests again, in the order in which they came, before anything else happens. A request that again finds nothing
//! waits on, behind the others, until its old deadline.

use std::ops::Range;
use std::rc::Rc;

use super::error::{Error, Outcome};
use super::replication::answer_wait;
use super::state::Server;
use super::table::Registered;
use super::{Ctx, Verdict, namespace};
use crate::effects::waiting::{Next, Ready, Waiter};
use crate::keyspace::entry::Type;
use crate::keyspace::{Key, Unsettled};
use crate::net::{Client, Closing, ReplyMode};
use crate::resp::{Args, KeptArgs};
use crate::types::long_double::LongDouble;
use crate::types::number::{parse_f64, parse_i64};

const TIMEOUT_TOO_LARGE: Error = Error::fixed("ERR timeout is out of range");
/// Bytes of reply that most clients get who have waited.
const SHORT_REPLY: usize = 256;
/// What CLIENT UNBLOCK ERROR makes a client read.
const UNBLOCKED: Error = Error::fixed("UNBLOCKED client unblocked via CLIENT UNBLOCK");

/// What a command waits for.
pub struct Wait {
    /// The positions of the keys.
    pub keys: Range<usize>,
    /// The type that a key must have.
    pub kind: Type,
    /// It waits for a key to be removed, or to become something else, as well.
    pub until_gone: bool,
    /// Until when, in milliseconds of uptime.
    pub deadline_ms: Option<u64>,
    /// What to run then, if that is not the command as it is; the keys stand in the same places.
    pub instead: Option<KeptArgs>,
}

impl Ctx<'_> {
    /// The deadline that a timeout in seconds means, in milliseconds of uptime; `None` for a timeout of 0, which never
    /// passes. Of a command that has waited it is the one that it began with.
    ///
    /// # Errors
    /// If it is not a number, negative, or too large.
    pub fn deadline(&self, text: &[u8]) -> Result<Option<u64>, Error> {
        if let Some(deadline_ms) = self.resumed {
            return Ok(deadline_ms);
        }
        // What is more than a double holds is a number all the same.
        let infinity = if text.first() == Some(&b'-') { f64::NEG_INFINITY } else { f64::INFINITY };
        let seconds = parse_f64(text).or_else(|| LongDouble::parse(text).map(|_| infinity));
        let seconds = seconds.ok_or(Error::fixed("ERR timeout is not a float or out of range"))?;
        let milliseconds = (seconds * 1000.0).ceil();
        if milliseconds < 0.0 {
            return Err(Error::fixed("ERR timeout is negative"));
        }
        // What is too large for Redis, too, fits no number of milliseconds.
        if milliseconds > i64::MAX as f64 {
            return Err(TIMEOUT_TOO_LARGE);
        }
        self.deadline_after(milliseconds as u64)
    }

    /// As [`Ctx::deadline`] for a timeout in milliseconds.
    ///
    /// # Errors
    /// If it is not a number, negative, or too large.
    pub fn deadline_in_ms(&self, text: &[u8]) -> Result<Option<u64>, Error> {
        if let Some(deadline_ms) = self.resumed {
            return Ok(deadline_ms);
        }
        let milliseconds = parse_i64(text).ok_or(Error::fixed("ERR timeout is not an integer or out of range"))?;
        let milliseconds = u64::try_from(milliseconds).map_err(|_| Error::fixed("ERR timeout is negative"))?;
        self.deadline_after(milliseconds)
    }

    fn deadline_after(&self, milliseconds: u64) -> Result<Option<u64>, Error> {
        let clock = &self.server.clock;
        // Redis counts in Unix time, so there are fewer milliseconds left than would fit.
        if milliseconds > i64::MAX as u64 - clock.unix_ms() {
            return Err(TIMEOUT_TOO_LARGE);
        }
        Ok((milliseconds > 0).then(|| clock.uptime_ms().saturating_add(milliseconds)))
    }

    /// Sets the client aside until one of the keys at these arguments holds a value of a type, or the deadline passes.
    /// Where nobody may wait, the time is over at once, and `nothing` writes the reply.
    pub fn wait(
        &mut self,
        args: &Args<'_>,
        keys: Range<usize>,
        kind: Type,
        deadline_ms: Option<u64>,
        nothing: impl FnOnce(&mut Ctx<'_>),
    ) -> Outcome {
        self.wait_for(args, Wait { keys, kind, until_gone: false, deadline_ms, instead: None }, nothing)
    }

    /// As [`Ctx::wait`], with more to say about the wait.
    pub fn wait_for(&mut self, args: &Args<'_>, wait: Wait, nothing: impl FnOnce(&mut Ctx<'_>)) -> Outcome {
        if self.in_exec {
            nothing(self);
            return Ok(());
        }
        let Wait { keys, kind, until_gone, deadline_ms, instead } = wait;
        let kept = instead.unwrap_or_else(|| args.copy());
        let waiter = Waiter { db: self.db, args: kept, keys, kind, until_gone, deadline_ms };
        self.server.keys.effects.waiting.add(self.token, waiter);
        self.set_aside(args);
        Ok(())
    }

    fn set_aside(&mut self, args: &Args<'_>) {
        self.server.clients[self.token].wait(args.total_bytes());
        self.blocked = true;
    }
}

impl Ctx<'_> {
    /// Sets the client aside until all that has been flushed is freed. Where nobody may wait, it is freed at once.
    pub fn wait_until_freed(&mut self, args: &Args<'_>) {
        if self.in_exec {
            while self.server.keys.free_slice() {}
        }
        // Nor does the master's stream wait for that: nobody there waits for the reply.
        if self.in_exec || self.server.is_master(self.token) {
            self.reply.ok();
            return;
        }
        // In Redis every client waits for a moment at least: that its copies are wrong comes before the reply.
        self.tell_first();
        if self.server.keys.is_freed() {
            self.reply.ok();
            return;
        }
        self.set_aside(args);
        let client_id = self.server.clients[self.token].id;
        let wait = FlushWait { token: self.token, client_id, since: self.ticks, args: args.copy() };
        self.server.flushing.push(wait);
    }
}

/// Until when a command waits while keys of invalidated tags are removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// All counts are known: then it runs again.
    Settled,
    /// Some more have been removed: then it runs again.
    NextTurn,
    /// It is known how many keys it removed, by its claim: that is its reply.
    Counted(u64),
}

/// A client whose command waits for that.
pub struct SweepWait {
    token: usize,
    client_id: u64,
    /// The database that its command is meant for.
    db: usize,
    /// The cycle clock when it began.
    since: u64,
    until: Until,
    args: Rc<KeptArgs>,
}

impl Ctx<'_> {
    /// Asks something that may have to wait until more keys of invalidated tags are removed; `None` if the client has been set
    /// aside for that, to run its command again. Where nobody may wait, they are removed at once.
    pub fn ask_settled<T>(
        &mut self,
        args: &Args<'_>,
        until: Until,
        ask: impl Fn(&mut Ctx<'_>) -> Result<T, Unsettled>,
    ) -> Option<T> {
        loop {
            match ask(self) {
                Ok(answer) => return Some(answer),
                Err(Unsettled) if self.in_exec => self.server.keys.sweep_now(),
                Err(Unsettled) => {
                    self.wait_for_sweep(args, Rc::new(args.copy()), until);
                    return None;
                }
            }
        }
    }

    /// Sets the client aside while keys of invalidated tags are removed. `kept` are its command's arguments.
    pub fn wait_for_sweep(&mut self, args: &Args<'_>, kept: Rc<KeptArgs>, until: Until) {
        self.set_aside(args);
        let client_id = self.server.clients[self.token].id;
        let (token, db, since) = (self.token, self.db, self.ticks);
        let wait = SweepWait { token, client_id, db, since, until, args: kept };
        self.server.sweep_waits.push(wait);
    }
}

/// Ends a command that waits, or that has changed keys which are waited for, or whose client has to be counted.
#[cold]
pub(super) fn settle(cx: &mut Ctx<'_>) -> Verdict {
    if cx.server.budget.is_on() {
        let (server, token) = (&mut *cx.server, cx.token);
        std::mem::swap(&mut server.clients[token].output, &mut cx.reply.out);
        // Who is over its own limit does not make others go.
        server.check_output(token);
        server.count_client(token);
        server.end_large_clients();
        std::mem::swap(&mut server.clients[token].output, &mut cx.reply.out);
    }
    // What a command changes that runs again is looked at when all that became ready with its key have been served.
    // The same goes for what a script has changed so far.
    if cx.resumed.is_none() && cx.server.scripts.running.is_none() {
        serve(cx.server);
    }
    if cx.blocked { Verdict::Blocked } else { Verdict::Done }
}

/// Runs the commands that wait for keys which have changed.
pub fn serve(server: &mut Server) {
    // The command that is running may be the master's.
    let before = server.keys.set_overdue(server.keys.overdue_otherwise());
    while let Some(ready) = server.keys.effects.waiting.take_ready() {
        serve_key(server, &ready);
    }
    server.keys.set_overdue(before);
}

/// Runs the commands that wait for a key, each once at most, as long as there is something for them.
fn serve_key(server: &mut Server, ready: &Ready) {
    let key = Key { bytes: &ready.key, hash: ready.hash };
    // Who waits again has had its chance.
    let end = server.keys.effects.waiting.next_turn();
    let mut behind = None;
    loop {
        let kind = server.keys.view(ready.db, key).map(|entry| entry.kind());
        let next = server.keys.effects.waiting.next(ready, behind, kind);
        let Some(Next { turn, token, waiter, is_alone }) = next.filter(|next| next.turn < end) else { return };
        behind = Some(turn);
        if waiter.until_gone || Some(waiter.kind) == kind {
            run_again(server, token);
        }
        if is_alone {
            return;
        }
    }
}

/// Ends a client's wait. `None` if it does not wait, or for nothing that can be cut short.
fn release(server: &mut Server, token: usize) -> Option<Waiter> {
    let waiter = server.keys.effects.waiting.remove(token)?;
    server.clients[token].go_on();
    Some(waiter)
}

/// Runs the command that a client waits in.
fn run_again(server: &mut Server, token: usize) {
    if let Some(waiter) = release(server, token) {
        run_kept(server, token, waiter.args, waiter.deadline_ms);
    }
}

/// Runs a command again that a client has waited in.
fn run_kept(server: &mut Server, token: usize, mut kept: KeptArgs, deadline_ms: Option<u64>) {
    if server.clients[token].closing.is_some() {
        return;
    }
    let mut args = kept.args();
    let verdict = server.names.find(&args[0]).map(|command| {
        let mut cx = Ctx::new(server, token);
        if !cx.reply.out.has_buffer() {
            cx.reply.out.lend(Vec::with_capacity(SHORT_REPLY));
        }
        cx.resumed = Some(deadline_ms);
        // It goes on where it stopped, as if it had begun so much earlier.
        cx.ticks = cx.ticks.wrapping_sub(cx.server.clients[token].spent_ticks);
        let verdict = cx.run(Some(command), &mut args, None);
        cx.finish();
        verdict
    });
    match verdict {
        Some(Verdict::Blocked) => {}
        Some(Verdict::Postponed) => {
            let mut request = Vec::new();
            args.encode(&mut request);
            server.clients[token].replay.splice(0..0, request);
            server.hold_up(token);
        }
        Some(Verdict::Done) | None => resume(server, token),
    }
}

/// Lets a client that has waited be served, if it has asked for more meanwhile: the loop does not wake for one that has not.
fn resume(server: &mut Server, token: usize) {
    if server.clients[token].may_have_asked() {
        server.resumed.push(token);
    }
}

/// Ends the wait of those whose time is over.
pub fn end_overdue(server: &mut Server) {
    let now_ms = server.clock.uptime_ms();
    while let Some(token) = server.keys.effects.waiting.overdue(now_ms) {
        unblock(server, token, false);
    }
}

/// A client whose command waits until the memory of what it deleted is back.
pub struct FlushWait {
    token: usize,
    client_id: u64,
    /// The cycle clock when it began.
    since: u64,
    args: KeptArgs,
}

/// Answers those whose memory is back.
pub fn end_flushes(server: &mut Server) {
    if server.flushing.is_empty() || !server.keys.is_freed() {
        return;
    }
    for wait in std::mem::take(&mut server.flushing) {
        let waits = |client: &Client| client.id == wait.client_id && client.blocked;
        if server.clients.get(wait.token).is_some_and(|client| waits(client)) {
            server.clients[wait.token].go_on();
            // Unlike a wait for a key, this is the command's own work.
            server.clients[wait.token].spent_ticks = server.cycles.raw().wrapping_sub(wait.since);
            end_wait(server, wait.token, wait.args, false, |cx| cx.reply.ok());
        }
    }
}

/// Goes on with those that have waited for keys of invalidated tags to be removed, in the order in which they came.
pub fn end_sweeps(server: &mut Server) {
    if server.sweep_waits.is_empty() {
        return;
    }
    let mut left = Vec::new();
    for wait in std::mem::take(&mut server.sweep_waits) {
        let waits = |client: &Client| client.id == wait.client_id && client.blocked;
        let waits = server.clients.get(wait.token).is_some_and(|client| waits(client));
        match wait.until {
            // The count is taken even if nobody wants it any more.
            Until::Counted(claim) => match server.keys.take_count(claim) {
                Some(count) if waits => {
                    // It may have been journalled while it waited.
                    server.clients[wait.token].written = server.keys.effects.journal.offset();
                    server.clients[wait.token].go_on();
                    server.clients[wait.token].spent_ticks = server.cycles.raw().wrapping_sub(wait.since);
                    end_wait(server, wait.token, Rc::unwrap_or_clone(wait.args), false, |cx| cx.reply.count(count));
                }
                Some(_) => {}
                None => left.push(wait),
            },
            _ if !waits => {}
            _ if server.clients[wait.token].db != wait.db => {
                // The namespace is no more; for where the client is now, the command was not meant.
                server.clients[wait.token].go_on();
                let args = Rc::unwrap_or_clone(wait.args);
                end_wait(server, wait.token, args, true, |cx| cx.error(&namespace::DELETED));
            }
            // Who came before may have invalidated something in turn.
            Until::Settled if !server.keys.is_settled() => left.push(wait),
            Until::Settled | Until::NextTurn => {
                server.clients[wait.token].go_on();
                run_kept(server, wait.token, Rc::unwrap_or_clone(wait.args), None);
            }
        }
    }
    left.append(&mut server.sweep_waits);
    server.sweep_waits = left;
}

/// Ends a client's wait as if its time were over, or with an error. Returns whether it waited.
pub fn unblock(server: &mut Server, token: usize, with_error: bool) -> bool {
    let for_key = server.keys.effects.waiting.has_keys(token);
    unblock_with(server, token, with_error, |cx| {
        if with_error {
            cx.error(&UNBLOCKED);
        } else if for_key {
            cx.reply.null_array();
        } else {
            answer_wait(cx);
        }
    })
}

/// Ends a client's wait with this answer. Returns whether it waited.
pub fn unblock_with(server: &mut Server, token: usize, failed: bool, answer: impl FnOnce(&mut Ctx<'_>)) -> bool {
    let Some(waiter) = release(server, token) else { return false };
    end_wait(server, token, waiter.args, failed, answer);
    true
}

/// Ends a wait without running the command again: counts the command, and answers it.
fn end_wait(server: &mut Server, token: usize, mut kept: KeptArgs, failed: bool, answer: impl FnOnce(&mut Ctx<'_>)) {
    let args = kept.args();
    let command = server.names.find(&args[0]);
    if let Some(command) = command {
        count_end(server, token, command, &args, failed);
    }
    answer_end(server, token, command, answer);
}

/// Ends all waits: the server does not take writes any more, which those who wait were to see, or to do. Their connections end,
/// so that they look for a server that does.
pub fn end_all(server: &mut Server) {
    const CHANGED: Error =
        Error::fixed("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)");
    let blocked = server.clients.iter().filter(|(_, client)| client.blocked && client.link.is_none());
    for token in blocked.map(|(token, _)| token).collect::<Vec<_>>() {
        let flushes = |wait: &FlushWait| wait.token == token;
        if let Some(at) = server.flushing.iter().position(flushes) {
            // What it waits for comes all the same.
            let wait = server.flushing.swap_remove(at);
            server.clients[token].go_on();
            end_wait(server, token, wait.args, false, |cx| cx.reply.ok());
        } else if !unblock_with(server, token, true, |cx| cx.error(&CHANGED)) {
            // Invalidations end by themselves.
            continue;
        }
        server.close(token, Closing::AfterReply);
    }
}

/// Counts a command whose wait has ended.
fn count_end(server: &mut Server, token: usize, command: &'static Registered, args: &Args<'_>, failed: bool) {
    let mut cx = Ctx::new(server, token);
    cx.command = command;
    cx.count_wait(args, failed);
    cx.finish();
}

/// Answers a command whose wait has ended.
fn answer_end(
    server: &mut Server,
    token: usize,
    command: Option<&'static Registered>,
    answer: impl FnOnce(&mut Ctx<'_>),
) {
    let mode = server.clients[token].reply_mode;
    let mut cx = Ctx::new(server, token);
    let before = cx.reply.out.len();
    cx.command = command.unwrap_or(cx.command);
    cx.forget_caching();
    answer(&mut cx);
    if mode == ReplyMode::Never {
        cx.server.end_answered_replica(token);
    }
    if mode != ReplyMode::On {
        cx.reply.out.truncate(before);
    }
    cx.finish();
    if mode == ReplyMode::Skip {
        server.clients[token].reply_mode = ReplyMode::On;
    }
    resume(server, token);
}
