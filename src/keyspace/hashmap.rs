//! A hash: fields with their values.
//!
//! While there are few fields and all of them are short, field and value stand in turn in a listpack. How few and how short
//! is set by [`Limits`]. A hash that has outgrown them has another encoding for good, but it stays a listpack as long as it
//! has not more than eight fields in 4 KB, because a table would take much more memory; then it is a [`FieldTable`], and
//! stays one.
//!
//! Fields can have deadlines. The first one that gets a deadline turns a compact hash into a listpack of triples, the
//! third element of which is the deadline in Unix milliseconds, or 0 for none. Triples stand in the order of their
//! deadlines, those without one last, so that what is due is always in front. It stays a listpack of triples when no
//! field has a deadline any more. This is the form that Redis 7.4 keeps and saves.
//!
//! A field whose deadline has passed may still be there. Readers say what time it is and do not see it.

use std::rc::Rc;

use super::entry::{Encoding, EntryRef, NewValue, Object, Type};
use super::value::Value;
use super::{Expiry, Schedule, StringValue};
use crate::types::field::{FieldRef, FieldTable};
use crate::types::hash::KeyHasher;
use crate::types::listpack::{self, Element, FEW_BYTES, START};

/// A listpack gets no longer than this, whatever the settings allow.
const COMPACT_BYTES_MAX: usize = 1 << 30;

/// The latest deadline of a field, in Unix milliseconds: it has 48 bits in Redis' snapshots.
pub const LATEST_MS: u64 = (1 << 48) - 1;

/// A hash that has outgrown its limits becomes a table when it gets more fields than this, or [`FEW_BYTES`].
const FEW_FIELDS: usize = 8;

/// What a compact hash may hold before its encoding tells that it has outgrown that.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Fields.
    pub entries: usize,
    /// Bytes of a field and of a value.
    pub bytes: usize,
}

/// How pairs can be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// In a compact hash, as the limits allow.
    Compact,
    /// In a listpack, because they are few.
    Few,
    /// Only in a table.
    Table,
}

impl Limits {
    /// How pairs can be kept, given how many there are and the lengths of all their texts.
    pub fn room(self, pairs: usize, texts: impl Iterator<Item = usize>) -> Room {
        let (sum, longest) = texts.fold((0, 0), |(sum, longest), len| (sum + len, len.max(longest)));
        if pairs <= self.entries && longest <= self.bytes && sum <= COMPACT_BYTES_MAX {
            Room::Compact
        } else if are_few(pairs, sum) {
            Room::Few
        } else {
            Room::Table
        }
    }
}

/// Whether so many fields, in a listpack of so many bytes, stay in it although they have outgrown the limits.
pub fn are_few(fields: usize, bytes: usize) -> bool {
    fields <= FEW_FIELDS && bytes <= FEW_BYTES
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
        if matches!(encoding, Encoding::ListpackEx | Encoding::HashtableEx) { Form::Triples } else { Form::Pairs }
    }

    /// So many elements belong to a field.
    pub fn step(self) -> usize {
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
/// otherwise. `room` is what the [`Limits`] say of the pairs. Returns how many fields are new.
pub fn set<'p>(
    hash: &mut Value<'_>,
    pairs: impl Iterator<Item = (&'p [u8], StringValue<'p>)>,
    expiry: Expiry,
    room: Room,
    limits: Limits,
    hasher: &KeyHasher,
) -> usize {
    match room {
        Room::Compact => {}
        Room::Few => outgrow(hash),
        Room::Table => enlarge(hash, hasher),
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
    let (fields, bytes) = (listpack::len(bytes) / form.step(), bytes.len());
    if fields > limits.entries || bytes > COMPACT_BYTES_MAX || hash.encoding().is_outgrown() {
        if are_few(fields, bytes) {
            outgrow(hash);
        } else {
            enlarge(hash, hasher);
        }
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

/// Whether a listpack of unknown origin is a hash of triples: fields with a value and a deadline, in the order of these. Whether
/// a field is there twice is not looked at.
pub fn are_triples(bytes: &[u8]) -> bool {
    let step = Form::Triples.step();
    if listpack::is_empty(bytes) || !listpack::len(bytes).is_multiple_of(step) {
        return false;
    }
    let mut earliest = 1;
    listpack::iter(bytes).skip(2).step_by(step).all(|(_, element)| match element {
        Element::Integer(0) => {
            earliest = u64::MAX;
            true
        }
        element => deadline_of(element).is_some_and(|deadline| {
            let in_order = (earliest..=LATEST_MS).contains(&deadline);
            earliest = deadline;
            in_order
        }),
    })
}

/// Fields in a listpack, if there is room for them in one, a listpack of triples if a field has a deadline: for those who
/// gather the fields of a hash first.
pub fn compacted(fields: &FieldTable, limits: Limits) -> Option<(Encoding, Vec<u8>)> {
    if fields.len() > limits.entries.max(FEW_FIELDS) {
        return None;
    }
    let mut all = Vec::with_capacity(fields.len());
    let mut texts = Vec::with_capacity(all.capacity() * 2);
    fields.each(|field| {
        all.push(field);
        texts.extend([field.name().len(), field.value().len()]);
    });
    let encoding = match (limits.room(all.len(), texts.into_iter()), fields.earliest()) {
        (Room::Compact, None) => Encoding::Listpack,
        (Room::Compact, Some(_)) => Encoding::ListpackEx,
        (Room::Few, None) => Encoding::Hashtable,
        (Room::Few, Some(_)) => Encoding::HashtableEx,
        (Room::Table, _) => return None,
    };
    let form = Form::of(encoding);
    all.sort_by_key(|field| field.deadline().unwrap_or(u64::MAX));
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
    Some((encoding, bytes))
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
    let encoding = match (hash.encoding(), hash.object()) {
        (_, Some(Object::Hash(_))) => return,
        (Encoding::Listpack, _) => Encoding::ListpackEx,
        (Encoding::Hashtable, _) => Encoding::HashtableEx,
        _ => return,
    };
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
    hash.convert_to_compact(encoding, triples);
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

/// Gives a compact hash the encoding of one that has outgrown its limits, and keeps its bytes.
fn outgrow(hash: &mut Value<'_>) {
    match hash.encoding() {
        Encoding::Listpack => hash.set_encoding(Encoding::Hashtable),
        Encoding::ListpackEx => hash.set_encoding(Encoding::HashtableEx),
        _ => {}
    }
}

/// Moves a compact hash to a table.
fn enlarge(hash: &mut Value<'_>, hasher: &KeyHasher) {
    if fields_mut(hash).is_some() {
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
    use std::collections::{BTreeMap, HashSet};

    use super::*;
    use crate::effects::Event;
    use crate::keyspace::value::Changed;
    use crate::keyspace::{Key, Keyspace, Touch};
    use crate::memory::size_class;

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
        let room = LIMITS.room(pairs.len(), pairs.iter().flat_map(|(name, value)| [name.len(), value.len()]));
        let created = keys
            .change_or_create(0, key, fresh, Event("hset"), |hash| {
                let pairs = pairs.iter().map(|(name, value)| (&**name, StringValue::Borrowed(value)));
                let result = set(hash, pairs, expiry, room, LIMITS, &hasher);
                Changed { result, changes: 1, empty: false }
            })
            .expect("a hash");
        let before = model.len();
        for (name, value) in pairs {
            let held = model.entry(name).or_default();
            *held = (value, held.1.filter(|_| expiry == Expiry::Keep));
        }
        assert_eq!(created, model.len() - before);
        room != Room::Compact || model.len() > LIMITS.entries
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
        let mut forms = HashSet::new();
        for seed in 0..80 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut keys = Keyspace::new(1, seed, 1);
            let key = Key { bytes: b"key", hash: keys.hash(b"key") };
            let mut model = Model::new();
            let (mut large, mut outgrown, mut triples) = (false, false, false);
            // Some stay as compact as they were, some are few all the time, some grow beyond what is inline, and every other
            // never has a deadline.
            let (names, longest) = [(10, 20), (5, 700), (400, 20), (10, 20_000), (12, 700)][seed as usize % 5];
            let timed = seed % 8 < 4;
            for _ in 0..300 {
                match rng.u8(..20) {
                    0..10 => outgrown |= set_some(&mut keys, &mut model, &mut rng, names, longest),
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
                    (large, outgrown, triples) = (false, false, false);
                    continue;
                };
                let hash = HashView::of(entry).expect("a hash");
                assert_eq!(entry.encoding().is_outgrown(), outgrown);
                match hash {
                    HashView::Large(_) => {
                        assert!(outgrown);
                        large = true;
                    }
                    HashView::Compact(bytes, form) => {
                        assert_eq!((large, form == Form::Triples), (false, triples));
                        // Deadlines, which take ten bytes each at most, do not make it a table by themselves.
                        assert!(!outgrown || are_few(hash.len(), bytes.len().saturating_sub(10 * hash.len())));
                    }
                }
                forms.insert((large, outgrown, triples));
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
        assert_eq!(forms.len(), 6, "pairs and triples, in a compact hash, among few fields, and in a table");
    }

    #[test]
    fn a_large_listpack_has_the_memory_that_it_needs() {
        let limits = Limits { entries: 600, bytes: 64 };
        let mut keys = Keyspace::new(1, 1, 1);
        let hasher = keys.hasher().clone();
        let check = |keys: &mut Keyspace| {
            let key = keys.key(b"key");
            match keys.read(0, key, Touch::No).expect("the key").object() {
                Some(Object::Compact(bytes)) => assert!(bytes.capacity() <= size_class(bytes.len())),
                _ => panic!("a large listpack"),
            }
        };
        for n in 0..600 {
            let key = keys.key(b"key");
            let fresh = (Type::Hash, Encoding::Listpack, listpack::EMPTY);
            let name = format!("field:{n}");
            keys.change_or_create(0, key, fresh, Event("hset"), |hash| {
                let pairs = [(name.as_bytes(), StringValue::Borrowed(&[b'x'; 50]))].into_iter();
                set(hash, pairs, Expiry::Clear, Room::Compact, limits, &hasher);
                Changed { result: (), changes: 1, empty: false }
            })
            .expect("a hash");
            if n > 300 {
                check(&mut keys);
            }
        }
        let key = keys.key(b"key");
        keys.change(0, key, Type::Hash, Event("hpexpire"), |hash| {
            allow_deadlines(hash);
            Changed { result: (), changes: 1, empty: false }
        })
        .expect("a hash");
        check(&mut keys);
    }

    #[test]
    fn only_triples_pass_for_such() {
        let listpack = |texts: &[&str]| {
            let mut bytes = listpack::EMPTY.to_vec();
            texts.iter().for_each(|text| listpack::push(&mut bytes, text.as_bytes()));
            bytes
        };
        let cases: &[(&[&str], bool)] = &[
            (&[], false),
            (&["a", "1"], false),
            (&["a", "1", "5"], true),
            (&["a", "1", "0"], true),
            (&["a", "1", "b", "2", "c", "3"], false),
            (&["a", "1", "5", "b", "2", "5"], true),
            (&["a", "1", "5", "b", "2", "4"], false),
            (&["a", "1", "5", "b", "2", "0"], true),
            (&["a", "1", "0", "b", "2", "5"], false),
            (&["a", "1", "0", "b", "2", "0"], true),
            (&["a", "1", "5", "a", "2", "6"], true),
            (&["a", "1", "a", "2"], false),
            (&["a", "1", "-5"], false),
            (&["a", "1", "281474976710655"], true),
            (&["a", "1", "281474976710656"], false),
        ];
        for &(texts, expected) in cases {
            let bytes = listpack(texts);
            assert_eq!(are_triples(&bytes), expected, "{texts:?}");
        }
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
        assert!(encoding == Encoding::ListpackEx && are_triples(&bytes));
        let all: Vec<_> = entries(&bytes, Form::Triples).map(|(name, _, deadline)| (name.to_vec(), deadline)).collect();
        assert_eq!(all, [(b"c".to_vec(), Some(10)), (b"b".to_vec(), Some(20)), (b"a".to_vec(), None)]);
        fields.set(b"long", StringValue::Borrowed(&[b'x'; 21]));
        let (encoding, bytes) = compact(&fields);
        assert!(encoding == Encoding::HashtableEx && are_triples(&bytes));
        for n in 0..4 {
            fields.set(&[n], StringValue::Borrowed(b""));
        }
        assert_eq!((fields.len(), compact(&fields).0), (8, Encoding::HashtableEx));
        for name in [b"b", b"c"] {
            fields.set(name, StringValue::Borrowed(b""));
        }
        assert_eq!(compact(&fields).0, Encoding::Hashtable);
        fields.set(b"ninth", StringValue::Borrowed(b""));
        assert!(compacted(&fields, LIMITS).is_none());
        fields.remove(b"long");
        for n in 4..8 {
            fields.set(&[n], StringValue::Borrowed(b""));
        }
        assert_eq!((fields.len(), compact(&fields).0), (12, Encoding::Listpack));
        fields.set(b"long", StringValue::Borrowed(b""));
        assert!(compacted(&fields, LIMITS).is_none());
    }

    #[test]
    fn limits_are_what_is_allowed_still() {
        let wide = Limits { entries: usize::MAX, bytes: usize::MAX };
        let narrow = Limits { entries: 0, bytes: 0 };
        let cases: &[(Limits, usize, &[usize], Room)] = &[
            (LIMITS, 12, &[20, 20], Room::Compact),
            (LIMITS, 13, &[1], Room::Table),
            (LIMITS, 1, &[1, 21], Room::Few),
            (LIMITS, FEW_FIELDS, &[1, FEW_BYTES - 1], Room::Few),
            (LIMITS, FEW_FIELDS, &[1, FEW_BYTES], Room::Table),
            (LIMITS, FEW_FIELDS + 1, &[1, 21], Room::Table),
            (narrow, 1, &[1, 1], Room::Few),
            (wide, 2, &[COMPACT_BYTES_MAX], Room::Compact),
            (wide, 2, &[COMPACT_BYTES_MAX, 1], Room::Table),
        ];
        for &(limits, pairs, texts, room) in cases {
            assert_eq!(limits.room(pairs, texts.iter().copied()), room, "{limits:?}, {pairs} pairs of {texts:?}");
        }
    }
}
