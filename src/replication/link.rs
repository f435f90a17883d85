//! The link to the master: how a replica reaches it, introduces itself, gets a snapshot where it must, and carries out the stream.

use crate::command::state::Server;

/// How far the link is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// There is none: it is tried again soon.
    Down,
    /// The connection is being made.
    Connecting,
    /// Both ends introduce themselves.
    Handshake,
    /// A snapshot comes, or is taken in.
    Snapshot,
    /// The stream is carried out as it comes.
    Online,
}

/// The connection to the master; see [`crate::net::Client::link`].
#[derive(Debug)]
pub struct Link {
    pub stage: Stage,
}

/// A server that is followed.
#[derive(Debug)]
pub struct Following {
    pub host: String,
    pub port: u16,
    pub stage: Stage,
    /// The token of the connection, if there is one.
    pub token: Option<usize>,
}

impl Following {
    /// Whether the stream comes.
    pub fn is_online(&self) -> bool {
        self.stage == Stage::Online
    }
}

impl Server {
    /// Tells the master how far the stream has been carried out, if the client is the link to it.
    pub fn acknowledge_stream(&mut self, _token: usize) {}
}
