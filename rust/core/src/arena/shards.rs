//! The heaps: one for keys, and a few for everything else, among which threads are spread.

use super::budget::Share;
use super::heap::Heap;
use super::spin::SpinLock;
use crate::{Error, Result};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Heaps for everything that is no key.
pub const MOST_SHARDS: usize = 4;

/// The heap for keys. One is enough: an operation with a key takes a millisecond, its allocations
/// some microseconds.
pub const KEYS: usize = MOST_SHARDS;

/// All heaps, that of the keys last.
pub static HEAPS: [SpinLock<Heap>; MOST_SHARDS + 1] =
    [const { SpinLock::new(Heap::new()) }; MOST_SHARDS + 1];

/// What the arena knows of a thread. No destructor: it stays usable while the thread ends.
struct Thread {
    /// 0: none yet; otherwise one more than the shard.
    shard: Cell<u8>,
    /// Calls of [`with_keys`] under way.
    keys: Cell<u32>,
    /// Blocks served to it from memory that is not locked.
    unlocked_serves: Cell<u64>,
    /// Their number when locked memory began to be required.
    required_since: Cell<Option<u64>>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            shard: Cell::new(0),
            keys: Cell::new(0),
            unlocked_serves: Cell::new(0),
            required_since: Cell::new(None),
        }
    };
}

/// The heap that this thread's allocations come from now.
#[inline]
pub fn current(shards: usize) -> usize {
    THREAD.with(|thread| {
        if thread.keys.get() > 0 {
            return KEYS;
        }
        match thread.shard.get() {
            0 => assign(&thread.shard, shards),
            shard => usize::from(shard) - 1,
        }
    })
}

/// Has this thread's allocations come from another shard from now on.
pub fn settle(shard: usize) {
    THREAD.with(|thread| thread.shard.set(shard as u8 + 1));
}

/// The share of the budget that this thread's allocations count for now.
pub fn current_share() -> Share {
    THREAD.with(|thread| {
        if thread.keys.get() > 0 {
            Share::Keys
        } else {
            Share::General
        }
    })
}

/// The share of the budget that a heap's chunks count for.
pub fn share_of(heap: usize) -> Share {
    if heap == KEYS {
        Share::Keys
    } else {
        Share::General
    }
}

/// How many blocks this thread has been served so far from memory that is not locked. What stays the
/// same around an operation says that all of the operation's blocks lay in locked memory when they
/// were served.
pub fn unlocked_serves_here() -> u64 {
    THREAD.with(|thread| thread.unlocked_serves.get())
}

/// Counts such a block.
pub fn note_unlocked_serve() {
    THREAD.with(|thread| {
        let serves = &thread.unlocked_serves;
        serves.set(serves.get() + 1);
    });
}

/// Requires locked memory of this thread, until dropped. [`check_required`] tells whether it got no other
/// meanwhile.
///
/// Blocks are served all the same, for Rust's collections cannot do without: whoever is about to put a
/// secret into one checks first.
pub struct LockedRequired {
    before: Option<u64>,
    /// It stays in its thread.
    _thread: PhantomData<*const ()>,
}

impl LockedRequired {
    /// From now on.
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

/// Whether locked memory is required of this thread now.
pub fn locked_is_required() -> bool {
    THREAD.with(|thread| thread.required_since.get().is_some())
}

/// [`Error::Unlocked`] where locked memory is required of this thread and it was served other since.
pub fn check_required() -> Result<()> {
    THREAD.with(|thread| match thread.required_since.get() {
        Some(since) if since != thread.unlocked_serves.get() => Err(Error::Unlocked),
        _ => Ok(()),
    })
}

/// Runs `f` with this thread's allocations taken from the share that is reserved for keys.
///
/// Where that share is used up, and the rest of the budget too, they come from unlocked memory as
/// all others do, and [`super::status`] says so.
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

#[cold]
fn assign(own: &Cell<u8>, shards: usize) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let shard = NEXT.fetch_add(1, Ordering::Relaxed) % shards;
    own.set(shard as u8 + 1);
    shard
}
