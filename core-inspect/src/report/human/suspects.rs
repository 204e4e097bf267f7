//! What holds the memory: a sentence or two each, numbered.

use super::title;
use crate::report::look::{Look, clean, wrap};
use crate::report::model::{Report, Suspect};
use crate::report::units::counted;

/// Suspects on the page; more is `chains`.
const ON_PAGE: usize = 5;
/// When none stands out, the biggest are enough.
const BIGGEST: usize = 3;

pub(super) fn part(report: &Report, limit: usize, look: Look) -> String {
    let outstanding = report.suspects.iter().filter(|suspect| suspect.stands_out).count();
    let wanted = if outstanding == 0 { BIGGEST } else { outstanding.min(ON_PAGE) };
    let shown = report.suspects.len().min(wanted).min(limit);
    let mut out = title("Suspects", look);
    if outstanding == 0 {
        let after = if shown == 0 { "." } else { "; the biggest:" };
        out.extend(["  Nothing stands out", after, "\n"]);
    }
    out.push_str(&suspect_list(&report.suspects[..shown], look));
    let more = report.suspects.len() - shown;
    if more > 0 {
        out.push_str(&look.faint(&format!("  {}: core-inspect chains", counted(more as u64, "more container"))));
        out.push('\n');
    }
    out
}

/// `growing, high; gdb: print g_server.pending_`.
fn how_sure(suspect: &Suspect) -> Option<String> {
    let sure = (suspect.stands_out && !suspect.signs.is_empty())
        .then(|| format!("it grows: confidence {} ({})", suspect.confidence, suspect.signs.join(", ")));
    let gdb = (suspect.stands_out && !suspect.gdb.is_empty()).then(|| format!("gdb: {}", suspect.gdb));
    let parts: Vec<String> = sure.into_iter().chain(gdb).map(|part| clean(&part)).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Numbered sentences, one container each.
pub fn suspect_list(suspects: &[Suspect], look: Look) -> String {
    let mut out = String::new();
    for (i, suspect) in suspects.iter().enumerate() {
        let number = format!("{:>3}. ", i + 1);
        let text = clean(&suspect.text);
        out.push_str(&wrap(&format!("{number}{text}"), look.width, number.len()));
        out.push('\n');
        for line in suspect.contents.iter().map(|line| clean(line)).chain(how_sure(suspect)) {
            out.push_str(&look.faint(&wrap(
                &format!("{}{line}", " ".repeat(number.len())),
                look.width,
                number.len() + 2,
            )));
            out.push('\n');
        }
    }
    out
}
