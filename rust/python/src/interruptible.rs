//! Files read into locked memory, with an ear for signals: Ctrl-C ends what would wait for a pipe for ever.

use crate::errors::OrRaise;
use nomyo_core::buffer::SecureBuffer;
use pyo3::prelude::*;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a whole file. Raises OSError, or what a signal's handler raises meanwhile.
pub fn read_file(py: Python<'_>, path: &Path) -> PyResult<SecureBuffer> {
    let file = open(py, path)?;
    // Not counted: exit need not wait for a pipe, and nothing in the arena is followed here.
    py.detach(|| {
        let told = file.metadata().map_or(0, |facts| facts.len());
        SecureBuffer::from_reader(&mut Listening(&file), told, path)
    })
    .or_raise(py)
}

/// Opens as Python does: the standard library would not let a signal interrupt the opening of a pipe.
#[cfg(unix)]
fn open(py: Python<'_>, path: &Path) -> PyResult<File> {
    use std::os::fd::{FromRawFd, RawFd};

    let os = py.import("os")?;
    let read_only: i32 = os.getattr("O_RDONLY")?.extract()?;
    let descriptor: RawFd = os
        .call_method1("open", (path.as_os_str(), read_only))?
        .extract()?;
    // SAFETY: a fresh descriptor that nobody else has.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

#[cfg(not(unix))]
fn open(py: Python<'_>, path: &Path) -> PyResult<File> {
    File::open(path).map_err(|error| crate::errors::os_error(py, Some(path), &error))
}

/// Lets signal handlers run between two reads, and fails with what they raise.
struct Listening<'a>(&'a File);

impl Read for Listening<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut file = self.0;
        let outcome = file.read(room);
        Python::attach(|py| py.check_signals()).map_err(io::Error::other)?;
        outcome
    }
}
