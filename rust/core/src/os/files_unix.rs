//! Works with the files of a directory that is held open. Every name is looked up below one descriptor (`openat(2)` and
//! the like), so nobody can exchange the directory meanwhile. No symbolic link is followed unless a function says so.

use super::links;
use super::opening::{check, is_ours, open_at};
pub use super::opening::{is_link, open_for_reading};
use std::ffi::CStr;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait for a lock: many times as long as generating a key pair takes.
const LOCK_PATIENCE: Duration = Duration::from_secs(120);
const LOCK_POLL: Duration = Duration::from_millis(10);

/// A directory held open.
pub struct Directory(File);

/// Who may hold a directory's lock at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Any number of readers.
    Shared,
    /// A single writer.
    Exclusive,
}

/// A lock on a directory (`flock(2)`), released when dropped.
///
/// If the file system has no locks, it guards nothing, and [`DirectoryLock::guards`] says so
/// (`nomyo/_files/file_systems.py` has the same rule).
pub struct DirectoryLock<'a> {
    directory: &'a Directory,
    guards: bool,
}

impl DirectoryLock<'_> {
    /// Whether it keeps others out: false if the file system has no locks.
    pub fn guards(&self) -> bool {
        self.guards
    }
}

/// What is known of an open file without reading it.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Bytes of content.
    pub size: u64,
    /// Whether it is a regular file.
    pub is_regular: bool,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Permission bits.
    pub mode: u32,
    /// Whether it belongs to this process's effective user, or to root, who can do anything anyway.
    pub is_trusted: bool,
}

impl Directory {
    /// Opens whatever is at `path`, without following a symbolic link at its end. The caller must check that it is a
    /// directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        // With a trailing slash or dot, the system would follow a link (`path_resolution(7)`).
        open_for_reading(&without_trailing_slash(path)).map(Self)
    }

    /// Creates a directory that only this user can use, and the ones above it. An existing directory stays as it is.
    pub fn create(path: &Path) -> io::Result<()> {
        let path = without_trailing_slash(path);
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
            builder.recursive(true).create(above)?;
        }
        match builder.recursive(false).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Asks the system about this directory.
    pub fn facts(&self) -> io::Result<Facts> {
        facts(&self.0)
    }

    /// Waits for a lock, which keeps threads apart as well as processes.
    pub fn lock(&self, sharing: Sharing) -> io::Result<DirectoryLock<'_>> {
        let start = Instant::now();
        loop {
            match self.try_lock(sharing) {
                // Not for ever: anybody who may open the directory can hold its lock.
                Err(error) if is_busy(&error) && start.elapsed() <= LOCK_PATIENCE => {
                    std::thread::sleep(LOCK_POLL);
                }
                outcome => return outcome,
            }
        }
    }

    /// Takes a lock if that is possible at once. [`is_busy`] tells if the error means that somebody else has it.
    pub fn try_lock(&self, sharing: Sharing) -> io::Result<DirectoryLock<'_>> {
        let operation = match sharing {
            Sharing::Shared => libc::LOCK_SH,
            Sharing::Exclusive => libc::LOCK_EX,
        };
        // SAFETY: the descriptor is open.
        let answer = check(unsafe { libc::flock(self.0.as_raw_fd(), operation | libc::LOCK_NB) });
        let guards = match answer {
            Err(error) if is_missing(&error) || is(&error, libc::ENOLCK) => false,
            outcome => outcome.map(|()| true)?,
        };
        Ok(DirectoryLock {
            directory: self,
            guards,
        })
    }

    /// Opens a file for reading. A FIFO does not block.
    pub fn open_file(&self, name: &CStr) -> io::Result<File> {
        open_at(&self.0, name, libc::O_RDONLY | libc::O_NONBLOCK, 0)
    }

    /// The same, but follows links that nobody else can have made (`links_unix.rs`).
    pub fn open_linked_file(&self, name: &CStr) -> io::Result<File> {
        links::open_file(&self.0, name)
    }

    /// Creates a file that did not exist, with exactly this mode.
    pub fn create_file(&self, name: &CStr, mode: u32) -> io::Result<File> {
        let mode = mode as libc::mode_t; // 16 bits wide on some platforms, which hold every permission
        let file = open_at(
            &self.0,
            name,
            libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL,
            mode,
        )?;
        // The umask may have taken bits away.
        // SAFETY: the descriptor is open.
        match check(unsafe { libc::fchmod(file.as_raw_fd(), mode) }) {
            // A file system without modes (vfat) gives each file the mode of its mount. Callers see it in the file's
            // facts.
            Err(error) if is_missing(&error) || is(&error, libc::EPERM) => Ok(file),
            outcome => outcome.map(|()| file),
        }
    }

    /// Renames a file, replacing the one that had the name.
    pub fn rename(&self, from: &CStr, to: &CStr) -> io::Result<()> {
        let directory = self.0.as_raw_fd();
        // SAFETY: the descriptor is open, both names end with a zero byte.
        check(unsafe { libc::renameat(directory, from.as_ptr(), directory, to.as_ptr()) })
    }

    /// Removes a file, if there is one.
    pub fn remove(&self, name: &CStr) -> io::Result<()> {
        // SAFETY: the descriptor is open, the name ends with a zero byte.
        match check(unsafe { libc::unlinkat(self.0.as_raw_fd(), name.as_ptr(), 0) }) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Makes new and changed names in the directory durable.
    pub fn sync(&self) -> io::Result<()> {
        match self.0.sync_all() {
            // Some file systems cannot sync a directory, or not one that is open for reading (`fsync(2)`).
            Err(error) if is_missing(&error) || is(&error, libc::EBADF) => Ok(()),
            other => other,
        }
    }
}

impl Drop for DirectoryLock<'_> {
    fn drop(&mut self) {
        // Closing would not be enough: a child forked meanwhile has the same open directory, and so the lock.
        // SAFETY: the descriptor is open.
        unsafe { libc::flock(self.directory.0.as_raw_fd(), libc::LOCK_UN) };
    }
}

/// Makes the content of a file durable, if its file system can do that.
pub fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error) if is_missing(&error) => Ok(()),
        other => other,
    }
}

/// Opens a file for reading. Follows links at the end of the path if nobody else can have made them (`links_unix.rs`).
pub fn open_linked_for_reading(path: &Path) -> io::Result<File> {
    links::open_path(path)
}

/// Asks the system about an open file.
pub fn facts(file: &File) -> io::Result<Facts> {
    let metadata = file.metadata()?;
    Ok(Facts {
        size: metadata.len(),
        is_regular: metadata.is_file(),
        is_directory: metadata.is_dir(),
        mode: metadata.mode() & 0o7777,
        is_trusted: is_ours(metadata.uid()),
    })
}

/// Whether an error means that somebody else held the lock all the time.
pub fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Whether an error means that the file system does not have the operation.
fn is_missing(error: &io::Error) -> bool {
    [libc::EINVAL, libc::ENOSYS, libc::ENOTSUP, libc::EOPNOTSUPP]
        .iter()
        .any(|code| is(error, *code))
}

fn is(error: &io::Error, code: libc::c_int) -> bool {
    error.raw_os_error() == Some(code)
}

fn without_trailing_slash(path: &Path) -> PathBuf {
    let components: PathBuf = path.components().collect();
    if components.as_os_str().is_empty() {
        return PathBuf::from(Component::CurDir.as_os_str());
    }
    components
}
