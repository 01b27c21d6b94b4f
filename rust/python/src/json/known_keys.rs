//! One `str` for each name of a field in a chat completion, shared by all answers.

use nomyo_core::json::known_names::{NAMES, index_of};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

static STRINGS: [PyOnceLock<Py<PyString>>; NAMES.len()] =
    [const { PyOnceLock::new() }; NAMES.len()];

/// Returns the shared string of a name, if it has one.
pub fn known_key<'py>(py: Python<'py>, key: &[u8]) -> Option<Bound<'py, PyAny>> {
    let index = index_of(key)?;
    let string = STRINGS[index].get_or_init(py, || PyString::intern(py, NAMES[index]).unbind());
    Some(string.bind(py).clone().into_any())
}
