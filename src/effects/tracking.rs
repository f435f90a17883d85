//! Client-side caching: which clients hold copies of which keys, so that they can be told when a copy has become wrong.
//!
//! A client that tracks is remembered as a reader of every key it reads, until that key changes: then it is told, and
//! forgotten, because it has to read the key again before it has a copy again. Keys go by their names alone, whatever
//! database they are in. How many keys have readers is limited; whoever reads one more makes another be told of early.
//!
//! A client in broadcast mode is not remembered for what it reads. It names prefixes, and is told of every changed key
//! that begins with one of them, once a turn. What must be looked up for a changed key are its own first bytes, in as
//! many lengths as prefixes have.
//!
//! Clients are known by their tokens; beside a token stands the client's number wherever the client may be gone and its
//! token another's by the time it is used.

use std::collections::{BTreeMap, BTreeSet, btree_set};
use std::iter::{Chain, Once, once};
use std::mem::{replace, swap};
use std::rc::Rc;

use crate::types::hash::KeyHasher;
use crate::types::map::Map;

/// A client that may be gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ClientRef {
    /// Its number, which no other client ever has.
    pub id: u64,
    pub token: usize,
}

/// Which of the keys that it reads a client has copies of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// All.
    All,
    /// Those of the commands behind CLIENT CACHING YES.
    OptIn,
    /// All but those of the commands behind CLIENT CACHING NO.
    OptOut,
    /// It is told of keys by their prefixes, whether or not it reads them.
    Broadcast,
}

/// How a client tracks.
#[derive(Debug)]
pub struct Tracking {
    pub choice: Choice,
    /// CLIENT CACHING was said, and holds for the next command.
    pub caching: bool,
    /// It does not want to be told of what it changes itself.
    pub no_loop: bool,
    /// Who is told in its place.
    pub redirect: Option<ClientRef>,
    /// That client has gone.
    pub broken_redirect: bool,
    /// The prefixes it is told about.
    pub prefixes: BTreeSet<Box<[u8]>>,
}

impl Tracking {
    /// About how many bytes its prefixes take, here and in the table.
    pub fn memory_bytes(&self) -> usize {
        const EACH: usize = size_of::<(Box<[u8]>, Prefix)>() + size_of::<Box<[u8]>>() + size_of::<usize>();
        size_of::<Tracking>() + self.prefixes.iter().map(|prefix| EACH + 2 * prefix.len()).sum::<usize>()
    }

    /// Whether it is told of keys because it has read them.
    pub fn reads(&self) -> bool {
        self.choice != Choice::Broadcast
    }

    /// Whether it is to be remembered as a reader of what its command reads.
    pub fn remembers(&self) -> bool {
        match self.choice {
            Choice::All => true,
            Choice::OptIn => self.caching,
            Choice::OptOut => !self.caching,
            Choice::Broadcast => false,
        }
    }
}

/// The readers of a key, in the order of their numbers. Most keys have one.
pub struct Readers {
    first: ClientRef,
    others: BTreeSet<ClientRef>,
}

impl Readers {
    fn new(first: ClientRef) -> Readers {
        Readers { first, others: BTreeSet::new() }
    }

    fn len(&self) -> usize {
        1 + self.others.len()
    }

    /// Adds a client, unless it is there. Returns whether it was not.
    fn add(&mut self, mut client: ClientRef) -> bool {
        if client == self.first {
            return false;
        }
        if client < self.first {
            swap(&mut client, &mut self.first);
        }
        self.others.insert(client)
    }
}

impl IntoIterator for Readers {
    type Item = ClientRef;
    type IntoIter = Chain<Once<ClientRef>, btree_set::IntoIter<ClientRef>>;

    fn into_iter(self) -> Self::IntoIter {
        once(self.first).chain(self.others)
    }
}

/// What is told of a prefix.
#[derive(Default)]
struct Prefix {
    clients: BTreeSet<usize>,
    /// The keys that have changed in this turn, and whose command did it last.
    changed: BTreeMap<Box<[u8]>, Option<usize>>,
}

/// The changes of a turn that clients in broadcast mode are to be told of.
pub struct Broadcast {
    pub clients: Vec<usize>,
    /// Keys, in order, with the client whose command changed them.
    pub keys: Vec<(Box<[u8]>, Option<usize>)>,
}

/// All that is remembered for clients that track.
pub struct Trackers {
    /// How many clients track.
    clients: usize,
    /// Keys with readers.
    keys: Map<Readers>,
    hasher: KeyHasher,
    /// Readers of all keys together.
    readers: usize,
    /// Keys that have got their first reader since that was last asked for.
    fresh: usize,
    prefixes: BTreeMap<Box<[u8]>, Prefix>,
    /// How many prefixes there are of each length.
    lengths: BTreeMap<usize, usize>,
    /// Something is to be told to clients in broadcast mode.
    pending: bool,
    /// Keys that were forgotten all at once, being freed in slices.
    doomed: Vec<Map<Readers>>,
}

impl Trackers {
    /// Nobody tracks. The hashes of keys are those of `hasher`.
    pub fn new(hasher: KeyHasher) -> Trackers {
        Trackers {
            clients: 0,
            keys: Map::new(hasher.clone()),
            hasher,
            readers: 0,
            fresh: 0,
            prefixes: BTreeMap::new(),
            lengths: BTreeMap::new(),
            pending: false,
            doomed: Vec::new(),
        }
    }

    /// Whether anybody tracks, or somebody who did is remembered.
    #[inline]
    pub fn any(&self) -> bool {
        self.clients > 0 || self.keys.len() > 0
    }

    /// How many clients track.
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// How many keys have readers, and how many readers they have together.
    pub fn remembered(&self) -> (usize, usize) {
        (self.keys.len(), self.readers)
    }

    /// How many prefixes changes are told of.
    pub fn prefixes(&self) -> usize {
        self.prefixes.len()
    }

    /// A client begins to track.
    pub fn join(&mut self) {
        self.clients += 1;
    }

    /// A client tracks no longer. What it was remembered for is forgotten when it would be told.
    pub fn leave(&mut self, client: usize, tracking: &Tracking) {
        self.clients -= 1;
        for name in &tracking.prefixes {
            let Some(prefix) = self.prefixes.get_mut(name) else { continue };
            prefix.clients.remove(&client);
            if prefix.clients.is_empty() {
                self.prefixes.remove(name);
                if let Some(count) = self.lengths.get_mut(&name.len()) {
                    *count -= 1;
                    if *count == 0 {
                        self.lengths.remove(&name.len());
                    }
                }
            }
        }
    }

    /// A client is to be told of all changes of keys with a prefix.
    pub fn add_prefix(&mut self, client: usize, prefix: &[u8]) {
        if !self.prefixes.contains_key(prefix) {
            self.prefixes.insert(prefix.into(), Prefix::default());
            *self.lengths.entry(prefix.len()).or_default() += 1;
        }
        if let Some(prefix) = self.prefixes.get_mut(prefix) {
            prefix.clients.insert(client);
        }
    }

    /// A client has read a key.
    pub fn remember(&mut self, client: ClientRef, key: &[u8]) {
        let mut is_first = false;
        let (_, readers) = self.keys.get_or_insert(self.hasher.hash(key), key, || {
            is_first = true;
            Readers::new(client)
        });
        self.readers += usize::from(readers.add(client) || is_first);
        self.fresh += usize::from(is_first);
    }

    /// Takes the readers of a key, which has changed.
    pub fn take_readers(&mut self, key: &[u8]) -> Option<Readers> {
        let (_, readers) = self.keys.take(self.hasher.hash(key), key)?;
        self.readers -= readers.len();
        Some(readers)
    }

    /// How many keys have got their first reader since this was last asked for.
    pub fn take_fresh(&mut self) -> usize {
        std::mem::take(&mut self.fresh)
    }

    /// Takes one of more than `most` keys, and its readers. `random` gives 64 random bits at a call.
    pub fn take_excess(&mut self, most: usize, random: impl FnMut() -> u64) -> Option<(Rc<[u8]>, Readers)> {
        if self.keys.len() <= most {
            return None;
        }
        let key = Rc::clone(self.keys.random(random)?);
        let readers = self.take_readers(&key)?;
        Some((key, readers))
    }

    /// Nobody has a copy of any key any more.
    pub fn forget_keys(&mut self) {
        if self.keys.len() > 0 {
            self.doomed.push(replace(&mut self.keys, Map::new(self.hasher.clone())));
            self.readers = 0;
        }
    }

    /// Frees some of the keys that were forgotten all at once. Returns whether there are more.
    #[inline]
    pub fn free_slice(&mut self) -> bool {
        let Some(keys) = self.doomed.last_mut() else { return false };
        if !keys.drop_some() {
            self.doomed.pop();
        }
        true
    }

    /// Notes for the prefixes of a key that it has changed, and whose command did it.
    pub fn changed(&mut self, key: &[u8], author: Option<usize>) {
        for &len in self.lengths.keys().take_while(|&&len| len <= key.len()) {
            if let Some(prefix) = self.prefixes.get_mut(&key[..len]) {
                prefix.changed.insert(key.into(), author);
                self.pending = true;
            }
        }
    }

    /// Takes what clients in broadcast mode are to be told, prefix by prefix.
    pub fn take_broadcasts(&mut self) -> Vec<Broadcast> {
        if !std::mem::take(&mut self.pending) {
            return Vec::new();
        }
        let changed = self.prefixes.values_mut().filter(|prefix| !prefix.changed.is_empty());
        changed
            .map(|prefix| Broadcast {
                clients: prefix.clients.iter().copied().collect(),
                keys: std::mem::take(&mut prefix.changed).into_iter().collect(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(token: usize) -> ClientRef {
        ClientRef { id: 100 + token as u64, token }
    }

    fn nobody() -> Trackers {
        Trackers::new(KeyHasher::new(5))
    }

    fn tokens(readers: impl IntoIterator<Item = ClientRef>) -> Vec<usize> {
        readers.into_iter().map(|reader| reader.token).collect()
    }

    fn taken(trackers: &mut Trackers, key: &str) -> Vec<usize> {
        tokens(trackers.take_readers(key.as_bytes()).into_iter().flatten())
    }

    fn broadcast(prefixes: &[&str]) -> Tracking {
        Tracking {
            choice: Choice::Broadcast,
            caching: false,
            no_loop: false,
            redirect: None,
            broken_redirect: false,
            prefixes: prefixes.iter().map(|prefix| prefix.as_bytes().into()).collect(),
        }
    }

    #[test]
    fn readers_are_told_once() {
        let mut trackers = nobody();
        trackers.join();
        for (token, key) in [(2, "a"), (1, "a"), (1, "b"), (2, "a"), (1, "a"), (3, "c")] {
            trackers.remember(client(token), key.as_bytes());
        }
        assert_eq!(trackers.remembered(), (3, 4));
        assert_eq!(taken(&mut trackers, "a"), [1, 2]);
        assert!(taken(&mut trackers, "a").is_empty());
        assert_eq!(taken(&mut trackers, "c"), [3]);
        assert_eq!(trackers.remembered(), (1, 1));
    }

    #[test]
    fn no_more_keys_are_remembered_than_allowed() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut trackers = nobody();
        trackers.join();
        for n in 0..1000 {
            trackers.remember(client(1), format!("k{n}").as_bytes());
        }
        let mut drawn = BTreeSet::new();
        while let Some((key, readers)) = trackers.take_excess(10, || rng.u64(..)) {
            assert_eq!(tokens(readers), [1]);
            assert!(drawn.insert(key));
        }
        assert_eq!((drawn.len(), trackers.remembered()), (990, (10, 10)));
        for n in 0..1000 {
            let key = format!("k{n}");
            assert_eq!(taken(&mut trackers, &key).is_empty(), drawn.contains(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn all_keys_can_be_forgotten_at_once() {
        let mut trackers = nobody();
        trackers.join();
        (0..2000).for_each(|n| trackers.remember(client(1), format!("k{n}").as_bytes()));
        trackers.forget_keys();
        assert_eq!(trackers.remembered(), (0, 0));
        trackers.remember(client(2), b"k1");
        while trackers.free_slice() {}
        assert_eq!(taken(&mut trackers, "k1"), [2]);
    }

    #[test]
    fn changes_are_gathered_by_prefix() {
        let mut trackers = nobody();
        let (all, some) = (broadcast(&[""]), broadcast(&["a:", "b"]));
        for (token, tracking) in [(1, &all), (2, &some)] {
            trackers.join();
            tracking.prefixes.iter().for_each(|prefix| trackers.add_prefix(token, prefix));
        }
        for (key, author) in [("a:1", Some(1)), ("a", None), ("b", Some(1)), ("b", Some(2)), ("c", None)] {
            trackers.changed(key.as_bytes(), author);
        }
        let told: Vec<_> = trackers
            .take_broadcasts()
            .into_iter()
            .map(|Broadcast { clients, keys }| {
                let keys: Vec<_> =
                    keys.into_iter().map(|(key, by)| (String::from_utf8_lossy(&key).into_owned(), by)).collect();
                (clients, keys)
            })
            .collect();
        let named =
            |keys: &[(&str, Option<usize>)]| -> Vec<_> { keys.iter().map(|&(key, by)| (key.to_owned(), by)).collect() };
        assert_eq!(
            told,
            [
                (vec![1], named(&[("a", None), ("a:1", Some(1)), ("b", Some(2)), ("c", None)])),
                (vec![2], named(&[("a:1", Some(1))])),
                (vec![2], named(&[("b", Some(2))])),
            ]
        );
        assert!(trackers.take_broadcasts().is_empty());
        trackers.leave(2, &some);
        assert_eq!(trackers.prefixes(), 1);
        trackers.leave(1, &all);
        assert_eq!((trackers.prefixes(), trackers.any()), (0, false));
    }
}
