//! `PageLock`: the pages of a caller's own buffer, held in memory and at their size.

use crate::exported::Exported;
use nomyo_core::page_lock::PageLock as Pages;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
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
    pages: Option<Pages>,
    buffer: Exported,
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
        let buffer = Exported::writable(buffer)?;
        let pages = lock.then(|| Pages::new(buffer.pointer(), buffer.len()));
        Ok(Self {
            held: Mutex::new(Some(Held { pages, buffer })),
        })
    }

    /// Whether every page is locked now.
    #[getter]
    fn locked(&self) -> bool {
        let held = self.held();
        let pages = held.as_ref().and_then(|held| held.pages.as_ref());
        pages.is_some_and(Pages::locked)
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
