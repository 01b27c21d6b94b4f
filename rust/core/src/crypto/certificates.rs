//! Whether certificates (RFC 5280) lead from a key to a root that somebody trusts.
//!
//! Rules:
//! - The first certificate is the key's own, and no authority's. Those after it are authorities between it and a root,
//!   in any order, and no root unless it is among the given roots.
//! - Purposes (extended key usage) are not looked at: who names a root for attestation keys decides what it certifies.
//!   Revocation lists are not looked at either.

use crate::crypto::gate;
use crate::crypto::signature::Signer;
use crate::{Error, Result, stack};
use aws_lc_sys as ffi;
use std::ptr::{NonNull, null_mut};

/// The most bytes of a certificate.
pub const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;
/// The most certificates of a chain.
pub const MAX_CERTIFICATES: usize = 8;

/// Checks that `der` is one certificate; [`Error::Key`] if not.
pub fn check_certificate(der: &[u8]) -> Result<()> {
    stack::check_room()?;
    crate::init();
    gate::within(|| {
        let parsed = Certificate::parse(der);
        clear_errors();
        parsed.map(drop)
    })
}

/// Whether `chain`, certificates in DER, leads from `key` to one of `roots` at the time `now_s` (Unix seconds).
///
/// [`Error::Key`] says why not.
pub fn check_chain(chain: &[&[u8]], roots: &[&[u8]], key: &Signer, now_s: i64) -> Result<()> {
    stack::check_room()?;
    crate::init();
    gate::within(|| {
        let checked = check_inside(chain, roots, key, now_s);
        clear_errors();
        checked
    })
}

fn check_inside(chain: &[&[u8]], roots: &[&[u8]], key: &Signer, now_s: i64) -> Result<()> {
    if chain.is_empty() || chain.len() > MAX_CERTIFICATES {
        return Err(Error::Key("expected 1 to 8 certificates"));
    }
    let chain = chain
        .iter()
        .map(|der| Certificate::parse(der))
        .collect::<Result<Vec<_>>>()?;
    let own = &chain[0];
    // SAFETY: both are live; the certificate keeps its key.
    let is_of_key = unsafe {
        let certified = ffi::X509_get0_pubkey(own.0.as_ptr());
        !certified.is_null() && ffi::EVP_PKEY_cmp(certified, key.as_ptr()) == 1
    };
    if !is_of_key {
        return Err(Error::Key("the first certificate is another key's"));
    }
    // SAFETY: the certificate is live.
    if unsafe { ffi::X509_check_ca(own.0.as_ptr()) } != 0 {
        return Err(Error::Key("the first certificate is an authority's"));
    }
    let store = Store::new(roots)?;
    let between = Pile::new(&chain[1..])?;
    let context = Context::new()?;
    // SAFETY: all are live until the end of this function, after the context, which was made last.
    unsafe {
        let begun = ffi::X509_STORE_CTX_init(
            context.0.as_ptr(),
            store.0.as_ptr(),
            own.0.as_ptr(),
            between.0.as_ptr().cast(),
        );
        if begun != 1 {
            return Err(Error::Crypto);
        }
        ffi::X509_STORE_CTX_set_time_posix(context.0.as_ptr(), 0, now_s);
        if ffi::X509_verify_cert(context.0.as_ptr()) != 1 {
            return Err(Error::Key(
                "the certificates lead to none of the policy's roots, or are not valid now",
            ));
        }
    }
    Ok(())
}

struct Certificate(NonNull<ffi::X509>);

impl Certificate {
    fn parse(der: &[u8]) -> Result<Self> {
        const NONE: Error = Error::Key("expected a certificate in DER");
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(NONE);
        }
        let mut rest = der.as_ptr();
        // SAFETY: reads at most the slice, and moves `rest` behind what it read.
        let parsed = unsafe { ffi::d2i_X509(null_mut(), &mut rest, der.len() as _) };
        let certificate = NonNull::new(parsed).map(Self).ok_or(NONE)?;
        if rest == der.as_ptr_range().end {
            Ok(certificate)
        } else {
            Err(NONE)
        }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        // SAFETY: this reference is live and not used again.
        unsafe { ffi::X509_free(self.0.as_ptr()) };
    }
}

/// The roots.
struct Store(NonNull<ffi::X509_STORE>);

impl Store {
    fn new(roots: &[&[u8]]) -> Result<Self> {
        // SAFETY: takes no argument.
        let store = Self(non_null(unsafe { ffi::X509_STORE_new() })?);
        for root in roots {
            let root = Certificate::parse(root)?;
            // SAFETY: both are live; the store takes a reference of its own.
            if unsafe { ffi::X509_STORE_add_cert(store.0.as_ptr(), root.0.as_ptr()) } != 1 {
                return Err(Error::Crypto);
            }
        }
        Ok(store)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: this reference is live and not used again.
        unsafe { ffi::X509_STORE_free(self.0.as_ptr()) };
    }
}

/// A stack of AWS-LC with certificates that somebody else owns.
struct Pile(NonNull<ffi::OPENSSL_STACK>);

impl Pile {
    fn new(certificates: &[Certificate]) -> Result<Self> {
        // SAFETY: takes no argument.
        let pile = Self(non_null(unsafe { ffi::OPENSSL_sk_new_null() })?);
        for each in certificates {
            // SAFETY: both are live; the stack holds a pointer.
            if unsafe { ffi::OPENSSL_sk_push(pile.0.as_ptr(), each.0.as_ptr().cast()) } == 0 {
                return Err(Error::Memory("no memory for a certificate"));
            }
        }
        Ok(pile)
    }
}

impl Drop for Pile {
    fn drop(&mut self) {
        // SAFETY: the stack is live and not used again; it does not own what it holds.
        unsafe { ffi::OPENSSL_sk_free(self.0.as_ptr()) };
    }
}

struct Context(NonNull<ffi::X509_STORE_CTX>);

impl Context {
    fn new() -> Result<Self> {
        // SAFETY: takes no argument.
        Ok(Self(non_null(unsafe { ffi::X509_STORE_CTX_new() })?))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is live and not used again.
        unsafe { ffi::X509_STORE_CTX_free(self.0.as_ptr()) };
    }
}

fn non_null<T>(pointer: *mut T) -> Result<NonNull<T>> {
    NonNull::new(pointer).ok_or(Error::Memory("no memory for a certificate"))
}

/// Clears AWS-LC's error queue, which nobody reads.
fn clear_errors() {
    // SAFETY: clears this thread's queue.
    unsafe { ffi::ERR_clear_error() };
}
