//! RSA keys and RSA-OAEP with SHA-256 for both the hash and MGF1, empty label (RFC 8017, section 7.1).
//!
//! Rules:
//! - A key is accepted if its modulus has 2048 to 8192 bits and its exponent is odd and at least 65537 (AWS-LC refuses
//!   exponents beyond 33 bits), in strict DER; a private key also needs its two primes. New keys have 2048, 3072 or 4096
//!   bits.
//! - All numbers of a private key lie in the arena, in the share that is reserved for keys. Every operation with them
//!   is constant time, blinded, checked against faults (AWS-LC verifies each CRT result), and followed by a scrub of
//!   the stack.
//! - While no operation with a private key is under way, nothing can touch its numbers, if there is memory for pages of
//!   its own (`closed`).
//! - [`PrivateKey::unwrap`] never shows whether the padding was right: if not, it returns a random key, and opening
//!   fails at the GCM tag, as it does after any other alteration.
//! - In a forked child, whose pages are not locked, a private key cannot be used: [`Error::Forked`].

mod closed;
mod pkey;
#[cfg(test)]
mod wycheproof_tests;

use crate::crypto::aead;
use crate::{Error, Result, arena, armor, generation, stack};
use aws_lc_sys as ffi;
use closed::ClosedPkey;
use pkcs8::der::Decode;
use pkey::Pkey;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The fewest bits of an acceptable modulus.
pub const MIN_BITS: u32 = 2048;
/// The sizes of new keys: those for which AWS-LC generates as FIPS 186-5 demands.
const GENERATED_BITS: [u32; 3] = [2048, 3072, 4096];
/// The most bits of an acceptable modulus.
pub const MAX_BITS: u32 = 8192;
/// The smallest acceptable public exponent.
pub const MIN_EXPONENT: u64 = 65_537;
/// The largest PEM of a public key that is read.
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
    /// Reads a PEM with one block `PUBLIC KEY`, in at most 16 KiB of text.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        if text.len() > MAX_PUBLIC_PEM_BYTES {
            return Err(Error::Key("expected a public key of at most 16 KiB"));
        }
        let block = armor::decode(text)?;
        if block.label != b"PUBLIC KEY" {
            return Err(Error::Key(
                "expected a PEM block labelled PUBLIC KEY (SPKI)",
            ));
        }
        Self::from_der(&block.der)
    }

    /// Reads a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in DER.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        stack::check_room()?;
        let pkey =
            Pkey::parse_public(der).ok_or(Error::Key("expected an RSA public key as SPKI"))?;
        let bits = acceptable_bits(&pkey)?;
        let canonical = pkey.public_der()?;
        // The fingerprint covers the DER, so a key must have one DER form only.
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
        let text = armor::encode("PUBLIC KEY", &self.0.der);
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

    /// Wraps an AES key for the owner of this public key, into `out`, which has [`Self::modulus_len`] bytes.
    pub fn wrap(&self, aes_key: &[u8; aead::KEY_BYTES], out: &mut [u8]) -> Result<()> {
        if out.len() != self.modulus_len() {
            return Err(Error::Value("a wrapped key is as long as the modulus"));
        }
        stack::check_room()?;
        // Scrubbed, since the padded message contains the AES key.
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

/// An RSA key pair whose private half exists in the arena only, and is wiped when dropped.
pub struct PrivateKey {
    pkey: ClosedPkey,
    public: PublicKey,
    /// The count of forks when it was made: a forked child has another.
    generation: u64,
}

impl PrivateKey {
    /// Generates a new pair of 2048, 3072 or 4096 bits with the exponent 65537, tested as FIPS 186-5 demands.
    pub fn generate(bits: u32) -> Result<Self> {
        if !GENERATED_BITS.contains(&bits) {
            return Err(Error::Value("a key pair has 2048, 3072 or 4096 bits"));
        }
        // It is made in the memory of all keys, which is open as long as that takes, and then loaded like any other.
        with_key_memory(|| Self::load(&Pkey::generate(bits)?.private_der()?))
    }

    /// Reads an unencrypted PKCS#8 structure (RFC 5958) in DER.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self> {
        with_key_memory(|| {
            let info = pkcs8::PrivateKeyInfoRef::from_der(der)
                .map_err(|_| Error::Key("expected a private key as PKCS#8"))?;
            if info.algorithm.oid != RSA_ENCRYPTION {
                return Err(Error::Key("expected an RSA private key"));
            }
            Self::load(der)
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

    /// Returns unencrypted PKCS#8 in DER, in the arena.
    pub fn pkcs8_der(&self) -> Result<Vec<u8>> {
        self.check_process()?;
        with_key_memory(|| self.pkey.with(Pkey::private_der))
    }

    /// Unwraps an AES key that [`PublicKey::wrap`] wrapped.
    ///
    /// If it was not wrapped for this key, or does not have 32 bytes, the result is a random key. So all such faults
    /// show at one place, with one error and one timing: at the tag of the package. [`Error::Package`] only if
    /// `wrapped` is not as long as the modulus, which anyone can see.
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
        let decrypt = |pkey: &Pkey| pkey.oaep_decrypt(wrapped, &mut message);
        let (answer, len) = self.pkey.with(decrypt)?;
        // Without a branch: the random key is replaced by the unwrapped one if the answer is 1 and the length right.
        let is_good = mask_if_zero((answer ^ 1) as usize | (len ^ aead::KEY_BYTES));
        for (byte, unwrapped) in key.as_bytes_mut().iter_mut().zip(&message) {
            *byte ^= is_good & (*byte ^ unwrapped);
        }
        Ok(key)
    }

    fn load(der: &[u8]) -> Result<Self> {
        let pkey = ClosedPkey::load(|| acceptable(der))?;
        let public = PublicKey::from_der(&pkey.with(Pkey::public_der)?)?;
        Ok(Self {
            pkey,
            public,
            generation: generation::current(),
        })
    }

    fn check_process(&self) -> Result<()> {
        if self.generation == generation::current() {
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

/// Returns 0xFF if `value` is zero and otherwise 0, without a branch.
fn mask_if_zero(value: usize) -> u8 {
    // `black_box` keeps the compiler from turning the arithmetic into a branch.
    let value = std::hint::black_box(value);
    let nonzero = ((value | value.wrapping_neg()) >> (usize::BITS - 1)) as u8;
    std::hint::black_box(nonzero.wrapping_sub(1))
}

fn acceptable(der: &[u8]) -> Result<Pkey> {
    let pkey = Pkey::parse_private(der)
        .ok_or(Error::Key("the RSA private key is damaged or inconsistent"))?;
    acceptable_bits(&pkey)?;
    match pkey.has_primes() {
        true => Ok(pkey),
        false => Err(Error::Key(
            "expected an RSA private key with its two primes",
        )),
    }
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

/// Runs `f` with its allocations in the keys' share of the arena, and scrubs the stack afterwards. [`Error::Stack`] if
/// there is too little stack.
pub(crate) fn with_key_memory<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    stack::check_room()?;
    crate::init();
    stack::scrubbed(|| arena::with_keys(f))
}
