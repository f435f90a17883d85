//! A key's value, open for change.
//!
//! Collections are compact while they are small: their bytes (a listpack, an intset) lie inline in the key's entry, and a
//! change is a splice of those bytes, in place as long as the entry keeps its size class. What grows large is a boxed
//! object of its type. [`Keyspace::change`](super::Keyspace::change) lends a value to a handler and, when the handler is
//! done, reports the change and removes a collection that has become empty.

use std::ops::Range;

use super::entry::{Encoding, EntryRef, INLINE_MAX, NewValue, Object, Type};
use super::namespace::Namespace;
use crate::types::listpack::{self, Buffer};
use crate::types::member::Members;
use crate::types::ordered::Ordered;
use crate::types::set::{Set, SetMut, SetRef};
use crate::types::table::Position;
use crate::types::zset::{ZsetMut, ZsetRef};

/// A value that may be changed. Borrowed from the keyspace for one command.
pub struct Value<'k> {
    namespace: &'k mut Namespace,
    position: Position,
}

impl<'k> Value<'k> {
    pub(super) fn new(namespace: &'k mut Namespace, position: Position) -> Value<'k> {
        Value { namespace, position }
    }

    fn entry(&self) -> EntryRef<'_> {
        self.namespace.entry(self.position)
    }

    /// Its type.
    pub fn kind(&self) -> Type {
        self.entry().kind()
    }

    /// Its encoding.
    pub fn encoding(&self) -> Encoding {
        self.entry().encoding()
    }

    /// The bytes of a compact value; empty if it is an object.
    pub fn compact(&self) -> &[u8] {
        self.entry().compact()
    }

    /// The bytes of a compact value, to be changed without changing their number.
    pub fn compact_mut(&mut self) -> &mut [u8] {
        match self.namespace.entry_mut(self.position).into_compact_mut() {
            Some(bytes) => bytes,
            None => &mut [],
        }
    }

    /// The object that a large value is, to be read.
    pub fn object(&self) -> Option<&Object> {
        self.entry().object()
    }

    /// The object that a large value is.
    pub fn object_mut(&mut self) -> Option<&mut Object> {
        self.namespace.entry_mut(self.position).into_object_mut()
    }

    /// Has OBJECT ENCODING tell another encoding of the same bytes.
    pub fn set_encoding(&mut self, encoding: Encoding) {
        self.namespace.entry_mut(self.position).set_encoding(encoding);
    }

    /// Another representation of the value, in the place of the present one, which is returned if it was an object.
    pub fn convert(&mut self, encoding: Encoding, value: NewValue<'_>) -> Option<Box<Object>> {
        self.namespace.convert(self.position, encoding, value)
    }

    /// Another compact representation of the value.
    pub fn convert_to_compact(&mut self, encoding: Encoding, mut bytes: Vec<u8>) -> Option<Box<Object>> {
        if bytes.len() > INLINE_MAX {
            bytes.shrink_to_fit();
            self.convert(encoding, NewValue::Boxed(Box::new(Object::Compact(bytes))))
        } else {
            self.convert(encoding, NewValue::Inline(&bytes))
        }
    }
}

impl Buffer for Value<'_> {
    fn bytes(&self) -> &[u8] {
        self.compact()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.compact_mut()
    }

    fn reshape(&mut self, range: Range<usize>, len: usize) -> &mut [u8] {
        self.namespace.reshape(self.position, range, len)
    }
}

/// A value that is a set.
impl SetMut for Value<'_> {
    fn set(&self) -> SetRef<'_> {
        self.entry().set().unwrap_or(SetRef::List(listpack::EMPTY))
    }

    fn members_mut(&mut self) -> Option<&mut Members> {
        match self.object_mut() {
            Some(Object::Set(members)) => Some(members),
            _ => None,
        }
    }

    fn is_outgrown(&self) -> bool {
        self.encoding().is_outgrown()
    }

    fn transform(&mut self, form: Set) {
        match form {
            Set::Ints(bytes) => drop(self.convert_to_compact(Encoding::Intset, bytes)),
            Set::List(bytes) => drop(self.convert_to_compact(Encoding::Listpack, bytes)),
            Set::Few(bytes) => drop(self.convert_to_compact(Encoding::Hashtable, bytes)),
            Set::Table(members) => {
                self.convert(Encoding::Hashtable, NewValue::Boxed(Box::new(Object::Set(members))));
            }
        }
    }
}

/// A value that is a sorted set.
impl ZsetMut for Value<'_> {
    fn zset(&self) -> ZsetRef<'_> {
        self.entry().zset().unwrap_or(ZsetRef::List(listpack::EMPTY))
    }

    fn tree_mut(&mut self) -> Option<&mut Ordered> {
        match self.object_mut() {
            Some(Object::Zset(tree)) => Some(tree),
            _ => None,
        }
    }

    fn become_tree(&mut self, tree: Ordered) {
        self.convert(Encoding::Skiplist, NewValue::Boxed(Box::new(Object::Zset(tree))));
    }
}

/// What a handler did to a value.
pub struct Changed<R> {
    /// What it wants to know itself.
    pub result: R,
    /// How many changes it made, each of which counts as one to be saved; 0 for none, which is not reported.
    pub changes: u64,
    /// Whether the collection has become empty, so that the key goes.
    pub empty: bool,
}
