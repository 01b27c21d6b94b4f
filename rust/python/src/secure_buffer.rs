//! `SecureBuffer`: the core's guarded memory as a Python object with the buffer protocol.
//!
//! While a view is held or an operation is under way, the memory is pinned: it is open, its address and size stay, and
//! `close` raises an error. The mutex guards the count of pins. It is never held while Python code runs or a thread waits for
//! the GIL. The content may change at any time, by whoever writes through a view, so nothing here keeps a slice of it
//! across a call.

use crate::detached::Detached;
use crate::errors::OrRaise;
use crate::exported::{Exported, type_name};
use crate::interruptible::read_file;
use crate::no_copy;
pub use crate::pinned::Pinned;
use crate::pinned::Pins;
use crate::unlocked::{Unlocked, view_of};
use nomyo_core::buffer::SecureBuffer as Memory;
use nomyo_core::{arena, stack};
use pyo3::exceptions::{PyBufferError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};
use std::ffi::c_int;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The text of the error for a closed SecureBuffer.
pub const CLOSED: &str = "the SecureBuffer is closed";

/// Locked, guarded, wiped memory for one secret.
///
/// It is made of a size in bytes (the content is then zeros) or of bytes-like data. A writable source is wiped after it
/// was copied. `with` locks the buffer, and wipes and closes it at the end. `==` compares with bytes-like objects in
/// constant time. There is no hash, pickle or copy, and repr shows no content. Any use after `close` raises ValueError;
/// in a forked child, SecurityError.
#[pyclass(frozen, module = "nomyo._core")]
pub struct SecureBuffer {
    state: Mutex<State>,
}

struct State {
    /// None once closed.
    memory: Option<Memory>,
    /// How many views and operations rely on the memory's address.
    pins: usize,
}

impl SecureBuffer {
    /// Wraps the core's memory.
    pub fn from_memory(memory: Memory) -> Self {
        let state = State {
            memory: Some(memory),
            pins: 0,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Makes a buffer with a copy of `content`.
    pub fn from_slice(content: &[u8]) -> nomyo_core::Result<Self> {
        let memory = Memory::filled(content.len(), |out| {
            out.copy_from_slice(content);
            Ok(())
        })?;
        Ok(Self::from_memory(memory))
    }

    /// Pins the memory until the result is dropped; ValueError if the buffer is closed.
    pub fn pin(&self, py: Python<'_>) -> PyResult<Pinned<'_>> {
        or_closed(py, self.pin_if_open())
    }

    /// The same, but None if the buffer is closed.
    pub fn pin_if_open(&self) -> Option<nomyo_core::Result<Pinned<'_>>> {
        let content = self.if_open(|memory, pins| {
            memory.hold()?;
            *pins += 1;
            Ok((memory.address(), memory.len()))
        })?;
        Some(content.map(|(address, len)| Pinned::new(self, address as *mut u8, len)))
    }

    fn from_size(py: Python<'_>, size: &Bound<'_, PyInt>) -> PyResult<Self> {
        let size: usize = size.extract().map_err(|_| {
            if size.lt(0).unwrap_or(false) {
                PyValueError::new_err("the size of a SecureBuffer cannot be negative")
            } else {
                PyOverflowError::new_err("the size of a SecureBuffer does not fit into memory")
            }
        })?;
        Memory::new(size).map(Self::from_memory).or_raise(py)
    }

    fn from_data(data: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = data.py();
        let writable = Exported::writable(data).ok();
        let source = match &writable {
            Some(source) => source,
            None => &Exported::readable(data)?,
        };
        let copied = Memory::filled(source.len(), |content| {
            stack::scrubbed(|| source.copy_to(content));
            Ok(())
        });
        let memory = copied.or_raise(py)?;
        if let Some(source) = &writable {
            source.wipe();
        }
        Ok(Self::from_memory(memory))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the memory and its count of pins, under the mutex; ValueError if the buffer is closed.
    fn with_memory<T>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Memory, &mut usize) -> nomyo_core::Result<T>,
    ) -> PyResult<T> {
        or_closed(py, self.if_open(work))
    }

    /// The same, but None if the buffer is closed.
    fn if_open<T>(
        &self,
        work: impl FnOnce(&mut Memory, &mut usize) -> nomyo_core::Result<T>,
    ) -> Option<nomyo_core::Result<T>> {
        let State { memory, pins } = &mut *self.state();
        memory.as_mut().map(|memory| work(memory, pins))
    }

    /// Wipes the content and unmaps the memory. If a view or an operation still needs the address, it only wipes and
    /// returns false.
    fn wipe_and_close(&self, py: Python<'_>) -> bool {
        let mut state = self.state();
        if let Some(memory) = state.memory.as_mut() {
            // A buffer that cannot be opened has no pins, and goes unwiped: the system clears its pages.
            let _ = memory.wipe();
        }
        if state.pins > 0 {
            return false;
        }
        let memory = state.memory.take();
        drop(state);
        // Without the GIL: unmapping waits for other processors.
        py.detach_counted(|| drop(memory));
        true
    }
}

impl Pins for SecureBuffer {
    fn unpin(&self) {
        let mut state = self.state();
        state.pins -= 1;
        // It is there while it is pinned.
        state.memory.as_ref().inspect(|memory| memory.let_go());
    }
}

fn or_closed<T>(py: Python<'_>, outcome: Option<nomyo_core::Result<T>>) -> PyResult<T> {
    match outcome {
        Some(outcome) => outcome.or_raise(py),
        None => Err(PyValueError::new_err(CLOSED)),
    }
}

#[pymethods]
impl SecureBuffer {
    #[new]
    #[pyo3(signature = (data_or_size, /))]
    fn new(data_or_size: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(size) = data_or_size.cast::<PyInt>() {
            return Self::from_size(data_or_size.py(), size);
        }
        if !Exported::offered_by(data_or_size) {
            return Err(PyTypeError::new_err(format!(
                "a SecureBuffer is made of bytes-like data or a size, not {}{}",
                type_name(data_or_size),
                if data_or_size.is_instance_of::<PyString>() {
                    " (encode it)"
                } else {
                    ""
                },
            )));
        }
        Self::from_data(data_or_size)
    }

    /// Read a whole file directly into locked memory. Raises OSError.
    #[staticmethod]
    fn from_file(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        read_file(py, &path).map(Self::from_memory)
    }

    /// A writable view of the content. While any view is held, the content is open to all code of this process.
    #[getter]
    fn data<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        view_of(slf)
    }

    /// The size of the content in bytes.
    #[getter]
    fn size(&self, py: Python<'_>) -> PyResult<usize> {
        self.with_memory(py, |memory, _| Ok(memory.len()))
    }

    /// The address of the content in memory. It can be touched while a view is held.
    #[getter]
    fn address(&self, py: Python<'_>) -> PyResult<usize> {
        self.with_memory(py, |memory, _| Ok(memory.address()))
    }

    /// Whether all of it is locked in memory now. False after `close`.
    #[getter]
    pub fn locked(&self) -> bool {
        self.state().memory.as_ref().is_some_and(Memory::locked)
    }

    /// Whether `close` was called.
    #[getter]
    fn closed(&self) -> bool {
        self.state().memory.is_none()
    }

    /// Lock it in memory. Returns whether it is locked now.
    pub fn lock(&self, py: Python<'_>) -> PyResult<bool> {
        self.with_memory(py, |memory, _| Ok(memory.lock()))
    }

    /// Unlock it, so that the system may swap it out. Returns whether it is unlocked now.
    fn unlock(&self, py: Python<'_>) -> PyResult<bool> {
        self.with_memory(py, |memory, _| Ok(memory.unlock()))
    }

    /// Overwrite the content with zeros. The same as `wipe`.
    fn zero(&self, py: Python<'_>) -> PyResult<()> {
        self.wipe(py)
    }

    /// Overwrite the content with zeros, in a way that no optimiser removes. Does nothing after `close`.
    fn wipe(&self, py: Python<'_>) -> PyResult<()> {
        match self.if_open(|memory, _| memory.wipe()) {
            Some(outcome) => outcome.or_raise(py),
            None => Ok(()),
        }
    }

    /// Check that nothing in this process can touch the content: nobody uses it. Returns False on Windows.
    ///
    /// Raises BufferError if a view is held or an operation is under way.
    fn protect(&self, py: Python<'_>) -> PyResult<bool> {
        match self.with_memory(py, |memory, pins| Ok((memory.is_protected(), *pins)))? {
            (protected, 0) => Ok(protected),
            _ => Err(PyBufferError::new_err(
                "the SecureBuffer cannot be protected: a view of it is still held",
            )),
        }
    }

    /// Open the content for a `with` block, which gets a writable view. The view is released at the end.
    fn unlocked(slf: Bound<'_, Self>) -> Unlocked {
        Unlocked::new(slf.into_any().unbind())
    }

    /// Wipe the content and release the memory. Idempotent.
    ///
    /// Raises BufferError if a view is held or an operation is under way. The content is wiped even then.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.wipe_and_close(py) {
            return Ok(());
        }
        Err(PyBufferError::new_err(
            "the SecureBuffer was wiped but cannot be closed: a view of it is still held",
        ))
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.get().lock(slf.py())?;
        Ok(slf)
    }

    /// Close the buffer. A BufferError does not replace an exception that is already under way.
    #[pyo3(signature = (exc_type, exc, tb, /))]
    fn __exit__(
        &self,
        exc_type: &Bound<'_, PyAny>,
        exc: &Bound<'_, PyAny>,
        tb: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc, tb);
        match self.close(exc_type.py()) {
            Err(_) if !exc_type.is_none() => Ok(()),
            outcome => outcome,
        }
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.size(py)
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let content = self.pin(py)?;
        PyBytes::new_with(py, content.len(), |out| {
            content.copy_to(0, out);
            Ok(())
        })
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = other.py();
        if !Exported::offered_by(other) {
            return Ok(py.NotImplemented());
        }
        let theirs = Exported::readable(other)?;
        let mut copy = arena::zeroed(theirs.len()).or_raise(py)?;
        theirs.copy_to(&mut copy);
        let equal = self.with_memory(py, |memory, _| {
            let _open = memory.content()?; // an error in a forked child, whose memory has no content
            Ok(stack::scrubbed(|| memory.ct_eq(&copy)))
        })?;
        Ok(equal.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn __repr__(&self) -> String {
        match self.state().memory.as_ref() {
            None => "<SecureBuffer closed>".to_owned(),
            Some(memory) => {
                let lock = if memory.locked() {
                    "locked"
                } else {
                    "not locked"
                };
                format!("<SecureBuffer {} bytes, {lock}>", memory.len())
            }
        }
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(no_copy::refuse("SecureBuffer"))
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(no_copy::refuse("SecureBuffer"))
    }

    // SAFETY: called by the buffer protocol alone, with a view to fill in.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view was given"));
        }
        let pinned = slf.get().pin(slf.py())?;
        // SAFETY: the pin keeps the memory at its address until `__releasebuffer__`; the view takes a
        // reference to the object.
        let failed = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                pinned.pointer().cast(),
                pinned.len().cast_signed(),
                0,
                flags,
            ) != 0
        };
        if failed {
            return Err(PyErr::fetch(slf.py()));
        }
        std::mem::forget(pinned); // `__releasebuffer__` takes the pin back
        Ok(())
    }

    // SAFETY: called by the buffer protocol alone, once for each successful `__getbuffer__`.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.unpin();
    }
}
