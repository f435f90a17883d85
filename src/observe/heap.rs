//! What the allocator knows of its memory, and its numbers and texts by name, some of which can be set.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::{fmt, io, ptr};

use tikv_jemalloc_ctl::{epoch, stats, stats_print, version as jemalloc_version};
use tikv_jemalloc_sys::mallctl;

use crate::observe::reason;

/// The allocator's own books, in bytes. They are more than what the server asked for: every thread, and the allocator's
/// caches, are in them.
#[derive(Clone, Copy, Default, Debug)]
pub struct Heap {
    /// In blocks that are in use.
    pub allocated: usize,
    /// In pages that hold such blocks.
    pub active: usize,
    /// In pages that are in RAM because of the allocator.
    pub resident: usize,
    /// In pages that the kernel may take when it needs them.
    pub muzzy: usize,
}

/// The number by which jemalloc names all arenas together.
const ALL_ARENAS: u32 = 4096;

/// The books as of now. What cannot be read is 0.
pub fn books() -> Heap {
    // Statistics are a copy; this makes a new one.
    if epoch::advance().is_err() {
        return Heap::default();
    }
    let muzzy = format!("stats.arenas.{ALL_ARENAS}.pmuzzy");
    Heap {
        allocated: stats::allocated::read().unwrap_or(0),
        active: stats::active::read().unwrap_or(0),
        resident: stats::resident::read().unwrap_or(0),
        muzzy: number(&muzzy).unwrap_or(0) * number("arenas.page").unwrap_or(0),
    }
}

/// `jemalloc-5.3.1`, say.
pub fn allocator() -> String {
    let version = jemalloc_version::read().unwrap_or_default();
    format!("jemalloc-{}", version.split('-').next().unwrap_or_default())
}

/// All statistics as a text for people.
pub fn report() -> Vec<u8> {
    let mut text = Vec::new();
    if let Err(error) = stats_print::stats_print(&mut text, stats_print::Options::default()) {
        log::warn!("The allocator's statistics could not be printed: {error}");
    }
    text
}

/// One of the allocator's own numbers by the name that jemalloc's manual gives it, `arenas.page` say. `None` if there is
/// no such number.
pub fn number(name: &str) -> Option<usize> {
    usize::try_from(exchange(name, None).ok()??).ok()
}

/// Why the allocator does not do as it is told: a code of `errno`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal(c_int);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&reason(&io::Error::from_raw_os_error(self.0)))
    }
}

/// The number with a name, and sets it if there is a `new` one. `None` for what can only be set.
///
/// # Errors
/// If there is no such number, or it is not to be set.
pub fn exchange(name: &str, new: Option<i64>) -> Result<Option<i64>, Refusal> {
    if is_text(name) {
        return Err(Refusal(libc::EINVAL));
    }
    let name = checked(name)?;
    // The manual tells how large each is; the allocator refuses another size, before it reads or writes anything.
    for size in [size_of::<i64>(), size_of::<i32>(), size_of::<bool>()] {
        let (mut bytes, mut old, mut len) = (new.unwrap_or(0).to_le_bytes(), [0; size_of::<i64>()], size);
        let to_set = if new.is_some() { (bytes.as_mut_ptr().cast(), size) } else { (ptr::null_mut(), 0) };
        // SAFETY: both are numbers of `size` bytes, and what is no number is not among the names (see `checked`).
        let code = unsafe { mallctl(name.as_ptr(), old.as_mut_ptr().cast(), &mut len, to_set.0, to_set.1) };
        match code {
            0 => return Ok(Some(i64::from_le_bytes(old))),
            libc::EINVAL => {}
            libc::EPERM if new.is_some() => {
                // SAFETY: as above; nothing is to be read.
                match unsafe { mallctl(name.as_ptr(), ptr::null_mut(), ptr::null_mut(), to_set.0, to_set.1) } {
                    0 => return Ok(None),
                    libc::EINVAL => {}
                    code => return Err(Refusal(code)),
                }
            }
            code => return Err(Refusal(code)),
        }
    }
    Err(Refusal(libc::EINVAL))
}

/// What a text of the allocator is to become.
#[derive(Clone, Copy)]
pub enum NewText<'a> {
    /// It stays.
    Old,
    /// This.
    These(&'a str),
    /// It is no text, but something that is done when it is written to with nothing.
    Void,
}

/// The text with a name, and sets it if there is a new one. `None` for what can only be set, or done.
///
/// # Errors
/// If there is no such text, or it is not to be set.
pub fn exchange_text(name: &str, new: NewText<'_>) -> Result<Option<Vec<u8>>, Refusal> {
    let checked = checked(name)?;
    let mut old = None;
    if is_text(name) {
        let (mut text, mut len) = (ptr::null::<c_char>(), size_of::<*const c_char>());
        // SAFETY: the manual says of these names that what is read is the address of a text with a zero byte behind it, which
        // stays where it is.
        let code = unsafe { mallctl(checked.as_ptr(), (&raw mut text).cast(), &mut len, ptr::null_mut(), 0) };
        if code != 0 {
            return Err(Refusal(code));
        }
        // SAFETY: as above.
        old = (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes().to_vec());
    } else if !matches!(new, NewText::Void) {
        // What is no text must not be read as one, nor written.
        return Err(exchange(name, None).err().unwrap_or(Refusal(libc::EINVAL)));
    }
    let code = match new {
        NewText::Old => return Ok(old),
        // SAFETY: with nothing to be read or written, names that stand for something to be done do that, and others nothing.
        NewText::Void => unsafe { mallctl(checked.as_ptr(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), 0) },
        NewText::These(text) => {
            let text = CString::new(text).map_err(|_| Refusal(libc::EINVAL))?;
            let (mut address, len) = (text.as_ptr(), size_of::<*const c_char>());
            // SAFETY: the address of a text, which the allocator compares with those it knows and does not keep.
            unsafe { mallctl(checked.as_ptr(), ptr::null_mut(), ptr::null_mut(), (&raw mut address).cast(), len) }
        }
    };
    if code != 0 && old.is_none() { Err(Refusal(code)) } else { Ok(old) }
}

/// Names of texts; those of arenas besides.
const TEXTS: &[&str] =
    &["version", "config.malloc_conf", "opt.dss", "opt.junk", "opt.metadata_thp", "opt.percpu_arena", "opt.thp"];

fn is_text(name: &str) -> bool {
    TEXTS.contains(&name) || (name.starts_with("arena.") && name.ends_with(".dss"))
}

/// A name as the allocator takes it, unless it stands for what would take memory away that is in use, or is an address or read as
/// one.
fn checked(name: &str) -> Result<CString, Refusal> {
    const REFUSED: &[&str] = &[
        "reset",
        "destroy",
        "extent_hooks",
        "hooks",
        "dump",
        "lookup",
        "create",
        "name",
        "write",
        "prefix",
        "allocatedp",
        "deallocatedp",
    ];
    let mut words = name.split('.');
    let (first, last) = (words.next().unwrap_or_default(), words.next_back().unwrap_or_default());
    // Caches go by numbers that nobody here has been given; what experiments take may be an address.
    if matches!(first, "experimental" | "tcache") || REFUSED.contains(&last) {
        return Err(Refusal(libc::EPERM));
    }
    CString::new(name).map_err(|_| Refusal(libc::ENOENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_agree_with_themselves() {
        let Heap { allocated, active, resident, .. } = books();
        assert!(active >= allocated && resident >= active);
        assert!(allocator().starts_with("jemalloc-5."));
        assert!(String::from_utf8_lossy(&report()).contains("jemalloc"));
        let cases = [("arenas.page", Some(4096)), ("opt.abort", Some(0)), ("no.such", None)];
        for (name, expected) in cases {
            assert_eq!(number(name), expected, "{name}");
        }
        assert!(number("arenas.narenas").is_some_and(|arenas| arenas > 0));
    }

    #[test]
    fn what_can_be_set_is_set_and_nothing_is_broken() {
        fn refused<T>(code: c_int) -> Result<T, Refusal> {
            Err(Refusal(code))
        }
        assert_eq!(exchange("arenas.dirty_decay_ms", None), Ok(Some(10_000)));
        assert_eq!(exchange("arenas.dirty_decay_ms", Some(9_000)), Ok(Some(10_000)));
        assert_eq!(exchange("arenas.dirty_decay_ms", Some(10_000)), Ok(Some(9_000)));
        assert_eq!(exchange("arenas.page", Some(1)), refused(libc::EPERM));
        assert_eq!(exchange("thread.tcache.enabled", None), Ok(Some(1)));
        for name in ["no.such", "arena.0.no", "with\0zero"] {
            assert_eq!(exchange(name, None), refused(libc::ENOENT));
            assert_eq!(exchange_text(name, NewText::Old), refused(libc::ENOENT));
        }
        assert_eq!(exchange_text("opt.thp", NewText::Old), Ok(Some(b"never".to_vec())));
        assert_eq!(exchange("arena.0.dss", Some(1)), refused(libc::EINVAL));
        assert_eq!(exchange_text("arenas.page", NewText::Old), refused(libc::EINVAL));
        assert_eq!(exchange_text("arena.0.dss", NewText::These("secondary")), Ok(Some(b"secondary".to_vec())));
        assert_eq!(exchange_text("thread.tcache.flush", NewText::Void), Ok(None));
        let addresses =
            ["arena.0.name", "thread.tcache.ncached_max.write", "experimental.hooks.remove", "tcache.flush"];
        for name in
            ["arena.0.reset", "arena.0.destroy", "arena.0.extent_hooks", "arenas.create"].iter().chain(&addresses)
        {
            assert_eq!(exchange_text(name, NewText::Void), refused(libc::EPERM), "{name}");
            assert_eq!(exchange(name, Some(0)), refused(libc::EPERM), "{name}");
        }
        assert_eq!(Refusal(libc::EPERM).to_string(), "Operation not permitted");
    }
}
