//! What DUMP makes of a value and RESTORE reads: its type and itself, the version of the format (u16 LE), and the CRC-64 of
//! all that (u64 LE).

use super::decode::{Decoder, Outcome, Rules};
use super::encode;
use super::error::Error;
use super::source::{Slice, Source};
use super::{VERSION, checksum, opcode};
use crate::keyspace::entry::EntryRef;

/// Version and checksum.
const FOOTER: usize = 10;

/// Why a payload is refused.
#[derive(Debug)]
pub enum Refused {
    /// Its version is too new, or its checksum is wrong.
    Footer,
    /// Its contents cannot be right.
    Contents(Error),
}

/// The payload of a value.
pub fn dump(entry: EntryRef<'_>, compress: bool) -> Vec<u8> {
    let mut out = vec![encode::tag_of(entry)];
    encode::value(&mut out, entry, compress);
    finish(out)
}

/// What FUNCTION DUMP makes of the sources of libraries: they stand as in a snapshot, before the same footer.
pub fn dump_libraries<'a>(sources: impl Iterator<Item = &'a [u8]>, compress: bool) -> Vec<u8> {
    let mut out = Vec::new();
    sources.for_each(|source| encode::library(&mut out, source, compress));
    finish(out)
}

/// Adds the footer.
fn finish(mut out: Vec<u8>) -> Vec<u8> {
    out.extend_from_slice(&VERSION.to_le_bytes());
    let mut sum = checksum();
    sum.update(&out);
    out.extend_from_slice(&sum.finalize().to_le_bytes());
    out
}

/// The value of a payload. Its checksum is looked at if `check` says so.
///
/// # Errors
/// If it is refused.
pub fn restore(payload: &[u8], check: bool, rules: &Rules) -> Result<Outcome, Refused> {
    // What follows the value is not looked at, as in Redis.
    let mut source = Slice::new(body(payload, check).ok_or(Refused::Footer)?);
    let tag = source.byte().map_err(Refused::Contents)?;
    Decoder::read(tag, &mut source, rules).map_err(Refused::Contents)
}

/// What is before the footer; `None` if that is wrong.
fn body(payload: &[u8], check: bool) -> Option<&[u8]> {
    let (body, footer) = payload.split_at_checked(payload.len().checked_sub(FOOTER)?)?;
    let (version, expected) = footer.split_at(2);
    if u16::from_le_bytes(version.try_into().ok()?) > VERSION {
        return None;
    }
    let mut sum = checksum();
    sum.update(&payload[..body.len() + 2]);
    (!check || sum.finalize() == u64::from_le_bytes(expected.try_into().ok()?)).then_some(body)
}

/// Why a payload of libraries is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unloadable {
    /// Its version is too new, or its checksum is wrong.
    Footer,
    /// Libraries are as candidates of Redis 7.0 wrote them.
    OldFormat,
    /// There is something else in it.
    NoLibrary,
    /// It ends too soon, or is damaged.
    Contents,
}

/// The sources of the libraries in a payload. Its checksum is looked at if `check` says so.
///
/// # Errors
/// If it is refused.
pub fn restore_libraries(payload: &[u8], check: bool) -> Result<Vec<Vec<u8>>, Unloadable> {
    let body = body(payload, check).ok_or(Unloadable::Footer)?;
    let mut source = Slice::new(body);
    let mut libraries = Vec::new();
    while source.left() > 0 {
        match source.byte().map_err(|_| Unloadable::Contents)? {
            opcode::FUNCTION2 => libraries.push(source.text().map_err(|_| Unloadable::Contents)?),
            opcode::FUNCTION_PRE_GA => return Err(Unloadable::OldFormat),
            _ => return Err(Unloadable::NoLibrary),
        }
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_come_back_and_nothing_else_is_taken_for_them() {
        let sources = [b"#!lua name=a\n".to_vec(), b"x".repeat(1000), Vec::new()];
        for compress in [false, true] {
            let payload = dump_libraries(sources.iter().map(|source| &source[..]), compress);
            assert_eq!(restore_libraries(&payload, true), Ok(sources.to_vec()));
            let mut wrong = payload.clone();
            wrong[0] ^= 1;
            assert_eq!(restore_libraries(&wrong, true), Err(Unloadable::Footer));
            assert_eq!(restore_libraries(&payload[..9], true), Err(Unloadable::Footer));
        }
        for (body, refused) in [
            (&[opcode::FUNCTION_PRE_GA, 0][..], Unloadable::OldFormat),
            (&[0, 1, b'k', 1, b'v'], Unloadable::NoLibrary),
            (&[opcode::FUNCTION2, 5, b'x'], Unloadable::Contents),
            (&[opcode::FUNCTION2], Unloadable::Contents),
        ] {
            assert_eq!(restore_libraries(&finish(body.to_vec()), true), Err(refused));
        }
        assert_eq!(restore_libraries(&finish(Vec::new()), true), Ok(Vec::new()));
    }
}
