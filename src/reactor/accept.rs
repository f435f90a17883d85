//! New connections.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::{Interest, Token};
use socket2::SockRef;

use crate::command::state::Server;
use crate::net::{Client, Stream};
use crate::observe::reason;

/// What a client of another host is told while the server is open to everybody.
const DENIED: &str = "-DENIED Redis is running in protected mode because protected mode is enabled and no password is \
set for the default user. In this mode connections are only accepted from the loopback interface. If you want to \
connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode \
sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same \
host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG \
REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by editing the Redis \
configuration file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started \
the server manually just for testing, restart it with the '--protected-mode no' option. 4) Set up an authentication \
password for the default user. NOTE: You only need to do one of the above things in order for the server to start \
accepting connections from the outside.\r\n";

/// Whether connections wait to be accepted, of which no further event tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queue {
    Empty,
    /// There may be more, for the next turn.
    More,
    /// There may be more, but descriptors or memory are at an end: until somebody leaves it is no use to ask.
    Stuck,
}

/// Takes connections from a listener, so many that the others do not have to wait.
pub fn accept(server: &mut Server, listener: Token) -> Queue {
    for _ in 0..server.settings.max_new_connections_per_cycle {
        let accepted = if let Some(unix) = server.listeners.unix(listener) {
            unix.accept().map(|(stream, _)| (Stream::Unix(stream), None))
        } else if let Some(tcp) = server.listeners.tcp(listener) {
            tcp.accept().map(|(stream, peer)| (Stream::Tcp(stream), Some(peer)))
        } else {
            return Queue::Empty;
        };
        match accepted {
            Ok((stream, peer)) => welcome(server, stream, peer),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Queue::Empty,
            // One that was given up while it waited; the next may be sound.
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
            Err(error) => {
                log::warn!("Accepting client connection: {}", reason(&error));
                return Queue::Stuck;
            }
        }
    }
    Queue::More
}

fn welcome(server: &mut Server, mut stream: Stream, peer: Option<SocketAddr>) {
    let settings = &server.settings;
    // Peers of the loopback interface may reach it by an IPv4 address mapped into IPv6.
    let is_local = peer.is_none_or(|peer| peer.ip().to_canonical().is_loopback());
    let refusal: Option<&[u8]> = if server.clients.len() >= settings.maxclients as usize {
        Some(b"-ERR max number of clients reached\r\n")
    } else if settings.protected_mode && server.acl.default_user().has_no_password() && !is_local {
        Some(DENIED.as_bytes())
    } else {
        None
    };
    if let Some(text) = refusal {
        server.stats.connections_rejected += 1;
        // The kernel's buffer is empty: it takes a line, and if not, the client is refused all the same.
        let told = stream.write(text);
        log::debug!("Refused a connection; told it: {}", told.is_ok());
        return;
    }
    if let Stream::Tcp(tcp) = &stream {
        let keepalive = Duration::from_secs(settings.tcp_keepalive as u64);
        let socket = SockRef::from(tcp);
        let mut tuned = socket.set_tcp_nodelay(true);
        if !keepalive.is_zero() {
            let probes = socket2::TcpKeepalive::new()
                .with_time(keepalive)
                .with_interval((keepalive / 3).max(Duration::from_secs(1)))
                .with_retries(3);
            tuned = tuned.and_then(|()| socket.set_tcp_keepalive(&probes));
        }
        if let Err(error) = tuned {
            log::debug!("Socket options of a new connection: {}", reason(&error));
        }
    }
    let id = server.next_client_id;
    server.next_client_id += 1;
    let mut client = Box::new(Client::new(stream, id, server.clock.uptime_ms()));
    client.is_local = is_local;
    client.act_as(server.acl.default_user(), server.acl.is_open(), server.acl.is_open());
    match (&client.stream, peer) {
        (Stream::Tcp(tcp), Some(peer)) => {
            client.addr = peer.to_string().into();
            client.laddr = tcp.local_addr().map_or_else(|_| String::new(), |local| local.to_string()).into();
        }
        _ => {
            client.addr = format!("{}:0", server.listeners.unix_path()).into();
            client.laddr = client.addr.clone();
        }
    }
    let entry = server.clients.vacant_entry();
    let token = Token(entry.key());
    if let Err(error) = server.listeners.registry().register(client.stream.source(), token, Interest::READABLE) {
        log::warn!("Error registering a new client connection: {}", reason(&error));
        return;
    }
    log::debug!("Accepted {}", client.addr);
    entry.insert(client);
    server.client_tokens.insert(id, token.0);
    server.stats.connections_received += 1;
    server.count_client(token.0);
}
