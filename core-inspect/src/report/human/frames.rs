//! Threads and the calls that keep something alive as a table.

use crate::report::answers::{FrameRow, FramesAnswer};
use crate::report::look::Look;
use crate::report::table::Table;
use crate::report::units::{bytes, count};

/// A row for each thread, and below it one for each call that holds something. The innermost call with a line of the
/// program's own sources tells what the thread is doing, so that it stands even when it holds nothing.
pub fn frames(answer: &FramesAnswer, look: Look) -> String {
    let mut table = Table::new(2).number("thread").number("frame").number("chunks").number("holds").name("function");
    table = table.name("at");
    for thread in &answer.threads {
        let storage = match thread.storage.bytes {
            0 => String::new(),
            held => format!("{} by its thread-local storage", bytes(held)),
        };
        let (tid, held) = (thread.tid.to_string(), thread.retained);
        table.row([tid, "all".to_owned(), count(held.chunks), bytes(held.bytes), storage, String::new()]);
        let own =
            thread.frames.iter().find(|frame| frame.line.is_some() && !is_library(frame)).map(|frame| frame.number);
        let is_shown = |frame: &&FrameRow| frame.retained.bytes > 0 || Some(frame.number) == own;
        for frame in thread.frames.iter().filter(is_shown) {
            let held = frame.retained;
            let name = frame.function.clone().unwrap_or_else(|| frame.pc.0.to_string());
            let (chunks, holds) = (count(held.chunks), bytes(held.bytes));
            table.row([String::new(), frame.number.to_string(), chunks, holds, name, place(frame)]);
        }
    }
    if table.is_empty() { "  No threads.\n".to_owned() } else { table.render(look) }
}

/// Distributions' debug files often name sources by a path from the place where they were built.
///
/// False positive: a program that was compiled by such paths; then the row is missing. Some of libc's have none and stand.
fn is_library(frame: &FrameRow) -> bool {
    frame.file.as_ref().is_none_or(|file| file.starts_with('.') || file.starts_with("/usr/include"))
}

/// `rpc_server.cc:41`.
fn place(frame: &FrameRow) -> String {
    match (&frame.file, frame.line) {
        (Some(file), Some(line)) => crate::debuginfo::SourceLine { file: file.clone(), line }.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    #[test]
    fn calls_that_hold_something() {
        let text = frames(&sample::frames_answer(), Look::default());
        assert!(text.contains("serve") && text.contains("rpc_server.cc:41"), "{text}");
        assert!(!text.contains("pause"), "it holds nothing: {text}");
    }
}
