//! Pairs of clients that hand elements over, as fast as one thread drives them: of each pair one waits in BLPOP, again as soon as
//! it has been served, and the other gives with RPUSH, again as soon as both have their replies. What `utils/bench pubsub` lets
//! the servers be measured by.
//!
//!     cargo run --release --example pairs -- 127.0.0.1:6380 1000
//!     cargo run --release --example pairs -- /run/cachestorm.sock 1000
//!
//! Prints how many elements have been handed over, once for each line that it reads.

use std::error::Error;
use std::io::{ErrorKind, Read, Write, stdin};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Events, Interest, Poll, Token};

/// A connection, and what it asks for again and again.
struct Client<S> {
    stream: S,
    request: Vec<u8>,
    /// Whether it has asked and not been answered.
    waits: bool,
}

impl<S: Read + Write> Client<S> {
    fn ask(&mut self) -> std::io::Result<()> {
        self.waits = true;
        self.stream.write_all(&self.request)
    }

    /// Takes the reply, if it has come: all replies here are shorter than a buffer, and come as a whole.
    fn is_answered(&mut self) -> std::io::Result<bool> {
        let mut reply = [0; 256];
        match self.stream.read(&mut reply) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) if reply[0] == b'-' => Err(std::io::Error::other(String::from_utf8_lossy(&reply).into_owned())),
            Ok(_) => {
                self.waits = false;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Hands over, and answers each message of `asked` with the count so far, until nobody asks any more.
fn hand_over<S: Source + Read + Write>(
    connect: impl Fn() -> std::io::Result<S>,
    pairs: usize,
    asked: &Receiver<()>,
) -> std::io::Result<()> {
    let mut poll = Poll::new()?;
    let mut clients = Vec::with_capacity(2 * pairs);
    for number in 0..2 * pairs {
        let mut stream = connect()?;
        poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
        let queue = number / 2;
        let request = match number % 2 {
            0 => format!("*3\r\n$5\r\nBLPOP\r\n$12\r\nqueue:{queue:06}\r\n$1\r\n0\r\n"),
            _ => format!("*3\r\n$5\r\nRPUSH\r\n$12\r\nqueue:{queue:06}\r\n$32\r\n{:032}\r\n", 0),
        };
        clients.push(Client { stream, request: request.into_bytes(), waits: false });
    }
    clients.iter_mut().step_by(2).try_for_each(Client::ask)?;
    // So that the first elements find somebody who waits, too.
    thread::sleep(Duration::from_millis(300));
    clients.iter_mut().skip(1).step_by(2).try_for_each(Client::ask)?;
    let mut events = Events::with_capacity(512);
    let mut handed_over = 0u64;
    loop {
        if !asked.try_iter().all(|()| writeln!(std::io::stdout(), "{handed_over}").is_ok()) {
            return Ok(());
        }
        poll.poll(&mut events, Some(Duration::from_millis(100)))?;
        for event in &events {
            let number = event.token().0;
            if !clients[number].is_answered()? {
                continue;
            }
            if number % 2 == 0 {
                handed_over += 1;
                clients[number].ask()?;
            }
            let [waiting, giving] = &clients[number & !1..=number | 1] else { unreachable!("they are pairs") };
            if waiting.waits && !giving.waits {
                clients[number | 1].ask()?;
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(place), Some(pairs)) = (words.next(), words.next()) else {
        return Err("usage: pairs ADDRESS|SOCKET PAIRS".into());
    };
    let pairs = pairs.parse()?;
    let (ask, asked) = channel();
    thread::spawn(move || {
        for _ in stdin().lines() {
            if ask.send(()).is_err() {
                return;
            }
        }
        std::process::exit(0);
    });
    if place.starts_with('/') {
        let connect = || {
            let stream = std::os::unix::net::UnixStream::connect(&place)?;
            stream.set_nonblocking(true)?;
            Ok(UnixStream::from_std(stream))
        };
        hand_over(connect, pairs, &asked)?;
    } else {
        let connect = || {
            let stream = std::net::TcpStream::connect(&place)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(TcpStream::from_std(stream))
        };
        hand_over(connect, pairs, &asked)?;
    }
    Ok(())
}
