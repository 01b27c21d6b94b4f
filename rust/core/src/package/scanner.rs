//! Scans JSON text (RFC 8259): it checks the grammar, and makes only the values that its caller asks for.

use super::text::{Quoted, simple_escape};
use crate::{Error, Result, stack};
use std::borrow::Cow;

/// The deepest nesting of a value that is skipped.
pub const MAX_DEPTH: u32 = 32;
/// The most names in one object.
pub const MAX_NAMES: usize = 64;

/// A JSON number, as `processed_at` has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A number without fraction and exponent.
    Integer(i64),
    /// A number with a fraction or an exponent; always finite.
    Float(f64),
}

pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Reads an object. `member` gets each name and must read its value. A name that comes twice is refused.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut names: Vec<Cow<'a, [u8]>> = Vec::new();
        self.expect(b'{')?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let name = self.string()?.short()?;
            if names.len() == MAX_NAMES || names.contains(&name) {
                return Err(Error::Package);
            }
            self.expect(b':')?;
            member(self, &name)?;
            names.push(name);
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Reads a string that must have this content. Returns true, or an error.
    pub(super) fn exactly(&mut self, content: &str) -> Result<bool> {
        let text = self.string()?.short()?;
        if *text == *content.as_bytes() {
            Ok(true)
        } else {
            Err(Error::Package)
        }
    }

    /// Reads a string and checks its escapes. The caller must check its other characters.
    pub(super) fn string(&mut self) -> Result<Quoted<'a>> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = &self.bytes[self.at..];
            let stop = memchr::memchr2(b'"', b'\\', rest).ok_or(Error::Package)?;
            self.at += stop + 1;
            if rest[stop] == b'"' {
                let bytes = &self.bytes[start..self.at - 1];
                return Ok(Quoted { bytes, escaped });
            }
            escaped = true;
            self.escape()?;
        }
    }

    /// Reads a number or `null`.
    pub(super) fn number_or_null(&mut self) -> Result<Option<Number>> {
        if self.peek() == Some(b'n') {
            self.literal(b"null")?;
            return Ok(None);
        }
        let (text, whole) = self.number()?;
        let number = if whole {
            text.parse().ok().map(Number::Integer)
        } else {
            let float = text.parse::<f64>().ok();
            float.filter(|float| float.is_finite()).map(Number::Float)
        };
        number.map(Some).ok_or(Error::Package)
    }

    /// Reads a value of any kind and ignores it.
    pub(super) fn skip_value(&mut self) -> Result<()> {
        self.skip(MAX_DEPTH)
    }

    /// Demands that nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Error::Package),
        }
    }

    fn skip(&mut self, depth: u32) -> Result<()> {
        stack::check_room()?;
        let deeper = depth.checked_sub(1).ok_or(Error::Package)?;
        match self.peek().ok_or(Error::Package)? {
            b'{' => self.object(|scanner, _| scanner.skip(deeper)),
            b'[' => self.skip_array(deeper),
            b'"' => self.string()?.check(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number().map(|_| ()),
        }
    }

    fn skip_array(&mut self, depth: u32) -> Result<()> {
        self.expect(b'[')?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.skip(depth)?;
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn escape(&mut self) -> Result<()> {
        let character = *self.bytes.get(self.at).ok_or(Error::Package)?;
        self.at += 1;
        if character != b'u' {
            return simple_escape(character).map(|_| ()).ok_or(Error::Package);
        }
        let digits = self.bytes.get(self.at..self.at + 4).ok_or(Error::Package)?;
        self.at += 4;
        if digits.iter().all(u8::is_ascii_hexdigit) {
            Ok(())
        } else {
            Err(Error::Package)
        }
    }

    /// Reads a number. Returns its text, and true if it has neither fraction nor exponent.
    fn number(&mut self) -> Result<(&'a str, bool)> {
        self.skip_space();
        let start = self.at;
        self.take_here(b"-");
        if !self.take_here(b"0") {
            self.digits()?;
        }
        let whole = self.at;
        if self.take_here(b".") {
            self.digits()?;
        }
        if self.take_here(b"eE") {
            self.take_here(b"+-");
            self.digits()?;
        }
        let text = &self.bytes[start..self.at];
        let text = std::str::from_utf8(text).map_err(|_| Error::Package)?;
        Ok((text, whole == self.at))
    }

    fn digits(&mut self) -> Result<()> {
        let rest = &self.bytes[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 {
            Err(Error::Package)
        } else {
            Ok(())
        }
    }

    fn literal(&mut self, word: &[u8]) -> Result<()> {
        self.skip_space();
        if !self.bytes[self.at..].starts_with(word) {
            return Err(Error::Package);
        }
        self.at += word.len();
        Ok(())
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(Error::Package)
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        self.take_here(&[byte])
    }

    fn take_here(&mut self, any_of: &[u8]) -> bool {
        let found = self
            .bytes
            .get(self.at)
            .is_some_and(|byte| any_of.contains(byte));
        self.at += usize::from(found);
        found
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        let rest = &self.bytes[self.at..];
        self.at += rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
            .count();
    }
}
