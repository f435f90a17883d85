//! Writing the last increment, and deciding when it is made durable.
//!
//! What the journal gathered in a turn of the loop is accepted into a buffer, written in one piece before any reply goes out,
//! and synced by the thread for disks. `always` is a group commit: while a sync is under way, what comes is gathered, and
//! goes out in one write and one sync when it is over; whoever wrote waits for that sync. `everysec` syncs once a second;
//! while the disk takes longer than that, writes wait for up to two seconds, because the kernel would make a write
//! wait for the sync anyway, and the loop with it.
//!
//! Positions in the journal say how far all this is: accepted ≥ written ≥ synced.
//!
//! Under `always` a file that grows is filled ahead of its end (see [`super::filling`]), because a sync of what takes the place
//! of other bytes is several times as quick as one of what makes the file longer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::filling;
use super::reader::{Checksum, MARK};
use crate::config::AppendFsync;
use crate::observe::reason;

/// How long writes may wait for a sync, in milliseconds.
const POSTPONE_MS: u64 = 2000;
/// How often an `everysec` file is synced, in milliseconds.
const SYNC_MS: u64 = 1000;
/// A failing disk is worth a line of the log so often, in milliseconds.
const LOG_MS: u64 = 30_000;
/// A checksum stands behind so many bytes, or a few more.
const CHECKSUM_EVERY: u64 = 4096;
/// An empty buffer larger than this is given back, in bytes.
const KEPT_BUFFER: usize = 1 << 20;

/// What the settings and the moment decide about a write.
#[derive(Clone, Copy)]
pub struct Manner {
    /// Milliseconds of uptime.
    pub now_ms: u64,
    pub policy: AppendFsync,
    /// Nothing may be postponed.
    pub forced: bool,
    /// A rewrite needs the disk, and the settings say that syncs wait for it.
    pub spare_disk: bool,
}

/// The end of the append-only file.
pub struct Writer {
    file: Arc<File>,
    buffer: Vec<u8>,
    /// Bytes in the file without the filling.
    size: u64,
    /// Where the filling ends, if that is behind them.
    filled: u64,
    /// Positions in the journal: what is in the buffer, in the file, handed to a sync, and durable.
    accepted: u64,
    written: u64,
    ordered: u64,
    synced: u64,
    /// Up to here replies need not wait.
    acknowledged: u64,
    /// Syncs that are under way.
    syncing: usize,
    last_sync_ms: u64,
    postponed_since_ms: Option<u64>,
    /// How often a write could not wait for a sync any longer.
    pub delayed: u64,
    /// Why the last write failed, and the last sync.
    write_trouble: Option<String>,
    sync_trouble: Option<String>,
    last_log_ms: Option<u64>,
    /// The time of the last annotation, in Unix seconds.
    timestamp: u64,
    checksum: Checksum,
    /// Ends what the file is filled with.
    seal: u64,
    /// The file ends with what no checksum of this writer can cover.
    foreign_end: bool,
    /// Checksums are wanted.
    checksums: bool,
}

impl Writer {
    /// Writes behind the `size` bytes that a file holds. The journal stands at `offset`.
    pub fn new(file: File, size: u64, offset: u64) -> Writer {
        let seal = filling::new_seal();
        Writer {
            file: Arc::new(file),
            buffer: Vec::new(),
            size,
            filled: size,
            accepted: offset,
            written: offset,
            ordered: offset,
            synced: offset,
            acknowledged: offset,
            syncing: 0,
            last_sync_ms: 0,
            postponed_since_ms: None,
            delayed: 0,
            write_trouble: None,
            sync_trouble: None,
            last_log_ms: None,
            timestamp: 0,
            checksum: Checksum::sealed(seal),
            seal,
            foreign_end: size > 0,
            checksums: false,
        }
    }

    /// Takes in what was journalled up to `offset`. A timestamp, in Unix seconds, goes before it if one is wanted and differs
    /// from the last one; a checksum behind it, now and then.
    pub fn accept(&mut self, bytes: &[u8], offset: u64, timestamp: Option<u64>, checksums: bool) {
        self.accepted = offset;
        if bytes.is_empty() {
            return;
        }
        self.checksums = checksums;
        if std::mem::replace(&mut self.foreign_end, !checksums) && checksums {
            // What stands before is not known here: the next checksum begins behind it.
            self.checksum.restart();
            self.buffer.extend_from_slice(self.checksum.finish().as_bytes());
        }
        let start = self.buffer.len();
        if let Some(timestamp) = timestamp.filter(|&timestamp| timestamp != self.timestamp) {
            self.timestamp = timestamp;
            self.buffer.extend_from_slice(format!("#TS:{timestamp}\r\n").as_bytes());
        }
        self.buffer.extend_from_slice(bytes);
        if checksums {
            self.checksum.add(&self.buffer[start..]);
            if self.checksum.covered() >= CHECKSUM_EVERY {
                self.buffer.extend_from_slice(self.checksum.finish().as_bytes());
            }
        }
    }

    /// Writes what was accepted, and has it synced by `order` if it is time, which gets the position up to which the file is
    /// written; [`Writer::synced`] is to be told of it when that is done.
    ///
    /// # Errors
    /// If the server must not go on: the file takes no more, and was to take everything before anybody is answered.
    pub fn flush(&mut self, manner: Manner, order: impl FnOnce(&Arc<File>, u64)) -> Result<(), String> {
        let always = manner.policy == AppendFsync::Always;
        if !self.buffer.is_empty() {
            if self.syncing > 0 && !manner.forced {
                if always {
                    return Ok(());
                }
                if manner.policy == AppendFsync::EverySecond {
                    let since = *self.postponed_since_ms.get_or_insert(manner.now_ms);
                    if manner.now_ms - since < POSTPONE_MS {
                        return Ok(());
                    }
                    self.delayed += 1;
                    log::info!(
                        "Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF buffer without \
                         waiting for fsync to complete, this may slow down Redis."
                    );
                }
            }
            self.postponed_since_ms = None;
            self.write(manner)?;
        } else {
            // What sinks other than this file wanted needs no file, nor a sync of its own.
            if self.synced == self.written {
                (self.ordered, self.synced, self.acknowledged) = (self.accepted, self.accepted, self.accepted);
            }
            self.written = self.accepted;
        }
        if !always || manner.spare_disk {
            self.acknowledged = self.written;
        }
        if self.ordered < self.written && self.syncing == 0 && !manner.spare_disk {
            let due = match manner.policy {
                AppendFsync::Always => true,
                AppendFsync::EverySecond => manner.now_ms.saturating_sub(self.last_sync_ms) >= SYNC_MS,
                AppendFsync::No => false,
            };
            if due {
                self.last_sync_ms = manner.now_ms;
                self.order_sync(order);
            }
        }
        Ok(())
    }

    fn order_sync(&mut self, order: impl FnOnce(&Arc<File>, u64)) {
        self.syncing += 1;
        self.ordered = self.written;
        order(&self.file, self.written);
    }

    fn write(&mut self, manner: Manner) -> Result<(), String> {
        let fills = manner.policy == AppendFsync::Always && self.checksums && self.size >= filling::FROM;
        let misalignment = |len: usize| filling::misalignment(self.filled, self.size + len as u64);
        if fills && (self.checksum.covered() > 0 || misalignment(self.buffer.len()) > 0) {
            // Should the next write be torn, this tells where it began.
            let mut line = self.checksum.finish();
            line.insert_str(MARK.len(), &"0".repeat(misalignment(self.buffer.len() + line.len())));
            self.buffer.extend_from_slice(line.as_bytes());
        }
        let len = self.buffer.len();
        let end = self.size + len as u64;
        if !fills || end + filling::LEAST > self.filled {
            // What does not fit makes the file longer, instead of partly taking the place of other bytes: so it is not torn.
            self.trim();
        }
        let Err((mut written, error)) = write_all(&self.file, &self.buffer, self.size) else {
            (self.size, self.filled) = (end, end.max(self.filled));
            if fills && self.filled < end + filling::LINE / 2 {
                self.fill();
            }
            self.written = self.accepted;
            if self.buffer.capacity() > KEPT_BUFFER {
                self.buffer = Vec::new();
            } else {
                self.buffer.clear();
            }
            if self.write_trouble.take().is_some() {
                log::info!("AOF write error looks solved, Redis can write again.");
            }
            return Ok(());
        };
        let quiet = self.last_log_ms.is_some_and(|last| manner.now_ms - last < LOG_MS);
        if !quiet {
            self.last_log_ms = Some(manner.now_ms);
        }
        let mut trouble = reason(&error);
        if written == 0 {
            if !quiet {
                log::warn!("Error writing to the AOF file: {trouble}");
            }
        } else {
            trouble = reason(&io::Error::from_raw_os_error(libc::ENOSPC));
            if !quiet {
                let expected = self.buffer.len();
                log::warn!("Short write while writing to the AOF file: (nwritten={written}, expected={expected})");
            }
            // Half a command must not stay: it may be long until there is room for the rest.
            match self.file.set_len(self.size) {
                Ok(()) => written = 0,
                Err(error) if !quiet => log::warn!(
                    "Could not remove short write from the append-only file. Redis may refuse to load the AOF the next \
                     time it starts. ftruncate: {}",
                    reason(&error)
                ),
                Err(_) => {}
            }
        }
        self.size += written as u64;
        self.buffer.drain(..written);
        self.write_trouble = Some(trouble);
        if manner.policy == AppendFsync::Always {
            return Err(
                "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...".to_string()
            );
        }
        Ok(())
    }

    /// A sync is over that made the file durable up to a position.
    ///
    /// # Errors
    /// If the server must not go on: it failed, and whoever waits for it cannot be answered.
    pub fn synced(&mut self, offset: u64, result: io::Result<()>, policy: AppendFsync) -> Result<(), String> {
        self.syncing = self.syncing.saturating_sub(1);
        match result {
            Ok(()) => {
                self.synced = self.synced.max(offset);
                self.acknowledged = self.acknowledged.max(offset);
                self.sync_trouble = None;
                Ok(())
            }
            Err(error) if policy == AppendFsync::Always => Err(format!(
                "Can't persist AOF for fsync error when the AOF fsync policy is 'always': {}. Exiting...",
                reason(&error)
            )),
            Err(error) => {
                log::warn!("Fail to fsync the AOF file: {}", reason(&error));
                self.sync_trouble = Some(reason(&error));
                // It is tried again in a second.
                self.ordered = self.synced;
                Ok(())
            }
        }
    }

    /// Makes durable at once what has been written, with a last checksum behind it if there is room: another file is to follow.
    ///
    /// # Errors
    /// If that fails.
    pub fn conclude(&mut self) -> io::Result<()> {
        let line = if self.buffer.is_empty() { self.last_checksum() } else { None };
        if let Some(line) = &line {
            self.trim();
            match write_all(&self.file, line.as_bytes(), self.size) {
                Ok(()) => self.size += line.len() as u64,
                Err(_) => self.file.set_len(self.size)?,
            }
            self.filled = self.size;
        }
        if self.synced < self.written || line.is_some() {
            self.file.sync_data()?;
            self.ordered = self.ordered.max(self.written);
            (self.synced, self.acknowledged) = (self.written, self.acknowledged.max(self.written));
        }
        Ok(())
    }

    /// Puts a line of filling behind all. If there is no room, there is no filling.
    fn fill(&mut self) {
        let outcome = write_all(&self.file, &filling::line(self.seal), self.filled);
        self.filled += filling::LINE;
        if outcome.is_err() {
            self.trim();
        }
    }

    /// Takes away the filling. If that is not possible it stays, which does no harm.
    pub fn trim(&mut self) {
        if self.filled > self.size
            && let Err(error) = self.file.set_len(self.size)
        {
            log::warn!("The filling of the append-only file could not be cut off: {}", reason(&error));
        }
        self.filled = self.size;
    }

    /// Goes on in another, empty file. What is not durable of this one will be, by `order`; see [`Writer::flush`]. Returns
    /// the old file, to be closed behind that.
    pub fn go_on_in(&mut self, file: File, order: impl FnOnce(&Arc<File>, u64)) -> Arc<File> {
        self.trim();
        if self.ordered < self.written {
            self.order_sync(order);
        }
        (self.size, self.filled) = (0, 0);
        self.timestamp = 0;
        self.checksum.restart();
        self.foreign_end = false;
        std::mem::replace(&mut self.file, Arc::new(file))
    }

    /// Writes and syncs everything at once: the file is to be closed, or the server ends.
    ///
    /// # Errors
    /// If something was not written or is not durable.
    pub fn finish(&mut self) -> io::Result<()> {
        if let Some(line) = self.last_checksum() {
            self.buffer.extend_from_slice(line.as_bytes());
        }
        write_all(&self.file, &self.buffer, self.size).map_err(|(_, error)| error)?;
        self.size += self.buffer.len() as u64;
        self.buffer.clear();
        self.trim();
        (self.written, self.ordered) = (self.accepted, self.accepted);
        self.file.sync_data()?;
        (self.synced, self.acknowledged) = (self.accepted, self.accepted);
        Ok(())
    }

    /// The annotation behind all that was accepted, which nothing will follow; none if that is covered.
    fn last_checksum(&mut self) -> Option<String> {
        (self.checksums && self.checksum.covered() > 0).then(|| self.checksum.finish())
    }

    /// Whether a reply must wait whose command ends at a position in the journal.
    #[inline]
    pub fn holds(&self, offset: u64) -> bool {
        offset > self.acknowledged
    }

    /// Up to which position in the journal the file is durable.
    pub fn durable(&self) -> u64 {
        self.synced
    }

    /// Why the file does not take writes, if so.
    pub fn trouble(&self) -> Option<&str> {
        self.write_trouble.as_deref().or(self.sync_trouble.as_deref())
    }

    /// Whether the last write reached the file.
    pub fn writes(&self) -> bool {
        self.write_trouble.is_none()
    }

    /// Bytes in the file, without what it is filled with.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that wait to be written.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Syncs that are under way.
    pub fn syncing(&self) -> usize {
        self.syncing
    }
}

/// Writes everything at a position, or says how much was written before what error.
fn write_all(file: &File, bytes: &[u8], at: u64) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write_at(&bytes[written..], at + written as u64) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn scratch(name: &str) -> (File, PathBuf) {
        let path = std::env::temp_dir().join(format!("cachestorm-writer-{name}-{}", std::process::id()));
        (File::create(&path).expect("a file"), path)
    }

    fn manner(now_ms: u64, policy: AppendFsync) -> Manner {
        Manner { now_ms, policy, forced: false, spare_disk: false }
    }

    /// Flushes; returns the position for which a sync was ordered.
    fn flush(writer: &mut Writer, manner: Manner) -> Option<u64> {
        let mut ordered = None;
        writer.flush(manner, |_, offset| ordered = Some(offset)).expect("the file takes it");
        ordered
    }

    #[test]
    fn always_is_a_group_commit() {
        let (file, path) = scratch("always");
        let mut writer = Writer::new(file, 0, 100);
        let always = manner(0, AppendFsync::Always);
        writer.accept(b"abc", 103, None, false);
        assert!(writer.holds(103) && !writer.holds(100));
        assert_eq!(flush(&mut writer, always), Some(103));
        for offset in [104, 105] {
            writer.accept(b"d", offset, None, false);
            assert_eq!(flush(&mut writer, always), None, "a sync is under way");
        }
        assert_eq!(std::fs::read(&path).expect("it is there"), b"abc");
        writer.synced(103, Ok(()), AppendFsync::Always).expect("it went well");
        assert!(!writer.holds(103) && writer.holds(104));
        assert_eq!(flush(&mut writer, always), Some(105), "what came meanwhile goes out together");
        writer.synced(105, Ok(()), AppendFsync::Always).expect("it went well");
        assert_eq!((writer.holds(105), writer.durable(), writer.size()), (false, 105, 5));
        assert!(writer.synced(105, Err(io::ErrorKind::Other.into()), AppendFsync::Always).is_err());
        std::fs::remove_file(path).expect("it was there");
    }

    #[test]
    fn every_second_is_at_most_two_seconds_behind() {
        let (file, path) = scratch("everysec");
        let mut writer = Writer::new(file, 0, 0);
        let at = |now_ms| manner(now_ms, AppendFsync::EverySecond);
        writer.accept(b"a", 1, None, false);
        assert_eq!(flush(&mut writer, at(5000)), Some(1));
        assert!(!writer.holds(1), "nobody waits");
        writer.accept(b"b", 2, None, false);
        for now_ms in [5500, 6000, 7499] {
            assert_eq!((flush(&mut writer, at(now_ms)), writer.size()), (None, 1), "the write waits for the sync");
        }
        assert_eq!((flush(&mut writer, at(7500)), writer.size(), writer.delayed), (None, 2, 1));
        writer.synced(1, Ok(()), AppendFsync::EverySecond).expect("it went well");
        assert_eq!(flush(&mut writer, at(7600)), Some(2), "also without anything to write");
        writer.synced(2, Err(io::ErrorKind::Other.into()), AppendFsync::EverySecond).expect("the server goes on");
        assert!(writer.trouble().is_some());
        assert_eq!((flush(&mut writer, at(8000)), flush(&mut writer, at(8600))), (None, Some(2)), "it is tried again");
        writer.synced(2, Ok(()), AppendFsync::EverySecond).expect("it went well");
        assert_eq!((writer.trouble(), writer.durable()), (None, 2));
        std::fs::remove_file(path).expect("it was there");
    }

    #[test]
    fn a_full_disk_is_survived_unless_every_write_must_be_safe() {
        let full = || File::options().write(true).open("/dev/full").expect("the device is there");
        let mut writer = Writer::new(full(), 0, 0);
        writer.accept(b"abc", 3, None, false);
        assert_eq!(flush(&mut writer, manner(0, AppendFsync::EverySecond)), None);
        assert_eq!((writer.trouble(), writer.buffered(), writer.size()), (Some("No space left on device"), 3, 0));
        let (file, path) = scratch("full");
        writer.go_on_in(file, |_, _| {});
        assert_eq!(flush(&mut writer, manner(0, AppendFsync::EverySecond)), None);
        assert_eq!((writer.trouble(), writer.buffered(), writer.size()), (None, 0, 3));
        let mut strict = Writer::new(full(), 0, 0);
        strict.accept(b"abc", 3, None, false);
        assert!(strict.flush(manner(0, AppendFsync::Always), |_, _| {}).is_err());
        std::fs::remove_file(path).expect("it was there");
    }

    #[test]
    fn a_file_that_grows_is_filled_ahead_of_its_end() {
        let (file, path) = scratch("filled");
        let mut writer = Writer::new(file, 0, 0);
        let len = || std::fs::metadata(&path).expect("it is there").len();
        let end = || filling::end(&File::open(&path).expect("it is there")).expect("it can be read");
        let mut offset = 0;
        let mut write = |writer: &mut Writer, size: usize, policy| {
            offset += size as u64;
            writer.accept(&vec![b'x'; size], offset, None, true);
            assert_eq!(flush(writer, manner(offset * 1000, policy)), Some(offset));
            writer.synced(offset, Ok(()), policy).expect("it went well");
            (writer.size(), len())
        };
        let (size, length) = write(&mut writer, filling::FROM as usize, AppendFsync::Always);
        assert_eq!((size, end()), (length, None), "it may never have many bytes");
        let (size, length) = write(&mut writer, 10, AppendFsync::Always);
        let whole = |at| Some(filling::End { at, torn: false });
        assert_eq!((size + filling::LINE, end()), (length, whole(size)));
        let seal = format!("{:016x}", writer.seal);
        let text = String::from_utf8(std::fs::read(&path).expect("it is there")).expect("it is text");
        assert!(text.contains(&format!(":{seal}\r\n##")) && text.ends_with(&format!("##{seal}\n")));
        let (size, unchanged) = write(&mut writer, 10_000, AppendFsync::Always);
        assert_eq!((unchanged, end()), (length, whole(size)));
        let (size, longer) = write(&mut writer, filling::LINE as usize / 2, AppendFsync::Always);
        assert_eq!((longer - filling::LINE, end()), (length, whole(size)), "another line");
        let (size, length) = write(&mut writer, 2 * filling::LINE as usize, AppendFsync::Always);
        assert_eq!((size + filling::LINE, end()), (length, whole(size)));
        // Up to the end of the line and into the next, of whose ends none may begin a piece.
        // Of what is written some ends with a checksum already.
        for step in 0..8000 {
            let len = if step < 4000 { 1 } else { CHECKSUM_EVERY as usize + step % 1024 };
            let (size, length) = write(&mut writer, len, AppendFsync::Always);
            let left = (length - size) % filling::LINE;
            assert!(left == 0 || (left >= filling::LEAST && (left - 1) % 1023 > 16), "Redis can read {left}");
            assert_eq!(end(), whole(size));
        }
        let (size, _) = write(&mut writer, 1, AppendFsync::Always);
        assert_eq!(end(), whole(size));
        let (size, length) = write(&mut writer, 10, AppendFsync::EverySecond);
        assert_eq!((size, end()), (length, None), "who does not wait needs none");
        write(&mut writer, 10, AppendFsync::Always);
        writer.finish().expect("the file takes it");
        assert_eq!((writer.size(), end()), (len(), None));
        std::fs::remove_file(path).expect("it was there");
    }

    #[test]
    fn annotations_stand_where_they_belong() {
        let (file, path) = scratch("notes");
        file.write_all_at(b"\xFFold bytes", 0).expect("it takes them");
        let mut writer = Writer::new(file, 10, 0);
        let big = vec![b'x'; CHECKSUM_EVERY as usize];
        writer.accept(b"one", 1, Some(7), true);
        writer.accept(b"two", 2, Some(7), true);
        writer.accept(&big, 3, Some(8), true);
        writer.finish().expect("the file takes it");
        let text = std::fs::read(&path).expect("it is there");
        let text = String::from_utf8_lossy(&text);
        let start = format!("\u{FFFD}old bytes#CRC:0:00000000:{:016x}\r\n#TS:7\r\nonetwo#TS:8\r\nxxx", writer.seal);
        assert!(text.starts_with(&start), "{text}");
        assert!(text.ends_with("\r\n") && text.contains("x#CRC:4116:"), "{}", &text[text.len() - 40..]);
        std::fs::remove_file(path).expect("it was there");
    }
}
