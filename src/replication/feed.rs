//! The stream, and its way to the replicas.

use crate::command::state::Server;
use crate::net::Closing;

/// What is known about feeding replicas.
#[derive(Default)]
pub struct Feeding {
    /// The stream is made of the journal: there is a backlog, and this is a master.
    from_journal: bool,
}

impl Server {
    /// Adds bytes to the stream.
    pub fn append_stream(&mut self, bytes: &[u8]) {
        let replication = &mut self.replication;
        replication.offset += bytes.len() as u64;
        if let Some(backlog) = &mut replication.backlog {
            backlog.append(bytes);
        }
    }

    /// Ends the connections of all replicas: what they have is not to be relied on, or they should come back and see.
    pub fn disconnect_replicas(&mut self) {
        for token in std::mem::take(&mut self.replication.replicas) {
            self.close(token, Closing::Now);
        }
    }

    /// Whether the connection is the link to the master, whose commands are not asked whether they may run.
    #[inline]
    pub fn is_master(&self, token: usize) -> bool {
        self.clients[token].link.is_some()
    }
}
