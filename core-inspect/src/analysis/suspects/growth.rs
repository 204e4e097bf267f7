//! What a held set and its order say about time: does the structure still grow, or was it filled once and left alone?
//!
//! A core is one moment, but addresses have an order: what an allocator cannot put into a hole goes to the top of its
//! heap (glibc `malloc.c`, `_int_malloc`, `use_top`). What grows for ever outlives its holes, so that the newest part of
//! the heap is mostly its own; and since other work is done between two elements, its chunks lie in many short runs. A
//! table that was read at start-up is one long run with all the rest above it; a bounded cache lies in many runs, but
//! what it takes it took from holes.

use crate::analysis::View;
use crate::base::FastMap;
use crate::heap::{ArenaId, ChunkId};
use std::ops::Range;

/// A sign that a structure grows for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum GrowthSign {
    /// Ten times as many elements as the median of its like.
    ManyMoreThanSiblings,
    /// Addresses rise (or fall) along it: elements were added one after the other and none was taken out between, or
    /// their room would have been used again. False positive: filled at start-up and then left alone.
    AppendOrder,
    /// A good part of the newest tenth of the heap is its own. False positive: the last table that start-up fills.
    GrewLast,
    /// Its chunks lie in many short runs with those of others between: they came bit by bit while other work was done. False
    /// positive: a cache in balance.
    BitByBit,
}

impl GrowthSign {
    /// The keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ManyMoreThanSiblings => "many-more-than-siblings",
            Self::AppendOrder => "append-order",
            Self::GrewLast => "grew-last",
            Self::BitByBit => "bit-by-bit",
        }
    }
}

/// How sure it is that a structure grows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Confidence {
    /// Nothing says so: it may be big because it has to be.
    None,
    /// One sign, or signs that start-up leaves too.
    Low,
    /// It holds the newest memory, and either came bit by bit or is much longer than its like.
    Medium,
    /// All that, or its order too.
    High,
}

impl Confidence {
    /// The keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Fewer elements give no sign.
const FEWEST: u64 = 100;
/// Smaller regions have no newest part.
const SMALL_REGION: usize = 1000;
/// Part of the newest memory that a structure holds which grew last.
const NEWEST: f64 = 0.25;
/// Fewer runs come by chance.
const FEWEST_RUNS: u64 = 32;
/// Longer runs on the average are tables being filled, unless they have only a few elements each.
const LONGEST_RUN: u64 = 16 << 10;
const MOST_IN_RUN: u64 = 4;
/// Chunks that are looked at between two runs.
const GAP: u32 = 4;

/// What the chunks of a held set say.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Age {
    /// Part of the used bytes in the newest tenth of all heaps; `None` when they are too small to tell.
    pub newest: Option<f64>,
    /// Stretches of the heap without used chunks of others.
    pub runs: u64,
}

/// Tells ages; holds where the newest memory is, and room for a set.
#[derive(Debug)]
pub(super) struct Ages<'a> {
    view: View<'a>,
    /// Chunks of the newest tenth of each region, in order.
    newest: Vec<Range<u32>>,
    newest_bytes: u64,
    bits: Vec<u64>,
}

impl<'a> Ages<'a> {
    pub(super) fn new(view: View<'a>) -> Self {
        let newest: Vec<Range<u32>> = view
            .chunks()
            .regions()
            .iter()
            .filter(|region| region.arena.is_some() && region.ids().len() > SMALL_REGION)
            .filter_map(|region| newest_tenth(&view, region.ids()))
            .collect();
        let used = newest.iter().cloned().flatten().map(ChunkId).filter(|&id| view.chunks().is_used(id));
        let newest_bytes = used.map(|id| view.chunks().usable(id)).sum();
        Self { view, newest, newest_bytes, bits: vec![0; view.chunks().len().div_ceil(64)] }
    }

    /// Of a set in any order.
    pub(super) fn of(&mut self, chunks: &[ChunkId]) -> Age {
        for id in chunks {
            self.bits[id.index() / 64] |= 1 << (id.index() % 64);
        }
        let (mut newest, mut runs) = (0u64, 0u64);
        let mut last: Option<u32> = None;
        for word in 0..self.bits.len() {
            let mut bits = std::mem::take(&mut self.bits[word]);
            while bits != 0 {
                let id = word as u32 * 64 + bits.trailing_zeros();
                bits &= bits - 1;
                if last.is_none_or(|last| self.others_between(last, id)) {
                    runs += 1;
                }
                last = Some(id);
                if self.is_newest(id) {
                    newest += self.view.chunks().usable(ChunkId(id));
                }
            }
        }
        Age { newest: (self.newest_bytes > 0).then(|| newest as f64 / self.newest_bytes as f64), runs }
    }

    fn others_between(&self, last: u32, id: u32) -> bool {
        (last + 1..id).take(GAP as usize).any(|between| self.view.chunks().is_used(ChunkId(between)))
    }

    fn is_newest(&self, id: u32) -> bool {
        let at = self.newest.partition_point(|range| range.end <= id);
        self.newest.get(at).is_some_and(|range| range.contains(&id))
    }
}

/// The chunks in the last tenth of the bytes up to the last used chunk.
fn newest_tenth(view: &View<'_>, ids: Range<u32>) -> Option<Range<u32>> {
    let chunks = view.chunks();
    let last = ids.clone().rev().find(|&id| chunks.is_used(ChunkId(id)))?;
    let user = |id: u32| chunks.get(ChunkId(id)).user.0;
    let from = user(last) - (user(last) - user(ids.start)) / 10;
    let (mut low, mut high) = (ids.start, last);
    while low < high {
        let middle = low + (high - low) / 2;
        if user(middle) < from { low = middle + 1 } else { high = middle }
    }
    Some(low..last + 1)
}

/// Share of steps that go to a higher address, each arena for itself: threads take turns in adding.
pub(super) fn rising(view: &View<'_>, order: &[ChunkId]) -> Option<f64> {
    let mut last = FastMap::<Option<ArenaId>, ChunkId>::default();
    let (mut steps, mut up) = (0u64, 0u64);
    for &id in order {
        let arena = view.chunks().get(id).arena;
        if let Some(before) = last.insert(arena, id) {
            steps += 1;
            up += u64::from(before < id);
        }
    }
    (steps >= 7).then(|| up as f64 / steps as f64)
}

/// The signs that the facts give.
pub(super) fn signs(
    (elements, bytes): (u64, u64),
    rising: Option<f64>,
    siblings: Option<(u64, u64)>,
    age: Age,
) -> Vec<GrowthSign> {
    if elements < FEWEST {
        return Vec::new();
    }
    let is_short = bytes / LONGEST_RUN <= age.runs || elements / MOST_IN_RUN <= age.runs;
    let given = [
        (GrowthSign::ManyMoreThanSiblings, siblings.is_some_and(|(_, median)| elements >= 10 * median)),
        (GrowthSign::AppendOrder, rising.is_some_and(|rising| !(0.1..0.9).contains(&rising))),
        (GrowthSign::GrewLast, age.newest.is_some_and(|newest| newest >= NEWEST)),
        (GrowthSign::BitByBit, age.runs >= FEWEST_RUNS && is_short),
    ];
    given.into_iter().filter(|&(_, holds)| holds).map(|(sign, _)| sign).collect()
}

/// What the signs amount to.
pub(super) fn confidence(signs: &[GrowthSign]) -> Confidence {
    let has = |sign: GrowthSign| signs.contains(&sign);
    let over_time = has(GrowthSign::ManyMoreThanSiblings) || has(GrowthSign::BitByBit);
    match (signs.len(), has(GrowthSign::GrewLast) && over_time) {
        (0, _) => Confidence::None,
        (3.., true) => Confidence::High,
        (_, true) => Confidence::Medium,
        _ => Confidence::Low,
    }
}
