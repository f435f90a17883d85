//! Strings as bitmaps. What a command looks at stays where it is; only BITOP's result is new.

use super::Ctx;
use super::error::{Error, Outcome};
use super::string::{bytes_of, inclusive, inclusive_in_order, integer};
use super::table::{Acl, Command, Doc, Flags, KeyFlags, KeySpec};
use crate::effects::Event;
use crate::keyspace::entry::{Encoding, EntryRef};
use crate::keyspace::{Expiry, StringValue};
use crate::resp::Args;
use crate::types::bits::{self, Field, Operation, Overflow};
use crate::types::number::parse_i64;

const BITMAP: Command = Command { acl: Acl::BITMAP, ..Command::NONE };
const DOC: Doc = Doc { group: "bitmap", since: "2.2.0", complexity: "O(1)", ..Command::NONE.doc };

const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);

const READS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::READS)];
const UPDATE: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE);

const BAD_OFFSET: Error = Error::fixed("ERR bit offset is not an integer or out of range");
const BAD_BIT: Error = Error::fixed("ERR bit is not an integer or out of range");
const BAD_FIELD: Error =
    Error::fixed("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");

pub const COMMANDS: &[Command] = &[
    Command {
        name: "setbit",
        arity: 4,
        flags: WRITE,
        keys: &[KeySpec::one(1, UPDATE)],
        doc: Doc {
            summary: "Sets or clears a bit of a string, which grows as far as needed, and answers what the bit was.",
            syntax: "key offset value",
            ..DOC
        },
        handler: setbit,
        ..BITMAP
    },
    Command {
        name: "getbit",
        arity: 3,
        flags: READ_FAST,
        keys: READS,
        doc: Doc { summary: "Answers a bit of a string.", syntax: "key offset", ..DOC },
        handler: getbit,
        ..BITMAP
    },
    Command {
        name: "bitcount",
        arity: -2,
        flags: Flags::READONLY,
        keys: READS,
        doc: Doc {
            summary: "Counts the bits that are set in a string or a part of it.",
            since: "2.6.0",
            complexity: "O(N) in the bytes looked at",
            syntax: "key [range: start end [unit: BYTE | BIT]]",
            ..DOC
        },
        handler: bitcount,
        ..BITMAP
    },
    Command {
        name: "bitpos",
        arity: -3,
        flags: Flags::READONLY,
        keys: READS,
        doc: Doc {
            summary: "Finds the first bit that is set, or clear, in a string or a part of it.",
            since: "2.8.7",
            complexity: "O(N) in the bytes looked at",
            syntax: "key bit [range: start [end-unit-block: end [unit: BYTE | BIT]]]",
            ..DOC
        },
        handler: bitpos,
        ..BITMAP
    },
    Command {
        name: "bitop",
        arity: -4,
        flags: WRITE,
        keys: &[KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)), KeySpec::range(3, -1, 1, KeyFlags::READS)],
        doc: Doc {
            summary: "Combines strings bit by bit and keeps the result.",
            since: "2.6.0",
            complexity: "O(N) in the bytes of all strings",
            syntax: "<operation: AND | OR | XOR | NOT> destkey key [key ...]",
            ..DOC
        },
        handler: bitop,
        ..BITMAP
    },
    Command {
        name: "bitfield",
        arity: -2,
        flags: WRITE,
        keys: &[KeySpec {
            notes: "It changes the key only where SET or INCRBY is given.",
            ..KeySpec::one(1, UPDATE.union(KeyFlags::VARIABLE_FLAGS))
        }],
        doc: Doc {
            summary: "Reads and changes integers of any width at any bit of a string.",
            since: "3.2.0",
            complexity: "O(1) for each integer",
            syntax: "key [operation: <get-block: GET encoding offset> | <write: [overflow-block: OVERFLOW <WRAP | SAT | FAIL>] \
                     <write-operation: <set-block: SET encoding offset value> | <incrby-block: INCRBY encoding offset \
                     increment>>> ...]",
            ..DOC
        },
        handler: bitfield,
        ..BITMAP
    },
    Command {
        name: "bitfield_ro",
        arity: -2,
        flags: READ_FAST,
        keys: READS,
        doc: Doc {
            summary: "Reads integers of any width at any bit of a string.",
            since: "6.0.0",
            complexity: "O(1) for each integer",
            syntax: "key [get-block: GET encoding offset [GET encoding offset ...]]",
            ..DOC
        },
        handler: bitfield,
        ..BITMAP
    },
];

/// A bit's position: a number, or, where integers of `width` bits are dealt with, `#` and the number of such integers
/// before it.
fn offset(cx: &Ctx<'_>, text: &[u8], width: Option<u32>) -> Result<u64, Error> {
    let offset = match (text, width) {
        ([b'#', count @ ..], Some(width)) => parse_i64(count).and_then(|count| count.checked_mul(width as i64)),
        _ => parse_i64(text),
    };
    let offset = offset.and_then(|offset| u64::try_from(offset).ok());
    offset.filter(|offset| offset / 8 < cx.server.settings.proto_max_bulk_len).ok_or(BAD_OFFSET)
}

/// The length of a key's string once it has `needed` bytes at least.
fn grown(entry: Option<EntryRef<'_>>, needed: u64) -> Result<usize, Error> {
    let len = entry.map_or(Ok(&b""[..]), bytes_of)?.len();
    Ok(len.max(needed as usize))
}

fn setbit(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let offset = offset(cx, &args[2], None)?;
    let on = match parse_i64(&args[3]) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(BAD_BIT),
    };
    let key = cx.key(args, 1);
    let mut was = false;
    let write = |bytes: &mut [u8]| {
        was = bits::set(bytes, offset, on);
        was != on
    };
    let resize = |entry: Option<EntryRef<'_>>| grown(entry, offset / 8 + 1);
    cx.server.keys.change_string(cx.db, key, cx.touch, Event::SETBIT, resize, write)?;
    cx.reply.integer(was as i64);
    Ok(())
}

fn getbit(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let offset = offset(cx, &args[2], None)?;
    let key = cx.key(args, 1);
    let bit = match cx.server.keys.read(cx.db, key, cx.touch) {
        Some(entry) => bits::get(bytes_of(entry)?, offset),
        None => false,
    };
    cx.reply.integer(bit as i64);
    Ok(())
}

/// How many bits there are in what the positions of a range count.
fn unit(word: Option<&[u8]>) -> Result<usize, Error> {
    match word {
        None => Ok(8),
        Some(word) if word.eq_ignore_ascii_case(b"BYTE") => Ok(8),
        Some(word) if word.eq_ignore_ascii_case(b"BIT") => Ok(1),
        Some(_) => Err(Error::SYNTAX),
    }
}

fn bitcount(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let (start, end, unit) = match args.len() {
        2 => (0, -1, 8),
        4 | 5 => (integer(&args[2])?, integer(&args[3])?, unit(args.get(4))?),
        _ => return Err(Error::SYNTAX),
    };
    let key = cx.key(args, 1);
    let bytes = match cx.server.keys.read(cx.db, key, cx.touch) {
        Some(entry) => bytes_of(entry)?,
        None => b"",
    };
    let range = inclusive_in_order(start, end, bytes.len() * 8 / unit);
    let count = bits::count(bytes, (range.start * unit) as u64..(range.end * unit) as u64);
    cx.reply.integer(count as i64);
    Ok(())
}

fn bitpos(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let wanted = match integer(&args[2])? {
        0 => false,
        1 => true,
        _ => return Err(Error::fixed("ERR The bit argument must be 1 or 0.")),
    };
    if args.len() > 6 {
        return Err(Error::SYNTAX);
    }
    let start = args.get(3).map_or(Ok(0), integer)?;
    let unit = unit(args.get(5))?;
    let end = args.get(4).map_or(Ok(-1), integer)?;
    let key = cx.key(args, 1);
    let Some(entry) = cx.server.keys.read(cx.db, key, cx.touch) else {
        // A string that is not there is clear without an end.
        cx.reply.integer(if wanted { -1 } else { 0 });
        return Ok(());
    };
    let bytes = bytes_of(entry)?;
    let range = inclusive(start, end, bytes.len() * 8 / unit);
    let range = (range.start * unit) as u64..(range.end * unit) as u64;
    let position = match bits::position(bytes, range.clone(), wanted) {
        Some(position) => position as i64,
        // Where no end is given, the string counts as continued with clear bits.
        None if !wanted && args.len() < 5 && !range.is_empty() => range.end as i64,
        None => -1,
    };
    cx.reply.integer(position);
    Ok(())
}

fn bitop(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let names: [(&[u8], Operation); 4] =
        [(b"AND", Operation::And), (b"OR", Operation::Or), (b"XOR", Operation::Xor), (b"NOT", Operation::Not)];
    let named = names.into_iter().find(|(name, _)| args[1].eq_ignore_ascii_case(name));
    let (_, operation) = named.ok_or(Error::SYNTAX)?;
    if operation == Operation::Not && args.len() != 4 {
        return Err(Error::fixed("ERR BITOP NOT must be called with a single source key."));
    }
    cx.prefetch_keys(args, 3, 1);
    let sources = 0..args.len() - 3;
    for n in sources.clone() {
        let key = cx.hashed_key(args, n, 3 + n);
        if let Some(entry) = cx.server.keys.read(cx.db, key, cx.touch) {
            bytes_of(entry)?;
        }
    }
    let keys = &cx.server.keys;
    let source = |n| keys.view(cx.db, cx.hashed_key(args, n, 3 + n)).map_or(&b""[..], EntryRef::string);
    let sources: Vec<&[u8]> = sources.map(source).collect();
    let result = bits::combine(operation, &sources);
    cx.reply.count(result.len());
    let key = cx.key(args, 2);
    if result.is_empty() {
        cx.server.keys.vacate(cx.db, key);
    } else {
        let value = StringValue::Owned(result);
        cx.server.keys.set_string_as(cx.db, key, value, Encoding::Raw, Expiry::Clear, Event::SET);
    }
    Ok(())
}

/// What BITFIELD does with an integer.
#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

/// The integer that an encoding (`i` for signed or `u` for unsigned, then the width in bits) and an offset name.
fn field(cx: &Ctx<'_>, encoding: &[u8], at: &[u8]) -> Result<Field, Error> {
    let (signed, bits) = match encoding {
        [b'i', bits @ ..] => (true, bits),
        [b'u', bits @ ..] => (false, bits),
        _ => return Err(BAD_FIELD),
    };
    // Replies have no unsigned integers, so the sign must have a bit to spare.
    let widest = if signed { 64 } else { 63 };
    let bits = parse_i64(bits).filter(|bits| (1..=widest).contains(bits)).ok_or(BAD_FIELD)? as u32;
    Ok(Field { offset: offset(cx, at, Some(bits))?, bits, signed })
}

fn bitfield(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let mut overflow = Overflow::Wrap;
    let mut steps = Vec::new();
    // Bytes that the string must have; 0 if it is not written to.
    let mut needed = 0;
    let mut at = 2;
    while at < args.len() {
        let word = &args[at];
        let left = args.len() - at - 1;
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("OVERFLOW") && left >= 1 {
            let kinds: [(&[u8], Overflow); 3] =
                [(b"WRAP", Overflow::Wrap), (b"SAT", Overflow::Saturate), (b"FAIL", Overflow::Fail)];
            let kind = kinds.into_iter().find(|(name, _)| args[at + 1].eq_ignore_ascii_case(name));
            (_, overflow) = kind.ok_or(Error::fixed("ERR Invalid OVERFLOW type specified"))?;
            at += 2;
        } else if is("GET") && left >= 2 {
            steps.push((field(cx, &args[at + 1], &args[at + 2])?, Action::Get));
            at += 3;
        } else if (is("SET") || is("INCRBY")) && left >= 3 {
            let field = field(cx, &args[at + 1], &args[at + 2])?;
            let amount = integer(&args[at + 3])?;
            let action = if is("SET") { Action::Set(amount, overflow) } else { Action::Add(amount, overflow) };
            needed = field.bytes_needed().max(needed);
            steps.push((field, action));
            at += 4;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let key = cx.key(args, 1);
    let reply = &mut cx.reply;
    if needed == 0 {
        let bytes = match cx.server.keys.read(cx.db, key, cx.touch) {
            Some(entry) => bytes_of(entry)?,
            None => b"",
        };
        reply.array(steps.len());
        steps.iter().for_each(|(field, _)| reply.integer(field.read(bytes)));
        return Ok(());
    }
    if cx.command.command.flags.contains(Flags::READONLY) {
        return Err(Error::fixed("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    let write = |bytes: &mut [u8]| {
        let mut changed = false;
        reply.array(steps.len());
        for (field, action) in &steps {
            let old = field.read(bytes);
            let (new, answer) = match *action {
                Action::Get => (Some(old), Some(old)),
                Action::Set(value, overflow) => {
                    let new = field.fit_set(value, overflow);
                    (new, new.and(Some(old)))
                }
                Action::Add(increment, overflow) => {
                    let new = field.fit(old as i128 + increment as i128, overflow);
                    (new, new)
                }
            };
            match answer {
                Some(answer) => reply.integer(answer),
                None => reply.null(),
            }
            if let Some(new) = new.filter(|&new| new != old) {
                field.write(bytes, new);
                changed = true;
            }
        }
        changed
    };
    let resize = |entry: Option<EntryRef<'_>>| grown(entry, needed);
    cx.server.keys.change_string(cx.db, key, cx.touch, Event::SETBIT, resize, write)
}
