//! Links between tags: a graph without cycles whose arcs lead from parents to children.
//!
//! A tag with links has a node. Nodes have numbers of their own, so that a tag which is invalidated, and gets a fresh record
//! by that, keeps its links by one stroke.

use std::collections::{BTreeSet, HashSet};

use foldhash::fast::RandomState;

use super::paged::Paged;

/// Links of a node that are forgotten in one slice.
const SLICE: usize = 512;

/// A tag in the graph.
struct Node {
    /// The tag's number.
    tag: u32,
    parents: BTreeSet<u32>,
    children: BTreeSet<u32>,
}

/// The graph.
#[derive(Default)]
pub struct Links {
    nodes: Paged<Node>,
    len: usize,
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
    /// latter. A tag has fewer tags above it than below it, as a rule.
    pub fn closes_cycle(&self, parent: u32, child: u32) -> bool {
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

    /// The tags of all nodes that a way leads to from a node, itself not among them.
    pub fn descendants(&self, node: u32) -> Vec<u32> {
        let (mut left, mut tags) = (vec![node], Vec::new());
        let mut seen = HashSet::with_hasher(RandomState::default());
        while let Some(node) = left.pop() {
            for &child in &self.nodes.get(node).children {
                if seen.insert(child) {
                    tags.push(self.nodes.get(child).tag);
                    left.push(child);
                }
            }
        }
        tags
    }

    /// The tags that each link connects.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        let nodes = self.nodes.iter();
        nodes.flat_map(|(_, node)| node.children.iter().map(|&child| (node.tag, self.nodes.get(child).tag)))
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
                let below: BTreeSet<u32> = links.descendants(parent).into_iter().map(|tag| tag - 100).collect();
                let mut expected = reached(&model, a);
                expected.remove(&a);
                assert_eq!(below, expected);
                let children: Vec<u32> = links.children(parent).map(|tag| tag - 100).collect();
                assert_eq!(children, model.iter().filter(|link| link.0 == a).map(|link| link.1).collect::<Vec<_>>());
            }
            assert_eq!(links.iter().map(|(a, b)| (a - 100, b - 100)).collect::<BTreeSet<_>>(), model);
            while links.free_slice() {}
            assert_eq!((links.memory_bytes(), links.nodes.len()), (0, 0));
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
