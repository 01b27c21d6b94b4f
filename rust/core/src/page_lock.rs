//! Locks the pages under a caller's own buffer, memory that is not the core's.
//!
//! Locks do not nest (mlock(2)): one `munlock` unlocks a page however often it was locked, and two buffers may share a
//! page. So a list holds what is locked here, and a release unlocks only pages that no other entry covers. Locks that
//! other code in the process takes by itself are not known here.

use crate::spin::SpinLock;
use crate::{generation, os};
use std::ops::Range;

/// The page ranges that are locked now, one entry for each lock. A range may be there twice.
pub(crate) static ACTIVE: SpinLock<Vec<Range<usize>>> = SpinLock::new(Vec::new());

/// Keeps the pages of a piece of memory in RAM while it lives.
///
/// The memory must stay mapped until then. A forked child does not inherit the lock: in the child [`PageLock::locked`]
/// is false, and dropping does nothing.
pub struct PageLock {
    pages: Range<usize>,
    locked: bool,
    generation: u64,
}

impl PageLock {
    /// Locks the pages under the `len` bytes from `ptr` on; [`PageLock::locked`] tells whether that worked. The memory
    /// is neither read nor written.
    pub fn new(ptr: *const u8, len: usize) -> PageLock {
        let pages = pages_around(ptr as usize, len);
        let locked = !pages.is_empty() && lock(&pages);
        PageLock {
            pages,
            locked,
            generation: generation::current(),
        }
    }

    /// Whether every page is locked now.
    pub fn locked(&self) -> bool {
        self.locked && self.generation == generation::current()
    }
}

impl Drop for PageLock {
    fn drop(&mut self) {
        if self.locked() {
            unlock(&self.pages);
        }
    }
}

/// Forgets the parent's locks; called in a forked child.
pub(crate) fn forget_inherited() {
    ACTIVE.lock().clear();
}

fn lock(pages: &Range<usize>) -> bool {
    let mut active = ACTIVE.lock();
    // SAFETY: mlock(2) fails with ENOMEM if a page is not mapped.
    if unsafe { os::lock(pages.start as *const u8, pages.len()) } {
        active.push(pages.clone());
        return true;
    }
    // A failed mlock(2) may have locked a part.
    unlock_uncovered(pages, &active);
    false
}

fn unlock(pages: &Range<usize>) {
    let mut active = ACTIVE.lock();
    if let Some(own) = active.iter().rposition(|other| other == pages) {
        active.swap_remove(own);
    }
    unlock_uncovered(pages, &active);
}

/// Unlocks those of the pages that no other lock covers.
fn unlock_uncovered(pages: &Range<usize>, active: &[Range<usize>]) {
    for part in uncovered(pages, active) {
        // SAFETY: munlock(2) fails with ENOMEM if a page is not mapped, and reads nothing.
        unsafe { os::unlock(part.start as *const u8, part.len()) };
    }
}

/// Returns the parts of `whole` that none of `others` covers.
fn uncovered(whole: &Range<usize>, others: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut parts = vec![whole.clone()];
    for other in others
        .iter()
        .filter(|other| other.start < whole.end && whole.start < other.end)
    {
        parts = parts.iter().flat_map(|part| without(part, other)).collect();
    }
    parts
}

/// Returns what is left of `part` on either side of `hole`.
fn without(part: &Range<usize>, hole: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let before = part.start..part.end.min(hole.start);
    let after = part.start.max(hole.end)..part.end;
    [before, after].into_iter().filter(|rest| !rest.is_empty())
}

/// Returns the addresses of the whole pages that hold the memory; empty if `len` is 0 or the range wraps around.
fn pages_around(start: usize, len: usize) -> Range<usize> {
    let page = os::page_size();
    let end = start
        .checked_add(len)
        .and_then(|end| end.checked_next_multiple_of(page));
    match end {
        Some(end) if len > 0 => start / page * page..end,
        _ => 0..0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_other_lock_covers_is_left() {
        type Ends<'a> = &'a [(usize, usize)];
        let cases: [(Ends, Ends); 6] = [
            (&[], &[(10, 20)]),
            (&[(0, 10), (20, 30)], &[(10, 20)]),
            (&[(12, 15)], &[(10, 12), (15, 20)]),
            (&[(5, 12), (18, 40)], &[(12, 18)]),
            (&[(12, 13), (15, 16), (12, 16)], &[(10, 12), (16, 20)]),
            (&[(5, 25)], &[]),
        ];
        let ranges = |ends: Ends| -> Vec<_> { ends.iter().map(|(from, to)| *from..*to).collect() };
        for (others, left) in cases {
            assert_eq!(
                uncovered(&(10..20), &ranges(others)),
                ranges(left),
                "{others:?}"
            );
        }
    }

    #[test]
    fn range_is_widened_to_whole_pages() {
        let page = os::page_size();
        assert_eq!(pages_around(page + 1, 1), page..2 * page);
        assert_eq!(pages_around(page - 1, 2), 0..2 * page);
        assert_eq!(pages_around(page, page), page..2 * page);
        assert!(pages_around(page, 0).is_empty());
        assert!(pages_around(usize::MAX - 1, 100).is_empty());
    }
}
