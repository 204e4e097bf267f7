//! One pass over all chunks: how many and how many bytes, by place, by allocator, by type.

use super::Sources;
use crate::heap::{ArenaId, Chunk, ChunkTable, Heap, Place, State};
use crate::report::model::{Amount, TypeRow, share};
use crate::types::{TypeId, TypeTable};
use rayon::prelude::*;

/// Chunks of one parallel step.
const STEP: u32 = 1 << 18;

/// Amounts of the chunks that passed a filter.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    places: [Amount; Place::ALL.len()],
    /// By allocator: used, free.
    allocators: Vec<[Amount; 2]>,
    /// By type id.
    types: Vec<Amount>,
    /// Used, and without a type: all when types are not known.
    untyped: Amount,
}

impl Tally {
    /// Counts the chunks for which `passes` says yes.
    pub fn of(sources: &Sources<'_>, passes: impl Fn(&Chunk) -> bool + Sync) -> Self {
        let Some(heap) = sources.heap else { return Self::default() };
        let owners = Owners::new(heap);
        let one = |(first, end)| {
            let mut tally = Self::empty(heap, sources.types);
            for chunk in heap.chunks.id_range(first, end).filter(|chunk| passes(chunk)) {
                tally.add(&chunk, &owners, sources.types);
            }
            tally
        };
        steps(&heap.chunks)
            .into_par_iter()
            .map(one)
            .reduce(|| Self::empty(heap, sources.types), |sum, step| sum.merged(&step))
    }

    fn empty(heap: &Heap, types: Option<&TypeTable>) -> Self {
        Self {
            allocators: vec![Default::default(); heap.allocators.len()],
            types: vec![Amount::default(); types.map_or(0, TypeTable::len)],
            ..Self::default()
        }
    }

    fn add(&mut self, chunk: &Chunk, owners: &Owners, types: Option<&TypeTable>) {
        self.places[chunk.place as usize].add(chunk.usable);
        let state = chunk.place.state();
        if state == State::Neither {
            return;
        }
        if let Some(amounts) = self.allocators.get_mut(owners.of(chunk.arena)) {
            amounts[usize::from(state == State::Free)].add(chunk.usable);
        }
        match types.and_then(|types| types.of(chunk.id)) {
            _ if state == State::Free => {}
            Some(id) => self.types[id.index()].add(chunk.usable),
            None => self.untyped.add(chunk.usable),
        }
    }

    fn merged(mut self, other: &Self) -> Self {
        sum_into(&mut self.places, &other.places);
        sum_into(&mut self.types, &other.types);
        for (mine, theirs) in self.allocators.iter_mut().zip(&other.allocators) {
            sum_into(mine, theirs);
        }
        self.untyped.add_all(other.untyped);
        self
    }

    /// Chunks in one place.
    pub fn of_place(&self, place: Place) -> Amount {
        self.places[place as usize]
    }

    /// Chunks in one state.
    pub fn of_state(&self, state: State) -> Amount {
        let mut sum = Amount::default();
        for place in Place::ALL.into_iter().filter(|place| place.state() == state) {
            sum.add_all(self.of_place(place));
        }
        sum
    }

    /// Used chunks that passed.
    pub fn used(&self) -> Amount {
        self.of_state(State::Used)
    }

    /// Chunks of one allocator, by its index in the heap, in one state.
    pub fn of_allocator(&self, index: usize, state: State) -> Amount {
        self.allocators.get(index).map_or(Amount::default(), |amounts| amounts[usize::from(state == State::Free)])
    }

    /// A row for each type that has used chunks, the biggest first. Shares are of `whole` bytes.
    pub fn type_rows(&self, sources: &Sources<'_>, whole: u64) -> Vec<TypeRow> {
        let retained = sources.retained_by_type();
        let row = |name: &str, evidence: &str, amount: Amount| TypeRow {
            name: name.to_owned(),
            chunks: amount.chunks,
            bytes: amount.bytes,
            share: share(amount.bytes, whole),
            retained_bytes: None,
            evidence: evidence.to_owned(),
        };
        let typed = (0..).zip(&self.types).filter(|(_, amount)| amount.chunks > 0);
        let mut rows: Vec<TypeRow> = typed
            .filter_map(|(id, &amount)| {
                let info = sources.types?.get(TypeId(id));
                let retained_bytes = retained.as_ref().map(|sums| sums[id as usize].bytes);
                Some(TypeRow { retained_bytes, ..row(&info.name, info.evidence.as_str(), amount) })
            })
            .collect();
        if self.untyped.chunks > 0 {
            rows.push(row("unknown", "", self.untyped));
        }
        rows.sort_by(|a, b| (b.bytes, b.chunks).cmp(&(a.bytes, a.chunks)).then_with(|| a.name.cmp(&b.name)));
        rows
    }
}

fn sum_into(mine: &mut [Amount], theirs: &[Amount]) {
    for (mine, &theirs) in mine.iter_mut().zip(theirs) {
        mine.add_all(theirs);
    }
}

/// The table's ids in steps.
pub(super) fn steps(chunks: &ChunkTable) -> Vec<(u32, u32)> {
    let len = chunks.len() as u32;
    (0..len.div_ceil(STEP)).map(|step| (step * STEP, (step + 1).saturating_mul(STEP).min(len))).collect()
}

/// Arena → index of its allocator. Chunks without an arena are counted for the first allocator: only a second libc in the
/// same process could own them, and then its checks disagree and say so.
struct Owners(Vec<usize>);

impl Owners {
    fn new(heap: &Heap) -> Self {
        let mut owners = Vec::new();
        for (index, info) in heap.allocators.iter().enumerate() {
            for arena in &info.arenas {
                let place = arena.id.0 as usize;
                owners.resize(owners.len().max(place + 1), 0);
                owners[place] = index;
            }
        }
        Self(owners)
    }

    fn of(&self, arena: Option<ArenaId>) -> usize {
        arena.and_then(|id| self.0.get(id.0 as usize)).copied().unwrap_or(0)
    }
}
