//! Walks over JSON text (RFC 8259) piece by piece. It knows the grammar, and makes no values.
//!
//! `NaN`, `Infinity` and `-Infinity` count as numbers, as in Python's `json`, since routers in Python write them (log
//! probabilities). Everything else is strict.
//! Every fault is the same [`Syntax`], which tells whoever sealed the package nothing more.

use crate::json::bounds::DEEPEST;
use crate::json::escape::find_special;
use crate::json::unescape::escape_at;
use std::ops::{Deref, Range};

/// The text is not JSON, or it is nested too deep.
pub struct Syntax;

/// The result of a step of the walk.
pub type Walk<T> = Result<T, Syntax>;

/// A text, and how far the walk has come.
pub struct Walker<T> {
    /// The whole text.
    pub text: T,
    at: usize,
}

/// Where a string's content lies, between its quotation marks.
pub struct Quoted {
    /// What stands between the quotation marks.
    pub content: Range<usize>,
    /// Whether it has escapes. All of them are well formed.
    pub escaped: bool,
}

impl<T: Deref<Target = [u8]>> Walker<T> {
    /// Begins before the first byte.
    pub fn new(text: T) -> Self {
        Self { text, at: 0 }
    }

    /// The offset of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next byte.
    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Passes over white space.
    pub fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Demands that an object begins here, after white space.
    pub fn expect_object(&mut self) -> Walk<()> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => Ok(()),
            _ => Err(Syntax),
        }
    }

    /// Demands that nothing but white space is left.
    pub fn end(&mut self) -> Walk<()> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Syntax),
        }
    }

    /// Enters the object or array that begins here, `depth` levels below the outermost one, and ends with `closing`.
    /// Returns true if it has an item, which is then next; false if it was empty, and is passed over.
    pub fn enter(&mut self, depth: usize, closing: u8) -> Walk<bool> {
        if depth > DEEPEST {
            return Err(Syntax);
        }
        self.at += 1;
        self.skip_space();
        Ok(!self.take(closing))
    }

    /// Goes on after an item. Returns true if another one is next; false if the container ended, and is passed over.
    pub fn more(&mut self, closing: u8) -> Walk<bool> {
        self.skip_space();
        if self.take(closing) {
            return Ok(false);
        }
        self.expect(b',')?;
        self.skip_space();
        Ok(true)
    }

    /// Passes over the colon between a name and its value, which is then next.
    pub fn colon(&mut self) -> Walk<()> {
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        Ok(())
    }

    /// Passes over a string and returns where its content lies.
    pub fn string(&mut self) -> Walk<Quoted> {
        self.expect(b'"')?;
        let start = self.at;
        let mut end = start;
        let mut escaped = false;
        loop {
            let rest = self.text.get(end..).ok_or(Syntax)?;
            end += find_special(rest).ok_or(Syntax)?;
            match self.text[end] {
                b'"' => break,
                b'\\' => end += 1 + escape_at(&self.text[end + 1..]).ok_or(Syntax)?.1,
                _ => return Err(Syntax),
            }
            escaped = true;
        }
        self.at = end + 1;
        let content = start..end;
        Ok(Quoted { content, escaped })
    }

    /// Passes over a number. Returns true if it is an integer, without fraction and exponent.
    pub fn number(&mut self) -> Walk<bool> {
        if self.peek() == Some(b'N') {
            return self.literal(b"NaN").map(|()| false);
        }
        self.take(b'-');
        if self.peek() == Some(b'I') {
            return self.literal(b"Infinity").map(|()| false);
        }
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut integral = true;
        if self.take(b'.') {
            integral = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            integral = false;
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(integral)
    }

    /// Passes over exactly this word, such as `true`.
    pub fn literal(&mut self, name: &[u8]) -> Walk<()> {
        if !self.text[self.at..].starts_with(name) {
            return Err(Syntax);
        }
        self.at += name.len();
        Ok(())
    }

    /// Passes over a value in a text that `check` has passed. Returns how many levels of objects and arrays it has.
    pub fn skip(&mut self) -> Walk<usize> {
        let (mut depth, mut levels) = (0_usize, 0);
        loop {
            match self.peek().ok_or(Syntax)? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    levels = levels.max(depth);
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1).ok_or(Syntax)?;
                    self.at += 1;
                }
                _ => self.skip_plain(),
            }
            if depth == 0 {
                return Ok(levels);
            }
        }
    }

    /// Passes over a number or literal, or the characters between values: at least one byte.
    fn skip_plain(&mut self) {
        let rest = &self.text[self.at + 1..];
        let end = rest
            .iter()
            .position(|byte| b"\"{[}], \t\n\r".contains(byte));
        self.at += 1 + end.unwrap_or(rest.len());
    }

    /// Passes over one digit or more.
    fn digits(&mut self) -> Walk<()> {
        let rest = &self.text[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 {
            return Err(Syntax);
        }
        Ok(())
    }

    /// Passes over this byte if it is next. Returns whether it was.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Walk<()> {
        if self.take(byte) { Ok(()) } else { Err(Syntax) }
    }
}
