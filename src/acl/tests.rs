use fastrand::Rng;

use super::*;
use crate::command::table;
use crate::resp::request::split_words;
use crate::resp::{Args, Limits, RequestParser};

/// Runs something on a command line as the arguments of a command.
fn with_args<T>(line: &str, run: impl FnOnce(&Args<'_>) -> T) -> T {
    let words = split_words(line.as_bytes()).expect("quotes are balanced");
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in &words {
        request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        request.extend_from_slice(word);
        request.extend_from_slice(b"\r\n");
    }
    let (mut at, mut spans) = (0, Vec::new());
    let limits = Limits { max_bulk: 1 << 20, authenticated: true };
    RequestParser::default().parse(&request, &mut at, &mut spans, limits).expect("the request is well-formed");
    run(&Args::new(&request, &spans, &mut []))
}

fn check(user: &User, line: &str) -> Result<(), Denial> {
    with_args(line, |args| {
        let command = table::named(&args[0]).expect("the command is known");
        let command = args.get(1).and_then(|word| command.subcommand(word)).unwrap_or(command);
        user.check(command, args, 0)
    })
}

/// A new user with these rules.
fn user(rules: &str) -> User {
    let words: Vec<&[u8]> = rules.split(' ').map(str::as_bytes).collect();
    AccessControl::new()
        .revised(b"alice", &words, false)
        .unwrap_or_else(|error| panic!("{rules}: {}", error.escape_ascii()))
}

fn commands(user: &User) -> String {
    String::from_utf8(user.root().describe_commands(true)).unwrap()
}

#[test]
fn rules_about_commands_are_told_in_their_order() {
    let cases = [
        ("", "-@all"),
        ("+@all", "+@all"),
        ("+get +@all", "+@all"),
        ("+get nocommands +set", "-@all +set"),
        ("+@all -@hash -@slow +hget", "+@all -@hash -@slow +hget"),
        ("+@all -@hash -@slow +hget -@hash", "+@all -@slow +hget -@hash"),
        ("+@hash -@HASH +@HaSh", "-@all +@hash"),
        ("+HGET +hget", "-@all +hget"),
        ("+client|list +client|kill +config|get +config +client|LIST", "-@all +client|kill +config +client|list"),
        ("+config +config|get -config|set +config", "-@all +config"),
        ("+select|0 +select|0 +select|X", "-@all +select|0 +select|x"),
        ("+select|0 +select", "-@all +select"),
        ("-@dangerous", "-@all -@dangerous"),
        ("+config|get -con", "error"),
    ];
    for (rules, expected) in cases {
        if expected == "error" {
            let words: Vec<&[u8]> = rules.split(' ').map(str::as_bytes).collect();
            assert!(AccessControl::new().revised(b"a", &words, false).is_err(), "{rules}");
            continue;
        }
        assert_eq!(commands(&user(rules)), expected, "{rules}");
    }
}

#[test]
fn what_is_no_rule_is_refused_and_changes_nothing() {
    use RuleError::*;
    let cases: &[(&[u8], RuleError)] = &[
        (b"+nosuch", Unknown),
        (b"+", Unknown),
        (b"-", Unknown),
        (b"+@nosuch", Unknown),
        (b"+@", Unknown),
        (b"+|x", Unknown),
        (b"+config|nosuch", Unknown),
        (b"-config|nosuch", Unknown),
        (b"-select|0", Unknown),
        (b"+get|a|b", Unknown),
        (b"+config|get|port", FirstArgOfSubcommand),
        (b"+config|", Syntax),
        (b"+select|", Syntax),
        (b"+select|a b", Syntax),
        (b"nonsense", Syntax),
        (b"~a b", Syntax),
        (b"~a\0", Syntax),
        (b"%~a", Syntax),
        (b"%RR~a", Syntax),
        (b"%X~a", Syntax),
        (b"%R", Syntax),
        (b"&a\tb", Syntax),
        (b"(", Syntax),
        (b")", Syntax),
        (b" () ", Syntax),
        (b"(on)", Syntax),
        (b"((+get))", Syntax),
        (b"(~* ~a)", KeysAfterAll),
        (b"(&* &a)", ChannelsAfterAll),
        (b"<nosuch", NoSuchPassword),
        (b"!34344e4d60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4e6", NoSuchPassword),
        (b"!34", BadHash),
        (b"#34344e4d60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4e", BadHash),
        (b"#34344E4d60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4e6", BadHash),
    ];
    for (rule, expected) in cases {
        let mut user = User::new(b"alice", false);
        assert_eq!(user.apply(rule, false), Err(*expected), "{}", rule.escape_ascii());
        assert!(user == User::new(b"alice", false), "{}", rule.escape_ascii());
    }
    let mut user = user("~* &*");
    assert_eq!(user.apply(b"~a", false), Err(KeysAfterAll));
    assert_eq!(user.apply(b"%R~a", false), Err(KeysAfterAll));
    assert_eq!(user.apply(b"%nonsense", false), Err(KeysAfterAll));
    assert_eq!(user.apply(b"&a", false), Err(ChannelsAfterAll));
}

#[test]
fn selectors_may_be_spread_over_words() {
    /// Words, and what becomes of them: joined, or the position of the one that is wrong.
    type Case<'a> = (&'a [&'a str], Result<&'a [&'a str], usize>);
    let cases: &[Case<'_>] = &[
        (&["on", "(+get", "~a)", "off"], Ok(&["on", "(+get ~a)", "off"])),
        (&["(", "~a", "+get", ")", "(~b)"], Ok(&["( ~a +get )", "(~b)"])),
        (&["()"], Ok(&["()"])),
        (&[")"], Ok(&[")"])),
        (&["on", "(+get", "(+set"], Err(1)),
        (&["("], Err(0)),
        (&["", "on"], Ok(&["", "on"])),
    ];
    for (words, expected) in cases {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let expected = expected.map(|rules| rules.iter().map(|rule| rule.as_bytes().to_vec()).collect::<Vec<_>>());
        assert_eq!(rule::merge(&words), expected);
    }
}

#[test]
fn a_command_runs_if_one_selector_allows_all_of_it() {
    let (command, key) = (Err(Denial::Command), |at| Err(Denial::Key(at)));
    let cases = [
        ("", "get k", command),
        ("+get", "get k", key(1)),
        ("+get ~*", "get k", Ok(())),
        ("+get ~a* ~b*", "get bc", Ok(())),
        ("+get ~a*", "get bc", key(1)),
        ("+get %R~a", "get a", Ok(())),
        ("+get %W~a", "get a", key(1)),
        ("+set %W~a", "set a v", Ok(())),
        ("+set %W~a", "set a v get", key(1)),
        ("+set %R~a %W~a", "set a v get", Ok(())),
        ("+exists %W~a", "exists a", Ok(())),
        ("+copy %R~a %W~b", "copy a b", Ok(())),
        ("+copy %R~a %W~b", "copy b a", key(1)),
        ("(+copy %R~a) (+copy %W~b)", "copy a b", key(2)),
        ("+mget ~key (+mget ~key ~otherkey)", "mget key otherkey some", key(3)),
        ("(+@write ~w:*) (+@read ~r:*)", "get r:1", Ok(())),
        ("(+@write ~w:*) (+@read ~r:*)", "get w:1", key(1)),
        ("(+@write ~w:*) (+@read ~r:*)", "ping", command),
        ("+select|0", "select 0", Ok(())),
        ("+select|0", "select 1", command),
        ("+config|get", "config get port", Ok(())),
        ("+config|get", "config set port 1", command),
        ("+@all -config|set", "config set port 1", command),
        ("+@all -config|set", "config get port", Ok(())),
        ("+@all -config", "config get port", command),
        ("+config -config|set", "config set port 1", command),
        ("", "auth secret", Ok(())),
        ("", "hello 3", Ok(())),
        ("+zunionstore ~a", "zunionstore a nonsense a", Ok(())),
    ];
    for (rules, line, expected) in cases {
        assert_eq!(check(&user(rules), line), expected, "{rules}: {line}");
    }
}

#[test]
fn all_rights_are_told_apart() {
    let cases = [
        ("+@all ~* &*", true),
        ("+@all ~* &* -get", false),
        ("+@all ~*", false),
        ("+@all &*", false),
        ("~* &* +@all resetkeys ~a", false),
        ("(+@all ~* &*)", true),
        ("(+@all ~*) (&*)", false),
    ];
    for (rules, everything) in cases {
        assert_eq!(user(rules).may_everything(), everything, "{rules}");
    }
    let rules = user("(+get ~a) (+get %R~*) (+set ~*)");
    let read = table::KeyFlags::READS;
    with_args("get b", |args| {
        assert!(rules.may_run_on_all_keys(table::named(b"get").unwrap(), args, read));
        assert!(!user("+get ~?*").may_run_on_all_keys(table::named(b"get").unwrap(), args, read));
    });
}

#[test]
fn passwords_are_compared_as_bytes() {
    let mut acl = AccessControl::new();
    let words: [&[u8]; 3] = [b"on", b">\xff\0x", b">two"];
    acl.publish(acl.revised(b"alice", &words, false).unwrap());
    let accepts = |name: &[u8], password: &[u8]| acl.authenticate(name, password).is_some();
    assert!(accepts(b"alice", b"\xff\0x") && accepts(b"alice", b"two"));
    assert!(!accepts(b"alice", b"\xff") && !accepts(b"alice", b"") && !accepts(b"bob", b"two"));
    assert!(accepts(b"default", b"anything"));
    acl.publish(acl.revised(b"alice", &[b"off"], false).unwrap());
    assert!(acl.authenticate(b"alice", b"two").is_none());
    acl.publish(acl.with_default_password(b"x"));
    assert!(!acl.is_open() && acl.authenticate(b"default", b"x").is_some());
    assert!(!acl.is_plain(b"x"));
    acl.remove(b"alice");
    assert!(acl.is_plain(b"x") && !acl.is_plain(b""));
}

#[test]
fn channels_are_allowed_by_name_and_patterns_as_they_are() {
    for (rules, some, all) in
        [("", false, false), ("&a", true, false), ("(&a)", true, false), ("&*", true, true), ("(&*)", true, true)]
    {
        assert_eq!((user(rules).has_channels(), user(rules).has_all_channels()), (some, all), "{rules}");
    }
    let user = user("&a* (&b)");
    assert!(user.may_stay_subscribed(b"ab", false) && user.may_stay_subscribed(b"b", false));
    assert!(user.may_stay_subscribed(b"a*", true) && !user.may_stay_subscribed(b"ab*", true));
    assert!(!user.may_stay_subscribed(b"c", false));
}

#[test]
fn a_file_is_taken_whole_or_not_at_all() {
    let mut acl = AccessControl::new();
    let text = b"user alice on >x ~a (+get\t ~rw*) +@set\r\n\n  user bob off resetchannels &a \n";
    acl.load(text, "users.acl", false).unwrap();
    assert_eq!(acl.users().map(|user| user.name().to_vec()).collect::<Vec<_>>(), [&b"alice"[..], b"bob", b"default"]);
    assert!(acl.is_open());
    let saved = acl.to_file();
    acl.load(&saved, "users.acl", false).unwrap();
    assert_eq!(acl.to_file(), saved);

    const END: &str = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
    let cases = [
        ("alice on", "f:1 should start with user keyword followed by the username. "),
        ("USER alice", "f:1 should start with user keyword followed by the username. "),
        ("user", "f:1 should start with user keyword followed by the username. "),
        ("\nuser a\tb", "'f:2: username 'a\tb' contains invalid characters. "),
        ("user a\nuser a on", "WARNING: Duplicate user 'a' found on line 2. "),
        ("user a (+get", "f:1: Unmatched parenthesis in selector definition."),
        (
            "user a +x nonsense -y more",
            "f:1: Error in applying operation '+x': Unknown command or category name in ACL. f:1: Syntax error. f:1: \
             Error in applying operation '-y': Unknown command or category name in ACL. ",
        ),
        (
            "user a #secret",
            "f:1: The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters. ",
        ),
    ];
    for (text, expected) in cases {
        let error = acl.load(text.as_bytes(), "f", false).unwrap_err();
        assert_eq!(String::from_utf8_lossy(&error), format!("{expected}{END}"), "{text}");
        assert_eq!(acl.to_file(), saved);
    }
}

#[test]
fn declarations_hide_secrets() {
    let declare = |words: &[&str]| {
        let declaration = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        AccessControl::new().declare(&[declaration], false)
    };
    assert_eq!(declare(&["alice", "on", ">x", "(+get", "~a)"]), Ok(()));
    for words in [&["alice", "<sesame"][..], &["alice", "#sesame"], &["alice", "!sesame"]] {
        let error = declare(words).unwrap_err();
        assert!(error.contains("alice") && !error.contains("sesame"), "{error}");
    }
    assert!(declare(&["a b"]).is_err() && declare(&["a", "(+get"]).is_err() && declare(&["a", "nonsense"]).is_err());
}

#[test]
fn like_denials_are_one_entry() {
    let mut log = Log::default();
    let note = |log: &mut Log, object: &str, now_ms| {
        let denied = Denied {
            reason: Reason::Key,
            context: Context::TopLevel,
            object: object.as_bytes(),
            username: b"alice",
            client: format!("at {now_ms}"),
            now_ms,
        };
        log.note(denied, 13);
    };
    note(&mut log, "a", 1000);
    note(&mut log, "b", 2000);
    note(&mut log, "a", 61_000);
    let seen: Vec<_> = log.entries().map(|entry| (entry.id, entry.count, entry.created_ms, entry.updated_ms)).collect();
    assert_eq!(seen, [(0, 2, 1000, 61_000), (1, 1, 2000, 2000)]);
    // The last time counts.
    note(&mut log, "a", 121_000);
    note(&mut log, "a", 181_001);
    assert_eq!(log.entries().map(|entry| (entry.id, entry.count)).collect::<Vec<_>>(), [(2, 1), (0, 3), (1, 1)]);
    // Behind ten others nobody looks.
    (0..10).for_each(|other| note(&mut log, &other.to_string(), 181_002));
    note(&mut log, "a", 181_003);
    assert_eq!(log.entries().map(|entry| entry.count).max(), Some(3));
    assert_eq!(log.entries().len(), 13);
    assert_eq!(log.count(Reason::Key), 16);
    log.clear();
    assert_eq!((log.entries().len(), log.count(Reason::Key), log.count(Reason::Auth)), (0, 16, 0));
}

/// A word of bytes that rules and their texts could trip over.
fn nasty_word(rng: &mut Rng) -> Vec<u8> {
    const BYTES: &[u8] = b"ab*?[]|()\"'\\%~&+-#<>@\xff\x80\x01";
    (0..rng.usize(1..6)).map(|_| BYTES[rng.usize(..BYTES.len())]).collect()
}

fn random_rule(rng: &mut Rng, commands: &[&'static table::Registered]) -> Vec<u8> {
    let command = commands[rng.usize(..commands.len())];
    let sign: &[u8] = if rng.bool() { b"+" } else { b"-" };
    let category = table::CATEGORY_NAMES[rng.usize(..table::CATEGORY_NAMES.len())].1;
    match rng.u8(..24) {
        0 => b"+@all".to_vec(),
        1 => b"-@all".to_vec(),
        2..6 => [sign, b"@", category.as_bytes()].concat(),
        6..11 => [sign, command.full_name.to_uppercase().as_bytes()].concat(),
        11 => [b"+select|", nasty_word(rng).as_slice()].concat(),
        12..15 => [b"~", nasty_word(rng).as_slice()].concat(),
        15 => [b"%R~", nasty_word(rng).as_slice()].concat(),
        16 => [b"%w~", nasty_word(rng).as_slice()].concat(),
        17 => [b"%rW~", nasty_word(rng).as_slice()].concat(),
        18..20 => [b"&", nasty_word(rng).as_slice()].concat(),
        20 => b"allkeys".to_vec(),
        21 => b"resetkeys".to_vec(),
        22 => b"allchannels".to_vec(),
        _ => b"resetchannels".to_vec(),
    }
}

/// What ACL LIST tells of a user makes the same user, in ACL SETUSER, in an ACL file and in a settings file.
#[test]
fn a_user_that_is_told_can_be_read_back() {
    let commands: Vec<_> = table::all().map(|id| id.registered()).collect();
    for seed in 0..2000 {
        let mut rng = Rng::with_seed(seed);
        let mut user = User::new(b"alice", rng.bool());
        let mut other = Selector::new(rng.bool());
        for _ in 0..rng.usize(..20) {
            let rule = random_rule(&mut rng, &commands);
            let before = other.clone();
            match rng.u8(..8) {
                0..3 => {
                    if other.apply(&rule).is_err() {
                        assert!(other == before, "{}", rule.escape_ascii());
                    }
                }
                3 => {
                    let words = [b"(", other.describe(false).as_slice(), b")"].concat();
                    assert_eq!(user.apply(&words, false), Ok(()), "{}", words.escape_ascii());
                    assert!(user.others().last() == Some(&other), "{}", words.escape_ascii());
                    other = Selector::new(rng.bool());
                }
                4 => {
                    let word = [&b">#<!"[rng.usize(..4)..][..1], &nasty_word(&mut rng)].concat();
                    // Hashes and removals fail.
                    let _ = user.apply(&word, false);
                }
                5 => {
                    const WORDS: [&str; 6] =
                        ["on", "off", "nopass", "resetpass", "skip-sanitize-payload", "sanitize-payload"];
                    user.apply(WORDS[rng.usize(..6)].as_bytes(), false).unwrap();
                }
                _ => {
                    let before = user.clone();
                    if user.apply(&rule, false).is_err() {
                        assert!(user == before, "{}", rule.escape_ascii());
                    }
                }
            }
        }
        let told = user.describe();
        let words: Vec<&[u8]> = told.split(|&byte| byte == b' ').collect();
        for open_channels in [false, true] {
            let acl = AccessControl::new();
            let again = acl.revised(b"alice", &words[1..], open_channels);
            assert!(again.as_ref() == Ok(&user), "seed {seed}: {}: {again:?}", told.escape_ascii());
            let mut acl = AccessControl::new();
            acl.load(&[b"user ", told.as_slice(), b"\n"].concat(), "f", open_channels).unwrap();
            assert!(**acl.user(b"alice").unwrap() == user, "seed {seed}: {}", told.escape_ascii());
            let mut acl = AccessControl::new();
            acl.declare(&[user.describe_words()], open_channels).unwrap();
            assert!(**acl.user(b"alice").unwrap() == user, "seed {seed}: {}", told.escape_ascii());
        }
    }
}

#[test]
fn hostile_rules_do_no_harm() {
    let commands: Vec<_> = table::all().map(|id| id.registered()).collect();
    for seed in 0..2000 {
        let mut rng = Rng::with_seed(seed);
        let mut rule = random_rule(&mut rng, &commands);
        for _ in 0..rng.usize(..4) {
            match rng.u8(..3) {
                0 if !rule.is_empty() => drop(rule.remove(rng.usize(..rule.len()))),
                1 => rule.insert(rng.usize(..=rule.len()), rng.u8(..)),
                _ => rule = [b"(", rule.as_slice(), b")"].concat(),
            }
        }
        let mut user = User::new(b"alice", false);
        let before = user.clone();
        if user.apply(&rule, false).is_err() {
            assert!(user == before, "{}", rule.escape_ascii());
        }
        let lines = [b"user alice ", rule.as_slice(), b"\nuser bob ", &nasty_word(&mut rng)].concat();
        let mut acl = AccessControl::new();
        if acl.load(&lines, "f", false).is_err() {
            assert_eq!(acl.users().len(), 1);
        }
    }
}
