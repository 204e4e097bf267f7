//! Why a chunk lives: the shortest path from a root, folded where it repeats itself, and everything that refers to it.

use super::reach::PHASES;
use super::scan::Window;
use super::wave::Wave;
use super::{Graph, Resolver, RootRef, Standing};
use crate::base::{AddrRange, Avma};
use crate::heap::{ChunkId, ChunkTable};
use crate::image::memory::MemoryReader;
use rayon::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// For each chunk, who leads to it on the way from the roots: four bytes a chunk, made on demand, and only as far as was
/// asked for.
#[derive(Debug)]
pub struct Parents<'g> {
    graph: &'g Graph,
    cells: Vec<AtomicU32>,
    /// The phase that is under way.
    wave: Wave,
    /// Phases to come.
    phases: &'static [Standing],
}

const NONE: u32 = u32::MAX;
const FROM_ROOT: u32 = 1 << 31;

/// Who leads to a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parent {
    /// A chunk.
    Chunk(ChunkId),
    /// An index into [`Graph::root_refs`].
    Root(usize),
}

impl<'g> Parents<'g> {
    /// Breadth first from all roots, the strongest kind first: a path from a global wins over a shorter one from a
    /// stale stack slot. Nothing is looked at before it is asked for.
    pub fn new(graph: &'g Graph, chunks: &ChunkTable) -> Self {
        let cells = (0..chunks.len()).map(|_| AtomicU32::new(NONE)).collect();
        Self { graph, cells, wave: Wave::default(), phases: &PHASES }
    }

    /// Nobody is known to lead to anything, without looking.
    pub(crate) fn unknown(graph: &'g Graph, chunks: &ChunkTable) -> Self {
        Self { phases: &[], ..Self::new(graph, chunks) }
    }

    /// Who leads to `id`; `None` when no root reaches it.
    pub fn of(&mut self, id: ChunkId) -> Option<Parent> {
        while self.cells[id.index()].load(Relaxed) == NONE && self.goes_on() {}
        match self.cells[id.index()].load(Relaxed) {
            NONE => None,
            cell if cell & FROM_ROOT != 0 => Some(Parent::Root((cell & !FROM_ROOT) as usize)),
            cell => Some(Parent::Chunk(ChunkId(cell))),
        }
    }

    /// Looks a step further; `false` when all has been seen.
    fn goes_on(&mut self) -> bool {
        let cells = &self.cells;
        // No two threads look at one chunk at the same time. The store is unconditional, as a branch would be slower.
        let claim = |id: u32, parent: u32| {
            let cell = &cells[id as usize];
            let old = cell.load(Relaxed);
            cell.store(if old == NONE { parent } else { old }, Relaxed);
            old == NONE
        };
        if !self.wave.is_over() {
            self.wave.step(&self.graph.edges, &|source, target| claim(target, source));
            return true;
        }
        let Some((&phase, rest)) = self.phases.split_first() else { return false };
        self.phases = rest;
        let roots = &self.graph.roots;
        let of_phase = |found: &RootRef| Standing::under(roots[found.root as usize].kind) == phase;
        let refs = self.graph.root_refs.iter().zip(0u32..).filter(|(found, _)| of_phase(found));
        let starts = refs
            .filter(|(found, index)| claim(found.target.id().0, FROM_ROOT | (index & !FROM_ROOT)))
            .map(|(found, _)| found.target.id().0);
        self.wave = Wave::new(starts.collect());
        true
    }

    /// The root reference and the chunks from the first one to `id`.
    pub fn chain(&mut self, id: ChunkId) -> Option<(usize, Vec<ChunkId>)> {
        let mut chain = vec![id];
        loop {
            match self.of(*chain.last().expect("starts with one"))? {
                Parent::Chunk(parent) => chain.push(parent),
                Parent::Root(index) => {
                    chain.reverse();
                    return Some((index, chain));
                }
            }
        }
    }
}

/// A word in a chunk that refers to another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Hop {
    /// The chunk.
    pub chunk: ChunkId,
    /// Where in it the word is, in bytes.
    pub offset: u64,
    /// How far behind the next chunk's user address the word refers, 0 for exact.
    pub delta: u64,
}

/// One line of a folded path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// One chunk.
    Hop(Hop),
    /// Many chunks of the same kind, each referring to the next at the same place.
    Repeated {
        /// How many, the first and the last not shown included.
        count: u64,
        /// The first of them, with the place that all share.
        first: Hop,
        /// The last of them.
        last: ChunkId,
    },
}

/// From a root to a chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path {
    /// The root's word.
    pub root: RootRef,
    /// How far behind the first chunk's user address it refers.
    pub delta: u64,
    /// Chunks on the way.
    pub hops: Vec<Hop>,
    /// The end.
    pub target: ChunkId,
}

/// Runs shorter than this are shown whole.
const SHORTEST_FOLD: usize = 4;

impl Path {
    /// The path to `target`, or `None` when no root reaches it.
    pub fn find(
        memory: &dyn MemoryReader,
        graph: &Graph,
        resolver: &Resolver<'_>,
        parents: &mut Parents<'_>,
        target: ChunkId,
    ) -> Option<Self> {
        let (root, chain) = parents.chain(target)?;
        let root = *graph.root_refs.get(root)?;
        let mut words = Words { window: Window::new(memory), chunks: resolver.chunks() };
        let hop = |pair: &[ChunkId]| {
            let (offset, delta) = words.references(pair[0], pair[1]).into_iter().next().unwrap_or_default();
            Hop { chunk: pair[0], offset, delta }
        };
        let hops = chain.windows(2).map(hop).collect();
        let delta = root_delta(memory, resolver.chunks(), graph, &root);
        Some(Self { root, delta, hops, target })
    }

    /// Runs of hops with the same `kind` (size, type), offset and delta become one step; a run keeps its first chunk as
    /// a step of its own.
    pub fn folded(&self, kind: impl Fn(ChunkId) -> u64) -> Vec<Step> {
        let mut steps = Vec::new();
        let same = |a: &Hop, b: &Hop| (a.offset, a.delta) == (b.offset, b.delta) && kind(a.chunk) == kind(b.chunk);
        for run in self.hops.chunk_by(same) {
            if run.len() < SHORTEST_FOLD {
                steps.extend(run.iter().copied().map(Step::Hop));
                continue;
            }
            let (first, last) = (run[1], run[run.len() - 1].chunk);
            steps.push(Step::Hop(run[0]));
            steps.push(Step::Repeated { count: run.len() as u64 - 1, first, last });
        }
        steps
    }
}

/// Something that refers to a chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Referrer {
    /// A root's word.
    Root {
        /// Which.
        found: RootRef,
        /// How far behind the user address it refers.
        delta: u64,
    },
    /// A word of a chunk.
    Chunk(Hop),
}

/// Everything that refers to `target`: roots by address, then words of chunks by address. One pass over the graph.
pub fn referrers(memory: &dyn MemoryReader, graph: &Graph, chunks: &ChunkTable, target: ChunkId) -> Vec<Referrer> {
    let roots = graph.root_refs.iter().filter(|found| found.target.id() == target);
    let mut all: Vec<Referrer> =
        roots.map(|found| Referrer::Root { found: *found, delta: root_delta(memory, chunks, graph, found) }).collect();
    let mut words = Words { window: Window::new(memory), chunks };
    for (_, source) in graph.sources_of(&[target]) {
        let hops = words.references(source, target).into_iter();
        all.extend(hops.map(|(offset, delta)| Referrer::Chunk(Hop { chunk: source, offset, delta })));
    }
    all
}

impl Graph {
    /// `(target, source)` for each chunk that refers to one of `targets`, sorted. One pass over the edges for all.
    pub fn sources_of(&self, targets: &[ChunkId]) -> Vec<(ChunkId, ChunkId)> {
        let Some(last) = targets.iter().max() else { return Vec::new() };
        let mut wanted = vec![0u64; last.index() / 64 + 1];
        for id in targets {
            wanted[id.index() / 64] |= 1 << (id.index() % 64);
        }
        let is_wanted =
            |id: ChunkId| wanted.get(id.index() / 64).is_some_and(|bits| bits >> (id.index() % 64) & 1 == 1);
        let mut found = self.edges.sources_where(is_wanted);
        found.par_sort_unstable();
        found
    }
}

/// How far behind its chunk's user address the word of a root refers.
fn root_delta(memory: &dyn MemoryReader, chunks: &ChunkTable, graph: &Graph, found: &RootRef) -> u64 {
    let is_register = graph.roots[found.root as usize].range.is_empty();
    if found.target.exact() || is_register {
        return 0;
    }
    let user = chunks.get(found.target.id()).user;
    memory.word(found.at).map_or(0, |word| word.wrapping_sub(user.0))
}

struct Words<'a> {
    window: Window<'a>,
    chunks: &'a ChunkTable,
}

impl Words<'_> {
    /// `(offset, delta)` of each word of `source` that refers to `target`, exact ones first.
    fn references(&mut self, source: ChunkId, target: ChunkId) -> Vec<(u64, u64)> {
        let (source, target) = (self.chunks.get(source), self.chunks.get(target));
        let size = self.window.word_size();
        let mut found = Vec::new();
        for (start, bytes) in self.window.pieces(source.range()) {
            for (index, word) in bytes.chunks_exact(size.bytes() as usize).enumerate() {
                let delta = size.decode(word).unwrap_or(0).wrapping_sub(target.user.0);
                if delta < target.usable {
                    found.push((start.0 - source.user.0 + index as u64 * size.bytes(), delta));
                }
            }
        }
        found.sort_unstable_by_key(|&(offset, delta)| (delta != 0, offset));
        found
    }
}

/// Where a register's or word's value lies, for reports that look one address up.
pub fn place_of(graph: &Graph, at: Avma) -> Option<u32> {
    let after = graph.roots.partition_point(|root| root.range.start <= at);
    let index = after.checked_sub(1)?;
    let range: AddrRange = graph.roots[index].range;
    range.contains(at).then_some(index as u32)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Toy;
    use super::*;

    /// Root -> 0 -> list of 1..=n by the word at 8 -> nothing.
    fn list(count: usize) -> Toy {
        let mut toy = Toy::new(&vec![0x18; count + 1]);
        toy.point(0, 16, 1, 0);
        for id in 1..count {
            toy.point(id, 8, id + 1, 0);
        }
        let first = toy.user(0).0 + 8;
        toy.add_root_memory(0x1000, &[0, first]);
        toy
    }

    #[test]
    fn a_long_list_folds() {
        let toy = list(50_000);
        let graph = toy.graph();
        let mut parents = Parents::new(&graph, &toy.heap.chunks);
        let resolver = Resolver::new(&toy.heap.chunks, true);
        let path = Path::find(&toy.memory, &graph, &resolver, &mut parents, ChunkId(50_000)).expect("reachable");
        assert_eq!((path.root.at, path.delta), (Avma(0x1008), 8));
        let hop = |chunk, offset| Hop { chunk: ChunkId(chunk), offset, delta: 0 };
        let steps = path.folded(|id| toy.heap.chunks.get(id).usable);
        assert_eq!(
            steps,
            [
                Step::Hop(hop(0, 16)),
                Step::Hop(hop(1, 8)),
                Step::Repeated { count: 49_998, first: hop(2, 8), last: ChunkId(49_999) },
            ]
        );
    }

    #[test]
    fn referrers_have_their_places() {
        let mut toy = list(3);
        toy.point(3, 0, 1, 8).point(3, 16, 1, 0);
        let graph = toy.graph();
        let found = referrers(&toy.memory, &graph, &toy.heap.chunks, ChunkId(1));
        let hop = |chunk, offset, delta| Referrer::Chunk(Hop { chunk: ChunkId(chunk), offset, delta });
        assert_eq!(found, [hop(0, 16, 0), hop(3, 16, 0), hop(3, 0, 8)]);
        let found = referrers(&toy.memory, &graph, &toy.heap.chunks, ChunkId(0));
        assert!(matches!(found[..], [Referrer::Root { found, delta: 8 }] if found.at == Avma(0x1008)));
    }

    #[test]
    fn what_no_root_reaches_has_no_path() {
        let toy = Toy::new(&[0x18]);
        let graph = toy.graph();
        assert_eq!(Parents::new(&graph, &toy.heap.chunks).of(ChunkId(0)), None);
    }
}
