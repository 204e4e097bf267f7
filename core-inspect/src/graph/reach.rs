//! What is reachable; and of what is not: directly lost, indirectly lost and lost cycles, in the sense of valgrind.
//!
//! Marking goes in phases by the strength of roots, so each chunk knows the strongest kind of root that reaches it. All
//! counts are sums and each phase's set is fixed by the one before, so the order of work does not show.

use super::{Dropped, Graph, RootKind, Target, wave};
use crate::heap::{ChunkId, ChunkTable, State, Totals};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How a chunk stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Standing {
    /// Not used: neither reachable nor lost.
    Unused,
    /// Reachable from a module's data or thread-local storage.
    Data,
    /// Reachable from stacks, not from data.
    Stack,
    /// Reachable only from registers.
    Register,
    /// Reachable only from memory that nothing explains.
    Unexplained,
    /// Lost, and nothing refers to it (or it leads a lost cycle).
    Lost,
    /// Lost, but something lost refers to it.
    IndirectlyLost,
}

impl Standing {
    /// All of them, in the order of their values.
    pub const ALL: [Self; 7] =
        [Self::Unused, Self::Data, Self::Stack, Self::Register, Self::Unexplained, Self::Lost, Self::IndirectlyLost];

    /// The keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Data => "data",
            Self::Stack => "stack",
            Self::Register => "register",
            Self::Unexplained => "unexplained",
            Self::Lost => "lost",
            Self::IndirectlyLost => "indirectly-lost",
        }
    }

    /// Whether some root reaches it.
    pub fn is_reachable(self) -> bool {
        matches!(self, Self::Data | Self::Stack | Self::Register | Self::Unexplained)
    }

    /// Whether it is used, but no root reaches it.
    pub fn is_lost(self) -> bool {
        matches!(self, Self::Lost | Self::IndirectlyLost)
    }

    /// What chunks are that a root of this kind reaches.
    pub fn under(root: RootKind) -> Self {
        match root {
            RootKind::Data { .. } | RootKind::Tls { .. } | RootKind::EndedThread { .. } => Self::Data,
            RootKind::Stack { .. } => Self::Stack,
            RootKind::Register { .. } => Self::Register,
            RootKind::Unexplained { .. } => Self::Unexplained,
        }
    }
}

/// The phases of marking, the strongest first.
pub(super) const PHASES: [Standing; 4] = [Standing::Data, Standing::Stack, Standing::Register, Standing::Unexplained];

/// Standing and count of referrers for each chunk, four bytes.
#[derive(Debug)]
pub struct Reach {
    cells: Vec<u32>,
    totals: [Totals; Standing::ALL.len()],
}

/// The low bits of a cell count referrers, up to this.
const MOST_REFERRERS: u32 = (1 << 28) - 1;
const STANDING_SHIFT: u32 = 28;

fn standing_of(cell: u32) -> Standing {
    Standing::ALL[((cell >> STANDING_SHIFT) as usize).min(Standing::ALL.len() - 1)]
}

impl Reach {
    /// Marks from all roots, then sorts out what is left.
    pub fn compute(graph: &Graph, chunks: &ChunkTable) -> Self {
        Self::mark(graph, chunks, None)
    }

    /// As [`Reach::compute`], without the references that are none.
    pub fn without(graph: &Graph, chunks: &ChunkTable, dropped: &Dropped) -> Self {
        Self::mark(graph, chunks, Some(dropped).filter(|dropped| !dropped.is_empty()))
    }

    fn mark(graph: &Graph, chunks: &ChunkTable, dropped: Option<&Dropped>) -> Self {
        let is_dropped = |source, target| dropped.is_some_and(|dropped| dropped.has(source, target));
        let cells: Vec<AtomicU32> = (0..chunks.len()).map(|_| AtomicU32::new(0)).collect();
        for phase in PHASES {
            let starts = graph.root_refs.iter().zip(0u32..).filter(|(found, index)| {
                let kind = graph.roots[found.root as usize].kind;
                Standing::under(kind) == phase && !dropped.is_some_and(|dropped| dropped.has_root(*index))
            });
            let marker = Marker { cells: &cells, phase: (phase as u32) << STANDING_SHIFT };
            let starts = starts.map(|(found, _)| found.target.id().0).filter(|&id| marker.mark(id, 0)).collect();
            wave::spread(&graph.edges, starts, |source, target| !is_dropped(source, target) && marker.mark(target, 1));
        }
        let mut cells: Vec<u32> = cells.into_iter().map(AtomicU32::into_inner).collect();
        let lost: Vec<u32> = (0..cells.len() as u32)
            .filter(|&id| cells[id as usize] >> STANDING_SHIFT == 0 && chunks.is_used(ChunkId(id)))
            .collect();
        LostMarker { graph, dropped, cells: &mut cells, stack: Vec::new() }.run(&lost);
        let mut totals = [Totals::default(); Standing::ALL.len()];
        chunks.iter().filter(|chunk| chunk.place.state() == State::Used).for_each(|chunk| {
            let total = &mut totals[standing_of(cells[chunk.id.index()]) as usize];
            total.chunks += 1;
            total.bytes += chunk.usable;
        });
        Self { cells, totals }
    }

    /// How `id` stands.
    #[inline]
    pub fn standing(&self, id: ChunkId) -> Standing {
        standing_of(self.cells[id.index()])
    }

    /// How many chunks refer to `id`: reachable ones for a reachable chunk, lost ones for a lost chunk. Roots do not
    /// count.
    #[inline]
    pub fn referrers(&self, id: ChunkId) -> u32 {
        self.cells[id.index()] & MOST_REFERRERS
    }

    /// How many chunks stand so, and their usable bytes.
    pub fn totals(&self, standing: Standing) -> Totals {
        self.totals[standing as usize]
    }

    /// All reachable chunks.
    pub fn reachable(&self) -> Totals {
        let parts = PHASES.map(|phase| self.totals(phase));
        Totals { chunks: parts.iter().map(|part| part.chunks).sum(), bytes: parts.iter().map(|part| part.bytes).sum() }
    }

    /// How many chunks there are, of any standing.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there is no chunk.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Bytes that this takes itself.
    pub fn own_bytes(&self) -> u64 {
        self.cells.len() as u64 * 4
    }
}

/// One phase of marking.
struct Marker<'a> {
    cells: &'a [AtomicU32],
    /// The phase's standing, in place.
    phase: u32,
}

impl Marker<'_> {
    /// Counts a referrer, and says whether the chunk is new. No two threads mark one chunk at the same time, so loads
    /// and stores do; locked instructions would keep cache misses from overlapping.
    #[inline]
    fn mark(&self, id: u32, referrers: u32) -> bool {
        let cell = &self.cells[id as usize];
        let old = cell.load(Relaxed);
        let count = (old & MOST_REFERRERS).saturating_add(referrers).min(MOST_REFERRERS);
        let is_new = old >> STANDING_SHIFT == 0;
        cell.store(count | if is_new { self.phase } else { old & !MOST_REFERRERS }, Relaxed);
        is_new
    }
}

struct LostMarker<'a> {
    graph: &'a Graph,
    dropped: Option<&'a Dropped>,
    cells: &'a mut [u32],
    stack: Vec<u32>,
}

impl LostMarker<'_> {
    /// Heads first; what no head leads to is cycles and what hangs on them.
    fn run(&mut self, lost: &[u32]) {
        for &id in lost {
            self.set(id, Standing::Lost);
        }
        for &id in lost {
            for target in self.graph.edges.of(ChunkId(id)) {
                if self.is_dropped(id, target.id().0) {
                    continue;
                }
                let cell = &mut self.cells[target.id().index()];
                if standing_of(*cell) == Standing::Lost && *cell & MOST_REFERRERS < MOST_REFERRERS {
                    *cell += 1;
                }
            }
        }
        for &id in lost {
            if self.cells[id as usize] & MOST_REFERRERS == 0 {
                self.spread(id);
            }
        }
        // Heads have no referrers, what they lead to is indirect by now: what is left has a referrer and is still lost.
        let rest: Vec<u32> = lost.iter().copied().filter(|&id| self.is_undecided(id)).collect();
        if !rest.is_empty() {
            let leaders = self.leaders(&rest);
            for &id in &rest {
                self.set(id, Standing::IndirectlyLost);
            }
            for id in leaders {
                self.set(id, Standing::Lost);
            }
        }
    }

    fn is_dropped(&self, source: u32, target: u32) -> bool {
        self.dropped.is_some_and(|dropped| dropped.has(source, target))
    }

    fn is_undecided(&self, id: u32) -> bool {
        let cell = self.cells[id as usize];
        standing_of(cell) == Standing::Lost && cell & MOST_REFERRERS > 0
    }

    fn set(&mut self, id: u32, standing: Standing) {
        let cell = &mut self.cells[id as usize];
        *cell = *cell & MOST_REFERRERS | (standing as u32) << STANDING_SHIFT;
    }

    /// What `head` leads to is indirectly lost.
    fn spread(&mut self, head: u32) {
        self.stack.push(head);
        while let Some(id) = self.stack.pop() {
            for target in self.graph.edges.of(ChunkId(id)) {
                if self.is_undecided(target.id().0) && !self.is_dropped(id, target.id().0) {
                    self.set(target.id().0, Standing::IndirectlyLost);
                    self.stack.push(target.id().0);
                }
            }
        }
    }

    /// The lowest chunk of each cycle (strongly connected component) that no other one leads to.
    fn leaders(&self, rest: &[u32]) -> Vec<u32> {
        let component = self.components(rest);
        let mut led = vec![false; rest.len()];
        for &id in rest {
            let own = component[id as usize];
            let counts = |target: &&Target| self.is_undecided(target.id().0) && !self.is_dropped(id, target.id().0);
            for target in self.graph.edges.of(ChunkId(id)).iter().filter(counts) {
                let other = component[target.id().index()];
                if other != own {
                    led[(u32::MAX - other) as usize] = true;
                }
            }
        }
        // Ids rise, so the first of a component is its lowest.
        rest.iter()
            .copied()
            .filter(|&id| !std::mem::replace(&mut led[(u32::MAX - component[id as usize]) as usize], true))
            .collect()
    }

    /// Component of each undecided chunk, numbered down from `u32::MAX`: D. J. Pearce, "A space-efficient algorithm for
    /// finding strongly connected components" (2016), the imperative form; one word a chunk and no recursion.
    fn components(&self, rest: &[u32]) -> Vec<u32> {
        let mut rindex = vec![0u32; self.cells.len()];
        let mut is_root = vec![false; self.cells.len()];
        let (mut index, mut component) = (1u32, u32::MAX);
        // Chunks on the way from the start, with the edge that is looked at; and finished ones without a component yet.
        let (mut visiting, mut waiting): (Vec<(u32, usize)>, Vec<u32>) = (Vec::new(), Vec::new());
        for &start in rest {
            if rindex[start as usize] != 0 {
                continue;
            }
            visiting.push((start, 0));
            while let Some(&mut (id, ref mut edge)) = visiting.last_mut() {
                let here = id as usize;
                if *edge == 0 && rindex[here] == 0 {
                    (rindex[here], is_root[here]) = (index, true);
                    index += 1;
                }
                let mut deeper = None;
                while let Some(target) = self.graph.edges.of(ChunkId(id)).get(*edge) {
                    let next = target.id().0;
                    if self.is_undecided(next) && !self.is_dropped(id, next) {
                        if rindex[next as usize] == 0 {
                            // Looked at again when it is finished.
                            deeper = Some(next);
                            break;
                        }
                        if rindex[next as usize] < rindex[here] {
                            rindex[here] = rindex[next as usize];
                            is_root[here] = false;
                        }
                    }
                    *edge += 1;
                }
                if let Some(next) = deeper {
                    visiting.push((next, 0));
                    continue;
                }
                visiting.pop();
                if !is_root[here] {
                    waiting.push(id);
                    continue;
                }
                index -= 1;
                while let Some(&last) = waiting.last().filter(|&&last| rindex[here] <= rindex[last as usize]) {
                    rindex[last as usize] = component;
                    waiting.pop();
                    index -= 1;
                }
                rindex[here] = component;
                component -= 1;
            }
        }
        rindex
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const DATA: RootKind = RootKind::Data { module: 0 };
    const STACK: RootKind = RootKind::Stack { thread: 0 };
    const UNEXPLAINED: RootKind = RootKind::Unexplained { mapping: 0 };

    fn standings(rows: &[Vec<u32>], held: &[(RootKind, u32)]) -> Vec<Standing> {
        let reach = Reach::compute(&testing::graph(rows, held), &testing::table(rows.len()));
        (0..rows.len() as u32).map(|id| reach.standing(ChunkId(id))).collect()
    }

    #[test]
    fn the_strongest_root_names_the_standing() {
        let rows = [vec![1], vec![], vec![1, 3], vec![], vec![3]];
        let held = [(UNEXPLAINED, 4), (STACK, 2), (DATA, 0)];
        use Standing::{Data, Stack, Unexplained};
        assert_eq!(standings(&rows, &held), [Data, Data, Stack, Stack, Unexplained]);
    }

    #[test]
    fn heads_and_cycles_of_the_lost() {
        // 0 -> 1; 2 <-> 3 -> 4 <-> 5; 6 -> 7 <-> 8
        let rows = [vec![1], vec![], vec![3], vec![2, 4], vec![5], vec![4], vec![7], vec![8], vec![7]];
        use Standing::{IndirectlyLost as I, Lost as L};
        assert_eq!(standings(&rows, &[]), [L, I, L, I, I, I, L, I, I]);
    }

    #[test]
    fn a_long_list_needs_no_deep_stack() {
        let count = 300_000u32;
        let rows: Vec<Vec<u32>> = (0..count).map(|id| vec![(id + 1) % count]).collect();
        let found = standings(&rows, &[]);
        assert_eq!(found.iter().filter(|&&standing| standing == Standing::Lost).count(), 1);
        assert_eq!(found[0], Standing::Lost);
        assert!(standings(&rows, &[(DATA, 7)]).iter().all(|&standing| standing == Standing::Data));
    }

    #[test]
    fn referrers_count_only_their_like() {
        let rows = [vec![1], vec![], vec![1, 3], vec![]];
        let reach = Reach::compute(&testing::graph(&rows, &[(DATA, 0)]), &testing::table(4));
        assert_eq!([0, 1, 2, 3].map(|id| reach.referrers(ChunkId(id))), [0, 1, 0, 1], "the lost 2 does not count at 1");
        assert_eq!(reach.reachable().chunks, 2);
        assert_eq!(reach.totals(Standing::IndirectlyLost).chunks, 1);
    }

    /// What `start` leads to, itself included.
    fn closure(rows: &[Vec<u32>], start: impl IntoIterator<Item = u32>) -> BTreeSet<u32> {
        let mut seen = BTreeSet::new();
        let mut stack: Vec<u32> = start.into_iter().collect();
        while let Some(id) = stack.pop() {
            if seen.insert(id) {
                stack.extend(&rows[id as usize]);
            }
        }
        seen
    }

    fn brute(rows: &[Vec<u32>], held: &[(RootKind, u32)]) -> Vec<Standing> {
        let all = 0..rows.len() as u32;
        let from = |phase| held.iter().filter(move |(kind, _)| Standing::under(*kind) == phase).map(|&(_, id)| id);
        let live = PHASES.map(|phase| closure(rows, from(phase)));
        let closures: Vec<BTreeSet<u32>> = all.clone().map(|id| closure(rows, [id])).collect();
        let is_lost = |id: u32| live.iter().all(|set| !set.contains(&id));
        // Lost is whoever everybody that leads to it is led to by it, and is the lowest of those.
        let leads = |id: u32| {
            all.clone()
                .filter(|&other| other != id && is_lost(other) && closures[other as usize].contains(&id))
                .all(|other| closures[id as usize].contains(&other) && id < other)
        };
        let of = |id: u32| match PHASES.iter().zip(&live).find(|(_, set)| set.contains(&id)) {
            Some((phase, _)) => *phase,
            None if leads(id) => Standing::Lost,
            None => Standing::IndirectlyLost,
        };
        all.clone().map(of).collect()
    }

    proptest! {
        #[test]
        fn agrees_with_brute_force(
            edges in prop::collection::vec((0u32..14, 0u32..14), 0..30),
            held in prop::collection::vec((0usize..3, 0u32..14), 0..4),
        ) {
            let mut rows = vec![Vec::new(); 14];
            for (source, target) in edges {
                rows[source as usize].push(target);
            }
            let held: Vec<(RootKind, u32)> =
                held.into_iter().map(|(kind, id)| ([DATA, STACK, UNEXPLAINED][kind], id)).collect();
            prop_assert_eq!(standings(&rows, &held), brute(&rows, &held));
        }
    }
}
