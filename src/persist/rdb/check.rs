//! `cachestorm --check-rdb FILE`, which also answers to the name redis-check-rdb: reads a snapshot from its beginning to its
//! end and tells what it holds, or where it is damaged. The lines are those that tools know from Redis.

use std::fs::File;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::decode::{Outcome, Rules};
use super::error::{Error, Reason};
use super::file::{Doing, Item, Reader, Verdict};
use super::own;
use super::source::{FileSource, Source};
use super::tag;
use crate::keyspace::hashmap;
use crate::observe::reason;
use crate::types::hash::KeyHasher;
use crate::types::number::c_text;
use crate::types::{quicklist, set, zset};

#[derive(Default)]
struct Counts {
    expires: u64,
    expired: u64,
    /// Hashes with fields that expire.
    subexpires: u64,
    tagged: u64,
    links: u64,
}

/// Checks the file that the arguments name and writes down what it holds. Returns whether it is sound.
pub fn run(args: &[String], out: &mut impl Write) -> bool {
    let checked = match args {
        [path] => check(path, out).map(|end| end.is_some()),
        _ => {
            eprintln!("Usage: cachestorm --check-rdb <rdb-file-name>");
            return false;
        }
    };
    checked.unwrap_or_else(|error| {
        eprintln!("{error}");
        false
    })
}

/// Values are read as they would be with the settings' defaults, and in depth.
fn rules() -> Rules {
    let hasher = KeyHasher::new(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64));
    Rules {
        list: quicklist::Rules { fill: -2, depth: 0, plain_from: 0 },
        set: set::Rules {
            limits: set::Limits { intset_entries: 512, listpack_entries: 128, listpack_value: 64 },
            hasher: hasher.clone(),
        },
        hash: hashmap::Limits { entries: 128, bytes: 64 },
        zset: zset::Limits { entries: 128, value: 64 },
        hasher,
        thorough: true,
    }
}

/// Reads the snapshot that a file begins with, and writes down what it holds. Returns where it ends; `None` if it is damaged.
///
/// # Errors
/// If nothing can be written down.
pub fn check(path: &str, mut out: &mut dyn Write) -> io::Result<Option<u64>> {
    let source = match File::open(path).and_then(FileSource::new) {
        Ok(source) => source,
        Err(error) => {
            writeln!(out, "Cannot open file {path}: {}", reason(&error))?;
            return Ok(None);
        }
    };
    writeln!(out, "[offset 0] Checking RDB file {path}")?;
    let mut reader = match Reader::new(source, true) {
        Ok(reader) => reader,
        Err(error) => {
            damage(&mut out, &error, "start")?;
            tell_kind(&mut out, tag::STRING)?;
            tell_counts(&mut out, 0, &Counts::default())?;
            return Ok(None);
        }
    };
    // Before the first key is read, scripts see that of a string.
    reader.tag = Some(tag::STRING);
    let mut counts = Counts::default();
    let sound = items(&mut reader, &mut counts, &mut out)?;
    if sound {
        writeln!(out, "[offset {}] \\o/ RDB looks OK! \\o/", reader.source().offset())?;
    }
    tell_counts(&mut out, reader.keys, &counts)?;
    Ok(sound.then(|| reader.source().offset()))
}

fn tell_counts(out: &mut impl Write, keys: u64, counts: &Counts) -> io::Result<()> {
    let Counts { expires, expired, subexpires, tagged, links } = counts;
    writeln!(out, "[info] {keys} keys read\n[info] {expires} expires\n[info] {expired} already expired")?;
    writeln!(out, "[info] {subexpires} subexpires")?;
    if tagged + links > 0 {
        writeln!(out, "[info] {tagged} keys with tags\n[info] {links} links of tags")?;
    }
    Ok(())
}

/// Writes a line with texts of the file as they are, up to where each ends in C.
fn writeln_with(out: &mut impl Write, begin: &str, texts: &[&[u8]]) -> io::Result<()> {
    out.write_all(begin.as_bytes())?;
    texts.iter().try_for_each(|text| out.write_all(c_text(text)))?;
    out.write_all(b"\n")
}

fn tell_kind(out: &mut impl Write, kind: u8) -> io::Result<()> {
    let name = tag::NAMES.get(usize::from(kind)).copied().unwrap_or("unknown");
    writeln!(out, "[additional info] Reading type {kind} ({name})")
}

/// Tells where a file is damaged, and what was being read there.
fn tell_damage(reader: &Reader<FileSource>, error: &Error, out: &mut impl Write) -> io::Result<()> {
    if reader.doing == Doing::Functions {
        let text = "Failed loading library, Failed loading library payload".into();
        damage(out, &Error { offset: error.offset, reason: Reason::Corrupt(text) }, reader.doing.name())?;
    } else {
        damage(out, error, reader.doing.name())?;
    }
    if reader.doing == Doing::Value {
        writeln_with(out, "[additional info] Reading key '", &[&reader.key, b"'"])?;
    }
    reader.tag.map_or(Ok(()), |kind| tell_kind(out, kind))
}

fn items(reader: &mut Reader<FileSource>, counts: &mut Counts, out: &mut impl Write) -> io::Result<bool> {
    let rules = rules();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64);
    loop {
        let item = match reader.next(&rules) {
            Ok(item) => item,
            Err(error) => {
                tell_damage(reader, &error, out)?;
                return Ok(false);
            }
        };
        let offset = reader.source().offset();
        match item {
            Item::Database(db) => writeln!(out, "[offset {offset}] Selecting DB ID {db}")?,
            // There may be one for each key: they are counted, unless they are damaged.
            Item::Aux(name, value) if name == own::TAGS.as_bytes() && own::texts(&value).is_ok() => counts.tagged += 1,
            Item::Aux(name, value)
                if name == own::LINK.as_bytes() && own::texts(&value).is_ok_and(|link| link.len() == 2) =>
            {
                counts.links += 1;
            }
            Item::Aux(name, _) if [own::TAGS, own::LINK].iter().any(|own| name == own.as_bytes()) => {
                tell_damage(reader, &reader.source().corrupt("Damaged tags"), out)?;
                return Ok(false);
            }
            Item::Aux(name, value) => {
                writeln_with(out, &format!("[offset {offset}] AUX FIELD "), &[&name, b" = '", &value, b"'"])?;
            }
            Item::ModuleAux(name) => writeln!(out, "[offset {offset}] MODULE AUX for: {name}")?,
            Item::Key(key) => {
                counts.expires += u64::from(key.deadline.is_some());
                counts.expired += u64::from(key.deadline.is_some_and(|deadline| deadline < now_ms));
                match &key.value {
                    Outcome::Value(made) => counts.subexpires += u64::from(made.has_fields_that_expire()),
                    Outcome::Empty => {
                        writeln_with(out, &format!("[offset {offset}] The key '"), &[&key.key, b"' has no items"])?;
                    }
                }
            }
            Item::ModuleValue | Item::Part | Item::Hint | Item::Library(_) => {}
            Item::End(Verdict::Right) => {
                writeln!(out, "[offset {offset}] Checksum OK")?;
                return Ok(true);
            }
            Item::End(Verdict::Disabled) => {
                writeln!(out, "[offset {offset}] RDB file was saved with checksum disabled: no check performed.")?;
                return Ok(true);
            }
            Item::End(Verdict::Without) => return Ok(true),
            Item::End(Verdict::Wrong { .. }) => {
                tell_damage(reader, &reader.source().corrupt("RDB CRC error"), out)?;
                return Ok(false);
            }
        }
    }
}

fn damage(out: &mut impl Write, error: &Error, doing: &str) -> io::Result<()> {
    writeln!(
        out,
        "--- RDB ERROR DETECTED ---\n[offset {}] {error}\n[additional info] While doing: {doing}",
        error.offset
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(bytes: &[u8], name: &str) -> (bool, String) {
        let path = std::env::temp_dir().join(format!("cachestorm-{}-{name}.rdb", std::process::id()));
        std::fs::write(&path, bytes).expect("a file");
        let mut out = Vec::new();
        let sound = run(&[path.display().to_string()], &mut out);
        std::fs::remove_file(&path).expect("it can be removed");
        (sound, String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn a_sound_file_and_damaged_ones() {
        let whole = b"REDIS0003\xFE\x00\x00\x01k\x01v\xFF";
        let (sound, told) = checked(whole, "sound");
        assert!(sound && told.contains("RDB looks OK!") && told.contains("[info] 1 keys read"), "{told}");
        let (sound, told) = checked(&whole[..13], "short");
        assert!(!sound && told.contains("--- RDB ERROR DETECTED ---"), "{told}");
        let (sound, told) = checked(b"REDIS0003\x02\x01k\x02\x01a\x01a\xFF", "twins");
        assert!(
            !sound && told.contains("Reading type 2 (set-hashtable)") && told.contains("Reading key 'k'"),
            "{told}"
        );
        assert!(!run(&["/nowhere/at/all".to_string()], &mut Vec::new()));
    }
}
