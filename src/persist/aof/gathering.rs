//! Whose writes go together under `always`.
//!
//! Who has been answered often writes again at once, but a moment after the sync that the answer waited for is over. If the
//! next sync began without waiting for that, it would have only what others wrote meanwhile: two parts of the clients would
//! wait in turn for one another's syncs, each of which costs as much as one for all. So the next one waits for most of those who
//! were answered, for as long as a sync takes: if they need longer, they had better come while one is under way. If too few
//! come, it does not wait for some time.

/// The longest wait, in microseconds.
const LONGEST_US: u64 = 10_000;
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
        (self.awaited, self.enough) = (waiting + answered - answered / 8, waiting + answered.div_ceil(2));
        self.until_us = now_us + now_us.saturating_sub(self.ordered_us).min(LONGEST_US);
    }

    /// Until when the next sync waits at most for more clients than those that wait for it, if it does.
    pub fn awaits(&mut self, waiting: usize, now_us: u64) -> Option<u64> {
        if waiting >= self.awaited {
            return None;
        }
        if now_us < self.until_us {
            return Some(self.until_us);
        }
        if waiting < self.enough {
            self.passed_over = PASSED_OVER;
        }
        self.awaited = 0;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_answered_is_waited_for() {
        let mut gathering = Gathering::default();
        assert_eq!(gathering.awaits(0, 0), None, "nobody was answered");
        gathering.ordered(1000);
        assert_eq!(gathering.awaits(20, 1050), None, "the sync is under way");
        gathering.over(30, 20, 1200);
        assert_eq!(gathering.awaits(20, 1200), Some(1400));
        assert_eq!(gathering.awaits(46, 1399), Some(1400));
        assert_eq!(gathering.awaits(47, 1300), None, "most have come");
        assert_eq!(gathering.awaits(46, 1400), None, "it takes too long");
        gathering.ordered(1400);
        gathering.over(40, 0, 100_000);
        let until = Some(100_000 + LONGEST_US);
        assert_eq!(gathering.awaits(34, 100_000 + LONGEST_US - 1), until);
        assert_eq!(gathering.awaits(34, 100_000 + LONGEST_US), None);
    }

    #[test]
    fn a_wait_in_vain_is_not_repeated_soon() {
        let mut gathering = Gathering::default();
        for _ in 0..3 {
            gathering.ordered(0);
            gathering.over(10, 5, 100);
            assert_eq!(gathering.awaits(9, 199), Some(200));
            assert_eq!(gathering.awaits(9, 200), None);
            for _ in 0..PASSED_OVER {
                gathering.ordered(400);
                gathering.over(10, 5, 500);
                assert_eq!(gathering.awaits(5, 500), None);
            }
        }
        gathering.ordered(600);
        gathering.over(10, 5, 700);
        assert_eq!((gathering.awaits(10, 799), gathering.awaits(10, 800)), (Some(800), None));
        gathering.ordered(900);
        gathering.over(10, 5, 1000);
        assert_eq!(gathering.awaits(12, 1050), Some(1100), "half of them was worth it");
    }

    #[test]
    fn two_who_take_turns_come_together() {
        let mut gathering = Gathering::default();
        gathering.ordered(0);
        gathering.over(1, 1, 300);
        assert_eq!((gathering.awaits(1, 310), gathering.awaits(2, 320)), (Some(600), None));
    }
}
