//! Lost chunks in groups of their like.

use super::Sources;
use crate::analysis::View;
use crate::analysis::leaks::{LeakGroup, LeakKind, groups};
use crate::graph::{Reach, Resolver};
use crate::heap::{Chunk, Totals};
use crate::report::model::{Amount, Hex, LeakRow};
use crate::types::{TypeId, TypeKind};

/// What is lost.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Leaks {
    /// Directly lost.
    pub direct: Amount,
    /// Lost through those.
    pub indirect: Amount,
    /// What the C library lost itself, with what only that holds; in none of the others.
    pub of_libc: Amount,
    /// Held only by words that are no pointers, as debug information says; in none of the others.
    pub by_types: Amount,
    /// By type, the biggest first.
    pub rows: Vec<LeakRow>,
}

/// Heads that the filter drops are of this type, which no type table has.
const DROPPED: u32 = u32::MAX;

/// The groups of those directly lost chunks for which `passes` says yes; empty when reach is not known.
pub fn leaks(sources: &Sources<'_>, passes: impl Fn(&Chunk) -> bool) -> Leaks {
    let (Some(heap), Some(graph), Some(reach)) = (sources.heap, sources.graph, sources.reach) else {
        return Leaks::default();
    };
    let resolver = Resolver::new(&heap.chunks, true);
    let view = View { memory: &sources.image.memory, resolver: &resolver, graph, reach };
    let type_of = |id| {
        let passes = passes(&heap.chunks.get(id));
        if passes { sources.types.and_then(|types| types.of(id)).map(|id| id.0) } else { Some(DROPPED) }
    };
    let mut leaks = Leaks { by_types: by_types(sources, reach, &passes), ..Leaks::default() };
    for group in groups(&view, type_of).iter().filter(|group| group.kind != LeakKind::Type(DROPPED)) {
        if is_of_libc(sources, group.kind) {
            leaks.of_libc.add_all(amount(group.direct));
            leaks.of_libc.add_all(amount(group.indirect));
            continue;
        }
        leaks.direct.add_all(amount(group.direct));
        leaks.indirect.add_all(amount(group.indirect));
        leaks.rows.push(row(sources, group));
    }
    leaks
}

/// Chunks that only words hold which are no pointers.
fn by_types(sources: &Sources<'_>, reach: &Reach, passes: impl Fn(&Chunk) -> bool) -> Amount {
    let mut lost = Amount::default();
    let (Some(heap), Some(typed)) = (sources.heap, sources.typed_reach) else { return lost };
    let kind = |id| sources.types.and_then(|types| Some(LeakKind::Type(types.of(id)?.0)));
    for chunk in heap.chunks.iter() {
        let is_lost = typed.standing(chunk.id).is_lost() && reach.standing(chunk.id).is_reachable();
        if is_lost && passes(&chunk) && !kind(chunk.id).is_some_and(|kind| is_of_libc(sources, kind)) {
            lost.add_all(Amount { chunks: 1, bytes: chunk.usable });
        }
    }
    lost
}

/// A program can neither lose nor free such: caches of threads that a fork left behind, and the like.
fn is_of_libc(sources: &Sources<'_>, kind: LeakKind) -> bool {
    match (kind, sources.types) {
        (LeakKind::Type(id), Some(types)) => types.get(TypeId(id)).kind == TypeKind::LibcInternal,
        _ => false,
    }
}

fn amount(totals: Totals) -> Amount {
    Amount { chunks: totals.chunks, bytes: totals.bytes }
}

fn row(sources: &Sources<'_>, group: &LeakGroup) -> LeakRow {
    let name = match (group.kind, sources.types) {
        (LeakKind::Type(id), Some(types)) => types.get(TypeId(id)).name.clone(),
        (LeakKind::Type(_), None) => "unknown".to_owned(),
        (LeakKind::Size(bytes), _) => format!("{bytes} B"),
    };
    let first = group.samples.first().and_then(|&id| Some(sources.heap?.chunks.get(id).user)).unwrap_or_default();
    LeakRow {
        name,
        chunks: group.direct.chunks,
        bytes: group.direct.bytes,
        indirect_chunks: group.indirect.chunks,
        indirect_bytes: group.indirect.bytes,
        example: Hex(first),
    }
}
