//! `core_inspect::analysis::growth` for Python.

use core_inspect::analysis::growth::{Series, verdict as verdict_on};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What a series of slices says, as a dict.
#[pyfunction]
pub(crate) fn verdict(
    py: Python<'_>,
    live: Vec<f64>,
    births: Vec<u64>,
    survivors: Vec<u64>,
) -> PyResult<Bound<'_, PyDict>> {
    if births.len() != survivors.len() {
        return Err(PyValueError::new_err("births and survivors have different lengths"));
    }
    let found = py.detach(move || verdict_on(Series { live: &live, births: &births, survivors: &survivors }));
    let answer = PyDict::new(py);
    answer.set_item("growth", found.growth.as_str())?;
    answer.set_item("is_leak", found.growth.is_leak())?;
    answer.set_item("slope", found.slope)?;
    answer.set_item("slope_low", found.interval.0)?;
    answer.set_item("slope_high", found.interval.1)?;
    answer.set_item("trend", found.trend)?;
    answer.set_item("survivors", found.survivors)?;
    answer.set_item("leak_factor", found.leak_factor)?;
    answer.set_item("curvature", found.curvature)?;
    answer.set_item("value", found.value)?;
    Ok(answer)
}
