//! Packages sealed and opened.

use crate::detached::Detached;
use crate::errors::{self, OrRaise};
use crate::exported::{Exported, type_name};
use crate::json_read::read_object;
use crate::json_sink::Measure;
use crate::json_write::write_payload;
use crate::keys::{PrivateKey, PublicKey};
use nomyo_core::envelope::{Number, Sealed, Sealer};
use nomyo_core::{Error, package, rsa, stack};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyType};

/// Write a payload as JSON into locked memory and seal it for `key` under a fresh AES-256 key.
///
/// `payload` is a dict. Raises ValueError or TypeError that names the path to what JSON cannot hold
/// (`messages[3].content`), ValueError beyond `limit_bytes` of plaintext JSON (default 10 MiB).
#[pyfunction]
#[pyo3(signature = (payload, key, *, limit_bytes = 10_485_760, processed_at = None))]
pub fn seal<'py>(
    payload: &Bound<'py, PyAny>,
    key: &Bound<'py, PublicKey>,
    limit_bytes: usize,
    processed_at: Option<i64>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = payload.py();
    let payload = full_dict(payload)?;
    let mut sealer = Sealer::new(limit_bytes).or_raise(py)?;
    stack::scrubbed(|| write_payload(payload, &mut sealer, limit_bytes))?;
    let key = key.get().core();
    let package = py
        .detach_counted(|| stack::scrubbed(|| sealer.finish(key, processed_at)))
        .or_raise(py)?;
    Ok(PyBytes::new(py, &package))
}

/// Raise whatever `seal` would raise for this payload, without sealing it (a dry run of the same walk).
#[pyfunction]
#[pyo3(signature = (payload, *, limit_bytes = 10_485_760))]
pub fn check_payload(payload: &Bound<'_, PyAny>, limit_bytes: usize) -> PyResult<()> {
    let payload = full_dict(payload)?;
    let mut measure = Measure::new(limit_bytes);
    stack::scrubbed(|| write_payload(payload, &mut measure, limit_bytes))
}

/// Whether `seal` would take this payload, and its JSON has no more than `limit_bytes`.
#[pyfunction]
pub fn fits(payload: &Bound<'_, PyAny>, limit_bytes: usize) -> bool {
    check_payload(payload, limit_bytes).is_ok()
}

/// Open a package: (the plaintext JSON, always an object; the algorithm's name; processed_at of the outer object).
///
/// The objects are instances of `object_type`, a subclass of dict that can be made without arguments.
/// Raises one opaque SecurityError for every failure; DisposedError where the key was wiped.
#[pyfunction]
#[pyo3(signature = (package, key, object_type = None))]
pub fn open_package<'py>(
    package: &Bound<'py, PyAny>,
    key: &Bound<'py, PrivateKey>,
    object_type: Option<&Bound<'py, PyType>>,
) -> PyResult<(Bound<'py, PyAny>, &'static str, Bound<'py, PyAny>)> {
    let py = package.py();
    let object_type = dict_type(py, object_type)?;
    let sealed = as_bytes(package)?;
    let content = sealed.as_bytes();
    let key = key.get().core(py)?;
    let (mut text, processed_at) = py
        .detach_counted(|| open_text(content, &key))
        .or_raise(py)?;
    let object = stack::scrubbed(|| read_object(&object_type, &mut text))?;
    py.detach_counted(|| drop(text));
    Ok((object, package::ALGORITHM, python_number(py, processed_at)?))
}

/// The class that is asked for, `dict` by default.
pub fn dict_type<'py>(
    py: Python<'py>,
    asked: Option<&Bound<'py, PyType>>,
) -> PyResult<Bound<'py, PyType>> {
    let dict = py.get_type::<PyDict>();
    let asked = asked.unwrap_or(&dict);
    if asked.is_subclass(&dict)? {
        return Ok(asked.clone());
    }
    Err(PyTypeError::new_err(
        "object_type must be a subclass of dict",
    ))
}

fn full_dict<'a, 'py>(payload: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyDict>> {
    let py = payload.py();
    let Ok(dict) = payload.cast::<PyDict>() else {
        let message = format!("a payload is a dict, not {}", type_name(payload));
        return Err(errors::type_error(py, &message));
    };
    if dict.is_empty() {
        return Err(errors::value_error(py, "the payload is empty"));
    }
    Ok(dict)
}

/// The plaintext, which is UTF-8, and the time stamp beside it.
fn open_text(
    package: &[u8],
    key: &rsa::PrivateKey,
) -> nomyo_core::Result<(Vec<u8>, Option<Number>)> {
    let sealed = Sealed::parse(package)?;
    let text = sealed.open(key)?;
    if std::str::from_utf8(&text).is_err() {
        return Err(Error::Package);
    }
    Ok((text, sealed.processed_at()))
}

/// The package as an object that cannot change while the GIL is released: itself, or a copy of it
/// (which is ciphertext).
pub fn as_bytes<'py>(package: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    if let Ok(bytes) = package.cast::<PyBytes>() {
        return Ok(bytes.clone());
    }
    if !Exported::offered_by(package) {
        let message = format!("a package is bytes-like, not {}", type_name(package));
        return Err(errors::type_error(package.py(), &message));
    }
    // SAFETY: an object with the buffer protocol is given; the result is a new bytes object.
    let copy = unsafe {
        Bound::from_owned_ptr_or_err(package.py(), ffi::PyBytes_FromObject(package.as_ptr()))?
    };
    Ok(copy.cast_into()?)
}

/// A time stamp as int, float or None.
pub fn python_number(py: Python<'_>, number: Option<Number>) -> PyResult<Bound<'_, PyAny>> {
    match number {
        None => Ok(py.None().into_bound(py)),
        Some(Number::Integer(value)) => Ok(value.into_pyobject(py)?.into_any()),
        Some(Number::Float(value)) => Ok(value.into_pyobject(py)?.into_any()),
    }
}
