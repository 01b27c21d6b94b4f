//! Appends to a file that processes of one user share.

use super::opening::check;
use std::fs::{self, File, Metadata};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

const OTHERS: u32 = 0o077;

/// Appends to an open file, if it has the size at which this process left it. Returns whether that was so.
///
/// It does not wait for another process that has locked the file (`flock(2)`), and changes nothing if the file has lost
/// its path or if others could change it (the rules of `nomyo/_files/private_files.py`). If writing fails, the file is
/// cut back to its size. The caller keeps the descriptor open.
pub fn append_if_unchanged(
    descriptor: RawFd,
    path: &Path,
    size: u64,
    rows: &[u8],
) -> io::Result<bool> {
    // SAFETY: the caller keeps the descriptor open; it is not closed here.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) });
    let Some(_lock) = Lock::of(&file)? else {
        return Ok(false);
    };
    let found = file.metadata()?;
    if found.len() != size || !is_private(&found) || !is_at(path, &found)? {
        return Ok(false);
    }
    let written = file.write_all_at(rows, size);
    if written.is_err() {
        let _ = file.set_len(size); // what is left is told as torn
    }
    written.map(|()| true)
}

/// The lock of a file, released when dropped: a forked child may share the descriptor and keep it open.
struct Lock<'a>(&'a File);

impl<'a> Lock<'a> {
    /// Takes the lock; none if another process has it.
    fn of(file: &'a File) -> io::Result<Option<Self>> {
        // SAFETY: the descriptor is open.
        match check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            outcome => outcome.map(|()| Some(Self(file))),
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // SAFETY: the descriptor is open.
        unsafe { libc::flock(self.0.as_raw_fd(), libc::LOCK_UN) };
    }
}

fn is_private(found: &Metadata) -> bool {
    // SAFETY: takes no argument and cannot fail.
    let user = unsafe { libc::geteuid() };
    found.is_file() && found.uid() == user && found.mode() & OTHERS == 0 && found.nlink() == 1
}

fn is_at(path: &Path, found: &Metadata) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (found.dev(), found.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
