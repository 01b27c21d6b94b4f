//! Opens a package: base64 is decoded and decrypted in one pass.

use crate::crypto::aead::Decryptor;
use crate::crypto::rsa::PrivateKey;
use crate::package::{self, Fields, Number};
use crate::{Error, Result, arena, os, stack};
use base64_simd::{Out, STANDARD};
use std::mem::MaybeUninit;

/// How many characters of base64 are decoded and then decrypted at a time, so that both work in the cache.
const CHUNK_CHARS: usize = 32 * 1024;

/// A package whose outer shape was checked. It borrows from the package.
pub struct Sealed<'a> {
    fields: Fields<'a>,
    context: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Checks the outer shape of a message of the protocol; [`Error::Package`] for every fault.
    pub fn parse(package: &'a [u8]) -> Result<Self> {
        let fields = package::parse(package)?;
        Ok(Self {
            fields,
            context: b"",
        })
    }

    /// Expects the package to be sealed in this context; otherwise it will not open.
    pub fn bound_to(self, context: &'a [u8]) -> Self {
        Self { context, ..self }
    }

    /// Seconds since 1970, as the sender claims: nothing authenticates it.
    pub fn processed_at(&self) -> Option<Number> {
        self.fields.processed_at
    }

    /// The size of the plaintext in bytes.
    pub fn plaintext_len(&self) -> usize {
        STANDARD
            .decoded_length(&self.fields.ciphertext)
            .unwrap_or(0)
    }

    /// Opens the package into the arena.
    ///
    /// [`Error::Package`] for every fault of the package, [`Error::Forked`] in a forked child, [`Error::Memory`] if
    /// there is no memory for the plaintext, [`Error::Unlocked`] if it must be locked and does not fit into locked
    /// memory.
    pub fn open(&self, key: &PrivateKey) -> Result<Vec<u8>> {
        stack::check_room()?;
        let len = self.plaintext_len();
        let mut plaintext = Vec::new();
        plaintext
            .try_reserve_exact(len)
            .map_err(|_| Error::Memory("no memory for the plaintext of a package"))?;
        arena::check_required()?;
        let room = &mut plaintext.spare_capacity_mut()[..len];
        stack::scrubbed(|| self.decrypt(self.decryptor(key)?, room))?;
        // SAFETY: `decrypt` wrote all of the room.
        unsafe { plaintext.set_len(len) };
        Ok(plaintext)
    }

    /// Opens the package into `room`, which has [`Self::plaintext_len`] bytes. The errors are the same, and wipe
    /// `room`.
    ///
    /// # Panics
    /// If `room` has another length.
    pub fn open_into(&self, key: &PrivateKey, room: &mut [u8]) -> Result<()> {
        assert_eq!(room.len(), self.plaintext_len());
        stack::check_room()?;
        let bytes: *mut [u8] = room;
        // SAFETY: these are the same bytes, and `decrypt` writes only initialised ones.
        let uninit = unsafe { &mut *(bytes as *mut [MaybeUninit<u8>]) };
        let opened = stack::scrubbed(|| self.decrypt(self.decryptor(key)?, uninit));
        if opened.is_err() {
            // SAFETY: the room is borrowed from the caller.
            unsafe { os::wipe(room.as_mut_ptr(), room.len()) };
        }
        opened
    }

    fn decryptor(&self, key: &PrivateKey) -> Result<Decryptor> {
        let modulus_len = key.public_key().modulus_len();
        if STANDARD.decoded_length(&self.fields.wrapped_key).ok() != Some(modulus_len) {
            return Err(Error::Package);
        }
        let mut wrapped = vec![0; modulus_len];
        STANDARD
            .decode(&self.fields.wrapped_key, Out::from_slice(&mut wrapped))
            .map_err(|_| Error::Package)?;
        let aes_key = key.unwrap(&wrapped)?;
        let mut decryptor = Decryptor::new(&aes_key, &self.fields.nonce)?;
        decryptor.authenticate(self.context)?;
        Ok(decryptor)
    }

    /// Decodes and decrypts into the room, which has as many bytes as the plaintext, and checks the tag.
    fn decrypt(&self, mut decryptor: Decryptor, mut room: &mut [MaybeUninit<u8>]) -> Result<()> {
        for chars in self.fields.ciphertext.chunks(CHUNK_CHARS) {
            let out = Out::from_uninit_slice(&mut *room);
            let bytes = STANDARD.decode(chars, out).map_err(|_| Error::Package)?;
            decryptor.decrypt_in_place(bytes)?;
            let decoded = bytes.len();
            room = &mut room[decoded..];
        }
        decryptor.finish(&self.fields.tag)
    }
}
