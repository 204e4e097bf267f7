//! Typed chunks and variables → references that are none: words that the type says are no pointers, and elements that a
//! container no longer has.
//!
//! Only what is known surely counts: by a vtable, a container's rule or a typed pointer to an object that fills its
//! chunk, and only where no other claim contradicts. All other words stay as the conservative scan has them.

use super::TypedHeap;
use super::roots::{RootOwner, RootValue};
use super::typing::{Rank, Shape, Typing};
use super::words::{WordMaps, Words};
use crate::base::{AddrRange, Avma};
use crate::debuginfo::{DebugKind, TypeSource};
use crate::graph::resolve::Hint;
use crate::graph::{Dropped, Graph, Resolver, RootKind, Target};
use crate::heap::Chunk;
use crate::image::memory::MemoryReader;
use crate::types::containers::Role;
use std::sync::Arc;

/// Where a typing's values are in the chunk, and their words.
struct Layout {
    /// Bytes before the first value.
    start: u64,
    /// Bytes from one to the next; 0 where there is one.
    stride: u64,
    words: Arc<Words>,
    /// Whether some values may be dead.
    is_buffer: bool,
}

impl Layout {
    /// `None` where nothing can be left out.
    fn of(typing: &Typing, types: &dyn TypeSource, maps: &mut WordMaps<'_>) -> Option<Self> {
        let size = types.size(typing.ty)?;
        let is_number = matches!(types.get(typing.ty).kind, DebugKind::Base(_) | DebugKind::Enumeration);
        let (start, ty, stride, is_buffer) = match typing.shape {
            _ if typing.rank < Rank::Edge => return None,
            Shape::Object => (0, typing.ty, 0, false),
            // Numbers that a pointer leads to are often room for something else.
            Shape::Array if is_number && typing.rank == Rank::Edge => return None,
            Shape::Array => (0, typing.ty, size, false),
            Shape::Block(Role::Node, Some((start, ty))) => (start.into(), ty, 0, false),
            Shape::Block(Role::Buffer, Some((start, ty))) => (start.into(), ty, types.size(ty)?, true),
            Shape::Head | Shape::Inside(_) | Shape::Block(..) => return None,
        };
        let words = maps.of(ty);
        (is_buffer || !words.is_all()).then_some(Self { start, stride, words, is_buffer })
    }

    /// Whether the word at this offset may be a pointer, leaving aside whether its element is alive.
    fn may_point(&self, offset: u64, word: u64) -> bool {
        let Some(inside) = offset.checked_sub(self.start) else { return true };
        let (inside, is_last_known) = match self.stride {
            0 => (inside, true),
            stride => (inside % stride, stride.is_multiple_of(word)),
        };
        if !is_last_known {
            // Elements that are no multiple of a word have pointers nowhere, unless they are packed.
            return !self.words.is_none();
        }
        self.words.may_point((inside / word) as usize)
    }
}

/// The references that are none.
pub fn dropped(
    typed: &TypedHeap,
    types: &dyn TypeSource,
    memory: &dyn MemoryReader,
    graph: &Graph,
    resolver: &Resolver<'_>,
) -> Dropped {
    let mut maps = WordMaps::new(types, memory.word_size().bytes());
    let layouts: Vec<Option<Layout>> =
        typed.typings.all().iter().map(|typing| Layout::of(typing, types, &mut maps)).collect();
    let rows = graph.edges.par_rows(|source, row, found: &mut Vec<(u32, u32)>| {
        let layout = typed.cells.typing(source).and_then(|number| layouts[number as usize].as_ref());
        let is_sure = || !typed.conflicts.has(source) && !typed.live.is_doubtful(source);
        if let Some(layout) = layout.filter(|_| !row.is_empty() && is_sure()) {
            let chunk = resolver.chunks().get(source);
            without_pointer(typed, layout, &chunk, row, memory, resolver, found);
        }
    });
    let root_refs = roots(typed, types, &mut maps, graph);
    Dropped::new(rows.concat(), root_refs, typed.len(), graph.root_refs.len())
}

/// Those of the row's targets that no word of the chunk leads to which may be a pointer. Nothing is left out of a chunk
/// that the core has in part.
fn without_pointer(
    typed: &TypedHeap,
    layout: &Layout,
    chunk: &Chunk,
    row: &[Target],
    memory: &dyn MemoryReader,
    resolver: &Resolver<'_>,
    found: &mut Vec<(u32, u32)>,
) {
    let size = memory.word_size();
    let bytes = memory.borrow(chunk.user, chunk.usable).unwrap_or_default();
    if (bytes.len() as u64) < chunk.usable {
        return;
    }
    let mut held = vec![false; row.len()];
    let mut hint = Hint::default();
    for (word, index) in bytes.chunks_exact(size.bytes() as usize).zip(0u64..) {
        let offset = index * size.bytes();
        let at = chunk.user.wrapping_add(offset);
        let may_point = layout.may_point(offset, size.bytes())
            && (!layout.is_buffer || offset < layout.start || typed.live.is_live(chunk.id, at));
        let hit = size.decode(word).filter(|_| may_point).and_then(|word| resolver.resolve(word, &mut hint));
        if let Some(place) = hit.and_then(|hit| row.binary_search_by_key(&hit.id, |target| target.id()).ok()) {
            held[place] = true;
        }
    }
    let lost = row.iter().zip(held).filter(|(_, held)| !held);
    found.extend(lost.map(|(target, _)| (chunk.id.0, target.id().0)));
}

/// Words of globals and thread-locals that are no pointers; those of stacks stay, as compilers use the same bytes for
/// several variables.
fn roots(typed: &TypedHeap, types: &dyn TypeSource, maps: &mut WordMaps<'_>, graph: &Graph) -> Vec<u32> {
    let word = maps.word_bytes();
    let mut places: Vec<(AddrRange, Arc<Words>)> = Vec::new();
    for root in &typed.roots {
        let RootValue::At(at) = root.value else { continue };
        let is_array = matches!(types.get(types.bare(root.ty)).kind, DebugKind::Array { .. });
        if matches!(root.owner, RootOwner::Frame(_)) || is_array || !at.is_aligned(word) {
            continue;
        }
        let size = types.size(root.ty).unwrap_or(0) / word * word;
        if let Some(range) = AddrRange::sized(at, size).filter(|range| !range.is_empty()) {
            places.push((range, maps.of(root.ty)));
        }
    }
    places.sort_by_key(|(range, _)| *range);
    let is_none = |at: Avma| {
        let end = places.partition_point(|(range, _)| range.start <= at);
        let Some((range, words)) = places[..end].last().filter(|(range, _)| range.contains(at)) else { return false };
        // Of two variables in one place, neither is believed.
        let is_alone = end < 2 || places[end - 2].0.end <= range.start;
        is_alone && !words.may_point(((at.0 - range.start.0) / word) as usize)
    };
    let of_variable =
        |root: u32| !matches!(graph.roots[root as usize].kind, RootKind::Stack { .. } | RootKind::Register { .. });
    let found = graph.root_refs.iter().zip(0u32..).filter(|(found, _)| of_variable(found.root) && is_none(found.at));
    found.map(|(_, index)| index).collect()
}
