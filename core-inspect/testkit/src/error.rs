//! What can go wrong between a fixture's source and its core, each with what to do about it.

use std::path::{Path, PathBuf};

/// Why there is no core.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixtureError {
    /// A program of the tool chain is not installed.
    #[error("{program} is not installed; {hint}")]
    Missing {
        /// What was looked for.
        program: String,
        /// Which package has it.
        hint: String,
    },
    /// The compiler refused.
    #[error("can't compile {source_file}: `{command}` said:\n{stderr}{hint}")]
    Compile {
        /// The fixture.
        source_file: String,
        /// As a shell would take it.
        command: String,
        /// What the compiler said.
        stderr: String,
        /// Which package may be missing; empty when unknown.
        hint: String,
    },
    /// The program ended otherwise than by the dump asked for.
    #[error("{command} in {dir}: {what}\n{stderr}")]
    Run {
        /// As a shell would take it.
        command: String,
        /// The folder it ran in.
        dir: PathBuf,
        /// What happened instead.
        what: String,
        /// What it said.
        stderr: String,
    },
    /// The truth isn't in the expected form.
    #[error("{path}:{line}: not a line of a truth file: {text:?}")]
    Truth {
        /// The file.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A file can't be read or written.
    #[error("can't {action} {path}: {error}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

impl FixtureError {
    pub(crate) fn io(action: &'static str, path: &Path, error: std::io::Error) -> Self {
        Self::Io { action, path: path.into(), error }
    }

    /// True when a package is missing rather than something broken: tests may skip.
    pub fn is_missing_tool(&self) -> bool {
        match self {
            Self::Missing { .. } => true,
            Self::Compile { hint, .. } => !hint.is_empty(),
            _ => false,
        }
    }
}
