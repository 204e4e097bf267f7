//! Edges from chunk to chunk as compressed rows, in blocks of adjacent sources so that no merge copies them.

use crate::heap::ChunkId;
use rayon::prelude::*;
use std::fmt;

/// A chunk that a word refers to, and whether the word is its user address or one inside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(u32);

const INTERIOR: u32 = 1 << 31;

impl Target {
    /// From its parts; ids have 31 bits.
    pub fn new(id: ChunkId, exact: bool) -> Self {
        debug_assert!(id.0 < INTERIOR, "checked when the graph is built");
        Self(if exact { id.0 } else { id.0 | INTERIOR })
    }

    /// The chunk.
    pub fn id(self) -> ChunkId {
        ChunkId(self.0 & !INTERIOR)
    }

    /// Whether the word is the chunk's user address.
    pub fn exact(self) -> bool {
        self.0 & INTERIOR == 0
    }

    /// Orders by chunk, exact before interior.
    pub(super) fn sort_key(self) -> u32 {
        self.0.rotate_left(1)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.id().0, if self.exact() { "" } else { "+" })
    }
}

/// Sources per block.
pub(super) const BLOCK: usize = 1 << 14;

/// The rows of [`BLOCK`] adjacent sources.
#[derive(Debug)]
pub(super) struct Block {
    /// Row starts in `targets`, with the end of the last one.
    pub(super) first: Box<[u32]>,
    pub(super) targets: Box<[Target]>,
}

/// Where a row is.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowPlace {
    block: u32,
    first: u32,
    end: u32,
}

/// All edges; each row has a target once, sorted by chunk.
#[derive(Debug, Default)]
pub struct Edges {
    blocks: Vec<Block>,
}

impl Edges {
    pub(super) fn new(blocks: Vec<Block>) -> Self {
        Self { blocks }
    }

    /// What `source` refers to, sorted by chunk, without itself.
    #[inline]
    pub fn of(&self, source: ChunkId) -> &[Target] {
        self.at(self.place_of(source))
    }

    /// Where the row of `source` is, for work that looks at many rows at a time.
    #[inline]
    pub(super) fn place_of(&self, source: ChunkId) -> RowPlace {
        let block = source.index() / BLOCK;
        let (first, row) = (&self.blocks[block].first, source.index() % BLOCK);
        RowPlace { block: block as u32, first: first[row], end: first[row + 1] }
    }

    /// The row at a place.
    #[inline]
    pub(super) fn at(&self, place: RowPlace) -> &[Target] {
        &self.blocks[place.block as usize].targets[place.first as usize..place.end as usize]
    }

    /// All sources with what they refer to, in order.
    pub fn rows(&self) -> impl Iterator<Item = (ChunkId, &[Target])> {
        self.blocks.iter().enumerate().flat_map(|(index, block)| {
            let rows = block.first.windows(2).map(|ends| &block.targets[ends[0] as usize..ends[1] as usize]);
            rows.enumerate().map(move |(row, targets)| (ChunkId((index * BLOCK + row) as u32), targets))
        })
    }

    /// Visits all rows, block by block on all threads; each block collects what it finds, in the blocks' order.
    pub fn par_rows<T: Send + Default>(&self, visit: impl Fn(ChunkId, &[Target], &mut T) + Sync) -> Vec<T> {
        let one = |(index, block): (usize, &Block)| {
            let mut found = T::default();
            for (row, ends) in block.first.windows(2).enumerate() {
                let source = ChunkId((index * BLOCK + row) as u32);
                visit(source, &block.targets[ends[0] as usize..ends[1] as usize], &mut found);
            }
            found
        };
        self.blocks.par_iter().enumerate().map(one).collect()
    }

    /// `(target, source)` of each edge whose target is wanted, in the order of the sources. Edges are looked at without
    /// their rows, as few are wanted.
    pub(super) fn sources_where(&self, is_wanted: impl Fn(ChunkId) -> bool + Sync) -> Vec<(ChunkId, ChunkId)> {
        let one = |(index, block): (usize, &Block)| -> Vec<(ChunkId, ChunkId)> {
            let hits = block.targets.iter().zip(0u32..).filter(|(target, _)| is_wanted(target.id()));
            let pair = |(target, at): (&Target, u32)| {
                let row = block.first.partition_point(|&first| first <= at) - 1;
                (target.id(), ChunkId((index * BLOCK + row) as u32))
            };
            hits.map(pair).collect()
        };
        self.blocks.par_iter().enumerate().flat_map_iter(one).collect()
    }

    /// How many edges.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.targets.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that they take.
    pub fn own_bytes(&self) -> u64 {
        self.blocks.iter().map(|block| ((block.first.len() + block.targets.len()) * 4) as u64).sum()
    }
}

/// Rows of one block while they are found.
#[derive(Debug, Default)]
pub(super) struct BlockBuilder {
    first: Vec<u32>,
    targets: Vec<Target>,
}

impl BlockBuilder {
    /// Adds a reference of the current source.
    pub(super) fn push(&mut self, target: Target) {
        self.targets.push(target);
    }

    /// Ends the row of `source`: sorts it, keeps each chunk once (exact wins), drops itself.
    pub(super) fn end_row(&mut self, source: ChunkId) {
        let start = self.first.last().copied().unwrap_or(0) as usize;
        if self.first.is_empty() {
            self.first.push(0);
        }
        let row = &mut self.targets[start..];
        let kept = match row {
            [] => 0,
            [only] => usize::from(only.id() != source),
            _ => {
                row.sort_unstable_by_key(|target| target.sort_key());
                let mut kept = 0;
                for index in 0..row.len() {
                    let target = row[index];
                    if target.id() != source && (kept == 0 || row[kept - 1].id() != target.id()) {
                        row[kept] = target;
                        kept += 1;
                    }
                }
                kept
            }
        };
        self.targets.truncate(start + kept);
        self.first.push(self.targets.len() as u32);
    }

    /// The block, and the builder is empty again.
    pub(super) fn finish(&mut self) -> Block {
        if self.first.is_empty() {
            self.first.push(0);
        }
        let block = Block { first: self.first.as_slice().into(), targets: self.targets.as_slice().into() };
        self.first.clear();
        self.targets.clear();
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_each_chunk_once_and_exact_wins() {
        let mut builder = BlockBuilder::default();
        for (id, exact) in [(7, false), (3, true), (7, true), (3, false), (1, true), (1, false)] {
            builder.push(Target::new(ChunkId(id), exact));
        }
        builder.end_row(ChunkId(1));
        builder.end_row(ChunkId(2));
        let edges = Edges::new(vec![builder.finish()]);
        assert_eq!(edges.of(ChunkId(0)), [Target::new(ChunkId(3), true), Target::new(ChunkId(7), true)]);
        assert_eq!(edges.of(ChunkId(1)), []);
        assert_eq!(edges.len(), 2);
    }
}
