//! The process as the operating system shows it: its title, its out-of-memory score, its place in the background.
#![allow(unsafe_code)]

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::config::{OomScoreAdj, Settings, Supervised, expand_title};

/// Where the kernel keeps the command line and, right behind it, the environment, and what the program was called.
struct TitleArea {
    start: usize,
    len: usize,
    program: String,
}

static TITLE: OnceLock<Option<TitleArea>> = OnceLock::new();

/// Makes room for titles: the memory of the command line and of the environment, which moves elsewhere. Must be called
/// before any other thread exists.
pub fn reserve_title() {
    TITLE.get_or_init(|| {
        let program = std::env::args().next()?;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // Fields are counted behind the command's name, which may contain anything; it ends with the last bracket.
        let fields: Vec<usize> =
            stat.rsplit_once(')')?.1.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let &[start, end, env_start, env_end] = fields.get(45..49)? else { return None };
        for (name, value) in std::env::vars_os() {
            // SAFETY: no other thread exists yet. Setting a variable gives it memory elsewhere.
            unsafe { std::env::set_var(name, value) };
        }
        let end = if env_start == end { env_end } else { end };
        (start != 0 && end > start).then(|| TitleArea { start, len: end - start, program })
    });
}

/// Shows the title that the settings ask for, as far as there is room.
pub fn show_title(settings: &Settings, unix_path: &str) {
    let Some(Some(area)) = TITLE.get() else { return };
    if !settings.set_proc_title {
        return;
    }
    let listens = match (settings.port, settings.tls_port) {
        (0, 0) => unix_path.to_string(),
        (port, tls) => {
            let host = settings.bind.first().map_or("*", |host| host.trim_start_matches('-'));
            format!("{host}:{}", if port == 0 { tls } else { port })
        }
    };
    let config_file = CONFIG_FILE.get().cloned().unwrap_or_default();
    let title = expand_title(&settings.proc_title_template, |variable| {
        Some(match variable {
            "title" => area.program.clone(),
            "listen-addr" => listens.clone(),
            "server-mode" => if settings.cluster_enabled { "[cluster]" } else { "" }.to_string(),
            "config-file" => config_file.clone(),
            "port" => settings.port.to_string(),
            "tls-port" => settings.tls_port.to_string(),
            "unixsocket" => settings.unixsocket.clone(),
            _ => return None,
        })
    });
    let Some(title) = title else { return };
    let shown = title.trim_end().as_bytes();
    let shown = &shown[..shown.len().min(area.len - 1)];
    // SAFETY: the area is the process's own, writable and used by nobody else since `reserve_title`.
    unsafe {
        let start = std::ptr::with_exposed_provenance_mut::<u8>(area.start);
        start.write_bytes(0, area.len);
        start.copy_from_nonoverlapping(shown.as_ptr(), shown.len());
    }
}

static CONFIG_FILE: OnceLock<String> = OnceLock::new();

/// Remembers the settings file's path for titles.
pub fn remember_config_file(path: String) {
    CONFIG_FILE.get_or_init(|| path);
}

/// The score that the process had before the settings decided it, while they do.
static OOM_SCORE_BEFORE: Mutex<Option<i32>> = Mutex::new(None);

/// Sets the score by which the kernel chooses whom to kill when memory runs out. While the settings leave it alone, so does
/// this: somebody else may have set it. A replica has another score than a master.
///
/// # Errors
/// If the kernel refuses; lowering it takes privileges.
pub fn set_oom_score(settings: &Settings, is_replica: bool) -> io::Result<()> {
    const PATH: &str = "/proc/self/oom_score_adj";
    let set = |score: i32| fs::write(PATH, score.clamp(-1000, 1000).to_string());
    let mut before = OOM_SCORE_BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    let own = settings.oom_score_adj_values[usize::from(is_replica)];
    if settings.oom_score_adj == OomScoreAdj::No {
        return before.take().map_or(Ok(()), set);
    }
    let base = match *before {
        Some(score) => score,
        None => fs::read_to_string(PATH)?.trim().parse().map_err(io::Error::other)?,
    };
    set(if settings.oom_score_adj == OomScoreAdj::Absolute { own } else { base + own })?;
    *before = Some(base);
    Ok(())
}

/// Lets the calling thread take second place behind the reactor: one that has much to do and that nobody waits for. It does not
/// interrupt others when it wakes, has a smaller share where there are too few processors, and is in no real-time class, even
/// if the process was started in one.
pub fn take_second_place() {
    const NICE: libc::c_int = 5;
    // SAFETY: the calls read the parameter, which lives as long as they take. Zero is the calling thread, also for `setpriority`.
    let done = unsafe {
        let parameter: libc::sched_param = std::mem::zeroed();
        libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameter) == 0
            && libc::setpriority(libc::PRIO_PROCESS, 0, NICE) == 0
    };
    if !done {
        log::debug!("A thread could not take second place: {}", io::Error::last_os_error());
    }
}

/// How the program was started.
struct Start {
    program: PathBuf,
    args: Vec<OsString>,
    directory: PathBuf,
}

static START: OnceLock<io::Result<Start>> = OnceLock::new();

/// Remembers how the program was started, for [`restart`]. To be called before anything changes that.
pub fn remember_start() {
    let start = || {
        let (program, directory) = (std::env::current_exe()?, std::env::current_dir()?);
        Ok(Start { program, args: std::env::args_os().collect(), directory })
    };
    START.get_or_init(start);
}

/// Puts the program as it starts into the place of this process as it is, after a delay: nothing is saved, and all
/// connections and files are closed. Returns if that fails, and why.
pub fn restart(delay: Duration) -> io::Error {
    let start = match START.get() {
        Some(Ok(start)) => start,
        Some(Err(error)) => return io::Error::new(error.kind(), error.to_string()),
        None => return io::ErrorKind::Unsupported.into(),
    };
    thread::sleep(delay);
    let mut command = Command::new(&start.program);
    if let [name, args @ ..] = &*start.args {
        command.arg0(name).args(args);
    }
    command.current_dir(&start.directory).exec()
}

/// Goes into the background. Must be called before any other thread exists.
///
/// # Errors
/// If the kernel refuses.
pub fn daemonize() -> io::Result<()> {
    // SAFETY: no other thread exists yet, so the child is a whole copy; it keeps its directory and gets /dev/null for its
    // standard streams.
    if unsafe { libc::daemon(1, 0) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The supervisor that the process has: the one that is wanted, or `auto` finds, if it has left its mark in the environment.
pub fn supervisor(wanted: Supervised) -> Supervised {
    let is = |one, mark| (wanted == one || wanted == Supervised::Auto) && std::env::var_os(mark).is_some();
    if is(Supervised::Upstart, "UPSTART_JOB") {
        Supervised::Upstart
    } else if is(Supervised::Systemd, "NOTIFY_SOCKET") {
        Supervised::Systemd
    } else {
        Supervised::No
    }
}

/// Tells the supervisor that the server is ready. Upstart looks for a process that has stopped itself, and lets it go on.
pub fn tell_ready(wanted: Supervised) {
    let supervisor = supervisor(wanted);
    if supervisor == Supervised::No && !matches!(wanted, Supervised::No | Supervised::Auto) {
        log::warn!("Supervision by {} is configured, but it has not started this process.", wanted.word());
    }
    if supervisor == Supervised::Upstart {
        log::info!("Supervised by upstart, will stop to signal readiness.");
        // SAFETY: a system call without pointers.
        unsafe { libc::raise(libc::SIGSTOP) };
    }
    tell_systemd("READY=1\nSTATUS=Ready to accept connections\n");
}

/// Tells systemd that the server is ready (`READY=1`) or on its way out (`STOPPING=1`), if systemd asked to be told.
pub fn tell_systemd(state: &str) {
    if let Err(error) = notify(state) {
        log::warn!("The supervisor could not be told: {}", super::reason(&error));
    }
}

fn notify(state: &str) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let path = path.into_encoded_bytes();
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::new(&*String::from_utf8_lossy(&path)))?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}
