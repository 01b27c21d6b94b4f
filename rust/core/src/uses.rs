//! Counts the uses of pages that nobody can touch while they are not in use: the first use opens them, and the last one
//! closes them again.
//!
//! Rules:
//! - The count leaves zero, and comes back to it, only under a lock, which is held while the pages are opened or closed.
//!   So whoever sees a count above zero may touch the pages, and never comes between the count and the system call.
//! - All other uses are counted without the lock.
//! - `fork` and `exit` take the lock too, so a forked child never inherits half a change.
//! - A use that ends without having begun is a fault of ours, and ends the process.

use crate::os;
use crate::spin::SpinLock;
use crate::sync::{AtomicUsize, Ordering, constructor};

/// How many uses of some pages are under way.
pub struct Uses(AtomicUsize);

impl Uses {
    constructor! {
        pub fn new(count: usize) -> Self {
            Self(AtomicUsize::new(count))
        }
    }

    /// Whether any use is under way. While the lock is held, a false answer stays true.
    pub fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    /// Begins a use. The first one calls `open` under the lock, and begins only if that returns true. Returns whether it
    /// began.
    pub fn begin<T>(&self, lock: &SpinLock<T>, open: impl FnOnce(&mut T) -> bool) -> bool {
        if self.step(1, |count| count + 1) {
            return true;
        }
        let mut held = lock.lock();
        if !self.any() && !open(&mut held) {
            return false;
        }
        self.0.fetch_add(1, Ordering::Release);
        true
    }

    /// Ends a use. The last one calls `close` under the lock. Ends the process if no use was under way.
    pub fn end<T>(&self, lock: &SpinLock<T>, close: impl FnOnce(&mut T)) {
        if self.step(2, |count| count - 1) {
            return;
        }
        let mut held = lock.lock();
        match self.0.fetch_sub(1, Ordering::AcqRel) {
            0 => os::die("memory that is closed while nobody uses it was closed once too often"),
            1 => close(&mut held),
            _ => {}
        }
    }

    /// Changes the count without the lock if it is at least `least`. Returns whether it did.
    fn step(&self, least: usize, change: impl Fn(usize) -> usize) -> bool {
        let mut count = self.0.load(Ordering::Relaxed);
        while count >= least {
            // Acquire: what the first use opened. Release: what this use wrote, for the last one, which closes.
            let changed = self.0.compare_exchange_weak(
                count,
                change(count),
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            match changed {
                Ok(_) => return true,
                Err(now) => count = now,
            }
        }
        false
    }
}
