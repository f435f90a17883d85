//! Checking append-only files without a server: `cachestorm --check-aof`, also under the name of redis-check-aof.
//!
//! A file is sound if the server would take it. What is wrong can be cut off, if it is the end of the last file, and with
//! `--truncate-to-timestamp` everything later than some time can. Reports and their words are those of the tool that
//! scripts know.

use std::fs::File;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::manifest::Manifest;
use super::walker::{Fault, Step, Walker};
use crate::observe::reason;

const USAGE: &str = "Usage: cachestorm --check-aof [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>";

/// What is to be done besides looking.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Repair {
    #[default]
    None,
    /// The end of the last file may be cut off.
    Fix,
    /// Everything later than this Unix time goes.
    Truncate(i64),
}

/// How a file was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    Valid,
    Empty,
    Truncated,
    TruncatedToTime,
}

/// A check that failed: the last line of the report.
type Failure = String;

/// Looks at the snapshot that a file begins with. Returns where it ends; `None` if it is damaged.
pub type CheckSnapshot<'a> = &'a dyn Fn(&str, &mut dyn Write) -> io::Result<Option<u64>>;

/// Runs the tool on its arguments. Questions are answered from `input`. Returns the exit code.
pub fn run(args: &[String], input: &mut dyn BufRead, out: &mut dyn Write, snapshot: CheckSnapshot<'_>) -> u8 {
    let failure = check(args, input, out, snapshot);
    let told = failure.as_ref().err().map_or(Ok(()), |line| writeln!(out, "{line}"));
    u8::from(failure.is_err() || told.is_err())
}

fn check(
    args: &[String],
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    snapshot: CheckSnapshot<'_>,
) -> Result<(), Failure> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (path, repair) = match words[..] {
        [path] if !path.starts_with("--") => (path, Repair::None),
        ["--fix", path] => (path, Repair::Fix),
        ["--truncate-to-timestamp", time, path] => (path, time_limit(time)?),
        _ => return Err(USAGE.to_string()),
    };
    let text = head(Path::new(path), 1024)?;
    let mut checker = Checker { repair, input, out, snapshot, lines: 1 };
    if is_manifest(&text) { checker.check_parts(Path::new(path)) } else { checker.check_old(path) }
}

/// What is to be done by the time that `--truncate-to-timestamp` was called with: none, and 0, stand for no time.
fn time_limit(text: &str) -> Result<Repair, Failure> {
    match text.trim_ascii_start().parse() {
        _ if text.is_empty() => Ok(Repair::None),
        Ok(0) => Ok(Repair::None),
        Ok(time) => Ok(Repair::Truncate(time)),
        Err(_) => Err("Invalid timestamp, aborting...".to_string()),
    }
}

fn say(out: &mut dyn Write, line: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    writeln!(out, "{line}").map_err(|error| reason(&error))
}

/// The first bytes of a file.
fn head(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(|error| format!("Cannot open file {}: {}", path.display(), reason(&error)))?;
    Ok(bytes)
}

/// Whether a file that begins so is a manifest.
fn is_manifest(head: &[u8]) -> bool {
    head.split(|&byte| byte == b'\n').find(|line| !line.starts_with(b"#")).is_some_and(|line| line.starts_with(b"file"))
}

/// Whether a file that begins so begins with a snapshot.
fn is_snapshot(head: &[u8]) -> bool {
    head.len() >= 8 && head.starts_with(b"REDIS")
}

struct Checker<'a> {
    repair: Repair,
    input: &'a mut dyn BufRead,
    out: &'a mut dyn Write,
    snapshot: CheckSnapshot<'a>,
    /// The number of the line that has been reached, over all files.
    lines: u64,
}

impl Checker<'_> {
    /// Checks all files of a manifest.
    fn check_parts(&mut self, path: &Path) -> Result<(), Failure> {
        say(self.out, format_args!("Start checking Multi Part AOF"))?;
        let text = std::fs::read(path).map_err(|error| {
            format!("Fatal error: can't open the AOF manifest file {} for reading: {}", path.display(), reason(&error))
        })?;
        let manifest = Manifest::parse(&text).map_err(|error| {
            let mut report = "\n*** FATAL AOF MANIFEST FILE ERROR ***\n".to_string();
            if let Some((number, line)) = error.line {
                report.push_str(&format!("Reading the manifest file, at line {number}\n>>> '{line}'\n"));
            }
            report + error.reason
        })?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let parts: Vec<_> = manifest.parts().collect();
        for (at, part) in parts.iter().enumerate() {
            let file = directory.join(&part.name);
            let is_base = at == 0 && manifest.base.is_some();
            if is_base {
                let format = if is_snapshot(&head(&file, 8)?) { "RDB" } else { "RESP" };
                say(self.out, format_args!("Start to check BASE AOF ({format} format)."))?;
            }
            if at == usize::from(manifest.base.is_some()) {
                say(self.out, format_args!("Start to check INCR files."))?;
            }
            let found = self.check_file(&part.name, &file, at + 1 == parts.len(), is_base)?;
            self.tell(found, &part.name, if is_base { "BASE AOF" } else { "INCR AOF" })?;
        }
        say(self.out, format_args!("All AOF files and manifest are valid"))
    }

    /// Checks a file that stands alone.
    fn check_old(&mut self, path: &str) -> Result<(), Failure> {
        say(self.out, format_args!("Start checking Old-Style AOF"))?;
        let found = self.check_file(path, Path::new(path), true, true)?;
        self.tell(found, path, "AOF")
    }

    fn tell(&mut self, found: Found, name: &str, kind: &str) -> Result<(), Failure> {
        match (found, self.repair) {
            (Found::Valid, _) => say(self.out, format_args!("{kind} {name} is valid")),
            (Found::Empty, _) => say(self.out, format_args!("{kind} {name} is empty")),
            (Found::TruncatedToTime, Repair::Truncate(time)) => {
                say(self.out, format_args!("Successfully truncated AOF {name} to timestamp {time}"))
            }
            _ => say(self.out, format_args!("Successfully truncated AOF {name}")),
        }
    }

    /// Checks one file. Only a base may begin with a snapshot.
    fn check_file(&mut self, name: &str, path: &Path, is_last: bool, is_base: bool) -> Result<Found, Failure> {
        let cannot = |error: io::Error| format!("Cannot open file {}: {}, aborting...", path.display(), reason(&error));
        let writable = self.repair != Repair::None;
        let mut file = File::options().read(true).write(writable).open(path).map_err(cannot)?;
        let size = file.metadata().map_err(cannot)?.len();
        if size == 0 {
            return Ok(Found::Empty);
        }
        let mut start = 0;
        if is_base && is_snapshot(&head(path, 8)?) {
            let end = (self.snapshot)(&path.to_string_lossy(), self.out).map_err(cannot)?;
            start = end.ok_or("RDB preamble of AOF file is not sane, aborting.")?;
            say(self.out, format_args!("RDB preamble is OK, proceeding with AOF tail..."))?;
        }
        file.seek(SeekFrom::Start(start)).map_err(cannot)?;
        let mut walker = Walker::new(file.try_clone().map_err(cannot)?, start);
        // Behind the last whole command that is not within a transaction.
        let mut good = start;
        let mut in_transaction = false;
        let complaint = loop {
            if !in_transaction {
                good = walker.offset();
            }
            match walker.advance() {
                Ok(Step::Annotation) => {
                    if let Repair::Truncate(limit) = self.repair
                        && walker.timestamp()?.is_some_and(|time| time > limit)
                    {
                        return self.cut_at_time(&file, path, walker.start(), limit, is_last);
                    }
                }
                Ok(Step::Command) => {
                    let (multi, exec) = (walker.is(b"multi"), walker.is(b"exec"));
                    if (multi && in_transaction) || (exec && !in_transaction) {
                        let word = if multi { "MULTI" } else { "EXEC" };
                        break Some(format!("Unexpected {word} in AOF {}", path.display()));
                    }
                    in_transaction = (in_transaction || multi) && !exec;
                }
                Ok(Step::End) | Err(Fault::Ended) => {
                    break in_transaction.then(|| "Reached EOF before reading EXEC for MULTI".to_string());
                }
                Err(Fault::NoRecord) => {
                    say(self.out, format_args!("AOF {name} format error"))?;
                    break None;
                }
                Err(Fault::Unexpected(found)) => break Some(found),
                Err(Fault::Damaged(from)) => {
                    good = good.min(from);
                    break Some(format!("Checksum error: what begins at {from} is not what was written"));
                }
                Err(Fault::Io(error)) => return Err(format!("Failed to read from AOF {name}: {}", reason(&error))),
            }
        };
        self.lines += walker.lines();
        if let Some(complaint) = complaint {
            say(self.out, format_args!("0x{:16x}: {complaint}", walker.part()))?;
        }
        // It may have grown since.
        let rest = size.saturating_sub(good);
        if let (0, Repair::Truncate(time)) = (rest, self.repair) {
            say(self.out, format_args!("Truncate nothing in AOF {name} to timestamp {time}"))?;
            return Ok(Found::Valid);
        }
        let lines = self.lines;
        say(
            self.out,
            format_args!(
                "AOF analyzed: filename={name}, size={size}, ok_up_to={good}, ok_up_to_line={lines}, diff={rest}"
            ),
        )?;
        if rest == 0 {
            return Ok(Found::Valid);
        }
        if self.repair != Repair::Fix {
            return Err(format!("AOF {name} is not valid. Use the --fix option to try fixing it."));
        }
        if !is_last {
            return Err(format!("Failed to truncate AOF {name} because it is not the last file"));
        }
        say(
            self.out,
            format_args!("This will shrink the AOF {name} from {size} bytes, with {rest} bytes, to {good} bytes"),
        )?;
        self.confirm()?;
        file.set_len(good).map_err(|_| format!("Failed to truncate AOF {name}"))?;
        Ok(Found::Truncated)
    }

    /// Cuts a file at the annotation that begins at a position.
    fn cut_at_time(&mut self, file: &File, path: &Path, at: u64, limit: i64, is_last: bool) -> Result<Found, Failure> {
        let path = path.display();
        if at == 0 {
            return Err(format!("AOF {path} has nothing before timestamp {limit}, aborting..."));
        }
        if !is_last {
            return Err(format!(
                "Failed to truncate AOF {path} to timestamp {limit} to offset {at} because it is not the last file.\nIf \
                 you insist, please delete all files after this file according to the manifest file and delete the \
                 corresponding records in manifest file manually. Then re-run redis-check-aof."
            ));
        }
        file.set_len(at).map_err(|_| format!("Failed to truncate AOF {path} to timestamp {limit}"))?;
        Ok(Found::TruncatedToTime)
    }

    fn confirm(&mut self) -> Result<(), Failure> {
        let asked = write!(self.out, "Continue? [y/N]: ").and_then(|()| self.out.flush());
        let mut answer = String::new();
        if asked.is_err() || self.input.read_line(&mut answer).is_err() || !answer.to_lowercase().starts_with('y') {
            return Err("Aborting...".to_string());
        }
        Ok(())
    }
}
