//! `chunk ADDR`: what is at an address.

use crate::cli::args::AddressArgs;
use crate::cli::exit::Exit;
use crate::cli::options::{Format, Target};
use crate::cli::session::{Depth, Session};
use crate::cli::stage::Stage;
use crate::report::{human, json};
use anyhow::Result;
use std::io::Write;

pub(in crate::cli) fn run(args: AddressArgs, stage: &Stage<'_>) -> Result<Exit> {
    let (target, at) = Target::with_address(args.core)?;
    let session = Session::open(stage, target, Depth::Retained)?;
    let answer = session.sources().chunk_answer(at);
    let mut out = session.out();
    match Format::from(args.format) {
        Format::Json => json::write(&mut out, &answer)?,
        _ => out.write_all(human::chunk(&answer, session.look()).as_bytes())?,
    }
    out.flush()?;
    session.tell_warnings();
    Ok(Exit::Done)
}
