//! A JSON string: between its quotes, and unescaped.

use crate::os::PlainPages;
use crate::{Error, Result};
use std::borrow::Cow;
use std::ops::Deref;

/// Most bytes of a name, or of a value that has one permitted content.
const MAX_SHORT_BYTES: usize = 256;

/// The content of a JSON string: borrowed as it stands, or unescaped outside the arena.
pub enum Text<'a> {
    /// As it stands in the package.
    Borrowed(&'a [u8]),
    /// After unescaping.
    Unescaped(PlainPages),
}

impl Deref for Text<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Unescaped(pages) => pages,
        }
    }
}

/// What stands between the quotes of a JSON string, its escapes checked already.
#[derive(Clone, Copy)]
pub(super) struct Quoted<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) escaped: bool,
}

impl<'a> Quoted<'a> {
    /// The content. Characters are not checked: for long texts that must be base64 anyway.
    pub(super) fn text(self) -> Result<Text<'a>> {
        if !self.escaped {
            return Ok(Text::Borrowed(self.bytes));
        }
        // No escape is shorter than what it stands for.
        let mut pages = PlainPages::reserve(self.bytes.len())?;
        self.unescape(|bytes| pages.extend_from_slice(bytes))?;
        Ok(Text::Unescaped(pages))
    }

    /// The content of a short string, checked to be text.
    pub(super) fn short(self) -> Result<Cow<'a, [u8]>> {
        if self.bytes.len() > MAX_SHORT_BYTES {
            return Err(Error::Package);
        }
        self.check()?;
        if !self.escaped {
            return Ok(Cow::Borrowed(self.bytes));
        }
        let mut text = Vec::with_capacity(self.bytes.len());
        self.unescape(|bytes| {
            text.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(Cow::Owned(text))
    }

    /// Whether the string is text as JSON demands: UTF-8, control characters escaped.
    pub(super) fn check(self) -> Result<()> {
        let text = std::str::from_utf8(self.bytes).map_err(|_| Error::Package)?;
        if text.bytes().any(|byte| byte < b' ') {
            return Err(Error::Package);
        }
        Ok(())
    }

    fn unescape(self, mut put: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut rest = self.bytes;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            put(&rest[..at])?;
            let escape = *rest.get(at + 1).ok_or(Error::Package)?;
            rest = &rest[at + 2..];
            if escape == b'u' {
                let mut utf8 = [0; 4];
                put(take_unicode(&mut rest)?.encode_utf8(&mut utf8).as_bytes())?;
            } else {
                put(&[simple_escape(escape).ok_or(Error::Package)?])?;
            }
        }
        put(rest)
    }
}

/// What `\` and this character stand for; `u` is not among them.
pub(super) fn simple_escape(character: u8) -> Option<u8> {
    Some(match character {
        b'"' | b'\\' | b'/' => character,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}

/// Takes the digits behind `\u`, and the second half of a surrogate pair. A half that stands alone
/// is no text, and refused.
fn take_unicode(rest: &mut &[u8]) -> Result<char> {
    let first = take_hex(rest)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first).ok_or(Error::Package);
    }
    *rest = rest.strip_prefix(b"\\u").ok_or(Error::Package)?;
    let second = take_hex(rest)?;
    if !(0xdc00..0xe000).contains(&second) {
        return Err(Error::Package);
    }
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(Error::Package)
}

fn take_hex(rest: &mut &[u8]) -> Result<u32> {
    let (digits, behind) = rest.split_first_chunk::<4>().ok_or(Error::Package)?;
    *rest = behind;
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(Error::Package)?;
        Ok(value << 4 | digit)
    })
}
