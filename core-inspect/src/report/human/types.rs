//! Of what the used heap consists.

use super::title;
use crate::report::look::Look;
use crate::report::model::{Report, TypeRow};
use crate::report::table::Table;
use crate::report::units::{bytes, count, counted, percent};

pub(super) fn part(report: &Report, limit: usize, look: Look) -> String {
    let shown = report.types.len().min(limit);
    let mut out = title("Types", look);
    out.push_str(&type_table(&report.types[..shown], report.totals.used.bytes, look));
    let rest = &report.types[shown..];
    if !rest.is_empty() {
        let left = rest.iter().map(|row| row.bytes).sum();
        let more = format!("  {}, {}: core-inspect types", counted(rest.len() as u64, "more type"), bytes(left));
        out.push_str(&look.faint(&more));
        out.push('\n');
    }
    out
}

/// Rows of types; shares are of `whole` bytes.
pub fn type_table(rows: &[TypeRow], whole: u64, look: Look) -> String {
    let has_retained = rows.iter().any(|row| row.retained_bytes.is_some());
    let mut table = Table::new(2).name("type").number("chunks").number("bytes").number("share");
    if has_retained {
        table = table.number("retained");
    }
    table = table.word("known by");
    for row in rows {
        let retained = has_retained.then(|| row.retained_bytes.map(bytes).unwrap_or_default());
        let cells = [row.name.clone(), count(row.chunks), bytes(row.bytes), percent(row.bytes, whole)];
        table.row(cells.into_iter().chain(retained).chain([row.evidence.clone()]));
    }
    table.render(look)
}
