//! Work without the GIL that the end of the process waits for.

use nomyo_core::exiting;
use pyo3::Python;

/// Releases the GIL for work on memory of the arena.
pub trait Detached {
    /// Does what `Python::detach` does, and makes exit wait for the work: exit wipes the arena, and a daemon thread may
    /// still be working in it.
    fn detach_counted<T: Send>(self, work: impl Send + FnOnce() -> T) -> T;
}

impl Detached for Python<'_> {
    fn detach_counted<T: Send>(self, work: impl Send + FnOnce() -> T) -> T {
        self.detach(|| exiting::counted(work))
    }
}
