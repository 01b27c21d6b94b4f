//! Holds the bytes of a package while it is built, outside the arena.

use crate::os::PlainPages;
use crate::{Error, Result};
use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

/// A package of up to this size is built without a mapping of its own. It holds a chat message of two kilobytes, sealed
/// for a key of any size.
const SMALL_BYTES: usize = 4096;

/// A finished package: JSON text, all of it ciphertext or public.
pub struct Package {
    small: SmallBlock,
    small_len: usize,
    pages: Option<PlainPages>,
    capacity: usize,
}

impl Package {
    /// Makes an empty package with room for `capacity` bytes; [`Error::Memory`] if there is no memory.
    pub(super) fn with_capacity(capacity: usize) -> Result<Self> {
        Ok(Self {
            small: SmallBlock::new()?,
            small_len: 0,
            pages: None,
            capacity,
        })
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.spare(bytes.len())?[..bytes.len()].copy_from_slice(bytes);
        self.advance(bytes.len());
        Ok(())
    }

    /// Returns at least `n` writable bytes after the content.
    pub(super) fn spare(&mut self, n: usize) -> Result<&mut [u8]> {
        if self.pages.is_none() && SMALL_BYTES - self.small_len < n {
            let mut pages = PlainPages::reserve(self.capacity.max(self.small_len + n))?;
            pages.extend_from_slice(&self.small[..self.small_len])?;
            self.pages = Some(pages);
        }
        match &mut self.pages {
            Some(pages) => pages.spare_mut(n),
            None => Ok(&mut self.small[self.small_len..]),
        }
    }

    /// Makes `n` bytes of the spare room part of the content.
    pub(super) fn advance(&mut self, n: usize) {
        match &mut self.pages {
            Some(pages) => pages.advance(n),
            None => self.small_len += n,
        }
    }
}

impl Deref for Package {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.pages {
            Some(pages) => pages,
            None => &self.small[..self.small_len],
        }
    }
}

/// A block on the C library's heap. An array in the package itself would be copied whenever the package is moved, and
/// small stacks have no room for that.
struct SmallBlock(NonNull<u8>);

// SAFETY: the block belongs to this value alone, and only `&mut self` writes to it.
unsafe impl Send for SmallBlock {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for SmallBlock {}

impl SmallBlock {
    const LAYOUT: Layout = Layout::new::<[u8; SMALL_BYTES]>();

    fn new() -> Result<Self> {
        // SAFETY: the layout has a size.
        let block = NonNull::new(unsafe { System.alloc_zeroed(Self::LAYOUT) });
        block.map(Self).ok_or(Error::Memory("out of memory"))
    }
}

impl Drop for SmallBlock {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, freed once.
        unsafe { System.dealloc(self.0.as_ptr(), Self::LAYOUT) };
    }
}

impl Deref for SmallBlock {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the block has that many bytes, all initialised.
        unsafe { slice::from_raw_parts(self.0.as_ptr(), SMALL_BYTES) }
    }
}

impl DerefMut for SmallBlock {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` is the only access.
        unsafe { slice::from_raw_parts_mut(self.0.as_ptr(), SMALL_BYTES) }
    }
}
