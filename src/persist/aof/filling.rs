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
//!
//! The last checksum is looked for from behind, and a value may hold what looks like one. So each has a seal, a number that is
//! made up at every start and also ends the filling: whoever sends values cannot know it.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io;
use std::os::unix::fs::FileExt;

use super::reader::{Checksum, MARK};

/// What a file is filled with.
pub const BYTE: u8 = b'#';
/// Bytes of a line. When there are less than half as many ahead, another line comes behind. The last line is never written
/// anew, so that its end is there also when the system fails meanwhile.
pub const LINE: u64 = 256 << 10;
/// The end of a line: the seal and a newline, in bytes.
const TAIL: u64 = 17;
/// So many bytes are left of a filling at least: `##` and its end.
pub const LEAST: u64 = 2 + TAIL;
/// A file that has fewer bytes is not filled: it may never have many.
pub const FROM: u64 = 64 << 10;
/// Redis and its tools read annotations in pieces of so many bytes at most.
pub const PIECE: usize = 1023;
/// What is read at once, in bytes.
const CHUNK: u64 = 256 << 10;
/// The longest annotation with a checksum and a seal, in bytes, [aligned](misalignment) at that.
const LINE_MAX: usize = 96;

/// The end of what was written to a file that is filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    pub at: u64,
    /// There is more, but not all that was written.
    pub torn: bool,
}

/// A new seal, which cannot be guessed: the standard library keys its hashes with what the operating system gives.
pub fn new_seal() -> u64 {
    RandomState::new().hash_one(())
}

/// By how many bytes what ends at `end` has to be longer, or Redis would stumble over the filling up to `filled` behind it: each of
/// the [pieces](PIECE) that it reads of a line has to begin with `#`, so none may begin within the line's end.
pub fn misalignment(filled: u64, end: u64) -> usize {
    let left = filled.saturating_sub(end) % LINE;
    let last = left.saturating_sub(1) % PIECE as u64;
    if left > 0 && last + 1 < LEAST { last as usize + 1 } else { 0 }
}

/// A line to fill a file with.
pub fn line(seal: u64) -> Vec<u8> {
    let mut line = vec![BYTE; (LINE - TAIL) as usize];
    line.extend_from_slice(format!("{seal:016x}\n").as_bytes());
    line
}

/// The seal that a line ends with whose last bytes are these.
fn seal_of(tail: &[u8]) -> Option<u64> {
    let digits = tail.strip_prefix(&[BYTE; 2])?.strip_suffix(b"\n")?;
    let text = std::str::from_utf8(digits).ok().filter(|text| text.len() as u64 + 1 == TAIL)?;
    u64::from_str_radix(text, 16).ok()
}

/// Where the last whole write to a file ends; `None` if the file is not filled.
///
/// # Errors
/// If the file cannot be read.
pub fn end(file: &File) -> io::Result<Option<End>> {
    let mut bytes = Vec::new();
    // Backwards over lines, of which the last may lack its end, then over what they stand behind, to the last checksum that is right.
    let mut written = before_run(file, file.metadata()?.len(), &mut bytes)?;
    let mut found = None;
    loop {
        // The line's end stands behind bytes of its run.
        read(file, written.saturating_sub(LEAST), written, &mut bytes)?;
        let seal = seal_of(&bytes);
        // Another seal than the last line's is what a client sent.
        if seal.is_none() || found.is_some() && found != seal {
            break;
        }
        found = seal;
        written = before_run(file, written - TAIL, &mut bytes)?;
    }
    let Some(seal) = found else { return Ok(None) };
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
            if let Some(told) = Checksum::told(&line[MARK.len()..len])
                && told.seal == Some(seal)
                && told.covered <= at
                && hash_of(file, at - told.covered, at)? == told.hash
            {
                let at = at + len as u64 + 1;
                return Ok(Some(End { at, torn: at < written }));
            }
        }
        before = start;
    }
    Ok(None)
}

/// Where the run of `#` begins that ends at a position.
fn before_run(file: &File, mut end: u64, bytes: &mut Vec<u8>) -> io::Result<u64> {
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        read(file, start, end, bytes)?;
        if let Some(last) = bytes.iter().rposition(|&byte| byte != BYTE) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
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

    const SEAL: u64 = 0xABCDEF;

    /// A part with its checksum.
    fn part(bytes: &[u8], mut checksum: Checksum) -> Vec<u8> {
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
        let sealed = |bytes: &[u8]| part(bytes, Checksum::sealed(SEAL));
        let (first, second) = (sealed(b"*1\r\n$4\r\nPING\r\n"), sealed(&b"value".repeat(200_000)));
        let whole = (first.len() + second.len()) as u64;
        for filling in [1, 100, CHUNK as usize, CHUNK as usize + 1, 1_000_000] {
            let filling = [vec![BYTE; filling + 1], format!("{SEAL:016x}\n").into_bytes()].concat();
            let found = |at, torn| Some(End { at, torn });
            assert_eq!(look(&[&first, &second, &filling]), found(whole, false));
            // Behind it another line has come, or a part of one.
            assert_eq!(look(&[&first, &second, &filling, &line(SEAL)]), found(whole, false));
            assert_eq!(look(&[&first, &second, &filling, b"####"]), found(whole, false));
            // Half of a write, one with a hole, and one that lacks its first half.
            let torn = second.len() / 2;
            let mut hole = second.clone();
            hole[torn..torn + 512].fill(BYTE);
            assert_eq!(look(&[&first, &second[..torn], &filling]), found(first.len() as u64, true));
            assert_eq!(look(&[&first, &hole, &filling]), found(first.len() as u64, true));
            assert_eq!(look(&[&first, &filling, &second[torn..], &filling]), found(first.len() as u64, true));
            assert_eq!(look(&[b"no checksum", &filling]), None);
            // What a client sent looks like the end of a write.
            for checksum in [Checksum::default(), Checksum::sealed(0)] {
                let forged = part(b"forged", checksum);
                assert_eq!(look(&[&first, &second[..torn], &forged, &filling]), found(first.len() as u64, true));
                assert_eq!(
                    look(&[&first, &second[..torn], &forged, &line(0), &filling]),
                    found(first.len() as u64, true)
                );
            }
            // A line with a checksum lies across two parts that are read.
            for shift in 0..LINE_MAX {
                let tail = vec![b'x'; CHUNK as usize - shift];
                assert_eq!(look(&[&first, &tail, &filling]), found(first.len() as u64, true));
            }
        }
        let command = b"*2\r\n$3\r\nGET\r\n$3\r\n###\r\n";
        for parts in [[&first[..], &second[..]], [b"", b""], [b"", b"#"], [&first[..], command], [&first[..], b"##\n"]]
        {
            assert_eq!(look(&parts), None);
        }
        std::fs::remove_file(path).expect("it was there");
    }
}
