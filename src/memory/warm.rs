//! Memory made ready ahead of need.
//!
//! The first touch of a page costs a fault: about 0.1 ms for a huge page, several where the host of a virtual machine has to
//! find the memory first. While the data grows, a thread pays for that instead of the reactor: it takes memory from the
//! allocator, touches it and gives it back. The allocator keeps what was given back for some seconds and hands it out
//! before it asks the kernel, so the reactor finds pages that are there. If it outruns the thread, it pays itself.

use std::sync::mpsc::{SyncSender, sync_channel};

use super::{HUGE_PAGE, touch_ahead};

/// The most that is made ready, in bytes: half a second of filling the server over the network.
const MOST: usize = 64 << 20;
/// The part of the memory in use that is made ready while that grows: a small server stays small.
const SHARE: usize = 2;

/// Watches memory grow and keeps some ready. Lives in the reactor.
pub struct Warmer {
    orders: SyncSender<usize>,
    /// Memory in use at which more is to be made ready, in bytes.
    mark: usize,
}

impl Warmer {
    /// Starts the thread. It ends when the warmer is dropped.
    pub fn start() -> std::io::Result<Warmer> {
        let (orders, inbox) = sync_channel(1);
        std::thread::Builder::new().name("warmer".to_string()).spawn(move || inbox.iter().for_each(touch_ahead))?;
        Ok(Warmer { orders, mark: 0 })
    }

    /// Notes how many bytes are in use.
    #[inline]
    pub fn notice(&mut self, used: usize) {
        let ahead = ahead_of(used);
        // Half of what was made ready is used up; or the data shrank, and grows anew from there.
        let next = used + ahead.max(HUGE_PAGE) / 2;
        if used < self.mark {
            self.mark = self.mark.min(next);
        } else {
            self.mark = next;
            // A thread that is behind is at work already.
            let _busy = ahead > 0 && self.orders.try_send(ahead).is_err();
        }
    }
}

/// How much is to be ready beyond the bytes in use: whole huge pages.
fn ahead_of(used: usize) -> usize {
    (used / SHARE).min(MOST) / HUGE_PAGE * HUGE_PAGE
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::Receiver;

    fn warmer() -> (Warmer, Receiver<usize>) {
        let (orders, inbox) = sync_channel(1);
        (Warmer { orders, mark: 0 }, inbox)
    }

    #[test]
    fn growth_is_met_and_rest_costs_nothing() {
        let (mut warmer, orders) = warmer();
        // Megabytes in use, and megabytes then made ready.
        for (used, ready) in [
            (1, None),
            (3, None),
            (16, Some(8)),
            (16, None),
            (19, None),
            (20, Some(10)),
            (100, Some(50)),
            (124, None),
            (125, Some(62)),
            (2000, Some(64)),
            (2031, None),
            (2032, Some(64)),
            (100, None),
            (125, Some(62)),
        ] {
            warmer.notice(used << 20);
            assert_eq!(orders.try_recv().ok(), ready.map(|ready: usize| ready << 20), "at {used} MB");
        }
    }

    #[test]
    fn a_busy_thread_is_not_waited_for() {
        let (mut warmer, orders) = warmer();
        for used in 100..200 {
            warmer.notice(used << 20);
        }
        assert_eq!(orders.try_iter().count(), 1);
    }
}
