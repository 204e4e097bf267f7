//! Memory that is free and not given back: where the allocators hold it, what keeps it, and which call returns it.
//!
//! A process at 14 GB may use 4 and hold 10 as free pages: no leak, and another remedy. Pages count as held when the core
//! has a byte in them that is not zero: pages that were never touched or were given back read as zeros, so the figure is
//! a lower bound of what is resident.

use crate::base::{AddrRange, Avma};
use crate::heap::{ArenaId, Chunk, ChunkTable, Heap, Place, State, Totals};
use crate::image::memory::{MemoryReader, pieces};
use rayon::prelude::*;

/// Who has memory of the heap, in words that fit every allocator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Holding {
    /// The program.
    InUse,
    /// Free, in caches that one thread each has.
    ThreadCaches,
    /// Free, in bins and lists that threads share: pieces of pages that have used neighbours.
    Lists,
    /// Free, in whole pages that hold old contents.
    HeldPages,
    /// Free, in whole pages without contents: given back, or never touched.
    GivenBack,
    /// Headers, padding and the allocator's own structures.
    Metadata,
}

impl Holding {
    /// All, in the order of reports.
    pub const ALL: [Self; 6] =
        [Self::InUse, Self::ThreadCaches, Self::Lists, Self::HeldPages, Self::GivenBack, Self::Metadata];

    /// The keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InUse => "in-use",
            Self::ThreadCaches => "thread-caches",
            Self::Lists => "lists",
            Self::HeldPages => "held-pages",
            Self::GivenBack => "given-back",
            Self::Metadata => "metadata",
        }
    }

    /// Where chunks of a place belong; `None` when whole pages inside them are looked at first.
    fn of(place: Place) -> Option<Self> {
        Some(match place {
            Place::Tcache => Self::ThreadCaches,
            Place::SlabFree | Place::Central | Place::Transfer => Self::Lists,
            Place::Returned | Place::Retained => Self::GivenBack,
            Place::Fencepost | Place::Padding | Place::Unwalked => Self::Metadata,
            Place::Fastbin
            | Place::Unsorted
            | Place::Smallbin
            | Place::Largebin
            | Place::Unlisted
            | Place::Top
            | Place::PageHeap
            | Place::Dirty
            | Place::Muzzy => return None,
            Place::Arena | Place::Mmapped | Place::Slab | Place::Extent | Place::Span => Self::InUse,
        })
    }
}

/// A call or setting that gives memory back, with an estimate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GiveBack {
    /// As it is written in a program, or as a variable of the environment.
    pub call: &'static str,
    /// Bytes that would go back to the system.
    pub bytes: u64,
    /// What the estimate rests on.
    pub basis: &'static str,
}

/// A few used chunks at the end of a heap that keep all below them from going back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pin {
    /// The arena.
    pub arena: Option<ArenaId>,
    /// The last used chunk.
    pub last: Chunk,
    /// How many used chunks there are from the first of them on, and their bytes.
    pub used: Totals,
    /// Bytes from the end of what is really in use to the last of them.
    pub pinned: u64,
}

/// Where the heap's memory is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Retention {
    /// Chunks and bytes by [`Holding`], in the order of [`Holding::ALL`].
    pub rows: [Totals; Holding::ALL.len()],
    /// Held pages by the place of the first chunk around them.
    held_by: Vec<(Place, u64)>,
    /// Held pages in glibc's arenas other than the main one.
    in_other_arenas: u64,
    /// The longest free stretch: where, and its bytes.
    pub biggest: Option<(Avma, u64)>,
    /// The worst pins, the one that holds most first.
    pub pins: Vec<Pin>,
}

/// Where glibc has free chunks that `malloc_trim` merges with their free neighbours.
const GLIBC: [Place; 6] =
    [Place::Fastbin, Place::Unsorted, Place::Smallbin, Place::Largebin, Place::Unlisted, Place::Top];
/// Bytes between the usable ones of two neighbours, at most.
const HEADER: u64 = 16;
/// Pages are given back in these units.
const PAGE: u64 = 4096;
/// Free chunks of one parallel step.
const STEP: usize = 1024;
/// Used bytes among pinned ones: one part in so many at most.
const SPARSE: u64 = 100;
/// Fewer pinned bytes are not worth a line.
const LEAST_PINNED: u64 = 1 << 20;
/// So many pins are told.
const MOST_PINS: usize = 3;
/// Part of the heap that is held as free before it is a suspect, and bytes.
const STANDS_OUT: f64 = 1.0 / 3.0;
const STANDS_OUT_BYTES: u64 = 4 << 20;

impl Retention {
    /// Of all walked allocators. `used` are all used chunks.
    pub fn of(heap: &Heap, memory: &dyn MemoryReader, used: Totals) -> Self {
        let chunks = &heap.chunks;
        let mut found = Self::default();
        found.add(Holding::InUse, used);
        let is_first = first_arenas(heap);
        let mut with_pages = Vec::new();
        for place in Place::ALL.into_iter().filter(|place| place.state() != State::Used) {
            match Holding::of(place) {
                Some(holding) => found.add(holding, totals(chunks.at_place(place))),
                None => with_pages.extend(chunks.at_place(place)),
            }
        }
        found.add_pages(&runs(with_pages), memory, &is_first);
        let regions: u64 = chunks.regions().iter().map(|region| region.range.len()).sum();
        let metadata: u64 = heap.metadata.iter().map(|part| part.0.len()).sum();
        let counted: u64 = found.rows.iter().map(|row| row.bytes).sum();
        found.rows[Holding::Metadata as usize].bytes += (regions + metadata).saturating_sub(counted);
        found.pins = pins(chunks);
        found
    }

    fn add(&mut self, holding: Holding, more: Totals) {
        let row = &mut self.rows[holding as usize];
        row.chunks += more.chunks;
        row.bytes += more.bytes;
    }

    /// Free memory that may have whole pages inside.
    fn add_pages(&mut self, runs: &[Run], memory: &dyn MemoryReader, is_first: &[bool]) {
        let parts: Vec<(u64, u64)> =
            runs.par_iter().with_min_len(STEP).map(|run| whole_pages(memory, run.range)).collect();
        for (run, (held, empty)) in runs.iter().zip(parts) {
            let most = if held > 0 {
                Holding::HeldPages
            } else if empty > 0 {
                Holding::GivenBack
            } else {
                Holding::Lists
            };
            self.rows[most as usize].chunks += run.chunks;
            self.rows[Holding::HeldPages as usize].bytes += held;
            self.rows[Holding::GivenBack as usize].bytes += empty;
            self.rows[Holding::Lists as usize].bytes += run.range.len() - held - empty;
            let is_other = run.first.arena.is_some_and(|id| is_first.get(id.0 as usize) == Some(&false));
            if is_other && GLIBC.contains(&run.first.place) {
                self.in_other_arenas += held;
            }
            if self.biggest.is_none_or(|(_, biggest)| biggest < run.range.len()) {
                self.biggest = Some((run.range.start, run.range.len()));
            }
            match self.held_by.iter_mut().find(|(place, _)| *place == run.first.place) {
                Some((_, bytes)) => *bytes += held,
                None => self.held_by.push((run.first.place, held)),
            }
        }
    }

    /// One row.
    pub fn row(&self, holding: Holding) -> Totals {
        self.rows[holding as usize]
    }

    /// Free and not given back.
    pub fn held(&self) -> Totals {
        let rows = [Holding::ThreadCaches, Holding::Lists, Holding::HeldPages].map(|holding| self.row(holding));
        Totals { chunks: rows.iter().map(|row| row.chunks).sum(), bytes: rows.iter().map(|row| row.bytes).sum() }
    }

    /// Used, free and not given back.
    pub fn resident(&self) -> u64 {
        self.row(Holding::InUse).bytes + self.held().bytes
    }

    /// Whether a third of the heap is held as free, and enough of it to be worth a look.
    pub fn stands_out(&self) -> bool {
        let held = self.held().bytes;
        held >= STANDS_OUT_BYTES && held as f64 > self.resident() as f64 * STANDS_OUT
    }

    /// What would give memory back, the call that gives most first.
    pub fn give_back(&self) -> Vec<GiveBack> {
        let held = |places: &[Place]| {
            self.held_by.iter().filter(|(place, _)| places.contains(place)).map(|(_, bytes)| bytes).sum::<u64>()
        };
        let mut all = vec![
            // glibc malloc/malloc.c, mtrim: whole pages inside free chunks, after malloc_consolidate, since 2.8; and the top.
            GiveBack {
                call: "malloc_trim(0)",
                bytes: held(&GLIBC),
                basis: "whole pages of free neighbours in fastbins, bins and tops",
            },
            GiveBack {
                call: "MALLOC_ARENA_MAX=1",
                bytes: self.in_other_arenas,
                basis: "whole free pages of arenas other than the main one, which it could have used again",
            },
            // gperftools src/page_heap.cc, ReleaseAtLeastNPages.
            GiveBack {
                call: "MallocExtension::instance()->ReleaseFreeMemory()",
                bytes: held(&[Place::PageHeap]),
                basis: "free spans of the page heap that were not given back",
            },
            // jemalloc src/arena.c, arena_decay: all dirty and muzzy pages.
            GiveBack {
                call: "mallctl(\"arena.4096.purge\")",
                bytes: held(&[Place::Dirty, Place::Muzzy]),
                basis: "dirty and muzzy pages of all arenas",
            },
        ];
        all.retain(|way| way.bytes >= PAGE);
        all.sort_by_key(|way| std::cmp::Reverse(way.bytes));
        all
    }
}

/// Free chunks side by side.
struct Run {
    first: Chunk,
    chunks: u64,
    range: AddrRange,
}

/// Merges glibc's free neighbours, as `malloc_trim` does (glibc `malloc/malloc.c`, `malloc_consolidate`): fastbins are
/// full of small chunks that make whole pages together. What other allocators have are pages already.
fn runs(mut free: Vec<Chunk>) -> Vec<Run> {
    free.sort_unstable_by_key(|chunk| chunk.id);
    let mut runs: Vec<Run> = Vec::new();
    let mut last = None;
    for chunk in free {
        match runs.last_mut() {
            Some(run)
                if last.is_some_and(|last: Chunk| last.id.0 + 1 == chunk.id.0)
                    && run.first.arena == chunk.arena
                    && chunk.user.0 - run.range.end.0 <= HEADER
                    && GLIBC.contains(&chunk.place) =>
            {
                run.chunks += 1;
                run.range.end = chunk.range().end;
            }
            _ => runs.push(Run { first: chunk, chunks: 1, range: chunk.range() }),
        }
        last = Some(chunk);
    }
    runs
}

fn totals(chunks: impl Iterator<Item = Chunk>) -> Totals {
    chunks.fold(Totals::default(), |sum, chunk| Totals { chunks: sum.chunks + 1, bytes: sum.bytes + chunk.usable })
}

/// By arena id: whether it is the first one of its allocator.
fn first_arenas(heap: &Heap) -> Vec<bool> {
    let mut is_first = Vec::new();
    for allocator in &heap.allocators {
        for (index, arena) in allocator.arenas.iter().enumerate() {
            let at = arena.id.0 as usize;
            is_first.resize(is_first.len().max(at + 1), false);
            is_first[at] = index == 0;
        }
    }
    is_first
}

/// Bytes of whole pages with contents, and without.
fn whole_pages(memory: &dyn MemoryReader, range: AddrRange) -> (u64, u64) {
    let Some(first) = range.start.align_up(PAGE) else { return (0, 0) };
    let end = Avma(range.end.0 / PAGE * PAGE);
    if first >= end {
        return (0, 0);
    }
    let mut held = 0;
    for (_, bytes) in pieces(memory, AddrRange::new(first, end)) {
        let has_contents = |page: &&[u8]| page.iter().any(|&byte| byte != 0);
        held += bytes.chunks(PAGE as usize).filter(has_contents).count() as u64 * PAGE;
    }
    let all = end.0 - first.0;
    (held.min(all), all - held.min(all))
}

/// From the end of each region down, as far as used chunks are sparse.
fn pins(chunks: &ChunkTable) -> Vec<Pin> {
    let mut found: Vec<Pin> = chunks
        .regions()
        .iter()
        .filter(|region| region.range.len() >= LEAST_PINNED && region.ids().len() > 1)
        .filter_map(|region| {
            let most = region.range.len() / SPARSE;
            let (mut used, mut last, mut pin): (Totals, Option<Chunk>, Option<Pin>) = Default::default();
            for id in region.ids().rev() {
                let chunk = chunks.get(crate::heap::ChunkId(id));
                if chunk.place.state() == State::Used {
                    last = last.or(Some(chunk));
                    used.chunks += 1;
                    used.bytes += chunk.usable;
                }
                if used.bytes > most {
                    break;
                }
                // What lies above the last used chunk goes back without help.
                let Some(last) = last else { continue };
                let pinned = last.user.0 - chunk.user.0;
                if chunk.place.state() == State::Free && used.bytes * SPARSE <= pinned {
                    pin = Some(Pin { arena: region.arena, last, used, pinned });
                }
            }
            pin.filter(|pin| pin.pinned >= LEAST_PINNED)
        })
        .collect();
    found.sort_by_key(|pin| (std::cmp::Reverse(pin.pinned), pin.last.user));
    found.truncate(MOST_PINS);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing::Toy;

    fn retention(places: &[(u64, Place)]) -> Retention {
        let toy = Toy::with_places(places);
        let used = totals(toy.heap.chunks.iter().filter(|chunk| chunk.place.state() == State::Used));
        Retention::of(&toy.heap, &toy.memory, used)
    }

    #[test]
    fn every_place_has_a_row() {
        for place in Place::ALL {
            let found = retention(&[(0x3ff8, place), (0x18, Place::Arena)]);
            let all: u64 = found.rows.iter().map(|row| row.bytes).sum();
            assert!(all >= 0x3ff8 + 0x18, "{place}: {found:?}");
            assert_eq!(found.row(Holding::InUse).chunks, 1 + u64::from(place.state() == State::Used), "{place}");
        }
    }

    #[test]
    fn pages_without_contents_are_not_held() {
        let found = retention(&[(0x9ff8, Place::Top), (0x18, Place::Arena)]);
        assert_eq!(found.row(Holding::HeldPages).bytes, 0);
        assert!(found.row(Holding::GivenBack).bytes >= 0x8000, "{found:?}");
        assert!(!found.stands_out());
    }

    #[test]
    fn small_neighbours_in_fastbins_make_whole_pages_together() {
        let mut places = vec![(0x68, Place::Fastbin); 200];
        places.push((0x18, Place::Arena));
        let mut toy = Toy::with_places(&places);
        for chunk in 0..200 {
            toy.set(chunk, 0, 1);
        }
        let found = Retention::of(&toy.heap, &toy.memory, Totals { chunks: 1, bytes: 0x18 });
        assert_eq!(found.row(Holding::HeldPages), Totals { chunks: 200, bytes: 4 * PAGE });
        let [way] = &found.give_back()[..] else { panic!("{:?}", found.give_back()) };
        assert_eq!((way.call, way.bytes), ("malloc_trim(0)", 4 * PAGE));
    }

    #[test]
    fn a_small_chunk_at_the_end_pins_all_below() {
        let found = retention(&[(0x18, Place::Arena), (0x80_0008, Place::Largebin), (0x28, Place::Arena)]);
        let [pin] = found.pins[..] else { panic!("{:?}", found.pins) };
        assert_eq!((pin.last.usable, pin.used.chunks), (0x28, 1));
        assert!(pin.pinned >= 0x80_0000);
        assert_eq!(retention(&[(0x18, Place::Arena), (0x80_0008, Place::Top)]).pins, [], "the top goes back by itself");
    }
}
