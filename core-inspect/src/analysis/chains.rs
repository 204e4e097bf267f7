//! Lists and trees over used chunks, without types: links from samples, then one array of successors for each link.
//!
//! A node belongs to a list when exactly one node leads to it at the list's link (one of its own size wins over others,
//! so that a stray pointer of something else does not cut a list in two). Nodes may vary in size. Each node is in one
//! list or tree only: a list's other direction isn't found again.
//!
//! False positives: a run of eight or more unlike objects, each referring to the next at one offset and nobody else
//! doing so; and a second list through the same nodes is not told apart from the first one's other direction.

use super::View;
use super::links::{self, Link, ListLink, TreeLinks};
use super::view::{Class, Classes, RUN};
use crate::base::Avma;
use crate::graph::Bits;
use crate::heap::ChunkId;
use rayon::prelude::*;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Fewer nodes are not worth a line.
pub const SHORTEST: u32 = 8;
/// The biggest lists and trees that are kept one by one.
const MOST_KEPT: usize = 1 << 16;

/// How nodes are linked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Linkage {
    /// One word leads from node to node.
    List(Link),
    /// Words at fixed offsets lead to children.
    Tree {
        /// Offset of the word that leads to the parent, if there is one.
        parent: Option<u64>,
        /// Offsets of the words that lead to children.
        children: Vec<u64>,
    },
}

/// One list or tree.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Chain {
    /// Index into [`Chains::linkages`].
    pub linkage: u16,
    /// First node of a list, root of a tree.
    pub head: ChunkId,
    /// Last node of a list; of a tree, its root again.
    pub last: ChunkId,
    /// Nodes, exactly.
    pub nodes: u32,
    /// Usable bytes of the nodes alone.
    pub shallow_bytes: u64,
    /// Usable size of the nodes when they are of one size.
    pub node_size: Option<u64>,
    /// Whether the last node leads to the first.
    pub closed: bool,
}

/// All lists and trees of eight nodes or more.
#[derive(Clone, Default, Debug)]
pub struct Chains {
    /// How nodes are linked, for [`Chain::linkage`].
    pub linkages: Vec<Linkage>,
    /// The biggest ones, by linkage, then by head.
    pub all: Vec<Chain>,
    /// Smaller ones that are only counted.
    pub dropped: u64,
}

const NONE: u32 = u32::MAX;

impl Chains {
    /// Finds them. Takes at most nine bytes a chunk on the way.
    pub fn find(view: &View<'_>, classes: &Classes) -> Self {
        let links = links::find(view, classes);
        let claimed = Bits::new(view.chunks().len());
        let mut cells = vec![NONE; view.chunks().len()];
        let mut chains = Self::default();
        for tree in &links.trees {
            let found = Forest { view, classes, claimed: &claimed, links: tree }.find(&mut cells);
            let linkage = Linkage::Tree { parent: tree.parent, children: tree.children.clone() };
            chains.add(linkage, found);
        }
        for list in &links.lists {
            let counters: Vec<AtomicU8> = cells.iter().map(|_| AtomicU8::new(0)).collect();
            let found = Lists { view, classes, claimed: &claimed, links: list, counters: &counters }.find(&mut cells);
            chains.add(Linkage::List(list.link), found);
        }
        chains.keep_biggest();
        chains
    }

    fn add(&mut self, linkage: Linkage, found: Vec<Chain>) {
        if found.is_empty() {
            return;
        }
        let index = self.linkages.len() as u16;
        self.linkages.push(linkage);
        self.all.extend(found.into_iter().map(|chain| Chain { linkage: index, ..chain }));
    }

    fn keep_biggest(&mut self) {
        if self.all.len() > MOST_KEPT {
            self.all.sort_by_key(|chain| (std::cmp::Reverse(chain.shallow_bytes), chain.head));
            self.dropped = (self.all.len() - MOST_KEPT) as u64;
            self.all.truncate(MOST_KEPT);
        }
        self.all.sort_by_key(|chain| (chain.linkage, chain.head));
    }

    /// The nodes of a chain: of a list in its order, of a tree parents before children.
    pub fn nodes(&self, view: &View<'_>, chain: &Chain) -> Vec<ChunkId> {
        self.first_nodes(view, chain, chain.nodes as usize)
    }

    /// As [`Chains::nodes`], the first `most` of them.
    pub fn first_nodes(&self, view: &View<'_>, chain: &Chain, most: usize) -> Vec<ChunkId> {
        let most = most.min(chain.nodes as usize);
        let mut words = view.words();
        let mut nodes = Vec::with_capacity(most);
        nodes.push(chain.head);
        match &self.linkages[usize::from(chain.linkage)] {
            Linkage::List(link) => {
                // From word to word: looking chunks up is beside the way, so that its cache misses overlap.
                let (mut last, mut user) = (chain.head, view.chunks().get(chain.head).user);
                while nodes.len() < most {
                    let Some(word) = words.word(user.wrapping_add(link.offset)) else { break };
                    let Some(next) = word.checked_sub(link.delta) else { break };
                    let is_whole = link.offset + view.word_bytes() <= view.chunks().usable(last);
                    let Some(id) = words.start_of(next).filter(|&id| is_whole && id != last) else { break };
                    nodes.push(id);
                    (last, user) = (id, Avma(next));
                }
            }
            Linkage::Tree { children, .. } => {
                let mut at = 0;
                while at < nodes.len() && nodes.len() < most {
                    let node = view.chunks().get(nodes[at]);
                    at += 1;
                    for &offset in children {
                        nodes.extend(links::follow(&mut words, &node, Link { offset, delta: 0 }));
                    }
                }
                nodes.truncate(most);
            }
        }
        nodes
    }
}

/// Counters of a node: who leads to it at the link.
const ONE_ALIKE: u8 = 1;
const MORE_ALIKE: u8 = 2;
const ONE_OTHER: u8 = 4;
const MORE_OTHER: u8 = 8;
const VISITED: u8 = 16;
const MEMBER: u8 = 32;

struct Lists<'a> {
    view: &'a View<'a>,
    classes: &'a Classes,
    claimed: &'a Bits,
    links: &'a ListLink,
    counters: &'a [AtomicU8],
}

impl Lists<'_> {
    fn find(&self, next: &mut [u32]) -> Vec<Chain> {
        let linked = next.par_chunks_mut(RUN).enumerate().map(|(run, cells)| self.successors(run, cells)).sum::<u32>();
        if linked < SHORTEST {
            return Vec::new();
        }
        self.count_predecessors(next);
        next.par_chunks_mut(RUN).enumerate().for_each(|(run, cells)| {
            for (cell, id) in cells.iter_mut().zip((run * RUN) as u32..) {
                if *cell != NONE && !self.is_accepted(id, *cell) {
                    *cell = NONE;
                }
            }
        });
        let next = &*next;
        let runs = (0..next.len().div_ceil(RUN)).into_par_iter();
        let mut found: Vec<Chain> = runs
            .flat_map_iter(|run| {
                let ids = (run * RUN) as u32..((run + 1) * RUN).min(next.len()) as u32;
                self.walk_all(next, ids.filter(|&id| next[id as usize] != NONE && !self.has_predecessor(id)))
            })
            .collect();
        // What nobody walked yet has no beginning: rings.
        for id in 0..next.len() as u32 {
            if next[id as usize] != NONE && self.counters[id as usize].load(Relaxed) & VISITED == 0 {
                found.extend(self.walk_all(next, std::iter::once(id)));
            }
        }
        for id in 0..next.len() as u32 {
            if self.counters[id as usize].load(Relaxed) & MEMBER != 0 {
                self.claimed.set(id);
            }
        }
        found
    }

    /// Fills in where each chunk of a run leads to; how many lead anywhere.
    fn successors(&self, run: usize, cells: &mut [u32]) -> u32 {
        let (mut words, mut linked) = (self.view.words(), 0);
        let first = (run * RUN) as u32;
        let link = self.links.link;
        let end = link.offset + self.view.word_bytes();
        let wanted = |id: ChunkId| {
            let class = self.classes.of(id);
            class != 0
                && self.links.classes[usize::from(class)]
                && Classes::size(class) >= end
                && !self.claimed.has(id.0)
                && !self.view.graph.edges.of(id).is_empty()
        };
        let chunks = self.view.chunks().id_range(first, first + cells.len() as u32);
        for (cell, chunk) in cells.iter_mut().zip(chunks) {
            let target =
                wanted(chunk.id).then(|| words.follow(chunk.user.wrapping_add(link.offset), link.delta)).flatten();
            let target = target.filter(|&target| target != chunk.id && !self.claimed.has(target.0));
            *cell = target.map_or(NONE, |target| target.0);
            linked += u32::from(target.is_some());
        }
        linked
    }

    /// Counts who leads to each node. One thread with plain stores: its cache misses overlap, those of locked
    /// instructions would not.
    fn count_predecessors(&self, next: &[u32]) {
        for (&target, id) in next.iter().zip(0u32..).filter(|&(&target, _)| target != NONE) {
            let is_alike = self.classes.of(ChunkId(id)) == self.classes.of(ChunkId(target));
            let (one, more) = if is_alike { (ONE_ALIKE, MORE_ALIKE) } else { (ONE_OTHER, MORE_OTHER) };
            let counter = &self.counters[target as usize];
            let old = counter.load(Relaxed);
            counter.store(old | if old & one == 0 { one } else { more }, Relaxed);
        }
    }

    fn is_accepted(&self, from: u32, to: u32) -> bool {
        let counter = self.counters[to as usize].load(Relaxed);
        let is_alike = self.classes.of(ChunkId(from)) == self.classes.of(ChunkId(to));
        counter & if is_alike { MORE_ALIKE } else { ONE_ALIKE | MORE_OTHER } == 0
    }

    fn has_predecessor(&self, id: u32) -> bool {
        let counter = self.counters[id as usize].load(Relaxed);
        matches!(counter & (ONE_ALIKE | MORE_ALIKE), ONE_ALIKE)
            || counter & (ONE_ALIKE | ONE_OTHER | MORE_OTHER) == ONE_OTHER
    }

    /// From each head on, until the list ends or comes back. Many lists are walked side by side, so that their cache
    /// misses overlap. The order is that of the heads.
    fn walk_all(&self, next: &[u32], mut heads: impl Iterator<Item = u32>) -> Vec<Chain> {
        let mut found = Vec::new();
        let mut active: Vec<Walk> = Vec::with_capacity(SIDE_BY_SIDE);
        loop {
            active.extend(heads.by_ref().take(SIDE_BY_SIDE - active.len()).map(Walk::new));
            if active.is_empty() {
                found.sort_by_key(|&(head, _)| head);
                return found.into_iter().filter_map(|(_, chain)| chain).collect();
            }
            active.retain_mut(|walk| {
                self.step(walk);
                walk.at = next[walk.at as usize];
                let goes_on = walk.at != NONE && walk.at != walk.head;
                if !goes_on && walk.nodes >= SHORTEST {
                    found.push((walk.head, walk.chain(|id| self.size(id))));
                }
                goes_on
            });
        }
    }

    fn step(&self, walk: &mut Walk) {
        let at = walk.at;
        walk.step(at, self.size(at));
        // Each node is in one walk: a plain store does. The first nodes are members only when there are enough of them.
        let mark = |id: u32, bits: u8| {
            let counter = &self.counters[id as usize];
            counter.store(counter.load(Relaxed) | bits, Relaxed);
        };
        if walk.nodes > SHORTEST {
            mark(at, VISITED | MEMBER);
            return;
        }
        mark(at, VISITED);
        walk.early[walk.nodes as usize - 1] = at;
        if walk.nodes == SHORTEST {
            walk.early.iter().for_each(|&id| mark(id, MEMBER));
        }
    }

    fn size(&self, id: u32) -> u64 {
        match self.classes.of(ChunkId(id)) {
            Class::MAX => self.view.chunks().usable(ChunkId(id)),
            class => Classes::size(class),
        }
    }
}

/// Lists that one thread walks at a time.
const SIDE_BY_SIDE: usize = 64;

/// Sums of a list while it is walked.
#[derive(Default)]
struct Walk {
    /// Where the walk is.
    at: u32,
    /// The first nodes.
    early: [u32; SHORTEST as usize],
    nodes: u32,
    bytes: u64,
    head: u32,
    /// The last two.
    last: [u32; 2],
    /// Size of the second node, and how many have it.
    size: u64,
    alike: u32,
}

impl Walk {
    fn new(head: u32) -> Self {
        Self { at: head, head, ..Self::default() }
    }

    fn step(&mut self, id: u32, size: u64) {
        match self.nodes {
            0 => (),
            1 => (self.size, self.alike) = (size, 1),
            _ => self.alike += u32::from(size == self.size),
        }
        self.nodes += 1;
        self.bytes += size;
        self.last = [self.last[1], id];
    }

    /// The list, without an unlike end: an object that begins with a pointer to the first node is its owner.
    fn chain(&self, size: impl Fn(u32) -> u64) -> Option<Chain> {
        let alike_head = size(self.head) == self.size;
        let total = self.alike + u32::from(alike_head);
        let uniform = u64::from(total) * 20 >= u64::from(self.nodes) * 19 || total + 2 >= self.nodes;
        let mut chain = Chain {
            linkage: 0,
            head: ChunkId(self.head),
            last: ChunkId(self.last[1]),
            nodes: self.nodes,
            shallow_bytes: self.bytes,
            node_size: None,
            closed: self.at == self.head,
        };
        if uniform && !alike_head {
            chain.head = ChunkId(self.early[1]);
            chain.nodes -= 1;
            chain.shallow_bytes -= size(self.head);
            chain.closed = false;
        }
        if uniform && size(self.last[1]) != self.size {
            chain.last = ChunkId(self.last[0]);
            chain.nodes -= 1;
            chain.shallow_bytes -= size(self.last[1]);
            chain.closed = false;
        }
        chain.node_size = (total == chain.nodes).then_some(self.size);
        (chain.nodes >= SHORTEST).then_some(chain)
    }
}

struct Forest<'a> {
    view: &'a View<'a>,
    classes: &'a Classes,
    claimed: &'a Bits,
    links: &'a TreeLinks,
}

/// In an array of parents: two nodes have it as a child, so it is in no tree.
const SHARED: u32 = u32::MAX - 1;

impl Forest<'_> {
    fn find(&self, parent: &mut [u32]) -> Vec<Chain> {
        parent.fill(NONE);
        match self.links.parent {
            Some(offset) => self.parents_by_word(parent, offset),
            None => self.parents_by_children(parent),
        }
        self.trees(parent)
    }

    fn is_node(&self, id: u32) -> bool {
        let class = self.classes.of(ChunkId(id));
        class != 0 && self.links.classes[usize::from(class)] && !self.claimed.has(id)
    }

    fn parents_by_word(&self, parent: &mut [u32], offset: u64) {
        let link = Link { offset, delta: 0 };
        parent.par_chunks_mut(RUN).enumerate().for_each(|(run, cells)| {
            let mut words = self.view.words();
            let first = (run * RUN) as u32;
            for (cell, id) in cells.iter_mut().zip(first..).filter(|(_, id)| self.is_node(*id)) {
                let chunk = self.view.chunks().get(ChunkId(id));
                let Some(up) = links::follow(&mut words, &chunk, link).filter(|up| self.is_node(up.0)) else {
                    continue;
                };
                let up = self.view.chunks().get(up);
                let leads_back =
                    self.links.children.iter().any(|&child| {
                        child < up.usable && words.word(up.user.wrapping_add(child)) == Some(chunk.user.0)
                    });
                if leads_back {
                    *cell = up.id.0;
                }
            }
        });
    }

    fn parents_by_children(&self, parent: &mut [u32]) {
        let mut words = self.view.words();
        for id in (0..parent.len() as u32).filter(|&id| self.is_node(id)) {
            let chunk = self.view.chunks().get(ChunkId(id));
            for &offset in &self.links.children {
                let child = links::follow(&mut words, &chunk, Link { offset, delta: 0 });
                if let Some(child) = child.filter(|child| self.is_node(child.0)) {
                    let cell = &mut parent[child.index()];
                    *cell = if *cell == NONE { id } else { SHARED };
                }
            }
        }
    }

    /// Sums up each tree at its root. Paths are shortened on the way, so the whole costs little more than one look at
    /// each node.
    fn trees(&self, parent: &mut [u32]) -> Vec<Chain> {
        let mut sums = std::collections::BTreeMap::<u32, Chain>::new();
        let mut way = Vec::new();
        for id in 0..parent.len() as u32 {
            let mut at = id;
            way.clear();
            while parent[at as usize] < SHARED && way.len() <= MOST_DEPTH {
                way.push(at);
                at = parent[at as usize];
            }
            if way.len() > MOST_DEPTH || parent[at as usize] == SHARED {
                // A ring, or so deep that it is a list; whoever comes by later stops here.
                for &node in &way {
                    parent[node as usize] = SHARED;
                }
                continue;
            }
            if way.is_empty() {
                continue;
            }
            for &node in &way {
                parent[node as usize] = at;
            }
            let root = sums.entry(at).or_insert_with(|| self.root(at));
            let usable = self.view.chunks().usable(ChunkId(id));
            root.nodes += 1;
            root.shallow_bytes += usable;
            root.node_size = root.node_size.filter(|&size| size == usable);
        }
        sums.retain(|_, tree| tree.nodes >= SHORTEST);
        for id in 0..parent.len() as u32 {
            let root = if parent[id as usize] < SHARED { parent[id as usize] } else { id };
            if sums.contains_key(&root) {
                self.claimed.set(id);
            }
        }
        sums.into_values().collect()
    }

    fn root(&self, id: u32) -> Chain {
        let chunk = self.view.chunks().get(ChunkId(id));
        Chain {
            linkage: 0,
            head: chunk.id,
            last: chunk.id,
            nodes: 1,
            shallow_bytes: chunk.usable,
            node_size: Some(chunk.usable),
            closed: false,
        }
    }
}

/// No tree that is kept in balance is so deep.
const MOST_DEPTH: usize = 1 << 12;

#[cfg(test)]
pub(super) mod tests {
    use super::super::view::tests::with_view;
    use super::*;
    use crate::graph::testing::Toy;

    fn find(toy: &Toy) -> Chains {
        with_view(toy, |view| Chains::find(view, &Classes::compute(view.chunks())))
    }

    fn list(offset: u64) -> Linkage {
        Linkage::List(Link { offset, delta: 0 })
    }

    #[test]
    fn a_doubly_linked_list_is_one_list_once() {
        let mut toy = Toy::new(&[0x28; 40]);
        for id in 1..39 {
            toy.point(id, 0, id + 1, 0).point(id + 1, 8, id, 0);
        }
        let chains = find(&toy);
        assert_eq!(chains.linkages, [list(0)]);
        let [chain] = chains.all[..] else { panic!("{chains:?}") };
        assert_eq!((chain.head, chain.last, chain.nodes, chain.closed), (ChunkId(1), ChunkId(39), 39, false));
        assert_eq!((chain.shallow_bytes, chain.node_size), (39 * 0x28, Some(0x28)));
        let nodes = with_view(&toy, |view| chains.nodes(view, &chain));
        assert_eq!(nodes, (1..40).map(ChunkId).collect::<Vec<_>>());
    }

    #[test]
    fn nodes_of_many_sizes_are_one_list() {
        let sizes: Vec<u64> = (0..60).map(|id| 0x18 + id * 7 % 5 * 16).collect();
        let mut toy = Toy::new(&sizes);
        for id in 0..59 {
            toy.point(id, 8, id + 1, 0);
        }
        let chains = find(&toy);
        let [chain] = chains.all[..] else { panic!("{chains:?}") };
        assert_eq!((chain.nodes, chain.node_size), (60, None));
        assert_eq!(chain.shallow_bytes, sizes.iter().sum::<u64>());
    }

    #[test]
    fn rings_with_embedded_links_are_closed_and_owners_are_no_nodes() {
        let mut toy = Toy::new(&[0x38; 80]);
        for id in 0..40 {
            toy.point(id, 16, (id + 1) % 40, 16).point((id + 1) % 40, 24, id, 16);
        }
        let chains = find(&toy);
        let [chain] = chains.all[..] else { panic!("{chains:?}") };
        assert!(chain.closed);
        assert_eq!(chain.nodes, 40);
        assert_eq!(chains.linkages, [Linkage::List(Link { offset: 16, delta: 16 })]);
    }

    #[test]
    fn an_owner_of_another_size_is_trimmed_and_stray_pointers_do_not_cut() {
        let mut sizes = vec![0x18; 50];
        (sizes[0], sizes[49]) = (0x48, 0x58);
        let mut toy = Toy::new(&sizes);
        for id in 0..48 {
            toy.point(id, 0, id + 1, 0);
        }
        toy.point(49, 0, 20, 0);
        let chains = find(&toy);
        let [chain] = chains.all[..] else { panic!("{chains:?}") };
        assert_eq!((chain.head, chain.nodes), (ChunkId(1), 48));
    }

    /// A balanced tree of `count` nodes from node `first` on, libstdc++'s offsets.
    pub(in crate::analysis) fn rb_tree(toy: &mut Toy, first: usize, count: usize) {
        for node in 1..=count {
            for (child, offset) in [(node * 2, 16), (node * 2 + 1, 24)] {
                if child <= count {
                    toy.point(first + node - 1, offset, first + child - 1, 0);
                    toy.point(first + child - 1, 8, first + node - 1, 0);
                }
            }
        }
    }

    #[test]
    fn trees_with_parents() {
        let mut toy = Toy::new(&[0x38; 700]);
        rb_tree(&mut toy, 0, 500);
        rb_tree(&mut toy, 500, 150);
        let chains = find(&toy);
        assert_eq!(chains.linkages, [Linkage::Tree { parent: Some(8), children: vec![16, 24] }]);
        let found: Vec<_> = chains.all.iter().map(|tree| (tree.head.0, tree.nodes)).collect();
        assert_eq!(found, [(0, 500), (500, 150)]);
        let nodes = with_view(&toy, |view| chains.nodes(view, &chains.all[0]));
        assert_eq!(nodes.len(), 500);
    }

    #[test]
    fn a_few_other_objects_of_a_trees_node_size_do_not_hide_it() {
        let mut toy = Toy::new(&[0x48; 304]);
        rb_tree(&mut toy, 0, 300);
        for (id, other) in [(300, 301), (302, 303)] {
            toy.point(id, 8, other, 0).point(other, 0, id, 0).point(other, 32, 7, 0);
        }
        let chains = find(&toy);
        assert_eq!(chains.linkages, [Linkage::Tree { parent: Some(8), children: vec![16, 24] }]);
    }

    #[test]
    fn trees_without_parents() {
        let mut toy = Toy::new(&[0x28; 600]);
        for node in 1..=600 {
            for (child, offset) in [(node * 2, 8), (node * 2 + 1, 16)] {
                if child <= 600 {
                    toy.point(node - 1, offset, child - 1, 0);
                }
            }
        }
        let chains = find(&toy);
        assert_eq!(chains.linkages, [Linkage::Tree { parent: None, children: vec![8, 16] }]);
        assert_eq!(chains.all.iter().map(|tree| tree.nodes).collect::<Vec<_>>(), [600]);
    }

    #[test]
    fn a_ring_of_children_ends() {
        let mut toy = Toy::new(&[0x28; 600]);
        for node in 0..600 {
            toy.point(node, 8, (node * 2 + 1) % 600, 0).point(node, 16, (node * 2 + 2) % 600, 0);
        }
        find(&toy);
    }
}
