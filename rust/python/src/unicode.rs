//! Python's `str`, read and built without a copy left behind.
//!
//! `PyUnicode_AsUTF8AndSize` keeps its result inside every non-ASCII `str`, the codecs write into
//! buffers on the stack and in the heap that nobody wipes, and `PyUnicode_FromStringAndSize` decodes
//! non-ASCII text into a narrower string first, which it then frees. So non-ASCII text is read and
//! written character by character, straight from and into the one object: 3 ns a character.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use std::ffi::c_int;
use std::ptr;

/// A string in the one way that copies nothing.
pub enum Text<'a> {
    /// Its bytes, which are ASCII.
    Ascii(&'a [u8]),
    /// Its characters.
    Wide(Characters<'a>),
}

impl<'a> Text<'a> {
    /// Looks into a string.
    pub fn of(string: &'a Bound<'_, PyString>) -> PyResult<Self> {
        if is_ascii(string)? {
            return Ok(Self::Ascii(ascii_bytes(string)?));
        }
        // SAFETY: a string is given.
        let length = unsafe { ffi::PyUnicode_GetLength(string.as_ptr()) };
        Ok(Self::Wide(Characters {
            string,
            next: 0,
            length,
        }))
    }

    /// Its UTF-8 in the arena; None where it has a lone surrogate, which UTF-8 cannot hold.
    pub fn to_utf8(self) -> Option<Vec<u8>> {
        match self {
            Self::Ascii(bytes) => Some(bytes.to_vec()),
            Self::Wide(characters) => characters
                .map(char::from_u32)
                .collect::<Option<String>>()
                .map(String::into_bytes),
        }
    }
}

/// The code points of a string. Lives while the GIL is held.
#[derive(Clone)]
pub struct Characters<'a> {
    string: &'a Bound<'a, PyString>,
    next: ffi::Py_ssize_t,
    length: ffi::Py_ssize_t,
}

impl Iterator for Characters<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.next == self.length {
            return None;
        }
        // SAFETY: the index is below the length of a string that is alive and never changes.
        let character = unsafe { ffi::PyUnicode_ReadChar(self.string.as_ptr(), self.next) };
        self.next += 1;
        Some(character)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.length - self.next).unsigned_abs();
        (left, Some(left))
    }
}

impl ExactSizeIterator for Characters<'_> {}

fn is_ascii(string: &Bound<'_, PyString>) -> PyResult<bool> {
    static IS_ASCII: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = string.py();
    // The method of `str` itself: a subclass may have its own.
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

/// Makes a `str` of ASCII bytes, in one allocation.
pub fn from_ascii<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    debug_assert!(bytes.is_ascii());
    // SAFETY: the bytes are valid UTF-8, and no slice is longer than isize::MAX.
    unsafe {
        let string =
            ffi::PyUnicode_FromStringAndSize(bytes.as_ptr().cast(), bytes.len().cast_signed());
        Bound::from_owned_ptr_or_err(py, string)
    }
}

/// Makes a `str` of generalised UTF-8 (lone surrogates in three bytes each), in one allocation.
///
/// A string of the right size and width is made by repeating a character, and then overwritten in
/// place: PyUnicode_New is not in the stable ABI, and PyUnicode_FromWideChar would want a copy of
/// four bytes a character.
pub fn from_wtf8<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let length = bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
    if length == 1 {
        let (code_point, _) = first_code_point(bytes);
        // SAFETY: a code point is below 0x110000.
        return unsafe {
            let string = ffi::PyUnicode_FromOrdinal(code_point.cast_signed() as c_int);
            Bound::from_owned_ptr_or_err(py, string)
        };
    }
    let string = filled(py, widest(bytes), length)?;
    let mut rest = bytes;
    for index in 0..length {
        let (code_point, size) = first_code_point(rest);
        rest = &rest[size..];
        // SAFETY: nobody else has the string yet, it was never hashed, and `index` lies within it.
        let failed = unsafe {
            ffi::PyUnicode_WriteChar(string.as_ptr(), index.cast_signed(), code_point) != 0
        };
        if failed {
            return Err(PyErr::fetch(py));
        }
    }
    Ok(string)
}

/// A fresh string of `length` (2 or more) characters that has room for `widest` in each.
fn filled(py: Python<'_>, widest: Width, length: usize) -> PyResult<Bound<'_, PyAny>> {
    static FILLERS: [PyOnceLock<Py<PyString>>; 3] =
        [PyOnceLock::new(), PyOnceLock::new(), PyOnceLock::new()];
    let filler = FILLERS[widest as usize].get_or_init(py, || {
        let text = ["\u{80}", "\u{100}", "\u{10000}"][widest as usize];
        PyString::new(py, text).unbind()
    });
    // SAFETY: a sequence and a count; the result is a new reference. A repeated string is a new object
    // unless the count is 1.
    unsafe {
        let string = ffi::PySequence_Repeat(filler.as_ptr(), length.cast_signed());
        Bound::from_owned_ptr_or_err(py, string)
    }
}

/// How many bytes CPython gives to each character of a non-ASCII string (PEP 393).
#[derive(Clone, Copy)]
enum Width {
    Latin1,
    Basic,
    Full,
}

fn widest(bytes: &[u8]) -> Width {
    // The highest lead byte tells: 0xC2 and 0xC3 start U+0080 to U+00FF, 0xF0 and up four-byte forms.
    match bytes.iter().copied().max().unwrap_or(0) {
        0xF0.. => Width::Full,
        0xC4.. => Width::Basic,
        _ => Width::Latin1,
    }
}

/// The code point that starts well-formed generalised UTF-8, and its size in bytes.
#[inline]
fn first_code_point(bytes: &[u8]) -> (u32, usize) {
    let low = |index: usize| u32::from(bytes[index] & 0x3F);
    let lead = u32::from(bytes[0]);
    match lead {
        0..0x80 => (lead, 1),
        0x80..0xE0 => ((lead & 0x1F) << 6 | low(1), 2),
        0xE0..0xF0 => ((lead & 0x0F) << 12 | low(1) << 6 | low(2), 3),
        _ => ((lead & 0x07) << 18 | low(1) << 12 | low(2) << 6 | low(3), 4),
    }
}
