//! Where the keys of a command are among its arguments: what COMMAND GETKEYS tells, and what access control and cluster
//! routing ask.
//!
//! The rows of the table say it by key specifications; only what a command does with its keys can depend on its
//! options, and then the row says `variable_flags` and the answer is here.

use super::table::{Begin, Command, Find, KeyFlags, KeySpec};
use crate::resp::Args;
use crate::types::number::leading_i64;

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
    command: &Command,
    args: &Args<'_>,
    start: usize,
    mut visit: impl FnMut(usize, KeyFlags),
) -> Result<(), Misplaced> {
    if command.name == "migrate" {
        migrated(args, start).for_each(|at| visit(at, command.keys[0].flags));
        return Ok(());
    }
    for spec in command.keys {
        let flags = flags(command, spec, args, start);
        if command.name == "sort" && flags.contains(KeyFlags::OW) {
            sort_destination(args, start).into_iter().for_each(|at| visit(at, flags));
        } else if let ("georadius" | "georadiusbymember", Begin::Keyword(word, from)) = (command.name, spec.begin) {
            geo_destinations(word, args, start + from as usize).for_each(|at| visit(at, flags));
        } else if let Some((first, last, step)) = range(spec, args, start)? {
            (first..=last).step_by(step).for_each(|at| visit(at, flags));
        }
    }
    Ok(())
}

/// The key behind the last STORE of a SORT: a word behind another option is none.
fn sort_destination(args: &Args<'_>, start: usize) -> Option<usize> {
    let options: [(&[u8], usize); 4] = [(b"limit", 2), (b"get", 1), (b"by", 1), (b"store", 1)];
    let mut destination = None;
    let mut at = start + 2;
    while let Some(word) = args.get(at) {
        let option = options.iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
        if option.is_some_and(|(name, _)| *name == b"store") && at + 1 < args.len() {
            destination = Some(at + 1);
        }
        at += 1 + option.map_or(0, |(_, words)| *words);
    }
    destination
}

/// The keys behind an option of GEORADIUS that says where to store. The last one is where it does, but whoever names
/// several must be allowed them all.
fn geo_destinations(option: &str, args: &Args<'_>, from: usize) -> impl Iterator<Item = usize> {
    let mut at = from;
    std::iter::from_fn(move || {
        let found = (at..args.len()).find(|&at| args[at].eq_ignore_ascii_case(option.as_bytes()))? + 1;
        at = found + 1;
        (found < args.len()).then_some(found)
    })
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
        // What there may be any number of there may be none of, such as the sources of PFMERGE.
        Find::Range { last: -1, limit: 0, .. } if begin == end => return Ok(None),
        Find::Range { last, step, limit } => {
            let last = match (last, limit) {
                (0.., _) => begin + last as usize,
                (_, 0 | 1) => end.saturating_sub(last.unsigned_abs() as usize),
                (_, limit) => (begin + end.saturating_sub(begin) / limit as usize).saturating_sub(1),
            };
            (begin, last, step)
        }
        Find::KeyNum { number, first, step } => {
            // Whether the whole word is a number the command itself asks: access is to be refused before it does.
            let keys = args.get(begin + number as usize).map(leading_i64).ok_or(Misplaced)?;
            // Where it is 0, no command runs that must have keys, and the others have none then.
            let keys = usize::try_from(keys).ok().filter(|&keys| (1..end).contains(&keys)).ok_or(Misplaced)?;
            let first = begin + first as usize;
            (first, first + (keys - 1) * step as usize, step)
        }
        Find::Unknown => return Ok(None),
    };
    if first > last || last >= end { Err(Misplaced) } else { Ok(Some((first, last, step.max(1) as usize))) }
}

/// The keys of MIGRATE: one, or, if that is empty, those behind KEYS, where that is not a password.
fn migrated(args: &Args<'_>, start: usize) -> std::ops::Range<usize> {
    let mut at = start + 6;
    while let Some(word) = args.get(at) {
        let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
        if is("keys") && args[start + 3].is_empty() {
            return at + 1..args.len();
        }
        at += if is("auth2") {
            3
        } else if is("auth") {
            2
        } else {
            1
        };
    }
    start + 3..(start + 4).min(args.len())
}

/// What a command does with the keys of a specification, given its options.
fn flags(command: &Command, spec: &KeySpec, args: &Args<'_>, start: usize) -> KeyFlags {
    if !spec.flags.contains(KeyFlags::VARIABLE_FLAGS) {
        return spec.flags;
    }
    let says = |from: usize, words: &[&str]| {
        let mut options = args.iter_from(start + from);
        options.any(|option| words.iter().any(|word| option.eq_ignore_ascii_case(word.as_bytes())))
    };
    match command.name {
        "set" | "settag" if !says(3, &["get"]) => KeyFlags::OW | KeyFlags::UPDATE,
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

#[cfg(test)]
mod tests {
    use super::super::table::all;
    use super::*;
    use crate::resp::request::split_words;
    use crate::resp::{Limits, RequestParser};

    /// What [`each_key`] visits of a command line, in which the command is the third word.
    fn keys(command: &Command, line: &str) -> Result<Vec<(String, KeyFlags)>, Misplaced> {
        let words = split_words(format!("COMMAND GETKEYS {line}").as_bytes()).expect("quotes are balanced");
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in &words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        let (mut at, mut spans) = (0, Vec::new());
        let limits = Limits { max_bulk: 1 << 20, authenticated: true };
        RequestParser::default().parse(&request, &mut at, &mut spans, limits).expect("the request is well-formed");
        let args = Args::new(&request, &spans, &mut []);
        let mut found = Vec::new();
        each_key(command, &args, 2, |at, flags| {
            found.push((String::from_utf8_lossy(&args[at]).into_owned(), flags));
        })?;
        Ok(found)
    }

    const RO: KeyFlags = KeyFlags::RO;

    const fn spec(begin: Begin, find: Find) -> KeySpec {
        KeySpec { begin, find, flags: RO, notes: "" }
    }

    #[test]
    fn positions_follow_the_specifications() {
        const PAIRS: &[KeySpec] = &[KeySpec::range(1, -1, 2, RO)];
        const BUT_ONE: &[KeySpec] = &[KeySpec::range(1, -2, 1, RO)];
        const TWO: &[KeySpec] = &[KeySpec::range(1, 1, 1, RO)];
        const COUNTED: &[KeySpec] =
            &[KeySpec::one(1, RO), spec(Begin::Index(2), Find::KeyNum { number: 0, first: 1, step: 1 })];
        const HALF: &[KeySpec] = &[spec(Begin::Keyword("STREAMS", 1), Find::Range { last: -1, step: 1, limit: 2 })];
        const BEHIND: &[KeySpec] = &[spec(Begin::Keyword("KEYS", -2), Find::Range { last: -1, step: 1, limit: 0 })];
        const UNKNOWN: &[KeySpec] = &[spec(Begin::Unknown, Find::Unknown)];
        let cases: &[(&'static [KeySpec], &str, Option<&str>)] = &[
            (&[], "ping a b", Some("")),
            (PAIRS, "mset a 1 b 2", Some("a b")),
            (PAIRS, "mset a 1 b", Some("a b")),
            (BUT_ONE, "blpop a b 0", Some("a b")),
            (BUT_ONE, "blpop 0", None),
            (TWO, "lcs a b LEN", Some("a b")),
            (TWO, "lcs a", None),
            (COUNTED, "zunionstore d 2 a b WEIGHTS 1 2", Some("d a b")),
            (COUNTED, "zunionstore d 0 a", None),
            (COUNTED, "zunionstore d 3 a b", None),
            (COUNTED, "zunionstore d -1 a b", None),
            (COUNTED, "zunionstore d 9223372036854775807 a b", None),
            (COUNTED, "zunionstore d many a b", None),
            (COUNTED, "zunionstore d", None),
            (HALF, "xread COUNT 1 streams a b 1 2", Some("a b")),
            (HALF, "xread COUNT 1 streams a b 1", Some("a")),
            (HALF, "xread COUNT 1 streams a", None),
            (HALF, "xread COUNT 1", Some("")),
            (BEHIND, "migrate h p '' 0 1 KEYS a b", Some("a b")),
            (BEHIND, "migrate h p KEYS", Some("")),
            (UNKNOWN, "sort a BY b", Some("")),
        ];
        for (specs, line, expected) in cases {
            let command = Command { keys: specs, ..Command::NONE };
            let found = keys(&command, line).ok();
            let found = found.map(|keys| keys.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" "));
            assert_eq!(found.as_deref(), *expected, "{line}");
        }
    }

    #[test]
    fn keys_of_points_that_are_stored() {
        let command = all().map(|id| id.command()).find(|command| command.name == "georadius").expect("it is there");
        let cases = [
            ("georadius k 1 1 1 km", "k"),
            ("georadius k 1 1 1 km STORE a", "k a"),
            ("georadius k 1 1 1 km STORE STORE ASC", "k STORE"),
            ("georadius k 1 1 1 km STORE a ASC STORE b", "k a b"),
            ("georadius k 1 1 1 km STOREDIST a STORE b STOREDIST c", "k b a c"),
        ];
        for (line, expected) in cases {
            let found = keys(command, line).expect("it has keys");
            let found = found.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" ");
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn keys_that_move() {
        let command = all().map(|id| id.command()).find(|command| command.name == "migrate").expect("it is there");
        let cases = [
            ("migrate h p k 0 1", "k"),
            ("migrate h p k 0 1 COPY KEYS a", "k"),
            ("migrate h p '' 0 1 COPY keys a b", "a b"),
            ("migrate h p '' 0 1 AUTH keys KEYS a", "a"),
            ("migrate h p '' 0 1 AUTH2 keys keys KEYS a b", "a b"),
        ];
        for (line, expected) in cases {
            let found = keys(command, line).expect("it has keys");
            let found = found.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" ");
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn options_decide_on_variable_flags() {
        let update = KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE;
        let cases = [
            ("set", "set k v", KeyFlags::OW | KeyFlags::UPDATE),
            ("set", "set k get", KeyFlags::OW | KeyFlags::UPDATE),
            ("set", "set k v EX 10 Get", update),
            ("bitfield", "bitfield k", KeyFlags::READS),
            ("bitfield", "bitfield k GET u8 0", KeyFlags::READS),
            ("bitfield", "bitfield k GET u8 0 incrby u8 0 1", update),
            ("another", "another k", update),
        ];
        const SPECS: &[KeySpec] = &[KeySpec::one(
            1,
            KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE).union(KeyFlags::VARIABLE_FLAGS),
        )];
        for (name, line, expected) in cases {
            let command = Command { name, keys: SPECS, ..Command::NONE };
            assert_eq!(keys(&command, line), Ok(vec![("k".to_string(), expected)]), "{line}");
        }
    }

    #[test]
    fn ranges_that_lie_end_to_end_are_one() {
        const BITOP: &[KeySpec] = &[KeySpec::one(2, RO), KeySpec::range(3, -1, 1, RO)];
        const COPY: &[KeySpec] = &[KeySpec::one(1, RO), KeySpec::one(2, RO)];
        const APART: &[KeySpec] = &[KeySpec::one(1, RO), KeySpec::one(3, RO)];
        const MSET: &[KeySpec] = &[KeySpec::range(1, -1, 2, RO)];
        const LATER: &[KeySpec] = &[spec(Begin::Keyword("KEYS", 1), Find::Range { last: -1, step: 1, limit: 0 })];
        let cases: [(&'static [KeySpec], _); 6] = [
            (&[], (0, 0, 0)),
            (BITOP, (2, -1, 1)),
            (COPY, (1, 2, 1)),
            (APART, (1, 1, 1)),
            (MSET, (1, -1, 2)),
            (LATER, (0, 0, 0)),
        ];
        for (keys, expected) in cases {
            assert_eq!(legacy_range(&Command { keys, ..Command::NONE }), expected);
        }
    }

    #[test]
    fn every_row_says_where_its_keys_are() {
        for command in all().map(|id| id.command()) {
            for spec in command.keys {
                let told = spec.begin != Begin::Unknown
                    && spec.find != Find::Unknown
                    && !spec.flags.contains(KeyFlags::INCOMPLETE);
                // Of what SORT looks up nobody can say it; its destination, and the keys of MIGRATE, are found by functions.
                let known = told || command.name.starts_with("sort") || command.name == "migrate";
                assert!(known, "{}: only a function can say where the keys are, and there is none", command.name);
            }
        }
    }
}
