//! Subscriptions: who wants to hear of what.
//!
//! There are three kinds of topics, each with names of its own: channels, patterns of channels, and shard channels. A
//! topic lists its subscribers one behind the other, so that a message runs down an array; a subscriber knows its place
//! in each of its topics' lists, so that it leaves without a search: the last of the list moves into its place. So a
//! topic with a hundred thousand subscribers, or a client with as many topics, is left in a few steps for each.
//!
//! Nobody is listed here who subscribes to nothing, and no topic that nobody subscribes to.

mod message;
mod patterns;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::types::hash::KeyHasher;
use crate::types::map::Map;

use patterns::Patterns;

pub use message::{Message, SHARED_FROM};

/// A topic's name, shared by all who know it.
pub type Name = Rc<[u8]>;

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A channel by its whole name.
    Channel,
    /// All channels that a glob pattern matches.
    Pattern,
    /// A channel of one shard, which patterns do not match.
    Shard,
}

/// One client's subscriptions: its place in the list of each topic, by kind.
type Places = [BTreeMap<Name, usize>; 3];

/// Who listens to what.
struct Topics {
    channels: Map<Vec<usize>>,
    patterns: Patterns<Vec<usize>>,
    shards: Map<Vec<usize>>,
    hasher: KeyHasher,
}

impl Topics {
    fn len(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel => self.channels.len(),
            Kind::Pattern => self.patterns.len(),
            Kind::Shard => self.shards.len(),
        }
    }

    #[inline]
    fn get(&self, kind: Kind, name: &[u8]) -> Option<&Vec<usize>> {
        let map = match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => return self.patterns.get(name),
            Kind::Shard => &self.shards,
        };
        map.get(self.hasher.hash(name), name).map(|(_, listed)| listed)
    }

    fn get_or_insert(&mut self, kind: Kind, name: &[u8]) -> (Name, &mut Vec<usize>) {
        let map = match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => return self.patterns.get_or_insert(name, Vec::new),
            Kind::Shard => &mut self.shards,
        };
        let (name, listed) = map.get_or_insert(self.hasher.hash(name), name, Vec::new);
        (Rc::clone(name), listed)
    }

    /// Changes the list of a topic, which is gone where the change returns false.
    fn change(&mut self, kind: Kind, name: &[u8], change: impl FnOnce(&mut Vec<usize>) -> bool) {
        let map = match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => return self.patterns.change(name, change),
            Kind::Shard => &mut self.shards,
        };
        map.change(self.hasher.hash(name), name, change);
    }
}

/// All subscriptions. Clients are known by their tokens.
pub struct Subscriptions {
    topics: Topics,
    clients: HashMap<usize, Places>,
}

impl Subscriptions {
    /// Nobody subscribes to anything. The hashes of names are those of `hasher`.
    pub fn new(hasher: KeyHasher) -> Subscriptions {
        let (channels, shards) = (Map::new(hasher.clone()), Map::new(hasher.clone()));
        let topics = Topics { channels, patterns: Patterns::default(), shards, hasher };
        Subscriptions { topics, clients: HashMap::new() }
    }

    /// Whether anybody subscribes to anything.
    #[inline]
    pub fn any(&self) -> bool {
        !self.clients.is_empty()
    }

    /// How many clients subscribe to something.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// How many topics of a kind have a subscriber.
    pub fn topics(&self, kind: Kind) -> usize {
        self.topics.len(kind)
    }

    /// Visits the names of those topics, in no order.
    pub fn each(&self, kind: Kind, mut visit: impl FnMut(&[u8])) {
        match kind {
            Kind::Channel => self.topics.channels.each(|name, _| visit(name)),
            Kind::Pattern => self.topics.patterns.each(|name, _| visit(name)),
            Kind::Shard => self.topics.shards.each(|name, _| visit(name)),
        }
    }

    /// Visits the patterns that match a channel and who subscribes to them.
    pub fn patterns_matching(&self, channel: &[u8], mut visit: impl FnMut(&[u8], &[usize])) {
        self.topics.patterns.matching(channel, |pattern, listed| visit(pattern, listed));
    }

    /// Who subscribes to a topic.
    #[inline]
    pub fn subscribers(&self, kind: Kind, name: &[u8]) -> &[usize] {
        self.topics.get(kind, name).map_or(&[], Vec::as_slice)
    }

    /// How many topics of a kind a client subscribes to.
    pub fn count(&self, client: usize, kind: Kind) -> usize {
        self.clients.get(&client).map_or(0, |places| places[kind as usize].len())
    }

    /// The topics of a kind that a client subscribes to, in the order of their names.
    pub fn names(&self, client: usize, kind: Kind) -> Vec<Name> {
        self.clients.get(&client).map_or_else(Vec::new, |places| places[kind as usize].keys().cloned().collect())
    }

    /// Whether a client subscribes to anything.
    pub fn has(&self, client: usize) -> bool {
        self.clients.contains_key(&client)
    }

    /// Lets a client subscribe to a topic. Returns whether it did not before.
    pub fn subscribe(&mut self, client: usize, kind: Kind, name: &[u8]) -> bool {
        let places = &mut self.clients.entry(client).or_default()[kind as usize];
        if places.contains_key(name) {
            return false;
        }
        let (name, listed) = self.topics.get_or_insert(kind, name);
        places.insert(name, listed.len());
        listed.push(client);
        true
    }

    /// Ends a client's subscription to a topic. Returns whether there was one.
    pub fn unsubscribe(&mut self, client: usize, kind: Kind, name: &[u8]) -> bool {
        let Some(places) = self.clients.get_mut(&client) else { return false };
        let Some(place) = places[kind as usize].remove(name) else { return false };
        if places.iter().all(BTreeMap::is_empty) {
            self.clients.remove(&client);
        }
        self.unlist(kind, name, place);
        true
    }

    /// Takes a place out of a topic's list, which the last in the list then takes.
    fn unlist(&mut self, kind: Kind, name: &[u8], place: usize) {
        self.topics.change(kind, name, |listed| {
            listed.swap_remove(place);
            if let Some(moved) = listed.get(place) {
                let places = self.clients.get_mut(moved).and_then(|places| places[kind as usize].get_mut(name));
                *places.expect("who is listed knows its place") = place;
            }
            !listed.is_empty()
        });
    }

    /// Ends all subscriptions of a client.
    pub fn forget(&mut self, client: usize) {
        let Some(places) = self.clients.remove(&client) else { return };
        for (kind, places) in [Kind::Channel, Kind::Pattern, Kind::Shard].into_iter().zip(places) {
            for (name, place) in places {
                self.unlist(kind, &name, place);
            }
        }
    }

    /// About how many bytes a client's subscriptions take, without the names, which it shares with others.
    pub fn memory_bytes(&self, client: usize) -> usize {
        const EACH: usize = size_of::<(Name, usize)>() + size_of::<usize>();
        self.clients
            .get(&client)
            .map_or(0, |places| size_of::<Places>() + places.iter().map(|places| places.len() * EACH).sum::<usize>())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const KINDS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];

    /// Random clients come, go and change their minds; a set of triples says what must hold.
    #[test]
    fn subscriptions_are_what_a_set_of_them_would_be() {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut model: BTreeSet<(usize, usize, Vec<u8>)> = BTreeSet::new();
        let mut subscriptions = Subscriptions::new(KeyHasher::new(3));
        for step in 0..20_000 {
            let (client, at, name) = (rng.usize(0..12), rng.usize(0..3), vec![b'a' + rng.u8(0..6)]);
            let kind = KINDS[at];
            match rng.usize(0..40) {
                0 => {
                    subscriptions.forget(client);
                    model.retain(|entry| entry.0 != client);
                }
                1..=20 => {
                    let new = model.insert((client, at, name.clone()));
                    assert_eq!(subscriptions.subscribe(client, kind, &name), new);
                }
                _ => {
                    let was = model.remove(&(client, at, name.clone()));
                    assert_eq!(subscriptions.unsubscribe(client, kind, &name), was);
                }
            }
            let expected: BTreeSet<usize> =
                model.iter().filter(|entry| entry.1 == at && entry.2 == name).map(|entry| entry.0).collect();
            let listed = subscriptions.subscribers(kind, &name);
            assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), expected, "step {step}");
            assert_eq!(listed.len(), expected.len());
            let names: Vec<_> =
                model.iter().filter(|entry| entry.0 == client && entry.1 == at).map(|entry| &*entry.2).collect();
            assert_eq!(subscriptions.names(client, kind).iter().map(|name| &**name).collect::<Vec<_>>(), names);
            assert_eq!(subscriptions.count(client, kind), names.len());
            assert_eq!(subscriptions.has(client), model.iter().any(|entry| entry.0 == client));
            let topics: BTreeSet<_> = model.iter().filter(|entry| entry.1 == at).map(|entry| &entry.2).collect();
            assert_eq!(subscriptions.topics(kind), topics.len());
        }
        for client in 0..12 {
            subscriptions.forget(client);
        }
        assert!(!subscriptions.any() && KINDS.iter().all(|&kind| subscriptions.topics(kind) == 0));
    }
}
