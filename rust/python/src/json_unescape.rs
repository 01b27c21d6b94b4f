//! The escapes inside JSON's quotation marks (RFC 8259, section 7), resolved.

/// U+FFFD in UTF-8: as long as the three bytes of a lone surrogate in generalised UTF-8.
const REPLACEMENT: &[u8; 3] = b"\xEF\xBF\xBD";

/// Resolves the escapes of a JSON string in place; its new length, or None where one is malformed.
///
/// The outcome is generalised UTF-8: an escaped lone surrogate stands as its three bytes. It is never
/// longer than the text, so no second buffer holds it.
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

/// How long a JSON string is without its escapes; None where one is malformed.
pub fn unescaped_len(text: &[u8]) -> Option<usize> {
    let mut len = 0;
    each_piece(text, |piece| len += piece.len())?;
    Some(len)
}

/// Writes a JSON string without its escapes into `out`, which has [`unescaped_len`] bytes. It becomes
/// UTF-8: U+FFFD stands for an escaped lone surrogate, which UTF-8 cannot hold.
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

/// What stands behind a backslash: (code point, bytes).
fn escape_at(text: &[u8]) -> Option<(u32, usize)> {
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

/// `uXXXX`, or a surrogate pair `uD8XX\uDCXX`.
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
    digits.iter().try_fold(0, |value, digit| {
        Some(value << 4 | char::from(*digit).to_digit(16)?)
    })
}

fn put_wtf8(out: &mut [u8], code_point: u32) -> usize {
    if let Some(character) = char::from_u32(code_point) {
        return character.encode_utf8(out).len();
    }
    let low = |shift: u32| 0x80 | (code_point >> shift & 0x3F) as u8;
    out[..3].copy_from_slice(&[0xED, low(6), low(0)]);
    3
}
