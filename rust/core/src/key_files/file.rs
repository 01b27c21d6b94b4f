//! One key file: opened without trust, judged by what the descriptor says, read into the arena.

use super::refusal;
use crate::os::files::{self, Facts};
use crate::{Error, Result};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Largest key file that is read.
const MAX_BYTES: u64 = 64 * 1024;
const NOT_PRIVATE: u32 = 0o077;

/// Opens a key file by its path.
pub(super) fn open(path: &Path) -> Result<File> {
    files::open_for_reading(path).map_err(|error| failure(path, error))
}

/// Reads a key file into the arena; `path` is for errors.
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

/// Refuses what is not a regular file of this user and of a sane size.
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

/// What the system refused, by name of the file.
pub(super) fn failure(path: &Path, source: io::Error) -> Error {
    if files::is_link(&source) {
        return refusal(path, "is a symbolic link, which is not followed");
    }
    Error::Io {
        path: path.to_owned(),
        source,
    }
}

/// Reads straight into the arena: `read_to_end` would try the end of a file with a buffer on the
/// stack. One byte more than expected shows a file that grew.
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
