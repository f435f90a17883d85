//! Several sets made one: ZUNION, ZINTER, ZDIFF and their kin.
//!
//! They work on sorted sets and sets alike: they collect what they find as pairs, sort those by member to bring equal ones
//! together, and once more by score.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use super::{collected, entries_reply, store};
use crate::command::Ctx;
use crate::command::error::{Error, Outcome};
use crate::command::string::integer;
use crate::effects::Event;
use crate::keyspace::Keyspace;
use crate::keyspace::entry::Type;
use crate::resp::Args;
use crate::types::listpack::Element;
use crate::types::number::{parse_f64, parse_i64};
use crate::types::set::SetRef;
use crate::types::zset::ZsetRef;

/// So many more members than twice those of a union may be gathered before those that are twice there are merged.
const UNION_STEP: usize = 65_536;

/// How sets are combined.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Union,
    Inter,
    Diff,
}

/// How the scores of one member in several sets become one.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, score: f64, other: f64) -> f64 {
        match self {
            // Infinities of both signs are nothing together.
            Aggregate::Sum => not_nan(score + other),
            Aggregate::Min => {
                if other < score {
                    other
                } else {
                    score
                }
            }
            Aggregate::Max => {
                if other > score {
                    other
                } else {
                    score
                }
            }
        }
    }
}

fn not_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// An element as text, which is only copied if it has to be made.
pub(super) fn text(element: Element<'_>) -> Cow<'_, [u8]> {
    match element {
        Element::Text(text) => Cow::Borrowed(text),
        integer => Cow::Owned(integer.to_vec()),
    }
}

/// A set of whatever kind whose members have scores; those of a plain set are 1.
#[derive(Clone, Copy)]
enum Source<'a> {
    Missing,
    Zset(ZsetRef<'a>),
    Set(SetRef<'a>),
}

impl<'a> Source<'a> {
    fn len(self) -> usize {
        match self {
            Source::Missing => 0,
            Source::Zset(zset) => zset.len(),
            Source::Set(set) => set.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Missing => None,
            Source::Zset(zset) => zset.score(member),
            Source::Set(set) => set.contains(member).then_some(1.0),
        }
    }

    fn each(self, mut visit: impl FnMut(Element<'a>, f64) -> ControlFlow<()>) {
        // It makes no difference to go on or not once the visitor is content.
        let _ = match self {
            Source::Missing => ControlFlow::Continue(()),
            Source::Zset(zset) => zset.iter(0..zset.len()).try_for_each(|(member, score)| visit(member, score)),
            Source::Set(set) => set.iter().try_for_each(|member| visit(member, 1.0)),
        };
    }
}

/// One of several sets, and what its scores are multiplied by.
#[derive(Clone, Copy)]
struct Input<'a> {
    source: Source<'a>,
    weight: f64,
}

/// What ZUNION and its kin are asked for.
struct Combination {
    /// The arguments that are keys.
    keys: Range<usize>,
    /// One for each key.
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Where to stop counting; 0 for never.
    limit: usize,
}

/// Which options a command of several sets has.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Allowed {
    weights: bool,
    scores: bool,
    limit: bool,
}

impl Combination {
    /// Reads the number of keys at an argument and what follows. The keys must be sets, which is checked before the
    /// options are read, and counts as reading them.
    ///
    /// # Errors
    /// What is wrong with it.
    fn parse(cx: &mut Ctx<'_>, args: &Args<'_>, at: usize, allowed: Allowed) -> Result<Combination, Error> {
        let count = integer(&args[at])?;
        if count < 1 {
            let name = &cx.command.full_name;
            return Err(Error::new(format!("ERR at least 1 input key is needed for '{name}' command")));
        }
        let first = at + 1;
        let count = usize::try_from(count).ok().filter(|&count| count <= args.len() - first).ok_or(Error::SYNTAX)?;
        let keys = first..first + count;
        for at in keys.clone() {
            let key = cx.key(args, at);
            if let Some(entry) = cx.server.keys.read(cx.db, key, cx.touch)
                && !matches!(entry.kind(), Type::Zset | Type::Set)
            {
                return Err(Error::WRONG_TYPE);
            }
        }
        let mut weights = vec![1.0; count];
        let (mut aggregate, mut with_scores, mut limit) = (Aggregate::Sum, false, 0);
        let mut at = keys.end;
        while let Some(word) = args.get(at) {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            let left = args.len() - at - 1;
            if allowed.weights && left >= count && is("WEIGHTS") {
                for (weight, text) in weights.iter_mut().zip(args.iter_from(at + 1)) {
                    *weight = parse_f64(text).ok_or(Error::fixed("ERR weight value is not a float"))?;
                }
                at += count;
            } else if allowed.weights && left >= 1 && is("AGGREGATE") {
                at += 1;
                aggregate = match args[at].to_ascii_uppercase().as_slice() {
                    b"SUM" => Aggregate::Sum,
                    b"MIN" => Aggregate::Min,
                    b"MAX" => Aggregate::Max,
                    _ => return Err(Error::SYNTAX),
                };
            } else if allowed.scores && is("WITHSCORES") {
                with_scores = true;
            } else if allowed.limit && left >= 1 && is("LIMIT") {
                at += 1;
                let number = parse_i64(&args[at]).and_then(|number| usize::try_from(number).ok());
                limit = number.ok_or(Error::fixed("ERR LIMIT can't be negative"))?;
            } else {
                return Err(Error::SYNTAX);
            }
            at += 1;
        }
        Ok(Combination { keys, weights, aggregate, with_scores, limit })
    }

    /// The sets themselves.
    fn inputs<'k>(&self, keys: &'k Keyspace, db: usize, args: &Args<'_>) -> Vec<Input<'k>> {
        let source = |at: usize| {
            let entry = keys.view(db, keys.key(&args[at]))?;
            entry.zset().map(Source::Zset).or_else(|| entry.set().map(Source::Set))
        };
        let sources = self.keys.clone().map(|at| source(at).unwrap_or(Source::Missing));
        sources.zip(&self.weights).map(|(source, &weight)| Input { source, weight }).collect()
    }
}

/// What the inputs have together, in order.
fn combined<'k>(mut inputs: Vec<Input<'k>>, operation: Operation, aggregate: Aggregate) -> Vec<(Cow<'k, [u8]>, f64)> {
    let mut found = Vec::new();
    match operation {
        Operation::Union => {
            // Sums are made in this order, from the smallest set to the largest.
            inputs.sort_by_key(|input| input.source.len());
            let mut members = 0;
            for input in inputs {
                // What the inputs share takes memory once.
                if found.len() > 2 * members + UNION_STEP {
                    merge(&mut found, aggregate);
                    members = found.len();
                }
                input.source.each(|member, score| {
                    found.push((text(member), not_nan(input.weight * score)));
                    ControlFlow::Continue(())
                });
            }
            merge(&mut found, aggregate);
        }
        Operation::Inter => shared(inputs, aggregate, |member, score| {
            found.push((text(member), score));
            ControlFlow::Continue(())
        }),
        Operation::Diff => {
            let first = inputs.remove(0);
            inputs.retain(|other| other.source.len() > 0);
            let in_others: usize = inputs.iter().map(|other| other.source.len()).sum();
            if in_others < first.source.len().saturating_mul(inputs.len()) {
                found.extend(without(&first, &inputs));
            } else {
                first.source.each(|member, score| {
                    if !member.with_bytes(|text| inputs.iter().any(|other| other.source.score(text).is_some())) {
                        found.push((text(member), score));
                    }
                    ControlFlow::Continue(())
                });
            }
        }
    }
    // Zeros of both signs are equal.
    found.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap_or(Ordering::Equal).then_with(|| a.0.cmp(&b.0)));
    found
}

/// Makes one of what has the same member, whose scores are aggregated from the first to the last.
fn merge(found: &mut Vec<(Cow<'_, [u8]>, f64)>, aggregate: Aggregate) {
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.dedup_by(|other, kept| {
        let same = other.0 == kept.0;
        if same {
            kept.1 = aggregate.of(kept.1, other.1);
        }
        same
    });
}

/// What is left of an input without the members of others, each of which is looked at once.
fn without<'k>(first: &Input<'k>, others: &[Input<'k>]) -> HashMap<Cow<'k, [u8]>, f64> {
    let mut left = HashMap::with_capacity(first.source.len());
    first.source.each(|member, score| {
        left.insert(text(member), score);
        ControlFlow::Continue(())
    });
    for other in others {
        other.source.each(|member, _| {
            member.with_bytes(|text| left.remove(text));
            if left.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
    left
}

/// Visits what all inputs have.
fn shared<'k>(
    mut inputs: Vec<Input<'k>>,
    aggregate: Aggregate,
    mut visit: impl FnMut(Element<'k>, f64) -> ControlFlow<()>,
) {
    inputs.sort_by_key(|input| input.source.len());
    let (smallest, others) = inputs.split_first().expect("there is one key at least");
    smallest.source.each(|member, score| {
        let first = not_nan(smallest.weight * score);
        let score = member.with_bytes(|text| {
            others
                .iter()
                .try_fold(first, |score, other| Some(aggregate.of(score, other.source.score(text)? * other.weight)))
        });
        match score {
            Some(score) => visit(member, score),
            None => ControlFlow::Continue(()),
        }
    });
}

pub(super) fn combine(cx: &mut Ctx<'_>, args: &Args<'_>, operation: Operation, stored: bool) -> Outcome {
    let allowed = Allowed { weights: operation != Operation::Diff, scores: !stored, limit: false };
    let query = Combination::parse(cx, args, if stored { 2 } else { 1 }, allowed)?;
    let inputs = query.inputs(&cx.server.keys, cx.db, args);
    let found = combined(inputs, operation, query.aggregate);
    if !stored {
        let entries = found.iter().map(|(member, score)| (Element::Text(member), *score));
        entries_reply(&mut cx.reply, found.len(), query.with_scores, entries);
        return Ok(());
    }
    let zset = collected(cx, &found);
    drop(found);
    let event = Event(match operation {
        Operation::Union => "zunionstore",
        Operation::Inter => "zinterstore",
        Operation::Diff => "zdiffstore",
    });
    let key = cx.key(args, 1);
    store(cx, key, zset, event);
    Ok(())
}

pub(super) fn zintercard(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let allowed = Allowed { weights: false, scores: false, limit: true };
    let query = Combination::parse(cx, args, 1, allowed)?;
    let inputs = query.inputs(&cx.server.keys, cx.db, args);
    let mut count = 0;
    shared(inputs, Aggregate::Sum, |_, _| {
        count += 1;
        if count == query.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    cx.reply.count(count);
    Ok(())
}
