//! Models of private keys that are closed while nobody uses them, in a process that forks, ends and moves its memory.

use crate::arena::key_pages::are_open;
use crate::crypto::rsa::PrivateKey;
use crate::exit;
use crate::exiting::counted;
use crate::process::{self, spawn};
use crate::process_models::{FEW_PREEMPTIONS, PATIENCE, PREEMPTIONS, check};
use crate::scene::be_thread;
use crate::standstill::while_nobody_works;
use loom::thread::JoinHandle;
use std::sync::Arc;

/// A key that so many other threads use once.
fn used_by<const THREADS: usize>() -> (Arc<PrivateKey>, [JoinHandle<bool>; THREADS]) {
    let key = Arc::new(PrivateKey::load());
    let mut number = 0;
    let users = [(); THREADS].map(|()| {
        let theirs = key.clone();
        number += 1;
        spawn(move || {
            be_thread(number);
            counted(|| theirs.use_once());
        })
    });
    (key, users)
}

fn assert_all_end<const THREADS: usize>(users: [JoinHandle<bool>; THREADS]) {
    users
        .into_iter()
        .for_each(|user| assert!(user.join().unwrap()));
}

#[test]
fn key_is_open_for_every_use_and_closed_after_the_last() {
    check(FEW_PREEMPTIONS, || {
        let (key, users) = used_by::<1>();
        key.use_once();
        assert_all_end(users);
        assert!(!are_open());
        drop(key);
        assert!(!are_open());
    });
}

#[test]
fn child_that_is_forked_during_a_use_finds_the_key_closed() {
    check(PREEMPTIONS, || {
        let (key, users) = used_by::<1>();
        process::fork(|| assert!(!are_open()));
        key.use_once();
        assert_all_end(users);
        assert!(!are_open());
    });
}

#[test]
fn memory_is_moved_while_no_key_is_in_use() {
    check(PREEMPTIONS, || {
        let (key, users) = used_by::<1>();
        let moved = while_nobody_works(PATIENCE, || assert!(!are_open()));
        assert!(moved.is_some());
        assert_all_end(users);
        drop(key);
    });
}

#[test]
fn process_that_ends_wipes_keys_when_none_is_in_use() {
    check(PREEMPTIONS, || {
        let (key, users) = used_by::<1>();
        process::exit();
        exit::wipe_everything();
        assert!(!are_open());
        process::end_others();
        users.into_iter().for_each(|user| {
            user.join().unwrap();
        });
        std::mem::forget(key); // the process has ended
    });
}
