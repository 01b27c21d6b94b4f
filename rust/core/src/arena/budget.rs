//! Counts the memory that may be locked, the memory that is locked, and the memory that could not be locked.
//!
//! A part of the budget is reserved for keys, and other allocations cannot take it. Keys may take more than their
//! reserve, as long as any budget is left. Locked pages of both kinds are counted in one atomic word.

use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering, constructor, shared_static};

/// Whom a page is locked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Everything that is no key: plaintext above all.
    General,
    /// Private keys, and the operations with them.
    Keys,
}

/// The most that is locked if no limit binds: enough for the plaintext of some hundred requests, and not so much that
/// the machine would suffer.
pub const CAP_BYTES: usize = 256 << 20;

/// Below this limit, memory is scarce: the arena then leaves less of it to others.
pub const SCARCE_BYTES: usize = 1 << 20;

/// The least reserve for keys: what an RSA-4096 key (9 KiB) and an operation with it (32 KiB, of which one table of
/// powers takes 22) take in small units.
const KEY_AND_OPERATION_BYTES: usize = 52 << 10;

shared_static! {
    /// The budget of this process.
    pub static BUDGET: Budget = Budget::new();
}

/// Counts of pages and bytes.
pub struct Budget {
    /// Pages that may be locked.
    total: AtomicUsize,
    /// Those of them that are reserved for keys.
    reserve: AtomicUsize,
    /// Locked pages: for keys in the upper half, for the rest in the lower.
    claimed: AtomicU64,
    refused: AtomicBool,
    /// Bytes of chunks and mappings that are open and not locked.
    unlocked_bytes: AtomicUsize,
    unlocked_key_bytes: AtomicUsize,
    unlocked_key_peak_bytes: AtomicUsize,
    /// Bytes of blocks that are in use and not locked.
    served_unlocked_bytes: AtomicUsize,
    served_unlocked_peak_bytes: AtomicUsize,
}

impl Budget {
    constructor! {
        pub fn new() -> Self {
            Self {
                total: AtomicUsize::new(0),
                reserve: AtomicUsize::new(0),
                claimed: AtomicU64::new(0),
                refused: AtomicBool::new(false),
                unlocked_bytes: AtomicUsize::new(0),
                unlocked_key_bytes: AtomicUsize::new(0),
                unlocked_key_peak_bytes: AtomicUsize::new(0),
                served_unlocked_bytes: AtomicUsize::new(0),
                served_unlocked_peak_bytes: AtomicUsize::new(0),
            }
        }
    }

    /// Sets the budget by the limit that binds (`None`: no limit), the machine's RAM and the size of a page, in bytes.
    ///
    /// A quarter of the limit stays free for the SecureBuffers and the caller's buffers; an eighth if memory is scarce.
    /// Of 64 KiB, the default of many containers, a key and an operation with it get 52, other blocks 4, and buffers 8.
    pub fn set(&self, limit: Option<u64>, physical: Option<usize>, page: usize) {
        let cap = physical.map_or(CAP_BYTES, |bytes| CAP_BYTES.min(bytes / 8));
        let limit = limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        let left = if limit < SCARCE_BYTES {
            limit / 8
        } else {
            limit / 4
        };
        let total = (limit - left).min(cap) / page;
        let least = (KEY_AND_OPERATION_BYTES / page).min(total * 13 / 14);
        self.set_pages(total, least.max(total / 4));
    }

    /// Sets the budget, and the reserve for keys, in pages.
    pub fn set_pages(&self, total: usize, reserve: usize) {
        self.total.store(total, Ordering::Relaxed);
        self.reserve.store(reserve, Ordering::Relaxed);
    }

    /// The pages that may be locked.
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// The pages that are locked.
    pub fn claimed(&self) -> usize {
        let (keys, general) = halves(self.claimed.load(Ordering::Relaxed));
        keys + general
    }

    /// Whether `pages` could be claimed now.
    pub fn has_room(&self, share: Share, pages: usize) -> bool {
        self.room(share, self.claimed.load(Ordering::Relaxed)) >= pages
    }

    /// Claims up to `most` pages, and returns how many; `None` if there are fewer than `least`.
    pub fn claim(&self, share: Share, most: usize, least: usize) -> Option<usize> {
        let mut seen = self.claimed.load(Ordering::Relaxed);
        loop {
            let pages = self.room(share, seen).min(most);
            if pages < least || pages == 0 {
                return None;
            }
            let next = seen + word(share, pages);
            match self.claimed.compare_exchange_weak(
                seen,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(pages),
                Err(now) => seen = now,
            }
        }
    }

    /// Returns pages that were claimed.
    pub fn give_back(&self, share: Share, pages: usize) {
        self.claimed
            .fetch_sub(word(share, pages), Ordering::Relaxed);
    }

    /// Counts bytes that are open and not locked.
    pub fn add_unlocked(&self, share: Share, bytes: usize) {
        self.unlocked_bytes.fetch_add(bytes, Ordering::Relaxed);
        if share == Share::Keys {
            let now = self.unlocked_key_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
            self.unlocked_key_peak_bytes
                .fetch_max(now, Ordering::Relaxed);
        }
    }

    /// Undoes [`Budget::add_unlocked`].
    pub fn remove_unlocked(&self, share: Share, bytes: usize) {
        self.unlocked_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if share == Share::Keys {
            self.unlocked_key_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// The bytes that are open and not locked.
    pub fn unlocked_bytes(&self) -> usize {
        self.unlocked_bytes.load(Ordering::Relaxed)
    }

    /// The most bytes for keys that were ever open and not locked at one time.
    pub fn unlocked_key_peak_bytes(&self) -> usize {
        self.unlocked_key_peak_bytes.load(Ordering::Relaxed)
    }

    /// Counts a block that is allocated in unlocked memory.
    pub fn serve_unlocked(&self, bytes: usize) {
        let now = self
            .served_unlocked_bytes
            .fetch_add(bytes, Ordering::Relaxed)
            + bytes;
        self.served_unlocked_peak_bytes
            .fetch_max(now, Ordering::Relaxed);
    }

    /// Undoes [`Budget::serve_unlocked`] when the block is freed.
    pub fn return_unlocked(&self, bytes: usize) {
        self.served_unlocked_bytes
            .fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Sets the counts to zero in a forked child, which counts again. Peaks stay.
    pub fn reset_counts(&self) {
        self.claimed.store(0, Ordering::Relaxed);
        self.unlocked_bytes.store(0, Ordering::Relaxed);
        self.unlocked_key_bytes.store(0, Ordering::Relaxed);
        self.served_unlocked_bytes.store(0, Ordering::Relaxed);
    }

    /// Counts locked pages without checking that the budget has room.
    pub fn count_locked(&self, share: Share, pages: usize) {
        self.claimed
            .fetch_add(word(share, pages), Ordering::Relaxed);
    }

    /// The most bytes of blocks that were in use and not locked at any one time.
    pub fn served_unlocked_peak_bytes(&self) -> usize {
        self.served_unlocked_peak_bytes.load(Ordering::Relaxed)
    }

    /// Whether the system refused the last lock, although it was within the budget. It does that if other code in this
    /// process has locked more than the arena left free. Locking is then tried again only when a new chunk is needed.
    pub fn refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Notes the system's answer to an attempt to lock.
    pub fn note_answer(&self, locked: bool) {
        self.refused.store(!locked, Ordering::Relaxed);
    }

    fn room(&self, share: Share, claimed: u64) -> usize {
        let (keys, general) = halves(claimed);
        let taken = match share {
            Share::Keys => keys + general,
            Share::General => keys.max(self.reserve.load(Ordering::Relaxed)) + general,
        };
        self.total().saturating_sub(taken)
    }
}

fn halves(claimed: u64) -> (usize, usize) {
    (
        (claimed >> 32) as usize,
        (claimed & u64::from(u32::MAX)) as usize,
    )
}

fn word(share: Share, pages: usize) -> u64 {
    match share {
        Share::Keys => (pages as u64) << 32,
        Share::General => pages as u64,
    }
}
