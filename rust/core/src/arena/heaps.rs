//! The heaps: one for keys, a few for everything else, to which threads are assigned, and one for each key in pages of
//! its own.

use super::budget::Share;
use super::chunk::MOST_CHUNKS;
use super::heap::Heap;
use crate::spin::SpinLock;
use crate::{Error, Result};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::{self, null, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// The most heaps for everything but keys.
pub const MOST_GENERAL_HEAPS: usize = 4;

/// The number of the heap for keys. One is enough: an operation with a key takes a millisecond, and its allocations
/// some microseconds.
pub const KEYS: usize = MOST_GENERAL_HEAPS;

/// The number by which all heaps go that belong to one private key each, see [`super::key_pages`]. The heap of this
/// number is always empty, so what is asked of it goes the slow way, to the key's.
pub const OWN: usize = KEYS + 1;

/// All heaps but those of single keys.
pub static HEAPS: [SpinLock<Heap>; OWN + 1] = [const { SpinLock::new(Heap::new()) }; OWN + 1];

/// The heaps of single keys, by their chunks. A pointer is valid while its chunk has a block.
static OWN_HEAPS: [AtomicPtr<SpinLock<Heap>>; MOST_CHUNKS] =
    [const { AtomicPtr::new(null_mut()) }; MOST_CHUNKS];

/// What the arena knows of a thread. It has no destructor, so that it stays usable while the thread ends.
struct Thread {
    /// 0 if it has no heap yet; otherwise the heap's number plus 1.
    heap: Cell<u8>,
    /// How many calls of [`with_keys`] are under way.
    keys: Cell<u32>,
    /// The heap of a key that is being loaded; null if none is.
    own: Cell<*const SpinLock<Heap>>,
    /// How many blocks it got in unlocked memory.
    unlocked_serves: Cell<u64>,
    /// The value of `unlocked_serves` when locked memory began to be required; `None` if it is not required.
    required_since: Cell<Option<u64>>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            heap: Cell::new(0),
            keys: Cell::new(0),
            own: Cell::new(null()),
            unlocked_serves: Cell::new(0),
            required_since: Cell::new(None),
        }
    };
}

/// Returns the heap from which this thread allocates now.
#[inline]
pub fn current(general_heaps: usize) -> usize {
    THREAD.with(|thread| {
        if thread.keys.get() > 0 {
            return if thread.own.get().is_null() {
                KEYS
            } else {
                OWN
            };
        }
        match thread.heap.get() {
            0 => assign(&thread.heap, general_heaps),
            heap => usize::from(heap) - 1,
        }
    })
}

/// The heap that frees what lies in a chunk, by its owner.
#[inline]
pub fn heap_of(owner: usize, chunk: u32) -> &'static SpinLock<Heap> {
    if owner != OWN {
        return &HEAPS[owner];
    }
    // SAFETY: the key's heap lives as long as a block of its chunk does.
    unsafe { &*OWN_HEAPS[chunk as usize].load(Ordering::Acquire) }
}

/// Notes the heap of a key's chunk. It must live until the chunk has no more blocks.
pub fn set_own_heap(chunk: u32, heap: &SpinLock<Heap>) {
    OWN_HEAPS[chunk as usize].store(ptr::from_ref(heap).cast_mut(), Ordering::Release);
}

/// The heap of the key that this thread is loading.
pub fn own_heap() -> Option<&'static SpinLock<Heap>> {
    // SAFETY: it is set while `in_own_heap` borrows it.
    THREAD.with(|thread| unsafe { thread.own.get().as_ref() })
}

/// Runs `f` with this thread's allocations for keys taken from a heap of a key's own, as long as that has room.
pub fn in_own_heap<T>(heap: &SpinLock<Heap>, f: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            THREAD.with(|thread| thread.own.set(null()));
        }
    }
    THREAD.with(|thread| thread.own.set(heap));
    let _leave = Leave;
    with_keys(f)
}

/// Assigns this thread to another heap.
pub fn move_to_heap(heap: usize) {
    THREAD.with(|thread| thread.heap.set(heap as u8 + 1));
}

/// Returns the share of the budget that this thread's allocations take now.
pub fn current_share() -> Share {
    THREAD.with(|thread| {
        if thread.keys.get() > 0 {
            Share::Keys
        } else {
            Share::General
        }
    })
}

/// Returns the share of the budget that a heap's chunks take.
pub fn share_of(heap: usize) -> Share {
    if heap >= KEYS {
        Share::Keys
    } else {
        Share::General
    }
}

/// Returns how many blocks this thread got in unlocked memory so far. If the number does not change during an
/// operation, all of the operation's blocks were in locked memory.
pub fn unlocked_serves_here() -> u64 {
    THREAD.with(|thread| thread.unlocked_serves.get())
}

/// Counts one block that this thread gets in unlocked memory.
pub fn note_unlocked_serve() {
    THREAD.with(|thread| {
        let serves = &thread.unlocked_serves;
        serves.set(serves.get() + 1);
    });
}

/// Requires that this thread's memory is locked, until dropped. [`check_required`] tells whether it was.
///
/// Blocks in unlocked memory are still given out, since Rust's collections cannot cope with a refusal. So code checks
/// before it puts a secret into a new block.
pub struct LockedRequired {
    before: Option<u64>,
    /// Keeps it in its thread: it is not `Send`.
    _thread: PhantomData<*const ()>,
}

impl LockedRequired {
    /// Begins to require it.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let before = THREAD.with(|thread| {
            let now = thread.unlocked_serves.get();
            thread.required_since.replace(Some(now))
        });
        Self {
            before,
            _thread: PhantomData,
        }
    }
}

impl Drop for LockedRequired {
    fn drop(&mut self) {
        THREAD.with(|thread| thread.required_since.set(self.before));
    }
}

/// Whether this thread's memory must be locked now.
pub fn locked_is_required() -> bool {
    THREAD.with(|thread| thread.required_since.get().is_some())
}

/// Checks that this thread got no unlocked memory since [`LockedRequired`]; [`Error::Unlocked`] if it did.
pub fn check_required() -> Result<()> {
    THREAD.with(|thread| match thread.required_since.get() {
        Some(since) if since != thread.unlocked_serves.get() => Err(Error::Unlocked),
        _ => Ok(()),
    })
}

/// Runs `f` with this thread's allocations taken from the share of the budget that is reserved for keys.
///
/// If the whole budget is used up, they come from unlocked memory, and [`super::status`] shows that.
pub fn with_keys<T>(f: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            THREAD.with(|thread| thread.keys.set(thread.keys.get() - 1));
        }
    }
    THREAD.with(|thread| thread.keys.set(thread.keys.get() + 1));
    let _leave = Leave;
    f()
}

/// Runs `f` with this thread's allocations taken from the share of everything but keys.
pub(crate) fn without_keys<T>(f: impl FnOnce() -> T) -> T {
    struct Return(u32);
    impl Drop for Return {
        fn drop(&mut self) {
            THREAD.with(|thread| thread.keys.set(self.0));
        }
    }
    let _return = Return(THREAD.with(|thread| thread.keys.replace(0)));
    f()
}

#[cold]
fn assign(own: &Cell<u8>, general_heaps: usize) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let heap = NEXT.fetch_add(1, Ordering::Relaxed) % general_heaps;
    own.set(heap as u8 + 1);
    heap
}
