//! [`SecureBuffer`]: memory for one secret that lives long, in pages of its own.
//!
//! ```text
//! | guard | ...... canary | content | guard |
//! ```
//!
//! Promises:
//! - Nothing else lies in its pages. They are locked if the limit allows it ([`SecureBuffer::locked`] tells), and kept
//!   out of core dumps.
//! - A read or write beyond the end faults at once, since the content ends where the guard begins. A write before the
//!   beginning is found when the buffer is dropped, and ends the process by SIGSEGV, as libsodium's `sodium_free` does.
//! - The content is wiped before the pages are released, and at the end of the process (see [`crate::exit`]).
//! - In a forked child the pages hold zeros, and access to the content is [`Error::Forked`].

use crate::arena::locked_is_required;
use crate::crypto::constant_time;
use crate::refused::Protection;
use crate::spin::SpinLock;
use crate::{Error, Result, generation, os};
use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::path::Path;
use std::slice;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes before the content that show whether somebody wrote there.
const CANARY_BYTES: usize = 16;

/// The first size of the buffer for a file of unknown size.
const FIRST_READ_BYTES: usize = 4096;
/// The most bytes that are read from a file of unknown size. A device or a pipe may have no end: `/dev/zero` would fill
/// the memory.
const MOST_OF_UNKNOWN_SIZE_BYTES: usize = 64 * 1024 * 1024;

/// The address and size of every buffer's content, so that the exit can wipe them.
pub(crate) static LIVE: SpinLock<BTreeMap<usize, usize>> = SpinLock::new(BTreeMap::new());

/// Whether the system refused `MADV_WIPEONFORK` for a buffer, so that the child's handler of `fork` must wipe the
/// buffers.
static WIPED_BY_HAND: AtomicBool = AtomicBool::new(false);

/// Locked, guarded, wiped memory for one secret.
pub struct SecureBuffer {
    reservation: *mut u8,
    /// Bytes of the pages between the guards.
    inner: usize,
    len: usize,
    locked: bool,
    generation: u64,
}

// SAFETY: the mapping belongs to this value alone, and only `&mut self` writes to it.
unsafe impl Send for SecureBuffer {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for SecureBuffer {}

impl SecureBuffer {
    /// Makes a buffer of `len` zero bytes, locked if the limit allows it.
    ///
    /// [`Error::Memory`] if there is no memory, [`Error::Unlocked`] if this thread requires locked memory and the
    /// buffer cannot be locked.
    pub fn new(len: usize) -> Result<Self> {
        let buffer = Self::map(len).ok_or(Error::Memory("out of memory"))?;
        match buffer.locked || !locked_is_required() {
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
            if filled < buffer.len {
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
        self.start() as usize
    }

    /// The size of the content in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no content.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether all of it is locked now.
    pub fn locked(&self) -> bool {
        self.locked && self.check_process().is_ok()
    }

    /// Locks it. Returns whether it is locked now.
    pub fn lock(&mut self) -> bool {
        if !self.locked() && self.check_process().is_ok() {
            // SAFETY: the pages between the guards are ours.
            self.locked = unsafe { os::lock(self.pages(), self.inner) };
        }
        self.locked()
    }

    /// Unlocks it. Returns whether it is unlocked now.
    pub fn unlock(&mut self) -> bool {
        if self.locked() {
            // SAFETY: the pages between the guards are ours.
            self.locked = !unsafe { os::unlock(self.pages(), self.inner) };
        }
        !self.locked()
    }

    /// Overwrites the content with zeros, in a way that no optimiser removes.
    pub fn wipe(&mut self) {
        // SAFETY: the content is ours to write.
        unsafe { os::wipe(self.start(), self.len) };
    }

    /// Compares with `other` in a time that depends on nothing but the lengths. False in a forked child.
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.check_process().is_ok() && constant_time::equal(self.content(), other)
    }

    fn map(len: usize) -> Option<Self> {
        let page = os::page_size();
        let inner = len
            .checked_add(CANARY_BYTES)?
            .checked_next_multiple_of(page)?;
        let reserved = inner
            .checked_add(2 * page)
            .filter(|sum| isize::try_from(*sum).is_ok())?;
        let reservation = os::reserve(reserved)?;
        let generation = generation::current();
        // From here on Drop releases the reservation; it reads nothing before `inner` is set.
        let mut buffer = Self {
            reservation,
            inner,
            len,
            locked: false,
            generation,
        };
        // SAFETY: the pages between the guards of a fresh reservation.
        unsafe {
            if !os::open_pages(buffer.pages(), inner) {
                os::release(reservation, reserved);
                std::mem::forget(buffer);
                return None;
            }
            Protection::HiddenFromDumps.note(os::hide_from_dumps(buffer.pages(), inner));
            if !os::wipe_on_fork(buffer.pages(), inner) {
                WIPED_BY_HAND.store(true, Ordering::Relaxed);
            }
            buffer.locked = os::lock(buffer.pages(), inner);
            buffer.canary_place().write_unaligned(canary());
        }
        LIVE.lock().insert(buffer.address(), len);
        Some(buffer)
    }

    /// Copies the content into a buffer of another size; it is cut off, or followed by zeros.
    fn resized(self, len: usize) -> Result<Self> {
        if len == self.len {
            return Ok(self);
        }
        let mut other = Self::new(len)?;
        let kept = len.min(self.len);
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
        unsafe { slice::from_raw_parts(self.start(), self.len) }
    }

    fn content_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` is the only access.
        unsafe { slice::from_raw_parts_mut(self.start(), self.len) }
    }

    fn pages(&self) -> *mut u8 {
        self.reservation.wrapping_add(os::page_size())
    }

    fn start(&self) -> *mut u8 {
        self.pages().wrapping_add(self.inner - self.len)
    }

    fn canary_place(&self) -> *mut [u64; 2] {
        self.start().wrapping_sub(CANARY_BYTES).cast()
    }
}

impl Drop for SecureBuffer {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `map`, and is released once. In a forked child the canary is zero.
        unsafe {
            let intact = self.canary_place().read_unaligned() == canary();
            self.wipe();
            LIVE.lock().remove(&self.address());
            if !intact && self.check_process().is_ok() {
                os::die_by_fault("a SecureBuffer was written to in front of its content");
            }
            os::release(self.reservation, self.inner + 2 * os::page_size());
        }
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
    for (start, len) in unsafe { LIVE.held_value() } {
        // SAFETY: everything in the list is mapped, since a buffer leaves the list before it is unmapped.
        unsafe { os::wipe_touched(*start as *mut u8, *len) };
    }
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
