//! What Redis puts around compact collections, and ours do without.
//!
//! ```text
//!   listpack:  bytes u32 │ ours │ 0xFF
//!   intset:    width u32 │ count u32 │ integers
//! ```

use crate::types::{intset, listpack};

/// A listpack without its frame, if it is one.
pub fn listpack(framed: Vec<u8>) -> Option<Vec<u8>> {
    content(framed).filter(|list| listpack::validate(list))
}

/// What is in a listpack's frame, for those who look themselves whether it is a listpack.
pub fn content(mut framed: Vec<u8>) -> Option<Vec<u8>> {
    let total = u32::from_le_bytes(*framed.first_chunk()?) as usize;
    if total != framed.len() || framed.pop() != Some(0xFF) || framed.len() < 6 {
        return None;
    }
    framed.drain(..4);
    framed.shrink_to_fit();
    Some(framed)
}

/// An intset without its frame, if it is one: its integers are in order.
pub fn ints(mut framed: Vec<u8>) -> Option<Vec<u8>> {
    let width = u32::from_le_bytes(*framed.first_chunk()?);
    let count = u32::from_le_bytes(*framed.get(4..)?.first_chunk()?) as usize;
    if !matches!(width, 2 | 4 | 8) || framed.len() - 8 != count.checked_mul(width as usize)? {
        return None;
    }
    framed.drain(..7);
    framed[0] = width as u8;
    if !intset::iter(&framed).is_sorted_by(|one, next| one < next) {
        return None;
    }
    framed.shrink_to_fit();
    Some(framed)
}
