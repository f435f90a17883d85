//! What stands around values in a file: reading it item by item.
//!
//! An item is a key with its value, or one of the fields between keys. [`Reader::next`] takes bounded time: a large value
//! comes as several [`Item::Part`]s first.

use std::mem;

use super::decode::{Decoder, Outcome, Rules, module_name};
use super::error::Error;
use super::source::{Feed, FileSource, Slice, Source};
use super::{VERSION, checksum, opcode, tag};

/// A source that can tell the checksum of what was taken from it.
pub trait Summed: Source {
    fn checksum(&mut self) -> u64;
}

impl Summed for FileSource {
    fn checksum(&mut self) -> u64 {
        FileSource::checksum(self)
    }
}

impl Summed for Feed {
    fn checksum(&mut self) -> u64 {
        Feed::checksum(self)
    }
}

impl Summed for Slice<'_> {
    fn checksum(&mut self) -> u64 {
        let mut sum = checksum();
        sum.update(self.taken());
        sum.finalize()
    }
}

/// A key of a file.
pub struct Loaded {
    pub db: u64,
    pub key: Vec<u8>,
    pub value: Outcome,
    /// In Unix milliseconds.
    pub deadline: Option<u64>,
    /// Seconds since its last use, when the file was written.
    pub idle: Option<u64>,
    /// How often it was used, on the logarithmic scale.
    pub frequency: Option<u8>,
}

/// What a file holds.
pub enum Item {
    Key(Loaded),
    /// A part of a key with a large value, which is to come.
    Part,
    /// The keys that follow are in this database.
    Database(u64),
    /// A field about the file.
    Aux(Vec<u8>, Vec<u8>),
    /// The source of a library of functions.
    Library(Vec<u8>),
    /// What a module of this name wrote besides its values; it was passed over.
    ModuleAux(String),
    /// A value that only a module understands; it was passed over.
    ModuleValue,
    /// A hint that needs no attention.
    Hint,
    End(Verdict),
}

/// What became of the checksum at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Right,
    /// The file has none: its version knew none.
    Without,
    /// It was written without, by choice.
    Disabled,
    Wrong {
        expected: u64,
        found: u64,
    },
}

/// What is being read, as redis-check-rdb tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    Start,
    Type,
    Expire,
    Key,
    Value,
    Sum,
    Length,
    Aux,
    ModuleAux,
    Functions,
}

impl Doing {
    /// The words for it.
    pub fn name(self) -> &'static str {
        match self {
            Doing::Start => "start",
            Doing::Type => "read-type",
            Doing::Expire => "read-expire",
            Doing::Key => "read-key",
            Doing::Value => "read-object-value",
            Doing::Sum => "check-sum",
            Doing::Length => "read-len",
            Doing::Aux => "read-aux",
            Doing::ModuleAux => "read-module-aux",
            Doing::Functions => "read-functions",
        }
    }
}

/// A file being read.
pub struct Reader<S> {
    source: S,
    version: u16,
    db: u64,
    deadline: Option<u64>,
    idle: Option<u64>,
    frequency: Option<u8>,
    value: Option<Decoder>,
    /// The key that is being read, its type, and what of it; kept for who asks what went wrong.
    pub key: Vec<u8>,
    pub tag: Option<u8>,
    pub doing: Doing,
    /// How many keys were come upon, the one that is being read included.
    pub keys: u64,
    /// Whether values of modules are passed over rather than refused.
    pass_over_modules: bool,
}

impl<S: Summed> Reader<S> {
    /// Begins to read a file.
    ///
    /// # Errors
    /// If it is none of this format, or of a newer version.
    pub fn new(mut source: S, pass_over_modules: bool) -> Result<Reader<S>, Error> {
        let magic: [u8; 9] = source.array()?;
        if !magic.starts_with(b"REDIS") {
            return Err(source.corrupt("Wrong signature trying to load DB from file"));
        }
        let version = magic[5..].trim_ascii_start().iter().take_while(|digit| digit.is_ascii_digit());
        let version = version.fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        if !(1..=VERSION).contains(&version) {
            return Err(source.corrupt(format!("Can't handle RDB format version {version}")));
        }
        source.settle();
        Ok(Reader {
            source,
            version,
            db: 0,
            deadline: None,
            idle: None,
            frequency: None,
            value: None,
            key: Vec::new(),
            tag: None,
            doing: Doing::Start,
            keys: 0,
            pass_over_modules,
        })
    }

    /// Where its bytes come from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// As [`Reader::source`], to bring more, or to go back.
    pub fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// Gives back where its bytes came from.
    pub fn into_source(self) -> S {
        self.source
    }

    /// The next item.
    ///
    /// # Errors
    /// If the source fails, or what it has cannot be right. If it has too little, this can be tried again from where it was
    /// settled.
    pub fn next(&mut self, rules: &Rules) -> Result<Item, Error> {
        let item = self.read(rules)?;
        self.source.settle();
        Ok(item)
    }

    fn read(&mut self, rules: &Rules) -> Result<Item, Error> {
        if self.value.is_some() {
            return self.go_on(rules);
        }
        loop {
            self.doing = Doing::Type;
            let source = &mut self.source;
            match source.byte()? {
                opcode::EXPIRETIME => {
                    self.doing = Doing::Expire;
                    let seconds = i64::from(i32::from_le_bytes(source.array()?));
                    self.deadline = Some((seconds * 1000).max(0) as u64);
                }
                opcode::EXPIRETIME_MS => {
                    self.doing = Doing::Expire;
                    self.deadline = Some(i64::from_le_bytes(source.array()?).max(0) as u64);
                }
                opcode::FREQ => self.frequency = Some(source.byte()?),
                opcode::IDLE => self.idle = Some(source.number()?),
                opcode::EOF => return self.end(),
                opcode::SELECTDB => {
                    self.doing = Doing::Length;
                    self.db = source.number()?;
                    return Ok(Item::Database(self.db));
                }
                opcode::RESIZEDB => {
                    self.doing = Doing::Length;
                    source.number()?;
                    source.number()?;
                    return Ok(Item::Hint);
                }
                opcode::SLOT_INFO => {
                    for _ in 0..3 {
                        source.number()?;
                    }
                    return Ok(Item::Hint);
                }
                opcode::AUX => {
                    self.doing = Doing::Aux;
                    return Ok(Item::Aux(source.text()?, source.text()?));
                }
                opcode::MODULE_AUX => {
                    self.doing = Doing::ModuleAux;
                    let name = module_name(source.number()?);
                    let (when_opcode, _when) = (source.number()?, source.number()?);
                    if when_opcode != module::UINT {
                        return Err(source.corrupt("bad when_opcode"));
                    }
                    module::pass_over(source)?;
                    return Ok(Item::ModuleAux(name));
                }
                opcode::FUNCTION_PRE_GA => {
                    let text = format!("Pre-release function format not supported {}", self.version);
                    return Err(source.corrupt(text));
                }
                opcode::FUNCTION2 => {
                    self.doing = Doing::Functions;
                    return Ok(Item::Library(source.text()?));
                }
                kind => {
                    if usize::from(kind) >= tag::NAMES.len() || tag::NAMES[usize::from(kind)].is_empty() {
                        return Err(source.corrupt(format!("Invalid object type: {kind}")));
                    }
                    self.tag = Some(kind);
                    self.doing = Doing::Key;
                    self.key = source.text()?;
                    self.keys += 1;
                    self.doing = Doing::Value;
                    if kind == tag::MODULE_2 && self.pass_over_modules {
                        source.number()?;
                        module::pass_over(source)?;
                        (self.key, self.tag, self.deadline) = (Vec::new(), None, None);
                        return Ok(Item::ModuleValue);
                    }
                    self.value = Some(Decoder::new(kind, source, rules)?);
                    source.settle();
                    return self.go_on(rules);
                }
            }
        }
    }

    fn go_on(&mut self, rules: &Rules) -> Result<Item, Error> {
        let Some(decoder) = &mut self.value else { return Ok(Item::Part) };
        let Some(value) = decoder.step(&mut self.source, rules)? else { return Ok(Item::Part) };
        (self.value, self.tag) = (None, None);
        Ok(Item::Key(Loaded {
            db: self.db,
            key: mem::take(&mut self.key),
            value,
            deadline: self.deadline.take(),
            idle: self.idle.take(),
            frequency: self.frequency.take(),
        }))
    }

    fn end(&mut self) -> Result<Item, Error> {
        self.doing = Doing::Sum;
        if self.version < 5 {
            return Ok(Item::End(Verdict::Without));
        }
        let expected = self.source.checksum();
        let found = u64::from_le_bytes(self.source.array()?);
        Ok(Item::End(match found {
            0 => Verdict::Disabled,
            _ if found == expected => Verdict::Right,
            _ => Verdict::Wrong { expected, found },
        }))
    }
}

/// How modules write: each number and text behind a number that tells what it is.
mod module {
    use super::super::error::Error;
    use super::super::source::Source;

    const EOF: u64 = 0;
    const SINT: u64 = 1;
    pub const UINT: u64 = 2;
    const FLOAT: u64 = 3;
    const DOUBLE: u64 = 4;
    const STRING: u64 = 5;

    /// Passes over all that a module wrote.
    pub fn pass_over(source: &mut impl Source) -> Result<(), Error> {
        loop {
            match source.number()? {
                EOF => return Ok(()),
                SINT | UINT => drop(source.number()?),
                FLOAT => drop(source.array::<4>()?),
                DOUBLE => drop(source.array::<8>()?),
                STRING => drop(source.text()?),
                other => return Err(source.corrupt(format!("Unknown module opcode {other}"))),
            }
        }
    }
}
