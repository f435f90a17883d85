//! MIGRATE: moving keys to another server.
//!
//! The keys are sent as RESTORE commands over a connection of our own, and deleted here as soon as the other server has
//! taken them. Nothing else may happen to them meanwhile, so the loop waits, for no longer than the command's timeout in
//! all. Connections are kept for the next time, for a few seconds.

use std::collections::HashSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::Ctx;
use super::error::{Error, Outcome};
use super::table::{Acl, Begin, Command, Doc, Find, Flags, KeyFlags, KeySpec};
use crate::effects::Event;
use crate::persist::rdb::payload;
use crate::resp::Args;
use crate::types::number::parse_i64;

/// Connections that are kept.
const KEPT: usize = 64;
/// How long one is kept without use, in milliseconds.
const KEPT_MS: u64 = 10_000;
/// A reply's line gets no longer than this, in bytes.
const LINE_MAX: usize = 1024;

const MOVES: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

pub const COMMANDS: &[Command] = &[Command {
    name: "migrate",
    arity: -6,
    flags: Flags::WRITE.union(Flags::MOVABLE_KEYS),
    acl: Acl::KEYSPACE.union(Acl::DANGEROUS),
    keys: &[
        KeySpec::one(3, MOVES),
        KeySpec {
            begin: Begin::Keyword("KEYS", -2),
            find: Find::Range { last: -1, step: 1, limit: 0 },
            flags: MOVES.union(KeyFlags::INCOMPLETE),
            notes: "",
        },
    ],
    tips: &["nondeterministic_output"],
    doc: Doc {
        summary: "Moves keys to another server.",
        since: "2.6.0",
        group: "generic",
        complexity: "O(N) where N is the size of the values: what DUMP and DEL take here and RESTORE there.",
        syntax: "host port <key-selector: key | \"\"> destination-db timeout [COPY] [REPLACE] \
                 [authentication: <auth: AUTH password> | AUTH2 username password] \
                 [keys: KEYS key [key ...]]",
        ..Command::NONE.doc
    },
    handler: migrate,
    ..Command::NONE
}];

/// Connections to servers that keys were moved to.
#[derive(Default)]
pub struct Migrations {
    kept: Vec<Kept>,
}

struct Kept {
    host: Vec<u8>,
    port: Vec<u8>,
    link: Link,
    used_ms: u64,
}

/// A connection, and the database that is selected there, as far as it is known.
struct Link {
    stream: TcpStream,
    db: Option<i64>,
    /// What has been read of the next line.
    read: Vec<u8>,
}

impl Migrations {
    /// How many connections are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Closes connections that have not been used for a while.
    pub fn close_idle(&mut self, uptime_ms: u64) {
        self.kept.retain(|kept| uptime_ms.saturating_sub(kept.used_ms) <= KEPT_MS);
    }

    fn take(&mut self, host: &[u8], port: &[u8]) -> Option<Link> {
        let at = self.kept.iter().position(|kept| kept.host == host && kept.port == port)?;
        Some(self.kept.swap_remove(at).link)
    }

    fn keep(&mut self, host: &[u8], port: &[u8], link: Link, used_ms: u64) {
        if self.kept.len() == KEPT {
            self.kept.remove(0);
        }
        self.kept.push(Kept { host: host.to_vec(), port: port.to_vec(), link, used_ms });
    }
}

/// Why a transfer did not succeed.
enum Failed {
    Connecting,
    Writing(io::Error),
    Reading(io::Error),
}

impl Link {
    fn open(host: &[u8], port: &[u8], deadline: Instant) -> Result<Link, Failed> {
        let port = parse_i64(port).and_then(|port| u16::try_from(port).ok()).ok_or(Failed::Connecting)?;
        let host = std::str::from_utf8(host).map_err(|_| Failed::Connecting)?;
        let mut failed = Failed::Connecting;
        for address in (host, port).to_socket_addrs().map_err(|_| Failed::Connecting)? {
            match left(deadline).and_then(|left| TcpStream::connect_timeout(&address, left)) {
                Ok(stream) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        log::debug!("MIGRATE: a connection without TCP_NODELAY: {error}");
                    }
                    return Ok(Link { stream, db: None, read: Vec::new() });
                }
                // Redis notices a refusal only when it writes.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => failed = Failed::Writing(error),
                Err(_) => failed = Failed::Connecting,
            }
        }
        Err(failed)
    }

    fn send(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(left(deadline)?))?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next line of the replies, without its end.
    fn line(&mut self, deadline: Instant) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.read) {
                let mut line: Vec<u8> = self.read.drain(..=end).collect();
                line.truncate(line.trim_ascii_end().len());
                return Ok(line);
            }
            if self.read.len() > LINE_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
            self.stream.set_read_timeout(Some(left(deadline)?))?;
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.read.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The time that is left, which is some.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Whether waiting took too long: then there is no second attempt.
fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// What MIGRATE was asked for. Arguments are named by their positions.
#[derive(Default)]
struct Wish {
    copy: bool,
    replace: bool,
    user: Option<usize>,
    password: Option<usize>,
    keys: std::ops::Range<usize>,
}

fn parse(cx: &mut Ctx<'_>, args: &Args<'_>) -> Result<Wish, Error> {
    let mut wish = Wish { keys: 3..4, ..Wish::default() };
    let mut at = 6;
    while let Some(word) = args.get(at) {
        let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
        let more = args.len() - 1 - at;
        if is("copy") {
            wish.copy = true;
        } else if is("replace") {
            wish.replace = true;
        } else if is("auth") && more >= 1 {
            at += 1;
            wish.password = Some(at);
            cx.redact(at);
        } else if is("auth2") && more >= 2 {
            wish.user = Some(at + 1);
            wish.password = Some(at + 2);
            cx.redact(at + 1);
            cx.redact(at + 2);
            at += 2;
        } else if is("keys") {
            if !args[3].is_empty() {
                return Err(Error::fixed(
                    "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                ));
            }
            wish.keys = at + 1..args.len();
            break;
        } else {
            cx.redact_from(at, args);
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    Ok(wish)
}

fn migrate(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let wish = parse(cx, args)?;
    let timeout = parse_i64(&args[5]).ok_or(Error::NOT_AN_INTEGER)?;
    let db = parse_i64(&args[4]).ok_or(Error::NOT_AN_INTEGER)?;
    let timeout = Duration::from_millis(if timeout <= 0 { 1000 } else { timeout as u64 });
    let (mut found, mut named) = (Vec::new(), HashSet::new());
    for at in wish.keys.clone() {
        let key = cx.server.keys.key(&args[at]);
        // A key that is named twice goes once.
        if cx.server.keys.read(cx.db, key, cx.touch).is_some() && named.insert(&args[at]) {
            found.push(at);
        }
    }
    if found.is_empty() {
        cx.reply.status("NOKEY");
        return Ok(());
    }
    let deadline = Instant::now() + timeout;
    let (host, port) = (args[1].to_vec(), args[2].to_vec());
    // A connection that was kept may have ended meanwhile: that is no reason to give up.
    let kept = cx.server.migrations.take(&host, &port);
    let mut may_retry = kept.is_some();
    let mut link = kept;
    let outcome = loop {
        let mut open = match link.take().map_or_else(|| Link::open(&host, &port, deadline), Ok) {
            Ok(open) => open,
            Err(failed) => break Err(failed),
        };
        match transfer(cx, args, &wish, &found, db, &mut open, deadline) {
            Ok(moved) => {
                cx.server.migrations.keep(&host, &port, open, cx.server.clock.uptime_ms());
                break Ok(moved);
            }
            Err((Failed::Writing(error) | Failed::Reading(error), 0)) if may_retry && !timed_out(&error) => {
                may_retry = false;
            }
            Err((failed, _)) => break Err(failed),
        }
    };
    cx.look_at_clock();
    match outcome {
        Ok(None) => {
            cx.reply.ok();
            Ok(())
        }
        Ok(Some(line)) => {
            let mut text = b"ERR Target instance replied with error: ".to_vec();
            text.extend_from_slice(&line);
            Err(Error::new(text))
        }
        Err(Failed::Connecting) => Err(Error::fixed("IOERR error or timeout connecting to the client")),
        Err(Failed::Writing(_)) => Err(Error::fixed("IOERR error or timeout writing to target instance")),
        Err(Failed::Reading(_)) => Err(Error::fixed("IOERR error or timeout reading to target instance")),
    }
}

/// Sends the keys and deletes those that were taken, unless they are to be copied. Returns the first error that the other
/// server told.
///
/// # Errors
/// What went wrong with the connection, and how many replies had come.
fn transfer(
    cx: &mut Ctx<'_>,
    args: &Args<'_>,
    wish: &Wish,
    found: &[usize],
    db: i64,
    link: &mut Link,
    deadline: Instant,
) -> Result<Option<Vec<u8>>, (Failed, usize)> {
    let select = link.db != Some(db);
    let mut bytes = Vec::new();
    if let Some(password) = wish.password {
        let words = [Some(&b"AUTH"[..]), wish.user.map(|at| &args[at]), Some(&args[password])];
        let words: Vec<&[u8]> = words.into_iter().flatten().collect();
        write_command(&mut bytes, &words);
    }
    if select {
        write_command(&mut bytes, &[b"SELECT", db.to_string().as_bytes()]);
    }
    let now_ms = cx.server.keys.now_ms();
    let compress = cx.server.settings.rdbcompression;
    let mut sent = Vec::new();
    for &at in found {
        let key = cx.server.keys.key(&args[at]);
        let Some(entry) = cx.server.keys.peek(cx.db, key) else { continue };
        let ttl = entry.deadline().map_or(0, |deadline| deadline.saturating_sub(now_ms).max(1)).to_string();
        let payload = payload::dump(entry, compress);
        let words: [&[u8]; 5] = [b"RESTORE", key.bytes, ttl.as_bytes(), &payload, b"REPLACE"];
        write_command(&mut bytes, &words[..if wish.replace { 5 } else { 4 }]);
        sent.push(at);
    }
    link.send(&bytes, deadline).map_err(|error| (Failed::Writing(error), 0))?;
    let mut refused = None;
    let mut told = |line: Vec<u8>| {
        let bad = line.first() == Some(&b'-');
        if bad && refused.is_none() {
            refused = Some(line[1..].to_vec());
        }
        !bad
    };
    let mut moved: Vec<&[u8]> = vec![b"DEL"];
    let mut ready = true;
    for _ in 0..usize::from(wish.password.is_some()) + usize::from(select) {
        ready &= told(link.line(deadline).map_err(|error| (Failed::Reading(error), 0))?);
    }
    let mut broken = None;
    for (replies, at) in sent.into_iter().enumerate() {
        match link.line(deadline) {
            Err(error) => {
                broken = Some((Failed::Reading(error), replies));
                break;
            }
            Ok(line) => {
                if told(line) && ready && !wish.copy {
                    let key = cx.server.keys.key(&args[at]);
                    cx.server.keys.delete(cx.db, key, Event::DEL);
                    moved.push(&args[at]);
                }
            }
        }
    }
    // Elsewhere the keys that went are simply gone.
    if moved.len() > 1 {
        cx.propagate(&moved);
    } else {
        cx.propagate_nothing();
    }
    if let Some(broken) = broken {
        return Err(broken);
    }
    link.db = refused.is_none().then_some(db);
    Ok(refused)
}

fn write_command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}
