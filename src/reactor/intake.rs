//! What comes from clients and what goes to them: reading, running, sending.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use mio::{Interest, Registry, Token};

use super::batch::{Batch, Behind, Parsing, Served};
use crate::command::client::describe;
use crate::command::state::Server;
use crate::net::client::{LONG_READ, READ_SIZE};
use crate::net::{Client, Closing, ReplyMode};
use crate::observe::reason;
use crate::resp::ProtocolError;

/// Bytes of a big argument that one turn reads.
const BIG_READ: usize = 1 << 20;
/// To copy an argument of so many bytes costs more than another read.
const COPIED: usize = 64 * 1024;
/// [`READ_SIZE`] doubled so often is [`LONG_READ`].
const MOST_DOUBLINGS: u8 = (LONG_READ / READ_SIZE).ilog2() as u8;
/// Bytes that one turn writes to a client.
const WRITE_LIMIT: usize = 4 << 20;
/// A client that may queue output without limit is not read while it leaves so much unread.
const BACKPRESSURE: usize = 64 << 20;
/// Nor is one while so many bytes of replies wait for the disk: else they would wait until it stops writing.
const MOST_HELD: usize = 64 << 10;
/// So much is kept of what clients send while they wait, in bytes, and a big argument that they have begun. Who has more to say and
/// leaves without having said it is found by keepalive.
const MOST_OVERHEARD: usize = 1 << 20;
/// A master's arguments may be as long as this, whatever clients may send, in bytes.
const MASTER_BULK: u64 = 1 << 30;
/// No argument is longer than this, in bytes, whatever the settings allow: keys, fields and tags know their lengths in 32 bits.
const MOST_BULK: u64 = (1 << 32) - (1 << 20);
/// What a client that has not authenticated may send without finishing a command.
const UNAUTHENTICATED_INPUT: usize = 1 << 20;

/// Clients to serve, and the buffers that this takes.
pub struct Intake {
    batch: Batch,
    /// Clients to serve.
    ready: VecDeque<usize>,
}

impl Intake {
    /// Nobody yet. Who sent what is `behind` a command from within which others may be served is found there.
    pub fn new(behind: Rc<Behind>) -> Intake {
        Intake { batch: Batch::new(behind), ready: VecDeque::new() }
    }

    /// Whether nobody is to be served.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Those who are still to be served, who are not any more.
    pub fn drain(&mut self) -> impl Iterator<Item = usize> + '_ {
        self.ready.drain(..)
    }

    /// Puts a client behind those that are to be served.
    pub fn enqueue(&mut self, server: &mut Server, token: usize) {
        // Between being told of and being served it may have gone.
        let Some(client) = server.clients.get_mut(token) else { return };
        if !client.queued {
            client.queued = true;
            self.ready.push_back(token);
        }
    }

    /// Serves every client that is ready once.
    pub fn serve(&mut self, server: &mut Server) {
        let mut left = self.ready.len();
        while left > 0 {
            while left > 0 && !self.batch.is_full() {
                left -= 1;
                if let Some(token) = self.ready.pop_front() {
                    self.gather(server, token);
                }
            }
            let Intake { batch, ready } = self;
            batch.run(server, |server, token, served| {
                let more = match served {
                    Served::All => server.clients[token].readable,
                    Served::More => true,
                    Served::Paused => {
                        server.hold_up(token);
                        server.clients[token].readable
                    }
                    Served::Blocked => {
                        // Nothing will tell again that it has gone. What came before the command is answered.
                        if server.clients[token].hung_up {
                            let answered = !server.clients[token].output.is_empty();
                            server.close(token, if answered { Closing::AfterReply } else { Closing::Now });
                        }
                        // No command ends the wait that it begins itself. If one did, whoever ended it did not see what the
                        // client asks next, which has only now been put back; nobody else would run that.
                        let client = &server.clients[token];
                        client.readable || !client.blocked && client.may_have_asked()
                    }
                    Served::Broken(error, bytes) => {
                        protocol_error(server, token, &error, &bytes);
                        false
                    }
                };
                check_input(server, token);
                let client = &mut server.clients[token];
                if more && !client.queued && client.closing.is_none() {
                    client.queued = true;
                    ready.push_back(token);
                }
            });
        }
    }

    /// Reads what a client sent and hands it to the batch.
    fn gather(&mut self, server: &mut Server, token: usize) {
        let Some(client) = server.clients.get_mut(token) else { return };
        client.queued = false;
        if client.closing.is_some() {
            return;
        }
        if client.paused || client.blocked {
            return self.overhear(server, token);
        }
        if client.output.len() > MOST_HELD {
            let unlimited = server.settings.client_output_buffer_limits[0].hard_bytes == 0;
            client.stalled = (unlimited && client.output.len() > BACKPRESSURE) || server.aof.holds(client.written);
            if client.stalled {
                return;
            }
        }
        if client.link.as_ref().is_some_and(|link| !link.is_online()) {
            return self.hear_link(server, token);
        }
        if !client.may_have_asked() {
            return;
        }
        // What was held up comes before anything new.
        let held_up = !client.replay.is_empty();
        let mut finished = false;
        if client.parser.big_arg().is_some() && !held_up {
            finished = read_big_arg(server, token);
            if !finished {
                return self.read_on(server, token);
            }
        }
        let client = &mut server.clients[token];
        let start = self.batch.arena().len();
        if client.readable && !held_up && !client.behind {
            // As much again of a request that is not complete: a long one takes a few turns, not one for each piece. So with many
            // requests of which reads bring only a part.
            let most = (READ_SIZE << client.read_doublings).max(client.input.len().min(LONG_READ));
            let came = client.stream.read_into(self.batch.arena(), most);
            match came {
                Ok(read) if read == most => client.read_doublings = MOST_DOUBLINGS.min(client.read_doublings + 1),
                Ok(read) if read < most / 4 => client.read_doublings = client.read_doublings.saturating_sub(1),
                _ => {}
            }
            // Where nothing comes any more, what has just been finished runs first: the end is read again in the next turn.
            let over = finished && is_end(&came);
            if !over && !received(server, token, came, most) {
                return;
            }
        }
        let Server { clients, names, keys, settings, acl, .. } = server;
        // What the master took its replicas have to take, within reason: memory is set aside for what is announced.
        let most = if clients[token].link.is_some() { MASTER_BULK } else { 0 };
        let max_bulk = settings.proto_max_bulk_len.max(most).min(MOST_BULK);
        let parsing = Parsing { names, keys, max_bulk, open: acl.is_open() };
        self.batch.gather(token, &mut clients[token], parsing, start);
    }

    /// Reads from a client that waits. Nothing of that runs yet, but behind it may come the end of the stream, of which nobody would
    /// be told as long as the socket is full.
    #[cold]
    fn overhear(&mut self, server: &mut Server, token: usize) {
        let client = &mut *server.clients[token];
        if !client.readable || client.link.is_some() {
            return;
        }
        if client.parser.big_arg().is_some() {
            let finished = read_big_arg(server, token);
            server.clients[token].behind |= finished;
        } else if client.input.len() + client.replay.len() < MOST_OVERHEARD {
            let arena = self.batch.arena();
            let start = arena.len();
            let came = client.stream.read_into(arena, LONG_READ);
            client.input.extend_from_slice(&arena[start..]);
            arena.truncate(start);
            client.behind |= !client.input.is_empty();
            if received(server, token, came, LONG_READ) {
                check_input(server, token);
            }
        } else {
            if client.hung_up {
                // Its end has been told, and nobody reads as far as that.
                server.close(token, Closing::Now);
            }
            return;
        }
        self.read_on(server, token);
    }

    /// Has a client read again that may have sent more.
    fn read_on(&mut self, server: &mut Server, token: usize) {
        let client = &server.clients[token];
        if client.readable && client.closing.is_none() {
            self.enqueue(server, token);
        }
    }

    /// Reads what a master sends before the stream.
    #[cold]
    fn hear_link(&mut self, server: &mut Server, token: usize) {
        if !server.link_listens(token) || !server.clients[token].readable {
            return;
        }
        let Client { stream, input, .. } = &mut *server.clients[token];
        let came = stream.read_into(input, BIG_READ);
        if !received(server, token, came, BIG_READ) {
            return;
        }
        server.link_heard(token);
        self.read_on(server, token);
    }

    /// Sends what waits to be sent at once. A client whose script is `busy` keeps its replies, and so do those whose writes are
    /// still to be told to who keeps a copy of the data.
    pub fn send(&mut self, server: &mut Server, busy: Option<usize>) {
        let journal = &server.keys.effects.journal;
        let (within_unit, read) = (journal.is_within_unit(), journal.read_offset());
        let (mut unsent, mut kept) = (std::mem::take(&mut server.unsent), Vec::new());
        for token in unsent.drain(..) {
            // Who was to be sent something may have gone, and the token be another's.
            let Some(client) = server.clients.get_mut(token).filter(|client| client.unsent) else { continue };
            if Some(token) == busy || (within_unit && client.written > read) {
                kept.push(token);
                continue;
            }
            if server.aof.holds(client.written) {
                server.aof.hold(token);
                continue;
            }
            client.unsent = false;
            self.send_to(server, token);
        }
        // Its memory serves the next turn.
        unsent.append(&mut server.unsent);
        unsent.append(&mut kept);
        server.unsent = unsent;
        server.end_large_clients();
    }

    /// Sends messages to those who have waited longest for them, to one at least, until it is `enough`. Who is told more before its
    /// turn comes gets all of that in one piece: so the more is published, the less does each message cost.
    pub fn deliver(&mut self, server: &mut Server, busy: Option<usize>, mut enough: impl FnMut(&Server) -> bool) {
        while let Some(token) = server.messaged.pop_front() {
            let Some(client) = server.clients.get_mut(token) else { continue };
            let told = std::mem::take(&mut client.messaged) && !client.output.is_empty();
            // What goes out with replies waits for as long as they do.
            if told && !client.unsent && !client.blocked_on_write && Some(token) != busy {
                self.send_to(server, token);
                if enough(server) {
                    break;
                }
            }
        }
        server.end_large_clients();
    }

    /// Sends a client its output, as much as it takes.
    fn send_to(&mut self, server: &mut Server, token: usize) {
        let client = &mut *server.clients[token];
        let waiting = client.output.len();
        let full = waiting > client.reply_buffer;
        if full {
            // Before anything is sent: who gets too much gets nothing of it.
            server.check_output(token);
        }
        let client = &mut *server.clients[token];
        client.reply_peak = client.reply_peak.max(waiting.min(client.reply_buffer));
        let (mut left, mut budget) = (client.output.len(), WRITE_LIMIT);
        while left > 0 && budget > 0 && client.closing != Some(Closing::Now) {
            match client.output.write_to(&mut client.stream) {
                Ok(sent) => {
                    client.sent += sent as u64;
                    client.active_ms = server.clock.uptime_ms();
                    server.stats.net_output_bytes += sent as u64;
                    if client.replica.is_some() {
                        server.stats.replication_output_bytes += sent as u64;
                    }
                    server.stats.writes_processed += 1;
                    left -= sent;
                    budget = budget.saturating_sub(sent);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) if client.behind && client.closing.is_none() => {
                    // What it has sent runs, although nobody hears of it.
                    client.output.clear();
                    left = 0;
                }
                Err(error) => {
                    log::debug!("Error writing to client: {}", reason(&error));
                    client.close(Closing::Now);
                    server.dying.push(token);
                    break;
                }
            }
        }
        if full && left <= client.reply_buffer {
            client.over_soft_limit_since = None;
        }
        if left == 0 {
            self.batch.reclaim(client);
            if client.blocked_on_write {
                client.blocked_on_write = false;
                watch(server.listeners.registry(), client, token, Interest::READABLE);
            }
            let (stalled, closing) = (std::mem::take(&mut client.stalled), client.closing.is_some());
            if stalled {
                self.enqueue(server, token);
            }
            if closing {
                server.dying.push(token);
            }
        } else if budget == 0 {
            server.will_send(token);
        } else if !client.blocked_on_write {
            client.blocked_on_write = true;
            watch(server.listeners.registry(), client, token, Interest::READABLE | Interest::WRITABLE);
        }
        server.count_client(token);
    }
}

/// Reads what is missing of a big argument, or a part of that; whether the argument is whole now.
fn read_big_arg(server: &mut Server, token: usize) -> bool {
    let client = &mut *server.clients[token];
    let Some(big) = client.parser.big_arg() else { return false };
    let (bytes, missing) = big.remaining();
    if bytes.len() + missing >= COPIED {
        // The less comes with the head of the next one, the less of it is copied.
        client.read_doublings = 0;
    }
    let most = missing.min(BIG_READ);
    let came = client.stream.read_into(bytes, most);
    let complete = matches!(came, Ok(read) if read == missing);
    if !received(server, token, came, most) {
        return false;
    }
    check_input(server, token);
    let client = &mut server.clients[token];
    let finished = complete && client.closing.is_none();
    if finished {
        client.parser.finish_big_arg();
    }
    finished
}

/// Whether a read says that nothing comes any more.
fn is_end(came: &io::Result<usize>) -> bool {
    match came {
        Ok(read) => *read == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    }
}

/// Notes what a read of up to `most` bytes brought; false if the connection is over.
#[inline]
fn received(server: &mut Server, token: usize, came: io::Result<usize>, most: usize) -> bool {
    let client = &mut server.clients[token];
    match came {
        Ok(0) => {
            log::debug!("Client closed connection {}", describe(server, token));
            server.close(token, Closing::Now);
            return false;
        }
        Ok(read) => {
            // Less than asked for: the socket is empty, and the poll tells when it is not. The end of the stream has
            // been told already, and is still to be read.
            client.readable = read == most || client.hung_up;
            client.received += read as u64;
            client.active_ms = server.clock.uptime_ms();
            server.stats.net_input_bytes += read as u64;
            if client.link.is_some() {
                server.stats.replication_input_bytes += read as u64;
            }
            server.stats.reads_processed += 1;
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => client.readable = false,
        Err(error) if error.kind() == ErrorKind::Interrupted => {}
        Err(error) => {
            log::debug!("Reading from client: {}", reason(&error));
            server.close(token, Closing::Now);
            return false;
        }
    }
    true
}

fn watch(registry: &Registry, client: &mut Client, token: usize, interest: Interest) {
    if let Err(error) = registry.reregister(client.stream.source(), Token(token), interest) {
        log::warn!("A connection could not be watched: {}", reason(&error));
        client.close(Closing::Now);
    }
}

/// Tells a client that it does not speak RESP, and that this is the end.
fn protocol_error(server: &mut Server, token: usize, error: &ProtocolError, bytes: &[u8]) {
    log::debug!(
        "Protocol error ({error}) from client: {}. Query buffer of {} bytes during protocol error.",
        describe(server, token),
        bytes.len()
    );
    if server.is_master(token) {
        if *error == ProtocolError::InlineFromMaster {
            log::warn!(
                "WARNING: Receiving inline protocol from master, master stream corruption? Closing the master connection and \
                 discarding the cached master."
            );
        }
        log::warn!("Protocol error ({error}) from master");
        server.forget_history();
    }
    // Who wants no replies gets none, not even the last.
    if server.clients[token].reply_mode == ReplyMode::On {
        let tail = server.clients[token].output.tail();
        tail.extend_from_slice(b"-ERR ");
        tail.extend(error.text().into_iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
        tail.extend_from_slice(b"\r\n");
    }
    server.stats.error_replies += 1;
    server.error_stats.count("ERR");
    server.will_send(token);
    server.close(token, Closing::AfterReply);
}

/// Ends a connection whose unfinished request has become too long.
#[inline]
fn check_input(server: &mut Server, token: usize) {
    let client = &server.clients[token];
    let kept = client.transaction.as_ref().map_or(0, |transaction| transaction.bytes());
    let held = client.kept_input() + kept;
    if held > 0 {
        check_held(server, token, held);
    }
    if server.counts_clients() {
        server.note_client(token);
        server.end_large_clients();
    }
}

/// As [`check_input`], where a client has so many bytes of requests that have not run.
#[cold]
fn check_held(server: &mut Server, token: usize, held: usize) {
    let client = &server.clients[token];
    server.stats.recent_max_input.note(held);
    let limit = server.settings.client_query_buffer_limit as usize;
    let trusted = client.authenticated || server.acl.is_open();
    if (held > limit && client.link.is_none()) || (!trusted && held > UNAUTHENTICATED_INPUT) {
        log::warn!("Closing client that reached max query buffer length: {}", describe(server, token));
        server.stats.query_buffer_limit_disconnections += 1;
        server.close(token, Closing::Now);
    }
}
