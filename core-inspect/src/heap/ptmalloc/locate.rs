//! Writable data of a module into its `main_arena`, without symbols.
//!
//! A used main arena holds 127 list heads in a row, `{fd, bk}` with `fd->bk` and `bk->fd` pointing back at the head
//! (itself when the bin is empty; glibc `malloc/malloc.c`, `malloc_init_state`). No other structure does. Which layout it
//! has follows from the fields around: the ring of arenas must close, and figures must be plausible.

use super::arena::{Arena, ring};
use super::layout::{ArenaLayout, BINS, ParLayout, arena_layouts};
use crate::base::{AddrRange, Avma, Evidence};
use crate::image::memory::{MemoryReader, pieces};

/// A main arena and how it was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MainArena {
    /// The arena's fields.
    pub(super) arena: Arena,
    /// Its layout.
    pub(super) layout: ArenaLayout,
    /// How it was found.
    pub(super) evidence: Evidence,
    /// The same in words.
    pub(super) evidence_text: String,
    /// Its first chunk in the break, where only the chain of chunks itself tells.
    pub(super) break_start: Option<u64>,
}

/// List heads that must be sound: corruption and pages that the core does not hold may spoil a few.
const SOUND_HEADS: u64 = 48;

const PAGE: u64 = 4096;

/// All main arenas in `ranges` (the writable data of one module), by structure. A process has one a copy of libc, and
/// `libc_malloc_debug.so.0` brings its own.
pub(super) fn by_structure(memory: &dyn MemoryReader, ranges: &[AddrRange], is_module: bool) -> Vec<MainArena> {
    let mut found: Vec<MainArena> = Vec::new();
    for &range in ranges {
        for bins in bins_candidates(memory, range) {
            // Heaps of other arenas lie in loose memory, and their arenas look like main ones.
            if !is_module && is_in_heap(memory, bins) {
                continue;
            }
            found.extend(best_layout(memory, bins, is_module));
        }
    }
    found
}

/// An arena at a known address (a symbol or debug information names it): only its layout is to be found.
pub(super) fn at_known_address(memory: &dyn MemoryReader, at: Avma, evidence: Evidence) -> Option<MainArena> {
    let fits = |layout: &ArenaLayout| {
        let arena = Arena::read(memory, layout, at.0)?;
        let sound = sound_heads(memory, layout.word.bytes(), at.0 + layout.bins);
        let used = sound >= SOUND_HEADS || arena.next == at.0 && is_pristine(memory, layout, at.0);
        (used && arena.is_plausible(layout)).then_some((sound, arena, *layout))
    };
    let (_, arena, layout) =
        arena_layouts(memory.word_size()).filter_map(|layout| fits(&layout)).max_by_key(|fit| fit.0)?;
    Some(MainArena { arena, layout, evidence, evidence_text: format!("main_arena at {at}"), break_start: None })
}

/// Main arenas that were never used: all zero but `next`, which is the arena itself (its static initialiser).
pub(super) fn pristine(memory: &dyn MemoryReader, ranges: &[AddrRange]) -> Vec<MainArena> {
    let w = memory.word_size().bytes();
    let mut found = Vec::new();
    for &range in ranges {
        for (at, run) in pieces(memory, range) {
            for (index, bytes) in run.chunks_exact(w as usize).enumerate() {
                let here = at.0 + index as u64 * w;
                let Some(value) = memory.word_size().decode(bytes) else { continue };
                let fits = |layout: &ArenaLayout| {
                    value == here.wrapping_sub(layout.next) && is_pristine(memory, layout, value)
                };
                if value == 0 || value > here || here - value > 0x1000 {
                    continue;
                }
                let Some(layout) = arena_layouts(memory.word_size()).find(fits) else { continue };
                if let Some(arena) = Arena::read(memory, &layout, value) {
                    let evidence_text = format!("an untouched main_arena at {value:#x}");
                    found.push(MainArena {
                        arena,
                        layout,
                        evidence: Evidence::Structure,
                        evidence_text,
                        break_start: None,
                    });
                }
            }
        }
    }
    found
}

fn is_pristine(memory: &dyn MemoryReader, layout: &ArenaLayout, at: u64) -> bool {
    let mut bytes = vec![0; layout.next as usize];
    let zero_before = memory.read(Avma(at), &mut bytes).is_ok() && bytes.iter().all(|&byte| byte == 0);
    let behind = |offset| memory.word(Avma(at + offset)) == Ok(0);
    let attached = layout.attached_threads.is_none_or(|offset| memory.word(Avma(at + offset)) == Ok(1));
    zero_before && behind(layout.system_mem) && behind(layout.max_system_mem) && attached
}

fn is_sound_head(memory: &dyn MemoryReader, w: u64, pair: u64) -> bool {
    let head = pair.wrapping_sub(2 * w);
    let word = |at: u64| memory.word(Avma(at)).ok();
    let (Some(fd), Some(bk)) = (word(pair), word(pair.wrapping_add(w))) else { return false };
    let sound = |node: u64, offset: u64| node == head || word(node.wrapping_add(offset)) == Some(head);
    fd != 0 && bk != 0 && sound(fd, 3 * w) && sound(bk, 2 * w)
}

fn sound_heads(memory: &dyn MemoryReader, w: u64, bins: u64) -> u64 {
    (0..BINS).filter(|bin| is_sound_head(memory, w, bins.wrapping_add(bin * 2 * w))).count() as u64
}

/// Addresses at which `bins` may start: where an empty or sound head begins a long row of them.
///
/// Only empty bins are looked at first (a word that points two words before itself): cheap, and a main arena of any use
/// has some. From each the row is extended both ways.
fn bins_candidates(memory: &dyn MemoryReader, range: AddrRange) -> Vec<u64> {
    let word_size = memory.word_size();
    let w = word_size.bytes();
    let mut candidates = Vec::new();
    let mut settled = 0;
    for (at, run) in pieces(memory, range) {
        for (index, bytes) in run.chunks_exact(w as usize).enumerate() {
            let pair = at.0 + index as u64 * w;
            let empty = word_size.decode(bytes) == Some(pair.wrapping_sub(2 * w));
            if !empty || pair < settled || !is_sound_head(memory, w, pair) {
                continue;
            }
            let row = row_around(memory, w, pair);
            settled = row.1;
            candidates.extend(starts_in(row, w));
        }
    }
    candidates
}

/// The row of heads around `pair`: its first pair and the address past its last; up to four unsound heads in a row are
/// bridged, since damage must not hide an arena.
fn row_around(memory: &dyn MemoryReader, w: u64, pair: u64) -> (u64, u64) {
    let reach = |step: &dyn Fn(u64) -> u64| {
        let (mut last, mut at, mut misses) = (pair, pair, 0);
        for _ in 0..2 * BINS {
            at = step(at);
            if is_sound_head(memory, w, at) {
                (last, misses) = (at, 0);
            } else {
                misses += 1;
                if misses > 4 {
                    break;
                }
            }
        }
        last
    };
    (reach(&|at| at.wrapping_sub(2 * w)), reach(&|at| at.wrapping_add(2 * w)) + 2 * w)
}

/// Where 127 pairs may start in a row that is about that long. The first bin may be unsound, so a shorter row may begin
/// before its first sound head.
fn starts_in(row: (u64, u64), w: u64) -> Vec<u64> {
    let pairs = (row.1 - row.0) / (2 * w);
    if !(SOUND_HEADS..=BINS + 8).contains(&pairs) {
        return Vec::new();
    }
    let slack = BINS.abs_diff(pairs);
    if pairs >= BINS {
        return (0..=slack).map(|skip| row.0 + skip * 2 * w).collect();
    }
    (0..=slack).map(|before| row.0.wrapping_sub(before * 2 * w)).collect()
}

/// Whether an arena with these bins, of any layout, lies right behind a `heap_info` that points at it.
fn is_in_heap(memory: &dyn MemoryReader, bins: u64) -> bool {
    let w = memory.word_size().bytes();
    arena_layouts(memory.word_size()).any(|layout| {
        let arena = bins.wrapping_sub(layout.bins);
        [4 * w, 6 * w].iter().any(|size| memory.word(Avma(arena.wrapping_sub(*size))) == Ok(arena))
    })
}

fn best_layout(memory: &dyn MemoryReader, bins: u64, may_be_broken: bool) -> Option<MainArena> {
    let sound = sound_heads(memory, memory.word_size().bytes(), bins);
    if sound < SOUND_HEADS {
        return None;
    }
    let fits = |layout: &ArenaLayout| {
        let arena = Arena::read(memory, layout, bins.checked_sub(layout.bins)?)?;
        let top_is_sound = arena.is_unused(layout) || top_ends_well(memory, layout, &arena);
        if !arena.is_plausible(layout) || !top_is_sound || arena.system_mem == 0 && !arena.is_unused(layout) {
            return None;
        }
        let ring = ring(memory, layout, arena);
        Some((ring.broken_at.is_none(), ring.arenas.len(), arena, *layout))
    };
    // The ring must close; where a page of an arena is missing from the core, a broken one will do.
    let (closed, arenas, arena, layout) = arena_layouts(memory.word_size())
        .filter_map(|layout| fits(&layout))
        .max_by_key(|(closed, arenas, ..)| (*closed, *arenas))
        .filter(|(closed, arenas, ..)| *closed || may_be_broken && *arenas > 1)?;
    let ring = if closed { "closes" } else { "is broken" };
    let evidence_text = format!(
        "main_arena at {:#x}: {sound} of {BINS} list heads sound, the ring of {arenas} arena(s) {ring}",
        arena.at
    );
    Some(MainArena { arena, layout, evidence: Evidence::Structure, evidence_text, break_start: None })
}

/// The end of the top chunk is the end of memory from the system: page aligned, unless someone else moved the break.
fn top_ends_well(memory: &dyn MemoryReader, layout: &ArenaLayout, arena: &Arena) -> bool {
    match memory.word(Avma(arena.top.wrapping_add(layout.w()))) {
        Ok(size_word) => {
            let size = size_word & !super::chain::FLAG_BITS;
            size >= layout.min_chunk() && arena.top.checked_add(size).is_some_and(|end| end.is_multiple_of(PAGE))
        }
        // Cut off: the other checks decide.
        Err(_) => true,
    }
}

/// `mp_` as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Par {
    /// Where the structure is.
    pub(super) at: u64,
    /// Its layout.
    pub(super) layout: ParLayout,
    /// `n_mmaps`.
    pub(super) n_mmaps: u64,
    /// `mmapped_mem`, in bytes.
    pub(super) mmapped_mem: u64,
    /// `sbrk_base`, 0 while the break was never moved.
    pub(super) sbrk_base: u64,
    /// `tcache_count`, where the version has thread caches.
    pub(super) tcache_count: Option<u64>,
}

/// Finds `mp_` beside a main arena: in the same writable data, by the plausibility of its fields, the nearest below.
pub(super) fn par(memory: &dyn MemoryReader, main: &MainArena, ranges: &[AddrRange]) -> Option<Par> {
    let w = main.layout.w();
    let home = ranges.iter().find(|range| range.contains(Avma(main.arena.at)))?;
    let reach = |distance: u64| {
        let low = main.arena.at.saturating_sub(distance).max(home.start.0);
        let low = low.saturating_add(low.wrapping_neg() % w).min(main.arena.at);
        let high = main.arena.at.saturating_add(distance).min(home.end.0);
        let below = (1..=(main.arena.at - low) / w).map(move |words| main.arena.at - words * w);
        below.chain((0..(high - main.arena.at) / w).map(move |words| main.arena.at + words * w))
    };
    // On i386 the rows before and since 2.35 are the same but for their start: read three words too low, `arena_test` is
    // `trim_threshold`. So a small one is looked for first; the user may have set it to anything.
    [PAGE, 1 << 20].into_iter().find_map(|most| {
        let at_one = |layout| reach(0x4000).find_map(|at| par_at(memory, main, layout, at, most));
        main.layout.par_layouts().find_map(at_one)
    })
}

/// Reads `mp_` at a known address.
pub(super) fn par_at_known_address(memory: &dyn MemoryReader, main: &MainArena, at: Avma) -> Option<Par> {
    main.layout.par_layouts().find_map(|layout| par_at(memory, main, layout, at.0, 1 << 20))
}

fn par_at(memory: &dyn MemoryReader, main: &MainArena, layout: ParLayout, at: u64, most_test: u64) -> Option<Par> {
    let arena_layout = &main.layout;
    let w = arena_layout.w();
    let word = |offset: u64| memory.word(Avma(at + offset)).ok();
    let int = |offset: u64| memory.u32(Avma(at + offset)).ok().map(u64::from);
    let sbrk_base = word(layout.sbrk_base)?;
    let contiguous_start = || {
        let size = memory.word(Avma(main.arena.top.wrapping_add(w))).ok()? & !super::chain::FLAG_BITS;
        main.arena.top.wrapping_add(size).checked_sub(main.arena.system_mem)
    };
    let base_fits = if sbrk_base == 0 {
        main.arena.flags & super::layout::NONCONTIGUOUS != 0 || main.arena.is_unused(arena_layout)
    } else {
        contiguous_start() == Some(sbrk_base)
            || main.arena.flags & super::layout::NONCONTIGUOUS != 0 && memory.word(Avma(sbrk_base & !7)).is_ok()
    };
    let [n_mmaps, n_mmaps_max, max_n_mmaps, no_dyn] = [0, 4, 8, 12].map(|offset| int(layout.n_mmaps + offset));
    let (mmapped_mem, max_mmapped_mem) = (word(layout.mmapped_mem)?, word(layout.mmapped_mem + w)?);
    let exact_bytes = arena_layout.mmapped_extra == 0;
    let counts_fit = n_mmaps? <= max_n_mmaps? && max_n_mmaps? <= n_mmaps_max? && no_dyn? <= 1;
    let bytes_fit = mmapped_mem <= max_mmapped_mem
        && (n_mmaps? == 0) == (mmapped_mem == 0)
        && (!exact_bytes || mmapped_mem.is_multiple_of(PAGE) && max_mmapped_mem.is_multiple_of(PAGE));
    let arenas_fit = word(layout.arena_test)? < most_test && word(layout.arena_test + w)? <= 1 << 32;
    let [bins, max_bytes, count] = [0, 1, 2].map(|index| layout.tcache.and_then(|tcache| word(tcache + index * w)));
    let tcache_fits = layout.tcache.is_none()
        || bins? <= 128 && bins? > 0 && max_bytes? <= 1 << 23 && max_bytes? > 0 && count? <= 0xffff;
    (base_fits && counts_fit && (bytes_fit || !exact_bytes) && arenas_fit && tcache_fits).then_some(Par {
        at,
        layout,
        n_mmaps: n_mmaps?,
        mmapped_mem,
        sbrk_base,
        tcache_count: count,
    })
}
