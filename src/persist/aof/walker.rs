//! Walking through an append-only file for its checker.
//!
//! [`super::reader::Reader`] looks at records as a whole, which is what loading them takes. The checker has to tell where in a
//! record something is wrong, and what was expected there, in the words and with the positions that scripts know from
//! redis-check-aof. So it goes from part to part: a line with a number, then as many bytes and the end of their line.

use std::io::{self, BufRead, BufReader, Read};

use super::filling;
use super::reader::{Checksum, RECORD_MAX};

/// The longest line with a number, in bytes; what is longer comes in pieces.
const NUMBER_MAX: usize = 127;

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Command,
    Annotation,
    /// The end of the file.
    End,
}

/// Why there is no record.
#[derive(Debug)]
pub enum Fault {
    /// The file ends within a command, where a line should begin.
    Ended,
    /// Something else than a record begins here.
    NoRecord,
    /// The part that begins at [`Walker::part`] is not what was expected.
    Unexpected(String),
    /// From this position on, up to where the walker stands, it could be read, but is not what was written.
    Damaged(u64),
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Io(error)
    }
}

/// A walk through a file.
pub struct Walker<R> {
    source: BufReader<R>,
    /// Where the next byte, the last record and the last part of one stand in the file.
    offset: u64,
    start: u64,
    part: u64,
    /// The last record, and the first argument of the last command.
    record: Vec<u8>,
    name: Vec<u8>,
    /// Ends of lines in commands.
    lines: u64,
    /// The last line with a number and its end, behind which is still what longer ones have left.
    line: [u8; NUMBER_MAX + 2],
    checksum: Checksum,
}

impl<R: Read> Walker<R> {
    /// A walk through what follows in `source`, which stands `offset` bytes behind the beginning of its file.
    pub fn new(source: R, offset: u64) -> Walker<R> {
        Walker {
            source: BufReader::with_capacity(64 << 10, source),
            offset,
            start: offset,
            part: offset,
            record: Vec::new(),
            name: Vec::new(),
            lines: 0,
            line: [0; NUMBER_MAX + 2],
            checksum: Checksum::default(),
        }
    }

    /// Goes to the next record.
    ///
    /// # Errors
    /// If there is none where one should be. Then the walk is over.
    pub fn advance(&mut self) -> Result<Step, Fault> {
        self.record.clear();
        self.start = self.offset;
        match self.source.fill_buf()?.first() {
            None => Ok(Step::End),
            Some(b'#') => self.annotation(),
            Some(b'*') => self.command(),
            Some(_) => Err(Fault::NoRecord),
        }
    }

    /// An annotation, or a filling. One without an end is the last of the file: it counts for nothing.
    fn annotation(&mut self) -> Result<Step, Fault> {
        self.piece(filling::PIECE)?;
        if self.record.starts_with(&[filling::BYTE; 2]) {
            while !self.record.ends_with(b"\n") && self.piece(filling::PIECE)? > 0 {}
            let behind = self.record.iter().skip_while(|&&byte| byte == filling::BYTE).count();
            return match behind <= filling::PIECE {
                true => Ok(Step::Annotation),
                false => Err(Fault::Unexpected("Expected a line end".to_string())),
            };
        }
        let from = self.start - self.checksum.covered();
        if self.record.ends_with(b"\n") && !self.checksum.check(&self.record) {
            return Err(Fault::Damaged(from));
        }
        Ok(Step::Annotation)
    }

    fn command(&mut self) -> Result<Step, Fault> {
        let count = self.number(b'*')?;
        if count < 1 {
            return Err(Fault::Unexpected("Expected a positive number of arguments".to_string()));
        }
        for at in 0..count {
            let from = self.text()?;
            if at == 0 {
                self.name = self.record[from..self.record.len() - 2].to_vec();
            }
        }
        self.checksum.add(&self.record);
        Ok(Step::Command)
    }

    /// An argument. Returns where it begins in the record.
    fn text(&mut self) -> Result<usize, Fault> {
        let len = self.number(b'$')?;
        if !(0..=i64::MAX - 2).contains(&len) {
            let text = format!("Expected to read string of {len} bytes, which is not in the suitable range");
            return Err(Fault::Unexpected(text));
        }
        let (from, wanted) = (self.record.len(), len as u64 + 2);
        self.part = self.offset;
        let got = (&mut self.source).take(wanted).read_to_end(&mut self.record)? as u64;
        self.offset += got;
        if got != wanted {
            return Err(Fault::Unexpected(format!("Expected to read {wanted} bytes, got {got} bytes")));
        }
        if self.record.len() > RECORD_MAX {
            return Err(Fault::Unexpected("Expected a command of less than 4 GB".to_string()));
        }
        let end = self.record.len() - 2;
        self.end_line([self.record[end], self.record[end + 1]])?;
        Ok(from)
    }

    /// The number in a line that must begin with a character.
    fn number(&mut self, mark: u8) -> Result<i64, Fault> {
        let len = self.piece(NUMBER_MAX)?;
        if len == 0 {
            return Err(Fault::Ended);
        }
        self.line[..len].copy_from_slice(&self.record[self.record.len() - len..]);
        self.line[len] = 0;
        if self.line[0] != mark {
            let (mark, found) = (char::from(mark), self.line[0].escape_ascii());
            return Err(Fault::Unexpected(format!("Expected prefix '{mark}', got: '{found}'")));
        }
        let (number, digits) = leading_number(&self.line[1..len]);
        self.end_line([self.line[1 + digits], self.line[2 + digits]])?;
        Ok(number)
    }

    /// Counts the end of a line, if these bytes are one.
    fn end_line(&mut self, bytes: [u8; 2]) -> Result<(), Fault> {
        if bytes == *b"\r\n" {
            self.lines += 1;
            return Ok(());
        }
        // Bytes above 127 are shown as the negative numbers that they are in C.
        let [first, second] = bytes.map(|byte| i32::from(byte as i8));
        Err(Fault::Unexpected(format!("Expected \\r\\n, got: {first:02x}{second:02x}")))
    }

    /// Adds bytes to the record up to the end of the line, `most` of them. Returns how many there were.
    fn piece(&mut self, most: usize) -> Result<usize, Fault> {
        self.part = self.offset;
        let read = (&mut self.source).take(most as u64).read_until(b'\n', &mut self.record)?;
        self.offset += read as u64;
        Ok(read)
    }

    /// Whether the command has this name, which is in lower case.
    pub fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The time that the annotation tells, if it tells one, in Unix seconds.
    ///
    /// # Errors
    /// If it should tell one, but does not.
    pub fn timestamp(&self) -> Result<Option<i64>, &'static str> {
        let Some(text) = self.record.strip_prefix(b"#TS:") else { return Ok(None) };
        let (number, digits) = leading_number(text);
        if text.get(digits) == Some(&b'\r') { Ok(Some(number)) } else { Err("Invalid timestamp annotation") }
    }

    /// Where the record begins in the file.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Where the part of the record that was read last begins in the file.
    pub fn part(&self) -> u64 {
        self.part
    }

    /// Where the next record begins in the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many ends of lines in commands were passed.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

/// The number that a text begins with, 0 if it begins with none, and of how many bytes it is.
fn leading_number(text: &[u8]) -> (i64, usize) {
    let negative = text.first() == Some(&b'-');
    let digits = &text[usize::from(negative)..];
    let digits = &digits[..digits.iter().take_while(|byte| byte.is_ascii_digit()).count()];
    if digits.is_empty() {
        return (0, 0);
    }
    let number =
        digits.iter().fold(0i64, |number, &digit| number.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    (if negative { -number } else { number }, usize::from(negative) + digits.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a walk through a file comes upon last, where, and behind how many lines.
    fn end(file: &[u8]) -> (String, u64, u64) {
        let mut walker = Walker::new(file, 0);
        loop {
            let end = match walker.advance() {
                Ok(Step::End) => "end".to_string(),
                Ok(_) => continue,
                Err(Fault::Unexpected(text)) => text,
                Err(fault) => format!("{fault:?}"),
            };
            return (end, walker.part(), walker.lines());
        }
    }

    #[test]
    fn each_cut_is_told_by_what_was_expected_there() {
        let file = b"*2\r\n$4\r\nECHO\r\n$3\r\nfoo\r\n";
        for (len, expected, part, lines) in [
            (0, "end", 0, 0),
            (1, "Expected \\r\\n, got: 0000", 0, 0),
            (3, "Expected \\r\\n, got: 0d00", 0, 0),
            (4, "Ended", 4, 1),
            (8, "Expected to read 6 bytes, got 0 bytes", 8, 2),
            (11, "Expected to read 6 bytes, got 3 bytes", 8, 2),
            (14, "Ended", 14, 3),
            (file.len(), "end", 18, 5),
        ] {
            assert_eq!(end(&file[..len]), (expected.to_string(), part, lines), "cut at {len}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_command() {
        for (file, expected) in [
            ("*1\r\n+4\r\n", "Expected prefix '$', got: '+'"),
            ("*1\r\n$4\r\nECHOES\r\n", "Expected \\r\\n, got: 4553"),
            ("*1x\r\n", "Expected \\r\\n, got: 780d"),
            ("*1\r\n$-1\r\n", "Expected to read string of -1 bytes, which is not in the suitable range"),
            ("*0\r\n", "Expected a positive number of arguments"),
            ("PING\r\n", "NoRecord"),
        ] {
            assert_eq!(end(file.as_bytes()).0, expected, "{file:?}");
        }
    }

    #[test]
    fn a_torn_annotation_counts_for_nothing() {
        let command = b"*1\r\n$4\r\nPING\r\n";
        for torn in ["#TS:16", "#CRC:14:0", "#CRC:14:00000000", "#", "####"] {
            assert_eq!(end(&[command, torn.as_bytes()].concat()).0, "end", "{torn}");
        }
        assert_eq!(end(&[&command[..], b"#CRC:14:00000000\r\n"].concat()).0, "Damaged(0)");
    }
}
