//! Loading the append-only file: its base and its increments, one after the other.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use super::loading::{Loader, Replayer, Unplayable};
use super::state::Server;
use crate::persist::aof::manifest::{Manifest, Place};
use crate::persist::aof::reader::{Fault, Reader, Record};
use crate::persist::aof::writer::reason;
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

/// Replays the files of a manifest.
pub struct AofLoader {
    place: Place,
    sources: Vec<Source>,
    /// The file that is being read, or comes next.
    at: usize,
    reader: Option<Reader<File>>,
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
            reader: None,
            replayer,
            loaded: 0,
            started,
            valid: 0,
            valid_before_multi: 0,
        }))
    }

    /// Opens the next file. `None` if there are no more.
    fn open(&mut self) -> Result<Option<Reader<File>>, String> {
        let Some(source) = self.sources.get(self.at) else { return Ok(None) };
        let failed = |error: io::Error| {
            format!("Fatal error: can't open the append log file {} for reading: {}", source.name, reason(&error))
        };
        (self.started, self.valid, self.valid_before_multi) = (Instant::now(), 0, 0);
        let mut file = File::open(self.place.path(&source.name)).map_err(failed)?;
        let mut signature = Vec::new();
        (&mut file).take(5).read_to_end(&mut signature).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        Ok(Some(Reader::new(file, 0)))
    }

    /// Replays commands of the file that is open until the time is over. Returns whether the file has ended.
    fn replay(&mut self, server: &mut Server, reader: &mut Reader<File>) -> Result<bool, String> {
        let name = &self.sources[self.at].name;
        let until = Instant::now() + SLICE;
        loop {
            for _ in 0..COMMANDS {
                match reader.next() {
                    Ok(Record::Command) => {}
                    Ok(Record::Annotation) => continue,
                    Ok(Record::End) if self.replayer.in_transaction() => {
                        log::warn!("Revert incomplete MULTI/EXEC transaction in AOF file {name}");
                        self.replayer.end_transaction();
                        return self.truncated(server, self.valid_before_multi);
                    }
                    Ok(Record::End) => return Ok(true),
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

    /// The file that is open ends within a command or a transaction: cuts it behind what is whole, if that is allowed. Returns
    /// true: the file has ended.
    fn truncated(&mut self, server: &Server, end: u64) -> Result<bool, String> {
        let source = &mut self.sources[self.at];
        let name = &source.name;
        if server.settings.aof_load_truncated {
            log::warn!("!!! Warning: short read while loading the AOF file {name}!!!");
            log::warn!("!!! Truncating the AOF {name} at offset {end} !!!");
            let cut = File::options().write(true).open(self.place.path(name)).and_then(|file| file.set_len(end));
            match cut {
                Ok(()) => {
                    log::warn!("AOF {name} loaded anyway because aof-load-truncated is enabled");
                    source.size = end;
                    if self.at + 1 < self.sources.len() {
                        return Err("Fatal error: the truncated file is not the last file".to_string());
                    }
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

impl Loader for AofLoader {
    fn slice(&mut self, server: &mut Server) -> Result<bool, String> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => match self.open()? {
                Some(reader) => reader,
                None => {
                    let base = self.sources.first().filter(|source| source.is_base).map_or(0, |source| source.size);
                    server.aof.loaded(self.sources.iter().map(|source| source.size).sum(), base);
                    return Ok(false);
                }
            },
        };
        if self.replay(server, &mut reader)? {
            self.finish();
        } else {
            self.reader = Some(reader);
        }
        Ok(true)
    }

    fn progress(&self) -> (u64, u64) {
        let total = self.sources.iter().map(|source| source.size).sum();
        (total, self.loaded + self.reader.as_ref().map_or(0, Reader::offset))
    }
}
