//! AES-256-GCM with a 96-bit nonce and a 128-bit tag (NIST SP 800-38D), chunk by chunk.
//!
//! Rules:
//! - The key lives in one heap slot of the arena and is never copied to the stack by this module.
//! - `EVP_CIPHER_CTX` holds the cipher's state (key schedule, GHASH table). It is allocated on the heap, so the arena
//!   wipes it. `EVP_AEAD_CTX` is not used: it lies wherever its owner does, and keeps the key after its cleanup.
//! - The caller draws a fresh nonce for every key. Both directions work in place.
//! - Plaintext from [`Decryptor::decrypt_in_place`] is unverified until [`Decryptor::finish`] returns `Ok`.

use crate::crypto::cipher::{CipherContext, Init, Update, succeeded};
use crate::crypto::{gate, random};
use crate::{Error, Result};
use aws_lc_sys as ffi;
use std::ptr::null_mut;

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

    /// Copies a key from `bytes`; [`Error::Value`] unless there are 32.
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
pub struct Encryptor(Message);

impl Encryptor {
    /// Begins a message. The pair of `key` and `nonce` must never have been used before.
    pub fn new(key: &Key, nonce: &[u8; NONCE_BYTES]) -> Result<Self> {
        Message::begin(key, nonce, ffi::EVP_EncryptInit_ex).map(Self)
    }

    /// Binds the message to associated data, which is not sent with it. Call it before the first byte is encrypted.
    pub fn authenticate(&mut self, data: &[u8]) -> Result<()> {
        self.0.associate(data, ffi::EVP_EncryptUpdate)
    }

    /// Overwrites the next bytes of plaintext with their ciphertext.
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
pub struct Decryptor(Message);

impl Decryptor {
    /// Begins a message.
    pub fn new(key: &Key, nonce: &[u8; NONCE_BYTES]) -> Result<Self> {
        Message::begin(key, nonce, ffi::EVP_DecryptInit_ex).map(Self)
    }

    /// Expects the message to be bound to this associated data. Call it before the first byte is decrypted.
    pub fn authenticate(&mut self, data: &[u8]) -> Result<()> {
        self.0.associate(data, ffi::EVP_DecryptUpdate)
    }

    /// Overwrites the next bytes of ciphertext with their plaintext, which is not verified yet.
    pub fn decrypt_in_place(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.0.update_in_place(bytes, ffi::EVP_DecryptUpdate)
    }

    /// Compares the tag in constant time; [`Error::Package`] if it differs.
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

/// A message under way, in either direction.
struct Message(CipherContext);

impl Message {
    fn begin(key: &Key, nonce: &[u8; NONCE_BYTES], init: Init) -> Result<Self> {
        let message = Self(CipherContext::new()?);
        // SAFETY: the context is live; key and nonce have the sizes that AES-256-GCM reads (32, and 12 by default).
        let done = unsafe {
            init(
                message.0.as_ptr(),
                ffi::EVP_aes_256_gcm(),
                null_mut(),
                key.0.as_ptr(),
                nonce.as_ptr(),
            )
        };
        succeeded(done).map(|()| message)
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
