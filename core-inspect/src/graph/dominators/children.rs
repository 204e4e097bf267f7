//! The dominator tree from above: the children of each node, made on demand: 4 bytes for each node and 4 more for each
//! that is no leaf.

use super::depth_first::LEAF;
use super::{Dominators, Node, node_of};

/// The children of all nodes.
#[derive(Debug)]
pub struct Children<'d> {
    tree: &'d Dominators,
    /// By number: where its children start, with the end of the last one's.
    first: Vec<u32>,
    /// Vertices as [`Dominators`] has them.
    nodes: Vec<u32>,
}

impl<'d> Children<'d> {
    /// Of all nodes.
    pub fn new(tree: &'d Dominators) -> Self {
        let mut first = vec![0u32; tree.vertices.len() + 1];
        each(tree, |parent, _| first[parent as usize] += 1);
        let mut end = 0;
        for start in &mut first {
            end += *start;
            *start = end;
        }
        let mut nodes = vec![0u32; end as usize];
        each(tree, |parent, vertex| {
            let slot = &mut first[parent as usize];
            *slot -= 1;
            nodes[*slot as usize] = vertex;
        });
        Self { tree, first, nodes }
    }

    /// Those that `node` dominates with nobody between, in no order that means anything, but always in the same.
    pub fn of(&self, node: Node) -> impl ExactSizeIterator<Item = Node> + '_ {
        self.vertices(node).iter().map(|&vertex| node_of(vertex))
    }

    /// One of them.
    pub fn get(&self, node: Node, index: u32) -> Option<Node> {
        self.vertices(node).get(index as usize).map(|&vertex| node_of(vertex))
    }

    fn vertices(&self, node: Node) -> &[u32] {
        let range = self
            .tree
            .number(node)
            .map_or(0..0, |number| self.first[number as usize] as usize..self.first[number as usize + 1] as usize);
        &self.nodes[range]
    }
}

/// Each node but the root, with its dominator's number.
fn each(tree: &Dominators, mut visit: impl FnMut(u32, u32)) {
    for (&parent, &vertex) in tree.immediate.iter().zip(&tree.vertices).skip(1) {
        visit(parent, vertex);
    }
    for (&cell, id) in tree.cells.iter().zip(0u32..) {
        if cell & LEAF != 0 && ((cell & !LEAF) as usize) < tree.vertices.len() {
            visit(cell & !LEAF, id);
        }
    }
}
