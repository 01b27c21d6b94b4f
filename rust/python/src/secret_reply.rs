//! Packages opened into locked memory alone: an answer that never becomes a Python object.

use crate::detached::Detached;
use crate::errors::OrRaise;
use crate::json_parts::{Parts, find_parts};
use crate::json_read::read_value;
use crate::json_unescape::{unescape_into, unescaped_len};
use crate::json_walk::{Quoted, Syntax};
use crate::keys::PrivateKey;
use crate::sealing::{as_bytes, dict_type, python_number};
use crate::secure_buffer::SecureBuffer;
use nomyo_core::buffer::SecureBuffer as Memory;
use nomyo_core::envelope::{Number, Sealed};
use nomyo_core::{Error, Result, package, rsa, stack};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};
use std::ops::Range;

type SecretReply<'py> = (
    SecureBuffer,
    Option<SecureBuffer>,
    Bound<'py, PyDict>,
    &'static str,
    Bound<'py, PyAny>,
);

/// Open a package that holds a chat completion, without making Python objects of it: (its JSON; the first
/// choice's `message.content`, decoded, or None where that is no string; the rest; algorithm; processed_at).
///
/// The rest is a dict of plain values: id, model, usage, finish_reason (the first choice's), _metadata; what is
/// not there is None. Objects below it are instances of `object_type`. Raises as `open_package` does.
#[pyfunction]
#[pyo3(signature = (package, key, object_type = None))]
pub fn open_secret<'py>(
    package: &Bound<'py, PyAny>,
    key: &Bound<'py, PrivateKey>,
    object_type: Option<&Bound<'py, PyType>>,
) -> PyResult<SecretReply<'py>> {
    let py = package.py();
    let object_type = dict_type(py, object_type)?;
    let sealed = as_bytes(package)?;
    let sealed = sealed.as_bytes();
    let key = key.get().core(py)?;
    let opened = py
        .detach_counted(|| open_parts(sealed, &key))
        .or_raise(py)?;
    let plain = stack::scrubbed(|| opened.plain_values(&object_type))?;
    Ok((
        SecureBuffer::from_memory(opened.json),
        opened.content.map(SecureBuffer::from_memory),
        plain,
        package::ALGORITHM,
        python_number(py, opened.processed_at)?,
    ))
}

struct Opened {
    json: Memory,
    content: Option<Memory>,
    parts: Parts,
    processed_at: Option<Number>,
}

fn open_parts(package: &[u8], key: &rsa::PrivateKey) -> Result<Opened> {
    let sealed = Sealed::parse(package)?;
    let mut json = Memory::new(sealed.plaintext_len())?;
    sealed.open_into(key, json.as_mut_slice()?)?;
    let (parts, content) = stack::scrubbed(|| read_parts(json.as_slice()?))?;
    Ok(Opened {
        json,
        content,
        parts,
        processed_at: sealed.processed_at(),
    })
}

fn read_parts(json: &[u8]) -> Result<(Parts, Option<Memory>)> {
    if std::str::from_utf8(json).is_err() {
        return Err(Error::Package);
    }
    let parts = find_parts(json).map_err(|Syntax| Error::Package)?;
    let content = parts.choice.content.as_ref();
    let content = content.map(|quoted| decoded(json, quoted)).transpose()?;
    Ok((parts, content))
}

fn decoded(json: &[u8], quoted: &Quoted) -> Result<Memory> {
    let text = &json[quoted.content.clone()];
    let mut memory = Memory::new(unescaped_len(text).ok_or(Error::Package)?)?;
    unescape_into(text, memory.as_mut_slice()?).ok_or(Error::Package)?;
    Ok(memory)
}

impl Opened {
    fn plain_values<'py>(&self, object_type: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyDict>> {
        let values = PyDict::new(object_type.py());
        for (name, place) in [
            ("id", &self.parts.id),
            ("model", &self.parts.model),
            ("usage", &self.parts.usage),
            ("finish_reason", &self.parts.choice.finish_reason),
            ("_metadata", &self.parts.metadata),
        ] {
            values.set_item(name, self.plain_value(object_type, place.clone())?)?;
        }
        Ok(values)
    }

    fn plain_value<'py>(
        &self,
        object_type: &Bound<'py, PyType>,
        place: Option<Range<usize>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = object_type.py();
        let Some(place) = place else {
            return Ok(py.None().into_bound(py));
        };
        // A copy in the arena: reading resolves escapes in place.
        let mut text = self.json.as_slice().or_raise(py)?[place].to_vec();
        read_value(object_type, &mut text)
    }
}
