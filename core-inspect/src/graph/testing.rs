//! Hand-made heaps for tests: chunks of given sizes, words set by hand, a memory over byte vectors.

use super::edges::{BLOCK, BlockBuilder, Edges};
use super::{Graph, GraphOptions, Root, RootKind, RootRef, Target};
use crate::base::{AddrRange, Avma};
use crate::heap::chunk_table::RegionBuilder;
use crate::heap::{ArenaId, ChunkId, ChunkTable, Heap, Place};
use crate::image::testing::TestMemory;
use crate::process::{Arch, Mapping, MappingKind, Process, Thread};

/// A process with a heap made by hand.
#[derive(Debug)]
pub(crate) struct Toy {
    pub(crate) heap: Heap,
    pub(crate) memory: TestMemory,
    pub(crate) process: Process,
}

const FIRST: u64 = 0x5500_0010;

impl Toy {
    /// One region of used chunks with these usable sizes (8 mod 16).
    pub(crate) fn new(usable: &[u64]) -> Self {
        Self::with_regions(&[usable])
    }

    /// Several regions, far from each other.
    pub(crate) fn with_regions(regions: &[&[u64]]) -> Self {
        let placed: Vec<Vec<(u64, Place)>> =
            regions.iter().map(|region| region.iter().map(|&size| (size, Place::Arena)).collect()).collect();
        Self::build(&placed)
    }

    /// One region with each chunk's usable size and place.
    pub(crate) fn with_places(chunks: &[(u64, Place)]) -> Self {
        Self::build(&[chunks.to_vec()])
    }

    fn build(regions: &[Vec<(u64, Place)>]) -> Self {
        let mut raw = Vec::new();
        let mut memory = TestMemory::default();
        let mut start = FIRST;
        for region in regions {
            let mut builder = RegionBuilder::new(Avma(start), Some(ArenaId(0)), 8, 4);
            let mut at = start;
            for &(usable, place) in region {
                assert_eq!(usable % 16, 8);
                builder.push(Avma(at), place);
                at += usable + 8;
            }
            raw.push(builder.finish(Avma(at)));
            memory.map(start, (at - start) as usize);
            start = (at + 0x10_0000) & !0xfff | 0x10;
        }
        let (chunks, overlaps) = ChunkTable::build(raw, 4);
        assert!(overlaps.is_empty());
        let heap = Heap {
            chunks,
            allocators: Vec::new(),
            named: Vec::new(),
            metadata: Vec::new(),
            internal: Vec::new(),
            problems: Vec::new(),
        };
        Self { heap, memory, process: Process::empty(Arch::X86_64) }
    }

    pub(crate) fn user(&self, chunk: usize) -> Avma {
        self.heap.chunks.get(ChunkId(chunk as u32)).user
    }

    /// Sets bytes.
    pub(crate) fn poke(&mut self, at: Avma, bytes: &[u8]) -> &mut Self {
        self.memory.bytes(at.0, bytes);
        self
    }

    /// Sets a word of a chunk.
    pub(crate) fn set(&mut self, chunk: usize, offset: u64, value: u64) -> &mut Self {
        self.poke(self.user(chunk).wrapping_add(offset), &value.to_le_bytes())
    }

    /// Points a word of a chunk into another one.
    pub(crate) fn point(&mut self, chunk: usize, offset: u64, target: usize, delta: u64) -> &mut Self {
        self.set(chunk, offset, self.user(target).0 + delta)
    }

    /// Adds memory that nothing explains, below the heap, with these words.
    pub(crate) fn add_root_memory(&mut self, at: u64, words: &[u64]) -> &mut Self {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(bytes.len().max(0x80), 0);
        let range = AddrRange::sized(Avma(at), bytes.len() as u64).expect("low");
        self.memory.runs.insert(at, bytes);
        self.process.mappings.push(mapping(range, true));
        self.process.mappings.sort_by_key(|mapping| mapping.range.start);
        self
    }

    /// Forgets bytes, as a core does that lacks pages.
    pub(crate) fn forget(&mut self, at: Avma, len: usize) {
        self.memory.cut(at.0, len);
    }

    pub(crate) fn graph(&self) -> Graph {
        Graph::build(&self.memory, &self.process, &self.heap, GraphOptions::default()).expect("few chunks")
    }
}

/// Used chunks of one size, for graphs made without memory.
pub(crate) fn table(count: usize) -> ChunkTable {
    let mut builder = RegionBuilder::new(Avma(FIRST), Some(ArenaId(0)), 8, 4);
    for id in 0..count as u64 {
        builder.push(Avma(FIRST + id * 32), Place::Arena);
    }
    ChunkTable::build(vec![builder.finish(Avma(FIRST + count as u64 * 32))], 4).0
}

/// A graph from lists of exact edges and of (root kind, chunk).
pub(crate) fn graph(rows: &[Vec<u32>], held: &[(RootKind, u32)]) -> Graph {
    let mut blocks = Vec::new();
    let mut builder = BlockBuilder::default();
    for (source, row) in rows.iter().enumerate() {
        for &target in row {
            builder.push(Target::new(ChunkId(target), true));
        }
        builder.end_row(ChunkId(source as u32));
        if (source + 1) % BLOCK == 0 {
            blocks.push(builder.finish());
        }
    }
    blocks.push(builder.finish());
    let mut roots: Vec<Root> = held.iter().map(|&(kind, _)| Root { range: AddrRange::default(), kind }).collect();
    roots.sort_unstable();
    roots.dedup();
    let root_refs = held.iter().enumerate().map(|(index, &(kind, chunk))| RootRef {
        at: Avma(index as u64 * 8),
        root: roots.iter().position(|root| root.kind == kind).expect("added") as u32,
        target: Target::new(ChunkId(chunk), true),
    });
    Graph {
        root_refs: root_refs.collect(),
        roots,
        edges: Edges::new(blocks),
        unread_bytes: 0,
        unread_root_bytes: 0,
        problems: Vec::new(),
    }
}

pub(crate) fn mapping(range: AddrRange, writable: bool) -> Mapping {
    Mapping {
        range,
        readable: true,
        writable,
        executable: false,
        dumped_bytes: range.len(),
        kind: MappingKind::Anonymous,
        module: None,
        path: None,
        file_offset: 0,
    }
}

pub(crate) fn thread(registers: &[u64]) -> Thread {
    Thread {
        tid: 1,
        signal: 0,
        registers: registers.to_vec(),
        pc: Avma(0),
        sp: Avma(0),
        tp: None,
        live_stack: None,
        whole_stack: None,
        other_stack: None,
    }
}
