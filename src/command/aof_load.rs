//! Loading the append-only file: its base and its increments, one after the other.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use super::load::{self, Intake, Manner};
use super::loading::{Loader, Replayer, Unplayable};
use super::state::Server;
use crate::observe::reason;
use crate::persist::aof::filling;
use crate::persist::aof::manifest::{Manifest, Place};
use crate::persist::aof::reader::{Fault, Reader, Record};
use crate::persist::rdb::decode::Rules;
use crate::persist::rdb::error::Error;
use crate::persist::rdb::file as snapshot;
use crate::persist::rdb::source::{FileSource, Source as _};
use crate::resp::Args;

/// Time that a slice may take.
const SLICE: Duration = Duration::from_millis(5);
/// Commands between two looks at the clock.
const COMMANDS: usize = 64;

/// A file to be loaded.
struct Source {
    name: String,
    is_base: bool,
    size: u64,
}

/// A file that is being read.
enum Open {
    /// The snapshot that it begins with.
    Snapshot(Box<snapshot::Reader<FileSource>>, Rules, Box<Intake>),
    Commands(Reader<File>),
}

/// Replays the files of a manifest.
pub struct AofLoader {
    place: Place,
    sources: Vec<Source>,
    /// The file that is being read, or comes next.
    at: usize,
    open: Option<Open>,
    replayer: Replayer,
    /// Bytes of the files that have been loaded.
    loaded: u64,
    /// When the file was opened.
    started: Instant,
    /// The end of the last whole command in the file that is being read, and of the one before the last MULTI.
    valid: u64,
    valid_before_multi: u64,
}

impl AofLoader {
    /// A loader of a manifest's files; `None` if there is nothing in them.
    ///
    /// # Errors
    /// If one of them is not there.
    pub fn new(place: Place, manifest: &Manifest) -> Result<Option<AofLoader>, String> {
        let mut sources = Vec::new();
        for (at, part) in manifest.parts().enumerate() {
            let found = std::fs::metadata(place.path(&part.name));
            let size = found
                .map_err(|error| {
                    format!("Unable to obtain the AOF file {} length. stat: {}", part.name, reason(&error))
                })?
                .len();
            sources.push(Source { name: part.name.clone(), is_base: at == 0 && manifest.base.is_some(), size });
        }
        if sources.iter().all(|source| source.size == 0) {
            return Ok(None);
        }
        let replayer = Replayer::new().map_err(|error| format!("Nothing can be replayed: {error}"))?;
        let started = Instant::now();
        Ok(Some(AofLoader {
            place,
            sources,
            at: 0,
            open: None,
            replayer,
            loaded: 0,
            started,
            valid: 0,
            valid_before_multi: 0,
        }))
    }

    /// Opens the next file. `None` if there are no more.
    fn open(&mut self, server: &Server) -> Result<Option<Open>, String> {
        let Some(source) = self.sources.get(self.at) else { return Ok(None) };
        let (name, is_old) = (source.name.clone(), source.name == self.place.name);
        let failed = |error: io::Error| {
            format!("Fatal error: can't open the append log file {name} for reading: {}", reason(&error))
        };
        (self.started, self.valid, self.valid_before_multi) = (Instant::now(), 0, 0);
        let mut file = File::open(self.place.path(&name)).map_err(failed)?;
        let mut signature = Vec::new();
        (&mut file).take(5).read_to_end(&mut signature).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        if signature != b"REDIS" {
            self.cut_filling(server, &file)?;
            return Ok(Some(Open::Commands(Reader::new(file, 0))));
        }
        log::info!("Reading RDB {}...", if is_old { "preamble from AOF file" } else { "base file on AOF loading" });
        let reader = FileSource::new(file).map_err(failed)?;
        let reader = snapshot::Reader::new(reader, false).map_err(|error| self.damaged(&error))?;
        let intake = Intake::new(Manner { keep_expired: true, ..Manner::default() });
        Ok(Some(Open::Snapshot(Box::new(reader), load::rules(server), Box::new(intake))))
    }

    /// Cuts off what the file that is to be read was filled with ahead of its end, and before it what was still to be synced when
    /// the system failed, if that is allowed.
    fn cut_filling(&mut self, server: &Server, file: &File) -> Result<(), String> {
        let name = &self.sources[self.at].name;
        let Some(end) = filling::end(file)
            .map_err(|error| format!("Unrecoverable error reading the append only file {name}: {}", reason(&error)))?
        else {
            return Ok(());
        };
        if end.torn {
            return self.truncated(server, end.at).map(drop);
        }
        let cut = File::options().write(true).open(self.place.path(name)).and_then(|file| file.set_len(end.at));
        cut.map_err(|error| format!("Error cutting the filling off the AOF file {name}: {}", reason(&error)))?;
        self.sources[self.at].size = end.at;
        Ok(())
    }

    /// The snapshot that the open file begins with cannot be read.
    fn damaged(&self, error: &Error) -> String {
        load::tell(error);
        self.not_loaded()
    }

    /// The snapshot that the open file begins with is no good.
    fn unreadable(&self, error: &dyn std::fmt::Display) -> String {
        log::warn!("{error}");
        self.not_loaded()
    }

    fn not_loaded(&self) -> String {
        let name = &self.sources[self.at].name;
        if *name == self.place.name {
            format!("Error reading the RDB preamble of the AOF file {name}, AOF loading aborted")
        } else {
            format!("Error reading the RDB base file {name}, AOF loading aborted")
        }
    }

    /// Takes keys out of the snapshot that is open until the time is over. Returns whether it has ended.
    fn take_keys(
        &mut self,
        server: &mut Server,
        reader: &mut snapshot::Reader<FileSource>,
        rules: &Rules,
        intake: &mut Intake,
    ) -> Result<bool, String> {
        let until = Instant::now() + SLICE;
        loop {
            for _ in 0..COMMANDS {
                let item = reader.next(rules).map_err(|error| self.damaged(&error))?;
                if intake.take(server, item).map_err(|why| self.unreadable(&why))? {
                    return Ok(true);
                }
            }
            if Instant::now() >= until {
                return Ok(false);
            }
        }
    }

    /// Replays commands of the file that is open until the time is over. Returns whether the file has ended.
    fn replay(&mut self, server: &mut Server, reader: &mut Reader<File>) -> Result<bool, String> {
        let name = &self.sources[self.at].name;
        let until = Instant::now() + SLICE;
        loop {
            for _ in 0..COMMANDS {
                match reader.advance() {
                    Ok(Record::Command) => {}
                    Ok(Record::Annotation) => continue,
                    Ok(Record::End) if self.replayer.in_transaction() => {
                        log::warn!("Revert incomplete MULTI/EXEC transaction in AOF file {name}");
                        self.replayer.end_transaction();
                        return self.truncated(server, self.valid_before_multi);
                    }
                    Ok(Record::End) => return self.cut_annotation(reader.offset()).map(|()| true),
                    Err(Fault::Truncated) => {
                        let end = if self.replayer.in_transaction() { self.valid_before_multi } else { self.valid };
                        self.replayer.end_transaction();
                        return self.truncated(server, end);
                    }
                    Err(Fault::Malformed(_)) => {
                        return Err(format!(
                            "Bad file format reading the append only file {name}: make a backup of your AOF file, then \
                             use ./redis-check-aof --fix <filename.manifest>"
                        ));
                    }
                    Err(Fault::Damaged(from)) => {
                        return Err(format!(
                            "The append only file {name} is damaged: what stands between {from} and {} is not what was \
                             written there. Restore it from a copy, or cut it there with redis-check-aof",
                            reader.offset()
                        ));
                    }
                    Err(Fault::Io(error)) => {
                        return Err(format!(
                            "Unrecoverable error reading the append only file {name}: {}",
                            reason(&error)
                        ));
                    }
                }
                if reader.arg(0).eq_ignore_ascii_case(b"multi") {
                    self.valid_before_multi = self.valid;
                }
                let mut args = Args::new(reader.record(), reader.spans(), &mut []);
                self.replayer.run(server, &mut args).map_err(|why| {
                    let command = String::from_utf8_lossy(reader.arg(0));
                    match why {
                        Unplayable::Unknown => {
                            format!("Unknown command '{command}' reading the append only file {name}")
                        }
                        Unplayable::Malformed => {
                            format!("Wrong number of arguments for '{command}' reading the append only file {name}")
                        }
                    }
                })?;
                self.valid = reader.offset();
            }
            if Instant::now() >= until {
                return Ok(false);
            }
        }
    }

    /// If the file that is open ends within an annotation, cuts it off where something would come to stand behind it.
    fn cut_annotation(&mut self, end: u64) -> Result<(), String> {
        let is_last = self.at + 1 == self.sources.len();
        let source = &mut self.sources[self.at];
        if !is_last || source.size <= end {
            return Ok(());
        }
        let name = &source.name;
        log::info!("Cutting an annotation without end off the AOF file {name} at offset {end}");
        let cut = File::options().write(true).open(self.place.path(name)).and_then(|file| file.set_len(end));
        cut.map_err(|error| format!("Error truncating the AOF file {name}: {}", reason(&error)))?;
        source.size = end;
        Ok(())
    }

    /// The file that is open ends within a command or a transaction: cuts it behind what is whole, if that is allowed and it is the
    /// last one. What others lack is not to be missing without a word at the next start. Returns true: the file has ended.
    fn truncated(&mut self, server: &Server, end: u64) -> Result<bool, String> {
        let is_last = self.at + 1 == self.sources.len();
        let source = &mut self.sources[self.at];
        let name = &source.name;
        if server.settings.aof_load_truncated {
            log::warn!("!!! Warning: short read while loading the AOF file {name}!!!");
            if !is_last {
                return Err("Fatal error: the truncated file is not the last file".to_string());
            }
            log::warn!("!!! Truncating the AOF {name} at offset {end} !!!");
            let cut = File::options().write(true).open(self.place.path(name)).and_then(|file| file.set_len(end));
            match cut {
                Ok(()) => {
                    log::warn!("AOF {name} loaded anyway because aof-load-truncated is enabled");
                    source.size = end;
                    return Ok(true);
                }
                Err(error) => log::warn!("Error truncating the AOF file {name}: {}", reason(&error)),
            }
        }
        Err(format!(
            "Unexpected end of file reading the append only file {name}. You can: 1) Make a backup of your AOF file, then \
             use ./redis-check-aof --fix <filename.manifest>. 2) Alternatively you can set the 'aof-load-truncated' \
             configuration option to yes and restart the server."
        ))
    }

    /// The file that was open has been loaded.
    fn finish(&mut self) {
        let source = &self.sources[self.at];
        log::info!(
            "DB loaded from {} file {}: {:.3} seconds",
            if source.is_base { "base" } else { "incr" },
            source.name,
            self.started.elapsed().as_secs_f64()
        );
        self.loaded += source.size;
        self.at += 1;
    }
}

impl Open {
    /// How many bytes have been read.
    fn offset(&self) -> u64 {
        match self {
            Open::Snapshot(reader, ..) => reader.source().offset(),
            Open::Commands(reader) => reader.offset(),
        }
    }
}

impl Loader for AofLoader {
    fn slice(&mut self, server: &mut Server) -> Result<bool, String> {
        let open = match self.open.take() {
            Some(open) => open,
            None => match self.open(server)? {
                Some(open) => open,
                None => {
                    let base = self.sources.first().filter(|source| source.is_base).map_or(0, |source| source.size);
                    server.aof.loaded(self.sources.iter().map(|source| source.size).sum(), base);
                    return Ok(false);
                }
            },
        };
        self.open = match open {
            Open::Snapshot(mut reader, rules, mut intake) => {
                if self.take_keys(server, &mut reader, &rules, &mut intake)? {
                    server.note_loaded(intake.counts);
                    // Commands may follow.
                    let (mut file, offset) = reader.into_source().into_file();
                    file.seek(SeekFrom::Start(offset)).map_err(|error| self.unreadable(&error))?;
                    self.valid = offset;
                    if self.sources[self.at].name == self.place.name {
                        log::info!("Reading the remaining AOF tail...");
                    }
                    Some(Open::Commands(Reader::new(file, offset)))
                } else {
                    Some(Open::Snapshot(reader, rules, intake))
                }
            }
            Open::Commands(mut reader) => {
                if self.replay(server, &mut reader)? {
                    self.finish();
                    None
                } else {
                    Some(Open::Commands(reader))
                }
            }
        };
        Ok(true)
    }

    fn progress(&self) -> (u64, u64) {
        let total = self.sources.iter().map(|source| source.size).sum();
        (total, self.loaded + self.open.as_ref().map_or(0, Open::offset))
    }
}
