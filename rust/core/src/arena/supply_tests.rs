//! Tests how threads move between heaps.

use super::heaps::{HEAPS, current};
use super::supply::enter;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const UNKNOWN: usize = usize::MAX;
const GENERAL_HEAPS: usize = 4;

#[test]
fn thread_whose_heap_another_holds_takes_from_a_free_one_from_then_on() {
    let (first, second, held) = [(); 3].map(|()| AtomicUsize::new(UNKNOWN)).into();
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            first.store(current(GENERAL_HEAPS), Ordering::Release);
            wait_for(&held);
            second.store(enter(GENERAL_HEAPS).0, Ordering::Release);
            enter(GENERAL_HEAPS).0
        });
        // Nothing is allocated here while the lock is held.
        let heap = wait_for(&first);
        let guard = HEAPS[heap].lock();
        held.store(1, Ordering::Release);
        let moved_to = wait_for(&second);
        drop(guard);
        assert!(moved_to < GENERAL_HEAPS && moved_to != heap);
        assert_eq!(worker.join().unwrap(), moved_to);
    });
}

/// Waits for the value and returns it.
fn wait_for(value: &AtomicUsize) -> usize {
    let end = Instant::now() + Duration::from_secs(20);
    while value.load(Ordering::Acquire) == UNKNOWN {
        if Instant::now() > end {
            return UNKNOWN;
        }
        std::thread::yield_now();
    }
    value.load(Ordering::Acquire)
}
