//! `waste`: bytes that are held for nothing.

use crate::cli::args::WasteArgs;
use crate::cli::exit::Exit;
use crate::cli::filter::ChunkFilter;
use crate::cli::options::{Filter, Format, Target};
use crate::cli::session::{Depth, Session};
use crate::cli::stage::Stage;
use crate::report::build::waste::waste;
use crate::report::{csv, human, json};
use anyhow::{Context, Result};
use std::io::Write;

/// Blocks of each kind in a table for people, unless they ask for more.
const SHOWN: usize = 5;

pub(in crate::cli) fn run(args: WasteArgs, stage: &Stage<'_>) -> Result<Exit> {
    let filter = Filter::new(&args.filter)?;
    let depth = if filter.asks_reach() { Depth::Graph } else { Depth::Types };
    let session = Session::open(stage, Target::new(args.core)?, depth)?;
    session.require_heap()?;
    let sources = session.sources();
    let filter = ChunkFilter::new(&filter, sources);
    let format = Format::from(args.format);
    let shown = if format == Format::Table { SHOWN } else { usize::MAX };
    let answer = waste(&sources, args.limit.unwrap_or(shown), |chunk| filter.passes(chunk));
    let answer = answer.context("there is no heap")?;
    let mut out = session.out();
    match format {
        Format::Csv => csv::waste(&mut out, &answer.blocks)?,
        Format::Json => json::write(&mut out, &answer)?,
        Format::Table => out.write_all(human::waste(&answer, session.look()).as_bytes())?,
    }
    out.flush()?;
    session.tell_warnings();
    Ok(Exit::Done)
}
