//! Turns the core's errors into Python exceptions.
//!
//! Each exception is built here as an object, not lazily by PyO3. So its `__context__` stays None even if the caller is
//! handling another exception, which may hold content.

use nomyo_core::Error;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::type_object::PyTypeInfo;
use pyo3::types::{PyBytes, PyType};
use std::path::Path;

static SECURITY_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static DISPOSED_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Converts the core's results, so that `?` can pass their errors on to Python.
pub trait OrRaise<T> {
    /// Returns the value, or the Python exception for the error.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for nomyo_core::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| from_core(py, error))
    }
}

/// Returns the Python exception for an error of the core.
pub fn from_core(py: Python<'_>, error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Io { path, source } => match source.downcast::<PyErr>() {
            Ok(raised) => raised, // a signal's handler raised it, see `interruptible`
            Err(source) => os_error(py, Some(&path), &source),
        },
        Error::Memory(_) | Error::Stack => builtin::<PyMemoryError>(py, &text),
        Error::Value(_) => value_error(py, &text),
        Error::Wiped => from_tree(py, &DISPOSED_ERROR, "DisposedError", &text),
        Error::Package
        | Error::NotJson
        | Error::Key(_)
        | Error::KeyFile { .. }
        | Error::Unlocked
        | Error::Forked
        | Error::NotHidden(_)
        | Error::InUse(_)
        | Error::Crypto => security_error(py, &text),
    }
}

/// A `nomyo.errors.SecurityError`.
pub fn security_error(py: Python<'_>, message: &str) -> PyErr {
    from_tree(py, &SECURITY_ERROR, "SecurityError", message)
}

/// A `ValueError` without context.
pub fn value_error(py: Python<'_>, message: &str) -> PyErr {
    builtin::<PyValueError>(py, message)
}

/// A `TypeError` without context.
pub fn type_error(py: Python<'_>, message: &str) -> PyErr {
    builtin::<PyTypeError>(py, message)
}

/// A `RuntimeError` without context.
pub fn runtime_error(py: Python<'_>, message: &str) -> PyErr {
    builtin::<PyRuntimeError>(py, message)
}

fn builtin<E: PyTypeInfo>(py: Python<'_>, message: &str) -> PyErr {
    instance(&E::type_object(py), message)
}

/// An exception of `nomyo/errors.py`. It is imported at the first error only, because `nomyo/__init__.py` itself
/// imports this module.
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

/// Input/output error (errno(3)), if the system gave no number: an OSError without one would not name its file.
const EIO: i32 = 5;

/// Makes an `OSError(errno, text, filename)`, which Python turns into FileNotFoundError and the like.
pub fn os_error(py: Python<'_>, path: Option<&Path>, source: &std::io::Error) -> PyErr {
    let class = PyOSError::type_object(py);
    let path = match path.map(|path| python_path(py, path)).transpose() {
        Ok(path) => path,
        Err(error) => return error,
    };
    let made = match source.raw_os_error() {
        Some(errno) => py
            .import("os")
            .and_then(|os| os.call_method1("strerror", (errno,)))
            .and_then(|text| class.call1((errno, text, path))),
        None => class.call1((EIO, source.kind().to_string(), path)),
    };
    made.map_or_else(|error| error, PyErr::from_value)
}

/// Converts a path to a `str` that encodes to the same bytes again in every locale. PyO3's own conversion does not in
/// an ASCII locale.
#[cfg(unix)]
pub fn python_path<'py>(py: Python<'py>, path: &Path) -> PyResult<Bound<'py, PyAny>> {
    use std::os::unix::ffi::OsStrExt;

    let bytes = PyBytes::new(py, path.as_os_str().as_bytes());
    py.import("os")?.call_method1("fsdecode", (bytes,))
}

#[cfg(not(unix))]
pub fn python_path<'py>(py: Python<'py>, path: &Path) -> PyResult<Bound<'py, PyAny>> {
    Ok(path.as_os_str().into_pyobject(py)?.into_any())
}
