//! Hidden memory: what moves there, what new memory becomes, and what children get.
#![cfg(target_os = "linux")]

#[path = "own_process/blocks.rs"]
mod blocks;
#[path = "own_process/locked.rs"]
mod locked;
#[path = "own_process/mod.rs"]
mod own_process;

use blocks::{Blocks, assert_hidden, limit_descriptors};
use locked::vm_locked_bytes;
use nomyo_core::arena::{Arena, status, with_keys};
use nomyo_core::buffer::SecureBuffer;
use nomyo_core::crypto::rsa::PrivateKey;
use nomyo_core::{Error, exiting, hidden, os};
use own_process::{Memlock, dies_by, in_child, passes, passes_limited, run, text};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

#[global_allocator]
static ARENA: Arena = Arena;

#[test]
fn all_that_exists_moves_and_all_that_comes_is_hidden() {
    passes("child_that_hides");
    passes_limited(&Memlock("8388608"), "child_that_hides");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_hides() {
    let control = 1_u8;
    assert_eq!(os::others_can_read(&raw const control), Some(true));
    let blocks = Blocks::new();
    let mut buffer = SecureBuffer::new(10_000).unwrap();
    buffer.content_mut().unwrap().fill(0xEE);
    assert_eq!(hidden::measured(), Some(false));
    let before = status();
    hidden::hide_memory().unwrap();
    hidden::hide_memory().unwrap();
    assert_eq!(hidden::measured(), Some(true));
    assert_eq!(status(), before);
    blocks.assert_as_they_were();
    blocks.assert_hidden();
    assert_hidden(buffer.address());
    assert!(buffer.ct_eq(&[0xEE; 10_000]) && buffer.locked());
    assert!(!buffer.unlock() && buffer.lock());
    let (later, later_buffer) = (Blocks::new(), SecureBuffer::new(10).unwrap());
    later.assert_hidden();
    assert_hidden(later_buffer.address());
    drop((blocks, buffer, later, later_buffer));
    let window_bytes = 16 * os::page_size();
    // Some pages are kept for the next who need some.
    let spare_bytes = vm_locked_bytes() - status().locked_bytes - window_bytes;
    assert!(
        (1..=status().budget_bytes / 8).contains(&spare_bytes),
        "{spare_bytes}"
    );
    assert_eq!(status().unlocked_peak_bytes, 0);
    let again = Blocks::new();
    again.assert_as_they_were();
    again.assert_hidden();
}

#[test]
fn buffer_that_could_not_be_hidden_is_hidden_once_it_is_locked() {
    passes("child_that_locks_a_buffer_later");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_locks_a_buffer_later() {
    hidden::hide_memory().unwrap();
    limit_descriptors(3);
    let mut buffer = SecureBuffer::new(100_000).unwrap();
    buffer.content_mut().unwrap().fill(0xEE);
    assert!(!buffer.lock() && !buffer.locked());
    limit_descriptors(100);
    buffer.hold().unwrap();
    assert!(!buffer.lock());
    buffer.let_go();
    assert!(buffer.lock() && buffer.locked() && !buffer.unlock());
    assert_hidden(buffer.address());
    assert!(buffer.ct_eq(&[0xEE; 100_000]));
    assert!(in_child(|| !buffer.locked()));
}

#[test]
fn pages_that_are_used_again_are_hidden_and_hold_zeros() {
    passes("child_that_uses_pages_again");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_uses_pages_again() {
    hidden::hide_memory().unwrap();
    for sizes in [
        [10_000, 5_000],
        [5_000, 10_000],
        [400_000, 300_000],
        [300_000, 1_000_000],
    ] {
        let [first, second] = sizes;
        let mut buffer = SecureBuffer::new(first).unwrap();
        buffer.content_mut().unwrap().fill(0xEE);
        let block = vec![0xEE_u8; first];
        drop((buffer, block));
        let (buffer, block) = (SecureBuffer::new(second).unwrap(), vec![0_u8; second]);
        assert!(buffer.ct_eq(&vec![0; second]) && block.iter().all(|byte| *byte == 0));
        assert_hidden(buffer.address());
        assert_hidden(block.as_ptr() as usize);
        assert!(in_child(|| {
            drop((buffer, block));
            SecureBuffer::new(second).unwrap().ct_eq(&vec![0; second])
        }));
    }
}

#[test]
fn little_memory_can_be_hidden_too() {
    passes_limited(&Memlock("327680"), "child_that_hides_little");
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_that_hides_little() {
    let small = vec![7_u8; 100];
    let key = with_keys(|| vec![8_u8; 9000]);
    hidden::hide_memory().unwrap();
    assert_hidden(small.as_ptr() as usize);
    assert_hidden(key.as_ptr() as usize);
    assert!(small == [7; 100] && key == [8; 9000]);
    assert!(in_child(|| small == [7; 100] && key == [8; 9000]));
}

#[test]
fn child_has_a_hidden_copy_and_cannot_reach_its_parent() {
    passes("child_that_hides_and_forks");
    passes_limited(&Memlock("8388608"), "child_that_hides_and_forks");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_hides_and_forks() {
    let mut blocks = Blocks::new();
    let mut buffer = SecureBuffer::new(100).unwrap();
    buffer.content_mut().unwrap().fill(0xEE);
    hidden::hide_memory().unwrap();
    buffer.hold().unwrap();
    let before = status();
    assert!(in_child(|| {
        assert_eq!(status().locked_bytes, before.locked_bytes);
        blocks.assert_as_they_were();
        blocks.assert_hidden();
        assert!(matches!(buffer.content(), Err(Error::Forked)));
        // SAFETY: something is mapped there in the child too.
        let inherited = unsafe { std::slice::from_raw_parts(buffer.address() as *const u8, 100) };
        assert!(inherited.iter().all(|byte| *byte == 0));
        assert!(in_child(|| {
            blocks.assert_as_they_were();
            blocks.assert_hidden();
            true
        }));
        blocks.all.iter_mut().for_each(|block| block.fill(0xBB));
        let later = SecureBuffer::new(10).unwrap();
        assert_hidden(later.address());
        drop(buffer);
        Blocks::new().assert_hidden();
        hidden::measured() == Some(true)
    }));
    blocks.assert_as_they_were();
    assert_eq!(status().locked_bytes, before.locked_bytes);
}

#[test]
fn child_past_the_handlers_faults_and_its_parent_goes_on() {
    passes("child_that_clones");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_clones() {
    let mut block = vec![7_u8; 5000];
    hidden::hide_memory().unwrap();
    // SAFETY: clone(2) without shared memory is fork(2) past the C library's handlers; the child makes no call but one.
    unsafe {
        let child = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
        if child == 0 {
            block.as_mut_ptr().write_volatile(9);
            libc::_exit(0);
        }
        let mut status = 0;
        libc::waitpid(child as libc::pid_t, &raw mut status, 0);
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV);
    }
    assert!(block == [7; 5000]);
}

#[test]
fn fork_without_a_descriptor_ends_the_child_with_a_message() {
    let output = run("child_that_forks_without_descriptors");
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("no file descriptor or no locked memory was left"),
        "{text}"
    );
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_forks_without_descriptors() {
    hidden::hide_memory().unwrap();
    limit_descriptors(3);
    assert!(!in_child(|| true));
    limit_descriptors(100);
    assert!(in_child(|| true));
}

#[test]
fn memory_that_threads_work_on_moves_unharmed() {
    for _ in 0..2 {
        passes("child_that_hides_among_threads");
    }
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_hides_among_threads() {
    let (stop, rounds) = (&AtomicBool::new(false), &AtomicUsize::new(0));
    let key = &PrivateKey::generate(2048).unwrap();
    thread::scope(|scope| {
        for size in [40, 3000, 60_000, 300_000] {
            scope.spawn(move || {
                let mut wrapped = [0; 256];
                while !stop.load(Ordering::Relaxed) {
                    exiting::counted(|| {
                        let mut block = vec![1_u8; size];
                        for round in 0..20 {
                            assert!(block.iter().all(|byte| *byte == round + 1));
                            block.fill(round + 2);
                        }
                        key.public_key().wrap(&[7; 32], &mut wrapped).unwrap();
                        assert!(*key.unwrap(&wrapped).unwrap().as_bytes() == [7; 32]);
                    });
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Generation holds no lock between two candidates, and stops there.
        scope.spawn(|| exiting::counted(|| PrivateKey::generate(2048).unwrap()));
        while rounds.load(Ordering::Relaxed) < 20 {
            thread::yield_now();
        }
        let hides = hidden::hide_memory();
        stop.store(hides.is_err(), Ordering::Relaxed); // the threads would go on for ever
        hides.unwrap();
        let then = rounds.load(Ordering::Relaxed);
        while rounds.load(Ordering::Relaxed) < then + 20 {
            thread::yield_now();
        }
        for _ in 0..20 {
            assert!(in_child(|| {
                let block = vec![2_u8; 100_000];
                key.public_key().wrap(&[7; 32], &mut [0; 256]).is_ok()
                    && block.iter().all(|byte| *byte == 2)
            }));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(hidden::measured(), Some(true));
}

#[test]
fn process_that_ends_wipes_hidden_memory_and_passes() {
    passes("child_that_ends");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_ends() {
    nomyo_core::init();
    hidden::hide_memory().unwrap();
    std::mem::forget((Blocks::new(), SecureBuffer::new(100).unwrap()));
    thread::spawn(|| {
        loop {
            exiting::counted(|| drop(Blocks::new()));
        }
    });
}

#[test]
fn buffer_that_is_let_go_too_often_ends_the_process() {
    let output = dies_by(libc::SIGABRT, "child_that_lets_go");
    assert!(text(&output).contains("let go more often than it was held"));
}

#[test]
#[ignore = "dies"]
fn child_that_lets_go() {
    SecureBuffer::new(1).unwrap().let_go();
}
