//! Escapes the text between JSON's quotation marks (RFC 8259, section 7), and finds what has to be escaped.
//!
//! It works on sixteen characters at a time.

use crate::Result;
use crate::json::sink::Sink;
use wide::{i8x16, i16x8, u8x16};

/// Characters in one step.
const STEP: usize = 16;
/// Room that one step needs: it copies sixteen bytes, and may write an escape of six behind them.
const STEP_BYTES: usize = STEP + 6;
/// The least room to ask of the sink's window: more than one step, so that not every step asks again.
const WINDOW_BYTES: usize = 64;

/// A code point as CPython stores it, in one, two or four bytes.
pub trait CodePoint: Copy + Into<u32> {
    /// Narrows code points to bytes: ASCII stays as it is, and any other becomes null or a byte with its high bit set.
    /// [`clean_ascii`] counts both as special.
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
        // It saturates: U+8000 and above, negative here, become null; other code points above 0xFF become 0xFF.
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

/// Returns where the first quotation mark, backslash or control character is.
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

/// Escapes code points into the window as UTF-8. A lone surrogate, which UTF-8 cannot hold, becomes `\udXXX`.
pub fn write_code_points<C: CodePoint>(out: &mut impl Sink, mut text: &[C]) -> Result<()> {
    while !text.is_empty() {
        let room = out.window(WINDOW_BYTES)?;
        let (taken, filled) = encode_into(room, text);
        out.advance(filled)?;
        text = &text[taken..];
    }
    Ok(())
}

/// Escapes as many code points as fit. Returns how many it took, and how many bytes it filled.
fn encode_into<C: CodePoint>(room: &mut [u8], text: &[C]) -> (usize, usize) {
    let (mut taken, mut filled) = (0, 0);
    while taken < text.len() && room.len() - filled >= STEP_BYTES {
        if let Some(step) = text[taken..].first_chunk() {
            let bytes = C::narrow(step);
            // All sixteen, whatever they are: those after the first special one are overwritten.
            room[filled..filled + STEP].copy_from_slice(&bytes.to_array());
            let clean = clean_ascii(bytes);
            taken += clean;
            filled += clean;
            if clean == STEP {
                continue;
            }
        }
        filled += escape_code_point(&mut room[filled..], text[taken].into());
        taken += 1;
    }
    (taken, filled)
}

/// Escapes as much UTF-8 as fits. Returns how many bytes it took, and how many it filled.
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
fn escape_code_point(room: &mut [u8], code_point: u32) -> usize {
    match char::from_u32(code_point) {
        Some(character @ '\0'..='\x7F') => escape_byte(room, character as u8),
        Some(character) => character.encode_utf8(room).len(),
        None => write_unicode_escape(room, code_point),
    }
}

/// Writes `\uXXXX` and returns its length.
fn write_unicode_escape(room: &mut [u8], code_point: u32) -> usize {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |shift: u32| DIGITS[(code_point >> shift & 0xF) as usize];
    room[..6].copy_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
    6
}

/// Writes a byte, escaped as Python's json does if it is special. Returns the length written.
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
        _ => return write_unicode_escape(room, byte.into()),
    };
    room[..2].copy_from_slice(&[b'\\', short]);
    2
}

#[inline]
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Counts the bytes before the first special one; STEP if there is none.
#[inline]
fn clean_bytes(bytes: u8x16) -> usize {
    leading(bytes.simd_lt(u8x16::splat(0x20)) | quotes(bytes))
}

/// Counts the bytes before the first one that is special or not ASCII; STEP if there is none.
#[inline]
fn clean_ascii(bytes: u8x16) -> usize {
    let signed: i8x16 = i8x16::new(bytes.to_array().map(u8::cast_signed));
    // As signed numbers, control characters and all bytes with their high bit set are below 0x20.
    let below = signed.simd_lt(i8x16::splat(0x20));
    leading(u8x16::new(below.to_array().map(i8::cast_unsigned)) | quotes(bytes))
}

#[inline]
fn quotes(bytes: u8x16) -> u8x16 {
    bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'))
}

/// Counts the bytes before the first one that is set; STEP if none is.
#[inline]
fn leading(marks: u8x16) -> usize {
    (marks.to_bitmask() | 1 << STEP).trailing_zeros() as usize
}
