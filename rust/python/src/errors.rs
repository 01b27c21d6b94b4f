//! The core's errors as Python exceptions.
//!
//! An exception is built whole, not lazily: PyO3 then restores it as it is, and `__context__` stays
//! None even where the caller was handling another exception, which may hold content.

use nomyo_core::Error;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::type_object::PyTypeInfo;
use pyo3::types::PyType;
use std::path::Path;

static SECURITY_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static DISPOSED_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Lets `?` lead from the core's results into Python.
pub trait OrRaise<T> {
    /// The value, or the Python exception that stands for the error.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for nomyo_core::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| from_core(py, error))
    }
}

/// The Python exception that stands for an error of the core.
pub fn from_core(py: Python<'_>, error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Io { path, source } => match source.downcast::<PyErr>() {
            Ok(raised) => raised, // by a signal's handler
            Err(source) => os_error(py, Some(&path), &source),
        },
        Error::Memory(_) => whole::<PyMemoryError>(py, &text),
        Error::Value(_) => value_error(py, &text),
        Error::Wiped => from_tree(py, &DISPOSED_ERROR, "DisposedError", &text),
        Error::Package
        | Error::Key(_)
        | Error::KeyFile { .. }
        | Error::Unlocked
        | Error::Forked
        | Error::Crypto => security_error(py, &text),
    }
}

/// A `nomyo.errors.SecurityError`.
pub fn security_error(py: Python<'_>, message: &str) -> PyErr {
    from_tree(py, &SECURITY_ERROR, "SecurityError", message)
}

/// A `ValueError` without context.
pub fn value_error(py: Python<'_>, message: &str) -> PyErr {
    whole::<PyValueError>(py, message)
}

/// A `TypeError` without context.
pub fn type_error(py: Python<'_>, message: &str) -> PyErr {
    whole::<PyTypeError>(py, message)
}

/// A `RuntimeError` without context.
pub fn runtime_error(py: Python<'_>, message: &str) -> PyErr {
    whole::<PyRuntimeError>(py, message)
}

fn whole<E: PyTypeInfo>(py: Python<'_>, message: &str) -> PyErr {
    instance(&E::type_object(py), message)
}

/// An exception of `nomyo/errors.py`, which is imported at the first error: `nomyo/__init__.py`
/// itself imports this module.
fn from_tree(py: Python<'_>, class: &PyOnceLock<Py<PyType>>, name: &str, message: &str) -> PyErr {
    match class.import(py, "nomyo.errors", name) {
        Ok(class) => instance(class, message),
        Err(error) => error,
    }
}

fn instance(class: &Bound<'_, PyType>, message: &str) -> PyErr {
    match class.call1((message,)) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// `OSError(errno, text, filename)`, of which Python makes FileNotFoundError and its like.
pub fn os_error(py: Python<'_>, path: Option<&Path>, source: &std::io::Error) -> PyErr {
    let class = PyOSError::type_object(py);
    let path = path.map(Path::as_os_str);
    let made = match source.raw_os_error() {
        Some(errno) => py
            .import("os")
            .and_then(|os| os.call_method1("strerror", (errno,)))
            .and_then(|text| class.call1((errno, text, path))),
        None => class.call1((source.kind().to_string(),)),
    };
    made.map_or_else(|error| error, PyErr::from_value)
}
