//! What each chunk, owner and type retains: the dominator tree of a graph with the owners of its roots.

use super::owners::RootOwner;
use crate::graph::{Children, Dominators, Node, OwnerId};
use crate::heap::{ChunkId, ChunkTable, Totals};

/// A graph's dominator tree, and who its owners are.
#[derive(Debug)]
pub struct Retained {
    /// The tree.
    pub tree: Dominators,
    /// By owner.
    pub owners: Vec<RootOwner>,
}

impl Retained {
    /// The owner with this id.
    pub fn owner(&self, id: OwnerId) -> &RootOwner {
        &self.owners[id.index()]
    }

    /// What each of `types` types retains: the sum over those of its chunks that no other one of the type dominates.
    pub fn by_type(
        &self,
        chunks: &ChunkTable,
        types: usize,
        type_of: impl Fn(ChunkId) -> Option<usize>,
    ) -> Vec<Totals> {
        let mut sums = vec![Totals::default(); types];
        let children = Children::new(&self.tree);
        // How many chunks of each type are above.
        let mut above = vec![0u32; types];
        let type_of = |node| match node {
            Node::Chunk(id) => type_of(id).filter(|&id| id < types),
            Node::Root | Node::Owner(_) => None,
        };
        let mut open = vec![(Node::Root, 0)];
        while let Some((node, at)) = open.last_mut() {
            let Some(next) = children.get(*node, *at) else {
                if let Some(of) = type_of(*node) {
                    above[of] -= 1;
                }
                open.pop();
                continue;
            };
            *at += 1;
            if let Some(of) = type_of(next) {
                if above[of] == 0 {
                    let part = self.tree.retained(next, chunks);
                    sums[of].chunks += part.chunks;
                    sums[of].bytes += part.bytes;
                }
                above[of] += 1;
            }
            open.push((next, 0));
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Owners, RootKind, testing};

    #[test]
    fn instances_below_one_of_their_type_do_not_count_twice() {
        // 0 (a) -> 1 (b) -> 2 (a); 0 -> 3 (b); 4 (a) held apart.
        let rows = [vec![1, 3], vec![2], vec![], vec![], vec![]];
        let held = [(RootKind::Data { module: 0 }, 0), (RootKind::Data { module: 0 }, 4)];
        let (graph, table) = (testing::graph(&rows, &held), testing::table(5));
        let tree = Dominators::compute(&graph.edges, &table, &Owners::of_words(&graph)).expect("few chunks");
        let retained = Retained { tree, owners: Vec::new() };
        let types = [0, 1, 0, 1, 0];
        let sums = retained.by_type(&table, 2, |id| Some(types[id.index()]));
        assert_eq!(sums.iter().map(|sum| sum.chunks).collect::<Vec<_>>(), [5, 3]);
    }
}
