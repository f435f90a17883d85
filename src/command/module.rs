//! MODULE: there are none, and none can be loaded, for modules of Redis need Redis around them.

use super::Ctx;
use super::error::{Error, Outcome};
use super::table::{Command, Doc, Flags};
use crate::resp::Args;

const DOC: Doc = Doc { group: "server", since: "4.0.0", complexity: "O(1)", ..Command::NONE.doc };
const LOOK: Flags = Flags::ADMIN.union(Flags::NOSCRIPT);
const CHANGE: Flags = LOOK.union(Flags::NO_ASYNC_LOADING).union(Flags::MODULE_GATE);

pub const COMMANDS: &[Command] = &[Command {
    name: "module",
    arity: -2,
    doc: Doc { summary: "Holds the commands about modules.", complexity: "Depends on the subcommand.", ..DOC },
    subcommands: &[
        Command {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.union(Flags::STALE),
            doc: Doc { summary: "Lists the subcommands.", since: "5.0.0", ..DOC },
            handler: help,
            ..Command::NONE
        },
        Command {
            name: "list",
            arity: 2,
            flags: LOOK,
            tips: &["nondeterministic_output_order"],
            doc: Doc { summary: "Lists the modules.", complexity: "O(N) where N is the number of modules.", ..DOC },
            handler: list,
            ..Command::NONE
        },
        Command {
            name: "load",
            arity: -3,
            flags: CHANGE,
            doc: Doc { summary: "Loads a module.", syntax: "path [arg [arg ...]]", ..DOC },
            handler: load,
            ..Command::NONE
        },
        Command {
            name: "loadex",
            arity: -3,
            flags: CHANGE,
            doc: Doc {
                summary: "Loads a module with settings.",
                since: "7.0.0",
                syntax: "path [configs: CONFIG name value [CONFIG name value ...]] [ARGS args [args ...]]",
                ..DOC
            },
            handler: load,
            ..Command::NONE
        },
        Command {
            name: "unload",
            arity: 3,
            flags: CHANGE,
            doc: Doc { summary: "Unloads a module.", syntax: "name", ..DOC },
            handler: unload,
            ..Command::NONE
        },
    ],
    ..Command::NONE
}];

fn help(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.help(
        args,
        &[
            "LIST",
            "    List the modules.",
            "LOAD <path> [<arg> ...]",
            "    Load a module. This server refuses: it has no modules.",
            "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
            "    As LOAD, with settings.",
            "UNLOAD <name>",
            "    Unload a module.",
        ],
    )
}

fn list(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply.array(0);
    Ok(())
}

fn load(_: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    log::warn!("Module {} failed to load: this server has no modules.", String::from_utf8_lossy(&args[2]));
    Err(Error::fixed("ERR Error loading the extension. Please check the server logs."))
}

fn unload(_: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    Err(Error::fixed("ERR Error unloading module: no such module with that name"))
}
