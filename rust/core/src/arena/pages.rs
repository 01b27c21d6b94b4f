//! Opens and closes pages for secrets: locked ones, or hidden ones once [`hide_from_now_on`] was called.

use super::spare::SPARE;
use crate::os;
use std::sync::atomic::{AtomicBool, Ordering};

/// How pages are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// They are locked into RAM.
    Locked,
    /// They are locked, and nobody but this process can read them, see [`crate::hidden`].
    Hidden,
}

static HIDING: AtomicBool = AtomicBool::new(false);

/// Whether new pages are hidden.
#[inline]
pub fn hiding() -> bool {
    HIDING.load(Ordering::Relaxed)
}

/// Hides all pages that are opened from now on. Called with all locks held.
pub fn hide_from_now_on() {
    HIDING.store(true, Ordering::Relaxed);
}

/// Opens reserved pages, which are zero; `None` if the system refuses to lock or to hide them. Then they are reserved
/// as before.
///
/// # Safety
/// The range must lie within a reservation of the caller's.
pub unsafe fn open(start: *mut u8, bytes: usize) -> Option<Kept> {
    // SAFETY: the caller's promise.
    unsafe {
        if hiding() {
            return open_hidden(start, bytes).then_some(Kept::Hidden);
        }
        if os::open_pages(start, bytes) && os::lock(start, bytes) {
            return Some(Kept::Locked);
        }
        os::close_pages(start, bytes);
        None
    }
}

/// # Safety
/// As [`open`].
unsafe fn open_hidden(start: *mut u8, bytes: usize) -> bool {
    // SAFETY: the caller's promise.
    let taken = unsafe { SPARE.lock().take(start, bytes) };
    // SAFETY: as above.
    let fresh = || unsafe { os::open_hidden(start, bytes) }.is_ok();
    if taken || fresh() {
        return true;
    }
    let had_spare = SPARE.lock().give_up();
    had_spare && fresh()
}

/// Returns pages to the reserved state.
///
/// # Safety
/// As [`open`], and nothing may use the pages any more.
pub unsafe fn close(start: *mut u8, bytes: usize, hidden: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        match hidden {
            true => os::close_hidden(start, bytes),
            false => os::close_pages(start, bytes),
        }
    }
}
