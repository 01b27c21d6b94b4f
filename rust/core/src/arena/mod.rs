//! The arena: placeholder, the system's allocator for the time being.

use std::alloc::{GlobalAlloc, Layout, System};

/// The global allocator.
pub struct Arena;

// SAFETY: delegates to the system's allocator.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// Hands AWS-LC's allocations to the arena. Called by [`crate::init`].
pub fn install_crypto_hooks() {}

/// What the arena holds right now.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// Bytes of pages that are locked.
    pub locked_bytes: usize,
    /// Bytes of pages that could not be locked.
    pub unlocked_bytes: usize,
    /// Bytes handed out.
    pub in_use_bytes: usize,
    /// Bytes that the arena may lock.
    pub budget_bytes: usize,
    /// RLIMIT_MEMLOCK; `None` where there is no limit.
    pub limit_bytes: Option<u64>,
    /// Bytes of a page.
    pub page_size: usize,
}

/// What the arena holds right now.
pub fn status() -> Status {
    Status {
        locked_bytes: 0,
        unlocked_bytes: 0,
        in_use_bytes: 0,
        budget_bytes: 0,
        limit_bytes: None,
        page_size: 4096,
    }
}

/// Runs `f` with this thread's allocations taken from the share that is reserved for keys.
pub fn with_keys<T>(f: impl FnOnce() -> T) -> T {
    f()
}

/// 0 in the first process, one more in every forked child.
pub fn fork_generation() -> u64 {
    0
}
