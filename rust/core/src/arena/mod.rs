//! The arena: the one allocator of the native core, whose memory is locked, hidden and wiped.
//!
//! Promises:
//! - Every block lies in pages that are locked into RAM, as far as the limit allows. Unlocked pages are counted, see
//!   [`status`]. All pages are kept out of core dumps if the platform can do that.
//! - A block is wiped when it is freed. So is the old block when a reallocation moves it, and the tail when a block
//!   shrinks in place. Free memory is always zero, since the bookkeeping lies elsewhere.
//! - Untouchable pages lie on both sides of every chunk and of every large block.
//! - If a block is freed twice, or was never allocated here, the process ends.
//! - Nothing here panics. If there is no memory left, the result is null.
//!
//! It does not promise that a block cannot reach its neighbour in the same chunk (for that, use
//! [`crate::buffer::SecureBuffer`]), or anything about stacks (see [`crate::stack`]).
//!
//! How memory is divided:
//! - A chunk has at most 252 KiB and is opened, locked and closed as a whole. It is divided into units of 2 KiB, each
//!   of which serves one size class, so that few pages serve many classes. Under a limit below 1 MiB, chunks have 28
//!   KiB and units 256 bytes. So the 64 KiB that many containers allow hold an RSA-4096 key and an operation with it,
//!   whose table of powers alone takes 22 KiB in one piece. Generating such a key takes 66 KiB, and so some unlocked
//!   memory there.
//! - Keys have a share of the budget that nothing else may take ([`with_keys`]). The rest serves all other blocks,
//!   among them 128 KiB of scratch memory of AWS-LC's entropy source (no secret).
//! - A private key lies in a chunk of its own, which is closed while nobody uses the key (`key_pages`), unless memory is
//!   scarce.
//! - Every thread takes from a heap, whose lock is usually free: two atomic instructions, no system call. There are
//!   four such heaps, or fewer under a small budget (one for each MiB), so that little memory is not split up. Threads
//!   are assigned to them in turn. If a thread finds its heap's lock held, it moves to a heap that is free and stays
//!   there. It waits only if none is free, or if it frees a block of a heap that another thread is using.
//! - The first chunks are filled first. Empty chunks are closed, except for a few.
//! - Limit and budget are read once, at the first allocation.
//!
//! How it is built, from the bottom: `size` and `bits` are arithmetic. `chunk` has the bookkeeping, in which `heap`
//! allocates slots and runs without a system call. `region` is the address space; `growth` opens and closes chunks in
//! it within the `budget`. `heaps` assigns threads to heaps, and `supply` decides which heap serves a request.
//! `mapping` serves requests that are too large. `blocks` turns addresses into slots, runs and mappings. `whole`
//! handles a fork and the exit. The one kind of lock is `crate::spin`. The crate `rust/arena-model` replaces
//! `crate::sync`: it puts Loom's atomics and cells below `spin`, `chunk`, `heap`, `budget` and `supply`, and runs them
//! in every order that threads can have.

pub(crate) mod all_locks;
mod bits;
mod blocks;
mod budget;
#[cfg(test)]
mod budget_tests;
mod chunk;
mod growth;
mod heap;
#[cfg(test)]
mod heap_tests;
mod heaps;
mod key_pages;
mod mapping;
mod pages;
mod region;
mod size;
mod spare;
mod stretch;
mod supply;
#[cfg(test)]
mod supply_tests;
mod whole;

pub(crate) use blocks::{put_any, resize_any, take_any};
pub(crate) use heaps::without_keys;
pub use heaps::{
    LockedRequired, check_required, locked_is_required, unlocked_serves_here, with_keys,
};
pub(crate) use key_pages::{KeyPages, close_unused as close_unused_keys, open_all as open_keys};
pub(crate) use pages::{Kept, hide_from_now_on, hiding, open as open_pages};
pub(crate) use spare::release as release_hidden;
pub(crate) use stretch::Stretch;
pub(crate) use whole::{each_locked, note_hidden, relock_inherited, unlocked_in_use, wipe_all};

use crate::{Error, Result, os};
use budget::BUDGET;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::Ordering;

/// The global allocator: `#[global_allocator] static ARENA: Arena = Arena;`
pub struct Arena;

// SAFETY: blocks are distinct, large enough and aligned; the modules' tests check that.
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

/// The figures of the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Bytes of pages that are locked.
    pub locked_bytes: usize,
    /// Bytes of chunks and mappings in use that could not be locked.
    pub unlocked_bytes: usize,
    /// The most bytes for keys ([`with_keys`]) that could not be locked at any one time so far.
    pub unlocked_key_peak_bytes: usize,
    /// The most bytes of blocks that were in use and not locked at any one time so far. Each block counts with the
    /// slot, run or mapping that it takes.
    pub unlocked_peak_bytes: usize,
    /// Bytes of blocks in use, counted in the same way.
    pub in_use_bytes: usize,
    /// Bytes that the arena may lock.
    pub budget_bytes: usize,
    /// Bytes that the system lets this process lock; `None` if there is no limit.
    pub limit_bytes: Option<u64>,
    /// The size of a page in bytes.
    pub page_size: usize,
}

/// Whether everything that the arena holds now, or ever gave out, was locked. Unlike [`status`], which asks the system
/// and every heap, this reads only two counters.
pub fn all_locked() -> bool {
    BUDGET.unlocked_bytes() == 0 && BUDGET.served_unlocked_peak_bytes() == 0
}

/// What is wrong if the system gave no address space to the arena.
pub const NO_ADDRESS_SPACE: &str = "nomyo needs 5 MiB of memory of its own and got none: raise the limits RLIMIT_AS \
                                    (`ulimit -v`) and RLIMIT_DATA (`ulimit -d`)";

/// Checks that the system gave address space to the arena; [`Error::Memory`] if not.
pub fn check_address_space() -> Result<()> {
    match region::region() {
        Some(_) => Ok(()),
        None => Err(Error::Memory(NO_ADDRESS_SPACE)),
    }
}

/// Makes a vector of `len` zero bytes; [`Error::Memory`] if there is no memory for it. It is for sizes that somebody
/// else chooses: `vec![0; len]` would end the process.
pub fn zeroed(len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(len)
        .map_err(|_| Error::Memory("out of memory"))?;
    bytes.resize(len, 0);
    Ok(bytes)
}

/// Whether little memory may be locked.
pub(crate) fn is_scarce() -> bool {
    BUDGET.total() * os::page_size() < budget::SCARCE_BYTES
}

/// Returns the figures of the arena.
pub fn status() -> Status {
    let page_size = os::page_size();
    let limit_applies = region::region().is_none_or(|region| region.limit_applies);
    let (used, idle) = blocks::used_and_idle();
    let used = used + key_pages::in_use_bytes();
    Status {
        locked_bytes: BUDGET.claimed() * page_size,
        unlocked_bytes: BUDGET.unlocked_bytes().saturating_sub(idle),
        unlocked_key_peak_bytes: BUDGET.unlocked_key_peak_bytes(),
        unlocked_peak_bytes: BUDGET.served_unlocked_peak_bytes(),
        in_use_bytes: used + mapping::MAPPED_BYTES.load(Ordering::Relaxed),
        budget_bytes: BUDGET.total() * page_size,
        limit_bytes: os::memlock_limit().filter(|_| limit_applies),
        page_size,
    }
}
