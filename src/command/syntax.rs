//! The syntax of a command's arguments, as the table writes it, and the tree that COMMAND DOCS makes of it.
//!
//! ```text
//! syntax    = sequence { "|" sequence }             one of them
//! sequence  = { element }
//! element   = WORD                                  a literal: has no small letter (NX, *, 0)
//!           | word                                  a value
//!           | "[" syntax "]"                        may be left out
//!           | "<" syntax ">"                        keeps together
//!           | "[" what stands before it "...]"      and the same again, any number of times
//! ```
//!
//! A literal introduces the values that follow it up to the next literal or the next thing that may be left out: in
//! `COUNT count [ANY]` it is the token of `count`. What repeats can be the last elements of a sequence, or all of the
//! alternatives that it ends. The type of a value follows from its name, save for keys: which values are keys, the
//! command's key specifications say.

use super::table::{Begin, Command, Find, KeySpec, Registered};

/// An argument, or several that belong together.
#[derive(Clone, PartialEq, Debug)]
pub struct Argument {
    pub name: String,
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

/// Names of values that are integers.
const INTEGERS: &[&str] = &[
    "bit",
    "client-id",
    "columns",
    "count",
    "cursor",
    "db",
    "decrement",
    "destination-db",
    "end",
    "increment",
    "index",
    "index1",
    "index2",
    "maxage",
    "milliseconds",
    "min-match-len",
    "numkeys",
    "numlocal",
    "numreplicas",
    "offset",
    "port",
    "protover",
    "rows",
    "samples",
    "seconds",
    "size",
    "start",
    "stop",
    "timeout",
    "ttl",
    "version",
];

/// The type of a value that is no key. An `increment` is a floating-point number in commands that say so.
fn kind_of(name: &str, command: &Command) -> Kind {
    match name {
        "increment" if command.name.ends_with("float") => Kind::Double,
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
pub fn arguments(command: &Registered) -> Result<Vec<Argument>, String> {
    let mut words = words(command.command.doc.syntax);
    words.reverse();
    let all = Alternatives::parse(&mut words)?;
    if let Some(word) = words.last() {
        return Err(format!("`{word}` ends what never began"));
    }
    let mut arguments = match all.choices.as_slice() {
        [one] if !all.repeated => lower_all(one, command.command),
        _ => vec![all.lower(command.command)],
    };
    let first = 1 + usize::from(command.parent.is_some());
    for (number, spec) in command.command.keys.iter().enumerate() {
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
    Repeated(Vec<Element>),
}

#[derive(Clone, PartialEq, Debug, Default)]
struct Alternatives {
    choices: Vec<Vec<Element>>,
    repeated: bool,
}

impl Alternatives {
    /// Takes alternatives off the end of the words, which are in reverse; stops before what does not belong to them.
    fn parse(words: &mut Vec<&'static str>) -> Result<Alternatives, String> {
        let mut all = Alternatives { choices: vec![Vec::new()], repeated: false };
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
                    if again {
                        all.repeat(inner)?;
                    } else {
                        let element = if word == "[" { Element::Optional } else { Element::Together };
                        all.last().push(element(inner));
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

    /// `[inner ...]` says that the end of what was read so far, or all of it, may come again.
    fn repeat(&mut self, inner: Alternatives) -> Result<(), String> {
        if self.choices.len() > 1 && self.choices == inner.choices {
            self.repeated = true;
            return Ok(());
        }
        let sequence = self.last();
        match inner.choices.as_slice() {
            [again] if !again.is_empty() && sequence.ends_with(again) => {
                let repeated = sequence.split_off(sequence.len() - again.len());
                sequence.push(Element::Repeated(repeated));
                Ok(())
            }
            _ => Err("what repeats does not stand before".to_string()),
        }
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
        argument.multiple |= self.repeated;
        argument
    }
}

impl Argument {
    fn new(name: impl Into<String>, kind: Kind) -> Argument {
        Argument {
            name: name.into(),
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
            Element::Value(_) | Element::Together(_) => true,
            Element::Repeated(elements) => !matches!(elements[0], Element::Literal(_)),
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
            Element::Repeated(elements) => Argument {
                multiple: true,
                multiple_token: matches!(elements[0], Element::Literal(_)),
                ..together(lower_all(elements, command))
            },
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
        Begin::Unknown => return Ok(()),
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
