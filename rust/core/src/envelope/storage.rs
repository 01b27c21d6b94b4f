//! Where the bytes of a package are while it is built: outside the arena, whatever their number.

use crate::Result;
use crate::os::PlainPages;
use std::ops::Deref;

/// A package of no more bytes is built without a mapping of its own: a chat message of two
/// kilobytes, sealed for any key.
const INLINE_BYTES: usize = 4096;

/// A finished package: JSON text, all of it ciphertext or public.
pub struct Package {
    inline: [u8; INLINE_BYTES],
    inline_len: usize,
    pages: Option<PlainPages>,
    capacity: usize,
}

impl Package {
    /// Room for `capacity` bytes, none of it touched yet.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            inline: [0; INLINE_BYTES],
            inline_len: 0,
            pages: None,
            capacity,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.spare(bytes.len())?[..bytes.len()].copy_from_slice(bytes);
        self.advance(bytes.len());
        Ok(())
    }

    /// At least `n` writable bytes behind the content.
    pub(super) fn spare(&mut self, n: usize) -> Result<&mut [u8]> {
        if self.pages.is_none() && INLINE_BYTES - self.inline_len < n {
            let mut pages = PlainPages::reserve(self.capacity.max(self.inline_len + n))?;
            pages.extend_from_slice(&self.inline[..self.inline_len])?;
            self.pages = Some(pages);
        }
        match &mut self.pages {
            Some(pages) => pages.spare_mut(n),
            None => Ok(&mut self.inline[self.inline_len..]),
        }
    }

    /// Makes `n` bytes of the spare room part of the content.
    pub(super) fn advance(&mut self, n: usize) {
        match &mut self.pages {
            Some(pages) => pages.advance(n),
            None => self.inline_len += n,
        }
    }
}

impl Deref for Package {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.pages {
            Some(pages) => pages,
            None => &self.inline[..self.inline_len],
        }
    }
}
