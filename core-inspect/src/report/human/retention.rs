//! Who has the heap's memory, and how it would come back.

use super::title;
use crate::report::look::{Look, clean, wrap};
use crate::report::model::Report;
use crate::report::table::Table;
use crate::report::units::{bytes, counted, percent};

pub(super) fn part(report: &Report, look: Look) -> String {
    let retention = &report.retention;
    let all: u64 = retention.rows.iter().map(|row| row.bytes).sum();
    let mut table = Table::new(2).name("").number("").number("").word("");
    for row in &retention.rows {
        let chunks = if row.chunks > 0 { counted(row.chunks, "chunk") } else { String::new() };
        table.row([label(&row.kind), bytes(row.bytes), percent(row.bytes, all), chunks]);
    }
    let mut out = format!("{}{}", title("Where the heap's memory went", look), table.render(look));
    let ways = retention
        .give_back
        .iter()
        .map(|way| format!("  {} would give back about {}: {}.", way.call, bytes(way.bytes), way.basis));
    let pins = retention.pins.iter().map(|pin| {
        let arena = pin.arena.map(|id| format!(" of arena {id}")).unwrap_or_default();
        let (address, size, pinned) = (&pin.address.0, pin.size_bytes, bytes(pin.pinned_bytes));
        match pin.chunks {
            1 => format!("  1 used chunk of {size} B at {address} pins {pinned}{arena}."),
            n => format!("  {n} used chunks, the last one of {size} B at {address}, pin {pinned}{arena}."),
        }
    });
    for line in ways.chain(pins) {
        out.push_str(&wrap(&clean(&line), look.width, 4));
        out.push('\n');
    }
    out
}

fn label(kind: &str) -> String {
    match kind {
        "in-use" => "in use by the program",
        "thread-caches" => "free in thread caches",
        "lists" => "free in lists and bins",
        "held-pages" => "free pages, held with old contents",
        "given-back" => "free pages, given back or never touched",
        "metadata" => "headers, padding and bookkeeping",
        other => other,
    }
    .to_owned()
}
