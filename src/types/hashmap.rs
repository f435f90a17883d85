//! A hash: fields with their values.
//!
//! While there are few fields and all of them are short, field and value stand in turn in a listpack; otherwise they are
//! in a [`FieldTable`]. A hash that has become large stays so.

use std::rc::Rc;

use super::field::{FieldRef, FieldTable};
use super::hash::KeyHasher;
use super::listpack::{self, Element, START};
use crate::keyspace::StringValue;
use crate::keyspace::entry::{Encoding, EntryRef, NewValue, Object, Type};
use crate::keyspace::value::Value;

/// A listpack gets no longer than this, whatever the settings allow.
const COMPACT_BYTES_MAX: usize = 1 << 30;

/// What a compact hash may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Fields.
    pub entries: usize,
    /// Bytes of a field and of a value.
    pub bytes: usize,
}

impl Limits {
    /// Whether pairs may be written to a compact hash, given how many there are and all their texts.
    pub fn allow(self, pairs: usize, mut texts: impl Iterator<Item = usize>) -> bool {
        pairs <= self.entries
            && texts
                .try_fold(0usize, |sum, len| {
                    Some(sum + len).filter(|&sum| len <= self.bytes && sum <= COMPACT_BYTES_MAX)
                })
                .is_some()
    }
}

/// A value as it is in the hash.
pub enum FieldValue<'a> {
    Short(Element<'a>),
    /// A long one, which can be sent by reference.
    Long(Rc<Vec<u8>>),
}

impl FieldValue<'_> {
    /// Lends it as text.
    pub fn with_bytes<R>(&self, lend: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            FieldValue::Short(element) => element.with_bytes(lend),
            FieldValue::Long(blob) => lend(blob),
        }
    }
}

/// A hash, to be read.
#[derive(Clone, Copy)]
pub enum HashView<'a> {
    Compact(&'a [u8]),
    Large(&'a FieldTable),
}

impl<'a> HashView<'a> {
    /// The hash of an entry; `None` if it holds something else.
    #[inline]
    pub fn of(entry: EntryRef<'a>) -> Option<HashView<'a>> {
        if entry.kind() != Type::Hash {
            return None;
        }
        Some(match entry.object() {
            Some(Object::Hash(fields)) => HashView::Large(fields),
            _ => HashView::Compact(entry.compact()),
        })
    }

    /// How many fields it has.
    pub fn len(self) -> usize {
        match self {
            HashView::Compact(bytes) => listpack::len(bytes) / 2,
            HashView::Large(fields) => fields.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The value of a field.
    #[inline]
    pub fn get(self, name: &[u8]) -> Option<FieldValue<'a>> {
        match self {
            HashView::Compact(bytes) => {
                let at = listpack::end(bytes, listpack::find(bytes, START, name, 2)?);
                Some(FieldValue::Short(listpack::get(bytes, at)))
            }
            HashView::Large(fields) => fields.get(name).map(value_of),
        }
    }

    /// Visits every field with its value.
    pub fn each(self, mut visit: impl FnMut(Element<'a>, FieldValue<'a>)) {
        match self {
            HashView::Compact(bytes) => pairs(bytes).for_each(|(name, value)| visit(name, FieldValue::Short(value))),
            HashView::Large(fields) => fields.each(|field| visit(Element::Text(field.name()), value_of(field))),
        }
    }
}

/// A field's value.
pub fn value_of(field: FieldRef<'_>) -> FieldValue<'_> {
    match field.blob() {
        Some(blob) => FieldValue::Long(blob),
        None => FieldValue::Short(Element::Text(field.value())),
    }
}

/// The pairs of a compact hash.
pub fn pairs(bytes: &[u8]) -> impl Iterator<Item = (Element<'_>, Element<'_>)> {
    let mut elements = listpack::iter(bytes).map(|(_, element)| element);
    std::iter::from_fn(move || Some((elements.next()?, elements.next()?)))
}

/// Gives fields their values, where a field may come more than once. Pairs of which the [`Limits`] do not `allow` that
/// they are compact make the hash large. Returns how many fields are new.
pub fn set<'p>(
    hash: &mut Value<'_>,
    pairs: impl Iterator<Item = (&'p [u8], StringValue<'p>)>,
    allowed: bool,
    limits: Limits,
    hasher: &KeyHasher,
) -> usize {
    if !allowed {
        enlarge(hash, hasher);
    }
    if let Some(fields) = fields_mut(hash) {
        return pairs.map(|(name, value)| fields.set(name, value) as usize).sum();
    }
    let created = set_compact(hash, pairs);
    let bytes = hash.compact();
    if listpack::len(bytes) / 2 > limits.entries || bytes.len() > COMPACT_BYTES_MAX {
        enlarge(hash, hasher);
    }
    created
}

fn set_compact<'p>(hash: &mut Value<'_>, pairs: impl Iterator<Item = (&'p [u8], StringValue<'p>)>) -> usize {
    // New pairs are gathered, so that the entry grows once.
    let mut fresh = Vec::new();
    let mut created = 0;
    let mut element = Vec::new();
    for (name, value) in pairs {
        element.clear();
        listpack::encode(value.bytes(), &mut element);
        if let Some(at) = listpack::find(hash.compact(), START, name, 2) {
            let at = listpack::end(hash.compact(), at);
            listpack::replace(hash, at, &element);
        } else if let Some(at) = listpack::find(&fresh, 0, name, 2) {
            let at = listpack::end(&fresh, at);
            listpack::replace(&mut fresh, at, &element);
        } else {
            listpack::encode(name, &mut fresh);
            fresh.extend_from_slice(&element);
            created += 1;
        }
    }
    if created > 0 {
        listpack::append(hash, &fresh, created * 2);
    }
    created
}

/// Removes a field. Returns whether it was there.
pub fn remove(hash: &mut Value<'_>, name: &[u8]) -> bool {
    if let Some(fields) = fields_mut(hash) {
        return fields.remove(name);
    }
    let bytes = hash.compact();
    let Some(at) = listpack::find(bytes, START, name, 2) else { return false };
    let end = listpack::end(bytes, listpack::end(bytes, at));
    listpack::remove(hash, at..end, 2);
    true
}

/// The hash that is being changed, to be read.
pub fn view<'v>(hash: &'v Value<'_>) -> HashView<'v> {
    match hash.object() {
        Some(Object::Hash(fields)) => HashView::Large(fields),
        _ => HashView::Compact(hash.compact()),
    }
}

fn fields_mut<'v>(hash: &'v mut Value<'_>) -> Option<&'v mut FieldTable> {
    match hash.object_mut() {
        Some(Object::Hash(fields)) => Some(fields),
        _ => None,
    }
}

/// Moves a compact hash to a table.
fn enlarge(hash: &mut Value<'_>, hasher: &KeyHasher) {
    if hash.encoding() == Encoding::Hashtable {
        return;
    }
    let mut fields = FieldTable::new(hasher.clone());
    for (name, value) in pairs(hash.compact()) {
        name.with_bytes(|name| value.with_bytes(|value| fields.set(name, StringValue::Borrowed(value))));
    }
    hash.convert(Encoding::Hashtable, NewValue::Boxed(Box::new(Object::Hash(fields))));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::effects::Event;
    use crate::keyspace::value::Changed;
    use crate::keyspace::{Keyspace, Touch};

    const LIMITS: Limits = Limits { entries: 12, bytes: 20 };

    /// A text that is sometimes a number, and sometimes too long for a compact hash or to be inline.
    fn text(rng: &mut fastrand::Rng, longest: usize) -> Vec<u8> {
        match rng.u8(..20) {
            0..8 => rng.i64(-300..300).to_string().into_bytes(),
            8 => rng.i64(..).to_string().into_bytes(),
            _ => vec![rng.u8(b'a'..b'd'); rng.usize(..=longest)],
        }
    }

    #[test]
    fn random_changes_against_a_map() {
        for seed in 0..60 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut keys = Keyspace::new(1, seed, 1);
            let hasher = keys.hasher().clone();
            let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            let mut large = false;
            // Most stay compact, some grow beyond what is inline.
            let (names, longest) = [(10, 20), (10, 20), (400, 20), (10, 20_000)][seed as usize % 4];
            for _ in 0..300 {
                let fresh = (Type::Hash, Encoding::Listpack, listpack::EMPTY);
                let key = keys.key(b"key");
                if rng.u8(..10) < 6 {
                    let pairs: Vec<_> = (0..rng.usize(1..4))
                        .map(|_| (rng.u32(..names).to_string().into_bytes(), text(&mut rng, longest)))
                        .collect();
                    let allowed =
                        LIMITS.allow(pairs.len(), pairs.iter().flat_map(|(name, value)| [name.len(), value.len()]));
                    let created = keys
                        .change_or_create(0, key, fresh, Event("hset"), |hash| {
                            let pairs = pairs.iter().map(|(name, value)| (&**name, StringValue::Borrowed(value)));
                            let result = set(hash, pairs, allowed, LIMITS, &hasher);
                            Changed { result, changes: 1, empty: false }
                        })
                        .expect("a hash");
                    let before = model.len();
                    model.extend(pairs);
                    assert_eq!(created, model.len() - before);
                    large |= !allowed || model.len() > LIMITS.entries;
                } else {
                    let name = rng.u32(..names).to_string().into_bytes();
                    let removed = keys
                        .change(0, key, Type::Hash, Event("hdel"), |hash| {
                            let result = remove(hash, &name);
                            Changed { result, changes: result as u64, empty: view(hash).is_empty() }
                        })
                        .expect("a hash");
                    assert_eq!(removed.unwrap_or(false), model.remove(&name).is_some());
                    large &= !model.is_empty();
                }
                let Some(entry) = keys.read(0, key, Touch::No) else {
                    assert!(model.is_empty());
                    continue;
                };
                let hash = HashView::of(entry).expect("a hash");
                assert_eq!(matches!(hash, HashView::Large(_)), large);
                assert_eq!(hash.len(), model.len());
                let mut all = BTreeMap::new();
                hash.each(|name, value| drop(all.insert(name.to_vec(), value.with_bytes(<[u8]>::to_vec))));
                assert_eq!(all, model);
                let name = rng.u32(..names).to_string().into_bytes();
                assert_eq!(hash.get(&name).map(|value| value.with_bytes(<[u8]>::to_vec)).as_ref(), model.get(&name));
            }
        }
    }

    #[test]
    fn limits_are_what_is_allowed_still() {
        assert!(LIMITS.allow(12, [20, 20].into_iter()));
        assert!(!LIMITS.allow(13, [1].into_iter()));
        assert!(!LIMITS.allow(1, [1, 21].into_iter()));
        let wide = Limits { entries: usize::MAX, bytes: usize::MAX };
        assert!(wide.allow(2, [COMPACT_BYTES_MAX].into_iter()));
        assert!(!wide.allow(2, [COMPACT_BYTES_MAX, 1].into_iter()));
    }
}
