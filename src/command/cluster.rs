//! The commands of a cluster, which this server is no part of: all of them say so.

use super::Ctx;
use super::error::{Error, Outcome};
use super::table::{Acl, Command, Doc, Flags};
use crate::resp::Args;

const fn doc(summary: &'static str, since: &'static str, complexity: &'static str, syntax: &'static str) -> Doc {
    Doc { summary, since, group: "cluster", complexity, syntax, ..Command::NONE.doc }
}

/// Commands for everybody.
const LOOK: Flags = Flags::STALE;
/// Commands that administer the cluster, and those of them that change it.
const ADMIN: Flags = Flags::STALE.union(Flags::ADMIN);
const CHANGE: Flags = ADMIN.union(Flags::NO_ASYNC_LOADING);
/// Commands that also run while data is being loaded.
const ALWAYS: Flags = Flags::STALE.union(Flags::LOADING);

const VARIES: &[&str] = &["nondeterministic_output"];

const CLUSTER: Command = Command { flags: ALWAYS.union(Flags::FAST), handler: disabled, ..Command::NONE };

const fn sub(name: &'static str, arity: i16, flags: Flags, doc: Doc) -> Command {
    Command { name, arity, flags, doc, ..CLUSTER }
}

const fn varies(command: Command) -> Command {
    Command { tips: VARIES, ..command }
}

const fn replaced(doc: Doc, deprecated_since: &'static str, replaced_by: &'static str) -> Doc {
    Doc { deprecated_since, replaced_by, ..doc }
}

const PER_SLOT: &str = "O(N) where N is the number of slots";
const PER_NODE: &str = "O(N) where N is the number of nodes";
const PER_REPLICA: &str = "O(N) where N is the number of replicas";

pub const COMMANDS: &[Command] = &[
    Command {
        name: "asking",
        arity: 1,
        flags: Flags::FAST,
        acl: Acl::CONNECTION,
        doc: doc("Follows an ASK redirection.", "3.0.0", "O(1)", ""),
        ..CLUSTER
    },
    Command {
        name: "cluster",
        arity: -2,
        flags: Flags::empty(),
        doc: doc("Holds the commands about the cluster.", "3.0.0", "Depends on the subcommand.", ""),
        subcommands: &[
            sub("addslots", -3, CHANGE, doc("Gives the node slots.", "3.0.0", PER_SLOT, "slot [slot ...]")),
            sub(
                "addslotsrange",
                -4,
                CHANGE,
                doc(
                    "Gives the node ranges of slots.",
                    "7.0.0",
                    PER_SLOT,
                    "start-slot end-slot [range: start-slot end-slot ...]",
                ),
            ),
            varies(sub("bumpepoch", 2, CHANGE, doc("Raises the node's epoch.", "3.0.0", "O(1)", ""))),
            varies(sub(
                "count-failure-reports",
                3,
                ADMIN,
                doc(
                    "Counts who thinks that a node has failed.",
                    "3.0.0",
                    "O(N) where N is the number of reports",
                    "node-id",
                ),
            )),
            sub("countkeysinslot", 3, LOOK, doc("Counts the keys of a slot.", "3.0.0", "O(1)", "slot")),
            sub("delslots", -3, CHANGE, doc("Takes slots from the node.", "3.0.0", PER_SLOT, "slot [slot ...]")),
            sub(
                "delslotsrange",
                -4,
                CHANGE,
                doc(
                    "Takes ranges of slots from the node.",
                    "7.0.0",
                    PER_SLOT,
                    "start-slot end-slot [range: start-slot end-slot ...]",
                ),
            ),
            sub(
                "failover",
                -2,
                CHANGE,
                doc("Lets a replica take its master's place.", "3.0.0", "O(1)", "[options: FORCE | TAKEOVER]"),
            ),
            sub("flushslots", 2, CHANGE, doc("Takes all slots from the node.", "3.0.0", "O(1)", "")),
            sub("forget", 3, CHANGE, doc("Forgets a node.", "3.0.0", "O(1)", "node-id")),
            varies(sub(
                "getkeysinslot",
                4,
                LOOK,
                doc("Lists keys of a slot.", "3.0.0", "O(N) where N is the number of keys asked for", "slot count"),
            )),
            sub("help", 2, ALWAYS, doc("Lists the subcommands.", "5.0.0", "O(1)", "")),
            varies(sub("info", 2, LOOK, doc("Tells the state of the cluster.", "3.0.0", "O(1)", ""))),
            sub(
                "keyslot",
                3,
                LOOK,
                doc("Tells the slot of a key.", "3.0.0", "O(N) where N is the length of the key", "key"),
            ),
            varies(sub("links", 2, LOOK, doc("Lists the links to other nodes.", "7.0.0", PER_NODE, ""))),
            sub(
                "meet",
                -4,
                CHANGE,
                doc("Makes the node known to another.", "3.0.0", "O(1)", "ip port [cluster-bus-port]"),
            ),
            sub("myid", 2, LOOK, doc("Tells the node's name.", "3.0.0", "O(1)", "")),
            varies(sub("myshardid", 2, LOOK, doc("Tells the name of the node's shard.", "7.2.0", "O(1)", ""))),
            varies(sub("nodes", 2, LOOK, doc("Describes the nodes, a line each.", "3.0.0", PER_NODE, ""))),
            varies(sub("replicas", 3, ADMIN, doc("Lists a master's replicas.", "5.0.0", PER_REPLICA, "node-id"))),
            sub("replicate", 3, CHANGE, doc("Makes the node a replica.", "3.0.0", "O(1)", "node-id")),
            sub(
                "reset",
                -2,
                ADMIN.union(Flags::NOSCRIPT),
                doc(
                    "Makes the node like a new one.",
                    "3.0.0",
                    "O(N) where N is the number of nodes and keys",
                    "[reset-type: HARD | SOFT]",
                ),
            ),
            sub("saveconfig", 2, CHANGE, doc("Writes the state of the cluster to disk.", "3.0.0", "O(1)", "")),
            sub("set-config-epoch", 3, CHANGE, doc("Sets a new node's epoch.", "3.0.0", "O(1)", "config-epoch")),
            sub(
                "setslot",
                -4,
                CHANGE,
                doc(
                    "Moves a slot to another node.",
                    "3.0.0",
                    "O(1)",
                    "slot <subcommand: <importing: IMPORTING node-id> | <migrating: MIGRATING node-id> | <node: NODE node-id> | \
                     STABLE>",
                ),
            ),
            varies(sub("shards", 2, ALWAYS, doc("Describes the shards.", "7.0.0", PER_NODE, ""))),
            varies(sub(
                "slaves",
                3,
                ADMIN,
                replaced(
                    doc("Lists a master's replicas.", "3.0.0", PER_REPLICA, "node-id"),
                    "5.0.0",
                    "`CLUSTER REPLICAS`",
                ),
            )),
            varies(sub(
                "slots",
                2,
                ALWAYS,
                replaced(doc("Tells which node has which slots.", "3.0.0", PER_NODE, ""), "7.0.0", "`CLUSTER SHARDS`"),
            )),
        ],
        ..Command::NONE
    },
    Command {
        name: "readonly",
        arity: 1,
        acl: Acl::CONNECTION,
        doc: doc("Lets the connection read from a replica.", "3.0.0", "O(1)", ""),
        ..CLUSTER
    },
    Command {
        name: "readwrite",
        arity: 1,
        acl: Acl::CONNECTION,
        doc: doc("Ends READONLY.", "3.0.0", "O(1)", ""),
        ..CLUSTER
    },
];

fn disabled(_: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    Err(Error::fixed("ERR This instance has cluster support disabled"))
}
