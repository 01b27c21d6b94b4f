//! Files of a directory that is held open, so that nobody can exchange it meanwhile: every name is
//! looked up below one descriptor (`openat(2)` and its kin), and no symbolic link is followed.

use std::ffi::CStr;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a lock is waited for: many times what generating a key pair takes.
const LOCK_PATIENCE: Duration = Duration::from_secs(120);
const LOCK_POLL: Duration = Duration::from_millis(10);

/// A directory held open.
pub struct Directory(File);

/// Who may hold a directory's lock at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Readers, together.
    Shared,
    /// One writer alone.
    Exclusive,
}

/// A lock on a directory (`flock(2)`), released when dropped.
pub struct DirectoryLock<'a>(&'a Directory);

/// What can be said of an open file without reading it.
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
    /// Opens whatever is at `path`, without following a symbolic link at its end; that it is a
    /// directory is for the caller to check.
    pub fn open(path: &Path) -> io::Result<Self> {
        // With a trailing slash or dot, the link itself would be followed (`path_resolution(7)`).
        open_for_reading(&without_trailing_slash(path)).map(Self)
    }

    /// Creates a directory for this user alone, and the ones above it. One that exists stays as
    /// it is.
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

    /// What this directory is.
    pub fn facts(&self) -> io::Result<Facts> {
        facts(&self.0)
    }

    /// Waits for a lock. It keeps threads apart as well as processes.
    pub fn lock(&self, sharing: Sharing) -> io::Result<DirectoryLock<'_>> {
        let start = Instant::now();
        loop {
            match self.try_lock(sharing) {
                // Whoever may open the directory may hold its lock for ever: better an error.
                Err(error) if is_busy(&error) && start.elapsed() <= LOCK_PATIENCE => {
                    std::thread::sleep(LOCK_POLL);
                }
                outcome => return outcome,
            }
        }
    }

    /// Takes a lock if that is possible at once; [`is_busy`] tells whether somebody else has it.
    pub fn try_lock(&self, sharing: Sharing) -> io::Result<DirectoryLock<'_>> {
        let operation = match sharing {
            Sharing::Shared => libc::LOCK_SH,
            Sharing::Exclusive => libc::LOCK_EX,
        };
        // SAFETY: the descriptor is open.
        check(unsafe { libc::flock(self.0.as_raw_fd(), operation | libc::LOCK_NB) })?;
        Ok(DirectoryLock(self))
    }

    /// Opens a file for reading. A FIFO does not block.
    pub fn open_file(&self, name: &CStr) -> io::Result<File> {
        self.open_at(name, libc::O_RDONLY | libc::O_NONBLOCK, 0)
    }

    /// Creates a file that did not exist, with exactly this mode.
    pub fn create_file(&self, name: &CStr, mode: u32) -> io::Result<File> {
        let mode = mode as libc::mode_t; // 16 bits wide on some platforms, which hold every permission
        let file = self.open_at(name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, mode)?;
        // The umask may have taken bits away.
        // SAFETY: the descriptor is open.
        check(unsafe { libc::fchmod(file.as_raw_fd(), mode) })?;
        Ok(file)
    }

    /// Renames a file, replacing the one that had the name.
    pub fn rename(&self, from: &CStr, to: &CStr) -> io::Result<()> {
        let directory = self.0.as_raw_fd();
        // SAFETY: the descriptor is open, both names end with a zero byte.
        check(unsafe { libc::renameat(directory, from.as_ptr(), directory, to.as_ptr()) })
    }

    /// Removes a file; that there is none is no error.
    pub fn remove(&self, name: &CStr) -> io::Result<()> {
        // SAFETY: the descriptor is open, the name ends with a zero byte.
        match check(unsafe { libc::unlinkat(self.0.as_raw_fd(), name.as_ptr(), 0) }) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Makes the names that were written durable.
    pub fn sync(&self) -> io::Result<()> {
        match self.0.sync_all() {
            // Some file systems cannot sync a directory, and need not (`fsync(2)`).
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other,
        }
    }

    fn open_at(&self, name: &CStr, flags: i32, mode: libc::mode_t) -> io::Result<File> {
        let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        let mode = libc::c_uint::from(mode);
        // SAFETY: the descriptor is open, the name ends with a zero byte.
        let descriptor = unsafe { libc::openat(self.0.as_raw_fd(), name.as_ptr(), flags, mode) };
        check(descriptor)?;
        // SAFETY: the descriptor was just opened and belongs to nobody else.
        Ok(unsafe { File::from_raw_fd(descriptor) })
    }
}

impl Drop for DirectoryLock<'_> {
    fn drop(&mut self) {
        // Said expressly, for a child forked meanwhile holds the same open directory.
        // SAFETY: the descriptor is open.
        unsafe { libc::flock(self.0.0.as_raw_fd(), libc::LOCK_UN) };
    }
}

/// Opens a file for reading, without following a symbolic link and without blocking at a FIFO.
pub fn open_for_reading(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Asks the system about an open file.
pub fn facts(file: &File) -> io::Result<Facts> {
    let metadata = file.metadata()?;
    // SAFETY: takes no argument and cannot fail.
    let user = unsafe { libc::geteuid() };
    Ok(Facts {
        size: metadata.len(),
        is_regular: metadata.is_file(),
        is_directory: metadata.is_dir(),
        mode: metadata.mode() & 0o7777,
        is_trusted: metadata.uid() == user || metadata.uid() == 0,
    })
}

/// Whether an error says that a symbolic link was met.
pub fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

/// Whether an error says that somebody else held the lock all the time.
pub fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn without_trailing_slash(path: &Path) -> PathBuf {
    let components: PathBuf = path.components().collect();
    if components.as_os_str().is_empty() {
        return PathBuf::from(Component::CurDir.as_os_str());
    }
    components
}

fn check(answer: libc::c_int) -> io::Result<()> {
    if answer == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
