//! A client: its connection, what has arrived and what is to be sent, and the state of the conversation.
//!
//! An idle client owns no buffers. Requests are parsed in the reactor's read arena; only what is left of an incomplete
//! one is kept in [`Client::input`]. Replies go into a buffer that is lent from a pool and taken back once sent.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::acl::User;
use crate::command::transaction::Transaction;
use crate::effects::tracking::Tracking;
use crate::replication::link::Link;
use crate::replication::replica::{Replica, Stage};
use crate::resp::{Output, Proto, RequestParser};

use super::Stream;

/// Reply buffers are this large at most; what is larger is freed rather than pooled.
pub const REPLY_BUFFER_MAX: usize = 16 * 1024;
/// Reply buffers of clients with short replies are this large.
pub const REPLY_BUFFER_MIN: usize = 1024;
/// Redis sets memory for replies that do not fit its buffer aside in blocks of 16 KB and a header, for which its allocator
/// takes this much.
const OUTPUT_BLOCK: usize = 20 * 1024;
/// What one read of a socket may bring, and what it may bring when the ones before were full.
pub const READ_SIZE: usize = 16 * 1024;
pub const LONG_READ: usize = 128 * 1024;

/// Whether replies are sent: CLIENT REPLY.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// The reply to the next command is left out.
    SkipNext,
    /// The reply to this command is left out.
    Skip,
    /// A replica's: what it reads is the stream, and nothing else may stand between. A reply ends the connection.
    Never,
}

/// How its scripts are debugged: SCRIPT DEBUG.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Debugging {
    /// What they do is undone.
    Trial,
    /// What they do stays.
    Sync,
}

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Closing {
    /// When everything has been sent.
    AfterReply,
    /// As soon as nobody uses the client any more.
    Now,
}

/// What a client is used for, in the order of the settings that depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Commands and replies; monitors count as such.
    Normal,
    /// A replica's connection.
    Replica,
    /// It subscribes to something.
    Pubsub,
}

/// A connected client. What every request touches stands first, in as few cache lines as it takes: with many clients that send
/// one command at a time, each line is a miss.
#[repr(C)]
pub struct Client {
    pub stream: Stream,
    /// The socket may hold more than has been read.
    pub readable: bool,
    /// The peer has said its last word: behind what has not been read comes the end.
    pub hung_up: bool,
    /// It stands in the queue of clients to serve.
    pub queued: bool,
    /// It stands in the queue of clients to send to, or of those whose replies wait for the disk.
    pub unsent: bool,
    /// It stands in the queue of clients that wait for messages.
    pub messaged: bool,
    /// The socket took less than was to be sent; mio tells when it takes more.
    pub blocked_on_write: bool,
    /// It is not served until it has all of its replies.
    pub stalled: bool,
    /// It waits for the end of CLIENT PAUSE.
    pub paused: bool,
    /// It waits in a command: for a key, for copies, for memory to be freed, for the end.
    pub blocked: bool,
    /// `input` may hold whole commands: no more is read before they have run, but while the client waits.
    pub behind: bool,
    /// How often the next read doubles [`READ_SIZE`], because the ones before were full.
    pub read_doublings: u8,
    /// Set when the connection is to end.
    pub closing: Option<Closing>,
    /// It has said who it is, or was let in when nobody had to.
    pub authenticated: bool,
    /// There may be commands that it must not run.
    pub restricted: bool,
    pub reply_mode: ReplyMode,
    /// RESP2 or RESP3.
    pub proto: Proto,
    /// MONITOR.
    pub monitor: bool,
    /// It subscribes to something.
    pub subscriber: bool,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// CLIENT NO-EVICT.
    pub no_evict: bool,
    /// Whether the peer is on this host.
    pub is_local: bool,
    /// SCRIPT DEBUG.
    pub debugging: Option<Debugging>,
    /// Uptime at the last request or reply, in milliseconds.
    pub active_ms: u64,
    /// Bytes received and sent.
    pub received: u64,
    pub sent: u64,
    /// State of the request that is arriving.
    pub parser: RequestParser,
    /// Bytes that wait to be parsed, and those of the arguments of an incomplete request.
    pub input: Vec<u8>,
    /// How many bytes of `input` have been parsed.
    pub parsed: usize,
    /// Bytes of the requests being run.
    pub query_bytes: usize,
    /// Whole commands that a pause held up, encoded again.
    pub replay: Vec<u8>,
    /// What is to be sent.
    pub output: Output,
    /// How large a reply buffer its replies deserve.
    pub reply_buffer: usize,
    /// The most bytes of reply at one time lately.
    pub reply_peak: usize,
    /// The selected database.
    pub db: usize,
    /// Where in the journal its last write ends; see [`crate::effects::journal::Journal::offset`].
    pub written: u64,
    /// MULTI.
    pub transaction: Option<Box<Transaction>>,
    /// It is a replica's, or may become one.
    pub replica: Option<Box<Replica>>,
    /// It is this server's link to its master.
    pub link: Option<Box<Link>>,
    /// The full name of the last command.
    pub last_command: Option<&'static str>,

    /// Unique and never used again.
    pub id: u64,
    /// `address:port`, or `path:0` of a Unix socket.
    pub addr: Box<str>,
    /// The address it connected to.
    pub laddr: Box<str>,
    /// Uptime at the connection, in milliseconds.
    pub connected_ms: u64,
    /// Uptime since which the output is over its soft limit, in milliseconds.
    pub over_soft_limit_since: Option<u64>,
    /// Who it acts as. One without a user, such as what is replayed from a file, may do everything.
    pub user: Option<Rc<User>>,
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO lib-name.
    pub lib_name: Vec<u8>,
    /// CLIENT SETINFO lib-ver.
    pub lib_ver: Vec<u8>,
    /// Bytes of memory it took when it was counted last.
    pub counted_bytes: usize,
    /// CLIENT TRACKING.
    pub tracking: Option<Box<Tracking>>,
    /// What the command that it waits in has taken so far, without the wait, in ticks of the cycle clock.
    pub spent_ticks: u64,
    /// Bytes of the arguments of the command being run, or waited in.
    pub argv_bytes: usize,
    /// Uptime at which the peak of replies began, in milliseconds.
    pub reply_peak_ms: u64,
}

// The allocator's next size costs each connection 64 bytes more. (With its assertions, mio's sockets are larger.)
#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Client>() <= 448);

impl Client {
    /// Lets it wait for messages that have been put into its output, behind others who do. Who is to be sent replies gets them with
    /// those; of one whose socket is full, the poll tells when it takes more.
    #[inline]
    pub fn await_delivery(&mut self, token: usize, others: &mut VecDeque<usize>) {
        if !(self.messaged | self.unsent | self.blocked_on_write) {
            self.messaged = true;
            others.push_back(token);
        }
    }

    /// A client that has just connected.
    pub fn new(stream: Stream, id: u64, now_ms: u64) -> Client {
        Client {
            stream,
            id,
            addr: Box::default(),
            laddr: Box::default(),
            is_local: true,
            connected_ms: now_ms,
            active_ms: now_ms,
            parser: RequestParser::default(),
            input: Vec::new(),
            parsed: 0,
            behind: false,
            read_doublings: 0,
            replay: Vec::new(),
            readable: false,
            hung_up: false,
            queued: false,
            unsent: false,
            messaged: false,
            blocked_on_write: false,
            stalled: false,
            closing: None,
            output: Output::default(),
            over_soft_limit_since: None,
            proto: Proto::Resp2,
            db: 0,
            user: None,
            authenticated: false,
            restricted: false,
            name: Vec::new(),
            lib_name: Vec::new(),
            lib_ver: Vec::new(),
            reply_mode: ReplyMode::On,
            debugging: None,
            monitor: false,
            subscriber: false,
            no_evict: false,
            counted_bytes: 0,
            no_touch: false,
            tracking: None,
            transaction: None,
            replica: None,
            link: None,
            paused: false,
            blocked: false,
            written: 0,
            spent_ticks: 0,
            last_command: None,
            query_bytes: 0,
            argv_bytes: 0,
            reply_buffer: REPLY_BUFFER_MAX,
            reply_peak: REPLY_BUFFER_MAX,
            reply_peak_ms: now_ms,
            received: 0,
            sent: 0,
        }
    }

    /// What it is used for.
    pub fn class(&self) -> Class {
        match &self.replica {
            Some(replica) if replica.stage != Stage::Introduced => Class::Replica,
            _ if self.subscriber => Class::Pubsub,
            _ => Class::Normal,
        }
    }

    /// Whether it is there to be told what happens: a replica's, or one that monitors, which to Redis is a kind of replica.
    pub fn only_follows(&self) -> bool {
        self.monitor || self.class() == Class::Replica
    }

    /// Bytes of requests that it keeps because they have not arrived in full or are held up. Of a request with a big
    /// argument it is the argument alone, as Redis has it.
    pub fn kept_input(&self) -> usize {
        let arrived = || self.input.len() + self.parser.held_bytes();
        self.replay.len() + self.parser.big_arg_bytes().unwrap_or_else(arrived)
    }

    /// Bytes of output that do not fit its reply buffer, in whole blocks as Redis sets them aside: what the limits of output
    /// count.
    #[inline]
    pub fn queued_output(&self) -> usize {
        self.output.len().saturating_sub(self.reply_buffer).next_multiple_of(OUTPUT_BLOCK)
    }

    /// Makes it act as a user. `open` says that clients need not authenticate to act as the default user.
    pub fn act_as(&mut self, user: &Rc<User>, authenticated: bool, open: bool) {
        self.restricted = !(authenticated || open) || !user.may_everything();
        self.authenticated = authenticated;
        self.user = Some(user.clone());
    }

    /// Sets it aside in a command whose arguments have so many bytes.
    pub fn wait(&mut self, argument_bytes: usize) {
        self.blocked = true;
        self.argv_bytes = argument_bytes;
    }

    /// Its wait, if there was one, is over.
    pub fn go_on(&mut self) {
        self.blocked = false;
        self.argv_bytes = 0;
    }

    /// Whether there may be something to read or to run.
    #[inline]
    pub fn may_have_asked(&self) -> bool {
        self.readable || !self.replay.is_empty() || !self.input.is_empty()
    }

    /// Asks for the connection to end; the stricter wish wins.
    pub fn close(&mut self, how: Closing) {
        self.closing = self.closing.max(Some(how));
    }

    /// Bytes of memory that its requests take, those of a transaction not among them.
    pub fn query_memory(&self) -> usize {
        self.input.capacity() + self.replay.capacity() + self.parser.memory_bytes()
    }

    /// Bytes of memory it takes, the output included.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Client>()
            + self.addr.len()
            + self.laddr.len()
            + self.name.capacity()
            + self.lib_name.capacity()
            + self.lib_ver.capacity()
            + self.query_memory()
            + self.transaction.as_ref().map_or(0, |transaction| transaction.memory_bytes())
            + self.output.memory_bytes()
    }
}
