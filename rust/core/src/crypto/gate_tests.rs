//! Tests of the gate that need the system's threads.

use super::gate::{CLOSED, STATE, close, open, within};
use crate::os;
use std::sync::atomic::Ordering;

// Not on Windows, where only a fork would need it: there is no fork, and nothing is wiped at exit.
#[cfg(unix)]
mod end_of_a_thread {
    use crate::crypto::gate::{DEPTH, FIRST_ROUND, within};
    use crate::os;
    use std::ffi::c_void;
    use std::sync::atomic::{AtomicU32, Ordering};

    static DEPTH_AT_THE_END: AtomicU32 = AtomicU32::new(0);

    extern "C" fn note_depth(_: *mut c_void) {
        DEPTH_AT_THE_END.store(DEPTH.get(), Ordering::Relaxed);
    }

    #[test]
    fn thread_that_was_inside_has_its_slots_cleared_inside() {
        crate::init();
        let later = &os::ThreadSlot::new(note_depth).expect("a slot");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                within(|| ());
                assert_eq!(DEPTH.get(), 0);
                assert!(later.set(FIRST_ROUND));
            });
            // The scope waits for the closure only; slots are cleared after it.
            thread.join().unwrap();
        });
        assert_eq!(DEPTH_AT_THE_END.load(Ordering::Relaxed), 1);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn child_that_is_forked_inside_counts_itself_alone_and_comes_out() {
    use crate::os::fork_in_test::{Side, end_child, fork, has_passed};
    match within(fork) {
        Side::Child => {
            let is_empty = STATE.load(Ordering::Relaxed) == 0;
            let entered = within(|| STATE.load(Ordering::Relaxed) == 1);
            end_child(is_empty && entered)
        }
        Side::Parent(child) => assert!(has_passed(child)),
    }
}

#[test]
fn nested_entry_does_not_wait_for_a_thread_that_closes_the_gate() {
    within(|| {
        let closing = std::thread::spawn(|| {
            close();
            open();
        });
        while STATE.load(Ordering::Relaxed) & CLOSED == 0 {
            os::yield_processor();
        }
        within(|| ());
        closing
    })
    .join()
    .unwrap();
}
