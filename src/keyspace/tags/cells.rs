//! The members of a tag: a list of cells, each of which names an entry by the address of its block.
//!
//! The cells lie in chunks of [`CHUNK`], of which all but the last are full, so that growth copies no more than one chunk.
//! A member knows the index of its cell. One that leaves is replaced by the last: so members only ever move from behind to
//! the front, and who visits them from behind misses none.

use std::ptr::NonNull;

/// Cells of a full chunk: 4 KB.
const CHUNK: usize = 512;

type Chunk = Box<[NonNull<u8>]>;

/// The list.
#[derive(Default)]
pub struct Cells {
    /// The last chunk.
    tail: Vec<NonNull<u8>>,
    /// The chunks before it. Few tags have any.
    #[expect(clippy::box_collection, reason = "eight bytes in most records rather than 24")]
    full: Option<Box<Vec<Chunk>>>,
}

impl Cells {
    fn chunks(&self) -> usize {
        self.full.as_ref().map_or(0, |full| full.len())
    }

    /// How many members there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.chunks() * CHUNK + self.tail.len()
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.tail.is_empty() && self.full.is_none()
    }

    /// The member at an index.
    pub fn get(&self, index: usize) -> NonNull<u8> {
        match &self.full {
            Some(full) if index / CHUNK < full.len() => full[index / CHUNK][index % CHUNK],
            _ => self.tail[index - self.chunks() * CHUNK],
        }
    }

    /// Puts another address in the place of a member: its entry has moved.
    #[inline]
    pub fn set(&mut self, index: usize, address: NonNull<u8>) {
        let before = self.chunks();
        match &mut self.full {
            Some(full) if index / CHUNK < before => full[index / CHUNK][index % CHUNK] = address,
            _ => self.tail[index - before * CHUNK] = address,
        }
    }

    /// Adds a member. Returns its index.
    ///
    /// # Panics
    /// At 2^32 - 1 members, whose entries take more memory than there is.
    #[inline]
    pub fn push(&mut self, address: NonNull<u8>) -> u32 {
        if self.tail.len() == self.tail.capacity() {
            self.grow();
        }
        let index = self.len();
        assert!(index < u32::MAX as usize, "fewer than 2^32 - 1 members");
        self.tail.push(address);
        index as u32
    }

    /// Makes room for another cell: by doubling, up to a whole chunk.
    #[cold]
    fn grow(&mut self) {
        if self.tail.len() == CHUNK {
            let chunk = std::mem::replace(&mut self.tail, Vec::with_capacity(CHUNK));
            self.full.get_or_insert_default().push(chunk.into_boxed_slice());
        } else {
            self.tail.reserve_exact(self.tail.len().max(1));
        }
    }

    /// Takes a member out. Returns the one that has its index now, if there is any.
    #[inline]
    pub fn swap_remove(&mut self, index: usize) -> Option<NonNull<u8>> {
        let last = self.len() - 1;
        let moved = self.tail.pop().expect("a list with members has some in its last chunk");
        if self.tail.len() <= self.tail.capacity() / 4 {
            self.shrink();
        }
        if index == last {
            return None;
        }
        self.set(index, moved);
        Some(moved)
    }

    /// Gives back memory that is no longer needed.
    #[cold]
    fn shrink(&mut self) {
        if !self.tail.is_empty() {
            // A list of several chunks is about to need a whole one again.
            if self.full.is_none() {
                self.tail.shrink_to(self.tail.capacity() / 2);
            }
            return;
        }
        self.tail = self.full.as_mut().and_then(|full| full.pop()).map_or_else(Vec::new, Vec::from);
        match &mut self.full {
            Some(full) if full.is_empty() => self.full = None,
            Some(full) if full.len() <= full.capacity() / 4 => full.shrink_to(full.capacity() / 2),
            _ => {}
        }
    }

    /// Forgets the members of one chunk, of a list that nobody uses any more; false when there are none left.
    pub fn free_chunk(&mut self) -> bool {
        self.tail = Vec::new();
        self.shrink();
        !self.is_empty()
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        let list = self.full.as_ref().map_or(0, |full| size_of::<Vec<Chunk>>() + full.capacity() * size_of::<Chunk>());
        list + (self.chunks() * CHUNK + self.tail.capacity()) * size_of::<NonNull<u8>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: usize) -> NonNull<u8> {
        NonNull::new(std::ptr::without_provenance_mut(n + 1)).expect("not null")
    }

    #[test]
    fn behaves_like_a_vector_while_it_grows_and_shrinks() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (mut cells, mut model) = (Cells::default(), Vec::new());
        for grows in [90, 10, 55, 0] {
            for n in 0..4 * CHUNK {
                if rng.usize(..100) < grows {
                    assert_eq!(cells.push(address(n)) as usize, model.len());
                    model.push(address(n));
                } else if !model.is_empty() {
                    let index = rng.usize(..model.len());
                    model.swap_remove(index);
                    assert_eq!(cells.swap_remove(index), model.get(index).copied());
                    if !model.is_empty() {
                        let index = rng.usize(..model.len());
                        model[index] = address(n);
                        cells.set(index, address(n));
                    }
                }
                assert_eq!((cells.len(), cells.is_empty()), (model.len(), model.is_empty()));
                assert!(cells.memory_bytes() <= model.len() * 9 + CHUNK * 8 + 200);
            }
            assert!((0..model.len()).all(|index| cells.get(index) == model[index]));
        }
        assert_eq!(cells.memory_bytes(), 0);
        (0..3 * CHUNK + 1).for_each(|n| assert_eq!(cells.push(address(n)) as usize, n));
        let chunks = std::iter::repeat_with(|| cells.free_chunk()).take_while(|more| *more).count();
        assert_eq!((chunks, cells.memory_bytes()), (3, 0));
    }
}
