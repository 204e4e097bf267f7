//! What nothing refers to any more.

use super::title;
use crate::report::answers::LeaksAnswer;
use crate::report::look::{Look, wrap};
use crate::report::model::{Amount, LeakRow, Report};
use crate::report::table::Table;
use crate::report::units::{bytes, count, counted};

pub(super) fn part(report: &Report, limit: usize, look: Look) -> String {
    let totals = &report.totals;
    let shown = report.leaks.len().min(limit);
    let mut out = title("Leaks", look);
    out.push_str(&summary(totals.directly_lost, totals.indirectly_lost, totals.lost_of_libc, look.width));
    out.push_str(&by_types(totals.lost_by_types, look.width));
    out.push_str(&leak_table(&report.leaks[..shown], look));
    let more = report.leaks.len() - shown;
    if more > 0 {
        out.push_str(&look.faint(&format!("  {}: core-inspect leaks", counted(more as u64, "more group"))));
        out.push('\n');
    }
    out
}

/// `leaks` for people.
pub fn leaks(answer: &LeaksAnswer, look: Look) -> String {
    let mut out = summary(answer.directly_lost, answer.indirectly_lost, answer.lost_of_libc, look.width);
    out.push_str(&by_types(answer.lost_by_types, look.width));
    if answer.incomplete {
        out.push_str(&look.alarm("  The core is incomplete: what looks lost may be held by what is missing."));
        out.push('\n');
    }
    out.push_str(&leak_table(&answer.leaks, look));
    out
}

/// What the program lost, and what the C library did.
fn summary(direct: Amount, indirect: Amount, of_libc: Amount, width: usize) -> String {
    let words = |amount: Amount| format!("{} ({})", bytes(amount.bytes), counted(amount.chunks, "chunk"));
    let lost = match direct.chunks {
        0 => "  Nothing is lost.".to_owned(),
        _ => format!("  {} lost directly, {} only through those.", words(direct), words(indirect)),
    };
    let mut out = wrap(&lost, width, 2) + "\n";
    if of_libc.chunks > 0 {
        let amount = words(of_libc);
        let apart = format!("  Not counted: {amount} of the C library itself, which the program cannot free.");
        out += &(wrap(&apart, width, 2) + "\n");
    }
    out
}

/// What the types say beyond that.
fn by_types(lost: Amount, width: usize) -> String {
    match lost.chunks {
        0 => String::new(),
        chunks => {
            let words = format!("{} ({})", bytes(lost.bytes), counted(chunks, "chunk"));
            wrap(&format!("  With types: {words} more, which only words hold that are no pointers."), width, 2) + "\n"
        }
    }
}

/// Rows of leaks.
fn leak_table(rows: &[LeakRow], look: Look) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table =
        Table::new(2).name("lost").number("chunks").number("bytes").number("with them").number("bytes").word("first");
    for row in rows {
        table.row([
            row.name.clone(),
            count(row.chunks),
            bytes(row.bytes),
            count(row.indirect_chunks),
            bytes(row.indirect_bytes),
            row.example.0.to_string(),
        ]);
    }
    table.render(look)
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    #[test]
    fn what_the_library_lost_is_told_apart() {
        let mut answer = sample::leaks_answer();
        let apart = "  Not counted: 1.3 KiB (2 chunks) of the C library itself, which the program cannot free.\n";
        assert!(leaks(&answer, Look::default()).contains(apart));
        let by_types = "  With types: 240 B (3 chunks) more, which only words hold that are no pointers.\n";
        (answer.directly_lost, answer.leaks) = (Amount::default(), Vec::new());
        assert_eq!(leaks(&answer, Look::default()), format!("  Nothing is lost.\n{apart}{by_types}"));
        answer.lost_of_libc = Amount::default();
        assert_eq!(leaks(&answer, Look::default()), format!("  Nothing is lost.\n{by_types}"));
    }
}
