//! Finds where CPython keeps the characters of a `str` (PEP 393), by measuring it at run time.
//!
//! The stable ABI does not tell. It can only copy a whole string, which takes four bytes of locked memory a character,
//! or read one character at a time. So the layout is measured once, on three sample strings, one of each width. It is
//! then trusted only for exact instances of `str` whose state byte (width, compact, ascii, interned) equals that of a
//! sample. Any other string, and any string of a Python with another layout, is read the slow way.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use std::slice;

/// The characters of a string in place, by how many bytes each of them takes.
#[derive(Clone, Copy)]
pub enum Characters<'a> {
    One(&'a [u8]),
    Two(&'a [u16]),
    Four(&'a [u32]),
}

/// The same, to write to.
pub enum CharactersMut<'a> {
    One(&'a mut [u8]),
    Two(&'a mut [u16]),
    Four(&'a mut [u32]),
}

/// Returns the characters of a string that is not all ASCII and has `len` characters; `None` if it is not known where
/// they lie.
pub fn characters<'a>(string: &'a Bound<'_, PyString>, len: usize) -> Option<Characters<'a>> {
    let (start, width) = place(string)?;
    // SAFETY: a string with this state has `len` characters of this width there (`measure`), aligned,
    // which never change and live as long as it does.
    Some(unsafe {
        match width {
            1 => Characters::One(slice::from_raw_parts(start, len)),
            2 => Characters::Two(slice::from_raw_parts(start.cast(), len)),
            _ => Characters::Four(slice::from_raw_parts(start.cast(), len)),
        }
    })
}

/// The same, to write to.
///
/// # Safety
/// The string must be fresh: nobody else has it, and it was never hashed. At least one of the characters written must
/// need the string's width.
pub unsafe fn characters_mut<'a>(
    string: &'a Bound<'_, PyString>,
    len: usize,
) -> Option<CharactersMut<'a>> {
    let (start, width) = place(string)?;
    // SAFETY: as above, and nobody else reads or writes them, by the caller's promise.
    Some(unsafe {
        match width {
            1 => CharactersMut::One(slice::from_raw_parts_mut(start, len)),
            2 => CharactersMut::Two(slice::from_raw_parts_mut(start.cast(), len)),
            _ => CharactersMut::Four(slice::from_raw_parts_mut(start.cast(), len)),
        }
    })
}

/// Returns where the characters are, and how many bytes each takes. The address is aligned for that width.
fn place(string: &Bound<'_, PyString>) -> Option<(*mut u8, usize)> {
    static LAYOUT: PyOnceLock<Option<Layout>> = PyOnceLock::new();
    let layout = LAYOUT.get_or_init(string.py(), || Layout::measure(string.py()).ok()?);
    layout.as_ref()?.place(string)
}

/// Offsets within the object, in bytes.
struct Layout {
    /// Of the byte that says how the string is stored.
    state_at: usize,
    /// Of the characters.
    header: usize,
    /// The samples' state bytes, by width.
    states: [u8; 3],
}

const WIDTHS: [usize; 3] = [1, 2, 4];
/// Each has several characters: a `str` of one Latin-1 character is shared by CPython, and stored in its own way.
const SAMPLES: [&str; 3] = [
    "\u{e9}\u{ff}a\u{80}\u{f6}",
    "\u{6f22}b\u{e9}\u{ffee}\u{436}",
    "\u{1f389}c\u{6f22}\u{e9}\u{10ffee}",
];
const SAMPLE_LEN: usize = 5;

impl Layout {
    fn measure(py: Python<'_>) -> PyResult<Option<Self>> {
        // PyASCIIObject, since CPython 3.3: the header of every object, length, hash, state.
        let length_at: usize = py.get_type::<PyAny>().getattr("__basicsize__")?.extract()?;
        let state_at = length_at + 2 * size_of::<isize>();
        let mut headers = [0; 3];
        let mut states = [0; 3];
        for (kind, text) in SAMPLES.iter().enumerate() {
            let sample = PyString::new(py, text);
            let size: usize = sample.call_method0("__sizeof__")?.extract()?;
            // The characters and a null are the end of the object.
            let taken = (SAMPLE_LEN + 1) * WIDTHS[kind];
            headers[kind] = size.saturating_sub(taken);
            if headers[kind] < state_at + size_of::<u8>() {
                return Ok(None);
            }
            // SAFETY: both lie within the `size` bytes of the object.
            let length = unsafe { read::<isize>(&sample, length_at) };
            // SAFETY: as above.
            states[kind] = unsafe { read::<u8>(&sample, state_at) };
            // SAFETY: these are the last `taken` bytes of the object.
            let stored = unsafe { Stored::at(&sample, headers[kind], WIDTHS[kind]) };
            if length != SAMPLE_LEN.cast_signed() || !stored.equals(text) {
                return Ok(None);
            }
        }
        let [header, ..] = headers;
        let layout = Self {
            state_at,
            header,
            states,
        };
        Ok((headers == [header; 3] && differ_by_width(states)).then_some(layout))
    }

    fn place(&self, string: &Bound<'_, PyString>) -> Option<(*mut u8, usize)> {
        // SAFETY: an object is given.
        if unsafe { ffi::PyUnicode_CheckExact(string.as_ptr()) } == 0 {
            return None;
        }
        // SAFETY: an exact `str` has the fields of the samples.
        let state = unsafe { read::<u8>(string, self.state_at) };
        let width = WIDTHS[self.states.iter().position(|known| *known == state)?];
        let start = string.as_ptr().cast::<u8>().wrapping_add(self.header);
        start.addr().is_multiple_of(width).then_some((start, width))
    }
}

/// Whether the state bytes differ in nothing but the width, which takes the same three bits in each.
fn differ_by_width(states: [u8; 3]) -> bool {
    (0..=5).any(|shift| {
        let width = |state: u8| usize::from(state >> shift & 7);
        let rest = |state: u8| state & !(7 << shift);
        states.map(width) == WIDTHS && states.map(rest) == [rest(states[0]); 3]
    })
}

/// What lies where the characters of a sample should be, and the null after them.
struct Stored([u32; SAMPLE_LEN + 1]);

impl Stored {
    /// # Safety
    /// The object must have so many characters of this width at `offset`.
    unsafe fn at(sample: &Bound<'_, PyString>, offset: usize, width: usize) -> Self {
        Self(std::array::from_fn(|index| {
            let at = offset + index * width;
            // SAFETY: the caller's promise.
            unsafe {
                match width {
                    1 => read::<u8>(sample, at).into(),
                    2 => read::<u16>(sample, at).into(),
                    _ => read::<u32>(sample, at),
                }
            }
        }))
    }

    fn equals(&self, text: &str) -> bool {
        let expected = text.chars().map(u32::from).chain([0]);
        self.0.into_iter().eq(expected)
    }
}

/// # Safety
/// The object must have a `T` at `offset`.
unsafe fn read<T>(object: &Bound<'_, PyString>, offset: usize) -> T {
    // SAFETY: the caller's promise.
    unsafe {
        object
            .as_ptr()
            .cast::<u8>()
            .add(offset)
            .cast::<T>()
            .read_unaligned()
    }
}
