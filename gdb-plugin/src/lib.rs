//! `core_inspect._core_inspect`: the verbs of core-inspect as a Python extension module, one file for gdb, LLDB and plain Python.
//! `python/core_inspect/_core_inspect.pyi` says what is in it. Only the package `core_inspect` uses it.

mod core;
mod growth;
mod job;

use pyo3::prelude::*;

/// What is in the module.
#[pymodule]
mod _core_inspect {
    #[pymodule_export]
    use super::core::Core;
    #[pymodule_export]
    use super::growth::verdict;
    #[pymodule_export]
    use super::job::Job;

    /// Version of core-inspect.
    #[pymodule_export]
    #[allow(non_upper_case_globals)] // Python's name for it.
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
