//! Counts forks, so that a key or buffer that was made before a fork can be refused in the child.

use std::sync::atomic::{AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(0);

/// 0 in the first process, one more in every forked child.
#[inline]
pub fn current() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Counts one fork; called in the child.
pub(crate) fn enter_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}
