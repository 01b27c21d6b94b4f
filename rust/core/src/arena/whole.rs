//! Works on the whole arena, with all of its locks held: around a `fork`, and at exit.
//!
//! A forked child inherits the pages but not their locks (mlock(2)), so it locks them again. If that fails, they count
//! as unlocked from then on.

use super::budget::{BUDGET, Share};
use super::growth::{GROWTH, Lock};
use super::heap::Heap;
use super::heaps::{HEAPS, OWN, heap_of, share_of};
use super::key_pages;
use super::mapping::{self, MAPPED_BYTES, MAPPINGS};
use super::region::{Region, existing_region};
use super::spare::SPARE;
use super::stretch::Stretch;
use crate::spin::SpinLock;
use std::iter;
use std::sync::atomic::Ordering;

/// Locks the inherited pages that were locked in the parent, and counts all pages again.
///
/// # Safety
/// The caller must hold all locks, in the child.
pub unsafe fn relock_inherited() {
    // The counts may be wrong: at the fork, another thread may have opened, locked or closed pages and not counted them
    // yet.
    BUDGET.reset_counts();
    // SAFETY: the caller's promise.
    unsafe { SPARE.held_value() }.forget();
    MAPPED_BYTES.store(0, Ordering::Relaxed);
    // Only MLOCK_ONFAULT locks pages that cannot be touched (mlock2(2)).
    // SAFETY: the caller's promise.
    unsafe { key_pages::open_all() };
    // Keys come first, since the child may be allowed to lock less.
    for share in [Share::Keys, Share::General] {
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(region) = existing_region() {
                relock_chunks(region, share);
            }
            mapping::relock_all(MAPPINGS.held_value(), share);
        }
    }
    // SAFETY: as above.
    unsafe { key_pages::close_unused() };
}

/// Overwrites all blocks.
///
/// # Safety
/// The caller must hold all locks, and nobody may rely on what lies in the blocks.
pub unsafe fn wipe_all() {
    // SAFETY: the caller's promise.
    unsafe {
        key_pages::wipe_all();
        mapping::wipe_all(MAPPINGS.held_value());
        if let Some(region) = existing_region() {
            wipe_chunks(region);
        }
    }
}

/// Calls `visit` with every stretch of pages that is locked: chunks, and blocks with a mapping of their own. The order
/// is always the same while all locks are held, and in a child that was forked meanwhile.
///
/// # Safety
/// The caller must hold all locks.
pub unsafe fn each_locked(visit: &mut dyn FnMut(Stretch)) {
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(region) = existing_region() {
            region
                .open_chunks(GROWTH.held_value())
                .filter(|chunk| region.chunks.ledger(*chunk).locked)
                .for_each(|chunk| visit(region.stretch(chunk)));
        }
        mapping::each_locked(MAPPINGS.held_value(), visit);
    }
}

/// Whether blocks are in use that are not locked.
///
/// # Safety
/// The caller must hold all locks.
pub unsafe fn unlocked_in_use() -> bool {
    // SAFETY: the caller's promise.
    let idle_units = |heap: &SpinLock<Heap>| unsafe { heap.held_value() }.idle_unlocked_units();
    let unit_bytes = existing_region().map_or(0, Region::unit_bytes);
    let idle_bytes = HEAPS.iter().map(idle_units).sum::<usize>() * unit_bytes;
    BUDGET.unlocked_bytes() > idle_bytes
}

/// Notes that everything that is locked is hidden now.
///
/// # Safety
/// The caller must hold all locks, and have moved all of it.
pub unsafe fn note_hidden() {
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(region) = existing_region() {
            for chunk in region.open_chunks(GROWTH.held_value()) {
                let ledger = region.chunks.ledger(chunk);
                ledger.hidden = ledger.locked;
            }
        }
        mapping::note_hidden(MAPPINGS.held_value());
    }
}

/// # Safety
/// The caller must hold all locks, and nobody may rely on what lies in the chunks.
unsafe fn wipe_chunks(region: &Region) {
    // SAFETY: the caller's promise; an open chunk is mapped.
    unsafe {
        region
            .open_chunks(GROWTH.held_value())
            .filter(|chunk| region.chunks.owner(*chunk) != OWN)
            .for_each(|chunk| region.wipe(chunk));
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
        if number == OWN {
            // Each chunk has a heap of its own, whose lock nobody holds: keys are loaded behind the gate.
            lost.for_each(|chunk| {
                let own = &mut heap_of(OWN, chunk).lock();
                own.rebuild(&region.chunks, iter::once(chunk));
            });
        } else if lost.count() > 0 {
            // SAFETY: the caller's promise.
            unsafe { heap.held_value() }.rebuild(&region.chunks, own());
        }
    }
}
