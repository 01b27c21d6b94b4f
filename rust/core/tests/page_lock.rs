//! Pages that several PageLocks share stay locked until the last of them is dropped.
#![cfg(target_os = "linux")]

#[path = "own_process/locked.rs"]
mod locked;
#[path = "own_process/mod.rs"]
mod own_process;

use locked::vm_locked_bytes;
use nomyo_core::arena::{Arena, status};
use nomyo_core::page_lock::PageLock;
use own_process::{Memlock, passes, passes_limited};

#[global_allocator]
static ARENA: Arena = Arena;

const PAGE: usize = 4096;

/// Maps pages outside the arena, as a caller's own buffer. They stay mapped until the process ends.
fn foreign_pages(count: usize) -> *mut u8 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh mapping.
    let ptr = unsafe { libc::mmap(std::ptr::null_mut(), count * PAGE, protection, flags, -1, 0) };
    assert_ne!(ptr, libc::MAP_FAILED);
    ptr.cast()
}

/// Counts the locked pages that are not the arena's.
fn locked_pages() -> usize {
    (vm_locked_bytes() - status().locked_bytes) / PAGE
}

#[test]
fn shared_pages_stay_locked_until_the_last_lock_is_gone() {
    passes("child_shared_pages");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_shared_pages() {
    let pages = foreign_pages(8);
    let at = |offset: usize| pages.wrapping_add(offset).cast_const();
    // Two small buffers on one page, and one across three.
    let first = PageLock::new(at(100), 50);
    let second = PageLock::new(at(200), 50);
    assert!(first.locked() && second.locked());
    assert_eq!(locked_pages(), 1);
    let wide = PageLock::new(at(PAGE - 1), PAGE + 2);
    assert_eq!(locked_pages(), 3);
    drop(first);
    assert_eq!(locked_pages(), 3);
    drop(second);
    assert_eq!(locked_pages(), 3);
    let inner = PageLock::new(at(PAGE), PAGE);
    drop(wide);
    assert_eq!(locked_pages(), 1);
    drop(inner);
    assert_eq!(locked_pages(), 0);
}

#[test]
fn same_memory_can_be_locked_twice() {
    passes("child_same_memory_twice");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_same_memory_twice() {
    let pages = foreign_pages(4);
    let locks: Vec<PageLock> = (0..3).map(|_| PageLock::new(pages, 4 * PAGE)).collect();
    for lock in locks {
        assert_eq!(locked_pages(), 4);
        drop(lock);
    }
    assert_eq!(locked_pages(), 0);
}

#[test]
fn lock_beyond_the_limit_fails_and_leaves_others_locked() {
    passes_limited(&Memlock("8388608"), "child_lock_beyond_the_limit");
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_lock_beyond_the_limit() {
    let pages = foreign_pages(4096);
    let small = PageLock::new(pages.wrapping_add(5 * PAGE), PAGE);
    let large = PageLock::new(pages, 4096 * PAGE);
    assert!(small.locked() && !large.locked());
    drop(large);
    assert_eq!(locked_pages(), 1);
    drop(small);
    assert_eq!(locked_pages(), 0);
}

#[test]
fn memory_that_is_not_mapped_is_not_locked() {
    passes("child_memory_that_is_not_mapped");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_memory_that_is_not_mapped() {
    let pages = foreign_pages(3);
    // SAFETY: this is the last of the three pages, and nothing uses it.
    let answer = unsafe { libc::munmap(pages.wrapping_add(2 * PAGE).cast(), PAGE) };
    assert_eq!(answer, 0);
    let kept = PageLock::new(pages, 10);
    let beyond = PageLock::new(pages, 3 * PAGE);
    assert!(kept.locked() && !beyond.locked());
    assert_eq!(locked_pages(), 1);
    assert!(!PageLock::new(pages, 0).locked());
    assert!(!PageLock::new(pages, usize::MAX).locked());
    drop((kept, beyond));
    assert_eq!(locked_pages(), 0);
}
