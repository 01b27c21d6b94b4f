//! Python's functions that concern the whole process: locked memory, hardening, the crypto library.

use crate::detached::Detached;
use crate::errors::{self, OrRaise};
use nomyo_core::crypto::{self, cpu, random};
use nomyo_core::{Error, arena, harden, hidden, os, refused};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Draw the process's first random bytes (some 30 ms), so that no request waits for them. Releases the GIL.
#[pyfunction]
pub fn warm_up(py: Python<'_>) -> PyResult<()> {
    py.detach_counted(random::warm_up).or_raise(py)
}

/// Return whether a page can be locked under the present limit, by locking one and releasing it.
#[pyfunction]
pub fn can_lock() -> bool {
    os::can_lock()
}

/// Call a function and return its value; while it runs, this thread's working memory must be locked.
///
/// Raises SecurityError if sealing, opening or a new SecureBuffer would take memory that is not locked, or if anything
/// else of the native core took such memory meanwhile.
#[pyfunction]
pub fn in_locked_memory<'py>(function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let _required = arena::LockedRequired::new();
    let value = function.call0()?;
    arena::check_required().or_raise(function.py())?;
    Ok(value)
}

/// Return figures of the arena, in bytes.
///
/// locked_bytes; unlocked_bytes (now); unlocked_peak_bytes (the most in use at one time so far); in_use_bytes;
/// limit_bytes (-1 if there is no limit); budget_bytes (what the arena takes at most of that limit); page_size.
#[pyfunction]
pub fn memory_status(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let status = arena::status();
    let figures = PyDict::new(py);
    figures.set_item("locked_bytes", status.locked_bytes)?;
    figures.set_item("unlocked_bytes", status.unlocked_bytes)?;
    figures.set_item("unlocked_peak_bytes", status.unlocked_peak_bytes)?;
    figures.set_item("in_use_bytes", status.in_use_bytes)?;
    match status.limit_bytes {
        Some(limit) => figures.set_item("limit_bytes", limit)?,
        None => figures.set_item("limit_bytes", -1)?,
    }
    figures.set_item("budget_bytes", status.budget_bytes)?;
    figures.set_item("page_size", status.page_size)?;
    Ok(figures)
}

/// Return whether all working memory is locked and always was. Cheap enough to be asked for every request.
#[pyfunction]
pub fn all_locked() -> bool {
    arena::all_locked()
}

/// Switch off core dumps and tracing, see `nomyo.harden_process`. Idempotent. Raises OSError.
#[pyfunction]
pub fn harden_process(py: Python<'_>) -> PyResult<()> {
    harden::harden_process().map_err(|error| errors::os_error(py, None, &error))
}

/// Move keys, working memory and SecureBuffers into pages that the kernel reads for nobody, now and from now on.
///
/// Returns None, or why the system refuses that; then all stays locked as it was, and `refused_calls` names
/// memfd_secret. Idempotent. Raises SecurityError if a SecureBuffer has a view, a file is being read into one, or other
/// threads' native work does not end within 2 s: nothing has changed then.
#[pyfunction]
pub fn hide_memory(py: Python<'_>) -> PyResult<Option<&'static str>> {
    // With the GIL, so that no other thread uses the core's memory outside of `detach_counted`.
    match hidden::hide_memory() {
        Ok(()) => Ok(None),
        Err(Error::NotHidden(why)) => Ok(Some(why)),
        other => other.or_raise(py).map(|()| None),
    }
}

/// Return whether working memory is hidden: reading it as others would was tried and failed. None if it cannot be
/// tried.
#[pyfunction]
pub fn memory_is_hidden() -> Option<bool> {
    hidden::measured()
}

/// Return the names of the system's calls that a protection needs and that were refused: MADV_DONTDUMP, pthread_atfork,
/// atexit, and memfd_secret after `hide_memory`.
#[pyfunction]
pub fn refused_calls() -> Vec<&'static str> {
    refused::refused().collect()
}

/// Return who may dump and trace this process (prctl(2), PR_GET_DUMPABLE); None if the system has no such figure.
///
/// 0: only root may trace it, and no core dumps are written. 1: its user may do both. 2: only root may trace it, and
/// core dumps are written for root to read.
#[pyfunction]
pub fn dumpable() -> Option<u32> {
    os::dumpable()
}

/// Return the processor's instructions by which the crypto library chooses its code, and whether this processor has
/// them.
#[pyfunction]
pub fn cpu_features(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let features = PyDict::new(py);
    for (name, there) in cpu::features() {
        features.set_item(name, there)?;
    }
    Ok(features)
}

/// Return the name and version of the crypto library.
#[pyfunction]
pub fn crypto_version() -> String {
    crypto::version()
}
