//! The one pass over memory: words of used chunks and roots to edges, in parallel by blocks of ids.

use super::edges::{BLOCK, Block, BlockBuilder, Edges};
use super::resolve::{Hint, Resolver};
use super::roots::{Root, RootKind, RootRef};
use crate::base::{AddrRange, Avma, WordSize};
use crate::heap::{Chunk, State};
use crate::image::memory::{MemoryReader, pieces};
use crate::process::Process;
use rayon::prelude::*;

/// Roots are scanned in parts of at most this many bytes.
const ROOT_PART: u64 = 4 << 20;

/// Edges of all used chunks, and how many of their bytes are missing.
pub(super) fn scan_chunks(memory: &dyn MemoryReader, resolver: &Resolver<'_>) -> (Edges, u64) {
    let count = resolver.chunks().len();
    let blocks: Vec<(Block, u64)> = (0..count.div_ceil(BLOCK))
        .into_par_iter()
        .map_init(BlockBuilder::default, |builder, index| {
            let ids = index * BLOCK..((index + 1) * BLOCK).min(count);
            let mut scan =
                BlockScan { window: Window::new(memory), resolver, hint: Hint::default(), builder, unread: 0 };
            for chunk in resolver.chunks().id_range(ids.start as u32, ids.end as u32) {
                scan.chunk(&chunk);
            }
            let unread = scan.unread;
            (builder.finish(), unread)
        })
        .collect();
    let unread = blocks.iter().map(|(_, unread)| unread).sum();
    (Edges::new(blocks.into_iter().map(|(block, _)| block).collect()), unread)
}

struct BlockScan<'a> {
    window: Window<'a>,
    resolver: &'a Resolver<'a>,
    hint: Hint,
    builder: &'a mut BlockBuilder,
    unread: u64,
}

impl BlockScan<'_> {
    fn chunk(&mut self, chunk: &Chunk) {
        if chunk.place.state() == State::Used {
            let range = chunk.range();
            match self.window.whole(range) {
                Some(bytes) => self.words(bytes),
                None => self.in_pieces(range),
            }
        }
        self.builder.end_row(chunk.id);
    }

    fn in_pieces(&mut self, range: AddrRange) {
        let mut read = 0;
        for (_, bytes) in pieces(self.window.memory, range) {
            read += bytes.len() as u64;
            self.words(bytes);
        }
        self.unread += range.len() - read;
    }

    fn words(&mut self, bytes: &[u8]) {
        match self.window.memory.word_size() {
            WordSize::W8 => {
                for word in bytes.as_chunks::<8>().0 {
                    if let Some(hit) = self.resolver.resolve(u64::from_le_bytes(*word), &mut self.hint) {
                        self.builder.push(hit.target());
                    }
                }
            }
            WordSize::W4 => {
                for word in bytes.as_chunks::<4>().0 {
                    if let Some(hit) = self.resolver.resolve(u32::from_le_bytes(*word).into(), &mut self.hint) {
                        self.builder.push(hit.target());
                    }
                }
            }
        }
    }
}

/// The run of bytes that the last chunk lay in: chunks come in address order, so one lookup serves thousands.
pub struct Window<'m> {
    memory: &'m dyn MemoryReader,
    start: Avma,
    bytes: &'m [u8],
}

impl std::fmt::Debug for Window<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Window {{ {}, {} bytes }}", self.start, self.bytes.len())
    }
}

impl<'m> Window<'m> {
    /// Nothing seen yet.
    pub fn new(memory: &'m dyn MemoryReader) -> Self {
        Self { memory, start: Avma(0), bytes: &[] }
    }

    /// All bytes of `range` in one piece, if the source has them so.
    #[inline]
    pub fn whole(&mut self, range: AddrRange) -> Option<&'m [u8]> {
        let len = range.len() as usize;
        let inside = |window: &Self| {
            let offset = usize::try_from(range.start.0.checked_sub(window.start.0)?).ok()?;
            window.bytes.get(offset..offset.checked_add(len)?)
        };
        if let Some(bytes) = inside(self) {
            return Some(bytes);
        }
        self.bytes = self.memory.borrow(range.start, u64::MAX - range.start.0)?;
        self.start = range.start;
        inside(self)
    }

    /// Size of a pointer.
    pub fn word_size(&self) -> WordSize {
        self.memory.word_size()
    }

    /// The runs of `range` that are there.
    pub fn pieces(&self, range: AddrRange) -> impl Iterator<Item = (Avma, &'m [u8])> + use<'m> {
        pieces(self.memory, range)
    }

    /// The word at `at`, if the source has it.
    #[inline]
    pub fn word(&mut self, at: Avma) -> Option<u64> {
        let size = self.memory.word_size();
        self.whole(AddrRange::sized(at, size.bytes())?).and_then(|bytes| size.decode(bytes))
    }
}

/// References from roots sorted by address, and how many bytes are missing of roots that are there in part.
pub(super) fn scan_roots(
    memory: &dyn MemoryReader,
    process: &Process,
    roots: &[Root],
    resolver: &Resolver<'_>,
) -> (Vec<RootRef>, u64) {
    let parts: Vec<(u32, AddrRange)> = roots
        .iter()
        .zip(0u32..)
        .flat_map(|(root, index)| present_parts(memory, root.range).into_iter().map(move |part| (index, part)))
        .collect();
    let mut read = vec![0u64; roots.len()];
    for (index, part) in &parts {
        read[*index as usize] += part.len();
    }
    let unread =
        roots.iter().zip(&read).filter(|(_, read)| **read > 0).map(|(root, read)| root.range.len() - read).sum();
    let found: Vec<Vec<RootRef>> =
        parts.par_iter().map(|&(root, part)| scan_part(memory, root, part, resolver)).collect();
    let mut refs = register_refs(process, roots, resolver);
    refs.extend(found.into_iter().flatten());
    refs.sort_unstable();
    (refs, unread)
}

/// The runs of `range` that are there, cut to [`ROOT_PART`]. A huge range without bytes costs one look.
fn present_parts(memory: &dyn MemoryReader, range: AddrRange) -> Vec<AddrRange> {
    let mut parts = Vec::new();
    for (start, bytes) in pieces(memory, range) {
        let end = start.wrapping_add(bytes.len() as u64);
        let mut at = start;
        while at < end {
            // Cut at round addresses, so that no word is torn.
            let next = at.checked_add(1).and_then(|at| at.align_up(ROOT_PART)).unwrap_or(end).min(end);
            parts.push(AddrRange::new(at, next));
            at = next;
        }
    }
    parts
}

fn scan_part(memory: &dyn MemoryReader, root: u32, part: AddrRange, resolver: &Resolver<'_>) -> Vec<RootRef> {
    let size = memory.word_size();
    let mut refs = Vec::new();
    let Some(start) = part.start.align_up(size.bytes()).filter(|&start| start < part.end) else { return refs };
    let bytes = memory.borrow(start, part.end.0 - start.0).unwrap_or_default();
    let mut hint = Hint::default();
    for (index, word) in bytes.chunks_exact(size.bytes() as usize).enumerate() {
        let word = size.decode(word).expect("a whole word");
        if let Some(hit) = resolver.resolve(word, &mut hint) {
            let at = start.wrapping_add(index as u64 * size.bytes());
            refs.push(RootRef { at, root, target: hit.target() });
        }
    }
    refs
}

fn register_refs(process: &Process, roots: &[Root], resolver: &Resolver<'_>) -> Vec<RootRef> {
    let mut refs = Vec::new();
    for (root, index) in roots.iter().zip(0u32..) {
        let RootKind::Register { thread } = root.kind else { continue };
        for (&value, number) in process.threads[thread as usize].registers.iter().zip(0u64..) {
            if let Some(hit) = resolver.lookup(Avma(value)) {
                refs.push(RootRef { at: Avma(number), root: index, target: hit.target() });
            }
        }
    }
    refs
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Toy, mapping, thread};
    use super::super::{Graph, GraphOptions, Target};
    use super::*;
    use crate::heap::{ChunkId, Place};

    #[test]
    fn free_chunks_are_neither_sources_nor_targets() {
        let mut toy = Toy::with_places(&[(0x18, Place::Arena), (0x18, Place::Tcache), (0x18, Place::Arena)]);
        toy.point(0, 0, 1, 0).point(0, 8, 2, 0).point(1, 0, 0, 0).point(2, 16, 0, 8);
        let graph = toy.graph();
        assert_eq!(graph.edges.of(ChunkId(0)), [Target::new(ChunkId(2), true)]);
        assert_eq!(graph.edges.of(ChunkId(1)), []);
        assert_eq!(graph.edges.of(ChunkId(2)), [Target::new(ChunkId(0), false)]);
    }

    #[test]
    fn roots_refer_with_their_place() {
        let mut toy = Toy::new(&[0x18, 0x18]);
        toy.add_root_memory(0x1000, &[0, toy.user(1).0, 5, toy.user(0).0 + 8]);
        toy.process.threads = vec![thread(&[7, toy.user(0).0])];
        let graph = toy.graph();
        let refs: Vec<(u64, u32, bool)> =
            graph.root_refs.iter().map(|found| (found.at.0, found.target.id().0, found.target.exact())).collect();
        assert_eq!(refs, [(1, 0, true), (0x1008, 1, true), (0x1018, 0, false)]);
        assert!(matches!(graph.roots[graph.root_refs[0].root as usize].kind, RootKind::Register { thread: 0 }));
    }

    #[test]
    fn missing_bytes_are_counted_and_huge_holes_cost_nothing() {
        let mut toy = Toy::new(&[0x18, 0x18]);
        toy.forget(toy.user(1), 16);
        toy.process.mappings = vec![mapping(AddrRange::new(Avma(1 << 44), Avma(1 << 46)), true)];
        let graph = toy.graph();
        assert_eq!(graph.unread_bytes, 16);
        assert_eq!(graph.unread_root_bytes, 0);
        assert!(graph.leaks_uncertain());
    }

    #[test]
    fn four_byte_targets() {
        let mut toy = Toy::new(&[0x18, 0x18]);
        toy.memory.word = WordSize::W4;
        toy.poke(toy.user(0).wrapping_add(4), &(toy.user(1).0 as u32).to_le_bytes());
        assert_eq!(toy.graph().edges.of(ChunkId(0)), [Target::new(ChunkId(1), true)]);
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let mut toy = Toy::new(&vec![0x18; 3 * BLOCK]);
        for id in 0..3 * BLOCK {
            toy.point(id, 0, (id * 7919 + 13) % (3 * BLOCK), 0).point(id, 8, (id * 31 + 5) % (3 * BLOCK), 8);
        }
        let build = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let graph = pool.install(|| Graph::build(&toy.memory, &toy.process, &toy.heap, GraphOptions::default()));
            format!("{:?}", graph.expect("few chunks").edges)
        };
        assert_eq!(build(1), build(3));
    }
}
