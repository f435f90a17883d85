//! Where the keys of a command are among its arguments: what COMMAND GETKEYS tells, and what access control and cluster
//! routing ask.
//!
//! The rows of the table say it by key specifications; only what a command does with its keys can depend on its
//! options, and then the row says `variable_flags` and the answer is here.

use super::table::{Begin, Command, Find, KeyFlags, KeySpec, Registered};
use crate::resp::Args;
use crate::types::number::parse_i64;

/// The arguments do not fit the key specifications: a number of keys that is none, or more than there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Misplaced;

/// Whether a command has keys at all.
pub fn has_keys(command: &Command) -> bool {
    command.keys.iter().any(|spec| !spec.flags.contains(KeyFlags::NOT_KEY))
}

/// Visits the position of each key with what the command does with it. The command's name (its container's, for a
/// subcommand) is the argument at `start`; the positions are those in `args`. What is routed like a key but is none,
/// such as a sharded channel, is visited too, with [`KeyFlags::NOT_KEY`].
///
/// # Errors
/// If the arguments do not fit a specification; some keys may have been visited by then.
pub fn each_key(
    command: &Registered,
    args: &Args<'_>,
    start: usize,
    mut visit: impl FnMut(usize, KeyFlags),
) -> Result<(), Misplaced> {
    for spec in command.command.keys {
        let flags = flags(command, spec, args, start);
        if let Some((first, last, step)) = range(spec, args, start)? {
            (first..=last).step_by(step).for_each(|at| visit(at, flags));
        }
    }
    Ok(())
}

/// The first and the last position that a specification means, and the step; `None` for none.
fn range(spec: &KeySpec, args: &Args<'_>, start: usize) -> Result<Option<(usize, usize, usize)>, Misplaced> {
    let end = args.len();
    let begin = match spec.begin {
        Begin::Index(index) => start + index as usize,
        Begin::Keyword(word, from) => {
            let is_word = |at: &usize| args[*at].eq_ignore_ascii_case(word.as_bytes());
            let found = if from >= 0 {
                (start + from as usize..end).find(is_word)
            } else {
                (start + 1..=end.saturating_sub(from.unsigned_abs() as usize)).rev().find(is_word)
            };
            match found {
                Some(at) => at + 1,
                None => return Ok(None),
            }
        }
        Begin::Unknown => return Ok(None),
    };
    let (first, last, step) = match spec.find {
        Find::Range { last, step, limit } => {
            let last = match (last, limit) {
                (0.., _) => begin + last as usize,
                (_, 0 | 1) => end.saturating_sub(last.unsigned_abs() as usize),
                (_, limit) => (begin + end.saturating_sub(begin) / limit as usize).saturating_sub(1),
            };
            (begin, last, step)
        }
        Find::KeyNum { number, first, step } => {
            let keys = args.get(begin + number as usize).and_then(parse_i64).ok_or(Misplaced)?;
            let keys = usize::try_from(keys).ok().filter(|&keys| keys < end).ok_or(Misplaced)?;
            if keys == 0 {
                return Ok(None);
            }
            let first = begin + first as usize;
            (first, first + (keys - 1) * step as usize, step)
        }
        Find::Unknown => return Ok(None),
    };
    if first > last || last >= end { Err(Misplaced) } else { Ok(Some((first, last, step.max(1) as usize))) }
}

/// What a command does with the keys of a specification, given its options.
fn flags(command: &Registered, spec: &KeySpec, args: &Args<'_>, start: usize) -> KeyFlags {
    if !spec.flags.contains(KeyFlags::VARIABLE_FLAGS) {
        return spec.flags;
    }
    let says = |from: usize, words: &[&str]| {
        let mut options = args.iter_from(start + from);
        options.any(|option| words.iter().any(|word| option.eq_ignore_ascii_case(word.as_bytes())))
    };
    match command.command.name {
        "set" if !says(3, &["get"]) => KeyFlags::OW | KeyFlags::UPDATE,
        "bitfield" if !says(2, &["set", "incrby"]) => KeyFlags::READS,
        _ => spec.flags - KeyFlags::VARIABLE_FLAGS,
    }
}

/// The keys as COMMAND INFO tells them beside the specifications: first, last (from the end if negative) and step; zeros
/// where no fixed range of arguments holds keys.
pub fn legacy_range(command: &Command) -> (i64, i64, i64) {
    let fixed = |spec: &KeySpec| match (spec.begin, spec.find) {
        (Begin::Index(index), Find::Range { last, step, .. }) => {
            let first = index as i64;
            Some((first, if last >= 0 { first + last as i64 } else { last as i64 }, step as i64))
        }
        _ => None,
    };
    let mut ranges = command.keys.iter().filter_map(fixed);
    let Some(mut all) = ranges.next() else { return (0, 0, 0) };
    for (first, last, step) in ranges {
        // Only what lies end to end makes one range.
        if all.1 + 1 != first || all.2 != 1 || step != 1 {
            break;
        }
        all.1 = last;
    }
    all
}
