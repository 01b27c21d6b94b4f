//! `PageLock`: the pages of a caller's own buffer, held in memory and at their size.

use crate::exported::Exported;
use crate::secure_buffer::SecureBuffer;
use nomyo_core::page_lock::PageLock as Pages;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Holds the pages of a caller's own writable buffer in memory; its size cannot change meanwhile.
///
/// Pages shared with another PageLock stay locked until the last one is released. With `lock=False`
/// the buffer is held, and can be wiped, but not locked. Raises TypeError where the buffer cannot be
/// written to.
#[pyclass(frozen, module = "nomyo._core")]
pub struct PageLock {
    held: Mutex<Option<Held>>,
}

/// In the order in which they are let go of: the pages are unlocked while the buffer is still held.
struct Held {
    lock: Lock,
    buffer: Exported,
}

enum Lock {
    None,
    Pages(Pages),
    /// A SecureBuffer has its pages for itself and locks them itself; locks do not nest (mlock(2)), so
    /// a second one would take the first along when it is released.
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

    fn holds(&self) -> bool {
        match self {
            Self::None => false,
            Self::Pages(pages) => pages.locked(),
            Self::Own(buffer) => buffer.get().locked(),
        }
    }
}

/// The SecureBuffer that the object is, or is a view of.
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
        self.held().as_ref().is_some_and(|held| held.lock.holds())
    }

    /// Overwrite the buffer with zeros, in a way that no optimiser removes. Raises ValueError once released.
    fn wipe(&self) -> PyResult<()> {
        match self.held().as_ref() {
            Some(held) => {
                held.buffer.wipe();
                Ok(())
            }
            None => Err(PyValueError::new_err("the PageLock was released")),
        }
    }

    /// Unlock and let go of the buffer. Idempotent.
    fn release(&self) {
        // Taken out first: letting go of the buffer may run Python code, never under the mutex.
        let held = self.held().take();
        drop(held);
    }
}
