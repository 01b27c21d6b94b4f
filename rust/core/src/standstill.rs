//! Stops this process for a moment: native work, the gate to AWS-LC, and all locks.

use crate::crypto::gate;
use crate::sync::{Instant, nap};
use crate::{all_locks, exiting};
use std::time::Duration;

/// Runs `f` with all locks held, while other threads' native work is stopped. `None` if that work does not stop within
/// `patience`. Threads that come here at the same time do it in turn: only one can close the gate.
///
/// It leaves nothing behind in a child that another thread forks meanwhile: a fork opens the gate there and forgets the
/// pause ([`crate::fork`]).
pub(crate) fn while_nobody_works<T>(patience: Duration, f: impl FnOnce() -> T) -> Option<T> {
    let begun = Instant::now();
    if !gate::close_within(patience) {
        return None;
    }
    let pause = exiting::Pause::new();
    let outcome = others_stop(begun, patience).then(|| with_all_locks(f));
    // Before the next can close the gate, and pause work itself.
    drop(pause);
    gate::open();
    outcome
}

/// Waits until other threads' work is stopped. Work that tries to begin counts for an instant, so the answer is asked
/// for once.
fn others_stop(begun: Instant, patience: Duration) -> bool {
    const NAP: Duration = Duration::from_micros(50);
    while !exiting::others_are_stopped() {
        if begun.elapsed() > patience {
            return false;
        }
        nap(NAP);
    }
    true
}

fn with_all_locks<T>(f: impl FnOnce() -> T) -> T {
    all_locks::acquire();
    let outcome = f();
    // SAFETY: they were taken above, in this thread.
    unsafe { all_locks::release() };
    outcome
}
