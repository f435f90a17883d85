//! A selector: commands, and the keys and channels that they may be run with.

use bitflags::bitflags;

use super::rule::{RuleError, has_blanks};
use crate::command::key_positions::each_key;
use crate::command::table::{self, Channels, CommandId, Flags, KeyFlags, Registered};
use crate::config::quote_word;
use crate::resp::Args;
use crate::types::glob;

bitflags! {
    /// What may be done with a key.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Access: u8 {
        const READ = 1;
        const WRITE = 2;
    }
}

impl Access {
    /// What a command needs that does this with a key. Those that only tell whether it is there need nothing but some
    /// pattern that fits.
    fn needed(flags: KeyFlags) -> Access {
        let mut access = Access::empty();
        access.set(Access::READ, flags.contains(KeyFlags::ACCESS));
        access.set(Access::WRITE, flags.intersects(KeyFlags::INSERT | KeyFlags::DELETE | KeyFlags::UPDATE));
        access
    }
}

/// What stands in the way of a command. The greater one is the more telling: that the command is none of the user's, or
/// the position of the argument that is a key or a channel it may not use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Denial {
    Command,
    Key(usize),
    Channel(usize),
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct KeyPattern {
    access: Access,
    pattern: Box<[u8]>,
}

/// What a part of a user's rules allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selector {
    /// All commands are allowed, and no rule has ever taken one away since.
    all_commands: bool,
    /// The command rules begin with `+@all` rather than `-@all`.
    begins_with_all: bool,
    /// The rules after that, in order; each in lower case with its sign.
    rules: Vec<Box<[u8]>>,
    /// A bit for each command, by its id.
    commands: Box<[u64]>,
    /// First arguments, in lower case, with which a command is allowed that is not as such.
    first_args: Vec<(CommandId, Box<[u8]>)>,
    all_keys: bool,
    keys: Vec<KeyPattern>,
    all_channels: bool,
    channels: Vec<Box<[u8]>>,
}

impl Selector {
    /// A selector that allows nothing, but perhaps all channels.
    pub fn new(all_channels: bool) -> Selector {
        Selector {
            all_commands: false,
            begins_with_all: false,
            rules: Vec::new(),
            commands: vec![0; table::all().count().div_ceil(64)].into(),
            first_args: Vec::new(),
            all_keys: false,
            keys: Vec::new(),
            all_channels,
            channels: Vec::new(),
        }
    }

    /// A selector made of the rules between parentheses.
    ///
    /// # Errors
    /// What is wrong with the first rule that is.
    pub fn parse(rules: &[u8], all_channels: bool) -> Result<Selector, RuleError> {
        let mut selector = Selector::new(all_channels);
        for rule in crate::resp::request::split_words(rules).ok_or(RuleError::Syntax)? {
            selector.apply(&rule)?;
        }
        Ok(selector)
    }

    /// Whether there is nothing that it does not allow.
    pub fn allows_everything(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels
    }

    /// Whether some command that writes is allowed, be it with no key.
    pub fn allows_writing(&self) -> bool {
        table::all().any(|id| self.has_command(id) && id.command().flags.contains(Flags::WRITE))
    }

    /// Applies a rule about commands, keys or channels.
    ///
    /// # Errors
    /// If it is none; nothing has changed then.
    pub fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        if is("allkeys") || is("~*") {
            (self.all_keys, self.keys) = (true, Vec::new());
        } else if is("resetkeys") {
            (self.all_keys, self.keys) = (false, Vec::new());
        } else if is("allchannels") || is("&*") {
            (self.all_channels, self.channels) = (true, Vec::new());
        } else if is("resetchannels") {
            (self.all_channels, self.channels) = (false, Vec::new());
        } else if is("allcommands") || is("+@all") {
            self.begin_with(true);
        } else if is("nocommands") || is("-@all") {
            self.begin_with(false);
        } else {
            match rule {
                [b'~', pattern @ ..] => self.add_key(Access::all(), pattern)?,
                [b'%', pattern @ ..] => {
                    let (access, pattern) = split_access(pattern).ok_or(match self.all_keys {
                        true => RuleError::KeysAfterAll,
                        false => RuleError::Syntax,
                    })?;
                    self.add_key(access, pattern)?;
                }
                [b'&', pattern @ ..] => self.add_channel(pattern)?,
                [sign @ (b'+' | b'-'), b'@', name @ ..] => self.set_category(name, *sign == b'+')?,
                [b'+', name @ ..] => self.allow(name)?,
                [b'-', name @ ..] => {
                    let command = table::named(name).ok_or(RuleError::Unknown)?;
                    self.set_command(command, false);
                    self.note_rule(command.full_name.as_bytes(), false);
                }
                _ => return Err(RuleError::Syntax),
            }
        }
        Ok(())
    }

    /// Starts the command rules over.
    fn begin_with(&mut self, all: bool) {
        (self.all_commands, self.begins_with_all) = (all, all);
        self.commands.fill(if all { u64::MAX } else { 0 });
        self.first_args = Vec::new();
        self.rules = Vec::new();
    }

    fn add_key(&mut self, access: Access, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeysAfterAll);
        }
        if has_blanks(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| *known.pattern == *pattern) {
            Some(known) => known.access |= access,
            None => self.keys.push(KeyPattern { access, pattern: pattern.into() }),
        }
        Ok(())
    }

    fn add_channel(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::ChannelsAfterAll);
        }
        if has_blanks(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| **known == *pattern) {
            self.channels.push(pattern.into());
        }
        Ok(())
    }

    /// `+command`, `+container|subcommand` or `+command|first-arg`.
    fn allow(&mut self, name: &[u8]) -> Result<(), RuleError> {
        let Some(bar) = memchr::memrchr(b'|', name) else {
            let command = table::named(name).ok_or(RuleError::Unknown)?;
            self.set_command(command, true);
            self.note_rule(command.full_name.as_bytes(), true);
            return Ok(());
        };
        let (container, word) = (&name[..bar], &name[bar + 1..]);
        let command = table::named(container).ok_or(RuleError::Unknown)?;
        if command.parent.is_some() {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        if word.is_empty() {
            return Err(RuleError::Syntax);
        }
        if command.is_container() {
            let subcommand = command.subcommand(word).ok_or(RuleError::Unknown)?;
            self.set_command(subcommand, true);
        } else if has_blanks(word) {
            return Err(RuleError::Syntax);
        } else {
            let allowed = (command.id, word.to_ascii_lowercase().into());
            self.first_args.retain(|known| *known != allowed);
            self.first_args.push(allowed);
        }
        self.note_rule(name, true);
        Ok(())
    }

    fn set_category(&mut self, name: &[u8], allow: bool) -> Result<(), RuleError> {
        let category = table::category(name).ok_or(RuleError::Unknown)?;
        for command in table::all().map(CommandId::registered) {
            if command.command.categories().intersects(category) {
                self.set_command(command, allow);
            }
        }
        self.note_rule(&[b"@", name].concat(), allow);
        Ok(())
    }

    /// Allows a command or not, and its subcommands with it.
    fn set_command(&mut self, command: &Registered, allow: bool) {
        self.first_args.retain(|(id, _)| *id != command.id);
        for id in command.subcommands.iter().chain([&command.id]) {
            let (word, bit) = (id.index() / 64, 1 << (id.index() % 64));
            if allow {
                self.commands[word] |= bit;
            } else {
                self.commands[word] &= !bit;
            }
        }
        self.all_commands &= allow;
    }

    /// Keeps a rule, so that the rules can be told and repeated in their order. It takes the place of those about the
    /// same command or category, or about subcommands of it.
    fn note_rule(&mut self, name: &[u8], allow: bool) {
        let name = name.to_ascii_lowercase();
        self.rules.retain(|rule| match rule[1..].strip_prefix(name.as_slice()) {
            Some(rest) => !rest.is_empty() && rest[0] != b'|',
            None => true,
        });
        self.rules.push([if allow { b"+" } else { b"-" }, name.as_slice()].concat().into());
    }

    /// Checks a command, whose name is the argument at `start`.
    ///
    /// # Errors
    /// What stands in its way.
    pub fn check(&self, command: &Registered, args: &Args<'_>, start: usize) -> Result<(), Denial> {
        // Who may say who it is must be able to.
        let allowed = self.all_commands
            || self.has_command(command.id)
            || command.command.flags.contains(Flags::NO_AUTH)
            || self.has_first_arg(command.id, args.get(start + 1));
        if !allowed {
            return Err(Denial::Command);
        }
        if !self.all_keys && !command.command.keys.is_empty() {
            let mut denied = None;
            let placed = each_key(command.command, args, start, |at, flags| {
                if denied.is_none() && !flags.contains(KeyFlags::NOT_KEY) && !self.allows_key(&args[at], flags) {
                    denied = Some(at);
                }
            });
            // Where the keys cannot be made out, the command will refuse to run by itself.
            if let (Ok(()), Some(at)) = (placed, denied) {
                return Err(Denial::Key(at));
            }
        }
        let (last, is_pattern) = match command.command.channels {
            Channels::None => return Ok(()),
            _ if self.all_channels => return Ok(()),
            Channels::First => (start + 2, false),
            Channels::All => (args.len(), false),
            Channels::Patterns => (args.len(), true),
        };
        match (start + 1..last.min(args.len())).find(|&at| !self.allows_channel(&args[at], is_pattern)) {
            Some(at) => Err(Denial::Channel(at)),
            None => Ok(()),
        }
    }

    #[inline]
    fn has_command(&self, id: CommandId) -> bool {
        self.commands[id.index() / 64] >> (id.index() % 64) & 1 == 1
    }

    fn has_first_arg(&self, id: CommandId, arg: Option<&[u8]>) -> bool {
        let Some(arg) = arg else { return false };
        self.first_args.iter().any(|(known, word)| *known == id && word.eq_ignore_ascii_case(arg))
    }

    /// Whether a key may be used as a key specification says.
    fn allows_key(&self, key: &[u8], flags: KeyFlags) -> bool {
        let needed = Access::needed(flags);
        let fits = |known: &KeyPattern| known.access.contains(needed) && glob::matches(&known.pattern, key, false);
        self.all_keys || self.keys.iter().any(fits)
    }

    /// Whether every key may be used so.
    pub fn allows_all_keys(&self, flags: KeyFlags) -> bool {
        let needed = Access::needed(flags);
        self.all_keys || self.keys.iter().any(|known| known.access.contains(needed) && *known.pattern == *b"*")
    }

    /// Whether a channel may be used, or a pattern of channels, which must be one of the rules' as it is.
    fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_channels || channel_fits(self.channels(), channel, is_pattern)
    }

    /// Whether all channels may be used.
    pub fn has_all_channels(&self) -> bool {
        self.all_channels
    }

    /// The patterns of channels that may be used.
    pub fn channels(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.channels.iter().map(|pattern| &**pattern)
    }

    /// The command rules, separated by blanks. `is_root` says that they do not stand in parentheses.
    pub fn describe_commands(&self, is_root: bool) -> Vec<u8> {
        let mut text = if self.begins_with_all { b"+@all".to_vec() } else { b"-@all".to_vec() };
        for rule in &self.rules {
            text.push(b' ');
            push_word(rule, is_root, &mut text);
        }
        text
    }

    /// The key rules, separated by blanks.
    pub fn describe_keys(&self, is_root: bool) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let words = self.keys.iter().map(|known| {
            let sign: &[u8] = if known.access == Access::READ {
                b"%R~"
            } else if known.access == Access::WRITE {
                b"%W~"
            } else if *known.pattern == *b"*" {
                // Not `~*`: behind that no pattern may follow.
                b"%RW~"
            } else {
                b"~"
            };
            [sign, &known.pattern].concat()
        });
        joined(words, is_root)
    }

    /// The channel rules, separated by blanks.
    pub fn describe_channels(&self, is_root: bool) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        joined(self.channels.iter().map(|pattern| [b"&", &**pattern].concat()), is_root)
    }

    /// All rules, such that a new selector to which they are applied is the same.
    pub fn describe(&self, is_root: bool) -> Vec<u8> {
        let reset: &[u8] = if self.all_channels { b"" } else { b"resetchannels" };
        let parts = [
            self.describe_keys(is_root),
            reset.to_vec(),
            self.describe_channels(is_root),
            self.describe_commands(is_root),
        ];
        let parts: Vec<Vec<u8>> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(&b' ')
    }
}

/// Whether one of the patterns allows a channel; a pattern of channels is allowed by itself only.
pub fn channel_fits<'a>(mut patterns: impl Iterator<Item = &'a [u8]>, channel: &[u8], is_pattern: bool) -> bool {
    patterns.any(|known| if is_pattern { known == channel } else { glob::matches(known, channel, false) })
}

/// Cuts `RW~pattern` at the tilde.
fn split_access(rule: &[u8]) -> Option<(Access, &[u8])> {
    let mut access = Access::empty();
    for (at, byte) in rule.iter().enumerate() {
        let more = match byte.to_ascii_uppercase() {
            b'R' => Access::READ,
            b'W' => Access::WRITE,
            b'~' if !access.is_empty() => return Some((access, &rule[at + 1..])),
            _ => return None,
        };
        if access.contains(more) {
            return None;
        }
        access |= more;
    }
    None
}

fn joined(words: impl Iterator<Item = Vec<u8>>, is_root: bool) -> Vec<u8> {
    let mut text = Vec::new();
    for word in words {
        if !text.is_empty() {
            text.push(b' ');
        }
        push_word(&word, is_root, &mut text);
    }
    text
}

/// Appends a rule. In parentheses one that holds quotes or parentheses needs quotes to be read back.
fn push_word(word: &[u8], is_root: bool, text: &mut Vec<u8>) {
    if is_root || !word.iter().any(|byte| matches!(byte, b'"' | b'\'' | b')')) {
        text.extend_from_slice(word);
    } else {
        text.extend_from_slice(quote_word(word).as_bytes());
    }
}
