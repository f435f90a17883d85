//! Signals, as readable pipes inside the poll: SIGTERM and SIGINT end the server, SIGHUP re-reads the settings.

use std::io::{self, Read};
use std::os::unix::net::UnixStream as StdUnixStream;

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::command::state::{Server, Shutdown};

const HANDLED: [i32; 3] = [SIGTERM, SIGINT, SIGHUP];

/// The read ends of one pipe for each signal.
pub struct Signals {
    first_token: usize,
    pipes: Vec<UnixStream>,
}

impl Signals {
    /// Handles the signals from now on; their pipes report with tokens from `first_token` on.
    ///
    /// # Errors
    /// If the kernel refuses a pipe or a handler.
    pub fn new(registry: &Registry, first_token: usize) -> io::Result<Signals> {
        let mut pipes = Vec::new();
        for (at, signal) in HANDLED.into_iter().enumerate() {
            let (read, write) = StdUnixStream::pair()?;
            read.set_nonblocking(true)?;
            signal_hook::low_level::pipe::register(signal, write)?;
            let mut read = UnixStream::from_std(read);
            registry.register(&mut read, Token(first_token + at), Interest::READABLE)?;
            pipes.push(read);
        }
        Ok(Signals { first_token, pipes })
    }

    /// Does what the signal behind a token asks for.
    pub fn handle(&mut self, token: Token, server: &mut Server) {
        let at = token.0 - self.first_token;
        let Some(pipe) = self.pipes.get_mut(at) else { return };
        let mut bytes = [0; 64];
        let mut times = 0;
        while let Ok(read @ 1..) = pipe.read(&mut bytes) {
            times += read;
        }
        if times == 0 {
            return;
        }
        match HANDLED[at] {
            SIGHUP => server.reload_settings(),
            signal => {
                let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
                log::warn!("Received {name} scheduling shutdown...");
                server.shutdown = Some(Shutdown { force: true });
            }
        }
    }
}
