//! Memory for what is no secret.

use super::{open_pages, page_size, release, reserve};
use crate::{Error, Result};
use std::ops::Deref;
use std::slice;

/// Growable memory for ciphertext, which is no secret and can be large.
///
/// A mapping of its own outside the arena: pages cost nothing before they are touched, nothing is
/// locked and nothing is wiped. Content never moves as long as it stays within the capacity.
pub struct PlainPages {
    base: *mut u8,
    mapped: usize,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone, and only `&mut self` writes to it.
unsafe impl Send for PlainPages {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for PlainPages {}

impl PlainPages {
    /// Reserves room for `capacity_bytes`. `Error::Memory` where there is no address space left.
    pub fn reserve(capacity_bytes: usize) -> Result<Self> {
        let page = page_size();
        let mapped = capacity_bytes.max(1).checked_next_multiple_of(page);
        let mapped = mapped.ok_or(Error::Memory("out of memory"))?;
        let base = reserve(mapped).ok_or(Error::Memory("out of memory"))?;
        let pages = Self {
            base,
            mapped,
            len: 0,
        };
        // SAFETY: the whole of a fresh reservation, released by Drop on either way.
        if unsafe { open_pages(base, mapped) } {
            Ok(pages)
        } else {
            Err(Error::Memory("out of memory"))
        }
    }

    /// Appends bytes; beyond the capacity the content moves to a larger mapping.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<()> {
        self.spare_mut(bytes.len())?.copy_from_slice(bytes);
        self.advance(bytes.len());
        Ok(())
    }

    /// `n` writable bytes behind the content.
    pub fn spare_mut(&mut self, n: usize) -> Result<&mut [u8]> {
        if n > self.mapped - self.len {
            self.grow(n)?;
        }
        // SAFETY: `len + n` lies within the mapping, which the system filled with zeros.
        Ok(unsafe { slice::from_raw_parts_mut(self.base.add(self.len), n) })
    }

    /// Makes `n` bytes of the spare room part of the content.
    ///
    /// # Panics
    /// Where there is not that much room.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.mapped - self.len, "advanced beyond the mapping");
        self.len += n;
    }

    fn grow(&mut self, n: usize) -> Result<()> {
        let needed = self
            .len
            .checked_add(n)
            .ok_or(Error::Memory("out of memory"))?;
        let mut larger = Self::reserve(needed.max(self.mapped.saturating_mul(2)))?;
        larger.extend_from_slice(self)?;
        *self = larger;
        Ok(())
    }
}

impl Deref for PlainPages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes were written or were zero from the start.
        unsafe { slice::from_raw_parts(self.base, self.len) }
    }
}

impl Drop for PlainPages {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `reserve`, released once.
        unsafe { release(self.base, self.mapped) };
    }
}

#[cfg(test)]
mod tests {
    use super::PlainPages;

    #[test]
    fn content_survives_growth_beyond_the_capacity() {
        let mut pages = PlainPages::reserve(10).unwrap();
        let pattern: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        for part in pattern.chunks(777) {
            pages.extend_from_slice(part).unwrap();
        }
        assert!(*pages == pattern[..]);
    }

    #[test]
    fn content_within_the_capacity_stays_where_it_is() {
        let mut pages = PlainPages::reserve(1 << 20).unwrap();
        pages.extend_from_slice(b"x").unwrap();
        let place = pages.as_ptr();
        pages.extend_from_slice(&vec![0; (1 << 20) - 1]).unwrap();
        assert_eq!(pages.as_ptr(), place);
    }

    #[test]
    fn spare_room_becomes_content_only_when_advanced() {
        let mut pages = PlainPages::reserve(8).unwrap();
        pages.spare_mut(4).unwrap().copy_from_slice(b"abcd");
        assert!(pages.is_empty());
        pages.advance(2);
        assert_eq!(&*pages, b"ab");
    }

    #[test]
    fn capacity_beyond_the_address_space_is_an_error() {
        assert!(PlainPages::reserve(usize::MAX).is_err());
        assert!(PlainPages::reserve(usize::MAX / 2).is_err());
    }
}
