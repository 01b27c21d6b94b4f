//! Opens and closes chunks within the budget, under the growth lock.

use super::budget::{BUDGET, Share};
use super::chunk::{NONE, unit_number};
use super::pages;
use super::region::Region;
use crate::os;
use crate::spin::SpinLock;
use crate::sync::shared_static;

shared_static! {
    /// Guards opening and closing. It is taken before a heap's lock, never while one is held.
    pub static GROWTH: SpinLock<Growth> = SpinLock::new(Growth::new());
}

/// The chunks that can be opened.
pub struct Growth {
    /// The first chunk that was never opened.
    untouched: u32,
    /// The first in the list of chunks that were closed again.
    closed: u32,
}

/// What became of a chunk's lock in a forked child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// The chunk is locked if it was locked in the parent.
    AsBefore,
    /// The chunk was locked in the parent, and could not be locked in the child.
    Lost,
}

impl Region {
    /// Whether the budget has room for a locked chunk of at least `least` units.
    pub fn may_open_locked(&self, share: Share, least: usize) -> bool {
        BUDGET.has_room(share, self.pages_for(least))
    }

    /// Opens a locked chunk of at least `least` units, as large as the budget allows.
    pub fn open_locked(&self, growth: &mut Growth, share: Share, least: usize) -> Option<u32> {
        let most = self.usable_units * self.unit_bytes() / self.page;
        self.open_claimed(growth, share, most, self.pages_for(least))
    }

    /// Opens a locked chunk of `most` pages, or of fewer, but no fewer than `least`.
    pub fn open_claimed(
        &self,
        growth: &mut Growth,
        share: Share,
        most: usize,
        least: usize,
    ) -> Option<u32> {
        let pages = BUDGET.claim(share, most, least)?;
        let opened = self.open(growth, pages * self.page / self.unit_bytes(), Some(share));
        if opened.is_none() {
            BUDGET.give_back(share, pages);
        }
        opened
    }

    /// Opens a whole chunk without a lock.
    pub fn open_unlocked(&self, growth: &mut Growth, share: Share) -> Option<u32> {
        let opened = self.open(growth, self.usable_units, None)?;
        BUDGET.add_unlocked(share, self.usable_units * self.unit_bytes());
        Some(opened)
    }

    /// Closes an entirely free chunk that its heap has disowned. Its bytes are all zero.
    pub fn close(&self, growth: &mut Growth, chunk: u32, share: Share) {
        // SAFETY: no heap owns the chunk, and the growth lock is held.
        let ledger = unsafe { self.chunks.ledger(chunk) };
        let bytes = ledger.units() * self.unit_bytes();
        // SAFETY: the chunk is open, and no block is left in it.
        unsafe { pages::close(self.start(chunk), bytes, ledger.hidden) };
        match ledger.locked {
            true => BUDGET.give_back(share, bytes / self.page),
            false => BUDGET.remove_unlocked(share, bytes),
        }
        (ledger.usable, ledger.free) = (0, 0);
        (ledger.locked, ledger.hidden) = (false, false);
        growth.recycle(self, chunk);
    }

    /// Locks and counts an open chunk in a forked child, if it was locked in the parent. Returns what became of its
    /// lock.
    ///
    /// # Safety
    /// The caller must hold all locks, in the child.
    pub unsafe fn relock(&self, chunk: u32, share: Share) -> Lock {
        // SAFETY: the caller's promise.
        let ledger = unsafe { self.chunks.ledger(chunk) };
        let bytes = ledger.units() * self.unit_bytes();
        let was_locked = ledger.locked;
        // The child's hidden pages are new ones, and locked as they are.
        // SAFETY: the chunk is open, so it is mapped.
        let locks = || unsafe { os::lock_inherited(self.start(chunk), bytes) };
        ledger.locked = ledger.hidden || was_locked && locks();
        if ledger.locked {
            BUDGET.count_locked(share, bytes / self.page);
            return Lock::AsBefore;
        }
        BUDGET.add_unlocked(share, bytes);
        // SAFETY: the caller's promise.
        BUDGET.serve_unlocked(unsafe { self.chunks.in_use_bytes(chunk) });
        match was_locked {
            true => Lock::Lost,
            false => Lock::AsBefore,
        }
    }

    /// The numbers of the chunks that are open.
    ///
    /// # Safety
    /// The caller must hold all locks.
    pub unsafe fn open_chunks(&self, growth: &Growth) -> impl Iterator<Item = u32> {
        // SAFETY: the caller's promise.
        (0..growth.untouched).filter(|chunk| unsafe { self.chunks.ledger(*chunk) }.usable != 0)
    }

    fn open(&self, growth: &mut Growth, units: usize, lock_for: Option<Share>) -> Option<u32> {
        let chunk = growth.next(self)?;
        let (start, bytes) = (self.start(chunk), units * self.unit_bytes());
        // SAFETY: the chunk is closed, and lies within the region.
        let (open, kept) = unsafe {
            match lock_for {
                Some(_) => {
                    let kept = pages::open(start, bytes);
                    BUDGET.note_answer(kept.is_some());
                    (kept.is_some(), kept)
                }
                None => (os::open_pages(start, bytes), None),
            }
        };
        if !open {
            growth.recycle(self, chunk);
            return None;
        }
        // SAFETY: no heap owns the chunk, and the growth lock is held.
        unsafe { self.chunks.ledger(chunk) }.open(units, kept);
        Some(chunk)
    }

    fn pages_for(&self, units: usize) -> usize {
        (units * self.unit_bytes()).div_ceil(self.page)
    }

    /// The address of a chunk.
    pub fn start(&self, chunk: u32) -> *mut u8 {
        self.address(unit_number(chunk, 0)) as *mut u8
    }
}

impl Growth {
    pub const fn new() -> Self {
        Self {
            untouched: 0,
            closed: NONE,
        }
    }

    fn next(&mut self, region: &Region) -> Option<u32> {
        if self.closed != NONE {
            let chunk = self.closed;
            // SAFETY: no heap owns a closed chunk, and `&mut self` stands for the growth lock.
            self.closed = unsafe { region.chunks.ledger(chunk) }.links.after;
            return Some(chunk);
        }
        let chunk = self.untouched;
        if chunk as usize == region.chunks.count() {
            return None;
        }
        self.untouched += 1;
        Some(chunk)
    }

    fn recycle(&mut self, region: &Region, chunk: u32) {
        // SAFETY: as in `next`.
        unsafe { region.chunks.ledger(chunk) }.links.after = self.closed;
        self.closed = chunk;
    }
}
