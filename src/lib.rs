#![deny(unsafe_code)]
pub mod effects;
pub mod keyspace;
pub mod resp;
pub mod types;
