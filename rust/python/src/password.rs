//! Takes a password from Python into the core: one copy, in the arena.

use crate::errors;
use crate::exported::type_name;
use crate::secure_buffer::SecureBuffer;
use crate::text::unicode::Text;
use pyo3::Borrowed;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// The UTF-8 of a `str`, or the content of a SecureBuffer.
pub struct Password(Vec<u8>);

impl Password {
    /// Borrows the bytes of an optional password.
    pub fn bytes(password: &Option<Self>) -> Option<&[u8]> {
        password.as_ref().map(|password| password.0.as_slice())
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Password {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let py = object.py();
        if let Ok(buffer) = object.cast::<SecureBuffer>() {
            return Ok(Self(buffer.get().pin(py)?.to_vec()));
        }
        let Ok(string) = object.cast::<PyString>() else {
            let message = format!(
                "a password is str or SecureBuffer, not {}",
                type_name(&object)
            );
            return Err(errors::type_error(py, &message));
        };
        match Text::of(&string)?.to_utf8()? {
            Some(bytes) => Ok(Self(bytes)),
            None => Err(errors::value_error(
                py,
                "a password cannot have a lone surrogate",
            )),
        }
    }
}
