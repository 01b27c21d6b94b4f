//! Strict JSON (RFC 8259) from the arena into Python objects.
//!
//! The values are those of `json.loads`, without its literals NaN and Infinity and without a digit
//! limit; nesting ends at [`DEEPEST`]. Strings are unescaped within the plaintext itself and become
//! Python objects in one allocation each: no second copy of a text ever exists, and none is cached.
//! Every fault of syntax reads the same, for the text comes from whoever sealed the package.

use crate::json_text::{find_special, unescape};
use crate::json_write::DEEPEST;
use crate::known_keys::known_key;
use crate::numbers::{parse_float, parse_int};
use crate::{errors, unicode};
use nomyo_core::Error;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyType};
use std::ops::Range;

/// Reads UTF-8 text whose outermost value is an object; its objects become instances of `object_type`.
///
/// The text is used up: its escapes are resolved in place.
pub fn read_object<'py>(
    object_type: &Bound<'py, PyType>,
    text: &mut [u8],
) -> PyResult<Bound<'py, PyAny>> {
    let py = object_type.py();
    let mut reader = Reader {
        object_type,
        exact_dict: object_type.is(py.get_type::<PyDict>()),
        text,
        at: 0,
    };
    reader.document().map_err(|fault| match fault {
        Fault::Syntax => errors::from_core(py, Error::Package),
        Fault::Python(error) => error,
    })
}

enum Fault {
    Syntax,
    Python(PyErr),
}

impl From<PyErr> for Fault {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

type Read<T> = Result<T, Fault>;

struct Reader<'py, 'text> {
    object_type: &'text Bound<'py, PyType>,
    exact_dict: bool,
    text: &'text mut [u8],
    at: usize,
}

impl<'py> Reader<'py, '_> {
    fn document(&mut self) -> Read<Bound<'py, PyAny>> {
        self.skip_space();
        if self.peek() != Some(b'{') {
            return Err(Fault::Syntax);
        }
        let object = self.value(0)?;
        self.skip_space();
        match self.peek() {
            None => Ok(object),
            Some(_) => Err(Fault::Syntax),
        }
    }

    fn value(&mut self, depth: usize) -> Read<Bound<'py, PyAny>> {
        let py = self.py();
        match self.peek().ok_or(Fault::Syntax)? {
            b'"' => {
                let content = self.string()?;
                self.make_string(content)
            }
            b'{' | b'[' if depth > DEEPEST => Err(Fault::Syntax),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b't' => self.literal(b"true", || PyBool::new(py, true).to_owned().into_any()),
            b'f' => self.literal(b"false", || PyBool::new(py, false).to_owned().into_any()),
            b'n' => self.literal(b"null", || py.None().into_bound(py)),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Read<Bound<'py, PyAny>> {
        let object = self.new_object()?;
        self.at += 1;
        self.skip_space();
        if self.take(b'}') {
            return Ok(object);
        }
        loop {
            let key = self.key()?;
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            let value = self.value(depth + 1)?;
            // SAFETY: `object` is a dict (see `new_object`); key and value are alive. The subclass's
            // own __setitem__ is passed over, as an exact dict's would be.
            let failed =
                unsafe { ffi::PyDict_SetItem(object.as_ptr(), key.as_ptr(), value.as_ptr()) } != 0;
            if failed {
                return Err(PyErr::fetch(self.py()).into());
            }
            self.skip_space();
            if self.take(b'}') {
                return Ok(object);
            }
            self.expect(b',')?;
            self.skip_space();
        }
    }

    fn array(&mut self, depth: usize) -> Read<Bound<'py, PyAny>> {
        let array = PyList::empty(self.py());
        self.at += 1;
        self.skip_space();
        if self.take(b']') {
            return Ok(array.into_any());
        }
        loop {
            array.append(self.value(depth + 1)?)?;
            self.skip_space();
            if self.take(b']') {
                return Ok(array.into_any());
            }
            self.expect(b',')?;
            self.skip_space();
        }
    }

    fn new_object(&self) -> Read<Bound<'py, PyAny>> {
        if self.exact_dict {
            return Ok(PyDict::new(self.py()).into_any());
        }
        let object = self.object_type.call0()?;
        if !object.is_instance_of::<PyDict>() {
            return Err(errors::type_error(self.py(), "object_type must make dicts").into());
        }
        Ok(object)
    }

    fn key(&mut self) -> Read<Bound<'py, PyAny>> {
        if self.peek() != Some(b'"') {
            return Err(Fault::Syntax);
        }
        let content = self.string()?;
        match known_key(self.py(), &self.text[content.clone()]) {
            Some(key) => Ok(key),
            None => self.make_string(content),
        }
    }

    /// Passes over a string and resolves its escapes: where its content is.
    fn string(&mut self) -> Read<Range<usize>> {
        let start = self.at + 1;
        let mut end = start;
        let mut escaped = false;
        loop {
            end += find_special(&self.text[end..]).ok_or(Fault::Syntax)?;
            match self.text[end] {
                b'"' => break,
                // Whatever follows is no end of the string; `unescape` judges it.
                b'\\' => end += 2,
                _ => return Err(Fault::Syntax),
            }
            escaped = true;
            if end > self.text.len() {
                return Err(Fault::Syntax);
            }
        }
        self.at = end + 1;
        if !escaped {
            return Ok(start..end);
        }
        let length = unescape(&mut self.text[start..end]).ok_or(Fault::Syntax)?;
        Ok(start..start + length)
    }

    fn make_string(&self, content: Range<usize>) -> Read<Bound<'py, PyAny>> {
        let content = &self.text[content];
        if content.is_ascii() {
            return Ok(unicode::from_ascii(self.py(), content)?);
        }
        Ok(unicode::from_wtf8(self.py(), content)?)
    }

    fn number(&mut self) -> Read<Bound<'py, PyAny>> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut integral = true;
        if self.take(b'.') {
            integral = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            integral = false;
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let number = &self.text[start..self.at];
        if integral {
            return parse_int(self.py(), number)?.ok_or(Fault::Syntax);
        }
        let value = parse_float(number).ok_or(Fault::Syntax)?;
        Ok(PyFloat::new(self.py(), value).into_any())
    }

    /// One digit or more.
    fn digits(&mut self) -> Read<()> {
        let rest = &self.text[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 {
            return Err(Fault::Syntax);
        }
        Ok(())
    }

    fn literal(
        &mut self,
        name: &[u8],
        value: impl FnOnce() -> Bound<'py, PyAny>,
    ) -> Read<Bound<'py, PyAny>> {
        if !self.text[self.at..].starts_with(name) {
            return Err(Fault::Syntax);
        }
        self.at += name.len();
        Ok(value())
    }

    fn py(&self) -> Python<'py> {
        self.object_type.py()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Read<()> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(Fault::Syntax)
        }
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }
}
