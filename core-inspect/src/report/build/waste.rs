//! What is held for nothing, by kind, and the blocks that waste most.

use super::Sources;
use crate::analysis::dead_capacity;
use crate::analysis::waste::{Waste, WasteKind, find};
use crate::graph::Resolver;
use crate::heap::Chunk;
use crate::report::answers::{WasteAnswer, WasteBlock, WasteRow};
use crate::report::model::{Amount, Hex, SCHEMA_VERSION};
use crate::types::TypeKind;

/// All waste among the chunks for which `passes` says yes, with at most `limit` blocks of each kind; `None` without a heap.
pub fn waste(sources: &Sources<'_>, limit: usize, passes: impl Fn(&Chunk) -> bool + Sync) -> Option<WasteAnswer> {
    let chunks = &sources.heap?.chunks;
    let resolver = Resolver::new(chunks, true);
    let is_own = |chunk: &Chunk| {
        let info = sources.types.and_then(|types| Some(types.get(types.of(chunk.id)?)));
        info.is_some_and(|info| info.kind == TypeKind::LibcInternal)
    };
    let memory = &sources.image.memory;
    let mut found = find(memory, &resolver, |chunk| passes(chunk) && !is_own(chunk));
    if let Some(view) = &sources.typed {
        found.know(WasteKind::Capacity, dead_capacity::find(view, memory, &resolver, passes));
    }
    let block = |kind: WasteKind| {
        let blocks = found.blocks[kind as usize].iter().take(limit);
        blocks.map(move |block| {
            let chunk = chunks.get(block.chunk);
            WasteBlock {
                kind: kind.as_str().to_owned(),
                address: Hex(chunk.user),
                size_bytes: chunk.usable,
                wasted_bytes: block.bytes,
                arena: sources.arena_of(chunk.arena),
                type_name: sources.type_of(chunk.id).to_owned(),
            }
        })
    };
    Some(WasteAnswer {
        schema_version: SCHEMA_VERSION,
        kinds: WasteKind::ALL.into_iter().map(|kind| row(&found, kind)).collect(),
        unread: Amount { chunks: found.unread.chunks, bytes: found.unread.bytes },
        blocks: WasteKind::ALL.into_iter().flat_map(block).collect(),
    })
}

fn row(found: &Waste, kind: WasteKind) -> WasteRow {
    let total = found.total(kind);
    WasteRow {
        kind: kind.as_str().to_owned(),
        chunks: total.chunks,
        wasted_bytes: total.bytes,
        text: in_words(kind).to_owned(),
    }
}

fn in_words(kind: WasteKind) -> &'static str {
    match kind {
        WasteKind::Zeros => "used, and every byte is zero",
        WasteKind::ZeroTail => "used, 1 KiB or more, and from the middle or before only zeros",
        WasteKind::SparseArray => "used as an array of pointers, three quarters null or more",
        WasteKind::Capacity => "room for elements that containers do not have, by their types",
        WasteKind::Pinned => "free, a page or more, and not at the heap's end",
        WasteKind::Headers => "the allocator's own bytes before used blocks",
    }
}
