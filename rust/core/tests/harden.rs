//! Hardening takes effect and stays.
#![cfg(target_os = "linux")]

#[path = "own_process/mod.rs"]
mod own_process;

use nomyo_core::arena::Arena;
use nomyo_core::harden::harden_process;
use nomyo_core::os;
use own_process::{Memlock, in_child, passes, passes_limited};

#[global_allocator]
static ARENA: Arena = Arena;

#[test]
fn hardened_process_dumps_nothing_and_cannot_be_traced() {
    passes("child_hardened");
}

#[test]
#[ignore = "changes its process for good"]
fn child_hardened() {
    assert_eq!(os::dumpable(), Some(1));
    // Twice: the second call has nothing to do.
    for _ in 0..2 {
        harden_process().unwrap();
        assert!(is_hardened());
    }
    assert!(in_child(is_hardened));
}

fn is_hardened() -> bool {
    let mut limit = libc::rlimit {
        rlim_cur: 1,
        rlim_max: 1,
    };
    // SAFETY: the struct is valid for the call.
    let answer = unsafe { libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit) };
    answer == 0 && (limit.rlim_cur, limit.rlim_max) == (0, 0) && os::dumpable() == Some(0)
}

#[test]
fn whether_pages_can_be_locked_is_tried() {
    passes("child_can_lock");
    passes_limited(&Memlock("65536"), "child_can_lock");
    passes_limited(&Memlock("0"), "child_cannot_lock");
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_can_lock() {
    assert!(os::can_lock());
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_cannot_lock() {
    assert!(!os::can_lock());
}
