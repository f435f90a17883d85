//! Rewriting the append-only file: a new base that holds the data as it is now, and a new increment that holds what happens
//! from now on, in the place of everything older.
//!
//! The base is made by the producer of snapshots, in slices, as a snapshot or as commands. When it is durable, a new manifest
//! makes it count, and what is not needed any more is removed. Until then the old files count, with the new increment
//! behind them. A crash at any moment leaves one manifest or the other, and both are right.

use std::fs;
use std::path::PathBuf;

use super::aof::State;
use super::error::{Error, Outcome};
use super::save::{self, Purpose};
use super::state::Server;
use super::table::{Acl, Command, Doc, Flags};
use super::{Ctx, namespace};
use crate::keyspace::snapshot::Recorder;
use crate::observe::processors;
use crate::observe::reason;
use crate::persist::aof::commands::Commands;
use crate::persist::aof::manifest::open_file;
use crate::persist::disk::{Background, DiskError, SnapshotFile, Target, Told};
use crate::resp::Args;

/// So many failures in a row make automatic rewrites rarer.
const FAILURES: u64 = 3;
/// They wait this long at most, in minutes.
const LONGEST_WAIT: u64 = 60;

pub const COMMANDS: &[Command] = &[Command {
    name: "bgrewriteaof",
    arity: 1,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING),
    acl: Acl::empty(),
    doc: Doc {
        summary: "Begins to make the append-only file as short as the data allows.",
        since: "1.0.0",
        group: "server",
        complexity: "O(1)",
        ..Command::NONE.doc
    },
    handler: bgrewriteaof,
    ..Command::NONE
}];

fn failure(error: &DiskError) -> String {
    format!("Write error writing append only file on disk({}): {}", error.doing, reason(&error.error))
}

/// What is known of rewrites.
#[derive(Default)]
pub struct Rewrites {
    /// The one that is under way.
    pub current: Option<Rewrite>,
    /// One is to begin as soon as nothing else is in its way.
    pub scheduled: bool,
    /// How many there were, and how many of the last ones failed in a row.
    pub count: u64,
    pub failures: u64,
    /// The last one failed.
    pub last_failed: bool,
    /// How long the last one took, in seconds.
    pub last_seconds: Option<u64>,
    /// After failures: until when automatic ones wait, in milliseconds of uptime, and for how many minutes the last time.
    wait: Option<(u64, u64)>,
}

/// A rewrite that is under way.
pub struct Rewrite {
    /// Milliseconds of uptime.
    pub started_ms: u64,
    /// The base is a snapshot rather than commands.
    is_rdb: bool,
    /// Where the base is being written.
    temporary: PathBuf,
}

fn bgrewriteaof(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let is_free = save::is_free(cx.server);
    let rewrites = &mut cx.server.aof.rewrites;
    if rewrites.current.is_some() {
        return Err(Error::fixed("ERR Background append only file rewriting already in progress"));
    }
    if cx.in_exec || !is_free {
        rewrites.scheduled = true;
        rewrites.failures = 0;
        cx.reply.status("Background append only file rewriting scheduled");
        return Ok(());
    }
    cx.server.begin_rewrite().map_err(|why| {
        log::warn!("{why}");
        Error::fixed(
            "ERR Can't execute an AOF background rewriting. Please check the server logs for more information.",
        )
    })?;
    cx.reply.status("Background append only file rewriting started");
    Ok(())
}

impl Server {
    /// Begins a rewrite. Nothing else may be using the producer of snapshots.
    ///
    /// # Errors
    /// If the disk does not allow it.
    pub fn begin_rewrite(&mut self) -> Result<(), String> {
        self.aof.rewrites.scheduled = false;
        let begun = self.try_to_begin_rewrite();
        if begun.is_err() {
            self.aof.rewrites.last_failed = true;
            self.abandon_increment();
        }
        begun
    }

    fn try_to_begin_rewrite(&mut self) -> Result<(), String> {
        let place = self.aof.place.clone();
        place.create().map_err(|error| {
            format!("Can't open or create append-only dir {}: {}", place.directory.display(), reason(&error))
        })?;
        // What has been journalled belongs to the old increment, and is in the snapshot.
        self.flush_journal(true);
        if self.aof.state != State::Off {
            self.begin_increment()?;
        }
        let is_rdb = self.settings.aof_use_rdb_preamble;
        let process = std::process::id();
        let temporary = PathBuf::from(format!("temp-rewriteaof-bg-{process}-{}.aof", save::next_id(self)));
        self.produce_base(is_rdb, temporary.clone())?;
        let started_ms = self.clock.uptime_ms();
        self.aof.rewrites.count += 1;
        self.aof.rewrites.current = Some(Rewrite { started_ms, is_rdb, temporary });
        log::info!("Background append only file rewriting started by pid {process}");
        Ok(())
    }

    /// Begins to make a base of all keys as they are now.
    fn produce_base(&mut self, is_rdb: bool, path: PathBuf) -> Result<(), String> {
        let id = save::next_id(self);
        let outbox = self.outbox.clone();
        let tell = move |told| match told {
            Told::PassedOn(buffer) => outbox.send(move |server: &mut Server| save::written(server, id, buffer)),
            Told::Over(result) => outbox.send(move |server: &mut Server| {
                if save::close(server, id).is_some() {
                    server.end_rewrite(result.map_err(|error| failure(&error)));
                }
            }),
        };
        let target = self.base_target(is_rdb, path);
        let sink = processors::start_on(&self.settings.aof_rewrite_cpulist, || Background::start(target, tell))
            .map_err(|error| failure(&error))?;
        let recorder = self.base_recorder(is_rdb);
        save::begin_telling(self, Purpose::Rewrite, recorder, Box::new(sink));
        Ok(())
    }

    /// Makes the base of a server without keys, at once.
    ///
    /// # Errors
    /// If the disk does not allow it.
    pub fn make_empty_base(&mut self, is_rdb: bool, path: PathBuf) -> Result<(), String> {
        let mut recorder = self.base_recorder(is_rdb);
        recorder.record_end();
        let written = SnapshotFile::create(self.base_target(is_rdb, path)).and_then(|mut file| {
            file.write(&recorder.take_recorded())?;
            file.finish()
        });
        written.map(drop).map_err(|error| failure(&error))
    }

    /// Who makes the bytes of a base.
    fn base_recorder(&self, is_rdb: bool) -> Box<dyn Recorder> {
        if is_rdb {
            return Box::new(save::writer(self, true));
        }
        let timestamp = self.settings.aof_timestamp_enabled.then_some(self.clock.unix_us / 1_000_000);
        let mut commands = Commands::new(timestamp, self.settings.aof_checksum_enabled);
        self.functions.sources().for_each(|source| commands.load_library(source));
        let numbered = self.keys.directory().numbered();
        for (slot, profile) in self.keys.namespaces() {
            let named = Some(slot).filter(|&slot| slot >= numbered);
            if named.is_some() || profile.is_special() {
                commands.create_namespace(&namespace::creation(profile), named);
            }
        }
        Box::new(commands)
    }

    fn base_target(&self, is_rdb: bool, path: PathBuf) -> Target {
        Target {
            path,
            temporary: format!("temp-rewriteaof-{}-{}.aof", std::process::id(), save::next_id(self)).into(),
            checksum: self.settings.rdbchecksum,
            trailer: is_rdb,
            incremental_sync: self.settings.aof_rewrite_incremental_fsync,
        }
    }

    /// Lets everything journalled from here on go to a new increment.
    fn begin_increment(&mut self) -> Result<(), String> {
        // When power fails, the end of a file may be lost that was not synced. It must not have a successor then: what follows
        // would not fit.
        self.conclude_increment()?;
        let place = &self.aof.place;
        let mut manifest = self.aof.manifest.clone();
        let awaits_base = self.aof.state == State::AwaitsBase;
        let name = match awaits_base {
            true => place.temporary_increment(),
            false => manifest.begin_increment(&place.name),
        };
        let file = open_file(&place.path(&name), true)
            .map_err(|error| format!("Can't open the append-only file {name}: {}", reason(&error)))?;
        if awaits_base {
            self.aof.temporary = Some(name.clone());
        } else {
            place.store(&manifest)?;
            self.aof.manifest = manifest;
        }
        log::info!("Creating AOF incr file {name} on background rewrite");
        self.go_on_in(file);
        Ok(())
    }

    /// The base has been written, or not.
    pub fn end_rewrite(&mut self, written: Result<u64, String>) {
        let Some(rewrite) = self.aof.rewrites.current.take() else { return };
        let seconds = (self.clock.uptime_ms() - rewrite.started_ms) / 1000;
        let ended = match written {
            Ok(bytes) => {
                log::info!("Background AOF rewrite terminated with success");
                self.put_base_in_place(&rewrite, bytes)
            }
            Err(why) => {
                log::warn!("Background AOF rewrite terminated with error");
                Err(why)
            }
        };
        let rewrites = &mut self.aof.rewrites;
        rewrites.last_seconds = Some(seconds);
        rewrites.last_failed = ended.is_err();
        match ended {
            Ok(()) => {
                rewrites.failures = 0;
                rewrites.wait = None;
                log::info!("Background AOF rewrite finished successfully");
            }
            Err(why) => {
                log::warn!("{why}");
                rewrites.failures += 1;
                self.aof.remove(&rewrite.temporary);
                self.abandon_increment();
                // It is still wanted.
                self.aof.rewrites.scheduled = self.aof.state == State::AwaitsBase;
            }
        }
    }

    /// Ends a rewrite that nobody wants any more.
    pub fn cancel_rewrite(&mut self) {
        if let Some(rewrite) = self.aof.rewrites.current.take() {
            log::info!("Killing running AOF rewrite child: {}", std::process::id());
            save::give_up(self, Purpose::Rewrite);
            self.aof.remove(&rewrite.temporary);
        }
    }

    /// Without its base, the temporary increment is worth nothing.
    pub(super) fn abandon_increment(&mut self) {
        if let Some(name) = self.aof.temporary.take() {
            log::info!("Removing the temp incr aof file {name} in the background");
            self.detach();
            self.aof.remove(&self.aof.place.path(&name));
        }
    }

    /// Makes a new base count, and everything older not.
    fn put_base_in_place(&mut self, rewrite: &Rewrite, bytes: u64) -> Result<(), String> {
        let place = self.aof.place.clone();
        let mut manifest = self.aof.manifest.clone();
        let base = manifest.begin_base(&place.name, rewrite.is_rdb);
        let (temporary, path) = (rewrite.temporary.display(), place.path(&base));
        fs::rename(&rewrite.temporary, &path).map_err(|error| {
            let path = path.display();
            format!("Error trying to rename the temporary AOF base file {temporary} into {path}: {}", reason(&error))
        })?;
        log::info!("Successfully renamed the temporary AOF base file {temporary} into {base}");
        let mut made = vec![path];
        let stored = (|| {
            if let Some(from) = &self.aof.temporary {
                let to = manifest.begin_increment(&place.name);
                fs::rename(place.path(from), place.path(&to)).map_err(|error| {
                    format!("Error trying to rename the temporary AOF incr file {from} into {to}: {}", reason(&error))
                })?;
                log::info!("Successfully renamed the temporary AOF incr file {from} into {to}");
                made.push(place.path(&to));
            }
            // The last increment is the one that goes on.
            manifest.retire_increments(usize::from(self.aof.writer().is_some()));
            place.store(&manifest)
        })();
        if let Err(why) = stored {
            made.iter().for_each(|path| self.aof.remove(path));
            return Err(why);
        }
        self.aof.manifest = manifest;
        self.aof.size_before = bytes;
        self.aof.base_size = self.aof.size();
        if self.aof.temporary.take().is_some() {
            self.aof.state = State::On;
        }
        self.remove_history();
        Ok(())
    }

    /// Removes files that count no more. If that fails they stay, and nothing is wrong.
    pub fn remove_history(&mut self) {
        if self.settings.aof_disable_auto_gc || self.aof.manifest.history.is_empty() {
            return;
        }
        for part in std::mem::take(&mut self.aof.manifest.history) {
            log::info!("Removing the history file {} in the background", part.name);
            self.aof.remove(&self.aof.place.path(&part.name));
        }
        if let Err(why) = self.aof.place.store(&self.aof.manifest) {
            log::warn!("{why}");
        }
    }

    /// Begins a rewrite that is scheduled, or due because the file has grown. To be called now and then.
    pub fn rewrite_if_due(&mut self) {
        if !save::is_free(self) || self.loading.is_some() {
            return;
        }
        let rewrites = &mut self.aof.rewrites;
        let due = match rewrites.scheduled {
            true => !rewrites.must_wait(self.clock.uptime_ms()),
            false => self.aof.state == State::On && self.has_grown(),
        };
        if due && let Err(why) = self.begin_rewrite() {
            log::warn!("{why}");
            self.aof.rewrites.failures += 1;
            self.aof.rewrites.scheduled = self.aof.state == State::AwaitsBase;
        }
    }

    /// Whether the files are so large that the settings want a rewrite, and the last ones did not fail.
    fn has_grown(&mut self) -> bool {
        let settings = &self.settings;
        let (size, base) = (self.aof.size(), self.aof.base_size().max(1));
        let percentage = u64::from(settings.auto_aof_rewrite_percentage);
        let growth = (size * 100 / base).saturating_sub(100);
        let grown = percentage > 0 && size > settings.auto_aof_rewrite_min_size && growth >= percentage;
        // A limit that the data itself exceeds cannot be kept: then a tenth more is reason enough.
        let too_large = settings.max_aof_size > 0 && size > settings.max_aof_size && growth >= 10;
        if !(grown || too_large) || self.aof.rewrites.must_wait(self.clock.uptime_ms()) {
            return false;
        }
        log::info!("Starting automatic rewriting of AOF on {growth}% growth");
        true
    }
}

impl Rewrites {
    /// Whether a rewrite that nobody has just asked for must wait because several have failed: each time twice as long.
    fn must_wait(&mut self, now_ms: u64) -> bool {
        if self.failures < FAILURES {
            self.wait = None;
            return false;
        }
        let minutes = match self.wait {
            Some((until_ms, _)) if now_ms < until_ms => return true,
            Some((until_ms, minutes)) if until_ms > 0 => {
                self.wait = Some((0, minutes));
                return false;
            }
            Some((_, minutes)) => (minutes * 2).min(LONGEST_WAIT),
            None => 1,
        };
        self.wait = Some((now_ms + minutes * 60_000, minutes));
        log::warn!(
            "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in {minutes} minutes"
        );
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_failures_automatic_rewrites_become_rarer() {
        let mut rewrites = Rewrites { failures: 2, ..Rewrites::default() };
        assert!(!rewrites.must_wait(0));
        rewrites.failures = 3;
        let mut now_ms = 0;
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(rewrites.must_wait(now_ms) && rewrites.must_wait(now_ms + minutes * 60_000 - 1));
            now_ms += minutes * 60_000;
            assert!(!rewrites.must_wait(now_ms), "it is tried after {minutes} minutes");
        }
        rewrites.failures = 0;
        assert!(!rewrites.must_wait(now_ms));
    }
}
