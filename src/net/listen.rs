//! Listening sockets: TCP on every configured address, and a Unix socket.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Settings;

/// Tokens from here on are listeners'; below are clients'.
pub const FIRST_LISTENER: usize = usize::MAX / 2;
const UNIX_TOKEN: Token = Token(FIRST_LISTENER);

/// Why the server does not listen.
#[derive(Debug, PartialEq, Eq)]
pub enum ListenError {
    /// The port is not to be had. The text names address and reason.
    Port(String),
    /// An address is not to be had.
    Address(String),
    /// The Unix socket is not to be had.
    Unix(String),
}

impl ListenError {
    /// What went wrong, for the log.
    pub fn reason(&self) -> &str {
        let (ListenError::Port(reason) | ListenError::Address(reason) | ListenError::Unix(reason)) = self;
        reason
    }
}

/// All listening sockets.
pub struct Listeners {
    registry: Registry,
    tcp: Vec<(Token, TcpListener)>,
    unix: Option<UnixListener>,
    unix_path: String,
    next_token: usize,
}

impl Listeners {
    /// None yet. They will report to the poll that `registry` belongs to.
    pub fn new(registry: Registry) -> Listeners {
        Listeners { registry, tcp: Vec::new(), unix: None, unix_path: String::new(), next_token: FIRST_LISTENER + 1 }
    }

    /// The registry that sockets report to.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Listens on the TCP addresses of the settings, and no longer on those of before. If that fails, what was
    /// before remains.
    ///
    /// # Errors
    /// The first address that is not to be had.
    pub fn bind_tcp(&mut self, settings: &Settings) -> Result<(), ListenError> {
        let before = std::mem::take(&mut self.tcp);
        // Both cannot have the same address: the old ones rest, but keep their descriptors for the way back.
        let reserved: Vec<SocketAddr> = before.iter().filter_map(|(_, old)| old.local_addr().ok()).collect();
        let mut fresh = Vec::new();
        let mut kept = Vec::new();
        if settings.port != 0 {
            for address in &settings.bind {
                let (name, optional) = match address.strip_prefix('-') {
                    Some(name) => (name, true),
                    None => (address.as_str(), false),
                };
                match resolve(name, settings.port) {
                    Ok(address) if reserved.contains(&address) => kept.push(address),
                    Ok(address) => match listen_tcp(address, settings) {
                        Ok(listener) => fresh.push(listener),
                        Err(error) if optional && unavailable(&error) => {}
                        Err(error) => {
                            self.tcp = before;
                            let reason = format!(
                                "Could not create server TCP listening socket {name}:{}: bind: {}",
                                settings.port, error
                            );
                            return Err(ListenError::Port(reason));
                        }
                    },
                    Err(_) if optional => {}
                    Err(reason) => {
                        self.tcp = before;
                        return Err(ListenError::Address(reason));
                    }
                }
            }
        }
        for (token, mut listener) in before {
            if listener.local_addr().is_ok_and(|address| kept.contains(&address)) {
                self.tcp.push((token, listener));
            } else if let Err(error) = self.registry.deregister(&mut listener) {
                log::warn!("A listening socket could not be taken out of the poll: {error}");
            }
        }
        for mut listener in fresh {
            let token = Token(self.next_token);
            self.next_token += 1;
            self.registry
                .register(&mut listener, token, Interest::READABLE)
                .map_err(|error| ListenError::Port(error.to_string()))?;
            self.tcp.push((token, listener));
        }
        Ok(())
    }

    /// Listens on the Unix socket of the settings, if there is one.
    ///
    /// # Errors
    /// If the path is not to be had.
    pub fn bind_unix(&mut self, settings: &Settings) -> Result<(), ListenError> {
        if settings.unixsocket.is_empty() {
            return Ok(());
        }
        let path = settings.unixsocket.clone();
        let failed = |error: io::Error| ListenError::Unix(format!("Failed opening Unix socket: bind: {path}: {error}"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut listener = UnixListener::bind(&path).map_err(failed)?;
        if settings.unixsocketperm != 0 {
            fs::set_permissions(&path, fs::Permissions::from_mode(settings.unixsocketperm)).map_err(failed)?;
        }
        self.registry.register(&mut listener, UNIX_TOKEN, Interest::READABLE).map_err(failed)?;
        self.unix = Some(listener);
        self.unix_path = path;
        Ok(())
    }

    /// The TCP listener with a token.
    pub fn tcp(&self, token: Token) -> Option<&TcpListener> {
        self.tcp.iter().find(|(own, _)| *own == token).map(|(_, listener)| listener)
    }

    /// The Unix listener, if the token is its.
    pub fn unix(&self, token: Token) -> Option<&UnixListener> {
        self.unix.as_ref().filter(|_| token == UNIX_TOKEN)
    }

    /// Whether anybody can connect over TCP.
    pub fn listens_on_tcp(&self) -> bool {
        !self.tcp.is_empty()
    }

    /// All sockets that listen.
    pub fn sockets(&self) -> impl Iterator<Item = (Token, BorrowedFd<'_>)> {
        let tcp = self.tcp.iter().map(|(token, listener)| (*token, listener.as_fd()));
        tcp.chain(self.unix.iter().map(|unix| (UNIX_TOKEN, unix.as_fd())))
    }

    /// The path of the Unix socket; empty if there is none.
    pub fn unix_path(&self) -> &str {
        &self.unix_path
    }

    /// Stops listening, and removes the Unix socket's path.
    pub fn close(&mut self) {
        self.tcp.clear();
        if self.unix.take().is_some()
            && let Err(error) = fs::remove_file(&self.unix_path)
        {
            log::warn!("The Unix socket could not be removed: {error}");
        }
    }
}

fn resolve(name: &str, port: u16) -> Result<SocketAddr, String> {
    match name {
        "*" => Ok((Ipv4Addr::UNSPECIFIED, port).into()),
        "::*" => Ok((Ipv6Addr::UNSPECIFIED, port).into()),
        name => {
            let failed = |reason: String| format!("Could not resolve the address {name}: {reason}");
            let mut found = (name, port).to_socket_addrs().map_err(|error| failed(error.to_string()))?;
            found.next().ok_or_else(|| failed("it has no addresses".to_string()))
        }
    }
}

fn listen_tcp(address: SocketAddr, settings: &Settings) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(settings.tcp_backlog)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Whether a host just does not have such an address: what a leading `-` forgives.
fn unavailable(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT, libc::EPFNOSUPPORT, libc::EPROTONOSUPPORT, libc::ENOPROTOOPT]
        .into_iter()
        .any(|known| code == Some(known))
}
