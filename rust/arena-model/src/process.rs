//! The process of a model: it forks and ends, and so do its threads.
//!
//! In a forked child only the thread that forked exists. The others go on in the parent's memory, see [`crate::atomics`].
//! In the model the parent's side of the fork comes when the child's work is done; so what the child waits for in vain,
//! Loom reports as a deadlock.

use crate::atomics;
use crate::sync::thread_cell;
use loom::thread::{self, JoinHandle, Thread};
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::OnceLock;
use std::thread::panicking;

/// The processes, by their numbers.
pub const PARENT: usize = 0;
const CHILD: usize = 1;
/// Where a thread is that came to its end after that of its process.
const NOWHERE: usize = 2;

/// What the core registers with the system.
static HANDLERS: OnceLock<[extern "C" fn(); 3]> = OnceLock::new();
static AT_EXIT: OnceLock<extern "C" fn()> = OnceLock::new();

thread_cell! {
    static NUMBER: usize = PARENT;
}
thread_cell! {
    static IS_ENDING: bool = false;
}
thread_cell! {
    /// Whether [`end_thread`] has ended this thread, or the work that it did.
    static WAS_ENDED: bool = false;
}
thread_cell! {
    /// This thread's value of the one slot that there is.
    static SLOT: usize = 0;
}

/// A load may see an old value for some time, and each look again shows a newer one.
const MOST_LOOKS: u32 = 3;

thread_cell! {
    /// The change after which this thread last looked, and how often it has looked since.
    static LOOKS: (u64, u32) = (0, 0);
}

std::thread_local! {
    /// Whether the other threads of the first process do not exist any more.
    static IS_GONE: Cell<bool> = const { Cell::new(false) };
    /// The threads that wait for a change.
    static WAITING: RefCell<Vec<Thread>> = const { RefCell::new(Vec::new()) };
    /// How often an atomic has changed.
    static CHANGES: Cell<u64> = const { Cell::new(0) };
    /// Whether clocks stand still.
    pub static IS_PATIENT: Cell<bool> = const { Cell::new(true) };
}

/// The panic by which a thread ends that does not exist any more, or that would wait until the process has ended.
struct Ended;

/// Begins an execution.
pub fn begin() {
    atomics::forget_all();
    IS_GONE.set(false);
    WAITING.take();
}

/// The number of the process that this thread is in: [`PARENT`] or another.
pub fn number() -> usize {
    NUMBER.get()
}

/// Lets other threads run. If nothing has changed for a while, it waits for a change: for a loop that waits this is as
/// good as to look again, and Loom need not try how often that can be.
pub fn wait_a_little() {
    if IS_GONE.get() && number() == PARENT {
        return end_here();
    }
    let (seen, looks) = LOOKS.get();
    if seen != CHANGES.get() || looks < MOST_LOOKS {
        let looks = if seen == CHANGES.get() { looks + 1 } else { 1 };
        LOOKS.set((CHANGES.get(), looks));
        return thread::yield_now();
    }
    WAITING.with_borrow_mut(|waiting| waiting.push(thread::current()));
    thread::park();
}

/// Has threads that wait look again. Called after every change of an atomic.
pub fn note_change() {
    CHANGES.set(CHANGES.get() + 1);
    WAITING.take().iter().for_each(Thread::unpark);
}

/// Ends this thread. If it is ending already, its last steps change nothing: a panic would not get through the functions
/// that the system calls.
fn end_here() {
    if !IS_ENDING.get() {
        end_thread();
    }
    NUMBER.set(NOWHERE);
}

/// Whether this thread stands still for the others from here on, while its panic drops what it holds. A thread that dies
/// by [`crate::os::Died`] does not: what it holds is given back, and the others can look at what it left.
pub fn stands_still() -> bool {
    panicking() && WAS_ENDED.get()
}

pub fn end_thread() -> ! {
    WAS_ENDED.set(true);
    resume_unwind(Box::new(Ended));
}

/// Starts a thread. It returns whether it came to its end.
pub fn spawn(work: impl FnOnce() + 'static) -> JoinHandle<bool> {
    thread::spawn(|| {
        match catch_unwind(AssertUnwindSafe(|| {
            work();
            clear_slot();
        })) {
            Ok(()) => true,
            Err(panic) if panic.is::<Ended>() => false,
            Err(panic) => resume_unwind(panic),
        }
    })
}

/// Forks, and goes on as the parent.
pub fn fork_as_parent() {
    let [before, in_parent, _] = HANDLERS.get().expect("handlers");
    before();
    in_parent();
}

/// Forks, does the child's work, and then goes on as the parent.
pub fn fork(child: impl FnOnce()) {
    let [before, in_parent, in_child] = HANDLERS.get().expect("handlers");
    before();
    atomics::fork();
    NUMBER.set(CHILD);
    in_child();
    child();
    NUMBER.set(PARENT);
    in_parent();
}

/// Calls what is called when a process ends, up to its last function.
pub fn exit() {
    AT_EXIT.get().expect("a handler")();
}

/// Ends all other threads, as the end of the process does.
pub fn end_others() {
    IS_GONE.set(true);
    note_change();
}

pub fn at_fork(before: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> bool {
    HANDLERS.set([before, parent, child]).is_ok()
}

pub fn at_exit(function: extern "C" fn()) -> bool {
    AT_EXIT.get_or_init(|| function);
    true
}

/// The slot by which the core learns that a thread ends.
pub struct ThreadSlot(());

static SLOT_FUNCTION: OnceLock<extern "C" fn(*mut c_void)> = OnceLock::new();

impl ThreadSlot {
    pub fn new(at_end: extern "C" fn(*mut c_void)) -> Option<Self> {
        SLOT_FUNCTION.get_or_init(|| at_end);
        Some(Self(()))
    }

    pub fn set(&self, value: usize) -> bool {
        SLOT.set(value);
        true
    }
}

/// As pthread_key_create(3) says: the slot's function is called until the slot stays empty. Behind it in the first round
/// comes AWS-LC's.
fn clear_slot() {
    IS_ENDING.set(true);
    let mut round = SLOT.replace(0);
    let was_inside = round != 0;
    if was_inside {
        call(round);
        crate::scene::end_thread_in_aws_lc();
    }
    loop {
        round = SLOT.replace(0);
        if round == 0 {
            return;
        }
        call(round);
    }
}

fn call(value: usize) {
    SLOT_FUNCTION.get().expect("a function")(std::ptr::without_provenance_mut(value));
}
