//! Hardening takes hold, and what is reported is what the system says.
#![cfg(target_os = "linux")]

#[path = "own_process/mod.rs"]
mod own_process;

use nomyo_core::arena::Arena;
use nomyo_core::harden::{harden_process, protection};
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
    assert!(!protection().ptrace_off);
    harden_process().unwrap();
    let after = protection();
    assert!(
        after.core_dumps_off && after.ptrace_off && after.hidden_from_dumps,
        "{after:?}"
    );
    assert!(in_child(|| protection() == after));
    let mut limit = libc::rlimit {
        rlim_cur: 1,
        rlim_max: 1,
    };
    // SAFETY: the struct is valid for the call.
    let answer = unsafe { libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit) };
    assert_eq!(answer, 0);
    assert_eq!((limit.rlim_cur, limit.rlim_max), (0, 0));
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
    assert!(protection().can_lock);
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_cannot_lock() {
    assert!(!protection().can_lock);
}
