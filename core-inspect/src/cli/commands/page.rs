//! Without a verb: the page.

use crate::cli::args::PageArgs;
use crate::cli::exit::Exit;
use crate::cli::options::{Format, Target};
use crate::cli::session::{Depth, Session};
use crate::cli::stage::Stage;
use crate::report::{human, json};
use anyhow::Result;
use std::io::Write;

pub(in crate::cli) fn run(args: PageArgs, stage: &Stage<'_>) -> Result<Exit> {
    let session = Session::open(stage, Target::new(args.core)?, Depth::Full)?;
    let report = session.report(args.contents)?;
    let mut out = session.out();
    match Format::from(args.format) {
        Format::Json => json::write(&mut out, &report)?,
        _ => out.write_all(human::page(&report, args.limit, session.look()).as_bytes())?,
    }
    out.flush()?;
    // The census is printed all the same; that nothing could be walked is said after it, with the exit code.
    session.require_heap()?;
    Ok(Exit::Done)
}
