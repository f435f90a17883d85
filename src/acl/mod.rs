//! Access control: who may run which commands, on which keys and channels.
//!
//! A [`User`] is what its rules say: switches, passwords, and one or more [`Selector`]s, each of which allows some
//! commands on some keys and channels; a command may run if one selector allows all of it. Users do not change once they
//! are published: a change makes a new user, which takes the place of the old one here and in the clients that act as
//! it. So a client refers to its user directly, and no name is looked up when a command runs.
//!
//! - `rule` cuts rules out of words and says what is wrong with one.
//! - `selector` is commands, keys and channels; `user` the rest of a user.
//! - `file` reads users from an ACL file, all or none.
//! - `log` remembers what was denied.
//!
//! Of commands only their ids, names, categories and key specifications are known here. Disconnecting clients that lost
//! their user or a channel is the business of the ACL command.

mod file;
mod log;
mod rule;
mod selector;
mod user;

use std::collections::BTreeMap;
use std::rc::Rc;

pub use log::{Context, Denied, Entry, Log, Reason};
pub use rule::{RuleError, has_blanks};
pub use selector::{Denial, Selector};
pub use user::User;

/// The user that clients are before they say who they are.
pub const DEFAULT: &[u8] = b"default";

/// Users by name, in the order in which they are listed.
type Users = BTreeMap<Box<[u8]>, Rc<User>>;

/// All users, and the log of what was denied.
pub struct AccessControl {
    users: Users,
    /// The one among them that is named [`DEFAULT`].
    default: Rc<User>,
    pub log: Log,
}

impl Default for AccessControl {
    fn default() -> AccessControl {
        AccessControl::new()
    }
}

impl AccessControl {
    /// The default user alone, which may do everything without a password.
    pub fn new() -> AccessControl {
        let default = Rc::new(User::all_powerful(DEFAULT));
        AccessControl { users: Users::from([(DEFAULT.into(), default.clone())]), default, log: Log::default() }
    }

    /// Who clients are before they authenticate.
    #[inline]
    pub fn default_user(&self) -> &Rc<User> {
        &self.default
    }

    /// Whether clients need not authenticate, because the default user is enabled and has no password.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.default.needs_no_password()
    }

    /// The user with a name.
    pub fn user(&self, name: &[u8]) -> Option<&Rc<User>> {
        self.users.get(name)
    }

    /// All users in the order of their names.
    pub fn users(&self) -> impl ExactSizeIterator<Item = &Rc<User>> {
        self.users.values()
    }

    /// Whether there is nobody but the default user, which may do everything and has this password, or none.
    pub fn is_plain(&self, password: &[u8]) -> bool {
        let mut plain = User::all_powerful(DEFAULT);
        plain.set_only_password(password);
        self.users.len() == 1 && *self.default == plain
    }

    /// The user, if the password is one of its passwords. It takes the same time whether the user exists or not.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<&Rc<User>> {
        let digest = user::digest(password);
        self.users.get(name).filter(|user| user.accepts(&digest))
    }

    /// What a user becomes by more rules; an unknown name means a new one. `open_channels` says whether what is created
    /// or reset may use all channels.
    ///
    /// # Errors
    /// A text that names the rule and what is wrong with it.
    pub fn revised(&self, name: &[u8], words: &[&[u8]], open_channels: bool) -> Result<User, Vec<u8>> {
        let rules = rule::merge(words).map_err(|at| {
            [b"Unmatched parenthesis in acl selector starting at '", until_nul(words[at]), b"'."].concat()
        })?;
        let mut user = match self.users.get(name) {
            Some(user) => User::clone(user),
            None => User::new(name, open_channels),
        };
        for rule in rules {
            user.apply(&rule, open_channels).map_err(|error| {
                let reason = error.to_string();
                [b"Error in ACL SETUSER modifier '", until_nul(&rule), b"': ", reason.as_bytes()].concat()
            })?;
        }
        Ok(user)
    }

    /// Puts a user in the place of the one with its name.
    pub fn publish(&mut self, user: User) {
        let user = Rc::new(user);
        if user.name() == DEFAULT {
            self.default = user.clone();
        }
        self.users.insert(user.name().into(), user);
    }

    /// Takes a user away; the default user stays.
    pub fn remove(&mut self, name: &[u8]) -> Option<Rc<User>> {
        if name == DEFAULT { None } else { self.users.remove(name) }
    }

    /// The default user with this password alone, or without any if it is empty.
    pub fn with_default_password(&self, password: &[u8]) -> User {
        let mut user = User::clone(&self.default);
        user.set_only_password(password);
        user
    }

    /// Takes in users that the settings declare: a name and then rules for each. The default user is declared from
    /// scratch, too.
    ///
    /// # Errors
    /// A text for the first rule that is wrong; it repeats nothing that may be a secret.
    pub fn declare(&mut self, declarations: &[Vec<Vec<u8>>], open_channels: bool) -> Result<(), String> {
        for declaration in declarations.iter().filter(|declaration| !declaration.is_empty()) {
            let user = declared(declaration, open_channels)?;
            if !user.is_enabled() {
                let name = String::from_utf8_lossy(user.name());
                ::log::info!("The user '{name}' is disabled, for its rules do not say 'on'. Is that meant so?");
            }
            self.publish(user);
        }
        Ok(())
    }

    /// Reads all users from the text of an ACL file, which `file` names in messages, and puts them in the place of all
    /// there are; without a default user among them there is a fresh one.
    ///
    /// # Errors
    /// A text that lists everything that is wrong in the file; nothing has changed then.
    pub fn load(&mut self, text: &[u8], file: &str, open_channels: bool) -> Result<(), Vec<u8>> {
        let mut users = file::parse(text, file, open_channels)?;
        let default = users.entry(DEFAULT.into()).or_insert_with(|| Rc::new(User::all_powerful(DEFAULT)));
        self.default = default.clone();
        self.users = users;
        Ok(())
    }

    /// The text of an ACL file that says the same.
    pub fn to_file(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for user in self.users() {
            text.extend_from_slice(b"user ");
            text.extend_from_slice(&user.describe());
            text.push(b'\n');
        }
        text
    }
}

/// The user that the settings declare with these words: a name and then rules.
///
/// # Errors
/// A text for the first rule that is wrong; it repeats nothing that may be a secret.
pub fn declared(declaration: &[Vec<u8>], open_channels: bool) -> Result<User, String> {
    let (name, words) = declaration.split_first().map_or((&[][..], &[][..]), |(name, words)| (name.as_slice(), words));
    // Where the quotes stand wrongly, the rules are in the name.
    let shown = name.split(|&byte| has_blanks(&[byte])).next().unwrap_or_default();
    let failed = |reason: String| format!("Error in user declaration '{}': {reason}", String::from_utf8_lossy(shown));
    if has_blanks(name) {
        return Err(failed("Spaces are not allowed in the name of a user".to_string()));
    }
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let rules = rule::merge(&words)
        .map_err(|at| failed(format!("Unmatched parenthesis, starting at '{}'", rule::shown(words[at]))))?;
    let mut user = User::new(name, open_channels);
    for rule in rules {
        user.apply(&rule, open_channels).map_err(|error| failed(format!("{error} (in '{}')", rule::shown(&rule))))?;
    }
    Ok(user)
}

/// What a message repeats of a client's bytes.
fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())]
}

#[cfg(test)]
mod tests;
