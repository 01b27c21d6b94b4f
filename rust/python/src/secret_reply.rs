//! Opens a chat completion into locked memory only: its text never becomes a Python object.

use crate::detached::Detached;
use crate::errors::OrRaise;
use crate::json::read::{check_stack, read_value};
use crate::keys::PrivateKey;
use crate::sealing::{as_bytes, dict_type, python_number};
use crate::secure_buffer::SecureBuffer;
use nomyo_core::buffer::SecureBuffer as Memory;
use nomyo_core::crypto::rsa;
use nomyo_core::envelope::{Number, Sealed};
use nomyo_core::json::check::check_object;
use nomyo_core::json::parts::{Parts, find_parts};
use nomyo_core::json::unescape::{unescape_into, unescaped_len};
use nomyo_core::json::walk::{Quoted, Syntax, Walker};
use nomyo_core::{Error, Result, arena, package, stack};
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

/// Open a package that holds a chat completion, without making Python objects of its text.
///
/// Returns (JSON, content, plain values, the algorithm's name, `processed_at`). Content is the first choice's
/// `message.content`, its escapes resolved, or None if that is no string. The plain values are a dict of id, model,
/// usage, finish_reason (the first choice's) and _metadata, each None if it is missing; JSON objects in it are
/// instances of `object_type`. Raises the same errors as `open_package`.
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
    let json = Memory::filled(sealed.plaintext_len(), |json| sealed.open_into(key, json))?;
    let (parts, content) = stack::scrubbed(|| read_parts(&json.content()?))?;
    Ok(Opened {
        json,
        content,
        parts,
        processed_at: sealed.processed_at(),
    })
}

fn read_parts(json: &[u8]) -> Result<(Parts, Option<Memory>)> {
    check_object(json)?;
    let parts = find_parts(json).map_err(|Syntax| Error::NotJson)?;
    let content = parts.choice.content.as_ref();
    let content = content.map(|quoted| decoded(json, quoted)).transpose()?;
    Ok((parts, content))
}

fn decoded(json: &[u8], quoted: &Quoted) -> Result<Memory> {
    let text = &json[quoted.content.clone()];
    let len = unescaped_len(text).ok_or(Error::NotJson)?;
    Memory::filled(len, |out| unescape_into(text, out).ok_or(Error::NotJson))
}

impl Opened {
    fn plain_values<'py>(&self, object_type: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyDict>> {
        let places = [
            ("id", &self.parts.id),
            ("model", &self.parts.model),
            ("usage", &self.parts.usage),
            ("finish_reason", &self.parts.choice.finish_reason),
            ("_metadata", &self.parts.metadata),
        ];
        let py = object_type.py();
        // Everything that can fail comes before the first Python object, which would be freed without being wiped.
        let texts: Result<Vec<_>> = py.detach_counted(|| {
            places
                .into_iter()
                .map(|(name, place)| Ok((name, self.copy_of(place.clone())?)))
                .collect()
        });
        let values = PyDict::new(py);
        for (name, text) in texts.or_raise(py)? {
            let value = match text {
                Some(mut text) => read_value(object_type, &mut text)?,
                None => py.None().into_bound(py),
            };
            values.set_item(name, value)?;
        }
        Ok(values)
    }

    /// Copies a part into the arena, since reading it overwrites the text. Checks first that this thread can read it.
    fn copy_of(&self, place: Option<Range<usize>>) -> Result<Option<Vec<u8>>> {
        let Some(place) = place else {
            return Ok(None);
        };
        let json = self.json.content()?;
        let json = &json[place];
        let levels = Walker::new(json).skip();
        check_stack(levels.map_err(|Syntax| Error::NotJson)?)?;
        let mut text = arena::zeroed(json.len())?;
        text.copy_from_slice(json);
        arena::check_required()?;
        Ok(Some(text))
    }
}
