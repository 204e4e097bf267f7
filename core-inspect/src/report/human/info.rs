//! The core itself: threads, modules, mappings, missing files.

use super::{confidence, head, memory, title};
use crate::report::answers::InfoAnswer;
use crate::report::look::{Look, clean, wrap};
use crate::report::table::Table;
use crate::report::units::{bytes, count};

/// `info` for people.
pub fn info(answer: &InfoAnswer, look: Look) -> String {
    let mut out = String::new();
    for line in [head::process(&answer.process), head::core(&answer.core)] {
        out.push_str(&wrap(&clean(&line), look.width, 2));
        out.push('\n');
    }
    if let Some(arguments) = &answer.arguments {
        out.push_str(&wrap(&clean(&format!("command line: {arguments}")), look.width, 2));
        out.push('\n');
    }
    out.push_str(&memory::beside(&answer.memory));
    for (heading, table) in [
        (format!("Threads ({})", count(answer.threads.len() as u64)), threads(answer)),
        (format!("Modules ({})", count(answer.modules.len() as u64)), modules(answer)),
        (format!("Mappings ({})", count(answer.mappings.len() as u64)), mappings(answer)),
    ] {
        out.push_str(&title(&heading, look));
        out.push_str(&table.render(look));
    }
    out.push_str(&missing(answer, look));
    for line in confidence::problems(&answer.problems, look) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

fn threads(answer: &InfoAnswer) -> Table {
    let mut table = Table::new(2)
        .number("thread")
        .number("tid")
        .word("signal")
        .word("pc")
        .name("function")
        .word("sp")
        .number("stack in use");
    for row in &answer.threads {
        table.row([
            row.number.to_string(),
            row.tid.to_string(),
            row.signal.clone().unwrap_or_default(),
            row.pc.0.to_string(),
            row.function.clone(),
            row.sp.0.to_string(),
            row.stack_live_bytes.map(bytes).unwrap_or_default(),
        ]);
    }
    table
}

fn modules(answer: &InfoAnswer) -> Table {
    let mut table = Table::new(2).word("start").word("end").word("file").name("build-id").name("path");
    for row in &answer.modules {
        table.row([
            row.start.0.to_string(),
            row.end.0.to_string(),
            row.file.clone(),
            row.build_id.clone().unwrap_or_default(),
            row.path.clone(),
        ]);
    }
    table
}

fn mappings(answer: &InfoAnswer) -> Table {
    let mut table = Table::new(2)
        .word("start")
        .word("end")
        .number("bytes")
        .number("in core")
        .word("access")
        .word("kind")
        .name("path");
    for row in &answer.mappings {
        table.row([
            row.start.0.to_string(),
            row.end.0.to_string(),
            bytes(row.end.0.0 - row.start.0.0),
            bytes(row.dumped_bytes),
            row.access.clone(),
            row.kind.clone(),
            row.path.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn missing(answer: &InfoAnswer, look: Look) -> String {
    let trouble: Vec<_> = answer.modules.iter().filter(|row| row.local_path.is_none()).collect();
    if trouble.is_empty() {
        return String::new();
    }
    let mut table = Table::new(2).word("").name("").name("");
    for row in trouble {
        let why = if row.file == "mismatch" { "another build" } else { "not found" };
        let id = row.build_id.as_ref().map(|id| format!("wants {id}")).unwrap_or_default();
        table.row([why.to_owned(), row.path.clone(), id]);
    }
    format!("{}{}", title("Files that could not be used", look), table.render(look))
}
