//! Seals a package as a stream: it takes plaintext piece by piece and writes base64 of the ciphertext.

use super::padme::padded_len;
use super::storage::Package;
use crate::crypto::aead::{Encryptor, Key, NONCE_BYTES};
use crate::crypto::random;
use crate::crypto::rsa::PublicKey;
use crate::{Error, Result, arena, package, stack};
use base64_simd::{Out, STANDARD};

/// The size of the window that plaintext goes through.
pub const WINDOW_BYTES: usize = 32 * 1024;
/// The most room that a caller may ask of [`Sealer::window`].
pub const MAX_WINDOW_REQUEST_BYTES: usize = 4096;

/// An upper bound of what a package has besides its ciphertext: names, nonce, tag, and the largest wrapped key.
const FIXED_BYTES: usize = 2048;
const TOO_LARGE: Error = Error::Value("the plaintext is larger than the limit");

/// Seals one package. No more of its plaintext than the window is in memory at a time.
///
/// After an error it cannot be used any more.
pub struct Sealer {
    encryptor: Encryptor,
    key: Key,
    nonce: [u8; NONCE_BYTES],
    window: Box<[u8]>,
    /// Bytes of the window in use: first the left-over ciphertext, then plaintext.
    filled: usize,
    /// Bytes of ciphertext that are too few for a group of base64: at most two.
    left_over: usize,
    /// Bytes of plaintext so far.
    written: usize,
    limit: usize,
    package: Package,
    _scrub: ScrubWhenDropped,
}

impl Sealer {
    /// Begins a package of at most `limit_bytes` of plaintext, with a fresh key and nonce.
    ///
    /// [`Error::Unlocked`] if locked memory is required and there is not enough of it for the window.
    pub fn new(limit_bytes: usize) -> Result<Self> {
        Self::bound_to(b"", limit_bytes)
    }

    /// The same, for a package that opens in this context only: see [`Sealed::bound_to`](super::Sealed::bound_to).
    pub fn bound_to(context: &[u8], limit_bytes: usize) -> Result<Self> {
        let key = Key::random()?;
        let mut nonce = [0; NONCE_BYTES];
        random::fill(&mut nonce)?;
        let capacity = limit_bytes
            .div_ceil(3)
            .saturating_mul(4)
            .saturating_add(FIXED_BYTES);
        let mut package = Package::with_capacity(capacity)?;
        package.push(b"{\"version\": \"")?;
        package.push(package::VERSION.as_bytes())?;
        package.push(b"\", \"algorithm\": \"")?;
        package.push(package::ALGORITHM.as_bytes())?;
        package.push(b"\", \"encrypted_payload\": {\"ciphertext\": \"")?;
        let mut encryptor = Encryptor::new(&key, &nonce)?;
        encryptor.authenticate(context)?;
        let window = vec![0; WINDOW_BYTES].into_boxed_slice();
        arena::check_required()?;
        Ok(Self {
            encryptor,
            key,
            nonce,
            window,
            filled: 0,
            left_over: 0,
            written: 0,
            limit: limit_bytes,
            package,
            _scrub: ScrubWhenDropped,
        })
    }

    /// Adds plaintext; [`Error::Value`] beyond the limit.
    pub fn write(&mut self, plaintext: &[u8]) -> Result<()> {
        self.count(plaintext.len())?;
        let mut rest = plaintext;
        while !rest.is_empty() {
            if self.filled == WINDOW_BYTES {
                self.flush()?;
            }
            let room = &mut self.window[self.filled..];
            let (now, later) = rest.split_at(rest.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.filled += now.len();
            rest = later;
        }
        Ok(())
    }

    /// Returns room for at least `at_least` bytes of plaintext, which may be up to [`MAX_WINDOW_REQUEST_BYTES`]. The
    /// caller fills a part of it and calls [`Self::advance`].
    pub fn window(&mut self, at_least: usize) -> Result<&mut [u8]> {
        if at_least > MAX_WINDOW_REQUEST_BYTES {
            return Err(Error::Value("the window gives at most 4096 bytes at once"));
        }
        if WINDOW_BYTES - self.filled < at_least {
            self.flush()?;
        }
        Ok(&mut self.window[self.filled..])
    }

    /// Takes the first `n` bytes of the window as plaintext; [`Error::Value`] beyond the limit.
    pub fn advance(&mut self, n: usize) -> Result<()> {
        if n > WINDOW_BYTES - self.filled {
            return Err(Error::Value("more bytes than the window has"));
        }
        self.count(n)?;
        self.filled += n;
        Ok(())
    }

    /// How many bytes of plaintext were written so far.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Adds spaces up to the next size of the Padmé scheme, or up to the limit if that is less: see [`padded_len`].
    ///
    /// For JSON text only, whose readers all accept spaces behind it (RFC 8259, section 2).
    pub fn pad_with_spaces(&mut self) -> Result<()> {
        let mut missing = padded_len(self.written).min(self.limit) - self.written;
        while missing > 0 {
            let room = self.window(1)?;
            let now = missing.min(room.len());
            room[..now].fill(b' ');
            self.advance(now)?;
            missing -= now;
        }
        Ok(())
    }

    /// Ends the package: wraps its AES key for `key`, and adds `processed_at` if it is given.
    pub fn finish(mut self, key: &PublicKey, processed_at: Option<i64>) -> Result<Package> {
        stack::check_room()?;
        self.flush()?;
        let mut package = self.package;
        push_base64(&mut package, &self.window[..self.left_over])?;
        package.push(b"\", \"nonce\": \"")?;
        push_base64(&mut package, &self.nonce)?;
        package.push(b"\", \"tag\": \"")?;
        push_base64(&mut package, &self.encryptor.finish()?)?;
        package.push(b"\"}, \"encrypted_aes_key\": \"")?;
        let mut wrapped = vec![0; key.modulus_len()];
        key.wrap(self.key.as_bytes(), &mut wrapped)?;
        push_base64(&mut package, &wrapped)?;
        package.push(b"\", \"key_algorithm\": \"")?;
        package.push(package::KEY_ALGORITHM.as_bytes())?;
        package.push(b"\", \"payload_algorithm\": \"")?;
        package.push(package::PAYLOAD_ALGORITHM.as_bytes())?;
        package.push(b"\"")?;
        if let Some(seconds) = processed_at {
            package.push(b", \"processed_at\": ")?;
            package.push(seconds.to_string().as_bytes())?;
        }
        package.push(b"}")?;
        Ok(package)
    }

    /// Encrypts the window in place and writes it as base64, in whole groups of three bytes.
    fn flush(&mut self) -> Result<()> {
        self.encryptor
            .encrypt_in_place(&mut self.window[self.left_over..self.filled])?;
        let whole = self.filled / 3 * 3;
        push_base64(&mut self.package, &self.window[..whole])?;
        self.window.copy_within(whole..self.filled, 0);
        self.left_over = self.filled - whole;
        self.filled = self.left_over;
        Ok(())
    }

    fn count(&mut self, n: usize) -> Result<()> {
        if n > self.limit - self.written {
            return Err(TOO_LARGE);
        }
        self.written += n;
        Ok(())
    }
}

/// Scrubs the stack after the cipher's work, whether the package was finished or abandoned.
struct ScrubWhenDropped;

impl Drop for ScrubWhenDropped {
    fn drop(&mut self) {
        stack::scrub();
    }
}

fn push_base64(package: &mut Package, bytes: &[u8]) -> Result<()> {
    let chars = STANDARD.encoded_length(bytes.len());
    let room = package.spare(chars)?;
    let _ = STANDARD.encode(bytes, Out::from_slice(&mut room[..chars]));
    package.advance(chars);
    Ok(())
}
