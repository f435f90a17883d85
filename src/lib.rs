//! CacheStorm: a drop-in Redis replacement. One thread owns everything; follow a command from the top of this list to
//! the bottom.
#![deny(unsafe_code)]

pub mod reactor;

pub mod command;

pub mod plugin;

pub mod acl;

pub mod script;

pub mod net;

pub mod persist;

pub mod pubsub;

pub mod replication;

pub mod resp;

pub mod keyspace;

pub mod types;

pub mod effects;

pub mod observe;

pub mod config;

pub mod helper;

pub mod memory;

pub use command::state::Server;

#[cfg(test)]
mod fuzz;
