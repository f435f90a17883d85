//! The link to the master: how a replica reaches it, introduces itself, gets a snapshot where it must, and carries out the stream.
//!
//! The link is a client from the first attempt to connect on, but not one that others see before it is online. Until then what
//! comes over it does not go to the parser of requests but to [`Server::link_heard`]: first the answers of the
//! [`handshake`], then perhaps a [`snapshot`]. From then on it is a client like any, save that its commands are
//! not asked whether they may run, that nobody gets the replies, and that their text, once they have run, is the server's own
//! stream ([`Server::stream_heard`]).
//!
//! What is known of the master lives in [`Following`], and what of it ends with the connection, in [`Link`]. A lost link is tried
//! again, once a second at most, until the server is told to follow somebody else, or nobody.

mod direct;
mod handshake;
mod snapshot;
mod wire;

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::thread;

use mio::net::TcpStream;
use mio::{Interest, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::command::client::describe;
use crate::command::error::Error;
use crate::command::state::Server;
use crate::config::{Endpoint, PropagationErrorBehavior};
use crate::effects::journal::encode;
use crate::net::{Client, Closing, ReplyMode, Stream};
use crate::observe::log::{Role, set_role};
use crate::observe::reason;
use crate::replication::backlog::Backlog;
use handshake::Question;
pub use snapshot::{Progress, Reception};

/// Time between two attempts, and between two reports of how far the stream has been carried out.
const SECOND_MS: u64 = 1000;
/// So many moments at which the append-only file had a part of the stream are remembered at most.
const MARKS: usize = 128;

/// How far the link is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// There is none: it is tried again soon.
    Down,
    /// The connection is being made.
    Connecting,
    /// Both ends introduce themselves.
    Handshake,
    /// A snapshot comes, or is taken in.
    Snapshot,
    /// The stream is carried out as it comes.
    Online,
}

/// The connection to the master; see [`crate::net::Client::link`].
#[derive(Default)]
pub struct Link {
    /// The stream comes.
    online: bool,
    /// What the master has been asked and has not answered yet.
    awaited: VecDeque<Question>,
    /// The snapshot that comes.
    reception: Option<Box<Reception>>,
    /// Other addresses of the master, which may be better.
    others: Vec<SocketAddr>,
    /// Text of commands that have run, behind which the stream must not be cut yet: of a transaction, or one that waits.
    held: Vec<u8>,
    /// Why it ends has been told.
    ends: bool,
}

impl Link {
    /// Whether the stream comes.
    #[inline]
    pub fn is_online(&self) -> bool {
        self.online
    }

    /// Bytes of the stream that have been carried out as a part of something that is not over.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }
}

/// A server that is followed.
pub struct Following {
    pub host: String,
    pub port: u16,
    pub stage: Stage,
    /// The token of the connection, if there is one.
    pub token: Option<usize>,
    /// When something came from the master last, in milliseconds of uptime.
    pub heard_ms: u64,
    /// Since when there is no link, in Unix seconds; `None` if there never was one.
    pub down_since: Option<u64>,
    /// The snapshot that comes or is taken in, as INFO tells it.
    pub progress: Progress,
    /// Which attempt it is: what belongs to an older one is for nobody.
    attempt: u64,
    /// When the last one was, in milliseconds of uptime.
    tried_ms: Option<u64>,
    /// How many bytes the connection had received when that was looked at last.
    seen_bytes: u64,
    /// The data are those of a stream's offset: the master may go on from there.
    has_history: bool,
    /// The master knows no offsets.
    by_sync: bool,
    /// When the master was told last how far this server is, in milliseconds of uptime.
    told_ms: u64,
    /// Offsets of the journal and of the stream that belong together, and how much of the stream is durable.
    marks: VecDeque<(u64, u64)>,
    durable: u64,
    /// When the append-only file is to be turned on again, in milliseconds of uptime.
    file_due_ms: Option<u64>,
}

impl Following {
    /// A server that is to be followed. `has_history` says whether the data are those of [`super::Replication::offset`].
    pub fn new(Endpoint { host, port }: Endpoint, has_history: bool) -> Following {
        Following {
            host,
            port,
            stage: Stage::Down,
            token: None,
            heard_ms: 0,
            down_since: None,
            progress: Progress::default(),
            attempt: 0,
            tried_ms: None,
            seen_bytes: 0,
            has_history,
            by_sync: false,
            told_ms: 0,
            marks: VecDeque::new(),
            durable: 0,
            file_due_ms: None,
        }
    }

    /// Whether the stream comes.
    pub fn is_online(&self) -> bool {
        self.stage == Stage::Online
    }

    /// The data are those of a stream's offset after all.
    pub fn has_found_history(&mut self) {
        self.has_history = true;
    }

    /// Whether the data are those of an offset in the master's stream.
    pub fn has_history(&self) -> bool {
        self.has_history
    }

    /// Whether the connection, which has received so many bytes, has received some since that was looked at.
    pub fn has_news(&self, received: u64) -> bool {
        received != self.seen_bytes
    }
}

// --- whom to follow ---------------------------------------------------------------------------------------------

impl Server {
    /// Follows a master from now on.
    pub fn follow(&mut self, master: Endpoint) {
        let was = self.replication.following.take();
        let has_history = was.as_ref().is_none_or(|following| following.has_history);
        if let Some(following) = &was {
            self.drop_link(following.token);
        } else {
            self.stop_source();
            log::info!(
                "Before turning into a replica, using my own master parameters to synthesize a cached master: I may be \
                 able to synchronize with the new master with just a partial transfer."
            );
            if self.replication.backlog.is_none() {
                self.replication.backlog = Some(Backlog::new(self.replication.offset));
            }
        }
        let mut following = Following::new(master.clone(), has_history);
        following.file_due_ms = was.and_then(|following| following.file_due_ms);
        log::info!("Connecting to MASTER {}:{}", master.host, master.port);
        self.replication.following = Some(Box::new(following));
        self.settings.replicaof = Some(master);
        set_role(Role::Replica);
        self.role_changed();
        self.connect_link();
    }

    /// Follows nobody from now on. Returns whether it followed somebody.
    pub fn unfollow(&mut self) -> bool {
        let Some(following) = self.replication.following.take() else { return false };
        self.settings.replicaof = None;
        set_role(Role::Master);
        self.drop_link(following.token);
        self.replication.branch_stream();
        if let Some(ancestor) = &self.replication.ancestor {
            log::info!(
                "Setting secondary replication ID to {}, valid up to offset: {}. New replication ID is {}",
                ancestor.id,
                ancestor.until,
                self.replication.id
            );
        }
        // They are to learn the new name.
        self.disconnect_replicas();
        self.begin_source();
        self.role_changed();
        if following.file_due_ms.is_some()
            && self.settings.appendonly
            && let Err(why) = self.turn_aof_on()
        {
            log::warn!("The append-only file is off: {why}");
        }
        true
    }

    /// Ends the connection to the master that was followed.
    fn drop_link(&mut self, token: Option<usize>) {
        if let Some(token) = token {
            self.clients[token].link = None;
            self.close(token, Closing::Now);
        }
    }
}

// --- the connection ---------------------------------------------------------------------------------------------

impl Server {
    /// Begins to make the connection.
    fn connect_link(&mut self) {
        let now_ms = self.clock.uptime_ms();
        let outbox = self.outbox.clone();
        let Some(following) = &mut self.replication.following else { return };
        following.stage = Stage::Connecting;
        self.replication.attempts += 1;
        following.attempt = self.replication.attempts;
        following.tried_ms = Some(now_ms);
        following.heard_ms = now_ms;
        following.by_sync = false;
        let (host, port, attempt) = (following.host.clone(), following.port, following.attempt);
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.open_link(vec![SocketAddr::new(address, port)]);
        }
        // To look up a name may take seconds.
        let look_up = move || {
            let found = (host.as_str(), port).to_socket_addrs().map(|found| found.collect::<Vec<_>>());
            outbox.send(move |server: &mut Server| server.looked_up(attempt, found));
        };
        if let Err(error) = thread::Builder::new().name("resolver".to_string()).spawn(look_up) {
            self.link_unmade(&error);
        }
    }

    fn looked_up(&mut self, attempt: u64, found: io::Result<Vec<SocketAddr>>) {
        let current = |following: &Following| following.attempt == attempt && following.stage == Stage::Connecting;
        if !self.replication.following.as_ref().is_some_and(|following| current(following)) {
            return;
        }
        match found {
            Ok(addresses) => self.open_link(addresses),
            Err(error) => self.link_unmade(&error),
        }
    }

    fn link_unmade(&mut self, error: &io::Error) {
        log::warn!("Unable to connect to MASTER: {}", reason(error));
        if let Some(following) = &mut self.replication.following {
            following.stage = Stage::Down;
        }
    }

    /// Opens the connection to the first address that is not refused at once.
    fn open_link(&mut self, mut addresses: Vec<SocketAddr>) {
        let mut refusal = io::Error::from(io::ErrorKind::AddrNotAvailable);
        while !addresses.is_empty() {
            match self.open_link_to(addresses.remove(0)) {
                Ok(token) => {
                    if let Some(link) = &mut self.clients[token].link {
                        link.others = addresses;
                    }
                    log::info!("MASTER <-> REPLICA sync started");
                    return;
                }
                Err(error) => refusal = error,
            }
        }
        self.link_unmade(&refusal);
    }

    fn open_link_to(&mut self, address: SocketAddr) -> io::Result<usize> {
        let mut stream = Stream::Tcp(connect(address, &self.settings.bind_source_addr)?);
        let entry = self.clients.vacant_entry();
        let token = entry.key();
        // Until it is told to be writable the connection is being made.
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.listeners.registry().register(stream.source(), Token(token), interest)?;
        let mut client = Box::new(Client::new(stream, self.next_client_id, self.clock.uptime_ms()));
        self.next_client_id += 1;
        client.addr = address.to_string().into();
        client.is_local = address.ip().to_canonical().is_loopback();
        client.authenticated = true;
        client.reply_mode = ReplyMode::Off;
        client.blocked_on_write = true;
        encode(client.output.tail(), [&b"PING"[..]].into_iter());
        client.link = Some(Box::new(Link { awaited: VecDeque::from([Question::Ping]), ..Link::default() }));
        entry.insert(client);
        if let Some(following) = &mut self.replication.following {
            following.token = Some(token);
            following.seen_bytes = 0;
        }
        Ok(token)
    }

    /// The connection can be written to, or never will be.
    #[cold]
    pub fn link_made(&mut self, token: usize) {
        let Stream::Tcp(tcp) = &self.clients[token].stream else { return };
        let laddr = tcp.local_addr().map_or_else(|_| String::new(), |local| local.to_string());
        if let Ok(Some(error)) = tcp.take_error() {
            return self.fail_link(token, &format!("Error condition on socket for SYNC: {}", reason(&error)));
        }
        if let Some(following) = &mut self.replication.following
            && following.stage == Stage::Connecting
        {
            log::info!("Non blocking connect for SYNC fired the event.");
            following.stage = Stage::Handshake;
            self.clients[token].laddr = laddr.into();
        }
    }

    /// Ends the connection because something is wrong with it, which is told.
    fn fail_link(&mut self, token: usize, why: &str) {
        log::warn!("{why}");
        if let Some(link) = &mut self.clients[token].link {
            link.ends = true;
        }
        self.close(token, Closing::Now);
    }

    /// Something has come over a link that is not online yet, and waits in the client's input.
    #[cold]
    pub fn link_heard(&mut self, token: usize) {
        loop {
            let Some(following) = &mut self.replication.following else { return };
            let went_on = match following.stage {
                Stage::Handshake => self.hear_answer(token),
                Stage::Snapshot => self.hear_snapshot(token),
                Stage::Down | Stage::Connecting | Stage::Online => return,
            };
            if !went_on || self.clients[token].closing.is_some() {
                return;
            }
        }
    }

    /// Whether more is to be read from a link that is not online: not while what has come waits for the disk, or is taken in.
    pub fn link_listens(&self, token: usize) -> bool {
        let taken_in = self.replication.following.as_ref().is_some_and(|following| following.progress.is_whole);
        let reception = self.clients[token].link.as_ref().and_then(|link| link.reception.as_ref());
        !taken_in && reception.is_none_or(|reception| reception.has_room())
    }

    /// The stream begins, or goes on.
    fn begin_following(&mut self, token: usize) {
        let db = self.replication.stream_db;
        let client = &mut self.clients[token];
        let Some(link) = &mut client.link else { return };
        link.online = true;
        link.reception = None;
        client.parser.follow_master();
        client.db = db;
        // What has come already comes first.
        client.behind = !client.input.is_empty();
        self.client_tokens.insert(client.id, token);
        self.resumed.push(token);
        if let Some(following) = &mut self.replication.following {
            following.stage = Stage::Online;
            following.heard_ms = self.clock.uptime_ms();
            following.down_since = None;
        }
    }

    /// A client that is or was a link has gone.
    #[cold]
    pub fn link_lost(&mut self, token: usize, link: &Link) {
        let now_ms = self.clock.uptime_ms();
        let unix_seconds = self.clock.unix_ms() / 1000;
        let Some(following) = self.replication.following.as_mut().filter(|following| following.token == Some(token))
        else {
            return;
        };
        following.token = None;
        if following.stage == Stage::Snapshot && (following.progress.is_whole || self.loading.is_some()) {
            // It goes on when what has come has been taken in, or given up.
            return;
        }
        let stage = mem::replace(&mut following.stage, Stage::Down);
        match stage {
            Stage::Connecting if !link.others.is_empty() => {
                following.stage = Stage::Connecting;
                return self.open_link(link.others.clone());
            }
            Stage::Handshake if !link.ends => log::warn!("Failed to read response from the server: connection lost"),
            Stage::Snapshot if !link.ends => log::warn!("I/O error trying to sync with MASTER: connection lost"),
            Stage::Online => {
                following.down_since = Some(unix_seconds);
                log::info!("Connection with master lost.");
                log::info!("Caching the disconnected master state.");
            }
            _ => {}
        }
        // A moment later the stream may have gone too far. Who needs a snapshot can wait.
        let goes_on = stage == Stage::Online && following.has_history;
        if goes_on || following.tried_ms.is_none_or(|tried| now_ms - tried >= SECOND_MS) {
            let after = if stage == Stage::Online { "" } else { " after failure" };
            log::info!("Reconnecting to MASTER {}:{}{after}", following.host, following.port);
            self.connect_link();
        }
    }

    /// The master does not speak RESP any more: what it would go on with is not to be relied on.
    #[cold]
    pub fn forget_history(&mut self) {
        if let Some(following) = &mut self.replication.following {
            log::info!("Discarding previously cached master state.");
            following.has_history = false;
        }
    }
}

/// A connection that is being made to an address, from another one if that is not empty.
fn connect(address: SocketAddr, from: &str) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if let Ok(from) = from.parse::<IpAddr>()
        && from.is_ipv4() == address.is_ipv4()
    {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

// --- the stream -------------------------------------------------------------------------------------------------

impl Server {
    /// A command of the master has run, or waits: its text is the next part of the stream. It counts when the stream
    /// may be cut behind it, which is not so within a transaction.
    pub fn stream_heard(&mut self, token: usize, text: &[u8], waits: bool) {
        let client = &mut self.clients[token];
        let (db, within) = (client.db, waits || client.transaction.is_some());
        let Some(link) = &mut client.link else { return };
        if within || !link.held.is_empty() {
            link.held.extend_from_slice(text);
            if within {
                return;
            }
            let held = mem::take(&mut link.held);
            self.append_stream(&held);
        } else {
            self.append_stream(text);
        }
        self.replication.stream_db = db;
    }

    /// The server answers a command of its master with an error: the data differ.
    #[cold]
    pub fn stream_failed(&mut self, error: &Error, command: &str) {
        log::warn!(
            "== CRITICAL == This replica is sending an error to its master: '{}' after processing the command '{command}'",
            error.message()
        );
        self.stats.unexpected_error_replies += 1;
        // Where clients write, too, the data may differ from the master's.
        let ends = self.settings.propagation_error_behavior != PropagationErrorBehavior::Ignore;
        if ends && self.settings.replica_read_only {
            crate::command::aof::give_up("This replica panicked sending an error to its master");
        }
    }

    /// Tells the master how far the stream has been carried out, if the client is the link to it.
    pub fn acknowledge_stream(&mut self, token: usize) {
        if self.is_master(token) {
            self.acknowledge();
        }
    }

    /// Tells the master how far this server is.
    pub fn acknowledge(&mut self) {
        self.note_durable();
        let offset = self.replication.offset;
        let Some(following) = &mut self.replication.following else { return };
        let Some(token) = following.token.filter(|_| following.stage == Stage::Online && !following.by_sync) else {
            return;
        };
        following.told_ms = self.clock.uptime_ms();
        let (mut numbers, has_file) = ([itoa::Buffer::new(), itoa::Buffer::new()], self.aof.writer().is_some());
        let [first, second] = &mut numbers;
        let words: [&[u8]; 5] = [
            b"REPLCONF",
            b"ACK",
            first.format(offset).as_bytes(),
            b"FACK",
            second.format(following.durable).as_bytes(),
        ];
        encode(self.clients[token].output.tail(), words[..if has_file { 5 } else { 3 }].iter().copied());
        self.will_send(token);
    }

    /// Notes how much of the stream the append-only file has made durable.
    pub fn note_durable(&mut self) {
        let journal = self.keys.effects.journal.offset();
        let offset = self.replication.offset;
        let Some(following) = &mut self.replication.following else { return };
        let Some(durable) = self.aof.durable() else { return following.marks.clear() };
        let mark = (journal, offset);
        if following.marks.back() != Some(&mark) {
            // Less is known then of where between the two the disk is, but nothing wrong.
            following.marks.truncate(MARKS - 1);
            following.marks.push_back(mark);
        }
        while let Some(&(_, offset)) = following.marks.front().filter(|&&(journal, _)| journal <= durable) {
            following.durable = offset;
            following.marks.pop_front();
        }
    }
}

// --- as time goes on --------------------------------------------------------------------------------------------

impl Server {
    /// The settings name a master to follow from the start.
    pub fn follow_as_configured(&mut self) {
        if let Some(master) = self.settings.replicaof.clone() {
            self.replication.following = Some(Box::new(Following::new(master, false)));
            set_role(Role::Replica);
            self.role_changed();
        }
    }

    /// Periodic work: tries to connect, ends what takes too long, tells the master how far this server is.
    pub fn look_after_link(&mut self) {
        let (now_ms, patience_ms) = (self.clock.uptime_ms(), u64::from(self.settings.repl_timeout) * 1000);
        if self.replication.following.is_none() {
            return;
        }
        self.restart_file();
        let loads = self.loading.is_some();
        let Some(following) = &mut self.replication.following else { return };
        let received = following.token.map(|token| self.clients[token].received);
        if let Some(received) = received.filter(|&received| received != following.seen_bytes) {
            (following.seen_bytes, following.heard_ms) = (received, now_ms);
        }
        let silent = now_ms.saturating_sub(following.heard_ms) > patience_ms;
        match (following.stage, following.token) {
            // What is on the disk comes first.
            (Stage::Down, _) if !loads && following.tried_ms.is_none_or(|tried| now_ms - tried >= SECOND_MS) => {
                log::info!("Connecting to MASTER {}:{}", following.host, following.port);
                self.connect_link();
            }
            (Stage::Connecting, None) if silent => following.stage = Stage::Down,
            (Stage::Connecting | Stage::Handshake, Some(token)) if silent => {
                self.fail_link(token, "Timeout connecting to the MASTER...");
            }
            (Stage::Snapshot, Some(token))
                if following.progress.is_whole && now_ms - following.told_ms >= SECOND_MS =>
            {
                // So that it sees that somebody is there.
                following.told_ms = now_ms;
                self.clients[token].output.tail().push(b'\n');
                self.will_send(token);
            }
            (Stage::Snapshot, Some(token)) if silent && !following.progress.is_whole => self.fail_link(
                token,
                "Timeout receiving bulk data from MASTER... If the problem persists try to set the 'repl-timeout' \
                 parameter in redis.conf to a larger value.",
            ),
            (Stage::Online, Some(token)) if silent => {
                self.fail_link(token, "MASTER timeout: no data nor PING received...");
            }
            (Stage::Online, Some(_)) if now_ms - following.told_ms >= SECOND_MS => self.acknowledge(),
            _ => {}
        }
    }

    /// Describes a client that asked for something, for the log.
    pub fn asked_by(&self, token: usize) -> String {
        describe(self, token)
    }
}
