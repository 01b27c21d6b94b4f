//! A walk over strict JSON (RFC 8259): its grammar, and no values.
//!
//! Every fault is the same [`Syntax`]: the text comes from whoever sealed the package.

use crate::json_text::find_special;
use crate::json_unescape::unescaped_len;
use crate::json_write::DEEPEST;
use std::ops::{Deref, Range};

/// The text is not JSON, or nested too deep.
pub struct Syntax;

pub type Walk<T> = Result<T, Syntax>;

/// A place in a text.
pub struct Walker<T> {
    pub text: T,
    at: usize,
}

/// A string between its quotation marks.
pub struct Quoted {
    pub content: Range<usize>,
    /// It has a backslash. What follows one is judged by whoever resolves it.
    pub escaped: bool,
}

impl<T: Deref<Target = [u8]>> Walker<T> {
    /// Before the first character.
    pub fn new(text: T) -> Self {
        Self { text, at: 0 }
    }

    /// Where it is.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next character.
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

    /// Enters the object or array that begins here and ends with `close`: whether it has an item, the
    /// first of which is next.
    pub fn enter(&mut self, depth: usize, close: u8) -> Walk<bool> {
        if depth > DEEPEST {
            return Err(Syntax);
        }
        self.at += 1;
        self.skip_space();
        Ok(!self.take(close))
    }

    /// Behind an item: whether another one is next.
    pub fn more(&mut self, close: u8) -> Walk<bool> {
        self.skip_space();
        if self.take(close) {
            return Ok(false);
        }
        self.expect(b',')?;
        self.skip_space();
        Ok(true)
    }

    /// The colon between a name and its value, which is next.
    pub fn colon(&mut self) -> Walk<()> {
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        Ok(())
    }

    /// Passes over a string.
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
                // Whatever follows is no end of the string.
                b'\\' => end += 2,
                _ => return Err(Syntax),
            }
            escaped = true;
        }
        self.at = end + 1;
        let content = start..end;
        Ok(Quoted { content, escaped })
    }

    /// Passes over a number: whether it has neither fraction nor exponent.
    pub fn number(&mut self) -> Walk<bool> {
        self.take(b'-');
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

    /// Passes over `true`, `false` or `null`.
    pub fn literal(&mut self, name: &[u8]) -> Walk<()> {
        if !self.text[self.at..].starts_with(name) {
            return Err(Syntax);
        }
        self.at += name.len();
        Ok(())
    }

    /// Passes over a value of any kind. It refuses what reading it would refuse, the size of integers aside.
    pub fn skip(&mut self, depth: usize) -> Walk<()> {
        match self.peek().ok_or(Syntax)? {
            b'"' => self.skip_string(),
            b'{' => self.skip_object(depth),
            b'[' => self.skip_array(depth),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number().map(|_| ()),
        }
    }

    fn skip_string(&mut self) -> Walk<()> {
        let quoted = self.string()?;
        if quoted.escaped {
            unescaped_len(&self.text[quoted.content]).ok_or(Syntax)?;
        }
        Ok(())
    }

    fn skip_object(&mut self, depth: usize) -> Walk<()> {
        let mut more = self.enter(depth, b'}')?;
        while more {
            self.skip_string()?;
            self.colon()?;
            self.skip(depth + 1)?;
            more = self.more(b'}')?;
        }
        Ok(())
    }

    fn skip_array(&mut self, depth: usize) -> Walk<()> {
        let mut more = self.enter(depth, b']')?;
        while more {
            self.skip(depth + 1)?;
            more = self.more(b']')?;
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Walk<()> {
        let rest = &self.text[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 {
            return Err(Syntax);
        }
        Ok(())
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Walk<()> {
        if self.take(byte) { Ok(()) } else { Err(Syntax) }
    }
}
