//! Sorted sets.
//!
//! What their commands share; [`rows`] lists them, [`score`] has those of members and scores, [`range`] those that read ranges,
//! [`remove`] those that take members out, [`sample`] chance and iteration, and [`combine`] ZUNION and its kin.

mod combine;
mod range;
mod remove;
mod rows;
mod sample;
mod score;

pub use rows::COMMANDS;
pub(super) use score::{AddOptions, add_scored};

use crate::command::Ctx;
use crate::command::error::Error;
use crate::command::state::Server;
use crate::effects::Event;
use crate::keyspace::entry::{Encoding, INLINE_MAX, NewValue, Object, Type};
use crate::keyspace::{Key, Keyspace, Touch};
use crate::resp::{Proto, Reply};
use crate::types::hash::KeyHasher;
use crate::types::listpack::{self, Element};
use crate::types::zset::{Limits, Rules, Zset, ZsetMut, ZsetRef};

/// A sorted set that does not exist yet.
const FRESH: (Type, Encoding, &[u8]) = (Type::Zset, Encoding::Listpack, listpack::EMPTY);

/// A key's sorted set for a command that reads it.
///
/// # Errors
/// If the key holds something else.
#[inline]
pub(super) fn read<'k>(
    keys: &'k mut Keyspace,
    db: usize,
    key: Key<'_>,
    touch: Touch,
) -> Result<Option<ZsetRef<'k>>, Error> {
    match keys.read(db, key, touch) {
        Some(entry) => entry.zset().map(Some).ok_or(Error::WRONG_TYPE),
        None => Ok(None),
    }
}

/// The sorted set that an argument names, for a command that reads it; see [`read`].
macro_rules! zset_of {
    ($cx:ident, $args:ident, $at:expr) => {{
        let key = $cx.key($args, $at);
        $crate::command::zset::read(&mut $cx.server.keys, $cx.db, key, $cx.touch)?
    }};
}
use zset_of;

/// What [`Rules`] are made of, for as long as the keyspace is borrowed.
fn growth(cx: &Ctx<'_>) -> (Limits, KeyHasher) {
    (limits_of(cx.server), cx.server.keys.hasher().clone())
}

/// Up to where a sorted set is a listpack.
pub fn limits_of(server: &Server) -> Limits {
    let settings = &server.settings;
    Limits { entries: settings.zset_max_listpack_entries, value: settings.zset_max_listpack_value }
}

pub(super) fn member_reply(reply: &mut Reply, member: Element<'_>) {
    match member {
        Element::Text(text) => reply.bulk(text),
        Element::Integer(value) => reply.bulk_integer(value),
    }
}

/// An array of members, with their scores if asked for: one flat array in RESP2, an array of pairs in RESP3.
fn entries_reply<'e>(
    reply: &mut Reply,
    len: usize,
    with_scores: bool,
    entries: impl Iterator<Item = (Element<'e>, f64)>,
) {
    let nested = with_scores && reply.proto == Proto::Resp3;
    reply.array(if with_scores && !nested { 2 * len } else { len });
    for (member, score) in entries {
        entry_reply(reply, member, with_scores.then_some(score), nested);
    }
}

#[inline]
fn entry_reply(reply: &mut Reply, member: Element<'_>, score: Option<f64>, nested: bool) {
    if nested {
        reply.array(2);
    }
    member_reply(reply, member);
    if let Some(score) = score {
        reply.double(score);
    }
}

/// A sorted set of entries whose members are all different.
pub(super) fn collected<M: AsRef<[u8]>>(cx: &Ctx<'_>, entries: &[(M, f64)]) -> Zset {
    let (limits, hasher) = growth(cx);
    let rules = Rules { limits, hasher: &hasher };
    let is_short = entries.iter().all(|(member, _)| member.as_ref().len() <= limits.value);
    let expected = if is_short { entries.len() } else { usize::MAX };
    Zset::of(expected, entries.iter().map(|(member, score)| (member.as_ref(), *score)), rules)
}

/// Makes a key a sorted set, and replies how many members that has; without any, the key is removed.
pub(super) fn store(cx: &mut Ctx<'_>, key: Key<'_>, zset: Zset, event: Event) {
    let len = zset.zset().len();
    let keys = &mut cx.server.keys;
    if len == 0 {
        keys.vacate(cx.db, key);
    } else {
        match zset {
            Zset::List(list) if list.len() <= INLINE_MAX => {
                keys.store(cx.db, key, Type::Zset, Encoding::Listpack, NewValue::Inline(&list), event);
            }
            Zset::List(list) => {
                let value = NewValue::Boxed(Box::new(Object::Compact(list)));
                keys.store(cx.db, key, Type::Zset, Encoding::Listpack, value, event);
            }
            Zset::Tree(tree) => {
                let value = NewValue::Boxed(Box::new(Object::Zset(tree)));
                keys.store(cx.db, key, Type::Zset, Encoding::Skiplist, value, event);
            }
        }
    }
    cx.reply.count(len);
}
