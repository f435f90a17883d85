//! Ranges of sorted sets: ZRANGE in all its forms, and ZRANGESTORE.
//!
//! A range of ranks, scores or members is first turned into ranks, which both forms of a sorted set can iterate over,
//! and remove, from either end.

use std::borrow::Cow;
use std::ops::Range;

use super::combine::text;
use super::{entries_reply, growth, store, zset_of};
use crate::command::Ctx;
use crate::command::error::{Error, Outcome};
use crate::command::string::integer;
use crate::effects::Event;
use crate::resp::Args;
use crate::types::number::parse_f64;
use crate::types::zset::{self, Bounds, MemberBound, Rules, ScoreBound, Zset, ZsetRef};

/// What a range is a range of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Member,
}

/// A range as it is given, before it is known of which sorted set.
#[derive(Clone, Copy)]
pub(super) enum Span<'a> {
    /// From a rank to another, both included; negative ones count from the end.
    Ranks(i64, i64),
    Bounds(Bounds<'a>),
}

impl<'a> Span<'a> {
    /// # Errors
    /// If an end is no such thing.
    pub(super) fn parse(by: By, low: &'a [u8], high: &'a [u8]) -> Result<Span<'a>, Error> {
        Ok(match by {
            By::Rank => Span::Ranks(integer(low)?, integer(high)?),
            By::Score => Span::Bounds(scores(low, high)?),
            By::Member => Span::Bounds(members(low, high)?),
        })
    }

    /// The ranks that it means in a sorted set. Ranks are those that count from the highest score if `reverse`. More than
    /// `most` from there may be missing.
    pub(super) fn ranks(self, zset: ZsetRef<'_>, reverse: bool, most: usize) -> Range<usize> {
        let (start, stop) = match self {
            Span::Bounds(bounds) => return zset.some_ranks(bounds, reverse, most),
            Span::Ranks(start, stop) => (start, stop),
        };
        let len = zset.len();
        let rank = |rank: i64| if rank < 0 { rank.saturating_add(len as i64) } else { rank };
        let start = rank(start).clamp(0, len as i64) as usize;
        let end = (rank(stop).saturating_add(1).clamp(0, len as i64) as usize).max(start);
        if reverse { len - end..len - start } else { start..end }
    }
}

/// A range of scores.
///
/// # Errors
/// If an end is no score.
pub(super) fn scores(low: &[u8], high: &[u8]) -> Result<Bounds<'static>, Error> {
    let bound = |text: &[u8]| {
        let (text, exclusive) = match text {
            [b'(', text @ ..] => (text, true),
            text => (text, false),
        };
        Some(ScoreBound { score: bound_score(text)?, exclusive })
    };
    match (bound(low), bound(high)) {
        (Some(low), Some(high)) => Ok(Bounds::Scores(low, high)),
        _ => Err(Error::fixed("ERR min or max is not a float")),
    }
}

/// The score that an end of a range is. More passes for one here than elsewhere: nothing at all, which is 0, leading
/// white space, and numbers beyond what a double can tell; and as in the texts of a C program, a zero byte is the end.
fn bound_score(text: &[u8]) -> Option<f64> {
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let start = text.iter().position(|&byte| !matches!(byte, b' ' | b'\t'..=b'\r'))?;
    let text = &text[start..];
    let extreme = || std::str::from_utf8(text).ok()?.parse().ok();
    parse_f64(text).or_else(extreme).filter(|score: &f64| !score.is_nan())
}

/// A range of members.
///
/// # Errors
/// If an end does not say what it is.
pub(super) fn members<'a>(low: &'a [u8], high: &'a [u8]) -> Result<Bounds<'a>, Error> {
    let bound = |text: &'a [u8]| match text {
        [b'-'] | [b'-', 0, ..] => Some(MemberBound::Lowest),
        [b'+'] | [b'+', 0, ..] => Some(MemberBound::Highest),
        [b'[', member @ ..] => Some(MemberBound::From(member)),
        [b'(', member @ ..] => Some(MemberBound::Beyond(member)),
        _ => None,
    };
    match (bound(low), bound(high)) {
        (Some(low), Some(high)) => Ok(Bounds::Members(low, high)),
        _ => Err(Error::fixed("ERR min or max not valid string range item")),
    }
}

/// A range with all that ZRANGE and its kin can be asked for.
struct RangeQuery<'a> {
    span: Span<'a>,
    reverse: bool,
    with_scores: bool,
    /// How many entries to leave out at the beginning; none come if it is negative.
    offset: i64,
    /// How many entries to give at most; negative for all.
    count: i64,
}

impl<'a> RangeQuery<'a> {
    /// Reads the ends of a range at an argument and what follows them. What the command's name says is not an option
    /// any more: `by` and `reverse`; scores cannot be asked for if the result is to be stored.
    ///
    /// # Errors
    /// What is wrong with it.
    fn parse(
        args: &'a Args<'_>,
        at: usize,
        mut by: Option<By>,
        mut reverse: Option<bool>,
        stored: bool,
    ) -> Result<RangeQuery<'a>, Error> {
        let (mut with_scores, mut offset, mut count) = (false, 0, -1);
        let mut option = at + 2;
        while let Some(word) = args.get(option) {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if !stored && is("WITHSCORES") {
                with_scores = true;
            } else if is("LIMIT") && args.len() > option + 2 {
                offset = integer(&args[option + 1])?;
                count = integer(&args[option + 2])?;
                option += 2;
            } else if reverse.is_none() && is("REV") {
                reverse = Some(true);
            } else if by.is_none() && is("BYLEX") {
                by = Some(By::Member);
            } else if by.is_none() && is("BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(Error::SYNTAX);
            }
            option += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if count != -1 && by == By::Rank {
            return Err(Error::fixed(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Member {
            return Err(Error::fixed("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        let (low, high) = if reverse && by != By::Rank { (at + 1, at) } else { (at, at + 1) };
        let span = Span::parse(by, &args[low], &args[high])?;
        if by == By::Rank {
            offset = 0;
        }
        Ok(RangeQuery { span, reverse, with_scores, offset, count })
    }

    /// The ranks of what a sorted set has of it.
    fn ranks(&self, zset: ZsetRef<'_>) -> Range<usize> {
        let most = match (usize::try_from(self.offset), usize::try_from(self.count)) {
            (Ok(offset), Ok(count)) => offset.saturating_add(count),
            _ => usize::MAX,
        };
        let Range { start, end } = self.span.ranks(zset, self.reverse, most);
        let len = end - start;
        let skipped = match usize::try_from(self.offset) {
            Ok(offset) => offset.min(len),
            // As in Redis a large sorted set counts from the end of the range then; a small one has nothing there.
            Err(_) if matches!(zset, ZsetRef::Tree(_)) => {
                let back = usize::try_from(self.offset.unsigned_abs());
                back.ok().and_then(|back| len.checked_sub(back)).unwrap_or(len)
            }
            Err(_) => len,
        };
        let taken = usize::try_from(self.count).map_or(len - skipped, |count| count.min(len - skipped));
        if self.reverse { end - skipped - taken..end - skipped } else { start + skipped..start + skipped + taken }
    }

    /// Those entries, in the order asked for.
    fn entries<'z>(&self, zset: ZsetRef<'z>) -> (usize, zset::Iter<'z>) {
        let ranks = self.ranks(zset);
        (ranks.len(), if self.reverse { zset.iter_back(ranks) } else { zset.iter(ranks) })
    }
}

pub(super) fn range(cx: &mut Ctx<'_>, args: &Args<'_>, by: Option<By>, reverse: Option<bool>) -> Outcome {
    let query = RangeQuery::parse(args, 2, by, reverse, false)?;
    let Some(zset) = zset_of!(cx, args, 1) else {
        cx.reply.array(0);
        return Ok(());
    };
    let (len, entries) = query.entries(zset);
    entries_reply(&mut cx.reply, len, query.with_scores, entries);
    Ok(())
}

pub(super) fn zrangestore(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let query = RangeQuery::parse(args, 3, None, None, true)?;
    let (limits, hasher) = growth(cx);
    let rules = Rules { limits, hasher: &hasher };
    let found = match zset_of!(cx, args, 2) {
        Some(zset) => {
            let (len, entries) = query.entries(zset);
            // How many there are is taken for known beforehand where it follows from the ranks alone.
            let expected = if matches!(query.span, Span::Ranks(..)) { len } else { 0 };
            let entries: Vec<(Cow<'_, [u8]>, f64)> = entries.map(|(member, score)| (text(member), score)).collect();
            Zset::of(expected, entries.iter().map(|(member, score)| (&**member, *score)), rules)
        }
        None => Zset::of(0, std::iter::empty(), rules),
    };
    let key = cx.key(args, 1);
    store(cx, key, found, Event("zrangestore"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_a_range_of_scores() {
        let cases: &[(&[u8], Option<f64>)] = &[
            (b"1.5", Some(1.5)),
            (b"", Some(0.0)),
            (b" 2", Some(2.0)),
            (b"2 ", None),
            (b" ", None),
            (b"+inf", Some(f64::INFINITY)),
            (b"-Infinity", Some(f64::NEG_INFINITY)),
            (b"1e999", Some(f64::INFINITY)),
            (b"-1e999", Some(f64::NEG_INFINITY)),
            (b"1e-999", Some(0.0)),
            (b"nan", None),
            (b"0x10", Some(16.0)),
            (b"3\x00x", Some(3.0)),
            (b"\x00", Some(0.0)),
            (b"x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(bound_score(text), *expected, "{:?}", text.escape_ascii().to_string());
        }
    }
}
