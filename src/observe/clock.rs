//! The clock, read once in a turn of the loop: everything that happens in a turn happens at the same time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What time it is.
#[derive(Clone, Debug)]
pub struct Clock {
    started: Instant,
    /// Microseconds since the Unix epoch; may go back.
    pub unix_us: u64,
    /// Microseconds since the clock was made; never goes back.
    pub uptime_us: u64,
}

impl Clock {
    /// A clock that shows the present.
    pub fn new() -> Clock {
        let mut clock = Clock { started: Instant::now(), unix_us: 0, uptime_us: 0 };
        clock.tick();
        clock
    }

    /// Reads the system's clocks.
    #[inline]
    pub fn tick(&mut self) {
        self.unix_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        self.uptime_us = self.started.elapsed().as_micros() as u64;
    }

    /// Seconds since the Unix epoch at this very moment, which may be well behind the beginning of the turn.
    pub fn seconds_now(&self) -> u64 {
        let mut present = self.clone();
        present.tick();
        present.unix_us / 1_000_000
    }

    /// Milliseconds since the Unix epoch.
    #[inline]
    pub fn unix_ms(&self) -> u64 {
        self.unix_us / 1000
    }

    /// Milliseconds since the clock was made.
    #[inline]
    pub fn uptime_ms(&self) -> u64 {
        self.uptime_us / 1000
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}
