//! Moves stretches of pages into hidden memory, in place, and copies them through a window.

use crate::arena::Stretch;
use crate::os;
use std::io;
use std::ptr;

/// What becomes of one stretch.
struct Move {
    stretch: Stretch,
    /// The hidden pages that will take its place.
    fresh: *mut u8,
    /// Whether the stretch was unlocked, to make room under the limit.
    unlocked: bool,
}

type EachStretch<'a> = &'a mut dyn FnMut(&mut dyn FnMut(Stretch));

/// Moves everything that `each` visits into hidden pages at the same addresses. If the system refuses that, everything
/// stays as it was.
///
/// # Safety
/// Nobody else may use the memory. The caller holds the allocator's locks, so nothing here allocates.
pub unsafe fn move_all(each: EachStretch<'_>) -> io::Result<()> {
    let mut count = 0;
    each(&mut |_| count += 1);
    let page = os::page_size();
    let bytes = (count * size_of::<Move>()).next_multiple_of(page).max(page);
    let list = os::reserve(bytes).ok_or(io::ErrorKind::OutOfMemory)?;
    // SAFETY: the list is a fresh reservation with room for `count` moves; the rest is the caller's promise.
    unsafe {
        let outcome = match os::open_pages(list, bytes) {
            true => move_listed(list.cast(), each),
            false => Err(io::ErrorKind::OutOfMemory.into()),
        };
        os::release(list, bytes);
        outcome
    }
}

/// Moves pages into hidden memory that could not be hidden when they were opened, and are not locked. Returns whether
/// that worked.
///
/// # Safety
/// Nobody else may use the pages, or fork meanwhile.
pub(crate) unsafe fn move_one(stretch: Stretch) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let hidden = move_all(&mut |visit| visit(stretch)).is_ok();
        if !hidden {
            // A vain try may have locked them, and the limit is scarce.
            os::unlock(stretch.start, stretch.bytes);
        }
        hidden
    }
}

/// # Safety
/// As [`move_all`], and `list` must have room for a move of everything that `each` visits.
unsafe fn move_listed(list: *mut Move, each: EachStretch<'_>) -> io::Result<()> {
    let mut prepared = 0;
    let mut outcome = Ok(());
    each(&mut |stretch| {
        if outcome.is_err() {
            return;
        }
        // SAFETY: the caller's promise.
        match unsafe { Move::prepare(stretch) } {
            Ok(next) => {
                // SAFETY: the list has room.
                unsafe { list.add(prepared).write(next) };
                prepared += 1;
            }
            Err(error) => outcome = Err(error),
        }
    });
    if outcome.is_ok() && !has_room_for_mappings() {
        outcome = Err(io::ErrorKind::OutOfMemory.into());
    }
    for index in 0..prepared {
        // SAFETY: these were written above; the rest is the caller's promise.
        unsafe {
            let next = &*list.add(index);
            match outcome {
                Ok(()) => next.carry_out(),
                Err(_) => next.undo(),
            }
        }
    }
    outcome
}

/// Whether the kernel allows this process some more mappings (proc_sys_vm(5), "max_map_count"). mremap(2) refuses
/// to begin without six (mm/mremap.c, `mremap_to`), and it must not fail half-way.
fn has_room_for_mappings() -> bool {
    const PAGES: usize = 16;
    let page = os::page_size();
    let Some(place) = os::reserve(PAGES * page) else {
        return false;
    };
    // Every other page has another protection, so each page is a mapping of its own.
    let mut every_other = (1..PAGES).step_by(2);
    // SAFETY: the reservation is fresh, and nothing else uses it.
    unsafe {
        let has_room = every_other.all(|index| os::open_pages(place.add(index * page), page));
        os::release(place, PAGES * page);
        has_room
    }
}

impl Move {
    /// # Safety
    /// As [`move_all`].
    unsafe fn prepare(stretch: Stretch) -> io::Result<Self> {
        if let Ok(fresh) = os::hidden_elsewhere(stretch.bytes) {
            return Ok(Self {
                stretch,
                fresh,
                unlocked: false,
            });
        }
        // Perhaps the limit has no room for both; then the old pages, which are about to go, give theirs up.
        // SAFETY: the stretch is mapped.
        unsafe { os::unlock(stretch.start, stretch.bytes) };
        match os::hidden_elsewhere(stretch.bytes) {
            Ok(fresh) => Ok(Self {
                stretch,
                fresh,
                unlocked: true,
            }),
            Err(error) => {
                // SAFETY: as above.
                unsafe { os::lock(stretch.start, stretch.bytes) };
                Err(error)
            }
        }
    }

    /// Copies the pages in use, wipes the old ones, and puts the new ones in their place.
    ///
    /// # Safety
    /// As [`move_all`].
    unsafe fn carry_out(&self) {
        let Stretch { start, bytes, .. } = self.stretch;
        let page = os::page_size();
        for offset in (0..bytes).step_by(page) {
            if self.stretch.is_used(offset) {
                // SAFETY: both pages are ours, and distinct.
                unsafe {
                    let (old, new) = (start.add(offset), self.fresh.add(offset));
                    ptr::copy_nonoverlapping(old, new, page);
                    os::wipe(old, page);
                }
            }
        }
        // SAFETY: nobody relies on the old pages any more.
        if !unsafe { os::move_over(self.fresh, start, bytes) } {
            os::die("memory could not be hidden: mremap failed half-way");
        }
    }

    /// # Safety
    /// As [`move_all`].
    unsafe fn undo(&self) {
        // SAFETY: the fresh pages are ours, and the stretch is mapped.
        unsafe {
            os::release(self.fresh, self.stretch.bytes);
            if self.unlocked {
                os::lock(self.stretch.start, self.stretch.bytes);
            }
        }
    }
}

/// Copies the pages of a stretch that are in use to an offset of a file, by mapping its parts at a window.
///
/// # Safety
/// The window must be the caller's, and nobody may write to the stretch.
pub unsafe fn copy_through(
    window: *mut u8,
    window_bytes: usize,
    stretch: &Stretch,
    file: &os::HiddenFile,
    file_offset: usize,
) -> io::Result<()> {
    let page = os::page_size();
    for part in (0..stretch.bytes).step_by(window_bytes) {
        let bytes = window_bytes.min(stretch.bytes - part);
        let used = || {
            (0..bytes)
                .step_by(page)
                .filter(|at| stretch.is_used(part + at))
        };
        if used().next().is_none() {
            continue;
        }
        // SAFETY: the caller's promise. The window is closed first: the limit has room for one mapping of it.
        unsafe {
            os::close_hidden(window, window_bytes);
            file.map_over(window, bytes, file_offset + part)?;
            for at in used() {
                ptr::copy_nonoverlapping(stretch.start.add(part + at), window.add(at), page);
            }
        }
    }
    Ok(())
}
