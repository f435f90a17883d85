//! The server's log: the sink behind the `log` macros.
//!
//! Two formats. `console` is the line that Redis writes and that tools match:
//!
//! ```text
//! 12345:M 21 Nov 2026 00:42:24.123 * Ready to accept connections tcp
//! pid   role  local time           level
//! ```
//!
//! `json` is one object a line, with the time in UTC:
//!
//! ```text
//! {"ts":"2026-11-20T23:42:24.123Z","level":"notice","pid":12345,"role":"master","target":"…","msg":"…"}
//! ```
//!
//! Redis has four levels, the macros five:
//!
//! | `loglevel` | macro            | mark |
//! | ---------- | ---------------- | ---- |
//! | debug      | `trace!`         | `.`  |
//! | verbose    | `debug!`         | `-`  |
//! | notice     | `info!`          | `*`  |
//! | warning    | `warn!` `error!` | `#`  |
//! | nothing    |                  |      |
//!
//! A log file is opened for every line, so that a rotated file is left alone from one line to the next, without a
//! signal. A line that cannot be written is lost; the server goes on. simplelog stamps the time (RFC 3339, with the
//! local offset as it was at the start) and lets only our own targets through; `LineWriter` brings what it writes into
//! the two formats. What is logged must not be secret: nothing is filtered here.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use ::log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{ConfigBuilder, WriteLogger};

use super::syslog::Syslog;
use crate::config::{LogFormat, LogLevel, Settings};

/// A message has no more bytes than that: what others send stands in some, and is as long as they like.
const MOST_BYTES: usize = 32 * 1024;

/// What the server is, as the log shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Master,
    Replica,
    Sentinel,
}

static ROLE: AtomicU8 = AtomicU8::new(Role::Master as u8);

/// Starts logging as the settings say. Once in a process.
///
/// # Errors
/// If the log file cannot be opened, or logging has started already.
pub fn init(settings: &Settings) -> io::Result<()> {
    let output = Output::named(&settings.logfile)?;
    let mut log = ServerLog::new(settings.logformat, output);
    if settings.syslog_enabled {
        log.syslog = Some(Syslog::open(&settings.syslog_ident, settings.syslog_facility));
    }
    ::log::set_boxed_logger(Box::new(log)).map_err(io::Error::other)?;
    set_level(settings.loglevel);
    Ok(())
}

/// For SIGHUP: says on standard error if the log file can no longer be opened, for then all lines are lost.
pub fn reopen() {
    ::log::logger().flush();
}

/// Changes how much is logged.
pub fn set_level(level: LogLevel) {
    ::log::set_max_level(match level {
        LogLevel::Debug => LevelFilter::Trace,
        LogLevel::Verbose => LevelFilter::Debug,
        LogLevel::Notice => LevelFilter::Info,
        LogLevel::Warning => LevelFilter::Warn,
        LogLevel::Nothing => LevelFilter::Off,
    });
}

/// Changes the role that lines show.
pub fn set_role(role: Role) {
    ROLE.store(role as u8, Ordering::Relaxed);
}

/// The mark and the name of the role.
fn role() -> (char, &'static str) {
    match ROLE.load(Ordering::Relaxed) {
        role if role == Role::Replica as u8 => ('S', "replica"),
        role if role == Role::Sentinel as u8 => ('X', "sentinel"),
        _ => ('M', "master"),
    }
}

/// The mark and the name of a level.
fn level(level: Level) -> (char, &'static str) {
    match level {
        Level::Error | Level::Warn => ('#', "warning"),
        Level::Info => ('*', "notice"),
        Level::Debug => ('-', "verbose"),
        Level::Trace => ('.', "debug"),
    }
}

struct ServerLog {
    format: LogFormat,
    output: Output,
    /// Where lines go besides.
    syslog: Option<Syslog>,
    writer: Mutex<Box<WriteLogger<LineWriter>>>,
}

impl ServerLog {
    fn new(format: LogFormat, output: Output) -> ServerLog {
        let mut config = ConfigBuilder::new();
        let off = LevelFilter::Off;
        // simplelog then writes "TIME MESSAGE", and nothing from other crates.
        config.set_time_level(LevelFilter::Error).set_time_format_rfc3339();
        config.set_max_level(off).set_thread_level(off).set_target_level(off).set_location_level(off);
        config.add_filter_allow_str(env!("CARGO_PKG_NAME"));
        if format == LogFormat::Console {
            // Where the offset cannot be known, the time is UTC.
            let _ = config.set_time_offset_to_local();
        }
        let line = LineWriter { format, output: output.clone(), line: Vec::new() };
        let writer = Mutex::new(WriteLogger::new(LevelFilter::Trace, config.build(), line));
        ServerLog { format, output, syslog: None, writer }
    }
}

impl Log for ServerLog {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= ::log::max_level()
    }

    fn log(&self, record: &Record) {
        let (mark, name) = level(record.level());
        let mut message = record.args().to_string();
        message.truncate(message.floor_char_boundary(MOST_BYTES));
        let text = match self.format {
            LogFormat::Console => format!("{mark} {message}"),
            LogFormat::Json => format!(
                "\"level\":\"{name}\",\"pid\":{},\"role\":\"{}\",\"target\":{},\"msg\":{}}}",
                std::process::id(),
                role().1,
                serde_json::Value::from(record.target()),
                serde_json::Value::from(message.as_str()),
            ),
        };
        // One line at a time, from the time stamp to the end.
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let metadata = record.metadata().clone();
        writer.log(&Record::builder().metadata(metadata).args(format_args!("{text}")).build());
        writer.flush();
        if let Some(syslog) = &self.syslog
            && record.target().starts_with(env!("CARGO_PKG_NAME"))
        {
            syslog.write(record.level(), &message);
        }
    }

    /// Lines are never held back, so there is nothing to do but to see whether the next one can be written.
    fn flush(&self) {
        if let Output::File(path) = &self.output
            && let Err(error) = open(path)
        {
            eprintln!("Can't open the log file {}: {}", path.display(), super::reason(&error));
        }
    }
}

/// Gathers the pieces of a line and writes it in one piece.
struct LineWriter {
    format: LogFormat,
    output: Output,
    line: Vec<u8>,
}

impl Write for LineWriter {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        // There is no line if the target was not ours.
        let Some((time, rest)) = std::str::from_utf8(&line).ok().and_then(|line| line.split_once(' ')) else {
            return Ok(());
        };
        self.output.write(match self.format {
            LogFormat::Console => format!("{}:{} {} {rest}", std::process::id(), role().0, redis_time(time)),
            LogFormat::Json => format!("{{\"ts\":\"{}Z\",{rest}", to_millis(time)),
        })
    }
}

/// The date and time of an RFC 3339 time stamp, cut or filled to milliseconds; the offset is left out.
fn to_millis(rfc3339: &str) -> String {
    let (seconds, fraction) = rfc3339.split_at(rfc3339.len().min("2026-11-21T00:42:24".len()));
    let digits = fraction.strip_prefix('.').unwrap_or_default().chars().take_while(char::is_ascii_digit).take(3);
    format!("{seconds}.{:0<3}", digits.collect::<String>())
}

/// An RFC 3339 time stamp as Redis writes times.
fn redis_time(rfc3339: &str) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let stamp = to_millis(rfc3339);
    let (date, time) = stamp.split_once('T').unwrap_or_default();
    let mut parts = date.splitn(3, '-');
    let [year, month, day] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let month = month.parse().ok().and_then(|month: usize| MONTHS.get(month.wrapping_sub(1)));
    format!("{day} {} {year} {time}", month.unwrap_or(&"???"))
}

/// Where lines go.
#[derive(Clone)]
enum Output {
    Stdout,
    Stderr,
    File(PathBuf),
}

impl Output {
    /// The output that the setting `logfile` names. The standard streams may be sockets, which have no path that can
    /// be opened, so their names are not taken as paths.
    fn named(name: &str) -> io::Result<Output> {
        match name {
            "" | "/dev/stdout" => Ok(Output::Stdout),
            "/dev/stderr" => Ok(Output::Stderr),
            path => {
                let path = std::path::absolute(path)?;
                open(&path)?;
                Ok(Output::File(path))
            }
        }
    }

    fn write(&self, line: String) -> io::Result<()> {
        match self {
            Output::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(line.as_bytes())?;
                stdout.flush()
            }
            Output::Stderr => io::stderr().lock().write_all(line.as_bytes()),
            Output::File(path) => open(path)?.write_all(line.as_bytes()),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a log in a file of its own holds after `each` record has been logged.
    fn logged(format: LogFormat, name: &str, records: &[(Level, &str, &str)]) -> String {
        let path = std::env::temp_dir().join(format!("cachestorm-log-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let log = ServerLog::new(format, Output::named(path.to_str().unwrap()).unwrap());
        for (level, target, message) in records {
            log.log(&Record::builder().level(*level).target(target).args(format_args!("{message}")).build());
        }
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        text
    }

    const RECORDS: &[(Level, &str, &str)] = &[
        (Level::Error, "cachestorm::net", "one"),
        (Level::Warn, "cachestorm", "two"),
        (Level::Info, "mio::poll", "not ours"),
        (Level::Info, "cachestorm", "three \"quoted\"\nand more"),
        (Level::Debug, "cachestorm", "four"),
        (Level::Trace, "cachestorm", ""),
    ];

    #[test]
    fn console_lines_look_like_those_of_redis() {
        let text = logged(LogFormat::Console, "console", RECORDS);
        let pid = std::process::id();
        let stripped: Vec<&str> =
            text.lines().map(|line| line.strip_prefix(&format!("{pid}:M ")).unwrap_or(line)).collect();
        let digits = |part: &str| part.replace(|letter: char| letter.is_ascii_digit(), "0");
        let expected = ["# one", "# two", "* three \"quoted\"", "and more", "- four", ". "];
        assert_eq!(stripped.len(), expected.len(), "{text}");
        for (line, expected) in stripped.iter().zip(expected) {
            if expected == "and more" {
                assert_eq!(*line, expected);
                continue;
            }
            let (time, message) = line.split_at("21 Nov 2026 00:42:24.123 ".len());
            assert_eq!(message, expected);
            assert_eq!(digits(&time[..3]), "00 ", "{time}");
            assert!(time[3..6].chars().all(char::is_alphabetic), "{time}");
            assert_eq!(digits(&time[6..]), " 0000 00:00:00.000 ", "{time}");
        }
    }

    #[test]
    fn times_are_rearranged() {
        let cases = [
            ("2026-11-21T00:42:24.123456789+01:00", "2026-11-21T00:42:24.123", "21 Nov 2026 00:42:24.123"),
            ("2026-01-02T03:04:05.6Z", "2026-01-02T03:04:05.600", "02 Jan 2026 03:04:05.600"),
            ("2026-12-31T23:59:59Z", "2026-12-31T23:59:59.000", "31 Dec 2026 23:59:59.000"),
            ("", ".000", " ???  "),
        ];
        for (stamp, millis, redis) in cases {
            assert_eq!((to_millis(stamp).as_str(), redis_time(stamp).as_str()), (millis, redis), "{stamp}");
        }
    }

    #[test]
    fn json_lines_are_objects() {
        let text = logged(LogFormat::Json, "json", RECORDS);
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let levels: Vec<_> = lines.iter().map(|line| line["level"].as_str().unwrap()).collect();
        assert_eq!(levels, ["warning", "warning", "notice", "verbose", "debug"]);
        assert_eq!(lines[0]["target"], "cachestorm::net");
        assert_eq!(lines[0]["role"], "master");
        assert_eq!(lines[0]["pid"], std::process::id());
        assert_eq!(lines[2]["msg"], "three \"quoted\"\nand more");
        let ts = lines[0]["ts"].as_str().unwrap();
        assert_eq!(ts.replace(|letter: char| letter.is_ascii_digit(), "0"), "0000-00-00T00:00:00.000Z");
    }

    #[test]
    fn a_rotated_file_is_left_alone() {
        let path = std::env::temp_dir().join(format!("cachestorm-log-{}-rotated", std::process::id()));
        let moved = path.with_extension("1");
        let log = ServerLog::new(LogFormat::Console, Output::named(path.to_str().unwrap()).unwrap());
        let record =
            |message: &str| log.log(&Record::builder().target("cachestorm").args(format_args!("{message}")).build());
        record("before");
        std::fs::rename(&path, &moved).unwrap();
        record("after");
        assert!(std::fs::read_to_string(&moved).unwrap().ends_with("* before\n"));
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("* after\n"));
        // Even where nothing can be written, logging does not fail.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        record("lost");
        std::fs::remove_dir(&path).unwrap();
        std::fs::remove_file(&moved).unwrap();
    }

    #[test]
    fn outputs_are_known_by_name() {
        assert!(matches!(Output::named(""), Ok(Output::Stdout)));
        assert!(matches!(Output::named("/dev/stderr"), Ok(Output::Stderr)));
        let error = Output::named("/no/such/dir/log").err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
