//! Works with the files of a directory on Windows (tested under Wine, by `make ports`).
//!
//! Private files and new directories get an access control list that lets this user alone in; others inherit that of
//! their directory. Owners and lists are checked (`access_windows.rs`). Reparse points, links among them, are refused.

use super::access::{Kind, READ_CONTROL, WRITE_DAC, access, keep_private};
use std::ffi::CStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::marker::PhantomData;
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x400;
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
const ERROR_CANT_ACCESS_FILE: i32 = 1920;
/// Lets a directory be opened (`CreateFileW`).
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
const FILE_READ_ATTRIBUTES: u32 = 0x80;
const GENERIC_WRITE: u32 = 0x4000_0000;
/// The bits of a mode that let others in.
const OTHERS: u32 = 0o077;
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

/// A lock on a file in the directory, released when dropped: closing the file releases it. A directory that this user
/// may only read has no such file, and the lock guards nothing there.
pub struct DirectoryLock<'a>(Option<File>, PhantomData<&'a ()>);

/// Opens a file for reading; no link is followed on this platform.
pub fn open_linked_for_reading(path: &Path) -> io::Result<File> {
    open_for_reading(path)
}

impl DirectoryLock<'_> {
    /// Whether it keeps others out.
    pub fn guards(&self) -> bool {
        self.0.is_some()
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
    /// Permission bits, which stand for what the access control list allows to others.
    pub mode: u32,
    /// Whether it belongs to this user, the system or the administrators.
    pub is_trusted: bool,
}

impl Directory {
    /// Opens the directory at `path`, which must not be a link.
    pub fn open(path: &Path) -> io::Result<Self> {
        refuse_link(&fs::symlink_metadata(path)?)?;
        Ok(Self(path.to_owned()))
    }

    /// Creates a directory that only this user can use, and the ones above it. An existing directory stays as it is.
    pub fn create(path: &Path) -> io::Result<()> {
        if let Some(above) = path.parent().filter(|above| !above.exists()) {
            Self::create(above)?;
        }
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            other => other?,
        }
        keep_private(
            &open_directory(path, READ_CONTROL | WRITE_DAC)?,
            Kind::Directory,
        )
    }

    /// Asks the system about this directory.
    pub fn facts(&self) -> io::Result<Facts> {
        facts(&open_directory(
            &self.0,
            READ_CONTROL | FILE_READ_ATTRIBUTES,
        )?)
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
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.0.join(LOCK_NAME));
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(DirectoryLock(None, PhantomData));
            }
            other => other?,
        };
        let attempt = match sharing {
            Sharing::Shared => file.try_lock_shared(),
            Sharing::Exclusive => file.try_lock(),
        };
        match attempt {
            Ok(()) => Ok(DirectoryLock(Some(file), PhantomData)),
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

    /// Creates a file that did not exist. Only this user can use it if the mode lets nobody else in; otherwise it
    /// inherits the directory's list.
    pub fn create_file(&self, name: &CStr, mode: u32) -> io::Result<File> {
        let file = OpenOptions::new()
            .write(true) // std wants it; the rights below are those that count
            .create_new(true)
            .access_mode(GENERIC_WRITE | READ_CONTROL | WRITE_DAC)
            .share_mode(0) // nobody has opened it when it gets its list, nor before it is written
            .open(self.path_of(name)?)?;
        if mode & OTHERS == 0 {
            keep_private(&file, Kind::File)?;
        }
        Ok(file)
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
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS)
        .open(path)?;
    refuse_link(&file.metadata()?)?;
    Ok(file)
}

/// Asks the system about an open file.
pub fn facts(file: &File) -> io::Result<Facts> {
    let (metadata, access) = (file.metadata()?, access(file)?);
    Ok(Facts {
        size: metadata.len(),
        is_regular: metadata.is_file(),
        is_directory: metadata.is_dir(),
        mode: access.mode,
        is_trusted: access.is_trusted,
    })
}

/// Whether an error means that the path led to a link.
pub fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ERROR_CANT_ACCESS_FILE)
}

/// Whether an error means that somebody else held the lock all the time.
pub fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn open_directory(path: &Path, rights: u32) -> io::Result<File> {
    OpenOptions::new()
        .access_mode(rights)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS)
        .open(path)
}

fn refuse_link(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT == 0 {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(ERROR_CANT_ACCESS_FILE))
}
