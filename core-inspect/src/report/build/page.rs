//! The whole answer.

use super::tally::Tally;
use super::{Sources, allocators, leaks, memory, problem_rows, retention};
use crate::base::Problem;
use crate::heap::{Heap, Place, State};
use crate::report::model::{Report, SCHEMA_VERSION, Suspect, Totals};

/// The answer of the page; `suspects` come with the biggest first.
pub fn report(sources: &Sources<'_>, mut suspects: Vec<Suspect>, problems: &[Problem]) -> Report {
    let all = Tally::of(sources, |_| true);
    let leaks = leaks::leaks(sources, |_| true);
    let kept = retention::find(sources, all.used());
    if let Some(suspect) = kept.as_ref().and_then(|kept| retention::suspect(sources, kept)) {
        suspects.insert(0, suspect);
    }
    let walked = |of: fn(&Heap, &Tally) -> _| sources.heap.map_or_else(Vec::new, |heap| of(heap, &all));
    Report {
        schema_version: SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        core: sources.core_facts(),
        process: sources.process_facts(),
        memory: memory::census(sources, &all),
        allocators: walked(allocators::walked),
        named_allocators: sources.heap.map_or_else(Vec::new, allocators::named),
        totals: totals(sources, &all, &leaks),
        free_by_place: allocators::free_by_place(&all),
        retention: kept.as_ref().map(retention::rows).unwrap_or_default(),
        types: all.type_rows(sources, all.used().bytes),
        leaks: leaks.rows,
        suspects,
        problems: problem_rows(problems),
    }
}

fn totals(sources: &Sources<'_>, all: &Tally, leaks: &leaks::Leaks) -> Totals {
    let mut leaked = leaks.direct;
    leaked.add_all(leaks.indirect);
    Totals {
        used: all.used(),
        used_mmapped: all.of_place(Place::Mmapped),
        free: all.of_state(State::Free),
        leaked,
        directly_lost: leaks.direct,
        indirectly_lost: leaks.indirect,
        lost_of_libc: leaks.of_libc,
        lost_by_types: leaks.by_types,
        incomplete: sources.is_incomplete(),
    }
}

impl Sources<'_> {
    /// Whether bytes are missing that could hide chunks or references.
    pub fn is_incomplete(&self) -> bool {
        !self.image.truncation.is_empty() || self.graph.is_some_and(crate::graph::Graph::leaks_uncertain)
    }
}
