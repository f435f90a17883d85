//! A tag's record, and its name, which stands in one block with the tag's number: the record owns the block, the table of
//! names finds it.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use super::cells::Cells;
use crate::memory::size_class;
use crate::types::table::Item;

/// The number of no node.
pub const NO_NODE: u32 = u32::MAX;

/// What is known of a tag.
pub struct Record {
    pub name: Name,
    pub members: Cells,
    /// How many of the members have other tags, too.
    pub shared: u32,
    /// The tag's place in the graph of links, or [`NO_NODE`].
    pub node: u32,
    /// Which life it is in.
    pub state: State,
}

/// Whether a tag still means something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Alive,
    /// It dies with all others that the plan has found; see [`super::plan`].
    Condemned,
    /// It was invalidated: its members do not exist any more, whether or not they have been removed.
    Dead {
        /// The number of the last snapshot that had begun by then.
        walk: u32,
        /// How many of them there were is not known before all have been removed.
        open: bool,
    },
}

impl Record {
    /// A tag without members and links.
    pub fn new(name: Name) -> Record {
        Record { name, members: Cells::default(), shared: 0, node: NO_NODE, state: State::Alive }
    }

    /// Whether it was invalidated, and left the table of names.
    #[cfg(test)]
    pub fn is_buried(&self) -> bool {
        matches!(self.state, State::Dead { .. })
    }

    /// Whether it has neither members nor links.
    pub fn is_hollow(&self) -> bool {
        self.members.is_empty() && self.node == NO_NODE
    }
}

/// A block of its own: the tag's number, the length of its name, the name.
pub struct Name(NonNull<u8>);

const TEXT_AT: usize = 8;

fn layout(len: usize) -> Layout {
    Layout::from_size_align(TEXT_AT + len, 4).expect("a name is far shorter than isize::MAX")
}

impl Name {
    /// The name of a tag with a number.
    ///
    /// # Panics
    /// If it has 2^32 bytes or more.
    pub fn new(tag: u32, text: &[u8]) -> Name {
        let len = u32::try_from(text.len()).expect("names are as long as arguments at most");
        let layout = layout(text.len());
        // SAFETY: the layout is not empty, and all of the block is written.
        unsafe {
            let Some(block) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            block.cast::<[u32; 2]>().write([tag, len]);
            block.add(TEXT_AT).copy_from_nonoverlapping(NonNull::from(text).cast(), text.len());
            Name(block)
        }
    }

    /// The name itself.
    pub fn text(&self) -> &[u8] {
        // SAFETY: the block lives as long as this.
        unsafe { Named::key(self.0) }
    }

    /// What the table of names knows it by. It must leave the table before the name goes.
    pub fn named(&self) -> Named {
        Named(self.0)
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        size_class(TEXT_AT + self.text().len())
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // SAFETY: the block was allocated with this layout and is not used afterwards.
        unsafe { dealloc(self.0.as_ptr(), layout(self.text().len())) }
    }
}

/// A name as the table of names holds it, without owning it.
pub struct Named(NonNull<u8>);

impl Named {
    /// The address of the block.
    pub fn address(&self) -> NonNull<u8> {
        self.0
    }

    /// The number of the tag with this name.
    ///
    /// # Safety
    /// `block` is that of a name that has not gone.
    #[inline]
    pub unsafe fn tag(block: NonNull<u8>) -> u32 {
        // SAFETY: the block begins with the number.
        unsafe { block.cast::<u32>().read() }
    }
}

// SAFETY: a name's block comes from the allocator (48 significant bits on the supported targets) and never changes; it lives
// longer than it is in the table, which `Name::named` asks for.
unsafe impl Item for Named {
    fn into_ptr(self) -> NonNull<u8> {
        self.0
    }

    unsafe fn from_ptr(block: NonNull<u8>) -> Named {
        Named(block)
    }

    #[inline]
    unsafe fn key<'a>(block: NonNull<u8>) -> &'a [u8] {
        // SAFETY: the block holds the length, and behind it so many bytes.
        unsafe {
            let len = block.cast::<u32>().add(1).read() as usize;
            NonNull::slice_from_raw_parts(block.add(TEXT_AT), len).as_ref()
        }
    }
}
