//! Wipes the arena and every [`SecureBuffer`](crate::buffer::SecureBuffer) at the end of the process, even if somebody
//! still holds them.
//!
//! Promises, on Linux, if the process ends through `exit(3)`, as the Python interpreter does:
//! - The wiping comes last. Python has ended by then, and AWS-LC's destructors, which read the arena, have run. They
//!   stand in `.fini_array`, whose numbered sections run after the others (ld's `SORT_BY_INIT_PRIORITY`, and glibc
//!   calls the functions from the end to the beginning).
//! - Handlers of `atexit(3)`, and so all of Python's work, run before that as usual.
//! - Threads that still run never see wiped memory. Work that has begun ([`exiting::counted`]) may end first; key
//!   generation gives up. Work that begins later, and every later allocation, waits for ever. If work does not end
//!   within [`PATIENCE`], the arena is left to the kernel, which clears pages before it gives them to others. The
//!   buffers are wiped even then.
//! - The thread that ends the process can work until the wiping: handlers of `atexit(3)` that were registered before
//!   this library's are called after it, and may end Python, fork, or join other threads.
//! - A forked child wipes its own copy. Pages that it shares with its parent are copied on write, so the parent's stay.
//!
//! If the process ends through `_exit(2)`, `abort(3)` or a signal, nothing is wiped here: the kernel clears the pages.

use crate::crypto::gate;
use crate::refused::Protection;
use crate::sync::{AtomicBool, Instant, Ordering, nap, shared_static};
use crate::{all_locks, arena, buffer, exiting, os};
use std::time::Duration;

/// How long exit waits for the work of other threads.
pub const PATIENCE: Duration = Duration::from_secs(2);

shared_static! {
    /// Whether work was still under way when the patience ended.
    static GAVE_UP_WAITING: AtomicBool = AtomicBool::new(false);
}

/// Registers the handler of `atexit(3)`. Called once.
pub(crate) fn register() {
    Protection::ExitHandled.note(os::at_exit(stop_work));
}

/// Forgets that the parent was ending; called in a forked child.
pub(crate) fn forget_inherited() {
    exiting::forget_inherited();
    GAVE_UP_WAITING.store(false, Ordering::SeqCst);
}

/// Runs before AWS-LC's destructors: if a thread drew random bytes after them, AWS-LC would abort the process.
/// The gate is closed last, since work under way must get through it.
extern "C" fn stop_work() {
    exiting::begin();
    if os::other_threads_are_gone() {
        return GAVE_UP_WAITING.store(true, Ordering::SeqCst);
    }
    let begun = Instant::now();
    let others_ended = others_end(begun);
    let all_out = gate::close_for_good(PATIENCE.saturating_sub(begun.elapsed()));
    // This thread's own work counts too: a signal's handler may have interrupted it and ended the process.
    let all_ended = others_ended && all_out && !exiting::works_here();
    GAVE_UP_WAITING.store(!all_ended, Ordering::SeqCst);
}

/// Waits until no other thread has work under way. Returns false if that takes too long.
fn others_end(begun: Instant) -> bool {
    const NAP: Duration = Duration::from_micros(50);
    while exiting::others_work() {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        nap(NAP);
    }
    true
}

#[cfg(all(target_os = "linux", not(test)))]
#[used]
#[unsafe(link_section = ".fini_array.00000")]
static LAST: extern "C" fn() = wipe_everything;

#[cfg_attr(any(not(target_os = "linux"), test), allow(dead_code))]
pub(crate) extern "C" fn wipe_everything() {
    if !GAVE_UP_WAITING.load(Ordering::SeqCst) && gate::close_to_all(PATIENCE) {
        all_locks::acquire();
        // SAFETY: all locks are held and never released; no work is under way, and none can begin.
        return unsafe {
            buffer::wipe_all();
            arena::wipe_all();
        };
    }
    buffer::LIVE.acquire();
    // SAFETY: the lock is held and never released.
    unsafe { buffer::wipe_all() };
}
