//! Work without the GIL that is done before the process ends.

use nomyo_core::exit;
use pyo3::Python;

/// Lets go of the GIL for work on what lies in the arena.
pub trait Detached {
    /// As `Python::detach`, and exit waits for the work: a daemon thread may be at it, and the arena is wiped then.
    fn detach_counted<T: Send>(self, work: impl Send + FnOnce() -> T) -> T;
}

impl Detached for Python<'_> {
    fn detach_counted<T: Send>(self, work: impl Send + FnOnce() -> T) -> T {
        self.detach(|| exit::counted(work))
    }
}
