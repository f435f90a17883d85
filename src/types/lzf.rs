//! LZF, the compression of Redis: of strings in snapshots and of the inner nodes of long lists.
//!
//! ```text
//!   000lllll                        l + 1 bytes follow as they are
//!   lllooooo oooooooo               copy l + 2 bytes (l in 1..=6) from o + 1 bytes before the end of the output
//!   111ooooo llllllll oooooooo      copy l + 9 bytes from there
//! ```
//!
//! The format is that of M. Lehmann's LibLZF. It trades size for speed: one pass, which remembers for each hash of three
//! bytes where it was seen last. What is compressed here differs from what LibLZF makes of the same bytes, but either
//! reads the other's.

use std::cell::RefCell;

/// Bits of a hash of three bytes.
const HASH_BITS: u32 = 13;
/// How far back a copy reaches.
const REACH: usize = 1 << 13;
/// The longest copy.
const COPY_MAX: usize = 264;
/// The longest run of plain bytes.
const PLAIN_MAX: usize = 32;

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
    /// Forgets what was seen, for a text of `len` bytes.
    fn renew(&mut self, len: usize) {
        if u32::try_from(len).ok().and_then(|len| self.base.checked_add(len)?.checked_add(1)).is_none() {
            self.places.fill(0);
            self.base = 0;
        }
    }

    /// Notes a place for a hash, and returns the one before.
    #[inline]
    fn replace(&mut self, hash: usize, at: usize) -> Option<usize> {
        // Beyond 4 GiB nothing is found any more, which is harmless.
        let place = u32::try_from(at + 1).ok().and_then(|at| self.base.checked_add(at)).unwrap_or(0);
        let before = std::mem::replace(&mut self.places[hash], place);
        (before > self.base).then(|| (before - self.base - 1) as usize)
    }
}

/// Compresses `bytes` into less than `limit` bytes. `None` if that is impossible, or not seen to be possible.
pub fn compress(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    SEEN.with_borrow_mut(|seen| {
        seen.renew(bytes.len());
        let compressed = compress_with(seen, bytes, limit);
        seen.base = seen.base.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        compressed
    })
}

fn compress_with(seen: &mut Seen, bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(limit.min(bytes.len()));
    let (mut at, mut plain_from) = (0, 0);
    while let Some(&[a, b, c]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let place = u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS);
        let before = seen.replace(place as usize, at);
        let Some(from) = before.filter(|&from| at - from <= REACH && bytes[from..from + 3] == [a, b, c]) else {
            at += 1;
            continue;
        };
        let longest = COPY_MAX.min(bytes.len() - at);
        let same = bytes[at..at + longest].iter().zip(&bytes[from..]).take_while(|(one, other)| one == other).count();
        write_plain(&bytes[plain_from..at], &mut out);
        let (length, offset) = (same - 2, at - from - 1);
        if length < 7 {
            out.push((length as u8) << 5 | (offset >> 8) as u8);
        } else {
            out.extend_from_slice(&[7 << 5 | (offset >> 8) as u8, (length - 7) as u8]);
        }
        out.push(offset as u8);
        if out.len() >= limit {
            return None;
        }
        at += same;
        plain_from = at;
    }
    write_plain(&bytes[plain_from..], &mut out);
    (out.len() < limit).then_some(out)
}

fn write_plain(bytes: &[u8], out: &mut Vec<u8>) {
    for run in bytes.chunks(PLAIN_MAX) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

/// Decompresses exactly `len` bytes. `None` if the input is not what [`compress`] makes of so many.
pub fn decompress(mut input: &[u8], len: usize) -> Option<Vec<u8>> {
    // A byte of input makes 88 bytes at most, so a lie about the length costs no memory.
    let mut out: Vec<u8> = Vec::with_capacity(len.min(input.len().saturating_mul(COPY_MAX / 3)));
    while let Some((&control, rest)) = input.split_first() {
        input = rest;
        if control < PLAIN_MAX as u8 {
            let (plain, rest) = input.split_at_checked(usize::from(control) + 1)?;
            input = rest;
            out.extend_from_slice(plain);
        } else {
            let mut length = usize::from(control >> 5);
            if length == 7 {
                length += usize::from(*input.split_off_first()?);
            }
            let offset = usize::from(control & 0x1F) << 8 | usize::from(*input.split_off_first()?);
            let from = out.len().checked_sub(offset + 1)?;
            // A copy may reach into what it writes: then the bytes repeat.
            let mut left = length + 2;
            while left > 0 {
                let step = left.min(out.len() - from);
                out.extend_from_within(from..from + step);
                left -= step;
            }
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
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
        assert_eq!(compress(b"", 0), None);
        assert_eq!(compress(b"abcdefgh", 8), None, "nothing repeats");
        let zeros = vec![0; 300_000];
        assert_eq!(decompress(&compress(&zeros, 10_000).unwrap(), zeros.len()), Some(zeros));
    }
}
