//! Children are forked while other threads are inside AWS-LC. There its locks are free, and its generator is seeded
//! again.
#![cfg(target_os = "linux")]

#[path = "own_process/mod.rs"]
mod own_process;

use nomyo_core::arena::Arena;
use nomyo_core::crypto::random;
use nomyo_core::crypto::rsa::PrivateKey;
use own_process::passes;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[global_allocator]
static ARENA: Arena = Arena;

/// How many forks are made while the other threads are busy.
const FORKS: usize = 200;

#[test]
fn children_of_a_process_that_draws_and_decrypts_draw_encrypt_and_exit() {
    passes("child_that_forks_while_it_draws");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_forks_while_it_draws() {
    let key = &PrivateKey::generate(2048).unwrap();
    let wrapped = &mut [0; 256];
    key.public_key().wrap(&[7; 32], wrapped).unwrap();
    while_busy(
        &[&draw, &draw_in_new_thread, &|| {
            key.public_key().wrap(&[7; 32], &mut [0; 256]).unwrap();
            assert!(key.unwrap(wrapped).is_ok());
        }],
        || {
            for _ in 0..FORKS {
                assert!(exits_well(|| {
                    std::thread::spawn(draw).join().unwrap();
                    key.public_key().wrap(&[7; 32], &mut [0; 256]).unwrap();
                }));
            }
        },
    );
}

#[test]
fn fork_does_not_wait_for_a_key_that_is_generated() {
    passes("child_that_forks_while_it_generates");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_forks_while_it_generates() {
    random::warm_up().unwrap();
    let generated = &AtomicUsize::new(0);
    let generate = || {
        drop(PrivateKey::generate(4096).unwrap());
        generated.fetch_add(1, Ordering::Relaxed);
    };
    while_busy(&[&generate], || {
        let outlasts_a_key = |_: &i32| {
            let before = generated.load(Ordering::Relaxed);
            assert!(exits_well(draw));
            generated.load(Ordering::Relaxed) != before
        };
        // All 50 would, if forks waited. The child's first random bytes take some 30 ms, a key takes 500 ms or more.
        let late = (0..50).filter(outlasts_a_key).count();
        assert!(late < 25, "{late} of 50 children ended after a further key");
    });
}

fn draw() {
    random::fill(&mut [0; 32]).unwrap();
}

fn draw_in_new_thread() {
    std::thread::spawn(draw).join().unwrap();
}

/// Runs `body` while one thread for each of `works` does it again and again.
fn while_busy(works: &[&(dyn Fn() + Sync)], body: impl FnOnce()) {
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        for work in works {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    work();
                }
            });
        }
        let _stop = StopAtEnd(stop);
        body();
    });
}

/// Ends the threads even if an assertion fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether a forked child did `work` and ended through `exit(3)`, which calls AWS-LC's destructors.
fn exits_well(work: impl FnOnce()) -> bool {
    // SAFETY: the child never returns from here.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: a child that hangs is ended by SIGALRM.
        unsafe { libc::alarm(10) };
        work();
        // SAFETY: ends the child.
        unsafe { libc::exit(0) };
    }
    let mut status = -1;
    // SAFETY: waits for the child that was just made.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    if status != 0 {
        eprintln!("the child ended with status {status:#x}");
    }
    status == 0
}
