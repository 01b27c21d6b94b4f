//! What `fork` does to the arena.
//!
//! Only the forking thread lives on in the child. So that no lock is held there by a thread that
//! does not exist, all locks are taken before the fork and released after it on both sides. The
//! child inherits the pages but not their lock (mlock(2)), and locks them again; where that fails
//! they count as unlocked from then on.

use super::budget::Share;
use super::chunk::unit_number;
use super::growth::Lock;
use super::mapping::{MAPPED_BYTES, MAPPINGS, relock_all, wipe_all};
use super::region::{BUDGET, GROWTH, Region, region};
use super::shards::{HEAPS, share_of};
use crate::{buffer, exit, gate, os, page_lock};
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

/// Closes the gate to AWS-LC, behind which threads allocate, and takes all locks, in the order in which they
/// nest anywhere: allocations happen under that of [`page_lock`], growth asks heaps.
extern "C" fn before() {
    gate::close();
    acquire_all();
}

/// Takes all locks.
fn acquire_all() {
    page_lock::ACTIVE.acquire();
    buffer::LIVE.acquire();
    GROWTH.acquire();
    MAPPINGS.acquire();
    for heap in &HEAPS {
        heap.acquire();
    }
}

extern "C" fn after_in_parent() {
    // SAFETY: `before` took them, in this thread.
    unsafe { release_all() };
    gate::open();
}

extern "C" fn after_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    // Another thread may have been about to count what it had just opened, locked or closed.
    BUDGET.count_anew();
    MAPPED_BYTES.store(0, Ordering::Relaxed);
    // SAFETY: `before` took all locks, in the thread that this one was forked from.
    unsafe {
        // Keys come first where the child may lock less.
        for share in [Share::Keys, Share::General] {
            if let Some(region) = region() {
                relock_chunks(region, share);
            }
            relock_all(MAPPINGS.held_value(), share);
        }
        release_all();
    }
    page_lock::forget_inherited();
    exit::forget_inherited();
    gate::open_in_child();
}

/// Overwrites all that lies in the arena and in buffers, at exit. From then on every allocation waits for ever.
///
/// # Safety
/// Nobody may rely on what lies there.
pub unsafe fn wipe_all_for_good() {
    acquire_all();
    // SAFETY: all locks are held; the rest is the caller's promise.
    unsafe {
        buffer::wipe_all();
        wipe_all(MAPPINGS.held_value());
        if let Some(region) = region() {
            wipe_chunks(region);
        }
    }
}

/// # Safety
/// The caller must hold all locks, and nobody may rely on what lies in the chunks.
unsafe fn wipe_chunks(region: &Region) {
    // SAFETY: the caller's promise; an open chunk is mapped.
    unsafe {
        for chunk in region.open_chunks(GROWTH.held_value()) {
            let start = region.address(unit_number(chunk, 0)) as *mut u8;
            let bytes = region.chunks.ledger(chunk).units() * region.unit_bytes();
            os::wipe_touched(start, bytes);
        }
    }
}

/// # Safety
/// The caller must hold all locks, in the child.
unsafe fn relock_chunks(region: &Region, share: Share) {
    // SAFETY: the caller's promise.
    let growth = unsafe { GROWTH.held_value() };
    let heaps = HEAPS.iter().enumerate();
    for (number, heap) in heaps.filter(|(number, _)| share_of(*number) == share) {
        let is_own = |chunk: &u32| region.chunks.owner(*chunk) == number;
        // SAFETY: the caller's promise.
        let own = || unsafe { region.open_chunks(growth) }.filter(is_own);
        // SAFETY: the caller's promise.
        let lost = own().filter(|chunk| unsafe { region.relock(*chunk, share) } == Lock::Lost);
        if lost.count() > 0 {
            // SAFETY: the caller's promise.
            unsafe { heap.held_value() }.rebuild(&region.chunks, own());
        }
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
        buffer::LIVE.release();
        page_lock::ACTIVE.release();
    }
}
