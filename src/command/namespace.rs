//! Namespaces: databases with names, with what holds for their keys.
//!
//! A connection works in one of them, as it works on a database: `default` is what SELECT 0 chooses, `db<n>` what SELECT n
//! does, and any other comes into being when NAMESPACE first names it. To a namespace belong a time to live for keys that are
//! written without one and a limit of memory; where they come from is told in [`crate::keyspace::directory`].

use super::database::wait_until_counted;
use super::error::{Error, Outcome};
use super::state::Server;
use super::table::{Acl, Command, Doc, Flags, OURS_SINCE};
use super::{Ctx, blocking};
use crate::config::{NamespaceLimits, parse_size};
use crate::keyspace::directory::{MAX_NAMED, Profile};
use crate::keyspace::namespace::Namespace;
use crate::resp::Args;
use crate::types::number::parse_i64;

const NO_SUCH_NAMESPACE: Error = Error::fixed("ERR no such namespace");
pub(super) const DELETED: Error = Error::fixed("UNBLOCKED the namespace was deleted");

const fn doc(summary: &'static str, complexity: &'static str, syntax: &'static str) -> Doc {
    Doc { summary, since: OURS_SINCE, group: "server", complexity, syntax, ..Command::NONE.doc }
}

pub const COMMANDS: &[Command] = &[
    Command {
        name: "namespace",
        arity: -2,
        flags: Flags::STALE.union(Flags::FAST).union(Flags::MAY_REPLICATE),
        acl: Acl::KEYSPACE.union(Acl::CONNECTION),
        doc: doc(
            "Chooses the namespace that the connection works in; creates it if there is none of this name.",
            "O(1)",
            "name [TTL milliseconds] [MAXMEMORY bytes] [CREATED unix-time-milliseconds]",
        ),
        handler: namespace,
        ..Command::NONE
    },
    Command {
        name: "namespacedel",
        arity: 2,
        flags: Flags::WRITE,
        acl: Acl::KEYSPACE.union(Acl::DANGEROUS),
        doc: doc(
            "Deletes a namespace with all its keys.",
            "O(N) where N is the number of clients; the keys' memory is freed in the background",
            "name",
        ),
        handler: namespacedel,
        ..Command::NONE
    },
    Command {
        name: "namespaceinfo",
        arity: -1,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Acl::KEYSPACE,
        tips: &["nondeterministic_output"],
        doc: doc("Tells about a namespace, or the one that the connection works in.", "O(1)", "[name]"),
        handler: namespaceinfo,
        ..Command::NONE
    },
    Command {
        name: "namespaces",
        arity: 1,
        flags: Flags::READONLY,
        acl: Acl::KEYSPACE,
        doc: doc("Lists the names of all namespaces.", "O(N) where N is the number of namespaces", ""),
        handler: namespaces,
        ..Command::NONE
    },
];

/// The slot of the namespace with a name.
///
/// # Errors
/// If there is none.
pub(super) fn existing(cx: &Ctx<'_>, name: &[u8]) -> Result<usize, Error> {
    cx.server.keys.directory().find(name).ok_or(NO_SUCH_NAMESPACE)
}

/// What NAMESPACE is asked to put down.
#[derive(Default)]
struct Options {
    default_ttl_ms: Option<u64>,
    max_memory: Option<u64>,
    created_ms: Option<u64>,
}

impl Options {
    fn parse(args: &Args<'_>) -> Result<Options, Error> {
        let mut options = Options::default();
        let milliseconds = |word: &[u8]| {
            let number = parse_i64(word).ok_or(Error::NOT_AN_INTEGER)?;
            u64::try_from(number).map_err(|_| Error::fixed("ERR a time in milliseconds is not negative"))
        };
        for at in (2..args.len()).step_by(2) {
            let (word, value) = (&args[at], args.get(at + 1).ok_or(Error::SYNTAX)?);
            if word.eq_ignore_ascii_case(b"TTL") {
                options.default_ttl_ms = Some(milliseconds(value)?);
            } else if word.eq_ignore_ascii_case(b"MAXMEMORY") {
                let bytes =
                    str::from_utf8(value).ok().and_then(parse_size).filter(|&bytes| i64::try_from(bytes).is_ok());
                options.max_memory = Some(bytes.ok_or(Error::fixed("ERR MAXMEMORY must be a memory value"))?);
            } else if word.eq_ignore_ascii_case(b"CREATED") {
                // 0 is no time, but the mark of those that a snapshot may not have.
                options.created_ms = Some(milliseconds(value)?).filter(|&ms| ms > 0);
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(options)
    }

    /// Puts it into effect. What is not said stays.
    fn apply(&self, server: &mut Server, slot: usize) {
        let Some(profile) = server.keys.directory().profile(slot) else { return };
        let created_ms = self.created_ms.unwrap_or(profile.created_ms);
        let default_ttl_ms = self.default_ttl_ms.unwrap_or(profile.default_ttl_ms);
        let max_memory = self.max_memory.unwrap_or(profile.max_memory);
        if self.default_ttl_ms.is_some() || self.max_memory.is_some() {
            server.keys.set_limits(slot, default_ttl_ms, max_memory);
        }
        server.keys.set_created(slot, created_ms);
    }
}

/// The command that creates a namespace as it is.
pub fn creation(profile: &Profile) -> [Vec<u8>; 8] {
    let number = |number: u64| number.to_string().into_bytes();
    [
        b"NAMESPACE".to_vec(),
        profile.name.as_bytes().to_vec(),
        b"TTL".to_vec(),
        number(profile.default_ttl_ms),
        b"MAXMEMORY".to_vec(),
        number(profile.max_memory),
        b"CREATED".to_vec(),
        number(profile.created_ms),
    ]
}

/// Checks whether a client may create a namespace, or change what holds for one that is there: this is for masters alone, and for
/// who may write something; the latter, which can cost others their keys, for who might delete it as well.
fn check_change(cx: &Ctx<'_>, args: &Args<'_>, exists: bool) -> Outcome {
    if cx.is_repeated() {
        return Ok(());
    }
    cx.server.check_role()?;
    cx.check_durability()?;
    let client = &cx.server.clients[cx.token];
    if !client.restricted {
        return Ok(());
    }
    let may_write = || client.user.as_ref().is_some_and(|user| user.may_write());
    let deletion = cx.server.names.find(b"namespacedel");
    let may_delete = || deletion.is_some_and(|command| cx.may_call(command, args).is_ok());
    match exists {
        true if !may_delete() => {
            Err(Error::fixed("NOPERM only who may run NAMESPACEDEL may change what holds for a namespace"))
        }
        false if !may_write() => Err(Error::fixed("NOPERM only who may write may create a namespace")),
        _ => Ok(()),
    }
}

fn namespace(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let options = Options::parse(args)?;
    let found = cx.server.keys.directory().find(&args[1]);
    if found.is_none() || args.len() > 2 {
        check_change(cx, args, found.is_some())?;
    }
    let slot = match found {
        Some(slot) => slot,
        None => {
            let name = str::from_utf8(&args[1])
                .ok()
                .filter(|name| NamespaceLimits::is_name(name))
                .ok_or(Error::fixed("ERR a namespace's name is 1 to 64 letters, digits, '_', '-', '.' or ':'"))?;
            let created = cx.server.keys.create_namespace(name);
            created.map_err(|_| Error::new(format!("ERR there are {MAX_NAMED} namespaces already")))?
        }
    };
    options.apply(cx.server, slot);
    if found.is_none() || args.len() > 2 {
        cx.server.keys.effects.dirty += 1;
        if let Some(profile) = cx.server.keys.directory().profile(slot) {
            let words = creation(profile);
            cx.propagate_in(slot, words.iter().map(Vec::as_slice));
        }
    }
    cx.db = slot;
    cx.server.clients[cx.token].db = slot;
    cx.reply.ok();
    Ok(())
}

/// Who is in the namespace goes back to the default one. What such a client has begun there comes to nothing: a wait for a key
/// ends with an error, a transaction is not executed.
fn namespacedel(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let slot = existing(cx, &args[1])?;
    if slot == 0 {
        return Err(Error::fixed("ERR cannot delete the default namespace"));
    }
    if wait_until_counted(cx, args, slot..slot + 1) {
        return Ok(());
    }
    cx.server.drop_namespace(slot, Some(cx.token));
    if cx.db == slot {
        cx.db = 0;
    }
    cx.server.keys.effects.dirty += 1;
    cx.propagate_in(0, args.iter_from(0));
    cx.reply.ok();
    Ok(())
}

impl Server {
    /// Deletes a namespace, one of whose clients may be asking for that.
    pub(super) fn drop_namespace(&mut self, slot: usize, asking: Option<usize>) {
        for token in self.keys.effects.waiting.in_database(slot) {
            blocking::unblock_with(self, token, true, |cx| cx.error(&DELETED));
        }
        for (token, client) in self.clients.iter_mut().filter(|(_, client)| client.db == slot) {
            client.db = 0;
            if let Some(transaction) = client.transaction.as_mut().filter(|_| Some(token) != asking) {
                transaction.spoil();
            }
        }
        if let Some(script) = self.scripts.running.as_mut().filter(|script| script.db == slot) {
            script.db = 0;
        }
        self.keys.delete_namespace(slot);
    }

    /// Forgets what holds for namespaces, because a snapshot is about to replace all data. Those with names of their own stay,
    /// and who is in them, until it is known which ones the snapshot has.
    pub fn doubt_namespaces(&mut self) {
        for slot in 0..self.keys.databases() {
            self.keys.set_limits(slot, 0, 0);
            self.keys.set_created(slot, 0);
        }
    }

    /// Deletes the namespaces that a snapshot which has been taken in since did not have, nor the settings have.
    pub fn forget_doubted_namespaces(&mut self) {
        let now_ms = self.keys.now_ms();
        let directory = self.keys.directory();
        let doubted = directory.iter().filter(|(_, profile)| profile.created_ms == 0);
        let doubted: Vec<_> = doubted.map(|(slot, profile)| (slot, profile.is_declared())).collect();
        let numbered = directory.numbered();
        for (slot, declared) in doubted {
            if slot < numbered || declared {
                self.keys.set_created(slot, now_ms);
            } else {
                self.drop_namespace(slot, None);
            }
        }
    }
}

fn namespaceinfo(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let slot = match args.len() {
        1 => cx.db,
        2 => existing(cx, &args[1])?,
        _ => return Err(super::wrong_arity("namespaceinfo")),
    };
    let keys = &cx.server.keys;
    let Some(profile) = keys.directory().profile(slot) else { return Err(NO_SUCH_NAMESPACE) };
    let contents = keys.database(slot);
    let of = |figure: fn(&Namespace) -> usize| contents.map_or(0, figure) as u64;
    let figures = [
        ("keys", of(Namespace::len)),
        ("expires", of(Namespace::expires)),
        ("memory_bytes", of(Namespace::memory_bytes)),
        ("tags", keys.tag_totals(slot).tags as u64),
        ("default_ttl_ms", profile.default_ttl_ms),
        ("max_memory_bytes", profile.max_memory),
        ("hits", profile.hits),
        ("misses", profile.misses),
        ("created_at", profile.created_ms / 1000),
    ];
    cx.reply.map(figures.len() + 1);
    cx.reply.bulk(b"name");
    cx.reply.bulk(profile.name.as_bytes());
    for (name, figure) in figures {
        cx.reply.bulk(name.as_bytes());
        cx.reply.integer(figure as i64);
    }
    Ok(())
}

/// Of those that numbers stand for, only `default` and those that differ from a new one are listed.
fn namespaces(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let keys = &cx.server.keys;
    let names: Vec<&str> = keys.namespaces().map(|(_, profile)| &*profile.name).collect();
    cx.reply.array(names.len());
    for name in names {
        cx.reply.bulk(name.as_bytes());
    }
    Ok(())
}
