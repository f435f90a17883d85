//! The end of a master: its replicas are to have everything, as far as they get it in time.

use crate::command::blocking;
use crate::command::error::Error;
use crate::command::pause::{Pause, PausedFor};
use crate::command::state::{Server, Shutdown};

use super::feed::replica_name;
use super::replica::Stage;

const REFUSED: Error = Error::fixed("ERR Errors trying to SHUTDOWN. Check logs.");

impl Server {
    /// Whether the end waits for replicas.
    pub fn is_waiting_to_end(&self) -> bool {
        self.shutdown.is_some_and(|shutdown| shutdown.waits_until_ms.is_some())
    }

    /// How many replicas have not told that they have everything.
    fn lagging_replicas(&self) -> usize {
        let offset = self.replication.offset;
        self.replicas().filter(|(_, replica)| replica.acknowledged != offset).count()
    }

    /// Whether the end is to wait: some replica lags behind, and there is still time.
    pub fn waits_for_replicas(&mut self, shutdown: Shutdown) -> bool {
        let now_ms = self.clock.uptime_ms();
        let timeout_ms = 1000 * u64::from(self.settings.shutdown_timeout);
        if self.lagging_replicas() == 0 || shutdown.now {
            return false;
        }
        if let Some(until_ms) = shutdown.waits_until_ms {
            return now_ms < until_ms;
        }
        if timeout_ms == 0 {
            return false;
        }
        // They are asked once, and nothing comes behind that.
        self.ask_replicas();
        self.shutdown = Some(Shutdown { waits_until_ms: Some(now_ms + timeout_ms), ..shutdown });
        self.set_pause(PausedFor::Shutdown, Some(Pause { until_ms: u64::MAX, all: false }));
        log::info!("Waiting for replicas before shutting down.");
        true
    }

    /// Tells in the log which replicas do not have everything.
    pub fn tell_lagging_replicas(&self) {
        let (now_ms, offset) = (self.clock.uptime_ms(), self.replication.offset);
        for (client, replica) in self.replicas().filter(|(_, replica)| replica.acknowledged != offset) {
            let name = replica_name(client);
            let lag = if replica.stage == Stage::Online { replica.lag_seconds(now_ms) } else { 0 };
            log::info!(
                "Lagging replica {name} reported offset {} behind master, lag={lag}, state={}.",
                offset.saturating_sub(replica.acknowledged),
                replica.word()
            );
        }
        let replicas = self.replicas().count();
        if replicas > 0 {
            log::info!("{} of {replicas} replicas are in sync when shutting down.", replicas - self.lagging_replicas());
        }
    }

    /// Goes on although somebody asked for the end, and tells who did.
    pub fn refuse_shutdown(&mut self) {
        self.shutdown = None;
        self.debug.restart_after = None;
        self.set_pause(PausedFor::Shutdown, None);
        for (token, id) in std::mem::take(&mut self.shutdown_waits) {
            if self.clients.get(token).is_some_and(|client| client.id == id && client.blocked) {
                blocking::unblock_with(self, token, true, |cx| cx.error(&REFUSED));
            }
        }
    }
}
