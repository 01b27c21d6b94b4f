//! A forked child has a working arena, whose pages are locked again, and none of the parent's secrets.
#![cfg(target_os = "linux")]

#[path = "own_process/locked.rs"]
mod locked;
#[path = "own_process/mod.rs"]
mod own_process;

use nomyo_core::arena::{Arena, status, with_keys};
use nomyo_core::buffer::SecureBuffer;
use nomyo_core::page_lock::PageLock;
use nomyo_core::{Error, generation};
use own_process::{Memlock, in_child, passes, passes_limited};
use std::sync::atomic::{AtomicBool, Ordering};

#[global_allocator]
static ARENA: Arena = Arena;

#[test]
fn generation_grows_in_every_child_and_stays_in_the_parent() {
    let here = generation::current();
    assert!(in_child(|| {
        generation::current() == here + 1 && in_child(|| generation::current() == here + 2)
    }));
    assert_eq!(generation::current(), here);
}

#[test]
fn child_locks_the_arena_again_and_keeps_its_content() {
    passes("child_of_this_locks_again");
    passes_limited(&Memlock("8388608"), "child_of_this_locks_again");
    passes_limited(&Memlock("65536"), "child_of_this_locks_again");
    passes_limited(&Memlock("0"), "child_of_this_locks_again");
}

#[test]
#[ignore = "needs the arena to itself"]
fn child_of_this_locks_again() {
    let held: Vec<Vec<u8>> = (0..500).map(|round| vec![round as u8; 1500]).collect();
    let large = vec![9_u8; 700_000];
    let before = status();
    assert!(in_child(|| {
        let after = status();
        assert_eq!(after.locked_bytes, locked::vm_locked_bytes());
        assert_eq!(after.locked_bytes, before.locked_bytes);
        assert!(
            held.iter()
                .enumerate()
                .all(|(round, block)| block[..] == [round as u8; 1500])
        );
        assert!(large.iter().all(|byte| *byte == 9));
        true
    }));
    assert_eq!(status().locked_bytes, locked::vm_locked_bytes());
}

#[test]
fn child_that_may_lock_less_says_so() {
    passes_limited(&Memlock("8388608"), "child_of_this_may_lock_less");
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_of_this_may_lock_less() {
    let held: Vec<Vec<u8>> = (0..1500).map(|_| vec![1; 1500]).collect();
    let large = vec![9_u8; 700_000];
    let before = status();
    let less = libc::rlimit {
        rlim_cur: 600_000,
        rlim_max: 600_000,
    };
    // SAFETY: the struct is valid for the call. What is locked already stays so.
    let answer = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const less) };
    assert_eq!(answer, 0);
    assert!(in_child(|| {
        let after = status();
        assert_eq!(after.locked_bytes, locked::vm_locked_bytes(), "{after:?}");
        assert!(
            after.locked_bytes < before.locked_bytes && after.unlocked_bytes > 0,
            "{after:?}"
        );
        // Blocks whose pages lost their lock count as unlocked, until they are freed.
        let lost = before.in_use_bytes - after.locked_bytes;
        let peak = after.unlocked_peak_bytes;
        assert!((lost..=before.in_use_bytes).contains(&peak), "{after:?}");
        drop(large);
        drop(held);
        assert_eq!(status().unlocked_peak_bytes, peak);
        let again: Vec<Vec<u8>> = (0..3000).map(|_| vec![2; 1500]).collect();
        assert!(again.iter().all(|block| block[..] == [2; 1500]));
        assert!(status().unlocked_peak_bytes <= status().in_use_bytes);
        drop(again);
        let end = status();
        assert_eq!(end.locked_bytes, locked::vm_locked_bytes(), "{end:?}");
        true
    }));
}

#[test]
fn keys_are_locked_first_in_a_child_that_may_lock_less() {
    passes_limited(&Memlock("8388608"), "child_of_this_locks_keys_first");
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_of_this_locks_keys_first() {
    let plaintext: Vec<Vec<u8>> = (0..1500).map(|_| vec![1; 1500]).collect();
    let key = with_keys(|| vec![2_u8; 1500]);
    let less = libc::rlimit {
        rlim_cur: 600_000,
        rlim_max: 600_000,
    };
    // SAFETY: the struct is valid for the call.
    let answer = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const less) };
    assert_eq!(answer, 0);
    assert!(in_child(|| {
        let is_locked = |block: &Vec<u8>| locked::mapping_of(block.as_ptr() as usize).has("lo");
        assert!(is_locked(&key) && !plaintext.iter().all(is_locked));
        status().unlocked_key_peak_bytes == 0
    }));
}

#[test]
fn child_counts_what_it_has_whatever_other_threads_were_at() {
    passes("child_of_this_counts_what_it_has");
}

#[test]
#[ignore = "needs the arena to itself"]
fn child_of_this_counts_what_it_has() {
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        for size in [300_000, 1_000_000] {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    drop(std::hint::black_box(vec![1_u8; size]));
                }
            });
        }
        let passed = (0..100).all(|_| {
            in_child(|| {
                let status = status();
                // Blocks that the threads were just allocating or freeing belong to nobody in the child.
                status.locked_bytes == locked::vm_locked_bytes()
                    && status.in_use_bytes <= 1_400_000 + 100_000
            })
        });
        stop.store(true, Ordering::Relaxed);
        assert!(passed);
    });
}

#[test]
fn children_of_a_busy_process_neither_hang_nor_crash() {
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        for size in [40, 3000, 60_000, 300_000] {
            scope.spawn(move || {
                let mut buffer = vec![0_u8; 10_000];
                while !stop.load(Ordering::Relaxed) {
                    let held: Vec<Vec<u8>> = (0..20).map(|_| vec![1; size]).collect();
                    let _lock = PageLock::new(buffer.as_mut_ptr(), buffer.len());
                    assert!(held.iter().all(|block| block[0] == 1));
                }
            });
        }
        for _ in 0..200 {
            let passed = in_child(|| {
                let sizes = [10, 500, 5000, 50_000, 500_000];
                let held: Vec<Vec<u8>> = sizes.map(|size| vec![2; size]).into();
                let keys = with_keys(|| vec![3_u8; 2000]);
                let lock = PageLock::new(held[4].as_ptr(), held[4].len());
                held.iter().all(|block| block.iter().all(|byte| *byte == 2))
                    && keys[1999] == 3
                    && lock.locked()
            });
            assert!(passed);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn secure_buffer_is_empty_and_refused_in_a_child() {
    let mut buffer = SecureBuffer::new(1000).unwrap();
    buffer.content_mut().unwrap().fill(0xEE);
    let address = buffer.address();
    buffer.hold().unwrap();
    assert!(in_child(|| {
        assert!(matches!(buffer.content(), Err(Error::Forked)));
        assert!(!buffer.locked() && !buffer.ct_eq(&[0xEE; 1000]));
        // SAFETY: the mapping exists in the child too.
        let bytes = unsafe { std::slice::from_raw_parts(address as *const u8, 1000) };
        assert!(bytes.iter().all(|byte| *byte == 0));
        drop(buffer);
        let mut own = SecureBuffer::new(10).unwrap();
        own.content_mut().unwrap().fill(1);
        true
    }));
    let buffer = SecureBuffer::new(0).unwrap();
    assert!(buffer.content().unwrap().is_empty());
}

#[test]
fn page_lock_is_not_inherited() {
    let buffer = vec![0_u8; 50_000];
    let lock = PageLock::new(buffer.as_ptr(), buffer.len());
    assert!(lock.locked());
    assert!(in_child(|| {
        let inherited = lock.locked();
        drop(lock);
        !inherited && PageLock::new(buffer.as_ptr(), buffer.len()).locked()
    }));
}
