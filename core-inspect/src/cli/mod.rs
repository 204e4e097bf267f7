//! Floor 10: the command line. It turns words into options, runs the floors and writes the answer; nothing below it reads
//! arguments, the environment or the terminal.

pub mod args;
mod commands;
mod debuginfod;
pub mod embed;
pub mod exit;
mod filter;
pub mod options;
mod progress;
mod session;
mod stage;
mod style;

use args::{Cli, Verb};
use clap::{CommandFactory, Parser};
use exit::Exit;
use stage::Stage;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program with these words, the first of them its own name.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Cli::try_parse_from(words) {
        Ok(typed) => exit::of(dispatch(typed, &Stage::terminal())).into(),
        Err(error) => {
            // Help and versions end here too, on standard output; a closed pipe is no reason to complain.
            let _ = error.print();
            if error.use_stderr() { Exit::Failed.into() } else { Exit::Done.into() }
        }
    }
}

/// The grammar, for help, completions and the manual page.
pub fn grammar() -> clap::Command {
    Cli::command()
}

fn dispatch(typed: Cli, stage: &Stage<'_>) -> anyhow::Result<Exit> {
    match typed.verb {
        None => commands::page::run(typed.page, stage),
        Some(Verb::Chunks(args)) => commands::chunks::run(args, stage),
        Some(Verb::Types(args)) => commands::types::run(args, stage),
        Some(Verb::Leaks(args)) => commands::leaks::run(args, stage),
        Some(Verb::Chains(args)) => commands::chains::run(args, stage),
        Some(Verb::Containers(args)) => commands::containers::run(args, stage),
        Some(Verb::Duplicates(args)) => commands::duplicates::run(args, stage),
        Some(Verb::Waste(args)) => commands::waste::run(args, stage),
        Some(Verb::Sites(args)) => commands::sites::run(args, stage),
        Some(Verb::Frames(args)) => commands::frames::run(args, stage),
        Some(Verb::Dominators(args)) => commands::dominators::run(args, stage),
        Some(Verb::Owners(args)) => commands::owners::run(args, stage),
        Some(Verb::Chunk(args)) => commands::chunk::run(args, stage),
        Some(Verb::Refs(args)) => commands::refs::run(args, stage),
        Some(Verb::Path(args)) => commands::path::run(args, stage),
        Some(Verb::Info(args)) => commands::info::run(args, stage),
        Some(Verb::Completions(args)) => commands::completions::run(&args),
        Some(Verb::Man) => commands::man::run(),
    }
}
