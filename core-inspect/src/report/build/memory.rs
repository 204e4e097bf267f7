//! The census: each mapped byte under exactly one kind.

use super::Sources;
use super::tally::Tally;
use crate::base::AddrRange;
use crate::graph::ranges::Claims;
use crate::heap::{Heap, Place, State};
use crate::process::{Mapping, MappingKind, Process};
use crate::report::model::{Memory, MemoryRow};

/// Kinds in the order of the page.
const ORDER: [&str; 13] = [
    "heap-used",
    "mmapped",
    "heap-free",
    "heap-overhead",
    "stack-live",
    "stack-unused",
    "stack-cached",
    "module-data",
    "file",
    "brk",
    "anonymous",
    "unexplained",
    "kernel",
];

/// What is left of a mapping around a heap region below this size is padding.
const PADDING: u64 = 64;

/// Bytes by kind while they are counted.
#[derive(Default)]
struct Counts([u64; ORDER.len()]);

impl Counts {
    fn add(&mut self, kind: &str, bytes: u64) {
        let index = ORDER.iter().position(|&other| other == kind).expect("a kind of the census");
        self.0[index] = self.0[index].saturating_add(bytes);
    }

    fn rows(&self) -> Vec<MemoryRow> {
        let rows = ORDER.iter().zip(self.0).filter(|(_, bytes)| *bytes > 0);
        rows.map(|(&kind, bytes)| MemoryRow { kind: kind.to_owned(), bytes }).collect()
    }
}

/// The census of a process, as fine as the floors that were run allow; `tally` counts all chunks.
pub fn census(sources: &Sources<'_>, tally: &Tally) -> Memory {
    let mut counts = Counts::default();
    let mut memory = Memory::default();
    let mut claims = Claims::default();
    if let Some(heap) = sources.heap {
        count_heap(heap, tally, sources.process, &mut claims, &mut counts);
    }
    count_stacks(sources.process, &mut claims, &mut counts);
    let walked = sources.heap.is_some_and(|heap| !heap.allocators.is_empty());
    for mapping in &sources.process.mappings {
        if mapping.kind == MappingKind::Reserved {
            memory.reserved_bytes = memory.reserved_bytes.saturating_add(mapping.range.len());
            continue;
        }
        let missing = mapping.range.len().saturating_sub(mapping.dumped_bytes);
        memory.not_in_core_bytes = memory.not_in_core_bytes.saturating_add(missing);
        for part in claims.free_parts(mapping.range) {
            counts.add(kind_of(mapping, part, walked), part.len());
        }
    }
    memory.from_files_bytes = sources.image.memory.filled_bytes();
    memory.mapped_bytes = counts.0.iter().fold(0, |sum, &bytes| sum.saturating_add(bytes));
    memory.rows = counts.rows();
    memory
}

/// Claims what is mapped (and not merely reserved) of `range`, and says how many bytes that was.
fn claim(range: AddrRange, process: &Process, claims: &mut Claims) -> u64 {
    let first = process.mappings.partition_point(|mapping| mapping.range.end <= range.start);
    let inside = process.mappings[first..].iter().take_while(|mapping| mapping.range.start < range.end);
    let backed = inside.filter(|mapping| mapping.kind != MappingKind::Reserved);
    let parts = backed.filter_map(|mapping| mapping.range.intersect(range));
    parts.flat_map(|part| claims.claim(part)).map(AddrRange::len).sum()
}

/// Chunks by their state; what is left of regions and bookkeeping is overhead. Stretches that could not be walked are
/// unexplained.
fn count_heap(heap: &Heap, tally: &Tally, process: &Process, claims: &mut Claims, counts: &mut Counts) {
    let regions = heap.chunks.regions().iter().map(|region| region.range);
    let metadata = heap.metadata.iter().map(|part| part.0);
    let all: u64 = regions.chain(metadata).map(|range| claim(range, process, claims)).sum();
    let [used, mmapped, free, unwalked] = [
        tally.used().bytes - tally.of_place(Place::Mmapped).bytes,
        tally.of_place(Place::Mmapped).bytes,
        tally.of_state(State::Free).bytes,
        tally.of_place(Place::Unwalked).bytes,
    ];
    for (kind, bytes) in [("heap-used", used), ("mmapped", mmapped), ("heap-free", free), ("unexplained", unwalked)] {
        counts.add(kind, bytes);
    }
    counts.add("heap-overhead", all.saturating_sub(used + mmapped + free + unwalked));
}

fn count_stacks(process: &Process, claims: &mut Claims, counts: &mut Counts) {
    for live in process.threads.iter().filter_map(|thread| thread.live_stack) {
        counts.add("stack-live", claim(live, process, claims));
    }
    for whole in process.threads.iter().filter_map(|thread| thread.whole_stack) {
        counts.add("stack-unused", claim(whole, process, claims));
    }
}

fn kind_of(mapping: &Mapping, part: AddrRange, walked: bool) -> &'static str {
    match mapping.kind {
        MappingKind::Kernel => "kernel",
        MappingKind::CachedStack => "stack-cached",
        MappingKind::Stack => "stack-unused",
        _ if mapping.module.is_some() && mapping.writable => "module-data",
        MappingKind::File => "file",
        _ if walked && part.len() < PADDING => "heap-overhead",
        _ if walked && mapping.writable => "unexplained",
        MappingKind::Brk => "brk",
        _ => "anonymous",
    }
}
