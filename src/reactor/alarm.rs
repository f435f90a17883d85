//! A wakeup at a time that is nearer than the milliseconds in which polls wait.

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
    /// For which time it was set last, in microseconds of uptime.
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
        Ok(Alarm { timer, at_us: 0 })
    }

    /// Rings once at a time, or a little later; both in microseconds of uptime.
    pub fn set(&mut self, at_us: u64, now_us: u64) {
        if self.at_us == at_us {
            return;
        }
        // Zero would switch it off.
        let wait = Duration::from_micros(at_us.saturating_sub(now_us).max(1));
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let when = Itimerspec { it_interval: once, it_value: value };
        match timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &when) {
            Ok(_) => self.at_us = at_us,
            Err(error) => log::warn!("The alarm could not be set: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::time::Instant;

    #[test]
    fn it_rings_each_time_it_is_set() {
        let mut poll = Poll::new().expect("a poll");
        let mut alarm = Alarm::new(poll.registry(), Token(7)).expect("a timer");
        let mut events = Events::with_capacity(8);
        for wait_us in [300, 0, 2000] {
            let started = Instant::now();
            let now_us = 1_000_000 + 10 * wait_us;
            alarm.set(now_us + wait_us, now_us);
            poll.poll(&mut events, None).expect("the poll waits");
            assert!(started.elapsed() >= Duration::from_micros(wait_us));
            assert!(events.iter().all(|event| event.token() == Token(7)) && !events.is_empty());
            // For a time that has been, it does not ring again.
            alarm.set(now_us + wait_us, now_us);
            poll.poll(&mut events, Some(Duration::from_millis(5))).expect("the poll waits");
            assert!(events.is_empty());
        }
    }
}
