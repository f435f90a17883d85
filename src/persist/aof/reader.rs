//! Reading the text of an append-only file: commands and annotations, one after the other.
//!
//! A command is a RESP array of bulk strings. A line that begins with `#` is an annotation: `#TS:1700000000` tells the time of
//! what follows; `#CRC:` stands behind what it is the checksum of (see [`Checksum`]). The reader holds one record at a time
//! and remembers where it began, so that a file can be cut behind the last good one. What a file is filled with ahead of its
//! end (see [`super::filling`]) is passed over.

use std::io::{self, Read};
use std::ops::Range;

use super::filling;
use crate::resp::args::Span;
use crate::types::number::parse_i64;

/// The longest annotation, in bytes with its end.
const ANNOTATION_MAX: usize = 1024;
/// The longest command, in bytes.
pub const RECORD_MAX: usize = u32::MAX as usize;
/// What is read at once, in bytes.
const CHUNK: usize = 256 * 1024;

/// What the reader has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Record {
    /// A command; [`Reader::args`] has its arguments.
    Command,
    /// An annotation; [`Reader::annotation`] has its text.
    Annotation,
    /// The end of the file, where it may be. An annotation that the file ends within may lie behind [`Reader::offset`].
    End,
}

/// Why there is no record.
#[derive(Debug)]
pub enum Fault {
    /// The file ends within one.
    Truncated,
    /// This is no record. The text says what was expected.
    Malformed(String),
    /// From this position on, up to where the reader stands, it could be read, but is not what was written.
    Damaged(u64),
    /// The file system failed.
    Io(io::Error),
}

/// Reads records.
pub struct Reader<R> {
    source: R,
    bytes: Vec<u8>,
    /// Where the next record begins in `bytes`.
    next: usize,
    /// Where `bytes` begins in the file.
    base: u64,
    /// The last record, and its arguments.
    record: Range<usize>,
    args: Vec<Span>,
    /// Lines of all commands before `next`.
    lines: u64,
    checksum: Checksum,
}

/// What parsing a part of the file has shown.
enum Parsed {
    Command(usize),
    Annotation(usize),
    /// A part of what a file is filled with ahead of its end.
    Filling(usize),
    /// At least so many bytes are needed to know.
    Incomplete(usize),
    Malformed(String),
}

impl<R: Read> Reader<R> {
    /// A reader of what follows in `source`, which stands `offset` bytes behind the beginning of its file.
    pub fn new(source: R, offset: u64) -> Reader<R> {
        Reader {
            source,
            bytes: Vec::new(),
            next: 0,
            base: offset,
            record: 0..0,
            args: Vec::new(),
            lines: 0,
            checksum: Checksum::default(),
        }
    }

    /// Goes to the next record.
    ///
    /// # Errors
    /// If there is none where one should be. Then the reader must not be used any more, but to ask where it stands.
    pub fn advance(&mut self) -> Result<Record, Fault> {
        loop {
            match parse(&self.bytes[self.next..], &mut self.args) {
                Parsed::Command(len) => {
                    self.step(len);
                    self.lines += 1 + 2 * self.args.len() as u64;
                    self.checksum.add(&self.bytes[self.record.clone()]);
                    return Ok(Record::Command);
                }
                Parsed::Annotation(len) => {
                    self.step(len);
                    let from = self.start() - self.checksum.covered();
                    if !self.checksum.check(&self.bytes[self.record.clone()]) {
                        return Err(Fault::Damaged(from));
                    }
                    return Ok(Record::Annotation);
                }
                Parsed::Filling(len) => self.step(len),
                Parsed::Malformed(expected) => return Err(Fault::Malformed(expected)),
                Parsed::Incomplete(needed) => {
                    if !self.fill(needed)? {
                        // What an annotation tells is lost without its end, but no data are.
                        let ended = matches!(self.bytes.get(self.next), None | Some(b'#'));
                        return if ended { Ok(Record::End) } else { Err(Fault::Truncated) };
                    }
                }
            }
        }
    }

    fn step(&mut self, len: usize) {
        self.record = self.next..self.next + len;
        self.next += len;
    }

    /// Reads until there are `needed` bytes from the next record on, or more: twice as many as before at least, because all of a
    /// record is looked at again. Returns whether any came.
    fn fill(&mut self, needed: usize) -> Result<bool, Fault> {
        self.bytes.drain(..self.next);
        self.base += self.next as u64;
        self.next = 0;
        self.record = 0..0;
        let missing = needed.saturating_sub(self.bytes.len()).max(self.bytes.len()).max(CHUNK) as u64;
        let read = (&mut self.source).take(missing).read_to_end(&mut self.bytes).map_err(Fault::Io)?;
        Ok(read > 0)
    }

    /// The record as it stands in the file.
    pub fn record(&self) -> &[u8] {
        &self.bytes[self.record.clone()]
    }

    /// Where the command's arguments lie in the record.
    pub fn spans(&self) -> &[Span] {
        &self.args
    }

    /// An argument of the command.
    pub fn arg(&self, at: usize) -> &[u8] {
        self.args[at].bytes(self.record(), &[])
    }

    /// The text of the annotation without its `#` and its end.
    pub fn annotation(&self) -> &[u8] {
        self.record().trim_ascii_end().get(1..).unwrap_or_default()
    }

    /// The time of an annotation that tells one, in Unix seconds.
    pub fn timestamp(&self) -> Option<i64> {
        parse_i64(self.annotation().strip_prefix(b"TS:")?)
    }

    /// Where the record begins in the file.
    pub fn start(&self) -> u64 {
        self.base + self.record.start as u64
    }

    /// Where the next record begins in the file.
    pub fn offset(&self) -> u64 {
        self.base + self.next as u64
    }

    /// How many lines the commands before [`Reader::offset`] have.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

/// Finds the record that `bytes` begin with. The arguments of a command go to `args`.
fn parse(bytes: &[u8], args: &mut Vec<Span>) -> Parsed {
    let line = |at: usize| -> Result<Option<(&[u8], usize)>, String> {
        let rest = &bytes[at.min(bytes.len())..];
        match memchr::memchr(b'\n', &rest[..rest.len().min(ANNOTATION_MAX)]) {
            Some(end) => Ok(Some((rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]), at + end + 1))),
            None if rest.len() >= ANNOTATION_MAX => Err("Expected a line end".to_string()),
            None => Ok(None),
        }
    };
    // The number in a line that must begin with a character.
    let announced = |at: usize, mark: u8| -> Result<Option<(i64, usize)>, String> {
        if let Some(&first) = bytes.get(at)
            && first != mark
        {
            return Err(format!("Expected prefix '{}', got: '{}'", char::from(mark), first.escape_ascii()));
        }
        let Some((text, next)) = line(at)? else { return Ok(None) };
        let number = number(&text[1..]).ok_or_else(|| {
            format!("Expected a number behind '{}', got: '{}'", char::from(mark), text[1..].escape_ascii())
        })?;
        Ok(Some((number, next)))
    };
    args.clear();
    if bytes.starts_with(&[filling::BYTE; 2]) {
        let len = bytes.iter().take_while(|&&byte| byte == filling::BYTE).count();
        return match line(len) {
            Ok(Some((_, next))) => Parsed::Filling(next),
            Ok(None) => Parsed::Incomplete(bytes.len() + 1),
            Err(expected) => Parsed::Malformed(expected),
        };
    }
    if bytes.first() == Some(&b'#') {
        return match line(0) {
            Ok(Some((_, next))) => Parsed::Annotation(next),
            Ok(None) => Parsed::Incomplete(bytes.len() + 1),
            Err(expected) => Parsed::Malformed(expected),
        };
    }
    let (count, mut at) = match announced(0, b'*') {
        Ok(Some((count, next))) if (1..=i64::from(i32::MAX)).contains(&count) => (count, next),
        Ok(Some(_)) => return Parsed::Malformed("Expected a positive number of arguments".to_string()),
        Ok(None) => return Parsed::Incomplete(bytes.len() + 1),
        Err(expected) => return Parsed::Malformed(expected),
    };
    for _ in 0..count {
        let (len, start) = match announced(at, b'$') {
            Ok(Some((len, start))) if (0..RECORD_MAX as i64).contains(&len) => (len as usize, start),
            Ok(Some(_)) => return Parsed::Malformed("Expected the length of an argument".to_string()),
            Ok(None) => return Parsed::Incomplete(bytes.len() + 1),
            Err(expected) => return Parsed::Malformed(expected),
        };
        let end = start + len;
        if end > RECORD_MAX {
            return Parsed::Malformed("Expected a command of less than 4 GB".to_string());
        }
        match bytes.get(end..end + 2) {
            None => return Parsed::Incomplete(end + 2),
            Some(b"\r\n") => args.push(Span::new(start as u32, len as u32)),
            Some(other) => return Parsed::Malformed(format!("Expected \\r\\n, got: {}", other.escape_ascii())),
        }
        at = end + 2;
    }
    Parsed::Command(at)
}

/// A number, before whose digits there may be zeros.
fn number(text: &[u8]) -> Option<i64> {
    let zeros = text.iter().take_while(|&&byte| byte == b'0').count().min(text.len().saturating_sub(1));
    parse_i64(&text[zeros..]).filter(|&number| zeros == 0 || number >= 0)
}

/// What the annotation with a checksum begins with.
pub const MARK: &[u8] = b"#CRC:";

/// The checksum of commands since the last checksum.
///
/// `#CRC:<bytes>:<hexadecimal CRC-32>` stands behind as many bytes of records as it says, of which the last may be annotations
/// of other kinds. A reader that came upon less, because the file was cut within what the checksum covers, or was begun
/// by another program, knows nothing and skips it. Where the end of what was written has to be found from behind, a seal follows,
/// `:<hexadecimal number>`, that nobody can know who sends a value which looks like a checksum (see [`super::filling`]).
#[derive(Default, Clone)]
pub struct Checksum {
    hash: crc32fast::Hasher,
    /// Bytes so far.
    covered: u64,
    seal: Option<u64>,
}

/// What an annotation with a checksum tells.
#[derive(Clone, Copy)]
pub struct Told {
    /// Of how many bytes it is the checksum.
    pub covered: u64,
    pub hash: u32,
    pub seal: Option<u64>,
}

impl Checksum {
    /// One whose annotations have a seal.
    pub fn sealed(seal: u64) -> Checksum {
        Checksum { seal: Some(seal), ..Checksum::default() }
    }

    /// Begins anew. Returns the checksum of what was taken in, and of how many bytes it is.
    pub fn restart(&mut self) -> (u32, u64) {
        (std::mem::take(&mut self.hash).finalize(), std::mem::take(&mut self.covered))
    }

    /// Takes in what was written, or read.
    pub fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.covered += bytes.len() as u64;
    }

    /// How many bytes were taken in since the last checksum.
    pub fn covered(&self) -> u64 {
        self.covered
    }

    /// Writes the annotation for what was taken in, and begins anew.
    pub fn finish(&mut self) -> String {
        let (hash, covered) = self.restart();
        match self.seal {
            Some(seal) => format!("#CRC:{covered}:{hash:08x}:{seal:016x}\r\n"),
            None => format!("#CRC:{covered}:{hash:08x}\r\n"),
        }
    }

    /// Takes in an annotation. If it is a checksum, says whether it is that of what it stands behind, and begins anew.
    pub fn check(&mut self, line: &[u8]) -> bool {
        let Some(text) = line.strip_prefix(MARK) else {
            self.add(line);
            return true;
        };
        let (hash, covered) = self.restart();
        Checksum::told(text).is_none_or(|told| told.covered != covered || told.hash == hash)
    }

    /// What the rest of an annotation behind its mark tells.
    pub fn told(text: &[u8]) -> Option<Told> {
        let mut parts = std::str::from_utf8(text.trim_ascii_end()).ok()?.split(':');
        let covered = parts.next()?.parse().ok()?;
        let hash = u32::from_str_radix(parts.next()?, 16).ok()?;
        let seal = parts.next().and_then(|seal| u64::from_str_radix(seal, 16).ok());
        Some(Told { covered, hash, seal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::journal::encode;

    fn command(words: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, words.iter().map(|word| word.as_bytes()));
        out
    }

    /// Gives a few bytes at a time, as a disk might.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = self.1.min(buffer.len());
            (&mut self.0).take(most as u64).read(buffer)
        }
    }

    /// All records as text, and what came at last.
    fn read(bytes: &[u8], piece: usize) -> (Vec<String>, String, u64) {
        let mut reader = Reader::new(Slow(bytes, piece), 0);
        let mut found = Vec::new();
        loop {
            match reader.advance() {
                Ok(Record::Command) => {
                    let words: Vec<_> =
                        (0..reader.spans().len()).map(|at| String::from_utf8_lossy(reader.arg(at))).collect();
                    found.push(words.join(" "));
                }
                Ok(Record::Annotation) => found.push(format!("#{}", String::from_utf8_lossy(reader.annotation()))),
                Ok(Record::End) => return (found, "end".to_string(), reader.offset()),
                Err(Fault::Malformed(_)) => return (found, "malformed".to_string(), reader.offset()),
                Err(Fault::Truncated) => return (found, "truncated".to_string(), reader.offset()),
                Err(Fault::Damaged(_)) => return (found, "damaged".to_string(), reader.offset()),
                Err(Fault::Io(error)) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn records_are_found_however_they_arrive() {
        let big = "x".repeat(CHUNK + 17);
        let mut text = command(&["SET", "a", "1"]);
        text.extend_from_slice(b"#TS:1628217470\r\n");
        text.extend(command(&["SET", "b", &big]));
        text.extend(command(&["PING"]));
        for piece in [1 << 20, 4096, 7] {
            let (found, end, offset) = read(&text, piece);
            assert_eq!(found, ["SET a 1", "#TS:1628217470", &format!("SET b {big}"), "PING"]);
            assert_eq!((end.as_str(), offset), ("end", text.len() as u64));
        }
        assert_eq!(read(b"", 10), (vec![], "end".to_string(), 0));
        // A filling is passed over, also one that another program wrote behind.
        for filling in [2, 3, ANNOTATION_MAX + 1, CHUNK + 1] {
            let ping = command(&["PING"]);
            let line = [vec![filling::BYTE; filling], b"0123456789abcdef\n".to_vec()].concat();
            let filled = [&ping[..], &line, &ping, &line].concat();
            assert_eq!(read(&filled, 4096), (vec!["PING".to_string(); 2], "end".to_string(), filled.len() as u64));
        }
    }

    #[test]
    fn every_cut_is_noticed_and_located() {
        let first = command(&["INCR", "foo"]);
        let text = [first.clone(), command(&["INCR", "bar"])].concat();
        for cut in 0..=text.len() {
            let (found, end, offset) = read(&text[..cut], 1 << 20);
            let whole = if cut == text.len() { 2 } else { usize::from(cut >= first.len()) };
            let at_end = cut == 0 || cut == first.len() || cut == text.len();
            assert_eq!((found.len(), end.as_str()), (whole, if at_end { "end" } else { "truncated" }), "cut at {cut}");
            assert_eq!(offset, if whole == 0 { 0 } else { (first.len() * whole) as u64 });
        }
    }

    #[test]
    fn a_torn_annotation_is_the_end() {
        let ping = command(&["PING"]);
        for torn in ["#", "#TS:160", "#CRC:14:0", "####"] {
            let (found, end, offset) = read(&[&ping[..], torn.as_bytes()].concat(), 3);
            assert_eq!((found.len(), end.as_str(), offset), (1, "end", ping.len() as u64), "{torn}");
        }
        assert_eq!(read(b"*01\r\n$004\r\nPING\r\n", 3).0, ["PING"]);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for bad in [
            "!!!",
            "*x\r\n",
            "*\r\n",
            "*00\r\n",
            "*0-1\r\n",
            "*0\r\n",
            "*-1\r\n",
            "*1\r\n+OK\r\n",
            "*1\r\n$-1\r\n",
            "*1\r\n$1\r\nabc",
            "*1\r\n$99999999999\r\n",
        ] {
            let text = [command(&["PING"]), bad.as_bytes().to_vec()].concat();
            let (found, end, offset) = read(&text, 3);
            assert_eq!((found.len(), end.as_str(), offset), (1, "malformed", 14), "{bad}");
        }
    }

    #[test]
    fn a_damaged_middle_is_noticed_at_the_next_checksum() {
        let mut checksum = Checksum::default();
        let mut text = Vec::new();
        for number in 0..20 {
            let mut batch = command(&["SET", "key", &number.to_string()]);
            if number % 3 == 0 {
                batch.extend_from_slice(b"#TS:1\r\n");
            }
            checksum.add(&batch);
            text.extend(batch);
            text.extend_from_slice(checksum.finish().as_bytes());
        }
        let (found, end, _) = read(&text, 100);
        assert_eq!((found.len(), end.as_str()), (47, "end"));
        // Whatever value is changed, the checksum behind it tells.
        let mut damaged = 0;
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            let (found, end, _) = read(&changed, 1 << 20);
            if end == "end" {
                // The checksum itself, or its mark, was hit, so that it tells nothing.
                assert!(found.len() <= 47);
            } else {
                damaged += usize::from(end == "damaged");
            }
        }
        assert!(damaged > 100, "{damaged}");
    }

    #[test]
    fn a_checksum_of_more_than_was_read_tells_nothing() {
        let mut checksum = Checksum::default();
        let kept = command(&["SET", "a", "1"]);
        checksum.add(b"*1\r\n$4\r\nPING\r\n");
        checksum.add(&kept);
        let text = [kept, checksum.finish().into_bytes()].concat();
        assert_eq!(read(&text, 10).1, "end");
    }
}
