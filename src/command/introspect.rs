//! COMMAND: what the server tells about its commands. All of it is derived from the table.
//!
//! Names are looked up as clients call commands, `rename-command` included; what is told is the name that the table
//! has. A subcommand goes by `container|subcommand`.

use super::Ctx;
use super::error::{Error, Outcome};
use super::history;
use super::key_positions::{each_key, has_keys, legacy_range};
use super::state::Server;
use super::syntax::{self, Argument, Kind};
use super::table::{
    self, Acl, Begin, CATEGORY_NAMES, Command, Doc, FLAG_NAMES, Find, Flags, KEY_FLAG_NAMES, KeyFlags, KeySpec,
    Registered,
};
use crate::resp::{Args, Reply};
use crate::types::glob;

const DOC: Doc = Doc { group: "server", ..Command::NONE.doc };
const UNORDERED: &[&str] = &["nondeterministic_output_order"];
/// What subcommands have in common.
const SUB: Command = Command { flags: Flags::LOADING.union(Flags::STALE), acl: Acl::CONNECTION, ..Command::NONE };

pub const COMMANDS: &[Command] = &[Command {
    name: "command",
    arity: -1,
    tips: UNORDERED,
    doc: Doc {
        summary: "Describes all commands.",
        since: "2.8.13",
        complexity: "O(N) where N is the number of commands.",
        ..DOC
    },
    subcommands: &[
        Command {
            name: "count",
            arity: 2,
            doc: Doc { summary: "Counts the commands.", since: "2.8.13", complexity: "O(1)", ..DOC },
            handler: count,
            ..SUB
        },
        Command {
            name: "docs",
            arity: -2,
            tips: UNORDERED,
            doc: Doc {
                summary: "Documents some commands, or all.",
                since: "7.0.0",
                complexity: "O(N) where N is the number of commands to document.",
                syntax: "[command-name [command-name ...]]",
                ..DOC
            },
            handler: docs,
            ..SUB
        },
        Command {
            name: "getkeys",
            arity: -3,
            doc: Doc {
                summary: "Picks the keys out of a whole command.",
                since: "2.8.13",
                complexity: "O(N) where N is the number of arguments of the command.",
                syntax: "command [arg [arg ...]]",
                ..DOC
            },
            handler: get_keys,
            ..SUB
        },
        Command {
            name: "getkeysandflags",
            arity: -3,
            doc: Doc {
                summary: "Picks the keys out of a whole command, and tells what it does with them.",
                since: "7.0.0",
                complexity: "O(N) where N is the number of arguments of the command.",
                syntax: "command [arg [arg ...]]",
                ..DOC
            },
            handler: get_keys_and_flags,
            ..SUB
        },
        Command {
            name: "help",
            arity: 2,
            doc: Doc { summary: "Lists the subcommands.", since: "5.0.0", complexity: "O(1)", ..DOC },
            handler: help,
            ..SUB
        },
        Command {
            name: "info",
            arity: -2,
            tips: UNORDERED,
            doc: Doc {
                summary: "Describes some commands, or all.",
                since: "2.8.13",
                complexity: "O(N) where N is the number of commands to describe.",
                syntax: "[command-name [command-name ...]]",
                ..DOC
            },
            handler: info,
            ..SUB
        },
        Command {
            name: "list",
            arity: -2,
            tips: UNORDERED,
            doc: Doc {
                summary: "Lists the names of commands.",
                since: "7.0.0",
                complexity: "O(N) where N is the number of commands.",
                syntax: "[filterby: FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
                ..DOC
            },
            handler: list,
            ..SUB
        },
    ],
    handler: info,
    ..SUB
}];

/// The commands that clients can call, without subcommands, in the order of the table.
fn callable(server: &Server) -> Vec<&'static Registered> {
    let mut commands: Vec<_> = server.names.iter().map(|(_, command)| command).collect();
    commands.sort_by_key(|command| command.id.index());
    commands
}

fn count(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply.count(cx.server.names.count());
    Ok(())
}

// --- COMMAND and COMMAND INFO ------------------------------------------------------------------------

fn info(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.len() <= 2 {
        let commands = callable(cx.server);
        cx.reply.array(commands.len());
        commands.into_iter().for_each(|command| describe(&mut cx.reply, command));
        return Ok(());
    }
    cx.reply.array(args.len() - 2);
    for name in args.iter_from(2) {
        match cx.server.names.find_full(name) {
            Some(command) => describe(&mut cx.reply, command),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

fn describe(reply: &mut Reply, registered: &Registered) {
    let command = registered.command;
    let (first, last, step) = legacy_range(command);
    reply.array(10);
    reply.bulk(registered.full_name.as_bytes());
    reply.integer(command.arity as i64);
    statuses(reply, FLAG_NAMES.iter().filter(|(flag, _)| command.flags.contains(*flag)).map(|(_, name)| *name));
    reply.integer(first);
    reply.integer(last);
    reply.integer(step);
    let categories = CATEGORY_NAMES.iter().filter(|(category, _)| command.categories().contains(*category));
    let categories: Vec<String> = categories.map(|(_, name)| format!("@{name}")).collect();
    statuses(reply, categories.iter().map(String::as_str));
    reply.set(command.tips.len());
    command.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(command.keys.len());
    command.keys.iter().for_each(|spec| describe_keys(reply, spec));
    if registered.subcommands.is_empty() {
        reply.set(0);
    } else {
        reply.array(registered.subcommands.len());
        registered.subcommands.iter().for_each(|id| describe(reply, id.registered()));
    }
}

fn describe_keys(reply: &mut Reply, spec: &KeySpec) {
    reply.map(3 + usize::from(!spec.notes.is_empty()));
    if !spec.notes.is_empty() {
        texts(reply, ["notes", spec.notes]);
    }
    reply.bulk(b"flags");
    key_flags(reply, spec.flags);

    reply.bulk(b"begin_search");
    reply.map(2);
    reply.bulk(b"type");
    match spec.begin {
        Begin::Index(index) => {
            texts(reply, ["index", "spec"]);
            numbers(reply, &[("index", index as i64)]);
        }
        Begin::Keyword(word, from) => {
            texts(reply, ["keyword", "spec"]);
            reply.map(2);
            texts(reply, ["keyword", word, "startfrom"]);
            reply.integer(from as i64);
        }
        Begin::Unknown => {
            texts(reply, ["unknown", "spec"]);
            reply.map(0);
        }
    }

    reply.bulk(b"find_keys");
    reply.map(2);
    reply.bulk(b"type");
    match spec.find {
        Find::Range { last, step, limit } => {
            texts(reply, ["range", "spec"]);
            numbers(reply, &[("lastkey", last as i64), ("keystep", step as i64), ("limit", limit as i64)]);
        }
        Find::KeyNum { number, first, step } => {
            texts(reply, ["keynum", "spec"]);
            numbers(reply, &[("keynumidx", number as i64), ("firstkey", first as i64), ("keystep", step as i64)]);
        }
        Find::Unknown => {
            texts(reply, ["unknown", "spec"]);
            reply.map(0);
        }
    }
}

fn key_flags(reply: &mut Reply, flags: KeyFlags) {
    statuses(reply, KEY_FLAG_NAMES.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name));
}

/// A set of status lines.
fn statuses<'a>(reply: &mut Reply, words: impl Iterator<Item = &'a str> + Clone) {
    reply.set(words.clone().count());
    words.for_each(|word| reply.status(word));
}

fn texts<const N: usize>(reply: &mut Reply, words: [&str; N]) {
    words.iter().for_each(|word| reply.bulk(word.as_bytes()));
}

fn numbers(reply: &mut Reply, pairs: &[(&str, i64)]) {
    reply.map(pairs.len());
    for (name, number) in pairs {
        reply.bulk(name.as_bytes());
        reply.integer(*number);
    }
}

// --- COMMAND DOCS --------------------------------------------------------------------------------------

fn docs(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let commands = match args.len() {
        2 => callable(cx.server),
        _ => args.iter_from(2).filter_map(|name| cx.server.names.find_full(name)).collect(),
    };
    cx.reply.map(commands.len());
    commands.into_iter().for_each(|command| document(&mut cx.reply, command));
    Ok(())
}

/// The name of a command, and its documentation.
fn document(reply: &mut Reply, registered: &Registered) {
    let doc = &registered.command.doc;
    let arguments = syntax::arguments(registered).expect("a unit test has parsed the syntax of every row");
    let texts_of: Vec<(&str, &str)> =
        [("summary", doc.summary), ("since", doc.since), ("group", doc.group), ("complexity", doc.complexity)]
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .collect();
    let end: Vec<(&str, &str)> = [("deprecated_since", doc.deprecated_since), ("replaced_by", doc.replaced_by)]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .collect();
    let flags = [(!doc.deprecated_since.is_empty(), "deprecated"), (doc.internal, "syscmd")];
    let flags = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name);
    let has_flags = flags.clone().next().is_some();
    let changes = history::of(&registered.full_name);
    reply.bulk(registered.full_name.as_bytes());
    reply.map(
        texts_of.len()
            + end.len()
            + usize::from(!changes.is_empty())
            + usize::from(has_flags)
            + usize::from(!arguments.is_empty())
            + usize::from(!registered.subcommands.is_empty()),
    );
    texts_of.into_iter().for_each(|(name, text)| texts(reply, [name, text]));
    if has_flags {
        reply.bulk(b"doc_flags");
        statuses(reply, flags);
    }
    end.into_iter().for_each(|(name, text)| texts(reply, [name, text]));
    if !changes.is_empty() {
        reply.bulk(b"history");
        reply.set(changes.len());
        for change in changes {
            reply.array(2);
            texts(reply, [change.since, change.what]);
        }
    }
    if !arguments.is_empty() {
        reply.bulk(b"arguments");
        reply.array(arguments.len());
        arguments.iter().for_each(|argument| document_argument(reply, &registered.full_name, argument));
    }
    if !registered.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(registered.subcommands.len());
        registered.subcommands.iter().for_each(|id| document(reply, id.registered()));
    }
}

/// An argument of the command of this whole name.
fn document_argument(reply: &mut Reply, command: &str, argument: &Argument) {
    let since = history::argument_since(command, &argument.name);
    let deprecated_since = history::argument_deprecated_since(command, &argument.name);
    let parts = argument.parts();
    let is_leaf = !matches!(argument.kind, Kind::OneOf(_) | Kind::Block(_));
    let flags =
        [(argument.optional, "optional"), (argument.multiple, "multiple"), (argument.multiple_token, "multiple_token")];
    let flags = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name);
    let has_flags = flags.clone().next().is_some();
    reply.map(
        2 + usize::from(is_leaf)
            + usize::from(argument.key_spec.is_some())
            + usize::from(argument.token.is_some())
            + usize::from(since.is_some())
            + usize::from(deprecated_since.is_some())
            + usize::from(has_flags)
            + usize::from(!parts.is_empty()),
    );
    texts(reply, ["name", &argument.name, "type", argument.kind.name()]);
    if is_leaf {
        texts(reply, ["display_text", &argument.display]);
    }
    if let Some(number) = argument.key_spec {
        reply.bulk(b"key_spec_index");
        reply.count(number);
    }
    if let Some(token) = argument.token {
        texts(reply, ["token", token]);
    }
    if let Some(since) = since {
        texts(reply, ["since", since]);
    }
    if let Some(since) = deprecated_since {
        texts(reply, ["deprecated_since", since]);
    }
    if has_flags {
        reply.bulk(b"flags");
        statuses(reply, flags);
    }
    if !parts.is_empty() {
        reply.bulk(b"arguments");
        reply.array(parts.len());
        parts.iter().for_each(|part| document_argument(reply, command, part));
    }
}

// --- COMMAND GETKEYS ---------------------------------------------------------------------------------------

/// Where the command begins that GETKEYS is asked about.
const ASKED: usize = 2;

/// The keys of a whole command that follows GETKEYS.
fn keys_of(cx: &Ctx<'_>, args: &Args<'_>) -> Result<Vec<(usize, KeyFlags)>, Error> {
    const UNKNOWN: Error = Error::fixed("ERR Invalid command specified");
    let command = cx.server.names.resolve(&args[ASKED], args.get(ASKED + 1)).ok_or(UNKNOWN)?;
    if !has_keys(command.command) {
        return Err(Error::fixed("ERR The command has no key arguments"));
    }
    if !command.command.takes(args.len() - ASKED) {
        return Err(Error::fixed("ERR Invalid number of arguments specified for command"));
    }
    let mut keys = Vec::new();
    let found = each_key(command.command, args, ASKED, |at, flags| {
        if !flags.contains(KeyFlags::NOT_KEY) {
            keys.push((at, flags));
        }
    });
    if command.command.flags.contains(Flags::NO_MANDATORY_KEYS) {
        // Whatever does not fit is no key then.
        return Ok(if found.is_ok() { keys } else { Vec::new() });
    }
    if found.is_err() || keys.is_empty() {
        return Err(Error::fixed("ERR Invalid arguments specified for command"));
    }
    Ok(keys)
}

fn get_keys(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let keys = keys_of(cx, args)?;
    cx.reply.array(keys.len());
    keys.into_iter().for_each(|(at, _)| cx.reply.bulk(&args[at]));
    Ok(())
}

fn get_keys_and_flags(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let keys = keys_of(cx, args)?;
    cx.reply.array(keys.len());
    for (at, flags) in keys {
        cx.reply.array(2);
        cx.reply.bulk(&args[at]);
        key_flags(&mut cx.reply, flags);
    }
    Ok(())
}

// --- the rest ------------------------------------------------------------------------------------------

fn help(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.help(
        args,
        &[
            "(no subcommand)",
            "    Describe all commands.",
            "COUNT",
            "    Count the commands.",
            "DOCS [<command-name> ...]",
            "    Document the commands, or all of them.",
            "GETKEYS <command> [<arg> ...]",
            "    Pick the keys out of a whole command.",
            "GETKEYSANDFLAGS <command> [<arg> ...]",
            "    Pick the keys out of a whole command, and tell what it does with each.",
            "INFO [<command-name> ...]",
            "    Describe the commands, or all of them.",
            "LIST [FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]",
            "    List the names of commands and subcommands.",
        ],
    )
}

fn list(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let is = |at: usize, word: &str| args[at].eq_ignore_ascii_case(word.as_bytes());
    let wanted: Box<dyn Fn(&Registered) -> bool + '_> = match args.len() {
        2 => Box::new(|_| true),
        // There are no modules.
        5 if is(2, "filterby") && is(3, "module") => Box::new(|_| false),
        5 if is(2, "filterby") && is(3, "aclcat") => {
            let category = table::category(&args[4]);
            Box::new(move |command| category.is_some_and(|category| command.command.categories().contains(category)))
        }
        5 if is(2, "filterby") && is(3, "pattern") => {
            Box::new(|command| glob::matches(&args[4], command.full_name.as_bytes(), true))
        }
        _ => return Err(Error::SYNTAX),
    };
    let mut found: Vec<&Registered> = Vec::new();
    for command in callable(cx.server) {
        let family = std::iter::once(command).chain(command.subcommands.iter().map(|id| id.registered()));
        found.extend(family.filter(|command| wanted(command)));
    }
    cx.reply.array(found.len());
    found.iter().for_each(|command| cx.reply.bulk(command.full_name.as_bytes()));
    Ok(())
}
