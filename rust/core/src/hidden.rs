//! Hides the core's memory even from root: the arena and every [`SecureBuffer`](crate::buffer::SecureBuffer) move into
//! pages of memfd_secret(2).
//!
//! Promises, once [`hide_memory`] has returned without an error:
//! - Every page that the core locks is hidden. The kernel reads it for nobody: `/proc/PID/mem`, debuggers and core
//!   dumps find nothing, and there is no hibernation while this process lives.
//! - What existed before has moved there, at the same addresses, and its old pages are wiped.
//! - No page that is hidden gets an ordinary page instead later. If the system refuses a new one, the memory counts as
//!   unlocked ([`crate::arena::status`]).
//!
//! Fork: hidden pages are shared memory, and are left out of children. Before a fork, the pages of the arena that are in
//! use are copied into one new file of hidden memory, which the child maps at the same addresses before anything else.
//! The child's buffers are zeros, as ever. If the copy cannot be made (no file descriptor is left), the child ends at
//! once with a message, since it could not touch the core's memory. If C code makes a child past the handlers of
//! pthread_atfork(3) (a plain clone(2), `_Fork`), the child has a hole in place of the memory: touching it is a fault,
//! and the parent's memory is out of reach. During a fork that does call the handlers, the copy's descriptor is open for
//! some milliseconds.
//!
//! Moving: pointers lead everywhere into the memory, so it moves in place. Native work is paused and the gate closed,
//! so that nobody reads or writes it, for at most [`PATIENCE`]; then all locks are taken. Everything is prepared first.
//! So a refusal changes nothing.

pub(crate) mod moving;

use crate::refused::Protection;
use crate::spin::SpinLock;
use crate::standstill::while_nobody_works;
use crate::sync::thread_cell;
use crate::{Error, Result, arena, buffer, os};
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long hiding waits for native work of other threads.
pub const PATIENCE: Duration = Duration::from_secs(2);

const BUSY: Error = Error::InUse(
    "memory cannot be hidden now: other threads have been encrypting or decrypting for 2 s; hide it before the first \
     request, or try again",
);

/// The copy for the child of a fork that is under way, and whether one was needed and could not be made.
static COPY: SpinLock<Copy> = SpinLock::new(Copy::None);

/// The address and size of a place at which the copy is written, in parts. Hidden pages hold it between forks, so that
/// the limit on locked memory has room for it.
static WINDOW: AtomicUsize = AtomicUsize::new(0);
static WINDOW_BYTES: AtomicUsize = AtomicUsize::new(0);

/// How many [`Reading`]s there are.
static READING: AtomicUsize = AtomicUsize::new(0);

thread_cell! {
    /// How many of them are this thread's.
    static READING_HERE: usize = 0;
}

/// The pages of the window. If little may be locked, it has one.
const WINDOW_PAGES: usize = 16;

enum Copy {
    None,
    Made(os::HiddenFile),
    Failed,
}

/// Hides all memory that the core locks, now and from now on. Idempotent.
///
/// [`Error::NotHidden`] if the system refuses it: everything then stays as it was, locked. [`Error::InUse`] if a
/// SecureBuffer has a view, or if other threads' work does not end in time; then it can be tried again.
///
/// [`crate::init`] must have run. The caller must make sure that no other thread uses the core outside of
/// [`exiting::counted`].
pub fn hide_memory() -> Result<()> {
    // Sets up the arena, if need be, while that is possible.
    arena::check_address_space()?;
    let outcome = while_nobody_works(PATIENCE, || match arena::hiding() {
        true => Ok(()),
        // SAFETY: all locks are held, and nobody else uses the memory.
        false => unsafe { hide_everything() },
    });
    let outcome = outcome.unwrap_or(Err(BUSY));
    match outcome {
        Ok(()) => Protection::Hidden.forget_refusal(),
        Err(Error::NotHidden(_)) => Protection::Hidden.note(false),
        Err(_) => {}
    }
    outcome
}

/// Work outside of [`exiting::counted`] that uses the core's memory, and must not be waited for: reading from a pipe.
/// While it lives, memory cannot be hidden. Made before other threads can begin to hide memory, and dropped by the same
/// thread.
pub struct Reading(PhantomData<*const ()>);

impl Reading {
    /// Begins such work.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        READING_HERE.set(READING_HERE.get() + 1);
        READING.fetch_add(1, Ordering::SeqCst);
        Self(PhantomData)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        READING.fetch_sub(1, Ordering::SeqCst);
        READING_HERE.set(READING_HERE.get() - 1);
    }
}

/// Forgets what other threads of the parent were reading; called in a forked child.
pub(crate) fn forget_inherited() {
    READING.store(READING_HERE.get(), Ordering::SeqCst);
}

/// Whether the memory is hidden: others cannot read a block of either kind, and nothing is outside of locked pages. It
/// is tried. `None` if that cannot be tried.
pub fn measured() -> Option<bool> {
    let is_readable = |block: Vec<u8>| os::others_can_read(block.as_ptr());
    let general = is_readable(vec![1; 16])?;
    // Otherwise, a block for keys may open a chunk of locked memory for nothing.
    if !arena::hiding() {
        return Some(!general);
    }
    let key = is_readable(arena::with_keys(|| vec![1; 16]))?;
    Some(!general && !key && arena::status().unlocked_bytes == 0)
}

/// # Safety
/// All locks must be held, and nobody else may use the memory.
unsafe fn hide_everything() -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        if READING.load(Ordering::SeqCst) > 0 {
            return Err(Error::InUse(
                "memory cannot be hidden while a file is read into a SecureBuffer: hide memory earlier, or try again",
            ));
        }
        if buffer::any_held() {
            return Err(Error::InUse(
                "memory cannot be hidden while a SecureBuffer has a view: release the views first, or hide memory earlier",
            ));
        }
        if arena::unlocked_in_use() {
            return Err(Error::NotHidden(
                "memory cannot be hidden, since the limit on locked memory (RLIMIT_MEMLOCK) left a part of it unlocked: \
                 raise the limit",
            ));
        }
        make_window().map_err(|error| refusal(&error))?;
        if let Err(error) = move_everything() {
            close_window();
            return Err(refusal(&error));
        }
        arena::hide_from_now_on();
        arena::note_hidden();
        buffer::note_hidden();
    }
    Ok(())
}

/// # Safety
/// All locks must be held, and nobody else may use the memory.
unsafe fn move_everything() -> io::Result<()> {
    // SAFETY: the caller's promise. What moves must be open.
    unsafe {
        let moved = match buffer::open_all() && arena::open_keys() {
            true => moving::move_all(&mut |visit| each_stretch(visit)),
            false => Err(io::ErrorKind::OutOfMemory.into()),
        };
        buffer::close_all();
        arena::close_unused_keys();
        moved
    }
}

/// # Safety
/// All locks must be held.
unsafe fn each_stretch(visit: &mut dyn FnMut(arena::Stretch)) {
    // SAFETY: the caller's promise.
    unsafe {
        arena::each_locked(visit);
        buffer::each(visit);
    }
}

fn refusal(error: &io::Error) -> Error {
    Error::NotHidden(os::why_not_hidden(error))
}

fn make_window() -> io::Result<()> {
    let scarce = arena::is_scarce();
    let bytes = os::page_size() * if scarce { 1 } else { WINDOW_PAGES };
    let window = os::hidden_elsewhere(bytes)?;
    WINDOW.store(window.addr(), Ordering::Relaxed);
    WINDOW_BYTES.store(bytes, Ordering::Relaxed);
    Ok(())
}

fn close_window() {
    let (window, bytes) = window();
    // SAFETY: the mapping is ours, and used under all locks only.
    unsafe { os::release(window, bytes) };
}

fn window() -> (*mut u8, usize) {
    let window = std::ptr::with_exposed_provenance_mut(WINDOW.load(Ordering::Relaxed));
    (window, WINDOW_BYTES.load(Ordering::Relaxed))
}

/// Copies the arena's hidden pages that are in use, for the child of a fork.
///
/// # Safety
/// All locks must be held.
pub(crate) unsafe fn copy_for_child() {
    if arena::hiding() {
        // SAFETY: the caller's promise.
        let copy = unsafe {
            let copy = match arena::open_keys() {
                true => copy_arena(),
                false => Err(io::ErrorKind::OutOfMemory.into()),
            };
            arena::close_unused_keys();
            copy
        };
        *COPY.lock() = copy.map_or(Copy::Failed, Copy::Made);
    }
}

/// # Safety
/// All locks must be held.
unsafe fn copy_arena() -> io::Result<os::HiddenFile> {
    let mut total = 0;
    let (window, window_bytes) = window();
    // SAFETY: the caller's promise, and the window is used here only.
    unsafe {
        arena::each_locked(&mut |stretch| total += stretch.bytes);
        let file = os::HiddenFile::new(total)?;
        let mut offset = 0;
        let mut outcome = Ok(());
        arena::each_locked(&mut |stretch| {
            if outcome.is_ok() {
                outcome = moving::copy_through(window, window_bytes, &stretch, &file, offset);
            }
            offset += stretch.bytes;
        });
        os::close_hidden(window, window_bytes);
        // If this fails, the next fork tries again.
        let _ = os::open_hidden(window, window_bytes);
        outcome.map(|()| file)
    }
}

/// Closes the copy, in the parent.
pub(crate) fn drop_copy() {
    *COPY.lock() = Copy::None;
}

/// Gives a forked child memory in place of the hidden memory that it did not inherit.
///
/// # Safety
/// All locks must be held, in the child.
pub(crate) unsafe fn enter_child() {
    if !arena::hiding() {
        return;
    }
    const LOST: &str = "this forked child cannot go on: its parent's hidden memory could not be copied for it, because no \
         file descriptor or no locked memory was left";
    let copy = std::mem::replace(&mut *COPY.lock(), Copy::None);
    let Copy::Made(file) = copy else {
        os::die(LOST);
    };
    let mut offset = 0;
    let (window, window_bytes) = window();
    // SAFETY: the caller's promise; there is nothing at these addresses.
    unsafe {
        arena::each_locked(&mut |stretch| {
            if file.map_over(stretch.start, stretch.bytes, offset).is_err() {
                os::die(LOST);
            }
            offset += stretch.bytes;
        });
        arena::close_unused_keys();
        if !buffer::replace_hidden() {
            os::die(LOST);
        }
        let _ = os::open_hidden(window, window_bytes);
    }
}
