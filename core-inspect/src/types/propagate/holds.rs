//! Typed chunks and variables → references that do not hold: words that the type says are no pointers, what is left of
//! elements that a container no longer has and of an object whose last owner is gone, and weak pointers.
//!
//! Only what is known surely counts: by a vtable, a container's rule or a typed pointer to an object that fills its
//! chunk, and only where no other claim contradicts. All other words stay as the conservative scan has them.

use super::TypedHeap;
use super::expired::Expired;
use super::roots::{RootOwner, RootValue};
use super::typing::{Rank, Shape, Typing};
use super::words::{Strength, WordMaps, Words};
use crate::base::{AddrRange, Avma};
use crate::debuginfo::{DebugKind, TypeSource};
use crate::graph::resolve::Hint;
use crate::graph::{Dropped, Graph, Resolver, RootKind, Target};
use crate::heap::Chunk;
use crate::image::memory::MemoryReader;
use crate::types::containers::{Containers, Role};
use std::sync::Arc;

/// References that the conservative scan has and that do not hold what they refer to.
#[derive(Debug)]
pub struct Unheld {
    /// Those that are none.
    pub none: Dropped,
    /// Those of weak pointers: their chunk stays, but nothing stays for their sake.
    pub weak: Dropped,
}

/// Where a typing's values are in the chunk, and their words.
struct Layout {
    /// Bytes before the first value.
    start: u64,
    /// Bytes from one to the next; 0 where there is one.
    stride: u64,
    words: Arc<Words>,
    /// Whether some values may be dead.
    is_buffer: bool,
    /// Whether it is nothing but pointers, of which only some may be left over.
    is_pointers: bool,
    /// Where it stands whether the value's last owner is gone.
    expired: Option<Expired>,
}

impl Layout {
    /// `None` where nothing can be left out.
    fn of(typing: &Typing, types: &dyn TypeSource, maps: &mut WordMaps<'_>) -> Option<Self> {
        if matches!(typing.shape, Shape::Block(Role::Buckets, None)) {
            let words = Arc::new(Words::default());
            return Some(Self { start: 0, stride: 0, words, is_buffer: true, is_pointers: true, expired: None });
        }
        if matches!(typing.shape, Shape::Block(Role::Control, _)) {
            let (words, expired) = (Arc::new(Words::default()), Expired::of_control(types, typing.ty));
            let layout = Self { start: 0, stride: 0, words, is_buffer: false, is_pointers: false, expired };
            return expired.is_some().then_some(layout);
        }
        let size = types.size(typing.ty)?;
        let is_number = matches!(types.get(typing.ty).kind, DebugKind::Base(_) | DebugKind::Enumeration);
        let (start, ty, stride, is_buffer) = match typing.shape {
            _ if typing.rank < Rank::Edge => return None,
            Shape::Object => (0, typing.ty, 0, false),
            // Numbers that a pointer leads to are often room for something else, and that the block's size is a multiple of
            // a struct without pointers is all that tells an array from a header with something behind it.
            Shape::Array if typing.rank == Rank::Edge && (is_number || maps.of(typing.ty).is_none()) => return None,
            Shape::Array => (0, typing.ty, size, false),
            Shape::Block(Role::Node, Some((start, ty))) => (start.into(), ty, 0, false),
            Shape::Block(Role::Buffer, Some((start, ty))) => (start.into(), ty, types.size(ty)?, true),
            Shape::Head | Shape::Inside(_) | Shape::Block(..) => return None,
        };
        let words = maps.of(ty);
        let is_whole = matches!(typing.shape, Shape::Object);
        let expired = is_whole.then(|| Expired::of(types, typing.ty)).flatten();
        let says_something = is_buffer || expired.is_some() || !words.is_all();
        says_something.then_some(Self { start, stride, words, is_buffer, is_pointers: false, expired })
    }

    /// How the word at this offset holds, leaving aside whether its element is alive.
    fn strength(&self, offset: u64, word: u64) -> Strength {
        let Some(inside) = offset.checked_sub(self.start) else { return Strength::Strong };
        let (inside, is_last_known) = match self.stride {
            0 => (inside, true),
            stride => (inside % stride, stride.is_multiple_of(word)),
        };
        if !is_last_known {
            // Elements that are no multiple of a word have pointers nowhere, unless they are packed.
            return if self.words.is_none() { Strength::None } else { Strength::Strong };
        }
        self.words.strength((inside / word) as usize)
    }
}

/// The references that do not hold.
pub fn unheld(
    typed: &TypedHeap,
    types: &dyn TypeSource,
    containers: &Containers,
    memory: &dyn MemoryReader,
    graph: &Graph,
    resolver: &Resolver<'_>,
) -> Unheld {
    let mut maps = WordMaps::new(types, containers, memory.word_size());
    let layouts: Vec<Option<Layout>> =
        typed.typings.all().iter().map(|typing| Layout::of(typing, types, &mut maps)).collect();
    let rows = graph.edges.par_rows(|source, row, found: &mut [Vec<(u32, u32)>; 2]| {
        let layout = typed.cells.typing(source).and_then(|number| layouts[number as usize].as_ref());
        let layout = layout.filter(|layout| !layout.is_pointers || typed.live.is_told(source));
        let is_sure = || !typed.conflicts.has(source) && !typed.live.is_doubtful(source);
        if let Some(layout) = layout.filter(|_| !row.is_empty() && is_sure()) {
            let chunk = resolver.chunks().get(source);
            without_pointer(typed, layout, &chunk, row, memory, resolver, found);
        }
    });
    let [mut none, mut weak] = [Vec::new(), Vec::new()];
    for [some, others] in rows {
        none.extend(some);
        weak.extend(others);
    }
    let of_roots = roots(typed, types, &mut maps, graph);
    let [none_roots, weak_roots] = [Strength::None, Strength::Weak]
        .map(|strength| of_roots.iter().filter(|(_, found)| *found == strength).map(|(index, _)| *index).collect());
    let dropped = |edges, roots| Dropped::new(edges, roots, typed.len(), graph.root_refs.len());
    Unheld { none: dropped(none, none_roots), weak: dropped(weak, weak_roots) }
}

/// Those of the row's targets that no word of the chunk leads to which may be a pointer, and those that only weak
/// pointers lead to. Nothing is left out of a chunk that the core has in part.
fn without_pointer(
    typed: &TypedHeap,
    layout: &Layout,
    chunk: &Chunk,
    row: &[Target],
    memory: &dyn MemoryReader,
    resolver: &Resolver<'_>,
    [none, weak]: &mut [Vec<(u32, u32)>; 2],
) {
    let size = memory.word_size();
    let bytes = memory.borrow(chunk.user, chunk.usable).unwrap_or_default();
    if (bytes.len() as u64) < chunk.usable {
        return;
    }
    let is_expired = layout.expired.is_some_and(|expired| expired.is_true(bytes));
    let mut held = vec![Strength::None; row.len()];
    let mut hint = Hint::default();
    for (word, index) in bytes.chunks_exact(size.bytes() as usize).zip(0u64..).filter(|_| !is_expired) {
        let offset = index * size.bytes();
        let at = chunk.user.wrapping_add(offset);
        let is_left = layout.is_buffer && !typed.live.is_live(chunk.id, at);
        let strength = if is_left { Strength::None } else { layout.strength(offset, size.bytes()) };
        let may_point = strength > Strength::None;
        let hit = size.decode(word).filter(|_| may_point).and_then(|word| resolver.resolve(word, &mut hint));
        if let Some(place) = hit.and_then(|hit| row.binary_search_by_key(&hit.id, |target| target.id()).ok()) {
            held[place] = held[place].max(strength);
        }
    }
    for (target, held) in row.iter().zip(held) {
        match held {
            Strength::None => none.push((chunk.id.0, target.id().0)),
            Strength::Weak => weak.push((chunk.id.0, target.id().0)),
            Strength::Strong => {}
        }
    }
}

/// How words of globals and thread-locals hold, of those that do not as pointers do; those of stacks stay, as compilers
/// use the same bytes for several variables.
fn roots(typed: &TypedHeap, types: &dyn TypeSource, maps: &mut WordMaps<'_>, graph: &Graph) -> Vec<(u32, Strength)> {
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
    let strength = |at: Avma| {
        let end = places.partition_point(|(range, _)| range.start <= at);
        let (range, words) = places[..end].last().filter(|(range, _)| range.contains(at))?;
        // Of two variables in one place, neither is believed.
        let is_alone = end < 2 || places[end - 2].0.end <= range.start;
        let strength = words.strength(((at.0 - range.start.0) / word) as usize);
        (is_alone && strength < Strength::Strong).then_some(strength)
    };
    let of_variable =
        |root: u32| !matches!(graph.roots[root as usize].kind, RootKind::Stack { .. } | RootKind::Register { .. });
    let found = graph.root_refs.iter().zip(0u32..).filter(|(found, _)| of_variable(found.root));
    found.filter_map(|(found, index)| Some((index, strength(found.at)?))).collect()
}
