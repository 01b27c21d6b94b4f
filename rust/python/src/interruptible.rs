//! Reads files into locked memory, and lets signals interrupt it: Ctrl-C ends a wait for a pipe.

use crate::errors::{OrRaise, python_path};
use nomyo_core::buffer::SecureBuffer;
use nomyo_core::hidden;
use pyo3::prelude::*;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a whole file. Raises OSError, or the exception of a signal's handler that runs meanwhile.
pub fn read_file(py: Python<'_>, path: &Path) -> PyResult<SecureBuffer> {
    let file = open(py, path)?;
    // Not `detach_counted`: exit must not wait for a pipe, and wiping the arena meanwhile does no harm here.
    let _reading = hidden::Reading::new();
    py.detach(|| {
        let size = file.metadata().map_or(0, |facts| facts.len());
        SecureBuffer::from_reader(&mut Interruptible(&file), size, path)
    })
    .or_raise(py)
}

/// Opens a file by Python's `os.open`: Rust's standard library would not let a signal interrupt the opening of a pipe.
#[cfg(unix)]
fn open(py: Python<'_>, path: &Path) -> PyResult<File> {
    use std::os::fd::{FromRawFd, RawFd};

    let os = py.import("os")?;
    let read_only: i32 = os.getattr("O_RDONLY")?.extract()?;
    let descriptor: RawFd = os
        .call_method1("open", (python_path(py, path)?, read_only))?
        .extract()?;
    // SAFETY: the descriptor is fresh, and nobody else has it.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

#[cfg(not(unix))]
fn open(py: Python<'_>, path: &Path) -> PyResult<File> {
    File::open(path).map_err(|error| crate::errors::os_error(py, Some(path), &error))
}

/// A file that lets signal handlers run after each read, and fails with the exception that they raise.
struct Interruptible<'a>(&'a File);

impl Read for Interruptible<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut file = self.0;
        let outcome = file.read(room);
        Python::attach(|py| py.check_signals()).map_err(io::Error::other)?;
        outcome
    }
}
