//! A stretch of pages for secrets, and which of its pages are in use.

use super::bits::{Map, run_mask};
use super::region::Region;
use crate::os;

/// Pages that were opened together: a chunk, or a block or buffer with pages of its own.
#[derive(Clone, Copy)]
pub struct Stretch {
    pub start: *mut u8,
    pub bytes: usize,
    /// The free units, one bit each. They hold zeros.
    free: Map,
    unit_bytes: usize,
}

impl Stretch {
    /// A stretch that is one block.
    pub fn whole(start: *mut u8, bytes: usize) -> Self {
        Self {
            start,
            bytes,
            free: 0,
            unit_bytes: bytes,
        }
    }

    /// Whether a page, given by its offset, holds a block or a part of one.
    pub fn is_used(&self, offset: usize) -> bool {
        let first = offset / self.unit_bytes;
        let units = os::page_size().div_ceil(self.unit_bytes);
        let mask = run_mask(first, units);
        self.free & mask != mask
    }

    /// Calls `visit` with the address and length of every page that is used.
    pub fn each_used(&self, visit: impl Fn(*mut u8, usize)) {
        let page = os::page_size();
        (0..self.bytes)
            .step_by(page)
            .filter(|offset| self.is_used(*offset))
            .for_each(|offset| visit(self.start.wrapping_add(offset), page));
    }
}

impl Region {
    /// Overwrites the blocks of an open chunk.
    ///
    /// # Safety
    /// The caller must hold all locks, and nobody may rely on what lies in the blocks. The pages can be touched.
    pub unsafe fn wipe(&self, chunk: u32) {
        // Free units hold zeros, and reading them would take RAM for hidden pages that were never touched.
        // SAFETY: the caller's promise; an open chunk is mapped.
        unsafe { self.stretch(chunk) }
            .each_used(|start, bytes| unsafe { os::wipe_touched(start, bytes) });
    }

    /// The pages of an open chunk.
    ///
    /// # Safety
    /// The caller must hold all locks.
    pub unsafe fn stretch(&self, chunk: u32) -> Stretch {
        // SAFETY: the caller's promise.
        let ledger = unsafe { self.chunks.ledger(chunk) };
        Stretch {
            start: self.start(chunk),
            bytes: ledger.units() * self.unit_bytes(),
            free: ledger.free,
            unit_bytes: self.unit_bytes(),
        }
    }
}
