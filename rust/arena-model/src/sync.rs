//! Loom's atomics and cells, in the form of the core's `sync.rs`.

pub use loom::hint::spin_loop;
pub use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// A cell in which Loom sees every access.
pub struct SharedCell<T>(loom::cell::UnsafeCell<T>);

impl<T> SharedCell<T> {
    pub fn new(value: T) -> Self {
        Self(loom::cell::UnsafeCell::new(value))
    }

    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.0.with(f)
    }

    #[track_caller]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.0.with_mut(f)
    }
}

/// Defines a constructor. Loom's types have none that are `const`.
macro_rules! constructor {
    (pub fn $name:ident($($argument:ident: $of:ty),*) -> Self $body:block) => {
        pub fn $name($($argument: $of),*) -> Self $body
    };
}
pub(crate) use constructor;

/// Defines a static, of which every execution gets a fresh one.
macro_rules! shared_static {
    ($(#[$about:meta])* pub static $name:ident: $of:ty = $value:expr;) => {
        loom::lazy_static! {
            $(#[$about])*
            pub static ref $name: $of = $value;
        }
    };
}
pub(crate) use shared_static;
