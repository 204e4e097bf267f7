//! Root ranges: memory whose words keep chunks alive, each byte under one kind.
//!
//! Chunks, the allocator's own structures (they point at chunk headers) and dead stack parts are no roots. What is
//! writable and explained by nothing is one: other allocators, hand-made pools, shared memory.

use super::ranges::Claims;
use crate::base::{AddrRange, Avma};
use crate::heap::{Heap, Place};
use crate::process::{Arch, MappingKind, Process};

/// What kind of root, and whose. The order is the order of strength: a chunk held by several is counted for the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RootKind {
    /// Writable memory of a module: `.data`, `.bss`.
    Data {
        /// Index into [`Process::modules`].
        module: u32,
    },
    /// Thread-local storage.
    Tls {
        /// Index into [`Process::threads`].
        thread: u32,
        /// Whose variables, if it is known; the thread's own control block otherwise.
        module: Option<u32>,
    },
    /// The live part of a stack.
    Stack {
        /// Index into [`Process::threads`].
        thread: u32,
    },
    /// The registers of a thread.
    Register {
        /// Index into [`Process::threads`].
        thread: u32,
    },
    /// What the thread library keeps of a thread that has ended: its dynamic thread vector.
    EndedThread {
        /// Index into [`Process::dead_stacks`].
        stack: u32,
    },
    /// Writable memory that nothing explains.
    Unexplained {
        /// Index into [`Process::mappings`].
        mapping: u32,
    },
}

/// One root range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Root {
    /// Where; registers have an empty range at 0.
    pub range: AddrRange,
    /// What.
    pub kind: RootKind,
}

/// A root word that refers to a used chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RootRef {
    /// Where the word is; for registers, its number in the note's order.
    pub at: Avma,
    /// Index into [`Graph::roots`](super::Graph::roots).
    pub root: u32,
    /// The chunk, with the interior bit.
    pub target: super::Target,
}

/// All roots of `process`, sorted by address, registers first.
pub fn enumerate(process: &Process, heap: &Heap) -> Vec<Root> {
    let mut claims = Claims::default();
    for range in not_roots(process, heap) {
        claims.claim(range);
    }
    let mut roots = registers(process);
    let mut add = |range: AddrRange, kind: RootKind| {
        roots.extend(claims.claim(range).into_iter().map(|range| Root { range, kind }));
    };
    thread_roots(process, &mut add);
    module_roots(process, &mut add);
    for (index, mapping) in process.mappings.iter().enumerate() {
        let dead = matches!(mapping.kind, MappingKind::Kernel | MappingKind::Reserved | MappingKind::CachedStack);
        if mapping.writable && !dead {
            add(mapping.range, RootKind::Unexplained { mapping: index as u32 });
        }
    }
    roots.extend(unwalked(process, heap));
    roots.extend(ended_threads(process));
    roots.sort_unstable();
    roots
}

/// What may never be a root. Unwalked stretches lie in heap regions and are added back apart.
fn not_roots<'a>(process: &'a Process, heap: &'a Heap) -> impl Iterator<Item = AddrRange> + 'a {
    let regions = heap.chunks.regions().iter().map(|region| region.range);
    let metadata = heap.metadata.iter().map(|metadata| metadata.0);
    let dead_stacks = process.threads.iter().filter_map(|thread| {
        let (whole, live) = (thread.whole_stack?, thread.live_stack?);
        Some(AddrRange::new(whole.start, live.start.min(whole.end)))
    });
    regions.chain(metadata).chain(dead_stacks).chain(process.dead_stacks.iter().copied())
}

fn registers(process: &Process) -> Vec<Root> {
    let of = |thread| Root { range: AddrRange::default(), kind: RootKind::Register { thread } };
    (0..process.threads.len() as u32).map(of).collect()
}

/// `struct pthread` is at least this big in every version (0x8c0 in glibc 2.17, 0x900 in 2.36), in bytes.
const CONTROL_BLOCK: u64 = 0x8c0;

fn thread_roots(process: &Process, add: &mut impl FnMut(AddrRange, RootKind)) {
    for block in &process.tls_blocks {
        add(block.range, RootKind::Tls { thread: block.thread, module: block.module });
    }
    for (index, tp) in process.threads.iter().enumerate().filter_map(|(index, thread)| Some((index, thread.tp?))) {
        let mapping = process.mapping_at(tp).map(|mapping| mapping.range).unwrap_or_default();
        // AArch64 has the block below the thread pointer, x86 above.
        let block = match process.arch {
            Arch::Aarch64 => AddrRange::new(tp.wrapping_sub(CONTROL_BLOCK), tp.wrapping_add(16)),
            Arch::X86_64 | Arch::I386 => AddrRange::new(tp, tp.wrapping_add(CONTROL_BLOCK)),
        };
        if let Some(block) = block.intersect(mapping) {
            add(block, RootKind::Tls { thread: index as u32, module: None });
        }
    }
    for (thread, index) in process.threads.iter().zip(0..) {
        for range in [thread.live_stack, thread.other_stack].into_iter().flatten() {
            add(range, RootKind::Stack { thread: index });
        }
    }
}

fn module_roots(process: &Process, add: &mut impl FnMut(AddrRange, RootKind)) {
    for (index, module) in process.modules.iter().enumerate() {
        for range in module.writable() {
            add(range, RootKind::Data { module: index as u32 });
        }
    }
    // The rest of a module's last page, and modules whose file and headers are missing.
    for mapping in process.mappings.iter().filter(|mapping| mapping.writable) {
        if let Some(module) = mapping.module {
            add(mapping.range, RootKind::Data { module });
        }
    }
}

/// The second word of each ended thread's descriptor: glibc `tcbhead_t`, `dtv`. The thread library keeps the vector for
/// the next thread that gets this stack, so it is not lost.
fn ended_threads(process: &Process) -> impl Iterator<Item = Root> + '_ {
    let w = process.arch.word_size().bytes();
    process.dead_thread_pointers.iter().enumerate().filter_map(move |(index, tp)| {
        let range = AddrRange::sized(tp.checked_add(w)?, w)?;
        Some(Root { range, kind: RootKind::EndedThread { stack: index as u32 } })
    })
}

/// Stretches of heap regions that could not be walked: chunks in them are unknown, but their words still count.
fn unwalked<'a>(process: &'a Process, heap: &'a Heap) -> impl Iterator<Item = Root> + 'a {
    heap.chunks.iter().filter(|chunk| chunk.place == Place::Unwalked).map(|chunk| {
        let after = process.mappings.partition_point(|mapping| mapping.range.start <= chunk.user);
        let kind = RootKind::Unexplained { mapping: after.saturating_sub(1) as u32 };
        Root { range: chunk.range(), kind }
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Toy, mapping, thread};
    use super::*;

    fn range(start: u64, end: u64) -> AddrRange {
        AddrRange::new(Avma(start), Avma(end))
    }

    #[test]
    fn each_byte_is_one_kind_and_heaps_and_dead_stacks_are_none() {
        let mut toy = Toy::new(&[0x18, 0x18]);
        let heap_range = toy.heap.chunks.span();
        let around = range(heap_range.start.0 - 0x10, heap_range.end.0 + 0x1000);
        toy.process.mappings = vec![mapping(around, true), mapping(range(0x7000_0000, 0x7000_4000), true)];
        let mut main = thread(&[]);
        main.whole_stack = Some(range(0x7000_0000, 0x7000_3000));
        main.live_stack = Some(range(0x7000_2000, 0x7000_3000));
        toy.process.threads = vec![main];
        let roots = enumerate(&toy.process, &toy.heap);
        assert_eq!(
            roots,
            [
                Root { range: AddrRange::default(), kind: RootKind::Register { thread: 0 } },
                Root { range: range(around.start.0, heap_range.start.0), kind: RootKind::Unexplained { mapping: 0 } },
                Root { range: range(heap_range.end.0, around.end.0), kind: RootKind::Unexplained { mapping: 0 } },
                Root { range: range(0x7000_2000, 0x7000_3000), kind: RootKind::Stack { thread: 0 } },
                Root { range: range(0x7000_3000, 0x7000_4000), kind: RootKind::Unexplained { mapping: 1 } },
            ]
        );
    }

    #[test]
    fn read_only_mappings_are_no_roots() {
        let mut toy = Toy::new(&[0x18]);
        toy.process.mappings = vec![mapping(range(0x7000_0000, 0x7000_4000), false)];
        assert_eq!(enumerate(&toy.process, &toy.heap), []);
    }
}
