//! The patterns that somebody subscribes to, in order, so that a channel is compared with those alone that begin as it does.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use super::Name;
use crate::types::glob;

/// Bytes that stand for others in a pattern, in order.
const SPECIAL: [u8; 4] = [b'*', b'?', b'[', b'\\'];
/// So many patterns in a row are passed by one by one, before the others that cannot match either are searched over.
const PATIENCE: usize = 16;

/// Patterns with what is kept for each.
#[derive(Default)]
pub struct Patterns<T>(BTreeMap<Name, T>);

impl<T> Patterns<T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What is kept for a pattern, which is `new` for one that was not there, and the pattern as it is shared.
    pub fn get_or_insert(&mut self, pattern: &[u8], new: impl FnOnce() -> T) -> (Name, &mut T) {
        let shared = self.0.get_key_value(pattern).map_or_else(|| Name::from(pattern), |(shared, _)| Rc::clone(shared));
        (Rc::clone(&shared), self.0.entry(shared).or_insert_with(new))
    }

    /// What is kept for a pattern.
    pub fn get(&self, pattern: &[u8]) -> Option<&T> {
        self.0.get(pattern)
    }

    /// Visits all, in order.
    pub fn each(&self, mut visit: impl FnMut(&Name, &T)) {
        self.0.iter().for_each(|(pattern, kept)| visit(pattern, kept));
    }

    /// Changes what is kept for a pattern, if it is there, and removes both where the change returns false.
    pub fn change(&mut self, pattern: &[u8], change: impl FnOnce(&mut T) -> bool) {
        if self.0.get_mut(pattern).is_some_and(|kept| !change(kept)) {
            self.0.remove(pattern);
        }
    }

    /// Visits those that match a channel.
    pub fn matching(&self, channel: &[u8], mut visit: impl FnMut(&[u8], &T)) {
        let mut rest = self.0.range::<[u8], _>(..);
        let mut passed = 0;
        while let Some((pattern, kept)) = rest.next() {
            let Some(at) = parting(pattern, channel) else {
                passed = 0;
                if glob::matches(pattern, channel, false) {
                    visit(pattern, kept);
                }
                continue;
            };
            passed += 1;
            if passed == PATIENCE {
                passed = 0;
                let Some(next) = next_beginning(pattern[at], at, channel) else { return };
                rest = self.0.range::<[u8], _>((Bound::Included(&next[..]), Bound::Unbounded));
            }
        }
    }
}

/// Where a pattern has another byte than a channel, or one that the channel has no more; `None` if all bytes up to the first
/// special one are the channel's.
fn parting(pattern: &[u8], channel: &[u8]) -> Option<usize> {
    let at = pattern.iter().zip(channel).take_while(|(a, b)| a == b && !SPECIAL.contains(a)).count();
    pattern.get(at).is_some_and(|byte| !SPECIAL.contains(byte)).then_some(at)
}

/// How the first pattern that may match a channel begins behind one that parts from it with `byte`: with some of the channel's
/// bytes, as many as possible, and one that is special or the channel's next.
fn next_beginning(byte: u8, at: usize, channel: &[u8]) -> Option<Vec<u8>> {
    let above = |byte, own: Option<&u8>| SPECIAL.into_iter().chain(own.copied()).filter(|&next| next > byte).min();
    let here = above(byte, channel.get(at)).map(|next| (at, next));
    let (at, next) = here.or_else(|| (0..at).rev().find_map(|at| Some((at, above(channel[at], None)?))))?;
    Some([&channel[..at], &[next]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rng: &mut fastrand::Rng, alphabet: &[u8], longest: usize) -> Vec<u8> {
        (0..rng.usize(0..=longest)).map(|_| alphabet[rng.usize(0..alphabet.len())]).collect()
    }

    #[test]
    fn the_patterns_that_match_are_those_that_a_look_at_each_finds() {
        let mut rng = fastrand::Rng::with_seed(11);
        for round in 0..300 {
            let mut patterns = Patterns::default();
            for _ in 0..rng.usize(0..1500) {
                let pattern = text(&mut rng, b"aabbbz!^~*?[]\\", 7);
                *patterns.get_or_insert(&pattern, || 0).1 += 1;
            }
            for _ in 0..40 {
                let channel = text(&mut rng, b"aaabbbz!^~*[", 7);
                let mut expected = Vec::new();
                patterns.each(|pattern, &times| {
                    if glob::matches(pattern, &channel, false) {
                        expected.push((pattern.to_vec(), times));
                    }
                });
                let mut found = Vec::new();
                patterns.matching(&channel, |pattern, &times| found.push((pattern.to_vec(), times)));
                assert_eq!(found, expected, "round {round}: {}", channel.escape_ascii());
            }
        }
    }

    #[test]
    fn the_next_that_may_match_begins_with_bytes_of_the_channel_and_one_of_its_own_or_a_special_one() {
        let cases = [
            ("!", "ab", Some("*")),
            ("5", "ab", Some("?")),
            ("]", "ab", Some("a")),
            ("b", "ab", None),
            ("aA", "ab", Some("a[")),
            ("a]", "ab", Some("ab")),
            ("ac", "ab", None),
            ("ac", "a", None),
            ("Ac", "A", Some("[")),
            ("A.", "A", Some("A?")),
        ];
        for (pattern, channel, expected) in cases {
            let (after, wanted) = (pattern.as_bytes(), channel.as_bytes());
            let at = parting(after, wanted).expect("none of these match");
            let next = next_beginning(after[at], at, wanted);
            assert_eq!(next.as_deref(), expected.map(str::as_bytes), "{channel} behind {pattern}");
        }
    }
}
