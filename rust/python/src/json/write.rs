//! Writes Python objects as JSON, straight into a sealer's window, or only measures them.
//!
//! The text is that of `json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))`, for the same
//! classes and their subclasses, with three exceptions:
//! - nesting beyond [`DEEPEST`] is refused;
//! - a SecureBuffer may stand for any string value;
//! - a lone surrogate is written as its escape, since UTF-8 cannot hold it and an answer may bring one.
//!
//! The plaintext is in memory piece by piece, in the window, and never as a whole.

use crate::detached::Detached;
use crate::exported::type_name;
use crate::json::numbers::{FloatText, big_int_digits, small_int};
use crate::json::path::{Fault, Step};
use crate::secure_buffer::{CLOSED, Pinned, SecureBuffer};
use crate::text::layout::Characters;
use crate::text::unicode::{Text, WideText};
use nomyo_core::Error;
use nomyo_core::arena::{check_required, locked_is_required};
use nomyo_core::json::bounds::{DEEPEST, LONGEST_DIGITS};
use nomyo_core::json::escape::{write_code_points, write_escaped};
use nomyo_core::json::sink::Sink;
use nomyo_core::stack::check_room;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use std::ptr;

/// From this many characters on, a text is escaped and encrypted with the GIL released.
const LONG_TEXT: usize = 64 * 1024;
/// The pieces (16 KiB) in which a text is copied into the arena if it cannot be read in place.
const PIECE_CODE_POINTS: usize = 4096;
/// The pieces in which a SecureBuffer is copied into the arena, since its owner may write to it at any time.
const PIECE_BYTES: usize = 4096;

type Written = Result<(), Box<Fault>>;

/// Writes a dict as JSON into `out`, whose limit is `limit_bytes`.
pub fn write_payload(
    payload: &Bound<'_, PyDict>,
    out: &mut impl Sink,
    limit_bytes: usize,
) -> PyResult<()> {
    let mut writer = Writer {
        out,
        ancestors: Vec::with_capacity(16),
    };
    writer
        .dict(payload)
        .map_err(|fault| fault.into_exception(payload.py(), limit_bytes))
}

struct Writer<'out, S> {
    out: &'out mut S,
    /// The containers that are being written, outermost first. The pointers are compared and never followed.
    ancestors: Vec<*mut ffi::PyObject>,
}

impl<S: Sink> Writer<'_, S> {
    fn value(&mut self, value: &Bound<'_, PyAny>) -> Written {
        if let Ok(string) = value.cast::<PyString>() {
            return self.string(string);
        }
        if value.is_none() {
            return self.raw(b"null");
        }
        if let Ok(truth) = value.cast::<PyBool>() {
            return self.raw(truth_text(truth));
        }
        if let Ok(int) = value.cast::<PyInt>() {
            return self.int(int);
        }
        if let Ok(float) = value.cast::<PyFloat>() {
            return self.float(float);
        }
        if let Ok(dict) = value.cast::<PyDict>() {
            return self.dict(dict);
        }
        if let Ok(list) = value.cast::<PyList>() {
            return self.array(value, |index| list.get_item(index).ok());
        }
        if let Ok(tuple) = value.cast::<PyTuple>() {
            return self.array(value, |index| tuple.get_item(index).ok());
        }
        if let Ok(buffer) = value.cast::<SecureBuffer>() {
            return self.secure_buffer(value.py(), buffer.get());
        }
        Err(Fault::class(format!(
            "{} is not a JSON type: dict, list, tuple, str, int, float, bool, None or SecureBuffer",
            type_name(value)
        )))
    }

    fn raw(&mut self, json: &[u8]) -> Written {
        Ok(self.out.write(json)?)
    }

    fn int(&mut self, int: &Bound<'_, PyInt>) -> Written {
        if let Some(value) = small_int(int)? {
            return self.raw(itoa::Buffer::new().format(value).as_bytes());
        }
        match big_int_digits(int)? {
            Some(digits) => self.raw(digits.as_bytes()),
            None => Err(Fault::value(format!(
                "an integer has {LONGEST_DIGITS} digits at most"
            ))),
        }
    }

    fn float(&mut self, float: &Bound<'_, PyFloat>) -> Written {
        let value = float.value();
        if !value.is_finite() {
            return Err(Fault::value("JSON has no NaN and no infinity"));
        }
        self.raw(FloatText::of(value).as_bytes())
    }

    fn string(&mut self, string: &Bound<'_, PyString>) -> Written {
        self.raw(b"\"")?;
        match Text::of(string)? {
            Text::Ascii(bytes) if bytes.len() < LONG_TEXT => write_escaped(self.out, bytes)?,
            Text::Ascii(bytes) => string
                .py()
                .detach_counted(|| write_escaped(self.out, bytes))?,
            Text::Wide(text) => self.wide_text(string.py(), &text)?,
        }
        self.raw(b"\"")
    }

    fn wide_text(&mut self, py: Python<'_>, text: &WideText<'_>) -> Written {
        match text.characters() {
            Some(characters) if text.len() < LONG_TEXT => write_characters(self.out, characters)?,
            Some(characters) => py.detach_counted(|| write_characters(self.out, characters))?,
            None => self.copied_text(py, text)?,
        }
        Ok(())
    }

    fn copied_text(&mut self, py: Python<'_>, text: &WideText<'_>) -> Written {
        let mut piece = vec![0; text.len().min(PIECE_CODE_POINTS)];
        check_required()?;
        for start in (0..text.len()).step_by(PIECE_CODE_POINTS) {
            let count = PIECE_CODE_POINTS.min(text.len() - start);
            text.copy_to(start, &mut piece[..count])?;
            write_code_points(self.out, &piece[..count])?;
            // After each piece, a waiting thread can have the GIL.
            py.detach(|| ());
        }
        Ok(())
    }

    fn secure_buffer(&mut self, py: Python<'_>, buffer: &SecureBuffer) -> Written {
        let Some(content) = buffer.pin_if_open() else {
            return Err(Fault::value(CLOSED));
        };
        let content = content?;
        if locked_is_required() && !buffer.locked() {
            return Err(Error::Unlocked.into());
        }
        self.raw(b"\"")?;
        let valid = py.detach_counted(|| write_pinned(self.out, &content))?;
        if !valid {
            return Err(Fault::value("the SecureBuffer does not hold UTF-8 text"));
        }
        self.raw(b"\"")
    }

    fn array<'py>(
        &mut self,
        array: &Bound<'py, PyAny>,
        item: impl Fn(usize) -> Option<Bound<'py, PyAny>>,
    ) -> Written {
        self.enter(array.as_ptr())?;
        self.raw(b"[")?;
        let mut index = 0;
        // Items are asked for one by one, since another thread may shorten a list while the GIL is released.
        while let Some(value) = item(index) {
            if index > 0 {
                self.raw(b",")?;
            }
            self.value(&value)
                .map_err(|fault| fault.below(Step::Index(index)))?;
            index += 1;
        }
        self.ancestors.pop();
        self.raw(b"]")
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>) -> Written {
        self.enter(dict.as_ptr())?;
        self.raw(b"{")?;
        // SAFETY: an object is given.
        if unsafe { ffi::PyDict_CheckExact(dict.as_ptr()) } != 0 {
            self.exact_dict(dict)?;
        } else {
            self.items_of(dict)?;
        }
        self.ancestors.pop();
        self.raw(b"}")
    }

    fn exact_dict(&mut self, dict: &Bound<'_, PyDict>) -> Written {
        let py = dict.py();
        let size = dict.len();
        let mut next = 0;
        let (mut key, mut value) = (ptr::null_mut(), ptr::null_mut());
        let mut position = 0;
        // SAFETY: the GIL is held, and the references are made strong before anything else runs. If another thread
        // changed the dict while a text was written, reading on is still safe; a changed size shows it.
        while unsafe { ffi::PyDict_Next(dict.as_ptr(), &mut next, &mut key, &mut value) } != 0 {
            // SAFETY: as above.
            let (key, value) = unsafe {
                (
                    Bound::from_borrowed_ptr(py, key),
                    Bound::from_borrowed_ptr(py, value),
                )
            };
            self.member(&key, &value, position)?;
            if dict.len() != size {
                return Err(Fault::changed());
            }
            position += 1;
        }
        Ok(())
    }

    /// Writes the members of a subclass of dict, by its `items`: it may have an order of its own (OrderedDict).
    fn items_of(&mut self, dict: &Bound<'_, PyDict>) -> Written {
        // SAFETY: a mapping is given; the result is a new list.
        let items = unsafe {
            Bound::from_owned_ptr_or_err(dict.py(), ffi::PyMapping_Items(dict.as_ptr()))?
        };
        for (position, item) in items.try_iter()?.enumerate() {
            let Ok((key, value)) = item?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() else {
                return Err(Fault::value("items() of the dict must give pairs"));
            };
            self.member(&key, &value, position)?;
        }
        Ok(())
    }

    fn member(
        &mut self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        position: usize,
    ) -> Written {
        if position > 0 {
            self.raw(b",")?;
        }
        self.key(key)
            .map_err(|fault| fault.below(Step::Key(position)))?;
        self.raw(b":")?;
        self.value(value)
            .map_err(|fault| fault.below(step_to(key, position)))
    }

    /// Writes a key, as the string that `json.dumps` makes of it.
    fn key(&mut self, key: &Bound<'_, PyAny>) -> Written {
        if let Ok(string) = key.cast::<PyString>() {
            return self.string(string);
        }
        let coerced = key.is_none()
            || key.is_instance_of::<PyInt>() // bool is an int
            || key.is_instance_of::<PyFloat>();
        if !coerced {
            return Err(Fault::class(format!(
                "a key must be str, int, float, bool or None, not {}",
                type_name(key)
            )));
        }
        self.raw(b"\"")?;
        self.value(key)?;
        self.raw(b"\"")
    }

    fn enter(&mut self, container: *mut ffi::PyObject) -> Written {
        if self.ancestors.contains(&container) {
            return Err(Fault::value("it contains itself"));
        }
        // `>`, not `>=`: the payload itself is not counted as a level.
        if self.ancestors.len() > DEEPEST {
            return Err(Fault::value(format!("nested more than {DEEPEST} deep")));
        }
        check_room()?;
        self.ancestors.push(container);
        Ok(())
    }
}

fn write_characters(out: &mut impl Sink, characters: Characters<'_>) -> nomyo_core::Result<()> {
    match characters {
        Characters::One(text) => write_code_points(out, text),
        Characters::Two(text) => write_code_points(out, text),
        Characters::Four(text) => write_code_points(out, text),
    }
}

fn truth_text(truth: &Bound<'_, PyBool>) -> &'static [u8] {
    if truth.is_true() { b"true" } else { b"false" }
}

fn step_to(key: &Bound<'_, PyAny>, position: usize) -> Step {
    match key.cast::<PyString>().map(Text::of) {
        Ok(Ok(Text::Ascii(name))) => Step::to_key(name, position),
        _ => Step::Key(position),
    }
}

/// Escapes the content of a SecureBuffer. Returns false if it is not UTF-8.
fn write_pinned(out: &mut impl Sink, content: &Pinned<'_>) -> nomyo_core::Result<bool> {
    let mut piece = vec![0; PIECE_BYTES];
    check_required()?;
    let (mut copied, mut carried) = (0, 0);
    while copied < content.len() {
        let end = PIECE_BYTES.min(carried + content.len() - copied);
        content.copy_to(copied, &mut piece[carried..end]);
        copied += end - carried;
        let valid = match std::str::from_utf8(&piece[..end]) {
            Ok(_) => end,
            // The end of the piece cuts a character, whose bytes are carried over to the next piece.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Ok(false),
        };
        write_escaped(out, &piece[..valid])?;
        piece.copy_within(valid..end, 0);
        carried = end - valid;
    }
    Ok(carried == 0)
}
