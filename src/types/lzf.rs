//! LZF, the compression of Redis: of strings in snapshots and of the inner nodes of long lists.
//!
//! ```text
//!   000lllll                        l + 1 bytes follow as they are
//!   lllooooo oooooooo               copy l + 2 bytes (l in 1..=6) from o + 1 bytes before the end of the output
//!   111ooooo llllllll oooooooo      copy l + 9 bytes from there
//! ```
//!
//! The format is that of M. Lehmann's LibLZF. It trades size for speed: one pass, which remembers for each hash of four
//! bytes where it was seen last. Three bytes are not looked for: among plain bytes a copy of them saves nothing, and copies
//! that nobody foresees are what this costs. What is compressed here differs from what LibLZF makes of the same bytes, but
//! either reads the other's.

use std::cell::RefCell;
use std::ops::Range;

/// Bits of a hash of four bytes.
const HASH_BITS: u32 = 13;
/// How far back a copy reaches.
const REACH: usize = 1 << 13;
/// The longest copy.
const COPY_MAX: usize = 264;
/// The longest run of plain bytes.
const PLAIN_MAX: usize = 32;
/// Bytes of a copy that are moved at once, which is one instruction.
const STRIDE: usize = 16;
/// For every so many plain bytes in a row, one byte is left out between two that are looked at, up to a limit.
const SKIP_FROM: usize = 256;
const SKIPPED_MAX: usize = 3;
/// Bytes beyond the limit that may be written before it is looked at again: a run of plain bytes, or a copy.
const SLACK: usize = PLAIN_MAX + 3;

/// Where each hash was seen last. It is used again for the next text without being cleared, which would cost more than
/// compressing a short one: places of former texts are below the base.
struct Seen {
    places: Box<[u32; 1 << HASH_BITS]>,
    base: u32,
}

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::new(Seen { places: Box::new([0; 1 << HASH_BITS]), base: 0 });
}

impl Seen {
    /// Forgets what was seen, for a text of `len` bytes. Returns how many of them can be told apart by their places: all
    /// but those beyond 4 GiB.
    fn renew(&mut self, len: usize) -> usize {
        if u32::try_from(len).ok().and_then(|len| self.base.checked_add(len)?.checked_add(1)).is_none() {
            self.places.fill(0);
            self.base = 0;
        }
        len.min((u32::MAX - self.base - 1) as usize)
    }

    /// Notes a place for a hash, and returns how far behind the one before is: more than `at` if that is not in this text.
    #[inline]
    fn replace(&mut self, hash: usize, at: usize) -> usize {
        let place = self.base + 1 + at as u32;
        (place - std::mem::replace(&mut self.places[hash], place)) as usize
    }
}

/// Compresses `bytes` into less than `limit` bytes. `None` if that is impossible, or not seen to be possible.
pub fn compress(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    SEEN.with_borrow_mut(|seen| {
        let known = seen.renew(bytes.len());
        let compressed = compress_with(seen, bytes, known, limit);
        seen.base = seen.base.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        compressed
    })
}

fn compress_with(seen: &mut Seen, bytes: &[u8], known: usize, limit: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; limit + SLACK];
    let (mut len, mut at) = (0, 0);
    loop {
        let copy = next_copy(seen, bytes, known, at);
        let plain = at..copy.as_ref().map_or(bytes.len(), |copy| copy.at);
        len = write_plain(bytes, plain, &mut out, len, limit)?;
        let Some(copy) = copy else { break };
        let (length, offset) = (copy.len - 2, copy.distance - 1);
        if length < 7 {
            out[len..len + 2].copy_from_slice(&[(length as u8) << 5 | (offset >> 8) as u8, offset as u8]);
            len += 2;
        } else {
            out[len..len + 3].copy_from_slice(&[7 << 5 | (offset >> 8) as u8, (length - 7) as u8, offset as u8]);
            len += 3;
        }
        at = copy.at + copy.len;
    }
    out.truncate(len);
    Some(out)
}

/// Bytes that were there before.
struct Copy {
    at: usize,
    len: usize,
    /// How far behind the same bytes are.
    distance: usize,
}

/// The first copy from an offset on, of those that begin before `known`.
#[inline]
fn next_copy(seen: &mut Seen, bytes: &[u8], known: usize, start: usize) -> Option<Copy> {
    let mut at = start;
    while at < known
        && let Some(four) = four_at(bytes, at)
    {
        let hash = four.wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS);
        let distance = seen.replace(hash as usize, at);
        // The bytes are compared first: how far behind they are is chance, which no processor foresees.
        let from = at.saturating_sub(distance);
        if four_at(bytes, from) == Some(four) && distance <= REACH.min(at) {
            let longest = COPY_MAX.min(bytes.len() - at);
            return Some(Copy {
                at,
                len: common_len(&bytes[at..at + longest], &bytes[from..from + longest]),
                distance,
            });
        }
        // Where nothing repeats, not every byte is looked at.
        at += 1 + ((at - start) / SKIP_FROM).min(SKIPPED_MAX);
    }
    None
}

/// The four bytes from an offset on, as a number.
#[inline]
fn four_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}

/// Writes a range of the bytes as they are, behind what has `len` bytes. Returns how many that makes; `None` if they are not
/// below the limit.
#[inline]
fn write_plain(bytes: &[u8], range: Range<usize>, out: &mut [u8], mut len: usize, limit: usize) -> Option<usize> {
    if len + range.len() + range.len().div_ceil(PLAIN_MAX) >= limit {
        return None;
    }
    let mut from = range.start;
    while from < range.end {
        let run = PLAIN_MAX.min(range.end - from);
        out[len] = run as u8 - 1;
        match bytes[from..].first_chunk::<PLAIN_MAX>() {
            // What is too much will be written over, and copying a fixed number of bytes is one instruction.
            Some(more) => out[len + 1..len + 1 + PLAIN_MAX].copy_from_slice(more),
            None => out[len + 1..len + 1 + run].copy_from_slice(&bytes[from..from + run]),
        }
        len += 1 + run;
        from += run;
    }
    Some(len)
}

/// How many bytes two slices of one length begin with in common, four at least. The last ones are counted by branches, so
/// that what follows can begin before the count is known.
#[inline]
fn common_len(one: &[u8], other: &[u8]) -> usize {
    let words = one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0);
    let same = (8 * words.take_while(|(one, other)| one == other).count()).max(4);
    same + one[same..].iter().zip(&other[same..]).take_while(|(one, other)| one == other).count()
}

/// Decompresses exactly `len` bytes. `None` if the input is not what [`compress`] makes of so many.
pub fn decompress(input: &[u8], len: usize) -> Option<Vec<u8>> {
    // A byte of input makes 88 bytes at most, so a lie about the length costs no memory.
    if len > input.len().saturating_mul(COPY_MAX / 3) {
        return None;
    }
    let mut out = vec![0; len];
    let (mut at, mut next) = (0, 0);
    while let Some(&control) = input.get(next) {
        next += 1;
        let end;
        if control < PLAIN_MAX as u8 {
            let run = usize::from(control) + 1;
            end = at + run;
            match (input[next..].first_chunk::<PLAIN_MAX>(), out[at..].first_chunk_mut()) {
                // What is too much will be written over, as in compressing.
                (Some(more), Some(to)) => *to = *more,
                _ => out.get_mut(at..end)?.copy_from_slice(input.get(next..next + run)?),
            }
            next += run;
        } else {
            let mut length = usize::from(control >> 5) + 2;
            if length == 9 {
                length += usize::from(*input.get(next)?);
                next += 1;
            }
            let distance = (usize::from(control & 0x1F) << 8 | usize::from(*input.get(next)?)) + 1;
            next += 1;
            let from = at.checked_sub(distance)?;
            end = at + length;
            // A copy may reach into what it writes: then the bytes repeat, with a period that doubles as they are written.
            let (mut done, mut period) = (0, distance);
            if end + STRIDE <= len {
                while period < STRIDE && done < length {
                    out.copy_within(from..from + STRIDE, at + done);
                    done += period;
                    period *= 2;
                }
                while done < length {
                    let source = at + done - period;
                    out.copy_within(source..source + STRIDE, at + done);
                    done += STRIDE;
                }
            } else if end <= len {
                while done < length {
                    let step = (length - done).min(period);
                    out.copy_within(from..from + step, at + done);
                    done += step;
                    period += step;
                }
            }
        }
        if end > len {
            return None;
        }
        at = end;
    }
    (at == len).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_format_of_liblzf() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"", b""),
            (b"\x02abc", b"abc"),
            // Ten bytes behind the first, from one byte back.
            (b"\x00a\xE0\x01\x00", b"aaaaaaaaaaa"),
            (b"\x01ab\x40\x01\x00c", b"abababc"),
        ];
        for (input, expected) in cases {
            assert_eq!(decompress(input, expected.len()).as_deref(), Some(*expected), "{input:?}");
            assert_eq!(decompress(input, expected.len() + 1), None);
        }
        for broken in [&b"\x02ab"[..], b"\x20\x00", b"\xE0", b"\xE0\x01", b"\x00a\x20\x01", b"\x00a\x3F\x00"] {
            for len in 0..20 {
                assert_eq!(decompress(broken, len), None, "{broken:?}");
            }
        }
    }

    #[test]
    fn what_was_compressed_comes_back() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut saved = 0;
        for _ in 0..2000 {
            let longest = if rng.bool() { 100 } else { 30_000 };
            let (len, letters) = (rng.usize(..longest), rng.u8(1..=40));
            let mut bytes: Vec<u8> = (0..len).map(|_| rng.u8(..letters)).collect();
            if len > 100 {
                bytes.copy_within(..len / 3, len / 2);
            }
            if let Some(small) = compress(&bytes, bytes.len()) {
                assert!(small.len() < bytes.len());
                saved += bytes.len() - small.len();
                assert_eq!(decompress(&small, bytes.len()).as_ref(), Some(&bytes));
                let mut broken = small;
                for _ in 0..3 {
                    let at = rng.usize(..broken.len());
                    broken[at] = rng.u8(..);
                }
                decompress(&broken, bytes.len());
            }
        }
        assert!(saved > 1_000_000);
        // What repeats is found behind much that does not, and in the last bytes.
        let mut bytes: Vec<u8> = (0..100_000).map(|_| rng.u8(..)).collect();
        assert_eq!(compress(&bytes, bytes.len()), None);
        bytes.extend(b"some words, ".repeat(1000));
        let small = compress(&bytes, bytes.len()).expect("a tenth of it repeats");
        assert!(small.len() < 104_000, "{}", small.len());
        assert_eq!(decompress(&small, bytes.len()).as_ref(), Some(&bytes));
        assert_eq!(compress(b"abcdabcd", 9).as_deref(), Some(&b"\x03abcd\x40\x03"[..]));
        assert_eq!(compress(b"", 0), None);
        assert_eq!(compress(b"abcdefgh", 8), None, "nothing repeats");
        let zeros = vec![0; 300_000];
        assert_eq!(decompress(&compress(&zeros, 10_000).unwrap(), zeros.len()), Some(zeros));
    }
}
