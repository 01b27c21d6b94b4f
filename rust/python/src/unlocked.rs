//! `with buffer.unlocked() as view`: a view of a SecureBuffer that ends with the block.

use crate::no_copy;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Opens the content of a SecureBuffer for a `with` block. `SecureBuffer.unlocked` makes it.
#[pyclass(frozen, module = "nomyo._core")]
pub struct Unlocked {
    buffer: Py<PyAny>,
    /// The view, while the block runs.
    view: Mutex<Option<Py<PyAny>>>,
}

impl Unlocked {
    pub fn new(buffer: Py<PyAny>) -> Self {
        Self {
            buffer,
            view: Mutex::new(None),
        }
    }

    fn view(&self) -> MutexGuard<'_, Option<Py<PyAny>>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a memoryview of an object.
pub fn view_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: an object is given; the result is a new reference.
    unsafe {
        let view = ffi::PyMemoryView_FromObject(object.as_ptr());
        Bound::from_owned_ptr_or_err(object.py(), view)
    }
}

#[pymethods]
impl Unlocked {
    /// Open the content. Raises RuntimeError if the block is entered already.
    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let data = view_of(self.buffer.bind(py))?;
        let mut view = self.view();
        if view.is_some() {
            drop(view); // a view is released by Python code, which must never run under the mutex
            return Err(PyRuntimeError::new_err(
                "the block of unlocked() is entered already: call unlocked() for each block",
            ));
        }
        *view = Some(data.clone().unbind());
        Ok(data)
    }

    /// Release the view. Raises BufferError if an object still uses it, unless an exception is under way.
    #[pyo3(signature = (exc_type, exc, tb, /))]
    fn __exit__(
        &self,
        exc_type: &Bound<'_, PyAny>,
        exc: &Bound<'_, PyAny>,
        tb: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc, tb);
        let py = exc_type.py();
        let Some(view) = self.view().take() else {
            return Ok(());
        };
        match view.call_method0(py, "release") {
            Err(error) if exc_type.is_none() => Err(error),
            _ => Ok(()),
        }
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(no_copy::refuse("view of a SecureBuffer"))
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(no_copy::refuse("view of a SecureBuffer"))
    }
}
