//! How a replica introduces itself and asks for the stream: PING, AUTH where there is a password, what the master should know
//! of the replica, and PSYNC, or SYNC where the master does not know that.

use super::wire::{Answer, take_line};
use super::{Link, Stage};
use crate::command::REDIS_VERSION;
use crate::command::state::Server;
use crate::effects::journal::encode;
use crate::replication::Ancestor;
use crate::replication::backlog::Backlog;

/// What the master has been asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    Ping,
    Auth,
    Port,
    Address,
    Capabilities,
    Version,
    Psync,
}

impl Question {
    /// What of REPLCONF an old master may not know.
    fn option(self) -> &'static str {
        match self {
            Question::Port => "listening-port",
            Question::Address => "ip-address",
            Question::Capabilities => "capa",
            _ => "version",
        }
    }
}

impl Server {
    /// Takes an answer in. Returns whether there was one.
    pub(super) fn hear_answer(&mut self, token: usize) -> bool {
        let client = &mut self.clients[token];
        let line = match take_line(&mut client.input) {
            Ok(Some(line)) => line,
            Ok(None) => return false,
            Err(_) => {
                self.fail_link(token, "Failed to read response from the server: the line is too long");
                return false;
            }
        };
        let Some(link) = &mut client.link else { return false };
        match link.awaited.pop_front() {
            Some(Question::Ping) => self.hear_pong(token, &line),
            Some(Question::Psync) => self.hear_decision(token, &line),
            Some(question) => {
                let text = String::from_utf8_lossy(&line);
                if question == Question::Auth && text.starts_with('-') {
                    self.fail_link(token, &format!("Unable to AUTH to MASTER: {text}"));
                } else if text.starts_with('-') {
                    let option = question.option();
                    log::info!("(Non critical) Master does not understand REPLCONF {option}: {text}");
                }
                if link_has_all(&self.clients[token].link) {
                    self.ask_stream(token);
                }
            }
            None => {}
        }
        true
    }

    fn ask(&mut self, token: usize, question: Question, words: &[&[u8]]) {
        let client = &mut self.clients[token];
        encode(client.output.tail(), words.iter().copied());
        if let Some(link) = &mut client.link {
            link.awaited.push_back(question);
        }
        self.will_send(token);
    }

    /// The master is there: it is told who this is.
    fn hear_pong(&mut self, token: usize, line: &[u8]) {
        // Who wants a password first is there as well; so did old servers say it.
        let there: [&[u8]; 4] = [b"+", b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted"];
        if !there.iter().any(|beginning| line.starts_with(beginning)) {
            let text = String::from_utf8_lossy(line);
            return self.fail_link(token, &format!("Error reply to PING from master: '{text}'"));
        }
        log::info!("Master replied to PING, replication can continue...");
        let settings = &self.settings;
        let (user, password) = (settings.masteruser.clone(), settings.masterauth.clone());
        let port = if settings.replica_announce_port == 0 { settings.port } else { settings.replica_announce_port };
        let address = settings.replica_announce_ip.clone();
        if !password.is_empty() {
            let words = [&b"AUTH"[..], user.as_bytes(), password.as_bytes()];
            let words: Vec<&[u8]> = words.into_iter().filter(|word| !word.is_empty()).collect();
            self.ask(token, Question::Auth, &words);
        }
        self.ask(token, Question::Port, &[b"REPLCONF", b"listening-port", port.to_string().as_bytes()]);
        if !address.is_empty() {
            self.ask(token, Question::Address, &[b"REPLCONF", b"ip-address", address.as_bytes()]);
        }
        self.ask(
            token,
            Question::Capabilities,
            &[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2", b"capa", b"namespaces"],
        );
        self.ask(token, Question::Version, &[b"REPLCONF", b"version", REDIS_VERSION.as_bytes()]);
    }

    /// Asks for the stream from where the data are.
    fn ask_stream(&mut self, token: usize) {
        let replication = &self.replication;
        let has_history = replication.following.as_ref().is_some_and(|following| following.has_history);
        let (id, offset) = if has_history {
            (replication.id.clone(), (replication.offset + 1).to_string())
        } else {
            ("?".to_string(), "-1".to_string())
        };
        if has_history {
            log::info!("Trying a partial resynchronization (request {id}:{offset}).");
        } else {
            log::info!("Partial resynchronization not possible (no cached master)");
        }
        let mut words: Vec<&[u8]> = vec![b"PSYNC", id.as_bytes(), offset.as_bytes()];
        if self.replication.asks_to_take_over() {
            words.push(b"FAILOVER");
        }
        self.ask(token, Question::Psync, &words);
    }

    /// The master has decided what it sends.
    fn hear_decision(&mut self, token: usize, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let answer = Answer::parse(line);
        if matches!(answer, Answer::Continue(_) | Answer::Full { .. }) {
            self.end_failover();
        } else if self.replication.asks_to_take_over() {
            // This server is a master again, and the link is gone.
            return self.abort_failover("Failover target rejected psync request");
        }
        match answer {
            Answer::Continue(id) => self.go_on_following(token, id),
            Answer::Full { id, offset } => {
                log::info!("Full resync from master: {id}:{offset}");
                self.await_snapshot(Some(id), offset);
            }
            Answer::Malformed => self.fail_link(token, "Master replied with wrong +FULLRESYNC syntax."),
            Answer::Later => {
                let why = format!("Master is currently unable to PSYNC but should be in the future: {text}");
                self.fail_link(token, &why);
            }
            Answer::Refused => {
                if line.starts_with(b"-ERR") {
                    log::info!("Master does not support PSYNC or is in error state (reply: {text})");
                } else {
                    log::warn!("Unexpected reply to PSYNC from master: {text}");
                }
                log::info!("Retrying with SYNC...");
                self.clients[token].output.tail().extend_from_slice(b"SYNC\r\n");
                self.will_send(token);
                if let Some(following) = &mut self.replication.following {
                    following.by_sync = true;
                }
                self.await_snapshot(None, 0);
            }
        }
    }

    /// The master goes on with the stream where it was left, under another name perhaps.
    fn go_on_following(&mut self, token: usize, id: Option<String>) {
        log::info!("Successful partial resynchronization with master.");
        let replication = &mut self.replication;
        if let Some(id) = id.filter(|id| *id != replication.id) {
            log::info!("Master replication ID changed to {id}");
            let id = std::mem::replace(&mut replication.id, id);
            replication.ancestor = Some(Ancestor { id, until: replication.offset + 1 });
            // They are to learn the new name.
            self.disconnect_replicas();
        }
        let replication = &mut self.replication;
        if replication.backlog.is_none() {
            replication.backlog = Some(Backlog::new(replication.offset));
        }
        log::info!("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.");
        self.begin_following(token);
    }

    fn await_snapshot(&mut self, id: Option<String>, offset: u64) {
        if let Some(following) = &mut self.replication.following {
            following.stage = Stage::Snapshot;
            following.progress = super::Progress::of(id, offset);
        }
    }
}

/// Whether everything but the stream has been asked for and answered.
fn link_has_all(link: &Option<Box<Link>>) -> bool {
    link.as_ref().is_some_and(|link| link.awaited.is_empty())
}
