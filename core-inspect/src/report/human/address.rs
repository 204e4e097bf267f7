//! Answers about one address: `chunk`, `refs`, `path`.

use super::title;
use crate::base::Avma;
use crate::report::answers::{ChunkAnswer, ChunkRow, PathAnswer, PathStep, RefRow, RefsAnswer};
use crate::report::look::{Look, clean, wrap};
use crate::report::table::Table;
use crate::report::units::{bytes, count, counted};

/// `chunk ADDR` for people.
pub fn chunk(answer: &ChunkAnswer, look: Look) -> String {
    let mut out = lead(answer.address.0, &answer.text, look);
    let Some(row) = &answer.chunk else { return out };
    out.push_str(&detail(answer, row).render(look));
    out.push_str(&dominated(answer, look));
    out.push_str(&title("Neighbours", look));
    let mut rows: Vec<&ChunkRow> = answer.neighbours.iter().chain([row]).collect();
    rows.sort_by_key(|row| row.address);
    out.push_str(&chunk_rows(rows, row).render(look));
    let held = format!("Referred to by {}", counted(answer.referrer_count, "word"));
    out.push_str(&ref_part(&held, &answer.referrers, answer.referrer_count, "core-inspect refs", look));
    let holds = format!("Refers to {}", counted(answer.reference_count, "chunk"));
    out.push_str(&ref_part(&holds, &answer.references, answer.reference_count, "", look));
    out
}

/// What the chunk retains, and whom every way to it goes through.
fn dominated(answer: &ChunkAnswer, look: Look) -> String {
    let Some(retained) = &answer.retained else { return String::new() };
    let mut out = title(&format!("Retains {} in {}", bytes(retained.bytes), counted(retained.chunks, "chunk")), look);
    if answer.dominators.is_empty() {
        out.push_str("  Several owners hold it together.\n");
        return out;
    }
    out.push_str("  Nothing holds it but through\n");
    out.extend(answer.dominators.iter().map(|step| hop(step, look)));
    out
}

/// `refs ADDR` for people.
pub fn refs(answer: &RefsAnswer, look: Look) -> String {
    let lead = lead(answer.address.0, &answer.text, look);
    if answer.what != "chunk" {
        return format!("{lead}  References are known for chunks only.\n");
    }
    let held = format!("Referred to by {}", counted(answer.referrer_count, "word"));
    format!("{lead}{}", ref_part(&held, &answer.referrers, answer.referrer_count, "--limit", look))
}

/// `path ADDR` for people: the root first.
pub fn path(answer: &PathAnswer, look: Look) -> String {
    let mut out = lead(answer.address.0, &answer.text, look);
    match (answer.what.as_str(), answer.reachable) {
        (_, true) => {}
        ("chunk", false) => out.push_str("  No root reaches it.\n"),
        _ => out.push_str("  Paths are known for chunks only.\n"),
    }
    if !answer.steps.is_empty() {
        out.push('\n');
    }
    for step in &answer.steps {
        out.push_str(&hop(step, look));
    }
    out
}

fn hop(step: &PathStep, look: Look) -> String {
    let text = match step.kind.as_str() {
        "more" => look.faint(&format!("    … {} more {} …", count(step.hops), clean(&step.name))),
        _ => {
            let arrow = if step.kind == "chunk" { "  → " } else { "    " };
            let onwards = step.offset_bytes.map(|offset| format!(" at +{offset:#x}")).unwrap_or_default();
            let member = if step.member.is_empty() { String::new() } else { format!(" ({})", clean(&step.member)) };
            let line = format!("{arrow}{}{onwards}{member}", clean(&step.name));
            wrap(&line, look.width, 6)
        }
    };
    format!("{text}\n")
}

fn lead(address: Avma, text: &str, look: Look) -> String {
    wrap(&format!("{address}: {}", clean(text)), look.width, 2) + "\n"
}

fn detail(answer: &ChunkAnswer, row: &ChunkRow) -> Table {
    let mut table = Table::new(2).word("").name("");
    let known = answer.type_evidence.as_ref().map(|evidence| format!(" (by {evidence})")).unwrap_or_default();
    let arena = if row.arena.is_empty() { "none, a mapping of its own".to_owned() } else { row.arena.clone() };
    let size = format!("{} B", count(row.size_bytes));
    let human = if row.size_bytes < 1024 { String::new() } else { format!(" ({})", bytes(row.size_bytes)) };
    for (name, value) in [
        ("chunk", row.address.0.to_string()),
        ("type", if row.type_name.is_empty() { "unknown".to_owned() } else { format!("{}{known}", row.type_name) }),
        ("size", format!("{size}{human} usable")),
        ("state", format!("{}, {}", row.state, row.place)),
        ("arena", arena),
        ("reach", if row.reach.is_empty() { "free, so nothing counts".to_owned() } else { row.reach.clone() }),
    ] {
        table.row([name.to_owned(), value]);
    }
    if let Some(owner) = &answer.owner {
        let declared = answer.owner_declared.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        table.row(["owner".to_owned(), format!("{owner}{declared}")]);
    }
    table
}

fn chunk_rows(rows: Vec<&ChunkRow>, here: &ChunkRow) -> Table {
    let mut table =
        Table::new(2).word("").word("address").number("bytes").word("state").word("place").word("reach").name("type");
    for row in rows {
        let mark = if row.address == here.address { ">" } else { "" };
        table.row([
            mark.to_owned(),
            row.address.0.to_string(),
            count(row.size_bytes),
            row.state.clone(),
            row.place.clone(),
            row.reach.clone(),
            row.type_name.clone(),
        ]);
    }
    table
}

fn ref_part(heading: &str, rows: &[RefRow], total: u64, more: &str, look: Look) -> String {
    let mut table = Table::new(2).name("").word("").name("");
    for row in rows {
        let edge = match row.delta_bytes {
            0 => row.edge.clone(),
            delta => format!("{} +{delta:#x}", row.edge),
        };
        let place = match (row.type_name.as_str(), row.member.as_str()) {
            (name, "") => name.to_owned(),
            ("", member) => member.to_owned(),
            (name, member) => format!("{name} ({member})"),
        };
        table.row([row.name.clone(), edge, place]);
    }
    let mut out = title(heading, look);
    if !table.is_empty() {
        out.push_str(&table.render(look));
    }
    let left = total.saturating_sub(rows.len() as u64);
    if left > 0 {
        let hint = if more.is_empty() { String::new() } else { format!(": {more}") };
        out.push_str(&look.faint(&format!("  {} more{hint}", count(left))));
        out.push('\n');
    }
    out
}
