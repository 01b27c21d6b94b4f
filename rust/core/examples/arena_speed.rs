//! How long the arena takes for a block: `cargo run --release -p nomyo-core --example arena_speed`
//!
//! For each size: a block taken and freed at once, and 64 blocks taken and then freed, by one thread
//! and by two at a time. Prints nanoseconds per pair of calls, beside those of the system's allocator.

use nomyo_core::arena::Arena;
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::time::Instant;

#[global_allocator]
static ARENA: Arena = Arena;

const ROUNDS: usize = 300_000;
const HELD: usize = 64;

fn main() {
    println!(
        "{:>7} {:>12} {:>12} {:>12} {:>12}",
        "bytes", "pair", "64 held", "2 threads", "system"
    );
    for size in [16, 32, 64, 256, 768, 1024, 2048, 4096, 16384, 65536, 262144] {
        let rounds = if size > 60_000 { ROUNDS / 100 } else { ROUNDS };
        let pair = best(|| pairs(&Arena, size, rounds));
        let held = best(|| held(size, rounds));
        let two = best(|| two_threads(size, rounds));
        let system = best(|| pairs(&System, size, rounds));
        println!("{size:>7} {pair:>12.1} {held:>12.1} {two:>12.1} {system:>12.1}");
    }
}

/// The best of five measurements, in nanoseconds a pair of calls.
fn best(mut measure: impl FnMut() -> f64) -> f64 {
    (0..5).map(|_| measure()).fold(f64::INFINITY, f64::min)
}

fn pairs(allocator: &impl GlobalAlloc, size: usize, rounds: usize) -> f64 {
    let layout = Layout::from_size_align(size, 8).unwrap();
    let start = Instant::now();
    for _ in 0..rounds {
        // SAFETY: every block is freed once, with its own layout.
        unsafe { allocator.dealloc(black_box(allocator.alloc(layout)), layout) };
    }
    start.elapsed().as_nanos() as f64 / rounds as f64
}

fn held(size: usize, rounds: usize) -> f64 {
    let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(HELD);
    let start = Instant::now();
    for _ in 0..rounds / HELD {
        blocks.extend((0..HELD).map(|_| Vec::with_capacity(size)));
        black_box(&mut blocks).clear();
    }
    start.elapsed().as_nanos() as f64 / (rounds / HELD * HELD) as f64
}

fn two_threads(size: usize, rounds: usize) -> f64 {
    std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(move || held(size, rounds)));
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .fold(0.0, f64::max)
    })
}
