//! Seals and opens the packages of the protocol.

use crate::detached::Detached;
use crate::errors::{self, OrRaise};
use crate::exported::{Exported, type_name};
use crate::json::read::{check_stack, read_value};
use crate::json::write::write_payload;
use crate::keys::{PrivateKey, PublicKey};
use nomyo_core::crypto::rsa;
use nomyo_core::envelope::{Number, Sealed, Sealer};
use nomyo_core::json::check::check_object;
use nomyo_core::json::parts::find_parts;
use nomyo_core::json::sink::Measure;
use nomyo_core::json::walk::Syntax;
use nomyo_core::{Error, arena, package, stack};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyType};

/// A text that takes longer to wipe than the GIL takes to change hands.
const LARGE: usize = 64 * 1024;

/// A JSON object, the algorithm's name, and `processed_at` of the outer object.
pub type Opened<'py> = (Bound<'py, PyAny>, &'static str, Bound<'py, PyAny>);

/// Write a payload as JSON into locked memory and seal it for `key` under a fresh AES-256 key.
///
/// Raises ValueError or TypeError if JSON cannot hold a value, with the path to it (`messages[3].content`), and
/// ValueError if the JSON is larger than `limit_bytes`. If it is `padded`, spaces behind the JSON fill it up to the next
/// size of the Padmé scheme, or to the limit.
#[pyfunction]
#[pyo3(signature = (payload, key, *, limit_bytes = 10_485_760, processed_at = None, padded = false))]
pub fn seal<'py>(
    payload: &Bound<'py, PyAny>,
    key: &Bound<'py, PublicKey>,
    limit_bytes: usize,
    processed_at: Option<i64>,
    padded: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = payload.py();
    let payload = full_dict(payload)?;
    let mut sealer = Sealer::new(limit_bytes).or_raise(py)?;
    stack::scrubbed(|| write_payload(payload, &mut sealer, limit_bytes))?;
    let key = key.get().core();
    let package = py
        .detach_counted(|| {
            stack::scrubbed(|| {
                if padded {
                    sealer.pad_with_spaces()?;
                }
                sealer.finish(key, processed_at)
            })
        })
        .or_raise(py)?;
    Ok(PyBytes::new(py, &package))
}

/// Check a payload: raise the error that `seal` would raise for it, without sealing anything.
#[pyfunction]
#[pyo3(signature = (payload, *, limit_bytes = 10_485_760))]
pub fn check_payload(payload: &Bound<'_, PyAny>, limit_bytes: usize) -> PyResult<()> {
    let payload = full_dict(payload)?;
    let mut measure = Measure::new(limit_bytes);
    stack::scrubbed(|| write_payload(payload, &mut measure, limit_bytes))
}

/// Return whether `seal` would accept this payload with this limit.
#[pyfunction]
pub fn fits(payload: &Bound<'_, PyAny>, limit_bytes: usize) -> bool {
    check_payload(payload, limit_bytes).is_ok()
}

/// Open a package. Returns (the JSON object, the algorithm's name, `processed_at` of the outer object).
///
/// JSON objects become instances of `object_type`, a subclass of dict that can be called without arguments. NaN and the
/// infinities are read as Python's `json` reads them. Raises the same SecurityError for every failure up to the tag,
/// another that says "not JSON" if the tag is genuine but the plaintext is no such object, and DisposedError if the key
/// was wiped.
///
/// If `judge` is given, it is called with `_metadata` (None if it is missing) before any other Python object is made of
/// the plaintext; what it raises ends the opening, and the plaintext is wiped.
#[pyfunction]
#[pyo3(signature = (package, key, object_type = None, judge = None))]
pub fn open_package<'py>(
    package: &Bound<'py, PyAny>,
    key: &Bound<'py, PrivateKey>,
    object_type: Option<&Bound<'py, PyType>>,
    judge: Option<&Bound<'py, PyAny>>,
) -> PyResult<Opened<'py>> {
    let py = package.py();
    let object_type = dict_type(py, object_type)?;
    let sealed = as_bytes(package)?;
    let content = sealed.as_bytes();
    let key = key.get().core(py)?;
    let text = py
        .detach_counted(|| OpenText::open(content, &key))
        .or_raise(py)?;
    text.into_objects(&object_type, judge)
}

/// The plaintext of a package, which was checked to be a JSON object. It is wiped when it is dropped.
pub struct OpenText {
    json: Vec<u8>,
    levels: usize,
    processed_at: Option<Number>,
}

impl OpenText {
    /// Opens a package and checks its plaintext.
    pub fn open(package: &[u8], key: &rsa::PrivateKey) -> nomyo_core::Result<Self> {
        let sealed = Sealed::parse(package)?;
        let json = sealed.open(key)?;
        let levels = stack::scrubbed(|| check_object(&json))?;
        Ok(Self {
            json,
            levels,
            processed_at: sealed.processed_at(),
        })
    }

    /// Makes Python objects of the text and wipes it; see `open_package`.
    pub fn into_objects<'py>(
        mut self,
        object_type: &Bound<'py, PyType>,
        judge: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Opened<'py>> {
        let py = object_type.py();
        check_stack(self.levels).or_raise(py)?;
        if let Some(judge) = judge {
            judge.call1((metadata(&self.json, object_type)?,))?;
        }
        let object = stack::scrubbed(|| read_value(object_type, &mut self.json))?;
        let processed_at = python_number(py, self.processed_at)?;
        self.wipe(py);
        Ok((object, package::ALGORITHM, processed_at))
    }

    /// Wipes the text: a large one without the GIL; for a small one, to take the GIL again would take longer.
    fn wipe(self, py: Python<'_>) {
        if self.json.len() > LARGE {
            py.detach_counted(|| drop(self));
        }
    }
}

/// Makes Python objects of `_metadata` alone, None if it is missing; the text stays as it is.
fn metadata<'py>(text: &[u8], object_type: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    let py = object_type.py();
    let place = stack::scrubbed(|| find_parts(text));
    let place = place.map_err(|Syntax| Error::NotJson).or_raise(py)?;
    let Some(place) = place.metadata else {
        return Ok(py.None().into_bound(py));
    };
    let mut part = arena::zeroed(place.len()).or_raise(py)?;
    part.copy_from_slice(&text[place]);
    stack::scrubbed(|| read_value(object_type, &mut part))
}

/// Returns the class for JSON objects: `object_type`, or `dict` if it is None. TypeError if it is no subclass of dict.
pub fn dict_type<'py>(
    py: Python<'py>,
    object_type: Option<&Bound<'py, PyType>>,
) -> PyResult<Bound<'py, PyType>> {
    let dict = py.get_type::<PyDict>();
    let object_type = object_type.unwrap_or(&dict);
    if object_type.is_subclass(&dict)? {
        return Ok(object_type.clone());
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

/// Returns the package as bytes, which cannot change while the GIL is released: itself, or a copy (of ciphertext).
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

/// Converts a time stamp to int, float or None.
pub fn python_number(py: Python<'_>, number: Option<Number>) -> PyResult<Bound<'_, PyAny>> {
    match number {
        None => Ok(py.None().into_bound(py)),
        Some(Number::Integer(value)) => Ok(value.into_pyobject(py)?.into_any()),
        Some(Number::Float(value)) => Ok(value.into_pyobject(py)?.into_any()),
    }
}
