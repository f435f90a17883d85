//! The command table. Each command is declared once, in the file of its family; everything that describes commands
//! (COMMAND, arity and access checks, key extraction, statistics, documentation) is derived from the declarations.

use std::sync::{LazyLock, OnceLock};

use bitflags::bitflags;

use super::Ctx;
use super::error::Outcome;
use crate::resp::Args;

bitflags! {
    /// What a command is like, in the order in which COMMAND INFO tells it.
    #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
    pub struct Flags: u32 {
        /// It may change the keyspace.
        const WRITE = 1;
        /// It reads keys and changes nothing.
        const READONLY = 1 << 1;
        /// It is refused when memory is short.
        const DENYOOM = 1 << 2;
        /// It administers the server.
        const ADMIN = 1 << 3;
        /// It belongs to publish/subscribe.
        const PUBSUB = 1 << 4;
        /// Scripts may not call it.
        const NOSCRIPT = 1 << 5;
        /// It may block its client.
        const BLOCKING = 1 << 6;
        /// It runs while data is being loaded.
        const LOADING = 1 << 7;
        /// It runs on a replica that has lost its master.
        const STALE = 1 << 8;
        /// MONITOR does not show it.
        const SKIP_MONITOR = 1 << 9;
        /// SLOWLOG does not show it.
        const SKIP_SLOWLOG = 1 << 10;
        /// It takes time that does not grow with the data.
        const FAST = 1 << 11;
        /// It runs without authentication.
        const NO_AUTH = 1 << 12;
        /// It may have no key although it has key specifications.
        const NO_MANDATORY_KEYS = 1 << 13;
        /// It does not run while a replica loads beside serving.
        const NO_ASYNC_LOADING = 1 << 14;
        /// It may not be queued in a transaction.
        const NO_MULTI = 1 << 15;
        /// Where its keys are depends on its arguments.
        const MOVABLE_KEYS = 1 << 16;
        /// It runs while a script is taking too long.
        const ALLOW_BUSY = 1 << 17;
        /// It runs only where enable-debug-command allows it. Not told to clients.
        const DEBUG_GATE = 1 << 18;
        /// What it does may reach replicas although it changes no key: a pause of writes holds it up. Not told to clients.
        const MAY_REPLICATE = 1 << 19;
        /// It runs only where enable-module-command allows it. Not told to clients.
        const MODULE_GATE = 1 << 20;
        /// It runs in a slot that is being moved here.
        const ASKING = 1 << 21;
        /// It runs a script, which may say what it is like. Not told to clients.
        const SCRIPT = 1 << 22;
    }
}

/// The names of the flags that COMMAND INFO tells.
pub const FLAG_NAMES: &[(Flags, &str)] = &[
    (Flags::WRITE, "write"),
    (Flags::READONLY, "readonly"),
    (Flags::DENYOOM, "denyoom"),
    (Flags::ADMIN, "admin"),
    (Flags::PUBSUB, "pubsub"),
    (Flags::NOSCRIPT, "noscript"),
    (Flags::BLOCKING, "blocking"),
    (Flags::LOADING, "loading"),
    (Flags::STALE, "stale"),
    (Flags::SKIP_MONITOR, "skip_monitor"),
    (Flags::SKIP_SLOWLOG, "skip_slowlog"),
    (Flags::ASKING, "asking"),
    (Flags::FAST, "fast"),
    (Flags::NO_AUTH, "no_auth"),
    (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
    (Flags::NO_ASYNC_LOADING, "no_async_loading"),
    (Flags::NO_MULTI, "no_multi"),
    (Flags::MOVABLE_KEYS, "movablekeys"),
    (Flags::ALLOW_BUSY, "allow_busy"),
];

bitflags! {
    /// Access control categories. `@read`, `@write`, `@admin`, `@dangerous` (of admin commands), `@pubsub`, `@fast`,
    /// `@slow` and `@blocking` follow from the flags: see [`Command::categories`].
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Acl: u32 {
        const KEYSPACE = 1;
        const READ = 1 << 1;
        const WRITE = 1 << 2;
        const SET = 1 << 3;
        const SORTEDSET = 1 << 4;
        const LIST = 1 << 5;
        const HASH = 1 << 6;
        const STRING = 1 << 7;
        const BITMAP = 1 << 8;
        const HYPERLOGLOG = 1 << 9;
        const GEO = 1 << 10;
        const STREAM = 1 << 11;
        const PUBSUB = 1 << 12;
        const ADMIN = 1 << 13;
        const FAST = 1 << 14;
        const SLOW = 1 << 15;
        const BLOCKING = 1 << 16;
        const DANGEROUS = 1 << 17;
        const CONNECTION = 1 << 18;
        const TRANSACTION = 1 << 19;
        const SCRIPTING = 1 << 20;
        /// Commands about tags.
        const TAG = 1 << 21;
    }
}

/// The names of the categories, without their `@`.
pub const CATEGORY_NAMES: &[(Acl, &str)] = &[
    (Acl::KEYSPACE, "keyspace"),
    (Acl::READ, "read"),
    (Acl::WRITE, "write"),
    (Acl::SET, "set"),
    (Acl::SORTEDSET, "sortedset"),
    (Acl::LIST, "list"),
    (Acl::HASH, "hash"),
    (Acl::STRING, "string"),
    (Acl::BITMAP, "bitmap"),
    (Acl::HYPERLOGLOG, "hyperloglog"),
    (Acl::GEO, "geo"),
    (Acl::STREAM, "stream"),
    (Acl::PUBSUB, "pubsub"),
    (Acl::ADMIN, "admin"),
    (Acl::FAST, "fast"),
    (Acl::SLOW, "slow"),
    (Acl::BLOCKING, "blocking"),
    (Acl::DANGEROUS, "dangerous"),
    (Acl::CONNECTION, "connection"),
    (Acl::TRANSACTION, "transaction"),
    (Acl::SCRIPTING, "scripting"),
    (Acl::TAG, "tag"),
];

/// The category with a name in any case.
pub fn category(name: &[u8]) -> Option<Acl> {
    let mut names = CATEGORY_NAMES.iter();
    names.find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name)).map(|(category, _)| *category)
}

bitflags! {
    /// What a command does with the keys of a key specification.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct KeyFlags: u32 {
        const RO = 1;
        const RW = 1 << 1;
        const OW = 1 << 2;
        const RM = 1 << 3;
        const ACCESS = 1 << 4;
        const UPDATE = 1 << 5;
        const INSERT = 1 << 6;
        const DELETE = 1 << 7;
        const NOT_KEY = 1 << 8;
        const INCOMPLETE = 1 << 9;
        const VARIABLE_FLAGS = 1 << 10;
        /// It reads a value: `RO access`.
        const READS = Self::RO.bits() | Self::ACCESS.bits();
        /// It looks at a key but not its value: `RO`.
        const LOOKS = Self::RO.bits();
    }
}

/// The names of the key flags, in the order in which COMMAND INFO tells them.
pub const KEY_FLAG_NAMES: &[(KeyFlags, &str)] = &[
    (KeyFlags::RO, "RO"),
    (KeyFlags::RW, "RW"),
    (KeyFlags::OW, "OW"),
    (KeyFlags::RM, "RM"),
    (KeyFlags::ACCESS, "access"),
    (KeyFlags::UPDATE, "update"),
    (KeyFlags::INSERT, "insert"),
    (KeyFlags::DELETE, "delete"),
    (KeyFlags::NOT_KEY, "not_key"),
    (KeyFlags::INCOMPLETE, "incomplete"),
    (KeyFlags::VARIABLE_FLAGS, "variable_flags"),
];

/// Where a key specification starts to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begin {
    /// At this argument.
    Index(u16),
    /// Behind this word, looked for from an argument on (from the end if negative).
    Keyword(&'static str, i16),
    /// Nobody can say.
    Unknown,
}

/// Which arguments from there on are keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Find {
    /// Every `step`th up to `last`, counted from the beginning, or from the end if negative; with a `limit` of 2
    /// or more and `last` -1 only the first `limit`th part of what is left.
    Range { last: i16, step: u16, limit: u16 },
    /// As many as the argument at `number` says, every `step`th from `first` on; both counted from the beginning.
    KeyNum { number: u16, first: u16, step: u16 },
    /// Nobody can say.
    Unknown,
}

/// Where some of a command's keys are.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    pub begin: Begin,
    pub find: Find,
    pub flags: KeyFlags,
    pub notes: &'static str,
}

impl KeySpec {
    /// One key, at an argument.
    pub const fn one(index: u16, flags: KeyFlags) -> KeySpec {
        KeySpec::range(index, 0, 1, flags)
    }

    /// Keys from an argument to another (counted from there, or from the end if negative), every `step`th.
    pub const fn range(index: u16, last: i16, step: u16, flags: KeyFlags) -> KeySpec {
        KeySpec { begin: Begin::Index(index), find: Find::Range { last, step, limit: 0 }, flags, notes: "" }
    }
}

/// Which of a command's arguments are channels that its user must be allowed to use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channels {
    None,
    /// The first argument.
    First,
    /// All arguments.
    All,
    /// All arguments, which are patterns of channels.
    Patterns,
}

/// Since when there are the commands that Redis does not have: the version of CacheStorm, not of Redis.
pub const OURS_SINCE: &str = "0.1.0";

/// The tips of a command that a proxy sends to every node.
pub const EVERYWHERE: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

/// The documentation of a command, in our own words.
#[derive(Clone, Copy, Debug)]
pub struct Doc {
    pub summary: &'static str,
    /// The version of Redis with which the command came, or [`OURS_SINCE`].
    pub since: &'static str,
    /// As COMMAND DOCS groups commands: `string`, `generic`, `connection`, `server` …
    pub group: &'static str,
    pub complexity: &'static str,
    /// The arguments as manuals write them, from which COMMAND DOCS' argument tree is made: `key value [NX | XX]
    /// [EX seconds | KEEPTTL]`. Capitals are literal words; lower-case words are values.
    pub syntax: &'static str,
    /// Since when the command should not be used any more, and what to use instead; empty if it is alive.
    pub deprecated_since: &'static str,
    pub replaced_by: &'static str,
    /// For servers to use among themselves, or for their developers.
    pub internal: bool,
}

/// What runs a command.
pub type Handler = fn(&mut Ctx<'_>, &mut Args<'_>) -> Outcome;

/// A command, or a subcommand of one.
#[derive(Clone, Copy)]
pub struct Command {
    /// In lower case; of a subcommand its own word only.
    pub name: &'static str,
    /// How many arguments, the name (and the container's) included; negative for at least so many.
    pub arity: i16,
    pub flags: Flags,
    pub acl: Acl,
    pub keys: &'static [KeySpec],
    /// The argument that is the first element which is looked for in the first key's value by its bytes; 0 if there is none,
    /// or it is not always the same one.
    pub member: usize,
    pub channels: Channels,
    /// Hints for clients and proxies, such as `nondeterministic_output`.
    pub tips: &'static [&'static str],
    pub doc: Doc,
    pub subcommands: &'static [Command],
    pub handler: Handler,
}

fn no_handler(_: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    unreachable!("a container has no handler: its subcommands have")
}

impl Command {
    /// What a declaration leaves out.
    pub const NONE: Command = Command {
        name: "",
        arity: 0,
        flags: Flags::empty(),
        acl: Acl::empty(),
        keys: &[],
        member: 0,
        channels: Channels::None,
        tips: &[],
        doc: Doc {
            summary: "",
            since: "",
            group: "",
            complexity: "",
            syntax: "",
            deprecated_since: "",
            replaced_by: "",
            internal: false,
        },
        subcommands: &[],
        handler: no_handler,
    };

    /// Whether a number of arguments, name included, is right.
    #[inline]
    pub fn takes(&self, args: usize) -> bool {
        if self.arity >= 0 { args == self.arity as usize } else { args >= self.arity.unsigned_abs() as usize }
    }

    /// All categories: the declared ones and those that follow from the flags.
    pub fn categories(&self) -> Acl {
        let mut acl = self.acl;
        acl.set(Acl::WRITE, acl.contains(Acl::WRITE) || self.flags.contains(Flags::WRITE));
        // Reading is a category of commands that deal with keys, not of scripts that may.
        acl.set(
            Acl::READ,
            acl.contains(Acl::READ) || self.flags.contains(Flags::READONLY) && !acl.contains(Acl::SCRIPTING),
        );
        if self.flags.contains(Flags::ADMIN) {
            acl |= Acl::ADMIN | Acl::DANGEROUS;
        }
        if self.flags.contains(Flags::PUBSUB) {
            acl |= Acl::PUBSUB;
        }
        if self.flags.contains(Flags::BLOCKING) {
            acl |= Acl::BLOCKING;
        }
        acl | if self.flags.contains(Flags::FAST) { Acl::FAST } else { Acl::SLOW }
    }
}

impl Registered {
    /// Whether it only holds subcommands.
    #[inline]
    pub fn is_container(&self) -> bool {
        !self.subcommands.is_empty()
    }

    /// The subcommand with a name in any case.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static Registered> {
        let mut subcommands = self.subcommands.iter().map(|id| id.registered());
        subcommands.find(|sub| sub.command.name.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// A command's place in the registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandId(u16);

/// A declared command with what is derived from it.
pub struct Registered {
    pub id: CommandId,
    pub command: &'static Command,
    /// `get`, or `config|set`.
    pub full_name: String,
    /// The container of a subcommand.
    pub parent: Option<CommandId>,
    pub subcommands: Vec<CommandId>,
    /// The argument that is the first key, if there is one and it is always the same; else 0.
    pub first_key: usize,
    /// Whether what the command looks at may lie deep in the first key's value.
    pub goes_deep: bool,
    pub accesses: Accesses,
}

/// Which of its keys a command accesses, as HOTKEYS counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accesses {
    /// None: it has none, or only asks about them.
    Nothing,
    /// [`Registered::first_key`], which is its only one.
    First,
    /// Those that its key specifications find.
    Listed,
}

impl Accesses {
    fn of(command: &Command, is_subcommand: bool) -> Accesses {
        let asks = command.acl.contains(Acl::KEYSPACE) || is_subcommand;
        match command.keys {
            [] => Accesses::Nothing,
            // The commands of a script count.
            _ if command.acl.contains(Acl::SCRIPTING) => Accesses::Nothing,
            _ if asks && command.flags.contains(Flags::READONLY) => Accesses::Nothing,
            [KeySpec { begin: Begin::Index(_), find: Find::Range { last: 0, .. }, flags, .. }]
                if !flags.contains(KeyFlags::NOT_KEY) =>
            {
                Accesses::First
            }
            _ => Accesses::Listed,
        }
    }
}

/// What plugins brought before the table was made.
static BROUGHT: OnceLock<Vec<&'static [Command]>> = OnceLock::new();

/// Every command there is, by number. Containers come before their subcommands.
static ALL: LazyLock<Vec<Registered>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for family in super::FAMILIES.iter().chain(BROUGHT.get().into_iter().flatten()) {
        for command in *family {
            let id = register(&mut all, command, None);
            for subcommand in command.subcommands {
                let sub = register(&mut all, subcommand, Some(id));
                all[id.0 as usize].subcommands.push(sub);
            }
        }
    }
    all
});

/// Adds families of commands to the table. It must not have been made yet.
///
/// # Errors
/// If there is a command of that name already, or the table has been made.
pub fn bring(families: Vec<&'static [Command]>) -> Result<(), String> {
    let brought = families.iter().flat_map(|family| family.iter());
    let mut names: Vec<&str> = super::FAMILIES.iter().flat_map(|family| family.iter()).map(|own| own.name).collect();
    for command in brought.clone() {
        if names.contains(&command.name) {
            return Err(format!("There are two commands called {}", command.name));
        }
        names.push(command.name);
    }
    let Some(first) = brought.clone().next() else { return Ok(()) };
    // If the table was made before, or with those of others, they are not in it.
    let first_here = BROUGHT.set(families).is_ok() && named(first.name.as_bytes()).is_some();
    if first_here { Ok(()) } else { Err("Commands can join the command table only before it is made".to_string()) }
}

fn register(all: &mut Vec<Registered>, command: &'static Command, parent: Option<CommandId>) -> CommandId {
    let full_name = match parent {
        Some(CommandId(parent)) => format!("{}|{}", all[parent as usize].full_name, command.name),
        None => command.name.to_string(),
    };
    let first_key = match command.keys.first() {
        Some(KeySpec { begin: Begin::Index(index), find: Find::Range { .. }, .. }) => *index as usize,
        Some(KeySpec { begin: Begin::Index(index), find: Find::KeyNum { first, .. }, .. }) => {
            (*index + *first) as usize
        }
        _ => 0,
    };
    let id = CommandId(all.len() as u16);
    let accesses = Accesses::of(command, parent.is_some());
    let collections = Acl::LIST | Acl::SET | Acl::HASH | Acl::SORTEDSET | Acl::STREAM;
    let goes_deep = first_key != 0 && command.acl.intersects(collections);
    all.push(Registered { id, command, full_name, parent, subcommands: Vec::new(), first_key, goes_deep, accesses });
    id
}

impl CommandId {
    /// What is known of the command.
    #[inline]
    pub fn registered(self) -> &'static Registered {
        &ALL[self.0 as usize]
    }

    /// The command.
    #[inline]
    pub fn command(self) -> &'static Command {
        self.registered().command
    }

    /// Its place among all commands, for tables beside this one.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Some command: what a context holds before it runs the first one.
#[inline]
pub fn first() -> &'static Registered {
    &ALL[0]
}

/// All commands and subcommands.
pub fn all() -> impl Iterator<Item = CommandId> {
    (0..ALL.len() as u16).map(CommandId)
}

/// The command with a name in any case, a subcommand's being `container|subcommand`: as the table has it, whatever
/// `rename-command` says.
pub fn named(name: &[u8]) -> Option<&'static Registered> {
    ALL.iter().find(|known| known.full_name.as_bytes().eq_ignore_ascii_case(name))
}

/// A word that calls a command.
struct Name {
    /// Its first eight bytes in lower case, spaces behind a shorter one.
    head: u64,
    len: usize,
    /// All of it is in the head, and letters only, of which no two fold alike: equal heads are equal words.
    is_plain: bool,
    word: Box<[u8]>,
    command: &'static Registered,
}

/// The words by which clients call commands. It differs from the declarations where `rename-command` says so.
pub struct Names {
    /// Open addressing; a power of two of places, at most a quarter of them used.
    places: Vec<Option<Name>>,
    count: usize,
}

impl Names {
    /// Every command under its own name, but for `renamed` (old name, new name; an empty one takes it away).
    ///
    /// # Errors
    /// The place of a rule that names no command, or takes the name of another, and a text that says so.
    pub fn new(renamed: &[Vec<String>]) -> Result<Names, (usize, &'static str)> {
        let mut words: Vec<(String, &Registered)> =
            ALL.iter().filter(|known| known.parent.is_none()).map(|known| (known.full_name.clone(), known)).collect();
        for (rule, words_of_rule) in renamed.iter().enumerate() {
            let [old, new] = words_of_rule.as_slice() else { continue };
            let Some(at) = words.iter().position(|(word, _)| word.eq_ignore_ascii_case(old)) else {
                return Err((rule, "No such command in rename-command"));
            };
            let (_, command) = words.remove(at);
            if words.iter().any(|(word, _)| word.eq_ignore_ascii_case(new)) {
                return Err((rule, "Target command name already exists"));
            }
            if !new.is_empty() {
                words.push((new.to_lowercase(), command));
            }
        }
        let count = words.len();
        let mut places: Vec<Option<Name>> = Vec::new();
        places.resize_with((words.len() * 4).next_power_of_two(), || None);
        for (word, command) in words {
            let word: Box<[u8]> = word.into_bytes().into();
            let (head, hash) = fold(&word);
            let mut at = hash & (places.len() - 1);
            while places[at].is_some() {
                at = (at + 1) & (places.len() - 1);
            }
            let is_plain = word.len() <= 8 && word.iter().all(u8::is_ascii_lowercase);
            places[at] = Some(Name { head, len: word.len(), is_plain, word, command });
        }
        Ok(Names { places, count })
    }

    /// The command that a word calls, in any case.
    #[inline]
    pub fn find(&self, word: &[u8]) -> Option<&'static Registered> {
        let (head, hash) = fold(word);
        let mut at = hash & (self.places.len() - 1);
        while let Some(name) = &self.places[at] {
            // Two words with the same head differ at most in what folding takes for the same byte, or behind it.
            if name.head == head && name.len == word.len() && (name.is_plain || word.eq_ignore_ascii_case(&name.word)) {
                return Some(name.command);
            }
            at = (at + 1) & (self.places.len() - 1);
        }
        None
    }

    /// The command that a word calls, or its subcommand that the next word names, if it has subcommands.
    #[inline]
    pub fn resolve(&self, word: &[u8], next: Option<&[u8]>) -> Option<&'static Registered> {
        let command = self.find(word)?;
        match next {
            Some(next) if command.is_container() => command.subcommand(next),
            _ => Some(command),
        }
    }

    /// The command, or the subcommand, with a name such as `config|get`.
    pub fn find_full(&self, name: &[u8]) -> Option<&'static Registered> {
        let mut words = name.splitn(2, |&byte| byte == b'|');
        let command = self.find(words.next()?)?;
        words.next().map_or(Some(command), |next| command.subcommand(next))
    }

    /// How many words call a command.
    pub fn count(&self) -> usize {
        self.count
    }

    /// All words in use with their commands.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &'static Registered)> {
        self.places.iter().flatten().map(|name| (&*name.word, name.command))
    }
}

/// The first eight bytes of a word in lower case, and a hash that does not depend on the word's case.
#[inline]
fn fold(word: &[u8]) -> (u64, usize) {
    let head = match (word.first_chunk::<8>(), word.first_chunk::<4>(), word.last_chunk::<4>()) {
        (Some(head), ..) => u64::from_le_bytes(*head),
        // The halves overlap; where they do, they agree.
        (None, Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (word.len() - 4))
        }
        _ => word.iter().rev().fold(0, |head, &byte| head << 8 | byte as u64),
    };
    let head = head | 0x2020_2020_2020_2020;
    let last = word.last().map_or(0, |&byte| byte as u64 | 0x20);
    let mixed = (head ^ last << 56 ^ (word.len() as u64) << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (head, (mixed >> 40) as usize)
}
