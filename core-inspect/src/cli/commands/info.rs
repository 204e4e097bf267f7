//! `info`: the core itself.

use crate::cli::args::InfoArgs;
use crate::cli::exit::Exit;
use crate::cli::options::{Format, Target};
use crate::cli::session::{Depth, Session};
use crate::cli::stage::Stage;
use crate::report::{human, json};
use anyhow::Result;
use std::io::Write;

pub(in crate::cli) fn run(args: InfoArgs, stage: &Stage<'_>) -> Result<Exit> {
    let session = Session::open(stage, Target::new(args.core)?, Depth::Info)?;
    let answer = session.info();
    let mut out = session.out();
    match Format::from(args.format) {
        Format::Json => json::write(&mut out, &answer)?,
        _ => out.write_all(human::info(&answer, session.look()).as_bytes())?,
    }
    out.flush()?;
    Ok(Exit::Done)
}
