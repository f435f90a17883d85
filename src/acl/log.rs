//! What was denied, as ACL LOG and INFO tell it.
//!
//! Denials of the same kind that follow each other are one entry with a count. Names that clients made up are cut, so
//! that the log is bounded by its number of entries.

use std::collections::VecDeque;

use super::Denial;

/// Denials so close together, in milliseconds, can be one entry.
const GROUP_MS: u64 = 60_000;
/// So many of the latest entries are looked at for the like of a new one.
const GROUP_DEPTH: usize = 10;
/// Bytes of a key, channel or user name that an entry keeps.
const NAME_MAX: usize = 4096;

/// Why something was denied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// A wrong password, or no such user.
    Auth,
    Command,
    Key,
    Channel,
}

impl Reason {
    /// The word in ACL LOG.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Auth => "auth",
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Channel => "channel",
        }
    }
}

impl From<Denial> for Reason {
    fn from(denial: Denial) -> Reason {
        match denial {
            Denial::Command => Reason::Command,
            Denial::Key(_) => Reason::Key,
            Denial::Channel(_) => Reason::Channel,
        }
    }
}

/// Where the command came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Context {
    TopLevel,
    /// It is a part of a transaction.
    Multi,
    /// A script called it.
    Script,
}

impl Context {
    /// The word in ACL LOG.
    pub fn name(self) -> &'static str {
        match self {
            Context::TopLevel => "toplevel",
            Context::Multi => "multi",
            Context::Script => "lua",
        }
    }
}

/// Something that was denied.
pub struct Denied<'a> {
    pub reason: Reason,
    pub context: Context,
    /// The command, key or channel.
    pub object: &'a [u8],
    pub username: &'a [u8],
    /// The client, as CLIENT LIST describes it.
    pub client: String,
    /// Milliseconds of Unix time.
    pub now_ms: u64,
}

/// An entry of the log.
pub struct Entry {
    pub id: u64,
    /// How often it happened.
    pub count: u64,
    pub reason: Reason,
    pub context: Context,
    pub object: Box<[u8]>,
    pub username: Box<[u8]>,
    /// The client of the last time.
    pub client: String,
    /// The first and the last time, in milliseconds of Unix time.
    pub created_ms: u64,
    pub updated_ms: u64,
}

/// The latest denials, and counts of all of them.
#[derive(Default)]
pub struct Log {
    /// The latest first.
    entries: VecDeque<Entry>,
    next_id: u64,
    counts: [u64; 4],
}

impl Log {
    /// Notes a denial; of the log `limit` entries are kept.
    pub fn note(&mut self, denied: Denied<'_>, limit: usize) {
        self.counts[denied.reason as usize] += 1;
        let (object, username) = (cut(denied.object), cut(denied.username));
        let is_like = |entry: &Entry| {
            entry.reason == denied.reason
                && entry.context == denied.context
                && entry.updated_ms.abs_diff(denied.now_ms) <= GROUP_MS
                && *entry.object == *object
                && *entry.username == *username
        };
        let like = if limit == 0 { None } else { self.entries.iter().take(GROUP_DEPTH).position(is_like) };
        if let Some(mut entry) = like.and_then(|at| self.entries.remove(at)) {
            entry.count += 1;
            (entry.client, entry.updated_ms) = (denied.client, denied.now_ms);
            self.entries.push_front(entry);
            return;
        }
        if limit > 0 {
            self.entries.push_front(Entry {
                id: self.next_id,
                count: 1,
                reason: denied.reason,
                context: denied.context,
                object: object.into(),
                username: username.into(),
                client: denied.client,
                created_ms: denied.now_ms,
                updated_ms: denied.now_ms,
            });
            self.next_id += 1;
        }
        self.entries.truncate(limit);
    }

    /// The entries, the latest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Forgets all entries and gives back their room; the counts stay.
    pub fn clear(&mut self) {
        self.entries = VecDeque::new();
    }

    /// How often something was denied for a reason.
    pub fn count(&self, reason: Reason) -> u64 {
        self.counts[reason as usize]
    }
}

fn cut(name: &[u8]) -> &[u8] {
    &name[..name.len().min(NAME_MAX)]
}
