//! The access clock: 24 bits in every entry that remember how it is used.
//!
//! Under an LRU policy (and under none) they are the time of the last use, in seconds modulo 2^24. Under LFU the upper
//! 16 bits are minutes modulo 2^16 of the last decay, the lower 8 a logarithmic counter of uses: the more it has
//! counted, the less likely the next use counts, and it loses points for every lfu-decay-time minutes without use.
//! Source: the "LFU mode" of Redis' documentation on key eviction.

/// The counter of a new entry: high enough to live until it had a chance of being used.
const LFU_START: u32 = 5;
const CLOCK: u64 = (1 << 24) - 1;

/// How uses are remembered, by settings.
#[derive(Clone, Copy)]
pub struct AccessClock {
    /// Whether the policy counts uses rather than dating the last one.
    pub lfu: bool,
    /// lfu-log-factor: how fast the counter saturates.
    pub log_factor: u32,
    /// lfu-decay-time: minutes that cost a point; 0 for never.
    pub decay_minutes: u32,
}

impl Default for AccessClock {
    fn default() -> AccessClock {
        AccessClock { lfu: false, log_factor: 10, decay_minutes: 1 }
    }
}

fn minutes(now_ms: u64) -> u32 {
    ((now_ms / 60_000) & 0xffff) as u32
}

impl AccessClock {
    /// The clock of a new entry.
    #[inline]
    pub fn new_entry(&self, now_ms: u64) -> u32 {
        if self.lfu { minutes(now_ms) << 8 | LFU_START } else { ((now_ms / 1000) & CLOCK) as u32 }
    }

    /// The clock of an entry that is used now.
    #[inline]
    pub fn used(&self, access: u32, now_ms: u64, rng: &mut fastrand::Rng) -> u32 {
        if !self.lfu {
            return ((now_ms / 1000) & CLOCK) as u32;
        }
        let counter = self.frequency(access, now_ms);
        let above_start = counter.saturating_sub(LFU_START) as f64;
        let counts = counter < 255 && rng.f64() < 1.0 / (above_start * self.log_factor as f64 + 1.0);
        minutes(now_ms) << 8 | (counter + counts as u32)
    }

    /// The clock of an entry that comes with what another server remembers of its use: seconds since the last one, or how
    /// often it was used. What the policy does not ask for is not looked at.
    pub fn restored(&self, idle_seconds: Option<u64>, frequency: Option<u8>, now_ms: u64) -> u32 {
        match (self.lfu, idle_seconds, frequency) {
            (true, _, Some(frequency)) => minutes(now_ms) << 8 | u32::from(frequency),
            (false, Some(idle), _) => ((now_ms / 1000).saturating_sub(idle.min(CLOCK)) & CLOCK) as u32,
            _ => self.new_entry(now_ms),
        }
    }

    /// How often an entry is used, on the logarithmic scale of 0 to 255.
    pub fn frequency(&self, access: u32, now_ms: u64) -> u32 {
        let counter = access & 0xff;
        if self.decay_minutes == 0 {
            return counter;
        }
        let idle = minutes(now_ms).wrapping_sub(access >> 8) & 0xffff;
        counter.saturating_sub(idle / self.decay_minutes)
    }

    /// Seconds since an entry was used.
    pub fn idle_seconds(&self, access: u32, now_ms: u64) -> u64 {
        (now_ms / 1000).wrapping_sub(access as u64) & CLOCK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_survives_the_clock_wrapping_round() {
        let clock = AccessClock::default();
        for start in [0, 5_000, (CLOCK - 1) * 1000, 1_700_000_000_000] {
            let access = clock.new_entry(start);
            assert_eq!(clock.idle_seconds(access, start + 7_000), 7);
        }
    }

    #[test]
    fn frequency_grows_with_use_and_decays_without() {
        let clock = AccessClock { lfu: true, ..AccessClock::default() };
        let mut rng = fastrand::Rng::with_seed(1);
        let mut access = clock.new_entry(0);
        assert_eq!(clock.frequency(access, 0), LFU_START);
        for _ in 0..1_000_000 {
            access = clock.used(access, 0, &mut rng);
        }
        assert!((200..=255).contains(&clock.frequency(access, 0)));
        assert_eq!(clock.frequency(access, 3 * 60_000), clock.frequency(access, 0) - 3);
        assert_eq!(clock.frequency(access, 60_000 * 1000), 0);
    }
}
