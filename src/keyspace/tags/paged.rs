//! A slab in pages: values under small numbers, growing without ever copying them.
//!
//! A vector that doubles copies all it holds at one instant; here growth is a page of 64 values and eight bytes of a list.
//! The lowest page with room is filled first, so that pages empty at the end, and an empty page is given back.

use std::collections::BTreeSet;

/// Values of a page: one bit of a word each.
const PAGE: usize = u64::BITS as usize;

struct Page<T> {
    /// A bit for each value.
    used: u64,
    values: [Option<T>; PAGE],
}

/// Values under numbers that stay theirs until they are removed.
pub struct Paged<T> {
    pages: Vec<Option<Box<Page<T>>>>,
    /// The numbers of pages with room, of such that were given back among them.
    open: BTreeSet<u32>,
    len: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Paged<T> {
        Paged { pages: Vec::new(), open: BTreeSet::new(), len: 0 }
    }
}

fn place(number: u32) -> (usize, usize) {
    (number as usize / PAGE, number as usize % PAGE)
}

impl<T> Paged<T> {
    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Puts what `make` makes of its number under the lowest that is free.
    ///
    /// # Panics
    /// At 2^31 values, which take more memory than there is.
    pub fn insert(&mut self, make: impl FnOnce(u32) -> T) -> u32 {
        let at = self.open.first().copied().unwrap_or_else(|| {
            assert!(self.pages.len() < (1 << 31) / PAGE, "fewer than 2^31 values");
            self.pages.push(None);
            let at = self.pages.len() as u32 - 1;
            self.open.insert(at);
            at
        });
        let page = self.pages[at as usize]
            .get_or_insert_with(|| Box::new(Page { used: 0, values: std::array::from_fn(|_| None) }));
        let slot = page.used.trailing_ones();
        let number = at * PAGE as u32 + slot;
        page.values[slot as usize] = Some(make(number));
        page.used |= 1 << slot;
        if page.used == u64::MAX {
            self.open.remove(&at);
        }
        self.len += 1;
        number
    }

    /// The value under a number.
    ///
    /// # Panics
    /// If there is none.
    #[inline]
    pub fn get(&self, number: u32) -> &T {
        let (page, slot) = place(number);
        let page = self.pages[page].as_deref();
        page.and_then(|page| page.values[slot].as_ref()).expect("a number in use")
    }

    /// The value under a number that may be free.
    pub fn find(&self, number: u32) -> Option<&T> {
        let (page, slot) = place(number);
        self.pages.get(page)?.as_ref()?.values[slot].as_ref()
    }

    /// The value under a number, to be changed.
    ///
    /// # Panics
    /// If there is none.
    #[inline]
    pub fn get_mut(&mut self, number: u32) -> &mut T {
        let (page, slot) = place(number);
        let page = self.pages[page].as_deref_mut();
        page.and_then(|page| page.values[slot].as_mut()).expect("a number in use")
    }

    /// Takes a value out; its number is free then.
    ///
    /// # Panics
    /// If there is none.
    pub fn remove(&mut self, number: u32) -> T {
        let (at, slot) = place(number);
        let page = self.pages[at].as_deref_mut().expect("a number in use");
        let value = page.values[slot].take().expect("a number in use");
        page.used &= !(1 << slot);
        self.open.insert(at as u32);
        if page.used == 0 {
            self.pages[at] = None;
            self.trim();
        }
        self.len -= 1;
        value
    }

    /// Forgets the pages at the end that were given back.
    fn trim(&mut self) {
        while let Some(None) = self.pages.last() {
            self.pages.pop();
            self.open.remove(&(self.pages.len() as u32));
        }
        if self.pages.is_empty() {
            self.pages = Vec::new();
        } else if self.pages.len() <= self.pages.capacity() / 4 {
            self.pages.shrink_to(self.pages.capacity() / 2);
        }
    }

    /// The highest number in use.
    pub fn last(&self) -> Option<u32> {
        let page = self.pages.last()?.as_deref()?;
        Some((self.pages.len() - 1) as u32 * PAGE as u32 + page.used.ilog2())
    }

    /// The lowest number in use from a number on.
    pub fn next(&self, from: u32) -> Option<u32> {
        let (first, slot) = place(from);
        self.pages.iter().enumerate().skip(first).find_map(|(at, page)| {
            let skipped = if at == first { slot } else { 0 };
            let used = page.as_deref()?.used >> skipped << skipped;
            (used != 0).then(|| at as u32 * PAGE as u32 + used.trailing_zeros())
        })
    }

    /// All values with their numbers, in the order of these.
    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let numbers = std::iter::successors(self.next(0), |&number| self.next(number + 1));
        numbers.map(|number| (number, self.get(number)))
    }

    /// Bytes of memory the pages take, without what the values own.
    pub fn memory_bytes(&self) -> usize {
        // Pages that were given back are few: the lowest are filled first.
        self.pages.capacity() * size_of::<usize>() + self.len.div_ceil(PAGE) * size_of::<Page<T>>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn values_keep_their_numbers_and_pages_come_back() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut paged = Paged::default();
        let mut model = BTreeMap::new();
        for round in 0..6 {
            for step in 0..4000 {
                if rng.u32(..10) < if round % 2 == 0 { 7 } else { 3 } {
                    let number = paged.insert(|number| (number, step));
                    assert_eq!(model.insert(number, step), None, "a free number");
                    assert!((number as usize) < model.len() + PAGE * PAGE);
                } else if let Some((&number, &value)) = model.iter().nth(rng.usize(..model.len().max(1))) {
                    model.remove(&number);
                    assert_eq!(paged.remove(number), (number, value));
                }
                assert_eq!((paged.len(), paged.last()), (model.len(), model.keys().next_back().copied()));
            }
            let listed: Vec<(u32, i32)> = paged.iter().map(|(_, &value)| value).collect();
            assert_eq!(listed, model.iter().map(|(&number, &value)| (number, value)).collect::<Vec<_>>());
            assert!(model.iter().all(|(&number, &value)| *paged.get(number) == (number, value)));
        }
        for number in model.into_keys() {
            paged.remove(number);
        }
        assert_eq!((paged.len(), paged.memory_bytes(), paged.open.len()), (0, 0, 0));
    }
}
