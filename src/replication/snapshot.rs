//! A snapshot for replicas that cannot go on where they left off.
//!
//! Several replicas share one. Without a disk its bytes go straight to their outputs, with a mark behind the last, since nobody
//! knows how many there will be; the slowest sets the pace. By way of the disk it becomes the snapshot file, and each replica gets
//! the file at its own pace. Either way the stream goes on from the moment at which the snapshot began.

use std::fs::File;
use std::io::Read;
use std::rc::Rc;

use crate::command::save::{self, Purpose};
use crate::command::state::Server;
use crate::helper::Outbox;
use crate::net::Closing;
use crate::observe::reason;
use crate::persist::Sink;
use crate::persist::disk::DiskError;
use crate::persist::rdb::{Checksum, checksum};
use crate::resp::Output;

use super::replica::{Replica, Stage, Wants};
use super::{ID_LEN, new_id};

/// Bytes of a snapshot that may be on their way to replicas.
const ON_THE_WAY: usize = 4 << 20;

/// A snapshot that is being made for replicas.
pub struct Transfer {
    /// The snapshot's number.
    id: u64,
    /// Its bytes go straight to the replicas.
    direct: bool,
    /// The offset of the first byte of the stream that is not part of it.
    next: u64,
    /// Bytes that were given to the replicas' outputs, and how many of them the slowest has been sent.
    given: u64,
    sent: u64,
}

impl Transfer {
    /// Whether its bytes go straight to the replicas.
    pub fn is_direct(&self) -> bool {
        self.direct
    }
}

/// A snapshot file on its way to a replica.
#[derive(Debug)]
pub struct FileOnItsWay {
    file: File,
    left: u64,
    /// Its bytes could not be read, or it ended before all of them had come.
    broken: bool,
}

impl FileOnItsWay {
    /// Gives an output the next bytes, as long as it has fewer than so many.
    pub fn read_on(&mut self, output: &mut Output, most: usize) {
        let wanted = most.saturating_sub(output.len()) as u64;
        match (&self.file).take(wanted.min(self.left)).read_to_end(output.tail()) {
            Ok(0) if wanted > 0 && self.left > 0 => {
                log::warn!("Read error sending DB to replica: premature EOF");
                self.broken = true;
            }
            Ok(read) => self.left -= read as u64,
            Err(error) => {
                log::warn!("Read error sending DB to replica: {}", reason(&error));
                self.broken = true;
            }
        }
    }

    /// Whether it cannot be sent to its end.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether it has been read to its end.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }
}

/// Where the bytes go that go straight to replicas: by way of the loop's inbox, because the loop is at work on the snapshot.
struct Straight {
    outbox: Outbox<Server>,
    id: u64,
    sum: Checksum,
    checksum: bool,
    mark: String,
    on_the_way: usize,
}

impl Straight {
    fn send(&mut self, bytes: Vec<u8>, last: bool) {
        self.on_the_way += bytes.len();
        let id = self.id;
        self.outbox.send(move |server| server.pass_snapshot_on(id, bytes, last));
    }
}

impl Sink for Straight {
    fn has_room(&self) -> bool {
        self.on_the_way < ON_THE_WAY
    }

    fn write(&mut self, bytes: Vec<u8>) {
        if self.checksum {
            self.sum.update(&bytes);
        }
        self.send(bytes, false);
    }

    fn passed_on(&mut self, bytes: usize) {
        self.on_the_way -= bytes.min(self.on_the_way);
    }

    fn finish(&mut self) {
        let sum = if self.checksum { self.sum.clone().finalize() } else { 0 };
        let mut bytes = sum.to_le_bytes().to_vec();
        bytes.extend_from_slice(self.mark.as_bytes());
        self.send(bytes, true);
    }
}

impl Server {
    /// Begins a snapshot for the replicas that wait for one, if it is time.
    pub fn begin_snapshot_for_replicas(&mut self) {
        let now_ms = self.clock.uptime_ms();
        if self.replication.replicas.is_empty()
            || self.saving.purpose().is_some()
            || self.loading.is_some()
            || self.keys.effects.journal.is_within_unit()
        {
            return;
        }
        let waiting = self.replicas_that(|replica| replica.stage == Stage::WaitsForSnapshot);
        let Some(&first) = waiting.first().filter(|_| save::is_free(self)) else { return };
        let replica = |token: usize| self.clients[token].replica.as_deref();
        let wants = |token| replica(token).map_or(Wants::Everything, |replica| replica.wants);
        let wanted = wants(first);
        let alike: Vec<usize> = waiting.into_iter().filter(|&token| wants(token) == wanted).collect();
        let direct = (self.settings.repl_diskless_sync || wanted != Wants::Everything)
            && alike.iter().all(|&token| replica(token).is_some_and(|replica| replica.takes_eof));
        let (delay_ms, most) = (
            1000 * u64::from(self.settings.repl_diskless_sync_delay),
            self.settings.repl_diskless_sync_max_replicas as usize,
        );
        let since = alike.iter().filter_map(|&token| replica(token)).map(|replica| replica.waits_since_ms).min();
        let longest = since.map_or(0, |since| now_ms.saturating_sub(since));
        if direct && longest < delay_ms && (most == 0 || alike.len() < most) {
            return;
        }
        self.begin_transfer(&alike, direct, wanted);
    }

    fn begin_transfer(&mut self, tokens: &[usize], direct: bool, wanted: Wants) {
        log::info!("Starting BGSAVE for SYNC with target: {}", if direct { "replicas sockets" } else { "disk" });
        // What was changed before is part of the snapshot, not of the stream behind it.
        self.flush_journal(true);
        self.keys.effects.journal.select_again();
        let (id, next) = (save::next_id(self), self.replication.offset + 1);
        let mark = new_id(&mut self.replication.rng);
        debug_assert_eq!(mark.len(), ID_LEN);
        for &token in tokens {
            let offset = self.replication.offset;
            let greeting = format!("+FULLRESYNC {} {offset}\r\n", self.replication.id);
            let client = &mut self.clients[token];
            let Some(replica) = &mut client.replica else { continue };
            replica.stage = Stage::Receives;
            replica.next = next;
            // Of this time, too, it is not silent.
            client.active_ms = self.clock.uptime_ms();
            if !replica.by_sync {
                client.output.tail().extend_from_slice(greeting.as_bytes());
            }
            if direct {
                client.output.tail().extend_from_slice(format!("$EOF:{mark}\r\n").as_bytes());
            }
            self.will_send(token);
        }
        self.replication.feeding.transfer = Some(Transfer { id, direct, next, given: 0, sent: 0 });
        if direct {
            let (outbox, checksum_wanted) = (self.outbox.clone(), self.settings.rdbchecksum);
            let sink = Straight { outbox, id, sum: checksum(), checksum: checksum_wanted, mark, on_the_way: 0 };
            save::begin_for_replicas(self, wanted, Box::new(sink));
            log::info!("Background RDB transfer started by pid {}", std::process::id());
        } else if let Err(error) = save::begin_file_for_replicas(self) {
            self.end_file_transfer(id, Err(error));
        }
    }

    /// A replica that comes while a snapshot is on its way to the disk shares it. Returns whether there is one.
    pub fn join_transfer(&mut self, token: usize) -> bool {
        let Some(Transfer { direct: false, next, .. }) = self.replication.feeding.transfer else { return false };
        if self.saving.purpose() != Some(Purpose::Replica) {
            return false;
        }
        let greeting = format!("+FULLRESYNC {} {}\r\n", self.replication.id, next - 1);
        let client = &mut self.clients[token];
        let Some(replica) = &mut client.replica else { return false };
        if replica.wants != Wants::Everything {
            return false;
        }
        (replica.stage, replica.next) = (Stage::Receives, next);
        if !replica.by_sync {
            client.output.tail().extend_from_slice(greeting.as_bytes());
        }
        log::info!("Waiting for end of BGSAVE for SYNC");
        true
    }

    /// The replicas that the running transfer is for.
    fn receivers(&self) -> Vec<usize> {
        self.replicas_that(|replica| replica.stage == Stage::Receives && replica.file.is_none())
    }

    /// The replicas that are being sent a file: that of this transfer or of an earlier one.
    fn readers(&self) -> Vec<usize> {
        self.replicas_that(|replica| replica.file.is_some())
    }

    fn replicas_that(&self, are: impl Fn(&Replica) -> bool) -> Vec<usize> {
        let chosen = |&token: &usize| self.clients[token].replica.as_deref().is_some_and(&are);
        self.replication.replicas.iter().copied().filter(chosen).collect()
    }

    /// Bytes of a snapshot have come that goes straight to replicas.
    fn pass_snapshot_on(&mut self, id: u64, bytes: Vec<u8>, last: bool) {
        let Some(transfer) = self.replication.feeding.transfer.as_mut().filter(|transfer| transfer.id == id) else {
            return;
        };
        transfer.given += bytes.len() as u64;
        let bytes = Rc::new(bytes);
        for token in self.receivers() {
            self.clients[token].output.push_shared(&bytes);
            self.will_send(token);
            if last && let Some(replica) = &mut self.clients[token].replica {
                replica.stage = if replica.snapshot_only { Stage::Served } else { Stage::TakesIn };
                replica.told_ms = self.clock.uptime_ms();
                log::info!(
                    "Streamed RDB transfer with replica {} succeeded (socket). Waiting for REPLCONF ACK from replica to enable \
                     streaming",
                    self.replica_name(token)
                );
            }
        }
        if last {
            self.replication.feeding.transfer = None;
            save::close(self, id);
            log::info!(
                "Diskless rdb transfer, done reading from pipe, {} replicas still up",
                self.replication.replicas.len()
            );
            log::info!("Background RDB transfer terminated with success");
        }
    }

    /// Lets the snapshot go on when its bytes have been sent.
    pub(super) fn go_on_with_transfer(&mut self) {
        self.begin_stream_behind_files();
        let left = self.receivers().into_iter().map(|token| self.clients[token].output.len()).max().unwrap_or(0);
        let Some(transfer) = self.replication.feeding.transfer.as_mut().filter(|transfer| transfer.direct) else {
            return;
        };
        let now = transfer.given.saturating_sub(left as u64).max(transfer.sent);
        let (id, news) = (transfer.id, now - transfer.sent);
        transfer.sent = now;
        if news > 0 {
            save::passed_on(self, id, news as usize);
        }
    }

    /// A snapshot file for replicas is in its place, or never will be.
    pub fn end_file_transfer(&mut self, id: u64, result: Result<u64, DiskError>) {
        if self.replication.feeding.transfer.take_if(|transfer| transfer.id == id).is_none() {
            return;
        }
        // Without a new file, an old one is not theirs, and stays.
        self.replication.feeding.made_file = result.is_ok();
        for token in self.receivers() {
            let file = match &result {
                Ok(_) => File::open(&self.settings.dbfilename).and_then(|file| Ok((file.metadata()?.len(), file))),
                Err(failed) => Err(failed.error.kind().into()),
            };
            match file {
                Ok((left, file)) => {
                    let client = &mut self.clients[token];
                    client.output.tail().extend_from_slice(format!("${left}\r\n").as_bytes());
                    if let Some(replica) = &mut client.replica {
                        replica.file = Some(FileOnItsWay { file, left, broken: false });
                    }
                    self.will_send(token);
                }
                Err(error) => {
                    log::warn!("SYNC failed. Can't open/stat DB after BGSAVE: {}", reason(&error));
                    self.close(token, Closing::Now);
                }
            }
        }
    }

    /// Removes the snapshot file that was made for replicas when they have it, if nobody else wants one.
    pub(super) fn remove_file_for_replicas(&mut self) {
        let settings = &self.settings;
        let unwanted = settings.rdb_del_sync_files && settings.save.is_empty() && !settings.appendonly;
        let in_use = !self.receivers().is_empty() || !self.readers().is_empty();
        if !self.replication.feeding.made_file || !unwanted || in_use {
            return;
        }
        self.replication.feeding.made_file = false;
        log::info!("Removing the RDB file used to feed replicas in a persistence-less instance");
        if let Err(error) = std::fs::remove_file(&self.settings.dbfilename) {
            log::warn!("It cannot be removed: {}", reason(&error));
        }
    }

    /// Replicas whose snapshot file is behind them get the stream. Those that cannot get all of theirs go: they would take what
    /// follows for a part of it.
    fn begin_stream_behind_files(&mut self) {
        for token in self.readers() {
            let Some(replica) = &mut self.clients[token].replica else { continue };
            if replica.file.as_ref().is_some_and(FileOnItsWay::is_broken) {
                self.close(token, Closing::Now);
            } else if replica.file.as_ref().is_some_and(FileOnItsWay::is_over) {
                replica.file = None;
                replica.stage = if replica.snapshot_only { Stage::Served } else { Stage::Online };
                replica.told_ms = self.clock.uptime_ms();
                log::info!("Synchronization with replica {} succeeded", self.replica_name(token));
                self.count_good_replicas();
            }
        }
    }

    /// Gives up a snapshot for replicas if none of them is there any more. With save points a file is of use all the same.
    pub(super) fn give_up_unwanted_transfer(&mut self) {
        let Some(transfer) = &self.replication.feeding.transfer else { return };
        let direct = transfer.is_direct();
        if !self.receivers().is_empty() || (!direct && !self.settings.save.is_empty()) {
            return;
        }
        if save::give_up(self, Purpose::Replica) {
            log::info!(
                "{}",
                if direct {
                    "Diskless rdb transfer, last replica dropped, killing fork child."
                } else {
                    "The snapshot for replicas is given up: the last of them is gone."
                }
            );
        }
        self.replication.feeding.transfer = None;
    }

    /// Gives up a snapshot for replicas whose data are gone. Who was to get it comes back for another.
    pub fn give_up_transfer(&mut self) {
        if self.replication.feeding.transfer.take().is_none() {
            return;
        }
        save::give_up(self, Purpose::Replica);
        for token in self.receivers() {
            self.close(token, Closing::Now);
        }
    }
}
