//! Replication: one server's changes carried out again by others.
//!
//! A *master* writes what changes into a stream, the journal's text (see [`crate::effects::journal`]) with a PING now and then,
//! and *feeds* it to its replicas. The end of the stream is kept in a [`backlog::Backlog`], whoever reads it. A place in the stream
//! is an *offset*, and the stream has a name, the replication id: who knows both and is not too far behind goes on where
//! he left off (a partial synchronization); everybody else gets a snapshot first (a full one).
//!
//! A *replica* is connected to its master by a [`link`]. It carries out what comes and keeps the same bytes in a backlog of its own,
//! for replicas of its own: the whole tree has one stream, one id and the same offsets. So there is one state for both roles:
//! `id` and `offset` say how much of which stream the data amount to. A replica that becomes a master begins a stream with
//! a new id, and remembers the old one and where it left it, so that its former siblings can follow it without a snapshot.
//!
//! Both ends of a connection are clients among the others: the replica's connection is the client with a [`replica::Replica`],
//! the link to the master the client with a [`link::Link`]. Of the stream, a replica's client has only a small part in its output:
//! the rest is in the backlog, once for all.

pub mod backlog;
pub mod failover;
pub mod farewell;
pub mod feed;
pub mod link;
pub mod replica;
pub mod snapshot;

use crate::effects::journal::encode;
use crate::keyspace::directory::Directory;

use backlog::Backlog;
use link::Following;

/// Hexadecimal digits of a replication id.
pub const ID_LEN: usize = 40;
/// No offset that somebody tells is greater: there is room for a stream behind it.
pub const MOST_OFFSET: u64 = i64::MAX as u64 / 2;
/// The id of no stream.
const NO_ID: &str = "0000000000000000000000000000000000000000";

/// A stream that this server's data came from, before it began its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ancestor {
    pub id: String,
    /// Up to this offset, which is the first that is not part of it, both streams are one.
    pub until: u64,
}

/// What a snapshot tells of the stream that its data amount to.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct History {
    pub id: Option<String>,
    pub offset: Option<u64>,
    /// The number of the database that the stream works on there.
    pub db: u64,
}

/// The part that the server plays in replication.
pub struct Replication {
    /// The name of the stream that the data amount to.
    pub id: String,
    /// The stream that this one continues.
    pub ancestor: Option<Ancestor>,
    /// How many bytes of the stream the data amount to.
    pub offset: u64,
    /// The database on which the stream goes on there, while this server follows a master or did last.
    pub stream_db: usize,
    /// The end of the stream, from the first replica on.
    pub backlog: Option<Backlog>,
    /// The tokens of replicas' connections.
    pub replicas: Vec<usize>,
    /// The master that this server follows; `None` of a master.
    pub following: Option<Box<Following>>,
    /// What is known about feeding replicas.
    pub feeding: feed::Feeding,
    /// A FAILOVER that is under way.
    pub failover: Option<failover::Failover>,
    /// How often it was tried to reach a master.
    attempts: u64,
    /// Makes new ids.
    rng: fastrand::Rng,
}

impl Replication {
    /// A master that nobody follows. `rng` makes the names of its streams.
    pub fn new(mut rng: fastrand::Rng) -> Replication {
        Replication {
            id: new_id(&mut rng),
            ancestor: None,
            offset: 0,
            stream_db: 0,
            backlog: None,
            replicas: Vec::new(),
            following: None,
            feeding: feed::Feeding::default(),
            failover: None,
            attempts: 0,
            rng,
        }
    }

    /// Adds bytes to the stream.
    fn append(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        if let Some(backlog) = &mut self.backlog {
            backlog.append(bytes);
        }
    }

    /// The name of the stream that this one continues; zeros if it continues none.
    pub fn ancestor_id(&self) -> &str {
        self.ancestor.as_ref().map_or(NO_ID, |ancestor| &ancestor.id)
    }

    /// What a snapshot of this moment is to tell of the stream.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        if self.backlog.is_none() {
            return Vec::new();
        }
        vec![
            ("repl-stream-db", self.stream_db.to_string()),
            ("repl-id", self.id.clone()),
            ("repl-offset", self.offset.to_string()),
        ]
    }

    /// Tells replicas that a key is gone, outside of the journal: each time with its database. Where there is no stream there is
    /// nobody to tell.
    pub fn append_removal(&mut self, directory: &Directory, db: usize, key: &[u8]) {
        if self.backlog.is_none() {
            return;
        }
        let (mut text, mut number) = (Vec::new(), itoa::Buffer::new());
        match directory.own_name(db) {
            Some(name) => encode(&mut text, [b"NAMESPACE", name.as_bytes()].into_iter()),
            None => encode(&mut text, [b"SELECT", number.format(db).as_bytes()].into_iter()),
        }
        encode(&mut text, [b"DEL", key].into_iter());
        self.append(&text);
    }

    /// Whether this server follows a master.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.following.is_some()
    }

    /// Whether what is read here may be old: the server is a replica and has no connection to its master.
    pub fn is_stale(&self) -> bool {
        self.following.as_ref().is_some_and(|following| !following.is_online())
    }

    /// Begins a stream of another name. What replicas have of the old one counts for nothing.
    pub fn begin_stream(&mut self) {
        self.id = new_id(&mut self.rng);
        self.ancestor = None;
    }

    /// Goes on with the stream under another name; it is known by the old one as well, up to here.
    pub fn branch_stream(&mut self) {
        let id = std::mem::replace(&mut self.id, new_id(&mut self.rng));
        self.ancestor = Some(Ancestor { id, until: self.offset + 1 });
    }
}

/// Forty random hexadecimal digits.
pub fn new_id(rng: &mut fastrand::Rng) -> String {
    (0..ID_LEN).map(|_| char::from(b"0123456789abcdef"[rng.usize(0..16)])).collect()
}
