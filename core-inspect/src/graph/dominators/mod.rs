//! Who alone keeps what alive: the dominator tree over owners and chunks, and what each of them retains.
//!
//! A node dominates a chunk when every way from the roots to the chunk goes through it. What a node retains is itself and
//! all that it dominates: it would be free if the node were gone. A chunk that two owners lead to is dominated by neither,
//! but by the virtual root over all of them (or by the whole of which both are parts).
//!
//! Roots hold in the order of their strength ([`Standing`](super::Standing)): what module data reaches is shared among
//! owners of module data only. A stale word on a stack that leads into a global's list takes nothing away from the global.

mod children;
mod depth_first;
mod lengauer_tarjan;
mod owners;
#[cfg(test)]
mod tests;

pub use children::Children;
pub use owners::{Owner, OwnerId, Owners};

use super::{Edges, GraphError};
use crate::heap::{ChunkId, ChunkTable, Totals};
use depth_first::{LEAF, NONE, Numbering, OWNER};

/// A node of the dominator tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Node {
    /// The virtual root over all owners.
    Root,
    /// An owner of root words.
    Owner(OwnerId),
    /// A chunk.
    Chunk(ChunkId),
}

/// The dominator tree and its sums: 4 bytes a chunk, and 20 for each that is more than a leaf.
#[derive(Debug)]
pub struct Dominators {
    /// By chunk: its number, [`LEAF`] with the number that dominates it, or not reached.
    cells: Vec<u32>,
    /// By owner: its number.
    owners: Vec<u32>,
    /// By number, in depth-first order: a chunk, or [`OWNER`] with an owner.
    vertices: Vec<u32>,
    /// By number: the number that dominates it, which is lower.
    immediate: Vec<u32>,
    bytes: Vec<u64>,
    counts: Vec<u32>,
}

impl Dominators {
    /// The tree over all that `owners` lead to by `edges`, which are those of `chunks` or a selection of them.
    ///
    /// # Errors
    /// When there are more chunks and owners than 31 bits can number.
    pub fn compute(edges: &Edges, chunks: &ChunkTable, owners: &Owners) -> Result<Self, GraphError> {
        let most = chunks.len() + owners.len();
        if most >= LEAF as usize - 2 {
            return Err(GraphError::TooManyChunks(most));
        }
        let mut numbering = Numbering::new(edges, chunks.len(), owners);
        let immediate = lengauer_tarjan::dominators(&mut numbering, edges, owners);
        let Numbering { cells, owners, vertices, .. } = numbering;
        let mut tree = Self { cells, owners, vertices, immediate, bytes: Vec::new(), counts: Vec::new() };
        tree.sum(chunks);
        Ok(tree)
    }

    /// Dominators have lower numbers, so one pass from the highest sums up.
    fn sum(&mut self, chunks: &ChunkTable) {
        let mut bytes = vec![0u64; self.vertices.len()];
        let mut counts = vec![0u32; self.vertices.len()];
        for chunk in chunks.iter() {
            let number = self.cells[chunk.id.index()] & !LEAF;
            if let Some(sum) = bytes.get_mut(number as usize) {
                *sum += chunk.usable;
                counts[number as usize] += 1;
            }
        }
        for number in (1..bytes.len()).rev() {
            let dominator = self.immediate[number] as usize;
            bytes[dominator] += bytes[number];
            counts[dominator] += counts[number];
        }
        (self.bytes, self.counts) = (bytes, counts);
    }

    /// Whether a root reaches the chunk.
    pub fn reaches(&self, chunk: ChunkId) -> bool {
        ((self.cells[chunk.index()] & !LEAF) as usize) < self.vertices.len()
    }

    /// The nearest dominator of a node; `None` for the root and for chunks that no root reaches.
    pub fn parent(&self, node: Node) -> Option<Node> {
        let number = match node {
            Node::Root => return None,
            Node::Owner(id) => self.immediate[self.owners[id.index()] as usize],
            Node::Chunk(id) if !self.reaches(id) => return None,
            Node::Chunk(id) => match self.cells[id.index()] {
                cell if cell & LEAF != 0 => cell & !LEAF,
                number => self.immediate[number as usize],
            },
        };
        Some(self.node(number))
    }

    /// What a node retains; nothing for chunks that no root reaches.
    pub fn retained(&self, node: Node, chunks: &ChunkTable) -> Totals {
        let number = match node {
            Node::Root => 0,
            Node::Owner(id) => self.owners[id.index()],
            Node::Chunk(id) if !self.reaches(id) => return Totals::default(),
            Node::Chunk(id) if self.cells[id.index()] & LEAF != 0 => {
                return Totals { chunks: 1, bytes: chunks.usable(id) };
            }
            Node::Chunk(id) => self.cells[id.index()],
        };
        Totals { chunks: u64::from(self.counts[number as usize]), bytes: self.bytes[number as usize] }
    }

    /// The dominators of a chunk, from the nearest up to, without, the root. Lists make this as long as they are.
    pub fn above(&self, node: Node) -> impl Iterator<Item = Node> + '_ {
        std::iter::successors(self.parent(node), |&node| self.parent(node)).filter(|&node| node != Node::Root)
    }

    /// The chunks for which `is_one` says yes and that no other such chunk dominates, in order.
    pub fn topmost(&self, is_one: impl Fn(ChunkId) -> bool) -> Vec<ChunkId> {
        // By number: whether it is one, or is below one. Dominators have lower numbers.
        let mut covered = vec![false; self.vertices.len()];
        let mut found = Vec::new();
        for (number, (&vertex, &dominator)) in self.vertices.iter().zip(&self.immediate).enumerate().skip(1) {
            let is_below = covered[dominator as usize];
            let is_one = vertex & OWNER == 0 && is_one(ChunkId(vertex));
            if is_one && !is_below {
                found.push(ChunkId(vertex));
            }
            covered[number] = is_below || is_one;
        }
        for (&cell, id) in self.cells.iter().zip(0..) {
            let holder = (cell & !LEAF) as usize;
            if cell & LEAF != 0 && covered.get(holder) == Some(&false) && is_one(ChunkId(id)) {
                found.push(ChunkId(id));
            }
        }
        found.sort_unstable();
        found
    }

    /// Bytes that this takes itself.
    pub fn own_bytes(&self) -> u64 {
        (self.cells.len() * 4 + self.owners.len() * 4 + self.vertices.len() * 20) as u64
    }

    fn node(&self, number: u32) -> Node {
        match self.vertices[number as usize] {
            NONE => Node::Root,
            vertex => node_of(vertex),
        }
    }

    /// The number of a node that is no leaf and is reached.
    fn number(&self, node: Node) -> Option<u32> {
        match node {
            Node::Root => Some(0),
            Node::Owner(id) => Some(self.owners[id.index()]),
            Node::Chunk(id) => Some(self.cells[id.index()]).filter(|&cell| cell & LEAF == 0),
        }
    }
}

/// The owner or chunk in a cell of [`Dominators::vertices`] other than the root's.
fn node_of(vertex: u32) -> Node {
    if vertex & OWNER != 0 { Node::Owner(OwnerId(vertex & !OWNER)) } else { Node::Chunk(ChunkId(vertex)) }
}
