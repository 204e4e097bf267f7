//! Floor 6: who points at whom: roots, edges between chunks, what is reachable and by which path.
//!
//! ```text
//! process + heap ── roots ──┐
//! chunks' own words ── scan ┴─> Graph (edges, root references) ──> Reach (reachable, lost) ──> paths, referrers
//! ```
//!
//! The scan is conservative: each aligned word whose value is an address inside a used chunk's usable bytes is an edge.
//! So a chunk that is called lost is lost unless its address is hidden (compressed, xored, one past the end, in another
//! process or in bytes that the core lacks), while a chunk that is called reachable may be held by a stale word.

pub mod bits;
pub mod dominators;
pub mod dropped;
pub mod edges;
pub mod paths;
pub mod ranges;
pub mod reach;
pub mod resolve;
pub mod roots;
pub mod scan;
#[cfg(test)]
pub(crate) mod testing;
pub mod wave;

pub use bits::Bits;
pub use dominators::{Children, Dominators, Node, Owner, OwnerId, Owners};
pub use dropped::Dropped;
pub use edges::{Edges, Target};
pub use paths::{Hop, Path, Referrer, Step};
pub use reach::{Reach, Standing};
pub use resolve::{Hit, Resolver};
pub use roots::{Root, RootKind, RootRef};

use crate::base::{Problem, ProblemKind, Severity};
use crate::heap::Heap;
use crate::image::memory::MemoryReader;
use crate::process::Process;

/// How conservative the scan is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct GraphOptions {
    /// Whether an address inside a chunk (not its user address) counts. Without them, chunks that are only held through
    /// a base class or a `make_shared` block look lost.
    pub interior: bool,
}

impl Default for GraphOptions {
    fn default() -> Self {
        Self { interior: true }
    }
}

/// Why a graph cannot be built.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GraphError {
    /// Chunk ids need 31 bits, the last bit says exact or interior.
    #[error("{0} chunks are more than the 2147483648 a graph can number")]
    TooManyChunks(usize),
}

/// All references between chunks and from roots to chunks.
#[derive(Debug)]
pub struct Graph {
    /// The root ranges, sorted by address; registers first, they have none.
    pub roots: Vec<Root>,
    /// Every root word that refers to a used chunk, sorted by address.
    pub root_refs: Vec<RootRef>,
    /// References from used chunk to used chunk.
    pub edges: Edges,
    /// Bytes of used chunks that the core lacks: references in them are unknown, so lost chunks may be in truth held.
    pub unread_bytes: u64,
    /// Bytes of roots that the core lacks, of ranges that it has in part. Ranges that are missing whole, such as
    /// reserved address space, do not count.
    pub unread_root_bytes: u64,
    /// What makes the answer weaker.
    pub problems: Vec<Problem>,
}

impl Graph {
    /// Scans roots and used chunks once. The result does not depend on the number of threads.
    ///
    /// # Errors
    /// When there are more chunks than ids.
    pub fn build(
        memory: &dyn MemoryReader,
        process: &Process,
        heap: &Heap,
        options: GraphOptions,
    ) -> Result<Self, GraphError> {
        if heap.chunks.len() > 1 << 31 {
            return Err(GraphError::TooManyChunks(heap.chunks.len()));
        }
        let resolver = Resolver::new(&heap.chunks, options.interior);
        let roots = roots::enumerate(process, heap);
        let (root_refs, unread_root_bytes) = scan::scan_roots(memory, process, &roots, &resolver);
        let (edges, unread_bytes) = scan::scan_chunks(memory, &resolver);
        let mut graph = Self { roots, root_refs, edges, unread_bytes, unread_root_bytes, problems: Vec::new() };
        graph.note_unread();
        Ok(graph)
    }

    /// Whether missing bytes may hide references, so that some lost chunks may be held in truth.
    pub fn leaks_uncertain(&self) -> bool {
        self.unread_bytes > 0 || self.unread_root_bytes > 0
    }

    fn note_unread(&mut self) {
        for (bytes, of) in [(self.unread_bytes, "used chunks"), (self.unread_root_bytes, "roots")] {
            if bytes > 0 {
                let text = format!("{bytes} bytes of {of} are not in the core: what only they refer to looks lost");
                self.problems.push(Problem::new(Severity::Warning, ProblemKind::NotDumped, text));
            }
        }
    }

    /// Bytes that the graph takes itself.
    pub fn own_bytes(&self) -> u64 {
        self.edges.own_bytes()
            + (self.roots.len() * size_of::<Root>() + self.root_refs.len() * size_of::<RootRef>()) as u64
    }
}
