//! FAILOVER: a master and one of its replicas change places, without losing anything.
//!
//! The master pauses writing until the replica has everything. Then it follows the replica, and asks with the PSYNC for its stream
//! that the replica become a master: nobody else could have the offset at which both streams part.

use crate::command::Ctx;
use crate::command::error::{Error, Outcome};
use crate::command::pause::{Pause, PausedFor};
use crate::command::state::Server;
use crate::config::Endpoint;

use super::Replication;
use super::feed::replica_address;
use super::replica::{Replica, Stage};

/// A failover that is under way.
#[derive(Debug)]
pub struct Failover {
    /// The replica that is to become the master: the first that has everything, if nobody said.
    pub target: Option<(String, u16)>,
    /// Until when the replica must have everything, in milliseconds of uptime.
    pub deadline_ms: Option<u64>,
    /// When that time is over it is to take over all the same.
    pub force: bool,
    /// This server follows it already, and has asked.
    pub asked: bool,
}

impl Replication {
    /// How INFO calls the state of a failover.
    pub fn failover_word(&self) -> &'static str {
        match &self.failover {
            None => "no-failover",
            Some(Failover { asked: false, .. }) => "waiting-for-sync",
            Some(Failover { asked: true, .. }) => "failover-in-progress",
        }
    }

    /// Whether the server that is followed is to be asked to become a master.
    pub fn asks_to_take_over(&self) -> bool {
        self.failover.as_ref().is_some_and(|failover| failover.asked)
    }
}

impl Server {
    /// Begins a failover.
    pub fn begin_failover(&mut self, failover: Failover) {
        match &failover.target {
            Some((host, port)) => log::info!("FAILOVER requested to {host}:{port}."),
            None => log::info!("FAILOVER requested to any replica."),
        }
        self.replication.failover = Some(failover);
        self.set_pause(PausedFor::Failover, Some(Pause { until_ms: u64::MAX, all: false }));
    }

    /// Gives a failover up; this server is the master again.
    pub fn abort_failover(&mut self, why: &str) {
        let Some(failover) = self.replication.failover.take() else { return };
        match &failover.target {
            Some((host, port)) => log::info!("FAILOVER to {host}:{port} aborted: {why}"),
            None => log::info!("FAILOVER to any replica aborted: {why}"),
        }
        if failover.asked {
            self.unfollow();
        }
        self.set_pause(PausedFor::Failover, None);
    }

    /// The other server is the master now: who was held up goes on, and learns that this one is a replica.
    pub fn end_failover(&mut self) {
        if self.replication.failover.take().is_some() {
            self.set_pause(PausedFor::Failover, None);
        }
    }

    /// The client of the replica that says it listens there.
    pub fn find_replica(&self, host: &str, port: u16) -> Option<&Replica> {
        let found = self.replicas().find(|(client, _)| replica_address(client) == (host, port));
        found.map(|(_, replica)| replica)
    }

    /// Goes on with a failover as soon as a replica has everything, or time is over.
    pub fn go_on_with_failover(&mut self) {
        let Some(failover) = self.replication.failover.as_ref().filter(|failover| !failover.asked) else { return };
        if failover.deadline_ms.is_some_and(|deadline| deadline <= self.clock.uptime_ms()) {
            if let (true, Some((host, port))) = (failover.force, failover.target.clone()) {
                log::info!("FAILOVER to {host}:{port} time out exceeded, failing over.");
                return self.ask_to_take_over(host, port);
            }
            return self.abort_failover("Replica never caught up before timeout");
        }
        let offset = self.replication.offset;
        let is_ready = |replica: &Replica| replica.stage == Stage::Online && replica.acknowledged == offset;
        let target = match &failover.target {
            Some((host, port)) => {
                self.find_replica(host, *port).filter(|one| is_ready(one)).map(|_| (host.clone(), *port))
            }
            None => self.replicas().find(|(_, replica)| is_ready(replica)).map(|(client, _)| {
                let (host, port) = replica_address(client);
                (host.to_string(), port)
            }),
        };
        if let Some((host, port)) = target {
            log::info!("Failover target {host}:{port} is synced, failing over.");
            self.ask_to_take_over(host, port);
        }
    }

    fn ask_to_take_over(&mut self, host: String, port: u16) {
        if let Some(failover) = &mut self.replication.failover {
            failover.target = Some((host.clone(), port));
            failover.asked = true;
        }
        self.follow(Endpoint { host, port });
    }
}

/// A replica's master asks it to take its place.
///
/// # Errors
/// If it is none, or knows another stream.
pub fn take_over(cx: &mut Ctx<'_>, id: &str) -> Outcome {
    if !cx.server.replication.is_replica() {
        return Err(Error::fixed("ERR PSYNC FAILOVER can't be sent to a master."));
    }
    if !cx.server.replication.id.eq_ignore_ascii_case(id) {
        return Err(Error::fixed("ERR PSYNC FAILOVER replid must match my replid."));
    }
    cx.server.unfollow();
    log::info!(
        "MASTER MODE enabled (failover request from '{}')",
        crate::command::client::describe(cx.server, cx.token)
    );
    Ok(())
}
