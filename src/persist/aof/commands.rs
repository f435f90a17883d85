//! A key as the commands that make it: what a base consists of when it is not a snapshot.

use std::collections::BTreeMap;

use crate::effects::journal;
use crate::keyspace::entry::{EntryRef, Type};
use crate::keyspace::snapshot::Recorder;
use crate::keyspace::hashmap::HashView;
use crate::types::number::write_f64;
use crate::types::set::SetRef;
use crate::types::stream::{Id, Stream};

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
}

impl Commands {
    /// Begins with an annotation of the time, in Unix seconds, if there is to be one.
    pub fn new(timestamp: Option<u64>) -> Commands {
        let bytes = timestamp.map_or_else(Vec::new, |timestamp| format!("#TS:{timestamp}\r\n").into_bytes());
        Commands { bytes, ..Commands::default() }
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
        if !tags.is_empty() {
            let mut words: Vec<&[u8]> = vec![b"ADDTAG", entry.key()];
            words.extend(tags.iter().map(|tag| &**tag));
            journal::encode(&mut self.bytes, words.into_iter());
        }
    }

    fn record_part(&mut self, db: usize, entry: EntryRef<'_>) -> bool {
        self.record(db, entry);
        true
    }

    fn record_rest(&mut self, _: EntryRef<'_>) {}

    fn record_end(&mut self) {}

    fn recorded(&self) -> usize {
        self.bytes.len()
    }

    fn take_recorded(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

/// Appends the commands that make a key with its value and its time to live.
pub fn encode(out: &mut Vec<u8>, entry: EntryRef<'_>) {
    let key = entry.key();
    match entry.kind() {
        Type::String => {
            let mut command = Words::default();
            [b"SET", key, entry.string()].into_iter().for_each(|word| command.push(word));
            command.write(out);
        }
        Type::List => {
            let mut batch = Batch::new(out, b"RPUSH", key);
            if let Some(list) = entry.list() {
                list.visit(0, false, |item| {
                    batch.add(|words| item.with_bytes(|text| words.push(text)));
                    true
                });
            }
            batch.finish();
        }
        Type::Set => {
            let mut batch = Batch::new(out, b"SADD", key);
            for member in entry.set().into_iter().flat_map(SetRef::iter) {
                batch.add(|words| member.with_bytes(|text| words.push(text)));
            }
            batch.finish();
        }
        Type::Zset => {
            let mut batch = Batch::new(out, b"ZADD", key);
            if let Some(zset) = entry.zset() {
                let mut text = Vec::new();
                for (member, score) in zset.iter(0..zset.len()) {
                    batch.add(|words| {
                        text.clear();
                        write_f64(score, &mut text);
                        words.push(&text);
                        member.with_bytes(|member| words.push(member));
                    });
                }
            }
            batch.finish();
        }
        Type::Hash => {
            let mut batch = Batch::new(out, b"HMSET", key);
            if let Some(hash) = HashView::of(entry) {
                hash.each(|name, value, _| {
                    batch.add(|words| {
                        name.with_bytes(|name| words.push(name));
                        value.with_bytes(|value| words.push(value));
                    });
                });
            }
            batch.finish();
            if let Some(hash) = HashView::of(entry).filter(|hash| hash.earliest().is_some()) {
                hash.each(|name, _, deadline| {
                    let Some(deadline) = deadline else { return };
                    let mut command = Words::default();
                    let mut number = itoa::Buffer::new();
                    let words = [b"HPEXPIREAT", key, number.format(deadline).as_bytes(), b"FIELDS", b"1"];
                    words.into_iter().for_each(|word| command.push(word));
                    name.with_bytes(|name| command.push(name));
                    command.write(out);
                });
            }
        }
        Type::Stream => {
            if let Some(stream) = entry.stream() {
                encode_stream(out, key, stream);
            }
        }
    }
    if let Some(deadline) = entry.deadline() {
        let mut command = Words::default();
        let mut number = itoa::Buffer::new();
        [b"PEXPIREAT", key, number.format(deadline).as_bytes()].into_iter().for_each(|word| command.push(word));
        command.write(out);
    }
}

/// Appends the commands that make a stream with its groups, their consumers and what is pending.
fn encode_stream(out: &mut Vec<u8>, key: &[u8], stream: &Stream) {
    let counters = stream.log.counters();
    for entry in stream.log.range(Id::MIN, Id::MAX) {
        let mut command = Words::default();
        [b"XADD", key, &entry.id.to_vec()].into_iter().for_each(|word| command.push(word));
        for word in entry.pairs().flat_map(|(name, value)| [name, value]) {
            word.with_bytes(|text| command.push(text));
        }
        command.write(out);
    }
    if stream.log.is_empty() {
        // A stream without entries is one that had some. No entry has the ID 0-0.
        let id = if counters.last_id == Id::MIN { Id { ms: 0, seq: 1 } } else { counters.last_id };
        journal::encode(out, [b"XADD", key, b"MAXLEN", b"0", &id.to_vec(), b"x", b"y"].into_iter());
    }
    let added = counters.entries_added.to_string();
    let (last, deleted) = (counters.last_id.to_vec(), counters.max_deleted_id.to_vec());
    let words: [&[u8]; 7] = [b"XSETID", key, &last, b"ENTRIESADDED", added.as_bytes(), b"MAXDELETEDID", &deleted];
    journal::encode(out, words.into_iter());
    for (name, group) in &stream.groups {
        let (last, read) = (group.last_id.to_vec(), group.entries_read.unwrap_or(-1).to_string());
        let words: [&[u8]; 7] = [b"XGROUP", b"CREATE", key, name, &last, b"ENTRIESREAD", read.as_bytes()];
        journal::encode(out, words.into_iter());
        for consumer in group.consumers() {
            let words: [&[u8]; 5] = [b"XGROUP", b"CREATECONSUMER", key, name, consumer.name()];
            journal::encode(out, words.into_iter());
            for id in consumer.pending_from(Id::MIN) {
                let Some(pending) = group.pending(id) else { continue };
                let (id, time, count) = (id.to_vec(), pending.delivered_ms.to_string(), pending.deliveries.to_string());
                let words: [&[u8]; 12] = [
                    b"XCLAIM",
                    key,
                    name,
                    consumer.name(),
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

/// Commands of one kind that add items to a key.
struct Batch<'a> {
    out: &'a mut Vec<u8>,
    verb: &'static [u8],
    key: &'a [u8],
    words: Words,
    items: usize,
}

impl<'a> Batch<'a> {
    fn new(out: &'a mut Vec<u8>, verb: &'static [u8], key: &'a [u8]) -> Batch<'a> {
        Batch { out, verb, key, words: Words::default(), items: 0 }
    }

    /// Adds an item, which is what `push` pushes.
    fn add(&mut self, push: impl FnOnce(&mut Words)) {
        if self.items == ITEMS {
            self.finish();
        }
        if self.items == 0 {
            self.words.push(self.verb);
            self.words.push(self.key);
        }
        push(&mut self.words);
        self.items += 1;
    }

    fn finish(&mut self) {
        if self.items > 0 {
            self.words.write(self.out);
            self.items = 0;
        }
    }
}
