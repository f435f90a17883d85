//! What is said of values, however they are kept: their types, strings on their way in, and what becomes of deadlines.

use std::rc::Rc;

/// A value longer than this many bytes lives outside the entry, where it can be sent by reference.
pub const INLINE_MAX: usize = 16 * 1024;

/// The type of a value, as TYPE names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Type {
    String = 0,
    List = 1,
    Set = 2,
    Zset = 3,
    Hash = 4,
    Stream = 5,
}

impl Type {
    /// All types, in the order of their numbers.
    pub const ALL: [Type; 6] = [Type::String, Type::List, Type::Set, Type::Zset, Type::Hash, Type::Stream];

    /// The name that TYPE answers.
    pub fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::List => "list",
            Type::Set => "set",
            Type::Zset => "zset",
            Type::Hash => "hash",
            Type::Stream => "stream",
        }
    }

    pub(crate) fn from_bits(bits: u8) -> Type {
        match bits {
            0 => Type::String,
            1 => Type::List,
            2 => Type::Set,
            3 => Type::Zset,
            4 => Type::Hash,
            5 => Type::Stream,
            _ => unreachable!("an entry holds only types that were written to it"),
        }
    }
}

/// A string on its way into the keyspace.
pub enum StringValue<'a> {
    /// Bytes of somebody else.
    Borrowed(&'a [u8]),
    /// Bytes that can stay where they are.
    Owned(Vec<u8>),
    /// A long string that another key, or a reply, has too.
    Shared(Rc<Vec<u8>>),
}

impl StringValue<'_> {
    /// The string itself.
    pub fn bytes(&self) -> &[u8] {
        match self {
            StringValue::Borrowed(bytes) => bytes,
            StringValue::Owned(bytes) => bytes,
            StringValue::Shared(blob) => blob,
        }
    }
}

/// What becomes of a key's time to live when its value is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// It goes.
    Clear,
    /// It stays.
    Keep,
    /// It becomes this deadline, in Unix milliseconds.
    At(u64),
}
