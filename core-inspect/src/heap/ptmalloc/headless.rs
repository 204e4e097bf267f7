//! A heap whose main arena the core does not hold (a cut core loses the libraries' data first): chunks by their chains
//! alone, the other arenas by the `heap_info` at the start of each heap.
//!
//! What only the main arena knows stays unknown: its bins (free chunks show by their headers, without a list) and its
//! fastbins (such chunks count as used). The findings say so.

use super::arena::{Arena, Ring};
use super::chain::{FLAG_BITS, Headers, Prober, Run, RunKind, Stop, walk};
use super::layout::{ArenaLayout, arena_layouts};
use super::locate::MainArena;
use super::{Instance, Known, claims};
use crate::base::{AddrRange, Avma, Evidence, Problem, ProblemKind, Severity};
use crate::heap::chunk_table::RegionBuilder;
use crate::image::memory::{MemoryReader, pieces};
use crate::process::{MappingKind, Process};

/// The first chunk of the break is this near to its start, in bytes.
const START_SEARCH: u64 = 1 << 16;

/// What can be walked without a main arena, if the core lacks the memory that would hold it.
pub(super) fn find(process: &Process, memory: &dyn MemoryReader, known: &[Known]) -> Option<Instance> {
    let present = |range| pieces(memory, range).map(|(_, run)| run.len() as u64).sum::<u64>();
    let is_missing = |range: AddrRange| present(range) < range.len();
    let lacks_data = process.modules.is_empty() || process.modules.iter().any(|m| m.writable().any(is_missing));
    if !lacks_data {
        return None;
    }
    let version = known.iter().find_map(|known| known.version.clone());
    let layout = layout(memory, version.as_deref())?;
    let others = other_arenas(process, memory, &layout);
    let main = main(process, memory, layout);
    if others.is_empty() && main.break_start.is_none() {
        return None;
    }
    let arenas = std::iter::once(main.arena).chain(others).collect();
    let ring = Ring { arenas, broken_at: None };
    Some(Instance { main, par: None, ring, module: None, version, first_arena: 0 })
}

/// What is unknown without the main arena.
pub(super) fn problem() -> Problem {
    let text = "main_arena is not in the core: the main arena's chunks are told by their headers alone; those in its \
                fastbins, and in thread caches that are cut off, count as used, and its free lists cannot be checked";
    Problem::new(Severity::Warning, ProblemKind::NotDumped, text)
}

/// The layout of the library's own version, else the most common one; all versions chain chunks in the same way.
fn layout(memory: &dyn MemoryReader, version: Option<&str>) -> Option<ArenaLayout> {
    let minor = |text: &str| text.strip_prefix("2.")?.parse::<u32>().ok();
    let wanted = version.and_then(minor);
    let fits = |layout: &ArenaLayout| {
        let (first, last) = layout.versions.split_once('-').unwrap_or((layout.versions, layout.versions));
        wanted.is_some_and(|wanted| minor(first) <= Some(wanted) && Some(wanted) <= minor(last))
    };
    let mut layouts = arena_layouts(memory.word_size());
    let first = layouts.next()?;
    Some(std::iter::once(first).chain(layouts).find(fits).unwrap_or(first))
}

fn main(process: &Process, memory: &dyn MemoryReader, layout: ArenaLayout) -> MainArena {
    let run = process.mappings.iter().filter(|mapping| mapping.kind == MappingKind::Brk).find_map(|mapping| {
        let stretches = claims::anonymous(process);
        let limit = stretches.iter().find(|stretch| stretch.contains(mapping.range.start))?.end;
        break_run(memory, layout, AddrRange::new(mapping.range.start, limit))
    });
    let (break_start, top) = run.unzip();
    let arena = Arena {
        at: 0,
        flags: 0,
        top: top.unwrap_or(0),
        next: 0,
        attached_threads: None,
        system_mem: u64::from(break_start.is_some()),
        max_system_mem: 0,
    };
    let evidence_text = "main_arena is not in the core; chains of chunk headers".to_owned();
    MainArena { arena, layout, evidence: Evidence::Structure, evidence_text, break_start }
}

/// Where the chain in the break starts, and its top chunk (0 when that is cut off).
fn break_run(memory: &dyn MemoryReader, layout: ArenaLayout, range: AddrRange) -> Option<(u64, u64)> {
    let mut headers = Headers::new(memory, layout);
    let run = |start| Run { start, limit: range.end.0, top: 0, kind: RunKind::Main };
    let until = range.end.0.min(range.start.0.saturating_add(START_SEARCH));
    let start = Prober::new(&mut headers).first_sound(range.start.0, until, &run(range.start.0), &[])?;
    let mut quiet = RegionBuilder::new(Avma(start + layout.header()), None, 0, 3);
    let top = match walk(&mut headers, &run(start), &mut quiet, |_, _| {}) {
        // Without a known top, the chunk that ends exactly where the break ends is it.
        Stop::Bad { chunk, size_word } if chunk.wrapping_add(size_word & !FLAG_BITS) == range.end.0 => chunk,
        _ => 0,
    };
    Some((start, top))
}

/// Arenas that name themselves: a mapping that starts with a `heap_info` whose arena lies right behind it.
fn other_arenas(process: &Process, memory: &dyn MemoryReader, layout: &ArenaLayout) -> Vec<Arena> {
    let w = layout.w();
    let at_start = |stretch: &AddrRange| {
        let at = memory.word(stretch.start).ok()?;
        let behind = [4 * w, 6 * w].iter().any(|size| at.wrapping_sub(stretch.start.0) == *size);
        let arena = behind.then(|| Arena::read(memory, layout, at)).flatten()?;
        arena.is_plausible(layout).then_some(arena)
    };
    let loose = process.mappings.iter().filter(|mapping| mapping.writable && mapping.module.is_none());
    loose.filter_map(|mapping| at_start(&mapping.range)).collect()
}
