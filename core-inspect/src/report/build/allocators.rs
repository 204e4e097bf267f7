//! Allocators with their figures: what was walked, and what was only named.

use super::tally::Tally;
use crate::heap::{AllocatorInfo, Check, Heap, NamedAllocator as Found, Place, State};
use crate::report::model::{Allocator, Amount, CheckRow, NamedAllocator, PlaceRow};

/// The allocators that were walked.
pub fn walked(heap: &Heap, tally: &Tally) -> Vec<Allocator> {
    let row = |(index, info): (usize, &AllocatorInfo)| Allocator {
        name: info.name.clone(),
        version: info.version.clone(),
        evidence: info.evidence.as_str().to_owned(),
        evidence_text: info.evidence_text.clone(),
        module: info.module.clone(),
        used: tally.of_allocator(index, State::Used),
        free: tally.of_allocator(index, State::Free),
        arenas: info.arenas.len() as u64,
        checks: info.checks.iter().map(check).collect(),
    };
    heap.allocators.iter().enumerate().map(row).collect()
}

fn check(check: &Check) -> CheckRow {
    CheckRow {
        name: check.name.clone(),
        unit: if check.bytes { "bytes" } else { "count" }.to_owned(),
        found: check.found,
        expected: check.expected,
        agrees: check.agrees(),
    }
}

/// The allocators that were only named.
pub fn named(heap: &Heap) -> Vec<NamedAllocator> {
    let row = |found: &Found| NamedAllocator {
        name: found.name.clone(),
        version: found.version.clone(),
        evidence: found.evidence_text.clone(),
    };
    heap.named.iter().map(row).collect()
}

/// Free chunks by the list that holds them.
pub fn free_by_place(tally: &Tally) -> Vec<PlaceRow> {
    let free = Place::ALL.into_iter().filter(|place| place.state() == State::Free);
    let rows = free.map(|place| {
        let Amount { chunks, bytes } = tally.of_place(place);
        PlaceRow { place: place.as_str().to_owned(), chunks, bytes }
    });
    rows.filter(|row| row.chunks > 0).collect()
}
