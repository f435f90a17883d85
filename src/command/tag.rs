//! Tags: names under which keys are gathered, to be removed together.
//!
//! SETTAG is SET with tags, and shares its options. An invalidation answers at once, whether the tag has ten keys or ten
//! million; only where the number of keys is not known before they have been removed, because they have several tags which
//! go at once, or where very many tags have to be found, does the client wait for it. See [`crate::keyspace::tags`].

use std::collections::HashSet;
use std::rc::Rc;

use super::blocking::Until;
use super::error::{Error, Outcome};
use super::keys::Pattern;
use super::string::SetOptions;
use super::table::{Acl, Command, Doc, Flags, Handler, KeyFlags, KeySpec, OURS_SINCE};
use super::{Ctx, keys};
use crate::keyspace::tags::plan::Names;
use crate::keyspace::tags::set::MOST_TAGS;
use crate::keyspace::{Count, Invalidation, Tagging};
use crate::resp::{Args, KeptArgs, Reply};
use crate::types::number::parse_i64;

const FAST_READ: Flags = Flags::READONLY.union(Flags::FAST);
const FAST_WRITE: Flags = Flags::WRITE.union(Flags::FAST);
const GROWING: Flags = Flags::WRITE.union(Flags::DENYOOM);

const READS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::READS)];
const UPDATES: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
const SETS: &[KeySpec] = &[KeySpec {
    notes: "It reads the old value where GET is given.",
    ..KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE).union(KeyFlags::VARIABLE_FLAGS))
}];

/// Patterns of keys do not restrict what removes keys that it does not name.
const REMOVES_UNNAMED: Acl = Acl::TAG.union(Acl::DANGEROUS);

const SUM_OF_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:agg_sum"];
const UNORDERED: &[&str] = &["request_policy:all_shards", "nondeterministic_output_order"];

const EACH_TAG: &str = "O(N) where N is the number of tags";

const EMPTY_TAG: Error = Error::fixed("ERR a tag must not be empty");
const TOO_MANY_TAGS: Error = Error::fixed("ERR a key can have at most 255 tags");

pub const COMMANDS: &[Command] = &[
    row(
        "settag",
        -5,
        GROWING,
        SETS,
        settag,
        doc(
            EACH_TAG,
            "key value [condition: NX | XX] [GET] [expiration: EX seconds | PX milliseconds | EXAT unix-time-seconds | \
             PXAT unix-time-milliseconds | KEEPTTL] TAG tag [tag ...]",
            "Makes a key a string with tags, and with the options of SET.",
        ),
    ),
    Command {
        tips: &["nondeterministic_output_order"],
        ..row("tags", 2, FAST_READ, READS, tags, doc(EACH_TAG, "key", "Lists the tags of a key."))
    },
    row(
        "addtag",
        -3,
        GROWING.union(Flags::FAST),
        UPDATES,
        addtag,
        doc(EACH_TAG, "key tag [tag ...]", "Gives a key tags, and counts those that it did not have."),
    ),
    row(
        "remtag",
        -3,
        FAST_WRITE,
        UPDATES,
        remtag,
        doc(EACH_TAG, "key tag [tag ...]", "Takes tags from a key, and counts those that it had."),
    ),
    Command {
        tips: UNORDERED,
        ..row(
            "tagkeys",
            2,
            Flags::READONLY,
            &[],
            tagkeys,
            doc("O(N) where N is the number of keys with the tag", "tag", "Lists the keys that have a tag."),
        )
    },
    Command {
        tips: SUM_OF_SHARDS,
        ..row("tagcount", 2, FAST_READ, &[], tagcount, doc("O(1)", "tag", "Counts the keys that have a tag."))
    },
    Command {
        tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        ..row(
            "tagscan",
            -2,
            Flags::READONLY,
            &[],
            tagscan,
            doc(
                "O(1) for a call, O(N) for a whole iteration, where N is the number of tags or keys",
                "cursor [MATCH pattern] [COUNT count] [KEYS tag]",
                "Lists the tags of the database, or the keys that have a tag, piece by piece.",
            ),
        )
    },
    Command {
        acl: REMOVES_UNNAMED,
        tips: SUM_OF_SHARDS,
        ..row(
            "invalidate",
            -2,
            Flags::WRITE,
            &[],
            invalidate,
            doc(
                "O(N) where N is the number of tags, of which very many are looked for in the background; the keys are gone at once, \
                 and their memory comes back in the background",
                "tag [tag ...]",
                "Deletes all keys that have any of some tags, and counts them.",
            ),
        )
    },
    Command {
        acl: REMOVES_UNNAMED,
        tips: SUM_OF_SHARDS,
        ..row(
            "taginvalidate",
            -2,
            Flags::WRITE,
            &[],
            taginvalidate,
            doc(
                "O(N) where N is the number of tags, of which very many are looked for in the background; the keys are gone at once, \
                 and their memory comes back in the background",
                "tag [CASCADE]",
                "Deletes all keys that have a tag, or any below it, and counts them.",
            ),
        )
    },
    row(
        "taglink",
        3,
        GROWING.union(Flags::FAST),
        &[],
        taglink,
        doc("O(N) where N is the number of tags above the parent", "parent child", "Makes a tag the child of another."),
    ),
    row(
        "tagunlink",
        3,
        FAST_WRITE,
        &[],
        tagunlink,
        doc("O(1)", "parent child", "Makes a tag the child of another no more."),
    ),
    Command {
        tips: UNORDERED,
        ..row(
            "tagchildren",
            2,
            Flags::READONLY,
            &[],
            tagchildren,
            doc("O(N) where N is the number of children", "tag", "Lists the children of a tag."),
        )
    },
];

const fn row(
    name: &'static str,
    arity: i16,
    flags: Flags,
    keys: &'static [KeySpec],
    handler: Handler,
    doc: Doc,
) -> Command {
    Command { name, arity, flags, acl: Acl::TAG, keys, doc, handler, ..Command::NONE }
}

const fn doc(complexity: &'static str, syntax: &'static str, summary: &'static str) -> Doc {
    Doc { summary, since: OURS_SINCE, group: "tag", complexity, syntax, ..Command::NONE.doc }
}

/// Tags that a command names, each once, in their order.
#[derive(Default)]
struct Named<'a> {
    tags: Vec<&'a [u8]>,
    /// The same, from where on looking through all of them would take long.
    seen: HashSet<&'a [u8]>,
}

impl<'a> Named<'a> {
    /// From so many on, they are looked up in the set.
    const MANY: usize = 16;

    /// All of these.
    ///
    /// # Errors
    /// If one is empty.
    fn new(words: impl Iterator<Item = &'a [u8]>) -> Result<Named<'a>, Error> {
        let mut named = Named::default();
        for word in words {
            named.add(word)?;
        }
        Ok(named)
    }

    fn add(&mut self, word: &'a [u8]) -> Outcome {
        check(word)?;
        if self.tags.len() < Named::MANY {
            if self.tags.contains(&word) {
                return Ok(());
            }
        } else {
            if self.seen.is_empty() {
                self.seen.extend(&self.tags);
            }
            if !self.seen.insert(word) {
                return Ok(());
            }
        }
        self.tags.push(word);
        Ok(())
    }
}

/// Whether a word can be a tag.
pub(super) fn check(tag: &[u8]) -> Outcome {
    if tag.is_empty() { Err(EMPTY_TAG) } else { Ok(()) }
}

fn settag(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let owned = args.take_owned(2);
    let args = &*args;
    let (mut options, mut named) = (SetOptions::default(), Named::default());
    let mut at = 3;
    while at < args.len() {
        if !args[at].eq_ignore_ascii_case(b"TAG") {
            at += options.take(args, at).ok_or(Error::SYNTAX)?;
            continue;
        }
        let first = at + 1;
        at = first;
        while at < args.len() && !SetOptions::has(&args[at]) && !args[at].eq_ignore_ascii_case(b"TAG") {
            named.add(&args[at])?;
            at += 1;
        }
        if at == first {
            return Err(Error::SYNTAX);
        }
    }
    if named.tags.is_empty() {
        return Err(Error::SYNTAX);
    }
    if named.tags.len() > MOST_TAGS {
        return Err(TOO_MANY_TAGS);
    }
    let way = options.settle(cx)?;
    way.answer_old(cx, args)?;
    let (key, value) = (cx.key(args, 1), super::string::value(owned, args, 2));
    let keys = &mut cx.server.keys;
    let was_set = keys.set_tagged(way.must_exist, cx.db, key, cx.touch, value, way.expiry, &named.tags);
    way.finish(cx, args, was_set, &named.tags);
    Ok(())
}

fn tags(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    match cx.server.keys.tags_of(cx.db, key) {
        Some(tags) => reply_set(&mut cx.reply, &tags),
        None => cx.reply.null_array(),
    }
    Ok(())
}

fn reply_set(reply: &mut Reply, members: &[&[u8]]) {
    reply.set(members.len());
    members.iter().for_each(|member| reply.bulk(member));
}

fn addtag(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let named = Named::new(args.iter_from(2))?;
    let key = cx.key(args, 1);
    let tagging = cx.server.keys.add_tags(cx.db, key, &named.tags);
    tell_tagging(cx, tagging)
}

fn remtag(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let named = Named::new(args.iter_from(2))?;
    let key = cx.key(args, 1);
    let tagging = cx.server.keys.remove_tags(cx.db, key, &named.tags);
    tell_tagging(cx, tagging)
}

fn tell_tagging(cx: &mut Ctx<'_>, tagging: Tagging) -> Outcome {
    match tagging {
        Tagging::Done(count) => cx.reply.count(count),
        Tagging::NoKey => return Err(Error::NO_SUCH_KEY),
        Tagging::TooMany => return Err(TOO_MANY_TAGS),
    }
    Ok(())
}

fn tagkeys(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    check(&args[1])?;
    let set = cx.reply.deferred_array();
    let mut found = 0;
    cx.server.keys.each_tagged(cx.db, &args[1], |entry| {
        cx.reply.bulk(entry.key());
        found += 1;
    });
    cx.reply.finish_set(set, found);
    Ok(())
}

fn tagcount(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    check(&args[1])?;
    let count = cx.ask_settled(args, Until::Settled, |cx| cx.server.keys.count_tagged(cx.db, &args[1]));
    if let Some(count) = count {
        cx.reply.count(count);
    }
    Ok(())
}

fn tagscan(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let cursor = keys::cursor(&args[1])?;
    let (mut count, mut pattern, mut tag) = (10, Pattern::new(b"*"), None);
    for at in (2..args.len()).step_by(2) {
        let (word, value) = (&args[at], args.get(at + 1).ok_or(Error::SYNTAX)?);
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        if is(b"MATCH") {
            pattern = Pattern::new(value);
        } else if is(b"COUNT") {
            let wanted = parse_i64(value).ok_or(Error::NOT_AN_INTEGER)?;
            if wanted < 1 {
                return Err(Error::SYNTAX);
            }
            count = usize::try_from(wanted).unwrap_or(usize::MAX);
        } else if is(b"KEYS") {
            check(value)?;
            tag = Some(value);
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let scanned = cx.ask_settled(args, Until::Settled, |cx| {
        // The cursor comes before the names, but is known after them.
        let (mut list, mut found) = (Reply::default(), 0);
        let mut tell = |name: &[u8]| {
            if pattern.matches(name) {
                list.bulk(name);
                found += 1;
            }
        };
        let next = match tag {
            Some(tag) => cx.server.keys.scan_tagged(cx.db, tag, cursor, count, |entry| tell(entry.key())),
            None => cx.server.keys.scan_tags(cx.db, cursor, count, tell)?,
        };
        Ok((next, list, found))
    });
    if let Some((next, mut list, found)) = scanned {
        cx.reply.array(2);
        cx.reply.bulk_integer(next as i64);
        cx.reply.array(found);
        cx.reply.raw(list.out.tail());
    }
    Ok(())
}

fn invalidate(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    invalidate_tags(cx, args, 1..args.len(), false)
}

fn taginvalidate(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let cascades = match args.get(2) {
        None => false,
        Some(word) if args.len() == 3 && word.eq_ignore_ascii_case(b"CASCADE") => true,
        Some(_) => return Err(Error::SYNTAX),
    };
    invalidate_tags(cx, args, 1..2, cascades)
}

/// The tags that INVALIDATE names: all behind its own name.
struct Given(Rc<KeptArgs>);

impl Names for Given {
    fn get(&self, at: usize) -> Option<&[u8]> {
        self.0.get(at + 1)
    }
}

/// Invalidates the tags at some arguments, and those below them if it `cascades`.
fn invalidate_tags(cx: &mut Ctx<'_>, args: &Args<'_>, at: std::ops::Range<usize>, cascades: bool) -> Outcome {
    at.clone().try_for_each(|at| check(&args[at]))?;
    let patience = match (cx.in_exec, cx.server.sweep_waits.is_empty()) {
        (true, _) => Count::Now,
        (false, true) => Count::Later,
        (false, false) => Count::Behind,
    };
    // Of very many there is one copy.
    let many = (at.len() > cx.server.keys.tags_at_once).then(|| Rc::new(args.copy()));
    let invalidation = match &many {
        Some(kept) => cx.server.keys.invalidate_many(cx.db, Rc::new(Given(Rc::clone(kept))), patience),
        None => {
            let tags: Vec<&[u8]> = at.map(|at| &args[at]).collect();
            cx.server.keys.invalidate(cx.db, &tags, cascades, patience)
        }
    };
    let kept = || many.unwrap_or_else(|| Rc::new(args.copy()));
    match invalidation {
        Invalidation::Done(count) => cx.reply.count(count),
        Invalidation::Counting(claim) => {
            // The keys count as changes when they are removed, but it is now that they are gone.
            cx.propagate_in(cx.db, args.iter_from(0));
            cx.wait_for_sweep(args, kept(), Until::Counted(claim));
        }
        // It is journalled when the keys are gone.
        Invalidation::Planned(claim) => cx.wait_for_sweep(args, kept(), Until::Counted(claim)),
        Invalidation::Later => cx.wait_for_sweep(args, kept(), Until::Settled),
    }
    Ok(())
}

fn taglink(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let (parent, child) = (&args[1], &args[2]);
    check(parent)?;
    check(child)?;
    let linked = cx.ask_settled(args, Until::NextTurn, |cx| cx.server.keys.link_tags(cx.db, parent, child));
    match linked {
        Some(true) => cx.reply.ok(),
        Some(false) => return Err(Error::fixed("ERR tag link would create a cycle")),
        None => {}
    }
    Ok(())
}

fn tagunlink(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let (parent, child) = (&args[1], &args[2]);
    check(parent)?;
    check(child)?;
    let unlinked = cx.ask_settled(args, Until::NextTurn, |cx| cx.server.keys.unlink_tags(cx.db, parent, child));
    if let Some(unlinked) = unlinked {
        cx.reply.integer(unlinked as i64);
    }
    Ok(())
}

fn tagchildren(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    check(&args[1])?;
    reply_set(&mut cx.reply, &cx.server.keys.children_of(cx.db, &args[1]));
    Ok(())
}
