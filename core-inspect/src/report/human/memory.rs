//! The census: each byte of the address space in one row.

use super::title;
use crate::report::look::Look;
use crate::report::model::{Memory, Report};
use crate::report::table::Table;
use crate::report::units::{bytes, counted, percent};

pub(super) fn part(report: &Report, look: Look) -> String {
    let mut table = Table::new(2).name("").number("").number("").word("");
    let memory = &report.memory;
    for row in memory.rows.iter().filter(|row| row.bytes > 0) {
        let chunks = chunks_of(report, &row.kind).map(|n| counted(n, "chunk")).unwrap_or_default();
        table.row([label(&row.kind), bytes(row.bytes), percent(row.bytes, memory.mapped_bytes), chunks]);
        if row.kind == "heap-free" {
            for place in &report.free_by_place {
                let chunks = counted(place.chunks, "chunk");
                table.row([format!("    {}", place.place), bytes(place.bytes), String::new(), chunks]);
            }
        }
    }
    table.row(["all that is mapped".to_owned(), bytes(memory.mapped_bytes), String::new(), String::new()]);
    format!("{}{}{}", title("Memory", look), table.render(look), beside(memory))
}

/// What the rows do not count, or count though the core lacks it.
pub(super) fn beside(memory: &Memory) -> String {
    let mut out = String::new();
    if memory.not_in_core_bytes > 0 {
        let read = match memory.from_files_bytes {
            0 => String::new(),
            n => format!("; {} were read from the files", bytes(n)),
        };
        out.extend([format!("  {} of it are not in the core{read}\n", bytes(memory.not_in_core_bytes))]);
    }
    if memory.reserved_bytes > 0 {
        out.extend([format!("  besides, {} of address space are reserved\n", bytes(memory.reserved_bytes))]);
    }
    out
}

fn chunks_of(report: &Report, kind: &str) -> Option<u64> {
    let mmapped = report.totals.used_mmapped.chunks;
    match kind {
        "heap-used" => Some(report.totals.used.chunks.saturating_sub(mmapped)),
        "mmapped" => Some(mmapped),
        "heap-free" => Some(report.totals.free.chunks),
        _ => None,
    }
}

/// The words for a kind of memory; unknown kinds speak for themselves.
pub(super) fn label(kind: &str) -> String {
    match kind {
        "heap-used" => "heap, used by the program",
        "mmapped" => "heap, used, in mappings of their own",
        "heap-free" => "heap, held by the allocator as free",
        "heap-overhead" => "heap, headers and bookkeeping",
        "heap" => "heap",
        "stack-live" => "stacks, in use",
        "stack-unused" => "stacks, unused",
        "stack-cached" => "stacks of threads that ended",
        "module-data" => "data of modules",
        "file" => "files",
        "kernel" => "kernel pages",
        "anonymous" => "anonymous",
        "brk" => "program break",
        "unexplained" => "unexplained",
        other => other,
    }
    .to_owned()
}
