//! Appends to a hash-chained file that stays open; `nomyo/trust/chain.py` describes its form, and reads it.

use crate::crypto::sha256::{self, HEX_LEN};
use crate::os;
use std::io;
use std::path::PathBuf;

const MEMBER: &[u8] = b",\"chain\":\"";
const END: &[u8] = b"\"}\n";

/// The end of a chained file, as this process left it.
pub struct ChainEnd {
    descriptor: i32,
    path: PathBuf,
    size: u64,
    chain: [u8; HEX_LEN],
}

/// Lines that were appended.
pub struct Appended {
    /// Where the first begins in the file.
    pub offset: u64,
    /// All of them.
    pub rows: Vec<u8>,
}

impl ChainEnd {
    /// The end of an open file, which the caller keeps open: its size, and the chain of its last line.
    pub fn new(descriptor: i32, path: PathBuf, size: u64, chain: [u8; HEX_LEN]) -> Self {
        Self {
            descriptor,
            path,
            size,
            chain,
        }
    }

    /// Appends objects as lines, in one write, unless somebody else has written to the file, or has locked it.
    ///
    /// Each object is JSON with at least one member, without spaces at its end.
    pub fn append(&mut self, objects: &[&[u8]]) -> io::Result<Option<Appended>> {
        let mut chain = self.chain;
        let mut rows = Vec::new();
        for object in objects {
            let Some(open) = object.strip_suffix(b"}") else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            chain = sha256::hex(&[&chain, object]);
            for part in [open, MEMBER, &chain, END] {
                rows.extend_from_slice(part);
            }
        }
        if !os::append_if_unchanged(self.descriptor, &self.path, self.size, &rows)? {
            return Ok(None);
        }
        let offset = self.size;
        self.size += rows.len() as u64;
        self.chain = chain;
        Ok(Some(Appended { offset, rows }))
    }
}
