//! The stream, and its way to the replicas.

use crate::command::client::describe;
use crate::command::error::Error;
use crate::command::state::Server;
use crate::effects::journal::{Sink, encode};
use crate::net::client::{Class, REPLY_BUFFER_MAX, ReplyMode};
use crate::net::{Client, Closing};
use crate::resp::Output;

use super::backlog::{BLOCK, Backlog};
use super::replica::{Replica, Stage};
use super::snapshot::Transfer;
use super::{Ancestor, History};

/// Bytes of the stream, or of a file, that a replica's output gets at a time.
const PORTION: usize = 256 * 1024;

/// What a master knows about feeding its replicas.
#[derive(Default)]
pub struct Feeding {
    /// The stream is made of the journal: there is a backlog, and this is a master.
    from_journal: bool,
    /// What was last added to the stream besides the journal: where in the journal, and how many bytes.
    aside: (u64, u64),
    /// Somebody wants to know soon what replicas have carried out.
    pub ask: bool,
    /// The snapshot that is on its way to replicas.
    pub transfer: Option<Transfer>,
    /// The snapshot file was made for replicas.
    pub made_file: bool,
    /// Replicas that count for min-replicas-to-write.
    pub good: usize,
    /// The uptime at which the last replica went, in milliseconds.
    pub alone_since_ms: Option<u64>,
    /// When the replicas were pinged, and when they are looked after again, in milliseconds of uptime.
    pinged_ms: u64,
    next_look_ms: u64,
}

/// Bytes of memory that replication takes.
#[derive(Default)]
pub struct ReplicaMemory {
    /// The end of the stream, as long as the settings want it.
    pub backlog: usize,
    /// What is kept longer because replicas are slow, and what waits to be sent to them.
    pub clients: usize,
    /// What of both does not count toward maxmemory.
    pub uncounted: usize,
}

impl Server {
    /// Makes the stream of what changes here from now on, if there is somebody to read it.
    pub fn begin_source(&mut self) {
        let replication = &mut self.replication;
        if replication.backlog.is_some() && !replication.is_replica() && !replication.feeding.from_journal {
            replication.feeding.from_journal = true;
            if replication.replicas.is_empty() {
                replication.feeding.alone_since_ms = Some(self.clock.uptime_ms());
            }
            self.keys.effects.journal.add_sink(Sink::Replicas);
        }
    }

    /// The stream is not made here any more: it comes from elsewhere, or nobody reads it.
    pub fn stop_source(&mut self) {
        self.flush_journal(true);
        if std::mem::take(&mut self.replication.feeding.from_journal) {
            self.keys.effects.journal.remove_sink(Sink::Replicas);
        }
    }

    /// Makes a backlog, if there is none. Whatever was known of the data's history does not reach back behind it.
    pub fn require_backlog(&mut self) {
        if self.replication.backlog.is_none() {
            // What was not written down for replicas cannot be told to them.
            self.replication.begin_stream();
            self.replication.backlog = Some(Backlog::new(self.replication.offset));
            log::info!(
                "Replication backlog created, my new replication IDs are '{}' and '{}'",
                self.replication.id,
                self.replication.ancestor_id()
            );
        }
        self.begin_source();
    }

    /// The data are those of a snapshot of an earlier run: a replica can go on with the stream that it tells of, and a master's
    /// replicas with the master's.
    pub fn go_back_to(&mut self, history: History, stream_db: usize) {
        let (Some(id), Some(offset)) = (history.id, history.offset) else { return };
        let replication = &mut self.replication;
        replication.offset = offset;
        replication.backlog = Some(Backlog::new(offset));
        if let Some(following) = &mut replication.following {
            following.has_found_history();
            replication.id = id;
            replication.stream_db = stream_db;
        } else {
            replication.ancestor = Some(Ancestor { id, until: offset + 1 });
            self.begin_source();
        }
    }

    /// Adds what was journalled to the stream, which replicas read.
    #[inline]
    pub(crate) fn feed_journal(&mut self) {
        if self.replication.feeding.from_journal {
            let Server { replication, keys, .. } = self;
            replication.append(&keys.effects.journal.pending(Sink::Replicas));
        }
    }

    /// Adds bytes to the stream.
    pub fn append_stream(&mut self, bytes: &[u8]) {
        self.replication.append(bytes);
    }

    /// Adds a command to the stream that changes nothing, and so is not journalled. All that is journalled must have been read.
    fn append_aside(&mut self, words: &[&[u8]]) {
        let mut text = Vec::new();
        encode(&mut text, words.iter().copied());
        self.append_stream(&text);
        self.replication.feeding.aside = (self.keys.effects.journal.read_offset(), text.len() as u64);
    }

    /// The offset that a replica must have reached to have a client's writes.
    pub fn stream_offset_of(&self, client: &Client) -> u64 {
        if client.written == 0 || !self.replication.feeding.from_journal {
            return 0;
        }
        let (at, len) = self.replication.feeding.aside;
        let journal = &self.keys.effects.journal;
        let behind = journal.offset().saturating_sub(client.written);
        let pending = journal.pending(Sink::Replicas).len() as u64;
        if client.written < journal.file_only_until() {
            // It is not known how much of that is not in the stream: to be asked for more than is needed does no harm.
            return self.replication.offset + pending;
        }
        // Bytes of the journal and of the stream differ by what was added aside, which can lie behind the client's writes.
        let aside = if client.written <= at { len } else { 0 };
        (self.replication.offset + pending).saturating_sub(behind + aside)
    }

    /// Gives replicas their next bytes, as far as they have taken what they were given.
    pub fn feed_replicas(&mut self) {
        if self.replication.replicas.is_empty() {
            let kept = self.settings.repl_backlog_size;
            if let Some(backlog) = &mut self.replication.backlog {
                backlog.trim(u64::MAX, kept);
            }
            return;
        }
        if self.keys.directory().named() > 0 {
            self.disconnect_strangers();
        }
        // While writing is paused for a failover or the end, replicas are to reach the end of the stream.
        let at_rest = self.replication.failover.is_some() || self.is_waiting_to_end();
        if self.replication.feeding.ask && !at_rest && !self.keys.effects.journal.is_within_unit() {
            self.ask_replicas();
        }
        let Server { replication, clients, unsent, .. } = self;
        let Some(backlog) = &mut replication.backlog else { return };
        let mut needed = backlog.end();
        let mut laggards = Vec::new();
        for &token in &replication.replicas {
            let client = &mut clients[token];
            let Client { replica: Some(replica), output, .. } = &mut **client else { continue };
            if replica.stage == Stage::Online {
                while output.len() < PORTION {
                    let bytes = backlog.from(replica.next);
                    if bytes.is_empty() {
                        break;
                    }
                    output.tail().extend_from_slice(bytes);
                    replica.next += bytes.len() as u64;
                }
            } else if let Some(file) = &mut replica.file {
                file.read_on(output, PORTION);
            }
            if replica.reads_stream() {
                needed = needed.min(replica.next);
                if backlog.end() - replica.next > PORTION as u64 {
                    laggards.push(token);
                }
            }
            if !output.is_empty() && !client.unsent {
                client.unsent = true;
                unsent.push(token);
            }
        }
        backlog.trim(needed, self.settings.repl_backlog_size);
        for token in laggards {
            self.check_output(token);
        }
        self.go_on_with_transfer();
    }

    /// Has replicas tell at once what they have carried out.
    pub(super) fn ask_replicas(&mut self) {
        self.replication.feeding.ask = false;
        if self.replication.feeding.from_journal {
            self.append_aside(&[b"REPLCONF", b"GETACK", b"*"]);
        }
    }

    /// Ends the connections of replicas that know no databases with names: what is written there they would take for the database
    /// that they know last.
    #[cold]
    fn disconnect_strangers(&mut self) {
        for token in self.replication.replicas.clone() {
            let replica = self.clients[token].replica.as_ref();
            if replica.is_some_and(|replica| !replica.knows_names && replica.reads_stream()) {
                log::warn!("Replica {} knows no namespaces with names: its connection ends.", self.replica_name(token));
                self.close(token, Closing::Now);
            }
        }
    }

    /// Whether some replica could take more at once.
    pub fn replicas_want_more(&self) -> bool {
        let end = self.replication.backlog.as_ref().map_or(0, Backlog::end);
        self.replication.replicas.iter().any(|&token| {
            let client = &self.clients[token];
            !client.blocked_on_write
                && client.replica.as_ref().is_some_and(|replica| match replica.stage {
                    Stage::Online => replica.next < end,
                    _ => replica.file.is_some(),
                })
        })
    }

    /// Bytes of the stream that wait for a client, if it is a replica's.
    pub fn stream_lag(&self, client: &Client) -> u64 {
        let replica = client.replica.as_ref().filter(|replica| replica.reads_stream());
        let end = self.replication.backlog.as_ref().map_or(0, Backlog::end);
        replica.map_or(0, |replica| end.saturating_sub(replica.next))
    }

    /// What the stream and those who read it take.
    pub fn replica_memory(&self) -> ReplicaMemory {
        let Some(backlog) = &self.replication.backlog else { return ReplicaMemory::default() };
        let (all, size) = (backlog.memory_bytes(), self.settings.repl_backlog_size as usize);
        // Blocks are kept whole.
        let beyond_size = all.saturating_sub(size.saturating_add(BLOCK));
        // A buffer as any client has it is none of the replica's own.
        let beyond = |client: &Client| client.output.memory_bytes().saturating_sub(REPLY_BUFFER_MAX);
        let outputs: usize = self.replicas().map(|(client, _)| beyond(client)).sum();
        // No key goes because a block is full.
        let uncounted = all.saturating_sub(size) + outputs;
        // What there is too much without replicas is about to go.
        let of_replicas = if self.replication.replicas.is_empty() { 0 } else { beyond_size };
        ReplicaMemory { backlog: all - of_replicas, clients: of_replicas + outputs, uncounted }
    }

    /// Takes a client in as a replica.
    pub fn add_replica(&mut self, token: usize) {
        if self.replication.replicas.is_empty() {
            self.replication.feeding.pinged_ms = self.clock.uptime_ms();
        }
        if !self.replication.replicas.contains(&token) {
            self.replication.replicas.push(token);
        }
        self.replication.feeding.alone_since_ms = None;
        self.subscriptions.forget(token);
        self.clients[token].reply_mode = ReplyMode::Never;
    }

    /// A replica has sent a command that has a reply, for which there is no place in the stream: its connection ends.
    #[cold]
    pub fn end_answered_replica(&mut self, token: usize) {
        let command = self.clients[token].last_command.unwrap_or("<unknown>");
        let client = describe(self, token);
        log::warn!("Replica generated a reply to command '{command}', disconnecting it: {client}");
        self.close(token, Closing::Now);
    }

    /// A replica has sent a command that failed.
    #[cold]
    pub fn tell_error_to_replica(&mut self, error: &Error, command: &str) {
        log::warn!(
            "== CRITICAL == This master is sending an error to its replica: '{}' after processing the command '{command}'",
            error.message()
        );
        self.stats.unexpected_error_replies += 1;
    }

    /// A client goes; if it was a replica's, so does the replica.
    pub fn forget_replica(&mut self, token: usize) {
        let Some(at) = self.replication.replicas.iter().position(|&replica| replica == token) else { return };
        self.replication.replicas.remove(at);
        log::info!("Connection with replica {} lost.", self.replica_name(token));
        // At once: keys are not to go for what nobody needs any more.
        self.clients[token].output = Output::default();
        if self.replication.replicas.is_empty() {
            self.replication.feeding.alone_since_ms = Some(self.clock.uptime_ms());
        }
        self.give_up_unwanted_transfer();
        self.count_good_replicas();
    }

    /// Ends the connections of all replicas: what they have is not to be relied on, or they should come back and see.
    pub fn disconnect_replicas(&mut self) {
        for token in self.replication.replicas.clone() {
            self.close(token, Closing::Now);
        }
    }

    /// A replica, as the log has it.
    pub fn replica_name(&self, token: usize) -> String {
        replica_name(&self.clients[token])
    }

    /// Whether the connection is the link to the master, whose commands are not asked whether they may run.
    #[inline]
    pub fn is_master(&self, token: usize) -> bool {
        self.clients[token].link.is_some()
    }

    /// Counts the replicas that keep up, on which it depends whether writes are refused.
    pub fn count_good_replicas(&mut self) {
        let (now_ms, most) = (self.clock.uptime_ms(), u64::from(self.settings.min_replicas_max_lag));
        let good = |replica: &Replica| replica.stage == Stage::Online && replica.lag_seconds(now_ms) <= most;
        let count = self.replicas().filter(|(_, replica)| good(replica)).count();
        if self.replication.feeding.good != count {
            self.replication.feeding.good = count;
            self.look_for_troubles();
        }
    }

    /// The replicas, with their clients.
    pub fn replicas(&self) -> impl Iterator<Item = (&Client, &Replica)> {
        let client = |&token: &usize| self.clients.get(token).map(|client| &**client);
        let clients = self.replication.replicas.iter().filter_map(client);
        clients.filter_map(|client| Some((client, client.replica.as_deref()?)))
    }

    /// Periodic work of who has replicas, or had.
    pub fn look_after_replicas(&mut self) {
        let now_ms = self.clock.uptime_ms();
        if self.replication.backlog.is_none() || now_ms < self.replication.feeding.next_look_ms {
            return;
        }
        self.replication.feeding.next_look_ms = now_ms + 1000;
        self.remove_file_for_replicas();
        if self.replication.replicas.is_empty() {
            return self.drop_unused_backlog(now_ms);
        }
        let paused = self.replication.failover.is_some();
        let period_ms = 1000 * u64::from(self.settings.repl_ping_replica_period);
        if now_ms - self.replication.feeding.pinged_ms >= period_ms && !paused {
            self.replication.feeding.pinged_ms = now_ms;
            if self.replication.feeding.from_journal {
                self.append_aside(&[b"PING"]);
            }
        }
        let timeout_ms = 1000 * u64::from(self.settings.repl_timeout);
        let by_file = self.replication.feeding.transfer.as_ref().is_some_and(|transfer| !transfer.is_direct());
        for token in self.replication.replicas.clone() {
            let client = &mut self.clients[token];
            let Some(replica) = &mut client.replica else { continue };
            if replica.progress.0 != client.sent || client.output.is_empty() {
                replica.progress = (client.sent, now_ms);
            }
            match replica.stage {
                // It is alive, and so is this server: there is just nothing to tell yet.
                Stage::WaitsForSnapshot => client.output.tail().push(b'\n'),
                Stage::Receives if by_file && replica.file.is_none() => client.output.tail().push(b'\n'),
                // Who has taken all that there is waits for the slowest, and is not it.
                Stage::Receives if now_ms.saturating_sub(replica.progress.1) > timeout_ms => {
                    log::warn!("Disconnecting timedout replica (full sync): {}", self.replica_name(token));
                    self.close(token, Closing::Now);
                    continue;
                }
                // While it takes a snapshot in it shows now and then that it is alive.
                Stage::TakesIn if now_ms.saturating_sub(replica.told_ms.max(client.active_ms)) <= timeout_ms => {}
                Stage::TakesIn | Stage::Online
                    if !replica.by_sync && now_ms.saturating_sub(replica.told_ms) > timeout_ms =>
                {
                    log::warn!("Disconnecting timedout replica (streaming sync): {}", self.replica_name(token));
                    self.close(token, Closing::Now);
                    continue;
                }
                _ => {}
            }
            if !self.clients[token].output.is_empty() {
                self.will_send(token);
            }
        }
        self.count_good_replicas();
    }

    /// Nobody has read the stream for long: it ends. Who comes back gets a snapshot.
    fn drop_unused_backlog(&mut self, now_ms: u64) {
        let ttl = self.settings.repl_backlog_ttl;
        let alone_ms = self.replication.feeding.alone_since_ms.map_or(0, |since| now_ms.saturating_sub(since));
        if ttl == 0 || !self.replication.feeding.from_journal || alone_ms <= ttl.saturating_mul(1000) {
            return;
        }
        self.stop_source();
        self.replication.begin_stream();
        self.replication.backlog = None;
        log::info!("Replication backlog freed after {ttl} seconds without connected replicas.");
    }
}

/// A replica, as the log has it: where it listens, if it says so.
pub fn replica_name(client: &Client) -> String {
    let (ip, port) = replica_address(client);
    match port {
        _ if ip.is_empty() => format!("client id #{}", client.id),
        0 => format!("{ip}:<unknown-replica-port>"),
        _ => format!("{ip}:{port}"),
    }
}

/// Where a replica listens, as it says itself, or the address from which it came.
pub fn replica_address(client: &Client) -> (&str, u16) {
    debug_assert!(client.class() == Class::Replica || client.replica.is_some());
    let own = client.replica.as_deref();
    let said = own.map_or("", |replica| &replica.address);
    let seen = client.addr.rsplit_once(':').map_or("", |(ip, _)| ip);
    (if said.is_empty() { seen } else { said }, own.map_or(0, |replica| replica.port))
}
