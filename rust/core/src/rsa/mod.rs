//! RSA keys and RSA-OAEP with SHA-256 for both the hash and MGF1, empty label (RFC 8017, section 7.1).
//!
//! Rules:
//! - Accepted are moduli of 2048 to 8192 bits with an odd exponent of 65537 or more (AWS-LC refuses
//!   exponents beyond 33 bits), two primes, in strict DER. Made are 2048 and 4096 bits.
//! - All numbers of a private key lie in the arena, in the share that is reserved for keys; every
//!   operation with them is constant time and blinded, checked against faults (AWS-LC verifies each
//!   CRT result), and followed by a scrub of the stack.
//! - [`PrivateKey::unwrap`] never tells whether the padding was right: it goes on with a random key,
//!   and what was sealed wrongly fails at its GCM tag, like any other alteration.
//! - A private key is of no use in a forked child, whose pages are not locked: [`Error::Forked`].

mod pkey;
#[cfg(test)]
mod wycheproof_tests;

use crate::{Error, Result, aead, arena, pem, stack};
use aws_lc_sys as ffi;
use pkcs8::der::Decode;
use pkey::Pkey;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Fewest bits of an acceptable modulus.
pub const MIN_BITS: u32 = 2048;
/// Most bits of an acceptable modulus.
pub const MAX_BITS: u32 = 8192;
/// Smallest acceptable public exponent.
pub const MIN_EXPONENT: u64 = 65_537;
/// Most bytes of a public key's PEM that are looked at.
pub const MAX_PUBLIC_PEM_BYTES: usize = 16 * 1024;

const RSA_ENCRYPTION: pkcs8::ObjectIdentifier =
    pkcs8::ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The RSA public key of a peer. Cheap to clone.
#[derive(Clone)]
pub struct PublicKey(Arc<PublicParts>);

struct PublicParts {
    pkey: Pkey,
    der: Vec<u8>,
    bits: u32,
}

impl PublicKey {
    /// Reads a `PUBLIC KEY` PEM: one block of at most 16 KiB, with nothing but white space around it.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        if text.len() > MAX_PUBLIC_PEM_BYTES {
            return Err(Error::Key("expected a public key of at most 16 KiB"));
        }
        let block = pem::armor::decode(text)?;
        if block.label != b"PUBLIC KEY" {
            return Err(Error::Key(
                "expected a PEM block labelled PUBLIC KEY (SPKI)",
            ));
        }
        Self::from_der(&block.der)
    }

    /// Reads a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in DER.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let pkey =
            Pkey::parse_public(der).ok_or(Error::Key("expected an RSA public key as SPKI"))?;
        let bits = acceptable_bits(&pkey)?;
        let canonical = pkey.public_der()?;
        // The fingerprint covers the DER, so a key has one DER form only.
        if canonical != der {
            return Err(Error::Key("expected an RSA public key in canonical DER"));
        }
        Ok(Self(Arc::new(PublicParts {
            pkey,
            der: canonical,
            bits,
        })))
    }

    /// SPKI PEM, as `openssl pkey -pubout` writes it.
    pub fn pem(&self) -> String {
        let text = pem::armor::encode("PUBLIC KEY", &self.0.der);
        String::from_utf8(text).unwrap_or_default()
    }

    /// SubjectPublicKeyInfo in DER.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// Bits of the modulus.
    pub fn bits(&self) -> u32 {
        self.0.bits
    }

    /// Bytes of the modulus, and so of a wrapped key.
    pub fn modulus_len(&self) -> usize {
        self.0.bits.div_ceil(8) as usize
    }

    /// `SHA256:` and the unpadded base64 of SHA-256 over the SPKI DER.
    pub fn fingerprint(&self) -> String {
        crate::init();
        let mut digest = [0; 32];
        // SAFETY: reads the slice, writes 32 bytes.
        unsafe { ffi::SHA256(self.0.der.as_ptr(), self.0.der.len(), digest.as_mut_ptr()) };
        let mut text = String::from("SHA256:");
        base64_simd::STANDARD_NO_PAD.encode_append(digest, &mut text);
        text
    }

    /// Wraps an AES key for this key's owner into `out`, which has [`Self::modulus_len`] bytes.
    pub fn wrap(&self, aes_key: &[u8; aead::KEY_BYTES], out: &mut [u8]) -> Result<()> {
        if out.len() != self.modulus_len() {
            return Err(Error::Value("a wrapped key is as long as the modulus"));
        }
        // The encoded message holds the key until it is encrypted.
        stack::scrubbed(|| self.0.pkey.oaep_encrypt(aes_key, out))
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for PublicKey {}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.der.hash(state);
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// An RSA key pair whose private half exists in the arena only; wiped when dropped.
pub struct PrivateKey {
    pkey: Pkey,
    public: PublicKey,
    /// The process that it belongs to.
    generation: u64,
}

impl PrivateKey {
    /// Draws a new pair of 2048 or 4096 bits, exponent 65537, tested as FIPS 186-5 asks.
    pub fn generate(bits: u32) -> Result<Self> {
        if bits != 2048 && bits != 4096 {
            return Err(Error::Value("a key pair has 2048 or 4096 bits"));
        }
        with_key_memory(|| Self::from_pkey(Pkey::generate(bits)?))
    }

    /// Reads an unencrypted PKCS#8 structure (RFC 5958) in DER.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self> {
        with_key_memory(|| {
            let info = pkcs8::PrivateKeyInfoRef::from_der(der)
                .map_err(|_| Error::Key("expected a private key as PKCS#8"))?;
            if info.algorithm.oid != RSA_ENCRYPTION {
                return Err(Error::Key("expected an RSA private key"));
            }
            let pkey = Pkey::parse_private(der)
                .ok_or(Error::Key("the RSA private key is damaged or inconsistent"))?;
            acceptable_bits(&pkey)?;
            if !pkey.has_primes() {
                return Err(Error::Key(
                    "expected an RSA private key with its two primes",
                ));
            }
            Self::from_pkey(pkey)
        })
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Bits of the modulus.
    pub fn bits(&self) -> u32 {
        self.public.bits()
    }

    /// Unencrypted PKCS#8 in DER, in the arena.
    pub fn pkcs8_der(&self) -> Result<Vec<u8>> {
        self.check_process()?;
        with_key_memory(|| self.pkey.private_der())
    }

    /// Unwraps an AES key that [`PublicKey::wrap`] wrapped.
    ///
    /// Where it was not wrapped for this key, or is not 32 bytes long, the result is a random key:
    /// one error and one timing for all, at the tag of what the key should open. `Error::Package`
    /// only where `wrapped` does not have the modulus's length, which anyone can see.
    pub fn unwrap(&self, wrapped: &[u8]) -> Result<aead::Key> {
        self.check_process()?;
        if wrapped.len() != self.public.modulus_len() {
            return Err(Error::Package);
        }
        with_key_memory(|| self.unwrap_or_random(wrapped))
    }

    fn unwrap_or_random(&self, wrapped: &[u8]) -> Result<aead::Key> {
        let mut message = vec![0; self.public.modulus_len()];
        let mut key = aead::Key::random()?;
        let (answer, len) = self.pkey.oaep_decrypt(wrapped, &mut message)?;
        let keep = mask_if_zero((answer ^ 1) as usize | (len ^ aead::KEY_BYTES));
        for (byte, unwrapped) in key.as_bytes_mut().iter_mut().zip(&message) {
            *byte ^= keep & (*byte ^ unwrapped);
        }
        Ok(key)
    }

    fn from_pkey(pkey: Pkey) -> Result<Self> {
        let public = PublicKey::from_der(&pkey.public_der()?)?;
        Ok(Self {
            pkey,
            public,
            generation: arena::fork_generation(),
        })
    }

    fn check_process(&self) -> Result<()> {
        if self.generation == arena::fork_generation() {
            Ok(())
        } else {
            Err(Error::Forked)
        }
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({})", self.public.fingerprint())
    }
}

/// 0xff where `value` is zero, otherwise 0, without a branch.
fn mask_if_zero(value: usize) -> u8 {
    let value = std::hint::black_box(value);
    let nonzero = ((value | value.wrapping_neg()) >> (usize::BITS - 1)) as u8;
    std::hint::black_box(nonzero.wrapping_sub(1))
}

fn acceptable_bits(pkey: &Pkey) -> Result<u32> {
    let bits = pkey.bits();
    if !(MIN_BITS..=MAX_BITS).contains(&bits) {
        return Err(Error::Key("expected an RSA key of 2048 to 8192 bits"));
    }
    match pkey.exponent() {
        Some(exponent) if exponent >= MIN_EXPONENT && exponent % 2 == 1 => Ok(bits),
        _ => Err(Error::Key(
            "expected an RSA key with an odd exponent of 65537 or more",
        )),
    }
}

/// Runs `f` with its allocations in the keys' share of the arena, and scrubs the stack behind it.
pub(crate) fn with_key_memory<T>(f: impl FnOnce() -> T) -> T {
    crate::init();
    stack::scrubbed(|| arena::with_keys(f))
}
