//! A lock that the allocator itself can use: it never allocates and never panics.
//!
//! It is held for tens of nanoseconds, or for one system call on pages. A thread that finds it held spins for about as
//! long and then yields, since the holder may have lost its processor.

use crate::os;
use crate::sync::{AtomicBool, Ordering, SharedCell, constructor, spin_loop};
use std::ops::{Deref, DerefMut};

/// Spins before the first yield: about 1 us.
const SPINS: u32 = 64;

/// A value behind a spin lock. Its alignment keeps two locks from sharing a cache line, or the pair of lines that the
/// prefetcher fetches together.
#[repr(align(128))]
pub struct SpinLock<T> {
    held: AtomicBool,
    value: SharedCell<T>,
}

// SAFETY: the value is reached through the lock alone.
unsafe impl<T: Send> Sync for SpinLock<T> {}

/// Access to the value, until dropped.
pub struct SpinGuard<'a, T>(&'a SpinLock<T>);

impl<T> SpinLock<T> {
    constructor! {
        pub fn new(value: T) -> Self {
            Self {
                held: AtomicBool::new(false),
                value: SharedCell::new(value),
            }
        }
    }

    #[inline]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        self.acquire();
        SpinGuard(self)
    }

    /// Takes the lock if nobody has it.
    #[inline]
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        // Not `weak`, which may fail although the lock is free: the caller would then move to another heap.
        self.held
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
            .then(|| SpinGuard(self))
    }

    /// Takes the lock without a guard. The fork handlers need this: one function takes the lock, and another releases
    /// it, in both processes.
    #[inline]
    pub fn acquire(&self) {
        if self
            .held
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.wait();
        }
    }

    /// Releases a lock taken by [`SpinLock::acquire`].
    ///
    /// # Safety
    /// The calling thread, or the one that it was forked from, must hold the lock, without a guard.
    pub unsafe fn release(&self) {
        self.held.store(false, Ordering::Release);
    }

    /// The value, for a thread that holds the lock without a guard.
    ///
    /// # Safety
    /// As [`SpinLock::release`], and no other reference to the value may be alive.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn held_value(&self) -> &mut T {
        // SAFETY: the caller's promise.
        self.value.with_mut(|value| unsafe { &mut *value })
    }

    #[cold]
    fn wait(&self) {
        let mut spins = 0;
        loop {
            if !self.held.load(Ordering::Relaxed)
                && self
                    .held
                    .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return;
            }
            spins += 1;
            if spins < SPINS {
                spin_loop();
            } else {
                os::yield_processor();
            }
        }
    }
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        self.0.value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock.
        self.0.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.held.store(false, Ordering::Release);
    }
}
