//! References that the conservative scan saw and that are none, since a type says that the word is no pointer.

use super::{Bits, Graph};
use crate::heap::ChunkId;

/// Edges and root references to leave out.
#[derive(Debug)]
pub struct Dropped {
    /// `(source, target)`, sorted.
    edges: Vec<(u32, u32)>,
    sources: Bits,
    /// Indices into [`Graph::root_refs`](super::Graph::root_refs).
    root_refs: Vec<u32>,
    roots: Bits,
}

impl Dropped {
    /// From edges and root references, in a graph of so many chunks and root references.
    pub fn new(mut edges: Vec<(u32, u32)>, mut root_refs: Vec<u32>, chunks: usize, all_root_refs: usize) -> Self {
        edges.sort_unstable();
        edges.dedup();
        root_refs.sort_unstable();
        root_refs.dedup();
        let (sources, roots) = (Bits::new(chunks), Bits::new(all_root_refs));
        for &(source, _) in &edges {
            sources.set_alone(source);
        }
        for &index in &root_refs {
            roots.set_alone(index);
        }
        Self { edges, sources, root_refs, roots }
    }

    /// Those of this one and of another that pass.
    #[must_use]
    pub fn with(&self, other: &Self, graph: &Graph, passes: impl Fn(ChunkId) -> bool) -> Self {
        let edges = self.edges.iter().chain(&other.edges).filter(|(_, target)| passes(ChunkId(*target)));
        let target = |index: u32| graph.root_refs[index as usize].target.id();
        let roots = self.root_refs.iter().chain(&other.root_refs).filter(|index| passes(target(**index)));
        let (edges, roots) = (edges.copied().collect(), roots.copied().collect());
        Self::new(edges, roots, graph.edges.sources(), graph.root_refs.len())
    }

    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty() && self.root_refs.is_empty()
    }

    /// How many edges and root references.
    pub fn len(&self) -> usize {
        self.edges.len() + self.root_refs.len()
    }

    /// Whether this edge is left out.
    #[inline]
    pub fn has(&self, source: u32, target: u32) -> bool {
        self.sources.has(source) && self.edges.binary_search(&(source, target)).is_ok()
    }

    /// Whether the root reference with this index is left out.
    pub fn has_root(&self, index: u32) -> bool {
        self.roots.has(index)
    }

    /// The edges, sorted.
    pub fn edges(&self) -> impl Iterator<Item = (ChunkId, ChunkId)> + '_ {
        self.edges.iter().map(|&(source, target)| (ChunkId(source), ChunkId(target)))
    }

    /// Bytes that they take.
    pub fn own_bytes(&self) -> u64 {
        (self.edges.len() * 8 + self.root_refs.len() * 4) as u64
    }
}
