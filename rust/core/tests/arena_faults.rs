//! Misuse ends the process: access beyond a chunk, a block that is freed twice or was never allocated.
#![cfg(target_os = "linux")]

#[path = "own_process/mod.rs"]
mod own_process;

use nomyo_core::arena::Arena;
use own_process::{dies_by, text};
use std::alloc::{GlobalAlloc, Layout};

#[global_allocator]
static ARENA: Arena = Arena;

fn take(size: usize) -> (*mut u8, Layout) {
    let layout = Layout::from_size_align(size, 8).unwrap();
    // SAFETY: the size is not 0.
    (unsafe { ARENA.alloc(layout) }, layout)
}

#[test]
fn write_behind_a_large_block_faults() {
    dies_by(libc::SIGSEGV, "child_write_behind_a_large_block");
}

#[test]
#[ignore = "dies"]
fn child_write_behind_a_large_block() {
    let (block, layout) = take(1 << 20);
    // SAFETY: none; the guard is what this tests.
    unsafe { block.add(layout.size()).write_volatile(1) };
}

#[test]
fn write_before_a_large_block_faults() {
    dies_by(libc::SIGSEGV, "child_write_before_a_large_block");
}

#[test]
#[ignore = "dies"]
fn child_write_before_a_large_block() {
    let (block, _) = take(1 << 20);
    // SAFETY: none; the guard is what this tests.
    unsafe { block.sub(1).write_volatile(1) };
}

#[test]
fn walk_beyond_a_chunk_faults_in_both_directions() {
    dies_by(libc::SIGSEGV, "child_walk_up");
    dies_by(libc::SIGSEGV, "child_walk_down");
}

#[test]
#[ignore = "dies"]
fn child_walk_up() {
    let (block, _) = take(64);
    // SAFETY: none; the guard is what this tests. A chunk is 256 KiB at most.
    (0..64).for_each(|page| _ = unsafe { block.add(page * 4096).read_volatile() });
}

#[test]
#[ignore = "dies"]
fn child_walk_down() {
    let (block, _) = take(64);
    // SAFETY: as above.
    (0..64).for_each(|page| _ = unsafe { block.sub(page * 4096).read_volatile() });
}

#[test]
fn block_freed_twice_ends_the_process() {
    for name in ["child_slot_freed_twice", "child_run_freed_twice"] {
        let output = dies_by(libc::SIGABRT, name);
        assert!(text(&output).contains("freed"), "{}", text(&output));
    }
}

#[test]
#[ignore = "dies"]
fn child_slot_freed_twice() {
    let (neighbour, (block, layout)) = (take(48), take(48));
    // SAFETY: none; the check is what this tests.
    unsafe {
        ARENA.dealloc(block, layout);
        ARENA.dealloc(block, layout);
        ARENA.dealloc(neighbour.0, layout);
    }
}

#[test]
#[ignore = "dies"]
fn child_run_freed_twice() {
    let (block, layout) = take(20_000);
    // SAFETY: none; the check is what this tests.
    unsafe {
        ARENA.dealloc(block, layout);
        ARENA.dealloc(block, layout);
    }
}

#[test]
fn address_within_a_block_cannot_be_freed() {
    for name in [
        "child_middle_of_a_slot_freed",
        "child_middle_of_a_run_freed",
    ] {
        dies_by(libc::SIGABRT, name);
    }
}

#[test]
#[ignore = "dies"]
fn child_middle_of_a_slot_freed() {
    let (block, layout) = take(48);
    // SAFETY: none; the check is what this tests.
    unsafe { ARENA.dealloc(block.add(8), layout) };
}

#[test]
#[ignore = "dies"]
fn child_middle_of_a_run_freed() {
    let (block, layout) = take(20_000);
    // SAFETY: none; the check is what this tests.
    unsafe { ARENA.dealloc(block.add(4096), layout) };
}
