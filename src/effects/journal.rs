//! The journal: what commands changed, as commands that make the same changes again.
//!
//! Who keeps a copy of the data elsewhere (the append-only file, replicas) is a *sink*. While there is none, the journal is
//! off and costs a branch. A command that changed something is journalled as it came, unless its handler says what it
//! amounts to, because it depends on time, chance or waiting. Keys that expire or are evicted are journalled as deleted.
//!
//! What belongs together is a *unit*: a command with what it caused, a whole transaction, a script, or a key that is removed
//! outside of any. A unit of several commands is wrapped in MULTI and EXEC, so that no sink ever shows a part of it.
//! The text is RESP. SELECT, or NAMESPACE where no number stands for the database, is written when the database changes, and behind MULTI, where a reader that skips a torn
//! transaction skips it too.

use std::collections::BTreeMap;

/// A stream of commands that sinks read once a turn.
#[derive(Default)]
pub struct Journal {
    sinks: usize,
    /// What happens is no news: data is being loaded.
    paused: bool,
    /// There are sinks, and it is not paused.
    on: bool,
    /// What sinks have not read yet.
    bytes: Vec<u8>,
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
    /// A script does not want what it does to be known.
    muted: bool,
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

    /// Another sink reads from here on. It knows no database yet.
    pub fn add_sink(&mut self) {
        self.sinks += 1;
        self.db = None;
        self.on = !self.paused;
    }

    /// A sink reads no more.
    pub fn remove_sink(&mut self) {
        self.sinks = self.sinks.saturating_sub(1);
        if self.sinks == 0 {
            self.on = false;
            self.commands = 0;
            self.clear();
        }
    }

    /// Says whether what happens from here on is no news to anybody.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
        self.on = self.sinks > 0 && !paused;
    }

    /// The next command says which database it works on: somebody begins to read there.
    pub fn select_again(&mut self) {
        self.db = None;
    }

    /// What has been journalled since the last [`Journal::clear`].
    pub fn pending(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the last unit in [`Journal::pending`] is still to be ended: nobody may read it yet.
    pub fn is_within_unit(&self) -> bool {
        self.depth > 0 && self.commands > 0
    }

    /// Forgets what all sinks have read.
    pub fn clear(&mut self) {
        debug_assert!(self.commands == 0 || self.depth == 0 || self.sinks == 0, "nobody reads half a unit");
        self.before += self.bytes.len() as u64;
        self.start = 0;
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
        if self.on && !self.muted {
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
            self.append(db, [b"PEXPIREAT", &*key, number.format(deadline).as_bytes()].into_iter());
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
            (self.commands, self.db) = (0, None);
        }
        if self.commands == 0 {
            return false;
        }
        if self.commands > 1 && wrapped {
            self.bytes.splice(self.start..self.start, *b"*1\r\n$5\r\nMULTI\r\n");
            self.bytes.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
        }
        self.commands = 0;
        true
    }

    /// Drops the unit that is open, when it ends.
    pub fn abandon(&mut self) {
        self.abandoned = self.depth > 0;
    }

    /// Says whether commands are left out from here on; what happens by itself, such as the end of a key's time, never is.
    pub fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Whether commands are left out.
    pub fn is_muted(&self) -> bool {
        self.muted
    }

    /// Says that the command being run is not to be journalled as it came.
    pub fn rewrite(&mut self) {
        self.rewritten = true;
    }

    /// Whether the command being run has been replaced.
    pub fn is_rewritten(&self) -> bool {
        self.rewritten
    }

    /// Adds a command.
    pub fn append<'a>(&mut self, db: usize, args: impl ExactSizeIterator<Item = &'a [u8]>) {
        if !self.on {
            return;
        }
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
        encode(&mut self.bytes, args);
        self.commands += 1;
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
    let mut number = itoa::Buffer::new();
    out.push(b'*');
    out.extend_from_slice(number.format(args.len()).as_bytes());
    out.extend_from_slice(b"\r\n");
    for arg in args {
        out.reserve(arg.len() + 16);
        out.push(b'$');
        out.extend_from_slice(number.format(arg.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
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
        let pending = String::from_utf8_lossy(journal.pending()).into_owned();
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
        assert_eq!((journal.pending(), journal.offset()), (&b""[..], 0));
    }

    #[test]
    fn units_are_wrapped_and_databases_selected() {
        let mut journal = Journal::default();
        journal.add_sink();
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
        assert_eq!(offset, journal.pending().len() as u64);
        journal.clear();
        assert_eq!((journal.pending(), journal.offset()), (&b""[..], offset));
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
    fn databases_without_a_number_have_names_and_given_deadlines_stand_behind_their_command() {
        let mut journal = Journal::default();
        journal.name(16, Some("sessions"));
        journal.given(16, b"before", 7);
        journal.add_sink();
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
