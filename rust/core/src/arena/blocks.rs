//! Allocates and frees blocks: turns addresses into slots, runs and mappings, and back.

use super::chunk::Holds;
use super::heaps::{HEAPS, current_share, share_of};
use super::mapping::{self, NOT_ALLOCATED_HERE};
use super::region::{Region, region};
use super::size::{Place, place_for, slot_at, slot_size};
use crate::os;
use std::ptr;

/// What an address belongs to.
enum Block {
    Slot {
        unit: u32,
        class: usize,
        slot: usize,
    },
    Run {
        unit: u32,
        units: usize,
    },
    Mapping,
}

/// Allocates a block of `size` bytes at a multiple of `align`. All its bytes are zero. Null if there is no memory left.
#[inline]
pub fn take(size: usize, align: usize) -> *mut u8 {
    let Some(region) = region() else {
        return mapping::map(size.max(1), align, current_share());
    };
    let place = place_for(size.max(1), align, region.unit_bytes());
    match region.take_here(place) {
        (_, Some(address)) => address as *mut u8,
        (heap, None) => take_elsewhere(region, heap, place, size.max(1), align),
    }
}

/// Wipes a block and frees it. Ends the process if there is no such block.
///
/// # Safety
/// `block` must come from [`take`] or [`resize`], and must not be used afterwards.
#[inline]
pub unsafe fn put(block: *mut u8) {
    match find(block) {
        (Block::Slot { unit, class, slot }, Some(region)) => {
            let bytes = slot_size(class);
            // SAFETY: the caller's promise, and the whole slot belongs to the block until it is freed.
            unsafe { os::wipe(block, bytes) };
            region.give(unit, bytes, |heap| {
                heap.put_slot(&region.chunks, unit, class, slot)
            });
        }
        (Block::Run { unit, units }, Some(region)) => {
            let bytes = units * region.unit_bytes();
            // SAFETY: as above.
            unsafe { os::wipe(block, bytes) };
            region.give(unit, bytes, |heap| {
                heap.put_run(&region.chunks, unit, units)
            });
        }
        // SAFETY: the caller's promise.
        _ => unsafe { mapping::unmap(block) },
    }
}

/// Returns how many bytes of a block can be used: as many as were asked for, or more.
///
/// # Safety
/// `block` must be in use.
#[inline]
pub unsafe fn usable(block: *mut u8) -> usize {
    match find(block) {
        (Block::Slot { class, .. }, _) => slot_size(class),
        (Block::Run { units, .. }, Some(region)) => units * region.unit_bytes(),
        // SAFETY: the caller's promise.
        _ => unsafe { mapping::usable(block) },
    }
}

/// Makes a block larger or smaller. If it moves, the old block is wiped; if it shrinks in place, its tail is. Null if
/// there is no memory left; the old block then stays as it was.
///
/// # Safety
/// `block` must be in use, hold `old_size` bytes of content, and lie at a multiple of `align`.
pub unsafe fn resize(block: *mut u8, old_size: usize, new_size: usize, align: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    let usable = unsafe { usable(block) };
    // A block that is much too large for its new content moves, so that others can use its memory.
    if new_size <= usable && (new_size > usable / 2 || usable <= 64) {
        if new_size < old_size {
            // SAFETY: the tail lies within the block.
            unsafe { os::wipe(block.add(new_size), old_size - new_size) };
        }
        return block;
    }
    let moved = take(new_size, align);
    if !moved.is_null() {
        // SAFETY: the blocks are distinct, and both are at least as long as what is copied.
        unsafe { ptr::copy_nonoverlapping(block, moved, old_size.min(new_size)) };
        // SAFETY: the caller's promise.
        unsafe { put(block) };
    }
    moved
}

#[cold]
fn take_elsewhere(
    region: &Region,
    heap: usize,
    place: Place,
    size: usize,
    align: usize,
) -> *mut u8 {
    let address = match place {
        Place::Mapping => None,
        _ => region.take_elsewhere(heap, place),
    };
    match address {
        Some(address) => address as *mut u8,
        None => mapping::map(size, align, share_of(heap)),
    }
}

#[inline]
fn find(block: *mut u8) -> (Block, Option<&'static Region>) {
    let found = region().and_then(|region| Some((region, region.unit_at(block as usize)?)));
    let Some((region, (unit, offset))) = found else {
        return (Block::Mapping, None);
    };
    let block = match region.chunks.holds(unit) {
        Holds::Slots(class) => slot_at(class, offset)
            .filter(|slot| *slot < region.chunks.slots(class))
            .map(|slot| Block::Slot { unit, class, slot }),
        Holds::Run(units) => (offset == 0).then_some(Block::Run { unit, units }),
        Holds::Nothing => None,
    };
    match block {
        Some(block) => (block, Some(region)),
        None => os::die(NOT_ALLOCATED_HERE),
    }
}

/// `malloc` for the crypto library, which passes no alignment and allows a size of 0.
pub fn take_any(size: usize) -> *mut u8 {
    // malloc(3): aligned for any type; a size of 0 gives a block of its own.
    take(size, 16)
}

/// `realloc` for the crypto library.
///
/// # Safety
/// `block` must be null or in use.
pub unsafe fn resize_any(block: *mut u8, new_size: usize) -> *mut u8 {
    if block.is_null() {
        return take_any(new_size);
    }
    // The size that was asked for is not known, so all of the block counts as content.
    // SAFETY: the caller's promise.
    unsafe { resize(block, usable(block), new_size.max(1), 16) }
}

/// `free` for the crypto library.
///
/// # Safety
/// `block` must be null or in use, and must not be used afterwards.
pub unsafe fn put_any(block: *mut u8) {
    if !block.is_null() {
        // SAFETY: the caller's promise.
        unsafe { put(block) }
    }
}

/// Returns the bytes of blocks in use in chunks, and the bytes of chunks that are open, not locked and entirely free.
pub fn used_and_idle() -> (usize, usize) {
    let Some(region) = region() else {
        return (0, 0);
    };
    let mut sums = (0, 0);
    for heap in HEAPS.iter() {
        let heap = heap.lock();
        sums.0 += heap.in_use;
        sums.1 += heap.idle_unlocked_units() * region.unit_bytes();
    }
    sums
}
