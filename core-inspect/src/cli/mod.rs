//! Floor 10: the command line. It turns words into options, runs the floors and writes the answer; nothing below it reads
//! arguments, the environment or the terminal.

pub mod args;
mod commands;
mod debuginfod;
pub mod exit;
mod filter;
pub mod options;
mod progress;
mod session;
mod style;

use args::{Cli, Verb};
use clap::{CommandFactory, Parser};
use exit::Exit;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program with these words, the first of them its own name.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Cli::try_parse_from(words) {
        Ok(typed) => exit::of(dispatch(typed)).into(),
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

fn dispatch(typed: Cli) -> anyhow::Result<Exit> {
    let progress = progress::Display::new();
    match typed.verb {
        None => commands::page::run(typed.page, &progress),
        Some(Verb::Chunks(args)) => commands::chunks::run(args, &progress),
        Some(Verb::Types(args)) => commands::types::run(args, &progress),
        Some(Verb::Leaks(args)) => commands::leaks::run(args, &progress),
        Some(Verb::Chains(args)) => commands::chains::run(args, &progress),
        Some(Verb::Containers(args)) => commands::containers::run(args, &progress),
        Some(Verb::Duplicates(args)) => commands::duplicates::run(args, &progress),
        Some(Verb::Waste(args)) => commands::waste::run(args, &progress),
        Some(Verb::Sites(args)) => commands::sites::run(args, &progress),
        Some(Verb::Frames(args)) => commands::frames::run(args, &progress),
        Some(Verb::Dominators(args)) => commands::dominators::run(args, &progress),
        Some(Verb::Owners(args)) => commands::owners::run(args, &progress),
        Some(Verb::Chunk(args)) => commands::chunk::run(args, &progress),
        Some(Verb::Refs(args)) => commands::refs::run(args, &progress),
        Some(Verb::Path(args)) => commands::path::run(args, &progress),
        Some(Verb::Info(args)) => commands::info::run(args, &progress),
        Some(Verb::Completions(args)) => commands::completions::run(&args),
        Some(Verb::Man) => commands::man::run(),
    }
}
