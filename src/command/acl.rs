//! ACL: users and their rules, and what was denied; and the checks that make clients keep to the rules.
//!
//! A client whose user may do everything pays one branch a command. For any other, [`Ctx::check_access`] asks the user
//! before a command runs or is kept for EXEC, and EXEC asks again. When users change, the clients follow at once, and
//! those lose their connection whose user is gone or may not hear any more what they are subscribed to.

use std::fs;
use std::path::Path;
use std::rc::Rc;

use rustix::rand::{GetRandomFlags, getrandom};

use super::client::describe;
use super::error::{Error, Outcome};
use super::state::Server;
use super::table::{self, CATEGORY_NAMES, Command, CommandId, Doc, EVERYWHERE, Flags, KeyFlags, Registered};
use super::{Ctx, UNKNOWN_SHOWN, malformed, shown, wrong_arity};
use crate::acl::{AccessControl, Context, Denial, Denied, Reason, Selector, User, has_blanks};
use crate::config::{AclPubsubDefault, Settings, replace_file, text};
use crate::net::Closing;
use crate::observe::reason;
use crate::pubsub::{Kind, Subscriptions};
use crate::resp::Args;
use crate::types::number::{hex, parse_i64};

/// Anybody may ask what concerns nobody else.
const OWN: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);
const USERS: Flags = OWN.union(Flags::ADMIN);

/// The most bits that ACL GENPASS makes, and how many it makes unless told otherwise.
const GENPASS_MAX: i64 = 4096;
const GENPASS_BITS: i64 = 256;
/// Entries that ACL LOG tells unless told otherwise.
const LOG_SHOWN: i64 = 10;

const fn doc(summary: &'static str, since: &'static str, complexity: &'static str, syntax: &'static str) -> Doc {
    Doc { summary, since, group: "server", complexity, syntax, ..Command::NONE.doc }
}

const fn sub(name: &'static str, arity: i16, flags: Flags, doc: Doc, handler: table::Handler) -> Command {
    Command { name, arity, flags, doc, handler, ..Command::NONE }
}

pub const COMMANDS: &[Command] = &[Command {
    name: "acl",
    arity: -2,
    doc: doc("Holds the commands about users and their rights.", "6.0.0", "Depends on subcommand.", ""),
    subcommands: &[
        sub(
            "cat",
            -2,
            OWN,
            doc(
                "Lists the categories of commands, or the commands of one.",
                "6.0.0",
                "O(1): there are only so many categories and commands",
                "[category]",
            ),
            cat,
        ),
        Command {
            tips: EVERYWHERE,
            ..sub(
                "deluser",
                -3,
                USERS,
                doc(
                    "Deletes users, and disconnects their clients.",
                    "6.0.0",
                    "O(1), and O(N) with N the connected clients",
                    "username [username ...]",
                ),
                deluser,
            )
        },
        sub(
            "dryrun",
            -4,
            USERS,
            doc(
                "Tells whether a user may run a command, without running it.",
                "7.0.0",
                "O(1)",
                "username command [arg [arg ...]]",
            ),
            dryrun,
        ),
        sub("genpass", -2, OWN, doc("Makes up a password that nobody can guess.", "6.0.0", "O(1)", "[bits]"), genpass),
        sub(
            "getuser",
            3,
            USERS,
            doc("Answers a user's rules.", "6.0.0", "O(N) with N the user's passwords and patterns", "username"),
            getuser,
        ),
        sub("help", 2, Flags::LOADING.union(Flags::STALE), doc("Lists what ACL can do.", "6.0.0", "O(1)", ""), help),
        sub(
            "list",
            2,
            USERS,
            doc("Answers all users with their rules, as an ACL file has them.", "6.0.0", "O(N) with N the users", ""),
            list,
        ),
        sub("load", 2, USERS, doc("Reads all users from the ACL file.", "6.0.0", "O(N) with N the users", ""), load),
        sub(
            "log",
            -2,
            USERS,
            doc(
                "Tells what was denied lately, or forgets it.",
                "6.0.0",
                "O(N) with N the entries told",
                "[operation: count | RESET]",
            ),
            log,
        ),
        Command {
            tips: EVERYWHERE,
            ..sub(
                "save",
                2,
                USERS,
                doc("Writes all users into the ACL file.", "6.0.0", "O(N) with N the users", ""),
                save,
            )
        },
        Command {
            tips: EVERYWHERE,
            ..sub(
                "setuser",
                -3,
                USERS,
                doc(
                    "Creates a user, or changes its rules: by all those given, or none.",
                    "6.0.0",
                    "O(N) with N the rules",
                    "username [rule [rule ...]]",
                ),
                setuser,
            )
        },
        sub("users", 2, USERS, doc("Answers the names of all users.", "6.0.0", "O(N) with N the users", ""), users),
        sub("whoami", 2, OWN, doc("Answers the name of the user that the client is.", "6.0.0", "O(1)", ""), whoami),
    ],
    ..Command::NONE
}];

impl Ctx<'_> {
    /// Checks whether a client that may not do everything may run this command, or keep it for EXEC.
    ///
    /// # Errors
    /// If it must say first who it is, or its user has no right.
    #[cold]
    pub(super) fn check_access(&mut self, command: &'static Registered, args: &Args<'_>) -> Outcome {
        let client = &self.server.clients[self.token];
        let flags = command.command.flags;
        // Without a password nobody has to say one, not even who came when there was one.
        if !client.authenticated && !flags.contains(Flags::NO_AUTH) && !self.server.acl.is_open() {
            return Err(Error::NO_AUTH);
        }
        let context = if client.transaction.is_some() { Context::Multi } else { Context::TopLevel };
        if context == Context::Multi && flags.contains(Flags::NO_MULTI) {
            // The transaction refuses it, whoever it comes from.
            return Ok(());
        }
        self.check_call(command, args, context).map_err(|denial| {
            let text = self.denial_text(denial, command, args);
            Error::new([b"NOPERM ", text.as_slice()].concat())
        })
    }

    /// Checks a command of a transaction once more, now that it is about to run.
    ///
    /// # Errors
    /// If the client's user may not run it any more.
    #[cold]
    pub(super) fn check_kept(&mut self, command: &'static Registered, args: &Args<'_>) -> Outcome {
        self.check_call(command, args, Context::Multi).map_err(|denial| {
            let reason = match denial {
                Denial::Command => "no permission to execute the command or subcommand",
                Denial::Key(_) => "no permission to touch the specified keys",
                Denial::Channel(_) => "no permission to access one of the channels used as arguments",
            };
            Error::new(format!(
                "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
                 command is no longer allowed for the following reason: {reason}"
            ))
        })
    }

    /// Whether the client's user may run a command with these arguments, the first of which is its name.
    ///
    /// # Errors
    /// What stands in its way. Nothing is noted of it.
    pub fn may_call(&self, command: &Registered, args: &Args<'_>) -> Result<(), Denial> {
        let client = &self.server.clients[self.token];
        match &client.user {
            Some(user) if client.restricted => user.check(command, args, 0),
            _ => Ok(()),
        }
    }

    /// As [`Ctx::may_call`], but what is denied is noted in ACL LOG.
    ///
    /// # Errors
    /// What stands in its way; [`Ctx::denial_text`] tells it.
    pub fn check_call(
        &mut self,
        command: &'static Registered,
        args: &Args<'_>,
        context: Context,
    ) -> Result<(), Denial> {
        self.may_call(command, args).inspect_err(|&denial| {
            let object = match denial {
                Denial::Command => command.full_name.as_bytes(),
                Denial::Key(at) | Denial::Channel(at) => &args[at],
            };
            self.server.note_denied(self.token, denial.into(), context, object, None);
        })
    }

    /// What stands in the way of the client's user, as an error says it behind its code.
    pub fn denial_text(&self, denial: Denial, command: &Registered, args: &Args<'_>) -> Vec<u8> {
        match (denial, &self.server.clients[self.token].user) {
            (Denial::Command, Some(user)) => denial_in_full(denial, user, command, args),
            (Denial::Channel(_), _) => b"No permissions to access a channel".to_vec(),
            _ => b"No permissions to access a key".to_vec(),
        }
    }

    /// Whether the client's user may run the command with every key used so: what SORT needs for BY and GET.
    pub fn may_use_all_keys(&self, args: &Args<'_>, flags: KeyFlags) -> bool {
        let client = &self.server.clients[self.token];
        match &client.user {
            Some(user) if client.restricted => user.may_run_on_all_keys(self.command, args, flags),
            _ => true,
        }
    }
}

/// What stands in a user's way, with its name.
fn denial_in_full(denial: Denial, user: &User, command: &Registered, args: &Args<'_>) -> Vec<u8> {
    let (verb, object, kind): (&[u8], _, &[u8]) = match denial {
        Denial::Command => (b"run", command.full_name.as_bytes(), b"command"),
        Denial::Key(at) => (b"access", &args[at], b"key"),
        Denial::Channel(at) => (b"access", &args[at], b"channel"),
    };
    [b"User ", user.name(), b" has no permissions to ", verb, b" the '", object, b"' ", kind].concat()
}

impl Server {
    /// Notes that a client was denied something; `username` is who it said it was, if not its user.
    pub(super) fn note_denied(
        &mut self,
        token: usize,
        reason: Reason,
        context: Context,
        object: &[u8],
        username: Option<&[u8]>,
    ) {
        let client = describe(self, token);
        let user = self.clients[token].user.clone();
        let username = username.or(user.as_ref().map(|user| user.name())).unwrap_or_default();
        let now_ms = self.clock.unix_ms();
        let limit = usize::try_from(self.settings.acllog_max_len).unwrap_or(usize::MAX);
        self.acl.log.note(Denied { reason, context, object, username, client, now_ms }, limit);
    }

    /// Makes a client what a new one is: the default user, if that needs no password.
    pub(super) fn become_nobody(&mut self, token: usize) {
        let open = self.acl.is_open();
        self.clients[token].act_as(self.acl.default_user(), open, open);
    }

    /// Takes over the setting of the default user's password.
    pub(super) fn set_default_password(&mut self) {
        let user = self.acl.with_default_password(&default_password(&self.settings));
        self.acl.publish(user);
        self.follow_users(None, None);
    }

    /// Lets all clients follow their users to what has taken those users' places. Whose user is gone, or may not hear
    /// what a client is subscribed to, is disconnected; `me` is the client that is to have its reply first. Only those `changed`
    /// have had their places taken, if that is known.
    fn follow_users(&mut self, me: Option<usize>, changed: Option<Vec<Rc<User>>>) {
        // Whose user nobody acts as has no client to follow.
        let changed =
            changed.map(|users| users.into_iter().filter(|user| Rc::strong_count(user) > 1).collect::<Vec<_>>());
        if changed.as_ref().is_some_and(Vec::is_empty) {
            return;
        }
        let open = self.acl.is_open();
        let mut lost = Vec::new();
        // Most clients act as the same user as the one before.
        let mut last: Option<(Rc<User>, Option<Rc<User>>)> = None;
        for (token, client) in &mut self.clients {
            let Some(old) = &client.user else { continue };
            if changed.as_ref().is_some_and(|changed| !changed.iter().any(|user| Rc::ptr_eq(user, old))) {
                continue;
            }
            let old = Rc::clone(old);
            let new = match &last {
                Some((known, new)) if Rc::ptr_eq(known, &old) => new.clone(),
                _ => self.acl.user(old.name()).cloned(),
            };
            match &new {
                Some(new) if may_stay(&self.subscriptions, token, &old, new) => {
                    client.act_as(new, client.authenticated, open)
                }
                _ => {
                    // What is left of its transaction runs with nobody's rights, not with those of the default user.
                    client.act_as(&Rc::new(User::new(old.name(), false)), false, false);
                    lost.push(token);
                }
            }
            last = Some((old, new));
        }
        for token in lost {
            self.close(token, if Some(token) == me { Closing::AfterReply } else { Closing::Now });
        }
    }

    /// Whether users that are created may use all channels.
    fn opens_channels(&self) -> bool {
        opens_channels(&self.settings)
    }

    /// The declarations of all users, as the settings file has them: none if they are in an ACL file, or there is only
    /// the default user with nothing but what `requirepass` says.
    pub(super) fn declared_users(&self) -> Vec<Vec<String>> {
        if !self.settings.aclfile.is_empty() || self.acl.is_plain(&default_password(&self.settings)) {
            return Vec::new();
        }
        let words = |user: &Rc<User>| user.describe_words().iter().map(|word| text::from_bytes(word)).collect();
        self.acl.users().map(words).collect()
    }

    /// Whether the users are those that the settings declared when they were read.
    pub(super) fn has_users_as_read(&self) -> bool {
        self.settings.aclfile.is_empty()
            && from_settings(&self.settings).is_ok_and(|read| read.users().eq(self.acl.users()))
    }
}

/// Whether a client may keep its subscriptions when its user becomes another.
fn may_stay(subscriptions: &Subscriptions, token: usize, old: &User, new: &User) -> bool {
    let may_keep = |kind: Kind| {
        let names = subscriptions.names(token, kind);
        names.iter().all(|name| new.may_stay_subscribed(name, kind == Kind::Pattern))
    };
    !subscriptions.has(token)
        || std::ptr::eq(old, new)
        || new.has_all_channels()
        // It has subscribed as somebody else then, and nothing is taken from it.
        || !old.has_channels()
        || [Kind::Channel, Kind::Pattern, Kind::Shard].into_iter().all(may_keep)
}

fn opens_channels(settings: &Settings) -> bool {
    settings.acl_pubsub_default == AclPubsubDefault::AllChannels
}

fn default_password(settings: &Settings) -> Vec<u8> {
    if settings.auth_enabled { text::to_bytes(&settings.requirepass) } else { Vec::new() }
}

/// The users that the settings declare, or the file that they name.
///
/// # Errors
/// A text that says what is wrong.
pub fn from_settings(settings: &Settings) -> Result<AccessControl, String> {
    let mut acl = AccessControl::new();
    acl.publish(acl.with_default_password(&default_password(settings)));
    let open_channels = opens_channels(settings);
    if !settings.aclfile.is_empty() && !settings.user.is_empty() {
        return Err(
            "Users are declared in the settings, and an aclfile is named, too. Nobody could tell which of them \
                    count: please use one or the other."
                .to_string(),
        );
    }
    let bytes = |words: &Vec<String>| words.iter().map(|word| text::to_bytes(word)).collect();
    let declarations: Vec<Vec<Vec<u8>>> = settings.user.iter().map(bytes).collect();
    acl.declare(&declarations, open_channels)?;
    if !settings.aclfile.is_empty() {
        load_file(&mut acl, settings).map_err(|errors| {
            format!("Aborting the start because of ACL errors: {}", String::from_utf8_lossy(&errors))
        })?;
    }
    Ok(acl)
}

/// Reads all users from the ACL file.
fn load_file(acl: &mut AccessControl, settings: &Settings) -> Result<(), Vec<u8>> {
    let file = &settings.aclfile;
    let text = fs::read(file)
        .map_err(|error| format!("Error loading ACLs, opening file '{file}': {}", reason(&error)).into_bytes())?;
    acl.load(&text, file, opens_channels(settings))
}

fn cat(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    match args.len() {
        2 => {
            cx.reply.array(CATEGORY_NAMES.len());
            CATEGORY_NAMES.iter().for_each(|(_, name)| cx.reply.bulk(name.as_bytes()));
        }
        3 => {
            let Some(category) = table::category(&args[2]) else {
                return Err(Error::new([b"ERR Unknown category '", shown(&args[2], UNKNOWN_SHOWN), b"'"].concat()));
            };
            let commands = table::all().map(CommandId::registered);
            let members: Vec<_> = commands.filter(|known| known.command.categories().intersects(category)).collect();
            cx.reply.array(members.len());
            members.iter().for_each(|member| cx.reply.bulk(member.full_name.as_bytes()));
        }
        _ => return Err(malformed(args)),
    }
    Ok(())
}

fn deluser(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    (2..args.len()).for_each(|at| cx.redact(at));
    if args.iter_from(2).any(|name| name == crate::acl::DEFAULT) {
        return Err(Error::fixed("ERR The 'default' user cannot be removed"));
    }
    let deleted: Vec<_> = args.iter_from(2).filter_map(|name| cx.server.acl.remove(name)).collect();
    let count = deleted.len();
    cx.server.follow_users(Some(cx.token), Some(deleted));
    cx.reply.count(count);
    Ok(())
}

fn dryrun(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let Some(user) = cx.server.acl.user(&args[2]) else {
        return Err(Error::new([b"ERR User '", shown(&args[2], usize::MAX), b"' not found"].concat()));
    };
    let Some(command) = cx.server.names.resolve(&args[3], args.get(4)) else {
        return Err(Error::new([b"ERR Command '", shown(&args[3], usize::MAX), b"' not found"].concat()));
    };
    if !command.command.takes(args.len() - 3) {
        return Err(wrong_arity(&command.full_name));
    }
    match user.check(command, args, 3) {
        Ok(()) => cx.reply.ok(),
        Err(denial) => cx.reply.bulk(&denial_in_full(denial, user, command, args)),
    }
    Ok(())
}

fn genpass(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let bits = match args.len() {
        2 => GENPASS_BITS,
        3 => parse_i64(&args[2]).ok_or(Error::NOT_AN_INTEGER)?,
        _ => return Err(malformed(args)),
    };
    if !(1..=GENPASS_MAX).contains(&bits) {
        return Err(Error::new(format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to \
             {GENPASS_MAX}"
        )));
    }
    let digits = (bits as usize).div_ceil(4);
    // The server's own random source is quick, not secret.
    let mut random = vec![0; digits.div_ceil(2)];
    // So many bytes always come whole.
    for part in random.chunks_mut(256) {
        getrandom(part, GetRandomFlags::empty()).map_err(|error| {
            Error::new(format!("ERR The operating system has no random numbers: {}", reason(&error.into())))
        })?;
    }
    cx.reply.bulk(&hex(&random).as_bytes()[..digits]);
    Ok(())
}

fn getuser(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.redact(2);
    let Some(user) = cx.server.acl.user(&args[2]) else {
        cx.reply.null();
        return Ok(());
    };
    let reply = &mut cx.reply;
    reply.map(6);
    reply.bulk(b"flags");
    let switches = user.switches();
    reply.set(switches.len());
    switches.iter().for_each(|word| reply.bulk(word.as_bytes()));
    reply.bulk(b"passwords");
    let passwords = user.passwords();
    reply.array(passwords.len());
    passwords.for_each(|hash| reply.bulk(hash.as_bytes()));
    let selector = |reply: &mut crate::resp::Reply, selector: &Selector| {
        reply.bulk(b"commands");
        reply.bulk(&selector.describe_commands(true));
        reply.bulk(b"keys");
        reply.bulk(&selector.describe_keys(true));
        reply.bulk(b"channels");
        reply.bulk(&selector.describe_channels(true));
    };
    selector(reply, user.root());
    reply.bulk(b"selectors");
    reply.array(user.others().len());
    for other in user.others() {
        reply.map(3);
        selector(reply, other);
    }
    Ok(())
}

fn help(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.help(
        args,
        &[
            "CAT [<category>]",
            "    List the categories of commands, or the commands of one.",
            "DELUSER <username> [<username> ...]",
            "    Delete users, and end the connections of their clients.",
            "DRYRUN <username> <command> [<arg> ...]",
            "    Tell whether the user may run the command, without running it.",
            "GENPASS [<bits>]",
            "    Make up a password of so many bits, 256 unless told otherwise.",
            "GETUSER <username>",
            "    Answer the user's rules, part by part.",
            "LIST",
            "    Answer all users and their rules, as an ACL file has them.",
            "LOAD",
            "    Read all users from the ACL file: all of them, or none if anything is wrong.",
            "LOG [<count> | RESET]",
            "    Tell what was denied lately, or forget it.",
            "SAVE",
            "    Write all users into the ACL file.",
            "SETUSER <username> [<rule> ...]",
            "    Create the user, or change its rules.",
            "USERS",
            "    Answer the names of all users.",
            "WHOAMI",
            "    Answer the name of the user that this connection is.",
        ],
    )
}

fn list(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply.array(cx.server.acl.users().len());
    for user in cx.server.acl.users() {
        cx.reply.bulk(&[b"user ", user.describe().as_slice()].concat());
    }
    Ok(())
}

/// The path of the ACL file.
fn file(cx: &Ctx<'_>) -> Result<String, Error> {
    match cx.server.settings.aclfile.as_str() {
        "" => Err(Error::fixed(
            "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL \
             SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order \
             to store users in the Redis configuration.",
        )),
        path => Ok(path.to_string()),
    }
}

fn load(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    file(cx)?;
    let Server { acl, settings, .. } = &mut *cx.server;
    load_file(acl, settings).map_err(|errors| Error::new([b"ERR ", errors.as_slice()].concat()))?;
    cx.server.follow_users(Some(cx.token), None);
    cx.reply.ok();
    Ok(())
}

fn log(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let count = match (args.len(), args.get(2)) {
        (2, _) => LOG_SHOWN,
        (3, Some(word)) if word.eq_ignore_ascii_case(b"reset") => {
            cx.server.acl.log.clear();
            cx.reply.ok();
            return Ok(());
        }
        (3, Some(count)) => parse_i64(count).ok_or(Error::NOT_AN_INTEGER)?,
        _ => return Err(malformed(args)),
    };
    let now_ms = cx.server.clock.unix_ms();
    let entries = cx.server.acl.log.entries();
    let count = usize::try_from(count).unwrap_or(0).min(entries.len());
    cx.reply.array(count);
    for entry in entries.take(count) {
        let reply = &mut cx.reply;
        reply.map(10);
        reply.bulk(b"count");
        reply.integer(entry.count as i64);
        reply.bulk(b"reason");
        reply.bulk(entry.reason.name().as_bytes());
        reply.bulk(b"context");
        reply.bulk(entry.context.name().as_bytes());
        reply.bulk(b"object");
        reply.bulk(&entry.object);
        reply.bulk(b"username");
        reply.bulk(&entry.username);
        reply.bulk(b"age-seconds");
        reply.double(now_ms.saturating_sub(entry.updated_ms) as f64 / 1000.0);
        reply.bulk(b"client-info");
        reply.bulk(entry.client.as_bytes());
        reply.bulk(b"entry-id");
        reply.integer(entry.id as i64);
        reply.bulk(b"timestamp-created");
        reply.integer(entry.created_ms as i64);
        reply.bulk(b"timestamp-last-updated");
        reply.integer(entry.updated_ms as i64);
    }
    Ok(())
}

fn save(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let path = file(cx)?;
    replace_file(Path::new(&path), &cx.server.acl.to_file()).map_err(|error| {
        ::log::warn!("Saving the ACL file {path}: {}", reason(&error));
        Error::fixed(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
        )
    })?;
    cx.reply.ok();
    Ok(())
}

fn setuser(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    (2..args.len()).for_each(|at| cx.redact(at));
    let name = &args[2];
    if has_blanks(name) {
        return Err(Error::fixed("ERR Usernames can't contain spaces or null characters"));
    }
    let words: Vec<&[u8]> = args.iter_from(3).collect();
    let user = cx.server.acl.revised(name, &words, cx.server.opens_channels());
    let user = user.map_err(|text| Error::new([b"ERR ", text.as_slice()].concat()))?;
    let before = (name != crate::acl::DEFAULT).then(|| cx.server.acl.user(name).cloned().into_iter().collect());
    cx.server.acl.publish(user);
    cx.server.follow_users(Some(cx.token), before);
    cx.reply.ok();
    Ok(())
}

fn users(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply.array(cx.server.acl.users().len());
    cx.server.acl.users().for_each(|user| cx.reply.bulk(user.name()));
    Ok(())
}

fn whoami(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    match &cx.server.clients[cx.token].user {
        Some(user) => cx.reply.bulk(user.name()),
        None => cx.reply.null(),
    }
    Ok(())
}
