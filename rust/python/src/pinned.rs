//! The content of a SecureBuffer while an operation or a view relies on its address.

/// What gives out pins: its content is at a fixed address while it has any.
pub trait Pins: Sync {
    /// Takes back one pin.
    fn unpin(&self);
}

/// The content of a SecureBuffer, kept open for one operation.
pub struct Pinned<'a> {
    owner: &'a dyn Pins,
    pointer: *mut u8,
    len: usize,
}

// SAFETY: the pointer stays valid until Drop, in any thread, and the content is only copied.
unsafe impl Send for Pinned<'_> {}
// SAFETY: as above.
unsafe impl Sync for Pinned<'_> {}

impl<'a> Pinned<'a> {
    /// Takes over a pin of the owner's, and gives it back when it is dropped.
    pub fn new(owner: &'a dyn Pins, pointer: *mut u8, len: usize) -> Self {
        Self {
            owner,
            pointer,
            len,
        }
    }

    /// The address of the content.
    pub fn pointer(&self) -> *mut u8 {
        self.pointer
    }

    /// The size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies bytes, from `start` on, until `out` is full.
    pub fn copy_to(&self, start: usize, out: &mut [u8]) {
        assert!(start + out.len() <= self.len);
        // SAFETY: the pin keeps `len` bytes readable. If another thread writes to them through a view meanwhile, the
        // copy may be old, new or torn; so callers check the copy, never the source.
        unsafe {
            std::ptr::copy_nonoverlapping(self.pointer.add(start), out.as_mut_ptr(), out.len())
        }
    }

    /// Copies all of it into the arena.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut copy = vec![0; self.len];
        self.copy_to(0, &mut copy);
        copy
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        self.owner.unpin();
    }
}
