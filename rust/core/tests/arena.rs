//! Tests the arena as an allocator: blocks are distinct, aligned, zero when allocated, and wiped when freed.
#![cfg(target_os = "linux")]

#[path = "block/mod.rs"]
mod block;
#[path = "own_process/mod.rs"]
mod own_process;

use block::{Block, Dice};
use nomyo_core::arena::{Arena, status, with_keys};
use std::alloc::{GlobalAlloc, Layout};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

#[global_allocator]
static ARENA: Arena = Arena;

/// Sizes on both sides of every border between classes, units, runs and mappings.
const SIZES: [usize; 26] = [
    1, 8, 15, 16, 17, 24, 25, 48, 64, 100, 512, 1000, 2047, 2048, 2049, 4095, 4096, 4097, 10_000,
    65_536, 126_975, 126_976, 126_977, 262_144, 1_000_000, 5_000_000,
];

/// Reads this process's memory through the kernel, so that a read of unmapped memory does not fault.
struct OwnMemory(File);

impl OwnMemory {
    fn new() -> Self {
        Self(File::open("/proc/self/mem").unwrap())
    }

    /// Whether the memory is all zero; `None` if it is no longer mapped.
    fn is_zero(&self, address: usize, len: usize) -> Option<bool> {
        let mut page = [0_u8; 1024];
        for from in (0..len).step_by(page.len()) {
            let part = &mut page[..(len - from).min(1024)];
            self.0.read_exact_at(part, (address + from) as u64).ok()?;
            if part.iter().any(|byte| *byte != 0) {
                return Some(false);
            }
        }
        Some(true)
    }
}

#[test]
fn every_size_and_alignment_is_served_with_zeros() {
    for size in SIZES {
        for power in 0..=18 {
            let mut block = Block::new(size, 1 << power);
            assert_eq!(block.ptr as usize % (1 << power), 0, "{size} {power}");
            assert!(
                block.bytes().iter().all(|byte| *byte == 0),
                "{size} {power}"
            );
            block.bytes().fill(0xA5);
        }
    }
}

#[test]
fn blocks_taken_again_are_zero() {
    for _ in 0..3 {
        let mut blocks: Vec<Block> = SIZES
            .iter()
            .flat_map(|size| [Block::new(*size, 8), Block::new(*size, 8)])
            .collect();
        for block in &mut blocks {
            assert!(
                block.bytes().iter().all(|byte| *byte == 0),
                "{:?}",
                block.layout
            );
            block.bytes().fill(0x5A);
        }
    }
}

#[test]
fn reallocation_keeps_the_content_up_to_the_smaller_size() {
    for old in SIZES {
        for new in SIZES {
            let mut block = Block::new(old, 8);
            for (index, byte) in block.bytes().iter_mut().enumerate() {
                *byte = index as u8 | 1;
            }
            block.resize(new);
            for (index, byte) in block.bytes().iter().enumerate().take(old.min(new)) {
                assert_eq!(*byte, index as u8 | 1, "{old} -> {new} at {index}");
            }
        }
    }
}

#[test]
fn freed_blocks_hold_zeros() {
    own_process::passes("child_freed_blocks_hold_zeros");
}

#[test]
#[ignore = "needs the arena to itself"]
fn child_freed_blocks_hold_zeros() {
    let memory = OwnMemory::new();
    let mut read = 0;
    for size in SIZES {
        let mut block = Block::new(size, 8);
        block.bytes().fill(0xC3);
        let address = block.ptr as usize;
        drop(block);
        match memory.is_zero(address, size) {
            Some(zero) => {
                assert!(zero, "{size}");
                read += 1;
            }
            None => assert!(size > 126_976, "{size}: only mappings vanish"),
        }
    }
    assert!(read >= 20);
}

#[test]
fn reallocation_wipes_the_old_block_and_the_tail() {
    own_process::passes("child_reallocation_wipes");
}

#[test]
#[ignore = "needs the arena to itself"]
fn child_reallocation_wipes() {
    let memory = OwnMemory::new();
    for (old, new) in [
        (16, 17),
        (100, 5000),
        (5000, 100),
        (4096, 100_000),
        (2048, 16),
        (30_000, 70),
    ] {
        let mut block = Block::new(old, 8);
        block.bytes().fill(0xC3);
        let address = block.ptr as usize;
        block.resize(new);
        assert_ne!(block.ptr as usize, address, "{old} -> {new}");
        assert_eq!(memory.is_zero(address, old), Some(true), "{old} -> {new}");
    }
    for (old, new) in [(32, 20), (4096, 3000), (2048, 1030), (262_144, 200_000)] {
        let mut block = Block::new(old, 8);
        block.bytes().fill(0xC3);
        let address = block.ptr as usize;
        block.resize(new);
        if block.ptr as usize == address {
            assert_eq!(
                memory.is_zero(address + new, old - new),
                Some(true),
                "{old} -> {new}"
            );
        }
    }
}

#[test]
fn threads_never_get_the_same_memory() {
    let post = &Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || stress(thread, post));
        }
    });
}

/// Allocates, fills, checks, resizes and frees blocks at random. Another thread frees some of them.
fn stress(thread: u64, post: &Mutex<Vec<(Block, u8)>>) {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ thread << 7);
    let mut held: Vec<(Block, u8)> = Vec::new();
    for round in 0..20_000_usize {
        match dice.below(4) {
            0 | 1 if held.len() < 200 => held.push(marked(&mut dice, round as u8 | 1)),
            2 if !held.is_empty() => {
                let at = dice.below(held.len());
                resize_checked(&mut held[at], &mut dice);
            }
            _ if !held.is_empty() => {
                let at = dice.below(held.len());
                let (mut block, mark) = held.swap_remove(at);
                check(&mut block, mark);
                post.lock().unwrap().push((block, mark));
            }
            _ => {}
        }
        if round.is_multiple_of(16) {
            let letters = std::mem::take(&mut *post.lock().unwrap());
            for (mut block, mark) in letters {
                check(&mut block, mark);
            }
        }
    }
}

fn marked(dice: &mut Dice, mark: u8) -> (Block, u8) {
    let most = [64, 600, 5_000, 40_000][dice.below(4)];
    let size = 1 + dice.below(most);
    let align = 1 << dice.below(6);
    let keys = dice.below(8) == 0;
    let mut block = if keys {
        with_keys(|| Block::new(size, align))
    } else {
        Block::new(size, align)
    };
    assert!(block.bytes().iter().all(|byte| *byte == 0));
    block.bytes().fill(mark);
    (block, mark)
}

fn resize_checked((block, mark): &mut (Block, u8), dice: &mut Dice) {
    let kept = block.layout.size();
    let size = 1 + dice.below(2 * kept);
    block.resize(size);
    assert!(
        block.bytes()[..kept.min(size)]
            .iter()
            .all(|byte| byte == mark)
    );
    block.bytes().fill(*mark);
}

fn check(block: &mut Block, mark: u8) {
    assert!(block.bytes().iter().all(|byte| *byte == mark));
}

#[test]
fn everything_that_was_taken_is_given_back() {
    own_process::passes("child_everything_is_given_back");
}

#[test]
#[ignore = "needs the arena to itself"]
fn child_everything_is_given_back() {
    let before = status();
    let mut blocks: Vec<Block> = (0..3000).map(|_| Block::new(2000, 8)).collect();
    let during = status();
    assert!(during.in_use_bytes >= before.in_use_bytes + 3000 * 2000);
    blocks.clear();
    blocks.shrink_to_fit();
    let after = status();
    // The test harness may hold a little more or less meanwhile.
    assert!(
        after.in_use_bytes.abs_diff(before.in_use_bytes) < 100_000,
        "{after:?}"
    );
    assert_eq!(after.unlocked_bytes, before.unlocked_bytes);
    // A few spare chunks are kept.
    assert!(
        after.locked_bytes <= before.locked_bytes + 9 * 256 * 1024,
        "{after:?}"
    );
}

#[test]
fn memory_beyond_the_machine_is_refused_with_null() {
    for size in [1 << 46, 1 << 50, isize::MAX as usize - 15] {
        let layout = Layout::from_size_align(size, 8).unwrap();
        // SAFETY: the size is not 0.
        assert!(unsafe { ARENA.alloc(layout) }.is_null());
    }
    let mut block = Block::new(100, 8);
    block.bytes().fill(7);
    // SAFETY: the block is in use with this layout, and stays in use if the result is null.
    assert!(unsafe { ARENA.realloc(block.ptr, block.layout, 1 << 50) }.is_null());
    assert!(block.bytes().iter().all(|byte| *byte == 7));
}
