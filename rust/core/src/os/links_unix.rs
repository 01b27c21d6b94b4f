//! Follows symbolic links one step at a time, if nobody else can have made or exchanged them.
//!
//! Rule: each link on the way, and each directory in which a name is looked up, must belong to this process's user or
//! to root, and nobody else may be able to exchange an entry of the directory. That is so if group and others cannot
//! write there, or if it is sticky (`unlink(2)`: then only the owners of entry and directory may). So what one step
//! finds cannot change before the next step.

use super::opening::{check, is_link, is_ours, open_at, open_for_reading};
use std::ffi::{CStr, CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path};

/// How many links are followed; more are taken for a loop.
const MOST_LINKS: usize = 8;
const LONGEST_TARGET_BYTES: usize = 4096;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Opens the file `name` of a directory for reading; `ELOOP` if a link breaks the rule.
pub fn open_file(directory: &File, name: &CStr) -> io::Result<File> {
    match open_at(directory, name, libc::O_RDONLY | libc::O_NONBLOCK, 0) {
        Err(error) if is_link(&error) => follow(directory, name),
        other => other,
    }
}

/// The same for a path. Only its last name is followed by the rule; the system looks up the names before it.
pub fn open_path(path: &Path) -> io::Result<File> {
    match open_for_reading(path) {
        Err(error) if is_link(&error) => {
            let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(error);
            };
            let above = if above.as_os_str().is_empty() {
                Path::new(".")
            } else {
                above
            };
            let directory = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_DIRECTORY)
                .open(above)?;
            follow(&directory, &c_string(name)?)
        }
        other => other,
    }
}

/// Walks from `directory` along `name`, and along the targets of links.
fn follow(directory: &File, name: &CStr) -> io::Result<File> {
    let mut here = directory.try_clone()?;
    let mut to_come = vec![name.to_owned()];
    let mut links = 0;
    while let Some(step) = to_come.pop() {
        check_directory(&here)?;
        let found = entry(&here, &step)?;
        if !is_ours(found.st_uid) {
            return Err(refused());
        }
        if found.st_mode & libc::S_IFMT == libc::S_IFLNK {
            links += 1;
            if links > MOST_LINKS {
                return Err(refused());
            }
            let target = read_link(&here, &step)?;
            if target.is_absolute() {
                here = File::open("/")?;
            }
            push_steps(&mut to_come, &target)?;
            continue;
        }
        if to_come.is_empty() {
            return open_at(&here, &step, libc::O_RDONLY | libc::O_NONBLOCK, 0);
        }
        here = open_at(&here, &step, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    }
    Err(refused())
}

/// Puts the names of a path before those that are still to come. These are in reverse order.
fn push_steps(to_come: &mut Vec<CString>, path: &Path) -> io::Result<()> {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => to_come.push(c_string(name)?),
            Component::ParentDir => to_come.push(c"..".to_owned()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(())
}

fn check_directory(directory: &File) -> io::Result<()> {
    let metadata = directory.metadata()?;
    let guarded = metadata.mode() & WRITABLE_BY_OTHERS == 0 || metadata.mode() & STICKY != 0;
    if guarded && is_ours(metadata.uid()) {
        return Ok(());
    }
    Err(refused())
}

fn entry(directory: &File, name: &CStr) -> io::Result<libc::stat> {
    let mut found = MaybeUninit::uninit();
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: the descriptor is open, the name ends with a zero byte, and there is room for the answer.
    check(unsafe {
        libc::fstatat(
            directory.as_raw_fd(),
            name.as_ptr(),
            found.as_mut_ptr(),
            flags,
        )
    })?;
    // SAFETY: the call succeeded, so it filled the answer.
    Ok(unsafe { found.assume_init() })
}

fn read_link(directory: &File, name: &CStr) -> io::Result<std::path::PathBuf> {
    let mut target = vec![0_u8; LONGEST_TARGET_BYTES];
    let room = target.as_mut_ptr().cast();
    // SAFETY: the descriptor is open, the name ends with a zero byte, and the room has this length.
    let len = unsafe { libc::readlinkat(directory.as_raw_fd(), name.as_ptr(), room, target.len()) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    if len == 0 || len == target.len() {
        return Err(refused());
    }
    Ok(Path::new(OsStr::from_bytes(&target[..len])).to_owned())
}

fn c_string(name: &OsStr) -> io::Result<CString> {
    CString::new(name.as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn refused() -> io::Error {
    io::Error::from_raw_os_error(libc::ELOOP)
}
