//! The text inside JSON's quotation marks (RFC 8259, section 7): found and escaped.
//!
//! Works on eight bytes at a time in plain arithmetic, which every platform has.

use crate::json_sink::Sink;
use nomyo_core::Result;

/// Room that one step of escaping needs: eight bytes copied at once, or one escape of six.
const STEP_BYTES: usize = 8;
/// Least room asked of the sealer's window, so that a step is never the only one.
const WINDOW_BYTES: usize = 64;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// A code point as CPython stores it, in one, two or four bytes.
pub trait CodePoint: Copy + Into<u32> {}

impl<C: Copy + Into<u32>> CodePoint for C {}

/// Where the first quotation mark, backslash or control character is.
#[inline]
pub fn find_special(text: &[u8]) -> Option<usize> {
    let (words, tail) = text.as_chunks::<STEP_BYTES>();
    for (index, word) in words.iter().enumerate() {
        let marks = special_marks(*word);
        if marks != 0 {
            return Some(index * STEP_BYTES + first_mark(marks));
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
        if let Some(word) = text[taken..].first_chunk().and_then(narrow) {
            let clean = first_mark(special_marks(word));
            room[filled..filled + STEP_BYTES].copy_from_slice(&word);
            taken += clean;
            filled += clean;
            if clean > 0 {
                continue;
            }
        }
        filled += escape_character(&mut room[filled..], char::from_u32(text[taken].into())?);
        taken += 1;
    }
    Some((taken, filled))
}

/// Eight code points as bytes, where all are ASCII.
#[inline]
fn narrow<C: CodePoint>(code_points: &[C; STEP_BYTES]) -> Option<[u8; STEP_BYTES]> {
    let all = code_points.iter().fold(0, |all, one| all | (*one).into());
    (all < 0x80).then(|| code_points.map(|one| one.into() as u8))
}

/// Escapes as much of `text` as fits: (bytes taken, bytes filled).
fn escape_into(room: &mut [u8], text: &[u8]) -> (usize, usize) {
    let (mut taken, mut filled) = (0, 0);
    while taken < text.len() && room.len() - filled >= STEP_BYTES {
        let clean = match text[taken..].first_chunk::<STEP_BYTES>() {
            Some(word) => {
                room[filled..filled + STEP_BYTES].copy_from_slice(word);
                first_mark(special_marks(*word))
            }
            None if is_special(text[taken]) => 0,
            None => {
                room[filled] = text[taken];
                1
            }
        };
        taken += clean;
        filled += clean;
        if clean == 0 {
            filled += escape_byte(&mut room[filled..], text[taken]);
            taken += 1;
        }
    }
    (taken, filled)
}

#[inline]
fn escape_character(room: &mut [u8], character: char) -> usize {
    match u8::try_from(character) {
        Ok(byte) if is_special(byte) => escape_byte(room, byte),
        _ => character.encode_utf8(room).len(),
    }
}

/// Writes the escape of a special byte, as Python's json has it; how long it is.
fn escape_byte(room: &mut [u8], byte: u8) -> usize {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0C => b'f',
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

/// A high bit for each special byte. Bits above the lowest one may be false (a borrow ran on), so
/// only the lowest counts ("Bit Twiddling Hacks", determine if a word has a byte less than n).
#[inline]
fn special_marks(word: [u8; STEP_BYTES]) -> u64 {
    let word = u64::from_le_bytes(word);
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = zeros(word ^ (ONES * u64::from(b'"')));
    let backslash = zeros(word ^ (ONES * u64::from(b'\\')));
    (control | quote | backslash) & HIGH
}

/// The byte that the lowest mark is for, or STEP_BYTES without any.
#[inline]
fn first_mark(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}
