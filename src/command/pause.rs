//! Pauses: clients are held up, all of them or those that write, for who asked for it, or while replicas catch up.

use super::state::Server;

/// A pause in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pause {
    /// Until when, in milliseconds of uptime.
    pub until_ms: u64,
    /// Whether reads are paused too.
    pub all: bool,
}

/// What a pause is for. There can be one of each at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PausedFor {
    /// CLIENT PAUSE.
    Client,
    /// The replicas are to have everything before the server ends.
    Shutdown,
    /// A replica is to have everything before it becomes the master.
    Failover,
}

impl Server {
    /// Begins, changes or ends the pause for a purpose.
    pub fn set_pause(&mut self, purpose: PausedFor, pause: Option<Pause>) {
        self.pauses[purpose as usize] = pause;
        self.sum_up_pauses();
    }

    /// Ends pauses whose time is over.
    pub(super) fn end_pauses(&mut self, now_ms: u64) {
        for pause in &mut self.pauses {
            pause.take_if(|pause| pause.until_ms <= now_ms);
        }
        self.sum_up_pauses();
    }

    /// Puts what all pauses are together into effect, until the first of them ends.
    fn sum_up_pauses(&mut self) {
        let pauses = self.pauses.iter().flatten();
        self.pause = pauses
            .copied()
            .reduce(|one, other| Pause { until_ms: one.until_ms.min(other.until_ms), all: one.all || other.all });
        self.decide_expiry();
    }
}
