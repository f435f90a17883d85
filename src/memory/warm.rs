//! Memory made ready ahead of need, and given back when there is none.
//!
//! The first touch of a page costs a fault: about 0.1 ms for a huge page, several where the host of a virtual machine has to
//! find the memory first. While the data grows, a thread pays for that instead of the reactor: it takes memory from the
//! allocator, touches it and gives it back. The allocator keeps what was given back and hands it out before it asks the
//! kernel, so the reactor finds pages that are there. If it outruns the thread, it pays itself.
//!
//! The same thread gives free pages back to the kernel when many have lain there for long. The reactor looks how many there
//! are, and not while it has work: counting takes a lock that [`merge_freed`] takes as well, so if the thread counted and another
//! process took its processor meanwhile, the reactor would wait for as long as that likes. And a thread that gives pages back
//! competes with the reactor where there is one processor for both.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{HUGE_PAGE, free_bytes, give_back_free_pages, merge_freed, touch_ahead};

/// The most that is made ready, in bytes: half a second of filling the server over the network.
const MOST: usize = 64 << 20;
/// The part of the memory in use that is made ready while that grows: a small server stays small.
const SHARE: usize = 2;
/// How often pages that came free are merged, in microseconds.
const MERGE_US: u64 = 250;
/// How often free pages are looked at, in microseconds.
const LOOK_US: u64 = 10_000_000;
/// The part of the memory in use that may lie free for longer.
const SPARE: usize = 8;

/// What the thread is to do.
#[derive(PartialEq, Eq, Debug)]
enum Order {
    /// Make so many bytes ready.
    Touch(usize),
    /// Give free pages back.
    GiveBack,
}

/// Watches memory, has some made ready while it grows, and has free pages looked at. Lives in the reactor.
pub struct Warmer {
    orders: SyncSender<Order>,
    /// Memory in use at which more is to be made ready, in bytes.
    mark: usize,
    /// When pages that came free are merged next, in microseconds of uptime.
    merge_us: u64,
    /// When free pages are looked at next, in microseconds of uptime.
    look_us: u64,
    /// Bytes of free pages when they were looked at last.
    free_before: usize,
}

impl Warmer {
    /// Starts the thread. It ends when the warmer is dropped.
    pub fn start() -> std::io::Result<Warmer> {
        let (orders, inbox) = sync_channel(1);
        std::thread::Builder::new().name("warmer".to_string()).spawn(move || serve(&inbox))?;
        Ok(Warmer { orders, mark: 0, merge_us: 0, look_us: 0, free_before: 0 })
    }

    /// Notes how many bytes are in use, at a time in microseconds of uptime, by a reactor that is `busy` or that will wait.
    #[inline]
    pub fn notice(&mut self, used: usize, now_us: u64, busy: bool) {
        if now_us >= self.merge_us {
            self.merge_us = now_us + MERGE_US;
            merge_freed();
        }
        if now_us >= self.look_us && !busy {
            self.look_us = now_us + LOOK_US;
            self.look(used, free_bytes());
        }
        let ahead = ahead_of(used);
        // Half of what was made ready is used up; or the data shrank, and grows anew from there.
        let next = used + ahead.max(HUGE_PAGE) / 2;
        if used < self.mark {
            self.mark = self.mark.min(next);
        } else {
            self.mark = next;
            // A thread that is behind is at work already.
            let _busy = ahead > 0 && self.orders.try_send(Order::Touch(ahead)).is_err();
        }
    }

    /// Has the pages that have come free so far merged at once: what is merged later is more, and takes longer.
    pub fn merge_soon(&mut self) {
        self.merge_us = 0;
    }

    /// Has free pages given back if many were free when this was last called, too.
    #[cold]
    fn look(&mut self, used: usize, free: usize) {
        // What was free then and is free now need not be the same pages, but that many were to spare.
        let given = self.free_before.min(free) > spare(used) && self.orders.try_send(Order::GiveBack).is_ok();
        self.free_before = if given { 0 } else { free };
    }
}

fn serve(orders: &Receiver<Order>) {
    for order in orders {
        match order {
            Order::Touch(bytes) => touch_ahead(bytes),
            Order::GiveBack => give_back_free_pages(),
        }
    }
}

/// Bytes that may lie free.
fn spare(used: usize) -> usize {
    (used / SPARE).max(HUGE_PAGE)
}

/// How much is to be ready beyond the bytes in use: whole huge pages.
fn ahead_of(used: usize) -> usize {
    (used / SHARE).min(MOST) / HUGE_PAGE * HUGE_PAGE
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::{GlobalAlloc, Layout};
    use tikv_jemallocator::Jemalloc;

    fn warmer() -> (Warmer, Receiver<Order>) {
        let (orders, inbox) = sync_channel(1);
        (Warmer { orders, mark: 0, merge_us: LOOK_US, look_us: LOOK_US, free_before: 0 }, inbox)
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
            warmer.notice(used << 20, 1, false);
            assert_eq!(orders.try_recv().ok(), ready.map(|ready: usize| Order::Touch(ready << 20)), "at {used} MB");
        }
    }

    #[test]
    fn a_busy_thread_is_not_waited_for() {
        let (mut warmer, orders) = warmer();
        for used in 100..200 {
            warmer.notice(used << 20, 1, false);
        }
        assert_eq!(orders.try_iter().count(), 1);
    }

    #[test]
    fn free_pages_are_looked_at_now_and_then_by_who_has_nothing_else_to_do() {
        let (mut warmer, _orders) = warmer();
        let mut looks = Vec::new();
        for ms in (0..50_000).step_by(500) {
            let before = warmer.look_us;
            warmer.notice(100, ms * 1000, (10_000..13_000).contains(&ms));
            if warmer.look_us > before {
                looks.push(ms);
            }
        }
        assert_eq!(looks, [13_000, 23_000, 33_000, 43_000]);
    }

    #[test]
    fn pages_go_that_were_free_twice() {
        let (mut warmer, orders) = warmer();
        // Megabytes in use and free.
        for (used, free, go) in [
            (80, 20, false),
            (80, 10, false),
            (80, 11, false),
            (80, 11, true),
            (80, 30, false),
            (8, 3, true),
            (8, 3, false),
            (8, 2, false),
            (8, 3, false),
        ] {
            warmer.look(used << 20, free << 20);
            assert_eq!(orders.try_recv() == Ok(Order::GiveBack), go, "{free} MB free beside {used}");
        }
        // Who is busy is asked again.
        warmer.orders.try_send(Order::Touch(1)).expect("there is room");
        warmer.look(8 << 20, 3 << 20);
        assert_eq!(orders.try_recv(), Ok(Order::Touch(1)));
        warmer.look(8 << 20, 3 << 20);
        assert_eq!(orders.try_recv(), Ok(Order::GiveBack));
    }

    #[test]
    fn free_pages_are_kept_until_they_are_given_back() {
        crate::memory::merge_free_pages().expect("the allocator takes the settings");
        let page = Layout::from_size_align(4096, 16).expect("a layout");
        // SAFETY: the size is not zero.
        let blocks: Vec<*mut u8> = (0..64 << 8).map(|_| unsafe { Jemalloc.alloc_zeroed(page) }).collect();
        let before = free_bytes();
        // SAFETY: allocated above with this layout, and freed once.
        blocks.into_iter().for_each(|block| unsafe { Jemalloc.dealloc(block, page) });
        // Other tests run beside this one.
        assert!(free_bytes() > before + (48 << 20), "{before} bytes before, {} behind", free_bytes());
        let (orders, inbox) = sync_channel(1);
        orders.send(Order::GiveBack).expect("there is room");
        drop(orders);
        serve(&inbox);
        assert!(free_bytes() < 48 << 20, "{}", free_bytes());
    }
}
