//! What the settings call plugins: parts of the server that can be switched off.
//!
//! They are not written as plugins, for they would be neither shorter nor faster: the slow log, say, asks for nothing but a
//! comparison of times that are taken anyway. Here is what INFO tells of them.

use crate::config::Settings;

/// A part of the server with a switch under `plugins:` or `persistence:` in the settings.
pub struct Builtin {
    pub name: &'static str,
    pub is_on: fn(&Settings) -> bool,
}

/// All of them.
pub const BUILTIN: &[Builtin] = &[
    Builtin { name: "stats", is_on: |settings| settings.stats_enabled },
    Builtin { name: "auth", is_on: |settings| settings.auth_enabled },
    Builtin { name: "slowlog", is_on: |settings| settings.slowlog_enabled },
    Builtin { name: "persistence", is_on: |settings| settings.persistence_enabled },
];
