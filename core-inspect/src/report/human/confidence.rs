//! How sure the page is: how the allocator was found, its own figures against ours, and what went wrong.

use super::title;
use crate::report::look::{Look, clean, wrap};
use crate::report::model::{Allocator, CheckRow, Hex, ProblemRow, Report};
use crate::report::units::{bytes, count};

pub(super) fn part(report: &Report, look: Look) -> String {
    let mut lines: Vec<String> = report.allocators.iter().map(|found| allocator(found, look)).collect();
    lines.extend(report.named_allocators.iter().map(|named| {
        let version = named.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        let text = format!("{}{version}, named only: {}", named.name, named.evidence);
        paragraph(&text, look)
    }));
    if report.allocators.is_empty() && report.named_allocators.is_empty() {
        lines.push(paragraph("no allocator was recognised", look));
    }
    if report.totals.incomplete {
        let cut = match report.core.missing_bytes {
            0 => "parts of chunks or roots are not in the core".to_owned(),
            missing => format!("the core file is cut, {} are missing", bytes(missing)),
        };
        let text = format!("{cut}: counts are lower bounds, and what looks lost may be held from there");
        lines.push(look.alarm(&paragraph(&text, look)));
    }
    lines.extend(problems(&report.problems, look));
    format!("{}{}\n", title("How sure", look), lines.join("\n"))
}

fn paragraph(text: &str, look: Look) -> String {
    wrap(&format!("  {}", clean(text)), look.width, 4)
}

/// `glibc malloc 2.36 in libc.so.6, by structure: …; mmapped chunks 11 of 11, …`.
fn allocator(found: &Allocator, look: Look) -> String {
    let version = found.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let module = found.module.as_ref().map(|module| format!(" in {module}")).unwrap_or_default();
    let text = format!("{}{version}{module}, by {}: {}", found.name, found.evidence, found.evidence_text);
    let mut out = paragraph(&text, look);
    let (agreeing, failed): (Vec<&CheckRow>, Vec<&CheckRow>) = found.checks.iter().partition(|check| check.agrees);
    if !agreeing.is_empty() {
        let checks = folded(&agreeing);
        out.push('\n');
        out.push_str(&paragraph(&format!("its own figures agree: {}", checks.join("; ")), look));
    }
    if !failed.is_empty() {
        let checks: Vec<String> = failed.into_iter().map(check).collect();
        out.push('\n');
        out.push_str(&look.alarm(&paragraph(&format!("its own figures DISAGREE: {}", checks.join("; ")), look)));
    }
    out
}

/// Checks that differ only in a number (`arena 3 system_mem`) as one, where there are more than two of them.
fn folded(checks: &[&CheckRow]) -> Vec<String> {
    let stem = |name: &str| name.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let alike = |row: &CheckRow| checks.iter().filter(|other| stem(&other.name) == stem(&row.name)).count();
    let mut texts = Vec::new();
    for row in checks {
        let text = match alike(row) {
            n if n > 2 => format!("{} {n} of {n}", stem(&row.name).split_whitespace().collect::<Vec<_>>().join(" ")),
            _ => check(row),
        };
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

/// `mmapped chunks 11 of 11`.
fn check(row: &CheckRow) -> String {
    let unit = if row.unit == "bytes" { " B" } else { "" };
    format!("{} {} of {}{unit}", row.name, count(row.found), count(row.expected))
}

/// Each severity and kind once, with its count and its first text.
pub(super) fn problems(rows: &[ProblemRow], look: Look) -> Vec<String> {
    let line = |finding: &Finding<'_>| {
        let line = paragraph(&finding.text(), look);
        if finding.severity == "error" { look.alarm(&line) } else { line }
    };
    findings(rows).iter().map(line).collect()
}

/// The same for verbs whose output has no foot: a line each, without those that change no figure.
pub fn warnings(rows: &[ProblemRow]) -> Vec<String> {
    findings(rows).iter().filter(|finding| finding.severity != "note").map(Finding::text).collect()
}

/// Findings of one severity and kind.
struct Finding<'a> {
    severity: &'a str,
    kind: &'a str,
    rows: Vec<&'a ProblemRow>,
}

/// The worst first.
fn findings(rows: &[ProblemRow]) -> Vec<Finding<'_>> {
    let mut findings: Vec<Finding<'_>> = Vec::new();
    for row in rows {
        match findings.iter_mut().find(|known| (known.severity, known.kind) == (&row.severity, &row.kind)) {
            Some(known) => known.rows.push(row),
            None => findings.push(Finding { severity: &row.severity, kind: &row.kind, rows: vec![row] }),
        }
    }
    let rank = |severity: &str| ["error", "warning", "note"].iter().position(|&s| s == severity).unwrap_or(9);
    findings.sort_by_key(|finding| (rank(finding.severity), finding.kind));
    findings
}

impl Finding<'_> {
    /// `error: corruption × 3, the first at 0x5581f0c2a2b0: …`.
    fn text(&self) -> String {
        let first = self.rows[0];
        let is_said = |at: &Hex| first.text.contains(&at.0.to_string());
        let place = first.address.filter(|at| !is_said(at)).map(|at| format!(" at {}", at.0)).unwrap_or_default();
        let which = if self.rows.len() > 1 { ", the first" } else { "" };
        let number = count(self.rows.len() as u64);
        format!("{}: {} × {number}{which}{place}: {}", self.severity, self.kind, first.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Avma;

    #[test]
    fn a_warning_is_a_line_for_each_kind_and_notes_are_none() {
        let row = |severity: &str, kind: &str, at: u64| ProblemRow {
            severity: severity.to_owned(),
            kind: kind.to_owned(),
            address: Some(Hex(Avma(at))),
            file: None,
            text: "size 0x31 runs past top".to_owned(),
        };
        let rows = [
            row("note", "file-missing", 1),
            row("warning", "truncated", 2),
            row("error", "corruption", 16),
            row("error", "corruption", 32),
        ];
        let wanted = [
            "error: corruption × 2, the first at 0x10: size 0x31 runs past top",
            "warning: truncated × 1 at 0x2: size 0x31 runs past top",
        ];
        assert_eq!(warnings(&rows), wanted);
    }
}
