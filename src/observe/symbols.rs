//! Names of functions by their addresses, looked up in the program's own file: without allocating and without locks, so that
//! it can be done while the process dies.
//!
//! The symbol table of the file is searched from end to end, which takes about a millisecond for each address. Only ELF files of
//! 64 bits, little-endian, are understood. Functions that were inlined have no address, and so no name.
#![allow(unsafe_code)]

use std::ffi::c_void;

use rustc_demangle::{Demangle, demangle};

const SYMBOLS: usize = 2;
const FUNCTION: u8 = 2;
const SYMBOL_BYTES: usize = 24;

/// The program's file, mapped.
pub struct Symbols {
    start: *mut c_void,
    len: usize,
    /// What is to be added to an address in the file.
    bias: usize,
}

impl Symbols {
    /// Maps the file of the running program.
    pub fn of_this_program() -> Option<Symbols> {
        // SAFETY: plain system calls; the mapping is private, read-only and lives until it is unmapped on drop.
        unsafe {
            let file = libc::open(c"/proc/self/exe".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            if file < 0 {
                return None;
            }
            let len = usize::try_from(libc::lseek(file, 0, libc::SEEK_END)).unwrap_or(0);
            let start = libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, libc::MAP_PRIVATE, file, 0);
            libc::close(file);
            if start == libc::MAP_FAILED {
                return None;
            }
            let mut symbols = Symbols { start, len, bias: 0 };
            let headers = number::<8>(symbols.bytes(), 0x20)?;
            // The program headers lie in the first page of a program, at the same distance from its beginning as in the file.
            symbols.bias = (libc::getauxval(libc::AT_PHDR) as usize).wrapping_sub(headers);
            // A program that is not moved has its addresses in the file.
            const MOVABLE: usize = 3;
            if number::<2>(symbols.bytes(), 0x10)? != MOVABLE {
                symbols.bias = 0;
            }
            Some(symbols)
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has so many bytes and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.len) }
    }

    /// The function in which an address lies, and the distance from its beginning.
    pub fn find(&self, address: usize) -> Option<(Demangle<'_>, usize)> {
        find(self.bytes(), address.wrapping_sub(self.bias))
    }
}

fn find(file: &[u8], address: usize) -> Option<(Demangle<'_>, usize)> {
    if !file.starts_with(b"\x7FELF\x02\x01") {
        return None;
    }
    let (at, size, count) = (number::<8>(file, 0x28)?, number::<2>(file, 0x3A)?, number::<2>(file, 0x3C)?);
    let section = |nth: usize| file.get(at + nth * size..at + (nth + 1) * size);
    let range = |header: &[u8]| Some((number::<8>(header, 0x18)?, number::<8>(header, 0x20)?));
    let table = (0..count).filter_map(section).find(|header| number::<4>(header, 4) == Some(SYMBOLS))?;
    let (offset, bytes) = range(table)?;
    let (names, names_bytes) = range(section(number::<4>(table, 0x28)?)?)?;
    let names = file.get(names..names + names_bytes)?;
    for symbol in file.get(offset..offset + bytes)?.chunks_exact(SYMBOL_BYTES) {
        let (from, size) = (number::<8>(symbol, 8)?, number::<8>(symbol, 16)?);
        if symbol[4] & 0xF == FUNCTION && (from..from.saturating_add(size)).contains(&address) {
            let name = names.get(number::<4>(symbol, 0)?..)?;
            let name = &name[..memchr::memchr(0, name)?];
            return Some((demangle(std::str::from_utf8(name).ok()?), address - from));
        }
    }
    None
}

impl Drop for Symbols {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody borrows it any more.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

/// A little-endian number of so many bytes.
fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<usize> {
    let mut word = [0; 8];
    word[..BYTES].copy_from_slice(bytes.get(at..at + BYTES)?);
    Some(u64::from_le_bytes(word) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_by_an_address_within_it() {
        // A header, two sections' headers, names, and two symbols: one that is no function, and one that is.
        let mut file = vec![0_u8; 0x100];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7FELF\x02\x01");
        [(0x28, 0x40), (0x3A, 0x40), (0x3C, 2)].into_iter().for_each(|(at, value)| put(at, &[value]));
        let (symbols, names) = (0x40, 0x80);
        put(symbols + 4, &[SYMBOLS as u8]);
        put(symbols + 0x18, &[0xC0]);
        put(symbols + 0x20, &[2 * SYMBOL_BYTES as u8]);
        put(symbols + 0x28, &[1]);
        put(names + 0x18, &[0xF0]);
        put(names + 0x20, &[0x10]);
        put(0xC0 + 4, &[1, 0, 0, 0, 0x10, 0x10]);
        put(0xC0 + 16, &[0x40]);
        put(0xC0 + SYMBOL_BYTES, &[1, 0, 0, 0, 0x12, 0, 0, 0, 0x10, 0x10]);
        put(0xC0 + SYMBOL_BYTES + 16, &[0x40]);
        put(0xF1, b"_ZN1a3fooE\0");
        for (address, expected) in
            [(0x100F, None), (0x1010, Some(0)), (0x1012, Some(2)), (0x104F, Some(0x3F)), (0x1050, None)]
        {
            let found = find(&file, address);
            assert_eq!(found.as_ref().map(|&(_, offset)| offset), expected, "{address:#x}");
            assert!(found.is_none_or(|(name, _)| format!("{name:#}") == "a::foo"));
        }
        assert!((0..file.len()).all(|len| find(&file[..len], 0x1012).is_none() || len >= 0xFC));
    }

    #[test]
    fn this_program_can_be_read() {
        assert!(Symbols::of_this_program().is_some_and(|symbols| symbols.find(16).is_none()));
    }
}
