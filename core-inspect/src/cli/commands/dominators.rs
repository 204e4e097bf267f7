//! `dominators`: who alone keeps what alive.

use crate::cli::args::DominatorsArgs;
use crate::cli::exit::Exit;
use crate::cli::filter::ChunkFilter;
use crate::cli::options::{Filter, Format, Target, tree_options};
use crate::cli::session::{Depth, Session};
use crate::cli::stage::Stage;
use crate::heap::ChunkId;
use crate::report::answers::TreeAnswer;
use crate::report::{csv, human, json};
use anyhow::Result;
use std::io::Write;

pub(in crate::cli) fn run(args: DominatorsArgs, stage: &Stage<'_>) -> Result<Exit> {
    let options = tree_options(&args.tree)?;
    let is_filtered = args.filter.is_given();
    let filter = Filter::new(&args.filter)?;
    let session = Session::open(stage, Target::new(args.core)?, Depth::Retained)?;
    session.require_heap()?;
    let sources = session.sources();
    let filter = ChunkFilter::new(&filter, sources);
    let chunks = sources.heap.map(|heap| &heap.chunks);
    let passes = |id: ChunkId| chunks.is_some_and(|chunks| filter.passes(&chunks.get(id)));
    let passes: Option<&dyn Fn(ChunkId) -> bool> = if is_filtered { Some(&passes) } else { None };
    let answer = sources.dominators_answer(options, passes);
    write(&session, Format::from(args.tree.format), answer)
}

/// The tree in the asked form.
pub(super) fn write(session: &Session<'_>, format: Format, answer: Option<TreeAnswer>) -> Result<Exit> {
    let answer = answer.unwrap_or_default();
    let mut out = session.out();
    match format {
        Format::Csv => csv::tree(&mut out, &answer.rows)?,
        Format::Json => json::write(&mut out, &answer)?,
        Format::Table => out.write_all(human::tree(&answer, session.look()).as_bytes())?,
    }
    out.flush()?;
    session.tell_warnings();
    Ok(Exit::Done)
}
