//! Ziplists and zipmaps: what compact collections were before listpacks. They are only read.
//!
//! ```text
//!   ziplist:  bytes u32 │ offset of the last entry u32 │ count u16 (0xFFFF: unknown) │ entries │ 0xFF
//!   entry:    length of the one before (1 byte, or 0xFE and u32) │ encoding │ text or integer
//!   zipmap:   count (0xFE and more: unknown) │ pairs │ 0xFF
//!   pair:     length, text │ length, bytes unused behind the text, text, unused bytes
//! ```
//!
//! All integers are little-endian, but for the lengths of a ziplist's texts. Everything is checked on the way: whatever
//! these functions accept is sound.

use crate::types::listpack::{self, Element};

/// A ziplist's frame: what stands before the entries.
const HEADER: usize = 10;
const END: u8 = 0xFF;
/// A length that follows in four bytes.
const LONG: u8 = 0xFE;

/// Visits the elements of a ziplist. `None` if it is not one, which may show after some elements were visited.
pub fn each<'a>(bytes: &'a [u8], mut visit: impl FnMut(Element<'a>)) -> Option<()> {
    let total = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let tail = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?) as usize;
    let count = u16::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
    let (&last, _) = bytes.split_last()?;
    if total != bytes.len() || total <= HEADER || last != END {
        return None;
    }
    let entries = &bytes[..total - 1];
    let (mut at, mut before, mut last_at, mut seen) = (HEADER, 0, HEADER, 0usize);
    while at < entries.len() {
        let (previous, header) = match entries[at] {
            END => return None,
            LONG => (u32::from_le_bytes(*entries.get(at + 1..)?.first_chunk()?) as usize, 5),
            short => (usize::from(short), 1),
        };
        if previous != before {
            return None;
        }
        let (element, len) = element(entries.get(at + header..)?)?;
        visit(element);
        last_at = at;
        before = header + len;
        at += before;
        seen += 1;
    }
    let counted = count == u16::MAX || usize::from(count) == seen;
    (counted && tail == last_at).then_some(())
}

/// An entry's encoding and contents at the start of `bytes`, and how long they are.
fn element(bytes: &[u8]) -> Option<(Element<'_>, usize)> {
    let &first = bytes.first()?;
    let (header, len) = match first {
        0..0x40 => (1, usize::from(first)),
        0x40..0x80 => (2, usize::from(first & 0x3F) << 8 | usize::from(*bytes.get(1)?)),
        0x80 => (5, u32::from_be_bytes(*bytes.get(1..)?.first_chunk()?) as usize),
        0xF1..=0xFD => return Some((Element::Integer(i64::from(first & 0x0F) - 1), 1)),
        _ => {
            let width = match first {
                0xC0 => 2,
                0xD0 => 4,
                0xE0 => 8,
                0xF0 => 3,
                0xFE => 1,
                _ => return None,
            };
            let mut value = [0; 8];
            value[8 - width..].copy_from_slice(bytes.get(1..1 + width)?);
            return Some((Element::Integer(i64::from_le_bytes(value) >> (64 - 8 * width)), 1 + width));
        }
    };
    Some((Element::Text(bytes.get(header..)?.get(..len)?), header + len))
}

/// A ziplist's elements as a listpack.
pub fn to_listpack(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut elements, mut count) = (Vec::with_capacity(bytes.len()), 0);
    each(bytes, |element| {
        // Text may be an integer that older versions did not see as one.
        match element {
            Element::Text(text) => listpack::encode(text, &mut elements),
            Element::Integer(value) => listpack::encode_integer(value, &mut elements),
        }
        count += 1;
    })?;
    Some(of_elements(&elements, count))
}

/// A zipmap's fields and values as a listpack. There never was an empty one.
pub fn zipmap_to_listpack(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut elements, mut count) = (Vec::with_capacity(bytes.len()), 0);
    let (&stored, mut rest) = bytes.split_first()?;
    loop {
        if rest == [END] {
            break;
        }
        let field_len = zipmap_len(&mut rest)?;
        listpack::encode(rest.split_off(..field_len)?, &mut elements);
        let value_len = zipmap_len(&mut rest)?;
        let unused = usize::from(*rest.split_off_first()?);
        listpack::encode(rest.split_off(..value_len)?, &mut elements);
        rest.split_off(..unused)?;
        count += 2;
    }
    let counted = count > 0 && (stored >= LONG || usize::from(stored) == count / 2);
    counted.then(|| of_elements(&elements, count))
}

fn zipmap_len(rest: &mut &[u8]) -> Option<usize> {
    match *rest.split_off_first()? {
        END => None,
        LONG => {
            let bytes = rest.split_off(..4)?;
            Some(u32::from_le_bytes(*bytes.first_chunk()?) as usize)
        }
        short => Some(usize::from(short)),
    }
}

fn of_elements(elements: &[u8], count: usize) -> Vec<u8> {
    let mut list = listpack::EMPTY.to_vec();
    listpack::append(&mut list, elements, count);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[u8]) -> Vec<String> {
        listpack::iter(list).map(|(_, element)| String::from_utf8(element.to_vec()).expect("ASCII")).collect()
    }

    /// A ziplist of entries that are given without the length of the one before.
    fn ziplist(entries: &[&[u8]]) -> Vec<u8> {
        let (mut body, mut tail, mut before) = (Vec::new(), HEADER, 0);
        for entry in entries {
            tail = HEADER + body.len();
            if before < 254 {
                body.push(before as u8);
                before = 1;
            } else {
                body.push(LONG);
                body.extend_from_slice(&(before as u32).to_le_bytes());
                before = 5;
            }
            body.extend_from_slice(entry);
            before += entry.len();
        }
        let mut bytes = ((HEADER + body.len() + 1) as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(&(tail as u32).to_le_bytes());
        bytes.extend_from_slice(&(entries.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes.push(END);
        bytes
    }

    #[test]
    fn all_encodings_of_entries() {
        let long = [&[0x41, 0x2C][..], &[b'x'; 300]].concat();
        let longer = [&[0x80, 0, 0, 0, 3][..], b"abc"].concat();
        let cases: &[(&[u8], &str)] = &[
            (b"\x02hi", "hi"),
            (b"\x00", ""),
            (&long, &"x".repeat(300)),
            (&longer, "abc"),
            (b"\xC0\xFE\xFF", "-2"),
            (b"\xD0\x00\x00\x00\x80", "-2147483648"),
            (b"\xE0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", "9223372036854775807"),
            (b"\xF0\x00\x00\x80", "-8388608"),
            (b"\xFE\x80", "-128"),
            (b"\xF1", "0"),
            (b"\xFD", "12"),
            (b"\x0212", "12"),
        ];
        let (entries, expected): (Vec<&[u8]>, Vec<&str>) = cases.iter().copied().unzip();
        let bytes = ziplist(&entries);
        assert_eq!(texts(&to_listpack(&bytes).expect("a ziplist")), expected);
        assert_eq!(texts(&to_listpack(&ziplist(&[])).expect("an empty one")), Vec::<String>::new());
    }

    #[test]
    fn zipmaps() {
        let map = b"\x02\x03foo\x03\x00bar\x01a\x02\x0312___\xFF";
        assert_eq!(texts(&zipmap_to_listpack(map).expect("a zipmap")), ["foo", "bar", "a", "12"]);
        let long = [&b"\xFE\xFE\x2C\x01\x00\x00"[..], &[b'k'; 300], b"\x01\x00v\xFF"].concat();
        assert_eq!(texts(&zipmap_to_listpack(&long).expect("a zipmap"))[0].len(), 300);
        assert_eq!(zipmap_to_listpack(b"\x00\xFF"), None);
    }

    #[test]
    fn damage_is_seen_and_nothing_else_happens() {
        let mut rng = fastrand::Rng::with_seed(9);
        let whole =
            ziplist(&[b"\x02hi", b"\xF3", b"\xC0\x01\x02", &[&[0x41, 0x2C][..], &[b'x'; 300]].concat(), b"\x01z"]);
        let map = b"\x02\x03foo\x03\x00bar\x01a\x02\x0312___\xFF";
        for len in 0..whole.len() {
            assert!(to_listpack(&whole[..len]).is_none());
        }
        for len in 0..map.len() {
            assert!(zipmap_to_listpack(&map[..len]).is_none());
        }
        for _ in 0..20_000 {
            let mut broken = whole.clone();
            let mut broken_map = map.to_vec();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..broken.len());
                broken[at] = rng.u8(..);
                let at = rng.usize(..broken_map.len());
                broken_map[at] = rng.u8(..);
            }
            for list in [to_listpack(&broken), zipmap_to_listpack(&broken_map)].into_iter().flatten() {
                assert!(listpack::validate(&list));
            }
        }
    }
}
