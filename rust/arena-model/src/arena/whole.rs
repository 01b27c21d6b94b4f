//! Stands for the arena's work with all locks held.

use super::growth::GROWTH;
use super::heaps::HEAPS;
use crate::scene;

/// Reads all books, as the child does.
pub unsafe fn relock_inherited() {
    // SAFETY: the caller holds all locks.
    unsafe {
        let _ = GROWTH.held_value();
        HEAPS
            .iter()
            .for_each(|heap| assert!(heap.held_value().in_use < usize::MAX));
    }
}

pub unsafe fn wipe_all() {
    scene::overwrite();
}
