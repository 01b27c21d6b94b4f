//! The content of a JSON string, with its escapes resolved.

use crate::os::PlainPages;
use crate::{Error, Result};
use std::borrow::Cow;
use std::ops::Deref;

/// The longest name, and the longest value of which only one content is permitted.
const MAX_SHORT_BYTES: usize = 256;

/// The content of a JSON string.
pub enum Text<'a> {
    /// Without escapes: a part of the package.
    Borrowed(&'a [u8]),
    /// With its escapes resolved, in memory outside the arena.
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

/// The bytes between the quotation marks of a JSON string. Its escapes are well formed.
#[derive(Clone, Copy)]
pub(super) struct Quoted<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) escaped: bool,
}

impl<'a> Quoted<'a> {
    /// Returns the content without checking its characters: for long texts, which are checked to be base64 afterwards.
    pub(super) fn text(self) -> Result<Text<'a>> {
        if !self.escaped {
            return Ok(Text::Borrowed(self.bytes));
        }
        // An escape is never shorter than the character that it stands for.
        let mut pages = PlainPages::reserve(self.bytes.len())?;
        self.unescape(|bytes| pages.extend_from_slice(bytes))?;
        Ok(Text::Unescaped(pages))
    }

    /// Returns the content of a short string, and checks its characters.
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

    /// Checks that the string is UTF-8 and has no unescaped control character.
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

/// Returns what a backslash and this character stand for; `None` for `u` and unknown ones.
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

/// Reads the digits after `\u`, and the second half of a surrogate pair. A lone surrogate is refused.
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
