//! One main arena into regions of chunks: its own runs, the heaps of the other arenas, mmapped chunks.

use super::arena::{Arena, HeapInfo, Ring, heaps};
use super::chain::{Headers, Prober, Run, RunKind, Stop, walk};
use super::claims::unclaimed;
use super::layout::{ArenaLayout, NONCONTIGUOUS};
use super::locate::{MainArena, Par};
use super::{mmapped, tcache};
use crate::base::{AddrRange, Avma, Problem, ProblemKind, Severity};
use crate::heap::chunk_table::{RawRegion, RegionBuilder};
use crate::heap::{ArenaId, Check, MetadataRange, Place};
use crate::image::memory::MemoryReader;
use rayon::prelude::*;

/// What a walk of one arena, or of all, has found.
#[derive(Default)]
pub(super) struct Walked {
    /// Regions of chunks.
    pub(super) regions: Vec<RawRegion>,
    /// Memory taken: regions with their headers, fenceposts included.
    pub(super) claims: Vec<AddrRange>,
    /// Bookkeeping.
    pub(super) metadata: Vec<MetadataRange>,
    /// Chunk addresses of used chunks that have the size of a thread cache.
    pub(super) tcache_candidates: Vec<u64>,
    /// Damage.
    pub(super) problems: Vec<Problem>,
    /// Self-checks.
    pub(super) checks: Vec<Check>,
    /// Bytes of the arena that were accounted for, for its check against `system_mem`.
    pub(super) system_bytes: u64,
}

impl Walked {
    /// Adds what another walk found.
    pub(super) fn extend(&mut self, other: Self) {
        self.regions.extend(other.regions);
        self.claims.extend(other.claims);
        self.metadata.extend(other.metadata);
        self.tcache_candidates.extend(other.tcache_candidates);
        self.problems.extend(other.problems);
        self.checks.extend(other.checks);
        self.system_bytes += other.system_bytes;
    }
}

/// What every walk needs to know.
#[derive(Clone, Copy)]
pub(super) struct Walker<'a> {
    pub(super) memory: &'a dyn MemoryReader,
    pub(super) layout: ArenaLayout,
    /// Chunks start at multiples of `1 << shift`.
    pub(super) shift: u32,
    /// Merged anonymous writable memory.
    pub(super) stretches: &'a [AddrRange],
}

const PAGE: u64 = 4096;

/// Regions that one damaged run may fall into: enough for any real damage, and a bound for hostile cores.
const MAX_RESUMES: usize = 1000;

impl Walker<'_> {
    /// Walks one run, resuming behind damage at the next sound header. `anchors` are known free chunks (sorted), asked
    /// for only when there is damage. Returns where the run ended.
    fn run(&self, run: Run, arena: ArenaId, name: &str, anchors: &dyn Fn() -> Vec<u64>, walked: &mut Walked) -> Stop {
        let mut headers = Headers::new(self.memory, self.layout);
        let mut run = run;
        let (mut known, mut resumes) = (None, 0);
        loop {
            let header = self.layout.header();
            let user = Avma(run.start.wrapping_add(header));
            let mut region = RegionBuilder::new(user, Some(arena), self.layout.w() as u32, self.shift);
            let layout = self.layout;
            let candidates = &mut walked.tcache_candidates;
            let stop = walk(&mut headers, &run, &mut region, |chunk, size| {
                if tcache::may_hold(&layout, size) {
                    candidates.push(chunk);
                }
            });
            let (bad, why) = match stop {
                Stop::Top(end) | Stop::Fencepost(end) => {
                    self.finish(region, end, walked);
                    return stop;
                }
                Stop::Bad { chunk, size_word } => (chunk, format!("{name}: size word {size_word:#x} cannot be one")),
                Stop::Unreadable { chunk } => (chunk, format!("{name}: the core has no bytes for this chunk's header")),
            };
            let missing = matches!(stop, Stop::Unreadable { .. });
            let anchors = known.get_or_insert_with(anchors);
            resumes += 1;
            let resume = if resumes > MAX_RESUMES { None } else { self.resume(&mut headers, &run, bad, anchors) };
            let kind = if missing { ProblemKind::NotDumped } else { ProblemKind::Corruption };
            let lost = resume.unwrap_or(run.limit).saturating_sub(bad);
            let rest = if resume.is_some() { "the walk goes on behind" } else { "the rest of this run is not walked" };
            let text = format!("{why}; {lost} bytes are not walked, {rest}");
            walked.problems.push(Problem::new(Severity::Error, kind, text).at(Avma(bad)));
            let end = resume.unwrap_or_else(|| self.readable_end(bad, run.limit));
            if end > bad {
                region.push(Avma(bad.wrapping_add(header)), Place::Unwalked);
            }
            self.finish(region, end, walked);
            match resume {
                Some(start) => run.start = start,
                None => return stop,
            }
        }
    }

    fn finish(&self, region: RegionBuilder, end: u64, walked: &mut Walked) {
        let region = region.finish(Avma(end.saturating_add(self.layout.header())));
        let start = region.range().start.wrapping_sub(self.layout.header());
        walked.claims.push(AddrRange::new(start, Avma(end)));
        walked.system_bytes += end.saturating_sub(start.0);
        walked.regions.push(region);
    }

    fn resume(&self, headers: &mut Headers<'_>, run: &Run, bad: u64, anchors: &[u64]) -> Option<u64> {
        // The next free chunk on a list is certain; a run that leads to it is as good.
        let next = anchors.partition_point(|&anchor| anchor <= bad);
        let until = anchors.get(next).copied().unwrap_or(run.limit).min(run.limit);
        let from = bad + self.layout.align;
        let mut prober = Prober::new(headers);
        let found = prober.first_sound(from, until, run, anchors);
        found.or_else(|| anchors.get(next).copied().filter(|&anchor| anchor < run.limit))
    }

    fn readable_end(&self, from: u64, limit: u64) -> u64 {
        match self.memory.borrow(Avma(from), limit.saturating_sub(from)) {
            Some(run) => from + run.len() as u64,
            None => from,
        }
    }

    /// All heaps of an arena other than the main one.
    pub(super) fn other_arena(&self, arena: &Arena, id: ArenaId) -> Walked {
        let mut walked = Walked::default();
        let name = format!("arena {}", id.0);
        let (heaps, problem) = heaps(self.memory, &self.layout, arena);
        if let Some((at, text)) = problem {
            walked.problems.push(Problem::new(Severity::Error, ProblemKind::Corruption, text).at(Avma(at)));
        }
        let anchors = || self.list_nodes(arena);
        for heap in &heaps {
            self.heap(arena, heap, id, &name, &anchors, &mut walked);
        }
        let sum = heaps.iter().map(|heap| heap.size).sum();
        walked.checks.push(Check {
            name: format!("{name} system_mem"),
            found: sum,
            expected: arena.system_mem,
            bytes: true,
        });
        walked
    }

    fn heap(
        &self,
        arena: &Arena,
        heap: &HeapInfo,
        id: ArenaId,
        name: &str,
        anchors: &dyn Fn() -> Vec<u64>,
        walked: &mut Walked,
    ) {
        let end = heap.base.saturating_add(heap.size);
        walked.metadata.push(MetadataRange(AddrRange::new(Avma(heap.base), Avma(heap.first_chunk))));
        walked.claims.push(AddrRange::new(Avma(heap.base), Avma(end)));
        let run = Run { start: heap.first_chunk, limit: end, top: arena.top, kind: RunKind::Heap };
        self.run(run, id, name, anchors, walked);
    }

    /// The main arena: the program break from `sbrk_base` on, with gaps where others moved the break, then mappings that
    /// replaced it.
    pub(super) fn main_arena(
        &self,
        main: &MainArena,
        par: Option<&Par>,
        id: ArenaId,
        claims: &mut Vec<AddrRange>,
    ) -> Walked {
        let mut walked = Walked::default();
        let arena = &main.arena;
        walked.metadata.push(MetadataRange(arena.range(&self.layout)));
        if arena.is_unused(&self.layout) {
            return walked;
        }
        let anchors = || self.list_nodes(arena);
        let gaps = self.break_runs(main, par, id, &anchors, &mut walked);
        let name = id_name(id);
        if walked.system_bytes + gaps != arena.system_mem || arena.flags & NONCONTIGUOUS != 0 {
            claims.extend(&walked.claims);
            for stretch in unclaimed(self.stretches, claims) {
                self.mapped_runs(stretch, arena, id, &name, &anchors, &mut walked);
            }
        }
        if main.break_start.is_none() {
            walked.checks.push(Check {
                name: format!("{name} system_mem"),
                found: walked.system_bytes + gaps,
                expected: arena.system_mem,
                bytes: true,
            });
        }
        walked
    }

    /// The runs in the program break. Returns the bytes of gaps between them, which `system_mem` counts too.
    fn break_runs(
        &self,
        main: &MainArena,
        par: Option<&Par>,
        id: ArenaId,
        anchors: &dyn Fn() -> Vec<u64>,
        walked: &mut Walked,
    ) -> u64 {
        let arena = &main.arena;
        let Some((start, base)) = self.break_start(main, par) else { return 0 };
        let Some(stretch) = self.stretches.iter().find(|stretch| stretch.contains(Avma(start))) else { return 0 };
        let name = id_name(id);
        // What was lost to alignment at the start of the break counts as memory from the system too.
        let mut gaps = start - base;
        let mut run = Run { start, limit: stretch.end.0, top: arena.top, kind: RunKind::Main };
        while let Stop::Fencepost(end) = self.run(run, id, &name, anchors, walked) {
            let mut headers = Headers::new(self.memory, self.layout);
            let next = Prober::new(&mut headers).first_sound(end, run.limit, &run, &[]);
            let Some(next) = next.filter(|_| arena.top >= end && arena.top < run.limit) else {
                gaps += end.wrapping_neg() % self.layout.align;
                break;
            };
            gaps += next - end;
            run.start = next;
        }
        gaps
    }

    /// Where the main arena's first chunk in the break is, and where its memory began.
    fn break_start(&self, main: &MainArena, par: Option<&Par>) -> Option<(u64, u64)> {
        if let Some(start) = main.break_start {
            return Some((start, start));
        }
        let arena = &main.arena;
        if let Some(par) = par {
            return (par.sbrk_base != 0).then(|| (self.layout.chunk_at_or_above(par.sbrk_base), par.sbrk_base));
        }
        let size = self.memory.word(Avma(arena.top.wrapping_add(self.layout.w()))).ok()? & !super::chain::FLAG_BITS;
        let base = arena.top.checked_add(size)?.checked_sub(arena.system_mem)?;
        Some((self.layout.chunk_at_or_above(base), base))
    }

    /// Runs of the main arena in mappings of at least 1 MiB, which replace the break where it cannot grow: page aligned
    /// at both ends, ending at the top or at a double fencepost.
    ///
    /// False positive: a program's own page-aligned buffer that holds a copy of such a run.
    fn mapped_runs(
        &self,
        stretch: AddrRange,
        arena: &Arena,
        id: ArenaId,
        name: &str,
        anchors: &dyn Fn() -> Vec<u64>,
        walked: &mut Walked,
    ) {
        let mut headers = Headers::new(self.memory, self.layout);
        let Some(mut page) = stretch.start.align_up(PAGE) else { return };
        while page < stretch.end {
            let start = self.layout.chunk_at_or_above(page.0);
            let run = Run { start, limit: stretch.end.0, top: arena.top, kind: RunKind::Main };
            if let Some(end) = self.mapped_run_end(&mut headers, &run) {
                self.run(run, id, name, anchors, walked);
                // What alignment cost at both ends is memory from the system too.
                let Some(next) = end.checked_next_multiple_of(PAGE) else { break };
                walked.system_bytes += (start - page.0) + (next - end);
                page = Avma(next);
                continue;
            }
            match self.memory.next_present(page.wrapping_add(PAGE)).and_then(|at| at.align_up(PAGE)) {
                Some(next) if next > page => page = next,
                _ => break,
            }
        }
    }

    fn mapped_run_end(&self, headers: &mut Headers<'_>, run: &Run) -> Option<u64> {
        let first = headers.size_word(run.start)?;
        let possible = first & super::chain::FLAG_BITS == super::chain::PREV_INUSE
            && first & !super::chain::FLAG_BITS >= self.layout.min_chunk();
        if !possible && run.start != run.top {
            return None;
        }
        let mut quiet = RegionBuilder::new(Avma(run.start + self.layout.header()), None, 0, self.shift);
        match walk(headers, run, &mut quiet, |_, _| {}) {
            // On i386 the fencepost is rounded down to the alignment.
            Stop::Top(end) | Stop::Fencepost(end) => (end.wrapping_neg() % PAGE < self.layout.align).then_some(end),
            _ => None,
        }
    }

    /// Mmapped chunks in all memory that nothing has claimed.
    ///
    /// `expected` is the allocator's own count and bytes: where more was found, a page of other data looks like a header.
    pub(super) fn mmapped(&self, claims: &mut [AddrRange], expected: Option<(u64, u64)>) -> (Walked, u64, u64) {
        let stretches = unclaimed(self.stretches, claims);
        let found: Vec<mmapped::Mmapped> =
            stretches.par_iter().flat_map_iter(|&stretch| mmapped::find(self.memory, &self.layout, stretch)).collect();
        let found = expected.map(|expected| mmapped::without_fakes(&found, &stretches, expected)).unwrap_or(found);
        let bytes = found.iter().map(|chunk| chunk.mapping.len()).sum();
        let mut walked = Walked::default();
        for chunk in &found {
            let region = chunk.region(&self.layout, self.shift);
            // The words before the user address are the allocator's.
            let head = AddrRange::new(chunk.mapping.start, region.range().start);
            walked.metadata.push(MetadataRange(head));
            walked.claims.push(chunk.mapping);
            walked.regions.push(region);
        }
        (walked, found.len() as u64, bytes)
    }

    /// Chunks on the bins of an arena, by their links alone, sorted: anchors for a walk that met damage.
    fn list_nodes(&self, arena: &Arena) -> Vec<u64> {
        const MAX_NODES: usize = 1 << 20;
        let w = self.layout.w();
        let mut nodes = Vec::new();
        for (_, head) in arena.bin_heads(&self.layout) {
            let mut at = head;
            while let Ok(next) = self.memory.word(Avma(at.wrapping_add(2 * w))) {
                let sound = self.memory.word(Avma(next.wrapping_add(3 * w))) == Ok(at);
                if next == head || !sound || nodes.len() >= MAX_NODES {
                    break;
                }
                nodes.push(next);
                at = next;
            }
        }
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

/// All arenas of a ring in parallel, and then mmapped chunks; ids count up from `first_id` in ring order.
pub(super) fn walk_all(
    walker: &Walker<'_>,
    main: &MainArena,
    par: Option<&Par>,
    ring: &Ring,
    first_id: u32,
    claims: Vec<AddrRange>,
) -> Walked {
    let others: Vec<Walked> = ring.arenas[1..]
        .par_iter()
        .enumerate()
        .map(|(index, arena)| walker.other_arena(arena, ArenaId(first_id + 1 + index as u32)))
        .collect();
    let mut claims = claims;
    claims.extend(others.iter().flat_map(|walked| &walked.claims));
    let mut all = walker.main_arena(main, par, ArenaId(first_id), &mut claims);
    all.system_bytes = 0;
    for walked in others {
        all.extend(walked);
    }
    all
}

fn id_name(id: ArenaId) -> String {
    if id.0 == 0 { "main arena".to_owned() } else { format!("main arena (arena {})", id.0) }
}
