//! The values: what they are made of and how their commands compute.

pub mod bits;
pub mod field;
pub mod geohash;
pub mod glob;
pub mod hash;
pub mod hyperloglog;
pub mod intset;
pub mod lcs;
pub mod listpack;
pub mod long_double;
pub mod lzf;
pub mod map;
pub mod member;
pub mod number;
pub mod ordered;
mod packed;
pub mod quicklist;
pub mod set;
pub mod stream;
pub mod table;
pub mod telling;
pub mod value;
pub mod weight;
pub mod zset;
