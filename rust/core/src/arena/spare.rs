//! Keeps hidden pages that were given back, for the next who need some.
//!
//! To hide a page the kernel changes its own map and tells all processors (`set_direct_map_invalid_noflush`,
//! `flush_tlb_kernel_range`): some 15 us for each, where a locked page costs a tenth of that. So wiped pages of buffers and
//! of large blocks are kept, and moved to where they are needed, which costs one system call for all.
//!
//! Spare pages count against RLIMIT_MEMLOCK. If the system refuses new pages, they are given up first.

use super::budget::BUDGET;
use crate::os;
use crate::spin::SpinLock;
use crate::sync::shared_static;

/// The most pieces, and the most bytes, that are kept.
const MOST_PIECES: usize = 64;
const MOST_BYTES: usize = 4 << 20;
/// The part of the budget that may be kept (1/8).
const PART_OF_BUDGET: usize = 8;

shared_static! {
    /// The spare pages. Its lock is the innermost of the arena's.
    pub static SPARE: SpinLock<Spare> = SpinLock::new(Spare::new());
}

/// Pieces of hidden, zero pages that lie anywhere.
pub struct Spare {
    pieces: [Piece; MOST_PIECES],
    count: usize,
    bytes: usize,
}

#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    bytes: usize,
}

impl Spare {
    pub const fn new() -> Self {
        const NONE: Piece = Piece { start: 0, bytes: 0 };
        Self {
            pieces: [NONE; MOST_PIECES],
            count: 0,
            bytes: 0,
        }
    }

    /// Moves spare pages to reserved ones. Returns false if there are not enough in one piece.
    ///
    /// # Safety
    /// The range must lie within a reservation of the caller's.
    pub unsafe fn take(&mut self, at: *mut u8, bytes: usize) -> bool {
        let fits = |index: &usize| self.pieces[*index].bytes >= bytes;
        let smallest = (0..self.count)
            .filter(fits)
            .min_by_key(|index| self.pieces[*index].bytes);
        let Some(index) = smallest else {
            return false;
        };
        let Piece {
            start,
            bytes: whole,
        } = self.pieces[index];
        // SAFETY: the caller's promise, and the piece is ours.
        if !unsafe { os::move_over(start as *mut u8, at, bytes) } {
            return false;
        }
        self.bytes -= bytes;
        if whole > bytes {
            self.pieces[index] = Piece {
                start: start + bytes,
                bytes: whole - bytes,
            };
        } else {
            self.count -= 1;
            self.pieces[index] = self.pieces[self.count];
        }
        true
    }

    /// Keeps hidden pages. Returns false if there are enough.
    ///
    /// # Safety
    /// The pages must be hidden, zero and the caller's, who gives them up if the answer is true.
    pub unsafe fn put(&mut self, start: *mut u8, bytes: usize) -> bool {
        let most = MOST_BYTES.min(BUDGET.total() * os::page_size() / PART_OF_BUDGET);
        if self.count == MOST_PIECES || self.bytes + bytes > most {
            return false;
        }
        self.pieces[self.count] = Piece {
            start: start as usize,
            bytes,
        };
        self.count += 1;
        self.bytes += bytes;
        true
    }

    /// Gives all spare pages to the system. Returns whether there were any.
    pub fn give_up(&mut self) -> bool {
        let any = self.count > 0;
        for piece in &self.pieces[..self.count] {
            // SAFETY: the piece is ours, and nobody uses it.
            unsafe { os::release(piece.start as *mut u8, piece.bytes) };
        }
        self.forget();
        any
    }

    /// Forgets all spare pages: a forked child has none of them.
    pub fn forget(&mut self) {
        (self.count, self.bytes) = (0, 0);
    }
}

/// Releases a reservation of the caller's whose pages from `start` on are hidden and zero, and keeps these if they can
/// be of use.
///
/// # Safety
/// Nothing may use the reservation any more, and the pages must lie within it.
pub unsafe fn release(reservation: *mut u8, reserved: usize, start: *mut u8, bytes: usize) {
    let (before, end) = (
        start as usize - reservation as usize,
        reservation as usize + reserved,
    );
    let after = start as usize + bytes;
    // SAFETY: the caller's promise.
    unsafe {
        if !SPARE.lock().put(start, bytes) {
            return os::release(reservation, reserved);
        }
        // Another thread may already have moved the pages. The rest is still ours.
        os::release(reservation, before);
        os::release(after as *mut u8, end - after);
    }
}
