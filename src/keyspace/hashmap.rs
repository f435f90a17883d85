//! A hash: fields with their values.
//!
//! While there are few fields and all of them are short, field and value stand in turn in a listpack; otherwise they are
//! in a [`FieldTable`]. A hash that has become large stays so.
//!
//! Fields can have deadlines. The first one that gets a deadline turns a compact hash into a listpack of triples, the
//! third element of which is the deadline in Unix milliseconds, or 0 for none. Triples stand in the order of their
//! deadlines, those without one last, so that what is due is always in front. It stays a listpack of triples when no
//! field has a deadline any more. This is the form that Redis 7.4 keeps and saves.
//!
//! A field whose deadline has passed may still be there. Readers say what time it is and do not see it.

use std::collections::HashSet;
use std::rc::Rc;

use super::entry::{Encoding, EntryRef, NewValue, Object, Type};
use super::value::Value;
use super::{Expiry, Schedule, StringValue};
use crate::types::field::{FieldRef, FieldTable};
use crate::types::hash::KeyHasher;
use crate::types::listpack::{self, Element, START};

/// A listpack gets no longer than this, whatever the settings allow.
const COMPACT_BYTES_MAX: usize = 1 << 30;

/// The latest deadline of a field, in Unix milliseconds: it has 48 bits in Redis' snapshots.
pub const LATEST_MS: u64 = (1 << 48) - 1;

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

/// A field's value and deadline.
pub struct Held<'a> {
    pub value: FieldValue<'a>,
    /// In Unix milliseconds.
    pub deadline: Option<u64>,
}

/// Whether a deadline has passed. In the millisecond of its deadline a field still lives.
#[inline]
pub fn is_past(deadline: Option<u64>, now_ms: u64) -> bool {
    deadline.is_some_and(|deadline| deadline < now_ms)
}

/// How a compact hash is laid out: so many elements of the listpack belong to a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Field and value.
    Pairs = 2,
    /// Field, value and deadline.
    Triples = 3,
}

impl Form {
    /// The form that an encoding stands for.
    fn of(encoding: Encoding) -> Form {
        if encoding == Encoding::ListpackEx { Form::Triples } else { Form::Pairs }
    }

    fn step(self) -> usize {
        self as usize
    }
}

/// A hash, to be read.
#[derive(Clone, Copy)]
pub enum HashView<'a> {
    Compact(&'a [u8], Form),
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
            _ => HashView::Compact(entry.compact(), Form::of(entry.encoding())),
        })
    }

    /// How many fields it has, those included whose deadlines have passed.
    pub fn len(self) -> usize {
        match self {
            HashView::Compact(bytes, form) => listpack::len(bytes) / form.step(),
            HashView::Large(fields) => fields.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// How many fields it has whose deadlines have not passed.
    pub fn live_len(self, now_ms: u64) -> usize {
        let past = match self {
            HashView::Compact(_, Form::Pairs) => 0,
            HashView::Compact(bytes, Form::Triples) => due_before(bytes, now_ms).count(),
            HashView::Large(fields) => fields.due_before(now_ms),
        };
        self.len() - past
    }

    /// The earliest deadline of its fields, in Unix milliseconds.
    pub fn earliest(self) -> Option<u64> {
        match self {
            HashView::Compact(_, Form::Pairs) => None,
            HashView::Compact(bytes, Form::Triples) => entries(bytes, Form::Triples).next()?.2,
            HashView::Large(fields) => fields.earliest(),
        }
    }

    /// A field, whether or not its deadline has passed.
    #[inline]
    pub fn find(self, name: &[u8]) -> Option<Held<'a>> {
        match self {
            HashView::Compact(bytes, form) => {
                let at = listpack::end(bytes, listpack::find(bytes, START, name, form.step())?);
                let deadline = match form {
                    Form::Pairs => None,
                    Form::Triples => deadline_of(listpack::get(bytes, listpack::end(bytes, at))),
                };
                Some(Held { value: FieldValue::Short(listpack::get(bytes, at)), deadline })
            }
            HashView::Large(fields) => {
                fields.get(name).map(|field| Held { value: value_of(field), deadline: field.deadline() })
            }
        }
    }

    /// The value of a field whose deadline has not passed.
    #[inline]
    pub fn get(self, name: &[u8], now_ms: u64) -> Option<FieldValue<'a>> {
        self.find(name).filter(|held| !is_past(held.deadline, now_ms)).map(|held| held.value)
    }

    /// Visits every field with its value and deadline, also those whose deadlines have passed.
    pub fn each(self, mut visit: impl FnMut(Element<'a>, FieldValue<'a>, Option<u64>)) {
        match self {
            HashView::Compact(bytes, form) => {
                entries(bytes, form)
                    .for_each(|(name, value, deadline)| visit(name, FieldValue::Short(value), deadline));
            }
            HashView::Large(fields) => {
                fields.each(|field| visit(Element::Text(field.name()), value_of(field), field.deadline()));
            }
        }
    }

    /// Visits every field whose deadline has not passed, with its value.
    pub fn each_live(self, now_ms: u64, mut visit: impl FnMut(Element<'a>, FieldValue<'a>)) {
        self.each(|name, value, deadline| {
            if !is_past(deadline, now_ms) {
                visit(name, value);
            }
        });
    }
}

/// A field's value.
pub fn value_of(field: FieldRef<'_>) -> FieldValue<'_> {
    match field.blob() {
        Some(blob) => FieldValue::Long(blob),
        None => FieldValue::Short(Element::Text(field.value())),
    }
}

/// The deadline that the third element of a triple says.
fn deadline_of(element: Element<'_>) -> Option<u64> {
    match element {
        Element::Integer(ms) if ms > 0 => Some(ms as u64),
        _ => None,
    }
}

/// The fields of a compact hash with their values and deadlines.
pub fn entries(bytes: &[u8], form: Form) -> impl Iterator<Item = (Element<'_>, Element<'_>, Option<u64>)> {
    let mut elements = listpack::iter(bytes).map(|(_, element)| element);
    std::iter::from_fn(move || {
        let (name, value) = (elements.next()?, elements.next()?);
        let deadline = match form {
            Form::Pairs => None,
            Form::Triples => deadline_of(elements.next()?),
        };
        Some((name, value, deadline))
    })
}

/// The names of the triples whose deadlines are before a time: they stand in front.
fn due_before(bytes: &[u8], ms: u64) -> impl Iterator<Item = Element<'_>> {
    entries(bytes, Form::Triples).take_while(move |(_, _, deadline)| is_past(*deadline, ms)).map(|(name, _, _)| name)
}

/// The form of a compact hash that is being changed.
fn form(hash: &Value<'_>) -> Form {
    Form::of(hash.encoding())
}

/// Gives fields their values, where a field may come more than once; deadlines stay if `expiry` says so, and go
/// otherwise. Pairs of which the [`Limits`] do not `allow` that they are compact make the hash large. Returns how many
/// fields are new.
pub fn set<'p>(
    hash: &mut Value<'_>,
    pairs: impl Iterator<Item = (&'p [u8], StringValue<'p>)>,
    expiry: Expiry,
    allowed: bool,
    limits: Limits,
    hasher: &KeyHasher,
) -> usize {
    if !allowed {
        enlarge(hash, hasher);
    }
    if let Some(fields) = fields_mut(hash) {
        return pairs.map(|(name, value)| fields.set_expiring(name, value, expiry) as usize).sum();
    }
    let form = form(hash);
    let created = match form {
        Form::Pairs if pairs.size_hint().1 == Some(1) => {
            pairs.map(|(name, value)| set_pair(hash, name, value.bytes()) as usize).sum()
        }
        Form::Pairs => set_pairs(hash, pairs),
        Form::Triples => pairs.map(|(name, value)| set_triple(hash, name, value.bytes(), expiry) as usize).sum(),
    };
    let bytes = hash.compact();
    if listpack::len(bytes) / form.step() > limits.entries || bytes.len() > COMPACT_BYTES_MAX {
        enlarge(hash, hasher);
    }
    created
}

/// Gives one field a value. Returns whether it is a new one.
fn set_pair(hash: &mut Value<'_>, name: &[u8], value: &[u8]) -> bool {
    let (bytes, value) = (hash.compact(), Element::of(value));
    match listpack::find(bytes, START, name, 2) {
        Some(at) => {
            let at = listpack::end(bytes, at);
            listpack::replace_element(hash, at, value);
            false
        }
        None => {
            let end = bytes.len();
            listpack::insert_pair(hash, end, (Element::of(name), value));
            true
        }
    }
}

fn set_pairs<'p>(hash: &mut Value<'_>, pairs: impl Iterator<Item = (&'p [u8], StringValue<'p>)>) -> usize {
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

/// Gives a field of a listpack of triples a value. Returns whether it is a new one.
fn set_triple(hash: &mut Value<'_>, name: &[u8], value: &[u8], expiry: Expiry) -> bool {
    let bytes = hash.compact();
    let found = listpack::find(bytes, START, name, 3);
    let held = found.and_then(|at| {
        let at = listpack::end(bytes, at);
        deadline_of(listpack::get(bytes, listpack::end(bytes, at)))
    });
    let deadline = match expiry {
        Expiry::Clear => None,
        Expiry::Keep => held,
        Expiry::At(deadline) => Some(deadline),
    };
    match found {
        Some(at) if deadline == held => {
            let at = listpack::end(bytes, at);
            let mut element = Vec::new();
            listpack::encode(value, &mut element);
            listpack::replace(hash, at, &element);
        }
        found => {
            if let Some(at) = found {
                remove_compact(hash, at);
            }
            let mut triple = Vec::new();
            listpack::encode(name, &mut triple);
            listpack::encode(value, &mut triple);
            insert_triple(hash, triple, deadline);
        }
    }
    found.is_none()
}

/// Puts a field and its value where their deadline belongs: before the first triple that is not due earlier.
fn insert_triple(hash: &mut Value<'_>, mut pair: Vec<u8>, deadline: Option<u64>) {
    let bytes = hash.compact();
    let mut at = bytes.len();
    if let Some(deadline) = deadline {
        at = START;
        while at < bytes.len() {
            let third = listpack::end(bytes, listpack::end(bytes, at));
            if deadline_of(listpack::get(bytes, third)).is_none_or(|other| other >= deadline) {
                break;
            }
            at = listpack::end(bytes, third);
        }
    }
    listpack::encode_integer(deadline.unwrap_or(0) as i64, &mut pair);
    listpack::insert(hash, at, &pair, 3);
}

/// Removes the field at an offset of a compact hash.
fn remove_compact(hash: &mut Value<'_>, at: usize) {
    let (bytes, form) = (hash.compact(), form(hash));
    let end = (0..form.step()).fold(at, |at, _| listpack::end(bytes, at));
    listpack::remove(hash, at..end, form.step());
}

/// Whether bytes of unknown origin are a compact hash: every field once, with a value, and in a listpack of triples with a
/// deadline, in their order. It never panics.
pub fn validate(bytes: &[u8], form: Form) -> bool {
    if !listpack::validate(bytes)
        || listpack::is_empty(bytes)
        || !listpack::iter(bytes).count().is_multiple_of(form.step())
    {
        return false;
    }
    let mut names = HashSet::new();
    let mut earliest = 1;
    listpack::iter(bytes).enumerate().all(|(n, (_, element))| match n % form.step() {
        0 => names.insert(element.to_vec()),
        1 => true,
        _ => match element {
            Element::Integer(0) => {
                earliest = u64::MAX;
                true
            }
            element => deadline_of(element).is_some_and(|deadline| {
                let in_order = (earliest..=LATEST_MS).contains(&deadline);
                earliest = deadline;
                in_order
            }),
        },
    })
}

/// The compact form of fields if the limits allow it, a listpack of triples if a field has a deadline: for those who
/// gather the fields of a hash first.
pub fn compacted(fields: &FieldTable, limits: Limits) -> Option<(Encoding, Vec<u8>)> {
    let mut all = Vec::with_capacity(fields.len().min(limits.entries));
    let mut texts = Vec::with_capacity(all.capacity() * 2);
    if fields.len() > limits.entries {
        return None;
    }
    fields.each(|field| {
        all.push(field);
        texts.extend([field.name().len(), field.value().len()]);
    });
    if !limits.allow(all.len(), texts.into_iter()) {
        return None;
    }
    all.sort_by_key(|field| field.deadline().unwrap_or(u64::MAX));
    let form = if fields.earliest().is_some() { Form::Triples } else { Form::Pairs };
    let mut bytes = listpack::EMPTY.to_vec();
    for field in all {
        listpack::push(&mut bytes, field.name());
        listpack::push(&mut bytes, field.value());
        if form == Form::Triples {
            let mut deadline = Vec::new();
            listpack::encode_integer(field.deadline().unwrap_or(0) as i64, &mut deadline);
            listpack::append(&mut bytes, &deadline, 1);
        }
    }
    Some((if form == Form::Triples { Encoding::ListpackEx } else { Encoding::Listpack }, bytes))
}

/// Removes a field. Returns whether it was there.
pub fn remove(hash: &mut Value<'_>, name: &[u8]) -> bool {
    if let Some(fields) = fields_mut(hash) {
        return fields.remove(name);
    }
    let Some(at) = listpack::find(hash.compact(), START, name, form(hash).step()) else { return false };
    remove_compact(hash, at);
    true
}

/// Removes up to `most` fields whose deadlines are before a time, earliest first, and lends their names. Returns how many
/// there were.
pub fn remove_due(hash: &mut Value<'_>, before_ms: u64, most: usize, lend: &mut dyn FnMut(&[u8])) -> usize {
    if let Some(fields) = fields_mut(hash) {
        return (0..most).take_while(|_| fields.remove_due(before_ms, &mut *lend)).count();
    }
    if form(hash) == Form::Pairs {
        return 0;
    }
    let due = due_before(hash.compact(), before_ms).take(most).map(|name| name.with_bytes(&mut *lend)).count();
    if due > 0 {
        let bytes = hash.compact();
        let end = (0..due * 3).fold(START, |at, _| listpack::end(bytes, at));
        listpack::remove(hash, START..end, due * 3);
    }
    due
}

/// Makes room for deadlines in a compact hash that has none yet.
pub fn allow_deadlines(hash: &mut Value<'_>) {
    if hash.encoding() != Encoding::Listpack {
        return;
    }
    let pairs = hash.compact();
    let mut triples = Vec::with_capacity(pairs.len() + listpack::len(pairs));
    triples.extend_from_slice(listpack::EMPTY);
    let mut at = START;
    let mut triple = Vec::new();
    while at < pairs.len() {
        let end = listpack::end(pairs, listpack::end(pairs, at));
        triple.clear();
        triple.extend_from_slice(&pairs[at..end]);
        listpack::encode_integer(0, &mut triple);
        listpack::append(&mut triples, &triple, 3);
        at = end;
    }
    hash.convert_to_compact(Encoding::ListpackEx, triples);
}

/// Lets a command decide about the deadline of a field, given the one it has, even if that has passed. Returns what it
/// decided, or `None` if there is no such field.
///
/// # Panics
/// If it decides on a deadline in a hash that has not been made to [`allow_deadlines`].
pub fn reschedule(hash: &mut Value<'_>, name: &[u8], decide: impl FnOnce(Option<u64>) -> Schedule) -> Option<Schedule> {
    let held = view(hash).find(name)?.deadline;
    let decision = decide(held);
    let deadline = match decision {
        Schedule::Leave => return Some(decision),
        Schedule::Past => {
            remove(hash, name);
            return Some(decision);
        }
        Schedule::At(deadline) => Some(deadline),
        Schedule::Never => None,
    };
    if let Some(fields) = fields_mut(hash) {
        fields.set_deadline(name, deadline);
    } else {
        assert_eq!(form(hash), Form::Triples, "a listpack of pairs has no room for deadlines");
        let bytes = hash.compact();
        if let Some(at) = listpack::find(bytes, START, name, 3) {
            let pair = bytes[at..listpack::end(bytes, listpack::end(bytes, at))].to_vec();
            remove_compact(hash, at);
            insert_triple(hash, pair, deadline);
        }
    }
    Some(decision)
}

/// The hash that is being changed, to be read.
pub fn view<'v>(hash: &'v Value<'_>) -> HashView<'v> {
    match hash.object() {
        Some(Object::Hash(fields)) => HashView::Large(fields),
        _ => HashView::Compact(hash.compact(), form(hash)),
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
    for (name, value, deadline) in entries(hash.compact(), form(hash)) {
        let expiry = deadline.map_or(Expiry::Clear, Expiry::At);
        name.with_bytes(|name| {
            value.with_bytes(|value| fields.set_expiring(name, StringValue::Borrowed(value), expiry));
        });
    }
    hash.convert(Encoding::Hashtable, NewValue::Boxed(Box::new(Object::Hash(fields))));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::effects::Event;
    use crate::keyspace::value::Changed;
    use crate::keyspace::{Key, Keyspace, Touch};

    const LIMITS: Limits = Limits { entries: 12, bytes: 20 };

    /// A text that is sometimes a number, and sometimes too long for a compact hash or to be inline.
    fn text(rng: &mut fastrand::Rng, longest: usize) -> Vec<u8> {
        match rng.u8(..20) {
            0..8 => rng.i64(-300..300).to_string().into_bytes(),
            8 => rng.i64(..).to_string().into_bytes(),
            _ => vec![rng.u8(b'a'..b'd'); rng.usize(..=longest)],
        }
    }

    /// Fields with their values and deadlines.
    type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

    fn set_some(keys: &mut Keyspace, model: &mut Model, rng: &mut fastrand::Rng, names: u32, longest: usize) -> bool {
        let fresh = (Type::Hash, Encoding::Listpack, listpack::EMPTY);
        let (key, hasher) = (keys.key(b"key"), keys.hasher().clone());
        let pairs: Vec<_> =
            (0..rng.usize(1..4)).map(|_| (rng.u32(..names).to_string().into_bytes(), text(rng, longest))).collect();
        let expiry = if rng.bool() { Expiry::Keep } else { Expiry::Clear };
        let allowed = LIMITS.allow(pairs.len(), pairs.iter().flat_map(|(name, value)| [name.len(), value.len()]));
        let created = keys
            .change_or_create(0, key, fresh, Event("hset"), |hash| {
                let pairs = pairs.iter().map(|(name, value)| (&**name, StringValue::Borrowed(value)));
                let result = set(hash, pairs, expiry, allowed, LIMITS, &hasher);
                Changed { result, changes: 1, empty: false }
            })
            .expect("a hash");
        let before = model.len();
        for (name, value) in pairs {
            let held = model.entry(name).or_default();
            *held = (value, held.1.filter(|_| expiry == Expiry::Keep));
        }
        assert_eq!(created, model.len() - before);
        !allowed || model.len() > LIMITS.entries
    }

    fn remove_one(keys: &mut Keyspace, model: &mut Model, name: &[u8]) {
        let key = keys.key(b"key");
        let removed = keys
            .change(0, key, Type::Hash, Event("hdel"), |hash| {
                let result = remove(hash, name);
                Changed { result, changes: result as u64, empty: view(hash).is_empty() }
            })
            .expect("a hash");
        assert_eq!(removed.unwrap_or(false), model.remove(name).is_some());
    }

    fn reschedule_some(keys: &mut Keyspace, model: &mut Model, rng: &mut fastrand::Rng, names: u32) {
        let key = keys.key(b"key");
        let named: Vec<_> = (0..rng.usize(1..4)).map(|_| rng.u32(..names).to_string().into_bytes()).collect();
        let at = keys.now_ms() + rng.u64(..30);
        let decision = [Schedule::At(at), Schedule::At(at), Schedule::Past, Schedule::Never][rng.usize(..4)];
        let (mut seen, mut told) = (Vec::new(), Vec::new());
        let decide = |deadline| {
            seen.push(deadline);
            decision
        };
        let tell = |what| told.push(what);
        if !keys.reschedule_fields(0, key, named.iter().map(|name| &**name), decide, tell).expect("a hash") {
            assert!(model.is_empty());
            return;
        }
        let (mut seen, mut told) = (seen.into_iter(), told.into_iter());
        for name in &named {
            let held = model.get_mut(name);
            assert_eq!(told.next(), Some(held.is_some().then_some(decision)));
            let Some(held) = held else { continue };
            assert_eq!(seen.next(), Some(held.1));
            match decision {
                Schedule::At(deadline) => held.1 = Some(deadline),
                Schedule::Past => drop(model.remove(name)),
                _ => held.1 = None,
            }
        }
    }

    fn expire_some(keys: &mut Keyspace, model: &mut Model, rng: &mut fastrand::Rng, names: u32) {
        let key = keys.key(b"key");
        keys.set_now(keys.now_ms() + rng.u64(..10));
        let now_ms = keys.now_ms();
        let (before, expired) = (model.len(), keys.stats.expired_fields);
        match rng.u8(..3) {
            0 => {
                let name = rng.u32(..names).to_string().into_bytes();
                keys.expire_named_fields(0, key, std::iter::once(&*name));
                if model.get(&name).is_some_and(|held| is_past(held.1, now_ms)) {
                    model.remove(&name);
                }
            }
            1 => {
                keys.expire_all_fields(0, key);
                model.retain(|_, held| !is_past(held.1, now_ms));
            }
            _ => {
                while keys.expire_slice(2) {}
                model.retain(|_, held| !is_past(held.1, now_ms));
            }
        }
        assert_eq!(keys.stats.expired_fields - expired, (before - model.len()) as u64);
    }

    #[test]
    fn random_changes_against_a_map() {
        for seed in 0..80 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut keys = Keyspace::new(1, seed, 1);
            let key = Key { bytes: b"key", hash: keys.hash(b"key") };
            let mut model = Model::new();
            let (mut large, mut triples) = (false, false);
            // Most stay compact, some grow beyond what is inline, and every other never has a deadline.
            let (names, longest) = [(10, 20), (10, 20), (400, 20), (10, 20_000)][seed as usize % 4];
            let timed = seed % 8 < 4;
            for _ in 0..300 {
                match rng.u8(..20) {
                    0..10 => large |= set_some(&mut keys, &mut model, &mut rng, names, longest),
                    10..14 if timed => {
                        triples |= !model.is_empty();
                        reschedule_some(&mut keys, &mut model, &mut rng, names);
                    }
                    14..17 if timed => expire_some(&mut keys, &mut model, &mut rng, names),
                    _ => remove_one(&mut keys, &mut model, rng.u32(..names).to_string().as_bytes()),
                }
                let now_ms = keys.now_ms();
                let earliest = model.values().filter_map(|held| held.1).min();
                if timed {
                    assert_eq!(keys.database(0).and_then(|database| database.next_deadline()), earliest);
                    assert!(earliest.is_none_or(|earliest| keys.next_deadline().is_some_and(|at| at <= earliest + 1)));
                }
                let Some(entry) = keys.read(0, key, Touch::No) else {
                    assert!(model.is_empty());
                    (large, triples) = (false, false);
                    continue;
                };
                let hash = HashView::of(entry).expect("a hash");
                match hash {
                    HashView::Large(_) => assert!(large),
                    HashView::Compact(_, form) => assert_eq!((large, form == Form::Triples), (false, triples)),
                }
                assert_eq!((hash.len(), hash.earliest()), (model.len(), earliest));
                let live = model.values().filter(|held| !is_past(held.1, now_ms)).count();
                assert_eq!(hash.live_len(now_ms), live);
                let mut all = Model::new();
                let mut order = Vec::new();
                hash.each(|name, value, deadline| {
                    order.push(deadline.unwrap_or(u64::MAX));
                    all.insert(name.to_vec(), (value.with_bytes(<[u8]>::to_vec), deadline));
                });
                assert_eq!(all, model);
                assert!(large || order.is_sorted());
                let name = rng.u32(..names).to_string().into_bytes();
                let found = hash.get(&name, now_ms).map(|value| value.with_bytes(<[u8]>::to_vec));
                let expected = model.get(&name).filter(|held| !is_past(held.1, now_ms)).map(|held| held.0.clone());
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn only_what_is_a_hash_passes_for_one() {
        let listpack = |texts: &[&str]| {
            let mut bytes = listpack::EMPTY.to_vec();
            texts.iter().for_each(|text| listpack::push(&mut bytes, text.as_bytes()));
            bytes
        };
        let cases: &[(&[&str], bool, bool)] = &[
            (&[], false, false),
            (&["a", "1"], true, false),
            (&["a", "1", "5"], false, true),
            (&["a", "1", "0"], false, true),
            (&["a", "1", "b", "2", "c", "3"], true, false),
            (&["a", "1", "5", "b", "2", "5"], true, true),
            (&["a", "1", "5", "b", "2", "4"], true, false),
            (&["a", "1", "5", "b", "2", "0"], true, true),
            (&["a", "1", "0", "b", "2", "5"], true, false),
            (&["a", "1", "0", "b", "2", "0"], true, true),
            (&["a", "1", "5", "a", "2", "6"], true, false),
            (&["a", "1", "a", "2"], false, false),
            (&["a", "1", "-5"], false, false),
            (&["a", "1", "281474976710655"], false, true),
            (&["a", "1", "281474976710656"], false, false),
        ];
        for &(texts, pairs, triples) in cases {
            let bytes = listpack(texts);
            assert_eq!((validate(&bytes, Form::Pairs), validate(&bytes, Form::Triples)), (pairs, triples), "{texts:?}");
        }
        assert!(!validate(&[], Form::Pairs) && !validate(&[1], Form::Triples));
    }

    #[test]
    fn gathered_fields_become_compact_if_they_may() {
        let mut fields = FieldTable::new(KeyHasher::new(5));
        let compact = |fields: &FieldTable| compacted(fields, LIMITS).expect("few and short");
        fields.set(b"a", StringValue::Borrowed(b"1"));
        assert_eq!(compact(&fields).0, Encoding::Listpack);
        fields.set_expiring(b"b", StringValue::Borrowed(b"x"), Expiry::At(20));
        fields.set_expiring(b"c", StringValue::Borrowed(b"y"), Expiry::At(10));
        let (encoding, bytes) = compact(&fields);
        assert!(encoding == Encoding::ListpackEx && validate(&bytes, Form::Triples));
        let all: Vec<_> = entries(&bytes, Form::Triples).map(|(name, _, deadline)| (name.to_vec(), deadline)).collect();
        assert_eq!(all, [(b"c".to_vec(), Some(10)), (b"b".to_vec(), Some(20)), (b"a".to_vec(), None)]);
        fields.set(b"long", StringValue::Borrowed(&[b'x'; 21]));
        assert!(compacted(&fields, LIMITS).is_none());
        fields.remove(b"long");
        for n in 0..10 {
            fields.set(&[n], StringValue::Borrowed(b""));
        }
        assert!(compacted(&fields, LIMITS).is_none());
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
