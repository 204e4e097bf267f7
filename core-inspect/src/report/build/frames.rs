//! Threads, their calls and what these keep alive in rows.

use super::Sources;
use crate::analysis::in_progress::ThreadHolds;
use crate::debuginfo::frames::{Frames, ThreadFrames};
use crate::heap::Totals;
use crate::report::answers::{FrameRow, FramesAnswer, ThreadFramesRow};
use crate::report::model::{Amount, Hex, SCHEMA_VERSION};

/// All threads, those that keep most alive first.
pub fn frames(sources: &Sources<'_>, found: &Frames, holds: &[ThreadHolds]) -> FramesAnswer {
    let threads = sources.process.threads.iter().zip(&found.threads).zip(holds);
    let row = |((thread, frames), holds): ((&crate::process::Thread, &ThreadFrames), &ThreadHolds)| ThreadFramesRow {
        tid: thread.tid,
        end: frames.end.as_str().to_owned(),
        retained: amount(holds.all),
        storage: amount(holds.storage),
        frames: rows(sources, frames, &holds.calls),
    };
    let mut threads: Vec<ThreadFramesRow> = threads.map(row).collect();
    threads.sort_by_key(|thread| std::cmp::Reverse(thread.retained.bytes));
    FramesAnswer { schema_version: SCHEMA_VERSION, threads }
}

/// A row for each frame; what was inlined shares the stack of the function that it is in, which has the figures.
fn rows(sources: &Sources<'_>, found: &ThreadFrames, holds: &[Totals]) -> Vec<FrameRow> {
    let mut calls = found.calls.iter().zip(holds);
    let row = |frame: &crate::debuginfo::model::Frame| {
        let of_call = if frame.is_inlined { None } else { calls.next() };
        let stack = of_call.and_then(|(call, _)| call.cfa.0.checked_sub(call.stack_pointer(sources.process.arch)?.0));
        FrameRow {
            number: frame.number,
            pc: Hex(frame.pc),
            function: frame.function.clone(),
            file: frame.line.as_ref().map(|line| line.file.clone()),
            line: frame.line.as_ref().map(|line| line.line),
            is_inlined: frame.is_inlined,
            trust: frame.trust.as_str().to_owned(),
            locals: frame.variables.len() as u64,
            stack_bytes: stack.unwrap_or(0),
            retained: of_call.map(|(_, totals)| amount(*totals)).unwrap_or_default(),
        }
    };
    found.frames.iter().map(row).collect()
}

fn amount(totals: Totals) -> Amount {
    Amount { chunks: totals.chunks, bytes: totals.bytes }
}
