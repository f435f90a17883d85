//! Where settings come from: flags before the environment before the file before the defaults.
//!
//! A [`Source`] remembers where to look, so that SIGHUP can look again. A `Collector` takes in one value after the
//! other, the strongest last, and notes every problem instead of stopping at the first.
//!
//! The command line follows redis-server: what follows a flag is its value even if it begins with `--`, further
//! words up to the next flag are more of it, and a flag and its value may come in one argument.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::choices::LogFormat;
use super::kind::WRONG_NUMBER;
use super::registry::{SETTINGS, Setting, Settings};
use super::{Kind, conf, text, words, yaml};
use crate::observe::reason;

/// Files that are tried when none is named.
const DEFAULT_FILES: [&str; 2] = ["./cachestorm.yaml", "/etc/cachestorm/cachestorm.yaml"];
/// Bytes of redis.conf lines that are read in all, included files and standard input with them.
const MAX_CONF_BYTES: u64 = 16 << 20;
/// Bytes of a YAML file. Parsing takes many times this.
const MAX_YAML_BYTES: u64 = 1 << 20;
/// Problems that are noted; then reading stops.
const MAX_PROBLEMS: usize = 50;

/// What the command line asks for.
pub enum Invocation {
    Serve(Box<Loaded>),
    /// Print this text and exit.
    Print(String),
}

/// Settings to serve with, and where they came from.
pub struct Loaded {
    pub settings: Settings,
    pub source: Source,
}

/// Where settings come from, for SIGHUP and CONFIG REWRITE.
#[derive(Clone, Debug)]
pub struct Source {
    /// The settings file, if there is one.
    pub file: Option<ConfigFile>,
    /// The working directory at the start, which relative paths count from even when the server has left it.
    base: PathBuf,
    /// What was read from standard input, which can be read only once.
    stdin: Option<Vec<u8>>,
    /// Flags, as redis.conf lines.
    flags: Vec<String>,
}

/// A settings file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// Absolute.
    pub path: PathBuf,
    pub format: FileFormat,
    /// As in [`Source`].
    pub(super) base: PathBuf,
}

/// The grammar of a settings file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    Yaml,
    RedisConf,
}

/// A line of a repeated directive, such as `rename-command`, that asks for something impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub directive: &'static str,
    /// Which one of the directive's lines in [`Settings`], counted from 0.
    pub at: usize,
    /// What is wrong.
    pub reason: String,
}

/// Finds the lines of directives that only a part above the settings can judge, for it knows commands and ACL rules.
pub type Judge<'a> = dyn Fn(&Settings) -> Vec<Misfit> + 'a;

/// The judge who knows nothing.
fn no_misfits(_: &Settings) -> Vec<Misfit> {
    Vec::new()
}

/// What SIGHUP finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// Settings that differ and can change: names and new values, for [`Settings::set`].
    pub changes: Vec<(&'static str, String)>,
    /// Settings that differ and take a restart.
    pub need_restart: Vec<&'static str>,
}

/// Something that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the value came from.
    pub place: String,
    /// The setting and the value, as they were given; empty if the problem is the place itself.
    pub shown: String,
    /// What is wrong.
    pub reason: String,
    /// What is allowed; may be empty.
    pub allowed: String,
}

/// Everything that is wrong with the settings; the server must not start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    /// The block that redis-server prints, with one paragraph for each problem.
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "\n*** FATAL CONFIG FILE ERROR (CacheStorm {}) ***\n", env!("CARGO_PKG_VERSION"))?;
        for (number, problem) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            writeln!(out, "{separator}{}", problem.place)?;
            let shown = [(">>> '", &problem.shown, "'"), ("", &problem.reason, ""), ("", &problem.allowed, "")];
            for (before, text, after) in shown.into_iter().filter(|(_, text, _)| !text.is_empty()) {
                writeln!(out, "{before}{text}{after}")?;
            }
        }
        if self.0.len() >= MAX_PROBLEMS {
            writeln!(out, "\nThere may be more problems; these are the first {MAX_PROBLEMS}.")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Where a value stands.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Line { file: &'a str, number: usize },
    File(&'a str),
    Flag,
    Variable(&'a str),
    CommandLine,
    Together,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Place::Line { file, number } => write!(out, "Reading {file}, at line {number}"),
            Place::File(file) => write!(out, "Reading {file}"),
            Place::Flag => write!(out, "Reading a command-line flag"),
            Place::Variable(name) => write!(out, "Reading the environment variable {name}"),
            Place::CommandLine => write!(out, "Reading the command line"),
            Place::Together => write!(out, "Looking at all settings together"),
        }
    }
}

/// Settings in the making.
#[derive(Default)]
pub(super) struct Collector {
    pub settings: Settings,
    pub problems: Problems,
    /// The directory that relative paths count from; empty for the working directory. In a redis.conf it is what `dir` has said
    /// last.
    pub base: PathBuf,
    /// What it was in the beginning.
    start: PathBuf,
    /// The working directory has been given as an absolute path.
    pins_directory: bool,
    /// Names that have been given.
    given: HashSet<&'static str>,
    /// ACL users that have been declared.
    users: HashSet<String>,
    /// Where each line of a repeated directive came from, and how it is shown.
    directives: HashMap<&'static str, Vec<(String, String)>>,
    /// Files that are being read, the innermost last.
    pub open_files: Vec<PathBuf>,
    /// Bytes of redis.conf that have been read.
    conf_bytes: u64,
}

impl Collector {
    fn at(base: &Path) -> Collector {
        let mut collector = Collector { base: base.to_owned(), start: base.to_owned(), ..Collector::default() };
        if let Some(base) = base.to_str().filter(|base| !base.is_empty()) {
            collector.settings.dir = base.to_owned();
        }
        collector
    }

    /// Notes a problem.
    pub fn refuse(&mut self, place: Place, shown: impl Into<String>, reason: impl Into<String>) {
        self.problems.0.push(Problem {
            place: place.to_string(),
            shown: shown.into(),
            reason: reason.into(),
            allowed: String::new(),
        });
    }

    /// Whether there are so many problems that reading on is of no use.
    pub fn is_full(&self) -> bool {
        self.problems.0.len() >= MAX_PROBLEMS
    }

    /// Assigns words to a setting; `shown` is how they were given.
    pub fn assign(&mut self, setting: &'static Setting, words: &[&str], place: Place, shown: &str) {
        // A variable replaces what the file says even where repeated directives add up.
        let first = self.given.insert(setting.name) || matches!(place, Place::Variable(_));
        let written = match (&setting.kind, words) {
            (Kind::Directory, [path]) if !path.is_empty() => {
                let is_absolute = Path::new(path).is_absolute();
                let base = if matches!(place, Place::Variable(_)) { &self.start } else { &self.base };
                let path = base.join(path).to_string_lossy().into_owned();
                let written = (setting.write)(&mut self.settings, &[&path], false);
                self.pins_directory |= written.is_ok() && is_absolute;
                written
            }
            (Kind::Users, [user, ..]) if !self.users.insert((*user).to_owned()) => Err(format!(
                "Error in user declaration '{user}': Duplicate user found. A user can only be defined once in config \
                 files"
            )),
            _ => text::check_escapes(setting, words).and_then(|()| (setting.write)(&mut self.settings, words, !first)),
        };
        if let Err(reason) = written {
            let is_complete = reason.contains(" one of ");
            let allowed = format!("{} takes {}", setting.name, setting.kind.allowed());
            self.problems.0.push(Problem {
                place: place.to_string(),
                shown: presentable(setting, shown),
                reason,
                allowed: if is_complete { String::new() } else { allowed },
            });
        } else if setting.kind.is_directive() {
            self.directives.entry(setting.name).or_default().push((place.to_string(), presentable(setting, shown)));
        }
    }

    /// Goes to the directory that has been named: what follows counts from there.
    pub fn enter_directory(&mut self) {
        self.base = PathBuf::from(&self.settings.dir);
    }

    /// Reads a file of redis.conf lines.
    pub fn read_conf_file(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let text = read_at_most(&mut File::open(path)?, MAX_CONF_BYTES - self.conf_bytes)?;
        self.conf_bytes += text.len() as u64;
        Ok(text)
    }

    /// Takes in the text of a settings file.
    fn read_text(&mut self, text: &[u8], file: &ConfigFile) {
        let name = file.path.display().to_string();
        self.open_files.push(file.path.canonicalize().unwrap_or_else(|_| file.path.clone()));
        match file.format {
            FileFormat::RedisConf => conf::read(self, text, &name),
            FileFormat::Yaml => yaml::read(self, text, &name),
        }
        self.open_files.pop();
        if file.format == FileFormat::Yaml && !self.given.contains("logformat") {
            self.settings.logformat = LogFormat::Json;
        }
    }

    fn read_variables(&mut self, env: &dyn Fn(&str) -> Option<String>) {
        for setting in SETTINGS.iter() {
            if setting.kind.is_directive() || matches!(setting.kind, Kind::Namespaces) {
                continue;
            }
            // An empty variable is how shells and compose files spell "not set".
            let found =
                setting.variables().find_map(|name| Some((env(&name).filter(|value| !value.is_empty())?, name)));
            let Some((value, name)) = found.filter(|(value, _)| setting.name != "port" || !is_service_link(value))
            else {
                continue;
            };
            match yaml::scalar_words(setting, &value) {
                Ok(words) => {
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    self.assign(setting, &words, Place::Variable(&name), &format!("{} {value}", setting.name));
                }
                Err(reason) => self.refuse(Place::Variable(&name), format!("{} {value}", setting.name), reason),
            }
        }
    }

    fn finish(mut self, judge: &Judge<'_>) -> (Settings, Problems) {
        self.settings.settle();
        for Misfit { directive, at, reason } in judge(&self.settings) {
            let (place, shown) =
                self.directives.get(directive).and_then(|lines| lines.get(at)).cloned().unwrap_or_default();
            self.problems.0.push(Problem { place, shown, reason, allowed: String::new() });
        }
        if let Some((name, reason)) = self.settings.contradiction() {
            let value = self.settings.get(name).unwrap_or_default();
            self.refuse(Place::Together, format!("{name} {value}"), reason);
        }
        (self.settings, self.problems)
    }
}

/// How a setting was given, without what must not be seen.
fn presentable(setting: &Setting, shown: &str) -> String {
    if setting.is_sensitive() { format!("{} (redacted)", setting.name) } else { shorten(shown) }
}

/// `text`, cut to a length that fits a terminal.
pub(super) fn shorten(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn read_at_most(input: &mut dyn Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if input.take(limit + 1).read_to_end(&mut text)? as u64 > limit {
        return Err(io::Error::other(format!("the settings are longer than {limit} bytes")));
    }
    Ok(text)
}

impl Settings {
    /// Reads the settings for `cachestorm ARGS…` (without the program's name).
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(
        args: &[String],
        env: &dyn Fn(&str) -> Option<String>,
        stdin: &mut dyn Read,
    ) -> Result<Invocation, Problems> {
        load_with(args, env, stdin, &DEFAULT_FILES, &no_misfits)
    }

    /// As [`Settings::load`], with a judge of directives.
    ///
    /// # Errors
    /// Everything that is wrong with the settings, what the judge finds among it.
    pub fn load_judged(
        args: &[String],
        env: &dyn Fn(&str) -> Option<String>,
        stdin: &mut dyn Read,
        judge: &Judge<'_>,
    ) -> Result<Invocation, Problems> {
        load_with(args, env, stdin, &DEFAULT_FILES, judge)
    }

    /// Looks at `source` again and compares with the settings in force. Standard input is not read again.
    pub fn reload(&self, source: &Source, env: &dyn Fn(&str) -> Option<String>) -> Result<Reload, Problems> {
        let fresh = source.evaluate(env, &no_misfits)?;
        let mut reload = Reload::default();
        for setting in SETTINGS.iter().filter(|setting| self.value(setting) != fresh.value(setting)) {
            if setting.is_mutable() {
                reload.changes.push((setting.name, fresh.value(setting)));
            } else {
                reload.need_restart.push(setting.name);
            }
        }
        Ok(reload)
    }
}

fn load_with(
    args: &[String],
    env: &dyn Fn(&str) -> Option<String>,
    stdin: &mut dyn Read,
    default_files: &[&str],
    judge: &Judge<'_>,
) -> Result<Invocation, Problems> {
    let command = parse_command_line(args).map_err(|(shown, reason)| {
        let mut collector = Collector::default();
        collector.refuse(Place::CommandLine, shown, reason);
        collector.problems
    })?;
    let (file, reads_stdin, flags) = match command {
        Command::Help => return Ok(Invocation::Print(help())),
        Command::Version => return Ok(Invocation::Print(version())),
        Command::Serve { file, stdin, flags } => (file, stdin, flags),
    };
    let found = || default_files.iter().find(|path| Path::new(path).exists()).map(|path| (*path).to_owned());
    let file = if reads_stdin { file } else { file.or_else(found) };
    let stdin = if reads_stdin { Some(read_at_most(stdin, MAX_CONF_BYTES)) } else { None };
    let stdin = stdin.transpose().map_err(|error| {
        let mut collector = Collector::default();
        collector.refuse(Place::File("standard input"), "", reason(&error));
        collector.problems
    })?;
    let base = std::env::current_dir().unwrap_or_default();
    let file = file.map(|path| ConfigFile::new(Path::new(&path), &base));
    let source = Source { file, base, stdin, flags };
    let settings = source.evaluate(env, judge)?;
    Ok(Invocation::Serve(Box::new(Loaded { settings, source })))
}

impl ConfigFile {
    fn new(path: &Path, base: &Path) -> ConfigFile {
        let extension = path.extension().unwrap_or_default();
        let is_yaml = extension.eq_ignore_ascii_case("yaml") || extension.eq_ignore_ascii_case("yml");
        ConfigFile {
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            format: if is_yaml { FileFormat::Yaml } else { FileFormat::RedisConf },
            base: base.to_owned(),
        }
    }

    /// What a file with this text would say if it were all there is, and what is wrong with it. The working directory
    /// is empty unless the file says it wherever the server is started.
    pub(super) fn evaluate(&self, text: &[u8]) -> (Settings, Problems) {
        let mut collector = Collector::at(&self.base);
        collector.read_text(text, self);
        let is_pinned = collector.pins_directory;
        let (mut settings, problems) = collector.finish(&no_misfits);
        if !is_pinned {
            settings.dir.clear();
        }
        (settings, problems)
    }
}

impl Source {
    fn evaluate(&self, env: &dyn Fn(&str) -> Option<String>, judge: &Judge<'_>) -> Result<Settings, Problems> {
        let mut collector = Collector::at(&self.base);
        if let Some(file) = &self.file {
            let text = match file.format {
                FileFormat::RedisConf => collector.read_conf_file(&file.path),
                FileFormat::Yaml => File::open(&file.path).and_then(|mut file| read_at_most(&mut file, MAX_YAML_BYTES)),
            };
            match text {
                Ok(text) => collector.read_text(&text, file),
                Err(error) => {
                    let path = file.path.display().to_string();
                    collector.refuse(Place::File(&path), "", format!("can't open config file: {}", reason(&error)));
                }
            }
        }
        if let Some(text) = &self.stdin {
            conf::read(&mut collector, text, "standard input");
        }
        collector.read_variables(env);
        for line in &self.flags {
            conf::read_line(&mut collector, &text::to_bytes(line), Place::Flag);
        }
        let (settings, problems) = collector.finish(judge);
        if problems.0.is_empty() { Ok(settings) } else { Err(problems) }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Help,
    Version,
    /// `flags` are redis.conf lines.
    Serve {
        file: Option<String>,
        stdin: bool,
        flags: Vec<String>,
    },
}

/// Reads the command line. The error is what is wrong, and why.
fn parse_command_line(args: &[String]) -> Result<Command, (String, String)> {
    let mut file = None;
    let mut stdin = false;
    let mut flags: Vec<String> = Vec::new();
    // False between a flag and its first value, which may look like a flag itself.
    let mut at_flag = true;
    let mut rest = args;
    if let Some((path, after)) = args.split_first().filter(|(path, _)| !path.starts_with('-')) {
        file = Some(path.clone());
        rest = after;
    }
    while let Some((arg, after)) = rest.split_first() {
        let no_value = after.first().is_none_or(|next| next.starts_with("--"));
        rest = after;
        match arg.as_str() {
            "-" if after.is_empty() || after.len() + 1 == args.len() => stdin = true,
            "-h" | "--help" if at_flag => return Ok(Command::Help),
            "-v" | "--version" if at_flag => return Ok(Command::Version),
            "--config" if at_flag => {
                let Some((path, after)) = after.split_first() else {
                    return Err(("--config".to_owned(), WRONG_NUMBER.to_owned()));
                };
                if let Some(first) = file.replace(path.clone()) {
                    return Err((format!("{first} {path}"), "only one settings file can be given".to_owned()));
                }
                rest = after;
            }
            flag if at_flag && flag.starts_with("--") => {
                let has_value = words::split(flag.as_bytes()).is_none_or(|words| words.len() != 1);
                // An empty list of save points vanishes in many scripts; `--cluster` is a switch.
                let bare = match flag {
                    "--cluster" => Some(" yes"),
                    _ if flag.eq_ignore_ascii_case("--save") => Some(" \"\""),
                    _ => None,
                };
                let bare = bare.filter(|_| no_value);
                flags.push(format!("{}{}", &flag[2..], bare.unwrap_or_default()));
                at_flag = has_value || bare.is_some();
            }
            value => {
                match flags.last_mut() {
                    Some(line) => *line += &format!(" {}", words::quote(value)),
                    None => flags.push(words::quote(value)),
                }
                at_flag = true;
            }
        }
    }
    Ok(Command::Serve { file, stdin, flags })
}

fn version() -> String {
    format!(
        "CacheStorm server v={} redis={} bits={}",
        env!("CARGO_PKG_VERSION"),
        crate::command::REDIS_VERSION,
        usize::BITS
    )
}

/// The text for --help. Flags that have a short name anywhere are listed; all others are in the settings files.
fn help() -> String {
    let mut options = getopts::Options::new();
    options.optopt("", "config", "settings file, as FILE", "FILE");
    options.optflag("v", "version", "print the version");
    options.optflag("h", "help", "print this");
    let is_listed = |setting: &&Setting| setting.short_flag.is_some() || setting.short_variable.is_some();
    for setting in SETTINGS.iter().filter(is_listed) {
        let hint = match setting.kind {
            Kind::YesNo => "yes|no".to_owned(),
            Kind::Choice(words) if words.len() <= 5 => words.join("|"),
            Kind::Memory { .. } => "SIZE".to_owned(),
            Kind::Integer { .. } => "NUMBER".to_owned(),
            Kind::Directory => "DIR".to_owned(),
            _ => "VALUE".to_owned(),
        };
        let default = if setting.default.is_empty() { "none" } else { setting.default };
        let name = setting.short_flag.unwrap_or(setting.name);
        options.optopt("", name, &format!("{} [{default}]", setting.doc()), &hint);
    }
    let brief = "\
Usage: cachestorm [FILE] [--name value …] [-]
       cachestorm - (read redis.conf lines from standard input)
       cachestorm -v or --version
       cachestorm -h or --help

FILE is YAML if it ends in .yaml or .yml, redis.conf otherwise. Without FILE, ./cachestorm.yaml and
/etc/cachestorm/cachestorm.yaml are tried. Flags come before CACHESTORM_… environment variables, those before
the file.

Examples:
       cachestorm (with the defaults)
       cachestorm /etc/cachestorm/cachestorm.yaml
       cachestorm /etc/redis/redis.conf --loglevel verbose
       cachestorm --port 7777 --maxmemory 2gb --save \"\"
       echo 'maxmemory 128mb' | cachestorm -

Any redis.conf name is a flag. The most used ones, and their defaults:";
    options.usage(brief)
}

/// Whether a variable was set for a service that happens to be called as we are, by Kubernetes or by Docker, rather than for us:
/// it reads `tcp://10.0.0.1:6380` then.
fn is_service_link(value: &str) -> bool {
    value.starts_with("tcp://") || value.starts_with("udp://")
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{Folder, Random, differences};
    use super::super::*;
    use super::*;

    fn load(args: &[&str], env: &[(&str, &str)], stdin: &str) -> Result<Loaded, String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let env = |name: &str| env.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        match load_with(&args, &env, &mut stdin.as_bytes(), &[], &no_misfits) {
            Ok(Invocation::Serve(loaded)) => Ok(*loaded),
            Ok(Invocation::Print(text)) => Err(text),
            Err(problems) => Err(problems.to_string()),
        }
    }

    fn values(args: &[&str], env: &[(&str, &str)], names: &[&str]) -> Vec<String> {
        let loaded = load(args, env, "").unwrap_or_else(|error| panic!("{args:?} {error}"));
        names.iter().map(|name| loaded.settings.get(name).unwrap()).collect()
    }

    #[test]
    fn flags_before_environment_before_file_before_defaults() {
        let folder = Folder::new();
        let conf = folder.write("test.conf", "port 1\nmaxclients 1\nhz 21\nsave 900 1");
        let yaml = folder.write("test.yaml", "server: {port: 1, max_connections: 1}\nredis: {hz: 21, save: 900 1}");
        for file in [&conf, &yaml] {
            let env = [("CACHESTORM_PORT", "2"), ("CACHESTORM_SERVER_MAX_CONNECTIONS", "2")];
            let names = ["port", "maxclients", "hz", "timeout", "save"];
            assert_eq!(values(&[file], &[], &names), ["1", "1", "21", "0", "900 1"]);
            assert_eq!(values(&[file], &env, &names), ["2", "2", "21", "0", "900 1"]);
            let flags = [file, "--port", "3", "--save", "100", "100"];
            assert_eq!(values(&flags, &env, &names), ["3", "2", "21", "0", "900 1 100 100"]);
            let save = [("CACHESTORM_PERSISTENCE_SNAPSHOT_INTERVAL", "5m")];
            assert_eq!(values(&[file], &save, &["save"]), ["300 1"]);
        }
    }

    #[test]
    fn the_command_line_is_read_as_redis_server_reads_it() {
        let cases: &[(&[&str], &[&str])] = &[
            (&["--port", "7777", "--appendonly", "yes"], &["port \"7777\"", "appendonly \"yes\""]),
            (&["--save", "900", "1", "--save", "60 1000"], &["save \"900\" \"1\"", "save \"60 1000\""]),
            (&["--save"], &["save \"\""]),
            (&["--save", "--port", "1"], &["save \"\"", "port \"1\""]),
            (&["--save", ""], &["save \"\""]),
            (&["--proc-title-template", "--my--title"], &["proc-title-template \"--my--title\""]),
            (&["--proc-title-template", "--save", "--save", ""], &["proc-title-template \"--save\"", "save \"\""]),
            (&["--maxmemory 700mb", "--hz 5"], &["maxmemory 700mb", "hz 5"]),
            (&["--port"], &["port"]),
            (&["--port", "--loglevel", "verbose"], &["port \"--loglevel\" \"verbose\""]),
            (&["--cluster", "--port", "1"], &["cluster yes", "port \"1\""]),
            (&["--cluster", "no"], &["cluster \"no\""]),
            (&["--port", "--help"], &["port \"--help\""]),
        ];
        for (args, expected) in cases {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            let flags = expected.iter().map(|line| (*line).to_owned()).collect();
            let expected = Command::Serve { file: None, stdin: false, flags };
            assert_eq!(parse_command_line(&args), Ok(expected), "{args:?}");
        }
        let serve = |file: &str, stdin| Ok(Command::Serve { file: Some(file.to_owned()), stdin, flags: vec![] });
        let parse = |args: &[&str]| parse_command_line(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&["a.conf"]), serve("a.conf", false));
        assert_eq!(parse(&["--config", "a.conf"]), serve("a.conf", false));
        assert_eq!(parse(&["a.conf", "-"]), serve("a.conf", true));
        assert_eq!(parse(&["-"]), Ok(Command::Serve { file: None, stdin: true, flags: vec![] }));
        assert_eq!(parse(&["--port", "1", "--help"]), Ok(Command::Help));
        assert_eq!(parse(&["-v"]), Ok(Command::Version));
        assert!(parse(&["a.conf", "--config", "b.conf"]).is_err());
        assert!(parse(&["--config"]).is_err());
    }

    #[test]
    fn flags_of_every_form_take_effect() {
        let folder = Folder::new();
        let file = folder.write("test.conf", "save 900 1\nlogfile ''");
        let cases: &[(&[&str], &str, &str)] = &[
            (&["--save", "--loglevel", "verbose"], "save", ""),
            (&["--loglevel", "verbose", "--save", ""], "save", ""),
            (&["--save", "100 100"], "save", "900 1 100 100"),
            (&["--shutdown-on-sigint", "nosave", "force", "now"], "shutdown-on-sigint", "nosave now force"),
            (&["--shutdown-on-sigterm", "nosave force"], "shutdown-on-sigterm", "nosave force"),
            (&["loglevel", "verbose", "--maxmemory '700mb'"], "loglevel", "verbose"),
            (&["loglevel", "verbose", "--maxmemory '700mb'"], "maxmemory", "734003200"),
            (&["--proc-title-template --my--title", "--hz 5"], "proc-title-template", "--my--title"),
            (&["--data-dir", "/"], "dir", "/"),
            (&["--cluster"], "cluster-enabled", "yes"),
            (&["--cluster-seeds", "a:1", "b:2"], "cluster-seeds", "a:1 b:2"),
            (&["--bind", "127.0.0.1 ::1"], "bind", "127.0.0.1 ::1"),
            (&["--logformat", "json"], "logformat", "json"),
            (&["--slave-priority", "3"], "replica-priority", "3"),
        ];
        for (flags, name, expected) in cases {
            let args: Vec<&str> = [file.as_str()].into_iter().chain(flags.iter().copied()).collect();
            assert_eq!(values(&args, &[], &[name]), [*expected], "{flags:?}");
        }
    }

    #[test]
    fn wrong_flags_are_reported_with_their_line() {
        let cases: &[(&[&str], &str, &str)] = &[
            (&["--invalid"], ">>> 'invalid'\n", "Bad directive or wrong number of arguments"),
            (&["--port"], ">>> 'port'\n", "wrong number of arguments"),
            (&["--port", "6380", "--loglevel"], ">>> 'loglevel'\n", "wrong number of arguments"),
            (&["--port", "6379", "6380"], ">>> 'port \"6379\" \"6380\"'\n", "wrong number of arguments"),
            (
                &["--port", "--bla", "--loglevel", "verbose"],
                ">>> 'port \"--bla\"'\n",
                "argument couldn't be parsed into an integer",
            ),
            (
                &["--logfile", "--log", "--loglevel", "--bla"],
                ">>> 'loglevel \"--bla\"'\n",
                "argument(s) must be one of the following: debug",
            ),
            (&["--shutdown-on-sigint"], ">>> 'shutdown-on-sigint'\n", "argument(s) must be one of the following"),
            (
                &["--replicaof", "--127.0.0.1", "abc"],
                ">>> 'replicaof \"--127.0.0.1\" \"abc\"'\n",
                "Invalid master port",
            ),
            (
                &["--replicaof", "--127.0.0.1", "--abc"],
                ">>> 'replicaof \"--127.0.0.1\"'\n",
                "wrong number of arguments",
            ),
            (&["--user", "foo", "--user", "foo"], ">>> 'user (redacted)'\n", "Duplicate user"),
            (&["-x"], ">>> '\"-x\"'\n", "Bad directive"),
            (
                &["--replicaof", "h", "1", "--cluster"],
                "Looking at all settings together",
                "replicaof directive not allowed in cluster mode",
            ),
            (
                &["--memory-pressure-warning", "99"],
                "memory-pressure-warning 99",
                "must not be above memory-pressure-critical",
            ),
            (&["no-such-file.conf"], "no-such-file.conf", "can't open config file: No such file or directory"),
            (&["/"], "Reading /\n", "can't open config file: Is a directory"),
            (&["--config"], ">>> '--config'\n", "wrong number of arguments"),
        ];
        for (args, shown, reason) in cases {
            let text = load(args, &[], "").err().unwrap_or_default();
            assert!(text.starts_with("\n*** FATAL CONFIG FILE ERROR (CacheStorm "), "{args:?} {text}");
            let after = text.split_once(shown).map(|(_, after)| after).unwrap_or_default();
            assert!(after.contains(reason), "{args:?} {text}");
        }
    }

    #[test]
    fn in_a_redis_conf_paths_count_from_the_directory_named_last() {
        let folder = Folder::new();
        let data = folder.path().join("data").canonicalize().unwrap_or_else(|_| {
            folder.write("data/sub/stock.conf", "dir ./\n");
            folder.write("data/conf.d/auth.conf", "requirepass sesame\n");
            folder.path().join("data").canonicalize().unwrap()
        });
        let data = data.display();
        let dir_of = |text: &str, args: &[&str], env: &[(&str, &str)]| {
            let file = folder.write("test.conf", text);
            values(&[&[file.as_str()], args].concat(), env, &["dir", "requirepass"])
        };
        let sub = format!("{data}/sub");
        assert_eq!(dir_of(&format!("dir {data}\ninclude sub/stock.conf\n"), &[], &[]), [&data.to_string(), ""]);
        assert_eq!(dir_of(&format!("dir {data}\ndir sub\n"), &[], &[]), [&sub, ""]);
        assert_eq!(dir_of(&format!("dir {data}\n"), &["--dir", "."], &[]), [&data.to_string(), ""]);
        assert_eq!(dir_of(&format!("dir {data}\ninclude conf.d/*.conf\n"), &[], &[]), [&data.to_string(), "sesame"]);
        // What a variable says counts from the start.
        let here = std::env::current_dir().unwrap();
        let start = [("CACHESTORM_PERSISTENCE_DATA_DIR", ".")];
        assert_eq!(dir_of(&format!("dir {data}\n"), &[], &start), [here.to_str().unwrap(), ""]);
    }

    #[test]
    fn problems_of_all_sources_are_reported_together() {
        let folder = Folder::new();
        let file = folder.write("test.conf", "port x\nrequirepass\n");
        let env = [("CACHESTORM_MAX_MEMORY", "lots"), ("CACHESTORM_AUTH_PASSWORD", "sesame")];
        let text = load(&[&file, "--hz", "-1"], &env, "").err().unwrap();
        let expected = format!(
            "\n*** FATAL CONFIG FILE ERROR (CacheStorm {}) ***\n\
             Reading {file}, at line 1\n>>> 'port x'\nargument couldn't be parsed into an integer\nport takes an integer from 0 to 65535\n\n\
             Reading {file}, at line 2\n>>> 'requirepass (redacted)'\nwrong number of arguments\nrequirepass takes text\n\n\
             Reading the environment variable CACHESTORM_MAX_MEMORY\n>>> 'maxmemory lots'\nargument must be a memory value\n\
             maxmemory takes bytes, or a size such as 100mb or 2gb\n\n\
             Reading a command-line flag\n>>> 'hz \"-1\"'\nargument must be between 0 and 2147483647 inclusive\n\
             hz takes an integer from 0 to 2147483647\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn what_the_judge_finds_is_reported_with_its_line() {
        let folder = Folder::new();
        let file = folder.write("test.conf", "user a on\nport x\nuser b sesame\nrename-command NOPE X\nuser c on\n");
        let judge = |settings: &Settings| {
            assert_eq!((settings.user.len(), settings.rename_command.len()), (3, 1));
            let misfit = |directive, at| Misfit { directive, at, reason: format!("{directive} is wrong") };
            vec![misfit("user", 1), misfit("rename-command", 0), misfit("user", 2)]
        };
        let problems =
            load_with(std::slice::from_ref(&file), &|_| None, &mut std::io::empty(), &[], &judge).err().unwrap();
        let found: Vec<_> = problems.0.iter().map(|problem| (problem.place.as_str(), problem.shown.as_str())).collect();
        let line = |number| format!("Reading {file}, at line {number}");
        let expected = [
            (line(2), "port x"),
            (line(3), "user (redacted)"),
            (line(4), "rename-command NOPE X"),
            (line(5), "user (redacted)"),
        ];
        assert_eq!(found, expected.each_ref().map(|(place, shown)| (place.as_str(), *shown)));
    }

    #[test]
    fn the_environment_has_long_and_short_names() {
        let cases = [
            ("CACHESTORM_SERVER_PORT", "7000", "port", "7000"),
            ("CACHESTORM_PORT", "7000", "port", "7000"),
            // Set by Kubernetes for a service of our name.
            ("CACHESTORM_PORT", "tcp://10.0.0.1:7000", "port", "6380"),
            ("CACHESTORM_BIND", "127.0.0.1,::1", "bind", "127.0.0.1 ::1"),
            ("CACHESTORM_SERVER_BIND", "127.0.0.1 ::1", "bind", "127.0.0.1 ::1"),
            ("CACHESTORM_MAX_MEMORY", "1gb", "maxmemory", "1073741824"),
            ("CACHESTORM_MEMORY_MAX_MEMORY", "1gb", "maxmemory", "1073741824"),
            ("CACHESTORM_EVICTION_POLICY", "allkeys-lru", "maxmemory-policy", "allkeys-lru"),
            ("CACHESTORM_LOG_LEVEL", "info", "loglevel", "notice"),
            ("CACHESTORM_LOG_FORMAT", "json", "logformat", "json"),
            ("CACHESTORM_LOGGING_OUTPUT", "stderr", "logfile", "/dev/stderr"),
            ("CACHESTORM_CLUSTER_ENABLED", "true", "cluster-enabled", "yes"),
            ("CACHESTORM_CLUSTER_NODE_NAME", "n1", "cluster-announce-human-nodename", "n1"),
            ("CACHESTORM_CLUSTER_SEEDS", "a:7946,b:7946", "cluster-seeds", "a:7946 b:7946"),
            ("CACHESTORM_PERSISTENCE_ENABLED", "false", "persistence-enabled", "no"),
            ("CACHESTORM_PERSISTENCE_DATA_DIR", "/", "dir", "/"),
            ("CACHESTORM_AUTH_PASSWORD", "a b", "requirepass", "a b"),
            ("CACHESTORM_METRICS_PORT", "9091", "metrics-port", "9091"),
            ("CACHESTORM_SERVER_TLS_AUTH_CLIENTS", "optional", "tls-auth-clients", "optional"),
            ("CACHESTORM_SERVER_TLS_AUTH_CLIENTS", "false", "tls-auth-clients", "no"),
            ("CACHESTORM_PLUGINS_SLOWLOG_THRESHOLD", "5ms", "slowlog-log-slower-than", "5000"),
            ("CACHESTORM_SERVER_TIMEOUT", "5m", "timeout", "300"),
            ("CACHESTORM_SERVER_TIMEOUT", "300", "timeout", "300"),
            ("CACHESTORM_PERSISTENCE_SNAPSHOT_INTERVAL", "0", "save", ""),
            ("CACHESTORM_REDIS_REPL_TIMEOUT", "90", "repl-timeout", "90"),
            ("CACHESTORM_PORT", "", "port", "6380"),
        ];
        for (variable, value, name, expected) in cases {
            assert_eq!(values(&[], &[(variable, value)], &[name]), [expected], "{variable}={value}");
        }
        let both = [("CACHESTORM_PORT", "1"), ("CACHESTORM_SERVER_PORT", "2")];
        assert_eq!(values(&[], &both, &["port"]), ["2"]);
        let text = load(&[], &[("CACHESTORM_SERVER_TIMEOUT", "500ms")], "").err().unwrap();
        assert!(text.contains("whole number of seconds"), "{text}");
    }

    #[test]
    fn the_file_is_found_and_its_format_known() {
        let folder = Folder::new();
        let yaml = folder.write("cachestorm.YML", "server:\n  port: 1\n");
        let conf = folder.write("cachestorm.txt", "port 2\n");
        let none = folder.path().join("none.yaml");
        let found = |defaults: &[&str], args: &[&str], stdin: &str| {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            let loaded = load_with(&args, &|_| None, &mut stdin.as_bytes(), defaults, &no_misfits);
            let Ok(Invocation::Serve(loaded)) = loaded else { panic!("{args:?}") };
            let format = loaded.source.file.map(|file| file.format);
            (loaded.settings.port, format, loaded.settings.logformat)
        };
        let defaults = [none.to_str().unwrap(), yaml.as_str()];
        use FileFormat::*;
        use LogFormat::*;
        assert_eq!(found(&defaults, &[], ""), (1, Some(Yaml), Json));
        assert_eq!(found(&defaults, &["--logformat", "console"], ""), (1, Some(Yaml), Console));
        assert_eq!(found(&defaults, &[&conf], ""), (2, Some(RedisConf), Console));
        assert_eq!(found(&defaults, &["-"], "port 3"), (3, None, Console));
        assert_eq!(found(&defaults, &[&conf, "--port", "5", "-"], "port 3\nhz 1"), (5, Some(RedisConf), Console));
        assert_eq!(found(&[], &[], ""), (6380, None, Console));
    }

    #[test]
    fn the_files_to_start_from_are_valid() {
        let conf = ConfigFile::new(Path::new("redis-compatible.conf"), Path::new(""));
        let (settings, problems) = conf.evaluate(include_bytes!("../../conf/redis-compatible.conf"));
        let defaults = Settings { dir: String::new(), ..Settings::default() };
        assert_eq!((problems, differences(&settings, &defaults)), (Problems::default(), vec![]));
        let folder = Folder::new();
        folder.write("data/file", "");
        let yaml = ConfigFile::new(Path::new("cachestorm.yaml"), folder.path());
        let (settings, problems) = yaml.evaluate(include_bytes!("../../conf/cachestorm.yaml"));
        assert_eq!(problems, Problems::default());
        let shown = |name: &str| settings.get(name).unwrap();
        assert_eq!([shown("maxmemory-policy"), shown("save")], ["allkeys-lru", "300 1"]);
    }

    #[test]
    fn version_and_help_are_printed() {
        assert!(load(&["--version"], &[], "").err().unwrap().starts_with("CacheStorm server v="));
        let help = load(&["-h"], &[], "").err().unwrap();
        for part in
            ["Usage: cachestorm [FILE]", "--port NUMBER", "--data-dir DIR", "--logformat console|json", "[6380]"]
        {
            assert!(help.contains(part), "{part}: {help}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 120), "{help}");
    }

    #[test]
    fn files_that_are_too_long_are_refused() {
        let endless = &mut std::io::repeat(b'#');
        let problems = load_with(&["-".to_owned()], &|_| None, endless, &[], &no_misfits).err().unwrap();
        assert_eq!(problems.0[0].reason, "the settings are longer than 16777216 bytes");
        let folder = Folder::new();
        let yaml = folder.write("long.yaml", "#".repeat((MAX_YAML_BYTES + 1) as usize));
        assert!(load(&[&yaml], &[], "").err().unwrap().contains("the settings are longer than 1048576 bytes"));
    }

    #[test]
    fn reload_tells_what_changed_in_the_file() {
        let folder = Folder::new();
        let path = folder.write("test.conf", "port 1\ndatabases 4\nmaxmemory 1mb\n");
        let Loaded { mut settings, source } = load(&[&path, "--hz", "20"], &[], "").unwrap();
        assert_eq!(settings.reload(&source, &|_| None), Ok(Reload::default()));
        settings.maxclients = 5;
        folder.write("test.conf", "port 1\ndatabases 8\nmaxmemory 2mb\nuser alice on\n");
        let expected = Reload {
            changes: vec![("maxclients", "10000".to_owned()), ("maxmemory", "2097152".to_owned())],
            need_restart: vec!["databases", "user"],
        };
        assert_eq!(settings.reload(&source, &|_| None), Ok(expected));
        folder.write("test.conf", "port x\n");
        assert!(settings.reload(&source, &|_| None).is_err());
    }

    #[test]
    fn any_settings_survive_as_flags() {
        for seed in 0..100 {
            let settings = Random::seeded(seed).settings(4);
            let mut args = Vec::new();
            for setting in SETTINGS.iter().filter(|setting| !setting.kind.is_directive()) {
                args.extend([format!("--{}", setting.name), settings.value(setting)]);
            }
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            // An empty list of words cannot be told from an empty word, nor a NUL passed as an argument.
            let loaded = load(&args, &[], "").unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(differences(&loaded.settings, &settings), []);
        }
    }
}
