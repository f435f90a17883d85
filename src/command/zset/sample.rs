//! Members by chance, and all of them in portions: ZRANDMEMBER and ZSCAN.

use std::collections::BTreeSet;

use super::{entries_reply, entry_reply, member_reply, zset_of};
use crate::command::error::{Error, Outcome};
use crate::command::scan_options::{self, ScanOptions};
use crate::command::string::integer;
use crate::command::{Ctx, in_portions};
use crate::resp::{Args, Proto, Reply};
use crate::types::listpack;
use crate::types::number::write_f64_17g;
use crate::types::zset::ZsetRef;

pub(super) fn zrandmember(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut rng = cx.server.keys.random_source();
    if args.len() == 2 {
        match zset_of!(cx, args, 1) {
            Some(zset) => zset.visit(&[rng.usize(..zset.len())], |member, _| member_reply(&mut cx.reply, member)),
            None => cx.reply.null(),
        }
        return Ok(());
    }
    let count = integer(&args[2])?;
    if count == i64::MIN {
        return Err(Error::fixed(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let with_scores = args.len() > 3;
    if with_scores && (args.len() > 4 || !args[3].eq_ignore_ascii_case(b"WITHSCORES")) {
        return Err(Error::SYNTAX);
    }
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::OUT_OF_RANGE);
    }
    let most = cx.most_output();
    let zset = zset_of!(cx, args, 1);
    let reply = &mut cx.reply;
    let Some(zset) = zset else {
        reply.array(0);
        return Ok(());
    };
    let len = zset.len();
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        entries_reply(reply, wanted, with_scores, std::iter::empty());
        let nested = with_scores && reply.proto == Proto::Resp3;
        in_portions(wanted, |count| {
            // All ranks first, so that a listpack need not be walked for every member.
            let ranks: Vec<usize> = (0..count).map(|_| rng.usize(..len)).collect();
            zset.visit(&ranks, |member, score| entry_reply(reply, member, with_scores.then_some(score), nested));
            reply.out.len() <= most
        });
    } else if wanted >= len {
        entries_reply(reply, len, with_scores, zset.iter(0..len));
    } else {
        let ranks = choose(len, wanted, &mut rng);
        entries_reply(reply, wanted, with_scores, std::iter::empty());
        let nested = with_scores && reply.proto == Proto::Resp3;
        zset.visit(&ranks, |member, score| entry_reply(reply, member, with_scores.then_some(score), nested));
    }
    cx.end_if_beyond(most)
}

/// Different numbers below `len`, `count` of them, each choice as likely as any other (R. Floyd, "A sample of
/// brilliance", Communications of the ACM, 1987).
fn choose(len: usize, count: usize, rng: &mut fastrand::Rng) -> Vec<usize> {
    let mut chosen = BTreeSet::new();
    for last in len - count..len {
        let drawn = rng.usize(..=last);
        if !chosen.insert(drawn) {
            chosen.insert(last);
        }
    }
    chosen.into_iter().collect()
}

pub(super) fn zscan(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let cursor = scan_options::cursor(args)?;
    let Some(zset) = zset_of!(cx, args, 1) else {
        scan_options::answer_nothing(&mut cx.reply);
        return Ok(());
    };
    let options = ScanOptions::parse(args, false)?;
    // The cursor comes before the members, but is known after them.
    let mut list = Reply::default();
    let mut found = 0;
    let next = match zset {
        ZsetRef::List(bytes) => {
            let mut elements = listpack::iter(bytes);
            while let (Some((_, member)), Some((_, score))) = (elements.next(), elements.next()) {
                if member.with_bytes(|member| options.pattern.matches(member)) {
                    member_reply(&mut list, member);
                    member_reply(&mut list, score);
                    found += 1;
                }
            }
            0
        }
        ZsetRef::Tree(tree) => {
            let mut digits = Vec::new();
            tree.scan(cursor, options.count, |member, score| {
                if options.pattern.matches(member) {
                    list.bulk(member);
                    digits.clear();
                    write_f64_17g(score, &mut digits);
                    list.bulk(&digits);
                    found += 1;
                }
            })
        }
    };
    cx.reply.array(2);
    cx.reply.bulk_integer(next as i64);
    cx.reply.array(2 * found);
    cx.reply.raw(list.out.tail());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_fair_and_different() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut hits = [0u32; 10];
        for _ in 0..3_000 {
            let chosen = choose(10, 3, &mut rng);
            assert_eq!(chosen.len(), 3);
            chosen.into_iter().for_each(|rank| hits[rank] += 1);
        }
        // 900 each on average; five standard deviations are 125.
        assert!(hits.iter().all(|&n| n.abs_diff(900) < 125), "{hits:?}");
    }
}
