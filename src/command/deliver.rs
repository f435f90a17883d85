//! Messages to clients that did not ask for them with a command of their own: what was published.
//!
//! They join the output of those who get them at once. Only a client whose own command is running gets them when that
//! command is over, behind its reply: [`Ctx::collect_messages`].

use slab::Slab;

use super::Ctx;
use super::state::Server;
use crate::net::Client;
use crate::pubsub::{Kind, Message};
use crate::types::glob;

/// A client with so much to be sent is looked at more closely before it gets more.
const BACKLOG: usize = 64 * 1024;

/// Where messages go.
struct Outbox<'s> {
    clients: &'s mut Slab<Box<Client>>,
    unsent: &'s mut Vec<usize>,
    /// Those that leave much unread.
    behind: Vec<usize>,
}

impl Outbox<'_> {
    /// Queues a message for clients, each of which gets it once.
    fn send(&mut self, tokens: &[usize], mut message: Message) {
        for &token in tokens {
            let client = &mut *self.clients[token];
            if client.closing.is_some() {
                // The reply that it leaves with is the last it gets.
                continue;
            }
            message.queue(client.proto, &mut client.output);
            if client.output.len() > BACKLOG {
                self.behind.push(token);
            }
            if !client.unsent {
                client.unsent = true;
                self.unsent.push(token);
            }
        }
    }
}

/// Publishes a message to the subscribers of a channel and, unless it is a shard's, to those whose patterns match it.
/// Returns how many got it; who has several patterns that match gets it, and counts, several times.
pub fn publish(server: &mut Server, kind: Kind, channel: &[u8], payload: &[u8]) -> usize {
    if !server.subscriptions.any() {
        return 0;
    }
    let Server { subscriptions, clients, unsent, .. } = server;
    let mut outbox = Outbox { clients, unsent, behind: Vec::new() };
    let listed = subscriptions.subscribers(kind, channel);
    let mut receivers = listed.len();
    if !listed.is_empty() {
        let word: &[u8] = if kind == Kind::Shard { b"smessage" } else { b"message" };
        outbox.send(listed, Message::new(&[word, channel, payload]));
    }
    if kind == Kind::Channel {
        for (pattern, listed) in subscriptions.each(Kind::Pattern) {
            if glob::matches(pattern, channel, false) {
                receivers += listed.len();
                outbox.send(listed, Message::new(&[b"pmessage", pattern, channel, payload]));
            }
        }
    }
    let behind = outbox.behind;
    server.delivered |= receivers > 0;
    for token in behind {
        server.check_output(token);
    }
    receivers
}

impl Ctx<'_> {
    /// Puts the messages behind the reply that came while the client's own command ran.
    pub(super) fn collect_messages(&mut self) {
        // Where a command runs within another, the messages to the outer one's client still wait.
        self.server.delivered = self.resumed.is_some();
        let mut messages = std::mem::take(&mut self.server.clients[self.token].output);
        if !messages.is_empty() {
            self.reply.out.append(&mut messages);
            self.settle_reply();
        }
    }

    /// Takes the output up to here for sent, whether or not the client wants replies.
    pub(super) fn settle_reply(&mut self) {
        self.settled = self.reply.out.len();
    }
}
