//! Lost chunks in groups of their like, each with what only it leads to.

use super::View;
use crate::graph::{Bits, Standing};
use crate::heap::{ChunkId, Totals};
use std::collections::BTreeMap;

/// What the heads of a group have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LeakKind {
    /// Their type, as the caller numbers types.
    Type(u32),
    /// No type is known; their usable size.
    Size(u64),
}

/// Directly lost chunks of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeakGroup {
    /// What they are.
    pub kind: LeakKind,
    /// The directly lost ones.
    pub direct: Totals,
    /// What is lost through them. A chunk that several lead to is counted for the lowest one.
    pub indirect: Totals,
    /// Some of the heads, lowest first.
    pub samples: Vec<ChunkId>,
}

const MOST_SAMPLES: usize = 8;

/// All leaks, the biggest groups first. `type_of` says a chunk's type where it is known.
pub fn groups(view: &View<'_>, type_of: impl Fn(ChunkId) -> Option<u32>) -> Vec<LeakGroup> {
    let counted = Bits::new(view.chunks().len());
    let mut groups = BTreeMap::<LeakKind, LeakGroup>::new();
    for id in (0..view.chunks().len() as u32).map(ChunkId) {
        if view.reach.standing(id) != Standing::Lost {
            continue;
        }
        let usable = view.chunks().usable(id);
        let kind = type_of(id).map_or(LeakKind::Size(usable), LeakKind::Type);
        let group = groups.entry(kind).or_insert_with(|| LeakGroup {
            kind,
            direct: Totals::default(),
            indirect: Totals::default(),
            samples: Vec::new(),
        });
        group.direct.chunks += 1;
        group.direct.bytes += usable;
        if group.samples.len() < MOST_SAMPLES {
            group.samples.push(id);
        }
        add_indirect(view, id, &counted, &mut group.indirect);
    }
    let mut groups: Vec<LeakGroup> = groups.into_values().collect();
    groups.sort_by_key(|group| (std::cmp::Reverse(group.direct.bytes + group.indirect.bytes), group.kind));
    groups
}

fn add_indirect(view: &View<'_>, head: ChunkId, counted: &Bits, totals: &mut Totals) {
    let mut stack = vec![head];
    while let Some(id) = stack.pop() {
        for target in view.graph.edges.of(id) {
            let next = target.id();
            if view.reach.standing(next) == Standing::IndirectlyLost && counted.set(next.0) {
                totals.chunks += 1;
                totals.bytes += view.chunks().usable(next);
                stack.push(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing::Toy;
    use crate::graph::{Reach, Resolver};

    #[test]
    fn each_lost_chunk_is_counted_once() {
        let mut toy = Toy::new(&[0x18, 0x18, 0x28, 0x18, 0x28]);
        // 0 -> 3, 1 -> 3 -> 4; 2 alone.
        toy.point(0, 0, 3, 0).point(1, 0, 3, 0).point(3, 8, 4, 0);
        let graph = toy.graph();
        let (reach, resolver) = (Reach::compute(&graph, &toy.heap.chunks), Resolver::new(&toy.heap.chunks, true));
        let view = View { memory: &toy.memory, resolver: &resolver, graph: &graph, reach: &reach };
        let found = groups(&view, |_| None);
        let row = |group: &LeakGroup| (group.kind, group.direct.chunks, group.indirect.bytes, group.samples.len());
        let rows: Vec<_> = found.iter().map(row).collect();
        assert_eq!(rows, [(LeakKind::Size(0x18), 2, 0x40, 2), (LeakKind::Size(0x28), 1, 0, 1)]);
        assert_eq!(groups(&view, |_| Some(3)).len(), 1);
    }
}
