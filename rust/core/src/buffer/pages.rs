//! The pages of all buffers, and what is done with all of them together: at a fork, at exit, and when memory is hidden.

use crate::arena::{self, Kept, Stretch};
use crate::hidden::moving;
use crate::os;
use crate::refused::Protection;
use crate::spin::SpinLock;
use crate::uses::Uses;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Bytes before the content that show whether somebody wrote there.
pub(super) const CANARY_BYTES: usize = 16;

/// All buffers, by the addresses of their contents.
pub(crate) static LIVE: SpinLock<BTreeMap<usize, Arc<Pages>>> = SpinLock::new(BTreeMap::new());

/// Whether the system refused `MADV_WIPEONFORK` for a buffer, so that the child's handler of `fork` must wipe the
/// buffers.
static WIPED_BY_HAND: AtomicBool = AtomicBool::new(false);

/// The pages of a buffer, which the buffer shares with [`LIVE`].
pub(crate) struct Pages {
    pub(super) reservation: *mut u8,
    /// Bytes of the pages between the guards.
    pub(super) inner: usize,
    pub(super) len: usize,
    pub(super) locked: AtomicBool,
    /// Whether they are hidden. Then they are locked too.
    pub(super) hidden: AtomicBool,
    /// The uses under way. Without any, the pages cannot be touched. The lock is that of [`LIVE`].
    uses: Uses,
    /// How many of the uses are by users outside of this crate, who may write at any time.
    pub(super) holds: AtomicUsize,
    /// Whether the pages cannot be touched now. Changes under the lock of [`LIVE`].
    closed: AtomicBool,
}

// SAFETY: the mapping belongs to one SecureBuffer, whose `&mut self` alone writes to it.
unsafe impl Send for Pages {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for Pages {}

impl Pages {
    /// Maps pages for `len` bytes of content between guards; `None` if there is no memory. They are open, for one
    /// use that is under way.
    pub(super) fn map(len: usize) -> Option<Self> {
        let page = os::page_size();
        let inner = len
            .checked_add(CANARY_BYTES)?
            .checked_next_multiple_of(page)?;
        let reserved = inner
            .checked_add(2 * page)
            .filter(|sum| isize::try_from(*sum).is_ok())?;
        let reservation = os::reserve(reserved)?;
        let mut pages = Self {
            reservation,
            inner,
            len,
            locked: AtomicBool::new(false),
            hidden: AtomicBool::new(false),
            uses: Uses::new(1),
            holds: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        };
        // SAFETY: the reservation is fresh, and nothing uses it if it cannot be opened.
        unsafe {
            if !pages.open() {
                os::release(reservation, reserved);
                return None;
            }
        }
        Some(pages)
    }

    /// Begins a use: the pages can be touched until [`Pages::end_use`]. Returns false if the system does not open them.
    pub(super) fn begin_use(&self) -> bool {
        self.uses.begin(&LIVE, |_| self.reopen())
    }

    /// Ends a use. The last one closes the pages.
    pub(super) fn end_use(&self) {
        self.uses.end(&LIVE, |_| self.close());
    }

    /// Whether the pages cannot be touched now.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Makes closed pages readable and writable, under the lock of [`LIVE`]. Returns whether they are.
    fn reopen(&self) -> bool {
        // SAFETY: the pages are ours.
        let opened = !self.is_closed() || unsafe { os::allow_access(self.start(), self.inner) };
        if opened {
            self.closed.store(false, Ordering::Relaxed);
        }
        opened
    }

    /// Makes the pages untouchable, under the lock of [`LIVE`] or before they are in it.
    fn close(&self) {
        // SAFETY: no use is under way, and a use opens them first.
        let closed = unsafe { os::deny_access(self.start(), self.inner) };
        self.closed.store(closed, Ordering::Relaxed);
    }

    /// Runs `work` on open pages, and closes them again if no use is under way. `None` if the system does not open them.
    /// The lock of [`LIVE`] must be held.
    fn while_open<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        if !self.reopen() {
            return None;
        }
        let outcome = work();
        self.close_unless_used();
        Some(outcome)
    }

    fn close_unless_used(&self) {
        if !self.uses.any() {
            self.close();
        }
    }

    /// Unmaps the pages, which are wiped if they are open.
    ///
    /// # Safety
    /// Nothing may use the pages any more, and they must have left [`LIVE`].
    pub(super) unsafe fn unmap(&self) {
        let reserved = self.inner + 2 * os::page_size();
        // SAFETY: the caller's promise.
        unsafe {
            if !self.hidden.load(Ordering::Relaxed) || self.is_closed() {
                return os::release(self.reservation, reserved);
            }
            // All of it: others rely on spare pages to be zero.
            os::wipe(self.start(), self.inner);
            arena::release_hidden(self.reservation, reserved, self.start(), self.inner);
        }
    }

    /// Locks the pages, or hides them if all memory is, which is not possible while they are used.
    pub(super) fn lock(&self) {
        // Held, so that neither a fork nor the hiding of all memory comes between.
        let _live = LIVE.lock();
        if self.hidden.load(Ordering::Relaxed) {
            return;
        }
        // Open: the system cannot lock pages that cannot be touched.
        // SAFETY: the pages are ours and open, and `LIVE` is locked.
        let lock = || unsafe {
            match arena::hiding() {
                true => (self.hide(), false),
                false => (false, os::lock(self.start(), self.inner)),
            }
        };
        let Some((hidden, locked)) = self.while_open(lock) else {
            return;
        };
        self.hidden.store(hidden, Ordering::Relaxed);
        self.locked.store(hidden || locked, Ordering::Relaxed);
    }

    /// # Safety
    /// The pages must be open and the lock of [`LIVE`] held.
    unsafe fn hide(&self) -> bool {
        // SAFETY: the caller's promise, and nobody uses them.
        !self.uses.any() && unsafe { moving::move_one(self.stretch()) }
    }

    /// Whether nobody wrote before the content. The pages must be in use.
    pub(super) fn is_intact(&self) -> bool {
        // SAFETY: the canary lies in the first page.
        unsafe { self.canary_place().read_unaligned() == canary() }
    }

    /// Opens the pages, hidden or locked if that is possible, and writes the canary.
    ///
    /// # Safety
    /// The pages must be reserved.
    unsafe fn open(&mut self) -> bool {
        let (start, bytes) = (self.start(), self.inner);
        // SAFETY: the caller's promise.
        unsafe {
            Protection::HiddenFromDumps.note(os::hide_from_dumps(start, bytes));
            let kept = arena::open_pages(start, bytes);
            if kept.is_none() && !os::open_pages(start, bytes) {
                return false;
            }
            let hidden = kept == Some(Kept::Hidden);
            if !hidden && !os::wipe_on_fork(start, bytes) {
                WIPED_BY_HAND.store(true, Ordering::Relaxed);
            }
            *self.locked.get_mut() = kept.is_some();
            *self.hidden.get_mut() = hidden;
            self.canary_place().write_unaligned(canary());
        }
        true
    }

    pub(super) fn start(&self) -> *mut u8 {
        self.reservation.wrapping_add(os::page_size())
    }

    fn stretch(&self) -> Stretch {
        Stretch::whole(self.start(), self.inner)
    }

    pub(super) fn content(&self) -> *mut u8 {
        self.start().wrapping_add(self.inner - self.len)
    }

    fn canary_place(&self) -> *mut [u64; 2] {
        self.content().wrapping_sub(CANARY_BYTES).cast()
    }
}

/// Draws the canary now, so that no thread can be drawing it when the process forks.
pub(crate) fn prepare() {
    canary();
}

/// Overwrites the contents of all buffers in a forked child, if the system has not done so.
///
/// # Safety
/// The caller must hold the lock of [`LIVE`].
pub(crate) unsafe fn wipe_inherited() {
    if WIPED_BY_HAND.load(Ordering::Relaxed) {
        // SAFETY: the caller's promise; the child's buffers are its own copies, which nobody may read.
        unsafe { wipe_all() };
    }
}

/// Overwrites the contents of all buffers.
///
/// # Safety
/// The caller must hold the lock of [`LIVE`].
pub(crate) unsafe fn wipe_all() {
    // SAFETY: the caller's promise.
    for pages in unsafe { LIVE.held_value() }.values() {
        // SAFETY: everything in the list is mapped, since a buffer leaves the list before it is unmapped.
        pages.while_open(|| unsafe { os::wipe_touched(pages.content(), pages.len) });
    }
}

/// Whether a buffer has users who rely on its address, and may write there at any time. Native work that is stopped at
/// the gate is none: it writes later.
///
/// # Safety
/// The caller must hold the lock of [`LIVE`].
pub(crate) unsafe fn any_held() -> bool {
    // SAFETY: the caller's promise.
    let mut all = unsafe { LIVE.held_value() }.values();
    all.any(|pages| pages.holds.load(Ordering::Acquire) > 0)
}

/// Opens the pages of every buffer, until [`close_all`]. Returns whether the system opened all of them.
///
/// # Safety
/// The caller must hold the lock of [`LIVE`].
pub(crate) unsafe fn open_all() -> bool {
    // SAFETY: the caller's promise.
    unsafe { LIVE.held_value() }
        .values()
        .all(|pages| pages.reopen())
}

/// Closes the pages of every buffer that is not in use.
///
/// # Safety
/// The caller must hold the lock of [`LIVE`].
pub(crate) unsafe fn close_all() {
    // SAFETY: the caller's promise.
    for pages in unsafe { LIVE.held_value() }.values() {
        pages.close_unless_used();
    }
}

/// Calls `visit` with the pages of every buffer. They may be closed.
///
/// # Safety
/// The caller must hold the lock of [`LIVE`].
pub(crate) unsafe fn each(visit: &mut dyn FnMut(Stretch)) {
    // SAFETY: the caller's promise.
    for pages in unsafe { LIVE.held_value() }.values() {
        visit(pages.stretch());
    }
}

/// Notes that the pages of every buffer are hidden now.
///
/// # Safety
/// The caller must hold the lock of [`LIVE`], and have moved all of them.
pub(crate) unsafe fn note_hidden() {
    // SAFETY: the caller's promise.
    for pages in unsafe { LIVE.held_value() }.values() {
        pages.locked.store(true, Ordering::Relaxed);
        pages.hidden.store(true, Ordering::Relaxed);
    }
}

/// Puts ordinary pages of zeros in the place of hidden ones, which a forked child does not inherit. Returns whether that
/// worked.
///
/// # Safety
/// The caller must hold the lock of [`LIVE`], in the child.
pub(crate) unsafe fn replace_hidden() -> bool {
    // SAFETY: the caller's promise.
    let mut all = unsafe { LIVE.held_value() }.values();
    all.all(|pages| {
        let hidden = pages.hidden.swap(false, Ordering::Relaxed);
        // SAFETY: there is nothing at these addresses.
        let replaced = !hidden || unsafe { os::zeros_over(pages.start(), pages.inner) };
        if hidden && replaced {
            pages.close_unless_used();
        }
        replaced
    })
}

/// Returns random bytes, the same for all buffers of a process. They show stray writes. They need not stop an attacker:
/// one who can read the memory before a buffer can read the buffer too.
fn canary() -> [u64; 2] {
    static CANARY: OnceLock<[u64; 2]> = OnceLock::new();
    *CANARY.get_or_init(|| {
        // The standard library's hash keys are drawn from the system's random source.
        let keyed = RandomState::new();
        [keyed.hash_one(0), keyed.hash_one(1)]
    })
}
