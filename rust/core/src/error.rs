//! Everything that can go wrong in the core.
//!
//! Promise: no text and no `Debug` form holds plaintext, key bytes, a password or any other content; paths and fixed
//! sentences are all there is. The binding maps each variant to one Python exception.

use std::fmt;
use std::path::PathBuf;

/// Everything that can go wrong. No text holds content.
#[derive(Debug)]
pub enum Error {
    /// Any failure to open a package, at its outer shape or past it: reads the same for all causes.
    Package,
    /// A key that is not acceptable; the text says what was expected.
    Key(&'static str),
    /// A key file that cannot be trusted or opened: wrong password, damaged, symbolic link, foreign owner.
    KeyFile {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The system refused to read or write a file.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Out of memory, or a lock was refused.
    Memory(&'static str),
    /// Locked memory was required, and there was no more of it.
    Unlocked,
    /// An argument out of range; the text says what was expected.
    Value(&'static str),
    /// The key was wiped.
    Wiped,
    /// A key or buffer of the parent process was used in a forked child.
    Forked,
    /// The crypto library refused something that cannot fail.
    Crypto,
}

/// What every fallible function of the core returns.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package => {
                f.write_str("the package cannot be opened: malformed, altered, or sealed for another key")
            }
            Self::Key(expected) | Self::Memory(expected) | Self::Value(expected) => {
                f.write_str(expected)
            }
            Self::KeyFile { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Unlocked => f.write_str(
                "locked memory is required, and there is not enough of it: raise the limit (`nomyo doctor` tells how)",
            ),
            Self::Wiped => f.write_str("the private key was wiped"),
            Self::Forked => f.write_str(
                "made before fork and used in the child, where its memory is not locked: make a new one there",
            ),
            Self::Crypto => f.write_str("the crypto library failed unexpectedly"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
