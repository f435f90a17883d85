//! What has come to commands since their first version: COMMAND DOCS tells it as their history, and says of each argument since
//! when it is there.

/// Something that came to a command later.
pub struct Change {
    /// The version of Redis that brought it.
    pub since: &'static str,
    pub what: &'static str,
    /// The arguments that are there since then, by the names that COMMAND DOCS has for them.
    pub arguments: &'static [&'static str],
}

/// What has come to a command, the oldest first. The name is whole and in lower case: `client|kill`.
pub fn of(full_name: &str) -> &'static [Change] {
    HISTORY.binary_search_by_key(&full_name, |(name, _)| name).map_or(&[], |place| HISTORY[place].1)
}

/// Since when a command has an argument, if not from its beginning.
pub fn argument_since(full_name: &str, argument: &str) -> Option<&'static str> {
    of(full_name).iter().find(|change| change.arguments.contains(&argument)).map(|change| change.since)
}

/// Since when an argument of a command is there for old clients only.
pub fn argument_deprecated_since(full_name: &str, argument: &str) -> Option<&'static str> {
    (full_name == "client|kill" && argument == "old-format").then_some("2.8.12")
}

const fn change(since: &'static str, what: &'static str, arguments: &'static [&'static str]) -> Change {
    Change { since, what, arguments }
}

/// A change that brought no argument.
const fn also(since: &'static str, what: &'static str) -> Change {
    change(since, what, &[])
}

const UNIT: Change = change("7.0.0", "A range can be one of bits: BYTE and BIT.", &["unit"]);
const FRACTIONS: Change = also("6.0.0", "The timeout may have a fraction.");
const CONDITION: Change = change("7.0.0", "NX, XX, GT and LT.", &["condition"]);
const NO_KEY: Change = also("2.8.0", "Answers -2 if there is no key.");
const ASYNC: Change = change("4.0.0", "ASYNC.", &["async"]);
const SYNC: Change = change("6.2.0", "SYNC.", &["sync"]);
const ANY: Change = change("6.2.0", "ANY behind COUNT.", &["any"]);
const CAPITALS: Change = also("7.0.0", "Units may be written in capitals.");
const COUNT: Change = change("6.2.0", "A count.", &["count"]);
const EXCLUSIVE: Change = also("6.2.0", "Bounds can be exclusive.");
const WITHSCORE: Change = also("7.2.0", "WITHSCORE.");
const RESTORED: &[Change] = &[
    change("3.0.0", "REPLACE.", &["replace"]),
    change("5.0.0", "ABSTTL.", &["absttl"]),
    change("5.0.0", "IDLETIME and FREQ.", &["seconds", "frequency"]),
];

/// By name, in order.
#[rustfmt::skip]
const HISTORY: &[(&str, &[Change])] = &[
    ("acl|getuser", &[
        also("6.2.0", "Tells of channels."),
        also("7.0.0", "Tells of selectors; key and channel patterns are told as rules."),
    ]),
    ("acl|log", &[also("7.2.0", "Entries have a number, and when they came and were last added to.")]),
    ("acl|setuser", &[also("6.2.0", "Channels."), also("7.0.0", "Selectors, and rights per key pattern.")]),
    ("auth", &[change("6.0.0", "A user's name.", &["username"])]),
    ("bgsave", &[change("3.2.2", "SCHEDULE.", &["schedule"])]),
    ("bitcount", &[UNIT]),
    ("bitpos", &[UNIT]),
    ("blpop", &[FRACTIONS]),
    ("brpop", &[FRACTIONS]),
    ("brpoplpush", &[FRACTIONS]),
    ("bzpopmax", &[FRACTIONS]),
    ("bzpopmin", &[FRACTIONS]),
    ("client|kill", &[
        change("2.8.12", "Filters.", &["client-type"]),
        change("2.8.12", "ID.", &["client-id"]),
        change("3.2.0", "Masters as a TYPE.", &["master"]),
        change("5.0.0", "Replicas as a TYPE, which were called slave before and may be so still.", &["replica"]),
        change("6.2.0", "LADDR.", &["laddr"]),
        change("7.4.0", "MAXAGE.", &["maxage"]),
    ]),
    ("client|list", &[
        also("2.8.12", "Tells each client's number."),
        change("5.0.0", "TYPE.", &["client-type"]),
        also("6.0.0", "Tells the user."),
        change("6.2.0", "ID; tells laddr, redir, argv-mem and tot-mem.", &["client-id"]),
        also("7.0.0", "Tells resp, multi-mem, rbs and rbp."),
        also("7.0.3", "Tells ssub."),
    ]),
    ("client|pause", &[change("6.2.0", "WRITE and ALL.", &["mode"])]),
    ("cluster|meet", &[change("4.0.0", "The port of the cluster's bus.", &["cluster-bus-port"])]),
    ("cluster|slots", &[
        also("4.0.0", "Tells the nodes' identities."),
        also("7.0.0", "Tells more about the nodes' networks."),
    ]),
    ("command|info", &[also("7.0.0", "Without a name it tells of all commands.")]),
    ("config|get", &[also("7.0.0", "Several patterns.")]),
    ("config|set", &[also("7.0.0", "Several settings.")]),
    ("exists", &[also("3.0.3", "Several keys.")]),
    ("expire", &[CONDITION]),
    ("expireat", &[CONDITION]),
    ("flushall", &[ASYNC, SYNC]),
    ("flushdb", &[ASYNC, SYNC]),
    ("geoadd", &[change("6.2.0", "NX, XX and CH.", &["condition", "change"])]),
    ("georadius", &[ANY, CAPITALS]),
    ("georadius_ro", &[ANY, CAPITALS]),
    ("georadiusbymember", &[change("6.2.0", ANY.what, &[]), CAPITALS]),
    ("georadiusbymember_ro", &[change("6.2.0", ANY.what, &[]), CAPITALS]),
    ("geosearch", &[CAPITALS]),
    ("geosearchstore", &[CAPITALS]),
    ("hdel", &[also("2.4.0", "Several fields.")]),
    ("hello", &[also("6.2.0", "Without a version of the protocol it tells about the connection.")]),
    ("hset", &[also("4.0.0", "Several fields.")]),
    ("info", &[also("7.0.0", "Several sections.")]),
    ("lpop", &[COUNT]),
    ("lpush", &[also("2.4.0", "Several elements.")]),
    ("lpushx", &[also("4.0.0", "Several elements.")]),
    ("migrate", &[
        change("3.0.0", "COPY and REPLACE.", &["copy", "replace"]),
        change("3.0.6", "KEYS.", &["keys"]),
        change("4.0.7", "AUTH.", &["auth"]),
        change("6.0.0", "AUTH2.", &["auth2"]),
    ]),
    ("pexpire", &[CONDITION]),
    ("pexpireat", &[CONDITION]),
    ("pttl", &[NO_KEY]),
    ("renamenx", &[also("3.2.0", "The new name may be the old one.")]),
    ("restore", RESTORED),
    ("restore-asking", RESTORED),
    ("rpop", &[COUNT]),
    ("rpush", &[also("2.4.0", "Several elements.")]),
    ("rpushx", &[also("4.0.0", "Several elements.")]),
    ("sadd", &[also("2.4.0", "Several members.")]),
    ("scan", &[change("6.0.0", "TYPE.", &["type"])]),
    ("script|flush", &[change("6.2.0", "ASYNC and SYNC.", &["flush-type"])]),
    ("set", &[
        change("2.6.12", "EX, PX, NX and XX.", &["condition", "seconds", "milliseconds"]),
        change("6.0.0", "KEEPTTL.", &["keepttl"]),
        change("6.2.0", "GET, EXAT and PXAT.", &["get", "unix-time-seconds", "unix-time-milliseconds"]),
        also("7.0.0", "NX and GET may be said together."),
    ]),
    ("shutdown", &[change("7.0.0", "NOW, FORCE and ABORT.", &["now", "force", "abort"])]),
    ("slowlog|get", &[also("4.0.0", "Tells the client's address and name.")]),
    ("spop", &[change("3.2.0", COUNT.what, &["count"])]),
    ("srandmember", &[change("2.6.0", COUNT.what, &["count"])]),
    ("srem", &[also("2.4.0", "Several members.")]),
    ("ttl", &[NO_KEY]),
    ("xadd", &[
        change("6.2.0", "NOMKSTREAM, MINID and LIMIT.", &["nomkstream", "minid", "count"]),
        also("7.0.0", "The second part alone of an ID can be left to the server: ms-*."),
    ]),
    ("xautoclaim", &[also("7.0.0", "Tells which entries were deleted and are pending no longer.")]),
    ("xgroup|create", &[also("7.0.0", "ENTRIESREAD.")]),
    ("xgroup|setid", &[also("7.0.0", "ENTRIESREAD.")]),
    ("xinfo|consumers", &[also("7.2.0", "Tells inactive; idle counts from the last attempt.")]),
    ("xinfo|groups", &[also("7.0.0", "Tells entries-read and lag.")]),
    ("xinfo|stream", &[
        also("6.0.0", "FULL."),
        also("7.0.0", "Tells max-deleted-entry-id, entries-added, recorded-first-entry-id, entries-read and lag."),
        also("7.2.0", "Tells active-time; seen-time is that of the last attempt."),
    ]),
    ("xpending", &[change("6.2.0", "IDLE; bounds can be exclusive.", &["min-idle-time"])]),
    ("xrange", &[EXCLUSIVE]),
    ("xrevrange", &[EXCLUSIVE]),
    ("xsetid", &[change("7.0.0", "ENTRIESADDED and MAXDELETEDID.", &["entries-added", "max-deleted-id"])]),
    ("xtrim", &[change("6.2.0", "MINID and LIMIT.", &["minid", "count"])]),
    ("zadd", &[
        also("2.4.0", "Several members."),
        change("3.0.2", "XX, NX, CH and INCR.", &["condition", "change", "increment"]),
        change("6.2.0", "GT and LT.", &["comparison"]),
    ]),
    ("zrange", &[change("6.2.0", "REV, BYSCORE, BYLEX and LIMIT.", &["sortby", "rev", "limit"])]),
    ("zrangebyscore", &[change("2.0.0", "WITHSCORES.", &["withscores"])]),
    ("zrank", &[WITHSCORE]),
    ("zrem", &[also("2.4.0", "Several members.")]),
    ("zrevrangebyscore", &[also("2.1.6", "min and max can be exclusive.")]),
    ("zrevrank", &[WITHSCORE]),
];

#[cfg(test)]
mod tests {
    use super::super::syntax::{self, Argument};
    use super::super::table;
    use super::*;

    fn has(arguments: &[Argument], name: &str) -> bool {
        arguments.iter().any(|argument| argument.name == name || has(argument.parts(), name))
    }

    #[test]
    fn commands_are_in_order_and_have_what_came_to_them() {
        assert!(HISTORY.is_sorted_by(|(one, _), (next, _)| one < next));
        for (name, changes) in HISTORY {
            let command = table::all().map(|id| id.registered()).find(|command| command.full_name == *name);
            let command = command.unwrap_or_else(|| panic!("there is no {name}"));
            let arguments = syntax::arguments(command).expect("the syntax is sound");
            for argument in changes.iter().flat_map(|change| change.arguments) {
                assert!(has(&arguments, argument), "{name} has no {argument}");
            }
        }
    }
}
