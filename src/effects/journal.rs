//! The journal: what commands changed, as commands that make the same changes again.
//!
//! Who keeps a copy of the data elsewhere (the append-only file, replicas) is a *sink*. While there is none, the journal is
//! off and costs a branch. A command that changed something is journalled as it came, unless its handler says what it
//! amounts to, because it depends on time, chance or waiting. Keys that expire or are evicted are journalled as deleted.
//! Messages are journalled for replicas alone, and a script may choose who learns of what it does.
//!
//! What belongs together is a *unit*: a command with what it caused, a whole transaction, a script, or a key that is removed
//! outside of any. A unit of several commands is wrapped in MULTI and EXEC, so that no sink ever shows a part of it.
//! The text is RESP. SELECT, or NAMESPACE where no number stands for the database, is written when the database changes, and behind MULTI, where a reader that skips a torn
//! transaction skips it too.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::types::number::push_header;

/// Who reads a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sink {
    /// The append-only file.
    File,
    /// The replication stream.
    Replicas,
}

/// A stream of commands that sinks read once a turn.
#[derive(Default)]
pub struct Journal {
    /// Who reads it, by [`Sink`].
    sinks: [bool; 2],
    /// What happens is no news: data is being loaded.
    paused: bool,
    /// There are sinks, and it is not paused.
    on: bool,
    /// What sinks have not read yet.
    bytes: Vec<u8>,
    /// The commands in there that only one sink is to read.
    apart: Vec<(Range<usize>, Sink)>,
    /// Where the last one ended that was only for the file, of all bytes ever journalled.
    file_only_until: u64,
    /// Bytes ever journalled before those.
    before: u64,
    /// The database that the text behind `bytes` would work on; `None` if it has to say so.
    db: Option<usize>,
    /// Units within units: a transaction's commands are units of their own kind, but not here.
    depth: usize,
    /// Where the open unit starts in `bytes`, and of how many commands it consists.
    start: usize,
    commands: usize,
    /// The command being run has said what it amounts to.
    rewritten: bool,
    /// Who is not to know of what commands do, by [`Sink`].
    left_out: [bool; 2],
    /// Nobody is to read the open unit.
    abandoned: bool,
    /// Names of databases that no number stands for.
    names: BTreeMap<usize, Box<str>>,
    /// Deadlines that keys got from their namespace rather than from the command being run.
    given: Vec<(usize, Box<[u8]>, u64)>,
    /// Removed keys are told as UNLINK rather than DEL.
    pub lazy: Lazy,
}

/// Which removals readers should free in the background.
#[derive(Default, Clone, Copy)]
pub struct Lazy {
    /// lazyfree-lazy-expire
    pub expiry: bool,
    /// lazyfree-lazy-eviction
    pub eviction: bool,
    /// lazyfree-lazy-server-del
    pub server: bool,
}

/// The command that removes a key.
pub fn removal(lazily: bool) -> &'static [u8] {
    if lazily { b"UNLINK" } else { b"DEL" }
}

/// A buffer larger than this is given back once it is empty, in bytes.
const KEPT_BUFFER: usize = 1 << 20;

impl Journal {
    /// Whether anybody reads it.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// A sink reads from here on. It knows no database yet.
    pub fn add_sink(&mut self, sink: Sink) {
        self.sinks[sink as usize] = true;
        self.db = None;
        self.on = !self.paused;
    }

    /// A sink reads no more.
    pub fn remove_sink(&mut self, sink: Sink) {
        self.sinks[sink as usize] = false;
        if !self.has_sinks() {
            self.on = false;
            self.commands = 0;
            self.clear();
        }
    }

    fn has_sinks(&self) -> bool {
        self.sinks.contains(&true)
    }

    /// Says whether what happens from here on is no news to anybody.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
        self.on = self.has_sinks() && !paused;
    }

    /// The next command says which database it works on: somebody begins to read there.
    pub fn select_again(&mut self) {
        self.db = None;
    }

    /// What has been journalled for a sink since the last [`Journal::clear`].
    pub fn pending(&self, sink: Sink) -> Cow<'_, [u8]> {
        let others = |&&(_, reader): &&(Range<usize>, Sink)| reader != sink;
        if !self.apart.iter().any(|part| others(&part)) {
            return Cow::Borrowed(&self.bytes);
        }
        let (mut text, mut at) = (Vec::with_capacity(self.bytes.len()), 0);
        for (part, _) in self.apart.iter().filter(others) {
            text.extend_from_slice(&self.bytes[at..part.start]);
            at = part.end;
        }
        text.extend_from_slice(&self.bytes[at..]);
        Cow::Owned(text)
    }

    /// Where in the journal, at or behind which all that was ever journalled was for replicas, too.
    pub fn file_only_until(&self) -> u64 {
        self.file_only_until
    }

    /// Whether the last unit in [`Journal::pending`] is still to be ended: nobody may read it yet.
    pub fn is_within_unit(&self) -> bool {
        self.depth > 0 && self.commands > 0
    }

    /// Forgets what all sinks have read.
    pub fn clear(&mut self) {
        debug_assert!(self.commands == 0 || self.depth == 0 || !self.has_sinks(), "nobody reads half a unit");
        self.before += self.bytes.len() as u64;
        self.start = 0;
        self.apart.clear();
        if self.bytes.capacity() > KEPT_BUFFER {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
    }

    /// How many of the bytes that were ever journalled all sinks have read.
    pub fn read_offset(&self) -> u64 {
        self.before
    }

    /// How many bytes were ever journalled.
    pub fn offset(&self) -> u64 {
        self.before + self.bytes.len() as u64
    }

    /// What follows, up to [`Journal::end`], belongs together. Units within it are part of it.
    pub fn begin(&mut self) {
        if self.depth == 0 {
            self.start = self.bytes.len();
            self.commands = 0;
        }
        self.depth += 1;
        self.rewritten = false;
    }

    /// A database is called by this name from now on, or by its number.
    pub fn name(&mut self, db: usize, name: Option<&str>) {
        match name {
            Some(name) => drop(self.names.insert(db, name.into())),
            None => drop(self.names.remove(&db)),
        }
        if self.db == Some(db) {
            self.db = None;
        }
    }

    /// A key has got a deadline, in Unix milliseconds, that the command being run does not say.
    #[cold]
    pub fn given(&mut self, db: usize, key: &[u8], deadline: u64) {
        if self.on && !self.is_muted() {
            self.given.push((db, key.into(), deadline));
        }
    }

    /// The key that got a deadline last has not come into being.
    #[cold]
    pub fn not_given(&mut self) {
        self.given.pop();
    }

    /// Adds the deadlines that keys were given, behind the command that wrote them.
    pub fn append_given(&mut self) {
        for (db, key, deadline) in std::mem::take(&mut self.given) {
            let mut number = itoa::Buffer::new();
            self.append_wanted(db, [b"PEXPIREAT", &*key, number.format(deadline).as_bytes()].into_iter());
        }
    }

    /// Ends a unit, wrapping several commands if `wrapped` allows it. Returns whether a whole unit with something in it
    /// has ended.
    pub fn end(&mut self, wrapped: bool) -> bool {
        self.depth = self.depth.saturating_sub(1);
        if self.depth > 0 {
            return false;
        }
        if std::mem::take(&mut self.abandoned) {
            self.bytes.truncate(self.start);
            self.apart.retain(|(part, _)| part.end <= self.start);
            (self.commands, self.db) = (0, None);
        }
        if self.commands == 0 {
            return false;
        }
        if self.commands > 1 && wrapped {
            const MULTI: [u8; 15] = *b"*1\r\n$5\r\nMULTI\r\n";
            self.bytes.splice(self.start..self.start, MULTI);
            for (part, _) in self.apart.iter_mut().rev().take_while(|(part, _)| part.start >= self.start) {
                *part = part.start + MULTI.len()..part.end + MULTI.len();
            }
            self.bytes.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
        }
        self.commands = 0;
        true
    }

    /// Drops the unit that is open, when it ends.
    pub fn abandon(&mut self) {
        self.abandoned = self.depth > 0;
    }

    /// Says who is to know from here on of what commands do. What happens by itself, such as the end of a key's time, all are told.
    pub fn tell(&mut self, file: bool, replicas: bool) {
        self.left_out = [!file, !replicas];
    }

    /// Whether nobody is to know of it.
    pub fn is_muted(&self) -> bool {
        self.left_out == [true; 2]
    }

    /// Says that the command being run is not to be journalled as it came.
    pub fn rewrite(&mut self) {
        self.rewritten = true;
    }

    /// Whether the command being run has been replaced.
    pub fn is_rewritten(&self) -> bool {
        self.rewritten
    }

    /// Adds a command for those who are to know of it.
    pub fn append_wanted<'a>(&mut self, db: usize, args: impl ExactSizeIterator<Item = &'a [u8]>) {
        match self.left_out {
            [false, false] => self.append(db, args),
            [false, true] => self.append_for(Sink::File, db, args),
            [true, false] => self.append_for(Sink::Replicas, db, args),
            [true, true] => {}
        }
    }

    /// Adds a message, of which replicas alone are to know.
    pub fn append_message<'a>(&mut self, db: usize, args: impl ExactSizeIterator<Item = &'a [u8]>) {
        if !self.left_out[Sink::Replicas as usize] {
            self.append_for(Sink::Replicas, db, args);
        }
    }

    /// Adds a command for one sink, if there is such a one.
    #[cold]
    fn append_for<'a>(&mut self, sink: Sink, db: usize, args: impl ExactSizeIterator<Item = &'a [u8]>) {
        if !self.on || !self.sinks[sink as usize] {
            return;
        }
        self.select(db);
        let start = self.bytes.len();
        self.append(db, args);
        self.apart.push((start..self.bytes.len(), sink));
        if sink == Sink::File {
            self.file_only_until = self.offset();
        }
    }

    /// Adds a command.
    pub fn append<'a>(&mut self, db: usize, args: impl ExactSizeIterator<Item = &'a [u8]>) {
        if !self.on {
            return;
        }
        self.select(db);
        encode(&mut self.bytes, args);
        self.commands += 1;
    }

    /// Says which database the next command works on, if it is another.
    fn select(&mut self, db: usize) {
        if self.db != Some(db) {
            self.db = Some(db);
            match self.names.get(&db) {
                Some(name) => encode(&mut self.bytes, [b"NAMESPACE", name.as_bytes()].into_iter()),
                None => {
                    let mut number = itoa::Buffer::new();
                    encode(&mut self.bytes, [b"SELECT", number.format(db).as_bytes()].into_iter());
                }
            }
        }
    }

    /// Adds that a key was removed because its time was over.
    #[cold]
    pub fn expired(&mut self, db: usize, key: &[u8]) {
        self.append(db, [removal(self.lazy.expiry), key].into_iter());
    }

    /// Adds that a key was removed because memory was short.
    #[cold]
    pub fn evicted(&mut self, db: usize, key: &[u8]) {
        self.append(db, [removal(self.lazy.eviction), key].into_iter());
    }

    /// Adds that tags were invalidated, with all below them if it `cascades`, then there is one.
    #[cold]
    pub fn invalidated<'a>(&mut self, db: usize, tags: impl Iterator<Item = &'a [u8]>, cascades: bool) {
        if self.on {
            let name: &[u8] = if cascades { b"TAGINVALIDATE" } else { b"INVALIDATE" };
            let last: Option<&[u8]> = cascades.then_some(b"CASCADE");
            let args: Vec<&[u8]> = std::iter::once(name).chain(tags).chain(last).collect();
            self.append(db, args.into_iter());
        }
    }

    /// Adds that a field was removed from a hash because its time was over.
    #[cold]
    pub fn field_expired(&mut self, db: usize, key: &[u8], field: &[u8]) {
        self.append(db, [b"HDEL", key, field].into_iter());
    }
}

/// Appends a command as a request.
pub fn encode<'a>(out: &mut Vec<u8>, args: impl ExactSizeIterator<Item = &'a [u8]>) {
    // Enough for the lengths, and for most arguments.
    out.reserve(16 + 32 * args.len());
    push_header(out, b'*', args.len());
    for arg in args {
        out.reserve(arg.len() + 16);
        push_header(out, b'$', arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(journal: &mut Journal, db: usize, command: &str) {
        let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        journal.append(db, words.into_iter());
    }

    /// The commands that are pending, one a line, by a reader that knows no more than lengths.
    fn text(journal: &Journal) -> String {
        text_for(journal, Sink::File)
    }

    fn text_for(journal: &Journal, sink: Sink) -> String {
        let pending = String::from_utf8_lossy(&journal.pending(sink)).into_owned();
        let mut lines = pending.split("\r\n");
        let mut commands = Vec::new();
        while let Some(count) = lines.next().and_then(|line| line.strip_prefix('*')) {
            let words = (0..count.parse().expect("a number")).map(|_| {
                let length = lines.next().and_then(|line| line.strip_prefix('$')).expect("a length");
                let word = lines.next().expect("a word");
                assert_eq!(length, word.len().to_string());
                word
            });
            commands.push(words.collect::<Vec<_>>().join(" "));
        }
        commands.join("\n")
    }

    #[test]
    fn without_a_sink_nothing_is_written() {
        let mut journal = Journal::default();
        journal.begin();
        add(&mut journal, 0, "SET a 1");
        assert!(!journal.end(true));
        journal.expired(0, b"a");
        assert_eq!((&*journal.pending(Sink::File), journal.offset()), (&b""[..], 0));
    }

    #[test]
    fn units_are_wrapped_and_databases_selected() {
        let mut journal = Journal::default();
        journal.add_sink(Sink::File);
        journal.begin();
        add(&mut journal, 0, "SET a 1");
        assert!(journal.end(true));
        journal.begin();
        assert!(!journal.end(true), "an empty unit is none");
        // A transaction: its commands are units within it.
        journal.begin();
        for (db, command) in [(0, "SET b 2"), (3, "SET c 3")] {
            journal.begin();
            add(&mut journal, db, command);
            assert!(!journal.end(true));
        }
        assert!(journal.end(true));
        journal.expired(3, b"c");
        journal.lazy.expiry = true;
        journal.expired(0, b"b");
        assert_eq!(
            text(&journal),
            "SELECT 0\nSET a 1\nMULTI\nSET b 2\nSELECT 3\nSET c 3\nEXEC\nDEL c\nSELECT 0\nUNLINK b"
        );
        let offset = journal.offset();
        assert_eq!(offset, journal.pending(Sink::File).len() as u64);
        journal.clear();
        assert_eq!((&*journal.pending(Sink::File), journal.offset()), (&b""[..], offset));
        journal.begin();
        journal.expired(0, b"x");
        journal.expired(0, b"y");
        assert!(journal.end(false), "what removes keys at random is not wrapped");
        assert_eq!(text(&journal), "UNLINK x\nUNLINK y");
        journal.clear();
        journal.select_again();
        journal.expired(0, b"x");
        assert_eq!(text(&journal), "SELECT 0\nUNLINK x");
    }

    #[test]
    fn some_commands_are_for_one_sink_alone() {
        let mut journal = Journal::default();
        let message = |journal: &mut Journal, db| journal.append_message(db, [&b"PUBLISH"[..], b"c", b"m"].into_iter());
        journal.add_sink(Sink::File);
        message(&mut journal, 0);
        assert_eq!(journal.offset(), 0, "there are no replicas");
        journal.add_sink(Sink::Replicas);
        message(&mut journal, 0);
        // A transaction whose second unit a script wants to be in the file alone, and its third with replicas alone.
        journal.begin();
        add(&mut journal, 0, "SET a 1");
        message(&mut journal, 1);
        for (file, replicas, command) in
            [(true, false, "SET b 2"), (false, true, "SET c 3"), (false, false, "SET d 4"), (true, true, "SET e 5")]
        {
            journal.tell(file, replicas);
            journal.append_wanted(1, command.split(' ').map(str::as_bytes).collect::<Vec<_>>().into_iter());
            assert_eq!(journal.is_muted(), !file && !replicas);
        }
        assert!(journal.end(true));
        message(&mut journal, 1);
        let file = "SELECT 0\nMULTI\nSET a 1\nSELECT 1\nSET b 2\nSET e 5\nEXEC";
        let replicas =
            "SELECT 0\nPUBLISH c m\nMULTI\nSET a 1\nSELECT 1\nPUBLISH c m\nSET c 3\nSET e 5\nEXEC\nPUBLISH c m";
        assert_eq!(text_for(&journal, Sink::File), file);
        assert_eq!(text_for(&journal, Sink::Replicas), replicas);
        assert!(journal.file_only_until() < journal.offset());
        journal.begin();
        message(&mut journal, 1);
        journal.abandon();
        assert!(!journal.end(true));
        assert_eq!(
            (text_for(&journal, Sink::File), text_for(&journal, Sink::Replicas)),
            (file.into(), replicas.into())
        );
        journal.clear();
        journal.remove_sink(Sink::Replicas);
        message(&mut journal, 0);
        add(&mut journal, 1, "SET a 1");
        assert_eq!(text(&journal), "SELECT 1\nSET a 1");
    }

    #[test]
    fn databases_without_a_number_have_names_and_given_deadlines_stand_behind_their_command() {
        let mut journal = Journal::default();
        journal.name(16, Some("sessions"));
        journal.given(16, b"before", 7);
        journal.add_sink(Sink::File);
        journal.begin();
        journal.given(16, b"a", 99);
        add(&mut journal, 16, "SET a 1");
        journal.append_given();
        assert!(journal.end(true));
        add(&mut journal, 16, "SET b 2");
        journal.name(16, None);
        journal.name(16, Some("pages"));
        add(&mut journal, 16, "SET c 3");
        assert_eq!(
            text(&journal),
            "MULTI\nNAMESPACE sessions\nSET a 1\nPEXPIREAT a 99\nEXEC\nSET b 2\nNAMESPACE pages\nSET c 3"
        );
    }
}
