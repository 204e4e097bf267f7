//! Claims on one chunk that cannot both be true: counted, with examples.

use super::cells::Origin;
use super::typing::Typing;
use crate::heap::ChunkId;

/// Examples that are kept.
const MOST_EXAMPLES: usize = 16;

/// Two types for one chunk, both known equally surely.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Conflict {
    /// The chunk.
    pub chunk: ChunkId,
    /// What it is taken for: the first claim.
    pub kept: Typing,
    /// What another claim says.
    pub other: Typing,
    /// Where that claim comes from.
    pub origin: Origin,
}

/// All conflicts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conflicts {
    /// How many claims contradict an earlier one.
    pub count: u64,
    /// The first ones, in the order in which they were found.
    pub examples: Vec<Conflict>,
    /// Chunks that a later claim contradicts, sorted.
    chunks: Vec<ChunkId>,
}

impl Conflicts {
    pub(super) fn add(&mut self, chunk: ChunkId, kept: Typing, other: Typing, origin: Origin) {
        self.count += 1;
        if self.examples.len() < MOST_EXAMPLES {
            self.examples.push(Conflict { chunk, kept, other, origin });
        }
        if self.chunks.last() != Some(&chunk) {
            self.chunks.push(chunk);
        }
    }

    pub(super) fn finish(&mut self) {
        self.chunks.sort_unstable();
        self.chunks.dedup();
        self.chunks.shrink_to_fit();
    }

    /// Whether a claim contradicts the chunk's type.
    pub fn has(&self, chunk: ChunkId) -> bool {
        self.chunks.binary_search(&chunk).is_ok()
    }

    /// How many chunks have several types.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }
}
