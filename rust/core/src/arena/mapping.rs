//! Gives blocks that are too large for a chunk a mapping of their own.
//!
//! ```text
//! | header | guard | block ........ | guard |
//! ```
//!
//! The header says how to find and release the mapping. It is no secret.

use super::budget::{BUDGET, Share};
use super::heaps::note_unlocked_serve;
use super::pages::{self, Kept};
use super::spare;
use super::stretch::Stretch;
use crate::os;
use crate::refused::Protection;
use crate::spin::SpinLock;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

/// All such blocks, so that a forked child can lock them again and the exit can wipe them.
pub static MAPPINGS: SpinLock<Mappings> = SpinLock::new(Mappings { first: null_mut() });

pub const NOT_ALLOCATED_HERE: &str = "memory was freed that was not allocated by the arena";

/// The bytes of all such blocks.
pub static MAPPED_BYTES: AtomicUsize = AtomicUsize::new(0);

/// A list of blocks.
pub struct Mappings {
    first: *mut Header,
}

// SAFETY: the list is reached under its lock alone.
unsafe impl Send for Mappings {}

struct Header {
    before: *mut Header,
    after: *mut Header,
    block: *mut u8,
    bytes: usize,
    reservation: *mut u8,
    reserved: usize,
    share: Share,
    locked: bool,
    hidden: bool,
}

/// Maps a block of `size` bytes, all zero; null if that is not possible.
pub fn map(size: usize, align: usize, share: Share) -> *mut u8 {
    try_map(size, align, share).unwrap_or(null_mut())
}

/// Wipes and unmaps a block.
///
/// # Safety
/// `block` must come from [`map`], and must not be used afterwards.
pub unsafe fn unmap(block: *mut u8) {
    // SAFETY: the caller's promise; besides the list, whose lock is taken, only the thread that frees a block changes
    // its header.
    unsafe {
        let header = header_of(block);
        // Wiped before it leaves the list. So it is wiped even if the process ends here, and a child that is forked
        // meanwhile inherits no content outside the list.
        os::wipe(block, (*header).bytes);
        MAPPINGS.lock().remove(header);
        let Header {
            bytes,
            reservation,
            reserved,
            share,
            locked,
            hidden,
            ..
        } = header.read();
        match hidden {
            true => spare::release(reservation, reserved, block, bytes),
            false => os::release(reservation, reserved),
        }
        MAPPED_BYTES.fetch_sub(bytes, Ordering::Relaxed);
        match locked {
            true => BUDGET.give_back(share, bytes / os::page_size()),
            false => {
                BUDGET.remove_unlocked(share, bytes);
                BUDGET.return_unlocked(bytes);
            }
        }
    }
}

/// Returns how many bytes of a block can be used.
///
/// # Safety
/// `block` must come from [`map`] and be in use.
pub unsafe fn usable(block: *mut u8) -> usize {
    // SAFETY: the caller's promise.
    unsafe { (*header_of(block)).bytes }
}

/// Locks the blocks of a share that were locked before a `fork`, and counts all of them.
///
/// # Safety
/// The caller must hold the lock, in the child.
pub unsafe fn relock_all(mappings: &Mappings, share: Share) {
    let mut next = mappings.first;
    while !next.is_null() {
        // SAFETY: the list holds live headers, and the lock is held.
        let header = unsafe { &mut *next };
        next = header.after;
        if header.share == share {
            relock(header);
        }
    }
}

/// Overwrites all blocks.
///
/// # Safety
/// The caller must hold the lock, and nobody may rely on what lies in the blocks.
pub unsafe fn wipe_all(mappings: &Mappings) {
    let mut next = mappings.first;
    while !next.is_null() {
        // SAFETY: the list holds live headers, whose blocks are mapped, and the lock is held.
        unsafe {
            os::wipe_touched((*next).block, (*next).bytes);
            next = (*next).after;
        }
    }
}

/// Calls `visit` with every block that is locked.
///
/// # Safety
/// The caller must hold the lock.
pub unsafe fn each_locked(mappings: &Mappings, visit: &mut dyn FnMut(Stretch)) {
    let mut next = mappings.first;
    while !next.is_null() {
        // SAFETY: the list holds live headers, and the lock is held.
        let header = unsafe { &*next };
        if header.locked {
            visit(Stretch::whole(header.block, header.bytes));
        }
        next = header.after;
    }
}

/// Notes that every locked block is hidden now.
///
/// # Safety
/// As [`each_locked`].
pub unsafe fn note_hidden(mappings: &Mappings) {
    let mut next = mappings.first;
    while !next.is_null() {
        // SAFETY: as above.
        let header = unsafe { &mut *next };
        header.hidden = header.locked;
        next = header.after;
    }
}

fn relock(header: &mut Header) {
    let Header {
        block,
        bytes,
        share,
        ..
    } = *header;
    MAPPED_BYTES.fetch_add(bytes, Ordering::Relaxed);
    // SAFETY: a block is mapped while its header is in the list.
    let locks = || unsafe { os::lock_inherited(block, bytes) };
    header.locked = header.hidden || header.locked && locks();
    if header.locked {
        BUDGET.count_locked(share, bytes / os::page_size());
        return;
    }
    BUDGET.add_unlocked(share, bytes);
    BUDGET.serve_unlocked(bytes);
}

fn try_map(size: usize, align: usize, share: Share) -> Option<*mut u8> {
    let page = os::page_size();
    let bytes = size.checked_next_multiple_of(page)?;
    // Room for the header, for two guards, and to move the block to its alignment.
    let slack = if align > page { align } else { 0 };
    let reserved = bytes.checked_add(3 * page)?.checked_add(slack)?;
    let reservation = os::reserve(reserved)?;
    let start = (reservation as usize + 2 * page).next_multiple_of(align.max(page));
    let (block, header) = (start as *mut u8, (start - 2 * page) as *mut Header);
    // SAFETY: header and block lie within the fresh reservation, a page apart.
    unsafe {
        Protection::HiddenFromDumps.note(os::hide_from_dumps(block, bytes));
        let kept = open_within_budget(block, bytes, share);
        let opened = kept.is_some() || os::open_pages(block, bytes);
        if !opened || !os::open_pages(header.cast(), page) {
            forget(kept, bytes, share);
            os::release(reservation, reserved);
            return None;
        }
        if kept.is_none() {
            BUDGET.add_unlocked(share, bytes);
            BUDGET.serve_unlocked(bytes);
            note_unlocked_serve();
        }
        let (before, after) = (null_mut(), null_mut());
        header.write(Header {
            before,
            after,
            block,
            bytes,
            reservation,
            reserved,
            share,
            locked: kept.is_some(),
            hidden: kept == Some(Kept::Hidden),
        });
        MAPPINGS.lock().add(header);
    }
    MAPPED_BYTES.fetch_add(bytes, Ordering::Relaxed);
    Some(block)
}

/// # Safety
/// The range must be reserved.
unsafe fn open_within_budget(block: *mut u8, bytes: usize, share: Share) -> Option<Kept> {
    let count = bytes / os::page_size();
    BUDGET.claim(share, count, count)?;
    // SAFETY: the caller's promise.
    let kept = unsafe { pages::open(block, bytes) };
    if kept.is_none() {
        BUDGET.give_back(share, count);
    }
    kept
}

fn forget(kept: Option<Kept>, bytes: usize, share: Share) {
    if kept.is_some() {
        BUDGET.give_back(share, bytes / os::page_size());
    }
}

/// # Safety
/// `block` must come from [`map`], so that a header lies before it.
unsafe fn header_of(block: *mut u8) -> *mut Header {
    let header = (block as usize).wrapping_sub(2 * os::page_size()) as *mut Header;
    // SAFETY: the caller's promise. If it is broken, reading most likely faults, which ends the process too.
    if !header.is_aligned() || unsafe { (*header).block } != block {
        os::die(NOT_ALLOCATED_HERE);
    }
    header
}

impl Mappings {
    /// # Safety
    /// `header` must be alive until it is removed.
    unsafe fn add(&mut self, header: *mut Header) {
        // SAFETY: the caller's promise, for this header and those in the list.
        unsafe {
            (*header).after = self.first;
            if !self.first.is_null() {
                (*self.first).before = header;
            }
        }
        self.first = header;
    }

    /// # Safety
    /// `header` must be in the list.
    unsafe fn remove(&mut self, header: *mut Header) {
        // SAFETY: the caller's promise; neighbours in the list are alive.
        unsafe {
            let (before, after) = ((*header).before, (*header).after);
            match before.is_null() {
                true => self.first = after,
                false => (*before).after = after,
            }
            if !after.is_null() {
                (*after).before = before;
            }
        }
    }
}
