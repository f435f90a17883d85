//! Who serves the other clients while a script runs for long.
//!
//! A script holds the loop: the reactor is in the middle of a batch. Now and then it lets an attendant look, who has buffers of
//! its own and works on the server's state like a turn of the loop: it accepts connections, reads, runs the few commands that
//! are allowed meanwhile (the others are told that the server is busy), and sends.
//!
//! It asks the kernel with `poll(2)`, which tells what is there to be read whether or not anybody has been told before. What it
//! reads the loop's own poll may tell once more, and the loop finds nothing there. The client whose script runs is left alone:
//! the batch will go on with it. Those who are behind it in the batch get back what they sent, and are served like the others.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Instant;

use mio::Token;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::accept::accept;
use super::batch::Behind;
use super::bury;
use super::intake::Intake;
use super::signals::Signals;
use crate::command::state::{Look, Server};

/// So many times as long as a look takes, which grows with the number of clients, is the time to the next.
const PAUSE: u32 = 4;

/// What has something to be read.
enum Heard {
    Listener(Token),
    Client(usize),
}

/// See the module.
pub struct Attendant {
    intake: Intake,
    signals: Rc<RefCell<Signals>>,
    /// What the loop's batch has behind the script.
    behind: Rc<Behind>,
    next: Option<Instant>,
}

impl Attendant {
    /// One that looks for the signals which the loop gets otherwise.
    pub fn new(signals: Rc<RefCell<Signals>>, behind: Rc<Behind>) -> Attendant {
        // No script runs within a script.
        Attendant { intake: Intake::new(Rc::default()), signals, behind, next: None }
    }

    /// Notes which signals have come, or serves everybody once but the client that is busy.
    pub fn attend(&mut self, server: &mut Server, look: Look) {
        let Look::Clients { busy } = look else { return self.signals.borrow_mut().handle_while_busy(server) };
        let started = Instant::now();
        if self.next.is_some_and(|next| started < next) {
            return;
        }
        self.signals.borrow_mut().handle_while_busy(server);
        for heard in listen(server) {
            match heard {
                Heard::Listener(token) => {
                    // What is left is heard again the next time.
                    accept(server, token);
                }
                Heard::Client(token) => server.clients[token].readable = true,
            }
        }
        let given_back = self.behind.give_back(server);
        server.resumed.extend(given_back);
        let resumed = std::mem::take(&mut server.resumed);
        // Whoever waits in the loop's queue is served here now and stays there, where there will be nothing to do.
        let mut queued = Vec::new();
        for token in resumed.into_iter().chain(ready(server)).collect::<BTreeSet<usize>>() {
            // The busy one is served further by the batch that it is in.
            let Some(client) = server.clients.get_mut(token).filter(|_| token != busy) else { continue };
            if client.link.is_some() {
                // What a master sent is not to be refused.
                server.resumed.push(token);
                continue;
            }
            if std::mem::take(&mut client.queued) {
                queued.push(token);
            }
            self.intake.enqueue(server, token);
        }
        // The script may be the master's.
        let before = server.keys.set_overdue(server.keys.overdue_otherwise());
        self.intake.serve(server);
        server.keys.set_overdue(before);
        // Whoever can be served once more is when the next look is taken, or when the script is over.
        for token in self.intake.drain() {
            server.clients[token].queued = false;
            server.resumed.push(token);
        }
        for token in queued {
            server.clients[token].queued = true;
        }
        server.flush_journal(false);
        bury(server, Some(busy));
        self.intake.send(server, Some(busy));
        self.intake.deliver(server, Some(busy), |_| false);
        bury(server, Some(busy));
        self.next = Some(Instant::now() + started.elapsed() * PAUSE);
    }
}

/// Clients that have something to be read.
fn ready(server: &Server) -> Vec<usize> {
    let ready = server.clients.iter().filter(|(_, client)| (client.readable || client.queued) && client.link.is_none());
    ready.map(|(token, _)| token).collect()
}

/// Which sockets have something to be read.
fn listen(server: &Server) -> Vec<Heard> {
    let listeners = server.listeners.sockets().map(|(token, socket)| (Heard::Listener(token), socket));
    let clients = server
        .clients
        .iter()
        .filter(|(_, client)| !client.readable && !client.paused && !client.blocked && client.closing.is_none())
        .filter(|(_, client)| client.link.is_none());
    let clients = clients.map(|(token, client)| (Heard::Client(token), client.stream.socket()));
    let (heard, mut sockets): (Vec<Heard>, Vec<PollFd<'_>>) =
        listeners.chain(clients).map(|(who, socket)| (who, PollFd::from_borrowed_fd(socket, PollFlags::IN))).unzip();
    if poll(&mut sockets, Some(&Timespec::default())).is_err() {
        return Vec::new();
    }
    let heard = heard.into_iter().zip(sockets).filter(|(_, socket)| !socket.revents().is_empty());
    heard.map(|(who, _)| who).collect()
}
