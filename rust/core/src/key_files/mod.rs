//! Key pairs as files: `private_key.pem` (PKCS#8, 0600) and `public_key.pem` (SPKI, 0644).
//!
//! Rules:
//! - No symbolic link is followed, to the files or to the directory, and nothing is read that is
//!   not a regular file of this user (or of root).
//! - A pair that cannot be opened (wrong password, damaged, halves that do not belong together) is
//!   an error, and the files stay as they are.
//! - Whatever is read or written happens under a lock on the directory: processes that start on an
//!   empty one together end with one pair.
//! - A pair is replaced by two renames, and a crash at any point leaves a pair that loads; see
//!   [`write_directory`].
//! - What was staged for a replacement that failed is removed at once; what a crash left of one, by
//!   whoever opens or writes the directory next and may write there, unless it completes the pair.
//! - The text of a private key lies in the arena between file and key, in both directions.

mod directory;
mod file;

use crate::os::files::Sharing;
use crate::rsa::{PrivateKey, PublicKey};
use crate::{Error, Result, pem};
use directory::{Found, KeyDirectory};
use std::path::{Path, PathBuf};

/// A pair that was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The pair.
    pub key: PrivateKey,
    /// What others may read or change, by its mode.
    pub too_open: Vec<PathBuf>,
}

/// A pair that was loaded from a directory, or made there.
#[derive(Debug)]
pub struct Opened {
    /// The pair.
    pub key: PrivateKey,
    /// Whether it is new.
    pub created: bool,
    /// What others may read or change, by its mode.
    pub too_open: Vec<PathBuf>,
}

impl From<Opened> for Loaded {
    fn from(opened: Opened) -> Self {
        Self {
            key: opened.key,
            too_open: opened.too_open,
        }
    }
}

/// Loads a pair from files. The public half is derived where no path is given for it.
pub fn load_pair(private: &Path, public: Option<&Path>, password: Option<&[u8]>) -> Result<Loaded> {
    let file = file::open(private)?;
    let key = read_private(private, &file::read_opened(&file, private)?, password)?;
    if let Some(public) = public {
        let text = file::read_opened(&file::open(public)?, public)?;
        let given = PublicKey::from_pem(&text).map_err(|error| because(public, error))?;
        if given != *key.public_key() {
            return Err(refusal(public, DIFFERENT_KEY));
        }
    }
    let mut too_open = Vec::new();
    if file::is_too_open(file::check(&file, private)?) {
        too_open.push(private.to_owned());
    }
    Ok(Loaded { key, too_open })
}

/// Loads the pair in a directory, or makes one of `bits` there, creating the directory as needed.
///
/// `bits` is of no account where there is a pair. A directory with a public key alone is refused:
/// it may be the last trace of a pair that is still in use.
pub fn open_directory(dir: &Path, bits: u32, password: Option<&[u8]>) -> Result<Opened> {
    let directory = KeyDirectory::open_or_create(dir)?;
    if let Some(found) = find_pair(&directory, password)? {
        tidy(&directory, password);
        return Ok(found);
    }
    let _lock = directory.lock(Sharing::Exclusive)?;
    // Another process may have been faster.
    match directory.find(password)? {
        Found::Pair(key) => {
            directory.discard_staged();
            opened(&directory, key, false)
        }
        Found::Unfinished(key) => {
            directory.finish_replacing()?;
            opened(&directory, key, false)
        }
        Found::Nothing => {
            directory.discard_staged();
            // Before the work, not after it.
            password.map_or(Ok(()), pem::check_new_password)?;
            let key = PrivateKey::generate(bits)?;
            directory.replace(&key, &pem::private_to_pem(&key, password)?)?;
            opened(&directory, key, true)
        }
    }
}

/// Loads the pair in a directory; where there is none, [`Error::KeyFile`]. Nothing is made.
pub fn load_directory(dir: &Path, password: Option<&[u8]>) -> Result<Loaded> {
    let directory = KeyDirectory::open(dir)?;
    if let Some(found) = find_pair(&directory, password)? {
        return Ok(found.into());
    }
    let _lock = directory.lock(Sharing::Exclusive)?;
    let key = find_and_finish(&directory, password)?;
    opened(&directory, key, false).map(Loaded::from)
}

/// Replaces a pair that `password` opens: by `replacement`, or by itself, under `new_password`.
///
/// As atomic as [`write_directory`], and nobody else replaces the pair between looking and writing.
pub fn replace_pair(
    dir: &Path,
    password: Option<&[u8]>,
    replacement: Option<&PrivateKey>,
    new_password: Option<&[u8]>,
) -> Result<()> {
    new_password.map_or(Ok(()), pem::check_new_password)?;
    let directory = KeyDirectory::open(dir)?;
    let _lock = directory.lock(Sharing::Exclusive)?;
    let present = find_and_finish(&directory, password)?;
    directory.discard_staged();
    let key = replacement.unwrap_or(&present);
    directory.replace(key, &pem::private_to_pem(key, new_password)?)
}

/// Replaces the pair in a directory, creating the directory as needed.
///
/// Both files are first written beside the old ones and synced; renaming the private one is the
/// point of no return, renaming the public one follows. After a crash between the two,
/// [`open_directory`] finds the private key, a public key that is not its own and a staged one that
/// is, and completes the renaming; as does the next replacement, before it begins.
pub fn write_directory(dir: &Path, key: &PrivateKey, password: Option<&[u8]>) -> Result<()> {
    let private_pem = pem::private_to_pem(key, password)?;
    let directory = KeyDirectory::open_or_create(dir)?;
    let _lock = directory.lock(Sharing::Exclusive)?;
    directory.check_replaceable()?;
    directory.finish_or_discard()?;
    directory.replace(key, &private_pem)
}

const DIFFERENT_KEY: &str = "does not belong to the private key";

/// The pair that is there, where nothing needs to be done for it.
fn find_pair(directory: &KeyDirectory, password: Option<&[u8]>) -> Result<Option<Opened>> {
    let _lock = directory.lock(Sharing::Shared)?;
    match directory.find(password)? {
        Found::Pair(key) => opened(directory, key, false).map(Some),
        Found::Unfinished(_) | Found::Nothing => Ok(None),
    }
}

/// The pair that must be there, its replacement completed where that was interrupted. Under the
/// exclusive lock.
fn find_and_finish(directory: &KeyDirectory, password: Option<&[u8]>) -> Result<PrivateKey> {
    match directory.find(password)? {
        Found::Pair(key) => Ok(key),
        Found::Unfinished(key) => {
            directory.finish_replacing()?;
            Ok(key)
        }
        Found::Nothing => Err(directory.without_pair()),
    }
}

/// Removes what a crash left beside a pair. Whoever cannot do so now leaves it to the next.
fn tidy(directory: &KeyDirectory, password: Option<&[u8]>) {
    if !directory.has_staged() {
        return;
    }
    let Some(_lock) = directory.try_lock() else {
        return;
    };
    // What is staged may be another's by now, and needed.
    if let Ok(Found::Pair(_)) = directory.find(password) {
        directory.discard_staged();
    }
}

fn opened(directory: &KeyDirectory, key: PrivateKey, created: bool) -> Result<Opened> {
    Ok(Opened {
        key,
        created,
        too_open: directory.too_open()?,
    })
}

fn read_private(path: &Path, text: &[u8], password: Option<&[u8]>) -> Result<PrivateKey> {
    pem::private_from_pem(text, password).map_err(|error| because(path, error))
}

/// An unacceptable key, with the file that it is in.
fn because(path: &Path, error: Error) -> Error {
    match error {
        Error::Key(reason) => refusal(path, reason),
        other => other,
    }
}

fn refusal(path: &Path, reason: &'static str) -> Error {
    Error::KeyFile {
        path: path.to_owned(),
        reason,
    }
}
