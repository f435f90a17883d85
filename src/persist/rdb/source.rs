//! Where bytes in the RDB format come from: memory, a file that is read and summed up as one goes, or whoever brings them piece
//! by piece.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};

use super::error::{Error, Reason};
use super::{Checksum, checksum, length};
use crate::types::lzf;
use crate::types::number::write_i64;

/// Bytes that are read from a file at once.
const BUFFER: usize = 64 * 1024;

/// Bytes one after the other.
pub trait Source {
    /// Fills a buffer.
    ///
    /// # Errors
    /// If there are not so many bytes, or they cannot be read.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        let end = Error { offset: self.offset(), reason: Reason::End };
        buffer.copy_from_slice(self.ahead().get(..buffer.len()).ok_or(end)?);
        self.pass(buffer.len());
        Ok(())
    }

    /// Bytes that come next, as far as they are in memory.
    fn ahead(&self) -> &[u8];

    /// Takes so many of the bytes ahead.
    fn pass(&mut self, count: usize);

    /// How many bytes have been taken.
    fn offset(&self) -> u64;

    /// How many bytes there are still at most.
    fn left(&self) -> u64;

    /// What has been taken so far will not be asked for again: what is read next can be read anew from here.
    #[inline]
    fn settle(&mut self) {}

    /// An error that is seen here.
    fn corrupt(&self, text: impl Into<Cow<'static, str>>) -> Error {
        Error { offset: self.offset(), reason: Reason::Corrupt(text.into()) }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// As [`Source::fill`].
    fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], Error> {
        if let Some(&bytes) = self.ahead().first_chunk() {
            self.pass(LEN);
            return Ok(bytes);
        }
        let mut bytes = [0; LEN];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The next byte.
    ///
    /// # Errors
    /// As [`Source::fill`].
    fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    /// A length, or another number.
    ///
    /// # Errors
    /// As [`Source::fill`]; also if there is text instead that is none of its bytes.
    fn number(&mut self) -> Result<u64, Error> {
        let first = self.byte()?;
        self.number_from(first)?.ok_or_else(|| self.corrupt(format!("Unknown length encoding {first} in rdbLoadLen()")))
    }

    /// A number whose first byte has been taken; `None` if that byte begins no number.
    ///
    /// # Errors
    /// As [`Source::fill`].
    fn number_from(&mut self, first: u8) -> Result<Option<u64>, Error> {
        Ok(match (first & length::MASK, first) {
            (length::SIX_BITS, _) => Some(u64::from(first)),
            (length::FOURTEEN_BITS, _) => Some(u64::from(first & !length::MASK) << 8 | u64::from(self.byte()?)),
            (_, length::BITS_32) => Some(u64::from(u32::from_be_bytes(self.array()?))),
            (_, length::BITS_64) => Some(u64::from_be_bytes(self.array()?)),
            _ => None,
        })
    }

    /// So many bytes.
    ///
    /// # Errors
    /// As [`Source::fill`].
    fn bytes(&mut self, len: u64) -> Result<Vec<u8>, Error> {
        if len > self.left() {
            return Err(Error { offset: self.offset(), reason: Reason::End });
        }
        let len = len as usize;
        if let Some(bytes) = self.ahead().get(..len) {
            let bytes = bytes.to_vec();
            self.pass(len);
            return Ok(bytes);
        }
        // So many there are, at least by the file's length.
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Lends text, without a copy of it if it lies ahead as it is.
    ///
    /// # Errors
    /// As [`Source::text`].
    fn with_text<R>(&mut self, lend: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        if let [first, rest @ ..] = self.ahead()
            && first & length::MASK == length::SIX_BITS
            && let Some(text) = rest.get(..usize::from(*first))
        {
            let (lent, len) = (lend(text), text.len());
            self.pass(1 + len);
            return Ok(lent);
        }
        Ok(lend(&self.text()?))
    }

    /// Text, in whichever form it is.
    ///
    /// # Errors
    /// As [`Source::fill`]; also if the form is unknown, or compressed text is damaged.
    fn text(&mut self) -> Result<Vec<u8>, Error> {
        let first = self.byte()?;
        if let Some(len) = self.number_from(first)? {
            return self.bytes(len);
        }
        let integer = match first {
            length::INT8 => i64::from(i8::from_le_bytes(self.array()?)),
            length::INT16 => i64::from(i16::from_le_bytes(self.array()?)),
            length::INT32 => i64::from(i32::from_le_bytes(self.array()?)),
            length::LZF => {
                let (small, len) = (self.number()?, self.number()?);
                let small = self.bytes(small)?;
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                return lzf::decompress(&small, len).ok_or_else(|| self.corrupt("Invalid LZF compressed string"));
            }
            other => return Err(self.corrupt(format!("Unknown RDB string encoding type {}", other & !length::MASK))),
        };
        let mut digits = Vec::new();
        write_i64(integer, &mut digits);
        Ok(digits)
    }
}

/// Bytes in memory.
pub struct Slice<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Slice<'a> {
    pub fn new(bytes: &'a [u8]) -> Slice<'a> {
        Slice { bytes, at: 0 }
    }

    /// What has been taken of it.
    pub fn taken(&self) -> &'a [u8] {
        &self.bytes[..self.at]
    }
}

impl Source for Slice<'_> {
    #[inline]
    fn ahead(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    #[inline]
    fn pass(&mut self, count: usize) {
        self.at += count;
    }

    fn offset(&self) -> u64 {
        self.at as u64
    }

    fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }
}

/// Bytes that are brought piece by piece. Who finds too few goes back to where all was settled, and tries again when more have
/// come.
pub struct Feed {
    bytes: Vec<u8>,
    /// What has been taken of them, and what is settled.
    at: usize,
    settled: usize,
    /// Bytes before them, and their checksum.
    before: u64,
    sum: Checksum,
}

impl Default for Feed {
    fn default() -> Feed {
        Feed { bytes: Vec::new(), at: 0, settled: 0, before: 0, sum: checksum() }
    }
}

impl Feed {
    /// Brings more.
    pub fn push(&mut self, bytes: Vec<u8>) {
        self.sum.update(&self.bytes[..self.settled]);
        self.before += self.settled as u64;
        self.bytes.drain(..self.settled);
        self.at -= self.settled;
        self.settled = 0;
        if self.bytes.is_empty() {
            self.bytes = bytes;
        } else {
            self.bytes.extend_from_slice(&bytes);
        }
    }

    /// Goes back to where all was settled.
    pub fn rewind(&mut self) {
        self.at = self.settled;
    }

    /// The checksum of all that has been taken so far.
    pub fn checksum(&self) -> u64 {
        let mut sum = self.sum.clone();
        sum.update(&self.bytes[..self.at]);
        sum.finalize()
    }
}

impl Source for Feed {
    #[inline]
    fn ahead(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    #[inline]
    fn pass(&mut self, count: usize) {
        self.at += count;
    }

    fn offset(&self) -> u64 {
        self.before + self.at as u64
    }

    fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    #[inline]
    fn settle(&mut self) {
        self.settled = self.at;
    }
}

/// A file, read through a buffer from where it stands.
pub struct FileSource {
    file: File,
    /// How long the file is, in bytes; what grows behind that is not read.
    len: u64,
    buffer: Box<[u8]>,
    /// What of the buffer is filled, taken, and summed up.
    filled: usize,
    at: usize,
    summed: usize,
    sum: Checksum,
    /// Bytes taken before those in the buffer.
    before: u64,
}

impl FileSource {
    /// # Errors
    /// If the file's length is not to be had.
    pub fn new(file: File) -> io::Result<FileSource> {
        let len = file.metadata()?.len();
        let buffer = vec![0; BUFFER].into();
        Ok(FileSource { file, len, buffer, filled: 0, at: 0, summed: 0, sum: checksum(), before: 0 })
    }

    /// Bytes of the whole file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The checksum of all that has been taken so far.
    pub fn checksum(&mut self) -> u64 {
        self.sum.update(&self.buffer[self.summed..self.at]);
        self.summed = self.at;
        self.sum.clone().finalize()
    }

    /// The file, and how much of it has been taken: what follows may be something else.
    pub fn into_file(self) -> (File, u64) {
        let offset = self.offset();
        (self.file, offset)
    }

    fn refill(&mut self) -> Result<(), Error> {
        self.sum.update(&self.buffer[self.summed..self.at]);
        self.before += self.at as u64;
        (self.at, self.summed, self.filled) = (0, 0, 0);
        loop {
            match self.file.read(&mut self.buffer) {
                Ok(0) => return Err(Error { offset: self.before, reason: Reason::End }),
                Ok(read) => {
                    self.filled = read;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error { offset: self.before, reason: Reason::Io(error) }),
            }
        }
    }
}

impl Source for FileSource {
    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), Error> {
        // What is not all there is not taken, as far as who is told knows.
        let offset = self.offset();
        while !buffer.is_empty() {
            if self.at == self.filled {
                self.refill().map_err(|error| Error { offset, ..error })?;
            }
            let step = buffer.len().min(self.filled - self.at);
            let (now, later) = buffer.split_at_mut(step);
            now.copy_from_slice(&self.buffer[self.at..self.at + step]);
            self.at += step;
            buffer = later;
        }
        Ok(())
    }

    #[inline]
    fn ahead(&self) -> &[u8] {
        &self.buffer[self.at..self.filled]
    }

    #[inline]
    fn pass(&mut self, count: usize) {
        self.at += count;
    }

    fn offset(&self) -> u64 {
        self.before + self.at as u64
    }

    fn left(&self) -> u64 {
        self.len.saturating_sub(self.offset())
    }
}
