//! Intset: a small set of integers, sorted, in one piece of memory.
//!
//! ```text
//!   1 byte     width: how many bytes each integer takes: 2, 4 or 8
//!   width      the smallest integer, little endian, two's complement
//!   width      the next one …
//! ```
//!
//! All integers have the width that the widest needs; a set never gets narrower again. Looking one up is a binary search;
//! adding one moves all that are larger, which is why large sets are kept otherwise. Two intsets are merged in order: see
//! [`Seeker`].

use std::ops::Range;

/// The bytes of an empty intset.
pub const EMPTY: &[u8] = &[2];

/// Where the integers begin.
const START: usize = 1;

/// What has to be done to an intset's bytes: `with` goes in the place of `range`.
pub struct Edit {
    pub range: Range<usize>,
    with: With,
}

enum With {
    /// One integer, in the first so many bytes.
    One([u8; 8], usize),
    /// All of them, with another width.
    All(Vec<u8>),
}

impl Edit {
    /// The new bytes.
    pub fn with(&self) -> &[u8] {
        match &self.with {
            With::One(bytes, width) => &bytes[..*width],
            With::All(bytes) => bytes,
        }
    }
}

fn width(set: &[u8]) -> usize {
    set[0] as usize
}

/// The least width that an integer fits in.
fn width_for(integer: i64) -> usize {
    if i16::try_from(integer).is_ok() {
        2
    } else if i32::try_from(integer).is_ok() {
        4
    } else {
        8
    }
}

/// How many integers there are.
#[inline]
pub fn len(set: &[u8]) -> usize {
    (set.len() - START) / width(set)
}

/// The integer at a place in the order.
///
/// # Panics
/// If there are not so many.
#[inline]
pub fn get(set: &[u8], index: usize) -> i64 {
    match set[0] {
        2 => i16::from_le_bytes(fixed(set, index)) as i64,
        4 => i32::from_le_bytes(fixed(set, index)) as i64,
        _ => i64::from_le_bytes(fixed(set, index)),
    }
}

#[inline]
fn fixed<const WIDTH: usize>(set: &[u8], index: usize) -> [u8; WIDTH] {
    let mut bytes = [0; WIDTH];
    bytes.copy_from_slice(&set[START + index * WIDTH..][..WIDTH]);
    bytes
}

/// All integers, in ascending order.
pub fn iter(set: &[u8]) -> impl ExactSizeIterator<Item = i64> {
    (0..len(set)).map(|index| get(set, index))
}

/// Where an integer is, or else where it belongs.
pub fn find(set: &[u8], integer: i64) -> Result<usize, usize> {
    find_within(set, integer, 0, len(set))
}

/// As [`find`], where it is known to lie or to belong within a range.
fn find_within(set: &[u8], integer: i64, mut low: usize, mut high: usize) -> Result<usize, usize> {
    while low < high {
        let middle = low + (high - low) / 2;
        match get(set, middle).cmp(&integer) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Equal => return Ok(middle),
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Err(low)
}

/// Whether it has this integer.
pub fn contains(set: &[u8], integer: i64) -> bool {
    width_for(integer) <= width(set) && find(set, integer).is_ok()
}

/// Whether bytes of unknown origin are an intset: of a known width, with whole integers, one at least, in ascending order.
pub fn validate(bytes: &[u8]) -> bool {
    let Some((&width @ (2 | 4 | 8), integers)) = bytes.split_first() else { return false };
    !integers.is_empty()
        && integers.len().is_multiple_of(width as usize)
        && (1..len(bytes)).all(|index| get(bytes, index - 1) < get(bytes, index))
}

/// How to add an integer; `None` if it is there already.
pub fn insertion(set: &[u8], integer: i64) -> Option<Edit> {
    let (old, needed) = (width(set), width_for(integer));
    if needed > old {
        let mut wider = Vec::with_capacity(START + (len(set) + 1) * needed);
        wider.push(needed as u8);
        let mut push = |integer: i64| wider.extend_from_slice(&integer.to_le_bytes()[..needed]);
        // It is beyond all that fitted so far, at one end.
        if integer < 0 {
            push(integer);
        }
        iter(set).for_each(&mut push);
        if integer > 0 {
            push(integer);
        }
        return Some(Edit { range: 0..set.len(), with: With::All(wider) });
    }
    // Mostly they come in order.
    let end = len(set);
    let index = match end.checked_sub(1).map(|last| get(set, last)) {
        Some(last) if last < integer => end,
        _ => find(set, integer).err()?,
    };
    let at = START + index * old;
    Some(Edit { range: at..at, with: With::One(integer.to_le_bytes(), old) })
}

/// The bytes that have to go if an integer is taken out; `None` if it is not there.
pub fn removal(set: &[u8], integer: i64) -> Option<Range<usize>> {
    let index = find(set, integer).ok()?;
    let at = START + index * width(set);
    Some(at..at + width(set))
}

/// The bytes of the set without the integers at some places in the order, ascending.
pub fn without(set: &[u8], indexes: &[usize]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(set.len());
    let mut done = 0;
    for index in indexes {
        let at = START + index * width(set);
        bytes.extend_from_slice(&set[done..at]);
        done = at + width(set);
    }
    bytes.extend_from_slice(&set[done..]);
    bytes
}

/// Tells of ascending integers whether a set has them, in one walk along the set.
pub struct Seeker<'a> {
    set: &'a [u8],
    /// All before this place are smaller than what was asked for last.
    at: usize,
}

impl<'a> Seeker<'a> {
    /// A walk that starts at the smallest integer.
    pub fn new(set: &'a [u8]) -> Seeker<'a> {
        Seeker { set, at: 0 }
    }

    /// Whether the set has an integer, which is not smaller than the one asked for before. Strides double until they
    /// pass it, so that a few integers are found in a long set without reading all of it.
    pub fn has(&mut self, integer: i64) -> bool {
        let end = len(self.set);
        let mut stride = 1;
        let mut high = self.at;
        while high < end && get(self.set, high) < integer {
            self.at = high + 1;
            high += stride;
            stride *= 2;
        }
        let (Ok(found) | Err(found)) = find_within(self.set, integer, self.at, end.min(high + 1));
        self.at = found;
        found < end && get(self.set, found) == integer
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fuzz::{fuzz, spoil};

    /// Whatever the bytes, what passes is a set.
    #[test]
    fn fuzz_intset() {
        assert!(!validate(b"") && !validate(EMPTY) && !validate(&[3, 1, 1, 1]));
        let mut passed = 0u64;
        fuzz(20_000, |rng| {
            let mut set = EMPTY.to_vec();
            for _ in 0..rng.usize(1..6) {
                insert(&mut set, [rng.i64(-9..9), rng.i64(-70_000..70_000), rng.i64(..)][rng.usize(..3)]);
            }
            assert!(validate(&set));
            for _ in 0..rng.usize(..3) {
                spoil(&mut set, rng);
            }
            if !validate(&set) {
                return;
            }
            passed += 1;
            let integers: Vec<i64> = iter(&set).collect();
            assert_eq!(integers.iter().collect::<BTreeSet<_>>().len(), integers.len());
            for &integer in &integers {
                assert!(contains(&set, integer) && removal(&set, integer).is_some());
            }
            insert(&mut set, rng.i64(..));
            assert!(validate(&set));
        });
        assert!(passed > 1000, "{passed}");
    }

    fn insert(set: &mut Vec<u8>, integer: i64) -> bool {
        let Some(edit) = insertion(set, integer) else { return false };
        set.splice(edit.range.clone(), edit.with().iter().copied());
        true
    }

    fn remove(set: &mut Vec<u8>, integer: i64) -> bool {
        let Some(range) = removal(set, integer) else { return false };
        set.drain(range);
        true
    }

    /// An integer of any width, often at the edge of one.
    fn integer(rng: &mut fastrand::Rng, widest: usize) -> i64 {
        let edges = [i16::MIN as i64, i16::MAX as i64, i32::MIN as i64, i32::MAX as i64, i64::MIN, i64::MAX];
        match rng.u8(0..4) {
            0 => edges[rng.usize(..2 * widest)].saturating_add(rng.i64(-1..=1)),
            _ => rng.i64(-60..60),
        }
    }

    #[test]
    fn behaves_like_a_sorted_set() {
        let mut rng = fastrand::Rng::with_seed(8);
        for round in 0..60 {
            let (mut set, mut model) = (EMPTY.to_vec(), BTreeSet::new());
            for _ in 0..300 {
                let integer = integer(&mut rng, 1 + round % 3);
                match rng.u8(0..3) {
                    0 => assert_eq!(remove(&mut set, integer), model.remove(&integer)),
                    1 => assert_eq!(insert(&mut set, integer), model.insert(integer)),
                    _ => assert_eq!(contains(&set, integer), model.contains(&integer)),
                }
                assert_eq!(len(&set), model.len());
            }
            assert!(iter(&set).eq(model.iter().copied()));
        }
    }

    #[test]
    fn it_is_as_wide_as_its_widest_integer() {
        for (integer, width) in [(32767, 2), (-32768, 2), (32768, 4), (-32769, 4), (1 << 31, 8), (i64::MIN, 8)] {
            let mut set = EMPTY.to_vec();
            insert(&mut set, 1);
            insert(&mut set, integer);
            assert_eq!(set.len(), 1 + 2 * width, "{integer}");
            assert!(iter(&set).eq([integer.min(1), integer.max(1)]));
        }
    }

    #[test]
    fn a_seeker_finds_what_find_finds() {
        let mut rng = fastrand::Rng::with_seed(9);
        for _ in 0..300 {
            let mut set = EMPTY.to_vec();
            for _ in 0..rng.usize(0..100) {
                insert(&mut set, integer(&mut rng, 3));
            }
            let mut asked: Vec<i64> = (0..rng.usize(0..100)).map(|_| integer(&mut rng, 3)).collect();
            asked.sort_unstable();
            let mut seeker = Seeker::new(&set);
            for integer in asked {
                assert_eq!(seeker.has(integer), contains(&set, integer), "{integer} in {set:?}");
            }
        }
    }
}
