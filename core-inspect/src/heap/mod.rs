//! Floor 5: allocators' own structures walked into one table of chunks.

pub mod chunk_table;
pub mod named;
pub mod ptmalloc;

pub use chunk_table::{ArenaId, Chunk, ChunkId, ChunkTable, Place, State};

use crate::base::{AddrRange, Avma, Evidence, Problem, ProblemKind, Severity};
use crate::image::memory::MemoryReader;
use crate::process::Process;

/// A self-check of the walk against figures that the target keeps itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// What is compared, such as `mmapped chunks`.
    pub name: String,
    /// What the walk found.
    pub found: u64,
    /// What the target says.
    pub expected: u64,
    /// `true` when both are bytes, `false` when both are counts.
    pub bytes: bool,
}

impl Check {
    /// Whether both figures are equal.
    pub fn agrees(&self) -> bool {
        self.found == self.expected
    }
}

/// Totals of chunks in one state.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// How many.
    pub chunks: u64,
    /// Usable bytes (as `malloc_usable_size` counts them).
    pub bytes: u64,
}

/// One arena of an allocator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArenaInfo {
    /// Its number in reports; the main arena is 0.
    pub id: ArenaId,
    /// Where its state structure is.
    pub at: Avma,
    /// Bytes the arena says it has from the system.
    pub system_bytes: u64,
    /// Whether it is the main arena.
    pub is_main: bool,
    /// Threads attached, as the arena itself counts them.
    pub attached_threads: Option<u64>,
}

/// One allocator instance that was found and walked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AllocatorInfo {
    /// `glibc malloc`, …
    pub name: String,
    /// Version or range of versions by layout, such as `2.27-2.41`, refined by the library's own version string.
    pub version: Option<String>,
    /// Module that holds its state, such as `libc.so.6`.
    pub module: Option<String>,
    /// How its roots were found.
    pub evidence: Evidence,
    /// One line on that evidence for people.
    pub evidence_text: String,
    /// Its arenas.
    pub arenas: Vec<ArenaInfo>,
    /// Its self-checks.
    pub checks: Vec<Check>,
}

/// An allocator that is recognised but cannot be walked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedAllocator {
    /// `jemalloc`, `gperftools tcmalloc`, `mimalloc`, `musl mallocng`, `AddressSanitizer`, …
    pub name: String,
    /// Version where the evidence has it.
    pub version: Option<String>,
    /// What shows that it is there and in use.
    pub evidence_text: String,
}

/// Memory that belongs to an allocator's own bookkeeping (arena structures, heap headers): neither chunk nor root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MetadataRange(pub AddrRange);

/// A used chunk that the allocator (or the C library) holds for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InternalBlock {
    /// The chunk.
    pub chunk: ChunkId,
    /// What is in it, by its name in the library's source.
    pub what: &'static str,
}

/// Everything the heap floor found.
#[derive(Debug)]
pub struct Heap {
    /// All chunks of all allocators, sorted by address.
    pub chunks: ChunkTable,
    /// Allocators that were walked, in the order of [`ArenaId`] ranges.
    pub allocators: Vec<AllocatorInfo>,
    /// Allocators that were only named.
    pub named: Vec<NamedAllocator>,
    /// Bookkeeping outside chunks, sorted.
    pub metadata: Vec<MetadataRange>,
    /// Used chunks that are the allocator's own, sorted.
    pub internal: Vec<InternalBlock>,
    /// Damage and disagreements.
    pub problems: Vec<Problem>,
}

/// Walks every allocator of the process that can be walked. `known` is what symbols and debug information say.
pub fn walk(process: &Process, memory: &dyn MemoryReader, known: &[ptmalloc::Known]) -> Heap {
    let instances = ptmalloc::locate(process, memory, known);
    let mut walk = ptmalloc::walk(process, memory, &instances);
    let regions = std::mem::take(&mut walk.regions);
    let (mut chunks, overlaps) = ChunkTable::build(regions, ptmalloc::shift(&instances, memory.word_size()));
    let mut internal = walk.places(process, memory, &instances, &mut chunks);
    internal.sort_unstable_by_key(|block| block.chunk);
    let overlaps = overlaps.iter().map(|overlap| {
        Problem::new(Severity::Error, ProblemKind::Corruption, overlap.to_string()).at(overlap.second.start)
    });
    let mut problems = walk.problems;
    problems.extend(overlaps);
    walk.metadata.sort_unstable();
    Heap {
        chunks,
        allocators: walk.allocators,
        named: named::recognise(process, memory),
        metadata: walk.metadata,
        internal,
        problems,
    }
}
