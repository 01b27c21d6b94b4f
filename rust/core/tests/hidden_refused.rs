//! Memory that cannot be hidden stays as it was, and the error says why.
#![cfg(target_os = "linux")]

#[path = "own_process/blocks.rs"]
mod blocks;
#[path = "own_process/locked.rs"]
mod locked;
#[path = "own_process/mod.rs"]
mod own_process;

use blocks::{Blocks, assert_hidden, limit_descriptors};
use locked::vm_locked_bytes;
use nomyo_core::arena::{Arena, status};
use nomyo_core::buffer::SecureBuffer;
use nomyo_core::{Error, exiting, hidden, os, refused};
use own_process::{Memlock, in_child, passes, passes_limited};
use std::sync::mpsc;
use std::thread;

#[global_allocator]
static ARENA: Arena = Arena;

fn assert_not_hidden(outcome: nomyo_core::Result<()>, word: &str) {
    match outcome {
        Err(Error::NotHidden(why)) => assert!(why.contains(word), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(refused::refused().collect::<Vec<_>>(), ["memfd_secret"]);
    assert_eq!(hidden::measured(), Some(false));
}

#[test]
fn hiding_is_refused_while_a_buffer_is_held_or_work_goes_on() {
    passes("child_that_is_busy");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_is_busy() {
    let buffer = SecureBuffer::new(10).unwrap();
    buffer.hold().unwrap();
    assert!(matches!(hidden::hide_memory(), Err(Error::InUse(why)) if why.contains("view")));
    buffer.let_go();
    let (begun, wait_for_begin) = mpsc::channel();
    let (end, wait_for_end) = mpsc::channel::<()>();
    let work = thread::spawn(move || {
        exiting::counted(|| {
            begun.send(()).unwrap();
            wait_for_end.recv().unwrap_err();
        });
    });
    wait_for_begin.recv().unwrap();
    assert!(matches!(hidden::hide_memory(), Err(Error::InUse(why)) if why.contains("threads")));
    assert_eq!(refused::refused().count(), 0);
    drop(end);
    work.join().unwrap();
    hidden::hide_memory().unwrap();
    assert_hidden(buffer.address());
}

#[test]
fn refusal_leaves_everything_locked_as_it_was() {
    passes_limited(&Memlock("0"), "child_that_may_lock_nothing");
    for errno in ["1", "38"] {
        // SAFETY: the tests of this binary read it in children only.
        unsafe { std::env::set_var("NOMYO_TEST_ERRNO", errno) };
        passes("child_in_a_sandbox");
    }
    passes("child_without_descriptors");
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_that_may_lock_nothing() {
    let block = vec![1_u8; 5000];
    assert_not_hidden(hidden::hide_memory(), "RLIMIT_MEMLOCK");
    assert!(block == [1; 5000]);
}

#[test]
#[ignore = "needs the process to itself"]
fn child_in_a_sandbox() {
    let errno = std::env::var("NOMYO_TEST_ERRNO").unwrap().parse().unwrap();
    refuse_memfd_secret(errno);
    assert_unchanged_by_refusal(if errno == 1 { "seccomp" } else { "Linux 5.14" });
}

#[test]
#[ignore = "needs the process to itself"]
fn child_without_descriptors() {
    limit_descriptors(3);
    let outcome = hidden::hide_memory();
    limit_descriptors(100);
    assert_not_hidden(outcome, "RLIMIT_NOFILE");
    hidden::hide_memory().unwrap();
    assert_eq!(refused::refused().count(), 0);
}

#[test]
fn hiding_is_refused_while_few_more_mappings_are_allowed() {
    passes("child_with_few_mappings_left");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_with_few_mappings_left() {
    let blocks = Blocks::new();
    let page = os::page_size();
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let most: usize = most.trim().parse().unwrap();
    let place = os::reserve(2 * most * page).expect("address space");
    // Each piece is two mappings more.
    let piece = |index| place.wrapping_add((2 * index + 1) * page);
    // SAFETY: the reservation is ours.
    let taken = (0..most)
        .take_while(|index| unsafe { os::open_pages(piece(*index), page) })
        .count();
    let mut refused = 0;
    loop {
        match hidden::hide_memory() {
            Ok(()) => break,
            Err(Error::NotHidden(_)) if refused < 1000 => refused += 1,
            other => panic!("{refused} mappings more were not enough: {other:?}"),
        }
        blocks.assert_as_they_were();
        // SAFETY: as above.
        unsafe { os::close_pages(piece(taken - refused), page) };
    }
    // SAFETY: as above.
    unsafe { os::release(place, 2 * most * page) };
    assert!((1..100).contains(&refused), "{refused}");
    blocks.assert_as_they_were();
    blocks.assert_hidden();
}

fn assert_unchanged_by_refusal(word: &str) {
    let blocks = Blocks::new();
    let before = status();
    assert_not_hidden(hidden::hide_memory(), word);
    blocks.assert_as_they_were();
    assert_eq!(status().locked_bytes, before.locked_bytes);
    assert_eq!(vm_locked_bytes(), before.locked_bytes);
    assert!(in_child(|| {
        blocks.assert_as_they_were();
        true
    }));
}

/// Makes memfd_secret(2) fail with this number, as a container's seccomp profile does.
fn refuse_memfd_secret(errno: u32) {
    let step = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, 447),
        step(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | errno,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the program is valid for the calls.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let filter = libc::SECCOMP_MODE_FILTER;
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, filter, &raw const program),
            0
        );
    }
}
