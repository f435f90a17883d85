//! The manifest: which files make up the append-only file, and in which order.
//!
//! A *base* holds the data at some moment, *increments* hold the commands since, and *history* is what a rewrite has made
//! useless and nobody has deleted yet. Each is a line of the manifest, such as
//! `file appendonly.aof.1.incr.aof seq 1 type i`; lines of a `#` are comments, and keys that nobody knows are ignored. A
//! manifest is never changed: a new one is written beside it and takes its place.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::config::words::{quote_if_needed, split};
use crate::observe::reason;
use crate::types::number::parse_i64;

/// What a file is to the whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Base,
    History,
    Increment,
}

impl Role {
    fn letter(self) -> char {
        match self {
            Role::Base => 'b',
            Role::History => 'h',
            Role::Increment => 'i',
        }
    }
}

/// A file of the append-only file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    pub name: String,
    pub seq: i64,
}

/// All files.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Manifest {
    pub base: Option<Part>,
    /// The most recent first.
    pub history: Vec<Part>,
    /// In the order in which they were written.
    pub increments: Vec<Part>,
    /// The number of the last base and increment there ever were.
    base_seq: i64,
    increment_seq: i64,
}

/// A manifest that cannot be understood.
#[derive(PartialEq, Eq, Debug)]
pub struct ManifestError {
    /// The number of the line and the line, if it is one line's fault.
    pub line: Option<(usize, String)>,
    pub reason: &'static str,
}

/// The longest line, in bytes with its end.
const LINE_MAX: usize = 1024;

/// Where the append-only file lies, and how its files are called.
#[derive(Clone, Debug)]
pub struct Place {
    /// The directory, within the server's.
    pub directory: PathBuf,
    /// What all names begin with; also the name of an old append-only file of one piece, which lay beside the directory.
    pub name: String,
}

impl Place {
    /// The path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The path of the manifest.
    pub fn manifest(&self) -> PathBuf {
        self.path(&format!("{}.manifest", self.name))
    }

    /// The name under which an increment grows before the base that it belongs to is there.
    pub fn temporary_increment(&self) -> String {
        format!("temp-{}.incr", self.name)
    }

    /// Makes the directory, durably.
    ///
    /// # Errors
    /// Those of the file system, but not if it is there.
    pub fn create(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o755).create(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.directory.is_dir() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => sync_directory(Path::new(".")),
        }
    }

    /// Puts a manifest in the place of the present one, so that after a crash there is one or the other.
    ///
    /// # Errors
    /// A text that says what failed.
    pub fn store(&self, manifest: &Manifest) -> Result<(), String> {
        let name = format!("temp-{}.manifest", self.name);
        let temporary = self.path(&name);
        let mut file = open_file(&temporary, true)
            .map_err(|error| format!("Can't open the AOF manifest file {name}: {}", reason(&error)))?;
        file.write_all(manifest.to_string().as_bytes()).map_err(|error| {
            format!("Error trying to write the temporary AOF manifest file {name}: {}", reason(&error))
        })?;
        file.sync_data().map_err(|error| format!("Fail to fsync the temp AOF file {name}: {}.", reason(&error)))?;
        fs::rename(&temporary, self.manifest()).map_err(|error| {
            format!(
                "Error trying to rename the temporary AOF manifest file {name} into {}.manifest: {}",
                self.name,
                reason(&error)
            )
        })?;
        sync_directory(&self.directory)
            .map_err(|error| format!("Fail to fsync AOF directory {}: {}.", self.directory.display(), reason(&error)))
    }
}

/// Makes names in a directory durable.
///
/// # Errors
/// Those of the file system.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

impl Manifest {
    /// Reads the text of a manifest.
    ///
    /// # Errors
    /// What does not make sense, and in which line.
    pub fn parse(text: &[u8]) -> Result<Manifest, ManifestError> {
        let mut manifest = Manifest::default();
        if text.is_empty() {
            return Err(ManifestError { line: None, reason: "Found an empty AOF manifest" });
        }
        for (number, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
            if line.starts_with(b"#") {
                continue;
            }
            if line.len() > LINE_MAX || !line.ends_with(b"\n") {
                return Err(ManifestError { line: None, reason: "The AOF manifest file contains too long line" });
            }
            let line = line.trim_ascii();
            manifest.add_line(line).map_err(|reason| {
                let shown = (!line.is_empty()).then(|| (number + 1, String::from_utf8_lossy(line).into_owned()));
                ManifestError { line: shown.or(Some((number + 1, String::new()))), reason }
            })?;
        }
        Ok(manifest)
    }

    fn add_line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        const INVALID: &str = "Invalid AOF manifest file format";
        let words = split(line).ok_or(INVALID)?;
        // More than three pairs may come from a later version.
        if words.len() < 6 || !words.len().is_multiple_of(2) {
            return Err(INVALID);
        }
        let (mut name, mut seq, mut letter) = (None, 0, None);
        for pair in words.chunks_exact(2) {
            let (key, value) = (&pair[0], &pair[1]);
            if key.eq_ignore_ascii_case(b"file") {
                let text = String::from_utf8(value.clone()).map_err(|_| INVALID)?;
                if text.contains('/') {
                    return Err("File can't be a path, just a filename");
                }
                name = Some(text);
            } else if key.eq_ignore_ascii_case(b"seq") {
                seq = parse_i64(value).unwrap_or(0);
            } else if key.eq_ignore_ascii_case(b"type") {
                letter = value.first().copied();
            }
        }
        let (Some(name), Some(letter)) = (name, letter) else { return Err(INVALID) };
        if seq == 0 {
            return Err(INVALID);
        }
        let part = Part { name, seq };
        match letter {
            b'b' if self.base.is_some() => return Err("Found duplicate base file information"),
            b'b' => {
                self.base_seq = seq;
                self.base = Some(part);
            }
            b'h' => self.history.push(part),
            b'i' if self.increments.last().is_some_and(|last| seq <= last.seq) || seq < 0 => {
                return Err("Found a non-monotonic sequence number");
            }
            b'i' => {
                self.increment_seq = seq;
                self.increments.push(part);
            }
            _ => return Err("Unknown AOF file type"),
        }
        Ok(())
    }

    /// The manifest of a server that has an old append-only file of one piece.
    pub fn of_old_file(name: &str) -> Manifest {
        let base = Some(Part { name: name.to_string(), seq: 1 });
        Manifest { base, base_seq: 1, ..Manifest::default() }
    }

    /// Whether there is nothing to be loaded.
    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.increments.is_empty()
    }

    /// The files to be loaded, in their order.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.base.iter().chain(&self.increments)
    }

    /// Begins a new base; the present one becomes history. Returns the new one's name.
    pub fn begin_base(&mut self, name: &str, is_rdb: bool) -> String {
        if let Some(old) = self.base.take() {
            self.history.insert(0, old);
        }
        self.base_seq += 1;
        let name = format!("{name}.{}.base.{}", self.base_seq, if is_rdb { "rdb" } else { "aof" });
        self.base = Some(Part { name: name.clone(), seq: self.base_seq });
        name
    }

    /// Begins a new increment. Returns its name.
    pub fn begin_increment(&mut self, name: &str) -> String {
        self.increment_seq += 1;
        let name = format!("{name}.{}.incr.aof", self.increment_seq);
        self.increments.push(Part { name: name.clone(), seq: self.increment_seq });
        name
    }

    /// Makes increments history because a new base holds what they did: all of them, or all but the last `kept`.
    pub fn retire_increments(&mut self, kept: usize) {
        let retired = self.increments.len().saturating_sub(kept);
        for part in self.increments.drain(..retired) {
            self.history.insert(0, part);
        }
    }
}

/// The text of the file.
impl std::fmt::Display for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let groups =
            [(Role::Base, self.base.as_slice()), (Role::History, &self.history), (Role::Increment, &self.increments)];
        for (role, parts) in groups {
            for part in parts {
                writeln!(f, "file {} seq {} type {}", quote_if_needed(&part.name), part.seq, role.letter())?;
            }
        }
        f.write_str("")
    }
}

/// Opens a file of the append-only file to write to it, an empty one if it is to be `fresh`. It is made as one that only its owner may
/// write to, whatever the process's umask says: who writes there decides what the next start runs.
///
/// # Errors
/// Those of the file system.
pub fn open_file(path: &Path, fresh: bool) -> io::Result<File> {
    File::options().write(true).create(true).truncate(fresh).mode(0o644).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut manifest = Manifest::default();
        assert!(manifest.is_empty());
        assert_eq!(manifest.begin_base(" a \n.aof ", true), " a \n.aof .1.base.rdb");
        assert_eq!(manifest.begin_increment("x.aof"), "x.aof.1.incr.aof");
        assert_eq!(manifest.begin_increment("x.aof"), "x.aof.2.incr.aof");
        let text = manifest.to_string();
        assert_eq!(
            text,
            "file \" a \\n.aof .1.base.rdb\" seq 1 type b\nfile x.aof.1.incr.aof seq 1 type i\n\
             file x.aof.2.incr.aof seq 2 type i\n"
        );
        assert_eq!(Manifest::parse(text.as_bytes()), Ok(manifest.clone()));
        manifest.begin_base("x.aof", false);
        manifest.retire_increments(1);
        assert_eq!(
            manifest.to_string(),
            "file x.aof.2.base.aof seq 2 type b\nfile x.aof.1.incr.aof seq 1 type h\n\
             file \" a \\n.aof .1.base.rdb\" seq 1 type h\nfile x.aof.2.incr.aof seq 2 type i\n"
        );
        let read = Manifest::parse(manifest.to_string().as_bytes()).expect("it is right");
        assert_eq!(
            read.parts().map(|part| part.name.as_str()).collect::<Vec<_>>(),
            ["x.aof.2.base.aof", "x.aof.2.incr.aof"]
        );
    }

    #[test]
    fn mistakes_are_told() {
        let long = format!("file {} seq 1 type i\n", "a".repeat(LINE_MAX));
        let cases: &[(&str, &str, usize)] = &[
            ("", "Found an empty AOF manifest", 0),
            ("file a.1.base.rdb seq 1 type b\n\n", "Invalid AOF manifest file format", 2),
            ("file a seq 1 type b\nfile b seq 2 type b\n", "Found duplicate base file information", 2),
            ("file a seq 1 type x\n", "Unknown AOF file type", 1),
            ("file seq 1 type b\n", "Invalid AOF manifest file format", 1),
            ("name a seq 1 type b\n", "Invalid AOF manifest file format", 1),
            ("file a seq 1\n", "Invalid AOF manifest file format", 1),
            ("file a seq 1 type i more\n", "Invalid AOF manifest file format", 1),
            ("file a/b seq 1 type i\n", "File can't be a path, just a filename", 1),
            ("file a seq 2 type i\nfile b seq 2 type i\n", "Found a non-monotonic sequence number", 2),
            (&long, "The AOF manifest file contains too long line", 0),
            ("file a seq 1 type i", "The AOF manifest file contains too long line", 0),
        ];
        for &(text, reason, line) in cases {
            let error = Manifest::parse(text.as_bytes()).expect_err(text);
            assert_eq!((error.reason, error.line.map_or(0, |(number, _)| number)), (reason, line), "{text}");
        }
    }

    #[test]
    fn comments_and_unknown_keys_are_skipped() {
        let text = "# hello\nfile a.2.incr.aof seq 2 type i newkey newvalue\nfile a.7.incr.aof seq 7 type i\n";
        let mut manifest = Manifest::parse(text.as_bytes()).expect("it is right");
        assert_eq!(manifest.parts().count(), 2);
        assert_eq!(manifest.begin_increment("a"), "a.8.incr.aof");
    }
}
