//! A wakeup at a time.
//!
//! Polls know timeouts, but in milliseconds, and for each wait that has one the kernel sets a timer and takes it back, which is a
//! good part of what a short wait costs. This timer stays set while waits begin and end.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// A timer of the kernel's in a poll.
pub struct Alarm {
    timer: OwnedFd,
    /// When it rings, in microseconds of uptime: never, if that is the end of all time.
    at_us: u64,
}

impl Alarm {
    /// One whose ringing is an event with the token, and needs no other answer.
    ///
    /// # Errors
    /// If the system gives no timer.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Alarm> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Alarm { timer, at_us: u64::MAX })
    }

    /// Rings at a time, or a little later, unless it rings before anyway; times are in microseconds of uptime. Returns how long to wait
    /// if it cannot.
    pub fn ring_by(&mut self, at_us: u64, now_us: u64) -> Option<Duration> {
        if self.at_us <= at_us {
            return None;
        }
        // Zero would switch it off.
        let wait = Duration::from_micros(at_us.saturating_sub(now_us).max(1));
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let when = Itimerspec { it_interval: once, it_value: value };
        match timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &when) {
            Ok(_) => {
                self.at_us = at_us;
                None
            }
            Err(error) => {
                log::warn!("The alarm could not be set: {error}");
                Some(wait)
            }
        }
    }

    /// It has rung: from now on it does only when it is asked to again.
    pub fn rang(&mut self) {
        self.at_us = u64::MAX;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::time::Instant;

    #[test]
    fn it_rings_at_the_earliest_time_and_once() {
        let mut poll = Poll::new().expect("a poll");
        let mut alarm = Alarm::new(poll.registry(), Token(7)).expect("a timer");
        let mut events = Events::with_capacity(8);
        for (asked_us, first_us) in [(&[300][..], 300), (&[0], 0), (&[60_000_000, 2000, 5000], 2000)] {
            let started = Instant::now();
            let now_us = 1_000_000;
            for wait_us in asked_us {
                assert_eq!(alarm.ring_by(now_us + wait_us, now_us), None);
            }
            poll.poll(&mut events, None).expect("the poll waits");
            assert!(started.elapsed() >= Duration::from_micros(first_us));
            assert!(events.iter().all(|event| event.token() == Token(7)) && !events.is_empty());
            alarm.rang();
            poll.poll(&mut events, Some(Duration::from_millis(7))).expect("the poll waits");
            assert!(events.is_empty());
        }
    }
}
