//! FUNCTION, which looks after libraries of functions, and FCALL and FCALL_RO, which call functions.

use std::time::Duration;

use super::error::{Error, Outcome};
use super::script::{READ_KEYS, READING, UPDATED_KEYS, WRITING};
use super::script_run::{self, Called, Job, key_range, log_line};
use super::state::Server;
use super::table::{Acl, Command, Doc, Flags};
use super::{Ctx, REDIS_VERSION, malformed, monitor};
use crate::persist::rdb::payload::{self, Unloadable};
use crate::resp::Args;
use crate::script::ScriptFlags;
use crate::script::functions::{LANGUAGE, Libraries, Loading, Policy};
use crate::types::glob;
use crate::types::number::parse_i64;

/// The code of a library that a client loads may run so long.
const LOAD_LIMIT: Duration = Duration::from_millis(500);
/// More functions than so many count as freed lazily when they are flushed so. It is over at once all the same: what takes
/// long is to free data, not code.
const LAZY_MIN: usize = 64;

const DOC: Doc = Doc { group: "scripting", since: "7.0.0", complexity: "That of the function", ..Command::NONE.doc };
const BASE: Command = Command { arity: -3, acl: Acl::SCRIPTING, ..Command::NONE };
const CHANGING: Flags = Flags::NOSCRIPT.union(Flags::WRITE);
const ADDING: Flags = CHANGING.union(Flags::DENYOOM);
const TO_ALL: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

pub const COMMANDS: &[Command] = &[
    Command {
        name: "fcall",
        flags: WRITING,
        keys: UPDATED_KEYS,
        doc: Doc { summary: "Calls a function.", syntax: "function numkeys [key [key ...]] [arg [arg ...]]", ..DOC },
        handler: fcall,
        ..BASE
    },
    Command {
        name: "fcall_ro",
        flags: READING,
        keys: READ_KEYS,
        doc: Doc {
            summary: "Calls a function that may not write.",
            syntax: "function numkeys [key [key ...]] [arg [arg ...]]",
            ..DOC
        },
        handler: fcall_ro,
        ..BASE
    },
    Command {
        name: "function",
        arity: -2,
        acl: Acl::empty(),
        doc: Doc { summary: "Holds the commands about functions.", complexity: "Depends on the subcommand.", ..DOC },
        subcommands: &[
            Command {
                name: "delete",
                arity: 3,
                flags: CHANGING,
                tips: TO_ALL,
                doc: Doc {
                    summary: "Removes a library and its functions.",
                    complexity: "O(1)",
                    syntax: "library-name",
                    ..DOC
                },
                handler: delete,
                ..BASE
            },
            Command {
                name: "dump",
                arity: 2,
                flags: Flags::NOSCRIPT,
                doc: Doc {
                    summary: "Answers all libraries in the form that FUNCTION RESTORE takes.",
                    complexity: "O(N) where N is the number of libraries",
                    ..DOC
                },
                handler: dump,
                ..BASE
            },
            Command {
                name: "flush",
                arity: -2,
                flags: CHANGING,
                tips: TO_ALL,
                doc: Doc {
                    summary: "Removes all libraries.",
                    complexity: "O(N) where N is the number of functions",
                    syntax: "[flush-type: ASYNC | SYNC]",
                    ..DOC
                },
                handler: flush,
                ..BASE
            },
            Command {
                name: "help",
                arity: 2,
                flags: Flags::LOADING.union(Flags::STALE),
                doc: Doc { summary: "Lists the subcommands.", complexity: "O(1)", ..DOC },
                handler: help,
                ..BASE
            },
            Command {
                name: "kill",
                arity: 2,
                flags: Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
                tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
                doc: Doc { summary: "Ends the function that runs.", complexity: "O(1)", ..DOC },
                handler: super::script::kill::<false>,
                ..BASE
            },
            Command {
                name: "list",
                arity: -2,
                flags: Flags::NOSCRIPT,
                tips: &["nondeterministic_output_order"],
                doc: Doc {
                    summary: "Tells which libraries there are.",
                    complexity: "O(N) where N is the number of functions",
                    syntax: "[LIBRARYNAME library-name-pattern] [WITHCODE]",
                    ..DOC
                },
                handler: list,
                ..BASE
            },
            Command {
                name: "load",
                flags: ADDING,
                tips: TO_ALL,
                doc: Doc {
                    summary: "Adds a library.",
                    complexity: "O(1), besides what its code does",
                    syntax: "[REPLACE] function-code",
                    ..DOC
                },
                handler: load,
                ..BASE
            },
            Command {
                name: "restore",
                flags: ADDING,
                tips: TO_ALL,
                doc: Doc {
                    summary: "Adds the libraries that FUNCTION DUMP answered.",
                    complexity: "O(N) where N is the number of functions in them",
                    syntax: "serialized-value [policy: FLUSH | APPEND | REPLACE]",
                    ..DOC
                },
                handler: restore,
                ..BASE
            },
            Command {
                name: "stats",
                arity: 2,
                flags: Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
                tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
                doc: Doc { summary: "Tells which function runs, and how many there are.", complexity: "O(1)", ..DOC },
                handler: stats,
                ..BASE
            },
        ],
        ..BASE
    },
];

/// What a function says of itself.
pub fn flags_of(server: &Server, name: &[u8]) -> Option<ScriptFlags> {
    server.functions.function(name).map(|function| function.flags)
}

fn call(cx: &mut Ctx<'_>, args: &mut Args<'_>, read_only: bool) -> Outcome {
    // Its commands are shown behind it.
    monitor::show(cx, args);
    let function = cx.server.functions.function(&args[1]).ok_or(Error::fixed("ERR Function not found"))?.clone();
    parse_i64(&args[2]).ok_or(Error::fixed("ERR Bad number of keys provided"))?;
    let keys = key_range(args, 2)?;
    let (engine, flags) = (function.engine.clone(), Some(function.flags));
    let (function, called) = (function.function, Called::Name(function));
    script_run::run(cx, args, Job { engine: &engine, function, called: &called, flags, read_only, keys })
}

fn fcall(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    call(cx, args, false)
}

fn fcall_ro(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    call(cx, args, true)
}

/// Libraries have changed: a change like that of a key.
fn changed(cx: &mut Ctx<'_>) {
    cx.server.keys.effects.dirty += 1;
}

/// How libraries are loaded now. What is replayed has been loaded before, and has all the time it needs.
fn loading(server: &mut Server, replace: bool) -> Loading<'static> {
    Loading {
        replace,
        limit: server.loading.is_none().then_some(LOAD_LIMIT),
        version: REDIS_VERSION,
        seed: server.keys.random_source().i32(..),
        log: log_line,
    }
}

/// An error of a library.
fn refusal(text: Vec<u8>) -> Error {
    Error::new([b"ERR ", text.as_slice()].concat())
}

impl Server {
    /// Loads a library that a snapshot had, among those `aside` of ours if there are such; one of the same name goes for it if
    /// `replace` says so.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn load_library(&mut self, source: &[u8], replace: bool, aside: Option<&mut Libraries>) -> Result<(), Vec<u8>> {
        let loading = Loading { limit: None, ..loading(self, replace) };
        aside.unwrap_or(&mut self.functions).load(source, loading).map(drop)
    }
}

fn delete(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if !cx.server.functions.delete(&args[2]) {
        return Err(Error::fixed("ERR Library not found"));
    }
    changed(cx);
    cx.reply.ok();
    Ok(())
}

fn dump(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let payload = payload::dump_libraries(cx.server.functions.sources(), cx.server.settings.rdbcompression);
    cx.reply.bulk(&payload);
    Ok(())
}

fn flush(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.len() > 3 {
        return Err(malformed(args));
    }
    let mode = args.get(2).map(<[u8]>::to_ascii_lowercase);
    if !matches!(mode.as_deref(), None | Some(b"sync" | b"async")) {
        return Err(Error::fixed("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    let server = &mut *cx.server;
    let lazy = mode.map_or(server.settings.lazyfree_lazy_user_flush, |mode| mode == b"async");
    let count = server.functions.function_count();
    if lazy && count > LAZY_MIN {
        // The interpreter counts, too.
        server.keys.stats.lazily_freed += count as u64 + 1;
    }
    server.functions.clear(lazy);
    changed(cx);
    cx.reply.ok();
    Ok(())
}

fn help(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    const LINES: &[&str] = &[
        "DELETE <library-name>",
        "    Remove a library and its functions.",
        "DUMP",
        "    Answer all libraries in the form that RESTORE takes.",
        "FLUSH [ASYNC|SYNC]",
        "    Remove all libraries.",
        "KILL",
        "    End the function that runs, unless it has written.",
        "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
        "    Tell which libraries there are, and their functions; with WITHCODE also their code.",
        "LOAD [REPLACE] <code>",
        "    Add the library that the code makes; with REPLACE, one of the same name goes for it.",
        "RESTORE <payload> [FLUSH|APPEND|REPLACE]",
        "    Add the libraries of a payload. Those that are there go (FLUSH), must have other names",
        "    (APPEND, the default), or go if they have the same names (REPLACE).",
        "STATS",
        "    Tell which function runs, and how many libraries and functions there are.",
    ];
    cx.help(args, LINES)
}

fn list(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let (mut pattern, mut with_code) = (None, false);
    let mut at = 2;
    while let Some(word) = args.get(at) {
        if !with_code && word.eq_ignore_ascii_case(b"withcode") {
            with_code = true;
        } else if pattern.is_none() && word.eq_ignore_ascii_case(b"libraryname") {
            at += 1;
            pattern = Some(args.get(at).ok_or(Error::fixed("ERR library name argument was not given"))?);
        } else {
            return Err(Error::new([b"ERR Unknown argument ", word].concat()));
        }
        at += 1;
    }
    let Ctx { server, reply, .. } = cx;
    let asked_for = |name: &[u8]| pattern.is_none_or(|pattern| glob::matches(pattern, name, true));
    reply.array(server.functions.iter().filter(|(name, _)| asked_for(name)).count());
    for (name, library) in server.functions.iter().filter(|(name, _)| asked_for(name)) {
        reply.map(if with_code { 4 } else { 3 });
        reply.bulk(b"library_name");
        reply.bulk(name);
        reply.bulk(b"engine");
        reply.bulk(LANGUAGE.as_bytes());
        reply.bulk(b"functions");
        reply.array(library.functions.len());
        for function in &library.functions {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(&function.name);
            reply.bulk(b"description");
            match &function.description {
                Some(description) => reply.bulk(description),
                None => reply.null(),
            }
            reply.bulk(b"flags");
            let set = ScriptFlags::NAMES.iter().filter(|(flag, _)| function.flags.contains(*flag));
            reply.set(set.clone().count());
            set.for_each(|(_, name)| reply.status(name));
        }
        if with_code {
            reply.bulk(b"library_code");
            reply.bulk(&library.code);
        }
    }
    Ok(())
}

fn load(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let code = args.len() - 1;
    for word in args.iter_from(2).take(code - 2) {
        if !word.eq_ignore_ascii_case(b"replace") {
            return Err(Error::new([b"ERR Unknown option given: ", word].concat()));
        }
    }
    let loading = loading(cx.server, code > 2);
    let name = cx.server.functions.load(&args[code], loading).map_err(refusal)?;
    changed(cx);
    cx.reply.bulk(&name);
    Ok(())
}

fn restore(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.len() > 4 {
        return Err(malformed(args));
    }
    let policy = args.get(3).map(<[u8]>::to_ascii_lowercase);
    let policy = match policy.as_deref() {
        None | Some(b"append") => Policy::Append,
        Some(b"replace") => Policy::Replace,
        Some(b"flush") => Policy::Flush,
        Some(_) => {
            return Err(Error::fixed(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    let sources = payload::restore_libraries(&args[2], !cx.server.debug.skip_checksums).map_err(|refused| {
        Error::fixed(match refused {
            Unloadable::Footer => "ERR DUMP payload version or checksum are wrong",
            Unloadable::OldFormat => "ERR Pre-GA function format not supported",
            Unloadable::NoLibrary => "ERR given type is not a function",
            Unloadable::Contents => "ERR Failed loading library payload",
        })
    })?;
    let loading = Loading { limit: None, ..loading(cx.server, false) };
    cx.server.functions.restore(&sources, policy, loading).map_err(refusal)?;
    changed(cx);
    cx.reply.ok();
    Ok(())
}

fn stats(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let Ctx { server, reply, .. } = cx;
    let running = server.scripts.running.as_ref();
    if running.is_some_and(|running| running.called.is_eval()) {
        return Err(Error::fixed(
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        ));
    }
    reply.map(2);
    reply.bulk(b"running_script");
    match running {
        None => reply.null(),
        Some(running) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(running.called.name());
            reply.bulk(b"command");
            reply.array(running.command.len());
            running.command.iter().for_each(|word| reply.bulk(word));
            reply.bulk(b"duration_ms");
            reply.integer(running.elapsed(&server.cycles).as_millis() as i64);
        }
    }
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(LANGUAGE.as_bytes());
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.integer(server.functions.len() as i64);
    reply.bulk(b"functions_count");
    reply.integer(server.functions.function_count() as i64);
    Ok(())
}
