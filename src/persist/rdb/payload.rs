//! What DUMP makes of a value and RESTORE reads: its type and itself, the version of the format (u16 LE), and the CRC-64 of
//! all that (u64 LE).

use super::decode::{Decoder, Outcome, Rules};
use super::encode::{self, Manner};
use super::error::Error;
use super::source::{Slice, Source};
use super::{VERSION, checksum};
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
    let manner = Manner { compress, items: usize::MAX };
    let rest = encode::begin(&mut out, entry, manner);
    debug_assert!(rest.is_none(), "all items at once are all there are");
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
    let body_len = payload.len().checked_sub(FOOTER).ok_or(Refused::Footer)?;
    let (body, footer) = payload.split_at(body_len);
    let (version, sum) = footer.split_at(2);
    let version = version.try_into().map(u16::from_le_bytes).map_err(|_| Refused::Footer)?;
    let expected = sum.try_into().map(u64::from_le_bytes).map_err(|_| Refused::Footer)?;
    if version > VERSION {
        return Err(Refused::Footer);
    }
    if check {
        let mut sum = checksum();
        sum.update(&payload[..payload.len() - 8]);
        if sum.finalize() != expected {
            return Err(Refused::Footer);
        }
    }
    // What follows the value is not looked at, as in Redis.
    let mut source = Slice::new(body);
    let tag = source.byte().map_err(Refused::Contents)?;
    Decoder::read(tag, &mut source, rules).map_err(Refused::Contents)
}
