//! Refuses `pickle` and `copy` for objects that hold a secret.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// Returns the TypeError that refuses a second copy of a secret.
pub fn refuse(class: &str) -> PyErr {
    PyTypeError::new_err(format!(
        "a {class} cannot be pickled or copied: its secret exists once, in locked memory"
    ))
}
