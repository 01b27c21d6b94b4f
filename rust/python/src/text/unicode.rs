//! Reads and builds Python's `str` without leaving a copy behind.
//!
//! CPython's own functions leave copies of non-ASCII text in memory that nobody wipes: `PyUnicode_AsUTF8AndSize` keeps
//! its result inside the `str`, the codecs use buffers on the stack and the heap, and `PyUnicode_FromStringAndSize`
//! first decodes into a narrower string, which it then frees. So non-ASCII text is read in place, or copied into the
//! arena piece by piece; and a new `str` is made at its final size, and its characters are written into it.

use crate::text::layout::{self, Characters, CharactersMut};
use crate::text::wtf8::{self, CodePoints, Width};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use std::ffi::c_int;
use std::ptr;

/// The characters of a string.
pub enum Text<'a> {
    /// Its own bytes, which are ASCII.
    Ascii(&'a [u8]),
    /// A string that has other characters too.
    Wide(WideText<'a>),
}

impl<'a> Text<'a> {
    /// Looks into a string, and copies nothing.
    pub fn of(string: &'a Bound<'_, PyString>) -> PyResult<Self> {
        if is_ascii(string)? {
            return Ok(Self::Ascii(ascii_bytes(string)?));
        }
        // SAFETY: a string is given.
        let len = unsafe { ffi::PyUnicode_GetLength(string.as_ptr()) }.unsigned_abs();
        Ok(Self::Wide(WideText { string, len }))
    }

    /// Copies the text into the arena as UTF-8; `None` if it has a lone surrogate, which UTF-8 cannot hold.
    pub fn to_utf8(&self) -> PyResult<Option<Vec<u8>>> {
        let wide = match self {
            Self::Ascii(bytes) => return Ok(Some(bytes.to_vec())),
            Self::Wide(wide) => wide,
        };
        let mut code_points = vec![0; wide.len];
        wide.copy_to(0, &mut code_points)?;
        let characters = code_points.into_iter().map(char::from_u32);
        Ok(characters
            .collect::<Option<String>>()
            .map(String::into_bytes))
    }
}

/// A string that is not all ASCII.
pub struct WideText<'a> {
    string: &'a Bound<'a, PyString>,
    len: usize,
}

impl WideText<'_> {
    /// The number of code points.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The code points in place; `None` if it is not known where they lie.
    pub fn characters(&self) -> Option<Characters<'_>> {
        layout::characters(self.string, self.len)
    }

    /// Copies code points, from `start` on, until `out` is full.
    ///
    /// It copies the whole string at once, but a part of it one by one (3 ns each): the stable ABI has no other way.
    pub fn copy_to(&self, start: usize, out: &mut [u32]) -> PyResult<()> {
        assert!(start + out.len() <= self.len);
        let string = self.string.as_ptr();
        if out.len() == self.len {
            let len = self.len.cast_signed();
            // SAFETY: the buffer has room for as many code points as the string has; no null is written after them.
            let copied = unsafe { ffi::PyUnicode_AsUCS4(string, out.as_mut_ptr(), len, 0) };
            if copied.is_null() {
                return Err(PyErr::fetch(self.string.py()));
            }
            return Ok(());
        }
        for (index, code_point) in out.iter_mut().enumerate() {
            // SAFETY: the index is below the length of a string that is alive and never changes.
            *code_point = unsafe { ffi::PyUnicode_ReadChar(string, (start + index).cast_signed()) };
        }
        Ok(())
    }
}

fn is_ascii(string: &Bound<'_, PyString>) -> PyResult<bool> {
    static IS_ASCII: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = string.py();
    // The method of `str` itself, since a subclass may have its own.
    let method = IS_ASCII.get_or_try_init(py, || {
        py.get_type::<PyString>()
            .getattr("isascii")
            .map(Bound::unbind)
    })?;
    // SAFETY: both objects are alive; the argument list ends with null; the result is a new reference.
    let answer = unsafe {
        let answer = ffi::PyObject_CallFunctionObjArgs(
            method.as_ptr(),
            string.as_ptr(),
            ptr::null_mut::<ffi::PyObject>(),
        );
        Bound::from_owned_ptr_or_err(py, answer)?
    };
    answer.is_truthy()
}

fn ascii_bytes<'a>(string: &'a Bound<'_, PyString>) -> PyResult<&'a [u8]> {
    let mut size = 0;
    // SAFETY: for an ASCII string this returns a pointer to its own characters and caches nothing.
    let data = unsafe { ffi::PyUnicode_AsUTF8AndSize(string.as_ptr(), &mut size) };
    if data.is_null() {
        return Err(PyErr::fetch(string.py()));
    }
    // SAFETY: `size` bytes live there as long as the string, which never changes.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), size.unsigned_abs()) })
}

/// Makes a `str` of ASCII bytes in one allocation.
pub fn from_ascii<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    debug_assert!(bytes.is_ascii());
    // SAFETY: the bytes are valid UTF-8, and no slice is longer than isize::MAX.
    unsafe {
        let string =
            ffi::PyUnicode_FromStringAndSize(bytes.as_ptr().cast(), bytes.len().cast_signed());
        Bound::from_owned_ptr_or_err(py, string)
    }
}

/// Makes a `str` of well-formed generalised UTF-8 that is not all ASCII, in one allocation.
///
/// It repeats a character to get a string of the right size and width, and overwrites it in place: `PyUnicode_New` is
/// not in the stable ABI, and `PyUnicode_FromWideChar` would need a copy of four bytes a character.
pub fn from_wtf8<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let length = wtf8::length(bytes);
    let mut code_points = CodePoints(bytes.iter());
    // CPython shares the strings of single characters, so this one must not be overwritten.
    if length == 1 {
        let code_point = code_points.next().unwrap_or(0);
        // SAFETY: a code point is below 0x110000.
        return unsafe {
            let string = ffi::PyUnicode_FromOrdinal(code_point.cast_signed() as c_int);
            Bound::from_owned_ptr_or_err(py, string)
        };
    }
    let string = filled(py, wtf8::widest(bytes), length)?;
    // SAFETY: nobody else has the string yet, and it was never hashed.
    match unsafe { layout::characters_mut(&string, length) } {
        Some(CharactersMut::One(place)) => wtf8::decode(bytes, place),
        Some(CharactersMut::Two(place)) => wtf8::decode(bytes, place),
        Some(CharactersMut::Four(place)) => wtf8::decode(bytes, place),
        None => write_one_by_one(&string, code_points)?,
    }
    Ok(string.into_any())
}

fn write_one_by_one(string: &Bound<'_, PyString>, code_points: CodePoints<'_>) -> PyResult<()> {
    for (index, code_point) in code_points.enumerate() {
        // SAFETY: `from_wtf8` made the string, with room for as many code points.
        let failed = unsafe {
            ffi::PyUnicode_WriteChar(string.as_ptr(), index.cast_signed(), code_point) != 0
        };
        if failed {
            return Err(PyErr::fetch(string.py()));
        }
    }
    Ok(())
}

/// Makes a fresh string of `length` (2 or more) characters, each as wide as `widest`.
fn filled(py: Python<'_>, widest: Width, length: usize) -> PyResult<Bound<'_, PyString>> {
    static FILLERS: [PyOnceLock<Py<PyString>>; 3] =
        [PyOnceLock::new(), PyOnceLock::new(), PyOnceLock::new()];
    let filler = FILLERS[widest as usize].get_or_init(py, || {
        let text = ["\u{80}", "\u{100}", "\u{10000}"][widest as usize];
        PyString::new(py, text).unbind()
    });
    // SAFETY: a sequence and a count are given; the result is a new reference. A repeated string is a new object if the
    // count is not 1.
    unsafe {
        let string = ffi::PySequence_Repeat(filler.as_ptr(), length.cast_signed());
        Ok(Bound::from_owned_ptr_or_err(py, string)?.cast_into()?)
    }
}
