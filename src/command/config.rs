//! CONFIG, and putting changed settings into effect.

use std::io;

use super::aof::State;
use super::error::{Error, Outcome};
use super::state::Server;
use super::table::{Command, Doc, EVERYWHERE, Flags};
use super::{Ctx, wrong_arity};
use crate::config::{ApplyError, ConfigFile, EvictionPolicy, Rights, SetError, Setting, Settings, text};
use crate::effects::journal::Lazy;
use crate::net::limits::make_room_for_clients;
use crate::net::listen::ListenError;
use crate::observe::reason;
use crate::observe::{crash, process};
use crate::resp::Args;
use crate::types::glob;

const FLAGS: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);

/// Bytes of the replication backlog that CONFIG SET leaves it at least.
const LEAST_BACKLOG: u64 = 16 << 10;

/// What decides on what is done about crashes, and by the watchdog.
const CRASH: &[&str] =
    &["hide-user-data-from-log", "crash-memcheck-enabled", "use-exit-on-panic", "crash-log-enabled", "watchdog-period"];

/// The setting that the process knows better, for somebody may have moved the directory.
const DIRECTORY: &str = "dir";

const fn doc(summary: &'static str, since: &'static str, complexity: &'static str, syntax: &'static str) -> Doc {
    Doc { summary, since, group: "server", complexity, syntax, ..Command::NONE.doc }
}

pub const COMMANDS: &[Command] = &[Command {
    name: "config",
    arity: -2,
    doc: doc("Holds the commands about settings.", "2.0.0", "Depends on subcommand.", ""),
    subcommands: &[
        Command {
            name: "get",
            arity: -3,
            flags: FLAGS,
            doc: doc(
                "Answers settings and their values.",
                "2.0.0",
                "O(N) with N the number of settings",
                "parameter [parameter ...]",
            ),
            handler: get,
            ..Command::NONE
        },
        Command {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.union(Flags::STALE),
            doc: doc("Lists what CONFIG can do.", "5.0.0", "O(1)", ""),
            handler: help,
            ..Command::NONE
        },
        Command {
            name: "resetstat",
            arity: 2,
            flags: FLAGS,
            doc: doc("Sets the server's counters back to zero.", "2.0.0", "O(1)", ""),
            tips: EVERYWHERE,
            handler: resetstat,
            ..Command::NONE
        },
        Command {
            name: "rewrite",
            arity: 2,
            flags: FLAGS,
            doc: doc("Writes the settings in force into the settings file.", "2.8.0", "O(1)", ""),
            tips: EVERYWHERE,
            handler: rewrite,
            ..Command::NONE
        },
        Command {
            name: "set",
            arity: -4,
            flags: FLAGS,
            doc: doc(
                "Changes settings of the running server: all of those given, or none.",
                "2.0.0",
                "O(N) with N the number of settings",
                "parameter value [data: parameter value ...]",
            ),
            tips: EVERYWHERE,
            handler: set,
            ..Command::NONE
        },
    ],
    ..Command::NONE
}];

fn get(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let patterns: Vec<&[u8]> = args.iter_from(2).collect();
    if patterns.iter().any(|pattern| glob::matches(pattern, DIRECTORY.as_bytes(), true)) {
        cx.server.note_directory();
    }
    let found = cx.server.settings.matching(&patterns, glob::matches);
    cx.reply.map(found.len());
    for (name, value) in found {
        cx.reply.bulk(name.as_bytes());
        cx.reply.bulk(&text::to_bytes(&value));
    }
    Ok(())
}

fn help(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.help(
        args,
        &[
            "GET <pattern> [<pattern> ...]",
            "    Answer the settings whose names match one of the patterns, with their values.",
            "SET <parameter> <value> [<parameter> <value> ...]",
            "    Change settings: all of those given, or none.",
            "RESETSTAT",
            "    Set the counters that INFO tells back to zero.",
            "REWRITE",
            "    Write the settings in force into the settings file.",
        ],
    )
}

fn resetstat(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.server.reset_stats();
    cx.reply.ok();
    Ok(())
}

fn rewrite(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let Some(file) = &cx.server.source.file else {
        return Err(Error::fixed("ERR The server is running without a config file"));
    };
    let file = file.clone();
    match cx.server.write_settings(&file) {
        Ok(()) => {
            log::info!("CONFIG REWRITE executed with success.");
            cx.reply.ok();
            Ok(())
        }
        Err(error) => {
            log::warn!("CONFIG REWRITE failed: {}", reason(&error));
            Err(Error::new(format!("ERR Rewriting config file: {}", reason(&error))))
        }
    }
}

fn set(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if !args.len().is_multiple_of(2) {
        return Err(if args.len() == 3 { wrong_arity("config|set") } else { Error::SYNTAX });
    }
    for at in (2..args.len()).step_by(2) {
        let name = String::from_utf8_lossy(&args[at]);
        if Setting::find(&name).is_some_and(|(setting, _)| setting.is_sensitive()) {
            cx.redact(at + 1);
        }
    }
    let pairs: Vec<(&[u8], &[u8])> = (2..args.len()).step_by(2).map(|at| (&args[at], &args[at + 1])).collect();
    let client = &cx.server.clients[cx.token];
    let protected = cx.server.settings.enable_protected_configs.allows(client.is_local);
    let loading = cx.server.loading.is_some();
    cx.server.aof.in_transaction = cx.in_exec;
    cx.server.change_settings(&pairs, Rights { protected, loading }).map_err(|error| match error {
        SetError::Loading => Error::LOADING,
        error => Error::new(format!("ERR {error}")),
    })?;
    cx.reply.ok();
    Ok(())
}

impl Server {
    /// Changes settings and puts them into effect: all of `pairs`, or none.
    ///
    /// # Errors
    /// The first setting that cannot be changed, and why.
    pub fn change_settings(&mut self, pairs: &[(&[u8], &[u8])], rights: Rights) -> Result<(), SetError> {
        if pairs.iter().any(|(name, _)| name.eq_ignore_ascii_case(DIRECTORY.as_bytes())) {
            self.note_directory();
        }
        let change = self.settings.set(pairs, rights)?;
        if change.rows.is_empty() {
            return Ok(());
        }
        let applied = self.apply(&change.rows);
        if applied.is_err() {
            self.settings.take_back(&change);
            if let Err(again) = self.apply(&change.rows) {
                log::warn!("Failed restoring {} after a failed CONFIG SET: {}", again.setting, again.reason);
            }
        }
        self.look_for_troubles();
        self.decide_expiry();
        self.settings.warn_of_inert(|setting| change.rows.iter().any(|row| row.name == setting.name));
        applied.map_err(|error| SetError::Refused { name: error.setting.to_owned(), reason: error.reason })
    }

    /// Re-reads the settings file, as SIGHUP asks for, and puts into effect what may change in a running server. Without a
    /// file nothing changes: what CONFIG SET has said since the start is the latest word then.
    pub fn reload_settings(&mut self) {
        crate::observe::log::reopen();
        if self.source.file.is_none() {
            log::info!("There is no settings file to re-read; the settings stay as they are.");
            return;
        }
        let mut reload = match self.settings.reload(&self.source, &|name| std::env::var(name).ok()) {
            Ok(reload) => reload,
            Err(problems) => {
                log::warn!("The settings were not re-read: {problems}");
                return;
            }
        };
        for name in &reload.need_restart {
            log::warn!("The setting {name} has changed in the file; it takes effect at the next start.");
        }
        for (name, value) in &mut reload.changes {
            // As at the start, the file may ask for more clients than the kernel allows.
            if *name == "maxclients"
                && let Ok(wanted) = value.parse()
            {
                *value = make_room_for_clients(wanted).unwrap_or(wanted).max(1).to_string();
            }
        }
        let values: Vec<Vec<u8>> = reload.changes.iter().map(|(_, value)| text::to_bytes(value)).collect();
        let pairs: Vec<(&[u8], &[u8])> =
            values.iter().zip(&reload.changes).map(|(value, (name, _))| (name.as_bytes(), value.as_slice())).collect();
        if pairs.is_empty() {
            log::info!("The settings were re-read; nothing that can change at run time has changed.");
            return;
        }
        match self.change_settings(&pairs, Rights { protected: true, loading: self.loading.is_some() }) {
            Ok(()) => {
                let names: Vec<&str> = reload.changes.iter().map(|(name, _)| *name).collect();
                log::info!("The settings were re-read; changed: {}", names.join(", "));
            }
            Err(error) => log::warn!("The settings were re-read, but not taken over: {error}"),
        }
    }

    /// Writes the settings in force into the settings file. If it has no room for the users as they are told, but they are
    /// those that it declares in other words, these stay. So does what it says of a directory that has been removed.
    ///
    /// # Errors
    /// As [`Settings::rewrite`].
    pub(super) fn write_settings(&mut self, file: &ConfigFile) -> io::Result<()> {
        let directory = self.note_directory();
        let directory = if directory { None } else { Some(std::mem::take(&mut self.settings.dir)) };
        let users = self.declared_users();
        let read = std::mem::replace(&mut self.settings.user, users);
        let mut written = self.settings.rewrite(file, false);
        if written.is_err() {
            self.settings.user = read;
            if self.has_users_as_read() {
                written = self.settings.rewrite(file, false);
            }
        }
        if let Some(directory) = directory {
            self.settings.dir = directory;
        }
        written
    }

    /// Takes note of where the working directory is now, for somebody may have moved it. Returns false if that cannot be
    /// had, as when somebody has removed it.
    fn note_directory(&mut self) -> bool {
        let actual = std::env::current_dir().ok().and_then(|path| path.into_os_string().into_string().ok());
        let is_known = actual.is_some();
        if let Some(actual) = actual {
            self.settings.dir = actual;
        }
        is_known
    }

    /// Puts changed settings into effect, besides those that are simply looked up when they matter.
    fn apply(&mut self, changed: &[&'static Setting]) -> Result<(), ApplyError> {
        let has = |names: &[&str]| changed.iter().any(|setting| names.contains(&setting.name));
        let failed = |setting: &'static str, reason: String| Err(ApplyError { setting, reason });
        let settings = &mut self.settings;
        settings.check_unencrypted()?;
        if has(&["maxclients"]) {
            let possible = make_room_for_clients(settings.maxclients).unwrap_or(0);
            if possible < settings.maxclients {
                return failed(
                    "maxclients",
                    format!(
                        "The operating system is not able to handle the specified number of clients, try with {possible}"
                    ),
                );
            }
        }
        if has(&["activedefrag"]) && settings.activedefrag {
            return failed(
                "activedefrag",
                "Active defragmentation cannot be enabled: it requires a Redis server compiled with a modified Jemalloc \
                 like the one shipped by default with the Redis source distribution"
                    .to_string(),
            );
        }
        if has(&["oom-score-adj", "oom-score-adj-values"])
            && let Err(error) = process::set_oom_score(settings, self.replication.is_replica())
        {
            log::warn!("Unable to write oom_score_adj: {}", reason(&error));
            return failed("oom-score-adj", "Failed to set current oom_score_adj. Check server logs.".to_string());
        }
        if has(&["port", "bind"])
            && let Err(error) = self.listeners.bind_tcp(settings)
        {
            log::warn!("Warning: {}", error.reason());
            return match error {
                _ if !has(&["bind"]) => failed("port", "Unable to listen on this port. Check server logs.".to_string()),
                ListenError::Port(_) if has(&["port"]) => {
                    failed("port", "Unable to listen on this port. Check server logs.".to_string())
                }
                _ => failed("bind", "Failed to bind to specified addresses.".to_string()),
            };
        }
        if has(&["dir"])
            && let Err(error) = std::env::set_current_dir(&settings.dir)
        {
            return failed("dir", error.to_string());
        }
        if has(&["requirepass", "auth-enabled"]) {
            self.set_default_password();
        }
        if has(&["aof-disable-auto-gc"]) && !self.settings.aof_disable_auto_gc {
            self.remove_history();
        }
        if has(&["appendonly"]) && self.settings.appendonly != (self.aof.state != State::Off) {
            let turned = if self.settings.appendonly {
                self.turn_aof_on()
            } else {
                self.turn_aof_off();
                Ok(())
            };
            if turned.is_err() {
                return failed("appendonly", "Unable to turn on AOF. Check server logs.".to_string());
            }
        }
        self.follow_thresholds();
        let settings = &mut self.settings;
        if has(&["loglevel"]) {
            crate::observe::log::set_level(settings.loglevel);
        }
        if has(&["proc-title-template", "port", "bind"]) {
            process::show_title(settings, self.listeners.unix_path());
        }
        self.keys.access.follow(settings);
        self.keys.follow_policy(settings.maxmemory_policy);
        self.keys.effects.journal.lazy = lazy_removals(settings);
        self.keys.effects.follow(settings);
        self.aof.follow(settings);
        let watchdog = settings.watchdog_period;
        if watchdog > 0 {
            // Twice the time between two turns, at least.
            settings.watchdog_period = watchdog.max(2000 / settings.hz.max(1));
        }
        if has(&["repl-backlog-size"]) {
            settings.repl_backlog_size = settings.repl_backlog_size.max(LEAST_BACKLOG);
        }
        if has(CRASH) || settings.watchdog_period != watchdog {
            crash::follow(settings);
        }
        if has(&["namespace"]) {
            self.keys.follow_namespaces(settings);
        }
        if has(&["maxmemory", "maxmemory-clients"]) {
            let limit = settings.maxmemory_clients.bytes(settings.maxmemory);
            self.limit_clients(limit);
        }
        Ok(())
    }

    /// Sets the counters that INFO tells back to zero.
    pub fn reset_stats(&mut self) {
        self.stats = Default::default();
        self.keys.stats = Default::default();
        self.keys.directory_mut().reset_stats();
        self.command_stats.fill(Default::default());
        self.error_stats = Default::default();
        self.scripts.evicted = 0;
        self.saving.reset_counts();
        self.aof.rewrites.count = 0;
    }
}

/// Which removals are propagated as such that free in the background.
pub(super) fn lazy_removals(settings: &Settings) -> Lazy {
    Lazy {
        expiry: settings.lazyfree_lazy_expire,
        eviction: settings.lazyfree_lazy_eviction,
        server: settings.lazyfree_lazy_server_del,
    }
}

impl crate::keyspace::access::AccessClock {
    /// Remembers uses in the way that the settings' policy needs.
    pub fn follow(&mut self, settings: &Settings) {
        self.lfu = matches!(settings.maxmemory_policy, EvictionPolicy::AllkeysLfu | EvictionPolicy::VolatileLfu);
        self.log_factor = settings.lfu_log_factor;
        self.decay_minutes = settings.lfu_decay_time;
    }
}
