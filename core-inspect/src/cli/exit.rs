//! How a run ends: the exit codes, and what is said on standard error before.

use std::io::{self, Write};
use std::process::ExitCode;

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done.
    Done,
    /// Found what was asked to be absent.
    Found,
    /// Could not.
    Failed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Found => Self::from(1),
            Exit::Failed => Self::from(2),
        }
    }
}

/// The end of a run that returned `result`: errors are told in one line, a closed pipe is a reader who has seen enough.
pub fn of(result: anyhow::Result<Exit>) -> Exit {
    match result {
        Ok(exit) => exit,
        Err(error) if is_closed_pipe(&error) => Exit::Done,
        Err(error) => {
            say(&format!("{error:#}"));
            Exit::Failed
        }
    }
}

/// One line on standard error; a closed one is no reason to stop.
pub fn say(text: &str) {
    let line = crate::report::look::clean(text);
    let _ = writeln!(io::stderr(), "core-inspect: {line}");
}

/// Whether the reader of the answer has gone.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_success_wherever_it_is_in_the_chain() {
        let closed = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing the table");
        assert_eq!(of(Err(closed)), Exit::Done);
        assert_eq!(of(Ok(Exit::Found)), Exit::Found);
    }
}
