//! Knows whether the process is ending, and counts the native work that its end waits for. [`crate::exit`] uses both.

use crate::sync::{
    AtomicBool, AtomicU32, Ordering, nap, shared_static, thread_cell, wait_for_ever,
};
use std::time::Duration;

shared_static! {
    static EXITING: AtomicBool = AtomicBool::new(false);
}
shared_static! {
    static UNDER_WAY: AtomicU32 = AtomicU32::new(0);
}
shared_static! {
    /// How many calls under way are stopped at the gate to AWS-LC, where they touch no memory of the arena.
    static STOPPED: AtomicU32 = AtomicU32::new(0);
}
shared_static! {
    /// Whether work that begins must wait.
    static PAUSED: AtomicBool = AtomicBool::new(false);
}

thread_cell! {
    /// Whether this thread is ending the process.
    static ENDS_HERE: bool = false;
}
thread_cell! {
    /// How many of the calls under way are this thread's.
    static OWN: u32 = 0;
}

/// Runs work on memory of the arena, and makes exit wait for it.
///
/// If another thread is already ending the process, the work never begins and this thread waits for ever. Only work
/// within other counted work still runs, so that the outer work can end.
pub fn counted<T>(work: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            OWN.set(OWN.get() - 1);
            UNDER_WAY.fetch_sub(1, Ordering::SeqCst);
        }
    }
    loop {
        OWN.set(OWN.get() + 1);
        UNDER_WAY.fetch_add(1, Ordering::SeqCst);
        let leave = Leave;
        if OWN.get() > 1 || !(is_over() || PAUSED.load(Ordering::SeqCst)) {
            return work();
        }
        drop(leave);
        wait_for_turn();
    }
}

/// Waits while work is paused, and for ever if the process is ending.
fn wait_for_turn() {
    const NAP: Duration = Duration::from_micros(50);
    if is_over() {
        wait_for_ever();
    }
    while PAUSED.load(Ordering::SeqCst) {
        nap(NAP);
    }
}

/// Keeps work from beginning until it is dropped. Only one thread may have it at a time.
pub(crate) struct Pause(());

impl Pause {
    pub(crate) fn new() -> Self {
        PAUSED.store(true, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        PAUSED.store(false, Ordering::SeqCst);
    }
}

/// Whether all work of other threads is stopped at the gate. Asked while work is paused and the gate is closed. Once it
/// was true nobody works, though it may be false again for an instant, in which work counts that tries to begin.
pub(crate) fn others_are_stopped() -> bool {
    // In this order. Work that is stopped stays so. But running work may begin work within it and stop meanwhile; it
    // would then be among the stopped with more calls than it had among all, and hide others who run.
    let stopped = STOPPED.load(Ordering::SeqCst);
    UNDER_WAY.load(Ordering::SeqCst) <= OWN.get() + stopped
}

/// Runs `wait`, which waits at the gate until this thread is through.
pub(crate) fn stopped(wait: impl FnOnce()) {
    let own = OWN.get();
    STOPPED.fetch_add(own, Ordering::SeqCst);
    wait();
    STOPPED.fetch_sub(own, Ordering::SeqCst);
}

/// Whether another thread is ending the process.
pub(crate) fn is_over() -> bool {
    EXITING.load(Ordering::SeqCst) && !ends_here()
}

/// Whether this thread is ending the process.
pub(crate) fn ends_here() -> bool {
    ENDS_HERE.get()
}

/// Notes that this thread ends the process. From now on no other thread begins work.
pub(crate) fn begin() {
    ENDS_HERE.set(true);
    EXITING.store(true, Ordering::SeqCst);
}

/// Whether other threads have work under way. While the process is ending, no work can begin once this was false, though
/// it may be true again for an instant, in which work counts that tries to begin.
pub(crate) fn others_work() -> bool {
    UNDER_WAY.load(Ordering::SeqCst) > OWN.get()
}

/// Whether this thread has work under way.
pub(crate) fn works_here() -> bool {
    OWN.get() > 0
}

/// Forgets the work of the parent's other threads, and that the parent was ending; called in a forked child.
pub(crate) fn forget_inherited() {
    UNDER_WAY.store(OWN.get(), Ordering::SeqCst);
    STOPPED.store(0, Ordering::SeqCst);
    PAUSED.store(false, Ordering::SeqCst);
    ENDS_HERE.set(false);
    EXITING.store(false, Ordering::SeqCst);
}
