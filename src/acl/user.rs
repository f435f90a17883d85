//! A user: whether and how clients may become it, and its selectors.

use sha2::{Digest, Sha256};

use super::rule::RuleError;
use super::selector::{Denial, Selector, channel_fits};
use crate::command::table::{KeyFlags, Registered};
use crate::resp::Args;
use crate::types::number::hex;

/// A password is kept as its SHA-256 only.
type PasswordDigest = [u8; 32];

/// What a user may do, and how clients become it.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    name: Box<[u8]>,
    enabled: bool,
    /// Any password will do.
    no_password: bool,
    passwords: Vec<PasswordDigest>,
    /// RESTORE looks at what it is given in depth.
    sanitize_payload: bool,
    /// The first is the root: its rules stand outside of parentheses.
    root: Selector,
    others: Vec<Selector>,
}

impl User {
    /// A user as it is created: disabled and without rights, but perhaps for channels.
    pub fn new(name: &[u8], open_channels: bool) -> User {
        User {
            name: name.into(),
            enabled: false,
            no_password: false,
            passwords: Vec::new(),
            sanitize_payload: true,
            root: Selector::new(open_channels),
            others: Vec::new(),
        }
    }

    /// A user that may do everything, and needs no password.
    pub fn all_powerful(name: &[u8]) -> User {
        let mut user = User::new(name, true);
        for rule in ["on", "nopass", "allkeys", "allcommands"] {
            let applied = user.apply(rule.as_bytes(), true);
            debug_assert_eq!(applied, Ok(()));
        }
        user
    }

    /// The name; it has no blanks.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether clients may become it.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether any password will do.
    pub fn has_no_password(&self) -> bool {
        self.no_password
    }

    /// Whether clients become it without a password.
    pub fn needs_no_password(&self) -> bool {
        self.enabled && self.no_password
    }

    /// Whether RESTORE must look at what the user gives it in depth.
    pub fn sanitizes_payload(&self) -> bool {
        self.sanitize_payload
    }

    /// Whether there is nothing that it may not do, so that no command needs to be checked.
    pub fn may_everything(&self) -> bool {
        self.selectors().any(Selector::allows_everything)
    }

    /// Whether there is a command that it may write with.
    pub fn may_write(&self) -> bool {
        self.selectors().any(Selector::allows_writing)
    }

    /// All selectors, the root first.
    fn selectors(&self) -> impl Iterator<Item = &Selector> + Clone {
        std::iter::once(&self.root).chain(&self.others)
    }

    /// The selector of the rules outside of parentheses.
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// The selectors in parentheses.
    pub fn others(&self) -> &[Selector] {
        &self.others
    }

    /// The passwords' digests in hexadecimal digits.
    pub fn passwords(&self) -> impl ExactSizeIterator<Item = String> {
        self.passwords.iter().map(|digest| hex(digest))
    }

    /// The switches, as words.
    pub fn switches(&self) -> Vec<&'static str> {
        let mut words = vec![if self.enabled { "on" } else { "off" }];
        words.extend(self.no_password.then_some("nopass"));
        words.push(if self.sanitize_payload { "sanitize-payload" } else { "skip-sanitize-payload" });
        words
    }

    /// Whether clients may become it with a password of this digest. All passwords are compared in full, so that the
    /// time tells nothing of them.
    pub fn accepts(&self, digest: &PasswordDigest) -> bool {
        let fits = self.passwords.iter().fold(false, |fits, known| fits | same(known, digest));
        self.enabled && (self.no_password || fits)
    }

    /// Makes this the only password; an empty one stands for none at all.
    pub fn set_only_password(&mut self, password: &[u8]) {
        self.no_password = password.is_empty();
        self.passwords = if password.is_empty() { Vec::new() } else { vec![digest(password)] };
    }

    /// Applies a rule. `open_channels` says whether what is created or reset may use all channels.
    ///
    /// # Errors
    /// If it is none, or not possible; nothing has changed then.
    pub fn apply(&mut self, rule: &[u8], open_channels: bool) -> Result<(), RuleError> {
        let lower = rule.to_ascii_lowercase();
        match lower.as_slice() {
            b"" => {}
            b"on" => self.enabled = true,
            b"off" => self.enabled = false,
            b"skip-sanitize-payload" => self.sanitize_payload = false,
            b"sanitize-payload" => self.sanitize_payload = true,
            b"nopass" => (self.no_password, self.passwords) = (true, Vec::new()),
            b"resetpass" => (self.no_password, self.passwords) = (false, Vec::new()),
            b"clearselectors" => self.others = Vec::new(),
            b"reset" => *self = User::new(&self.name, open_channels),
            _ => match rule {
                [b'>', password @ ..] => self.add_password(digest(password)),
                [b'#', hash @ ..] => self.add_password(parse_hash(hash)?),
                [b'<', password @ ..] => self.remove_password(&digest(password))?,
                [b'!', hash @ ..] => self.remove_password(&parse_hash(hash)?)?,
                [b'(', rules @ .., b')'] => self.others.push(Selector::parse(rules, open_channels)?),
                _ => self.root.apply(rule)?,
            },
        }
        Ok(())
    }

    fn add_password(&mut self, digest: PasswordDigest) {
        if !self.passwords.contains(&digest) {
            self.passwords.push(digest);
        }
        self.no_password = false;
    }

    fn remove_password(&mut self, digest: &PasswordDigest) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| known == digest).ok_or(RuleError::NoSuchPassword)?;
        self.passwords.remove(at);
        Ok(())
    }

    /// Checks a command, whose name is the argument at `start`: one selector must allow it with all its keys and
    /// channels.
    ///
    /// # Errors
    /// What stands in its way, of the selector that comes closest.
    pub fn check(&self, command: &Registered, args: &Args<'_>, start: usize) -> Result<(), Denial> {
        let mut denial = match self.root.check(command, args, start) {
            Ok(()) => return Ok(()),
            Err(denial) => denial,
        };
        for selector in &self.others {
            match selector.check(command, args, start) {
                Ok(()) => return Ok(()),
                Err(other) => denial = denial.max(other),
            }
        }
        Err(denial)
    }

    /// Whether a command is allowed by a selector that also allows every key to be used so: what SORT asks before it
    /// follows the patterns of BY and GET to keys that nobody can tell beforehand.
    pub fn may_run_on_all_keys(&self, command: &Registered, args: &Args<'_>, flags: KeyFlags) -> bool {
        self.selectors().any(|selector| selector.allows_all_keys(flags) && selector.check(command, args, 0).is_ok())
    }

    /// Whether there are channels that it may use.
    pub fn has_channels(&self) -> bool {
        self.selectors().any(|selector| selector.has_all_channels() || selector.channels().next().is_some())
    }

    /// Whether it may use all channels.
    pub fn has_all_channels(&self) -> bool {
        self.selectors().any(Selector::has_all_channels)
    }

    /// Whether a client that is subscribed to a channel, or to a pattern of channels, may stay so.
    pub fn may_stay_subscribed(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.has_all_channels() || channel_fits(self.selectors().flat_map(Selector::channels), channel, is_pattern)
    }

    /// Its name and all its rules, as ACL LIST tells them and ACL files have them.
    pub fn describe(&self) -> Vec<u8> {
        let words = self.describe_words();
        words.join(&b' ')
    }

    /// The name and the rules, a selector being one word.
    pub fn describe_words(&self) -> Vec<Vec<u8>> {
        let mut words = vec![self.name.to_vec()];
        words.extend(self.switches().iter().map(|word| word.as_bytes().to_vec()));
        words.extend(self.passwords().map(|hash| format!("#{hash}").into_bytes()));
        words.extend(self.root.describe(true).split(|&byte| byte == b' ').map(<[u8]>::to_vec));
        words.extend(self.others.iter().map(|selector| [b"(", selector.describe(false).as_slice(), b")"].concat()));
        words
    }
}

/// Passwords and rules are nobody's business but those who ask for them.
impl std::fmt::Debug for User {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("User").field("name", &String::from_utf8_lossy(&self.name)).finish_non_exhaustive()
    }
}

/// What is kept of a password.
pub fn digest(password: &[u8]) -> PasswordDigest {
    Sha256::digest(password).into()
}

/// Whether two digests are the same, in a time that does not depend on where they differ.
fn same(a: &PasswordDigest, b: &PasswordDigest) -> bool {
    a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn parse_hash(hash: &[u8]) -> Result<PasswordDigest, RuleError> {
    let mut digest = PasswordDigest::default();
    if hash.len() != 2 * digest.len() {
        return Err(RuleError::BadHash);
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(RuleError::BadHash),
    };
    for (byte, digits) in digest.iter_mut().zip(hash.chunks_exact(2)) {
        *byte = value(digits[0])? << 4 | value(digits[1])?;
    }
    Ok(digest)
}
