//! `refs ADDR`: who refers to a chunk.

use crate::cli::args::RefsArgs;
use crate::cli::exit::Exit;
use crate::cli::options::{Format, Target};
use crate::cli::session::{Depth, Session};
use crate::cli::stage::Stage;
use crate::report::{csv, human, json};
use anyhow::Result;
use std::io::Write;

pub(in crate::cli) fn run(args: RefsArgs, stage: &Stage<'_>) -> Result<Exit> {
    let (target, at) = Target::with_address(args.core)?;
    let session = Session::open(stage, target, Depth::Graph)?;
    let answer = session.sources().refs_answer(at, args.limit);
    let mut out = session.out();
    match Format::from(args.format) {
        Format::Csv => csv::refs(&mut out, &answer.referrers)?,
        Format::Json => json::write(&mut out, &answer)?,
        Format::Table => out.write_all(human::refs(&answer, session.look()).as_bytes())?,
    }
    out.flush()?;
    session.tell_warnings();
    Ok(Exit::Done)
}
