//! An owned RSA `EVP_PKEY` of AWS-LC.
//!
//! AWS-LC lets several threads use one `EVP_PKEY` as long as nobody changes it (`include/openssl/evp.h`, `rsa.h`), and
//! nothing here changes a finished one. Calls that take a lock of AWS-LC, its error queue's included, go through the
//! [`gate`].

use crate::crypto::gate;
use crate::{Error, Result, exiting};
use aws_lc_sys as ffi;
use std::mem::MaybeUninit;
use std::ptr::{NonNull, null_mut};

pub(super) struct Pkey(NonNull<ffi::EVP_PKEY>);

// SAFETY: see the module's text; the reference count is atomic.
unsafe impl Send for Pkey {}
// SAFETY: see the module's text; the caches that operations fill (Montgomery, blinding) have locks.
unsafe impl Sync for Pkey {}

impl Pkey {
    /// Reads an RSA public key from exactly one SPKI structure; `None` for anything else.
    pub(super) fn parse_public(der: &[u8]) -> Option<Self> {
        Self::parse(der, ffi::EVP_parse_public_key)
    }

    /// Reads an RSA private key from exactly one PKCS#8 structure; `None` for anything else. AWS-LC checks that its
    /// numbers fit together (`RSA_check_key`).
    pub(super) fn parse_private(der: &[u8]) -> Option<Self> {
        Self::parse(der, ffi::EVP_parse_private_key)
    }

    fn parse(
        der: &[u8],
        read: unsafe extern "C" fn(*mut ffi::CBS) -> *mut ffi::EVP_PKEY,
    ) -> Option<Self> {
        crate::init();
        gate::within(|| Self::parse_inside(der, read))
    }

    fn parse_inside(
        der: &[u8],
        read: unsafe extern "C" fn(*mut ffi::CBS) -> *mut ffi::EVP_PKEY,
    ) -> Option<Self> {
        let mut input = MaybeUninit::uninit();
        // SAFETY: CBS_init fills `input`, which borrows `der` for this call only.
        let (pkey, rest, kind) = unsafe {
            ffi::CBS_init(input.as_mut_ptr(), der.as_ptr(), der.len());
            let mut input = input.assume_init();
            let pkey = NonNull::new(read(&mut input)).map(Self);
            let kind = pkey.as_ref().map(|key| ffi::EVP_PKEY_id(key.0.as_ptr()));
            (pkey, ffi::CBS_len(&input), kind)
        };
        clear_errors();
        // Keys for other purposes have another id than EVP_PKEY_RSA, RSA-PSS keys among them.
        pkey.filter(|_| rest == 0 && kind == Some(ffi::EVP_PKEY_RSA))
    }

    /// Generates a pair and tests it as FIPS 186-5 demands (with AWS-LC's pairwise consistency test).
    pub(super) fn generate(bits: u32) -> Result<Self> {
        crate::init();
        gate::within(|| Self::generate_inside(bits))
    }

    fn generate_inside(bits: u32) -> Result<Self> {
        let progress = Progress::new()?;
        // SAFETY: takes no argument.
        let pkey = Self(non_null(unsafe { ffi::EVP_PKEY_new() })?);
        // SAFETY: as above.
        let rsa = non_null(unsafe { ffi::RSA_new() })?;
        // SAFETY: all are live; EVP_PKEY_assign_RSA takes `rsa` over if and only if it succeeds.
        unsafe {
            let made = ffi::RSA_generate_key_fips(rsa.as_ptr(), bits as i32, progress.0.as_ptr());
            if made != 1 || ffi::EVP_PKEY_assign_RSA(pkey.0.as_ptr(), rsa.as_ptr()) != 1 {
                ffi::RSA_free(rsa.as_ptr());
                clear_errors();
                return Err(Error::Crypto);
            }
        }
        Ok(pkey)
    }

    /// Makes the state that AWS-LC keeps of errors in this thread.
    pub(super) fn prepare_thread() {
        gate::within(clear_errors);
    }

    /// Has AWS-LC make everything that it keeps for a private key, by an operation with it (`freeze_private_key` and
    /// `rsa_blinding_get` in crypto/fipsmodule/rsa/rsa_impl.c).
    pub(super) fn complete(&self) -> Result<()> {
        let mut wrapped = vec![0; self.bits().div_ceil(8) as usize];
        self.oaep_encrypt(&[0; 32], &mut wrapped)?;
        let mut message = vec![0; wrapped.len()];
        match self.oaep_decrypt(&wrapped, &mut message)? {
            (1, 32) => Ok(()),
            _ => Err(Error::Crypto),
        }
    }

    pub(super) fn bits(&self) -> u32 {
        // SAFETY: the key is live and RSA.
        unsafe { ffi::RSA_bits(self.rsa()) }
    }

    /// The public exponent; `None` if it does not fit into 64 bits.
    pub(super) fn exponent(&self) -> Option<u64> {
        let mut exponent = 0;
        // SAFETY: the key is live, and null is tested for.
        unsafe {
            let e = ffi::RSA_get0_e(self.rsa());
            (!e.is_null() && ffi::BN_get_u64(e, &mut exponent) == 1).then_some(exponent)
        }
    }

    pub(super) fn has_primes(&self) -> bool {
        // SAFETY: the key is live and RSA.
        unsafe { !ffi::RSA_get0_p(self.rsa()).is_null() && !ffi::RSA_get0_q(self.rsa()).is_null() }
    }

    pub(super) fn public_der(&self) -> Result<Vec<u8>> {
        self.marshal(ffi::EVP_marshal_public_key)
    }

    pub(super) fn private_der(&self) -> Result<Vec<u8>> {
        self.marshal(ffi::EVP_marshal_private_key)
    }

    fn marshal(
        &self,
        write: unsafe extern "C" fn(*mut ffi::CBB, *const ffi::EVP_PKEY) -> i32,
    ) -> Result<Vec<u8>> {
        gate::within(|| self.marshal_inside(write))
    }

    fn marshal_inside(
        &self,
        write: unsafe extern "C" fn(*mut ffi::CBB, *const ffi::EVP_PKEY) -> i32,
    ) -> Result<Vec<u8>> {
        let mut output = MaybeUninit::uninit();
        let mut der = null_mut();
        let mut len = 0;
        // SAFETY: CBB_init fills `output`; CBB_finish hands over a block that OPENSSL_free frees;
        // on a failure CBB_cleanup frees what `output` holds.
        unsafe {
            if ffi::CBB_init(output.as_mut_ptr(), 4096) != 1 {
                return Err(Error::Memory("no memory for a key"));
            }
            let mut output = output.assume_init();
            if write(&mut output, self.0.as_ptr()) != 1
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

    /// Encrypts `message` into `out`, which has the modulus's length.
    pub(super) fn oaep_encrypt(&self, message: &[u8], out: &mut [u8]) -> Result<()> {
        gate::within(|| self.encrypt_inside(message, out))
    }

    fn encrypt_inside(&self, message: &[u8], out: &mut [u8]) -> Result<()> {
        let operation = Operation::new(self, ffi::EVP_PKEY_encrypt_init)?;
        let mut len = out.len();
        // SAFETY: every pointer comes with the length of the slice behind it.
        let done = unsafe {
            ffi::EVP_PKEY_encrypt(
                operation.0.as_ptr(),
                out.as_mut_ptr(),
                &mut len,
                message.as_ptr(),
                message.len(),
            )
        };
        if done == 1 && len == out.len() {
            return Ok(());
        }
        clear_errors();
        Err(Error::Crypto)
    }

    /// Decrypts into `out`, which has the modulus's length. Returns AWS-LC's answer (1 for success) and how many bytes
    /// it wrote, both of which the caller must judge without a branch.
    pub(super) fn oaep_decrypt(&self, wrapped: &[u8], out: &mut [u8]) -> Result<(i32, usize)> {
        gate::within(|| self.decrypt_inside(wrapped, out))
    }

    fn decrypt_inside(&self, wrapped: &[u8], out: &mut [u8]) -> Result<(i32, usize)> {
        let operation = Operation::new(self, ffi::EVP_PKEY_decrypt_init)?;
        let mut len = out.len();
        // SAFETY: every pointer comes with the length of the slice behind it.
        let answer = unsafe {
            ffi::EVP_PKEY_decrypt(
                operation.0.as_ptr(),
                out.as_mut_ptr(),
                &mut len,
                wrapped.as_ptr(),
                wrapped.len(),
            )
        };
        clear_errors();
        Ok((answer, len))
    }

    fn rsa(&self) -> *const ffi::RSA {
        // SAFETY: the key is live; it keeps ownership of what is returned.
        unsafe { ffi::EVP_PKEY_get0_RSA(self.0.as_ptr()) }
    }
}

impl Drop for Pkey {
    fn drop(&mut self) {
        // SAFETY: the key is live and not used again.
        gate::within(|| unsafe { ffi::EVP_PKEY_free(self.0.as_ptr()) });
    }
}

/// A callback that key generation calls between two candidates for a prime, some milliseconds apart. There it lets a
/// waiting fork go first, and gives up if the process is ending.
struct Progress(NonNull<ffi::BN_GENCB>);

impl Progress {
    fn new() -> Result<Self> {
        // SAFETY: takes no argument.
        let progress = Self(non_null(unsafe { ffi::BN_GENCB_new() })?);
        // SAFETY: the struct is live; the callback does not use its argument.
        unsafe { ffi::BN_GENCB_set(progress.0.as_ptr(), Some(step_aside), null_mut()) };
        Ok(progress)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // SAFETY: the struct is live and not used again.
        unsafe { ffi::BN_GENCB_free(self.0.as_ptr()) };
    }
}

unsafe extern "C" fn step_aside(_event: i32, _n: i32, _progress: *mut ffi::BN_GENCB) -> i32 {
    gate::step_aside();
    (!exiting::is_over()).into() // 1: go on
}

/// An OAEP operation under way.
struct Operation(NonNull<ffi::EVP_PKEY_CTX>);

impl Operation {
    fn new(key: &Pkey, begin: unsafe extern "C" fn(*mut ffi::EVP_PKEY_CTX) -> i32) -> Result<Self> {
        // SAFETY: the key is live, and the context takes a reference of its own.
        let context = unsafe { ffi::EVP_PKEY_CTX_new(key.0.as_ptr(), null_mut()) };
        let operation = Self(non_null(context)?);
        let context = operation.0.as_ptr();
        // SAFETY: the context is live; the digests are statics.
        let ready = unsafe {
            begin(context) == 1
                && ffi::EVP_PKEY_CTX_set_rsa_padding(context, ffi::RSA_PKCS1_OAEP_PADDING) == 1
                && ffi::EVP_PKEY_CTX_set_rsa_oaep_md(context, ffi::EVP_sha256()) == 1
                && ffi::EVP_PKEY_CTX_set_rsa_mgf1_md(context, ffi::EVP_sha256()) == 1
        };
        if ready {
            return Ok(operation);
        }
        clear_errors();
        Err(Error::Crypto)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // SAFETY: the context is live and not used again.
        unsafe { ffi::EVP_PKEY_CTX_free(self.0.as_ptr()) };
    }
}

fn non_null<T>(pointer: *mut T) -> Result<NonNull<T>> {
    NonNull::new(pointer).ok_or(Error::Memory("no memory for a key"))
}

/// Clears AWS-LC's error queue. Nobody reads it, and its texts must not tell one failure from another.
fn clear_errors() {
    // SAFETY: clears this thread's queue.
    unsafe { ffi::ERR_clear_error() };
}
