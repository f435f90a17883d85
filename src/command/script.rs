//! EVAL and its kin, which run scripts, and SCRIPT, which looks after those that are known.

use super::error::{Error, Outcome};
use super::script_run::{self, Called, Job, key_range};
use super::state::Server;
use super::table::{Acl, Begin, Command, Doc, EVERYWHERE, Find, Flags, KeyFlags, KeySpec, Registered};
use super::{Ctx, function, monitor, script_debug};
use crate::resp::Args;
use crate::script::{Script, ScriptFlags, Sha, sha1, shebang};

const EVAL_FLAGS: Flags = Flags::NOSCRIPT
    .union(Flags::STALE)
    .union(Flags::SKIP_MONITOR)
    .union(Flags::NO_MANDATORY_KEYS)
    .union(Flags::MOVABLE_KEYS)
    .union(Flags::SCRIPT);
pub const WRITING: Flags = EVAL_FLAGS.union(Flags::MAY_REPLICATE);
pub const READING: Flags = EVAL_FLAGS.union(Flags::READONLY);

/// How the keys are used that a call counts, which nobody can say before it runs.
const fn counted(flags: KeyFlags, notes: &'static str) -> KeySpec {
    KeySpec { begin: Begin::Index(2), find: Find::KeyNum { number: 0, first: 1, step: 1 }, flags, notes }
}

pub const UPDATED_KEYS: &[KeySpec] = &[counted(
    KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE),
    "What a script does with its keys is its own affair; the most is assumed.",
)];
pub const READ_KEYS: &[KeySpec] =
    &[counted(KeyFlags::READS, "What a script does with its keys is its own affair; it can read them at most.")];

const DOC: Doc = Doc { group: "scripting", since: "2.6.0", complexity: "That of the script", ..Command::NONE.doc };
const BASE: Command = Command { arity: -3, flags: WRITING, acl: Acl::SCRIPTING, keys: UPDATED_KEYS, ..Command::NONE };

const SUB_FLAGS: Flags = Flags::NOSCRIPT;

pub const COMMANDS: &[Command] = &[
    Command {
        name: "eval",
        doc: Doc { summary: "Runs a script.", syntax: "script numkeys [key [key ...]] [arg [arg ...]]", ..DOC },
        handler: eval,
        ..BASE
    },
    Command {
        name: "eval_ro",
        flags: READING,
        keys: READ_KEYS,
        doc: Doc {
            summary: "Runs a script that may not write.",
            since: "7.0.0",
            syntax: "script numkeys [key [key ...]] [arg [arg ...]]",
            ..DOC
        },
        handler: eval_ro,
        ..BASE
    },
    Command {
        name: "evalsha",
        doc: Doc {
            summary: "Runs a known script, named by its SHA-1.",
            syntax: "sha1 numkeys [key [key ...]] [arg [arg ...]]",
            ..DOC
        },
        handler: evalsha,
        ..BASE
    },
    Command {
        name: "evalsha_ro",
        flags: READING,
        keys: READ_KEYS,
        doc: Doc {
            summary: "Runs a known script, named by its SHA-1, that may not write.",
            since: "7.0.0",
            syntax: "sha1 numkeys [key [key ...]] [arg [arg ...]]",
            ..DOC
        },
        handler: evalsha_ro,
        ..BASE
    },
    Command {
        name: "script",
        arity: -2,
        flags: Flags::empty(),
        acl: Acl::empty(),
        keys: &[],
        doc: Doc { summary: "Holds the commands about scripts.", complexity: "Depends on the subcommand.", ..DOC },
        subcommands: &[
            Command {
                name: "debug",
                arity: 3,
                flags: SUB_FLAGS,
                keys: &[],
                doc: Doc {
                    summary: "Chooses whether the client's scripts run in the debugger.",
                    since: "3.2.0",
                    complexity: "O(1)",
                    syntax: "<mode: YES | SYNC | NO>",
                    ..DOC
                },
                handler: script_debug::choose,
                ..BASE
            },
            Command {
                name: "exists",
                flags: SUB_FLAGS,
                keys: &[],
                tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
                doc: Doc {
                    summary: "Tells which scripts are known.",
                    complexity: "O(N) where N is the number of scripts asked for",
                    syntax: "sha1 [sha1 ...]",
                    ..DOC
                },
                handler: exists,
                ..BASE
            },
            Command {
                name: "flush",
                arity: -2,
                flags: SUB_FLAGS,
                keys: &[],
                tips: EVERYWHERE,
                doc: Doc {
                    summary: "Forgets all scripts.",
                    complexity: "O(N) where N is the number of scripts known",
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
                keys: &[],
                doc: Doc { summary: "Lists the subcommands.", since: "5.0.0", complexity: "O(1)", ..DOC },
                handler: help,
                ..BASE
            },
            Command {
                name: "kill",
                arity: 2,
                flags: SUB_FLAGS.union(Flags::ALLOW_BUSY),
                keys: &[],
                tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
                doc: Doc { summary: "Ends the script that runs.", complexity: "O(1)", ..DOC },
                handler: kill::<true>,
                ..BASE
            },
            Command {
                name: "load",
                arity: 3,
                flags: SUB_FLAGS.union(Flags::STALE),
                keys: &[],
                tips: EVERYWHERE,
                doc: Doc {
                    summary: "Makes a script known without running it.",
                    complexity: "O(N) where N is the length of the script",
                    syntax: "script",
                    ..DOC
                },
                handler: load,
                ..BASE
            },
        ],
        ..BASE
    },
];

pub(super) const NO_SCRIPT: Error = Error::fixed("NOSCRIPT No matching script. Please use EVAL.");

/// How a script is named in a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Named {
    ByText,
    BySha,
}

/// Whether something may be a digest.
fn is_sha(text: &[u8]) -> bool {
    text.len() == size_of::<Sha>()
}

/// What a call of EVAL, EVALSHA or FCALL is like: what its script says of itself.
pub fn flags_of(server: &Server, command: &Registered, args: &Args<'_>) -> Flags {
    let flags = command.command.flags;
    let Some(named) = args.get(1) else { return flags };
    let script: Option<ScriptFlags> = if command.full_name.starts_with("evalsha") {
        server.scripts.cache.named(named).and_then(|(_, script)| script.flags)
    } else if command.full_name.starts_with("fcall") {
        function::flags_of(server, named)
    } else {
        shebang::read(named).ok().and_then(|(flags, _)| flags)
    };
    script_run::effective_flags(flags, script)
}

/// Compiles a script that is not known yet.
///
/// # Errors
/// If it cannot be compiled.
fn compile(cx: &mut Ctx<'_>, sha: Sha, text: &[u8], loaded: bool) -> Result<Script, Error> {
    if cx.server.scripts.running.is_some() {
        // The interpreter is in use.
        return Err(Error::fixed("ERR A script can not be compiled by a script"));
    }
    let (flags, code) = shebang::read(text).map_err(|text| Error::new([b"ERR ", text.as_slice()].concat()))?;
    let Server { scripts, keys, .. } = &mut *cx.server;
    let engine = scripts.engine(|| keys.random_source().i32(..))?;
    let function = engine
        .compile(code, c"@user_script")
        .map_err(|message| Error::new([b"ERR Error compiling script (new function): ", message.as_slice()].concat()))?;
    let (script, evicted) = scripts.cache.insert(sha, function, flags, text.len(), loaded);
    if let Some(evicted) = evicted {
        scripts.forget(evicted);
        scripts.evicted += 1;
    }
    Ok(script)
}

/// Runs a script; `args` are those of EVAL or one of its kin.
///
/// # Errors
/// If it cannot be compiled, is not known, or may not run.
pub fn evaluate(cx: &mut Ctx<'_>, args: &mut Args<'_>, named: Named, read_only: bool) -> Outcome {
    // Its commands are shown behind it.
    monitor::show(cx, args);
    if named == Named::BySha && !is_sha(&args[1]) {
        return Err(NO_SCRIPT);
    }
    let keys = key_range(args, 2)?;
    let (sha, script) = match named {
        Named::BySha => cx.server.scripts.cache.named(&args[1]).ok_or(NO_SCRIPT)?,
        Named::ByText => {
            let sha = sha1(&args[1]);
            let known = cx.server.scripts.cache.get(&sha);
            (sha, known.map_or_else(|| compile(cx, sha, &args[1], false), Ok)?)
        }
    };
    let Server { scripts, keys: keyspace, .. } = &mut *cx.server;
    let engine = scripts.engine(|| keyspace.random_source().i32(..))?;
    let (function, flags) = (script.function, script.flags);
    let called = Called::Digest(sha);
    script_run::run(cx, args, Job { engine: &engine, function, called: &called, flags, read_only, keys })?;
    cx.server.scripts.cache.touch(&script);
    Ok(())
}

fn evaluate_text(cx: &mut Ctx<'_>, args: &mut Args<'_>, read_only: bool) -> Outcome {
    match cx.server.clients[cx.token].debugging {
        None => evaluate(cx, args, Named::ByText, read_only),
        Some(mode) => script_debug::evaluate(cx, args, mode, read_only),
    }
}

fn evaluate_known(cx: &mut Ctx<'_>, args: &mut Args<'_>, read_only: bool) -> Outcome {
    if cx.server.clients[cx.token].debugging.is_some() && is_sha(&args[1]) {
        // The debugger shows the script.
        monitor::show(cx, args);
        return Err(Error::fixed("ERR Please use EVAL instead of EVALSHA for debugging"));
    }
    evaluate(cx, args, Named::BySha, read_only)
}

fn eval(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    evaluate_text(cx, args, false)
}

fn eval_ro(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    evaluate_text(cx, args, true)
}

fn evalsha(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    evaluate_known(cx, args, false)
}

fn evalsha_ro(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    evaluate_known(cx, args, true)
}

fn exists(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.reply.array(args.len() - 2);
    for sha in args.iter_from(2) {
        let known = cx.server.scripts.cache.named(sha).is_some();
        cx.reply.integer(known.into());
    }
    Ok(())
}

fn flush(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let mode = args.get(2).map(<[u8]>::to_ascii_lowercase);
    if args.len() > 3 || !matches!(mode.as_deref(), None | Some(b"sync" | b"async")) {
        return Err(Error::fixed("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    let aside = mode.map_or(cx.server.settings.lazyfree_lazy_user_flush, |mode| mode == b"async");
    cx.server.scripts.flush(aside);
    cx.reply.ok();
    Ok(())
}

fn help(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    const LINES: &[&str] = &[
        "DEBUG (YES|SYNC|NO)",
        "    Choose whether this client's scripts run in the debugger: YES undoes what they do.",
        "EXISTS <sha1> [<sha1> ...]",
        "    Tell which scripts are known.",
        "FLUSH [ASYNC|SYNC]",
        "    Forget all scripts.",
        "KILL",
        "    End the script that runs, unless it has written.",
        "LOAD <script>",
        "    Make a script known without running it.",
    ];
    cx.help(args, LINES)
}

/// Ends the script that is running, if `SCRIPT`, or else the function.
pub(super) fn kill<const SCRIPT: bool>(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.server.scripts.kill(SCRIPT)?;
    cx.reply.ok();
    Ok(())
}

fn load(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let sha = sha1(&args[2]);
    if cx.server.scripts.cache.get(&sha).is_some() {
        cx.server.scripts.cache.keep(&sha);
    } else {
        compile(cx, sha, &args[2], true)?;
    }
    cx.reply.bulk(&sha);
    Ok(())
}
