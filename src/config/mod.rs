//! Settings: one registry behind YAML, redis.conf, flags, environment and CONFIG.
//!
//! - `registry` declares every setting once and derives the typed [`Settings`] from the rows.
//! - `kind`, `choices`, `compound`, `text`, `amount` are the grammars of values and the types that hold them.
//! - `load` reads flags, environment and files in their order of precedence and collects every problem;
//!   `conf` (with `words`) reads redis.conf, `yaml` reads YAML.
//! - `rewrite` writes changed values back into the file; `layout` finds the places in a YAML file.
//! - This page is what CONFIG needs: get, match, set.
//!
//! `Settings` is plain data that the reactor owns. Whoever reads a setting reads a field; whoever must act when one
//! changes goes by the rows that [`Settings::set`] answers.

mod amount;
mod choices;
mod compound;
mod conf;
#[cfg(test)]
mod fixtures;
mod kind;
mod layout;
mod load;
mod registry;
mod rewrite;
pub mod text;
pub mod words;
mod yaml;

use std::fmt;

pub use amount::parse_size;
pub use choices::*;
pub use compound::{Endpoint, NamespaceLimits, OutputBufferLimit, OutputBufferLimits, SavePoint};
pub use kind::{Kind, MemoryLimit};
pub use load::{ConfigFile, FileFormat, Invocation, Judge, Loaded, Misfit, Problem, Problems, Reload, Source};
pub use registry::{Flags, SETTINGS, Setting, Settings, Unit};
pub use rewrite::replace_file;
pub use text::expand_title;
pub use words::quote_bytes as quote_word;

/// What the caller of CONFIG SET may do.
#[derive(Clone, Copy, Debug)]
pub struct Rights {
    /// May change settings under `enable-protected-configs`:
    /// [`ProtectedAction::allows`] of the client, true for the operator's own SIGHUP.
    pub protected: bool,
    /// A snapshot is being loaded.
    pub loading: bool,
}

/// Why a change could not be put into effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyError {
    /// The setting that is to blame.
    pub setting: &'static str,
    pub reason: String,
}

/// Why CONFIG SET failed. Displays as the client sees it, without the error code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// There is no such setting.
    Unknown(String),
    /// The value is not allowed, or not now, or not for this client.
    Refused { name: String, reason: String },
    /// Not while a snapshot is loaded. The client gets the usual LOADING error.
    Loading,
}

impl fmt::Display for SetError {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            SetError::Unknown(name) => {
                // As far as a C string goes.
                let name = name.split('\0').next().unwrap_or_default();
                write!(out, "Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            SetError::Refused { name, reason } => {
                write!(out, "CONFIG SET failed (possibly related to argument '{name}') - {reason}")
            }
            SetError::Loading => write!(out, "the dataset is being loaded into memory"),
        }
    }
}

/// What CONFIG SET did to the settings.
#[derive(Default)]
pub struct Change {
    /// The settings that are others now, each once.
    pub rows: Vec<&'static Setting>,
    /// What all those that were given were before.
    old: Vec<(&'static Setting, String)>,
}

/// Glob matching as Redis does it: pattern, text, whether case is ignored.
pub type Glob = fn(&[u8], &[u8], bool) -> bool;

impl Settings {
    /// The value of the setting with this name or alias, as CONFIG GET shows it.
    pub fn get(&self, name: &str) -> Option<String> {
        let (setting, _) = Setting::find(name)?;
        (!setting.kind.is_directive()).then(|| self.value(setting))
    }

    /// The value of `setting`, as CONFIG GET shows it.
    pub fn value(&self, setting: &Setting) -> String {
        (setting.read)(self)
    }

    /// Names and values for CONFIG GET: every setting that one of `patterns` matches, once for each name that is
    /// matched. A name without wildcards is answered as it was typed, and finds hidden settings, too.
    pub fn matching(&self, patterns: &[&[u8]], glob: Glob) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, setting: &Setting| {
            if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                found.push((name.to_owned(), self.value(setting)));
            }
        };
        for pattern in patterns {
            if !pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) {
                let typed = String::from_utf8_lossy(pattern);
                if let Some((setting, _)) = Setting::find(&typed).filter(|(setting, _)| !setting.kind.is_directive()) {
                    add(&typed, setting);
                }
                continue;
            }
            let hidden = |setting: &Setting| setting.kind.is_directive() || setting.flags.contains(Flags::HIDDEN);
            for setting in SETTINGS.iter().filter(|setting| !hidden(setting)) {
                for name in [Some(setting.name), setting.alias].into_iter().flatten() {
                    if glob(pattern, name.as_bytes(), true) {
                        add(name, setting);
                    }
                }
            }
        }
        found
    }

    /// CONFIG SET: takes over all `pairs` of name and value, or none. Returns what changed, which the caller puts into effect, or
    /// takes back; meanwhile it may correct values.
    ///
    /// # Errors
    /// The first pair that is refused, and why.
    pub fn set(&mut self, pairs: &[(&[u8], &[u8])], rights: Rights) -> Result<Change, SetError> {
        let mut chosen: Vec<(&'static Setting, &str)> = Vec::with_capacity(pairs.len());
        for (name, _) in pairs {
            let typed = String::from_utf8_lossy(name);
            let found = Setting::find(&typed).filter(|(setting, _)| !setting.kind.is_directive());
            let Some((setting, name)) = found else { return Err(SetError::Unknown(typed.into_owned())) };
            let refused =
                |reason: &str| Err(SetError::Refused { name: typed.clone().into_owned(), reason: reason.to_owned() });
            if !setting.is_mutable() {
                return refused("can't set immutable config");
            }
            if setting.flags.contains(Flags::PROTECTED) && !rights.protected {
                return refused("can't set protected config");
            }
            if setting.flags.contains(Flags::DENY_LOADING) && rights.loading {
                return Err(SetError::Loading);
            }
            // As in Redis, an alias is another parameter; of two values for one setting the last one counts.
            if chosen.iter().any(|(_, other)| *other == name) {
                return refused("duplicate parameter");
            }
            chosen.push((setting, name));
        }

        let mut change = Change::default();
        for ((setting, name), (_, value)) in chosen.into_iter().zip(pairs) {
            if !change.old.iter().any(|(row, _)| row.name == setting.name) {
                change.old.push((setting, self.value(setting)));
            }
            let text = text::from_bytes(value);
            let assigned = text::check_escapes(setting, &[&text]).and_then(|()| self.assign_line(setting, &text));
            if let Err(reason) = assigned {
                self.take_back(&change);
                return Err(SetError::Refused { name: name.to_owned(), reason });
            }
        }
        self.settle();
        if let Some((setting, reason)) = self.contradiction() {
            self.take_back(&change);
            return Err(SetError::Refused { name: setting.to_owned(), reason });
        }
        let changed = |row: &&'static Setting, old: &str| row.flags.contains(Flags::VOLATILE) || self.value(row) != old;
        change.rows = change.old.iter().filter(|(row, old)| changed(row, old)).map(|(row, _)| *row).collect();
        Ok(change)
    }

    /// Gives the settings that were changed their old values again.
    pub fn take_back(&mut self, change: &Change) {
        for (setting, old) in &change.old {
            if let Err(reason) = self.assign_line(setting, old) {
                // A directory, say, that has gone meanwhile.
                log::warn!("The setting {} cannot be what it was before: {reason}", setting.name);
            }
        }
    }

    /// Warns of those `new` settings that are not at their default though what they steer is not there yet.
    pub fn warn_of_inert(&self, new: impl Fn(&Setting) -> bool) {
        for setting in self.inert().into_iter().filter(|setting| new(setting)) {
            log::warn!("The setting {} is accepted, but has no effect in this version.", setting.name);
        }
    }

    /// Checks that TLS is not asked for, which is not there yet.
    ///
    /// # Errors
    /// The setting that asks for it: who wants encryption must not get clear text.
    pub fn check_unencrypted(&self) -> Result<(), ApplyError> {
        let asked = [
            ("tls-port", self.tls_port != 0),
            ("tls-replication", self.tls_replication),
            ("tls-cluster", self.tls_cluster),
        ];
        match asked.into_iter().find(|(_, asked)| *asked) {
            Some((setting, _)) => {
                Err(ApplyError { setting, reason: "TLS is not supported in this version".to_owned() })
            }
            None => Ok(()),
        }
    }

    fn inert(&self) -> Vec<&'static Setting> {
        let defaults = Settings::default();
        let inert = SETTINGS.iter().filter(|setting| setting.flags.contains(Flags::INERT));
        inert.filter(|setting| self.value(setting) != defaults.value(setting)).collect()
    }

    /// Assigns a value that is given as one line, as CONFIG SET has it: words are separated by single blanks.
    fn assign_line(&mut self, setting: &Setting, line: &str) -> Result<(), String> {
        let words: Vec<&str> = if setting.kind.takes_many_words() { line.split(' ').collect() } else { vec![line] };
        (setting.write)(self, &words, false)
    }

    /// Brings values into the range that the server works with, as Redis does without complaint.
    fn settle(&mut self) {
        self.hz = self.hz.clamp(1, 500);
        if self.cluster_enabled {
            self.databases = 1;
        }
        if !self.persistence_enabled {
            self.save.clear();
            self.appendonly = false;
        }
    }

    /// A setting that contradicts another one, and how.
    fn contradiction(&self) -> Option<(&'static str, String)> {
        if self.cluster_enabled && self.replicaof.is_some() {
            return Some(("replicaof", "replicaof directive not allowed in cluster mode".to_owned()));
        }
        if self.memory_pressure_warning > self.memory_pressure_critical {
            let reason = "argument must not be above memory-pressure-critical".to_owned();
            return Some(("memory-pressure-warning", reason));
        }
        None
    }
}

/// Every setting that is not at its default, secrets left out.
impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let defaults = Settings::default();
        let mut map = out.debug_map();
        for setting in SETTINGS.iter().filter(|setting| self.value(setting) != defaults.value(setting)) {
            let value = if setting.is_sensitive() { "(redacted)".to_owned() } else { self.value(setting) };
            map.entry(&setting.name, &value);
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::Random;
    use super::*;

    /// `*` only: enough for names.
    fn glob(pattern: &[u8], text: &[u8], _: bool) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skipped| glob(rest, &text[skipped..], true)),
            Some((first, rest)) => {
                text.first().is_some_and(|byte| byte.eq_ignore_ascii_case(first)) && glob(rest, &text[1..], true)
            }
        }
    }

    const ALL: Rights = Rights { protected: true, loading: false };

    fn set(settings: &mut Settings, pairs: &[(&str, &str)], rights: Rights) -> Result<Vec<&'static str>, String> {
        let pairs: Vec<(&[u8], &[u8])> =
            pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let result = settings.set(&pairs, rights);
        result.map(|change| change.rows.iter().map(|row| row.name).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_value_that_get_shows_is_accepted_and_stays_the_same() {
        for seed in 0..300 {
            let mut random = Random::seeded(seed);
            let mut settings = Settings::default();
            for setting in SETTINGS.iter().filter(|setting| !setting.kind.is_directive()) {
                let value = random.value(setting);
                assert_eq!(settings.assign_line(setting, &value), Ok(()), "{} {value:?}", setting.name);
                let shown = settings.value(setting);
                assert_eq!(settings.assign_line(setting, &shown), Ok(()), "{} {shown:?}", setting.name);
                assert_eq!(settings.value(setting), shown, "{} was given {value:?}", setting.name);
            }
        }
    }

    #[test]
    fn bounds_fit_the_fields() {
        let mut settings = Settings::default();
        for setting in SETTINGS {
            let (min, max) = match setting.kind {
                Kind::Integer { min, max } => (i128::from(min), i128::from(max)),
                Kind::Memory { min, max } => (i128::from(min), i128::from(max)),
                _ => continue,
            };
            for inside in [min, max] {
                assert_eq!(settings.assign_line(setting, &inside.to_string()), Ok(()), "{} {inside}", setting.name);
            }
            // What does not fit into 64 bits is taken for what does.
            for outside in [min - 1, max + 1].into_iter().filter(|&bytes| bytes <= i128::from(u64::MAX)) {
                assert!(settings.assign_line(setting, &outside.to_string()).is_err(), "{} {outside}", setting.name);
            }
            assert_eq!(settings.value(setting), max.to_string());
        }
    }

    #[test]
    fn get_shows_every_kind_as_redis_does() {
        let mut settings = Settings::default();
        let cases = [
            ("maxmemory", "100mb", "104857600"),
            ("maxmemory-clients", "5%", "5%"),
            ("maxmemory-clients", "0%", "0"),
            ("maxmemory-clients", "1k", "1000"),
            ("maxmemory-clients", "", "0"),
            ("save", "900 1 300 10", "900 1 300 10"),
            ("save", "", ""),
            ("bind", "127.0.0.1 -::1", "127.0.0.1 -::1"),
            ("bind", "", ""),
            (
                "client-output-buffer-limit",
                "pubsub 1mb 1kb 5",
                "normal 0 0 0 slave 268435456 67108864 60 pubsub 1048576 1024 5",
            ),
            (
                "client-output-buffer-limit",
                "Replica 0 0 0 normal 1 2 3",
                "normal 1 2 3 slave 0 0 0 pubsub 1048576 1024 5",
            ),
            ("unixsocketperm", "0700", "700"),
            ("notify-keyspace-events", "KEA", "AKE"),
            ("notify-keyspace-events", "g$lshzxetdKE", "AKE"),
            ("notify-keyspace-events", "EnKm$", "$nKEm"),
            ("oom-score-adj", "relative", "yes"),
            ("oom-score-adj-values", "1 -2 3", "1 -2 3"),
            ("shutdown-on-sigint", "force nosave NOW", "nosave now force"),
            ("latency-tracking-info-percentiles", "99.90 50.0 100", "99.9 50 100"),
            ("latency-tracking-info-percentiles", "", ""),
            ("replicaof", "example.org 6379", "example.org 6379"),
            ("slaveof", "NO ONE", ""),
            ("loglevel", "DEBUG", "debug"),
            ("namespace", "a 90s 1mb b 0 0", "a 90s 1048576 b 0 0"),
            ("requirepass", "a\0b", "a\0b"),
        ];
        for (name, value, shown) in cases {
            let (setting, _) = Setting::find(name).unwrap();
            assert_eq!(settings.assign_line(setting, value), Ok(()), "{name} {value}");
            assert_eq!(settings.get(name).as_deref(), Some(shown), "{name} {value}");
        }
        assert_eq!(settings.get("no-such-setting"), None);
        assert_eq!(settings.get("user"), None);
    }

    #[test]
    fn bad_values_are_refused_in_the_words_of_redis() {
        let cases = [
            ("appendonly", "maybe", "argument must be 'yes' or 'no'"),
            ("port", "abc", "argument couldn't be parsed into an integer"),
            ("port", "+1", "argument couldn't be parsed into an integer"),
            ("port", "007", "argument couldn't be parsed into an integer"),
            ("port", "65536", "argument must be between 0 and 65535 inclusive"),
            ("port", "99999999999999999999", "argument couldn't be parsed into an integer"),
            ("maxclients", "-1", "argument must be between 1 and 4294967295 inclusive"),
            ("maxmemory", "10xb", "argument must be a memory value"),
            ("maxmemory", "-1", "argument must be a memory value"),
            ("maxmemory", "99999999999gb", "argument must be a memory value"),
            (
                "repl-backlog-size",
                "99999999999999999999",
                "argument must be between 1 and 9223372036854775807 inclusive",
            ),
            ("proto-max-bulk-len", "1kb", "argument must be between 1048576 and 9223372036854775807 inclusive"),
            ("maxmemory-clients", "200%", "percentage argument must be less or equal to 100"),
            ("maxmemory-clients", "-5%", "argument must be a memory or percent value"),
            ("maxmemory-clients", "x", "argument must be a memory or percent value"),
            ("loglevel", "loud", "argument(s) must be one of the following: debug, verbose, notice, warning, nothing"),
            ("oom-score-adj", "x", "argument(s) must be one of the following: no, yes, relative, absolute"),
            ("shutdown-on-sigterm", "save nosave", "shutdown options SAVE and NOSAVE can't be used simultaneously"),
            ("shutdown-on-sigterm", "", "argument(s) must be one of the following: default, save, nosave, now, force"),
            ("save", "900", "Invalid save parameters"),
            ("save", "0 1", "Invalid save parameters"),
            ("save", "900 -1", "Invalid save parameters"),
            ("save", "900  1", "Invalid save parameters"),
            ("bind", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", "Too many bind addresses specified."),
            ("client-output-buffer-limit", "normal 1 2", "Wrong number of arguments in buffer limit configuration."),
            (
                "client-output-buffer-limit",
                "master 1 2 3",
                "Invalid client class specified in buffer limit configuration.",
            ),
            (
                "client-output-buffer-limit",
                "normal x 2 3",
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ),
            ("oom-score-adj-values", "1 2", "wrong number of arguments"),
            (
                "oom-score-adj-values",
                "1 2 2001",
                "Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
            ),
            ("notify-keyspace-events", "Q", "Invalid event class character. Use 'Ag$lshzxeKEtmdni'."),
            ("latency-tracking-info-percentiles", "1 x", "Invalid latency-tracking-info-percentiles parameters"),
            ("latency-tracking-info-percentiles", "nan", "Invalid latency-tracking-info-percentiles parameters"),
            (
                "latency-tracking-info-percentiles",
                "101",
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
            ),
            ("dbfilename", "a/b", "dbfilename can't be a path, just a filename"),
            ("cluster-announce-hostname", "a_b", "Hostnames may only contain alphanumeric characters, hyphens or dots"),
            ("cluster-announce-human-nodename", "a:b", "Announced human node name contained invalid character"),
            ("proc-title-template", "{nothing}", "template format is invalid or contains unknown variables"),
            ("proc-title-template", "a {title", "template format is invalid or contains unknown variables"),
            ("proc-title-template", " ", "template format is invalid or contains unknown variables"),
            ("dir", "/no/such/directory", "No such file or directory"),
            ("dir", "/dev/null", "Not a directory"),
            ("tls-cert-file", "a\0b", "argument must not contain a NUL byte"),
            ("memory-pressure-warning", "90", "argument must not be above memory-pressure-critical"),
        ];
        let mut settings = Settings::default();
        for (name, value, reason) in cases {
            let expected = format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}");
            assert_eq!(set(&mut settings, &[(name, value)], ALL), Err(expected), "{name} {value}");
        }
        assert_eq!(differences(&settings), Vec::<&str>::new());
        let octal = Setting::find("unixsocketperm").unwrap().0;
        assert_eq!(settings.assign_line(octal, "8"), Err("argument couldn't be parsed as an octal number".into()));
        assert_eq!(settings.assign_line(octal, "1000"), Err("argument must be between 0 and 777 inclusive".into()));
    }

    fn differences(settings: &Settings) -> Vec<&'static str> {
        fixtures::differences(settings, &Settings::default()).iter().map(|(name, ..)| *name).collect()
    }

    #[test]
    fn set_takes_all_pairs_or_none() {
        let failed = |name: &str, reason: &str| {
            Err(format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}"))
        };
        let unknown = |name: &str| Err(format!("Unknown option or number of arguments for CONFIG SET - '{name}'"));
        let careful = Rights { protected: false, loading: false };
        let loading = Rights { protected: true, loading: true };
        type Case<'a> = (&'a [(&'a str, &'a str)], Rights, Result<Vec<&'static str>, String>);
        let cases: &[Case] = &[
            (&[("maxmemory", "1mb"), ("port", "7000")], ALL, Ok(vec!["maxmemory", "port"])),
            (&[("maxmemory", "0")], ALL, Ok(vec![])),
            (&[("tls-cert-file", "")], ALL, Ok(vec!["tls-cert-file"])),
            (
                &[("maxmemory", "1mb"), ("maxmemory-clients", "200%"), ("hz", "x")],
                ALL,
                failed("maxmemory-clients", "percentage argument must be less or equal to 100"),
            ),
            (&[("maxmemory", "1mb"), ("nope", "1")], ALL, unknown("nope")),
            (&[("nope", "1"), ("daemonize", "yes")], ALL, unknown("nope")),
            (&[("Daemonize", "yes"), ("nope", "1")], ALL, failed("Daemonize", "can't set immutable config")),
            (&[("maxmemory", "1"), ("MAXMEMORY", "2")], ALL, failed("MAXMEMORY", "duplicate parameter")),
            (&[("replica-priority", "1"), ("slave-priority", "2")], ALL, Ok(vec!["replica-priority"])),
            (&[("dir", "/")], careful, failed("dir", "can't set protected config")),
            (&[("dir", "/")], loading, Err(SetError::Loading.to_string())),
            (&[("user", "alice on")], ALL, unknown("user")),
            (&[("SLAVE-PRIORITY", "x")], ALL, failed("slave-priority", "argument couldn't be parsed into an integer")),
        ];
        for (pairs, rights, expected) in cases {
            let mut settings = Settings::default();
            assert_eq!(set(&mut settings, pairs, *rights), expected.clone(), "{pairs:?}");
            if expected.is_err() {
                assert_eq!(differences(&settings), Vec::<&str>::new(), "{pairs:?}");
            }
        }
        let mut settings = Settings::default();
        let invalid: &[u8] = b"\xff";
        let mut error = |pair| settings.set(&[pair], ALL).err().unwrap().to_string();
        let title: &[u8] = b"proc-title-template";
        assert_eq!(Err(error((title, invalid))), failed("proc-title-template", "argument must be valid UTF-8"));
        assert_eq!(Err(error((invalid, b"x"))), unknown("\u{fffd}"));
        assert_eq!(Err(error((b"nope\0nope", b"x"))), unknown("nope"));
        settings.set(&[(b"requirepass", b"a\xffb")], ALL).unwrap();
        assert_eq!(text::to_bytes(&settings.requirepass), b"a\xffb");
    }

    #[test]
    fn a_change_that_cannot_take_effect_is_taken_back() {
        for seed in 0..300 {
            let mut random = Random::seeded(seed);
            let mut settings = Settings::default();
            let mutable = || SETTINGS.iter().filter(|row| !row.kind.is_directive() && row.is_mutable());
            for row in mutable() {
                assert_eq!(settings.assign_line(row, &random.value(row)), Ok(()), "{}", row.name);
            }
            settings.memory_pressure_warning = settings.memory_pressure_warning.min(settings.memory_pressure_critical);
            settings.settle();
            let before = settings.clone();
            let values: Vec<(&str, String)> = mutable().map(|row| (row.name, random.value(row))).collect();
            let pairs: Vec<(&[u8], &[u8])> = values
                .iter()
                .filter(|(name, _)| !name.starts_with("memory-pressure"))
                .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
                .collect();
            let change = settings.set(&pairs, ALL).map_err(|error| error.to_string()).unwrap();
            assert!(!change.rows.is_empty());
            settings.take_back(&change);
            assert_eq!(fixtures::differences(&settings, &before), []);
        }
    }

    #[test]
    fn values_out_of_the_useful_range_are_brought_into_it() {
        for (given, used) in [("0", 1), ("1000", 500), ("50", 50)] {
            let mut settings = Settings::default();
            set(&mut settings, &[("hz", given)], ALL).unwrap();
            assert_eq!(settings.hz, used);
        }
    }

    #[test]
    fn matching_finds_names_and_aliases() {
        let settings = Settings { requirepass: "x".to_owned(), ..Settings::default() };
        let names = |patterns: &[&str]| {
            let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
            settings.matching(&patterns, glob).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(&["maxmemory", "MAXMEMORY", "maxmem*ory"]), ["maxmemory"]);
        assert_eq!(names(&["MaxMemory"]), ["MaxMemory"]);
        assert_eq!(names(&["*of"]), ["replicaof", "slaveof"]);
        assert_eq!(names(&["slaveof", "bind", "nope"]), ["slaveof", "bind"]);
        assert_eq!(names(&["key-load-delay"]), ["key-load-delay"]);
        assert_eq!(names(&["key-load-dela*"]), Vec::<String>::new());
        assert_eq!(names(&["user", "rename-*"]), Vec::<String>::new());
        let every = names(&["*"]);
        assert!(every.len() > 200 && every.contains(&"slave-priority".to_owned()));
        assert_eq!(settings.matching(&[b"requirepass"], glob), [("requirepass".to_owned(), "x".to_owned())]);
    }

    #[test]
    fn rows_do_not_collide() {
        let mut names: Vec<String> = Vec::new();
        for setting in SETTINGS {
            let own = [Some(setting.name), setting.alias, setting.short_flag].into_iter().flatten().map(str::to_owned);
            names.extend(own.chain(setting.yaml.map(str::to_owned)));
            names.extend(setting.variables());
            assert!(!setting.doc().is_empty() && !setting.doc().contains('\n'), "{}", setting.name);
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn debug_shows_no_secrets() {
        let mut settings = Settings { requirepass: "sesame".to_owned(), maxmemory: 1, ..Settings::default() };
        settings.user = vec![vec!["alice".to_owned(), ">sesame".to_owned()]];
        let shown = format!("{settings:?}");
        assert!(!shown.contains("sesame") && shown.contains("maxmemory"), "{shown}");
    }

    #[test]
    fn settings_without_effect_are_known() {
        let mut settings = Settings::default();
        assert!(settings.inert().is_empty());
        set(&mut settings, &[("dual-channel-replication-enabled", "yes"), ("maxmemory", "1mb")], ALL).unwrap();
        assert_eq!(
            settings.inert().iter().map(|row| row.name).collect::<Vec<_>>(),
            ["dual-channel-replication-enabled"]
        );
    }
}
