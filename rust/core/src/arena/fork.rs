//! What `fork` does to the arena.
//!
//! Only the forking thread lives on in the child. So that no lock is held there by a thread that
//! does not exist, all locks are taken before the fork and released after it on both sides. The
//! child inherits the pages but not their lock (mlock(2)), and locks them again; where that fails
//! they count as unlocked from then on.

use super::mapping::{MAPPINGS, relock_all};
use super::region::{BUDGET, GROWTH, Region, region};
use super::shards::{HEAPS, share_of};
use crate::{os, page_lock};
use std::sync::atomic::{AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(0);

/// 0 in the first process, one more in every forked child.
#[inline]
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Has the handlers called around every fork. Called once, when the arena is set up.
pub fn register() {
    os::at_fork(before, after_in_parent, after_in_child);
}

/// Takes all locks, in the order in which they nest anywhere: allocations happen under that of
/// [`page_lock`], growth asks heaps.
extern "C" fn before() {
    page_lock::ACTIVE.acquire();
    GROWTH.acquire();
    MAPPINGS.acquire();
    for heap in &HEAPS {
        heap.acquire();
    }
}

extern "C" fn after_in_parent() {
    // SAFETY: `before` took them, in this thread.
    unsafe { release_all() };
}

extern "C" fn after_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    // Counted anew below: blocks that lose their lock here come back as unlocked ones.
    BUDGET.forget_served_unlocked();
    if let Some(region) = region() {
        // SAFETY: `before` took all locks, in the thread that this one was forked from.
        unsafe { relock_chunks(region) };
    }
    // SAFETY: as above.
    unsafe {
        relock_all(MAPPINGS.held_value());
        release_all();
    }
    page_lock::forget_inherited();
}

/// # Safety
/// The caller must hold all locks, in the child.
unsafe fn relock_chunks(region: &Region) {
    // SAFETY: the caller's promise.
    let growth = unsafe { GROWTH.held_value() };
    let mut lost = [false; HEAPS.len()];
    // SAFETY: the caller's promise.
    for chunk in unsafe { region.open_chunks(growth) } {
        let owner = region.chunks.owner(chunk);
        // SAFETY: the caller's promise.
        let was_locked = unsafe { region.chunks.ledger(chunk) }.locked;
        // SAFETY: the caller's promise.
        let is_locked = unsafe { region.relock(chunk, share_of(owner)) };
        lost[owner] |= was_locked && !is_locked;
        if !is_locked {
            // SAFETY: the caller's promise.
            BUDGET.serve_unlocked(unsafe { region.chunks.in_use_bytes(chunk) });
        }
    }
    for (number, heap) in HEAPS.iter().enumerate().filter(|(number, _)| lost[*number]) {
        // SAFETY: the caller's promise.
        let open = unsafe { region.open_chunks(growth) };
        let own = open.filter(|chunk| region.chunks.owner(*chunk) == number);
        // SAFETY: the caller's promise.
        unsafe { heap.held_value() }.rebuild(&region.chunks, own);
    }
}

/// # Safety
/// The caller, or the thread it was forked from, must hold all locks.
unsafe fn release_all() {
    // SAFETY: the caller's promise.
    unsafe {
        for heap in &HEAPS {
            heap.release();
        }
        MAPPINGS.release();
        GROWTH.release();
        page_lock::ACTIVE.release();
    }
}
