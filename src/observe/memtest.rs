//! A quick test of the process's memory when it crashes: broken memory is a cause that nobody thinks of.
//!
//! Every word of memory that is present is inverted and put back. Nobody else may run meanwhile. Nothing is allocated.
#![allow(unsafe_code)]

use std::fmt::Write;

/// Bytes that are asked about at once, and of a page.
const CHUNK: usize = 1 << 20;
const PAGE: usize = 4096;

/// Tests all memory that belongs to no file, and says how far it has got. Returns how many words did not keep what was written.
pub fn test(out: &mut impl Write) -> usize {
    let here = 0_u8;
    let here = std::ptr::from_ref(&here) as usize;
    let (mut bad, mut line, mut len, mut whole) = (0, [0_u8; 128], 0, true);
    let mut piece = [0_u8; 512];
    // SAFETY: plain system calls on a descriptor and a buffer of our own.
    let file = unsafe { libc::open(c"/proc/self/maps".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    loop {
        // SAFETY: as above.
        let read = unsafe { libc::read(file, piece.as_mut_ptr().cast(), piece.len()) };
        let Ok(read @ 1..) = usize::try_from(read) else { break };
        for &byte in &piece[..read] {
            if byte != b'\n' {
                // What is beyond is a name, and such a mapping is a file's or special.
                whole &= len < line.len();
                if whole {
                    line[len] = byte;
                    len += 1;
                }
                continue;
            }
            if let Some((from, to)) = region(&line[..len]).filter(|&(from, to)| whole && !(from..to).contains(&here)) {
                let _ = writeln!(out, "*** Preparing to test memory region {from:x} ({} bytes)", to - from);
                bad += test_region(from, to);
            }
            (len, whole) = (0, true);
        }
    }
    // SAFETY: as above.
    unsafe { libc::close(file) };
    bad
}

/// The range of a mapping that can be written and belongs to no file.
fn region(line: &[u8]) -> Option<(usize, usize)> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let (rights, _offset, device) = (words.next()?, words.next()?, words.next()?);
    let name = words.nth(1).unwrap_or("");
    let named = name.is_empty() || name == "[heap]" || name.starts_with("[anon");
    let plain = rights.starts_with("rw") && device == "00:00" && named;
    let hex = |text| usize::from_str_radix(text, 16).ok();
    plain.then_some((hex(from)?, hex(to)?))
}

fn test_region(from: usize, to: usize) -> usize {
    let mut bad = 0;
    for chunk in (from..to).step_by(CHUNK) {
        let end = (chunk + CHUNK).min(to);
        let mut present = [0_u8; CHUNK / PAGE];
        // SAFETY: the kernel writes a byte for each page of the range, for which there is room.
        let known = unsafe {
            libc::mincore(std::ptr::with_exposed_provenance_mut(chunk), end - chunk, present.as_mut_ptr().cast())
        };
        if known != 0 {
            continue;
        }
        // What was never touched needs no test, and would only take memory.
        for page in (chunk..end).step_by(PAGE).filter(|page| present[(page - chunk) / PAGE] & 1 == 1) {
            for word in (page..page + PAGE).step_by(size_of::<usize>()) {
                bad += usize::from(!keeps(std::ptr::with_exposed_provenance_mut(word)));
            }
        }
    }
    bad
}

/// Whether a word keeps what is written there.
fn keeps(word: *mut usize) -> bool {
    // SAFETY: the word lies in a page that is present and may be written; the caller sees to it that nobody else runs. It has its
    // value again afterwards.
    unsafe {
        let value = word.read_volatile();
        word.write_volatile(!value);
        let inverted = word.read_volatile();
        word.write_volatile(value);
        inverted == !value && word.read_volatile() == value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_those_without_a_file() {
        for (line, expected) in [
            ("7f00-7f10 rw-p 00000000 00:00 0", Some((0x7f00, 0x7f10))),
            ("7f00-7f10 rw-p 00000000 00:00 0    [heap]", Some((0x7f00, 0x7f10))),
            ("7f00-7f10 rw-p 00000000 00:00 0    [stack]", None),
            ("7f00-7f10 r--p 00000000 00:00 0", None),
            ("7f00-7f10 rw-p 00000000 08:01 12   /lib/x", None),
            ("nonsense", None),
        ] {
            assert_eq!(region(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn memory_is_as_before() {
        let mut words: Vec<usize> = (0..1000).collect();
        assert!(words.iter_mut().all(|word| keeps(word)));
        assert!(words.iter().copied().eq(0..1000));
    }
}
