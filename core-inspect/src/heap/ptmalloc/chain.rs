//! Chunk headers into chunks: the walk along one run of adjacent chunks, and the search for the next good header behind
//! damage.
//!
//! glibc `malloc/malloc.c`, "Chunk representation": the size word at `chunk + W` has three flags in its low bits; the
//! next chunk's `PREV_INUSE` says whether this one is used.

use super::layout::ArenaLayout;
use crate::base::{Avma, FastSet};
use crate::heap::{Place, chunk_table::RegionBuilder};
use crate::image::memory::MemoryReader;

/// Flag: the chunk below is used.
pub(super) const PREV_INUSE: u64 = 1;
/// Flag: the chunk is a mapping of its own.
pub(super) const IS_MMAPPED: u64 = 2;
/// Flag: the chunk is not the main arena's.
pub(super) const NON_MAIN_ARENA: u64 = 4;
/// All flags.
pub(super) const FLAG_BITS: u64 = 7;

/// Reads size words at rising addresses out of the longest run of bytes at hand.
pub(super) struct Headers<'m> {
    memory: &'m dyn MemoryReader,
    layout: ArenaLayout,
    start: u64,
    run: &'m [u8],
}

impl<'m> Headers<'m> {
    /// A reader that has read nothing yet.
    pub(super) fn new(memory: &'m dyn MemoryReader, layout: ArenaLayout) -> Self {
        Self { memory, layout, start: 0, run: &[] }
    }

    /// The size word of `chunk`, flags included; `None` where the core has no bytes.
    #[inline]
    pub(super) fn size_word(&mut self, chunk: u64) -> Option<u64> {
        self.word(chunk.wrapping_add(self.layout.w()))
    }

    /// The word at `at`.
    #[inline]
    pub(super) fn word(&mut self, at: u64) -> Option<u64> {
        let inside = at.wrapping_sub(self.start) as usize;
        if let Some(word) = self.run.get(inside..).and_then(|bytes| self.layout.word.decode(bytes)) {
            return Some(word);
        }
        self.refill(at)
    }

    #[cold]
    fn refill(&mut self, at: u64) -> Option<u64> {
        if let Some(run) = self.memory.borrow(Avma(at), 1 << 46) {
            (self.start, self.run) = (at, run);
            if let Some(word) = self.layout.word.decode(run) {
                return Some(word);
            }
        }
        self.memory.word(Avma(at)).ok()
    }
}

/// What kind of memory a run lies in: it decides how a run may end and which flags its chunks may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RunKind {
    /// The program break or a mapping that the main arena uses instead.
    Main,
    /// A heap of another arena.
    Heap,
}

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// At the arena's top chunk; its end.
    Top(u64),
    /// At a fencepost; the first address behind it.
    Fencepost(u64),
    /// At a header that cannot be one.
    Bad {
        /// The chunk's address.
        chunk: u64,
        /// Its size word.
        size_word: u64,
    },
    /// At a header that the core does not hold.
    Unreadable {
        /// The chunk's address.
        chunk: u64,
    },
}

/// The limits of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// First chunk.
    pub(super) start: u64,
    /// No chunk reaches beyond.
    pub(super) limit: u64,
    /// The arena's top chunk.
    pub(super) top: u64,
    /// What it lies in.
    pub(super) kind: RunKind,
}

/// One step of a walk.
enum Step {
    Chunk { next: u64, next_word: u64 },
    Stop { stop: Stop, fencepost: Option<u64> },
}

fn step(headers: &mut Headers<'_>, run: &Run, chunk: u64, size_word: u64) -> Step {
    let layout = headers.layout;
    let size = size_word & !FLAG_BITS;
    let stop = |stop| Step::Stop { stop, fencepost: None };
    let bad = Step::Stop { stop: Stop::Bad { chunk, size_word }, fencepost: None };
    if chunk == run.top {
        let end = chunk.wrapping_add(size);
        let fits = size >= layout.min_chunk() && end > chunk && end <= run.limit;
        return if fits { stop(Stop::Top(end)) } else { bad };
    }
    if size <= layout.header() {
        return fencepost(headers, run, chunk, size_word).unwrap_or(bad);
    }
    let next = chunk.wrapping_add(size);
    let aligned = size & (layout.align - 1) == 0;
    let foreign = size_word & IS_MMAPPED != 0 || (run.kind == RunKind::Main && size_word & NON_MAIN_ARENA != 0);
    if size < layout.min_chunk() || !aligned || foreign || next <= chunk || next >= run.limit {
        return bad;
    }
    match headers.size_word(next) {
        // A used leftover without NON_MAIN_ARENA before a zero size ends a full heap (`sysmalloc`, malloc.c).
        Some(PREV_INUSE)
            if run.kind == RunKind::Heap && size <= 2 * layout.header() && size_word & NON_MAIN_ARENA == 0 =>
        {
            Step::Stop { stop: Stop::Fencepost(next + layout.header()), fencepost: Some(chunk) }
        }
        Some(next_word) => Step::Chunk { next, next_word },
        None => stop(Stop::Unreadable { chunk: next }),
    }
}

/// Fenceposts: in the main arena two headers of `2W`, elsewhere one of `2W` and one of 0, or one of 0 alone.
fn fencepost(headers: &mut Headers<'_>, run: &Run, chunk: u64, size_word: u64) -> Option<Step> {
    let header = headers.layout.header();
    let end = |end, fencepost| Some(Step::Stop { stop: Stop::Fencepost(end), fencepost });
    let size = size_word & !FLAG_BITS;
    if size == 0 {
        let is_end = run.kind == RunKind::Heap && size_word == PREV_INUSE;
        return if is_end { end(chunk + header, None) } else { None };
    }
    if size != header {
        return None;
    }
    let second = headers.size_word(chunk + header)?;
    match run.kind {
        RunKind::Main if second == header | PREV_INUSE => end(chunk + 2 * header, Some(chunk)),
        RunKind::Heap if second == PREV_INUSE => end(chunk + 2 * header, Some(chunk)),
        _ => None,
    }
}

/// Walks a run into `region`. Used chunks get [`Place::Arena`], chunks that are free by their header
/// [`Place::Unlisted`], until a list claims them. `seen` is told each used chunk's address and size.
pub(super) fn walk(
    headers: &mut Headers<'_>,
    run: &Run,
    region: &mut RegionBuilder,
    mut seen: impl FnMut(u64, u64),
) -> Stop {
    let header = headers.layout.header();
    let mut chunk = run.start;
    let Some(mut size_word) = headers.size_word(chunk) else { return Stop::Unreadable { chunk } };
    loop {
        match step(headers, run, chunk, size_word) {
            Step::Chunk { next, next_word } => {
                let used = next_word & PREV_INUSE != 0;
                region.push(Avma(chunk + header), if used { Place::Arena } else { Place::Unlisted });
                if used {
                    seen(chunk, next - chunk);
                }
                (chunk, size_word) = (next, next_word);
            }
            Step::Stop { stop, fencepost } => {
                if let Stop::Top(_) = stop {
                    region.push(Avma(chunk + header), Place::Top);
                }
                if let Some(fencepost) = fencepost {
                    region.push(Avma(fencepost + header), Place::Fencepost);
                }
                return stop;
            }
        }
    }
}

/// Tries whether a good run starts at some address, remembering what led nowhere so that a long search stays linear.
pub(super) struct Prober<'h, 'm> {
    headers: &'h mut Headers<'m>,
    dead: FastSet<u64>,
}

/// Chunks that one probe follows before it is believed.
const CONVINCING_CHUNKS: usize = 4096;
/// Chunks that make a chain which ends with the memory at hand.
const ENOUGH_CHUNKS: usize = 8;

impl<'h, 'm> Prober<'h, 'm> {
    /// A prober without memory of failures.
    pub(super) fn new(headers: &'h mut Headers<'m>) -> Self {
        Self { headers, dead: FastSet::default() }
    }

    /// Whether the chain from `run.start` is sound: it ends at the top, at a fencepost or at an address of `anchors`
    /// (sorted), or goes on for thousands of chunks. A chunk whose successor says that it is free must also be followed
    /// by its own size.
    ///
    /// False positive: bytes of a program that imitate headers and lead into the real chain by chance; the earlier of
    /// two candidates wins, so such a fake can hide a few real bytes.
    pub(super) fn is_sound(&mut self, run: &Run, anchors: &[u64]) -> Option<Stop> {
        let mut path = Vec::new();
        let mut chunk = run.start;
        let mut size_word = self.headers.size_word(chunk)?;
        loop {
            if self.dead.contains(&chunk) {
                break;
            }
            if chunk != run.start && anchors.binary_search(&chunk).is_ok() {
                return Some(Stop::Fencepost(chunk));
            }
            path.push(chunk);
            match step(self.headers, run, chunk, size_word) {
                Step::Chunk { next, next_word } => {
                    let foot_differs = next_word & PREV_INUSE == 0 && self.headers.word(next) != Some(next - chunk);
                    if foot_differs {
                        break;
                    }
                    if path.len() >= CONVINCING_CHUNKS {
                        return Some(Stop::Fencepost(next));
                    }
                    (chunk, size_word) = (next, next_word);
                }
                Step::Stop { stop: stop @ (Stop::Top(_) | Stop::Fencepost(_)), .. } => return Some(stop),
                // Sound as far as the core goes.
                Step::Stop { stop: stop @ Stop::Unreadable { .. }, .. } if path.len() >= ENOUGH_CHUNKS => {
                    return Some(stop);
                }
                // The chunk that ends where the memory ends is the top, where that is not known.
                Step::Stop { stop: stop @ Stop::Bad { chunk, size_word }, .. }
                    if run.top == 0
                        && path.len() >= ENOUGH_CHUNKS
                        && chunk.checked_add(size_word & !FLAG_BITS) == Some(run.limit) =>
                {
                    return Some(stop);
                }
                Step::Stop { .. } => break,
            }
        }
        self.dead.extend(path);
        None
    }

    /// The lowest address from `from` up to `until` at which a sound run starts.
    pub(super) fn first_sound(&mut self, from: u64, until: u64, run: &Run, anchors: &[u64]) -> Option<u64> {
        let layout = self.headers.layout;
        let mut chunk = layout.chunk_at_or_above(from);
        while chunk < until {
            match self.headers.size_word(chunk) {
                // Where the core has no bytes there is nothing to find: go on at the next page.
                None => chunk = layout.chunk_at_or_above((chunk | 0xfff) + 1),
                Some(word) => {
                    let size = word & !FLAG_BITS;
                    let possible = size >= layout.min_chunk() && size <= run.limit - chunk || chunk == run.top;
                    if possible && self.is_sound(&Run { start: chunk, ..*run }, anchors).is_some() {
                        return Some(chunk);
                    }
                    chunk += layout.align;
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::WordSize;
    use crate::heap::ptmalloc::layout::arena_layouts;
    use crate::image::testing::TestMemory;

    const START: u64 = 0x5555_0000;

    fn layout() -> ArenaLayout {
        arena_layouts(WordSize::W8).next().expect("a row")
    }

    /// A run of chunks with these size words, and the address behind them.
    fn chunks(size_words: &[u64]) -> (TestMemory, u64) {
        let mut memory = TestMemory::new(&[(START, 0x2000)]);
        let mut at = START;
        for &word in size_words {
            memory.words(at + 8, &[word]);
            at += word & !FLAG_BITS;
        }
        (memory, at)
    }

    fn run(top: u64, kind: RunKind) -> Run {
        Run { start: START, limit: START + 0x2000, top, kind }
    }

    fn walked(memory: &TestMemory, run: &Run) -> (Stop, Vec<(u64, Place)>) {
        let mut region = RegionBuilder::new(Avma(run.start + 16), None, 8, 4);
        let stop = walk(&mut Headers::new(memory, layout()), run, &mut region, |_, _| {});
        let (table, _) = crate::heap::ChunkTable::build(vec![region.finish(Avma(run.limit + 16))], 4);
        (stop, table.iter().map(|chunk| (chunk.user.0 - 16 - START, chunk.place)).collect())
    }

    #[test]
    fn the_next_header_says_whether_a_chunk_is_used() {
        let (memory, end) = chunks(&[0x21, 0x41, 0x60, 0x1f41]);
        let (stop, found) = walked(&memory, &run(end - 0x1f40, RunKind::Main));
        assert_eq!(stop, Stop::Top(START + 0x2000));
        assert_eq!(found, [(0, Place::Arena), (0x20, Place::Unlisted), (0x60, Place::Arena), (0xc0, Place::Top)]);
    }

    #[test]
    fn a_double_fencepost_ends_a_run_of_the_main_arena_whatever_the_first_ones_flag() {
        for first in [0x10, 0x11] {
            let (memory, end) = chunks(&[0x21, 0x31, first, 0x11]);
            let (stop, found) = walked(&memory, &run(0, RunKind::Main));
            assert_eq!(stop, Stop::Fencepost(end));
            assert_eq!(found[2], (0x50, Place::Fencepost));
        }
    }

    #[test]
    fn a_full_heap_ends_with_a_zero_size_and_a_leftover_that_is_no_block() {
        let (memory, _) = chunks(&[0x25, 0x21, 0x1]);
        let (stop, found) = walked(&memory, &run(0, RunKind::Heap));
        assert_eq!(stop, Stop::Fencepost(START + 0x50));
        assert_eq!(found, [(0, Place::Arena), (0x20, Place::Fencepost)]);
        // With NON_MAIN_ARENA it is a block like any other.
        let (memory, _) = chunks(&[0x25, 0x25, 0x1]);
        assert_eq!(walked(&memory, &run(0, RunKind::Heap)).1[1], (0x20, Place::Arena));
    }

    #[test]
    fn sizes_that_cannot_be_end_the_walk_with_their_address() {
        for bad in [0x18, 0x4141_4141_4141_4141, 0x22, 0x25, 0x7fff_ffff_ffff_fff1] {
            let mut memory = TestMemory::new(&[(START, 0x2000)]);
            memory.words(START + 8, &[0x21]);
            memory.words(START + 0x28, &[bad]);
            let (stop, _) = walked(&memory, &run(0, RunKind::Main));
            assert_eq!(stop, Stop::Bad { chunk: START + 0x20, size_word: bad });
        }
    }

    #[test]
    fn behind_damage_the_first_sound_chain_is_found_and_not_a_look_alike() {
        let (mut memory, end) = chunks(&[0x21, 0x101, 0x51, 0x31, 0x1e61]);
        memory.words(START + 0x28, &[0x4141_4141]);
        memory.words(START + 0x68, &[0x31]); // a size word among user data whose chain leads nowhere
        let run = run(end - 0x1e60, RunKind::Main);
        let mut headers = Headers::new(&memory, layout());
        let found = Prober::new(&mut headers).first_sound(START + 0x30, run.limit, &run, &[]);
        assert_eq!(found, Some(START + 0x120));
    }
}
