//! Opens and reads one key file. It is checked by its descriptor, so that nobody can exchange it after the check.

use super::refusal::refusal;
use crate::os::files::{self, Facts};
use crate::{Error, Result};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The largest key file that is read.
const MAX_BYTES: u64 = 64 * 1024;
/// The permission bits of group and others.
const NOT_PRIVATE: u32 = 0o077;

/// Opens a key file by its path.
pub(super) fn open(path: &Path) -> Result<File> {
    files::open_linked_for_reading(path).map_err(|error| failure(path, error))
}

/// Reads a key file into the arena. `path` is only for errors.
pub(super) fn read_opened(file: &File, path: &Path) -> Result<Vec<u8>> {
    let facts = check(file, path)?;
    let content = read_content(file, facts.size as usize).map_err(|error| failure(path, error))?;
    if content.len() as u64 != facts.size {
        return Err(refusal(path, "changed while it was read"));
    }
    Ok(content)
}

/// Whether group or others may do anything with a private key.
pub(super) fn is_too_open(facts: Facts) -> bool {
    facts.mode & NOT_PRIVATE != 0
}

/// Checks that a file is a regular file of this user or root, and at most 64 KiB.
pub(super) fn check(file: &File, path: &Path) -> Result<Facts> {
    let facts = files::facts(file).map_err(|error| failure(path, error))?;
    if !facts.is_regular {
        return Err(refusal(path, "is not a regular file"));
    }
    if !facts.is_trusted {
        return Err(refusal(path, "belongs to another user"));
    }
    if facts.size > MAX_BYTES {
        return Err(refusal(path, "is larger than 64 KiB"));
    }
    Ok(facts)
}

/// Turns an error of the system into one that names the file.
pub(super) fn failure(path: &Path, source: io::Error) -> Error {
    if files::is_link(&source) {
        return refusal(
            path,
            "is a symbolic link: links are followed to files only, and only if every link and directory on the way belongs to this user or root and nobody else may write there",
        );
    }
    Error::Io {
        path: path.to_owned(),
        source,
    }
}

/// Reads directly into the arena; `read_to_end` would probe for the end with a buffer on the stack. It tries to read
/// one byte more than expected, which shows a file that has grown.
fn read_content(mut file: &File, expected: usize) -> io::Result<Vec<u8>> {
    let mut content = vec![0; expected + 1];
    let mut filled = 0;
    while filled < content.len() {
        match file.read(&mut content[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    content.truncate(filled);
    Ok(content)
}
