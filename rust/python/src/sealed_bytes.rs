//! Seals and opens bytes that are no message of the protocol, in the form of a package and bound to a context.

use crate::detached::Detached;
use crate::errors::{self, OrRaise};
use crate::keys::{PrivateKey, PublicKey};
use crate::sealing::as_bytes;
use crate::secure_buffer::SecureBuffer;
use nomyo_core::buffer::SecureBuffer as Memory;
use nomyo_core::crypto::rsa;
use nomyo_core::envelope::{Package, Sealed, Sealer};
use nomyo_core::{Result, stack};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Seal bytes for `key` under a fresh AES-256 key. Returns a package that opens in the same `context` only.
///
/// The context says what the bytes are for. GCM authenticates it as associated data.
/// Raises ValueError for an empty context, which stands for the protocol's messages.
#[pyfunction]
pub fn seal_bytes<'py>(
    content: &Bound<'py, PyBytes>,
    key: &Bound<'py, PublicKey>,
    context: &Bound<'py, PyBytes>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = content.py();
    let context = non_empty(context)?;
    let content = content.as_bytes();
    let key = key.get().core();
    let package = py
        .detach_counted(|| stack::scrubbed(|| seal(content, key, context)))
        .or_raise(py)?;
    Ok(PyBytes::new(py, &package))
}

/// Open bytes that `seal_bytes` sealed in the same context. They are written into locked memory and nowhere else.
///
/// Raises the same errors as `open_package`.
#[pyfunction]
pub fn open_bytes(
    package: &Bound<'_, PyAny>,
    key: &Bound<'_, PrivateKey>,
    context: &Bound<'_, PyBytes>,
) -> PyResult<SecureBuffer> {
    let py = package.py();
    let context = non_empty(context)?;
    let package = as_bytes(package)?;
    let package = package.as_bytes();
    let key = key.get().core(py)?;
    py.detach_counted(|| open(package, &key, context))
        .map(SecureBuffer::from_memory)
        .or_raise(py)
}

fn non_empty<'a>(context: &'a Bound<'_, PyBytes>) -> PyResult<&'a [u8]> {
    let bytes = context.as_bytes();
    if bytes.is_empty() {
        return Err(errors::value_error(context.py(), "the context is empty"));
    }
    Ok(bytes)
}

fn seal(content: &[u8], key: &rsa::PublicKey, context: &[u8]) -> Result<Package> {
    let mut sealer = Sealer::bound_to(context, content.len())?;
    sealer.write(content)?;
    sealer.finish(key, None)
}

fn open(package: &[u8], key: &rsa::PrivateKey, context: &[u8]) -> Result<Memory> {
    let sealed = Sealed::parse(package)?.bound_to(context);
    Memory::filled(sealed.plaintext_len(), |content| {
        sealed.open_into(key, content)
    })
}
