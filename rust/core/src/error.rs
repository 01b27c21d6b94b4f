//! Everything that can go wrong.

use std::path::PathBuf;

/// Everything that can go wrong. No text holds content.
#[derive(Debug)]
pub enum Error {
    /// Any failure to open a package: reads the same for all causes.
    Package,
    /// A key that is not acceptable; the text says what was expected.
    Key(&'static str),
    /// Wrong password or damaged key file.
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file could not be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Out of memory, or a lock was refused.
    Memory(&'static str),
    /// An argument out of range.
    Value(&'static str),
    /// The key was wiped.
    Wiped,
    /// Used in a forked child.
    Forked,
    /// AWS-LC refused something that cannot fail.
    Crypto,
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, Error>;
