//! Findings that do not end the run: they travel in the result and are counted in the report's foot.

use super::Avma;
use std::path::PathBuf;

/// How much a [`Problem`] weighs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Worth knowing; no figure is affected.
    Note,
    /// Some figure may be incomplete.
    Warning,
    /// A part of the answer is missing or wrong in the target itself (corruption).
    Error,
}

/// What kind of trouble, as a stable keyword for scripts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The core file ends before what its headers promise.
    Truncated,
    /// The core holds no bytes for a mapping that matters.
    NotDumped,
    /// A mapped file is not at hand.
    FileMissing,
    /// A mapped file is there, but is another build.
    BuildIdMismatch,
    /// A header or note contradicts itself.
    Malformed,
    /// Heap structures are damaged.
    Corruption,
    /// A self-check against the target's own figures failed.
    CheckFailed,
    /// Something real that this version does not read.
    Unsupported,
    /// Types contradict each other.
    Types,
    /// A bound of ours was hit, and the result is cut there.
    Limit,
}

impl ProblemKind {
    /// The keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::NotDumped => "not-dumped",
            Self::FileMissing => "file-missing",
            Self::BuildIdMismatch => "build-id-mismatch",
            Self::Malformed => "malformed",
            Self::Corruption => "corruption",
            Self::CheckFailed => "check-failed",
            Self::Unsupported => "unsupported",
            Self::Types => "types",
            Self::Limit => "limit",
        }
    }
}

/// One non-fatal finding.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    /// How much it weighs.
    pub severity: Severity,
    /// Its keyword.
    pub kind: ProblemKind,
    /// Where in the process, if it has a place.
    pub at: Option<Avma>,
    /// In which file, if one is concerned.
    pub file: Option<PathBuf>,
    /// What was read, where and why it is wrong: lower case, no full stop.
    pub text: String,
}

impl Problem {
    /// A finding without a place; add one with [`Problem::at`] or [`Problem::in_file`].
    pub fn new(severity: Severity, kind: ProblemKind, text: impl Into<String>) -> Self {
        Self { severity, kind, at: None, file: None, text: text.into() }
    }

    /// The same finding at an address.
    #[must_use]
    pub fn at(mut self, at: Avma) -> Self {
        self.at = Some(at);
        self
    }

    /// The same finding in a file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }
}
