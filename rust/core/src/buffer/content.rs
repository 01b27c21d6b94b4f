//! The content of a buffer while it is open.

use super::pages::Pages;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::slice;

/// The content of a [`SecureBuffer`](super::SecureBuffer), open until this is dropped.
pub struct Content<'a>(&'a Pages);

/// The same, to write to.
pub struct ContentMut<'a>(&'a Pages, PhantomData<&'a mut [u8]>);

impl<'a> Content<'a> {
    /// Takes over a use that has begun.
    pub(super) fn of(used: &'a Pages) -> Self {
        Self(used)
    }
}

impl<'a> ContentMut<'a> {
    /// Takes over a use that has begun.
    ///
    /// # Safety
    /// The caller must have the only access to the content, for as long as the result lives.
    pub(super) unsafe fn of(used: &'a Pages) -> Self {
        Self(used, PhantomData)
    }
}

impl Deref for Content<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        slice_of(self.0)
    }
}

impl Deref for ContentMut<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        slice_of(self.0)
    }
}

impl DerefMut for ContentMut<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `slice_of`, and this is the only access.
        unsafe { slice::from_raw_parts_mut(self.0.content(), self.0.len) }
    }
}

impl Drop for Content<'_> {
    fn drop(&mut self) {
        self.0.end_use();
    }
}

impl Drop for ContentMut<'_> {
    fn drop(&mut self) {
        self.0.end_use();
    }
}

/// The pages must be in use.
fn slice_of(used: &Pages) -> &[u8] {
    // SAFETY: `len` bytes before the guard, initialised by the system, and open while the pages are in use.
    unsafe { slice::from_raw_parts(used.content(), used.len) }
}
