//! A key as the commands that make it: what a base consists of when it is not a snapshot.

use std::collections::BTreeMap;

use super::reader::Checksum;
use crate::effects::journal;
use crate::keyspace::entry::{EntryRef, Type};
use crate::keyspace::hashmap::HashView;
use crate::keyspace::snapshot::{Head, Recorder};
use crate::persist::Spare;
use crate::types::listpack;
use crate::types::number::write_f64;
use crate::types::quicklist::List;
use crate::types::set::SetRef;
use crate::types::stream::{self, Counters, Id};
use crate::types::telling::Piece;

/// Items that one command adds at most.
const ITEMS: usize = 64;

/// Makes a base of commands out of keys.
#[derive(Default)]
pub struct Commands {
    bytes: Vec<u8>,
    db: Option<usize>,
    /// Names of databases that no number stands for.
    names: BTreeMap<usize, Vec<u8>>,
    /// The tags of the next key.
    tags: Vec<Box<[u8]>>,
    /// The large value that is being told.
    large: Option<Pieces>,
    /// Its key's database, deadline and tags.
    large_end: (usize, Option<u64>, Vec<Box<[u8]>>),
    spare: Spare,
    /// Stands behind all bytes that are handed over together, if checksums are wanted.
    checksum: Option<Checksum>,
}

impl Commands {
    /// Begins with an annotation of the time, in Unix seconds, if there is to be one.
    pub fn new(timestamp: Option<u64>, checksums: bool) -> Commands {
        let bytes = timestamp.map_or_else(Vec::new, |timestamp| format!("#TS:{timestamp}\r\n").into_bytes());
        Commands { bytes, checksum: checksums.then(Checksum::default), ..Commands::default() }
    }

    /// Adds a command that loads a library of functions.
    pub fn load_library(&mut self, source: &[u8]) {
        journal::encode(&mut self.bytes, [b"FUNCTION", &b"LOAD"[..], source].into_iter());
    }

    /// Adds a command that creates a namespace. `named` says which database is called so from here on; others have numbers.
    pub fn create_namespace(&mut self, words: &[Vec<u8>], named: Option<usize>) {
        journal::encode(&mut self.bytes, words.iter().map(Vec::as_slice));
        self.names.extend(named.zip(words.get(1).cloned()));
    }

    fn select(&mut self, db: usize) {
        if self.db != Some(db) {
            self.db = Some(db);
            let mut number = itoa::Buffer::new();
            let words: [&[u8]; 2] = match self.names.get(&db) {
                Some(name) => [b"NAMESPACE", name],
                None => [b"SELECT", number.format(db).as_bytes()],
            };
            journal::encode(&mut self.bytes, words.into_iter());
        }
    }
}

impl Recorder for Commands {
    fn record_tags(&mut self, tags: &mut dyn Iterator<Item = &[u8]>) {
        self.tags = tags.map(Box::from).collect();
    }

    fn record_link(&mut self, db: usize, parent: &[u8], child: &[u8]) {
        self.select(db);
        journal::encode(&mut self.bytes, [b"TAGLINK", parent, child].into_iter());
    }

    fn record(&mut self, db: usize, entry: EntryRef<'_>) {
        self.select(db);
        encode(&mut self.bytes, entry);
        let tags = std::mem::take(&mut self.tags);
        complete(&mut self.bytes, entry.key(), entry.deadline(), &tags);
    }

    fn record_large(&mut self, head: &Head) {
        self.large = Some(Pieces::new(&head.key, head.kind));
        self.large_end = (head.db, head.deadline, head.tags.clone());
    }

    fn record_piece(&mut self, piece: Piece<'_>) {
        self.select(self.large_end.0);
        if let Some(pieces) = &mut self.large {
            pieces.add(&mut self.bytes, piece);
        }
    }

    fn record_large_end(&mut self) {
        let (db, deadline, tags) = std::mem::take(&mut self.large_end);
        self.select(db);
        if let Some(mut pieces) = self.large.take() {
            pieces.finish(&mut self.bytes);
            complete(&mut self.bytes, &pieces.key, deadline, &tags);
        }
    }

    fn record_end(&mut self) {}

    fn recorded(&self) -> usize {
        self.bytes.len()
    }

    fn take_recorded(&mut self) -> Vec<u8> {
        if let Some(checksum) = self.checksum.as_mut().filter(|_| !self.bytes.is_empty()) {
            checksum.add(&self.bytes);
            self.bytes.extend_from_slice(checksum.finish().as_bytes());
        }
        let next = self.spare.buffer(self.bytes.len());
        std::mem::replace(&mut self.bytes, next)
    }

    fn reuse(&mut self, buffer: Vec<u8>) {
        self.spare.keep(buffer);
    }
}

/// Appends the commands that make a key with its value.
pub fn encode(out: &mut Vec<u8>, entry: EntryRef<'_>) {
    if entry.kind() == Type::String {
        journal::encode(out, [b"SET", entry.key(), entry.string()].into_iter());
        return;
    }
    let mut pieces = Pieces::new(entry.key(), entry.kind());
    let mut add = |piece: Piece<'_>| pieces.add(out, piece);
    match entry.kind() {
        Type::String => {}
        Type::List => match entry.list() {
            Some(List::Compact(bytes)) => add(Piece::Node { bytes: bytes.into(), plain: false }),
            Some(List::Nodes(list)) => {
                let nodes = (0..list.nodes()).filter_map(|at| list.node_bytes(at));
                nodes.for_each(|(bytes, plain)| add(Piece::Node { bytes, plain }));
            }
            None => {}
        },
        Type::Set => {
            for member in entry.set().into_iter().flat_map(SetRef::iter) {
                member.with_bytes(|member| add(Piece::Member(member)));
            }
        }
        Type::Zset => {
            if let Some(zset) = entry.zset() {
                for (member, score) in zset.iter(0..zset.len()) {
                    member.with_bytes(|member| add(Piece::Scored(member, score)));
                }
            }
        }
        Type::Hash => {
            if let Some(hash) = HashView::of(entry) {
                hash.each(|name, value, deadline| {
                    name.with_bytes(|name| value.with_bytes(|value| add(Piece::Field { name, value, deadline })));
                });
            }
        }
        Type::Stream => {
            if let Some(stream) = entry.stream() {
                stream.each(&mut add);
            }
        }
    }
    pieces.finish(out);
}

/// Appends the commands that give a key what belongs to it beside its value.
fn complete(out: &mut Vec<u8>, key: &[u8], deadline: Option<u64>, tags: &[Box<[u8]>]) {
    if let Some(deadline) = deadline {
        let mut number = itoa::Buffer::new();
        journal::encode(out, [b"PEXPIREAT", key, number.format(deadline).as_bytes()].into_iter());
    }
    if !tags.is_empty() {
        let mut words: Vec<&[u8]> = vec![b"ADDTAG", key];
        words.extend(tags.iter().map(|tag| &**tag));
        journal::encode(out, words.into_iter());
    }
}

/// Makes commands out of the pieces of a collection. Members, fields and elements are added by some at once.
struct Pieces {
    key: Box<[u8]>,
    verb: &'static [u8],
    words: Words,
    items: usize,
    /// The commands that give the fields their deadlines which are being added.
    deadlines: Vec<u8>,
    /// A number as text.
    text: Vec<u8>,
    /// Whether a stream has had an entry.
    filled: bool,
    /// The group and the consumer that are being told.
    group: Box<[u8]>,
    consumer: Box<[u8]>,
}

impl Pieces {
    fn new(key: &[u8], kind: Type) -> Pieces {
        let verb: &[u8] = match kind {
            Type::List => b"RPUSH",
            Type::Set => b"SADD",
            Type::Zset => b"ZADD",
            Type::Hash => b"HMSET",
            Type::String | Type::Stream => b"",
        };
        Pieces {
            key: key.into(),
            verb,
            words: Words::default(),
            items: 0,
            deadlines: Vec::new(),
            text: Vec::new(),
            filled: false,
            group: Box::default(),
            consumer: Box::default(),
        }
    }

    /// Adds an item, which is so many words.
    fn item(&mut self, out: &mut Vec<u8>, words: &[&[u8]]) {
        if self.items == ITEMS {
            self.finish(out);
        }
        if self.items == 0 {
            self.words.push(self.verb);
            self.words.push(&self.key);
        }
        words.iter().for_each(|word| self.words.push(word));
        self.items += 1;
    }

    /// Appends the command that has not been.
    fn finish(&mut self, out: &mut Vec<u8>) {
        if self.items > 0 {
            self.words.write(out);
            self.items = 0;
        }
        out.append(&mut self.deadlines);
    }

    fn add(&mut self, out: &mut Vec<u8>, piece: Piece<'_>) {
        match piece {
            Piece::Member(member) => self.item(out, &[member]),
            Piece::Scored(member, score) => {
                let mut text = std::mem::take(&mut self.text);
                text.clear();
                write_f64(score, &mut text);
                self.item(out, &[&text, member]);
                self.text = text;
            }
            Piece::Field { name, value, deadline } => {
                self.item(out, &[name, value]);
                if let Some(deadline) = deadline {
                    let mut number = itoa::Buffer::new();
                    let number = number.format(deadline).as_bytes();
                    let words: [&[u8]; 6] = [b"HPEXPIREAT", &self.key, number, b"FIELDS", b"1", name];
                    journal::encode(&mut self.deadlines, words.into_iter());
                }
            }
            Piece::Node { bytes, plain: true } => self.item(out, &[&bytes]),
            Piece::Node { bytes, plain: false } => {
                for (_, element) in listpack::iter(&bytes) {
                    element.with_bytes(|text| self.item(out, &[text]));
                }
            }
            Piece::Entries(id, bytes) => {
                for entry in stream::entries_of(id, bytes) {
                    self.filled = true;
                    [b"XADD", &*self.key, &entry.id.to_vec()].into_iter().for_each(|word| self.words.push(word));
                    for word in entry.pairs().flat_map(|(name, value)| [name, value]) {
                        word.with_bytes(|text| self.words.push(text));
                    }
                    self.words.write(out);
                }
            }
            Piece::Counters { counters, .. } => self.counters(out, counters),
            Piece::Group { name, last_id, entries_read, .. } => {
                self.group = name.into();
                let (last, read) = (last_id.to_vec(), entries_read.unwrap_or(-1).to_string());
                let words: [&[u8]; 7] = [b"XGROUP", b"CREATE", &self.key, name, &last, b"ENTRIESREAD", read.as_bytes()];
                journal::encode(out, words.into_iter());
            }
            Piece::Pending(..) | Piece::Consumers(_) => {}
            Piece::Consumer { name, .. } => {
                self.consumer = name.into();
                let words: [&[u8]; 5] = [b"XGROUP", b"CREATECONSUMER", &self.key, &self.group, name];
                journal::encode(out, words.into_iter());
            }
            Piece::Held(id, pending) => {
                let (id, time, count) = (id.to_vec(), pending.delivered_ms.to_string(), pending.deliveries.to_string());
                let words: [&[u8]; 12] = [
                    b"XCLAIM",
                    &self.key,
                    &self.group,
                    &self.consumer,
                    b"0",
                    &id,
                    b"TIME",
                    time.as_bytes(),
                    b"RETRYCOUNT",
                    count.as_bytes(),
                    b"JUSTID",
                    b"FORCE",
                ];
                journal::encode(out, words.into_iter());
            }
        }
    }

    /// What follows the entries of a stream.
    fn counters(&mut self, out: &mut Vec<u8>, counters: Counters) {
        if !self.filled {
            // A stream without entries is one that had some. No entry has the ID 0-0.
            let id = if counters.last_id == Id::MIN { Id { ms: 0, seq: 1 } } else { counters.last_id };
            let words: [&[u8]; 7] = [b"XADD", &self.key, b"MAXLEN", b"0", &id.to_vec(), b"x", b"y"];
            journal::encode(out, words.into_iter());
        }
        let added = counters.entries_added.to_string();
        let (last, deleted) = (counters.last_id.to_vec(), counters.max_deleted_id.to_vec());
        let words: [&[u8]; 7] =
            [b"XSETID", &self.key, &last, b"ENTRIESADDED", added.as_bytes(), b"MAXDELETEDID", &deleted];
        journal::encode(out, words.into_iter());
    }
}

/// The words of a command, encoded, and how many there are.
#[derive(Default)]
struct Words {
    text: Vec<u8>,
    count: usize,
}

impl Words {
    fn push(&mut self, word: &[u8]) {
        self.text.push(b'$');
        self.text.extend_from_slice(itoa::Buffer::new().format(word.len()).as_bytes());
        self.text.extend_from_slice(b"\r\n");
        self.text.extend_from_slice(word);
        self.text.extend_from_slice(b"\r\n");
        self.count += 1;
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        out.push(b'*');
        out.extend_from_slice(itoa::Buffer::new().format(self.count).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.append(&mut self.text);
        self.count = 0;
    }
}
