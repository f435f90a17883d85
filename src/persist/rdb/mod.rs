//! The RDB format, version 12 and all before it.
//!
//! ```text
//!   "REDIS" version in four digits
//!   AUX name text …                           who wrote it, and when
//!   FUNCTION2 source …
//!   SELECTDB number  RESIZEDB keys expiring
//!     AUX name text …                         what of ours concerns the key that follows; see [`own`]
//!     [EXPIRETIME_MS i64] [IDLE seconds | FREQ u8]  type key value
//!     …
//!   EOF  CRC-64 of all before (u64 LE; 0 for none)
//! ```
//!
//! Lengths take one, two, five or nine bytes; text is a length and bytes, or an integer, or compressed by LZF. A compact
//! collection is text: its bytes as they are in memory, with the frame that Redis gives them. What is large is a count
//! and its items one by one.
//!
//! [`encode`] writes values, [`decode`] reads them, [`file`] is what stands around them in a file, [`payload`] what DUMP
//! puts around one.

pub mod check;
pub mod decode;
pub mod encode;
pub mod error;
pub mod file;
mod frames;
pub mod own;
pub mod payload;
pub mod source;
mod stream;
#[cfg(test)]
mod tests;
mod ziplist;

use crc::{CRC_64_REDIS, Crc, Digest, Table};

/// The newest version that is read.
pub const VERSION: u16 = 12;
/// The version that is written as long as nothing needs a newer one.
pub const COMMON_VERSION: u16 = 11;

/// CRC-64 as in Redis ("Jones"), sixteen bytes at a time.
static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// A checksum that is being computed.
pub type Checksum = Digest<'static, u64, Table<16>>;

/// The checksum of nothing so far.
pub fn checksum() -> Checksum {
    CRC.digest()
}

/// What stands where a value's type could stand.
pub mod opcode {
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION2: u8 = 245;
    pub const FUNCTION_PRE_GA: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQ: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZEDB: u8 = 251;
    pub const EXPIRETIME_MS: u8 = 252;
    pub const EXPIRETIME: u8 = 253;
    pub const SELECTDB: u8 = 254;
    pub const EOF: u8 = 255;
}

/// Types of values, as the format numbers them.
pub mod tag {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    pub const ZSET_2: u8 = 5;
    pub const MODULE_PRE_GA: u8 = 6;
    pub const MODULE_2: u8 = 7;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM_LISTPACKS: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const STREAM_LISTPACKS_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_LISTPACKS_3: u8 = 21;
    pub const HASH_METADATA_PRE_GA: u8 = 22;
    pub const HASH_LISTPACK_EX_PRE_GA: u8 = 23;
    pub const HASH_METADATA: u8 = 24;
    pub const HASH_LISTPACK_EX: u8 = 25;

    /// What redis-check-rdb calls each.
    pub const NAMES: [&str; 26] = [
        "string",
        "list-linked",
        "set-hashtable",
        "zset-v1",
        "hash-hashtable",
        "zset-v2",
        "module-pre-release",
        "module-value",
        "",
        "hash-zipmap",
        "list-ziplist",
        "set-intset",
        "zset-ziplist",
        "hash-ziplist",
        "quicklist",
        "stream",
        "hash-listpack",
        "zset-listpack",
        "quicklist-v2",
        "stream-v2",
        "set-listpack",
        "stream-v3",
        "hash-hashtable-md-pre-release",
        "hash-listpack-md-pre-release",
        "hash-hashtable-md",
        "hash-listpack-md",
    ];
}

/// What a node of a list holds in LIST_QUICKLIST_2.
mod node {
    pub const PLAIN: u64 = 1;
    pub const PACKED: u64 = 2;
}

/// The first byte of a length, or of text that is none of its bytes.
mod length {
    /// The upper two bits decide.
    pub const MASK: u8 = 0xC0;
    pub const SIX_BITS: u8 = 0x00;
    pub const FOURTEEN_BITS: u8 = 0x40;
    pub const BITS_32: u8 = 0x80;
    pub const BITS_64: u8 = 0x81;
    pub const INT8: u8 = 0xC0;
    pub const INT16: u8 = 0xC1;
    pub const INT32: u8 = 0xC2;
    pub const LZF: u8 = 0xC3;
}
