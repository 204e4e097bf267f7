//! Model → text for people: the page, in the order in which a tired engineer asks: verdict, what ran, where the memory
//! is, what holds it, of what it consists, what is lost, how sure we are.

mod address;
mod chunks;
mod confidence;
mod containers;
mod duplicates;
mod frames;
mod head;
mod info;
mod leaks;
mod memory;
mod retention;
mod sites;
mod suspects;
mod tree;
mod types;
mod verdict;
mod waste;

pub use address::{chunk, path, refs};
pub use chunks::ChunkLines;
pub use confidence::warnings;
pub use containers::containers;
pub use duplicates::duplicates;
pub use frames::frames;
pub use info::info;
pub use leaks::leaks;
pub use sites::sites;
pub use suspects::suspect_list;
pub use tree::tree;
pub use types::type_table;
pub use waste::waste;

use super::look::Look;
use super::model::Report;

/// The page; tables have at most `limit` rows.
pub fn page(report: &Report, limit: usize, look: Look) -> String {
    let mut out = String::new();
    out.push_str(&verdict::line(report, look));
    out.push_str(&head::part(report, look));
    out.push_str(&memory::part(report, look));
    if !report.retention.rows.is_empty() {
        out.push_str(&retention::part(report, look));
    }
    if report.totals.used.chunks > 0 {
        out.push_str(&suspects::part(report, limit, look));
        out.push_str(&types::part(report, limit, look));
        out.push_str(&leaks::part(report, limit, look));
    }
    out.push_str(&confidence::part(report, look));
    out
}

/// A blank line and a part's title.
fn title(text: &str, look: Look) -> String {
    format!("\n{}\n", look.heading(text))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_page_reads_from_verdict_to_confidence() {
        let text = page(&sample::report(), 15, Look::default());
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part} in:\n{text}"));
        let order = [
            "one std::list (g_server",
            "Process",
            "\nMemory",
            "\nWhere the heap",
            "\nSuspects",
            "\nTypes",
            "\nLeaks",
            "\nHow sure",
        ]
        .map(at);
        assert!(order.is_sorted(), "{text}");
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn no_line_is_longer_than_the_page_is_wide() {
        for width in [80, 100] {
            let text = page(&sample::report(), 15, Look { width, colour: false });
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{} columns: {line}", line.chars().count());
            }
        }
    }

    #[test]
    fn colour_only_adds() {
        let plain = page(&sample::report(), 15, Look::default());
        let mut coloured = page(&sample::report(), 15, Look { colour: true, ..Look::default() });
        for code in ["\x1b[1m", "\x1b[2m", "\x1b[1;33m", "\x1b[1;31m", "\x1b[0m"] {
            coloured = coloured.replace(code, "");
        }
        assert_eq!(plain, coloured);
    }

    #[test]
    fn an_allocator_that_is_only_named_gives_a_census_and_no_empty_tables() {
        let mut report = sample::report();
        report.totals.used.chunks = 0;
        let text = page(&report, 15, Look::default());
        assert!(text.contains("managed by jemalloc") && text.contains("jemalloc 5.3.0"), "{text}");
        assert!(!text.contains("Suspects") && !text.contains("Leaks"), "{text}");
    }
}
