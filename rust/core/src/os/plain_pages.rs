//! Memory outside the arena, for data that is no secret.

use super::memory::{open_pages, page_size, release, reserve};
use crate::{Error, Result};
use std::ops::Deref;
use std::slice;
use std::sync::Mutex;

/// One mapping is kept for the next package, since mapping, faulting pages in and unmapping takes longer than sealing
/// 10 KB.
static SPARE: Mutex<Option<Mapping>> = Mutex::new(None);
/// The most memory that the spare mapping may keep in use.
const SPARE_BYTES: usize = 2 << 20;

/// Growable memory for ciphertext, which is no secret and can be large.
///
/// It is a mapping of its own. Its pages cost nothing before they are touched, and are neither locked nor wiped. The
/// content does not move while it stays within the capacity.
pub struct PlainPages {
    /// `None` only while this is being dropped.
    mapping: Option<Mapping>,
    len: usize,
}

/// Readable and writable pages.
struct Mapping {
    base: *mut u8,
    mapped: usize,
    /// An upper bound of the bytes that were touched, from `base` on.
    touched: usize,
}

// SAFETY: the mapping belongs to this value alone, and only `&mut self` writes to it.
unsafe impl Send for Mapping {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(capacity_bytes: usize) -> Result<Self> {
        let page = page_size();
        let mapped = capacity_bytes.max(1).checked_next_multiple_of(page);
        let mapped = mapped.ok_or(Error::Memory("out of memory"))?;
        let base = reserve(mapped).ok_or(Error::Memory("out of memory"))?;
        let mapping = Self {
            base,
            mapped,
            touched: 0,
        };
        // SAFETY: this is the whole of a fresh reservation. Drop releases it in either case.
        if unsafe { open_pages(base, mapped) } {
            Ok(mapping)
        } else {
            Err(Error::Memory("out of memory"))
        }
    }

    /// Takes the spare mapping, if there is one and it is large enough.
    fn spare(capacity_bytes: usize) -> Option<Self> {
        // Never waits: at a fork, another thread of the parent may have held the lock, which stays held in the child.
        SPARE
            .try_lock()
            .ok()?
            .take_if(|spare| spare.mapped >= capacity_bytes)
    }

    /// Makes this the spare mapping, if it holds little memory and the present spare is smaller.
    fn keep(self) {
        if self.touched <= SPARE_BYTES
            && let Ok(mut spare) = SPARE.try_lock()
            && spare
                .as_ref()
                .is_none_or(|other| other.mapped < self.mapped)
        {
            *spare = Some(self);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `new`, and is released once.
        unsafe { release(self.base, self.mapped) };
    }
}

impl PlainPages {
    /// Reserves room for `capacity_bytes`; [`Error::Memory`] if there is no address space left.
    pub fn reserve(capacity_bytes: usize) -> Result<Self> {
        let mapping = match Mapping::spare(capacity_bytes) {
            Some(spare) => spare,
            None => Mapping::new(capacity_bytes)?,
        };
        Ok(Self {
            mapping: Some(mapping),
            len: 0,
        })
    }

    /// Appends bytes. If they exceed the capacity, the content moves to a larger mapping.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<()> {
        self.spare_mut(bytes.len())?.copy_from_slice(bytes);
        self.advance(bytes.len());
        Ok(())
    }

    /// Returns `n` writable bytes after the content. They may hold old ciphertext.
    pub fn spare_mut(&mut self, n: usize) -> Result<&mut [u8]> {
        if n > self.room() {
            self.grow(n)?;
        }
        let len = self.len;
        let mapping = self.mapping_mut();
        mapping.touched = mapping.touched.max(len + n);
        // SAFETY: `len + n` lies within the mapping, which the system filled with zeros at first.
        Ok(unsafe { slice::from_raw_parts_mut(mapping.base.add(len), n) })
    }

    /// Makes `n` bytes of the spare room part of the content.
    ///
    /// # Panics
    /// If there is less room than that.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.room(), "advanced beyond the mapping");
        self.len += n;
    }

    fn mapping(&self) -> &Mapping {
        self.mapping.as_ref().expect("there until it is dropped")
    }

    fn mapping_mut(&mut self) -> &mut Mapping {
        self.mapping.as_mut().expect("there until it is dropped")
    }

    fn room(&self) -> usize {
        self.mapping().mapped - self.len
    }

    fn grow(&mut self, n: usize) -> Result<()> {
        let needed = self
            .len
            .checked_add(n)
            .ok_or(Error::Memory("out of memory"))?;
        let doubled = self.mapping().mapped.saturating_mul(2);
        let mut larger = Self::reserve(needed.max(doubled))?;
        larger.extend_from_slice(self)?;
        *self = larger;
        Ok(())
    }
}

impl Deref for PlainPages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes lie within the mapping and are initialised: by us, or by the system with zeros.
        unsafe { slice::from_raw_parts(self.mapping().base, self.len) }
    }
}

impl Drop for PlainPages {
    fn drop(&mut self) {
        if let Some(mapping) = self.mapping.take() {
            mapping.keep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PlainPages, SPARE_BYTES};

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
    fn spare_mapping_is_used_again_unless_it_holds_much_memory() {
        // Other tests may have the one spare at any moment: a mapping that went back is among the next few.
        let comes_back = |filled: usize| {
            (0..1000).any(|_| {
                let mut pages = PlainPages::reserve(SPARE_BYTES * 2).unwrap();
                pages.extend_from_slice(&vec![1; filled]).unwrap();
                let place = pages.as_ptr();
                drop(pages);
                let next = PlainPages::reserve(SPARE_BYTES * 2).unwrap();
                next.mapping().base.cast_const() == place && next.mapping().touched == filled
            })
        };
        assert!(comes_back(SPARE_BYTES));
        assert!(!comes_back(SPARE_BYTES + 1));
    }

    #[test]
    fn capacity_beyond_the_address_space_is_an_error() {
        assert!(PlainPages::reserve(usize::MAX).is_err());
        assert!(PlainPages::reserve(usize::MAX / 2).is_err());
    }
}
