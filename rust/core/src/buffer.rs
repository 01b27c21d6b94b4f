//! [`SecureBuffer`]: memory for one secret that lives long, in pages of its own.
//!
//! ```text
//! | guard | ...... canary | content | guard |
//! ```
//!
//! Promises:
//! - Nothing else lies in its pages. They are locked if the limit allows it ([`SecureBuffer::locked`] tells), and kept
//!   out of core dumps. They are hidden if all memory is, see [`crate::hidden`].
//! - A read or write beyond the end faults at once, since the content ends where the guard begins. A write before the
//!   beginning is found when the buffer is dropped, and ends the process by SIGSEGV, as libsodium's `sodium_free` does.
//! - While nobody uses it, nothing can read or write it: its pages are closed (mprotect(2) with PROT_NONE), and a stray
//!   access by native code faults. Uses are counted across threads ([`SecureBuffer::hold`], [`Content`]). Not on
//!   Windows, where closing a page would unlock it. Root can read closed pages from outside; hidden ones it cannot.
//! - The content is wiped before the pages are released, and at the end of the process (see [`crate::exit`]).
//! - In a forked child the pages hold zeros, and access to the content is [`Error::Forked`].

mod content;
mod pages;

pub use content::{Content, ContentMut};
pub(crate) use pages::{
    LIVE, any_held, close_all, each, note_hidden, open_all, prepare, replace_hidden, wipe_all,
    wipe_inherited,
};

use crate::arena::locked_is_required;
use crate::crypto::constant_time;
use crate::{Error, Result, generation, os};
use pages::Pages;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The first size of the buffer for a file of unknown size.
const FIRST_READ_BYTES: usize = 4096;
/// The most bytes that are read from a file of unknown size. A device or a pipe may have no end: `/dev/zero` would fill
/// the memory.
const MOST_OF_UNKNOWN_SIZE_BYTES: usize = 64 * 1024 * 1024;

/// A limit that counts pages only while they can be written to has no room for them any more.
const NOT_OPENED: Error = Error::Memory(
    "a SecureBuffer cannot be opened: the limit on writable memory is used up (RLIMIT_DATA, `ulimit -d`)",
);

/// Locked, guarded, wiped memory for one secret.
pub struct SecureBuffer {
    pages: Arc<Pages>,
    generation: u64,
}

impl SecureBuffer {
    /// Makes a buffer of `len` zero bytes, locked if the limit allows it.
    ///
    /// [`Error::Memory`] if there is no memory, [`Error::Unlocked`] if this thread requires locked memory and the
    /// buffer cannot be locked.
    pub fn new(len: usize) -> Result<Self> {
        Self::filled(len, |_| Ok(()))
    }

    /// Makes a buffer of `len` bytes that `fill` writes. The same errors as [`SecureBuffer::new`], or that of `fill`.
    pub fn filled(len: usize, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Self> {
        let buffer = Self::map(len).ok_or(Error::Memory("out of memory"))?;
        if !buffer.locked() && locked_is_required() {
            return Err(Error::Unlocked);
        }
        // SAFETY: nobody else has the buffer yet. Its pages are open: this is their first use.
        fill(&mut unsafe { ContentMut::of(&buffer.pages) })?;
        Ok(buffer)
    }

    /// Reads a whole file directly into locked memory.
    pub fn from_file(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(|source| io_error(path, source))?;
        let facts = file.metadata().map_err(|source| io_error(path, source))?;
        Self::from_reader(&mut file, facts.len(), path)
    }

    /// Reads a reader to its end, directly into locked memory. An interrupted read is repeated.
    ///
    /// `expected` is the size that the system tells, or 0 if it tells none; then at most 64 MiB are read, and more are
    /// an error. `path` is only for errors.
    pub fn from_reader(reader: &mut impl Read, expected: u64, path: &Path) -> Result<Self> {
        let expected = usize::try_from(expected).map_err(|_| Error::Memory("out of memory"))?;
        let mut buffer = Self::new(if expected == 0 {
            FIRST_READ_BYTES
        } else {
            expected
        })?;
        let mut filled = 0;
        let mut fill =
            |room: &mut [u8]| read_full(reader, room).map_err(|source| io_error(path, source));
        loop {
            filled += fill(&mut buffer.content_mut()?[filled..])?;
            if filled < buffer.len() {
                return buffer.resized(filled);
            }
            // One more byte shows whether this was all. It is read into a vector, which lies in the arena; an array
            // would lie on the stack.
            let mut beyond = vec![0_u8; 1];
            if fill(&mut beyond)? == 0 {
                return Ok(buffer);
            }
            if expected == 0 && filled >= MOST_OF_UNKNOWN_SIZE_BYTES {
                return Err(io_error(path, endless()));
            }
            buffer = buffer.resized(filled.saturating_mul(2))?;
            buffer.content_mut()?[filled] = beyond[0];
            filled += 1;
        }
    }

    /// The content, open until the result is dropped; [`Error::Forked`] in a forked child.
    pub fn content(&self) -> Result<Content<'_>> {
        self.begin_use()?;
        Ok(Content::of(&self.pages))
    }

    /// The content, open to write to until the result is dropped; [`Error::Forked`] in a forked child.
    pub fn content_mut(&mut self) -> Result<ContentMut<'_>> {
        self.begin_use()?;
        // SAFETY: `&mut self` is the only access.
        Ok(unsafe { ContentMut::of(&self.pages) })
    }

    /// The address of the content. It does not change while the buffer lives, and can be touched while the buffer is
    /// in use.
    pub fn address(&self) -> usize {
        self.pages.content() as usize
    }

    /// The size of the content in bytes.
    pub fn len(&self) -> usize {
        self.pages.len
    }

    /// Whether nobody can touch the content now, since it is not in use.
    pub fn is_protected(&self) -> bool {
        self.pages.is_closed()
    }

    /// Whether there is no content.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all of it is locked now.
    pub fn locked(&self) -> bool {
        self.pages.locked.load(Ordering::Relaxed) && self.check_process().is_ok()
    }

    /// Locks it, or hides it if all memory is, which is not possible while it is held. Returns whether it is locked now.
    pub fn lock(&mut self) -> bool {
        if !self.locked() && self.check_process().is_ok() {
            self.pages.lock();
        }
        self.locked()
    }

    /// Unlocks it. Returns whether it is unlocked now. Hidden pages cannot be unlocked.
    pub fn unlock(&mut self) -> bool {
        if self.locked() && !self.pages.hidden.load(Ordering::Relaxed) {
            // SAFETY: the pages between the guards are ours.
            let locked = !unsafe { os::unlock(self.pages.start(), self.pages.inner) };
            self.pages.locked.store(locked, Ordering::Relaxed);
        }
        !self.locked()
    }

    /// Overwrites the content with zeros, in a way that no optimiser removes.
    ///
    /// [`Error::Memory`] if the system does not open the pages.
    pub fn wipe(&mut self) -> Result<()> {
        if !self.pages.begin_use() {
            return Err(NOT_OPENED);
        }
        // SAFETY: the content is open, and ours to write.
        unsafe { os::wipe(self.pages.content(), self.len()) };
        self.pages.end_use();
        Ok(())
    }

    /// Notes one more user who relies on the address, and may read and write there until [`SecureBuffer::let_go`].
    /// Meanwhile the memory is open and not moved.
    ///
    /// [`Error::Forked`] in a forked child, [`Error::Memory`] if the system does not open the pages.
    pub fn hold(&self) -> Result<()> {
        self.begin_use()?;
        self.pages.holds.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Takes back one [`SecureBuffer::hold`]. Ends the process if there was none.
    pub fn let_go(&self) {
        if self.pages.holds.fetch_sub(1, Ordering::AcqRel) == 0 {
            os::die("a SecureBuffer was let go more often than it was held");
        }
        self.pages.end_use();
    }

    /// Compares with `other` in a time that depends on nothing but the lengths. False where [`SecureBuffer::content`] is
    /// an error.
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.content()
            .is_ok_and(|content| constant_time::equal(&content, other))
    }

    fn map(len: usize) -> Option<Self> {
        let buffer = Self {
            pages: Arc::new(Pages::map(len)?),
            generation: generation::current(),
        };
        let mut live = LIVE.lock();
        live.insert(buffer.address(), Arc::clone(&buffer.pages));
        drop(live);
        Some(buffer)
    }

    /// Copies the content into a buffer of another size; it is cut off, or followed by zeros.
    fn resized(self, len: usize) -> Result<Self> {
        if len == self.len() {
            return Ok(self);
        }
        let kept = len.min(self.len());
        Self::filled(len, |content| {
            content[..kept].copy_from_slice(&self.content()?[..kept]);
            Ok(())
        })
    }

    /// Opens the content until `Pages::end_use`.
    fn begin_use(&self) -> Result<()> {
        self.check_process()?;
        match self.pages.begin_use() {
            true => Ok(()),
            false => Err(NOT_OPENED),
        }
    }

    fn check_process(&self) -> Result<()> {
        if self.generation == generation::current() {
            Ok(())
        } else {
            Err(Error::Forked)
        }
    }
}

impl Drop for SecureBuffer {
    fn drop(&mut self) {
        // Pages that the system does not open are left to it: it clears them. This use never ends.
        let open = self.pages.begin_use();
        // In a forked child the canary is zero.
        let intact = !open || self.pages.is_intact() || self.check_process().is_err();
        if open {
            // SAFETY: the content is open, and ours to write.
            unsafe { os::wipe(self.pages.content(), self.len()) };
        }
        LIVE.lock().remove(&self.address());
        if !intact {
            os::die_by_fault("a SecureBuffer was written to in front of its content");
        }
        // SAFETY: this was the only user, and the pages have left the list.
        unsafe { self.pages.unmap() };
    }
}

fn io_error(path: &Path, source: io::Error) -> Error {
    Error::Io {
        path: path.to_owned(),
        source,
    }
}

/// "File too large" (errno(3)); the number is the same on all platforms.
fn endless() -> io::Error {
    const EFBIG: i32 = 27;
    io::Error::from_raw_os_error(EFBIG)
}

/// Reads until the buffer is full or the file ends. Returns how many bytes it read.
fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
