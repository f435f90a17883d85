//! The fields of a large hash.
//!
//! A field and its value share one heap block, so that a small pair costs one allocation and a lookup touches one block:
//!
//! ```text
//!   byte 0        flags: LONG_FIELD, SHARED, EXPIRES
//!   byte 1        length of the field, unless LONG_FIELD
//!   bytes 2..4    length of the value, unless SHARED
//!   4 bytes       LONG_FIELD  length of the field, 255 and more
//!   8 bytes       EXPIRES     deadline in Unix milliseconds (not aligned)
//!   field bytes
//!   value bytes, or
//!   8 bytes       SHARED      pointer to a long value, which replies may share (not aligned)
//! ```
//!
//! The block's size is a size class of the allocator, computed from these; a value that keeps the class is changed in
//! place.
//!
//! Fields with deadlines are also in an ordered set of deadlines and blocks, which exists only while there is one: the
//! earliest is always at hand, and a deadline that is moved leaves nothing behind.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::rc::Rc;

use super::hash::KeyHasher;
use super::table::{Item, Position, Step, Table, prefetch};
use super::telling::{ByHash, Met, Piece, Slot, Told};
use super::value::{Expiry, INLINE_MAX, StringValue};
use crate::memory::size_class;

const LONG_FIELD: u8 = 1;
const SHARED: u8 = 2;
const EXPIRES: u8 = 4;

const HEADER: usize = 4;
const POINTER: usize = size_of::<*const Vec<u8>>();
const DEADLINE: usize = size_of::<u64>();

/// What a field's place in the set of deadlines takes, in bytes: 16, in nodes that are about half full.
const DEADLINE_CELL: usize = 32;
/// How many places in the set of deadlines are freed in one slice.
const DEADLINES_SLICE: usize = 512;

/// The sizes that decide a block's layout.
#[derive(Clone, Copy)]
struct Shape {
    flags: u8,
    field_len: usize,
    /// Of an inline value.
    value_len: usize,
}

impl Shape {
    fn new(field: &[u8], value: &Stored<'_>, expires: bool) -> Shape {
        assert!(field.len() <= u32::MAX as usize, "a field is shorter than 4 GiB");
        let flags = if field.len() < 255 { 0 } else { LONG_FIELD } | if expires { EXPIRES } else { 0 };
        match value {
            Stored::Inline(bytes) => Shape { flags, field_len: field.len(), value_len: bytes.len() },
            Stored::Shared(_) => Shape { flags: flags | SHARED, field_len: field.len(), value_len: 0 },
        }
    }

    #[inline]
    fn deadline_at(self) -> usize {
        HEADER + if self.flags & LONG_FIELD != 0 { 4 } else { 0 }
    }

    #[inline]
    fn field_at(self) -> usize {
        self.deadline_at() + if self.flags & EXPIRES != 0 { DEADLINE } else { 0 }
    }

    #[inline]
    fn value_at(self) -> usize {
        self.field_at() + self.field_len
    }

    fn class(self) -> usize {
        size_class(self.value_at() + if self.flags & SHARED != 0 { POINTER } else { self.value_len })
    }

    fn layout(self) -> Layout {
        Layout::from_size_align(self.class(), 8).expect("a field's block is far below isize::MAX")
    }
}

/// A value as a block takes it.
enum Stored<'a> {
    Inline(&'a [u8]),
    Shared(Rc<Vec<u8>>),
}

impl<'a> Stored<'a> {
    fn of(value: &'a mut StringValue<'_>) -> Stored<'a> {
        match value {
            StringValue::Borrowed(bytes) if bytes.len() <= INLINE_MAX => Stored::Inline(bytes),
            StringValue::Borrowed(bytes) => Stored::Shared(Rc::new(bytes.to_vec())),
            StringValue::Owned(bytes) => {
                if bytes.len() <= INLINE_MAX {
                    return Stored::Inline(bytes);
                }
                bytes.shrink_to_fit();
                Stored::Shared(Rc::new(std::mem::take(bytes)))
            }
            StringValue::Shared(blob) => Stored::Shared(Rc::clone(blob)),
        }
    }
}

/// An owned field with its value. Dropping it frees both.
pub struct Field(NonNull<u8>);

/// A field of a [`FieldTable`], to be read. Two are equal if they are the same one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FieldRef<'a>(NonNull<u8>, PhantomData<&'a Field>);

impl Field {
    fn new(field: &[u8], value: Stored<'_>, deadline: Option<u64>) -> Field {
        let shape = Shape::new(field, &value, deadline.is_some());
        // SAFETY: the layout is not empty; header, lengths, deadline, field and value lie within `shape.class()` bytes
        // and are written before anyone reads them.
        unsafe {
            let Some(block) = NonNull::new(alloc(shape.layout())) else { handle_alloc_error(shape.layout()) };
            let field_len = if shape.flags & LONG_FIELD != 0 { 255 } else { shape.field_len as u8 };
            let [low, high] = (shape.value_len as u16).to_ne_bytes();
            block.cast::<[u8; HEADER]>().write([shape.flags, field_len, low, high]);
            if shape.flags & LONG_FIELD != 0 {
                block.add(HEADER).cast::<u32>().write(shape.field_len as u32);
            }
            if let Some(deadline) = deadline {
                block.add(shape.deadline_at()).cast::<u64>().write_unaligned(deadline);
            }
            block.add(shape.field_at()).copy_from_nonoverlapping(NonNull::from(field).cast(), field.len());
            let at = block.add(shape.value_at());
            match value {
                Stored::Inline(bytes) => at.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()),
                Stored::Shared(blob) => at.cast::<*const Vec<u8>>().write_unaligned(Rc::into_raw(blob)),
            }
            Field(block)
        }
    }

    fn as_ref(&self) -> FieldRef<'_> {
        FieldRef(self.0, PhantomData)
    }

    /// The same field with another value and another deadline, in the same block if its class allows it.
    fn with_value(self, value: Stored<'_>, deadline: Option<u64>) -> Field {
        let old = self.as_ref().shape();
        let new = Shape::new(self.as_ref().name(), &value, deadline.is_some());
        match value {
            Stored::Inline(bytes) if old.flags == new.flags && old.class() == new.class() => {
                // SAFETY: the block is owned here and of the class that the new value needs, and it is laid out alike;
                // `bytes` are not in it.
                unsafe {
                    self.0.add(2).cast::<u16>().write(bytes.len() as u16);
                    self.0.add(old.value_at()).copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
                }
                self.with_deadline(deadline)
            }
            value => Field::new(self.as_ref().name(), value, deadline),
        }
    }

    /// The same field with another deadline, in the same block if it had one before.
    fn with_deadline(self, deadline: Option<u64>) -> Field {
        let shape = self.as_ref().shape();
        match deadline {
            Some(deadline) if shape.flags & EXPIRES != 0 => {
                // SAFETY: the flag says that the deadline is there; the block is owned here.
                unsafe { self.0.add(shape.deadline_at()).cast::<u64>().write_unaligned(deadline) }
                self
            }
            None if shape.flags & EXPIRES == 0 => self,
            deadline => {
                let view = self.as_ref();
                let value = view.blob().map_or_else(|| Stored::Inline(view.value()), Stored::Shared);
                Field::new(view.name(), value, deadline)
            }
        }
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        let view = self.as_ref();
        // SAFETY: the block was allocated with this layout; its pointer came from `Rc::into_raw` and is used up here.
        unsafe {
            if let Some(blob) = view.shared_ptr() {
                drop(Rc::from_raw(blob));
            }
            dealloc(self.0.as_ptr(), view.shape().layout());
        }
    }
}

// SAFETY: the pointer comes from the allocator (48 significant bits on the supported targets) and is unique to the field;
// the name lives and stays unchanged as long as the field, whatever becomes of the value.
unsafe impl Item for Field {
    fn into_ptr(self) -> NonNull<u8> {
        let block = self.0;
        std::mem::forget(self);
        block
    }

    unsafe fn from_ptr(block: NonNull<u8>) -> Field {
        Field(block)
    }

    #[inline]
    unsafe fn key<'a>(block: NonNull<u8>) -> &'a [u8] {
        FieldRef::<'a>(block, PhantomData).name()
    }
}

impl<'a> FieldRef<'a> {
    #[inline]
    fn shape(self) -> Shape {
        // SAFETY: the header is 4 bytes, and the flag says whether the long length follows.
        unsafe {
            let [flags, field_len, low, high] = self.0.cast::<[u8; HEADER]>().read();
            let field_len = match flags & LONG_FIELD {
                0 => field_len as usize,
                _ => self.0.add(HEADER).cast::<u32>().read() as usize,
            };
            Shape { flags, field_len, value_len: u16::from_ne_bytes([low, high]) as usize }
        }
    }

    fn shared_ptr(self) -> Option<*const Vec<u8>> {
        let shape = self.shape();
        // SAFETY: the flag says that the pointer is there.
        (shape.flags & SHARED != 0)
            .then(|| unsafe { self.0.add(shape.value_at()).cast::<*const Vec<u8>>().read_unaligned() })
    }

    /// The field.
    #[inline]
    pub fn name(self) -> &'a [u8] {
        let shape = self.shape();
        // SAFETY: the name lies at this offset within the block, which lives for 'a.
        unsafe { NonNull::slice_from_raw_parts(self.0.add(shape.field_at()), shape.field_len).as_ref() }
    }

    /// Its value.
    #[inline]
    pub fn value(self) -> &'a [u8] {
        let shape = self.shape();
        match self.shared_ptr() {
            // SAFETY: the block holds a reference to the shared value and lives for 'a.
            Some(blob) => unsafe { (*blob).as_slice() },
            // SAFETY: the inline value lies at this offset within the block, which lives for 'a.
            None => unsafe { NonNull::slice_from_raw_parts(self.0.add(shape.value_at()), shape.value_len).as_ref() },
        }
    }

    /// A long value, to be shared.
    pub fn blob(self) -> Option<Rc<Vec<u8>>> {
        self.shared_ptr().map(|blob| {
            // SAFETY: the pointer came from `Rc::into_raw` and the block's own reference stays.
            unsafe {
                Rc::increment_strong_count(blob);
                Rc::from_raw(blob)
            }
        })
    }

    /// The field by itself. A long value is shared.
    fn duplicate(self) -> Field {
        let value = self.blob().map_or_else(|| Stored::Inline(self.value()), Stored::Shared);
        Field::new(self.name(), value, self.deadline())
    }

    /// The field as a part of its hash.
    pub fn piece(self) -> Piece<'a> {
        Piece::Field { name: self.name(), value: self.value(), deadline: self.deadline() }
    }

    /// When it expires, in Unix milliseconds.
    #[inline]
    pub fn deadline(self) -> Option<u64> {
        let shape = self.shape();
        // SAFETY: the flag says that the deadline is there.
        (shape.flags & EXPIRES != 0).then(|| unsafe { self.0.add(shape.deadline_at()).cast::<u64>().read_unaligned() })
    }

    fn memory_bytes(self) -> usize {
        let shape = self.shape();
        let shared = self
            .blob()
            .map_or(0, |blob| size_class(2 * size_of::<usize>() + size_of::<Vec<u8>>()) + size_class(blob.capacity()));
        shape.class() + shared + if shape.flags & EXPIRES != 0 { DEADLINE_CELL } else { 0 }
    }
}

/// Fields that expire, by deadline and block.
type Deadlines = BTreeSet<(u64, NonNull<u8>)>;

/// The fields of a large hash, found by name.
pub struct FieldTable {
    table: Table<Field>,
    hasher: KeyHasher,
    /// What the fields take, the table itself not counted.
    bytes: usize,
    /// Hashes without such fields pay a pointer.
    deadlines: Option<Box<Deadlines>>,
    telling: Slot<ByHash<Field>>,
}

impl Told for FieldTable {
    type Telling = ByHash<Field>;

    fn new_telling(&self) -> ByHash<Field> {
        ByHash::default()
    }

    fn slot(&self) -> &Slot<ByHash<Field>> {
        &self.telling
    }

    fn slot_mut(&mut self) -> &mut Slot<ByHash<Field>> {
        &mut self.telling
    }
}

impl FieldTable {
    /// One without fields.
    pub fn new(hasher: KeyHasher) -> FieldTable {
        FieldTable { table: Table::new(hasher.clone()), hasher, bytes: 0, deadlines: None, telling: Slot::default() }
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Slots of the table, used or not.
    pub fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// Bytes of memory taken by the table and the fields.
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.bytes
    }

    /// See [`Table::prefetch`].
    #[inline]
    pub fn prefetch(&self, step: Step, hash: u64) {
        self.table.prefetch(step, hash);
    }

    /// The field with a name.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<FieldRef<'_>> {
        let position = self.table.find(self.table.hash(name), name)?;
        Some(FieldRef(self.table.get(position), PhantomData))
    }

    /// Gives a field a value; a deadline that it had goes. Returns whether it is a new one.
    pub fn set(&mut self, name: &[u8], value: StringValue<'_>) -> bool {
        self.set_expiring(name, value, Expiry::Clear)
    }

    /// Gives a field a value, and decides on its deadline. Returns whether it is a new one.
    pub fn set_expiring(&mut self, name: &[u8], mut value: StringValue<'_>, expiry: Expiry) -> bool {
        let hash = self.table.hash(name);
        let value = Stored::of(&mut value);
        let Some(position) = self.table.find(hash, name) else {
            let deadline = match expiry {
                Expiry::At(deadline) => Some(deadline),
                Expiry::Clear | Expiry::Keep => None,
            };
            if let Some(telling) = self.telling.get_mut() {
                telling.note(hash, name, || None);
            }
            let position = self.table.insert(hash, Field::new(name, value, deadline));
            self.joined(position);
            return true;
        };
        self.note(hash, position);
        if !matches!(expiry, Expiry::At(_)) && self.overwrite(position, &value) {
            return false;
        }
        self.change(position, |field| {
            let deadline = match expiry {
                Expiry::Clear => None,
                Expiry::Keep => field.as_ref().deadline(),
                Expiry::At(deadline) => Some(deadline),
            };
            field.with_value(value, deadline)
        });
        false
    }

    /// Writes a value over one of the same class, in the block of a field without a deadline. Returns whether that could be
    /// done. Nothing that is counted changes.
    #[inline]
    fn overwrite(&mut self, position: Position, value: &Stored<'_>) -> bool {
        let field = self.at(position);
        let (old, Stored::Inline(bytes)) = (field.shape(), value) else { return false };
        let new = Shape { value_len: bytes.len(), ..old };
        if old.flags & (SHARED | EXPIRES) != 0 || new.class() != old.class() {
            return false;
        }
        // SAFETY: the table owns the field and is borrowed exclusively; its block is of the class that the new value needs,
        // and `bytes` are not in it.
        unsafe {
            field.0.add(2).cast::<u16>().write(bytes.len() as u16);
            field.0.add(old.value_at()).copy_from_nonoverlapping(NonNull::from(*bytes).cast(), bytes.len());
        }
        true
    }

    /// Gives a field a deadline in Unix milliseconds, or takes it away. Returns whether the field is there.
    pub fn set_deadline(&mut self, name: &[u8], deadline: Option<u64>) -> bool {
        let hash = self.table.hash(name);
        let Some(position) = self.table.find(hash, name) else { return false };
        self.note(hash, position);
        self.change(position, |field| field.with_deadline(deadline));
        true
    }

    /// A field is about to change or go: notes it as it is, if that is wanted.
    #[inline]
    fn note(&mut self, hash: u64, position: Position) {
        if let Some(telling) = self.telling.get_mut() {
            let field = FieldRef(self.table.get(position), PhantomData);
            telling.note(hash, field.name(), || Some(field.duplicate()));
        }
    }

    fn change(&mut self, position: Position, change: impl FnOnce(Field) -> Field) {
        self.leaves(position);
        self.table.update(position, change);
        self.joined(position);
    }

    fn at(&self, position: Position) -> FieldRef<'_> {
        FieldRef(self.table.get(position), PhantomData)
    }

    /// Counts a field in that has come or changed.
    fn joined(&mut self, position: Position) {
        let field = self.at(position);
        let (block, bytes, deadline) = (field.0, field.memory_bytes(), field.deadline());
        self.bytes += bytes;
        if let Some(deadline) = deadline {
            self.deadlines.get_or_insert_default().insert((deadline, block));
        }
    }

    /// Counts a field out that is to go or to change.
    fn leaves(&mut self, position: Position) {
        let field = self.at(position);
        let (block, bytes, deadline) = (field.0, field.memory_bytes(), field.deadline());
        self.bytes -= bytes;
        if let (Some(deadline), Some(deadlines)) = (deadline, &mut self.deadlines) {
            deadlines.remove(&(deadline, block));
            if deadlines.is_empty() {
                self.deadlines = None;
            }
        }
    }

    /// Removes a field. Returns whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let hash = self.table.hash(name);
        let Some(position) = self.table.find(hash, name) else { return false };
        self.note(hash, position);
        self.leaves(position);
        self.table.remove(position);
        true
    }

    /// The earliest deadline of a field, in Unix milliseconds.
    pub fn earliest(&self) -> Option<u64> {
        Some(self.deadlines.as_ref()?.first()?.0)
    }

    /// How many deadlines are before a time. Takes time in proportion to their number.
    pub fn due_before(&self, ms: u64) -> usize {
        self.deadlines
            .as_ref()
            .map_or(0, |deadlines| deadlines.iter().take_while(|(deadline, _)| *deadline < ms).count())
    }

    /// Removes the field with the earliest deadline if that is before a time, and lends its name. Returns whether it did.
    pub fn remove_due(&mut self, before_ms: u64, lend: impl FnOnce(&[u8])) -> bool {
        let Some(&(deadline, block)) = self.deadlines.as_ref().and_then(|deadlines| deadlines.first()) else {
            return false;
        };
        if deadline >= before_ms {
            return false;
        }
        // A field is in the set exactly as long as it is in the table.
        let name = FieldRef(block, PhantomData).name();
        let hash = self.table.hash(name);
        let position = self.table.find_address(hash, block).expect("a field with a deadline is there");
        self.note(hash, position);
        self.leaves(position);
        let field = self.table.remove(position);
        lend(field.as_ref().name());
        true
    }

    /// Visits every field.
    pub fn each<'a>(&'a self, mut visit: impl FnMut(FieldRef<'a>)) {
        /// How many fields are on their way into the cache while one is visited.
        const AHEAD: usize = 16;
        let mut ahead: [Option<FieldRef<'a>>; AHEAD] = [None; AHEAD];
        let mut turn = 0;
        self.table.scan(0, usize::MAX, |field| {
            prefetch(field);
            let next = FieldRef(field, PhantomData);
            if let Some(field) = ahead[turn % AHEAD].replace(next) {
                visit(field);
            }
            turn += 1;
        });
        (turn..turn + AHEAD).filter_map(|turn| ahead[turn % AHEAD]).for_each(visit);
    }

    /// Visits fields from a cursor on; see [`Table::scan`].
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, mut visit: impl FnMut(FieldRef<'a>)) -> u64 {
        self.table.scan(cursor, count, |field| visit(FieldRef(field, PhantomData)))
    }

    /// A field chosen fairly; see [`Table::random`].
    pub fn random(&self, random: impl FnMut() -> u64) -> Option<FieldRef<'_>> {
        self.table.random(random).map(|field| FieldRef(field, PhantomData))
    }

    /// Tells about `count` fields. Returns whether all have been told.
    pub fn tell(&mut self, count: usize, tell: &mut dyn FnMut(Piece<'_>)) -> bool {
        let Some(telling) = self.telling.get_mut() else { return true };
        let Some(cursor) = telling.cursor else {
            return telling.tell_rest(count, |_, field| tell(field.as_ref().piece()));
        };
        let mut batch = Vec::with_capacity(count);
        let next = self.table.scan(cursor, count, |field| {
            prefetch(field);
            batch.push(field);
        });
        for field in batch {
            let field = FieldRef(field, PhantomData);
            match telling.meet(cursor, self.table.hash(field.name()), field.name()) {
                Met::Skip => {}
                Met::Unchanged => tell(field.piece()),
                Met::Was(field) => tell(field.as_ref().piece()),
            }
        }
        telling.cursor = (next != 0).then_some(next);
        false
    }

    /// Frees a few dozen fields of a hash that nobody uses any more; false when nothing is left.
    pub fn free_slice(&mut self) -> bool {
        if let Some(deadlines) = &mut self.deadlines {
            if (0..DEADLINES_SLICE).any(|_| deadlines.pop_first().is_none()) {
                self.deadlines = None;
            }
            return true;
        }
        self.table.drain_some(drop)
    }
}

impl Clone for FieldTable {
    /// Long values are shared with the original.
    fn clone(&self) -> FieldTable {
        let mut copy = FieldTable::new(self.hasher.clone());
        self.each(|field| {
            let value = match field.blob() {
                Some(blob) => StringValue::Shared(blob),
                None => StringValue::Borrowed(field.value()),
            };
            copy.set_expiring(field.name(), value, field.deadline().map_or(Expiry::Clear, Expiry::At));
        });
        copy
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn names_and_values_of_all_lengths() {
        let mut table = FieldTable::new(KeyHasher::new(1));
        for field_len in [0, 1, 254, 255, 256, 70_000] {
            for value_len in [0, 1, 100, INLINE_MAX, INLINE_MAX + 1, 70_000] {
                let name = vec![b'f'; field_len];
                let value = vec![b'v'; value_len];
                table.set(&name, StringValue::Borrowed(&value));
                let field = table.get(&name).expect("just set");
                assert_eq!((field.name(), field.value()), (&*name, &*value));
                assert_eq!(field.blob().is_some(), value_len > INLINE_MAX);
                assert_eq!(table.clone().get(&name).map(FieldRef::value), Some(&*value));
                table.set(&name, StringValue::Owned(value.clone()));
                assert_eq!(table.get(&name).map(FieldRef::value), Some(&*value));
            }
        }
        assert_eq!(table.len(), 6);
    }

    /// Fields with their values and deadlines.
    type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

    fn owned(table: &FieldTable) -> Model {
        let mut all = BTreeMap::new();
        table.each(|field| {
            let held = (field.value().to_vec(), field.deadline());
            assert!(all.insert(field.name().to_vec(), held).is_none());
        });
        all
    }

    #[test]
    fn random_changes_against_a_map() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut table = FieldTable::new(KeyHasher::new(7));
        let mut model = Model::new();
        for round in 0..20_000 {
            let growing = round / 4000 % 2 == 0;
            let name = rng.u32(..3000).to_string().into_bytes();
            let deadline = rng.bool().then(|| rng.u64(..1000));
            match rng.u8(..10) {
                0..2 => {
                    let found = table.set_deadline(&name, deadline);
                    assert_eq!(found, model.get_mut(&name).map(|held| held.1 = deadline).is_some());
                }
                roll if roll < if growing { 9 } else { 5 } => {
                    let long = rng.u8(..50) == 0;
                    let len = if long { rng.usize(INLINE_MAX - 2..INLINE_MAX + 3) } else { rng.usize(..80) };
                    let value = vec![rng.u8(..); len];
                    let expiry = match rng.u8(..3) {
                        0 => Expiry::Keep,
                        1 => Expiry::Clear,
                        _ => deadline.map_or(Expiry::Clear, Expiry::At),
                    };
                    let new = table.set_expiring(&name, StringValue::Borrowed(&value), expiry);
                    let held = model.get(&name).and_then(|held| held.1);
                    let expected = match expiry {
                        Expiry::Keep => held,
                        Expiry::Clear => None,
                        Expiry::At(deadline) => Some(deadline),
                    };
                    assert_eq!(new, model.insert(name, (value, expected)).is_none());
                }
                _ => assert_eq!(table.remove(&name), model.remove(&name).is_some()),
            }
            assert_eq!(table.len(), model.len());
            if round % 1000 == 0 {
                assert_eq!(table.earliest(), model.values().filter_map(|held| held.1).min());
                let before = rng.u64(..1000);
                let due = model.values().filter(|held| held.1.is_some_and(|deadline| deadline < before)).count();
                assert_eq!(table.due_before(before), due);
                assert_eq!(owned(&table), model);
                let copy = table.clone();
                assert_eq!(owned(&copy), model);
                assert_eq!((copy.bytes, copy.earliest()), (table.bytes, table.earliest()));
            }
        }
        let mut last = 0;
        while table.remove_due(500, |name| {
            let (_, deadline) = model.remove(name).expect("the field was there");
            assert!(deadline.is_some_and(|deadline| (last..500).contains(&deadline)));
            last = deadline.unwrap_or_default();
        }) {}
        assert_eq!(owned(&table), model);
        assert!(model.values().all(|held| held.1.is_none_or(|deadline| deadline >= 500)));
        while table.free_slice() {}
        assert!(table.is_empty());
    }

    #[test]
    fn a_deadline_that_moves_leaves_nothing_behind() {
        let mut table = FieldTable::new(KeyHasher::new(1));
        table.set(b"field", StringValue::Borrowed(b"value"));
        let bytes = table.memory_bytes();
        for deadline in 1..1000 {
            table.set_deadline(b"field", Some(deadline));
            assert_eq!(table.deadlines.as_ref().map(|deadlines| deadlines.len()), Some(1));
        }
        table.set_deadline(b"field", None);
        assert!(table.deadlines.is_none());
        assert_eq!(table.memory_bytes(), bytes);
    }
}
