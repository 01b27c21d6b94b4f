//! What concerns the process as a whole.

use crate::detached::Detached;
use crate::errors::{self, OrRaise};
use nomyo_core::{arena, cpu, harden, os, random};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Draw the process's first random bytes (some 30 ms), so that no request waits for them. Releases the GIL.
#[pyfunction]
pub fn warm_up(py: Python<'_>) -> PyResult<()> {
    py.detach_counted(random::warm_up).or_raise(py)
}

/// Whether a page can be locked under the present limit: really tried, then released.
#[pyfunction]
pub fn can_lock() -> bool {
    os::can_lock()
}

/// Call a function, with locked working memory required of the calling thread; its value.
///
/// Raises SecurityError where sealing, opening or a new SecureBuffer in it would take memory that is not
/// locked, or anything else of the native core in it did.
#[pyfunction]
pub fn in_locked_memory<'py>(function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let _required = arena::LockedRequired::new();
    let value = function.call0()?;
    arena::check_required().or_raise(function.py())?;
    Ok(value)
}

/// Figures of the arena in bytes: locked_bytes, unlocked_bytes (now), unlocked_peak_bytes (the most at one time so far),
/// in_use_bytes, limit_bytes, budget_bytes, page_size.
///
/// `limit_bytes` is -1 where there is no limit.
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

/// Whether all working memory so far was locked, now and at every moment before: cheap enough for every request.
#[pyfunction]
pub fn all_locked() -> bool {
    arena::all_locked()
}

/// Switch off core dumps and ptrace by others, for this process and those that it forks. Idempotent. Raises OSError.
///
/// Afterwards no other process of the same user can attach, nor read this one's memory, unless it holds CAP_SYS_PTRACE
/// or had attached before; nothing dumps core. A program started by execve(2) keeps the limit on core dumps (0, hard too)
/// and can be traced again (prctl(2)). Without root, `/proc/self/mem` and `/proc/self/environ` can no longer be opened.
#[pyfunction]
pub fn harden_process(py: Python<'_>) -> PyResult<()> {
    harden::harden_process().map_err(|error| errors::os_error(py, None, &error))
}

/// Who may dump and trace this process, by PR_GET_DUMPABLE: 0 root alone, 1 its user too, 2 root alone, core dumps being
/// written. None where the system has no such figure.
#[pyfunction]
pub fn dumpable() -> Option<u32> {
    os::dumpable()
}

/// The instructions that the crypto library picks its code by, and whether this processor has them.
#[pyfunction]
pub fn cpu_features(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let features = PyDict::new(py);
    for (name, there) in cpu::features() {
        features.set_item(name, there)?;
    }
    Ok(features)
}

/// Name and version of the crypto library.
#[pyfunction]
pub fn crypto_version() -> String {
    let version = aws_lc_sys::AWSLC_VERSION_NUMBER_STRING;
    format!(
        "AWS-LC {}",
        String::from_utf8_lossy(version).trim_end_matches('\0')
    )
}
