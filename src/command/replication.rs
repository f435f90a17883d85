//! Replication: what replicas ask for and tell, and what is asked about them; see [`crate::replication`].

use super::error::{Error, Outcome};
use super::state::Server;
use super::table::{Acl, Command, Doc, Flags};
use super::{Ctx, blocking, replicaof};
use crate::keyspace::entry::Type;
use crate::net::client::Class;
use crate::replication::failover::{self, Failover};
use crate::replication::feed::replica_address;
use crate::replication::replica::{Replica, Stage, Wants};
use crate::resp::Args;
use crate::resp::request::split_words;
use crate::types::number::parse_i64;

const fn doc(since: &'static str, complexity: &'static str, syntax: &'static str, summary: &'static str) -> Doc {
    Doc { summary, since, group: "server", complexity, syntax, ..Command::NONE.doc }
}

/// Commands that change what the server is.
const ROLE_CHANGE: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::STALE);
/// Commands that a replica sends when it comes.
const HANDSHAKE: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING).union(Flags::NO_MULTI);
const OF_ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:agg_min"];

const FOLLOW: Command = Command {
    arity: 3,
    flags: ROLE_CHANGE.union(Flags::NO_ASYNC_LOADING),
    handler: replicaof::replicaof,
    ..Command::NONE
};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "failover",
        arity: -1,
        flags: ROLE_CHANGE,
        doc: doc(
            "6.2.0",
            "O(1)",
            "[target: TO <host port [FORCE]>] [ABORT] [TIMEOUT milliseconds]",
            "Lets a replica become the master.",
        ),
        handler: failover,
        ..Command::NONE
    },
    Command {
        name: "psync",
        arity: -3,
        flags: HANDSHAKE,
        doc: doc("2.8.0", "", "replicationid offset", "Begins to feed a replica that may have a part of the data."),
        handler: psync,
        ..Command::NONE
    },
    Command {
        name: "replconf",
        arity: -1,
        flags: ROLE_CHANGE.union(Flags::LOADING).union(Flags::ALLOW_BUSY),
        doc: Doc { internal: true, ..doc("3.0.0", "O(1)", "", "Tells about a replica that is to be fed.") },
        handler: replconf,
        ..Command::NONE
    },
    Command {
        name: "replicaof",
        doc: doc("5.0.0", "O(1)", "<args: <host-port: host port> | <no-one: NO ONE>>", "Follows a master, or none."),
        ..FOLLOW
    },
    Command {
        name: "role",
        arity: 1,
        flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST),
        acl: Acl::ADMIN.union(Acl::DANGEROUS),
        doc: doc("2.8.12", "O(1)", "", "Tells the part that the server plays in replication."),
        handler: role,
        ..Command::NONE
    },
    Command {
        name: "slaveof",
        doc: Doc {
            deprecated_since: "5.0.0",
            replaced_by: "`REPLICAOF`",
            ..doc("1.0.0", "O(1)", "<args: <host-port: host port> | <no-one: NO ONE>>", "Follows a master, or none.")
        },
        ..FOLLOW
    },
    Command {
        name: "sync",
        arity: 1,
        flags: HANDSHAKE,
        doc: doc("1.0.0", "", "", "Begins to feed a replica."),
        handler: sync,
        ..Command::NONE
    },
    Command {
        name: "wait",
        arity: 3,
        flags: Flags::BLOCKING,
        acl: Acl::CONNECTION,
        tips: OF_ALL_SHARDS,
        doc: Doc {
            group: "generic",
            ..doc(
                "3.0.0",
                "O(1)",
                "numreplicas timeout",
                "Waits until so many replicas have the connection's writes, and counts them.",
            )
        },
        handler: wait,
        ..Command::NONE
    },
    Command {
        name: "waitaof",
        arity: 4,
        flags: Flags::BLOCKING,
        acl: Acl::CONNECTION,
        tips: OF_ALL_SHARDS,
        doc: Doc {
            group: "generic",
            ..doc(
                "7.2.0",
                "O(1)",
                "numlocal numreplicas timeout",
                "Waits until the connection's writes are on the disks of the server and of so many replicas.",
            )
        },
        handler: waitaof,
        ..Command::NONE
    },
];

/// Bytes that a replica's address has at most, and one more.
const ADDRESS_MAX: usize = 256;

const NO_APPEND_ONLY_FILE: Error =
    Error::fixed("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");

fn failover(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.len() == 2 && args[1].eq_ignore_ascii_case(b"abort") {
        if cx.server.replication.failover.is_none() {
            return Err(Error::fixed("ERR No failover in progress."));
        }
        cx.server.abort_failover("Failover manually aborted");
        cx.reply.ok();
        return Ok(());
    }
    let (mut timeout, mut target, mut force) = (None, None, false);
    let mut at = 1;
    while at < args.len() {
        let (word, more) = (&args[at], args.len() - at - 1);
        if word.eq_ignore_ascii_case(b"timeout") && more >= 1 && timeout.is_none() {
            let milliseconds = parse_i64(&args[at + 1]).ok_or(Error::NOT_AN_INTEGER)?;
            if milliseconds <= 0 {
                return Err(Error::fixed("ERR FAILOVER timeout must be greater than 0"));
            }
            timeout = Some(milliseconds);
            at += 2;
        } else if word.eq_ignore_ascii_case(b"to") && more >= 2 && target.is_none() {
            let port = parse_i64(&args[at + 2]).ok_or(Error::NOT_AN_INTEGER)?;
            // No replica has a port that is none.
            target = Some((String::from_utf8_lossy(&args[at + 1]).into_owned(), u16::try_from(port).unwrap_or(0)));
            at += 3;
        } else if word.eq_ignore_ascii_case(b"force") && !force {
            force = true;
            at += 1;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let server = &mut *cx.server;
    let refuse = |text| Err(Error::fixed(text));
    if server.replication.failover.is_some() {
        return refuse("ERR FAILOVER already in progress.");
    }
    if server.replication.is_replica() {
        return refuse("ERR FAILOVER is not valid when server is a replica.");
    }
    if server.replication.replicas.is_empty() {
        return refuse("ERR FAILOVER requires connected replicas.");
    }
    if force && (timeout.is_none() || target.is_none()) {
        return refuse("ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
    }
    if let Some((host, port)) = &target {
        match server.find_replica(host, *port) {
            None => return refuse("ERR FAILOVER target HOST and PORT is not a replica."),
            Some(replica) if !matches!(replica.stage, Stage::Online | Stage::TakesIn) => {
                return refuse("ERR FAILOVER target replica is not online.");
            }
            Some(_) => {}
        }
    }
    let deadline_ms = timeout.map(|timeout| server.clock.uptime_ms().saturating_add(timeout as u64));
    server.begin_failover(Failover { target, deadline_ms, force, asked: false });
    cx.reply.ok();
    Ok(())
}

/// What a client is known for as a replica.
fn known<'a>(cx: &'a mut Ctx<'_>) -> &'a mut Replica {
    let now_ms = cx.server.clock.uptime_ms();
    cx.server.clients[cx.token].replica.get_or_insert_with(|| Box::new(Replica::new(now_ms)))
}

fn sync(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    if is_fed(cx) {
        return Ok(());
    }
    may_be_fed(cx)?;
    log::info!("Replica {} asks for synchronization", cx.server.replica_name(cx.token));
    known(cx).by_sync = true;
    feed_from_snapshot(cx);
    Ok(())
}

fn psync(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if is_fed(cx) {
        return Ok(());
    }
    let id = String::from_utf8_lossy(&args[1]).into_owned();
    if args.get(3).is_some_and(|word| word.eq_ignore_ascii_case(b"failover")) {
        log::info!("Failover request received for replid {id}.");
        failover::take_over(cx, &id)?;
    }
    may_be_fed(cx)?;
    let name = cx.server.replica_name(cx.token);
    log::info!("Replica {name} asks for synchronization");
    let Some(offset) = parse_i64(&args[2]) else {
        log::warn!("Replica {name} asks for synchronization but with a wrong offset");
        return Err(Error::NOT_AN_INTEGER);
    };
    if go_on_from(cx, &id, offset) {
        cx.server.stats.sync_partial_ok += 1;
        return Ok(());
    }
    if !id.starts_with('?') {
        cx.server.stats.sync_partial_err += 1;
    }
    feed_from_snapshot(cx);
    Ok(())
}

/// Whether the client is fed already.
fn is_fed(cx: &Ctx<'_>) -> bool {
    let client = &cx.server.clients[cx.token];
    client.monitor || client.class() == Class::Replica
}

/// Checks whether the server is in a state to feed a replica.
fn may_be_fed(cx: &mut Ctx<'_>) -> Outcome {
    if cx.server.replication.failover.is_some() {
        return Err(Error::fixed("NOMASTERLINK Can't SYNC while failing over"));
    }
    if cx.server.replication.is_stale() {
        return Err(Error::fixed("NOMASTERLINK Can't SYNC while not connected with my master"));
    }
    if !cx.reply.out.is_empty() {
        return Err(Error::fixed("ERR SYNC and PSYNC are invalid with pending output"));
    }
    let has_names = cx.server.keys.directory().named() > 0;
    if has_names && !known(cx).knows_names && !known(cx).snapshot_only {
        return Err(Error::fixed("ERR There are namespaces with names, of which this replica does not know"));
    }
    if known(cx).wants != Wants::Everything && !known(cx).takes_eof {
        return Err(Error::fixed("ERR Filtered replica requires EOF capability"));
    }
    Ok(())
}

/// Lets a replica go on with a stream from an offset on, if that can be. Returns whether it can.
fn go_on_from(cx: &mut Ctx<'_>, id: &str, offset: i64) -> bool {
    let name = cx.server.replica_name(cx.token);
    let replication = &cx.server.replication;
    let wanted = u64::try_from(offset).unwrap_or(0);
    let is_ancestor = replication.ancestor.as_ref().is_some_and(|ancestor| ancestor.id.eq_ignore_ascii_case(id));
    let until = replication.ancestor.as_ref().map_or(0, |ancestor| ancestor.until);
    let is_known = replication.id.eq_ignore_ascii_case(id) || (is_ancestor && wanted <= until);
    if !is_known {
        if id.starts_with('?') {
            log::info!("Full resync requested by replica {name}");
        } else if is_ancestor {
            log::info!(
                "Partial resynchronization not accepted: Requested offset for second ID was {offset}, but I can reply up \
                 to {until}"
            );
        } else {
            log::info!(
                "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for '{id}', my \
                 replication IDs are '{}' and '{}')",
                replication.id,
                replication.ancestor_id()
            );
        }
        return false;
    }
    let kept = replication.backlog.as_ref().filter(|backlog| (backlog.first()..=backlog.end()).contains(&wanted));
    let Some(bytes) = kept.map(|backlog| backlog.end() - wanted) else {
        log::info!("Unable to partial resync with replica {name} for lack of backlog (Replica request was: {offset}).");
        if wanted > replication.offset {
            log::warn!(
                "Warning: replica {name} tried to PSYNC with an offset that is greater than the master replication offset."
            );
        }
        return false;
    };
    let id = replication.id.clone();
    let now_ms = cx.server.clock.uptime_ms();
    let replica = known(cx);
    (replica.stage, replica.next, replica.told_ms) = (Stage::Online, wanted, now_ms);
    let greeting = if replica.takes_new_id { format!("CONTINUE {id}") } else { "CONTINUE".to_string() };
    cx.reply.status(&greeting);
    cx.server.add_replica(cx.token);
    cx.server.count_good_replicas();
    log::info!(
        "Partial resynchronization request from {name} accepted. Sending {bytes} bytes of backlog starting from offset \
         {offset}."
    );
    true
}

/// Lets a replica wait for a snapshot, behind which it gets the stream.
fn feed_from_snapshot(cx: &mut Ctx<'_>) {
    cx.server.stats.sync_full += 1;
    let now_ms = cx.server.clock.uptime_ms();
    let replica = known(cx);
    (replica.stage, replica.waits_since_ms) = (Stage::WaitsForSnapshot, now_ms);
    let server = &mut *cx.server;
    server.add_replica(cx.token);
    if server.settings.repl_disable_tcp_nodelay {
        server.clients[cx.token].stream.delay();
    }
    if server.replication.replicas.len() == 1 {
        server.require_backlog();
    }
    if server.saving.purpose().is_some() && !server.join_transfer(cx.token) {
        log::info!("Current BGSAVE has socket target or is no good. Waiting for next BGSAVE for SYNC");
    }
}

fn replconf(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.len().is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    for at in (1..args.len()).step_by(2) {
        let (name, value) = (&args[at], &args[at + 1]);
        let is = |option: &str| name.eq_ignore_ascii_case(option.as_bytes());
        if is("listening-port") {
            let port = parse_i64(value).ok_or(Error::NOT_AN_INTEGER)?;
            known(cx).port = u16::try_from(port).map_err(|_| Error::fixed("ERR Invalid listening port"))?;
        } else if is("ip-address") {
            if value.len() >= ADDRESS_MAX {
                return Err(Error::new(format!(
                    "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes",
                    value.len()
                )));
            }
            known(cx).address = String::from_utf8_lossy(value).into_owned();
        } else if is("capa") {
            let replica = known(cx);
            replica.takes_eof |= value.eq_ignore_ascii_case(b"eof");
            replica.takes_new_id |= value.eq_ignore_ascii_case(b"psync2");
            replica.knows_names |= value.eq_ignore_ascii_case(b"namespaces");
        } else if is("ack") {
            let durable = args.get(at + 2).filter(|word| word.eq_ignore_ascii_case(b"fack")).and(args.get(at + 3));
            note_ack(cx, value, durable);
            // Nobody answers this.
            return Ok(());
        } else if is("getack") {
            cx.server.acknowledge_stream(cx.token);
            return Ok(());
        } else if is("rdb-only") {
            known(cx).snapshot_only = match parse_i64(value).ok_or(Error::NOT_AN_INTEGER)? {
                0 => false,
                1 => true,
                _ => return Err(Error::fixed("ERR value is out of range, value must between 0 and 1")),
            };
        } else if is("rdb-filter-only") {
            filter(cx, value)?;
        } else if !is("version") {
            return Err(Error::new([b"ERR Unrecognized REPLCONF option: ", name].concat()));
        }
    }
    cx.reply.ok();
    Ok(())
}

/// Takes in what a replica wants of a snapshot.
fn filter(cx: &mut Ctx<'_>, value: &[u8]) -> Outcome {
    let words = split_words(value).ok_or(Error::fixed("ERR Missing rdb-filter-only values"))?;
    if let Some(unknown) = words.iter().find(|word| !word.eq_ignore_ascii_case(b"functions")) {
        return Err(Error::new([b"ERR Unsupported rdb-filter-only option: ", &unknown[..]].concat()));
    }
    known(cx).wants = if words.is_empty() { Wants::Nothing } else { Wants::Functions };
    Ok(())
}

/// A replica tells what it has carried out, and what of that is durable.
fn note_ack(cx: &mut Ctx<'_>, offset: &[u8], durable: Option<&[u8]>) {
    let now_ms = cx.server.clock.uptime_ms();
    let Some(replica) = cx.server.clients[cx.token].replica.as_mut().filter(|one| one.stage != Stage::Introduced)
    else {
        return;
    };
    let number = |text| parse_i64(text).and_then(|number| u64::try_from(number).ok());
    let Some(offset) = number(offset) else { return };
    replica.acknowledged = replica.acknowledged.max(offset);
    replica.durable = replica.durable.max(durable.and_then(number).unwrap_or(0));
    replica.told_ms = now_ms;
    if replica.stage == Stage::TakesIn {
        // It has taken the snapshot in.
        replica.stage = Stage::Online;
        log::info!("Synchronization with replica {} succeeded", cx.server.replica_name(cx.token));
    }
    cx.server.count_good_replicas();
}

fn role(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    if cx.server.replication.is_replica() {
        replicaof::tell_role(cx);
        return Ok(());
    }
    let replicas: Vec<_> = cx
        .server
        .replicas()
        .filter(|(_, replica)| matches!(replica.stage, Stage::Online | Stage::TakesIn))
        .map(|(client, replica)| {
            let (ip, port) = replica_address(client);
            (ip.to_string(), port, replica.acknowledged)
        })
        .collect();
    cx.reply.array(3);
    cx.reply.bulk(b"master");
    cx.reply.integer(cx.server.replication.offset as i64);
    cx.reply.array(replicas.len());
    for (ip, port, offset) in replicas {
        cx.reply.array(3);
        cx.reply.bulk(ip.as_bytes());
        cx.reply.bulk(port.to_string().as_bytes());
        cx.reply.bulk(offset.to_string().as_bytes());
    }
    Ok(())
}

/// A client that waits for its writes to be elsewhere, too.
pub struct CopyWait {
    /// The client's number.
    id: u64,
    /// The append-only file counts: WAITAOF.
    durable: bool,
    /// Whether this server's counts, and on how many replicas the writes are to be.
    local: bool,
    replicas: usize,
    /// Where the writes end in the stream.
    offset: u64,
}

/// How far copies of the data are: as long as that stays as it is, nobody's wait for them is over.
#[derive(Default, PartialEq, Eq)]
pub struct Copies {
    /// What each replica has, and what of that is on its disk.
    replicas: Vec<(u64, u64)>,
    /// What is on the disk here, if there is an append-only file.
    here: Option<u64>,
    appendonly: bool,
}

fn wait(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if cx.server.replication.is_replica() {
        return Err(Error::fixed(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
             configured to be writable (which is not the default) writes to replicas are just local and are not \
             propagated.",
        ));
    }
    let replicas = parse_i64(&args[1]).ok_or(Error::NOT_AN_INTEGER)?;
    let deadline = cx.deadline_in_ms(&args[2])?;
    let offset = cx.server.stream_offset_of(&cx.server.clients[cx.token]);
    if cx.server.copies(offset, false) as i64 >= replicas {
        answer_for(cx, offset);
        return Ok(());
    }
    wait_for_copies(cx, args, deadline, (false, false, replicas as usize))
}

fn waitaof(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let local = parse_i64(&args[1]).ok_or(Error::NOT_AN_INTEGER)?;
    if !(0..=1).contains(&local) {
        return Err(Error::fixed("ERR value is out of range, value must between 0 and 1"));
    }
    let replicas = parse_i64(&args[2]).filter(|&replicas| replicas >= 0).ok_or(Error::NOT_POSITIVE)?;
    let deadline = cx.deadline_in_ms(&args[3])?;
    if cx.server.replication.is_replica() {
        return Err(Error::fixed(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local \
             and are not propagated.",
        ));
    }
    if local == 1 && !cx.server.settings.appendonly {
        return Err(NO_APPEND_ONLY_FILE);
    }
    let here = local == 0 || cx.server.is_durable(cx.token);
    let offset = cx.server.stream_offset_of(&cx.server.clients[cx.token]);
    if here && cx.server.copies(offset, true) as i64 >= replicas {
        answer_for(cx, offset);
        return Ok(());
    }
    wait_for_copies(cx, args, deadline, (true, local == 1, replicas as usize))
}

/// Sets the client aside until its writes are where they are to be: whether on disks, whether here, and on how many replicas.
fn wait_for_copies(
    cx: &mut Ctx<'_>,
    args: &Args<'_>,
    deadline: Option<u64>,
    (durable, local, replicas): (bool, bool, usize),
) -> Outcome {
    if !cx.in_exec {
        let client = &cx.server.clients[cx.token];
        let (id, offset) = (client.id, cx.server.stream_offset_of(client));
        cx.server.copy_waits.insert(cx.token, CopyWait { id, durable, local, replicas, offset });
        cx.server.replication.feeding.ask = true;
    }
    // Neither waits for a key.
    cx.wait(args, 0..0, Type::String, deadline, answer_wait)
}

/// Answers a wait that is over: WAIT with how many replicas have the writes, WAITAOF with on how many disks they are.
pub fn answer_wait(cx: &mut Ctx<'_>) {
    let wait = cx.server.copy_waits.remove(&cx.token);
    let client = &cx.server.clients[cx.token];
    let wait = wait.filter(|wait| wait.id == client.id);
    let offset = wait.map_or_else(|| cx.server.stream_offset_of(client), |wait| wait.offset);
    answer_for(cx, offset);
}

/// As [`answer_wait`], for writes that end at an offset.
fn answer_for(cx: &mut Ctx<'_>, offset: u64) {
    let durable = cx.command.full_name == "waitaof";
    let copies = cx.server.copies(offset, durable) as i64;
    if durable {
        cx.reply.array(2);
        cx.reply.integer(i64::from(cx.server.is_durable(cx.token)));
    }
    cx.reply.integer(copies);
}

impl Server {
    /// Whether a client's writes are on the disk.
    fn is_durable(&self, token: usize) -> bool {
        self.aof.durable().is_some_and(|durable| durable >= self.clients[token].written)
    }

    /// How many replicas have the stream up to an offset, on their disks perhaps.
    fn copies(&self, offset: u64, durable: bool) -> usize {
        let has = |replica: &&Replica| if durable { replica.durable } else { replica.acknowledged } >= offset;
        self.online_replicas().filter(has).count()
    }

    fn online_replicas(&self) -> impl Iterator<Item = &Replica> {
        self.replicas().map(|(_, replica)| replica).filter(|replica| replica.stage == Stage::Online)
    }

    /// Answers those who wait in WAIT and WAITAOF and whose writes are where they are to be, or never will.
    pub fn answer_copy_waits(&mut self) {
        if self.copy_waits.is_empty() {
            return;
        }
        let copies = Copies {
            replicas: self.online_replicas().map(|replica| (replica.acknowledged, replica.durable)).collect(),
            here: self.aof.durable(),
            appendonly: self.settings.appendonly,
        };
        if copies == self.copies {
            return;
        }
        self.copies = copies;
        let mut waits = std::mem::take(&mut self.copy_waits);
        waits.retain(|&token, wait| self.still_waits(token, wait));
        self.copy_waits = waits;
    }

    /// Answers a client if its wait is over. Returns whether it is not.
    fn still_waits(&mut self, token: usize, wait: &CopyWait) -> bool {
        let CopyWait { id, durable, local, replicas, offset } = *wait;
        if !self.clients.get(token).is_some_and(|client| client.id == id && client.blocked) {
            return false;
        }
        if local && !self.settings.appendonly {
            blocking::unblock_with(self, token, true, |cx| cx.error(&NO_APPEND_ONLY_FILE));
        } else if (!local || self.is_durable(token)) && self.copies(offset, durable) >= replicas {
            blocking::unblock_with(self, token, false, |cx| answer_for(cx, offset));
        } else {
            return true;
        }
        false
    }
}
