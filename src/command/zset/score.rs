//! Members and their scores: ZADD and ZINCRBY, ZSCORE and what counts or ranks members.

use super::range::{members, scores};
use super::{FRESH, growth, zset_of};
use crate::command::error::{Error, Outcome};
use crate::command::{Ctx, wrong_arity};
use crate::effects::Event;
use crate::keyspace::entry::Type;
use crate::keyspace::value::{Changed, Value};
use crate::resp::Args;
use crate::types::number::parse_f64;
use crate::types::zset::{self, Rules, ZsetRef};

/// What ZADD is asked for besides members and scores.
#[derive(Clone, Copy, Default)]
pub(in crate::command) struct AddOptions {
    pub nx: bool,
    pub xx: bool,
    pub gt: bool,
    pub lt: bool,
    /// Count changed scores too.
    pub changed: bool,
    pub increment: bool,
}

impl AddOptions {
    /// Reads the options and says where the first score is.
    ///
    /// # Errors
    /// Those that exclude each other, or no pairs behind them.
    fn parse(args: &Args<'_>, increment: bool) -> Result<(AddOptions, usize), Error> {
        let mut options = AddOptions { increment, ..AddOptions::default() };
        let mut at = 2;
        while let Some(word) = args.get(at) {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            let option = if is("NX") {
                &mut options.nx
            } else if is("XX") {
                &mut options.xx
            } else if is("GT") {
                &mut options.gt
            } else if is("LT") {
                &mut options.lt
            } else if is("CH") {
                &mut options.changed
            } else if is("INCR") {
                &mut options.increment
            } else {
                break;
            };
            *option = true;
            at += 1;
        }
        let left = args.len() - at;
        if left == 0 || !left.is_multiple_of(2) {
            return Err(Error::SYNTAX);
        }
        let AddOptions { nx, xx, gt, lt, increment, .. } = options;
        if nx && xx {
            return Err(Error::fixed("ERR XX and NX options at the same time are not compatible"));
        }
        if nx && (gt || lt) || gt && lt {
            return Err(Error::fixed("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if increment && left > 2 {
            return Err(Error::fixed("ERR INCR option supports a single increment-element pair"));
        }
        Ok((options, at))
    }

    /// The score that a member gets, given the one that it has; `None` if the options are against it, or the sum of
    /// infinities is none.
    #[inline]
    fn score(self, old: Option<f64>, given: f64) -> Option<f64> {
        let Some(old) = old else { return (!self.xx).then_some(given) };
        let new = if self.increment { old + given } else { given };
        let against = self.nx || new.is_nan() || self.lt && new >= old || self.gt && new <= old;
        (!against).then_some(new)
    }
}

/// What adding did.
#[derive(Default)]
struct Added {
    new: u64,
    changed: u64,
    /// The score of the last member, if the options were not against it.
    score: Option<f64>,
    /// A sum was not a number.
    nan: bool,
}

pub(super) fn zadd(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    add(cx, args, false)
}

pub(super) fn zincrby(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    add(cx, args, true)
}

fn add(cx: &mut Ctx<'_>, args: &Args<'_>, increment: bool) -> Outcome {
    let (options, at) = AddOptions::parse(args, increment)?;
    let score_at = |at: usize| parse_f64(&args[at]).ok_or(Error::NOT_A_FLOAT);
    // All scores are read before anything changes; for the usual one nothing is allocated.
    let first = score_at(at)?;
    let others = (at + 2..args.len()).step_by(2).map(score_at).collect::<Result<Vec<f64>, Error>>()?;
    let scores = std::iter::once(first).chain(others);
    add_scored(cx, args, options, scores.zip(args.iter_from(at + 1).step_by(2)))
}

/// Adds members with their scores to the first key's sorted set, as far as the options allow, and replies.
pub(in crate::command) fn add_scored<'m>(
    cx: &mut Ctx<'_>,
    args: &Args<'_>,
    options: AddOptions,
    scored: impl Iterator<Item = (f64, &'m [u8])>,
) -> Outcome {
    let (limits, hasher) = growth(cx);
    let rules = Rules { limits, hasher: &hasher };
    let change = |value: &mut Value<'_>| {
        zset::expect(value, scored.size_hint().0, rules);
        let mut added = Added::default();
        for (given, member) in scored {
            zset::update(value, member, rules, |old| {
                let score = options.score(old, given);
                match (old, score) {
                    (None, Some(_)) => added.new += 1,
                    (Some(old), Some(score)) if score != old => added.changed += 1,
                    (Some(old), None) => added.nan = options.increment && (old + given).is_nan() && !options.nx,
                    _ => {}
                }
                added.score = score;
                score
            });
        }
        let changes = added.new + added.changed;
        Changed { result: added, changes, empty: false }
    };
    let event = Event(if options.increment { "zincr" } else { "zadd" });
    let (key, keys) = (cx.key(args, 1), &mut cx.server.keys);
    let added = if options.xx {
        keys.change(cx.db, key, Type::Zset, event, change)?.unwrap_or_default()
    } else {
        keys.change_or_create(cx.db, key, FRESH, event, change)?
    };
    if added.nan {
        return Err(Error::fixed("ERR resulting score is not a number (NaN)"));
    }
    match (options.increment, added.score) {
        (true, Some(score)) => cx.reply.double(score),
        (true, None) => cx.reply.null(),
        (false, _) => cx.reply.count((added.new + if options.changed { added.changed } else { 0 }) as usize),
    }
    Ok(())
}

pub(super) fn zscore(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    match zset_of!(cx, args, 1).and_then(|zset| zset.score(&args[2])) {
        Some(score) => cx.reply.double(score),
        None => cx.reply.null(),
    }
    Ok(())
}

pub(super) fn zmscore(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let zset = zset_of!(cx, args, 1);
    cx.reply.array(args.len() - 2);
    for member in args.iter_from(2) {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => cx.reply.double(score),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

pub(super) fn zcard(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let len = zset_of!(cx, args, 1).map_or(0, ZsetRef::len);
    cx.reply.count(len);
    Ok(())
}

pub(super) fn zcount(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let bounds = scores(&args[2], &args[3])?;
    let count = zset_of!(cx, args, 1).map_or(0, |zset| zset.ranks(bounds).len());
    cx.reply.count(count);
    Ok(())
}

pub(super) fn zlexcount(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let bounds = members(&args[2], &args[3])?;
    let count = zset_of!(cx, args, 1).map_or(0, |zset| zset.ranks(bounds).len());
    cx.reply.count(count);
    Ok(())
}

pub(super) fn rank(cx: &mut Ctx<'_>, args: &Args<'_>, reverse: bool) -> Outcome {
    if args.len() > 4 {
        return Err(wrong_arity(&cx.command.full_name));
    }
    let with_score = match args.get(3) {
        Some(word) if word.eq_ignore_ascii_case(b"WITHSCORE") => true,
        Some(_) => return Err(Error::SYNTAX),
        None => false,
    };
    let zset = zset_of!(cx, args, 1);
    let found = zset.and_then(|zset| zset.rank(&args[2]).map(|found| (zset.len(), found)));
    match found {
        Some((len, (rank, score))) => {
            if with_score {
                cx.reply.array(2);
            }
            cx.reply.count(if reverse { len - 1 - rank } else { rank });
            if with_score {
                cx.reply.double(score);
            }
        }
        None if with_score => cx.reply.null_array(),
        None => cx.reply.null(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_decide_about_scores() {
        let options = |words: &str| AddOptions {
            nx: words.contains("nx"),
            xx: words.contains("xx"),
            gt: words.contains("gt"),
            lt: words.contains("lt"),
            increment: words.contains("incr"),
            changed: false,
        };
        // A score of 2 for a member that is new, has 1, 2 and 3.
        let cases = [
            ("", [Some(2.0); 4]),
            ("nx", [Some(2.0), None, None, None]),
            ("xx", [None, Some(2.0), Some(2.0), Some(2.0)]),
            ("gt", [Some(2.0), Some(2.0), None, None]),
            ("lt", [Some(2.0), None, None, Some(2.0)]),
            ("xx gt", [None, Some(2.0), None, None]),
            ("incr", [Some(2.0), Some(3.0), Some(4.0), Some(5.0)]),
            ("lt incr", [Some(2.0), None, None, None]),
        ];
        for (words, expected) in cases {
            let scores = [None, Some(1.0), Some(2.0), Some(3.0)].map(|old| options(words).score(old, 2.0));
            assert_eq!(scores, expected, "{words}");
        }
        assert_eq!(options("incr").score(Some(f64::INFINITY), f64::NEG_INFINITY), None);
    }
}
