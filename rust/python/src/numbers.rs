//! Numbers, exactly as Python's json writes and reads them, and without its digit limit.
//!
//! `sys.set_int_max_str_digits` guards conversions that take quadratic time. Here they run with the GIL
//! released, and their size is bounded by the payload's (writing) or by [`LONGEST_DIGITS`] (reading).

use crate::detached::Detached;
use num_bigint::{BigInt, BigUint, Sign};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt};
use std::io::Write as _;

/// Digits of the longest integer that is read: its conversion takes a fraction of a second.
pub const LONGEST_DIGITS: usize = 1_000_000;
/// From this many bytes on, a conversion is worth releasing the GIL.
const LONG_BYTES: usize = 1024;
/// Digits that always fit an i64.
const SHORT_DIGITS: usize = 18;
/// The longest repr of a finite double (-2.2250738585072014e-308) has 24 bytes.
const LONGEST_FLOAT_BYTES: usize = 32;
/// With no more digits, two shortest forms that are equally near would lie too far apart to read back.
const MOST_DIGITS_WITHOUT_TIES: usize = 15;
/// From this many digits on, an integer is read in halves: multiplying is faster than reading.
const HALVED_DIGITS: usize = 2000;

/// The value, where it fits 64 bits.
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

/// The decimal digits of an int of any size, in the arena; None where there would be more than `limit`.
pub fn big_int_digits(int: &Bound<'_, PyInt>, limit: usize) -> PyResult<Option<String>> {
    let py = int.py();
    let class = py.get_type::<PyInt>();
    // The methods of `int` itself: a subclass may have its own.
    let bits: usize = class.call_method1("bit_length", (int,))?.extract()?;
    // log10(2) is 0.30103; rounded down, so that what fits is never refused.
    if bits / 1000 * 301 > limit {
        return Ok(None);
    }
    let signed = PyDict::new(py);
    signed.set_item("signed", true)?;
    let bytes = class.call_method("to_bytes", (int, bits / 8 + 1, "little"), Some(&signed))?;
    let bytes = bytes.cast_into::<PyBytes>()?;
    let number = BigInt::from_signed_bytes_le(bytes.as_bytes());
    wipe_bytes(bytes);
    let digits = released_if(py, bits / 8 > LONG_BYTES, || number.to_str_radix(10));
    Ok((digits.len() <= limit).then_some(digits))
}

/// Wipes a bytes object that nobody else has, and lets it go.
fn wipe_bytes(bytes: Bound<'_, PyBytes>) {
    let content = bytes.as_bytes();
    // SAFETY: the object was made for us alone, and its content is not read again.
    unsafe { nomyo_core::os::wipe(content.as_ptr().cast_mut(), content.len()) }
}

/// Makes an int of a JSON integer (`-?(0|[1-9][0-9]*)`); None beyond [`LONGEST_DIGITS`].
pub fn parse_int<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Option<Bound<'py, PyAny>>> {
    if text.len() <= SHORT_DIGITS {
        return Ok(Some(short_int(text).into_pyobject(py)?.into_any()));
    }
    let (sign, digits) = split_sign(text);
    if digits.len() > LONGEST_DIGITS {
        return Ok(None);
    }
    let hex = released_if(py, text.len() > LONG_BYTES, || {
        let mut hex = BigInt::from_biguint(sign, from_digits(digits)).to_str_radix(16);
        hex.push('\0');
        hex
    });
    // SAFETY: the text ends with a null byte. Base 16 takes linear time and knows no digit limit.
    unsafe {
        let int = ffi::PyLong_FromString(hex.as_ptr().cast(), std::ptr::null_mut(), 16);
        Bound::from_owned_ptr_or_err(py, int).map(Some)
    }
}

fn from_digits(digits: &[u8]) -> BigUint {
    if digits.len() < HALVED_DIGITS {
        return BigUint::parse_bytes(digits, 10).unwrap_or_default();
    }
    let (high, low) = digits.split_at(digits.len() / 2);
    let shift = BigUint::from(10_u8).pow(low.len() as u32);
    from_digits(high) * shift + from_digits(low)
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

/// The double nearest to a JSON number, infinite where it is too large, as `float` has it.
pub fn parse_float(text: &[u8]) -> Option<f64> {
    // Correctly rounded, like CPython's own (David Gay's strtod).
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A finite double as `float.__repr__` writes it.
pub struct FloatText {
    bytes: [u8; LONGEST_FLOAT_BYTES],
    length: usize,
}

impl FloatText {
    /// Writes the shortest digits that read back as the same double, in the form of repr: with an
    /// exponent below 1e-4 and from 1e16 on, and with `.0` where no digit follows the point.
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

/// The shortest digits of a double, without the point, and the decimal exponent of the first.
fn decimal(value: f64, room: &mut [u8; LONGEST_FLOAT_BYTES]) -> (&[u8], i32) {
    // Rust's `{:e}`, `d.ddde-x`, has the shortest digits that read back, and of those the nearest.
    let mut length = print(room, format_args!("{value:e}"));
    let mut mark = memchr::memchr(b'e', &room[..length]).unwrap_or(length);
    if mark > MOST_DIGITS_WITHOUT_TIES + 1 {
        // Of two that are equally near it takes the larger, repr the even one, as `{:.15e}` does;
        // which, next to a power of two, may be the one that does not read back.
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

/// Prints into the room, which must suffice (see LONGEST_FLOAT_BYTES): bytes printed.
fn print(mut room: &mut [u8], text: std::fmt::Arguments<'_>) -> usize {
    let before = room.len();
    let _ = room.write_fmt(text);
    before - room.len()
}

fn released_if<T: Send>(py: Python<'_>, long: bool, work: impl FnOnce() -> T + Send) -> T {
    if long {
        py.detach_counted(work)
    } else {
        work()
    }
}
