//! The gate to AWS-LC: whoever uses its random generator, its keys or its error queue goes through here.
//!
//! Why: only the forking thread lives on in a child of `fork`. AWS-LC takes locks inside of `RAND_bytes`
//! (`fork_detect_ube_lock`, `ube_lock`, `global_seed_drbg_lock`, the `state_clear_lock` of each thread, see
//! crypto/ube and crypto/fipsmodule/rand) and of threads' ends (`thread_local_states_list_lock`,
//! `g_destructors_lock`) and does nothing about `fork`. One that another thread held stays taken in the child
//! for ever, whose next random byte, or the destructor that AWS-LC runs in `exit(3)`, then hangs.
//!
//! Promises:
//! - A fork waits until no thread is inside, and nobody enters before it is done. An operation takes 2 ms at
//!   most; a thread's first random bytes some 30 ms; key generation steps aside between two candidates
//!   ([`step_aside`]).
//! - A thread that was inside ends inside: AWS-LC's destructor of its random state runs behind the gate.
//! - At exit the gate closes for good ([`close_for_good`]), but for the thread that ends the process and for the
//!   ends of others, which it may join.
//!
//! Python code never runs inside, so nobody inside waits for the GIL that a forking thread holds.

use crate::{exit, os};
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Set while the gate is closed for a fork.
const CLOSED: u32 = 1 << 31;
/// Set once the gate is closed for good.
const ENDED: u32 = 1 << 30;
/// The bits that count the threads inside.
const INSIDE: u32 = ENDED - 1;

static STATE: AtomicU32 = AtomicU32::new(0);

/// The slot of each thread by which its end is noticed. Made before AWS-LC's own, so that the system, which
/// goes through the slots by number, comes to it first.
static THREAD_END: OnceLock<Option<os::ThreadSlot>> = OnceLock::new();

thread_local! {
    /// Passages of this thread, one inside of another.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Whether the end of this thread will be noticed.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
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

/// Lets a fork that waits go first. For long operations, where AWS-LC holds no lock.
pub(crate) fn step_aside() {
    if DEPTH.get() == 1 && STATE.load(Ordering::Relaxed) & CLOSED != 0 {
        leave();
        enter();
    }
}

/// Makes the slot; before anything of AWS-LC.
pub(crate) fn prepare() {
    THREAD_END.get_or_init(|| os::ThreadSlot::new(at_end_of_thread));
}

/// Closes the gate and waits until nobody else is inside. One thread at a time gets here.
pub(crate) fn close() {
    let mut waiting = Waiting::new();
    while STATE.fetch_or(CLOSED, Ordering::Acquire) & CLOSED != 0 {
        waiting.wait();
    }
    wait_until_empty(&mut waiting, Duration::MAX);
}

/// Opens it again, in the process that closed it.
pub(crate) fn open() {
    STATE.fetch_and(!CLOSED, Ordering::Release);
}

/// Opens it in a forked child, whatever it was closed for: nobody is inside but this thread.
pub(crate) fn open_in_child() {
    STATE.store(u32::from(DEPTH.get() > 0), Ordering::Release);
}

/// Closes it for good, at exit; whether all who were inside came out within `patience`.
pub(crate) fn close_for_good(patience: Duration) -> bool {
    STATE.fetch_or(ENDED, Ordering::Acquire);
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
    enter_unless(|| false);
}

/// Whether it entered: not where that is refused for now and `given_up` says that it is for good.
fn enter_unless(given_up: fn() -> bool) -> bool {
    if DEPTH.get() == 0 {
        let mut waiting = Waiting::new();
        while !try_enter() {
            if given_up() {
                return false;
            }
            waiting.wait();
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    true
}

fn try_enter() -> bool {
    let closed = if exit::ends_here() {
        CLOSED
    } else {
        CLOSED | ENDED
    };
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
        slot.set(BEFORE_OTHERS);
    }
}

const BEFORE_OTHERS: usize = 1;
const AFTER_OTHERS: usize = 2;

/// Enters when the thread's slots are cleared, and leaves in the second round, which a value that was set
/// anew brings about (pthread_key_create(3)): AWS-LC's destructor runs in between.
extern "C" fn at_end_of_thread(round: *mut c_void) {
    if round.addr() == AFTER_OTHERS {
        return leave();
    }
    // A thread that waited here once the process ends could not be joined.
    if !enter_unless(exit::is_over) {
        return;
    }
    match THREAD_END.get() {
        Some(Some(slot)) if slot.set(AFTER_OTHERS) => {}
        _ => leave(),
    }
}

/// Waits a little at first, then longer.
struct Waiting {
    rounds: u32,
    waited: Duration,
}

impl Waiting {
    /// Rounds that only let others run.
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
        std::thread::sleep(Self::NAP);
        self.waited += Self::NAP;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static DEPTH_AT_THE_END: AtomicU32 = AtomicU32::new(0);

    extern "C" fn note_depth(_: *mut c_void) {
        DEPTH_AT_THE_END.store(DEPTH.get(), Ordering::Relaxed);
    }

    #[test]
    fn thread_that_was_inside_has_its_slots_cleared_inside() {
        crate::init();
        let later = &os::ThreadSlot::new(note_depth).expect("a slot");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                within(|| ());
                assert_eq!(DEPTH.get(), 0);
                assert!(later.set(BEFORE_OTHERS));
            });
            // The scope waits for the closure only; slots are cleared after it.
            thread.join().unwrap();
        });
        assert_eq!(DEPTH_AT_THE_END.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn passage_inside_of_another_does_not_wait_for_whoever_closes() {
        within(|| {
            let closing = std::thread::spawn(|| {
                close();
                open();
            });
            while STATE.load(Ordering::Relaxed) & CLOSED == 0 {
                os::yield_processor();
            }
            within(|| ());
            closing
        })
        .join()
        .unwrap();
    }
}
