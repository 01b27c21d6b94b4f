//! How much may be locked, and for whom; and what could not be.
//!
//! The keys' reserve is theirs alone: other allocations stop where it begins. Keys themselves may
//! go beyond it, as long as there is any budget left. All of it counts in pages, in one atomic word.

use super::sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering, constructor};

/// Whom a page is locked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Everything that is no key: plaintext above all.
    General,
    /// Private keys, and the operations with them.
    Keys,
}

/// The most that is locked where no limit binds: enough for the plaintext of some hundred requests,
/// little enough not to starve the machine.
pub const CAP_BYTES: usize = 256 << 20;

/// Below this limit, memory counts as scarce: less of it is left to others.
pub const SCARCE_BYTES: usize = 1 << 20;

/// What an RSA-4096 key (9 KiB) and an operation with it (32 KiB, of which 22 are one table of
/// powers) take in small units: the least reserve for keys.
const KEY_AND_OPERATION_BYTES: usize = 52 << 10;

/// Pages that may be locked, and those that are.
pub struct Budget {
    total: AtomicUsize,
    reserve: AtomicUsize,
    /// Pages locked: for keys in the upper half, for the rest in the lower.
    claimed: AtomicU64,
    refused: AtomicBool,
    unlocked_bytes: AtomicUsize,
    unlocked_key_bytes: AtomicUsize,
    unlocked_key_peak_bytes: AtomicUsize,
    /// Bytes of blocks in use, not of chunks.
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

    /// Sets the budget by the limit that binds (`None`: no limit).
    ///
    /// A quarter of the limit stays free for buffers that lock themselves, ours and the caller's; an
    /// eighth where it is scarce. Of 64 KiB, the default of many containers, a key and an operation
    /// with it get 52, other blocks 4, buffers 8.
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

    /// Sets the budget, and the keys' part of it, in pages.
    pub fn set_pages(&self, total: usize, reserve: usize) {
        self.total.store(total, Ordering::Relaxed);
        self.reserve.store(reserve, Ordering::Relaxed);
    }

    /// Pages that may be locked in all.
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Pages that are locked.
    pub fn claimed(&self) -> usize {
        let (keys, general) = halves(self.claimed.load(Ordering::Relaxed));
        keys + general
    }

    /// Whether `pages` could be claimed now.
    pub fn has_room(&self, share: Share, pages: usize) -> bool {
        self.room(share, self.claimed.load(Ordering::Relaxed)) >= pages
    }

    /// Takes up to `most` pages, but not fewer than `least`.
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

    /// Notes bytes that are open for use and not locked.
    pub fn add_unlocked(&self, share: Share, bytes: usize) {
        self.unlocked_bytes.fetch_add(bytes, Ordering::Relaxed);
        if share == Share::Keys {
            let now = self.unlocked_key_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
            self.unlocked_key_peak_bytes
                .fetch_max(now, Ordering::Relaxed);
        }
    }

    /// Takes back what was noted.
    pub fn remove_unlocked(&self, share: Share, bytes: usize) {
        self.unlocked_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if share == Share::Keys {
            self.unlocked_key_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes that are open for use and not locked.
    pub fn unlocked_bytes(&self) -> usize {
        self.unlocked_bytes.load(Ordering::Relaxed)
    }

    /// The most bytes for keys that were ever open and not locked at one time.
    pub fn unlocked_key_peak_bytes(&self) -> usize {
        self.unlocked_key_peak_bytes.load(Ordering::Relaxed)
    }

    /// Notes a block that is served from memory that is not locked.
    pub fn serve_unlocked(&self, bytes: usize) {
        let now = self
            .served_unlocked_bytes
            .fetch_add(bytes, Ordering::Relaxed)
            + bytes;
        self.served_unlocked_peak_bytes
            .fetch_max(now, Ordering::Relaxed);
    }

    /// Takes back what was noted, when the block comes back.
    pub fn return_unlocked(&self, bytes: usize) {
        self.served_unlocked_bytes
            .fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Begins to count anew; peaks stay.
    pub fn count_anew(&self) {
        self.claimed.store(0, Ordering::Relaxed);
        self.unlocked_bytes.store(0, Ordering::Relaxed);
        self.unlocked_key_bytes.store(0, Ordering::Relaxed);
        self.served_unlocked_bytes.store(0, Ordering::Relaxed);
    }

    /// Counts pages that are locked, without asking whether there is room.
    pub fn count_locked(&self, share: Share, pages: usize) {
        self.claimed
            .fetch_add(word(share, pages), Ordering::Relaxed);
    }

    /// The most bytes of blocks that were in use and not locked at any one time.
    pub fn served_unlocked_peak_bytes(&self) -> usize {
        self.served_unlocked_peak_bytes.load(Ordering::Relaxed)
    }

    /// Whether the system refused a lock within the budget, as it does when others in this process
    /// have locked more than we left them. Further attempts then wait until a chunk is needed.
    pub fn refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Notes the system's answer to the last attempt.
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
