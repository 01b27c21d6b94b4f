//! An `EVP_CIPHER_CTX` of AWS-LC, owned: the state of one encryption or decryption.
//!
//! It lies on the heap, key schedule included, so that the arena wipes it when it is freed.

use crate::crypto::gate;
use crate::{Error, Result};
use aws_lc_sys as ffi;
use std::ptr::NonNull;

/// The functions of either direction have the same types: a caller passes that of its direction.
pub(super) type Init = unsafe extern "C" fn(
    *mut ffi::EVP_CIPHER_CTX,
    *const ffi::EVP_CIPHER,
    *mut ffi::ENGINE,
    *const u8,
    *const u8,
) -> i32;
pub(super) type Update =
    unsafe extern "C" fn(*mut ffi::EVP_CIPHER_CTX, *mut u8, *mut i32, *const u8, i32) -> i32;
pub(super) type Finish = unsafe extern "C" fn(*mut ffi::EVP_CIPHER_CTX, *mut u8, *mut i32) -> i32;

/// An owned `EVP_CIPHER_CTX`; freed when dropped.
pub(super) struct CipherContext(NonNull<ffi::EVP_CIPHER_CTX>);

// SAFETY: the context is owned and holds no thread's state.
unsafe impl Send for CipherContext {}
// SAFETY: nothing can be done with a shared reference but to take the pointer.
unsafe impl Sync for CipherContext {}

impl CipherContext {
    /// Allocates a context; [`Error::Memory`] if there is no memory.
    pub(super) fn new() -> Result<Self> {
        crate::init();
        // SAFETY: takes no argument; null means that memory ran out.
        NonNull::new(unsafe { ffi::EVP_CIPHER_CTX_new() })
            .map(Self)
            .ok_or(Error::Memory("no memory for a cipher"))
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::EVP_CIPHER_CTX {
        self.0.as_ptr()
    }
}

impl Drop for CipherContext {
    fn drop(&mut self) {
        // SAFETY: the context is live and not used again.
        unsafe { ffi::EVP_CIPHER_CTX_free(self.0.as_ptr()) };
    }
}

/// Turns AWS-LC's answer (1 for success) into a result, and clears what a failure left in its error queue.
pub(super) fn succeeded(answer: i32) -> Result<()> {
    if answer == 1 {
        return Ok(());
    }
    // Nobody reads the queue, and its texts must not tell one failure from another.
    // SAFETY: clears this thread's queue.
    gate::within(|| unsafe { ffi::ERR_clear_error() });
    Err(Error::Crypto)
}
