//! By hand, and against brute force: remove a node, look what is reached, and the rest is what it dominates.

use super::super::reach::{PHASES, Standing};
use super::super::{RootKind, testing};
use super::*;
use crate::heap::ChunkId;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of chunks, owners, and `(owner, chunk)`.
struct Case {
    rows: Vec<Vec<u32>>,
    owners: Vec<Owner>,
    words: Vec<(u32, u32)>,
}

fn top(standing: Standing) -> Owner {
    Owner { within: None, standing }
}

impl Case {
    /// Owners of module data, one for each list of chunks.
    fn data(rows: &[&[u32]], held: &[&[u32]]) -> Self {
        let words = held.iter().zip(0..).flat_map(|(chunks, owner)| chunks.iter().map(move |&chunk| (owner, chunk)));
        Self {
            rows: rows.iter().map(|row| row.to_vec()).collect(),
            owners: vec![top(Standing::Data); held.len()],
            words: words.collect(),
        }
    }

    fn tree(&self) -> Dominators {
        let graph = testing::graph(&self.rows, &[]);
        let words = self.words.iter().map(|&(owner, chunk)| (OwnerId(owner), ChunkId(chunk)));
        let owners = Owners::new(self.owners.clone(), words.collect());
        Dominators::compute(&graph.edges, &testing::table(self.rows.len()), &owners).expect("few chunks")
    }

    fn nodes(&self) -> Vec<Node> {
        let owners = (0..self.owners.len() as u32).map(|id| Node::Owner(OwnerId(id)));
        owners.chain((0..self.rows.len() as u32).map(chunk)).collect()
    }

    fn standing(&self, owner: OwnerId) -> Standing {
        let mut owner = self.owners[owner.index()];
        while let Some(whole) = owner.within {
            owner = self.owners[whole.index()];
        }
        owner.standing
    }

    /// What `node` refers to.
    fn row(&self, node: Node) -> Vec<Node> {
        let Node::Owner(owner) = node else {
            let Node::Chunk(id) = node else { return Vec::new() };
            return self.rows[id.index()].iter().copied().map(chunk).collect();
        };
        let words = self.words.iter().filter(|word| word.0 == owner.0).map(|word| chunk(word.1));
        let parts = (0..self.owners.len() as u32).filter(|&id| self.owners[id as usize].within == Some(owner));
        words.chain(parts.map(|id| Node::Owner(OwnerId(id)))).collect()
    }

    /// What owners of one standing reach past `stronger` and without `gone`.
    fn reached(&self, standing: Standing, stronger: &BTreeSet<Node>, gone: Option<Node>) -> BTreeSet<Node> {
        let tops = (0..self.owners.len() as u32).map(OwnerId).filter(|&id| self.standing(id) == standing);
        let mut stack: Vec<Node> =
            tops.filter(|id| self.owners[id.index()].within.is_none()).map(Node::Owner).collect();
        let mut seen = BTreeSet::new();
        while let Some(node) = stack.pop() {
            if Some(node) != gone && !stronger.contains(&node) && seen.insert(node) {
                stack.extend(self.row(node));
            }
        }
        seen
    }

    /// Whom each node dominates, itself included: whoever is not reached any more without it.
    fn dominated(&self) -> BTreeMap<Node, BTreeSet<Node>> {
        let mut all = BTreeMap::new();
        let mut stronger = BTreeSet::new();
        for phase in PHASES {
            let reached = self.reached(phase, &stronger, None);
            for &node in &reached {
                let left = self.reached(phase, &stronger, Some(node));
                all.insert(node, reached.difference(&left).copied().collect());
            }
            stronger.extend(reached);
        }
        all
    }

    /// Compares with brute force.
    fn check(&self) {
        let (tree, table) = (self.tree(), testing::table(self.rows.len()));
        let dominated = self.dominated();
        let bytes = |nodes: &BTreeSet<Node>| {
            let chunks = nodes.iter().filter_map(|node| if let Node::Chunk(id) = node { Some(*id) } else { None });
            let sizes: Vec<u64> = chunks.map(|id| table.usable(id)).collect();
            Totals { chunks: sizes.len() as u64, bytes: sizes.iter().sum() }
        };
        for node in self.nodes() {
            let Some(set) = dominated.get(&node) else {
                assert_eq!((tree.parent(node), tree.retained(node, &table)), (None, Totals::default()), "{node:?}");
                continue;
            };
            assert_eq!(tree.retained(node, &table), bytes(set), "what {node:?} retains");
            let above: BTreeSet<Node> = tree.above(node).collect();
            let expected = dominated.iter().filter(|(other, set)| **other != node && set.contains(&node));
            assert_eq!(above, expected.map(|(other, _)| *other).collect(), "who dominates {node:?}");
        }
        let reached: BTreeSet<Node> = dominated.keys().copied().collect();
        assert_eq!(tree.retained(Node::Root, &table), bytes(&reached));
        let is_one = |id: ChunkId| id.0.is_multiple_of(3);
        let is_below = |id| tree.above(chunk(id)).any(|node| matches!(node, Node::Chunk(id) if is_one(id)));
        let topmost = (0..self.rows.len() as u32).filter(|&id| id.is_multiple_of(3) && tree.reaches(ChunkId(id)));
        let topmost: Vec<ChunkId> = topmost.filter(|&id| !is_below(id)).map(ChunkId).collect();
        assert_eq!(tree.topmost(is_one), topmost);
        self.check_children(&tree, &table);
    }

    fn check_children(&self, tree: &Dominators, table: &crate::heap::ChunkTable) {
        let children = Children::new(tree);
        let mut seen = 0;
        for node in self.nodes().into_iter().chain([Node::Root]) {
            let mut sum = Totals::default();
            for child in children.of(node) {
                assert_eq!(tree.parent(child), Some(node));
                let part = tree.retained(child, table);
                (sum.chunks, sum.bytes) = (sum.chunks + part.chunks, sum.bytes + part.bytes);
                seen += 1;
            }
            if let Node::Chunk(id) = node
                && tree.reaches(id)
            {
                (sum.chunks, sum.bytes) = (sum.chunks + 1, sum.bytes + table.usable(id));
            }
            assert_eq!(tree.retained(node, table), sum, "{node:?} and its children");
        }
        assert_eq!(seen, self.nodes().iter().filter(|&&node| tree.parent(node).is_some()).count());
    }
}

fn chunk(id: u32) -> Node {
    Node::Chunk(ChunkId(id))
}

fn owner(id: u32) -> Node {
    Node::Owner(OwnerId(id))
}

#[test]
fn a_diamond_joins_at_its_head() {
    let case = Case::data(&[&[1, 2], &[3], &[3], &[4], &[]], &[&[0]]);
    let tree = case.tree();
    let parents: Vec<Option<Node>> = (0..5).map(|id| tree.parent(chunk(id))).collect();
    assert_eq!(parents, [owner(0), chunk(0), chunk(0), chunk(0), chunk(3)].map(Some));
    assert_eq!(tree.retained(chunk(3), &testing::table(5)).chunks, 2);
    case.check();
}

#[test]
fn two_owners_share_and_one_owner_does_not_compete_with_itself() {
    let shared = Case::data(&[&[1], &[]], &[&[0], &[1]]);
    assert_eq!(shared.tree().parent(chunk(1)), Some(Node::Root));
    // First and last of a doubly linked list.
    let list = Case::data(&[&[1], &[0, 2], &[1]], &[&[0, 2]]);
    assert_eq!(list.tree().retained(owner(0), &testing::table(3)).chunks, 3);
    assert_eq!(list.tree().parent(chunk(1)), Some(owner(0)));
    shared.check();
    list.check();
}

#[test]
fn parts_share_within_their_whole() {
    let mut case = Case::data(&[&[2], &[2], &[3], &[]], &[&[], &[0], &[1]]);
    case.owners[1].within = Some(OwnerId(0));
    case.owners[2].within = Some(OwnerId(0));
    let tree = case.tree();
    assert_eq!(tree.parent(chunk(2)), Some(owner(0)));
    assert_eq!(tree.parent(owner(2)), Some(owner(0)));
    assert_eq!(tree.parent(owner(0)), Some(Node::Root));
    case.check();
}

#[test]
fn weaker_roots_take_nothing_from_stronger_ones() {
    let mut case = Case::data(&[&[1], &[2], &[], &[1]], &[&[2], &[0]]);
    case.owners = vec![top(Standing::Stack), top(Standing::Data)];
    case.words.push((0, 3));
    let (tree, table) = (case.tree(), testing::table(4));
    assert_eq!(tree.retained(owner(1), &table).chunks, 3, "the stack's words into the list do not count");
    assert_eq!(tree.retained(owner(0), &table).chunks, 1);
    case.check();
}

#[test]
fn what_no_root_reaches_has_no_place() {
    let case = Case::data(&[&[], &[2], &[]], &[&[0]]);
    let tree = case.tree();
    assert!(!tree.reaches(ChunkId(1)) && !tree.reaches(ChunkId(2)) && tree.reaches(ChunkId(0)));
    case.check();
}

#[test]
fn no_chunks_and_no_owners() {
    let tree = Case::data(&[], &[]).tree();
    assert_eq!(tree.retained(Node::Root, &testing::table(0)), Totals::default());
}

/// The walk up from each shared leaf would be quadratic in a simpler algorithm, and a deep stack in a recursive one.
#[test]
fn two_long_lists_that_share_elements() {
    let count = 200_000u32;
    let list = |start: u32, id: u32| if id + 1 < count { vec![start + id + 1, 2 * count + id] } else { vec![] };
    let rows: Vec<Vec<u32>> = (0..count)
        .map(|id| list(0, id))
        .chain((0..count).map(|id| list(count, id)))
        .chain((0..count).map(|_| Vec::new()))
        .collect();
    let case = Case { rows, owners: vec![top(Standing::Data); 2], words: vec![(0, 0), (1, count)] };
    let (tree, table) = (case.tree(), testing::table(3 * count as usize));
    assert!((2 * count..3 * count - 1).all(|id| tree.parent(chunk(id)) == Some(Node::Root)));
    assert_eq!(tree.retained(owner(0), &table).chunks, u64::from(count));
    assert_eq!(tree.retained(chunk(count + 7), &table).chunks, u64::from(count - 7));
}

#[test]
fn a_long_ring_with_ways_back() {
    let count = 200_000u32;
    let rows = (0..count).map(|id| vec![(id + 1) % count, id.checked_sub(1).unwrap_or(count - 1)]).collect();
    let case = Case { rows, owners: vec![top(Standing::Data)], words: vec![(0, 5)] };
    let tree = case.tree();
    assert_eq!(tree.parent(chunk(5)), Some(owner(0)));
    assert!((0..count).all(|id| id == 5 || tree.parent(chunk(id)) == Some(chunk(5))));
}

#[test]
fn owners_of_words_agree_with_what_a_chunk_holds() {
    let kinds = [RootKind::Data { module: 0 }; 2];
    let graph = testing::graph(&[vec![1, 2], vec![2], vec![], vec![2]], &[(kinds[0], 0), (kinds[1], 3)]);
    let table = testing::table(4);
    let tree = Dominators::compute(&graph.edges, &table, &Owners::of_words(&graph)).expect("few chunks");
    assert_eq!((0..4).map(|id| tree.retained(chunk(id), &table).chunks).collect::<Vec<_>>(), [2, 1, 1, 1]);
    assert_eq!(tree.parent(chunk(2)), Some(Node::Root));
}

const STANDINGS: [Standing; 3] = [Standing::Data, Standing::Data, Standing::Stack];

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    #[test]
    fn agrees_with_brute_force(
        edges in prop::collection::vec((0u32..12, 0u32..12), 0..34),
        owners in prop::collection::vec((prop::option::of(0usize..6), 0usize..3), 0..6),
        words in prop::collection::vec((0u32..6, 0u32..12), 0..8),
    ) {
        let mut rows = vec![Vec::new(); 12];
        for (source, target) in edges {
            rows[source as usize].push(target);
        }
        let owners: Vec<Owner> = owners.iter().zip(0usize..).map(|(&(within, standing), index)| Owner {
            within: within.filter(|&whole| whole < index).map(|whole| OwnerId(whole as u32)),
            standing: STANDINGS[standing],
        }).collect();
        let words = words.into_iter().filter(|word| (word.0 as usize) < owners.len()).collect();
        Case { rows, owners, words }.check();
    }

    #[test]
    fn one_chunk_holds_what_it_retains(
        edges in prop::collection::vec((0u32..12, 0u32..12), 0..30),
        starts in prop::collection::vec(0u32..12, 1..4),
    ) {
        let mut rows = vec![Vec::new(); 12];
        for (source, target) in edges {
            rows[source as usize].push(target);
        }
        let held: Vec<(RootKind, u32)> = starts.iter().map(|&id| (RootKind::Data { module: 0 }, id)).collect();
        let (graph, table) = (testing::graph(&rows, &held), testing::table(12));
        let tree = Dominators::compute(&graph.edges, &table, &Owners::of_words(&graph)).expect("few chunks");
        let total = tree.retained(Node::Root, &table);
        let reach = super::super::Reach::compute(&graph, &table);
        prop_assert_eq!(total, reach.reachable());
        prop_assert!((0..12).all(|id| tree.reaches(ChunkId(id)) == reach.standing(ChunkId(id)).is_reachable()));
    }
}
