//! Measures allocators by the processor time that a block takes.
#![allow(dead_code)]

use nomyo_core::os;
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Barrier;

/// How many blocks are held at a time.
pub const HELD: usize = 64;

/// The system's allocator, with a wipe of freed blocks as in the arena.
pub struct WipingSystem;

// SAFETY: as the system's; the block is the caller's until it is freed.
unsafe impl GlobalAlloc for WipingSystem {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe {
            os::wipe(block, layout.size());
            System.dealloc(block, layout);
        }
    }
}

/// Allocates and frees blocks, one at a time.
pub fn pairs(allocator: &impl GlobalAlloc, layout: Layout, blocks: usize) {
    for _ in 0..blocks {
        // SAFETY: every block is freed once, with its own layout.
        unsafe { allocator.dealloc(black_box(allocator.alloc(layout)), layout) };
    }
}

/// Allocates and frees blocks, [`HELD`] at a time.
pub fn held(allocator: &impl GlobalAlloc, layout: Layout, blocks: usize) {
    for _ in 0..blocks / HELD {
        // SAFETY: the layout is not empty.
        let held = [(); HELD].map(|()| unsafe { black_box(allocator.alloc(layout)) });
        for block in held {
            // SAFETY: taken above, freed once.
            unsafe { allocator.dealloc(block, layout) };
        }
    }
}

/// Returns the nanoseconds of processor time per block for each round, sorted, while this many threads work at a time.
pub fn per_block(threads: usize, blocks: usize, rounds: usize, work: impl Fn() + Sync) -> Vec<f64> {
    let (barrier, work) = (&Barrier::new(threads), &work);
    let one_thread = move || -> Vec<f64> {
        let round = |_| {
            barrier.wait();
            let start = cpu_ns();
            work();
            cpu_ns() - start
        };
        (0..rounds).map(round).collect()
    };
    let all: Vec<Vec<f64>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(one_thread)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    let of_round = |round| all.iter().map(|times| times[round]).sum::<f64>();
    let mut times: Vec<f64> = (0..rounds)
        .map(|round| of_round(round) / (threads * blocks) as f64)
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

/// Returns the processor time that this thread has used so far.
pub fn cpu_ns() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the struct is valid for the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
