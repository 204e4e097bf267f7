//! The dominator tree for people: a line a row, what is below it indented.

use super::title;
use crate::report::answers::{RetainedRow, TreeAnswer};
use crate::report::look::Look;
use crate::report::table::Table;
use crate::report::units::{bytes, count, counted, percent};

/// `dominators` and `owners` for people.
pub fn tree(answer: &TreeAnswer, look: Look) -> String {
    let mut table =
        Table::new(2).number("retained").number("share").number("chunks").number("shallow").name("what").word("");
    for row in &answer.rows {
        let is_owner = !matches!(row.kind.as_str(), "chunk" | "chunks");
        table.row([
            bytes(row.retained_bytes),
            percent(row.retained_bytes, answer.total.bytes),
            count(row.retained_chunks),
            if is_owner { String::new() } else { bytes(row.shallow_bytes) },
            format!("{}{}", "  ".repeat(row.depth as usize), what(row)),
            if row.accumulates { "<- accumulates here".to_owned() } else { String::new() },
        ]);
    }
    let total = format!("{} in {} that roots reach", bytes(answer.total.bytes), counted(answer.total.chunks, "chunk"));
    format!("{}{}", title(&total, look).trim_start(), table.render(look))
}

/// `20,000 Request`, `Request 0x…`, `g_server in rpc_server`, `312 more, each smaller`.
fn what(row: &RetainedRow) -> String {
    let name = if row.type_name.is_empty() { "untyped" } else { &row.type_name };
    match (row.kind.as_str(), &row.address) {
        ("chunks", _) => format!("{} × {name}", count(row.count)),
        ("chunk", Some(at)) => format!("{name} {}", at.0),
        ("rest", _) => format!("{} {}", count(row.count), row.name),
        ("shared", _) => format!("held by {}", row.name),
        _ => format!("{}{}", row.name, known(row)),
    }
}

/// ` (std::list<Request *>, 20,000 elements, rpc_server.cc:41)`, as far as it is known.
fn known(row: &RetainedRow) -> String {
    let elements = row.elements.map(|number| counted(number, "element"));
    let parts = [Some(row.type_name.clone()), elements, row.declared.clone()];
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    #[test]
    fn rows_are_indented_below_what_holds_them() {
        let text = tree(&sample::tree_answer(), Look::default());
        assert!(text.contains("  g_server in rpc_server"), "{text}");
        assert!(text.contains("    20,000 × list node 24 B"), "{text}");
        assert!(text.contains("<- accumulates here"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
