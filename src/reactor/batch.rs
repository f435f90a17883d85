//! A batch: the commands of all clients that have some, gathered before any of them runs.
//!
//! Bytes of many clients are read into one arena and parsed there; each command's first key is hashed. Then the commands
//! run in windows: the buckets of the next window are asked for, all in a row, then the entries of this one, then its
//! commands run; what a command looks for in a large collection is asked for in between. Asking in a row matters: a random
//! address costs a page walk besides the cache miss, and the processor overlaps only those that lie close together in its
//! instructions. So the misses of one command overlap with those of the next, whether they come from one client's pipeline or
//! from fifty clients that send one command each.
//!
//! A command that may take long and has others served meanwhile, like a script, is no exception: what the batch has behind it
//! lies where it can be given back ([`Behind`]).

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use crate::command::state::Server;
use crate::command::table::{Flags, Names, Registered};
use crate::command::{Ctx, Verdict};
use crate::keyspace::Keyspace;
use crate::net::Client;
use crate::net::client::{Class, LONG_READ, REPLY_BUFFER_MAX, REPLY_BUFFER_MIN};
use crate::resp::args::Span;
use crate::resp::request::Parsed;
use crate::resp::{Args, Limits, ProtocolError, RequestParser};
use crate::types::table::Step;

/// Commands whose cache misses overlap.
const WINDOW: usize = 32;
/// A batch with so many commands is run before more is gathered.
const BATCH: usize = 256;
/// Commands that one client may have in a batch; what is left waits for its next turn.
const QUOTA: usize = 256;
/// What a client has sent, and is not parsed, gets twice as much room up to so many bytes, and half as much again beyond.
const DOUBLED_INPUT: usize = 512 << 10;
/// Bytes read for one batch.
const ARENA: usize = 256 * 1024;
/// Room for so many spans of arguments is kept.
const SPANS_KEPT: usize = 16 * 1024;
/// More clients than this in one batch are a crowd.
const CROWD: usize = 8;
/// So many empty reply buffers are kept for reuse.
const POOLED: usize = 256;

/// A parsed command.
#[derive(Default)]
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
#[derive(Default)]
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
    /// It waits in a command.
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

/// What was read, and where the arguments of commands stand in it and in sources' own bytes.
#[derive(Default)]
struct Text {
    arena: Vec<u8>,
    spans: Vec<Span>,
}

/// Who sent which commands.
#[derive(Default)]
struct Queue {
    pending: Vec<Pending>,
    sources: Vec<Source>,
}

/// What is behind the command that runs, while that is one from within which others may be served: those who are find their
/// commands here.
#[derive(Default)]
pub struct Behind {
    /// What that command reads, too.
    text: RefCell<Text>,
    queue: RefCell<Queue>,
    /// The first source that has not had its turn.
    first: Cell<usize>,
}

/// Requests on their way, and the buffers they need.
pub struct Batch {
    text: Text,
    queue: Queue,
    /// Whether one of the commands may look deep into a value.
    goes_deep: bool,
    /// Whether others may be served from within one of them.
    attends: bool,
    behind: Rc<Behind>,
    pool: Vec<Vec<u8>>,
}

impl Batch {
    /// One whose commands are put `behind` one from within which others may be served.
    pub fn new(behind: Rc<Behind>) -> Batch {
        let text = Text { arena: Vec::with_capacity(ARENA + LONG_READ), spans: Vec::new() };
        Batch { text, queue: Queue::default(), goes_deep: false, attends: false, behind, pool: Vec::new() }
    }

    /// Whether it should run before more is gathered.
    pub fn is_full(&self) -> bool {
        self.queue.pending.len() >= BATCH || self.text.arena.len() >= ARENA
    }

    /// The arena, to read into.
    pub fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.text.arena
    }

    /// Parses what a client sent: its own leftover, and what was read into the arena from `start` on. Commands that were
    /// held up come first, and alone if behind them a command has begun to arrive.
    pub fn gather(&mut self, token: usize, client: &mut Client, server: Parsing<'_>, start: usize) {
        let Text { arena: read, spans: all_spans } = &mut self.text;
        let Queue { pending: all, sources } = &mut self.queue;
        if !client.replay.is_empty() && client.parsed == 0 && client.parser.is_idle() {
            client.replay.append(&mut client.input);
            std::mem::swap(&mut client.replay, &mut client.input);
        }
        let replay = !client.replay.is_empty();
        let own = if replay {
            append_input(&mut client.input, &read[start..]);
            read.truncate(start);
            Some(std::mem::take(&mut client.replay))
        } else if client.input.is_empty() {
            None
        } else {
            let mut own = std::mem::take(&mut client.input);
            append_input(&mut own, &read[start..]);
            read.truncate(start);
            Some(own)
        };
        let arena = start..read.len();
        let bytes: &[u8] = own.as_deref().unwrap_or(&read[start..]);
        let mut fresh;
        let parser = if replay {
            fresh = RequestParser::default();
            &mut fresh
        } else {
            &mut client.parser
        };
        let authenticated = client.authenticated || server.open;
        let limits = Limits { max_bulk: server.max_bulk, authenticated };
        // What a client may send depends on whether it is authenticated, which a command of this very batch may change: what
        // one that is not sends behind such a command waits until that has run.
        let mut quota = QUOTA;
        let first = all.len();
        let (mut whole, mut at) = (0, if replay { 0 } else { std::mem::take(&mut client.parsed) });
        let mut error = None;
        let mut more = false;
        loop {
            if all.len() - first == quota {
                more = whole < bytes.len();
                break;
            }
            let first_span = all_spans.len();
            match parser.parse(&bytes[whole..], &mut at, all_spans, limits) {
                Ok(Parsed::Command) => {
                    let spans = &all_spans[first_span..];
                    if !spans.is_empty() {
                        let owned = parser.take_owned();
                        let argument = |at: usize| spans[at].bytes(&bytes[whole..], &owned);
                        let command = server.names.find(argument(0));
                        let first_key = command.map_or(0, |command| command.first_key);
                        if !authenticated
                            && command.is_some_and(|command| command.command.flags.contains(Flags::NO_AUTH))
                        {
                            quota = all.len() - first + 1;
                        }
                        // What a transaction holds is seen when its turn comes.
                        self.attends |= command.is_some_and(|command| may_attend(command, true));
                        let key_hash =
                            (first_key != 0 && first_key < spans.len()).then(|| server.keys.hash(argument(first_key)));
                        let goes_deep = command.is_some_and(|command| command.goes_deep);
                        let member = command.map_or(0, |command| command.command.member);
                        let member_hash =
                            if member != 0 && member < spans.len() { server.keys.hash(argument(member)) } else { 0 };
                        self.goes_deep |= goes_deep;
                        let spans = first_span as u32..all_spans.len() as u32;
                        let (start, db) = (whole as u32, client.db as u32);
                        all.push(Pending { command, db, key_hash, goes_deep, member_hash, spans, start, owned });
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
        let pending = first..all.len();
        sources.push(Source { token, own, arena, pending, whole, parsed: at, error, replay, more });
    }

    /// Runs everything. `served` learns what became of each client.
    pub fn run(&mut self, server: &mut Server, mut served: impl FnMut(&mut Server, usize, Served)) {
        prefetch(&self.queue.pending, 0, |db, hash| server.keys.prefetch_bucket(db, hash));
        let mut cx = Ctx::unused(server);
        let mut nth = 0;
        while nth < self.queue.sources.len() {
            let source = &self.queue.sources[nth];
            let (token, pending) = (source.token, source.pending.clone());
            let (mut postponed, mut blocked) = (Vec::new(), false);
            if !pending.is_empty() {
                let client = &mut cx.server.clients[token];
                client.active_ms = cx.server.clock.uptime_ms();
                if !client.output.has_buffer() {
                    // In a crowd each gets a small one: of so many large ones most would be new and go again.
                    let size = if nth < CROWD { client.reply_buffer } else { REPLY_BUFFER_MIN };
                    client.output.lend(self.pool.pop().unwrap_or_else(|| Vec::with_capacity(size)));
                }
                let obeyed = client.link.is_some();
                cx.enter(token);
                for at in pending {
                    if at.is_multiple_of(WINDOW) {
                        self.ask_ahead(&cx.server.keys, at);
                    }
                    if !cx.server.dying.is_empty() && cx.server.clients[token].closing.is_some() {
                        self.queue.sources[nth].error = None;
                        break;
                    }
                    let verdict = if blocked || !postponed.is_empty() {
                        self.queue.command(&self.text, nth, at, false).0.encode(&mut postponed);
                        Verdict::Postponed
                    } else if self.attends && self.may_attend(&cx, at) {
                        self.run_attended(&mut cx, nth, at, obeyed, &mut postponed)
                    } else {
                        let (command, key_hash) = self.queue.head(at);
                        let (mut args, text) = self.queue.command(&self.text, nth, at, obeyed);
                        run(&mut cx, command, &mut args, key_hash, text, &mut postponed)
                    };
                    blocked |= verdict == Verdict::Blocked;
                }
                cx.leave();
                let client = &mut cx.server.clients[token];
                if client.output.is_empty() && client.output.has_buffer() {
                    // Its reply may be long in coming, and will find another buffer.
                    self.reclaim(client);
                }
            }
            let held_up = match (blocked, postponed.is_empty()) {
                (true, _) => Some(Served::Blocked),
                (false, false) => Some(Served::Paused),
                (false, true) => None,
            };
            let client = &mut cx.server.clients[token];
            let outcome = self.queue.keep_leftover(&self.text, client, nth, postponed, held_up.is_some());
            served(cx.server, token, held_up.unwrap_or(outcome));
            nth += 1;
        }
        self.text.arena.clear();
        self.text.spans.clear();
        // A command with very many arguments is no reason to keep room for another.
        self.text.spans.shrink_to(SPANS_KEPT);
        self.queue.pending.clear();
        self.queue.sources.clear();
        self.attends = false;
        self.goes_deep = false;
    }

    /// Asks for what the commands of the window that begins at `first` need, and for the buckets of the next one.
    #[inline]
    fn ask_ahead(&self, keys: &Keyspace, first: usize) {
        let pending = &self.queue.pending;
        prefetch(pending, first + WINDOW, |db, hash| keys.prefetch_bucket(db, hash));
        prefetch(pending, first, |db, hash| keys.prefetch_entry(db, hash));
        if self.goes_deep {
            prefetch_values(pending, first, keys);
        }
    }

    /// Whether others may be served from within the command at `at`.
    #[inline]
    fn may_attend(&self, cx: &Ctx<'_>, at: usize) -> bool {
        let transaction = &cx.server.clients[cx.token].transaction;
        let kept_script = transaction.as_ref().is_some_and(|transaction| transaction.runs_script());
        self.queue.pending[at].command.is_some_and(|command| may_attend(command, kept_script))
    }

    /// Runs a command from within which others may be served: what they sent, as far as it stands here behind it, is at hand then.
    fn run_attended(
        &mut self,
        cx: &mut Ctx<'_>,
        nth: usize,
        at: usize,
        obeyed: bool,
        postponed: &mut Vec<u8>,
    ) -> Verdict {
        let passage = obeyed.then(|| self.queue.passage(nth, at));
        let mut pending = std::mem::take(&mut self.queue.pending[at]);
        let source = std::mem::take(&mut self.queue.sources[nth]);
        let behind = Rc::clone(&self.behind);
        behind.first.set(nth + 1);
        behind.exchange(self);
        let text = behind.text.borrow();
        let (command, key_hash) = (pending.command, pending.key_hash);
        let (mut args, passage) = arguments(&text, &source, &mut pending, passage);
        let verdict = run(cx, command, &mut args, key_hash, passage, postponed);
        drop(text);
        behind.exchange(self);
        self.queue.sources[nth] = source;
        verdict
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

impl Queue {
    /// A command and the hash of its first key.
    #[inline]
    fn head(&self, at: usize) -> (Option<&'static Registered>, Option<u64>) {
        let pending = &self.pending[at];
        (pending.command, pending.key_hash)
    }

    /// The arguments of the command at `at`, which is of the source `nth`, and if it is to be `obeyed` how it came.
    #[inline]
    fn command<'a>(
        &'a mut self,
        text: &'a Text,
        nth: usize,
        at: usize,
        obeyed: bool,
    ) -> (Args<'a>, Option<Cow<'a, [u8]>>) {
        let passage = if obeyed { Some(self.passage(nth, at)) } else { None };
        arguments(text, &self.sources[nth], &mut self.pending[at], passage)
    }

    /// Where in its source a command stands, with the empty lines around it.
    #[cold]
    fn passage(&self, nth: usize, at: usize) -> Range<usize> {
        let source = &self.sources[nth];
        let Range { start: first, end } = source.pending;
        let start = if at == first { 0 } else { self.pending[at].start as usize };
        start..if at + 1 < end { self.pending[at + 1].start as usize } else { source.whole }
    }

    /// Gives a client back what of its bytes has not run.
    #[inline]
    fn keep_leftover(
        &mut self,
        text: &Text,
        client: &mut Client,
        nth: usize,
        postponed: Vec<u8>,
        held_up: bool,
    ) -> Served {
        client.query_bytes = 0;
        let source = &mut self.sources[nth];
        let bytes = source.bytes(text).len();
        if source.whole == bytes && postponed.is_empty() && !source.replay && source.error.is_none() {
            (client.parsed, client.behind) = (0, false);
            return Served::All;
        }
        let left = match source.own.take() {
            Some(mut own) => {
                own.drain(..source.whole);
                own
            }
            None => text.arena[source.arena.clone()][source.whole..].to_vec(),
        };
        keep_rest(client, source, left, postponed, held_up)
    }
}

impl Source {
    /// Its bytes, which are a part of the text if they are not its own.
    #[inline]
    fn bytes<'a>(&'a self, text: &'a Text) -> &'a [u8] {
        self.own.as_deref().unwrap_or(&text.arena[self.arena.clone()])
    }
}

impl Behind {
    /// Takes what the batch has, or gives it back.
    fn exchange(&self, batch: &mut Batch) {
        std::mem::swap(&mut *self.text.borrow_mut(), &mut batch.text);
        std::mem::swap(&mut *self.queue.borrow_mut(), &mut batch.queue);
    }

    /// Gives everybody back what they sent, to be run some other way. Returns who they are.
    pub fn give_back(&self, server: &mut Server) -> Vec<usize> {
        let (text, queue) = (&*self.text.borrow(), &mut *self.queue.borrow_mut());
        let mut tokens = Vec::new();
        for nth in self.first.get()..queue.sources.len() {
            let Source { token, ref pending, .. } = queue.sources[nth];
            let mut commands = Vec::new();
            for at in pending.clone() {
                queue.command(text, nth, at, false).0.encode(&mut commands);
            }
            queue.keep_leftover(text, &mut server.clients[token], nth, commands, true);
            tokens.push(token);
        }
        queue.sources.truncate(self.first.get());
        tokens
    }
}

/// A command's arguments, and its text as it came if that is a `passage` of its source.
#[inline]
fn arguments<'a>(
    text: &'a Text,
    source: &'a Source,
    pending: &'a mut Pending,
    passage: Option<Range<usize>>,
) -> (Args<'a>, Option<Cow<'a, [u8]>>) {
    let bytes = source.bytes(text);
    let in_one_piece = pending.owned.is_empty();
    let spans = &text.spans[pending.spans.start as usize..pending.spans.end as usize];
    let args = Args::new(&bytes[pending.start as usize..], spans, &mut pending.owned);
    let passage = passage.map(|passage| text_of(&args, in_one_piece, &bytes[passage]));
    (args, passage)
}

/// Runs a command. One that is not to run now is put behind those `postponed`. A master's `text` becomes a part of the
/// stream.
#[inline]
fn run(
    cx: &mut Ctx<'_>,
    command: Option<&'static Registered>,
    args: &mut Args<'_>,
    key_hash: Option<u64>,
    text: Option<Cow<'_, [u8]>>,
    postponed: &mut Vec<u8>,
) -> Verdict {
    let verdict = cx.run(command, args, key_hash);
    cx.reply.out.end_long_piece();
    if verdict == Verdict::Postponed {
        args.encode(postponed);
    } else if let Some(text) = text {
        let token = cx.token;
        cx.server.stream_heard(token, &text, verdict == Verdict::Blocked);
    }
    verdict
}

/// Adds what has come to what a client has sent. That is not doubled for ever: a long request that is on its way would take twice
/// its bytes, in each of many clients.
fn append_input(input: &mut Vec<u8>, bytes: &[u8]) {
    let len = input.len() + bytes.len();
    if len > DOUBLED_INPUT && len > input.capacity() {
        input.reserve_exact(bytes.len() + len / 2);
    }
    input.extend_from_slice(bytes);
}

/// As [`Queue::keep_leftover`], of a client of whom something is left, be it commands that have been `postponed` or bytes.
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
