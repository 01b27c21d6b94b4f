//! Stands for the pages of a private key. There is one such key in a model.

use super::growth::GROWTH;
use crate::uses::Uses;
use loom::cell::UnsafeCell;
use std::sync::Arc;

loom::lazy_static! {
    /// Whether the pages can be touched. To open or close them is a write to Loom, to touch them a read.
    static ref ARE_OPEN: UnsafeCell<bool> = UnsafeCell::new(false);
}

pub struct KeyPages(Uses);

impl KeyPages {
    pub fn new() -> Option<Arc<Self>> {
        set(true);
        Some(Arc::new(Self(Uses::new(1))))
    }

    pub fn fill<T>(&self, load: impl FnOnce() -> T) -> T {
        let loaded = load();
        self.end_use();
        loaded
    }

    pub fn begin_use(&self) -> bool {
        self.0.begin(&GROWTH, |_| {
            set(true);
            true
        })
    }

    pub fn end_use(&self) {
        self.0.end(&GROWTH, |_| set(false));
    }

    pub fn retire(self: Arc<Self>) {
        set(false);
    }

    pub fn leave(self: Arc<Self>) {}
}

/// Whether the pages can be touched.
#[track_caller]
pub fn are_open() -> bool {
    // SAFETY: Loom checks it.
    ARE_OPEN.with(|are_open| unsafe { *are_open })
}

#[track_caller]
pub fn touch() {
    assert!(are_open(), "a key was touched while it was closed");
}

#[track_caller]
fn set(open: bool) {
    // SAFETY: as above.
    ARE_OPEN.with_mut(|are_open| unsafe {
        assert_ne!(*are_open, open, "opened or closed twice");
        *are_open = open;
    });
}
