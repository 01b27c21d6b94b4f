//! Reads JSON (RFC 8259) from the arena into Python objects.
//!
//! The values are those of `json.loads`, NaN and the infinities among them. Escapes are resolved within the plaintext
//! itself, and each string becomes a Python object in one allocation. So no second copy of a text ever exists.

use crate::detached::Detached;
use crate::errors;
use crate::json::known_keys::known_key;
use crate::json::numbers::{parse_float, parse_int};
use crate::text::unicode;
use nomyo_core::Error;
use nomyo_core::json::unescape::unescape;
use nomyo_core::json::walk::{Syntax, Walker};
use nomyo_core::stack::{check_room, check_room_above};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyType};
use std::ops::Range;

/// After this many values (some 50 us) the GIL is released once, so that a waiting thread can have it.
const VALUES_AT_A_TIME: usize = 1024;
/// From this length on, a string's escapes (some 40 ns each) are resolved with the GIL released.
const LONG_BYTES: usize = 16 * 1024;
/// An upper bound of the stack that a level of objects or arrays takes.
const LEVEL_BYTES: usize = 512;

/// Checks that this thread has enough stack to read so many levels; [`Error::Stack`] if not.
pub fn check_stack(levels: usize) -> nomyo_core::Result<()> {
    check_room_above(levels * LEVEL_BYTES)
}

/// Makes Python objects of a value. Its objects become instances of `object_type`.
///
/// The caller has checked the whole text (`check`) and the stack ([`check_stack`]), so only an error of Python itself
/// can stop the reading midway. The text is overwritten: its escapes are resolved in place.
pub fn read_value<'py>(
    object_type: &Bound<'py, PyType>,
    text: &mut [u8],
) -> PyResult<Bound<'py, PyAny>> {
    let py = object_type.py();
    let mut reader = Reader {
        object_type,
        exact_dict: object_type.is(py.get_type::<PyDict>()),
        walker: Walker::new(text),
        values: 0,
    };
    reader.document().map_err(|fault| match fault {
        Fault::Syntax => errors::from_core(py, Error::NotJson),
        Fault::Core(error) => errors::from_core(py, error),
        Fault::Python(error) => error,
    })
}

enum Fault {
    Syntax,
    Core(Error),
    Python(PyErr),
}

impl From<PyErr> for Fault {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Core(error)
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
    /// How many values were read.
    values: usize,
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
        self.values += 1;
        if self.values.is_multiple_of(VALUES_AT_A_TIME) {
            py.detach(|| ());
        }
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
        check_room()?;
        let object = self.new_object()?;
        let mut more = self.walker.enter(depth, b'}')?;
        while more {
            let key = self.key()?;
            self.walker.colon()?;
            let value = self.value(depth + 1)?;
            // A subclass's own `__setitem__` is not called: it could refuse a value midway.
            // SAFETY: `object` is a dict (see `new_object`); key and value are alive.
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
        check_room()?;
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

    /// Passes over a string and resolves its escapes. Returns where its content lies.
    fn string(&mut self) -> Read<Range<usize>> {
        let quoted = self.walker.string()?;
        if !quoted.escaped {
            return Ok(quoted.content);
        }
        let start = quoted.content.start;
        let py = self.py();
        let content = &mut self.walker.text[quoted.content];
        let length = if content.len() < LONG_BYTES {
            unescape(content)
        } else {
            py.detach_counted(|| unescape(content))
        };
        let length = length.ok_or(Fault::Syntax)?;
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
            return Ok(parse_int(self.py(), number)?);
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
