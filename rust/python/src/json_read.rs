//! Strict JSON (RFC 8259) from the arena into Python objects.
//!
//! The values are those of `json.loads`, without its literals NaN and Infinity and without a digit
//! limit; nesting ends at [`DEEPEST`](crate::json_write::DEEPEST). Strings are unescaped within the
//! plaintext itself and become Python objects in one allocation each: no second copy of a text ever
//! exists, and none is cached.

use crate::json_unescape::unescape;
use crate::json_walk::{Syntax, Walker};
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
    let mut walker = Walker::new(text);
    match walker.expect_object() {
        Ok(()) => read(object_type, walker),
        Err(Syntax) => Err(errors::from_core(object_type.py(), Error::Package)),
    }
}

/// The same for a value of any kind.
pub fn read_value<'py>(
    object_type: &Bound<'py, PyType>,
    text: &mut [u8],
) -> PyResult<Bound<'py, PyAny>> {
    read(object_type, Walker::new(text))
}

fn read<'py>(
    object_type: &Bound<'py, PyType>,
    walker: Walker<&mut [u8]>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object_type.py();
    let mut reader = Reader {
        object_type,
        exact_dict: object_type.is(py.get_type::<PyDict>()),
        walker,
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

impl From<Syntax> for Fault {
    fn from(_: Syntax) -> Self {
        Self::Syntax
    }
}

type Read<T> = Result<T, Fault>;

struct Reader<'py, 'text> {
    object_type: &'text Bound<'py, PyType>,
    exact_dict: bool,
    walker: Walker<&'text mut [u8]>,
}

impl<'py> Reader<'py, '_> {
    fn document(&mut self) -> Read<Bound<'py, PyAny>> {
        self.walker.skip_space();
        let value = self.value(0)?;
        self.walker.end()?;
        Ok(value)
    }

    fn value(&mut self, depth: usize) -> Read<Bound<'py, PyAny>> {
        let py = self.py();
        match self.walker.peek().ok_or(Fault::Syntax)? {
            b'"' => {
                let content = self.string()?;
                self.make_string(content)
            }
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
        let mut more = self.walker.enter(depth, b'}')?;
        while more {
            let key = self.key()?;
            self.walker.colon()?;
            let value = self.value(depth + 1)?;
            // SAFETY: `object` is a dict (see `new_object`); key and value are alive. The subclass's
            // own __setitem__ is passed over, as an exact dict's would be.
            let failed =
                unsafe { ffi::PyDict_SetItem(object.as_ptr(), key.as_ptr(), value.as_ptr()) } != 0;
            if failed {
                return Err(PyErr::fetch(self.py()).into());
            }
            more = self.walker.more(b'}')?;
        }
        Ok(object)
    }

    fn array(&mut self, depth: usize) -> Read<Bound<'py, PyAny>> {
        let array = PyList::empty(self.py());
        let mut more = self.walker.enter(depth, b']')?;
        while more {
            array.append(self.value(depth + 1)?)?;
            more = self.walker.more(b']')?;
        }
        Ok(array.into_any())
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
        let content = self.string()?;
        match known_key(self.py(), &self.walker.text[content.clone()]) {
            Some(key) => Ok(key),
            None => self.make_string(content),
        }
    }

    /// Passes over a string and resolves its escapes: where its content is.
    fn string(&mut self) -> Read<Range<usize>> {
        let quoted = self.walker.string()?;
        if !quoted.escaped {
            return Ok(quoted.content);
        }
        let start = quoted.content.start;
        let content = &mut self.walker.text[quoted.content];
        let length = unescape(content).ok_or(Fault::Syntax)?;
        Ok(start..start + length)
    }

    fn make_string(&self, content: Range<usize>) -> Read<Bound<'py, PyAny>> {
        let content = &self.walker.text[content];
        if content.is_ascii() {
            return Ok(unicode::from_ascii(self.py(), content)?);
        }
        Ok(unicode::from_wtf8(self.py(), content)?)
    }

    fn number(&mut self) -> Read<Bound<'py, PyAny>> {
        let start = self.walker.at();
        let integral = self.walker.number()?;
        let number = &self.walker.text[start..self.walker.at()];
        if integral {
            return parse_int(self.py(), number)?.ok_or(Fault::Syntax);
        }
        let value = parse_float(number).ok_or(Fault::Syntax)?;
        Ok(PyFloat::new(self.py(), value).into_any())
    }

    fn literal(
        &mut self,
        name: &[u8],
        value: impl FnOnce() -> Bound<'py, PyAny>,
    ) -> Read<Bound<'py, PyAny>> {
        self.walker.literal(name)?;
        Ok(value())
    }

    fn py(&self) -> Python<'py> {
        self.object_type.py()
    }
}
