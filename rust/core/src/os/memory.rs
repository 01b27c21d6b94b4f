//! Pages: reserve, lock, guard, wipe.

use crate::{Error, Result};
use std::ops::Deref;

/// Overwrites `len` bytes with zeros, in a way that no optimiser removes.
///
/// # Safety
/// `ptr` must be valid for writes of `len` bytes.
pub unsafe fn wipe(ptr: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { std::ptr::write_bytes(ptr, 0, len) };
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}

/// Growable memory for ciphertext, which is no secret.
pub struct PlainPages(Vec<u8>);

impl PlainPages {
    /// Reserves room for `capacity_bytes`.
    pub fn reserve(capacity_bytes: usize) -> Result<Self> {
        Ok(Self(Vec::with_capacity(capacity_bytes)))
    }

    /// Appends bytes.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// At least `n` writable bytes behind the content; `Error::Memory` when there is no room.
    pub fn spare_mut(&mut self, n: usize) -> Result<&mut [u8]> {
        let len = self.0.len();
        self.0.resize(len + n, 0);
        // SAFETY: len is within the vector, whose bytes are initialised.
        unsafe { self.0.set_len(len) };
        self.0
            .get(len..)
            .map(|_| ())
            .ok_or(Error::Memory("no room"))?;
        // SAFETY: n bytes behind len were initialised by resize.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().add(len), n) })
    }

    /// Makes `n` bytes of the spare room part of the content.
    pub fn advance(&mut self, n: usize) {
        let len = self.0.len() + n;
        assert!(len <= self.0.capacity());
        // SAFETY: the spare room was initialised by spare_mut.
        unsafe { self.0.set_len(len) };
    }
}

impl Deref for PlainPages {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}
