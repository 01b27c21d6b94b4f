//! The text inside JSON's quotation marks (RFC 8259, section 7): found and escaped.
//!
//! Works on sixteen characters at a time.

use crate::json_sink::Sink;
use nomyo_core::Result;
use wide::{i8x16, i16x8, u8x16};

/// Characters that are looked at at once.
const STEP: usize = 16;
/// Room that one step needs: sixteen bytes copied at once, and one escape of six.
const STEP_BYTES: usize = STEP + 6;
/// Least room asked of the sealer's window, so that a step is never the only one.
const WINDOW_BYTES: usize = 64;

/// A code point as CPython stores it, in one, two or four bytes.
pub trait CodePoint: Copy + Into<u32> {
    /// Code points as bytes, ASCII as it is and all others as a byte with its high bit set, or null.
    fn narrow(step: &[Self; STEP]) -> u8x16;
}

impl CodePoint for u8 {
    #[inline]
    fn narrow(step: &[Self; STEP]) -> u8x16 {
        u8x16::new(*step)
    }
}

impl CodePoint for u16 {
    #[inline]
    fn narrow(step: &[Self; STEP]) -> u8x16 {
        let half =
            |start: usize| i16x8::new(std::array::from_fn(|i| step[start + i].cast_signed()));
        // Saturates: a negative one, from U+8000 on, to null; others above 0xFF to that.
        u8x16::narrow_i16x8(half(0), half(STEP / 2))
    }
}

impl CodePoint for u32 {
    #[inline]
    fn narrow(step: &[Self; STEP]) -> u8x16 {
        u8x16::new(step.map(|code_point| {
            if code_point < 0x80 {
                code_point as u8
            } else {
                0xFF
            }
        }))
    }
}

/// Where the first quotation mark, backslash or control character is.
#[inline]
pub fn find_special(text: &[u8]) -> Option<usize> {
    let (steps, tail) = text.as_chunks::<STEP>();
    for (index, step) in steps.iter().enumerate() {
        let clean = clean_bytes(u8x16::new(*step));
        if clean < STEP {
            return Some(index * STEP + clean);
        }
    }
    let tail_start = text.len() - tail.len();
    tail.iter()
        .position(|byte| is_special(*byte))
        .map(|position| tail_start + position)
}

/// Escapes UTF-8 text into the window.
pub fn write_escaped(out: &mut impl Sink, mut text: &[u8]) -> Result<()> {
    while !text.is_empty() {
        let room = out.window(WINDOW_BYTES)?;
        let (taken, filled) = escape_into(room, text);
        out.advance(filled)?;
        text = &text[taken..];
    }
    Ok(())
}

/// Escapes code points into the window; false at a lone surrogate, which UTF-8 cannot hold.
pub fn write_code_points<C: CodePoint>(out: &mut impl Sink, mut text: &[C]) -> Result<bool> {
    while !text.is_empty() {
        let room = out.window(WINDOW_BYTES)?;
        let Some((taken, filled)) = encode_into(room, text) else {
            return Ok(false);
        };
        out.advance(filled)?;
        text = &text[taken..];
    }
    Ok(true)
}

/// Escapes as many code points as fit: (taken, bytes filled); None at a surrogate.
fn encode_into<C: CodePoint>(room: &mut [u8], text: &[C]) -> Option<(usize, usize)> {
    let (mut taken, mut filled) = (0, 0);
    while taken < text.len() && room.len() - filled >= STEP_BYTES {
        if let Some(step) = text[taken..].first_chunk() {
            let bytes = C::narrow(step);
            room[filled..filled + STEP].copy_from_slice(&bytes.to_array());
            let clean = clean_ascii(bytes);
            taken += clean;
            filled += clean;
            if clean == STEP {
                continue;
            }
        }
        filled += escape_character(&mut room[filled..], char::from_u32(text[taken].into())?);
        taken += 1;
    }
    Some((taken, filled))
}

/// Escapes as much of `text` as fits: (bytes taken, bytes filled).
fn escape_into(room: &mut [u8], text: &[u8]) -> (usize, usize) {
    let (mut taken, mut filled) = (0, 0);
    while taken < text.len() && room.len() - filled >= STEP_BYTES {
        if let Some(step) = text[taken..].first_chunk::<STEP>() {
            room[filled..filled + STEP].copy_from_slice(step);
            let clean = clean_bytes(u8x16::new(*step));
            taken += clean;
            filled += clean;
            if clean == STEP {
                continue;
            }
        }
        filled += escape_byte(&mut room[filled..], text[taken]);
        taken += 1;
    }
    (taken, filled)
}

#[inline]
fn escape_character(room: &mut [u8], character: char) -> usize {
    match u8::try_from(character) {
        Ok(byte) if byte.is_ascii() => escape_byte(room, byte),
        _ => character.encode_utf8(room).len(),
    }
}

/// Writes a byte, a special one as Python's json escapes it; how long that is.
fn escape_byte(room: &mut [u8], byte: u8) -> usize {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0C => b'f',
        0x20.. => {
            room[0] = byte;
            return 1;
        }
        _ => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 0xF));
            room[..6].copy_from_slice(&[b'\\', b'u', b'0', b'0', DIGITS[high], DIGITS[low]]);
            return 6;
        }
    };
    room[..2].copy_from_slice(&[b'\\', short]);
    2
}

#[inline]
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// How many bytes come before the first special one.
#[inline]
fn clean_bytes(bytes: u8x16) -> usize {
    leading(bytes.simd_lt(u8x16::splat(0x20)) | quotes(bytes))
}

/// How many bytes come before the first that is special or not ASCII.
#[inline]
fn clean_ascii(bytes: u8x16) -> usize {
    let signed: i8x16 = i8x16::new(bytes.to_array().map(u8::cast_signed));
    // Below 0x20 are the control characters, and all whose high bit is set.
    let below = signed.simd_lt(i8x16::splat(0x20));
    leading(u8x16::new(below.to_array().map(i8::cast_unsigned)) | quotes(bytes))
}

#[inline]
fn quotes(bytes: u8x16) -> u8x16 {
    bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'))
}

/// How many bytes stand before the first that is set, or STEP.
#[inline]
fn leading(marks: u8x16) -> usize {
    (marks.to_bitmask() | 1 << STEP).trailing_zeros() as usize
}
