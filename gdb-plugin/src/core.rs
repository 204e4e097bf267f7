//! A core that stays open → jobs, one a question.

use crate::job::{Job, start};
use core_inspect::cli::embed::{Opened, Piece};
use core_inspect::cli::exit::Exit;
use core_inspect::report::look::Look;
use pyo3::prelude::*;
use std::ffi::OsString;
use std::sync::{Arc, OnceLock};

/// A core, opened by its first job.
#[pyclass(frozen, module = "core_inspect._core_inspect")]
pub(crate) struct Core {
    words: Vec<OsString>,
    opened: Arc<OnceLock<Result<Opened, String>>>,
}

#[pymethods]
impl Core {
    /// `CORE [BINARY]` and the options of the command line that say where files are.
    #[new]
    fn new(words: Vec<OsString>) -> Self {
        Self { words, opened: Arc::default() }
    }

    /// Starts a verb: its name, then its options. No words at all only open the core.
    #[pyo3(signature = (words, width, colour))]
    fn ask(&self, py: Python<'_>, words: Option<Vec<OsString>>, width: usize, colour: bool) -> PyResult<Job> {
        let (files, opened) = (self.words.clone(), Arc::clone(&self.opened));
        let look = Look { width, colour };
        start(py, move |pieces| match (opened.get_or_init(|| Opened::open(&files)), words) {
            (Ok(opened), Some(words)) => opened.ask(&words, look, pieces),
            (Ok(_), None) => Exit::Done,
            (Err(error), _) => {
                // A listener who has gone does not need to know.
                drop(pieces(Piece::Said(error.clone())));
                Exit::Failed
            }
        })
    }
}
