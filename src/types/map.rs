//! A map from byte strings to values that need no layout of their own: a [table](super::table) of boxes.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::rc::Rc;

use super::hash::KeyHasher;
use super::table::{Item, Table};

/// A key and its value.
struct Pair<T> {
    key: Rc<[u8]>,
    value: T,
}

// SAFETY: a box comes from the allocator (48 significant bits on the supported targets) and is owned by nobody else; nothing here
// changes the key in it.
unsafe impl<T: 'static> Item for Box<Pair<T>> {
    fn into_ptr(self) -> NonNull<u8> {
        NonNull::from(Box::leak(self)).cast()
    }

    unsafe fn from_ptr(pair: NonNull<u8>) -> Box<Pair<T>> {
        // SAFETY: it was a box of this type, and is used up.
        unsafe { Box::from_raw(pair.cast().as_ptr()) }
    }

    #[inline]
    unsafe fn key<'a>(pair: NonNull<u8>) -> &'a [u8] {
        // SAFETY: the pair outlives the reference, as the caller says.
        unsafe { &pair.cast::<Pair<T>>().as_ref().key }
    }
}

/// A map in which nothing grows in one large piece. Each key comes with its hash, which is that of the hasher.
pub struct Map<T: 'static> {
    table: Table<Box<Pair<T>>>,
}

impl<T: 'static> Map<T> {
    /// An empty one. It allocates nothing until the first insertion.
    pub fn new(hasher: KeyHasher) -> Map<T> {
        Map { table: Table::new(hasher) }
    }

    /// How many keys there are.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// The value of a key, and the key as the map shares it.
    #[inline]
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<(&Rc<[u8]>, &T)> {
        let position = self.table.find(hash, key)?;
        // SAFETY: the table owns the pair and stays borrowed.
        let Pair { key, value } = unsafe { self.table.get(position).cast::<Pair<T>>().as_ref() };
        Some((key, value))
    }

    /// Changes the value of a key, if it has one, and removes both where the change returns false. Returns whether there was one.
    #[inline]
    pub fn change(&mut self, hash: u64, key: &[u8], change: impl FnOnce(&mut T) -> bool) -> bool {
        let Some(position) = self.table.find(hash, key) else { return false };
        // SAFETY: the table owns the pair and is borrowed exclusively.
        let value = unsafe { &mut self.table.get(position).cast::<Pair<T>>().as_mut().value };
        if !change(value) {
            self.table.remove(position);
        }
        true
    }

    /// The value of a key, which is `new` for one that was not in the map, and the key as the map shares it.
    pub fn get_or_insert(&mut self, hash: u64, key: &[u8], new: impl FnOnce() -> T) -> (&Rc<[u8]>, &mut T) {
        let position = self.table.find(hash, key).unwrap_or_else(|| {
            let pair = Pair { key: key.into(), value: new() };
            self.table.insert(hash, Box::new(pair))
        });
        // SAFETY: the table owns the pair and stays borrowed exclusively.
        let Pair { key, value } = unsafe { self.table.get(position).cast::<Pair<T>>().as_mut() };
        (key, value)
    }

    /// Takes a key and its value, if it has one.
    pub fn take(&mut self, hash: u64, key: &[u8]) -> Option<(Rc<[u8]>, T)> {
        let Pair { key, value } = *self.table.find(hash, key).map(|position| self.table.remove(position))?;
        Some((key, value))
    }

    /// A key chosen fairly, each being as likely as any other. `random` gives 64 random bits at a call.
    pub fn random(&self, random: impl FnMut() -> u64) -> Option<&Rc<[u8]>> {
        // SAFETY: the table owns the pair and stays borrowed.
        self.table.random(random).map(|pair| unsafe { &pair.cast::<Pair<T>>().as_ref().key })
    }

    /// Removes a few dozen keys; returns false when there were none left.
    pub fn drop_some(&mut self) -> bool {
        self.table.drain_some(drop)
    }

    /// Visits all, in no order.
    pub fn each(&self, mut visit: impl FnMut(&Rc<[u8]>, &T)) {
        self.table.scan(0, usize::MAX, |pair| {
            // SAFETY: the table owns the pair and stays borrowed.
            let Pair { key, value } = unsafe { pair.cast::<Pair<T>>().as_ref() };
            visit(key, value);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_changed_and_removed() {
        let hasher = KeyHasher::new(3);
        let mut map = Map::new(hasher.clone());
        let keys: Vec<Vec<u8>> = (0..500).map(|n| format!("key:{n}").into_bytes()).collect();
        for (n, key) in keys.iter().enumerate() {
            map.get_or_insert(hasher.hash(key), key, || n);
        }
        for (n, key) in keys.iter().enumerate() {
            let hash = hasher.hash(key);
            let shared = map.get(hash, key).map(|(key, _)| Rc::clone(key)).expect("it is there");
            assert!(map.get(hash, key).is_some_and(|(key, _)| Rc::ptr_eq(key, &shared)));
            assert!(map.change(hash, key, |value| {
                *value += 1000;
                n % 2 == 0
            }));
            assert_eq!(map.get(hash, key).map(|(_, &value)| value), (n % 2 == 0).then_some(n + 1000));
            assert_eq!(map.change(hash, key, |_| true), n % 2 == 0);
        }
        let mut left = Vec::new();
        map.each(|key, &value| left.push((value, key.to_vec())));
        left.sort();
        assert_eq!((left.len(), map.len()), (250, 250));
        assert!(left.into_iter().zip((0..500).step_by(2)).all(|(left, n)| left == (n + 1000, keys[n].clone())));
    }
}
