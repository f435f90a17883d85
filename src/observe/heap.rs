//! What the allocator knows of its memory, and how to make it give some back.
#![allow(unsafe_code)]

use tikv_jemalloc_ctl::{arenas, epoch, raw, stats, stats_print, version as jemalloc_version};

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
    let name = format!("{name}\0");
    // SAFETY: all bit patterns are good for these types, and the allocator refuses to read into one of another size.
    unsafe {
        let long = raw::read::<usize>(name.as_bytes());
        let short = || raw::read::<u32>(name.as_bytes()).map(|number| number as usize);
        let truth = |_| raw::read::<u8>(name.as_bytes()).map(usize::from);
        long.or_else(|_| short()).or_else(truth).ok()
    }
}

/// One of the allocator's own texts by the name that jemalloc's manual gives it. `None` for another name: what is no text
/// must not be read as one.
pub fn text(name: &str) -> Option<&'static [u8]> {
    const TEXTS: &[&str] =
        &["version", "config.malloc_conf", "opt.dss", "opt.junk", "opt.metadata_thp", "opt.percpu_arena", "opt.thp"];
    let name = TEXTS.contains(&name).then(|| format!("{name}\0"))?;
    // SAFETY: the manual says that these are constant texts with a zero byte behind them.
    unsafe { raw::read_str(name.as_bytes()) }.ok().map(|text| text.strip_suffix(b"\0").unwrap_or(text))
}

/// Gives unused pages back to the kernel at once, instead of after a while.
pub fn purge() {
    for arena in 0..arenas::narenas::read().unwrap_or(0) {
        for pages in ["dirty", "muzzy"] {
            let delay = format!("arena.{arena}.{pages}_decay_ms\0");
            // SAFETY: the value is declared as `ssize_t`, and 0 stands for no delay.
            let purged = unsafe {
                raw::update::<isize>(delay.as_bytes(), 0).and_then(|usual| raw::write(delay.as_bytes(), usual))
            };
            // An arena that was never used says that it is not there.
            if let Err(error) = purged {
                log::debug!("The {pages} pages of arena {arena} were not given back: {error}");
            }
        }
    }
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
        assert_eq!((text("opt.thp"), text("arenas.page")), (Some(&b"always"[..]), None));
        purge();
    }
}
