//! Opens files without following a symbolic link.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a file for reading, without following a symbolic link at the end of the path. A FIFO does not block it.
pub fn open_for_reading(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Opens a file of a directory, without following a symbolic link.
pub(super) fn open_at(
    directory: &File,
    name: &CStr,
    flags: i32,
    mode: libc::mode_t,
) -> io::Result<File> {
    let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let mode = libc::c_uint::from(mode);
    // SAFETY: the descriptor is open, the name ends with a zero byte.
    let descriptor = unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags, mode) };
    check(descriptor)?;
    // SAFETY: the descriptor was just opened and belongs to nobody else.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

/// Whether an owner is this process's effective user or root, who can do anything anyway.
pub(super) fn is_ours(owner: libc::uid_t) -> bool {
    // SAFETY: takes no argument and cannot fail.
    owner == 0 || owner == unsafe { libc::geteuid() }
}

/// Whether an error means that the path led to a symbolic link.
pub fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

/// The error of a system call that answered -1.
pub(super) fn check(answer: libc::c_int) -> io::Result<()> {
    if answer == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
