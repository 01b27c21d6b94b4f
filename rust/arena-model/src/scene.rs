//! The memory that threads work on in the models of fork, exit and hiding, and stands for parts of the core around them.
//!
//! Loom fails if two accesses to one place, one of them a write, are not ordered. So a thread that works on memory while
//! another copies, wipes or moves it is found, whatever the values are.

use crate::crypto::gate;
use crate::process::PARENT;
use crate::sync::{AtomicU32, Ordering, shared_static, thread_cell};
use crate::{all_locks, exiting, process};
use loom::cell::UnsafeCell;

/// How many threads a model has at most.
const THREADS: usize = 4;

/// Places that only their threads touch, but for those who stop all threads.
pub struct Places(Vec<UnsafeCell<u32>>);

impl Places {
    fn new() -> Self {
        Self((0..THREADS).map(|_| UnsafeCell::new(0)).collect())
    }

    /// Works on this thread's place.
    #[track_caller]
    pub fn work(&self) {
        // SAFETY: Loom checks it.
        self.0[THREAD.get()].with_mut(|place| unsafe { *place += 1 });
    }

    /// Reads all places.
    #[track_caller]
    fn read(&self) {
        self.0.iter().for_each(|place| place.with(|_| ()));
    }

    /// Writes to all places.
    #[track_caller]
    fn write(&self) {
        self.0.iter().for_each(|place| place.with_mut(|_| ()));
    }
}

loom::lazy_static! {
    /// What AWS-LC's locks protect.
    pub static ref AWS_LC: Places = Places::new();
    /// Memory of the arena that work under way uses.
    pub static ref ARENA: Places = Places::new();
}

/// Initialises the statics before threads use them. In the core they exist from the beginning.
pub fn open_statics() {
    AWS_LC.read();
    ARENA.read();
    all_locks::acquire();
    // SAFETY: just taken.
    unsafe { all_locks::release() };
    exiting::forget_inherited();
    gate::open_in_child();
}

/// Whether this thread has moved or wiped all memory.
pub fn is_wiped() -> bool {
    IS_WIPED.get()
}

shared_static! {
    static BEGUN: AtomicU32 = AtomicU32::new(0);
}

/// Notes that a thread's work has begun.
pub fn begin() {
    BEGUN.fetch_add(1, Ordering::Relaxed);
}

/// Waits until so many threads' work has begun. Nobody is ordered by that.
pub fn wait_for_begun(count: u32) {
    while BEGUN.load(Ordering::Relaxed) < count {
        process::wait_a_little();
    }
}

thread_cell! {
    static IS_WIPED: bool = false;
}
thread_cell! {
    static THREAD: usize = 0;
}

/// Gives this thread places of its own.
pub fn be_thread(number: usize) {
    THREAD.set(number);
}

/// AWS-LC's destructor of a thread's random state.
pub fn end_thread_in_aws_lc() {
    if process::number() != PARENT {
        return;
    }
    AWS_LC.work();
    ARENA.work();
}

/// The memory of a child: a copy of what the parent's threads may be working on. What locks protect, it finds as the last
/// holder left it.
pub fn copy() {
    AWS_LC.read();
    // SAFETY: none, if the locks are not held; that is what Loom checks.
    unsafe {
        let _ = buffer::LIVE.held_value();
        let _ = page_lock::ACTIVE.held_value();
    }
}

/// Moves or wipes all memory.
pub fn overwrite() {
    IS_WIPED.set(true);
    // The parent's threads do not work on the child's memory, but there is one model memory for both.
    if process::number() != PARENT {
        return;
    }
    AWS_LC.write();
    ARENA.write();
}

/// Stands for the SecureBuffers: a lock, and what it protects.
pub mod buffer {
    use crate::spin::SpinLock;
    use crate::sync::shared_static;

    shared_static! {
        pub static LIVE: SpinLock<u32> = SpinLock::new(0);
    }

    pub unsafe fn wipe_inherited() {
        // SAFETY: the caller holds the lock.
        unsafe { *LIVE.held_value() += 1 };
    }

    pub unsafe fn wipe_all() {
        // SAFETY: as above.
        unsafe { *LIVE.held_value() += 1 };
    }
}

/// Stands for the locks on callers' pages.
pub mod page_lock {
    use crate::spin::SpinLock;
    use crate::sync::shared_static;

    shared_static! {
        pub static ACTIVE: SpinLock<u32> = SpinLock::new(0);
    }

    pub fn forget_inherited() {
        *ACTIVE.lock() = 0;
    }
}

/// Stands for the copy of hidden memory that is made for a child.
pub mod hidden {
    pub unsafe fn copy_for_child() {
        super::copy();
    }

    pub fn drop_copy() {}

    pub unsafe fn enter_child() {}

    pub fn forget_inherited() {}
}

/// Stands for AWS-LC's private keys, which lie in pages of their own.
pub mod pkey {
    use crate::Result;
    use crate::arena::key_pages;

    pub struct Pkey(());

    impl Pkey {
        pub fn read() -> Self {
            key_pages::touch();
            Self(())
        }

        pub fn prepare_thread() {}

        pub fn complete(&self) -> Result<()> {
            key_pages::touch();
            Ok(())
        }
    }

    impl Drop for Pkey {
        fn drop(&mut self) {
            key_pages::touch();
        }
    }
}

pub mod random {
    pub fn warm_up() -> crate::Result<()> {
        Ok(())
    }
}
