//! The syntax of a command's arguments, as the table writes it, and the tree that COMMAND DOCS makes of it.
//!
//! ```text
//! syntax    = sequence { "|" sequence }             one of them
//! sequence  = { element }
//! element   = WORD                                  a literal: has no small letter (NX, *, 0)
//!           | word                                  a value
//!           | "[" syntax "]"                        may be left out
//!           | "<" syntax ">"                        keeps together
//!           | "[" syntax "...]"                     comes any number of times
//!           | "<" syntax "...>"                     comes once or more
//! ```
//!
//! The first thing behind a bracket may be a name and a colon, `[condition: NX | XX]`: what the brackets hold goes by that
//! name then. Without one, a value has the name that is written, and several things have one made of theirs.
//!
//! A literal introduces the values that follow it up to the next literal or the next thing that may be left out: in
//! `COUNT count [ANY]` it is the token of `count`. In `key [key ...]` what comes any number of times stands before, and
//! so comes once at least. The type of a value follows from its name, save for keys: which values are keys, the
//! command's key specifications say.

use super::table::{Begin, Command, Find, Flags, KeyFlags, KeySpec, Registered};

/// An argument, or several that belong together.
#[derive(Clone, PartialEq, Debug)]
pub struct Argument {
    pub name: String,
    /// How manuals show it, if it is a value or a literal.
    pub display: String,
    pub kind: Kind,
    /// The literal that introduces it, or that it is.
    pub token: Option<&'static str>,
    pub optional: bool,
    pub multiple: bool,
    /// Whether the token is said again each time.
    pub multiple_token: bool,
    /// The key specification that it belongs to.
    pub key_spec: Option<usize>,
}

/// What an argument is.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    Key,
    String,
    Integer,
    Double,
    Pattern,
    UnixTime,
    /// A literal and nothing else.
    PureToken,
    /// One of these.
    OneOf(Vec<Argument>),
    /// All of these, in this order.
    Block(Vec<Argument>),
}

impl Kind {
    /// The name that COMMAND DOCS has for it.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Key => "key",
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Double => "double",
            Kind::Pattern => "pattern",
            Kind::UnixTime => "unix-time",
            Kind::PureToken => "pure-token",
            Kind::OneOf(_) => "oneof",
            Kind::Block(_) => "block",
        }
    }
}

/// Names of values that are integers. A family that has others adds them.
const INTEGERS: &[&str] = &[
    "bit",
    "bits",
    "client-id",
    "cluster-bus-port",
    "config-epoch",
    "count",
    "cursor",
    "db",
    "decrement",
    "destination-db",
    "end",
    "end-slot",
    "frequency",
    "entries-added",
    "entries-read",
    "increment",
    "index",
    "index1",
    "index2",
    "len",
    "limit",
    "maxage",
    "milliseconds",
    "min-match-len",
    "ms",
    "num-matches",
    "numfields",
    "numkeys",
    "numlocal",
    "numreplicas",
    "offset",
    "port",
    "protover",
    "rank",
    "seconds",
    "slot",
    "start",
    "start-slot",
    "stop",
    "timeout",
    "ttl",
    "version",
    "weight",
];

/// The type of a value that is no key. An `increment` is a floating-point number in commands that say so, and so is the
/// time to wait for a list or a sorted set; `min` and `max` are scores where a command's name says so; the values of
/// bitmaps are integers.
fn kind_of(name: &str, command: &Command) -> Kind {
    match name {
        "increment" if command.name.ends_with("float") => Kind::Double,
        "timeout" if command.flags.contains(Flags::BLOCKING) && command.doc.group != "generic" => Kind::Double,
        "score" | "longitude" | "latitude" | "radius" | "width" | "height" => Kind::Double,
        "min-idle-time" if command.name == "xpending" => Kind::Integer,
        "min" | "max" if command.name.ends_with("score") || command.name == "zcount" => Kind::Double,
        "start" | "stop" if command.name == "zrange" => Kind::String,
        "value" if command.doc.group == "bitmap" => Kind::Integer,
        "start" | "end" if command.doc.group == "stream" => Kind::String,
        "library-name-pattern" => Kind::String,
        name if INTEGERS.contains(&name) => Kind::Integer,
        name if name.starts_with("unix-time") => Kind::UnixTime,
        name if name == "pattern" || name.ends_with("-pattern") => Kind::Pattern,
        _ => Kind::String,
    }
}

/// The arguments of a command, its keys marked.
///
/// # Errors
/// Where the syntax in the table is not what the head of this file says, or does not fit the key specifications.
pub fn arguments(registered: &Registered) -> Result<Vec<Argument>, String> {
    arguments_from(1 + usize::from(registered.parent.is_some()), registered.command)
}

/// The arguments of a command when they begin at this place.
fn arguments_from(first: usize, command: &Command) -> Result<Vec<Argument>, String> {
    let mut words = words(command.doc.syntax);
    words.reverse();
    let all = Alternatives::parse(&mut words)?;
    if let Some(word) = words.last() {
        return Err(format!("`{word}` ends what never began"));
    }
    let mut arguments = match all.choices.as_slice() {
        [one] if !all.repeated => lower_all(one, command),
        _ => vec![all.lower(command)],
    };
    for (number, spec) in command.keys.iter().enumerate() {
        if spec.flags.contains(KeyFlags::NOT_KEY) {
            continue;
        }
        mark(&mut arguments, first, number, spec)?;
    }
    Ok(arguments)
}

/// How many words an argument is, if that is always the same number.
pub fn width(argument: &Argument) -> Option<usize> {
    if argument.optional || argument.multiple {
        return None;
    }
    let inside = match &argument.kind {
        Kind::PureToken => return Some(1),
        Kind::Block(parts) => parts.iter().map(width).sum::<Option<usize>>()?,
        Kind::OneOf(choices) => {
            let first = width(choices.first()?)?;
            choices.iter().all(|choice| width(choice) == Some(first)).then_some(first)?
        }
        _ => 1,
    };
    Some(inside + usize::from(argument.token.is_some()))
}

/// Splits into words, brackets and bars.
fn words(syntax: &'static str) -> Vec<&'static str> {
    let is_mark = |c: char| matches!(c, '[' | ']' | '<' | '>' | '|');
    let mut found = Vec::new();
    for piece in syntax.split_whitespace() {
        let mut rest = piece;
        while let Some(at) = rest.find(is_mark) {
            let (word, tail) = rest.split_at(at);
            let (mark, tail) = tail.split_at(1);
            found.extend([word, mark].into_iter().filter(|part| !part.is_empty()));
            rest = tail;
        }
        found.extend(Some(rest).filter(|word| !word.is_empty()));
    }
    found
}

/// What the syntax says, before it is known what belongs together.
#[derive(Clone, PartialEq, Debug)]
enum Element {
    Literal(&'static str),
    Value(&'static str),
    Optional(Alternatives),
    Together(Alternatives),
}

#[derive(Clone, PartialEq, Debug, Default)]
struct Alternatives {
    choices: Vec<Vec<Element>>,
    repeated: bool,
    /// The name that it is given.
    name: Option<&'static str>,
}

impl Alternatives {
    /// Takes alternatives off the end of the words, which are in reverse; stops before what does not belong to them.
    fn parse(words: &mut Vec<&'static str>) -> Result<Alternatives, String> {
        let mut all = Alternatives { choices: vec![Vec::new()], ..Alternatives::default() };
        if let Some(name) = words.last().and_then(|word| word.strip_suffix(':')) {
            all.name = Some(name);
            words.pop();
        }
        while let Some(&word) = words.last() {
            match word {
                "]" | ">" | "..." => break,
                "|" => all.choices.push(Vec::new()),
                "[" | "<" => {
                    words.pop();
                    let inner = Alternatives::parse(words)?;
                    let again = words.pop_if(|word| *word == "...").is_some();
                    let end = if word == "[" { "]" } else { ">" };
                    if words.last() != Some(&end) {
                        return Err(format!("`{word}` has no end"));
                    }
                    if inner.choices.iter().any(Vec::is_empty) {
                        return Err(format!("`{word}{end}` is empty"));
                    }
                    match word {
                        "[" if again => all.repeat(inner),
                        "[" => all.last().push(Element::Optional(inner)),
                        _ => all.last().push(Element::Together(Alternatives { repeated: again, ..inner })),
                    }
                }
                word if word.contains(|c: char| c.is_ascii_lowercase()) => all.last().push(Element::Value(word)),
                word => all.last().push(Element::Literal(word)),
            }
            words.pop();
        }
        if all.choices.len() > 1 && all.choices.iter().any(Vec::is_empty) {
            return Err("an alternative is empty".to_string());
        }
        Ok(all)
    }

    fn last(&mut self) -> &mut Vec<Element> {
        self.choices.last_mut().expect("there is one from the beginning")
    }

    /// `[inner ...]`: adds what comes any number of times, or says so of what was read last.
    fn repeat(&mut self, mut inner: Alternatives) {
        inner.repeated = true;
        if self.choices.len() > 1 && self.choices == inner.choices {
            self.repeated = true;
            return;
        }
        let sequence = self.last();
        match inner.choices.as_slice() {
            [again] if !again.is_empty() && sequence.ends_with(again) => {
                sequence.truncate(sequence.len() - again.len());
                sequence.push(Element::Together(inner));
            }
            _ => sequence.push(Element::Optional(inner)),
        }
    }

    /// Whether a single choice begins with a literal.
    fn begins_with_literal(&self) -> bool {
        matches!(self.choices.as_slice(), [one] if matches!(one.first(), Some(Element::Literal(_))))
    }

    fn lower(&self, command: &Command) -> Argument {
        let mut choices: Vec<Argument> =
            self.choices.iter().map(|choice| together(lower_all(choice, command))).collect();
        let mut argument = if choices.len() == 1 {
            choices.remove(0)
        } else {
            let names: Vec<&str> = choices.iter().take(3).map(|choice| choice.name.as_str()).collect();
            let name = if choices.len() <= 3 { names.join("-or-") } else { format!("{}-or-other", names[0]) };
            Argument::new(name, Kind::OneOf(choices))
        };
        if let Some(name) = self.name {
            argument.name = name.to_string();
            if argument.kind == Kind::PureToken {
                argument.display.clone_from(&argument.name);
            }
        }
        argument.multiple |= self.repeated;
        argument.multiple_token |= self.repeated && self.begins_with_literal();
        argument
    }
}

impl Argument {
    fn new(name: impl Into<String>, kind: Kind) -> Argument {
        let name = name.into();
        Argument {
            display: name.clone(),
            name,
            kind,
            token: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            key_spec: None,
        }
    }

    /// What it is made of.
    pub fn parts(&self) -> &[Argument] {
        match &self.kind {
            Kind::OneOf(parts) | Kind::Block(parts) => parts,
            _ => &[],
        }
    }
}

/// Makes one argument of several.
fn together(mut arguments: Vec<Argument>) -> Argument {
    if arguments.len() == 1 {
        return arguments.remove(0);
    }
    let name = arguments.first().map_or_else(String::new, |first| format!("{}-block", first.name));
    Argument::new(name, Kind::Block(arguments))
}

/// The name of a literal.
fn token_name(token: &str) -> String {
    if token == "\"\"" { "empty-string".to_string() } else { token.to_lowercase() }
}

fn lower_all(sequence: &[Element], command: &Command) -> Vec<Argument> {
    let mut arguments = Vec::new();
    let mut rest = sequence;
    while let Some((element, tail)) = rest.split_first() {
        rest = tail;
        if let Element::Literal(token) = element {
            let introduced = tail.iter().take_while(|next| next.is_introduced()).count();
            let (values, tail) = tail.split_at(introduced);
            rest = tail;
            let mut argument = match values {
                [] => Argument::new(token_name(token), Kind::PureToken),
                values => together(values.iter().map(|value| value.lower(command)).collect()),
            };
            if values.len() > 1 {
                argument.name = token_name(token);
            }
            argument.token = Some(if *token == "\"\"" { "" } else { token });
            arguments.push(argument);
        } else {
            arguments.push(element.lower(command));
        }
    }
    arguments
}

impl Element {
    /// Whether a literal before it can be its token.
    fn is_introduced(&self) -> bool {
        match self {
            Element::Literal(_) | Element::Optional(_) => false,
            Element::Value(_) => true,
            Element::Together(inner) => !inner.begins_with_literal(),
        }
    }

    fn lower(&self, command: &Command) -> Argument {
        match self {
            Element::Literal(token) => {
                Argument { token: Some(token), ..Argument::new(token_name(token), Kind::PureToken) }
            }
            Element::Value(name) => Argument::new(*name, kind_of(name, command)),
            Element::Optional(inner) => Argument { optional: true, ..inner.lower(command) },
            Element::Together(inner) => inner.lower(command),
        }
    }
}

/// Marks the keys of a specification, of which `number` is the number; the arguments begin at `first`.
fn mark(arguments: &mut [Argument], first: usize, number: usize, spec: &KeySpec) -> Result<(), String> {
    let missing = || format!("key specification {number} finds no argument");
    let begin = match spec.begin {
        Begin::Index(index) => index as usize,
        Begin::Keyword(word, _) => {
            let argument = arguments.iter_mut().find_map(|argument| introduced_by(argument, word));
            let marked = argument.is_some_and(|argument| mark_first(argument, number));
            return if marked { Ok(()) } else { Err(missing()) };
        }
        Begin::Unknown => {
            mark_by_name(arguments, number, spec);
            return Ok(());
        }
    };
    let places = match spec.find {
        Find::Range { last, step, .. } => (begin..=begin + last.max(0) as usize).step_by(step.max(1) as usize),
        Find::KeyNum { first, .. } => (begin + first as usize..=begin + first as usize).step_by(1),
        Find::Unknown => return Ok(()),
    };
    for place in places {
        if !mark_at(arguments, first, place, number) {
            return Err(missing());
        }
    }
    Ok(())
}

/// Marks what belongs to a specification that does not know where its keys are: patterns say what is read, and what is written has
/// a name of its own.
fn mark_by_name(arguments: &mut [Argument], number: usize, spec: &KeySpec) {
    for argument in arguments {
        if spec.flags.contains(KeyFlags::RO) {
            if argument.kind == Kind::Pattern {
                argument.key_spec = Some(number);
            }
        } else if argument.name == "destination" {
            (argument.kind, argument.key_spec) = (Kind::Key, Some(number));
        }
    }
}

/// Marks the value at a place, counted in words, if all that stands before it has a fixed width.
fn mark_at(arguments: &mut [Argument], mut at: usize, place: usize, number: usize) -> bool {
    for argument in arguments {
        let value_at = at + usize::from(argument.token.is_some());
        let found = match &mut argument.kind {
            Kind::PureToken => false,
            Kind::Block(parts) => mark_at(parts, value_at, place, number),
            Kind::OneOf(choices) => {
                choices.iter_mut().any(|choice| mark_at(std::slice::from_mut(choice), value_at, place, number))
            }
            _ => value_at == place && mark_first(argument, number),
        };
        if found {
            return true;
        }
        match width(argument) {
            Some(width) => at += width,
            None => return false,
        }
    }
    false
}

/// Marks the first value in an argument.
fn mark_first(argument: &mut Argument, number: usize) -> bool {
    match &mut argument.kind {
        Kind::PureToken => false,
        Kind::OneOf(parts) | Kind::Block(parts) => parts.iter_mut().any(|part| mark_first(part, number)),
        _ => {
            argument.kind = Kind::Key;
            argument.key_spec = Some(number);
            true
        }
    }
}

/// The argument that a literal introduces, here or further in.
fn introduced_by<'a>(argument: &'a mut Argument, word: &str) -> Option<&'a mut Argument> {
    if argument.token.is_some_and(|token| token.eq_ignore_ascii_case(word)) {
        return Some(argument);
    }
    match &mut argument.kind {
        Kind::OneOf(parts) | Kind::Block(parts) => parts.iter_mut().find_map(|part| introduced_by(part, word)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{Doc, all};
    use super::*;

    /// A compact notation of the tree: `name:type`, a token in front of it, `?` for optional, `+` for multiple, `++` if
    /// the token repeats, `#n` for the key specification.
    fn show(argument: &Argument) -> String {
        let mut text = argument.token.map_or_else(String::new, |token| format!("{token}="));
        text += &argument.name;
        text += &match &argument.kind {
            Kind::PureToken => String::new(),
            Kind::OneOf(parts) => format!("({})", parts.iter().map(show).collect::<Vec<_>>().join("|")),
            Kind::Block(parts) => format!("({})", show_all(parts)),
            leaf => format!(":{}", leaf.name()),
        };
        text += if argument.optional { "?" } else { "" };
        text += match (argument.multiple, argument.multiple_token) {
            (true, true) => "++",
            (true, false) => "+",
            _ => "",
        };
        text + &argument.key_spec.map_or_else(String::new, |number| format!("#{number}"))
    }

    fn show_all(arguments: &[Argument]) -> String {
        arguments.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    /// The tree of a command with this syntax and these keys.
    fn tree(syntax: &'static str, keys: &'static [KeySpec]) -> Result<String, String> {
        let command = Command { name: "test", keys, doc: Doc { syntax, ..Command::NONE.doc }, ..Command::NONE };
        arguments_from(1, &command).map(|arguments| show_all(&arguments))
    }

    const RO: KeyFlags = KeyFlags::RO;
    const NONE: &[KeySpec] = &[];
    const FIRST: &[KeySpec] = &[KeySpec::one(1, RO)];
    const ALL: &[KeySpec] = &[KeySpec::range(1, -1, 1, RO)];
    const TWO: &[KeySpec] = &[KeySpec::one(1, RO), KeySpec::one(2, RO)];
    const PAIR: &[KeySpec] = &[KeySpec::range(1, 1, 1, RO)];
    const THIRD: &[KeySpec] = &[KeySpec::one(3, RO)];
    const SECOND_AND_ON: &[KeySpec] = &[KeySpec::one(2, RO), KeySpec::range(3, -1, 1, RO)];
    const COUNTED: &[KeySpec] = &[KeySpec {
        begin: Begin::Index(2),
        find: Find::KeyNum { number: 0, first: 1, step: 1 },
        flags: RO,
        notes: "",
    }];
    const NAMED: &[KeySpec] = &[KeySpec {
        begin: Begin::Keyword("STREAMS", 1),
        find: Find::Range { last: -1, step: 1, limit: 2 },
        flags: RO,
        notes: "",
    }];

    #[test]
    fn trees() {
        let cases = [
            ("", NONE, ""),
            ("key", FIRST, "key:key#0"),
            ("[message]", NONE, "message:string?"),
            ("key [key ...]", ALL, "key:key+#0"),
            ("key value [key value ...]", ALL, "key-block(key:key#0 value:string)+"),
            ("source destination", TWO, "source:key#0 destination:key#1"),
            ("key1 key2 [LEN]", PAIR, "key1:key#0 key2:key#0 LEN=len?"),
            ("[NX | XX]", NONE, "nx-or-xx(NX=nx|XX=xx)?"),
            ("<ON|OFF>", NONE, "on-or-off(ON=on|OFF=off)"),
            ("key [EX seconds | KEEPTTL]", FIRST, "key:key#0 seconds-or-keepttl(EX=seconds:integer|KEEPTTL=keepttl)?"),
            ("[A | B | C | D]", NONE, "a-or-other(A=a|B=b|C=c|D=d)?"),
            ("[LIMIT offset count]", NONE, "LIMIT=limit(offset:integer count:integer)?"),
            ("[COUNT count [ANY]]", NONE, "count-block(COUNT=count:integer ANY=any?)?"),
            ("[MATCH pattern]", NONE, "MATCH=pattern:pattern?"),
            ("[PREFIX prefix [PREFIX prefix ...]]", NONE, "PREFIX=prefix:string?++"),
            (
                "name [PREFIX prefix ...] [a b | C ...]",
                NONE,
                "name:string PREFIX=prefix:string?++ a-block-or-c(a-block(a:string b:string)|C=c)?+",
            ),
            (
                "[FILTERBY <MODULE name | ACLCAT category>]",
                NONE,
                "FILTERBY=name-or-category(MODULE=name:string|ACLCAT=category:string)?",
            ),
            (
                "<AND | NOT> destkey key [key ...]",
                SECOND_AND_ON,
                "and-or-not(AND=and|NOT=not) destkey:key#0 key:key+#1",
            ),
            (
                "script numkeys [key [key ...]] [arg [arg ...]]",
                COUNTED,
                "script:string numkeys:integer key:key?+#0 arg:string?+",
            ),
            (
                "[BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
                NAMED,
                "BLOCK=milliseconds:integer? STREAMS=streams(key:key+#0 id:string+)",
            ),
            (
                "[GET encoding | [OVERFLOW <WRAP | SAT>] SET encoding [GET encoding | [OVERFLOW <WRAP | SAT>] \
                 SET encoding ...]]",
                NONE,
                "encoding-or-wrap-or-sat-block(GET=encoding:string|\
                 wrap-or-sat-block(OVERFLOW=wrap-or-sat(WRAP=wrap|SAT=sat)? SET=encoding:string))?+",
            ),
            ("[condition: NX | XX]", NONE, "condition(NX=nx|XX=xx)?"),
            ("key value [data: key value ...]", ALL, "data(key:key#0 value:string)+"),
            ("[increment: INCR] <old-format: ip:port>", NONE, "INCR=increment? old-format:string"),
            (
                "<key | \"\"> [= | ~] <* | id>",
                FIRST,
                "key-or-empty-string(key:key#0|=empty-string) \
                 =-or-~(==\u{3d}|~=~)? *-or-id(*=*|id:string)",
            ),
        ];
        for (syntax, keys, expected) in cases {
            assert_eq!(tree(syntax, keys).as_deref(), Ok(expected), "{syntax}");
        }
    }

    #[test]
    fn what_is_no_syntax() {
        for syntax in ["[key", "key]", "<a | b", "[a>", "a || b", "| a", "a ...", "a [] b", "[| a]"] {
            assert!(tree(syntax, &[]).is_err(), "{syntax}");
        }
        assert!(tree("value [key]", THIRD).is_err(), "there is no third argument");
    }

    /// The fewest words that arguments can be.
    fn fewest(arguments: &[Argument]) -> usize {
        let each = arguments.iter().map(|argument| {
            let inside = match &argument.kind {
                _ if argument.optional => return 0,
                Kind::PureToken => return 1,
                Kind::OneOf(choices) => {
                    let one = |choice: &Argument| fewest(&[Argument { optional: false, ..choice.clone() }]);
                    choices.iter().map(one).min().unwrap_or(0)
                }
                Kind::Block(parts) => fewest(parts),
                _ => 1,
            };
            inside + usize::from(argument.token.is_some())
        });
        each.sum()
    }

    #[test]
    fn every_row_of_the_table_is_complete() {
        /// Redis does not say how long these take.
        const UNTOLD: [&str; 5] = ["lolwut", "monitor", "psync", "sync", "xread"];
        let mut problems = Vec::new();
        for registered in all().map(|id| id.registered()) {
            let (command, doc) = (registered.command, &registered.command.doc);
            let name = &registered.full_name;
            let texts =
                [("summary", doc.summary), ("since", doc.since), ("group", doc.group), ("complexity", doc.complexity)];
            for (field, text) in texts {
                let untold = field == "complexity" && UNTOLD.contains(&name.as_str());
                if text.is_empty() != untold {
                    problems.push(format!("{name}: the {field} is `{text}`"));
                }
            }
            if !doc.summary.ends_with('.') {
                problems.push(format!("{name}: the summary is no sentence"));
            }
            if doc.since.split('.').filter(|part| part.parse::<u32>().is_ok()).count() != 3 {
                problems.push(format!("{name}: `{}` is no version", doc.since));
            }
            if doc.deprecated_since.is_empty() != doc.replaced_by.is_empty() {
                problems.push(format!("{name} is deprecated by halves"));
            }
            let arguments = match arguments(registered) {
                Ok(arguments) => arguments,
                Err(error) => {
                    problems.push(format!("{name}: `{}`: {error}", doc.syntax));
                    continue;
                }
            };
            // Redis does not say what follows DEBUG either.
            if registered.is_container() || name == "debug" {
                continue;
            }
            let before = 1 + usize::from(registered.parent.is_some());
            let least = before + fewest(&arguments);
            let exact = arguments.iter().map(width).sum::<Option<usize>>().map(|width| before + width);
            let arity = command.arity;
            if least != arity.unsigned_abs() as usize || (arity > 0 && exact != Some(least)) {
                problems.push(format!("{name}: the arity is {arity}, the syntax `{}`", doc.syntax));
            }
        }
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    }
}
