//! The arena's models: what threads do at the same time, and what must hold in every order.

use crate::arena::blocks;
use crate::arena::budget::{BUDGET, Budget, Share};
use crate::arena::chunk::{Holds, unit_number};
use crate::arena::growth::GROWTH;
use crate::arena::heaps::{HEAPS, KEYS, use_heap};
use crate::arena::region::{CHUNKS, PAGE, SPARE_CHUNKS, UNIT_BYTES, USABLE_UNITS, region};
use crate::spin::SpinLock;
use crate::{os, process};
use loom::sync::Arc;
use loom::thread;

/// The smallest block of the models: half a unit, a granule of model memory.
const SLOT: usize = UNIT_BYTES / 2;
/// A run of a whole unit.
const RUN: usize = UNIT_BYTES;

/// A block, its bytes and the mark that its owner wrote all over it.
struct Block {
    address: usize,
    bytes: usize,
    mark: u8,
}

impl Block {
    /// Allocates a block from this thread's heap and marks it. It must be zero, and no other thread may have it.
    fn take(bytes: usize, mark: u8) -> Self {
        let address = blocks::take(bytes, 8) as usize;
        assert_ne!(address, 0, "no memory left");
        assert!(
            os::holds(address, bytes, 0),
            "not wiped, or still another's"
        );
        os::fill(address, bytes, mark);
        Self {
            address,
            bytes,
            mark,
        }
    }

    /// Frees the block, after checking that its mark and label have not changed.
    fn put(self) {
        assert!(
            os::holds(self.address, self.bytes, self.mark),
            "handed out twice"
        );
        let block = self.address as *mut u8;
        // SAFETY: the block is in use, and put once.
        unsafe {
            assert_eq!(blocks::usable(block), self.bytes, "the label changed");
            blocks::put(block);
        }
    }
}

/// What an execution begins with.
#[derive(Clone, Copy)]
struct Setting {
    spare_chunks: usize,
    budget_pages: usize,
    /// The most preemptions that are tried in one execution. `None`: every order.
    preemptions: Option<usize>,
}

/// Runs `model` in every order; afterwards the bookkeeping must be in order and everything given back.
fn check(setting: Setting, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = setting.preemptions;
    builder.check(move || {
        process::begin();
        SPARE_CHUNKS.set(setting.spare_chunks);
        open_statics(setting.budget_pages);
        model();
        assert_bookkeeping_in_order();
    });
}

/// Initialises the statics before threads use them. In the core they exist from the beginning.
fn open_statics(budget_pages: usize) {
    let heaps = HEAPS.len();
    assert!(region().is_some() && heaps == KEYS + 1);
    drop(GROWTH.lock());
    // No reserve for keys.
    BUDGET.set_pages(budget_pages, 0);
}

/// Asserts that labels agree with ledgers, that no block is in use, and that exactly the open pages count as locked.
fn assert_bookkeeping_in_order() {
    let region = region().unwrap();
    let in_use: usize = HEAPS.iter().map(|heap| heap.lock().in_use).sum();
    assert_eq!(in_use, 0, "lost");
    let mut locked = 0;
    for chunk in 0..CHUNKS as u32 {
        // SAFETY: the other threads have ended.
        let ledger = unsafe { region.chunks.ledger(chunk) };
        assert!(ledger.is_empty(), "lost");
        locked += if ledger.locked { ledger.units() } else { 0 };
        for index in 0..USABLE_UNITS {
            let holds = region.chunks.holds(unit_number(chunk, index));
            assert_eq!(holds, Holds::Nothing, "a label outlived its block");
        }
    }
    assert_eq!(BUDGET.claimed() * PAGE, locked * UNIT_BYTES);
}

#[test]
fn lock_lets_one_in_and_shows_what_the_one_before_did() {
    loom::model(|| {
        let count = Arc::new(SpinLock::new(0));
        let theirs = count.clone();
        let other = thread::spawn(move || {
            *theirs.lock() += 1;
            *theirs.lock() += 1;
        });
        // As the fork handlers do.
        count.acquire();
        // SAFETY: taken above, released once; no other reference is alive.
        unsafe {
            *count.held_value() += 1;
            count.release();
        }
        other.join().unwrap();
        assert_eq!(*count.lock(), 3);
    });
}

#[test]
fn threads_that_share_a_heap_never_hold_the_same_slot() {
    let setting = Setting {
        spare_chunks: 1,
        budget_pages: 2,
        preemptions: Some(3),
    };
    check(setting, || {
        // Not heap 0, which fresh bookkeeping names as owner.
        let one_thread = |mark| {
            use_heap(1);
            let (first, second) = (Block::take(SLOT, mark), Block::take(SLOT, mark));
            first.put();
            second.put();
        };
        let other = thread::spawn(move || one_thread(1));
        one_thread(2);
        other.join().unwrap();
    });
}

#[test]
fn slots_and_runs_come_from_one_chunk_at_a_time() {
    let setting = Setting {
        spare_chunks: 1,
        budget_pages: 2,
        preemptions: Some(3),
    };
    check(setting, || {
        let other = thread::spawn(|| Block::take(RUN, 1).put());
        let (slot, run) = (Block::take(SLOT, 2), Block::take(RUN, 3));
        slot.put();
        run.put();
        other.join().unwrap();
    });
}

#[test]
fn block_freed_by_another_thread_goes_back_to_the_heap_it_came_from() {
    let setting = Setting {
        spare_chunks: 1,
        budget_pages: 2,
        preemptions: Some(3),
    };
    check(setting, || {
        let handed_on = [Block::take(SLOT, 1), Block::take(SLOT, 2)];
        let other = thread::spawn(|| {
            use_heap(1);
            let own = Block::take(SLOT, 3);
            handed_on.into_iter().for_each(Block::put);
            own.put();
        });
        let mine = [Block::take(SLOT, 4), Block::take(SLOT, 5)];
        mine.into_iter().for_each(Block::put);
        other.join().unwrap();
        let region = region().unwrap();
        let owners = [0, 1].map(|chunk| region.chunks.owner(chunk));
        assert_eq!(
            owners,
            [0, 1],
            "chunks change hands only when they are closed"
        );
    });
}

#[test]
fn chunks_open_and_close_beside_those_who_take_and_put() {
    let setting = Setting {
        spare_chunks: 0,
        budget_pages: 2,
        preemptions: Some(2),
    };
    check(setting, || {
        let one_thread = |mark| {
            Block::take(SLOT, mark).put();
            Block::take(RUN, mark).put();
        };
        let other = thread::spawn(move || one_thread(1));
        one_thread(2);
        other.join().unwrap();
        assert_eq!(BUDGET.claimed(), 0, "an empty chunk stayed open");
    });
}

#[test]
fn chunk_changes_from_one_heap_to_another() {
    let setting = Setting {
        spare_chunks: 0,
        budget_pages: 1,
        preemptions: Some(3),
    };
    check(setting, || {
        let other = thread::spawn(|| {
            use_heap(1);
            Block::take(SLOT, 1).put();
        });
        Block::take(SLOT, 2).put();
        other.join().unwrap();
        assert_eq!(BUDGET.claimed(), 0, "an empty chunk stayed open");
    });
}

#[test]
fn keys_take_what_others_have_left_while_those_give_it_up() {
    let setting = Setting {
        spare_chunks: 0,
        budget_pages: 1,
        preemptions: Some(3),
    };
    check(setting, || {
        let theirs = Block::take(SLOT, 1);
        let keys = thread::spawn(|| {
            use_heap(KEYS);
            Block::take(SLOT, 2).put();
        });
        theirs.put();
        Block::take(SLOT, 3).put();
        keys.join().unwrap();
    });
}

#[test]
fn of_two_who_free_the_same_block_one_dies() {
    os::WATCH_MEMORY.set(false);
    for bytes in [SLOT, RUN] {
        let setting = Setting {
            spare_chunks: 1,
            budget_pages: 2,
            preemptions: None,
        };
        check(setting, move || {
            let neighbour = Block::take(SLOT, 1);
            let address = Block::take(bytes, 2).address;
            let other = thread::spawn(move || free(address));
            let answers = [free(address), other.join().unwrap()];
            let died = |why: Option<&str>| why.is_some_and(|why| why.contains("freed"));
            assert!(died(answers[0]) ^ died(answers[1]), "{answers:?}");
            neighbour.put();
        });
    }
    os::WATCH_MEMORY.set(true);
}

/// Frees a block in a thread. Returns why the thread died, if it did.
fn free(address: usize) -> Option<&'static str> {
    // SAFETY: none; the check is what this tests.
    let put = || unsafe { blocks::put(address as *mut u8) };
    let death = std::panic::catch_unwind(put).err()?;
    death.downcast_ref::<os::Died>().map(|died| died.0)
}

#[test]
fn claims_never_exceed_the_budget() {
    loom::model(|| {
        let budget = Arc::new(Budget::new());
        budget.set_pages(3, 1);
        let theirs = budget.clone();
        let other = thread::spawn(move || {
            let keys = theirs.claim(Share::Keys, 2, 2);
            assert!(theirs.claimed() <= 3);
            keys
        });
        let general = budget.claim(Share::General, 9, 1);
        assert!(budget.claimed() <= 3);
        let keys = other.join().unwrap();
        let claimed = keys.unwrap_or(0) + general.unwrap_or(0);
        assert_eq!(budget.claimed(), claimed);
        assert!(matches!(
            (keys, general),
            (Some(2), Some(1)) | (None, Some(2))
        ));
        general
            .into_iter()
            .for_each(|pages| budget.give_back(Share::General, pages));
        keys.into_iter()
            .for_each(|pages| budget.give_back(Share::Keys, pages));
        assert_eq!(budget.claimed(), 0);
    });
}
