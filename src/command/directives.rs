//! What is to be said against the directives of a settings file that only commands and ACL rules can judge:
//! `rename-command` and `user`.

use super::table::Names;
use crate::acl;
use crate::config::{AclPubsubDefault, Misfit, Settings, text};

/// Finds the lines that ask for something impossible: of `user` all of them, of `rename-command` the first, for those
/// that follow it count on what it does. Commands of plugins are known only once they have joined the table.
pub fn judge(settings: &Settings) -> Vec<Misfit> {
    let renaming = Names::new(&settings.rename_command).err();
    let renaming = renaming.map(|(at, reason)| Misfit { directive: "rename-command", at, reason: reason.to_string() });
    let open_channels = settings.acl_pubsub_default == AclPubsubDefault::AllChannels;
    let users = settings.user.iter().enumerate().filter_map(|(at, words)| {
        let words: Vec<Vec<u8>> = words.iter().map(|word| text::to_bytes(word)).collect();
        let reason = acl::declared(&words, open_channels).err()?;
        Some(Misfit { directive: "user", at, reason })
    });
    renaming.into_iter().chain(users).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<Vec<String>> {
        lines.iter().map(|line| line.split(' ').map(str::to_string).collect()).collect()
    }

    #[test]
    fn impossible_lines_are_found() {
        let settings = Settings {
            rename_command: lines(&["GET FETCH", "SET get", "NOPE X", "DEL fetch"]),
            user: lines(&["alice on >x", "bob on foo", "carol off ( +get", "dave (~a* +get)"]),
            ..Settings::default()
        };
        let found: Vec<String> = judge(&settings)
            .into_iter()
            .map(|Misfit { directive, at, reason }| format!("{directive} {at} {reason}"))
            .collect();
        let expected = [
            "rename-command 2 No such command in rename-command",
            "user 1 Error in user declaration 'bob': Syntax error (in 'foo')",
            "user 2 Error in user declaration 'carol': Unmatched parenthesis, starting at '('",
        ];
        assert_eq!(found, expected);
        let settings = Settings { rename_command: lines(&["GET SET"]), ..Settings::default() };
        assert_eq!(judge(&settings)[0].reason, "Target command name already exists");
        assert_eq!(judge(&Settings::default()), []);
    }
}
