//! The outer JSON object of an encrypted package, read strictly (RFC 8259).
//!
//! Rules:
//! - The text is exactly one object, with nothing after it. Fields may have any order, and white space and escapes are
//!   those of JSON. A repeated name is refused in the object and in `encrypted_payload`, known or not; an unknown name
//!   is skipped. Nesting and the number of names are bounded.
//! - `version` and the three algorithm names must be present and exact. `processed_at` may be missing.
//! - Base64 must be standard, padded and canonical (RFC 4648, section 3.5). It is checked here to the last character,
//!   so after this module a package can fail in one place only: at its tag.
//! - Nothing here is secret, so nothing is constant time. Nothing is copied except a long text with escapes, whose
//!   escapes are resolved into pages outside the arena.

mod scanner;
mod text;

use crate::crypto::aead::{NONCE_BYTES, TAG_BYTES};
use crate::{Error, Result, stack};
use base64_simd::{Out, STANDARD};
use scanner::Scanner;
pub use scanner::{MAX_DEPTH, MAX_NAMES, Number};
pub use text::Text;

/// The version of the protocol.
pub const VERSION: &str = "1.0";
/// The algorithm's name, for every size of the RSA key.
pub const ALGORITHM: &str = "hybrid-aes256-rsa4096";
/// How the AES key is wrapped.
pub const KEY_ALGORITHM: &str = "RSA-OAEP-SHA256";
/// How the payload is sealed.
pub const PAYLOAD_ALGORITHM: &str = "AES-256-GCM";

/// The fields of a package. The base64 texts are valid.
pub struct Fields<'a> {
    /// Base64 of the ciphertext.
    pub ciphertext: Text<'a>,
    /// Base64 of the wrapped AES key.
    pub wrapped_key: Text<'a>,
    /// The nonce.
    pub nonce: [u8; NONCE_BYTES],
    /// The tag.
    pub tag: [u8; TAG_BYTES],
    /// Seconds since 1970, as the sender claims: nothing authenticates it.
    pub processed_at: Option<Number>,
}

/// Reads a package; [`Error::Package`] for every fault, [`Error::Stack`] if the thread's stack is too small.
pub fn parse(package: &[u8]) -> Result<Fields<'_>> {
    stack::check_room()?;
    let mut outer = Outer::default();
    let mut scanner = Scanner::new(package);
    scanner.object(|scanner, name| outer.read(scanner, name))?;
    scanner.end()?;
    outer.finish()
}

#[derive(Default)]
struct Outer<'a> {
    version: bool,
    algorithm: bool,
    key_algorithm: bool,
    payload_algorithm: bool,
    payload: Option<Payload<'a>>,
    wrapped_key: Option<Text<'a>>,
    processed_at: Option<Number>,
}

impl<'a> Outer<'a> {
    fn read(&mut self, scanner: &mut Scanner<'a>, name: &[u8]) -> Result<()> {
        match name {
            b"version" => self.version = scanner.exactly(VERSION)?,
            b"algorithm" => self.algorithm = scanner.exactly(ALGORITHM)?,
            b"encrypted_payload" => self.payload = Some(Payload::read(scanner)?),
            b"encrypted_aes_key" => self.wrapped_key = Some(base64_text(scanner)?),
            b"key_algorithm" => self.key_algorithm = scanner.exactly(KEY_ALGORITHM)?,
            b"payload_algorithm" => self.payload_algorithm = scanner.exactly(PAYLOAD_ALGORITHM)?,
            b"processed_at" => self.processed_at = scanner.number_or_null()?,
            _ => scanner.skip_value()?,
        }
        Ok(())
    }

    fn finish(self) -> Result<Fields<'a>> {
        let named = self.version && self.algorithm && self.key_algorithm && self.payload_algorithm;
        if !named {
            return Err(Error::Package);
        }
        let payload = self.payload.ok_or(Error::Package)?;
        Ok(Fields {
            ciphertext: payload.ciphertext.ok_or(Error::Package)?,
            wrapped_key: self.wrapped_key.ok_or(Error::Package)?,
            nonce: payload.nonce.ok_or(Error::Package)?,
            tag: payload.tag.ok_or(Error::Package)?,
            processed_at: self.processed_at,
        })
    }
}

#[derive(Default)]
struct Payload<'a> {
    ciphertext: Option<Text<'a>>,
    nonce: Option<[u8; NONCE_BYTES]>,
    tag: Option<[u8; TAG_BYTES]>,
}

impl<'a> Payload<'a> {
    fn read(scanner: &mut Scanner<'a>) -> Result<Self> {
        let mut payload = Self::default();
        scanner.object(|scanner, name| {
            match name {
                b"ciphertext" => payload.ciphertext = Some(base64_text(scanner)?),
                b"nonce" => payload.nonce = Some(base64_array(scanner)?),
                b"tag" => payload.tag = Some(base64_array(scanner)?),
                _ => scanner.skip_value()?,
            }
            Ok(())
        })?;
        Ok(payload)
    }
}

fn base64_text<'a>(scanner: &mut Scanner<'a>) -> Result<Text<'a>> {
    let text = scanner.string()?.text()?;
    STANDARD.check(&text).map_err(|_| Error::Package)?;
    Ok(text)
}

fn base64_array<const N: usize>(scanner: &mut Scanner<'_>) -> Result<[u8; N]> {
    let text = base64_text(scanner)?;
    let mut bytes = [0; N];
    if STANDARD.decoded_length(&text).ok() != Some(N) {
        return Err(Error::Package);
    }
    STANDARD
        .decode(&text, Out::from_slice(&mut bytes))
        .map_err(|_| Error::Package)?;
    Ok(bytes)
}
