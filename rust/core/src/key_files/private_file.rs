//! Reads a private key from the text of its file.

use super::refusal::because;
use crate::crypto::rsa::PrivateKey;
use crate::{Result, pem};
use std::path::{Path, PathBuf};

/// A private key that was read from its file.
pub(super) struct Present {
    pub(super) key: PrivateKey,
    /// The file, if a password was given but it is not encrypted.
    pub(super) plain: Option<PathBuf>,
}

/// How the password is used for the file of a private key.
#[derive(Clone, Copy)]
pub(super) enum Opening<'a> {
    /// Always: a password for a plain file is an error.
    With(Option<&'a [u8]>),
    /// Only if the file is encrypted: a plain file is read without it.
    IfEncrypted(Option<&'a [u8]>),
}

/// Reads a private key. `path` is only for errors.
pub(super) fn read_private(path: &Path, text: &[u8], opening: Opening<'_>) -> Result<Present> {
    let (password, plain) = match opening {
        Opening::With(password) => (password, None),
        Opening::IfEncrypted(Some(_)) if pem::is_plain(text)? => (None, Some(path.to_owned())),
        Opening::IfEncrypted(password) => (password, None),
    };
    match pem::private_from_pem(text, password) {
        Ok(key) => Ok(Present { key, plain }),
        Err(error) => Err(because(path, error)),
    }
}
