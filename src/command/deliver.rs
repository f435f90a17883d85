//! Messages to clients that did not ask for them with a command of their own: what was published, what happened to keys,
//! and which copies of keys have become wrong.
//!
//! They join the output of those who get them at once. Only a client whose own command is running gets them when that
//! command is over, behind its reply: [`Ctx::collect_messages`]. What happened to keys is told when the command that did
//! it is over, too, and before another runs. But that its own command has made a client's copy of a key wrong is what it is told last.
//!
//! Sending is another matter: ten thousand subscribers are ten thousand system calls, for which nobody else is to wait. So those
//! who have been published messages, and have no replies, stand in a queue, of which each turn of the loop serves some. That a copy of a
//! key has become wrong is told at once.

use std::collections::VecDeque;
use std::rc::Rc;

use slab::Slab;

use super::Ctx;
use super::state::Server;
use crate::config::KeyspaceEvents;
use crate::effects::tracking::{Broadcast, ClientRef, Readers};
use crate::effects::{Event, News};
use crate::net::{Client, Closing};
use crate::pubsub::{Kind, Message, SHARED_FROM};
use crate::resp::{Output, Proto};

/// A client with so much to be sent is looked at more closely before it gets more.
const BACKLOG: usize = 64 * 1024;
/// Keys too many that are forgotten at one time.
const EXCESS: usize = 1000;

/// Where messages go.
struct Outbox<'s> {
    clients: &'s mut Slab<Box<Client>>,
    messaged: &'s mut VecDeque<usize>,
    /// Whether all clients together have a limit, and are counted.
    counted: bool,
    /// Those that leave much unread, or are counted.
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
            if self.counted || client.output.len() > BACKLOG {
                client.output.end_long_piece();
                self.behind.push(token);
            }
            client.await_delivery(token, self.messaged);
        }
    }
}

/// Publishes a message to the subscribers of a channel and, unless it is a shard's, to those whose patterns match it.
/// Returns how many got it; who has several patterns that match gets it, and counts, several times.
pub fn publish(server: &mut Server, kind: Kind, channel: &[u8], payload: &[u8]) -> usize {
    if !server.subscriptions.any() {
        return 0;
    }
    let Server { subscriptions, clients, messaged, budget, .. } = server;
    let mut outbox = Outbox { clients, messaged, counted: budget.is_on(), behind: Vec::new() };
    let listed = subscriptions.subscribers(kind, channel);
    let mut receivers = listed.len();
    if !listed.is_empty() {
        let word: &[u8] = if kind == Kind::Shard { b"smessage" } else { b"message" };
        outbox.send(listed, Message::new(&[word, channel, payload]));
    }
    if kind == Kind::Channel {
        subscriptions.patterns_matching(channel, |pattern, listed| {
            receivers += listed.len();
            outbox.send(listed, Message::new(&[b"pmessage", pattern, channel, payload]));
        });
    }
    let behind = outbox.behind;
    server.delivered |= receivers > 0;
    for token in behind {
        server.check_output(token);
        server.count_client(token);
    }
    // Now, because keys are not to go for what clients do not read.
    server.end_large_clients();
    receivers
}

/// How many would get a message; see [`publish`].
pub fn count_receivers(server: &Server, kind: Kind, channel: &[u8]) -> usize {
    let mut receivers = server.subscriptions.subscribers(kind, channel).len();
    if kind == Kind::Channel {
        server.subscriptions.patterns_matching(channel, |_, listed| receivers += listed.len());
    }
    receivers
}

/// Tells clients what has happened to keys since they were told last. `author` is the client whose command did it, if
/// it was one. Returns what is still to be told to the author itself: keys of which its copies are wrong now.
#[cold]
pub fn tell_news(server: &mut Server, author: Option<usize>) -> Vec<Rc<Vec<u8>>> {
    let mut stale = Vec::new();
    let mut news = server.keys.effects.take_news();
    for news in news.drain(..) {
        match news {
            News::Key { db, event, key } => {
                if event.is_change() && server.keys.effects.trackers.any() {
                    // To Redis it is not a client who changes what a script changes.
                    let by_command = !matches!(event, Event::EXPIRED | Event::EVICTED | Event::INVALIDATED)
                        && server.scripts.running.is_none();
                    let trackers = &mut server.keys.effects.trackers;
                    trackers.changed(&key, author.filter(|_| by_command));
                    if let Some(readers) = trackers.take_readers(&key) {
                        // Which keys have a tag, or make room, their author does not know.
                        let known = !matches!(event, Event::EVICTED | Event::INVALIDATED);
                        stale.extend(tell_readers(server, &key, readers, author, known));
                    }
                }
                match event {
                    Event::EVICTED => server.plugins.evicted(db, &key),
                    Event::EXPIRED => server.plugins.expired(db, &key),
                    _ => {}
                }
                publish_event(server, db, event, &key);
            }
            News::Within { db, event, key } => publish_event(server, db, event, &key),
            News::Tag { db, tag, count } => {
                server.plugins.invalidated(db, &tag, count);
                if !server.keys.effects.publishes(Event::INVALIDATED).is_empty() {
                    let db = label(server, db);
                    let channel = [b"__tagevent@", db.as_bytes(), b"__:", &tag].concat();
                    publish(server, Kind::Channel, &channel, itoa::Buffer::new().format(count).as_bytes());
                }
            }
            News::Flushed => {
                server.keys.effects.trackers.forget_keys();
                let trackers = server.clients.iter().filter(|(_, client)| client.tracking.is_some());
                for token in trackers.map(|(token, _)| token).collect::<Vec<_>>() {
                    tell_invalid(server, token, None);
                }
            }
        }
    }
    server.keys.effects.reuse(news);
    if !server.keys.effects.trackers.any() {
        // What was remembered of those who do not track any more may just have gone.
        server.keys.effects.listen();
    }
    stale
}

/// What channels call a database: its number, or the name of a namespace that has one of its own.
fn label(server: &Server, db: usize) -> String {
    server.keys.directory().own_name(db).map_or_else(|| db.to_string(), str::to_owned)
}

/// Publishes an event of a key as the settings want it.
fn publish_event(server: &mut Server, db: usize, event: Event, key: &[u8]) {
    let how = server.keys.effects.publishes(event);
    if how.is_empty() {
        return;
    }
    let db = label(server, db);
    let db = db.as_bytes();
    if how.contains(KeyspaceEvents::KEYSPACE) {
        let channel = [b"__keyspace@", db, b"__:", key].concat();
        publish(server, Kind::Channel, &channel, event.0.as_bytes());
    }
    if how.contains(KeyspaceEvents::KEYEVENT) {
        let channel = [b"__keyevent@", db, b"__:", event.0.as_bytes()].concat();
        publish(server, Kind::Channel, &channel, key);
    }
}

/// Tells the readers of a key that their copies of it are wrong. Returns what the author is to be told, if it is one of them;
/// `known` says whether it knows that it has changed this key.
fn tell_readers(
    server: &mut Server,
    key: &[u8],
    readers: Readers,
    author: Option<usize>,
    known: bool,
) -> Option<Rc<Vec<u8>>> {
    let keys = encode_keys(&[key]);
    let mut is_author = false;
    for ClientRef { id, token } in readers {
        let wanted = server.clients.get(token).filter(|client| client.id == id).is_some_and(|client| {
            let tracking = client.tracking.as_ref();
            tracking.is_some_and(|tracking| tracking.reads() && !(tracking.no_loop && known && author == Some(token)))
        });
        if wanted && author == Some(token) {
            is_author = true;
        } else if wanted {
            tell_invalid(server, token, Some(&keys));
        }
    }
    is_author.then_some(keys)
}

/// Tells the clients in broadcast mode of the keys that have changed in this turn.
pub fn broadcast(server: &mut Server) {
    for Broadcast { clients, keys } in server.keys.effects.trackers.take_broadcasts() {
        let all: Vec<&[u8]> = keys.iter().map(|(key, _)| &**key).collect();
        let all = encode_keys(&all);
        for token in clients {
            let tracking = server.clients.get(token).and_then(|client| client.tracking.as_ref());
            if tracking.is_some_and(|tracking| tracking.no_loop) {
                let others = keys.iter().filter(|(_, author)| *author != Some(token));
                let others: Vec<&[u8]> = others.map(|(key, _)| &**key).collect();
                if !others.is_empty() {
                    tell_invalid(server, token, Some(&encode_keys(&others)));
                }
            } else {
                tell_invalid(server, token, Some(&all));
            }
        }
    }
}

/// Forgets readers of keys while there are more keys than the settings allow; they are told as if the keys had changed.
pub fn forget_excess(server: &mut Server) {
    let fresh = server.keys.effects.trackers.take_fresh();
    let most = server.settings.tracking_table_max_keys as usize;
    if most == 0 || server.keys.effects.trackers.remembered().0 <= most {
        return;
    }
    let mut rng = server.keys.random_source();
    // More than this turn has added: who reads much in a turn pays for it, and the limit holds.
    for _ in 0..EXCESS.max(2 * fresh) {
        let excess = server.keys.effects.trackers.take_excess(most, || rng.u64(..));
        let Some((key, readers)) = excess else { return };
        tell_readers(server, &key, readers, None, true);
    }
}

/// Keys as an array of strings.
fn encode_keys(keys: &[&[u8]]) -> Rc<Vec<u8>> {
    let mut reply = crate::resp::Reply::default();
    reply.array(keys.len());
    keys.iter().for_each(|key| reply.bulk(key));
    Rc::new(std::mem::take(reply.out.tail()))
}

/// Tells a client that tracks, or the one it redirects to, that its copies of keys are wrong, or all its copies. To a
/// client that cannot take messages beside replies nothing is told.
fn tell_invalid(server: &mut Server, token: usize, keys: Option<&Rc<Vec<u8>>>) {
    let Some(client) = server.clients.get(token) else { return };
    let redirect = client.tracking.as_ref().and_then(|tracking| tracking.redirect);
    let to = match redirect {
        None if client.proto == Proto::Resp2 => return,
        None => token,
        Some(redirect) => {
            let target = server.clients.get(redirect.token).filter(|target| target.id == redirect.id);
            if target.is_none_or(|target| target.closing == Some(Closing::Now)) {
                return tell_broken(server, token, redirect.id);
            }
            redirect.token
        }
    };
    let target = &server.clients[to];
    let proto = target.proto;
    if proto == Proto::Resp2 && !target.subscriber {
        return;
    }
    put(server, to, |output| {
        let (head, all): (&[u8], &[u8]) = match proto {
            Proto::Resp2 => (b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n", b"$-1\r\n"),
            Proto::Resp3 => (b">2\r\n$10\r\ninvalidate\r\n", b"_\r\n"),
        };
        output.tail().extend_from_slice(head);
        match keys {
            None => output.tail().extend_from_slice(all),
            Some(keys) if keys.len() < SHARED_FROM => output.tail().extend_from_slice(keys),
            Some(keys) => output.push_shared(keys),
        }
    });
}

/// Tells a client that the one it redirects to has gone.
fn tell_broken(server: &mut Server, token: usize, id: u64) {
    let client = &mut server.clients[token];
    if let Some(tracking) = &mut client.tracking {
        tracking.broken_redirect = true;
    }
    if client.proto == Proto::Resp3 {
        put(server, token, |output| {
            let tail = output.tail();
            tail.extend_from_slice(b">2\r\n$21\r\ntracking-redir-broken\r\n:");
            tail.extend_from_slice(itoa::Buffer::new().format(id).as_bytes());
            tail.extend_from_slice(b"\r\n");
        });
    }
}

/// Puts something behind all that a client is to be sent.
pub(super) fn put(server: &mut Server, token: usize, write: impl FnOnce(&mut Output)) {
    let client = &mut server.clients[token];
    if client.closing.is_some() {
        return;
    }
    write(&mut client.output);
    client.output.end_long_piece();
    let behind = client.output.len() > BACKLOG;
    server.delivered = true;
    server.will_send(token);
    if behind {
        server.check_output(token);
    }
}

impl Ctx<'_> {
    /// Tells what has happened to keys before a command replies. What makes room for a command is told before it runs: a client
    /// that tracks takes what it is told behind a reply for news of what it has just read.
    #[cold]
    pub(super) fn tell_first(&mut self) {
        if self.server.keys.effects.told() {
            self.stale.extend(tell_news(self.server, Some(self.token)));
            self.collect_messages();
        }
    }

    /// Puts the messages behind the reply that came while the client's own command ran.
    pub(super) fn collect_messages(&mut self) {
        for keys in self.stale.drain(..) {
            tell_invalid(self.server, self.token, Some(&keys));
        }
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
