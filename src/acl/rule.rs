//! Rules: cutting them out of words, and what can be wrong with one.

use std::fmt;

/// Why a rule is refused. Displays as clients see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RuleError {
    /// It is none, or its pattern holds blanks.
    Syntax,
    /// It names a command, subcommand or category that there is not.
    Unknown,
    /// A key pattern behind one that allows all keys.
    KeysAfterAll,
    /// A channel pattern behind one that allows all channels.
    ChannelsAfterAll,
    /// The password to remove is none of the user's.
    NoSuchPassword,
    /// A hash that is not one.
    BadHash,
    /// First arguments can be allowed of commands, not of subcommands.
    FirstArgOfSubcommand,
}

impl fmt::Display for RuleError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            RuleError::Syntax => "Syntax error",
            RuleError::Unknown => "Unknown command or category name in ACL",
            RuleError::KeysAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any \
                 effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            RuleError::ChannelsAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
                 effect. Try 'resetchannels' to start with an empty list of channels"
            }
            RuleError::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            RuleError::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            RuleError::FirstArgOfSubcommand => "Allowing first-arg of a subcommand is not supported",
        })
    }
}

/// Joins the words of each selector, which people spread over several: `(+get` `~x)` is one rule.
///
/// # Errors
/// The place of the word that opens a selector which does not end.
pub fn merge(words: &[&[u8]]) -> Result<Vec<Vec<u8>>, usize> {
    let mut rules: Vec<Vec<u8>> = Vec::with_capacity(words.len());
    let mut open = None;
    for (at, word) in words.iter().enumerate() {
        match (open, rules.last_mut()) {
            (Some(_), Some(selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
            }
            _ => rules.push(word.to_vec()),
        }
        if open.is_none() && word.starts_with(b"(") {
            open = Some(at);
        }
        if word.ends_with(b")") {
            open = None;
        }
    }
    match open {
        Some(at) => Err(at),
        None => Ok(rules),
    }
}

/// Whether bytes hold white space or NULs, which no name or pattern may: users are written as words of a line.
pub fn has_blanks(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| matches!(byte, b' ' | b'\t'..=b'\r' | 0))
}

/// A rule as logs may show it: without what may be a password.
pub fn shown(rule: &[u8]) -> String {
    match rule.first() {
        Some(&sign @ (b'>' | b'<' | b'#' | b'!')) => format!("{}(redacted)", sign as char),
        // What stands there by mistake.
        Some(b'(') if rule.iter().any(|byte| b"><#!".contains(byte)) => "(redacted)".to_string(),
        _ => String::from_utf8_lossy(rule).into_owned(),
    }
}
