//! `info`: the core itself.

use crate::cli::args::InfoArgs;
use crate::cli::exit::Exit;
use crate::cli::options::{Format, Target};
use crate::cli::progress::Display;
use crate::cli::session::{Depth, Session};
use crate::cli::style;
use crate::report::{human, json};
use anyhow::Result;
use std::io::Write;

pub(in crate::cli) fn run(args: InfoArgs, progress: &Display) -> Result<Exit> {
    let session = Session::open(progress, Target::new(args.core)?, Depth::Info)?;
    let answer = session.info();
    let mut out = style::stdout();
    match Format::from(args.format) {
        Format::Json => json::write(&mut out, &answer)?,
        _ => out.write_all(human::info(&answer, session.look()).as_bytes())?,
    }
    out.flush()?;
    Ok(Exit::Done)
}
