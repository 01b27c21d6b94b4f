//! Stands for the arena's heaps: two, and the one for keys. Every execution gets fresh ones.

use super::budget::Share;
use super::heap::Heap;
use crate::spin::SpinLock;
use std::cell::Cell;

/// The number of the heap for keys.
pub const KEYS: usize = 2;

loom::lazy_static! {
    pub static ref HEAPS: [SpinLock<Heap>; KEYS + 1] = [(); KEYS + 1].map(|()| SpinLock::new(Heap::new()));
}

/// No thread loads a key here.
pub const OWN: usize = KEYS + 1;

pub fn own_heap() -> Option<&'static SpinLock<Heap>> {
    None
}

pub fn heap_of(owner: usize, _chunk: u32) -> &'static SpinLock<Heap> {
    &HEAPS[owner]
}

pub fn without_keys<T>(f: impl FnOnce() -> T) -> T {
    f()
}

loom::thread_local! {
    static HEAP: Cell<usize> = Cell::new(0);
    static UNLOCKED_SERVES: Cell<u64> = Cell::new(0);
}

/// Makes this thread allocate from a heap.
pub fn use_heap(heap: usize) {
    HEAP.with(|own| own.set(heap));
}

pub fn current(_general_heaps: usize) -> usize {
    HEAP.with(Cell::get)
}

pub fn move_to_heap(heap: usize) {
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
