//! Python's class for files of hash-chained lines, and the digests that stand in such lines.

use crate::detached::Detached;
use crate::errors;
use nomyo_core::chain;
use nomyo_core::crypto::sha256;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Above this, letting go of the GIL takes less time than the digest.
const LARGE: usize = 256 * 1024;

/// The end of a hash-chained file (`nomyo/trust/chain.py`) that stays open, for any number of threads.
///
/// The descriptor stays the caller's, who keeps it open. `size_bytes` is the file's size, and `chain` that of its last
/// line. Raises ValueError if `chain` is no chain.
#[pyclass(frozen, module = "nomyo._core")]
pub struct ChainEnd {
    end: Mutex<chain::ChainEnd>,
}

#[pymethods]
impl ChainEnd {
    #[new]
    fn new(
        py: Python<'_>,
        descriptor: i32,
        path: PathBuf,
        size_bytes: u64,
        chain: &str,
    ) -> PyResult<Self> {
        let chain = chain
            .as_bytes()
            .try_into()
            .map_err(|_| errors::value_error(py, "a chain has 64 digits"))?;
        let end = chain::ChainEnd::new(descriptor, path, size_bytes, chain);
        Ok(Self {
            end: Mutex::new(end),
        })
    }

    /// Append all `objects`, each of them JSON, as lines in one write, and move them to `lines` as one (offset, lines).
    ///
    /// Returns whether that was done: not if somebody else has written to the file, has locked it or could change it, or
    /// if it is no longer at its path.
    ///
    /// All of it happens without the GIL, for each system call of Python's would let go of the GIL and compete for it.
    /// All are written and moved, or none, whatever a signal's handler raises. Raises OSError; then the file is as it
    /// was.
    fn append(&self, objects: &Bound<'_, PyList>, lines: &Bound<'_, PyList>) -> PyResult<bool> {
        let py = objects.py();
        let appending: Vec<Bound<'_, PyBytes>> = objects.extract()?;
        let bytes: Vec<&[u8]> = appending.iter().map(|object| object.as_bytes()).collect();
        let appended = py.detach_counted(|| {
            // Taken without the GIL: its holder may be waiting for the disk.
            let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
            end.append(&bytes)
        })?;
        let Some(appended) = appended else {
            return Ok(false);
        };
        objects.del_slice(0, appending.len())?;
        lines.append((appended.offset, PyBytes::new(py, &appended.rows)))?;
        Ok(true)
    }
}

/// Return the SHA-256 of bytes that are no secret, in hexadecimal.
///
/// Releases the GIL for many of them only; `hashlib` does so from 2 KiB on, and competes for it with others then.
#[pyfunction]
pub fn sha256_hex(data: &Bound<'_, PyBytes>) -> String {
    let bytes = data.as_bytes();
    let digest = if bytes.len() < LARGE {
        sha256::hex(&[bytes])
    } else {
        data.py().detach_counted(|| sha256::hex(&[bytes]))
    };
    String::from_utf8_lossy(&digest).into_owned()
}
