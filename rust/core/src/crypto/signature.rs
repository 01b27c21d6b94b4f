//! Verifies signatures of other people's keys: RSASSA-PKCS1-v1_5 and RSASSA-PSS (RFC 8017, section 8), and ECDSA on
//! P-256 and P-384 (FIPS 186-5, section 6), over SHA-256 and SHA-384.
//!
//! Rules:
//! - All that comes in is public, and may be hostile. What cannot be a key or a signature is refused, in no particular
//!   time.
//! - An RSA key has a modulus of 2048 to 4096 bits and an odd exponent of 65537 or more. A point lies on its curve.

use crate::crypto::gate;
use crate::{Error, Result, stack};
use aws_lc_sys as ffi;
use std::mem::MaybeUninit;
use std::ptr::{NonNull, null_mut};

/// The most bits of an RSA modulus: TPMs have no larger ones, and verifying takes time by its square.
const MAX_RSA_BITS: u32 = 4096;
const MIN_RSA_BITS: u32 = 2048;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
}

impl Hash {
    /// Bytes of a digest.
    pub fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    /// Never: a digest has bytes.
    pub fn is_empty(self) -> bool {
        false
    }

    /// Returns the digest of `data`.
    pub fn digest(self, data: &[u8]) -> Result<Vec<u8>> {
        crate::init();
        let mut digest = vec![0; self.len()];
        // SAFETY: reads the slice, and writes as many bytes as the digest has.
        let done = unsafe {
            ffi::EVP_Digest(
                data.as_ptr().cast(),
                data.len(),
                digest.as_mut_ptr(),
                null_mut(),
                self.evp(),
                null_mut(),
            )
        };
        if done == 1 {
            Ok(digest)
        } else {
            Err(Error::Crypto)
        }
    }

    fn evp(self) -> *const ffi::EVP_MD {
        // SAFETY: each returns a pointer to a static.
        unsafe {
            match self {
                Self::Sha256 => ffi::EVP_sha256(),
                Self::Sha384 => ffi::EVP_sha384(),
            }
        }
    }
}

/// An elliptic curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
}

impl Curve {
    /// Bytes of a coordinate, and of each half of a signature.
    pub fn field_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    fn nid(self) -> i32 {
        match self {
            Self::P256 => ffi::NID_X9_62_prime256v1,
            Self::P384 => ffi::NID_secp384r1,
        }
    }
}

/// The numbers of a public key, big-endian.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    /// Modulus and exponent.
    Rsa(&'a [u8], u32),
    /// The coordinates of a point.
    Point(Curve, &'a [u8], &'a [u8]),
}

/// A signature, with its numbers big-endian.
#[derive(Clone, Copy, Debug)]
pub enum Signature<'a> {
    /// RSASSA-PKCS1-v1_5.
    Rsassa(&'a [u8]),
    /// RSASSA-PSS with MGF1 over the same hash, and salt of any length.
    RsaPss(&'a [u8]),
    /// ECDSA: r and s.
    Ecdsa(&'a [u8], &'a [u8]),
}

/// The public key of a signer.
pub struct Signer(NonNull<ffi::EVP_PKEY>);

// SAFETY: AWS-LC lets several threads use a key that nobody changes; the reference count is atomic.
unsafe impl Send for Signer {}
// SAFETY: as above.
unsafe impl Sync for Signer {}

impl Signer {
    /// Makes a key of its numbers; [`Error::Key`] if they are none of an acceptable one.
    pub fn new(numbers: Numbers<'_>) -> Result<Self> {
        stack::check_room()?;
        crate::init();
        gate::within(|| {
            let signer = match numbers {
                Numbers::Rsa(modulus, exponent) => Self::rsa(modulus, exponent),
                Numbers::Point(curve, x, y) => Self::point(curve, x, y),
            };
            clear_errors();
            signer
        })
    }

    /// Returns the key as SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in DER.
    fn der(&self) -> Result<Vec<u8>> {
        gate::within(|| self.der_inside())
    }

    /// `SHA256:` and the unpadded base64 of SHA-256 over the SPKI DER, as for a key of a router.
    pub fn fingerprint(&self) -> Result<String> {
        let digest = Hash::Sha256.digest(&self.der()?)?;
        let mut text = String::from("SHA256:");
        base64_simd::STANDARD_NO_PAD.encode_append(digest, &mut text);
        Ok(text)
    }

    /// Whether `signature` is this key's over `message`. A signature of another kind of key is none.
    pub fn has_signed(&self, message: &[u8], hash: Hash, signature: Signature<'_>) -> Result<bool> {
        stack::check_room()?;
        gate::within(|| {
            let verified = self.verify(message, hash, signature);
            clear_errors();
            verified
        })
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::EVP_PKEY {
        self.0.as_ptr()
    }

    fn rsa(modulus: &[u8], exponent: u32) -> Result<Self> {
        if exponent < 65_537 || exponent.is_multiple_of(2) {
            return Err(Error::Key("the RSA exponent is below 65537, or even"));
        }
        let n = Number::new(modulus)?;
        let e = Number::new(&exponent.to_be_bytes())?;
        let pkey = Self::empty()?;
        // SAFETY: the numbers are live, and copied; EVP_PKEY_assign_RSA takes `rsa` over if and only if it succeeds.
        unsafe {
            let bits = ffi::BN_num_bits(n.0.as_ptr());
            if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
                return Err(Error::Key("the RSA modulus has not 2048 to 4096 bits"));
            }
            let rsa = ffi::RSA_new_public_key(n.0.as_ptr(), e.0.as_ptr());
            if rsa.is_null() {
                return Err(Error::Key("the RSA key is none"));
            }
            if ffi::EVP_PKEY_assign_RSA(pkey.0.as_ptr(), rsa) != 1 {
                ffi::RSA_free(rsa);
                return Err(Error::Crypto);
            }
        }
        Ok(pkey)
    }

    fn point(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self> {
        if x.len() > curve.field_bytes() || y.len() > curve.field_bytes() {
            return Err(Error::Key("a coordinate is too long for its curve"));
        }
        let (x, y) = (Number::new(x)?, Number::new(y)?);
        let pkey = Self::empty()?;
        // SAFETY: the numbers are live, and copied; EVP_PKEY_assign_EC_KEY takes `key` over if and only if it succeeds.
        unsafe {
            let key = ffi::EC_KEY_new_by_curve_name(curve.nid());
            if key.is_null() {
                return Err(Error::Memory("no memory for a key"));
            }
            // Checks that the point lies on the curve.
            let set =
                ffi::EC_KEY_set_public_key_affine_coordinates(key, x.0.as_ptr(), y.0.as_ptr());
            if set != 1 || ffi::EVP_PKEY_assign_EC_KEY(pkey.0.as_ptr(), key) != 1 {
                ffi::EC_KEY_free(key);
                return Err(Error::Key("the point is not on its curve"));
            }
        }
        Ok(pkey)
    }

    fn empty() -> Result<Self> {
        // SAFETY: takes no argument; null means that memory ran out.
        NonNull::new(unsafe { ffi::EVP_PKEY_new() })
            .map(Self)
            .ok_or(Error::Memory("no memory for a key"))
    }

    fn verify(&self, message: &[u8], hash: Hash, signature: Signature<'_>) -> Result<bool> {
        // SAFETY: the key is live.
        let kind = unsafe { ffi::EVP_PKEY_id(self.0.as_ptr()) };
        let joined;
        let (wanted, bytes) = match signature {
            Signature::Rsassa(bytes) | Signature::RsaPss(bytes) => (ffi::EVP_PKEY_RSA, bytes),
            Signature::Ecdsa(r, s) => {
                let Some(der) = ecdsa_der(r, s) else {
                    return Ok(false);
                };
                joined = der;
                (ffi::EVP_PKEY_EC, joined.as_slice())
            }
        };
        if kind != wanted {
            return Ok(false);
        }
        let context = Context::new()?;
        let mut of_key = null_mut();
        // SAFETY: all are live; every pointer comes with the length of the slice behind it. `of_key` belongs to the
        // context.
        unsafe {
            let context = context.0.as_ptr();
            let begun = ffi::EVP_DigestVerifyInit(
                context,
                &mut of_key,
                hash.evp(),
                null_mut(),
                self.0.as_ptr(),
            ) == 1
                && (!matches!(signature, Signature::RsaPss(_))
                    || ffi::EVP_PKEY_CTX_set_rsa_padding(of_key, ffi::RSA_PKCS1_PSS_PADDING) == 1
                        && ffi::EVP_PKEY_CTX_set_rsa_pss_saltlen(
                            of_key,
                            ffi::RSA_PSS_SALTLEN_AUTO,
                        ) == 1);
            if !begun {
                return Err(Error::Crypto);
            }
            let answer = ffi::EVP_DigestVerify(
                context,
                bytes.as_ptr(),
                bytes.len(),
                message.as_ptr(),
                message.len(),
            );
            Ok(answer == 1)
        }
    }

    fn der_inside(&self) -> Result<Vec<u8>> {
        let mut output = MaybeUninit::uninit();
        let (mut der, mut len) = (null_mut(), 0);
        // SAFETY: CBB_init fills `output`; CBB_finish hands over a block that OPENSSL_free frees; on a failure
        // CBB_cleanup frees what `output` holds.
        unsafe {
            if ffi::CBB_init(output.as_mut_ptr(), 1024) != 1 {
                return Err(Error::Memory("no memory for a key"));
            }
            let mut output = output.assume_init();
            if ffi::EVP_marshal_public_key(&mut output, self.0.as_ptr()) != 1
                || ffi::CBB_finish(&mut output, &mut der, &mut len) != 1
            {
                ffi::CBB_cleanup(&mut output);
                clear_errors();
                return Err(Error::Crypto);
            }
            let copy = std::slice::from_raw_parts(der, len).to_vec();
            ffi::OPENSSL_free(der.cast());
            Ok(copy)
        }
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        // SAFETY: the key is live and not used again.
        gate::within(|| unsafe { ffi::EVP_PKEY_free(self.0.as_ptr()) });
    }
}

/// An owned `BIGNUM`.
struct Number(NonNull<ffi::BIGNUM>);

impl Number {
    fn new(bytes: &[u8]) -> Result<Self> {
        // SAFETY: reads the slice; null means that memory ran out.
        NonNull::new(unsafe { ffi::BN_bin2bn(bytes.as_ptr(), bytes.len(), null_mut()) })
            .map(Self)
            .ok_or(Error::Memory("no memory for a key"))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        // SAFETY: the number is live and not used again.
        unsafe { ffi::BN_free(self.0.as_ptr()) };
    }
}

/// A verification under way.
struct Context(NonNull<ffi::EVP_MD_CTX>);

impl Context {
    fn new() -> Result<Self> {
        // SAFETY: takes no argument; null means that memory ran out.
        NonNull::new(unsafe { ffi::EVP_MD_CTX_new() })
            .map(Self)
            .ok_or(Error::Memory("no memory for a signature"))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is live and not used again.
        unsafe { ffi::EVP_MD_CTX_free(self.0.as_ptr()) };
    }
}

/// Returns r and s as Ecdsa-Sig-Value (RFC 3279, section 2.2.3) in DER; `None` if they are too long for any curve here.
fn ecdsa_der(r: &[u8], s: &[u8]) -> Option<Vec<u8>> {
    let mut numbers = der_integer(r)?;
    numbers.extend(der_integer(s)?);
    let mut der = vec![0x30, u8::try_from(numbers.len()).ok()?]; // at most 102 bytes: the short form of a length
    der.extend(numbers);
    Some(der)
}

fn der_integer(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() > Curve::P384.field_bytes() {
        return None;
    }
    let first = bytes.iter().position(|byte| *byte != 0)?; // a number is at least 1
    let number = &bytes[first..];
    let sign = usize::from(number[0] >= 0x80);
    let mut der = vec![0x02, (number.len() + sign) as u8];
    der.extend([0].iter().take(sign));
    der.extend(number);
    Some(der)
}

/// Clears AWS-LC's error queue, which nobody reads.
fn clear_errors() {
    // SAFETY: clears this thread's queue.
    unsafe { ffi::ERR_clear_error() };
}
