//! A snapshot on its way to the disk: into a temporary file, which takes the place of the old one when it is whole and
//! durable. Whatever happens before that, the old one stays.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::Sink;
use super::rdb::{Checksum, checksum};
use crate::observe::process;
use crate::observe::reason;

/// Bytes between two syncs, so that the last one does not have to wait for all of them.
const SYNC_EVERY: usize = 4 << 20;
/// Bytes that may be on their way to the thread.
const ON_THE_WAY: usize = 8 << 20;

/// What a snapshot file is like.
#[derive(Clone, Debug)]
pub struct Target {
    /// The file that is to be replaced.
    pub path: PathBuf,
    /// Where it is written until then, in the same directory. No other file has had this name: a thread that has just been given up
    /// may still hold its own.
    pub temporary: PathBuf,
    /// Whether it ends with a checksum, or with zeros in its place.
    pub checksum: bool,
    /// Whether it ends with either: a file of commands does not.
    pub trailer: bool,
    /// Whether it is synced as it grows.
    pub incremental_sync: bool,
}

/// What could not be done, in the words of the log, and why.
#[derive(Debug)]
pub struct DiskError {
    pub doing: &'static str,
    pub error: io::Error,
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> DiskError {
    move |error| DiskError { doing, error }
}

/// Whether a snapshot file may still take the place of the old one. Whoever forbids it waits while that happens.
type Permission = Arc<Mutex<bool>>;

/// A snapshot file that is being written. Dropped before its end, it is removed.
pub struct SnapshotFile {
    target: Target,
    file: File,
    sum: Checksum,
    written: u64,
    unsynced: usize,
    whole: bool,
    permission: Permission,
}

impl SnapshotFile {
    /// An empty file.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(target: Target) -> Result<SnapshotFile, DiskError> {
        let file = File::create(&target.temporary).map_err(failed("open"))?;
        let permission = Arc::new(Mutex::new(true));
        Ok(SnapshotFile { target, file, sum: checksum(), written: 0, unsynced: 0, whole: false, permission })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        if self.target.checksum {
            self.sum.update(bytes);
        }
        self.file.write_all(bytes).map_err(failed("write"))?;
        self.written += bytes.len() as u64;
        self.unsynced += bytes.len();
        if self.target.incremental_sync && self.unsynced >= SYNC_EVERY {
            self.unsynced = 0;
            self.file.sync_data().map_err(failed("fsync"))?;
        }
        Ok(())
    }

    /// Puts the file in the place of the old one, durably. Returns its size in bytes.
    ///
    /// # Errors
    /// If something of that fails, or it was given up; then the old one is still there, or the new one is there but perhaps not
    /// durable.
    pub fn finish(mut self) -> Result<u64, DiskError> {
        let sum = if self.target.checksum { self.sum.clone().finalize() } else { 0 };
        if self.target.trailer {
            self.file.write_all(&sum.to_le_bytes()).map_err(failed("write"))?;
            self.written += 8;
        }
        self.file.sync_all().map_err(failed("fsync"))?;
        {
            let permission = Arc::clone(&self.permission);
            let permitted = permission.lock().unwrap_or_else(PoisonError::into_inner);
            if !*permitted {
                return Err(failed("rename")(io::Error::other("it was given up")));
            }
            fs::rename(&self.target.temporary, &self.target.path).map_err(failed("rename"))?;
            self.whole = true;
        }
        let directory = match self.target.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("fsync"))?;
        Ok(self.written)
    }

    fn is_permitted(&self) -> bool {
        *self.permission.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SnapshotFile {
    fn drop(&mut self) {
        if !self.whole
            && let Err(error) = fs::remove_file(&self.target.temporary)
        {
            log::warn!(
                "The temporary file {} could not be removed: {}",
                self.target.temporary.display(),
                reason(&error)
            );
        }
    }
}

/// What the thread is told.
enum Message {
    Bytes(Vec<u8>),
    Finish,
}

/// What the thread tells.
pub enum Told {
    /// These bytes have been written. Their buffer goes back to who made it.
    PassedOn(Vec<u8>),
    /// The file is in its place, with so many bytes; or it never will be.
    Over(Result<u64, DiskError>),
}

/// A snapshot file that a thread writes. Dropped before the file is in its place, it never gets there.
pub struct Background {
    messages: Sender<Message>,
    on_the_way: usize,
    permission: Permission,
}

impl Background {
    /// Starts the thread, which hands what it has to tell to `tell`.
    ///
    /// # Errors
    /// If the file cannot be made, or there can be no thread.
    pub fn start(target: Target, mut tell: impl FnMut(Told) + Send + 'static) -> Result<Background, DiskError> {
        let file = SnapshotFile::create(target)?;
        let permission = Arc::clone(&file.permission);
        let (messages, inbox) = channel();
        let body = move || write_all(file, &inbox, &mut tell);
        thread::Builder::new().name("snapshot".to_string()).spawn(body).map_err(failed("start a thread"))?;
        Ok(Background { messages, on_the_way: 0, permission })
    }

    fn send(&self, message: Message) {
        // A thread that is gone has told why.
        if self.messages.send(message).is_err() {
            log::debug!("The snapshot's thread has ended already");
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        *self.permission.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

fn write_all(mut file: SnapshotFile, inbox: &Receiver<Message>, tell: &mut impl FnMut(Told)) {
    process::take_second_place();
    loop {
        match inbox.recv() {
            // It was given up: nobody wants to know.
            Ok(_) if !file.is_permitted() => return,
            Err(_) => return,
            Ok(Message::Bytes(bytes)) => {
                if let Err(error) = file.write(&bytes) {
                    drop(file);
                    return tell(Told::Over(Err(error)));
                }
                tell(Told::PassedOn(bytes));
            }
            Ok(Message::Finish) => return tell(Told::Over(file.finish())),
        }
    }
}

impl Sink for Background {
    fn has_room(&self) -> bool {
        self.on_the_way < ON_THE_WAY
    }

    fn write(&mut self, bytes: Vec<u8>) {
        self.on_the_way += bytes.len();
        self.send(Message::Bytes(bytes));
    }

    fn passed_on(&mut self, bytes: usize) {
        self.on_the_way -= bytes.min(self.on_the_way);
    }

    fn finish(&mut self) {
        self.send(Message::Finish);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Target {
        let directory = std::env::temp_dir();
        let path = directory.join(format!("cachestorm-{}-{name}.rdb", std::process::id()));
        let temporary = path.with_extension("temporary");
        Target { path, temporary, checksum: true, trailer: true, incremental_sync: true }
    }

    #[test]
    fn a_file_takes_its_place_when_it_is_whole() {
        let target = target("whole");
        let (sender, told) = channel();
        let mut sink = Background::start(target.clone(), move |told| drop(sender.send(told))).expect("a thread");
        sink.write(b"REDIS0011".to_vec());
        sink.write(vec![0xFF]);
        assert!(!target.path.exists());
        sink.finish();
        let mut told = told.iter();
        assert!(matches!(told.next(), Some(Told::PassedOn(bytes)) if bytes == b"REDIS0011"));
        assert!(matches!(told.next(), Some(Told::PassedOn(bytes)) if bytes == [0xFF]));
        assert!(matches!(told.next(), Some(Told::Over(Ok(18)))));
        let bytes = fs::read(&target.path).expect("the file is there");
        let mut sum = checksum();
        sum.update(&bytes[..10]);
        assert_eq!(bytes[10..], sum.finalize().to_le_bytes());
        assert!(!target.temporary.exists());
        fs::remove_file(&target.path).expect("it can be removed");
    }

    #[test]
    fn a_thread_that_is_given_up_does_not_go_on() {
        let target = target("thread");
        let mut sink = Background::start(target.clone(), |_| ()).expect("a thread");
        let permission = Arc::clone(&sink.permission);
        // As if the disk were slow: the thread comes to what it was sent only when it was given up.
        let mut slow = permission.lock().expect("a lock");
        sink.write(b"REDIS0011".to_vec());
        sink.finish();
        *slow = false;
        drop(slow);
        drop(sink);
        while Arc::strong_count(&permission) > 1 {
            thread::yield_now();
        }
        assert!(!target.path.exists() && !target.temporary.exists());
    }

    #[test]
    fn a_file_that_is_given_up_leaves_the_old_one() {
        let target = target("given-up");
        fs::write(&target.path, b"old").expect("a file");
        let mut file = SnapshotFile::create(target.clone()).expect("a file");
        file.write(b"REDIS").expect("written");
        drop(file);
        assert!(!target.temporary.exists());
        assert_eq!(fs::read(&target.path).expect("it is there"), b"old");
        fs::remove_file(&target.path).expect("it can be removed");
        let nowhere = Target { temporary: "/nowhere/at/all".into(), ..target };
        assert_eq!(SnapshotFile::create(nowhere).err().map(|error| error.doing), Some("open"));
    }
}
