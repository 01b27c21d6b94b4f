//! AES-256-GCM with a 96-bit nonce and a 128-bit tag (NIST SP 800-38D), chunk by chunk.
//!
//! Rules:
//! - The key lives in one heap slot of the arena and is never copied to the stack by this module.
//! - The cipher's state (key schedule, GHASH table) is `EVP_CIPHER_CTX`'s, allocated and freed on the heap and so wiped
//!   by the arena. AWS-LC's `EVP_AEAD_CTX` is not used: placed inline, it keeps the key after its cleanup.
//! - A nonce is drawn by the caller, once for every key. Both directions work in place.
//! - Plaintext from [`Decryptor::decrypt_in_place`] is unverified until [`Decryptor::finish`] returns `Ok`.

use crate::{Error, Result, gate, random};
use aws_lc_sys as ffi;
use std::ptr::{NonNull, null_mut};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 12;
/// Bytes of a tag.
pub const TAG_BYTES: usize = 16;

/// An AES-256 key in the arena; wiped when dropped. Has neither `Debug` nor `Clone`.
pub struct Key(Box<[u8; KEY_BYTES]>);

impl Key {
    /// Draws a fresh key, straight into the arena.
    pub fn random() -> Result<Self> {
        let mut key = Self(Box::new([0; KEY_BYTES]));
        random::fill(&mut key.0[..])?;
        Ok(key)
    }

    /// Copies a key out of `bytes`; `Error::Value` unless there are 32.
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        let mut key = Self(Box::new([0; KEY_BYTES]));
        if bytes.len() != KEY_BYTES {
            return Err(Error::Value("an AES-256 key has 32 bytes"));
        }
        key.0.copy_from_slice(bytes);
        Ok(key)
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    pub(crate) fn as_bytes_mut(&mut self) -> &mut [u8; KEY_BYTES] {
        &mut self.0
    }
}

/// Encrypts one message.
pub struct Encryptor(Context);

impl Encryptor {
    /// Begins a message. The pair of `key` and `nonce` must never have been used before.
    pub fn new(key: &Key, nonce: &[u8; NONCE_BYTES]) -> Result<Self> {
        let context = Context::new()?;
        // SAFETY: the context is live; key and nonce have the sizes that AES-256-GCM reads (32, and 12 by default).
        let done = unsafe {
            ffi::EVP_EncryptInit_ex(
                context.0.as_ptr(),
                ffi::EVP_aes_256_gcm(),
                null_mut(),
                key.0.as_ptr(),
                nonce.as_ptr(),
            )
        };
        succeeded(done).map(|()| Self(context))
    }

    /// Binds the message to associated data, which is not part of it; before its first byte.
    pub fn authenticate(&mut self, data: &[u8]) -> Result<()> {
        self.0.associate(data, ffi::EVP_EncryptUpdate)
    }

    /// Replaces the next bytes of plaintext by ciphertext.
    pub fn encrypt_in_place(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.0.update_in_place(bytes, ffi::EVP_EncryptUpdate)
    }

    /// Ends the message and returns its tag.
    pub fn finish(self) -> Result<[u8; TAG_BYTES]> {
        let mut tag = [0; TAG_BYTES];
        let mut written = 0;
        // SAFETY: the context is live; GCM writes no byte at the end; the tag's buffer has the size that is named.
        unsafe {
            succeeded(ffi::EVP_EncryptFinal_ex(
                self.0.0.as_ptr(),
                tag.as_mut_ptr(),
                &mut written,
            ))?;
            succeeded(ffi::EVP_CIPHER_CTX_ctrl(
                self.0.0.as_ptr(),
                ffi::EVP_CTRL_AEAD_GET_TAG,
                TAG_BYTES as i32,
                tag.as_mut_ptr().cast(),
            ))?;
        }
        Ok(tag)
    }
}

/// Decrypts one message.
pub struct Decryptor(Context);

impl Decryptor {
    /// Begins a message.
    pub fn new(key: &Key, nonce: &[u8; NONCE_BYTES]) -> Result<Self> {
        let context = Context::new()?;
        // SAFETY: as for the encryptor.
        let done = unsafe {
            ffi::EVP_DecryptInit_ex(
                context.0.as_ptr(),
                ffi::EVP_aes_256_gcm(),
                null_mut(),
                key.0.as_ptr(),
                nonce.as_ptr(),
            )
        };
        succeeded(done).map(|()| Self(context))
    }

    /// Expects the message to be bound to associated data; before its first byte.
    pub fn authenticate(&mut self, data: &[u8]) -> Result<()> {
        self.0.associate(data, ffi::EVP_DecryptUpdate)
    }

    /// Replaces the next bytes of ciphertext by plaintext that is not verified yet.
    pub fn decrypt_in_place(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.0.update_in_place(bytes, ffi::EVP_DecryptUpdate)
    }

    /// Compares the tag in constant time; `Error::Package` where it differs.
    pub fn finish(self, tag: &[u8; TAG_BYTES]) -> Result<()> {
        let mut expected = *tag;
        let mut nothing = [0_u8; TAG_BYTES];
        let mut written = 0;
        // SAFETY: the context is live; the tag's buffer has the size that is named and is only read (it is a copy
        // because the prototype takes a mutable pointer); GCM writes no byte at the end.
        let genuine = gate::within(|| unsafe {
            succeeded(ffi::EVP_CIPHER_CTX_ctrl(
                self.0.0.as_ptr(),
                ffi::EVP_CTRL_AEAD_SET_TAG,
                TAG_BYTES as i32,
                expected.as_mut_ptr().cast(),
            ))?;
            Ok(ffi::EVP_DecryptFinal_ex(
                self.0.0.as_ptr(),
                nothing.as_mut_ptr(),
                &mut written,
            ))
        })?;
        succeeded(genuine).map_err(|_| Error::Package)
    }
}

/// An owned `EVP_CIPHER_CTX`.
struct Context(NonNull<ffi::EVP_CIPHER_CTX>);

// SAFETY: the context is owned and holds no thread's state.
unsafe impl Send for Context {}
// SAFETY: nothing can be done with a shared reference.
unsafe impl Sync for Context {}

type Update =
    unsafe extern "C" fn(*mut ffi::EVP_CIPHER_CTX, *mut u8, *mut i32, *const u8, i32) -> i32;

impl Context {
    fn new() -> Result<Self> {
        crate::init();
        // SAFETY: takes no argument; null means that memory ran out.
        NonNull::new(unsafe { ffi::EVP_CIPHER_CTX_new() })
            .map(Self)
            .ok_or(Error::Memory("no memory for a cipher"))
    }

    fn associate(&mut self, data: &[u8], update: Update) -> Result<()> {
        let len = i32::try_from(data.len())
            .map_err(|_| Error::Value("associated data has less than 2 GiB"))?;
        let mut read = 0;
        // SAFETY: the context is live; without an output, GCM takes the input, which has the length that is named, as
        // associated data (EVP_EncryptInit(3), "AEAD INTERFACE").
        let done = unsafe { update(self.0.as_ptr(), null_mut(), &mut read, data.as_ptr(), len) };
        succeeded(done)
    }

    fn update_in_place(&mut self, bytes: &mut [u8], update: Update) -> Result<()> {
        /// AWS-LC counts in `int`; a multiple of the block keeps its fast path.
        const MOST: usize = 1 << 30;
        for part in bytes.chunks_mut(MOST) {
            let mut written = 0;
            let at = part.as_mut_ptr();
            // SAFETY: the context is live; in and out are the same valid range, which GCM permits when they coincide.
            let done = unsafe {
                update(
                    self.0.as_ptr(),
                    at,
                    &mut written,
                    at.cast_const(),
                    part.len() as i32,
                )
            };
            succeeded(done)?;
            if written as usize != part.len() {
                return Err(Error::Crypto);
            }
        }
        Ok(())
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is live and not used again.
        unsafe { ffi::EVP_CIPHER_CTX_free(self.0.as_ptr()) };
    }
}

/// AWS-LC answers 1 for success; what it then has in its error queue is cleared, for nobody reads it.
fn succeeded(answer: i32) -> Result<()> {
    if answer == 1 {
        return Ok(());
    }
    // SAFETY: clears this thread's queue.
    gate::within(|| unsafe { ffi::ERR_clear_error() });
    Err(Error::Crypto)
}
