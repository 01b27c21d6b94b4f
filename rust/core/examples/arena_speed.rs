//! Prints how long the arena takes for a block: `cargo run --release -p nomyo-core --example arena_speed`
//!
//! The figures are nanoseconds of processor time per block that is allocated, wiped and freed: one at a time; 64 held
//! at a time by one, two and eight threads; 64 passed to another thread, which frees them. Beside them are the figures
//! of the system's allocator with the same wipe, from the same run. `ratio` is the arena's time for one at a time as a
//! multiple of the system's.
//!
//! Processor time is measured, not time by the clock, so that other processes change it little. A thread that waits for
//! a lock spins or yields, and that counts. The figures for one and two threads are the least of many short rounds.
//! Those for eight threads are the median: with more threads than processors, a thread that holds a lock sometimes
//! loses its processor, and the figure should show that.

#[path = "../tests/speed/mod.rs"]
mod speed;

use nomyo_core::arena::Arena;
use speed::{HELD, WipingSystem, cpu_ns, held, pairs, per_block};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::mpsc::{Receiver, sync_channel};

#[global_allocator]
static ARENA: Arena = Arena;

/// The sizes of blocks in bytes, unless others are given as arguments.
const SIZES: [usize; 10] = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 16_384];

/// How many blocks a thread allocates in one round: this takes about a millisecond.
const BLOCKS: usize = 16_384;
/// The same if threads compete for processors: each then gets several slices of time.
const BLOCKS_COMPETING: usize = 262_144;
fn main() {
    println!("nanoseconds of a processor per block");
    println!(
        "{:>7} {:>8} {:>8} {:>6} | {:>8} {:>8} {:>8} {:>8} | {:>8} {:>8} {:>8}",
        "bytes", "pair", "system", "ratio", "64 held", "2", "8", "handed", "system", "8", "handed"
    );
    let asked: Vec<usize> = std::env::args()
        .skip(1)
        .map(|size| size.parse().expect("bytes of a block"))
        .collect();
    match asked.is_empty() {
        true => SIZES.into_iter().for_each(line),
        false => asked.into_iter().for_each(line),
    }
}

fn line(size: usize) {
    let layout = Layout::from_size_align(size, 8).unwrap();
    let blocks = if size > 10_000 { BLOCKS / 64 } else { BLOCKS };
    let competing = if size > 10_000 {
        blocks
    } else {
        BLOCKS_COMPETING
    };
    let pair = least(1, blocks, || pairs(&Arena, layout, blocks));
    let system = least(1, blocks, || pairs(&WipingSystem, layout, blocks));
    print!(
        "{size:>7} {pair:>8.1} {system:>8.1} {:>6.2} |",
        pair / system
    );
    print!(
        " {:>8.1}",
        least(1, blocks, || held(&Arena, layout, blocks))
    );
    print!(
        " {:>8.1}",
        least(2, blocks, || held(&Arena, layout, blocks))
    );
    print!(
        " {:>8.1}",
        median(8, competing, || held(&Arena, layout, competing))
    );
    print!(" {:>8.1}", handed_on(&Arena, layout, blocks));
    print!(
        " | {:>8.1}",
        least(1, blocks, || held(&WipingSystem, layout, blocks))
    );
    print!(
        " {:>8.1}",
        median(8, competing, || held(&WipingSystem, layout, competing))
    );
    println!(" {:>8.1}", handed_on(&WipingSystem, layout, blocks));
}

/// Returns the nanoseconds of processor time per block that one thread allocates and another frees.
fn handed_on(allocator: &(impl GlobalAlloc + Sync), layout: Layout, blocks: usize) -> f64 {
    let free = |letters: Receiver<[usize; HELD]>| {
        for block in letters.iter().flatten() {
            // SAFETY: taken by the other thread, freed once.
            unsafe { allocator.dealloc(block as *mut u8, layout) };
        }
        cpu_ns()
    };
    let round = |_| {
        std::thread::scope(|scope| {
            let (post, letters) = sync_channel(4);
            let other = scope.spawn(move || free(letters));
            let start = cpu_ns();
            for _ in 0..blocks / HELD {
                // SAFETY: the layout is not empty.
                let held = [(); HELD].map(|()| unsafe { allocator.alloc(layout) } as usize);
                post.send(held).unwrap();
            }
            drop(post);
            (cpu_ns() - start + other.join().unwrap()) / blocks as f64
        })
    };
    (0..50).map(round).fold(f64::INFINITY, f64::min)
}

fn least(threads: usize, blocks: usize, work: impl Fn() + Sync) -> f64 {
    per_block(threads, blocks, 100, work)[0]
}

fn median(threads: usize, blocks: usize, work: impl Fn() + Sync) -> f64 {
    per_block(threads, blocks, 11, work)[5]
}
