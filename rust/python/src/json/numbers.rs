//! Writes and reads numbers exactly as Python's json does.

use nomyo_core::json::bounds::LONGEST_DIGITS;
use num_bigint::{BigInt, BigUint, Sign};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt};
use std::io::Write as _;

/// The longest text whose value always fits into an i64: 18 digits, or a sign and 17.
const SHORT_BYTES: usize = 18;
/// The longest repr of a finite double (-2.2250738585072014e-308) has 24 bytes.
const LONGEST_FLOAT_BYTES: usize = 32;
/// Doubles tell all numbers of 15 digits apart (DBL_DIG), so up to here only one shortest form reads back as the
/// double.
const MOST_DIGITS_WITHOUT_TIES: usize = 15;

/// Returns the value if it fits into 64 bits.
pub fn small_int(int: &Bound<'_, PyInt>) -> PyResult<Option<i64>> {
    let mut overflow = 0;
    // SAFETY: an int (or a subclass) is given, whose value is read directly.
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(int.as_ptr(), &mut overflow) };
    if overflow != 0 {
        return Ok(None);
    }
    if value == -1
        && let Some(error) = PyErr::take(int.py())
    {
        return Err(error);
    }
    Ok(Some(value))
}

/// Returns the decimal digits of an int, in the arena; `None` if there are more than [`LONGEST_DIGITS`].
pub fn big_int_digits(int: &Bound<'_, PyInt>) -> PyResult<Option<String>> {
    let py = int.py();
    let class = py.get_type::<PyInt>();
    // The methods of `int` itself: a subclass may have its own.
    let bits: usize = class.call_method1("bit_length", (int,))?.extract()?;
    // log10(2) is 0.30103, rounded down here: an int that fits is never refused before its digits are counted.
    if bits / 1000 * 301 > LONGEST_DIGITS {
        return Ok(None);
    }
    let signed = PyDict::new(py);
    signed.set_item("signed", true)?;
    let bytes = class.call_method("to_bytes", (int, bits / 8 + 1, "little"), Some(&signed))?;
    let bytes = bytes.cast_into::<PyBytes>()?;
    let number = BigInt::from_signed_bytes_le(bytes.as_bytes());
    wipe_bytes(bytes);
    let digits = number.to_str_radix(10);
    let (_, unsigned) = split_sign(digits.as_bytes());
    Ok((unsigned.len() <= LONGEST_DIGITS).then_some(digits))
}

/// Wipes and drops a bytes object to which nobody else has a reference.
fn wipe_bytes(bytes: Bound<'_, PyBytes>) {
    let content = bytes.as_bytes();
    // SAFETY: the object was made for us alone, and its content is not read again.
    unsafe { nomyo_core::os::wipe(content.as_ptr().cast_mut(), content.len()) }
}

/// Makes an int of a JSON integer (`-?(0|[1-9][0-9]*)`) of at most [`LONGEST_DIGITS`] digits.
pub fn parse_int<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if text.len() <= SHORT_BYTES {
        return Ok(short_int(text).into_pyobject(py)?.into_any());
    }
    let (sign, digits) = split_sign(text);
    let number = BigUint::parse_bytes(digits, 10).unwrap_or_default();
    let mut hex = BigInt::from_biguint(sign, number).to_str_radix(16);
    hex.push('\0');
    // Through base 16, which CPython reads in linear time and without a limit on digits.
    // SAFETY: the text ends with a null byte.
    unsafe {
        let int = ffi::PyLong_FromString(hex.as_ptr().cast(), std::ptr::null_mut(), 16);
        Bound::from_owned_ptr_or_err(py, int)
    }
}

fn short_int(text: &[u8]) -> i64 {
    let (sign, digits) = split_sign(text);
    let value = digits
        .iter()
        .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    if sign == Sign::Minus { -value } else { value }
}

fn split_sign(text: &[u8]) -> (Sign, &[u8]) {
    match text.strip_prefix(b"-") {
        Some(digits) => (Sign::Minus, digits),
        None => (Sign::Plus, text),
    }
}

/// Returns the double nearest to a JSON number, or infinity if the number is too large, as `float` does. Also reads
/// `NaN` and `Infinity`.
pub fn parse_float(text: &[u8]) -> Option<f64> {
    // Rust rounds correctly, as CPython does (David Gay's strtod).
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A finite double as `float.__repr__` writes it.
pub struct FloatText {
    bytes: [u8; LONGEST_FLOAT_BYTES],
    length: usize,
}

impl FloatText {
    /// Writes the shortest digits that read back as the same double, in the form of repr: with an exponent if the value
    /// is below 1e-4 or at least 1e16, and otherwise with at least one digit after the point.
    pub fn of(value: f64) -> Self {
        let mut text = Self {
            bytes: [0; LONGEST_FLOAT_BYTES],
            length: 0,
        };
        if value.is_sign_negative() {
            text.push(b"-");
        }
        let mut scientific = [0; LONGEST_FLOAT_BYTES];
        let (digits, exponent) = decimal(value.abs(), &mut scientific);
        match exponent {
            -4..0 => text.push_small(digits, exponent),
            0..16 => text.push_plain(digits, exponent.unsigned_abs() as usize + 1),
            _ => text.push_scientific(digits, exponent),
        }
        text
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, part: &[u8]) {
        self.bytes[self.length..self.length + part.len()].copy_from_slice(part);
        self.length += part.len();
    }

    fn push_small(&mut self, digits: &[u8], exponent: i32) {
        self.push(b"0.");
        self.push(&b"000"[..exponent.unsigned_abs() as usize - 1]);
        self.push(digits);
    }

    fn push_plain(&mut self, digits: &[u8], whole: usize) {
        if let Some((before, after)) = digits.split_at_checked(whole)
            && !after.is_empty()
        {
            self.push(before);
            self.push(b".");
            return self.push(after);
        }
        self.push(digits);
        self.push(&[b'0'; 16][..whole - digits.len()]);
        self.push(b".0");
    }

    fn push_scientific(&mut self, digits: &[u8], exponent: i32) {
        self.push(&digits[..1]);
        if digits.len() > 1 {
            self.push(b".");
            self.push(&digits[1..]);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        let exponent = exponent.unsigned_abs();
        let room = &mut self.bytes[self.length..];
        self.length += print(room, format_args!("e{sign}{exponent:02}"));
    }
}

/// Returns the shortest digits of a double, without the point, and the decimal exponent of the first digit.
fn decimal(value: f64, room: &mut [u8; LONGEST_FLOAT_BYTES]) -> (&[u8], i32) {
    // Rust's `{:e}` (`d.ddde-x`) writes the shortest digits that read back, and of those the nearest.
    let mut length = print(room, format_args!("{value:e}"));
    let mut mark = memchr::memchr(b'e', &room[..length]).unwrap_or(length);
    if mark > MOST_DIGITS_WITHOUT_TIES + 1 {
        // If two are equally near, `{:e}` takes the larger, but repr takes the one whose last digit is even. A given
        // precision makes Rust round to even as well. Next to a power of two, that one may not read back.
        let mut even = [0; LONGEST_FLOAT_BYTES];
        let even_length = print(&mut even, format_args!("{value:.*e}", mark - 2));
        if parse_float(&even[..even_length]) == Some(value) {
            (*room, length) = (even, even_length);
            mark = memchr::memchr(b'e', &room[..length]).unwrap_or(length);
        }
    }
    let exponent = std::str::from_utf8(&room[mark..length])
        .ok()
        .and_then(|text| text.trim_start_matches('e').parse().ok())
        .unwrap_or(0);
    if mark > 1 {
        room.copy_within(2..mark, 1);
    }
    (&room[..mark - usize::from(mark > 1)], exponent)
}

/// Prints into the room, which must suffice (see [`LONGEST_FLOAT_BYTES`]). Returns the bytes printed.
fn print(mut room: &mut [u8], text: std::fmt::Arguments<'_>) -> usize {
    let before = room.len();
    let _ = room.write_fmt(text);
    before - room.len()
}
