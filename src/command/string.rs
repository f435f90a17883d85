//! Strings.

use super::Ctx;
use super::error::{Error, Outcome};
use super::table::{Acl, Command, Doc, Flags, KeyFlags, KeySpec};
use crate::effects::Event;
use crate::keyspace::entry::{EntryRef, Object, Type};
use crate::keyspace::{Expiry, StringValue};
use crate::resp::{Args, Reply};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "get",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(1, KeyFlags::READS)],
        doc: Doc {
            summary: "Answers a key's string.",
            since: "1.0.0",
            group: "string",
            complexity: "O(1)",
            syntax: "key",
            ..Command::NONE.doc
        },
        handler: get,
        ..Command::NONE
    },
    Command {
        name: "set",
        arity: -3,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        acl: Acl::STRING,
        keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
        handler: set,
        ..Command::NONE
    },
];

/// Replies with a string of the keyspace: a long one by reference.
fn string_reply(reply: &mut Reply, entry: EntryRef<'_>) -> Outcome {
    if entry.kind() != Type::String {
        return Err(Error::WRONG_TYPE);
    }
    match entry.object() {
        Some(Object::Blob(blob)) => reply.blob(blob),
        None => reply.bulk(entry.inline()),
    }
    Ok(())
}

fn get(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 1);
    match cx.server.keys.read(cx.db, key, cx.touch) {
        Some(entry) => string_reply(&mut cx.reply, entry)?,
        None => cx.reply.null(),
    }
    Ok(())
}

fn set(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let owned = args.take_owned(2);
    let key = cx.key(args, 1);
    let value = match owned {
        Some(bytes) => StringValue::Owned(bytes),
        None => StringValue::Borrowed(&args[2]),
    };
    cx.server.keys.set_string(cx.db, key, value, Expiry::Clear, Event::SET);
    cx.reply.ok();
    Ok(())
}
