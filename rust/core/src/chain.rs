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

/// A line that was appended.
pub struct Appended {
    /// Where it begins in the file.
    pub offset: u64,
    /// All of it.
    pub row: Vec<u8>,
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

    /// Appends an object as a line, unless somebody else has written to the file, or has locked it.
    ///
    /// The object is JSON with at least one member, without spaces at its end.
    pub fn append(&mut self, object: &[u8]) -> io::Result<Option<Appended>> {
        let Some(open) = object.strip_suffix(b"}") else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let chain = sha256::hex(&[&self.chain, object]);
        let row = [open, MEMBER, &chain, END].concat();
        if !os::append_if_unchanged(self.descriptor, &self.path, self.size, &row)? {
            return Ok(None);
        }
        let offset = self.size;
        self.size += row.len() as u64;
        self.chain = chain;
        Ok(Some(Appended { offset, row }))
    }
}
