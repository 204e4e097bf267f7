//! `man`: the manual page.

use crate::cli::exit::Exit;
use crate::cli::{grammar, style};
use anyhow::Result;
use clap_mangen::Man;
use std::io::Write;

pub(in crate::cli) fn run() -> Result<Exit> {
    let mut out = style::stdout();
    Man::new(grammar()).render(&mut out)?;
    out.flush()?;
    Ok(Exit::Done)
}
