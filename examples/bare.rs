//! A server that makes the system calls which messages between clients take, and does next to nothing else: what `utils/bench pubsub`
//! holds the servers against, for nobody who gives each client its bytes by a call of its own can be much cheaper.
//!
//!     cargo run --release --example bare -- --port 6390 --unixsocket /run/bare.sock
//!
//! It knows a request by its first bytes, takes whole requests only, and one channel: no server for anything but this.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::thread;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token};

/// As many as a turn of the server's loop serves.
const EVENTS: usize = 32;
const TCP: Token = Token(usize::MAX - 1);
const UNIX: Token = Token(usize::MAX - 2);

/// A connection.
trait Peer: Source + Read + Write {}
impl<S: Source + Read + Write> Peer for S {}

#[derive(Default)]
struct Bare {
    /// By their tokens; gone are those who have left.
    peers: Vec<Option<Box<dyn Peer>>>,
    subscribers: Vec<usize>,
    /// Who waits for each key, and how many do.
    waiting: HashMap<Vec<u8>, usize>,
    /// What is to be sent at the end of the turn, and to whom.
    replies: Vec<(usize, Vec<u8>)>,
    /// What was published in this turn.
    news: Vec<u8>,
}

impl Bare {
    /// Reads what a client asks and notes what it is to be told.
    fn hear(&mut self, token: usize) {
        let mut buf = [0; 16 * 1024];
        let Some(peer) = self.peers[token].as_mut() else { return };
        let came = match peer.read(&mut buf) {
            Ok(0) => return self.forget(token),
            Ok(came) => came,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => return self.forget(token),
        };
        let mut asked = &buf[..came];
        let mut reply = Vec::new();
        while let Some((words, rest)) = request(asked) {
            asked = rest;
            self.answer(token, &words, &mut reply);
        }
        if !reply.is_empty() {
            self.replies.push((token, reply));
        }
    }

    fn answer(&mut self, token: usize, words: &[&[u8]], reply: &mut Vec<u8>) {
        match *words {
            [b"BLPOP", key, _] => drop(self.waiting.insert(key.to_vec(), token)),
            [b"RPUSH", key, value] => {
                reply.extend_from_slice(b":1\r\n");
                if let Some(waits) = self.waiting.remove(key) {
                    let mut element = Vec::with_capacity(96);
                    push_array(&mut element, &[key, value]);
                    self.replies.push((waits, element));
                }
            }
            [b"SUBSCRIBE", channel] => {
                self.subscribers.push(token);
                reply.extend_from_slice(b"*3\r\n$9\r\nsubscribe\r\n");
                push_bulk(reply, channel);
                reply.extend_from_slice(b":1\r\n");
            }
            [b"PUBLISH", channel, message] => {
                push_array(&mut self.news, &[b"message", channel, message]);
                reply.extend_from_slice(format!(":{}\r\n", self.subscribers.len()).as_bytes());
            }
            [b"INFO", _] => push_bulk(reply, format!("blocked_clients:{}\r\n", self.waiting.len()).as_bytes()),
            [b"DEBUG", b"SLEEP", seconds] => {
                let seconds = std::str::from_utf8(seconds).ok().and_then(|text| text.parse().ok());
                thread::sleep(Duration::from_secs_f64(seconds.unwrap_or(0.0)));
                reply.extend_from_slice(b"+OK\r\n");
            }
            _ => reply.extend_from_slice(b"+PONG\r\n"),
        }
    }

    /// Sends what this turn has made.
    fn tell(&mut self) {
        for (token, text) in std::mem::take(&mut self.replies) {
            self.send(token, &text);
        }
        let news = std::mem::take(&mut self.news);
        if !news.is_empty() {
            self.subscribers.clone().into_iter().for_each(|token| self.send(token, &news));
        }
    }

    /// Sends; who takes less than that at once is left.
    fn send(&mut self, token: usize, text: &[u8]) {
        if self.peers[token].as_mut().is_some_and(|peer| peer.write_all(text).is_err()) {
            self.forget(token);
        }
    }

    fn forget(&mut self, token: usize) {
        self.peers[token] = None;
        self.subscribers.retain(|&subscriber| subscriber != token);
        self.waiting.retain(|_, &mut waits| waits != token);
    }
}

/// The words of the first request, if it is whole, and what follows it.
fn request(text: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let (count, mut rest) = number(text.strip_prefix(b"*")?)?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let (len, word) = number(rest.strip_prefix(b"$")?)?;
        words.push(word.get(..len)?);
        rest = word.get(len + 2..)?;
    }
    Some((words, rest))
}

/// The number that a line holds, and what follows the line.
fn number(text: &[u8]) -> Option<(usize, &[u8])> {
    let end = text.iter().position(|&byte| byte == b'\r')?;
    let value = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    Some((value, text.get(end + 2..)?))
}

fn push_array(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    words.iter().for_each(|word| push_bulk(out, word));
}

fn push_bulk(out: &mut Vec<u8>, word: &[u8]) {
    out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let given = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let port: u16 = given("--port").ok_or("usage: bare --port PORT [--unixsocket PATH]")?.parse()?;
    let mut poll = Poll::new()?;
    let mut tcp = TcpListener::bind(([127, 0, 0, 1], port).into())?;
    poll.registry().register(&mut tcp, TCP, Interest::READABLE)?;
    let mut unix = given("--unixsocket").map(UnixListener::bind).transpose()?;
    if let Some(listener) = &mut unix {
        poll.registry().register(listener, UNIX, Interest::READABLE)?;
    }
    let mut bare = Bare::default();
    let mut events = Events::with_capacity(EVENTS);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                TCP => greet(&mut bare, &poll, || {
                    let stream = tcp.accept()?.0;
                    stream.set_nodelay(true)?;
                    Ok::<TcpStream, io::Error>(stream)
                })?,
                UNIX => greet(&mut bare, &poll, || {
                    let listener = unix.as_ref().ok_or(ErrorKind::NotConnected)?;
                    Ok::<UnixStream, io::Error>(listener.accept()?.0)
                })?,
                Token(token) => bare.hear(token),
            }
        }
        bare.tell();
    }
}

/// Takes in everybody who has connected.
fn greet<S: Peer + 'static>(bare: &mut Bare, poll: &Poll, accept: impl Fn() -> io::Result<S>) -> io::Result<()> {
    loop {
        match accept() {
            Ok(mut stream) => {
                poll.registry().register(&mut stream, Token(bare.peers.len()), Interest::READABLE)?;
                bare.peers.push(Some(Box::new(stream)));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
