//! [`SecureBuffer`]: memory for a secret that lives long, apart from all others.
//!
//! ```text
//! | guard | ...... canary | content | guard |
//! ```
//!
//! Promises:
//! - Nothing else lies in its pages. They are locked where the limit allows ([`SecureBuffer::locked`]
//!   tells), and kept out of core dumps.
//! - A read or write beyond the end faults at once: the content ends where the guard begins. A write
//!   before the beginning is found when the buffer is dropped, and ends the process by SIGSEGV too, as
//!   libsodium's `sodium_free` does.
//! - The content is wiped before the pages are given back, and at the end of the process (see [`crate::exit`]).
//! - A forked child finds zeros, and [`Error::Forked`] instead of content.

use crate::arena::spin::SpinLock;
use crate::arena::{fork_generation, locked_is_required};
use crate::{Error, Result, os};
use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::path::Path;
use std::slice;
use std::sync::OnceLock;

/// Bytes in front of the content that tell whether somebody wrote there.
const CANARY_BYTES: usize = 16;

/// What a file is read into when it does not tell its size.
const FIRST_READ_BYTES: usize = 4096;

/// Where the contents of all buffers begin that have any, and their bytes: what is wiped at exit.
pub(crate) static LIVE: SpinLock<BTreeMap<usize, usize>> = SpinLock::new(BTreeMap::new());

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
    /// `len` zero bytes, locked where the limit allows. `Error::Memory` where there is no memory, and
    /// [`Error::Unlocked`] where locked memory is required of this thread and it cannot be locked.
    pub fn new(len: usize) -> Result<Self> {
        let buffer = Self::map(len).ok_or(Error::Memory("out of memory"))?;
        match buffer.locked || !locked_is_required() {
            true => Ok(buffer),
            false => Err(Error::Unlocked),
        }
    }

    /// Reads a whole file straight into locked memory: its content passes through no other.
    pub fn from_file(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(|source| io_error(path, source))?;
        let told = file.metadata().map_err(|source| io_error(path, source))?;
        Self::from_reader(&mut file, told.len(), path)
    }

    /// Reads to the end straight into locked memory. The reader may tell its size, or 0; `path` names it in
    /// errors. It is asked again where it was interrupted.
    pub fn from_reader(reader: &mut impl Read, told: u64, path: &Path) -> Result<Self> {
        let told = usize::try_from(told).map_err(|_| Error::Memory("out of memory"))?;
        let mut buffer = Self::new(if told == 0 { FIRST_READ_BYTES } else { told })?;
        let mut filled = 0;
        let mut fill =
            |room: &mut [u8]| read_full(reader, room).map_err(|source| io_error(path, source));
        loop {
            filled += fill(&mut buffer.content_mut()[filled..])?;
            if filled < buffer.len {
                return buffer.resized(filled);
            }
            // One byte more tells whether this was all. A vector lies in the arena, unlike an array.
            let mut beyond = vec![0_u8; 1];
            if fill(&mut beyond)? == 0 {
                return Ok(buffer);
            }
            buffer = buffer.resized(filled.saturating_mul(2))?;
            buffer.content_mut()[filled] = beyond[0];
            filled += 1;
        }
    }

    /// The content. `Error::Forked` in a forked child.
    pub fn as_slice(&self) -> Result<&[u8]> {
        self.check_process()?;
        Ok(self.content())
    }

    /// The content, to write to. `Error::Forked` in a forked child.
    pub fn as_mut_slice(&mut self) -> Result<&mut [u8]> {
        self.check_process()?;
        Ok(self.content_mut())
    }

    /// Where the content begins. It does not move while the buffer lives.
    pub fn address(&self) -> usize {
        self.start() as usize
    }

    /// Bytes of content.
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

    /// Locks it; whether it is locked now.
    pub fn lock(&mut self) -> bool {
        if !self.locked() && self.check_process().is_ok() {
            // SAFETY: the pages between the guards are ours.
            self.locked = unsafe { os::lock(self.pages(), self.inner) };
        }
        self.locked()
    }

    /// Unlocks it; whether it is unlocked now.
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

    /// Compares with `other` in a time that depends on the lengths alone. False in a forked child.
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        if self.check_process().is_err() || other.len() != self.len {
            return false;
        }
        // SAFETY: both are valid for reads of `len` bytes.
        unsafe {
            aws_lc_sys::CRYPTO_memcmp(self.start().cast(), other.as_ptr().cast(), self.len) == 0
        }
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
        let generation = fork_generation();
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
            os::hide_from_dumps(buffer.pages(), inner);
            os::wipe_on_fork(buffer.pages(), inner);
            buffer.locked = os::lock(buffer.pages(), inner);
            buffer.canary_place().write_unaligned(canary());
        }
        LIVE.lock().insert(buffer.address(), len);
        Some(buffer)
    }

    /// The same content in a buffer of another size, cut off or followed by zeros.
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
        if self.generation == fork_generation() {
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
        // SAFETY: the mapping made in `map`, released once. In a forked child the canary is zero.
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

/// Draws the canary, so that no thread is in the middle of it when the process forks.
pub(crate) fn prepare() {
    canary();
}

/// Overwrites the contents of all buffers.
///
/// # Safety
/// The caller must hold the lock of [`LIVE`].
pub(crate) unsafe fn wipe_all() {
    // SAFETY: the caller's promise.
    for (start, len) in unsafe { LIVE.held_value() } {
        // SAFETY: what is in the list is mapped; a buffer leaves it before it is unmapped.
        unsafe { os::wipe_touched(*start as *mut u8, *len) };
    }
}

/// Random bytes, the same for all buffers of a process. They guard against stray writes; whoever
/// can read memory in front of a buffer needs no overrun.
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

/// Reads until the buffer is full or the file ends; how many bytes came.
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
