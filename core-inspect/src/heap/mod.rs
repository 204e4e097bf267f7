//! Floor 5: allocators' own structures walked into one table of chunks.

pub mod chunk_table;
pub mod named;
pub mod ptmalloc;

pub use chunk_table::{ArenaId, Chunk, ChunkId, ChunkTable, Place, State};

use crate::base::{AddrRange, Avma, Evidence, Problem, ProblemKind, Severity};
use crate::image::memory::MemoryReader;
use crate::process::Process;
use chunk_table::RawRegion;

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

/// What a walker reads.
#[derive(Clone, Copy)]
pub(in crate::heap) struct Target<'a> {
    pub process: &'a Process,
    pub memory: &'a dyn MemoryReader,
}

/// Where a walker works, beside the others.
pub(in crate::heap) struct Ground<'a> {
    /// Chunk starts of the whole table are multiples of `1 << shift` bytes.
    pub shift: u32,
    /// The first of its arena ids.
    pub first_arena: u32,
    /// Memory that walkers before it have: chunks and bookkeeping.
    pub claimed: &'a [AddrRange],
}

/// What the first pass of a walker leaves.
#[derive(Default)]
pub(in crate::heap) struct Carved {
    /// Adjacent chunks; places that only lists tell may still change in the second pass.
    pub regions: Vec<RawRegion>,
    /// Bookkeeping outside chunks.
    pub metadata: Vec<MetadataRange>,
}

/// What a walker says at the end.
#[derive(Default)]
pub(in crate::heap) struct Findings {
    pub allocators: Vec<AllocatorInfo>,
    pub problems: Vec<Problem>,
    pub internal: Vec<InternalBlock>,
}

/// All copies of one kind of allocator, found: how their memory becomes chunks, in two passes over one table.
pub(in crate::heap) trait HeapWalker {
    /// User addresses are multiples of `1 << shift` bytes.
    fn shift(&self) -> u32;
    /// How many arena ids it needs.
    fn arenas(&self) -> u32;
    /// Lists its chunks.
    fn carve(&mut self, target: Target<'_>, ground: &Ground<'_>) -> Carved;
    /// Takes back what only looks used (caches, lists), with all chunks in one table, and checks itself.
    fn settle(self: Box<Self>, target: Target<'_>, table: &mut ChunkTable) -> Findings;
}

/// Walks every allocator of the process that can be walked. `known` is what symbols and debug information say.
pub fn walk(process: &Process, memory: &dyn MemoryReader, known: &[ptmalloc::Known]) -> Heap {
    let target = Target { process, memory };
    // Those whose structures say exactly what is theirs come first; glibc looks for mmapped chunks in what is left.
    let mut walkers: Vec<Box<dyn HeapWalker>> = vec![Box::new(ptmalloc::Copies::locate(target, known))];
    let shift = walkers.iter().map(|walker| walker.shift()).min().unwrap_or(0);
    let (mut first_arena, mut claimed) = (0, Vec::new());
    let (mut regions, mut metadata) = (Vec::new(), Vec::new());
    for walker in &mut walkers {
        let carved = walker.carve(target, &Ground { shift, first_arena, claimed: &claimed });
        first_arena += walker.arenas();
        claimed.extend(carved.regions.iter().map(RawRegion::range));
        claimed.extend(carved.metadata.iter().map(|part| part.0));
        regions.extend(carved.regions);
        metadata.extend(carved.metadata);
    }
    metadata.sort_unstable();
    let (mut chunks, overlaps) = ChunkTable::build(regions, shift);
    let overlaps = overlaps.iter().map(|overlap| {
        Problem::new(Severity::Error, ProblemKind::Corruption, overlap.to_string()).at(overlap.second.start)
    });
    let mut all = Findings::default();
    for walker in walkers {
        let findings = walker.settle(target, &mut chunks);
        all.allocators.extend(findings.allocators);
        all.problems.extend(findings.problems);
        all.internal.extend(findings.internal);
    }
    all.problems.extend(overlaps);
    all.internal.sort_unstable_by_key(|block| block.chunk);
    let named = named_only(named::recognise(process, memory), &all.allocators);
    Heap { chunks, allocators: all.allocators, named, metadata, internal: all.internal, problems: all.problems }
}

/// Those of `named` that were not walked: each walked copy takes one of its name away.
fn named_only(mut named: Vec<NamedAllocator>, walked: &[AllocatorInfo]) -> Vec<NamedAllocator> {
    for info in walked {
        if let Some(index) = named.iter().position(|other| other.name == info.name) {
            named.remove(index);
        }
    }
    named
}
