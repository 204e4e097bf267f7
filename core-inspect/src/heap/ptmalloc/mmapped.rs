//! Anonymous memory that nobody claims into mmapped chunks.
//!
//! glibc `malloc/malloc.c`, `sysmalloc_mmap`, `_int_memalign`, `mremap_chunk`: a chunk with exactly `IS_MMAPPED` set,
//! `prev_size` bytes behind the start of its mapping, whose end is page aligned. Bit 0 of `prev_size` marks a huge page
//! mapping and the mapping is a header longer than the chunk since 2.43 (commit 614cfd0f8a). The kernel merges
//! neighbouring mappings, so the walk goes by contents, page by page.

use super::chain::{FLAG_BITS, IS_MMAPPED};
use super::layout::ArenaLayout;
use crate::base::{AddrRange, Avma};
use crate::heap::{Place, chunk_table::RawRegion, chunk_table::RegionBuilder};
use crate::image::memory::MemoryReader;

const PAGE: u64 = 4096;

/// One mmapped chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mmapped {
    /// The chunk's header.
    pub(super) chunk: u64,
    /// Its mapping.
    pub(super) mapping: AddrRange,
}

impl Mmapped {
    /// The region of this one chunk.
    pub(super) fn region(&self, layout: &ArenaLayout, shift: u32) -> RawRegion {
        let user = Avma(self.chunk + layout.header());
        let tail = if layout.mmapped_extra > 0 { layout.w() as u32 } else { 0 };
        let mut region = RegionBuilder::new(user, None, tail, shift);
        region.push(user, Place::Mmapped);
        region.finish(self.mapping.end)
    }
}

/// Finds the chunks in `range`, a stretch of adjacent anonymous writable memory.
///
/// False positive: a page of other data that starts with 0 and a multiple of the page size plus 2. The count is held
/// against `mp_.n_mmaps`.
pub(super) fn find(memory: &dyn MemoryReader, layout: &ArenaLayout, range: AddrRange) -> Vec<Mmapped> {
    let mut found = Vec::new();
    let Some(mut page) = range.start.align_up(PAGE) else { return found };
    while page < range.end {
        if let Some(chunk) = at_page(memory, layout, page, range.end) {
            page = chunk.mapping.end;
            found.push(chunk);
            continue;
        }
        // Jump over holes of any size, page by page where there are bytes.
        match memory.next_present(page.wrapping_add(PAGE)).and_then(|at| at.align_up(PAGE)) {
            Some(next) if next > page => page = next,
            _ => break,
        }
    }
    found
}

/// `found` (in address order) without those in the midst of other memory, if count and bytes are then exactly the
/// allocator's own. The kernel puts new mappings beside others, so a real chunk nearly always starts or ends where a
/// stretch or another chunk does; the `JVM`'s class metadata is what looked like one.
pub(super) fn without_fakes(found: &[Mmapped], stretches: &[AddrRange], expected: (u64, u64)) -> Vec<Mmapped> {
    let sum = |chunks: &[Mmapped]| {
        let bytes = chunks.iter().map(|chunk| chunk.mapping.len()).fold(0, u64::saturating_add);
        (chunks.len() as u64, bytes)
    };
    if sum(found).0 <= expected.0 {
        return found.to_vec();
    }
    let mut edges: Vec<Avma> = stretches.iter().flat_map(|stretch| [stretch.start, stretch.end]).collect();
    edges.sort_unstable();
    let is_edge = |at: Avma| edges.binary_search(&at).is_ok();
    let touches = |first: Option<&Mmapped>, second: Option<&Mmapped>| {
        first.zip(second).is_some_and(|(first, second)| first.mapping.end == second.mapping.start)
    };
    let beside = |(index, chunk): &(usize, &Mmapped)| {
        let before = index.checked_sub(1).and_then(|before| found.get(before));
        let next = found.get(index + 1);
        is_edge(chunk.mapping.start)
            || is_edge(chunk.mapping.end)
            || touches(before, Some(chunk))
            || touches(Some(chunk), next)
    };
    let kept: Vec<Mmapped> = found.iter().enumerate().filter(beside).map(|(_, chunk)| *chunk).collect();
    if sum(&kept) == expected { kept } else { found.to_vec() }
}

/// The chunk whose mapping starts at `page`.
fn at_page(memory: &dyn MemoryReader, layout: &ArenaLayout, page: Avma, limit: Avma) -> Option<Mmapped> {
    let plain = plain_offset(layout);
    let first = header_at(memory, layout, page, plain, limit);
    // An aligned block keeps a stale header at the page, whose size may be wrong too; the real one is further in.
    let stale_size = size_words(memory, layout, page.wrapping_add(plain))
        .filter(|(prev, size)| prev & !1 == plain && size & FLAG_BITS == IS_MMAPPED)?;
    let stale_end = page.checked_add((stale_size.1 & !FLAG_BITS) + layout.mmapped_extra + plain)?.min(limit);
    let small = (5..=12).map(|bits| (1u64 << bits) - layout.header());
    let pages = (2..=(stale_end.0.saturating_sub(page.0)) / PAGE + 1).map(|pages| pages * PAGE - layout.header());
    let aligned = small.chain(pages).filter(|&offset| offset > plain);
    let aligned = aligned.into_iter().find_map(|offset| header_at(memory, layout, page, offset, limit));
    aligned.or(first)
}

/// How far behind its mapping's start an ordinary chunk lies: 0, or what aligns the user address on i386.
fn plain_offset(layout: &ArenaLayout) -> u64 {
    layout.chunk_at_or_above(0)
}

fn size_words(memory: &dyn MemoryReader, layout: &ArenaLayout, chunk: Avma) -> Option<(u64, u64)> {
    let prev = memory.word(chunk).ok()?;
    Some((prev, memory.word(chunk.wrapping_add(layout.w())).ok()?))
}

fn header_at(memory: &dyn MemoryReader, layout: &ArenaLayout, page: Avma, offset: u64, limit: Avma) -> Option<Mmapped> {
    let chunk = page.checked_add(offset)?;
    let (prev, size_word) = size_words(memory, layout, chunk)?;
    let size = size_word & !FLAG_BITS;
    let huge_bit = u64::from(layout.mmapped_extra > 0);
    let sound = prev & !huge_bit == offset && size_word & FLAG_BITS == IS_MMAPPED && size >= layout.min_chunk();
    if !sound {
        return None;
    }
    let end = chunk.checked_add(size)?.checked_add(layout.mmapped_extra)?;
    (end <= limit && end.is_aligned(PAGE)).then(|| Mmapped { chunk: chunk.0, mapping: AddrRange::new(page, end) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::WordSize;
    use crate::heap::ptmalloc::layout::arena_layouts;
    use crate::image::testing::TestMemory;

    const BASE: u64 = 0x7f00_0000_0000;

    fn layout(word: WordSize, versions: &str) -> ArenaLayout {
        arena_layouts(word).find(|layout| layout.versions == versions).expect("a row")
    }

    fn found(memory: &TestMemory, layout: &ArenaLayout, base: u64, len: u64) -> Vec<(u64, u64)> {
        let chunks = find(memory, layout, AddrRange::new(Avma(base), Avma(base + len)));
        chunks.iter().map(|chunk| (chunk.chunk - base, chunk.mapping.len())).collect()
    }

    #[test]
    fn neighbours_that_the_kernel_merged_are_told_apart() {
        let mut memory = TestMemory::new(&[(BASE, 0x8000)]);
        memory.words(BASE, &[0, 0x3002]);
        memory.words(BASE + 0x4000, &[0, 0x2002]); // a page of something else lies between
        let layout = layout(WordSize::W8, "2.27-2.42");
        assert_eq!(found(&memory, &layout, BASE, 0x8000), [(0, 0x3000), (0x4000, 0x2000)]);
    }

    #[test]
    fn an_aligned_block_is_found_behind_its_stale_header() {
        let mut memory = TestMemory::new(&[(BASE, 0x8000)]);
        memory.words(BASE, &[0, 0x5002]); // stale: the mapping was moved and grown since
        memory.words(BASE + 0x1ff0, &[0x1ff0, 0x6012]);
        let layout = layout(WordSize::W8, "2.27-2.42");
        assert_eq!(found(&memory, &layout, BASE, 0x8000), [(0x1ff0, 0x8002 & !0xfff)]);
    }

    #[test]
    fn since_2_43_a_mapping_is_a_header_longer_than_its_chunk() {
        let mut memory = TestMemory::new(&[(BASE, 0x4000)]);
        memory.words(BASE, &[1, 0x3ff2]);
        assert_eq!(found(&memory, &layout(WordSize::W8, "2.43-2.44"), BASE, 0x4000), [(0, 0x4000)]);
        assert_eq!(found(&memory, &layout(WordSize::W8, "2.27-2.42"), BASE, 0x4000), []);
    }

    #[test]
    fn on_i386_padding_aligns_the_block() {
        let base = 0xf000_0000;
        let mut memory = TestMemory { word: WordSize::W4, ..TestMemory::new(&[(base, 0x3000)]) };
        memory.words(base + 8, &[8, 0x2ffa]);
        assert_eq!(found(&memory, &layout(WordSize::W4, "2.27-2.42"), base, 0x3000), [(8, 0x3000)]);
    }

    #[test]
    fn a_chunk_that_runs_out_of_its_memory_is_none() {
        let mut memory = TestMemory::new(&[(BASE, 0x2000)]);
        memory.words(BASE, &[0, 0x3002]);
        assert_eq!(found(&memory, &layout(WordSize::W8, "2.27-2.42"), BASE, 0x2000), []);
    }

    #[test]
    fn a_page_of_class_metadata_is_no_chunk_where_the_count_says_so() {
        let at = |start: u64, pages: u64| Mmapped {
            chunk: start,
            mapping: AddrRange::new(Avma(start), Avma(start + pages * PAGE)),
        };
        let stretches =
            [AddrRange::new(Avma(0x10_0000), Avma(0x20_0000)), AddrRange::new(Avma(0x30_0000), Avma(0x40_0000))];
        let (fake, first, second) = (at(0x15_0000, 2), at(0x33_0000, 3), at(0x33_3000, 4));
        let found = [fake, first, second];
        assert_eq!(without_fakes(&found, &stretches, (2, 7 * PAGE)), [first, second]);
        assert_eq!(without_fakes(&found, &stretches, (2, 8 * PAGE)), found, "other bytes: nothing is certain");
        assert_eq!(without_fakes(&found, &stretches, (3, 9 * PAGE)), found);
    }
}
