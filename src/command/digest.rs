//! Digests of data, as DEBUG DIGEST and DIGEST-VALUE answer them: those that Redis answers for the same data, so that who moves
//! data from one server to another can compare them.
//!
//! A digest is 160 bits. There are two ways of taking text into it. To *add* takes the exclusive or with the text's SHA-1: the
//! order of what is added does not matter. To *mix* adds the text and puts the SHA-1 of the outcome in place of the digest, so
//! that what is mixed in later gives something else than if it had come earlier.
//!
//! Digests do not depend on encodings, nor on when something expires, only on whether it does. A stream's groups are no part of
//! its digest. A namespace with a name of its own, which Redis does not have, is added under that name.

use sha1::{Digest as _, Sha1};

use crate::keyspace::entry::{EntryRef, Type};
use crate::keyspace::hashmap::HashView;
use crate::keyspace::{Keyspace, Overdue};
use crate::types::number::{F64_LEN, format_f64_short};
use crate::types::set::SetRef;
use crate::types::stream::Id;

/// A SHA-1, or what several have been taken into.
pub type Digest = [u8; 20];

/// What is added for a key that expires, and for a field.
const KEY_EXPIRES: &[u8] = b"!!expire!!";
const FIELD_EXPIRES: &[u8] = b"!!hexpire!!";

fn add(digest: &mut Digest, text: &[u8]) {
    digest.iter_mut().zip(Sha1::digest(text)).for_each(|(byte, other)| *byte ^= other);
}

fn mix(digest: &mut Digest, text: &[u8]) {
    add(digest, text);
    *digest = Sha1::digest(*digest).into();
}

/// The digest of all data, those included whose time is over and who have not been removed yet: all zeros for none.
pub fn of_all(keys: &mut Keyspace) -> Digest {
    let before = keys.set_overdue(Overdue::Ignored);
    let mut all = [0; 20];
    for db in 0..keys.databases() {
        match keys.directory().own_name(db) {
            Some("") => {}
            None => mix_database(keys, db, &(db as u32).to_be_bytes(), &mut all),
            Some(name) => {
                // It may have another slot on another server.
                let mut one = [0; 20];
                mix_database(keys, db, name.as_bytes(), &mut one);
                all.iter_mut().zip(one).for_each(|(byte, other)| *byte ^= other);
            }
        }
    }
    keys.set_overdue(before);
    all
}

/// Mixes in what a database is known by and adds its keys, which come in any order. An empty one changes nothing.
fn mix_database(keys: &Keyspace, db: usize, known_by: &[u8], digest: &mut Digest) {
    let mut is_empty = true;
    keys.each(db, |entry| {
        if std::mem::take(&mut is_empty) {
            mix(digest, known_by);
        }
        let mut one = [0; 20];
        mix(&mut one, entry.key());
        mix_value(entry, &mut one);
        add(digest, &one);
    });
}

/// The digest of a key's value.
pub fn of_value(entry: EntryRef<'_>) -> Digest {
    let mut digest = [0; 20];
    mix_value(entry, &mut digest);
    digest
}

/// Mixes in the type of a value, which Redis knows by a number, and what it holds.
fn mix_value(entry: EntryRef<'_>, digest: &mut Digest) {
    let kind: u32 = match entry.kind() {
        Type::String => 0,
        Type::List => 1,
        Type::Set => 2,
        Type::Zset => 3,
        Type::Hash => 4,
        Type::Stream => 6,
    };
    mix(digest, &kind.to_be_bytes());
    match entry.kind() {
        Type::String => mix(digest, entry.string()),
        Type::List => mix_list(entry, digest),
        Type::Set => add_members(entry, digest),
        Type::Zset => add_scores(entry, digest),
        Type::Hash => add_fields(entry, digest),
        Type::Stream => mix_stream(entry, digest),
    }
    if entry.deadline().is_some() {
        add(digest, KEY_EXPIRES);
    }
}

fn mix_list(entry: EntryRef<'_>, digest: &mut Digest) {
    if let Some(list) = entry.list() {
        list.visit(0, false, |item| {
            item.with_bytes(|text| mix(digest, text));
            true
        });
    }
}

fn add_members(entry: EntryRef<'_>, digest: &mut Digest) {
    for member in entry.set().into_iter().flat_map(SetRef::iter) {
        member.with_bytes(|member| add(digest, member));
    }
}

/// Adds a digest for each member of a sorted set, which is mixed of the member and the fewest digits of its score.
fn add_scores(entry: EntryRef<'_>, digest: &mut Digest) {
    let Some(zset) = entry.zset() else { return };
    let mut text = [0; F64_LEN];
    for (member, score) in zset.iter(0..zset.len()) {
        let mut one = [0; 20];
        member.with_bytes(|member| mix(&mut one, member));
        mix(&mut one, format_f64_short(score, &mut text));
        add(digest, &one);
    }
}

fn add_fields(entry: EntryRef<'_>, digest: &mut Digest) {
    let Some(hash) = HashView::of(entry) else { return };
    hash.each(|name, value, deadline| {
        let mut one = [0; 20];
        name.with_bytes(|name| mix(&mut one, name));
        value.with_bytes(|value| mix(&mut one, value));
        if deadline.is_some() {
            add(&mut one, FIELD_EXPIRES);
        }
        add(digest, &one);
    });
}

fn mix_stream(entry: EntryRef<'_>, digest: &mut Digest) {
    for entry in entry.stream().into_iter().flat_map(|stream| stream.log.range(Id::MIN, Id::MAX)) {
        mix(digest, format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
        for text in entry.pairs().flat_map(|(name, value)| [name, value]) {
            text.with_bytes(|text| mix(digest, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::number::hex;

    #[test]
    fn what_is_added_has_no_order_and_what_is_mixed_has() {
        let taken = |take: fn(&mut Digest, &[u8]), words: [&[u8]; 2]| {
            let mut digest = [0; 20];
            words.into_iter().for_each(|word| take(&mut digest, word));
            hex(&digest)
        };
        assert_eq!(taken(add, [b"a", b"b"]), taken(add, [b"b", b"a"]));
        assert_ne!(taken(mix, [b"a", b"b"]), taken(mix, [b"b", b"a"]));
        assert_ne!(taken(mix, [b"ab", b"c"]), taken(mix, [b"a", b"bc"]));
        assert_eq!(taken(add, [b"a", b"a"]), "0".repeat(40));
    }
}
