//! The first line: what an engineer would tell a colleague.

use crate::report::look::{Look, clean, wrap};
use crate::report::model::Report;
use crate::report::prose::kind_words;
use crate::report::units::{bytes, counted, percent};

pub(super) fn line(report: &Report, look: Look) -> String {
    let name = report.process.name.as_deref().unwrap_or("the process");
    let text = clean(&format!("{name}: {}.", verdict(report)));
    format!("{}\n", look.strong(&wrap(&text, look.width, 0)))
}

fn verdict(report: &Report) -> String {
    let named: Vec<&str> = report.named_allocators.iter().map(|named| named.name.as_str()).collect();
    let named = named.join(" and ");
    match (report.totals.used.chunks, named.is_empty()) {
        (0, false) => format!("its memory is managed by {named}, which cannot be walked yet"),
        (0, true) if report.allocators.is_empty() => {
            "no allocator was recognised, so there is only a map of its memory".to_owned()
        }
        (0, true) => format!("its heap holds no used chunk{}", proviso(report)),
        (_, true) => format!("{}; {}{}{}", lost(report), held(report), given_back(report), outside(report)),
        (_, false) => format!("{}; {}; what {named} manages is not counted", lost(report), held(report)),
    }
}

/// Where most memory is not the heap's, figures of the heap alone would mislead: `CPython`, V8, the JVM.
fn outside(report: &Report) -> String {
    let of = |kind: &str| report.memory.rows.iter().find(|row| row.kind == kind).map_or(0, |row| row.bytes);
    let unexplained = of("unexplained");
    if unexplained < 1 << 20 || unexplained <= of("heap-used") + of("mmapped") {
        return String::new();
    }
    format!("; {} are outside this heap, unexplained", bytes(unexplained))
}

/// What went back to the system still counts as mapped, and may be what an engineer wonders about.
fn given_back(report: &Report) -> String {
    let of = |kind: &str| report.retention.rows.iter().find(|row| row.kind == kind).map_or(0, |row| row.bytes);
    let gone = of("given-back");
    let heap: u64 = report.retention.rows.iter().map(|row| row.bytes).sum();
    if gone < 4 << 20 || gone <= heap / 3 {
        return String::new();
    }
    format!("; {} of its heap are free pages that were given back or never touched", bytes(gone))
}

fn lost(report: &Report) -> String {
    let leaked = report.totals.leaked;
    let sure = proviso(report);
    match leaked.chunks {
        0 => format!("nothing is lost{sure}"),
        n => format!(
            "{} lost in {} ({} of the used heap){sure}",
            bytes(leaked.bytes),
            counted(n, "chunk"),
            percent(leaked.bytes, report.totals.used.bytes)
        ),
    }
}

/// What must be said with every good news from a core that lacks something.
fn proviso(report: &Report) -> &'static str {
    if report.totals.incomplete { " as far as the incomplete core shows" } else { "" }
}

fn held(report: &Report) -> String {
    let used = report.totals.used.bytes;
    match &report.suspects[..] {
        [first, ..] if first.kind == "free-held" => {
            let way = report.retention.give_back.first();
            let way = way.map(|way| format!(", and {} gives {} back", way.call, bytes(way.bytes)));
            format!(
                "{} of its heap ({}) is free and held by {}{}",
                percent(first.bytes, used + first.bytes),
                bytes(first.bytes),
                first.anchor,
                way.unwrap_or_default()
            )
        }
        [first, ..] if first.stands_out => {
            let place = if !first.owner.is_empty() {
                format!(" ({})", first.owner)
            } else if first.anchor_kind == "module-data" {
                format!(" ({})", first.anchor)
            } else {
                String::new()
            };
            format!("one {}{place} holds {} of the used heap", kind_words(&first.kind), percent(first.bytes, used))
        }
        _ => match report.types.first() {
            Some(row) => format!(
                "no container stands out; the biggest type is {} with {} of the {} used",
                row.name,
                percent(row.bytes, used),
                bytes(used)
            ),
            None => format!("{} used", bytes(used)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;
    use crate::report::model::MemoryRow;

    #[test]
    fn a_small_first_suspect_is_no_verdict() {
        let mut report = sample::report();
        report.suspects[0].stands_out = false;
        let text = line(&report, Look::default());
        assert!(text.contains("no container stands out"), "{text}");
    }

    #[test]
    fn a_small_heap_beside_much_unexplained_memory_is_not_the_whole_story() {
        let mut report = sample::report();
        report.named_allocators.clear();
        assert!(!line(&report, Look::default()).contains("outside this heap"));
        report.memory.rows.retain(|row| row.kind != "unexplained");
        report.memory.rows.push(MemoryRow { kind: "unexplained".to_owned(), bytes: 1 << 40 });
        let text = line(&report, Look::default()).replace('\n', " ");
        assert!(text.contains("; 1.0 TiB are outside this heap, unexplained."), "{text}");
    }

    #[test]
    fn an_incomplete_core_is_never_cleared_without_a_word() {
        let mut report = sample::report();
        report.totals.leaked = crate::report::model::Amount::default();
        report.totals.incomplete = true;
        let text = line(&report, Look::default());
        assert!(text.contains("nothing is lost as far as the incomplete core shows"), "{text}");
    }
}
