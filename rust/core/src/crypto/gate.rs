//! The gate to AWS-LC: all code that uses its random generator, its keys or its error queue goes through it.
//!
//! Why: only the forking thread exists in a child of `fork`. AWS-LC takes locks in `RAND_bytes`
//! (`fork_detect_ube_lock`, `ube_lock`, `global_seed_drbg_lock`, the `state_clear_lock` of each thread, see crypto/ube
//! and crypto/fipsmodule/rand) and when a thread ends (`thread_local_states_list_lock`, `g_destructors_lock`), and it
//! does nothing about `fork`. If another thread holds such a lock at a fork, it stays held in the child for ever. The
//! child then hangs when it draws random bytes, or in the destructor that AWS-LC runs in `exit(3)`.
//!
//! Promises:
//! - A fork waits until no thread is inside, and no thread enters until the fork is done. An operation with RSA-4096
//!   takes at most 2 ms, loading such a key some 3 ms, and a thread's first random bytes some 30 ms. Key generation
//!   leaves the gate between two candidates ([`step_aside`]).
//! - A thread that was ever inside also ends inside: AWS-LC's destructor of its random state runs behind the gate. (Not
//!   on Windows, which has no fork.)
//! - At exit the gate closes for good ([`close_for_good`]). Only the thread that ends the process can still enter, and
//!   other threads can still end, since it may join them. When memory is about to be wiped, that ends too
//!   ([`close_to_all`]): AWS-LC's destructor of a thread's random state reads it.
//!
//! Python code never runs inside. So no thread inside waits for the GIL, which a forking thread holds.

use crate::refused::Protection;
use crate::sync::{AtomicU32, Ordering, nap, shared_static, thread_cell};
use crate::{exiting, os};
use std::ffi::c_void;
use std::sync::OnceLock;
use std::time::Duration;

/// The bit that is set while the gate is closed for a fork.
pub(super) const CLOSED: u32 = 1 << 31;
/// The bit that is set once the gate is closed for good.
const ENDED: u32 = 1 << 30;
/// The bit that is set once threads must not end any more either.
const WIPING: u32 = 1 << 29;
/// The bits that count the threads inside.
const INSIDE: u32 = WIPING - 1;

shared_static! {
    pub(super) static STATE: AtomicU32 = AtomicU32::new(0);
}

/// The thread-local slot whose destructor shows that a thread ends. It is made before AWS-LC's own slot, and the system
/// clears slots in the order of their numbers, so ours is cleared first.
static THREAD_END: OnceLock<Option<os::ThreadSlot>> = OnceLock::new();

thread_cell! {
    /// How many calls of [`within`] of this thread are under way, one inside another.
    pub(super) static DEPTH: u32 = 0;
}
thread_cell! {
    /// Whether the end of this thread will be noticed.
    static WATCHED: bool = false;
}

/// Runs `f` behind the gate.
pub(crate) fn within<T>(f: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            leave();
        }
    }
    watch_end_of_thread();
    enter();
    let _leave = Leave;
    f()
}

/// Lets a waiting fork go first. Long operations call it at points where AWS-LC holds no lock.
pub(crate) fn step_aside() {
    if DEPTH.get() == 1 && STATE.load(Ordering::Relaxed) & CLOSED != 0 {
        leave();
        enter();
    }
}

/// Makes the slot. Must run before any other use of AWS-LC.
pub(crate) fn prepare() {
    let slot = THREAD_END.get_or_init(|| os::ThreadSlot::new(at_end_of_thread));
    Protection::ForkHandled.note(slot.is_some() || cfg!(not(unix)));
}

/// Closes the gate, and waits until no other thread is inside. Threads that fork at the same time do it in turn.
pub(crate) fn close() {
    let mut waiting = Waiting::new();
    while STATE.fetch_or(CLOSED, Ordering::Acquire) & CLOSED != 0 {
        waiting.wait();
    }
    wait_until_empty(&mut waiting, Duration::MAX);
}

/// The same, but gives up after `patience`, and then leaves the gate open. Returns whether it is closed.
pub(crate) fn close_within(patience: Duration) -> bool {
    let mut waiting = Waiting::new();
    while STATE.fetch_or(CLOSED, Ordering::Acquire) & CLOSED != 0 {
        if waiting.waited > patience {
            return false;
        }
        waiting.wait();
    }
    let empty = wait_until_empty(&mut waiting, patience);
    if !empty {
        open();
    }
    empty
}

/// Opens the gate again, in the process that closed it.
pub(crate) fn open() {
    STATE.fetch_and(!CLOSED, Ordering::Release);
}

/// Opens the gate in a forked child, even if the parent had closed it for good. No thread but this one can be inside.
pub(crate) fn open_in_child() {
    STATE.store(u32::from(DEPTH.get() > 0), Ordering::Release);
}

/// Closes the gate for good, at exit. Returns whether all other threads came out within `patience`.
pub(crate) fn close_for_good(patience: Duration) -> bool {
    STATE.fetch_or(ENDED, Ordering::Acquire);
    wait_until_empty(&mut Waiting::new(), patience)
}

/// Closes the gate even to threads that end: they wait for ever. Returns whether all others came out within `patience`.
pub(crate) fn close_to_all(patience: Duration) -> bool {
    STATE.fetch_or(WIPING, Ordering::Acquire);
    wait_until_empty(&mut Waiting::new(), patience)
}

fn wait_until_empty(waiting: &mut Waiting, patience: Duration) -> bool {
    let own = u32::from(DEPTH.get() > 0);
    while STATE.load(Ordering::Acquire) & INSIDE > own {
        if waiting.waited > patience {
            return false;
        }
        waiting.wait();
    }
    true
}

fn enter() {
    enter_past(if exiting::ends_here() {
        CLOSED
    } else {
        CLOSED | ENDED
    });
}

/// Enters, and waits while any of these bits is set.
fn enter_past(closed: u32) {
    if DEPTH.get() == 0 && !try_enter(closed) {
        exiting::stopped(|| wait_to_enter(closed));
    }
    DEPTH.set(DEPTH.get() + 1);
}

fn wait_to_enter(closed: u32) {
    let mut waiting = Waiting::new();
    while !try_enter(closed) {
        waiting.wait();
    }
}

fn try_enter(closed: u32) -> bool {
    let state = STATE.load(Ordering::Relaxed) & !closed;
    STATE
        .compare_exchange_weak(state, state + 1, Ordering::Acquire, Ordering::Relaxed)
        .is_ok()
}

fn leave() {
    DEPTH.set(DEPTH.get() - 1);
    if DEPTH.get() == 0 {
        STATE.fetch_sub(1, Ordering::Release);
    }
}

fn watch_end_of_thread() {
    if !WATCHED.replace(true)
        && let Some(Some(slot)) = THREAD_END.get()
    {
        slot.set(FIRST_ROUND);
    }
}

/// Values of the slot, by the round of destructors in which they are handed over.
pub(super) const FIRST_ROUND: usize = 1;
const SECOND_ROUND: usize = 2;

/// Runs when a thread ends and its slots are cleared: it enters the gate in the first round of destructors and leaves
/// it in the second, so AWS-LC's destructor runs in between. There is a second round because the slot is set again
/// (pthread_key_create(3)).
extern "C" fn at_end_of_thread(round: *mut c_void) {
    if round.addr() == SECOND_ROUND {
        return leave();
    }
    // Even if the process is ending: the thread that ends it may join this one.
    enter_past(CLOSED | WIPING);
    match THREAD_END.get() {
        Some(Some(slot)) if slot.set(SECOND_ROUND) => {}
        _ => leave(),
    }
}

/// Waits in a loop: it yields at first, and sleeps later.
struct Waiting {
    rounds: u32,
    waited: Duration,
}

impl Waiting {
    /// How many rounds only yield.
    const YIELDS: u32 = 100;
    const NAP: Duration = Duration::from_micros(50);

    fn new() -> Self {
        Self {
            rounds: 0,
            waited: Duration::ZERO,
        }
    }

    fn wait(&mut self) {
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds < Self::YIELDS {
            return os::yield_processor();
        }
        nap(Self::NAP);
        self.waited += Self::NAP;
    }
}
