//! Errors that name the file they are about.

use crate::Error;
use std::path::Path;

pub(super) const DIFFERENT_KEY: &str = "does not belong to the private key";

/// Adds the file's name to an error about a key.
pub(super) fn because(path: &Path, error: Error) -> Error {
    match error {
        Error::Key(reason) => refusal(path, reason),
        other => other,
    }
}

/// Makes an error that refuses a file.
pub(super) fn refusal(path: &Path, reason: &'static str) -> Error {
    Error::KeyFile {
        path: path.to_owned(),
        reason,
    }
}
