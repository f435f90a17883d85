//! Large blocks that grow without being copied.
//!
//! jemalloc grows a block in place if enough of what lies behind it is free, and copies it otherwise: 400 MB in a third of a
//! second. The kernel can move the block's pages to where the new block is in some milliseconds. It leaves the old range mapped
//! and empty, so that to the allocator it is a block like any other, which is freed.
//!
//! Each move may add a mapping to the process, of which the kernel allows some 65,000. They lie as far apart as the blocks that are
//! moved are large, so a hundred gigabytes have room for all.

use std::alloc::{GlobalAlloc, Layout, handle_alloc_error};
use std::ptr;

use tikv_jemalloc_sys::xallocx;
use tikv_jemallocator::Jemalloc;

use super::PAGE;

/// Blocks of so many bytes are moved.
pub const LARGE: usize = 16 << 20;
/// Pieces of so many bytes are copied if they cannot be moved.
const PIECE: usize = 2 << 20;

/// Whether a block that is to have so many bytes instead grows by moving.
#[inline]
pub fn is_due(layout: Layout, size: usize) -> bool {
    layout.size() >= LARGE && size > layout.size()
}

/// Makes a block larger, as `realloc` does. The new bytes are undefined.
///
/// # Safety
/// As for [`GlobalAlloc::realloc`]; besides, [`is_due`] must say so, and the block must be jemalloc's.
#[cold]
pub unsafe fn grow(block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
    if layout.align() > size_of::<u128>() {
        // SAFETY: the caller's contract is passed on.
        return unsafe { Jemalloc.realloc(block, layout, size) };
    }
    // SAFETY: the block was allocated with no flags, as its alignment is one that all blocks have.
    if unsafe { xallocx(block.cast(), size, 0, 0) } >= size {
        return block;
    }
    // SAFETY: the caller promises that the size, rounded up to the alignment, is no more than a layout may have, and it is not zero.
    let fresh = unsafe { Jemalloc.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
    if !fresh.is_null() {
        let pages = layout.size().next_multiple_of(PAGE);
        // SAFETY: large blocks are whole pages, so both have so many, and they are apart; nobody else knows the fresh one. The
        // old one is freed once, with the layout it was allocated with.
        unsafe {
            if block.addr().is_multiple_of(PAGE) && fresh.addr().is_multiple_of(PAGE) {
                move_pages(block, fresh, pages);
            } else {
                fresh.copy_from_nonoverlapping(block, layout.size());
            }
            Jemalloc.dealloc(block, layout);
        }
    }
    fresh
}

/// Moves the contents of whole pages. What the old ones hold then is undefined.
///
/// # Safety
/// Both ranges must be readable, writable, private memory of page-aligned blocks that the caller alone uses; they must not overlap.
unsafe fn move_pages(from: *mut u8, to: *mut u8, len: usize) {
    // SAFETY: the halves are parts of the ranges that the caller vouches for.
    unsafe {
        if remap(from, to, len) {
            return;
        }
        if len <= PIECE {
            return to.copy_from_nonoverlapping(from, len);
        }
        // Pages that were advised on differently (see `want_huge_pages`) cannot be moved in one piece.
        let half = (len / 2).next_multiple_of(PAGE);
        move_pages(from, to, half);
        move_pages(from.add(half), to.add(half), len - half);
    }
}

/// Has the kernel move pages. Returns false, with everything as it was, if it does not.
///
/// # Safety
/// As for [`move_pages`].
unsafe fn remap(from: *mut u8, to: *mut u8, len: usize) -> bool {
    // In two steps, for the kernel may unmap the target before it finds that it cannot move what is to go there. The first step
    // has no target, and fails without a trace.
    // SAFETY: the old range stays mapped, so it is still the allocator's; what it holds is undefined from now on. The pages go to a
    // range that the kernel chooses, which is this function's alone.
    let aside = unsafe { libc::mremap(from.cast(), len, len, libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP) };
    if aside == libc::MAP_FAILED {
        return false;
    }
    // SAFETY: `aside` is a mapping of its own and as long as the target, all of whose contents nobody needs.
    let moved =
        unsafe { libc::mremap(aside, len, len, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, to.cast::<libc::c_void>()) };
    if moved == libc::MAP_FAILED {
        // The kernel is out of memory for its own tables, or of mappings. Advice that changes nothing finds out whether all of the
        // target is still mapped.
        // SAFETY: that touches no memory.
        if unsafe { libc::madvise(to.cast(), len, libc::MADV_NORMAL) } != 0 {
            handle_alloc_error(Layout::new::<[u8; PAGE]>());
        }
        // SAFETY: both are mapped and as long, and the pages that are given back are this function's own.
        unsafe {
            ptr::copy_nonoverlapping(aside.cast::<u8>(), to, len);
            libc::munmap(aside, len);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::want_huge_pages;

    /// Numbers, one in each page.
    fn fill(bytes: &mut [u8], from: usize) {
        for (number, page) in bytes.chunks_mut(PAGE).enumerate().skip(from / PAGE) {
            page[..8].copy_from_slice(&number.to_le_bytes());
        }
    }

    fn check(bytes: &[u8]) {
        for (number, page) in bytes.chunks(PAGE).enumerate() {
            assert_eq!(page[..8], number.to_le_bytes(), "page {number}");
        }
    }

    #[test]
    fn what_a_large_block_holds_moves_along() {
        let mut blocks: Vec<Vec<u8>> = Vec::new();
        for advised in [false, true] {
            let mut bytes = vec![0; LARGE];
            fill(&mut bytes, 0);
            while bytes.len() < 4 * LARGE {
                if advised {
                    // SAFETY: within the block.
                    want_huge_pages(unsafe { bytes.as_mut_ptr().add(LARGE / 2) }, true);
                }
                // What is allocated between keeps it from growing in place.
                blocks.push(vec![1; 1 << 20]);
                let old = bytes.len();
                bytes.reserve_exact(3 * LARGE / 4);
                bytes.resize(old + 3 * LARGE / 4, 0);
                fill(&mut bytes, old);
                check(&bytes);
            }
        }
        assert!(blocks.iter().flatten().all(|&byte| byte == 1));
    }

    #[test]
    fn pages_leave_an_empty_range_behind() {
        let mut from = vec![7; LARGE + PAGE];
        let mut to = vec![0; LARGE + PAGE];
        let offset = |bytes: &[u8]| bytes.as_ptr().align_offset(PAGE);
        let (start, target) = (offset(&from), offset(&to));
        // SAFETY: both blocks have a page more than is moved.
        unsafe { move_pages(from.as_mut_ptr().add(start), to.as_mut_ptr().add(target), LARGE) };
        assert!(to[target..][..LARGE].iter().all(|&byte| byte == 7));
        // The old range is memory as before.
        from.fill(9);
        assert!(from.iter().all(|&byte| byte == 9) && to[target..][..LARGE].iter().all(|&byte| byte == 7));
    }
}
