//! What outlives the process: the append-only file.

pub mod aof;
