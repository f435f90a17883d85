//! What names an entry of a stream: a time in milliseconds and a number within it, written `<ms>-<seq>`.

use crate::types::number::{c_text, parse_u64};

/// The longest text that is looked at as an ID, in bytes.
const TEXT_MAX: usize = 127;
/// The length of the longest ID's text.
pub const ID_TEXT_MAX: usize = 41;

/// The ID of an entry. IDs of a stream only grow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Id {
    pub ms: u64,
    pub seq: u64,
}

impl Id {
    /// Below all entries: no entry has this ID.
    pub const MIN: Id = Id { ms: 0, seq: 0 };
    pub const MAX: Id = Id { ms: u64::MAX, seq: u64::MAX };

    /// The one behind it, if there is one.
    pub fn next(self) -> Option<Id> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => Some(Id { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The one before it, if there is one.
    pub fn previous(self) -> Option<Id> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => Some(Id { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// Reads `<ms>-<seq>`, or `<ms>` alone, to which `missing_seq` is added. Like Redis, which takes an ID for a C string,
    /// this looks at nothing from a NUL on.
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<Id> {
        let (ms, seq) = parts(text)?;
        let seq = match seq {
            Some(seq) => parse_u64(seq)?,
            None => missing_seq,
        };
        Some(Id { ms: parse_u64(ms)?, seq })
    }

    /// Reads the `<ms>` of `<ms>-*`.
    pub fn parse_ms_of_any(text: &[u8]) -> Option<u64> {
        match parts(text)? {
            (ms, Some(b"*")) => parse_u64(ms),
            _ => None,
        }
    }

    /// Its text, in a buffer.
    pub fn format(self, buffer: &mut [u8; ID_TEXT_MAX]) -> &[u8] {
        let mut len = 0;
        let mut put = |text: &[u8]| {
            buffer[len..len + text.len()].copy_from_slice(text);
            len += text.len();
        };
        put(itoa::Buffer::new().format(self.ms).as_bytes());
        put(b"-");
        put(itoa::Buffer::new().format(self.seq).as_bytes());
        &buffer[..len]
    }

    /// Its text.
    pub fn to_vec(self) -> Vec<u8> {
        self.format(&mut [0; ID_TEXT_MAX]).to_vec()
    }

    /// As snapshots have it: both numbers big-endian, so that bytes compare as IDs do.
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.ms) << 64) | u128::from(self.seq)).to_be_bytes()
    }

    /// The reverse of [`Id::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Id {
        let both = u128::from_be_bytes(bytes);
        Id { ms: (both >> 64) as u64, seq: both as u64 }
    }
}

/// What stands before the first dash, and behind it if there is one.
fn parts(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    if text.len() > TEXT_MAX {
        return None;
    }
    let text = c_text(text);
    Some(match memchr::memchr(b'-', text) {
        Some(dash) => (&text[..dash], Some(&text[dash + 1..])),
        None => (text, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        type Case = (&'static [u8], Option<(u64, u64)>);
        let cases: &[Case] = &[
            (b"5-3", Some((5, 3))),
            (b"5", Some((5, 77))),
            (b"0-0", Some((0, 0))),
            (b"18446744073709551615-18446744073709551615", Some((u64::MAX, u64::MAX))),
            (b"18446744073709551616-1", None),
            (b"", None),
            (b"-", None),
            (b"+", None),
            (b"-1", None),
            (b"1-", None),
            (b"1--1", None),
            (b"1-2-3", None),
            (b"1-*", None),
            (b"a-1", None),
            (b"1-+2", Some((1, 2))),
            (b"1\0-9", Some((1, 77))),
            (&[b'1'; 128], None),
        ];
        for &(text, id) in cases {
            assert_eq!(Id::parse(text, 77), id.map(|(ms, seq)| Id { ms, seq }), "{text:?}");
        }
        let any = [&b"7-*"[..], b"7-1", b"7", b"*", b"7-**"].map(Id::parse_ms_of_any);
        assert_eq!(any, [Some(7), None, None, None, None]);
        assert_eq!(Id { ms: 12, seq: 0 }.to_vec(), b"12-0");
        assert_eq!(Id::MAX.to_vec().len(), ID_TEXT_MAX);
    }

    #[test]
    fn neighbours_and_bytes() {
        let last = Id { ms: 4, seq: u64::MAX };
        assert_eq!((last.next(), Id::MAX.next()), (Some(Id { ms: 5, seq: 0 }), None));
        assert_eq!((Id { ms: 5, seq: 0 }.previous(), Id::MIN.previous()), (Some(last), None));
        for id in [Id::MIN, last, Id::MAX, Id { ms: 1, seq: 2 }] {
            assert_eq!(Id::from_bytes(id.to_bytes()), id);
        }
        assert_eq!(Id { ms: 1, seq: 2 }.to_bytes(), [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
    }
}
