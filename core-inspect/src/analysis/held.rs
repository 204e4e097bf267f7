//! What a group of chunks holds: exactly what no root would reach any more if the group were removed.
//!
//! One pass marks what is reachable past all groups in question. The rest is small or is what we are after, and each
//! group's share of it is found locally: everything that the group leads to, less what somebody else leads to.

use super::View;
use crate::base::FastSet;
use crate::graph::{Bits, wave};
use crate::heap::{ChunkId, Totals};

/// Answers for groups that were named beforehand.
#[derive(Debug)]
pub struct Held<'a> {
    view: View<'a>,
    /// Reachable without passing through any group.
    outside: Bits,
    /// Members of groups that roots refer to.
    rooted: FastSet<u32>,
    /// All [`APART`] between questions.
    cells: Vec<u32>,
}

/// A chunk that no question is about. Else a state in the upper two bits and in the lower ones referrers among those that
/// a group leads to: side by side, so that an edge costs one cache miss.
const APART: u32 = 0;
const STATE: u32 = 3 << 30;
const GROUP: u32 = 1 << 30;
const INSIDE: u32 = 2 << 30;
/// Led to by the group, but held by somebody else too.
const SHARED: u32 = 3 << 30;

/// What a group holds.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HeldSet {
    /// Chunks and their usable bytes, the group's own included.
    pub totals: Totals,
    /// The chunks: the group in its order, then the others.
    pub chunks: Vec<ChunkId>,
}

impl<'a> Held<'a> {
    /// Prepares for questions on `groups` of reachable chunks.
    pub fn new<'g>(view: View<'a>, groups: impl IntoIterator<Item = &'g [ChunkId]>) -> Self {
        let len = view.chunks().len();
        let members = Bits::new(len);
        for id in groups.into_iter().flatten() {
            members.set(id.0);
        }
        let outside = Bits::new(len);
        let rooted =
            view.graph.root_refs.iter().map(|found| found.target.id().0).filter(|&id| members.has(id)).collect();
        let starts: Vec<u32> = view
            .graph
            .root_refs
            .iter()
            .map(|found| found.target.id().0)
            .filter(|&id| !members.has(id) && outside.set(id))
            .collect();
        wave::spread(&view.graph.edges, starts, |_, target| !members.has(target) && outside.set_alone(target));
        Self { view, outside, rooted, cells: vec![APART; len] }
    }

    /// What `group` holds; each of its members was in a group given to [`Held::new`].
    pub fn of(&mut self, group: &[ChunkId]) -> HeldSet {
        let led = self.closure(group);
        let shared = led[group.len()..].iter().copied().filter(|&id| self.has_other_referrers(id)).collect();
        self.spread_shared(shared);
        let mut held = HeldSet { chunks: Vec::with_capacity(led.len()), ..HeldSet::default() };
        for id in led {
            if std::mem::take(&mut self.cells[id.index()]) & STATE != SHARED {
                held.totals.chunks += 1;
                held.totals.bytes += self.view.chunks().usable(id);
                held.chunks.push(id);
            }
        }
        held
    }

    /// The group, then everything that it leads to and that is not held from outside.
    fn closure(&mut self, group: &[ChunkId]) -> Vec<ChunkId> {
        let mut led = group.to_vec();
        for id in group {
            self.cells[id.index()] = GROUP;
        }
        let mut at = 0;
        while at < led.len() {
            for target in self.view.graph.edges.of(led[at]) {
                let id = target.id();
                if self.outside.has(id.0) {
                    continue;
                }
                let cell = &mut self.cells[id.index()];
                if *cell == APART {
                    *cell = INSIDE;
                    led.push(id);
                }
                *cell += 1;
            }
            at += 1;
        }
        led
    }

    fn has_other_referrers(&self, id: ChunkId) -> bool {
        self.view.reach.referrers(id) > self.cells[id.index()] & !STATE || self.rooted.contains(&id.0)
    }

    fn spread_shared(&mut self, mut shared: Vec<ChunkId>) {
        for id in &shared {
            self.cells[id.index()] |= SHARED;
        }
        while let Some(id) = shared.pop() {
            for target in self.view.graph.edges.of(id) {
                let cell = &mut self.cells[target.id().index()];
                if *cell & STATE == INSIDE {
                    *cell |= SHARED;
                    shared.push(target.id());
                }
            }
        }
    }
}

/// What `group` of reachable chunks holds, asked once.
pub fn held_by(view: View<'_>, group: &[ChunkId]) -> HeldSet {
    Held::new(view, [group]).of(group)
}

/// A lower bound of what a few chunks hold, in time that is bounded by `most` chunks: what falls when counts of
/// referrers fall to zero. Rings of references inside are missed.
pub fn held_at_least(view: &View<'_>, group: &[ChunkId], most: usize) -> u64 {
    let mut fallen: Vec<ChunkId> = group.to_vec();
    let mut counts = crate::base::FastMap::<u32, u32>::default();
    for id in group {
        counts.insert(id.0, u32::MAX / 2);
    }
    let mut at = 0;
    while at < fallen.len() && fallen.len() < most {
        for target in view.graph.edges.of(fallen[at]) {
            let count = counts.entry(target.id().0).or_default();
            *count += 1;
            if *count == view.reach.referrers(target.id()) {
                fallen.push(target.id());
            }
        }
        at += 1;
    }
    fallen.iter().map(|&id| view.chunks().usable(id)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing;
    use crate::graph::{Reach, Resolver, RootKind};
    use crate::image::testing::TestMemory;
    use proptest::prelude::*;

    fn reachable(rows: &[Vec<u32>], starts: &[u32], without: &[u32]) -> Vec<bool> {
        let mut seen = vec![false; rows.len()];
        let mut stack = starts.to_vec();
        while let Some(id) = stack.pop() {
            if !without.contains(&id) && !std::mem::replace(&mut seen[id as usize], true) {
                stack.extend(&rows[id as usize]);
            }
        }
        seen
    }

    fn held_sets(rows: &[Vec<u32>], starts: &[u32], groups: &[Vec<ChunkId>]) -> Vec<Vec<u32>> {
        let kinds: Vec<_> = starts.iter().map(|&id| (RootKind::Data { module: 0 }, id)).collect();
        let (graph, chunks) = (testing::graph(rows, &kinds), testing::table(rows.len()));
        let memory = TestMemory::default();
        let (reach, resolver) = (Reach::compute(&graph, &chunks), Resolver::new(&chunks, true));
        let view = View { memory: &memory, resolver: &resolver, graph: &graph, reach: &reach };
        let mut held = Held::new(view, groups.iter().map(Vec::as_slice));
        let sets = groups.iter().map(|group| {
            let set = held.of(group);
            assert_eq!(set.totals.chunks as usize, set.chunks.len());
            assert_eq!(set.totals.bytes, set.totals.chunks * 24);
            let mut ids: Vec<u32> = set.chunks.iter().map(|id| id.0).collect();
            ids.sort_unstable();
            ids
        });
        sets.collect()
    }

    #[test]
    fn strings_of_elements_are_held_and_shared_ones_are_not() {
        // root -> list 0 -> 1 -> 2; strings 3, 4, 5; 5 is shared with 6, which a root holds.
        let rows = [vec![1, 3], vec![2, 4], vec![5], vec![], vec![], vec![], vec![5]];
        let group: Vec<ChunkId> = [0, 1, 2].map(ChunkId).to_vec();
        assert_eq!(held_sets(&rows, &[0, 6], &[group]), [vec![0, 1, 2, 3, 4]]);
    }

    proptest! {
        #[test]
        fn agrees_with_removing_and_marking_again(
            edges in prop::collection::vec((0u32..16, 0u32..16), 0..40),
            starts in prop::collection::vec(0u32..16, 1..4),
            picks in prop::collection::vec(prop::collection::btree_set(0u32..16, 1..4), 1..4),
        ) {
            let mut rows = vec![Vec::new(); 16];
            for (source, target) in edges {
                rows[source as usize].push(target);
            }
            let before = reachable(&rows, &starts, &[]);
            let groups: Vec<Vec<ChunkId>> = picks
                .into_iter()
                .map(|group| group.into_iter().filter(|&id| before[id as usize]).map(ChunkId).collect())
                .collect();
            let found = held_sets(&rows, &starts, &groups);
            for (group, found) in groups.iter().zip(found) {
                let without: Vec<u32> = group.iter().map(|id| id.0).collect();
                let after = reachable(&rows, &starts, &without);
                let expected: Vec<u32> = (0..16).filter(|&id| before[id as usize] && !after[id as usize]).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
