//! Handles `fork`.
//!
//! Only the forking thread exists in the child. If another thread held a lock at the fork, the lock would stay held in
//! the child for ever. So before the fork the gate to AWS-LC is closed and all locks are taken, and after it both sides
//! release them. Hidden memory is copied for the child, see [`crate::hidden`]. The child then locks the arena's pages
//! again, wipes the buffers, and forgets the parent's page locks and the work of its other threads.

use crate::crypto::gate;
use crate::refused::Protection;
use crate::{all_locks, arena, buffer, exit, generation, hidden, os, page_lock};

/// Called when the library is loaded, not by [`crate::init`]: the arena serves blocks before that.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static FIRST: extern "C" fn() = register;

/// Registers the handlers around every fork. Called once.
pub(crate) extern "C" fn register() {
    Protection::ForkHandled.note(os::at_fork(before, after_in_parent, after_in_child));
}

/// Closes the gate first: threads behind it need the arena's locks to come out.
extern "C" fn before() {
    gate::close();
    all_locks::acquire();
    // SAFETY: all locks are held.
    unsafe { hidden::copy_for_child() };
}

extern "C" fn after_in_parent() {
    hidden::drop_copy();
    // SAFETY: `before` took them, in this thread.
    unsafe { all_locks::release() };
    gate::open();
}

extern "C" fn after_in_child() {
    generation::enter_child();
    // SAFETY: `before` took all locks, in the thread that this one was forked from.
    unsafe {
        // First of all: until then the hidden memory is missing.
        hidden::enter_child();
        buffer::wipe_inherited();
        arena::relock_inherited();
        all_locks::release();
    }
    page_lock::forget_inherited();
    exit::forget_inherited();
    hidden::forget_inherited();
    gate::open_in_child();
}
