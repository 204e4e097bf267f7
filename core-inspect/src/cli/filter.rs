//! A [`Filter`] against a process: which chunks pass, decided with a few comparisons each.

use super::options::{ArenaFilter, Filter, ReachFilter, SizeRange};
use crate::graph::Standing;
use crate::heap::{ArenaId, Chunk, Place, State};
use crate::report::build::Sources;
use regex::Regex;

/// The filter, ready for millions of chunks.
#[derive(Debug)]
pub(super) struct ChunkFilter<'a> {
    sources: Sources<'a>,
    size: SizeRange,
    state: Option<State>,
    place: Option<Place>,
    arena: Option<Arenas>,
    reach: Option<ReachFilter>,
    /// By type id, whether its name matches.
    types: Option<Vec<bool>>,
}

#[derive(Debug)]
enum Arenas {
    /// Those of these numbers, sorted.
    Of(Vec<ArenaId>),
    Mmapped,
}

impl<'a> ChunkFilter<'a> {
    pub(super) fn new(filter: &Filter, sources: Sources<'a>) -> Self {
        Self {
            sources,
            size: filter.size,
            state: filter.state,
            place: filter.place,
            arena: filter.arena.map(|arena| arenas(arena, &sources)),
            reach: filter.reach,
            types: filter.type_name.as_ref().map(|pattern| matching(pattern, &sources)),
        }
    }

    /// Whether the chunk counts; fenceposts and stretches that could not be walked never do.
    pub(super) fn passes(&self, chunk: &Chunk) -> bool {
        let state = chunk.place.state();
        state != State::Neither
            && self.size.contains(chunk.usable)
            && self.state.is_none_or(|wanted| wanted == state)
            && self.place.is_none_or(|wanted| wanted == chunk.place)
            && self.arena.as_ref().is_none_or(|arenas| arenas.have(chunk))
            && self.reach.is_none_or(|wanted| self.has_reach(wanted, chunk))
            && self.types.as_ref().is_none_or(|types| self.has_type(types, chunk))
    }

    fn has_reach(&self, wanted: ReachFilter, chunk: &Chunk) -> bool {
        let standing = self.sources.reach.map_or(Standing::Unused, |reach| reach.standing(chunk.id));
        match wanted {
            ReachFilter::Reachable => standing.is_reachable(),
            ReachFilter::Lost => standing == Standing::Lost,
            ReachFilter::IndirectlyLost => standing == Standing::IndirectlyLost,
        }
    }

    fn has_type(&self, types: &[bool], chunk: &Chunk) -> bool {
        self.sources.types.and_then(|table| table.of(chunk.id)).is_some_and(|id| types[id.index()])
    }
}

impl Arenas {
    fn have(&self, chunk: &Chunk) -> bool {
        match (self, chunk.arena) {
            (Self::Mmapped, _) => chunk.place == Place::Mmapped,
            (Self::Of(numbers), Some(id)) => numbers.binary_search(&id).is_ok(),
            (Self::Of(_), None) => false,
        }
    }
}

fn arenas(wanted: ArenaFilter, sources: &Sources<'_>) -> Arenas {
    match wanted {
        ArenaFilter::Mmapped => Arenas::Mmapped,
        ArenaFilter::Number(id) => Arenas::Of(vec![id]),
        ArenaFilter::Main => {
            let allocators = sources.heap.into_iter().flat_map(|heap| &heap.allocators);
            let arenas = allocators.flat_map(|allocator| &allocator.arenas).filter(|arena| arena.is_main);
            let mut numbers: Vec<ArenaId> = arenas.map(|arena| arena.id).collect();
            numbers.sort_unstable();
            Arenas::Of(numbers)
        }
    }
}

fn matching(pattern: &Regex, sources: &Sources<'_>) -> Vec<bool> {
    let types = sources.types.into_iter().flat_map(crate::types::TypeTable::iter);
    types.map(|(_, info)| pattern.is_match(&info.name)).collect()
}
