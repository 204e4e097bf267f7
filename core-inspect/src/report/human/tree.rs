//! The dominator tree for people: a line a row, what is below it indented.

use super::title;
use crate::report::answers::{RetainedRow, TreeAnswer};
use crate::report::look::Look;
use crate::report::table::Table;
use crate::report::units::{bytes, count, counted, percent};

/// Said below a table that has a mark.
const LEGEND: &str = "  * memory accumulates here: nothing below has most of it\n";

/// `dominators` and `owners` for people.
pub fn tree(answer: &TreeAnswer, look: Look) -> String {
    let mut table = Table::new(2).number("retained").number("share").number("chunks").word("").name("what");
    table = table.number("count").name("type").word("declared");
    for row in &answer.rows {
        let is_of_chunks = matches!(row.kind.as_str(), "chunk" | "chunks");
        table.row([
            bytes(row.retained_bytes),
            percent(row.retained_bytes, answer.total.bytes),
            count(row.retained_chunks),
            if row.accumulates { "*" } else { "" }.to_owned(),
            format!("{}{}", "  ".repeat(row.depth as usize), what(row)),
            number(row).map(count).unwrap_or_default(),
            if is_of_chunks { String::new() } else { row.type_name.clone() },
            row.declared.clone().unwrap_or_default(),
        ]);
    }
    let total = format!("{} in {} that roots reach", bytes(answer.total.bytes), counted(answer.total.chunks, "chunk"));
    let legend = if answer.rows.iter().any(|row| row.accumulates) { LEGEND } else { "" };
    format!("{}{}{}", title(&total, look).trim_start(), table.render(look), look.faint(legend))
}

/// How many elements a container has, or for how many chunks the row stands.
fn number(row: &RetainedRow) -> Option<u64> {
    row.elements.or_else(|| matches!(row.kind.as_str(), "chunks" | "shared" | "rest").then_some(row.count))
}

/// `Request`, `Request 0x…`, `g_server in rpc_server`, `more, each smaller`.
fn what(row: &RetainedRow) -> String {
    let name = if row.type_name.is_empty() { "untyped" } else { &row.type_name };
    match (row.kind.as_str(), &row.address) {
        ("chunks", _) => name.to_owned(),
        ("chunk", Some(at)) => format!("{name} {}", at.0),
        ("shared", _) => format!("held by {}", row.name),
        _ => row.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    #[test]
    fn rows_are_indented_below_what_holds_them() {
        let text = tree(&sample::tree_answer(), Look::default());
        assert!(text.contains("  *  g_server in rpc_server"), "{text}");
        assert!(text.contains("       list node 24 B"), "{text}");
        assert!(text.contains("20,000") && text.ends_with(LEGEND), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
