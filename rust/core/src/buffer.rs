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
//! - The content is wiped before the pages are released, and at the end of the process (see [`crate::exit`]).
//! - In a forked child the pages hold zeros, and access to the content is [`Error::Forked`].

mod pages;

pub(crate) use pages::{
    LIVE, any_in_use, each, note_hidden, prepare, replace_hidden, wipe_all, wipe_inherited,
};

use crate::arena::locked_is_required;
use crate::crypto::constant_time;
use crate::{Error, Result, generation, os};
use pages::Pages;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The first size of the buffer for a file of unknown size.
const FIRST_READ_BYTES: usize = 4096;
/// The most bytes that are read from a file of unknown size. A device or a pipe may have no end: `/dev/zero` would fill
/// the memory.
const MOST_OF_UNKNOWN_SIZE_BYTES: usize = 64 * 1024 * 1024;

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
        let buffer = Self::map(len).ok_or(Error::Memory("out of memory"))?;
        match buffer.locked() || !locked_is_required() {
            true => Ok(buffer),
            false => Err(Error::Unlocked),
        }
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
            filled += fill(&mut buffer.content_mut()[filled..])?;
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
            buffer.content_mut()[filled] = beyond[0];
            filled += 1;
        }
    }

    /// The content; [`Error::Forked`] in a forked child.
    pub fn as_slice(&self) -> Result<&[u8]> {
        self.check_process()?;
        Ok(self.content())
    }

    /// The content, to write to; [`Error::Forked`] in a forked child.
    pub fn as_mut_slice(&mut self) -> Result<&mut [u8]> {
        self.check_process()?;
        Ok(self.content_mut())
    }

    /// The address of the content. It does not change while the buffer lives.
    pub fn address(&self) -> usize {
        self.pages.content() as usize
    }

    /// The size of the content in bytes.
    pub fn len(&self) -> usize {
        self.pages.len
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
    pub fn wipe(&mut self) {
        // SAFETY: the content is ours to write.
        unsafe { os::wipe(self.pages.content(), self.len()) };
    }

    /// Notes one more user who relies on the address, and may read and write there until [`SecureBuffer::let_go`].
    /// Meanwhile the memory is not moved.
    pub fn hold(&self) {
        self.pages.uses.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes back one [`SecureBuffer::hold`]. Ends the process if there was none.
    pub fn let_go(&self) {
        if self.pages.uses.fetch_sub(1, Ordering::AcqRel) == 0 {
            os::die("a SecureBuffer was let go more often than it was held");
        }
    }

    /// Compares with `other` in a time that depends on nothing but the lengths. False in a forked child.
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.check_process().is_ok() && constant_time::equal(self.content(), other)
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
        let mut other = Self::new(len)?;
        let kept = len.min(self.len());
        other.content_mut()[..kept].copy_from_slice(&self.content()[..kept]);
        Ok(other)
    }

    fn check_process(&self) -> Result<()> {
        if self.generation == generation::current() {
            Ok(())
        } else {
            Err(Error::Forked)
        }
    }

    fn content(&self) -> &[u8] {
        // SAFETY: `len` bytes before the guard, initialised by the system.
        unsafe { slice::from_raw_parts(self.pages.content(), self.len()) }
    }

    fn content_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` is the only access.
        unsafe { slice::from_raw_parts_mut(self.pages.content(), self.len()) }
    }
}

impl Drop for SecureBuffer {
    fn drop(&mut self) {
        // In a forked child the canary is zero.
        let intact = self.pages.is_intact() || self.check_process().is_err();
        self.wipe();
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
