//! Walks over the graph in waves: all edges of many chunks, then all their targets, and so on. Looking at many chunks at
//! a time lets their cache misses overlap, which makes up most of the cost; following one path at a time would wait for
//! each of them. The order is that of a queue, whatever the number of threads.

use super::Edges;
use super::edges::RowPlace;
use crate::heap::ChunkId;
use rayon::prelude::*;

/// Chunks whose edges are gathered before their targets are looked at.
const BATCH: usize = 256;
/// A wave is worth several threads from this many chunks on, and is worked on in pieces of at most that many.
const WIDE: usize = 1 << 14;
const WIDEST: usize = 1 << 18;

/// `(source, target)`.
type Step = (u32, u32);

/// Spreads from `starts`. `visit` sees each edge of each chunk that it or `starts` let in, once, and says whether to let
/// the target in. Edges that lead to one target, or to targets of one aligned 1024, are visited in order and never at the
/// same time.
pub fn spread(edges: &Edges, starts: Vec<u32>, visit: impl Fn(u32, u32) -> bool + Sync) {
    let mut wave = Wave::new(starts);
    while !wave.is_over() {
        wave.step(edges, &visit);
    }
}

/// [`spread`] in steps, for those who need not see all of it.
#[derive(Debug, Default)]
pub struct Wave {
    front: Vec<u32>,
    next: Vec<u32>,
    /// Kept for their room.
    rows: Vec<Row>,
    steps: Vec<Step>,
}

/// A source, its block, and where its row is there.
type Row = (u32, RowPlace);

impl Wave {
    /// From `starts`.
    pub fn new(starts: Vec<u32>) -> Self {
        Self { front: starts, ..Self::default() }
    }

    /// Whether nothing is left to look at.
    pub fn is_over(&self) -> bool {
        self.front.is_empty()
    }

    /// Visits the edges of all chunks of the front; those that `visit` let in are the next one.
    pub fn step(&mut self, edges: &Edges, visit: &(impl Fn(u32, u32) -> bool + Sync)) {
        let Self { front, next, rows, steps } = self;
        let threads = rayon::current_num_threads();
        if threads == 1 || front.len() < WIDE {
            for batch in front.chunks(BATCH) {
                steps.clear();
                gather(edges, batch, rows, |step| steps.push(step));
                let_in(steps.iter().copied(), steps.len(), visit, next);
            }
        } else {
            for piece in front.chunks(WIDEST) {
                next.extend(spread_wide(edges, piece, threads, visit));
            }
        }
        front.clear();
        std::mem::swap(front, next);
    }
}

/// Adds targets for which `visit` says yes. No branch depends on its answer: one that is guessed wrong would wait for the
/// target's cache miss, and those behind it with it.
fn let_in(steps: impl Iterator<Item = Step>, most: usize, visit: &impl Fn(u32, u32) -> bool, into: &mut Vec<u32>) {
    let mut end = into.len();
    into.resize(end + most, 0);
    for (source, target) in steps {
        into[end] = target;
        end += usize::from(visit(source, target));
    }
    into.truncate(end);
}

/// First where all rows are, then the rows: the lengths are there by the time that loops depend on them.
fn gather(edges: &Edges, sources: &[u32], rows: &mut Vec<Row>, mut push: impl FnMut(Step)) {
    for batch in sources.chunks(BATCH) {
        rows.clear();
        rows.extend(batch.iter().map(|&source| (source, edges.place_of(ChunkId(source)))));
        for &(source, place) in rows.iter() {
            for target in edges.at(place) {
                push((source, target.id().0));
            }
        }
    }
}

/// As many shares of targets as threads, so that no two threads see the same target.
fn spread_wide(edges: &Edges, piece: &[u32], threads: usize, visit: &(impl Fn(u32, u32) -> bool + Sync)) -> Vec<u32> {
    // Runs of targets, not single ones, so that threads do not share cache lines.
    let share = |target: u32| (target >> 10) as usize % threads;
    let gathered: Vec<Vec<Vec<Step>>> = piece
        .par_chunks(piece.len().div_ceil(threads))
        .map(|sources| {
            let mut shares = vec![Vec::new(); threads];
            gather(edges, sources, &mut Vec::new(), |step| shares[share(step.1)].push(step));
            shares
        })
        .collect();
    let visited: Vec<Vec<u32>> = (0..threads)
        .into_par_iter()
        .map(|share| {
            let mut next = Vec::new();
            for steps in gathered.iter().map(|shares| &shares[share]) {
                let_in(steps.iter().copied(), steps.len(), visit, &mut next);
            }
            next
        })
        .collect();
    visited.concat()
}

#[cfg(test)]
mod tests {
    use super::super::{Bits, testing};
    use super::*;

    #[test]
    fn wide_waves_see_every_edge_once() {
        let count = 3 * WIDE as u32;
        let rows: Vec<Vec<u32>> =
            (0..count).map(|id| vec![id / 3, (id * 2 + 1) % count, (id * 7 + 2) % count]).collect();
        let graph = testing::graph(&rows, &[]);
        let seen_by = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let (seen, edges) = (Bits::new(rows.len()), std::sync::atomic::AtomicUsize::new(0));
            pool.install(|| {
                let starts = (0..count).step_by(2).filter(|&id| seen.set(id)).collect();
                spread(&graph.edges, starts, |_, target| {
                    edges.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    seen.set(target)
                });
            });
            assert!((0..count).all(|id| seen.has(id) || rows.iter().step_by(2).all(|row| !row.contains(&id))));
            edges.into_inner()
        };
        assert_eq!(seen_by(1), graph.edges.len());
        assert_eq!(seen_by(3), graph.edges.len());
    }
}
