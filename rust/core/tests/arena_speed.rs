//! The arena is not many times slower than the system's allocator. `examples/arena_speed.rs` prints the figures.
#![cfg(target_os = "linux")]

#[path = "speed/mod.rs"]
mod speed;

use nomyo_core::arena::Arena;
use speed::{WipingSystem, held, pairs, per_block};
use std::alloc::{GlobalAlloc, Layout};

#[global_allocator]
static ARENA: Arena = Arena;

/// The most that the arena may take, as a multiple of the system's time with the same wipe. Measured were 1.1 to 5.
const MOST_RATIO: f64 = 8.0;

#[test]
fn block_costs_no_multiple_of_what_the_system_takes_with_the_same_wipe() {
    for size in [32, 64, 256, 1024, 4096] {
        let layout = Layout::from_size_align(size, 8).unwrap();
        let ratios = [
            (
                Work::Pairs,
                least(&ARENA, layout, Work::Pairs) / least(&WipingSystem, layout, Work::Pairs),
            ),
            (
                Work::Held,
                least(&ARENA, layout, Work::Held) / least(&WipingSystem, layout, Work::Held),
            ),
        ];
        for (work, ratio) in ratios {
            assert!(
                ratio < MOST_RATIO,
                "{size} bytes, {work:?}: {ratio:.1} times the system's"
            );
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Pairs,
    Held,
}

/// The least processor time per block of many rounds, of some 100 us each: what others on the machine
/// do changes it little.
fn least(allocator: &(impl GlobalAlloc + Sync), layout: Layout, work: Work) -> f64 {
    const BLOCKS: usize = 4096;
    let round = || match work {
        Work::Pairs => pairs(allocator, layout, BLOCKS),
        Work::Held => held(allocator, layout, BLOCKS),
    };
    per_block(1, BLOCKS, 200, round)[0]
}
