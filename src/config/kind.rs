//! What a setting may hold, and the typed fields that hold it.
//!
//! Between the outside (files, flags, variables, CONFIG) and the typed fields of `Settings` a value is text: one
//! or more words in, one line out, and the line is always accepted as input again. A [`Kind`] is the grammar of
//! that text; a [`Field`] is a Rust type that can be assigned from it. Error texts are those of Redis, for clients
//! match them.

use std::path::Path;

use super::amount::parse_redis_size;
use super::text::no_nul;
use super::words::quote_if_needed;
use crate::observe::reason;

/// The grammar of a setting's value.
#[derive(Clone, Copy)]
pub enum Kind {
    /// `yes` or `no`.
    YesNo,
    /// A decimal number, both bounds included.
    Integer { min: i64, max: i64 },
    /// Bytes, with an optional unit, both bounds included.
    Memory { min: u64, max: u64 },
    /// Bytes, or `N%` of maxmemory.
    MemoryOrPercent,
    /// File permissions.
    Octal { max: u32 },
    /// One of these names.
    Choice(&'static [&'static str]),
    /// Any set of these names.
    Choices(&'static [&'static str]),
    /// Text that passes the check.
    Text(fn(&str) -> Result<(), &'static str>),
    /// An existing directory, held as an absolute path.
    Directory,
    /// Any number of words up to `max`; one empty word is none.
    Words { max: usize, too_many: &'static str },
    /// `SECONDS CHANGES` pairs.
    SavePoints,
    /// `CLASS HARD SOFT SECONDS` groups; classes that are not named keep their limits.
    OutputBufferLimits,
    /// Three scores: master, replica, background child.
    OomScores,
    /// Numbers from 0 to 100.
    Percentiles,
    /// Letters that choose classes of keyspace events.
    EventClasses,
    /// `HOST PORT`, or `no one`.
    Endpoint,
    /// `NAME DEFAULT_TTL MAX_MEMORY` groups.
    Namespaces,
    /// A directive that may be repeated, with this many words.
    Lines { min: usize, max: usize },
    /// ACL users: the name, then rules. A name may occur once.
    Users,
}

pub(super) const WRONG_NUMBER: &str = "wrong number of arguments";
pub(super) const BAD_DIRECTIVE: &str = "Bad directive or wrong number of arguments";

impl Kind {
    /// Whether the value is a list of words; all others are exactly one word.
    pub fn takes_many_words(&self) -> bool {
        use Kind::*;
        match self {
            YesNo | Integer { .. } | Memory { .. } | MemoryOrPercent | Octal { .. } | Choice(_) => false,
            Text(_) | Directory | EventClasses => false,
            Choices(_) | Words { .. } | SavePoints | OutputBufferLimits | OomScores | Percentiles => true,
            Endpoint | Namespaces | Lines { .. } | Users => true,
        }
    }

    /// Whether this is a directive of files and flags that CONFIG does not show.
    pub fn is_directive(&self) -> bool {
        matches!(self, Kind::Lines { .. } | Kind::Users)
    }

    /// What is allowed, in words that finish "takes …".
    pub fn allowed(&self) -> String {
        match self {
            Kind::YesNo => "yes or no".to_owned(),
            Kind::Integer { min: i64::MIN, max } => format!("an integer up to {max}"),
            Kind::Integer { min, max: i64::MAX } => format!("an integer from {min}"),
            Kind::Integer { min, max } => format!("an integer from {min} to {max}"),
            Kind::Memory { min: 0, .. } => "bytes, or a size such as 100mb or 2gb".to_owned(),
            Kind::Memory { min, .. } => format!("at least {min} bytes, or a size such as 100mb or 2gb"),
            Kind::MemoryOrPercent => "bytes, a size such as 100mb, or a percentage of maxmemory such as 5%".to_owned(),
            Kind::Octal { max } => format!("octal permissions from 0 to {max:o}"),
            Kind::Choice(names) => format!("one of {}", names.join(", ")),
            Kind::Choices(names) => format!("one or more of {}", names.join(", ")),
            Kind::Text(_) => "text".to_owned(),
            Kind::Directory => "a directory that exists".to_owned(),
            Kind::Words { max: usize::MAX, .. } => "any number of words".to_owned(),
            Kind::Words { max, .. } => format!("up to {max} words"),
            Kind::SavePoints => "pairs of seconds and changes, or \"\" for none".to_owned(),
            Kind::OutputBufferLimits => {
                "groups of class (normal, replica, pubsub), hard limit, soft limit, seconds".to_owned()
            }
            Kind::OomScores => "three integers from -2000 to 2000".to_owned(),
            Kind::Percentiles => "numbers from 0 to 100, or \"\" for none".to_owned(),
            Kind::EventClasses => "letters of Ag$lshzxeKEtmdni, or \"\" for none".to_owned(),
            Kind::Endpoint => "a host and a port, or no one".to_owned(),
            Kind::Namespaces => "groups of name, default TTL (0, 30s, 5m …), memory limit (0, 100mb …)".to_owned(),
            Kind::Lines { min, max: usize::MAX } => format!("at least {min} words"),
            Kind::Lines { max, .. } => format!("{max} words"),
            Kind::Users => "a user name and ACL rules".to_owned(),
        }
    }

    /// Reads the number kinds.
    fn number(&self, word: &str) -> Result<i128, String> {
        let out_of_range = |min: i128, max: i128| format!("argument must be between {min} and {max} inclusive");
        match *self {
            Kind::Integer { min, max } => {
                let number = parse_integer(word).ok_or("argument couldn't be parsed into an integer")?;
                let fits = (min..=max).contains(&number);
                fits.then_some(number.into()).ok_or_else(|| out_of_range(min.into(), max.into()))
            }
            Kind::Memory { min, max } => {
                let bytes = parse_redis_size(word).ok_or("argument must be a memory value")?;
                let fits = (min..=max).contains(&bytes);
                fits.then_some(bytes.into()).ok_or_else(|| out_of_range(min.into(), max.into()))
            }
            Kind::Octal { max } => {
                let octal = !word.is_empty() && word.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
                let number = if octal { u64::from_str_radix(word, 8).ok() } else { None };
                let number = number.ok_or("argument couldn't be parsed as an octal number")?;
                let fits = number <= max.into();
                fits.then_some(number.into()).ok_or_else(|| format!("argument must be between 0 and {max:o} inclusive"))
            }
            _ => unreachable!("a number field needs a number kind"),
        }
    }
}

/// A decimal number in its one canonical form: no plus sign, no leading zeros, no blanks.
fn parse_integer(word: &str) -> Option<i64> {
    let number: i64 = word.parse().ok()?;
    let digits = word.strip_prefix('-').unwrap_or(word);
    let canonical = digits.starts_with(|digit: char| matches!(digit, '1'..='9')) || word == "0";
    canonical.then_some(number)
}

/// A field of `Settings`.
pub trait Field: Default {
    /// Takes over what `words` spell. `again` means that the directive has occurred before in the same load: kinds
    /// that collect then add instead of replacing. On error the field is unchanged.
    fn assign(&mut self, kind: &Kind, words: &[&str], again: bool) -> Result<(), String>;

    /// The value as one line of text, as CONFIG GET shows it.
    fn show(&self, kind: &Kind) -> String;
}

pub(super) fn single<'a>(words: &[&'a str]) -> Result<&'a str, String> {
    match words {
        [word] => Ok(word),
        _ => Err(WRONG_NUMBER.to_owned()),
    }
}

/// `save ""` and its like: one empty word stands for no words.
pub(super) fn none_if_empty<'a, 'b>(words: &'a [&'b str]) -> &'a [&'b str] {
    if words == [""] { &[] } else { words }
}

impl Field for bool {
    fn assign(&mut self, _: &Kind, words: &[&str], _: bool) -> Result<(), String> {
        let word = single(words)?;
        if !word.eq_ignore_ascii_case("yes") && !word.eq_ignore_ascii_case("no") {
            return Err("argument must be 'yes' or 'no'".to_owned());
        }
        *self = word.eq_ignore_ascii_case("yes");
        Ok(())
    }

    fn show(&self, _: &Kind) -> String {
        if *self { "yes" } else { "no" }.to_owned()
    }
}

macro_rules! number_fields {
    ($($number:ty)+) => {$(
        impl Field for $number {
            fn assign(&mut self, kind: &Kind, words: &[&str], _: bool) -> Result<(), String> {
                let number = kind.number(single(words)?)?;
                *self = <$number>::try_from(number).map_err(|_| "argument is out of range".to_owned())?;
                Ok(())
            }

            fn show(&self, kind: &Kind) -> String {
                if let Kind::Octal { .. } = kind { format!("{self:o}") } else { self.to_string() }
            }
        }
    )+};
}

number_fields!(u16 u32 u64 usize i32 i64);

/// A limit in bytes, or as a share of maxmemory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// Bytes; 0 is no limit.
    Bytes(u64),
    /// Percent of maxmemory, 0 to 100.
    Percent(u8),
}

impl MemoryLimit {
    /// The limit in bytes under this `maxmemory`; 0 is no limit.
    pub fn bytes(self, maxmemory: u64) -> u64 {
        match self {
            MemoryLimit::Bytes(bytes) => bytes,
            MemoryLimit::Percent(percent) => (u128::from(maxmemory) * u128::from(percent) / 100) as u64,
        }
    }
}

impl Default for MemoryLimit {
    fn default() -> Self {
        MemoryLimit::Bytes(0)
    }
}

impl Field for MemoryLimit {
    fn assign(&mut self, _: &Kind, words: &[&str], _: bool) -> Result<(), String> {
        let word = single(words)?;
        let percent = word.strip_suffix('%').and_then(parse_integer).filter(|percent| *percent >= 0);
        *self = match percent {
            // Redis stores a percentage as a negative number of bytes, so 0% is 0 bytes.
            Some(0) => MemoryLimit::Bytes(0),
            Some(percent @ 1..=100) => MemoryLimit::Percent(percent as u8),
            Some(_) => return Err("percentage argument must be less or equal to 100".to_owned()),
            None => MemoryLimit::Bytes(parse_redis_size(word).ok_or("argument must be a memory or percent value")?),
        };
        Ok(())
    }

    fn show(&self, _: &Kind) -> String {
        match self {
            MemoryLimit::Bytes(bytes) => bytes.to_string(),
            MemoryLimit::Percent(percent) => format!("{percent}%"),
        }
    }
}

impl Field for String {
    fn assign(&mut self, kind: &Kind, words: &[&str], _: bool) -> Result<(), String> {
        let word = single(words)?;
        *self = match kind {
            Kind::Directory => absolute_directory(word)?,
            Kind::Text(check) => check(word).map(|()| word.to_owned())?,
            _ => unreachable!("a text field needs a text kind"),
        };
        Ok(())
    }

    fn show(&self, _: &Kind) -> String {
        self.clone()
    }
}

fn absolute_directory(path: &str) -> Result<String, String> {
    if path == "." {
        // The default; it must not fail even if the working directory has been removed.
        return Ok(std::env::current_dir()
            .ok()
            .and_then(|path| path.to_str().map(str::to_owned))
            .unwrap_or(".".into()));
    }
    no_nul(path)?;
    let absolute = Path::new(path).canonicalize().map_err(|error| reason(&error))?;
    if !absolute.is_dir() {
        return Err("Not a directory".to_owned());
    }
    // Whoever may not enter it cannot see what is in it.
    absolute.join(".").metadata().map_err(|error| reason(&error))?;
    absolute.into_os_string().into_string().map_err(|_| "the path is not valid UTF-8".to_owned())
}

impl Field for Vec<String> {
    fn assign(&mut self, kind: &Kind, words: &[&str], _: bool) -> Result<(), String> {
        let Kind::Words { max, too_many } = kind else { unreachable!("a word list needs the kind Words") };
        let words = none_if_empty(words);
        if words.len() > *max {
            return Err((*too_many).to_owned());
        }
        if words.iter().any(|word| word.is_empty() || word.contains(char::is_whitespace) || word.contains('\0')) {
            return Err("argument has an empty word, or a word with blanks".to_owned());
        }
        *self = words.iter().map(|word| (*word).to_owned()).collect();
        Ok(())
    }

    fn show(&self, _: &Kind) -> String {
        self.join(" ")
    }
}

/// The words of each line of a repeated directive, without its name.
impl Field for Vec<Vec<String>> {
    fn assign(&mut self, kind: &Kind, words: &[&str], again: bool) -> Result<(), String> {
        let enough = match kind {
            Kind::Lines { min, max } => (*min..=*max).contains(&words.len()),
            _ => !words.is_empty(),
        };
        if !enough {
            return Err(BAD_DIRECTIVE.to_owned());
        }
        if !again {
            self.clear();
        }
        self.push(words.iter().map(|word| (*word).to_owned()).collect());
        Ok(())
    }

    fn show(&self, _: &Kind) -> String {
        let line = |words: &Vec<String>| words.iter().map(|word| quote_if_needed(word)).collect::<Vec<_>>().join(" ");
        self.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
