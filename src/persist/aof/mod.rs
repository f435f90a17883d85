//! The append-only file: every change, as a command, in the order in which the changes were made.
//!
//! It consists of several files, as since Redis 7: a base that holds the data at some moment, as a snapshot or as commands, and
//! increments with the commands since. The manifest says which. A rewrite begins a new increment and makes a new base for
//! it, whereupon everything older can go.

pub mod check;
pub mod commands;
pub mod filling;
pub mod gathering;
pub mod manifest;
pub mod reader;
mod walker;
pub mod writer;
