//! Loom's atomics and cells, in the form of the core's `sync.rs`.

pub use crate::atomics::{AtomicBool, AtomicU32};
pub use crate::process::{end_thread as wait_for_ever, wait_a_little as spin_loop};
pub use loom::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::cell::Cell;
use std::time::Duration;

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
    ($(#[$about:meta])* $visible:vis static $name:ident: $of:ty = $value:expr;) => {
        loom::lazy_static! {
            $(#[$about])*
            pub static ref $name: $of = $value;
        }
    };
}
pub(crate) use shared_static;

/// Lets other threads run.
pub fn nap(_time: Duration) {
    crate::process::wait_a_little();
}

/// A clock that stands still, or that is far ahead in a model of a process that ran out of patience.
#[derive(Clone, Copy)]
pub struct Instant;

impl Instant {
    pub fn now() -> Self {
        Self
    }

    pub fn elapsed(&self) -> Duration {
        match crate::process::IS_PATIENT.get() {
            true => Duration::ZERO,
            false => Duration::MAX,
        }
    }
}

/// A cell of each thread, with the methods that the standard library's have.
pub struct ThreadCell<T: 'static>(pub &'static loom::thread::LocalKey<Cell<T>>);

impl<T: Copy> ThreadCell<T> {
    pub fn get(&self) -> T {
        self.0.with(Cell::get)
    }

    pub fn set(&self, value: T) {
        self.0.with(|cell| cell.set(value));
    }

    pub fn replace(&self, value: T) -> T {
        self.0.with(|cell| cell.replace(value))
    }
}

/// Defines a static of which every thread of every execution has its own.
macro_rules! thread_cell {
    ($(#[$about:meta])* $visible:vis static $name:ident: $of:ty = $value:expr;) => {
        $(#[$about])*
        $visible static $name: crate::sync::ThreadCell<$of> = {
            loom::thread_local! {
                static KEY: std::cell::Cell<$of> = std::cell::Cell::new($value);
            }
            crate::sync::ThreadCell(&KEY)
        };
    };
}
pub(crate) use thread_cell;
