//! Decodes generalised UTF-8 (WTF-8, in which a lone surrogate takes three bytes) into code points of one, two or four
//! bytes.

/// Bytes in one step.
const STEP: usize = 16;
const HIGH: u128 = u128::from_ne_bytes([0x80; STEP]);

/// How wide CPython stores the characters of a string that is not all ASCII (PEP 393).
#[derive(Clone, Copy)]
pub enum Width {
    /// One byte each.
    Latin1,
    /// Two bytes each.
    Basic,
    /// Four bytes each.
    Full,
}

/// A code point, stored in one, two or four bytes.
pub trait CodeUnit: Copy + From<u8> {
    /// Converts a code point, which must fit: see [`widest`].
    fn from_code_point(code_point: u32) -> Self;
}

impl CodeUnit for u8 {
    fn from_code_point(code_point: u32) -> Self {
        code_point as u8
    }
}

impl CodeUnit for u16 {
    fn from_code_point(code_point: u32) -> Self {
        code_point as u16
    }
}

impl CodeUnit for u32 {
    fn from_code_point(code_point: u32) -> Self {
        code_point
    }
}

/// Counts the code points of well-formed text.
pub fn length(text: &[u8]) -> usize {
    // All bytes but those that continue a character.
    text.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

/// Returns the width that the widest code point of well-formed text needs.
pub fn widest(text: &[u8]) -> Width {
    // The highest byte is a lead byte: 0xC2 and 0xC3 begin U+0080 to U+00FF, 0xF0 and above begin four bytes.
    match text.iter().copied().max().unwrap_or(0) {
        0xF0.. => Width::Full,
        0xC4.. => Width::Basic,
        _ => Width::Latin1,
    }
}

/// Decodes well-formed text into `out`, which must have one element for each code point, of the width that [`widest`]
/// gives.
pub fn decode<C: CodeUnit>(mut text: &[u8], mut out: &mut [C]) {
    while !out.is_empty() {
        let ascii = copy_ascii(text, out);
        (text, out) = (&text[ascii..], &mut out[ascii..]);
        let mut code_points = CodePoints(text.iter());
        let mut decoded = 0;
        for place in &mut *out {
            let Some(code_point) = code_points.next() else {
                return;
            };
            *place = C::from_code_point(code_point);
            decoded += 1;
            if code_points.0.as_slice().first().is_none_or(u8::is_ascii) {
                break;
            }
        }
        text = code_points.0.as_slice();
        out = &mut out[decoded..];
    }
}

/// Copies the ASCII text at the beginning, in whole steps. Returns how many bytes it copied.
fn copy_ascii<C: CodeUnit>(text: &[u8], out: &mut [C]) -> usize {
    let mut copied = 0;
    while let (Some(step), Some(room)) = (
        text[copied..].first_chunk::<STEP>(),
        out[copied..].first_chunk_mut::<STEP>(),
    ) {
        *room = step.map(C::from); // the bytes that are not ASCII are overwritten afterwards
        let marks = u128::from_le_bytes(*step) & HIGH;
        copied += marks.trailing_zeros().min(128) as usize / 8;
        if marks != 0 {
            break;
        }
    }
    copied
}

/// The code points of well-formed generalised UTF-8.
pub struct CodePoints<'a>(pub std::slice::Iter<'a, u8>);

impl Iterator for CodePoints<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        let lead = u32::from(*self.0.next()?);
        let (start, continued) = match lead {
            0..0x80 => return Some(lead),
            0x80..0xE0 => (lead & 0x1F, 1),
            0xE0..0xF0 => (lead & 0x0F, 2),
            _ => (lead & 0x07, 3),
        };
        let rest = self.0.by_ref().take(continued);
        Some(rest.fold(start, |value, byte| value << 6 | u32::from(byte & 0x3F)))
    }
}
