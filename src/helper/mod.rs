//! Helper threads, and their way back to the reactor.
//!
//! A helper owns what it works on and hands its result back as a job: a closure that the reactor runs on its own
//! thread in its next turn. Sending one wakes the reactor if it sleeps.

pub mod disk;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use crate::observe::reason;
use mio::Waker;

/// Something for the reactor to do with the state `S` that it owns.
pub type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Jobs on their way. Not a channel of the library: whoever receives from one waits for a sender that the kernel interrupted
/// in the middle of it, which may be long.
type Jobs<S> = Arc<Mutex<VecDeque<Job<S>>>>;

/// The helpers' end.
pub struct Outbox<S> {
    jobs: Jobs<S>,
    waker: Arc<Waker>,
}

impl<S> Clone for Outbox<S> {
    fn clone(&self) -> Outbox<S> {
        Outbox { jobs: Arc::clone(&self.jobs), waker: Arc::clone(&self.waker) }
    }
}

impl<S> Outbox<S> {
    /// Hands a job to the reactor.
    pub fn send(&self, job: impl FnOnce(&mut S) + Send + 'static) {
        let job = Box::new(job);
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).push_back(job);
        // Behind the lock, because the reactor does not wait for that: who has it wakes the reactor again.
        if let Err(error) = self.waker.wake() {
            log::warn!("The event loop could not be woken: {}", reason(&error));
        }
    }
}

/// The reactor's end.
pub struct Inbox<S> {
    jobs: Jobs<S>,
    /// Those that are being run; its memory serves the next ones.
    taken: VecDeque<Job<S>>,
}

impl<S> Inbox<S> {
    /// Runs all jobs that have come.
    pub fn run(&mut self, state: &mut S) {
        let taken = &mut self.taken;
        match self.jobs.try_lock() {
            Ok(mut jobs) => std::mem::swap(&mut *jobs, taken),
            Err(TryLockError::Poisoned(jobs)) => std::mem::swap(&mut *jobs.into_inner(), taken),
            Err(TryLockError::WouldBlock) => {}
        }
        for job in taken.drain(..) {
            job(state);
        }
    }
}

/// A way back that wakes by `waker`.
pub fn mailbox<S>(waker: Arc<Waker>) -> (Outbox<S>, Inbox<S>) {
    let jobs = Jobs::default();
    (Outbox { jobs: Arc::clone(&jobs), waker }, Inbox { jobs, taken: VecDeque::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token};

    #[test]
    fn a_job_from_another_thread_ends_the_wait_and_runs_here() {
        let mut poll = Poll::new().expect("a poll");
        let waker = Arc::new(Waker::new(poll.registry(), Token(7)).expect("a waker"));
        let (outbox, mut inbox) = mailbox::<Vec<u32>>(waker);
        let helpers: Vec<_> = (0..3)
            .map(|n| {
                let outbox = outbox.clone();
                std::thread::spawn(move || outbox.send(move |done| done.push(n)))
            })
            .collect();
        let mut done = Vec::new();
        let mut events = Events::with_capacity(8);
        while done.len() < 3 {
            // No timeout: only a wakeup ends the wait.
            poll.poll(&mut events, None).expect("the poll waits");
            assert!(events.iter().all(|event| event.token() == Token(7)));
            inbox.run(&mut done);
        }
        done.sort_unstable();
        assert_eq!(done, [0, 1, 2]);
        helpers.into_iter().for_each(|helper| helper.join().expect("the helper ends"));
    }
}
