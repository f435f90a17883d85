//! A listpack: a sequence of short texts and integers in one piece of memory.
//!
//! ```text
//!   count: u16 LE, 0xFFFF when it must be counted │ element │ element │ …
//!
//!   element:  body │ length of the body, readable from its end
//!
//!   body:     0vvvvvvv                       integer 0..=127
//!             10llllll  text                 up to 63 bytes
//!             110vvvvv vvvvvvvv              integer of 13 bits, big-endian
//!             1110llll llllllll  text        up to 4095 bytes
//!             F0  u32 LE  text               any length
//!             F1 F2 F3 F4  i16 i24 i32 i64   little-endian
//! ```
//!
//! The elements are those of Redis' listpack (listpack.md by S. Sanfilippo describes it), so that a Redis listpack is its
//! total length (u32 LE), these bytes, and 0xFF. Text that is the canonical form of an integer is stored as one. Every
//! element is named by its offset; an edit moves those behind it. Everything but `len` of a very long listpack, `seek`
//! and `find` takes constant time; an edit moves bytes. That is why collections leave this form when they grow.
//!
//! Bytes that come from outside must pass [`validate`] once; every other function panics on bytes that would not.

use std::ops::Range;

use super::hash::KeyHasher;
use super::number::{I64_LEN, format_i64, parse_i64, write_i64};

/// A listpack without elements.
pub const EMPTY: &[u8] = &[0, 0];

/// Where the first element lies, if there is one.
pub const START: usize = 2;

/// A set or hash that has outgrown the settings' limits, but has few entries, stays a listpack up to so many bytes. Its entry
/// then takes a block of 4 KB at most. A table would take some 400 bytes besides its entries; in a block of the next sizes
/// more than that may be unused.
pub const FEW_BYTES: usize = 4096 - 64;

/// Elements of a kind that are looked at together when bytes are validated.
const RUN: usize = 4;

/// The count that says: walk.
const UNCOUNTED: u16 = u16::MAX;

const BROKEN: &str = "a listpack that was validated or built here is well formed";

/// An element. Its text borrows from the listpack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Element<'a> {
    Text(&'a [u8]),
    Integer(i64),
}

impl<'a> Element<'a> {
    /// The element that a text becomes.
    #[inline]
    pub fn of(text: &'a [u8]) -> Element<'a> {
        match parse_i64(text) {
            Some(value) => Element::Integer(value),
            None => Element::Text(text),
        }
    }

    /// Appends it as text.
    #[inline]
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Element::Text(text) => out.extend_from_slice(text),
            Element::Integer(value) => write_i64(value, out),
        }
    }

    /// Lends it as text.
    #[inline]
    pub fn with_bytes<R>(self, lend: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Element::Text(text) => lend(text),
            Element::Integer(value) => lend(format_i64(value, &mut [0; I64_LEN])),
        }
    }

    /// It as text of its own.
    pub fn to_vec(self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }

    /// Bytes of it as text.
    pub fn text_len(self) -> usize {
        self.with_bytes(<[u8]>::len)
    }

    /// Bytes of the body that encodes it.
    #[inline]
    fn body_len(self) -> usize {
        match self {
            Element::Text(text) => match text.len() {
                0..64 => 1 + text.len(),
                64..4096 => 2 + text.len(),
                _ => 5 + text.len(),
            },
            Element::Integer(value) => match value {
                0..=127 => 1,
                -4096..=4095 => 2,
                -0x8000..=0x7FFF => 3,
                -0x80_0000..=0x7F_FFFF => 4,
                -0x8000_0000..=0x7FFF_FFFF => 5,
                _ => 9,
            },
        }
    }

    /// Bytes that it takes in a listpack.
    #[inline]
    pub fn encoded_len(self) -> usize {
        let body = self.body_len();
        body + backlen_len(body)
    }

    /// Appends its encoding.
    ///
    /// # Panics
    /// If the text has 4 GiB or more: those who store long texts keep them elsewhere.
    pub fn encode(self, out: &mut Vec<u8>) {
        let at = out.len();
        out.resize(at + self.encoded_len(), 0);
        self.encode_at(&mut out[at..]);
    }

    /// Writes its encoding, of as many bytes as [`Element::encoded_len`] says, at the beginning of `out`.
    ///
    /// # Panics
    /// As [`Element::encode`]; and if `out` is too short.
    #[inline]
    pub fn encode_at(self, out: &mut [u8]) {
        let body = match self {
            Element::Text(text) => {
                let start = match text.len() {
                    len @ 0..64 => {
                        out[0] = 0x80 | len as u8;
                        1
                    }
                    len @ 64..4096 => {
                        out[..2].copy_from_slice(&[0xE0 | (len >> 8) as u8, len as u8]);
                        2
                    }
                    len => {
                        let len = u32::try_from(len).expect("a listpack's text is shorter than 4 GiB");
                        out[0] = 0xF0;
                        out[1..5].copy_from_slice(&len.to_le_bytes());
                        5
                    }
                };
                out[start..start + text.len()].copy_from_slice(text);
                start + text.len()
            }
            Element::Integer(value) => {
                let bytes = value.to_le_bytes();
                let body = self.body_len();
                match body {
                    1 => out[0] = bytes[0],
                    2 => out[..2].copy_from_slice(&[0xC0 | (bytes[1] & 0x1F), bytes[0]]),
                    _ => {
                        out[0] = match body {
                            3 => 0xF1,
                            4 => 0xF2,
                            5 => 0xF3,
                            _ => 0xF4,
                        };
                        out[1..body].copy_from_slice(&bytes[..body - 1]);
                    }
                }
                body
            }
        };
        if body < 128 {
            out[body] = body as u8;
        } else {
            let (backlen, len) = backlen_of(body);
            out[body..body + len].copy_from_slice(&backlen[..len]);
        }
    }
}

impl PartialEq<[u8]> for Element<'_> {
    #[inline]
    fn eq(&self, text: &[u8]) -> bool {
        match *self {
            Element::Text(own) => own == text,
            Element::Integer(value) => parse_i64(text) == Some(value),
        }
    }
}

/// Appends the encoding of a text; see [`Element::encode`].
pub fn encode(text: &[u8], out: &mut Vec<u8>) {
    Element::of(text).encode(out);
}

/// Appends the encoding of an integer.
#[inline]
pub fn encode_integer(value: i64, out: &mut Vec<u8>) {
    if (0..0x80).contains(&value) {
        out.extend_from_slice(&[value as u8, 1]);
    } else {
        Element::Integer(value).encode(out);
    }
}

/// Bytes that a text takes in a listpack.
pub fn encoded_len(text: &[u8]) -> usize {
    Element::of(text).encoded_len()
}

/// Bytes that the length of a body takes. The limits are one below what would fit, as in Redis.
#[inline]
fn backlen_len(body: usize) -> usize {
    match body {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// The length of a body as it is written behind it: groups of seven bits, the lowest last; a high bit says that there
/// is more to the left.
fn backlen_of(body: usize) -> ([u8; 5], usize) {
    let len = backlen_len(body);
    let mut bytes = [0; 5];
    for (group, byte) in bytes[..len].iter_mut().rev().enumerate() {
        *byte = (body >> (7 * group)) as u8 & 0x7F | 0x80;
    }
    bytes[0] &= 0x7F;
    (bytes, len)
}

/// Bytes of the body at the start of `bytes`, by its first bytes. Whether so many are there is not checked.
#[inline]
fn body_len(bytes: &[u8]) -> Option<usize> {
    Some(match *bytes.first()? {
        0..0x80 => 1,
        tag @ 0x80..0xC0 => 1 + usize::from(tag & 0x3F),
        0xC0..0xE0 => 2,
        tag @ 0xE0..0xF0 => 2 + (usize::from(tag & 0x0F) << 8 | usize::from(*bytes.get(1)?)),
        0xF0 => 5 + u32::from_le_bytes(*bytes.get(1..)?.first_chunk()?) as usize,
        0xF1 => 3,
        0xF2 => 4,
        0xF3 => 5,
        0xF4 => 9,
        0xF5.. => return None,
    })
}

/// Bytes of the body that a first byte begins; 0 if others have a say in that, or it begins none.
const LENGTHS: [u8; 256] = {
    let mut lengths = [0; 256];
    let mut tag = 0;
    while tag < lengths.len() {
        lengths[tag] = match tag as u8 {
            0..0x80 => 1,
            text @ 0x80..0xC0 => 1 + (text & 0x3F),
            0xC0..0xE0 => 2,
            0xF1 => 3,
            0xF2 => 4,
            0xF3 => 5,
            0xF4 => 9,
            _ => 0,
        };
        tag += 1;
    }
    lengths
};

/// Where the element at `at` of unknown bytes ends; `None` if it is not there as a whole, or its length is not told rightly
/// at its end.
#[inline]
pub fn checked_end(bytes: &[u8], at: usize) -> Option<usize> {
    let short = LENGTHS[usize::from(*bytes.get(at)?)];
    if short != 0 {
        let end = at + usize::from(short);
        return (bytes.get(end) == Some(&short)).then_some(end + 1);
    }
    checked_long_end(bytes, at)
}

/// As [`checked_end`], where the first byte alone does not tell the length.
#[inline(never)]
fn checked_long_end(bytes: &[u8], at: usize) -> Option<usize> {
    let body = body_len(&bytes[at..])?;
    let (backlen, len) = backlen_of(body);
    bytes.get(at + body..)?.starts_with(&backlen[..len]).then_some(at + body + len)
}

/// The element at the start of `bytes`, and the bytes of its body.
#[inline]
fn decode(bytes: &[u8]) -> Option<(Element<'_>, usize)> {
    let len = body_len(bytes)?;
    let body = bytes.get(..len)?;
    let element = match body[0] {
        tag @ 0..0x80 => Element::Integer(i64::from(tag)),
        0x80..0xC0 => Element::Text(&body[1..]),
        // Shifted up to the top and down again, to spread the sign.
        tag @ 0xC0..0xE0 => Element::Integer(i64::from((i16::from_be_bytes([tag, body[1]]) << 3) >> 3)),
        0xE0..0xF0 => Element::Text(&body[2..]),
        0xF0 => Element::Text(&body[5..]),
        _ => {
            let mut value = [0; 8];
            value[8 - (len - 1)..].copy_from_slice(&body[1..]);
            Element::Integer(i64::from_le_bytes(value) >> (64 - 8 * (len - 1)))
        }
    };
    Some((element, len))
}

/// How many elements there are. Walks through those of a listpack with 65535 or more.
#[inline]
pub fn len(bytes: &[u8]) -> usize {
    match stored_count(bytes) {
        UNCOUNTED => iter(bytes).count(),
        count => usize::from(count),
    }
}

/// Whether there are no elements.
pub fn is_empty(bytes: &[u8]) -> bool {
    bytes.len() <= START
}

#[inline]
fn stored_count(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[0], bytes[1]])
}

/// The first element's offset.
#[inline]
pub fn first(bytes: &[u8]) -> Option<usize> {
    (bytes.len() > START).then_some(START)
}

/// The last element's offset.
#[inline]
pub fn last(bytes: &[u8]) -> Option<usize> {
    previous(bytes, bytes.len())
}

/// Where the element at `at` ends: the next one's offset, or the length of the listpack.
#[inline]
pub fn end(bytes: &[u8], at: usize) -> usize {
    // The short ones first, without a branch between them.
    match bytes[at] {
        tag @ 0..0xC0 => at + 2 + usize::from(tag & 0x3F) * usize::from(tag >> 7),
        _ => {
            let body = body_len(&bytes[at..]).expect(BROKEN);
            at + body + backlen_len(body)
        }
    }
}

/// The offset of the element behind the one at `at`.
#[inline]
pub fn next(bytes: &[u8], at: usize) -> Option<usize> {
    Some(end(bytes, at)).filter(|&next| next < bytes.len())
}

/// The offset of the element before the one at `at`, which may also be the end of the listpack.
#[inline]
pub fn previous(bytes: &[u8], at: usize) -> Option<usize> {
    if at <= START {
        return None;
    }
    let mut body = 0;
    for group in 0..5 {
        let byte = bytes[at - 1 - group];
        body |= usize::from(byte & 0x7F) << (7 * group);
        if byte < 0x80 {
            return Some(at - 1 - group - body);
        }
    }
    panic!("{BROKEN}");
}

/// The element at an offset.
#[inline]
pub fn get(bytes: &[u8], at: usize) -> Element<'_> {
    decode(&bytes[at..]).expect(BROKEN).0
}

/// The offset of the element with an index; a negative one counts from the end, where -1 is the last.
pub fn seek(bytes: &[u8], index: i64) -> Option<usize> {
    let stored = stored_count(bytes);
    let mut index = index;
    if stored != UNCOUNTED {
        let count = i64::from(stored);
        if index < 0 {
            index += count;
        }
        if !(0..count).contains(&index) {
            return None;
        }
        // From the nearer end.
        if index > count / 2 {
            index -= count;
        }
    }
    if index >= 0 {
        let mut at = START;
        for _ in 0..index {
            if at >= bytes.len() {
                return None;
            }
            at = end(bytes, at);
        }
        (at < bytes.len()).then_some(at)
    } else {
        let mut at = last(bytes)?;
        for _ in index..-1 {
            at = previous(bytes, at)?;
        }
        Some(at)
    }
}

/// Visits the offsets of elements: of those with these indexes, counted in groups of `step`, which must be there.
pub fn pick(bytes: &[u8], step: usize, indexes: impl ExactSizeIterator<Item = usize>, mut visit: impl FnMut(usize)) {
    /// So many are sought one by one, which on average walks through a quarter of the listpack; for more, all of it is
    /// walked through once.
    const FEW: usize = 4;
    if indexes.len() <= FEW {
        indexes.for_each(|index| visit(seek(bytes, (index * step) as i64).expect("the element is there")));
        return;
    }
    let mut offsets = Vec::with_capacity(len(bytes) / step);
    let mut at = START;
    while at < bytes.len() {
        offsets.push(at);
        at = (0..step).fold(at, |at, _| end(bytes, at));
    }
    indexes.for_each(|index| visit(offsets[index]));
}

/// The elements with their offsets, from either end.
pub fn iter(bytes: &[u8]) -> Iter<'_> {
    Iter { bytes, front: START, back: bytes.len() }
}

/// The elements from the one at `at` on; none if that is the end.
pub fn iter_from(bytes: &[u8], at: usize) -> Iter<'_> {
    Iter { bytes, front: at, back: bytes.len() }
}

/// The elements up to an offset, which is that of an element or the end.
pub fn iter_before(bytes: &[u8], end: usize) -> Iter<'_> {
    Iter { bytes, front: START, back: end }
}

/// The elements with their offsets; see [`iter`].
#[derive(Clone)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    front: usize,
    back: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (usize, Element<'a>);

    #[inline]
    fn next(&mut self) -> Option<(usize, Element<'a>)> {
        if self.front >= self.back {
            return None;
        }
        let at = self.front;
        let (element, body) = decode(&self.bytes[at..]).expect(BROKEN);
        self.front = at + body + backlen_len(body);
        Some((at, element))
    }
}

impl<'a> DoubleEndedIterator for Iter<'a> {
    fn next_back(&mut self) -> Option<(usize, Element<'a>)> {
        if self.front >= self.back {
            return None;
        }
        self.back = previous(self.bytes, self.back)?;
        Some((self.back, get(self.bytes, self.back)))
    }
}

/// The offset of the first element that equals `text`, among the one at `from` and every `step`-th behind it. So the
/// fields of a hash are found with 2, the members of a set with 1. `from` may be the end.
pub fn find(bytes: &[u8], from: usize, text: &[u8], step: usize) -> Option<usize> {
    search(bytes, from, text, step, || {})
}

/// As [`find`], with how many of those elements come before it.
pub fn find_nth(bytes: &[u8], from: usize, text: &[u8], step: usize) -> Option<(usize, usize)> {
    let mut passed = 0;
    search(bytes, from, text, step, || passed += 1).map(|at| (at, passed))
}

/// As [`find`]; says of each of those elements that it is passed.
#[inline]
fn search(bytes: &[u8], from: usize, text: &[u8], step: usize, mut pass: impl FnMut()) -> Option<usize> {
    let number = parse_i64(text);
    let mut at = from;
    while at < bytes.len() {
        let (element, body) = decode(&bytes[at..]).expect(BROKEN);
        let same = match element {
            Element::Text(own) => own == text,
            Element::Integer(value) => number == Some(value),
        };
        if same {
            return Some(at);
        }
        pass();
        at += body + backlen_len(body);
        for _ in 1..step {
            if at >= bytes.len() {
                return None;
            }
            at = end(bytes, at);
        }
    }
    None
}

/// Bytes that a listpack can be edited in.
pub trait Buffer {
    /// All of them.
    fn bytes(&self) -> &[u8];

    /// All of them, to be changed without changing their number.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Makes a range `len` bytes long, moving what lies behind it. Returns all bytes, of which those of the range are to be
    /// written: what they are is not said.
    fn reshape(&mut self, range: Range<usize>, len: usize) -> &mut [u8];

    /// Puts `with` in the place of a range.
    fn splice(&mut self, range: Range<usize>, with: &[u8]) {
        let start = range.start;
        self.reshape(range, with.len())[start..start + with.len()].copy_from_slice(with);
    }
}

impl Buffer for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }

    fn reshape(&mut self, range: Range<usize>, with: usize) -> &mut [u8] {
        let (start, removed, len) = (range.start, range.len(), self.len());
        if with > removed {
            // Room is made behind the range, so that nothing is moved twice.
            self.resize(len + with - removed, 0);
        }
        if with != removed {
            self.copy_within(range.end..len, start + with);
            self.truncate(len + with - removed);
        }
        self
    }
}

/// Inserts `count` encoded elements before the one at `at`, or at the end.
pub fn insert(buffer: &mut impl Buffer, at: usize, elements: &[u8], count: usize) {
    let bytes = buffer.reshape(at..at, elements.len());
    bytes[at..at + elements.len()].copy_from_slice(elements);
    count_more(bytes, count);
}

/// Inserts an element before the one at `at`, or at the end, written to where it belongs. Returns the listpack.
#[inline]
pub fn insert_element<'b>(buffer: &'b mut impl Buffer, at: usize, element: Element<'_>) -> &'b [u8] {
    let bytes = buffer.reshape(at..at, element.encoded_len());
    element.encode_at(&mut bytes[at..]);
    count_more(bytes, 1);
    bytes
}

/// Inserts two elements, as [`insert_element`] does one.
#[inline]
pub fn insert_pair<'b>(buffer: &'b mut impl Buffer, at: usize, (one, other): (Element<'_>, Element<'_>)) -> &'b [u8] {
    let len = one.encoded_len();
    let bytes = buffer.reshape(at..at, len + other.encoded_len());
    one.encode_at(&mut bytes[at..]);
    other.encode_at(&mut bytes[at + len..]);
    count_more(bytes, 2);
    bytes
}

/// Appends `count` encoded elements.
pub fn append(buffer: &mut impl Buffer, elements: &[u8], count: usize) {
    let at = buffer.bytes().len();
    insert(buffer, at, elements, count);
}

/// Appends a text to bytes of one's own, without a detour.
pub fn push(bytes: &mut Vec<u8>, text: &[u8]) {
    encode(text, bytes);
    count_more(bytes, 1);
}

/// Counts elements that were encoded at the end of bytes of one's own, or in a gap.
#[inline]
pub fn count_more(bytes: &mut [u8], count: usize) {
    let stored = stored_count(bytes);
    if stored != UNCOUNTED {
        store_count(bytes, usize::from(stored) + count);
    }
}

/// Removes the `count` elements that lie in a range.
pub fn remove(buffer: &mut impl Buffer, range: Range<usize>, count: usize) {
    let bytes = buffer.reshape(range, 0);
    let left = match stored_count(bytes) {
        // It may have become countable; the elements have just been moved anyway.
        UNCOUNTED => iter(bytes).count(),
        stored => usize::from(stored) - count,
    };
    store_count(bytes, left);
}

/// Puts one encoded element in the place of the one at `at`.
pub fn replace(buffer: &mut impl Buffer, at: usize, element: &[u8]) {
    let end = end(buffer.bytes(), at);
    buffer.splice(at..end, element);
}

/// Puts another element in the place of the one at `at`, written to where it belongs.
#[inline]
pub fn replace_element(buffer: &mut impl Buffer, at: usize, element: Element<'_>) {
    let end = end(buffer.bytes(), at);
    let bytes = buffer.reshape(at..end, element.encoded_len());
    element.encode_at(&mut bytes[at..]);
}

#[inline]
fn store_count(bytes: &mut [u8], count: usize) {
    let count = u16::try_from(count).unwrap_or(UNCOUNTED);
    bytes[..START].copy_from_slice(&count.to_le_bytes());
}

/// Whether bytes of unknown origin are a listpack that the functions of this module can work with. It takes time
/// proportional to the number of elements and never panics.
pub fn validate(bytes: &[u8]) -> bool {
    if bytes.len() < START {
        return false;
    }
    let (mut at, mut count) = (START, 0);
    while at < bytes.len() {
        let tag = bytes[at];
        count += 1;
        if tag < 0x80 {
            if bytes.get(at + 1) != Some(&1) {
                return false;
            }
            at += 2;
            continue;
        }
        let Some(end) = checked_end(bytes, at) else { return false };
        // Elements of one kind and length often follow each other: where the next ones begin need not wait for this one's
        // length.
        let (stride, seam) = (end - at, [bytes[end - 1], tag]);
        at = end;
        if bytes.get(at) == Some(&tag) && LENGTHS[usize::from(tag)] != 0 {
            while let Some(ahead) = bytes.get(at - 1..at + RUN * stride)
                && (0..RUN)
                    .fold(ahead[RUN * stride] == seam[0], |same, nth| same & (ahead[nth * stride..][..2] == seam))
            {
                at += RUN * stride;
                count += RUN;
            }
        }
    }
    is_count(bytes, count)
}

/// Whether what unknown bytes say of the number of their elements is right.
pub fn is_count(bytes: &[u8], count: usize) -> bool {
    let stored = stored_count(bytes);
    stored == UNCOUNTED || usize::from(stored) == count
}

/// Whether two of the first element and every `step`-th one behind it are the same text. It takes a time in proportion to
/// their number, as long as the hash function is unknown to whoever made the bytes.
pub fn has_twins(bytes: &[u8], step: usize, hasher: &KeyHasher) -> bool {
    // The same integer may be there as such and as text.
    let element = |at| match get(bytes, at) {
        Element::Text(text) => Element::of(text),
        integer => integer,
    };
    // A table of offsets, half of which stay 0 at least.
    let mut seen = vec![0; (2 * len(bytes).div_ceil(step)).next_power_of_two()];
    let mask = seen.len() - 1;
    let mut at = START;
    while at < bytes.len() {
        let new = element(at);
        let hash = match new {
            Element::Text(text) => hasher.hash(text),
            Element::Integer(value) => hasher.hash(&value.to_le_bytes()),
        };
        let mut place = hash as usize & mask;
        while seen[place] != 0 {
            if element(seen[place]) == new {
                return true;
            }
            place = (place + 1) & mask;
        }
        seen[place] = at;
        for _ in 0..step {
            if at < bytes.len() {
                at = end(bytes, at);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{fuzz, spoil};

    fn listpack(texts: &[&[u8]]) -> Vec<u8> {
        let mut bytes = EMPTY.to_vec();
        for text in texts {
            let mut element = Vec::new();
            encode(text, &mut element);
            append(&mut bytes, &element, 1);
        }
        bytes
    }

    fn texts(bytes: &[u8]) -> Vec<Vec<u8>> {
        iter(bytes).map(|(_, element)| element.to_vec()).collect()
    }

    #[test]
    fn elements_are_encoded_as_in_redis() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"0", &[0x00, 1]),
            (b"127", &[0x7F, 1]),
            (b"128", &[0xC0, 0x80, 2]),
            (b"-1", &[0xDF, 0xFF, 2]),
            (b"4095", &[0xCF, 0xFF, 2]),
            (b"-4096", &[0xD0, 0x00, 2]),
            (b"4096", &[0xF1, 0x00, 0x10, 3]),
            (b"-32768", &[0xF1, 0x00, 0x80, 3]),
            (b"32768", &[0xF2, 0x00, 0x80, 0x00, 4]),
            (b"-8388608", &[0xF2, 0x00, 0x00, 0x80, 4]),
            (b"8388608", &[0xF3, 0x00, 0x00, 0x80, 0x00, 5]),
            (b"-2147483648", &[0xF3, 0x00, 0x00, 0x00, 0x80, 5]),
            (b"2147483648", &[0xF4, 0, 0, 0, 0x80, 0, 0, 0, 0, 9]),
            (b"-9223372036854775808", &[0xF4, 0, 0, 0, 0, 0, 0, 0, 0x80, 9]),
            (b"", &[0x80, 1]),
            (b"a", &[0x81, b'a', 2]),
            (b"01", &[0x82, b'0', b'1', 3]),
        ];
        for &(text, encoded) in cases {
            let mut bytes = Vec::new();
            encode(text, &mut bytes);
            assert_eq!(bytes, encoded, "{text:?}");
            assert_eq!(encoded_len(text), encoded.len());
            let bytes = listpack(&[text]);
            assert_eq!(texts(&bytes), [text]);
            assert!(get(&bytes, START) == *text && get(&bytes, START) != *b"other".as_slice());
        }
    }

    #[test]
    fn lengths_at_the_limits_of_their_encodings() {
        for len in [63, 64, 126, 127, 4095, 4096, 16_377, 16_378, 16_379, 2_097_145, 2_097_146, 2_097_147] {
            let text = vec![b'x'; len];
            let bytes = listpack(&[b"before", &text, b"behind"]);
            assert!(validate(&bytes), "{len}");
            assert_eq!(get(&bytes, seek(&bytes, 1).unwrap()), Element::Text(&text));
            assert_eq!(seek(&bytes, -2), seek(&bytes, 1));
            assert_eq!(bytes.len(), 2 + 8 + 8 + encoded_len(&text));
        }
        // A body of 16382 bytes is the longest whose length takes two.
        assert_eq!([backlen_len(16_382), backlen_len(16_383)], [2, 3]);
    }

    #[test]
    fn empty() {
        assert_eq!(
            (len(EMPTY), first(EMPTY), last(EMPTY), seek(EMPTY, 0), seek(EMPTY, -1)),
            (0, None, None, None, None)
        );
        assert!(validate(EMPTY) && is_empty(EMPTY) && find(EMPTY, START, b"x", 1).is_none());
    }

    #[test]
    fn every_nth_element_is_searched() {
        let bytes = listpack(&[b"1", b"b", b"b", b"1", b"c", b"3"]);
        let at = |index| seek(&bytes, index);
        assert_eq!(find(&bytes, START, b"b", 1), at(1));
        assert_eq!(find(&bytes, START, b"b", 2), at(2));
        assert_eq!(find(&bytes, START, b"1", 3), at(0));
        assert_eq!(find(&bytes, at(1).unwrap(), b"1", 1), at(3));
        assert_eq!(find(&bytes, START, b"3", 2), None);
        assert_eq!(find(&bytes, START, b"3", 4), None);
        assert_eq!(find(&bytes, bytes.len(), b"3", 1), None);
    }

    #[test]
    fn groups_are_picked_by_their_indexes() {
        let texts: Vec<Vec<u8>> = (0..60).map(|n: usize| vec![b'x'; n * 3]).collect();
        let bytes = listpack(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        for step in [1, 2, 3] {
            for count in [0, 1, 4, 5, 90] {
                let indexes: Vec<usize> = (0..count).map(|n| n * 7 % (60 / step)).collect();
                let mut picked = Vec::new();
                pick(&bytes, step, indexes.iter().copied(), |at| picked.push(get(&bytes, at).text_len()));
                let expected: Vec<usize> = indexes.iter().map(|index| index * step * 3).collect();
                assert_eq!(picked, expected, "{count} of every {step}");
            }
        }
    }

    #[test]
    fn twins_are_found() {
        let hasher = KeyHasher::new(3);
        let cases: &[(&[&[u8]], [bool; 3])] = &[
            (&[], [false; 3]),
            (&[b"a"], [false; 3]),
            (&[b"a", b"a", b"b", b"b"], [true, false, false]),
            (&[b"a", b"b", b"a", b"c", b"d"], [true, true, false]),
            (&[b"1", b"1", b"2", b"1"], [true, false, true]),
            (&[b"1", b"01", b"-1", b"1 "], [false; 3]),
        ];
        for &(texts, expected) in cases {
            let bytes = listpack(texts);
            assert_eq!([1, 2, 3].map(|step| has_twins(&bytes, step, &hasher)), expected, "{texts:?}");
        }
        // An integer as such and as text.
        assert!(has_twins(&[2, 0, 7, 1, 0x81, b'7', 2], 1, &hasher));
        let mut texts: Vec<Vec<u8>> = (0..1000).map(|n: i64| (n * 77).to_string().into_bytes()).collect();
        for twins in [false, true] {
            let bytes = listpack(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>());
            assert_eq!(has_twins(&bytes, 1, &hasher), twins);
            texts[999] = texts[500].clone();
        }
    }

    #[test]
    fn more_than_can_be_counted() {
        let mut bytes = EMPTY.to_vec();
        for count in 1..=70_000 {
            append(&mut bytes, &[1, 1], 1);
            if count % 4096 == 0 || (65_533..65_540).contains(&count) {
                assert_eq!(len(&bytes), count);
            }
        }
        assert_eq!(stored_count(&bytes), UNCOUNTED);
        assert_eq!(seek(&bytes, 69_999), last(&bytes));
        assert_eq!(seek(&bytes, -70_000), first(&bytes));
        assert_eq!((seek(&bytes, 70_000), seek(&bytes, -70_001)), (None, None));
        remove(&mut bytes, START..START + 2 * 10_000, 10_000);
        assert_eq!((stored_count(&bytes), len(&bytes)), (60_000, 60_000));
        assert!(validate(&bytes));
    }

    fn random_text(rng: &mut fastrand::Rng) -> Vec<u8> {
        match rng.u8(..8) {
            0 => rng.i64(..).to_string().into_bytes(),
            1 => rng.i64(-5000..5000).to_string().into_bytes(),
            2 => rng.i64(-200..200).to_string().into_bytes(),
            3 => vec![rng.u8(..); rng.usize(..300)],
            4 if rng.u8(..40) == 0 => vec![rng.u8(..); rng.usize(..20_000)],
            _ => (0..rng.usize(..12)).map(|_| rng.u8(b'0'..=b'9')).collect(),
        }
    }

    #[test]
    fn edits_agree_with_a_plain_list() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let (mut bytes, mut model) = (EMPTY.to_vec(), Vec::<Vec<u8>>::new());
            for _ in 0..100 {
                let index = rng.usize(..=model.len());
                let at = seek(&bytes, index as i64).unwrap_or(bytes.len());
                match rng.u8(..6) {
                    0 if index < model.len() => {
                        let count = rng.usize(1..=(model.len() - index).min(4));
                        let end = seek(&bytes, (index + count) as i64).unwrap_or(bytes.len());
                        remove(&mut bytes, at..end, count);
                        model.drain(index..index + count);
                    }
                    1 if index < model.len() => {
                        model[index] = random_text(&mut rng);
                        let mut element = Vec::new();
                        encode(&model[index], &mut element);
                        replace(&mut bytes, at, &element);
                    }
                    _ => {
                        let (mut elements, count) = (Vec::new(), rng.usize(1..3));
                        for place in index..index + count {
                            model.insert(place, random_text(&mut rng));
                            encode(&model[place], &mut elements);
                        }
                        insert(&mut bytes, at, &elements, count);
                    }
                }
                assert!(validate(&bytes));
                assert_eq!(len(&bytes), model.len());
                let index = rng.usize(..model.len() + 2) as i64;
                let back = index - model.len() as i64;
                assert_eq!(seek(&bytes, index).map(|at| get(&bytes, at).to_vec()).as_ref(), model.get(index as usize));
                assert_eq!(seek(&bytes, index), (back < 0).then(|| seek(&bytes, back)).flatten());
                if let Some(text) = model.get(index as usize) {
                    let place = model.iter().position(|other| other == text).unwrap();
                    assert_eq!(find(&bytes, START, text, 1), seek(&bytes, place as i64));
                }
            }
            assert_eq!(texts(&bytes), model);
            model.reverse();
            assert_eq!(iter(&bytes).rev().map(|(_, element)| element.to_vec()).collect::<Vec<_>>(), model);
        }
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let whole = listpack(&[b"12", b"some text", b"-70000", &[b'x'; 100], b"99999999999"]);
        for cut in 0..whole.len() {
            assert!(!validate(&whole[..cut]), "{cut}");
        }
        // Of elements that are alike each is looked at, up to its end.
        for alike in [&b"ab"[..], b"1000", b"100000", &[b'x'; 70]] {
            for count in 1..20 {
                let whole = listpack(&vec![alike; count]);
                let stride = (whole.len() - START) / count;
                for end in (START..=whole.len()).step_by(stride).skip(1) {
                    let mut spoilt = whole.clone();
                    spoilt[end - 1] ^= 1;
                    assert!(validate(&whole) && !validate(&spoilt), "{count} times {alike:?}, {end}");
                }
            }
        }
        assert!(!validate(&[1, 0, 0xF0, 0xFF, 0xFF, 0xFF, 0xFF, 1]), "longer than the bytes");
        assert!(!validate(&[1, 0, 0xF5, 1]) && !validate(&[1, 0, 0xFF]), "no such encodings");
        assert!(!validate(&[2, 0, 5, 1]) && validate(&[1, 0, 5, 1]) && validate(&[0xFF, 0xFF, 5, 1]), "counts");
    }

    /// Whatever the bytes, what passes can be read from both ends and changed.
    #[test]
    fn fuzz_listpack() {
        let mut passed = 0u64;
        fuzz(20_000, |rng| {
            let mut bytes = if rng.u8(..8) == 0 {
                (0..rng.usize(..24)).map(|_| rng.u8(..)).collect()
            } else {
                let texts: Vec<Vec<u8>> = match rng.u8(..4) {
                    0 => vec![random_text(rng); rng.usize(..16)],
                    _ => (0..rng.usize(..8)).map(|_| random_text(rng)).collect(),
                };
                listpack(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>())
            };
            for _ in 0..rng.usize(..4) {
                spoil(&mut bytes, rng);
            }
            if rng.bool() && bytes.len() >= START {
                bytes[..START].copy_from_slice(&UNCOUNTED.to_le_bytes());
            }
            if !validate(&bytes) {
                return;
            }
            passed += 1;
            let forth: Vec<usize> = iter(&bytes).map(|(at, _)| at).collect();
            let mut back: Vec<usize> = iter(&bytes).rev().map(|(at, _)| at).collect();
            back.reverse();
            assert_eq!(forth, back);
            assert_eq!(
                (len(&bytes), first(&bytes), last(&bytes)),
                (forth.len(), forth.first().copied(), back.last().copied())
            );
            let index = rng.usize(..forth.len() + 2);
            let at = seek(&bytes, index as i64);
            assert_eq!(at, forth.get(index).copied());
            let text = random_text(rng);
            let found = find(&bytes, START, &text, rng.usize(1..3));
            assert!(found.is_none_or(|at| get(&bytes, at) == *text));
            let mut element = Vec::new();
            encode(&text, &mut element);
            match at {
                Some(at) if rng.bool() => replace(&mut bytes, at, &element),
                Some(at) => {
                    let end = end(&bytes, at);
                    remove(&mut bytes, at..end, 1);
                }
                None => append(&mut bytes, &element, 1),
            }
            assert!(validate(&bytes), "{}", bytes.escape_ascii());
        });
        assert!(passed > 1000, "{passed}");
    }
}
