//! Two heaps and that of the keys, made anew for every execution.

use super::budget::Share;
use super::heap::Heap;
use super::spin::SpinLock;
use std::cell::Cell;

/// The heap for keys.
pub const KEYS: usize = 2;

loom::lazy_static! {
    pub static ref HEAPS: [SpinLock<Heap>; KEYS + 1] = [(); KEYS + 1].map(|()| SpinLock::new(Heap::new()));
}

loom::thread_local! {
    static HEAP: Cell<usize> = Cell::new(0);
    static UNLOCKED_SERVES: Cell<u64> = Cell::new(0);
}

/// Has this thread's allocations come from a heap.
pub fn use_heap(heap: usize) {
    HEAP.with(|own| own.set(heap));
}

pub fn current(_shards: usize) -> usize {
    HEAP.with(Cell::get)
}

pub fn settle(heap: usize) {
    use_heap(heap);
}

pub fn current_share() -> Share {
    share_of(current(KEYS))
}

pub fn share_of(heap: usize) -> Share {
    match heap {
        KEYS => Share::Keys,
        _ => Share::General,
    }
}

pub fn note_unlocked_serve() {
    UNLOCKED_SERVES.with(|serves| serves.set(serves.get() + 1));
}
