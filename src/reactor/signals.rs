//! Signals, as readable pipes inside the poll: SIGTERM and SIGINT end the server, SIGHUP re-reads the settings.

use std::io::{self, Read};
use std::os::unix::net::UnixStream as StdUnixStream;

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::command::state::{Server, Shutdown};
use crate::config::ShutdownFlags;

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

    /// Whether SIGINT has come (again): somebody insists.
    pub fn interrupted(&mut self) -> bool {
        let at = HANDLED.iter().position(|&signal| signal == SIGINT);
        let Some(pipe) = at.and_then(|at| self.pipes.get_mut(at)) else { return false };
        matches!(pipe.read(&mut [0; 64]), Ok(1..))
    }

    /// Does what the signal behind a token asks for.
    pub fn handle(&mut self, token: Token, server: &mut Server) {
        let at = token.0 - self.first_token;
        match (HANDLED[at], self.take(at)) {
            (_, 0) => {}
            (SIGHUP, _) => server.reload_settings(),
            (signal, times) => schedule_shutdown(server, signal, times),
        }
    }

    /// Notes, while a script runs, what asks for the end, which comes when the script is over.
    pub fn handle_while_busy(&mut self, server: &mut Server) {
        for (at, signal) in HANDLED.into_iter().enumerate().filter(|&(_, signal)| signal != SIGHUP) {
            let times = self.take(at);
            if times > 0 {
                schedule_shutdown(server, signal, times);
            }
        }
    }

    /// How often a signal has come since it was asked for last.
    fn take(&mut self, at: usize) -> usize {
        let Some(pipe) = self.pipes.get_mut(at) else { return 0 };
        let mut bytes = [0; 64];
        let mut times = 0;
        while let Ok(read @ 1..) = pipe.read(&mut bytes) {
            times += read;
        }
        times
    }
}

/// Ends the server when nothing runs, as the settings say for a signal that has come so many times. An end that is under way
/// stays as it was asked for; but for who insists the process ends here.
fn schedule_shutdown(server: &mut Server, signal: i32, times: usize) {
    let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
    let signalled = server.shutdown.is_some_and(|shutdown| shutdown.signalled);
    if signal == SIGINT && (signalled || times > 1) {
        log::error!("You insist... exiting now.");
        std::process::exit(1);
    }
    log::warn!("Received {name} scheduling shutdown...");
    if let Some(shutdown) = &mut server.shutdown {
        shutdown.signalled = true;
        return;
    }
    let settings = &server.settings;
    let flags = if signal == SIGINT { settings.shutdown_on_sigint } else { settings.shutdown_on_sigterm };
    let has = |flag| flags.contains(flag);
    server.shutdown = Some(Shutdown {
        save: match (has(ShutdownFlags::SAVE), has(ShutdownFlags::NOSAVE)) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        },
        now: has(ShutdownFlags::NOW),
        force: has(ShutdownFlags::FORCE),
        waits_until_ms: None,
        client: None,
        signalled: true,
    });
}
