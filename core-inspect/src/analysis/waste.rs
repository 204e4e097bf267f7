//! Where bytes are held for nothing, as far as the bytes themselves tell: blocks and tails that hold only zeros, arrays of
//! pointers that are nearly all null, free memory that used blocks keep in the middle of a heap, headers.
//!
//! What a program means to fill later looks the same; that these bytes hold nothing now is certain.

use super::contents::{Contents, is_zero};
use super::view::RUN;
use crate::base::FastSet;
use crate::graph::Resolver;
use crate::graph::resolve::Hint;
use crate::heap::{Chunk, ChunkId, Place, State, Totals};
use crate::image::memory::MemoryReader;
use rayon::prelude::*;
use std::cmp::Reverse;

/// What sort of waste.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum WasteKind {
    /// A used block without any byte that is not zero.
    Zeros,
    /// A big used block whose second half, at least, is zero.
    ZeroTail,
    /// A used block that is an array of pointers, three quarters of them null: buckets of a hash table.
    SparseArray,
    /// The buffer of a container that has room for elements which it does not have.
    Capacity,
    /// A free block of a page or more with a used one behind it: the heap cannot shrink past that.
    Pinned,
    /// The allocator's own bytes before each used block.
    Headers,
}

impl WasteKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Zeros, Self::ZeroTail, Self::SparseArray, Self::Capacity, Self::Pinned, Self::Headers];

    /// The keyword of the machine contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zeros => "zeros",
            Self::ZeroTail => "zero-tail",
            Self::SparseArray => "sparse-array",
            Self::Capacity => "capacity",
            Self::Pinned => "pinned",
            Self::Headers => "headers",
        }
    }
}

/// A block with waste.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wasteful {
    /// The block.
    pub chunk: ChunkId,
    /// Bytes of it that are for nothing.
    pub bytes: u64,
}

/// All waste that was found.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Waste {
    /// By kind in the order of [`WasteKind::ALL`]: the blocks, most waste first; none for headers.
    pub blocks: [Vec<Wasteful>; WasteKind::ALL.len()],
    /// Used blocks that count, and the bytes of their headers.
    pub headers: Totals,
    /// Used blocks that could not be looked at, as bytes of them are missing.
    pub unread: Totals,
}

impl Waste {
    /// How many blocks, and how many bytes of them for nothing.
    pub fn total(&self, kind: WasteKind) -> Totals {
        if kind == WasteKind::Headers {
            return self.headers;
        }
        let blocks = &self.blocks[kind as usize];
        Totals { chunks: blocks.len() as u64, bytes: blocks.iter().map(|block| block.bytes).sum() }
    }

    /// Adds what types know of blocks, most waste first: what their bytes look like says no more of these.
    pub fn know(&mut self, kind: WasteKind, blocks: Vec<Wasteful>) {
        let known: FastSet<ChunkId> = blocks.iter().map(|block| block.chunk).collect();
        for others in &mut self.blocks {
            others.retain(|block| !known.contains(&block.chunk));
        }
        self.blocks[kind as usize] = blocks;
    }

    fn add(&mut self, more: Self) {
        for (mine, theirs) in self.blocks.iter_mut().zip(more.blocks) {
            mine.extend(theirs);
        }
        for (mine, theirs) in [(&mut self.headers, more.headers), (&mut self.unread, more.unread)] {
            mine.chunks += theirs.chunks;
            mine.bytes += theirs.bytes;
        }
    }
}

/// Smaller blocks have no tail.
const SMALLEST_TAIL: u64 = 1024;
/// Shorter arrays are no tables.
const FEWEST_WORDS: usize = 32;
const PAGE: u64 = 4096;

/// Looks at all chunks for which `passes` says yes; the answer does not depend on the number of threads.
pub fn find(memory: &dyn MemoryReader, resolver: &Resolver<'_>, passes: impl Fn(&Chunk) -> bool + Sync) -> Waste {
    let count = resolver.chunks().len();
    let runs: Vec<Waste> = (0..count.div_ceil(RUN))
        .into_par_iter()
        .map(|run| {
            let mut look = Look { contents: Contents::new(memory, resolver), resolver, waste: Waste::default() };
            let (first, end) = (run * RUN, ((run + 1) * RUN).min(count));
            let chunks = resolver.chunks().id_range(first as u32, end as u32);
            chunks.filter(|chunk| passes(chunk)).for_each(|chunk| look.chunk(&chunk, memory.word_size().bytes()));
            look.waste
        })
        .collect();
    let mut waste = Waste::default();
    for run in runs {
        waste.add(run);
    }
    for blocks in &mut waste.blocks {
        blocks.par_sort_unstable_by_key(|block| (Reverse(block.bytes), block.chunk));
    }
    waste
}

struct Look<'a> {
    contents: Contents<'a>,
    resolver: &'a Resolver<'a>,
    waste: Waste,
}

impl Look<'_> {
    fn chunk(&mut self, chunk: &Chunk, word: u64) {
        let found = match chunk.place.state() {
            State::Used => self.used(chunk, word),
            State::Free if self.is_pinned(chunk) => Some((WasteKind::Pinned, chunk.usable)),
            State::Free | State::Neither => None,
        };
        if let Some((kind, bytes)) = found {
            self.waste.blocks[kind as usize].push(Wasteful { chunk: chunk.id, bytes });
        }
    }

    fn used(&mut self, chunk: &Chunk, word: u64) -> Option<(WasteKind, u64)> {
        self.waste.headers.chunks += 1;
        // A block of its own mapping has the word of the block before it, too.
        self.waste.headers.bytes += if chunk.place == Place::Mmapped { 2 * word } else { word };
        let resolver = self.resolver;
        let Some(bytes) = self.contents.whole(chunk) else {
            self.waste.unread.chunks += 1;
            self.waste.unread.bytes += chunk.usable;
            return None;
        };
        if is_zero(bytes) {
            return Some((WasteKind::Zeros, chunk.usable));
        }
        if let Some(nulls) = nulls_of_array(bytes, word as usize, resolver) {
            return Some((WasteKind::SparseArray, nulls));
        }
        let half = bytes.len() / 2;
        if chunk.usable < SMALLEST_TAIL || !is_zero(&bytes[half..]) {
            return None;
        }
        let filled = bytes[..half].iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        Some((WasteKind::ZeroTail, (bytes.len() - filled) as u64))
    }

    /// Whether a used block follows in the same heap, at once: free neighbours merge, but for those in caches.
    fn is_pinned(&self, chunk: &Chunk) -> bool {
        let chunks = self.resolver.chunks();
        let next = ChunkId(chunk.id.0.saturating_add(1));
        let is_inside = next.index() < chunks.len() && chunks.get(next).arena == chunk.arena;
        chunk.usable >= PAGE && chunk.place != Place::Top && is_inside && chunks.is_used(next)
    }
}

/// Bytes of null pointers in an array of pointers to used chunks, where three quarters of it are null.
///
/// False positive: a big struct of nothing but pointers. One word in eight may be something else: a list's head that lies
/// in a variable, a count.
fn nulls_of_array(bytes: &[u8], word: usize, resolver: &Resolver<'_>) -> Option<u64> {
    let words = bytes.len() / word;
    if words < FEWEST_WORDS {
        return None;
    }
    let (mut hint, mut references, mut others) = (Hint::default(), 0, 0);
    for word in bytes.chunks_exact(word) {
        let value = word.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        if value != 0 {
            let is_reference = resolver.resolve(value, &mut hint).is_some();
            *(if is_reference { &mut references } else { &mut others }) += 1;
        }
        if (references + others) * 4 > words || others * 8 > words {
            return None;
        }
    }
    let is_array = references >= 4 && others * 8 <= references;
    is_array.then_some(((words - references - others) * word) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing::Toy;

    fn ask(toy: &Toy) -> Waste {
        find(&toy.memory, &Resolver::new(&toy.heap.chunks, true), |_| true)
    }

    fn found(waste: &Waste, kind: WasteKind) -> Vec<(u32, u64)> {
        waste.blocks[kind as usize].iter().map(|block| (block.chunk.0, block.bytes)).collect()
    }

    #[test]
    fn zeros_tails_and_sparse_arrays_are_told_apart() {
        let mut toy = Toy::new(&[0x18, 0x408, 0x408, 0x208, 0x208, 0x18]);
        toy.poke(toy.user(1), &[7; 0x100]);
        toy.poke(toy.user(2), &[7; 0x300]);
        for index in 0..5 {
            toy.point(3, index * 0x60, 0, 0).point(4, index * 0x60, 0, 0);
        }
        // A struct with numbers is no array.
        toy.set(4, 8, 77).set(4, 0x80, 5).set(5, 0, 1);
        let waste = ask(&toy);
        assert_eq!(found(&waste, WasteKind::Zeros), [(0, 0x18)]);
        assert_eq!(found(&waste, WasteKind::ZeroTail), [(1, 0x308)]);
        assert_eq!(found(&waste, WasteKind::SparseArray), [(3, 0x208 - 5 * 8)]);
        assert_eq!(waste.total(WasteKind::Headers), Totals { chunks: 6, bytes: 48 });
    }

    #[test]
    fn free_memory_is_pinned_by_what_lies_behind_it() {
        let toy = Toy::with_places(&[
            (0x1008, Place::Unsorted),
            (0x18, Place::Arena),
            (0x18, Place::Tcache),
            (0x18, Place::Arena),
            (0x2008, Place::Top),
        ]);
        let waste = ask(&toy);
        assert_eq!(found(&waste, WasteKind::Pinned), [(0, 0x1008)]);
        assert_eq!(waste.total(WasteKind::Pinned), Totals { chunks: 1, bytes: 0x1008 });
    }

    #[test]
    fn missing_blocks_are_counted() {
        let mut toy = Toy::new(&[0x18, 0x18]);
        toy.forget(toy.user(1), 8);
        assert_eq!(ask(&toy).unread, Totals { chunks: 1, bytes: 0x18 });
    }
}
