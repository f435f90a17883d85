//! An entry: one key with all that belongs to it, in one heap block.
//!
//! ```text
//!   byte 0        type (3 bits), mark of snapshots (1 bit), encoding (high 4 bits)
//!   byte 1        flags: which of the optional fields follow
//!   bytes 2..5    access clock (24 bits): LRU seconds, or LFU minutes and counter
//!   byte 5        key length; 255 stands for "see the long key length"
//!   bytes 6..8    length of the inline value
//!   ---------------------------------------------------------------- optional, in this order
//!   16 bytes      EXPIRES   deadline in Unix milliseconds, ticket of the expiry wheel
//!    8 bytes      BOXED     pointer to the value, when it is not inline
//!    8 bytes      TAGGED    the key's tags; see [`super::tags::set`]
//!    4 bytes      LONG_KEY  key length of 255 and more
//!   ----------------------------------------------------------------
//!   key bytes
//!   value bytes   the inline value, unless BOXED
//! ```
//!
//! So a 16-byte key with a 32-byte value takes 56 bytes and an 8-byte slot of the table. The block's size is
//! always a size class of the allocator, computed from its contents: nothing has to remember it, and whatever
//! fits the class is changed in place. Numbers are kept as their canonical text: they are short, GET needs no
//! formatting, and INCR parses and prints twenty digits in a few nanoseconds.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::rc::{Rc, Weak};

use super::hashmap::HashView;
use super::tags::set::{Membership, TagSet};
use super::weight::Share;
use super::wheel::Ticket;
use crate::memory::size_class;
use crate::types::field::FieldTable;
use crate::types::member::Members;
use crate::types::ordered::Ordered;
use crate::types::quicklist::{List, Quicklist};
use crate::types::set::SetRef;
use crate::types::stream::Stream;
use crate::types::table::{Item, Step, prefetch};
use crate::types::telling::{Piece, Told};
pub use crate::types::value::{INLINE_MAX, Type};
use crate::types::weight::Weight;
use crate::types::zset::ZsetRef;

const KIND: u8 = 7;
const MARK: u8 = 8;

const EXPIRES: u8 = 1;
const BOXED: u8 = 2;
const LONG_KEY: u8 = 4;
const TAGGED: u8 = 8;

const HEADER: usize = 8;
const EXPIRY_AT: usize = HEADER;

/// Where the boxed value's pointer lies, by flags.
const fn boxed_at(flags: u8) -> usize {
    HEADER + if flags & EXPIRES != 0 { 16 } else { 0 }
}

/// Where the tags lie, by flags.
const fn tags_at(flags: u8) -> usize {
    boxed_at(flags) + if flags & BOXED != 0 { 8 } else { 0 }
}

/// Where the key lies, by flags.
const KEY_AT: [u8; 16] = {
    let mut at = [0; 16];
    let mut flags = 0;
    while flags < 16 {
        at[flags as usize] = (tags_at(flags)
            + if flags & TAGGED != 0 { 8 } else { 0 }
            + if flags & LONG_KEY != 0 { 4 } else { 0 }) as u8;
        flags += 1;
    }
    at
};

/// How a value is represented, as OBJECT ENCODING names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Encoding {
    /// A string that was built up in place, or is longer than 44 bytes.
    Raw = 0,
    /// A string that is the canonical text of a 64-bit integer.
    Int = 1,
    /// A string of up to 44 bytes that was set as a whole.
    Embstr = 2,
    /// A short collection in one piece of memory.
    Listpack = 3,
    /// A short set of integers, sorted.
    Intset = 4,
    /// A set or hash that has outgrown the settings' limits: a table, or a listpack while it has few entries.
    Hashtable = 5,
    /// A long list.
    Quicklist = 6,
    /// A large sorted set.
    Skiplist = 7,
    /// A stream.
    Stream = 8,
    /// A short hash in one piece of memory, whose fields may have deadlines.
    ListpackEx = 9,
    /// A hash in a listpack, with few fields that may have deadlines, that has outgrown the settings' limits.
    HashtableEx = 10,
}

impl Encoding {
    /// The name that OBJECT ENCODING answers.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Raw => "raw",
            Encoding::Int => "int",
            Encoding::Embstr => "embstr",
            Encoding::Listpack => "listpack",
            Encoding::Intset => "intset",
            Encoding::Hashtable | Encoding::HashtableEx => "hashtable",
            Encoding::Quicklist => "quicklist",
            Encoding::Skiplist => "skiplist",
            Encoding::Stream => "stream",
            Encoding::ListpackEx => "listpackex",
        }
    }

    /// Whether it is that of a set or hash which has outgrown the settings' limits, be it a table or not.
    #[inline]
    pub fn is_outgrown(self) -> bool {
        matches!(self, Encoding::Hashtable | Encoding::HashtableEx)
    }

    fn from_bits(bits: u8) -> Encoding {
        match bits {
            0 => Encoding::Raw,
            1 => Encoding::Int,
            2 => Encoding::Embstr,
            3 => Encoding::Listpack,
            4 => Encoding::Intset,
            5 => Encoding::Hashtable,
            6 => Encoding::Quicklist,
            7 => Encoding::Skiplist,
            8 => Encoding::Stream,
            9 => Encoding::ListpackEx,
            10 => Encoding::HashtableEx,
            _ => unreachable!("an entry holds only encodings that were written to it"),
        }
    }
}

/// A value outside its entry. A clone may share memory with it until one of them changes.
#[derive(Clone)]
pub enum Object {
    /// A long string, shared with the replies that are still sending it.
    Blob(Rc<Vec<u8>>),
    /// A compact collection that is too long to be inline.
    Compact(Vec<u8>),
    /// A large set.
    Set(Members),
    /// A long list.
    List(Quicklist),
    /// A large hash.
    Hash(FieldTable),
    /// A large sorted set.
    Zset(Ordered),
    /// A stream, in a box of its own because it would make all others larger.
    Stream(Box<Stream>),
}

impl Object {
    /// Bytes of memory it takes, its own box included.
    pub fn memory_bytes(&self) -> usize {
        let value = match self {
            // The block that counts references, and the one with the bytes.
            Object::Blob(blob) => {
                size_class(2 * size_of::<usize>() + size_of::<Vec<u8>>()) + size_class(blob.capacity())
            }
            Object::Compact(bytes) => size_class(bytes.capacity()),
            Object::Set(members) => members.memory_bytes(),
            Object::List(list) => list.memory_bytes(),
            Object::Hash(fields) => fields.memory_bytes(),
            Object::Zset(tree) => tree.memory_bytes(),
            Object::Stream(stream) => size_class(size_of::<Stream>()) + stream.memory_bytes(),
        };
        size_class(size_of::<Object>()) + value
    }

    /// What it remembers of its weight, if it would have to be gone through to be weighed.
    #[inline]
    pub fn weight(&self) -> Option<&Cell<Weight>> {
        match self {
            Object::List(list) => Some(&list.weight),
            Object::Zset(tree) => Some(&tree.weight),
            Object::Stream(stream) => Some(&stream.weight),
            Object::Blob(_) | Object::Compact(_) | Object::Set(_) | Object::Hash(_) => None,
        }
    }

    /// Asks for what a command will look at next to be brought into the cache: first what leads there, in the second step
    /// that itself. `member` is the hash of an element that it looks for.
    #[inline]
    pub fn prefetch(&self, step: Step, member: u64) {
        match (self, step) {
            (Object::Set(members), step) => members.prefetch(step, member),
            (Object::Hash(fields), step) => fields.prefetch(step, member),
            (Object::Zset(tree), step) => tree.prefetch(step, member),
            (Object::List(list), step) => list.prefetch(step),
            (Object::Stream(stream), Step::Way) => {
                prefetch(NonNull::from(&**stream).cast());
                prefetch(NonNull::from(&stream.log).cast());
            }
            (Object::Stream(stream), Step::Target) => stream.log.prefetch_end(),
            (Object::Blob(_) | Object::Compact(_), _) => {}
        }
    }

    /// How many items it has: what freeing it costs.
    pub fn items(&self) -> usize {
        match self {
            Object::Blob(_) | Object::Compact(_) => 1,
            Object::Set(members) => members.len(),
            Object::List(list) => list.nodes(),
            Object::Hash(fields) => fields.len(),
            Object::Zset(tree) => tree.len(),
            Object::Stream(stream) => stream.items(),
        }
    }

    /// Begins to tell what is in it, part by part, while it changes; see [`crate::types::telling`]. The handle is good until
    /// that is over, or the value gone. `None` for one that is told in one piece.
    pub fn begin_telling(&mut self) -> Option<Weak<()>> {
        match self {
            Object::Blob(_) | Object::Compact(_) => None,
            Object::Set(members) => Some(members.begin_telling()),
            Object::List(list) => Some(list.begin_telling()),
            Object::Hash(fields) => Some(fields.begin_telling()),
            Object::Zset(tree) => Some(tree.begin_telling()),
            Object::Stream(stream) => Some(stream.begin_telling()),
        }
    }

    /// Whether it is being told.
    pub fn is_being_told(&self) -> bool {
        match self {
            Object::Blob(_) | Object::Compact(_) => false,
            Object::Set(members) => members.is_being_told(),
            Object::List(list) => list.is_being_told(),
            Object::Hash(fields) => fields.is_being_told(),
            Object::Zset(tree) => tree.is_being_told(),
            Object::Stream(stream) => stream.is_being_told(),
        }
    }

    /// Ends that.
    pub fn end_telling(&mut self) {
        match self {
            Object::Blob(_) | Object::Compact(_) => {}
            Object::Set(members) => members.end_telling(),
            Object::List(list) => list.end_telling(),
            Object::Hash(fields) => fields.end_telling(),
            Object::Zset(tree) => tree.end_telling(),
            Object::Stream(stream) => stream.end_telling(),
        }
    }

    /// Tells the next part of it: about `count` items. Returns whether that was the last.
    pub fn tell(&mut self, count: usize, tell: &mut dyn FnMut(Piece<'_>)) -> bool {
        match self {
            Object::Blob(_) | Object::Compact(_) => true,
            Object::Set(members) => members.tell(count, tell),
            Object::List(list) => list.tell(count, tell),
            Object::Hash(fields) => fields.tell(count, tell),
            Object::Zset(tree) => tree.tell(count, tell),
            Object::Stream(stream) => stream.tell(count, tell),
        }
    }

    /// Frees a part of a value that nobody uses any more; false when what is left is freed at once.
    pub fn free_slice(&mut self) -> bool {
        match self {
            Object::Blob(_) | Object::Compact(_) => false,
            Object::Set(members) => members.free_slice(),
            Object::List(list) => list.free_slice(),
            Object::Hash(fields) => fields.free_slice(),
            Object::Zset(tree) => tree.free_slice(),
            Object::Stream(stream) => stream.free_slice(),
        }
    }
}

/// A value on its way into an entry.
pub enum NewValue<'a> {
    /// Bytes to copy into the entry; at most [`INLINE_MAX`].
    Inline(&'a [u8]),
    /// A value that stays outside.
    Boxed(Box<Object>),
}

/// The sizes that decide a block's layout.
#[derive(Clone, Copy)]
struct Shape {
    flags: u8,
    key_len: usize,
    value_len: usize,
}

impl Shape {
    fn new(key_len: usize, value: &NewValue<'_>, expires: bool, tagged: bool) -> Shape {
        let mut flags = 0;
        if tagged {
            flags |= TAGGED;
        }
        if expires {
            flags |= EXPIRES;
        }
        if key_len >= 255 {
            flags |= LONG_KEY;
        }
        let value_len = match value {
            NewValue::Inline(bytes) => bytes.len(),
            NewValue::Boxed(_) => {
                flags |= BOXED;
                0
            }
        };
        Shape { flags, key_len, value_len }
    }

    fn key_at(self) -> usize {
        KEY_AT[self.flags as usize] as usize
    }

    fn class(self) -> usize {
        size_class(self.key_at() + self.key_len + self.value_len)
    }
}

/// An owned entry. Dropping it frees the block and the value.
pub struct Entry(NonNull<u8>);

/// A shared view of an entry that lives in a table.
#[derive(Clone, Copy)]
pub struct EntryRef<'a>(NonNull<u8>, PhantomData<&'a Entry>);

/// An exclusive view of an entry that lives in a table.
pub struct EntryMut<'a>(NonNull<u8>, PhantomData<&'a mut Entry>);

fn layout(class: usize) -> Layout {
    Layout::from_size_align(class, 8).expect("an entry's size is far below isize::MAX")
}

impl Entry {
    /// A new entry without tags. `deadline` is in Unix milliseconds; `access` is the access clock (24 bits).
    ///
    /// # Panics
    /// If the key has 2^32 bytes or more, or an inline value more than [`INLINE_MAX`].
    #[inline]
    pub fn new(
        key: &[u8],
        kind: Type,
        encoding: Encoding,
        value: NewValue<'_>,
        deadline: Option<u64>,
        access: u32,
    ) -> Entry {
        Entry::with_tags(key, kind, encoding, value, deadline, access, TagSet::EMPTY)
    }

    /// A new entry, as [`Entry::new`] makes it, with tags.
    ///
    /// # Panics
    /// As [`Entry::new`].
    pub fn with_tags(
        key: &[u8],
        kind: Type,
        encoding: Encoding,
        value: NewValue<'_>,
        deadline: Option<u64>,
        access: u32,
        tags: TagSet,
    ) -> Entry {
        let shape = Shape::new(key.len(), &value, deadline.is_some(), !tags.is_empty());
        assert!(key.len() <= u32::MAX as usize && shape.value_len <= INLINE_MAX, "entry out of bounds");
        let layout = layout(shape.class());
        // SAFETY: the layout's size is at least 8; the block is written in full below before it is read: the
        // header, each optional field that the flags name, the key and the inline value all lie within
        // `shape.class()` bytes.
        unsafe {
            let Some(block) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            let mut entry = EntryMut(block, PhantomData);
            entry.write_header(shape, kind, encoding, access);
            if let Some(deadline) = deadline {
                entry.write_u64(EXPIRY_AT, deadline);
                entry.write_u64(EXPIRY_AT + 8, 0);
            }
            if shape.flags & TAGGED != 0 {
                block.add(tags_at(shape.flags)).cast::<TagSet>().write(tags);
            }
            block.add(shape.key_at()).copy_from_nonoverlapping(NonNull::from(key).cast(), key.len());
            match value {
                NewValue::Inline(bytes) => block
                    .add(shape.key_at() + shape.key_len)
                    .copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()),
                NewValue::Boxed(object) => entry.write_u64(boxed_at(shape.flags), Box::into_raw(object) as u64),
            }
            Entry(block)
        }
    }

    /// This entry as a table hands it out.
    pub fn as_ref(&self) -> EntryRef<'_> {
        EntryRef(self.0, PhantomData)
    }

    /// The same entry with a mark of snapshots.
    #[inline]
    pub fn marked(self, mark: bool) -> Entry {
        EntryMut(self.0, PhantomData).set_mark(mark);
        self
    }

    /// The same value, deadline and access clock under another key, with other tags.
    pub fn with_key(self, key: &[u8], tags: TagSet) -> Entry {
        let deadline = self.as_ref().deadline();
        self.rebuilt(Some(key), deadline, tags)
    }

    /// The same key, value and tags with another deadline.
    pub fn with_deadline(mut self, deadline: Option<u64>) -> Entry {
        let tags = self.take_tags();
        self.rebuilt(None, deadline, tags)
    }

    /// The same key, value and deadline with other tags.
    pub fn retagged(self, tags: TagSet) -> Entry {
        let deadline = self.as_ref().deadline();
        self.rebuilt(None, deadline, tags)
    }

    /// The same value in another block.
    fn rebuilt(self, key: Option<&[u8]>, deadline: Option<u64>, tags: TagSet) -> Entry {
        let view = self.as_ref();
        let (kind, encoding, access, mark) = (view.kind(), view.encoding(), view.access(), view.mark());
        let entry = if view.object().is_none() {
            let value = NewValue::Inline(view.inline());
            Entry::with_tags(key.unwrap_or(view.key()), kind, encoding, value, deadline, access, tags)
        } else {
            let own = if key.is_none() { view.key().to_vec() } else { Vec::new() };
            let value = NewValue::Boxed(self.into_object().expect("the value is boxed"));
            Entry::with_tags(key.unwrap_or(&own), kind, encoding, value, deadline, access, tags)
        };
        entry.marked(mark)
    }

    /// Takes the tags, so that they can go to another entry.
    pub fn take_tags(&mut self) -> TagSet {
        EntryMut(self.0, PhantomData).take_tags()
    }

    /// Takes the boxed value out, so that it can move to another entry.
    pub fn into_object(self) -> Option<Box<Object>> {
        // SAFETY: the pointer came from `Box::into_raw` and is given away exactly once.
        self.into_object_ptr().map(|object| unsafe { Box::from_raw(object.as_ptr()) })
    }

    /// Takes the boxed value out, so that it can be freed in slices.
    pub fn into_removed(self) -> Option<Removed> {
        self.into_object_ptr().map(Removed)
    }

    fn into_object_ptr(self) -> Option<NonNull<Object>> {
        let object = self.as_ref().boxed_ptr().and_then(NonNull::new);
        let class = self.as_ref().shape().class();
        drop(EntryMut(self.0, PhantomData).take_tags());
        // SAFETY: the block was allocated with this layout and `forget` keeps it from being freed again.
        unsafe {
            dealloc(self.0.as_ptr(), layout(class));
            std::mem::forget(self);
        }
        object
    }
}

/// A boxed value that has left its entry. It has no box, which would have to be the only way to it: a snapshot that still tells it
/// knows its address ([`EntryMut::object_ptr`]).
pub struct Removed(NonNull<Object>);

impl From<Object> for Removed {
    fn from(object: Object) -> Removed {
        // SAFETY: a box is never null.
        Removed(unsafe { NonNull::new_unchecked(Box::into_raw(Box::new(object))) })
    }
}

impl Deref for Removed {
    type Target = Object;

    fn deref(&self) -> &Object {
        // SAFETY: the pointer came from `Box::into_raw`, and the value is freed with `self` alone. A snapshot looks at it only
        // while the keyspace, of which `self` is a part, is borrowed exclusively by it.
        unsafe { self.0.as_ref() }
    }
}

impl DerefMut for Removed {
    fn deref_mut(&mut self) -> &mut Object {
        // SAFETY: as in `deref`.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `Box::into_raw`, and `self` was the last to hold it.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let view = self.as_ref();
        // SAFETY: as in `into_object`; the entry is not used afterwards.
        unsafe {
            if let Some(object) = view.boxed_ptr() {
                drop(Box::from_raw(object));
            }
            drop(EntryMut(self.0, PhantomData).take_tags());
            dealloc(self.0.as_ptr(), layout(view.shape().class()));
        }
    }
}

// SAFETY: the pointer comes from the allocator (48 significant bits on the supported targets), it is unique to
// the entry, and the key it reports lives and stays unchanged as long as the entry.
unsafe impl Item for Entry {
    fn into_ptr(self) -> NonNull<u8> {
        let block = self.0;
        std::mem::forget(self);
        block
    }

    unsafe fn from_ptr(block: NonNull<u8>) -> Entry {
        Entry(block)
    }

    #[inline]
    unsafe fn key<'a>(block: NonNull<u8>) -> &'a [u8] {
        EntryRef::<'a>(block, PhantomData).key()
    }
}

impl<'a> EntryRef<'a> {
    /// # Safety
    /// `block` must belong to an entry that outlives `'a` and is not changed meanwhile.
    pub unsafe fn from_ptr(block: NonNull<u8>) -> EntryRef<'a> {
        EntryRef(block, PhantomData)
    }

    /// The address of the block, which names the entry until it is freed or re-shaped.
    pub fn as_ptr(self) -> NonNull<u8> {
        self.0
    }

    #[inline]
    fn byte(self, at: usize) -> u8 {
        // SAFETY: callers pass offsets within the 8-byte header.
        unsafe { self.0.add(at).read() }
    }

    #[inline]
    fn read_u64(self, at: usize) -> u64 {
        // SAFETY: callers pass the offset of an optional field that the flags say is there; those are aligned
        // to 8 bytes, as the block is.
        unsafe { self.0.add(at).cast::<u64>().read() }
    }

    #[inline]
    fn flags(self) -> u8 {
        self.byte(1)
    }

    #[inline]
    fn shape(self) -> Shape {
        let flags = self.flags();
        let key_len = if flags & LONG_KEY != 0 {
            // SAFETY: the flag says that the four bytes before the key hold its length.
            unsafe { self.0.add(KEY_AT[flags as usize] as usize - 4).cast::<u32>().read_unaligned() as usize }
        } else {
            self.byte(5) as usize
        };
        // SAFETY: the header is 8 bytes.
        let value_len = unsafe { self.0.add(6).cast::<u16>().read() } as usize;
        Shape { flags, key_len, value_len }
    }

    /// The key.
    #[inline]
    pub fn key(self) -> &'a [u8] {
        let shape = self.shape();
        // SAFETY: the key lies at this offset within the block, which lives for 'a.
        unsafe { NonNull::slice_from_raw_parts(self.0.add(shape.key_at()), shape.key_len).as_ref() }
    }

    /// The value's type.
    #[inline]
    pub fn kind(self) -> Type {
        Type::from_bits(self.byte(0) & KIND)
    }

    /// The mark that says whether the current snapshot has it; see [`super::snapshot`].
    #[inline]
    pub fn mark(self) -> bool {
        self.byte(0) & MARK != 0
    }

    /// The value's encoding.
    #[inline]
    pub fn encoding(self) -> Encoding {
        Encoding::from_bits(self.byte(0) >> 4)
    }

    /// The access clock: 24 bits.
    #[inline]
    pub fn access(self) -> u32 {
        u32::from_le_bytes([self.byte(2), self.byte(3), self.byte(4), 0])
    }

    /// When the key expires, in Unix milliseconds.
    #[inline]
    pub fn deadline(self) -> Option<u64> {
        (self.flags() & EXPIRES != 0).then(|| self.read_u64(EXPIRY_AT))
    }

    /// The ticket that the expiry wheel gave for this entry.
    ///
    /// # Panics
    /// If the entry does not expire.
    pub fn ticket(self) -> Ticket {
        assert!(self.flags() & EXPIRES != 0, "an entry without a deadline has no ticket");
        Ticket::from_bits(self.read_u64(EXPIRY_AT + 8))
    }

    /// Whether it has tags, or had some.
    #[inline]
    pub fn is_tagged(self) -> bool {
        self.flags() & TAGGED != 0
    }

    fn tag_set(self) -> Option<NonNull<TagSet>> {
        // SAFETY: the flag says that the field is there; the block is aligned to 8 bytes.
        self.is_tagged().then(|| unsafe { self.0.add(tags_at(self.flags())).cast() })
    }

    /// The tags it has.
    #[inline]
    pub fn tags(self) -> &'a [Membership] {
        // SAFETY: the field lives as long as the entry, and what it owns too.
        self.tag_set().map_or(&[], |tags| unsafe { tags.as_ref() }.as_slice())
    }

    #[inline]
    fn boxed_ptr(self) -> Option<*mut Object> {
        (self.flags() & BOXED != 0).then(|| self.read_u64(boxed_at(self.flags())) as *mut Object)
    }

    /// The value, if it lives outside the entry.
    #[inline]
    pub fn object(self) -> Option<&'a Object> {
        // SAFETY: the pointer came from `Box::into_raw` and the box lives as long as the entry.
        self.boxed_ptr().map(|object| unsafe { &*object })
    }

    /// Asks for the value to be brought into the cache, if it is large or begins beyond the entry's first line.
    #[inline]
    pub fn prefetch_value(self) -> Option<&'a Object> {
        /// Lines of an inline value that are asked for; the processor guesses those behind them.
        const LINES: usize = 4;
        let object = self.object();
        match object {
            Some(object) => {
                prefetch(NonNull::from(object).cast());
                // SAFETY: an object has more than 64 bytes; only its address is taken.
                prefetch(unsafe { NonNull::from(object).cast::<u8>().add(64) });
            }
            None => self.inline().chunks(64).take(LINES).for_each(|line| prefetch(NonNull::from(&line[0]))),
        }
        object
    }

    /// The inline value's bytes; empty if the value lives outside.
    #[inline]
    pub fn inline(self) -> &'a [u8] {
        let shape = self.shape();
        // SAFETY: the inline value lies behind the key within the block, which lives for 'a.
        unsafe { NonNull::slice_from_raw_parts(self.0.add(shape.key_at() + shape.key_len), shape.value_len).as_ref() }
    }

    /// A string's bytes, wherever they live; empty for another type that is an object.
    #[inline]
    pub fn string(self) -> &'a [u8] {
        match self.object() {
            None => self.inline(),
            Some(Object::Blob(blob)) => blob,
            Some(_) => &[],
        }
    }

    /// A copy of the entry under another key, with tags of its own.
    pub fn duplicate(self, key: &[u8], tags: TagSet) -> Entry {
        let value = match self.object() {
            None => NewValue::Inline(self.inline()),
            Some(object) => {
                let copy = object.clone();
                // It has no spare capacity.
                copy.weight().into_iter().for_each(|weight| weight.set(Weight::default()));
                NewValue::Boxed(Box::new(copy))
            }
        };
        Entry::with_tags(key, self.kind(), self.encoding(), value, self.deadline(), self.access(), tags)
    }

    /// A copy of the entry in a block of its own, with `len` bytes in the place of a range of its inline value, which are
    /// still to be written. Its tags must have been taken.
    ///
    /// # Panics
    /// If the value is boxed or would be too long to be inline, or the range is not within it.
    pub fn reshaped(self, range: Range<usize>, len: usize) -> Entry {
        let old = self.shape();
        assert!(self.tags().is_empty(), "two entries cannot own the same tags");
        assert!(old.flags & BOXED == 0 && range.start <= range.end && range.end <= old.value_len, "no such range");
        let new = Shape { value_len: old.value_len - range.len() + len, ..old };
        assert!(new.value_len <= INLINE_MAX, "entry out of bounds");
        let layout = layout(new.class());
        let start = old.key_at() + old.key_len + range.start;
        // SAFETY: the layout's size is at least 8, and has room for what comes before the range, `len` bytes and what comes
        // behind the range, all of which are written here; the old block has the first and the last of these.
        unsafe {
            let Some(block) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            block.copy_from_nonoverlapping(self.0, start);
            block.add(start).write_bytes(0, len);
            block.add(start + len).copy_from_nonoverlapping(self.0.add(start + range.len()), old.value_len - range.end);
            block.add(6).cast::<u16>().write(new.value_len as u16);
            Entry(block)
        }
    }

    /// The bytes of a compact collection, wherever they live; empty if it is not compact.
    #[inline]
    pub fn compact(self) -> &'a [u8] {
        match self.object() {
            None => self.inline(),
            Some(Object::Compact(bytes)) => bytes,
            Some(_) => &[],
        }
    }

    /// The list that the value is.
    pub fn list(self) -> Option<List<'a>> {
        match (self.kind(), self.object()) {
            (Type::List, Some(Object::List(list))) => Some(List::Nodes(list)),
            (Type::List, _) => Some(List::Compact(self.compact())),
            _ => None,
        }
    }

    /// The set that the value is.
    pub fn set(self) -> Option<SetRef<'a>> {
        match (self.kind(), self.encoding(), self.object()) {
            (Type::Set, _, Some(Object::Set(members))) => Some(SetRef::Table(members)),
            (Type::Set, Encoding::Intset, _) => Some(SetRef::Ints(self.compact())),
            (Type::Set, _, _) => Some(SetRef::List(self.compact())),
            _ => None,
        }
    }

    /// The sorted set that the value is.
    pub fn zset(self) -> Option<ZsetRef<'a>> {
        match (self.kind(), self.object()) {
            (Type::Zset, Some(Object::Zset(tree))) => Some(ZsetRef::Tree(tree)),
            (Type::Zset, _) => Some(ZsetRef::List(self.compact())),
            _ => None,
        }
    }

    /// The stream that the value is.
    pub fn stream(self) -> Option<&'a Stream> {
        match self.object() {
            Some(Object::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    /// The earliest deadline of a field of the hash that the value is, in Unix milliseconds.
    #[inline]
    pub fn earliest_field(self) -> Option<u64> {
        if self.kind() != Type::Hash || self.encoding() == Encoding::Listpack {
            return None;
        }
        HashView::of(self)?.earliest()
    }

    /// What it weighs, given the bytes that its value takes outside of the block.
    #[inline]
    pub fn share(self, outside: usize) -> Share {
        let shape = self.shape();
        let has = |flag| shape.flags & flag != 0;
        let name = HEADER + if has(LONG_KEY) { 4 } else { 0 } + shape.key_len;
        let expiry = if has(EXPIRES) { boxed_at(EXPIRES) - EXPIRY_AT } else { 0 };
        let tags = if has(TAGGED) { size_of::<TagSet>() } else { 0 };
        Share { kind: self.kind(), name, expiry, value: shape.class() - name - expiry - tags + outside }
    }

    /// Bytes of memory the entry's block takes, without a boxed value and a list of tags.
    pub fn block_bytes(self) -> usize {
        self.shape().class()
    }

    /// Bytes of memory that the list of its tags takes, if there are several.
    pub fn tag_bytes(self) -> usize {
        // SAFETY: the field lives as long as the entry.
        self.tag_set().map_or(0, |tags| unsafe { tags.as_ref() }.memory_bytes())
    }
}

impl<'a> EntryMut<'a> {
    /// # Safety
    /// `block` must belong to an entry that outlives `'a`, and nothing else may look at it meanwhile.
    pub unsafe fn from_ptr(block: NonNull<u8>) -> EntryMut<'a> {
        EntryMut(block, PhantomData)
    }

    /// The same entry, to be read.
    #[inline]
    pub fn as_ref(&self) -> EntryRef<'_> {
        EntryRef(self.0, PhantomData)
    }

    unsafe fn write_u64(&mut self, at: usize, value: u64) {
        // SAFETY: the caller passes the offset of a field that lies within the block, aligned to 8 bytes.
        unsafe { self.0.add(at).cast::<u64>().write(value) }
    }

    unsafe fn write_header(&mut self, shape: Shape, kind: Type, encoding: Encoding, access: u32) {
        let access = access.to_le_bytes();
        let short_key_len = if shape.flags & LONG_KEY != 0 { 255 } else { shape.key_len as u8 };
        let value_len = (shape.value_len as u16).to_ne_bytes();
        let header = [
            kind as u8 | (encoding as u8) << 4,
            shape.flags,
            access[0],
            access[1],
            access[2],
            short_key_len,
            value_len[0],
            value_len[1],
        ];
        // SAFETY: every block has room for the header, and for the long key length if the flags say so.
        unsafe {
            self.0.cast::<[u8; 8]>().write(header);
            if shape.flags & LONG_KEY != 0 {
                self.0.add(shape.key_at() - 4).cast::<u32>().write_unaligned(shape.key_len as u32);
            }
        }
    }

    /// Sets the access clock (24 bits).
    #[inline]
    pub fn set_access(&mut self, access: u32) {
        let [a, b, c, _] = access.to_le_bytes();
        // SAFETY: bytes 2..5 of the header.
        unsafe { self.0.add(2).cast::<[u8; 3]>().write([a, b, c]) }
    }

    /// Sets the encoding that OBJECT ENCODING tells.
    pub fn set_encoding(&mut self, encoding: Encoding) {
        let kept = self.as_ref().byte(0) & (KIND | MARK);
        // SAFETY: byte 0 of the header.
        unsafe { self.0.write(kept | (encoding as u8) << 4) }
    }

    /// Sets the mark of snapshots.
    #[inline]
    pub fn set_mark(&mut self, mark: bool) {
        let kept = self.as_ref().byte(0) & !MARK;
        // SAFETY: byte 0 of the header.
        unsafe { self.0.write(kept | (mark as u8) << 3) }
    }

    /// Moves the deadline of an entry that has one.
    ///
    /// # Panics
    /// If the entry does not expire.
    pub fn set_deadline(&mut self, deadline: u64) {
        assert!(self.as_ref().flags() & EXPIRES != 0, "the entry has no room for a deadline");
        // SAFETY: the flag says that the field is there.
        unsafe { self.write_u64(EXPIRY_AT, deadline) }
    }

    /// Remembers the wheel's ticket.
    ///
    /// # Panics
    /// If the entry does not expire.
    pub fn set_ticket(&mut self, ticket: Ticket) {
        assert!(self.as_ref().flags() & EXPIRES != 0, "the entry has no room for a ticket");
        // SAFETY: the flag says that the field is there.
        unsafe { self.write_u64(EXPIRY_AT + 8, ticket.to_bits()) }
    }

    /// The tags it has, whose places may be changed.
    #[inline]
    pub fn tags_mut(&mut self) -> &mut [Membership] {
        match self.as_ref().tag_set() {
            // SAFETY: the field lives as long as the entry, which is borrowed exclusively.
            Some(mut tags) => unsafe { tags.as_mut() }.as_mut_slice(),
            None => &mut [],
        }
    }

    /// Takes the tags; the room for them stays.
    pub fn take_tags(&mut self) -> TagSet {
        // SAFETY: as above.
        self.as_ref().tag_set().map_or(TagSet::EMPTY, |mut tags| unsafe { tags.as_mut() }.take())
    }

    /// Gives it other tags if there is room for them; gives them back if not.
    ///
    /// # Errors
    /// The tags that it has no room for.
    pub fn put_tags(&mut self, tags: TagSet) -> Result<(), TagSet> {
        match self.as_ref().tag_set() {
            Some(mut field) => {
                // SAFETY: as above.
                *unsafe { field.as_mut() } = tags;
                Ok(())
            }
            None => Err(tags),
        }
    }

    /// The value outside the entry, to be changed in place.
    pub fn object_mut(&mut self) -> Option<&mut Object> {
        // SAFETY: the pointer came from `Box::into_raw`; `self` is exclusive, so the box is.
        self.as_ref().boxed_ptr().map(|object| unsafe { &mut *object })
    }

    /// Where the value outside the entry is, for as long as it is not freed: it stays there when it moves to another entry, and when
    /// it is removed.
    pub fn object_ptr(&mut self) -> Option<NonNull<Object>> {
        self.as_ref().boxed_ptr().and_then(NonNull::new)
    }

    /// The inline value, to be changed in place.
    pub fn inline_mut(&mut self) -> &mut [u8] {
        let shape = self.as_ref().shape();
        // SAFETY: the inline value lies behind the key within the block; `self` is exclusive.
        unsafe { NonNull::slice_from_raw_parts(self.0.add(shape.key_at() + shape.key_len), shape.value_len).as_mut() }
    }

    /// The value outside the entry, to be changed in place, for as long as the entry is borrowed.
    pub fn into_object_mut(self) -> Option<&'a mut Object> {
        // SAFETY: the pointer came from `Box::into_raw`; the view is exclusive for 'a and used up.
        self.as_ref().boxed_ptr().map(|object| unsafe { &mut *object })
    }

    /// The bytes of a compact collection, to be changed in place; `None` if it is not compact.
    pub fn into_compact_mut(self) -> Option<&'a mut [u8]> {
        if self.as_ref().object().is_some() {
            return match self.into_object_mut() {
                Some(Object::Compact(bytes)) => Some(bytes),
                _ => None,
            };
        }
        let shape = self.as_ref().shape();
        // SAFETY: the inline value lies behind the key within the block; the view is exclusive for 'a and used up.
        Some(unsafe {
            NonNull::slice_from_raw_parts(self.0.add(shape.key_at() + shape.key_len), shape.value_len).as_mut()
        })
    }

    /// A string's bytes, wherever they live, to be changed in place. A long string must not be shared.
    ///
    /// # Panics
    /// If a reply still shares the long string.
    pub fn into_string_mut(self) -> &'a mut [u8] {
        let shape = self.as_ref().shape();
        // SAFETY: the view is exclusive for 'a and used up; the boxed value's pointer came from `Box::into_raw`, the
        // inline value lies behind the key within the block.
        unsafe {
            match self.as_ref().boxed_ptr() {
                Some(object) => match &mut *object {
                    Object::Blob(blob) => Rc::get_mut(blob).expect("the caller made the string its own"),
                    _ => &mut [],
                },
                None => {
                    NonNull::slice_from_raw_parts(self.0.add(shape.key_at() + shape.key_len), shape.value_len).as_mut()
                }
            }
        }
    }

    /// Makes a range of the inline value `len` bytes long if the block has room for that, moving what lies behind it; those
    /// bytes are to be written. Returns whether it had room. Nothing changes otherwise, nor if the value is boxed.
    ///
    /// # Panics
    /// If the range is not within the value.
    #[inline]
    pub fn reshape_inline(&mut self, range: Range<usize>, len: usize) -> bool {
        let old = self.as_ref().shape();
        if old.flags & BOXED != 0 {
            return false;
        }
        assert!(range.start <= range.end && range.end <= old.value_len, "no such range");
        let new = Shape { value_len: old.value_len - range.len() + len, ..old };
        if new.value_len > INLINE_MAX || new.class() != old.class() {
            return false;
        }
        // SAFETY: old and new value fit the block (its class is unchanged); of the range, what lies beyond the old value has
        // never been written, and is zeroed before anything can read it.
        unsafe {
            let value = self.0.add(old.key_at() + old.key_len);
            let end = range.start + len;
            value.add(end).copy_from(value.add(range.end), old.value_len - range.end);
            if end > old.value_len {
                value.add(old.value_len).write_bytes(0, end - old.value_len);
            }
            self.0.add(6).cast::<u16>().write(new.value_len as u16);
        }
        true
    }

    /// Changes the inline value's length if the block has room for it, keeping the common prefix; new bytes are
    /// zero. Returns whether it had room. Nothing changes otherwise, nor if the value is boxed.
    pub fn resize_inline(&mut self, len: usize) -> bool {
        let old = self.as_ref().shape();
        let new = Shape { value_len: len, ..old };
        if old.flags & BOXED != 0 || len > INLINE_MAX || new.class() != old.class() {
            return false;
        }
        // SAFETY: the new length fits the block (its class is unchanged); bytes past the old value are zeroed
        // before anything can read them.
        unsafe {
            self.0.add(6).cast::<u16>().write(len as u16);
            if len > old.value_len {
                let end = old.key_at() + old.key_len + old.value_len;
                self.0.add(end).write_bytes(0, len - old.value_len);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_written() {
        let long_key = vec![b'k'; 300];
        for key in [&b""[..], b"k", &[0xff; 254], &[1; 255], &long_key] {
            for deadline in [None, Some(1), Some(u64::MAX)] {
                for value in [&b""[..], b"v", &[7; 1000], &[9; INLINE_MAX]] {
                    let entry =
                        Entry::new(key, Type::String, Encoding::Embstr, NewValue::Inline(value), deadline, 0xabcdef);
                    let view = entry.as_ref();
                    assert_eq!(view.key(), key);
                    assert_eq!(view.string(), value);
                    assert_eq!(view.deadline(), deadline);
                    assert_eq!(view.access(), 0xabcdef);
                    assert_eq!((view.kind(), view.encoding()), (Type::String, Encoding::Embstr));
                    let blob = Box::new(Object::Blob(Rc::new(value.to_vec())));
                    let entry = Entry::new(key, Type::String, Encoding::Raw, NewValue::Boxed(blob), deadline, 1);
                    assert_eq!((entry.as_ref().key(), entry.as_ref().string()), (key, value));
                }
            }
        }
    }

    #[test]
    fn a_small_entry_is_as_small_as_promised() {
        let sized = |deadline| {
            Entry::new(&[b'k'; 16], Type::String, Encoding::Embstr, NewValue::Inline(&[b'v'; 32]), deadline, 0)
                .as_ref()
                .block_bytes()
        };
        assert_eq!(sized(None), 64);
        assert_eq!(sized(Some(1)), 80);
    }

    #[test]
    fn an_inline_value_changes_length_within_its_size_class() {
        let mut entry = Entry::new(b"key", Type::String, Encoding::Raw, NewValue::Inline(b"value123"), None, 0);
        // SAFETY: the entry outlives the view and nothing else looks at it.
        let mut view = unsafe { EntryMut::from_ptr(entry.0) };
        assert!(view.resize_inline(12));
        assert_eq!(view.as_ref().string(), b"value123\0\0\0\0");
        assert!(view.resize_inline(6));
        assert_eq!(view.as_ref().string(), b"value1");
        assert!(!view.resize_inline(2), "the block would fit a smaller class");
        assert!(!view.resize_inline(100));
        view.inline_mut().copy_from_slice(b"abcdef");
        assert_eq!(entry.as_ref().string(), b"abcdef");
        entry = Entry::new(b"k", Type::String, Encoding::Raw, NewValue::Inline(b""), None, 0);
        assert!(entry.into_object().is_none());
    }
}
