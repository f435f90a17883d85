//! The heap of a segment: byte strings, one behind the other in pages.
//!
//! ```text
//!   place   |<- 4 bits: page ->|<- 12 bits: where the entry begins in it ->|
//!
//!   entry   1 byte    tag: the length up to 125; 126 and 127 as below; 128 more when the entry is free
//!           2 bytes   126: the length; 127: the number of a long string, which is a block of its own
//!           the string's bytes, but of a long one
//! ```
//!
//! A page is never longer than [`PAGE`] bytes, and only the last one has room, in steps of the allocator's size classes: so
//! hardly any is wasted, and to grow means to move one page at most. What is freed stays where it is until the segment
//! is built anew ([`Heap::is_wasteful`]), or until a string of the same length comes: the free entry that came free last is
//! remembered, and in its last two bytes the one before it.

use super::super::hash::KeyHasher;
use crate::memory::size_class;

const PLACE_BITS: u32 = 12;
/// Bytes of a page.
const PAGE: usize = 1 << PLACE_BITS;
/// How many pages there are at most.
pub const PAGES: usize = 1 << (16 - PLACE_BITS);
/// Bytes that all pages have.
pub const MOST_BYTES: usize = PAGES * PAGE;
/// Tags: the length is in the two bytes that follow; the number of a long string is; and what is added to a free entry's.
const WIDE: u8 = 126;
const LONG: u8 = 127;
const FREE: u8 = 128;
/// Bytes of an entry in front of the string, if it is one of the two tags.
const WIDE_HEADER: usize = 3;
/// A longer string is a block of its own: packed, the ends of the pages would be worth more than what its block wastes.
const PACKED_MAX: usize = PAGE / 8 - 1;
/// Bytes of the smallest free entry that can remember another, and what stands for none.
const SMALLEST_HOLE: usize = 3;
const NO_HOLE: u16 = u16::MAX;
/// For every page that is full, an insertion takes along so many bytes of room more than it needs.
const SPARE: usize = PAGE / 32;

/// A string that has a block of its own, behind its hash: to hash it anew would take as long as it is. An empty block
/// is that of a string that is gone.
#[derive(Clone, Default)]
pub struct Long(Box<[u8]>);

impl Long {
    fn new(hash: u64, bytes: &[u8]) -> Long {
        Long([&hash.to_ne_bytes(), bytes].concat().into())
    }

    fn hash(&self) -> u64 {
        self.0.first_chunk().map_or(0, |hash| u64::from_ne_bytes(*hash))
    }

    fn bytes(&self) -> &[u8] {
        &self.0[size_of::<u64>()..]
    }

    /// Memory of its block.
    fn block_bytes(&self) -> usize {
        if self.0.is_empty() { 0 } else { size_class(self.0.len()) }
    }
}

/// A string on its way into a heap.
pub enum Entry<'a> {
    Packed(&'a [u8]),
    /// As it was packed in another one.
    Moved(Packed<'a>),
    Long(Long),
}

impl<'a> Entry<'a> {
    #[inline]
    pub fn new(hash: u64, bytes: &'a [u8]) -> Entry<'a> {
        if bytes.len() <= PACKED_MAX { Entry::Packed(bytes) } else { Entry::Long(Long::new(hash, bytes)) }
    }

    #[inline]
    pub fn hash(&self, hasher: &KeyHasher) -> u64 {
        match self {
            Entry::Packed(bytes) => hasher.hash(bytes),
            Entry::Moved(packed) => hasher.hash(packed.bytes()),
            Entry::Long(long) => long.hash(),
        }
    }

    /// Bytes that it takes in a page.
    #[inline]
    fn size(&self) -> usize {
        match self {
            Entry::Packed(bytes) if bytes.len() < WIDE as usize => 1 + bytes.len(),
            Entry::Packed(bytes) => WIDE_HEADER + bytes.len(),
            Entry::Moved(packed) => packed.0.len(),
            Entry::Long(_) => WIDE_HEADER,
        }
    }
}

/// A string and its length, as a page has them.
#[derive(Clone, Copy)]
pub struct Packed<'a>(&'a [u8]);

impl<'a> Packed<'a> {
    #[inline]
    fn bytes(self) -> &'a [u8] {
        if self.0.len() <= WIDE as usize { &self.0[1..] } else { &self.0[WIDE_HEADER..] }
    }
}

/// What a page says of an entry.
enum Found<'a> {
    Packed(Packed<'a>),
    /// A long string by its number.
    Long(usize),
}

/// The entry that a page has from here on, free or not, and its size.
#[inline]
fn decode(page: &[u8]) -> (Found<'_>, usize) {
    let size = match page[0] & !FREE {
        LONG => return (Found::Long(u16::from_le_bytes([page[1], page[2]]) as usize), WIDE_HEADER),
        WIDE => WIDE_HEADER + u16::from_le_bytes([page[1], page[2]]) as usize,
        len => 1 + len as usize,
    };
    (Found::Packed(Packed(&page[..size])), size)
}

/// Memory of a list, in bytes.
pub fn list_bytes<T>(list: &Vec<T>) -> usize {
    if list.capacity() == 0 { 0 } else { size_class(list.capacity() * size_of::<T>()) }
}

/// See above.
pub struct Heap {
    pages: Vec<Vec<u8>>,
    longs: Vec<Long>,
    /// The free entry that came free last, of those that a string may take the place of.
    hole: u16,
    /// Bytes of all entries, and of those that are free.
    len: u32,
    dead: u32,
    /// Memory of it all.
    bytes: usize,
}

impl Heap {
    pub const fn new() -> Heap {
        Heap { pages: Vec::new(), longs: Vec::new(), hole: NO_HOLE, len: 0, dead: 0, bytes: 0 }
    }

    /// Bytes of memory it takes.
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of all entries in use.
    pub fn live_bytes(&self) -> usize {
        (self.len - self.dead) as usize
    }

    /// Whether so much is free that it pays to move what is not.
    #[inline]
    pub fn is_wasteful(&self) -> bool {
        self.dead > 64 + self.len / 3
    }

    /// Whether an entry finds a place in one of `pages` pages.
    #[inline]
    pub fn has_room_for(&self, entry: &Entry<'_>, pages: usize) -> bool {
        self.pages.len() < pages || self.end_has(entry.size()) || self.hole_has(entry)
    }

    fn end_has(&self, size: usize) -> bool {
        self.pages.last().is_some_and(|page| page.len() + size <= PAGE)
    }

    /// Whether an entry is of the size of the free one that is remembered.
    #[inline]
    fn hole_has(&self, entry: &Entry<'_>) -> bool {
        match entry {
            Entry::Packed(bytes) if self.hole != NO_HOLE => self.get(self.hole).len() == bytes.len(),
            _ => false,
        }
    }

    /// Takes in an entry for which there is room. Returns its place.
    #[inline]
    pub fn insert(&mut self, entry: Entry<'_>) -> u16 {
        if !self.hole_has(&entry) {
            return self.append(entry, self.spare());
        }
        let at = self.hole;
        let size = entry.size();
        let Entry::Packed(bytes) = entry else { unreachable!("a long string takes nobody's place") };
        let (page, start) = self.page_mut(at);
        let end = start + size;
        let next = u16::from_le_bytes([page[end - 2], page[end - 1]]);
        page[start] &= !FREE;
        page[end - bytes.len()..end].copy_from_slice(bytes);
        self.hole = next;
        self.dead -= size as u32;
        at
    }

    /// Takes in an entry as one of many, behind which [`Heap::trim`] is called.
    pub fn insert_one_of_many(&mut self, entry: Entry<'_>) -> u16 {
        self.append(entry, PAGE)
    }

    /// Puts an entry behind the others. A page that must grow gets `spare` bytes more than it needs.
    #[inline]
    fn append(&mut self, entry: Entry<'_>, spare: usize) -> u16 {
        let size = entry.size();
        if !self.end_has(size) {
            assert!(self.pages.len() < PAGES, "a heap has at most {PAGES} pages");
            self.bytes -= list_bytes(&self.pages);
            self.pages.reserve_exact(1);
            self.pages.push(Vec::new());
            self.bytes += list_bytes(&self.pages);
        }
        let number = self.pages.len() - 1;
        let page = &mut self.pages[number];
        let start = page.len();
        if page.capacity() - start < size {
            self.bytes -= list_bytes(page);
            page.reserve_exact(size_class(start + size + spare).min(PAGE) - start);
            self.bytes += list_bytes(page);
        }
        match entry {
            Entry::Packed(bytes) => {
                if bytes.len() < WIDE as usize {
                    page.push(bytes.len() as u8);
                } else {
                    page.push(WIDE);
                    page.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
                }
                page.extend_from_slice(bytes);
            }
            Entry::Moved(packed) => page.extend_from_slice(packed.0),
            Entry::Long(long) => {
                page.push(LONG);
                page.extend_from_slice(&(self.longs.len() as u16).to_le_bytes());
                self.bytes += long.block_bytes();
                if self.longs.len() == self.longs.capacity() {
                    self.bytes -= list_bytes(&self.longs);
                    self.longs.reserve_exact(1 + self.longs.len() / 8);
                    self.bytes += list_bytes(&self.longs);
                }
                self.longs.push(long);
                self.len += size_of::<Long>() as u32;
            }
        }
        self.len += size as u32;
        (number << PLACE_BITS | start) as u16
    }

    fn spare(&self) -> usize {
        self.pages.len().saturating_sub(1) * SPARE
    }

    /// Gives back the room that came with many insertions.
    pub fn trim(&mut self) {
        let spare = self.spare();
        if let Some(page) = self.pages.last_mut() {
            self.bytes -= list_bytes(page);
            page.shrink_to(size_class(page.len() + spare).min(PAGE));
            self.bytes += list_bytes(page);
        }
    }

    /// Frees the entry at a place.
    pub fn free(&mut self, at: u16) {
        let hole = self.hole;
        let (page, start) = self.page_mut(at);
        let (found, size) = decode(&page[start..]);
        let long = if let Found::Long(number) = found { Some(number) } else { None };
        page[start] |= FREE;
        if let Some(number) = long {
            self.bytes -= std::mem::take(&mut self.longs[number]).block_bytes();
            self.dead += size_of::<Long>() as u32;
        } else if size >= SMALLEST_HOLE {
            page[start + size - 2..start + size].copy_from_slice(&hole.to_le_bytes());
            self.hole = at;
        }
        self.dead += size as u32;
    }

    fn page_mut(&mut self, at: u16) -> (&mut Vec<u8>, usize) {
        (&mut self.pages[at as usize >> PLACE_BITS], at as usize % PAGE)
    }

    #[inline]
    fn found(&self, at: u16) -> Found<'_> {
        decode(&self.pages[at as usize >> PLACE_BITS][at as usize % PAGE..]).0
    }

    /// The string at a place.
    #[inline]
    pub fn get(&self, at: u16) -> &[u8] {
        match self.found(at) {
            Found::Packed(packed) => packed.bytes(),
            Found::Long(number) => self.longs[number].bytes(),
        }
    }

    /// Whether the string at a place is this one.
    #[inline]
    pub fn is(&self, at: u16, bytes: &[u8]) -> bool {
        let entry = &self.pages[at as usize >> PLACE_BITS][at as usize % PAGE..];
        if bytes.len() < WIDE as usize {
            entry[0] as usize == bytes.len() && &entry[1..1 + bytes.len()] == bytes
        } else {
            self.get(at) == bytes
        }
    }

    /// A byte of each cache line in which a short string at a place lies. They are not looked at.
    #[inline]
    pub fn lines(&self, at: u16) -> [&u8; 2] {
        const SHORT: usize = 32;
        let entry = &self.pages[at as usize >> PLACE_BITS][at as usize % PAGE..];
        [&entry[0], entry.get(SHORT - 1).unwrap_or(&entry[0])]
    }

    /// The hash of the string at a place.
    #[inline]
    pub fn hash(&self, at: u16, hasher: &KeyHasher) -> u64 {
        self.hash_of(self.found(at), hasher)
    }

    #[inline]
    fn hash_of(&self, found: Found<'_>, hasher: &KeyHasher) -> u64 {
        match found {
            Found::Packed(packed) => hasher.hash(packed.bytes()),
            Found::Long(number) => self.longs[number].hash(),
        }
    }

    fn walk(&self) -> Walk<'_> {
        Walk { pages: &self.pages, page: 0, start: 0 }
    }

    /// All places in use and the hashes of their strings.
    pub fn hashes(&self, hasher: &KeyHasher) -> impl Iterator<Item = (u16, u64)> {
        self.walk().map(|(at, found)| (at, self.hash_of(found, hasher)))
    }

    /// All strings.
    pub fn iter(&self) -> Iter<'_> {
        Iter { walk: self.walk(), longs: &self.longs }
    }

    /// Hands over all strings.
    pub fn drain(mut self, mut take: impl FnMut(Entry<'_>)) {
        let mut longs = std::mem::take(&mut self.longs);
        for (_, found) in self.walk() {
            take(match found {
                Found::Packed(packed) => Entry::Moved(packed),
                Found::Long(number) => Entry::Long(std::mem::take(&mut longs[number])),
            });
        }
    }
}

impl Clone for Heap {
    fn clone(&self) -> Heap {
        let mut copy = Heap { pages: self.pages.clone(), longs: self.longs.clone(), ..*self };
        copy.bytes = list_bytes(&copy.pages)
            + copy.pages.iter().map(list_bytes).sum::<usize>()
            + list_bytes(&copy.longs)
            + copy.longs.iter().map(Long::block_bytes).sum::<usize>();
        copy
    }
}

/// The entries in use, page by page.
struct Walk<'a> {
    pages: &'a [Vec<u8>],
    page: usize,
    start: usize,
}

impl<'a> Iterator for Walk<'a> {
    type Item = (u16, Found<'a>);

    #[inline]
    fn next(&mut self) -> Option<(u16, Found<'a>)> {
        loop {
            let page = self.pages.get(self.page)?;
            let Some(rest @ [tag, ..]) = page.get(self.start..) else { return None };
            let (found, size) = decode(rest);
            let at = (self.page << PLACE_BITS | self.start) as u16;
            self.start += size;
            if self.start >= page.len() {
                self.page += 1;
                self.start = 0;
            }
            if tag & FREE == 0 {
                return Some((at, found));
            }
        }
    }
}

/// The iterator of [`Heap::iter`].
pub struct Iter<'a> {
    walk: Walk<'a>,
    longs: &'a [Long],
}

impl Default for Iter<'_> {
    fn default() -> Self {
        Iter { walk: Walk { pages: &[], page: 0, start: 0 }, longs: &[] }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.walk.next().map(|(_, found)| match found {
            Found::Packed(packed) => packed.bytes(),
            Found::Long(number) => self.longs[number].bytes(),
        })
    }
}

#[cfg(test)]
impl Heap {
    /// Checks what it counts. Returns the memory that it takes.
    pub fn check(&self) -> usize {
        let entries = |page: &Vec<u8>| {
            let mut sizes = Vec::new();
            let mut rest = page.as_slice();
            while let [tag, ..] = rest {
                let (found, size) = decode(rest);
                let long = if matches!(found, Found::Long(_)) { size_of::<Long>() } else { 0 };
                sizes.push((size + long, tag & FREE != 0));
                rest = &rest[size..];
            }
            sizes
        };
        let sizes: Vec<(usize, bool)> = self.pages.iter().flat_map(entries).collect();
        let sum = |dead: bool| sizes.iter().filter(|(_, free)| *free == dead).map(|(size, _)| size).sum::<usize>();
        assert_eq!((self.live_bytes(), self.dead as usize), (sum(false), sum(true)));
        assert!(self.pages.iter().all(|page| page.capacity() <= PAGE));
        let used = |at: u16| (at != NO_HOLE).then_some(at);
        let holes = std::iter::successors(used(self.hole), |&at| {
            let page = &self.pages[at as usize >> PLACE_BITS];
            let end = at as usize % PAGE + decode(&page[at as usize % PAGE..]).1;
            used(u16::from_le_bytes([page[end - 2], page[end - 1]]))
        });
        let holes: Vec<u16> = holes.collect();
        assert!(holes.iter().all(|&at| self.lines(at)[0] & FREE != 0) && holes.len() <= sizes.len());
        let lists = list_bytes(&self.pages) + list_bytes(&self.longs);
        let blocks = self.longs.iter().map(Long::block_bytes);
        lists + self.pages.iter().map(list_bytes).sum::<usize>() + blocks.sum::<usize>()
    }
}
