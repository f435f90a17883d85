//! The redis.conf grammar: one directive a line, `#` comments, `include`.
//!
//! Includes are read where they stand. Their paths may hold `*`, `?` and `[…]`; a pattern that matches nothing is no
//! problem. A relative path is looked for in the directory that `dir` has named last, or else the server was started in, then
//! beside the including file.

use std::path::{Path, PathBuf};

use super::kind::{BAD_DIRECTIVE, Kind};
use super::load::{Collector, Place, shorten};
use super::registry::{SETTINGS, Setting};
use super::{text, words};
use crate::observe::reason;

/// Levels of includes, the first file not counted.
const MAX_DEPTH: usize = 16;

/// Directives of older versions that have no effect: accepted with one value.
const FORGOTTEN: [&str; 3] = ["list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"];

/// Takes in all lines of `text`; `name` is the file in messages.
pub(super) fn read(collector: &mut Collector, text: &[u8], name: &str) {
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if collector.is_full() {
            return;
        }
        read_line(collector, line, Place::Line { file: name, number: index + 1 });
    }
}

/// Takes in one line.
pub(super) fn read_line(collector: &mut Collector, line: &[u8], place: Place) {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return;
    }
    let shown = String::from_utf8_lossy(line);
    let words = if line.contains(&0) { Err("the line holds a NUL byte") } else { words::split_text(line) };
    let words = match words {
        Ok(words) => words,
        Err(reason) => return collector.refuse(place, without_secrets(&shown), reason),
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((name, values)) = words.split_first() else { return };
    let name = name.to_ascii_lowercase();
    match find(&name, place) {
        Some(setting) => assign(collector, setting, values, place, &shown),
        None if name == "include" && values.len() == 1 => include(collector, values[0], place, &shown),
        None if name == "sentinel" => {
            collector.refuse(place, shorten(&shown), "sentinel directive while not in sentinel mode");
        }
        None if FORGOTTEN.contains(&name.as_str()) && values.len() == 1 => {}
        None => collector.refuse(place, shorten(&shown), BAD_DIRECTIVE),
    }
}

/// The setting with this name; flags have a few short names, too.
pub(super) fn find(name: &str, place: Place) -> Option<&'static Setting> {
    let short = || SETTINGS.iter().find(|setting| matches!(place, Place::Flag) && setting.short_flag == Some(name));
    Setting::find(name).map(|(setting, _)| setting).or_else(short)
}

fn assign(collector: &mut Collector, setting: &'static Setting, values: &[&str], place: Place, shown: &str) {
    // One quoted word may hold a whole list: --bind "127.0.0.1 ::1".
    if let [list] = values
        && setting.kind.takes_many_words()
        && !setting.kind.is_directive()
        && !list.is_empty()
    {
        return match words::split_text(&text::to_bytes(list)) {
            Ok(words) => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                collector.assign(setting, &words, place, shown);
            }
            Err(reason) => collector.refuse(place, shorten(shown), reason),
        };
    }
    collector.assign(setting, values, place, shown);
    if matches!(setting.kind, Kind::Directory) {
        collector.enter_directory();
    }
}

/// The line, but only its name if that is of a secret.
fn without_secrets(line: &str) -> String {
    let name = line.split([' ', '\t', '"', '\'']).next().unwrap_or_default();
    match Setting::find(name) {
        Some((setting, _)) if setting.is_sensitive() => format!("{name} (redacted)"),
        _ => shorten(line),
    }
}

fn include(collector: &mut Collector, pattern: &str, place: Place, shown: &str) {
    if collector.open_files.len() > MAX_DEPTH {
        return collector.refuse(
            place,
            shorten(shown),
            format!("files are included more than {MAX_DEPTH} levels deep"),
        );
    }
    let beside = collector.open_files.last().and_then(|file| file.parent()).map(|folder| folder.join(pattern));
    let here = collector.base.join(pattern);
    let files = if pattern.contains(['*', '?', '[']) {
        let found = matching_files(&here);
        if found.is_empty() { beside.map(|path| matching_files(&path)).unwrap_or_default() } else { found }
    } else {
        let is_there = Path::new(pattern).is_absolute() || here.exists();
        vec![if is_there { here } else { beside.filter(|path| path.exists()).unwrap_or(here) }]
    };
    for file in files {
        let name = file.display().to_string();
        let text = file.canonicalize().and_then(|canonical| {
            if collector.open_files.contains(&canonical) {
                return Err(std::io::Error::other("the file includes itself"));
            }
            let text = collector.read_conf_file(&canonical)?;
            collector.open_files.push(canonical);
            Ok(text)
        });
        match text {
            Ok(text) => {
                read(collector, &text, &name);
                collector.open_files.pop();
            }
            Err(error) => {
                let reason = format!("can't open config file '{name}': {}", reason(&error));
                collector.refuse(place, shorten(shown), reason);
            }
        }
    }
}

/// Files that match a pattern with wildcards, in the order of their names.
fn matching_files(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let part = component.as_os_str().to_string_lossy();
        if !part.contains(['*', '?', '[']) {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        }
        found = found.iter().flat_map(|folder| matching_entries(folder, &part)).collect();
    }
    found.retain(|path| path.exists());
    found.sort();
    found
}

fn matching_entries(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(listed).into_iter().flatten().flatten();
    let matching = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        // As in the shell: hidden files want an explicit dot.
        (!name.starts_with(b".") || pattern.starts_with('.')) && name_matches(pattern.as_bytes(), name)
    });
    matching.map(|entry| folder.join(entry.file_name())).collect()
}

/// Whether a file name matches `*`, `?`, `[a-z]`, `[!a-z]` and plain bytes.
fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at_pattern, mut at_name) = (0, 0);
    let mut star = None;
    loop {
        let rest = &pattern[at_pattern..];
        if rest.first() == Some(&b'*') {
            star = Some((at_pattern + 1, at_name));
            at_pattern += 1;
            continue;
        }
        if at_name == name.len() {
            return rest.is_empty();
        }
        match match_one(rest, name[at_name]) {
            Some(used) => {
                at_pattern += used;
                at_name += 1;
            }
            // Let the last star take one byte more.
            None => match star {
                Some((after_star, taken)) => {
                    star = Some((after_star, taken + 1));
                    (at_pattern, at_name) = (after_star, taken + 1);
                }
                None => return false,
            },
        }
    }
}

/// Matches one byte; returns how much of the pattern that took.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', set @ ..] => {
            let negated = matches!(set.first(), Some(b'!' | b'^'));
            let members = &set[usize::from(negated)..];
            // A bracket that stands first is a member.
            let close = members.iter().skip(1).position(|member| *member == b']')? + 1;
            let mut members = &members[..close];
            let mut is_member = false;
            while let Some((low, rest)) = members.split_first() {
                let (high, rest) = match rest {
                    [b'-', high, rest @ ..] => (high, rest),
                    _ => (low, rest),
                };
                is_member |= (*low..=*high).contains(&byte);
                members = rest;
            }
            (is_member != negated).then_some(close + 2 + usize::from(negated))
        }
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Folder;
    use super::super::*;
    use super::*;

    fn read_all(text: impl AsRef<[u8]>) -> (Settings, Vec<(String, String, String)>) {
        let mut collector = Collector::default();
        read(&mut collector, text.as_ref(), "test.conf");
        let problems = collector.problems.0.into_iter();
        (collector.settings, problems.map(|problem| (problem.place, problem.shown, problem.reason)).collect())
    }

    #[test]
    fn directives_of_every_form_are_accepted() {
        let text = concat!(
            "# a comment with \u{e9}\n\n",
            "PORT 7777\r\n",
            "  bind 127.0.0.1 ::1\t\n",
            "logfile ''\n",
            "requirepass \"a b\\x41\"\n",
            "save 900 1\nsave 300 10 60 10000\n",
            "client-output-buffer-limit slave 1mb 2mb 3\n",
            "slave-priority 7\n",
            "list-max-ziplist-entries 5\nlua-replicate-commands no\n",
            "rename-command FLUSHALL \"\"\nrename-command CONFIG b840\n",
            "user alice on >x ~*\nuser bob off\n",
            "loadmodule /lib/m.so arg 'two words'\n",
            "oom-score-adj-values \"1 2 3\"\n",
            "replicaof 10.0.0.1 6379\n",
            "databases 4\ndatabases 5\n",
        );
        let (settings, problems) = read_all(text);
        assert_eq!(problems, []);
        let shown = |name: &str| settings.get(name).unwrap();
        assert_eq!(settings.port, 7777);
        assert_eq!(settings.bind, ["127.0.0.1", "::1"]);
        assert_eq!(settings.requirepass, "a bA");
        assert_eq!(shown("save"), "900 1 300 10 60 10000");
        assert_eq!(settings.client_output_buffer_limits[1].soft_bytes, 2 << 20);
        assert_eq!(settings.replica_priority, 7);
        assert_eq!(settings.rename_command, [["FLUSHALL", ""], ["CONFIG", "b840"]]);
        assert_eq!(settings.user, [vec!["alice", "on", ">x", "~*"], vec!["bob", "off"]]);
        assert_eq!(settings.loadmodule, [["/lib/m.so", "arg", "two words"]]);
        assert_eq!(shown("oom-score-adj-values"), "1 2 3");
        assert_eq!(shown("slaveof"), "10.0.0.1 6379");
        assert_eq!(settings.databases, 5);
    }

    #[test]
    fn an_empty_save_clears_what_came_before() {
        for (text, save) in [
            ("", "3600 1 300 100 60 10000"),
            ("save 100 100", "100 100"),
            ("save ''", ""),
            ("save 900 1\nsave \"\"", ""),
            ("save ''\nsave 900 1", "900 1"),
        ] {
            assert_eq!(read_all(text).0.get("save").as_deref(), Some(save), "{text}");
        }
    }

    #[test]
    fn every_problem_is_reported_with_its_line() {
        let cases: &[(&[u8], &str, &str)] = &[
            (b"port", "port", "wrong number of arguments"),
            (b"port 1 2", "port 1 2", "wrong number of arguments"),
            (b"port \"--bla\"", "port \"--bla\"", "argument couldn't be parsed into an integer"),
            (b"nothing here", "nothing here", "Bad directive or wrong number of arguments"),
            (b"\"\"", "\"\"", "Bad directive or wrong number of arguments"),
            (b"include", "include", "Bad directive or wrong number of arguments"),
            (b"module.setting x", "module.setting x", "Bad directive or wrong number of arguments"),
            (b"lua-replicate-commands", "lua-replicate-commands", "Bad directive or wrong number of arguments"),
            (b"sentinel monitor a", "sentinel monitor a", "sentinel directive while not in sentinel mode"),
            (b"rename-command A", "rename-command A", "Bad directive or wrong number of arguments"),
            (b"logfile 'a", "logfile 'a", "Unbalanced quotes in configuration line"),
            (b"requirepass 'sesame", "requirepass (redacted)", "Unbalanced quotes in configuration line"),
            (b"requirepass sesame x", "requirepass (redacted)", "wrong number of arguments"),
            (b"bind \"a 'b\"", "bind \"a 'b\"", "Unbalanced quotes in configuration line"),
            (b"logfile a\0b", "logfile a\0b", "the line holds a NUL byte"),
            (b"logfile \"a\\x00\"", "logfile \"a\\x00\"", "argument must not contain a NUL byte"),
            (b"logfile \xff", "logfile \u{fffd}", "argument must be valid UTF-8"),
            (b"replicaof 127.0.0.1 abc", "replicaof 127.0.0.1 abc", "Invalid master port"),
            (
                b"include /no/such/file",
                "include /no/such/file",
                "can't open config file '/no/such/file': No such file or directory",
            ),
            (b"include /dev", "include /dev", "can't open config file '/dev': Is a directory"),
        ];
        let text: Vec<&[u8]> = cases.iter().map(|(line, ..)| *line).collect();
        let (_, problems) = read_all(text.join(&b'\n'));
        assert_eq!(problems.len(), cases.len());
        for ((index, (_, shown, reason)), problem) in cases.iter().enumerate().zip(&problems) {
            let place = format!("Reading test.conf, at line {}", index + 1);
            assert_eq!(problem, &(place, (*shown).to_owned(), (*reason).to_owned()));
        }
    }

    #[test]
    fn a_user_may_be_declared_once() {
        let (settings, problems) = read_all("user foo\nuser default on\nuser foo off");
        assert!(problems[0].2.contains("'foo': Duplicate user found"), "{problems:?}");
        assert_eq!(settings.user.len(), 2);
    }

    #[test]
    fn hostile_files_end_soon() {
        let (_, problems) = read_all("nonsense\n".repeat(1_000_000));
        assert_eq!(problems.len(), 50);
        let (settings, problems) = read_all("\"".repeat(1_000_000));
        assert_eq!((problems.len(), settings.port), (1, 6380));
        assert!(problems[0].1.len() < 300);
        for line in ["port 1\n", "save 1 1\n", "user u\n", "client-output-buffer-limit normal 1 1 1\n", "include /no\n"]
        {
            read_all(line.repeat(50_000));
        }
        let users: String = (0..50_000).map(|number| format!("user u{number}\nnamespace n{number} 0 0\n")).collect();
        let (settings, problems) = read_all(users);
        assert_eq!(problems[0].2, "there are more than 10000 namespaces");
        assert_eq!(settings.namespaces.len(), 10_000);
    }

    #[test]
    fn includes_are_read_where_they_stand() {
        let folder = Folder::new();
        folder.write("parts/b.conf", "port 2\nmaxclients 20");
        folder.write("parts/a.conf", "port 1\nhz 11");
        folder.write("parts/.hidden.conf", "port 3");
        folder.write("parts/c.txt", "port 4");
        let main = folder.write(
            "main.conf",
            "port 9\ninclude parts/[a-b]*.conf\ninclude empty/*.conf\nmaxclients 7\ninclude parts/c.txt",
        );
        let loaded = load(&main);
        assert_eq!((loaded.port, loaded.hz, loaded.maxclients), (4, 11, 7));
    }

    fn load(path: &str) -> Settings {
        match try_load(path) {
            Ok(settings) => settings,
            Err(problems) => panic!("{problems}"),
        }
    }

    fn try_load(path: &str) -> Result<Settings, Problems> {
        match Settings::load(&[path.to_owned()], &|_| None, &mut std::io::empty())? {
            Invocation::Serve(loaded) => Ok(loaded.settings),
            Invocation::Print(text) => panic!("{text}"),
        }
    }

    #[test]
    fn includes_that_never_end_are_refused() {
        let folder = Folder::new();
        folder.write("a.conf", "include b.conf");
        let cycle = folder.write("b.conf", "include a.conf");
        let problems = try_load(&cycle).err().unwrap();
        assert!(problems.0[0].reason.ends_with("the file includes itself"), "{problems}");

        for level in 0..40 {
            folder.write(&format!("deep{level}.conf"), format!("include deep{}.conf", level + 1));
        }
        let problems = try_load(folder.path().join("deep0.conf").to_str().unwrap()).err().unwrap();
        assert_eq!(problems.0[0].reason, "files are included more than 16 levels deep");
    }

    #[test]
    fn file_names_are_matched_as_in_a_shell() {
        let cases = [
            ("*", "anything", true),
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf~", false),
            ("a*b*c", "aXbYbc", true),
            ("a*b*c", "aXbYb", false),
            ("?", "", false),
            ("?", "é", false),
            ("[a-c]1", "b1", true),
            ("[!a-c]1", "b1", false),
            ("[^a]", "b", true),
            ("[]x]", "]", true),
            ("[", "[", false),
            ("[a-", "a", false),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(name_matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
