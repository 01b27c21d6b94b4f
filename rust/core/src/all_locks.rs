//! Takes and releases all locks of the core together, for a fork and for the exit, which stop everything.
//!
//! The order is the one in which locks nest elsewhere: code that holds the lock of page locks or of buffers allocates,
//! so the arena's locks come last. A new lock in the core belongs in this list.

use crate::{arena, buffer, page_lock};

/// Takes all locks.
pub(crate) fn acquire() {
    page_lock::ACTIVE.acquire();
    buffer::LIVE.acquire();
    arena::all_locks::acquire();
}

/// Releases them.
///
/// # Safety
/// The caller, or the thread it was forked from, must hold all locks.
pub(crate) unsafe fn release() {
    // SAFETY: the caller's promise.
    unsafe {
        arena::all_locks::release();
        buffer::LIVE.release();
        page_lock::ACTIVE.release();
    }
}
