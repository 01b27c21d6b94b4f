//! Pages of one private key's own. Nobody can touch them while the key is not in use.
//!
//! AWS-LC's objects refer to each other and allocate as they like. So all that it allocates while a key is loaded, a first
//! operation included, comes from a chunk that only this key has ([`KeyPages::fill`]). What later operations allocate
//! comes from the heap of all keys; it is freed when they end, but for blinding factors, which tell nothing of the key.
//!
//! Rules:
//! - Uses are counted, and begin and end behind the gate to AWS-LC. So at a fork no other thread has one.
//! - The lock under which pages are opened and closed is the growth lock, which a fork, the exit and hiding take.
//! - What AWS-LC keeps for a thread or the process must exist before a key is loaded, since it must stay open. If a block
//!   is left when the key goes, its pages stay as they are, and open.

use super::bits::run_mask;
use super::budget::{BUDGET, SCARCE_BYTES, Share};
use super::chunk::MOST_CHUNKS;
use super::growth::GROWTH;
use super::heap::Heap;
use super::heaps::{OWN, in_own_heap, set_own_heap};
use super::pages;
use super::region::{Region, region};
use crate::os;
use crate::spin::SpinLock;
use crate::uses::Uses;
use std::iter;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// The pages in which a key is loaded: an RSA-8192 key and an operation with it. Those that it does not keep are given
/// back.
const LOADING_BYTES: usize = 160 << 10;
/// The part of the budget, and of all chunks, that such pages may take (1/4). Further keys lie in the heap of all keys.
const LARGEST_PART: usize = 4;

/// All of them, by chunk, and one more than the highest chunk so far. Changed under the growth lock.
static ALL: [AtomicPtr<KeyPages>; MOST_CHUNKS] =
    [const { AtomicPtr::new(null_mut()) }; MOST_CHUNKS];
static END: AtomicUsize = AtomicUsize::new(0);
/// How many there are, and how many pages all of them have.
static KEYS: AtomicUsize = AtomicUsize::new(0);
static PAGES: AtomicUsize = AtomicUsize::new(0);

/// The pages of one key. The atomics change under the growth lock.
pub(crate) struct KeyPages {
    region: &'static Region,
    chunk: AtomicU32,
    bytes: AtomicUsize,
    heap: SpinLock<Heap>,
    uses: Uses,
}

impl KeyPages {
    /// Opens pages for a key; `None` if there is too little memory that may be locked, or the system cannot close locked
    /// pages. They are open, for one use that is under way.
    pub(crate) fn new() -> Option<Arc<Self>> {
        let has_room = |region: &&Region| BUDGET.total() * region.page >= SCARCE_BYTES;
        let region = region().filter(|region| os::CLOSES_LOCKED_PAGES && has_room(region))?;
        let pages = Arc::new(Self {
            region,
            chunk: AtomicU32::new(0),
            bytes: AtomicUsize::new(0),
            heap: SpinLock::new(Heap::new()),
            uses: Uses::new(1),
        });
        pages.open().then_some(pages)
    }

    /// Nothing here allocates: the growth lock is held.
    fn open(self: &Arc<Self>) -> bool {
        let region = self.region;
        let whole = region.usable_units * region.unit_bytes();
        let most = LOADING_BYTES.min(whole) / region.page;
        let mut growth = GROWTH.lock();
        if takes_too_much(region, most) {
            return false;
        }
        let Some(chunk) = region.open_claimed(&mut growth, Share::Keys, most, most) else {
            return false;
        };
        self.chunk.store(chunk, Ordering::Relaxed);
        self.bytes.store(most * region.page, Ordering::Relaxed);
        region.chunks.set_owner(chunk, OWN);
        self.heap.lock().adopt(&region.chunks, chunk);
        set_own_heap(chunk, &self.heap);
        ALL[chunk as usize].store(Arc::as_ptr(self).cast_mut(), Ordering::Release);
        END.fetch_max(chunk as usize + 1, Ordering::Relaxed);
        KEYS.fetch_add(1, Ordering::Relaxed);
        PAGES.fetch_add(most, Ordering::Relaxed);
        true
    }

    /// Runs `load`, which loads the key, with its allocations taken from these pages. Ends the first use.
    pub(crate) fn fill<T>(&self, load: impl FnOnce() -> T) -> T {
        let loaded = in_own_heap(&self.heap, load);
        self.give_back_rest();
        self.end_use();
        loaded
    }

    /// Begins a use: the pages can be touched until [`KeyPages::end_use`]. Returns false if the system does not open them.
    pub(crate) fn begin_use(&self) -> bool {
        self.uses.begin(&GROWTH, |_| self.allow())
    }

    /// Ends a use. The last one closes the pages.
    pub(crate) fn end_use(&self) {
        self.uses.end(&GROWTH, |_| self.deny());
    }

    /// Closes the pages for good, in a use, after the key was freed.
    pub(crate) fn retire(self: Arc<Self>) {
        let mut growth = GROWTH.lock();
        let empty = self.heap.lock().disown_surplus(&self.region.chunks, 0);
        let Some(chunk) = empty else {
            drop(growth);
            return self.leave();
        };
        ALL[chunk as usize].store(null_mut(), Ordering::Release);
        KEYS.fetch_sub(1, Ordering::Relaxed);
        let count = self.bytes.load(Ordering::Relaxed) / self.region.page;
        PAGES.fetch_sub(count, Ordering::Relaxed);
        self.region.close(&mut growth, chunk, Share::Keys);
    }

    /// Leaves the pages as they are, for good: those who find them in the table still need what describes them.
    pub(crate) fn leave(self: Arc<Self>) {
        std::mem::forget(self);
    }

    /// Gives back the pages behind the last block.
    fn give_back_rest(&self) {
        let _growth = GROWTH.lock();
        let mut heap = self.heap.lock();
        // SAFETY: the lock of the heap that owns the chunk is held.
        let ledger = unsafe { self.region.chunks.ledger(self.chunk()) };
        let used_units = (ledger.usable & !ledger.free)
            .checked_ilog2()
            .map_or(0, |last| last as usize + 1);
        let (unit, page) = (self.region.unit_bytes(), self.region.page);
        let (whole, kept) = (
            self.bytes.load(Ordering::Relaxed),
            (used_units * unit).next_multiple_of(page).max(page),
        );
        let units = run_mask(0, kept / unit);
        (ledger.usable, ledger.free) = (ledger.usable & units, ledger.free & units);
        // SAFETY: no block lies in these pages.
        unsafe { pages::close(self.place().wrapping_add(kept), whole - kept, ledger.hidden) };
        heap.rebuild(&self.region.chunks, iter::once(self.chunk()));
        self.bytes.store(kept, Ordering::Relaxed);
        PAGES.fetch_sub((whole - kept) / page, Ordering::Relaxed);
        BUDGET.give_back(Share::Keys, (whole - kept) / page);
    }

    fn chunk(&self) -> u32 {
        self.chunk.load(Ordering::Relaxed)
    }

    fn place(&self) -> *mut u8 {
        self.region.start(self.chunk())
    }

    fn allow(&self) -> bool {
        // SAFETY: the pages are ours.
        unsafe { os::allow_access(self.place(), self.bytes.load(Ordering::Relaxed)) }
    }

    fn deny(&self) {
        // SAFETY: no use is under way, and a use opens them first.
        unsafe { os::deny_access(self.place(), self.bytes.load(Ordering::Relaxed)) };
    }
}

/// Whether one key more, with so many pages, would leave too little to others.
fn takes_too_much(region: &Region, pages: usize) -> bool {
    PAGES.load(Ordering::Relaxed) + pages > BUDGET.total() / LARGEST_PART
        || KEYS.load(Ordering::Relaxed) >= region.chunks.count() / LARGEST_PART
}

/// Opens the pages of all keys, until [`close_unused`]. Returns whether the system opened all of them.
///
/// # Safety
/// The caller must hold the growth lock.
pub(crate) unsafe fn open_all() -> bool {
    all().all(|pages| pages.allow())
}

/// Closes the pages of all keys that are not in use.
///
/// # Safety
/// The caller must hold the growth lock.
pub(crate) unsafe fn close_unused() {
    all()
        .filter(|pages| !pages.uses.any())
        .for_each(KeyPages::deny);
}

/// Overwrites all that lies in the pages of keys. Pages that the system does not open are left to it: it clears them.
///
/// # Safety
/// The caller must hold all locks, and nobody may rely on what lies there.
pub(super) unsafe fn wipe_all() {
    // SAFETY: the caller's promise.
    all()
        .filter(|pages| pages.allow())
        .for_each(|pages| unsafe { pages.region.wipe(pages.chunk()) });
}

/// The bytes of blocks in use in such pages.
pub(crate) fn in_use_bytes() -> usize {
    let _growth = GROWTH.lock();
    all().map(|pages| pages.heap.lock().in_use).sum()
}

/// Under the growth lock, all of them are alive.
fn all() -> impl Iterator<Item = &'static KeyPages> {
    let chunks = ALL[..END.load(Ordering::Relaxed)].iter();
    // SAFETY: a key's pages leave the table, under the growth lock, before they are freed.
    chunks.filter_map(|pages| unsafe { pages.load(Ordering::Acquire).as_ref() })
}
