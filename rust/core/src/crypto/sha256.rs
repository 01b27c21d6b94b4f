//! SHA-256 of what is no secret.

use aws_lc_sys as ffi;
use std::mem::MaybeUninit;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Bytes of a digest in hexadecimal.
pub const HEX_LEN: usize = 64;

/// Returns the digest of the parts, one behind the other, in hexadecimal. Nothing is allocated.
pub fn hex(parts: &[&[u8]]) -> [u8; HEX_LEN] {
    crate::init();
    let mut context = MaybeUninit::<ffi::SHA256_CTX>::uninit();
    let mut digest = [0_u8; HEX_LEN / 2];
    // SAFETY: the context is initialised first; the slices are read, and the digest has its 32 bytes. None of the
    // functions fails, says sha.h.
    unsafe {
        ffi::SHA256_Init(context.as_mut_ptr());
        for part in parts {
            ffi::SHA256_Update(context.as_mut_ptr(), part.as_ptr().cast(), part.len());
        }
        ffi::SHA256_Final(digest.as_mut_ptr(), context.as_mut_ptr());
    }
    let mut text = [0_u8; HEX_LEN];
    for (two, byte) in text.chunks_exact_mut(2).zip(digest) {
        two[0] = DIGITS[usize::from(byte >> 4)];
        two[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}
