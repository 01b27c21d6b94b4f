//! The atomics, cells and waits of which the arena's bookkeeping, the locks and the handling of `fork` and exit are made.
//!
//! Here they are the standard library's. `rust/arena-model` compiles the same sources with Loom's, whose constructors
//! are not `const` and whose cells give access only through closures; so this module has that form too.

use std::time::Duration;

pub use std::hint::spin_loop;
pub use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
pub use std::time::Instant;

/// Sleeps. It stands in loops that wait for another thread.
pub fn nap(time: Duration) {
    std::thread::sleep(time);
}

/// Stops this thread until the process has ended.
pub fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

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
    ($(#[$about:meta])* $visible:vis static $name:ident: $of:ty = $value:expr;) => {
        $(#[$about])*
        $visible static $name: $of = $value;
    };
}
pub(crate) use shared_static;

/// Defines a static of which every thread has its own: a cell.
macro_rules! thread_cell {
    ($(#[$about:meta])* $visible:vis static $name:ident: $of:ty = $value:expr;) => {
        thread_local! {
            $(#[$about])*
            $visible static $name: std::cell::Cell<$of> = const { std::cell::Cell::new($value) };
        }
    };
}
pub(crate) use thread_cell;
