//! The ACL file: a line `user NAME RULES…` for each user, and nothing else but empty lines. The server writes this file,
//! too, so there are neither comments nor quotes in it.

use std::rc::Rc;

use super::rule::{self, RuleError, has_blanks};
use super::user::User;
use super::{Users, until_nul};

/// Reads the text of an ACL file.
///
/// # Errors
/// A text that lists everything that is wrong. Rules are repeated only if they cannot be secrets.
pub fn parse(text: &[u8], file: &str, open_channels: bool) -> Result<Users, Vec<u8>> {
    let mut users = Users::new();
    let mut errors: Vec<u8> = Vec::new();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = trimmed(line, b" \t\r\n");
        if line.is_empty() {
            continue;
        }
        let number = index + 1;
        let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        let [b"user", name, rules @ ..] = words.as_slice() else {
            errors.extend(
                format!("{file}:{number} should start with user keyword followed by the username. ").into_bytes(),
            );
            continue;
        };
        if has_blanks(name) {
            errors.extend(format!("'{file}:{number}: username '").into_bytes());
            errors.extend_from_slice(until_nul(name));
            errors.extend_from_slice(b"' contains invalid characters. ");
            continue;
        }
        if users.contains_key(*name) {
            errors.extend_from_slice(b"WARNING: Duplicate user '");
            errors.extend_from_slice(name);
            errors.extend(format!("' found on line {number}. ").into_bytes());
            continue;
        }
        let mut user = User::new(name, open_channels);
        match rule::merge(rules) {
            Ok(rules) => apply(&mut user, &rules, &format!("{file}:{number}"), open_channels, &mut errors),
            Err(_) => {
                errors.extend(format!("{file}:{number}: Unmatched parenthesis in selector definition.").into_bytes());
            }
        }
        users.insert((*name).into(), Rc::new(user));
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors
        .extend_from_slice(b"WARNING: ACL errors detected, no change to the previously active ACL rules was performed");
    Err(errors)
}

/// Applies the rules of a line. Of what is wrong, unknown commands are told each, anything else once.
fn apply(user: &mut User, rules: &[Vec<u8>], place: &str, open_channels: bool, errors: &mut Vec<u8>) {
    let mut told = false;
    for rule in rules {
        let rule = trimmed(rule, b"\t\r\n");
        match user.apply(rule, open_channels) {
            Ok(()) => {}
            Err(error @ RuleError::Unknown) => {
                errors.extend(format!("{place}: Error in applying operation '").into_bytes());
                errors.extend_from_slice(until_nul(rule));
                errors.extend(format!("': {error}. ").into_bytes());
            }
            Err(error) if !told => {
                errors.extend(format!("{place}: {error}. ").into_bytes());
                told = true;
            }
            Err(_) => {}
        }
    }
}

/// Bytes without certain others at both ends.
fn trimmed<'a>(mut bytes: &'a [u8], set: &[u8]) -> &'a [u8] {
    while let [first, rest @ ..] = bytes
        && set.contains(first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && set.contains(last)
    {
        bytes = rest;
    }
    bytes
}
