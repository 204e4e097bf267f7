//! `completions SHELL`: a completion script.

use crate::cli::args::CompletionsArgs;
use crate::cli::exit::Exit;
use crate::cli::{grammar, style};
use anyhow::Result;
use std::io::Write;

pub(in crate::cli) fn run(args: &CompletionsArgs) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut grammar(), "core-inspect", &mut script);
    let mut out = style::stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(Exit::Done)
}
