//! A replica as its master sees it.

use super::snapshot::FileOnItsWay;

/// How far a replica is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// It has told about itself, and not yet asked for anything.
    Introduced,
    /// It waits for a snapshot that has not begun.
    WaitsForSnapshot,
    /// The snapshot that it is to get is being made, or on its way to it.
    Receives,
    /// It has all of the snapshot, and tells when it has taken it in: the stream must not come before.
    TakesIn,
    /// It gets the stream.
    Online,
    /// It wanted a snapshot alone, and has it.
    Served,
}

/// What of the data is to be in a replica's snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wants {
    Everything,
    /// The functions alone.
    Functions,
    Nothing,
}

/// What the master knows of a replica; see [`crate::net::Client::replica`].
#[derive(Debug)]
pub struct Replica {
    pub stage: Stage,
    /// The offset of the byte of the stream that it gets next.
    pub next: u64,
    /// What it has carried out and what it has made durable, as it told last, as offsets; and when, in milliseconds of uptime.
    pub acknowledged: u64,
    pub durable: u64,
    pub told_ms: u64,
    /// Where it listens, as it says itself: 0, and nothing, if it does not.
    pub port: u16,
    pub address: String,
    /// It can take in a snapshot whose length is not known before.
    pub takes_eof: bool,
    /// It knows that the stream's name may change.
    pub takes_new_id: bool,
    /// It knows databases that have names instead of numbers, as only our own replicas do.
    pub knows_names: bool,
    /// It does not know of PSYNC: it came by SYNC.
    pub by_sync: bool,
    /// It wants a snapshot, and nothing behind it.
    pub snapshot_only: bool,
    /// What it wants to be in the snapshot.
    pub wants: Wants,
    /// Since when it has waited for a snapshot, in milliseconds of uptime.
    pub waits_since_ms: u64,
    /// The snapshot file that it is sent.
    pub file: Option<FileOnItsWay>,
    /// How many bytes it had been sent when that was looked at last and had changed, and when, in milliseconds of uptime.
    pub progress: (u64, u64),
}

impl Replica {
    /// Somebody who may become one.
    pub fn new(now_ms: u64) -> Replica {
        Replica {
            stage: Stage::Introduced,
            next: 0,
            acknowledged: 0,
            durable: 0,
            told_ms: now_ms,
            port: 0,
            address: String::new(),
            takes_eof: false,
            takes_new_id: false,
            knows_names: false,
            by_sync: false,
            snapshot_only: false,
            wants: Wants::Everything,
            waits_since_ms: now_ms,
            file: None,
            progress: (0, now_ms),
        }
    }

    /// Whether it gets the stream, or is to get it from [`Replica::next`] on.
    pub fn reads_stream(&self) -> bool {
        matches!(self.stage, Stage::Receives | Stage::TakesIn | Stage::Online) && !self.snapshot_only
    }

    /// Whether what waits to be sent to it is a snapshot, of which there is never much at a time.
    pub fn is_sent_snapshot(&self) -> bool {
        !matches!(self.stage, Stage::Introduced | Stage::Online) || self.file.is_some()
    }

    /// Seconds since it told what it has carried out.
    pub fn lag_seconds(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.told_ms) / 1000
    }

    /// How INFO calls its stage.
    pub fn word(&self) -> &'static str {
        match self.stage {
            Stage::Introduced | Stage::WaitsForSnapshot => "wait_bgsave",
            // A snapshot without a file is made and sent at once.
            Stage::Receives if self.file.is_none() => "wait_bgsave",
            Stage::Receives => "send_bulk",
            Stage::TakesIn | Stage::Online => "online",
            Stage::Served => "rdb_transmitted",
        }
    }
}
