//! Bit operations on strings.

use super::table::Command;

pub const COMMANDS: &[Command] = &[];
