//! A batch: the commands of all clients that have some, gathered before any of them runs.
//!
//! Bytes of many clients are read into one arena and parsed there; each command's first key is hashed. Then the commands
//! run in windows: the buckets of the next window are asked for, all in a row, then the entries of this one, then its
//! commands run; what a command looks for in a large collection is asked for in between. Asking in a row matters: a random address costs a page walk besides the cache miss, and the processor
//! overlaps only those that lie close together in its instructions. So the misses of one command overlap with those of
//! the next, whether they come from one client's pipeline or from fifty clients that send one command each.

use std::borrow::Cow;
use std::ops::Range;

use crate::command::state::Server;
use crate::command::table::{Flags, Names, Registered};
use crate::command::{Ctx, Verdict};
use crate::keyspace::Keyspace;
use crate::net::Client;
use crate::net::client::{Class, READ_SIZE, REPLY_BUFFER_MAX, REPLY_BUFFER_MIN};
use crate::resp::request::{Parsed, Span};
use crate::resp::{Args, Limits, ProtocolError, RequestParser};
use crate::types::table::Step;

/// Commands whose cache misses overlap.
const WINDOW: usize = 32;
/// A batch with so many commands is run before more is gathered.
const BATCH: usize = 256;
/// Commands that one client may have in a batch; what is left waits for its next turn.
const QUOTA: usize = 256;
/// Bytes read for one batch.
const ARENA: usize = 256 * 1024;
/// Room for so many spans of arguments is kept.
const SPANS_KEPT: usize = 16 * 1024;
/// So many empty reply buffers are kept for reuse.
const POOLED: usize = 256;

/// A parsed command.
struct Pending {
    command: Option<&'static Registered>,
    /// The database it will most likely work on, and the hash of its first key.
    db: u32,
    key_hash: Option<u64>,
    /// Whether it may look deep into the first key's value, and the hash of what it looks for there.
    goes_deep: bool,
    member_hash: u64,
    spans: Range<u32>,
    /// Where it starts in its source.
    start: u32,
    owned: Vec<Vec<u8>>,
}

/// What one client contributes.
struct Source {
    token: usize,
    /// The bytes, if they are not in the arena.
    own: Option<Vec<u8>>,
    arena: Range<usize>,
    pending: Range<usize>,
    /// How many of the bytes form whole commands, and how many of the next command's have been parsed.
    whole: usize,
    parsed: usize,
    error: Option<ProtocolError>,
    /// These are commands that a pause held up, with their whole bytes.
    replay: bool,
    /// The quota was used up: there may be more commands.
    more: bool,
}

/// What became of a client's commands.
pub enum Served {
    /// All that had arrived ran.
    All,
    /// More can run at once.
    More,
    /// It must wait for the end of the pause.
    Paused,
    /// It must wait for a key.
    Blocked,
    /// It sent something that is no command, starting with these bytes; what came before ran.
    Broken(ProtocolError, Vec<u8>),
}

/// What parsing needs of the server.
pub struct Parsing<'a> {
    pub names: &'a Names,
    pub keys: &'a Keyspace,
    /// proto-max-bulk-len, in bytes.
    pub max_bulk: u64,
    /// Nobody has to authenticate.
    pub open: bool,
}

/// Requests on their way, and the buffers they need.
pub struct Batch {
    arena: Vec<u8>,
    spans: Vec<Span>,
    pending: Vec<Pending>,
    /// Whether one of them does.
    goes_deep: bool,
    sources: Vec<Source>,
    pool: Vec<Vec<u8>>,
    /// The last client has a script to run, or the like. While that runs, others are served from within it, which takes that
    /// nothing of theirs waits in the batch: nobody may come behind it.
    closed: bool,
}

impl Batch {
    pub fn new() -> Batch {
        Batch {
            arena: Vec::with_capacity(ARENA + READ_SIZE),
            spans: Vec::new(),
            pending: Vec::new(),
            goes_deep: false,
            sources: Vec::new(),
            pool: Vec::new(),
            closed: false,
        }
    }

    /// Whether it should run before more is gathered.
    pub fn is_full(&self) -> bool {
        self.closed || self.pending.len() >= BATCH || self.arena.len() >= ARENA
    }

    /// The arena, to read into.
    pub fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    /// Parses what a client sent: its own leftover, and what was read into the arena from `start` on. Commands that a
    /// pause held up come first and alone.
    pub fn gather(&mut self, token: usize, client: &mut Client, server: Parsing<'_>, start: usize) {
        let replay = !client.replay.is_empty();
        let own = if replay {
            client.input.extend_from_slice(&self.arena[start..]);
            self.arena.truncate(start);
            Some(std::mem::take(&mut client.replay))
        } else if client.input.is_empty() {
            None
        } else {
            let mut own = std::mem::take(&mut client.input);
            own.extend_from_slice(&self.arena[start..]);
            self.arena.truncate(start);
            Some(own)
        };
        let arena = start..self.arena.len();
        let bytes: &[u8] = own.as_deref().unwrap_or(&self.arena[start..]);
        let mut fresh;
        let parser = if replay {
            fresh = RequestParser::default();
            &mut fresh
        } else {
            &mut client.parser
        };
        let authenticated = client.authenticated || server.open;
        let limits = Limits { max_bulk: server.max_bulk, authenticated };
        // What a client may send depends on whether it is authenticated, which a command of this very batch may
        // change: so the commands of one that is not come one at a time.
        let quota = if authenticated { QUOTA } else { 1 };
        let kept_script = client.transaction.as_ref().is_some_and(|transaction| transaction.runs_script());
        let first = self.pending.len();
        let (mut whole, mut at) = (0, if replay { 0 } else { std::mem::take(&mut client.parsed) });
        let mut error = None;
        let mut more = false;
        loop {
            if self.pending.len() - first == quota {
                more = whole < bytes.len();
                break;
            }
            let first_span = self.spans.len();
            match parser.parse(&bytes[whole..], &mut at, &mut self.spans, limits) {
                Ok(Parsed::Command) => {
                    let spans = &self.spans[first_span..];
                    if !spans.is_empty() {
                        let owned = parser.take_owned();
                        let argument = |at: usize| spans[at].bytes(&bytes[whole..], &owned);
                        let command = server.names.find(argument(0));
                        let first_key = command.map_or(0, |command| command.first_key);
                        self.closed |= command.is_some_and(|command| may_attend(command, kept_script));
                        let key_hash =
                            (first_key != 0 && first_key < spans.len()).then(|| server.keys.hash(argument(first_key)));
                        let goes_deep = command.is_some_and(|command| command.goes_deep);
                        let member = command.map_or(0, |command| command.command.member);
                        let member_hash =
                            if member != 0 && member < spans.len() { server.keys.hash(argument(member)) } else { 0 };
                        self.goes_deep |= goes_deep;
                        let spans = first_span as u32..self.spans.len() as u32;
                        let (start, db) = (whole as u32, client.db as u32);
                        self.pending.push(Pending {
                            command,
                            db,
                            key_hash,
                            goes_deep,
                            member_hash,
                            spans,
                            start,
                            owned,
                        });
                    }
                    whole += at;
                    at = 0;
                    if whole == bytes.len() {
                        break;
                    }
                }
                Ok(Parsed::Incomplete) => break,
                Err(broken) => {
                    error = Some(broken);
                    break;
                }
            }
        }
        client.query_bytes = bytes.len();
        let pending = first..self.pending.len();
        self.sources.push(Source { token, own, arena, pending, whole, parsed: at, error, replay, more });
    }

    /// Runs everything. `served` learns what became of each client.
    pub fn run(&mut self, server: &mut Server, mut served: impl FnMut(&mut Server, usize, Served)) {
        prefetch(&self.pending, 0, |db, hash| server.keys.prefetch_bucket(db, hash));
        let mut sources = std::mem::take(&mut self.sources);
        let mut cx = Ctx::unused(server);
        for source in &mut sources {
            let token = source.token;
            let (mut postponed, mut blocked) = (Vec::new(), false);
            if !source.pending.is_empty() {
                let client = &mut cx.server.clients[token];
                client.active_ms = cx.server.clock.uptime_ms();
                if !client.output.has_buffer() {
                    let size = client.reply_buffer;
                    client.output.lend(self.pool.pop().unwrap_or_else(|| Vec::with_capacity(size)));
                }
                let obeyed = client.link.is_some();
                let bytes: &[u8] = source.own.as_deref().unwrap_or(&self.arena[source.arena.clone()]);
                cx.enter(token);
                for at in source.pending.clone() {
                    if at.is_multiple_of(WINDOW) {
                        let keys = &cx.server.keys;
                        prefetch(&self.pending, at + WINDOW, |db, hash| keys.prefetch_bucket(db, hash));
                        prefetch(&self.pending, at, |db, hash| keys.prefetch_entry(db, hash));
                        if self.goes_deep {
                            prefetch_values(&self.pending, at, keys);
                        }
                    }
                    if !cx.server.dying.is_empty() && cx.server.clients[token].closing.is_some() {
                        source.error = None;
                        break;
                    }
                    let passage = if obeyed { self.passage(source, at) } else { 0..0 };
                    let pending = &mut self.pending[at];
                    let spans = &self.spans[pending.spans.start as usize..pending.spans.end as usize];
                    let in_one_piece = pending.owned.is_empty();
                    let mut args = Args::new(&bytes[pending.start as usize..], spans, &mut pending.owned);
                    let text = obeyed.then(|| text_of(&args, in_one_piece, &bytes[passage]));
                    let verdict = if blocked || !postponed.is_empty() {
                        Verdict::Postponed
                    } else {
                        cx.run(pending.command, &mut args, pending.key_hash)
                    };
                    match verdict {
                        Verdict::Done => {}
                        Verdict::Postponed => args.encode(&mut postponed),
                        Verdict::Blocked => blocked = true,
                    }
                    if let Some(text) = text
                        && verdict != Verdict::Postponed
                    {
                        cx.server.stream_heard(token, &text, blocked);
                    }
                }
                cx.leave();
                let client = &mut cx.server.clients[token];
                if blocked && client.output.is_empty() {
                    // Its reply may be long in coming, and will find another buffer.
                    self.reclaim(client);
                }
            }
            let held_up = match (blocked, postponed.is_empty()) {
                (true, _) => Some(Served::Blocked),
                (false, false) => Some(Served::Paused),
                (false, true) => None,
            };
            let outcome = self.keep_leftover(&mut cx.server.clients[token], source, postponed, held_up.is_some());
            served(cx.server, token, held_up.unwrap_or(outcome));
        }
        sources.clear();
        self.sources = sources;
        self.arena.clear();
        self.spans.clear();
        self.pending.clear();
        self.closed = false;
        self.goes_deep = false;
        // A command with very many arguments is no reason to keep room for another.
        self.spans.shrink_to(SPANS_KEPT);
    }

    /// Where in its source a command stands, with the empty lines around it.
    #[cold]
    fn passage(&self, source: &Source, at: usize) -> Range<usize> {
        let Range { start: first, end } = source.pending;
        let start = if at == first { 0 } else { self.pending[at].start as usize };
        start..if at + 1 < end { self.pending[at + 1].start as usize } else { source.whole }
    }

    /// Gives a client back what of its bytes has not run.
    #[inline]
    fn keep_leftover(&self, client: &mut Client, source: &mut Source, postponed: Vec<u8>, held_up: bool) -> Served {
        client.query_bytes = 0;
        let bytes = source.own.as_ref().map_or(source.arena.len(), Vec::len);
        if source.whole == bytes && postponed.is_empty() && !source.replay && source.error.is_none() {
            (client.parsed, client.behind) = (0, false);
            return Served::All;
        }
        let left = match source.own.take() {
            Some(mut own) => {
                own.drain(..source.whole);
                own
            }
            None => self.arena[source.arena.clone()][source.whole..].to_vec(),
        };
        keep_rest(client, source, left, postponed, held_up)
    }

    /// Takes back the reply buffer of a client that has been sent everything.
    pub fn reclaim(&mut self, client: &mut Client) {
        let buffer = client.output.reclaim();
        if client.class() == Class::Replica {
            // It has not been lent one, and needs one all the time.
            if buffer.capacity() <= REPLY_BUFFER_MAX {
                client.output.lend(buffer);
            }
        } else if self.pool.len() < POOLED && (REPLY_BUFFER_MIN..=REPLY_BUFFER_MAX).contains(&buffer.capacity()) {
            self.pool.push(buffer);
        }
    }
}

/// As [`Batch::keep_leftover`], of a client of whom something is left, be it commands that have been `postponed` or bytes.
#[cold]
fn keep_rest(client: &mut Client, source: &mut Source, left: Vec<u8>, postponed: Vec<u8>, held_up: bool) -> Served {
    client.replay = postponed;
    if let Some(error) = source.error.take() {
        if held_up {
            // It is found broken again when its turn comes.
            client.parser = RequestParser::default();
            client.input = left;
            return Served::All;
        }
        return Served::Broken(error, left);
    }
    if source.replay {
        client.replay.extend_from_slice(&left);
        return Served::More;
    }
    client.input = left;
    (client.parsed, client.behind) = (source.parsed, source.more);
    if client.parser.big_arg().is_some() {
        // What came of the argument has moved to its own memory.
        client.input.truncate(client.parsed);
        client.input.shrink_to_fit();
    }
    if source.more { Served::More } else { Served::All }
}

/// The text of a command as it came, where it stands in one piece. Of one with a big argument it is what everybody would write.
#[cold]
fn text_of<'a>(args: &Args<'_>, in_one_piece: bool, passage: &'a [u8]) -> Cow<'a, [u8]> {
    if in_one_piece {
        return Cow::Borrowed(passage);
    }
    let mut text = Vec::new();
    args.encode(&mut text);
    Cow::Owned(text)
}

/// Whether others may be served from within a command. It may run a script: by itself, or as EXEC, of whose client a script is
/// kept. Or it is DEBUG, which may load.
#[inline]
fn may_attend(command: &Registered, kept_script: bool) -> bool {
    const ATTENDS: Flags = Flags::SCRIPT.union(Flags::DEBUG_GATE);
    // EXEC is among those that the slow log skips.
    let flags = if kept_script { ATTENDS.union(Flags::SKIP_SLOWLOG) } else { ATTENDS };
    command.command.flags.intersects(flags)
}

/// Calls `ask` with the database and hash of each command in the window that begins at `first`.
#[inline]
fn prefetch(pending: &[Pending], first: usize, ask: impl Fn(usize, u64)) {
    for pending in pending.iter().skip(first).take(WINDOW) {
        if let Some(hash) = pending.key_hash {
            ask(pending.db as usize, hash);
        }
    }
}

/// Brings what the commands of a window look for in collections into the cache, step by step, so that the misses of each
/// step overlap.
fn prefetch_values(pending: &[Pending], first: usize, keys: &Keyspace) {
    let mut objects = [None; WINDOW];
    let window = || pending.iter().skip(first).take(WINDOW);
    // Many commands for the same key in a row need to ask for its value once.
    let (mut last_key, mut last_object) = (None, None);
    for (pending, object) in window().zip(&mut objects) {
        if let Some(hash) = pending.key_hash.filter(|_| pending.goes_deep) {
            let key = Some((pending.db, hash));
            if key != last_key {
                (last_key, last_object) = (key, keys.prefetch_value(pending.db as usize, hash));
                *object = last_object;
            } else if pending.member_hash != 0 {
                *object = last_object;
            }
        }
    }
    for step in [Step::Way, Step::Target] {
        for (pending, object) in window().zip(objects) {
            if let Some(object) = object {
                object.prefetch(step, pending.member_hash);
            }
        }
    }
}
