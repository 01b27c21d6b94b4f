//! Works with the files of a directory on Windows. The code follows the manual; it is neither compiled nor tested here.
//!
//! Files inherit the permissions of the directory. Access control lists are neither read nor written, so owners are not
//! checked, and no mode counts as too open. Reparse points, links among them, are refused.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x400;
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
const ERROR_CANT_ACCESS_FILE: i32 = 1920;
const PRIVATE: u32 = 0o600;
const LOCK_NAME: &str = ".lock";
/// How long to wait for a lock: many times as long as generating a key pair takes.
const LOCK_PATIENCE: Duration = Duration::from_secs(120);
const LOCK_POLL: Duration = Duration::from_millis(10);

/// A directory.
pub struct Directory(PathBuf);

/// Who may hold a directory's lock at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Any number of readers.
    Shared,
    /// A single writer.
    Exclusive,
}

/// A lock on a file in the directory, released when dropped.
pub struct DirectoryLock<'a>(#[allow(dead_code)] File, std::marker::PhantomData<&'a ()>);

/// Opens a file for reading; no link is followed on this platform.
pub fn open_linked_for_reading(path: &Path) -> io::Result<File> {
    open_for_reading(path)
}

impl DirectoryLock<'_> {
    /// Returns true: on this platform it is an error if a file system has no locks.
    pub fn guards(&self) -> bool {
        true
    }
}

/// Makes the content of a file durable.
pub fn sync(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Bytes of content.
    pub size: u64,
    /// Whether it is a regular file.
    pub is_regular: bool,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Permission bits: always those of a private file on this platform.
    pub mode: u32,
    /// Whether it may be trusted: always true, since owners are not checked.
    pub is_trusted: bool,
}

impl Directory {
    /// Opens the directory at `path`, which must not be a link.
    pub fn open(path: &Path) -> io::Result<Self> {
        refuse_link(&fs::symlink_metadata(path)?)?;
        Ok(Self(path.to_owned()))
    }

    /// Creates a directory, and the ones above it. An existing directory stays as it is.
    pub fn create(path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    /// Asks the system about this directory.
    pub fn facts(&self) -> io::Result<Facts> {
        fs::symlink_metadata(&self.0).map(|metadata| facts_of(&metadata))
    }

    /// Waits for a lock, which keeps threads apart as well as processes.
    pub fn lock(&self, sharing: Sharing) -> io::Result<DirectoryLock<'_>> {
        let start = Instant::now();
        loop {
            match self.try_lock(sharing) {
                Err(error) if is_busy(&error) && start.elapsed() <= LOCK_PATIENCE => {
                    std::thread::sleep(LOCK_POLL);
                }
                outcome => return outcome,
            }
        }
    }

    /// Takes a lock if that is possible at once. [`is_busy`] tells if the error means that somebody else has it.
    pub fn try_lock(&self, sharing: Sharing) -> io::Result<DirectoryLock<'_>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.0.join(LOCK_NAME))?;
        let attempt = match sharing {
            Sharing::Shared => file.try_lock_shared(),
            Sharing::Exclusive => file.try_lock(),
        };
        match attempt {
            Ok(()) => Ok(DirectoryLock(file, std::marker::PhantomData)),
            Err(TryLockError::Error(error)) => Err(error),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Opens a file for reading; no link is followed here.
    pub fn open_linked_file(&self, name: &CStr) -> io::Result<File> {
        self.open_file(name)
    }

    /// Opens a file for reading.
    pub fn open_file(&self, name: &CStr) -> io::Result<File> {
        open_for_reading(&self.path_of(name)?)
    }

    /// Creates a file that did not exist; it inherits the directory's permissions.
    pub fn create_file(&self, name: &CStr, _mode: u32) -> io::Result<File> {
        File::create_new(self.path_of(name)?)
    }

    /// Renames a file, replacing the one that had the name.
    pub fn rename(&self, from: &CStr, to: &CStr) -> io::Result<()> {
        fs::rename(self.path_of(from)?, self.path_of(to)?)
    }

    /// Removes a file, if there is one.
    pub fn remove(&self, name: &CStr) -> io::Result<()> {
        match fs::remove_file(self.path_of(name)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Does nothing: a file's name becomes durable with the file itself.
    pub fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn path_of(&self, name: &CStr) -> io::Result<PathBuf> {
        let name = name.to_str().map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(self.0.join(name))
    }
}

/// Opens a file for reading, without following a link.
pub fn open_for_reading(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)?;
    refuse_link(&file.metadata()?)?;
    Ok(file)
}

/// Asks the system about an open file.
pub fn facts(file: &File) -> io::Result<Facts> {
    file.metadata().map(|metadata| facts_of(&metadata))
}

/// Whether an error means that the path led to a link.
pub fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ERROR_CANT_ACCESS_FILE)
}

/// Whether an error means that somebody else held the lock all the time.
pub fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn facts_of(metadata: &fs::Metadata) -> Facts {
    Facts {
        size: metadata.len(),
        is_regular: metadata.is_file(),
        is_directory: metadata.is_dir(),
        mode: PRIVATE,
        is_trusted: true,
    }
}

fn refuse_link(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT == 0 {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(ERROR_CANT_ACCESS_FILE))
}
