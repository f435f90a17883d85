//! The server's program: flags, settings, start, exit code.

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use cachestorm::Server;
use cachestorm::command::{REDIS_VERSION, directives};
use cachestorm::config::{Invocation, Loaded, Settings, Supervised, text};
use cachestorm::memory::Allocator;
use cachestorm::net::limits::{make_room_for_clients, outlive_file_size_limit};
use cachestorm::net::listen::ListenError;
use cachestorm::observe::reason;
use cachestorm::observe::{crash, heap, log as logging, process};
use cachestorm::persist::aof::check as check_aof;
use cachestorm::persist::rdb::check;
use cachestorm::reactor::StartError;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    process::remember_start();
    let program = std::env::args_os().next().unwrap_or_default();
    let args: Vec<String> = std::env::args_os().skip(1).map(|arg| text::from_bytes(arg.as_encoded_bytes())).collect();
    if let Some(code) = check_files(Path::new(&program), &args) {
        return code;
    }
    if Path::new(&program).file_name().is_some_and(|name| name == "redis-server") && asks_version(&args) {
        tell_redis_version("Redis server");
        return ExitCode::SUCCESS;
    }
    let environment: HashMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, text::from_bytes(value.as_encoded_bytes()))))
        .collect();
    let variable = |name: &str| environment.get(name).cloned();
    let loaded = match Settings::load_judged(&args, &variable, &mut std::io::stdin(), &directives::judge) {
        Ok(Invocation::Serve(loaded)) => *loaded,
        Ok(Invocation::Print(text)) => {
            println!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    match serve(loaded) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(delay)) => {
            log::error!("The server cannot be started again: {}", process::restart(delay));
            ExitCode::FAILURE
        }
        Err(reason) => {
            log::error!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn asks_version(args: &[String]) -> bool {
    matches!(args, [word] if word == "-v" || word == "--version")
}

/// Tells the version in the words that scripts expect of what Redis has by this name.
fn tell_redis_version(name: &str) {
    println!("{name} v={REDIS_VERSION} sha=00000000:0 malloc={} bits={} build=0", heap::allocator(), usize::BITS);
}

/// Checks files, if the server was called by the name of a tool that does, or with its flag.
fn check_files(program: &Path, args: &[String]) -> Option<ExitCode> {
    let wanted = |tool: &str, flag: &str| {
        let by_name = program.file_name().is_some_and(|name| name == tool);
        (by_name || args.first().is_some_and(|arg| arg == flag)).then(|| &args[usize::from(!by_name)..])
    };
    let for_snapshots = wanted("redis-check-rdb", "--check-rdb");
    let for_journals = wanted("redis-check-aof", "--check-aof").filter(|_| for_snapshots.is_none());
    let args = for_snapshots.or(for_journals)?;
    let mut out = std::io::stdout();
    if asks_version(args) {
        let tool = if for_snapshots.is_some() { "redis-check-rdb" } else { "redis-check-aof" };
        tell_redis_version(tool);
        return Some(ExitCode::SUCCESS);
    }
    Some(match for_snapshots {
        Some(files) if check::run(files, &mut out) => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
        None => ExitCode::from(check_aof::run(args, &mut std::io::stdin().lock(), &mut out, &check::check)),
    })
}

/// Serves until something asks for the end. Returns after which time it is to start again, if it is. The error is the last line of
/// the log.
fn serve(Loaded { mut settings, source }: Loaded) -> Result<Option<Duration>, String> {
    process::reserve_title();
    if settings.daemonize && process::supervisor(settings.supervised) == Supervised::No {
        process::daemonize().map_err(|error| unlogged(format!("Can't go into the background: {}", reason(&error))))?;
    }
    std::env::set_current_dir(&settings.dir)
        .map_err(|error| unlogged(format!("Can't chdir to '{}': {}", settings.dir, reason(&error))))?;
    logging::init(&settings).map_err(|error| unlogged(format!("Can't open the log file: {}", reason(&error))))?;
    crash::install(&settings);
    outlive_file_size_limit();
    log::info!("oO0OoO0OoO0Oo CacheStorm is starting oO0OoO0OoO0Oo");
    log::info!("CacheStorm version={}, bits=64, PID: {}", env!("CARGO_PKG_VERSION"), std::process::id());
    match &source.file {
        Some(file) => {
            log::info!("Configuration loaded from {}", file.path.display());
            process::remember_config_file(file.path.display().to_string());
        }
        None => {
            log::warn!("No settings file: using the defaults. To name one, use cachestorm /path/to/cachestorm.yaml")
        }
    }
    settings.warn_of_inert(|_| true);
    settings.check_unencrypted().map_err(|error| format!("{}: {}", error.setting, error.reason))?;
    let possible =
        make_room_for_clients(settings.maxclients).map_err(|error| format!("Open files: {}", reason(&error)))?;
    if possible < settings.maxclients {
        if possible == 0 {
            return Err("The limit of open files (ulimit -n) leaves no room for clients.".to_string());
        }
        log::warn!(
            "The limit of open files (ulimit -n) leaves room for {possible} clients rather than the {} of maxclients.",
            settings.maxclients
        );
        settings.maxclients = possible;
    }
    if let Err(error) = process::set_oom_score(&settings, false) {
        log::warn!("Unable to write oom_score_adj: {}", reason(&error));
    }
    let (port, pidfile) = (settings.port, settings.pidfile.clone());
    let daemon = settings.daemonize;
    let mut reactor = Server::builder(Loaded { settings, source }).build().map_err(|error| match error {
        StartError::Listen(reason) => {
            log::warn!("Warning: {}", reason.reason());
            match reason {
                ListenError::Unix(_) => "Failed opening Unix socket, aborting.".to_string(),
                _ => format!("Failed listening on port {port} (tcp), aborting."),
            }
        }
        StartError::Io(error) => format!("The event loop cannot be set up: {}", reason(&error)),
        StartError::Commands(reason) | StartError::Plugin(reason) => reason,
        StartError::Unreachable => "Configured to not listen anywhere, exiting.".to_string(),
    })?;
    process::show_title(&reactor.server.settings, reactor.server.listeners.unix_path());
    let pidfile = write_pidfile(&pidfile, daemon);
    log::info!("Server initialized");
    let ended = reactor.run();
    process::tell_systemd("STOPPING=1\n");
    if let Some(path) = pidfile {
        log::info!("Removing the pid file.");
        if let Err(error) = std::fs::remove_file(&path) {
            log::warn!("The pid file {path} could not be removed: {}", reason(&error));
        }
    }
    ended?;
    log::warn!("CacheStorm is now ready to exit, bye bye...");
    Ok(reactor.server.debug.restart_after)
}

/// Says why the server does not start, where there is no log yet.
fn unlogged(reason: String) -> String {
    eprintln!("{reason}");
    reason
}

/// Writes the process's number where the settings say; a server in the background always writes it somewhere. Failing
/// is worth a warning only.
fn write_pidfile(path: &str, daemon: bool) -> Option<String> {
    let path = if path.is_empty() && daemon { "/var/run/cachestorm.pid" } else { path };
    if path.is_empty() {
        return None;
    }
    match std::fs::write(path, format!("{}\n", std::process::id())) {
        Ok(()) => Some(path.to_string()),
        Err(error) => {
            log::warn!("Failed to write PID file {path}: {}", reason(&error));
            None
        }
    }
}
