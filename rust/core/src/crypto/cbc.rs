//! AES-CBC with PKCS#7 padding (RFC 8018, section 6.2), for key files alone.
//!
//! It does not authenticate: a wrong key shows in the padding, or in what was decrypted. An attacker cannot use this as
//! an oracle: to try a file many times, they must already have the file.

use crate::crypto::cipher::{CipherContext, Finish, Init, Update, succeeded};
use crate::crypto::gate;
use crate::{Error, Result};
use aws_lc_sys as ffi;
use std::ptr::null_mut;

/// Bytes of a block, and of an initialisation vector.
pub(crate) const BLOCK_BYTES: usize = 16;

/// Encrypts under a key of 16, 24 or 32 bytes.
pub(crate) fn encrypt(key: &[u8], iv: &[u8; BLOCK_BYTES], plain: &[u8]) -> Result<Vec<u8>> {
    let encryption = Cipher {
        init: ffi::EVP_EncryptInit_ex,
        update: ffi::EVP_EncryptUpdate,
        finish: ffi::EVP_EncryptFinal_ex,
    };
    encryption.run(key, iv, plain)
}

/// Decrypts; [`Error::Crypto`] if the padding is wrong.
pub(crate) fn decrypt(key: &[u8], iv: &[u8; BLOCK_BYTES], encrypted: &[u8]) -> Result<Vec<u8>> {
    let decryption = Cipher {
        init: ffi::EVP_DecryptInit_ex,
        update: ffi::EVP_DecryptUpdate,
        finish: ffi::EVP_DecryptFinal_ex,
    };
    decryption.run(key, iv, encrypted)
}

/// The three functions of one direction.
struct Cipher {
    init: Init,
    update: Update,
    finish: Finish,
}

impl Cipher {
    /// Runs behind the gate, since AWS-LC's error queue takes a lock.
    fn run(&self, key: &[u8], iv: &[u8; BLOCK_BYTES], input: &[u8]) -> Result<Vec<u8>> {
        gate::within(|| self.run_inside(key, iv, input))
    }

    fn run_inside(&self, key: &[u8], iv: &[u8; BLOCK_BYTES], input: &[u8]) -> Result<Vec<u8>> {
        let cipher = cipher_for(key)?;
        let input_len = i32::try_from(input.len()).map_err(|_| Error::Crypto)?;
        let context = CipherContext::new()?;
        let at = context.as_ptr();
        // Padding adds a block at most; AWS-LC writes no further than that.
        let mut output = vec![0; input.len() + 2 * BLOCK_BYTES];
        let (mut first, mut last) = (0, 0);
        // SAFETY: the context is live, key and iv have the sizes that the cipher reads, and the output has room for the
        // input and two blocks.
        let done = unsafe {
            (self.init)(at, cipher, null_mut(), key.as_ptr(), iv.as_ptr()) == 1
                && (self.update)(
                    at,
                    output.as_mut_ptr(),
                    &mut first,
                    input.as_ptr(),
                    input_len,
                ) == 1
                && (self.finish)(at, output.as_mut_ptr().add(first as usize), &mut last) == 1
        };
        succeeded(done.into())?;
        output.truncate(first as usize + last as usize);
        Ok(output)
    }
}

fn cipher_for(key: &[u8]) -> Result<*const ffi::EVP_CIPHER> {
    crate::init();
    // SAFETY: each returns a pointer to a static.
    unsafe {
        match key.len() {
            16 => Ok(ffi::EVP_aes_128_cbc()),
            24 => Ok(ffi::EVP_aes_192_cbc()),
            32 => Ok(ffi::EVP_aes_256_cbc()),
            _ => Err(Error::Crypto),
        }
    }
}
