//! AWS-LC's memory comes from the arena: it is locked, and wiped on free and on realloc.
#![cfg(target_os = "linux")]

#[path = "own_process/locked.rs"]
mod locked;
#[path = "own_process/mod.rs"]
mod own_process;

use aws_lc_sys::{OPENSSL_free, OPENSSL_malloc, OPENSSL_realloc};
use locked::mapping_of;
use nomyo_core::arena::{Arena, status};
use own_process::passes;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::ptr::null_mut;

#[global_allocator]
static ARENA: Arena = Arena;

fn take(size: usize) -> *mut u8 {
    nomyo_core::init();
    // SAFETY: no preconditions.
    let block = unsafe { OPENSSL_malloc(size) };
    assert!(!block.is_null());
    block.cast()
}

fn bytes_at(memory: &File, address: *mut u8) -> [u8; 64] {
    let mut bytes = [0; 64];
    memory.read_exact_at(&mut bytes, address as u64).unwrap();
    bytes
}

#[test]
fn blocks_come_from_the_arena_and_are_wiped() {
    passes("child_blocks_of_the_crypto_library");
}

#[test]
#[ignore = "needs the arena to itself"]
fn child_blocks_of_the_crypto_library() {
    let memory = File::open("/proc/self/mem").unwrap();
    let block = take(100);
    assert!(mapping_of(block as usize).has("lo"));
    let in_use = status().in_use_bytes;
    // SAFETY: 100 bytes are ours until the block moves, 5,000 until it is freed.
    unsafe {
        block.write_bytes(0xD7, 100);
        let moved: *mut u8 = OPENSSL_realloc(block.cast(), 5000).cast();
        assert_ne!(moved, block);
        assert_eq!(bytes_at(&memory, block), [0; 64]);
        assert_eq!(bytes_at(&memory, moved), [0xD7; 64]);
        OPENSSL_free(moved.cast());
        assert_eq!(bytes_at(&memory, moved), [0; 64]);
    }
    assert!(status().in_use_bytes < in_use);
}

#[test]
fn borders_of_malloc_behave() {
    let (first, second) = (take(0), take(0));
    assert_ne!(first, second);
    // SAFETY: blocks of the library's own, each freed once; null is allowed.
    unsafe {
        let grown = OPENSSL_realloc(first.cast(), 10);
        let fresh = OPENSSL_realloc(null_mut(), 10);
        assert!(!grown.is_null() && !fresh.is_null());
        [grown, fresh, second.cast()]
            .into_iter()
            .for_each(|block| OPENSSL_free(block));
        OPENSSL_free(null_mut());
        assert!(OPENSSL_malloc(usize::MAX).is_null());
        assert!(OPENSSL_malloc(usize::MAX - 4096).is_null());
    }
}

#[test]
fn blocks_are_aligned_for_any_type() {
    for size in 1..600 {
        let block = take(size);
        assert_eq!(block as usize % 16, 0, "{size}");
        // SAFETY: ours, freed once.
        unsafe { OPENSSL_free(block.cast()) };
    }
}

#[test]
fn content_survives_growing_and_shrinking() {
    let mut block = take(1);
    // SAFETY: every size is that of the block at the time.
    unsafe {
        block.write(0x3C);
        for size in [10, 100, 1000, 10_000, 1_000_000, 300_000, 50, 1] {
            block = OPENSSL_realloc(block.cast(), size).cast();
            assert_eq!(block.read(), 0x3C, "{size}");
            block.add(size - 1).write(0x3C);
        }
        OPENSSL_free(block.cast());
    }
}

#[test]
fn setting_up_again_changes_nothing() {
    for _ in 0..3 {
        nomyo_core::init();
        nomyo_core::crypto::hooks::install();
    }
}
