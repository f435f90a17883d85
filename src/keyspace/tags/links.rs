//! Links between tags: a graph without cycles whose arcs lead from parents to children.
//!
//! A tag with links has a node. Nodes have numbers of their own, so that a tag which is invalidated, and gets a fresh record
//! by that, keeps its links by one stroke.
//!
//! A snapshot is told of the links in slices, in the order of the nodes' numbers. As large values do ([`crate::types::telling`]),
//! the graph takes notes meanwhile: a link that has not been told yet is noted as it was before it comes or goes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;

use foldhash::fast::RandomState;

use super::paged::Paged;
use super::record::NO_NODE;
use crate::types::telling::Slot;

/// Links of a node that are forgotten in one slice.
const SLICE: usize = 512;

/// A tag in the graph.
struct Node {
    /// The tag's number.
    tag: u32,
    parents: BTreeSet<u32>,
    children: BTreeSet<u32>,
}

/// The names of the tags that a link connects.
type Ends = (Box<[u8]>, Box<[u8]>);

/// How far a snapshot has been told of the links.
#[derive(Default)]
struct Telling {
    /// Where it is: see [`next_place`].
    last: Option<(u32, u32)>,
    /// Whether all that are there have been.
    over: bool,
    /// Links to come that have changed: what they connected, if they were there in the beginning.
    notes: BTreeMap<(u32, u32), Option<Ends>>,
}

/// The link behind another, or the number of a node that has none behind it and [`NO_NODE`].
fn next_place(nodes: &Paged<Node>, last: Option<(u32, u32)>) -> Option<(u32, u32)> {
    let (wanted, behind) = match last {
        None => (0, Bound::Unbounded),
        Some((node, NO_NODE)) => (node + 1, Bound::Unbounded),
        Some((node, child)) => (node, Bound::Excluded(child)),
    };
    let node = nodes.next(wanted)?;
    let behind = if node == wanted { behind } else { Bound::Unbounded };
    let child = nodes.get(node).children.range((behind, Bound::Unbounded)).next();
    Some((node, child.copied().unwrap_or(NO_NODE)))
}

/// The graph.
#[derive(Default)]
pub struct Links {
    nodes: Paged<Node>,
    len: usize,
    telling: Slot<Telling>,
}

impl Links {
    /// How many links there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// A node for a tag that has none. It must be linked, or pruned.
    pub fn add(&mut self, tag: u32) -> u32 {
        self.nodes.insert(|_| Node { tag, parents: BTreeSet::new(), children: BTreeSet::new() })
    }

    /// Removes a node without links. Returns whether it was one.
    pub fn prune(&mut self, node: u32) -> bool {
        let bare = self.nodes.get(node).parents.is_empty() && self.nodes.get(node).children.is_empty();
        if bare {
            self.nodes.remove(node);
        }
        bare
    }

    /// The tag of a node has another number now.
    pub fn set_tag(&mut self, node: u32, tag: u32) {
        self.nodes.get_mut(node).tag = tag;
    }

    /// Whether a link from `parent` to `child` would close a cycle: they are one, or a way leads up from the former to the
    /// latter. A tag has fewer tags above it than below it, as a rule, and most have none below.
    pub fn closes_cycle(&self, parent: u32, child: u32) -> bool {
        if self.nodes.get(child).children.is_empty() {
            return parent == child;
        }
        let (mut left, mut seen) = (vec![parent], HashSet::with_hasher(RandomState::default()));
        while let Some(node) = left.pop() {
            if node == child {
                return true;
            }
            if seen.insert(node) {
                left.extend(&self.nodes.get(node).parents);
            }
        }
        false
    }

    /// Whether two nodes are linked.
    pub fn has(&self, parent: u32, child: u32) -> bool {
        self.nodes.get(parent).children.contains(&child)
    }

    /// Links two nodes, if they are not linked yet. Returns whether they were not.
    pub fn link(&mut self, parent: u32, child: u32) -> bool {
        let new = self.nodes.get_mut(parent).children.insert(child);
        self.nodes.get_mut(child).parents.insert(parent);
        self.len += usize::from(new);
        new
    }

    /// Removes a link. Returns whether there was one.
    pub fn unlink(&mut self, parent: u32, child: u32) -> bool {
        let was = self.nodes.get_mut(parent).children.remove(&child);
        self.nodes.get_mut(child).parents.remove(&parent);
        self.len -= usize::from(was);
        was
    }

    /// The tags of a node's children, in no particular order.
    pub fn children(&self, node: u32) -> impl ExactSizeIterator<Item = u32> {
        self.nodes.get(node).children.iter().map(|&child| self.nodes.get(child).tag)
    }

    /// The first children of a node behind one of them, or behind none, with their tags.
    pub fn children_behind(&self, node: u32, last: Option<u32>) -> impl Iterator<Item = (u32, u32)> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let children = self.nodes.get(node).children.range((from, Bound::Unbounded));
        children.map(|&child| (child, self.nodes.get(child).tag))
    }

    /// Adds the tags of all nodes that a way leads to from a node to those that have been `seen`, until these are more than
    /// `most`. Returns those that were new.
    pub fn descendants(&self, node: u32, seen: &mut HashSet<u32, RandomState>, most: usize) -> Vec<u32> {
        let (mut left, mut tags) = (vec![node], Vec::new());
        while let Some(node) = left.pop() {
            for &child in &self.nodes.get(node).children {
                if seen.len() > most {
                    return tags;
                }
                let tag = self.nodes.get(child).tag;
                if seen.insert(tag) {
                    tags.push(tag);
                    left.push(child);
                }
            }
        }
        tags
    }

    /// A snapshot begins, which is to be told of all links.
    pub fn begin_telling(&mut self) {
        if self.len > 0 {
            self.telling.begin(Telling::default());
        }
    }

    /// Whether there may be something that it has not been told.
    pub fn is_being_told(&self) -> bool {
        self.telling.is_on()
    }

    /// It is not to be told any more.
    pub fn end_telling(&mut self) {
        self.telling.end();
    }

    /// A link between two nodes, whose tags have these names, is about to come or to go; it `was` there or not.
    pub fn note(&mut self, (parent, child): (u32, u32), was: bool, names: [&[u8]; 2]) {
        let Some(telling) = self.telling.get_mut() else { return };
        if !telling.over && telling.last.is_none_or(|last| (parent, child) > last) {
            let ends = || was.then(|| (names[0].into(), names[1].into()));
            telling.notes.entry((parent, child)).or_insert_with(ends);
        }
    }

    /// Tells a snapshot of about `count` links: `whole` of those that have not changed, by the numbers of their tags, and `noted` of
    /// what others connected.
    pub fn tell(&mut self, count: usize, mut whole: impl FnMut(u32, u32), mut noted: impl FnMut(&[u8], &[u8])) {
        let Some(telling) = self.telling.get_mut() else { return };
        for _ in 0..count {
            if telling.over {
                match telling.notes.pop_first() {
                    Some((_, Some((parent, child)))) => noted(&parent, &child),
                    Some((_, None)) => {}
                    None => return self.telling.end(),
                }
                continue;
            }
            let Some((parent, child)) = next_place(&self.nodes, telling.last) else {
                telling.over = true;
                continue;
            };
            telling.last = Some((parent, child));
            if child == NO_NODE {
                continue;
            }
            match telling.notes.remove(&(parent, child)) {
                None => whole(self.nodes.get(parent).tag, self.nodes.get(child).tag),
                Some(Some((parent, child))) => noted(&parent, &child),
                Some(None) => {}
            }
        }
    }

    /// Frees a part of a graph that nobody uses any more; false when there is nothing left.
    pub fn free_slice(&mut self) -> bool {
        self.len = 0;
        let Some(last) = self.nodes.last() else { return false };
        let node = self.nodes.get_mut(last);
        for links in [&mut node.parents, &mut node.children] {
            (0..SLICE).take_while(|_| links.pop_first().is_some()).for_each(drop);
        }
        if node.parents.is_empty() && node.children.is_empty() {
            self.nodes.remove(last);
        }
        true
    }

    /// Bytes of memory it takes, about: what a set of numbers takes depends on its history.
    pub fn memory_bytes(&self) -> usize {
        /// A number in each of two sets whose nodes are three quarters full, with their share of the inner nodes.
        const LINK: usize = 2 * 8;
        self.nodes.memory_bytes() + self.len * LINK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_those_of_a_plain_graph_without_cycles() {
        const NODES: u32 = 12;
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..50 {
            let mut links = Links::default();
            let nodes: Vec<u32> = (0..NODES).map(|n| links.add(100 + n)).collect();
            let mut model: BTreeSet<(u32, u32)> = BTreeSet::new();
            // Every way there is, found by going on as long as there are more.
            let reached = |model: &BTreeSet<(u32, u32)>, from: u32| {
                let mut reached = BTreeSet::from([from]);
                loop {
                    let next: Vec<u32> = model
                        .iter()
                        .filter(|(a, b)| reached.contains(a) && !reached.contains(b))
                        .map(|link| link.1)
                        .collect();
                    if next.is_empty() {
                        return reached;
                    }
                    reached.extend(next);
                }
            };
            for _ in 0..200 {
                let (a, b) = (rng.u32(..NODES), rng.u32(..NODES));
                let (parent, child) = (nodes[a as usize], nodes[b as usize]);
                let closes = reached(&model, b).contains(&a);
                assert_eq!(links.closes_cycle(parent, child), closes);
                if rng.u32(..3) == 0 {
                    assert_eq!(links.unlink(parent, child), model.remove(&(a, b)));
                } else if !closes {
                    assert_eq!(links.link(parent, child), model.insert((a, b)));
                }
                assert_eq!(links.len(), model.len());
                let mut seen = HashSet::from_iter([100 + a]);
                let below = links.descendants(parent, &mut seen, usize::MAX);
                let below: BTreeSet<u32> = below.into_iter().map(|tag| tag - 100).collect();
                let mut expected = reached(&model, a);
                expected.remove(&a);
                assert_eq!(below, expected);
                let children: Vec<u32> = links.children(parent).map(|tag| tag - 100).collect();
                assert_eq!(children, model.iter().filter(|link| link.0 == a).map(|link| link.1).collect::<Vec<_>>());
            }
            let mut told = BTreeSet::new();
            links.begin_telling();
            while links.is_being_told() {
                links.tell(rng.usize(1..9), |a, b| assert!(told.insert((a - 100, b - 100))), |_, _| unreachable!());
            }
            assert_eq!(told, model);
            while links.free_slice() {}
            assert_eq!((links.memory_bytes(), links.nodes.len()), (0, 0));
        }
    }

    /// Tags get numbers of nodes that others had, too.
    #[test]
    fn what_is_told_is_what_there_was_in_the_beginning() {
        for seed in 0..300 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut links, mut numbers) = (Links::default(), BTreeMap::new());
            let (mut model, mut expected, mut told) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
            let mut change = |links: &mut Links, model: &mut BTreeSet<(u32, u32)>| {
                let (a, b) = (rng.u32(..15), rng.u32(..15));
                if a >= b {
                    return rng.usize(1..4);
                }
                let [parent, child] = [a, b].map(|tag| *numbers.entry(tag).or_insert_with(|| links.add(tag)));
                let was = model.contains(&(a, b));
                links.note((parent, child), was, [&[a as u8], &[b as u8]]);
                if rng.bool() {
                    links.link(parent, child);
                    model.insert((a, b));
                } else {
                    assert_eq!(links.unlink(parent, child), model.remove(&(a, b)));
                    for tag in [a, b] {
                        if links.prune(numbers[&tag]) {
                            numbers.remove(&tag);
                        }
                    }
                }
                rng.usize(1..4)
            };
            for _ in 0..3 {
                for _ in 0..100 {
                    change(&mut links, &mut model);
                }
                expected.clone_from(&model);
                told.clear();
                links.begin_telling();
                let mut steps = 0;
                while links.is_being_told() {
                    let count = (0..3).map(|_| change(&mut links, &mut model)).sum::<usize>() / 3;
                    let told = std::cell::RefCell::new(&mut told);
                    let tell = |a, b| assert!(told.borrow_mut().insert((a, b)), "once");
                    links.tell(count, tell, |a, b| tell(u32::from(a[0]), u32::from(b[0])));
                    steps += 1;
                }
                assert_eq!(told, expected);
                assert!(steps > 3 || expected.len() < 10);
            }
        }
    }

    #[test]
    fn a_node_without_links_can_be_pruned() {
        let mut links = Links::default();
        let (a, b) = (links.add(1), links.add(2));
        links.link(a, b);
        assert!(!links.prune(a) && !links.prune(b));
        links.set_tag(b, 3);
        assert_eq!(links.children(a).collect::<Vec<_>>(), [3]);
        links.unlink(a, b);
        assert!(links.prune(a) && links.prune(b));
        assert_eq!(links.memory_bytes(), 0);
    }
}
