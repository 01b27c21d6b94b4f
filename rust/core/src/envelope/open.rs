//! Opening: base64 goes in, plaintext comes out, in place and in one pass.

use crate::aead::Decryptor;
use crate::package::{self, Fields, Number};
use crate::rsa::PrivateKey;
use crate::{Error, Result, arena, os, stack};
use base64_simd::{Out, STANDARD};
use std::mem::MaybeUninit;

/// Characters of base64 decoded and decrypted at once, so that both work in the cache.
const CHUNK_CHARS: usize = 32 * 1024;

/// A package whose outer shape was checked; borrows from the package.
pub struct Sealed<'a> {
    fields: Fields<'a>,
    context: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Checks the outer shape: [`Error::Package`] for whatever is wrong with it.
    pub fn parse(package: &'a [u8]) -> Result<Self> {
        let fields = package::parse(package)?;
        Ok(Self {
            fields,
            context: b"",
        })
    }

    /// Has the package open only where it was sealed for this context; without, where it was for none.
    pub fn bound_to(self, context: &'a [u8]) -> Self {
        Self { context, ..self }
    }

    /// Seconds since 1970, by the sender's unauthenticated word.
    pub fn processed_at(&self) -> Option<Number> {
        self.fields.processed_at
    }

    /// Bytes of plaintext that [`Self::open`] will need room for in the arena.
    pub fn plaintext_len(&self) -> usize {
        STANDARD
            .decoded_length(&self.fields.ciphertext)
            .unwrap_or(0)
    }

    /// Opens the package; the plaintext lies in the arena.
    ///
    /// [`Error::Package`] for every failure, [`Error::Forked`] in a forked child,
    /// [`Error::Memory`] where the plaintext does not fit, [`Error::Unlocked`] where locked memory is
    /// required and the plaintext does not fit into it.
    pub fn open(&self, key: &PrivateKey) -> Result<Vec<u8>> {
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

    /// Opens the package into `room`, which has [`Self::plaintext_len`] bytes. The same errors; `room` is
    /// then wiped.
    ///
    /// # Panics
    /// Where `room` has another length.
    pub fn open_into(&self, key: &PrivateKey, room: &mut [u8]) -> Result<()> {
        assert_eq!(room.len(), self.plaintext_len());
        let bytes: *mut [u8] = room;
        // SAFETY: the same bytes; `decrypt` writes initialised ones only.
        let uninit = unsafe { &mut *(bytes as *mut [MaybeUninit<u8>]) };
        let opened = stack::scrubbed(|| self.decrypt(self.decryptor(key)?, uninit));
        if opened.is_err() {
            // SAFETY: the room is the caller's, who lent it.
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

    /// Fills the room, which has as many bytes as the plaintext.
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
