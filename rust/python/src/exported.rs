//! The memory of the caller's own objects, held through the buffer protocol.

use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::c_int;

/// A contiguous buffer of another object. While it is held, its address and size cannot change.
///
/// Its content can: whoever has the object may write to it at any time. So it is copied through a raw pointer and never
/// borrowed as a slice.
pub struct Exported {
    // Boxed, since some exporters keep pointers into the struct itself (`shape` points to `len`).
    view: Box<ffi::Py_buffer>,
}

// SAFETY: a Py_buffer belongs to no thread. Releasing it needs the GIL, which Drop takes.
unsafe impl Send for Exported {}
// SAFETY: no method changes the view.
unsafe impl Sync for Exported {}

impl Exported {
    /// Holds an object's buffer, to read from.
    pub fn readable(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::export(object, ffi::PyBUF_SIMPLE)
    }

    /// Holds an object's buffer, to write to; TypeError if the object has no such buffer.
    pub fn writable(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = object.py();
        Self::export(object, ffi::PyBUF_WRITABLE).map_err(|error| {
            let has_none = error.is_instance_of::<PyBufferError>(py)
                || error.is_instance_of::<PyTypeError>(py);
            if !has_none {
                return error;
            }
            PyTypeError::new_err(format!(
                "a writable, contiguous buffer is needed (bytearray, memoryview, SecureBuffer), not {}",
                type_name(object)
            ))
        })
    }

    /// Whether the object has a buffer at all.
    pub fn offered_by(object: &Bound<'_, PyAny>) -> bool {
        // SAFETY: the object is alive; the call cannot fail.
        unsafe { ffi::PyObject_CheckBuffer(object.as_ptr()) != 0 }
    }

    fn export(object: &Bound<'_, PyAny>, flags: c_int) -> PyResult<Self> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: `view` is a fresh Py_buffer at an address that stays.
        let failed = unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &mut *view, flags) } != 0;
        if failed {
            return Err(PyErr::fetch(object.py()));
        }
        Ok(Self { view })
    }

    /// The address of the first byte. It is never null, not even if the buffer is empty.
    pub fn pointer(&self) -> *mut u8 {
        if self.view.buf.is_null() {
            return std::ptr::dangling_mut();
        }
        self.view.buf.cast()
    }

    /// The size in bytes.
    pub fn len(&self) -> usize {
        self.view.len.unsigned_abs()
    }

    /// Copies the content, from its beginning, until `out` is full.
    pub fn copy_to(&self, out: &mut [u8]) {
        assert!(out.len() <= self.len());
        // SAFETY: the export keeps `len` bytes at `pointer` readable; `out` is ours alone.
        unsafe { std::ptr::copy_nonoverlapping(self.pointer(), out.as_mut_ptr(), out.len()) }
    }

    /// Overwrites the content with zeros. Only for an export made by [`Exported::writable`].
    pub fn wipe(&self) {
        assert!(self.view.readonly == 0);
        // SAFETY: the export keeps `len` bytes at `pointer` writable.
        unsafe { nomyo_core::os::wipe(self.pointer(), self.len()) }
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        // SAFETY: the view was filled by PyObject_GetBuffer and is released once.
        Python::attach(|_| unsafe { ffi::PyBuffer_Release(&mut *self.view) });
    }
}

/// Returns the name of an object's class, with its module unless that is builtins (`numpy.float32`, `bytes`). It is
/// safe in a message: it is no content.
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    object
        .get_type()
        .fully_qualified_name()
        .map_or_else(|_| "an object".to_owned(), |name| name.to_string())
}
