//! `core-inspect CORE [BINARY]`: what holds the memory of a dead process. See `core_inspect::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    core_inspect::cli::run(std::env::args_os())
}
