//! RSA keys as Python objects.

use crate::detached::Detached;
use crate::errors::{self, OrRaise};
use crate::exported::Exported;
use crate::no_copy;
use crate::password::Password;
use crate::secure_buffer::SecureBuffer;
use nomyo_core::crypto::rsa;
use nomyo_core::{Error, pem};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// No PEM of a key is longer. A longer text is refused before it is copied.
const LONGEST_PEM_BYTES: usize = 64 * 1024;

/// The RSA public key of a peer: 2048 to 8192 bits, with an odd exponent of 65537 or more.
#[pyclass(frozen, module = "nomyo._core")]
pub struct PublicKey {
    key: rsa::PublicKey,
}

impl PublicKey {
    /// Borrows the core's key.
    pub fn core(&self) -> &rsa::PublicKey {
        &self.key
    }
}

#[pymethods]
impl PublicKey {
    /// Read an SPKI PEM. Raises SecurityError if it is not an acceptable RSA key.
    #[staticmethod]
    fn from_pem(pem: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = pem.py();
        let key = if let Ok(bytes) = pem.cast::<PyBytes>() {
            rsa::PublicKey::from_pem(bytes.as_bytes())
        } else if let Ok(text) = pem.cast::<PyString>() {
            // A text with a lone surrogate, which has no UTF-8, is no PEM either.
            rsa::PublicKey::from_pem(text.to_str().unwrap_or_default().as_bytes())
        } else {
            return Err(PyTypeError::new_err("a PEM is str or bytes"));
        };
        Ok(Self {
            key: key.or_raise(py)?,
        })
    }

    /// SPKI PEM, as `openssl pkey -pubout` writes it.
    #[getter]
    fn pem(&self) -> String {
        self.key.pem()
    }

    /// Size of the modulus in bits.
    #[getter]
    fn bits(&self) -> u32 {
        self.key.bits()
    }

    /// `SHA256:` and the unpadded base64 of SHA-256 over the SPKI DER.
    #[getter]
    fn fingerprint(&self) -> String {
        self.key.fingerprint()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = other.py();
        let Ok(other) = other.cast::<Self>() else {
            return Ok(py.NotImplemented());
        };
        let equal = self.key == other.get().key;
        Ok(equal.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.key.hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        format!(
            "<PublicKey {} bits, {}>",
            self.key.bits(),
            self.key.fingerprint()
        )
    }
}

/// An RSA key pair whose private half exists in the arena only. No pickle, no copy; repr shows the fingerprint.
#[pyclass(frozen, module = "nomyo._core")]
pub struct PrivateKey {
    public: rsa::PublicKey,
    /// None once wiped. Each operation under way holds a reference too, and dropping the last one wipes the key.
    key: Mutex<Option<Arc<rsa::PrivateKey>>>,
}

impl PrivateKey {
    /// Wraps a key of the core.
    pub fn from_core(key: rsa::PrivateKey) -> Self {
        Self {
            public: key.public_key().clone(),
            key: Mutex::new(Some(Arc::new(key))),
        }
    }

    /// Returns the core's key for one operation; DisposedError if it was wiped.
    pub fn core(&self, py: Python<'_>) -> PyResult<Arc<rsa::PrivateKey>> {
        self.core_or_none().ok_or(Error::Wiped).or_raise(py)
    }

    /// Returns the core's key for one operation; None if it was wiped.
    pub fn core_or_none(&self) -> Option<Arc<rsa::PrivateKey>> {
        self.lock_key().clone()
    }

    fn lock_key(&self) -> MutexGuard<'_, Option<Arc<rsa::PrivateKey>>> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PrivateKey {
    /// Generate a new pair of 2048, 3072 or 4096 bits with the exponent 65537. Releases the GIL.
    ///
    /// Raises ValueError for any other number of bits.
    #[staticmethod]
    fn generate(py: Python<'_>, bits: u32) -> PyResult<Self> {
        let key = py
            .detach_counted(|| rsa::PrivateKey::generate(bits))
            .or_raise(py)?;
        Ok(Self::from_core(key))
    }

    /// Read a PEM: PKCS#8, plain or encrypted by PBES2, or the JavaScript client's form. Raises SecurityError.
    #[staticmethod]
    #[pyo3(signature = (pem, password = None))]
    fn from_pem(pem: &Bound<'_, PyAny>, password: Option<Password>) -> PyResult<Self> {
        let py = pem.py();
        let source = Exported::readable(pem)?;
        if source.len() > LONGEST_PEM_BYTES {
            return Err(errors::security_error(
                py,
                "expected a private key of at most 64 KiB",
            ));
        }
        let mut text = vec![0; source.len()];
        source.copy_to(&mut text);
        let key = py
            .detach_counted(|| pem::private_from_pem(&text, Password::bytes(&password)))
            .or_raise(py)?;
        Ok(Self::from_core(key))
    }

    /// The public half. It stays usable after the private half is wiped.
    #[getter]
    fn public_key(&self) -> PublicKey {
        PublicKey {
            key: self.public.clone(),
        }
    }

    /// Size of the modulus in bits.
    #[getter]
    fn bits(&self) -> u32 {
        self.public.bits()
    }

    /// Whether `wipe` was called.
    #[getter]
    fn wiped(&self) -> bool {
        self.lock_key().is_none()
    }

    /// Write the key as PKCS#8 PEM into locked memory, encrypted by PBES2 if a password is given.
    #[pyo3(signature = (password = None))]
    fn to_pem(&self, py: Python<'_>, password: Option<Password>) -> PyResult<SecureBuffer> {
        let key = self.core(py)?;
        py.detach_counted(|| {
            let text = pem::private_to_pem(&key, Password::bytes(&password))?;
            SecureBuffer::from_slice(&text)
        })
        .or_raise(py)
    }

    /// Wipe the private half, now or as soon as the last operation under way has ended. Idempotent.
    ///
    /// Any later operation raises DisposedError.
    fn wipe(&self) {
        // Taken out first: wiping takes longer than the mutex should be held.
        let key = self.lock_key().take();
        drop(key);
    }

    fn __repr__(&self) -> String {
        let state = if self.wiped() { ", wiped" } else { "" };
        format!(
            "<PrivateKey {} bits, {}{state}>",
            self.public.bits(),
            self.public.fingerprint()
        )
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(no_copy::refuse("PrivateKey"))
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(no_copy::refuse("PrivateKey"))
    }
}
