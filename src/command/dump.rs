//! Values as bytes: DUMP and RESTORE.

use super::error::{Error, Outcome};
use super::state::Server;
use super::table::{Acl, Command, Doc, Flags, KeyFlags, KeySpec};
use super::{Ctx, hash, list, set, zset};
use crate::config::SanitizeDumpPayload;
use crate::effects::Event;
use crate::keyspace::Fresh;
use crate::persist::rdb::decode::{Outcome as Decoded, Rules};
use crate::persist::rdb::payload::{self, Refused};
use crate::resp::Args;
use crate::types::number::parse_i64;

const WRITES: &[KeySpec] = &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))];
const BUSY_KEY: Error = Error::fixed("BUSYKEY Target key name already exists.");

const DOC: Doc = Doc { group: "generic", complexity: "O(N) where N is the size of the value.", ..Command::NONE.doc };
const RESTORE: Command =
    Command { arity: -4, acl: Acl::KEYSPACE.union(Acl::DANGEROUS), keys: WRITES, handler: restore, ..Command::NONE };
const RESTORE_SYNTAX: &str = "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]";

pub const COMMANDS: &[Command] = &[
    Command {
        name: "dump",
        arity: 2,
        flags: Flags::READONLY,
        acl: Acl::KEYSPACE,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        tips: &["nondeterministic_output"],
        doc: Doc {
            summary: "Answers a key's value in the form that RESTORE takes.",
            since: "2.6.0",
            syntax: "key",
            ..DOC
        },
        handler: dump,
        ..Command::NONE
    },
    Command {
        name: "restore",
        flags: Flags::WRITE.union(Flags::DENYOOM),
        doc: Doc { summary: "Creates a key from what DUMP answered.", since: "2.6.0", syntax: RESTORE_SYNTAX, ..DOC },
        ..RESTORE
    },
    Command {
        name: "restore-asking",
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::ASKING),
        doc: Doc {
            summary: "Creates a key from what DUMP answered, in a slot that is being moved here.",
            group: "server",
            internal: true,
            since: "3.0.0",
            syntax: RESTORE_SYNTAX,
            ..DOC
        },
        ..RESTORE
    },
];

/// What the settings say about values that are read from bytes. `thorough` is for bytes of strangers.
pub fn rules(server: &Server, thorough: bool) -> Rules {
    Rules {
        list: list::rules_of(server),
        set: set::rules(server),
        hash: hash::limits_of(server),
        zset: zset::limits_of(server),
        hasher: server.keys.hasher().clone(),
        thorough,
    }
}

fn dump(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let compress = cx.server.settings.rdbcompression;
    let key = cx.key(args, 1);
    match cx.server.keys.read(cx.db, key, cx.touch) {
        Some(entry) => cx.reply.bulk(&payload::dump(entry, compress)),
        None => cx.reply.null(),
    }
    Ok(())
}

#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle: Option<i64>,
    frequency: Option<i64>,
}

impl Options {
    fn parse(args: &Args<'_>) -> Result<Options, Error> {
        let mut options = Options::default();
        let mut at = 4;
        while let Some(word) = args.get(at) {
            let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
            let value = args.get(at + 1);
            match value {
                _ if is("replace") => options.replace = true,
                _ if is("absttl") => options.absolute = true,
                Some(value) if is("idletime") && options.frequency.is_none() => {
                    let idle = parse_i64(value).ok_or(Error::NOT_AN_INTEGER)?;
                    if idle < 0 {
                        return Err(Error::fixed("ERR Invalid IDLETIME value, must be >= 0"));
                    }
                    options.idle = Some(idle);
                    at += 1;
                }
                Some(value) if is("freq") && options.idle.is_none() => {
                    let frequency = parse_i64(value).ok_or(Error::NOT_AN_INTEGER)?;
                    if !(0..=255).contains(&frequency) {
                        return Err(Error::fixed("ERR Invalid FREQ value, must be >= 0 and <= 255"));
                    }
                    options.frequency = Some(frequency);
                    at += 1;
                }
                _ => return Err(Error::SYNTAX),
            }
            at += 1;
        }
        Ok(options)
    }
}

fn restore(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let options = Options::parse(args)?;
    let key = cx.key(args, 1);
    if !options.replace && cx.server.keys.peek(cx.db, key).is_some() {
        return Err(BUSY_KEY);
    }
    let ttl = parse_i64(&args[2]).ok_or(Error::NOT_AN_INTEGER)?;
    let ttl = u64::try_from(ttl).map_err(|_| Error::fixed("ERR Invalid TTL value, must be >= 0"))?;
    let thorough = match cx.server.settings.sanitize_dump_payload {
        SanitizeDumpPayload::No => false,
        SanitizeDumpPayload::Yes => true,
        SanitizeDumpPayload::Clients => {
            let user = &cx.server.clients[cx.token].user;
            user.as_ref().is_none_or(|user| user.sanitizes_payload())
        }
    };
    let rules = rules(cx.server, thorough);
    let decoded = payload::restore(&args[3], !cx.server.debug.skip_checksums, &rules);
    if thorough {
        cx.server.stats.payloads_checked += 1;
    }
    let made = match decoded {
        Ok(Decoded::Value(made)) => made,
        Err(Refused::Footer) => return Err(Error::fixed("ERR DUMP payload version or checksum are wrong")),
        refused => {
            if let Err(Refused::Contents(error)) = refused {
                log::debug!("RESTORE of a payload that is damaged {} bytes from its start: {error}", error.offset);
            }
            return Err(Error::fixed("ERR Bad data format"));
        }
    };
    let now_ms = cx.server.keys.now_ms();
    let deadline = match (ttl, options.absolute) {
        (0, _) => None,
        (ttl, true) => Some(ttl),
        // Redis' sum overflows: such a key is over at once.
        (ttl, false) => Some(now_ms.saturating_add(ttl)).map(|at| if at > i64::MAX as u64 { 0 } else { at }),
    };
    if deadline.is_some_and(|deadline| deadline <= cx.server.keys.horizon_ms()) {
        // It has expired on its way; what it would have replaced is gone all the same.
        if cx.server.keys.vacate(cx.db, key) {
            cx.propagate_removal(&args[1]);
        }
        cx.reply.ok();
        return Ok(());
    }
    let frequency = options.frequency.map(|frequency| frequency as u8);
    let access = cx.server.keys.access.restored(options.idle.map(|idle| idle as u64), frequency, now_ms);
    let (kind, encoding) = (made.kind, made.encoding);
    let mut bytes = Vec::new();
    let fresh = Fresh { kind, encoding, value: made.into_value(&mut bytes), deadline, access };
    cx.server.keys.install(cx.db, key, fresh, Some(Event::RESTORE));
    if let Some(deadline) = deadline.filter(|_| !options.absolute && cx.propagates()) {
        // The time to live would mean another moment later.
        let deadline = deadline.to_string();
        let mut words: Vec<&[u8]> = args.iter_from(0).collect();
        words[2] = deadline.as_bytes();
        words.push(b"ABSTTL");
        cx.propagate(&words);
    }
    cx.reply.ok();
    Ok(())
}
