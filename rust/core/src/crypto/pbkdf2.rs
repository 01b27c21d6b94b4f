//! PBKDF2 (RFC 8018, section 5.2), which turns the password of a key file into a key.

use crate::{Error, Result};
use aws_lc_sys as ffi;

/// The most rounds that are accepted from a file: they take some seconds, and a hostile file could ask for hours.
pub const MAX_ROUNDS: u32 = 10_000_000;

/// The pseudo-random function: HMAC with this digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prf {
    /// HMAC-SHA-1, which old OpenSSL wrote. Sound as a PRF, though SHA-1 has collisions.
    HmacSha1,
    /// HMAC-SHA-224.
    HmacSha224,
    /// HMAC-SHA-256, which is used for writing.
    HmacSha256,
    /// HMAC-SHA-384.
    HmacSha384,
    /// HMAC-SHA-512.
    HmacSha512,
}

/// Derives `out.len()` bytes from a password.
///
/// [`Error::Key`] unless `rounds` is 1 to [`MAX_ROUNDS`]. The password is read in place. AWS-LC's HMAC state lies on
/// the stack, where AWS-LC wipes it; callers scrub the stack too.
pub fn derive(prf: Prf, password: &[u8], salt: &[u8], rounds: u32, out: &mut [u8]) -> Result<()> {
    crate::init();
    if rounds == 0 || rounds > MAX_ROUNDS {
        return Err(Error::Key(
            "expected 1 to 10,000,000 rounds of PBKDF2 in an encrypted private key",
        ));
    }
    // SAFETY: every pointer comes with the length of the slice behind it; the digest is a static of AWS-LC.
    let done = unsafe {
        ffi::PKCS5_PBKDF2_HMAC(
            password.as_ptr().cast(),
            password.len(),
            salt.as_ptr(),
            salt.len(),
            rounds,
            digest(prf),
            out.len(),
            out.as_mut_ptr(),
        )
    };
    if done == 1 {
        Ok(())
    } else {
        Err(Error::Crypto)
    }
}

fn digest(prf: Prf) -> *const ffi::EVP_MD {
    // SAFETY: each returns a pointer to a static.
    unsafe {
        match prf {
            Prf::HmacSha1 => ffi::EVP_sha1(),
            Prf::HmacSha224 => ffi::EVP_sha224(),
            Prf::HmacSha256 => ffi::EVP_sha256(),
            Prf::HmacSha384 => ffi::EVP_sha384(),
            Prf::HmacSha512 => ffi::EVP_sha512(),
        }
    }
}
