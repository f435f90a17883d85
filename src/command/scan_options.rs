//! The options of HSCAN, SSCAN and ZSCAN.

use super::error::Error;
use super::keys::{self, Pattern};
use crate::resp::{Args, Reply};
use crate::types::number::parse_i64;

/// What a scan of one collection is asked for besides its cursor.
pub(super) struct ScanOptions<'a> {
    /// How many members to look at, about.
    pub count: usize,
    /// Which of them to answer.
    pub pattern: Pattern<'a>,
    /// Only fields, no values.
    pub no_values: bool,
}

/// The cursor of a scan of one collection.
///
/// # Errors
/// It is no number.
pub(super) fn cursor(args: &Args<'_>) -> Result<u64, Error> {
    keys::cursor(&args[2])
}

/// Answers the scan of a collection that is not there.
pub(super) fn answer_nothing(reply: &mut Reply) {
    reply.array(2);
    reply.bulk_integer(0);
    reply.array(0);
}

impl<'a> ScanOptions<'a> {
    /// Reads what follows the cursor. A hash alone `has_values` that can be left out.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(args: &'a Args<'_>, has_values: bool) -> Result<ScanOptions<'a>, Error> {
        let mut options = ScanOptions { count: 10, pattern: Pattern::new(b"*"), no_values: false };
        let mut at = 3;
        while at < args.len() {
            let word = &args[at];
            match args.get(at + 1) {
                Some(value) if word.eq_ignore_ascii_case(b"COUNT") => {
                    let count = parse_i64(value).ok_or(Error::NOT_AN_INTEGER)?;
                    if count < 1 {
                        return Err(Error::SYNTAX);
                    }
                    options.count = usize::try_from(count).unwrap_or(usize::MAX);
                    at += 2;
                }
                Some(value) if word.eq_ignore_ascii_case(b"MATCH") => {
                    options.pattern = Pattern::new(value);
                    at += 2;
                }
                _ if word.eq_ignore_ascii_case(b"NOVALUES") => {
                    if !has_values {
                        return Err(Error::fixed("ERR NOVALUES option can only be used in HSCAN"));
                    }
                    options.no_values = true;
                    at += 1;
                }
                _ => return Err(Error::SYNTAX),
            }
        }
        Ok(options)
    }
}
