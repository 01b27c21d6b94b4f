//! Nothing can touch a SecureBuffer that nobody uses. Uses are counted across threads.
#![cfg(target_os = "linux")]

#[path = "own_process/locked.rs"]
mod locked;
#[path = "own_process/mod.rs"]
mod own_process;

use locked::{mapping_of, vm_locked_bytes};
use nomyo_core::arena::{Arena, status};
use nomyo_core::buffer::SecureBuffer;
use nomyo_core::hidden;
use own_process::{Memlock, dies_by, in_child, passes, passes_limited, text};
use std::sync::Barrier;

#[global_allocator]
static ARENA: Arena = Arena;

fn is_open(buffer: &SecureBuffer) -> bool {
    let mapping = mapping_of(buffer.address());
    let (readable, writable) = (mapping.has("rd"), mapping.has("wr"));
    assert_eq!(readable, writable);
    assert_eq!(buffer.is_protected(), !readable);
    readable
}

fn filled(len: usize) -> SecureBuffer {
    let mut buffer = SecureBuffer::new(len).unwrap();
    buffer.content_mut().unwrap().fill(0xE1);
    buffer
}

#[test]
fn buffer_is_open_while_it_is_used_and_stays_locked() {
    passes("child_that_opens_and_closes");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_opens_and_closes() {
    for len in [1, 4080, 4081, 100_000] {
        let mut buffer = filled(len);
        let locked_bytes = vm_locked_bytes();
        assert!(!is_open(&buffer), "{len}");
        assert!(buffer.locked() && mapping_of(buffer.address()).has("lo"));
        let content = buffer.content().unwrap();
        assert!(is_open(&buffer));
        let second = buffer.content().unwrap();
        drop(content);
        assert!(is_open(&buffer) && second.iter().all(|byte| *byte == 0xE1));
        drop(second);
        assert!(!is_open(&buffer));
        assert!(buffer.ct_eq(&vec![0xE1; len]) && !is_open(&buffer));
        buffer.wipe().unwrap();
        assert!(buffer.ct_eq(&vec![0; len]) && !is_open(&buffer));
        assert_eq!(vm_locked_bytes(), locked_bytes);
    }
    assert_eq!(status().locked_bytes, vm_locked_bytes());
}

#[test]
fn closed_buffer_can_be_unlocked_and_locked_again() {
    passes("child_that_locks_closed_pages");
    passes_limited(&Memlock("327680"), "child_that_locks_closed_pages");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_locks_closed_pages() {
    let mut buffer = filled(10_000);
    let locked_beside_arena = || vm_locked_bytes() - status().locked_bytes;
    for _ in 0..2 {
        assert_eq!(locked_beside_arena(), 12_288);
        assert!(buffer.unlock() && !is_open(&buffer));
        assert_eq!(locked_beside_arena(), 0);
        assert!(buffer.lock() && !is_open(&buffer));
        assert!(buffer.ct_eq(&[0xE1; 10_000]));
    }
    buffer.hold().unwrap();
    assert!(buffer.unlock() && buffer.lock() && is_open(&buffer));
    buffer.let_go();
    assert!(!is_open(&buffer));
}

#[test]
fn stray_access_to_a_closed_buffer_faults() {
    dies_by(libc::SIGSEGV, "child_that_reads_a_closed_buffer");
    dies_by(libc::SIGSEGV, "child_that_writes_to_a_closed_buffer");
    dies_by(libc::SIGSEGV, "child_that_reads_after_the_last_use");
}

#[test]
#[ignore = "dies"]
fn child_that_reads_a_closed_buffer() {
    let buffer = filled(1000);
    // SAFETY: none; that it faults is what this tests.
    unsafe { (buffer.address() as *const u8).read_volatile() };
}

#[test]
#[ignore = "dies"]
fn child_that_writes_to_a_closed_buffer() {
    let buffer = filled(1000);
    // SAFETY: none; as above.
    unsafe { (buffer.address() as *mut u8).write_volatile(1) };
}

#[test]
#[ignore = "dies"]
fn child_that_reads_after_the_last_use() {
    let buffer = filled(1000);
    // SAFETY: it is open at the first call, and that it faults at the second is what this tests.
    let read = || unsafe { (buffer.address() as *const u8).read_volatile() };
    buffer.hold().unwrap();
    buffer.hold().unwrap();
    buffer.let_go();
    assert_eq!(read(), 0xE1);
    buffer.let_go();
    read();
}

#[test]
fn one_use_ended_too_often_is_an_abort_that_says_so() {
    let output = dies_by(libc::SIGABRT, "child_that_ends_a_use_twice");
    assert!(text(&output).contains("let go more often than it was held"));
}

#[test]
#[ignore = "dies"]
fn child_that_ends_a_use_twice() {
    let buffer = filled(1000);
    buffer.hold().unwrap();
    buffer.let_go();
    buffer.let_go();
}

#[test]
fn threads_that_use_one_buffer_never_find_it_closed() {
    const THREADS: usize = 8;
    let buffer = filled(5000);
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            let (buffer, start) = (&buffer, &start);
            scope.spawn(move || {
                start.wait();
                for round in 0..2000 {
                    let content = buffer.content().unwrap();
                    assert_eq!(content[(number * 600 + round) % 5000], 0xE1);
                    if round % 7 == number % 7 {
                        std::thread::yield_now();
                    }
                    drop(content);
                }
            });
        }
    });
    assert!(!is_open(&buffer));
}

#[test]
fn forked_child_closes_what_it_inherits() {
    passes("child_that_forks_with_closed_and_open_buffers");
}

#[test]
fn forked_child_closes_what_it_inherits_hidden() {
    passes("child_that_hides_and_forks_with_closed_and_open_buffers");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_forks_with_closed_and_open_buffers() {
    fork_with_closed_and_open_buffers();
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_hides_and_forks_with_closed_and_open_buffers() {
    hidden::hide_memory().unwrap();
    fork_with_closed_and_open_buffers();
}

fn fork_with_closed_and_open_buffers() {
    let (closed, mut open, dropped) = (filled(1000), filled(1000), filled(1000));
    open.hold().unwrap();
    assert!(in_child(|| {
        assert!(!is_open(&closed) && is_open(&open));
        assert!(closed.hold().is_err() && closed.content().is_err());
        // SAFETY: it is open, since it was held when the process forked.
        let inherited = unsafe { (open.address() as *const u8).read_volatile() };
        assert_eq!(inherited, 0);
        open.wipe().unwrap();
        open.let_go();
        assert!(!is_open(&open));
        drop((closed, open, dropped));
        let own = filled(1000);
        !is_open(&own) && own.ct_eq(&[0xE1; 1000])
    }));
}

#[test]
fn process_forks_while_threads_open_and_close() {
    passes("child_that_forks_while_threads_open_and_close");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_forks_while_threads_open_and_close() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let (buffer, stop) = (filled(5000), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert!(buffer.content().unwrap().iter().all(|byte| *byte == 0xE1));
                }
            });
        }
        for _ in 0..100 {
            assert!(in_child(|| {
                let own = filled(100);
                buffer.content().is_err() && own.ct_eq(&[0xE1; 100])
            }));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(!is_open(&buffer));
}

#[test]
fn closed_buffer_is_hidden_with_its_content_and_stays_closed() {
    passes("child_that_hides_a_closed_buffer");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_hides_a_closed_buffer() {
    let buffers = [10, 5000, 300_000].map(filled);
    hidden::hide_memory().unwrap();
    for buffer in buffers.into_iter().chain([filled(20_000)]) {
        assert!(!is_open(&buffer) && buffer.locked());
        assert!(buffer.ct_eq(&vec![0xE1; buffer.len()]));
        buffer.hold().unwrap();
        assert!(is_open(&buffer));
        assert_eq!(
            nomyo_core::os::others_can_read(buffer.address() as *const u8),
            Some(false)
        );
        buffer.let_go();
        assert!(!is_open(&buffer));
    }
}

#[test]
fn hiding_that_fails_leaves_closed_buffers_closed() {
    passes("child_that_cannot_hide_a_closed_buffer");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_cannot_hide_a_closed_buffer() {
    let (buffer, held) = (filled(5000), filled(10));
    held.hold().unwrap();
    assert!(hidden::hide_memory().is_err());
    held.let_go();
    assert!(!is_open(&buffer) && buffer.ct_eq(&[0xE1; 5000]));
}
