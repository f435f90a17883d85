//! Strings as arrays of bits.
//!
//! Bit 0 is the most significant bit of the first byte: written down byte by byte, a bitmap reads from left to right.
//! Positions count bits. All functions look at borrowed bytes; the loops over whole bytes are plain enough for the
//! compiler to make vector instructions of them.

use std::ops::Range;

/// How a pass over several strings is cut, so that the part of the result at work stays in the fastest cache.
const BLOCK: usize = 16 * 1024;

/// Whether a bit is set. Bits behind the end are clear.
pub fn get(bytes: &[u8], at: u64) -> bool {
    bytes.get((at / 8) as usize).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1)
}

/// Sets or clears a bit. Returns what it was.
///
/// # Panics
/// If the bit is behind the end.
pub fn set(bytes: &mut [u8], at: u64, on: bool) -> bool {
    let byte = &mut bytes[(at / 8) as usize];
    let shift = 7 - at % 8;
    let was = *byte >> shift & 1 == 1;
    *byte = *byte & !(1 << shift) | (on as u8) << shift;
    was
}

/// The bytes that a range of bits lies in, which may own only a part of the outer two.
struct Span {
    first: usize,
    last: usize,
    /// The bits of the first byte that belong to the range or lie behind it.
    head: u8,
    /// The bits of the last byte that belong to the range or lie before it.
    tail: u8,
}

impl Span {
    /// `None` for an empty range.
    fn of(bits: Range<u64>) -> Option<Span> {
        let end = bits.end.checked_sub(1).filter(|&end| end >= bits.start)?;
        Some(Span {
            first: (bits.start / 8) as usize,
            last: (end / 8) as usize,
            head: 0xff >> (bits.start % 8),
            tail: 0xff << (7 - end % 8),
        })
    }
}

/// How many bits of a range are set.
///
/// # Panics
/// If the range ends behind the bytes.
pub fn count(bytes: &[u8], bits: Range<u64>) -> u64 {
    let Some(Span { first, last, head, tail }) = Span::of(bits) else { return 0 };
    if first == last {
        return (bytes[first] & head & tail).count_ones() as u64;
    }
    let edges = (bytes[first] & head).count_ones() + (bytes[last] & tail).count_ones();
    edges as u64 + ones(&bytes[first + 1..last])
}

/// Eight words, which a vector unit adds at a time.
type Row = [u64; 8];

/// How many bits are set. Four rows are added up bit by bit, as columns of a sum, before anything is counted; that halves
/// the time. Source: Muła, Kurz and Lemire, "Faster Population Counts Using AVX2 Instructions", on the circuit by Harley
/// and Seal.
fn ones(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<256>();
    let (mut single, mut double) = ([0; 8], [0; 8]);
    let mut fours = 0;
    for block in blocks {
        let (rows, _) = block.as_chunks::<64>();
        let carry = add(&mut single, row(&rows[0]), row(&rows[1]));
        let other = add(&mut single, row(&rows[2]), row(&rows[3]));
        fours += ones_of(&add(&mut double, carry, other));
    }
    let (words, bytes) = rest.as_chunks::<8>();
    let words: u64 = words.iter().map(|word| u64::from_ne_bytes(*word).count_ones() as u64).sum();
    let bytes: u64 = bytes.iter().map(|byte| byte.count_ones() as u64).sum();
    4 * fours + 2 * ones_of(&double) + ones_of(&single) + words + bytes
}

/// Adds three rows bit by bit, one of which takes the sum. Returns the carries.
#[inline]
fn add(sum: &mut Row, b: Row, c: Row) -> Row {
    let mut carry = [0; 8];
    for n in 0..8 {
        let half = sum[n] ^ b[n];
        carry[n] = sum[n] & b[n] | half & c[n];
        sum[n] = half ^ c[n];
    }
    carry
}

#[inline]
fn row(bytes: &[u8; 64]) -> Row {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|n| u64::from_ne_bytes(words[n]))
}

#[inline]
fn ones_of(row: &Row) -> u64 {
    row.iter().map(|word| word.count_ones() as u64).sum()
}

/// Where the first bit of a range is that is set, or, if `wanted` is false, clear.
///
/// # Panics
/// If the range ends behind the bytes.
pub fn position(bytes: &[u8], bits: Range<u64>, wanted: bool) -> Option<u64> {
    let Span { first, last, head, tail } = Span::of(bits)?;
    let without = if wanted { 0 } else { 0xff };
    let within = |at: usize, mask: u8| {
        let found = (bytes[at] ^ without) & mask;
        (found != 0).then(|| at as u64 * 8 + found.leading_zeros() as u64)
    };
    if first == last {
        return within(first, head & tail);
    }
    within(first, head)
        .or_else(|| within(first + 1 + other_than(without, &bytes[first + 1..last])?, 0xff))
        .or_else(|| within(last, tail))
}

/// Where the first byte is that differs from `usual`.
fn other_than(usual: u8, bytes: &[u8]) -> Option<usize> {
    let (blocks, _) = bytes.as_chunks::<64>();
    let same = blocks.iter().take_while(|block| block.iter().fold(0, |seen, byte| seen | byte ^ usual) == 0).count();
    let start = same * 64;
    Some(start + bytes[start..].iter().position(|&byte| byte != usual)?)
}

/// What combines strings bit by bit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    And,
    Or,
    Xor,
    /// Of the first string alone.
    Not,
}

/// Combines strings into one that is as long as the longest; shorter ones are continued with clear bits.
pub fn combine(operation: Operation, sources: &[&[u8]]) -> Vec<u8> {
    let lengths = || sources.iter().map(|source| source.len());
    let mut result = vec![0; lengths().max().unwrap_or(0)];
    match operation {
        // Behind the shortest string all is clear.
        Operation::And => merge(&mut result[..lengths().min().unwrap_or(0)], sources, |a, b| a & b),
        Operation::Or => merge(&mut result, sources, |a, b| a | b),
        Operation::Xor => merge(&mut result, sources, |a, b| a ^ b),
        Operation::Not => {
            let source = sources.first().copied().unwrap_or_default();
            result.iter_mut().zip(source).for_each(|(to, from)| *to = !from);
        }
    }
    result
}

/// Merges the beginnings of all sources into a result of zeros.
fn merge(result: &mut [u8], sources: &[&[u8]], merge: impl Fn(u8, u8) -> u8) {
    let Some((first, others)) = sources.split_first() else { return };
    for (n, block) in result.chunks_mut(BLOCK).enumerate() {
        let start = n * BLOCK;
        let begun = first.get(start..).unwrap_or_default();
        let len = begun.len().min(block.len());
        block[..len].copy_from_slice(&begun[..len]);
        for other in others {
            let part = other.get(start..).unwrap_or_default();
            block.iter_mut().zip(part).for_each(|(to, from)| *to = merge(*to, *from));
        }
    }
}

/// Where an integer lies among the bits, and what kind of integer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Its first bit.
    pub offset: u64,
    /// How many bits it has: 1 to 64, or to 63 if it is unsigned.
    pub bits: u32,
    /// Whether it is a two's complement.
    pub signed: bool,
}

/// What becomes of an integer that its field is too narrow for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overflow {
    /// The upper bits are lost.
    Wrap,
    /// It becomes the nearest one that fits.
    Saturate,
    /// It is not stored.
    Fail,
}

impl Field {
    /// How many bytes a string has that just holds the field.
    pub fn bytes_needed(&self) -> u64 {
        (self.offset + self.bits as u64).div_ceil(8)
    }

    /// The integer. Bits behind the end are clear.
    pub fn read(&self, bytes: &[u8]) -> i64 {
        let mut window = [0; 16];
        let held = bytes.get((self.offset / 8) as usize..).unwrap_or_default();
        let held = &held[..held.len().min(9)];
        window[..held.len()].copy_from_slice(held);
        self.lowest(u128::from_be_bytes(window) >> (128 - self.offset as u32 % 8 - self.bits))
    }

    /// Replaces the integer; of `value` the lowest bits count.
    ///
    /// # Panics
    /// If the field ends behind the bytes.
    pub fn write(&self, bytes: &mut [u8], value: i64) {
        let place = &mut bytes[(self.offset / 8) as usize..self.bytes_needed() as usize];
        let mut window = [0; 16];
        window[..place.len()].copy_from_slice(place);
        let shift = 128 - self.offset as u32 % 8 - self.bits;
        let mask = u128::MAX >> (128 - self.bits) << shift;
        let word = u128::from_be_bytes(window) & !mask | (value as u128) << shift & mask;
        place.copy_from_slice(&word.to_be_bytes()[..place.len()]);
    }

    /// The integer that the field holds when it is to hold `value`; `None` if that fails.
    pub fn fit(&self, value: i128, overflow: Overflow) -> Option<i64> {
        let values = 1i128 << self.bits;
        let (min, max) = if self.signed { (-values / 2, values / 2 - 1) } else { (0, values - 1) };
        if (min..=max).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.lowest(value as u128)),
            Overflow::Saturate => Some(value.clamp(min, max) as i64),
            Overflow::Fail => None,
        }
    }

    /// As [`Field::fit`], for a value that is set as it is given.
    pub fn fit_set(&self, value: i64, overflow: Overflow) -> Option<i64> {
        if !self.signed {
            // To an unsigned integer, a negative value is one that is too large.
            return self.fit(i128::from(value as u64), overflow);
        }
        let max = i64::MAX >> (64 - self.bits);
        if overflow == Overflow::Saturate && max.checked_sub(value).is_none() && self.bits < 64 {
            // Redis tells the side on which a value is out of range by a difference of 64 bits, which is too narrow here.
            return Some(max);
        }
        self.fit(i128::from(value), overflow)
    }

    /// The lowest bits of a number as an integer of this kind.
    fn lowest(&self, number: u128) -> i64 {
        let top = number << (128 - self.bits);
        if self.signed { (top as i128 >> (128 - self.bits)) as i64 } else { (top >> (128 - self.bits)) as i64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bits one by one: the model that everything is compared with.
    fn spelt(bytes: &[u8]) -> Vec<bool> {
        (0..bytes.len() as u64 * 8).map(|at| get(bytes, at)).collect()
    }

    fn random_bytes(rng: &mut fastrand::Rng, most: usize) -> Vec<u8> {
        let usual = [0, 0xff, rng.u8(..)][rng.usize(0..3)];
        let odd = rng.bool();
        (0..rng.usize(0..=most)).map(|_| if odd && rng.u8(..) < 3 { rng.u8(..) } else { usual }).collect()
    }

    #[test]
    fn bits_stand_from_left_to_right() {
        let mut bytes = [0b1000_0001, 0b0100_0000];
        let seen: Vec<u64> = (0..99).filter(|&at| get(&bytes, at)).collect();
        assert_eq!(seen, [0, 7, 9]);
        assert!(!set(&mut bytes, 15, true) && set(&mut bytes, 0, false) && set(&mut bytes, 9, true));
        assert_eq!(bytes, [0b0000_0001, 0b0100_0001]);
    }

    #[test]
    fn counts_and_positions_agree_with_single_bits() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..3000 {
            let bytes = random_bytes(&mut rng, 700);
            let spelt = spelt(&bytes);
            let total = spelt.len() as u64;
            let start = rng.u64(0..=total);
            let range = start..[total, start, rng.u64(start..=total)][rng.usize(0..3)];
            let part = &spelt[range.start as usize..range.end as usize];
            assert_eq!(count(&bytes, range.clone()), part.iter().filter(|&&bit| bit).count() as u64);
            for wanted in [false, true] {
                let expected = part.iter().position(|&bit| bit == wanted).map(|at| range.start + at as u64);
                assert_eq!(position(&bytes, range.clone(), wanted), expected, "{wanted} in {range:?} of {bytes:?}");
            }
        }
        assert_eq!(count(&[0xff; 100_000], 0..800_000), 800_000);
        assert_eq!(count(b"", 0..0), 0);
        assert_eq!(position(b"", 0..0, true), None);
    }

    #[test]
    fn strings_combine_as_if_equally_long() {
        let mut rng = fastrand::Rng::with_seed(2);
        for round in 0..300 {
            let most = if round < 20 { 3 * BLOCK } else { 100 };
            let sources: Vec<Vec<u8>> = (0..rng.usize(1..5)).map(|_| random_bytes(&mut rng, most)).collect();
            let borrowed: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            let len = sources.iter().map(Vec::len).max().unwrap_or(0);
            let byte = |source: &Vec<u8>, at: usize| source.get(at).copied().unwrap_or(0);
            type Fold = fn(u8, u8) -> u8;
            let folds: [(Operation, Fold); 3] =
                [(Operation::And, |a, b| a & b), (Operation::Or, |a, b| a | b), (Operation::Xor, |a, b| a ^ b)];
            for (operation, fold) in folds {
                let expected: Vec<u8> = (0..len)
                    .map(|at| sources.iter().map(|source| byte(source, at)).reduce(fold).unwrap_or(0))
                    .collect();
                assert_eq!(combine(operation, &borrowed), expected, "{operation:?}");
            }
            let inverted: Vec<u8> = sources[0].iter().map(|byte| !byte).collect();
            assert_eq!(combine(Operation::Not, &borrowed[..1]), inverted);
        }
        assert!(combine(Operation::And, &[b"", b""]).is_empty());
    }

    #[test]
    fn a_field_reads_what_was_written_and_leaves_the_rest_alone() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            let signed = rng.bool();
            let bits = rng.u32(1..=if signed { 64 } else { 63 });
            let field = Field { offset: rng.u64(0..100), bits, signed };
            let mut bytes: Vec<u8> = (0..30).map(|_| rng.u8(..)).collect();
            let before = spelt(&bytes);
            let value = field.fit(rng.i64(..) as i128, Overflow::Wrap).expect("wrapping never fails");
            field.write(&mut bytes, value);
            assert_eq!(field.read(&bytes), value);
            let own = field.offset as usize..(field.offset + bits as u64) as usize;
            for (at, (old, new)) in before.iter().zip(spelt(&bytes)).enumerate() {
                assert!(own.contains(&at) || *old == new, "bit {at} changed under {field:?}");
            }
            let cut = rng.usize(0..30);
            let mut padded = bytes[..cut].to_vec();
            padded.resize(30, 0);
            assert_eq!(field.read(&bytes[..cut]), field.read(&padded));
        }
    }

    #[test]
    fn what_does_not_fit_wraps_saturates_or_fails() {
        let signed = |bits| Field { offset: 0, bits, signed: true };
        let unsigned = |bits| Field { offset: 0, bits, signed: false };
        let i64_max = i64::MAX as i128;
        let cases: &[(Field, i128, i64, i64)] = &[
            (unsigned(8), 256, 0, 255),
            (unsigned(8), 511, 255, 255),
            (unsigned(8), -1, 255, 0),
            (unsigned(63), u64::MAX as i128, i64::MAX, i64::MAX),
            (unsigned(1), 2, 0, 1),
            (signed(8), 128, -128, 127),
            (signed(8), -129, 127, -128),
            (signed(1), 1, -1, 0),
            (signed(64), i64_max + 1, i64::MIN, i64::MAX),
            (signed(64), -i64_max - 2, i64::MAX, i64::MIN),
        ];
        for &(field, value, wrapped, saturated) in cases {
            assert_eq!(field.fit(value, Overflow::Wrap), Some(wrapped), "{field:?} of {value}");
            assert_eq!(field.fit(value, Overflow::Saturate), Some(saturated), "{field:?} of {value}");
            assert_eq!(field.fit(value, Overflow::Fail), None, "{field:?} of {value}");
        }
        for (field, value) in [(unsigned(8), 255), (signed(8), -128), (signed(64), i64_max), (unsigned(63), i64_max)] {
            for overflow in [Overflow::Wrap, Overflow::Saturate, Overflow::Fail] {
                assert_eq!(field.fit(value, overflow), Some(value as i64));
            }
        }
    }
}
