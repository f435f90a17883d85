//! CacheStorm: a drop-in Redis replacement. One thread owns everything; follow a command from the top of this list to
//! the bottom.
#![deny(unsafe_code)]

pub mod reactor;

pub mod acl;
pub mod command;

pub mod net;

pub mod resp;

pub mod keyspace;

pub mod types;

pub mod effects;

pub mod pubsub;

pub mod persist;

pub mod observe;

pub mod config;

pub mod helper;

#[cfg(test)]
mod fuzz;
