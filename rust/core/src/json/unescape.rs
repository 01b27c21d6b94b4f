//! Resolves the escapes between JSON's quotation marks (RFC 8259, section 7).

/// U+FFFD in UTF-8.
const REPLACEMENT: &[u8; 3] = b"\xEF\xBF\xBD";

/// Resolves the escapes of a JSON string in place. Returns its new length, or `None` if an escape is malformed.
///
/// The result is generalised UTF-8 (WTF-8), in which a lone surrogate takes three bytes. It is never longer than the
/// escaped text, so it needs no second buffer.
pub fn unescape(text: &mut [u8]) -> Option<usize> {
    let (mut read, mut written) = (0, 0);
    while let Some(run) = memchr::memchr(b'\\', &text[read..]) {
        text.copy_within(read..read + run, written);
        written += run;
        read += run + 1;
        let (code_point, size) = escape_at(&text[read..])?;
        read += size;
        written += put_wtf8(&mut text[written..], code_point);
    }
    text.copy_within(read.., written);
    Some(written + text.len() - read)
}

/// Returns the bytes that [`unescape_into`] will write; `None` if an escape is malformed.
pub fn unescaped_len(text: &[u8]) -> Option<usize> {
    let mut len = 0;
    each_piece(text, |piece| len += piece.len())?;
    Some(len)
}

/// Writes a JSON string, its escapes resolved, into `out`, which has [`unescaped_len`] bytes.
///
/// The result is UTF-8, so U+FFFD replaces each escaped lone surrogate. `None` if an escape is malformed.
pub fn unescape_into(text: &[u8], out: &mut [u8]) -> Option<()> {
    let mut filled = 0;
    each_piece(text, |piece| {
        out[filled..filled + piece.len()].copy_from_slice(piece);
        filled += piece.len();
    })
}

fn each_piece(text: &[u8], mut put: impl FnMut(&[u8])) -> Option<()> {
    let mut rest = text;
    while let Some(run) = memchr::memchr(b'\\', rest) {
        put(&rest[..run]);
        rest = &rest[run + 1..];
        let (code_point, size) = escape_at(rest)?;
        rest = &rest[size..];
        match char::from_u32(code_point) {
            Some(character) => put(character.encode_utf8(&mut [0; 4]).as_bytes()),
            None => put(REPLACEMENT),
        }
    }
    put(rest);
    Some(())
}

/// Reads the escape at the beginning of `text`, without its backslash. Returns its code point and its length; `None` if
/// it is malformed.
#[inline]
pub fn escape_at(text: &[u8]) -> Option<(u32, usize)> {
    let plain = match *text.first()? {
        byte @ (b'"' | b'\\' | b'/') => byte,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'f' => 0x0C,
        b'u' => return unicode_escape_at(text),
        _ => return None,
    };
    Some((u32::from(plain), 1))
}

/// Reads `uXXXX`, or a surrogate pair `uD8XX\uDCXX`.
fn unicode_escape_at(text: &[u8]) -> Option<(u32, usize)> {
    let unit = hex4(text.get(1..5)?)?;
    if !(0xD800..0xDC00).contains(&unit) || text.get(5..7) != Some(b"\\u") {
        return Some((unit, 5));
    }
    let second = hex4(text.get(7..11)?)?;
    if !(0xDC00..0xE000).contains(&second) {
        return Some((unit, 5));
    }
    Some((0x10000 + ((unit - 0xD800) << 10) + (second - 0xDC00), 11))
}

fn hex4(digits: &[u8]) -> Option<u32> {
    let [a, b, c, d] = *digits.first_chunk()?;
    let values = [a, b, c, d].map(|digit| HEX[usize::from(digit)]);
    // One comparison for all four: the value of a byte that is no digit sets higher bits.
    let well_formed = values.iter().fold(0, |all, value| all | value) <= 0xF;
    well_formed.then(|| {
        values
            .iter()
            .fold(0, |sum, value| sum << 4 | u32::from(*value))
    })
}

/// The value of each hexadecimal digit, and 0xFF for any other byte.
const HEX: [u8; 256] = {
    let mut values = [0xFF; 256];
    let mut value: u8 = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        values[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// Writes a code point as generalised UTF-8 and returns its length.
fn put_wtf8(out: &mut [u8], code_point: u32) -> usize {
    if let Some(character) = char::from_u32(code_point) {
        return character.encode_utf8(out).len();
    }
    let low = |shift: u32| 0x80 | (code_point >> shift & 0x3F) as u8;
    out[..3].copy_from_slice(&[0xED, low(6), low(0)]);
    3
}
