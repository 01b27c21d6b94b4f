//! Models of the process: it forks, ends and has its memory moved while threads work, and no order of their steps may
//! have one of these touch memory that a thread is working on, hang, or leave something behind in a child.

use crate::crypto::gate;
use crate::exit;
use crate::exiting::counted;
use crate::process::{self, IS_PATIENT, spawn};
use crate::scene::{self, ARENA, AWS_LC, be_thread, buffer, page_lock};
use crate::standstill::while_nobody_works;
use loom::thread::JoinHandle;
use std::cell::RefCell;
use std::time::Duration;

/// How often threads lose the processor in one execution where they do not wait, at most.
pub const PREEMPTIONS: usize = 3;
/// The same in models with many steps.
pub const FEW_PREEMPTIONS: usize = 2;
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Runs `model` in every order with at most so many preemptions.
pub fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(move || {
        process::begin();
        gate::prepare();
        exit::register();
        scene::open_statics();
        model();
        process::end_others();
        join_all();
    });
}

/// Native work: on memory of the arena, and in AWS-LC.
fn work() {
    counted(|| {
        ARENA.work();
        gate::within(|| {
            AWS_LC.work();
            ARENA.work();
        });
        ARENA.work();
    });
}

/// Native work within native work.
fn nested_work() {
    counted(|| {
        ARENA.work();
        work();
    });
}

std::thread_local! {
    /// The threads of this execution.
    static THREADS: RefCell<Vec<JoinHandle<bool>>> = const { RefCell::new(Vec::new()) };
}

/// Starts threads that have places of their own.
fn start(works: &[fn()]) {
    for (number, work) in works.iter().copied().enumerate() {
        let thread = spawn(move || {
            be_thread(number + 1);
            work();
        });
        THREADS.with_borrow_mut(|threads| threads.push(thread));
    }
}

/// Waits for the end of all threads. Returns whether each came to its end, and did not wait for ever.
fn join_all() -> bool {
    let threads = THREADS.take().into_iter();
    let ended: Vec<bool> = threads.map(|thread| thread.join().unwrap()).collect();
    !ended.contains(&false)
}

#[test]
fn exit_waits_for_work_and_wipes_when_none_is_left() {
    check(PREEMPTIONS, || {
        start(&[work, nested_work]);
        process::exit();
        exit::wipe_everything();
        assert!(scene::is_wiped());
    });
}

#[test]
fn exit_within_work_of_its_own_wipes_no_memory_of_that_work() {
    check(PREEMPTIONS, || {
        start(&[work]);
        counted(|| {
            process::exit();
            exit::wipe_everything();
            assert!(!scene::is_wiped());
        });
    });
}

#[test]
fn exit_that_loses_its_patience_wipes_no_memory_of_the_arena() {
    IS_PATIENT.set(false);
    check(PREEMPTIONS, || {
        start(&[nested_work]);
        process::exit();
        exit::wipe_everything();
    });
    IS_PATIENT.set(true);
}

#[test]
fn thread_that_was_in_aws_lc_can_be_joined_at_exit() {
    check(PREEMPTIONS, || {
        start(&[|| {
            gate::within(|| AWS_LC.work());
            scene::begin();
        }]);
        scene::wait_for_begun(1);
        process::exit();
        assert!(join_all());
        exit::wipe_everything();
        assert!(scene::is_wiped());
    });
}

#[test]
fn thread_that_ends_while_the_process_does() {
    check(PREEMPTIONS, || {
        start(&[|| {
            gate::within(|| AWS_LC.work());
            scene::begin();
        }]);
        scene::wait_for_begun(1);
        process::exit();
        exit::wipe_everything();
        assert!(scene::is_wiped());
    });
}

#[test]
fn fork_finds_nobody_in_aws_lc_and_no_lock_taken() {
    check(FEW_PREEMPTIONS, || {
        start(&[work, || {
            *buffer::LIVE.lock() += 1;
            *page_lock::ACTIVE.lock() += 1;
        }]);
        process::fork_as_parent();
        work();
        assert!(join_all());
    });
}

#[test]
fn two_threads_fork_in_turn() {
    check(FEW_PREEMPTIONS, || {
        start(&[|| gate::within(|| AWS_LC.work()), process::fork_as_parent]);
        process::fork_as_parent();
        assert!(join_all());
    });
}

#[test]
fn child_works_whatever_the_others_did() {
    check(PREEMPTIONS, || {
        start(&[nested_work]);
        process::fork(|| {
            work();
            *buffer::LIVE.lock() += 1;
            process::fork_as_parent();
        });
        assert!(join_all());
    });
}

#[test]
fn child_moves_its_memory_and_exits_whatever_the_others_did() {
    check(PREEMPTIONS, || {
        start(&[nested_work]);
        process::fork(|| {
            assert!(while_nobody_works(PATIENCE, || ()).is_some());
            process::exit();
            exit::wipe_everything();
            assert!(scene::is_wiped());
        });
        assert!(join_all());
    });
}

#[test]
fn child_of_a_process_that_is_ending_works() {
    check(PREEMPTIONS, || {
        start(&[work]);
        process::exit();
        process::fork(work);
    });
}

#[test]
fn memory_is_moved_while_nobody_works_on_it() {
    check(FEW_PREEMPTIONS, || {
        start(&[work, nested_work]);
        assert!(while_nobody_works(PATIENCE, scene::overwrite).is_some());
        assert!(join_all());
    });
}

#[test]
fn work_within_work_that_stops_does_not_hide_the_work_of_others() {
    check(PREEMPTIONS, || {
        let outside_of_aws_lc = || {
            counted(|| {
                scene::begin();
                ARENA.work();
            });
        };
        let stopped_within_work = || {
            counted(|| {
                scene::begin();
                counted(|| gate::within(|| ()));
            });
        };
        start(&[outside_of_aws_lc, stopped_within_work]);
        scene::wait_for_begun(2);
        assert!(while_nobody_works(PATIENCE, scene::overwrite).is_some());
        assert!(join_all());
    });
}

#[test]
fn two_threads_move_memory_in_turn() {
    check(FEW_PREEMPTIONS, || {
        let moved = || assert!(while_nobody_works(PATIENCE, scene::overwrite).is_some());
        start(&[work, moved]);
        moved();
        assert!(join_all());
    });
}

#[test]
fn child_of_a_process_whose_memory_is_moved_can_move_its_own() {
    check(PREEMPTIONS, || {
        start(&[|| {
            while_nobody_works(PATIENCE, || ());
        }]);
        process::fork(|| {
            assert!(while_nobody_works(PATIENCE, || ()).is_some());
            work();
        });
        assert!(join_all());
    });
}

#[test]
fn long_operation_lets_a_fork_go_first() {
    check(PREEMPTIONS, || {
        start(&[|| {
            gate::within(|| {
                AWS_LC.work();
                gate::step_aside();
                AWS_LC.work();
            });
        }]);
        process::fork(work);
        assert!(join_all());
    });
}

#[test]
fn thread_ends_in_aws_lc_before_a_fork_or_after_it() {
    check(PREEMPTIONS, || {
        start(&[|| gate::within(|| AWS_LC.work())]);
        process::fork_as_parent();
        assert!(join_all());
    });
}
