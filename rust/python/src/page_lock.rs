//! `PageLock`: locks the pages of a caller's own buffer into memory, and keeps the buffer at its address and size.

use crate::exported::Exported;
use crate::secure_buffer::SecureBuffer;
use nomyo_core::page_lock::PageLock as Pages;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks the pages of a caller's own writable buffer into memory. While it is held, the buffer's size cannot change.
///
/// Pages that several PageLocks share stay locked until the last of them is released. With `lock=False` the buffer is
/// held and can be wiped, but its pages are not locked. Raises TypeError if the buffer is not writable or not
/// contiguous. A SecureBuffer is locked by its own `lock`, and stays locked after the release.
#[pyclass(frozen, module = "nomyo._core")]
pub struct PageLock {
    held: Mutex<Option<Held>>,
}

// Fields are dropped in this order: the pages are unlocked while the buffer is still held.
struct Held {
    lock: Lock,
    buffer: Exported,
}

enum Lock {
    None,
    Pages(Pages),
    /// A SecureBuffer, which locks its own pages. A second lock on them would do harm: locks do not nest (mlock(2)), so
    /// releasing it would unlock the SecureBuffer.
    Own(Py<SecureBuffer>),
}

impl Lock {
    fn of(object: &Bound<'_, PyAny>, buffer: &Exported) -> PyResult<Self> {
        let Some(owner) = secure_buffer_behind(object)? else {
            return Ok(Self::Pages(Pages::new(buffer.pointer(), buffer.len())));
        };
        owner.get().lock(object.py())?;
        Ok(Self::Own(owner.unbind()))
    }

    fn is_locked(&self) -> bool {
        match self {
            Self::None => false,
            Self::Pages(pages) => pages.locked(),
            Self::Own(buffer) => buffer.get().locked(),
        }
    }
}

/// Returns the SecureBuffer that the object is or is a view of, if it is one.
fn secure_buffer_behind<'py>(
    object: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, SecureBuffer>>> {
    let exporter = match object.cast::<PyMemoryView>() {
        Ok(view) => view.getattr("obj")?,
        Err(_) => object.clone(),
    };
    Ok(exporter.cast_into().ok())
}

impl PageLock {
    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PageLock {
    #[new]
    #[pyo3(signature = (buffer, /, *, lock = true))]
    fn new(buffer: &Bound<'_, PyAny>, lock: bool) -> PyResult<Self> {
        let object = buffer;
        let buffer = Exported::writable(object)?;
        let lock = if lock {
            Lock::of(object, &buffer)?
        } else {
            Lock::None
        };
        Ok(Self {
            held: Mutex::new(Some(Held { lock, buffer })),
        })
    }

    /// Whether every page is locked now.
    #[getter]
    fn locked(&self) -> bool {
        self.held()
            .as_ref()
            .is_some_and(|held| held.lock.is_locked())
    }

    /// Overwrite the buffer with zeros, in a way that no optimiser removes. Raises ValueError after `release`.
    fn wipe(&self) -> PyResult<()> {
        match self.held().as_ref() {
            Some(held) => {
                held.buffer.wipe();
                Ok(())
            }
            None => Err(PyValueError::new_err("the PageLock was released")),
        }
    }

    /// Unlock the pages and release the buffer. Idempotent.
    fn release(&self) {
        // Taken out first: releasing the buffer may run Python code, which must never run under the mutex.
        let held = self.held().take();
        drop(held);
    }
}
