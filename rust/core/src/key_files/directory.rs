//! A key directory that is held open: finds what is in it, and replaces the pair.

use super::file;
use super::private_file::{Opening, Present, read_private};
use super::refusal::{DIFFERENT_KEY, because, refusal};
use crate::crypto::rsa::{PrivateKey, PublicKey};
use crate::os::files::{self, Directory, DirectoryLock, Facts, Sharing};
use crate::{Error, Result, pem};
use std::ffi::CStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const PRIVATE: &CStr = c"private_key.pem";
const PUBLIC: &CStr = c"public_key.pem";
const STAGED_PRIVATE: &CStr = c".private_key.pem.new";
const STAGED_PUBLIC: &CStr = c".public_key.pem.new";

const PRIVATE_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;
const ENCRYPTED: &str = "is encrypted, but the new pair would not be: give a password, or remove the present one with \
     `nomyo keys password --no-password`";
/// The bits that let others write in the directory, and so exchange or add files.
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;
const LINKED: &str = "is a symbolic link: the pair is kept elsewhere, as in a Kubernetes secret, and is not replaced from here";

pub(super) struct KeyDirectory {
    directory: Directory,
    path: PathBuf,
}

/// What a key directory holds.
pub(super) enum Found {
    /// A pair, or only a private key, from which the public one is derived.
    Pair(Present),
    /// A private key whose public key is still staged: a replacement was interrupted between its two renames.
    Unfinished(Present),
    /// Neither key.
    Nothing,
}

impl KeyDirectory {
    pub(super) fn open_or_create(path: &Path) -> Result<Self> {
        let opened = match Directory::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Directory::create(path).and_then(|()| Directory::open(path))
            }
            other => other,
        };
        Self::checked(path, opened)
    }

    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::checked(path, Directory::open(path))
    }

    fn checked(path: &Path, opened: io::Result<Directory>) -> Result<Self> {
        let directory = opened.map_err(|error| file::failure(path, error))?;
        let directory = Self {
            directory,
            path: path.to_owned(),
        };
        directory.check()?;
        Ok(directory)
    }

    /// The error if the directory should have a pair, and has none.
    pub(super) fn without_pair(&self) -> Error {
        refusal(&self.path, "has no key pair in it")
    }

    /// Waits for the lock, for two minutes at most.
    pub(super) fn lock(&self, sharing: Sharing) -> Result<DirectoryLock<'_>> {
        self.directory.lock(sharing).map_err(|error| {
            if files::is_busy(&error) {
                return refusal(
                    &self.path,
                    "has been locked by another process for two minutes",
                );
            }
            file::failure(&self.path, error)
        })
    }

    /// Takes the exclusive lock, if that is possible without waiting.
    pub(super) fn try_lock(&self) -> Option<DirectoryLock<'_>> {
        self.directory.try_lock(Sharing::Exclusive).ok()
    }

    /// Finds what is in the directory. Needs either lock.
    pub(super) fn find(&self, opening: Opening<'_>) -> Result<Found> {
        let private = self.read(PRIVATE)?;
        let public = self.read(PUBLIC)?;
        let Some(private) = private else {
            return match public {
                None => Ok(Found::Nothing),
                Some(_) => Err(refusal(&self.at(PUBLIC), "has no private key beside it")),
            };
        };
        let present = read_private(&self.at(PRIVATE), &private, opening)?;
        let problem = match public {
            Some(public) => match belongs_to(&public, &present.key) {
                Ok(()) => return Ok(Found::Pair(present)),
                Err(error) => Some(because(&self.at(PUBLIC), error)),
            },
            None => None,
        };
        if self.staged_public().as_ref() == Some(present.key.public_key()) {
            return Ok(Found::Unfinished(present));
        }
        problem.map_or(Ok(Found::Pair(present)), Err)
    }

    /// Does the second rename of an interrupted replacement. If the directory cannot be written to, it stays as it is:
    /// the private key that was found is enough for a pair.
    pub(super) fn finish_replacing(&self) -> Result<()> {
        let _ = self.directory.remove(STAGED_PRIVATE);
        match self.directory.rename(STAGED_PUBLIC, PUBLIC) {
            Err(error) if is_read_only(&error) => Ok(()),
            Err(error) => Err(file::failure(&self.at(PUBLIC), error)),
            Ok(()) => self.sync(),
        }
    }

    /// Completes an interrupted replacement, or removes its staged files. Works without the password of the private
    /// key.
    ///
    /// So it cannot check that the staged public key belongs to the private key. It relies on the order instead: the
    /// public key is staged after the private one and discarded before it, so it is staged alone only between the two
    /// renames.
    pub(super) fn finish_or_discard(&self) -> Result<()> {
        let is_alone = self.is_file(PRIVATE) && !self.is_file(STAGED_PRIVATE);
        if is_alone && self.staged_public().is_some() {
            return self.finish_replacing();
        }
        self.discard_staged();
        Ok(())
    }

    /// Whether a replacement has left staged files.
    pub(super) fn has_staged(&self) -> bool {
        [STAGED_PRIVATE, STAGED_PUBLIC].iter().any(|name| {
            let opened = self.directory.open_file(name);
            !matches!(opened, Err(error) if error.kind() == io::ErrorKind::NotFound)
        })
    }

    /// Removes staged files, if the directory can be written to. Needs the exclusive lock, and must not be called if a
    /// replacement waits for its second rename.
    pub(super) fn discard_staged(&self) {
        for name in [STAGED_PUBLIC, STAGED_PRIVATE] {
            let _ = self.directory.remove(name);
        }
    }

    /// Checks that the present files, if any, are regular files of this user or root, and no links.
    pub(super) fn check_replaceable(&self) -> Result<()> {
        for name in [PRIVATE, PUBLIC] {
            if let Some(file) = self.open_replaceable(name)? {
                file::check(&file, &self.at(name))?;
            }
        }
        Ok(())
    }

    /// Checks that the present private key, if any, is not encrypted, before a plain one replaces it.
    pub(super) fn check_not_encrypted(&self) -> Result<()> {
        match self.read(PRIVATE)? {
            Some(text) if pem::is_encrypted(&text)? => Err(refusal(&self.at(PRIVATE), ENCRYPTED)),
            _ => Ok(()),
        }
    }

    /// Writes a pair over the present one, if any. Returns the files that are too open. Needs the exclusive lock.
    ///
    /// If an error comes before the private key is renamed, nothing stays staged. After that, the staged public key
    /// stays, since it is needed.
    pub(super) fn replace(&self, key: &PrivateKey, private_pem: &[u8]) -> Result<Vec<PathBuf>> {
        let too_open = self
            .replace_private(key, private_pem)
            .inspect_err(|_| self.discard_staged())?;
        self.sync()?;
        self.rename(STAGED_PUBLIC, PUBLIC)?;
        self.sync()?;
        Ok(too_open)
    }

    /// Returns the directory and the private key's file, each if its mode lets others in.
    pub(super) fn too_open(&self) -> Result<Vec<PathBuf>> {
        let file = self.open_if_present(PRIVATE)?;
        let private = file.map(|file| file::check(&file, &self.at(PRIVATE)));
        self.too_open_with(private.transpose()?)
    }

    /// The same, from facts of the private key's file that are known already.
    fn too_open_with(&self, private: Option<Facts>) -> Result<Vec<PathBuf>> {
        let mut too_open = Vec::new();
        let facts = self
            .directory
            .facts()
            .map_err(|error| file::failure(&self.path, error))?;
        if facts.mode & WRITABLE_BY_OTHERS != 0 && !self.is_secret_volume(facts) {
            too_open.push(self.path.clone());
        }
        if private.is_some_and(file::is_too_open) {
            too_open.push(self.at(PRIVATE));
        }
        Ok(too_open)
    }

    /// Whether this looks like a secret that Kubernetes has mounted: the directory is sticky and its files are links,
    /// which nobody else can exchange then.
    fn is_secret_volume(&self, facts: Facts) -> bool {
        let linked = self.directory.open_file(PRIVATE);
        facts.mode & STICKY != 0 && linked.is_err_and(|error| files::is_link(&error))
    }

    /// Stages both files and renames the private one, which is the point of no return. Returns the files that are too
    /// open: everything that can fail is done before the rename.
    fn replace_private(&self, key: &PrivateKey, private_pem: &[u8]) -> Result<Vec<PathBuf>> {
        let private = self.stage(STAGED_PRIVATE, private_pem, PRIVATE_MODE)?;
        let too_open = self.too_open_with(Some(private))?;
        self.stage(
            STAGED_PUBLIC,
            key.public_key().pem().as_bytes(),
            PUBLIC_MODE,
        )?;
        // Each step is made durable before the next, so that a crash cannot reorder them.
        self.sync()?;
        self.rename(STAGED_PRIVATE, PRIVATE)?;
        Ok(too_open)
    }

    fn check(&self) -> Result<()> {
        let facts = self
            .directory
            .facts()
            .map_err(|error| file::failure(&self.path, error))?;
        if !facts.is_directory {
            return Err(refusal(&self.path, "is not a directory"));
        }
        if !facts.is_trusted {
            return Err(refusal(&self.path, "belongs to another user"));
        }
        Ok(())
    }

    fn staged_public(&self) -> Option<PublicKey> {
        let text = self.read(STAGED_PUBLIC).ok().flatten()?;
        PublicKey::from_pem(&text).ok()
    }

    fn is_file(&self, name: &CStr) -> bool {
        let file = self.open_if_present(name).ok().flatten();
        file.is_some_and(|file| file::check(&file, &self.at(name)).is_ok())
    }

    fn read(&self, name: &CStr) -> Result<Option<Vec<u8>>> {
        let file = self.open_if_present(name)?;
        file.map(|file| file::read_opened(&file, &self.at(name)))
            .transpose()
    }

    fn open_if_present(&self, name: &CStr) -> Result<Option<std::fs::File>> {
        self.if_present(name, self.directory.open_linked_file(name))
    }

    /// The same for a file that will be replaced. It must not be a link: only the link would be replaced, and the file
    /// behind it would stay.
    fn open_replaceable(&self, name: &CStr) -> Result<Option<std::fs::File>> {
        match self.directory.open_file(name) {
            Err(error) if files::is_link(&error) => Err(refusal(&self.at(name), LINKED)),
            other => self.if_present(name, other),
        }
    }

    fn if_present(
        &self,
        name: &CStr,
        opened: io::Result<std::fs::File>,
    ) -> Result<Option<std::fs::File>> {
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file::failure(&self.at(name), error)),
        }
    }

    /// Writes and syncs a file beside the pair. Removes first what a crash may have left there.
    fn stage(&self, name: &CStr, content: &[u8], mode: u32) -> Result<Facts> {
        let staged = self.directory.remove(name).and_then(|()| {
            let mut file = self.directory.create_file(name, mode)?;
            file.write_all(content)?;
            files::sync(&file)?;
            files::facts(&file)
        });
        staged.map_err(|error| file::failure(&self.at(name), error))
    }

    fn rename(&self, from: &CStr, to: &CStr) -> Result<()> {
        let renamed = self.directory.rename(from, to);
        renamed.map_err(|error| file::failure(&self.at(to), error))
    }

    fn sync(&self) -> Result<()> {
        self.directory
            .sync()
            .map_err(|error| file::failure(&self.path, error))
    }

    fn at(&self, name: &CStr) -> PathBuf {
        self.path.join(name.to_string_lossy().as_ref())
    }
}

fn belongs_to(public: &[u8], key: &PrivateKey) -> Result<()> {
    if PublicKey::from_pem(public)? == *key.public_key() {
        Ok(())
    } else {
        Err(Error::Key(DIFFERENT_KEY))
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}
