//! `frames`: what the threads are doing, and what each call in progress keeps alive.

use crate::cli::args::FramesArgs;
use crate::cli::exit::Exit;
use crate::cli::options::{Format, Target};
use crate::cli::session::{Depth, Session};
use crate::cli::stage::Stage;
use crate::report::build::frames::frames;
use crate::report::{csv, human, json};
use anyhow::{Result, bail};
use std::io::Write;

/// Threads of a table for people, unless they ask for more.
const SHOWN: usize = 20;

pub(in crate::cli) fn run(args: FramesArgs, stage: &Stage<'_>) -> Result<Exit> {
    let session = Session::open(stage, Target::new(args.core)?, Depth::Graph)?;
    session.require_heap()?;
    let (found, holds) = (session.frames(), session.thread_holds()?);
    let mut answer = frames(&session.sources(), found, &holds);
    if let Some(tid) = args.thread {
        answer.threads.retain(|thread| thread.tid == tid);
        if answer.threads.is_empty() {
            bail!("--thread {tid}: the core has no such thread");
        }
    }
    let format = Format::from(args.format);
    let shown = if format == Format::Table { SHOWN } else { usize::MAX };
    answer.threads.truncate(args.limit.unwrap_or(shown));
    let mut out = session.out();
    match format {
        Format::Csv => csv::frames(&mut out, &answer.threads)?,
        Format::Json => json::write(&mut out, &answer)?,
        Format::Table => out.write_all(human::frames(&answer, session.look()).as_bytes())?,
    }
    out.flush()?;
    session.tell_warnings();
    Ok(Exit::Done)
}
