//! The atomics and cells of which the arena's bookkeeping and locks are made.
//!
//! Here they are the standard library's. `rust/arena-model` compiles the same sources with Loom's, whose constructors
//! are not `const` and whose cells give access only through closures; so this module has that form too.

pub use std::hint::spin_loop;
pub use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// A cell that threads share. Its users keep it behind a lock, which it does not check.
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

/// Defines a constructor for statics: `const` here, not under Loom.
macro_rules! constructor {
    (pub fn $name:ident($($argument:ident: $of:ty),*) -> Self $body:block) => {
        pub const fn $name($($argument: $of),*) -> Self $body
    };
}
pub(crate) use constructor;

/// Defines a static. Under Loom, each run of the model gets a fresh one.
macro_rules! shared_static {
    ($(#[$about:meta])* pub static $name:ident: $of:ty = $value:expr;) => {
        $(#[$about])*
        pub static $name: $of = $value;
    };
}
pub(crate) use shared_static;
