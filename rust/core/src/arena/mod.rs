//! The arena: the one allocator of the native core, whose memory is locked, hidden and wiped.
//!
//! Promises:
//! - Every block lies in pages that are locked into RAM, as far as the limit allows; what is not
//!   locked is counted, see [`status`]. All pages are kept out of core dumps where the platform can.
//! - A block is wiped when it is freed, the old block when a reallocation moves it, and the tail
//!   when one shrinks in place. Free memory is zero throughout; the books lie elsewhere.
//! - Untouchable pages lie on both sides of every chunk and of every large block.
//! - A block freed twice, or freed though it never came from here, ends the process.
//! - Nothing here panics. Where there is no memory left the answer is null.
//!
//! What it does not promise: that a block's neighbour in the same chunk is out of its reach (use
//! [`crate::buffer::SecureBuffer`] for that), and anything about stacks (see [`crate::stack`]).
//!
//! How memory is divided:
//! - Chunks of at most 252 KiB are opened, locked and closed as a whole. Units of 2 KiB, not pages, are
//!   what size classes are given, so that few pages serve many classes. Under a limit below 1 MiB
//!   chunks are 28 KiB and units 256 bytes: that way the 64 KiB of many containers hold an RSA-4096
//!   key and an operation with it, whose table of powers alone takes 22 KiB in one piece. Generating
//!   such a key takes 66 KiB, and so some unlocked memory there.
//! - Keys have a share of the budget that nothing else may take ([`with_keys`]). The rest serves all
//!   other blocks, among them 128 KiB in which AWS-LC's entropy source stirs (no secret).
//! - Every thread has a heap that it takes from, under a lock which is then its own: two atomic
//!   instructions, no system call. There are four such heaps (one for each MiB of the budget where that
//!   is less, so that little memory is not split up), and threads are spread over them as they come.
//!   Where more threads than heaps meet, whoever finds its heap's lock held moves to a heap that is
//!   free and stays there. It waits only where none is free, or for a block that goes back to a heap
//!   that another is at: some spins, then it lets others run, for the holder may have lost its
//!   processor.
//! - The first chunks are filled first. Empty ones are given back, but for a few.
//! - Limit and budget are read once, with the first allocation.
//!
//! How it is built, from the bottom: `size` and `bits` are arithmetic; `chunk` holds the books; `heap`
//! moves slots and runs in them, without a system call; `region` is the address space, `growth` opens
//! and closes chunks in it within `budget`; `supply` decides which heap serves a request; `mapping`
//! serves what is too large; `blocks` knows addresses; `shards` spreads threads; `fork` and `hooks`
//! connect to the system and to AWS-LC. The one lock is in `spin`. `sync` is the seam: the crate
//! `rust/arena-model` puts Loom's atomics and cells below `spin`, `chunk`, `heap`, `budget` and
//! `supply`, and runs them in every order that threads can.

mod bits;
mod blocks;
mod budget;
#[cfg(test)]
mod budget_tests;
mod chunk;
mod fork;
mod growth;
mod heap;
#[cfg(test)]
mod heap_tests;
mod hooks;
mod mapping;
mod region;
mod shards;
mod size;
pub(crate) mod spin;
mod supply;
#[cfg(test)]
mod supply_tests;
mod sync;

pub use fork::generation as fork_generation;
pub(crate) use fork::wipe_all_for_good;
pub use hooks::install_crypto_hooks;
pub use shards::{
    LockedRequired, check_required, locked_is_required, unlocked_serves_here, with_keys,
};

use crate::os;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::Ordering;

/// The global allocator: `#[global_allocator] static ARENA: Arena = Arena;`
pub struct Arena;

// SAFETY: blocks are distinct, large enough and aligned; the modules' tests hold them to it.
unsafe impl GlobalAlloc for Arena {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        blocks::take(layout.size(), layout.align())
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // Free memory is zero already.
        blocks::take(layout.size(), layout.align())
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { blocks::put(block) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { blocks::resize(block, layout.size(), new_size, layout.align()) }
    }
}

/// What the arena holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Bytes of pages that are locked.
    pub locked_bytes: usize,
    /// Bytes of chunks and mappings in use that could not be locked.
    pub unlocked_bytes: usize,
    /// The most bytes for keys ([`with_keys`]) that could not be locked at any one time so far.
    pub unlocked_key_peak_bytes: usize,
    /// The most bytes of blocks, rounded up to the places that they take, that were in use and not
    /// locked at any one time so far.
    pub unlocked_peak_bytes: usize,
    /// Bytes handed out, rounded up to the places that they take.
    pub in_use_bytes: usize,
    /// Bytes that the arena may lock.
    pub budget_bytes: usize,
    /// What the system lets this process lock; `None` where there is no limit.
    pub limit_bytes: Option<u64>,
    /// Bytes of a page.
    pub page_size: usize,
}

/// Whether all that the arena ever gave out, and all that it holds now, was locked: two counters, where [`status`]
/// asks the system and every heap.
pub fn all_locked() -> bool {
    region::BUDGET.unlocked_bytes() == 0 && region::BUDGET.served_unlocked_peak_bytes() == 0
}

/// What the arena holds now.
pub fn status() -> Status {
    let page_size = os::page_size();
    let limit_applies = region::region().is_none_or(|region| region.limit_applies);
    let (used, idle) = blocks::used_and_idle();
    Status {
        locked_bytes: region::BUDGET.claimed() * page_size,
        unlocked_bytes: region::BUDGET.unlocked_bytes().saturating_sub(idle),
        unlocked_key_peak_bytes: region::BUDGET.unlocked_key_peak_bytes(),
        unlocked_peak_bytes: region::BUDGET.served_unlocked_peak_bytes(),
        in_use_bytes: used + mapping::MAPPED_BYTES.load(Ordering::Relaxed),
        budget_bytes: region::BUDGET.total() * page_size,
        limit_bytes: os::memlock_limit().filter(|_| limit_applies),
        page_size,
    }
}
