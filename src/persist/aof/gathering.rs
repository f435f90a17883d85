//! Whose writes go together under `always`.
//!
//! Who has been answered often writes again at once, but a moment after the sync that the answer waited for is over. If the
//! next sync began without waiting for that, it would have only what others wrote meanwhile: two halves of the clients would
//! wait in turn for one another's syncs, each of which costs as much as one for all. So the next one waits for most of those who
//! were answered, twice as long as a sync takes at most; who is later comes while it is under way. If too few come, it does not
//! wait for some time.

/// The longest wait, in microseconds.
const LONGEST_US: u64 = 400;
/// So many syncs do not wait after one that waited in vain.
const PASSED_OVER: u32 = 16;

/// Who is waited for.
#[derive(Default)]
pub struct Gathering {
    /// When the last sync was ordered, in microseconds of uptime.
    ordered_us: u64,
    /// How many clients there are to be for the next one, and how many make the wait worth it.
    awaited: usize,
    enough: usize,
    until_us: u64,
    passed_over: u32,
}

impl Gathering {
    /// A sync is ordered.
    pub fn ordered(&mut self, now_us: u64) {
        (self.ordered_us, self.awaited) = (now_us, 0);
    }

    /// It is over: so many clients are answered, and others wait for the next one.
    pub fn over(&mut self, answered: usize, waiting: usize, now_us: u64) {
        if self.passed_over > 0 {
            self.passed_over -= 1;
            return;
        }
        (self.awaited, self.enough) = (waiting + answered - answered / 4, waiting + answered.div_ceil(2));
        self.until_us = now_us + (2 * now_us.saturating_sub(self.ordered_us)).min(LONGEST_US);
    }

    /// Whether the next sync is to wait for more clients than those that wait for it.
    pub fn awaits(&mut self, waiting: usize, now_us: u64) -> bool {
        if waiting >= self.awaited {
            return false;
        }
        if now_us < self.until_us {
            return true;
        }
        if waiting < self.enough {
            self.passed_over = PASSED_OVER;
        }
        self.awaited = 0;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_answered_is_waited_for() {
        let mut gathering = Gathering::default();
        assert!(!gathering.awaits(0, 0), "nobody was answered");
        gathering.ordered(1000);
        assert!(!gathering.awaits(20, 1050));
        gathering.over(30, 20, 1100);
        assert!(gathering.awaits(20, 1100) && gathering.awaits(42, 1299));
        assert!(!gathering.awaits(43, 1250), "most have come");
        assert!(!gathering.awaits(40, 1300), "it takes too long");
        gathering.ordered(1300);
        gathering.over(40, 0, 100_000);
        assert!(gathering.awaits(29, 100_000 + LONGEST_US - 1) && !gathering.awaits(29, 100_000 + LONGEST_US));
    }

    #[test]
    fn a_wait_in_vain_is_not_repeated_soon() {
        let mut gathering = Gathering::default();
        for _ in 0..3 {
            gathering.ordered(0);
            gathering.over(10, 5, 100);
            assert!(gathering.awaits(9, 299) && !gathering.awaits(9, 300));
            for _ in 0..PASSED_OVER {
                gathering.ordered(400);
                gathering.over(10, 5, 500);
                assert!(!gathering.awaits(5, 500));
            }
        }
        gathering.ordered(600);
        gathering.over(10, 5, 700);
        assert!(gathering.awaits(10, 899) && !gathering.awaits(10, 900));
        gathering.ordered(900);
        gathering.over(10, 5, 1000);
        assert!(gathering.awaits(12, 1100), "half of them was worth it");
    }
}
