//! HyperLogLogs: strings that count different elements; see [`crate::types::hyperloglog`].
//!
//! They are strings to every other command, so whatever is found under a key is looked at before it is believed, and a
//! command that fails has changed nothing.

use std::cell::Cell;
use std::fmt::Write as _;

use super::Ctx;
use super::error::{Error, Outcome};
use super::string::bytes_of;
use super::table::{Acl, Command, Doc, Flags, KeyFlags, KeySpec};
use crate::effects::Event;
use crate::keyspace::Key;
use crate::keyspace::entry::{Encoding, EntryRef};
use crate::resp::Args;
use crate::types::hyperloglog::{self as hll, Corrupt, Form, Raise, Registers, Splice};

const HYPERLOGLOG: Command = Command { acl: Acl::HYPERLOGLOG, ..Command::NONE };
const DOC: Doc = Doc { group: "hyperloglog", since: "2.8.9", complexity: "O(1)", ..Command::NONE.doc };

const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);

const READ_WRITE: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS);

const PFADD: Event = Event("pfadd");

pub const COMMANDS: &[Command] = &[
    Command {
        name: "pfadd",
        arity: -2,
        flags: WRITE.union(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
        doc: Doc {
            summary: "Adds elements to a HyperLogLog, and answers whether that may have changed its count.",
            complexity: "O(1) for each element",
            syntax: "key [element [element ...]]",
            ..DOC
        },
        handler: pfadd,
        ..HYPERLOGLOG
    },
    Command {
        name: "pfcount",
        arity: -2,
        flags: Flags::READONLY.union(Flags::MAY_REPLICATE),
        keys: &[KeySpec {
            notes: "The count that is kept with a single key may be brought up to date.",
            ..KeySpec::range(1, -1, 1, READ_WRITE)
        }],
        doc: Doc {
            summary: "Answers about how many different elements one or several HyperLogLogs have seen together.",
            complexity: "O(1) for one key, and mostly just a look; O(N) in the number of several keys, and slower",
            syntax: "key [key ...]",
            ..DOC
        },
        handler: pfcount,
        ..HYPERLOGLOG
    },
    Command {
        name: "pfmerge",
        arity: -2,
        flags: WRITE,
        keys: &[KeySpec::one(1, READ_WRITE.union(KeyFlags::INSERT)), KeySpec::range(2, -1, 1, KeyFlags::READS)],
        doc: Doc {
            summary: "Makes a HyperLogLog one that has seen what it and others have seen.",
            complexity: "O(N) in the number of keys",
            syntax: "destkey [sourcekey [sourcekey ...]]",
            ..DOC
        },
        handler: pfmerge,
        ..HYPERLOGLOG
    },
    Command {
        name: "pfdebug",
        arity: 3,
        flags: WRITE.union(Flags::ADMIN),
        keys: &[KeySpec::one(2, READ_WRITE)],
        doc: Doc {
            summary: "Shows how a HyperLogLog is kept (GETREG, DECODE, ENCODING), or changes that (TODENSE).",
            complexity: "O(1)",
            syntax: "subcommand key",
            internal: true,
            ..DOC
        },
        handler: pfdebug,
        ..HYPERLOGLOG
    },
    Command {
        name: "pfselftest",
        arity: 1,
        flags: Flags::ADMIN,
        doc: Doc { summary: "Tests the arithmetic of HyperLogLogs with made-up elements.", internal: true, ..DOC },
        handler: pfselftest,
        ..HYPERLOGLOG
    },
];

impl From<Corrupt> for Error {
    fn from(_: Corrupt) -> Error {
        Error::fixed("INVALIDOBJ Corrupted HLL object detected")
    }
}

/// The HyperLogLog that an entry holds, and its form.
///
/// # Errors
/// If it holds something else.
fn hll_of(entry: EntryRef<'_>) -> Result<(&[u8], Form), Error> {
    let bytes = bytes_of(entry)?;
    let form = hll::form(bytes).ok_or(Error::fixed("WRONGTYPE Key is not a valid HyperLogLog string value."))?;
    Ok((bytes, form))
}

/// How elements are added to a value.
enum Addition {
    /// Registers of a dense value may rise where they are.
    Dense,
    /// No register of a sparse value rises.
    Nothing,
    /// One rises, which makes the value so many bytes longer or keeps its length: it is changed where it is.
    InPlace(Splice, usize),
    /// All else is done in a copy, to which so many changes have been made.
    Copy(Vec<u8>, u64),
}

impl Addition {
    /// How to add elements with such places to a sparse value.
    fn to_sparse(
        value: &[u8],
        mut places: impl ExactSizeIterator<Item = (usize, u8)>,
        most: usize,
    ) -> Result<Addition, Corrupt> {
        while let Some((index, rank)) = places.next() {
            match hll::plan(value, index, rank, most)? {
                Raise::Nothing => {}
                Raise::Runs(splice)
                    if places.len() == 0
                        && let Some(growth) = splice.growth() =>
                {
                    return Ok(Addition::InPlace(splice, growth));
                }
                raise => {
                    let mut value = value.to_vec();
                    let raised = u64::from(raise.apply(&mut value)?);
                    return Addition::to_copy(value, raised, places, most);
                }
            }
        }
        Ok(Addition::Nothing)
    }

    /// Adds elements with such places to a value that has been changed so often before.
    fn to_copy(
        mut value: Vec<u8>,
        mut changes: u64,
        places: impl Iterator<Item = (usize, u8)>,
        most: usize,
    ) -> Result<Addition, Corrupt> {
        for (index, rank) in places {
            changes += u64::from(hll::raise(&mut value, index, rank, most)?);
        }
        Ok(Addition::Copy(value, changes))
    }
}

fn pfadd(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let most = cx.server.settings.hll_sparse_max_bytes;
    let key = cx.key(args, 1);
    let places = args.iter_from(2).map(hll::place);
    let changed = Cell::new(false);
    let planned = Cell::new(Addition::Dense);
    let resize = |entry: Option<EntryRef<'_>>| {
        let (len, addition) = match entry.map(hll_of).transpose()? {
            Some((bytes, Form::Dense)) => return Ok(bytes.len()),
            Some((bytes, Form::Sparse)) => (bytes.len(), Addition::to_sparse(bytes, places.clone(), most)?),
            None => {
                let mut value = hll::empty();
                hll::outdate(&mut value);
                (0, Addition::to_copy(value, 1, places.clone(), most)?)
            }
        };
        let len = match &addition {
            Addition::Dense | Addition::Nothing => len,
            Addition::InPlace(_, growth) => len + growth,
            Addition::Copy(value, _) => value.len(),
        };
        planned.set(addition);
        Ok::<usize, Error>(len)
    };
    let write = |bytes: &mut [u8]| {
        let changes = match planned.replace(Addition::Nothing) {
            Addition::Dense => {
                places.clone().filter(|&(index, rank)| hll::raise_dense(bytes, index, rank)).count() as u64
            }
            Addition::Nothing => 0,
            Addition::InPlace(splice, _) => {
                splice.apply_in(bytes);
                1
            }
            Addition::Copy(value, changes) => {
                bytes.copy_from_slice(&value);
                changes
            }
        };
        changed.set(changes > 0);
        changes
    };
    cx.server.keys.change_string(cx.db, key, cx.touch, PFADD, resize, write)?;
    cx.reply.integer(i64::from(changed.get()));
    Ok(())
}

fn pfcount(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if args.len() > 2 {
        let (registers, _) = merged(cx, args)?;
        cx.reply.integer(registers.estimate());
        return Ok(());
    }
    let key = cx.key(args, 1);
    let Some(entry) = cx.server.keys.read(cx.db, key, cx.touch) else {
        cx.reply.integer(0);
        return Ok(());
    };
    let (bytes, _) = hll_of(entry)?;
    let (known, len) = (hll::known_estimate(bytes), bytes.len());
    let estimate = known.map_or_else(|| hll::estimate(bytes), Ok)?;
    // OBJECT ENCODING tells that a HyperLogLog is about to be changed in place, whether or not it is.
    if known.is_none() || entry.encoding() != Encoding::Raw {
        let note = |bytes: &mut [u8]| {
            hll::set_estimate(bytes, estimate);
            known.is_none()
        };
        cx.server.keys.change_string(cx.db, key, cx.touch, Event::SILENT, |_| Ok::<usize, Error>(len), note)?;
    }
    cx.reply.integer(estimate);
    Ok(())
}

/// The registers of all keys together, and whether one of their values is dense.
fn merged(cx: &mut Ctx<'_>, args: &Args<'_>) -> Result<(Registers, bool), Error> {
    let mut registers = Registers::default();
    let mut any_dense = false;
    cx.prefetch_keys(args, 1, 1);
    for n in 0..args.len() - 1 {
        let key = cx.hashed_key(args, n, 1 + n);
        if let Some(entry) = cx.server.keys.read(cx.db, key, cx.touch) {
            let (bytes, form) = hll_of(entry)?;
            any_dense |= form == Form::Dense;
            registers.merge(bytes)?;
        }
    }
    Ok((registers, any_dense))
}

/// Puts what `make` makes of a key's value in its place.
fn replace(
    cx: &mut Ctx<'_>,
    key: Key<'_>,
    event: Event,
    make: impl FnOnce(Option<EntryRef<'_>>) -> Result<Vec<u8>, Error>,
) -> Outcome {
    let made = Cell::new(Vec::new());
    let resize = |entry: Option<EntryRef<'_>>| {
        let value = make(entry)?;
        let len = value.len();
        made.set(value);
        Ok::<usize, Error>(len)
    };
    let write = |bytes: &mut [u8]| {
        bytes.copy_from_slice(&made.take());
        true
    };
    cx.server.keys.change_string(cx.db, key, cx.touch, event, resize, write)
}

fn pfmerge(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let most = cx.server.settings.hll_sparse_max_bytes;
    let (registers, any_dense) = merged(cx, args)?;
    let key = cx.key(args, 1);
    replace(cx, key, PFADD, |entry| {
        // The destination is one of the sources, so it has been looked at.
        let mut value = entry.map_or_else(hll::empty, |entry| entry.string().to_vec());
        registers.store(&mut value, any_dense, most)?;
        Ok(value)
    })?;
    cx.reply.ok();
    Ok(())
}

fn pfdebug(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let key = cx.key(args, 2);
    let Some(entry) = cx.server.keys.peek(cx.db, key) else {
        return Err(Error::fixed("ERR The specified key does not exist"));
    };
    let (bytes, form) = hll_of(entry)?;
    let word = &args[1];
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if is("GETREG") {
        let registers = Registers::of(bytes)?;
        densify(cx, key, form)?;
        cx.reply.array(hll::REGISTERS);
        registers.iter().for_each(|register| cx.reply.integer(register.into()));
    } else if is("DECODE") {
        if form != Form::Sparse {
            return Err(Error::fixed("ERR HLL encoding is not sparse"));
        }
        let mut text = String::new();
        for run in hll::runs(bytes) {
            let space = if text.is_empty() { "" } else { " " };
            let written = match (run.value, run.bytes) {
                (0, 1) => write!(text, "{space}z:{}", run.len),
                (0, _) => write!(text, "{space}Z:{}", run.len),
                (value, _) => write!(text, "{space}v:{value},{}", run.len),
            };
            debug_assert!(written.is_ok());
        }
        cx.reply.bulk(text.as_bytes());
    } else if is("ENCODING") {
        cx.reply.status(match form {
            Form::Dense => "dense",
            Form::Sparse => "sparse",
        });
    } else if is("TODENSE") {
        densify(cx, key, form)?;
        cx.reply.integer(i64::from(form == Form::Sparse));
    } else {
        let word = super::shown(word, usize::MAX);
        return Err(Error::new([b"ERR Unknown PFDEBUG subcommand '", word, &b"'"[..]].concat()));
    }
    Ok(())
}

/// Makes a key's value dense, if its form is another.
fn densify(cx: &mut Ctx<'_>, key: Key<'_>, form: Form) -> Outcome {
    if form == Form::Dense {
        return Ok(());
    }
    replace(cx, key, Event::SILENT, |entry| {
        let mut value = entry.map_or_else(hll::empty, |entry| entry.string().to_vec());
        hll::densify(&mut value)?;
        Ok(value)
    })
}

fn pfselftest(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let most = cx.server.settings.hll_sparse_max_bytes;
    test_registers(&mut cx.server.keys.random_source())
        .and_then(|()| test_estimates(cx.server.keys.random_source().u64(..), most))
        .map_err(|failure| Error::new(format!("ERR TESTFAILED {failure}")))?;
    cx.reply.ok();
    Ok(())
}

/// Checks that each register of a dense value holds what it was raised to, whatever its neighbours hold.
fn test_registers(rng: &mut fastrand::Rng) -> Result<(), String> {
    const ROUNDS: usize = 20;
    for _ in 0..ROUNDS {
        let mut value = hll::empty();
        hll::densify(&mut value).map_err(|Corrupt| "an empty value is corrupt")?;
        let ranks: Vec<u8> = (0..hll::REGISTERS).map(|_| rng.u8(..64)).collect();
        let mut order: Vec<usize> = (0..hll::REGISTERS).collect();
        rng.shuffle(&mut order);
        for index in order {
            hll::raise_dense(&mut value, index, ranks[index]);
        }
        let registers = Registers::of(&value).map_err(|Corrupt| "a dense value is corrupt")?;
        for (index, (found, rank)) in registers.iter().zip(ranks).enumerate() {
            if found != rank {
                return Err(format!("Register {index} should be {rank} but is {found}"));
            }
        }
    }
    Ok(())
}

/// Checks that both forms come to the same estimate of a growing number of elements, and to a good one.
fn test_estimates(seed: u64, most: usize) -> Result<(), String> {
    const ELEMENTS: u64 = 100_000;
    /// The error's standard deviation, as a part of the count.
    const DEVIATION: f64 = 1.04 / 128.0;
    let (mut value, mut dense) = (hll::empty(), hll::empty());
    hll::densify(&mut dense).map_err(|Corrupt| "an empty value is corrupt")?;
    let mut checked = 1;
    for count in 1..=ELEMENTS {
        let (index, rank) = hll::place(&(count ^ seed).to_le_bytes());
        hll::raise_dense(&mut dense, index, rank);
        hll::raise(&mut value, index, rank, most).map_err(|Corrupt| "a value became corrupt")?;
        if count < checked {
            continue;
        }
        if count < most as u64 / 2 && hll::form(&value) != Some(Form::Sparse) {
            return Err("sparse encoding not used".to_string());
        }
        let estimates = [&value, &dense].map(|value| hll::estimate(value).unwrap_or(-1));
        if estimates[0] != estimates[1] {
            return Err("dense/sparse disagree".to_string());
        }
        let error = estimates[0].abs_diff(count as i64);
        // A single collision is 10 % of ten elements.
        let bearable = (6.0 * DEVIATION * count as f64).ceil().max(1.0);
        if error as f64 > bearable {
            return Err(format!("Too big error. card:{count} abserr:{error}"));
        }
        checked *= 10;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_self_test_passes() {
        let mut rng = fastrand::Rng::with_seed(3);
        assert_eq!(test_registers(&mut rng), Ok(()));
        for most in [3000, 0] {
            assert_eq!(test_estimates(rng.u64(..), most), Ok(()));
        }
    }
}
