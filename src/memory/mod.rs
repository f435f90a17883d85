//! The allocator, and the exact count of bytes it has handed out.
//!
//! `used_memory` and `maxmemory` need to know, at every command, how much memory is in use. jemalloc can
//! tell, but asking costs microseconds; so every allocation and free adds its size class to a counter. The
//! reactor owns nearly all memory and counts without atomic read-modify-write instructions; the few other
//! threads share a second, atomic counter. A block may be freed by another thread than the one that
//! allocated it: each counter alone may drift or go negative, their sum is exact.
#![allow(unsafe_code)]

mod moving;
pub mod warm;

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ffi::{c_char, c_uint, c_void};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

use tikv_jemalloc_ctl::raw;
use tikv_jemalloc_sys::extent_hooks_t;
use tikv_jemallocator::Jemalloc;

/// The process's allocator: jemalloc with accounting.
pub struct Allocator;

/// A text that jemalloc reads when the process starts.
#[repr(transparent)]
pub struct Options(*const c_char);

// SAFETY: it points to a constant.
unsafe impl Sync for Options {}

/// One arena, because one thread owns the data; free pages serve any smaller request, so that those made ready ahead
/// ([`touch_ahead`]) are found. Huge pages are wanted there and nowhere else, whatever the system does by itself: one that is
/// touched first by the reactor can hold it up for ten milliseconds, where the host of a virtual machine has to find the memory.
/// Large blocks begin where a page does, so that their pages can be moved ([`moving`]), and have none to spare.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static OPTIONS: Options =
    Options(c"thp:never,metadata_thp:disabled,narenas:1,lg_extent_max_active_fit:16,cache_oblivious:false".as_ptr());

static BY_REACTOR: AtomicIsize = AtomicIsize::new(0);
static BY_OTHERS: AtomicIsize = AtomicIsize::new(0);
/// The bytes that were last asked for and could not be had.
static REFUSED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static IS_REACTOR: Cell<bool> = const { Cell::new(false) };
}

/// Declares the calling thread the only one that counts without atomics. Called once, by the reactor.
pub fn claim_reactor_thread() {
    IS_REACTOR.with(|flag| flag.set(true));
}

/// Milliseconds after which free pages go: never, at once, and as soon as jemalloc looks at them, a thousand frees later.
const KEEP: isize = -1;
const GO: isize = 0;
const SOON: isize = 1;

/// Has the allocator merge neighbouring free pages as they come free, and keep them until [`give_back_free_pages`]. Left alone,
/// it merges them when it gives them back, all at once and under the lock that every slab is taken and freed with: after a
/// flush of many keys that holds the reactor up for tens of milliseconds.
///
/// There is no setting for this, but what jemalloc takes for *muzzy* (the kernel may take these pages when it likes) it merges
/// at once. So all free pages become muzzy soon, by a hook which says that it is so and leaves them as they are.
///
/// # Errors
/// If the allocator does not know these settings.
pub fn merge_free_pages() -> Result<(), tikv_jemalloc_ctl::Error> {
    unsafe extern "C" fn leave(
        _: *mut extent_hooks_t,
        _: *mut c_void,
        _: usize,
        _: usize,
        _: usize,
        _: c_uint,
    ) -> bool {
        const FAILED: bool = false;
        FAILED
    }
    // SAFETY: the names are of values with these types; the hooks are copied from those in use, but for the one that does
    // nothing, which its contract allows: what such pages hold is undefined. They live as long as the process.
    unsafe {
        let hooks = *raw::read::<*mut extent_hooks_t>(b"arena.0.extent_hooks\0")?;
        let hooks = Box::leak(Box::new(extent_hooks_t { purge_lazy: Some(leave), ..hooks }));
        raw::write::<*mut extent_hooks_t>(b"arena.0.extent_hooks\0", hooks)?;
        raw::write(b"arena.0.muzzy_decay_ms\0", KEEP)?;
        raw::write(b"arena.0.dirty_decay_ms\0", SOON)
    }
}

/// Merges the pages that have come free by now. The reactor asks for this a few times in a millisecond while it has work:
/// jemalloc's own clock has ticks of four milliseconds, and merging what a flush frees in so long takes longer still.
pub fn merge_freed() {
    thread_local! {
        static DIRTY_DECAY: Option<[usize; 3]> = {
            let mut mib = [0; 3];
            raw::name_to_mib(b"arena.0.dirty_decay_ms\0", &mut mib).ok().map(|()| mib)
        };
    }
    let Some(mib) = DIRTY_DECAY.with(|mib| *mib) else { return };
    // SAFETY: the name is of a value with this type.
    let result = unsafe { raw::write_mib(&mib, GO).and_then(|()| raw::write_mib(&mib, SOON)) };
    debug_assert_eq!(result, Ok(()));
}

/// Bytes of free pages that the kernel does not have back.
pub fn free_bytes() -> usize {
    // SAFETY: the names are of values with these types. What is read is as old as the epoch.
    let pages = unsafe {
        raw::update(b"epoch\0", 1u64).and_then(|_| {
            let merged = raw::read::<usize>(b"stats.arenas.0.pmuzzy\0")?;
            raw::read::<usize>(b"stats.arenas.0.pdirty\0").map(|others| merged + others)
        })
    };
    pages.unwrap_or(0) * PAGE
}

/// Gives all free pages back to the kernel.
pub fn give_back_free_pages() {
    for (name, usual) in [(b"arena.0.dirty_decay_ms\0", SOON), (b"arena.0.muzzy_decay_ms\0", KEEP)] {
        // SAFETY: the names are of values with this type. To be told that pages go at once makes them go.
        if let Err(error) = unsafe { raw::write(name, GO).and_then(|()| raw::write(name, usual)) } {
            log::debug!("Free pages could not be given back: {error}");
        }
    }
}

/// Bytes in use, in size classes: what the process would have to free to own nothing.
pub fn used() -> usize {
    (BY_REACTOR.load(Relaxed) + BY_OTHERS.load(Relaxed)).max(0) as usize
}

/// As [`used`], counting only what the calling thread took and gave back, if it is the reactor's: what a piece of its work
/// adds to that, others do not disturb.
pub fn used_by_reactor() -> isize {
    BY_REACTOR.load(Relaxed)
}

/// The bytes that a request for `size` really takes: jemalloc's size classes, which are 8, the multiples of
/// 16 up to 128, four steps to each doubling up to 32 KB, and whole pages above.
pub const fn size_class(size: usize) -> usize {
    if size <= 8 {
        8
    } else if size <= 128 {
        (size + 15) & !15
    } else if size > 32 << 10 {
        (size + 4095) & !4095
    } else {
        let shift = usize::BITS - (size - 1).leading_zeros() - 3;
        (((size - 1) >> shift) + 1) << shift
    }
}

/// Bytes of a huge page.
pub const HUGE_PAGE: usize = 2 << 20;
/// Bytes of an ordinary page.
const PAGE: usize = 4 << 10;

/// Takes memory from the kernel until `bytes` of it lie ready, and leaves them with the allocator for whoever asks next. Not
/// counted as used. They are huge pages where the kernel has them, because random keys cost page walks, and nothing here
/// forks, so that they cost nothing in return. Only at the first touch: where huge pages stay wanted, the kernel fills up by and
/// by what has been given back to it from between pages in use.
pub fn touch_ahead(bytes: usize) {
    // Not aligned to huge pages: the gaps between aligned blocks would go to the allocator's free pages untouched.
    let Ok(layout) = Layout::from_size_align(HUGE_PAGE, PAGE) else { return };
    let blocks: Vec<*mut u8> = (0..bytes / HUGE_PAGE)
        // SAFETY: the layout's size is not zero.
        .map(|_| unsafe { Jemalloc.alloc(layout) })
        .take_while(|block| !block.is_null())
        .collect();
    // SAFETY: allocated above with this layout, and given back once.
    let give_back = |block| unsafe { Jemalloc.dealloc(block, layout) };
    // Those that lie ready already go back at once: somebody may need them while the others are touched.
    let (ready, cold): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|&block| is_resident(block));
    ready.into_iter().for_each(give_back);
    for &block in &cold {
        want_huge_pages(block, true);
    }
    for &block in &cold {
        for offset in (0..HUGE_PAGE).step_by(PAGE) {
            // SAFETY: within the block, which nobody else knows. The kernel gives a page for it, or the whole huge page.
            unsafe { block.add(offset).write_volatile(0) };
        }
        give_back(block);
    }
    for block in cold {
        want_huge_pages(block, false);
    }
}

/// Says whether pages that are touched first where a block of a huge page's size lies should be huge; it lies in two of them, or in
/// one. Those that are stay so.
fn want_huge_pages(block: *mut u8, wanted: bool) {
    let first = block.map_addr(|address| address & !(HUGE_PAGE - 1));
    let advice = if wanted { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
    // SAFETY: whether pages are huge changes nothing that a program can see. Where nothing is mapped, nothing happens.
    unsafe { libc::madvise(first.cast(), 2 * HUGE_PAGE, advice) };
}

/// Whether the kernel has given pages for a whole block of a huge page's size.
fn is_resident(block: *mut u8) -> bool {
    let mut pages = [0; HUGE_PAGE / PAGE];
    // SAFETY: the block is that many pages, and the kernel writes a byte for each.
    let asked = unsafe { libc::mincore(block.cast(), HUGE_PAGE, pages.as_mut_ptr()) };
    asked == 0 && pages.iter().all(|page| page & 1 == 1)
}

/// How many bytes were asked for when there was no memory left, if that has ever been: what a crash may be about.
pub fn refused() -> Option<usize> {
    Some(REFUSED.load(Relaxed)).filter(|&bytes| bytes > 0)
}

#[cold]
fn refuse(bytes: usize) {
    REFUSED.store(bytes, Relaxed);
}

/// Counts what a call has changed, if it has given a block.
#[inline]
fn settle(block: *mut u8, bytes: usize, before: usize) -> *mut u8 {
    if block.is_null() {
        refuse(bytes);
    } else {
        count(size_class(bytes) as isize - before as isize);
    }
    block
}

#[inline]
fn count(delta: isize) {
    if IS_REACTOR.with(Cell::get) {
        // Only this thread writes the counter, so a plain load and store lose nothing.
        BY_REACTOR.store(BY_REACTOR.load(Relaxed).wrapping_add(delta), Relaxed);
    } else {
        BY_OTHERS.fetch_add(delta, Relaxed);
    }
}

// SAFETY: every call is forwarded unchanged to jemalloc, which upholds the contract of `GlobalAlloc`, or to `moving`, which does what
// `realloc` is to do; the counting around it touches no memory of the caller.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is passed on.
        settle(unsafe { Jemalloc.alloc(layout) }, layout.size(), 0)
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is passed on.
        settle(unsafe { Jemalloc.alloc_zeroed(layout) }, layout.size(), 0)
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(size_class(layout.size()) as isize));
        // SAFETY: the caller's contract is passed on.
        unsafe { Jemalloc.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's contract is passed on.
        let moved = unsafe {
            if moving::is_due(layout, size) {
                moving::grow(block, layout, size)
            } else {
                Jemalloc.realloc(block, layout, size)
            }
        };
        settle(moved, size, size_class(layout.size()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_those_of_the_allocator() {
        for size in (1..70_000).chain([1 << 20, (1 << 20) + 1, 5 << 20, 123_456_789]) {
            // SAFETY: nallocx only computes.
            let real = unsafe { tikv_jemalloc_sys::nallocx(size, 0) };
            assert_eq!(size_class(size), real, "a request of {size} bytes");
        }
    }
}
