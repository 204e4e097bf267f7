//! Everything that an analysis reads, and the words of chunks by offset.

use crate::base::{Avma, WordSize};
use crate::graph::resolve::Hint;
use crate::graph::scan::Window;
use crate::graph::{Graph, Reach, Resolver};
use crate::heap::{Chunk, ChunkId, ChunkTable};
use crate::image::memory::MemoryReader;
use rayon::prelude::*;

/// What the floors below found.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The target's bytes.
    pub memory: &'a dyn MemoryReader,
    /// Words to chunks, interior ones included.
    pub resolver: &'a Resolver<'a>,
    /// Edges and roots.
    pub graph: &'a Graph,
    /// What is reachable.
    pub reach: &'a Reach,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View {{ {:?} }}", self.chunks())
    }
}

impl<'a> View<'a> {
    /// All chunks.
    pub fn chunks(&self) -> &'a ChunkTable {
        self.resolver.chunks()
    }

    /// Bytes of a pointer.
    pub fn word_bytes(&self) -> u64 {
        self.memory.word_size().bytes()
    }

    /// A reader of words.
    pub fn words(&self) -> Words<'a> {
        Words { window: Window::new(self.memory), hint: Hint::default(), resolver: self.resolver }
    }
}

/// Reads words and follows them; keeps the place of the last one.
#[derive(Debug)]
pub struct Words<'a> {
    window: Window<'a>,
    hint: Hint,
    resolver: &'a Resolver<'a>,
}

impl Words<'_> {
    /// The word at `at`.
    #[inline]
    pub fn word(&mut self, at: Avma) -> Option<u64> {
        self.window.word(at)
    }

    /// Size of a word.
    pub fn size(&self) -> WordSize {
        self.window.word_size()
    }

    /// The used chunk that starts `delta` before what the word at `at` refers to.
    #[inline]
    pub fn follow(&mut self, at: Avma, delta: u64) -> Option<ChunkId> {
        let word = self.window.word(at)?;
        self.start_of(word.checked_sub(delta)?)
    }

    /// The used chunk whose user address is `word`.
    #[inline]
    pub fn start_of(&mut self, word: u64) -> Option<ChunkId> {
        self.resolver.starting_at(word, &mut self.hint)
    }

    /// The used chunk that `word` lies in.
    pub fn within(&mut self, word: u64) -> Option<ChunkId> {
        self.resolver.resolve(word, &mut self.hint).map(|hit| hit.id)
    }

    /// The offset of the first word of `chunk`, up to `most` bytes, that is `value`.
    pub fn find(&mut self, chunk: &Chunk, value: u64, most: u64) -> Option<u64> {
        let bytes = self.size().bytes();
        (0..chunk.usable.min(most) / bytes)
            .map(|index| index * bytes)
            .find(|&offset| self.word(chunk.user.wrapping_add(offset)) == Some(value))
    }

    /// The offset of the first word of `chunk`, up to `most` bytes, that refers to `to`: to its start if any does, else
    /// into it, as where a program keeps a header of its own before what it hands out.
    pub fn find_reference(&mut self, chunk: &Chunk, to: &Chunk, most: u64) -> Option<u64> {
        let bytes = self.size().bytes();
        let inside = |word: u64| word.wrapping_sub(to.user.0) < to.usable;
        self.find(chunk, to.user.0, most).or_else(|| {
            (0..chunk.usable.min(most) / bytes)
                .map(|index| index * bytes)
                .find(|&offset| self.word(chunk.user.wrapping_add(offset)).is_some_and(inside))
        })
    }
}

/// The usable size of each used chunk in two bytes: eighths up to 512 KiB, exact for chunks of all usual alignments.
#[derive(Debug)]
pub struct Classes {
    cells: Vec<u16>,
}

/// A size class; 0 for chunks that are not used.
pub type Class = u16;

/// Work is split into runs of this many chunks.
pub(super) const RUN: usize = 1 << 14;

impl Classes {
    /// Of all used chunks.
    pub fn compute(chunks: &ChunkTable) -> Self {
        let mut cells = vec![0; chunks.len()];
        cells.par_chunks_mut(RUN).enumerate().for_each(|(run, cells)| {
            let first = (run * RUN) as u32;
            for chunk in chunks.id_range(first, first + cells.len() as u32) {
                if chunk.place.state() == crate::heap::State::Used {
                    cells[(chunk.id.0 - first) as usize] = Self::of_size(chunk.usable);
                }
            }
        });
        Self { cells }
    }

    /// The class of a usable size.
    pub fn of_size(usable: u64) -> Class {
        (usable / 8).clamp(1, u64::from(Class::MAX)) as Class
    }

    /// Usable bytes of chunks of a class; at least so many for the last one.
    pub fn size(class: Class) -> u64 {
        u64::from(class) * 8
    }

    /// The class of `id`.
    #[inline]
    pub fn of(&self, id: ChunkId) -> Class {
        self.cells[id.index()]
    }

    /// The classes in order of chunks.
    pub fn cells(&self) -> &[Class] {
        &self.cells
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::graph::testing::Toy;

    /// Builds what a view needs of a hand-made heap.
    pub(in crate::analysis) fn with_view<T>(toy: &Toy, ask: impl FnOnce(&View<'_>) -> T) -> T {
        let graph = toy.graph();
        let (reach, resolver) = (Reach::compute(&graph, &toy.heap.chunks), Resolver::new(&toy.heap.chunks, true));
        ask(&View { memory: &toy.memory, resolver: &resolver, graph: &graph, reach: &reach })
    }

    #[test]
    fn classes_are_sizes() {
        let toy = Toy::new(&[0x18, 0x28, 0x10_0008]);
        let classes = Classes::compute(&toy.heap.chunks);
        let sizes: Vec<u64> = classes.cells().iter().map(|&class| Classes::size(class)).collect();
        assert_eq!(sizes, [0x18, 0x28, u64::from(u16::MAX) * 8]);
    }

    #[test]
    fn a_block_held_behind_its_start_has_a_holder() {
        let mut toy = Toy::new(&[0x28, 0x28, 0x28]);
        toy.point(0, 8, 1, 8).point(2, 8, 1, 8).point(2, 16, 1, 0);
        with_view(&toy, |view| {
            let chunk = |id| view.chunks().get(ChunkId(id));
            assert_eq!(view.words().find_reference(&chunk(0), &chunk(1), 0x100), Some(8));
            assert_eq!(view.words().find_reference(&chunk(2), &chunk(1), 0x100), Some(16), "its start is better");
            assert_eq!(view.words().find_reference(&chunk(1), &chunk(0), 0x100), None);
        });
    }
}
