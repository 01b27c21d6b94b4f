//! Blocks: from addresses to slots, runs and mappings, and back.

use super::chunk::Holds;
use super::mapping;
use super::region::{Region, region};
use super::shards::{HEAPS, current_share, share_of};
use super::size::{Place, place_for, slot_at, slot_size};
use crate::os;
use std::ptr;

const STRANGER: &str = "memory was freed that never came from here";

/// What an address turned out to be.
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

/// Takes a block of `size` bytes at a multiple of `align`. All its bytes are zero. Null where there
/// is no memory left.
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

/// Wipes a block and takes it back. Ends the process where it is none.
///
/// # Safety
/// `block` must come from [`take`] or [`resize`] and be used no more.
#[inline]
pub unsafe fn put(block: *mut u8) {
    match find(block) {
        (Block::Slot { unit, class, slot }, Some(region)) => {
            let bytes = slot_size(class);
            // SAFETY: the caller's promise: the whole slot is the caller's until it is put back.
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

/// Usable bytes of a block: what was asked for, or more.
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

/// Makes a block larger or smaller; the old one is wiped, and so is what is cut off. Null where
/// there is no memory left; the old block then stays as it was.
///
/// # Safety
/// `block` must be in use, with content of `old_size` bytes, at a multiple of `align`.
pub unsafe fn resize(block: *mut u8, old_size: usize, new_size: usize, align: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    let usable = unsafe { usable(block) };
    // A block that has become much too large moves, so that its room can be used.
    if new_size <= usable && (new_size > usable / 2 || usable <= 64) {
        if new_size < old_size {
            // SAFETY: the tail lies within the block.
            unsafe { os::wipe(block.add(new_size), old_size - new_size) };
        }
        return block;
    }
    let moved = take(new_size, align);
    if !moved.is_null() {
        // SAFETY: both blocks are at least as long as what is copied, and distinct.
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
        None => os::die(STRANGER),
    }
}

/// A block for the crypto library, which knows no alignment and allows a size of 0.
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
    // The size asked for at first is not known: all of the block counts as content.
    // SAFETY: the caller's promise.
    unsafe { resize(block, usable(block), new_size.max(1), 16) }
}

/// `free` for the crypto library.
///
/// # Safety
/// `block` must be null or in use, and be used no more.
pub unsafe fn put_any(block: *mut u8) {
    if !block.is_null() {
        // SAFETY: the caller's promise.
        unsafe { put(block) }
    }
}

/// Bytes handed out from chunks, and bytes of chunks that are open, not locked and entirely free.
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
