//! Key pairs as files: `private_key.pem` (PKCS#8, 0600) and `public_key.pem` (SPKI, 0644).
//!
//! Rules:
//! - Only regular files of this user or of root are read. A symbolic link to the directory is not followed. A link to a
//!   file is followed (Kubernetes' secrets) if every step on the way belongs to this user or root and nobody else may
//!   write there. A file that is a link is not replaced.
//! - If a pair cannot be opened (wrong password, damaged, halves that do not belong together), that is an error, and
//!   the files stay as they are.
//! - If a directory is opened with a password but holds a plain pair, the pair is loaded, and the caller is told.
//! - An encrypted file is never replaced by a plain one, unless [`replace_pair`] is called for that purpose.
//! - A rotation replaces only a pair of the caller's own.
//! - A directory is read and written under a lock on it, so if several processes start on an empty directory, all get
//!   the same pair. If the file system has no locks, this protection is missing, and the caller is told.
//! - Functions that read or write a pair return a [`Condition`], which says if modes are too open or locks are missing.
//! - A pair is replaced by two renames, and a crash at any point leaves a pair that loads; see [`write_directory`].
//! - If a replacement fails, its staged files are removed at once. If it crashes, the next process that opens or writes
//!   the directory, and may write there, completes the pair or removes them.
//! - The text of a private key lies in the arena, both when it is read and when it is written.

mod directory;
mod file;
mod private_file;
mod refusal;

use crate::crypto::rsa::{PrivateKey, PublicKey};
use crate::os::files::{DirectoryLock, Sharing};
use crate::{Error, Result, pem};
use directory::{Found, KeyDirectory};
use private_file::{Opening, Present, read_private};
use refusal::{DIFFERENT_KEY, because, refusal};
use std::path::{Path, PathBuf};

/// What the user should know about key files that were read or written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The directory and files whose modes let other users read or change them.
    pub too_open: Vec<PathBuf>,
    /// Whether the file system has no locks, so that another process can replace the pair at the same time.
    pub lockless: bool,
}

impl Condition {
    fn new(too_open: Vec<PathBuf>, lock: &DirectoryLock<'_>) -> Self {
        Self {
            too_open,
            lockless: !lock.guards(),
        }
    }
}

/// A pair that was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The pair.
    pub key: PrivateKey,
    /// The condition of its files.
    pub condition: Condition,
}

/// A pair that was loaded from a directory, or generated there.
#[derive(Debug)]
pub struct Opened {
    /// The pair.
    pub key: PrivateKey,
    /// Whether it was generated just now.
    pub created: bool,
    /// The condition of its files.
    pub condition: Condition,
    /// The private key's file, if a password was given but the file is not encrypted.
    pub plain: Option<PathBuf>,
}

impl From<Opened> for Loaded {
    fn from(opened: Opened) -> Self {
        Self {
            key: opened.key,
            condition: opened.condition,
        }
    }
}

/// Loads a pair from files. Without a path of the public key, it is derived from the private one.
pub fn load_pair(private: &Path, public: Option<&Path>, password: Option<&[u8]>) -> Result<Loaded> {
    let file = file::open(private)?;
    let text = file::read_opened(&file, private)?;
    let key = read_private(private, &text, Opening::With(password))?.key;
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
    let condition = Condition {
        too_open,
        lockless: false, // no lock was tried: the two files may lie in different directories
    };
    Ok(Loaded { key, condition })
}

/// Whether a private key's file is encrypted. Whether the key itself is acceptable is not checked.
pub fn is_encrypted(private: &Path) -> Result<bool> {
    pem::is_encrypted(&file::read_opened(&file::open(private)?, private)?)
}

/// Loads the pair in a directory. If there is none, generates one of `bits`, and creates the directory if needed.
///
/// A directory with only a public key is refused: it may be the last trace of a pair that is still in use.
///
/// The password opens an encrypted pair, and encrypts a new one. A plain pair is loaded without it.
pub fn open_directory(dir: &Path, bits: u32, password: Option<&[u8]>) -> Result<Opened> {
    let directory = KeyDirectory::open_or_create(dir)?;
    let opening = Opening::IfEncrypted(password);
    if let Some(found) = find_pair(&directory, opening)? {
        tidy(&directory, opening);
        return Ok(found);
    }
    let lock = directory.lock(Sharing::Exclusive)?;
    // Looked at again: another process may have been faster.
    match directory.find(opening)? {
        Found::Pair(present) => {
            directory.discard_staged();
            opened(&directory, &lock, present)
        }
        Found::Unfinished(present) => {
            directory.finish_replacing()?;
            opened(&directory, &lock, present)
        }
        Found::Nothing => {
            directory.check_replaceable()?; // a file that is a link to nowhere counts as missing, but is not replaced
            directory.discard_staged();
            // Before the key is generated, which takes a second.
            password.map_or(Ok(()), pem::check_new_password)?;
            let key = PrivateKey::generate(bits)?;
            let too_open = directory.replace(&key, &pem::private_to_pem(&key, password)?)?;
            Ok(Opened {
                key,
                created: true,
                condition: Condition::new(too_open, &lock),
                plain: None,
            })
        }
    }
}

/// Loads the pair in a directory; [`Error::KeyFile`] if there is none.
pub fn load_directory(dir: &Path, password: Option<&[u8]>) -> Result<Loaded> {
    let directory = KeyDirectory::open(dir)?;
    let opening = Opening::With(password);
    if let Some(found) = find_pair(&directory, opening)? {
        return Ok(found.into());
    }
    let lock = directory.lock(Sharing::Exclusive)?;
    let present = find_and_finish(&directory, opening)?;
    opened(&directory, &lock, present).map(Loaded::from)
}

/// Writes `replacement`, or the present pair if that is `None`, under `new_password` over a pair that `password` opens.
///
/// It is as atomic as [`write_directory`], and no other process can replace the pair between the check and the write.
pub fn replace_pair(
    dir: &Path,
    password: Option<&[u8]>,
    replacement: Option<&PrivateKey>,
    new_password: Option<&[u8]>,
) -> Result<Condition> {
    new_password.map_or(Ok(()), pem::check_new_password)?;
    let directory = KeyDirectory::open(dir)?;
    let lock = directory.lock(Sharing::Exclusive)?;
    let present = find_and_finish(&directory, Opening::With(password))?.key;
    directory.check_replaceable()?;
    directory.discard_staged();
    let key = replacement.unwrap_or(&present);
    let too_open = directory.replace(key, &pem::private_to_pem(key, new_password)?)?;
    Ok(Condition::new(too_open, &lock))
}

/// Replaces the pair in a directory, or writes the first one; creates the directory if needed.
///
/// Both files are first written beside the old ones and synced. Then the private one is renamed, which is the point of
/// no return, and then the public one. After a crash between the two renames, the directory has the new private key,
/// the old public key, and the new public key still staged. [`open_directory`] sees that and does the second rename,
/// and so does the next replacement before it begins.
pub fn write_directory(dir: &Path, key: &PrivateKey, password: Option<&[u8]>) -> Result<Condition> {
    let private_pem = pem::private_to_pem(key, password)?;
    let directory = KeyDirectory::open_or_create(dir)?;
    let lock = directory.lock(Sharing::Exclusive)?;
    directory.check_replaceable()?;
    directory.finish_or_discard()?;
    if password.is_none() {
        directory.check_not_encrypted()?;
    }
    let too_open = directory.replace(key, &private_pem)?;
    Ok(Condition::new(too_open, &lock))
}

/// Does what [`write_directory`] does, but only if the directory has no pair, or one of `own` that `password` opens.
/// Otherwise the pair there stays as it is, and the result is `None`.
pub fn rotate_directory(
    dir: &Path,
    key: &PrivateKey,
    own: &[PublicKey],
    password: Option<&[u8]>,
) -> Result<Option<Condition>> {
    let private_pem = pem::private_to_pem(key, password)?;
    let directory = KeyDirectory::open_or_create(dir)?;
    let lock = directory.lock(Sharing::Exclusive)?;
    directory.check_replaceable()?;
    directory.finish_or_discard()?;
    let is_ours = match directory.find(Opening::IfEncrypted(password)) {
        Ok(Found::Pair(present) | Found::Unfinished(present)) => {
            own.contains(present.key.public_key())
        }
        Ok(Found::Nothing) => true,
        Err(Error::KeyFile { .. }) => false,
        Err(error) => return Err(error),
    };
    if !is_ours {
        return Ok(None);
    }
    let too_open = directory.replace(key, &private_pem)?;
    Ok(Some(Condition::new(too_open, &lock)))
}

/// Returns the pair in the directory, if there is one and no replacement was interrupted. Takes only a shared lock.
fn find_pair(directory: &KeyDirectory, opening: Opening<'_>) -> Result<Option<Opened>> {
    let lock = directory.lock(Sharing::Shared)?;
    match directory.find(opening)? {
        Found::Pair(present) => opened(directory, &lock, present).map(Some),
        Found::Unfinished(_) | Found::Nothing => Ok(None),
    }
}

/// Returns the pair in the directory, which must be there, after completing an interrupted replacement. Needs the
/// exclusive lock.
fn find_and_finish(directory: &KeyDirectory, opening: Opening<'_>) -> Result<Present> {
    match directory.find(opening)? {
        Found::Pair(present) => Ok(present),
        Found::Unfinished(present) => {
            directory.finish_replacing()?;
            Ok(present)
        }
        Found::Nothing => Err(directory.without_pair()),
    }
}

/// Removes what a crash left beside a pair. If the lock is taken, the next process does it.
fn tidy(directory: &KeyDirectory, opening: Opening<'_>) {
    if !directory.has_staged() {
        return;
    }
    let Some(_lock) = directory.try_lock() else {
        return;
    };
    // Looked at again: another process may have staged files by now, and still need them.
    if let Ok(Found::Pair(_)) = directory.find(opening) {
        directory.discard_staged();
    }
}

/// Describes a pair that was already there.
fn opened(directory: &KeyDirectory, lock: &DirectoryLock<'_>, present: Present) -> Result<Opened> {
    Ok(Opened {
        key: present.key,
        created: false,
        condition: Condition::new(directory.too_open()?, lock),
        plain: present.plain,
    })
}
