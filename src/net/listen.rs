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
use crate::observe::reason;

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

    /// Listens on the TCP addresses of the settings, and no longer on those of before. An address that was there before
    /// keeps its socket. If that fails, what was before remains; only a socket that stood in the way of a new one has
    /// been closed and opened again by then.
    ///
    /// # Errors
    /// The first address that is not to be had.
    pub fn bind_tcp(&mut self, settings: &Settings) -> Result<(), ListenError> {
        let wanted = wanted_addresses(settings)?;
        let held = std::mem::take(&mut self.tcp);
        let is_wanted = |address| wanted.iter().any(|wanted| wanted.address == address);
        let (kept, old): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|(_, own)| own.local_addr().is_ok_and(is_wanted));
        self.tcp = kept;
        let held: Vec<SocketAddr> = self.tcp.iter().filter_map(|(_, own)| own.local_addr().ok()).collect();
        let missing: Vec<&Wanted> = wanted.iter().filter(|wanted| !held.contains(&wanted.address)).collect();
        let is_in_the_way = |address| missing.iter().any(|wanted| overlap(wanted.address, address));
        let (in_the_way, old): (Vec<_>, Vec<_>) =
            old.into_iter().partition(|(_, own)| own.local_addr().is_ok_and(is_in_the_way));
        let closed: Vec<SocketAddr> = in_the_way.iter().filter_map(|(_, own)| own.local_addr().ok()).collect();
        self.drop_tcp(in_the_way);
        match open_all(&missing, settings) {
            Ok(fresh) => {
                self.drop_tcp(old);
                self.add_tcp(fresh)
            }
            Err(error) => {
                self.tcp.extend(old);
                self.reopen(&closed, settings);
                Err(error)
            }
        }
    }

    /// Takes sockets out of the poll and closes them.
    fn drop_tcp(&mut self, listeners: Vec<(Token, TcpListener)>) {
        for (_, mut listener) in listeners {
            if let Err(error) = self.registry.deregister(&mut listener) {
                log::warn!("A listening socket could not be taken out of the poll: {}", reason(&error));
            }
        }
    }

    /// Takes in sockets that listen.
    ///
    /// # Errors
    /// If the poll does not take one.
    fn add_tcp(&mut self, listeners: Vec<TcpListener>) -> Result<(), ListenError> {
        for mut listener in listeners {
            let token = Token(self.next_token);
            self.next_token += 1;
            self.registry
                .register(&mut listener, token, Interest::READABLE)
                .map_err(|error| ListenError::Port(error.to_string()))?;
            self.tcp.push((token, listener));
        }
        Ok(())
    }

    /// Listens again on addresses that were given up for others which are not to be had.
    fn reopen(&mut self, addresses: &[SocketAddr], settings: &Settings) {
        for address in addresses {
            let opened = listen_tcp(*address, settings).map_err(|error| ListenError::Port(error.to_string()));
            if let Err(error) = opened.and_then(|listener| self.add_tcp(vec![listener])) {
                log::warn!("The server does not listen on {address} any more: {}", error.reason());
            }
        }
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
        let failed = |error: io::Error| {
            ListenError::Unix(format!("Failed opening Unix socket: bind: {path}: {}", reason(&error)))
        };
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

    /// Whether nobody can connect at all.
    pub fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.unix.is_none()
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
            log::warn!("The Unix socket could not be removed: {}", reason(&error));
        }
    }
}

/// An address of the settings.
struct Wanted {
    name: String,
    address: SocketAddr,
    /// It is no problem if this host does not have it.
    is_optional: bool,
}

/// The addresses of the settings; optional ones that have no meaning here are left out.
fn wanted_addresses(settings: &Settings) -> Result<Vec<Wanted>, ListenError> {
    let mut wanted = Vec::new();
    for given in settings.bind.iter().filter(|_| settings.port != 0) {
        let is_optional = given.starts_with('-');
        let name = given.strip_prefix('-').unwrap_or(given);
        match resolve(name, settings.port) {
            Ok(address) => wanted.push(Wanted { name: name.to_string(), address, is_optional }),
            Err(_) if is_optional => {}
            Err(reason) => return Err(ListenError::Address(reason)),
        }
    }
    Ok(wanted)
}

/// Whether no two sockets can listen on these two addresses at one time.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, other_ip) = (one.ip(), other.ip());
    let is_shared = ip == other_ip || ip.is_unspecified() || other_ip.is_unspecified();
    one.port() == other.port() && one.is_ipv4() == other.is_ipv4() && is_shared
}

/// Listens on all of these addresses, or on none.
fn open_all(wanted: &[&Wanted], settings: &Settings) -> Result<Vec<TcpListener>, ListenError> {
    let mut opened = Vec::new();
    for Wanted { name, address, is_optional } in wanted {
        match listen_tcp(*address, settings) {
            Ok(listener) => opened.push(listener),
            Err(error) if *is_optional && unavailable(&error) => {}
            Err(error) => {
                let port = settings.port;
                let reason =
                    format!("Could not create server TCP listening socket {name}:{port}: bind: {}", reason(&error));
                return Err(ListenError::Port(reason));
            }
        }
    }
    Ok(opened)
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

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn settings(bind: &str, port: u16) -> Settings {
        Settings { bind: bind.split(' ').map(str::to_string).collect(), port, ..Settings::default() }
    }

    fn addresses(listeners: &Listeners) -> Vec<String> {
        let addresses = listeners.tcp.iter().filter_map(|(_, own)| own.local_addr().ok());
        let mut addresses: Vec<String> = addresses.map(|address| address.ip().to_string()).collect();
        addresses.sort();
        addresses
    }

    /// A port that is free on all addresses of this host.
    fn free_port() -> u16 {
        std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn addresses_may_get_fewer_and_more() {
        let poll = mio::Poll::new().unwrap();
        let mut listeners = Listeners::new(poll.registry().try_clone().unwrap());
        let port = free_port();
        let cases: &[(&str, &[&str])] = &[
            ("0.0.0.0", &["0.0.0.0"]),
            ("127.0.0.1 127.0.0.2", &["127.0.0.1", "127.0.0.2"]),
            ("127.0.0.2", &["127.0.0.2"]),
            ("*", &["0.0.0.0"]),
            ("127.0.0.1 -192.0.2.1", &["127.0.0.1"]),
        ];
        for (bind, expected) in cases {
            assert_eq!(listeners.bind_tcp(&settings(bind, port)), Ok(()), "{bind}");
            assert_eq!(addresses(&listeners), *expected, "{bind}");
        }
        let token = listeners.tcp[0].0;
        listeners.bind_tcp(&settings("127.0.0.1 127.0.0.3", port)).unwrap();
        assert_eq!(listeners.tcp[0].0, token, "an address that stays keeps its socket");
    }

    #[test]
    fn what_was_before_remains_if_an_address_is_not_to_be_had() {
        let poll = mio::Poll::new().unwrap();
        let mut listeners = Listeners::new(poll.registry().try_clone().unwrap());
        let port = free_port();
        listeners.bind_tcp(&settings("0.0.0.0", port)).unwrap();
        for bind in ["127.0.0.1 192.0.2.1", "127.0.0.1 no.such.name.invalid"] {
            assert!(listeners.bind_tcp(&settings(bind, port)).is_err());
            assert_eq!(addresses(&listeners), ["0.0.0.0"]);
            TcpStream::connect(("127.0.0.2", port)).unwrap();
        }
    }
}
