//! Takes and releases all locks of the arena together.

use super::growth::GROWTH;
use super::heaps::HEAPS;
use super::mapping::MAPPINGS;
use super::spare::SPARE;

/// Takes all locks of the arena, in the order in which they nest: a heap's lock is taken under the growth lock.
pub fn acquire() {
    GROWTH.acquire();
    MAPPINGS.acquire();
    for heap in HEAPS.iter() {
        heap.acquire();
    }
    SPARE.acquire();
}

/// Releases them.
///
/// # Safety
/// The caller, or the thread it was forked from, must hold them.
pub unsafe fn release() {
    // SAFETY: the caller's promise.
    unsafe {
        SPARE.release();
        for heap in HEAPS.iter() {
            heap.release();
        }
        MAPPINGS.release();
        GROWTH.release();
    }
}
