//! `struct malloc_state` out of memory, the ring of arenas, and the heaps of each.
//!
//! glibc `malloc/malloc.c` (`struct malloc_state`) and `malloc/arena.c` (`heap_info`, `new_heap`): arenas are linked in
//! a ring through `next`; an arena other than the main one lies in its first heap right behind that heap's `heap_info`,
//! and each heap's `prev` names the one before it.

use super::layout::{ArenaLayout, BINS, FLAGS};
use crate::base::{AddrRange, Avma};
use crate::image::memory::MemoryReader;

const PAGE: u64 = 4096;

/// The fields of one `struct malloc_state` that a walk needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Arena {
    /// Where the structure is.
    pub(super) at: u64,
    /// `flags`.
    pub(super) flags: u64,
    /// `top`.
    pub(super) top: u64,
    /// `next`.
    pub(super) next: u64,
    /// `attached_threads`, where the version has it.
    pub(super) attached_threads: Option<u64>,
    /// `system_mem`, in bytes.
    pub(super) system_mem: u64,
    /// `max_system_mem`, in bytes.
    pub(super) max_system_mem: u64,
}

impl Arena {
    /// Reads the structure at `at`; `None` when a part of it is missing.
    pub(super) fn read(memory: &dyn MemoryReader, layout: &ArenaLayout, at: u64) -> Option<Self> {
        let word = |offset| memory.word(Avma(at.checked_add(offset)?)).ok();
        Some(Self {
            at,
            flags: u64::from(memory.u32(Avma(at.checked_add(FLAGS)?)).ok()?),
            top: word(layout.top)?,
            next: word(layout.next)?,
            attached_threads: layout.attached_threads.and_then(word),
            system_mem: word(layout.system_mem)?,
            max_system_mem: word(layout.max_system_mem)?,
        })
    }

    /// Whether the figures can be those of an arena. A count of bytes read as one of threads, or the other way round, is
    /// what tells 2.22 from 2.23.
    pub(super) fn is_plausible(&self, layout: &ArenaLayout) -> bool {
        let threads = self.attached_threads.unwrap_or(0);
        self.flags <= 7
            && self.system_mem <= self.max_system_mem
            && (self.system_mem == 0 || self.system_mem >= PAGE)
            && (threads < 16 * PAGE || !threads.is_multiple_of(PAGE))
            && self.next != 0
            && self.next.is_multiple_of(layout.w())
            && (self.is_unused(layout) || layout.is_chunk_aligned(self.top))
    }

    /// Whether the arena has been set up but never handed out memory: its top is still the fake chunk in its own bins.
    pub(super) fn is_unused(&self, layout: &ArenaLayout) -> bool {
        self.top == self.at + layout.bins - layout.header()
    }

    /// Whether a thread was changing the arena: `mutex`, the first word in every version.
    pub(super) fn is_locked(&self, memory: &dyn MemoryReader) -> bool {
        memory.u32(Avma(self.at)).is_ok_and(|mutex| mutex != 0)
    }

    /// Where the structure lies.
    pub(super) fn range(&self, layout: &ArenaLayout) -> AddrRange {
        AddrRange::new(Avma(self.at), Avma(self.at.wrapping_add(layout.size)))
    }

    /// Addresses of the list heads of bins 1 to 127, as if they were chunks.
    pub(super) fn bin_heads(&self, layout: &ArenaLayout) -> impl Iterator<Item = (u64, u64)> + use<> {
        let (first, step) = (self.at + layout.bins - layout.header(), layout.header());
        (1..=BINS).map(move |bin| (bin, first + (bin - 1) * step))
    }
}

/// More arenas than any process has: a bound for damaged rings.
const MAX_ARENAS: usize = 1 << 17;

/// The ring of arenas as far as it could be followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ring {
    /// Arenas in ring order; the main arena is the first.
    pub(super) arenas: Vec<Arena>,
    /// Where the ring broke, if it did not come back to the main arena.
    pub(super) broken_at: Option<u64>,
}

/// Follows `next` from the main arena.
pub(super) fn ring(memory: &dyn MemoryReader, layout: &ArenaLayout, main: Arena) -> Ring {
    let mut arenas = vec![main];
    let mut seen = crate::base::FastSet::default();
    let mut next = main.next;
    while next != main.at {
        let sound = Arena::read(memory, layout, next).filter(|arena| arena.is_plausible(layout));
        match sound {
            Some(arena) if seen.insert(next) && arenas.len() < MAX_ARENAS => {
                next = arena.next;
                arenas.push(arena);
            }
            _ => return Ring { arenas, broken_at: Some(next) },
        }
    }
    Ring { arenas, broken_at: None }
}

/// One `heap_info`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HeapInfo {
    /// Where it starts; its size field counts from here.
    pub(super) base: u64,
    /// `size`, in bytes.
    pub(super) size: u64,
    /// Where its first chunk starts.
    pub(super) first_chunk: u64,
}

/// Finds all heaps of an arena other than the main one, from the newest to the first.
///
/// The maximal size of a heap (to which heaps are aligned) is 64 MiB, 1 MiB on 32-bit targets, and four huge pages with
/// `glibc.malloc.hugetlb=2` in 2.35 to 2.41, so it is tried, not known: the right one is the one whose heap says that it
/// belongs to this arena and ends where the top chunk ends.
///
/// # Errors
/// What could not be read or does not fit, as a text and its address.
pub(super) fn heaps(
    memory: &dyn MemoryReader,
    layout: &ArenaLayout,
    arena: &Arena,
) -> (Vec<HeapInfo>, Option<(u64, String)>) {
    let Some(info_size) = info_size(memory, layout, arena.at) else {
        return (Vec::new(), Some((arena.at, "no heap_info before the arena points back at it".to_owned())));
    };
    let first_base = arena.at - info_size;
    let Some(mut base) = base_of_top(memory, layout, arena, first_base) else {
        return (Vec::new(), Some((arena.top, format!("the top chunk of the arena at {:#x} is in no heap", arena.at))));
    };
    let mut heaps = Vec::new();
    loop {
        let field = |index: u64| memory.word(Avma(base.wrapping_add(index * layout.w()))).ok();
        let (Some(owner), Some(prev), Some(size)) = (field(0), field(1), field(2)) else {
            return (heaps, Some((base, "heap_info cannot be read".to_owned())));
        };
        if owner != arena.at || size == 0 || heaps.len() > MAX_ARENAS {
            return (heaps, Some((base, format!("heap_info does not belong to the arena at {:#x}", arena.at))));
        }
        let is_first = base == first_base;
        let first_free = if is_first { arena.at + layout.size } else { base + info_size };
        heaps.push(HeapInfo { base, size, first_chunk: layout.chunk_at_or_above(first_free) });
        if prev == 0 {
            let problem = (!is_first).then(|| (base, "the chain of heaps does not end at the arena".to_owned()));
            return (heaps, problem);
        }
        if heaps.iter().any(|heap| heap.base == prev) {
            return (heaps, Some((base, "the chain of heaps runs in a circle".to_owned())));
        }
        base = prev;
    }
}

/// `sizeof (heap_info)`: 0x20 up to 2.34 and 0x30 since (commit c1beb51d08), half of that (0x18 with padding) on 32-bit.
fn info_size(memory: &dyn MemoryReader, layout: &ArenaLayout, arena: u64) -> Option<u64> {
    let points_back = |size: u64| memory.word(Avma(arena.wrapping_sub(size))) == Ok(arena);
    [4 * layout.w(), 6 * layout.w()].into_iter().find(|&size| points_back(size))
}

fn base_of_top(memory: &dyn MemoryReader, layout: &ArenaLayout, arena: &Arena, first_base: u64) -> Option<u64> {
    let field = |base: u64, index: u64| memory.word(Avma(base.wrapping_add(index * layout.w()))).ok();
    // A top chunk that the core lacks says no size: then any heap of the arena around it will do.
    let top_size = field(arena.top, 1).map(|word| word & !super::chain::FLAG_BITS);
    let top_end = top_size.map(|size| arena.top.wrapping_add(size));
    let holds_top = |base: u64| {
        let end = base.wrapping_add(field(base, 2).unwrap_or(0));
        field(base, 0) == Some(arena.at) && base < arena.top && arena.top < end
    };
    let candidates = || std::iter::once(first_base).chain((16..40).map(|bits| arena.top & !((1u64 << bits) - 1)));
    let exact =
        candidates().find(|&base| holds_top(base) && field(base, 2).map(|size| base.wrapping_add(size)) == top_end);
    exact.or_else(|| candidates().find(|&base| holds_top(base)))
}

#[cfg(test)]
mod tests {
    use super::super::layout::arena_layouts;
    use super::*;
    use crate::base::WordSize;
    use crate::image::testing::TestMemory;

    fn layout() -> ArenaLayout {
        arena_layouts(WordSize::W8).next().expect("a row")
    }

    /// An arena of two heaps that are aligned to `heap_max`, and its memory.
    fn two_heaps(heap_max: u64) -> (TestMemory, Arena) {
        let (first, second) = (0x7f00_0000_0000, 0x7f00_0000_0000 + heap_max);
        let at = first + 0x30;
        let top = second + 0x800;
        let mut memory = TestMemory::new(&[(first, 0x2000), (second, 0x1000)]);
        memory.words(first, &[at, 0, 0x2000]);
        memory.words(second, &[at, first, 0x1000]);
        memory.words(top, &[0, 0x801]);
        memory.words(at + layout().top, &[top]);
        memory.words(at + layout().next, &[at]);
        memory.words(at + layout().system_mem, &[0x3000, 0x3000]);
        let arena = Arena::read(&memory, &layout(), at).expect("it is there");
        (memory, arena)
    }

    #[test]
    fn heaps_are_found_whatever_they_are_aligned_to() {
        for heap_max in [8 << 20, 64 << 20, 4 << 30] {
            let (memory, arena) = two_heaps(heap_max);
            let (heaps, problem) = heaps(&memory, &layout(), &arena);
            assert_eq!(problem, None);
            let firsts: Vec<u64> = heaps.iter().map(|heap| heap.first_chunk - heap.base).collect();
            assert_eq!(firsts, [0x30, 0x30 + 0x8a0], "the first heap holds the arena too");
        }
    }

    #[test]
    fn a_circle_of_heaps_ends() {
        let (mut memory, arena) = two_heaps(64 << 20);
        memory.words(0x7f00_0000_0008, &[0x7f00_0400_0000]);
        let (found, problem) = heaps(&memory, &layout(), &arena);
        assert_eq!(found.len(), 2);
        assert!(problem.expect("it is said").1.contains("circle"));
    }

    #[test]
    fn a_broken_ring_says_where() {
        let (mut memory, arena) = two_heaps(64 << 20);
        assert_eq!(ring(&memory, &layout(), arena), Ring { arenas: vec![arena], broken_at: None });
        memory.words(arena.at + layout().next, &[0x1234_5678]);
        let arena = Arena::read(&memory, &layout(), arena.at).expect("it is there");
        assert_eq!(ring(&memory, &layout(), arena).broken_at, Some(0x1234_5678));
    }
}
