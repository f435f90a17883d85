//! Parsing requests: multibulk (`*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`) and inline (`GET k\r\n`).
//!
//! An argument is a span of the read buffer; an ordinary command is parsed without allocating. Two kinds of
//! arguments are owned instead: those of an inline command whose quotes had to be resolved, and those of at least
//! [`BIG_ARG`] bytes that had not arrived in full. The connection reads the rest of a big argument straight into
//! its own memory ([`RequestParser::big_arg`]), so that a large value can move into the keyspace as it is.
//!
//! The parser keeps its state between calls: a command that arrives in a thousand pieces is parsed once, not a
//! thousand times.

use std::fmt;

use super::args::Span;
use crate::types::number::parse_i64;

/// From this many bytes on, an argument that has not arrived in full gets its own memory.
pub const BIG_ARG: usize = 32 * 1024;
/// An inline request, or a line announcing a length, is at most this long.
const LINE_MAX: usize = 64 * 1024;
/// Without authentication a request has at most this many arguments, of at most this many bytes.
const UNAUTHENTICATED_ARGS: i64 = 10;
const UNAUTHENTICATED_BULK: i64 = 16 * 1024;

/// A request that is not RESP. The connection is told and closed.
#[derive(Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A line that should announce the number of arguments is too long.
    MultibulkLine,
    /// The number of arguments is no number, or too large.
    MultibulkLength,
    /// The number of arguments is too large for a client that has not authenticated.
    UnauthenticatedMultibulkLength,
    /// An argument does not start with `$` but with this byte.
    ExpectedBulk(u8),
    /// A line that should announce an argument's length is too long.
    BulkLine,
    /// An argument's length is no number, negative, or above proto-max-bulk-len.
    BulkLength,
    /// An argument is too large for a client that has not authenticated.
    UnauthenticatedBulkLength,
    /// An inline request without a line end.
    InlineLine,
    /// An inline request with a quote that does not end.
    UnbalancedQuotes,
    /// An inline request where there are none: a master's stream has lost its step.
    InlineFromMaster,
}

impl ProtocolError {
    /// The error as the client gets it. A byte of its own is repeated as it is.
    pub fn text(&self) -> Vec<u8> {
        match self {
            ProtocolError::ExpectedBulk(got) => [b"Protocol error: expected '$', got '", &[*got][..], b"'"].concat(),
            other => other.to_string().into_bytes(),
        }
    }
}

/// For logs.
impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        match self {
            ProtocolError::MultibulkLine => f.write_str("too big mbulk count string"),
            ProtocolError::MultibulkLength => f.write_str("invalid multibulk length"),
            ProtocolError::UnauthenticatedMultibulkLength => f.write_str("unauthenticated multibulk length"),
            ProtocolError::ExpectedBulk(got) => write!(f, "expected '$', got '{}'", got.escape_ascii()),
            ProtocolError::BulkLine => f.write_str("too big bulk count string"),
            ProtocolError::BulkLength => f.write_str("invalid bulk length"),
            ProtocolError::UnauthenticatedBulkLength => f.write_str("unauthenticated bulk length"),
            ProtocolError::InlineLine => f.write_str("too big inline request"),
            ProtocolError::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
            ProtocolError::InlineFromMaster => f.write_str("Master using the inline protocol. Desync?"),
        }
    }
}

/// What a request may claim before it is refused.
#[derive(Clone, Copy)]
pub struct Limits {
    /// proto-max-bulk-len, in bytes.
    pub max_bulk: u64,
    /// Whether the client may send more than a short AUTH.
    pub authenticated: bool,
}

/// An argument on its way into its own memory.
pub struct BigArg {
    /// What has arrived, including the line end once it has.
    bytes: Vec<u8>,
    /// Length of the argument without its line end.
    len: usize,
}

impl BigArg {
    /// The memory to append to, and how many bytes are still to come.
    pub fn remaining(&mut self) -> (&mut Vec<u8>, usize) {
        let missing = self.len + 2 - self.bytes.len();
        (&mut self.bytes, missing)
    }
}

/// What the parser knows of the command that is arriving.
#[derive(Default)]
pub struct RequestParser {
    /// Arguments still to come; 0 before a command.
    missing: u32,
    /// Length of the argument that comes next, once its line has been read.
    bulk: Option<usize>,
    /// What is kept of a command that has not arrived in full, or has arguments of its own.
    kept: Option<Box<Kept>>,
    from_master: bool,
}

/// What few commands need.
#[derive(Default)]
struct Kept {
    /// Arguments so far of a command that has not arrived in full.
    spans: Vec<Span>,
    /// Owned arguments of the command being parsed.
    owned: Vec<Vec<u8>>,
    big: Option<BigArg>,
}

/// What one call of [`RequestParser::parse`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole command; its spans were appended. It may be empty: then there is nothing to run.
    Command,
    /// The buffer ends before the command does.
    Incomplete,
}

impl RequestParser {
    /// From here on it is a master's stream, in which there are no inline requests.
    pub fn follow_master(&mut self) {
        self.from_master = true;
    }

    /// Whether no command has begun to arrive.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.missing == 0 && self.kept.is_none()
    }

    /// The argument that is to be read into its own memory. While there is one, `parse` must not be called;
    /// when all of it has arrived, [`RequestParser::finish_big_arg`] must.
    #[inline]
    pub fn big_arg(&mut self) -> Option<&mut BigArg> {
        self.kept.as_mut()?.big.as_mut()
    }

    /// Takes the complete big argument into the command.
    pub fn finish_big_arg(&mut self) {
        if let Some(kept) = &mut self.kept
            && let Some(mut big) = kept.big.take()
        {
            debug_assert_eq!(big.bytes.len(), big.len + 2);
            big.bytes.truncate(big.len);
            kept.spans.push(Span::owned(kept.owned.len()));
            kept.owned.push(big.bytes);
            self.missing -= 1;
        }
    }

    /// Bytes of the big argument that have arrived, if there is one.
    #[inline]
    pub fn big_arg_bytes(&self) -> Option<usize> {
        Some(self.kept.as_ref()?.big.as_ref()?.bytes.len())
    }

    /// Gives back memory that was set aside for a big argument whose bytes do not come.
    pub fn shrink(&mut self) {
        if let Some(big) = self.big_arg() {
            big.bytes.shrink_to_fit();
        }
    }

    /// Bytes of memory that a command held here takes.
    pub fn memory_bytes(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| {
            size_of::<Kept>()
                + kept.spans.capacity() * size_of::<Span>()
                + kept.owned.iter().map(Vec::capacity).sum::<usize>()
                + kept.big.as_ref().map_or(0, |big| big.bytes.capacity())
        })
    }

    /// Bytes that have arrived of the arguments held here.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| {
            kept.owned.iter().map(Vec::len).sum::<usize>() + kept.big.as_ref().map_or(0, |big| big.bytes.len())
        })
    }

    /// Takes the owned arguments of the command that was just parsed.
    #[inline]
    pub fn take_owned(&mut self) -> Vec<Vec<u8>> {
        self.kept.take().map_or_else(Vec::new, |kept| kept.owned)
    }

    /// Parses one command from `buf[*at..]`. On success its arguments' spans, relative to `buf`, are appended to
    /// `spans`. What has been parsed is skipped in `*at`, also of an incomplete command: the bytes before `*at`
    /// must be kept (and `buf` may only grow) until the command is whole.
    ///
    /// When `buf` ends within a big argument, its first bytes are moved out of `buf`'s end: the caller must
    /// truncate `buf` to `*at`.
    ///
    /// # Errors
    /// Whatever is not RESP; the parser must not be used afterwards.
    pub fn parse(
        &mut self,
        buf: &[u8],
        at: &mut usize,
        spans: &mut Vec<Span>,
        limits: Limits,
    ) -> Result<Parsed, ProtocolError> {
        // After a big last argument nothing is missing, but the command has not been handed over yet.
        if self.is_idle() {
            match buf.get(*at) {
                None => return Ok(Parsed::Incomplete),
                Some(b'*') => {}
                Some(_) => return self.parse_inline(buf, at, spans),
            }
            let (count, next) = match short_length(buf, *at + 1) {
                Some((count, next)) => (count as i64, next),
                None => {
                    let Some((line, next)) = line(buf, *at + 1).map_err(|()| ProtocolError::MultibulkLine)? else {
                        return Ok(Parsed::Incomplete);
                    };
                    let count = parse_i64(line).filter(|&n| n <= i32::MAX as i64);
                    (count.ok_or(ProtocolError::MultibulkLength)?, next)
                }
            };
            if count > UNAUTHENTICATED_ARGS && !limits.authenticated {
                return Err(ProtocolError::UnauthenticatedMultibulkLength);
            }
            *at = next;
            if count <= 0 {
                return Ok(Parsed::Command);
            }
            self.missing = count as u32;
        }
        if self.kept.is_some() {
            return self.parse_rest(buf, at, spans, limits);
        }
        let first = spans.len();
        let whole = self.parse_args(buf, at, spans, limits);
        if whole != Ok(Parsed::Command) {
            let begun = spans.drain(first..).collect();
            self.keep(&buf[*at..], begun, whole.is_ok());
        }
        whole
    }

    /// As [`RequestParser::parse`], of a command of which a part is kept. That stays where it is until the command is whole: it may
    /// be much, and come in small pieces.
    #[cold]
    fn parse_rest(
        &mut self,
        buf: &[u8],
        at: &mut usize,
        spans: &mut Vec<Span>,
        limits: Limits,
    ) -> Result<Parsed, ProtocolError> {
        let mut begun = self.kept.as_mut().map_or_else(Vec::new, |kept| std::mem::take(&mut kept.spans));
        let whole = self.parse_args(buf, at, &mut begun, limits);
        if whole == Ok(Parsed::Command) {
            spans.append(&mut begun);
        } else {
            self.keep(&buf[*at..], begun, whole.is_ok());
        }
        whole
    }

    /// Keeps what has been parsed of a command that is not whole. If it is `sound` and a big argument comes next, `rest` is that
    /// argument's beginning.
    #[cold]
    fn keep(&mut self, rest: &[u8], spans: Vec<Span>, sound: bool) {
        let kept = self.kept.get_or_insert_default();
        kept.spans = spans;
        if let Some(len) = self.bulk.filter(|&len| sound && len >= BIG_ARG) {
            self.bulk = None;
            let mut bytes = Vec::with_capacity(len + 2);
            bytes.extend_from_slice(rest);
            kept.big = Some(BigArg { bytes, len });
        }
    }

    #[inline(always)]
    fn parse_args(
        &mut self,
        buf: &[u8],
        at: &mut usize,
        spans: &mut Vec<Span>,
        limits: Limits,
    ) -> Result<Parsed, ProtocolError> {
        let mut at_arg = *at;
        let mut missing = self.missing;
        let mut bulk = self.bulk.take();
        let outcome = loop {
            if missing == 0 {
                break Ok(Parsed::Command);
            }
            let len = match bulk.take() {
                Some(len) => len,
                None => {
                    let Some(&first) = buf.get(at_arg) else { break Ok(Parsed::Incomplete) };
                    let (len, next) = match short_length(buf, at_arg + 1) {
                        Some(found) if first == b'$' => found,
                        _ => match bulk_line(buf, at_arg, limits) {
                            Ok(Some(found)) => found,
                            Ok(None) => break Ok(Parsed::Incomplete),
                            Err(error) => break Err(error),
                        },
                    };
                    at_arg = next;
                    len
                }
            };
            if buf.len() - at_arg < len + 2 {
                bulk = Some(len);
                break Ok(Parsed::Incomplete);
            }
            spans.push(Span::new(at_arg as u32, len as u32));
            at_arg += len + 2;
            missing -= 1;
        };
        (*at, self.missing, self.bulk) = (at_arg, missing, bulk);
        // Behind that no span can tell where an argument lies.
        if at_arg > u32::MAX as usize { Err(ProtocolError::BulkLength) } else { outcome }
    }

    fn parse_inline(&mut self, buf: &[u8], at: &mut usize, spans: &mut Vec<Span>) -> Result<Parsed, ProtocolError> {
        let rest = &buf[*at..];
        // As in Redis no line goes on behind a NUL: what a client of another protocol sends ends here, before it can have the form
        // of a request.
        let Some(end) = memchr::memchr2(b'\n', 0, rest).filter(|&end| rest[end] == b'\n') else {
            return if rest.len() > LINE_MAX { Err(ProtocolError::InlineLine) } else { Ok(Parsed::Incomplete) };
        };
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        if self.from_master && !line.is_empty() {
            return Err(ProtocolError::InlineFromMaster);
        }
        if line.iter().any(|&byte| byte == b'"' || byte == b'\'') {
            for word in split_words(line).ok_or(ProtocolError::UnbalancedQuotes)? {
                let owned = &mut self.kept.get_or_insert_default().owned;
                spans.push(Span::owned(owned.len()));
                owned.push(word);
            }
        } else {
            for word in line.split(|&byte| is_space(byte)).filter(|word| !word.is_empty()) {
                let start = *at + (word.as_ptr() as usize - rest.as_ptr() as usize);
                spans.push(Span::new(start as u32, word.len() as u32));
            }
        }
        *at += end + 1;
        Ok(Parsed::Command)
    }
}

/// The line from `at` on without its end, and where the next one starts. `Ok(None)` if it has not ended, an error
/// if it is longer than any length can be.
fn line(buf: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, ()> {
    let rest = buf.get(at..).unwrap_or_default();
    match memchr::memchr(b'\r', &rest[..rest.len().min(LINE_MAX)]) {
        // The byte behind the carriage return is taken for the line feed that it has to be.
        Some(end) if end + 1 < rest.len() => Ok(Some((&rest[..end], at + end + 2))),
        None if rest.len() >= LINE_MAX => Err(()),
        _ => Ok(None),
    }
}

/// The number of one or two digits that stands at `at`, and where the next line starts: the lengths of nearly all
/// requests. `None` for everything else, which the general way then looks at. Numbers this small need no limits.
#[inline(always)]
fn short_length(buf: &[u8], at: usize) -> Option<(usize, usize)> {
    let &[first, second, third, _] = buf.get(at..at + 4)?.first_chunk::<4>()?;
    let digit = first.wrapping_sub(b'0');
    if second == b'\r' && digit <= 9 {
        return Some((digit as usize, at + 3));
    }
    let next = second.wrapping_sub(b'0');
    // No leading zeros. The first number may be an argument count, which is limited to ten without a password.
    if third == b'\r' && digit.wrapping_sub(1) < 9 && next <= 9 {
        return Some((digit as usize * 10 + next as usize, at + 4));
    }
    None
}

/// The length of the argument that the line at `at` announces, and where its bytes start; `None` if the line has not
/// ended.
#[cold]
fn bulk_line(buf: &[u8], at: usize, limits: Limits) -> Result<Option<(usize, usize)>, ProtocolError> {
    let Some((text, next)) = line(buf, at).map_err(|()| ProtocolError::BulkLine)? else { return Ok(None) };
    let Some(text) = text.strip_prefix(b"$") else { return Err(ProtocolError::ExpectedBulk(buf[at])) };
    let len = parse_i64(text).filter(|&n| n >= 0 && n as u64 <= limits.max_bulk).ok_or(ProtocolError::BulkLength)?;
    if len > UNAUTHENTICATED_BULK && !limits.authenticated {
        return Err(ProtocolError::UnauthenticatedBulkLength);
    }
    Ok(Some((len as usize, next)))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// Splits a line into words as redis-cli and configuration files quote them: `"…"` with `\n`, `\r`, `\t`, `\b`,
/// `\a`, `\xHH` and any other escaped byte for itself; `'…'` with `\'` alone. A closing quote must end its word.
/// `None` if a quote is unbalanced. A NUL byte ends the line.
pub fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        while at < line.len() && is_space(line[at]) {
            at += 1;
        }
        if at == line.len() {
            return Some(words);
        }
        let mut word = Vec::new();
        while at < line.len() && !is_space(line[at]) {
            match line[at] {
                quote @ (b'"' | b'\'') => {
                    at = quoted(line, at + 1, quote, &mut word)?;
                    if at < line.len() && !is_space(line[at]) {
                        return None;
                    }
                }
                byte => {
                    word.push(byte);
                    at += 1;
                }
            }
        }
        words.push(word);
    }
}

/// Resolves what stands between two quotes; returns the position behind the closing one.
fn quoted(line: &[u8], mut at: usize, quote: u8, word: &mut Vec<u8>) -> Option<usize> {
    loop {
        match &line[at..] {
            [] => return None,
            [byte, ..] if *byte == quote => return Some(at + 1),
            [b'\\', b'\'', ..] if quote == b'\'' => {
                word.push(b'\'');
                at += 2;
            }
            [b'\\', b'x', high, low, ..] if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
                word.push(digit(*high) << 4 | digit(*low));
                at += 4;
            }
            [b'\\', escaped, ..] if quote == b'"' => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                at += 2;
            }
            [byte, ..] => {
                word.push(*byte);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Args;
    use super::*;
    use crate::fuzz::fuzz;

    const LIMITS: Limits = Limits { max_bulk: 512 << 20, authenticated: true };

    /// Feeds `input` in pieces of `piece` bytes, as a connection does, and returns all commands.
    fn commands(input: &[u8], piece: usize, limits: Limits) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
        let mut parser = RequestParser::default();
        let mut buf = Vec::new();
        let mut at = 0;
        let mut found = Vec::new();
        for mut chunk in input.chunks(piece) {
            if let Some(big) = parser.big_arg() {
                let (bytes, missing) = big.remaining();
                let taken = missing.min(chunk.len());
                bytes.extend_from_slice(&chunk[..taken]);
                chunk = &chunk[taken..];
                if taken < missing {
                    continue;
                }
                parser.finish_big_arg();
            }
            buf.extend_from_slice(chunk);
            loop {
                let mut spans = Vec::new();
                match parser.parse(&buf, &mut at, &mut spans, limits)? {
                    Parsed::Command => {
                        let mut owned = parser.take_owned();
                        let args = Args::new(&buf, &spans, &mut owned);
                        found.push(args.iter_from(0).map(<[u8]>::to_vec).collect());
                        buf.drain(..at);
                        at = 0;
                    }
                    Parsed::Incomplete => {
                        if parser.big_arg().is_some() {
                            buf.truncate(at);
                        }
                        break;
                    }
                }
            }
        }
        Ok(found)
    }

    fn words(line: &[&str]) -> Vec<Vec<u8>> {
        line.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn commands_are_found_however_they_arrive() {
        let big = "x".repeat(3 * BIG_ARG);
        let input = format!(
            "*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\nGET  k \r\n*0\r\n*-1\r\n\r\n\
             *4\r\n$4\r\nMSET\r\n$1\r\na\r\n${0}\r\n{big}\r\n$2\r\nbb\r\n*2\r\n$4\r\nECHO\r\n${0}\r\n{big}\r\nset \"a b\\x41\\n\" 'it\\'s'\n*1\r\n$1\r\nz\r\n",
            big.len()
        );
        let expected = vec![
            words(&["PING"]),
            words(&["SET", "k", ""]),
            words(&["GET", "k"]),
            words(&[]),
            words(&[]),
            words(&[]),
            words(&["MSET", "a", &big, "bb"]),
            words(&["ECHO", &big]),
            words(&["set", "a bA\n", "it's"]),
            words(&["z"]),
        ];
        for piece in [1, 2, 3, 7, 100, 4096, BIG_ARG, 1 << 20] {
            assert_eq!(commands(input.as_bytes(), piece, LIMITS).as_ref(), Ok(&expected), "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_not_resp_is_named() {
        let long = "1".repeat(LINE_MAX + 1);
        let cases: &[(&str, ProtocolError)] = &[
            ("*x\r\n", ProtocolError::MultibulkLength),
            ("*2147483648\r\n", ProtocolError::MultibulkLength),
            ("*01\r\n", ProtocolError::MultibulkLength),
            ("*1\r\n!3\r\nabc\r\n", ProtocolError::ExpectedBulk(b'!')),
            ("*1\r\n\r\n", ProtocolError::ExpectedBulk(b'\r')),
            ("*1\r\n$-1\r\n", ProtocolError::BulkLength),
            ("*1\r\n$x\r\n", ProtocolError::BulkLength),
            ("*1\r\n$536870913\r\n", ProtocolError::BulkLength),
            ("get \"k\r\n", ProtocolError::UnbalancedQuotes),
            ("get \"k\"x\r\n", ProtocolError::UnbalancedQuotes),
            ("get 'k\r\n", ProtocolError::UnbalancedQuotes),
            (&format!("*{long}"), ProtocolError::MultibulkLine),
            (&format!("*1\r\n${long}"), ProtocolError::BulkLine),
            (&long, ProtocolError::InlineLine),
        ];
        for (input, error) in cases {
            assert_eq!(commands(input.as_bytes(), 1 << 20, LIMITS).as_ref(), Err(error));
        }
        let closed = Limits { authenticated: false, ..LIMITS };
        assert_eq!(commands(b"*11\r\n", 99, closed), Err(ProtocolError::UnauthenticatedMultibulkLength));
        assert_eq!(commands(b"*1\r\n$16385\r\n", 99, closed), Err(ProtocolError::UnauthenticatedBulkLength));
    }

    /// Random and mutated requests: the parser must neither panic nor find other commands when the same bytes
    /// arrive in other pieces. Runs for `FUZZ_SECONDS` when asked, a moment otherwise.
    #[test]
    fn fuzz_parser() {
        fuzz(2_000, |rng| {
            let mut input = Vec::new();
            for _ in 0..rng.usize(1..6) {
                let args = rng.usize(0..5);
                input.extend_from_slice(format!("*{args}\r\n").as_bytes());
                for _ in 0..args {
                    let len = if rng.u8(..) < 3 { rng.usize(0..3 * BIG_ARG) } else { rng.usize(0..30) };
                    input.extend_from_slice(format!("${len}\r\n").as_bytes());
                    input.extend((0..len).map(|_| rng.u8(..)));
                    input.extend_from_slice(b"\r\n");
                }
                if rng.u8(..) < 60 {
                    input.extend_from_slice(b"get \"a\\x4\\\" b\" 'c\\'' \r\n");
                }
            }
            for _ in 0..rng.usize(0..4) {
                let at = rng.usize(0..input.len());
                match rng.u8(0..4) {
                    0 => input[at] = rng.u8(..),
                    1 => input[at] = b"*$\r\n\"'0-9 "[rng.usize(0..10)],
                    2 => drop(input.remove(at)),
                    _ => input.insert(at, rng.u8(..)),
                }
                if input.is_empty() {
                    input.push(b'*');
                }
            }
            let limits = Limits { max_bulk: 1 << 20, authenticated: rng.bool() };
            let whole = commands(&input, input.len(), limits);
            let pieces = commands(&input, rng.usize(1..40), limits);
            assert_eq!(whole, pieces, "seed found {input:?}");
        });
    }
}
