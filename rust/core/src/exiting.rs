//! Knows whether the process is ending, and counts the native work that its end waits for. [`crate::exit`] uses both.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

static EXITING: AtomicBool = AtomicBool::new(false);
static UNDER_WAY: AtomicU32 = AtomicU32::new(0);
/// How many calls under way are stopped at the gate to AWS-LC, where they touch no memory of the arena.
static STOPPED: AtomicU32 = AtomicU32::new(0);
/// Whether work that begins must wait.
static PAUSED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread is ending the process.
    static ENDS_HERE: Cell<bool> = const { Cell::new(false) };
    /// How many of the calls under way are this thread's.
    static OWN: Cell<u32> = const { Cell::new(0) };
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
    while is_over() {
        std::thread::park();
    }
    while PAUSED.load(Ordering::SeqCst) {
        std::thread::sleep(NAP);
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

/// Whether all work of other threads is stopped at the gate. Asked while work is paused and the gate is closed; then
/// the answer stays true.
pub(crate) fn others_are_stopped() -> bool {
    UNDER_WAY.load(Ordering::SeqCst) <= OWN.get() + STOPPED.load(Ordering::SeqCst)
}

/// Runs `wait`, which waits at the gate until this thread is through, or gives up.
pub(crate) fn stopped<T>(wait: impl FnOnce() -> T) -> T {
    let own = OWN.get();
    STOPPED.fetch_add(own, Ordering::SeqCst);
    let outcome = wait();
    STOPPED.fetch_sub(own, Ordering::SeqCst);
    outcome
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

/// Whether other threads have work under way.
pub(crate) fn others_work() -> bool {
    UNDER_WAY.load(Ordering::SeqCst) > OWN.get()
}

/// Whether any thread has work under way, this one included.
pub(crate) fn any_works() -> bool {
    UNDER_WAY.load(Ordering::SeqCst) > 0
}

/// Forgets the work of the parent's other threads, and that the parent was ending; called in a forked child.
pub(crate) fn forget_inherited() {
    UNDER_WAY.store(OWN.get(), Ordering::SeqCst);
    STOPPED.store(0, Ordering::SeqCst);
    PAUSED.store(false, Ordering::SeqCst);
    ENDS_HERE.set(false);
    EXITING.store(false, Ordering::SeqCst);
}
