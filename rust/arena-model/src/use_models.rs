//! Models of pages that are closed while nobody uses them.

use crate::os::Died;
use crate::process;
use crate::spin::SpinLock;
use crate::uses::Uses;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// Pages, and whether they can be touched. To open or close them is a write to Loom, to touch them a read.
struct Pages {
    lock: SpinLock<()>,
    uses: Uses,
    are_open: UnsafeCell<bool>,
}

impl Pages {
    fn new() -> Arc<Self> {
        process::begin();
        Arc::new(Self {
            lock: SpinLock::new(()),
            uses: Uses::new(0),
            are_open: UnsafeCell::new(false),
        })
    }

    fn set(&self, open: bool) {
        // SAFETY: Loom checks it.
        self.are_open.with_mut(|are_open| unsafe {
            assert_ne!(*are_open, open, "opened or closed twice");
            *are_open = open;
        });
    }

    fn open(&self) -> bool {
        self.set(true);
        true
    }

    fn are_open(&self) -> bool {
        // SAFETY: as above.
        self.are_open.with(|are_open| unsafe { *are_open })
    }

    fn use_once(&self) {
        assert!(self.uses.begin(&self.lock, |_| self.open()));
        assert!(self.are_open());
        self.uses.end(&self.lock, |_| self.set(false));
    }
}

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn pages_are_open_for_every_use_and_closed_after_the_last() {
    check(3, || {
        let pages = Pages::new();
        let theirs = pages.clone();
        let other = thread::spawn(move || theirs.use_once());
        pages.use_once();
        pages.use_once();
        other.join().unwrap();
        assert!(!pages.uses.any() && !pages.are_open());
    });
}

#[test]
fn uses_of_three_threads_overlap_and_follow_each_other() {
    check(1, || {
        let pages = Pages::new();
        let others = [(); 2].map(|()| {
            let theirs = pages.clone();
            thread::spawn(move || theirs.use_once())
        });
        pages.use_once();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(!pages.uses.any() && !pages.are_open());
    });
}

#[test]
fn use_that_the_system_refuses_to_open_has_not_begun() {
    loom::model(|| {
        let pages = Pages::new();
        let theirs = pages.clone();
        let other = thread::spawn(move || theirs.use_once());
        if pages.uses.begin(&pages.lock, |_| false) {
            // The other thread had them open.
            assert!(pages.are_open());
            pages.uses.end(&pages.lock, |_| pages.set(false));
        }
        other.join().unwrap();
        assert!(!pages.uses.any() && !pages.are_open());
    });
}

#[test]
fn who_holds_the_lock_and_sees_no_use_has_the_pages_alone() {
    loom::model(|| {
        let pages = Pages::new();
        let theirs = pages.clone();
        let other = thread::spawn(move || theirs.use_once());
        let held = pages.lock.lock();
        if !pages.uses.any() {
            // As if they were moved.
            pages.set(true);
            pages.set(false);
        }
        drop(held);
        other.join().unwrap();
    });
}

#[test]
fn use_that_ends_more_often_than_it_began_ends_the_process() {
    loom::model(|| {
        let pages = Pages::new();
        pages.use_once();
        let end = std::panic::AssertUnwindSafe(|| pages.uses.end(&pages.lock, |_| ()));
        let death = std::panic::catch_unwind(end).unwrap_err();
        assert!(
            death
                .downcast_ref::<Died>()
                .is_some_and(|died| died.0.contains("once too often"))
        );
    });
}
