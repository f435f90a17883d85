//! The tags of an entry, in eight bytes.
//!
//! ```text
//!   one tag        0 | tag's number (31 bits)  | index of the cell (32 bits)
//!   any other      1 | 0 (7 bits) | count (8 bits) | address of a block with so many pairs (48 bits)
//! ```
//!
//! A pair is what the form for one tag holds: a tag, and where in the tag's list of members this entry is.
#![allow(unsafe_code)]

use std::ptr;

use crate::memory::size_class;

/// The most tags of a key.
pub const MOST_TAGS: usize = 255;

const SEVERAL: u64 = 1 << 63;
const COUNT_AT: u32 = 48;
const ADDRESS: u64 = (1 << COUNT_AT) - 1;
/// The index of an entry that is not in the list yet, or not any more.
const NOWHERE: u32 = u32::MAX;

/// That an entry has a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Membership(u64);

impl Membership {
    /// In a tag whose list does not have the entry yet.
    pub fn new(tag: u32) -> Membership {
        debug_assert!(tag < 1 << 31, "the top bit says what the field holds");
        Membership(u64::from(tag) << 32 | u64::from(NOWHERE))
    }

    /// The tag's number.
    #[inline]
    pub fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Where the tag's list has the entry, if it does.
    #[inline]
    pub fn index(self) -> Option<u32> {
        let index = self.0 as u32;
        (index != NOWHERE).then_some(index)
    }

    /// The tag's list has the entry there.
    #[inline]
    pub fn set_index(&mut self, index: u32) {
        self.0 = self.0 & !u64::from(u32::MAX) | u64::from(index);
    }

    /// Another has the place in the tag's list now.
    #[inline]
    pub fn take_index(&mut self) -> Option<u32> {
        let index = self.index();
        self.set_index(NOWHERE);
        index
    }
}

/// The memberships of one entry, which owns them.
#[repr(transparent)]
pub struct TagSet(u64);

impl TagSet {
    /// None.
    pub const EMPTY: TagSet = TagSet(SEVERAL);

    fn count(&self) -> usize {
        (self.0 >> COUNT_AT & 0xff) as usize
    }

    fn block(&self) -> *mut Membership {
        (self.0 & ADDRESS) as *mut Membership
    }

    /// The memberships.
    #[inline]
    pub fn as_slice(&self) -> &[Membership] {
        // SAFETY: `Membership` is a transparent `u64`, so the field is one if it holds one; else it holds the address and
        // the length of a block of them, which is this set's own, or a length of 0.
        unsafe {
            if self.0 & SEVERAL == 0 {
                std::slice::from_ref(&*ptr::from_ref(&self.0).cast())
            } else if self.count() == 0 {
                &[]
            } else {
                std::slice::from_raw_parts(self.block(), self.count())
            }
        }
    }

    /// The memberships, whose indexes may be changed.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [Membership] {
        // SAFETY: as above, and the set is borrowed exclusively. No index reaches the bit that says what the field holds.
        unsafe {
            if self.0 & SEVERAL == 0 {
                std::slice::from_mut(&mut *ptr::from_mut(&mut self.0).cast())
            } else if self.count() == 0 {
                &mut []
            } else {
                std::slice::from_raw_parts_mut(self.block(), self.count())
            }
        }
    }

    /// The memberships, which are none here from now on.
    pub fn take(&mut self) -> TagSet {
        std::mem::replace(self, TagSet::EMPTY)
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0 & SEVERAL != 0 && self.count() == 0
    }

    /// Bytes of memory it takes besides the field itself.
    pub fn memory_bytes(&self) -> usize {
        match self.as_slice().len() {
            0 | 1 => 0,
            count => size_class(count * size_of::<Membership>()),
        }
    }
}

/// All of some, at most [`MOST_TAGS`] of different tags.
impl FromIterator<Membership> for TagSet {
    #[inline]
    fn from_iter<I: IntoIterator<Item = Membership>>(pairs: I) -> TagSet {
        let mut pairs = pairs.into_iter();
        let Some(first) = pairs.next() else { return TagSet::EMPTY };
        let Some(second) = pairs.next() else { return TagSet(first.0) };
        let mut block = Vec::with_capacity(2 + pairs.size_hint().0);
        block.extend([first, second].into_iter().chain(pairs));
        let count = block.len();
        assert!(count <= MOST_TAGS, "a key has a bounded number of tags");
        let block = Box::into_raw(block.into_boxed_slice()).cast::<Membership>() as u64;
        assert!(block & !ADDRESS == 0, "addresses have 48 bits");
        TagSet(SEVERAL | (count as u64) << COUNT_AT | block)
    }
}

impl Drop for TagSet {
    fn drop(&mut self) {
        if self.0 & SEVERAL != 0 && self.count() > 0 {
            // SAFETY: the block came from a box of this length, and is not used afterwards.
            drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(self.block(), self.count())) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_memberships_fits_the_field() {
        for count in [0, 1, 2, 3, MOST_TAGS] {
            let pairs: Vec<Membership> = (0..count as u32).map(|n| Membership::new((1 << 31) - 1 - n)).collect();
            let mut set: TagSet = pairs.iter().copied().collect();
            assert_eq!((set.as_slice(), set.is_empty()), (&pairs[..], count == 0));
            assert!(set.as_slice().iter().all(|pair| pair.index().is_none()));
            (0..).zip(set.as_mut_slice()).for_each(|(n, pair)| pair.set_index(u32::MAX - 1 - n));
            let taken = set.take();
            assert!(set.is_empty() && set.as_slice().is_empty());
            for (n, pair) in (0..).zip(taken.as_slice()) {
                assert_eq!((pair.tag(), pair.index()), ((1 << 31) - 1 - n, Some(u32::MAX - 1 - n)));
            }
            assert_eq!(taken.memory_bytes() > 0, count > 1);
        }
    }

    #[test]
    fn a_place_is_given_away_once() {
        let mut pair = Membership::new(7);
        pair.set_index(0);
        assert_eq!((pair.take_index(), pair.take_index(), pair.tag()), (Some(0), None, 7));
    }
}
