//! Who has the heap's memory, as rows, and as a suspect where much of it is free.

use super::Sources;
use crate::analysis::retention::{Holding, Retention};
use crate::heap::Totals;
use crate::report::model::{self, Amount, GiveBackRow, Hex, HoldingRow, PinRow, Suspect, share};
use crate::report::units::{bytes, percent};

/// The memory of all walked allocators; `None` when none was walked.
pub fn find(sources: &Sources<'_>, used: Amount) -> Option<Retention> {
    let heap = sources.heap.filter(|heap| !heap.chunks.is_empty())?;
    let used = Totals { chunks: used.chunks, bytes: used.bytes };
    Some(Retention::of(heap, &sources.image.memory, used))
}

/// As rows.
pub fn rows(kept: &Retention) -> model::Retention {
    let row = |holding: Holding| {
        let Totals { chunks, bytes } = kept.row(holding);
        let chunks = if holding == Holding::Metadata { 0 } else { chunks };
        HoldingRow { kind: holding.as_str().to_owned(), chunks, bytes }
    };
    let give_back = kept.give_back().into_iter().map(|way| GiveBackRow {
        call: way.call.to_owned(),
        bytes: way.bytes,
        basis: way.basis.to_owned(),
    });
    let pins = kept.pins.iter().map(|pin| PinRow {
        address: Hex(pin.last.user),
        size_bytes: pin.last.usable,
        chunks: pin.used.chunks,
        arena: pin.arena.map(|id| id.0),
        pinned_bytes: pin.pinned,
    });
    let rows = Holding::ALL.map(row).into_iter().filter(|row| row.bytes > 0).collect();
    model::Retention { rows, give_back: give_back.collect(), pins: pins.collect() }
}

/// The suspect that no container is: what the allocators hold as free.
pub fn suspect(sources: &Sources<'_>, kept: &Retention) -> Option<Suspect> {
    let (held, biggest) = kept.stands_out().then(|| (kept.held(), kept.biggest))?;
    let allocators = sources.heap.into_iter().flat_map(|heap| &heap.allocators);
    let names: Vec<&str> = allocators.map(|allocator| allocator.name.as_str()).collect();
    let name = names.join(" and ");
    let remedy = match kept.give_back().first() {
        Some(way) => format!("{} would give {} back.", way.call, bytes(way.bytes)),
        None => "no call gives it back, since used chunks lie between.".to_owned(),
    };
    let share_text = percent(held.bytes, kept.resident());
    let text =
        format!("{} ({share_text} of the heap) is free and held by {name}: no leak; {remedy}", bytes(held.bytes));
    Some(Suspect {
        kind: "free-held".to_owned(),
        anchor: name.clone(),
        anchor_kind: "allocator".to_owned(),
        anchor_address: None,
        root: String::new(),
        owner: String::new(),
        owner_type: String::new(),
        declared: String::new(),
        gdb: String::new(),
        keyword: format!("free-held/{}", name.replace(' ', "-")),
        same_type: Vec::new(),
        first: Hex(biggest.map(|(at, _)| at).unwrap_or_default()),
        elements: held.chunks,
        bytes: held.bytes,
        own_bytes: held.bytes,
        share: share(held.bytes, kept.resident()),
        element_type: String::new(),
        element_bytes: None,
        held_type: String::new(),
        rising: None,
        siblings: 0,
        sibling_median: 0,
        newest_share: None,
        runs: 0,
        shared_with: Vec::new(),
        signs: Vec::new(),
        confidence: "high".to_owned(),
        stands_out: true,
        evidence: "structure".to_owned(),
        contents: Vec::new(),
        text,
    })
}
