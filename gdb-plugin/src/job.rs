//! A job of the library → the same for Python. Its threads take no signal: those belong to the host.

use core_inspect::cli::embed::{self, Piece, Pieces};
use core_inspect::cli::exit::Exit;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::sync::Mutex;
use std::time::Duration;

/// Work in progress.
#[pyclass(frozen, module = "core_inspect._core_inspect")]
pub(crate) struct Job(Mutex<Option<embed::Job>>);

#[pymethods]
impl Job {
    /// The next piece: `bytes` of the answer, a `str` that was said beside it, the exit code as an `int` at the end, or
    /// `None` when nothing came for so long. Other Python threads run meanwhile.
    fn next<'py>(&self, py: Python<'py>, seconds: f64) -> PyResult<Option<Bound<'py, PyAny>>> {
        let patience = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        py.check_signals()?;
        let piece = py.detach(|| {
            let job = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            job.as_ref().map(|job| job.next(patience))
        });
        py.check_signals()?;
        Ok(match piece {
            None => return Err(PyRuntimeError::new_err("this job was cancelled")),
            Some(None) => None,
            Some(Some(Piece::Answer(bytes))) => Some(PyBytes::new(py, &bytes).into_any()),
            Some(Some(Piece::Said(line))) => Some(PyString::new(py, &line).into_any()),
            Some(Some(Piece::Ended(exit))) => Some(code(exit).into_pyobject(py)?.into_any()),
            Some(Some(Piece::Panicked(message))) => return Err(PyRuntimeError::new_err(message)),
        })
    }

    /// Ends it at its next piece.
    fn cancel(&self, py: Python<'_>) {
        py.detach(|| self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
    }
}

/// Starts a job whose threads have all signals blocked: one that a host waits for must reach a thread of the host.
pub(crate) fn start(py: Python<'_>, work: impl FnOnce(Pieces<'_>) -> Exit + Send + 'static) -> PyResult<Job> {
    let signal = py.import("signal")?;
    let block = (signal.getattr("SIG_BLOCK")?, signal.call_method0("valid_signals")?);
    let before = signal.call_method1("pthread_sigmask", block)?;
    let job = embed::Job::start(work);
    signal.call_method1("pthread_sigmask", (signal.getattr("SIG_SETMASK")?, before))?;
    Ok(Job(Mutex::new(Some(job?))))
}

/// The exit code that the command line has for it.
fn code(exit: Exit) -> u8 {
    match exit {
        Exit::Done => 0,
        Exit::Found => 1,
        Exit::Failed => 2,
    }
}
