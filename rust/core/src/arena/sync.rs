//! What the arena's books and locks are made of: the standard library's atomics and cells.
//!
//! `rust/arena-model` compiles the same sources against Loom's, whose constructors are not `const` and whose
//! cells are only reached through closures; hence this face.

pub use std::hint::spin_loop;
pub use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// A cell that others share, under a lock that it knows nothing of.
#[repr(transparent)]
pub struct SharedCell<T>(std::cell::UnsafeCell<T>);

impl<T> SharedCell<T> {
    pub const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Hands out a pointer for reading.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Hands out a pointer for reading and writing.
    #[inline(always)]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Constructors for statics: `const` here.
macro_rules! constructor {
    (pub fn $name:ident($($argument:ident: $of:ty),*) -> Self $body:block) => {
        pub const fn $name($($argument: $of),*) -> Self $body
    };
}
pub(super) use constructor;
