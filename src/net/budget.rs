//! What clients take together, and who takes most, kept only while there is a limit (`maxmemory-clients`).
//!
//! Who grows or shrinks is counted anew, so that the sum is always at hand and finding the largest costs a few steps,
//! however many clients there are.

use std::collections::{BTreeMap, BTreeSet};

/// The books of all clients.
#[derive(Default)]
pub struct ClientBudget {
    /// What they may take together, in bytes; 0 for no limit, and nothing is kept.
    limit: u64,
    total: usize,
    /// What each took when it was last counted, by its token.
    bytes: BTreeMap<usize, usize>,
    /// Those whose connection may be ended for it, the largest last.
    evictable: BTreeSet<(usize, usize)>,
}

impl ClientBudget {
    /// Whether there is a limit: only then clients need to be counted.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.limit != 0
    }

    /// Sets the limit, in bytes. With one where there was none, all clients have to be counted.
    pub fn set_limit(&mut self, limit: u64) {
        if limit == 0 {
            *self = ClientBudget::default();
        }
        self.limit = limit;
    }

    /// Counts a client that takes so many bytes now.
    pub fn count(&mut self, token: usize, bytes: usize, evictable: bool) {
        self.forget(token);
        self.total += bytes;
        self.bytes.insert(token, bytes);
        if evictable {
            self.evictable.insert((bytes, token));
        }
    }

    /// Counts a client no longer.
    pub fn forget(&mut self, token: usize) {
        if let Some(bytes) = self.bytes.remove(&token) {
            self.total -= bytes;
            self.evictable.remove(&(bytes, token));
        }
    }

    /// What each client takes that may go, in bytes.
    pub fn evictable_sizes(&self) -> impl Iterator<Item = usize> {
        self.evictable.iter().map(|&(bytes, _)| bytes)
    }

    /// The largest client that may go, if all together take too much.
    pub fn too_large(&self) -> Option<usize> {
        if self.limit == 0 || self.total as u64 <= self.limit {
            return None;
        }
        self.evictable.last().map(|&(_, token)| token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_go_until_the_rest_fits() {
        let mut budget = ClientBudget::default();
        budget.set_limit(100);
        for (token, bytes) in [(1, 10), (2, 60), (3, 20), (4, 9)] {
            budget.count(token, bytes, true);
        }
        assert_eq!(budget.too_large(), None);
        budget.count(4, 50, false);
        budget.count(3, 30, true);
        let mut gone = Vec::new();
        while let Some(token) = budget.too_large() {
            budget.forget(token);
            gone.push(token);
        }
        assert_eq!(gone, [2]);
        budget.set_limit(10);
        budget.count(1, 10, true);
        assert_eq!(budget.too_large(), Some(3));
        budget.count(3, 30, false);
        budget.count(1, 10, false);
        assert_eq!(budget.too_large(), None, "nobody may go");
        budget.set_limit(0);
        assert!(!budget.is_on() && budget.too_large().is_none());
    }
}
