//! Values of every type and encoding there and back; bytes that nobody wrote.

use std::borrow::Cow;

use super::decode::{Decoder, Outcome, Rules};
use super::error::Reason;
use super::file::{Item, Reader, Verdict};
use super::payload::{self, Refused};
use super::source::{Feed, Slice, Source};
use super::{checksum, encode, opcode, tag};
use crate::effects::Event;
use crate::keyspace::access::AccessClock;
use crate::keyspace::entry::{Encoding, EntryRef, NewValue, Object, Type};
use crate::keyspace::hashmap::{self, HashView};
use crate::keyspace::value::Changed;
use crate::keyspace::{Expiry, Fresh, Keyspace, Schedule, StringValue, Touch, string_encoding};
use crate::persist::writer::{Plan, Usage, Writer};
use crate::types::member::Members;
use crate::types::ordered::Ordered;
use crate::types::quicklist::{self, End, Quicklist};
use crate::types::set::{self, Set};
use crate::types::stream::{Counters, Group, Id, Keep, Limits, Stream, Trim};
use crate::types::zset::{self, Zset};
use crate::types::{field::FieldTable, intset, listpack};

fn keyspace() -> Keyspace {
    Keyspace::new(2, 5, 1_000_000)
}

fn rules(keys: &Keyspace) -> Rules {
    Rules {
        list: quicklist::Rules { fill: -2, depth: 0, plain_from: 0 },
        set: set::Rules {
            limits: set::Limits { intset_entries: 512, listpack_entries: 128, listpack_value: 64 },
            hasher: keys.hasher().clone(),
        },
        hash: hashmap::Limits { entries: 128, bytes: 64 },
        zset: zset::Limits { entries: 128, value: 64 },
        hasher: keys.hasher().clone(),
        thorough: true,
    }
}

type Contents = (Type, Encoding, Vec<Vec<u8>>);

/// What a value holds, in an order that does not depend on its form.
fn contents(entry: EntryRef<'_>) -> Contents {
    let mut items = Vec::new();
    if let Some(list) = entry.list() {
        list.visit(0, false, |item| {
            items.push(item.to_vec());
            true
        });
    } else if let Some(set) = entry.set() {
        items.extend(set.iter().map(|member| member.to_vec()));
        items.sort();
    } else if let Some(zset) = entry.zset() {
        for (member, score) in zset.iter(0..zset.len()) {
            items.push(member.to_vec());
            items.push(score.to_le_bytes().to_vec());
        }
    } else if let Some(hash) = HashView::of(entry) {
        let mut pairs = Vec::new();
        hash.each(|name, value, deadline| {
            pairs.push([name.to_vec(), value.with_bytes(<[u8]>::to_vec), format!("{deadline:?}").into_bytes()]);
        });
        pairs.sort();
        items = pairs.concat();
    } else if entry.kind() == Type::Stream {
        let mut bytes = Vec::new();
        encode::value(&mut bytes, entry, false);
        items.push(bytes);
    } else {
        items.push(entry.string().to_vec());
    }
    (entry.kind(), entry.encoding(), items)
}

fn install(keys: &mut Keyspace, name: &[u8], kind: Type, encoding: Encoding, value: NewValue<'_>) {
    let key = keys.key(name);
    keys.install(0, key, Fresh { kind, encoding, value, deadline: None, access: 0 }, None);
}

fn install_bytes(keys: &mut Keyspace, name: &[u8], kind: Type, encoding: Encoding, bytes: &[u8]) {
    let value = if bytes.len() <= crate::keyspace::entry::INLINE_MAX {
        NewValue::Inline(bytes)
    } else if kind == Type::String {
        NewValue::Boxed(Box::new(Object::Blob(bytes.to_vec().into())))
    } else {
        NewValue::Boxed(Box::new(Object::Compact(bytes.to_vec())))
    };
    install(keys, name, kind, encoding, value);
}

/// A text that is sometimes a number, sometimes repetitive, sometimes neither.
fn text(rng: &mut fastrand::Rng, longest: usize) -> Vec<u8> {
    match rng.u8(..4) {
        0 => rng.i64(..).to_string().into_bytes(),
        1 => rng.i32(-40_000..40_000).to_string().into_bytes(),
        2 => vec![rng.u8(..); rng.usize(..longest)],
        _ => (0..rng.usize(..longest)).map(|_| rng.u8(..)).collect(),
    }
}

/// Keys of every type and encoding. Returns how many.
fn fill(keys: &mut Keyspace, rng: &mut fastrand::Rng) -> usize {
    let rules = rules(keys);
    let mut number = 0;
    let mut name = move || {
        number += 1;
        format!("key:{number}").into_bytes()
    };
    for len in [0, 1, 11, 20, 21, 44, 63, 64, 300, 16_383, 16_384, 70_000] {
        let bytes = text(rng, len + 1);
        let encoding = string_encoding(&bytes);
        install_bytes(keys, &name(), Type::String, encoding, &bytes);
    }
    for count in [1, 5, 200, 3000] {
        let mut list = Quicklist::new(rules.list);
        for _ in 0..count {
            list.push(Cow::Owned(text(rng, 60)), End::Right);
        }
        if count == 200 {
            list.push(Cow::Owned(text(rng, 100_000)), End::Left);
        }
        match list.compacted(&rules.list) {
            Some(bytes) => install_bytes(keys, &name(), Type::List, Encoding::Listpack, &bytes),
            None => {
                let object = NewValue::Boxed(Box::new(Object::List(list)));
                install(keys, &name(), Type::List, Encoding::Quicklist, object);
            }
        }
        for integers in [true, false] {
            let mut set = Set::empty();
            for _ in 0..count {
                let member = if integers { rng.i32(..).to_string().into_bytes() } else { text(rng, 40) };
                set::add(&mut set, &member, &rules.set);
            }
            match set {
                Set::Ints(bytes) => install_bytes(keys, &name(), Type::Set, Encoding::Intset, &bytes),
                Set::List(bytes) => install_bytes(keys, &name(), Type::Set, Encoding::Listpack, &bytes),
                Set::Few(bytes) => install_bytes(keys, &name(), Type::Set, Encoding::Hashtable, &bytes),
                Set::Table(members) => {
                    let object = NewValue::Boxed(Box::new(Object::Set(members)));
                    install(keys, &name(), Type::Set, Encoding::Hashtable, object);
                }
            }
        }
        let entries: std::collections::BTreeMap<Vec<u8>, f64> = (0..count)
            .map(|n| {
                let score =
                    [f64::INFINITY, f64::NEG_INFINITY, 0.5, -3.0, 1e300][n % 5] * if n > 9 { rng.f64() } else { 1.0 };
                (text(rng, 40), score)
            })
            .collect();
        let zset_rules = zset::Rules { limits: rules.zset, hasher: &rules.hasher };
        match Zset::of(count, entries.iter().map(|(member, score)| (&member[..], *score)), zset_rules) {
            Zset::List(bytes) => install_bytes(keys, &name(), Type::Zset, Encoding::Listpack, &bytes),
            Zset::Tree(tree) => {
                let object = NewValue::Boxed(Box::new(Object::Zset(tree)));
                install(keys, &name(), Type::Zset, Encoding::Skiplist, object);
            }
        }
        if count <= 5 {
            let mut list = listpack::EMPTY.to_vec();
            for n in 0..count {
                listpack::push(&mut list, format!("field{n}").as_bytes());
                listpack::push(&mut list, &text(rng, 50));
            }
            install_bytes(keys, &name(), Type::Hash, Encoding::Listpack, &list);
        } else {
            let mut fields = FieldTable::new(rules.hasher.clone());
            for n in 0..count {
                fields.set(format!("field{n}").as_bytes(), StringValue::Owned(text(rng, 50)));
            }
            fields.set(b"long", StringValue::Owned(text(rng, 50_000)));
            let object = NewValue::Boxed(Box::new(Object::Hash(fields)));
            install(keys, &name(), Type::Hash, Encoding::Hashtable, object);
        }
    }
    for count in [1, 5, 200, 3000] {
        let mut fields = FieldTable::new(rules.hasher.clone());
        for n in 0..count {
            let deadline = 2_000_000 + rng.u64(..1 << 46);
            let expiry = if n == 0 || rng.bool() { Expiry::At(deadline) } else { Expiry::Clear };
            fields.set_expiring(format!("field{n}").as_bytes(), StringValue::Owned(text(rng, 50)), expiry);
        }
        match hashmap::compacted(&fields, rules.hash) {
            Some((encoding, bytes)) => install_bytes(keys, &name(), Type::Hash, encoding, &bytes),
            None => {
                let object = NewValue::Boxed(Box::new(Object::Hash(fields)));
                install(keys, &name(), Type::Hash, Encoding::Hashtable, object);
            }
        }
    }
    // What has outgrown the settings' limits, but is few.
    for count in [1, 5, 8] {
        let (mut set, mut fields) = (Set::empty(), FieldTable::new(rules.hasher.clone()));
        let names: Vec<String> = (0..count).map(|n| format!("field{n}")).collect();
        for name in &names {
            fields.set(name.as_bytes(), StringValue::Owned(text(rng, 50)));
        }
        fields.set(b"field0", StringValue::Owned(vec![b'x'; rng.usize(65..3000)]));
        for n in 0..count {
            set::add(&mut set, &vec![b'0' + n; rng.usize(65..300)], &rules.set);
        }
        let Set::Few(bytes) = set else { panic!("{count} members are few") };
        install_bytes(keys, &name(), Type::Set, Encoding::Hashtable, &bytes);
        for encoding in [Encoding::Hashtable, Encoding::HashtableEx] {
            let (few, bytes) = hashmap::compacted(&fields, rules.hash).expect("there is room");
            assert_eq!(few, encoding);
            install_bytes(keys, &name(), Type::Hash, encoding, &bytes);
            for name in names.iter().step_by(2) {
                fields.set_deadline(name.as_bytes(), Some(2_000_000 + rng.u64(..1 << 46)));
            }
        }
    }
    keys.database(0).map_or(0, |database| database.len())
}

fn names(keys: &Keyspace) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    keys.each(0, |entry| names.push(entry.key().to_vec()));
    names
}

#[test]
fn every_value_comes_back_as_it_was() {
    for seed in 0..8 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut keys = keyspace();
        assert_eq!(fill(&mut keys, &mut rng), 12 + 4 * 5 + 4 + 3 * 3);
        let rules = rules(&keys);
        for name in names(&keys) {
            for compress in [false, true] {
                let key = keys.key(&name);
                let entry = keys.view(0, key).expect("it is there");
                let before = contents(entry);
                let payload = payload::dump(entry, compress);
                let Ok(Outcome::Value(made)) = payload::restore(&payload, true, &rules) else {
                    panic!("{} of {:?} {:?}", String::from_utf8_lossy(&name), before.0, before.1);
                };
                let (kind, encoding) = (made.kind, made.encoding);
                let mut bytes = Vec::new();
                install(&mut keys, b"copy", kind, encoding, made.into_value(&mut bytes));
                let copy = keys.key(b"copy");
                assert_eq!(contents(keys.view(0, copy).expect("just installed")), before);
            }
        }
    }
}

/// Fields and values of a hash as text, in the form of a table; what it becomes, or what is wrong with it.
#[test]
fn fields_come_once() {
    let keys = keyspace();
    let long = "x".repeat(65);
    let cases: &[(&[&str], Result<Encoding, &str>)] = &[
        (&["a", "1", "b", "2"], Ok(Encoding::Listpack)),
        (&["a", "1", "b", &long], Ok(Encoding::Hashtable)),
        (&["1", &long, "2", "b"], Ok(Encoding::Hashtable)),
        (&["1", &long, "1", "b"], Err("Duplicate hash fields detected")),
        (&["1", "b", "1", &long], Err("Duplicate hash fields detected")),
        (&["1", "a", "1", "b", "c", &long], Err("Hash with dup elements")),
        (&["a", &long, "b", "", "c", "", "d", "", "e", "", "f", "", "g", "", "h", ""], Ok(Encoding::Hashtable)),
        (
            &["a", &long, "b", "", "c", "", "d", "", "e", "", "f", "", "g", "", "h", "", "i", ""],
            Ok(Encoding::Hashtable),
        ),
        (
            &["a", &long, "b", "", "c", "", "d", "", "e", "", "f", "", "g", "", "h", "", "h", ""],
            Err("Duplicate hash fields detected"),
        ),
    ];
    for (texts, expected) in cases {
        let mut out = Vec::new();
        encode::prefix(&mut out, texts.len() / 2, None);
        texts.iter().for_each(|text| encode::text(&mut out, text.as_bytes(), true));
        let rules = Rules { thorough: false, ..rules(&keys) };
        let read = match Decoder::read(tag::HASH, &mut Slice::new(&out), &rules) {
            Ok(Outcome::Value(made)) => Ok(made.encoding),
            Ok(Outcome::Empty) => panic!("there are fields"),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(read, expected.map_err(str::to_owned), "{texts:?}");
    }
}

#[test]
fn damage_is_an_error_and_nothing_worse() {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut keys = keyspace();
    fill(&mut keys, &mut rng);
    let rules = rules(&keys);
    for name in names(&keys) {
        let key = keys.key(&name);
        let whole = payload::dump(keys.view(0, key).expect("it is there"), rng.bool());
        let mut broken = whole.clone();
        broken[0] ^= 1;
        assert!(matches!(payload::restore(&broken, true, &rules), Err(Refused::Footer)));
        for _ in 0..200 {
            let mut broken = whole.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..broken.len().min(200));
                broken[at] = rng.u8(..);
            }
            if rng.bool() {
                broken.truncate(rng.usize(..=broken.len()));
            }
            // Whatever it is, it can be written and read again.
            if let Ok(Outcome::Value(made)) = payload::restore(&broken, false, &rules) {
                let (kind, encoding) = (made.kind, made.encoding);
                let mut bytes = Vec::new();
                install(&mut keys, b"odd", kind, encoding, made.into_value(&mut bytes));
                let odd = keys.key(b"odd");
                let entry = keys.view(0, odd).expect("just installed");
                contents(entry);
                assert!(payload::restore(&payload::dump(entry, true), true, &rules).is_ok());
            }
        }
    }
}

#[test]
fn numbers_and_texts() {
    let mut out = Vec::new();
    let numbers = [0, 63, 64, 16_383, 16_384, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX];
    numbers.iter().for_each(|&number| encode::number(&mut out, number));
    let mut source = Slice::new(&out);
    assert_eq!(numbers.map(|_| source.number().expect("a number")), numbers);
    let cases: &[(&[u8], &[u8])] = &[
        (b"", b"\x00"),
        (b"abc", b"\x03abc"),
        (b"-1", b"\xC0\xFF"),
        (b"128", b"\xC1\x80\x00"),
        (b"-32769", b"\xC2\xFF\x7F\xFF\xFF"),
        (b"2147483648", b"\x0A2147483648"),
        (b"007", b"\x03007"),
    ];
    for (text, bytes) in cases {
        let mut out = Vec::new();
        encode::text(&mut out, text, true);
        assert_eq!(&out, bytes);
        assert_eq!(Slice::new(bytes).text().expect("a text"), *text);
    }
    for broken in
        [&b""[..], b"\x05abcd", b"\xC4", b"\x40", b"\x81\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFx", b"\xC3\x02\x41\x00"]
    {
        assert!(Slice::new(broken).text().is_err(), "{broken:?}");
    }
}

/// A small file with a bit of everything that stands between keys.
fn file(version: u16) -> Vec<u8> {
    let mut out = format!("REDIS{version:04}").into_bytes();
    encode::aux(&mut out, "redis-ver", b"7.4.0");
    out.push(opcode::FUNCTION2);
    encode::text(&mut out, b"#!lua name=x", false);
    out.extend_from_slice(&[opcode::MODULE_AUX, 0x81]);
    out.extend_from_slice(&[0x12; 8]);
    out.extend_from_slice(&[2, 1, 2, 7, 5, 2, b'h', b'i', 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&[opcode::SELECTDB, 3, opcode::RESIZEDB, 2, 1]);
    out.push(opcode::EXPIRETIME_MS);
    out.extend_from_slice(&5_000_000_u64.to_le_bytes());
    out.extend_from_slice(&[opcode::IDLE, 9, tag::STRING, 1, b'a', 1, b'b']);
    out.push(opcode::EXPIRETIME);
    out.extend_from_slice(&77_u32.to_le_bytes());
    out.extend_from_slice(&[opcode::FREQ, 200, tag::LIST, 1, b'l', 2, 1, b'x', 1, b'y', opcode::EOF]);
    if version >= 5 {
        let mut sum = checksum();
        sum.update(&out);
        out.extend_from_slice(&sum.finalize().to_le_bytes());
    }
    out
}

/// Everything a file holds, as text; the error instead of an end.
fn told(bytes: &[u8], rules: &Rules) -> Vec<String> {
    let mut told = Vec::new();
    let mut reader = match Reader::new(Slice::new(bytes), false) {
        Ok(reader) => reader,
        Err(error) => return vec![error.to_string()],
    };
    loop {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        told.push(match reader.next(rules) {
            Ok(Item::Key(key)) => format!(
                "{} {} {:?} {:?} {:?} {}",
                key.db,
                text(&key.key),
                key.deadline,
                key.idle,
                key.frequency,
                matches!(key.value, Outcome::Value(_))
            ),
            Ok(Item::Part) => "part".to_string(),
            Ok(Item::Database(db)) => format!("db {db}"),
            Ok(Item::Aux(name, value)) => format!("aux {} {}", text(&name), text(&value)),
            Ok(Item::Library(source)) => format!("library {}", text(&source)),
            Ok(Item::ModuleAux(name)) => format!("module {}", name.len()),
            Ok(Item::ModuleValue) => "module value".to_string(),
            Ok(Item::Hint) => continue,
            Ok(Item::End(verdict)) => {
                told.push(format!("{verdict:?}"));
                return told;
            }
            Err(error) => {
                told.push(error.to_string());
                return told;
            }
        });
    }
}

#[test]
fn a_file_item_by_item() {
    let keys = keyspace();
    let rules = rules(&keys);
    let items = [
        "aux redis-ver 7.4.0",
        "library #!lua name=x",
        "module 9",
        "db 3",
        "3 a Some(5000000) Some(9) None true",
        "3 l Some(77000) None Some(200) true",
    ];
    for (version, end) in [(12, "Right"), (5, "Right"), (4, "Without"), (1, "Without")] {
        assert_eq!(told(&file(version), &rules), [&items[..], &[end]].concat());
    }
    assert_eq!(told(&file(13), &rules), ["Can't handle RDB format version 13"]);
    assert_eq!(told(b"RIDES0011", &rules), ["Wrong signature trying to load DB from file"]);
    let mut disabled = file(11);
    let end = disabled.len() - 8;
    disabled[end..].fill(0);
    assert_eq!(told(&disabled, &rules).last().map(String::as_str), Some("Disabled"));
    disabled[end] = 1;
    assert!(told(&disabled, &rules).last().is_some_and(|last| last.starts_with("Wrong")));
    for len in 0..file(11).len() {
        assert_eq!(
            told(&file(11)[..len], &rules).last().map(String::as_str),
            Some("Unexpected EOF reading RDB file"),
            "after {len} bytes"
        );
    }
}

#[test]
fn files_of_random_bytes() {
    let keys = keyspace();
    let rules = rules(&keys);
    let mut rng = fastrand::Rng::with_seed(21);
    for _ in 0..20_000 {
        let mut bytes = file(11);
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(9..bytes.len());
            bytes[at] = rng.u8(..);
        }
        told(&bytes, &rules);
    }
}

/// All databases: contents and deadline of each key.
type State = std::collections::BTreeMap<(usize, Vec<u8>), (Contents, Option<u64>)>;

fn state(keys: &Keyspace) -> State {
    let mut state = State::new();
    for db in 0..keys.databases() {
        if let Some(database) = keys.database(db) {
            // As they are there, expired or not.
            database.scan(0, usize::MAX, |entry| {
                let mut contents = contents(entry);
                if contents.0 == Type::String {
                    // A string that was built up in place becomes what one that is set is.
                    contents.1 = string_encoding(entry.string());
                }
                state.insert((db, entry.key().to_vec()), (contents, entry.deadline()));
            });
        }
    }
    state
}

/// The state that a snapshot's bytes hold, each key of which must be there once.
fn read_state(bytes: &[u8]) -> State {
    let mut reader = Reader::new(Slice::new(bytes), false).expect("a snapshot");
    state_of(|rules| reader.next(rules).expect("it is sound"))
}

/// The state that these items amount to.
fn state_of(mut next: impl FnMut(&Rules) -> Item) -> State {
    let mut keys = keyspace();
    let rules = rules(&keys);
    loop {
        match next(&rules) {
            Item::Key(loaded) => {
                let Outcome::Value(made) = loaded.value else { panic!("an empty key") };
                let (kind, encoding, mut bytes) = (made.kind, made.encoding, Vec::new());
                let value = made.into_value(&mut bytes);
                let key = keys.key(&loaded.key);
                let db = loaded.db as usize;
                assert!(keys.view(db, key).is_none(), "{} twice", String::from_utf8_lossy(&loaded.key));
                // The clock stands where nothing has expired.
                keys.set_now(0);
                keys.install(db, key, Fresh { kind, encoding, value, deadline: loaded.deadline, access: 0 }, None);
            }
            Item::End(_) => return state(&keys),
            _ => {}
        }
    }
}

fn writer(compress: bool) -> Box<Writer> {
    Box::new(Writer::new(Plan {
        version: 12,
        compress,
        usage: Usage::Nothing,
        access: AccessClock::default(),
        now_ms: 0,
        aux: &[],
        libraries: Vec::new(),
        sizes: vec![(1, 1); 2],
    }))
}

/// Adds members to a set, which may be large.
fn add_members(keys: &mut Keyspace, db: usize, name: &[u8], members: std::ops::Range<u32>) {
    let rules = rules(keys).set;
    let key = keys.key(name);
    let fresh = (Type::Set, Encoding::Intset, intset::EMPTY);
    let changed = keys.change_or_create(db, key, fresh, Event("sadd"), |value| {
        let added = members.filter(|member| set::add(value, format!("m{member}").as_bytes(), &rules)).count();
        Changed { result: (), changes: added as u64, empty: false }
    });
    assert!(changed.is_ok() || keys.view(db, key).is_some(), "only what is there can be of another type");
}

/// Any change of any key.
fn change_at_random(keys: &mut Keyspace, rng: &mut fastrand::Rng, now_ms: &mut u64) {
    let db = rng.usize(..2);
    let name = format!("key:{}", rng.u32(..400)).into_bytes();
    let other = format!("key:{}", rng.u32(..400)).into_bytes();
    let (key, to) = (keys.key(&name), keys.key(&other));
    match rng.u32(..200) {
        0..60 => {
            let expiry = match rng.u8(..4) {
                0 => Expiry::At(*now_ms + rng.u64(1..3000)),
                1 => Expiry::Clear,
                _ => Expiry::Keep,
            };
            let longest = if rng.u8(..20) == 0 { 40_000 } else { 100 };
            keys.set_string(db, key, StringValue::Owned(text(rng, longest)), expiry, Event::SET);
        }
        60..100 => drop(keys.delete(db, key, Event::DEL)),
        100..120 => {
            let start = rng.u32(..2000);
            let many = if rng.u8(..4) == 0 { 900 } else { 3 };
            add_members(keys, db, &name, start..start + many);
        }
        120..135 => {
            let deadline = *now_ms + rng.u64(1..3000);
            let wish = [Schedule::At(deadline), Schedule::Never, Schedule::Past, Schedule::Leave][rng.usize(..4)];
            keys.reschedule(db, key, Touch::Yes, |_| wish);
        }
        135..150 => {
            let events = (Event::RENAME_FROM, Event::RENAME_TO);
            keys.relocate((db, key), (rng.usize(..2), to), rng.bool(), Touch::Yes, events);
        }
        150..160 => drop(keys.copy((db, key), (rng.usize(..2), to), rng.bool(), Touch::Yes)),
        160..175 => {
            if keys.view(db, key).is_none_or(|entry| entry.kind() == Type::String) {
                let len = rng.usize(..300);
                let resize =
                    |entry: Option<EntryRef<'_>>| Ok::<_, ()>(entry.map_or(0, |entry| entry.string().len()) + len);
                let done = keys.change_string(db, key, Touch::Yes, Event::APPEND, resize, |bytes| {
                    bytes.fill(b'z');
                    true
                });
                assert_eq!(done, Ok(()));
            }
        }
        175..190 => {
            *now_ms += rng.u64(..200);
            keys.set_now(*now_ms);
            keys.expire_slice(20);
        }
        190..194 => keys.swap(0, 1),
        194 => drop(keys.flush(db)),
        195..198 => drop(keys.free_slice()),
        _ => {
            let mut list = listpack::EMPTY.to_vec();
            listpack::push(&mut list, &text(rng, 40));
            keys.store(db, key, Type::List, Encoding::Listpack, NewValue::Inline(&list), Event("lpush"));
        }
    }
}

#[test]
fn a_snapshot_is_the_state_of_one_instant() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut keys = keyspace();
        let mut now_ms = 1_000_000;
        for _ in 0..rng.usize(..2000) {
            change_at_random(&mut keys, &mut rng, &mut now_ms);
        }
        for round in 0..6 {
            let before = state(&keys);
            keys.begin_snapshot(writer(rng.bool()));
            let mut bytes = Vec::new();
            let given_up = rng.u8(..4) == 0;
            let (mut more, mut slices) = (true, 0);
            while more && !(given_up && slices > 3) {
                for _ in 0..rng.usize(..40) {
                    change_at_random(&mut keys, &mut rng, &mut now_ms);
                }
                more = keys.walk_slice(rng.usize(1..30)).1;
                let recorder = keys.recorder().expect("a snapshot is running");
                if !more {
                    recorder.record_end();
                }
                while recorder.recorded() > 0 {
                    bytes.append(&mut recorder.take_recorded());
                }
                slices += 1;
            }
            keys.end_snapshot();
            if !more {
                let mut sum = checksum();
                sum.update(&bytes);
                bytes.extend_from_slice(&sum.finalize().to_le_bytes());
                let after = read_state(&bytes);
                let missing: Vec<_> = before.keys().filter(|key| !after.contains_key(*key)).collect();
                let extra: Vec<_> = after.keys().filter(|key| !before.contains_key(*key)).collect();
                assert!(missing.is_empty() && extra.is_empty(), "seed {seed}, round {round}: {missing:?} {extra:?}");
                let wrong: Vec<_> = before.iter().filter(|(key, value)| after.get(*key) != Some(*value)).collect();
                assert!(wrong.is_empty(), "seed {seed}, round {round}: {:?}", wrong.first());
            }
            // A part of the tidying up, and some changes, may come before the next one.
            for _ in 0..rng.usize(..10) {
                keys.walk_slice(rng.usize(1..100));
                change_at_random(&mut keys, &mut rng, &mut now_ms);
            }
        }
        while keys.free_slice() {}
    }
}

#[test]
fn what_comes_in_pieces_is_read_as_if_it_came_at_once() {
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut keys, mut now_ms) = (keyspace(), 1_000_000);
        for _ in 0..rng.usize(..1000) {
            change_at_random(&mut keys, &mut rng, &mut now_ms);
        }
        keys.begin_snapshot(writer(rng.bool()));
        while keys.walk_slice(100).1 {}
        let recorder = keys.recorder().expect("a snapshot is running");
        recorder.record_end();
        let mut bytes = Vec::new();
        while recorder.recorded() > 0 {
            bytes.append(&mut recorder.take_recorded());
        }
        keys.end_snapshot();
        let mut sum = checksum();
        sum.update(&bytes);
        bytes.extend_from_slice(&sum.finalize().to_le_bytes());
        let mut feed = Feed::default();
        let (head, mut rest) = bytes.split_at(9);
        feed.push(head.to_vec());
        let mut reader = Reader::new(feed, false).expect("a snapshot");
        let (longest, mut verdict) = (rng.usize(1..300), None);
        let state = state_of(|rules| {
            loop {
                match reader.next(rules) {
                    Ok(item) => {
                        if let Item::End(found) = item {
                            verdict = Some(found);
                        }
                        return item;
                    }
                    Err(error) => {
                        assert!(matches!(error.reason, Reason::End) && !rest.is_empty(), "{error}");
                        let (piece, later) = rest.split_at(rng.usize(1..=longest).min(rest.len()));
                        reader.source_mut().rewind();
                        reader.source_mut().push(piece.to_vec());
                        rest = later;
                    }
                }
            }
        });
        assert_eq!((verdict, rest.len(), reader.source().left()), (Some(Verdict::Right), 0, 0), "seed {seed}");
        assert!(state == read_state(&bytes), "seed {seed}");
    }
}

const LARGE: [(&[u8], Type); 5] = [
    (b"set", Type::Set),
    (b"hash", Type::Hash),
    (b"zset", Type::Zset),
    (b"list", Type::List),
    (b"stream", Type::Stream),
];

/// A large value of a type, with so many items about.
fn large(keys: &Keyspace, kind: Type, items: u32, rng: &mut fastrand::Rng) -> (Encoding, Object) {
    let name = |n: u32| format!("item:{n}").into_bytes();
    match kind {
        Type::String => unreachable!("strings are told in one piece"),
        Type::Set => {
            let mut members = Members::new(keys.hasher().clone());
            (0..items).for_each(|n| assert!(members.insert(&name(n))));
            (Encoding::Hashtable, Object::Set(members))
        }
        Type::Hash => {
            let mut fields = FieldTable::new(keys.hasher().clone());
            let expires = rng.bool();
            for n in 0..items {
                let expiry =
                    if expires && rng.bool() { Expiry::At(1_000_000 + rng.u64(..5000)) } else { Expiry::Clear };
                fields.set_expiring(&name(n), StringValue::Owned(text(rng, 50)), expiry);
            }
            (Encoding::Hashtable, Object::Hash(fields))
        }
        Type::Zset => {
            let mut tree = Ordered::new(keys.hasher().clone());
            (0..items).for_each(|n| assert!(tree.set(&name(n), f64::from(rng.u32(..items / 3))).is_none()));
            (Encoding::Skiplist, Object::Zset(tree))
        }
        Type::List => {
            let depth = rng.usize(..3);
            let mut list = Quicklist::new(quicklist::Rules { fill: rng.i32(1..4), depth, plain_from: 200 });
            (0..items).for_each(|n| list.push(name(n).into(), End::Right));
            (Encoding::Quicklist, Object::List(list))
        }
        Type::Stream => {
            let mut stream = Box::<Stream>::default();
            for n in 1..=u64::from(items) {
                let pairs = [b"name".as_slice(), b"value"];
                stream.log.append(Id { ms: n, seq: 0 }, pairs.into_iter(), NODES).expect("it is small");
            }
            for name in [b"one".as_slice(), b"two"] {
                let mut group = Group::new(Id::MIN, Some(0));
                for n in 0..u64::from(items) {
                    let (consumer, _) = group.consumer_named([b"a".as_slice(), b"b", b"c"][rng.usize(..3)], 5);
                    group.deliver(Id { ms: n, seq: 0 }, consumer, 7);
                }
                stream.groups.insert(name.into(), Box::new(group));
            }
            (Encoding::Stream, Object::Stream(stream))
        }
    }
}

/// Nodes of streams.
const NODES: Limits = Limits { bytes: 4096, entries: 3 };

/// Any change of a large value, which may have become another's by now.
fn change_large(object: &mut Object, rng: &mut fastrand::Rng, now_ms: u64) {
    let name = format!("item:{}", rng.u32(..3000)).into_bytes();
    let many = if rng.u8(..40) == 0 { rng.usize(..400) } else { 1 };
    match object {
        Object::Blob(_) | Object::Compact(_) => {}
        Object::Set(members) => match rng.u8(..3) {
            0 => drop(members.insert(&name)),
            1 => drop(members.remove(&name)),
            _ => (0..many).for_each(|_| drop(members.pop(rng, <[u8]>::to_vec))),
        },
        Object::Hash(fields) => match rng.u8(..6) {
            0 => drop(fields.set(&name, StringValue::Owned(text(rng, 60)))),
            1 => {
                let expiry = if rng.bool() { Expiry::Keep } else { Expiry::At(now_ms + rng.u64(..500)) };
                fields.set_expiring(&name, StringValue::Owned(text(rng, 20_000)), expiry);
            }
            2 => drop(fields.remove(&name)),
            3 => drop(fields.set_deadline(&name, rng.bool().then(|| now_ms + rng.u64(..500)))),
            _ => (0..many).take_while(|_| fields.remove_due(now_ms, |_| {})).for_each(drop),
        },
        Object::Zset(tree) => match rng.u8(..8) {
            0..4 => drop(tree.set(&name, f64::from(rng.u32(..700)))),
            4 => drop(tree.update(&name, |old| old.map(|old| old + 1.0))),
            5 => drop(tree.remove(&name)),
            6 => {
                let start = rng.usize(..=tree.len());
                tree.remove_range(start..(start + many).min(tree.len()));
            }
            _ => tree.remove_range(0..many.min(tree.len())),
        },
        Object::List(list) => {
            let end = if rng.bool() { End::Left } else { End::Right };
            let long = if rng.u8(..5) == 0 { vec![b'x'; 300] } else { name.clone() };
            let index = rng.usize(..=list.len());
            match rng.u8(..8) {
                0..2 => list.push(long.into(), end),
                2 if index < list.len() => list.insert(index, long.into(), rng.bool()),
                3 => drop(list.set(index, long.into())),
                4 => list.remove(index, many),
                5 => list.remove(if end == End::Left { 0 } else { list.len().saturating_sub(many) }, many),
                6 => drop(list.remove_equal(&name, many, rng.bool())),
                _ => {
                    let text = rng.bool().then(|| vec![b'x'; 300]);
                    let _ = list.remove_equal(&text.unwrap_or(name), 1, rng.bool());
                }
            }
        }
        Object::Stream(stream) => {
            let id = Id { ms: rng.u64(..3000), seq: 0 };
            let consumer = [b"a".as_slice(), b"b", b"d"][rng.usize(..3)];
            let which = [b"one".as_slice(), b"two", b"three"][rng.usize(..3)];
            match (rng.u8(..12), stream.groups.get_mut(which)) {
                (0..3, _) => {
                    let (next, pairs) = (stream.log.next_id(0), [b"name".as_slice(), b"new"]);
                    stream.log.append(next.expect("there are more"), pairs.into_iter(), NODES).expect("it is small");
                }
                (3..5, _) => drop(stream.log.delete(&[id])),
                (5, _) => {
                    let keep = Keep::Last(stream.log.len().saturating_sub(many as u64));
                    stream.log.trim(&Trim { keep, whole_nodes: rng.bool(), limit: 0 });
                }
                (6, _) if rng.u8(..60) == 0 => {
                    // IDs come again.
                    stream.log.trim(&Trim { keep: Keep::Last(0), whole_nodes: false, limit: 0 });
                    stream.log.set_counters(Counters { last_id: id, ..stream.log.counters() });
                }
                (7, None) => drop(stream.groups.insert(which.into(), Box::new(Group::new(id, None)))),
                (7, Some(_)) if rng.u8(..20) == 0 => drop(stream.destroy_group(which)),
                (7, Some(group)) if rng.u8(..20) == 0 => drop(group.remove_consumer(consumer)),
                (8..10, Some(group)) => {
                    let (consumer, _) = group.consumer_named(consumer, now_ms as i64);
                    group.deliver(id, consumer, now_ms as i64);
                }
                (10, Some(group)) => group.redeliver(id, 99),
                (_, Some(group)) => drop(group.acknowledge(id)),
                _ => {}
            }
        }
    }
}

/// Large values change in every way while they are being told, and are told as they were.
#[test]
fn a_large_value_is_told_as_it_was() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut keys = keyspace();
        let mut now_ms = 1_000_000;
        for round in 0..6 {
            for (name, kind) in LARGE {
                let key = keys.key(name);
                if rng.u8(..4) != 0 && keys.view(0, key).is_none() {
                    let items = rng.u32(800..2500);
                    let (encoding, object) = large(&keys, kind, items, &mut rng);
                    install(&mut keys, name, kind, encoding, NewValue::Boxed(Box::new(object)));
                }
            }
            let before = state(&keys);
            keys.begin_snapshot(writer(rng.bool()));
            let (mut bytes, mut more, mut slices) = (Vec::new(), true, 0);
            let given_up = rng.u8(..5) == 0;
            // Some snapshots are nearly over before a value changes for the first time.
            let calm = rng.usize(..30);
            while more && !(given_up && slices > 12) {
                for _ in 0..if slices < calm { 0 } else { rng.usize(..60) } {
                    change_a_large_value(&mut keys, &mut rng, &mut now_ms);
                }
                more = keys.walk_slice(rng.usize(1..4)).1;
                let recorder = keys.recorder().expect("a snapshot is running");
                if !more {
                    recorder.record_end();
                }
                while recorder.recorded() > 0 {
                    bytes.append(&mut recorder.take_recorded());
                }
                slices += 1;
            }
            keys.end_snapshot();
            if !more {
                let mut sum = checksum();
                sum.update(&bytes);
                bytes.extend_from_slice(&sum.finalize().to_le_bytes());
                let after = read_state(&bytes);
                assert!(before.keys().eq(after.keys()), "seed {seed}, round {round}");
                for (key, value) in &before {
                    let name = String::from_utf8_lossy(&key.1);
                    assert!(after.get(key) == Some(value), "seed {seed}, round {round}: {name} is not as it was");
                }
            }
            for _ in 0..20 {
                change_a_large_value(&mut keys, &mut rng, &mut now_ms);
                keys.free_slice();
            }
        }
        while keys.free_slice() {}
        assert!(keys.is_freed() && keys.pending_free() == 0);
    }
}

fn change_a_large_value(keys: &mut Keyspace, rng: &mut fastrand::Rng, now_ms: &mut u64) {
    let (db, to_db) = (rng.usize(..2), rng.usize(..2));
    let ((name, kind), (other, _)) = (LARGE[rng.usize(..5)], LARGE[rng.usize(..5)]);
    let (key, to) = (keys.key(name), keys.key(other));
    match rng.u32(..400) {
        0 => drop(keys.delete(db, key, Event::DEL)),
        1 => keys.set_string(db, key, StringValue::Borrowed(b"text"), Expiry::Keep, Event::SET),
        2 => drop(keys.relocate((db, key), (to_db, to), true, Touch::Yes, (Event::RENAME_FROM, Event::RENAME_TO))),
        3 => drop(keys.copy((db, key), (to_db, to), true, Touch::Yes)),
        4 => keys.swap(0, 1),
        5 => drop(keys.flush(db)),
        6 => drop(keys.reschedule(db, key, Touch::Yes, |_| Schedule::At(*now_ms + 30))),
        7..20 => {
            *now_ms += rng.u64(..10);
            keys.set_now(*now_ms);
            keys.expire_slice(20);
        }
        20..30 => drop(keys.free_slice()),
        _ => {
            let now_ms = *now_ms;
            let kind = keys.view(db, key).map_or(kind, |entry| entry.kind());
            let changed = keys.change(db, key, kind, Event("changed"), |value| {
                let empty = value.object_mut().is_some_and(|object| {
                    change_large(object, rng, now_ms);
                    object.items() == 0
                });
                Changed { result: (), changes: 1, empty }
            });
            assert!(changed.is_ok());
        }
    }
}
