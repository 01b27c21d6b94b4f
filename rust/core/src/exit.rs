//! What a process leaves behind: nothing. At exit everything in the arena and in every
//! [`SecureBuffer`](crate::buffer::SecureBuffer) is overwritten, whoever still holds it.
//!
//! Promises, on Linux, where a process ends through `exit(3)` (so does the Python interpreter):
//! - It happens after Python has ended and after AWS-LC's own destructors, which read what lies in the arena:
//!   they stand in `.fini_array`, whose numbered sections run last (ld's `SORT_BY_INIT_PRIORITY`, and glibc
//!   calls the functions from the end to the beginning).
//! - Before that, handlers of `atexit(3)` and so all of Python's work as ever.
//! - Threads that are still there never see it: work that began ([`counted`]) ends first, key generation by
//!   giving up; later work waits for ever, and so does every allocation. Where work does not end within
//!   [`PATIENCE`], the arena is left to the kernel, which clears pages before it gives them to others; the buffers
//!   are wiped all the same.
//! - The thread that ends the process goes on, until the wiping: handlers of `atexit(3)` that were there before
//!   this library are called after its own, and may end Python, fork, or join other threads.
//! - A forked child wipes its own copy. What it shares with its parent stays as it is there (copy on write).
//!
//! A process that ends through `_exit(2)`, `abort(3)` or a signal wipes nothing: the kernel does.

use crate::{arena, buffer, gate, os};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long exit waits for the work of other threads.
pub const PATIENCE: Duration = Duration::from_secs(2);

static EXITING: AtomicBool = AtomicBool::new(false);
static UNDER_WAY: AtomicU32 = AtomicU32::new(0);
/// Whether work of another thread did not end.
static IMPATIENT: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this is the thread that ends the process.
    static ENDS_HERE: Cell<bool> = const { Cell::new(false) };
    /// This thread's part of what is under way.
    static OWN: Cell<u32> = const { Cell::new(0) };
}

/// Runs work that reads or writes the arena in a thread that exit does not wait for otherwise.
pub fn counted<T>(work: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            OWN.set(OWN.get() - 1);
            UNDER_WAY.fetch_sub(1, Ordering::SeqCst);
        }
    }
    OWN.set(OWN.get() + 1);
    UNDER_WAY.fetch_add(1, Ordering::SeqCst);
    let leave = Leave;
    if OWN.get() == 1 && is_over() {
        drop(leave);
        loop {
            std::thread::park();
        }
    }
    work()
}

/// Whether the process ends, and not by this thread.
pub(crate) fn is_over() -> bool {
    EXITING.load(Ordering::SeqCst) && !ends_here()
}

/// Whether this is the thread that ends the process.
pub(crate) fn ends_here() -> bool {
    ENDS_HERE.get()
}

/// Has the process end as this module says. Called once.
pub(crate) fn register() {
    os::at_exit(stop_work);
}

/// Forgets the work of threads that do not exist, and that the parent was about to end; called in a forked child,
/// whose one thread has none under way.
pub(crate) fn forget_inherited() {
    UNDER_WAY.store(OWN.get(), Ordering::SeqCst);
    ENDS_HERE.set(false);
    EXITING.store(false, Ordering::SeqCst);
    IMPATIENT.store(false, Ordering::SeqCst);
}

/// Comes before AWS-LC's destructors: a thread that drew random bytes after them would end the process (abort).
/// The gate closes last, for work that is under way has to get through it.
extern "C" fn stop_work() {
    const NAP: Duration = Duration::from_micros(50);
    ENDS_HERE.set(true);
    EXITING.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    while UNDER_WAY.load(Ordering::SeqCst) > OWN.get() && begun.elapsed() < PATIENCE {
        std::thread::sleep(NAP);
    }
    let all_out = gate::close_for_good(PATIENCE.saturating_sub(begun.elapsed()));
    // Its own work, which a signal's handler has interrupted by ending the process, counts too.
    let none = all_out && UNDER_WAY.load(Ordering::SeqCst) == 0;
    IMPATIENT.store(!none, Ordering::SeqCst);
}

#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".fini_array.00000")]
static LAST: extern "C" fn() = wipe_everything;

#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
extern "C" fn wipe_everything() {
    if !IMPATIENT.load(Ordering::SeqCst) {
        // SAFETY: no work is under way, and none begins.
        return unsafe { arena::wipe_all_for_good() };
    }
    buffer::LIVE.acquire();
    // SAFETY: the lock is held, and is never released.
    unsafe { buffer::wipe_all() };
}
