//! `owners`: which variables, threads and other roots hold the memory.

use super::dominators::write;
use crate::cli::args::OwnersArgs;
use crate::cli::exit::Exit;
use crate::cli::options::{Format, Target, tree_options};
use crate::cli::session::{Depth, Session};
use crate::cli::stage::Stage;
use anyhow::Result;

pub(in crate::cli) fn run(args: OwnersArgs, stage: &Stage<'_>) -> Result<Exit> {
    let options = tree_options(&args.tree)?;
    let session = Session::open(stage, Target::new(args.core)?, Depth::Retained)?;
    session.require_heap()?;
    let answer = session.sources().owners_answer(options);
    write(&session, Format::from(args.tree.format), answer)
}
