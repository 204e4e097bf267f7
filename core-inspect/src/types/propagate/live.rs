//! Which bytes of a container's buffers are live elements: a vector's capacity beyond its size holds what was there
//! before.

use crate::base::{AddrRange, Avma};
use crate::heap::ChunkId;

/// Live elements of buffers that have others too, and buffers of which nothing is sure.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// From the first to the last run of live elements of a buffer.
    runs: Vec<(ChunkId, AddrRange)>,
    /// Buffers of containers in which something is wrong.
    doubtful: Vec<ChunkId>,
}

impl Live {
    /// Notes a run of elements.
    pub(super) fn add(&mut self, chunk: ChunkId, run: AddrRange) {
        match self.runs.last_mut() {
            // Slots of a table come one after the other.
            Some((last, known)) if *last == chunk => {
                *known = AddrRange::new(known.start.min(run.start), known.end.max(run.end));
            }
            _ => self.runs.push((chunk, run)),
        }
    }

    /// Believes nothing of these buffers.
    pub(super) fn doubt(&mut self, chunks: &[ChunkId]) {
        self.doubtful.extend_from_slice(chunks);
    }

    /// Sorts, so that chunks are found.
    pub(super) fn finish(&mut self) {
        self.doubtful.sort_unstable();
        self.doubtful.dedup();
        self.runs.sort_unstable_by_key(|(chunk, run)| (*chunk, run.start));
        self.runs.dedup_by(|next, known| {
            let same = next.0 == known.0;
            if same {
                known.1 = AddrRange::new(known.1.start, known.1.end.max(next.1.end));
            }
            same
        });
        self.runs.shrink_to_fit();
    }

    /// Whether nothing is sure of a buffer.
    pub(super) fn is_doubtful(&self, chunk: ChunkId) -> bool {
        self.doubtful.binary_search(&chunk).is_ok()
    }

    /// Whether a place in a buffer may be a live element.
    pub(super) fn is_live(&self, chunk: ChunkId, at: Avma) -> bool {
        match self.runs.binary_search_by_key(&chunk, |(chunk, _)| *chunk) {
            Ok(index) => self.runs[index].1.contains(at),
            Err(_) => true,
        }
    }
}
