//! CLIENT: what the server knows of its connections, and what can be done to them.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::error::{Error, Outcome};
use super::pause::{Pause, PausedFor};
use super::state::Server;
use super::table::{Acl, Command, Doc, EVERYWHERE, Flags};
use super::tracking::{self, redirection};
use super::{Ctx, blocking, malformed};
use crate::keyspace::Touch;
use crate::net::client::READ_SIZE;
use crate::net::{Class, Client, Closing, ReplyMode};
use crate::pubsub::Kind as Topic;
use crate::resp::Args;
use crate::types::number::{c_text, parse_i64};

/// Anyone may look at itself.
const OWN: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);
/// Looking at others, or acting on them, is administration.
const OTHERS: Flags = OWN.union(Flags::ADMIN);

/// A client that was active within this time has a share of the read arena.
const ACTIVE_MS: u64 = 2000;

const fn doc(summary: &'static str, since: &'static str, complexity: &'static str, syntax: &'static str) -> Doc {
    Doc { summary, since, group: "connection", complexity, syntax, ..Command::NONE.doc }
}

const fn sub(name: &'static str, arity: i16, flags: Flags, doc: Doc, handler: super::table::Handler) -> Command {
    Command { name, arity, flags, acl: Acl::CONNECTION, doc, handler, ..Command::NONE }
}

const fn tips(command: Command, tips: &'static [&'static str]) -> Command {
    Command { tips, ..command }
}

pub const COMMANDS: &[Command] = &[Command {
    name: "client",
    arity: -2,
    flags: Flags::empty(),
    doc: doc("Holds the commands about connections.", "2.4.0", "Depends on subcommand.", ""),
    subcommands: &[
        sub(
            "caching",
            3,
            OWN,
            doc("Chooses whether the next command's keys are tracked.", "6.0.0", "O(1)", "<mode: YES | NO>"),
            tracking::caching,
        ),
        sub("getname", 2, OWN, doc("Answers the connection's name.", "2.6.9", "O(1)", ""), getname),
        sub(
            "getredir",
            2,
            OWN,
            doc("Answers the client that is told of changed keys in this one's place.", "6.0.0", "O(1)", ""),
            tracking::getredir,
        ),
        sub("help", 2, Flags::LOADING.union(Flags::STALE), doc("Lists what CLIENT can do.", "5.0.0", "O(1)", ""), help),
        sub("id", 2, OWN, doc("Answers the connection's number.", "5.0.0", "O(1)", ""), id),
        tips(
            sub("info", 2, OWN, doc("Describes the connection in a line.", "6.2.0", "O(1)", ""), info),
            &["nondeterministic_output"],
        ),
        sub(
            "kill",
            -3,
            OTHERS,
            doc(
                "Ends connections.",
                "2.4.0",
                "O(N) with N the number of connections",
                "<filter: <old-format: ip:port> | <new-format: [ID client-id] | [client-type: TYPE <NORMAL | MASTER | SLAVE | \
                 REPLICA | PUBSUB>] | [USER username] | [addr: ADDR ip:port] | [laddr: LADDR ip:port] | [skipme: SKIPME \
                 <YES | NO>] | [MAXAGE maxage] ...>>",
            ),
            kill,
        ),
        tips(
            sub(
                "list",
                -2,
                OTHERS,
                doc(
                    "Describes connections, a line each.",
                    "2.4.0",
                    "O(N) with N the number of connections",
                    "[client-type: TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
                ),
                list,
            ),
            &["nondeterministic_output"],
        ),
        sub(
            "no-evict",
            3,
            OTHERS,
            doc("Keeps the connection when clients take too much memory.", "7.0.0", "O(1)", "<enabled: ON | OFF>"),
            no_evict,
        ),
        sub(
            "no-touch",
            3,
            OWN,
            doc(
                "Lets the connection read keys without counting as a use of them.",
                "7.2.0",
                "O(1)",
                "<enabled: ON | OFF>",
            ),
            no_touch,
        ),
        sub(
            "pause",
            -3,
            OTHERS,
            doc("Holds up commands for a time.", "3.0.0", "O(1)", "timeout [mode: WRITE | ALL]"),
            pause,
        ),
        sub(
            "reply",
            3,
            OWN,
            doc("Chooses whether the connection gets replies.", "3.2.0", "O(1)", "<action: ON | OFF | SKIP>"),
            reply,
        ),
        tips(
            sub(
                "setinfo",
                4,
                OWN,
                doc(
                    "Tells which library the connection is made by.",
                    "7.2.0",
                    "O(1)",
                    "<attr: LIB-NAME libname | LIB-VER libver>",
                ),
                setinfo,
            ),
            EVERYWHERE,
        ),
        tips(
            sub("setname", 3, OWN, doc("Names the connection.", "2.6.9", "O(1)", "connection-name"), setname),
            EVERYWHERE,
        ),
        sub(
            "tracking",
            -3,
            OWN,
            doc(
                "Tells the connection when keys change that it has read.",
                "6.0.0",
                "O(1), or O(N) where N is the number of prefixes",
                "<status: ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
            ),
            tracking::tracking,
        ),
        sub(
            "trackinginfo",
            2,
            OWN,
            doc("Describes what of its keys the connection is told.", "6.2.0", "O(1)", ""),
            tracking::trackinginfo,
        ),
        sub(
            "unblock",
            -3,
            OTHERS,
            doc(
                "Ends another connection's wait in a blocking command.",
                "5.0.0",
                "O(1)",
                "client-id [unblock-type: TIMEOUT | ERROR]",
            ),
            unblock,
        ),
        sub(
            "unpause",
            2,
            OTHERS,
            doc("Lets commands go on that CLIENT PAUSE holds up.", "6.2.0", "O(N) with N the held-up connections", ""),
            unpause,
        ),
    ],
    ..Command::NONE
}];

/// Describes a client as a line of CLIENT LIST, without its end.
pub fn describe(server: &Server, token: usize) -> String {
    let client = &server.clients[token];
    let watches = &server.keys.effects.watches;
    let (kept_commands, kept_bytes) = match &client.transaction {
        Some(transaction) => (transaction.len() as i64, transaction.bytes()),
        None => (-1, 0),
    };
    let now_ms = server.clock.uptime_ms();
    let idle_ms = now_ms.saturating_sub(client.active_ms);
    let tracking = client.tracking.as_deref();
    let redirection = redirection(tracking);
    let mut flags = String::new();
    for (set, letter) in [
        (client.monitor, 'O'),
        (client.class() == Class::Replica, 'S'),
        (client.link.is_some(), 'M'),
        (client.subscriber, 'P'),
        (client.transaction.is_some(), 'x'),
        (client.paused || client.blocked, 'b'),
        (tracking.is_some(), 't'),
        (tracking.is_some_and(|tracking| tracking.broken_redirect), 'R'),
        (tracking.is_some_and(|tracking| !tracking.reads()), 'B'),
        (watches.is_dirty(token), 'd'),
        (client.closing == Some(Closing::AfterReply), 'c'),
        (client.closing == Some(Closing::Now), 'A'),
        (client.stream.is_unix(), 'U'),
        (client.no_evict, 'e'),
        (client.no_touch, 'T'),
    ] {
        if set {
            flags.push(letter);
        }
    }
    if flags.is_empty() {
        flags.push('N');
    }
    // Requests are read into an arena that all clients share. `qbuf` is what of it the client's requests take now, and
    // what the client keeps; `qbuf-free` is the room its next read has: the arena's read window for a client that is
    // active, and whatever memory it has set aside of its own.
    let kept = client.kept_input();
    let window = if idle_ms <= ACTIVE_MS { READ_SIZE } else { 0 };
    let free = window + client.query_memory().saturating_sub(kept);
    // Output is told as if it filled a reply buffer first, and only what does not fit were queued.
    let output = &client.output;
    let lag = server.stream_lag(client) as usize;
    let queued = client.queued_output() + lag;
    let in_buffer = output.len().min(client.reply_buffer);
    let pieces = if queued == 0 { 0 } else { output.chunks() + 1 };
    let subscriptions = &server.subscriptions;
    let topics = |kind| subscriptions.count(token, kind);
    let events = if client.blocked_on_write { "rw" } else { "r" };
    // `db` stays a number, which tools take for granted.
    let namespace = server.keys.directory().own_name(client.db).map_or_else(String::new, |name| format!(" ns={name}"));
    format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db={} sub={} psub={} ssub={} \
         multi={kept_commands} watch={} qbuf={} qbuf-free={free} argv-mem={} multi-mem={kept_bytes} rbs={} rbp={} obl={in_buffer} oll={pieces} \
         omem={queued} tot-mem={} events={events} cmd={} user={} redir={redirection} resp={} lib-name={} lib-ver={}{namespace}",
        client.id,
        client.addr,
        client.laddr,
        client.stream.fd(),
        String::from_utf8_lossy(c_text(&client.name)),
        now_ms.saturating_sub(client.connected_ms) / 1000,
        idle_ms / 1000,
        client.db,
        topics(Topic::Channel),
        topics(Topic::Pattern),
        topics(Topic::Shard),
        watches.count(token),
        client.query_bytes + kept,
        client.argv_bytes,
        client.reply_buffer,
        client.reply_peak,
        server.client_bytes(token) + lag,
        client.last_command.unwrap_or("NULL"),
        client.user.as_ref().map_or("(superuser)".into(), |user| String::from_utf8_lossy(user.name())),
        client.proto as u8,
        String::from_utf8_lossy(c_text(&client.lib_name)),
        String::from_utf8_lossy(c_text(&client.lib_ver)),
    )
}

/// A name without bytes that would break a line of CLIENT LIST.
///
/// # Errors
/// If it has some.
pub fn check_name(name: &[u8]) -> Result<&[u8], Error> {
    printable(name, b"Client names")
}

/// As Redis, this looks at nothing from a NUL on.
fn printable<'a>(text: &'a [u8], what: &[u8]) -> Result<&'a [u8], Error> {
    if c_text(text).iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(text);
    }
    Err(Error::new([b"ERR ", what, b" cannot contain spaces, newlines or special characters."].concat()))
}

fn on_or_off(word: &[u8]) -> Result<bool, Error> {
    if word.eq_ignore_ascii_case(b"on") {
        Ok(true)
    } else if word.eq_ignore_ascii_case(b"off") {
        Ok(false)
    } else {
        Err(Error::SYNTAX)
    }
}

/// The kinds of clients that commands distinguish.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Replica,
    Pubsub,
    Master,
}

impl Kind {
    fn parse(word: &[u8]) -> Result<Kind, Error> {
        let kinds: [(&[u8], Kind); 5] = [
            (b"normal", Kind::Normal),
            (b"slave", Kind::Replica),
            (b"replica", Kind::Replica),
            (b"pubsub", Kind::Pubsub),
            (b"master", Kind::Master),
        ];
        let found = kinds.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
        found.map(|(_, kind)| kind).ok_or_else(|| Error::new([b"ERR Unknown client type '", word, b"'"].concat()))
    }

    /// What a client is used for.
    fn of(client: &Client) -> Kind {
        match client.class() {
            Class::Normal if client.link.is_some() => Kind::Master,
            Class::Normal => Kind::Normal,
            Class::Replica => Kind::Replica,
            Class::Pubsub => Kind::Pubsub,
        }
    }
}

fn getname(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    match &cx.server.clients[cx.token].name[..] {
        [] => cx.reply.null(),
        name => cx.reply.bulk(name),
    }
    Ok(())
}

fn help(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.help(
        args,
        &[
            "CACHING (YES|NO)",
            "    Track the keys of the next command, or not, where that was left open.",
            "GETREDIR",
            "    Answer the number of the client that is told of changed keys in this one's place.",
            "GETNAME",
            "    Answer the connection's name.",
            "ID",
            "    Answer the connection's number.",
            "INFO",
            "    Describe the connection in a line.",
            "KILL <ip:port>",
            "    End the connection made from this address.",
            "KILL <option> <value> [<option> <value> [...]]",
            "    End the connections that all options fit:",
            "    * ADDR (<ip:port>|<unixsocket>:0)",
            "      The address it was made from.",
            "    * LADDR (<ip:port>|<unixsocket>:0)",
            "      The address it was made to.",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      What it is used for.",
            "    * USER <username>",
            "      The user it has authenticated as.",
            "    * SKIPME (YES|NO)",
            "      Whether to spare this connection (yes unless told otherwise).",
            "    * ID <client-id>",
            "      Its number.",
            "    * MAXAGE <maxage>",
            "      It is at least so many seconds old.",
            "LIST [options ...]",
            "    Describe connections, a line each. Options:",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Those that are used for this.",
            "    * ID <client-id> [<client-id> [...]]",
            "      Those with these numbers.",
            "NO-EVICT (ON|OFF)",
            "    Keep the connection, or not, when clients take too much memory.",
            "NO-TOUCH (ON|OFF)",
            "    Read keys without counting as a use of them, or with.",
            "PAUSE <timeout> [WRITE|ALL]",
            "    Hold up writes, or everything, for so many milliseconds.",
            "REPLY (ON|OFF|SKIP)",
            "    Send replies, none from now on, or none to the next command.",
            "SETINFO <option> <value>",
            "    Tell about the client's library. Options:",
            "    * LIB-NAME: its name.",
            "    * LIB-VER: its version.",
            "SETNAME <name>",
            "    Name the connection.",
            "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
            "         [OPTIN] [OPTOUT] [NOLOOP]",
            "    Tell the connection when keys change that it has read.",
            "TRACKINGINFO",
            "    Describe what of its keys the connection is told.",
            "UNBLOCK <client-id> [TIMEOUT|ERROR]",
            "    End a blocked client's wait as if its time were over, or with an error.",
            "UNPAUSE",
            "    Let held-up commands go on.",
        ],
    )
}

fn id(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let id = cx.server.clients[cx.token].id;
    cx.reply.integer(id as i64);
    Ok(())
}

fn info(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let token = cx.token;
    let line = look(cx, args, |server| describe(server, token)) + "\n";
    cx.reply.verbatim("txt", line.as_bytes());
    Ok(())
}

/// Looks at the clients, among which the one that asks shows its request and the replies that it has coming.
fn look<T>(cx: &mut Ctx<'_>, args: &Args<'_>, see: impl FnOnce(&Server) -> T) -> T {
    let client = &mut cx.server.clients[cx.token];
    client.argv_bytes = args.total_bytes();
    std::mem::swap(&mut client.output, &mut cx.reply.out);
    let seen = see(cx.server);
    let client = &mut cx.server.clients[cx.token];
    client.argv_bytes = 0;
    std::mem::swap(&mut client.output, &mut cx.reply.out);
    seen
}

/// What a client must fulfil.
type Filter<'a> = Box<dyn Fn(&Client) -> bool + 'a>;

fn kill(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    // Of several filters of a kind the last one counts.
    let mut wanted: BTreeMap<&str, Filter<'_>> = BTreeMap::new();
    let mut wanted_id = None;
    let mut skip_me = true;
    let now_ms = cx.server.clock.uptime_ms();
    let mut at = 2;
    let by_address_only = args.len() == 3;
    if by_address_only {
        wanted.insert("addr", Box::new(|client| client.addr.as_bytes() == &args[2]));
        skip_me = false;
        at = 3;
    }
    while at < args.len() {
        let (option, Some(value)) = (&args[at], args.get(at + 1)) else { return Err(Error::SYNTAX) };
        match option.to_ascii_lowercase().as_slice() {
            b"id" => {
                let id = parse_i64(value).filter(|&id| id > 0);
                wanted_id = Some(id.ok_or(Error::fixed("ERR client-id should be greater than 0"))?);
            }
            b"maxage" => {
                let age = parse_i64(value).ok_or(Error::fixed("ERR maxage is not an integer or out of range"))?;
                if age <= 0 {
                    return Err(Error::fixed("ERR maxage should be greater than 0"));
                }
                wanted.insert("maxage", Box::new(move |client| (now_ms - client.connected_ms) / 1000 >= age as u64));
            }
            b"type" => {
                let kind = Kind::parse(value)?;
                wanted.insert("type", Box::new(move |client| Kind::of(client) == kind));
            }
            b"addr" => drop(wanted.insert("addr", Box::new(move |client| client.addr.as_bytes() == value))),
            b"laddr" => drop(wanted.insert("laddr", Box::new(move |client| client.laddr.as_bytes() == value))),
            b"user" => {
                let user = cx.server.acl.user(value).cloned();
                let user = user.ok_or_else(|| Error::new([b"ERR No such user '", value, b"'"].concat()))?;
                let is_user = move |client: &Client| client.user.as_ref().is_some_and(|own| Rc::ptr_eq(own, &user));
                wanted.insert("user", Box::new(is_user));
            }
            b"skipme" => {
                skip_me = match value {
                    yes if yes.eq_ignore_ascii_case(b"yes") => true,
                    no if no.eq_ignore_ascii_case(b"no") => false,
                    _ => return Err(Error::SYNTAX),
                }
            }
            _ => return Err(Error::SYNTAX),
        }
        at += 2;
    }
    let mut doomed: Vec<usize> = match wanted_id {
        Some(id) => cx.server.client_with_id(id).into_iter().collect(),
        None => cx.server.client_tokens.values().copied().collect(),
    };
    doomed.retain(|&token| {
        let client = &cx.server.clients[token];
        client.closing != Some(Closing::Now)
            && !(skip_me && token == cx.token)
            && wanted.values().all(|fits| fits(client))
    });
    match doomed.len() {
        0 if by_address_only => return Err(Error::fixed("ERR No such client")),
        _ if by_address_only => cx.reply.ok(),
        count => cx.reply.count(count),
    }
    for token in doomed {
        cx.server.close(token, if token == cx.token { Closing::AfterReply } else { Closing::Now });
    }
    Ok(())
}

fn list(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let lines = look(cx, args, |server| listed(server, args))?;
    cx.reply.verbatim("txt", lines.as_bytes());
    Ok(())
}

/// The lines of the clients that CLIENT LIST asks for.
fn listed(server: &Server, args: &Args<'_>) -> Result<String, Error> {
    let mut lines = String::new();
    let mut add = |token: usize| {
        lines.push_str(&describe(server, token));
        lines.push('\n');
    };
    let client = |token: usize| &server.clients[token];
    // Those that are to end are no longer there for others.
    let clients = server.client_tokens.values().copied().filter(|&token| client(token).closing != Some(Closing::Now));
    match args.get(2) {
        None => clients.for_each(add),
        Some(word) if word.eq_ignore_ascii_case(b"type") && args.len() == 4 => {
            let kind = Kind::parse(&args[3])?;
            clients.filter(|&token| Kind::of(client(token)) == kind).for_each(add);
        }
        Some(word) if word.eq_ignore_ascii_case(b"id") && args.len() > 3 => {
            for id in args.iter_from(3) {
                let id = parse_i64(id).ok_or(Error::fixed("ERR Invalid client ID"))?;
                server.client_with_id(id).into_iter().for_each(&mut add);
            }
        }
        _ => return Err(Error::SYNTAX),
    }
    Ok(lines)
}

fn no_evict(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.server.clients[cx.token].no_evict = on_or_off(&args[2])?;
    cx.reply.ok();
    Ok(())
}

fn no_touch(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let on = on_or_off(&args[2])?;
    cx.server.clients[cx.token].no_touch = on;
    cx.set_touch(if on { Touch::No } else { Touch::Yes });
    cx.reply.ok();
    Ok(())
}

fn pause(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.len() > 4 {
        return Err(malformed(args));
    }
    const MODE: Error = Error::fixed("ERR CLIENT PAUSE mode must be WRITE or ALL");
    let all = match args.get(3) {
        None => true,
        Some(word) if word.eq_ignore_ascii_case(b"all") => true,
        Some(word) if word.eq_ignore_ascii_case(b"write") => false,
        Some(_) => return Err(MODE),
    };
    let timeout = parse_i64(&args[2]).ok_or(Error::fixed("ERR timeout is not an integer or out of range"))?;
    let timeout = u64::try_from(timeout).map_err(|_| Error::fixed("ERR timeout is negative"))?;
    let until_ms = cx
        .server
        .clock
        .uptime_ms()
        .checked_add(timeout)
        .filter(|&until| until <= i64::MAX as u64)
        .ok_or(Error::fixed("ERR timeout is out of range"))?;
    let before = cx.server.pauses[PausedFor::Client as usize];
    if timeout > 0 || before.is_some() {
        // A pause only becomes longer and stricter.
        let pause = Pause {
            until_ms: before.map_or(until_ms, |before| before.until_ms.max(until_ms)),
            all: all || before.is_some_and(|before| before.all),
        };
        cx.server.set_pause(PausedFor::Client, Some(pause));
    }
    cx.reply.ok();
    Ok(())
}

fn reply(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let client = &mut cx.server.clients[cx.token];
    match args[2].to_ascii_lowercase().as_slice() {
        b"on" => {
            client.reply_mode = ReplyMode::On;
            cx.reply.ok();
        }
        // To wish for none changes nothing where there never is one.
        b"off" | b"skip" if client.reply_mode == ReplyMode::Never => {}
        b"off" => client.reply_mode = ReplyMode::Off,
        b"skip" if client.reply_mode != ReplyMode::Off => client.reply_mode = ReplyMode::SkipNext,
        b"skip" => {}
        _ => return Err(Error::SYNTAX),
    }
    Ok(())
}

fn setinfo(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let client = &mut cx.server.clients[cx.token];
    let field = match args[2].to_ascii_lowercase().as_slice() {
        b"lib-name" => &mut client.lib_name,
        b"lib-ver" => &mut client.lib_ver,
        _ => return Err(Error::new([b"ERR Unrecognized option '", c_text(&args[2]), b"'"].concat())),
    };
    *field = printable(&args[3], &args[2])?.to_vec();
    cx.reply.ok();
    Ok(())
}

fn setname(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.server.clients[cx.token].name = check_name(&args[2])?.to_vec();
    cx.reply.ok();
    Ok(())
}

fn unblock(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.len() > 4 {
        return Err(malformed(args));
    }
    let with_error = match args.get(3) {
        None => false,
        Some(word) if word.eq_ignore_ascii_case(b"timeout") => false,
        Some(word) if word.eq_ignore_ascii_case(b"error") => true,
        Some(_) => return Err(Error::fixed("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
    };
    let id = parse_i64(&args[2]).ok_or(Error::NOT_AN_INTEGER)?;
    let may_end = |token: &usize| !cx.server.shutdown_waits.contains(&(*token, cx.server.clients[*token].id));
    let unblocked = match cx.server.client_with_id(id).filter(may_end) {
        Some(token) => blocking::unblock(cx.server, token, with_error),
        None => false,
    };
    if unblocked && with_error {
        // As in Redis, the other client's error is one of this command, too.
        cx.server.stats_of(cx.command.id).failed += 1;
    }
    cx.reply.integer(unblocked as i64);
    Ok(())
}

fn unpause(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.server.set_pause(PausedFor::Client, None);
    cx.reply.ok();
    Ok(())
}
