//! What an append-only file is filled with ahead of its end while every write must be safe at once.
//!
//! To sync what makes a file longer, the file system writes its own journal as well, which takes several times as long as the
//! bytes. So the file is made longer before it is needed, by bytes that others take the place of: a line of `#`, of which any
//! end is an annotation, to Redis and its tools, too. It has no carriage return, so that a file that ends with it does not end
//! with a command. When the file is closed in good order, or is loaded, it is cut off.
//!
//! Bytes that take the place of others may reach the disk in any order. If the system fails before they are synced, some of
//! the last write may be there and some not. Nobody has been told that it is safe, but what is there must not be taken for
//! what was written: so each write to a filled file ends with a checksum, behind which alone anything is torn.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::reader::{Checksum, MARK};

/// What a file is filled with.
pub const BYTE: u8 = b'#';
/// Bytes ahead. When there are less than half as many, there will be as many again.
pub const AHEAD: usize = 256 << 10;
/// So many bytes are left of a filling at least: `#` and the end of the line.
pub const LEAST: u64 = 2;
/// A file that has fewer bytes is not filled: it may never have many.
pub const FROM: u64 = 64 << 10;
/// Redis and its tools read annotations in pieces of so many bytes at most.
pub const PIECE: usize = 1023;
/// What is read at once, in bytes.
const CHUNK: u64 = 256 << 10;
/// The longest annotation with a checksum, in bytes.
const LINE_MAX: usize = 64;

/// The end of what was written to a file that is filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    pub at: u64,
    /// There is more, but not all that was written.
    pub torn: bool,
}

/// Whether Redis would stumble over a filling up to `filled` behind what ends at `end`. Each of the [pieces](PIECE) that it reads has
/// to begin with `#`: so the end of the line must not be a piece of its own.
pub fn is_misread(filled: u64, end: u64) -> bool {
    filled > end && (filled - end - 1).is_multiple_of(PIECE as u64)
}

/// Puts a filling behind what is to be written.
pub fn put(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len() + AHEAD - 1, BYTE);
    bytes.push(b'\n');
}

/// Where the last whole write to a file ends; `None` if the file is not filled.
///
/// # Errors
/// If the file cannot be read.
pub fn end(file: &File) -> io::Result<Option<End>> {
    let mut bytes = Vec::new();
    let mut written = file.metadata()?.len();
    let last = written.saturating_sub(2);
    read(file, last, written, &mut bytes)?;
    if bytes != [BYTE, b'\n'] {
        return Ok(None);
    }
    written -= 1;
    // Backwards over the filling, then over what it stands behind, to the last checksum that is right.
    while written > 0 {
        let start = written.saturating_sub(CHUNK);
        read(file, start, written, &mut bytes)?;
        let unfilled = bytes.iter().rposition(|&byte| byte != BYTE).map_or(0, |last| last + 1);
        written = start + unfilled as u64;
        if unfilled > 0 {
            break;
        }
    }
    let finder = memchr::memmem::FinderRev::new(MARK);
    let mut before = written;
    while before > 0 {
        let start = before.saturating_sub(CHUNK);
        // A line may begin in this part and end in the one behind it, which was looked at already.
        read(file, start, (before + LINE_MAX as u64).min(written), &mut bytes)?;
        for mark in finder.rfind_iter(&bytes) {
            let line = &bytes[mark..(mark + LINE_MAX).min(bytes.len())];
            let Some(len) = memchr::memchr(b'\n', line) else { continue };
            let at = start + mark as u64;
            if let Some((covered, hash)) = Checksum::told(&line[MARK.len()..len])
                && covered <= at
                && hash_of(file, at - covered, at)? == hash
            {
                let at = at + len as u64 + 1;
                return Ok(Some(End { at, torn: at < written }));
            }
        }
        before = start;
    }
    Ok(None)
}

fn read(file: &File, start: u64, end: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.resize((end - start) as usize, 0);
    file.read_exact_at(bytes, start)
}

fn hash_of(file: &File, start: u64, end: u64) -> io::Result<u32> {
    let (mut hash, mut bytes, mut at) = (crc32fast::Hasher::new(), Vec::new(), start);
    while at < end {
        let next = end.min(at + CHUNK);
        read(file, at, next, &mut bytes)?;
        hash.update(&bytes);
        at = next;
    }
    Ok(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part with its checksum.
    fn part(bytes: &[u8]) -> Vec<u8> {
        let mut checksum = Checksum::default();
        checksum.add(bytes);
        [bytes, checksum.finish().as_bytes()].concat()
    }

    #[test]
    fn what_was_written_ends_behind_the_last_checksum_that_is_right() {
        let path = std::env::temp_dir().join(format!("cachestorm-filling-{}", std::process::id()));
        let look = |parts: &[&[u8]]| {
            std::fs::write(&path, parts.concat()).expect("a file");
            end(&File::open(&path).expect("it is there")).expect("it can be read")
        };
        let (first, second) = (part(b"*1\r\n$4\r\nPING\r\n"), part(&b"value".repeat(200_000)));
        let whole = (first.len() + second.len()) as u64;
        for filling in [1, 100, CHUNK as usize, CHUNK as usize + 1, 1_000_000] {
            let filling = [vec![BYTE; filling], b"\n".to_vec()].concat();
            let found = |at, torn| Some(End { at, torn });
            assert_eq!(look(&[&first, &second, &filling]), found(whole, false));
            // Half of a write, one with a hole, and one that lacks its first half.
            let torn = second.len() / 2;
            let mut hole = second.clone();
            hole[torn..torn + 512].fill(BYTE);
            assert_eq!(look(&[&first, &second[..torn], &filling]), found(first.len() as u64, true));
            assert_eq!(look(&[&first, &hole, &filling]), found(first.len() as u64, true));
            assert_eq!(look(&[&first, &filling, &second[torn..], &filling]), found(first.len() as u64, true));
            assert_eq!(look(&[b"no checksum", &filling]), None);
            // A line with a checksum lies across two parts that are read.
            for shift in 0..LINE_MAX {
                let tail = vec![b'x'; CHUNK as usize - shift];
                assert_eq!(look(&[&first, &tail, &filling]), found(first.len() as u64, true));
            }
        }
        let command = b"*2\r\n$3\r\nGET\r\n$3\r\n###\r\n";
        for parts in [[&first[..], &second[..]], [b"", b""], [b"", b"#"], [&first[..], command], [&first[..], b"#"]] {
            assert_eq!(look(&parts), None);
        }
        std::fs::remove_file(path).expect("it was there");
    }
}
