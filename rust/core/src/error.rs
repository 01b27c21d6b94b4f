//! Everything that can go wrong in the core.
//!
//! Promise: no text and no `Debug` form holds plaintext, key bytes, a password or any other content. They consist of
//! paths and fixed sentences. The binding maps each variant to one Python exception.

use std::fmt;
use std::path::PathBuf;

/// Everything that can go wrong. No text holds content.
#[derive(Debug)]
pub enum Error {
    /// A package cannot be opened, because of its outer shape or anything up to its tag. The text is the same for all
    /// causes.
    Package,
    /// The tag of a package is genuine, but its content is not the JSON that is expected. Whoever sealed it knows the
    /// content already, so this error tells them nothing new.
    NotJson,
    /// A key is not acceptable; the text says what was expected.
    Key(&'static str),
    /// A key file cannot be trusted or opened: wrong password, damaged, symbolic link, foreign owner.
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
    /// There is not enough memory; the text says for what.
    Memory(&'static str),
    /// The thread's stack is too small for the operation.
    Stack,
    /// Locked memory is required, and there is not enough of it.
    Unlocked,
    /// An argument is out of range; the text says what was expected.
    Value(&'static str),
    /// Memory cannot be hidden, since the system refuses it; the text says why.
    NotHidden(&'static str),
    /// Memory cannot be hidden now, since it is in use; the text says by what.
    InUse(&'static str),
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
            Self::NotJson => f.write_str(
                "the package was opened, but what was sealed in it is not JSON as expected: one object in UTF-8 that has no field twice, is nested at most 200 deep, has integers of at most 4,300 digits, and takes at most 512 MiB as Python objects",
            ),
            Self::Key(text)
            | Self::Memory(text)
            | Self::Value(text)
            | Self::NotHidden(text)
            | Self::InUse(text) => f.write_str(text),
            Self::KeyFile { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Unlocked => f.write_str(
                "locked memory is required, and there is not enough of it: raise the limit (`nomyo doctor` tells how)",
            ),
            Self::Stack => f.write_str(
                "the stack of this thread is too small: give threads 256 KiB by threading.stack_size(262144), \
                 or the first one more by `ulimit -s`",
            ),
            Self::Wiped => f.write_str("the private key was wiped"),
            Self::Forked => f.write_str(
                "a key or SecureBuffer that was made before fork cannot be used in the child, where its memory is not locked: make a new one there",
            ),
            Self::Crypto => f.write_str("the crypto library (AWS-LC) failed unexpectedly"),
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
