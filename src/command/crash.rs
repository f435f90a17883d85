//! What the server tells about itself when it crashes: INFO, its clients, and the command that was running.
//!
//! `Ctx::call` notes what it runs, by address, so that it costs two stores. Only who reports a crash follows the address.
#![allow(unsafe_code)]

use std::fmt::Write;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use super::{Ctx, client, info};
use crate::observe::crash::{self, Occasion};
use crate::resp::Args;

/// Arguments that are shown, and bytes of each.
const ARGS_SHOWN: usize = 64;
const BYTES_SHOWN: usize = 1024;
/// Settings that may matter.
const SETTINGS: &[&str] = &[
    "lazyfree-lazy-eviction",
    "lazyfree-lazy-expire",
    "lazyfree-lazy-server-del",
    "lazyfree-lazy-user-del",
    "lazyfree-lazy-user-flush",
    "repl-diskless-load",
    "repl-diskless-sync",
    "activedefrag",
    "proto-max-bulk-len",
    "client-query-buffer-limit",
    "maxmemory",
    "maxmemory-policy",
    "appendonly",
    "appendfsync",
];

/// A command that is running.
pub struct Running {
    cx: *const (),
    args: *const (),
}

/// The one that is running now; null if none is.
static NOW: AtomicPtr<Running> = AtomicPtr::new(ptr::null_mut());

impl Running {
    #[inline]
    pub fn new(cx: &Ctx<'_>, args: &Args<'_>) -> Running {
        Running { cx: ptr::from_ref(cx).cast(), args: ptr::from_ref(args).cast() }
    }

    /// Notes that it runs. Returns the one that it interrupts, for [`resume`].
    #[inline]
    pub fn begin(&mut self) -> *mut Running {
        let outer = NOW.load(Relaxed);
        NOW.store(self, Relaxed);
        outer
    }
}

/// The command that was begun last is over.
#[inline]
pub fn resume(outer: *mut Running) {
    NOW.store(outer, Relaxed);
}

/// Lets reports have a part that is the server's. To be called once.
pub fn prepare() {
    crash::tell_by(tell);
}

fn tell(out: &mut dyn Write, occasion: Occasion) {
    let now = NOW.load(Relaxed);
    if now.is_null() {
        return;
    }
    // SAFETY: this runs on the thread of the event loop, in a handler or a panic hook, while `Ctx::call` is somewhere below on the
    // same stack: so the command, its context and its arguments are still there. What it was about to change may be half
    // changed; the process ends in any case, and a second crash is provided for.
    let (cx, args) = unsafe { (&*(*now).cx.cast::<Ctx<'_>>(), &*(*now).args.cast::<Args<'_>>()) };
    // Nobody could be told that writing failed.
    let _ = match occasion {
        Occasion::Assertion => tell_arguments(out, cx, args),
        Occasion::Crash => tell_all(out, cx, args),
    };
}

fn tell_arguments(out: &mut dyn Write, cx: &Ctx<'_>, args: &Args<'_>) -> std::fmt::Result {
    writeln!(out, "=== ASSERTION FAILED CLIENT CONTEXT ===")?;
    writeln!(out, "client->argc = {}", args.len())?;
    for (at, arg) in shown(cx, args) {
        match arg {
            Some(arg) => writeln!(out, "client->argv[{at}] = \"{arg}\"")?,
            None => writeln!(out, "client->argv[{at}] = *redacted*")?,
        }
    }
    Ok(())
}

fn tell_all(out: &mut dyn Write, cx: &Ctx<'_>, args: &Args<'_>) -> std::fmt::Result {
    writeln!(out, "\n------ CURRENT CLIENT INFO ------")?;
    writeln!(out, "argc: {}", args.len())?;
    for (at, arg) in shown(cx, args) {
        match arg {
            Some(arg) => writeln!(out, "argv[{at}]: '\"{arg}\"'")?,
            None => writeln!(out, "argv[{at}]: *redacted*")?,
        }
    }
    writeln!(out, "{}", client::describe(cx.server, cx.token))?;
    writeln!(out, "\n------ CONFIG DEBUG OUTPUT ------")?;
    for name in SETTINGS {
        writeln!(out, "{name} {}", cx.server.settings.get(name).unwrap_or_default())?;
    }
    writeln!(out, "\n------ INFO OUTPUT ------\n{}", info::everything(cx))?;
    writeln!(out, "\n------ CLIENT LIST OUTPUT ------")?;
    cx.server.clients.iter().try_for_each(|(token, _)| writeln!(out, "{}", client::describe(cx.server, token)))
}

/// The arguments as they may be shown: the name of the command alone where data must not come into the log.
fn shown(cx: &Ctx<'_>, args: &Args<'_>) -> impl Iterator<Item = (usize, Option<String>)> {
    let hidden = cx.server.settings.hide_user_data_from_log;
    (0..args.len().min(ARGS_SHOWN)).map(move |at| {
        let secret = at > 0 && (hidden || cx.redacted.contains(&at));
        let arg = &args[at][..args[at].len().min(BYTES_SHOWN)];
        (at, (!secret).then(|| arg.escape_ascii().to_string()))
    })
}
